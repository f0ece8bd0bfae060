//! Draws from laws of heavy tails, one to a generator block: symmetric and positive stable laws, Student's t.
//!
//! With A and B the two halves of a block as in Box–Muller, each law is a closed form in one uniform of each, so that a
//! draw takes the same random bits whatever its value. Arithmetic is of doubles; `f32` rounds the result.

use super::normal::{angular, minus_two_log64, radial, signed_by_angle, sin_cos_pi64, uniform};
use super::{Address, Emit, Generate, Rows, same};
use crate::lanes::math::exp_minus_one64;
use crate::lanes::{Number, Portable, Real, Simd, Vector, dispatch};
use std::f64::consts::{FRAC_PI_2, PI};
use std::ops::Range;

/// A law, in its standard form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeavyTails {
    /// Symmetric α-stable, `E e^{ikS} = e^{-|k|^α}`, 0 < α <= 2, by Chambers, Mallows and Stuck (1976).
    Stable(f64),
    /// `sqrt(2 A)` with A positive stable of index α/2, `E e^{-lA} = e^{-l^{α/2}}`: times a normal vector it is the
    /// isotropic α-stable vector (Kanter 1975).
    StableRadius(f64),
    /// Student's t of any positive number of degrees of freedom, by Bailey (1994): Box–Muller with a radius of
    /// heavier tail.
    Student(f64),
}

/// Writes the draws of `blocks`, one row of `width` lanes for each; lane p belongs to path `first_path + p`.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_heavy_tails<T: Real>(law: HeavyTails, address: Address, blocks: Range<u64>, width: usize, out: &mut [T]) {
    match law {
        HeavyTails::Stable(1.0) => fill(Cauchy, address, blocks, width, out),
        HeavyTails::Stable(2.0) => fill(Normal2, address, blocks, width, out),
        HeavyTails::Stable(alpha) => fill(Stable(alpha), address, blocks, width, out),
        HeavyTails::StableRadius(alpha) => fill(StableRadius(alpha), address, blocks, width, out),
        HeavyTails::Student(df) => fill(Student(df), address, blocks, width, out),
    }
}

fn fill<T: Real, L: Law>(law: L, address: Address, blocks: Range<u64>, width: usize, out: &mut [T]) {
    let count = blocks.end.saturating_sub(blocks.start);
    if let Some(out) = same::<T, f64>(out) {
        let emit = Draws { rows: Rows::new(out, count, width), law };
        dispatch(Generate { address, blocks, width, emit });
    } else if let Some(out) = same::<T, f32>(out) {
        let emit = Draws { rows: Rows::new(out, count, width), law };
        dispatch(Generate { address, blocks, width, emit });
    }
}

/// `x^p` of one positive normal number, with the bits of a lane: the same on every machine.
pub(crate) fn power(x: f64, p: f64) -> f64 {
    let [log] = minus_two_log64::<Portable, 1>([<Portable as Simd>::F64::splat(x)]);
    let mut lanes = [0.0; <Portable as Simd>::F64::LANES];
    // SAFETY: the array has as many elements as the vector has lanes.
    unsafe { (log * <Portable as Simd>::F64::constant(-0.5 * p)).exp().store(lanes.as_mut_ptr()) };
    lanes[0]
}

/// A number from the words of a block (high halves ignored).
trait Law: Copy {
    /// The numbers of `N` vectors of paths in lockstep.
    fn draw<S: Simd, const N: usize>(self, words: [[S::U64; 4]; N]) -> [S::F64; N];
}

struct Draws<T, L> {
    rows: Rows<T>,
    law: L,
}

impl<L: Law> Emit for Draws<f64, L> {
    const EVEN_ODD: bool = false;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let [a, b] = self.law.draw::<S, 2>(words);
        let at = self.rows.at(block, lane);
        // SAFETY: the row is there, and `lane` starts a whole group of lanes.
        unsafe {
            a.store(at);
            b.store(at.add(S::F64::LANES));
        }
    }
}

impl<L: Law> Emit for Draws<f32, L> {
    const EVEN_ODD: bool = false;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let mut wide = [0.0_f64; 16];
        let [a, b] = self.law.draw::<S, 2>(words);
        // SAFETY: the array has room for two of the longest vectors.
        unsafe {
            a.store(wide.as_mut_ptr());
            b.store(wide.as_mut_ptr().add(S::F64::LANES));
        }
        let at = self.rows.at(block, lane);
        for (i, x) in wide[..2 * S::F64::LANES].iter().enumerate() {
            // SAFETY: the row is there, and `lane` starts a whole group of lanes.
            unsafe { at.add(i).write(*x as f32) };
        }
    }
}

