//! Products by the `gemm` crate.

use super::{Matrix, Store};

/// As [`super::matmul`], which has checked the sizes.
pub(super) fn matmul(out: &mut [f32], stride: usize, store: Store, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let ([m, k], [_, n]) = (a.size, b.size);
    let add = store == Store::Add;
    // SAFETY: the caller has checked that every element which the product touches lies within its slice, and `out` is
    // borrowed mutably, so it overlaps with neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.values.as_ptr(),
            a.steps[1] as isize,
            a.steps[0] as isize,
            b.values.as_ptr(),
            b.steps[1] as isize,
            b.steps[0] as isize,
            if add { 1.0 } else { 0.0 },
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// A right operand, row by row: `gemm` lays it out for each product itself.
pub(super) struct Right {
    values: Vec<f32>,
    size: [usize; 2],
}

impl Right {
    pub(super) fn new(Matrix { values, size: [rows, columns], steps: [down, across] }: Matrix<'_>) -> Self {
        let values = (0..rows * columns).map(|i| values[i / columns * down + i % columns * across]).collect();
        Self { values, size: [rows, columns] }
    }

    /// As [`super::Weight::apply`], which has checked the sizes.
    pub(super) fn apply(&self, x: Matrix<'_>, bias: &[f32], store: Store, y: &mut [f32]) {
        let [inputs, outputs] = self.size;
        for row in y.chunks_exact_mut(outputs) {
            match store {
                Store::Set => row.copy_from_slice(bias),
                Store::Add => row.iter_mut().zip(bias).for_each(|(y, b)| *y += b),
            }
        }
        matmul(y, outputs, Store::Add, 1.0, x, Matrix::new(&self.values, inputs, outputs, outputs));
    }

    pub(super) fn value(&self, i: usize, j: usize) -> f32 {
        self.values[i * self.size[1] + j]
    }
}
