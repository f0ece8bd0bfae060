//! The noise of minibatches: the empirical covariance of the examples' gradients, and what fresh label noise adds to it.
//!
//! The factor `[g_1 - ḡ, …, g_N - ḡ] / √N` has a Wiener process for each example and is as smooth as the gradients are.
//! It is applied without being made: `Σ_i (g_i - ḡ) dW_i = Σ_i g_i (dW_i - mean of dW)`.

use super::minibatch_squares as batches;
use super::squares::{Groups, SquareFactors, Squares};
use super::{Noise, NoiseKind};
use crate::block::Span;
use crate::elementwise::{add_scaled, at, put, scale as times};
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::loss::DataLoss;
use crate::workspace::with_workspace;
use std::sync::Arc;

/// `Σ = share · (1/N) Σ_i (g_i - ḡ)(g_i - ḡ)ᵀ`, of `N` Wiener processes.
pub struct Minibatch<T: Real> {
    data: Arc<dyn DataLoss<T>>,
    replacement: bool,
    share: f64,
}

impl<T: Real> Minibatch<T> {
    /// Of examples drawn with replacement.
    pub fn new(data: Arc<dyn DataLoss<T>>) -> Self {
        Self { data, replacement: true, share: 1.0 }
    }

    /// Of batches of `batch` different examples: `share = (N - B) / (N - 1)`, the divisor `B` being its user's.
    pub fn without_replacement(data: Arc<dyn DataLoss<T>>, batch: usize) -> Result<Self> {
        let n = data.n_examples();
        if batch > n {
            return Err(Error::invalid("batch_size", format!("{batch}: more than the {n} examples")));
        }
        let share = batches::share(n as f64, batch as f64);
        Ok(Self { data, replacement: false, share })
    }

    fn count(&self) -> f64 {
        self.data.n_examples() as f64
    }

    /// What multiplies the squares of the factor's columns where the squares of the noise share its Wiener processes.
    fn of_squares(&self, batch: f64) -> f64 {
        if self.share == 0.0 {
            return 0.0;
        }
        batches::of_examples(self.count(), batch, self.replacement) * self.count().sqrt() / self.share
    }

    /// What `scale · S` is divided by, of gradients weighted with deviations.
    fn rate(&self, scale: f64) -> f64 {
        scale * (self.share / self.count()).sqrt()
    }
}

/// Writes what is left of rows when their mean is taken from each; the mean goes to the row behind.
fn centre<T: Real>(rows: &[T], out: &mut [T], width: usize) {
    assert!(out.len() >= rows.len() + width);
    dispatch(Centre { rows, out, width });
}

struct Centre<'a, T> {
    rows: &'a [T],
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Centre<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { rows, out, width } = self;
        let (out, mean) = out.split_at_mut(rows.len());
        let mean = &mut mean[..width];
        mean.fill(T::default());
        let share = <T::V<S>>::constant(width as f64 / rows.len() as f64);
        for row in rows.chunks_exact(width) {
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let sum = at::<T::V<S>>(mean, p) + at(row, p);
                put(mean, p, sum);
            }
        }
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                put(out, p, (-share).mul_add(at::<T::V<S>>(mean, p), at(row, p)));
            }
        }
    }
}

/// Writes the columns of the factor, each a gradient without the mean of all, times a rate.
struct Columns<'a, T> {
    /// One after the other.
    grads: &'a [T],
    n: usize,
    rate: f64,
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Columns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { grads, n, rate, out, width } = self;
        let (d, constant) = (grads.len() / (n * width), <T::V<S>>::constant);
        let (share, rate) = (constant(1.0 / n as f64), constant(rate));
        for (i, rows) in out.chunks_exact_mut(n * width).enumerate() {
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let grad = |j: usize| at::<T::V<S>>(grads, (j * d + i) * width + p);
                let mean = (0..n).fold(constant(0.0), |mean, j| share.mul_add(grad(j), mean));
                for j in 0..n {
                    put(rows, j * width + p, rate * (grad(j) - mean));
                }
            }
        }
    }
}

