//! The discrete algorithms: a stochastic gradient at each step, and the update of one file a family.

mod adaptive;
mod gaussian;
mod gaussian_inputs;
mod heavy_tails;
mod minibatch;
mod sam;
mod sampling;
mod sgd;
mod sign;

pub use adaptive::{Adaptive, Averages};
pub use gaussian::GaussianGradient;
pub use gaussian_inputs::GaussianInputsGradient;
pub use heavy_tails::{StableGradient, StudentGradient};
pub use minibatch::{Labels, MinibatchGradient};
pub use sam::{Ascent, Sam};
pub use sampling::{Sampler, Sampling};
pub use sgd::{Momentum, MomentumSgd, Sgd};
pub use sign::SignSgd;

use crate::block::Span;
use crate::elementwise::add_scaled;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::loss::Descent;
use crate::scheme::{Step, StepAddress, Steps};
use std::sync::Arc;

/// The gradient that an algorithm uses in a step: `∇f(x) + z`, with noise of mean 0.
pub trait StochasticGradient<T: Real>: Send + Sync {
    /// Parameters `d`.
    fn dim(&self) -> usize;
    /// Wiener processes of group 0 that the noise is made of; 0 where it is drawn otherwise.
    fn n_wiener(&self) -> usize;
    /// Rows of scratch memory.
    fn scratch_rows(&self) -> usize;
    /// Writes the gradient of the step at the parameters `x`, `d` rows; `step.h` is the clock's time of the step.
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()>;
    /// The most steps that [`StochasticGradient::descend`] takes at once; 1 where there is no kernel for more.
    fn descends(&self) -> usize {
        1
    }
    /// Takes steps of plain SGD, the first of them the step at this address: those of as many gradients and updates.
    fn descend(&self, _at: StepAddress, _steps: Descent<'_>, _x: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("a kernel for many steps"))
    }
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// A gradient whose loss has an L2 penalty besides, `λ x`, which no noise model knows of.
pub struct Penalised<T: Real> {
    gradient: Arc<dyn StochasticGradient<T>>,
    decay: f64,
}

impl<T: Real> Penalised<T> {
    /// The gradient with its penalty; the gradient itself where there is none.
    pub fn over(gradient: Arc<dyn StochasticGradient<T>>, decay: f64) -> Arc<dyn StochasticGradient<T>> {
        if decay == 0.0 { gradient } else { Arc::new(Self { gradient, decay }) }
    }
}

impl<T: Real> StochasticGradient<T> for Penalised<T> {
    fn dim(&self) -> usize {
        self.gradient.dim()
    }
    fn n_wiener(&self) -> usize {
        self.gradient.n_wiener()
    }
    fn scratch_rows(&self) -> usize {
        self.gradient.scratch_rows()
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        self.gradient.sample(step, x, out, scratch)?;
        add_scaled(out, x, self.decay);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.gradient.needs_calling_thread()
    }
}

/// How an algorithm counts its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Its steps in one of the optimizer's: 1; more for SVAG.
    pub inner: f64,
}

impl Clock {
    /// The number of the step.
    pub fn index<T>(self, step: &Step<'_, T>) -> f64 {
        (step.t / step.h).round()
    }

    /// The number of the optimizer's step, in which schedules count; not whole within one of them.
    pub fn step<T>(self, step: &Step<'_, T>) -> f64 {
        self.index(step) / self.inner
    }

    /// [`Clock::step`] of several steps.
    pub fn steps<T>(self, steps: &Steps<'_, T>) -> impl Iterator<Item = f64> + use<T> {
        let first = (steps.t / steps.h).round();
        (0..steps.count).map(move |k| (first + k as f64) / self.inner)
    }
}

/// The weights of the two gradients that a step of SVAG combines: their sum is 1, the sum of their squares `variance`.
///
/// Li, Malladi, Arora (2021): `variance = l` for SGD; Malladi et al. (2022): `l²` for adaptive methods.
pub fn svag_weights(variance: f64) -> [f64; 2] {
    let root = (2.0 * variance - 1.0).sqrt();
    [(1.0 + root) / 2.0, (1.0 - root) / 2.0]
}

/// The weights of the independent draws of a step: one, or two for SVAG.
fn weights(variance: f64) -> Vec<f64> {
    if variance == 1.0 { vec![1.0] } else { svag_weights(variance).to_vec() }
}
