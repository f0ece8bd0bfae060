//! What a diffusion did between two steps: whether it touched a level, and when.
//!
//! Between two steps the path is taken for a Brownian bridge, with the variance of the step's start. One that begins
//! and ends at distances a and b on the same side of the level has touched it with probability `exp(-2ab/σ²h)` (A. N.
//! Borodin, P. Salminen, Handbook of Brownian Motion, 2002, part I, IV.26). In either case the time s of the first
//! touch, counted in steps, has `s/(1 - s)` of the inverse Gaussian law with mean a/b and shape a²/σ²h.

use crate::block::Span;
use crate::dynamics::Sde;
use crate::error::Result;
use crate::lanes::{Number, Real};
use crate::noise::NoiseKind;
use crate::rng::{Address, Tag, uniforms_at};
use crate::scheme::StepAddress;
use std::sync::Arc;

/// Products of distances beyond this many `σ²h` count as no touch: its probability is below the least uniform number.
pub(super) const REACH: f64 = 19.0;

/// The variance of one coordinate in a step.
pub struct Bridge<T: Real> {
    sde: Arc<dyn Sde<T>>,
    coord: usize,
    h: f64,
    constant: Option<f64>,
}

impl<T: Real> Bridge<T> {
    /// Of a coordinate of an equation, in steps of `h`.
    pub fn new(sde: Arc<dyn Sde<T>>, coord: usize, h: f64) -> Self {
        let constant = if sde.kind() == NoiseKind::None { Some(0.0) } else { None };
        let constant = constant.or_else(|| sde.constant().map(|factor| h * factor.variance(coord)));
        Self { sde, coord, h, constant }
    }

    /// Rows of scratch memory of [`Bridge::variances`].
    pub(super) fn scratch_rows(&self) -> usize {
        match self.constant {
            Some(_) => 0,
            None if self.sde.kind().is_diagonal() => self.sde.dim(),
            None => self.sde.dim() * self.sde.n_wiener(),
        }
    }

    /// The variance of every step, where the noise is additive.
    pub(super) fn constant(&self) -> Option<f64> {
        self.constant
    }

    /// The variances of the step that starts here.
    pub(super) fn variances(&self, t: f64, x: &[T], scratch: &mut [T], out: &mut [f64], span: Span) -> Result<()> {
        let width = span.width;
        let columns = if self.sde.kind().is_diagonal() {
            self.sde.diagonal(t, x, scratch, span)?;
            self.coord..self.coord + 1
        } else {
            let m = self.sde.n_wiener();
            self.sde.factor(t, x, scratch, span)?;
            self.coord * m..(self.coord + 1) * m
        };
        out.fill(0.0);
        for row in scratch[columns.start * width..columns.end * width].chunks_exact(width) {
            for (sum, b) in out.iter_mut().zip(row) {
                *sum += b.to_f64() * b.to_f64();
            }
        }
        out.iter_mut().for_each(|sum| *sum *= self.h);
        Ok(())
    }
}

/// Where a level's touches draw their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// The coordinate.
    pub coord: usize,
    /// Whether it is approached from below. A level below a coordinate draws another number than one above it.
    pub rising: bool,
}

impl Level {
    /// When, in parts of the step, a path touched the level that ends `end` beyond it, or on its old side where `end`
    /// is negative; None where it did not. `before` is its distance at the start, `variance` that of the step.
    pub(super) fn touch(
        self,
        step: &StepAddress,
        dim: usize,
        lane: usize,
        [before, end]: [f64; 2],
        variance: f64,
    ) -> Option<f64> {
        let q = step.cell * dim as u64 + self.coord as u64;
        let numbers = |tag| {
            let at = Address { key: step.key, tag, first_path: step.first_path };
            uniforms_at(at, q, lane as u64)
        };
        let u = numbers(Tag::PASSAGE)[usize::from(!self.rising)];
        let chance = if end >= 0.0 { 1.0 } else { Number::exp(2.0 * before * end / variance) };
        // NaN, of no variance and no distance left, is no chance.
        if u >= chance || chance.is_nan() {
            return None;
        }
        let [v, w] = numbers(Tag::PASSAGE_TIME);
        let cos = Number::sin_cos(std::f64::consts::TAU * w).1;
        // A squared normal, and a uniform number that the touch has left over.
        Some(first_touch(before, end.abs(), variance, -2.0 * Number::ln(v) * cos * cos, u / chance))
    }
}

/// The time of the first touch: J. R. Michael, W. R. Schucany, R. W. Haas, Am. Stat. 30, 88 (1976), written so that b =
/// 0 (infinite mean) and no variance (a straight line) need no case of their own.
fn first_touch(a: f64, b: f64, variance: f64, chi2: f64, u: f64) -> f64 {
    let c = chi2 * variance / (2.0 * a);
    let g = b + c + (c * (c + 2.0 * b)).sqrt();
    if u * (g + b) <= g { a / (a + g) } else { a * g / (b * b + a * g) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_lines_are_cut_where_they_cross() {
        assert_eq!(first_touch(1.0, 3.0, 0.0, 2.0, 0.9), 0.25);
        assert!(first_touch(1.0, 0.0, 0.5, 2.0, 0.9) < 1.0);
    }

    #[test]
    fn numbers_are_those_of_whole_rows() {
        let at = Address { key: 5, tag: Tag::PASSAGE, first_path: 100 };
        let mut rows = [0.0; 32];
        crate::rng::fill_uniforms(at, 9..10, 16, &mut rows);
        for lane in 0..16 {
            assert_eq!(uniforms_at(at, 9, lane as u64), [rows[lane], rows[16 + lane]]);
        }
    }
}
