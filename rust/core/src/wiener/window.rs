//! A window of random numbers that moves along with the steps: made some generator blocks at a time, never stored whole.

use super::mirror::{Mirror, Second};
use super::{Element, Increments};
use crate::buffer::Buffer;
use crate::rng::{
    Address, Drawn, SIGN_ROWS, SignRows, THREE_POINT_ROWS, fill_normals, fill_sign_words, fill_three_point,
    normals_per_block,
};
use std::ops::Range;

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
    /// What the rows are made of where paths are antithetic pairs.
    mirror: Option<Mirror<T>>,
    /// Signs of one step, where they are wanted as numbers.
    unpacked: Buffer<T>,
    per_step: u64,
    /// Steps that fit.
    capacity: u64,
    /// The steps it holds now.
    first: u64,
    count: u64,
    /// The generator blocks that they are from, and the number of the first row.
    blocks: Range<u64>,
    begins: u64,
}

impl<T: Element> Window<T> {
    /// Numbers of mean 0 and this variance, for blocks of at most `width` lanes, which may be antithetic pairs.
    pub(super) fn new(per_step: usize, width: usize, law: Increments, variance: f64, antithetic: bool) -> Self {
        let per_block = numbers_per_block::<T>(law) as usize;
        let at_a_time = match law {
            Increments::TwoPoint => SIGNS / per_step.max(1),
            // Whole generator blocks, so that no number is made twice.
            _ => (BYTES / (width * T::BYTES * per_step.max(1))).max(1).next_multiple_of(per_block),
        };
        // A step, and one ahead.
        let capacity = at_a_time.max(2);
        // An unaligned window begins and ends in the middle of a block.
        let blocks = (capacity * per_step).div_ceil(per_block) + 1;
        let rows = blocks * rows_per_block::<T>(law);
        let rows = if per_step == 0 { 0 } else { rows };
        let second = if law == Increments::TwoPoint { Second::Complement } else { Second::Negative };
        Self {
            law,
            variance,
            rows: Buffer::new(rows * width),
            mirror: (antithetic && rows > 0).then(|| Mirror::new(rows, width, second)),
            unpacked: Buffer::new(if law == Increments::TwoPoint { per_step * width } else { 0 }),
            per_step: per_step as u64,
            capacity: capacity as u64,
            first: 0,
            count: 0,
            blocks: 0..0,
            begins: 0,
        }
    }

    /// Moves to the block that begins with this path: what it holds is of another.
    pub(super) fn start_block(&mut self, first_path: u64, width: usize) {
        self.count = 0;
        self.blocks = 0..0;
        if let Some(mirror) = &mut self.mirror {
            mirror.start_block(first_path, width);
        }
    }

    /// The numbers of a step that it holds as their streams have them, before pairs of paths are made of them.
    pub(super) fn streams(&mut self, step: u64, width: usize) -> &[T] {
        let row = self.row(step);
        let (lanes, rows) = match &self.mirror {
            Some(mirror) => (mirror.half.width, &mirror.rows),
            None => (width, &self.rows),
        };
        let len = self.per_step as usize * lanes;
        if self.law == Increments::TwoPoint {
            let signs = SignRows { words: rows, first: row, scale: self.variance.sqrt(), width: lanes };
            signs.unpack(&mut self.unpacked[..len]);
            return &self.unpacked[..len];
        }
        &rows[row * lanes..][..len]
    }

    /// The numbers of `step`; `last` is the end of the run.
    pub(super) fn step(&mut self, at: Address, step: u64, last: u64, width: usize) -> &[T] {
        if self.per_step == 0 {
            return &[];
        }
        self.reach(at, step, 0, last, width);
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

    /// The numbers of the steps from `step` on that it holds, at most `most`, and how many steps these are; of `ahead`
    /// steps more the numbers are there too.
    pub(super) fn steps(
        &mut self,
        at: Address,
        step: u64,
        (most, ahead): (u64, u64),
        last: u64,
        width: usize,
    ) -> (Drawn<'_, T>, usize) {
        if self.per_step == 0 {
            return (Drawn::Rows(&[]), most as usize);
        }
        self.reach(at, step, ahead, last, width);
        let steps = most.min(self.first + self.count - ahead - step);
        let drawn = match self.law {
            Increments::TwoPoint => {
                let (first, scale) = (self.row(step), self.variance.sqrt());
                Drawn::Signs(SignRows { words: &self.rows, first, scale, width })
            }
            _ => {
                let rows = ((steps + ahead) * self.per_step) as usize;
                Drawn::Rows(&self.rows[self.row(step) * width..][..rows * width])
            }
        };
        (drawn, steps as usize)
    }

    /// Number of the first row of a step, within the window.
    fn row(&self, step: u64) -> usize {
        (step * self.per_step - self.begins) as usize
    }

    /// Moves the window to `step` where it does not hold it and `ahead` steps after it.
    fn reach(&mut self, at: Address, step: u64, ahead: u64, last: u64, width: usize) {
        if step >= self.first && step + ahead < self.first + self.count {
            return;
        }
        self.first = step;
        self.count = self.capacity.min(last - step);
        let per_block = numbers_per_block::<T>(self.law);
        let numbers = step * self.per_step..(step + self.count) * self.per_step;
        let blocks = numbers.start / per_block..numbers.end.div_ceil(per_block);
        self.begins = blocks.start * per_block;
        let rows_per_block = rows_per_block::<T>(self.law);
        let held = (blocks.end - blocks.start) as usize * rows_per_block;
        let (at, lanes, rows) = match &mut self.mirror {
            Some(mirror) => (mirror.half.address(at), mirror.half.width, &mut mirror.rows),
            None => (at, width, &mut self.rows),
        };
        // Blocks that the window has at its end are not made again.
        let had = std::mem::replace(&mut self.blocks, blocks.clone());
        let made = if had.contains(&blocks.start) { had.end.min(blocks.end)..blocks.end } else { blocks.clone() };
        let (block, kept) = (rows_per_block * lanes, (made.start - blocks.start) as usize);
        if kept > 0 {
            let from = (blocks.start - had.start) as usize * block;
            rows.copy_within(from..from + kept * block, 0);
        }
        let rows = &mut rows[kept * block..];
        match self.law {
            Increments::Gaussian => fill_normals(at, made, self.variance, lanes, rows),
            Increments::GaussianF32 => T::fill_single(at, made, self.variance, lanes, rows),
            Increments::TwoPoint => fill_sign_words(at, made, lanes, rows),
            Increments::ThreePoint => fill_three_point(at, made, self.variance, lanes, rows),
        }
        if let Some(mirror) = &self.mirror {
            mirror.expand(width, &mut self.rows[..held * width]);
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

fn rows_per_block<T: Element>(law: Increments) -> usize {
    match law {
        Increments::TwoPoint => SIGN_ROWS,
        _ => numbers_per_block::<T>(law) as usize,
    }
}
