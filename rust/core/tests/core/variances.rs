//! Variances of every model against its factor, and the derivatives of both against differences.

use optsde_core::block::Span;
use optsde_core::dynamics::FunctionNoise;
use optsde_core::error::Result;
use optsde_core::function::BlockFunction;
use optsde_core::linalg::Matrix;
use optsde_core::loss::{DataLoss, LinearRegression, LogisticRegression, Loss, Rosenbrock, SoftmaxRegression};
use optsde_core::noise::{
    AffineDiagonal, Factor, Gaussian, LabelNoise, LossScaled, Minibatch, Noise, NoiseKind, Zero, spread_diagonal,
};
use std::sync::Arc;

const SPAN: Span = Span { n: 5, width: 16 };

/// A function of the test's, lane by lane.
struct Rows(fn(&[f64]) -> Vec<f64>);

impl BlockFunction<f64> for Rows {
    fn call(&self, _t: f64, x: &[f64], _shape: &[usize], out: &mut [f64], span: Span) -> Result<()> {
        for p in 0..span.width {
            let point: Vec<f64> = x.chunks_exact(span.width).map(|row| row[p]).collect();
            for (r, value) in (self.0)(&point).into_iter().enumerate() {
                out[r * span.width + p] = value;
            }
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

fn function(
    kind: NoiseKind,
    m: usize,
    factor: fn(&[f64]) -> Vec<f64>,
    jacobian: fn(&[f64]) -> Vec<f64>,
) -> FunctionNoise<f64> {
    FunctionNoise {
        dim: 2,
        n_wiener: m,
        kind,
        factor: Arc::new(Rows(factor)),
        jacobian: Some(Arc::new(Rows(jacobian))),
    }
}

fn models() -> Vec<(&'static str, Box<dyn Noise<f64>>)> {
    let loss: Arc<dyn Loss<f64>> = Arc::new(Rosenbrock::new(2).unwrap());
    let cov = Matrix::new(2, 2, vec![2.0, 0.5, 0.5, 1.0]).unwrap();
    let full = Factor::of_covariance(&cov).unwrap();
    let inputs = Matrix::new(4, 2, vec![1.0, 0.3, -0.6, 1.2, 0.2, -0.9, 1.4, 0.5]).unwrap();
    let linear = LinearRegression::new(inputs.clone(), vec![0.8, -0.2, 0.5, 2.0]).unwrap();
    let logistic = LogisticRegression::new(inputs, vec![0.0, 1.0, 1.0, 0.0], 0.1).unwrap();
    let softmax = SoftmaxRegression::new(Matrix::new(3, 1, vec![1.0, -2.0, 0.4]).unwrap(), vec![0.0, 1.0, 1.0], 2, 0.1);
    let softmax: Arc<dyn DataLoss<f64>> = Arc::new(softmax.unwrap().cast());
    vec![
        ("zero", Box::new(Zero(2))),
        ("diagonal", Box::new(Gaussian(Factor::of_variances(&[0.5, 2.0])))),
        ("full", Box::new(Gaussian(full.clone()))),
        ("affine", Box::new(AffineDiagonal::new(vec![0.5, 1.0], vec![2.0, 0.3], vec![0.1, -0.4]))),
        ("scaled diagonal", Box::new(LossScaled::new(loss.clone(), Factor::of_variances(&[0.5, 2.0]), 0.2))),
        ("scaled full", Box::new(LossScaled::new(loss, full, 0.2))),
        (
            "function, diagonal",
            Box::new(function(
                NoiseKind::Diagonal,
                2,
                |x| x.iter().map(|x| 1.0 + x * x).collect(),
                |x| x.iter().map(|x| 2.0 * x).collect(),
            )),
        ),
        (
            "function, full",
            Box::new(function(
                NoiseKind::Full,
                3,
                |x| vec![x[0], x[0] * x[1], 1.0, x[1], 2.0, x[1] * x[1]],
                |x| vec![1.0, 0.0, x[1], x[0], 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0 * x[1]],
            )),
        ),
        ("minibatch", Box::new(Minibatch::new(Arc::new(logistic.cast())))),
        ("without replacement", Box::new(Minibatch::without_replacement(softmax, 2).unwrap())),
        ("labels", Box::new(LabelNoise::new(Arc::new(linear.cast()), 0.7, -2.0).unwrap())),
    ]
}

fn points(salt: f64) -> Vec<f64> {
    (0..2 * SPAN.width).map(|i| ((i as f64 + salt) * 1.7).sin()).collect()
}

fn variances(noise: &dyn Noise<f64>, x: &[f64], scale: f64) -> Vec<f64> {
    let mut out = vec![f64::NAN; x.len()];
    noise.variances(x, scale, &mut out, SPAN).unwrap();
    out
}

/// The factor, entry (i, j) in row `i m + j`.
fn factor(noise: &dyn Noise<f64>, x: &[f64]) -> Vec<f64> {
    let (m, width) = (noise.n_wiener(), SPAN.width);
    let mut f = vec![0.0; 2 * m.max(1) * width];
    if let Some(constant) = noise.constant() {
        f.chunks_exact_mut(width).enumerate().for_each(|(r, row)| row.fill(constant.entry(r / m, r % m)));
    } else if noise.kind() == NoiseKind::Diagonal {
        noise.diagonal(x, 1.0, &mut f[..2 * width], SPAN).unwrap();
        spread_diagonal(&mut f, 2, width);
    } else if m > 0 {
        noise.factor(x, 1.0, &mut f, SPAN).unwrap();
    }
    f
}

#[test]
fn variances_are_the_diagonal_of_the_factor_squared() {
    let x = points(0.0);
    for (name, noise) in models() {
        let (m, width) = (noise.n_wiener(), SPAN.width);
        let f = factor(noise.as_ref(), &x);
        let found = variances(noise.as_ref(), &x, 0.3);
        for (i, p) in (0..2).flat_map(|i| (0..SPAN.n).map(move |p| (i, p))) {
            let exact = 0.3 * (0..m).map(|j| f[(i * m + j) * width + p].powi(2)).sum::<f64>();
            assert!((found[i * width + p] - exact).abs() <= 1e-13 * exact, "{name}: {} {exact}", found[i * width + p]);
        }
    }
}

#[test]
fn variances_along_are_their_derivative() {
    let (x, v, h) = (points(0.0), points(0.4), 1e-5);
    for (name, noise) in models() {
        assert!(noise.has_variances_along(), "{name}");
        let mut along = vec![f64::NAN; x.len()];
        noise.variances_along(&x, &v, 0.3, &mut along, SPAN).unwrap();
        let moved = |h: f64| x.iter().zip(&v).map(|(x, v)| x + h * v).collect::<Vec<f64>>();
        let (up, down) = (variances(noise.as_ref(), &moved(h), 0.3), variances(noise.as_ref(), &moved(-h), 0.3));
        for p in (0..SPAN.n).flat_map(|p| [p, SPAN.width + p]) {
            let difference = (up[p] - down[p]) / (2.0 * h);
            assert!(
                (along[p] - difference).abs() <= 1e-6 * (1.0 + difference.abs()),
                "{name}: {} {difference}",
                along[p]
            );
        }
    }
}

#[test]
fn factors_along_are_their_derivative() {
    let (x, v, h) = (points(0.0), points(0.4), 1e-5);
    for (name, noise) in models() {
        assert!(noise.has_apply_along(), "{name}");
        let (m, width) = (noise.n_wiener(), SPAN.width);
        let dw: Vec<f64> = (0..m * width).map(|i| (i as f64 * 2.3).cos()).collect();
        let mut along = vec![f64::NAN; x.len()];
        noise.apply_along(&x, &v, 0.3, &dw, &mut along, SPAN).unwrap();
        let moved = |h: f64| factor(noise.as_ref(), &x.iter().zip(&v).map(|(x, v)| x + h * v).collect::<Vec<f64>>());
        let (up, down) = (moved(h), moved(-h));
        for (i, p) in (0..2).flat_map(|i| (0..SPAN.n).map(move |p| (i, p))) {
            let slope = |j: usize| (up[(i * m + j) * width + p] - down[(i * m + j) * width + p]) / (2.0 * h);
            let difference = 0.3 * (0..m).map(|j| slope(j) * dw[j * width + p]).sum::<f64>();
            let found = along[i * width + p];
            assert!((found - difference).abs() <= 1e-6 * (1.0 + difference.abs()), "{name}: {found} {difference}");
        }
    }
}

#[test]
fn a_root_that_vanishes_has_no_slope() {
    let loss: Arc<dyn Loss<f64>> = Arc::new(Rosenbrock::new(2).unwrap());
    let noise = LossScaled::new(loss, Factor::of_variances(&[0.5, 2.0]), 0.0);
    let (minimum, ones) = (vec![1.0; 2 * SPAN.width], vec![1.0; 2 * SPAN.width]);
    let mut along = vec![f64::NAN; 2 * SPAN.width];
    noise.apply_along(&minimum, &ones, 1.0, &ones, &mut along, SPAN).unwrap();
    assert!(along.iter().all(|x| *x == 0.0), "{along:?}");
}

#[test]
fn a_coupled_diagonal_does_not_know_the_derivative() {
    let noise = function(NoiseKind::DiagonalCoupled, 2, |x| vec![x[1], x[0]], |_| vec![0.0, 0.0]);
    assert!(!noise.has_variances_along() && !noise.has_apply_along());
    let x = points(0.0);
    assert!(noise.variances_along(&x, &x, 1.0, &mut vec![0.0; x.len()], SPAN).is_err());
}
