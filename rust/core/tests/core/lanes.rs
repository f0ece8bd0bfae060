//! The elementary functions: accuracy, special values, and the same bits on every instruction set and for one lane.

use optsde_core::lanes::{Isa, Kernel, Number, Real, Simd, Vector, available, dispatch, line, with_isa};

struct Apply<'a, T> {
    x: &'a [T],
    /// exp, sin, cos, sqrt, abs, quotient, mul_add, negation, ln
    out: &'a mut [Vec<T>; 9],
}

impl<T: Real> Kernel for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let third = T::V::<S>::constant(1.0 / 3.0);
        for i in (0..self.x.len()).step_by(T::V::<S>::LANES) {
            // SAFETY: the lengths are multiples of 16.
            let x = unsafe { T::V::<S>::load(self.x.as_ptr().add(i)) };
            let (sin, cos) = x.sin_cos();
            let rest = [x.exp(), sin, cos, x.sqrt(), x.abs(), third / x, x.mul_add(x, third), -x, x.ln()];
            for (out, y) in self.out.iter_mut().zip(rest) {
                // SAFETY: as above.
                unsafe { y.store(out.as_mut_ptr().add(i)) };
            }
        }
    }
}

fn apply<T: Real>(isa: Isa, x: &[T]) -> [Vec<T>; 9] {
    let mut out = std::array::from_fn(|_| vec![T::default(); x.len()]);
    with_isa(isa, || dispatch(Apply { x, out: &mut out }));
    out
}

/// Special values first, then values of all sizes.
fn arguments(n: usize) -> Vec<f64> {
    let mut x = vec![0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE];
    x.extend([
        709.78, 709.79, 710.5, -708.4, -708.5, -745.1, -745.2, -1e300, 1e300, 5e-324, 88.72, 88.73, -103.9, -104.1,
    ]);
    x.extend([-87.3, -87.4, 1e5, -1e5, 1e12, 1e15, 3e18, std::f64::consts::FRAC_PI_4, std::f64::consts::FRAC_PI_2]);
    let mut state = 1_u64;
    while x.len() < n {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let u = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        x.push(u * [2.0, 20.0, 1500.0, 2e5][x.len() % 4]);
    }
    x
}

#[test]
fn f64_functions_are_accurate() {
    let x = arguments(400_000);
    for isa in available() {
        let [exp, sin, cos, ..] = apply(isa, &x);
        for (i, &x) in x.iter().enumerate() {
            let exact = x.exp();
            let close = (exp[i] - exact).abs() <= 2.0 * f64::EPSILON * exact + 5e-324;
            assert!(close || exp[i] == exact || exact.is_nan() && exp[i].is_nan(), "exp {x}: {} {exact}", exp[i]);
            if !x.is_finite() {
                assert!(sin[i].is_nan() && cos[i].is_nan());
            } else if x.abs() < 1e12 {
                assert!((sin[i] - x.sin()).abs() <= 2.5e-16, "sin {x}: {} {}", sin[i], x.sin());
                assert!((cos[i] - x.cos()).abs() <= 2.5e-16, "cos {x}: {} {}", cos[i], x.cos());
            } else {
                assert!(sin[i].abs() <= 1.0 && cos[i].abs() <= 1.0, "{x}");
            }
        }
    }
}

#[test]
fn f32_functions_are_accurate() {
    let x: Vec<f32> = arguments(400_000).into_iter().map(|x| x as f32).collect();
    for isa in available() {
        let [exp, sin, cos, ..] = apply(isa, &x);
        for (i, &x) in x.iter().enumerate() {
            let exact = f64::from(x).exp();
            let close = (f64::from(exp[i]) - exact).abs() <= 2.0 * f64::from(f32::EPSILON) * exact + 1.5e-45;
            assert!(close || exp[i] == exact as f32 || x.is_nan() && exp[i].is_nan(), "exp {x}: {} {exact}", exp[i]);
            let (s, c) = f64::from(x).sin_cos();
            if !x.is_finite() {
                assert!(sin[i].is_nan() && cos[i].is_nan());
            } else if x.abs() <= 1e5 {
                assert!((f64::from(sin[i]) - s).abs() <= 1.3e-7, "sin {x}: {} {s}", sin[i]);
                assert!((f64::from(cos[i]) - c).abs() <= 1.3e-7, "cos {x}: {} {c}", cos[i]);
            } else {
                assert!(sin[i].abs() <= 1.0 && cos[i].abs() <= 1.0, "{x}");
            }
        }
    }
}

/// Numbers of all sizes, many of them near 1, subnormal ones, and what has no logarithm.
fn positive(n: usize) -> Vec<f64> {
    let mut x = vec![0.0, -0.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, 0.75, 1.5, f64::MAX];
    x.extend([f64::MIN_POSITIVE, 5e-324, 1e-310, f32::MIN_POSITIVE.into(), 1e-45, 3e-41, f32::MAX.into(), 2.0]);
    for edge in [0.75_f64, 1.0, 1.5, 2.0] {
        x.extend((-8..=8_i64).map(|i| f64::from_bits(edge.to_bits().wrapping_add_signed(i))));
    }
    for y in arguments(n - x.len()).into_iter().filter(|y| y.is_finite()) {
        x.push(1.0 + 1e-3 * y.sin());
        x.push((0.1 * y).clamp(-700.0, 700.0).exp());
    }
    x.truncate(x.len() / 16 * 16);
    x
}

