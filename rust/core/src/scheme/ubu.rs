//! UBU for underdamped Langevin dynamics: exact free motion with friction and noise, and a kick in the middle.

use super::free_motion::FreeMotion;
use super::underdamped::{Rows, Splitting, phi1};
use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::combine_rows;
use crate::error::{Error, Result};
use crate::lanes::{Number, Real};

/// `U(h/2) B(h) U(h/2)`, with `U` the exact flow of `dX = V dt`, `dV = -γ V dt + S dW`.
///
/// Two U steps with nothing between them are one, so the noise is that of the position in the middle and of position
/// and velocity at the end: what they have of `ΔW`, of `∫ (W(s) - W(t)) ds` and of two residual normals.
pub struct Ubu<T: Real> {
    parts: Splitting<T>,
    /// What the position in the middle has of the velocity and of the four numbers of the noise.
    to_middle: [Rows; 5],
    /// What the position at the end has of velocity, gradient and noise.
    to_x: [Rows; 6],
    /// What the velocity at the end has of itself, the gradient and the noise.
    to_v: [Rows; 6],
    ones: Rows,
}

/// Squares of its inverse are numbers still.
const MOST_FRICTION: f64 = 1e100;

impl<T: Real> Ubu<T> {
    /// Steps of length `h`.
    pub fn new(sde: &dyn Sde<T>, h: f64) -> Result<Self> {
        let parts = Splitting::of(sde)?;
        if parts.by_friction(|g| g * h <= MOST_FRICTION).contains(&false) {
            let message = format!("friction/mass times dt is above {MOST_FRICTION:e} for dt = {h}; take a shorter one");
            return Err(Error::invalid("dt", message));
        }
        let half = 0.5 * h;
        let e = |g: f64, t: f64| Number::exp(-g * t);
        let glide = |g: f64, t: f64| t * phi1(-g * t);
        let motions = parts.by_friction(|g| FreeMotion::new(g, h));
        let noise = |pick: fn(&FreeMotion) -> [f64; 4]| -> [Rows; 4] {
            std::array::from_fn(|k| {
                let share: Rows = motions.iter().map(|motion| pick(motion)[k]).collect();
                parts.scaled_by_noise(&share)
            })
        };
        let [m0, m1, m2, m3] = noise(|of| of.middle);
        let [x0, x1, x2, x3] = noise(|of| of.position);
        let [v0, v1, v2, v3] = noise(|of| of.velocity);
        Ok(Self {
            to_middle: [parts.by_friction(|g| glide(g, half)), m0, m1, m2, m3],
            to_x: [parts.by_friction(|g| glide(g, h)), parts.by_mass(|g| -h * glide(g, half)), x0, x1, x2, x3],
            to_v: [parts.by_friction(|g| e(g, h)), parts.by_mass(|g| -h * e(g, half)), v0, v1, v2, v3],
            ones: vec![1.0; parts.d()],
            parts,
        })
    }
}

impl<T: Real> Stepper<T> for Ubu<T> {
    fn dim(&self) -> usize {
        2 * self.parts.d()
    }
    fn draws(&self) -> Draws {
        let wiener = self.parts.wiener();
        Draws { wiener, time_integrals: true, residuals: 2 * wiener, ..Draws::default() }
    }
    fn scratch_rows(&self) -> usize {
        2 * self.parts.d() + self.parts.noise_rows(4)
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (span, width) = (step.span, step.span.width);
        let rows = self.parts.d() * width;
        let (x, v) = x.split_at_mut(rows);
        let (middle, scratch) = scratch.split_at_mut(rows);
        let (g, scratch) = scratch.split_at_mut(rows);
        let (r1, r2) = step.beside.residuals.split_at(self.parts.wiener() * width);
        let [w, i, r1, r2] = self.parts.noise([step.dw, step.beside.time_integrals, r1, r2], scratch, span)?;
        let [of_v, of_w, of_i, of_r1, of_r2] = &self.to_middle;
        middle.copy_from_slice(x);
        combine_rows(middle, &self.ones, [(v, of_v), (w, of_w), (i, of_i), (r1, of_r1), (r2, of_r2)], width);
        self.parts.grad(middle, g, span)?;
        let [of_v, of_g, of_w, of_i, of_r1, of_r2] = &self.to_x;
        let terms = [(&*v, &**of_v), (g, of_g), (w, of_w), (i, of_i), (r1, of_r1), (r2, of_r2)];
        combine_rows(x, &self.ones, terms, width);
        let [of_v, of_g, of_w, of_i, of_r1, of_r2] = &self.to_v;
        combine_rows(v, of_v, [(g, of_g), (w, of_w), (i, of_i), (r1, of_r1), (r2, of_r2)], width);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.parts.needs_calling_thread()
    }
}
