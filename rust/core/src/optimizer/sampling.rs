//! Which examples a step sees: a pure function of the key, the path and the step.

use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Simd, dispatch};
use crate::rng::{Tag, fill_indices, indices_per_block};
use crate::scheme::StepAddress;
use std::sync::{Mutex, PoisonError};

/// How the examples of a batch are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Independently of each other.
    Replacement,
    /// All different, anew in each step.
    WithoutReplacement,
    /// Each once in an epoch, in an order that is drawn anew for every epoch.
    Reshuffled,
}

/// Batches of at most this many examples are searched for repetitions; larger ones keep a list of bits.
const SEARCHED: usize = 64;

/// Draws the examples of steps.
#[derive(Debug)]
pub struct Sampler {
    n_examples: u32,
    batch: usize,
    sampling: Sampling,
    /// Orders of epochs under way. They only save work: every one can be made again from its address.
    epochs: Mutex<Vec<Epoch>>,
}

impl Sampler {
    /// Batches of `batch` of `n_examples` examples.
    pub fn new(n_examples: usize, batch: usize, sampling: Sampling) -> Result<Self> {
        let count = u32::try_from(n_examples).ok().filter(|n| *n > 0);
        let count = count.ok_or_else(|| Error::invalid("n_examples", format!("{n_examples}, not below 2^32")))?;
        let message = match sampling {
            _ if batch == 0 => Some("at least 1 is needed".to_owned()),
            Sampling::Replacement => None,
            _ if batch > n_examples => Some(format!("more than the {n_examples} examples")),
            Sampling::Reshuffled if !n_examples.is_multiple_of(batch) => {
                Some(format!("reshuffled epochs of {n_examples} examples need a divisor of their number"))
            }
            _ => None,
        };
        match message {
            None => Ok(Self { n_examples: count, batch, sampling, epochs: Mutex::default() }),
            Some(message) => Err(Error::invalid("batch_size", format!("{batch}: {message}"))),
        }
    }

    /// Rows of indices that [`Sampler::draw`] writes: those of the batch, and what is left of the last generator block.
    pub fn rows(&self) -> usize {
        self.batch.next_multiple_of(indices_per_block(self.n_examples))
    }

    /// Batch number `which` of the `batches` of a step: draw `b` of lane `p` is example `out[b * width + p]`.
    pub fn draw(&self, at: StepAddress, which: u64, batches: u64, span: Span, out: &mut [u32]) {
        let Self { n_examples: n, batch, sampling, .. } = *self;
        let per_batch = (self.rows() / indices_per_block(n)) as u64;
        let first = at.blocks(per_batch * batches).start + which * per_batch;
        let fill = |first: u64, bound: &dyn Fn(usize) -> u32, out: &mut [u32]| {
            fill_indices(at.stream(Tag::MINIBATCH), first..first + per_batch, n, bound, span.width, out);
        };
        match sampling {
            Sampling::Replacement => fill(first, &|_| n, out),
            Sampling::WithoutReplacement => {
                // Floyd: draw b is below n - batch + b + 1; one that is there already becomes the largest of these.
                let first_bound = n - batch as u32 + 1;
                fill(first, &|b| (first_bound + b as u32).min(n), out);
                let out = &mut out[..batch * span.width];
                if batch <= SEARCHED {
                    dispatch(Distinct { out, width: span.width, first_bound });
                } else {
                    distinct_by_bits(out, span.width, n, first_bound);
                }
            }
            Sampling::Reshuffled => {
                let steps = u64::from(n) / batch as u64;
                let now = at.cell / at.cells; // steps done
                let (epoch, step) = (now / steps, now % steps);
                let place = Place { key: at.key, first_path: at.first_path, width: span.width, epoch };
                let mut order = self.take(place);
                while order.done <= step {
                    let begin = order.done as usize * batch;
                    fill((now - step + order.done) * per_batch, &|b| n.saturating_sub((begin + b) as u32).max(1), out);
                    order.advance(begin, batch, n as usize, out);
                }
                order.read(step as usize * batch, n as usize, &mut out[..batch * span.width]);
                self.epochs.lock().unwrap_or_else(PoisonError::into_inner).push(order);
            }
        }
    }

    /// The draws of `count` steps of one batch each, [`Sampler::rows`] rows a step.
    pub fn draw_steps(&self, at: StepAddress, count: usize, span: Span, out: &mut [u32]) {
        if self.sampling == Sampling::Replacement {
            let blocks = at.blocks((self.rows() / indices_per_block(self.n_examples)) as u64);
            let blocks = blocks.start..blocks.start + (blocks.end - blocks.start) * count as u64;
            let n = self.n_examples;
            fill_indices(at.stream(Tag::MINIBATCH), blocks, n, |_| n, span.width, out);
            return;
        }
        for (k, out) in out.chunks_exact_mut(self.rows() * span.width).take(count).enumerate() {
            self.draw(StepAddress { cell: at.cell + k as u64 * at.cells, ..at }, 0, 1, span, out);
        }
    }

