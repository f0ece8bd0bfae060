//! Box–Muller: the four words of a block into two `f64` or four `f32` normals.
//!
//! f64: with A = w0 << 32 | w1 and B = w2 << 32 | w3, the radius comes from u = 2 - 1.(top 52 bits of A), in (0, 1]; the
//! angle pi x from the low 52 bits of B, x = (those + 1/2) 2^-52 - 1/2, symmetric in (-1/2, 1/2); the sign of the cosine
//! from B's top bit. Slot 0 is the cosine's, slot 1 the sine's.
//!
//! f32: the pair (w0, w1) gives slots 0 and 1, the pair (w2, w3) slots 2 and 3. With (a, b) the pair: u = (a + 1) 2^-32,
//! in (0, 1]; x = b' 2^-32 + 2^-33 with b' the low 31 bits of b, shifted left by one and read as signed; the sign of the
//! cosine from b's top bit.
//!
//! The coefficients are minimax fits by `tools/fit_polynomials.py`, relative errors in the comments.

use crate::lanes::{Bits, Coefficients, Float, Number, Simd};
use std::f64::consts::PI;

/// 1/c by round(16 z) mod 16 for z in [0.75, 1.5), c in the middle of the bin; exactly 1 round z = 1.
const INVERSE_16: [f64; 16] = [
    1.0,
    0.9411764705882353,
    0.8888888888888888,
    0.8421052631578947,
    0.8,
    0.7619047619047619,
    0.7272727272727273,
    0.6956521739130435,
    0.6736842105263158,
    1.0,
    1.0,
    1.0,
    1.3061224489795917,
    1.2307692307692308,
    1.1428571428571428,
    1.0666666666666667,
];
/// 2 log of the above: -2 log c.
const LOG_16: [f64; 16] = [
    0.0,
    -0.12124924363286971,
    -0.23556607131276702,
    -0.34370051385331857,
    -0.4462871026284194,
    -0.5438674309672836,
    -0.6369074622370692,
    -0.725810987378737,
    -0.789987616481738,
    0.0,
    0.0,
    0.0,
    0.5341255704980903,
    0.4152787295564891,
    0.26706278524904514,
    0.12907704227514233,
];
/// 1/c by round(8 z) mod 8, for f32.
const INVERSE_8: [f32; 8] = [1.0, 0.8888889, 0.8, 0.72727275, 0.68085104, 1.0, 1.28, 1.1428572];
/// 2 log of the above.
const LOG_8: [f32; 8] = [0.0, -0.23556605, -0.44628707, -0.6369074, -0.76882344, 0.0, 0.4937201, 0.26706287];

/// -2 log(1 + r) / r on |r| <= 0.0385, error 7.4e-17.
static LOG_F64: Coefficients<[f64; 4], 9> = Coefficients::<[f64; 4], 9>::new([
    -2.0,
    0.9999999999999661,
    -0.6666666666665868,
    0.5000000003047397,
    -0.40000000044290746,
    0.3333325922740082,
    -0.2857134326518098,
    0.2506672298322378,
    -0.22288941579770052,
]);
/// The same on |r| <= 0.0715, error 2.1e-8.
static LOG_F32: Coefficients<[f32; 8], 5> =
    Coefficients::<[f32; 8], 5>::new([-2.0, 0.99999726, -0.66666275, 0.5021345, -0.40213573]);
/// sin(pi x) / x by x^2, |x| <= 1/2, error 4.0e-17.
static SIN_F64: Coefficients<[f64; 4], 9> = Coefficients::<[f64; 4], 9>::new([
    PI,
    -5.167712780049969,
    2.550164039877294,
    -0.5992645293187383,
    0.0821458865698933,
    -0.007370430478766603,
    0.00046629968878758463,
    -2.190318544831875e-05,
    7.694727554924751e-07,
]);
/// The same, error 4.3e-8.
static SIN_F32: Coefficients<[f32; 8], 5> =
    Coefficients::<[f32; 8], 5>::new([PI as f32, -5.16771, 2.5500698, -0.5982421, 0.07756039]);
