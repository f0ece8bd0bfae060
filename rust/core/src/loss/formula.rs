//! Losses in closed form: the formula is written once, and runs on points, on lanes of paths and on dual numbers.

use super::leap::{Leap, Separable, leap};
use super::{Loss, Quadratic, inlined};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Dual, Kernel, Number, Real, Simd, Vector, dispatch};

/// A loss in closed form. It has [`Loss`] and [`PointLoss`](super::PointLoss) by this alone: higher derivatives come
/// from dual numbers.
///
/// Both functions must be `#[inline(always)]`, and use only indices below `dim`; `grad` must set every component.
pub trait Formula: Send + Sync {
    /// How many parameters.
    fn dim(&self) -> usize;
    /// The loss at the point with the components `x(i)`.
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N;
    /// See [`Loss::bowl`].
    fn bowl(&self) -> Option<Quadratic<f64>> {
        None
    }
    /// The gradient at the point with the components `x(i)`: component `i` is given to `out(i, _)`.
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N));
}

impl<T: Real, F: Formula> Loss<T> for F {
    fn dim(&self) -> usize {
        Formula::dim(self)
    }

    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = Formula::dim(self);
        span.check(x, rows, "x")?;
        span.check(out, 1, "out")?;
        dispatch(Value { formula: self, x: Rows::new(x, rows, span), out: RowsMut::new(out, 1, span), n: span.n });
        Ok(())
    }

    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = Formula::dim(self);
        span.check(x, rows, "x")?;
        span.check(out, rows, "out")?;
        dispatch(Grad { formula: self, x: Rows::new(x, rows, span), out: RowsMut::new(out, rows, span), n: span.n });
        Ok(())
    }

    fn bowl(&self) -> Option<Quadratic<f64>> {
        Formula::bowl(self)
    }

    fn leaps(&self) -> bool {
        Formula::dim(self) == 1
    }

    fn leap(&self, steps: Leap<'_, T>, x: &mut [T], span: Span) -> Result<()> {
        leap(&OneDimensional(self), steps, x, span);
        Ok(())
    }

    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = Formula::dim(self);
        span.check(x, rows, "x")?;
        span.check(v, rows, "v")?;
        span.check(out, rows, "out")?;
        let (x, v) = (Rows::new(x, rows, span), Rows::new(v, rows, span));
        dispatch(HessVec { formula: self, x, v, out: RowsMut::new(out, rows, span), n: span.n });
        Ok(())
    }

    fn third_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = Formula::dim(self);
        span.check(x, rows, "x")?;
        span.check(v, rows, "v")?;
        span.check(out, rows, "out")?;
        let (x, v) = (Rows::new(x, rows, span), Rows::new(v, rows, span));
        dispatch(Third { formula: self, x, v, out: RowsMut::new(out, rows, span), n: span.n });
        Ok(())
    }
}

/// A formula of one coordinate.
struct OneDimensional<'a, F>(&'a F);

impl<F: Formula> Separable for OneDimensional<'_, F> {
    #[inline(always)]
    fn slope<N: Number>(&self, _i: usize, x: N) -> N {
        let mut slope = x;
        self.0.grad(
            &inlined(
                #[inline(always)]
                |_| x,
            ),
            &mut inlined(
                #[inline(always)]
                |_, g| slope = g,
            ),
        );
        slope
    }
}

/// Rows that were checked with [`Span::check`]: `rows` of them, each a whole number of vectors long.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    data: &'a [T],
    rows: usize,
    width: usize,
}

impl<'a, T: Real> Rows<'a, T> {
    fn new(data: &'a [T], rows: usize, span: Span) -> Self {
        Self { data, rows, width: span.width }
    }

    /// The vector at row `i`, from `lane` on.
    ///
    /// # Safety
    /// `lane` must be a multiple of `LANES` below `width`.
    #[inline(always)]
    unsafe fn load<V: Vector<Elem = T>>(self, i: usize, lane: usize) -> V {
        assert!(i < self.rows, "a formula used a component that it does not have");
        // SAFETY: the row exists, and holds the vector since its width is a multiple of `LANES`.
        unsafe { V::load(self.data.as_ptr().add(i * self.width + lane)) }
    }
}

