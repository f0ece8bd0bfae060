//! Averages over time as well as over paths: mean and spread of each path from one step on, by Welford's recursion.

use super::forest::Forest;
use super::sink::{Sink, SinkRecorder};
use super::units::{UnitLayout, Units};
use super::{Block, Look, Observer, Recorder, samples_at};
use crate::error::Result;
use crate::lanes::{Kernel, Real, Simd, dispatch};

/// Time averages of the first variables of the state.
pub struct TimeAverages {
    first: u64,
    stride: u64,
    sink: Sink<Units>,
}

impl TimeAverages {
    /// From step `first` on, every `stride`-th step, of an ensemble of `n_paths`.
    pub fn new(first: u64, stride: u64, n_paths: u64, layout: UnitLayout) -> Self {
        Self { first, stride, sink: Sink::new(n_paths, layout) }
    }

    /// What was recorded.
    pub fn forest(&self) -> Forest<Units> {
        self.sink.forest()
    }
}

impl<T: Real> Observer<T> for TimeAverages {
    fn at(&self) -> &[u64] {
        &[]
    }
    fn every_step(&self) -> bool {
        true
    }
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_> {
        let layout = self.sink.layout();
        let (variables, pairs) = (layout.centre.len(), layout.pairs.len());
        Box::new(AverageRecorder {
            first: self.first,
            stride: self.stride,
            layout,
            samples: 0,
            columns: vec![0.0; (variables + pairs) * width],
            deviation: vec![0.0; variables * width],
            sums: self.sink.recorder(),
        })
    }
}

struct AverageRecorder<'a> {
    first: u64,
    stride: u64,
    layout: &'a UnitLayout,
    samples: u64,
    /// Means of the variables, then the central sums of pairs of them.
    columns: Vec<f64>,
    deviation: Vec<f64>,
    sums: SinkRecorder<'a, Units>,
}

impl<T: Real> Recorder<T> for AverageRecorder<'_> {
    fn begin(&mut self, block: &Block<'_>) {
        self.samples = 0;
        self.columns.fill(0.0);
        self.sums.begin(block);
    }

    fn record(&mut self, _k: usize, _x: &[T], _block: &Block<'_>) -> Result<()> {
        Ok(())
    }

    fn look(&mut self, look: &Look, x: &[T], block: &Block<'_>) -> Result<()> {
        if samples_at(look.k, self.first, self.stride) {
            self.samples += 1;
            let (width, variables) = (block.span.width, self.layout.centre.len());
            let (mean, spread) = self.columns.split_at_mut(variables * width);
            let (deviation, weight) = (&mut self.deviation[..variables * width], 1.0 / self.samples as f64);
            dispatch(Welford { x, mean, spread, deviation, pairs: &self.layout.pairs, weight, width });
        }
        Ok(())
    }

    fn commit(&mut self, block: &Block<'_>) {
        let (width, variables) = (block.span.width, self.layout.centre.len());
        let columns = &mut self.columns[..(variables + self.layout.pairs.len()) * width];
        let samples = self.samples as f64;
        columns[variables * width..].iter_mut().for_each(|s| *s /= samples);
        self.sums.record(0, columns, block);
        self.sums.commit(block);
    }
}

/// `mean += weight (x - mean)`, and the central sums grow by `(1 - weight) (x_i - mean_i)(x_j - mean_j)`.
struct Welford<'a, T> {
    x: &'a [T],
    mean: &'a mut [f64],
    spread: &'a mut [f64],
    deviation: &'a mut [f64],
    pairs: &'a [(usize, usize)],
    weight: f64,
    width: usize,
}

impl<T: Real> Kernel for Welford<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, mean, spread, deviation, pairs, weight, width } = self;
        for ((mean, deviation), x) in mean.iter_mut().zip(deviation.iter_mut()).zip(x) {
            *deviation = x.to_f64() - *mean;
            *mean += weight * *deviation;
        }
        let rest = 1.0 - weight;
        for (row, (i, j)) in spread.chunks_exact_mut(width).zip(pairs) {
            let (u, v) = (&deviation[i * width..][..width], &deviation[j * width..][..width]);
            for ((s, u), v) in row.iter_mut().zip(u).zip(v) {
                *s += rest * (u * v);
            }
        }
    }
}
