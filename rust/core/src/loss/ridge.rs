//! A loss with an L2 penalty on the parameters: what optimizers call weight decay.

use super::{Loss, Quadratic};
use crate::block::Span;
use crate::elementwise::add_scaled;
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::Matrix;
use std::sync::Arc;

/// `f(x) + (decay / 2) |x|²`.
pub struct Ridge<T: Real> {
    loss: Arc<dyn Loss<T>>,
    decay: f64,
}

impl<T: Real> Ridge<T> {
    /// The loss with its penalty; the loss itself where there is none.
    pub fn over(loss: Arc<dyn Loss<T>>, decay: f64) -> Arc<dyn Loss<T>> {
        if decay == 0.0 { loss } else { Arc::new(Self { loss, decay }) }
    }
}

impl<T: Real> Loss<T> for Ridge<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.value(x, out, span)?;
        for row in x.chunks_exact(span.width).take(self.dim()) {
            crate::elementwise::add_scaled_square(out, row, 0.5 * self.decay);
        }
        Ok(())
    }
    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.grad(x, out, span)?;
        add_scaled(&mut out[..self.dim() * span.width], x, self.decay);
        Ok(())
    }
    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.hess_vec(x, v, out, span)?;
        add_scaled(&mut out[..self.dim() * span.width], v, self.decay);
        Ok(())
    }
    fn bowl(&self) -> Option<Quadratic<f64>> {
        // About the center of the loss's own bowl, where it has one: what is left of the gradient is constant.
        let penalty = vec![self.decay; self.dim()];
        match self.loss.bowl() {
            Some(own) => {
                let h = own.matrix().plus(1.0, &Matrix::of_diagonal(&penalty));
                Quadratic::full(&h, own.center().map(<[f64]>::to_vec)).ok()
            }
            None => Quadratic::diagonal(penalty, None).ok(),
        }
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}
