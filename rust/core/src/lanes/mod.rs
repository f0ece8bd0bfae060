//! SIMD lanes: one lane is one path. Kernels are written once over [`Simd`] and run on the best instruction set.
//!
//! Every operation here is an exact integer operation or a single correctly rounded IEEE operation, so that AVX-512,
//! AVX2 and the portable arrays give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod erf;
mod lines;
pub(crate) mod math;
mod number;
mod polynomials;
mod portable;

pub use dispatch::{Isa, Kernel, available, choose, dispatch, isa, with_isa};
pub use erf::erf_erfc;
pub use lines::line;
pub(crate) use lines::transpose4;
pub use math::Float;
pub use number::{Dual, Number};
pub use polynomials::Coefficients;
pub use portable::Portable;

/// Lanes in the widest vector of the narrowest element: every block width is a multiple of it.
pub const LANE_MULTIPLE: usize = 16;

/// An element type of states: `f64` or `f32`.
pub trait Real:
    Copy + Send + Sync + PartialOrd + Default + std::fmt::Debug + std::ops::Add<Output = Self> + 'static
{
    /// The vector of this element on instruction set `S`.
    type V<S: Simd>: Vector<Elem = Self>;
    /// Bytes of one element.
    const BYTES: usize;
    /// Rounds to this type.
    fn from_f64(x: f64) -> Self;
    /// Widens exactly.
    fn to_f64(self) -> f64;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

/// Unsigned integer lanes; arithmetic wraps round.
pub trait Bits: Copy {
    /// The same value in every lane; lanes of 32 bits keep the low half of `x`.
    fn splat(x: u64) -> Self;
    /// Lane-wise sum.
    fn add_wrap(self, b: Self) -> Self;
    /// Lane-wise difference.
    fn sub_wrap(self, b: Self) -> Self;
    /// Bitwise and.
    fn and(self, b: Self) -> Self;
    /// Bitwise or.
    fn or(self, b: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, b: Self) -> Self;
    /// `self ^ b ^ c`.
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        self.xor(b).xor(c)
    }
    /// `self ^ (b & mask)`.
    #[inline(always)]
    fn xor_masked(self, b: Self, mask: Self) -> Self {
        self.xor(b.and(mask))
    }
    /// Per bit: `a` where `self` is set, else `b`.
    #[inline(always)]
    fn pick(self, a: Self, b: Self) -> Self {
        b.xor(a.xor(b).and(self))
    }
    /// Shifts left by `n` bits, `n` less than the width of a lane.
    fn shift_left(self, n: u32) -> Self;
    /// Shifts right by `n` bits, filling with zeros.
    fn shift_right(self, n: u32) -> Self;
}

/// Lanes of `u64` as the random-number generator needs them.
pub trait Bits64: Bits {
    /// How many lanes.
    const LANES: usize;
    /// Loads `LANES` elements.
    ///
    /// # Safety
    /// `x` must be valid for reading `LANES` elements; no alignment is needed.
    unsafe fn load(x: *const u64) -> Self;
    /// Stores the lanes.
    ///
    /// # Safety
    /// `x` must be valid for writing `LANES` elements; no alignment is needed.
    unsafe fn store(self, x: *mut u64);
    /// The 64-bit product of the low halves; the high halves are ignored.
    fn mul_low(self, b: Self) -> Self;
}

/// A register of floating-point lanes.
pub trait Vector: Float {
    /// What one lane holds.
    type Elem: Real;
    /// How many lanes.
    const LANES: usize;
    /// The same value in every lane.
    fn splat(x: Self::Elem) -> Self;
    /// Loads the first `LANES` elements of `x` (checked in debug builds only).
    ///
    /// # Safety
    /// `x` must be valid for reading `LANES` elements; no alignment is needed.
    unsafe fn load(x: *const Self::Elem) -> Self;
    /// Stores the lanes.
    ///
    /// # Safety
    /// `x` must be valid for writing `LANES` elements; no alignment is needed.
    unsafe fn store(self, x: *mut Self::Elem);
    /// Lane-wise absolute value.
    fn abs(self) -> Self;
    /// Writes the sum of the elements of each of `J` lines of the cache, `H` vectors a line: halves of a line are added
    /// until one number is left.
    ///
    /// # Safety
    /// `to` must be valid for `J` elements, `H` vectors are a line, and `J` is 1, 2 or 4, or 8 where a line is a vector.
    unsafe fn sum_lines<const H: usize, const J: usize>(lines: [[Self; H]; J], to: *mut Self::Elem);
    /// `to[j][i] = from[i][j]` for eight rows of eight.
    ///
    /// # Safety
    /// Rows of both must be valid for eight elements.
    unsafe fn transpose8(from: *const Self::Elem, from_stride: usize, to: *mut Self::Elem, to_stride: usize);
}

