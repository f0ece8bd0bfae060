//! Where paths start: given points, or draws that have an address like all noise.

use crate::block::Span;
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::LinearMap;
use crate::noise::Factor;
use crate::rng::{Address, Tag, fill_normals, fill_uniforms, normals_per_block};
use crate::wiener::{Mirror, Second};
use std::sync::Arc;

/// The law of the initial state.
#[derive(Clone, Debug)]
pub enum Initial<T: Real> {
    /// Every path starts here.
    Point(Vec<T>),
    /// Path `i` starts at row `i`, `(n_paths, dim)`.
    Points(Vec<T>),
    /// Normal.
    Gaussian {
        /// Its mean.
        mean: Vec<f64>,
        /// A factor of its covariance.
        factor: Factor,
    },
    /// Uniform in a box.
    Uniform {
        /// Lower ends.
        low: Vec<f64>,
        /// Upper ends.
        high: Vec<f64>,
    },
}

/// Fills the further variables of a state, given its parameters.
pub trait Complete<T: Real>: Send + Sync {
    /// Writes `rest`, the rows after those of the parameters `theta`.
    fn complete(&self, theta: &[T], rest: &mut [T], span: Span) -> Result<()>;
}

/// Where the whole state starts: the parameters by a law, each further variable given, or made from the parameters.
pub struct Start<T: Real> {
    /// Parameters `d`.
    pub dim: usize,
    /// Their law.
    pub theta: Initial<T>,
    /// Makes all further variables, before those given take their places; None where all are given or there is none.
    pub complete: Option<Arc<dyn Complete<T>>>,
    /// Further variables given, by their first row.
    pub given: Vec<(usize, Initial<T>)>,
}

impl<T: Real> Start<T> {
    /// Of a state of parameters alone.
    pub fn of(dim: usize, theta: Initial<T>) -> Self {
        Self { dim, theta, complete: None, given: Vec::new() }
    }

    /// Fills the block whose lane 0 is path `first`; lanes `n..` repeat a path, so that they stay finite. The two paths
    /// of an antithetic pair share what they draw.
    pub(super) fn fill(&self, key: u64, antithetic: bool, first: u64, span: Span, x: &mut [T]) -> Result<()> {
        let (theta, rest) = x.split_at_mut(self.dim * span.width);
        let drawn = matches!(self.theta, Initial::Gaussian { .. } | Initial::Uniform { .. });
        if drawn && antithetic {
            let mut pairs = Mirror::new(self.dim, span.width, Second::Same);
            pairs.start_block(first, span.width);
            let (half, n) = (pairs.half, (pairs.half.odd + span.n).div_ceil(2));
            self.theta.fill(key, half.first, n, half.width, &mut pairs.rows[..self.dim * half.width])?;
            pairs.expand(span.width, theta);
        } else {
            self.theta.fill(key, first, span.n, span.width, theta)?;
        }
        rest.fill(T::default());
        if let Some(complete) = &self.complete {
            complete.complete(theta, rest, span)?;
        }
        for (row, law) in &self.given {
            let rows = &mut rest[(row - self.dim) * span.width..][..self.dim * span.width];
            law.fill(key, first, span.n, span.width, rows)?;
        }
        Ok(())
    }
}

impl<T: Real> Initial<T> {
    /// Fills the block whose lane 0 is path `first`; lanes `n..` repeat a path, so that they stay finite.
    pub(super) fn fill(&self, key: u64, first: u64, n: usize, width: usize, x: &mut [T]) -> Result<()> {
        let at = Address { key, tag: Tag::INITIAL, first_path: first };
        match self {
            Initial::Point(point) => {
                x.chunks_exact_mut(width).zip(point).for_each(|(row, value)| row.fill(*value));
            }
            Initial::Points(points) => {
                let d = x.len() / width;
                for (i, row) in x.chunks_exact_mut(width).enumerate() {
                    for (p, value) in row.iter_mut().enumerate() {
                        *value = points[(first as usize + p.min(n - 1)) * d + i];
                    }
                }
            }
            Initial::Gaussian { mean, factor } => {
                let d = mean.len();
                let blocks = (d as u64).div_ceil(normals_per_block::<T>());
                let rows = (blocks * normals_per_block::<T>()) as usize;
                let mut normals = vec![T::default(); rows * width];
                fill_normals(at, 0..blocks, 1.0, width, &mut normals);
                for (row, mean) in x.chunks_exact_mut(width).zip(mean) {
                    row.fill(T::from_f64(*mean));
                }
                LinearMap::lower(&factor.dense()).add_apply(&normals[..d * width], x, Span { n, width })?;
            }
            Initial::Uniform { low, high } => {
                let blocks = (low.len() as u64).div_ceil(2);
                let mut uniforms = vec![0.0; 2 * blocks as usize * width];
                fill_uniforms(at, 0..blocks, width, &mut uniforms);
                for (i, row) in x.chunks_exact_mut(width).enumerate() {
                    for (value, u) in row.iter_mut().zip(&uniforms[i * width..]) {
                        *value = T::from_f64((high[i] - low[i]).mul_add(*u, low[i]));
                    }
                }
            }
        }
        Ok(())
    }
}
