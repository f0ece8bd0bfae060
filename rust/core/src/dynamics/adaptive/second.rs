//! The equations of order 2 on a block: drift, noise, or a whole Euler–Maruyama step.
//!
//! They follow from the one-step conditions: with the mean `x + τ b_0 + τ² c` of a step of the algorithm, the drift is
//! `b_0 + τ b_1` with `b_1 = c - ½ (∇b_0 · b_0 + ½ a_0 : ∇²b_0 + ∂_t b_0)`, and likewise for the covariance. Learning rates
//! that differ by parameter and change in time multiply `D`: with `Γ = u(t) u_i` (RMSprop) or `Γ = u(t) u_i sqrt(γ_2) / γ_1`
//! (Adam) and `q` the gradient or `m`, the parameters move by `-τ Γ D q`. RMSprop's `q` depends on `θ`, which brings in the
//! Hessian, Adam's on `m`; the dependence of `D` on `v`, and of `Γ` and `ε` on `t`, gives both the same term `q k` with
//!
//! ```text
//! k = Γ D' κ + ½ (Γ' D + Γ ∂_t D),     κ = ½ c_2 r            (lagged)
//!                                      κ = -½ c_2 r - 2 c_2 s (fresh, RMSprop: its gradient is also in v)
//!                                      κ = -½ c_2 r           (fresh, Adam)
//! ```
//!
//! where `r` is the target of `v` minus `v`. Third moments `μ_3` of the noise add `-c_2 Γ D' μ_3` to `b_1` of `θ` of fresh RMSprop.
//! In the batch-equivalent regime RMSprop's noise `-Γ D z` is of order 0 and is corrected as the gradient is:
//! `-½ Γ D H (Γ D z) + k z`, with `-c_2 Γ D' C dW` where fourth moments are not a Gaussian's and v is fresh. A schedule gives
//! `a_0 = (Γ D) Σ (Γ D)` the term `-½ ∂_t a_0`, which is what `½ Γ' D z` in `k z` makes. Adam's noise `c_1 z` has there, where
//! `R` varies, `½ c_1 (∂_w R) dW` with `w = Γ D m`: on its way to the end of a step `θ` has moved on along `-w`. What RMSprop's
//! has there is in `bend.rs`.

use super::constants::Now;
use super::preconditioner::{Preconditioner, Quantity};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// The constants of the equation at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    pub now: Now,
    pub tau: f64,
    /// `c_1` of Adam; None for RMSprop.
    pub first: Option<f64>,
    /// `c_2`.
    pub second: f64,
    pub fresh: bool,
    /// The regime whose noise is small.
    pub ballistic: bool,
    /// What makes a second moment of the algorithm one of the regime.
    pub unit: f64,
}

/// What the drift needs at a point: `w = Γ D q`.
#[derive(Clone, Copy)]
pub(super) struct Slopes<'a, T> {
    /// `H w`.
    pub hw: &'a [T],
    /// `J w`, the derivative of the variances along `w`, less `½ diag P` where they bend; None where they are constant.
    pub jw: Option<&'a [T]>,
    /// `Σ_jk (Γ D Σ Γ D)_jk ∂_i∂_j∂_k f`, for RMSprop in the batch-equivalent regime.
    pub third: Option<&'a [T]>,
    /// `τ μ_3`, for fresh RMSprop with skewed noise.
    pub skew: Option<&'a [T]>,
}

/// What the noise is made of.
#[derive(Clone, Copy)]
pub(super) struct Kick<'a, T> {
    /// `R dW`; times `sqrt(τ)` in the ballistic regime.
    pub z: &'a [T],
    /// `sqrt(τ) (A dW + Q dB)`.
    pub q: &'a [T],
    /// `H Γ D z`, for RMSprop in the batch-equivalent regime, and with it what its noise has of a varying covariance.
    pub hz: Option<&'a [T]>,
    /// `C dW`, for fresh RMSprop in the batch-equivalent regime where noise is not Gaussian.
    pub cubes: Option<&'a [T]>,
    /// `(∂_w R) dW`, for Adam in the batch-equivalent regime where `R` varies.
    pub along: Option<&'a [T]>,
}

/// Drift and noise of all coordinates, in the unit of the algorithm.
pub(super) struct Second<'a, T> {
    pub constants: Constants,
    pub relative: Option<&'a [f64]>,
    /// In the unit of the regime.
    pub floor: &'a [f64],
    /// In the unit of the regime.
    pub variances: Quantity<'a, T>,
    pub g: &'a [T],
    /// The drift and what multiplies it; None for the noise alone.
    pub drift: Option<(Slopes<'a, T>, f64)>,
    /// None for the drift alone.
    pub kick: Option<Kick<'a, T>>,
    pub width: usize,
}

