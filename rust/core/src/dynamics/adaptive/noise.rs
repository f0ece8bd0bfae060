//! The noise of an adaptive optimizer's equation: of the gradient, of its square, and the variances that `v` follows.

use super::preconditioner::Quantity;
use crate::block::Span;
use crate::elementwise::{add_product, add_scaled, assign_add_scaled, multiply, scale, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::LinearMap;
use crate::noise::{Factor, Noise, NoiseKind, SquareFactors, apply_factor, spread_diagonal};
use crate::workspace::with_workspace;
use std::sync::Arc;

/// How much of a step differences of factors span: less, and rounding would show in single precision.
const PART: f64 = 1.0 / 64.0;

/// What a factor looks like, decided once.
enum Shape<T: Real> {
    None,
    Deviations(Vec<f64>),
    Constant(Factor, LinearMap<T>),
    Diagonal,
    Full,
}

impl<T: Real> Shape<T> {
    fn new(constant: Option<Factor>, kind: NoiseKind) -> Self {
        match (constant, kind) {
            (_, NoiseKind::None) => Shape::None,
            (Some(Factor::Diagonal(s)), _) => Shape::Deviations(s),
            (Some(factor), _) => {
                let dense = LinearMap::lower(&factor.dense());
                Shape::Constant(factor, dense)
            }
            (None, kind) if kind.is_diagonal() => Shape::Diagonal,
            _ => Shape::Full,
        }
    }

    /// Writes the `rows × columns` factor if it is constant; false if it is not.
    fn write(&self, columns: usize, f: &mut [T], width: usize) -> bool {
        let entry = |i: usize, j: usize| match self {
            Shape::Deviations(s) => Some(if i == j { s[i] } else { 0.0 }),
            Shape::Constant(factor, _) => Some(factor.entry(i, j)),
            Shape::None => Some(0.0),
            Shape::Diagonal | Shape::Full => None,
        };
        for (r, row) in f.chunks_exact_mut(width).enumerate() {
            let Some(entry) = entry(r / columns, r % columns) else { return false };
            row.fill(T::from_f64(entry));
        }
        true
    }

    /// `out = F dw` if the factor is constant; false if it is not.
    fn apply(&self, dw: &[T], out: &mut [T], span: Span) -> Result<bool> {
        match self {
            Shape::None => out.fill(T::default()),
            Shape::Deviations(s) => {
                out.copy_from_slice(dw);
                scale_rows(out, s, span.width);
            }
            Shape::Constant(_, dense) => dense.apply(dw, out, span)?,
            Shape::Diagonal | Shape::Full => return Ok(false),
        }
        Ok(true)
    }
}

/// What multiplies the noise of one example.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    /// Its factor `S`.
    pub noise: f64,
    /// Its variances.
    pub variances: f64,
    /// The factors of its squares.
    pub squares: f64,
    /// Examples in a batch.
    pub batch: f64,
}

/// `R(x)`, `s(x)` and `Q(x)`, scaled.
pub(super) struct DrivingNoise<T: Real> {
    pub model: Arc<dyn Noise<T>>,
    scales: Scales,
    shape: Shape<T>,
    /// Of the squares; None where the equation has no noise of theirs.
    squares: Option<Shape<T>>,
    /// What the cubes of constant noise that is not Gaussian have beyond: `Σ_k R_ik (C_jk)` is `E z_i z_j³ - 3 Σ_ij s_j`.
    cubes: Option<Shape<T>>,
    /// The variances where they are constant.
    variances: Option<Vec<f64>>,
}

