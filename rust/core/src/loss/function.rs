//! A loss of the user's functions.

use super::Loss;
use crate::block::Span;
use crate::elementwise::add_product;
use crate::error::{Error, Result};
use crate::function::BlockFunction;
use crate::lanes::Real;
use crate::workspace::with_workspace;
use std::sync::Arc;

/// Gradient, and what else the user gave.
pub struct FunctionLoss<T: Real> {
    /// Parameters.
    pub dim: usize,
    /// `d` rows.
    pub grad: Arc<dyn BlockFunction<T>>,
    /// One row.
    pub value: Option<Arc<dyn BlockFunction<T>>>,
    /// `d × d` rows.
    pub hessian: Option<Arc<dyn BlockFunction<T>>>,
    /// `d` rows: the third derivative along a direction, twice. Its argument is a point and the direction after it, `2 d`
    /// rows.
    pub third: Option<Arc<dyn BlockFunction<T>>>,
}

impl<T: Real> Loss<T> for FunctionLoss<T> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let value = self.value.as_ref().ok_or_else(|| Error::missing("the value of the loss"))?;
        value.call(0.0, x, &[], out, span)
    }
    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.grad.call(0.0, x, &[self.dim], out, span)
    }
    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        let hessian = self.hessian.as_ref().ok_or_else(|| Error::missing("the hessian of the loss"))?;
        let (d, width) = (self.dim, span.width);
        // A whole Hessian a path has no place in a workspace; the user's function costs far more than this buffer.
        let mut rows = vec![T::default(); d * d * width];
        hessian.call(0.0, x, &[d, d], &mut rows, span)?;
        for (i, out) in out.chunks_exact_mut(width).enumerate().take(d) {
            out.fill(T::default());
            for j in 0..d {
                add_product(out, &rows[(i * d + j) * width..], &v[j * width..]);
            }
        }
        Ok(())
    }
    fn third_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        let third = self.third.as_ref().ok_or_else(|| Error::missing("the third derivative of the loss"))?;
        let len = self.dim * span.width;
        with_workspace(2 * len, |both| {
            both[..len].copy_from_slice(&x[..len]);
            both[len..].copy_from_slice(&v[..len]);
            third.call(0.0, both, &[self.dim], out, span)
        })
    }
    fn needs_calling_thread(&self) -> bool {
        self.grad.needs_calling_thread()
    }
}
