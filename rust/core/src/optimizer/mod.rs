//! The discrete algorithms: a stochastic gradient at each step, and the update of one file a family.

mod gaussian;

pub use gaussian::GaussianGradient;

use crate::error::Result;
use crate::lanes::Real;
use crate::scheme::Step;

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
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// The weights of the two gradients that a step of SVAG combines: their sum is 1, the sum of their squares `variance`.
///
/// Li, Malladi, Arora (2021): `variance = l` for SGD; Malladi et al. (2022): `l²` for adaptive methods.
pub fn svag_weights(variance: f64) -> [f64; 2] {
    let root = (2.0 * variance - 1.0).sqrt();
    [(1.0 + root) / 2.0, (1.0 - root) / 2.0]
}
