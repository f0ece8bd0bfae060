//! RMSprop's corrected equation where the covariance of the gradient noise varies: what a step's noise does to that covariance.
//!
//! Within a step the parameters move on by a noise of covariance `τ S`, `S = Γ D Σ Γ D`, on which `Σ` at the place they have
//! reached depends: its mean there is off by `½ τ P`, `P = Σ_jk S_jk ∂_j∂_k Σ`. The one-step conditions put `-¼ P` into the
//! covariance of the parameters, between factors `Γ D`, and `-¼ c P_ii` into the drift of `v`. With the lower roots `L` of `Σ` and
//! `L_P` of `Σ - ¼ τ P`, and `w = Γ D ∇f`, as the parameters move by along `-w`, the noise `-Γ D R dW` becomes
//! `-Γ D (L_P L⁻¹ R + ½ τ ∂_w R) dW`: that of white noise, however small `Σ` is in some directions.
//!
//! `P` is a sum of second differences of `Σ` along the columns of a root of `τ S`, over a fourth of each: no model needs second
//! derivatives. They are exact where `Σ` is of the third degree in the parameters; else what they are off by, `τ/192` fourth
//! derivatives, is of the order that the equation leaves out.

use super::Adaptive;
use super::noise::each_column;
use super::second::Constants;
use super::stages::take;
use crate::block::Span;
use crate::elementwise::{add_scaled, assign_add_scaled, scale, scale_add};
use crate::error::Result;
use crate::lanes::Real;
use crate::noise::{add_covariance, apply_factor, diagonal, lower_root, whiten};
use crate::workspace::with_workspace;

/// How far differences reach, in deviations of a step.
const REACH: f64 = 0.25;

/// What a step does to the covariance at a point.
pub(super) struct Bend<'a, T> {
    /// The diagonal of `τ P`.
    change: &'a [T],
    /// `L`.
    root: &'a [T],
    /// `L_P`.
    bent: &'a [T],
    tau: f64,
}

impl<T: Real> Bend<'_, T> {
    /// From `J w`, what the drift of `v` has of variances: `J w - ½ diag P`.
    pub fn correct_drift(&self, jw: &mut [T]) {
        add_scaled(jw, self.change, -0.5 / self.tau);
    }

    /// Adds `2/τ (L_P L⁻¹ - 1) z` to `out`.
    fn add_to_noise(&self, z: &[T], out: &mut [T], width: usize) {
        with_workspace(2 * out.len(), |work| {
            let (white, bent) = work.split_at_mut(out.len());
            whiten(self.root, z, white, width);
            apply_factor(self.bent, white, bent, width);
            add_scaled(out, bent, 2.0 / self.tau);
            add_scaled(out, z, -2.0 / self.tau);
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
        if self.bends() { d + 2 * d * d } else { 0 }
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
        let [root, bent, change] = [d * d, d * d, d].map(|len| take(&mut rows, len * width));
        with_workspace((d * (m + d) + 4 * d) * width, |mut rest| {
            let [f, covariance] = [d * m, d * d].map(|rows| take(&mut rest, rows * width));
            let [sizes, column, y, place] = [d * width; 4].map(|len| take(&mut rest, len));
            self.noise.factor(theta, f, span)?;
            covariance.fill(T::default());
            add_covariance(f, d, covariance, width);
            diagonal(covariance, sizes, width);
            root.copy_from_slice(covariance);
            lower_root(root, sizes, width);
            bent.copy_from_slice(covariance);
            scale(bent, -2.0 * d as f64);
            each_column(root, d, column, width, |_, z| {
                self.precondition(c, x, z, y, span);
                for side in [reach, -reach] {
                    assign_add_scaled(place, theta, y, side);
                    self.noise.factor(place, f, span)?;
                    add_covariance(f, d, bent, width);
                }
                Ok(())
            })?;
            scale(bent, REACH.powi(-2));
            diagonal(bent, change, width);
            scale_add(bent, covariance, -0.25);
            lower_root(bent, sizes, width);
            Ok(())
        })?;
        Ok(Some(Bend { change, root, bent, tau: c.tau }))
    }

    /// Adds, for the noise `z = R dW`, `2/τ (L_P L⁻¹ - 1) z + (∂_w R) dW` to `H Γ D z`, and `½ τ J Γ D z` to the noise of squares.
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
