//! Gradients of minibatches: examples drawn at the address of the step, perhaps with fresh noise on their labels.

use super::{Sampler, Sampling, StochasticGradient, weights};
use crate::block::Span;
use crate::elementwise::{add_scaled, scale};
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::loss::{DataLoss, Descent};
use crate::rng::{SIGN_ROWS, SignRows, Tag, fill_normals, fill_sign_words, normals_per_block};
use crate::scheme::{Step, StepAddress};
use crate::workspace::with_workspace;
use std::sync::Arc;

/// Rows of draws that steps taken at once make: enough to pay for turning paths, few enough to stay near.
const AT_ONCE: usize = 384;
/// The most learning rates of such steps: where they change, they are kept for each step and parameter.
const RATES: usize = 1 << 20;

/// What is added to the targets of drawn examples, anew in each draw: a deviation times numbers of mean 0 and variance 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Labels {
    /// Nothing.
    True,
    /// Normal numbers.
    Normal(f64),
    /// Signs.
    Signs(f64),
}

/// The mean gradient over a batch of each path's own examples; for SVAG, two of them in a combination.
pub struct MinibatchGradient<T: Real> {
    data: Arc<dyn DataLoss<T>>,
    sampler: Sampler,
    batch: usize,
    labels: Labels,
    weights: Vec<f64>,
}

impl<T: Real> MinibatchGradient<T> {
    /// Batches of `batch` examples of `data`; `variance` is SVAG's, 1 for the algorithm itself.
    pub fn new(
        data: Arc<dyn DataLoss<T>>,
        batch: usize,
        sampling: Sampling,
        labels: Labels,
        variance: f64,
    ) -> Result<Self> {
        if sampling == Sampling::Reshuffled && variance != 1.0 {
            return Err(Error::invalid("reshuffle", "SVAG needs batches that are independent of each other"));
        }
        if labels != Labels::True && data.outputs().is_none() {
            return Err(Error::missing("a squared error, as label noise has it,"));
        }
        let sampler = Sampler::new(data.n_examples(), batch, sampling)?;
        Ok(Self { data, sampler, batch, labels, weights: weights(variance) })
    }

    /// Rows of labels of a batch.
    fn label_rows(&self) -> usize {
        match self.labels {
            Labels::True => 0,
            _ => self.batch * self.data.outputs().unwrap_or(0),
        }
    }

    /// Label rows with what the last generator block has too much, and words where signs come from them.
    fn label_memory(&self) -> usize {
        let rows = self.label_rows();
        match self.labels {
            Labels::True => 0,
            Labels::Normal(_) => rows.next_multiple_of(normals_per_block::<T>() as usize),
            Labels::Signs(_) => rows + rows.div_ceil(32).next_multiple_of(SIGN_ROWS),
        }
    }

    /// Draws the labels of batch `which`.
    fn draw_labels(&self, at: StepAddress, which: u64, width: usize, memory: &mut [T]) {
        let (rows, batches) = (self.label_rows(), self.weights.len() as u64);
        let (labels, words) =
            memory.split_at_mut(if matches!(self.labels, Labels::Signs(_)) { rows * width } else { 0 });
        let per_block = if labels.is_empty() { normals_per_block::<T>() as usize } else { 32 * SIGN_ROWS };
        let per_batch = rows.div_ceil(per_block) as u64;
        let first = at.blocks(per_batch * batches).start + which * per_batch;
        let (stream, blocks) = (at.stream(Tag::LABEL), first..first + per_batch);
        match self.labels {
            Labels::True => {}
            Labels::Normal(std) => fill_normals(stream, blocks, std * std, width, words),
            Labels::Signs(std) => {
                fill_sign_words(stream, blocks, width, words);
                SignRows { words, first: 0, scale: std, width }.unpack(labels);
            }
        }
    }
}

impl<T: Real> StochasticGradient<T> for MinibatchGradient<T> {
    fn dim(&self) -> usize {
        self.data.dim()
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn scratch_rows(&self) -> usize {
        self.label_memory() + if self.weights.len() > 1 { self.dim() } else { 0 }
    }
    fn sample(&self, step: &Step<'_, T>, x: &[T], out: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (span, width, batches) = (step.span, step.span.width, self.weights.len() as u64);
        let (memory, second) = scratch.split_at_mut(self.label_memory() * width);
        with_workspace(self.sampler.rows() * width, |indices: &mut [u32]| {
            for (which, weight) in (0..).zip(&self.weights) {
                self.sampler.draw(step.at, which, batches, span, indices);
                self.draw_labels(step.at, which, width, memory);
                let labels = (self.labels != Labels::True).then_some(&memory[..self.label_rows() * width]);
                let drawn = &indices[..self.batch * width];
                if which == 0 {
                    self.data.batch_grad(x, drawn, labels, out, span)?;
                    if *weight != 1.0 {
                        scale(out, *weight);
                    }
                } else {
                    let second = &mut second[..self.dim() * width];
                    self.data.batch_grad(x, drawn, labels, second, span)?;
                    add_scaled(out, second, *weight);
                }
            }
            Ok(())
        })
    }
    fn descends(&self) -> usize {
        let plain = self.weights.len() == 1 && self.labels == Labels::True;
        if !plain || !self.data.descends() {
            return 1;
        }
        (AT_ONCE / self.sampler.rows()).min(RATES / self.dim()).max(1)
    }
    fn descend(&self, at: StepAddress, steps: Descent<'_>, x: &mut [T], span: Span) -> Result<()> {
        with_workspace(steps.count * self.sampler.rows() * span.width, |indices: &mut [u32]| {
            self.sampler.draw_steps(at, steps.count, span, indices);
            self.data.descend(x, indices, self.batch, steps, span)
        })
    }
    fn needs_calling_thread(&self) -> bool {
        self.data.needs_calling_thread()
    }
}
