//! The local queries: the patches that rollout found most important (DCAL paper, section 3.3).

/// Token indices of the `count` patches with the highest rollout, highest first, ties to the lower index.
///
/// `rollout` is one image's `[N + 1]`; token 0 (class) always queries and is not listed.
pub fn select(rollout: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (1..rollout.len() as u32).collect();
    order.sort_by(|&a, &b| rollout[b as usize].total_cmp(&rollout[a as usize]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_token_is_skipped_and_ties_go_to_the_lower_index() {
        assert_eq!(select(&[0.9, 0.1, 0.3, 0.3, 0.2], 3), [2, 3, 4]);
        assert_eq!(select(&[0.9, 0.1], 5), [1]);
    }
}
