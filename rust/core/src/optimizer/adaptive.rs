//! RMSprop, Adam and AdamW themselves, with the update of the usual libraries, and their SVAG.

use super::{Clock, StochasticGradient};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::rates::Rates;
use crate::scheme::{Draws, Step, Stepper};
use std::sync::Arc;

/// Which averages are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Averages {
    /// RMSprop: of the squared gradient, with this decay.
    Second(f64),
    /// Adam: of the gradient and of its square.
    Both {
        /// Decay of the first.
        beta1: f64,
        /// Decay of the second.
        beta2: f64,
        /// Where both are corrected for starting at 0, by `1 - β_i^(k + p_i)` in step `k`: `p_1` and `p_2`.
        correction: Option<[f64; 2]>,
    },
}

/// An adaptive optimizer. The state is `θ, v` or `θ, m, v`, the averages as the usual libraries keep them.
pub struct Adaptive<T: Real> {
    /// Where gradients come from.
    pub gradient: Arc<dyn StochasticGradient<T>>,
    /// `u` and `R`.
    pub rates: Rates,
    /// The clock of its steps.
    pub clock: Clock,
    /// `η`.
    pub lr: f64,
    /// Decays of the averages.
    pub averages: Averages,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// What each step leaves of `θ` is `1 - η u R λ`, with this `λ`.
    pub decay: f64,
    /// Whether the update takes the new second moment.
    pub fresh: bool,
    /// What multiplies the squared gradient: 1; `1/l²` for SVAG, whose second moment is kept in the original's unit.
    pub square: f64,
}

impl<T: Real> Adaptive<T> {
    fn blocks(&self) -> usize {
        match self.averages {
            Averages::Second(_) => 2,
            Averages::Both { .. } => 3,
        }
    }
}

/// `base^k` for whole `k`, by products: the same bits everywhere.
fn power(base: f64, k: f64) -> f64 {
    let (mut left, mut square, mut value) = (k as u64, base, 1.0);
    while left > 0 {
        if left & 1 == 1 {
            value *= square;
        }
        square *= square;
        left >>= 1;
    }
    value
}

impl<T: Real> Stepper<T> for Adaptive<T> {
    fn dim(&self) -> usize {
        self.blocks() * self.gradient.dim()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.gradient.n_wiener(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        self.gradient.dim() + self.gradient.scratch_rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let width = step.span.width;
        let rows = self.gradient.dim() * width;
        let (theta, moments) = x.split_at_mut(rows);
        let (g, rest) = scratch.split_at_mut(rows);
        self.gradient.sample(step, theta, g, rest)?;
        let (u, _) = self.rates.at_step(self.clock.step(step));
        let lr = self.lr * u;
        let (square, forget) = (self.square, lr * self.decay);
        let k = self.clock.index(step);
        match self.averages {
            Averages::Second(alpha) => {
                let update = Update { beta1: 0.0, beta2: alpha, lr, eps: self.eps, square, forget };
                self.rows(theta, None, moments, g, update, width);
            }
            Averages::Both { beta1, beta2, correction } => {
                let (m, v) = moments.split_at_mut(rows);
                let (c1, root) = correction
                    .map_or((1.0, 1.0), |[p1, p2]| (1.0 - power(beta1, k + p1), (1.0 - power(beta2, k + p2)).sqrt()));
                let update = Update { beta1, beta2, lr: lr * root / c1, eps: self.eps * root, square, forget };
                self.rows(theta, Some(m), v, g, update, width);
            }
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.gradient.needs_calling_thread()
    }
}

/// The numbers of a step.
#[derive(Clone, Copy)]
struct Update {
    beta1: f64,
    beta2: f64,
    /// With the bias corrections in it, as in `eps`.
    lr: f64,
    eps: f64,
    square: f64,
    /// What the decay takes of `θ`: by the learning rate without corrections.
    forget: f64,
}

impl<T: Real> Adaptive<T> {
    fn rows(&self, theta: &mut [T], m: Option<&mut [T]>, v: &mut [T], g: &[T], update: Update, width: usize) {
        dispatch(Rows { rates: &self.rates, theta, m, v, g, update, fresh: self.fresh, width });
    }
}

/// All coordinates of all paths.
struct Rows<'a, T> {
    rates: &'a Rates,
    theta: &'a mut [T],
    m: Option<&'a mut [T]>,
    v: &'a mut [T],
    g: &'a [T],
    update: Update,
    fresh: bool,
    width: usize,
}

impl<T: Real> Kernel for Rows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { rates, theta, mut m, v, g, update, fresh, width } = self;
        let n = theta.len();
        assert!(v.len() == n && g.len() == n && m.as_ref().is_none_or(|m| m.len() == n));
        let rows = theta.chunks_exact_mut(width).zip(v.chunks_exact_mut(width)).zip(g.chunks_exact(width));
        for (i, ((theta, v), g)) in rows.enumerate() {
            let relative = rates.of(i);
            let update = Update { lr: update.lr * relative, forget: update.forget * relative, ..update };
            match &mut m {
                Some(m) => advance::<T, S, true>(theta, &mut m[i * width..][..width], v, g, update, fresh),
                None => advance::<T, S, false>(theta, &mut [], v, g, update, fresh),
            }
        }
    }
}

#[inline(always)]
fn advance<T: Real, S: Simd, const AVERAGED: bool>(
    theta: &mut [T],
    m: &mut [T],
    v: &mut [T],
    g: &[T],
    update: Update,
    fresh: bool,
) {
    let c = |x: f64| <T::V<S>>::constant(x);
    let (one1, beta2, one2) = (c(1.0 - update.beta1), c(update.beta2), c((1.0 - update.beta2) * update.square));
    let (lr, eps, keep) = (c(-update.lr), c(update.eps), c(1.0 - update.forget));
    for p in (0..theta.len()).step_by(<T::V<S> as Vector>::LANES) {
        // SAFETY: all rows have the length of `theta`, a whole number of vectors; `m` is touched where it is a row.
        unsafe {
            let g = <T::V<S>>::load(g.as_ptr().add(p));
            let old = <T::V<S>>::load(v.as_ptr().add(p));
            let new = (one2 * g).mul_add(g, beta2 * old);
            new.store(v.as_mut_ptr().add(p));
            let direction = if AVERAGED {
                let at = m.as_mut_ptr().add(p);
                let old = <T::V<S>>::load(at);
                let new = one1.mul_add(g - old, old);
                new.store(at);
                new
            } else {
                g
            };
            let step = lr * direction / ((if fresh { new } else { old }).sqrt() + eps);
            let at = theta.as_mut_ptr().add(p);
            keep.mul_add(<T::V<S>>::load(at), step).store(at);
        }
    }
}