impl<T: Real> DrivingNoise<T> {
    pub fn new(model: Arc<dyn Noise<T>>, scales: Scales, squares: bool) -> Result<Self> {
        let (constant, kind) = (model.constant(), model.kind());
        let variances = match constant {
            _ if kind == NoiseKind::None => Some(vec![0.0; model.dim()]),
            Some(factor) => Some((0..factor.dim()).map(|i| scales.variances * factor.variance(i)).collect()),
            None => None,
        };
        let squares = if squares {
            let constant = constant.map(|factor| factor.of_squares(model.excess())).transpose()?;
            Some(Shape::new(constant.map(|factor| factor.scaled(scales.squares)), kind))
        } else {
            None
        };
        let constant = constant.map(|factor| factor.scaled(scales.noise));
        let cubes = constant.as_ref().filter(|_| squares.is_some() && model.excess() != 0.0).map(Factor::cubes);
        let cubes = cubes.map(|cubes| Shape::new(Some(cubes.scaled(model.excess())), kind));
        let shape = Shape::new(constant, kind);
        Ok(Self { model, scales, shape, squares, cubes, variances })
    }

    /// Whether it does not depend on the state.
    pub fn is_constant(&self) -> bool {
        self.variances.is_some()
    }

    /// The factor `R`, where it is constant.
    pub fn constant(&self) -> Option<Factor> {
        self.model.constant().map(|factor| factor.scaled(self.scales.noise))
    }

    /// The constant deviations of diagonal noise.
    pub fn deviations(&self) -> Option<&[f64]> {
        match &self.shape {
            Shape::Deviations(s) => Some(s),
            _ => None,
        }
    }

    /// Rows of memory that [`DrivingNoise::variances`] wants.
    pub fn variance_rows(&self) -> usize {
        if self.is_constant() { 0 } else { self.model.dim() }
    }

    /// `s(x)`, in `rows` where it is not constant.
    pub fn variances<'a>(&'a self, x: &[T], rows: &'a mut [T], span: Span) -> Result<Quantity<'a, T>> {
        match &self.variances {
            Some(variances) => Ok(Quantity::Constant(variances)),
            None => {
                self.model.variances(x, self.scales.variances, rows, span)?;
                Ok(Quantity::Rows(rows))
            }
        }
    }

    /// `out = J(x) w`, the derivative of `s` along `w`.
    pub fn variances_along(&self, x: &[T], w: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.model.variances_along(x, w, self.scales.variances, out, span)
    }

    /// `out = R(x) dw`, `d` rows.
    pub fn apply(&self, x: &[T], dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        if self.shape.apply(dw, out, span)? {
            return Ok(());
        }
        let scale = T::from_f64(self.scales.noise);
        if matches!(self.shape, Shape::Diagonal) {
            self.model.diagonal(x, scale, out, span)?;
            multiply(out, dw);
            return Ok(());
        }
        let rows = self.model.apply_rows();
        with_workspace(rows * span.width, |work| self.model.apply(x, scale, dw, out, work, span))
    }

    /// `out = (∂_w R)(x) dw`, `d` rows. Where the model has no derivative, that is a difference over a part of `tau w`, which a
    /// step moves by, about `x`: what `tau` times it is off by is a small part of terms of the order `tau³`.
    pub fn apply_along(&self, x: &[T], w: &[T], tau: f64, dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        if self.model.has_apply_along() {
            return self.model.apply_along(x, w, T::from_f64(self.scales.noise), dw, out, span);
        }
        with_workspace(2 * x.len(), |work| {
            let (place, behind) = work.split_at_mut(x.len());
            let reach = PART * tau;
            assign_add_scaled(place, x, w, -0.5 * reach);
            self.apply(place, dw, behind, span)?;
            assign_add_scaled(place, x, w, 0.5 * reach);
            self.apply(place, dw, out, span)?;
            add_scaled(out, behind, -1.0);
            scale(out, 1.0 / reach);
            Ok(())
        })
    }

    /// `out = Q(x) db`, `d` rows, of noise that is not skewed.
    pub fn apply_squares(&self, x: &[T], db: &[T], out: &mut [T], span: Span) -> Result<()> {
        match &self.squares {
            Some(squares) if squares.apply(db, out, span)? => Ok(()),
            _ => self.model.squares(x, T::from_f64(self.scales.squares), db, out, span),
        }
    }

    /// Whether the squares share the noise's Wiener processes.
    pub fn is_skewed(&self) -> bool {
        self.squares.is_some() && self.model.is_skewed()
    }

