//! RMSprop, Adam and AdamW: equations of orders 1 and 2, in two regimes.
//!
//! Order 1: Malladi, Lyu, Panigrahi & Arora, NeurIPS 2022 (batch-equivalent); Compagnoni et al., ICLR 2025 (ballistic).
//! Order 2: after an idea of Callisti, Romito & Triggiano 2025, with coefficients derived from the one-step conditions.

mod bend;
mod constants;
mod first;
mod noise;
mod preconditioner;
mod second;
mod stages;

pub use constants::{Order, Ordering, Regime, Rule};

use super::{Floor, Sde};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::Real;
use crate::linalg::Matrix;
use crate::loss::Loss;
use crate::noise::{Factor, Noise, NoiseKind};
use crate::rates::Rates;
use crate::workspace::with_workspace;
use constants::{Clock, Now};
use first::{Constants, First, Kick};
use noise::{DrivingNoise, Scales, each_column};
use preconditioner::{Precondition, Quantity};
use stages::Target;
use std::sync::Arc;

/// Hyperparameters, as rates of the continuous time.
#[derive(Clone, Debug)]
pub struct AdaptiveModel {
    /// The regime.
    pub regime: Regime,
    /// Time of a step of the algorithm.
    pub tau: f64,
    /// The largest learning rate: the unit of second moments in the batch-equivalent regime.
    pub lr: f64,
    /// Learning rates relative to that.
    pub rates: Rates,
    /// The algorithm and its averages.
    pub rule: Rule,
    /// What the algorithm adds to the root.
    pub eps: f64,
    /// The decoupled decay: the drift `-decay · u · θ`, per unit of time.
    pub decay: f64,
    /// Which second moment enters the update.
    pub ordering: Ordering,
    /// Which equation.
    pub order: Order,
    /// At order 1 of Adam: `m + τ c_1 (∇f - m)` in place of `m`, since the algorithm uses the new average.
    pub lookahead: bool,
    /// The least second moment of each coordinate in the preconditioner, in the algorithm's unit.
    pub floor: Vec<f64>,
    /// Examples in a batch.
    pub batch_size: f64,
}

/// An equation of the state `[θ; v]` (RMSprop) or `[θ; m; v]` (Adam), `m` and `v` in the unit of the algorithm.
pub struct Adaptive<T: Real> {
    model: AdaptiveModel,
    loss: Arc<dyn Loss<T>>,
    noise: DrivingNoise<T>,
    clock: Clock,
    kind: NoiseKind,
    /// Where the preconditioner ends, in the unit that the equation is computed in.
    floor: Vec<f64>,
    /// The factor of additive noise.
    constant: Option<Factor>,
}

fn positive(argument: &str, x: f64) -> Result<()> {
    if x.is_finite() && x > 0.0 { Ok(()) } else { Err(Error::invalid(argument, format!("{x} is not positive"))) }
}

impl<T: Real> Adaptive<T> {
    /// The equation of `model` for a loss, whose gradient contains any penalty, and the noise of one example's gradient.
    pub fn new(model: AdaptiveModel, loss: Arc<dyn Loss<T>>, noise: Arc<dyn Noise<T>>) -> Result<Self> {
        let d = loss.dim();
        positive("tau", model.tau)?;
        positive("lr", model.lr)?;
        positive("batch_size", model.batch_size)?;
        if !(model.eps.is_finite() && model.eps >= 0.0) {
            return Err(Error::invalid("eps", format!("{} is not a number from 0 on", model.eps)));
        }
        if !model.decay.is_finite() {
            return Err(Error::invalid("decay", format!("{} is not finite", model.decay)));
        }
        for (argument, len) in [
            ("noise", noise.dim()),
            ("floor", model.floor.len()),
            ("relative", model.rates.relative().map_or(d, <[f64]>::len)),
        ] {
            if len != d {
                return Err(Error::invalid(argument, format!("{len} parameters, but the loss has {d}")));
            }
        }
        if let Some(least) = model.floor.iter().find(|least| !(least.is_finite() && **least >= 0.0)) {
            return Err(Error::invalid("floor", format!("{least} is not a number from 0 on")));
        }
        check_order(&model, noise.as_ref())?;
        // Order 1 is computed in the unit of the algorithm, the others in that of the regime.
        let unit = match (model.regime, model.order) {
            (Regime::BatchEquivalent, Order::Two | Order::Corrected) => model.lr,
            _ => 1.0,
        };
        let clock = Clock::new(model.rule, model.tau, model.rates.clone(), unit * model.eps)?;
        let floor = model.floor.iter().map(|least| unit * unit * least).collect();
        // A step of the algorithm moves by lr z with Cov z = Σ / B, and has the Wiener increment of the time τ:
        // z = S ΔW / sqrt(τ B).
        let step = match model.regime {
            Regime::Ballistic => model.tau.sqrt(),
            Regime::BatchEquivalent => model.lr,
        };
        let (variances, squares) = (unit * unit / model.batch_size, model.order != Order::One);
        let scales = Scales {
            noise: step / model.batch_size.sqrt(),
            variances,
            squares: model.tau.sqrt() * variances,
            batch: model.batch_size,
        };
        let noise = DrivingNoise::new(noise, scales, squares)?;
        let kind = kind(&model, noise.model.as_ref());
        let constant = match (kind, model.rule) {
            (NoiseKind::AdditiveFull, Rule::Adam { c1, .. }) => noise.constant().map(|factor| {
                let of = |i: usize, j: usize| if i / d == 1 { c1 * factor.entry(i - d, j) } else { 0.0 };
                Factor::Lower(Matrix::from_fn(3 * d, noise.model.n_wiener(), of))
            }),
            _ => None,
        };
        Ok(Self { model, loss, noise, clock, kind, floor, constant })
    }

