//! SGD's stochastic modified equations with rates that differ between parameters or change in time, of order 1 and 2.

use super::{Linear, Sde};
use crate::block::Span;
use crate::elementwise::{add_scaled, scale, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::{Matrix, solve};
use crate::loss::{Loss, Quadratic};
use crate::noise::{Factor, GradientNoise, NoiseKind};
use crate::rates::Rates;
use std::sync::Arc;

/// How many times as far from 0 as the centre a fixed point may be: steps about one that is farther lose their digits.
const FAR: f64 = 1e6;

/// `dX = -[u R ∇f + λ u R X + (η/2) (u² R H R ∇f - u' R ∇f)] dt - √η u R S dW`, the bracket's last term at order 2.
///
/// `u(t)` is what the schedule leaves of the peak rate `η`, `R` what each parameter has of it. Li, Tai, E (2019) for
/// `R = 1`; in general order 2 asks for `b₁ = -½ (J b₀ + ∂_t b₀)` with `b₀ = -u R ∇f`.
pub struct ModifiedSgd<T: Real> {
    /// With an L2 penalty, where there is one.
    pub loss: Arc<dyn Loss<T>>,
    /// `-√(η/B) S`.
    pub noise: GradientNoise<T>,
    /// `u` and `R`.
    pub rates: Rates,
    /// `λ`, of decoupled decay.
    pub decay: f64,
    /// `η/2`, where the terms of order 2 are there. `ρ` in its place makes the drift of unnormalised SAM.
    pub curved: Option<f64>,
    /// The loss once more, where it is quadratic without a penalty.
    pub quadratic: Option<Quadratic<f64>>,
    constant: Option<Factor>,
}

impl<T: Real> ModifiedSgd<T> {
    /// The equation with these parts.
    pub fn new(
        loss: Arc<dyn Loss<T>>,
        noise: GradientNoise<T>,
        rates: Rates,
        decay: f64,
        curved: Option<f64>,
        quadratic: Option<Quadratic<f64>>,
    ) -> Self {
        let constant = noise.model().constant().filter(|_| rates.is_constant()).map(|factor| {
            let factor = factor.scaled(noise.scale());
            rates.relative().map_or_else(|| factor.clone(), |u| factor.scaled_rows(u))
        });
        Self { loss, noise, rates, decay, curved, quadratic, constant }
    }

    /// Multiplies the `d` rows of a vector, or the `d · per` rows of a matrix, by `R`.
    fn by_rates(&self, rows: &mut [T], per: usize, width: usize) {
        if let Some(relative) = self.rates.relative() {
            scale_rows(rows, relative, per * width);
        }
    }

    fn u(&self, t: f64) -> f64 {
        self.rates.at(t).0
    }

    /// The equation with a bowl for the loss; none where it has a centre but, with decay, no fixed point.
    fn linear_in(&self, bowl: &Quadratic<f64>) -> Option<Linear> {
        let (h, factor) = (bowl.matrix(), self.constant.clone()?);
        let d = h.rows();
        let scaled = Matrix::from_fn(d, d, |i, j| self.rates.of(i) * h[(i, j)]);
        let square = scaled.times(&scaled);
        let half = self.curved.unwrap_or(0.0);
        let pull = scaled.plus(half, &square);
        let center = bowl.center().map_or_else(|| vec![0.0; d], <[f64]>::to_vec);
        if self.decay == 0.0 {
            return Some(Linear { rate: pull, mean: center, factor });
        }
        // P (X - c) + λ R X = (P + λ R) (X - m), where (P + λ R) m = P c.
        let rates: Vec<f64> = (0..d).map(|i| self.rates.of(i)).collect();
        let rate = pull.plus(self.decay, &Matrix::of_diagonal(&rates));
        if bowl.center().is_none() {
            return Some(Linear { rate, mean: center, factor });
        }
        let force = pull.times(&Matrix::from_fn(d, 1, |i, _| center[i]));
        let mean = solve(&rate, force.as_slice())?;
        let size = |x: &[f64]| x.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        (size(&mean) <= FAR * size(&center)).then_some(Linear { rate, mean, factor })
    }
}

impl<T: Real> Sde<T> for ModifiedSgd<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        self.noise.n_wiener()
    }
    fn kind(&self) -> NoiseKind {
        match self.noise.model().kind() {
            // Rows scaled unlike no longer commute.
            NoiseKind::Commutative if self.rates.relative().is_some() => NoiseKind::Full,
            kind => kind,
        }
    }
    fn drift(&self, t: f64, x: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let width = span.width;
        let (u, slope) = self.rates.at(t);
        if let Some(half) = self.curved {
            self.loss.grad(x, scratch, span)?;
            self.by_rates(scratch, 1, width);
            self.loss.hess_vec(x, scratch, out, span)?;
            self.by_rates(out, 1, width);
            scale(out, half * u * u);
            add_scaled(out, scratch, u - half * slope);
        } else {
            self.loss.grad(x, out, span)?;
            self.by_rates(out, 1, width);
            if u != 1.0 {
                scale(out, u);
            }
        }
        if self.decay != 0.0 {
            for (i, (out, x)) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)).enumerate() {
                add_scaled(out, x, self.decay * u * self.rates.of(i));
            }
        }
        Ok(())
    }
    fn drift_scale(&self) -> f64 {
        -1.0
    }
    fn constant(&self) -> Option<&Factor> {
        self.constant.as_ref()
    }
    fn diagonal(&self, t: f64, x: &[T], b: &mut [T], span: Span) -> Result<()> {
        let c = self.noise.scale() * self.u(t);
        match self.noise.model().constant() {
            Some(factor) => {
                for (i, row) in b.chunks_exact_mut(span.width).take(self.dim()).enumerate() {
                    row.fill(T::from_f64(c * factor.entry(i, i)));
                }
            }
            None => self.noise.model().diagonal(x, T::from_f64(c), b, span)?,
        }
        self.by_rates(b, 1, span.width);
        Ok(())
    }
    fn has_jacobian(&self) -> bool {
        self.noise.model().has_jacobian()
    }
    fn has_own_slopes(&self) -> bool {
        self.noise.model().has_own_slopes()
    }
    fn diagonal_milstein(&self, t: f64, x: &[T], b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        let c = self.noise.scale() * self.u(t);
        self.noise.model().diagonal_milstein(x, T::from_f64(c), b, bdb, span)?;
        self.by_rates(b, 1, span.width);
        self.by_rates(bdb, 1, span.width);
        self.by_rates(bdb, 1, span.width);
        Ok(())
    }
    fn noise_rows(&self) -> usize {
        self.noise.scratch_rows()
    }
    fn noise(&self, t: f64, x: &[T], dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        self.noise.apply(x, self.u(t), dw, out, scratch, span)?;
        self.by_rates(out, 1, span.width);
        Ok(())
    }
    fn factor(&self, t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        self.noise.factor(x, self.u(t), f, span)?;
        self.by_rates(f, self.n_wiener(), span.width);
        Ok(())
    }
    fn jacobian(&self, t: f64, x: &[T], j: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let c = self.noise.scale() * self.u(t);
        self.noise.model().jacobian(x, T::from_f64(c), j, scratch, span)?;
        self.by_rates(j, self.n_wiener() * self.dim(), span.width);
        Ok(())
    }
    fn linear(&self) -> Option<Linear> {
        self.linear_in(self.quadratic.as_ref()?)
    }
    fn linear_part(&self) -> Option<Linear> {
        self.linear().or_else(|| self.linear_in(&self.loss.bowl()?))
    }
    fn mobility(&self) -> Option<Vec<f64>> {
        // Decay is the gradient of λ |x|²/2, and the term of order 2, R H R ∇f, is R times that of ∇f·R∇f/2.
        self.rates.is_constant().then(|| (0..self.loss.dim()).map(|i| self.rates.of(i)).collect())
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.model().needs_calling_thread()
    }
}
