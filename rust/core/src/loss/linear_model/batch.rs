//! Gradients of minibatches, each path's of its own examples, and steps along them: the hot path of SGD on data.
//!
//! Examples differ from lane to lane, and gathering their inputs element by element would cost more than all else. So
//! a few paths at a time are turned to one row each, which meets the rows of `X` whole: dot products for all draws,
//! the link on vectors of draws, and sums of rows. Steps of plain SGD are taken on the turned rows, many before they are
//! turned back.

use super::drawn::{Drawn, GROUP, by_length, load};
use super::{LinearLoss, Link, Targets};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Bits, Kernel, Real, Simd, Vector, dispatch, line, transpose4};
use crate::loss::Descent;
use crate::rng::all_ones;
use crate::workspace::with_workspace;

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
        span.check(x, self.dim(), "x")?;
        span.check(out, self.dim(), "out")?;
        let batch = indices.len() / span.width;
        if let Some(labels) = labels {
            span.check(labels, batch * self.link.outputs(), "labels")?;
        }
        let (from, to) = (x.as_ptr(), out.as_mut_ptr());
        self.run(Job { from, to, indices, labels, steps: None, count: 1, batch, span })
    }

    /// See [`crate::loss::DataLoss::descend`].
    pub(super) fn steps(
        &self,
        x: &mut [T],
        indices: &[u32],
        batch: usize,
        steps: Descent<'_>,
        span: Span,
    ) -> Result<()> {
        let (d, count) = (self.dim(), steps.count);
        span.check(x, d, "x")?;
        let rows = count * span.width;
        if rows == 0 || !indices.len().is_multiple_of(rows) || indices.len() / rows < batch {
            return Err(Error::invalid("indices", "no whole rows, or fewer than the steps need"));
        }
        // What parameters are multiplied by, and sums over a batch, in the order of the rows; 1 and 0 behind them.
        let rows = self.link.outputs() * self.stride;
        let sets = steps.rates.len() / d;
        if sets != 1 && sets != count {
            return Err(Error::invalid("rates", format!("{sets} rows for {count} steps")));
        }
        with_workspace(2 * sets * rows + self.stride, |factors: &mut [T]| {
            let (keep, rate) = factors.split_at_mut(sets * rows);
            let (rate, inputs) = rate.split_at_mut(sets * rows);
            keep.fill(T::from_f64(1.0));
            rate.fill(T::default());
            inputs.fill(T::default());
            inputs[..self.p].fill(all_ones());
            for (at, rates) in steps.rates.chunks_exact(d).enumerate() {
                for (a, rates) in rates.chunks_exact(self.link.outputs()).enumerate() {
                    for (k, lr) in rates.iter().enumerate() {
                        let cell = at * rows + k * self.stride + a;
                        (keep[cell], rate[cell]) =
                            (T::from_f64(1.0 - lr * steps.decay), T::from_f64(-lr / batch as f64));
                    }
                }
            }
            let (from, to) = (x.as_ptr(), x.as_mut_ptr());
            let keep = (steps.decay != 0.0).then_some(&*keep);
            let per_step = if sets == 1 { 0 } else { rows };
            let steps = Some(Factors { keep, rate, per_step, inputs });
            self.run(Job { from, to, indices, labels: None, steps, count, batch, span })
        })
    }

    fn run(&self, job: Job<'_, T>) -> Result<()> {
        let (batch, outputs) = (job.batch, self.link.outputs());
        if batch == 0 || job.count == 0 {
            return Err(Error::invalid("indices", "a batch of no examples"));
        }
        let (rows, draws) = (GROUP * outputs * self.stride, GROUP * batch);
        // Draws are padded to the longest vector.
        let padded = draws.next_multiple_of(2 * GROUP);
        let lengths = [rows, rows, (outputs + 1) * padded];
        let worst = with_workspace(line::<T>() + lengths.iter().sum::<usize>(), |work: &mut [T]| {
            // Vectors of memory in no more than one line of the cache each.
            let skipped = work.as_ptr().align_offset(line::<T>() * T::BYTES);
            let work = &mut work[skipped..];
            let (theta, work) = work.split_at_mut(lengths[0]);
            let (grad, work) = work.split_at_mut(lengths[1]);
            let (y, z) = work[..lengths[2]].split_at_mut(padded);
            // Behind the parameters of a row come the target's factor and zeros.
            theta.fill(T::default());
            for row in theta.chunks_exact_mut(self.stride) {
                if let Some(factor) = row.get_mut(self.p) {
                    *factor = T::from_f64(L::TARGETS.factor());
                }
            }
            y.fill(T::default());
            let (share, penalty) = (T::from_f64(1.0 / batch as f64), T::from_f64(self.l2 * batch as f64));
            dispatch(Batch { model: self, job, draws: padded, share, penalty, theta, grad, y, z })
        });
        if (worst as usize) < self.n {
            Ok(())
        } else {
            Err(Error::invalid("indices", format!("example {worst} of {}", self.n)))
        }
    }
}

