//! All examples of a network, as passes over them are fed.

use super::network::{Feed, Network};
use crate::lanes::{Number, Real};

/// All examples, with the slopes of their losses.
pub(super) struct Everything<'a, T>(pub &'a Network<T>);

impl<N: Number, T: Real> Feed<N> for Everything<'_, T> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.0.inputs.rows()
    }
    #[inline(always)]
    fn inputs(&self, i: usize, into: &mut [N], stride: usize) {
        for (into, x) in into.iter_mut().step_by(stride).zip(self.0.inputs.row(i)) {
            *into = N::constant(x.to_f64());
        }
    }
    #[inline(always)]
    fn target(&self, i: usize, k: usize) -> N {
        N::constant(self.0.targets[(i, k)].to_f64())
    }
    #[inline(always)]
    fn slope(&self, _i: usize, _k: usize, of_loss: N) -> N {
        of_loss
    }
}

/// All examples, with slope 1 at one output.
pub(super) struct OneOutput<'a, T>(pub &'a Network<T>, pub usize);

impl<N: Number, T: Real> Feed<N> for OneOutput<'_, T> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.0.inputs.rows()
    }
    #[inline(always)]
    fn inputs(&self, i: usize, into: &mut [N], stride: usize) {
        Everything(self.0).inputs(i, into, stride);
    }
    #[inline(always)]
    fn target(&self, i: usize, k: usize) -> N {
        Everything(self.0).target(i, k)
    }
    #[inline(always)]
    fn slope(&self, _i: usize, k: usize, _of_loss: N) -> N {
        N::constant(if k == self.1 { 1.0 } else { 0.0 })
    }
}
