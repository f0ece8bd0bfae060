//! The function of Styblinski and Tang: in every coordinate two wells of different depth.

use super::{Formula, dimension};
use crate::error::Result;
use crate::lanes::Number;

/// `½ Σ (x_i⁴ - 16 x_i² + 5 x_i)`: its minimum is about -39.16617 d, at x_i = -2.903534.
#[derive(Clone, Debug, PartialEq)]
pub struct StyblinskiTang {
    dim: usize,
}

impl StyblinskiTang {
    /// In `dim` coordinates.
    pub fn new(dim: usize) -> Result<Self> {
        Ok(Self { dim: dimension(dim, 1)? })
    }
}

impl Formula for StyblinskiTang {
    fn dim(&self) -> usize {
        self.dim
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let (sixteen, five) = (N::constant(-16.0), N::constant(5.0));
        let mut sum = N::constant(0.0);
        for i in 0..self.dim {
            let x = x(i);
            sum = x.mul_add(x.mul_add(x.mul_add(x, sixteen), five), sum);
        }
        N::constant(0.5) * sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (two, sixteen, shift) = (N::constant(2.0), N::constant(-16.0), N::constant(2.5));
        for i in 0..self.dim {
            let x = x(i);
            out(i, x.mul_add(two.mul_add(x * x, sixteen), shift));
        }
    }
}
