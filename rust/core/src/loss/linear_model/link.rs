//! What a model makes of the linear predictors of an example: its loss and the derivatives by them.

use crate::lanes::{Float, Number};
use std::fmt::Debug;

/// The `K` numbers of an example, in lanes.
pub trait Cells<F> {
    /// Number `k`.
    fn get(&self, k: usize) -> F;
    /// Sets number `k`.
    fn set(&mut self, k: usize, value: F);
}

impl<F: Copy> Cells<F> for [F] {
    #[inline(always)]
    fn get(&self, k: usize) -> F {
        self[k]
    }
    #[inline(always)]
    fn set(&mut self, k: usize, value: F) {
        self[k] = value;
    }
}

/// Where minibatches find the targets of examples, whose rows are read anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// They stand behind the inputs, and a parameter of -1 takes them from the predictor: 0 is left.
    InDot,
    /// They stand behind the inputs.
    InRow,
    /// Every one is 0: [`Link::fold`] has made them so.
    Alike,
}

impl Targets {
    /// The parameter at the place behind the inputs.
    pub fn factor(self) -> f64 {
        if self == Targets::InDot { -1.0 } else { 0.0 }
    }
}

/// The loss `ℓ(z, y)` of one example with the predictors `z` and the target `y`. All methods must be
/// `#[inline(always)]`.
pub trait Link: Copy + Debug + PartialEq + Send + Sync + 'static {
    /// Whether `ℓ = ½ (z - y)²`.
    const SQUARES: bool = false;
    /// Where targets are found.
    const TARGETS: Targets;
    /// What to multiply inputs by, and the target that then gives the same loss: the only ones that the other methods see.
    fn fold(y: f64) -> (f64, f64) {
        (1.0, y)
    }
    /// Predictors `K` of an example.
    fn outputs(&self) -> usize;
    /// `ℓ`; leaves anything in `z`.
    fn loss<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized)) -> F;
    /// Puts `∂ℓ/∂z` in the place of `z`.
    fn residual<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized));
    /// Puts `∂²ℓ/∂z² u` in the place of `u`, and `∂ℓ/∂z` in that of `z`.
    fn curvature<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized));
    /// Puts `∂³ℓ/∂z³ u u` in the place of `u`; leaves anything in `z`.
    fn bend<F: Float>(&self, z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized));
    /// `out_m = Σ_kl ∂³ℓ/∂z_k∂z_l∂z_m s_kl` with symmetric `s`, in row `k`'s order; leaves anything in `z`.
    fn third(&self, z: &mut [f64], s: &[f64], out: &mut [f64]);
}

/// Linear regression: `½ (z - y)²`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identity;

impl Link for Identity {
    const SQUARES: bool = true;
    const TARGETS: Targets = Targets::InDot;
    #[inline(always)]
    fn outputs(&self) -> usize {
        1
    }
    #[inline(always)]
    fn loss<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized)) -> F {
        F::constant(0.5) * (z.get(0) - y).square()
    }
    #[inline(always)]
    fn residual<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized)) {
        z.set(0, z.get(0) - y);
    }
    #[inline(always)]
    fn curvature<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized), _u: &mut (impl Cells<F> + ?Sized)) {
        self.residual(y, z);
    }
    #[inline(always)]
    fn bend<F: Float>(&self, _z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized)) {
        u.set(0, F::constant(0.0));
    }
    fn third(&self, _z: &mut [f64], _s: &[f64], out: &mut [f64]) {
        out[0] = 0.0;
    }
}

/// Logistic regression: `log(1 + e^z) - y z`, `y` 0 or 1; with all targets 0 it is `log(1 + e^z)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logistic;

/// `log(1 + u)` for `u` in [0, 1], to an ulp or two: what rounding takes from `1 + u` is given back.
#[inline(always)]
fn ln_1p<F: Number>(u: F) -> F {
    let one = F::constant(1.0);
    let sum = one + u;
    sum.ln() + (u - (sum - one)) / sum
}

impl Link for Logistic {
    const TARGETS: Targets = Targets::Alike;
    /// `ℓ(z, 1) = ℓ(-z, 0)`.
    fn fold(y: f64) -> (f64, f64) {
        (if y == 0.0 { 1.0 } else { -1.0 }, 0.0)
    }
    #[inline(always)]
    fn outputs(&self) -> usize {
        1
    }
    #[inline(always)]
    fn loss<F: Float>(&self, _y: F, z: &mut (impl Cells<F> + ?Sized)) -> F {
        let (z, zero) = (z.get(0), F::constant(0.0));
        let positive = z.choose_lt(zero, zero, z);
        positive + ln_1p(zero.choose_lt(z, -z, z).exp())
    }
    #[inline(always)]
    fn residual<F: Float>(&self, _y: F, z: &mut (impl Cells<F> + ?Sized)) {
        // exact in the tail where the example is well classified
        z.set(0, z.get(0).sigmoid());
    }
    #[inline(always)]
    fn curvature<F: Float>(&self, _y: F, z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized)) {
        let (up, down) = (z.get(0).sigmoid(), (-z.get(0)).sigmoid());
        u.set(0, up * down * u.get(0));
        z.set(0, up);
    }
    #[inline(always)]
    fn bend<F: Float>(&self, z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized)) {
        let (up, down) = (z.get(0).sigmoid(), (-z.get(0)).sigmoid());
        u.set(0, up * down * (down - up) * u.get(0).square());
    }
    fn third(&self, z: &mut [f64], s: &[f64], out: &mut [f64]) {
        let (up, down) = (z[0].sigmoid(), (-z[0]).sigmoid());
        out[0] = s[0] * up * down * (down - up);
    }
}

