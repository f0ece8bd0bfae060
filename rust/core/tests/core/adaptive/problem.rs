//! A problem of two parameters with every derivative; and blocks of one point.

use optsde_core::block::Span;
use optsde_core::dynamics::{Adaptive, AdaptiveModel, Order, Ordering, Regime, Rule, Sde};
use optsde_core::error::Result;
use optsde_core::lanes::Number;
use optsde_core::linalg::Matrix;
use optsde_core::loss::{Formula, Loss, PointLoss};
use optsde_core::noise::{Factor, Gaussian, Noise, NoiseKind, Zero};
use optsde_core::rates::{Rates, Schedule};
use std::sync::Arc;

/// `½ θᵀ A θ + (q/4)(θ_1⁴ + θ_2⁴) + p θ_1² θ_2 + (r/2) θ_1² θ_2² + (first/4) θ_1⁴`.
#[derive(Clone, Copy, Debug)]
pub struct Well {
    pub a: [[f64; 2]; 2],
    pub q: f64,
    pub p: f64,
    pub r: f64,
    pub first: f64,
}

pub const ORACLE: Well = Well { a: [[1.2, 0.4], [0.4, 0.8]], q: 0.10, p: 0.15, r: 0.0, first: 0.0 };

impl Formula for Well {
    fn dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn value<N: Number>(&self, x: &impl Fn(usize) -> N) -> N {
        let (x, y) = (x(0), x(1));
        let c = N::constant;
        let square = c(0.5 * self.a[0][0]) * x * x + c(self.a[0][1]) * x * y + c(0.5 * self.a[1][1]) * y * y;
        let quartic = c(0.25 * self.q) * (x * x * x * x + y * y * y * y) + c(0.5 * self.r) * x * x * y * y;
        square + quartic + c(self.p) * x * x * y + c(0.25 * self.first) * x * x * x * x
    }
    #[inline(always)]
    fn grad<N: Number>(&self, x: &impl Fn(usize) -> N, out: &mut impl FnMut(usize, N)) {
        let (x, y) = (x(0), x(1));
        let c = N::constant;
        let quartic = |x: N, y: N| c(self.q) * x * x * x + c(self.r) * x * y * y;
        out(
            0,
            c(self.a[0][0]) * x
                + c(self.a[0][1]) * y
                + quartic(x, y)
                + c(2.0 * self.p) * x * y
                + c(self.first) * x * x * x,
        );
        out(1, c(self.a[0][1]) * x + c(self.a[1][1]) * y + quartic(y, x) + c(self.p) * x * x);
    }
}

pub type Vector = [f64; 2];
pub type Square = [[f64; 2]; 2];

/// The loss and a covariance `s0 + curl θ θᵀ`, both in the unit of the equation.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    pub loss: Well,
    pub s0: Square,
    pub curl: f64,
}

pub const PROBLEM: Problem = Problem { loss: ORACLE, s0: [[0.30, 0.08], [0.08, 0.20]], curl: 0.1 };

impl Problem {
    pub fn grad(&self, x: Vector) -> Vector {
        let mut g = [0.0; 2];
        PointLoss::grad(&self.loss, &x, &mut g).unwrap();
        g
    }
    pub fn hessian(&self, x: Vector) -> Square {
        let mut h = [0.0; 4];
        PointLoss::hessian(&self.loss, &x, &mut h).unwrap();
        [[h[0], h[1]], [h[2], h[3]]]
    }
    /// `Σ_jk S_jk ∂_i∂_j∂_k f`.
    pub fn third(&self, x: Vector, s: Square) -> Vector {
        let mut out = [0.0; 2];
        PointLoss::third(&self.loss, &x, &[s[0][0], s[0][1], s[1][0], s[1][1]], &mut out).unwrap();
        out
    }
    pub fn sigma(&self, x: Vector) -> Square {
        square(|i, j| self.s0[i][j] + self.curl * x[i] * x[j])
    }
    /// `∂_k Σ`.
    pub fn sigma_slope(&self, x: Vector, k: usize) -> Square {
        let unit = |i: usize| if i == k { 1.0 } else { 0.0 };
        square(|i, j| self.curl * (unit(i) * x[j] + x[i] * unit(j)))
    }
    /// `∂_k∂_l Σ`.
    pub fn sigma_curve(&self, k: usize, l: usize) -> Square {
        let unit = |i: usize, k: usize| if i == k { 1.0 } else { 0.0 };
        square(|i, j| self.curl * (unit(i, k) * unit(j, l) + unit(i, l) * unit(j, k)))
    }
}

pub fn square(f: impl Fn(usize, usize) -> f64) -> Square {
    [[f(0, 0), f(0, 1)], [f(1, 0), f(1, 1)]]
}

