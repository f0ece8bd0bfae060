//! Covariances of factors, one a path: their sums, their lower roots, and noise made white by them.

use super::semidefinite::Semidefinite;
use crate::elementwise::{at, put};
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};

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

/// Puts the lower root of a covariance of `d·d` rows in its place: that of the nearest one there is, where rounding or more
/// has left none. `sizes` are those of the terms of its diagonal, `d` rows.
pub(crate) fn lower_root<T: Real>(covariance: &mut [T], sizes: &[T], width: usize) {
    Semidefinite { sizes, scale: T::from_f64(1.0), rows: covariance, width }.factor();
}

/// Copies the diagonal of `d·d` rows.
pub(crate) fn diagonal<T: Real>(matrix: &[T], out: &mut [T], width: usize) {
    let d = out.len() / width;
    for (i, row) in out.chunks_exact_mut(width).enumerate() {
        row.copy_from_slice(&matrix[i * (d + 1) * width..][..width]);
    }
}

/// `out` with `L out = y`, `d` rows, for a lower root `L`; 0 where that has no column.
pub(crate) fn whiten<T: Real>(root: &[T], y: &[T], out: &mut [T], width: usize) {
    let d = out.len() / width;
    assert!(root.len() == d * d * width && y.len() >= out.len());
    dispatch(Whiten { root, y, out, width });
}

struct Whiten<'a, T> {
    root: &'a [T],
    y: &'a [T],
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Whiten<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { root, y, out, width } = self;
        let (d, zero) = (out.len() / width, <T::V<S>>::constant(0.0));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let entry = |i: usize, j: usize| at::<T::V<S>>(root, (i * d + j) * width + p);
            for i in 0..d {
                let rest = (0..i).fold(at::<T::V<S>>(y, i * width + p), |rest, k| {
                    (-entry(i, k)).mul_add(at(out, k * width + p), rest)
                });
                put(out, i * width + p, zero.choose_lt(entry(i, i), rest / entry(i, i), zero));
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
    fn noise_is_white_in_as_many_directions_as_it_has() {
        // The third parameter moves as the first and the second together: a covariance of rank two.
        let factor = [0.6, 0.1, -0.4, 0.2, 0.9, 0.3, 0.8, 1.0, -0.1];
        let mut root = vec![0.0; 9 * WIDTH];
        add_covariance(&block(&factor), 3, &mut root, WIDTH);
        let mut sizes = vec![0.0; 3 * WIDTH];
        diagonal(&root, &mut sizes, WIDTH);
        for i in 0..3 {
            let exact: f64 = (0..3).map(|k| factor[3 * i + k] * factor[k]).sum();
            assert!((root[3 * i * WIDTH] - exact).abs() < 1e-15 && root[3 * i * WIDTH] == root[i * WIDTH]);
        }
        lower_root(&mut root, &sizes, WIDTH);
        let columns = [0, 1, 2].map(|k| {
            let mut white = vec![0.0; 3 * WIDTH];
            whiten(&root, &block(&[factor[k], factor[3 + k], factor[6 + k]]), &mut white, WIDTH);
            [0, 1, 2].map(|i| white[i * WIDTH])
        });
        for (i, j) in (0..9).map(|r| (r / 3, r % 3)) {
            let found: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
            let exact = if i == j && i < 2 { 1.0 } else { 0.0 };
            assert!((found - exact).abs() < 1e-12, "{i} {j}: {found}");
        }
    }
}
