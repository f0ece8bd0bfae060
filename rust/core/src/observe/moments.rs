//! Mean, variance and covariance over paths, with the fourth moments that their standard errors need.

use super::forest::{Forest, Sums};
use super::sink::{Sink, SinkRecorder};
use super::sums::{Shape, Stats};
use super::{Block, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;

/// Moments of every state variable.
pub struct Moments<S: Sums> {
    at: Vec<u64>,
    sink: Sink<S>,
}

impl Moments<Stats> {
    /// At these steps, of an ensemble of `n_paths` independent paths with `dim` variables.
    pub fn new(at: Vec<u64>, n_paths: u64, dim: usize, joint: bool) -> Self {
        let layout = Shape { times: at.len(), components: dim, joint };
        Self::of(at, n_paths, layout)
    }
}

impl<S: Sums> Moments<S> {
    /// At these steps, of an ensemble of `n_paths`.
    pub fn of(at: Vec<u64>, n_paths: u64, layout: S::Layout) -> Self {
        Self { at, sink: Sink::new(n_paths, layout) }
    }

    /// What was recorded.
    pub fn forest(&self) -> Forest<S> {
        self.sink.forest()
    }
}

impl<T: Real, S: Sums> Observer<T> for Moments<S> {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, _width: usize) -> Box<dyn Recorder<T> + '_> {
        Box::new(MomentsRecorder(self.sink.recorder()))
    }
}

struct MomentsRecorder<'a, S: Sums>(SinkRecorder<'a, S>);

impl<T: Real, S: Sums> Recorder<T> for MomentsRecorder<'_, S> {
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
