//! Quantiles from counts in buckets of floating-point bits: whole numbers, which add up to the same in any order.
//!
//! The leading bits of a double, its exponent and the top `bits` of its mantissa, number buckets that are `2^-bits`
//! wide beside their lower edge: log-linear buckets (G. Tene, HdrHistogram, 2012). A value read from its bucket is that
//! near to the value that was counted.

use super::{Block, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;
use std::sync::{Mutex, PoisonError};

/// The bucket of what is no number.
const NOT_A_NUMBER: i32 = i32::MAX;
/// Most mantissa bits: buckets are numbered in 32 bits.
pub const MOST_BITS: u32 = 16;
/// Values that are kept as they come before they are counted.
const PENDING: usize = 1024;

/// The number of a value's bucket, ascending with the value: 0 for zero and subnormal numbers.
fn bucket(x: f64, bits: u32) -> i32 {
    if x.is_nan() {
        return NOT_A_NUMBER;
    }
    let leading = (x.abs().to_bits() >> (52 - bits)) as i32;
    let size = (leading - (1 << bits) + 1).max(0);
    if x < 0.0 { -size } else { size }
}

/// Counts of one variable at one time: only buckets that were touched take memory.
#[derive(Clone, Debug, Default)]
struct Sketch {
    /// Ascending.
    counts: Vec<(i32, i64)>,
    /// Buckets of values that are yet to be counted.
    pending: Vec<i32>,
}

impl Sketch {
    fn add(&mut self, bucket: i32) {
        self.pending.push(bucket);
        // As many as are counted already: each value is merged a few times at most.
        if self.pending.len() >= self.counts.len().max(PENDING) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable();
        let counts: Vec<_> = pending.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as i64)).collect();
        self.absorb(&counts);
        pending.clear();
        self.pending = pending;
    }

    /// Adds counts in ascending order.
    fn absorb(&mut self, other: &[(i32, i64)]) {
        let mut merged = Vec::with_capacity(self.counts.len() + other.len());
        let (mut mine, mut theirs) = (self.counts.iter().copied().peekable(), other.iter().copied().peekable());
        loop {
            let next = match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) => a.0.min(b.0),
                (Some(a), None) => a.0,
                (None, Some(b)) => b.0,
                (None, None) => break,
            };
            let of = |count: Option<(i32, i64)>| count.map_or(0, |(_, count)| count);
            let count = of(mine.next_if(|(b, _)| *b == next)) + of(theirs.next_if(|(b, _)| *b == next));
            merged.push((next, count));
        }
        merged.shrink_to_fit();
        self.counts = merged;
    }
}

/// Sketches of every row of the state at some steps.
pub struct Quantiles {
    at: Vec<u64>,
    rows: usize,
    bits: u32,
    /// `(times, rows)`.
    total: Mutex<Vec<Sketch>>,
}

impl Quantiles {
    /// Of a state of so many rows; buckets of `bits` mantissa bits, at most [`MOST_BITS`].
    pub fn new(at: Vec<u64>, rows: usize, bits: u32) -> Self {
        let total = Mutex::new(vec![Sketch::default(); at.len() * rows]);
        Self { at, rows, bits: bits.min(MOST_BITS), total }
    }

    /// The buckets that are not empty, `cell · 2^32 + bucket` with cells numbered `(times, rows)`, ascending, and their
    /// counts.
    pub fn counts(&self) -> (Vec<i64>, Vec<i64>) {
        let total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = total.iter().enumerate();
        cells
            .flat_map(|(cell, sketch)| {
                sketch.counts.iter().map(move |(b, n)| (((cell as i64) << 32) + i64::from(*b), *n))
            })
            .unzip()
    }
}

impl<T: Real> Observer<T> for Quantiles {
    fn at(&self) -> &[u64] {
        &self.at
    }
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_> {
        let cells = self.at.len() * self.rows;
        Box::new(QuantilesRecorder {
            quantiles: self,
            buckets: vec![0; cells * width],
            sketches: vec![Sketch::default(); cells],
        })
    }
}

/// Counts of one worker, handed over when it is done: no lock is held while it works.
struct QuantilesRecorder<'a> {
    quantiles: &'a Quantiles,
    /// Of the block in hand, `(times, rows, lanes)`.
    buckets: Vec<i32>,
    sketches: Vec<Sketch>,
}

impl<T: Real> Recorder<T> for QuantilesRecorder<'_> {
    fn begin(&mut self, _block: &Block<'_>) {}
    fn record(&mut self, k: usize, x: &[T], block: &Block<'_>) -> Result<()> {
        let (rows, bits, width) = (self.quantiles.rows, self.quantiles.bits, block.span.width);
        let buckets = &mut self.buckets[k * rows * width..][..rows * width];
        for (to, x) in buckets.iter_mut().zip(x) {
            *to = bucket(x.to_f64(), bits);
        }
        Ok(())
    }
    fn commit(&mut self, block: &Block<'_>) {
        for (sketch, buckets) in self.sketches.iter_mut().zip(self.buckets.chunks_exact(block.span.width)) {
            for (p, bucket) in buckets[..block.span.n].iter().enumerate() {
                if block.is_alive(p) {
                    sketch.add(*bucket);
                }
            }
        }
    }
}

impl Drop for QuantilesRecorder<'_> {
    fn drop(&mut self) {
        let mut total = self.quantiles.total.lock().unwrap_or_else(PoisonError::into_inner);
        for (total, mut sketch) in total.iter_mut().zip(self.sketches.drain(..)) {
            sketch.settle();
            total.absorb(&sketch.counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_with_their_values() {
        let sizes = [0.0, f64::MIN_POSITIVE / 2.0, f64::MIN_POSITIVE, 1e-300, 0.5, 1.0, 1.1, 2.0, 1e300, f64::INFINITY];
        let values: Vec<f64> = sizes.iter().rev().map(|x| -x).chain(sizes).collect();
        for bits in [1, 11, MOST_BITS] {
            let buckets: Vec<i32> = values.iter().map(|x| bucket(*x, bits)).collect();
            assert!(buckets.is_sorted() && buckets.iter().rev().map(|b| -b).eq(buckets.iter().copied()));
            assert!(buckets.iter().all(|b| b.abs() < NOT_A_NUMBER) && bucket(f64::NAN, bits) == NOT_A_NUMBER);
        }
    }

    #[test]
    fn counts_are_those_of_all_values() {
        let mut whole = Sketch::default();
        let mut parts = [Sketch::default(), Sketch::default()];
        for k in 0..10_000_i32 {
            let bucket = k.wrapping_mul(7919) % 1300 - 600;
            whole.add(bucket);
            parts[usize::from(k % 3 == 0)].add(bucket);
        }
        whole.settle();
        let [mut one, mut two] = parts;
        one.settle();
        two.settle();
        one.absorb(&two.counts);
        assert_eq!(one.counts, whole.counts);
        assert_eq!(one.counts.iter().map(|(_, count)| count).sum::<i64>(), 10_000);
        assert!(one.counts.is_sorted_by(|a, b| a.0 < b.0));
    }
}
