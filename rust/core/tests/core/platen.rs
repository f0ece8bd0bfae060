//! One step of Platen's and of Heun's scheme against the published formula, written out path by path.

use optsde_core::block::Span;
use optsde_core::dynamics::Sde;
use optsde_core::error::Result;
use optsde_core::noise::{NoiseKind, spread_diagonal};
use optsde_core::rng::{Address, Tag, sign_at};
use optsde_core::scheme::{Beside, CoupledPlaten, DiagonalPlaten, GeneralPlaten, Step, StepAddress, Stepper, stepper};
use std::sync::Arc;

/// `a(t, x)` and `b(t, x)`, entry (i, j) at `i m + j`, of one path.
pub(super) type Coefficients = fn(f64, &[f64]) -> (Vec<f64>, Vec<f64>);

/// An equation of plain functions, whose drift has a scale as those of gradients do.
pub(super) struct Plain {
    pub dim: usize,
    pub n_wiener: usize,
    pub kind: NoiseKind,
    pub at: Coefficients,
}

const SCALE: f64 = -1.0;

impl Plain {
    fn each(&self, x: &[f64], width: usize, mut f: impl FnMut(usize, &[f64])) {
        for p in 0..width {
            let point: Vec<f64> = (0..self.dim).map(|i| x[i * width + p]).collect();
            f(p, &point);
        }
    }
}

impl Sde<f64> for Plain {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_wiener(&self) -> usize {
        self.n_wiener
    }
    fn kind(&self) -> NoiseKind {
        self.kind
    }
    fn drift_scale(&self) -> f64 {
        SCALE
    }
    fn drift(&self, t: f64, x: &[f64], out: &mut [f64], scratch: &mut [f64], span: Span) -> Result<()> {
        span.check(scratch, self.dim, "scratch")?;
        scratch.fill(f64::NAN);
        self.each(x, span.width, |p, x| {
            for (i, a) in (self.at)(t, x).0.into_iter().enumerate() {
                out[i * span.width + p] = a / SCALE;
            }
        });
        Ok(())
    }
    fn diagonal(&self, t: f64, x: &[f64], b: &mut [f64], span: Span) -> Result<()> {
        self.each(x, span.width, |p, x| {
            let f = (self.at)(t, x).1;
            for i in 0..self.dim {
                b[i * span.width + p] = f[i * self.n_wiener + i];
            }
        });
        Ok(())
    }
    fn factor(&self, t: f64, x: &[f64], f: &mut [f64], span: Span) -> Result<()> {
        if self.kind.is_diagonal() {
            self.diagonal(t, x, f, span)?;
            spread_diagonal(f, self.dim, span.width);
            return Ok(());
        }
        self.each(x, span.width, |p, x| {
            for (k, b) in (self.at)(t, x).1.into_iter().enumerate() {
                f[k * span.width + p] = b;
            }
        });
        Ok(())
    }
}

/// The formula of Kloeden & Platen, with `v[r][j]` for `V_rj`.
fn platen(at: Coefficients, t: f64, h: f64, x: &[f64], dw: &[f64], v: &[Vec<f64>]) -> Vec<f64> {
    let (d, m, s) = (x.len(), dw.len(), h.sqrt());
    let (a, b) = at(t, x);
    let along =
        |x: &[f64], f: &[f64], j: usize, c: f64| -> Vec<f64> { (0..d).map(|i| x[i] + c * f[i * m + j]).collect() };
    let moved: Vec<f64> = (0..d).map(|i| x[i] + a[i] * h).collect();
    let y: Vec<f64> = (0..d).map(|i| moved[i] + (0..m).map(|j| b[i * m + j] * dw[j]).sum::<f64>()).collect();
    let later = at(t + h, &y).0;
    let r: Vec<[Vec<f64>; 2]> = (0..m).map(|j| [s, -s].map(|c| at(t + h, &along(&moved, &b, j, c)).1)).collect();
    let u: Vec<[Vec<f64>; 2]> = (0..m).map(|j| [s, -s].map(|c| at(t, &along(x, &b, j, c)).1)).collect();
    (0..d)
        .map(|i| {
            let mut sum = x[i] + 0.5 * h * (a[i] + later[i]);
            for j in 0..m {
                let e = i * m + j;
                let mut mean = r[j][0][e] + r[j][1][e] + 2.0 * b[e];
                let mut slope = (r[j][0][e] - r[j][1][e]) * (dw[j] * dw[j] - h);
                for k in (0..m).filter(|k| *k != j) {
                    mean += u[k][0][e] + u[k][1][e] - 2.0 * b[e];
                    slope += (u[k][0][e] - u[k][1][e]) * (dw[j] * dw[k] + v[k][j]);
                }
                sum += 0.25 * mean * dw[j] + slope / (4.0 * s);
            }
            sum
        })
        .collect()
}

pub(super) const WIDTH: usize = 32;
pub(super) const T0: f64 = 0.4;
pub(super) const H: f64 = 0.3;
pub(super) const AT: StepAddress = StepAddress { key: 99, first_path: 7, cell: 5, cells: 1, antithetic: false };

pub(super) fn increments(m: usize) -> Vec<f64> {
    (0..m * WIDTH).map(|k| 0.9 * (1.7 * k as f64).sin()).collect()
}

pub(super) fn starts(d: usize) -> Vec<f64> {
    (0..d * WIDTH).map(|k| 0.5 + (0.9 * k as f64).cos()).collect()
}

