//! The noise of a gradient as optimizers use it: a constant times `S(x) ΔW`, by the cheapest way that the model allows.

use super::{Factor, Noise, NoiseKind};
use crate::block::Span;
use crate::elementwise::{add_scaled, add_scaled_rows, multiply, scale, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::LinearMap;
use std::sync::Arc;

/// A noise model and a constant, `scale · S(x)`, with its parts prepared.
pub struct GradientNoise<T: Real> {
    noise: Arc<dyn Noise<T>>,
    scale: f64,
    full: Option<LinearMap<T>>,
}

impl<T: Real> GradientNoise<T> {
    /// The noise of a batch, `1 / sqrt(batch size)` being part of `scale`.
    pub fn new(noise: Arc<dyn Noise<T>>, scale: f64) -> Self {
        let full = match noise.constant() {
            Some(Factor::Lower(lower)) => Some(LinearMap::lower(lower)),
            _ => None,
        };
        Self { noise, scale, full }
    }

    /// The model.
    pub fn model(&self) -> &dyn Noise<T> {
        self.noise.as_ref()
    }

    /// The constant.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Wiener processes.
    pub fn n_wiener(&self) -> usize {
        self.noise.n_wiener()
    }

    /// Whether `S` is constant.
    pub fn is_constant(&self) -> bool {
        self.noise.kind() == NoiseKind::None || self.noise.constant().is_some()
    }

    /// Rows of scratch memory that [`GradientNoise::apply`] wants.
    pub fn scratch_rows(&self) -> usize {
        if self.is_constant() || self.noise.kind().is_diagonal() { 0 } else { self.noise.apply_rows() }
    }

    /// `out = by · scale · S(x) dw`, `d` rows.
    pub fn apply(&self, x: &[T], by: f64, dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let c = by * self.scale;
        match (self.noise.constant(), &self.full) {
            _ if self.n_wiener() == 0 => out.fill(T::default()),
            (Some(Factor::Diagonal(s)), _) => {
                out.copy_from_slice(&dw[..out.len()]);
                scale_rows(out, s, span.width);
                scale(out, c);
            }
            (_, Some(full)) => {
                out.fill(T::default());
                full.add_apply(dw, out, span)?;
                scale(out, c);
            }
            _ if self.noise.kind().is_diagonal() => {
                self.noise.diagonal(x, T::from_f64(c), out, span)?;
                multiply(out, dw);
            }
            _ => self.noise.apply(x, T::from_f64(c), dw, out, scratch, span)?,
        }
        Ok(())
    }

    /// `out += by · scale · S(x) dw`, `d` rows; `z` holds as many.
    pub fn add(
        &self,
        x: &[T],
        by: f64,
        dw: &[T],
        out: &mut [T],
        [z, scratch]: [&mut [T]; 2],
        span: Span,
    ) -> Result<()> {
        if let Some(Factor::Diagonal(s)) = self.noise.constant() {
            add_scaled_rows(out, dw, by * self.scale, s, span.width);
        } else if self.n_wiener() > 0 {
            self.apply(x, by, dw, z, scratch, span)?;
            add_scaled(out, z, 1.0);
        }
        Ok(())
    }

    /// `out = by · scale · S(x)`, `d · m` rows, entry (i, j) in row `i·m + j`.
    pub fn factor(&self, x: &[T], by: f64, out: &mut [T], span: Span) -> Result<()> {
        let c = by * self.scale;
        let width = span.width;
        let (d, m) = (self.noise.dim(), self.n_wiener());
        if let Some(constant) = self.noise.constant() {
            for (r, row) in out.chunks_exact_mut(width).take(d * m).enumerate() {
                row.fill(T::from_f64(c * constant.entry(r / m, r % m)));
            }
            return Ok(());
        }
        match self.noise.kind() {
            NoiseKind::None => Ok(()),
            NoiseKind::Diagonal => {
                self.noise.diagonal(x, T::from_f64(c), &mut out[..d * width], span)?;
                super::spread_diagonal(out, d, width);
                Ok(())
            }
            _ => self.noise.factor(x, T::from_f64(c), out, span),
        }
    }
}
