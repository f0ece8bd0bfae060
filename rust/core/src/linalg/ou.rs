//! The exact step of a linear equation with constant noise, `dX = -B X dt + S dW` with `S Sᵀ = Q`.

use super::Matrix;
use crate::error::{Error, Result};

/// Terms of the series, and the norm of `B h` below which they are exact to rounding.
const TERMS: usize = 14;
const SMALL: f64 = 0.25;

/// What takes `X(t)` to `X(t + h)`: `X(t + h) = phi X(t) + I`, where `I` is Gaussian with mean 0.
#[derive(Clone, Debug, PartialEq)]
pub struct OuStep {
    /// `exp(-B h)`.
    pub phi: Matrix<f64>,
    /// `∫₀ʰ exp(-B r) dr`: given the increment `ΔW` of the step, `I` has the mean `integral · S ΔW / h`.
    pub integral: Matrix<f64>,
    /// The covariance of `I`: `∫₀ʰ exp(-B r) Q exp(-Bᵀ r) dr`.
    pub cov: Matrix<f64>,
    /// The covariance of `I` given `ΔW`: `cov - integral Q integralᵀ / h`, but without its cancellation.
    pub residual_cov: Matrix<f64>,
}

/// The exact step of length `h` for the drift matrix `b` and the noise covariance (rate) `q`.
///
/// Four quantities are found without subtractions by series at `h / 2ᵏ` and then doubled `k` times: `phi`, `phi - 1`,
/// `integral` and `residual_cov`. So it is accurate for tiny steps and for long ones, stable or not, and where some
/// rates are many orders of magnitude above others: what squares of `phi` lose of a slow one, `phi - 1` keeps.
pub fn ou_step(b: &Matrix<f64>, q: &Matrix<f64>, h: f64) -> Result<OuStep> {
    b.check_square("b")?;
    q.check_square("q")?;
    if b.rows() != q.rows() {
        return Err(Error::invalid("q", format!("dimension {}, but b has {}", q.rows(), b.rows())));
    }
    if !(h.is_finite() && h > 0.0) {
        return Err(Error::invalid("h", format!("{h} is not a positive time")));
    }
    let q = &q.symmetrised();
    let doublings = halvings(b.norm() * h, SMALL)?;
    let mut step = h * 0.5f64.powi(doublings);
    let (mut phi, mut change, mut integral, mut residual) = series(b, q, step);
    for _ in 0..doublings {
        // The two halves differ in their increments D = W₁ - W₂, with E D² = 2 step, through (phi - 1) integral.
        let across = change.times(&integral);
        residual = residual.plus(1.0, &phi.congruence(&residual)).plus(0.5 / step, &across.congruence(q));
        integral = integral.plus(1.0, &phi.times(&integral));
        phi = phi.times(&phi);
        change = change.scaled(2.0).plus(1.0, &change.times(&change));
        for i in (0..b.rows()).filter(|&i| change[(i, i)].abs() < 0.5) {
            phi[(i, i)] = 1.0 + change[(i, i)];
        }
        step *= 2.0;
    }
    let cov = residual.plus(1.0 / h, &integral.congruence(q));
    Ok(OuStep { phi, integral, cov, residual_cov: residual })
}

/// How often to halve `norm` until it is at most `small`.
pub(super) fn halvings(norm: f64, small: f64) -> Result<i32> {
    let count = (norm / small).log2().ceil().max(0.0);
    if count > 1000.0 {
        return Err(Error::invalid("a", format!("a matrix of norm {norm:e} has no usable exponential")));
    }
    Ok(count as i32)
}

