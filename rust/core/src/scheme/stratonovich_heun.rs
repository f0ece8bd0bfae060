//! Heun's scheme in Stratonovich's calculus, for Itô equations: the drift is corrected by known derivatives of the noise.

use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{add_product, add_scaled, add_two, assign_add_scaled};
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::noise::{NoiseKind, apply_factor};
use std::sync::Arc;

/// With `ā = a - (1/2) Σ_j (∂b^j) b^j`, which makes `dX = a dt + b dW` of `dX = ā dt + b ∘ dW`:
///
/// ```text
/// Y  = X + ā h + Σ b^j ΔW_j
/// X' = X + (h/2) (ā + ā(t+h, Y)) + (1/2) Σ (b^j + b^j(t+h, Y)) ΔW_j
/// ```
pub struct StratonovichHeun<T: Real> {
    sde: Arc<dyn Sde<T>>,
    /// The noise is a deviation for each coordinate, whose derivative by that coordinate is known.
    diagonal: bool,
}

impl<T: Real> StratonovichHeun<T> {
    /// Integrates `sde`, whose noise depends on the state and has known derivatives.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Result<Self> {
        let diagonal = match sde.kind() {
            NoiseKind::Diagonal => sde.has_jacobian(),
            NoiseKind::DiagonalCoupled => sde.has_own_slopes(),
            _ => false,
        };
        if !diagonal && !sde.has_jacobian() {
            let message = "stratonovich_heun subtracts (1/2) (∂b) b from the drift and needs the derivatives of the \
                           noise: give a diffusion_jacobian (a jacobian to noise.Function), or take a method of Itô's \
                           calculus";
            return Err(Error::invalid("method", message));
        }
        Ok(Self { sde, diagonal })
    }

    /// Rows of the factor and of its derivatives.
    fn noise_rows(&self) -> (usize, usize) {
        let (d, m) = (self.sde.dim(), self.sde.n_wiener());
        if self.diagonal { (d, d) } else { (d * m, d * m * d + 2 * d + 1) }
    }

    /// `ā h` into `moved`, and `b ΔW` into `noise`.
    fn evaluate(&self, step: &Step<'_, T>, t: f64, x: &[T], out: &mut Evaluated<'_, T>) -> Result<()> {
        let Step { h, dw, span, .. } = *step;
        let Evaluated { moved, noise, b, slopes } = out;
        let (n, width) = (x.len(), span.width);
        self.sde.drift(t, x, noise, &mut slopes[..n], span)?;
        moved.fill(T::default());
        add_scaled(moved, noise, h * self.sde.drift_scale());
        if self.diagonal {
            self.sde.diagonal_milstein(t, x, b, slopes, span)?;
            add_scaled(moved, slopes, -0.5 * h);
            noise.fill(T::default());
            add_product(noise, b, dw);
            return Ok(());
        }
        self.sde.factor(t, x, b, span)?;
        apply_factor(b, dw, noise, width);
        let (d, m) = (self.sde.dim(), self.sde.n_wiener());
        let (jacobian, rest) = slopes.split_at_mut(d * m * d * width);
        let (sum, work) = rest.split_at_mut(n);
        self.sde.jacobian(t, x, jacobian, work, span)?;
        sum.fill(T::default());
        let row = |r: usize| r * width..(r + 1) * width;
        for i in 0..d {
            for j in 0..m {
                for k in 0..d {
                    add_product(&mut sum[row(i)], &jacobian[row((i * m + j) * d + k)], &b[row(k * m + j)]);
                }
            }
        }
        add_scaled(moved, sum, -0.5 * h);
        Ok(())
    }
}

/// What an evaluation gives, and works in.
struct Evaluated<'a, T> {
    moved: &'a mut [T],
    noise: &'a mut [T],
    b: &'a mut [T],
    slopes: &'a mut [T],
}

impl<T: Real> Stepper<T> for StratonovichHeun<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        let (factor, slopes) = self.noise_rows();
        5 * self.sde.dim() + factor + slopes
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        span.check(dw, self.sde.n_wiener(), "dw")?;
        let n = x.len();
        let (y, rest) = scratch.split_at_mut(n);
        let (moved, rest) = rest.split_at_mut(n);
        let (noise, rest) = rest.split_at_mut(n);
        let (moved_later, rest) = rest.split_at_mut(n);
        let (noise_later, rest) = rest.split_at_mut(n);
        let (b, slopes) = rest.split_at_mut(self.noise_rows().0 * span.width);
        self.evaluate(step, t, x, &mut Evaluated { moved, noise, b, slopes })?;
        assign_add_scaled(y, x, moved, 1.0);
        add_scaled(y, noise, 1.0);
        let mut later = Evaluated { moved: moved_later, noise: noise_later, b, slopes };
        self.evaluate(step, t + h, y, &mut later)?;
        add_two(x, moved, later.moved, 0.5, 0.5);
        add_two(x, noise, later.noise, 0.5, 0.5);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}
