//! The classical Runge–Kutta method of order 4, for equations without noise.

use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{assign_add_scaled, runge_kutta};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::Arc;

/// Four drift evaluations a step.
pub struct RungeKutta4<T: Real>(Arc<dyn Sde<T>>);

impl<T: Real> RungeKutta4<T> {
    /// Integrates `sde`, which has no noise.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self(sde)
    }
}

impl<T: Real> Stepper<T> for RungeKutta4<T> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn draws(&self) -> Draws {
        Draws::default()
    }
    fn scratch_rows(&self) -> usize {
        6 * self.0.dim()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, span, .. } = *step;
        let n = x.len();
        let (a1, rest) = scratch.split_at_mut(n);
        let (a2, rest) = rest.split_at_mut(n);
        let (a3, rest) = rest.split_at_mut(n);
        let (a4, rest) = rest.split_at_mut(n);
        let (y, work) = rest.split_at_mut(n);
        let c = h * self.0.drift_scale();
        self.0.drift(t, x, a1, work, span)?;
        assign_add_scaled(y, x, a1, 0.5 * c);
        self.0.drift(t + 0.5 * h, y, a2, work, span)?;
        assign_add_scaled(y, x, a2, 0.5 * c);
        self.0.drift(t + 0.5 * h, y, a3, work, span)?;
        assign_add_scaled(y, x, a3, c);
        self.0.drift(t + h, y, a4, work, span)?;
        runge_kutta(x, a1, a2, a3, a4, c / 6.0, 2.0);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.0.needs_calling_thread()
    }
}
