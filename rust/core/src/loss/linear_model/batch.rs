//! Gradients of minibatches, each path's of its own examples, and steps along them: the hot path of SGD on data.
//!
//! Examples differ from lane to lane, and gathering their inputs element by element would cost more than all else. So
//! a few paths at a time are turned to one row each, which meets the rows of `X` whole: dot products for all draws,
//! the link on vectors of draws, and sums of rows. Steps of plain SGD are taken on the turned rows, many before they are
//! turned back.
//!
//! A dot product has a partial sum for each element of a line of the cache: one order of additions, whatever the length of
//! vectors.

use super::{LinearLoss, Link, Targets};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Real, Simd, Vector, dispatch, line, transpose4};
use crate::loss::Descent;
use crate::workspace::with_workspace;

/// Paths that are turned at a time, as [`Vector::transpose8`] does.
pub(super) const GROUP: usize = 8;
/// Rows of at most so many lines stay in registers.
pub(super) const HELD: usize = 4;

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
        let (d, count) = (self.dim(), steps.count(self.dim()));
        span.check(x, d, "x")?;
        let rows = count * span.width;
        if rows == 0 || !indices.len().is_multiple_of(rows) || indices.len() / rows < batch {
            return Err(Error::invalid("indices", "no whole rows, or fewer than the steps need"));
        }
        // What parameters are multiplied by, and gradients, in the order of the rows; 1 and 0 behind them.
        let rows = self.link.outputs() * self.stride;
        with_workspace(2 * count * rows, |factors: &mut [T]| {
            let (keep, rate) = factors.split_at_mut(count * rows);
            keep.fill(T::from_f64(1.0));
            rate.fill(T::default());
            for (at, rates) in steps.rates.chunks_exact(d).enumerate() {
                for (a, rates) in rates.chunks_exact(self.link.outputs()).enumerate() {
                    for (k, lr) in rates.iter().enumerate() {
                        let cell = at * rows + k * self.stride + a;
                        (keep[cell], rate[cell]) = (T::from_f64(1.0 - lr * steps.decay), T::from_f64(-lr));
                    }
                }
            }
            let (from, to) = (x.as_ptr(), x.as_mut_ptr());
            let keep = (steps.decay != 0.0).then_some(&*keep);
            let steps = Some(Factors { keep, rate });
            self.run(Job { from, to, indices, labels: None, steps, count, batch, span })
        })
    }

    fn run(&self, job: Job<'_, T>) -> Result<()> {
        let (batch, outputs) = (job.batch, self.link.outputs());
        if batch == 0 || job.count == 0 {
            return Err(Error::invalid("indices", "a batch of no examples"));
        }
        let (rows, draws) = (GROUP * outputs * self.stride, GROUP * batch);
        // Draws are padded to the longest vector, dot products that are left over stand in a line each.
        let padded = draws.next_multiple_of(2 * GROUP);
        let lengths = [rows, rows, (outputs + 1) * padded, GROUP * GROUP * line::<T>()];
        let worst = with_workspace(line::<T>() + lengths.iter().sum::<usize>(), |work: &mut [T]| {
            // Vectors of memory in no more than one line of the cache each.
            let skipped = work.as_ptr().align_offset(line::<T>() * T::BYTES);
            let work = &mut work[skipped..];
            let (theta, work) = work.split_at_mut(lengths[0]);
            let (sums, work) = work.split_at_mut(lengths[1]);
            let (cells, rest) = work.split_at_mut(lengths[2]);
            let (y, z) = cells.split_at_mut(padded);
            // Behind the parameters of a row come the target's factor and zeros.
            theta.fill(T::default());
            for row in theta.chunks_exact_mut(self.stride) {
                if let Some(factor) = row.get_mut(self.p) {
                    *factor = T::from_f64(L::TARGETS.factor());
                }
            }
            y.fill(T::from_f64(L::TARGETS.constant()));
            dispatch(Batch { model: self, job, draws: padded, theta, sums, y, z, rest })
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

/// What a step multiplies parameters and gradients by, in rows as parameters have them.
#[derive(Clone, Copy)]
struct Factors<'a, T> {
    keep: Option<&'a [T]>,
    rate: &'a [T],
}

/// The examples that the paths of a group have drawn in a step.
#[derive(Clone, Copy)]
pub(super) struct Drawn<T> {
    /// Of path 0; those of the other paths follow, and the next draws are `width` on.
    pub(super) indices: *const u32,
    pub(super) width: usize,
    pub(super) rows: *const T,
    pub(super) stride: usize,
}

impl<T> Drawn<T> {
    /// The row of the example that path `q` has drawn.
    ///
    /// # Safety
    /// There must be so many draws and paths.
    #[inline(always)]
    unsafe fn row(self, b: usize, q: usize) -> *const T {
        // SAFETY: the caller's.
        unsafe { self.rows.add(*self.indices.add(b * self.width + q) as usize * self.stride) }
    }
}

impl<T: Real> Drawn<T> {
    /// Dot products of `batch` draws of each path of a group with the path's row of parameters, the first of them here and
    /// the others so far apart; in the order that [`Batch::draws`] tells.
    ///
    /// # Safety
    /// As for [`Drawn::row`]; there must be rows of parameters, room for as many numbers in `z`, and in `rest` for
    /// `J - 1` lines a path.
    #[inline(always)]
    pub(super) unsafe fn dot_products<V: Vector<Elem = T>, const H: usize, const J: usize, const C: usize>(
        self,
        batch: usize,
        (theta, apart): (*const T, usize),
        z: *mut T,
        rest: *mut T,
    ) {
        let (whole, zero) = (batch - batch % J, [V::constant(0.0); H]);
        // SAFETY: the caller's.
        unsafe {
            for q in 0..GROUP {
                let theta = Row::<V, H, C>::read(theta.add(q * apart));
                for b in (0..whole).step_by(J) {
                    let mut lot = [zero; J];
                    for (j, line) in lot.iter_mut().enumerate() {
                        *line = theta.times(self.row(b + j, q), self.stride);
                    }
                    V::sum_lines::<H, J>(lot, z.add(q * whole + b));
                }
                for b in whole..batch {
                    let line = theta.times(self.row(b, q), self.stride);
                    store_line(line, rest.add(((b - whole) * GROUP + q) * H * V::LANES));
                }
            }
            for first in (0..(batch - whole) * GROUP).step_by(J) {
                let mut lot = [zero; J];
                for (j, line) in lot.iter_mut().enumerate() {
                    *line = load_line(rest.add((first + j) * H * V::LANES));
                }
                V::sum_lines::<H, J>(lot, z.add(whole * GROUP + first));
            }
        }
    }
}

struct Batch<'a, L, T: Real> {
    model: &'a LinearLoss<L, T>,
    job: Job<'a, T>,
    /// Draws of a group of paths, padded. First come those of path 0 that make whole lots of dot products, then those of
    /// path 1, …; then what is left of each path, draw by draw.
    draws: usize,
    /// Parameters of path `q` for output `k`: row `q K + k`.
    theta: &'a mut [T],
    /// The same for gradients.
    sums: &'a mut [T],
    /// Targets by draws.
    y: &'a mut [T],
    /// Predictors, then residuals, by outputs and draws.
    z: &'a mut [T],
    /// Unfinished dot products of the draws that are left, by draws and paths.
    rest: &'a mut [T],
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
                    self.by_stride::<T::V<S>, 1, 8>();
                } else {
                    self.by_stride::<T::V<S>, 2, 4>();
                }
            }
        }
        worst
    }
}

