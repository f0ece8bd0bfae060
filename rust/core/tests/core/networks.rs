//! Networks and matrix factorisations against plain loops written here, their derivatives against dual numbers over
//! those loops, and every instruction set against the first.

use optsde_core::block::Span;
use optsde_core::lanes::{Dual, Number, Real, available, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{Activation, Builtin, Criterion, DataLoss, MatrixFactorization, Network};
use proptest::prelude::*;
use std::sync::Arc;

/// Numbers in (-1, 1) without pattern.
fn noise(count: usize, salt: usize) -> Vec<f64> {
    let mut state = (salt as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// What a network is, in the plainest form.
#[derive(Clone, Debug)]
struct Plain {
    inputs: Matrix<f64>,
    targets: Matrix<f64>,
    /// None: a diagonal linear network.
    hidden: Option<Vec<usize>>,
    activation: Activation,
    criterion: Criterion,
}

impl Plain {
    fn network(&self) -> Network<f64> {
        match &self.hidden {
            Some(hidden) => Network::mlp(&self.inputs, &self.targets, hidden, self.activation, self.criterion).unwrap(),
            None => Network::diagonal_linear(&self.inputs, self.targets.as_slice().to_vec()).unwrap(),
        }
    }

    fn outputs<N: Number>(&self, theta: &[N], i: usize) -> Vec<N> {
        let mut units: Vec<N> = self.inputs.row(i).iter().map(|x| N::constant(*x)).collect();
        let Some(hidden) = &self.hidden else {
            let (u, v) = theta.split_at(units.len());
            let terms = units.iter().zip(u.iter().zip(v)).map(|(a, (u, v))| *a * (*u * *u - *v * *v));
            return vec![terms.fold(N::constant(0.0), |sum, term| sum + term)];
        };
        let mut theta = theta;
        for (l, width) in hidden.iter().copied().chain([self.targets.cols()]).enumerate() {
            let (weights, rest) = theta.split_at(width * units.len());
            let (bias, rest) = rest.split_at(width);
            theta = rest;
            units = (0..width)
                .map(|j| (0..units.len()).fold(bias[j], |sum, k| sum + weights[j * units.len() + k] * units[k]))
                .map(|z| match self.activation {
                    _ if l == hidden.len() => z,
                    Activation::Tanh => {
                        let e = (z + z).exp();
                        (e - N::constant(1.0)) / (e + N::constant(1.0))
                    }
                    Activation::Sigmoid => N::constant(1.0) / (N::constant(1.0) + (-z).exp()),
                    Activation::Identity => z,
                })
                .collect();
        }
        units
    }

    fn loss_of<N: Number>(&self, theta: &[N], i: usize, shift: &[f64]) -> N {
        let outputs = self.outputs(theta, i);
        let zero = N::constant(0.0);
        match self.criterion {
            Criterion::SquaredError => outputs.iter().enumerate().fold(zero, |sum, (k, output)| {
                let residual = *output - N::constant(self.targets[(i, k)] + shift[k]);
                sum + N::constant(0.5) * residual * residual
            }),
            Criterion::CrossEntropy => {
                let total = outputs.iter().fold(zero, |sum, z| sum + z.exp());
                let expected = outputs.iter().enumerate().fold(zero, |sum, (k, z)| {
                    sum + N::constant(self.targets[(i, k)]) * *z //
                });
                total.ln() - expected
            }
        }
    }

    fn loss<N: Number>(&self, theta: &[N]) -> N {
        let (n, none) = (self.inputs.rows(), vec![0.0; self.targets.cols()]);
        let sum = (0..n).fold(N::constant(0.0), |sum, i| sum + self.loss_of(theta, i, &none));
        sum / N::constant(n as f64)
    }
}

/// The gradient of a formula by dual numbers, one component after the other.
fn gradient<N: Number>(x: &[N], f: impl Fn(&[Dual<N>]) -> Dual<N>) -> Vec<N> {
    let axis = |k: usize| -> Vec<Dual<N>> {
        let one = |i: usize| N::constant(if i == k { 1.0 } else { 0.0 });
        x.iter().enumerate().map(|(i, x)| Dual::new(*x, one(i))).collect()
    };
    (0..x.len()).map(|k| f(&axis(k)).eps).collect()
}

/// The derivative of a list of numbers along `v`.
fn along(x: &[f64], v: &[f64], f: impl Fn(&[Dual<f64>]) -> Vec<Dual<f64>>) -> Vec<f64> {
    let x: Vec<Dual<f64>> = x.iter().zip(v).map(|(x, v)| Dual::new(*x, *v)).collect();
    f(&x).into_iter().map(|y| y.eps).collect()
}

fn variances<N: Number>(plain: &Plain, theta: &[N]) -> Vec<N> {
    let (n, none) = (plain.inputs.rows(), vec![0.0; plain.targets.cols()]);
    let grads: Vec<Vec<N>> = (0..n).map(|i| gradient(theta, |x| plain.loss_of(x, i, &none))).collect();
    let share = N::constant(1.0 / n as f64);
    (0..theta.len())
        .map(|c| {
            let mean = grads.iter().fold(N::constant(0.0), |sum, g| sum + g[c]) * share;
            grads.iter().fold(N::constant(0.0), |sum, g| sum + (g[c] - mean).square()) * share
        })
        .collect()
}

fn assert_near(got: &[f64], exact: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), exact.len(), "{what}");
    let scale = exact.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (k, (a, b)) in got.iter().zip(exact).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, component {k}: {a} {b}");
    }
}

