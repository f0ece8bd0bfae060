//! Networks of dense layers over examples: forwards, backwards, and the sums over examples of what comes out.
//!
//! Several examples go through the layers together, so that a parameter is loaded once for all of them; sums run over
//! the examples in their order all the same.

use super::network_feeds::{Everything, OneOutput};
use super::slices::{self, SliceFormula, loss_of_slices};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Number, Real};
use crate::linalg::Matrix;

/// Examples that go through the layers together.
const TOGETHER: usize = 4;

/// What follows each hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-z)`.
    Sigmoid,
    /// Nothing: the network is linear.
    Identity,
}

impl Activation {
    /// The activation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "tanh" => Some(Self::Tanh),
            "sigmoid" => Some(Self::Sigmoid),
            "identity" => Some(Self::Identity),
            _ => None,
        }
    }
}

/// The loss of one example, by its outputs and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// `½ |output - target|²`.
    SquaredError,
    /// Cross-entropy of the softmax of the outputs with the target, a distribution over the classes.
    CrossEntropy,
}

/// How weights are made of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameters {
    /// They are the parameters.
    Weights,
    /// `u² - v²`, the parameters being `u`, then `v`.
    SquareDifferences,
}

/// The mean loss over examples of a network of dense layers; see [`Network::mlp`] and [`Network::diagonal_linear`].
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T> {
    /// A row for each example.
    pub(super) inputs: Matrix<T>,
    /// Likewise.
    pub(super) targets: Matrix<T>,
    /// Of the input, the hidden layers and the output.
    pub(super) widths: Vec<usize>,
    pub(super) bias: bool,
    pub(super) activation: Activation,
    pub(super) criterion: Criterion,
    pub(super) parameters: Parameters,
}

impl Network<f64> {
    /// The same loss in another precision.
    pub fn cast<T: Real>(&self) -> Network<T> {
        Network {
            inputs: self.inputs.cast(),
            targets: self.targets.cast(),
            widths: self.widths.clone(),
            bias: self.bias,
            activation: self.activation,
            criterion: self.criterion,
            parameters: self.parameters,
        }
    }
}

/// What a pass over examples is fed with.
pub(super) trait Feed<N: Number> {
    /// How many examples.
    fn count(&self) -> usize;
    /// The inputs of example `i`: the `k`-th goes to `into[k * stride]`.
    fn inputs(&self, i: usize, into: &mut [N], stride: usize);
    /// Target `k` of example `i`.
    fn target(&self, i: usize, k: usize) -> N;
    /// What goes backwards from output `k` of example `i`, given the slope of its loss there.
    fn slope(&self, i: usize, k: usize, of_loss: N) -> N;
}

/// What is summed over the examples' gradients.
#[derive(Clone, Copy)]
pub(super) enum Sum<'a, N> {
    /// Themselves.
    Gradients,
    /// The squares of their deviations from these means.
    Deviations(&'a [N]),
}

impl<T: Real> Network<T> {
    /// Weights of all layers.
    pub(super) fn n_weights(&self) -> usize {
        self.widths.windows(2).map(|w| w[1] * (w[0] + usize::from(self.bias))).sum()
    }

    /// Outputs of an example.
    pub(super) fn n_outputs(&self) -> usize {
        self.targets.cols()
    }

    fn n_units(&self) -> usize {
        self.widths.iter().sum()
    }

    fn widest(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(0)
    }

    /// Numbers of memory of one pass.
    pub(super) fn pass_memory(&self) -> usize {
        TOGETHER * (self.n_units() + 2 * self.widest())
    }

