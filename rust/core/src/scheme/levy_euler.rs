//! Euler's scheme for equations driven by a stable Lévy process: `X' = X + a h + b h^{1/α} S`.

use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::add_scaled;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::noise::Stable;
use std::sync::Arc;

/// The Lévy–Euler scheme.
pub struct LevyEuler<T: Real> {
    sde: Arc<dyn Sde<T>>,
    stable: Stable,
    scale: f64,
}

impl<T: Real> LevyEuler<T> {
    /// Integrates `sde`, of kind Lévy.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Result<Self> {
        let (stable, scale) = sde.stable().ok_or_else(|| Error::missing("the stable law of the noise"))?;
        let stable = stable.clone();
        Ok(Self { sde, stable, scale })
    }
}

impl<T: Real> Stepper<T> for LevyEuler<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::default()
    }
    fn scratch_rows(&self) -> usize {
        self.sde.dim() + self.stable.rows().max(self.sde.dim())
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (a, work) = scratch.split_at_mut(x.len());
        self.sde.drift(step.t, x, a, work, step.span)?;
        add_scaled(x, a, step.h * self.sde.drift_scale());
        self.stable.add(step, self.scale * self.stable.spread(step.h), (0, 1), x, work);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