impl<T: Real> Noise<T> for Minibatch<T> {
    fn dim(&self) -> usize {
        self.data.dim()
    }
    fn n_wiener(&self) -> usize {
        self.data.n_examples()
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Full
    }
    fn has_jacobian(&self) -> bool {
        false
    }
    fn factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        let (d, n, width) = (self.dim(), self.n_wiener(), span.width);
        span.check(f, d * n, "f")?;
        with_workspace(n * d * width, |grads| {
            self.data.example_grads(x, grads, span)?;
            dispatch(Columns { grads, n, rate: self.rate(scale.to_f64()), out: &mut f[..d * n * width], width });
            Ok(())
        })
    }
    fn apply_rows(&self) -> usize {
        self.n_wiener() + 1
    }
    fn apply(&self, x: &[T], scale: T, dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let rows = self.n_wiener() * span.width;
        centre(&dw[..rows], scratch, span.width);
        self.data.weighted_grad(x, &scratch[..rows], out, span)?;
        times(&mut out[..self.dim() * span.width], self.rate(scale.to_f64()));
        Ok(())
    }
    fn variances(&self, x: &[T], scale: f64, out: &mut [T], span: Span) -> Result<()> {
        self.data.grad_variances(x, out, span)?;
        times(&mut out[..self.dim() * span.width], scale * self.share);
        Ok(())
    }
    fn has_variances_along(&self) -> bool {
        self.data.has_grad_variances_along()
    }
    fn variances_along(&self, x: &[T], v: &[T], scale: f64, out: &mut [T], span: Span) -> Result<()> {
        self.data.grad_variances_along(x, v, out, span)?;
        times(&mut out[..self.dim() * span.width], scale * self.share);
        Ok(())
    }
    fn has_apply_along(&self) -> bool {
        self.data.has_weighted_hess_vec()
    }
    fn apply_along(&self, x: &[T], v: &[T], scale: T, dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = self.n_wiener() * span.width;
        with_workspace(rows + span.width, |weights| {
            centre(&dw[..rows], weights, span.width);
            self.data.weighted_hess_vec(x, v, &weights[..rows], out, span)
        })?;
        times(&mut out[..self.dim() * span.width], self.rate(scale.to_f64()));
        Ok(())
    }
    fn is_skewed(&self) -> bool {
        true
    }
    fn skewed_squares(&self, x: &[T], batch: f64, scale: T, f: SquareFactors<'_, T>, span: Span) -> Result<()> {
        self.factor(x, T::from_f64(1.0), f.noise, span)?;
        let n = self.n_wiener();
        batches::share_squares(f.noise, f.shared, n, n, scale.to_f64() * self.of_squares(batch), span.width);
        let left = match self.share {
            0.0 => Squares::NONE,
            _ => batches::left(self.count(), batch, self.replacement),
        };
        left.root(self.dim(), f.noise, scale, f.own, span.width);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.data.needs_calling_thread()
    }
}

/// The noise of examples drawn with replacement whose targets are shifted by fresh `δ ξ`:
/// `Σ = (1/N) Σ_i (g_i - ḡ)(g_i - ḡ)ᵀ + δ² (1/N) Σ_ik ∇φ_ik ∇φ_ikᵀ`, `φ_ik` output `k` of example `i`, times
/// the example's `c`: see [`DataLoss::outputs`].
///
/// The Wiener processes are those of the examples, `N`, and those of the labels, `N K`, that of output `k` of example `i` being
/// number `N + i K + k`.
pub struct LabelNoise<T: Real> {
    examples: Minibatch<T>,
    label_std: f64,
    /// The fourth cumulant of `ξ`.
    excess: f64,
    outputs: usize,
}

impl<T: Real> LabelNoise<T> {
    /// Of a loss of squared errors; `excess` is the fourth cumulant of `ξ`: 0 of normal labels, -2 of signs.
    pub fn new(data: Arc<dyn DataLoss<T>>, label_std: f64, excess: f64) -> Result<Self> {
        let outputs = data.outputs().ok_or_else(|| Error::missing("a squared error, as label noise has it,"))?;
        Ok(Self { examples: Minibatch::new(data), label_std, excess, outputs })
    }

    fn data(&self) -> &dyn DataLoss<T> {
        self.examples.data.as_ref()
    }

    /// Adds `c` times what the labels add.
    fn add_squares(&self, v: Option<&[T]>, x: &[T], c: f64, out: &mut [T], span: Span) -> Result<()> {
        with_workspace(self.dim() * span.width, |squares| {
            match v {
                None => self.data().jacobian_squares(x, squares, span)?,
                Some(v) => self.data().jacobian_squares_along(x, v, squares, span)?,
            }
            add_scaled(&mut out[..squares.len()], squares, c * self.label_std * self.label_std);
            Ok(())
        })
    }
}

