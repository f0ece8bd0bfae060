//! Exponential splitting: the linear part of a drift exactly, with the noise, in two half steps around a step of the rest.

use super::{Draws, Step, Stepper};
use crate::block::Span;
use crate::dynamics::Sde;
use crate::elementwise::{add_scaled, assign_add_scaled, scale_add};
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::{LinearMap, Matrix, cholesky, ou_step};
use std::sync::Arc;

/// Strang's splitting of `dX = (-B (X - mean) + r(t, X)) dt + S dW`, with `Φ = exp(-B h/2)`:
///
/// ```text
/// Y  = mean + Φ (X - mean) + I_1        Z  = Y + h r(t + h/2, Y + (h/2) r(t, Y))        X' = mean + Φ (Z - mean) + I_2
/// ```
///
/// The noises of the halves, `I_1` and `I_2`, and the increment of the whole step are jointly Gaussian. With `K` the
/// integral of `exp(-B s)` over half a step, both have the mean `K S ΔW / h` given `ΔW`, and the covariances
/// `R + P` and `-P` between them, where `P = K S Sᵀ Kᵀ / h` and `R` is what a half step has given its own increment.
pub struct ExponentialSplitting<T: Real> {
    sde: Arc<dyn Sde<T>>,
    propagator: LinearMap<T>,
    mean: Vec<T>,
    /// `h B`.
    rate: LinearMap<T>,
    wiener: usize,
    from_increment: LinearMap<T>,
    first: LinearMap<T>,
    second: LinearMap<T>,
}

impl<T: Real> ExponentialSplitting<T> {
    /// Steps of length `h` of `sde`, which must have a linear part and constant noise.
    pub fn new(sde: Arc<dyn Sde<T>>, h: f64) -> Result<Self> {
        let linear = sde.linear_part().ok_or_else(|| {
            let message = "exponential_splitting takes the linear part of the drift exactly: constant noise and a loss \
                           with a quadratic part (Quadratic, Quartic, DoubleWell, Rastrigin, or one with l2); this \
                           equation has none. heun and sra1 take any drift";
            Error::invalid("method", message)
        })?;
        let (d, factor) = (linear.mean.len(), linear.factor.dense());
        let q = factor.congruence(&Matrix::identity(factor.cols()));
        let half = ou_step(&linear.rate, &q, 0.5 * h)?;
        let shared = half.integral.congruence(&q).scaled(1.0 / h);
        let own = half.residual_cov.plus(1.0, &shared);
        let parts = [&half.phi, &half.integral, &own];
        if parts.iter().any(|part| part.as_slice().iter().any(|x| !x.is_finite())) {
            let message =
                format!("the exact half step overflows: exp(-B dt/2) is not finite for dt = {h}; take a shorter one");
            return Err(Error::invalid("dt", message));
        }
        let joint = Matrix::from_fn(2 * d, 2 * d, |i, j| match (i < d, j < d) {
            (true, true) | (false, false) => own[(i % d, j % d)],
            _ => -shared[(i % d, j % d)],
        });
        let residual = cholesky(&joint, "cov")?;
        Ok(Self {
            propagator: LinearMap::new(&half.phi),
            mean: linear.mean.iter().map(|x| T::from_f64(*x)).collect(),
            rate: LinearMap::new(&linear.rate.scaled(h)),
            wiener: factor.cols(),
            from_increment: LinearMap::new(&half.integral.times(&factor).scaled(1.0 / h)),
            first: LinearMap::lower(&Matrix::from_fn(d, d, |i, j| residual[(i, j)])),
            second: LinearMap::new(&Matrix::from_fn(d, 2 * d, |i, j| residual[(d + i, j)])),
            sde,
        })
    }

    /// `out = h r(t, x)`.
    fn rest(&self, step: &Step<'_, T>, t: f64, x: &[T], out: &mut [T], work: &mut [T]) -> Result<()> {
        let (drift, work) = work.split_at_mut(x.len());
        self.sde.drift(t, x, drift, work, step.span)?;
        self.rate.apply_centered(x, &self.mean, out, step.span)?;
        add_scaled(out, drift, step.h * self.sde.drift_scale());
        Ok(())
    }

    /// `out = mean + Φ (x - mean)`.
    fn half(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.propagator.apply_centered_onto(x, &self.mean, &self.mean, out, span)
    }
}

impl<T: Real> Stepper<T> for ExponentialSplitting<T> {
    fn dim(&self) -> usize {
        self.mean.len()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.wiener, residuals: 2 * self.mean.len(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        5 * self.mean.len()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (n, normals) = (x.len(), step.beside.residuals);
        let (y, rest) = scratch.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (slope, work) = rest.split_at_mut(n);
        self.half(x, y, span)?;
        self.from_increment.add_apply(dw, y, span)?;
        self.first.add_apply(&normals[..n], y, span)?;
        self.rest(step, t, y, slope, work)?;
        assign_add_scaled(point, y, slope, 0.5);
        self.rest(step, t + 0.5 * h, point, slope, work)?;
        scale_add(slope, y, 1.0);
        self.half(slope, x, span)?;
        self.from_increment.add_apply(dw, x, span)?;
        self.second.add_apply(normals, x, span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
