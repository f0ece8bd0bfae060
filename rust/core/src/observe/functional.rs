//! Means of a function of the state: the loss, or any function of the user's.

use super::forest::{Forest, Sums};
use super::sink::{Sink, SinkRecorder};
use super::{Block, Observer, Recorder};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::Real;
use crate::loss::Loss;
use std::sync::Arc;

/// A real function of the state of a path.
pub trait Functional<T: Real>: Send + Sync {
    /// One value a lane.
    fn evaluate(&self, x: &[T], out: &mut [T], span: Span) -> Result<()>;
    /// Whether it calls Python, and so must run on the calling thread.
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

/// The loss as a functional.
pub struct LossValue<T: Real>(pub Arc<dyn Loss<T>>);

impl<T: Real> Functional<T> for LossValue<T> {
    fn evaluate(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.0.value(x, out, span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.0.needs_calling_thread()
    }
}

/// Moments of a functional.
pub struct FunctionalMoments<T: Real, S: Sums> {
    at: Vec<u64>,
    /// The first rows of the state, which the function takes.
    rows: usize,
    function: Box<dyn Functional<T>>,
    sink: Sink<S>,
}

impl<T: Real, S: Sums> FunctionalMoments<T, S> {
    /// At these steps, of an ensemble of `n_paths`; the function takes the first `rows` rows of the state, and the
    /// statistics are of its one value.
    pub fn new(at: Vec<u64>, n_paths: u64, rows: usize, function: Box<dyn Functional<T>>, layout: S::Layout) -> Self {
        Self { at, rows, function, sink: Sink::new(n_paths, layout) }
    }

    /// What was recorded.
    pub fn forest(&self) -> Forest<S> {
        self.sink.forest()
    }
}

impl<T: Real, S: Sums> Observer<T> for FunctionalMoments<T, S> {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_> {
        let values = vec![T::default(); width];
        let (rows, function) = (self.rows, self.function.as_ref());
        Box::new(FunctionalRecorder { rows, function, values, sums: self.sink.recorder() })
    }
    fn needs_calling_thread(&self) -> bool {
        self.function.needs_calling_thread()
    }
}

struct FunctionalRecorder<'a, T: Real, S: Sums> {
    rows: usize,
    function: &'a dyn Functional<T>,
    values: Vec<T>,
    sums: SinkRecorder<'a, S>,
}

impl<T: Real, S: Sums> Recorder<T> for FunctionalRecorder<'_, T, S> {
    fn begin(&mut self, block: &Block<'_>) {
        self.sums.begin(block);
    }
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()> {
        let values = &mut self.values[..block.span.width];
        self.function.evaluate(&x[..self.rows * block.span.width], values, block.span)?;
        self.sums.record(k, values, block);
        Ok(())
    }
    fn commit(&mut self, block: &Block<'_>) {
        self.sums.commit(block);
    }
}
