//! Noise that does not depend on the state, times whatever a scheme makes of the Wiener path.

use super::euler_maruyama::{Diffusion, EulerMaruyama};
use super::{Draws, Step};
use crate::block::Span;
use crate::dynamics::Sde;
use crate::elementwise::{add_scaled, add_scaled_product, add_scaled_rows};
use crate::error::{Error, Result};
use crate::lanes::Real;
use std::sync::Arc;

/// `b(t)` of an additive kind, as the equation has it: constant, or changing in time.
pub(super) struct AdditiveNoise<T: Real> {
    sde: Arc<dyn Sde<T>>,
    euler: EulerMaruyama<T>,
}

impl<T: Real> AdditiveNoise<T> {
    /// The noise of `sde`.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { euler: EulerMaruyama::in_parts(sde.clone()), sde }
    }

    /// Rows that [`AdditiveNoise::add`] works in.
    pub fn rows(&self) -> usize {
        let (d, m) = (self.sde.dim(), self.sde.n_wiener());
        match self.euler.diffusion() {
            Diffusion::None | Diffusion::Deviations(_) => 0,
            Diffusion::Constant(_) => m,
            Diffusion::Diagonal => d,
            Diffusion::Full => d + self.sde.noise_rows(),
        }
    }

    /// Whether `b` is the same at all times.
    pub fn is_constant(&self) -> bool {
        !matches!(self.euler.diffusion(), Diffusion::Diagonal | Diffusion::Full)
    }

    /// `out += c b(t) v`; `x` is any state, `v` has `m` rows, `work` has [`AdditiveNoise::rows`].
    #[allow(clippy::too_many_arguments)] // as many as the formula has letters
    pub fn add(&self, t: f64, x: &[T], v: &[T], c: f64, out: &mut [T], work: &mut [T], span: Span) -> Result<()> {
        let n = out.len();
        match self.euler.diffusion() {
            Diffusion::None => {}
            Diffusion::Deviations(s) => add_scaled_rows(out, v, c, s, span.width),
            Diffusion::Constant(factor) => {
                let scaled = &mut work[..v.len()];
                scaled.fill(T::default());
                add_scaled(scaled, v, c);
                factor.add_apply(scaled, out, span)?;
            }
            Diffusion::Diagonal => {
                let b = &mut work[..n];
                self.sde.diagonal(t, x, b, span)?;
                add_scaled_product(out, b, v, c);
            }
            Diffusion::Full => {
                let (noise, factor) = work.split_at_mut(n);
                self.sde.noise(t, x, v, noise, factor, span)?;
                add_scaled(out, noise, c);
            }
        }
        Ok(())
    }
}

impl<T: Real> AdditiveNoise<T> {
    /// `x += b(t+h) ΔW + (b(t) - b(t+h)) I_(1,0)/h`: the noise of a step of the SRA schemes. `state` is any state.
    pub fn add_step(&self, step: &Step<'_, T>, x: &mut [T], state: &[T], work: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let integral = step.beside.time_integrals;
        self.add(t + h, state, dw, 1.0, x, work, span)?;
        if !self.is_constant() {
            self.add(t, state, integral, 1.0 / h, x, work, span)?;
            self.add(t + h, state, integral, -1.0 / h, x, work, span)?;
        }
        Ok(())
    }
}

/// Increments and integrals over time. Noise of two groups is refused: integrals are drawn for the gradient's alone.
pub(super) fn draws_with_integrals<T: Real>(sde: &dyn Sde<T>, method: &str) -> Result<Draws> {
    if sde.n_wiener_b() == 0 {
        return Ok(Draws { time_integrals: true, ..Draws::of(sde) });
    }
    let message = format!(
        "{method} has no integrals over time of the noise of second moments; platen and euler_maruyama do without"
    );
    Err(Error::invalid("method", message))
}
