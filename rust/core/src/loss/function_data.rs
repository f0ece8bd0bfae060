//! A loss of the user's functions with one that gives the gradients of all examples.

use super::{DataLoss, FunctionLoss, Loss};
use crate::block::Span;
use crate::elementwise::{add_product, add_scaled, add_scaled_square, scale};
use crate::error::{Error, Result};
use crate::function::BlockFunction;
use crate::lanes::Real;
use crate::workspace::with_workspace;
use std::sync::Arc;

/// The user's loss and its examples. Every question is answered from the gradients of all of them.
pub struct FunctionData<T: Real> {
    /// The loss.
    pub loss: FunctionLoss<T>,
    /// Examples `N`.
    pub n_examples: usize,
    /// `N × d` rows.
    pub example_grads: Arc<dyn BlockFunction<T>>,
}

impl<T: Real> FunctionData<T> {
    /// Calls `f` with the gradients of all examples, `N · d` rows.
    fn with_grads(&self, x: &[T], span: Span, f: impl FnOnce(&[T]) -> Result<()>) -> Result<()> {
        with_workspace(self.n_examples * self.loss.dim * span.width, |grads| {
            DataLoss::example_grads(self, x, grads, span)?;
            f(grads)
        })
    }
}

impl<T: Real> Loss<T> for FunctionData<T> {
    fn dim(&self) -> usize {
        self.loss.dim
    }
    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.value(x, out, span)
    }
    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.grad(x, out, span)
    }
    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.hess_vec(x, v, out, span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.example_grads.needs_calling_thread()
    }
}

impl<T: Real> DataLoss<T> for FunctionData<T> {
    fn n_examples(&self) -> usize {
        self.n_examples
    }

    fn weighted_grad(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.loss.dim, span.width);
        span.check(weights, self.n_examples, "weights")?;
        span.check(out, d, "out")?;
        self.with_grads(x, span, |grads| {
            let out = &mut out[..d * width];
            out.fill(T::default());
            for (grad, weight) in grads.chunks_exact(d * width).zip(weights.chunks_exact(width)) {
                for (out, grad) in out.chunks_exact_mut(width).zip(grad.chunks_exact(width)) {
                    add_product(out, grad, weight);
                }
            }
            Ok(())
        })
    }

    fn batch_grad(&self, x: &[T], indices: &[u32], labels: Option<&[T]>, out: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.loss.dim, span.width);
        span.check(out, d, "out")?;
        let batch = indices.len() / width;
        let valid = |row: &[u32]| row[..span.n].iter().all(|i| (*i as usize) < self.n_examples);
        if batch == 0 || labels.is_some() || !indices.chunks_exact(width).all(valid) {
            return Err(Error::invalid("indices", format!("{batch} draws of {} examples", self.n_examples)));
        }
        self.with_grads(x, span, |grads| {
            for (a, out) in out.chunks_exact_mut(width).take(d).enumerate() {
                out.fill(T::default());
                for indices in indices.chunks_exact(width) {
                    for (p, (out, i)) in out.iter_mut().zip(indices).take(span.n).enumerate() {
                        *out = *out + grads[(*i as usize * d + a) * width + p];
                    }
                }
                scale(out, 1.0 / batch as f64);
            }
            Ok(())
        })
    }

    fn example_grads(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.example_grads.call(0.0, x, &[self.n_examples, self.loss.dim], out, span)
    }

    fn grad_variances(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let (d, width, share) = (self.loss.dim, span.width, 1.0 / self.n_examples as f64);
        span.check(out, d, "out")?;
        self.with_grads(x, span, |grads| {
            with_workspace(2 * width, |rows| {
                let (mean, deviation) = rows.split_at_mut(width);
                for (a, out) in out.chunks_exact_mut(width).take(d).enumerate() {
                    let of_examples = || grads.chunks_exact(width).skip(a).step_by(d);
                    mean.fill(T::default());
                    of_examples().for_each(|grad| add_scaled(mean, grad, share));
                    out.fill(T::default());
                    for grad in of_examples() {
                        deviation.copy_from_slice(grad);
                        add_scaled(deviation, mean, -1.0);
                        add_scaled_square(out, deviation, share);
                    }
                }
            });
            Ok(())
        })
    }

    fn has_grad_variances_along(&self) -> bool {
        false
    }

    fn grad_variances_along(&self, _x: &[T], _v: &[T], _out: &mut [T], _span: Span) -> Result<()> {
        Err(Error::missing("the derivative of the examples' gradients"))
    }
}