/// Softmax regression: `log Σ_k e^{z_k} - z_y`, `y` one of the classes 0 to K - 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// Classes `K`.
    pub classes: usize,
}

impl Softmax {
    /// 1 for the class `y`, else 0.
    #[inline(always)]
    fn indicator<F: Float>(y: F, k: usize) -> F {
        let distance = (y - F::constant(k as f64)).square();
        distance.choose_lt(F::constant(0.5), F::constant(1.0), F::constant(0.0))
    }

    /// The largest predictor.
    #[inline(always)]
    fn largest<F: Float>(&self, z: &(impl Cells<F> + ?Sized)) -> F {
        let mut largest = z.get(0);
        for k in 1..self.classes {
            let z = z.get(k);
            // written so that a NaN goes on to the result
            largest = z.choose_lt(largest, largest, z);
        }
        largest
    }

    /// Puts the probabilities in the place of `z`.
    #[inline(always)]
    fn probabilities<F: Float>(&self, z: &mut (impl Cells<F> + ?Sized)) {
        let largest = self.largest(z);
        let mut sum = F::constant(0.0);
        for k in 0..self.classes {
            let e = (z.get(k) - largest).exp();
            sum = sum + e;
            z.set(k, e);
        }
        let inverse = F::constant(1.0) / sum;
        for k in 0..self.classes {
            z.set(k, z.get(k) * inverse);
        }
    }

    /// Subtracts the target's indicator.
    #[inline(always)]
    fn subtract_target<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized)) {
        for k in 0..self.classes {
            z.set(k, z.get(k) - Self::indicator(y, k));
        }
    }
}

impl Link for Softmax {
    const TARGETS: Targets = Targets::InRow;
    #[inline(always)]
    fn outputs(&self) -> usize {
        self.classes
    }
    #[inline(always)]
    fn loss<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized)) -> F {
        // the largest apart: log(1 + the others), which keeps the loss of a well classified example
        let largest = self.largest(z);
        let (zero, one) = (F::constant(0.0), F::constant(1.0));
        let (mut others, mut of_target, mut taken) = (zero, zero, zero);
        for k in 0..self.classes {
            let from_largest = z.get(k) - largest;
            of_target = Self::indicator(y, k).mul_add(from_largest, of_target);
            // the first of the largest counts as 1, once
            let is_largest = from_largest.choose_lt(zero, zero, one);
            let first = is_largest * (one - taken);
            taken = taken + first;
            others = others + from_largest.exp() * (one - first);
        }
        // more than 1 with several large ones: then no care is needed
        let small = others.choose_lt(one, others, one);
        let log = others.choose_lt(one, ln_1p(small), (one + others).ln());
        log - of_target
    }
    #[inline(always)]
    fn residual<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized)) {
        self.probabilities(z);
        self.subtract_target(y, z);
    }
    #[inline(always)]
    fn curvature<F: Float>(&self, y: F, z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized)) {
        self.probabilities(z);
        let mut mean = F::constant(0.0);
        for k in 0..self.classes {
            mean = z.get(k).mul_add(u.get(k), mean);
        }
        for k in 0..self.classes {
            u.set(k, z.get(k) * (u.get(k) - mean));
        }
        self.subtract_target(y, z);
    }
    #[inline(always)]
    fn bend<F: Float>(&self, z: &mut (impl Cells<F> + ?Sized), u: &mut (impl Cells<F> + ?Sized)) {
        self.probabilities(z);
        // p (c² - Σ p c²), where c is u less its mean under p
        let (mut mean, mut spread) = (F::constant(0.0), F::constant(0.0));
        for k in 0..self.classes {
            mean = z.get(k).mul_add(u.get(k), mean);
        }
        for k in 0..self.classes {
            let square = (u.get(k) - mean).square();
            u.set(k, square);
            spread = z.get(k).mul_add(square, spread);
        }
        for k in 0..self.classes {
            u.set(k, z.get(k) * (u.get(k) - spread));
        }
    }
    fn third(&self, z: &mut [f64], s: &[f64], out: &mut [f64]) {
        let n = self.classes;
        self.probabilities(z);
        // q = Σ_k s_kk p_k - pᵀ s p, and h = ∂q/∂p
        for k in 0..n {
            let product: f64 = (0..n).map(|l| s[k * n + l] * z[l]).sum();
            out[k] = s[k * n + k] - 2.0 * product;
        }
        let mean: f64 = (0..n).map(|k| z[k] * out[k]).sum();
        for k in 0..n {
            out[k] = z[k] * (out[k] - mean);
        }
    }
}
