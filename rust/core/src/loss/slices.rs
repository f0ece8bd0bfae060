//! Losses whose formula needs all its parameters at hand and memory besides: written once over numbers, like a
//! [`Formula`](super::Formula), and run on lanes of paths, on dual numbers, and at points.

use super::point::check;
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Dual, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::workspace::{Scratch, with_workspace};
use std::marker::PhantomData;

/// A loss as a formula of a slice of parameters. All functions must be `#[inline(always)]`.
pub(super) trait SliceFormula: Send + Sync {
    /// How many parameters.
    fn dim(&self) -> usize;
    /// Numbers of working memory that the functions below need.
    fn memory(&self) -> usize;
    /// The loss.
    fn value<N: Number>(&self, x: &[N], memory: &mut [N]) -> N;
    /// The gradient; `out` holds anything before.
    fn grad<N: Number>(&self, x: &[N], out: &mut [N], memory: &mut [N]);
    /// The variances over examples of the gradient's components, for losses over data; 0 for others.
    fn variances<N: Number>(&self, _x: &[N], out: &mut [N], _memory: &mut [N]) {
        out.fill(N::constant(0.0));
    }
    /// The mean over examples of the squares of the derivatives of the outputs, for losses over data; 0 for others.
    fn jacobian_squares<N: Number>(&self, _x: &[N], out: &mut [N], _memory: &mut [N]) {
        out.fill(N::constant(0.0));
    }
}

/// Where the numbers of a kernel come from, and which part of its results is the answer.
pub(super) trait Port<T: Real>: Copy {
    /// The numbers.
    type N<S: Simd>: Number;
    /// Fails unless there are `rows` rows.
    fn check(&self, rows: usize, span: Span) -> Result<()>;
    /// The number at element `at` of the rows and the lanes after it.
    ///
    /// # Safety
    /// The rows must hold a vector at `at`.
    unsafe fn load<S: Simd>(&self, at: usize) -> Self::N<S>;
    /// The answer in a result.
    fn answer<S: Simd>(result: Self::N<S>) -> T::V<S>;
}

/// Points: the answer is the value.
#[derive(Clone, Copy)]
pub(super) struct At<'a, T>(pub &'a [T]);

impl<T: Real> Port<T> for At<'_, T> {
    type N<S: Simd> = T::V<S>;
    fn check(&self, rows: usize, span: Span) -> Result<()> {
        span.check(self.0, rows, "x")
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, at: usize) -> T::V<S> {
        // SAFETY: the caller's promise.
        unsafe { T::V::<S>::load(self.0.as_ptr().add(at)) }
    }
    #[inline(always)]
    fn answer<S: Simd>(result: T::V<S>) -> T::V<S> {
        result
    }
}

/// Points and a direction at each: the answer is the derivative along it.
#[derive(Clone, Copy)]
pub(super) struct Along<'a, T>(pub &'a [T], pub &'a [T]);

impl<T: Real> Port<T> for Along<'_, T> {
    type N<S: Simd> = Dual<T::V<S>>;
    fn check(&self, rows: usize, span: Span) -> Result<()> {
        span.check(self.0, rows, "x")?;
        span.check(self.1, rows, "v")
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, at: usize) -> Dual<T::V<S>> {
        // SAFETY: the caller's promise, for both.
        unsafe { Dual::new(T::V::<S>::load(self.0.as_ptr().add(at)), T::V::<S>::load(self.1.as_ptr().add(at))) }
    }
    #[inline(always)]
    fn answer<S: Simd>(result: Dual<T::V<S>>) -> T::V<S> {
        result.eps
    }
}

/// Points and two directions at each: the answer is the second derivative along both.
#[derive(Clone, Copy)]
pub(super) struct AlongBoth<'a, T>(pub &'a [T], pub &'a [T], pub &'a [T]);

impl<T: Real> Port<T> for AlongBoth<'_, T> {
    type N<S: Simd> = Dual<Dual<T::V<S>>>;
    fn check(&self, rows: usize, span: Span) -> Result<()> {
        Along(self.0, self.1).check(rows, span)?;
        span.check(self.2, rows, "w")
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, at: usize) -> Dual<Dual<T::V<S>>> {
        // SAFETY: the caller's promise, for all three.
        unsafe {
            let second = T::V::<S>::load(self.2.as_ptr().add(at));
            Dual::new(Along(self.0, self.1).load::<S>(at), Dual::new(second, T::V::<S>::constant(0.0)))
        }
    }
    #[inline(always)]
    fn answer<S: Simd>(result: Dual<Dual<T::V<S>>>) -> T::V<S> {
        result.eps.eps
    }
}

/// What is computed of a formula.
pub(super) trait Quantity: Copy {
    /// Rows of the result, of a formula of `dim` parameters.
    fn rows(dim: usize) -> usize;
    /// Computes it into the first of these rows. It must be `#[inline(always)]`.
    fn of<F: SliceFormula, N: Number>(formula: &F, x: &[N], out: &mut [N], memory: &mut [N]);
}

