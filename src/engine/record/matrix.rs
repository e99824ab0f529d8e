//! Matrices in buffers, and the steps that the further mechanisms are made of: products, softmax, sums of them. A matrix may
//! be transposed, or a part of its buffer, without being copied.

use crate::engine::kernels;
use crate::engine::recording::{BufferId, Recording};
use crate::tensors::Precision;

/// Where a matrix lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    pub(super) buffer: BufferId,
    /// Where it starts.
    pub(super) offset: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Values from one row to the next.
    pub(super) row: usize,
    /// Values from one column to the next.
    pub(super) column: usize,
}

/// A feature map: a row of channels for each position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub(super) buffer: BufferId,
    /// Where it starts: behind the class token, for one.
    pub(super) offset: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// What follows a product.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish {
    /// Nothing.
    Plain,
    /// This bias, then ReLU.
    Relu(BufferId),
    /// This bias, then the sigmoid.
    Sigmoid(BufferId),
}

impl Matrix {
    /// A buffer that holds nothing else.
    pub(super) fn new(buffer: BufferId, rows: usize, columns: usize) -> Self {
        Self { buffer, offset: 0, rows, columns, row: columns, column: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }

    /// Some columns of it.
    pub(super) fn columns(self, range: std::ops::Range<usize>) -> Self {
        Self { offset: self.offset + range.start * self.column, columns: range.len(), ..self }
    }

    /// Some rows of it.
    pub(super) fn rows(self, range: std::ops::Range<usize>) -> Self {
        Self { offset: self.offset + range.start * self.row, rows: range.len(), ..self }
    }
}

impl Map {
    /// `[positions, channels]`.
    pub(super) fn matrix(&self) -> Matrix {
        Matrix { offset: self.offset, ..Matrix::new(self.buffer, self.positions(), self.channels) }
    }

    pub(super) fn positions(&self) -> usize {
        self.height * self.width
    }

    /// A convolution of it that pads by half its side: nothing is added, nothing follows.
    pub(super) fn convolved(&self, outputs: usize, side: usize, stride: usize) -> kernels::ConvolutionUniforms {
        let [rows, across] = [self.height, self.width].map(|size| (size + side / 2 * 2 - side) / stride + 1);
        kernels::ConvolutionUniforms {
            rows: (rows * across) as u32,
            inner: (side * side * self.channels) as u32,
            columns: outputs as u32,
            height: self.height as u32,
            width: self.width as u32,
            channels: self.channels as u32,
            side: side as u32,
            stride: stride as u32,
            dilation: 1,
            padding: side as u32 / 2,
            across: across as u32,
            x_offset: self.offset as u32,
            x_position: self.channels as u32,
            x_channel: 1,
            normed: 0,
            adds: 0,
            relu: 0,
        }
    }
}

impl Recording {
    /// A new matrix that kernels write.
    pub(super) fn matrix(&mut self, label: impl Into<String>, rows: usize, columns: usize) -> Matrix {
        Matrix::new(self.scratch(label, &[rows, columns]), rows, columns)
    }

    /// The weight of a linear layer `[out, in]` as the matrix `[in, out]` that kernels read.
    pub(super) fn weight(&mut self, name: impl Into<String>, outputs: usize, inputs: usize) -> Matrix {
        let buffer = self.linear(name, &[outputs, inputs], 0..outputs, Precision::F32);
        Matrix { row: outputs.next_multiple_of(4), ..Matrix::new(buffer, inputs, outputs) }
    }

    /// `y = X W` and what follows; `y` lies row by row (`column` 1).
    pub(super) fn product(&mut self, label: impl Into<String>, x: Matrix, w: Matrix, y: Matrix, finish: Finish) {
        let uniforms = kernels::ProductUniforms {
            rows: x.rows as u32,
            inner: x.columns as u32,
            columns: w.columns as u32,
            x_offset: x.offset as u32,
            x_row: x.row as u32,
            x_inner: x.column as u32,
            w_offset: w.offset as u32,
            w_inner: w.row as u32,
            w_column: w.column as u32,
            y_offset: y.offset as u32,
            y_row: y.row as u32,
        };
        let (kernel, bias) = match finish {
            Finish::Plain => (&kernels::PRODUCT, None),
            Finish::Relu(bias) => (&kernels::PRODUCT_RELU, Some(bias)),
            Finish::Sigmoid(bias) => (&kernels::PRODUCT_SIGMOID, Some(bias)),
        };
        let bindings: Vec<BufferId> = [x.buffer, w.buffer].into_iter().chain(bias).chain([y.buffer]).collect();
        self.dispatch(label, kernel, uniforms, &bindings);
    }

    /// Softmax of each row of `scale X`, into a new matrix of that label.
    pub(super) fn softmax(&mut self, label: &str, x: Matrix, scale: f32) -> Matrix {
        let y = self.matrix(label, x.rows, x.columns);
        let uniforms = kernels::SoftmaxUniforms {
            rows: x.rows as u32,
            length: x.columns as u32,
            x_offset: x.offset as u32,
            x_row: x.row as u32,
            x_inner: x.column as u32,
            scale,
        };
        self.dispatch(label, &kernels::SOFTMAX, uniforms, &[x.buffer, y.buffer]);
        y
    }

    /// `scale` times the sum of each row of `x`, into the first column of `y`.
    pub(super) fn sum(&mut self, label: impl Into<String>, x: Matrix, scale: f32, y: Matrix) {
        let uniforms = kernels::SumUniforms {
            rows: x.rows as u32,
            length: x.columns as u32,
            x_offset: x.offset as u32,
            x_row: x.row as u32,
            x_inner: x.column as u32,
            y_offset: y.offset as u32,
            y_row: y.row as u32,
            scale,
        };
        self.dispatch(label, &kernels::SUM, uniforms, &[x.buffer, y.buffer]);
    }

    /// Copies `count` values from `offset` on, nothing below 0, to the start of another buffer.
    pub(super) fn relu(&mut self, label: impl Into<String>, from: BufferId, offset: usize, count: usize, to: BufferId) {
        let n = count as u32;
        let uniforms = kernels::SumUniforms {
            rows: n,
            length: 1,
            x_offset: offset as u32,
            x_row: 1,
            x_inner: 1,
            y_offset: 0,
            y_row: 1,
            scale: 1.0,
        };
        self.dispatch(label, &kernels::SUM_RELU, uniforms, &[from, to]);
    }

    /// Copies `count` values from the start of a buffer to `offset` of another.
    pub(super) fn copy(&mut self, label: impl Into<String>, from: BufferId, count: usize, to: BufferId, offset: usize) {
        let column = |buffer| Matrix::new(buffer, count, 1);
        self.sum(label, column(from), 1.0, Matrix { offset, ..column(to) });
    }
}
