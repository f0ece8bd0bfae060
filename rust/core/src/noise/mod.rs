//! The covariance of the gradient noise of one example: one file a model.

mod affine_diagonal;
mod along;
mod covariance;
mod gaussian;
mod gaussian_inputs;
mod gaussian_inputs_squares;
mod gradient_noise;
mod kind;
mod loss_scaled;
mod minibatch;
mod minibatch_squares;
mod semidefinite;
mod squares;
mod stable;
mod variances;

pub use affine_diagonal::{AffineDiagonal, Deviation};
pub(crate) use along::apply_along;
pub(crate) use covariance::{add_covariance, add_majorant, lower_root, solve};
pub use gaussian::{Factor, Gaussian, StudentT, Zero};
pub use gaussian_inputs::GaussianInputs;
pub use gradient_noise::GradientNoise;
pub use kind::NoiseKind;
pub use loss_scaled::LossScaled;
pub use minibatch::{LabelNoise, Minibatch};
pub use squares::SquareFactors;
pub use stable::Stable;

use crate::block::Span;
use crate::elementwise::{at, put};
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// A noise model `Σ(x) = S(x) S(x)ᵀ` on blocks of paths: component `i` of lane `p` is `x[i * width + p]`.
///
/// Which methods a model answers follows from its [`NoiseKind`]: additive kinds give `constant`, diagonal kinds give
/// `diagonal`, `Levy` gives `stable`, the others `factor`. Every method multiplies its result by `scale`, the constant of the dynamics.
pub trait Noise<T: Real>: Send + Sync {
    /// Parameters `d`.
    fn dim(&self) -> usize;
    /// Wiener processes `m`.
    fn n_wiener(&self) -> usize;
    /// What the factor looks like.
    fn kind(&self) -> NoiseKind;
    /// The constant factor of an additive model.
    fn constant(&self) -> Option<&Factor> {
        None
    }
    /// Standard deviations, `d` rows.
    fn diagonal(&self, _x: &[T], _scale: T, _b: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the standard deviations of the noise"))
    }
    /// The model itself, where it is affine: its Milstein steps have a kernel for many at once.
    fn affine(&self) -> Option<&AffineDiagonal> {
        None
    }
    /// The stable law of noise without a covariance.
    fn stable(&self) -> Option<&Stable> {
        None
    }
    /// Whether derivatives of the factor are known.
    fn has_jacobian(&self) -> bool;
    /// For kind `DiagonalCoupled`: whether the derivative of each deviation by its own coordinate is known, and
    /// [`Noise::diagonal_milstein`] has it.
    fn has_own_slopes(&self) -> bool {
        false
    }
    /// For kind `Diagonal`, and `DiagonalCoupled` with [`Noise::has_own_slopes`]: the standard deviations and, in `bdb`, `b_i ∂b_i/∂x_i` (both scaled: `bdb` by `scale²`).
    fn diagonal_milstein(&self, _x: &[T], _scale: T, _b: &mut [T], _bdb: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the jacobian of the noise"))
    }
    /// The factor, `d·m` rows, entry (i, j) in row `i·m + j`.
    fn factor(&self, _x: &[T], _scale: T, _f: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the factor of the noise"))
    }
    /// Rows of scratch memory that [`Noise::apply`] wants.
    fn apply_rows(&self) -> usize {
        self.dim() * self.n_wiener()
    }
    /// `out = scale · S(x) dw`, `d` rows; `scratch` holds [`Noise::apply_rows`] rows.
    fn apply(&self, x: &[T], scale: T, dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        self.factor(x, scale, scratch, span)?;
        apply_factor(scratch, dw, out, span.width);
        Ok(())
    }
    /// `∂S_ij/∂x_k` in row `(i·m + j)·d + k`; `scratch` holds `d + 1` rows.
    fn jacobian(&self, _x: &[T], _scale: T, _j: &mut [T], _scratch: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the jacobian of the noise"))
    }
    /// The diagonal of `Σ(x)`, times `scale`: `d` rows.
    fn variances(&self, x: &[T], scale: f64, out: &mut [T], span: Span) -> Result<()> {
        variances::variances(self, x, scale, out, span)
    }
    /// Whether it has [`Noise::variances_along`].
    fn has_variances_along(&self) -> bool {
        self.has_jacobian()
    }
    /// The derivative of [`Noise::variances`] along each path's vector in `v`: `d` rows.
    fn variances_along(&self, x: &[T], v: &[T], scale: f64, out: &mut [T], span: Span) -> Result<()> {
        if !self.has_variances_along() {
            return Err(Error::missing("the jacobian of the noise"));
        }
        variances::variances_along(self, x, v, scale, out, span)
    }
    /// Whether it has [`Noise::apply_along`].
    fn has_apply_along(&self) -> bool {
        self.has_jacobian()
    }
    /// The derivative of [`Noise::apply`] along each path's vector in `v`: `out = scale · (∂_v S)(x) dw`, `d` rows.
    fn apply_along(&self, x: &[T], v: &[T], scale: T, dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        if !self.has_apply_along() {
            return Err(Error::missing("the jacobian of the noise"));
        }
        apply_along(self, x, v, scale, dw, out, span)
    }
    /// The fourth cumulant of the independent variables of variance 1 that a constant factor multiplies: 0 of normal ones.
    fn excess(&self) -> f64 {
        0.0
    }
    /// `out = scale · Q(x) db` with `Q Qᵀ = 2 Σ ∘ Σ`, entry by entry: the covariance of the squares of Gaussian noise. `db`
    /// and `out` have `d` rows.
    fn squares(&self, x: &[T], scale: T, db: &[T], out: &mut [T], span: Span) -> Result<()> {
        squares::apply(self, x, scale, db, out, span)
    }
    /// `scale · Q(x)` of [`Noise::squares`]: `d·d` rows.
    fn squares_factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        squares::factor(self, x, scale, f, span)
    }
    /// Whether third moments are not zero: then [`Noise::skewed_squares`] stands for [`Noise::squares`].
    fn is_skewed(&self) -> bool {
        false
    }
    /// The factors of the noise of a batch of `batch` examples, times its root, and of its squares; see `squares.rs`.
    fn skewed_squares(
        &self,
        _x: &[T],
        _batch: f64,
        _scale: T,
        _factors: SquareFactors<'_, T>,
        _span: Span,
    ) -> Result<()> {
        Err(Error::missing("the third moments of the noise"))
    }
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// `out = f dw`, for a factor of `d·m` rows.
pub fn apply_factor<T: Real>(f: &[T], dw: &[T], out: &mut [T], width: usize) {
    assert!(f.len() >= out.len() / width * dw.len());
    dispatch(ApplyFactor { f, dw, out, width });
}

struct ApplyFactor<'a, T> {
    f: &'a [T],
    dw: &'a [T],
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for ApplyFactor<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { f, dw, out, width } = self;
        let m = dw.len() / width;
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let mut sum = <T::V<S>>::constant(0.0);
                for j in 0..m {
                    sum = at::<T::V<S>>(f, (i * m + j) * width + p).mul_add(at(dw, j * width + p), sum);
                }
                put(row, p, sum);
            }
        }
    }
}

/// Moves `d` rows of standard deviations to the diagonal of a factor of `d·d` rows, zeros elsewhere.
pub fn spread_diagonal<T: Real>(f: &mut [T], d: usize, width: usize) {
    for i in (0..d).rev() {
        f.copy_within(i * width..(i + 1) * width, i * (d + 1) * width);
        let end = if i + 1 < d { (i + 1) * (d + 1) * width } else { d * d * width };
        f[(i * (d + 1) + 1) * width..end].fill(T::default());
    }
}
