//! Hyperbolic tangent and the logistic function: accuracy, special values, the same bits on every instruction set, and
//! derivatives.

use optsde_core::lanes::{Dual, Isa, Kernel, Number, Real, Simd, Vector, available, dispatch, with_isa};

struct Apply<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    logistic: bool,
}

impl<T: Real> Kernel for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        for i in (0..self.x.len()).step_by(T::V::<S>::LANES) {
            // SAFETY: the lengths are multiples of 16.
            unsafe {
                let x = T::V::<S>::load(self.x.as_ptr().add(i));
                let y = if self.logistic { x.sigmoid() } else { x.tanh() };
                y.store(self.out.as_mut_ptr().add(i));
            }
        }
    }
}

fn apply<T: Real>(isa: Isa, x: &[T]) -> Vec<T> {
    apply_either(isa, x, false)
}

fn apply_either<T: Real>(isa: Isa, x: &[T], logistic: bool) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    with_isa(isa, || dispatch(Apply { x, out: &mut out, logistic }));
    out
}

/// Special values first, then values of all sizes, dense around 0.
fn arguments(n: usize) -> Vec<f64> {
    let mut x = vec![0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE];
    x.extend([
        5e-324,
        -5e-324,
        1e-310,
        1e-40,
        f64::from(f32::MIN_POSITIVE),
        1e300,
        -1e300,
        19.0,
        20.0,
        21.0,
        9.0,
        10.0,
    ]);
    x.extend([std::f64::consts::LN_2 / 2.0, std::f64::consts::LN_2 / 4.0, std::f64::consts::SQRT_2, 1.0 + 1e-15]);
    let mut state = 1_u64;
    while x.len() < n {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let u = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        x.push(match x.len() % 6 {
            0 => u * 1e-3,
            1 => u,
            2 => u * 8.0,
            3 => u * 60.0,
            4 => 1.0 + u * 0.1,
            _ => (u * 1400.0).exp(),
        });
    }
    x
}

fn near(got: f64, exact: f64, relative: f64, x: f64) {
    let close = (got - exact).abs() <= relative * exact.abs() || got == exact || got.is_nan() && exact.is_nan();
    assert!(close, "tanh {x}: {got} {exact}, {} relative", (got - exact).abs() / exact.abs());
}

#[test]
fn f64_functions_are_accurate() {
    let x = arguments(400_000);
    for isa in available() {
        let tanh = apply(isa, &x);
        for (i, &x) in x.iter().enumerate() {
            near(tanh[i], x.tanh(), 5.5e-16, x); // the standard library's own error is 1e-16 of it
        }
    }
}

#[test]
fn f32_functions_are_accurate() {
    let x: Vec<f32> = arguments(400_000).into_iter().map(|x| x as f32).collect();
    for isa in available() {
        let tanh = apply(isa, &x);
        for (i, &x) in x.iter().enumerate() {
            let wide = f64::from(x);
            near(tanh[i].into(), f64::from(wide.tanh() as f32), 2.5e-7, wide);
        }
    }
}

/// Bits, all NaNs alike.
fn bits(x: f64) -> u64 {
    if x.is_nan() { 1 } else { x.to_bits() }
}

#[test]
fn every_instruction_set_and_one_lane_give_the_same_bits() {
    let x = arguments(40_000);
    let narrow: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    for isa in available() {
        let (tanh, tanh32) = (apply(isa, &x), apply(isa, &narrow));
        for i in 0..x.len() {
            assert_eq!(bits(tanh[i]), bits(Number::tanh(x[i])), "{isa:?} {}", x[i]);
            assert_eq!(bits(tanh32[i].into()), bits(Number::tanh(narrow[i]).into()), "{isa:?} {}", x[i]);
        }
    }
}

#[test]
fn tanh_is_odd_and_within_one() {
    for x in arguments(40_000) {
        let t = Number::tanh(x);
        assert!(t.is_nan() || t.abs() <= 1.0 && -t == Number::tanh(-x), "{x}");
    }
}

#[test]
fn the_logistic_function_is_accurate_and_has_the_same_bits_everywhere() {
    let x = arguments(100_000);
    let narrow: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    for isa in available() {
        let (wide, single) = (apply_either(isa, &x, true), apply_either(isa, &narrow, true));
        for i in 0..x.len() {
            // from there on down it stays what it is there
            let exact = |x: f64, least: f64| 1.0 / (1.0 + (-x.max(least)).exp());
            if !x[i].is_nan() {
                near(wide[i], exact(x[i], -700.0), 8e-16, x[i]);
                near(single[i].into(), exact(narrow[i].into(), -83.0), 3e-7, x[i]);
            }
            assert_eq!(bits(wide[i]), bits(Number::sigmoid(x[i])), "{isa:?} {}", x[i]);
            assert_eq!(bits(single[i].into()), bits(Number::sigmoid(narrow[i]).into()), "{isa:?} {}", x[i]);
        }
        assert!(wide[6].is_nan() && single[6].is_nan() && wide[0] == 0.5 && wide[4] == 1.0);
    }
}

#[test]
fn dual_numbers_carry_the_derivatives() {
    for x in [-1.3, -0.01, 0.4, 2.0] {
        let twice = Dual::new(Dual::new(x, 1.0), Dual::new(1.0, 0.0));
        let (t, tanh) = (f64::tanh(x), twice.tanh());
        near(tanh.eps.re, 1.0 - t * t, 1e-14, x);
        near(tanh.eps.eps, -2.0 * t * (1.0 - t * t), 1e-14, x);
        let (s, sigmoid) = (1.0 / (1.0 + f64::exp(-x)), twice.sigmoid());
        near(sigmoid.eps.re, s * (1.0 - s), 1e-14, x);
        near(sigmoid.eps.eps, s * (1.0 - s) * (1.0 - 2.0 * s), 1e-13, x);
        assert_eq!(twice.larger_value(Dual::new(Dual::new(0.1, 5.0), Dual::new(2.0, 3.0))).re.re, f64::max(x, 0.1));
        assert_eq!(twice.larger_value(twice).eps, Dual::new(0.0, 0.0));
    }
}
