//! Sharpness-aware minimisation: the gradient is taken where one step uphill leads, with the same sample.

use super::{Clock, StochasticGradient};
use crate::elementwise::{add_product, add_scaled, assign_add_scaled};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::loss::Loss;
use crate::rates::Rates;
use crate::scheme::{Draws, Step, Stepper};
use std::sync::Arc;

/// What the step uphill is divided by.
pub enum Ascent<T: Real> {
    /// The norm of the stochastic gradient: SAM.
    Normalised,
    /// Nothing: USAM.
    Plain,
    /// The norm of the full gradient: DNSAM.
    FullNorm(Arc<dyn Loss<T>>),
}

/// `θ' = θ - η u R ∇f_γ(θ + ρ ∇f_γ(θ) / n)`.
pub struct Sam<T: Real> {
    /// Where gradients come from; both of a step have the same noise.
    pub gradient: Arc<dyn StochasticGradient<T>>,
    /// `u` and `R`.
    pub rates: Rates,
    /// The clock of its steps.
    pub clock: Clock,
    /// `η`.
    pub lr: f64,
    /// `ρ`.
    pub rho: f64,
    /// `n`.
    pub ascent: Ascent<T>,
}

impl<T: Real> Stepper<T> for Sam<T> {
    fn dim(&self) -> usize {
        self.gradient.dim()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.gradient.n_wiener(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        2 * self.dim() + 1 + self.gradient.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let width = step.span.width;
        let (g, rest) = scratch.split_at_mut(x.len());
        let (point, rest) = rest.split_at_mut(x.len());
        let (norm, rest) = rest.split_at_mut(width);
        self.gradient.sample(step, x, g, rest)?;
        match &self.ascent {
            Ascent::Plain => assign_add_scaled(point, x, g, self.rho),
            ascent => {
                if let Ascent::FullNorm(loss) = ascent {
                    loss.grad(x, point, step.span)?;
                    inverse_norm(point, norm, self.rho);
                } else {
                    inverse_norm(g, norm, self.rho);
                }
                point.copy_from_slice(x);
                for (point, g) in point.chunks_exact_mut(width).zip(g.chunks_exact(width)) {
                    add_product(point, g, norm);
                }
            }
        }
        self.gradient.sample(step, point, g, rest)?;
        let (u, _) = self.rates.at_step(self.clock.step(step));
        for (i, (x, g)) in x.chunks_exact_mut(width).zip(g.chunks_exact(width)).enumerate() {
            add_scaled(x, g, -self.lr * u * self.rates.of(i));
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.gradient.needs_calling_thread()
    }
}

/// `out = rho / |g|`, a row.
fn inverse_norm<T: Real>(g: &[T], out: &mut [T], rho: f64) {
    out.fill(T::default());
    for row in g.chunks_exact(out.len()) {
        add_product(out, row, row);
    }
    dispatch(Invert { out, rho });
}

struct Invert<'a, T> {
    out: &'a mut [T],
    rho: f64,
}

impl<T: Real> Kernel for Invert<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let rho = <T::V<S>>::constant(self.rho);
        for p in (0..self.out.len()).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: a row is a whole number of vectors.
            unsafe {
                let at = self.out.as_mut_ptr().add(p);
                (rho / <T::V<S>>::load(at).sqrt()).store(at);
            }
        }
    }
}
