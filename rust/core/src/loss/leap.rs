//! Many steps of a coordinate in one pass: the state stays in registers while the increments go by.
//!
//! For one-dimensional problems everything but the random numbers is traffic; this leaves one load a step. The
//! operations and their order are those of the step-by-step scheme, and so are the bits.

use super::inlined;
use crate::block::Span;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::noise::{AffineDiagonal, Deviation};
use crate::rng::{Drawn, SignRows, signed};

/// A gradient whose components depend on their own coordinate alone.
pub(super) trait Separable {
    /// Component `i` of the gradient where coordinate `i` is `x`. Must be `#[inline(always)]`.
    fn slope<N: Number>(&self, i: usize, x: N) -> N;
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub enum Rule<'a> {
    /// Euler's, with constant deviations, signs included: `x_i += c ∂_i f(x) + s_i ΔW_i`.
    Euler(&'a [f64]),
    /// That of Leimkuhler and Matthews: Euler's with the average of this increment and the next.
    Averaged(&'a [f64]),
    /// Heun's: Euler's, then `(c/2)` times what the gradient there is above that at the start.
    Heun(&'a [f64]),
    /// Milstein's, of length `h`, with deviations `scale · sqrt(base + slope (x - center)²)`.
    Milstein {
        /// The variances.
        noise: &'a AffineDiagonal,
        /// What multiplies the deviations, with its sign.
        scale: f64,
        /// The step.
        h: f64,
    },
}

/// The steps to take, with the increments of step `k` in rows `k·d ..`; averages want those of one step more.
#[derive(Clone, Copy, Debug)]
pub struct Leap<'a, T> {
    /// What multiplies the gradient: minus the step length.
    pub c: f64,
    /// What a step does.
    pub rule: Rule<'a>,
    /// Increments.
    pub dw: Drawn<'a, T>,
    /// Steps.
    pub count: usize,
}

/// Vectors advanced together: enough to hide the latency of the chain of operations of a step.
const TOGETHER: usize = 8;

/// Advances all rows of `x`.
pub(super) fn leap<T: Real>(loss: &impl Separable, steps: Leap<'_, T>, x: &mut [T], span: Span) {
    match steps.rule {
        Rule::Euler(s) => with_increments(loss, Euler(s), steps, x, span),
        Rule::Averaged(s) => with_increments(loss, Averaged(Euler(s)), steps, x, span),
        Rule::Heun(s) => with_increments(loss, Heun { deviations: s, half: 0.5 * steps.c }, steps, x, span),
        Rule::Milstein { noise, scale, h } => with_increments(loss, Milstein { noise, scale, h }, steps, x, span),
    }
}

fn with_increments<T: Real>(loss: &impl Separable, rule: impl Stepping, steps: Leap<'_, T>, x: &mut [T], span: Span) {
    let (Leap { c, dw, count, .. }, width, d) = (steps, span.width, rule.coordinates());
    let rows = (count + usize::from(rule.averages())) * d;
    assert!(x.len() >= d * width);
    match dw {
        Drawn::Rows(dw) => {
            assert!(dw.len() >= rows * width);
            dispatch(Advance { loss, rule, dw: Ready { dw, width }, c, count, d, x, width });
        }
        Drawn::Signs(dw) => {
            assert!(dw.holds(rows) && dw.width == width);
            dispatch(Advance { loss, rule, dw, c, count, d, x, width });
        }
    }
}

/// Takes the step of a coordinate.
trait Stepping: Copy {
    /// Constants of a row.
    type Row<V: Vector>: Copy;
    /// Rows of the state.
    fn coordinates(&self) -> usize;
    /// Whether it reads the averages of successive increments.
    #[inline(always)]
    fn averages(&self) -> bool {
        false
    }
    fn row<V: Vector>(&self, i: usize) -> Self::Row<V>;
    /// Where a step takes `x`; `slope` is the gradient, `c` what multiplies it.
    fn step<V: Vector>(row: Self::Row<V>, slope: impl Fn(V) -> V, c: V, x: V, w: V) -> V;
}

#[derive(Clone, Copy)]
struct Euler<'a>(&'a [f64]);

impl Stepping for Euler<'_> {
    type Row<V: Vector> = V;
    fn coordinates(&self) -> usize {
        self.0.len()
    }
    #[inline(always)]
    fn row<V: Vector>(&self, i: usize) -> V {
        V::constant(self.0[i])
    }
    #[inline(always)]
    fn step<V: Vector>(s: V, slope: impl Fn(V) -> V, c: V, x: V, w: V) -> V {
        s.mul_add(w, c.mul_add(slope(x), x))
    }
}

#[derive(Clone, Copy)]
struct Averaged<R>(R);

