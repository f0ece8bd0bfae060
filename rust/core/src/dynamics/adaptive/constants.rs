//! The constants of the equations of RMSprop and Adam at a time: learning rate, bias corrections, their derivatives.

use crate::error::{Error, Result};
use crate::lanes::Number;
use crate::rates::Rates;

/// What stays fixed as the learning rate goes to 0, and with it the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// Noise and `(1 - β) / lr` stay; a step takes the time `lr`.
    Ballistic,
    /// `lr² Σ / B` and `(1 - β) / lr²` stay; a step takes the time `lr²`.
    BatchEquivalent,
}

/// Which second moment divides the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// That of the step before.
    Lagged,
    /// That of the step itself, as in every mainstream library.
    Fresh,
}

/// Which equation approximates the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Weak order 1: Malladi et al. 2022 (batch-equivalent), Compagnoni et al. 2025 (ballistic).
    One,
    /// Weak order 2, in the ballistic regime.
    Two,
    /// Means and covariances of a step to second order, in the batch-equivalent regime, where no equation has weak
    /// order 2.
    Corrected,
}

/// The algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// RMSprop.
    RmsProp {
        /// `(1 - α) / τ`.
        c: f64,
    },
    /// Adam, and AdamW.
    Adam {
        /// `(1 - β_1) / τ`.
        c1: f64,
        /// `(1 - β_2) / τ`.
        c2: f64,
        /// Bias correction by `1 - β_i^(k + p_i)` in step `k = 0, 1, …`, and `p_1, p_2`: 1, 1 in libraries.
        correction: Option<[f64; 2]>,
    },
}

/// `-ln(1 - x)` for `x` in [0, 1), by the series of the inverse hyperbolic tangent: the same bits on every machine.
fn minus_log_complement(x: f64) -> f64 {
    let (mut ratio, mut twos) = (x / (2.0 - x), 0.0);
    let mut rest = 1.0 - x;
    while rest < 0.7 {
        rest *= 2.0;
        twos += 1.0;
        ratio = (1.0 - rest) / (1.0 + rest);
    }
    let square = ratio * ratio;
    let series = (0..16).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    twos * std::f64::consts::LN_2 + 2.0 * ratio * series
}

/// `γ(t) = 1 - (1 - c τ)^(t / τ + p)`.
#[derive(Clone, Copy, Debug)]
struct Bias {
    /// `-ln(1 - c τ) / τ`; infinite where the average has no memory.
    lambda: f64,
    /// `p τ`.
    shift: f64,
}

impl Bias {
    fn new(c: f64, tau: f64, p: f64) -> Self {
        let lambda = if c * tau < 1.0 { minus_log_complement(c * tau) / tau } else { f64::INFINITY };
        Self { lambda, shift: p * tau }
    }

    /// The value, and the derivative by time.
    fn at(self, t: f64) -> (f64, f64) {
        if self.lambda.is_infinite() {
            return (1.0, 0.0);
        }
        let left: f64 = Number::exp(-self.lambda * (t + self.shift));
        (1.0 - left, self.lambda * left)
    }
}

/// The constants at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// What the schedule leaves of the learning rate.
    pub rate: f64,
    /// That times `sqrt(γ_2) / γ_1`.
    pub gamma: f64,
    /// Its derivative by time.
    pub gamma_slope: f64,
    /// What the denominator adds to the root, `ε sqrt(γ_2)`.
    pub eps: f64,
    /// Its derivative by time.
    pub eps_slope: f64,
}

/// The constants as functions of time.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    rates: Rates,
    eps: f64,
    bias: Option<[Bias; 2]>,
}

impl Clock {
    /// Of `rule`, with `eps` in the unit that the equation is computed in.
    pub fn new(rule: Rule, tau: f64, rates: Rates, eps: f64) -> Result<Self> {
        let average = |name: &str, c: f64| match c * tau {
            weight if weight > 0.0 && weight <= 1.0 + 1e-12 => Ok(()),
            weight => Err(Error::invalid(name, format!("{name} tau is {weight}, expected a number in (0, 1]"))),
        };
        let bias = match rule {
            Rule::RmsProp { c } => {
                average("c", c)?;
                None
            }
            Rule::Adam { c1, c2, correction } => {
                average("c1", c1)?;
                average("c2", c2)?;
                if correction.is_some_and(|p| p.iter().any(|p| !p.is_finite() || *p < 0.0)) {
                    return Err(Error::invalid("offsets", format!("got {correction:?}, expected numbers from 0 on")));
                }
                correction.map(|[p1, p2]| [Bias::new(c1, tau, p1), Bias::new(c2, tau, p2)])
            }
        };
        Ok(Self { rates, eps, bias })
    }