    /// Parameters.
    fn parameters(&self) -> usize {
        self.loss.dim()
    }

    /// The unit of the preconditioner: `sqrt(v)` and `ε` are `lr` times the algorithm's in the batch-equivalent regime.
    fn unit(&self) -> f64 {
        match self.model.regime {
            Regime::Ballistic => 1.0,
            Regime::BatchEquivalent => self.model.lr,
        }
    }

    /// The averages' rates: of `m`, where there is one, and of `v`.
    fn averages(&self) -> (Option<f64>, f64) {
        match self.model.rule {
            Rule::RmsProp { c } => (None, c),
            Rule::Adam { c1, c2, .. } => (Some(c1), c2),
        }
    }

    fn first_v(&self) -> usize {
        self.parameters() * if self.averages().0.is_some() { 2 } else { 1 }
    }

    /// The constants of a step of order 1.
    fn constants(&self, now: &Now, h: f64) -> Constants {
        let (first, second) = self.averages();
        let ahead = first.filter(|_| self.model.lookahead).map_or(0.0, |c1| self.model.tau * c1);
        Constants {
            speed: h * now.gamma / self.unit(),
            decay: h * self.model.decay * now.rate,
            first: first.map(|c1| h * c1),
            second: h * second,
            ahead,
            eps: now.eps,
            signal: self.model.regime == Regime::Ballistic,
        }
    }

    fn first<'a>(&'a self, constants: Constants, variances: Quantity<'a, T>, g: &'a [T], width: usize) -> First<'a, T> {
        First { constants, relative: self.clock.relative(), floor: &self.floor, variances, g, width }
    }

    /// Turns `z = R dw` in `z` into the noise of the state at order 1: `-Γ D z` of the parameters, or `c_1 z` of `m`.
    fn spread(&self, now: &Now, x: &[T], z: &[T], out: &mut [T], width: usize) {
        let len = self.parameters() * width;
        out.fill(T::default());
        if let Some(c1) = self.averages().0 {
            let out = &mut out[len..2 * len];
            out.copy_from_slice(&z[..len]);
            crate::elementwise::scale(out, c1);
        } else {
            let (scale, relative) = (-now.gamma / self.unit(), self.clock.relative());
            let (floor, v, out) = (&self.floor, &x[len..], &mut out[..len]);
            Precondition { scale, relative, floor, eps: now.eps, unit: 1.0, v, y: z, out, width }.apply();
        }
    }
}

fn check_order<T: Real>(model: &AdaptiveModel, noise: &dyn Noise<T>) -> Result<()> {
    let refused = match (model.order, model.regime) {
        (Order::One, _) => return Ok(()),
        (Order::Two, Regime::BatchEquivalent) => Some(
            "2 exists in the ballistic regime alone: in the batch-equivalent one no diffusion matches the joint third \
             cumulant of a step. \"corrected\" matches means and covariances there",
        ),
        (Order::Corrected, Regime::Ballistic) => {
            Some("\"corrected\" is for the batch-equivalent regime; in the ballistic one order 2 is exact")
        }
        _ if model.decay != 0.0 => Some("only order 1 is known with a decoupled decay"),
        _ if model.lookahead => Some("only order 1 has a lookahead; of the others it is a part"),
        _ => None,
    };
    if let Some(reason) = refused {
        return Err(Error::invalid("order", reason));
    }
    if noise.excess().is_infinite() {
        return Err(Error::invalid("order", "only order 1 is known for noise without fourth moments"));
    }
    let varies = noise.constant().is_none() && noise.kind() != NoiseKind::None;
    if varies && !noise.has_variances_along() {
        return Err(Error::invalid(
            "order",
            "only order 1 is known of noise without derivatives: a function has them with a jacobian, but not as kind \
             'diagonal_coupled', whose jacobian holds the derivatives by the own coordinates alone",
        ));
    }
    Ok(())
}

