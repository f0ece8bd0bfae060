//! The equations of order 1 on a block: the drift, and a whole Euler–Maruyama step with the state in registers.

use super::preconditioner::{Preconditioner, Quantity};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// The constants of a step: those of the equation times its length `h`, which is 1 for the drift itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    /// `h` times what multiplies `D m` (or `D g`) in the equation of the parameters.
    pub speed: f64,
    /// `h` times the decoupled decay.
    pub decay: f64,
    /// `h c_1` of Adam; None for RMSprop.
    pub first: Option<f64>,
    /// `h c_2`.
    pub second: f64,
    /// How far ahead of `m` the parameters look: the weight of `g - m`.
    pub ahead: f64,
    /// Beside the root.
    pub eps: f64,
    /// Whether the second moment follows `g²` beside the variances.
    pub signal: bool,
}

/// The noise of a step, in the unit of the gradient: a constant times a row, for each coordinate.
#[derive(Clone, Copy)]
pub(super) struct Kick<'a, T> {
    pub rows: &'a [T],
    pub constant: f64,
    /// What multiplies the constant further.
    pub each: Option<&'a [f64]>,
}

/// The increments of all coordinates.
pub(super) struct First<'a, T> {
    pub constants: Constants,
    pub relative: Option<&'a [f64]>,
    pub floor: &'a [f64],
    pub variances: Quantity<'a, T>,
    pub g: &'a [T],
    pub width: usize,
}

impl<'a, T: Real> First<'a, T> {
    /// Writes the drift at `x`.
    pub fn drift(self, x: &[T], out: &mut [T]) {
        self.check(x);
        assert!(out.len() >= x.len());
        dispatch(Run { of: self, kick: None, x: x.as_ptr(), out: out.as_mut_ptr(), advance: false });
    }

    /// Advances `x` by a step.
    pub fn advance(self, x: &mut [T], kick: Option<Kick<'a, T>>) {
        self.check(x);
        if let Some(kick) = &kick {
            assert!(kick.rows.len() >= self.floor.len() * self.width);
            assert!(kick.each.is_none_or(|each| each.len() >= self.floor.len()));
        }
        let out = x.as_mut_ptr();
        dispatch(Run { of: self, kick, x: out, out, advance: true });
    }

    fn check(&self, x: &[T]) {
        let d = self.floor.len();
        let parts = if self.constants.first.is_some() { 3 } else { 2 };
        assert!(x.len() >= parts * d * self.width && self.g.len() >= d * self.width);
        assert!(self.relative.is_none_or(|u| u.len() >= d));
        self.variances.check(d, self.width);
    }
}

/// What was checked: `x` holds all rows of the state, and so does `out`, which may be `x`.
struct Run<'a, T> {
    of: First<'a, T>,
    kick: Option<Kick<'a, T>>,
    x: *const T,
    out: *mut T,
    advance: bool,
}

impl<T: Real> Kernel for Run<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        match (self.of.constants.first.is_some(), self.advance) {
            (true, true) => self.rows::<S, true, true>(),
            (true, false) => self.rows::<S, true, false>(),
            (false, true) => self.rows::<S, false, true>(),
            (false, false) => self.rows::<S, false, false>(),
        }
    }
}

impl<T: Real> Run<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const ADAM: bool, const ADVANCE: bool>(self) {
        let Self { of, kick, x, out, .. } = self;
        let Constants { speed, decay, first, second, ahead, eps, signal } = of.constants;
        let (d, width, lanes) = (of.floor.len(), of.width, <T::V<S> as Vector>::LANES);
        let zero = <T::V<S>>::constant(0.0);
        let (c1, c2) = (<T::V<S>>::constant(first.unwrap_or(0.0)), <T::V<S>>::constant(second));
        let weight = <T::V<S>>::constant(ahead);
        // A step starts at the state, the drift at 0.
        let from = |x: T::V<S>| if ADVANCE { x } else { zero };
        for i in 0..d {
            let u = of.relative.map_or(1.0, |u| u[i]);
            let speed = <T::V<S>>::constant(-speed * u);
            let shrink = <T::V<S>>::constant(-decay * u);
            let by = Preconditioner::<T::V<S>>::new(of.floor[i], eps);
            let variance = of.variances.of::<T::V<S>>(i, width);
            let kick = kick.map(|kick| {
                let constant = kick.constant * kick.each.map_or(1.0, |each| each[i]);
                (<T::V<S>>::constant(constant), kick.rows.as_ptr().wrapping_add(i * width))
            });
            let (theta_row, m_row, v_row) = (i * width, (d + i) * width, ((if ADAM { 2 } else { 1 }) * d + i) * width);
            for p in (0..width).step_by(lanes) {
                // SAFETY: the rows were checked; the width is a multiple of the lanes; a vector of `out` is written
                // after those of `x` at its place were read.
                unsafe {
                    let v = <T::V<S>>::load(x.add(v_row + p));
                    let g = <T::V<S>>::load(of.g.as_ptr().add(i * width + p));
                    let noisy = match kick {
                        Some((constant, row)) => constant.mul_add(<T::V<S>>::load(row.add(p)), g),
                        None => g,
                    };
                    let variance = variance.at(p);
                    let target = if signal { g.mul_add(g, variance) } else { variance };
                    let theta = <T::V<S>>::load(x.add(theta_row + p));
                    let direction = if ADAM {
                        let m = <T::V<S>>::load(x.add(m_row + p));
                        c1.mul_add(noisy - m, from(m)).store(out.add(m_row + p));
                        if ahead == 0.0 { m } else { weight.mul_add(g - m, m) }
                    } else {
                        noisy
                    };
                    let start = if decay == 0.0 { from(theta) } else { shrink.mul_add(theta, from(theta)) };
                    by.divide(speed, v).mul_add(direction, start).store(out.add(theta_row + p));
                    c2.mul_add(target - v, from(v)).store(out.add(v_row + p));
                }
            }
        }
    }
}
