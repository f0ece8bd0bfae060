//! Known values, and each derivative against the one below it.

use optsde_core::block::Span;
use optsde_core::error::{Error, Result};
use optsde_core::lanes::{Dual, Number, Real, available, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{
    Builtin, DoubleWell, Formula, LinearRegression, LogisticRegression, Loss, MuellerBrown, PointLoss, Quadratic,
    Quartic, Rastrigin, Rosenbrock, ScalarFactorization, SoftmaxRegression, StyblinskiTang,
};
use proptest::prelude::*;

/// Calls the function with every formula.
macro_rules! every {
    ($dim:expr, $call:ident $(, $more:expr)*) => {{
        $call(&DoubleWell::new(1.3, $dim).unwrap() $(, $more)*);
        $call(&Quartic::new(0.7, -1.1, $dim).unwrap() $(, $more)*);
        $call(&Rosenbrock::new($dim.max(2)).unwrap() $(, $more)*);
        $call(&Rastrigin::new($dim).unwrap() $(, $more)*);
        $call(&StyblinskiTang::new($dim).unwrap() $(, $more)*);
        $call(&MuellerBrown $(, $more)*);
        $call(&ScalarFactorization $(, $more)*);
    }};
}

fn builtins(dim: usize) -> Vec<Builtin> {
    let h = Matrix::from_fn(dim, dim, |i, j| 1.0 / (1.0 + (i * 3 + j) as f64));
    let center: Vec<f64> = (0..dim).map(|i| 0.3 - i as f64).collect();
    vec![
        Builtin::Quadratic(Quadratic::diagonal((1..=dim).map(|i| i as f64).collect(), None).unwrap()),
        Builtin::Quadratic(Quadratic::diagonal(vec![0.7; dim], Some(center.clone())).unwrap()),
        Builtin::Quadratic(Quadratic::full(&h, None).unwrap()),
        Builtin::Quadratic(Quadratic::full(&h, Some(center)).unwrap()),
        Builtin::DoubleWell(DoubleWell::new(1.3, dim).unwrap()),
        Builtin::Quartic(Quartic::new(0.7, -1.1, dim).unwrap()),
        Builtin::Rosenbrock(Rosenbrock::new(dim.max(2)).unwrap()),
        Builtin::Rastrigin(Rastrigin::new(dim).unwrap()),
        Builtin::StyblinskiTang(StyblinskiTang::new(dim).unwrap()),
        Builtin::MuellerBrown(MuellerBrown),
        Builtin::ScalarFactorization(ScalarFactorization),
    ]
}

fn near(a: f64, b: f64, scale: f64, what: &str) {
    assert!((a - b).abs() <= 1e-13 * scale.max(a.abs()).max(1.0), "{what}: {a} {b}");
}

fn unit(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

/// Gradient, Hessian and third derivative against dual numbers over the formula of the value.
fn derivatives<F: Formula>(f: &F, point: &[f64], s: &[f64]) {
    let d = Formula::dim(f);
    let (x, name) = (&point[..d], std::any::type_name::<F>());
    let s: Vec<f64> = (0..d * d).map(|k| s[k % s.len()] + 0.1 * k as f64).collect();
    let (mut grad, mut hessian, mut third) = (vec![0.0; d], vec![0.0; d * d], vec![0.0; d]);
    PointLoss::grad(f, x, &mut grad).unwrap();
    PointLoss::hessian(f, x, &mut hessian).unwrap();
    PointLoss::third(f, x, &s, &mut third).unwrap();
    let first = |k: usize| Formula::value(f, &|i| Dual::new(x[i], unit(i == k))).eps;
    let second = |k: usize, l: usize| {
        let seed = |i| Dual::new(Dual::new(x[i], unit(i == k)), Dual::new(unit(i == l), 0.0));
        Formula::value(f, &seed).eps.eps
    };
    let zero = Dual::new(0.0, 0.0);
    let whole = |k: usize, l: usize, m: usize| {
        let seed = |i| {
            let inner = Dual::new(Dual::new(x[i], unit(i == k)), Dual::new(unit(i == l), 0.0));
            Dual::new(inner, Dual::new(Dual::new(unit(i == m), 0.0), zero))
        };
        Formula::value(f, &seed).eps.eps.eps
    };
    // Terms of opposite signs cancel, so errors are relative to the size of the terms.
    let value = PointLoss::value(f, x).unwrap().abs() + 100.0 * x.iter().fold(1.0, |m: f64, x| m.max(x.abs())).powi(4);
    for k in 0..d {
        near(grad[k], first(k), value, name);
        let mut sum = 0.0;
        let mut size = 0.0;
        for l in 0..d {
            near(hessian[k * d + l], second(k, l), 10.0 * value, name);
            assert_eq!(hessian[k * d + l], hessian[l * d + k]);
            for m in 0..d {
                let term = s[l * d + m] * whole(k, l, m);
                sum += term;
                size += term.abs();
            }
        }
        near(third[k], sum, 100.0 * value + 100.0 * size, name);
    }
}

/// The gradient against central differences of the value: no dual numbers in this one.
fn differences(loss: &Builtin, point: &[f64]) {
    let (loss, d) = (loss.point(), loss.dim());
    let mut x = point[..d].to_vec();
    let (mut grad, mut up, mut down) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
    let mut hessian = vec![0.0; d * d];
    loss.grad(&x, &mut grad).unwrap();
    loss.hessian(&x, &mut hessian).unwrap();
    let h = 1e-5;
    for k in 0..d {
        let here = x[k];
        x[k] = here + h;
        let above = loss.value(&x).unwrap();
        loss.grad(&x, &mut up).unwrap();
        x[k] = here - h;
        let below = loss.value(&x).unwrap();
        loss.grad(&x, &mut down).unwrap();
        x[k] = here;
        let slope = (above - below) / (2.0 * h);
        assert!((slope - grad[k]).abs() < 1e-5 * (1.0 + grad[k].abs() + above.abs()), "{slope} {}", grad[k]);
        for i in 0..d {
            let (bend, exact) = ((up[i] - down[i]) / (2.0 * h), hessian[i * d + k]);
            assert!((bend - exact).abs() < 1e-5 * (1.0 + exact.abs() + up[i].abs()), "{bend} {exact}");
        }
    }
}

/// What the blocks give against what the points give, and every instruction set against the first.
fn blocks<T: Real>(loss: &Builtin, points: &[f64], span: Span, tolerance: f64) {
    let (block, point, d) = (loss.block::<T>(), loss.point(), loss.dim());
    let spread = |shift: usize| -> Vec<T> {
        (0..d * span.width).map(|k| T::from_f64(points[(k * 7 + shift) % points.len()])).collect()
    };
    let (x, v) = (spread(0), spread(3));
    let mut first: Option<Vec<Vec<T>>> = None;
    for isa in available() {
        let (mut value, mut grad, mut product) =
            (vec![T::default(); span.width], vec![T::default(); d * span.width], vec![T::default(); d * span.width]);
        with_isa(isa, || {
            block.value(&x, &mut value, span).unwrap();
            block.grad(&x, &mut grad, span).unwrap();
            block.hess_vec(&x, &v, &mut product, span).unwrap();
        });
        for p in 0..span.n {
            let at = |rows: &[T]| (0..d).map(|i| rows[i * span.width + p].to_f64()).collect::<Vec<f64>>();
            let (x, v) = (at(&x), at(&v));
            let (mut g, mut hessian) = (vec![0.0; d], vec![0.0; d * d]);
            let expected = point.value(&x).unwrap();
            point.grad(&x, &mut g).unwrap();
            point.hessian(&x, &mut hessian).unwrap();
            let size = 1.0 + expected.abs() + 1e3 * x.iter().fold(1.0, |m: f64, x| m.max(x.abs())).powi(4);
            let same = |a: T, b: f64| {
                let a = a.to_f64();
                assert!((a - b).abs() <= tolerance * size.max(b.abs()), "{loss:?} {isa:?} {a} {b}");
            };
            same(value[p], expected);
            for i in 0..d {
                same(grad[i * span.width + p], g[i]);
                let hv = (0..d).map(|j| hessian[i * d + j] * v[j]).sum::<f64>();
                same(product[i * span.width + p], hv);
            }
        }
        // Widening is exact, so equal widened bits are equal bits.
        let outputs = vec![value, grad, product];
        if let Some(first) = &first {
            for (a, b) in first
                .iter()
                .flatten()
                .zip(outputs.iter().flatten())
                .enumerate()
                .filter_map(|(k, pair)| (k % span.width < span.n).then_some(pair))
            {
                assert_eq!(a.to_f64().to_bits(), b.to_f64().to_bits(), "{loss:?} {isa:?}");
            }
        }
        first.get_or_insert(outputs);
    }
}

/// A regression's second and third derivatives along directions, at lanes on every instruction set and at points.
fn along<T: Real>(loss: &dyn Loss<T>, point: &dyn PointLoss, numbers: &[f64], tolerance: f64) {
    let (span, d) = (Span { n: 19, width: 32 }, point.dim());
    let spread = |shift: usize| -> Vec<T> {
        (0..d * span.width).map(|k| T::from_f64(numbers[(k * 7 + shift) % numbers.len()])).collect()
    };
    let (x, v) = (spread(0), spread(3));
    let mut first: Option<[Vec<T>; 2]> = None;
    for isa in available() {
        let [mut second, mut third] = [(); 2].map(|()| vec![T::default(); d * span.width]);
        with_isa(isa, || {
            loss.hess_vec(&x, &v, &mut second, span).unwrap();
            loss.third_along(&x, &v, &mut third, span).unwrap();
        });
        for p in 0..span.n {
            let at = |rows: &[T]| (0..d).map(|i| rows[i * span.width + p].to_f64()).collect::<Vec<f64>>();
            let (x, v) = (at(&x), at(&v));
            let square: Vec<f64> = v.iter().flat_map(|a| v.iter().map(move |b| a * b)).collect();
            let (mut hessian, mut contracted) = (vec![0.0; d * d], vec![0.0; d]);
            point.hessian(&x, &mut hessian).unwrap();
            point.third(&x, &square, &mut contracted).unwrap();
            for i in 0..d {
                let product: f64 = (0..d).map(|j| hessian[i * d + j] * v[j]).sum();
                for (found, exact) in [(&second, product), (&third, contracted[i])] {
                    let found = found[i * span.width + p].to_f64();
                    assert!((found - exact).abs() <= tolerance * (1.0 + exact.abs()), "{isa:?} {found} {exact}");
                }
            }
        }
        let outputs = [second, third];
        for (rows, same) in outputs.iter().zip(first.get_or_insert(outputs.clone()).iter()) {
            for (row, same) in rows.chunks_exact(span.width).zip(same.chunks_exact(span.width)) {
                assert_eq!(row[..span.n], same[..span.n], "{isa:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn derivatives_are_exact(d in 1usize..7, x in prop::collection::vec(-1.5f64..1.5, 8), s in prop::collection::vec(-1f64..1.0, 49)) {
        every!(d, derivatives, &x, &s);
    }

    #[test]
    fn derivatives_agree_with_differences(d in 1usize..5, x in prop::collection::vec(-1.5f64..1.5, 8)) {
        for loss in builtins(d) {
            differences(&loss, &x);
        }
    }

    #[test]
    fn blocks_agree_with_points(d in 1usize..7, n in 1usize..70, extra in 0usize..3, x in prop::collection::vec(-1.5f64..1.5, 31)) {
        let span = Span { n, width: Span::of(n).width + 16 * extra };
        for loss in builtins(d) {
            blocks::<f64>(&loss, &x, span, 1e-14);
            blocks::<f32>(&loss, &x, span, 1e-5);
        }
    }

    #[test]
    fn regressions_bend_as_at_points(p in 1usize..5, n in 2usize..11, l2 in 0f64..1.0, x in prop::collection::vec(-1.5f64..1.5, 31)) {
        let inputs = Matrix::from_fn(n, p, |i, a| x[(5 * i + 3 * a) % x.len()]);
        let targets = |classes: usize| (0..n).map(|i| (i % classes) as f64).collect::<Vec<f64>>();
        let linear = LinearRegression::new(inputs.clone(), targets(5)).unwrap();
        along::<f64>(&linear.cast::<f64>(), &linear, &x, 1e-13);
        along::<f32>(&linear.cast::<f32>(), &linear, &x, 1e-4);
        let logistic = LogisticRegression::new(inputs.clone(), targets(2), l2).unwrap();
        along::<f64>(&logistic.cast::<f64>(), &logistic, &x, 1e-13);
        along::<f32>(&logistic.cast::<f32>(), &logistic, &x, 1e-4);
        let softmax = SoftmaxRegression::new(inputs, targets(2), 3, l2).unwrap();
        along::<f64>(&softmax.cast::<f64>(), &softmax, &x, 1e-13);
        along::<f32>(&softmax.cast::<f32>(), &softmax, &x, 1e-4);
    }
}

#[test]
fn minima_are_minima() {
    let at = |loss: Builtin, x: &[f64], value: f64, tolerance: f64| {
        let loss = loss.point();
        let mut grad = vec![1.0; x.len()];
        loss.grad(x, &mut grad).unwrap();
        assert!((loss.value(x).unwrap() - value).abs() <= tolerance, "{}", loss.value(x).unwrap());
        assert!(grad.iter().all(|g| g.abs() <= 1e5 * tolerance), "{grad:?}");
    };
    at(Builtin::DoubleWell(DoubleWell::new(2.0, 3).unwrap()), &[1.0, -1.0, 1.0], 0.0, 0.0);
    at(Builtin::DoubleWell(DoubleWell::new(2.0, 1).unwrap()), &[0.0], 2.0, 0.0);
    at(Builtin::Quartic(Quartic::new(1.0, -1.0, 2).unwrap()), &[1.0, -1.0], -0.5, 0.0);
    at(Builtin::Rosenbrock(Rosenbrock::new(5).unwrap()), &[1.0; 5], 0.0, 0.0);
    at(Builtin::Rastrigin(Rastrigin::new(4).unwrap()), &[0.0; 4], 0.0, 0.0);
    let deep = Builtin::StyblinskiTang(StyblinskiTang::new(2).unwrap());
    at(deep, &[-2.903534027771177; 2], 2.0 * -39.16616570377142, 1e-13);
    let minima = [
        ([-0.558223634633024, 1.441725841804669], -146.69951720995402),
        ([0.623499404930877, 0.028037758528718], -108.16672411685236),
        ([-0.050010822998206, 0.466694104871972], -80.76781812965892),
    ];
    for (x, value) in minima {
        at(Builtin::MuellerBrown(MuellerBrown), &x, value, 1e-8);
    }
    at(Builtin::ScalarFactorization(ScalarFactorization), &[4.0, 0.25], 0.0, 0.0);
    at(Builtin::ScalarFactorization(ScalarFactorization), &[0.0, 0.0], 0.5, 0.0);
    let bowl = Quadratic::full(&Matrix::from_fn(2, 2, |i, j| (1 + i + 2 * j) as f64), Some(vec![0.2, -3.0])).unwrap();
    assert_eq!(bowl.matrix().as_slice(), [1.0, 2.5, 2.5, 4.0]);
    at(Builtin::Quadratic(bowl), &[0.2, -3.0], 0.0, 0.0);
}

#[test]
fn known_values() {
    let value = |loss: Builtin, x: &[f64]| loss.point().value(x).unwrap();
    assert_eq!(value(Builtin::Rosenbrock(Rosenbrock::new(3).unwrap()), &[0.0, 1.0, 3.0]), 100.0 + 1.0 + 400.0);
    assert_eq!(value(Builtin::StyblinskiTang(StyblinskiTang::new(2).unwrap()), &[1.0, 2.0]), -5.0 - 19.0);
    assert!((value(Builtin::Rastrigin(Rastrigin::new(2).unwrap()), &[0.5, 1.0]) - 21.25).abs() < 1e-13);
    assert_eq!(value(Builtin::Quartic(Quartic::new(2.0, 3.0, 1).unwrap()), &[2.0]), 8.0 + 6.0);
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(DoubleWell::new(f64::NAN, 1).is_err());
    assert!(DoubleWell::new(1.0, 0).is_err());
    assert!(Rosenbrock::new(1).is_err());
    assert!(Quadratic::diagonal(vec![], None).is_err());
    assert!(Quadratic::diagonal(vec![1.0], Some(vec![0.0, 0.0])).is_err());
    assert!(Quadratic::full(&Matrix::zeros(2, 3), None).is_err());
    let loss = Builtin::MuellerBrown(MuellerBrown);
    assert!(loss.point().value(&[1.0]).is_err());
    let mut out = [0.0; 32];
    assert!(loss.block::<f64>().grad(&[0.0; 31], &mut out, Span::of(16)).is_err());
    assert!(loss.block::<f64>().grad(&[0.0; 32], &mut out, Span { n: 17, width: 16 }).is_err());
}

#[test]
fn a_loss_without_value_says_so() {
    struct Bare;
    impl Loss<f64> for Bare {
        fn dim(&self) -> usize {
            1
        }
        fn grad(&self, _: &[f64], _: &mut [f64], _: Span) -> Result<()> {
            Ok(())
        }
    }
    assert!(matches!(Bare.value(&[], &mut [], Span::of(0)), Err(Error::Missing { .. })));
    assert!(matches!(Bare.hess_vec(&[], &[], &mut [], Span::of(0)), Err(Error::Missing { .. })));
}

#[test]
fn a_number_may_be_a_dual_of_duals() {
    let x = Dual::new(Dual::new(0.3, 1.0), Dual::new(1.0, 0.0));
    assert!((x.exp().eps.eps - 0.3f64.exp()).abs() < 1e-15);
}