impl<L: Link, T: Real> Batch<'_, L, T> {
    /// `H` vectors are a line, and `J` dot products a lot.
    #[inline(always)]
    unsafe fn by_stride<V: Vector<Elem = T>, const H: usize, const J: usize>(self) {
        // SAFETY: the caller's, here and below.
        unsafe {
            match self.model.stride / line::<T>() {
                1 => self.groups::<V, H, J, 1>(),
                2 => self.groups::<V, H, J, 2>(),
                3 => self.groups::<V, H, J, 3>(),
                HELD => self.groups::<V, H, J, HELD>(),
                _ => self.groups::<V, H, J, 0>(),
            }
        }
    }

    /// `C` lines are a row; 0 where only memory holds it.
    #[inline(always)]
    unsafe fn groups<V: Vector<Elem = T>, const H: usize, const J: usize, const C: usize>(mut self) {
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
                    self.look_up::<J>(drawn, lane);
                    self.dot_products::<V, H, J, C>(drawn);
                    self.link::<V>();
                    self.add_rows::<V, H, J, C>(drawn, step);
                }
                let turned = if self.job.steps.is_some() { self.theta.as_ptr() } else { self.sums.as_ptr() };
                self.turn_back::<V>(turned, to.add(lane));
            }
        }
    }

    /// The number of a draw.
    #[inline(always)]
    fn place<const J: usize>(&self, b: usize, q: usize) -> usize {
        let whole = self.job.batch - self.job.batch % J;
        if b < whole { q * whole + b } else { b * GROUP + q }
    }

    /// Finds targets, where there are any but those that `run` has set.
    #[inline(always)]
    unsafe fn look_up<const J: usize>(&mut self, drawn: Drawn<T>, lane: usize) {
        if L::TARGETS != Targets::InRow && self.job.labels.is_none() {
            return;
        }
        for b in 0..self.job.batch {
            for q in 0..GROUP {
                let place = self.place::<J>(b, q);
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
    unsafe fn dot_products<V: Vector<Elem = T>, const H: usize, const J: usize, const C: usize>(
        &mut self,
        drawn: Drawn<T>,
    ) {
        let outputs = self.model.link.outputs();
        for k in 0..outputs {
            // SAFETY: the caller's.
            unsafe {
                let theta = self.theta.as_ptr().add(k * drawn.stride);
                let z = self.z.as_mut_ptr().add(k * self.draws);
                let rest = self.rest.as_mut_ptr();
                drawn.dot_products::<V, H, J, C>(self.job.batch, (theta, outputs * drawn.stride), z, rest);
            }
        }
    }

    /// Residuals of all draws, divided by their number.
    #[inline(always)]
    unsafe fn link<V: Vector<Elem = T>>(&mut self) {
        use super::Cells;
        let outputs = self.model.link.outputs();
        let share = V::constant(1.0 / self.job.batch as f64);
        for draw in (0..GROUP * self.job.batch).step_by(V::LANES) {
            // SAFETY: the caller's.
            let (y, mut column) = unsafe {
                let y = V::load(self.y.as_ptr().add(draw));
                (y, super::passes::Column::<V>::new(self.z.as_mut_ptr().add(draw), self.draws))
            };
            let y = if L::TARGETS == Targets::Alike { V::constant(L::TARGETS.constant()) } else { y };
            self.model.link.residual(y, &mut column);
            for k in 0..outputs {
                column.set(k, share * column.get(k));
            }
        }
    }

    /// Sums of rows, times residuals, onto the penalty's gradient; then the step, if there is one.
    #[inline(always)]
    unsafe fn add_rows<V: Vector<Elem = T>, const H: usize, const J: usize, const C: usize>(
        &mut self,
        drawn: Drawn<T>,
        step: usize,
    ) {
        let (outputs, stride) = (self.model.link.outputs(), self.model.stride);
        for kq in 0..outputs * GROUP {
            let (k, q) = (kq / GROUP, kq % GROUP);
            let mut c = 0;
            // SAFETY: the caller's.
            unsafe {
                if C > 0 {
                    self.add_tile::<V, H, J, C>(drawn, step, (k, q), 0);
                    continue;
                }
                while c + HELD * H * V::LANES <= stride {
                    self.add_tile::<V, H, J, HELD>(drawn, step, (k, q), c);
                    c += HELD * H * V::LANES;
                }
                while c < stride {
                    self.add_tile::<V, H, J, 1>(drawn, step, (k, q), c);
                    c += H * V::LANES;
                }
            }
        }
    }

    /// `C` lines of a row, from element `from` on.
    #[inline(always)]
    unsafe fn add_tile<V: Vector<Elem = T>, const H: usize, const J: usize, const C: usize>(
        &mut self,
        drawn: Drawn<T>,
        step: usize,
        (k, q): (usize, usize),
        from: usize,
    ) {
        let (batch, outputs, stride) = (self.job.batch, self.model.link.outputs(), self.model.stride);
        let whole = batch - batch % J;
        let penalty = V::constant(self.model.l2);
        // SAFETY: the caller's.
        unsafe {
            let row = (q * outputs + k) * stride + from;
            let theta = Row::<V, H, C>::read(self.theta.as_ptr().add(row)).0;
            let mut sums = theta;
            for line in &mut sums {
                for sum in line {
                    *sum = penalty * *sum;
                }
            }
            let residuals = self.z.as_ptr().add(k * self.draws);
            for lot in (0..whole).step_by(J) {
                for b in lot..lot + J {
                    let inputs = drawn.row(b, q).add(from);
                    add_row(&mut sums, inputs, V::splat(*residuals.add(q * whole + b)));
                }
            }
            for b in whole..batch {
                let inputs = drawn.row(b, q).add(from);
                add_row(&mut sums, inputs, V::splat(*residuals.add(b * GROUP + q)));
            }
            let first = (step * outputs + k) * stride + from;
            for (c, (line, theta)) in sums.iter_mut().zip(theta).enumerate() {
                let at = c * H * V::LANES;
                match self.job.steps {
                    None => store_line(*line, self.sums.as_mut_ptr().add(row + at)),
                    Some(Factors { keep, rate }) => {
                        let mut kept = theta;
                        if let Some(keep) = keep {
                            let keep = load_line::<V, H>(keep.as_ptr().add(first + at));
                            for h in 0..H {
                                kept[h] = keep[h] * theta[h];
                            }
                        }
                        let rate = load_line::<V, H>(rate.as_ptr().add(first + at));
                        for h in 0..H {
                            line[h] = rate[h].mul_add(line[h], kept[h]);
                        }
                        store_line(*line, self.theta.as_mut_ptr().add(row + at));
                    }
                }
            }
        }
    }
}

/// Reads `H` vectors.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn load_line<V: Vector, const H: usize>(at: *const V::Elem) -> [V; H] {
    let mut line = [V::constant(0.0); H];
    for (h, vector) in line.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *vector = unsafe { V::load(at.add(h * V::LANES)) };
    }
    line
}