/// An instruction set: its vectors. `F64` has `N` lanes, `F32` has `2 N` lanes.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Lanes of `f64`.
    type F64: Vector<Elem = f64, Bits = Self::U64>;
    /// Lanes of `f32`, twice as many.
    type F32: Vector<Elem = f32, Bits = Self::U32>;
    /// Lanes of `u64`, as many as of `f64`.
    type U64: Bits64;
    /// Lanes of `u32`, as many as of `f32`.
    type U32: Bits;

    /// Lane `2 i` is the low half of `even`'s lane `i`, lane `2 i + 1` the low half of `odd`'s.
    fn interleave(even: Self::U64, odd: Self::U64) -> Self::U32;
    /// Lane-wise `u32` to `f32`, rounded to nearest even.
    fn unsigned_to_f32(x: Self::U32) -> Self::F32;
    /// Lane-wise `i32` (as bits) to `f32`, rounded to nearest even.
    fn signed_to_f32(x: Self::U32) -> Self::F32;
    /// The lower and the upper half of the lanes, widened exactly.
    fn widen(x: Self::F32) -> [Self::F64; 2];
    /// The polynomial with these coefficients on each of the vectors.
    #[inline(always)]
    fn polynomials64<const N: usize, const K: usize>(
        x: [Self::F64; N],
        c: &'static Coefficients<[f64; 4], K>,
    ) -> [Self::F64; N] {
        polynomials::horner::<_, N, K>(x, |k| Self::F64::splat(c.0[k][0]))
    }
    /// The polynomial with these coefficients on each of the vectors.
    #[inline(always)]
    fn polynomials32<const N: usize, const K: usize>(
        x: [Self::F32; N],
        c: &'static Coefficients<[f32; 8], K>,
    ) -> [Self::F32; N] {
        polynomials::horner::<_, N, K>(x, |k| Self::F32::splat(c.0[k][0]))
    }
    /// `table[index % 16]` per lane.
    fn lookup16(index: Self::U64, table: &[f64; 16]) -> Self::F64;
    /// `table[index % 8]` per lane.
    fn lookup8(index: Self::U32, table: &[f32; 8]) -> Self::F32;
    /// `(k, z)` with `x = 2^k z` and `z` in [0.75, 1.5), for positive normal `x`.
    fn split_f64(x: Self::F64) -> (Self::F64, Self::F64);
    /// `(k, z)` with `x = 2^k z` and `z` in [0.75, 1.5), for positive normal `x`.
    fn split_f32(x: Self::F32) -> (Self::F32, Self::F32);
}

impl Real for f64 {
    type V<S: Simd> = S::F64;
    const BYTES: usize = 8;
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

impl Real for f32 {
    type V<S: Simd> = S::F32;
    const BYTES: usize = 4;
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Split<'a> {
        x: &'a [f64],
        out: Vec<[f64; 4]>,
    }

    impl Kernel for Split<'_> {
        type Output = Vec<[f64; 4]>;
        #[inline(always)]
        fn run<S: Simd>(mut self) -> Self::Output {
            for &x in self.x {
                let mut row = [[0.0; 8]; 2];
                let mut narrow = [[0.0; 16]; 2];
                let (k, z) = S::split_f64(S::F64::splat(x));
                let (k32, z32) = S::split_f32(S::F32::splat(x as f32));
                // SAFETY: the arrays hold the longest vectors.
                unsafe {
                    k.store(row[0].as_mut_ptr());
                    z.store(row[1].as_mut_ptr());
                    k32.store(narrow[0].as_mut_ptr());
                    z32.store(narrow[1].as_mut_ptr());
                }
                self.out.push([row[0][0], row[1][0], f64::from(narrow[0][0]), f64::from(narrow[1][0])]);
            }
            self.out
        }
    }

    /// Where the mantissa passes 1.5 the exponent must step at the very same number on every instruction set.
    #[test]
    fn splits_agree_at_the_edges() {
        let mut x = Vec::new();
        for k in -60..20 {
            for m in [0.75, 1.0, 1.4, 1.5, 1.75] {
                let v = m * 2.0_f64.powi(k);
                for i in -3..=3_i64 {
                    x.push(f64::from_bits(v.to_bits().wrapping_add_signed(i)));
                    x.push(f32::from_bits((v as f32).to_bits().wrapping_add_signed(i as i32)).into());
                }
            }
        }
        for isa in available() {
            let split = with_isa(isa, || dispatch(Split { x: &x, out: Vec::new() }));
            for (&x, [k, z, k32, z32]) in x.iter().zip(split) {
                assert!((0.75..1.5).contains(&z) && (0.75..1.5).contains(&z32), "{isa:?} {x}");
                assert_eq!(z * k.exp2(), x, "{isa:?}");
                assert_eq!((z32 * k32.exp2()) as f32, x as f32, "{isa:?}");
            }
        }
    }
}