/// What is to be done.
struct Job<'a, T> {
    /// Parameters; rows of the span's width, as all pointers have them.
    from: *const T,
    /// Where gradients go, or parameters after their steps.
    to: *mut T,
    /// Equally many rows a step, of which `batch` count.
    indices: &'a [u32],
    /// What is added to targets.
    labels: Option<&'a [T]>,
    /// Steps to take; None where a gradient is wanted.
    steps: Option<Factors<'a, T>>,
    count: usize,
    batch: usize,
    span: Span,
}

/// What a step multiplies parameters and sums over a batch by, in rows as parameters have them.
#[derive(Clone, Copy)]
struct Factors<'a, T> {
    keep: Option<&'a [T]>,
    rate: &'a [T],
    /// From one step's to the next one's.
    per_step: usize,
    /// All bits where a row has inputs, and none behind them: what stands there outlives a path that diverges.
    inputs: &'a [T],
}

struct Batch<'a, L, T: Real> {
    model: &'a LinearLoss<L, T>,
    job: Job<'a, T>,
    /// Draws of a group of paths, padded: first those of path 0, then those of path 1, …
    draws: usize,
    /// What sums over a batch are multiplied by.
    share: T,
    /// What parameters are multiplied by to begin such sums.
    penalty: T,
    /// Parameters of path `q` for output `k`: row `q K + k`.
    theta: &'a mut [T],
    /// The same for gradients.
    grad: &'a mut [T],
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
        // Behind a step's draws there may be anything.
        let Job { indices, count, batch, span, .. } = self.job;
        let mut worst = 0;
        for drawn in indices.chunks_exact(indices.len() / count) {
            for index in &drawn[..batch * span.width] {
                worst = worst.max(*index);
            }
        }
        // SAFETY: `LinearLoss::run` gave memory, and its callers checked that rows are there, whose width is a multiple of
        // the group; indices are below the number of examples.
        if (worst as usize) < self.model.n {
            unsafe {
                if <T::V<S> as Vector>::LANES == line::<T>() {
                    self.by_length::<T::V<S>, 1, 8>();
                } else {
                    self.by_length::<T::V<S>, 2, 4>();
                }
            }
        }
        worst
    }
}

