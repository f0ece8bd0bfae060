//! Losses over data: means over examples, known example by example.

use super::Loss;
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::workspace::with_workspace;

/// Steps of plain SGD one after the other: each takes parameter `i` to `(1 - rate_i decay) θ_i - rate_i g_i`.
#[derive(Clone, Copy, Debug)]
pub struct Descent<'a> {
    /// How many steps.
    pub count: usize,
    /// The rates, `d` a step; or `d` for all.
    pub rates: &'a [f64],
    /// Of decoupled decay.
    pub decay: f64,
}

/// `f = (1/N) Σ f_i`, perhaps with a penalty on the parameters, which is no example's.
pub trait DataLoss<T: Real>: Loss<T> {
    /// Examples `N`.
    fn n_examples(&self) -> usize;

    /// `out = Σ_i w_i ∇f_i(x)` over all examples: `weights` holds `N` rows, a weight for each example and path.
    fn weighted_grad(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()>;

    /// The mean gradient of each path's own examples, the penalty's added: draw `b` of lane `p` is example
    /// `indices[b * width + p]`. Where `labels` is given, it holds a row for each draw and output, row
    /// `b * outputs + k`, which is added to that target.
    fn batch_grad(&self, x: &[T], indices: &[u32], labels: Option<&[T]>, out: &mut [T], span: Span) -> Result<()>;

    /// Whether it has [`DataLoss::descend`].
    fn descends(&self) -> bool {
        false
    }

    /// Takes steps along gradients of minibatches: those of [`DataLoss::batch_grad`] up to rounding, and the same bits however
    /// many are taken at once. `indices` holds equally many rows for each step, of which the first `batch` are its draws.
    fn descend(&self, _x: &mut [T], _indices: &[u32], _batch: usize, _steps: Descent<'_>, _span: Span) -> Result<()> {
        Err(Error::missing("a kernel for many steps"))
    }

    /// The gradients `∇f_i(x)`, the penalty's added to each: component `a` of example `i` in row `i · d + a`.
    fn example_grads(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = self.dim() * span.width;
        span.check(out, self.n_examples() * self.dim(), "out")?;
        with_workspace(span.width, |indices: &mut [u32]| {
            for (i, out) in (0..).zip(out.chunks_exact_mut(rows).take(self.n_examples())) {
                indices.fill(i);
                self.batch_grad(x, indices, None, out, span)?;
            }
            Ok(())
        })
    }

    /// Whether it has [`DataLoss::weighted_hess_vec`], as losses of linear predictors do.
    fn has_weighted_hess_vec(&self) -> bool {
        false
    }

    /// `out = Σ_i w_i ∇²f_i(x) v` over all examples, with weights as in [`DataLoss::weighted_grad`].
    fn weighted_hess_vec(&self, _x: &[T], _v: &[T], _weights: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the Hessians of the examples' losses"))
    }

    /// Outputs of one example where `f_i = (c/2) |φ_i(x) - y_i|²`, with one `c` for all examples: `N` where the loss is a
    /// sum of squares, else 1. None for other losses, which have no label noise.
    fn outputs(&self) -> Option<usize> {
        None
    }

    /// `out = Σ_ik w_ik c ∇φ_ik(x)`: `weights` holds `N · outputs` rows.
    fn weighted_jacobian(&self, _x: &[T], _weights: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the derivative of the outputs"))
    }

    /// The diagonal of `Σ_1(x)`: the variances of the components of the gradient over the examples, whose squared
    /// deviations are summed and divided by `N`. `out` has `d` rows.
    fn grad_variances(&self, x: &[T], out: &mut [T], span: Span) -> Result<()>;

    /// Whether it has [`DataLoss::grad_variances_along`].
    fn has_grad_variances_along(&self) -> bool {
        true
    }

    /// The derivative of [`DataLoss::grad_variances`] along `v`: `out` has `d` rows.
    fn grad_variances_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()>;

    /// `out = (1/N) Σ_ik (c ∂φ_ik/∂x)²`, component by component: what label noise adds to the variances. `d` rows.
    fn jacobian_squares(&self, _x: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the squares of the derivative of the outputs"))
    }

    /// The derivative of [`DataLoss::jacobian_squares`] along `v`: `d` rows.
    fn jacobian_squares_along(&self, _x: &[T], _v: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the second derivative of the outputs"))
    }
}