/// Lane `p` of rows.
fn lane<T: Real>(rows: &[T], p: usize, span: Span) -> Vec<f64> {
    rows.chunks_exact(span.width).map(|row| row[p].to_f64()).collect()
}

/// A block whose padding is NaN.
fn block<T: Real>(rows: usize, scale: f64, salt: usize, span: Span) -> Vec<T> {
    let numbers = noise(rows * span.width, salt);
    let value = |k: usize| if k % span.width < span.n { scale * numbers[k] } else { f64::NAN };
    (0..rows * span.width).map(|k| T::from_f64(value(k))).collect()
}

/// All quantities of a loss over data on blocks.
struct Blocks<T> {
    x: Vec<T>,
    v: Vec<T>,
    weights: Vec<T>,
    indices: Vec<u32>,
    labels: Vec<T>,
    /// Value, gradient, Hessian-vector product, weighted gradient, gradient of batches, variances, their derivative;
    /// of squared errors the gradient of batches with shifted labels, and the weighted Jacobian.
    answers: Vec<Vec<T>>,
}

fn on_blocks<T: Real>(plain: &Plain, draws: usize, salt: usize, span: Span) -> Blocks<T> {
    let loss: Arc<dyn DataLoss<T>> = Builtin::Network(plain.network()).data().unwrap();
    let (d, n, k) = (loss.dim(), loss.n_examples(), plain.targets.cols());
    let (x, v) = (block::<T>(d, 0.9, salt, span), block::<T>(d, 1.0, salt + 1, span));
    let (weights, labels) = (block::<T>(n * k, 1.0, salt + 2, span), block::<T>(draws * k, 0.5, salt + 3, span));
    let mut indices = vec![u32::MAX; draws * span.width]; // the padding is not looked at
    for (at, u) in noise(draws * span.width, salt + 4).iter().enumerate() {
        if at % span.width < span.n {
            indices[at] = ((0.5 * u + 0.5) * n as f64) as u32;
        }
    }
    let mut all: Vec<Vec<Vec<T>>> = Vec::new();
    for isa in available() {
        let mut answers = vec![vec![T::default(); span.width]];
        answers.resize(9, vec![T::default(); d * span.width]);
        with_isa(isa, || {
            loss.value(&x, &mut answers[0], span).unwrap();
            loss.grad(&x, &mut answers[1], span).unwrap();
            loss.hess_vec(&x, &v, &mut answers[2], span).unwrap();
            loss.weighted_grad(&x, &weights, &mut answers[3], span).unwrap();
            loss.batch_grad(&x, &indices, None, &mut answers[4], span).unwrap();
            loss.grad_variances(&x, &mut answers[5], span).unwrap();
            loss.grad_variances_along(&x, &v, &mut answers[6], span).unwrap();
            if let Some(outputs) = loss.outputs() {
                assert_eq!(outputs, k);
                loss.batch_grad(&x, &indices, Some(&labels), &mut answers[7], span).unwrap();
                loss.weighted_jacobian(&x, &weights, &mut answers[8], span).unwrap();
            } else {
                assert!(loss.batch_grad(&x, &indices, Some(&labels), &mut answers[7], span).is_err());
                assert!(loss.weighted_jacobian(&x, &weights, &mut answers[8], span).is_err());
            }
        });
        all.push(answers);
    }
    for (isa, answers) in available().into_iter().zip(&all) {
        for (which, (one, other)) in all[0].iter().zip(answers).enumerate() {
            for p in 0..span.n {
                let bits = |rows: &[T]| lane(rows, p, span).into_iter().map(f64::to_bits).collect::<Vec<u64>>();
                assert_eq!(bits(one), bits(other), "{plain:?} {isa:?}, quantity {which} of lane {p}");
            }
        }
    }
    Blocks { x, v, weights, indices, labels, answers: all.swap_remove(0) }
}