/// An exponential variable of mean 1, never 0: from a uniform in (0, 1) by the top 52 bits of A.
#[inline(always)]
fn exponential<S: Simd, const N: usize>(w: &[[S::U64; 4]; N]) -> [S::F64; N] {
    let mut u = [S::F64::constant(0.0); N];
    for i in 0..N {
        u[i] = uniform::<S>(w[i][0], w[i][1]);
    }
    let mut e = minus_two_log64::<S, N>(u);
    for e in &mut e {
        *e = *e * S::F64::constant(0.5);
    }
    e
}

/// The angle of each block over pi, in (-1/2, 1/2).
#[inline(always)]
fn angles<S: Simd, const N: usize>(w: &[[S::U64; 4]; N]) -> [S::F64; N] {
    let mut x = [S::F64::constant(0.0); N];
    for i in 0..N {
        x[i] = angular::<S>(&w[i]);
    }
    x
}

/// `sin(αV)/cos(V)^{1/α} (cos((1-α)V)/E)^{(1-α)/α}`, V uniform in (-π/2, π/2), E exponential; the powers in one
/// exponential of logarithms.
#[derive(Clone, Copy)]
struct Stable(f64);

impl Law for Stable {
    #[inline(always)]
    fn draw<S: Simd, const N: usize>(self, w: [[S::U64; 4]; N]) -> [S::F64; N] {
        let alpha = self.0;
        let (e, x) = (exponential::<S, N>(&w), angles::<S, N>(&w));
        let (_, cos) = sin_cos_pi64::<S, N>(x);
        let (mut ratio, mut out) = (x, x);
        for i in 0..N {
            ratio[i] = (x[i] * S::F64::constant((1.0 - alpha) * PI)).sin_cos().1 / e[i];
            out[i] = (x[i] * S::F64::constant(alpha * PI)).sin_cos().0;
        }
        let (of_cos, of_ratio) = (minus_two_log64::<S, N>(cos), minus_two_log64::<S, N>(ratio));
        let (a, b) = (S::F64::constant(0.5 / alpha), S::F64::constant(0.5 * (alpha - 1.0) / alpha));
        for i in 0..N {
            out[i] = out[i] * a.mul_add(of_cos[i], b * of_ratio[i]).exp();
        }
        out
    }
}

/// α = 1: `tan V`.
#[derive(Clone, Copy)]
struct Cauchy;

impl Law for Cauchy {
    #[inline(always)]
    fn draw<S: Simd, const N: usize>(self, w: [[S::U64; 4]; N]) -> [S::F64; N] {
        let (mut sin, cos) = sin_cos_pi64::<S, N>(angles::<S, N>(&w));
        for i in 0..N {
            sin[i] = sin[i] / cos[i];
        }
        sin
    }
}

/// α = 2: `2 sqrt(E) sin V`, a normal of variance 2.
#[derive(Clone, Copy)]
struct Normal2;

impl Law for Normal2 {
    #[inline(always)]
    fn draw<S: Simd, const N: usize>(self, w: [[S::U64; 4]; N]) -> [S::F64; N] {
        let (e, (mut sin, _)) = (exponential::<S, N>(&w), sin_cos_pi64::<S, N>(angles::<S, N>(&w)));
        for i in 0..N {
            sin[i] = sin[i] * (e[i] * S::F64::constant(4.0)).sqrt();
        }
        sin
    }
}

/// `sqrt(2 A)`, `A = sin(aU)/sin(U)^{1/a} (sin((1-a)U)/E)^{(1-a)/a}`, a = α/2, U uniform in (0, π).
#[derive(Clone, Copy)]
struct StableRadius(f64);

impl Law for StableRadius {
    #[inline(always)]
    fn draw<S: Simd, const N: usize>(self, w: [[S::U64; 4]; N]) -> [S::F64; N] {
        let a = 0.5 * self.0;
        let x = angles::<S, N>(&w);
        if a == 1.0 {
            return [S::F64::constant(std::f64::consts::SQRT_2); N];
        }
        // sin U = cos(U - π/2), which keeps its accuracy at both ends
        let (e, (_, sine)) = (exponential::<S, N>(&w), sin_cos_pi64::<S, N>(x));
        let (mut ratio, mut out) = (x, x);
        for i in 0..N {
            let u = x[i] + S::F64::constant(0.5);
            ratio[i] = (u * S::F64::constant((1.0 - a) * PI)).sin_cos().0 / e[i];
            let twice = (u * S::F64::constant(a * PI)).sin_cos().0 * S::F64::constant(2.0);
            out[i] = twice.sqrt();
        }
        let (of_sine, of_ratio) = (minus_two_log64::<S, N>(sine), minus_two_log64::<S, N>(ratio));
        let (p, q) = (S::F64::constant(0.25 / a), S::F64::constant(0.25 * (a - 1.0) / a));
        for i in 0..N {
            out[i] = out[i] * p.mul_add(of_sine[i], q * of_ratio[i]).exp();
        }
        out
    }
}