/// cos(pi x) / (1/4 - x^2) by x^2, |x| <= 1/2, error 3.9e-17.
static COS_F64: Coefficients<[f64; 4], 8> = Coefficients::<[f64; 4], 8>::new([
    4.0,
    -3.7392088021786822,
    1.2780132969493234,
    -0.22899788751887054,
    0.02533096959102438,
    -0.001903669690950272,
    0.00010351520907094312,
    -4.131827922960101e-06,
]);
/// The same, error 7e-9.
static COS_F32: Coefficients<[f32; 8], 5> =
    Coefficients::<[f32; 8], 5>::new([4.0, -3.739208, 1.2779897, -0.22873855, 0.024154097]);

/// `p[i] * x[i] + c[i]`.
#[inline(always)]
fn mul_add<F: Number, const N: usize>(mut p: [F; N], x: [F; N], c: [F; N]) -> [F; N] {
    for i in 0..N {
        p[i] = p[i].mul_add(x[i], c[i]);
    }
    p
}

/// `a[i] * b[i]`.
#[inline(always)]
fn mul<F: Number, const N: usize>(mut a: [F; N], b: [F; N]) -> [F; N] {
    for i in 0..N {
        a[i] = a[i] * b[i];
    }
    a
}

/// -2 log u of positive normal `f64` lanes: not negative up to 1, and 0 at 1, because the bin round 1 has c = 1.
#[inline(always)]
pub fn minus_two_log64<S: Simd, const N: usize>(u: [S::F64; N]) -> [S::F64; N] {
    let (mut r, mut base) = (u, u);
    for i in 0..N {
        let (k, z) = S::split_f64(u[i]);
        // 1.5 * 2^48: the sum's last bit is worth 1/16
        let bin = (z + S::F64::constant(422_212_465_065_984.0)).to_bits();
        let (inverse, log) = (S::lookup16(bin, &INVERSE_16), S::lookup16(bin, &LOG_16));
        r[i] = z.mul_add(inverse, S::F64::constant(-1.0));
        base[i] = k.mul_add(S::F64::constant(-2.0 * std::f64::consts::LN_2), log);
    }
    mul_add(r, S::polynomials64(r, &LOG_F64), base)
}

/// -2 log u of `f32` lanes in (0, 1].
#[inline(always)]
fn minus_two_log32<S: Simd, const N: usize>(u: [S::F32; N]) -> [S::F32; N] {
    let (mut r, mut base) = (u, u);
    for i in 0..N {
        let (k, z) = S::split_f32(u[i]);
        // 1.5 * 2^20: the sum's last bit is worth 1/8
        let bin = (z + S::F32::constant(1_572_864.0)).to_bits();
        let (inverse, log) = (S::lookup8(bin, &INVERSE_8), S::lookup8(bin, &LOG_8));
        r[i] = z.mul_add(inverse, S::F32::constant(-1.0));
        base[i] = k.mul_add(S::F32::constant(-2.0 * std::f64::consts::LN_2), log);
    }
    mul_add(r, S::polynomials32(r, &LOG_F32), base)
}

/// `x^2`, and `1/4 - x^2` rounded once, which keeps the relative accuracy of the cosine near its zeros.
#[inline(always)]
fn squares<F: Float, const N: usize>(x: [F; N]) -> ([F; N], [F; N]) {
    let mut w = x;
    for i in 0..N {
        w[i] = (-x[i]).mul_add(x[i], F::constant(0.25));
    }
    (mul(x, x), w)
}

/// sin(pi x) and cos(pi x) of `f64` lanes, |x| <= 1/2.
#[inline(always)]
pub fn sin_cos_pi64<S: Simd, const N: usize>(x: [S::F64; N]) -> ([S::F64; N], [S::F64; N]) {
    let (v, w) = squares(x);
    (mul(x, S::polynomials64(v, &SIN_F64)), mul(w, S::polynomials64(v, &COS_F64)))
}

/// sin(pi x) and cos(pi x) of `f32` lanes, |x| <= 1/2.
#[inline(always)]
fn sin_cos_pi32<S: Simd, const N: usize>(x: [S::F32; N]) -> ([S::F32; N], [S::F32; N]) {
    let (v, w) = squares(x);
    (mul(x, S::polynomials32(v, &SIN_F32)), mul(w, S::polynomials32(v, &COS_F32)))
}

/// The low halves of two lanes joined: `high << 32 | low`.
#[inline(always)]
fn join<B: Bits>(high: B, low: B) -> B {
    B::splat(0xffff_ffff).pick(low, high.shift_left(32))
}

/// The number 1.(low 52 bits), in [1, 2).
#[inline(always)]
fn one_to_two<F: Float>(mantissa: F::Bits) -> F {
    F::from_bits(mantissa.or(F::Bits::splat(0x3ff << 52)))
}

