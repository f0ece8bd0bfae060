//! Cholesky's factors of positive semi-definite matrices, one a path.

use crate::elementwise::{at, put};
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};

/// The least pivots, beside the sizes of their terms: `ε^(2/3)`.
const F32_LEAST: f64 = 1.0 / (1_u64 << 15) as f64;
const F64_LEAST: f64 = 1.0 / (1_u64 << 35) as f64;

/// Matrices whose lower halves are in `d·d` rows. A pivot within rounding of zero is zero, and so is its column.
///
/// A pivot of the relative size `r` that is kept carries rounding of `ε / r` to those after it; one that is dropped leaves out
/// what is of the size `√r` beside the diagonal. The two are alike at `r = ε^(2/3)`.
pub(super) struct Semidefinite<'a, T> {
    /// What rounding is relative to: the sizes of the terms of each diagonal entry, `d` rows.
    pub sizes: &'a [T],
    /// What the factor is multiplied by.
    pub scale: T,
    pub rows: &'a mut [T],
    pub width: usize,
}

impl<T: Real> Semidefinite<'_, T> {
    /// Puts the factors in the place of the matrices.
    pub fn factor(self) {
        let d = self.sizes.len() / self.width;
        assert!(self.rows.len() >= d * d * self.width);
        dispatch(self);
    }
}

impl<T: Real> Kernel for Semidefinite<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { sizes, scale, rows, width } = self;
        let d = sizes.len() / width;
        let (zero, one) = (<T::V<S>>::constant(0.0), <T::V<S>>::constant(1.0));
        let scale = <T::V<S>>::splat(scale);
        let (least, tiny) =
            if T::BYTES == 4 { (F32_LEAST, f64::from(f32::MIN_POSITIVE)) } else { (F64_LEAST, f64::MIN_POSITIVE) };
        let (tolerance, tiny) = (<T::V<S>>::constant(least), <T::V<S>>::constant(tiny));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let place = |i: usize, j: usize| (i * d + j) * width + p;
            for j in 0..d {
                let mut pivot = at::<T::V<S>>(rows, place(j, j));
                for k in 0..j {
                    let entry = at::<T::V<S>>(rows, place(j, k));
                    pivot = (-entry).mul_add(entry, pivot);
                }
                let least = tolerance.mul_add(at(sizes, j * width + p), tiny);
                // What is not a number stays so.
                let inverse = pivot.choose_lt(least, zero, one / pivot.sqrt());
                put(rows, place(j, j), pivot.choose_lt(least, zero, pivot * inverse));
                for i in j + 1..d {
                    let mut rest = at::<T::V<S>>(rows, place(i, j));
                    for k in 0..j {
                        rest = (-at::<T::V<S>>(rows, place(i, k))).mul_add(at(rows, place(j, k)), rest);
                    }
                    put(rows, place(i, j), rest * inverse);
                    put(rows, place(j, i), zero);
                }
            }
            for i in 0..d {
                for j in 0..i + 1 {
                    let entry = scale * at::<T::V<S>>(rows, place(i, j));
                    put(rows, place(i, j), entry);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 16;

    /// The largest error of the factor of `Σ_k f_k f_kᵀ`, beside the roots of the diagonal, over many matrices of rank two in
    /// three dimensions whose second pivot is smaller and smaller, and what follows it is not.
    fn worst<T: Real>() -> f64 {
        let mut worst = 0.0_f64;
        for case in 0..4000 {
            let number = |k: usize| (1.7 * (k + 1) as f64 * (case + 1) as f64).sin();
            let small = 10.0_f64.powf(-f64::from(case % 100) / 10.0);
            let mut f: Vec<f64> = (0..6).map(number).collect();
            f[4] = f[1] * f[3] / f[0] + small;
            let exact = |i: usize, j: usize| f[i] * f[j] + f[3 + i] * f[3 + j];
            let rounded = |i: usize, j: usize| {
                let [a, b, c, d] = [i, j, 3 + i, 3 + j].map(|k| T::from_f64(f[k]));
                T::from_f64(a.to_f64() * b.to_f64() + c.to_f64() * d.to_f64())
            };
            let mut rows: Vec<T> = (0..9).flat_map(|r| [rounded(r / 3, r % 3); WIDTH]).collect();
            let sizes: Vec<T> = (0..3).flat_map(|i| [rounded(i, i); WIDTH]).collect();
            Semidefinite { sizes: &sizes, scale: T::from_f64(1.0), rows: &mut rows, width: WIDTH }.factor();
            let entry = |i: usize, j: usize| rows[(i * 3 + j) * WIDTH].to_f64();
            for (i, j) in (0..9).map(|r| (r / 3, r % 3)) {
                let found: f64 = (0..3).map(|k| entry(i, k) * entry(j, k)).sum();
                worst = worst.max((found - exact(i, j)).abs() / (exact(i, i) * exact(j, j)).sqrt());
            }
        }
        worst
    }

    #[test]
    fn nearly_singular_matrices_keep_their_entries() {
        let (double, single) = (worst::<f64>(), worst::<f32>());
        // 64 ε in the place of ε^(2/3) makes the first 3e-3.
        assert!(double < 2e-5 && single < 2e-2, "{double} {single}");
    }
}
