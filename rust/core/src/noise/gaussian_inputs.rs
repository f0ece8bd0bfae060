//! The noise of linear regression with Gaussian inputs: `Σ = C w wᵀ C + (wᵀ C w + δ²) C`, `w = x - x*`.

use super::gaussian_inputs_squares::{Place, whiten};
use super::semidefinite::Semidefinite;
use super::squares::SquareFactors;
use super::{Noise, NoiseKind};
use crate::block::Span;
use crate::elementwise::{add_product, multiply, scale as times};
use crate::error::Result;
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::linalg::{LinearMap, Matrix, cholesky};
use crate::loss::Loss;
use crate::workspace::with_workspace;
use std::sync::Arc;

/// Of the loss `½ wᵀ C w`, whose value and gradient are all that the noise asks for: `wᵀ C w` and `C w`. The factor is
/// `[(wᵀ C w + δ²)^{1/2} L, C w]` with `L Lᵀ = C`.
pub struct GaussianInputs<T: Real> {
    loss: Arc<dyn Loss<T>>,
    cov: Matrix<f64>,
    lower: Matrix<f64>,
    /// `x*`.
    center: Vec<f64>,
    dense: LinearMap<T>,
    label_variance: f64,
}

impl<T: Real> GaussianInputs<T> {
    /// `loss` must be the quadratic of `cov` about `center`.
    pub fn new(loss: Arc<dyn Loss<T>>, cov: Matrix<f64>, center: Vec<f64>, label_std: f64) -> Result<Self> {
        debug_assert_eq!(cov.rows(), center.len());
        let lower = cholesky(&cov, "cov")?;
        let dense = LinearMap::lower(&lower);
        Ok(Self { loss, cov, lower, center, dense, label_variance: label_std * label_std })
    }

    /// Gives what the moments of squares are made of to `use_place`.
    fn with_place(&self, x: &[T], batch: f64, span: Span, use_place: impl FnOnce(Place<'_, T>)) -> Result<()> {
        let (d, width) = (self.cov.rows(), span.width);
        with_workspace((2 * d + 1) * width, |work| {
            let (g, rest) = work.split_at_mut(d * width);
            let (gamma, q) = rest.split_at_mut(d * width);
            self.loss.grad(x, g, span)?;
            self.deviation(x, T::from_f64(1.0), q, span)?;
            whiten(x, &self.center, &self.lower, gamma, width);
            use_place(Place { cov: &self.cov, lower: &self.lower, g, gamma, q, batch, width });
            Ok(())
        })
    }

    /// Writes `scale (wᵀ C w + δ²)^{1/2}`, one row.
    fn deviation(&self, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
        self.loss.value(x, out, span)?;
        dispatch(Root { label_variance: self.label_variance, scale, row: out });
        Ok(())
    }
}

/// Turns loss values into `scale · sqrt(2 f + δ²)`.
struct Root<'a, T> {
    label_variance: f64,
    scale: T,
    row: &'a mut [T],
}

impl<T: Real> Kernel for Root<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (zero, two) = (<T::V<S>>::constant(0.0), <T::V<S>>::constant(2.0));
        let (label_variance, scale) = (<T::V<S>>::constant(self.label_variance), <T::V<S>>::splat(self.scale));
        for p in (0..self.row.len()).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: the row's length is a multiple of the lanes.
            unsafe {
                let square = two.mul_add(<T::V<S>>::load(self.row.as_ptr().add(p)), label_variance);
                // at the minimum rounding can leave the form a little below zero
                let square = zero.choose_lt(square, square, zero);
                (scale * square.sqrt()).store(self.row.as_mut_ptr().add(p));
            }
        }
    }
}

/// Turns `q` into `1/q`, and 0 into 0: there the slopes of the factor have no limit, and the factor is 0.
struct Invert<'a, T>(&'a mut [T]);

impl<T: Real> Kernel for Invert<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (zero, one) = (<T::V<S>>::constant(0.0), <T::V<S>>::constant(1.0));
        for p in (0..self.0.len()).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: the row's length is a multiple of the lanes.
            unsafe {
                let q = <T::V<S>>::load(self.0.as_ptr().add(p));
                zero.choose_lt(q, one / q, zero).store(self.0.as_mut_ptr().add(p));
            }
        }
    }
}