    /// The weights, and the memory that is left.
    #[inline(always)]
    pub(super) fn weights<'a, N: Number>(&self, x: &'a [N], memory: &'a mut [N]) -> (&'a [N], &'a mut [N]) {
        match self.parameters {
            Parameters::Weights => (x, memory),
            Parameters::SquareDifferences => {
                let (weights, memory) = memory.split_at_mut(self.n_weights());
                let (u, v) = x.split_at(weights.len());
                for ((w, u), v) in weights.iter_mut().zip(u).zip(v) {
                    *w = u.mul_add(*u, -(*v * *v));
                }
                (weights, memory)
            }
        }
    }

    /// Turns derivatives by weights, in the first elements of `out`, into `factor` times derivatives by parameters.
    #[inline(always)]
    pub(super) fn pull_back<N: Number>(&self, x: &[N], factor: f64, out: &mut [N]) {
        match self.parameters {
            Parameters::Weights => {
                let factor = N::constant(factor);
                for out in out {
                    *out = factor * *out;
                }
            }
            Parameters::SquareDifferences => {
                let factor = N::constant(2.0 * factor);
                let (u, v) = x.split_at(self.n_weights());
                let (du, dv) = out.split_at_mut(u.len());
                for ((u, du), (v, dv)) in u.iter().zip(du).zip(v.iter().zip(dv)) {
                    let slope = factor * *du;
                    *du = *u * slope;
                    *dv = -(*v * slope);
                }
            }
        }
    }

    /// [`Network::pull_back`] for variances, which take the squares of the inner derivatives.
    #[inline(always)]
    fn pull_back_squares<N: Number>(&self, x: &[N], factor: f64, out: &mut [N]) {
        match self.parameters {
            Parameters::Weights => self.pull_back(x, factor, out),
            Parameters::SquareDifferences => {
                let factor = N::constant(4.0 * factor);
                let (u, v) = x.split_at(self.n_weights());
                let (du, dv) = out.split_at_mut(u.len());
                for ((u, du), (v, dv)) in u.iter().zip(du).zip(v.iter().zip(dv)) {
                    let variance = factor * *du;
                    *du = *u * *u * variance;
                    *dv = *v * *v * variance;
                }
            }
        }
    }

    /// Sums over the examples of the feed, by weight, into the first elements of `out`.
    #[inline(always)]
    pub(super) fn pass<N: Number>(
        &self,
        feed: &impl Feed<N>,
        weights: &[N],
        sum: Sum<'_, N>,
        out: &mut [N],
        memory: &mut [N],
    ) {
        let out = &mut out[..weights.len()];
        out.fill(N::constant(0.0));
        self.add_pass(feed, weights, sum, out, memory);
    }

    /// [`Network::pass`] onto what is there.
    #[inline(always)]
    fn add_pass<N: Number>(
        &self,
        feed: &impl Feed<N>,
        weights: &[N],
        sum: Sum<'_, N>,
        out: &mut [N],
        memory: &mut [N],
    ) {
        let mut i = 0;
        while i + TOGETHER <= feed.count() {
            self.backwards::<N, TOGETHER>(feed, i, weights, sum, out, memory);
            i += TOGETHER;
        }
        while i < feed.count() {
            self.backwards::<N, 1>(feed, i, weights, sum, out, memory);
            i += 1;
        }
    }

    /// Fills `units`, layer after layer, with what the units give for the examples `i..i + E`.
    #[inline(always)]
    fn forwards<N: Number, const E: usize>(&self, feed: &impl Feed<N>, i: usize, weights: &[N], units: &mut [N]) {
        for e in 0..E {
            feed.inputs(i + e, &mut units[e..self.widths[0] * E], E);
        }
        let (mut weights, mut units) = (weights, units);
        for l in 1..self.widths.len() {
            let (inside, outside) = (self.widths[l - 1], self.widths[l]);
            let (before, rest) = units.split_at_mut(inside * E);
            let (matrix, tail) = weights.split_at(inside * outside);
            let (bias, tail) = tail.split_at(if self.bias { outside } else { 0 });
            let after = &mut rest[..outside * E];
            affine::<N, E>(matrix, bias, before, after);
            if l + 1 < self.widths.len() {
                self.activate(after);
            }
            (weights, units) = (tail, rest);
        }
    }

    #[inline(always)]
    fn activate<N: Number>(&self, units: &mut [N]) {
        match self.activation {
            Activation::Tanh => {
                for z in units {
                    *z = z.tanh();
                }
            }
            Activation::Sigmoid => {
                let half = N::constant(0.5);
                for z in units {
                    *z = half.mul_add((half * *z).tanh(), half);
                }
            }
            Activation::Identity => {}
        }
    }

    /// Multiplies what comes back to activated units with the slopes of the activation.
    #[inline(always)]
    fn deactivate<N: Number>(&self, units: &[N], back: &mut [N]) {
        match self.activation {
            Activation::Tanh => {
                for (back, a) in back.iter_mut().zip(units) {
                    *back = *back * (-*a).mul_add(*a, N::constant(1.0));
                }
            }
            Activation::Sigmoid => {
                for (back, a) in back.iter_mut().zip(units) {
                    *back = *back * (-*a).mul_add(*a, *a);
                }
            }
            Activation::Identity => {}
        }
    }

    /// The loss of example `i`, added to `total`; its outputs have a stride of `E`. Squares are not halved yet.
    #[inline(always)]
    fn add_loss<N: Number, const E: usize>(&self, feed: &impl Feed<N>, i: usize, outputs: &[N], total: N) -> N {
        let mut total = total;
        match self.criterion {
            Criterion::SquaredError => {
                for (k, output) in outputs.iter().step_by(E).enumerate() {
                    let residual = *output - feed.target(i, k);
                    total = residual.mul_add(residual, total);
                }
                total
            }
            Criterion::CrossEntropy => {
                let top = largest::<N, E>(outputs);
                let mut sum = N::constant(0.0);
                for (k, output) in outputs.iter().step_by(E).enumerate() {
                    let below = *output - top;
                    sum = sum + below.exp();
                    total = (-feed.target(i, k)).mul_add(below, total);
                }
                total + sum.ln()
            }
        }
    }

    /// The slopes of the loss of example `i` in its outputs; both have a stride of `E`.
    #[inline(always)]
    fn slopes<N: Number, const E: usize>(&self, feed: &impl Feed<N>, i: usize, outputs: &[N], slopes: &mut [N]) {
        match self.criterion {
            Criterion::SquaredError => {
                for (k, (slope, output)) in slopes.iter_mut().step_by(E).zip(outputs.iter().step_by(E)).enumerate() {
                    *slope = feed.slope(i, k, *output - feed.target(i, k));
                }
            }
            Criterion::CrossEntropy => {
                let top = largest::<N, E>(outputs);
                let mut sum = N::constant(0.0);
                for (slope, output) in slopes.iter_mut().step_by(E).zip(outputs.iter().step_by(E)) {
                    *slope = (*output - top).exp();
                    sum = sum + *slope;
                }
                let share = N::constant(1.0) / sum;
                for (k, slope) in slopes.iter_mut().step_by(E).enumerate() {
                    *slope = feed.slope(i, k, slope.mul_add(share, -feed.target(i, k)));
                }
            }
        }
    }

    /// Goes forwards and backwards with the examples `i..i + E`, and adds to the sums.
    #[inline(always)]
    fn backwards<N: Number, const E: usize>(
        &self,
        feed: &impl Feed<N>,
        i: usize,
        weights: &[N],
        sum: Sum<'_, N>,
        out: &mut [N],
        memory: &mut [N],
    ) {
        let (units, memory) = memory.split_at_mut(self.n_units() * E);
        let (mut slopes, mut next) = memory.split_at_mut(self.widest() * E);
        self.forwards::<N, E>(feed, i, weights, units);
        let (mut first_unit, mut weight) = ((self.n_units() - self.n_outputs()) * E, weights.len());
        for e in 0..E {
            self.slopes::<N, E>(feed, i + e, &units[first_unit + e..], &mut slopes[e..self.n_outputs() * E]);
        }
        for l in (1..self.widths.len()).rev() {
            let (inside, outside) = (self.widths[l - 1], self.widths[l]);
            weight -= outside * (inside + usize::from(self.bias));
            first_unit -= inside * E;
            let before = &units[first_unit..first_unit + inside * E];
            let back = &slopes[..outside * E];
            let layer = weight..weight + outside * (inside + usize::from(self.bias));
            match sum {
                Sum::Gradients => add_gradients::<N, E>(back, before, &mut out[layer]),
                Sum::Deviations(means) => add_deviations::<N, E>(back, before, &means[layer.clone()], &mut out[layer]),
            }
            if l > 1 {
                let into = &mut next[..inside * E];
                transposed::<N, E>(&weights[weight..weight + outside * inside], back, into);
                self.deactivate(before, into);
            }
            (slopes, next) = (next, slopes);
        }
    }
}

