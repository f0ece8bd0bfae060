//! Schemes turn an equation into a stepper: one file a scheme, and the table of what each can do.

mod euler_maruyama;
mod milstein;
mod ornstein_uhlenbeck;
mod rk4;
mod table;

pub use euler_maruyama::EulerMaruyama;
pub use milstein::{DiagonalMilstein, GeneralMilstein};
pub use ornstein_uhlenbeck::ExactOrnsteinUhlenbeck;
pub use rk4::RungeKutta4;
pub use table::{METHODS, Method, find};

use crate::block::Span;
use crate::dynamics::Sde;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::noise::NoiseKind;
use crate::rng::Drawn;
use std::sync::Arc;

/// What a stepper reads of the noise in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// Wiener processes: increments, `m` rows a step.
    pub wiener: usize,
    /// Iterated integrals `I_(i,j)`, `m²` rows a step, with their Lévy areas.
    pub iterated: bool,
    /// Standard normals beside the increments, from the tag of residuals.
    pub residuals: usize,
}

/// One step's surroundings.
pub struct Step<'a, T> {
    /// Time at its start.
    pub t: f64,
    /// Its length.
    pub h: f64,
    /// Increments of the Wiener processes over the step, `m` rows.
    pub dw: &'a [T],
    /// Iterated integrals, row `i·m + j`; empty unless asked for.
    pub iterated: &'a [T],
    /// Residual normals; empty unless asked for.
    pub residuals: &'a [T],
    /// The block.
    pub span: Span,
}

/// Anything that advances a block of paths by one step.
pub trait Stepper<T: Real>: Send + Sync {
    /// State variables.
    fn dim(&self) -> usize;
    /// The noise it reads.
    fn draws(&self) -> Draws;
    /// Rows of scratch memory it wants.
    fn scratch_rows(&self) -> usize;
    /// Advances `x`, `dim` rows, by one step.
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()>;
    /// Whether [`Stepper::leap`] can take many steps at once.
    fn leaps(&self) -> bool {
        false
    }
    /// Takes `count` steps of length `h`, given the increments of all of them, `m` rows a step: the bits of
    /// [`Stepper::step`] one after the other.
    fn leap(&self, _h: f64, _dw: Drawn<'_, T>, _count: usize, _x: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("a kernel for many steps"))
    }
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// The stepper of a named scheme for an equation, with step `h`.
pub fn stepper<T: Real>(name: &str, sde: Arc<dyn Sde<T>>, h: f64) -> Result<Arc<dyn Stepper<T>>> {
    let kind = sde.kind();
    find(name)?.check(kind)?;
    Ok(match name {
        "rk4" => Arc::new(RungeKutta4::new(sde)),
        "milstein" => match kind {
            NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull => Arc::new(EulerMaruyama::new(sde)),
            NoiseKind::Diagonal => Arc::new(DiagonalMilstein::new(sde)),
            _ => Arc::new(GeneralMilstein::new(sde)?),
        },
        "ornstein_uhlenbeck" => Arc::new(ExactOrnsteinUhlenbeck::new(sde.as_ref(), h)?),
        "euler_maruyama" => Arc::new(EulerMaruyama::new(sde)),
        _ => return Err(Error::invalid("method", format!("{name:?} has no stepper"))),
    })
}
