//! RMSprop's corrected equation where the covariance of the gradient noise varies: what a step's noise does to that covariance.
//!
//! Within a step the parameters move on by a noise of covariance `τ S`, `S = Γ D Σ Γ D`, on which `Σ` at the place they have
//! reached depends: its mean there is off by `½ τ P`, `P = Σ_jk S_jk ∂_j∂_k Σ`. The one-step conditions put `-¼ P` into the
//! covariance of the parameters, between factors `Γ D`, and `-¼ c P_ii` into the drift of `v`. With `w = Γ D ∇f`, as the parameters
//! move by along `-w`, the noise `-Γ D R dW` becomes `-Γ D (R + ½ τ (∂_w R - ¼ P Σ⁻¹ R)) dW`. Where `Σ` is no larger than `τ P` in some
//! direction, that is no expansion, and no covariance either: `Σ⁻¹` is that of `Σ` and a fourth of a diagonal above `τ P`, with
//! which the noise changes by a half at most, and elsewhere by terms of the order that the equation leaves out.
//!
//! `P` is a sum of second differences of `Σ` along the columns of a root of `τ S`, over a fourth of each: no model needs second
//! derivatives. They are exact where `Σ` is of the third degree in the parameters; else what they are off by, `τ/192` fourth
//! derivatives, is of the order that the equation leaves out.

use super::Adaptive;
use super::noise::each_column;
use super::second::Constants;
use super::stages::take;
use crate::block::Span;
use crate::elementwise::{add_scaled, assign_add_scaled, scale};
use crate::error::Result;
use crate::lanes::Real;
use crate::noise::{add_covariance, add_majorant, apply_factor, lower_root, solve};
use crate::workspace::with_workspace;

/// How far differences reach, in deviations of a step.
const REACH: f64 = 0.25;

/// What a step does to the covariance at a point: `d·d` rows each.
pub(super) struct Bend<'a, T> {
    /// `τ P`.
    change: &'a [T],
    /// The lower root of `Σ` and what is added to it.
    root: &'a [T],
    tau: f64,
}

impl<T: Real> Bend<'_, T> {
    /// From `J w`, what the drift of `v` has of variances: `J w - ½ diag P`.
    pub fn correct_drift(&self, jw: &mut [T], width: usize) {
        let d = jw.len() / width;
        for (i, row) in jw.chunks_exact_mut(width).enumerate() {
            add_scaled(row, &self.change[i * (d + 1) * width..][..width], -0.5 / self.tau);
        }
    }

    /// Adds `-¼ P Σ⁻¹ z` to `out`.
    fn add_to_noise(&self, z: &[T], out: &mut [T], width: usize) {
        with_workspace(2 * out.len(), |work| {
            let (solved, product) = work.split_at_mut(out.len());
            solve(self.root, z, solved, width);
            apply_factor(self.change, solved, product, width);
            add_scaled(out, product, -0.25 / self.tau);
        });
    }
}

impl<T: Real> Adaptive<T> {
    /// Whether the covariance of the parameters' noise changes within a step.
    fn bends(&self) -> bool {
        self.corrects_noise() && !self.noise.is_constant()
    }

    /// Rows of a [`Bend`].
    pub(super) fn bend_rows(&self) -> usize {
        let d = self.parameters();
        if self.bends() { 2 * d * d } else { 0 }
    }

    /// What a step does to the covariance, in rows for it; None where it does not change.
    pub(super) fn bend<'a>(
        &self,
        c: &Constants,
        x: &[T],
        mut rows: &'a mut [T],
        span: Span,
    ) -> Result<Option<Bend<'a, T>>> {
        if !self.bends() {
            return Ok(None);
        }
        let (d, m, width) = (self.parameters(), self.noise.model.n_wiener(), span.width);
        let (theta, reach) = (&x[..d * width], REACH * c.tau.sqrt());
        let [change, root] = [d * d * width; 2].map(|len| take(&mut rows, len));
        with_workspace((d * (m + d) + 3 * d) * width, |mut rest| {
            let [f, own] = [d * m, d * d].map(|rows| take(&mut rest, rows * width));
            let [column, y, place] = [d * width; 3].map(|len| take(&mut rest, len));
            self.noise.factor(theta, f, span)?;
            root.fill(T::default());
            add_covariance(f, d, root, width);
            change.copy_from_slice(root);
            scale(change, -2.0 * d as f64);
            own.copy_from_slice(root);
            lower_root(own, d, width);
            each_column(own, d, column, width, |_, z| {
                self.precondition(c, x, z, y, span);
                for side in [reach, -reach] {
                    assign_add_scaled(place, theta, y, side);
                    self.noise.factor(place, f, span)?;
                    add_covariance(f, d, change, width);
                }
                Ok(())
            })
        })?;
        scale(change, REACH.powi(-2));
        add_majorant(change, 0.25, root, d, width);
        lower_root(root, d, width);
        Ok(Some(Bend { change, root, tau: c.tau }))
    }

    /// Adds, for the noise `z = R dW`, `(∂_w R) dW - ¼ P Σ⁻¹ z` to `H Γ D z`, and `½ τ J Γ D z` to the noise of squares.
    pub(super) fn bend_noise(
        &self,
        c: &Constants,
        (x, g): (&[T], &[T]),
        bend: &Bend<'_, T>,
        (z, dw): (&[T], &[T]),
        [hz, q]: [&mut [T]; 2],
        span: Span,
    ) -> Result<()> {
        let len = hz.len();
        let theta = &x[..len];
        with_workspace(2 * len, |mut rest| {
            let [y, out] = [len; 2].map(|len| take(&mut rest, len));
            self.precondition(c, x, g, y, span);
            self.noise.apply_along(theta, y, c.tau, dw, out, span)?;
            add_scaled(hz, out, 1.0);
            bend.add_to_noise(z, hz, span.width);
            self.precondition(c, x, z, y, span);
            self.noise.variances_along(theta, y, out, span)?;
            add_scaled(q, out, 0.5 * c.tau);
            Ok(())
        })
    }
}