/// The largest output of an example, as a constant.
#[inline(always)]
fn largest<N: Number, const E: usize>(outputs: &[N]) -> N {
    let mut top = outputs[0].larger_value(outputs[0]);
    for output in outputs.iter().step_by(E) {
        top = top.larger_value(*output);
    }
    top
}

/// `after = matrix before + bias` for `E` examples side by side.
#[inline(always)]
fn affine<N: Number, const E: usize>(matrix: &[N], bias: &[N], before: &[N], after: &mut [N]) {
    let rows = after.len() / E;
    let mut row = 0;
    while row + 4 <= rows && E == 1 {
        affine_rows::<N, E, 4>(row, matrix, bias, before, after);
        row += 4;
    }
    while row + 2 <= rows {
        affine_rows::<N, E, 2>(row, matrix, bias, before, after);
        row += 2;
    }
    while row < rows {
        affine_rows::<N, E, 1>(row, matrix, bias, before, after);
        row += 1;
    }
}

/// Rows `row..row + R` of [`affine`]: so many chains of sums at once hide the latency of a single one.
#[inline(always)]
fn affine_rows<N: Number, const E: usize, const R: usize>(
    row: usize,
    matrix: &[N],
    bias: &[N],
    before: &[N],
    after: &mut [N],
) {
    let inside = before.len() / E;
    let matrix = &matrix[row * inside..(row + R) * inside];
    let mut sums = [[N::constant(0.0); E]; R];
    if !bias.is_empty() {
        for (sums, bias) in sums.iter_mut().zip(&bias[row..row + R]) {
            *sums = [*bias; E];
        }
    }
    for (k, x) in before.chunks_exact(E).enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `matrix` has `R` rows of `inside` elements, `r < R`, and `k < inside`.
            let w = unsafe { *matrix.get_unchecked(r * inside + k) };
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = w.mul_add(*x, *sum);
            }
        }
    }
    for (after, sums) in after[row * E..(row + R) * E].chunks_exact_mut(E).zip(&sums) {
        after.copy_from_slice(sums);
    }
}

