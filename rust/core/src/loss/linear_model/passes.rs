//! Passes over all examples: predictors by rows of `X`, the link on lanes, and sums over examples, for strips of paths.
//!
//! Sums run over parameters, then over examples, in order, so that no vector length shows in the bits.

use super::{Cells, LinearLoss, Link};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Kernel, Real, Simd, Vector, dispatch};
use crate::workspace::with_workspace;

/// Examples that share one reading of the parameters.
const TILE: usize = 4;
/// The most lanes of a strip.
const STRIP: usize = 16;

/// What is summed over examples.
pub(super) enum Sum<'a, T> {
    /// `ℓ_i`, one row.
    Loss,
    /// `∇f_i`.
    Gradient,
    /// `w_i ∇f_i`.
    Weighted(&'a [T]),
    /// `Σ_k w_ik ∇z_ik`.
    Jacobian(&'a [T]),
    /// `∇²f_i v`.
    Hessian(&'a [T]),
    /// `w_i ∇²f_i v`.
    WeightedHessian { weights: &'a [T], v: &'a [T] },
    /// `∇³f_i v v`.
    Third(&'a [T]),
    /// `(∇f_i - m)²`.
    Squares(&'a [T]),
    /// `(∇f_i - m) ∇²f_i v`.
    Along { mean: &'a [T], v: &'a [T] },
}

impl<L: Link, T: Real> LinearLoss<L, T> {
    /// Writes the sum over all examples: `rows` rows.
    pub(super) fn sum(&self, x: &[T], what: &Sum<'_, T>, out: &mut [T], span: Span) -> Result<()> {
        let d = self.dim();
        span.check(x, d, "x")?;
        span.check(out, if matches!(what, Sum::Loss) { 1 } else { d }, "out")?;
        match what {
            Sum::Loss | Sum::Gradient => {}
            Sum::Weighted(w) => span.check(w, self.n, "weights")?,
            Sum::Jacobian(w) => span.check(w, self.n * self.link.outputs(), "weights")?,
            Sum::Hessian(v) | Sum::Third(v) => span.check(v, d, "v")?,
            Sum::WeightedHessian { weights, v } => {
                span.check(weights, self.n, "weights")?;
                span.check(v, d, "v")?;
            }
            Sum::Squares(mean) => span.check(mean, d, "mean")?,
            Sum::Along { mean, v } => {
                span.check(mean, d, "mean")?;
                span.check(v, d, "v")?;
            }
        }
        with_workspace(2 * TILE * self.link.outputs() * STRIP, |cells| {
            dispatch(Pass { model: self, x, what, out, cells, span });
        });
        Ok(())
    }
}

struct Pass<'a, L, T: Real> {
    model: &'a LinearLoss<L, T>,
    x: &'a [T],
    what: &'a Sum<'a, T>,
    out: &'a mut [T],
    cells: &'a mut [T],
    span: Span,
}

impl<L: Link, T: Real> Kernel for Pass<'_, L, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        if <T::V<S> as Vector>::LANES == STRIP { self.strips::<T::V<S>, 1>() } else { self.strips::<T::V<S>, 2>() }
    }
}

/// Numbers that are vectors of memory, `stride` elements apart.
pub(super) struct Column<V: Vector> {
    at: *mut V::Elem,
    stride: usize,
}

impl<V: Vector> Column<V> {
    /// # Safety
    /// As long as this lives, `at + k * stride` must be valid for a vector, for all `k` that it is asked for.
    #[inline(always)]
    pub(super) unsafe fn new(at: *mut V::Elem, stride: usize) -> Self {
        Self { at, stride }
    }
}

impl<V: Vector> Cells<V> for Column<V> {
    #[inline(always)]
    fn get(&self, k: usize) -> V {
        // SAFETY: promised to `new`.
        unsafe { V::load(self.at.add(k * self.stride)) }
    }
    #[inline(always)]
    fn set(&mut self, k: usize, value: V) {
        // SAFETY: promised to `new`.
        unsafe { value.store(self.at.add(k * self.stride)) }
    }
}

impl<L: Link, T: Real> Pass<'_, L, T> {
    #[inline(always)]
    fn strips<V: Vector<Elem = T>, const C: usize>(self) {
        let Self { model, x, what, out, cells, span } = self;
        out.fill(T::default());
        for lane in (0..span.n).step_by(C * V::LANES) {
            let strip = Strip { model, width: span.width, lane, cells: cells.as_mut_ptr() };
            // SAFETY: `sum` checked all rows, whose width is a multiple of the strip, and gave memory for the cells of a
            // tile; examples below `n` exist.
            unsafe {
                let (x, out) = (x.as_ptr().add(lane), out.as_mut_ptr().add(lane));
                let mut i = 0;
                while i + TILE <= model.n {
                    strip.add::<V, C, TILE>(i, x, what, out);
                    i += TILE;
                }
                while i < model.n {
                    strip.add::<V, C, 1>(i, x, what, out);
                    i += 1;
                }
            }
        }
    }
}

