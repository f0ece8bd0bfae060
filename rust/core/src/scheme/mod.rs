//! Schemes turn an equation into a stepper: one file a scheme, and the table of what each can do.

mod additive;
mod baoab;
mod dri1;
mod euler_maruyama;
mod exponential_splitting;
mod free_motion;
mod heun;
mod leimkuhler_matthews;
mod levy_euler;
mod milstein;
mod obabo;
mod ornstein_uhlenbeck;
mod platen;
mod points;
mod rk4;
mod sra1;
mod sra3;
mod sriw1;
mod stratonovich_heun;
mod table;
mod tamed_euler;
mod ubu;
mod underdamped;

pub use baoab::Baoab;
pub use dri1::{AdditiveDri1, CoupledDri1, DiagonalDri1, GeneralDri1};
pub use euler_maruyama::EulerMaruyama;
pub use exponential_splitting::ExponentialSplitting;
pub use heun::Heun;
pub use leimkuhler_matthews::LeimkuhlerMatthews;
pub use levy_euler::LevyEuler;
pub use milstein::{DiagonalMilstein, GeneralMilstein};
pub use obabo::Obabo;
pub use ornstein_uhlenbeck::ExactOrnsteinUhlenbeck;
pub use platen::{CoupledPlaten, DiagonalPlaten, GeneralPlaten};
pub use rk4::RungeKutta4;
pub use sra1::Sra1;
pub use sra3::Sra3;
pub use sriw1::Sriw1;
pub use stratonovich_heun::StratonovichHeun;
pub use table::{METHODS, Method, Needs, find};
pub use tamed_euler::TamedEuler;
pub use ubu::Ubu;

use crate::block::Span;
use crate::dynamics::Sde;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::noise::NoiseKind;
use crate::rng::{Address, Drawn, SIGN_ROWS, Tag, fill_sign_words};
use crate::wiener::Half;
use std::ops::Range;
use std::sync::Arc;

/// What a stepper reads of the noise in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// Wiener processes of group 0, the gradient noise.
    pub wiener: usize,
    /// Wiener processes of group 1, the noise of second moments: their increments follow those of group 0.
    pub wiener_b: usize,
    /// Iterated integrals `I_(i,j)`, `m²` rows a step, with their Lévy areas.
    pub iterated: bool,
    /// Integrals over time `I_(j,0) = ∫ (W_j(s) - W_j(t)) ds`, of group 0.
    pub time_integrals: bool,
    /// The increments of the step after as well; goes with increments alone.
    pub ahead: bool,
    /// Standard normals beside the increments, from the tag of residuals.
    pub residuals: usize,
}

impl Draws {
    /// The increments that an equation reads.
    pub fn of<T: Real>(sde: &dyn Sde<T>) -> Self {
        let wiener_b = sde.n_wiener_b();
        Self { wiener: sde.n_wiener() - wiener_b, wiener_b, ..Self::default() }
    }

    /// Rows of increments in a step.
    pub fn increments(&self) -> usize {
        self.wiener + self.wiener_b
    }
}

/// Where a step draws what no window holds ready: signs, jumps, indices of examples.
#[derive(Clone, Copy, Debug)]
pub struct StepAddress {
    /// The key of the run.
    pub key: u64,
    /// The path in lane 0.
    pub first_path: u64,
    /// Absolute index of the step's first cell.
    pub cell: u64,
    /// Cells of the step.
    pub cells: u64,
    /// Whether paths 2i and 2i + 1 are a pair, which reads stream number i.
    pub antithetic: bool,
}

impl StepAddress {
    /// The stream of a purpose.
    pub fn stream(&self, tag: Tag) -> Address {
        Address { key: self.key, tag, first_path: self.first_path }
    }

    /// Writes the words of signs, [`SIGN_ROWS`] rows a generator block of this step, which has so
    /// many; both paths of a pair have the same ones.
    pub fn sign_words<T: Real>(&self, blocks: u64, width: usize, out: &mut [T]) {
        let out = &mut out[..SIGN_ROWS * blocks as usize * width];
        let (at, blocks) = (self.stream(Tag::SIGNS), self.blocks(blocks));
        if self.antithetic {
            let half = Half::of(self.first_path, width);
            fill_sign_words(half.address(at), blocks, half.width, out);
            half.repeat(width, out);
        } else {
            fill_sign_words(at, blocks, width, out);
        }
    }

    /// The generator blocks of this step, where each step has so many.
    pub fn blocks(&self, per_step: u64) -> Range<u64> {
        self.cell * per_step..(self.cell + 1) * per_step
    }
}