/// Compares all quantities with the plain formulas, at a few of the lanes.
fn check<T: Real>(plain: &Plain, draws: usize, salt: usize, span: Span, tolerance: f64) {
    let blocks = on_blocks::<T>(plain, draws, salt, span);
    let (n, k) = (plain.inputs.rows(), plain.targets.cols());
    let none = vec![0.0; k];
    for p in [0, span.n / 2, span.n - 1] {
        let (x, v) = (lane(&blocks.x, p, span), lane(&blocks.v, p, span));
        let answer = |which: usize| lane(&blocks.answers[which], p, span);
        assert_near(&answer(0), &[plain.loss(&x)], tolerance, "value");
        assert_near(&answer(1), &gradient(&x, |x| plain.loss(x)), tolerance, "grad");
        let product = along(&x, &v, |x| gradient(x, |x| plain.loss(x)));
        assert_near(&answer(2), &product, 10.0 * tolerance, "hess_vec");
        let weights = lane(&blocks.weights, p, span);
        let weighted = gradient(&x, |x| {
            (0..n).fold(Dual::constant(0.0), |sum, i| sum + Dual::constant(weights[i]) * plain.loss_of(x, i, &none))
        });
        assert_near(&answer(3), &weighted, 10.0 * tolerance, "weighted_grad");
        let drawn: Vec<usize> = (0..draws).map(|b| blocks.indices[b * span.width + p] as usize).collect();
        let batch = |shifts: &[f64]| {
            gradient(&x, |x| {
                let terms = drawn.iter().enumerate().map(|(b, i)| plain.loss_of(x, *i, &shifts[b * k..(b + 1) * k]));
                terms.fold(Dual::constant(0.0), |sum, term| sum + term) / Dual::constant(draws as f64)
            })
        };
        assert_near(&answer(4), &batch(&vec![0.0; draws * k]), 10.0 * tolerance, "batch_grad");
        assert_near(&answer(5), &variances(plain, &x), 10.0 * tolerance, "grad_variances");
        let slope = along(&x, &v, |x| variances(plain, x));
        assert_near(&answer(6), &slope, 100.0 * tolerance, "grad_variances_along");
        if plain.criterion == Criterion::SquaredError {
            assert_near(&answer(7), &batch(&lane(&blocks.labels, p, span)), 10.0 * tolerance, "labels");
            let jacobian = gradient(&x, |x| {
                let outputs = (0..n).flat_map(|i| plain.outputs(x, i));
                outputs.zip(&weights).fold(Dual::constant(0.0), |sum, (out, w)| sum + out * Dual::constant(*w))
            });
            assert_near(&answer(8), &jacobian, 10.0 * tolerance, "weighted_jacobian");
        }
    }
}

/// Hessian and third derivative at a point.
fn check_point(plain: &Plain, salt: usize) {
    let loss = Builtin::Network(plain.network()).point();
    let d = loss.dim();
    let (x, s) = (noise(d, salt), noise(d * d, salt + 1));
    let (mut grad, mut hessian, mut third) = (vec![0.0; d], vec![0.0; d * d], vec![0.0; d]);
    loss.grad(&x, &mut grad).unwrap();
    loss.hessian(&x, &mut hessian).unwrap();
    loss.third(&x, &s, &mut third).unwrap();
    assert_near(&[loss.value(&x).unwrap()], &[plain.loss(&x)], 1e-13, "value");
    assert_near(&grad, &gradient(&x, |x| plain.loss(x)), 1e-13, "grad");
    let rows: Vec<Vec<f64>> = (0..d)
        .map(|i| {
            let axis: Vec<f64> = (0..d).map(|k| if k == i { 1.0 } else { 0.0 }).collect();
            along(&x, &axis, |x| gradient(x, |x| plain.loss(x)))
        })
        .collect();
    assert_near(&hessian, &rows.concat(), 1e-12, "hessian");
    let contracted = gradient(&x, |x| {
        (0..d).fold(Dual::constant(0.0), |sum, i| {
            let axis = |k: usize| Dual::constant(if k == i { 1.0 } else { 0.0 });
            let inner: Vec<Dual<Dual<f64>>> = x.iter().enumerate().map(|(k, x)| Dual::new(*x, axis(k))).collect();
            let row = gradient(&inner, |x| plain.loss(x));
            row.iter().enumerate().fold(sum, |sum, (j, h)| sum + Dual::constant(s[i * d + j]) * h.eps)
        })
    });
    assert_near(&third, &contracted, 1e-11, "third");
}

