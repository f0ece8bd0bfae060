//! A constant matrix of an equation, ready to be applied to blocks in the run's element type.

use super::{Matrix, Product, Start};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::Real;

/// A dense matrix in the element type of the paths.
#[derive(Clone, Debug)]
pub struct Dense<T> {
    matrix: Matrix<T>,
    lower: bool,
}

impl<T: Real> Dense<T> {
    /// Any matrix.
    pub fn new(matrix: &Matrix<f64>) -> Self {
        Self { matrix: matrix.cast(), lower: false }
    }

    /// A lower triangular one: half the work.
    pub fn lower(matrix: &Matrix<f64>) -> Self {
        Self { matrix: matrix.cast(), lower: matrix.rows() == matrix.cols() }
    }

    fn product(&self) -> Product<'_, T> {
        let product = Product::new(&self.matrix);
        if self.lower { product.lower() } else { product }
    }

    /// `out = M (x - center)`.
    pub fn apply_centered(&self, x: &[T], center: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.product().centered(Some(center)).apply(x, out, span)
    }

    /// `out = start + M (x - center)`, `start` constant over paths.
    pub fn apply_centered_onto(&self, x: &[T], center: &[T], start: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.product().centered(Some(center)).onto(Start::Rows(start)).apply(x, out, span)
    }

    /// `out = M x`.
    pub fn apply(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.product().apply(x, out, span)
    }

    /// `out += M x`.
    pub fn add_apply(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.product().onto(Start::Out).apply(x, out, span)
    }
}
