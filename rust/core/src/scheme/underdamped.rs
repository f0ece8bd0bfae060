//! What the splittings of underdamped Langevin dynamics share: between two gradients a step is linear in all it reads.

use crate::block::Span;
use crate::dynamics::{Sde, Underdamped};
use crate::error::{Error, Result};
use crate::lanes::{Number, Real};
use crate::linalg::LinearMap;
use crate::loss::Loss;
use crate::noise::Factor;
use std::sync::Arc;

/// Constants of each coordinate.
pub(super) type Rows = Vec<f64>;

/// An underdamped equation, prepared for steps of one length.
pub(super) struct Splitting<T: Real> {
    loss: Arc<dyn Loss<T>>,
    inverse_mass: Rows,
    friction: Rows,
    wiener: usize,
    noise: Noise<T>,
}

enum Noise<T: Real> {
    /// Deviations, which go into the constants of each coordinate.
    Diagonal(Rows),
    Full(LinearMap<T>),
}

impl<T: Real> Splitting<T> {
    /// The parts of `sde`.
    pub(super) fn of(sde: &dyn Sde<T>) -> Result<Self> {
        let Underdamped { loss, inverse_mass, friction, factor } =
            sde.underdamped().ok_or_else(|| Error::missing("an underdamped Langevin equation"))?;
        let noise = match factor {
            Factor::Diagonal(deviations) => Noise::Diagonal(deviations),
            Factor::Lower(lower) => Noise::Full(LinearMap::lower(&lower)),
        };
        Ok(Self { loss, inverse_mass, friction, wiener: sde.n_wiener(), noise })
    }

    /// Parameters.
    pub(super) fn d(&self) -> usize {
        self.inverse_mass.len()
    }

    /// Wiener processes.
    pub(super) fn wiener(&self) -> usize {
        self.wiener
    }

    /// What follows from the friction of each coordinate; neighbours alike share the work.
    pub(super) fn by_friction<U: Copy>(&self, f: impl Fn(f64) -> U) -> Vec<U> {
        let mut all: Vec<U> = Vec::with_capacity(self.d());
        for (i, g) in self.friction.iter().enumerate() {
            let same = i > 0 && self.friction[i - 1] == *g;
            all.push(if same { all[i - 1] } else { f(*g) });
        }
        all
    }

    /// Constants of what multiplies noise given by [`Splitting::noise`].
    pub(super) fn by_noise(&self, f: impl Fn(f64) -> f64) -> Rows {
        self.scaled_by_noise(&self.by_friction(f))
    }

    /// The same of constants at hand.
    pub(super) fn scaled_by_noise(&self, constants: &[f64]) -> Rows {
        match &self.noise {
            Noise::Diagonal(deviations) => constants.iter().zip(deviations).map(|(c, s)| c * s).collect(),
            Noise::Full(_) => constants.to_vec(),
        }
    }

    /// Constants of what multiplies the gradient.
    pub(super) fn by_mass(&self, f: impl Fn(f64) -> f64) -> Rows {
        self.by_friction(f).iter().zip(&self.inverse_mass).map(|(c, r)| c * r).collect()
    }

    /// Rows of scratch that [`Splitting::noise`] wants for so many blocks of noise.
    pub(super) fn noise_rows(&self, blocks: usize) -> usize {
        match &self.noise {
            Noise::Diagonal(_) => 0,
            Noise::Full(_) => blocks * self.d(),
        }
    }

    /// `S` times each block of noise, `wiener` rows each; deviations are left to the constants. Takes its part of the
    /// scratch and leaves the rest.
    pub(super) fn noise<'a, const K: usize>(
        &self,
        blocks: [&'a [T]; K],
        scratch: &'a mut [T],
        span: Span,
    ) -> Result<[&'a [T]; K]> {
        let Noise::Full(factor) = &self.noise else { return Ok(blocks) };
        let mut out = blocks;
        let parts = scratch.chunks_exact_mut(self.d() * span.width);
        for ((out, block), part) in out.iter_mut().zip(blocks).zip(parts) {
            factor.apply(block, part, span)?;
            *out = part;
        }
        Ok(out)
    }

    /// The gradient at `x`.
    pub(super) fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.loss.grad(x, out, span)
    }

    /// Whether the loss calls Python.
    pub(super) fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread()
    }
}

/// `(e^z - 1)/z`.
pub(super) fn phi1(z: f64) -> f64 {
    if z.abs() < SMALL { series(z, 1) } else { (Number::exp(z) - 1.0) / z }
}

/// `(e^z - 1 - z)/z²`.
pub(super) fn phi2(z: f64) -> f64 {
    if z.abs() < SMALL { series(z, 2) } else { (Number::exp(z) - 1.0 - z) / (z * z) }
}

/// Where the closed forms lose too many digits.
const SMALL: f64 = 1.0;

/// `Σ z^j / (j + k)!`.
fn series(z: f64, k: u32) -> f64 {
    let first = (1..=k).map(f64::from).product::<f64>();
    let (mut term, mut sum) = (1.0 / first, 0.0);
    for j in 1..=20 {
        sum += term;
        term *= z / f64::from(j + k);
    }
    sum
}
