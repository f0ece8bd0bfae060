//! The states themselves: final values and whole paths.

use super::{Block, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::{Mutex, PoisonError};

/// States of the first `keep` paths of a range at some steps, `(times, paths, dim)`. A path that has diverged shows NaN.
pub struct Snapshots<T> {
    at: Vec<u64>,
    begin: u64,
    end: u64,
    dim: usize,
    values: Mutex<Vec<T>>,
}

impl<T: Real> Snapshots<T> {
    /// Of paths `begin..end` with `dim` variables; None where the memory cannot be had.
    pub fn new(at: Vec<u64>, begin: u64, end: u64, dim: usize) -> Option<Self> {
        let len = usize::try_from(end - begin).ok()?.checked_mul(at.len())?.checked_mul(dim)?;
        let mut values = Vec::new();
        values.try_reserve_exact(len).ok()?;
        values.resize(len, T::from_f64(f64::NAN));
        Some(Self { at, begin, end, dim, values: Mutex::new(values) })
    }

    /// The values, `(times, end - begin, dim)`; NaN where nothing was recorded.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Real> Observer<T> for Snapshots<T> {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, _width: usize) -> Box<dyn Recorder<T> + '_> {
        Box::new(SnapshotRecorder(self))
    }
}

/// Writes straight to its place: a block that is run again writes the same rows again.
struct SnapshotRecorder<'a, T>(&'a Snapshots<T>);

impl<T: Real> Recorder<T> for SnapshotRecorder<'_, T> {
    fn begin(&mut self, _block: &Block<'_>) {}
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()> {
        let all = self.0;
        let (d, width) = (all.dim, block.span.width);
        let n = block.span.n.min(all.end.saturating_sub(block.first_path) as usize);
        if n == 0 {
            return Ok(());
        }
        let paths = (all.end - all.begin) as usize;
        let first = (block.first_path - all.begin) as usize;
        let mut values = all.values.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = &mut values[(k * paths + first) * d..][..n * d];
        for (p, row) in rows.chunks_exact_mut(d).enumerate() {
            let lane = |i: usize| x[i * width + p];
            if (0..d).all(|i| lane(i).is_finite()) {
                row.iter_mut().enumerate().for_each(|(i, value)| *value = lane(i));
            } else {
                row.fill(T::from_f64(f64::NAN));
            }
        }
        Ok(())
    }
    fn commit(&mut self, _block: &Block<'_>) {}
}
