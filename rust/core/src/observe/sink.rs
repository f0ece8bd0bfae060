//! Where observers of quantities gather: sums of each group of the block in hand, and of all finished blocks.

use super::Block;
use super::forest::{Forest, Fragment, G, GROUP, Layout, Sums};
use crate::lanes::Real;
use std::sync::{Mutex, PoisonError};

/// Where the sums of finished blocks are gathered.
pub(super) struct Sink<S: Sums> {
    empty: Forest<S>,
    forest: Mutex<Forest<S>>,
}

impl<S: Sums> Sink<S> {
    pub(super) fn new(n_paths: u64, layout: S::Layout) -> Self {
        let empty = Forest::new(n_paths, layout);
        Self { forest: Mutex::new(empty.clone()), empty }
    }

    pub(super) fn forest(&self) -> Forest<S> {
        self.forest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn layout(&self) -> &S::Layout {
        self.empty.layout()
    }

    pub(super) fn recorder(&self) -> SinkRecorder<'_, S> {
        let columns = vec![[0.0; G]; self.layout().workspace()];
        SinkRecorder { sink: self, groups: Vec::new(), columns }
    }
}

/// A group of the block in hand.
enum Group<S> {
    Whole(S),
    Part(Fragment),
}

/// Sums of one block, by group.
pub(super) struct SinkRecorder<'a, S: Sums> {
    sink: &'a Sink<S>,
    groups: Vec<(u64, Group<S>)>,
    columns: Vec<[f64; G]>,
}

impl<S: Sums> SinkRecorder<'_, S> {
    pub(super) fn begin(&mut self, block: &Block<'_>) {
        let empty = &self.sink.empty;
        let values = empty.layout().times() * empty.layout().columns() * G;
        self.groups.clear();
        for (group, lanes, alive) in block.groups() {
            let position = ((block.first_path + lanes.start as u64) % GROUP) as u32;
            let present = (u64::MAX >> (GROUP as usize - lanes.len())) << position;
            let state = if present == empty.expected(group) {
                Group::Whole(empty.empty_stats())
            } else {
                Group::Part(Fragment { present, alive, values: vec![0.0; values] })
            };
            self.groups.push((group, state));
        }
    }

    pub(super) fn record<T: Real>(&mut self, k: usize, x: &[T], block: &Block<'_>) {
        let (width, layout) = (block.span.width, self.sink.layout());
        let given = layout.columns();
        for ((_, lanes, alive), (_, state)) in block.groups().zip(&mut self.groups) {
            let position = ((block.first_path + lanes.start as u64) % GROUP) as usize;
            for (column, row) in self.columns[..given].iter_mut().zip(x.chunks_exact(width)) {
                for (to, from) in column[position..].iter_mut().zip(&row[lanes.clone()]) {
                    *to = from.to_f64();
                }
            }
            match state {
                Group::Whole(stats) => stats.set_group(layout, k, &mut self.columns, alive),
                Group::Part(part) => {
                    let rows = part.values[k * given * G..].chunks_exact_mut(G);
                    self.columns[..given].iter().zip(rows).for_each(|(column, row)| row.copy_from_slice(column));
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
