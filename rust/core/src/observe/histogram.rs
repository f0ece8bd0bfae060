//! Counts of coordinates in equal bins.

use super::{Block, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::{Mutex, PoisonError};

/// One-dimensional histograms of some coordinates over a common range.
pub struct Histogram {
    at: Vec<u64>,
    coords: Vec<usize>,
    bins: usize,
    low: f64,
    high: f64,
    counts: Mutex<Vec<i64>>,
}

impl Histogram {
    /// `bins` equal bins on `[low, high]`, the last one closed, as NumPy counts.
    pub fn new(at: Vec<u64>, coords: Vec<usize>, bins: usize, low: f64, high: f64) -> Self {
        let counts = Mutex::new(vec![0; at.len() * coords.len() * (bins + 2)]);
        Self { at, coords, bins, low, high, counts }
    }

    /// Counts `(times, coords, bins + 2)`: underflow, the bins, overflow.
    pub fn counts(&self) -> Vec<i64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cell of a value: 0 below the range, `bins + 1` above. NaN is nowhere.
    fn cell(&self, x: f64) -> Option<usize> {
        if x < self.low {
            Some(0)
        } else if x > self.high {
            Some(self.bins + 1)
        } else if x.is_nan() {
            None
        } else {
            let bin = ((x - self.low) / (self.high - self.low) * self.bins as f64) as usize;
            Some(bin.min(self.bins - 1) + 1)
        }
    }
}

impl<T: Real> Observer<T> for Histogram {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, _width: usize) -> Box<dyn Recorder<T> + '_> {
        let counts = vec![0; self.at.len() * self.coords.len() * (self.bins + 2)];
        Box::new(HistogramRecorder { histogram: self, counts })
    }
}

struct HistogramRecorder<'a> {
    histogram: &'a Histogram,
    counts: Vec<i64>,
}

impl<T: Real> Recorder<T> for HistogramRecorder<'_> {
    fn begin(&mut self, _block: &Block<'_>) {
        self.counts.fill(0);
    }
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()> {
        let histogram = self.histogram;
        let cells = histogram.bins + 2;
        for (c, coord) in histogram.coords.iter().enumerate() {
            let counts = &mut self.counts[(k * histogram.coords.len() + c) * cells..][..cells];
            let row = &x[coord * block.span.width..][..block.span.n];
            for (p, x) in row.iter().enumerate() {
                if let Some(cell) = histogram.cell(x.to_f64()) {
                    counts[cell] += i64::from(block.is_alive(p));
                }
            }
        }
        Ok(())
    }
    fn commit(&mut self, _block: &Block<'_>) {
        let mut total = self.histogram.counts.lock().unwrap_or_else(PoisonError::into_inner);
        total.iter_mut().zip(&self.counts).for_each(|(total, count)| *total += count);
    }
}
