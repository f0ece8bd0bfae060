//! What a formula is written in: real numbers, lanes of them, and dual numbers over either.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// The arithmetic a loss formula may use.
///
/// A formula written once over `Number` runs on a single float, on a SIMD register of paths, and on dual numbers,
/// whose nesting gives exact Hessians (`Dual`) and third derivatives (`Dual<Dual<_>>`, the hyper-dual numbers).
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> + 'static
{
    /// The constant `c` (rounded to the element type), in every lane.
    fn constant(c: f64) -> Self;
    /// `self * b + c`, rounded once per real operation.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Sine and cosine of an angle in radians.
    fn sin_cos(self) -> (Self, Self);
    /// `self * self`.
    #[inline(always)]
    fn square(self) -> Self {
        self * self
    }
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `1/(1 + e^-x)`.
    fn sigmoid(self) -> Self;
    /// The larger of two values, as a constant: of a dual number it has no derivative.
    fn larger_value(self, b: Self) -> Self;
}

/// A dual number `re + eps ε` with `ε² = 0`: carries one exact directional derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual<N> {
    /// The value.
    pub re: N,
    /// The derivative along the seeded direction.
    pub eps: N,
}

impl<N: Number> Dual<N> {
    /// The number `re + eps ε`.
    #[inline(always)]
    pub fn new(re: N, eps: N) -> Self {
        Self { re, eps }
    }
}

impl<N: Number> Add for Dual<N> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self::new(self.re + o.re, self.eps + o.eps)
    }
}

impl<N: Number> Sub for Dual<N> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self::new(self.re - o.re, self.eps - o.eps)
    }
}

impl<N: Number> Mul for Dual<N> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self::new(self.re * o.re, self.re.mul_add(o.eps, self.eps * o.re))
    }
}

impl<N: Number> Div for Dual<N> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let q = self.re / o.re;
        Self::new(q, (self.eps - q * o.eps) / o.re)
    }
}

impl<N: Number> Neg for Dual<N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::new(-self.re, -self.eps)
    }
}

impl<N: Number> Number for Dual<N> {
    #[inline(always)]
    fn constant(c: f64) -> Self {
        Self::new(N::constant(c), N::constant(0.0))
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self::new(self.re.mul_add(b.re, c.re), self.re.mul_add(b.eps, self.eps.mul_add(b.re, c.eps)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let s = self.re.sqrt();
        Self::new(s, self.eps / (s + s))
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let e = self.re.exp();
        Self::new(e, e * self.eps)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        Self::new(self.re.ln(), self.eps / self.re)
    }
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        let (s, c) = self.re.sin_cos();
        (Self::new(s, c * self.eps), Self::new(c, -(s * self.eps)))
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let t = self.re.tanh();
        Self::new(t, (-t).mul_add(t, N::constant(1.0)) * self.eps)
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let s = self.re.sigmoid();
        Self::new(s, s * (-self.re).sigmoid() * self.eps)
    }
    #[inline(always)]
    fn larger_value(self, b: Self) -> Self {
        Self::new(self.re.larger_value(b.re), N::constant(0.0))
    }
}
