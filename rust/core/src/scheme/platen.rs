//! Platen's explicit scheme of weak order 2 for noise that depends on the state (Kloeden & Platen 1992, section 15.1).
//!
//! With `s = sqrt(h)`, `Y = X + a h + Σ b^j ΔW_j`, `R_r = X + a h ± b^r s` and `U_r = X ± b^r s`:
//!
//! ```text
//! X' = X + (h/2)(a(Y) + a) + (1/4) Σ_j { [b^j(R_j+) + b^j(R_j-) + 2 b^j] + Σ_{r≠j} [b^j(U_r+) + b^j(U_r-) - 2 b^j] } ΔW_j
//!        + (1/4s) Σ_j { [b^j(R_j+) - b^j(R_j-)](ΔW_j² - h) + Σ_{r≠j} [b^j(U_r+) - b^j(U_r-)](ΔW_j ΔW_r + V_rj) }
//! ```
//!
//! where `V_rj = -V_jr` is `±h` with probability 1/2. Time is one more coordinate, of drift 1 and without noise: what is
//! evaluated at `Y` and `R`, which contain `a h`, is taken at `t + h`, and what is evaluated at `X` and `U` at `t`.
//!
//! Here each point `R_r±` or `U_r±` is made, evaluated and used up by itself: column `j` counts with the weight
//! `ΔW_j/4 ± (ΔW_j ΔW_r + V_rj)/(4s)`, or `ΔW_r/4 ± (ΔW_r² - h)/(4s)`, and the columns at `X` with `(1 - m/2) ΔW_j`.

use super::points::{CoupledCross, CoupledOwn, GeneralCross, GeneralOwn, Shift, SignOf, Signs, Weights};
use super::{Draws, Step, Stepper};
use crate::dynamics::Sde;
use crate::elementwise::{add_scaled, at, platen_diagonal, put};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use std::sync::Arc;

/// Noise whose deviation `b_i` depends on `x_i` alone: the points of all coordinates are evaluated together.
pub struct DiagonalPlaten<T: Real>(Arc<dyn Sde<T>>);

impl<T: Real> DiagonalPlaten<T> {
    /// Integrates `sde`, of kind diagonal.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self(sde)
    }
}

impl<T: Real> Stepper<T> for DiagonalPlaten<T> {
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
        let (a, rest) = scratch.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n);
        let (y, rest) = rest.split_at_mut(n);
        let (up, rest) = rest.split_at_mut(n);
        let (down, rest) = rest.split_at_mut(n);
        let (later, work) = rest.split_at_mut(n);
        let c = h * self.0.drift_scale();
        self.0.drift(t, x, a, work, span)?;
        self.0.diagonal(t, x, b, span)?;
        dispatch(Points { x, a, b, dw, y, up, down, c, root: h.sqrt() });
        self.0.drift(t + h, y, later, work, span)?;
        self.0.diagonal(t + h, up, y, span)?;
        self.0.diagonal(t + h, down, work, span)?;
        platen_diagonal(x, a, later, b, y, work, dw, 0.5 * c, 0.25, h, 0.25 / h.sqrt());
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.0.needs_calling_thread()
    }
}

/// `Y` and the points `R±` of all coordinates.
struct Points<'a, T> {
    x: &'a [T],
    a: &'a [T],
    b: &'a [T],
    dw: &'a [T],
    y: &'a mut [T],
    up: &'a mut [T],
    down: &'a mut [T],
    c: f64,
    root: f64,
}

impl<T: Real> Kernel for Points<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, a, b, dw, y, up, down, c, root } = self;
        let (c, root) = (<T::V<S>>::constant(c), <T::V<S>>::constant(root));
        for p in (0..x.len()).step_by(<T::V<S> as Vector>::LANES) {
            let (b, moved) = (at::<T::V<S>>(b, p), c.mul_add(at(a, p), at(x, p)));
            put(y, p, b.mul_add(at(dw, p), moved));
            put(up, p, root.mul_add(b, moved));
            put(down, p, (-root).mul_add(b, moved));
        }
    }
}

