//! `Σ(x) = (loss(x) + floor) · cov`: noise that vanishes with the loss.

use super::{Factor, Noise, NoiseKind, apply_factor, squares};
use crate::block::Span;
use crate::elementwise::{add_product, multiply, scale, scale_square};
use crate::error::Result;
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::linalg::{LinearMap, Matrix};
use crate::loss::Loss;
use crate::workspace::with_workspace;
use std::sync::Arc;

/// A constant covariance times the loss above a floor. A negative product has no root: its lane becomes NaN, a
/// divergence of that path.
pub struct LossScaled<T: Real> {
    loss: Arc<dyn Loss<T>>,
    factor: Factor,
    /// The factor in the element type, where it is full.
    full: Option<LinearMap<T>>,
    /// The factor of the squares where the loss above the floor is 1, where the noise is full.
    squares: Option<Matrix<f64>>,
    floor: f64,
}

impl<T: Real> LossScaled<T> {
    /// The noise of `loss` with the factor of `cov`.
    pub fn new(loss: Arc<dyn Loss<T>>, factor: Factor, floor: f64) -> Self {
        let full = match &factor {
            Factor::Diagonal(_) => None,
            Factor::Lower(lower) => Some(LinearMap::lower(lower)),
        };
        let squares = match factor.of_squares(0.0) {
            Ok(Factor::Lower(squares)) => Some(squares),
            // Where rounding spoils the squares, lanes have a way of their own.
            _ => None,
        };
        Self { loss, factor, full, squares, floor }
    }
}

/// Turns loss values, in the last row of `rows`, into rows `c_r · scale · sqrt(loss + floor)`.
struct Spread<'a, T> {
    coefficients: &'a [f64],
    floor: f64,
    scale: T,
    rows: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { coefficients, floor, scale, rows, width } = self;
        let lanes = <T::V<S> as Vector>::LANES;
        let last = (coefficients.len() - 1) * width;
        let floor = <T::V<S>>::constant(floor);
        let scale = <T::V<S>>::splat(scale);
        for p in (0..width).step_by(lanes) {
            // SAFETY: `rows` holds as many rows of `width` elements as there are coefficients; the values are read
            // before the last row is overwritten.
            unsafe {
                let root = scale * (<T::V<S>>::load(rows.as_ptr().add(last + p)) + floor).sqrt();
                for (r, c) in coefficients.iter().enumerate() {
                    (<T::V<S>>::constant(*c) * root).store(rows.as_mut_ptr().add(r * width + p));
                }
            }
        }
    }
}

/// `∂S_ij/∂x_k = c_ij ∂_k loss / (2 sqrt(loss + floor))`, and 0 where the root is: it has its least value there.
struct Slopes<'a, T> {
    factor: &'a Factor,
    floor: f64,
    scale: T,
    value: &'a [T],
    grad: &'a [T],
    rows: &'a mut [T],
    dim: usize,
    width: usize,
}

impl<T: Real> Kernel for Slopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { factor, floor, scale, value, grad, rows, dim, width } = self;
        let lanes = <T::V<S> as Vector>::LANES;
        let floor = <T::V<S>>::constant(floor);
        let half = <T::V<S>>::splat(scale) * <T::V<S>>::constant(0.5);
        let zero = <T::V<S>>::constant(0.0);
        for p in (0..width).step_by(lanes) {
            // SAFETY: `grad` holds `dim` rows, `rows` one block of `dim` rows a coefficient, each `width` long.
            unsafe {
                let root = (<T::V<S>>::load(value.as_ptr().add(p)) + floor).sqrt();
                let slope = zero.choose_lt(root, half / root, root);
                for r in 0..dim * dim {
                    let c = <T::V<S>>::constant(factor.entry(r / dim, r % dim)) * slope;
                    for k in 0..dim {
                        let g = <T::V<S>>::load(grad.as_ptr().add(k * width + p));
                        (c * g).store(rows.as_mut_ptr().add((r * dim + k) * width + p));
                    }
                }
            }
        }
    }
}

impl<T: Real> LossScaled<T> {
    fn coefficients(&self) -> &[f64] {
        match &self.factor {
            Factor::Diagonal(s) => s,
            Factor::Lower(l) => l.as_slice(),
        }
    }

