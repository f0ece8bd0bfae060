//! Counts in equal bins: of coordinates one by one, of two of them together, or of a function of the parameters.

use super::{Block, Functional, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::{Mutex, PoisonError};

/// Equal bins on a range, the last one closed, as NumPy counts; a cell below them and one above.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Bins.
    pub bins: usize,
    /// The lowest edge.
    pub low: f64,
    /// The highest edge.
    pub high: f64,
}

impl Axis {
    /// The bins, and what lies below and above them.
    pub fn cells(&self) -> usize {
        self.bins + 2
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

/// What is counted.
pub enum Counted<T: Real> {
    /// Each of these coordinates in a table of its own.
    Each(Vec<usize>, Axis),
    /// Two coordinates in one table.
    Joint([usize; 2], [Axis; 2]),
    /// A function of the first rows of the state.
    Of(Box<dyn Functional<T>>, usize, Axis),
}

impl<T: Real> Counted<T> {
    fn tables(&self) -> usize {
        match self {
            Counted::Each(coords, _) => coords.len(),
            Counted::Joint(..) | Counted::Of(..) => 1,
        }
    }

    fn cells(&self) -> usize {
        match self {
            Counted::Each(_, axis) | Counted::Of(_, _, axis) => axis.cells(),
            Counted::Joint(_, axes) => axes[0].cells() * axes[1].cells(),
        }
    }
}

/// Histograms at some steps.
pub struct Histogram<T: Real> {
    at: Vec<u64>,
    counted: Counted<T>,
    counts: Mutex<Vec<i64>>,
}

impl<T: Real> Histogram<T> {
    /// Of nothing yet.
    pub fn new(at: Vec<u64>, counted: Counted<T>) -> Self {
        let counts = Mutex::new(vec![0; at.len() * counted.tables() * counted.cells()]);
        Self { at, counted, counts }
    }

    /// Counts `(times, tables, cells)`.
    pub fn counts(&self) -> Vec<i64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T: Real> Observer<T> for Histogram<T> {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_> {
        let counts = vec![0; self.at.len() * self.counted.tables() * self.counted.cells()];
        let values = if matches!(self.counted, Counted::Of(..)) { vec![T::default(); width] } else { Vec::new() };
        Box::new(HistogramRecorder { histogram: self, counts, values })
    }
    fn needs_calling_thread(&self) -> bool {
        matches!(&self.counted, Counted::Of(function, ..) if function.needs_calling_thread())
    }
}

struct HistogramRecorder<'a, T: Real> {
    histogram: &'a Histogram<T>,
    counts: Vec<i64>,
    values: Vec<T>,
}

impl<T: Real> Recorder<T> for HistogramRecorder<'_, T> {
    fn begin(&mut self, _block: &Block<'_>) {
        self.counts.fill(0);
    }
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()> {
        let (counted, width) = (&self.histogram.counted, block.span.width);
        let (tables, cells) = (counted.tables(), counted.cells());
        let tables = &mut self.counts[k * tables * cells..][..tables * cells];
        match counted {
            Counted::Each(coords, axis) => {
                for (counts, coord) in tables.chunks_exact_mut(cells).zip(coords) {
                    count(axis, &x[coord * width..], counts, block);
                }
            }
            Counted::Joint([i, j], [of_i, of_j]) => {
                let pairs = x[i * width..].iter().zip(&x[j * width..]).take(block.span.n);
                for (p, (x, y)) in pairs.enumerate() {
                    if let (Some(a), Some(b)) = (of_i.cell(x.to_f64()), of_j.cell(y.to_f64())) {
                        tables[a * of_j.cells() + b] += i64::from(block.is_alive(p));
                    }
                }
            }
            Counted::Of(function, rows, axis) => {
                let values = &mut self.values[..width];
                function.evaluate(&x[..rows * width], values, block.span)?;
                count(axis, values, tables, block);
            }
        }
        Ok(())
    }
    fn commit(&mut self, _block: &Block<'_>) {
        let mut total = self.histogram.counts.lock().unwrap_or_else(PoisonError::into_inner);
        total.iter_mut().zip(&self.counts).for_each(|(total, count)| *total += count);
    }
}

/// Counts a row of values.
fn count<T: Real>(axis: &Axis, row: &[T], counts: &mut [i64], block: &Block<'_>) {
    for (p, x) in row[..block.span.n].iter().enumerate() {
        if let Some(cell) = axis.cell(x.to_f64()) {
            counts[cell] += i64::from(block.is_alive(p));
        }
    }
}
