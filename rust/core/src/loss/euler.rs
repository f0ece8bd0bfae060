//! Many steps of a coordinate in one pass, by Euler or Milstein: the state stays in registers while the increments go by.
//!
//! For one-dimensional problems everything but the random numbers is traffic; this leaves one load a step. The
//! operations and their order are those of the step-by-step scheme, and so are the bits.

use crate::block::Span;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::noise::{AffineDiagonal, Deviation};
use crate::rng::{Drawn, SignRows, signed};

/// A gradient whose components depend on their own coordinate alone.
pub(super) trait Separable {
    /// Component `i` of the gradient where coordinate `i` is `x`. Must be `#[inline(always)]`.
    fn slope<N: Number>(&self, i: usize, x: N) -> N;
}

/// How the noise enters a step.
#[derive(Clone, Copy, Debug)]
pub enum Deviations<'a> {
    /// Constant deviations, with their sign: an Euler step, `x_i += c ∂_i f(x) + s_i ΔW_i`.
    Constant(&'a [f64]),
    /// Deviations `scale · sqrt(base + slope (x - center)²)`: a Milstein step of length `h`.
    Affine {
        /// The variances.
        noise: &'a AffineDiagonal,
        /// What multiplies the deviations, with its sign.
        scale: f64,
        /// The step.
        h: f64,
    },
}

/// The steps to take, with the increments of step `k` in rows `k·d ..`.
#[derive(Clone, Copy, Debug)]
pub struct EulerSteps<'a, T> {
    /// What multiplies the gradient: minus the step length.
    pub c: f64,
    /// The noise.
    pub deviations: Deviations<'a>,
    /// Increments.
    pub dw: Drawn<'a, T>,
    /// Steps.
    pub count: usize,
}

/// Vectors advanced together: enough to hide the latency of the chain of operations of a step.
const TOGETHER: usize = 8;

/// Advances all rows of `x`.
pub(super) fn euler<T: Real>(loss: &impl Separable, steps: EulerSteps<'_, T>, x: &mut [T], span: Span) {
    let (c, count, width) = (steps.c, steps.count, span.width);
    let d = match steps.deviations {
        Deviations::Constant(deviations) => deviations.len(),
        Deviations::Affine { noise, .. } => noise.coordinates(),
    };
    let rows = count * d;
    assert!(x.len() >= d * width);
    match (steps.dw, steps.deviations) {
        (Drawn::Rows(dw), deviations) => {
            assert!(dw.len() >= rows * width);
            let dw = Ready { dw, width };
            match deviations {
                Deviations::Constant(s) => dispatch(Advance { loss, noise: Constant(s), dw, c, count, d, x, width }),
                Deviations::Affine { noise, scale, h } => {
                    dispatch(Advance { loss, noise: Affine { noise, scale, h }, dw, c, count, d, x, width });
                }
            }
        }
        (Drawn::Signs(dw), Deviations::Constant(s)) => {
            assert!(dw.holds(rows) && dw.width == width);
            dispatch(Advance { loss, noise: Constant(s), dw, c, count, d, x, width });
        }
        (Drawn::Signs(dw), Deviations::Affine { noise, scale, h }) => {
            assert!(dw.holds(rows) && dw.width == width);
            dispatch(Advance { loss, noise: Affine { noise, scale, h }, dw, c, count, d, x, width });
        }
    }
}

/// Adds the noise of a step to `moved`, where the drift has brought `x`.
trait Kick: Copy {
    /// What a row needs of it.
    type Row<V: Vector>: Copy;
    fn row<V: Vector>(&self, i: usize) -> Self::Row<V>;
    fn add<V: Vector>(row: Self::Row<V>, x: V, w: V, moved: V) -> V;
}

#[derive(Clone, Copy)]
struct Constant<'a>(&'a [f64]);

impl Kick for Constant<'_> {
    type Row<V: Vector> = V;
    #[inline(always)]
    fn row<V: Vector>(&self, i: usize) -> V {
        V::constant(self.0[i])
    }
    #[inline(always)]
    fn add<V: Vector>(s: V, _x: V, w: V, moved: V) -> V {
        s.mul_add(w, moved)
    }
}

#[derive(Clone, Copy)]
struct Affine<'a> {
    noise: &'a AffineDiagonal,
    scale: f64,
    h: f64,
}

impl Kick for Affine<'_> {
    type Row<V: Vector> = (Deviation<V>, V);
    #[inline(always)]
    fn row<V: Vector>(&self, i: usize) -> (Deviation<V>, V) {
        (self.noise.deviation(i, V::constant(self.scale)), V::constant(self.h))
    }
    #[inline(always)]
    fn add<V: Vector>((deviation, h): (Deviation<V>, V), x: V, w: V, moved: V) -> V {
        let (b, bdb) = deviation.at(x);
        (V::constant(0.5) * bdb).mul_add(w.mul_add(w, -h), b.mul_add(w, moved))
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

struct Advance<'a, L, N, D, T> {
    loss: &'a L,
    noise: N,
    dw: D,
    c: f64,
    count: usize,
    d: usize,
    x: &'a mut [T],
    width: usize,
}

impl<L: Separable, N: Kick, T: Real, D: Source<T>> Kernel for Advance<'_, L, N, D, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { loss, noise, dw, c, count, d, x, width } = self;
        let c = <T::V<S>>::constant(c);
        let scale = <T::V<S>>::constant(dw.scale());
        let lanes = <T::V<S> as Vector>::LANES;
        for i in 0..d {
            let kick = noise.row::<T::V<S>>(i);
            let mut p = 0;
            // SAFETY: `euler` checked that all rows are there; the width is a multiple of the lanes.
            unsafe {
                let row = x.as_mut_ptr().add(i * width);
                while p + TOGETHER * lanes <= width {
                    let mut v: [T::V<S>; TOGETHER] = [c; TOGETHER];
                    for (u, v) in v.iter_mut().enumerate() {
                        *v = <T::V<S>>::load(row.add(p + u * lanes));
                    }
                    for k in 0..count {
                        let dw = dw.row(k * d + i);
                        for (u, v) in v.iter_mut().enumerate() {
                            let w = D::load(dw, p + u * lanes, scale);
                            *v = N::add(kick, *v, w, c.mul_add(loss.slope(i, *v), *v));
                        }
                    }
                    for (u, v) in v.into_iter().enumerate() {
                        v.store(row.add(p + u * lanes));
                    }
                    p += TOGETHER * lanes;
                }
                while p < width {
                    let mut v = <T::V<S>>::load(row.add(p));
                    for k in 0..count {
                        let w = D::load(dw.row(k * d + i), p, scale);
                        v = N::add(kick, v, w, c.mul_add(loss.slope(i, v), v));
                    }
                    v.store(row.add(p));
                    p += lanes;
                }
            }
        }
    }
}
