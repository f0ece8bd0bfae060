//! Observers fold blocks of paths into statistics while they run: one file a statistic.

mod autocovariance;
mod averages;
mod bridge;
mod forest;
mod functional;
mod histogram;
mod moments;
mod passage;
mod quantiles;
mod sink;
mod snapshots;
mod sums;
mod units;

pub use autocovariance::Autocovariance;
pub use averages::TimeAverages;
pub use bridge::Bridge;
pub use forest::{Columns, Forest, GROUP, Layout, Sums, Words};
pub use functional::{Functional, FunctionalMoments, LossValue};
pub use histogram::{Axis, Counted, Histogram};
pub use moments::Moments;
pub use passage::{FirstPassage, Found, Region};
pub use quantiles::{MOST_BITS, Quantiles};
pub use snapshots::Snapshots;
pub use sums::{Joint, Shape, Stats};
pub use units::{UnitLayout, Units};

use crate::block::Span;
use crate::error::Result;
use crate::lanes::Real;
use crate::scheme::StepAddress;

/// A block of consecutive paths, and which of them count.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Index of lane 0 in the ensemble.
    pub first_path: u64,
    /// Lanes that are paths, and the stride.
    pub span: Span,
    /// Paths that do not diverge: one word for each group of 64 that the block touches, bit `path % 64`.
    pub alive: &'a [u64],
}

impl Block<'_> {
    /// The groups it touches: group number, lanes, and the mask of those that count.
    pub fn groups(&self) -> impl Iterator<Item = (u64, std::ops::Range<usize>, u64)> + '_ {
        let (first, n) = (self.first_path, self.span.n as u64);
        self.alive.iter().enumerate().map(move |(k, alive)| {
            let group = first / GROUP + k as u64;
            let begin = (group * GROUP).max(first) - first;
            let end = ((group + 1) * GROUP - first).min(n);
            (group, begin as usize..end as usize, *alive)
        })
    }

    /// Whether lane `p` counts.
    pub fn is_alive(&self, p: usize) -> bool {
        let path = self.first_path + p as u64;
        let word = self.alive[(path / GROUP - self.first_path / GROUP) as usize];
        word >> (path % GROUP) & 1 == 1
    }
}

/// The step at which an observer of every step looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Steps since the start.
    pub k: u64,
    /// Time.
    pub t: f64,
    /// Where the step that ended here drew its noise; None at the start.
    pub last: Option<StepAddress>,
}

/// Whether step `k` is a sample of an observer of every `stride`-th step from the `first` on.
fn samples_at(k: u64, first: u64, stride: u64) -> bool {
    k.checked_sub(first).is_some_and(|k| k.is_multiple_of(stride))
}

/// A statistic of the ensemble at some steps, or at every step.
pub trait Observer<T: Real>: Send + Sync {
    /// The steps, counted from the start of the run, in ascending order.
    fn at(&self) -> &[u64];
    /// Whether it looks at every step, the start and the end among them, by [`Recorder::look`]: no list of them is
    /// made.
    fn every_step(&self) -> bool {
        false
    }
    /// What one worker uses; made once, not per block.
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_>;
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// Records one block at a time; what it recorded counts only once committed.
pub trait Recorder<T: Real> {
    /// Forgets an uncommitted block.
    fn begin(&mut self, block: &Block<'_>);
    /// The block's state `x` at the `k`-th step of [`Observer::at`].
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()>;
    /// The block's state at every step, for an observer of every step.
    fn look(&mut self, _look: &Look, _x: &[T], _block: &Block<'_>) -> Result<()> {
        Ok(())
    }
    /// Whether nothing that comes changes what it has of this block. A block that all have finished ends there.
    fn finished(&self) -> bool {
        false
    }
    /// The same of one lane. What becomes of a path that all have finished is not looked at: it cannot diverge any
    /// more, whether or not its block goes on.
    fn has_finished(&self, _p: usize) -> bool {
        false
    }
    /// Folds the block into the statistic.
    fn commit(&mut self, block: &Block<'_>);
}
