//! The solution of a small system of linear equations.

use super::Matrix;

/// The `x` with `a x = b`, by elimination with the largest pivots; none where `a` is singular.
pub(crate) fn solve(a: &Matrix<f64>, b: &[f64]) -> Option<Vec<f64>> {
    let d = b.len();
    debug_assert_eq!((a.rows(), a.cols()), (d, d));
    let (mut a, mut x) = (a.clone(), b.to_vec());
    for k in 0..d {
        let pivot = (k..d).fold(k, |best, i| if a[(i, k)].abs() > a[(best, k)].abs() { i } else { best });
        if a[(pivot, k)] == 0.0 || !a[(pivot, k)].is_finite() {
            return None;
        }
        x.swap(k, pivot);
        for j in k..d {
            let above = a[(k, j)];
            a[(k, j)] = a[(pivot, j)];
            a[(pivot, j)] = above;
        }
        for i in k + 1..d {
            let factor = a[(i, k)] / a[(k, k)];
            for j in k..d {
                a[(i, j)] -= factor * a[(k, j)];
            }
            x[i] -= factor * x[k];
        }
    }
    for k in (0..d).rev() {
        let known: f64 = (k + 1..d).map(|j| a[(k, j)] * x[j]).sum();
        x[k] = (x[k] - known) / a[(k, k)];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_gives_the_right_side_back() {
        let a = Matrix::new(3, 3, vec![0.0, 2.0, 1.0, 1.0, -1.0, 0.5, 3.0, 0.0, -2.0]).unwrap();
        let x = [1.5, -0.25, 4.0];
        let b: Vec<f64> = (0..3).map(|i| a.row(i).iter().zip(x).map(|(a, x)| a * x).sum()).collect();
        for (found, x) in solve(&a, &b).unwrap().iter().zip(x) {
            assert!((found - x).abs() < 1e-14);
        }
    }

    #[test]
    fn a_singular_matrix_has_none() {
        let a = Matrix::new(2, 2, vec![1.0, 2.0, 2.0, 4.0]).unwrap();
        assert_eq!(solve(&a, &[1.0, 1.0]), None);
        assert_eq!(solve(&Matrix::of_diagonal(&[1.0, f64::NAN]), &[1.0, 1.0]), None);
    }
}
