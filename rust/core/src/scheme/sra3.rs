//! SRA3: Rößler's scheme of strong order 3/2 for additive noise, with three evaluations of the drift: of order 3 without noise.

use super::additive::{AdditiveNoise, draws_with_integrals};
use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{add_three, assign_add_scaled, assign_add_two};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::Arc;

/// With `I = ∫ (W(s) - W(t)) ds`:
///
/// ```text
/// H2 = X + a(t, X) h
/// H3 = X + (h/4) [a(t, X) + a(t+h, H2)] + (b(t+h) + b(t)/2) I/h
/// X' = X + h [a(t, X)/6 + a(t+h, H2)/6 + (2/3) a(t + h/2, H3)] + b(t+h) ΔW + (b(t) - b(t+h)) I/h
/// ```
pub struct Sra3<T: Real> {
    sde: Arc<dyn Sde<T>>,
    noise: AdditiveNoise<T>,
    draws: Draws,
}

impl<T: Real> Sra3<T> {
    /// Integrates `sde`, whose noise does not depend on the state.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Result<Self> {
        let draws = draws_with_integrals(sde.as_ref(), "sra3")?;
        Ok(Self { noise: AdditiveNoise::new(sde.clone()), sde, draws })
    }
}

impl<T: Real> Stepper<T> for Sra3<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        self.draws
    }
    fn scratch_rows(&self) -> usize {
        4 * self.sde.dim() + self.sde.dim().max(self.noise.rows())
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, span, .. } = *step;
        let (n, integral) = (x.len(), step.beside.time_integrals);
        let (a, rest) = scratch.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (end, rest) = rest.split_at_mut(n);
        let (middle, work) = rest.split_at_mut(n);
        let c = h * self.sde.drift_scale();
        self.sde.drift(t, x, a, &mut work[..n], span)?;
        assign_add_scaled(point, x, a, c);
        self.sde.drift(t + h, point, end, &mut work[..n], span)?;
        assign_add_two(point, x, a, end, 0.25 * c, 0.25 * c);
        if self.noise.is_constant() {
            self.noise.add(t, x, integral, 1.5 / h, point, work, span)?;
        } else {
            self.noise.add(t + h, x, integral, 1.0 / h, point, work, span)?;
            self.noise.add(t, x, integral, 0.5 / h, point, work, span)?;
        }
        self.sde.drift(t + 0.5 * h, point, middle, &mut work[..n], span)?;
        self.noise.add_step(step, x, point, work)?;
        add_three(x, a, end, middle, c / 6.0, c / 6.0, 2.0 * c / 3.0);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
