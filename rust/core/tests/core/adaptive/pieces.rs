//! What the equations are made of: noise of squares, third derivatives; and the same bits wherever they are computed.

use super::problem::{Case, Curled, PROBLEM, RMSPROP, adam};
use Ordering::{Fresh, Lagged};
use Regime::{Ballistic, BatchEquivalent};
use optsde_core::block::Span;
use optsde_core::dynamics::{Adaptive, FunctionNoise, Order, Ordering, Regime, Sde};
use optsde_core::error::Result;
use optsde_core::function::BlockFunction;
use optsde_core::lanes::{Real, available, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{Builtin, Loss, MuellerBrown, Quadratic, Rosenbrock, ScalarFactorization, StyblinskiTang};
use optsde_core::noise::{AffineDiagonal, Factor, Gaussian, LossScaled, Noise, NoiseKind};
use optsde_core::scheme::{Beside, Step, StepAddress, stepper};
use std::sync::Arc;

const SPAN: Span = Span { n: 40, width: 48 };

/// Numbers of size 1, other ones for each `salt`.
fn numbers<T: Real>(len: usize, salt: f64) -> Vec<T> {
    (0..len).map(|i| T::from_f64(((i as f64 + salt) * 1.7).sin())).collect()
}

fn full() -> Matrix<f64> {
    Matrix::new(2, 2, vec![0.30, 0.08, 0.08, 0.20]).unwrap()
}

/// A column `(1, x_1)`: a covariance of rank one.
struct Column;

impl BlockFunction<f64> for Column {
    fn call(&self, _t: f64, x: &[f64], _shape: &[usize], out: &mut [f64], span: Span) -> Result<()> {
        out[..span.width].fill(1.0);
        out[span.width..2 * span.width].copy_from_slice(&x[..span.width]);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        false
    }
}

#[test]
fn squares_have_their_covariance() -> Result<()> {
    let loss: Arc<dyn Loss<f64>> = Arc::new(Rosenbrock::new(2)?);
    let column =
        FunctionNoise { dim: 2, n_wiener: 1, kind: NoiseKind::Scalar, factor: Arc::new(Column), jacobian: None };
    let models: Vec<Box<dyn Noise<f64>>> = vec![
        Box::new(AffineDiagonal::new(vec![0.3, 0.2], vec![0.1, 0.4], vec![0.0, 0.1])),
        Box::new(LossScaled::new(loss.clone(), Factor::of_variances(&[0.3, 0.2]), 1.0)),
        Box::new(LossScaled::new(loss, Factor::of_covariance(&full())?, 1.0)),
        Box::new(Curled { problem: PROBLEM, times: 2.0 }),
        Box::new(column),
    ];
    let (x, db, width) = (numbers(2 * SPAN.width, 0.0), numbers::<f64>(2 * SPAN.width, 0.5), SPAN.width);
    for noise in models {
        let m = noise.n_wiener();
        let (mut s, mut q) = (vec![0.0; 2 * m * width], vec![f64::NAN; 4 * width]);
        if noise.kind().is_diagonal() {
            noise.diagonal(&x, 0.7, &mut s[..2 * width], SPAN)?;
            optsde_core::noise::spread_diagonal(&mut s, 2, width);
        } else {
            noise.factor(&x, 0.7, &mut s, SPAN)?;
        }
        noise.squares_factor(&x, 0.49, &mut q, SPAN)?;
        let mut out = vec![f64::NAN; 2 * width];
        noise.squares(&x, 0.49, &db, &mut out, SPAN)?;
        for p in 0..SPAN.n {
            let product = |f: &[f64], n: usize, i: usize, j: usize| -> f64 {
                (0..n).map(|k| f[(i * n + k) * width + p] * f[(j * n + k) * width + p]).sum()
            };
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let exact = 2.0 * product(&s, m, i, j).powi(2);
                let size = 2.0 * product(&s, m, i, i) * product(&s, m, j, j);
                assert!((product(&q, 2, i, j) - exact).abs() <= 1e-13 * size, "{:?} ({i}, {j})", noise.kind());
            }
            for i in 0..2 {
                let exact = q[2 * i * width + p] * db[p] + q[(2 * i + 1) * width + p] * db[width + p];
                assert!((out[i * width + p] - exact).abs() <= 1e-13 * (1.0 + exact.abs()));
            }
        }
    }
    Ok(())
}

