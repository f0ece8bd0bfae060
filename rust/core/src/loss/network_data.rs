//! Networks as losses over data: gradients of each path's own examples, weighted sums, derivatives of the outputs.

use super::DataLoss;
use super::network::{Criterion, Feed, Network, Sum};
use super::slices::{Along, At, JacobianSquares, SliceFormula, Variances, compute};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, LANE_MULTIPLE, Number, Real, Simd, Vector, dispatch};
use crate::workspace::Scratch;

impl<T: Real> DataLoss<T> for Network<T> {
    fn n_examples(&self) -> usize {
        self.inputs.rows()
    }

    fn weighted_grad(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        span.check(weights, self.inputs.rows(), "weights")?;
        self.sum(x, Examples::All, Slopes::Weighted(weights), 1.0, out, span)
    }

    fn batch_grad(&self, x: &[T], indices: &[u32], labels: Option<&[T]>, out: &mut [T], span: Span) -> Result<()> {
        let count = indices.len() / span.width.max(1);
        if count == 0 {
            return Err(Error::invalid("indices", "no row of draws"));
        }
        if let Some(labels) = labels {
            match DataLoss::<T>::outputs(self) {
                Some(outputs) => span.check(labels, count * outputs, "labels")?,
                None => return Err(no_squared_error()),
            }
        }
        let draws = Examples::Draws { indices, labels, count };
        self.sum(x, draws, Slopes::OfLoss, 1.0 / count as f64, out, span)
    }

    fn outputs(&self) -> Option<usize> {
        (self.criterion == Criterion::SquaredError).then_some(self.n_outputs())
    }

    fn weighted_jacobian(&self, x: &[T], weights: &[T], out: &mut [T], span: Span) -> Result<()> {
        if self.criterion != Criterion::SquaredError {
            return Err(no_squared_error());
        }
        span.check(weights, self.inputs.rows() * self.n_outputs(), "weights")?;
        self.sum(x, Examples::All, Slopes::Given(weights), 1.0, out, span)
    }

    fn grad_variances(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        compute(Variances, self, At(x), out, span)
    }

    fn grad_variances_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        compute(Variances, self, Along(x, v), out, span)
    }

    fn jacobian_squares(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        if self.criterion != Criterion::SquaredError {
            return Err(no_squared_error());
        }
        compute(JacobianSquares, self, At(x), out, span)
    }

    fn jacobian_squares_along(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        if self.criterion != Criterion::SquaredError {
            return Err(no_squared_error());
        }
        compute(JacobianSquares, self, Along(x, v), out, span)
    }
}

fn no_squared_error() -> Error {
    Error::missing("a squared error, as label noise has it,")
}

impl<T: Real> Network<T> {
    fn sum(
        &self,
        x: &[T],
        examples: Examples<'_, T>,
        slopes: Slopes<'_, T>,
        factor: f64,
        out: &mut [T],
        span: Span,
    ) -> Result<()> {
        span.check(x, self.dim(), "x")?;
        span.check(out, self.dim(), "out")?;
        dispatch(SumOver { network: self, x, examples, slopes, factor, out, span });
        Ok(())
    }
}

/// The examples of a sum.
#[derive(Clone, Copy)]
enum Examples<'a, T> {
    All,
    /// Each path's own: a row of indices for each draw, and perhaps shifts of the targets.
    Draws {
        indices: &'a [u32],
        labels: Option<&'a [T]>,
        count: usize,
    },
}

/// What goes backwards from the outputs of an example.
#[derive(Clone, Copy)]
enum Slopes<'a, T> {
    /// The slopes of its loss.
    OfLoss,
    /// The same, times the example's weight.
    Weighted(&'a [T]),
    /// These numbers.
    Given(&'a [T]),
}

/// A sum over examples of what goes backwards, times a factor.
struct SumOver<'a, T> {
    network: &'a Network<T>,
    x: &'a [T],
    examples: Examples<'a, T>,
    slopes: Slopes<'a, T>,
    factor: f64,
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for SumOver<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (network, Span { n, width }) = (self.network, self.span);
        let dim = network.dim();
        let mut scratch = Scratch::take(2 * dim + network.memory(), T::V::<S>::constant(0.0));
        let (x, rest) = scratch.split_at_mut(dim);
        let (result, memory) = rest.split_at_mut(dim);
        let mut lane = 0;
        while lane < n {
            for (i, x) in x.iter_mut().enumerate() {
                // SAFETY: the rows were checked, and their width is a multiple of the vector's.
                *x = unsafe { T::V::<S>::load(self.x.as_ptr().add(i * width + lane)) };
            }
            let feed = Lanes { network, examples: self.examples, slopes: self.slopes, width, lane };
            let (weights, memory) = network.weights(x, memory);
            network.pass(&feed, weights, Sum::Gradients, result, memory);
            network.pull_back(x, self.factor, result);
            for (i, result) in result.iter().enumerate() {
                // SAFETY: as above.
                unsafe { result.store(self.out.as_mut_ptr().add(i * width + lane)) };
            }
            lane += T::V::<S>::LANES;
        }
    }
}