    /// Gives the factors `R`, `A` and `Q` of skewed noise to `use_factors`.
    pub fn with_square_factors<R>(
        &self,
        x: &[T],
        span: Span,
        use_factors: impl FnOnce(&[T], &[T], &[T]) -> Result<R>,
    ) -> Result<R> {
        let (d, len) = (self.model.dim(), self.model.dim() * self.model.n_wiener() * span.width);
        with_workspace(2 * len + d * d * span.width, |work| {
            let (noise, rest) = work.split_at_mut(len);
            let (shared, own) = rest.split_at_mut(len);
            let factors = SquareFactors { noise: &mut *noise, shared: &mut *shared, own: &mut *own };
            self.model.skewed_squares(x, self.scales.batch, T::from_f64(self.scales.squares), factors, span)?;
            scale(noise, self.scales.noise);
            use_factors(noise, shared, own)
        })
    }

    /// Of skewed noise: `z = R(x) dw` and `q = A(x) dw + Q(x) db`, where there are increments, and, where it is asked for, the
    /// third moments of each component, times what multiplies the time in the factors: the diagonal of `A Rᵀ`. All of
    /// `d` rows.
    pub fn skewed(
        &self,
        x: &[T],
        increments: Option<(&[T], &[T])>,
        [z, q]: [&mut [T]; 2],
        thirds: Option<&mut [T]>,
        span: Span,
    ) -> Result<()> {
        let width = span.width;
        self.with_square_factors(x, span, |noise, shared, own| {
            if let Some((dw, db)) = increments {
                apply_factor(noise, dw, z, width);
                apply_factor(shared, dw, q, width);
                with_workspace(q.len(), |of_own| {
                    apply_factor(own, db, of_own, width);
                    add_scaled(q, of_own, 1.0);
                });
            }
            if let Some(out) = thirds {
                out.fill(T::default());
                let columns = self.model.n_wiener() * width;
                let rows = noise.chunks_exact(columns).zip(shared.chunks_exact(columns));
                for (out, (noise, squares)) in out.chunks_exact_mut(width).zip(rows) {
                    for (a, b) in noise.chunks_exact(width).zip(squares.chunks_exact(width)) {
                        add_product(out, a, b);
                    }
                }
            }
            Ok(())
        })
    }

    /// `out = C dw`, `d` rows; false where there is none.
    pub fn apply_cubes(&self, dw: &[T], out: &mut [T], span: Span) -> Result<bool> {
        self.cubes.as_ref().map_or(Ok(false), |cubes| cubes.apply(dw, out, span))
    }

    /// `R(x)`, `d·m` rows.
    pub fn factor(&self, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        if self.shape.write(self.model.n_wiener(), f, span.width) {
            return Ok(());
        }
        let (d, scale) = (self.model.dim(), T::from_f64(self.scales.noise));
        if matches!(self.shape, Shape::Diagonal) {
            self.model.diagonal(x, scale, &mut f[..d * span.width], span)?;
            spread_diagonal(f, d, span.width);
            return Ok(());
        }
        self.model.factor(x, scale, f, span)
    }

    /// `Q(x)`, `d·d` rows.
    pub fn squares_factor(&self, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        match &self.squares {
            Some(squares) if squares.write(self.model.dim(), f, span.width) => Ok(()),
            _ => self.model.squares_factor(x, T::from_f64(self.scales.squares), f, span),
        }
    }
}

/// Gives every column of a factor of `d` times `columns` rows to `use_column(j, rows)`; `rows` holds `d` rows.
pub(super) fn each_column<T: Real>(
    f: &[T],
    columns: usize,
    rows: &mut [T],
    width: usize,
    mut use_column: impl FnMut(usize, &[T]) -> Result<()>,
) -> Result<()> {
    for j in 0..columns {
        copy_column(f, (j, columns), rows, width);
        use_column(j, rows)?;
    }
    Ok(())
}

/// Copies column `j` of a factor of so many columns.
pub(super) fn copy_column<T: Real>(f: &[T], (j, columns): (usize, usize), rows: &mut [T], width: usize) {
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        row.copy_from_slice(&f[(i * columns + j) * width..][..width]);
    }
}
