//! Gradients with Gaussian noise, made of the Wiener path: the noise that an algorithm shares with its equation.

use super::StochasticGradient;
use crate::error::Result;
use crate::lanes::Real;
use crate::loss::Loss;
use crate::noise::{GradientNoise, Noise};
use crate::scheme::Step;
use std::sync::Arc;

/// `∇f(x) + S(x) ΔW / sqrt(h)`, times a constant in the noise.
pub struct GaussianGradient<T: Real> {
    loss: Arc<dyn Loss<T>>,
    noise: GradientNoise<T>,
}

impl<T: Real> GaussianGradient<T> {
    /// `variance` is what SVAG multiplies the covariance by, 1 for the algorithm itself. Two Gaussian gradients combined
    /// have the law of one.
    pub fn new(loss: Arc<dyn Loss<T>>, noise: Arc<dyn Noise<T>>, batch_size: f64, variance: f64) -> Self {
        Self { loss, noise: GradientNoise::new(noise, (variance / batch_size).sqrt()) }
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
        self.dim() + self.noise.scratch_rows()
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        let span = step.span;
        let (z, rest) = scratch.split_at_mut(self.dim() * span.width);
        let dw = &step.dw[..self.n_wiener() * span.width];
        self.loss.grad(x, out, span)?;
        self.noise.add(x, 1.0 / step.h.sqrt(), dw, out, [z, rest], span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.model().needs_calling_thread()
    }
}