/// `phi`, `phi - 1`, `integral` and `residual_cov` for a small step.
///
/// With `P_a = (-B h)ᵃ` they are `Σ P_a / a!`, the same from `a = 1` on, `h Σ P_a / (a + 1)!` and
/// `h Σ w_a w_b / (a + b + 1) P_a Q P_bᵀ` where `w_a = a / (a + 1)!`, since `1 / (a + b + 1) - 1 / ((a + 1) (b + 1)) = a b / ((a + b + 1) (a + 1) (b + 1))`.
fn series(b: &Matrix<f64>, q: &Matrix<f64>, h: f64) -> (Matrix<f64>, Matrix<f64>, Matrix<f64>, Matrix<f64>) {
    let d = b.rows();
    let step = b.scaled(-h);
    let mut powers = vec![Matrix::identity(d)];
    let mut factorial = vec![1.0];
    for a in 1..=TERMS + 1 {
        powers.push(powers[a - 1].times(&step));
        factorial.push(factorial[a - 1] * a as f64);
    }
    let (mut change, mut integral, mut residual) = (Matrix::zeros(d, d), Matrix::zeros(d, d), Matrix::zeros(d, d));
    for a in (0..=TERMS).rev() {
        if a > 0 {
            change = change.plus(1.0 / factorial[a], &powers[a]);
        }
        integral = integral.plus(h / factorial[a + 1], &powers[a]);
    }
    for a in (1..=TERMS).rev() {
        let mut right = Matrix::zeros(d, d);
        for b in (1..=TERMS).rev() {
            right = right.plus(b as f64 / factorial[b + 1] / (a + b + 1) as f64, &powers[b]);
        }
        residual = residual.plus(h * a as f64 / factorial[a + 1], &powers[a].times(q).times(&right.transposed()));
    }
    (change.plus(1.0, &powers[0]), change, integral, residual.symmetrised())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::expm::expm;
    use crate::linalg::{cholesky, cholesky_beside};

    fn square(data: &[f64]) -> Matrix<f64> {
        let d = data.len().isqrt();
        Matrix::new(d, d, data.to_vec()).unwrap()
    }

    fn near(a: &Matrix<f64>, b: &[f64], tolerance: f64) {
        for (x, y) in a.as_slice().iter().zip(b) {
            assert!((x - y).abs() <= tolerance, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_worked_example() {
        let (b, q) = (square(&[2.0, 0.5, 0.5, 1.0]), square(&[0.1, 0.03, 0.03, 0.05]));
        let step = ou_step(&b, &q, 0.3).unwrap();
        near(&step.phi, &[0.5556655, -0.09636317, -0.09636317, 0.74839184], 1e-8);
        near(&step.cov, &[0.01693242, 0.00414237, 0.00414237, 0.01062579], 1e-8);
    }

    #[test]
    fn one_dimension_in_closed_form() {
        for (b, h) in [(1.0f64, 1e-9f64), (0.7, 1e-3), (2.0, 0.3), (50.0, 3.0), (-1.5, 2.0), (0.0, 0.4)] {
            let step = ou_step(&square(&[b]), &square(&[0.3]), h).unwrap();
            let z = b * h;
            let e1 = if z == 0.0 { 1.0 } else { -(-z).exp_m1() / z };
            let e2 = if z == 0.0 { 1.0 } else { -(-2.0 * z).exp_m1() / (2.0 * z) };
            let tolerance = 1e-15 * (4.0 + z.abs());
            let near = |a: f64, b: f64| assert!((a - b).abs() <= tolerance * b.abs(), "{a} {b} at {z}");
            near(step.phi[(0, 0)], (-z).exp());
            near(step.integral[(0, 0)], h * e1);
            near(step.cov[(0, 0)], 0.3 * h * e2);
            let residual = if z.abs() < 1e-2 {
                0.3 * h * z * z * (1.0 / 12.0 - z / 12.0 + z * z * (17.0 / 360.0))
            } else {
                0.3 * h * (e2 - e1 * e1)
            };
            let rough = step.residual_cov[(0, 0)];
            assert!((rough - residual).abs() <= 1e-7 * residual, "{rough} {residual} at {z}");
        }
    }

    #[test]
    fn slow_rates_beside_fast_ones_in_closed_form() {
        // Underdamped motion in a bowl of curvature 2 at temperature 1, with friction from moderate to enormous.
        let h = 2.0f64;
        for friction in [10.0f64, 1e4, 1e8, 1e12] {
            let (b, q) = (square(&[0.0, -1.0, h, friction]), square(&[0.0, 0.0, 0.0, 2.0 * friction]));
            let root = (friction * friction - 4.0 * h).sqrt();
            let (fast, slow) = (0.5 * (friction + root), 2.0 * h / (friction + root));
            for t in [0.01, 1.0, friction] {
                let step = ou_step(&b, &q, t).unwrap();
                let x = (fast * (-slow * t).exp() - slow * (-fast * t).exp()) / root;
                let y = ((-slow * t).exp() - (-fast * t).exp()) / root;
                assert!((step.phi[(0, 0)] - x).abs() <= 1e-12, "{} {x} at {friction} {t}", step.phi[(0, 0)]);
                assert!((step.phi[(0, 1)] - y).abs() <= 1e-12 * y, "{} {y} at {friction} {t}", step.phi[(0, 1)]);
                // What the stationary law, of variance 1 / h, has forgotten.
                let cov = (1.0 - x * x) / h - y * y;
                assert!((step.cov[(0, 0)] - cov).abs() <= 1e-12, "{} {cov} at {friction} {t}", step.cov[(0, 0)]);
                let variances = [step.cov[(0, 0)], step.cov[(1, 1)]];
                let factor = cholesky_beside(&step.residual_cov, &variances, "cov").unwrap();
                let back = factor.congruence(&Matrix::identity(2));
                assert!(back.plus(-1.0, &step.residual_cov).norm() <= 1e-12 * back.norm());
            }
        }
    }

    #[test]
    fn steps_compose_and_residuals_are_covariances() {
        let b = square(&[2.0, 3.5, -0.5, -0.2, 1.0, 0.3, 0.1, 0.0, 40.0]);
        let q = square(&[0.1, 0.03, 0.0, 0.03, 0.05, 0.01, 0.0, 0.01, 0.2]);
        for h in [1e-6, 0.01, 0.3, 5.0] {
            let (one, two) = (ou_step(&b, &q, h).unwrap(), ou_step(&b, &q, 2.0 * h).unwrap());
            let composed = one.cov.plus(1.0, &one.phi.congruence(&one.cov));
            assert!(two.cov.plus(-1.0, &composed).norm() <= 1e-13 * composed.norm());
            assert!(expm(&b.scaled(-h)).unwrap().plus(-1.0, &one.phi).norm() <= 1e-13);
            let plain = one.cov.plus(-1.0 / h, &one.integral.congruence(&q));
            assert!(plain.plus(-1.0, &one.residual_cov).norm() <= 1e-14 * one.cov.norm());
            cholesky(&one.residual_cov, "cov").unwrap();
        }
    }
}
