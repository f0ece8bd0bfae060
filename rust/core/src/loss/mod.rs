//! Losses: functions of the parameters whose gradient drives the optimizer, for blocks of paths and for points.

mod builtin;
mod data;
mod diagonal_linear_network;
mod double_well;
mod formula;
mod function;
mod function_data;
mod leap;
mod linear_model;
mod matrix_factorization;
mod matrix_factorization_data;
mod mlp;
mod mueller_brown;
mod network;
mod network_data;
mod network_feeds;
mod point;
mod quadratic;
mod quartic;
mod rastrigin;
mod ridge;
mod rosenbrock;
mod scalar_factorization;
mod slices;
mod styblinski_tang;

pub use builtin::Builtin;
pub use data::{DataLoss, Descent};
pub use double_well::DoubleWell;
pub use formula::Formula;
pub use function::FunctionLoss;
pub use function_data::FunctionData;
pub use leap::{Leap, Rule};
pub use linear_model::{LinearRegression, LogisticRegression, MinibatchFloor, SoftmaxRegression};
pub use matrix_factorization::MatrixFactorization;
pub use mueller_brown::MuellerBrown;
pub use network::{Activation, Criterion, Network};
pub use point::PointLoss;
pub use quadratic::Quadratic;
pub use quartic::Quartic;
pub use rastrigin::Rastrigin;
pub use ridge::Ridge;
pub use rosenbrock::Rosenbrock;
pub use scalar_factorization::ScalarFactorization;
pub use styblinski_tang::StyblinskiTang;

use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::Real;

/// A loss on blocks of paths: component `i` of lane `p` is `x[i * width + p]`, and likewise in the outputs.
///
/// Padding lanes may be read and written; what they hold means nothing. A loss written in closed form implements
/// [`Formula`] instead, and has this for nothing.
pub trait Loss<T: Real>: Send + Sync {
    /// How many parameters.
    fn dim(&self) -> usize;

    /// The loss of every path: `out` is one row.
    fn value(&self, _x: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the value of the loss"))
    }

    /// The gradient of every path: `out` has `dim` rows.
    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()>;

    /// The Hessian at every path times the path's vector in `v`: `out` has `dim` rows.
    fn hess_vec(&self, _x: &[T], _v: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the Hessian of the loss"))
    }

    /// The third derivative at every path along the path's vector in `v`, twice: `out_i = Σ_jk v_j v_k ∂_i∂_j∂_k f`, `dim` rows.
    fn third_along(&self, _x: &[T], _v: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the third derivative of the loss"))
    }

    /// Whether third derivatives are 0.
    fn is_quadratic(&self) -> bool {
        false
    }

    /// A bowl that has the stiff part of the loss, where it has one that deserves the name: the quadratic part, or one
    /// curved as the minima are. What it leaves of the gradient is for the user of it to add.
    fn bowl(&self) -> Option<Quadratic<f64>> {
        None
    }

    /// Whether it has [`Loss::leap`].
    fn leaps(&self) -> bool {
        false
    }

    /// Takes many steps at once, with the bits of one step after the other.
    fn leap(&self, _steps: Leap<'_, T>, _x: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("a kernel for many steps"))
    }

    /// Whether it may be called from the thread that called the engine only, as Python functions must.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// The closure itself: as an argument, and nowhere else, a closure may be marked as inlined on stable Rust. One that
/// is not inlined would lose the instruction set.
#[inline(always)]
fn inlined<F>(closure: F) -> F {
    closure
}

/// Fails unless the parameter is a finite number.
fn finite(argument: &str, x: f64) -> Result<f64> {
    if x.is_finite() { Ok(x) } else { Err(Error::invalid(argument, format!("{x} is not a finite number"))) }
}

/// Fails unless all elements are finite numbers.
fn all_finite(argument: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(argument, format!("element {i} is {}", values[i]))),
    }
}

/// Fails unless `dim` is at least `least`.
fn dimension(dim: usize, least: usize) -> Result<usize> {
    if dim >= least { Ok(dim) } else { Err(Error::invalid("dim", format!("{dim}, but at least {least} is needed"))) }
}