    /// The order of an epoch as far as it is known.
    fn take(&self, place: Place) -> Epoch {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let same = epochs.iter().position(|epoch| epoch.place == place);
        // One of the same paths: their last epoch is over.
        let found = same.or_else(|| epochs.iter().position(|epoch| epoch.place.first_path == place.first_path));
        let index = found.or(epochs.len().checked_sub(1));
        let mut epoch = index.map(|index| epochs.swap_remove(index)).unwrap_or_default();
        drop(epochs);
        if same.is_none() {
            epoch.start(place, self.n_examples);
        }
        epoch
    }
}

/// Puts the largest number of its range in the place of a draw that occurred before.
struct Distinct<'a> {
    out: &'a mut [u32],
    width: usize,
    first_bound: u32,
}

impl Kernel for Distinct<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        const LANES: usize = crate::lanes::LANE_MULTIPLE;
        for b in 1..self.out.len() / self.width {
            let (before, row) = self.out.split_at_mut(b * self.width);
            let last = self.first_bound - 1 + b as u32;
            for (strip, row) in row[..self.width].chunks_exact_mut(LANES).enumerate() {
                let mut found = [0_u32; LANES];
                for earlier in before.chunks_exact(self.width) {
                    let earlier = &earlier[strip * LANES..][..LANES];
                    for ((found, earlier), draw) in found.iter_mut().zip(earlier).zip(row.iter()) {
                        *found |= u32::from(earlier == draw);
                    }
                }
                for (draw, found) in row.iter_mut().zip(found) {
                    *draw = if found == 0 { *draw } else { last };
                }
            }
        }
    }
}

/// What [`Distinct`] does, with a bit for each example.
fn distinct_by_bits(out: &mut [u32], width: usize, n: u32, first_bound: u32) {
    crate::workspace::with_workspace(n.div_ceil(64) as usize, |seen: &mut [u64]| {
        for p in 0..width {
            seen.fill(0);
            for (b, draw) in out.iter_mut().skip(p).step_by(width).enumerate() {
                if seen[(*draw / 64) as usize] >> (*draw % 64) & 1 == 1 {
                    *draw = first_bound - 1 + b as u32;
                }
                seen[(*draw / 64) as usize] |= 1 << (*draw % 64);
            }
        }
    });
}

/// Whose order it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    key: u64,
    first_path: u64,
    width: usize,
    epoch: u64,
}

/// The orders of the examples in one epoch of a block of paths, made by Fisher and Yates's shuffle as far as needed.
#[derive(Debug, Default)]
struct Epoch {
    place: Place,
    /// Steps whose examples are in place.
    done: u64,
    /// An order a path, one after the other.
    order: Vec<u32>,
}

impl Epoch {
    fn start(&mut self, place: Place, n: u32) {
        self.place = place;
        self.done = 0;
        self.order.clear();
        for _ in 0..place.width {
            self.order.extend(0..n);
        }
    }

    /// Puts the examples of the next step in place: position `begin + b` gets one of those not yet placed.
    fn advance(&mut self, begin: usize, batch: usize, n: usize, draws: &[u32]) {
        for (p, order) in self.order.chunks_exact_mut(n).enumerate() {
            for b in 0..batch {
                order.swap(begin + b, begin + b + draws[b * self.place.width + p] as usize);
            }
        }
        self.done += 1;
    }