/// [`SliceFormula::value`].
#[derive(Clone, Copy)]
pub(super) struct Value;
/// [`SliceFormula::grad`].
#[derive(Clone, Copy)]
pub(super) struct Grad;
/// [`SliceFormula::variances`].
#[derive(Clone, Copy)]
pub(super) struct Variances;
/// [`SliceFormula::jacobian_squares`].
#[derive(Clone, Copy)]
pub(super) struct JacobianSquares;

impl Quantity for Value {
    fn rows(_dim: usize) -> usize {
        1
    }
    #[inline(always)]
    fn of<F: SliceFormula, N: Number>(formula: &F, x: &[N], out: &mut [N], memory: &mut [N]) {
        out[0] = formula.value(x, memory);
    }
}

impl Quantity for Grad {
    fn rows(dim: usize) -> usize {
        dim
    }
    #[inline(always)]
    fn of<F: SliceFormula, N: Number>(formula: &F, x: &[N], out: &mut [N], memory: &mut [N]) {
        formula.grad(x, out, memory);
    }
}

impl Quantity for Variances {
    fn rows(dim: usize) -> usize {
        dim
    }
    #[inline(always)]
    fn of<F: SliceFormula, N: Number>(formula: &F, x: &[N], out: &mut [N], memory: &mut [N]) {
        formula.variances(x, out, memory);
    }
}

impl Quantity for JacobianSquares {
    fn rows(dim: usize) -> usize {
        dim
    }
    #[inline(always)]
    fn of<F: SliceFormula, N: Number>(formula: &F, x: &[N], out: &mut [N], memory: &mut [N]) {
        formula.jacobian_squares(x, out, memory);
    }
}

/// Computes a quantity of every path.
pub(super) fn compute<T: Real, Q: Quantity>(
    _quantity: Q,
    formula: &impl SliceFormula,
    port: impl Port<T>,
    out: &mut [T],
    span: Span,
) -> Result<()> {
    port.check(formula.dim(), span)?;
    span.check(out, Q::rows(formula.dim()), "out")?;
    dispatch(Compute { formula, quantity: PhantomData::<Q>, port, out, span });
    Ok(())
}

struct Compute<'a, F, Q, P, T> {
    formula: &'a F,
    quantity: PhantomData<Q>,
    port: P,
    out: &'a mut [T],
    span: Span,
}

impl<F: SliceFormula, Q: Quantity, P: Port<T>, T: Real> Kernel for Compute<'_, F, Q, P, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (dim, Span { n, width }) = (self.formula.dim(), self.span);
        let mut scratch = Scratch::take(2 * dim + self.formula.memory(), P::N::<S>::constant(0.0));
        let (x, rest) = scratch.split_at_mut(dim);
        let (result, memory) = rest.split_at_mut(dim);
        let mut lane = 0;
        while lane < n {
            for (i, x) in x.iter_mut().enumerate() {
                // SAFETY: the rows were checked, and their width is a multiple of the vector's.
                *x = unsafe { self.port.load::<S>(i * width + lane) };
            }
            Q::of(self.formula, x, result, memory);
            for (i, answer) in result[..Q::rows(dim)].iter().enumerate() {
                // SAFETY: as above.
                unsafe { P::answer::<S>(*answer).store(self.out.as_mut_ptr().add(i * width + lane)) };
            }
            lane += T::V::<S>::LANES;
        }
    }
}

/// The loss at a point.
pub(super) fn value_at(formula: &impl SliceFormula, x: &[f64]) -> Result<f64> {
    check("x", x, formula.dim())?;
    let span = Span::of(1);
    with_workspace((x.len() + 1) * span.width, |rows: &mut [f64]| {
        let (out, block) = rows.split_at_mut(span.width);
        repeat(x, block, span);
        compute(Value, formula, At(block), out, span)?;
        Ok(out[0])
    })
}

/// The gradient at a point.
pub(super) fn grad_at(formula: &impl SliceFormula, x: &[f64], out: &mut [f64]) -> Result<()> {
    check("x", x, formula.dim())?;
    check("out", out, formula.dim())?;
    let span = Span::of(1);
    with_workspace(2 * x.len() * span.width, |rows: &mut [f64]| {
        let (result, block) = rows.split_at_mut(x.len() * span.width);
        repeat(x, block, span);
        compute(Grad, formula, At(block), result, span)?;
        for (out, row) in out.iter_mut().zip(result.chunks_exact(span.width)) {
            *out = row[0];
        }
        Ok(())
    })
}

/// Columns of a Hessian computed at once, each in a lane of its own.
const COLUMNS: usize = 64;

