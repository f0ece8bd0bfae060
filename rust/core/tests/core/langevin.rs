//! Schemes for Langevin dynamics of a harmonic well: one step as a linear map, and the stationary law that follows.

use optsde_core::block::Span;
use optsde_core::dynamics::{Friction, GradientSde, MomentumSde, Sde, UnderdampedLangevin};
use optsde_core::error::Result;
use optsde_core::linalg::Matrix;
use optsde_core::loss::Quadratic;
use optsde_core::noise::{Factor, Gaussian, GradientNoise};
use optsde_core::rates::{Rates, Schedule};
use optsde_core::scheme::{Beside, Step, StepAddress, Stepper, stepper};
use std::sync::Arc;

const WIDTH: usize = 16;

/// The inputs of a step of one coordinate: `ΔW`, `I`, two residuals, and the increment ahead.
const INPUTS: usize = 5;

/// A step's matrix, `dim` rows: what each variable has of each variable and of each input. Every lane is a unit input.
fn one_step(scheme: &dyn Stepper<f64>, h: f64) -> Result<Matrix<f64>> {
    let (dim, draws) = (scheme.dim(), scheme.draws());
    let row = |lane: usize| (0..WIDTH).map(|p| f64::from(u8::from(p == lane))).collect::<Vec<_>>();
    let rows = |first: usize, count: usize| (first..first + count).flat_map(row).collect::<Vec<_>>();
    let (mut x, dw) = (rows(0, dim), rows(dim, 1));
    let (integrals, residuals, ahead) = (rows(dim + 1, 1), rows(dim + 2, 2), rows(dim + 4, 1));
    let beside = Beside {
        time_integrals: if draws.time_integrals { &integrals } else { &[] },
        residuals: if draws.residuals > 0 { &residuals } else { &[] },
        ahead: if draws.ahead { &ahead } else { &[] },
        ..Beside::default()
    };
    let (at, span) =
        (StepAddress { key: 0, first_path: 0, cell: 0, cells: 1, antithetic: false }, Span { n: WIDTH, width: WIDTH });
    let mut scratch = vec![f64::NAN; scheme.scratch_rows() * WIDTH];
    scheme.begin(&x, &mut scratch, span)?;
    scheme.step(&Step { t: 0.0, h, dw: &dw, beside, at, span }, &mut x, &mut scratch)?;
    Ok(Matrix::from_fn(dim, dim + INPUTS, |i, j| x[i * WIDTH + j]))
}

fn product(a: &Matrix<f64>, b: &Matrix<f64>) -> Matrix<f64> {
    Matrix::from_fn(a.rows(), b.cols(), |i, j| (0..a.cols()).map(|k| a[(i, k)] * b[(k, j)]).sum())
}

/// The stationary covariance of `y' = A y + B z`, with the covariance of z.
fn stationary(a: &Matrix<f64>, b: &Matrix<f64>, of_inputs: &Matrix<f64>) -> Matrix<f64> {
    let around = |m: &Matrix<f64>, cov: &Matrix<f64>| product(&product(m, cov), &m.transposed());
    let (mut power, mut sum) = (a.clone(), around(b, of_inputs));
    for _ in 0..40 {
        let later = around(&power, &sum);
        sum = Matrix::from_fn(sum.rows(), sum.cols(), |i, j| sum[(i, j)] + later[(i, j)]);
        power = product(&power, &power);
    }
    sum
}

fn inputs(h: f64) -> Matrix<f64> {
    let mut cov = Matrix::identity(INPUTS);
    let path = [[h, h * h / 2.0], [h * h / 2.0, h * h * h / 3.0]];
    for i in 0..2 {
        for j in 0..2 {
            cov[(i, j)] = path[i][j];
        }
    }
    cov[(4, 4)] = h;
    cov
}

fn harmonic(curvature: f64, temperature: f64, friction: f64, mass: f64) -> Result<Arc<dyn Sde<f64>>> {
    let bowl = Quadratic::diagonal(vec![curvature], None)?;
    Ok(Arc::new(UnderdampedLangevin {
        loss: Arc::new(bowl.cast::<f64>()),
        inverse_mass: vec![1.0 / mass],
        friction: vec![friction / mass],
        deviations: vec![(2.0 * friction * temperature).sqrt() / mass],
        quadratic: Some(bowl),
    }))
}

fn law(name: &str, sde: Arc<dyn Sde<f64>>, h: f64) -> Result<Matrix<f64>> {
    let step = one_step(stepper(name, sde, h)?.as_ref(), h)?;
    let a = Matrix::from_fn(2, 2, |i, j| step[(i, j)]);
    let b = Matrix::from_fn(2, INPUTS, |i, j| step[(i, j + 2)]);
    Ok(stationary(&a, &b, &inputs(h)))
}

#[test]
fn stationary_laws_of_the_harmonic_well() -> Result<()> {
    for (name, h, x, v) in [
        ("baoab", 0.4, 1.0, 0.96),
        ("obabo", 0.4, 1.0416666667, 1.0),
        ("ubu", 0.4, 0.9734361437, 1.0134820146),
        ("baoab", 0.2, 1.0, 0.99),
        ("obabo", 0.2, 1.0101010101, 1.0),
        ("ubu", 0.2, 0.9933395219, 1.0033423212),
    ] {
        let cov = law(name, harmonic(1.0, 1.0, 1.0, 1.0)?, h)?;
        assert!((cov[(0, 0)] - x).abs() < 1e-10 && (cov[(1, 1)] - v).abs() < 1e-10, "{name} {h}: {cov:?}");
    }
    Ok(())
}