/// Writes `H` vectors.
///
/// # Safety
/// There must be room.
#[inline(always)]
unsafe fn store_line<V: Vector, const H: usize>(line: [V; H], at: *mut V::Elem) {
    for (h, vector) in line.into_iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { vector.store(at.add(h * V::LANES)) };
    }
}

/// `sums += residual · inputs`.
///
/// # Safety
/// As many inputs must be there.
#[inline(always)]
unsafe fn add_row<V: Vector, const H: usize, const C: usize>(
    sums: &mut [[V; H]; C],
    inputs: *const V::Elem,
    residual: V,
) {
    for (c, line) in sums.iter_mut().enumerate() {
        for (h, sum) in line.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *sum = unsafe { V::load(inputs.add((c * H + h) * V::LANES)) }.mul_add(residual, *sum);
        }
    }
}

/// A row of parameters: `C` lines of `H` vectors in registers, or in memory.
struct Row<V: Vector, const H: usize, const C: usize>([[V; H]; C], *const V::Elem);

impl<V: Vector, const H: usize, const C: usize> Row<V, H, C> {
    /// # Safety
    /// `C` lines must be there, and where that is 0, as many as [`Row::times`] is told of, for as long as this is used.
    #[inline(always)]
    unsafe fn read(at: *const V::Elem) -> Self {
        let mut lines = [[V::constant(0.0); H]; C];
        for (c, line) in lines.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *line = unsafe { load_line(at.add(c * H * V::LANES)) };
        }
        Self(lines, at)
    }

    /// The products with a row of `stride` elements, but for the sum along a line.
    ///
    /// # Safety
    /// The row must be there.
    #[inline(always)]
    unsafe fn times(&self, row: *const V::Elem, stride: usize) -> [V; H] {
        let mut sums = [V::constant(0.0); H];
        for c in 0..if C > 0 { C } else { stride / (H * V::LANES) } {
            // SAFETY: the caller's.
            unsafe {
                let at = c * H * V::LANES;
                let theta = if C > 0 { self.0[c] } else { load_line(self.1.add(at)) };
                for (h, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(row.add(at + h * V::LANES)).mul_add(theta[h], *sum);
                }
            }
        }
        sums
    }
}
