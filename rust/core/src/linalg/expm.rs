//! The matrix exponential by another way than the exact step's, to test that one against.

use super::Matrix;
use super::ou::halvings;
use crate::error::Result;

/// Terms of the Taylor series, and the norm below which they are exact to rounding: `0.5^17 / 17! < 2⁻⁶⁴`.
const TERMS: usize = 16;
const SMALL: f64 = 0.5;

/// `exp(a)`, by scaling and squaring of the Taylor series. The operations and their order depend on nothing but `a`.
pub(super) fn expm(a: &Matrix<f64>) -> Result<Matrix<f64>> {
    a.check_square("a")?;
    let halvings = halvings(a.norm(), SMALL)?;
    let identity = Matrix::identity(a.rows());
    let small = a.scaled(0.5f64.powi(halvings));
    let mut sum = identity.clone();
    for term in (1..=TERMS).rev() {
        sum = identity.plus(1.0 / term as f64, &small.times(&sum));
    }
    for _ in 0..halvings {
        sum = sum.times(&sum);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_exponentials() {
        let d = Matrix::new(2, 2, vec![-3.0, 0.0, 0.0, 2.0]).unwrap();
        let e = expm(&d).unwrap();
        assert!((e[(0, 0)] / (-3f64).exp() - 1.0).abs() < 1e-14 && (e[(1, 1)] / 2f64.exp() - 1.0).abs() < 1e-14);
        let rotation = expm(&Matrix::new(2, 2, vec![0.0, -20.0, 20.0, 0.0]).unwrap()).unwrap();
        assert!((rotation[(0, 0)] - 20f64.cos()).abs() < 1e-13 && (rotation[(1, 0)] - 20f64.sin()).abs() < 1e-13);
        let nilpotent = expm(&Matrix::new(2, 2, vec![0.0, 1e6, 0.0, 0.0]).unwrap()).unwrap();
        assert!((nilpotent[(0, 1)] - 1e6).abs() < 1e-9 && nilpotent[(0, 0)] == 1.0);
        assert_eq!(expm(&Matrix::zeros(3, 3)).unwrap(), Matrix::identity(3));
    }
}
