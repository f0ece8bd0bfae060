//! Plain arrays: the instruction set of any machine.

use super::math::{scale32, scale64, vector_traits};
use super::{Bits, Bits64, Float, Simd};

/// Arrays of four `f64` and eight `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Four `f64`.
#[derive(Clone, Copy, Debug)]
pub struct F64x4([f64; 4]);
/// Eight `f32`.
#[derive(Clone, Copy, Debug)]
pub struct F32x8([f32; 8]);
/// Four `u64`.
#[derive(Clone, Copy, Debug)]
pub struct U64x4([u64; 4]);
/// Eight `u32`.
#[derive(Clone, Copy, Debug)]
pub struct U32x8([u32; 8]);

macro_rules! bits {
    ($v:ident, $elem:ident) => {
        impl $v {
            #[inline(always)]
            fn zip(self, b: Self, f: impl Fn($elem, $elem) -> $elem) -> Self {
                Self(std::array::from_fn(|i| f(self.0[i], b.0[i])))
            }
        }
        impl Bits for $v {
            #[inline(always)]
            fn splat(x: u64) -> Self {
                Self([x as $elem; _])
            }
            #[inline(always)]
            fn add_wrap(self, b: Self) -> Self {
                self.zip(b, $elem::wrapping_add)
            }
            #[inline(always)]
            fn sub_wrap(self, b: Self) -> Self {
                self.zip(b, $elem::wrapping_sub)
            }
            #[inline(always)]
            fn and(self, b: Self) -> Self {
                self.zip(b, |x, y| x & y)
            }
            #[inline(always)]
            fn or(self, b: Self) -> Self {
                self.zip(b, |x, y| x | y)
            }
            #[inline(always)]
            fn xor(self, b: Self) -> Self {
                self.zip(b, |x, y| x ^ y)
            }
            #[inline(always)]
            fn shift_left(self, n: u32) -> Self {
                Self(self.0.map(|x| x << n))
            }
            #[inline(always)]
            fn shift_right(self, n: u32) -> Self {
                Self(self.0.map(|x| x >> n))
            }
        }
    };
}
bits!(U64x4, u64);
bits!(U32x8, u32);

