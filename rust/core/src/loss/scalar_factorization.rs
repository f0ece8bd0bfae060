//! The factorisation of the number one, the smallest loss whose minima form a curve.

use super::Formula;
use crate::lanes::Number;

/// `½ (1 - x y)²`: zero on the hyperbola `x y = 1`, with a saddle at 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScalarFactorization;

impl Formula for ScalarFactorization {
    fn dim(&self) -> usize {
        2
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let excess = x(0).mul_add(x(1), N::constant(-1.0));
        N::constant(0.5) * excess * excess
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (x, y) = (x(0), x(1));
        let excess = x.mul_add(y, N::constant(-1.0));
        out(0, excess * y);
        out(1, excess * x);
    }
}
