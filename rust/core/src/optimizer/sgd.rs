//! SGD itself: plain, with heavy-ball or Nesterov momentum, and SVAG, which is plain SGD with smaller steps.

use super::{Clock, StochasticGradient};
use crate::block::Span;
use crate::dynamics::Friction;
use crate::elementwise::{add_scaled, assign_add_scaled, scale};
use crate::error::Result;
use crate::lanes::Real;
use crate::loss::Descent;
use crate::rates::Rates;
use crate::scheme::{Draws, Step, StepAddress, Stepper, Steps};
use crate::workspace::with_workspace;
use std::sync::Arc;

/// How the momentum is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Momentum {
    /// `β`.
    Constant(f64),
    /// `β_k = (k - 1) / (k + r - 1)`.
    Varying(f64),
}

impl Momentum {
    /// `β` of step `k`.
    pub fn at(self, k: f64) -> f64 {
        match self {
            Momentum::Constant(beta) => beta,
            Momentum::Varying(r) => (k - 1.0) / (k + r - 1.0),
        }
    }

    /// The friction of its equations, with `ε = √η`.
    pub fn friction(self, eps: f64) -> Friction {
        match self {
            Momentum::Constant(beta) => Friction::Constant((1.0 - beta) / eps),
            Momentum::Varying(r) => Friction::Varying(r),
        }
    }
}

/// Plain SGD: `θ' = (1 - η u R λ) θ - η u R g`.
pub struct Sgd<T: Real> {
    /// Where gradients come from.
    pub gradient: Arc<dyn StochasticGradient<T>>,
    /// `u` and `R`.
    pub rates: Rates,
    /// The clock of its steps.
    pub clock: Clock,
    /// `η`, divided by `l` for SVAG.
    pub lr: f64,
    /// `λ`, of decoupled decay.
    pub decay: f64,
}

/// `θ' = (1 - η u R_i λ) θ - η u R_i g`, row by row.
fn descend<T: Real>(theta: &mut [T], g: &[T], rates: &Rates, lr: f64, decay: f64, width: usize) {
    for (i, (theta, g)) in theta.chunks_exact_mut(width).zip(g.chunks_exact(width)).enumerate() {
        let lr = lr * rates.of(i);
        if decay != 0.0 {
            scale(theta, 1.0 - lr * decay);
        }
        add_scaled(theta, g, -lr);
    }
}

impl<T: Real> Sgd<T> {
    /// Takes steps, `count` of these numbers, by the gradient's own kernel.
    fn take(
        &self,
        steps: impl Iterator<Item = f64>,
        count: usize,
        at: StepAddress,
        x: &mut [T],
        span: Span,
    ) -> Result<()> {
        let d = self.dim();
        let rows = if self.rates.is_constant() { 1 } else { count };
        with_workspace(rows * d, |rates: &mut [f64]| {
            for (k, rates) in steps.zip(rates.chunks_exact_mut(d)) {
                let (u, _) = self.rates.at_step(k);
                rates.iter_mut().enumerate().for_each(|(i, rate)| *rate = self.lr * u * self.rates.of(i));
            }
            self.gradient.descend(at, Descent { count, rates, decay: self.decay }, x, span)
        })
    }
}

impl<T: Real> Stepper<T> for Sgd<T> {
    fn dim(&self) -> usize {
        self.gradient.dim()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.gradient.n_wiener(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        self.dim() + self.gradient.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        if self.leaps() > 1 {
            // the bits of many at once
            return self.take(std::iter::once(self.clock.step(step)), 1, step.at, x, step.span);
        }
        let (g, rest) = scratch.split_at_mut(x.len());
        self.gradient.sample(step, x, g, rest)?;
        let (u, _) = self.rates.at_step(self.clock.step(step));
        descend(x, g, &self.rates, self.lr * u, self.decay, step.span.width);
        Ok(())
    }
    fn leaps(&self) -> u64 {
        self.gradient.descends() as u64
    }
    fn leap(&self, steps: &Steps<'_, T>, x: &mut [T]) -> Result<()> {
        self.take(self.clock.steps(steps), steps.count, steps.at, x, steps.span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.gradient.needs_calling_thread()
    }
}

/// SGD with momentum, in the variables of its equation: `V = -√η R` times the buffer of the usual form.
///
/// Heavy ball: `V' = β V - √η R g(θ)`, `θ' = θ + √η u V'`. Nesterov: the same from the point ahead, `θ + √η u β V`, with
/// the schedule of the step before in it, so that the point ahead is the parameter of the usual form.
pub struct MomentumSgd<T: Real> {
    /// Where gradients come from.
    pub gradient: Arc<dyn StochasticGradient<T>>,
    /// `u` and `R`.
    pub rates: Rates,
    /// The clock of its steps.
    pub clock: Clock,
    /// `η`.
    pub lr: f64,
    /// `β`.
    pub momentum: Momentum,
    /// Whether the gradient is taken ahead.
    pub nesterov: bool,
    /// `λ`, of decoupled decay.
    pub decay: f64,
}

impl<T: Real> Stepper<T> for MomentumSgd<T> {
    fn dim(&self) -> usize {
        2 * self.gradient.dim()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.gradient.n_wiener(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        2 * self.gradient.dim() + self.gradient.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let width = step.span.width;
        let rows = self.gradient.dim() * width;
        let (theta, v) = x.split_at_mut(rows);
        let (g, rest) = scratch.split_at_mut(rows);
        let (point, rest) = rest.split_at_mut(rows);
        let k = self.clock.step(step);
        let (beta, root) = (self.momentum.at(k), self.lr.sqrt());
        let (u, _) = self.rates.at_step(k);
        if self.nesterov {
            let (before, _) = self.rates.at_step((k - 1.0).max(0.0));
            assign_add_scaled(point, theta, v, root * before * beta);
            self.gradient.sample(step, point, g, rest)?;
            theta.copy_from_slice(point);
            descend(theta, g, &self.rates, self.lr * u, self.decay, width);
            self.kick(v, g, beta, root, width);
        } else {
            self.gradient.sample(step, theta, g, rest)?;
            self.kick(v, g, beta, root, width);
            if self.decay != 0.0 {
                for (i, theta) in theta.chunks_exact_mut(width).enumerate() {
                    scale(theta, 1.0 - self.lr * u * self.rates.of(i) * self.decay);
                }
            }
            add_scaled(theta, v, root * u);
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.gradient.needs_calling_thread()
    }
}

impl<T: Real> MomentumSgd<T> {
    /// `V' = β V - √η R g`.
    fn kick(&self, v: &mut [T], g: &[T], beta: f64, root: f64, width: usize) {
        for (i, (v, g)) in v.chunks_exact_mut(width).zip(g.chunks_exact(width)).enumerate() {
            scale(v, beta);
            add_scaled(v, g, -root * self.rates.of(i));
        }
    }
}