impl<T: Real> Second<'_, T> {
    /// Writes what is asked for.
    pub fn write(self, x: &[T], out: &mut [T]) {
        assert!(out.len() >= x.len());
        self.check(x.len());
        dispatch(Run { of: self, x: x.as_ptr(), out: out.as_mut_ptr(), advance: false });
    }

    /// Adds it to `x`.
    pub fn advance(self, x: &mut [T]) {
        self.check(x.len());
        let out = x.as_mut_ptr();
        dispatch(Run { of: self, x: out, out, advance: true });
    }

    fn check(&self, len: usize) {
        let (d, width) = (self.floor.len(), self.width);
        let parts = if self.constants.first.is_some() { 3 } else { 2 };
        let slopes = self.drift.as_ref().map(|(slopes, _)| slopes);
        let rows = [
            Some(self.g),
            slopes.map(|slopes| slopes.hw),
            slopes.and_then(|slopes| slopes.jw),
            slopes.and_then(|slopes| slopes.third),
            slopes.and_then(|slopes| slopes.skew),
            self.kick.map(|kick| kick.z),
            self.kick.map(|kick| kick.q),
            self.kick.and_then(|kick| kick.hz),
            self.kick.and_then(|kick| kick.cubes),
            self.kick.and_then(|kick| kick.along),
        ];
        assert!(len >= parts * d * width && rows.iter().flatten().all(|rows| rows.len() >= d * width));
        assert!(self.relative.is_none_or(|u| u.len() >= d));
        self.variances.check(d, width);
    }
}

/// What was checked: `x` holds all rows of the state, and so does `out`, which may be `x`.
struct Run<'a, T> {
    of: Second<'a, T>,
    x: *const T,
    out: *mut T,
    advance: bool,
}

/// One coordinate's `θ`, `m` (0 for RMSprop) and `v`, or their increments.
type Triple<V> = [V; 3];

/// A coordinate at a point: `Γ D`, `Γ D'`, `k` and `r` of the head of this file.
#[derive(Clone, Copy)]
struct Point<V> {
    gd: V,
    gd_slope: V,
    k: V,
    r: V,
    g: V,
}

impl<T: Real> Kernel for Run<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        if self.of.constants.first.is_some() { self.rows::<S, true>() } else { self.rows::<S, false>() }
    }
}

impl<T: Real> Run<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const ADAM: bool>(self) {
        let Self { of, x, out, advance } = self;
        let (c, d, width, lanes) = (of.constants, of.floor.len(), of.width, <T::V<S> as Vector>::LANES);
        let zero = <T::V<S>>::constant(0.0);
        let (unit, back) = (<T::V<S>>::constant(c.unit), <T::V<S>>::constant(1.0 / c.unit));
        for i in 0..d {
            let u = of.relative.map_or(1.0, |u| u[i]);
            let by = Preconditioner::<T::V<S>>::new(of.floor[i], c.now.eps);
            let variance = of.variances.of::<T::V<S>>(i, width);
            let at = i * width;
            let (m_row, v_row) = (at + d * width, at + if ADAM { 2 * d * width } else { d * width });
            for p in (0..width).step_by(lanes) {
                // SAFETY: the rows were checked; the width is a multiple of the lanes; `out` is written at a place after
                // `x` was read there.
                unsafe {
                    let load = |rows: &[T]| <T::V<S>>::load(rows.as_ptr().add(at + p));
                    let state = [
                        <T::V<S>>::load(x.add(at + p)),
                        if ADAM { <T::V<S>>::load(x.add(m_row + p)) } else { zero },
                        <T::V<S>>::load(x.add(v_row + p)),
                    ];
                    let (v, s, g) = (unit * state[2], variance.at(p), load(of.g));
                    let point = point::<_, ADAM>(&c, u, by.with_slope(v), v, s, g);
                    let mut sum: Triple<T::V<S>> = [zero; 3];
                    if let Some((slopes, h)) = of.drift {
                        let q = if ADAM { state[1] } else { g };
                        let rows =
                            [Some(slopes.hw), slopes.jw, slopes.third, slopes.skew].map(|rows| rows.map_or(zero, load));
                        let h = <T::V<S>>::constant(h);
                        sum = drift::<_, ADAM>(&c, &point, q, rows).map(|b| h * b);
                    }
                    if let Some(kick) = of.kick {
                        let rows = [Some(kick.z), Some(kick.q), kick.hz, kick.cubes, kick.along]
                            .map(|rows| rows.map_or(zero, load));
                        let noise = noise::<_, ADAM>(&c, &point, rows);
                        sum = [sum[0] + noise[0], sum[1] + noise[1], sum[2] + noise[2]];
                    }
                    sum[2] = back * sum[2];
                    if advance {
                        sum = [state[0] + sum[0], state[1] + sum[1], state[2] + sum[2]];
                    }
                    sum[0].store(out.add(at + p));
                    if ADAM {
                        sum[1].store(out.add(m_row + p));
                    }
                    sum[2].store(out.add(v_row + p));
                }
            }
        }
    }
}

