//! Gradients of minibatches, each path's of its own examples: the hot path of SGD on data.
//!
//! Examples differ from lane to lane, and gathering their inputs element by element would cost more than all else. So
//! a few paths at a time are turned to one row each, which meets the rows of `X` whole: dot products for all draws,
//! the link on vectors of draws, and sums of rows, which are turned back.
//!
//! A dot product has a partial sum for each element of a line of the cache: one order of additions, whatever the length of
//! vectors.

use super::{Cells, LinearLoss, Link};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Real, Simd, Vector, dispatch, line, transpose4};
use crate::workspace::with_workspace;

/// Paths that are turned at a time, as [`Vector::transpose8`] does.
const GROUP: usize = 8;
/// Elements of the longest vector, which draws are padded to.
const VECTOR: usize = 16;

impl<L: Link, T: Real> LinearLoss<L, T> {
    /// See [`crate::loss::DataLoss::batch_grad`].
    pub(super) fn batch(
        &self,
        x: &[T],
        indices: &[u32],
        labels: Option<&[T]>,
        out: &mut [T],
        span: Span,
    ) -> Result<()> {
        let d = self.dim();
        span.check(x, d, "x")?;
        span.check(out, d, "out")?;
        let batch = indices.len() / span.width;
        if batch == 0 {
            return Err(Error::invalid("indices", "a batch of no examples"));
        }
        if let Some(labels) = labels {
            span.check(labels, batch * self.link.outputs(), "labels")?;
        }
        let (rows, draws) = (GROUP * self.link.outputs() * self.stride, (GROUP * batch).next_multiple_of(VECTOR));
        let lengths = [rows, rows, (self.link.outputs() + 1) * draws];
        let worst = with_workspace(GROUP * batch, |offsets: &mut [usize]| {
            with_workspace(lengths.iter().sum(), |work: &mut [T]| {
                let (theta, work) = work.split_at_mut(lengths[0]);
                let (sums, work) = work.split_at_mut(lengths[1]);
                let (y, z) = work.split_at_mut(draws);
                // Behind the parameters of a row come zeros.
                theta.fill(T::default());
                let model = self;
                dispatch(Batch { model, x, indices, labels, out, span, batch, draws, offsets, theta, sums, y, z })
            })
        });
        if (worst as usize) < self.n {
            Ok(())
        } else {
            Err(Error::invalid("indices", format!("example {worst} of {}", self.n)))
        }
    }
}

struct Batch<'a, L, T: Real> {
    model: &'a LinearLoss<L, T>,
    x: &'a [T],
    indices: &'a [u32],
    labels: Option<&'a [T]>,
    out: &'a mut [T],
    span: Span,
    /// Examples of a path.
    batch: usize,
    /// Examples of a group of paths, padded.
    draws: usize,
    /// Where the row of each draw begins; draw `b` of path `q` is number `b · GROUP + q`, as paths draw them.
    offsets: &'a mut [usize],
    /// Parameters of path `q` for output `k`: row `q K + k`.
    theta: &'a mut [T],
    /// The same for gradients.
    sums: &'a mut [T],
    /// Targets by draws.
    y: &'a mut [T],
    /// Predictors, then residuals, by outputs and draws.
    z: &'a mut [T],
}

impl<L: Link, T: Real> Kernel for Batch<'_, L, T> {
    /// The largest index.
    type Output = u32;
    #[inline(always)]
    fn run<S: Simd>(self) -> u32 {
        if <T::V<S> as Vector>::LANES == line::<T>() {
            self.groups::<T::V<S>, 1, 8>()
        } else {
            self.groups::<T::V<S>, 2, 4>()
        }
    }
}

