//! The factorisation of a matrix as a loss over data: each of its `N` elements is an example, `f_i = (N/2) r_i²`.

use super::slices::{Along, At, JacobianSquares, SliceFormula, Variances, compute};
use super::{DataLoss, MatrixFactorization, inlined};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, LANE_MULTIPLE, Number, Real, Simd, Vector, dispatch};
use crate::workspace::Scratch;

impl<T: Real> DataLoss<T> for MatrixFactorization<T> {
    fn n_examples(&self) -> usize {
        self.target.as_slice().len()
    }

    fn weighted_grad(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(true, x, weights, out, span)
    }

    fn batch_grad(&self, x: &[T], indices: &[u32], labels: Option<&[T]>, out: &mut [T], span: Span) -> Result<()> {
        let count = indices.len() / span.width.max(1);
        if count == 0 {
            return Err(Error::invalid("indices", "no row of draws"));
        }
        if let Some(labels) = labels {
            span.check(labels, count, "labels")?;
        }
        self.check(x, out, span)?;
        dispatch(MeanOfDraws { loss: self, x, indices, labels, count, out, span });
        Ok(())
    }

    fn outputs(&self) -> Option<usize> {
        Some(1)
    }

    fn weighted_jacobian(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.sum(false, x, weights, out, span)
    }

    fn grad_variances(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        compute(Variances, self, At(x), out, span)
    }

    fn grad_variances_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        compute(Variances, self, Along(x, v), out, span)
    }

    fn jacobian_squares(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        compute(JacobianSquares, self, At(x), out, span)
    }

    fn jacobian_squares_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        compute(JacobianSquares, self, Along(x, v), out, span)
    }
}

impl<T: Real> MatrixFactorization<T> {
    fn check(&self, x: &[T], out: &[T], span: Span) -> Result<()> {
        span.check(x, SliceFormula::dim(self), "x")?;
        span.check(out, SliceFormula::dim(self), "out")
    }

    fn sum(&self, of_loss: bool, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        span.check(weights, DataLoss::<T>::n_examples(self), "weights")?;
        self.check(x, out, span)?;
        dispatch(SumOverAll { loss: self, of_loss, x, weights, out, span });
        Ok(())
    }
}

/// `Σ_i w_i N r_i ∇φ_i`, or `Σ_i w_i N ∇φ_i`.
struct SumOverAll<'a, T> {
    loss: &'a MatrixFactorization<T>,
    of_loss: bool,
    x: &'a [T],
    weights: &'a [T],
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for SumOverAll<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (loss, Span { n, width }) = (self.loss, self.span);
        let dim = SliceFormula::dim(loss);
        let count = T::V::<S>::constant(DataLoss::<T>::n_examples(loss) as f64);
        let mut scratch = Scratch::take(2 * dim, T::V::<S>::constant(0.0));
        let (x, result) = scratch.split_at_mut(dim);
        for lane in (0..n).step_by(T::V::<S>::LANES) {
            for (i, x) in x.iter_mut().enumerate() {
                // SAFETY: the rows were checked, and their width is a multiple of the vector's.
                *x = unsafe { T::V::<S>::load(self.x.as_ptr().add(i * width + lane)) };
            }
            let slope = inlined(
                #[inline(always)]
                |i: usize, residual: T::V<S>| {
                    // SAFETY: as above.
                    let weight = count * unsafe { T::V::<S>::load(self.weights.as_ptr().add(i * width + lane)) };
                    if self.of_loss { weight * residual } else { weight }
                },
            );
            loss.add_elements(x, result, slope);
            for (i, result) in result.iter().enumerate() {
                // SAFETY: as above.
                unsafe { result.store(self.out.as_mut_ptr().add(i * width + lane)) };
            }
        }
    }
}

/// The mean over each path's own draws of `N r ∇φ`, the target of a draw shifted by its label.
struct MeanOfDraws<'a, T> {
    loss: &'a MatrixFactorization<T>,
    x: &'a [T],
    indices: &'a [u32],
    labels: Option<&'a [T]>,
    count: usize,
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for MeanOfDraws<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (loss, Span { n, width }) = (self.loss, self.span);
        let (rows, cols, rank) = (loss.target.rows(), loss.target.cols(), loss.rank);
        let (targets, lanes) = (loss.target.as_slice(), T::V::<S>::LANES);
        let factor = T::V::<S>::constant(targets.len() as f64 / self.count as f64);
        let mut scratch = Scratch::take(2 * rank, T::V::<S>::constant(0.0));
        let (u, v) = scratch.split_at_mut(rank);
        self.out[..SliceFormula::dim(loss) * width].fill(T::default());
        for lane in (0..n).step_by(lanes) {
            for draw in 0..self.count {
                let (mut of_u, mut of_v) = ([0; LANE_MULTIPLE], [0; LANE_MULTIPLE]);
                let mut target = [T::default(); LANE_MULTIPLE];
                for (p, index) in self.indices[draw * width + lane..][..lanes].iter().enumerate() {
                    // What padding lanes hold is brought into range.
                    let i = (targets.len() - 1).min(*index as usize);
                    of_u[p] = i / cols * rank * width + lane + p;
                    of_v[p] = (rows + i % cols) * rank * width + lane + p;
                    target[p] = targets[i];
                }
                // SAFETY: the array holds the longest vector.
                let mut target = unsafe { T::V::<S>::load(target.as_ptr()) };
                if let Some(labels) = self.labels {
                    // SAFETY: `DataLoss` checked the rows, and their width is a multiple of the vector's.
                    target = target + unsafe { T::V::<S>::load(labels.as_ptr().add(draw * width + lane)) };
                }
                let mut residual = -target;
                for (k, (u, v)) in u.iter_mut().zip(&mut *v).enumerate() {
                    *u = gather(self.x, &of_u, k * width);
                    *v = gather(self.x, &of_v, k * width);
                    residual = u.mul_add(*v, residual);
                }
                let slope = factor * residual;
                for (k, (u, v)) in u.iter().zip(&*v).enumerate() {
                    add(self.out, &of_u, k * width, slope * *v);
                    add(self.out, &of_v, k * width, slope * *u);
                }
            }
        }
    }
}

/// The element of each lane, this far behind its place.
#[inline(always)]
fn gather<V: Vector>(from: &[V::Elem], places: &[usize; LANE_MULTIPLE], behind: usize) -> V {
    let mut lanes = [V::Elem::default(); LANE_MULTIPLE];
    for (x, place) in lanes[..V::LANES].iter_mut().zip(places) {
        *x = from[place + behind];
    }
    // SAFETY: the array holds the longest vector.
    unsafe { V::load(lanes.as_ptr()) }
}

/// Adds each lane's term to its element, this far behind its place.
#[inline(always)]
fn add<V: Vector>(to: &mut [V::Elem], places: &[usize; LANE_MULTIPLE], behind: usize, term: V) {
    let mut lanes = [V::Elem::default(); LANE_MULTIPLE];
    // SAFETY: the array holds the longest vector.
    unsafe { term.store(lanes.as_mut_ptr()) };
    for (x, place) in lanes[..V::LANES].iter().zip(places) {
        to[place + behind] = to[place + behind] + *x;
    }
}