impl<T: Real> Noise<T> for GaussianInputs<T> {
    fn dim(&self) -> usize {
        self.cov.rows()
    }
    fn n_wiener(&self) -> usize {
        self.cov.rows() + 1
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Full
    }
    fn has_jacobian(&self) -> bool {
        true
    }
    fn factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.cov.rows(), span.width);
        with_workspace((d + 1) * width, |work| {
            let (grad, deviation) = work.split_at_mut(d * width);
            self.loss.grad(x, grad, span)?;
            self.deviation(x, scale, deviation, span)?;
            for (k, row) in f.chunks_exact_mut(width).take(d * (d + 1)).enumerate() {
                let (i, j) = (k / (d + 1), k % (d + 1));
                if j == d {
                    row.copy_from_slice(&grad[i * width..(i + 1) * width]);
                    times(row, scale.to_f64());
                } else {
                    row.copy_from_slice(deviation);
                    times(row, self.lower[(i, j)]);
                }
            }
            Ok(())
        })
    }
    fn apply(&self, x: &[T], scale: T, dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.cov.rows(), span.width);
        let (grad, rest) = scratch.split_at_mut(d * width);
        let deviation = &mut rest[..width];
        self.loss.grad(x, grad, span)?;
        self.deviation(x, scale, deviation, span)?;
        times(grad, scale.to_f64());
        let (of_inputs, of_residual) = dw.split_at(d * width);
        out.fill(T::default());
        self.dense.add_apply(of_inputs, out, span)?;
        for (row, grad) in out.chunks_exact_mut(width).zip(grad.chunks_exact(width)) {
            multiply(row, deviation);
            add_product(row, grad, of_residual);
        }
        Ok(())
    }
    fn jacobian(&self, x: &[T], scale: T, j: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.cov.rows(), span.width);
        let (grad, rest) = scratch.split_at_mut(d * width);
        let inverse = &mut rest[..width];
        self.loss.grad(x, grad, span)?;
        self.deviation(x, T::from_f64(1.0), inverse, span)?;
        dispatch(Invert(inverse));
        for row in grad.chunks_exact_mut(width) {
            multiply(row, inverse);
        }
        for (r, row) in j.chunks_exact_mut(width).take(d * (d + 1) * d).enumerate() {
            let (i, column, k) = (r / d / (d + 1), r / d % (d + 1), r % d);
            if column == d {
                row.fill(T::from_f64(scale.to_f64() * self.cov[(i, k)]));
            } else {
                row.copy_from_slice(&grad[k * width..(k + 1) * width]);
                times(row, scale.to_f64() * self.lower[(i, column)]);
            }
        }
        Ok(())
    }
    fn is_skewed(&self) -> bool {
        true
    }
    fn skewed_squares(&self, x: &[T], batch: f64, scale: T, f: SquareFactors<'_, T>, span: Span) -> Result<()> {
        self.factor(x, T::from_f64(1.0), f.noise, span)?;
        self.with_place(x, batch, span, |place| {
            place.shared(scale.to_f64(), f.shared);
            with_workspace(self.cov.rows() * span.width, |sizes| {
                place.left(f.own, sizes);
                Semidefinite { sizes, scale, rows: f.own, width: span.width }.factor();
            });
        })
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Quadratic;
    use crate::noise::apply_factor;

    const C: [f64; 4] = [1.0, 0.4, 0.4, 0.5];
    const W: [f64; 2] = [0.7, -0.2];
    const SPAN: Span = Span { n: 16, width: 16 };

    fn noise(label_std: f64) -> Result<GaussianInputs<f64>> {
        let cov = Matrix::new(2, 2, C.to_vec())?;
        let loss = Arc::new(Quadratic::full(&cov, Some(vec![0.1, 0.3]))?);
        GaussianInputs::new(loss, cov, vec![0.1, 0.3], label_std)
    }

    /// A block whose every lane is `x* + w`.
    fn block(w: [f64; 2]) -> Vec<f64> {
        [w[0] + 0.1, w[1] + 0.3].iter().flat_map(|x| [*x; 16]).collect()
    }

    fn factor(w: [f64; 2]) -> Result<Vec<f64>> {
        let mut f = vec![0.0; 6 * 16];
        noise(0.3)?.factor(&block(w), 2.0, &mut f, SPAN)?;
        Ok(f.chunks(16).map(|row| row[5]).collect())
    }

    #[test]
    fn the_factor_has_the_published_square() -> Result<()> {
        let f = factor(W)?;
        for (i, j, published) in [(0, 0, 0.8724), (0, 1, 0.3068), (1, 1, 0.2764)] {
            let entry: f64 = (0..3).map(|k| f[3 * i + k] * f[3 * j + k]).sum();
            assert!((entry / 4.0 - published).abs() < 1e-12, "{entry}");
        }
        Ok(())
    }

    #[test]
    fn it_is_applied_as_its_factor_is() -> Result<()> {
        let dw: Vec<f64> = (0..48).map(|k| (k as f64).sin()).collect();
        let (mut one, mut other, mut scratch) = (vec![0.0; 32], vec![0.0; 32], vec![0.0; 96]);
        noise(0.3)?.apply(&block(W), 2.0, &dw, &mut one, &mut scratch, SPAN)?;
        noise(0.3)?.factor(&block(W), 2.0, &mut scratch, SPAN)?;
        apply_factor(&scratch, &dw, &mut other, 16);
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-14));
        Ok(())
    }

    #[test]
    fn its_jacobian_is_that_of_the_factor() -> Result<()> {
        let (mut j, mut scratch) = (vec![0.0; 12 * 16], vec![0.0; 48]);
        noise(0.3)?.jacobian(&block(W), 2.0, &mut j, &mut scratch, SPAN)?;
        let step = 1e-5;
        for k in 0..2 {
            let shifted = |by: f64| factor([W[0] + by * (1 - k) as f64, W[1] + by * k as f64]);
            let (above, below) = (shifted(step)?, shifted(-step)?);
            for r in 0..6 {
                let slope = (above[r] - below[r]) / (2.0 * step);
                assert!((j[(r * 2 + k) * 16 + 5] - slope).abs() < 1e-8, "row {r}, coordinate {k}");
            }
        }
        Ok(())
    }

    #[test]
    fn without_label_noise_all_is_zero_at_the_minimum() -> Result<()> {
        let (mut j, mut f, mut scratch) = (vec![1.0; 12 * 16], vec![1.0; 96], vec![0.0; 48]);
        noise(0.0)?.factor(&block([0.0, 0.0]), 1.0, &mut f, SPAN)?;
        noise(0.0)?.jacobian(&block([0.0, 0.0]), 1.0, &mut j, &mut scratch, SPAN)?;
        assert!(f.iter().all(|x| x.abs() < 1e-15) && j.iter().all(|x| x.is_finite()));
        Ok(())
    }
}