/// The lower factor.
pub fn root(s: Square) -> Square {
    let a = s[0][0].sqrt();
    let b = if a > 0.0 { s[1][0] / a } else { 0.0 };
    [[a, 0.0], [b, (s[1][1] - b * b).max(0.0).sqrt()]]
}

/// The covariance of a [`Problem`] as a noise model, times a constant.
pub struct Curled {
    pub problem: Problem,
    pub times: f64,
}

impl Noise<f64> for Curled {
    fn dim(&self) -> usize {
        2
    }
    fn n_wiener(&self) -> usize {
        2
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Full
    }
    fn has_jacobian(&self) -> bool {
        false
    }
    fn has_variances_along(&self) -> bool {
        true
    }
    fn factor(&self, x: &[f64], scale: f64, f: &mut [f64], span: Span) -> Result<()> {
        for p in 0..span.width {
            let s = self.problem.sigma([x[p], x[span.width + p]]);
            let root = root(square(|i, j| self.times * s[i][j]));
            for r in 0..4 {
                f[r * span.width + p] = scale * root[r / 2][r % 2];
            }
        }
        Ok(())
    }
    fn variances_along(&self, x: &[f64], v: &[f64], scale: f64, out: &mut [f64], span: Span) -> Result<()> {
        for p in 0..span.width {
            for i in 0..2 {
                let slopes = (0..2)
                    .map(|k| v[k * span.width + p] * self.problem.sigma_slope([x[p], x[span.width + p]], k)[i][i]);
                out[i * span.width + p] = scale * self.times * slopes.sum::<f64>();
            }
        }
        Ok(())
    }
}

/// An equation in the units of section 12.1, where `v`, `eps` and the covariance are those of the regime.
#[derive(Clone, Debug)]
pub struct Case {
    pub problem: Problem,
    pub regime: Regime,
    pub rule: Rule,
    pub ordering: Ordering,
    pub tau: f64,
    pub eps: f64,
    pub floor: f64,
    pub relative: Vector,
    pub schedule: Schedule,
    pub noise: bool,
}

pub const RMSPROP: Rule = Rule::RmsProp { c: 0.8 };
pub fn adam(offsets: [f64; 2]) -> Rule {
    Rule::Adam { c1: 1.5, c2: 0.8, correction: Some(offsets) }
}

impl Case {
    pub fn new(rule: Rule, regime: Regime, ordering: Ordering) -> Self {
        let (relative, schedule) = ([1.0; 2], Schedule::Constant);
        let (tau, eps, floor) = (0.125, 0.05, 1e-3);
        Self { problem: PROBLEM, regime, rule, ordering, tau, eps, floor, relative, schedule, noise: true }
    }
    pub fn constant(mut self) -> Self {
        self.problem.curl = 0.0;
        self
    }
    pub fn silent(mut self) -> Self {
        self.problem.curl = 0.0;
        self.problem.s0 = [[0.0; 2]; 2];
        self.noise = false;
        self
    }
    /// A schedule that falls smoothly, and another rate for each parameter.
    pub fn scheduled(mut self) -> Self {
        self.relative = [1.0, 0.6];
        self.schedule = Schedule::InverseTime { start: 1.0, rate: 0.4 * self.tau };
        self
    }
    pub fn is_adam(&self) -> bool {
        matches!(self.rule, Rule::Adam { .. })
    }
    pub fn is_ballistic(&self) -> bool {
        self.regime == Regime::Ballistic
    }
    pub fn is_fresh(&self) -> bool {
        self.ordering == Ordering::Fresh
    }
    /// `lr`, by which the regime's units differ from the algorithm's.
    pub fn unit(&self) -> f64 {
        if self.is_ballistic() { 1.0 } else { self.tau.sqrt() }
    }
    pub fn rates(&self) -> Rates {
        Rates::new(Some(self.relative.to_vec()), self.schedule.clone(), self.tau).unwrap()
    }
    pub fn model(&self, order: Order) -> AdaptiveModel {
        let unit = self.unit();
        AdaptiveModel {
            regime: self.regime,
            tau: self.tau,
            lr: if self.is_ballistic() { self.tau } else { unit },
            rates: self.rates(),
            rule: self.rule,
            eps: self.eps / unit,
            decay: 0.0,
            ordering: self.ordering,
            order,
            lookahead: false,
            floor: vec![self.floor / (unit * unit); 2],
            batch_size: 3.0,
        }
    }
    /// The noise of one example, of which a batch has three.
    pub fn noise(&self) -> Arc<dyn Noise<f64>> {
        let times = 3.0 / (self.unit() * self.unit());
        if !self.noise {
            return Arc::new(Zero(2));
        }
        if self.problem.curl != 0.0 {
            return Arc::new(Curled { problem: self.problem, times });
        }
        let cov = Matrix::from_fn(2, 2, |i, j| times * self.problem.s0[i][j]);
        Arc::new(Gaussian(Factor::of_covariance(&cov).unwrap()))
    }
    pub fn loss(&self) -> Arc<dyn Loss<f64>> {
        Arc::new(self.problem.loss)
    }
    pub fn sde(&self, order: Order) -> Result<Arc<Adaptive<f64>>> {
        Adaptive::new(self.model(order), self.loss(), self.noise()).map(Arc::new)
    }
    /// From the regime's unit to the algorithm's, by row.
    pub fn units(&self) -> Vec<f64> {
        let rest = if self.is_adam() { 4 } else { 2 };
        (0..rest + 2).map(|i| if i < rest { 1.0 } else { 1.0 / (self.unit() * self.unit()) }).collect()
    }
    /// The point of section 12.1.
    pub fn point(&self) -> Vec<f64> {
        if self.is_adam() { vec![0.7, -0.5, 0.3, 0.6, 0.5, 0.35] } else { vec![0.7, -0.5, 0.5, 0.35] }
    }
}

