//! A constant matrix of an equation, ready to be applied to blocks in the run's element type.

use super::sparse::Sparse;
use super::{Matrix, Product, Start};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::Real;

/// A matrix in the element type of the paths. Zeros are left out where there are many.
#[derive(Clone, Debug)]
pub struct LinearMap<T> {
    matrix: Matrix<T>,
    lower: bool,
    sparse: Option<Sparse<T>>,
}

impl<T: Real> LinearMap<T> {
    /// Any matrix.
    pub fn new(matrix: &Matrix<f64>) -> Self {
        Self::of(matrix.cast(), false)
    }

    /// A lower triangular one: half the work.
    pub fn lower(matrix: &Matrix<f64>) -> Self {
        Self::of(matrix.cast(), matrix.rows() == matrix.cols())
    }

    fn of(matrix: Matrix<T>, lower: bool) -> Self {
        Self { sparse: Sparse::of(&matrix, lower), matrix, lower }
    }

    fn multiply(&self, x: &[T], center: Option<&[T]>, start: Start<'_, T>, out: &mut [T], span: Span) -> Result<()> {
        let product = Product::new(&self.matrix).centered(center).onto(start);
        let product = if self.lower { product.lower() } else { product };
        match &self.sparse {
            Some(sparse) => {
                product.check_all(x, out, span)?;
                sparse.apply(x, center, start, out, span);
                Ok(())
            }
            None => product.apply(x, out, span),
        }
    }

    /// `out = M (x - center)`.
    pub fn apply_centered(&self, x: &[T], center: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.multiply(x, Some(center), Start::Zero, out, span)
    }

    /// `out = start + M (x - center)`, `start` constant over paths.
    pub fn apply_centered_onto(&self, x: &[T], center: &[T], start: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.multiply(x, Some(center), Start::Rows(start), out, span)
    }

    /// `out = M x`.
    pub fn apply(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.multiply(x, None, Start::Zero, out, span)
    }

    /// `out += M x`.
    pub fn add_apply(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.multiply(x, None, Start::Out, out, span)
    }
}