    fn spread(&self, x: &[T], scale: T, rows: &mut [T], span: Span) -> Result<()> {
        let coefficients = self.coefficients();
        let last = (coefficients.len() - 1) * span.width;
        self.loss.value(x, &mut rows[last..last + span.width], span)?;
        dispatch(Spread { coefficients, floor: self.floor, scale, rows, width: span.width });
        Ok(())
    }
}

impl<T: Real> Noise<T> for LossScaled<T> {
    fn dim(&self) -> usize {
        self.factor.dim()
    }
    fn n_wiener(&self) -> usize {
        self.factor.dim()
    }
    fn kind(&self) -> NoiseKind {
        match self.factor {
            _ if self.factor.dim() == 1 => NoiseKind::Scalar,
            Factor::Diagonal(_) => NoiseKind::DiagonalCoupled,
            Factor::Lower(_) => NoiseKind::Full,
        }
    }
    fn has_jacobian(&self) -> bool {
        true
    }
    fn diagonal(&self, x: &[T], scale: T, b: &mut [T], span: Span) -> Result<()> {
        self.spread(x, scale, b, span)
    }
    fn factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        match &self.factor {
            Factor::Lower(_) => self.spread(x, scale, f, span),
            Factor::Diagonal(_) => {
                let d = self.factor.dim();
                self.spread(x, scale, &mut f[..d * span.width], span)?;
                super::spread_diagonal(f, d, span.width);
                Ok(())
            }
        }
    }
    fn apply(&self, x: &[T], scale: T, dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let width = span.width;
        let Some(full) = &self.full else {
            self.factor(x, scale, scratch, span)?;
            apply_factor(scratch, dw, out, width);
            return Ok(());
        };
        // sqrt(loss + floor) · (L dw): one root a path, not one a matrix element.
        let root = &mut scratch[..width];
        self.loss.value(x, root, span)?;
        dispatch(Spread { coefficients: &[1.0], floor: self.floor, scale, rows: root, width });
        out.fill(T::default());
        full.add_apply(dw, out, span)?;
        for row in out.chunks_exact_mut(width) {
            multiply(row, root);
        }
        Ok(())
    }
    fn jacobian(&self, x: &[T], scale: T, j: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let d = self.factor.dim();
        let width = span.width;
        let (grad, value) = scratch.split_at_mut(d * width);
        self.loss.grad(x, grad, span)?;
        self.loss.value(x, &mut value[..width], span)?;
        dispatch(Slopes { factor: &self.factor, floor: self.floor, scale, value, grad, rows: j, dim: d, width });
        Ok(())
    }
    fn variances(&self, x: &[T], c: f64, out: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.factor.dim(), span.width);
        let (root, rest) = out[..d * width].split_at_mut(width);
        // The root first, so that a negative loss is the same divergence here as in the noise.
        self.loss.value(x, root, span)?;
        dispatch(Spread { coefficients: &[1.0], floor: self.floor, scale: T::from_f64(1.0), rows: root, width });
        scale_square(root, 1.0);
        for (i, row) in rest.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(root);
            scale(row, c * self.factor.variance(i + 1));
        }
        scale(root, c * self.factor.variance(0));
        Ok(())
    }
    fn variances_along(&self, x: &[T], v: &[T], c: f64, out: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.factor.dim(), span.width);
        with_workspace((d + 1) * width, |work| {
            let (grad, slope) = work.split_at_mut(d * width);
            self.loss.grad(x, grad, span)?;
            slope.fill(T::default());
            for (g, v) in grad.chunks_exact(width).zip(v.chunks_exact(width)) {
                add_product(slope, g, v);
            }
            for (i, row) in out[..d * width].chunks_exact_mut(width).enumerate() {
                row.copy_from_slice(slope);
                scale(row, c * self.factor.variance(i));
            }
            Ok(())
        })
    }
    fn squares_factor(&self, x: &[T], c: T, f: &mut [T], span: Span) -> Result<()> {
        let Some(squares) = &self.squares else { return squares::factor(self, x, c, f, span) };
        with_workspace(span.width, |scaled| {
            self.loss.value(x, scaled, span)?;
            dispatch(Spread {
                coefficients: &[1.0],
                floor: self.floor,
                scale: T::from_f64(1.0),
                rows: scaled,
                width: span.width,
            });
            scale_square(scaled, c.to_f64());
            for (row, entry) in f.chunks_exact_mut(span.width).zip(squares.as_slice()) {
                row.copy_from_slice(scaled);
                scale(row, *entry);
            }
            Ok(())
        })
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}
