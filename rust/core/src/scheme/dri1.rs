//! DRI1: Debrabant and Rößler's scheme of weak order 2 for any noise, with small error constants; of order 3 without noise.
//!
//! With `s = sqrt(h)`, `c = 342/491`, `q = 3 sqrt(38/491)` and `N = Σ b^k ΔW_k`:
//!
//! ```text
//! k2 = a(t + h/2, X + h k1/2 + ((6-√6)/10) N)        k3 = a(t + h, X - h k1 + 2 h k2 + ((3+2√6)/5) N)
//! g±_k = b^k(t + c h, X + c h k1 ± q s b^k)          E_l = s [-(214/513) √(1105/991) b^l - (491/513) √(221/4955) (g+_l + g-_l)]
//! X' = X + h (k1/6 + 2 k2/3 + k3/6)
//!    + Σ_k { (193/684) b^k ΔW_k + (491/1368)(g+_k + g-_k) ΔW_k + (1/6) √(491/38) (g+_k - g-_k)(ΔW_k² - h)/(2s) }
//!    + Σ_k Σ_{l≠k} { (4955/14144)(b^k(X+E_l) + b^k(X-E_l) - 2 b^k) ΔW_k - (1/8) √(4955/221) (b^k(X+E_l) - b^k(X-E_l)) Î_kl/s }
//! ```
//!
//! where `Î_kl = (ΔW_k ΔW_l - s Z_k)/2` for k < l, `(ΔW_k ΔW_l + s Z_l)/2` for k > l, and `Z_k = ±s` with probability 1/2.

use super::additive::AdditiveNoise;
use super::points::{CoupledCross, CoupledOwn, GeneralCross, GeneralOwn, Shift, SignOf, Signs, Weights};
use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{add_product, add_scaled, add_three, assign_add_scaled, assign_add_two, scale_add};
use crate::error::Result;
use crate::lanes::{Real, dispatch};
use crate::noise::apply_factor;
use std::sync::Arc;

/// The time of the points of the noise within the step.
const C: f64 = 342.0 / 491.0;
/// Weights of `b^k ΔW_k` and of each of `g±_k ΔW_k`.
const FIRST: f64 = 193.0 / 684.0;
const OWN: f64 = 491.0 / 1368.0;
/// Weight of each of `b^k(X±E_l) ΔW_k`.
const CROSS: f64 = 4955.0 / 14144.0;

/// The coefficients of a step.
#[derive(Clone, Copy)]
struct Constants {
    /// `h` times the scale of the drift.
    c: f64,
    /// `q s`.
    reach: f64,
    /// Of `b^l`, and of `g±_l`, in `E_l`.
    across: [f64; 2],
    /// Of `N` in the points of the drift.
    along: [f64; 2],
    own: Weights,
    cross: Weights,
}

impl Constants {
    fn of<T: Real>(sde: &dyn Sde<T>, h: f64) -> Self {
        let (root, six) = (h.sqrt(), 6.0_f64.sqrt());
        Self {
            c: h * sde.drift_scale(),
            reach: 3.0 * (38.0_f64 / 491.0).sqrt() * root,
            across: [
                -214.0 / 513.0 * (1105.0_f64 / 991.0).sqrt() * root,
                -491.0 / 513.0 * (221.0_f64 / 4955.0).sqrt() * root,
            ],
            along: [(6.0 - six) / 10.0, (3.0 + 2.0 * six) / 5.0],
            own: Weights { linear: OWN, over: (491.0_f64 / 38.0).sqrt() / (12.0 * root), h },
            cross: Weights { linear: CROSS, over: -(4955.0_f64 / 221.0).sqrt() / (16.0 * root), h },
        }
    }
}

/// What the evaluations of the drift read, `k1` and `N`, and work in.
struct Drifts<'a, T> {
    k1: &'a [T],
    noise: &'a [T],
    point: &'a mut [T],
    later: &'a mut [T],
    work: &'a mut [T],
}

/// `sum = X + h (k1/6 + 2 k2/3 + k3/6)`, given `k1` and `N`.
fn drift<T: Real>(
    sde: &dyn Sde<T>,
    step: &Step<'_, T>,
    k: &Constants,
    x: &[T],
    sum: &mut [T],
    rows: Drifts<'_, T>,
) -> Result<()> {
    let Step { t, h, span, .. } = *step;
    let Drifts { k1, noise, point, later, work } = rows;
    assign_add_two(point, x, k1, noise, 0.5 * k.c, k.along[0]);
    sde.drift(t + 0.5 * h, point, later, work, span)?;
    point.copy_from_slice(x);
    add_three(point, k1, later, noise, -k.c, 2.0 * k.c, k.along[1]);
    assign_add_two(sum, x, k1, later, k.c / 6.0, 2.0 * k.c / 3.0);
    sde.drift(t + h, point, later, work, span)?;
    add_scaled(sum, later, k.c / 6.0);
    Ok(())
}