    /// The constants at time `t`.
    pub fn at(&self, t: f64) -> Now {
        let (rate, rate_slope) = self.rates.at(t);
        let Some([first, second]) = self.bias else {
            return Now { rate, gamma: rate, gamma_slope: rate_slope, eps: self.eps, eps_slope: 0.0 };
        };
        let ((g1, g1_slope), (g2, g2_slope)) = (first.at(t), second.at(t));
        let root = g2.sqrt();
        let (ratio, root_slope) = (root / g1, 0.5 * g2_slope / root);
        Now {
            rate,
            gamma: rate * ratio,
            gamma_slope: rate_slope * ratio + rate * (root_slope - ratio * g1_slope) / g1,
            eps: self.eps * root,
            eps_slope: self.eps * root_slope,
        }
    }

    /// What each parameter has of the learning rate; None where all are 1.
    pub fn relative(&self) -> Option<&[f64]> {
        self.rates.relative()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::Schedule;

    #[test]
    fn logarithms_are_right() {
        for x in [1e-12, 1e-3, 0.1, 0.29, 0.3, 0.31, 0.5, 0.9, 0.999, 1.0 - 1e-9] {
            let exact = -f64::ln_1p(-x);
            assert!((minus_log_complement(x) / exact - 1.0).abs() < 4e-16, "{x}");
        }
        assert_eq!(minus_log_complement(0.0), 0.0);
    }

    #[test]
    fn corrections_are_those_of_the_algorithm() -> Result<()> {
        let (tau, beta) = (1e-3, [0.9_f64, 0.999]);
        let [c1, c2] = beta.map(|beta| (1.0 - beta) / tau);
        let rates = Rates::new(None, Schedule::Constant, tau)?;
        let clock = Clock::new(Rule::Adam { c1, c2, correction: Some([1.0, 1.0]) }, tau, rates, 1.0)?;
        for k in [0, 1, 7, 1000] {
            let [g1, g2] = beta.map(|beta| 1.0 - beta.powi(k + 1));
            let now = clock.at(f64::from(k) * tau);
            assert!((now.gamma * g1 / g2.sqrt() - 1.0).abs() < 1e-12 && (now.eps / g2.sqrt() - 1.0).abs() < 1e-12);
        }
        Ok(())
    }

    /// Figures from a computation apart from this code.
    #[test]
    fn derivatives_are_those_of_the_oracle() -> Result<()> {
        for (p, gamma, gamma_slope) in
            [([2.0, 1.0], 0.8948754788, 0.0254206850), ([1.0, 1.0], 0.9254927145, -0.0338487423)]
        {
            let rates = Rates::new(None, Schedule::Constant, 0.125)?;
            let now = Clock::new(Rule::Adam { c1: 1.5, c2: 0.8, correction: Some(p) }, 0.125, rates, 1.0)?.at(1.0);
            assert!((now.gamma - gamma).abs() < 1e-10 && (now.gamma_slope - gamma_slope).abs() < 1e-10, "{now:?}");
            assert!((now.eps - 0.612_579_511_f64.sqrt()).abs() < 1e-10);
            assert!((2.0 * now.eps * now.eps_slope - 0.326_550_580).abs() < 1e-9);
        }
        Ok(())
    }

    #[test]
    fn an_average_without_memory_has_no_bias() -> Result<()> {
        let rates = Rates::new(None, Schedule::Constant, 0.1)?;
        let rule = Rule::Adam { c1: 10.0, c2: 10.0, correction: Some([1.0, 1.0]) };
        let now = Clock::new(rule, 0.1, rates.clone(), 1e-8)?.at(0.0);
        assert_eq!((now.gamma, now.gamma_slope, now.eps_slope), (1.0, 0.0, 0.0));
        assert!(Clock::new(Rule::RmsProp { c: 10.1 }, 0.1, rates, 0.0).is_err());
        Ok(())
    }
}
