//! The plan of a run: what decides its numbers, and how it is cut into blocks.

use super::Start;
use crate::dynamics::Floor;
use crate::lanes::LANE_MULTIPLE;
use crate::observe::{GROUP, Observer};
use crate::scheme::Stepper;
use crate::wiener::{Element, Grid};
use std::ops::Range;
use std::sync::Arc;

/// Steps of one length, up to those of the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first step.
    pub step: u64,
    /// Its first cell, since the start.
    pub cell: u64,
    /// Cells of each step.
    pub cells: u64,
}

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
    /// Where steps differ in length: runs of equal ones, in order, the first at step 0.
    pub mesh: Vec<Run>,
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
        // Whole steps, or cells where steps differ.
        let (unit, parts, k) = if self.mesh.is_empty() { (h, cells, k) } else { (self.cell_h(), 1, self.step(k).0) };
        let first = self.first_cell / parts;
        let start = first as f64 * unit;
        if self.first_cell.is_multiple_of(parts) && (start - self.t0).abs() <= 1e-9 * unit.max(self.t0.abs()) {
            (first + k) as f64 * unit
        } else {
            self.t0 + k as f64 * unit
        }
    }

    fn cell_h(&self) -> f64 {
        self.grid.h / self.grid.cells as f64
    }

    /// The `k`-th step: its first cell since the start, its cells, and its length.
    pub(super) fn step(&self, k: u64) -> (u64, u64, f64) {
        let Grid { h, cells, .. } = self.grid;
        let run = self.mesh[..self.mesh.partition_point(|run| run.step <= k)].last();
        match run {
            None => (k * cells, cells, h),
            Some(run) => (run.cell + (k - run.step) * run.cells, run.cells, run.cells as f64 * self.cell_h()),
        }
    }

    /// The absolute cells of the run.
    pub(super) fn cells(&self) -> Range<u64> {
        self.first_cell..self.first_cell + self.step(self.n_steps).0
    }

    /// Whether a step may have more cells than one.
    pub(super) fn composes(&self) -> bool {
        self.grid.cells > 1 || !self.mesh.is_empty()
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
