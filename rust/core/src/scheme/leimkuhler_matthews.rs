//! Leimkuhler and Matthews's scheme for overdamped Langevin dynamics: each step averages two successive increments.

use super::euler_maruyama::EulerMaruyama;
use super::{Draws, Step, Stepper, Steps};
use crate::dynamics::Sde;
use crate::elementwise::{add_scaled, scale};
use crate::error::Result;
use crate::lanes::Real;
use crate::loss::Rule;
use std::sync::Arc;

/// `X' = X + a h + b (ΔW_n + ΔW_{n+1})/2`: an Euler step whose error of the stationary law is of order 2.
pub struct LeimkuhlerMatthews<T: Real> {
    euler: EulerMaruyama<T>,
    wiener: usize,
}

impl<T: Real> LeimkuhlerMatthews<T> {
    /// Integrates `sde`, whose drift is a gradient and whose noise is as constant as its mobility.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { wiener: sde.n_wiener(), euler: EulerMaruyama::in_parts(sde) }
    }
}

impl<T: Real> Stepper<T> for LeimkuhlerMatthews<T> {
    fn dim(&self) -> usize {
        self.euler.dim()
    }
    fn draws(&self) -> Draws {
        Draws { ahead: true, ..self.euler.draws() }
    }
    fn scratch_rows(&self) -> usize {
        self.wiener + self.euler.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let width = step.span.width;
        let (average, rest) = scratch.split_at_mut(self.wiener * width);
        average.copy_from_slice(step.dw);
        add_scaled(average, step.beside.ahead, 1.0);
        scale(average, 0.5);
        self.euler.advance(&Step { dw: average, ..*step }, x, &mut self.euler.parts(rest, width))
    }
    fn leaps(&self) -> u64 {
        self.euler.leaps()
    }
    fn leap(&self, steps: &Steps<'_, T>, x: &mut [T]) -> Result<()> {
        self.euler.leap_by(Rule::Averaged, steps, x)
    }
    fn needs_calling_thread(&self) -> bool {
        self.euler.needs_calling_thread()
    }
}