#[inline(always)]
fn point<V: Vector, const ADAM: bool>(c: &Constants, u: f64, (d, d_slope): (V, V), v: V, s: V, g: V) -> Point<V> {
    let gamma = V::constant(u * c.now.gamma);
    let r = if c.ballistic { g.mul_add(g, s) } else { s } - v;
    let half = V::constant(0.5 * c.second);
    let coupling = match (c.fresh, ADAM) {
        (false, _) => half * r,
        (true, true) => -(half * r),
        (true, false) => -half.mul_add(r, V::constant(2.0 * c.second) * s),
    };
    // ∂_t D = -ε' D²
    let in_time = V::constant(u * c.now.gamma_slope).mul_add(d, -(gamma * V::constant(c.now.eps_slope) * d * d));
    let gd_slope = gamma * d_slope;
    let k = gd_slope.mul_add(coupling, V::constant(0.5) * in_time);
    Point { gd: gamma * d, gd_slope, k, r, g }
}

/// `b_0 + τ b_1`.
#[inline(always)]
fn drift<V: Vector, const ADAM: bool>(
    c: &Constants,
    point: &Point<V>,
    q: V,
    [hw, jw, third, skew]: [V; 4],
) -> Triple<V> {
    let Point { gd, gd_slope, k, r, g } = *point;
    let (tau, half) = (V::constant(c.tau), V::constant(0.5));
    let (c1, c2) = (V::constant(c.first.unwrap_or(0.0)), V::constant(c.second));
    let b1_theta = if ADAM {
        q.mul_add(k, half * c1 * gd * (q - g))
    } else {
        q.mul_add(k, gd * (V::constant(0.25) * third - half * hw))
    };
    let theta = (-(c2 * gd_slope)).mul_add(skew, tau.mul_add(b1_theta, -(gd * q)));
    let m = if ADAM { c1 * (half * tau).mul_add(c1.mul_add(g - q, hw), g - q) } else { V::constant(0.0) };
    let b1_v = if c.ballistic {
        half * (V::constant(2.0) * g).mul_add(hw, c2.mul_add(r, jw))
    } else {
        g.mul_add(g, half * c2.mul_add(r, jw))
    };
    [theta, m, c2 * tau.mul_add(b1_v, r)]
}

/// The noise, from `z`, `q`, `H Γ D z`, `C dW` and `(∂_w R) dW`.
#[inline(always)]
fn noise<V: Vector, const ADAM: bool>(c: &Constants, point: &Point<V>, [z, q, hz, cubes, along]: [V; 5]) -> Triple<V> {
    let Point { gd, gd_slope, k, g, .. } = *point;
    let (tau, half, zero) = (V::constant(c.tau), V::constant(0.5), V::constant(0.0));
    let c2 = V::constant(c.second);
    let c1 = c.first.unwrap_or(0.0);
    if c.ballistic {
        let v = c2 * (V::constant(2.0) * g).mul_add(z, q);
        return if ADAM { [zero, V::constant(c1) * z, v] } else { [-(gd * z), zero, v] };
    }
    let v = c2 * (V::constant(2.0 * c.tau) * g).mul_add(z, q);
    if ADAM {
        let half_step = V::constant(0.5 * c.tau * c1);
        [-(half_step * gd * z), half_step.mul_add(along, V::constant(c1 * (1.0 + 0.5 * c1 * c.tau)) * z), v]
    } else {
        let corrected = (-(c2 * gd_slope)).mul_add(cubes, k.mul_add(z, -(half * gd * hz)));
        [tau.mul_add(corrected, -(gd * z)), zero, v]
    }
}
