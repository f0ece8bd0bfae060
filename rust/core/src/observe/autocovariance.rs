//! Products of each path with itself some steps before, summed over time, with a ring of the last steps.

use super::forest::Forest;
use super::sink::{Sink, SinkRecorder};
use super::units::{UnitLayout, Units};
use super::{Block, Look, Observer, Recorder, samples_at};
use crate::error::Result;
use crate::lanes::{Kernel, Real, Simd, dispatch};

/// Autocovariances of the first variables of the state. A path hands in, for each lag and variable, the mean of its
/// leading samples, the mean of its lagged samples, and the mean product of the deviations from these.
pub struct Autocovariance {
    first: u64,
    stride: u64,
    /// Ascending, in samples.
    lags: Vec<usize>,
    dim: usize,
    sink: Sink<Units>,
}

impl Autocovariance {
    /// From step `first` on, every `stride`-th step being a sample, at ascending lags, of an ensemble of `n_paths`; the
    /// layout has `2 · lags · dim` quantities, a pair for each lag and variable.
    pub fn new(first: u64, stride: u64, lags: Vec<usize>, dim: usize, n_paths: u64, layout: UnitLayout) -> Self {
        Self { first, stride, lags, dim, sink: Sink::new(n_paths, layout) }
    }

    /// What was recorded.
    pub fn forest(&self) -> Forest<Units> {
        self.sink.forest()
    }
}

impl<T: Real> Observer<T> for Autocovariance {
    fn at(&self) -> &[u64] {
        &[]
    }
    fn every_step(&self) -> bool {
        true
    }
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_> {
        let rows = |count: usize| vec![0.0; count * self.dim * width];
        let lags = self.lags.len();
        Box::new(LagRecorder {
            of: self,
            samples: 0,
            ring: rows(self.lags.last().map_or(1, |lag| lag + 1)),
            origin: rows(1),
            total: rows(1),
            begun: rows(lags),
            products: rows(lags),
            columns: rows(3 * lags),
            sums: self.sink.recorder(),
        })
    }
}

struct LagRecorder<'a> {
    of: &'a Autocovariance,
    samples: u64,
    /// The last samples, less the first one.
    ring: Vec<f64>,
    origin: Vec<f64>,
    /// Sum of all samples, and of those before the first that has a sample `lag` steps before it, less the first one.
    total: Vec<f64>,
    begun: Vec<f64>,
    products: Vec<f64>,
    columns: Vec<f64>,
    sums: SinkRecorder<'a, Units>,
}

impl LagRecorder<'_> {
    fn slots(&self) -> u64 {
        self.of.lags.last().map_or(1, |lag| *lag as u64 + 1)
    }
}

impl<T: Real> Recorder<T> for LagRecorder<'_> {
    fn begin(&mut self, block: &Block<'_>) {
        self.samples = 0;
        self.total.fill(0.0);
        self.products.fill(0.0);
        self.sums.begin(block);
    }

    fn record(&mut self, _k: usize, _x: &[T], _block: &Block<'_>) -> Result<()> {
        Ok(())
    }

    fn look(&mut self, look: &Look, x: &[T], block: &Block<'_>) -> Result<()> {
        if !samples_at(look.k, self.of.first, self.of.stride) {
            return Ok(());
        }
        let (len, slots, now) = (self.of.dim * block.span.width, self.slots(), self.samples);
        if now == 0 {
            self.origin.iter_mut().zip(&x[..len]).for_each(|(origin, x)| *origin = x.to_f64());
        }
        let slot = (now % slots) as usize;
        for ((y, x), origin) in self.ring[slot * len..][..len].iter_mut().zip(x).zip(&self.origin) {
            *y = x.to_f64() - origin;
        }
        for (l, lag) in self.of.lags.iter().enumerate().filter(|(_, lag)| **lag as u64 == now) {
            debug_assert!(*lag < slots as usize);
            self.begun[l * len..][..len].copy_from_slice(&self.total[..len]);
        }
        dispatch(AddProducts { ring: &self.ring, products: &mut self.products, lags: &self.of.lags, now, slots, len });
        for (total, y) in self.total[..len].iter_mut().zip(&self.ring[slot * len..]) {
            *total += y;
        }
        self.samples += 1;
        Ok(())
    }

    fn commit(&mut self, block: &Block<'_>) {
        let (len, slots, n) = (self.of.dim * block.span.width, self.slots(), self.samples);
        let lags = &self.of.lags;
        let columns = &mut self.columns[..3 * lags.len() * len];
        let (heads, rest) = columns.split_at_mut(lags.len() * len);
        let (tails, spreads) = rest.split_at_mut(lags.len() * len);
        // All samples but the last `lag`.
        let mut head = self.total[..len].to_vec();
        let mut taken = 0;
        for (l, lag) in lags.iter().enumerate() {
            while taken < *lag as u64 {
                taken += 1;
                let slot = ((n - taken) % slots) as usize;
                head.iter_mut().zip(&self.ring[slot * len..]).for_each(|(head, y)| *head -= y);
            }
            let over = 1.0 / (n - taken) as f64;
            for (p, (head, total)) in head.iter().zip(&self.total).enumerate() {
                let at = l * len + p;
                let (a, b) = (head * over, (total - self.begun[at]) * over);
                heads[at] = self.origin[p] + a;
                tails[at] = self.origin[p] + b;
                spreads[at] = self.products[at] * over - a * b;
            }
        }
        self.sums.record(0, columns, block);
        self.sums.commit(block);
    }
}

/// Adds the products of the newest sample with those `lag` before it, for every lag that has one.
struct AddProducts<'a> {
    ring: &'a [f64],
    products: &'a mut [f64],
    lags: &'a [usize],
    now: u64,
    slots: u64,
    len: usize,
}

impl Kernel for AddProducts<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { ring, products, lags, now, slots, len } = self;
        let sample = |index: u64| &ring[(index % slots) as usize * len..][..len];
        let newest = sample(now);
        for (sums, lag) in products.chunks_exact_mut(len).zip(lags) {
            let Some(before) = now.checked_sub(*lag as u64) else { break };
            for ((sum, y), newest) in sums.iter_mut().zip(sample(before)).zip(newest) {
                *sum += y * newest;
            }
        }
    }
}