/// The feed of the lanes from `lane` on.
struct Lanes<'a, T> {
    network: &'a Network<T>,
    examples: Examples<'a, T>,
    slopes: Slopes<'a, T>,
    width: usize,
    lane: usize,
}

impl<T: Real> Lanes<'_, T> {
    /// The vector of these lanes in a row.
    #[inline(always)]
    fn row<V: Vector<Elem = T>>(&self, rows: &[T], row: usize) -> V {
        // SAFETY: `DataLoss` checked that the rows are there, and their width is a multiple of the vector's.
        unsafe { V::load(rows.as_ptr().add(row * self.width + self.lane)) }
    }

    /// The examples of one draw; what padding lanes hold is brought into range.
    #[inline(always)]
    fn drawn(&self, indices: &[u32], draw: usize, lanes: usize) -> [usize; LANE_MULTIPLE] {
        let mut drawn = [0; LANE_MULTIPLE];
        let last = self.network.inputs.rows() - 1;
        for (drawn, index) in drawn[..lanes].iter_mut().zip(&indices[draw * self.width + self.lane..]) {
            *drawn = last.min(*index as usize);
        }
        drawn
    }
}

/// Element `column` of the row that each lane has drawn.
#[inline(always)]
fn gather<V: Vector>(matrix: &[V::Elem], columns: usize, drawn: &[usize; LANE_MULTIPLE], column: usize) -> V {
    let mut lanes = [V::Elem::default(); LANE_MULTIPLE];
    for (x, row) in lanes[..V::LANES].iter_mut().zip(drawn) {
        *x = matrix[row * columns + column];
    }
    // SAFETY: the array holds the longest vector.
    unsafe { V::load(lanes.as_ptr()) }
}

impl<T: Real, V: Vector<Elem = T>> Feed<V> for Lanes<'_, T> {
    #[inline(always)]
    fn count(&self) -> usize {
        match self.examples {
            Examples::All => self.network.inputs.rows(),
            Examples::Draws { count, .. } => count,
        }
    }

    #[inline(always)]
    fn inputs(&self, i: usize, into: &mut [V], stride: usize) {
        let inputs = &self.network.inputs;
        match self.examples {
            Examples::All => {
                for (into, x) in into.iter_mut().step_by(stride).zip(inputs.row(i)) {
                    *into = V::splat(*x);
                }
            }
            Examples::Draws { indices, .. } => {
                let drawn = self.drawn(indices, i, V::LANES);
                for (k, into) in into.iter_mut().step_by(stride).enumerate() {
                    *into = gather(inputs.as_slice(), inputs.cols(), &drawn, k);
                }
            }
        }
    }

    #[inline(always)]
    fn target(&self, i: usize, k: usize) -> V {
        let targets = &self.network.targets;
        match self.examples {
            Examples::All => V::splat(targets[(i, k)]),
            Examples::Draws { indices, labels, .. } => {
                let drawn = self.drawn(indices, i, V::LANES);
                let target: V = gather(targets.as_slice(), targets.cols(), &drawn, k);
                match labels {
                    None => target,
                    Some(labels) => target + self.row(labels, i * targets.cols() + k),
                }
            }
        }
    }

    #[inline(always)]
    fn slope(&self, i: usize, k: usize, of_loss: V) -> V {
        match self.slopes {
            Slopes::OfLoss => of_loss,
            Slopes::Weighted(weights) => of_loss * self.row::<V>(weights, i),
            Slopes::Given(weights) => self.row(weights, i * self.network.n_outputs() + k),
        }
    }
}