impl<L: Link, T: Real> Batch<'_, L, T> {
    /// `H` vectors are a line, and `J` dot products are made at a time.
    #[inline(always)]
    fn groups<V: Vector<Elem = T>, const H: usize, const J: usize>(mut self) -> u32 {
        let mut worst = 0;
        for lane in (0..self.span.n).step_by(GROUP) {
            // SAFETY: `batch` checked that the rows are there, and gave memory; the width is a multiple of the group.
            unsafe {
                worst = worst.max(self.look_up(lane));
                self.turn::<V>(lane);
                self.dot_products::<V, H, J>();
                self.link::<V>();
                self.add_rows::<V, H>();
                self.turn_back::<V>(lane);
            }
        }
        worst
    }

    /// Finds rows and targets of the group's draws.
    #[inline(always)]
    unsafe fn look_up(&mut self, lane: usize) -> u32 {
        let (width, stride, last) = (self.span.width, self.model.stride, self.model.n as u32 - 1);
        let mut worst = [0; GROUP];
        for b in 0..self.batch {
            let draws = b * GROUP..(b + 1) * GROUP;
            // SAFETY: the caller's; an index too large is read as the last, and told of.
            unsafe {
                let drawn = self.indices.get_unchecked(b * width + lane..b * width + lane + GROUP);
                let offsets = self.offsets.get_unchecked_mut(draws.clone());
                let y = self.y.get_unchecked_mut(draws);
                for q in 0..GROUP {
                    worst[q] = worst[q].max(drawn[q]);
                    offsets[q] = drawn[q].min(last) as usize * stride;
                }
                for q in 0..GROUP {
                    y[q] = *self.model.y.get_unchecked(drawn[q].min(last) as usize);
                }
                if let Some(labels) = self.labels {
                    for (y, label) in y.iter_mut().zip(labels.get_unchecked(b * width + lane..)) {
                        *y = *y + *label;
                    }
                }
            }
        }
        worst.into_iter().fold(0, u32::max)
    }

    /// Rows of parameters, one for each path of the group and output.
    #[inline(always)]
    unsafe fn turn<V: Vector<Elem = T>>(&mut self, lane: usize) {
        let (p, outputs, stride, width) = (self.model.p, self.model.link.outputs(), self.model.stride, self.span.width);
        let from_stride = outputs * width;
        for k in 0..outputs {
            // SAFETY: the caller's.
            unsafe {
                let from = self.x.as_ptr().add(k * width + lane);
                let to = self.theta.as_mut_ptr().add(k * stride);
                let mut a = 0;
                while a + GROUP <= p {
                    V::transpose8(from.add(a * from_stride), from_stride, to.add(a), outputs * stride);
                    a += GROUP;
                }
                while a + 4 <= p {
                    for q in (0..GROUP).step_by(4) {
                        let to = to.add(q * outputs * stride + a);
                        transpose4(from.add(a * from_stride + q), from_stride, to, outputs * stride);
                    }
                    a += 4;
                }
                while a < p {
                    for q in 0..GROUP {
                        *to.add(q * outputs * stride + a) = *from.add(a * from_stride + q);
                    }
                    a += 1;
                }
            }
        }
    }

    /// The way back.
    #[inline(always)]
    unsafe fn turn_back<V: Vector<Elem = T>>(&mut self, lane: usize) {
        let (p, outputs, stride, width) = (self.model.p, self.model.link.outputs(), self.model.stride, self.span.width);
        let to_stride = outputs * width;
        for k in 0..outputs {
            // SAFETY: the caller's.
            unsafe {
                let from = self.sums.as_ptr().add(k * stride);
                let to = self.out.as_mut_ptr().add(k * width + lane);
                let mut a = 0;
                while a + GROUP <= p {
                    V::transpose8(from.add(a), outputs * stride, to.add(a * to_stride), to_stride);
                    a += GROUP;
                }
                while a + 4 <= p {
                    for q in (0..GROUP).step_by(4) {
                        let from = from.add(q * outputs * stride + a);
                        transpose4(from, outputs * stride, to.add(a * to_stride + q), to_stride);
                    }
                    a += 4;
                }
                while a < p {
                    for q in 0..GROUP {
                        *to.add(a * to_stride + q) = *from.add(q * outputs * stride + a);
                    }
                    a += 1;
                }
            }
        }
    }

    /// The predictors of all draws.
    #[inline(always)]
    unsafe fn dot_products<V: Vector<Elem = T>, const H: usize, const J: usize>(&mut self) {
        let (data, stride, outputs) = (self.model.x.as_ptr(), self.model.stride, self.model.link.outputs());
        for k in 0..outputs {
            for draw in (0..GROUP * self.batch).step_by(J) {
                let mut sums = [[V::splat(T::default()); H]; J];
                // SAFETY: the caller's. Offsets are those of rows, which are `stride` long; the number of draws is a
                // multiple of the group, and that of `J`.
                unsafe {
                    let rows: [*const T; J] = std::array::from_fn(|j| data.add(*self.offsets.get_unchecked(draw + j)));
                    let theta = self.theta.as_ptr().add((draw % GROUP * outputs + k) * stride);
                    let theta: [*const T; J] = std::array::from_fn(|j| theta.add(j * outputs * stride));
                    for c in (0..stride).step_by(H * V::LANES) {
                        for (sums, (row, theta)) in sums.iter_mut().zip(rows.iter().zip(&theta)) {
                            for (h, sum) in sums.iter_mut().enumerate() {
                                let at = c + h * V::LANES;
                                *sum = V::load(row.add(at)).mul_add(V::load(theta.add(at)), *sum);
                            }
                        }
                    }
                    V::sum_lines(sums, self.z.as_mut_ptr().add(k * self.draws + draw));
                }
            }
        }
    }

    /// Residuals of all draws, divided by their number.
    #[inline(always)]
    unsafe fn link<V: Vector<Elem = T>>(&mut self) {
        let outputs = self.model.link.outputs();
        let share = V::constant(1.0 / self.batch as f64);
        for draw in (0..self.draws).step_by(V::LANES) {
            // SAFETY: the caller's; draws are padded to whole vectors.
            let (y, mut column) = unsafe {
                let y = V::load(self.y.as_ptr().add(draw));
                (y, super::passes::Column::<V>::new(self.z.as_mut_ptr().add(draw), self.draws))
            };
            self.model.link.residual(y, &mut column);
            for k in 0..outputs {
                column.set(k, share * column.get(k));
            }
        }
    }

    /// Sums of rows, times residuals, onto the penalty's gradient.
    #[inline(always)]
    unsafe fn add_rows<V: Vector<Elem = T>, const H: usize>(&mut self) {
        let (outputs, stride) = (self.model.link.outputs(), self.model.stride);
        let penalty = V::constant(self.model.l2);
        for (k, q) in (0..outputs).flat_map(|k| (0..GROUP).map(move |q| (k, q))) {
            let row = (q * outputs + k) * stride;
            let mut c = 0;
            // SAFETY: the caller's; rows are whole lines.
            unsafe {
                while c + 4 * V::LANES <= stride {
                    self.add_tile::<V, 4>(k, q, row, c, penalty);
                    c += 4 * V::LANES;
                }
                match (stride - c) / V::LANES {
                    3 => self.add_tile::<V, 3>(k, q, row, c, penalty),
                    2 => self.add_tile::<V, 2>(k, q, row, c, penalty),
                    1 => self.add_tile::<V, 1>(k, q, row, c, penalty),
                    _ => {}
                }
            }
        }
    }

    /// `C` vectors of a sum, from element `c` on.
    #[inline(always)]
    unsafe fn add_tile<V: Vector<Elem = T>, const C: usize>(
        &mut self,
        k: usize,
        q: usize,
        row: usize,
        c: usize,
        penalty: V,
    ) {
        let mut sums = [penalty; C];
        // SAFETY: the caller's.
        unsafe {
            let (data, theta) = (self.model.x.as_ptr().add(c), self.theta.as_ptr().add(row + c));
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = penalty * V::load(theta.add(i * V::LANES));
            }
            let residuals = self.z.as_ptr().add(k * self.draws + q);
            let offsets = self.offsets.as_ptr().add(q);
            for b in 0..self.batch {
                let residual = V::splat(*residuals.add(b * GROUP));
                let inputs = data.add(*offsets.add(b * GROUP));
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(inputs.add(i * V::LANES)).mul_add(residual, *sum);
                }
            }
            for (i, sum) in sums.iter().enumerate() {
                sum.store(self.sums.as_mut_ptr().add(row + c + i * V::LANES));
            }
        }
    }
}
