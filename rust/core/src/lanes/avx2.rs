//! 256-bit vectors with fused multiply-add.
//!
//! The functions are safe to name but run AVX2 and FMA instructions: they are only reached through [`super::dispatch`],
//! which has asked the machine first. That is the ground of every `unsafe` block below.

use super::math::{scale32, scale64, vector_traits};
use super::polynomials::horner;
use super::{Bits, Bits64, Coefficients, Float, Simd};
use std::arch::x86_64::*;

/// Registers of 256 bits.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

/// Four `f64`.
#[derive(Clone, Copy, Debug)]
pub struct F64x4(pub(super) __m256d);
/// Eight `f32`.
#[derive(Clone, Copy, Debug)]
pub struct F32x8(pub(super) __m256);
/// Four `u64`.
#[derive(Clone, Copy, Debug)]
pub struct U64x4(__m256i);
/// Eight `u32`.
#[derive(Clone, Copy, Debug)]
pub struct U32x8(__m256i);

macro_rules! bits {
    ($v:ident, $elem:ty, $set1:ident, $add:ident, $sub:ident, $sll:ident, $srl:ident) => {
        impl Bits for $v {
            #[inline(always)]
            fn splat(x: u64) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $set1(x as $elem) })
            }
            #[inline(always)]
            fn add_wrap(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $add(self.0, b.0) })
            }
            #[inline(always)]
            fn sub_wrap(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $sub(self.0, b.0) })
            }
            #[inline(always)]
            fn and(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm256_and_si256(self.0, b.0) })
            }
            #[inline(always)]
            fn or(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm256_or_si256(self.0, b.0) })
            }
            #[inline(always)]
            fn xor(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm256_xor_si256(self.0, b.0) })
            }
            #[inline(always)]
            fn shift_left(self, n: u32) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $sll(self.0, _mm_cvtsi32_si128(n as i32)) })
            }
            #[inline(always)]
            fn shift_right(self, n: u32) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $srl(self.0, _mm_cvtsi32_si128(n as i32)) })
            }
        }
    };
}
bits!(U64x4, i64, _mm256_set1_epi64x, _mm256_add_epi64, _mm256_sub_epi64, _mm256_sll_epi64, _mm256_srl_epi64);
bits!(U32x8, i32, _mm256_set1_epi32, _mm256_add_epi32, _mm256_sub_epi32, _mm256_sll_epi32, _mm256_srl_epi32);

impl Bits64 for U64x4 {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn load(x: *const u64) -> Self {
        // SAFETY: the caller's promise, and see the head of this file.
        Self(unsafe { _mm256_loadu_si256(x.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, x: *mut u64) {
        // SAFETY: the caller's promise, and see the head of this file.
        unsafe { _mm256_storeu_si256(x.cast(), self.0) }
    }
    #[inline(always)]
    fn mul_low(self, b: Self) -> Self {
        // SAFETY: see the head of this file.
        Self(unsafe { _mm256_mul_epu32(self.0, b.0) })
    }
}

macro_rules! floats {
    ($v:ident, $elem:ident, $bits:ident, $set1:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident,
     $sqrt:ident, $load:ident, $store:ident, $to:ident, $from:ident, $cmp:ident, $blend:ident, $min:ident, $max:ident,
     $scale:ident) => {
        impl $v {
            #[inline(always)]
            fn broadcast(x: $elem) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $set1(x) })
            }
            #[inline(always)]
            fn sum(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $add(self.0, b.0) })
            }
            #[inline(always)]
            fn difference(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $sub(self.0, b.0) })
            }
            #[inline(always)]
            fn product(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $mul(self.0, b.0) })
            }
            #[inline(always)]
            fn quotient(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $div(self.0, b.0) })
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $fma(self.0, b.0, c.0) })
            }
            #[inline(always)]
            fn root(self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            unsafe fn read(x: *const $elem) -> Self {
                // SAFETY: the caller's promise, and see the head of this file.
                Self(unsafe { $load(x) })
            }
            #[inline(always)]
            unsafe fn write(self, x: *mut $elem) {
                // SAFETY: the caller's promise, and see the head of this file.
                unsafe { $store(x, self.0) }
            }
        }
        impl Float for $v {
            type Bits = $bits;
            #[inline(always)]
            fn to_bits(self) -> $bits {
                // SAFETY: see the head of this file.
                $bits(unsafe { $to(self.0) })
            }
            #[inline(always)]
            fn from_bits(bits: $bits) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $from(bits.0) })
            }
            #[inline(always)]
            fn choose_lt(self, b: Self, a: Self, c: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { $blend(c.0, a.0, $cmp::<_CMP_LT_OQ>(self.0, b.0)) })
            }
            #[inline(always)]
            fn clamp(self, low: Self, high: Self) -> Self {
                // of a NaN and a number these give the second
                // SAFETY: see the head of this file.
                Self(unsafe { $min(high.0, $max(low.0, self.0)) })
            }
            #[inline(always)]
            fn scale_by_power(self, k: Self) -> Self {
                $scale(self, k)
            }
        }
    };
}
#[rustfmt::skip]
floats!(F64x4, f64, U64x4, _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_fmadd_pd,
    _mm256_sqrt_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_castpd_si256, _mm256_castsi256_pd, _mm256_cmp_pd,
    _mm256_blendv_pd, _mm256_min_pd, _mm256_max_pd, scale64);
