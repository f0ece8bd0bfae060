//! Covariances of factors, one a path: their sums, their lower roots, and what solves equations with them.

use super::semidefinite::Semidefinite;
use crate::elementwise::{at, put};
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::workspace::with_workspace;

/// `out += F Fᵀ`, `d·d` rows, for a factor of `d` times some columns.
pub(crate) fn add_covariance<T: Real>(f: &[T], d: usize, out: &mut [T], width: usize) {
    assert!(f.len().is_multiple_of(d * width) && out.len() == d * d * width);
    dispatch(Covariance { f, d, out, width });
}

struct Covariance<'a, T> {
    f: &'a [T],
    d: usize,
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Covariance<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { f, d, out, width } = self;
        let m = f.len() / (d * width);
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            for i in 0..d {
                for j in 0..i + 1 {
                    let mut sum = <T::V<S>>::constant(0.0);
                    for k in 0..m {
                        let entry = |row: usize| at::<T::V<S>>(f, (row * m + k) * width + p);
                        sum = entry(i).mul_add(entry(j), sum);
                    }
                    let sum = at::<T::V<S>>(out, (i * d + j) * width + p) + sum;
                    put(out, (i * d + j) * width + p, sum);
                    put(out, (j * d + i) * width + p, sum);
                }
            }
        }
    }
}

/// Puts the lower root of a covariance of `d·d` rows in its place, that of its own as far as rounding lets.
pub(crate) fn lower_root<T: Real>(covariance: &mut [T], d: usize, width: usize) {
    with_workspace(d * width, |sizes| {
        for (i, size) in sizes.chunks_exact_mut(width).enumerate() {
            size.copy_from_slice(&covariance[i * (d + 1) * width..][..width]);
        }
        Semidefinite { sizes, scale: T::from_f64(1.0), rows: covariance, width }.factor();
    });
}

/// Adds `weight` times a diagonal that is above `change` and `-change`, symmetric matrices, to a covariance: with
/// `s_i² = Σ_ii + |change_ii|` it is `Σ_j |change_ij| s_i / s_j`, whatever the units and the order of the coordinates.
pub(crate) fn add_majorant<T: Real>(change: &[T], weight: f64, covariance: &mut [T], d: usize, width: usize) {
    assert!(change.len() == d * d * width && covariance.len() == change.len());
    with_workspace(d * width, |sizes| dispatch(Majorant { change, weight, covariance, sizes, width }));
}

struct Majorant<'a, T> {
    change: &'a [T],
    weight: f64,
    covariance: &'a mut [T],
    /// For the `s_i`.
    sizes: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Majorant<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { change, weight, covariance, sizes, width } = self;
        let (d, zero, weight) = (sizes.len() / width, <T::V<S>>::constant(0.0), <T::V<S>>::constant(weight));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let entry = |i: usize, j: usize| at::<T::V<S>>(change, (i * d + j) * width + p).abs();
            for i in 0..d {
                let square = at::<T::V<S>>(covariance, i * (d + 1) * width + p) + entry(i, i);
                put(sizes, i * width + p, square.sqrt());
            }
            for i in 0..d {
                let mut sum = zero;
                for j in 0..d {
                    let size = at::<T::V<S>>(sizes, j * width + p);
                    sum = sum + zero.choose_lt(size, entry(i, j) / size, zero);
                }
                let above = weight * at(sizes, i * width + p) * sum;
                let diagonal = at::<T::V<S>>(covariance, i * (d + 1) * width + p) + above;
                put(covariance, i * (d + 1) * width + p, diagonal);
            }
        }
    }
}

/// `out` with `Σ out = y`, `d` rows, for the lower root of `Σ` and a `y` that `Σ` reaches; 0 where the root has no column.
pub(crate) fn solve<T: Real>(root: &[T], y: &[T], out: &mut [T], width: usize) {
    let d = out.len() / width;
    assert!(root.len() == d * d * width && y.len() >= out.len());
    dispatch(Solve { root, y, out, width });
}

