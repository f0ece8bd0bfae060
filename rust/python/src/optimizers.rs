//! Optimizers from Python: the steppers of algorithms, and the equations that are theirs alone.

use crate::describe::{Problem, RunElement, builtin, entry, factor, problem, quadratic, vector};
use crate::errors::to_python;
use optsde_core::block::Span;
use optsde_core::dynamics::{
    Adaptive as AdaptiveSde, AdaptiveModel, ModifiedSgd, MomentumSde, Order, Ordering, Regime, Rule, Sde, SignRegime,
    SignSde,
};
use optsde_core::elementwise::add_product;
use optsde_core::ensemble::Complete;
use optsde_core::noise::{Gaussian, GradientNoise, Noise, Zero};
use optsde_core::optimizer::{
    Adaptive, Ascent, Averages, Clock, GaussianGradient, Momentum, MomentumSgd, Penalised, Sam, Sgd, SignSgd,
    StochasticGradient,
};
use optsde_core::rates::{Rates, Schedule};
use optsde_core::scheme::Stepper;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// An entry that may be None or absent.
fn optional<'py>(dict: &Bound<'py, PyDict>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(dict.get_item(key)?.filter(|value| !value.is_none()))
}

fn schedule(dict: &Bound<'_, PyDict>) -> PyResult<Schedule> {
    let kind: String = entry(dict, "kind")?;
    let number = |key: &str| entry::<f64>(dict, key);
    Ok(match kind.as_str() {
        "step" => Schedule::Step { start: number("start")?, every: number("every")?, factor: number("factor")? },
        "cosine" => Schedule::Cosine { start: number("start")?, end: number("end")?, total: number("total")? },
        "linear" => Schedule::Linear { start: number("start")?, end: number("end")?, total: number("total")? },
        "inverse_time" => Schedule::InverseTime { start: number("start")?, rate: number("rate")? },
        "piecewise" => Schedule::Piecewise { boundaries: vector(dict, "boundaries")?, values: vector(dict, "values")? },
        "warmup" => Schedule::Warmup {
            steps: number("steps")?,
            of: Box::new(schedule(&entry::<Bound<'_, PyDict>>(dict, "of")?)?),
        },
        _ => return Err(PyValueError::new_err(format!("lr: unknown schedule {kind:?}"))),
    })
}

/// The learning rates of a description, relative to the peak.
pub fn rates(dict: &Bound<'_, PyDict>) -> PyResult<Rates> {
    let relative = match optional(dict, "relative")? {
        Some(_) => Some(vector(dict, "relative")?),
        None => None,
    };
    let schedule = match optional(dict, "schedule")? {
        Some(of) => schedule(of.cast::<PyDict>().map_err(PyErr::from)?)?,
        None => Schedule::Constant,
    };
    Rates::new(relative, schedule, entry(dict, "time_per_step")?).map_err(to_python)
}

fn clock(dict: &Bound<'_, PyDict>) -> PyResult<Clock> {
    Ok(Clock { inner: entry(dict, "inner")? })
}

fn momentum(dict: &Bound<'_, PyDict>) -> PyResult<Momentum> {
    let given: Bound<'_, PyDict> = entry(dict, "momentum")?;
    Ok(match optional(&given, "r")? {
        Some(r) => Momentum::Varying(r.extract()?),
        None => Momentum::Constant(entry(&given, "beta")?),
    })
}

/// The stochastic gradient of a problem, `variance` times its covariance.
fn gradient<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Arc<dyn StochasticGradient<T>>> {
    let variance = entry(dict, "variance")?;
    let drawn = match crate::heavy_tails::gradient::<T>(dict, variance)? {
        None => crate::minibatch::gradient::<T>(dict, variance)?,
        drawn => drawn,
    };
    if let Some(gradient) = drawn {
        return Ok(Penalised::over(gradient, entry(dict, "l2")?));
    }
    let Problem { loss, noise, batch_size } = problem::<T>(dict)?;
    Ok(Arc::new(GaussianGradient::new(loss, noise, batch_size, variance)))
}

/// The algorithm of a description; None where it is no optimizer's of this file.
pub fn algorithm<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Option<Arc<dyn Stepper<T>>>> {
    let kind: String = entry(dict, "kind")?;
    let number = |key: &str| entry::<f64>(dict, key);
    let lr: f64 = number("lr")?;
    Ok(Some(match kind.as_str() {
        "sgd_algorithm" => {
            let clock = clock(dict)?;
            let (gradient, rates, decay) = (gradient::<T>(dict)?, rates(dict)?, number("decay")?);
            Arc::new(Sgd { gradient, rates, clock, lr: lr / clock.inner, decay })
        }
        "momentum_algorithm" => Arc::new(MomentumSgd {
            gradient: gradient::<T>(dict)?,
            rates: rates(dict)?,
            clock: clock(dict)?,
            lr,
            momentum: momentum(dict)?,
            nesterov: entry(dict, "nesterov")?,
            decay: number("decay")?,
        }),
        "adaptive_algorithm" => {
            let betas: Vec<f64> = entry(dict, "betas")?;
            let averages = match betas.as_slice() {
                [alpha] => Averages::Second(*alpha),
                [beta1, beta2] => Averages::Both { beta1: *beta1, beta2: *beta2, correction: entry(dict, "offsets")? },
                _ => return Err(PyValueError::new_err("betas: expected one or two")),
            };
            Arc::new(Adaptive {
                gradient: gradient::<T>(dict)?,
                rates: rates(dict)?,
                clock: clock(dict)?,
                lr: lr * number("step_scale")?,
                averages,
                eps: number("eps")?,
                decay: number("decay")?,
                fresh: entry(dict, "fresh")?,
                square: number("square")?,
            })
        }
        "sign_algorithm" => {
            Arc::new(SignSgd { gradient: gradient::<T>(dict)?, rates: rates(dict)?, clock: clock(dict)?, lr })
        }
        "sam_algorithm" => {
            let ascent: String = entry(dict, "ascent")?;
            let ascent = match ascent.as_str() {
                "usam" => Ascent::Plain,
                "dnsam" => Ascent::FullNorm(problem::<T>(dict)?.loss),
                _ => Ascent::Normalised,
            };
            let (gradient, rates) = (gradient::<T>(dict)?, rates(dict)?);
            Arc::new(Sam { gradient, rates, clock: clock(dict)?, lr, rho: number("rho")?, ascent })
        }
        _ => return Ok(None),
    }))
}

/// The equation of a description; None where it is no optimizer's of this file.
pub fn equation<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Option<Arc<dyn Sde<T>>>> {
    let kind: String = entry(dict, "kind")?;
    let number = |key: &str| entry::<f64>(dict, key);
    let exact = || -> PyResult<_> {
        let plain = number("l2")? == 0.0;
        Ok(if plain { quadratic(builtin(&entry::<Bound<'_, PyDict>>(dict, "loss")?)?) } else { None })
    };
    let second = || -> PyResult<bool> { Ok(entry::<usize>(dict, "order")? == 2) };
    Ok(Some(match kind.as_str() {
        "modified_sgd_sde" => {
            let Problem { loss, noise, batch_size } = problem::<T>(dict)?;
            let lr = number("lr")?;
            let noise = GradientNoise::new(noise, -(lr / batch_size).sqrt());
            let curved = second()?.then_some(0.5 * lr);
            Arc::new(ModifiedSgd::new(loss, noise, rates(dict)?, number("decay")?, curved, exact()?))
        }
        "usam_sde" => {
            let Problem { loss, .. } = problem::<T>(dict)?;
            let (lr, batch_size) = (number("lr")?, number("batch_size")?);
            let noise: Arc<dyn Noise<T>> = match optional(dict, "cov")? {
                Some(_) => Arc::new(Gaussian(factor(dict, "cov")?)),
                None => Arc::new(Zero(loss.dim())),
            };
            let noise = GradientNoise::new(noise, -(lr / batch_size).sqrt());
            let rho = Some(number("rho")?);
            Arc::new(ModifiedSgd::new(loss, noise, rates(dict)?, 0.0, rho, None))
        }
        "momentum_sde" => {
            let Problem { loss, noise, batch_size } = problem::<T>(dict)?;
            let eps = number("lr")?.sqrt();
            Arc::new(MomentumSde {
                loss,
                noise: GradientNoise::new(noise, -(eps / batch_size).sqrt()),
                rates: rates(dict)?,
                eps,
                friction: momentum(dict)?.friction(eps),
                nesterov: entry(dict, "nesterov")?,
                decay: number("decay")?,
                second: second()?,
                quadratic: exact()?,
            })
        }
        "rmsprop_sde" | "adam_sde" => Arc::new(adaptive::<T>(dict)?),
        "sign_sde" => {
            let Problem { loss, noise, batch_size } = problem::<T>(dict)?;
            let regime: String = entry(dict, "regime")?;
            let regime = if regime == "batch_equivalent" { SignRegime::BatchEquivalent } else { SignRegime::Ballistic };
            Arc::new(SignSde { loss, noise, batch_size, rates: rates(dict)?, lr: number("lr")?, regime })
        }
        _ => return Ok(None),
    }))
}

/// The equation of RMSprop or Adam.
fn adaptive<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<AdaptiveSde<T>> {
    let number = |key: &str| entry::<f64>(dict, key);
    let word = |key: &str| entry::<String>(dict, key);
    let averages: Vec<f64> = entry(dict, "rates")?;
    let rule = match averages.as_slice() {
        [c] => Rule::RmsProp { c: *c },
        [c1, c2] => Rule::Adam { c1: *c1, c2: *c2, correction: entry(dict, "offsets")? },
        _ => return Err(PyValueError::new_err("rates: expected one or two")),
    };
    let order = match entry::<usize>(dict, "order") {
        Ok(1) => Order::One,
        Ok(_) => Order::Two,
        Err(_) => Order::Corrected,
    };
    let model = AdaptiveModel {
        regime: if word("regime")? == "ballistic" { Regime::Ballistic } else { Regime::BatchEquivalent },
        tau: number("tau")?,
        lr: number("lr")?,
        rates: rates(dict)?,
        rule,
        eps: number("eps")?,
        decay: number("decay")?,
        ordering: if word("ordering")? == "fresh" { Ordering::Fresh } else { Ordering::Lagged },
        order,
        lookahead: entry(dict, "lookahead")?,
        floor: vector(dict, "floor")?,
        batch_size: number("batch_size")?,
    };
    let Problem { loss, noise, .. } = problem::<T>(dict)?;
    AdaptiveSde::new(model, loss, noise).map_err(to_python)
}

/// Starts second moments at `grad² + diag Σ/B`, and first moments at 0.
struct SecondMoment<T: RunElement>(Problem<T>);

impl<T: RunElement> Complete<T> for SecondMoment<T> {
    fn complete(&self, theta: &[T], rest: &mut [T], span: Span) -> optsde_core::error::Result<()> {
        let Problem { loss, noise, batch_size } = &self.0;
        let rows = loss.dim() * span.width;
        let (first, v) = rest.split_at_mut(rest.len() - rows);
        first.fill(T::default());
        noise.variances(theta, 1.0 / batch_size, v, span)?;
        optsde_core::workspace::with_workspace(rows, |g: &mut [T]| {
            loss.grad(theta, g, span)?;
            add_product(v, g, g);
            Ok(())
        })
    }
}

/// What makes the variables that a state of this dynamics is not given.
pub fn complete<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Arc<dyn Complete<T>>> {
    Ok(Arc::new(SecondMoment(problem::<T>(dict)?)))
}