impl<R: Stepping> Stepping for Averaged<R> {
    type Row<V: Vector> = R::Row<V>;
    fn coordinates(&self) -> usize {
        self.0.coordinates()
    }
    #[inline(always)]
    fn averages(&self) -> bool {
        true
    }
    #[inline(always)]
    fn row<V: Vector>(&self, i: usize) -> R::Row<V> {
        self.0.row(i)
    }
    #[inline(always)]
    fn step<V: Vector>(row: R::Row<V>, slope: impl Fn(V) -> V, c: V, x: V, w: V) -> V {
        R::step(row, slope, c, x, w)
    }
}

#[derive(Clone, Copy)]
struct Heun<'a> {
    deviations: &'a [f64],
    half: f64,
}

impl Stepping for Heun<'_> {
    type Row<V: Vector> = (V, V);
    fn coordinates(&self) -> usize {
        self.deviations.len()
    }
    #[inline(always)]
    fn row<V: Vector>(&self, i: usize) -> (V, V) {
        (V::constant(self.deviations[i]), V::constant(self.half))
    }
    #[inline(always)]
    fn step<V: Vector>((s, half): (V, V), slope: impl Fn(V) -> V, c: V, x: V, w: V) -> V {
        let first = slope(x);
        let moved = s.mul_add(w, c.mul_add(first, x));
        half.mul_add(slope(moved) - first, moved)
    }
}

#[derive(Clone, Copy)]
struct Milstein<'a> {
    noise: &'a AffineDiagonal,
    scale: f64,
    h: f64,
}

impl Stepping for Milstein<'_> {
    type Row<V: Vector> = (Deviation<V>, V);
    fn coordinates(&self) -> usize {
        self.noise.coordinates()
    }
    #[inline(always)]
    fn row<V: Vector>(&self, i: usize) -> (Deviation<V>, V) {
        (self.noise.deviation(i, V::constant(self.scale)), V::constant(self.h))
    }
    #[inline(always)]
    fn step<V: Vector>((deviation, h): (Deviation<V>, V), slope: impl Fn(V) -> V, c: V, x: V, w: V) -> V {
        let (b, bdb) = deviation.at(x);
        (V::constant(0.5) * bdb).mul_add(w.mul_add(w, -h), b.mul_add(w, c.mul_add(slope(x), x)))
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

struct Advance<'a, L, R, D, T> {
    loss: &'a L,
    rule: R,
    dw: D,
    c: f64,
    count: usize,
    d: usize,
    x: &'a mut [T],
    width: usize,
}

impl<L: Separable, R: Stepping, T: Real, D: Source<T>> Advance<'_, L, R, D, T> {
    /// Advances `N` vectors of row `i` from lane `p` on.
    ///
    /// # Safety
    /// `with_increments` checked that all rows are there; the row must hold the vectors.
    #[inline(always)]
    unsafe fn vectors<V: Vector<Elem = T>, const N: usize>(&mut self, i: usize, p: usize) {
        let Self { loss, rule, dw, c, count, d, width, .. } = *self;
        let (c, scale, half) = (V::constant(c), V::constant(dw.scale()), V::constant(0.5));
        let row = rule.row::<V>(i);
        // SAFETY: the caller's.
        unsafe {
            let x = self.x.as_mut_ptr().add(i * width + p);
            let mut v: [V; N] = [c; N];
            for (u, v) in v.iter_mut().enumerate() {
                *v = V::load(x.add(u * V::LANES));
            }
            for k in 0..count {
                let (now, next) = (dw.row(k * d + i), dw.row((k + usize::from(rule.averages())) * d + i));
                for (u, v) in v.iter_mut().enumerate() {
                    let mut w = D::load(now, p + u * V::LANES, scale);
                    if rule.averages() {
                        w = half * (w + D::load(next, p + u * V::LANES, scale));
                    }
                    let slope = inlined(
                        #[inline(always)]
                        |x| loss.slope(i, x),
                    );
                    *v = R::step(row, slope, c, *v, w);
                }
            }
            for (u, v) in v.into_iter().enumerate() {
                v.store(x.add(u * V::LANES));
            }
        }
    }
}

impl<L: Separable, R: Stepping, T: Real, D: Source<T>> Kernel for Advance<'_, L, R, D, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let lanes = <T::V<S> as Vector>::LANES;
        for i in 0..self.d {
            let mut p = 0;
            // SAFETY: `with_increments` checked that all rows are there; the width is a multiple of the lanes.
            unsafe {
                while p + TOGETHER * lanes <= self.width {
                    self.vectors::<T::V<S>, TOGETHER>(i, p);
                    p += TOGETHER * lanes;
                }
                while p < self.width {
                    self.vectors::<T::V<S>, 1>(i, p);
                    p += lanes;
                }
            }
        }
    }
}
