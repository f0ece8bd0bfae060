//! Losses of linear predictors `z_i = Wᵀ x_i`: linear, logistic and softmax regression.
//!
//! One set of kernels serves them; what they differ in is the [`Link`].

mod batch;
mod drawn;
mod floor;
mod link;
mod passes;
mod point;

pub use floor::MinibatchFloor;
pub use link::{Cells, Identity, Link, Logistic, Softmax, Targets};

use super::{DataLoss, Descent, Loss, Quadratic};
use crate::block::Span;
use crate::buffer::Buffer;
use crate::elementwise::{add_scaled, add_scaled_square, scale};
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::Matrix;
use crate::workspace::with_workspace;
use passes::Sum;
use std::sync::Arc;

/// `(1/N) Σ ℓ(Wᵀ x_i, y_i) + (l2/2) |W|²`, with the parameters `W`, `p × K`, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel<L> {
    link: L,
    /// Inputs and targets as [`Link::fold`] has them.
    x: Arc<Matrix<f64>>,
    y: Arc<Vec<f64>>,
    l2: f64,
}

/// `(1/N) Σ ½ (x_iᵀθ - y_i)²`.
pub type LinearRegression = LinearModel<Identity>;
/// `(1/N) Σ log(1 + e^{z_i}) - y_i z_i + (l2/2) |θ|²`, `z_i = x_iᵀθ`.
pub type LogisticRegression = LinearModel<Logistic>;
/// `(1/N) Σ log Σ_k e^{z_ik} - z_{i,y_i} + (l2/2) |W|²`, `z_i = Wᵀ x_i`.
pub type SoftmaxRegression = LinearModel<Softmax>;

impl LinearRegression {
    /// Of inputs, a row an example, and targets.
    pub fn new(x: Matrix<f64>, y: Vec<f64>) -> Result<Self> {
        Self::checked(Identity, x, y, 0.0)
    }
}

impl LogisticRegression {
    /// Of inputs and targets 0 or 1.
    pub fn new(x: Matrix<f64>, y: Vec<f64>, l2: f64) -> Result<Self> {
        match y.iter().find(|y| **y != 0.0 && **y != 1.0) {
            None => Self::checked(Logistic, x, y, l2),
            Some(other) => Err(Error::invalid("y", format!("{other} is neither 0 nor 1"))),
        }
    }
}

impl SoftmaxRegression {
    /// Of inputs and classes 0 to `classes - 1`.
    pub fn new(x: Matrix<f64>, y: Vec<f64>, classes: usize, l2: f64) -> Result<Self> {
        match y.iter().find(|y| y.fract() != 0.0 || **y < 0.0 || **y >= classes as f64) {
            None => Self::checked(Softmax { classes }, x, y, l2),
            Some(other) => Err(Error::invalid("y", format!("{other} is none of {classes} classes"))),
        }
    }
}

impl<L: Link> LinearModel<L> {
    fn checked(link: L, x: Matrix<f64>, y: Vec<f64>, l2: f64) -> Result<Self> {
        if x.rows() == 0 || x.cols() == 0 || x.rows() != y.len() {
            let message = format!("{} rows of {} inputs for {} targets", x.rows(), x.cols(), y.len());
            return Err(Error::invalid("X", message));
        }
        if let Some(bad) = x.as_slice().iter().chain(&y).chain([&l2]).find(|x| !x.is_finite()) {
            return Err(Error::invalid("X", format!("{bad} among the data")));
        }
        let (n, p) = (x.rows(), x.cols());
        let folded: Vec<(f64, f64)> = y.iter().map(|y| L::fold(*y)).collect();
        let rows = x.as_slice().chunks_exact(p).zip(&folded);
        let inputs = rows.flat_map(|(row, (sign, _))| row.iter().map(move |x| sign * x)).collect();
        let targets = folded.iter().map(|(_, target)| *target).collect();
        Ok(Self { link, x: Arc::new(Matrix::new(n, p, inputs)?), y: Arc::new(targets), l2 })
    }

    /// The same loss on blocks of paths of element `T`.
    pub fn cast<T: Real>(&self) -> LinearLoss<L, T> {
        let (n, p) = (self.x.rows(), self.x.cols());
        let behind = usize::from(L::TARGETS != Targets::Alike);
        let stride = (p + behind).next_multiple_of(crate::lanes::line::<T>());
        let (mut x, mut y) = (Buffer::new(n * stride), Vec::with_capacity(n));
        for (i, row) in x.chunks_exact_mut(stride).enumerate() {
            let target = T::from_f64(self.y[i]);
            row.iter_mut().zip(self.x.row(i)).for_each(|(to, from)| *to = T::from_f64(*from));
            row[p..p + behind].fill(target);
            y.push(target);
        }
        let used = p + usize::from(L::TARGETS == Targets::InDot);
        LinearLoss { link: self.link, n, p, used, stride, x, y, l2: self.l2 }
    }
}