#[rustfmt::skip]
floats!(F32x8, f32, U32x8, _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_fmadd_ps,
    _mm256_sqrt_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmp_ps,
    _mm256_blendv_ps, _mm256_min_ps, _mm256_max_ps, scale32);
vector_traits!(
    F64x4,
    f64,
    4,
    U64x4,
    1 << 63,
    inline(always),
    exp64,
    sin_cos64,
    tanh64,
    sigmoid64,
    ln64,
    sum_lines64,
    super::lines::transpose8
);
vector_traits!(
    F32x8,
    f32,
    8,
    U32x8,
    1 << 31,
    inline(always),
    exp32,
    sin_cos32,
    tanh32,
    sigmoid32,
    ln32,
    sum_lines32,
    super::lines::transpose8
);

/// [`super::Vector::sum_lines`] of one, two or four lines, each of two vectors.
#[inline(always)]
pub(super) unsafe fn sum_lines64<const H: usize, const J: usize>(lines: [[F64x4; H]; J], to: *mut f64) {
    // SAFETY: the caller's promise, and see the head of this file.
    unsafe {
        let four = |j: usize| _mm256_add_pd(lines[j][0].0, lines[j][1].0);
        let two = |a, b| _mm256_add_pd(_mm256_permute2f128_pd::<0x20>(a, b), _mm256_permute2f128_pd::<0x31>(a, b));
        match J {
            1 => {
                let two = _mm_add_pd(_mm256_castpd256_pd128(four(0)), _mm256_extractf128_pd::<1>(four(0)));
                _mm_store_sd(to, _mm_add_sd(two, _mm_unpackhi_pd(two, two)));
            }
            2 => {
                let two = two(four(0), four(1));
                let (a, b) = (_mm256_castpd256_pd128(two), _mm256_extractf128_pd::<1>(two));
                _mm_storeu_pd(to, _mm_add_pd(_mm_unpacklo_pd(a, b), _mm_unpackhi_pd(a, b)));
            }
            _ => {
                let (even, odd) = (two(four(0), four(2)), two(four(1), four(3)));
                _mm256_storeu_pd(to, _mm256_add_pd(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd)));
            }
        }
    }
}

