//! Quantiles from counts in buckets of floating-point bits: whole numbers, which add up to the same in any order.
//!
//! The leading bits of a double, its exponent and the top `bits` of its mantissa, number buckets that are `2^-bits`
//! wide beside their lower edge: log-linear buckets (G. Tene, HdrHistogram, 2012). A value read from its bucket is that
//! near to the value that was counted.

use super::{Block, Observer, Recorder};
use crate::error::Result;
use crate::lanes::Real;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Buckets of a page; pages are made when they are touched.
const PAGE: i64 = 64;
/// The bucket of what is no number.
const NOT_A_NUMBER: i64 = i32::MAX as i64;
/// Most mantissa bits: buckets are numbered in 32 bits.
pub const MOST_BITS: u32 = 16;

/// The number of a value's bucket, ascending with the value: 0 for zero and subnormal numbers.
fn bucket(x: f64, bits: u32) -> i64 {
    if x.is_nan() {
        return NOT_A_NUMBER;
    }
    let leading = (x.abs().to_bits() >> (52 - bits)) as i64;
    let size = (leading - (1 << bits) + 1).max(0);
    if x < 0.0 { -size } else { size }
}

type Page = [i64; PAGE as usize];

/// Counts of one variable at one time.
#[derive(Clone, Debug, Default)]
struct Sketch {
    pages: BTreeMap<i64, Box<Page>>,
}

impl Sketch {
    fn add(&mut self, bucket: i64, count: i64) {
        let page = self.pages.entry(bucket.div_euclid(PAGE)).or_insert_with(|| Box::new([0; PAGE as usize]));
        page[bucket.rem_euclid(PAGE) as usize] += count;
    }

    fn counts(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let pages = self.pages.iter();
        let all = pages.flat_map(|(number, page)| (number * PAGE..).zip(page.iter().copied()));
        all.filter(|(_, count)| *count != 0)
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
        cells.flat_map(|(cell, sketch)| sketch.counts().map(move |(b, n)| (((cell as i64) << 32) + b, n))).unzip()
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
            *to = bucket(x.to_f64(), bits) as i32;
        }
        Ok(())
    }
    fn commit(&mut self, block: &Block<'_>) {
        for (sketch, buckets) in self.sketches.iter_mut().zip(self.buckets.chunks_exact(block.span.width)) {
            for (p, bucket) in buckets[..block.span.n].iter().enumerate() {
                if block.is_alive(p) {
                    sketch.add(i64::from(*bucket), 1);
                }
            }
        }
    }
}

impl Drop for QuantilesRecorder<'_> {
    fn drop(&mut self) {
        let mut total = self.quantiles.total.lock().unwrap_or_else(PoisonError::into_inner);
        for (total, sketch) in total.iter_mut().zip(&self.sketches) {
            sketch.counts().for_each(|(bucket, count)| total.add(bucket, count));
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
            let buckets: Vec<i64> = values.iter().map(|x| bucket(*x, bits)).collect();
            assert!(buckets.is_sorted() && buckets.iter().rev().map(|b| -b).eq(buckets.iter().copied()));
            assert!(buckets.iter().all(|b| b.abs() < NOT_A_NUMBER) && bucket(f64::NAN, bits) == NOT_A_NUMBER);
        }
    }
}
