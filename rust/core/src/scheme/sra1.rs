//! SRA1: Rößler's scheme of strong order 3/2 for additive noise, with two evaluations of the drift.

use super::additive::{AdditiveNoise, draws_with_integrals};
use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{add_two, assign_add_scaled};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::Arc;

/// With `I = ∫ (W(s) - W(t)) ds`:
///
/// ```text
/// H  = X + (3/4) a(t, X) h + (3/2) b(t+h) I/h
/// X' = X + h [a(t, X)/3 + (2/3) a(t + 3h/4, H)] + b(t+h) ΔW + (b(t) - b(t+h)) I/h
/// ```
pub struct Sra1<T: Real> {
    sde: Arc<dyn Sde<T>>,
    noise: AdditiveNoise<T>,
    draws: Draws,
}

impl<T: Real> Sra1<T> {
    /// Integrates `sde`, whose noise does not depend on the state.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Result<Self> {
        let draws = draws_with_integrals(sde.as_ref(), "sra1")?;
        Ok(Self { noise: AdditiveNoise::new(sde.clone()), sde, draws })
    }
}

impl<T: Real> Stepper<T> for Sra1<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        self.draws
    }
    fn scratch_rows(&self) -> usize {
        3 * self.sde.dim() + self.sde.dim().max(self.noise.rows())
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, span, .. } = *step;
        let (n, integral) = (x.len(), step.beside.time_integrals);
        let (a, rest) = scratch.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (later, work) = rest.split_at_mut(n);
        let c = h * self.sde.drift_scale();
        self.sde.drift(t, x, a, &mut work[..n], span)?;
        assign_add_scaled(point, x, a, 0.75 * c);
        self.noise.add(t + h, x, integral, 1.5 / h, point, work, span)?;
        self.sde.drift(t + 0.75 * h, point, later, &mut work[..n], span)?;
        self.noise.add_step(step, x, point, work)?;
        add_two(x, a, later, c / 3.0, 2.0 * c / 3.0);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
