//! What the equations of order 2 need at a point, gathered before their kernel runs.

use super::noise::{copy_column, each_column};
use super::preconditioner::Precondition;
use super::second::{Constants, Kick, Second, Slopes};
use super::{Adaptive, Ordering, Regime};
use crate::block::Span;
use crate::elementwise::add_scaled;
use crate::error::Result;
use crate::lanes::Real;
use crate::noise::NoiseKind;
use crate::workspace::with_workspace;

/// Where the result goes.
pub(super) enum Target<'a, T> {
    /// Into rows of their own.
    Write(&'a [T], &'a mut [T]),
    /// Onto the state.
    Advance(&'a mut [T]),
}

/// Takes the first `len` numbers off `rest`.
pub(super) fn take<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (rows, after) = std::mem::take(rest).split_at_mut(len);
    *rest = after;
    rows
}

impl<T: Real> Adaptive<T> {
    fn second_constants(&self, t: f64) -> Constants {
        let (first, second) = self.averages();
        Constants {
            now: self.clock.at(t),
            tau: self.model.tau,
            first,
            second,
            fresh: self.model.ordering == Ordering::Fresh,
            ballistic: self.model.regime == Regime::Ballistic,
            unit: self.unit() * self.unit(),
        }
    }

    /// `out = Γ D y`.
    pub(super) fn precondition(&self, constants: &Constants, x: &[T], y: &[T], out: &mut [T], span: Span) {
        let v = &x[self.first_v() * span.width..];
        let (now, unit, relative, floor) = (constants.now, constants.unit, self.clock.relative(), &self.floor);
        Precondition { scale: now.gamma, relative, floor, eps: now.eps, unit, v, y, out, width: span.width }.apply();
    }

    /// Whether the noise of the parameters is of order 0, so that it has the corrections of the gradient.
    pub(super) fn corrects_noise(&self) -> bool {
        self.model.regime == Regime::BatchEquivalent && self.averages().0.is_none() && self.kind != NoiseKind::None
    }

