//! Gradient flow, and the modified flow of backward error analysis (Barrett & Dherin 2021): equations without noise.

use super::Sde;
use crate::block::Span;
use crate::elementwise;
use crate::error::Result;
use crate::lanes::Real;
use crate::loss::Loss;
use crate::noise::NoiseKind;
use std::sync::Arc;

/// `dX/dt = -∇f` (order 1) or `-(∇f + (η/2) ∇²f ∇f)` (order 2).
pub struct GradientFlow<T: Real> {
    loss: Arc<dyn Loss<T>>,
    /// `η/2` of the second-order term; None at order 1.
    half_lr: Option<f64>,
}

impl<T: Real> GradientFlow<T> {
    /// The flow of gradient descent with this learning rate, of order 1 or 2.
    pub fn new(loss: Arc<dyn Loss<T>>, lr: f64, order: u8) -> Self {
        Self { loss, half_lr: (order == 2).then_some(0.5 * lr) }
    }
}

impl<T: Real> Sde<T> for GradientFlow<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::None
    }
    fn drift(&self, _t: f64, x: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        match self.half_lr {
            None => self.loss.grad(x, out, span),
            Some(half_lr) => {
                self.loss.grad(x, scratch, span)?;
                self.loss.hess_vec(x, scratch, out, span)?;
                elementwise::scale_add(out, &scratch[..out.len()], half_lr);
                Ok(())
            }
        }
    }
    fn drift_scale(&self) -> f64 {
        -1.0
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}
