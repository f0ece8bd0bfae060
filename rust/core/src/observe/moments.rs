//! Mean, variance and covariance over paths, with the fourth moments that their standard errors need.

use super::sums::{Forest, Fragment, GROUP, Stats};
use super::{Block, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::{Mutex, PoisonError};

const G: usize = GROUP as usize;

/// Moments of every state variable.
pub struct Moments {
    at: Vec<u64>,
    sink: Sink,
}

impl Moments {
    /// At these steps, of an ensemble of `n_paths` with `dim` variables.
    pub fn new(at: Vec<u64>, n_paths: u64, dim: usize, joint: bool) -> Self {
        let sink = Sink::new(n_paths, at.len(), dim, joint);
        Self { at, sink }
    }

    /// What was recorded.
    pub fn forest(&self) -> Forest {
        self.sink.forest()
    }
}

impl<T: Real> Observer<T> for Moments {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, _width: usize) -> Box<dyn Recorder<T> + '_> {
        Box::new(MomentsRecorder(self.sink.recorder()))
    }
}

struct MomentsRecorder<'a>(SinkRecorder<'a>);

impl<T: Real> Recorder<T> for MomentsRecorder<'_> {
    fn begin(&mut self, block: &Block<'_>) {
        self.0.begin(block);
    }
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()> {
        self.0.record(k, x, block);
        Ok(())
    }
    fn commit(&mut self, block: &Block<'_>) {
        self.0.commit(block);
    }
}

/// Where the sums of finished blocks are gathered.
pub(super) struct Sink {
    empty: Forest,
    forest: Mutex<Forest>,
}

impl Sink {
    pub(super) fn new(n_paths: u64, times: usize, components: usize, joint: bool) -> Self {
        let empty = Forest::new(n_paths, times, components, joint);
        Self { forest: Mutex::new(empty.clone()), empty }
    }

    pub(super) fn forest(&self) -> Forest {
        self.forest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn recorder(&self) -> SinkRecorder<'_> {
        let (_, components) = self.empty.shape();
        SinkRecorder { sink: self, groups: Vec::new(), columns: vec![[0.0; G]; components] }
    }
}

/// A group of the block in hand.
enum Group {
    Whole(Stats),
    Part(Fragment),
}

/// Sums of one block, by group.
pub(super) struct SinkRecorder<'a> {
    sink: &'a Sink,
    groups: Vec<(u64, Group)>,
    columns: Vec<[f64; G]>,
}

impl SinkRecorder<'_> {
    pub(super) fn begin(&mut self, block: &Block<'_>) {
        let empty = &self.sink.empty;
        let (times, components) = empty.shape();
        self.groups.clear();
        for (group, lanes, alive) in block.groups() {
            let position = ((block.first_path + lanes.start as u64) % GROUP) as u32;
            let present = (u64::MAX >> (GROUP as usize - lanes.len())) << position;
            let state = if present == empty.expected(group) {
                Group::Whole(empty.empty_stats())
            } else {
                Group::Part(Fragment { present, alive, values: vec![0.0; times * components * G] })
            };
            self.groups.push((group, state));
        }
    }

    pub(super) fn record<T: Real>(&mut self, k: usize, x: &[T], block: &Block<'_>) {
        let width = block.span.width;
        for ((_, lanes, alive), (_, state)) in block.groups().zip(&mut self.groups) {
            let position = ((block.first_path + lanes.start as u64) % GROUP) as usize;
            for (column, row) in self.columns.iter_mut().zip(x.chunks_exact(width)) {
                for (to, from) in column[position..].iter_mut().zip(&row[lanes.clone()]) {
                    *to = from.to_f64();
                }
            }
            match state {
                Group::Whole(stats) => stats.set_group(k, &mut self.columns, alive),
                Group::Part(part) => {
                    let rows = part.values[k * self.columns.len() * G..].chunks_exact_mut(G);
                    self.columns.iter().zip(rows).for_each(|(column, row)| row.copy_from_slice(column));
                }
            }
        }
    }

    pub(super) fn commit(&mut self, _block: &Block<'_>) {
        // Merged here first, so that the lock is held for few sets.
        let mut local = self.sink.empty.clone();
        for (group, state) in self.groups.drain(..) {
            match state {
                Group::Whole(stats) => local.insert(group, stats),
                Group::Part(part) => local.insert_fragment(group, part),
            }
        }
        self.sink.forest.lock().unwrap_or_else(PoisonError::into_inner).absorb(local);
    }
}