fn plain() -> impl Strategy<Value = Plain> {
    let shape = (1usize..10, 1usize..5, 1usize..4, prop::collection::vec(1usize..7, 0..3));
    (shape, 0usize..3, 0usize..3, any::<u16>()).prop_map(|((n, p, k, hidden), activation, kind, salt)| {
        let inputs = Matrix::new(n, p, noise(n * p, salt.into())).unwrap();
        let (k, criterion) = match kind {
            0 => (k + 1, Criterion::CrossEntropy),
            1 => (k, Criterion::SquaredError),
            _ => (1, Criterion::SquaredError),
        };
        let numbers = noise(n * k, usize::from(salt) + 1);
        let targets = match criterion {
            Criterion::SquaredError => Matrix::new(n, k, numbers).unwrap(),
            Criterion::CrossEntropy => {
                let class = |i: usize| ((0.5 * numbers[i] + 0.5) * k as f64) as usize;
                Matrix::from_fn(n, k, |i, j| if class(i) == j { 1.0 } else { 0.0 })
            }
        };
        let activation = [Activation::Tanh, Activation::Sigmoid, Activation::Identity][activation];
        Plain { inputs, targets, hidden: (kind < 2).then_some(hidden), activation, criterion }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn blocks_agree_with_plain_loops(plain in plain(), draws in 1usize..7, n in 1usize..40, extra in 0usize..2, salt in 0usize..1000) {
        let span = Span { n, width: Span::of(n).width + 16 * extra };
        check::<f64>(&plain, draws, salt, span, 1e-13);
        check::<f32>(&plain, draws, salt, span, 1e-5);
    }

    #[test]
    fn points_agree_with_plain_loops(plain in plain(), salt in 0usize..1000) {
        check_point(&plain, salt);
    }

    #[test]
    fn matrix_factorizations_agree_with_plain_loops(p in 1usize..5, q in 1usize..5, rank in 1usize..4, salt in 0usize..1000) {
        let target = Matrix::new(p, q, noise(p * q, salt)).unwrap();
        let loss = Builtin::MatrixFactorization(MatrixFactorization::new(&target, rank).unwrap());
        let d = (p + q) * rank;
        prop_assert_eq!(loss.dim(), d);
        prop_assert_eq!(loss.data::<f64>().map(|data| data.n_examples()), Some(p * q));
        fn formula<N: Number>(target: &Matrix<f64>, rank: usize, x: &[N]) -> N {
            let (u, v) = x.split_at(target.rows() * rank);
            let mut sum = N::constant(0.0);
            for i in 0..target.rows() {
                for j in 0..target.cols() {
                    let product = (0..rank).fold(N::constant(0.0), |s, a| s + u[i * rank + a] * v[j * rank + a]);
                    sum = sum + N::constant(0.5) * (product - N::constant(target[(i, j)])).square();
                }
            }
            sum
        }
        let span = Span::of(21);
        let (x, v) = (block::<f64>(d, 1.0, salt + 1, span), block::<f64>(d, 1.0, salt + 2, span));
        let (narrow, wide) = (loss.block::<f32>(), loss.block::<f64>());
        let x32: Vec<f32> = x.iter().map(|x| *x as f32).collect();
        let (mut value, mut grad, mut product) = (vec![0.0; span.width], vec![0.0; d * span.width], vec![0.0; d * span.width]);
        let mut grad32 = vec![0.0; d * span.width];
        wide.value(&x, &mut value, span).unwrap();
        wide.grad(&x, &mut grad, span).unwrap();
        wide.hess_vec(&x, &v, &mut product, span).unwrap();
        narrow.grad(&x32, &mut grad32, span).unwrap();
        for p in [0, 20] {
            let (at, v) = (lane(&x, p, span), lane(&v, p, span));
            let exact = gradient(&at, |x| formula(&target, rank, x));
            assert_near(&lane(&value, p, span), &[formula(&target, rank, &at)], 1e-14, "value");
            assert_near(&lane(&grad, p, span), &exact, 1e-14, "grad");
            assert_near(&lane(&grad32, p, span), &exact, 1e-5, "grad of f32");
            let bend = along(&at, &v, |x| gradient(x, |x| formula(&target, rank, x)));
            assert_near(&lane(&product, p, span), &bend, 1e-14, "hess_vec");
        }
        for isa in available() {
            let mut again = vec![0.0; d * span.width];
            with_isa(isa, || wide.hess_vec(&x, &v, &mut again, span)).unwrap();
            for p in 0..span.n {
                prop_assert_eq!(lane(&again, p, span), lane(&product, p, span));
            }
        }
        let (x, s, mut third) = (lane(&x, 0, span), noise(d * d, salt + 3), vec![0.0; d]);
        loss.point().third(&x, &s, &mut third).unwrap();
        let contracted = gradient(&x, |x| {
            let mut sum = Dual::constant(0.0);
            for i in 0..d {
                let axis = |k: usize| Dual::constant(if k == i { 1.0 } else { 0.0 });
                let inner: Vec<_> = x.iter().enumerate().map(|(k, x)| Dual::new(*x, axis(k))).collect();
                for (j, h) in gradient(&inner, |x| formula(&target, rank, x)).into_iter().enumerate() {
                    sum = sum + Dual::constant(s[i * d + j]) * h.eps;
                }
            }
            sum
        });
        assert_near(&third, &contracted, 1e-12, "third");
    }
}

#[test]
fn large_outputs_do_not_overflow() {
    let inputs = Matrix::new(2, 1, vec![1.0, -1.0]).unwrap();
    let targets = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let network = Network::mlp(&inputs, &targets, &[], Activation::Tanh, Criterion::CrossEntropy).unwrap();
    let loss = Builtin::Network(network).point();
    let mut grad = [0.0; 4];
    // outputs ±2000 in the right classes, then in the wrong ones
    assert_eq!(loss.value(&[2000.0, -2000.0, 0.0, 0.0]).unwrap(), 0.0);
    loss.grad(&[2000.0, -2000.0, 0.0, 0.0], &mut grad).unwrap();
    assert_eq!(grad, [0.0; 4]);
    assert_eq!(loss.value(&[-2000.0, 2000.0, 0.0, 0.0]).unwrap(), 4000.0);
    loss.grad(&[-2000.0, 2000.0, 0.0, 0.0], &mut grad).unwrap();
    assert_eq!(grad, [-1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn what_cannot_be_is_refused() {
    let (inputs, targets) = (Matrix::zeros(3, 2), Matrix::zeros(3, 1));
    let mlp = |x: &Matrix<f64>, y: &Matrix<f64>, hidden: &[usize]| {
        Network::mlp(x, y, hidden, Activation::Tanh, Criterion::SquaredError)
    };
    assert!(mlp(&inputs, &targets, &[4]).is_ok());
    assert!(mlp(&inputs, &targets, &[4, 0]).is_err());
    assert!(mlp(&inputs, &Matrix::zeros(2, 1), &[4]).is_err());
    assert!(mlp(&Matrix::zeros(0, 2), &Matrix::zeros(0, 1), &[4]).is_err());
    assert!(mlp(&Matrix::new(1, 1, vec![f64::NAN]).unwrap(), &Matrix::zeros(1, 1), &[]).is_err());
    assert!(Network::diagonal_linear(&inputs, vec![0.0; 2]).is_err());
    assert!(MatrixFactorization::new(&inputs, 0).is_err());
    assert_eq!(Activation::from_name("sigmoid"), Some(Activation::Sigmoid));
    assert_eq!(Activation::from_name("relu"), None);
    let loss: Arc<dyn DataLoss<f64>> = Builtin::Network(mlp(&inputs, &targets, &[]).unwrap()).data().unwrap();
    let (span, x, mut out) = (Span::of(1), vec![0.0; 48], vec![0.0; 48]);
    assert!(loss.batch_grad(&x, &[0; 15], None, &mut out, span).is_err());
    assert!(loss.batch_grad(&x, &[0; 32], Some(&[0.0; 16]), &mut out, span).is_err());
    assert!(loss.weighted_grad(&x, &[0.0; 47], &mut out, span).is_err());
    assert!(loss.weighted_jacobian(&x, &[0.0; 47], &mut out, span).is_err());
    assert!(loss.grad_variances_along(&x, &x[..47], &mut out, span).is_err());
    assert!(loss.grad_variances(&x, &mut out[..47], span).is_err());
}