struct Solve<'a, T> {
    root: &'a [T],
    y: &'a [T],
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Solve<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { root, y, out, width } = self;
        let (d, zero) = (out.len() / width, <T::V<S>>::constant(0.0));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let entry = |i: usize, j: usize| at::<T::V<S>>(root, (i * d + j) * width + p);
            let over = |rest: T::V<S>, i: usize| zero.choose_lt(entry(i, i), rest / entry(i, i), zero);
            for i in 0..d {
                let rest = (0..i).fold(at::<T::V<S>>(y, i * width + p), |rest, k| {
                    (-entry(i, k)).mul_add(at(out, k * width + p), rest)
                });
                put(out, i * width + p, over(rest, i));
            }
            for i in (0..d).rev() {
                let rest = (i + 1..d).fold(at::<T::V<S>>(out, i * width + p), |rest, k| {
                    (-entry(k, i)).mul_add(at(out, k * width + p), rest)
                });
                put(out, i * width + p, over(rest, i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 16;

    /// A block whose lanes are alike.
    fn block(entries: &[f64]) -> Vec<f64> {
        entries.iter().flat_map(|x| [*x; WIDTH]).collect()
    }

    #[test]
    fn equations_are_solved_where_they_can_be() {
        // The third parameter moves as the first and the second together: a covariance of rank two.
        let factor = [0.6, 0.1, -0.4, 0.2, 0.9, 0.3, 0.8, 1.0, -0.1];
        let mut covariance = vec![0.0; 9 * WIDTH];
        add_covariance(&block(&factor), 3, &mut covariance, WIDTH);
        let mut root = covariance.clone();
        lower_root(&mut root, 3, WIDTH);
        let y: Vec<f64> = (0..3).map(|i| 0.3 * factor[3 * i] - 0.7 * factor[3 * i + 2]).collect();
        let mut u = vec![0.0; 3 * WIDTH];
        solve(&root, &block(&y), &mut u, WIDTH);
        for i in 0..3 {
            let found: f64 = (0..3).map(|j| covariance[(i * 3 + j) * WIDTH] * u[j * WIDTH]).sum();
            assert!((found - y[i]).abs() < 1e-12, "{i}: {found} {}", y[i]);
            let exact: f64 = (0..3).map(|k| factor[3 * i + k] * factor[k]).sum();
            let [below, above] = [3 * i, i].map(|r| covariance[r * WIDTH]);
            assert!((below - exact).abs() < 1e-15 && below == above);
        }
        assert_eq!(u[2 * WIDTH], 0.0);
    }

    #[test]
    fn a_majorant_is_above_a_matrix_of_any_sign() {
        let (change, variances) = ([0.2, -0.5, 0.3, -0.5, -0.1, 0.0, 0.3, 0.0, 0.4], [1.0, 0.01, 0.0]);
        let mut covariance = vec![0.0; 9 * WIDTH];
        for (i, variance) in variances.iter().enumerate() {
            covariance[4 * i * WIDTH..][..WIDTH].fill(*variance);
        }
        add_majorant(&block(&change), 1.0, &mut covariance, 3, WIDTH);
        let sizes = [0, 1, 2].map(|i| (variances[i] + change[4 * i].abs()).sqrt());
        for i in 0..3 {
            let above: f64 = (0..3).map(|j| change[3 * i + j].abs() * sizes[i] / sizes[j]).sum();
            assert!((covariance[4 * i * WIDTH] - variances[i] - above).abs() < 1e-15);
        }
        for x in [[1.0, 1.0, 1.0], [0.1, -1.0, 0.2], [-0.4, 0.3, 1.0], [1.0, 0.0, 0.0]] {
            let of = |entry: &dyn Fn(usize, usize) -> f64| {
                (0..9).map(|r| x[r / 3] * entry(r / 3, r % 3) * x[r % 3]).sum::<f64>()
            };
            let form = of(&|i, j| change[3 * i + j]);
            let above = of(&|i, j| if i == j { covariance[4 * i * WIDTH] - variances[i] } else { 0.0 });
            assert!(above >= form.abs());
        }
    }
}