#[test]
fn logarithms_are_accurate() {
    let x = positive(100_000);
    let narrow: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    for isa in available() {
        let [.., ln] = apply(isa, &x);
        for (&x, &y) in x.iter().zip(&ln) {
            let exact = x.ln();
            let close = (y - exact).abs() <= 4.0 * f64::EPSILON * exact.abs();
            assert!(close || y == exact || y.is_nan() && exact.is_nan(), "ln {x}: {y} {exact}");
        }
        let [.., ln] = apply(isa, &narrow);
        for (&x, &y) in narrow.iter().zip(&ln) {
            let exact = f64::from(x).ln();
            let close = (f64::from(y) - exact).abs() <= 4.0 * f64::from(f32::EPSILON) * exact.abs();
            assert!(close || y == exact as f32 || y.is_nan() && exact.is_nan(), "ln {x}: {y} {exact}");
        }
    }
}

/// Bits, all NaNs alike: their signs and payloads are left open.
fn bits64(x: f64) -> u64 {
    if x.is_nan() { 1 } else { x.to_bits() }
}

#[test]
fn every_instruction_set_and_one_lane_give_the_same_bits() {
    let x = arguments(40_000);
    let narrow: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    for isa in available() {
        for (f, y) in apply(isa, &x).iter().enumerate() {
            for (&x, &y) in x.iter().zip(y) {
                assert_eq!(bits64(y), bits64(one_lane(x, f)), "{isa:?} function {f} of {x}");
            }
        }
        for (f, y) in apply(isa, &narrow).iter().enumerate() {
            for (&x, &y) in narrow.iter().zip(y) {
                assert_eq!(bits64(y.into()), bits64(one_lane(x, f).into()), "{isa:?} function {f} of {x}");
            }
        }
    }
}

/// What [`Apply`] does, on one plain float.
fn one_lane<T: Real + Number>(x: T, f: usize) -> T {
    let third = T::constant(1.0 / 3.0);
    let absolute = if x.to_f64().is_sign_negative() { -x } else { x };
    match f {
        0 => x.exp(),
        1 => x.sin_cos().0,
        2 => x.sin_cos().1,
        3 => x.sqrt(),
        4 => absolute,
        5 => third / x,
        6 => x.mul_add(x, third),
        7 => -x,
        _ => Number::ln(x),
    }
}

struct SumLines<'a, T> {
    x: &'a [T],
    /// Sums of lots of one, two, four and eight lines.
    out: &'a mut [Vec<T>; 4],
}

impl<T: Real> SumLines<'_, T> {
    #[inline(always)]
    fn lots<V: Vector<Elem = T>, const H: usize, const J: usize>(&mut self, out: usize) {
        for first in (0..self.out[out].len()).step_by(J) {
            let mut lines = [[V::constant(0.0); H]; J];
            for (i, vector) in lines.as_flattened_mut().iter_mut().enumerate() {
                // SAFETY: there are as many whole lines of numbers as sums, in whole lots.
                *vector = unsafe { V::load(self.x.as_ptr().add(first * H * V::LANES + i * V::LANES)) };
            }
            // SAFETY: as above.
            unsafe { V::sum_lines(lines, self.out[out].as_mut_ptr().add(first)) };
        }
    }

    #[inline(always)]
    fn all<V: Vector<Elem = T>, const H: usize>(&mut self) {
        self.lots::<V, H, 1>(0);
        self.lots::<V, H, 2>(1);
        self.lots::<V, H, 4>(2);
    }
}

impl<T: Real> Kernel for SumLines<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        if T::V::<S>::LANES == line::<T>() {
            self.all::<T::V<S>, 1>();
            self.lots::<T::V<S>, 1, 8>(3);
        } else {
            self.all::<T::V<S>, 2>();
            self.out[3] = self.out[0].clone();
        }
    }
}

/// Halves of each line added until one number is left.
fn check_sums_of_lines<T: Real>() {
    let x: Vec<T> = arguments(16 * line::<T>() + 31)[31..].iter().map(|x| T::from_f64(*x)).collect();
    let exact: Vec<T> = x
        .chunks_exact(line::<T>())
        .map(|numbers| {
            let mut left = numbers.to_vec();
            while left.len() > 1 {
                let (a, b) = left.split_at(left.len() / 2);
                left = a.iter().zip(b).map(|(a, b)| *a + *b).collect();
            }
            left[0]
        })
        .collect();
    for isa in available() {
        let mut out = std::array::from_fn(|_| vec![T::default(); 16]);
        with_isa(isa, || dispatch(SumLines { x: &x, out: &mut out }));
        for sums in out {
            assert_eq!(sums, exact, "{isa:?}");
        }
    }
}

#[test]
fn sums_along_lines_are_of_halves() {
    check_sums_of_lines::<f64>();
    check_sums_of_lines::<f32>();
}
