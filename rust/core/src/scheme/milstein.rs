//! Milstein's scheme, strong order 1: diagonal noise by component, any other noise through iterated integrals.

use super::{Draws, Step, Stepper, Steps};
use crate::dynamics::Sde;
use crate::elementwise::{
    add_product, add_scaled, assign_add_scaled, milstein_diagonal, milstein_diagonal_free, scale,
};
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::loss::{Leap, Rule};
use std::sync::Arc;

/// Most Wiener processes for which Lévy areas are simulated: their number grows as m².
pub const MAX_AREAS: usize = 64;

/// Noise whose deviation `b_i` depends on `x_i` alone: `b_i ∂b_i (ΔW_i² - h) / 2` is all there is to add.
pub struct DiagonalMilstein<T: Real>(Arc<dyn Sde<T>>);

impl<T: Real> DiagonalMilstein<T> {
    /// Integrates `sde`, of kind diagonal.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self(sde)
    }
}

impl<T: Real> Stepper<T> for DiagonalMilstein<T> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.0.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        4 * self.0.dim()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let n = x.len();
        let (a, rest) = scratch.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n);
        let (slope, shifted) = rest.split_at_mut(n);
        let c = h * self.0.drift_scale();
        self.0.drift(t, x, a, slope, span)?;
        if self.0.has_jacobian() {
            self.0.diagonal_milstein(t, x, b, slope, span)?;
            milstein_diagonal(x, a, b, slope, dw, c, h, 0.5);
        } else {
            // Kloeden & Platen (11.1.3): the derivative along b from b at the point one deviation away.
            self.0.diagonal(t, x, b, span)?;
            assign_add_scaled(shifted, x, b, h.sqrt());
            add_scaled(shifted, a, c);
            self.0.diagonal(t, shifted, slope, span)?;
            milstein_diagonal_free(x, a, b, slope, dw, c, h, 0.5 / h.sqrt());
        }
        Ok(())
    }
    fn leaps(&self) -> u64 {
        if self.0.milstein_noise().is_some() { u64::MAX } else { 1 }
    }
    fn leap(&self, steps: &Steps<'_, T>, x: &mut [T]) -> Result<()> {
        let (noise, scale) = self.0.milstein_noise().ok_or_else(|| Error::missing("affine noise"))?;
        let Steps { h, dw, count, span, .. } = *steps;
        let rule = Rule::Milstein { noise, scale, h };
        self.0.leap(Leap { c: h * self.0.drift_scale(), rule, dw, count }, x, span)
    }
    fn needs_calling_thread(&self) -> bool {
        self.0.needs_calling_thread()
    }
}

/// Noise of any structure: `Σ_ij (L^i b^j) I_(i,j)` with `L^i b^j = (∂b^j) b^i`.
pub struct GeneralMilstein<T: Real> {
    sde: Arc<dyn Sde<T>>,
    areas: bool,
}

impl<T: Real> GeneralMilstein<T> {
    /// Integrates `sde`; more than [`MAX_AREAS`] Wiener processes that do not commute are refused.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Result<Self> {
        let areas = !sde.kind().is_commutative();
        let m = sde.n_wiener();
        if areas && sde.n_wiener_b() > 0 {
            let message = "milstein has no Levy areas of the noise of second moments with that of the gradient; platen and \
                           euler_maruyama do without";
            return Err(Error::invalid("method", message));
        }
        if areas && m > MAX_AREAS {
            return Err(Error::invalid(
                "method",
                format!(
                    "milstein needs the Levy areas of {m} Wiener processes that do not commute; it simulates them up to \
                     {MAX_AREAS}. euler_maruyama takes any number"
                ),
            ));
        }
        if areas && sde.n_wiener_b() > 0 {
            return Err(Error::invalid(
                "method",
                "milstein has no Levy areas between the noise of the gradient and that of second moments, which do not \
                 commute here; euler_maruyama needs none",
            ));
        }
        Ok(Self { sde, areas })
    }

    /// The double sum with derivatives: `jacobian` holds `∂b_lj/∂x_k`, `g` one row to work in.
    fn add_analytic(&self, step: &Step<'_, T>, x: &mut [T], b: &[T], jacobian: &[T], iterated: &[T], g: &mut [T]) {
        let (d, m, width) = (self.sde.dim(), self.sde.n_wiener(), step.span.width);
        let row = |r: usize| r * width..(r + 1) * width;
        for l in 0..d {
            for j in 0..m {
                for i in 0..m {
                    g.fill(T::default());
                    for k in 0..d {
                        add_product(g, &jacobian[row((l * m + j) * d + k)], &b[row(k * m + i)]);
                    }
                    add_product(&mut x[row(l)], g, &iterated[row(i * m + j)]);
                }
            }
        }
    }
}

impl<T: Real> Stepper<T> for GeneralMilstein<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws { iterated: self.areas, ..Draws::of(self.sde.as_ref()) }
    }
    fn scratch_rows(&self) -> usize {
        let (d, m) = (self.sde.dim(), self.sde.n_wiener());
        let derivatives = if self.sde.has_jacobian() { d * m * d + d + 1 } else { d * m + d };
        2 * d + d * m + m * m + derivatives.max(d) + 1
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (d, m, width) = (self.sde.dim(), self.sde.n_wiener(), span.width);
        let (a, rest) = scratch.split_at_mut(d * width);
        let (old, rest) = rest.split_at_mut(d * width);
        let (b, rest) = rest.split_at_mut(d * m * width);
        let (commuting, rest) = rest.split_at_mut(m * m * width);
        let row = |r: usize| r * width..(r + 1) * width;
        let c = h * self.sde.drift_scale();
        self.sde.drift(t, x, a, rest, span)?;
        self.sde.factor(t, x, b, span)?;
        let iterated = if self.areas {
            step.beside.iterated
        } else {
            // The area part of I_(i,j) cancels against its transpose: (ΔW_i ΔW_j - h δ_ij) / 2 will do.
            for i in 0..m {
                for j in 0..m {
                    let out = &mut commuting[row(i * m + j)];
                    out.fill(if i == j { T::from_f64(-h) } else { T::default() });
                    add_product(out, &dw[row(i)], &dw[row(j)]);
                    scale(out, 0.5);
                }
            }
            &*commuting
        };
        old.copy_from_slice(x);
        add_scaled(x, a, c);
        for i in 0..d {
            for j in 0..m {
                add_product(&mut x[row(i)], &b[row(i * m + j)], &dw[row(j)]);
            }
        }
        if self.sde.has_jacobian() {
            let (jacobian, rest) = rest.split_at_mut(d * m * d * width);
            self.sde.jacobian(t, old, jacobian, rest, span)?;
            self.add_analytic(step, x, b, jacobian, iterated, &mut rest[..width]);
        } else {
            let (shifted, rest) = rest.split_at_mut(d * m * width);
            let point = &mut rest[..d * width];
            let root = h.sqrt();
            for i in 0..m {
                assign_add_scaled(point, old, a, c);
                for l in 0..d {
                    add_scaled(&mut point[row(l)], &b[row(l * m + i)], root);
                }
                self.sde.factor(t, point, shifted, span)?;
                add_scaled(shifted, b, -1.0);
                scale(shifted, 1.0 / root);
                for l in 0..d {
                    for j in 0..m {
                        add_product(&mut x[row(l)], &shifted[row(l * m + j)], &iterated[row(i * m + j)]);
                    }
                }
            }
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
