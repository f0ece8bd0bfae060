//! Itô equations `dX = a(t, X) dt + b(t, X) dW` on blocks of paths: one file a family.

mod adaptive;
mod function;
mod gradient;
mod linear;
mod momentum;
mod sgd;
mod sign;
mod underdamped;

pub use adaptive::{Adaptive, AdaptiveModel, Order, Ordering, Regime, Rule};
pub use function::{FunctionNoise, FunctionSde};
pub use gradient::GradientSde;
pub use linear::{Linear, LinearSde};
pub use momentum::{Friction, MomentumSde};
pub use sgd::ModifiedSgd;
pub use sign::{SignRegime, SignSde};
pub use underdamped::{Underdamped, UnderdampedLangevin};

use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::loss::Leap;
use crate::noise::{AffineDiagonal, Factor, NoiseKind, Stable, apply_factor};

/// Rows of the state that a model reads as `max(x, least)`: second moments, whose noise may carry them below zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// The first of the rows.
    pub first_row: usize,
    /// The least value of each.
    pub least: Vec<f64>,
}

/// An Itô equation. Component `i` of lane `p` is `x[i * width + p]`.
pub trait Sde<T: Real>: Send + Sync {
    /// State variables `d`.
    fn dim(&self) -> usize;
    /// Wiener processes `m`.
    fn n_wiener(&self) -> usize;
    /// How many of them, the last ones, are of group 1: the noise of second moments, independent of the gradient's.
    fn n_wiener_b(&self) -> usize {
        0
    }
    /// The rows that the model keeps positive by a floor, and where it is.
    fn floor(&self) -> Option<Floor> {
        None
    }
    /// The structure of `b`.
    fn kind(&self) -> NoiseKind;
    /// Writes `a(t, x) / drift_scale` into `d` rows; `scratch` holds `d` rows.
    fn drift(&self, t: f64, x: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()>;
    /// The constant that [`Sde::drift`] leaves to the scheme: -1 for gradient flows, whose drift is then the bare gradient.
    fn drift_scale(&self) -> f64 {
        1.0
    }
    /// The constant factor of an additive kind.
    fn constant(&self) -> Option<&Factor> {
        None
    }
    /// The diagonal of a diagonal kind, `d` rows.
    fn diagonal(&self, _t: f64, _x: &[T], _b: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the diagonal of the diffusion"))
    }
    /// Whether derivatives of `b` are known.
    fn has_jacobian(&self) -> bool {
        false
    }
    /// For kind `DiagonalCoupled`: whether the derivative of each deviation by its own coordinate is known, and
    /// [`Sde::diagonal_milstein`] has it.
    fn has_own_slopes(&self) -> bool {
        false
    }
    /// For kind `Diagonal`, and `DiagonalCoupled` with [`Sde::has_own_slopes`]: `b_i` and `b_i ∂b_i/∂x_i`.
    fn diagonal_milstein(&self, _t: f64, _x: &[T], _b: &mut [T], _bdb: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the jacobian of the diffusion"))
    }
    /// Rows of scratch memory that [`Sde::noise`] wants.
    fn noise_rows(&self) -> usize {
        self.dim() * self.n_wiener()
    }
    /// `out = b(t, x) dw`, `d` rows; `scratch` holds [`Sde::noise_rows`] rows.
    fn noise(&self, t: f64, x: &[T], dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        self.factor(t, x, scratch, span)?;
        apply_factor(scratch, dw, out, span.width);
        Ok(())
    }
    /// The factor, `d·m` rows, entry (i, j) in row `i·m + j`.
    fn factor(&self, _t: f64, _x: &[T], _f: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the factor of the diffusion"))
    }
    /// `∂b_ij/∂x_k` in row `(i·m + j)·d + k`; `scratch` holds `d + 1` rows.
    fn jacobian(&self, _t: f64, _x: &[T], _j: &mut [T], _scratch: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the jacobian of the diffusion"))
    }
    /// The stable law of kind `Levy`, and what it is multiplied by.
    fn stable(&self) -> Option<(&Stable, f64)> {
        None
    }
    /// Affine noise and its scale, where [`Sde::euler`] can take many Milstein steps of it at once.
    fn milstein_noise(&self) -> Option<(&AffineDiagonal, f64)> {
        None
    }
    /// Whether [`Sde::euler`] can take many Euler steps at once.
    fn leaps(&self) -> bool {
        false
    }
    /// Many steps at once; see [`crate::loss::Loss::leap`].
    fn leap(&self, _steps: Leap<'_, T>, _x: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("a kernel for many steps"))
    }
    /// Whether it has [`Sde::euler_step`].
    fn has_euler_step(&self) -> bool {
        false
    }
    /// Rows of scratch memory that [`Sde::euler_step`] wants.
    fn euler_step_rows(&self) -> usize {
        0
    }
    /// A step of Euler–Maruyama, `x += h a(t, x) + b(t, x) dw`, where drift and noise share what they need of the loss.
    fn euler_step(&self, _t: f64, _h: f64, _x: &mut [T], _dw: &[T], _scratch: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("a kernel for a whole step"))
    }
    /// The exact linear form, made when it is asked for, where the drift is linear and the noise additive.
    fn linear(&self) -> Option<Linear> {
        None
    }
    /// A linear equation with this noise whose drift has the stiff part of this one's, for schemes that take it exactly
    /// and the rest of the drift by itself.
    fn linear_part(&self) -> Option<Linear> {
        self.linear()
    }
    /// The mobility `M` of a drift `-M ∇f`, whatever `f` is.
    fn mobility(&self) -> Option<Vec<f64>> {
        None
    }
    /// Its parts, where it is an equation of underdamped Langevin dynamics.
    fn underdamped(&self) -> Option<Underdamped<T>> {
        None
    }
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}
