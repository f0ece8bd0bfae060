//! The squares of the noise of linear regression on Gaussian inputs: the third and fourth moments of `ζ = a e - C w`.
//!
//! The inputs `a ~ N(0, C)`, `C = L Lᵀ`, and the residual `e`, of variance `q² = wᵀ C w + δ²`, are normal, so that all
//! moments follow from the covariances `C`, `q²` and `g = C w` of the two: `ζ` is a quadratic form. Sums over the cycles that
//! connect products give, for one example,
//!
//! ```text
//! E ζ_i² ζ_j = 2 g_i² g_j + 2 q² (2 g_i C_ij + g_j C_ii)
//! κ_iijj     = 6 g_i² g_j² + 6 q² (C_ii g_j² + C_jj g_i²) + 24 q² C_ij g_i g_j + 2 q⁴ C_ii C_jj + 4 q⁴ C_ij²
//! ```
//!
//! With the factor `S = [q L, g]` the first is `A Sᵀ` for
//! `A = [4 q diag(g) L + 2 q n γᵀ / c, 2 (g² + q² diag C) - 2 q² n / c]`, `γ = Lᵀ w`, `c = q² + |γ|²`, `n_i = q² C_ii - g_i²`:
//! of all solutions the one whose rows have no part along the kernel of `S`, as a regression of the squares on `ζ` has.

use crate::elementwise::{at, put};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::linalg::Matrix;

/// Where a path stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a, T> {
    pub cov: &'a Matrix<f64>,
    pub lower: &'a Matrix<f64>,
    /// `d` rows.
    pub g: &'a [T],
    /// `Lᵀ w`, `d` rows.
    pub gamma: &'a [T],
    /// One row.
    pub q: &'a [T],
    pub batch: f64,
    pub width: usize,
}

/// The numbers of a path that all entries need.
#[derive(Clone, Copy)]
struct Point<V> {
    q: V,
    square: V,
    /// `1 / c`; 0 at the minimum of noise without labels, where all moments are 0.
    inverse: V,
}

impl<T: Real> Place<'_, T> {
    /// Writes `scale A / √B`, `d (d + 1)` rows.
    pub fn shared(self, scale: f64, out: &mut [T]) {
        self.check();
        assert!(out.len() >= self.cov.rows() * (self.cov.rows() + 1) * self.width);
        dispatch(Shared { place: self, scale: scale / self.batch.sqrt(), out });
    }

    /// Writes the lower half of `2 Σ ∘ Σ + (κ - A Aᵀ) / B` to `d·d` rows, and the sizes of its terms.
    pub fn left(self, out: &mut [T], sizes: &mut [T]) {
        let d = self.cov.rows();
        self.check();
        assert!(out.len() >= d * d * self.width && sizes.len() >= d * self.width);
        dispatch(Left { place: self, out, sizes });
    }

    fn check(&self) {
        let d = self.cov.rows();
        assert!(self.q.len() >= self.width && self.g.len().min(self.gamma.len()) >= d * self.width);
    }

    #[inline(always)]
    fn row<V: Vector<Elem = T>>(&self, rows: &[T], i: usize, p: usize) -> V {
        at(rows, i * self.width + p)
    }

    #[inline(always)]
    fn point<V: Vector<Elem = T>>(&self, p: usize) -> Point<V> {
        let (zero, q) = (V::constant(0.0), self.row::<V>(self.q, 0, p));
        let square = q * q;
        let mut c = square;
        for j in 0..self.cov.rows() {
            let gamma = self.row::<V>(self.gamma, j, p);
            c = gamma.mul_add(gamma, c);
        }
        // Below the least normal number 1 / c has no end, and all that it multiplies is 0.
        let least = V::constant(if T::BYTES == 4 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE });
        Point { q, square, inverse: c.choose_lt(least, zero, V::constant(1.0) / c) }
    }

    /// `n_i`.
    #[inline(always)]
    fn difference<V: Vector<Elem = T>>(&self, point: &Point<V>, i: usize, p: usize) -> V {
        let g = self.row::<V>(self.g, i, p);
        (-g).mul_add(g, V::constant(self.cov[(i, i)]) * point.square)
    }
}

/// Writes `Lᵀ (x - center)`, `d` rows.
pub(super) fn whiten<T: Real>(x: &[T], center: &[f64], lower: &Matrix<f64>, out: &mut [T], width: usize) {
    assert!(x.len().min(out.len()) >= center.len() * width);
    dispatch(Whiten { x, center, lower, out, width });
}

struct Whiten<'a, T> {
    x: &'a [T],
    center: &'a [f64],
    lower: &'a Matrix<f64>,
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Whiten<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, center, lower, out, width } = self;
        let constant = <T::V<S>>::constant;
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            for j in 0..center.len() {
                let mut sum = constant(0.0);
                for (i, center) in center.iter().enumerate().skip(j) {
                    let w = at::<T::V<S>>(x, i * width + p) - constant(*center);
                    sum = constant(lower[(i, j)]).mul_add(w, sum);
                }
                put(out, j * width + p, sum);
            }
        }
    }
}

struct Shared<'a, T> {
    place: Place<'a, T>,
    scale: f64,
    out: &'a mut [T],
}

impl<T: Real> Kernel for Shared<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { place, scale, out } = self;
        let (d, width, constant) = (place.cov.rows(), place.width, <T::V<S>>::constant);
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let point = place.point::<T::V<S>>(p);
            for i in 0..d {
                let g = place.row::<T::V<S>>(place.g, i, p);
                let along = point.inverse * place.difference(&point, i, p);
                for j in 0..d {
                    let gamma = place.row::<T::V<S>>(place.gamma, j, p);
                    let entry = point.q * (constant(4.0 * place.lower[(i, j)]) * g + constant(2.0) * along * gamma);
                    put(out, (i * (d + 1) + j) * width + p, constant(scale) * entry);
                }
                let last = g.mul_add(g, point.square * (constant(place.cov[(i, i)]) - along));
                put(out, (i * (d + 1) + d) * width + p, constant(2.0 * scale) * last);
            }
        }
    }
}

struct Left<'a, T> {
    place: Place<'a, T>,
    out: &'a mut [T],
    sizes: &'a mut [T],
}

impl<T: Real> Kernel for Left<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { place, out, sizes } = self;
        let (d, width, constant) = (place.cov.rows(), place.width, <T::V<S>>::constant);
        let share = constant(1.0 / place.batch);
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let point = place.point::<T::V<S>>(p);
            let Point { square: q2, inverse, .. } = point;
            for i in 0..d {
                let (gi, ni) = (place.row::<T::V<S>>(place.g, i, p), place.difference(&point, i, p));
                for j in 0..i + 1 {
                    let (gj, nj) = (place.row::<T::V<S>>(place.g, j, p), place.difference(&point, j, p));
                    let [cij, cii, cjj] = [(i, j), (i, i), (j, j)].map(|entry| constant(place.cov[entry]) * q2);
                    let (gg, sigma) = (gi * gj, gi.mul_add(gj, cij));
                    let mixed = cii * gj * gj + cjj * gi * gi;
                    let half = gg * gg + mixed + constant(4.0) * cij * gg - cii * cjj
                        + constant(2.0) * cij * cij
                        + constant(2.0) * q2 * inverse * ni * nj;
                    let entry = constant(2.0) * share.mul_add(half, sigma * sigma);
                    put(out, (i * d + j) * width + p, entry);
                    if i == j {
                        put(sizes, i * width + p, constant(20.0) * sigma * sigma);
                    }
                }
            }
        }
    }
}