/// Noise that does not depend on the state.
pub struct AdditiveDri1<T: Real> {
    sde: Arc<dyn Sde<T>>,
    noise: AdditiveNoise<T>,
}

impl<T: Real> AdditiveDri1<T> {
    /// Integrates `sde`, of an additive kind.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { noise: AdditiveNoise::new(sde.clone()), sde }
    }
}

impl<T: Real> Stepper<T> for AdditiveDri1<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        5 * self.sde.dim() + self.sde.dim().max(self.noise.rows())
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let n = x.len();
        let k = Constants::of(self.sde.as_ref(), h);
        let (k1, rest) = scratch.split_at_mut(n);
        let (noise, rest) = rest.split_at_mut(n);
        let (sum, rest) = rest.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (later, work) = rest.split_at_mut(n);
        self.sde.drift(t, x, k1, &mut work[..n], span)?;
        noise.fill(T::default());
        self.noise.add(t, x, dw, 1.0, noise, work, span)?;
        let rows = Drifts { k1, noise, point, later, work: &mut work[..n] };
        drift(self.sde.as_ref(), step, &k, x, sum, rows)?;
        if self.noise.is_constant() {
            assign_add_scaled(x, sum, noise, 1.0);
        } else {
            assign_add_scaled(x, sum, noise, FIRST);
            self.noise.add(t + C * h, sum, dw, 2.0 * OWN, x, work, span)?;
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// Noise whose deviation `b_i` depends on `x_i` alone: all double sums are 0, and the points of all coordinates are one.
pub struct DiagonalDri1<T: Real>(Arc<dyn Sde<T>>);

impl<T: Real> DiagonalDri1<T> {
    /// Integrates `sde`, of kind diagonal.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self(sde)
    }
}

impl<T: Real> Stepper<T> for DiagonalDri1<T> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.0.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        7 * self.0.dim()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let n = x.len();
        span.check(dw, self.0.n_wiener(), "dw")?;
        let k = Constants::of(self.0.as_ref(), h);
        let (k1, rest) = scratch.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n);
        let (noise, rest) = rest.split_at_mut(n);
        let (sum, rest) = rest.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (later, work) = rest.split_at_mut(n);
        self.0.drift(t, x, k1, work, span)?;
        self.0.diagonal(t, x, b, span)?;
        noise.fill(T::default());
        add_product(noise, b, dw);
        drift(self.0.as_ref(), step, &k, x, sum, Drifts { k1, noise, point, later, work })?;
        add_scaled(sum, noise, FIRST);
        assign_add_two(point, x, k1, b, C * k.c, k.reach);
        self.0.diagonal(t + C * h, point, later, span)?;
        assign_add_two(point, x, k1, b, C * k.c, -k.reach);
        self.0.diagonal(t + C * h, point, work, span)?;
        dispatch(CoupledOwn { w: dw, up: later, down: work, sum, k: k.own });
        x.copy_from_slice(sum);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.0.needs_calling_thread()
    }
}

/// Noise with a deviation for each coordinate that may depend on the others: points differ from `X` in one coordinate.
pub struct CoupledDri1<T: Real> {
    sde: Arc<dyn Sde<T>>,
    signs: Signs,
}

impl<T: Real> CoupledDri1<T> {
    /// Integrates `sde`, of a diagonal kind.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { signs: Signs::new(SignOf::Smaller, sde.dim()), sde }
    }
}

