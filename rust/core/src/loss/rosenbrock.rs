//! Rosenbrock's banana valley.

use super::{Formula, dimension};
use crate::error::Result;
use crate::lanes::Number;

/// `Σ_{i < d-1} 100 (x_{i+1} - x_i²)² + (1 - x_i)²`: its minimum is 0, at (1, …, 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Rosenbrock {
    dim: usize,
}

impl Rosenbrock {
    /// In `dim >= 2` coordinates.
    pub fn new(dim: usize) -> Result<Self> {
        Ok(Self { dim: dimension(dim, 2)? })
    }
}

impl Formula for Rosenbrock {
    fn dim(&self) -> usize {
        self.dim
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let (one, hundred) = (N::constant(1.0), N::constant(100.0));
        let mut sum = N::constant(0.0);
        let mut here = x(0);
        for i in 1..self.dim {
            let next = x(i);
            let valley = next - here * here;
            let slope = one - here;
            sum = slope.mul_add(slope, hundred.mul_add(valley * valley, sum));
            here = next;
        }
        sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (two, steep) = (N::constant(2.0), N::constant(200.0));
        let mut before = N::constant(0.0);
        let mut here = x(0);
        for i in 1..self.dim {
            let next = x(i);
            let valley = steep * (next - here * here);
            let along = two.mul_add(here, -two) + before;
            out(i - 1, along - (here + here) * valley);
            before = valley;
            here = next;
        }
        out(self.dim - 1, before);
    }
}
