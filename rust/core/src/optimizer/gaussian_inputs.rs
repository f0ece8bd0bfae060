//! Gradients of linear regression on examples with Gaussian inputs, drawn afresh in each step.

use super::{StochasticGradient, weights};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::linalg::{LinearMap, Matrix, cholesky};
use crate::rng::{Tag, fill_normals, normals_per_block};
use crate::scheme::Step;

/// The mean of `(aᵀ(x - x*) - δ ξ) a` over a batch, `a ~ N(0, C)`, `ξ ~ N(0, 1)`: a gradient as it is, not its model.
pub struct GaussianInputsGradient<T: Real> {
    /// `L` with `L Lᵀ = C`.
    lower: LinearMap<T>,
    center: Vec<T>,
    label_std: f64,
    batch_size: u64,
    weights: Vec<f64>,
}

impl<T: Real> GaussianInputsGradient<T> {
    /// Inputs of covariance `cov` about 0, true parameters `center`; `variance` is SVAG's, 1 for the algorithm itself.
    pub fn new(cov: &Matrix<f64>, center: &[f64], label_std: f64, batch_size: u64, variance: f64) -> Result<Self> {
        debug_assert_eq!(cov.rows(), center.len());
        Ok(Self {
            lower: LinearMap::lower(&cholesky(cov, "cov")?),
            center: center.iter().map(|c| T::from_f64(*c)).collect(),
            label_std,
            batch_size,
            weights: weights(variance),
        })
    }

    /// Generator blocks of one example: its inputs and its label.
    fn blocks(&self) -> u64 {
        (self.center.len() as u64 + 1).div_ceil(normals_per_block::<T>())
    }
}

/// Adds one example's gradient, times a weight.
struct Example<'a, T> {
    x: &'a [T],
    center: &'a [T],
    inputs: &'a [T],
    /// The label's normal.
    label: &'a [T],
    label_std: f64,
    weight: f64,
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Example<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, center, inputs, label, label_std, weight, out, width } = self;
        let (minus, weight) = (<T::V<S>>::constant(-label_std), <T::V<S>>::constant(weight));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: `x`, `inputs` and `out` hold a row of `width` elements for each of `center`, `label` one row.
            unsafe {
                let mut residual = minus * <T::V<S>>::load(label.as_ptr().add(p));
                for (i, c) in center.iter().enumerate() {
                    let w = <T::V<S>>::load(x.as_ptr().add(i * width + p)) - <T::V<S>>::splat(*c);
                    residual = w.mul_add(<T::V<S>>::load(inputs.as_ptr().add(i * width + p)), residual);
                }
                let residual = weight * residual;
                for i in 0..center.len() {
                    let at = out.as_mut_ptr().add(i * width + p);
                    residual
                        .mul_add(<T::V<S>>::load(inputs.as_ptr().add(i * width + p)), <T::V<S>>::load(at))
                        .store(at);
                }
            }
        }
    }
}

impl<T: Real> StochasticGradient<T> for GaussianInputsGradient<T> {
    fn dim(&self) -> usize {
        self.center.len()
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn scratch_rows(&self) -> usize {
        self.dim() + (self.blocks() * normals_per_block::<T>()) as usize
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (span, d, width) = (step.span, self.dim(), step.span.width);
        let (inputs, normals) = scratch.split_at_mut(d * width);
        let at = step.at.stream(Tag::MINIBATCH);
        let mut first = step.at.blocks(self.blocks() * self.batch_size * self.weights.len() as u64).start;
        out.fill(T::default());
        for weight in &self.weights {
            let weight = weight / self.batch_size as f64;
            for _ in 0..self.batch_size {
                fill_normals(at, first..first + self.blocks(), 1.0, width, normals);
                first += self.blocks();
                inputs.fill(T::default());
                self.lower.add_apply(&normals[..d * width], inputs, span)?;
                let label = &normals[d * width..(d + 1) * width];
                let (center, label_std) = (&self.center, self.label_std);
                dispatch(Example { x, center, inputs, label, label_std, weight, out, width });
            }
        }
        Ok(())
    }
}
