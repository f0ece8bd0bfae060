//! Cholesky's factors of positive semi-definite matrices, one a path.

use crate::elementwise::{at, put};
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};

/// Matrices whose lower halves are in `d·d` rows. A pivot within rounding of zero is zero, and so is its column.
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
        let precision = if T::BYTES == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let (tolerance, tiny) =
            (<T::V<S>>::constant(64.0 * d as f64 * precision), <T::V<S>>::constant(f64::from(f32::MIN_POSITIVE)));
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
