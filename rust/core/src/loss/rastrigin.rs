//! Rastrigin's function: a parabola with a regular lattice of wells.

use super::{Formula, Quadratic, dimension};
use crate::error::Result;
use crate::lanes::Number;
use std::f64::consts::TAU;

/// `10 d + Σ (x_i² - 10 cos(2π x_i))`: its minimum is 0, at 0; there is a local one near every integer point.
#[derive(Clone, Debug, PartialEq)]
pub struct Rastrigin {
    dim: usize,
}

impl Rastrigin {
    /// In `dim` coordinates.
    pub fn new(dim: usize) -> Result<Self> {
        Ok(Self { dim: dimension(dim, 1)? })
    }
}

impl Formula for Rastrigin {
    fn dim(&self) -> usize {
        self.dim
    }

    fn bowl(&self) -> Option<Quadratic<f64>> {
        // The parabola under the lattice.
        Quadratic::diagonal(vec![2.0; self.dim], None).ok()
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let mut sum = N::constant(0.0);
        for i in 0..self.dim {
            let x = x(i);
            let (_, cos) = (N::constant(TAU) * x).sin_cos();
            sum = sum + N::constant(10.0).mul_add(N::constant(1.0) - cos, x * x);
        }
        sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        for i in 0..self.dim {
            let x = x(i);
            let (sin, _) = (N::constant(TAU) * x).sin_cos();
            out(i, N::constant(10.0 * TAU).mul_add(sin, x + x));
        }
    }
}
