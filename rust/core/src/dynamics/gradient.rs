//! `dX = -M ∇f(X) dt + c S(X) dW`: the first-order equation of SGD, and overdamped Langevin dynamics.

use super::{Linear, Sde};
use crate::block::Span;
use crate::elementwise;
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::Matrix;
use crate::loss::{Leap, Loss, Quadratic};
use crate::noise::{AffineDiagonal, Factor, Noise, NoiseKind, Stable};
use std::sync::Arc;

/// A gradient drift with a noise model.
pub struct GradientSde<T: Real> {
    loss: Arc<dyn Loss<T>>,
    noise: Arc<dyn Noise<T>>,
    /// `M`; None is the identity.
    mobility: Option<Vec<f64>>,
    noise_scale: f64,
    constant: Option<Factor>,
    /// The loss once more, where it is quadratic.
    quadratic: Option<Quadratic<f64>>,
}

impl<T: Real> GradientSde<T> {
    /// SGD's equation: `noise_scale = -sqrt(lr / batch_size)`, so that the algorithm's noise and the equation's share a
    /// Wiener path.
    pub fn new(
        loss: Arc<dyn Loss<T>>,
        noise: Arc<dyn Noise<T>>,
        noise_scale: f64,
        mobility: Option<Vec<f64>>,
        quadratic: Option<Quadratic<f64>>,
    ) -> Self {
        let constant = noise.constant().map(|factor| factor.scaled(noise_scale));
        Self { loss, noise, mobility, noise_scale, constant, quadratic }
    }

    /// The equation with a bowl for the loss.
    fn linear_in(&self, bowl: &Quadratic<f64>) -> Option<Linear> {
        let (h, factor) = (bowl.matrix(), self.constant.clone()?);
        let m = |i: usize| self.mobility.as_ref().map_or(1.0, |m| m[i]);
        let rate = Matrix::from_fn(h.rows(), h.cols(), |i, j| m(i) * h[(i, j)]);
        let mean = bowl.center().map_or_else(|| vec![0.0; h.rows()], <[f64]>::to_vec);
        Some(Linear { rate, mean, factor })
    }
}

impl<T: Real> Sde<T> for GradientSde<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        self.noise.n_wiener()
    }
    fn kind(&self) -> NoiseKind {
        self.noise.kind()
    }
    fn drift(&self, _t: f64, x: &[T], out: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.loss.grad(x, out, span)?;
        if let Some(mobility) = &self.mobility {
            elementwise::scale_rows(out, mobility, span.width);
        }
        Ok(())
    }
    fn drift_scale(&self) -> f64 {
        -1.0
    }
    fn constant(&self) -> Option<&Factor> {
        self.constant.as_ref()
    }
    fn diagonal(&self, _t: f64, x: &[T], b: &mut [T], span: Span) -> Result<()> {
        self.noise.diagonal(x, T::from_f64(self.noise_scale), b, span)
    }
    fn has_jacobian(&self) -> bool {
        self.noise.has_jacobian()
    }
    fn has_own_slopes(&self) -> bool {
        self.noise.has_own_slopes()
    }
    fn diagonal_milstein(&self, _t: f64, x: &[T], b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        self.noise.diagonal_milstein(x, T::from_f64(self.noise_scale), b, bdb, span)
    }
    fn noise_rows(&self) -> usize {
        self.noise.apply_rows()
    }
    fn noise(&self, _t: f64, x: &[T], dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        self.noise.apply(x, T::from_f64(self.noise_scale), dw, out, scratch, span)
    }
    fn factor(&self, _t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        self.noise.factor(x, T::from_f64(self.noise_scale), f, span)
    }
    fn jacobian(&self, _t: f64, x: &[T], j: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        self.noise.jacobian(x, T::from_f64(self.noise_scale), j, scratch, span)
    }
    fn stable(&self) -> Option<(&Stable, f64)> {
        Some((self.noise.stable()?, self.noise_scale))
    }
    fn milstein_noise(&self) -> Option<(&AffineDiagonal, f64)> {
        let affine = self.noise.affine().filter(|_| self.mobility.is_none() && self.loss.leaps())?;
        Some((affine, self.noise_scale))
    }
    fn leaps(&self) -> bool {
        self.mobility.is_none() && matches!(self.constant, Some(Factor::Diagonal(_))) && self.loss.leaps()
    }
    fn leap(&self, steps: Leap<'_, T>, x: &mut [T], span: Span) -> Result<()> {
        self.loss.leap(steps, x, span)
    }
    fn linear(&self) -> Option<Linear> {
        self.linear_in(self.quadratic.as_ref()?)
    }
    fn linear_part(&self) -> Option<Linear> {
        self.linear().or_else(|| self.linear_in(&self.loss.bowl()?))
    }
    fn mobility(&self) -> Option<Vec<f64>> {
        Some(self.mobility.clone().unwrap_or_else(|| vec![1.0; self.loss.dim()]))
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.needs_calling_thread()
    }
}
