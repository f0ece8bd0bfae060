//! The plan of a run: what decides its numbers, and how it is cut into blocks.

use super::Start;
use crate::dynamics::Floor;
use crate::lanes::LANE_MULTIPLE;
use crate::observe::{GROUP, Observer};
use crate::scheme::Stepper;
use crate::wiener::{Element, Grid};
use std::sync::Arc;

/// Everything that decides the numbers of a run.
pub struct Plan<T: Element> {
    /// What advances a block.
    pub stepper: Arc<dyn Stepper<T>>,
    /// Where paths start.
    pub initial: Start<T>,
    /// Variables whose visits below a floor are counted.
    pub floor: Option<Floor>,
    /// The address of all noise.
    pub key: u64,
    /// Steps and cells.
    pub grid: Grid,
    /// Time at the start.
    pub t0: f64,
    /// Absolute index of the first cell of the Wiener path: noise is addressed by it.
    pub first_cell: u64,
    /// Steps to take.
    pub n_steps: u64,
    /// Paths of the ensemble.
    pub n_paths: u64,
    /// The paths of it to run.
    pub range: (u64, u64),
    /// What is recorded.
    pub observers: Vec<Arc<dyn Observer<T>>>,
    /// Whether diverged paths count in the statistics.
    pub keep_diverged: bool,
}

impl<T: Element> Plan<T> {
    /// Time at the `k`-th step: on the absolute grid where the start is on it, so that a run split in two sees the
    /// same times as the whole.
    pub(super) fn time(&self, k: u64) -> f64 {
        let Grid { h, cells, .. } = self.grid;
        let first_step = self.first_cell / cells;
        let start = first_step as f64 * h;
        if self.first_cell.is_multiple_of(cells) && (start - self.t0).abs() <= 1e-9 * h.max(self.t0.abs()) {
            (first_step + k) as f64 * h
        } else {
            self.t0 + k as f64 * h
        }
    }

    /// Whether a callback binds the run to the calling thread.
    pub fn needs_calling_thread(&self) -> bool {
        self.stepper.needs_calling_thread() || self.observers.iter().any(|observer| observer.needs_calling_thread())
    }

    /// Lanes of a block: its memory in the first-level cache or, where one group of paths is too much, beyond it.
    /// Python is called with thousands of paths at a time.
    pub(super) fn width(&self, threads: usize) -> usize {
        const NEAR: usize = 24 << 10;
        const FAR: usize = 1 << 20;
        let draws = self.stepper.draws();
        let squares = if draws.iterated { 2 * draws.wiener * draws.wiener } else { 0 };
        let increments = draws.increments() * (1 + usize::from(draws.time_integrals) + usize::from(draws.ahead));
        let rows = self.stepper.dim() + self.stepper.scratch_rows() + 2 * (increments + draws.residuals) + squares;
        let lane = rows * T::BYTES;
        let group = GROUP as usize;
        let calls_python = self.needs_calling_thread();
        let (least, most, memory) = if calls_python { (5 * group, 255 * group, FAR) } else { (group, 9 * group, NEAR) };
        // An odd number of groups: rows a power of two apart would share few sets of the cache.
        let width = ((memory / lane / group).saturating_sub(1) / 2 * 2 + 1) * group;
        let width = width.clamp(least, most);
        let paths = (self.range.1 - self.range.0) as usize;
        // Few paths: shorter blocks, one for each thread at least.
        let share = if calls_python { paths } else { paths.div_ceil(threads).next_multiple_of(group).min(paths) };
        width.min(share.next_multiple_of(LANE_MULTIPLE))
    }

    pub(super) fn agenda(&self) -> Vec<(u64, usize, usize)> {
        let mut agenda: Vec<_> = self
            .observers
            .iter()
            .enumerate()
            .flat_map(|(o, observer)| observer.at().iter().enumerate().map(move |(k, at)| (*at, o, k)))
            .collect();
        agenda.sort_unstable();
        agenda
    }
}
