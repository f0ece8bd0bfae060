//! The stochastic modified equations of momentum: heavy ball and Nesterov, of order 1 and 2 (Li, Tai, E 2019).

use super::{Linear, Sde, Underdamped};
use crate::block::Span;
use crate::elementwise::{add_scaled, scale, scale_rows};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::Matrix;
use crate::loss::{Loss, Quadratic};
use crate::noise::{Factor, GradientNoise, NoiseKind};
use crate::rates::Rates;
use std::sync::Arc;

/// How fast the velocity dies out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Friction {
    /// `μ = (1 - β) / √η`.
    Constant(f64),
    /// `r / t`: Nesterov's `β_k = (k - 1) / (k + r - 1)`.
    Varying(f64),
}

/// `X` and its velocity `V`, in the time `t = k ε`, `ε = √η`.
///
/// With `u(t)` what the schedule leaves of the rate and `R` what each parameter has of it, one step of the algorithm is
/// `V' = V - ε (μ V + R ∇f)`, `X' = X + ε u V'`, with Nesterov's gradient at `X + ε u V`. So
///
/// ```text
/// order 1   b₀ = (u V, -μ V - R ∇f),  noise -√ε R S dW in V
/// order 2   + ε b₁:  b₁ˣ = -½ u (μ V + R ∇f) - ½ u' V     (Nesterov: -3/2 u' V)
///                    b₁ᵛ = ν V - ½ μ R ∇f ± ½ u R H V      (+ heavy ball, - Nesterov)
/// ```
///
/// with `ν = -μ²/2`, or `r (r - 3) / (2 t²)` for varying friction, by `b₁ = c - ½ (J b₀ + ∂_t b₀)`. For `u = R = 1` these
/// are the published equations.
pub struct MomentumSde<T: Real> {
    /// With an L2 penalty, where there is one.
    pub loss: Arc<dyn Loss<T>>,
    /// `-√(ε/B) S`.
    pub noise: GradientNoise<T>,
    /// `u` and `R`.
    pub rates: Rates,
    /// `ε`.
    pub eps: f64,
    /// `μ` or `r`.
    pub friction: Friction,
    /// Whether the gradient is taken ahead.
    pub nesterov: bool,
    /// Decoupled decay `λ`: `-ε λ u R X` in the drift of `X`.
    pub decay: f64,
    /// Whether the terms of order 2 are there.
    pub second: bool,
    /// The loss once more, where it is quadratic without a penalty.
    pub quadratic: Option<Quadratic<f64>>,
}

/// The numbers of an instant.
struct Instant {
    u: f64,
    slope: f64,
    mu: f64,
    /// `ν`.
    nu: f64,
    /// What multiplies `R ∇f` at order 1: less than 1 only at time 0, where `V = 0` and `μ V` has a limit.
    pull: f64,
}

impl<T: Real> MomentumSde<T> {
    fn at(&self, t: f64) -> Instant {
        let (u, slope) = self.rates.at(t);
        match self.friction {
            Friction::Constant(mu) => Instant { u, slope, mu, nu: -0.5 * mu * mu, pull: 1.0 },
            Friction::Varying(r) if t > 0.0 => {
                Instant { u, slope, mu: r / t, nu: 0.5 * r * (r - 3.0) / (t * t), pull: 1.0 }
            }
            // V ~ -t ∇f / (r + 1) near 0.
            Friction::Varying(r) => Instant { u, slope, mu: 0.0, nu: 0.0, pull: 1.0 / (r + 1.0) },
        }
    }

    fn by_rates(&self, rows: &mut [T], per: usize, width: usize) {
        if let Some(relative) = self.rates.relative() {
            scale_rows(rows, relative, per * width);
        }
    }

    /// The equation with a bowl for the loss, without decay.
    fn linear_in(&self, bowl: &Quadratic<f64>) -> Option<Linear> {
        let constant = self.noise.model().constant()?;
        let Friction::Constant(mu) = self.friction else { return None };
        if !self.rates.is_constant() {
            return None;
        }
        let (h, d) = (bowl.matrix(), self.loss.dim());
        let half = if self.second { 0.5 * self.eps } else { 0.0 };
        let sign = if self.nesterov { -half } else { half };
        let scaled = |i: usize, j: usize| self.rates.of(i) * h[(i, j)];
        let unit = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let rate = Matrix::from_fn(2 * d, 2 * d, |i, j| match (i < d, j < d) {
            (true, true) => half * scaled(i, j),
            (true, false) => (half * mu - 1.0) * unit(i, j - d),
            (false, true) => (1.0 + half * mu) * scaled(i - d, j),
            (false, false) => mu * (1.0 + half * mu) * unit(i, j) - sign * scaled(i - d, j - d),
        });
        let mut mean = bowl.center().map_or_else(|| vec![0.0; d], <[f64]>::to_vec);
        mean.resize(2 * d, 0.0);
        let m = self.n_wiener();
        let entry = |i: usize, j: usize| {
            if i < d { 0.0 } else { self.noise.scale() * self.rates.of(i - d) * constant.entry(i - d, j) }
        };
        Some(Linear { rate, mean, factor: Factor::Lower(Matrix::from_fn(2 * d, m, entry)) })
    }
}

