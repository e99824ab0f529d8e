//! Twin of `shaders/select.wgsl`: sorts, where the shader counts.

use std::cmp::Ordering;

use crate::engine::kernels::SelectUniforms;

/// r `[N + 1]`, selected `[k]` (token indices as bits).
pub fn select(u: &SelectUniforms, bindings: &mut [Vec<f32>]) {
    let [r, selected] = bindings else { return };
    let mut order: Vec<usize> = (1..u.tokens as usize).collect();
    // A stable sort keeps ties at the lower index.
    order.sort_by(|&a, &b| r[b].partial_cmp(&r[a]).unwrap_or(Ordering::Equal));
    for (place, token) in selected.iter_mut().zip(order).take(u.selected as usize) {
        *place = f32::from_bits(token as u32);
    }
}
