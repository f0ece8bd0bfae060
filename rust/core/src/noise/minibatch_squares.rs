//! The squares of the noise of minibatches: the moments of means of examples drawn with or without replacement.
//!
//! With `ζ_n` the deviations of the examples' gradients from their mean, `s = (1/N) Σ_n ζ_n²` and `z` the noise of a batch of
//! `B` times `√B`: drawn with replacement, `E z_i² z_j = (1/N) Σ_n ζ_ni² ζ_nj / √B`, and the squares have the covariance
//! `2 (1 - 1/B) Σ ∘ Σ + Cov(ζ², ζ²) / B`. So each example's Wiener process moves the squares by `(ζ_n² - s) / √(N B)`, and
//! what is left is `2 (1 - 1/B) Σ ∘ Σ`. Drawn without, the same follows from the probabilities
//! `π_k = B (B - 1) … / (N (N - 1) …)` that `k` given examples are all in the batch: the squares are moved by the part
//! of them that is linear in who is drawn.

use super::squares::{Groups, Squares};
use crate::elementwise::{at, put};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// `(N - B) / (N - 1)`, what drawing without replacement leaves of the covariance.
pub(super) fn share(n: f64, batch: f64) -> f64 {
    (n - batch) / (n - 1.0).max(1.0)
}

/// What multiplies `(ζ_n² - s) / √N`.
pub(super) fn of_examples(n: f64, batch: f64, replacement: bool) -> f64 {
    if replacement {
        batch.sqrt().recip()
    } else if n > 2.0 {
        (n - 2.0 * batch) / (n - 2.0) * (share(n, batch) / batch).sqrt()
    } else {
        0.0 // two examples have no third moment
    }
}

/// What is left, in terms of the columns `ζ_n √(share / N)`.
pub(super) fn left(n: f64, batch: f64, replacement: bool) -> Squares {
    if replacement {
        return Squares { crossed: 2.0 - 2.0 / batch, parallel: 0.0, groups: None };
    }
    let mut inclusion = [1.0; 5];
    for k in 0..4 {
        let (inside, all) = (batch - k as f64, n - k as f64);
        inclusion[k + 1] = if inside > 0.0 { inclusion[k] * inside / all } else { 0.0 };
    }
    let [_, one, two, three, four] = inclusion;
    let (share, along) = (share(n, batch), of_examples(n, batch, false));
    // The moments E z_i² z_j² = fourth (1/N) Σ_n ζ_ni² ζ_nj² + pairs (s_i s_j + 2 Σ_ij²), by sums over partitions.
    let fourth = n * (one - 7.0 * two + 12.0 * three - 6.0 * four) / (batch * batch);
    let pairs = n * n * (two - 2.0 * three + four) / (batch * batch);
    let of_sums = (fourth - along * along) * n / (share * share);
    Squares {
        crossed: 2.0 * pairs / (share * share),
        parallel: (pairs + along * along) / (share * share) - 1.0,
        groups: Some(Groups { first: 0, size: 1, of_sums, of_columns: 0.0 }),
    }
}

/// Writes what the squares share with the noise, from its factor: `scale (f_n² + Σ_k f_nk² - (1/N) Σ_j f_j²)` for the columns
/// `f_n` of examples, and `2 scale f_n f_nk` for those of their labels, which come after them, the same number for each.
pub(super) fn share_squares<T: Real>(
    f: &[T],
    out: &mut [T],
    examples: usize,
    columns: usize,
    scale: f64,
    width: usize,
) {
    assert!(f.len().is_multiple_of(columns * width) && columns.is_multiple_of(examples) && out.len() >= f.len());
    dispatch(Share { f, out, examples, columns, scale, width });
}

struct Share<'a, T> {
    f: &'a [T],
    out: &'a mut [T],
    examples: usize,
    columns: usize,
    scale: f64,
    width: usize,
}

impl<T: Real> Kernel for Share<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { f, out, examples, columns, scale, width } = self;
        let constant = <T::V<S>>::constant;
        let (scale, mean, labels) = (constant(scale), constant(-1.0 / examples as f64), columns / examples - 1);
        for (row, out) in f.chunks_exact(columns * width).zip(out.chunks_exact_mut(columns * width)) {
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let mut all = constant(0.0);
                for column in 0..columns {
                    let entry = at::<T::V<S>>(row, column * width + p);
                    all = entry.mul_add(entry, all);
                }
                for n in 0..examples {
                    let example = at::<T::V<S>>(row, n * width + p);
                    let mut squares = example.mul_add(example, mean * all);
                    for label in (0..labels).map(|k| (examples + n * labels + k) * width + p) {
                        let entry = at::<T::V<S>>(row, label);
                        squares = entry.mul_add(entry, squares);
                        put(out, label, scale * (example + example) * entry);
                    }
                    put(out, n * width + p, scale * squares);
                }
            }
        }
    }
}