/// The Hessian at a point, its rounding errors made symmetric.
pub(super) fn hessian_at(formula: &impl SliceFormula, x: &[f64], out: &mut [f64]) -> Result<()> {
    let d = formula.dim();
    check("x", x, d)?;
    check("out", out, d * d)?;
    by_columns(d, 2, |first, span, rows| {
        let (block, rest) = rows.split_at_mut(d * span.width);
        let (axes, result) = rest.split_at_mut(d * span.width);
        repeat(x, block, span);
        unit_columns(axes, first, span);
        compute(Grad, formula, Along(block, axes), result, span)?;
        for (out, row) in out.chunks_exact_mut(d).zip(result.chunks_exact(span.width)) {
            out[first..first + span.n].copy_from_slice(&row[..span.n]);
        }
        Ok(())
    })?;
    for i in 0..d {
        for j in 0..i {
            let mean = 0.5 * out[i * d + j] + 0.5 * out[j * d + i];
            out[i * d + j] = mean;
            out[j * d + i] = mean;
        }
    }
    Ok(())
}

/// The gradient of `<s, hessian(x)>` at a point.
pub(super) fn third_at(formula: &impl SliceFormula, x: &[f64], s: &[f64], out: &mut [f64]) -> Result<()> {
    let d = formula.dim();
    check("x", x, d)?;
    check("s", s, d * d)?;
    check("out", out, d)?;
    out.fill(0.0);
    // Along axis j and column j of s, the second derivative of ∂f/∂k is the sum over i of s_ij f_ijk.
    by_columns(d, 3, |first, span, rows| {
        let (block, rest) = rows.split_at_mut(d * span.width);
        let (axes, rest) = rest.split_at_mut(d * span.width);
        let (columns, result) = rest.split_at_mut(d * span.width);
        repeat(x, block, span);
        unit_columns(axes, first, span);
        for (i, row) in columns.chunks_exact_mut(span.width).enumerate() {
            for (p, s_ij) in row[..span.n].iter_mut().enumerate() {
                let j = first + p;
                *s_ij = 0.5 * s[i * d + j] + 0.5 * s[j * d + i];
            }
        }
        compute(Grad, formula, AlongBoth(block, axes, columns), result, span)?;
        for (out, row) in out.iter_mut().zip(result.chunks_exact(span.width)) {
            *out = row[..span.n].iter().fold(*out, |sum, term| sum + term);
        }
        Ok(())
    })
}

/// Calls `f` with the first of each group of columns, the group's span, and rows for `inputs` blocks and a result.
fn by_columns(d: usize, inputs: usize, mut f: impl FnMut(usize, Span, &mut [f64]) -> Result<()>) -> Result<()> {
    for first in (0..d).step_by(COLUMNS) {
        let span = Span::of(COLUMNS.min(d - first));
        with_workspace((inputs + 1) * d * span.width, |rows| f(first, span, rows))?;
    }
    Ok(())
}

/// Fills each row with one component of `x`.
fn repeat(x: &[f64], block: &mut [f64], span: Span) {
    for (row, x) in block.chunks_exact_mut(span.width).zip(x) {
        row.fill(*x);
    }
}

/// Lane `p` becomes the axis `first + p`.
fn unit_columns(rows: &mut [f64], first: usize, span: Span) {
    rows.fill(0.0);
    for p in 0..span.n {
        rows[(first + p) * span.width + p] = 1.0;
    }
}

/// Implements [`Loss`](super::Loss) and [`PointLoss`](super::PointLoss) for types that are a [`SliceFormula`] in every
/// precision; a blanket implementation would meet that of [`Formula`](super::Formula).
macro_rules! loss_of_slices {
    ($loss:ident) => {
        impl<T: $crate::lanes::Real> $crate::loss::Loss<T> for $loss<T> {
            fn dim(&self) -> usize {
                SliceFormula::dim(self)
            }
            fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
                slices::compute(slices::Value, self, slices::At(x), out, span)
            }
            fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
                slices::compute(slices::Grad, self, slices::At(x), out, span)
            }
            fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
                slices::compute(slices::Grad, self, slices::Along(x, v), out, span)
            }
            fn third_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
                slices::compute(slices::Grad, self, slices::AlongBoth(x, v, v), out, span)
            }
        }

        impl $crate::loss::PointLoss for $loss<f64> {
            fn dim(&self) -> usize {
                SliceFormula::dim(self)
            }
            fn value(&self, x: &[f64]) -> Result<f64> {
                slices::value_at(self, x)
            }
            fn grad(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
                slices::grad_at(self, x, out)
            }
            fn hessian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
                slices::hessian_at(self, x, out)
            }
            fn third(&self, x: &[f64], s: &[f64], out: &mut [f64]) -> Result<()> {
                slices::third_at(self, x, s, out)
            }
        }
    };
}
pub(super) use loss_of_slices;