/// What is true of the noise. At order 1 that of Adam moves `m` alone, on which no coefficient depends, so it commutes;
/// that of RMSprop moves `θ`, on which `S(θ)` may depend. At order 2 that of Adam moves `m` and `v`, and depends on `θ`; all
/// others move what they depend on.
fn kind<T: Real>(model: &AdaptiveModel, noise: &dyn Noise<T>) -> NoiseKind {
    let (kind, constant) = (noise.kind(), noise.constant().is_some());
    match (model.order, model.rule) {
        _ if kind == NoiseKind::None => NoiseKind::None,
        (Order::One, Rule::Adam { .. }) if constant => NoiseKind::AdditiveFull,
        (Order::One, _) if noise.n_wiener() == 1 => NoiseKind::Scalar,
        (Order::One, Rule::RmsProp { .. }) if constant || kind == NoiseKind::Diagonal => NoiseKind::Commutative,
        (Order::One | Order::Two, Rule::Adam { .. }) => NoiseKind::Commutative,
        _ => NoiseKind::Full,
    }
}

impl<T: Real> Sde<T> for Adaptive<T> {
    fn dim(&self) -> usize {
        self.first_v() + self.parameters()
    }
    fn n_wiener(&self) -> usize {
        self.noise.model.n_wiener() + self.n_wiener_b()
    }
    fn n_wiener_b(&self) -> usize {
        if self.model.order == Order::One || self.kind == NoiseKind::None { 0 } else { self.parameters() }
    }
    fn floor(&self) -> Option<Floor> {
        // At order 1 no noise drives the second moment, which stays positive.
        (self.model.order != Order::One).then(|| Floor { first_row: self.first_v(), least: self.model.floor.clone() })
    }
    fn kind(&self) -> NoiseKind {
        self.kind
    }
    fn constant(&self) -> Option<&Factor> {
        self.constant.as_ref()
    }
    fn drift(&self, t: f64, x: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        if self.model.order != Order::One {
            return self.second(t, Target::Write(x, out), Some(1.0), None, span);
        }
        let len = self.parameters() * span.width;
        let (g, rest) = scratch.split_at_mut(len);
        self.loss.grad(&x[..len], g, span)?;
        let variances = self.noise.variances(&x[..len], rest, span)?;
        let constants = self.constants(&self.clock.at(t), 1.0);
        self.first(constants, variances, g, span.width).drift(x, out);
        Ok(())
    }
    fn noise(&self, t: f64, x: &[T], dw: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        if self.model.order != Order::One {
            return self.second(t, Target::Write(x, out), None, Some(dw), span);
        }
        let len = self.parameters() * span.width;
        let z = &mut scratch[..len];
        self.noise.apply(&x[..len], dw, z, span)?;
        self.spread(&self.clock.at(t), x, z, out, span.width);
        Ok(())
    }
    fn factor(&self, t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        if self.model.order != Order::One {
            return self.second_factor(t, x, f, span);
        }
        let (now, width, d, m) = (self.clock.at(t), span.width, self.parameters(), self.n_wiener());
        with_workspace((d * m + d) * width + x.len(), |work| {
            let (factor, rest) = work.split_at_mut(d * m * width);
            let (column, out) = rest.split_at_mut(d * width);
            self.noise.factor(&x[..d * width], factor, span)?;
            each_column(factor, m, column, width, |j, z| {
                self.spread(&now, x, z, out, width);
                for (i, row) in out.chunks_exact(width).enumerate() {
                    f[(i * m + j) * width..][..width].copy_from_slice(row);
                }
                Ok(())
            })
        })
    }
    fn has_euler_step(&self) -> bool {
        true
    }
    fn euler_step_rows(&self) -> usize {
        if self.model.order != Order::One {
            return 0;
        }
        let d = self.parameters();
        let kick = if self.kind == NoiseKind::None || self.noise.deviations().is_some() { 0 } else { d };
        d + self.noise.variance_rows() + kick
    }
    fn euler_step(&self, t: f64, h: f64, x: &mut [T], dw: &[T], scratch: &mut [T], span: Span) -> Result<()> {
        if self.model.order != Order::One {
            return self.second(t, Target::Advance(x), Some(h), Some(dw), span);
        }
        let len = self.parameters() * span.width;
        let (g, rest) = scratch.split_at_mut(len);
        let (variances, z) = rest.split_at_mut(self.noise.variance_rows() * span.width);
        self.loss.grad(&x[..len], g, span)?;
        let variances = self.noise.variances(&x[..len], variances, span)?;
        // The noise joins the gradient, whose coefficients are those of the drift times h.
        let constant = 1.0 / h;
        let kick = if self.kind == NoiseKind::None {
            None
        } else if let Some(deviations) = self.noise.deviations() {
            Some(Kick { rows: dw, constant, each: Some(deviations) })
        } else {
            let z = &mut z[..len];
            self.noise.apply(&x[..len], dw, z, span)?;
            Some(Kick { rows: z, constant, each: None })
        };
        let constants = self.constants(&self.clock.at(t), h);
        self.first(constants, variances, g, span.width).advance(x, kick);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.model.needs_calling_thread()
    }
}
