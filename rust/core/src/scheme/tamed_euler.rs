//! Tamed Euler: Euler–Maruyama with a drift that never moves a path by more than 1 in a step, for drifts that outgrow their paths.

use super::euler_maruyama::EulerMaruyama;
use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{at, put};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use std::sync::Arc;

/// `X' = X + a h / (1 + h |a|) + b ΔW`, `|a|` the norm of the whole drift vector.
pub struct TamedEuler<T: Real> {
    sde: Arc<dyn Sde<T>>,
    euler: EulerMaruyama<T>,
}

impl<T: Real> TamedEuler<T> {
    /// Integrates `sde`.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { euler: EulerMaruyama::in_parts(sde.clone()), sde }
    }
}

impl<T: Real> Stepper<T> for TamedEuler<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        self.euler.draws()
    }
    fn scratch_rows(&self) -> usize {
        self.euler.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, span, .. } = *step;
        let mut parts = self.euler.parts(scratch, span.width);
        self.sde.drift(t, x, parts.a, parts.work, span)?;
        dispatch(Tame { a: parts.a, h: h * self.sde.drift_scale().abs(), width: span.width });
        self.euler.advance_by(step, x, &mut parts)
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// `a / (1 + h |a|)`, path by path.
struct Tame<'a, T> {
    a: &'a mut [T],
    h: f64,
    width: usize,
}

impl<T: Real> Kernel for Tame<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { a, h, width } = self;
        let (one, h) = (<T::V<S>>::constant(1.0), <T::V<S>>::constant(h));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let mut square = <T::V<S>>::constant(0.0);
            for begin in (0..a.len()).step_by(width) {
                // Times h before the square: what h |a| fits into does not overflow.
                let moved = h * at::<T::V<S>>(a, begin + p);
                square = moved.mul_add(moved, square);
            }
            let factor = one / (one + square.sqrt());
            for begin in (0..a.len()).step_by(width) {
                put(a, begin + p, factor * at(a, begin + p));
            }
        }
    }
}