/// `into = matrixᵀ back` for `E` examples side by side.
#[inline(always)]
fn transposed<N: Number, const E: usize>(matrix: &[N], back: &[N], into: &mut [N]) {
    let columns = into.len() / E;
    let mut column = 0;
    while column + 4 <= columns && E == 1 {
        transposed_columns::<N, E, 4>(column, matrix, back, into);
        column += 4;
    }
    while column + 2 <= columns {
        transposed_columns::<N, E, 2>(column, matrix, back, into);
        column += 2;
    }
    while column < columns {
        transposed_columns::<N, E, 1>(column, matrix, back, into);
        column += 1;
    }
}

/// Elements `column..column + C` of [`transposed`].
#[inline(always)]
fn transposed_columns<N: Number, const E: usize, const C: usize>(
    column: usize,
    matrix: &[N],
    back: &[N],
    into: &mut [N],
) {
    let inside = into.len() / E;
    let mut sums = [[N::constant(0.0); E]; C];
    for (row, back) in matrix.chunks_exact(inside).zip(back.chunks_exact(E)) {
        for (w, sums) in row[column..column + C].iter().zip(&mut sums) {
            for (sum, back) in sums.iter_mut().zip(back) {
                *sum = w.mul_add(*back, *sum);
            }
        }
    }
    for (into, sums) in into[column * E..(column + C) * E].chunks_exact_mut(E).zip(&sums) {
        into.copy_from_slice(sums);
    }
}

/// Adds the gradients of `E` examples by the weights of a layer, and by its bias if `out` has room for one.
#[inline(always)]
fn add_gradients<N: Number, const E: usize>(back: &[N], before: &[N], out: &mut [N]) {
    let (inside, outside) = (before.len() / E, back.len() / E);
    let (matrix, bias) = out.split_at_mut(inside * outside);
    for (row, back) in matrix.chunks_exact_mut(inside).zip(back.chunks_exact(E)) {
        for (w, x) in row.iter_mut().zip(before.chunks_exact(E)) {
            for (back, x) in back.iter().zip(x) {
                *w = back.mul_add(*x, *w);
            }
        }
    }
    for (b, back) in bias.iter_mut().zip(back.chunks_exact(E)) {
        for back in back {
            *b = *b + *back;
        }
    }
}