struct RowsMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    width: usize,
}

impl<'a, T: Real> RowsMut<'a, T> {
    fn new(data: &'a mut [T], rows: usize, span: Span) -> Self {
        Self { data, rows, width: span.width }
    }

    /// Stores a vector at row `i`, from `lane` on.
    ///
    /// # Safety
    /// `lane` must be a multiple of `LANES` below `width`.
    #[inline(always)]
    unsafe fn store<V: Vector<Elem = T>>(&mut self, i: usize, lane: usize, v: V) {
        assert!(i < self.rows, "a formula set a component that it does not have");
        // SAFETY: as in `Rows::load`.
        unsafe { v.store(self.data.as_mut_ptr().add(i * self.width + lane)) }
    }
}

struct Value<'a, F, T> {
    formula: &'a F,
    x: Rows<'a, T>,
    out: RowsMut<'a, T>,
    n: usize,
}

impl<F: Formula, T: Real> Kernel for Value<'_, F, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let mut lane = 0;
        while lane < self.n {
            // SAFETY: `lane` is a multiple of `LANES`, and below `n <= width`.
            unsafe {
                let value = self.formula.value::<T::V<S>>(&inlined(
                    #[inline(always)]
                    |i| self.x.load(i, lane),
                ));
                self.out.store(0, lane, value);
            }
            lane += T::V::<S>::LANES;
        }
    }
}

struct Grad<'a, F, T> {
    formula: &'a F,
    x: Rows<'a, T>,
    out: RowsMut<'a, T>,
    n: usize,
}

impl<F: Formula, T: Real> Kernel for Grad<'_, F, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let mut lane = 0;
        while lane < self.n {
            // SAFETY: `lane` is a multiple of `LANES`, and below `n <= width`.
            unsafe {
                self.formula.grad::<T::V<S>>(
                    &inlined(
                        #[inline(always)]
                        |i| self.x.load(i, lane),
                    ),
                    &mut inlined(
                        #[inline(always)]
                        |i, g| self.out.store(i, lane, g),
                    ),
                );
            }
            lane += T::V::<S>::LANES;
        }
    }
}

struct HessVec<'a, F, T> {
    formula: &'a F,
    x: Rows<'a, T>,
    v: Rows<'a, T>,
    out: RowsMut<'a, T>,
    n: usize,
}

impl<F: Formula, T: Real> Kernel for HessVec<'_, F, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let mut lane = 0;
        while lane < self.n {
            // SAFETY: `lane` is a multiple of `LANES`, and below `n <= width`.
            unsafe {
                self.formula.grad::<Dual<T::V<S>>>(
                    &inlined(
                        #[inline(always)]
                        |i| Dual::new(self.x.load(i, lane), self.v.load(i, lane)),
                    ),
                    &mut inlined(
                        #[inline(always)]
                        |i, g: Dual<_>| self.out.store(i, lane, g.eps),
                    ),
                );
            }
            lane += T::V::<S>::LANES;
        }
    }
}

struct Third<'a, F, T> {
    formula: &'a F,
    x: Rows<'a, T>,
    v: Rows<'a, T>,
    out: RowsMut<'a, T>,
    n: usize,
}

impl<F: Formula, T: Real> Kernel for Third<'_, F, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let zero = T::V::<S>::constant(0.0);
        let mut lane = 0;
        while lane < self.n {
            // SAFETY: `lane` is a multiple of `LANES`, and below `n <= width`.
            unsafe {
                self.formula.grad::<Dual<Dual<T::V<S>>>>(
                    &inlined(
                        #[inline(always)]
                        |i| {
                            let v = self.v.load(i, lane);
                            Dual::new(Dual::new(self.x.load(i, lane), v), Dual::new(v, zero))
                        },
                    ),
                    &mut inlined(
                        #[inline(always)]
                        |i, g: Dual<Dual<_>>| self.out.store(i, lane, g.eps.eps),
                    ),
                );
            }
            lane += T::V::<S>::LANES;
        }
    }
}