impl<T: Real> Noise<T> for LabelNoise<T> {
    fn dim(&self) -> usize {
        self.examples.dim()
    }
    fn n_wiener(&self) -> usize {
        self.examples.n_wiener() * (1 + self.outputs)
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Full
    }
    fn has_jacobian(&self) -> bool {
        false
    }
    fn factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        let (d, n, m, width) = (self.dim(), self.examples.n_wiener(), self.n_wiener(), span.width);
        span.check(f, d * m, "f")?;
        // The columns of the examples, and then column by column what one label does.
        with_workspace(d * n * width, |of_examples| {
            self.examples.factor(x, scale, of_examples, span)?;
            for (i, rows) in of_examples.chunks_exact(n * width).enumerate() {
                f[i * m * width..][..n * width].copy_from_slice(rows);
            }
            Ok(())
        })?;
        with_workspace(((m - n) + d) * width, |work| {
            let (weights, column) = work.split_at_mut((m - n) * width);
            weights.fill(T::default());
            for j in 0..m - n {
                weights[j * width..(j + 1) * width].fill(T::from_f64(1.0));
                self.data().weighted_jacobian(x, weights, column, span)?;
                weights[j * width..(j + 1) * width].fill(T::default());
                times(column, self.label_std * self.examples.rate(scale.to_f64()));
                for (i, row) in column.chunks_exact(width).enumerate() {
                    f[(i * m + n + j) * width..][..width].copy_from_slice(row);
                }
            }
            Ok(())
        })
    }
    fn apply_rows(&self) -> usize {
        self.examples.apply_rows().max(self.dim())
    }
    fn apply(&self, x: &[T], scale: T, dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let len = self.dim() * span.width;
        let (of_examples, of_labels) = dw.split_at(self.examples.n_wiener() * span.width);
        self.examples.apply(x, scale, of_examples, out, scratch, span)?;
        self.data().weighted_jacobian(x, of_labels, scratch, span)?;
        add_scaled(&mut out[..len], scratch, self.label_std * self.examples.rate(scale.to_f64()));
        Ok(())
    }
    fn variances(&self, x: &[T], scale: f64, out: &mut [T], span: Span) -> Result<()> {
        self.examples.variances(x, scale, out, span)?;
        self.add_squares(None, x, scale, out, span)
    }
    fn has_variances_along(&self) -> bool {
        self.examples.has_variances_along()
    }
    fn variances_along(&self, x: &[T], v: &[T], scale: f64, out: &mut [T], span: Span) -> Result<()> {
        self.examples.variances_along(x, v, scale, out, span)?;
        self.add_squares(Some(v), x, scale, out, span)
    }
    fn has_apply_along(&self) -> bool {
        self.examples.has_apply_along()
    }
    fn apply_along(&self, x: &[T], v: &[T], scale: T, dw: &[T], out: &mut [T], span: Span) -> Result<()> {
        // outputs of linear predictors have no second derivatives, which the labels' increments would multiply
        self.examples.apply_along(x, v, scale, dw, out, span)
    }
    fn is_skewed(&self) -> bool {
        true
    }
    fn skewed_squares(&self, x: &[T], batch: f64, scale: T, f: SquareFactors<'_, T>, span: Span) -> Result<()> {
        self.factor(x, T::from_f64(1.0), f.noise, span)?;
        let (n, m) = (self.examples.n_wiener(), self.n_wiener());
        let of_squares = scale.to_f64() * self.examples.of_squares(batch);
        batches::share_squares(f.noise, f.shared, n, m, of_squares, span.width);
        // The squares of labels, and products of two labels of one example, move no gradient: E over draws of what they
        // are in the squares is 2 (Σ_k a_ik a_jk)² + excess Σ_k (a_ik a_jk)², with a_k the columns of an example's labels.
        let each = self.examples.count() / batch;
        let groups = Groups {
            first: self.examples.n_wiener(),
            size: self.outputs,
            of_sums: 2.0 * each,
            of_columns: self.excess * each,
        };
        let squares = Squares { groups: Some(groups), ..batches::left(self.examples.count(), batch, true) };
        squares.root(self.dim(), f.noise, scale, f.own, span.width);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.examples.needs_calling_thread()
    }
}