/// Adds the squares of the deviations of these gradients from their means.
#[inline(always)]
fn add_deviations<N: Number, const E: usize>(back: &[N], before: &[N], means: &[N], out: &mut [N]) {
    let (inside, outside) = (before.len() / E, back.len() / E);
    let (matrix, bias) = out.split_at_mut(inside * outside);
    let (mean_matrix, mean_bias) = means.split_at(inside * outside);
    let rows = matrix.chunks_exact_mut(inside).zip(mean_matrix.chunks_exact(inside));
    for ((row, mean), back) in rows.zip(back.chunks_exact(E)) {
        for ((w, mean), x) in row.iter_mut().zip(mean).zip(before.chunks_exact(E)) {
            for (back, x) in back.iter().zip(x) {
                let deviation = back.mul_add(*x, -*mean);
                *w = deviation.mul_add(deviation, *w);
            }
        }
    }
    for ((b, mean), back) in bias.iter_mut().zip(mean_bias).zip(back.chunks_exact(E)) {
        for back in back {
            let deviation = *back - *mean;
            *b = deviation.mul_add(deviation, *b);
        }
    }
}

impl<T: Real> SliceFormula for Network<T> {
    fn dim(&self) -> usize {
        match self.parameters {
            Parameters::Weights => self.n_weights(),
            Parameters::SquareDifferences => 2 * self.n_weights(),
        }
    }

    fn memory(&self) -> usize {
        // weights and means besides a pass
        2 * self.n_weights() + self.pass_memory()
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &[N], memory: &mut [N]) -> N {
        let feed = Everything(self);
        let (weights, units) = self.weights(x, memory);
        let (n, outputs) = (self.inputs.rows(), self.n_units() - self.n_outputs());
        let mut total = N::constant(0.0);
        let mut i = 0;
        while i + TOGETHER <= n {
            self.forwards::<N, TOGETHER>(&feed, i, weights, units);
            for e in 0..TOGETHER {
                let outputs = &units[outputs * TOGETHER + e..self.n_units() * TOGETHER];
                total = self.add_loss::<N, TOGETHER>(&feed, i + e, outputs, total);
            }
            i += TOGETHER;
        }
        while i < n {
            self.forwards::<N, 1>(&feed, i, weights, units);
            total = self.add_loss::<N, 1>(&feed, i, &units[outputs..self.n_units()], total);
            i += 1;
        }
        let halves = if self.criterion == Criterion::SquaredError { 0.5 } else { 1.0 };
        N::constant(halves / n as f64) * total
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &[N], out: &mut [N], memory: &mut [N]) {
        let (weights, memory) = self.weights(x, memory);
        self.pass(&Everything(self), weights, Sum::Gradients, out, memory);
        self.pull_back(x, 1.0 / self.inputs.rows() as f64, out);
    }

    #[inline(always)]
    fn variances<N: Number>(&self, x: &[N], out: &mut [N], memory: &mut [N]) {
        let (weights, memory) = self.weights(x, memory);
        let (means, memory) = memory.split_at_mut(weights.len());
        let share = 1.0 / self.inputs.rows() as f64;
        // One call for the means and for the deviations from them: what is called is long, and compiled in line.
        for centred in [false, true] {
            let (sum, sums) = if centred { (Sum::Deviations(means), &mut *out) } else { (Sum::Gradients, &mut *means) };
            self.pass(&Everything(self), weights, sum, sums, memory);
            if !centred {
                for mean in &mut *means {
                    *mean = N::constant(share) * *mean;
                }
            }
        }
        self.pull_back_squares(x, share, out);
    }

    #[inline(always)]
    fn jacobian_squares<N: Number>(&self, x: &[N], out: &mut [N], memory: &mut [N]) {
        let (weights, memory) = self.weights(x, memory);
        let (zeros, memory) = memory.split_at_mut(weights.len());
        let sums = &mut out[..weights.len()];
        zeros.fill(N::constant(0.0));
        sums.fill(N::constant(0.0));
        for k in 0..self.n_outputs() {
            self.add_pass(&OneOutput(self, k), weights, Sum::Deviations(zeros), sums, memory);
        }
        self.pull_back_squares(x, 1.0 / self.inputs.rows() as f64, out);
    }
}

loss_of_slices!(Network);
