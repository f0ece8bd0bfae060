//! Gradients with noise of heavy tails, drawn at the address of the step.

use super::{StochasticGradient, weights};
use crate::elementwise::{add_scaled, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::LinearMap;
use crate::loss::Loss;
use crate::noise::{Factor, Stable};
use crate::rng::{HeavyTails, Tag, fill_heavy_tails};
use crate::scheme::Step;
use std::sync::Arc;

/// `∇f(x) + L t sqrt((ν-2)/ν)`, the components of `t` independent of Student's law: covariance `L Lᵀ`.
pub struct StudentGradient<T: Real> {
    loss: Arc<dyn Loss<T>>,
    df: f64,
    factor: Factor,
    full: Option<LinearMap<T>>,
    /// Of each draw, the unit of variance and the batch size included.
    weights: Vec<f64>,
}

impl<T: Real> StudentGradient<T> {
    /// Of `df > 2` degrees of freedom and covariance `factor factorᵀ / batch_size`; `variance` is SVAG's, 1 for the
    /// algorithm itself.
    pub fn new(loss: Arc<dyn Loss<T>>, df: f64, factor: Factor, batch_size: f64, variance: f64) -> Self {
        debug_assert!(df > 2.0);
        let full = match &factor {
            Factor::Lower(lower) => Some(LinearMap::lower(lower)),
            Factor::Diagonal(_) => None,
        };
        let unit = ((df - 2.0) / (df * batch_size)).sqrt();
        let weights = weights(variance).into_iter().map(|weight| weight * unit).collect();
        Self { loss, df, factor, full, weights }
    }
}

impl<T: Real> StochasticGradient<T> for StudentGradient<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn scratch_rows(&self) -> usize {
        2 * self.dim()
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (span, d) = (step.span, self.dim() as u64);
        self.loss.grad(x, out, span)?;
        let (t, z) = scratch.split_at_mut(self.dim() * span.width);
        let z = &mut z[..t.len()];
        let first = step.at.blocks(d * self.weights.len() as u64).start;
        for (draw, weight) in (0..).zip(&self.weights) {
            let blocks = first + draw * d..first + (draw + 1) * d;
            fill_heavy_tails(HeavyTails::Student(self.df), step.at.stream(Tag::JUMP), blocks, span.width, t);
            if let Some(full) = &self.full {
                z.fill(T::default());
                full.add_apply(t, z, span)?;
                add_scaled(out, z, *weight);
            } else if let Factor::Diagonal(deviations) = &self.factor {
                scale_rows(t, deviations, span.width);
                add_scaled(out, t, *weight);
            }
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}

/// `∇f(x) + c S`, S symmetric α-stable: of a batch of one.
pub struct StableGradient<T: Real> {
    loss: Arc<dyn Loss<T>>,
    noise: Stable,
    weights: Vec<f64>,
}

impl<T: Real> StableGradient<T> {
    /// `variance` is SVAG's, 1 for the algorithm itself.
    pub fn new(loss: Arc<dyn Loss<T>>, noise: Stable, variance: f64) -> Self {
        Self { loss, noise, weights: weights(variance) }
    }
}

impl<T: Real> StochasticGradient<T> for StableGradient<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn scratch_rows(&self) -> usize {
        self.noise.rows()
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        self.loss.grad(x, out, step.span)?;
        let copies = self.weights.len() as u64;
        for (copy, weight) in (0..).zip(&self.weights) {
            self.noise.add(step, *weight, (copy, copies), out, scratch);
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}
