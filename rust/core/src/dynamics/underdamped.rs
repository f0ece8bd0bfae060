//! Underdamped Langevin dynamics: a gradient, friction and constant noise on the velocity.

use super::{Linear, Sde};
use crate::block::Span;
use crate::elementwise::{add_scaled_rows, scale, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::Matrix;
use crate::loss::{Loss, Quadratic};
use crate::noise::{Factor, NoiseKind};
use std::sync::Arc;

/// What makes an equation `dX = V dt`, `dV = -(R ∇f(X) + γ V) dt + S dW`, the state being X, then V.
pub struct Underdamped<T: Real> {
    /// `f`.
    pub loss: Arc<dyn Loss<T>>,
    /// `R`: inverse masses, or the relative rates of parameters.
    pub inverse_mass: Vec<f64>,
    /// `γ` of each coordinate.
    pub friction: Vec<f64>,
    /// `S`, with its sign.
    pub factor: Factor,
}

/// The equation with noise by coordinate.
pub struct UnderdampedLangevin<T: Real> {
    /// `f`.
    pub loss: Arc<dyn Loss<T>>,
    /// The inverse mass of each coordinate.
    pub inverse_mass: Vec<f64>,
    /// `γ`: friction over mass, of each coordinate.
    pub friction: Vec<f64>,
    /// The deviations of `S`; empty without noise.
    pub deviations: Vec<f64>,
    /// The loss once more, where it is quadratic.
    pub quadratic: Option<Quadratic<f64>>,
}

impl<T: Real> Sde<T> for UnderdampedLangevin<T> {
    fn dim(&self) -> usize {
        2 * self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        self.deviations.len()
    }
    fn kind(&self) -> NoiseKind {
        if self.deviations.is_empty() { NoiseKind::None } else { NoiseKind::AdditiveFull }
    }
    fn drift(&self, _t: f64, x: &[T], out: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        let rows = self.loss.dim() * span.width;
        let (theta, v) = x.split_at(rows);
        let (dx, dv) = out.split_at_mut(rows);
        self.loss.grad(theta, dv, span)?;
        scale_rows(dv, &self.inverse_mass, span.width);
        dx.copy_from_slice(&v[..rows]);
        add_scaled_rows(dv, v, 1.0, &self.friction, span.width);
        scale(dv, -1.0);
        Ok(())
    }
    fn noise_rows(&self) -> usize {
        0
    }
    fn noise(&self, _t: f64, _x: &[T], dw: &[T], out: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        out.fill(T::default());
        let moved = &mut out[self.loss.dim() * span.width..];
        add_scaled_rows(moved, dw, 1.0, &self.deviations, span.width);
        Ok(())
    }
    fn factor(&self, _t: f64, _x: &[T], f: &mut [T], span: Span) -> Result<()> {
        let d = self.loss.dim();
        f.fill(T::default());
        for (i, s) in self.deviations.iter().enumerate() {
            f[((d + i) * d + i) * span.width..][..span.width].fill(T::from_f64(*s));
        }
        Ok(())
    }
    fn linear(&self) -> Option<Linear> {
        let quadratic = self.quadratic.as_ref().filter(|_| !self.deviations.is_empty())?;
        let (h, d) = (quadratic.matrix(), self.loss.dim());
        let rate = Matrix::from_fn(2 * d, 2 * d, |i, j| match (i < d, j < d) {
            (true, false) if i + d == j => -1.0,
            (false, true) => self.inverse_mass[i - d] * h[(i - d, j)],
            (false, false) if i == j => self.friction[i - d],
            _ => 0.0,
        });
        let mut mean = quadratic.center().map_or_else(|| vec![0.0; d], <[f64]>::to_vec);
        mean.resize(2 * d, 0.0);
        let factor = Matrix::from_fn(2 * d, d, |i, j| if i == d + j { self.deviations[j] } else { 0.0 });
        Some(Linear { rate, mean, factor: Factor::Lower(factor) })
    }
    fn underdamped(&self) -> Option<Underdamped<T>> {
        Some(Underdamped {
            loss: self.loss.clone(),
            inverse_mass: self.inverse_mass.clone(),
            friction: self.friction.clone(),
            factor: Factor::Diagonal(self.deviations.clone()),
        })
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}
