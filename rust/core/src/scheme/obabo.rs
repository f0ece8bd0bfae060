//! OBABO for underdamped Langevin dynamics: a step of velocity Verlet between two half steps of friction and noise.

use super::underdamped::{Rows, Splitting, phi1};
use super::{Draws, Step, Stepper};
use crate::block::Span;
use crate::dynamics::Sde;
use crate::elementwise::combine_rows;
use crate::error::Result;
use crate::lanes::{Number, Real};

/// `O(h/2) B(h/2) A(h) B(h/2) O(h/2)`.
///
/// The noise of the two O steps is `(ΔW ± Z)/2` with `Z = √3 (2 I/h - ΔW)`, `I = ∫ (W(s) - W(t)) ds`: independent, of
/// variance `h/2`, and as near to the increments of the halves as two numbers of the path allow. The scratch keeps the
/// gradient of the last kick, which is that of the next step's first.
pub struct Obabo<T: Real> {
    parts: Splitting<T>,
    /// What the position has of velocity, gradient, `ΔW` and `I`.
    to_x: [Rows; 4],
    /// What the velocity has of itself, the gradient, `ΔW` and `I`, before and after the second gradient.
    to_v: [[Rows; 4]; 2],
    ones: Rows,
}

impl<T: Real> Obabo<T> {
    /// Steps of length `h`.
    pub fn new(sde: &dyn Sde<T>, h: f64) -> Result<Self> {
        let parts = Splitting::of(sde)?;
        let half = 0.5 * h;
        let e = |g: f64| Number::exp(-g * half);
        let noise = |g: f64| phi1(-g * h).sqrt();
        let root = 3.0_f64.sqrt();
        // (ΔW ± Z)/2 as what it has of ΔW and of I.
        let halves = [[0.5 * (1.0 - root), root / h], [0.5 * (1.0 + root), -root / h]];
        Ok(Self {
            to_x: [
                parts.by_friction(|g| h * e(g)),
                parts.by_mass(|_| -h * half),
                parts.by_noise(|g| h * halves[0][0] * noise(g)),
                parts.by_noise(|g| h * halves[0][1] * noise(g)),
            ],
            to_v: [
                [
                    parts.by_friction(e),
                    parts.by_mass(|_| -half),
                    parts.by_noise(|g| halves[0][0] * noise(g)),
                    parts.by_noise(|g| halves[0][1] * noise(g)),
                ],
                [
                    parts.by_friction(e),
                    parts.by_mass(|g| -half * e(g)),
                    parts.by_noise(|g| halves[1][0] * noise(g)),
                    parts.by_noise(|g| halves[1][1] * noise(g)),
                ],
            ],
            ones: vec![1.0; parts.d()],
            parts,
        })
    }
}

impl<T: Real> Stepper<T> for Obabo<T> {
    fn dim(&self) -> usize {
        2 * self.parts.d()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.parts.wiener(), time_integrals: true, ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        self.parts.d() + self.parts.noise_rows(2)
    }
    fn begin(&self, x: &[T], scratch: &mut [T], span: Span) -> Result<()> {
        let rows = self.parts.d() * span.width;
        self.parts.grad(&x[..rows], &mut scratch[..rows], span)
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (span, width) = (step.span, step.span.width);
        let rows = self.parts.d() * width;
        let (x, v) = x.split_at_mut(rows);
        let (g, scratch) = scratch.split_at_mut(rows);
        let [w, integral] = self.parts.noise([step.dw, step.beside.time_integrals], scratch, span)?;
        let [of_v, of_g, of_w, of_i] = &self.to_x;
        combine_rows(x, &self.ones, [(v, of_v), (g, of_g), (w, of_w), (integral, of_i)], width);
        let [of_v, of_g, of_w, of_i] = &self.to_v[0];
        combine_rows(v, of_v, [(g, of_g), (w, of_w), (integral, of_i)], width);
        self.parts.grad(x, g, span)?;
        let [of_v, of_g, of_w, of_i] = &self.to_v[1];
        combine_rows(v, of_v, [(g, of_g), (w, of_w), (integral, of_i)], width);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.parts.needs_calling_thread()
    }
}
