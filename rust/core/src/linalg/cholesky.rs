//! The Cholesky factor of a symmetric positive semi-definite matrix.

use super::Matrix;
use crate::error::{Error, Result};

/// The lower triangular `L` with `L Lᵀ = a`, for a symmetric `a` that may be singular: then its last columns are zero.
///
/// Pivots count as zero relative to their own diagonal element, so that variances of very different sizes are kept. A
/// matrix that is not symmetric, or not positive semi-definite, is an error on `argument` that names the pivot.
pub fn cholesky(a: &Matrix<f64>, argument: &str) -> Result<Matrix<f64>> {
    a.check_square(argument)?;
    let d = a.rows();
    let scale = (0..d).map(|i| a[(i, i)]).fold(0.0, f64::max);
    for i in 0..d {
        for j in 0..i {
            let (lower, upper) = (a[(i, j)], a[(j, i)]);
            if (lower - upper).abs() > 1e-12 * lower.abs().max(upper.abs()).max(scale) {
                let message = format!("not symmetric: element ({i}, {j}) is {lower:e} but ({j}, {i}) is {upper:e}");
                return Err(Error::invalid(argument, message));
            }
        }
    }
    let tolerance = 64.0 * d as f64 * f64::EPSILON;
    match definite(a, tolerance) {
        Some(factor) => Ok(factor),
        None => semi_definite(a, scale, tolerance, argument).map(triangular),
    }
}

/// The factor of a covariance that was found with errors of rounding relative to `variances`, which may be far above its
/// own: where they have made it indefinite, errors of that size on its diagonal mend it.
pub fn cholesky_beside(a: &Matrix<f64>, variances: &[f64], argument: &str) -> Result<Matrix<f64>> {
    cholesky(a, argument).or_else(|_| {
        let rounding = 64.0 * a.rows() as f64 * f64::EPSILON;
        cholesky(&a.plus(rounding, &Matrix::of_diagonal(variances)), argument)
    })
}

/// The factor, unless a pivot is within rounding of zero.
fn definite(a: &Matrix<f64>, tolerance: f64) -> Option<Matrix<f64>> {
    let d = a.rows();
    let mut factor = Matrix::zeros(d, d);
    for j in 0..d {
        let rest = |factor: &Matrix<f64>, i: usize| (0..j).fold(a[(i, j)], |s, k| s - factor[(i, k)] * factor[(j, k)]);
        let pivot = rest(&factor, j);
        if pivot.is_nan() || pivot <= tolerance * a[(j, j)] || pivot <= 0.0 {
            return None;
        }
        let root = pivot.sqrt();
        factor[(j, j)] = root;
        for i in j + 1..d {
            factor[(i, j)] = rest(&factor, i) / root;
        }
    }
    Some(factor)
}

/// Some `F` with `F Fᵀ = a`, by taking the relatively largest pivot first, so that rounding does not grow.
fn semi_definite(a: &Matrix<f64>, scale: f64, tolerance: f64, argument: &str) -> Result<Matrix<f64>> {
    let d = a.rows();
    let (mut rest, mut factor) = (a.clone(), Matrix::zeros(d, d));
    let mut left: Vec<usize> = (0..d).collect();
    for column in 0..d {
        let relative = |j: usize| if a[(j, j)] > 0.0 { rest[(j, j)] / a[(j, j)] } else { 0.0 };
        let best = left.iter().enumerate().map(|(at, &j)| (at, relative(j)));
        let (at, largest) = best.fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best });
        if largest <= tolerance {
            break;
        }
        let j = left.remove(at);
        let root = rest[(j, j)].sqrt();
        factor[(j, column)] = root;
        for &i in &left {
            factor[(i, column)] = rest[(i, j)] / root;
        }
        for &i in &left {
            for &k in &left {
                rest[(i, k)] -= factor[(i, column)] * factor[(k, column)];
            }
        }
    }
    // What is left of a semi-definite matrix is rounding: on the diagonal, and so off it.
    for &j in &left {
        let off = left.iter().filter(|&&i| i != j).map(|&i| rest[(i, j)].abs()).fold(0.0, f64::max);
        if rest[(j, j)] < -tolerance * scale || off > 4.0 * tolerance * scale || (scale == 0.0 && off > 0.0) {
            let pivot = rest[(j, j)];
            let message = format!(
                "not positive semi-definite: pivot {j} of its Cholesky factor is {pivot:e}, beside elements of size {off:e}"
            );
            return Err(Error::invalid(argument, message));
        }
    }
    Ok(factor)
}

