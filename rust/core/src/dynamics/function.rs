//! Any Itô equation of the user's functions, and noise models of theirs: `b(t, x)` by its declared kind.

use super::Sde;
use crate::block::Span;
use crate::elementwise;
use crate::error::{Error, Result};
use crate::function::BlockFunction;
use crate::lanes::Real;
use crate::noise::{Noise, NoiseKind, apply_along, spread_diagonal};
use std::sync::Arc;

/// A diffusion factor of the user's.
pub struct FunctionNoise<T: Real> {
    /// State variables.
    pub dim: usize,
    /// Wiener processes.
    pub n_wiener: usize,
    /// What the user declared.
    pub kind: NoiseKind,
    /// Deviations, `d` rows, for diagonal kinds; `d × m` rows for others.
    pub factor: Arc<dyn BlockFunction<T>>,
    /// `∂b_i/∂x_i`, `d` rows, for diagonal kinds; `∂b_ij/∂x_k`, `d × m × d` rows, for others.
    pub jacobian: Option<Arc<dyn BlockFunction<T>>>,
}

impl<T: Real> FunctionNoise<T> {
    fn jacobian(&self) -> Result<&dyn BlockFunction<T>> {
        self.jacobian.as_deref().ok_or_else(|| Error::missing("the jacobian of the noise"))
    }

    fn as_declared(&self, t: f64, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
        let (shape, rows): (&[usize], _) = if self.kind.is_diagonal() {
            (&[self.dim], self.dim)
        } else {
            (&[self.dim, self.n_wiener], self.dim * self.n_wiener)
        };
        self.factor.call(t, x, shape, out, span)?;
        rescale(&mut out[..rows * span.width], scale);
        Ok(())
    }

    fn full(&self, t: f64, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
        self.as_declared(t, x, scale, out, span)?;
        if self.kind.is_diagonal() {
            spread_diagonal(out, self.dim, span.width);
        }
        Ok(())
    }

    fn with_slope(&self, t: f64, x: &[T], scale: T, b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        self.as_declared(t, x, scale, b, span)?;
        self.jacobian()?.call(t, x, &[self.dim], bdb, span)?;
        rescale(bdb, scale);
        elementwise::multiply(bdb, b);
        Ok(())
    }

    fn slopes(&self, t: f64, x: &[T], scale: T, j: &mut [T], span: Span) -> Result<()> {
        let shape = [self.dim, self.n_wiener, self.dim];
        self.jacobian()?.call(t, x, &shape, j, span)?;
        rescale(&mut j[..shape.iter().product::<usize>() * span.width], scale);
        Ok(())
    }

    /// A coupled diagonal comes with `∂b_i/∂x_i`, which is not all that Milstein's scheme needs: it does without.
    fn knows_derivatives(&self) -> bool {
        self.jacobian.is_some() && self.kind != NoiseKind::DiagonalCoupled
    }

    /// Which are those that the correction of Stratonovich's calculus needs.
    fn knows_own_slopes(&self) -> bool {
        self.jacobian.is_some() && self.kind == NoiseKind::DiagonalCoupled
    }

    fn calls_python(&self) -> bool {
        self.factor.needs_calling_thread() || self.jacobian.as_ref().is_some_and(|j| j.needs_calling_thread())
    }
}

fn rescale<T: Real>(rows: &mut [T], scale: T) {
    if scale.to_f64() != 1.0 {
        elementwise::scale(rows, scale.to_f64());
    }
}

impl<T: Real> Noise<T> for FunctionNoise<T> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_wiener(&self) -> usize {
        self.n_wiener
    }
    fn kind(&self) -> NoiseKind {
        self.kind
    }
    fn diagonal(&self, x: &[T], scale: T, b: &mut [T], span: Span) -> Result<()> {
        self.as_declared(0.0, x, scale, b, span)
    }
    fn has_jacobian(&self) -> bool {
        self.knows_derivatives()
    }
    fn has_own_slopes(&self) -> bool {
        self.knows_own_slopes()
    }
    fn diagonal_milstein(&self, x: &[T], scale: T, b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        self.with_slope(0.0, x, scale, b, bdb, span)
    }
    fn factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        self.full(0.0, x, scale, f, span)
    }
    fn jacobian(&self, x: &[T], scale: T, j: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.slopes(0.0, x, scale, j, span)
    }
    fn apply_along(&self, x: &[T], v: &[T], scale: T, dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        if self.kind != NoiseKind::Diagonal {
            return apply_along(self, x, v, scale, dw, out, span);
        }
        // not from the deviation times its slope, as a deviation may be 0
        self.jacobian()?.call(0.0, x, &[self.dim], out, span)?;
        rescale(out, scale);
        elementwise::multiply(out, v);
        elementwise::multiply(out, dw);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.calls_python()
    }
}

/// A whole equation of functions of time and state.
pub struct FunctionSde<T: Real> {
    /// State variables.
    pub dim: usize,
    /// `a(t, x)`.
    pub drift: Arc<dyn BlockFunction<T>>,
    /// `b(t, x)`; None where there is no noise.
    pub noise: Option<FunctionNoise<T>>,
}

impl<T: Real> FunctionSde<T> {
    fn noise(&self) -> Result<&FunctionNoise<T>> {
        self.noise.as_ref().ok_or_else(|| Error::missing("the diffusion"))
    }
}

impl<T: Real> Sde<T> for FunctionSde<T> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_wiener(&self) -> usize {
        self.noise.as_ref().map_or(0, |noise| noise.n_wiener)
    }
    fn kind(&self) -> NoiseKind {
        self.noise.as_ref().map_or(NoiseKind::None, |noise| noise.kind)
    }
    fn drift(&self, t: f64, x: &[T], out: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.drift.call(t, x, &[self.dim], out, span)
    }
    fn diagonal(&self, t: f64, x: &[T], b: &mut [T], span: Span) -> Result<()> {
        self.noise()?.as_declared(t, x, T::from_f64(1.0), b, span)
    }
    fn has_jacobian(&self) -> bool {
        self.noise.as_ref().is_some_and(FunctionNoise::knows_derivatives)
    }
    fn has_own_slopes(&self) -> bool {
        self.noise.as_ref().is_some_and(FunctionNoise::knows_own_slopes)
    }
    fn diagonal_milstein(&self, t: f64, x: &[T], b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        self.noise()?.with_slope(t, x, T::from_f64(1.0), b, bdb, span)
    }
    fn factor(&self, t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        self.noise()?.full(t, x, T::from_f64(1.0), f, span)
    }
    fn jacobian(&self, t: f64, x: &[T], j: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.noise()?.slopes(t, x, T::from_f64(1.0), j, span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.drift.needs_calling_thread() || self.noise.as_ref().is_some_and(FunctionNoise::calls_python)
    }
}