/// The uniform in (0, 1] that a radius comes from, by the top 52 bits of A.
#[inline(always)]
pub fn radial<S: Simd>(w: &[S::U64; 4]) -> S::F64 {
    S::F64::constant(2.0) - one_to_two::<S::F64>(join(w[0], w[1]).shift_right(12))
}

/// The uniform in (-1/2, 1/2) that an angle comes from, by the low 52 bits of B.
#[inline(always)]
pub fn angular<S: Simd>(w: &[S::U64; 4]) -> S::F64 {
    let mantissa = S::U64::splat((1 << 52) - 1).pick(join(w[2], w[3]), S::U64::splat(0x3ff << 52));
    // both sums are exact
    S::F64::from_bits(mantissa) - S::F64::constant(1.5) + S::F64::constant(f64::EPSILON / 2.0)
}

/// `x` with its sign changed where B's top bit is set.
#[inline(always)]
pub fn signed_by_angle<S: Simd>(x: S::F64, w: &[S::U64; 4]) -> S::F64 {
    S::F64::from_bits(x.to_bits().xor_masked(w[2].shift_left(32), S::U64::splat(1 << 63)))
}

/// Two normals from the words of each block (high halves ignored): `[i][slot]`.
#[inline(always)]
pub fn normals64<S: Simd, const N: usize>(w: [[S::U64; 4]; N], variance: S::F64) -> [[S::F64; 2]; N] {
    let mut u = [variance; N];
    let mut x = u;
    for i in 0..N {
        u[i] = radial::<S>(&w[i]);
        x[i] = angular::<S>(&w[i]);
    }
    let mut radius = mul(minus_two_log64::<S, N>(u), [variance; N]);
    for r in &mut radius {
        *r = r.sqrt();
    }
    let (sin, cos) = sin_cos_pi64::<S, N>(x);
    let (sin, cos) = (mul(radius, sin), mul(radius, cos));
    let mut normals = [[variance; 2]; N];
    for i in 0..N {
        normals[i] = [signed_by_angle::<S>(cos[i], &w[i]), sin[i]];
    }
    normals
}

/// Four normals from the words of a block, for the even and the odd paths.
#[inline(always)]
pub fn normals32<S: Simd>(even: [S::U64; 4], odd: [S::U64; 4], variance: S::F32) -> [S::F32; 4] {
    let (w0, w1) = (S::interleave(even[0], odd[0]), S::interleave(even[1], odd[1]));
    let (w2, w3) = (S::interleave(even[2], odd[2]), S::interleave(even[3], odd[3]));
    let (a, b) = ([w0, w2], [w1, w3]);
    let unit = S::F32::constant(1.0 / 4_294_967_296.0);
    let (mut u, mut x) = ([variance; 2], [variance; 2]);
    for i in 0..2 {
        u[i] = S::unsigned_to_f32(a[i]).mul_add(unit, unit);
        x[i] = S::signed_to_f32(b[i].shift_left(1)).mul_add(unit, S::F32::constant(0.5 / 4_294_967_296.0));
    }
    let radius = mul(minus_two_log32::<S, 2>(u), [variance; 2]);
    let radius = [radius[0].sqrt(), radius[1].sqrt()];
    let (sin, cos) = sin_cos_pi32::<S, 2>(x);
    let (sin, cos) = (mul(radius, sin), mul(radius, cos));
    let top = S::U32::splat(1 << 31);
    let signed = [cos[0].to_bits().xor_masked(b[0], top), cos[1].to_bits().xor_masked(b[1], top)];
    [S::F32::from_bits(signed[0]), sin[0], S::F32::from_bits(signed[1]), sin[1]]
}

/// A uniform in (0, 1) from the top 52 bits of `high << 32 | low`.
#[inline(always)]
pub fn uniform<S: Simd>(high: S::U64, low: S::U64) -> S::F64 {
    let m = one_to_two::<S::F64>(join(high, low).shift_right(12));
    m - S::F64::constant(1.0) + S::F64::constant(f64::EPSILON / 2.0)
}

/// Two uniforms in (0, 1), from A and from B.
#[inline(always)]
pub fn uniforms<S: Simd>(w: [S::U64; 4]) -> [S::F64; 2] {
    [uniform::<S>(w[0], w[1]), uniform::<S>(w[2], w[3])]
}
