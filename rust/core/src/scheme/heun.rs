//! Heun's scheme for additive noise: an Euler step, then the trapezoidal rule on the drift and on a changing deviation.

use super::euler_maruyama::{Diffusion, EulerMaruyama};
use super::{Draws, Step, Stepper, Steps};
use crate::dynamics::Sde;
use crate::elementwise::{trapezoid, trapezoid_noise};
use crate::error::Result;
use crate::lanes::Real;
use crate::loss::Rule;
use std::sync::Arc;

/// `Y = X + a h + b ΔW`, `X' = Y + (h/2)(a(t+h, Y) - a) + (1/2)(b(t+h) - b) ΔW`.
///
/// Written as a correction of the Euler step it needs no second product with the factor of the noise.
pub struct Heun<T: Real> {
    sde: Arc<dyn Sde<T>>,
    euler: EulerMaruyama<T>,
}

impl<T: Real> Heun<T> {
    /// Integrates `sde`, whose noise does not depend on the state.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { euler: EulerMaruyama::in_parts(sde.clone()), sde }
    }
}

impl<T: Real> Stepper<T> for Heun<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        self.euler.draws()
    }
    fn scratch_rows(&self) -> usize {
        self.sde.dim() + self.euler.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (later, rest) = scratch.split_at_mut(x.len());
        let mut parts = self.euler.parts(rest, span.width);
        self.euler.advance(step, x, &mut parts)?;
        self.sde.drift(t + h, x, later, parts.work, span)?;
        trapezoid(x, parts.a, later, 0.5 * h * self.sde.drift_scale());
        match self.euler.diffusion() {
            Diffusion::None | Diffusion::Deviations(_) | Diffusion::Constant(_) => {}
            Diffusion::Diagonal => {
                self.sde.diagonal(t + h, x, later, span)?;
                trapezoid_noise(x, parts.b, later, dw, 0.5);
            }
            Diffusion::Full => {
                self.sde.noise(t + h, x, dw, later, parts.factor, span)?;
                trapezoid(x, parts.b, later, 0.5);
            }
        }
        Ok(())
    }
    fn leaps(&self) -> u64 {
        self.euler.leaps()
    }
    fn leap(&self, steps: &Steps<'_, T>, x: &mut [T]) -> Result<()> {
        self.euler.leap_by(Rule::Heun, steps, x)
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
