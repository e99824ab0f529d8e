//! Matrix products on parts of slices, on the calling thread.
//!
//! Natively the `gemm` crate computes them (burn's CPU back end uses it too). In the browser our own tiles do: `gemm` has no
//! fused multiply-add there, and the weights can be laid out once.

#[cfg(not(target_arch = "wasm32"))]
mod library;
#[cfg(any(target_arch = "wasm32", test))]
mod tiled;
#[cfg(any(target_arch = "wasm32", test))]
mod vector;

#[cfg(not(target_arch = "wasm32"))]
use library as product;
#[cfg(target_arch = "wasm32")]
use tiled as product;

/// A matrix that is read: element `(i, j)` lies at `i * steps[0] + j * steps[1]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    size: [usize; 2],
    steps: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` values, `stride` apart.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self { values, size: [rows, columns], steps: [stride, 1] }
    }

    /// Rows become columns.
    pub(crate) fn transposed(self) -> Self {
        let ([rows, columns], [down, across]) = (self.size, self.steps);
        Self { values: self.values, size: [columns, rows], steps: [across, down] }
    }

    fn fits(&self) -> bool {
        fits(self.values.len(), self.size, self.steps)
    }
}

/// What happens to the values that were there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Store {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

/// `out = scale a b` or `out += scale a b`; the rows of `out` lie `stride` apart.
///
/// # Panics
/// When the sizes do not fit or a matrix does not lie within its slice: a defect of the caller.
pub(crate) fn matmul(out: &mut [f32], stride: usize, store: Store, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let ([m, k], [inner, n]) = (a.size, b.size);
    assert!(k == inner && a.fits() && b.fits() && fits(out.len(), [m, n], [stride, 1]), "matrix sizes");
    product::matmul(out, stride, store, scale, a, b);
}

/// The weights of a layer, `[in, out]`, laid out for the products to come.
pub(crate) struct Weight {
    right: product::Right,
    size: [usize; 2],
}

impl Weight {
    /// Lays out a matrix `[in, out]`.
    ///
    /// # Panics
    /// When it does not lie within its slice: a defect of the caller.
    pub(crate) fn new(matrix: Matrix<'_>) -> Self {
        assert!(matrix.fits(), "matrix sizes");
        Self { right: product::Right::new(matrix), size: matrix.size }
    }

    /// `y = x W + bias` or `y += x W + bias`, `x` `[rows, in]`, `bias` `[out]`, `y` `[rows, out]`; no rows are fine.
    ///
    /// # Panics
    /// When the sizes do not fit: a defect of the caller.
    pub(crate) fn apply(&self, x: &[f32], bias: &[f32], store: Store, y: &mut [f32]) {
        let [inputs, outputs] = self.size;
        let rows = y.len() / outputs;
        assert!(bias.len() == outputs && y.len() == rows * outputs && x.len() == rows * inputs, "matrix sizes");
        if rows > 0 {
            self.right.apply(Matrix::new(x, rows, inputs, inputs), bias, store, y);
        }
    }

    /// A direction `[out]` behind the layer as the direction before it, `[in]`.
    pub(crate) fn pull_back(&self, direction: &[f32]) -> Vec<f32> {
        let [inputs, _] = self.size;
        let along = |i| direction.iter().enumerate().map(|(j, g)| self.value(i, j) * g).sum();
        (0..inputs).map(along).collect()
    }

    /// Element `(i, j)`.
    pub(crate) fn value(&self, i: usize, j: usize) -> f32 {
        self.right.value(i, j)
    }
}

fn fits(len: usize, [rows, columns]: [usize; 2], [down, across]: [usize; 2]) -> bool {
    rows > 0 && columns > 0 && (rows - 1) * down + (columns - 1) * across < len
}