/// The coefficients of a step, common to the kernels below.
#[derive(Clone, Copy)]
struct Constants {
    /// `h` times the scale of the drift.
    c: f64,
    h: f64,
    root: f64,
    /// `1 - m/2`: what remains of the columns at `X`.
    rest: f64,
}

impl Constants {
    /// The weights of the noise at `R` and `U`.
    fn weights(&self) -> Weights {
        Weights { linear: 0.25, over: 0.25 / self.root, h: self.h }
    }
    fn of<T: Real>(sde: &dyn Sde<T>, h: f64) -> Self {
        let root = h.sqrt();
        Self { c: h * sde.drift_scale(), h, root, rest: 1.0 - 0.5 * sde.n_wiener() as f64 }
    }
}

/// Noise with a deviation for each coordinate that may depend on the others: points differ from `X` in one coordinate.
pub struct CoupledPlaten<T: Real> {
    sde: Arc<dyn Sde<T>>,
    signs: Signs,
}

impl<T: Real> CoupledPlaten<T> {
    /// Integrates `sde`, of a diagonal kind.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { signs: Signs::new(SignOf::Pair, sde.dim()), sde }
    }
}

impl<T: Real> Stepper<T> for CoupledPlaten<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        6 * self.sde.dim() + 1 + self.signs.rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (n, d, width) = (x.len(), self.sde.dim(), span.width);
        span.check(dw, d, "dw")?;
        let k = Constants::of(self.sde.as_ref(), h);
        let (a, rest) = scratch.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n);
        let (moved, rest) = rest.split_at_mut(n);
        let (sum, rest) = rest.split_at_mut(n);
        let (up, rest) = rest.split_at_mut(n);
        let (down, rest) = rest.split_at_mut(n);
        let (saved, words) = rest.split_at_mut(width);
        self.sde.drift(t, x, a, moved, span)?;
        self.sde.diagonal(t, x, b, span)?;
        dispatch(CoupledStart { x, a, b, dw, y: up, moved, sum, k });
        self.sde.drift(t + h, up, down, a, span)?;
        add_scaled(sum, down, 0.5 * k.c);
        let signs = self.signs.draw(step, words);
        for r in 0..d {
            let row = r * width..(r + 1) * width;
            saved.copy_from_slice(&moved[row.clone()]);
            add_scaled(&mut moved[row.clone()], &b[row.clone()], k.root);
            self.sde.diagonal(t + h, moved, up, span)?;
            add_scaled(&mut moved[row.clone()], &b[row.clone()], -2.0 * k.root);
            self.sde.diagonal(t + h, moved, down, span)?;
            moved[row.clone()].copy_from_slice(saved);
            let (up_r, down_r) = (&up[row.clone()], &down[row.clone()]);
            dispatch(CoupledOwn {
                w: &dw[row.clone()],
                up: up_r,
                down: down_r,
                sum: &mut sum[row.clone()],
                k: k.weights(),
            });
            if d > 1 {
                saved.copy_from_slice(&x[row.clone()]);
                add_scaled(&mut x[row.clone()], &b[row.clone()], k.root);
                self.sde.diagonal(t, x, up, span)?;
                add_scaled(&mut x[row.clone()], &b[row.clone()], -2.0 * k.root);
                self.sde.diagonal(t, x, down, span)?;
                x[row].copy_from_slice(saved);
                dispatch(CoupledCross { dw, up, down, sum, signs, r, width, k: k.weights() });
            }
        }
        x.copy_from_slice(sum);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// `Y`, `X + a h`, and the part of the sum that does without the points.
struct CoupledStart<'a, T> {
    x: &'a [T],
    a: &'a [T],
    b: &'a [T],
    dw: &'a [T],
    y: &'a mut [T],
    moved: &'a mut [T],
    sum: &'a mut [T],
    k: Constants,
}

