//! Random signs: 128 to a generator block, kept as the words they come from and unpacked where they are used.

use super::{Address, Emit, Generate, Rows, same};
use crate::lanes::{Bits, Float, Kernel, Real, Simd, Vector, dispatch};
use std::ops::Range;

/// Rows of words that a block fills.
pub const SIGN_ROWS: usize = 4;

/// Writes the words of `blocks`, [`SIGN_ROWS`] rows of `width` lanes for each: sign number `i` of a path is bit `i % 32`,
/// counted from the low end of the highest 32 bits of the lane, in row `i / 32`.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_sign_words<T: Real>(address: Address, blocks: Range<u64>, width: usize, out: &mut [T]) {
    let rows = blocks.end.saturating_sub(blocks.start).saturating_mul(SIGN_ROWS as u64);
    if let Some(out) = same::<T, f64>(out) {
        let rows = Rows::new(out, rows, width);
        dispatch(Generate { address, blocks, width, emit: Words64 { rows } });
    } else if let Some(out) = same::<T, f32>(out) {
        let rows = Rows::new(out, rows, width);
        dispatch(Generate { address, blocks, width, emit: Words32 { rows } });
    }
}

struct Words64 {
    rows: Rows<f64>,
}

impl Emit for Words64 {
    const EVEN_ODD: bool = false;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        for (i, (a, b)) in words[0].into_iter().zip(words[1]).enumerate() {
            let at = self.rows.at(SIGN_ROWS * block + i, lane);
            // SAFETY: the rows of the block are there, and `lane` starts a whole group of lanes.
            unsafe {
                S::F64::from_bits(a.shift_left(32)).store(at);
                S::F64::from_bits(b.shift_left(32)).store(at.add(S::F64::LANES));
            }
        }
    }
}

struct Words32 {
    rows: Rows<f32>,
}

impl Emit for Words32 {
    const EVEN_ODD: bool = true;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        for (i, (even, odd)) in words[0].into_iter().zip(words[1]).enumerate() {
            // SAFETY: the rows of the block are there, and `lane` starts a whole group of lanes.
            unsafe { S::F32::from_bits(S::interleave(even, odd)).store(self.rows.at(SIGN_ROWS * block + i, lane)) };
        }
    }
}

/// Rows of `±scale`, still packed: row `r` is sign number `first + r` of `words`. A set bit means minus.
#[derive(Clone, Copy, Debug)]
pub struct SignRows<'a, T> {
    /// Rows of words, of `width` lanes.
    pub words: &'a [T],
    /// The sign that row 0 is.
    pub first: usize,
    /// The magnitude.
    pub scale: f64,
    /// Lanes of a row.
    pub width: usize,
}

impl<T: Real> SignRows<'_, T> {
    /// Whether there are words for `rows` rows.
    pub fn holds(&self, rows: usize) -> bool {
        (self.first + rows).div_ceil(32) * self.width <= self.words.len()
    }

    /// Where row `r` is: its words, and by how much they are shifted for its bit to become the sign.
    #[inline(always)]
    pub(crate) fn locate(&self, r: usize) -> (*const T, u32) {
        let sign = self.first + r;
        (self.words.as_ptr().wrapping_add(sign / 32 * self.width), 31 - (sign % 32) as u32)
    }

    /// Writes the first rows, as many as `out` has.
    ///
    /// # Panics
    /// If there are no words for them.
    pub fn unpack(&self, out: &mut [T]) {
        assert!(self.holds(out.len() / self.width), "no words for that many rows");
        dispatch(Unpack { signs: self, out });
    }
}

/// The sign bit of words shifted by `shift`, on `scale`.
///
/// # Safety
/// `words` must be valid for reading a vector.
#[inline(always)]
pub(crate) unsafe fn signed<V: Vector>(words: *const V::Elem, shift: u32, scale: V) -> V {
    // SAFETY: the caller's.
    let word = unsafe { V::load(words) }.to_bits();
    let minus = V::splat(V::Elem::from_f64(-0.0)).to_bits();
    V::from_bits(scale.to_bits().xor_masked(word.shift_left(shift), minus))
}

struct Unpack<'a, 'b, T> {
    signs: &'a SignRows<'b, T>,
    out: &'a mut [T],
}

impl<T: Real> Kernel for Unpack<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { signs, out } = self;
        let scale = <T::V<S>>::splat(T::from_f64(signs.scale));
        for (r, row) in out.chunks_exact_mut(signs.width).enumerate() {
            let (words, shift) = signs.locate(r);
            for p in (0..signs.width).step_by(<T::V<S> as Vector>::LANES) {
                // SAFETY: `unpack` checked that the row has words; both have `width` lanes, a multiple of a vector's.
                unsafe { signed(words.add(p), shift, scale).store(row.as_mut_ptr().add(p)) };
            }
        }
    }
}