#[test]
fn closed_forms_with_mass_and_temperature() -> Result<()> {
    let (l, t, g, m, h) = (2.0, 0.3, 0.7, 1.7, 0.5);
    let square = h * h * l / (4.0 * m);
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12 * b, "{a} {b}");
    let cov = law("baoab", harmonic(l, t, g, m)?, h)?;
    near(cov[(0, 0)], t / l);
    near(cov[(1, 1)], t / m * (1.0 - square));
    let cov = law("obabo", harmonic(l, t, g, m)?, h)?;
    near(cov[(0, 0)], t / l / (1.0 - square));
    near(cov[(1, 1)], t / m);
    Ok(())
}

#[test]
fn the_bias_is_of_order_two() -> Result<()> {
    for name in ["obabo", "ubu"] {
        let bias = |h| law(name, harmonic(1.0, 1.0, 1.0, 1.0)?, h).map(|cov| cov[(0, 0)] - 1.0);
        let ratio = bias(0.02)? / bias(0.01)?;
        assert!((ratio - 4.0).abs() < 0.01, "{name}: {ratio}");
    }
    Ok(())
}

#[test]
fn averaged_increments_are_exact_on_a_quadratic() -> Result<()> {
    let (h, l, t) = (0.4, 2.0, 0.3);
    let noise = Arc::new(Gaussian(Factor::of_variances(&[2.0 * t])));
    let sde = Arc::new(GradientSde::new(Arc::new(Quadratic::diagonal(vec![l], None)?), noise, 1.0, None, None));
    let step = one_step(stepper("leimkuhler_matthews", sde, h)?.as_ref(), h)?;
    let root = (2.0 * t).sqrt();
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
    [1.0 - h * l, 0.5 * root, 0.5 * root].iter().zip([0, 1, 5]).for_each(|(c, j)| near(step[(0, j)], *c));
    // The increment ahead is the next step's own: it becomes part of the state.
    let a = Matrix::new(2, 2, vec![step[(0, 0)], step[(0, 1)], 0.0, 0.0])?;
    let b = Matrix::new(2, 1, vec![step[(0, 5)], 1.0])?;
    let cov = stationary(&a, &b, &Matrix::new(1, 1, vec![h])?);
    near(cov[(0, 0)], t / l);
    Ok(())
}

/// With two coordinates that share their noise, the step by a full factor is that of the factor's products.
#[test]
fn full_noise_is_the_factor_times_noise_by_coordinate() -> Result<()> {
    let (h, mu, span) = (0.3, 0.8, Span { n: WIDTH, width: WIDTH });
    let cov = Matrix::new(2, 2, vec![1.0, 0.6, 0.6, 2.0])?;
    let factor = Factor::of_covariance(&cov)?;
    let momentum = |factor: Factor| -> Result<Arc<dyn Sde<f64>>> {
        Ok(Arc::new(MomentumSde {
            loss: Arc::new(Quadratic::diagonal(vec![1.0, 3.0], None)?),
            noise: GradientNoise::new(Arc::new(Gaussian(factor)), -0.5),
            rates: Rates::new(Some(vec![1.0, 0.5]), Schedule::Constant, 0.1)?,
            eps: 0.1,
            friction: Friction::Constant(mu),
            nesterov: false,
            decay: 0.0,
            second: false,
            quadratic: None,
        }))
    };
    let by_coordinate = Factor::Diagonal(vec![1.0, 1.0]);
    let numbers = |seed: usize, rows: usize| -> Vec<f64> {
        (0..rows * WIDTH).map(|k| ((seed * 31 + k * 7) as f64 * 0.37).sin()).collect()
    };
    let mixed = |raw: &[f64]| -> Vec<f64> {
        let block = |of: &[f64]| -> Vec<f64> {
            let sum = |i: usize, p: usize| (0..2).map(|j| factor.entry(i, j) * of[j * WIDTH + p]).sum();
            (0..2 * WIDTH).map(|k| sum(k / WIDTH, k % WIDTH)).collect()
        };
        raw.chunks_exact(2 * WIDTH).flat_map(block).collect()
    };
    for name in ["baoab", "obabo", "ubu"] {
        let run = |scheme: Arc<dyn Stepper<f64>>, noise: [Vec<f64>; 3]| -> Result<Vec<f64>> {
            let [dw, time_integrals, residuals] = &noise;
            let beside = Beside { time_integrals, residuals, ..Beside::default() };
            let at = StepAddress { key: 0, first_path: 0, cell: 0, cells: 1, antithetic: false };
            let (mut x, mut scratch) = (numbers(4, 4), vec![f64::NAN; scheme.scratch_rows() * WIDTH]);
            scheme.begin(&x, &mut scratch, span)?;
            scheme.step(&Step { t: 0.0, h, dw, beside, at, span }, &mut x, &mut scratch)?;
            Ok(x)
        };
        let raw = [numbers(1, 2), numbers(2, 2), numbers(3, 4)];
        let full = run(stepper(name, momentum(factor.clone())?, h)?, raw.clone())?;
        let own = run(stepper(name, momentum(by_coordinate.clone())?, h)?, raw.map(|raw| mixed(&raw)))?;
        assert!(full.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-14), "{name}");
    }
    Ok(())
}
