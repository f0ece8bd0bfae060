//! The double well: in every coordinate two minima, at ±1, and a barrier between them.

use super::{Formula, Quadratic, dimension, finite};
use crate::error::Result;
use crate::lanes::Number;

/// `height · Σ (x_i² - 1)²`: minima at ±1, where it is 0; the barrier at 0 is `height` high.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubleWell {
    height: f64,
    dim: usize,
}

impl DoubleWell {
    /// With barriers of `height`, in `dim` coordinates.
    pub fn new(height: f64, dim: usize) -> Result<Self> {
        Ok(Self { height: finite("height", height)?, dim: dimension(dim, 1)? })
    }
}

impl Formula for DoubleWell {
    fn dim(&self) -> usize {
        self.dim
    }

    fn bowl(&self) -> Option<Quadratic<f64>> {
        // Curved as the minima are.
        Quadratic::diagonal(vec![8.0 * self.height; self.dim], None).ok()
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let one = N::constant(1.0);
        let mut sum = N::constant(0.0);
        for i in 0..self.dim {
            let well = x(i).mul_add(x(i), -one);
            sum = well.mul_add(well, sum);
        }
        N::constant(self.height) * sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (one, slope) = (N::constant(1.0), N::constant(4.0 * self.height));
        for i in 0..self.dim {
            let x = x(i);
            out(i, slope * x * x.mul_add(x, -one));
        }
    }
}