impl<L: Link, T: Real> Batch<'_, L, T> {
    /// `H` vectors are a line, and `J` dot products a lot.
    #[inline(always)]
    unsafe fn by_length<V: Vector<Elem = T>, const H: usize, const J: usize>(self) {
        let vectors = self.model.used.div_ceil(V::LANES);
        // SAFETY: the caller's, here and below.
        unsafe { by_length!(H, vectors, W => self.groups::<V, H, J, W>()) }
    }

    /// `W` vectors are a row; 0 where only memory holds it.
    #[inline(always)]
    unsafe fn groups<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(mut self) {
        let Job { from, to, count, span, .. } = self.job;
        let (rows, stride) = (self.model.x.as_ptr(), self.model.stride);
        let per_step = self.job.indices.len() / span.width / count * span.width;
        for lane in (0..span.n).step_by(GROUP) {
            // SAFETY: the caller's.
            unsafe {
                self.turn::<V>(from.add(lane));
                for step in 0..count {
                    let indices = self.job.indices.as_ptr().add(step * per_step + lane);
                    let drawn = Drawn { indices, width: span.width, rows, stride };
                    self.look_up(drawn, lane);
                    self.dot_products::<V, H, J, W>(drawn);
                    self.link::<V>();
                    self.add_rows::<V, H, J, W>(drawn, step);
                }
                let turned = if self.job.steps.is_some() { self.theta.as_ptr() } else { self.grad.as_ptr() };
                self.turn_back::<V>(turned, to.add(lane));
            }
        }
    }

    /// Finds targets, where there are any but those that `run` has set.
    #[inline(always)]
    unsafe fn look_up(&mut self, drawn: Drawn<T>, lane: usize) {
        if L::TARGETS != Targets::InRow && self.job.labels.is_none() {
            return;
        }
        for b in 0..self.job.batch {
            for q in 0..GROUP {
                let place = q * self.job.batch + b;
                // SAFETY: the caller's.
                unsafe {
                    *self.y.get_unchecked_mut(place) = match self.job.labels {
                        Some(labels) => *labels.get_unchecked(b * self.job.span.width + lane + q),
                        None => *drawn.row(b, q).add(self.model.p),
                    };
                }
            }
        }
    }

    /// Rows of parameters, one for each path of the group and output.
    #[inline(always)]
    unsafe fn turn<V: Vector<Elem = T>>(&mut self, from: *const T) {
        let (p, outputs, stride) = (self.model.p, self.model.link.outputs(), self.model.stride);
        let (from_stride, to_stride) = (outputs * self.job.span.width, outputs * stride);
        for k in 0..outputs {
            // SAFETY: the caller's.
            unsafe {
                let (from, to) = (from.add(k * self.job.span.width), self.theta.as_mut_ptr().add(k * stride));
                let mut a = 0;
                while a + GROUP <= p {
                    V::transpose8(from.add(a * from_stride), from_stride, to.add(a), to_stride);
                    a += GROUP;
                }
                while a + 4 <= p {
                    for q in (0..GROUP).step_by(4) {
                        transpose4(from.add(a * from_stride + q), from_stride, to.add(q * to_stride + a), to_stride);
                    }
                    a += 4;
                }
                while a < p {
                    for q in 0..GROUP {
                        *to.add(q * to_stride + a) = *from.add(a * from_stride + q);
                    }
                    a += 1;
                }
            }
        }
    }

    /// The way back.
    #[inline(always)]
    unsafe fn turn_back<V: Vector<Elem = T>>(&self, from: *const T, to: *mut T) {
        let (p, outputs, stride) = (self.model.p, self.model.link.outputs(), self.model.stride);
        let (from_stride, to_stride) = (outputs * stride, outputs * self.job.span.width);
        for k in 0..outputs {
            // SAFETY: the caller's.
            unsafe {
                let (from, to) = (from.add(k * stride), to.add(k * self.job.span.width));
                let mut a = 0;
                while a + GROUP <= p {
                    V::transpose8(from.add(a), from_stride, to.add(a * to_stride), to_stride);
                    a += GROUP;
                }
                while a + 4 <= p {
                    for q in (0..GROUP).step_by(4) {
                        transpose4(from.add(q * from_stride + a), from_stride, to.add(a * to_stride + q), to_stride);
                    }
                    a += 4;
                }
                while a < p {
                    for q in 0..GROUP {
                        *to.add(a * to_stride + q) = *from.add(q * from_stride + a);
                    }
                    a += 1;
                }
            }
        }
    }

    /// The predictors of all draws.
    #[inline(always)]
    unsafe fn dot_products<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(
        &mut self,
        drawn: Drawn<T>,
    ) {
        let outputs = self.model.link.outputs();
        for k in 0..outputs {
            // SAFETY: the caller's.
            unsafe {
                let theta = self.theta.as_ptr().add(k * drawn.stride);
                let z = self.z.as_mut_ptr().add(k * self.draws);
                drawn.dot_products::<V, H, J, W>(self.job.batch, (theta, outputs * drawn.stride), z);
            }
        }
    }

    /// Residuals of all draws.
    #[inline(always)]
    unsafe fn link<V: Vector<Elem = T>>(&mut self) {
        for draw in (0..GROUP * self.job.batch).step_by(V::LANES) {
            // SAFETY: the caller's.
            let (y, mut column) = unsafe {
                let y = V::load(self.y.as_ptr().add(draw));
                (y, super::passes::Column::<V>::new(self.z.as_mut_ptr().add(draw), self.draws))
            };
            let y = if L::TARGETS == Targets::Alike { V::constant(0.0) } else { y };
            self.model.link.residual(y, &mut column);
        }
    }

    /// Sums of rows, times residuals, and of the penalty's gradients; then the step, if there is one, or the mean.
    #[inline(always)]
    unsafe fn add_rows<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(
        &mut self,
        drawn: Drawn<T>,
        step: usize,
    ) {
        let (outputs, stride) = (self.model.link.outputs(), self.model.stride);
        for kq in 0..outputs * GROUP {
            let (k, q) = (kq / GROUP, kq % GROUP);
            // SAFETY: the caller's.
            unsafe {
                if W > 0 {
                    self.add_tile::<V, H, J, W>(drawn, step, (k, q), 0);
                    continue;
                }
                let mut a = 0;
                while a + 4 * line::<T>() <= stride {
                    if H == 1 {
                        self.add_tile::<V, H, J, 4>(drawn, step, (k, q), a);
                    } else {
                        self.add_tile::<V, H, J, 8>(drawn, step, (k, q), a);
                    }
                    a += 4 * line::<T>();
                }
                while a < stride {
                    self.add_tile::<V, H, J, 1>(drawn, step, (k, q), a);
                    a += V::LANES;
                }
            }
        }
    }

    /// `W` vectors of a row, from element `from` on.
    #[inline(always)]
    unsafe fn add_tile<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(
        &mut self,
        drawn: Drawn<T>,
        step: usize,
        (k, q): (usize, usize),
        from: usize,
    ) {
        let (batch, outputs, stride) = (self.job.batch, self.model.link.outputs(), self.model.stride);
        let (share, penalty) = (V::splat(self.share), V::splat(self.penalty));
        // SAFETY: the caller's.
        unsafe {
            let row = (q * outputs + k) * stride + from;
            let theta: [V; W] = load(self.theta.as_ptr().add(row));
            let mut sums = theta.map(|theta| penalty * theta);
            let mut residuals = self.z.as_ptr().add(k * self.draws + q * batch);
            let mut drawn = drawn.of_path(q);
            drawn.rows = drawn.rows.add(from);
            for _ in 0..batch / 4 {
                residuals = drawn.add::<V, 4, W>(residuals, &mut sums);
            }
            for _ in 0..batch % 4 {
                residuals = drawn.add::<V, 1, W>(residuals, &mut sums);
            }
            for (w, (sum, theta)) in sums.into_iter().zip(theta).enumerate() {
                let at = w * V::LANES;
                match self.job.steps {
                    None => (share * sum).store(self.grad.as_mut_ptr().add(row + at)),
                    Some(Factors { keep, rate, per_step, inputs }) => {
                        let factor = step * per_step + k * stride + from + at;
                        // a row ends in its last line
                        let sum = if w + H >= W {
                            let inputs = V::load(inputs.as_ptr().add(from + at));
                            V::from_bits(sum.to_bits().and(inputs.to_bits()))
                        } else {
                            sum
                        };
                        let kept = match keep {
                            Some(keep) => V::load(keep.as_ptr().add(factor)) * theta,
                            None => theta,
                        };
                        let theta = V::load(rate.as_ptr().add(factor)).mul_add(sum, kept);
                        theta.store(self.theta.as_mut_ptr().add(row + at));
                    }
                }
            }
        }
    }
}