    /// `out = (∂_w R) dW` with `w = Γ D m`, where the noise of Adam's gradient has moved on within a step; `w` holds `d` rows.
    fn along<'a>(
        &self,
        c: &Constants,
        x: &[T],
        dw: &[T],
        [w, out]: [&'a mut [T]; 2],
        span: Span,
    ) -> Result<Option<&'a [T]>> {
        if c.ballistic || c.first.is_none() || self.noise.is_constant() {
            return Ok(None);
        }
        let len = self.parameters() * span.width;
        self.precondition(c, x, &x[len..2 * len], w, span);
        self.noise.apply_along(&x[..len], w, c.tau, dw, out, span)?;
        Ok(Some(&*out))
    }

    /// `out_i = Σ_jk (Γ D Σ Γ D)_jk ∂_i∂_j∂_k f`.
    fn third(&self, constants: &Constants, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let (d, m, width) = (self.parameters(), self.noise.model.n_wiener(), span.width);
        let len = d * width;
        out.fill(T::default());
        with_workspace(d * m * width + 3 * len, |mut rest| {
            let [f, column] = [d * m * width, len].map(|len| take(&mut rest, len));
            let [y, along] = [len, len].map(|len| take(&mut rest, len));
            self.noise.factor(&x[..len], f, span)?;
            each_column(f, m, column, width, |_, z| {
                self.precondition(constants, x, z, y, span);
                self.loss.third_along(&x[..len], y, along, span)?;
                add_scaled(out, along, 1.0);
                Ok(())
            })
        })
    }

    /// `C dw`, where the equation has it.
    fn cubes<'a>(&self, c: &Constants, dw: &[T], out: &'a mut [T], span: Span) -> Result<Option<&'a [T]>> {
        let asked = self.corrects_noise() && c.fresh && self.noise.apply_cubes(dw, out, span)?;
        Ok(asked.then_some(&*out))
    }

    /// Drift, where it is multiplied by something, and noise, where there are increments.
    pub(super) fn second(
        &self,
        t: f64,
        target: Target<'_, T>,
        drift: Option<f64>,
        dw: Option<&[T]>,
        span: Span,
    ) -> Result<()> {
        let len = self.parameters() * span.width;
        let constants = self.second_constants(t);
        let (corrects_noise, varies) = (self.corrects_noise(), !self.noise.is_constant());
        let increments = dw.filter(|_| self.kind != NoiseKind::None).map(|dw| dw.split_at(dw.len() - len));
        let skewed = self.noise.is_skewed();
        // Whether third moments shift the mean of the parameters.
        let shifts = skewed && drift.is_some() && constants.fresh && constants.first.is_none();
        let bent = self.bend_rows() * span.width;
        with_workspace(12 * len + bent, |mut rest| {
            let x: &[T] = match &target {
                Target::Write(x, _) => x,
                Target::Advance(x) => x,
            };
            let theta = &x[..len];
            let bend = take(&mut rest, bent);
            let bend = self.bend(&constants, x, bend, span)?;
            let [g, s, w, hw] = [len; 4].map(|len| take(&mut rest, len));
            let [jw, third, skew, z, q, hz, cubes, along] = [len; 8].map(|len| take(&mut rest, len));
            self.loss.grad(theta, g, span)?;
            let variances = self.noise.variances(theta, s, span)?;
            if shifts || skewed && increments.is_some() {
                self.noise.skewed(theta, increments, [&mut *z, &mut *q], shifts.then_some(&mut *skew), span)?;
            }
            let slopes = match drift {
                None => None,
                Some(times) => {
                    let direction = if constants.first.is_some() { &x[len..2 * len] } else { &*g };
                    self.precondition(&constants, x, direction, w, span);
                    self.loss.hess_vec(theta, w, hw, span)?;
                    if varies {
                        self.noise.variances_along(theta, w, jw, span)?;
                    }
                    if let Some(bend) = &bend {
                        bend.correct_drift(jw, span.width);
                    }
                    let has_third = corrects_noise && !self.loss.is_quadratic();
                    if has_third {
                        self.third(&constants, x, third, span)?;
                    }
                    let (jw, third) = (varies.then_some(&*jw), has_third.then_some(&*third));
                    Some((Slopes { hw, jw, third, skew: shifts.then_some(&*skew) }, times))
                }
            };
            let kick = match increments {
                None => None,
                Some((dw, db)) => {
                    if !skewed {
                        self.noise.apply(theta, dw, z, span)?;
                        self.noise.apply_squares(theta, db, q, span)?;
                    }
                    if corrects_noise {
                        self.precondition(&constants, x, z, w, span);
                        self.loss.hess_vec(theta, w, hz, span)?;
                    }
                    if let Some(bend) = &bend {
                        self.bend_noise(&constants, (x, g), bend, (z, dw), [&mut *hz, &mut *q], span)?;
                    }
                    let cubes = self.cubes(&constants, dw, cubes, span)?;
                    let along = self.along(&constants, x, dw, [w, along], span)?;
                    Some(Kick { z, q, hz: corrects_noise.then_some(&*hz), cubes, along })
                }
            };
            let (relative, floor, width) = (self.clock.relative(), &*self.floor, span.width);
            let second = Second { constants, relative, floor, variances, g, drift: slopes, kick, width };
            match target {
                Target::Write(x, out) => second.write(x, out),
                Target::Advance(x) => second.advance(x),
            }
            Ok(())
        })
    }

    /// The factor of an equation with noise.
    pub(super) fn second_factor(&self, t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        let (d, width) = (self.parameters(), span.width);
        let theta = &x[..d * width];
        if self.noise.is_skewed() {
            return self.noise.with_square_factors(theta, span, |noise, shared, own| {
                self.columns(t, x, [noise, own], Some(shared), f, span)
            });
        }
        let len = d * self.noise.model.n_wiener() * width;
        with_workspace(len + d * d * width, |work| {
            let (noise, own) = work.split_at_mut(len);
            self.noise.factor(theta, noise, span)?;
            self.noise.squares_factor(theta, own, span)?;
            self.columns(t, x, [noise, own], None, f, span)
        })
    }

    /// The factor column by column, from those of the gradient and of its squares: what moves the gradient, and perhaps its
    /// squares, then what moves the squares alone.
    fn columns(
        &self,
        t: f64,
        x: &[T],
        [noise, own]: [&[T]; 2],
        shared: Option<&[T]>,
        f: &mut [T],
        span: Span,
    ) -> Result<()> {
        let (d, m, width) = (self.parameters(), self.noise.model.n_wiener(), span.width);
        let (len, columns) = (d * width, m + d);
        let constants = self.second_constants(t);
        let bent = self.bend_rows() * width;
        with_workspace(9 * len + m * width + x.len() + bent, |mut rest| {
            let [out, dw] = [x.len(), m * width].map(|len| take(&mut rest, len));
            let [g, s, column, q, y, hz, cubes, along, zero] = [len; 9].map(|len| take(&mut rest, len));
            let bend = take(&mut rest, bent);
            let theta = &x[..len];
            zero.fill(T::default());
            self.loss.grad(theta, g, span)?;
            let bend = self.bend(&constants, x, bend, span)?;
            let variances = self.noise.variances(theta, s, span)?;
            let mut write = |j: usize, kick: Kick<'_, T>| {
                let (relative, floor) = (self.clock.relative(), &*self.floor);
                let second = Second { constants, relative, floor, variances, g, drift: None, kick: Some(kick), width };
                second.write(x, out);
                for (i, row) in out.chunks_exact(width).enumerate() {
                    f[(i * columns + j) * width..][..width].copy_from_slice(row);
                }
            };
            each_column(noise, m, column, width, |j, z| {
                match shared {
                    Some(shared) => copy_column(shared, (j, m), q, width),
                    None => q.fill(T::default()),
                }
                if self.corrects_noise() {
                    self.precondition(&constants, x, z, y, span);
                    self.loss.hess_vec(theta, y, hz, span)?;
                }
                dw.fill(T::default());
                dw[j * width..(j + 1) * width].fill(T::from_f64(1.0));
                if let Some(bend) = &bend {
                    self.bend_noise(&constants, (x, g), bend, (z, dw), [&mut *hz, &mut *q], span)?;
                }
                let cubes = self.cubes(&constants, dw, cubes, span)?;
                let along = self.along(&constants, x, dw, [&mut *y, &mut *along], span)?;
                write(j, Kick { z, q, hz: self.corrects_noise().then_some(&*hz), cubes, along });
                Ok(())
            })?;
            each_column(own, d, column, width, |j, q| {
                write(m + j, Kick { z: zero, q, hz: None, cubes: None, along: None });
                Ok(())
            })
        })
    }
}
