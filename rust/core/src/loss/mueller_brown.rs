//! The potential of Müller and Brown: three minima and two saddles in the plane, the standard test of transitions.

use super::Formula;
use crate::lanes::Number;

/// `Σ_k A_k exp(a_k (x - x⁰_k)² + b_k (x - x⁰_k) (y - y⁰_k) + c_k (y - y⁰_k)²)` with the constants of Müller and Brown
/// (1979). Its minimum is about -146.69952, at (-0.558224, 1.441726).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MuellerBrown;

/// One term of the sum, in the order `A, a, b, c, x⁰, y⁰`.
const TERMS: [[f64; 6]; 4] = [
    [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
    [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
    [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
    [15.0, 0.7, 0.6, 0.7, -1.0, 1.0],
];

/// A term and the gradient of its exponent.
#[inline(always)]
fn term<N: Number>([height, a, b, c, x0, y0]: [f64; 6], x: N, y: N) -> (N, N, N) {
    let (x, y) = (x - N::constant(x0), y - N::constant(y0));
    let (a, b, c) = (N::constant(a), N::constant(b), N::constant(c));
    let (ax, cy, bx) = (a * x, c * y, b * x);
    let exponent = x.mul_add(ax, y * (cy + bx));
    (N::constant(height) * exponent.exp(), b.mul_add(y, ax + ax), bx + (cy + cy))
}

impl Formula for MuellerBrown {
    fn dim(&self) -> usize {
        2
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let (x, y) = (x(0), x(1));
        let mut sum = N::constant(0.0);
        for constants in TERMS {
            sum = sum + term(constants, x, y).0;
        }
        sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (x, y) = (x(0), x(1));
        let (mut along_x, mut along_y) = (N::constant(0.0), N::constant(0.0));
        for constants in TERMS {
            let (height, dx, dy) = term(constants, x, y);
            along_x = height.mul_add(dx, along_x);
            along_y = height.mul_add(dy, along_y);
        }
        out(0, along_x);
        out(1, along_y);
    }
}
