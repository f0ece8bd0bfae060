//! BAOAB for underdamped Langevin dynamics: kick, drift, friction and noise, drift, kick.

use super::underdamped::{Rows, Splitting, phi1};
use super::{Draws, Step, Stepper};
use crate::block::Span;
use crate::dynamics::Sde;
use crate::elementwise::{add_scaled_rows, combine_rows};
use crate::error::Result;
use crate::lanes::{Number, Real};

/// `B(h/2) A(h/2) O(h) A(h/2) B(h/2)`, the first four as one linear map of position, velocity, gradient and increment.
///
/// The scratch keeps the gradient of the last kick, which is that of the next step's first.
pub struct Baoab<T: Real> {
    parts: Splitting<T>,
    /// What the position has of velocity, gradient and noise.
    to_x: [Rows; 3],
    /// What the velocity has of itself, the gradient and the noise.
    to_v: [Rows; 3],
    kick: Rows,
    ones: Rows,
}

impl<T: Real> Baoab<T> {
    /// Steps of length `h`.
    pub fn new(sde: &dyn Sde<T>, h: f64) -> Result<Self> {
        let parts = Splitting::of(sde)?;
        let half = 0.5 * h;
        let e = |g: f64| Number::exp(-g * h);
        // The O step has the standard deviation sqrt((1 - e²)/(2 γ)) for a normal ΔW / sqrt(h).
        let noise = |g: f64| phi1(-2.0 * g * h).sqrt();
        Ok(Self {
            to_x: [
                parts.by_friction(|g| half * (1.0 + e(g))),
                parts.by_mass(|g| -half * half * (1.0 + e(g))),
                parts.by_noise(|g| half * noise(g)),
            ],
            to_v: [parts.by_friction(e), parts.by_mass(|g| -half * e(g)), parts.by_noise(noise)],
            kick: parts.by_mass(|_| -half),
            ones: vec![1.0; parts.d()],
            parts,
        })
    }
}

impl<T: Real> Stepper<T> for Baoab<T> {
    fn dim(&self) -> usize {
        2 * self.parts.d()
    }
    fn draws(&self) -> Draws {
        Draws { wiener: self.parts.wiener(), ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        self.parts.d() + self.parts.noise_rows(1)
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
        let [w] = self.parts.noise([step.dw], scratch, span)?;
        let [of_v, of_g, of_w] = &self.to_x;
        combine_rows(x, &self.ones, [(v, of_v), (g, of_g), (w, of_w)], width);
        let [of_v, of_g, of_w] = &self.to_v;
        combine_rows(v, of_v, [(g, of_g), (w, of_w)], width);
        self.parts.grad(x, g, span)?;
        add_scaled_rows(v, g, 1.0, &self.kick, width);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.parts.needs_calling_thread()
    }
}
