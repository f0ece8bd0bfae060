//! Many Euler steps of a coordinate in one pass: the state stays in registers while the increments go by.
//!
//! For one-dimensional problems everything but the random numbers is traffic; this leaves one load a step. The
//! operations and their order are those of the step-by-step scheme, and so are the bits.

use crate::block::Span;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// A gradient whose components depend on their own coordinate alone.
pub(super) trait Separable {
    /// Component `i` of the gradient where coordinate `i` is `x`. Must be `#[inline(always)]`.
    fn slope<N: Number>(&self, i: usize, x: N) -> N;
}

/// The steps to take: `x_i += c ∂_i f(x) + s_i ΔW_i`, with the increments of step `k` in rows `k·d ..`.
#[derive(Clone, Copy, Debug)]
pub struct EulerSteps<'a, T> {
    /// What multiplies the gradient: minus the step length.
    pub c: f64,
    /// Deviations of the noise, with their sign.
    pub deviations: &'a [f64],
    /// Increments.
    pub dw: &'a [T],
    /// Steps.
    pub count: usize,
}

/// Vectors advanced together: enough to hide the latency of the chain of operations of a step.
const TOGETHER: usize = 8;

/// Advances all rows of `x`.
pub(super) fn euler<T: Real>(loss: &impl Separable, steps: EulerSteps<'_, T>, x: &mut [T], span: Span) {
    let d = steps.deviations.len();
    assert!(x.len() >= d * span.width && steps.dw.len() >= steps.count * d * span.width);
    dispatch(Advance { loss, steps, x, width: span.width });
}

struct Advance<'a, L, T> {
    loss: &'a L,
    steps: EulerSteps<'a, T>,
    x: &'a mut [T],
    width: usize,
}

impl<L: Separable, T: Real> Kernel for Advance<'_, L, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { loss, steps, x, width } = self;
        let d = steps.deviations.len();
        let c = <T::V<S>>::constant(steps.c);
        for (i, s) in steps.deviations.iter().enumerate() {
            let s = <T::V<S>>::constant(*s);
            let lanes = <T::V<S> as Vector>::LANES;
            let mut p = 0;
            // SAFETY: `euler` checked the lengths; the width is a multiple of the lanes.
            unsafe {
                let row = x.as_mut_ptr().add(i * width);
                let dw = steps.dw.as_ptr().add(i * width);
                while p + TOGETHER * lanes <= width {
                    let mut v: [T::V<S>; TOGETHER] = [c; TOGETHER];
                    for (u, v) in v.iter_mut().enumerate() {
                        *v = <T::V<S>>::load(row.add(p + u * lanes));
                    }
                    for k in 0..steps.count {
                        let w = dw.add(k * d * width + p);
                        for (u, v) in v.iter_mut().enumerate() {
                            let w = <T::V<S>>::load(w.add(u * lanes));
                            *v = s.mul_add(w, c.mul_add(loss.slope(i, *v), *v));
                        }
                    }
                    for (u, v) in v.into_iter().enumerate() {
                        v.store(row.add(p + u * lanes));
                    }
                    p += TOGETHER * lanes;
                }
                while p < width {
                    let mut v = <T::V<S>>::load(row.add(p));
                    for k in 0..steps.count {
                        let w = <T::V<S>>::load(dw.add(k * d * width + p));
                        v = s.mul_add(w, c.mul_add(loss.slope(i, v), v));
                    }
                    v.store(row.add(p));
                    p += lanes;
                }
            }
        }
    }
}