/// The same.
#[inline(always)]
pub(super) unsafe fn sum_lines32<const H: usize, const J: usize>(lines: [[F32x8; H]; J], to: *mut f32) {
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    // SAFETY: the caller's promise, and see the head of this file.
    unsafe {
        let eight = |j: usize| _mm256_add_ps(lines[j][0].0, lines[j][1].0);
        let four = |a, b| _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
        let one = |a, b| _mm_add_ps(_mm_shuffle_ps::<EVEN>(a, b), _mm_shuffle_ps::<ODD>(a, b));
        let halves = |x| (_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        match J {
            1 | 2 => {
                let (a, b) = halves(four(eight(0), eight(J - 1)));
                let two = _mm_add_ps(_mm_shuffle_ps::<LOW>(a, b), _mm_shuffle_ps::<HIGH>(a, b));
                let sums = one(two, two);
                if J == 1 {
                    _mm_store_ss(to, sums);
                } else {
                    _mm_storel_pd(to.cast(), _mm_castps_pd(sums));
                }
            }
            _ => {
                let (even, odd) = (four(eight(0), eight(2)), four(eight(1), eight(3)));
                let two = _mm256_add_ps(_mm256_shuffle_ps::<LOW>(even, odd), _mm256_shuffle_ps::<HIGH>(even, odd));
                let (a, b) = halves(two);
                _mm_storeu_ps(to, one(a, b));
            }
        }
    }
}

/// The same address, of which the compiler knows no more. It would know the numbers there and load each into a register, of
/// which there are not enough; as operands in memory they need none.
#[inline(always)]
fn hidden<T>(mut at: *const T) -> *const T {
    // SAFETY: no instruction is in it.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) at, options(pure, readonly, nostack, preserves_flags)) };
    at
}

impl Simd for Avx2 {
    type F64 = F64x4;
    type F32 = F32x8;
    type U64 = U64x4;
    type U32 = U32x8;

    #[inline(always)]
    fn interleave(even: U64x4, odd: U64x4) -> U32x8 {
        // SAFETY: see the head of this file.
        U32x8(unsafe { _mm256_blend_epi32::<0xaa>(even.0, _mm256_slli_epi64::<32>(odd.0)) })
    }
    #[inline(always)]
    fn unsigned_to_f32(x: U32x8) -> F32x8 {
        // the halves as exact floats, 2^23 + low and 2^39 + 2^16 high; only the last addition rounds
        // SAFETY: see the head of this file.
        unsafe {
            let low = _mm256_blend_epi16::<0xaa>(x.0, _mm256_set1_epi32(0x4b00_0000));
            let high = _mm256_or_si256(_mm256_srli_epi32::<16>(x.0), _mm256_set1_epi32(0x5300_0000));
            let high = _mm256_sub_ps(_mm256_castsi256_ps(high), _mm256_set1_ps(549_764_202_496.0)); // 2^39 + 2^23
            F32x8(_mm256_add_ps(_mm256_castsi256_ps(low), high))
        }
    }
    #[inline(always)]
    fn signed_to_f32(x: U32x8) -> F32x8 {
        // SAFETY: see the head of this file.
        F32x8(unsafe { _mm256_cvtepi32_ps(x.0) })
    }
    #[inline(always)]
    fn widen(x: F32x8) -> [F64x4; 2] {
        // SAFETY: see the head of this file.
        unsafe {
            [
                F64x4(_mm256_cvtps_pd(_mm256_castps256_ps128(x.0))),
                F64x4(_mm256_cvtps_pd(_mm256_extractf128_ps::<1>(x.0))),
            ]
        }
    }
    #[inline(always)]
    fn polynomials64<const N: usize, const K: usize>(
        x: [F64x4; N],
        c: &'static Coefficients<[f64; 4], K>,
    ) -> [F64x4; N] {
        let at = hidden(c.0.as_ptr());
        let mut p = x;
        for i in 0..N {
            // SAFETY: there are `K` coefficients of four numbers; and see the head of this file.
            [p[i]] = horner::<F64x4, 1, K>([x[i]], |k| F64x4(unsafe { _mm256_load_pd(at.add(k).cast()) }));
        }
        p
    }
    #[inline(always)]
    fn polynomials32<const N: usize, const K: usize>(
        x: [F32x8; N],
        c: &'static Coefficients<[f32; 8], K>,
    ) -> [F32x8; N] {
        let at = hidden(c.0.as_ptr());
        let mut p = x;
        for i in 0..N {
            // SAFETY: there are `K` coefficients of eight numbers; and see the head of this file.
            [p[i]] = horner::<F32x8, 1, K>([x[i]], |k| F32x8(unsafe { _mm256_load_ps(at.add(k).cast()) }));
        }
        p
    }
    #[inline(always)]
    fn lookup16(index: U64x4, table: &[f64; 16]) -> F64x4 {
        // four plain loads: a gather is many more operations where this instruction set is the best one (Zen 3)
        // SAFETY: the index is below 16; and see the head of this file.
        unsafe {
            let mut at = [0_u64; 4];
            _mm256_storeu_si256(at.as_mut_ptr().cast(), _mm256_and_si256(index.0, _mm256_set1_epi64x(15)));
            let entry = |i: usize| table.as_ptr().add(at[i] as usize);
            let low = _mm_loadh_pd(_mm_load_sd(entry(0)), entry(1));
            let high = _mm_loadh_pd(_mm_load_sd(entry(2)), entry(3));
            F64x4(_mm256_set_m128d(high, low))
        }
    }
    #[inline(always)]
    fn lookup8(index: U32x8, table: &[f32; 8]) -> F32x8 {
        // the permutation reads three bits of the index
        // SAFETY: the table has eight elements; and see the head of this file.
        F32x8(unsafe { _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), index.0) })
    }
    #[inline(always)]
    fn split_f64(x: F64x4) -> (F64x4, F64x4) {
        // the exponent of x / 0.75, counted in the bits; it becomes a number as the low bits of 2^52 + 1024 + k
        let bits = x.to_bits();
        let from_three_quarters = bits.sub_wrap(U64x4::splat(0.75f64.to_bits()));
        let z = F64x4::from_bits(bits.sub_wrap(from_three_quarters.and(U64x4::splat(0xfff << 52))));
        let k = from_three_quarters.add_wrap(U64x4::splat(1024 << 52)).shift_right(52);
        let k = F64x4::from_bits(k.or(U64x4::splat(0x433 << 52)));
        (k - F64x4::broadcast(4_503_599_627_371_520.0), z)
    }
    #[inline(always)]
    fn split_f32(x: F32x8) -> (F32x8, F32x8) {
        // SAFETY: see the head of this file.
        unsafe {
            let bits = _mm256_castps_si256(x.0);
            let from_three_quarters = _mm256_sub_epi32(bits, _mm256_set1_epi32(0.75f32.to_bits() as i32));
            let exponent = _mm256_and_si256(from_three_quarters, _mm256_set1_epi32(0xff80_0000_u32 as i32));
            let z = _mm256_castsi256_ps(_mm256_sub_epi32(bits, exponent));
            let k = _mm256_cvtepi32_ps(_mm256_srai_epi32::<23>(from_three_quarters));
            (F32x8(k), F32x8(z))
        }
    }
}
