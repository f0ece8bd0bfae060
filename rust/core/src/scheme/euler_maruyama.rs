//! Euler–Maruyama: `X' = X + a h + b ΔW`. Also the discrete SGD with Gaussian noise, which is this with `h = lr`.

use super::{Draws, Step, Stepper, Steps};
use crate::dynamics::Sde;
use crate::elementwise::{add_scaled, euler_constant, euler_diagonal, euler_noise};
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::LinearMap;
use crate::loss::{Leap, Rule};
use crate::noise::{Factor, NoiseKind};
use std::sync::Arc;

/// How the noise enters, decided once.
pub(super) enum Diffusion<T: Real> {
    None,
    Deviations(Vec<f64>),
    Constant(LinearMap<T>),
    Diagonal,
    Full,
}

/// Rows that a step works in: the drift and what it needs, and the noise where it is not constant.
pub(super) struct Parts<'a, T> {
    /// The drift at the start of the step, `d` rows.
    pub a: &'a mut [T],
    /// Scratch of the drift, `d` rows.
    pub work: &'a mut [T],
    /// Deviations of a diagonal kind, the noise of the step of another; `d` rows, none where the factor is constant.
    pub b: &'a mut [T],
    /// Scratch of the noise, `d·m` rows for kinds that are not diagonal.
    pub factor: &'a mut [T],
}

/// The Euler–Maruyama scheme.
pub struct EulerMaruyama<T: Real> {
    sde: Arc<dyn Sde<T>>,
    diffusion: Diffusion<T>,
    /// The equation takes the whole step.
    fused: bool,
}

impl<T: Real> EulerMaruyama<T> {
    /// Integrates `sde`.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        let fused = sde.has_euler_step();
        Self { fused, ..Self::in_parts(sde) }
    }

    /// Integrates `sde` in parts that other schemes can go on from.
    pub(super) fn in_parts(sde: Arc<dyn Sde<T>>) -> Self {
        let diffusion = match (sde.constant(), sde.kind()) {
            (_, NoiseKind::None) => Diffusion::None,
            (Some(Factor::Diagonal(s)), _) => Diffusion::Deviations(s.clone()),
            (Some(Factor::Lower(l)), _) => Diffusion::Constant(LinearMap::lower(l)),
            (None, kind) if kind.is_diagonal() => Diffusion::Diagonal,
            _ => Diffusion::Full,
        };
        Self { sde, diffusion, fused: false }
    }

    /// How its noise enters.
    pub(super) fn diffusion(&self) -> &Diffusion<T> {
        &self.diffusion
    }

    /// The rows of [`Parts`], cut from scratch of [`Stepper::scratch_rows`] rows.
    pub(super) fn parts<'a>(&self, scratch: &'a mut [T], width: usize) -> Parts<'a, T> {
        let n = self.sde.dim() * width;
        let noisy = matches!(self.diffusion, Diffusion::Diagonal | Diffusion::Full);
        let (a, rest) = scratch.split_at_mut(n);
        let (work, rest) = rest.split_at_mut(n);
        let (b, factor) = rest.split_at_mut(if noisy { n } else { 0 });
        Parts { a, work, b, factor }
    }

    /// Takes the step; what the parts then hold belongs to its start.
    pub(super) fn advance(&self, step: &Step<'_, T>, x: &mut [T], parts: &mut Parts<'_, T>) -> Result<()> {
        self.sde.drift(step.t, x, parts.a, parts.work, step.span)?;
        self.advance_by(step, x, parts)
    }

    /// Takes the step with the drift that the parts hold.
    pub(super) fn advance_by(&self, step: &Step<'_, T>, x: &mut [T], parts: &mut Parts<'_, T>) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let Parts { a, b, factor, .. } = parts;
        let c = h * self.sde.drift_scale();
        match &self.diffusion {
            Diffusion::None => add_scaled(x, a, c),
            Diffusion::Deviations(s) => euler_constant(x, a, dw, c, s, span.width),
            Diffusion::Constant(factor) => {
                add_scaled(x, a, c);
                factor.add_apply(dw, x, span)?;
            }
            Diffusion::Diagonal => {
                self.sde.diagonal(t, x, b, span)?;
                euler_diagonal(x, a, b, dw, c);
            }
            Diffusion::Full => {
                self.sde.noise(t, x, dw, b, factor, span)?;
                euler_noise(x, a, b, c);
            }
        }
        Ok(())
    }

    /// The constant deviations of the coordinates, where the equation takes many steps at once.
    fn deviations(&self) -> Option<&[f64]> {
        match &self.diffusion {
            Diffusion::Deviations(s) if self.sde.leaps() => Some(s),
            _ => None,
        }
    }

    /// Takes many steps by a rule of constant deviations.
    pub(super) fn leap_by<'a>(
        &'a self,
        rule: fn(&'a [f64]) -> Rule<'a>,
        steps: &Steps<'_, T>,
        x: &mut [T],
    ) -> Result<()> {
        let rule = rule(self.deviations().ok_or_else(|| Error::missing("a kernel for many steps"))?);
        let Steps { h, dw, count, span, .. } = *steps;
        self.sde.leap(Leap { c: h * self.sde.drift_scale(), rule, dw, count }, x, span)
    }
}

impl<T: Real> Stepper<T> for EulerMaruyama<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        let d = self.sde.dim();
        if self.fused {
            return self.sde.euler_step_rows();
        }
        match self.diffusion {
            Diffusion::None | Diffusion::Deviations(_) | Diffusion::Constant(_) => 2 * d,
            Diffusion::Diagonal => 3 * d,
            Diffusion::Full => 3 * d + self.sde.noise_rows(),
        }
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        if self.fused {
            return self.sde.euler_step(step.t, step.h, x, step.dw, scratch, step.span);
        }
        self.advance(step, x, &mut self.parts(scratch, step.span.width))
    }
    fn leaps(&self) -> u64 {
        if self.deviations().is_some() { u64::MAX } else { 1 }
    }
    fn leap(&self, steps: &Steps<'_, T>, x: &mut [T]) -> Result<()> {
        self.leap_by(Rule::Euler, steps, x)
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
