//! The gradient noise of an adaptive optimizer's equation, and the variances that its second moment follows.

use super::preconditioner::Quantity;
use crate::block::Span;
use crate::elementwise::{multiply, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::Dense;
use crate::noise::{Factor, Noise, NoiseKind};
use crate::workspace::with_workspace;
use std::sync::Arc;

/// What a factor looks like, decided once.
enum Shape<T: Real> {
    None,
    Deviations(Vec<f64>),
    Constant(Dense<T>),
    Diagonal,
    Full,
}

/// `R(x) = scale · S(x)`, and `s(x)`, the diagonal of `variance_scale · Σ(x)`.
pub(super) struct GradientNoise<T: Real> {
    pub model: Arc<dyn Noise<T>>,
    scale: f64,
    variance_scale: f64,
    shape: Shape<T>,
    /// The variances where they are constant.
    variances: Option<Vec<f64>>,
}

impl<T: Real> GradientNoise<T> {
    pub fn new(model: Arc<dyn Noise<T>>, scale: f64, variance_scale: f64) -> Self {
        let shape = match (model.constant(), model.kind()) {
            (_, NoiseKind::None) => Shape::None,
            (Some(Factor::Diagonal(s)), _) => Shape::Deviations(s.iter().map(|s| scale * s).collect()),
            (Some(Factor::Lower(l)), _) => Shape::Constant(Dense::lower(&l.scaled(scale))),
            (None, kind) if kind.is_diagonal() => Shape::Diagonal,
            _ => Shape::Full,
        };
        let variances = match (model.constant(), model.kind()) {
            (_, NoiseKind::None) => Some(vec![0.0; model.dim()]),
            (Some(factor), _) => Some((0..factor.dim()).map(|i| variance_scale * factor.variance(i)).collect()),
            _ => None,
        };
        Self { model, scale, variance_scale, shape, variances }
    }

    /// Whether it does not depend on the state.
    pub fn is_constant(&self) -> bool {
        self.variances.is_some()
    }

    /// The factor, where it is constant.
    pub fn constant(&self) -> Option<Factor> {
        self.model.constant().map(|factor| factor.scaled(self.scale))
    }

    /// The constant deviations of diagonal noise.
    pub fn deviations(&self) -> Option<&[f64]> {
        match &self.shape {
            Shape::Deviations(s) => Some(s),
            _ => None,
        }
    }

    /// Rows of memory that [`GradientNoise::variances`] wants.
    pub fn variance_rows(&self) -> usize {
        if self.is_constant() { 0 } else { self.model.dim() }
    }

    /// `s(x)`, in `rows` where it is not constant.
    pub fn variances<'a>(&'a self, x: &[T], rows: &'a mut [T], span: Span) -> Result<Quantity<'a, T>> {
        match &self.variances {
            Some(variances) => Ok(Quantity::Constant(variances)),
            None => {
                self.model.variances(x, self.variance_scale, rows, span)?;
                Ok(Quantity::Rows(rows))
            }
        }
    }

    /// `out = R(x) dw`, `d` rows.
    pub fn apply(&self, x: &[T], dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        let scale = T::from_f64(self.scale);
        match &self.shape {
            Shape::None => out.fill(T::default()),
            Shape::Deviations(s) => {
                out.copy_from_slice(dw);
                scale_rows(out, s, span.width);
            }
            Shape::Constant(factor) => factor.apply(dw, out, span)?,
            Shape::Diagonal => {
                self.model.diagonal(x, scale, out, span)?;
                multiply(out, dw);
            }
            Shape::Full => {
                let rows = self.model.dim() * self.model.n_wiener();
                with_workspace(rows * span.width, |work| self.model.apply(x, scale, dw, out, work, span))?;
            }
        }
        Ok(())
    }

    /// Column `j` of `R(x)` for every `j`, given to `column(j, rows)`.
    pub fn columns(&self, x: &[T], span: Span, mut column: impl FnMut(usize, &[T]) -> Result<()>) -> Result<()> {
        let (d, m, width) = (self.model.dim(), self.model.n_wiener(), span.width);
        with_workspace((d * m + d) * width, |work| {
            let (factor, rows) = work.split_at_mut(d * m * width);
            match (self.model.constant(), self.model.kind()) {
                (_, NoiseKind::None) => return Ok(()),
                (Some(constant), _) => {
                    for (r, row) in factor.chunks_exact_mut(width).enumerate() {
                        row.fill(T::from_f64(self.scale * constant.entry(r / m, r % m)));
                    }
                }
                (None, kind) if kind.is_diagonal() => {
                    self.model.diagonal(x, T::from_f64(self.scale), &mut factor[..d * width], span)?;
                    crate::noise::spread_diagonal(factor, d, width);
                }
                _ => self.model.factor(x, T::from_f64(self.scale), factor, span)?,
            }
            for j in 0..m {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    row.copy_from_slice(&factor[(i * m + j) * width..][..width]);
                }
                column(j, rows)?;
            }
            Ok(())
        })
    }
}