    fn read(&self, begin: usize, n: usize, out: &mut [u32]) {
        for (p, order) in self.order.chunks_exact(n).enumerate() {
            for (b, out) in out.chunks_exact_mut(self.place.width).enumerate() {
                out[p] = order[begin + b];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};
    use std::collections::HashSet;

    fn draw(sampler: &Sampler, cell: u64, first_path: u64, width: usize) -> Vec<u32> {
        let mut out = vec![0; sampler.rows() * width];
        let at = StepAddress { key: 77, first_path, cell, cells: 1, antithetic: false };
        sampler.draw(at, 0, 1, Span { n: width, width }, &mut out);
        out.truncate(sampler.batch * width);
        out
    }

    fn column(draws: &[u32], width: usize, p: usize) -> Vec<u32> {
        draws.iter().skip(p).step_by(width).copied().collect()
    }

    #[test]
    fn draws_do_not_depend_on_blocks_or_instruction_sets() {
        for sampling in [Sampling::Replacement, Sampling::WithoutReplacement, Sampling::Reshuffled] {
            for (n, batch) in [(12, 3), (70_000, 7), (200, 100)] {
                let make = || Sampler::new(n, batch, sampling).unwrap();
                let whole = draw(&make(), 5, 0, 64);
                for isa in available() {
                    let part = with_isa(isa, || draw(&make(), 5, 32, 16));
                    for p in 0..16 {
                        assert_eq!(column(&part, 16, p), column(&whole, 64, 32 + p), "{isa:?} {sampling:?} {n}");
                    }
                }
                assert_ne!(whole, draw(&make(), 6, 0, 64));
            }
        }
    }

    #[test]
    fn batches_without_replacement_have_no_repetitions() {
        for (n, batch) in [(5, 5), (6, 2), (300, 60), (300, 200), (300, 300)] {
            let sampler = Sampler::new(n, batch, Sampling::WithoutReplacement).unwrap();
            let draws = draw(&sampler, 3, 0, 32);
            for p in 0..32 {
                let examples: HashSet<u32> = column(&draws, 32, p).into_iter().collect();
                assert!(examples.len() == batch && examples.iter().all(|i| *i < n as u32), "{n} {batch}");
            }
        }
    }

    #[test]
    fn bits_find_what_a_search_finds() {
        let (n, batch, width) = (50_u32, 30, 16);
        let mut candidates = vec![0; 32 * width];
        let first_bound = n - batch as u32 + 1;
        let at = StepAddress { key: 3, first_path: 0, cell: 0, cells: 1, antithetic: false };
        let bound = |b: usize| (first_bound + b as u32).min(n);
        fill_indices(at.stream(Tag::MINIBATCH), 0..8, n, bound, width, &mut candidates);
        candidates.truncate(batch * width);
        let mut by_bits = candidates.clone();
        distinct_by_bits(&mut by_bits, width, n, first_bound);
        dispatch(Distinct { out: &mut candidates, width, first_bound });
        assert_eq!(candidates, by_bits);
    }

    /// Every subset of size 2 of 5 examples, by chi-square; and every order of 3 examples.
    #[test]
    fn subsets_and_orders_are_uniform() {
        let sampler = Sampler::new(5, 2, Sampling::WithoutReplacement).unwrap();
        let mut subsets = vec![0_f64; 25];
        for cell in 0..2000 {
            let draws = draw(&sampler, cell, 0, 64);
            for p in 0..64 {
                let (a, b) = (draws[p], draws[64 + p]);
                subsets[(a.min(b) * 5 + a.max(b)) as usize] += 1.0;
            }
        }
        let sampler = Sampler::new(3, 1, Sampling::Reshuffled).unwrap();
        let mut orders = vec![0_f64; 27];
        for epoch in 0..2000 {
            let steps: Vec<_> = (0..3).map(|k| draw(&sampler, 3 * epoch + k, 0, 64)).collect();
            for p in 0..64 {
                orders[(steps[0][p] * 9 + steps[1][p] * 3 + steps[2][p]) as usize] += 1.0;
            }
        }
        // chi-square of 9 and of 5 degrees of freedom above these: 1e-6 each
        for (counts, cells, limit) in [(subsets, 10.0, 45.1), (orders, 6.0, 35.9)] {
            let expected = 128_000.0 / cells;
            assert_eq!(counts.iter().filter(|c| **c > 0.0).count(), cells as usize);
            let chi2: f64 = counts.iter().filter(|c| **c > 0.0).map(|c| (c - expected).powi(2) / expected).sum();
            assert!(chi2 < limit, "{chi2} {counts:?}");
        }
    }

    /// A step asked again, an earlier one, and blocks in turn give what a fresh sampler gives.
    #[test]
    fn orders_in_hand_only_save_work() {
        let sampler = Sampler::new(12, 3, Sampling::Reshuffled).unwrap();
        for (cell, path) in [(0, 0), (0, 64), (1, 0), (1, 64), (1, 64), (0, 64), (3, 0), (9, 0), (2, 0), (2, 64)] {
            let fresh = Sampler::new(12, 3, Sampling::Reshuffled).unwrap();
            assert_eq!(draw(&sampler, cell, path, 16), draw(&fresh, cell, path, 16), "{cell} {path}");
        }
        let epoch: Vec<u32> = (4..8).flat_map(|cell| column(&draw(&sampler, cell, 0, 16), 16, 5)).collect();
        let distinct: HashSet<u32> = epoch.iter().copied().collect();
        assert_eq!(distinct.len(), 12, "{epoch:?}");
    }

    #[test]
    fn batches_that_do_not_fit_are_refused() {
        assert!(Sampler::new(4, 5, Sampling::WithoutReplacement).is_err());
        assert!(Sampler::new(4, 3, Sampling::Reshuffled).is_err());
        assert!(Sampler::new(4, 0, Sampling::Replacement).is_err());
        assert!(Sampler::new(4, 5, Sampling::Replacement).is_ok());
    }
}
