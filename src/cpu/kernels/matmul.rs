//! Matrix products on parts of slices, by the `gemm` crate (which burn's CPU back end uses too).

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

/// `out = scale a b` or `out += scale a b`; the rows of `out` lie `stride` apart. On the calling thread.
///
/// # Panics
/// When the sizes do not fit or a matrix does not lie within its slice: a defect of the caller.
pub(crate) fn matmul(out: &mut [f32], stride: usize, store: Store, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let ([m, k], [inner, n]) = (a.size, b.size);
    assert!(k == inner && a.fits() && b.fits() && fits(out.len(), [m, n], [stride, 1]), "matrix sizes");
    let add = store == Store::Add;
    // SAFETY: the line above has checked that every element which the product touches lies within its slice, and `out`
    // is borrowed mutably, so it overlaps with neither operand.
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

fn fits(len: usize, [rows, columns]: [usize; 2], [down, across]: [usize; 2]) -> bool {
    rows > 0 && columns > 0 && (rows - 1) * down + (columns - 1) * across < len
}