impl<T: Real> Sde<T> for MomentumSde<T> {
    fn dim(&self) -> usize {
        2 * self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        self.noise.n_wiener()
    }
    fn kind(&self) -> NoiseKind {
        match self.noise.n_wiener() {
            0 => NoiseKind::None,
            _ if self.noise.is_constant() => NoiseKind::AdditiveFull,
            1 => NoiseKind::Scalar,
            // Noise enters V alone and depends on X alone: L^i b^j = 0.
            _ => NoiseKind::Commutative,
        }
    }
    fn drift(&self, t: f64, x: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let rows = self.loss.dim() * span.width;
        let (theta, v) = x.split_at(rows);
        let (dx, dv) = out.split_at_mut(rows);
        let Instant { u, slope, mu, nu, pull } = self.at(t);
        self.loss.grad(theta, dv, span)?;
        self.by_rates(dv, 1, span.width);
        dx.copy_from_slice(&v[..rows]);
        if self.second {
            let eps = self.eps;
            let turn = if self.nesterov { 1.5 } else { 0.5 };
            scale(dx, u - eps * (0.5 * u * mu + turn * slope));
            add_scaled(dx, dv, -0.5 * eps * u);
            scale(dv, -(1.0 + 0.5 * eps * mu));
            add_scaled(dv, v, eps * nu - mu);
            let curved = &mut scratch[..rows];
            self.loss.hess_vec(theta, v, curved, span)?;
            self.by_rates(curved, 1, span.width);
            add_scaled(dv, curved, if self.nesterov { -0.5 } else { 0.5 } * eps * u);
        } else {
            if u != 1.0 {
                scale(dx, u);
            }
            scale(dv, -pull);
            add_scaled(dv, v, -mu);
        }
        if self.decay != 0.0 {
            for (i, (out, x)) in dx.chunks_exact_mut(span.width).zip(theta.chunks_exact(span.width)).enumerate() {
                add_scaled(out, x, -self.eps * self.decay * u * self.rates.of(i));
            }
        }
        Ok(())
    }
    fn noise_rows(&self) -> usize {
        self.noise.scratch_rows()
    }
    fn noise(&self, _t: f64, x: &[T], dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let rows = self.loss.dim() * span.width;
        let (still, moved) = out.split_at_mut(rows);
        still.fill(T::default());
        self.noise.apply(&x[..rows], 1.0, dw, moved, scratch, span)?;
        self.by_rates(moved, 1, span.width);
        Ok(())
    }
    fn factor(&self, _t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        let (d, m, width) = (self.loss.dim(), self.n_wiener(), span.width);
        let (still, moved) = f.split_at_mut(d * m * width);
        still.fill(T::default());
        self.noise.factor(&x[..d * width], 1.0, moved, span)?;
        self.by_rates(moved, m, width);
        Ok(())
    }
    fn linear(&self) -> Option<Linear> {
        if self.decay == 0.0 { self.linear_in(self.quadratic.as_ref()?) } else { None }
    }
    fn linear_part(&self) -> Option<Linear> {
        self.linear().or_else(|| self.linear_in(&self.loss.bowl()?))
    }
    fn underdamped(&self) -> Option<Underdamped<T>> {
        let (Friction::Constant(mu), Some(constant)) = (self.friction, self.noise.model().constant()) else {
            return None;
        };
        if !self.rates.is_constant() || self.decay != 0.0 || self.second {
            return None;
        }
        let relative: Vec<f64> = (0..self.loss.dim()).map(|i| self.rates.of(i)).collect();
        Some(Underdamped {
            loss: self.loss.clone(),
            factor: constant.scaled(self.noise.scale()).scaled_rows(&relative),
            inverse_mass: relative,
            friction: vec![mu; self.loss.dim()],
        })
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.model().needs_calling_thread()
    }
}