/// The lower triangular matrix with the same `F Fᵀ`, by rotations of the columns.
fn triangular(mut factor: Matrix<f64>) -> Matrix<f64> {
    let d = factor.rows();
    let mut column = 0;
    for row in 0..d {
        for j in column + 1..d {
            let (a, b) = (factor[(row, column)], factor[(row, j)]);
            if b == 0.0 {
                continue;
            }
            let length = a.hypot(b);
            let (cos, sin) = (a / length, b / length);
            for i in row..d {
                let (a, b) = (factor[(i, column)], factor[(i, j)]);
                factor[(i, column)] = cos * a + sin * b;
                factor[(i, j)] = cos * b - sin * a;
            }
            factor[(row, j)] = 0.0;
        }
        // A row without a part of its own leaves its column to the next row.
        let own = factor[(row, column)];
        let length = (0..=column).map(|k| factor[(row, k)] * factor[(row, k)]).sum::<f64>().sqrt();
        if own.abs() <= 1e-14 * length || own == 0.0 {
            factor[(row, column)] = 0.0;
        } else if column + 1 < d {
            column += 1;
        }
    }
    factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_factor_gives_the_matrix_back(d in 1usize..9, rank in 1usize..9, seed in any::<u64>()) {
            let mut state = seed | 1;
            let f: Vec<f64> = (0..d * rank).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
            }).collect();
            let f = Matrix::new(d, rank, f).unwrap();
            let a = f.congruence(&Matrix::identity(rank));
            let l = cholesky(&a, "cov").unwrap();
            let back = l.congruence(&Matrix::identity(d));
            prop_assert!(a.plus(-1.0, &back).norm() <= 1e-12 * a.norm().max(1e-300) , "{a:?} {back:?}");
            for i in 0..d { for j in i + 1..d { prop_assert_eq!(l[(i, j)], 0.0); } }
        }
    }

    #[test]
    fn tiny_variances_are_kept() {
        let a = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1e-24]).unwrap();
        assert_eq!(cholesky(&a, "cov").unwrap()[(1, 1)], 1e-12);
    }

    #[test]
    fn singular_covariances_have_triangular_factors() {
        let ones = Matrix::from_fn(3, 3, |_, _| 4.0);
        let l = cholesky(&ones, "cov").unwrap();
        assert_eq!(l.as_slice(), [2.0, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
        let late = Matrix::new(3, 3, vec![0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 2.0, 4.0]).unwrap();
        let l = cholesky(&late, "cov").unwrap();
        assert!(late.plus(-1.0, &l.congruence(&Matrix::identity(3))).norm() < 1e-15, "{l:?}");
        let mixed = Matrix::new(2, 2, vec![1e-20, 1e-10, 1e-10, 1.0]).unwrap();
        let l = cholesky(&mixed, "cov").unwrap();
        assert!((l[(0, 0)] - 1e-10).abs() < 1e-24 && (l[(1, 0)] - 1.0).abs() < 1e-14, "{l:?}");
    }

    #[test]
    fn zeros_are_a_covariance() {
        assert_eq!(cholesky(&Matrix::zeros(3, 3), "cov").unwrap(), Matrix::zeros(3, 3));
    }

    #[test]
    fn errors_beside_large_variances_are_mended() {
        // Of rank 1 but for an error of 1e-9 in a variance of 1e-16 that is what is left of one of 1e-9.
        let a = Matrix::new(2, 2, vec![1e-16 * (1.0 - 1e-9), -1e-8, -1e-8, 1.0]).unwrap();
        assert!(cholesky(&a, "cov").is_err());
        let l = cholesky_beside(&a, &[1e-9, 1.0], "cov").unwrap();
        let error = a.plus(-1.0, &l.congruence(&Matrix::identity(2)));
        assert!(error[(0, 0)].abs() < 1e-22 && error[(0, 1)].abs() < 1e-20 && error[(1, 1)].abs() < 1e-12, "{error:?}");
        let indefinite = Matrix::new(2, 2, vec![1.0, 2.0, 2.0, 1.0]).unwrap();
        assert!(cholesky_beside(&indefinite, &[1.0, 1.0], "cov").is_err());
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        let indefinite = Matrix::new(2, 2, vec![1.0, 2.0, 2.0, 1.0]).unwrap();
        assert!(cholesky(&indefinite, "cov").unwrap_err().to_string().contains("pivot 1"));
        let hidden = Matrix::new(2, 2, vec![0.0, 1.0, 1.0, 1.0]).unwrap();
        assert!(cholesky(&hidden, "cov").unwrap_err().to_string().contains("pivot 0"));
        let lopsided = Matrix::new(2, 2, vec![1.0, 0.5, 0.4, 1.0]).unwrap();
        assert!(cholesky(&lopsided, "cov").unwrap_err().to_string().contains("not symmetric"));
        assert!(cholesky(&Matrix::zeros(2, 3), "cov").is_err());
        assert!(cholesky(&Matrix::new(1, 1, vec![f64::NAN]).unwrap(), "cov").is_err());
    }
}