/// One step's surroundings.
pub struct Step<'a, T> {
    /// Time at its start.
    pub t: f64,
    /// Its length.
    pub h: f64,
    /// Increments of the Wiener processes over the step, `m` rows: those of group 0, then those of group 1.
    pub dw: &'a [T],
    /// What else it asked for of their path.
    pub beside: Beside<'a, T>,
    /// Where it draws anything else.
    pub at: StepAddress,
    /// The block.
    pub span: Span,
}

/// Several steps of one length in a row.
pub struct Steps<'a, T> {
    /// Time at the start of the first.
    pub t: f64,
    /// Their length.
    pub h: f64,
    /// How many.
    pub count: usize,
    /// Increments of all of them, `m` rows a step, and of one step more where [`Draws::ahead`] asks for it.
    pub dw: Drawn<'a, T>,
    /// Where the first draws anything else; the others are of the cells after it.
    pub at: StepAddress,
    /// The block.
    pub span: Span,
}

/// What a step may know of the Wiener path beside its increments; each part is empty unless asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a, T> {
    /// Iterated integrals, row `i·m + j`.
    pub iterated: &'a [T],
    /// Integrals over time `I_(j,0)`, `m` rows.
    pub time_integrals: &'a [T],
    /// The next step's increments, `m` rows.
    pub ahead: &'a [T],
    /// Residual normals.
    pub residuals: &'a [T],
}

/// Anything that advances a block of paths by one step.
pub trait Stepper<T: Real>: Send + Sync {
    /// State variables.
    fn dim(&self) -> usize;
    /// The noise it reads.
    fn draws(&self) -> Draws;
    /// Rows of scratch memory it wants.
    fn scratch_rows(&self) -> usize;
    /// Prepares what its steps leave in the scratch for the steps after: called with a block's first state, whose steps
    /// then get the scratch as the one before left it.
    fn begin(&self, _x: &[T], _scratch: &mut [T], _span: Span) -> Result<()> {
        Ok(())
    }
    /// Advances `x`, `dim` rows, by one step.
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()>;
    /// The most steps that [`Stepper::leap`] takes at once; 1 where there is no kernel for more.
    fn leaps(&self) -> u64 {
        1
    }
    /// Takes steps of one cell each: the bits of [`Stepper::step`] one after the other.
    fn leap(&self, _steps: &Steps<'_, T>, _x: &mut [T]) -> Result<()> {
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
    find(name)?.check(sde.as_ref())?;
    Ok(match name {
        "rk4" => Arc::new(RungeKutta4::new(sde)),
        "milstein" => match kind {
            NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull => Arc::new(EulerMaruyama::new(sde)),
            NoiseKind::Diagonal => Arc::new(DiagonalMilstein::new(sde)),
            _ => Arc::new(GeneralMilstein::new(sde)?),
        },
        "heun" => Arc::new(Heun::new(sde)),
        "platen" => match kind {
            NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull => Arc::new(Heun::new(sde)),
            NoiseKind::Diagonal => Arc::new(DiagonalPlaten::new(sde)),
            NoiseKind::DiagonalCoupled => Arc::new(CoupledPlaten::new(sde)),
            _ => Arc::new(GeneralPlaten::new(sde)),
        },
        "dri1" => match kind {
            NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull => Arc::new(AdditiveDri1::new(sde)),
            NoiseKind::Diagonal => Arc::new(DiagonalDri1::new(sde)),
            NoiseKind::DiagonalCoupled => Arc::new(CoupledDri1::new(sde)),
            _ => Arc::new(GeneralDri1::new(sde)),
        },
        "sra1" => Arc::new(Sra1::new(sde)?),
        "sra3" => Arc::new(Sra3::new(sde)?),
        "sriw1" => Arc::new(Sriw1::new(sde)?),
        "stratonovich_heun" if kind.is_additive() => Arc::new(Heun::new(sde)),
        "stratonovich_heun" => Arc::new(StratonovichHeun::new(sde)?),
        "exponential_splitting" => Arc::new(ExponentialSplitting::new(sde, h)?),
        "tamed_euler" => Arc::new(TamedEuler::new(sde)),
        "ornstein_uhlenbeck" => Arc::new(ExactOrnsteinUhlenbeck::new(sde.as_ref(), h)?),
        "euler_maruyama" => Arc::new(EulerMaruyama::new(sde)),
        "leimkuhler_matthews" => Arc::new(LeimkuhlerMatthews::new(sde)),
        "baoab" => Arc::new(Baoab::new(sde.as_ref(), h)?),
        "obabo" => Arc::new(Obabo::new(sde.as_ref(), h)?),
        "ubu" => Arc::new(Ubu::new(sde.as_ref(), h)?),
        "levy_euler" => Arc::new(LevyEuler::new(sde)?),
        _ => return Err(Error::invalid("method", format!("{name:?} has no stepper"))),
    })
}
