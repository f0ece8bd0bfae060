//! Exact steps of linear equations with additive noise, drawn jointly with the Wiener increment.

use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::{LinearMap, Matrix, cholesky_beside, ou_step};

/// `X' = mean + Φ (X - mean) + G ΔW + R ξ`.
///
/// The stochastic integral `I = ∫ e^{-A(h-s)} S dW` and the increment are jointly Gaussian: `G ΔW` is the conditional
/// mean of `I` with `G = K S / h`, `K = ∫ e^{-As} ds`, and `R Rᵀ` its conditional covariance.
pub struct ExactOrnsteinUhlenbeck<T: Real> {
    propagator: LinearMap<T>,
    mean: Vec<T>,
    wiener: usize,
    from_increment: LinearMap<T>,
    residual: LinearMap<T>,
}

impl<T: Real> ExactOrnsteinUhlenbeck<T> {
    /// Steps of length `h` of `sde`, which must be linear.
    pub fn new(sde: &dyn Sde<T>, h: f64) -> Result<Self> {
        let linear = sde.linear().ok_or_else(|| Error::missing("a linear drift with constant noise"))?;
        let factor = linear.factor.dense();
        let exact = ou_step(&linear.rate, &factor.congruence(&Matrix::identity(factor.cols())), h)?;
        let parts = [&exact.phi, &exact.integral, &exact.cov, &exact.residual_cov];
        if parts.iter().any(|part| part.as_slice().iter().any(|x| !x.is_finite())) {
            let message =
                format!("the exact step overflows: exp(-A dt) is not finite for dt = {h}; take a shorter one");
            return Err(Error::invalid("dt", message));
        }
        // Each doubling of the step doubles an error of rounding in the residual along a slow direction. The variance of
        // the step grows there no slower, and so bounds what has become of them.
        let variances: Vec<f64> = (0..linear.mean.len()).map(|i| exact.cov[(i, i)]).collect();
        Ok(Self {
            propagator: LinearMap::new(&exact.phi),
            mean: linear.mean.iter().map(|x| T::from_f64(*x)).collect(),
            wiener: factor.cols(),
            from_increment: LinearMap::new(&exact.integral.times(&factor).scaled(1.0 / h)),
            residual: LinearMap::lower(&cholesky_beside(&exact.residual_cov, &variances, "cov")?),
        })
    }
}

impl<T: Real> Stepper<T> for ExactOrnsteinUhlenbeck<T> {
    fn dim(&self) -> usize {
        self.mean.len()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.wiener, residuals: self.mean.len(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        self.mean.len()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let next = &mut scratch[..x.len()];
        self.propagator.apply_centered_onto(x, &self.mean, &self.mean, next, step.span)?;
        self.from_increment.add_apply(step.dw, next, step.span)?;
        self.residual.add_apply(step.beside.residuals, next, step.span)?;
        x.copy_from_slice(next);
        Ok(())
    }
}
