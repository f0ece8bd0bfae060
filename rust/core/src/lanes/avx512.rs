//! 512-bit vectors.
//!
//! The functions are safe to name but run AVX-512 instructions: they are only reached through [`super::dispatch`],
//! which has asked the machine first. That is the ground of every `unsafe` block below.

use super::math::vector_traits;
use super::{Bits, Bits64, Float, Simd, avx2};
use std::arch::x86_64::*;

/// Registers of 512 bits.
#[derive(Clone, Copy, Debug)]
pub struct Avx512;

/// Eight `f64`.
#[derive(Clone, Copy, Debug)]
pub struct F64x8(__m512d);
/// Sixteen `f32`.
#[derive(Clone, Copy, Debug)]
pub struct F32x16(__m512);
/// Eight `u64`.
#[derive(Clone, Copy, Debug)]
pub struct U64x8(__m512i);
/// Sixteen `u32`.
#[derive(Clone, Copy, Debug)]
pub struct U32x16(__m512i);

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
                Self(unsafe { _mm512_and_si512(self.0, b.0) })
            }
            #[inline(always)]
            fn or(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm512_or_si512(self.0, b.0) })
            }
            #[inline(always)]
            fn xor(self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm512_xor_si512(self.0, b.0) })
            }
            #[inline(always)]
            fn xor3(self, b: Self, c: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(self.0, b.0, c.0) })
            }
            #[inline(always)]
            fn xor_masked(self, b: Self, mask: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm512_ternarylogic_epi64::<0x78>(self.0, b.0, mask.0) })
            }
            #[inline(always)]
            fn pick(self, a: Self, b: Self) -> Self {
                // SAFETY: see the head of this file.
                Self(unsafe { _mm512_ternarylogic_epi64::<0xca>(self.0, a.0, b.0) })
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
bits!(U64x8, i64, _mm512_set1_epi64, _mm512_add_epi64, _mm512_sub_epi64, _mm512_sll_epi64, _mm512_srl_epi64);
bits!(U32x16, i32, _mm512_set1_epi32, _mm512_add_epi32, _mm512_sub_epi32, _mm512_sll_epi32, _mm512_srl_epi32);

impl Bits64 for U64x8 {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn load(x: *const u64) -> Self {
        // SAFETY: the caller's promise, and see the head of this file.
        Self(unsafe { _mm512_loadu_si512(x.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, x: *mut u64) {
        // SAFETY: the caller's promise, and see the head of this file.
        unsafe { _mm512_storeu_si512(x.cast(), self.0) }
    }
    #[inline(always)]
    fn mul_low(self, b: Self) -> Self {
        // SAFETY: see the head of this file.
        Self(unsafe { _mm512_mul_epu32(self.0, b.0) })
    }
}

macro_rules! floats {
    ($v:ident, $elem:ident, $bits:ident, $set1:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident,
     $sqrt:ident, $load:ident, $store:ident, $to:ident, $from:ident, $cmp:ident, $blend:ident, $min:ident, $max:ident,
     $scalef:ident) => {
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
                Self(unsafe { $blend($cmp::<_CMP_LT_OQ>(self.0, b.0), c.0, a.0) })
            }
            #[inline(always)]
            fn clamp(self, low: Self, high: Self) -> Self {
                // of a NaN and a number these give the second
                // SAFETY: see the head of this file.
                Self(unsafe { $min(high.0, $max(low.0, self.0)) })
            }
            #[inline(always)]
            fn scale_by_power(self, k: Self) -> Self {
                // one instruction for what the other instruction sets do with two factors; also rounded once
                // SAFETY: see the head of this file.
                Self(unsafe { $scalef(self.0, k.0) })
            }
        }
    };
}
#[rustfmt::skip]
floats!(F64x8, f64, U64x8, _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_fmadd_pd,
    _mm512_sqrt_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_castpd_si512, _mm512_castsi512_pd, _mm512_cmp_pd_mask,
    _mm512_mask_blend_pd, _mm512_min_pd, _mm512_max_pd, _mm512_scalef_pd);
#[rustfmt::skip]
floats!(F32x16, f32, U32x16, _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_sqrt_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_mask_blend_ps, _mm512_min_ps, _mm512_max_ps, _mm512_scalef_ps);
vector_traits!(
    F64x8,
    f64,
    8,
    U64x8,
    1 << 63,
    inline(always),
    exp64,
    sin_cos64,
    tanh64,
    sigmoid64,
    ln64,
    sum_lines64,
    transpose64
);
vector_traits!(
    F32x16,
    f32,
    16,
    U32x16,
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

/// [`super::Vector::sum_lines`], where a line is a vector: eight lines meet pair by pair, fewer are taken as halves.
#[inline(always)]
unsafe fn sum_lines64<const H: usize, const J: usize>(lines: [[F64x8; H]; J], to: *mut f64) {
    let line = |j: usize| lines[j][0].0;
    // SAFETY: the caller's promise, and see the head of this file.
    unsafe {
        if J < 8 {
            let halves = std::array::from_fn(|j| {
                [avx2::F64x4(_mm512_castpd512_pd256(line(j))), avx2::F64x4(_mm512_extractf64x4_pd::<1>(line(j)))]
            });
            return avx2::sum_lines64::<2, J>(halves, to);
        }
        // Quarters are of 128 bits. First halves of both lines, then second halves: four numbers of each are left.
        let four = |a, b| {
            _mm512_add_pd(_mm512_shuffle_f64x2::<0b01_00_01_00>(a, b), _mm512_shuffle_f64x2::<0b11_10_11_10>(a, b))
        };
        // Even quarters, then odd ones: two numbers of each line are left.
        let two = |a, b| {
            _mm512_add_pd(_mm512_shuffle_f64x2::<0b10_00_10_00>(a, b), _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b))
        };
        let even = two(four(line(0), line(2)), four(line(4), line(6)));
        let odd = two(four(line(1), line(3)), four(line(5), line(7)));
        _mm512_storeu_pd(to, _mm512_add_pd(_mm512_unpacklo_pd(even, odd), _mm512_unpackhi_pd(even, odd)));
    }
}

/// The same.
#[inline(always)]
unsafe fn sum_lines32<const H: usize, const J: usize>(lines: [[F32x16; H]; J], to: *mut f32) {
    let line = |j: usize| lines[j][0].0;
    // SAFETY: the caller's promise, and see the head of this file.
    unsafe {
        if J < 8 {
            let halves = std::array::from_fn(|j| {
                [avx2::F32x8(_mm512_castps512_ps256(line(j))), avx2::F32x8(_mm512_extractf32x8_ps::<1>(line(j)))]
            });
            return avx2::sum_lines32::<2, J>(halves, to);
        }
        // As above: eight numbers of each line are left, then four.
        let eight = |a, b| {
            _mm512_add_ps(_mm512_shuffle_f32x4::<0b01_00_01_00>(a, b), _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
        };
        let four = |a, b| {
            _mm512_add_ps(_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b))
        };
        let even = four(eight(line(0), line(2)), eight(line(4), line(6)));
        let odd = four(eight(line(1), line(3)), eight(line(5), line(7)));
        // In each quarter two numbers of an even line and of the next one, then one of each, twice.
        let two =
            _mm512_add_ps(_mm512_shuffle_ps::<0b01_00_01_00>(even, odd), _mm512_shuffle_ps::<0b11_10_11_10>(even, odd));
        let one =
            _mm512_add_ps(_mm512_shuffle_ps::<0b10_00_10_00>(two, two), _mm512_shuffle_ps::<0b11_01_11_01>(two, two));
        let first = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13);
        _mm256_storeu_ps(to, _mm512_castps512_ps256(_mm512_permutexvar_ps(first, one)));
    }
}

/// [`super::Vector::transpose8`], where a row is a vector.
#[inline(always)]
unsafe fn transpose64(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
    // SAFETY: the caller's promise, and see the head of this file.
    unsafe {
        let row = |i: usize| _mm512_loadu_pd(from.add(i * from_stride));
        // Pairs of rows, their even and their odd columns; then the quarters of 128 bits are dealt out.
        let even: [__m512d; 4] = std::array::from_fn(|k| _mm512_unpacklo_pd(row(2 * k), row(2 * k + 1)));
        let odd: [__m512d; 4] = std::array::from_fn(|k| _mm512_unpackhi_pd(row(2 * k), row(2 * k + 1)));
        for (first, [a, b, c, d]) in [(0, even), (1, odd)] {
            let store = |column: usize, x| _mm512_storeu_pd(to.add((column + first) * to_stride), x);
            let (low, high) = (_mm512_shuffle_f64x2::<0x44>(a, b), _mm512_shuffle_f64x2::<0x44>(c, d));
            store(0, _mm512_shuffle_f64x2::<0x88>(low, high));
            store(2, _mm512_shuffle_f64x2::<0xdd>(low, high));
            let (low, high) = (_mm512_shuffle_f64x2::<0xee>(a, b), _mm512_shuffle_f64x2::<0xee>(c, d));
            store(4, _mm512_shuffle_f64x2::<0x88>(low, high));
            store(6, _mm512_shuffle_f64x2::<0xdd>(low, high));
        }
    }
}

impl Simd for Avx512 {
    type F64 = F64x8;
    type F32 = F32x16;
    type U64 = U64x8;
    type U32 = U32x16;

    #[inline(always)]
    fn interleave(even: U64x8, odd: U64x8) -> U32x16 {
        // SAFETY: see the head of this file.
        U32x16(unsafe { _mm512_mask_blend_epi32(0xaaaa, even.0, _mm512_slli_epi64::<32>(odd.0)) })
    }
    #[inline(always)]
    fn unsigned_to_f32(x: U32x16) -> F32x16 {
        // SAFETY: see the head of this file.
        F32x16(unsafe { _mm512_cvtepu32_ps(x.0) })
    }
    #[inline(always)]
    fn signed_to_f32(x: U32x16) -> F32x16 {
        // SAFETY: see the head of this file.
        F32x16(unsafe { _mm512_cvtepi32_ps(x.0) })
    }
    #[inline(always)]
    fn widen(x: F32x16) -> [F64x8; 2] {
        // SAFETY: see the head of this file.
        unsafe {
            [
                F64x8(_mm512_cvtps_pd(_mm512_castps512_ps256(x.0))),
                F64x8(_mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(x.0))),
            ]
        }
    }
    #[inline(always)]
    fn lookup16(index: U64x8, table: &[f64; 16]) -> F64x8 {
        // SAFETY: the table has two times eight elements; and see the head of this file.
        unsafe {
            let (low, high) = (_mm512_loadu_pd(table.as_ptr()), _mm512_loadu_pd(table.as_ptr().add(8)));
            F64x8(_mm512_permutex2var_pd(low, index.0, high))
        }
    }
    #[inline(always)]
    fn lookup8(index: U32x16, table: &[f32; 8]) -> F32x16 {
        // the permutation reads four bits of the index, so the table stands in the register twice
        // SAFETY: the table has eight elements; and see the head of this file.
        unsafe {
            let half = _mm256_loadu_ps(table.as_ptr());
            let twice = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(half), half);
            F32x16(_mm512_permutexvar_ps(index.0, twice))
        }
    }
    #[inline(always)]
    fn split_f64(x: F64x8) -> (F64x8, F64x8) {
        // x times the f64 next to 4/3 reaches the next power of two exactly when the mantissa reaches 1.5
        // SAFETY: see the head of this file.
        unsafe {
            let k = _mm512_getexp_pd(_mm512_mul_pd(x.0, _mm512_set1_pd(4.0 / 3.0)));
            let z = _mm512_getmant_pd::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_SRC>(x.0);
            (F64x8(k), F64x8(z))
        }
    }
    #[inline(always)]
    fn split_f32(x: F32x16) -> (F32x16, F32x16) {
        // SAFETY: see the head of this file.
        unsafe {
            let k = _mm512_getexp_ps(_mm512_mul_ps(x.0, _mm512_set1_ps(4.0 / 3.0)));
            let z = _mm512_getmant_ps::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_SRC>(x.0);
            (F32x16(k), F32x16(z))
        }
    }
}