#[test]
fn third_derivatives_are_those_of_points() -> Result<()> {
    let losses = [
        Builtin::Quadratic(Quadratic::full(&full(), None)?),
        Builtin::Rosenbrock(Rosenbrock::new(2)?),
        Builtin::StyblinskiTang(StyblinskiTang::new(2)?),
        Builtin::MuellerBrown(MuellerBrown),
        Builtin::ScalarFactorization(ScalarFactorization),
    ];
    let (x, v) = (numbers::<f64>(2 * SPAN.width, 0.0), numbers::<f64>(2 * SPAN.width, 0.3));
    for loss in losses {
        let mut out = vec![f64::NAN; 2 * SPAN.width];
        loss.block::<f64>().third_along(&x, &v, &mut out, SPAN)?;
        for p in 0..SPAN.n {
            let [v0, v1] = [v[p], v[SPAN.width + p]];
            let mut exact = [0.0; 2];
            loss.point().third(&[x[p], x[SPAN.width + p]], &[v0 * v0, v0 * v1, v1 * v0, v1 * v1], &mut exact)?;
            for (i, exact) in exact.into_iter().enumerate() {
                let found = out[i * SPAN.width + p];
                assert!((found - exact).abs() <= 1e-12 * (1.0 + exact.abs()), "{loss:?}: {found} {exact}");
            }
        }
    }
    Ok(())
}

/// Every equation, on every noise that it takes.
fn equations<T: Real>() -> Result<Vec<Arc<dyn Sde<T>>>> {
    let loss: Arc<dyn Loss<T>> = Arc::new(PROBLEM.loss);
    let noises: [Arc<dyn Noise<T>>; 5] = [
        Arc::new(Gaussian(Factor::of_variances(&[0.3, 0.2]))),
        Arc::new(Gaussian(Factor::of_covariance(&full())?)),
        Arc::new(AffineDiagonal::new(vec![0.3, 0.2], vec![0.1, 0.4], vec![0.0, 0.1])),
        Arc::new(LossScaled::new(loss.clone(), Factor::of_variances(&[0.3, 0.2]), 5.0)),
        Arc::new(LossScaled::new(loss.clone(), Factor::of_covariance(&full())?, 5.0)),
    ];
    let mut list: Vec<Arc<dyn Sde<T>>> = vec![];
    for (rule, regime) in [RMSPROP, adam([1.0, 1.0])].into_iter().flat_map(|r| [(r, Ballistic), (r, BatchEquivalent)]) {
        for ordering in [Lagged, Fresh] {
            for order in [Order::One, Order::Two, Order::Corrected] {
                for noise in &noises {
                    let case = Case::new(rule, regime, ordering).scheduled();
                    if let Ok(sde) = Adaptive::new(case.model(order), loss.clone(), noise.clone()) {
                        list.push(Arc::new(sde));
                    }
                }
            }
        }
    }
    Ok(list)
}

/// A step of Euler–Maruyama, drift and factor of a block.
fn everything<T: Real>(sde: &Arc<dyn Sde<T>>, x: &[T], dw: &[T], span: Span) -> Result<[Vec<T>; 3]> {
    let (t, h, len) = (0.3, 0.05, sde.dim() * span.width);
    let scheme = stepper("euler_maruyama", sde.clone(), h)?;
    let (mut state, mut scratch) = (x.to_vec(), vec![T::default(); scheme.scratch_rows() * span.width]);
    let at = StepAddress { key: 0, first_path: 0, cell: 0, cells: 1, antithetic: false };
    scheme.step(&Step { t, h, dw, beside: Beside::default(), at, span }, &mut state, &mut scratch)?;
    let (mut drift, mut scratch) = (vec![T::default(); len], vec![T::default(); len]);
    sde.drift(t, x, &mut drift, &mut scratch, span)?;
    let mut factor = vec![T::default(); len * sde.n_wiener()];
    sde.factor(t, x, &mut factor, span)?;
    Ok([state, drift, factor])
}

/// The first 16 lanes of each row.
fn narrow<T: Real>(rows: &[T]) -> Vec<T> {
    rows.chunks_exact(SPAN.width).flat_map(|row| &row[..16]).copied().collect()
}

fn same_bits_everywhere<T: Real>() -> Result<usize> {
    let list = equations::<T>()?;
    for sde in &list {
        let (x, dw) = (numbers(sde.dim() * SPAN.width, 0.0), numbers(sde.n_wiener() * SPAN.width, 0.7));
        let first = everything(sde, &x, &dw, SPAN)?;
        let lanes =
            |rows: &[T]| -> Vec<T> { rows.chunks_exact(SPAN.width).flat_map(|row| &row[..SPAN.n]).copied().collect() };
        for isa in available() {
            let other = with_isa(isa, || everything(sde, &x, &dw, SPAN))?;
            for (a, b) in first.iter().zip(&other) {
                assert!(lanes(a).iter().all(|x| x.is_finite()));
                assert_eq!(lanes(a), lanes(b), "{isa:?}");
            }
        }
        let few = everything(sde, &narrow(&x), &narrow(&dw), Span { n: 16, width: 16 })?;
        for (whole, few) in first.iter().zip(&few) {
            assert_eq!(&narrow(whole), few);
        }
    }
    Ok(list.len())
}

#[test]
fn instruction_sets_and_widths_do_not_matter() -> Result<()> {
    assert_eq!(same_bits_everywhere::<f64>()?, 2 * 2 * (2 * 5 + 5) + 2 * 2 * 5);
    same_bits_everywhere::<f32>()?;
    Ok(())
}
