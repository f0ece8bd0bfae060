//! Many Euler steps of a coordinate in one pass: the state stays in registers while the increments go by.
//!
//! For one-dimensional problems everything but the random numbers is traffic; this leaves one load a step. The
//! operations and their order are those of the step-by-step scheme, and so are the bits.

use crate::block::Span;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::rng::{Drawn, SignRows, signed};

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
    pub dw: Drawn<'a, T>,
    /// Steps.
    pub count: usize,
}

/// Vectors advanced together: enough to hide the latency of the chain of operations of a step.
const TOGETHER: usize = 8;

/// Advances all rows of `x`.
pub(super) fn euler<T: Real>(loss: &impl Separable, steps: EulerSteps<'_, T>, x: &mut [T], span: Span) {
    let (d, width) = (steps.deviations.len(), span.width);
    let rows = steps.count * d;
    assert!(x.len() >= d * width);
    match steps.dw {
        Drawn::Rows(dw) => {
            assert!(dw.len() >= rows * width);
            dispatch(Advance { loss, steps, dw: Ready { dw, width }, x, width });
        }
        Drawn::Signs(dw) => {
            assert!(dw.holds(rows) && dw.width == width);
            dispatch(Advance { loss, steps, dw, x, width });
        }
    }
}

/// Rows of increments.
trait Source<T: Real>: Copy {
    /// What locates a row.
    type Row: Copy;
    fn row(&self, r: usize) -> Self::Row;
    /// The vector of a row at lane `p`; `scale` is the magnitude of signs.
    ///
    /// # Safety
    /// The row must be there, and hold a vector at `p`.
    unsafe fn load<V: Vector<Elem = T>>(row: Self::Row, p: usize, scale: V) -> V;
    /// The magnitude of signs.
    fn scale(&self) -> f64;
}

#[derive(Clone, Copy)]
struct Ready<'a, T> {
    dw: &'a [T],
    width: usize,
}

impl<T: Real> Source<T> for Ready<'_, T> {
    type Row = *const T;
    #[inline(always)]
    fn row(&self, r: usize) -> *const T {
        self.dw.as_ptr().wrapping_add(r * self.width)
    }
    #[inline(always)]
    unsafe fn load<V: Vector<Elem = T>>(row: *const T, p: usize, _scale: V) -> V {
        // SAFETY: the caller's.
        unsafe { V::load(row.add(p)) }
    }
    fn scale(&self) -> f64 {
        1.0
    }
}

impl<T: Real> Source<T> for SignRows<'_, T> {
    type Row = (*const T, u32);
    #[inline(always)]
    fn row(&self, r: usize) -> (*const T, u32) {
        self.locate(r)
    }
    #[inline(always)]
    unsafe fn load<V: Vector<Elem = T>>((words, shift): (*const T, u32), p: usize, scale: V) -> V {
        // SAFETY: the caller's.
        unsafe { signed(words.add(p), shift, scale) }
    }
    fn scale(&self) -> f64 {
        self.scale
    }
}

struct Advance<'a, L, D, T> {
    loss: &'a L,
    steps: EulerSteps<'a, T>,
    dw: D,
    x: &'a mut [T],
    width: usize,
}

impl<L: Separable, T: Real, D: Source<T>> Kernel for Advance<'_, L, D, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { loss, steps, dw, x, width } = self;
        let d = steps.deviations.len();
        let c = <T::V<S>>::constant(steps.c);
        let scale = <T::V<S>>::constant(dw.scale());
        let lanes = <T::V<S> as Vector>::LANES;
        for (i, s) in steps.deviations.iter().enumerate() {
            let s = <T::V<S>>::constant(*s);
            let mut p = 0;
            // SAFETY: `euler` checked that all rows are there; the width is a multiple of the lanes.
            unsafe {
                let row = x.as_mut_ptr().add(i * width);
                while p + TOGETHER * lanes <= width {
                    let mut v: [T::V<S>; TOGETHER] = [c; TOGETHER];
                    for (u, v) in v.iter_mut().enumerate() {
                        *v = <T::V<S>>::load(row.add(p + u * lanes));
                    }
                    for k in 0..steps.count {
                        let dw = dw.row(k * d + i);
                        for (u, v) in v.iter_mut().enumerate() {
                            let w = D::load(dw, p + u * lanes, scale);
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
                        let w = D::load(dw.row(k * d + i), p, scale);
                        v = s.mul_add(w, c.mul_add(loss.slope(i, v), v));
                    }
                    v.store(row.add(p));
                    p += lanes;
                }
            }
        }
    }
}