/// A [`LinearModel`] in the element type of the paths.
#[derive(Debug)]
pub struct LinearLoss<L, T> {
    link: L,
    /// Examples.
    n: usize,
    /// Inputs.
    p: usize,
    /// Elements of a row of `x` that dot products need.
    used: usize,
    /// Elements from one row of `x` to the next: whole lines of the cache. Behind the inputs stands the target, where
    /// [`Link::TARGETS`] has it there, then zeros.
    stride: usize,
    x: Buffer<T>,
    y: Vec<T>,
    l2: f64,
}

impl<L: Link, T: Real> LinearLoss<L, T> {
    fn dim(&self) -> usize {
        self.p * self.link.outputs()
    }

    /// A mean from a sum, and what a penalty adds: its slope times `x`.
    fn finish(&self, x: &[T], out: &mut [T], width: usize) {
        let out = &mut out[..self.dim() * width];
        scale(out, 1.0 / self.n as f64);
        if self.l2 != 0.0 {
            add_scaled(out, x, self.l2);
        }
    }

    /// Calls `f` with the mean gradient of the examples, without the penalty's.
    fn with_mean(&self, x: &[T], span: Span, f: impl FnOnce(&[T]) -> Result<()>) -> Result<()> {
        with_workspace(self.dim() * span.width, |mean| {
            self.sum(x, &Sum::Gradient, mean, span)?;
            scale(mean, 1.0 / self.n as f64);
            f(mean)
        })
    }
}

impl<L: Link, T: Real> Loss<T> for LinearLoss<L, T> {
    fn dim(&self) -> usize {
        LinearLoss::dim(self)
    }
    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::Loss, out, span)?;
        let out = &mut out[..span.width];
        scale(out, 1.0 / self.n as f64);
        if self.l2 != 0.0 {
            for row in x.chunks_exact(span.width).take(self.dim()) {
                add_scaled_square(out, row, 0.5 * self.l2);
            }
        }
        Ok(())
    }
    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::Gradient, out, span)?;
        self.finish(x, out, span.width);
        Ok(())
    }
    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::Hessian(v), out, span)?;
        self.finish(v, out, span.width);
        Ok(())
    }
    fn third_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::Third(v), out, span)?;
        scale(&mut out[..self.dim() * span.width], 1.0 / self.n as f64);
        Ok(())
    }
    fn is_quadratic(&self) -> bool {
        L::SQUARES
    }
    fn bowl(&self) -> Option<Quadratic<f64>> {
        if self.l2 == 0.0 { None } else { Quadratic::diagonal(vec![self.l2; self.dim()], None).ok() }
    }
}

impl<L: Link, T: Real> DataLoss<T> for LinearLoss<L, T> {
    fn n_examples(&self) -> usize {
        self.n
    }
    fn weighted_grad(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::Weighted(weights), out, span)
    }
    fn batch_grad(&self, x: &[T], indices: &[u32], labels: Option<&[T]>, out: &mut [T], span: Span) -> Result<()> {
        self.batch(x, indices, labels, out, span)
    }
    fn descends(&self) -> bool {
        true
    }
    fn descend(&self, x: &mut [T], indices: &[u32], batch: usize, steps: Descent<'_>, span: Span) -> Result<()> {
        self.steps(x, indices, batch, steps, span)
    }
    fn has_weighted_hess_vec(&self) -> bool {
        true
    }
    fn weighted_hess_vec(&self, x: &[T], v: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::WeightedHessian { weights, v }, out, span)
    }
    fn outputs(&self) -> Option<usize> {
        L::SQUARES.then(|| self.link.outputs())
    }
    fn weighted_jacobian(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(x, &Sum::Jacobian(weights), out, span)
    }
    fn grad_variances(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.with_mean(x, span, |mean| {
            self.sum(x, &Sum::Squares(mean), out, span)?;
            scale(&mut out[..mean.len()], 1.0 / self.n as f64);
            Ok(())
        })
    }
    fn grad_variances_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.with_mean(x, span, |mean| {
            self.sum(x, &Sum::Along { mean, v }, out, span)?;
            scale(&mut out[..mean.len()], 2.0 / self.n as f64);
            Ok(())
        })
    }
    fn jacobian_squares(&self, _x: &[T], out: &mut [T], span: Span) -> Result<()> {
        span.check(out, self.dim(), "out")?;
        for (a, row) in out.chunks_exact_mut(span.width).take(self.p).enumerate() {
            let squares = self.x.iter().skip(a).step_by(self.stride).map(|x| x.to_f64() * x.to_f64());
            row.fill(T::from_f64(squares.sum::<f64>() / self.n as f64));
        }
        Ok(())
    }
    fn jacobian_squares_along(&self, _x: &[T], _v: &[T], out: &mut [T], span: Span) -> Result<()> {
        span.check(out, self.dim(), "out")?;
        out[..self.dim() * span.width].fill(T::default());
        Ok(())
    }
}
