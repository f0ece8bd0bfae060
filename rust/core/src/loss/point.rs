//! Losses at single points, with all derivatives up to the third.

use super::Formula;
use crate::error::{Error, Result};
use crate::lanes::Dual;

/// A loss at points, in double precision.
pub trait PointLoss: Send + Sync {
    /// How many parameters.
    fn dim(&self) -> usize;
    /// The loss at `x`.
    fn value(&self, x: &[f64]) -> Result<f64>;
    /// The gradient at `x`.
    fn grad(&self, x: &[f64], out: &mut [f64]) -> Result<()>;
    /// The Hessian at `x`: `dim * dim` elements, row after row, exactly symmetric.
    fn hessian(&self, x: &[f64], out: &mut [f64]) -> Result<()>;
    /// The gradient of `<s, hessian(x)>`: `out[k]` is the sum of `s[i * dim + j]` times the third derivative `ijk`.
    fn third(&self, x: &[f64], s: &[f64], out: &mut [f64]) -> Result<()>;
}

impl<F: Formula> PointLoss for F {
    fn dim(&self) -> usize {
        Formula::dim(self)
    }

    fn value(&self, x: &[f64]) -> Result<f64> {
        check("x", x, Formula::dim(self))?;
        Ok(Formula::value(self, &|i| x[i]))
    }

    fn grad(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        check("x", x, Formula::dim(self))?;
        check("out", out, Formula::dim(self))?;
        Formula::grad(self, &|i| x[i], &mut |i, g| out[i] = g);
        Ok(())
    }

    fn hessian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let d = Formula::dim(self);
        check("x", x, d)?;
        check("out", out, d * d)?;
        for j in 0..d {
            let seed = |i| Dual::new(x[i], unit(i == j));
            Formula::grad(self, &seed, &mut |i, g: Dual<f64>| out[i * d + j] = g.eps);
        }
        for i in 0..d {
            for j in 0..i {
                let mean = 0.5 * out[i * d + j] + 0.5 * out[j * d + i];
                out[i * d + j] = mean;
                out[j * d + i] = mean;
            }
        }
        Ok(())
    }

    fn third(&self, x: &[f64], s: &[f64], out: &mut [f64]) -> Result<()> {
        let d = Formula::dim(self);
        check("x", x, d)?;
        check("s", s, d * d)?;
        check("out", out, d)?;
        out.fill(0.0);
        for j in 0..d {
            // ε₁ along axis j and ε₂ along column j of s: ε₁ε₂ of ∂f/∂k carries the sum over i of s_ij f_ijk.
            let seed = |i: usize| {
                let column = 0.5 * s[i * d + j] + 0.5 * s[j * d + i];
                Dual::new(Dual::new(x[i], unit(i == j)), Dual::new(column, 0.0))
            };
            Formula::grad(self, &seed, &mut |k, g: Dual<Dual<f64>>| out[k] += g.eps.eps);
        }
        Ok(())
    }
}

fn unit(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

/// Fails unless the slice has `length` elements.
pub(super) fn check(argument: &str, slice: &[f64], length: usize) -> Result<()> {
    if slice.len() == length {
        Ok(())
    } else {
        Err(Error::invalid(argument, format!("{} elements, but {length} are needed", slice.len())))
    }
}
