//! Learning rates: a peak, what each parameter has of it, and what a schedule leaves of it at a step.

use crate::error::{Error, Result};
use crate::lanes::Number;

/// A learning rate as a function of the optimizer's step, relative to its largest value.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// 1.
    Constant,
    /// Multiplied by `factor` after every so many steps.
    Step {
        /// Value at step 0.
        start: f64,
        /// Steps between two drops.
        every: f64,
        /// What a drop leaves.
        factor: f64,
    },
    /// Half a cosine from `start` to `end` within `total` steps.
    Cosine {
        /// Value at step 0.
        start: f64,
        /// Value from `total` on.
        end: f64,
        /// Steps.
        total: f64,
    },
    /// A straight line from `start` to `end` within `total` steps.
    Linear {
        /// Value at step 0.
        start: f64,
        /// Value from `total` on.
        end: f64,
        /// Steps.
        total: f64,
    },
    /// `start / (1 + rate k)`.
    InverseTime {
        /// Value at step 0.
        start: f64,
        /// How fast it falls.
        rate: f64,
    },
    /// `values[i]` from `boundaries[i - 1]` on.
    Piecewise {
        /// First steps of the second, third, … value.
        boundaries: Vec<f64>,
        /// Values.
        values: Vec<f64>,
    },
    /// Another schedule times `min(1, (k + 1) / steps)`.
    Warmup {
        /// Steps until the whole rate.
        steps: f64,
        /// The schedule.
        of: Box<Schedule>,
    },
}

/// Steps closer than this to where a schedule jumps are on it: times are rounded numbers.
const SLACK: f64 = 1e-9;

impl Schedule {
    /// The value at a step, and its derivative by the step (that on the right, where there are two).
    pub fn at(&self, step: f64) -> (f64, f64) {
        match self {
            Schedule::Constant => (1.0, 0.0),
            Schedule::Step { start, every, factor } => {
                let drops = ((step + SLACK) / every).floor();
                let mut value = *start;
                // Products, not a power of the library's: the same bits everywhere.
                let mut left = drops as u64;
                let mut square = *factor;
                while left > 0 {
                    if left & 1 == 1 {
                        value *= square;
                    }
                    square *= square;
                    left >>= 1;
                }
                (value, 0.0)
            }
            Schedule::Cosine { start, end, total } => {
                if step >= total - SLACK {
                    return (*end, 0.0);
                }
                let rate = std::f64::consts::PI / total;
                let (sin, cos) = Number::sin_cos(rate * step);
                let half = 0.5 * (start - end);
                (end + half * (1.0 + cos), -half * rate * sin)
            }
            Schedule::Linear { start, end, total } => {
                if step >= total - SLACK {
                    return (*end, 0.0);
                }
                let slope = (end - start) / total;
                (start + slope * step, slope)
            }
            Schedule::InverseTime { start, rate } => {
                let value = start / (1.0 + rate * step);
                (value, -value * rate / (1.0 + rate * step))
            }
            Schedule::Piecewise { boundaries, values } => {
                let passed = boundaries.iter().filter(|b| step + SLACK >= **b).count();
                (values.get(passed).copied().unwrap_or(0.0), 0.0)
            }
            Schedule::Warmup { steps, of } => {
                let (value, slope) = of.at(step);
                let share = (step + 1.0) / steps;
                if share >= 1.0 - SLACK { (value, slope) } else { (share * value, share * slope + value / steps) }
            }
        }
    }
}

/// The learning rates of all parameters in time, relative to the peak.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Of each parameter; None where all are 1.
    relative: Option<Vec<f64>>,
    schedule: Schedule,
    /// Time of one optimizer step, in which the schedule counts.
    time_per_step: f64,
}

impl Rates {
    /// Rates with this clock.
    pub fn new(relative: Option<Vec<f64>>, schedule: Schedule, time_per_step: f64) -> Result<Self> {
        if time_per_step.is_nan() || time_per_step <= 0.0 {
            return Err(Error::invalid("time_per_step", format!("{time_per_step} is not positive")));
        }
        let relative = relative.filter(|u| u.iter().any(|u| *u != 1.0));
        Ok(Self { relative, schedule, time_per_step })
    }

    /// What the schedule leaves at time `t`, and its derivative by time.
    pub fn at(&self, t: f64) -> (f64, f64) {
        let (value, slope) = self.schedule.at(t / self.time_per_step);
        (value, slope / self.time_per_step)
    }

    /// What the schedule leaves at a step, and its derivative by the step.
    pub fn at_step(&self, step: f64) -> (f64, f64) {
        self.schedule.at(step)
    }

    /// What parameter `i` has of it.
    pub fn of(&self, i: usize) -> f64 {
        self.relative.as_ref().map_or(1.0, |u| u[i])
    }

    /// What each parameter has of it; None where all are 1.
    pub fn relative(&self) -> Option<&[f64]> {
        self.relative.as_deref()
    }

    /// Whether it stays the same in time.
    pub fn is_constant(&self) -> bool {
        self.schedule == Schedule::Constant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_derivatives() {
        let cosine = Schedule::Cosine { start: 1.0, end: 0.1, total: 30.0 };
        let list = [
            Schedule::Constant,
            cosine.clone(),
            Schedule::Linear { start: 1.0, end: 0.2, total: 50.0 },
            Schedule::InverseTime { start: 1.0, rate: 0.3 },
            Schedule::Warmup { steps: 20.0, of: Box::new(cosine) },
        ];
        for schedule in list {
            for step in [0.5, 3.0, 7.25, 24.0, 33.0, 70.0] {
                let d = 1e-5;
                let numeric = (schedule.at(step + d).0 - schedule.at(step - d).0) / (2.0 * d);
                assert!((schedule.at(step).1 - numeric).abs() < 1e-8, "{schedule:?} at {step}");
            }
        }
    }

    #[test]
    fn jumps_happen_on_their_steps() {
        let step = Schedule::Step { start: 1.0, every: 10.0, factor: 0.5 };
        assert_eq!([0.0, 9.0, 10.0 - 1e-12, 25.0, 30.0].map(|k| step.at(k).0), [1.0, 1.0, 0.5, 0.25, 0.125]);
        let pieces = Schedule::Piecewise { boundaries: vec![3.0, 8.0], values: vec![1.0, 0.5, 0.7] };
        assert_eq!([0.0, 2.0, 3.0, 7.9, 8.0, 100.0].map(|k| pieces.at(k).0), [1.0, 1.0, 0.5, 0.5, 0.7, 0.7]);
    }
}