const SPAN: Span = Span { n: 1, width: 16 };

/// Every lane at the same point.
pub fn block(x: &[f64]) -> Vec<f64> {
    x.iter().flat_map(|x| [*x; SPAN.width]).collect()
}

fn first_lane(rows: &[f64]) -> Vec<f64> {
    rows.iter().step_by(SPAN.width).copied().collect()
}

/// The drift at a point, in the regime's unit.
pub fn drift(case: &Case, sde: &dyn Sde<f64>, t: f64, x: &[f64]) -> Vec<f64> {
    let units = case.units();
    let x: Vec<f64> = x.iter().zip(&units).map(|(x, u)| x * u).collect();
    let (mut out, mut scratch) = (block(&x), block(&x));
    sde.drift(t, &block(&x), &mut out, &mut scratch, SPAN).unwrap();
    first_lane(&out).iter().zip(&units).map(|(b, u)| b / u).collect()
}

/// The factor at a point in the regime's unit, row after row. What [`Sde::noise`] does must be the same.
pub fn factor(case: &Case, sde: &dyn Sde<f64>, t: f64, x: &[f64]) -> Vec<Vec<f64>> {
    let units = case.units();
    let x: Vec<f64> = x.iter().zip(&units).map(|(x, u)| x * u).collect();
    let (d, m) = (sde.dim(), sde.n_wiener());
    let mut f = vec![0.0; d * m * SPAN.width];
    sde.factor(t, &block(&x), &mut f, SPAN).unwrap();
    let f = first_lane(&f);
    for j in 0..m {
        let dw: Vec<f64> = (0..m).map(|k| if k == j { 1.0 } else { 0.0 }).collect();
        let (mut out, mut scratch) = (vec![f64::NAN; d * SPAN.width], vec![0.0; d * m * SPAN.width]);
        sde.noise(t, &block(&x), &block(&dw), &mut out, &mut scratch, SPAN).unwrap();
        for (i, out) in first_lane(&out).iter().enumerate() {
            assert!((out - f[i * m + j]).abs() < 1e-14, "({i}, {j}): {out} {}", f[i * m + j]);
        }
    }
    (0..d).map(|i| (0..m).map(|j| f[i * m + j] / units[i]).collect()).collect()
}

/// An Euler–Maruyama step, in the regime's unit.
pub fn euler(case: &Case, sde: Arc<dyn Sde<f64>>, t: f64, h: f64, x: &[f64], dw: &[f64]) -> Vec<f64> {
    use optsde_core::scheme::{Beside, Step, StepAddress, stepper};
    let units = case.units();
    let scaled: Vec<f64> = x.iter().zip(&units).map(|(x, u)| x * u).collect();
    let scheme = stepper("euler_maruyama", sde, h).unwrap();
    let (mut x, mut scratch) = (block(&scaled), vec![0.0; scheme.scratch_rows() * SPAN.width]);
    let at = StepAddress { key: 0, first_path: 0, cell: 0, cells: 1, antithetic: false };
    let step = Step { t, h, dw: &block(dw), beside: Beside::default(), at, span: SPAN };
    scheme.step(&step, &mut x, &mut scratch).unwrap();
    first_lane(&x).iter().zip(&units).map(|(x, u)| x / u).collect()
}

pub fn product(f: &[Vec<f64>]) -> Vec<Vec<f64>> {
    f.iter().map(|a| f.iter().map(|b| a.iter().zip(b).map(|(a, b)| a * b).sum()).collect()).collect()
}

#[track_caller]
pub fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(error <= tolerance, "{error:e}: {found:?} is not {expected:?}");
}
