//! The quartic oscillator: one well in every coordinate, steeper than a parabola.

use super::{Formula, Quadratic, dimension, finite};
use crate::error::Result;
use crate::lanes::Number;

/// `Σ (a x_i⁴ / 4 + b x_i² / 2)`: for `a, b >= 0` its minimum is 0, at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Quartic {
    a: f64,
    b: f64,
    dim: usize,
}

impl Quartic {
    /// With the coefficients of the quartic and of the quadratic part, in `dim` coordinates.
    pub fn new(a: f64, b: f64, dim: usize) -> Result<Self> {
        Ok(Self { a: finite("a", a)?, b: finite("b", b)?, dim: dimension(dim, 1)? })
    }
}

impl Formula for Quartic {
    fn dim(&self) -> usize {
        self.dim
    }

    fn bowl(&self) -> Option<Quadratic<f64>> {
        // Curved as the minima are: at 0, or at ±sqrt(-b/a) beside a barrier.
        Quadratic::diagonal(vec![if self.b < 0.0 { -2.0 * self.b } else { self.b }; self.dim], None).ok()
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let (a, b) = (N::constant(0.25 * self.a), N::constant(0.5 * self.b));
        let mut sum = N::constant(0.0);
        for i in 0..self.dim {
            let square = x(i).square();
            sum = square.mul_add(a.mul_add(square, b), sum);
        }
        sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (a, b) = (N::constant(self.a), N::constant(self.b));
        for i in 0..self.dim {
            let x = x(i);
            out(i, x * a.mul_add(x * x, b));
        }
    }
}
