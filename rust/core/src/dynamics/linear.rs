//! `dX = -A (X - mean) dt + S dW`: the Ornstein–Uhlenbeck process, the reference for every other scheme.

use super::Sde;
use crate::block::Span;
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::{LinearMap, Matrix};
use crate::noise::{Factor, NoiseKind};

/// The coefficients of a linear equation with additive noise.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The rate matrix `A`.
    pub rate: Matrix<f64>,
    /// The fixed point.
    pub mean: Vec<f64>,
    /// The factor `S`, with its sign.
    pub factor: Factor,
}

/// A linear equation as a dynamics.
pub struct LinearSde<T: Real> {
    linear: Linear,
    rate: LinearMap<T>,
    mean: Vec<T>,
}

impl<T: Real> LinearSde<T> {
    /// The equation with these coefficients.
    pub fn new(linear: Linear) -> Self {
        let rate = LinearMap::new(&linear.rate);
        let mean = linear.mean.iter().map(|x| T::from_f64(*x)).collect();
        Self { linear, rate, mean }
    }
}

impl<T: Real> Sde<T> for LinearSde<T> {
    fn dim(&self) -> usize {
        self.linear.mean.len()
    }
    fn n_wiener(&self) -> usize {
        self.linear.mean.len()
    }
    fn kind(&self) -> NoiseKind {
        self.linear.factor.kind()
    }
    fn drift(&self, _t: f64, x: &[T], out: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.rate.apply_centered(x, &self.mean, out, span)
    }
    fn drift_scale(&self) -> f64 {
        -1.0
    }
    fn constant(&self) -> Option<&Factor> {
        Some(&self.linear.factor)
    }
    fn has_jacobian(&self) -> bool {
        true
    }
    fn linear(&self) -> Option<Linear> {
        Some(self.linear.clone())
    }
    fn mobility(&self) -> Option<Vec<f64>> {
        let rate = &self.linear.rate;
        (*rate == rate.transposed()).then(|| vec![1.0; self.linear.mean.len()])
    }
}