/// `sqrt(ν (u^{-2/ν} - 1)) cos(2πv)`: with `r² = -2 log u`, Box–Muller's, the radius is `sqrt(ν (e^{r²/ν} - 1))`.
#[derive(Clone, Copy)]
struct Student(f64);

impl Law for Student {
    #[inline(always)]
    fn draw<S: Simd, const N: usize>(self, w: [[S::U64; 4]; N]) -> [S::F64; N] {
        let (df, inverse) = (S::F64::constant(self.0), S::F64::constant(1.0 / self.0));
        let mut u = [df; N];
        for i in 0..N {
            u[i] = radial::<S>(&w[i]);
        }
        let (square, (_, mut cos)) = (minus_two_log64::<S, N>(u), sin_cos_pi64::<S, N>(angles::<S, N>(&w)));
        for i in 0..N {
            let radius = (df * exp_minus_one64(square[i] * inverse)).sqrt();
            cos[i] = signed_by_angle::<S>(radius * cos[i], &w[i]);
        }
        cos
    }
}

/// Draw number `block` of path `first_path`, by other means than [`fill_heavy_tails`]: the scalar generator and the
/// standard library's functions. For tests; equal up to rounding.
pub fn heavy_tails_at(law: HeavyTails, address: Address, block: u64) -> f64 {
    let [w0, w1, w2, w3] = address.words(block, 0).map(u64::from);
    let (a, b) = (w0 << 32 | w1, w2 << 32 | w3);
    let unit = f64::EPSILON; // 2^-52
    let e = -(((a >> 12) as f64 + 0.5) * unit).ln();
    let x = ((b & ((1 << 52) - 1)) as f64 + 0.5) * unit - 0.5;
    let v = PI * x;
    match law {
        HeavyTails::Stable(alpha) => {
            let power = (1.0 - alpha) / alpha;
            (alpha * v).sin() / v.cos().powf(1.0 / alpha) * (((1.0 - alpha) * v).cos() / e).powf(power)
        }
        HeavyTails::StableRadius(alpha) => {
            let (half, u) = (alpha / 2.0, v + FRAC_PI_2);
            let power = (1.0 - half) / half;
            let ratio = (((1.0 - half) * u).sin() / e).powf(power);
            (2.0 * (half * u).sin() / u.sin().powf(1.0 / half) * ratio).sqrt()
        }
        HeavyTails::Student(df) => {
            let u = 1.0 - (a >> 12) as f64 * unit;
            let sign = if b >> 63 == 1 { -1.0 } else { 1.0 };
            sign * (df * (-2.0 / df * u.ln()).exp_m1()).sqrt() * v.cos()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        for x in [1e-100, 1e-6, 0.3, 0.999_999, 1.0, 1.25, 7.0, 1e5] {
            for p in [-2.0, -0.5, 0.0, 1.0 / 3.0, 1.0, 1.9] {
                let exact = f64::powf(x, p);
                assert!((power(x, p) - exact).abs() <= 4e-16 * exact * (1.0 + exact.ln().abs()), "{x}^{p}");
            }
        }
    }

    /// Every law at the ends of the uniforms: the smallest and largest radius, the steepest angles.
    #[test]
    fn corners_are_finite() {
        type V = <Portable as Simd>::F64;
        for (high, angle) in
            [(0_u64, 0_u64), (0, u32::MAX.into()), (u32::MAX.into(), 0), (u32::MAX.into(), u32::MAX.into())]
        {
            let lanes = [high; V::LANES];
            let angles = [angle; V::LANES];
            // SAFETY: the arrays have as many elements as the vector has lanes.
            let (a, b) = unsafe {
                use crate::lanes::Bits64;
                type U = <Portable as Simd>::U64;
                (U::load(lanes.as_ptr()), U::load(angles.as_ptr()))
            };
            let words = [[a, a, b, b]];
            let mut drawn = Vec::new();
            for alpha in [0.3, 0.99, 1.01, 1.5, 1.999] {
                drawn.extend(Stable(alpha).draw::<Portable, 1>(words));
                drawn.extend(StableRadius(alpha).draw::<Portable, 1>(words));
            }
            for df in [0.5, 2.1, 1e9] {
                drawn.extend(Student(df).draw::<Portable, 1>(words));
            }
            drawn.extend(Cauchy.draw::<Portable, 1>(words));
            drawn.extend(Normal2.draw::<Portable, 1>(words));
            for x in drawn {
                let mut out = [0.0; V::LANES];
                // SAFETY: as above.
                unsafe { x.store(out.as_mut_ptr()) };
                assert!(out.iter().all(|x| x.is_finite()), "{out:?}");
            }
        }
    }
}