impl Bits64 for U64x4 {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn load(x: *const u64) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { x.cast::<[u64; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, x: *mut u64) {
        // SAFETY: the caller's promise.
        unsafe { x.cast::<[u64; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn mul_low(self, b: Self) -> Self {
        self.zip(b, |x, y| (x & 0xffff_ffff) * (y & 0xffff_ffff))
    }
}

macro_rules! floats {
    ($v:ident, $elem:ident, $lanes:expr, $bits:ident, $scale:ident) => {
        impl $v {
            #[inline(always)]
            fn zip(self, b: Self, f: impl Fn($elem, $elem) -> $elem) -> Self {
                Self(std::array::from_fn(|i| f(self.0[i], b.0[i])))
            }
            #[inline(always)]
            fn broadcast(x: $elem) -> Self {
                Self([x; _])
            }
            #[inline(always)]
            fn sum(self, b: Self) -> Self {
                self.zip(b, |x, y| x + y)
            }
            #[inline(always)]
            fn difference(self, b: Self) -> Self {
                self.zip(b, |x, y| x - y)
            }
            #[inline(always)]
            fn product(self, b: Self) -> Self {
                self.zip(b, |x, y| x * y)
            }
            #[inline(always)]
            fn quotient(self, b: Self) -> Self {
                self.zip(b, |x, y| x / y)
            }
            // Where it is no instruction that is sure to be there, it is a call: one for a vector is a fraction of the code.
            #[cfg_attr(all(target_arch = "x86_64", not(target_feature = "fma")), inline(never))]
            #[cfg_attr(not(all(target_arch = "x86_64", not(target_feature = "fma"))), inline(always))]
            fn fused(self, b: Self, c: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
            }
            #[inline(always)]
            fn root(self) -> Self {
                Self(self.0.map($elem::sqrt))
            }
            #[inline(always)]
            unsafe fn read(x: *const $elem) -> Self {
                // SAFETY: the caller's promise.
                Self(unsafe { x.cast::<[$elem; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn write(self, x: *mut $elem) {
                // SAFETY: the caller's promise.
                unsafe { x.cast::<[$elem; $lanes]>().write_unaligned(self.0) }
            }
        }
        impl Float for $v {
            type Bits = $bits;
            #[inline(always)]
            fn to_bits(self) -> $bits {
                $bits(self.0.map($elem::to_bits))
            }
            #[inline(always)]
            fn from_bits(bits: $bits) -> Self {
                Self(bits.0.map($elem::from_bits))
            }
            #[inline(always)]
            fn choose_lt(self, b: Self, a: Self, c: Self) -> Self {
                Self(std::array::from_fn(|i| if self.0[i] < b.0[i] { a.0[i] } else { c.0[i] }))
            }
            #[inline(always)]
            fn clamp(self, low: Self, high: Self) -> Self {
                let x = self.choose_lt(low, low, self);
                high.choose_lt(x, high, x)
            }
            #[inline(always)]
            fn scale_by_power(self, k: Self) -> Self {
                $scale(self, k)
            }
        }
    };
}
floats!(F64x4, f64, 4, U64x4, scale64);
floats!(F32x8, f32, 8, U32x8, scale32);
vector_traits!(
    F64x4,
    f64,
    4,
    U64x4,
    1 << 63,
    inline(never),
    exp64,
    sin_cos64,
    tanh64,
    sigmoid64,
    ln64,
    super::lines::sum_lines,
    super::lines::transpose8
);
vector_traits!(
    F32x8,
    f32,
    8,
    U32x8,
    1 << 31,
    inline(never),
    exp32,
    sin_cos32,
    tanh32,
    sigmoid32,
    ln32,
    super::lines::sum_lines,
    super::lines::transpose8
);

impl Simd for Portable {
    type F64 = F64x4;
    type F32 = F32x8;
    type U64 = U64x4;
    type U32 = U32x8;

    #[inline(always)]
    fn interleave(even: U64x4, odd: U64x4) -> U32x8 {
        U32x8(std::array::from_fn(|i| if i % 2 == 0 { even.0[i / 2] } else { odd.0[i / 2] } as u32))
    }
    #[inline(always)]
    fn unsigned_to_f32(x: U32x8) -> F32x8 {
        F32x8(x.0.map(|x| x as f32))
    }
    #[inline(always)]
    fn signed_to_f32(x: U32x8) -> F32x8 {
        F32x8(x.0.map(|x| x as i32 as f32))
    }
    #[inline(always)]
    fn widen(x: F32x8) -> [F64x4; 2] {
        [F64x4(std::array::from_fn(|i| x.0[i].into())), F64x4(std::array::from_fn(|i| x.0[4 + i].into()))]
    }
    #[inline(always)]
    fn lookup16(index: U64x4, table: &[f64; 16]) -> F64x4 {
        F64x4(index.0.map(|i| table[(i % 16) as usize]))
    }
    #[inline(always)]
    fn lookup8(index: U32x8, table: &[f32; 8]) -> F32x8 {
        F32x8(index.0.map(|i| table[(i % 8) as usize]))
    }
    #[inline(always)]
    fn split_f64(x: F64x4) -> (F64x4, F64x4) {
        let x = x.0.map(split64);
        (F64x4(x.map(|x| x.0)), F64x4(x.map(|x| x.1)))
    }
    #[inline(always)]
    fn split_f32(x: F32x8) -> (F32x8, F32x8) {
        let x = x.0.map(split32);
        (F32x8(x.map(|x| x.0)), F32x8(x.map(|x| x.1)))
    }
}

/// [`Simd::split_f64`] of one number: the exponent of `x / 0.75` counted in the bits.
#[inline(always)]
fn split64(x: f64) -> (f64, f64) {
    let k = x.to_bits().wrapping_sub(0.75f64.to_bits()) as i64 >> 52;
    (k as f64, f64::from_bits(x.to_bits().wrapping_sub((k << 52) as u64)))
}

/// [`Simd::split_f32`] of one number.
#[inline(always)]
fn split32(x: f32) -> (f32, f32) {
    let k = x.to_bits().wrapping_sub(0.75f32.to_bits()) as i32 >> 23;
    (k as f32, f32::from_bits(x.to_bits().wrapping_sub((k << 23) as u32)))
}
