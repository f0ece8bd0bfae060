//! Numbers that take three values: 0 with probability 2/3, else `±sqrt(3 variance)`; five moments are those of a normal.

use super::{Address, Emit, Generate, Rows, same};
use crate::lanes::{Bits, Float, Real, Simd, Vector, dispatch};
use std::ops::Range;

/// Rows of numbers that a block fills: one for each of its words.
pub const THREE_POINT_ROWS: usize = 4;

/// Words whose lower 31 bits are below this are not 0: a third of them, to 2^-31. The top bit is the sign, so that the
/// mean is 0 exactly.
const THIRD: u64 = (1 << 31) / 3;

/// Writes the numbers of `blocks`, [`THREE_POINT_ROWS`] rows of `width` lanes for each, lane p for path `first_path + p`.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_three_point<T: Real>(address: Address, blocks: Range<u64>, variance: f64, width: usize, out: &mut [T]) {
    let rows = blocks.end.saturating_sub(blocks.start).saturating_mul(THREE_POINT_ROWS as u64);
    let magnitude = (3.0 * variance).sqrt();
    if let Some(out) = same::<T, f64>(out) {
        let rows = Rows::new(out, rows, width);
        dispatch(Generate { address, blocks, width, emit: Points64 { rows, magnitude } });
    } else if let Some(out) = same::<T, f32>(out) {
        let rows = Rows::new(out, rows, width);
        dispatch(Generate { address, blocks, width, emit: Points32 { rows, magnitude: magnitude as f32 } });
    }
}

/// The number in a word at the top of a lane of `width` bits.
#[inline(always)]
fn number<B: Bits>(word: B, width: u32, magnitude: B) -> B {
    let lower = word.shift_left(1).shift_right(width - 31);
    let below = lower.sub_wrap(B::splat(THIRD)).shift_right(width - 1);
    let sign = word.shift_right(width - 1).shift_left(width - 1);
    magnitude.or(sign).and(B::splat(0).sub_wrap(below))
}

struct Points64 {
    rows: Rows<f64>,
    magnitude: f64,
}

impl Emit for Points64 {
    const EVEN_ODD: bool = false;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let magnitude = S::F64::splat(self.magnitude).to_bits();
        for (i, (a, b)) in words[0].into_iter().zip(words[1]).enumerate() {
            let at = self.rows.at(THREE_POINT_ROWS * block + i, lane);
            // SAFETY: the rows of the block are there, and `lane` starts a whole group of lanes.
            unsafe {
                S::F64::from_bits(number(a.shift_left(32), 64, magnitude)).store(at);
                S::F64::from_bits(number(b.shift_left(32), 64, magnitude)).store(at.add(S::F64::LANES));
            }
        }
    }
}

struct Points32 {
    rows: Rows<f32>,
    magnitude: f32,
}

impl Emit for Points32 {
    const EVEN_ODD: bool = true;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let magnitude = S::F32::splat(self.magnitude).to_bits();
        for (i, (even, odd)) in words[0].into_iter().zip(words[1]).enumerate() {
            let word = S::interleave(even, odd);
            let at = self.rows.at(THREE_POINT_ROWS * block + i, lane);
            // SAFETY: the rows of the block are there, and `lane` starts a whole group of lanes.
            unsafe { S::F32::from_bits(number(word, 32, magnitude)).store(at) };
        }
    }
}

/// Number `index` of path `first_path` at variance 1/3, by other means than [`fill_three_point`]; for tests.
pub fn three_point_at(address: Address, index: u64) -> f64 {
    let word = address.words(index / 4, 0)[(index % 4) as usize];
    let sign = if word >> 31 == 1 { -1.0 } else { 1.0 };
    if u64::from(word & 0x7fff_ffff) < THIRD { sign } else { 0.0 }
}
