//! A window of random numbers that moves along with the steps: made some generator blocks at a time, never stored whole.

use super::{Element, Increments};
use crate::buffer::Buffer;
use crate::rng::{
    Address, Drawn, SIGN_ROWS, SignRows, THREE_POINT_ROWS, fill_normals, fill_sign_words, fill_three_point,
    normals_per_block,
};

/// Bytes of numbers made at a time: enough generator blocks to pay for a call, few enough to stay near.
const BYTES: usize = 32 << 10;
/// Signs made at a time.
const SIGNS: usize = 1024;
const SIGNS_PER_BLOCK: u64 = 128;

/// `per_step` rows of random numbers for each step.
pub(super) struct Window<T> {
    law: Increments,
    variance: f64,
    /// Rows of numbers, or of the words of signs.
    rows: Buffer<T>,
    /// Signs of one step, where they are wanted as numbers.
    unpacked: Buffer<T>,
    per_step: u64,
    /// Steps that fit.
    capacity: u64,
    /// The steps it holds now.
    first: u64,
    count: u64,
    /// Number of its first row.
    begins: u64,
}

impl<T: Element> Window<T> {
    /// Numbers of mean 0 and this variance, for blocks of at most `width` lanes.
    pub(super) fn new(per_step: usize, width: usize, law: Increments, variance: f64) -> Self {
        let per_block = numbers_per_block::<T>(law) as usize;
        let at_a_time = match law {
            Increments::TwoPoint => SIGNS / per_step.max(1),
            // Whole generator blocks, so that no number is made twice.
            _ => (BYTES / (width * T::BYTES * per_step.max(1))).max(1).next_multiple_of(per_block),
        };
        let capacity = at_a_time.max(1);
        // An unaligned window begins and ends in the middle of a block.
        let blocks = (capacity * per_step).div_ceil(per_block) + 1;
        let rows = match law {
            Increments::TwoPoint => blocks * SIGN_ROWS,
            _ => blocks * per_block,
        };
        Self {
            law,
            variance,
            rows: Buffer::new(if per_step == 0 { 0 } else { rows * width }),
            unpacked: Buffer::new(if law == Increments::TwoPoint { per_step * width } else { 0 }),
            per_step: per_step as u64,
            capacity: capacity as u64,
            first: 0,
            count: 0,
            begins: 0,
        }
    }

    /// What it holds is of another block.
    pub(super) fn forget(&mut self) {
        self.count = 0;
    }

    /// The numbers of `step`; `last` is the end of the run.
    pub(super) fn step(&mut self, at: Address, step: u64, last: u64, width: usize) -> &[T] {
        if self.per_step == 0 {
            return &[];
        }
        self.reach(at, step, last, width);
        let len = self.per_step as usize * width;
        match self.law {
            Increments::TwoPoint => {
                let (first, scale) = (self.row(step), self.variance.sqrt());
                SignRows { words: &self.rows, first, scale, width }.unpack(&mut self.unpacked[..len]);
                &self.unpacked[..len]
            }
            _ => &self.rows[self.row(step) * width..][..len],
        }
    }

    /// The numbers of the steps from `step` on that it holds, at most `most`, and how many steps these are.
    pub(super) fn steps(
        &mut self,
        at: Address,
        step: u64,
        most: u64,
        last: u64,
        width: usize,
    ) -> (Drawn<'_, T>, usize) {
        self.reach(at, step, last, width);
        let steps = most.min(self.first + self.count - step);
        let drawn = match self.law {
            Increments::TwoPoint => {
                let (first, scale) = (self.row(step), self.variance.sqrt());
                Drawn::Signs(SignRows { words: &self.rows, first, scale, width })
            }
            _ => Drawn::Rows(&self.rows[self.row(step) * width..][..(steps * self.per_step) as usize * width]),
        };
        (drawn, steps as usize)
    }

    /// Number of the first row of a step, within the window.
    fn row(&self, step: u64) -> usize {
        (step * self.per_step - self.begins) as usize
    }

    /// Moves the window to `step` where it does not hold it.
    fn reach(&mut self, at: Address, step: u64, last: u64, width: usize) {
        if step >= self.first && step < self.first + self.count {
            return;
        }
        self.first = step;
        self.count = self.capacity.min(last - step);
        let per_block = numbers_per_block::<T>(self.law);
        let numbers = step * self.per_step..(step + self.count) * self.per_step;
        let blocks = numbers.start / per_block..numbers.end.div_ceil(per_block);
        self.begins = blocks.start * per_block;
        match self.law {
            Increments::Gaussian => fill_normals(at, blocks, self.variance, width, &mut self.rows),
            Increments::GaussianF32 => T::fill_single(at, blocks, self.variance, width, &mut self.rows),
            Increments::TwoPoint => fill_sign_words(at, blocks, width, &mut self.rows),
            Increments::ThreePoint => fill_three_point(at, blocks, self.variance, width, &mut self.rows),
        }
    }
}

fn numbers_per_block<T: Element>(law: Increments) -> u64 {
    match law {
        Increments::Gaussian => normals_per_block::<T>(),
        Increments::GaussianF32 => 4,
        Increments::TwoPoint => SIGNS_PER_BLOCK,
        Increments::ThreePoint => THREE_POINT_ROWS as u64,
    }
}
