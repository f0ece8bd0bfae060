//! Antithetic pairs: paths 2i and 2i + 1 read one stream, that of number i, the second of them with the other sign.

use crate::buffer::Buffer;
use crate::elementwise::{at, put};
use crate::lanes::{Bits, Float, Kernel, LANE_MULTIPLE, Real, Simd, Vector, dispatch};
use crate::rng::{Address, all_ones};

/// What the second path of a pair sees of a number that the first one sees as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// Its negative.
    Negative,
    /// All bits turned over: the words of signs.
    Complement,
    /// The same: what is even in the Wiener path.
    Same,
}

/// Lanes of the streams that a block of paths reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Half {
    /// The stream in lane 0.
    pub first: u64,
    /// 1 where the block begins with the second path of a pair.
    pub odd: usize,
    /// Lanes.
    pub width: usize,
}

impl Half {
    /// Of the block of `width` lanes that begins with a path.
    pub(crate) fn of(first_path: u64, width: usize) -> Self {
        let odd = (first_path % 2) as usize;
        Self { first: first_path / 2, odd, width: (odd + width).div_ceil(2).next_multiple_of(LANE_MULTIPLE) }
    }

    /// The most lanes that blocks of at most `width` lanes need.
    pub(crate) fn most(width: usize) -> usize {
        Self::of(1, width).width
    }

    /// The address of the streams.
    pub(crate) fn address(&self, paths: Address) -> Address {
        Address { first_path: self.first, ..paths }
    }

    /// Turns rows of the streams at the beginning of `out` into rows of paths, as many as it holds: each number twice.
    pub(crate) fn repeat<T: Copy>(&self, width: usize, out: &mut [T]) {
        // From the end on, as rows of paths are the longer ones: nothing is overwritten before it is read.
        for row in (0..out.len() / width).rev() {
            for p in (0..width).rev() {
                out[row * width + p] = out[row * self.width + (self.odd + p) / 2];
            }
        }
    }
}

/// Rows of the streams, and how they become rows of paths.
pub(crate) struct Mirror<T> {
    second: Second,
    pub half: Half,
    /// Rows of `half.width` lanes.
    pub rows: Buffer<T>,
    /// The bits that differ from the stream's, by lane.
    mask: Buffer<T>,
}

impl<T: Real> Mirror<T> {
    /// With room for rows of blocks of at most `width` lanes.
    pub(crate) fn new(rows: usize, width: usize, second: Second) -> Self {
        Self { second, half: Half::default(), rows: Buffer::new(rows * Half::most(width)), mask: Buffer::new(width) }
    }

    /// Moves to another block.
    pub(crate) fn start_block(&mut self, first_path: u64, width: usize) {
        self.half = Half::of(first_path, width);
        let bits = match self.second {
            Second::Negative => T::from_f64(-0.0),
            Second::Complement => all_ones(),
            Second::Same => T::default(),
        };
        for (p, mask) in self.mask[..width].iter_mut().enumerate() {
            *mask = if (self.half.odd + p) % 2 == 1 { bits } else { T::default() };
        }
    }

    /// Writes the rows of paths, as many as `out` has, from the first rows of the streams.
    pub(crate) fn expand(&self, width: usize, out: &mut [T]) {
        for (row, from) in out.chunks_exact_mut(width).zip(self.rows.chunks_exact(self.half.width)) {
            let (head, pairs) = row.split_at_mut(self.half.odd);
            head.fill(from[0]);
            let from = &from[self.half.odd..];
            let (pairs, tail) = pairs.as_chunks_mut::<2>();
            for (pair, value) in pairs.iter_mut().zip(from) {
                *pair = [*value; 2];
            }
            if let (Some(last), Some(value)) = (tail.first_mut(), from.get(pairs.len())) {
                *last = *value;
            }
            if self.second != Second::Same {
                dispatch(TurnOver { row, mask: &self.mask[..width] });
            }
        }
    }
}

struct TurnOver<'a, T> {
    row: &'a mut [T],
    mask: &'a [T],
}

impl<T: Real> Kernel for TurnOver<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for p in (0..self.row.len()).step_by(<T::V<S> as Vector>::LANES) {
            let (x, mask) = (at::<T::V<S>>(self.row, p), at::<T::V<S>>(self.mask, p));
            put(self.row, p, <T::V<S>>::from_bits(x.to_bits().xor(mask.to_bits())));
        }
    }
}
