//! SignSGD: every coordinate moves by the learning rate, against the sign of its gradient.

use super::{Clock, StochasticGradient};
use crate::error::Result;
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::rates::Rates;
use crate::scheme::{Draws, Step, Stepper};
use std::sync::Arc;

/// `θ' = θ - η u R sign(g)`, where the sign of 0 is 0.
pub struct SignSgd<T: Real> {
    /// Where gradients come from.
    pub gradient: Arc<dyn StochasticGradient<T>>,
    /// `u` and `R`.
    pub rates: Rates,
    /// The clock of its steps.
    pub clock: Clock,
    /// `η`.
    pub lr: f64,
}

impl<T: Real> Stepper<T> for SignSgd<T> {
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
        let width = step.span.width;
        let (g, rest) = scratch.split_at_mut(x.len());
        self.gradient.sample(step, x, g, rest)?;
        let (u, _) = self.rates.at_step(self.clock.step(step));
        for (i, (x, g)) in x.chunks_exact_mut(width).zip(g.chunks_exact(width)).enumerate() {
            dispatch(Move { x, g, by: -self.lr * u * self.rates.of(i) });
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.gradient.needs_calling_thread()
    }
}

/// `x += by · sign(g)` on a row; a gradient that is no number leaves none.
struct Move<'a, T> {
    x: &'a mut [T],
    g: &'a [T],
    by: f64,
}

impl<T: Real> Kernel for Move<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, g, by } = self;
        assert!(g.len() >= x.len());
        let (by, zero) = (<T::V<S>>::constant(by), <T::V<S>>::constant(0.0));
        for p in (0..x.len()).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: both rows are whole numbers of vectors, `g` at least as long as `x`.
            unsafe {
                let g = <T::V<S>>::load(g.as_ptr().add(p));
                let old = <T::V<S>>::load(x.as_ptr().add(p));
                let moved = g.choose_lt(zero, old - by, zero.choose_lt(g, old + by, old + g));
                moved.store(x.as_mut_ptr().add(p));
            }
        }
    }
}
