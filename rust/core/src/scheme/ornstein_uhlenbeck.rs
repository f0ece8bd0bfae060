//! Exact steps of linear equations with additive noise, drawn jointly with the Wiener increment.

use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::{Dense, Matrix, cholesky, ou};

/// `X' = mean + Φ (X - mean) + G ΔW + R ξ`.
///
/// The stochastic integral `I = ∫ e^{-A(h-s)} S dW` and the increment are jointly Gaussian: `G ΔW` is the conditional
/// mean of `I` with `G = K S / h`, `K = ∫ e^{-As} ds`, and `R Rᵀ = Cov(I) - h G Gᵀ` what is left.
pub struct ExactOrnsteinUhlenbeck<T: Real> {
    propagator: Dense<T>,
    mean: Vec<f64>,
    from_increment: Dense<T>,
    residual: Dense<T>,
}

impl<T: Real> ExactOrnsteinUhlenbeck<T> {
    /// Steps of length `h` of `sde`, which must be linear.
    pub fn new(sde: &dyn Sde<T>, h: f64) -> Result<Self> {
        let linear = sde.linear().ok_or_else(|| {
            Error::invalid(
                "method",
                "ornstein_uhlenbeck needs a linear drift and additive noise; this dynamics' drift is not linear. \
                 euler_maruyama takes any drift"
                    .to_owned(),
            )
        })?;
        let factor = linear.factor.dense();
        let q = factor.times(&factor.transpose());
        let exact = ou(&linear.rate, &q, h)?;
        let g = exact.integral.times(&factor).map(|x| x / h);
        let explained = g.times(&g.transpose()).map(|x| x * h);
        let residual = cholesky(&exact.covariance.minus(&explained))?;
        Ok(Self {
            propagator: Dense::new(&exact.propagator),
            mean: linear.mean.clone(),
            from_increment: Dense::new(&g),
            residual: Dense::lower(&residual),
        })
    }
}

impl<T: Real> Stepper<T> for ExactOrnsteinUhlenbeck<T> {
    fn dim(&self) -> usize {
        self.mean.len()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.mean.len(), iterated: false, residuals: self.mean.len() }
    }
    fn scratch_rows(&self) -> usize {
        self.mean.len()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let width = step.span.width;
        let next = &mut scratch[..x.len()];
        self.propagator.apply_centered(x, &self.mean, next, width);
        for (row, mean) in x.chunks_exact_mut(width).zip(&self.mean) {
            row.fill(T::from_f64(*mean));
        }
        crate::elementwise::add_scaled(x, next, 1.0);
        self.from_increment.add_apply(step.dw, x, width);
        self.residual.add_apply(step.residuals, x, width);
        Ok(())
    }
}
