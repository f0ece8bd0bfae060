//! Uniform whole numbers below bounds: the examples of minibatches.

use super::{Address, Emit, Generate, Rows};
use crate::lanes::{Bits, Bits64, Float, Simd, Vector, dispatch};
use std::ops::Range;

/// Up to this bound a number is made of 32 bits, above it of 64.
const NARROW: u32 = 1 << 16;

/// Numbers in a generator block, where none of the bounds exceeds `most`.
pub fn indices_per_block(most: u32) -> usize {
    if most <= NARROW { 4 } else { 2 }
}

/// Writes the numbers of `blocks`, [`indices_per_block`] rows of `width` lanes for each: row `r` is uniform below
/// `bound(r)`, which is at most `most`.
///
/// A word `w` becomes `⌊w · bound / 2^32⌋`. The probabilities of two results differ by `bound / 2^32` of one at most, 1.5e-5
/// for words of 32 bits, since larger bounds take words of 64.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_indices(
    address: Address,
    blocks: Range<u64>,
    most: u32,
    bound: impl Fn(usize) -> u32,
    width: usize,
    out: &mut [u32],
) {
    let per_block = indices_per_block(most);
    let rows = blocks.end.saturating_sub(blocks.start).saturating_mul(per_block as u64);
    let rows = Rows::new(out, rows, width);
    if per_block == 4 {
        dispatch(Generate { address, blocks, width, emit: Narrow { rows, bound } });
    } else {
        dispatch(Generate { address, blocks, width, emit: Wide { rows, bound } });
    }
}

struct Narrow<F> {
    rows: Rows<u32>,
    bound: F,
}

impl<F: Fn(usize) -> u32> Emit for Narrow<F> {
    const EVEN_ODD: bool = true;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        for (i, (even, odd)) in words[0].into_iter().zip(words[1]).enumerate() {
            let row = 4 * block + i;
            let bound = S::U64::splat((self.bound)(row).into());
            let number = |word: S::U64| word.mul_low(bound).shift_right(32);
            // SAFETY: the rows of the block are there, and `lane` starts a whole group of lanes.
            unsafe { store::<S>(number(even), number(odd), self.rows.at(row, lane)) };
        }
    }
}

struct Wide<F> {
    rows: Rows<u32>,
    bound: F,
}

impl<F: Fn(usize) -> u32> Emit for Wide<F> {
    const EVEN_ODD: bool = true;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        for i in 0..2 {
            let row = 2 * block + i;
            let bound = S::U64::splat((self.bound)(row).into());
            // (high 2^32 + low) bound / 2^64
            let number = |[high, low]: [S::U64; 2]| {
                let carried = low.mul_low(bound).shift_right(32);
                high.mul_low(bound).add_wrap(carried).shift_right(32)
            };
            let pair = |words: [S::U64; 4]| number([words[2 * i], words[2 * i + 1]]);
            // SAFETY: as above.
            unsafe { store::<S>(pair(words[0]), pair(words[1]), self.rows.at(row, lane)) };
        }
    }
}

/// Stores the low halves of the even and the odd paths.
///
/// # Safety
/// `at` must be valid for writing as many elements as a vector of `f32` has.
#[inline(always)]
unsafe fn store<S: Simd>(even: S::U64, odd: S::U64, at: *mut u32) {
    // SAFETY: the caller's; the bits are moved, never read as a number.
    unsafe { S::F32::from_bits(S::interleave(even, odd)).store(at.cast()) };
}

#[cfg(test)]
mod tests {
    use super::super::Tag;
    use super::*;
    use crate::lanes::{available, with_isa};

    const ADDRESS: Address = Address { key: 0xfeed_beef_0123_4567, tag: Tag::MINIBATCH, first_path: 40 };

    #[test]
    fn numbers_have_their_addresses_on_every_instruction_set() {
        for (most, per_block) in [(1000, 4), (1 << 16, 4), ((1 << 16) + 1, 2), (u32::MAX, 2)] {
            let (rows, width) = (3 * per_block, 48);
            let bound = |row: usize| most - row as u32;
            for isa in available() {
                let mut out = vec![0; rows * width];
                with_isa(isa, || fill_indices(ADDRESS, 5..8, most, bound, width, &mut out));
                for (k, found) in out.iter().enumerate() {
                    let (row, lane) = (k / width, (k % width) as u64);
                    let words = ADDRESS.words(5 + (row / per_block) as u64, lane).map(u128::from);
                    let (word, bits) = match per_block {
                        4 => (words[row % 4], 32),
                        _ => ((words[2 * (row % 2)] << 32) | words[2 * (row % 2) + 1], 64),
                    };
                    assert_eq!(
                        u128::from(*found),
                        (word * u128::from(bound(row))) >> bits,
                        "{isa:?} {most} {row} {lane}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_are_uniform() {
        const N: usize = 7;
        let mut counts = [0_f64; N];
        let mut out = vec![0; 4 * 1024];
        for q in 0..500 {
            fill_indices(ADDRESS, q..q + 1, N as u32, |_| N as u32, 1024, &mut out);
            out.iter().for_each(|i| counts[*i as usize] += 1.0);
        }
        let expected = 500.0 * 4096.0 / N as f64;
        let chi2: f64 = counts.iter().map(|c| (c - expected) * (c - expected) / expected).sum();
        // six degrees of freedom pass this with probability 1e-6
        assert!(chi2 < 38.3, "{chi2} {counts:?}");
    }
}