/// The state after one step.
fn stepped(scheme: &dyn Stepper<f64>) -> Result<Vec<f64>> {
    let (mut x, draws) = (starts(scheme.dim()), scheme.draws());
    let dw = increments(draws.increments());
    let mut scratch = vec![f64::NAN; scheme.scratch_rows() * WIDTH];
    let span = Span { n: WIDTH - 1, width: WIDTH };
    scheme.step(&Step { t: T0, h: H, dw: &dw, beside: Beside::default(), at: AT, span }, &mut x, &mut scratch)?;
    Ok(x)
}

/// What the formula gives.
fn expected(at: Coefficients, d: usize, m: usize) -> Vec<f64> {
    let (x, dw) = (starts(d), increments(m));
    let mut out = vec![0.0; d * WIDTH];
    let pairs = (m * (m - 1) / 2) as u64;
    for p in 0..WIDTH {
        let column = |rows: &[f64]| -> Vec<f64> { rows.iter().skip(p).step_by(WIDTH).copied().collect() };
        let address = Address { key: AT.key, tag: Tag::SIGNS, first_path: AT.first_path + p as u64 };
        let first = AT.cell * pairs.div_ceil(128) * 128;
        let mut v = vec![vec![0.0; m]; m];
        for j in 0..m {
            for r in 0..j {
                v[r][j] = H * sign_at(address, first + (j * j - j) as u64 / 2 + r as u64);
                v[j][r] = -v[r][j];
            }
        }
        for (i, x) in platen(at, T0, H, &column(&x), &column(&dw), &v).into_iter().enumerate() {
            out[i * WIDTH + p] = x;
        }
    }
    out
}

pub(super) fn assert_close(got: &[f64], expected: &[f64]) {
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < 1e-13 * (1.0 + b.abs()), "{a} and {b}");
    }
    assert_eq!(got.len(), expected.len());
}

pub(super) fn own(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let b = |i: usize| (1.0 + 0.3 * t) * (0.5 + 0.2 * x[i] * x[i] + 0.1 * i as f64);
    (vec![t - x[0] * x[1], 0.3 * x[1] - x[2], x[0]], vec![b(0), 0.0, 0.0, 0.0, b(1), 0.0, 0.0, 0.0, b(2)])
}

pub(super) fn coupled(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let b = |i: usize| 0.5 + (1.0 + t) * 0.2 * x[(i + 1) % 3] * x[i];
    (own(t, x).0, vec![b(0), 0.0, 0.0, 0.0, b(1), 0.0, 0.0, 0.0, b(2)])
}

/// Twenty Wiener processes: more signs than a generator block has.
pub(super) fn many(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let b = (0..40).map(|k| 0.1 + 0.03 * t + 0.02 * k as f64 * x[k % 2] * x[1 - k / 20]).collect();
    (vec![-x[0], x[0] - x[1]], b)
}

pub(super) fn full(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    (own(t, x).0, vec![0.3 * x[1], t + 0.2 * x[2] * x[0], 0.5, x[0] * x[0], 0.1 * x[1] + t * t, -0.4 * x[2]])
}

pub(super) fn scalar(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    (own(t, x).0, vec![0.3 * x[1], t + 0.2 * x[2] * x[0], 0.5])
}

pub(super) fn additive(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    (own(t, x).0, vec![0.3 + t, 0.0, 0.0, 0.0, 0.5 * t * t, 0.0, 0.0, 0.0, 1.0])
}

pub(super) fn additive_full(t: f64, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    (own(t, x).0, vec![0.3 + t, 0.1, 0.2 * t, 0.5 * t * t, t, 1.0])
}

#[test]
fn steps_follow_the_formula() -> Result<()> {
    for (kind, dim, n_wiener, at) in [
        (NoiseKind::Diagonal, 3, 3, own as Coefficients),
        (NoiseKind::DiagonalCoupled, 3, 3, coupled),
        (NoiseKind::Full, 2, 20, many),
        (NoiseKind::Full, 3, 2, full),
        (NoiseKind::Scalar, 3, 1, scalar),
        (NoiseKind::AdditiveDiagonal, 3, 3, additive),
        (NoiseKind::AdditiveFull, 3, 2, additive_full),
    ] {
        let sde = || Arc::new(Plain { dim, n_wiener, kind, at });
        let expected = expected(at, dim, n_wiener);
        assert_close(&stepped(stepper("platen", sde(), H)?.as_ref())?, &expected);
        // The general scheme and that of coupled deviations take what needs less of them too.
        assert_close(&stepped(&GeneralPlaten::new(sde()))?, &expected);
        if kind.is_diagonal() {
            assert_close(&stepped(&CoupledPlaten::new(sde()))?, &expected);
        }
        if matches!(kind, NoiseKind::Diagonal | NoiseKind::AdditiveDiagonal) {
            assert_close(&stepped(&DiagonalPlaten::new(sde()))?, &expected);
        }
        if kind.is_additive() {
            assert_close(&stepped(stepper("heun", sde(), H)?.as_ref())?, &expected);
        }
    }
    Ok(())
}

#[test]
fn without_noise_heun_is_the_trapezoidal_rule() -> Result<()> {
    let sde = Plain { dim: 3, n_wiener: 0, kind: NoiseKind::None, at: own };
    let x = starts(3);
    let got = stepped(stepper("heun", Arc::new(sde), H)?.as_ref())?;
    for p in 0..WIDTH {
        let x: Vec<f64> = x.iter().skip(p).step_by(WIDTH).copied().collect();
        let a = own(T0, &x).0;
        let y: Vec<f64> = (0..3).map(|i| x[i] + H * a[i]).collect();
        let later = own(T0 + H, &y).0;
        let end: Vec<f64> = (0..3).map(|i| x[i] + 0.5 * H * (a[i] + later[i])).collect();
        assert_close(&got.iter().skip(p).step_by(WIDTH).copied().collect::<Vec<_>>(), &end);
    }
    Ok(())
}