/// `C` vectors of paths. The rows of all pointers begin at the strip's lane.
struct Strip<'a, L, T: Real> {
    model: &'a LinearLoss<L, T>,
    width: usize,
    lane: usize,
    /// Predictor `k` of example `e` in cell `e K + k`, of `C` vectors; those of a direction behind them.
    cells: *mut T,
}

impl<L: Link, T: Real> Strip<'_, L, T> {
    /// Adds `E` examples from number `i` on.
    #[inline(always)]
    unsafe fn add<V: Vector<Elem = T>, const C: usize, const E: usize>(
        &self,
        i: usize,
        x: *const T,
        what: &Sum<'_, T>,
        out: *mut T,
    ) {
        let (link, outputs) = (self.model.link, self.model.link.outputs());
        let z = self.cells;
        // SAFETY: the caller gave rows for all that is read; cells are there for two tiles.
        unsafe {
            let u = z.add(E * outputs * C * V::LANES);
            let lanes = |rows: &[T]| rows.as_ptr().add(self.lane);
            let column = |cells: *mut T, e: usize, c: usize| {
                Column::<V>::new(cells.add((e * outputs * C + c) * V::LANES), C * V::LANES)
            };
            if let Sum::Jacobian(weights) = what {
                self.copy::<V, C, E>(lanes(weights).add(i * outputs * self.width), z);
                return self.accumulate::<V, C, E>(i, z, out);
            }
            self.predict::<V, C, E>(i, x, z);
            let direction = match what {
                Sum::Hessian(v) | Sum::WeightedHessian { v, .. } | Sum::Third(v) | Sum::Along { v, .. } => {
                    Some(lanes(v))
                }
                _ => None,
            };
            if let Some(v) = direction {
                self.predict::<V, C, E>(i, v, u);
            }
            for e in 0..E {
                let y = V::splat(*self.model.y.get_unchecked(i + e));
                for c in 0..C {
                    let mut z = column(z, e, c);
                    match what {
                        Sum::Loss => {
                            let sum = out.add(c * V::LANES);
                            (V::load(sum) + link.loss(y, &mut z)).store(sum);
                        }
                        Sum::Hessian(_) | Sum::Along { .. } => link.curvature(y, &mut z, &mut column(u, e, c)),
                        Sum::WeightedHessian { weights, .. } => {
                            let mut u = column(u, e, c);
                            link.curvature(y, &mut z, &mut u);
                            self.weigh(&mut u, weights, i + e, c);
                        }
                        Sum::Third(_) => link.bend(&mut z, &mut column(u, e, c)),
                        Sum::Weighted(weights) => {
                            link.residual(y, &mut z);
                            self.weigh(&mut z, weights, i + e, c);
                        }
                        _ => link.residual(y, &mut z),
                    }
                }
            }
            match what {
                Sum::Loss => {}
                Sum::Hessian(_) | Sum::WeightedHessian { .. } | Sum::Third(_) => self.accumulate::<V, C, E>(i, u, out),
                Sum::Squares(mean) => self.accumulate_products::<V, C, E>(i, z, None, lanes(mean), out),
                Sum::Along { mean, .. } => self.accumulate_products::<V, C, E>(i, z, Some(u), lanes(mean), out),
                _ => self.accumulate::<V, C, E>(i, z, out),
            }
        }
    }

    /// Multiplies the numbers of example `i` with its weights, on vector `c` of the strip.
    #[inline(always)]
    unsafe fn weigh<V: Vector<Elem = T>>(&self, cells: &mut Column<V>, weights: &[T], i: usize, c: usize) {
        // SAFETY: there is a row of weights for each example.
        let weight = unsafe { V::load(weights.as_ptr().add(i * self.width + self.lane + c * V::LANES)) };
        for k in 0..self.model.link.outputs() {
            cells.set(k, weight * cells.get(k));
        }
    }

    /// Element `a` of the row of example `i`.
    #[inline(always)]
    unsafe fn input<V: Vector<Elem = T>>(&self, i: usize, a: usize) -> V {
        // SAFETY: the caller asks for an element of `X`.
        V::splat(unsafe { *self.model.x.get_unchecked(i * self.model.stride + a) })
    }

    /// The predictors of `E` examples.
    #[inline(always)]
    unsafe fn predict<V: Vector<Elem = T>, const C: usize, const E: usize>(&self, i: usize, x: *const T, z: *mut T) {
        let outputs = self.model.link.outputs();
        for k in 0..outputs {
            let mut sums = [[V::splat(T::default()); C]; E];
            for a in 0..self.model.p {
                let mut parameter = [V::splat(T::default()); C];
                for (c, parameter) in parameter.iter_mut().enumerate() {
                    // SAFETY: `x` has `p K` rows of the strip.
                    *parameter = unsafe { V::load(x.add((a * outputs + k) * self.width + c * V::LANES)) };
                }
                for (e, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the examples exist.
                    let input = unsafe { self.input::<V>(i + e, a) };
                    for (sum, parameter) in sums.iter_mut().zip(parameter) {
                        *sum = input.mul_add(parameter, *sum);
                    }
                }
            }
            for (e, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    // SAFETY: cells are there for `E` examples.
                    unsafe { sum.store(z.add(((e * outputs + k) * C + c) * V::LANES)) };
                }
            }
        }
    }

    /// Rows of memory into cells, one for each example and output.
    #[inline(always)]
    unsafe fn copy<V: Vector<Elem = T>, const C: usize, const E: usize>(&self, rows: *const T, cells: *mut T) {
        for row in 0..E * self.model.link.outputs() {
            for c in 0..C {
                // SAFETY: as many rows and cells are there.
                unsafe {
                    V::load(rows.add(row * self.width + c * V::LANES)).store(cells.add((row * C + c) * V::LANES))
                };
            }
        }
    }

    /// The cells of predictor `k`.
    #[inline(always)]
    unsafe fn cells_of<V: Vector<Elem = T>, const C: usize, const E: usize>(
        &self,
        k: usize,
        cells: *const T,
    ) -> [[V; C]; E] {
        let outputs = self.model.link.outputs();
        let mut found = [[V::splat(T::default()); C]; E];
        for (e, found) in found.iter_mut().enumerate() {
            for (c, found) in found.iter_mut().enumerate() {
                // SAFETY: cells are there for `E` examples.
                *found = unsafe { V::load(cells.add(((e * outputs + k) * C + c) * V::LANES)) };
            }
        }
        found
    }

    /// `out += x_i r_i`.
    #[inline(always)]
    unsafe fn accumulate<V: Vector<Elem = T>, const C: usize, const E: usize>(
        &self,
        i: usize,
        r: *const T,
        out: *mut T,
    ) {
        let outputs = self.model.link.outputs();
        for k in 0..outputs {
            // SAFETY: as in `predict`; `out` has `p K` rows.
            unsafe {
                let r = self.cells_of::<V, C, E>(k, r);
                for a in 0..self.model.p {
                    let row = out.add((a * outputs + k) * self.width);
                    let mut sums = [V::splat(T::default()); C];
                    for (c, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(row.add(c * V::LANES));
                    }
                    for (e, r) in r.iter().enumerate() {
                        let input = self.input::<V>(i + e, a);
                        for (sum, r) in sums.iter_mut().zip(r) {
                            *sum = input.mul_add(*r, *sum);
                        }
                    }
                    for (c, sum) in sums.iter().enumerate() {
                        sum.store(row.add(c * V::LANES));
                    }
                }
            }
        }
    }

    /// `out += (x_i r_i - mean)²`, or `out += (x_i r_i - mean) x_i u_i`.
    #[inline(always)]
    unsafe fn accumulate_products<V: Vector<Elem = T>, const C: usize, const E: usize>(
        &self,
        i: usize,
        r: *const T,
        u: Option<*const T>,
        mean: *const T,
        out: *mut T,
    ) {
        let outputs = self.model.link.outputs();
        for k in 0..outputs {
            // SAFETY: as in `accumulate`; `mean` has as many rows.
            unsafe {
                let r = self.cells_of::<V, C, E>(k, r);
                let u = u.map(|u| self.cells_of::<V, C, E>(k, u));
                for a in 0..self.model.p {
                    let row = (a * outputs + k) * self.width;
                    for c in 0..C {
                        let mean = V::load(mean.add(row + c * V::LANES));
                        let mut sum = V::load(out.add(row + c * V::LANES));
                        for (e, r) in r.iter().enumerate() {
                            let input = self.input::<V>(i + e, a);
                            let deviation = input.mul_add(r[c], -mean);
                            let other = u.map_or(deviation, |u| input * u[e][c]);
                            sum = deviation.mul_add(other, sum);
                        }
                        sum.store(out.add(row + c * V::LANES));
                    }
                }
            }
        }
    }
}