impl<T: Real> Kernel for CoupledStart<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, a, b, dw, y, moved, sum, k } = self;
        let (c, half_c, rest) = (<T::V<S>>::constant(k.c), <T::V<S>>::constant(0.5 * k.c), <T::V<S>>::constant(k.rest));
        for p in (0..x.len()).step_by(<T::V<S> as Vector>::LANES) {
            let (x, a, noise) = (at(x, p), at(a, p), at::<T::V<S>>(b, p) * at(dw, p));
            put(moved, p, c.mul_add(a, x));
            put(y, p, c.mul_add(a, x) + noise);
            put(sum, p, rest.mul_add(noise, half_c.mul_add(a, x)));
        }
    }
}

/// Noise of any structure: two or four evaluations of the whole factor for each Wiener process.
pub struct GeneralPlaten<T: Real> {
    sde: Arc<dyn Sde<T>>,
    signs: Signs,
}

impl<T: Real> GeneralPlaten<T> {
    /// Integrates `sde`.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Self {
        Self { signs: Signs::new(SignOf::Pair, sde.n_wiener()), sde }
    }
}

impl<T: Real> Stepper<T> for GeneralPlaten<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        Draws::of(self.sde.as_ref())
    }
    fn scratch_rows(&self) -> usize {
        let (d, m) = (self.sde.dim(), self.sde.n_wiener());
        3 * d + d * m + d * m.max(2) + self.signs.rows()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (n, m, width) = (x.len(), self.sde.n_wiener(), span.width);
        span.check(dw, m, "dw")?;
        let k = Constants::of(self.sde.as_ref(), h);
        let (moved, rest) = scratch.split_at_mut(n);
        let (sum, rest) = rest.split_at_mut(n);
        let (point, rest) = rest.split_at_mut(n);
        let (b, rest) = rest.split_at_mut(n * m);
        let (f, words) = rest.split_at_mut(n * m.max(2));
        // The drift makes room for the point it leads to.
        self.sde.drift(t, x, moved, &mut f[..n], span)?;
        self.sde.factor(t, x, b, span)?;
        dispatch(GeneralStart { x, moved, b, dw, y: point, sum, m, width, k });
        let (later, work) = f.split_at_mut(n);
        self.sde.drift(t + h, point, later, &mut work[..n], span)?;
        add_scaled(sum, later, 0.5 * k.c);
        let signs = self.signs.draw(step, words);
        for r in 0..m {
            for side in [1.0, -1.0] {
                dispatch(Shift { from: moved, b, point, root: side * k.root, r, m, width });
                self.sde.factor(t + h, point, f, span)?;
                dispatch(GeneralOwn { dw, f, sum, r, m, width, side, k: k.weights() });
            }
            for side in [1.0, -1.0].into_iter().filter(|_| m > 1) {
                dispatch(Shift { from: x, b, point, root: side * k.root, r, m, width });
                self.sde.factor(t, point, f, span)?;
                dispatch(GeneralCross { dw, f, sum, signs, r, m, width, side, k: k.weights() });
            }
        }
        x.copy_from_slice(sum);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// `Y`, `X + a h` in place of the drift, and the part of the sum that does without the points.
struct GeneralStart<'a, T> {
    x: &'a [T],
    moved: &'a mut [T],
    b: &'a [T],
    dw: &'a [T],
    y: &'a mut [T],
    sum: &'a mut [T],
    m: usize,
    width: usize,
    k: Constants,
}

impl<T: Real> Kernel for GeneralStart<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, moved, b, dw, y, sum, m, width, k } = self;
        let (c, half_c, rest) = (<T::V<S>>::constant(k.c), <T::V<S>>::constant(0.5 * k.c), <T::V<S>>::constant(k.rest));
        for i in 0..x.len() / width {
            let begin = i * width;
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let mut noise = <T::V<S>>::constant(0.0);
                for j in 0..m {
                    noise = at::<T::V<S>>(b, (i * m + j) * width + p).mul_add(at(dw, j * width + p), noise);
                }
                let (x, a) = (at(x, begin + p), at(moved, begin + p));
                put(moved, begin + p, c.mul_add(a, x));
                put(y, begin + p, c.mul_add(a, x) + noise);
                put(sum, begin + p, rest.mul_add(noise, half_c.mul_add(a, x)));
            }
        }
    }
}
