//! Gradients with Gaussian noise, made of the Wiener path: the noise that an algorithm shares with its equation.

use super::StochasticGradient;
use crate::elementwise::{add_scaled, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::Dense;
use crate::loss::Loss;
use crate::noise::{Factor, Noise};
use crate::scheme::Step;
use std::sync::Arc;

/// `∇f(x) + S(x) ΔW / sqrt(h)`, times a constant in the noise.
pub struct GaussianGradient<T: Real> {
    loss: Arc<dyn Loss<T>>,
    noise: Arc<dyn Noise<T>>,
    /// `sqrt(variance / batch size)`.
    scale: f64,
    full: Option<Dense<T>>,
}

impl<T: Real> GaussianGradient<T> {
    /// `variance` is what SVAG multiplies the covariance by, 1 for the algorithm itself. Two Gaussian gradients combined
    /// have the law of one.
    pub fn new(loss: Arc<dyn Loss<T>>, noise: Arc<dyn Noise<T>>, batch_size: f64, variance: f64) -> Self {
        let full = match noise.constant() {
            Some(Factor::Lower(lower)) => Some(Dense::lower(lower)),
            _ => None,
        };
        Self { loss, noise, scale: (variance / batch_size).sqrt(), full }
    }
}

impl<T: Real> StochasticGradient<T> for GaussianGradient<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        self.noise.n_wiener()
    }
    fn scratch_rows(&self) -> usize {
        let (d, m) = (self.dim(), self.n_wiener());
        match self.noise.constant() {
            Some(_) => d,
            None => d + d * m,
        }
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        let span = step.span;
        self.loss.grad(x, out, span)?;
        if self.n_wiener() == 0 {
            return Ok(());
        }
        let scale = self.scale / step.h.sqrt();
        let (z, rest) = scratch.split_at_mut(self.dim() * span.width);
        let dw = &step.dw[..self.n_wiener() * span.width];
        match (self.noise.constant(), &self.full) {
            (Some(Factor::Diagonal(s)), _) => {
                z.copy_from_slice(dw);
                scale_rows(z, s, span.width);
            }
            (_, Some(full)) => {
                z.fill(T::default());
                full.add_apply(dw, z, span)?;
            }
            _ => {
                self.noise.apply(x, T::from_f64(scale), dw, z, rest, span)?;
                add_scaled(out, z, 1.0);
                return Ok(());
            }
        }
        add_scaled(out, z, scale);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.needs_calling_thread()
    }
}