impl<T: Real> Stepper<T> for CoupledDri1<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        7 * self.sde.dim() + 2 + self.signs.rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (n, d, width) = (x.len(), self.sde.dim(), span.width);
        span.check(dw, d, "dw")?;
        let k = Constants::of(self.sde.as_ref(), h);
        let (moved, rest) = scratch.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n);
        let (noise, rest) = rest.split_at_mut(n);
        let (sum, rest) = rest.split_at_mut(n);
        let (up, rest) = rest.split_at_mut(n);
        let (down, rest) = rest.split_at_mut(n);
        let (work, rest) = rest.split_at_mut(n);
        let (saved, rest) = rest.split_at_mut(width);
        let (across, words) = rest.split_at_mut(width);
        self.sde.drift(t, x, moved, up, span)?;
        self.sde.diagonal(t, x, b, span)?;
        noise.fill(T::default());
        add_product(noise, b, dw);
        drift(self.sde.as_ref(), step, &k, x, sum, Drifts { k1: moved, noise, point: up, later: down, work })?;
        add_scaled(sum, noise, rest_of(d));
        scale_add(moved, x, C * k.c);
        let signs = self.signs.draw(step, words);
        for r in 0..d {
            let row = r * width..(r + 1) * width;
            saved.copy_from_slice(&moved[row.clone()]);
            add_scaled(&mut moved[row.clone()], &b[row.clone()], k.reach);
            self.sde.diagonal(t + C * h, moved, up, span)?;
            add_scaled(&mut moved[row.clone()], &b[row.clone()], -2.0 * k.reach);
            self.sde.diagonal(t + C * h, moved, down, span)?;
            moved[row.clone()].copy_from_slice(saved);
            let (up_r, down_r) = (&up[row.clone()], &down[row.clone()]);
            dispatch(CoupledOwn { w: &dw[row.clone()], up: up_r, down: down_r, sum: &mut sum[row.clone()], k: k.own });
            if d > 1 {
                across.fill(T::default());
                add_three(across, &b[row.clone()], up_r, down_r, k.across[0], k.across[1], k.across[1]);
                saved.copy_from_slice(&x[row.clone()]);
                add_scaled(&mut x[row.clone()], across, 1.0);
                self.sde.diagonal(t, x, up, span)?;
                assign_add_scaled(&mut x[row.clone()], saved, across, -1.0);
                self.sde.diagonal(t, x, down, span)?;
                x[row].copy_from_slice(saved);
                dispatch(CoupledCross { dw, up, down, sum, signs, r, width, k: k.cross });
            }
        }
        x.copy_from_slice(sum);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// Noise of any structure: two or four evaluations of the whole factor for each Wiener process.
pub struct GeneralDri1<T: Real> {
    sde: Arc<dyn Sde<T>>,
    signs: Signs,
}

impl<T: Real> GeneralDri1<T> {
    /// Integrates `sde`.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { signs: Signs::new(SignOf::Smaller, sde.n_wiener()), sde }
    }
}

impl<T: Real> Stepper<T> for GeneralDri1<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        let (d, m) = (self.sde.dim(), self.sde.n_wiener());
        4 * d + d * m + d * m.max(2) + self.signs.rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (n, m, width) = (x.len(), self.sde.n_wiener(), span.width);
        span.check(dw, m, "dw")?;
        let k = Constants::of(self.sde.as_ref(), h);
        let (moved, rest) = scratch.split_at_mut(n);
        let (sum, rest) = rest.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (across, rest) = rest.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n * m);
        let (f, words) = rest.split_at_mut(n * m.max(2));
        self.sde.drift(t, x, moved, &mut f[..n], span)?;
        self.sde.factor(t, x, b, span)?;
        apply_factor(b, dw, across, width);
        let (later, work) = f.split_at_mut(n);
        let rows = Drifts { k1: moved, noise: across, point, later, work: &mut work[..n] };
        drift(self.sde.as_ref(), step, &k, x, sum, rows)?;
        add_scaled(sum, across, rest_of(m));
        scale_add(moved, x, C * k.c);
        let signs = self.signs.draw(step, words);
        for r in 0..m {
            across.fill(T::default());
            add_column(across, b, r, m, k.across[0], width);
            for side in [1.0, -1.0] {
                dispatch(Shift { from: moved, b, point, root: side * k.reach, r, m, width });
                self.sde.factor(t + C * h, point, f, span)?;
                dispatch(GeneralOwn { dw, f, sum, r, m, width, side, k: k.own });
                add_column(across, f, r, m, k.across[1], width);
            }
            for side in [1.0, -1.0].into_iter().filter(|_| m > 1) {
                assign_add_scaled(point, x, across, side);
                self.sde.factor(t, point, f, span)?;
                dispatch(GeneralCross { dw, f, sum, signs, r, m, width, side, k: k.cross });
            }
        }
        x.copy_from_slice(sum);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// What remains of the columns at `X` beside those at the points.
fn rest_of(m: usize) -> f64 {
    FIRST - 2.0 * CROSS * (m as f64 - 1.0)
}

/// `out += c f^r`.
fn add_column<T: Real>(out: &mut [T], f: &[T], r: usize, m: usize, c: f64, width: usize) {
    for (i, out) in out.chunks_exact_mut(width).enumerate() {
        add_scaled(out, &f[(i * m + r) * width..(i * m + r + 1) * width], c);
    }
}
