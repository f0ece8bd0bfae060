//! Symmetric α-stable noise `z = c S`: no variance for α < 2, no Wiener process; its equation is driven by a Lévy process.

use super::{Noise, NoiseKind};
use crate::elementwise::{add_scaled, multiply};
use crate::lanes::Real;
use crate::rng::{Address, HeavyTails, Tag, fill_heavy_tails, fill_normals, normals_per_block, power};
use crate::scheme::Step;

/// Stable noise: independent components, or a vector of isotropic law.
#[derive(Clone, Debug)]
pub struct Stable {
    alpha: f64,
    scale: Vec<f64>,
    isotropic: bool,
}

impl Stable {
    /// Of index `alpha` in (0, 2], `E e^{ik z_j} = e^{-|scale_j k|^α}`; an isotropic law has one scale.
    pub fn new(alpha: f64, scale: Vec<f64>, isotropic: bool) -> Self {
        debug_assert!(alpha > 0.0 && alpha <= 2.0);
        Self { alpha, scale, isotropic }
    }

    /// What the equation of SGD with learning rate `lr` multiplies this noise by: `lr^{(α-1)/α}`.
    pub fn rate(&self, lr: f64) -> f64 {
        power(lr, (self.alpha - 1.0) / self.alpha)
    }

    /// What a step of length `h` multiplies a draw by: `h^{1/α}`, as the Lévy process is self-similar.
    pub fn spread(&self, h: f64) -> f64 {
        power(h, 1.0 / self.alpha)
    }

    /// Rows of working memory of [`Stable::add`]: whole blocks of normals, and their radius.
    pub fn rows(&self) -> usize {
        self.scale.len() + 4
    }

    /// Adds `factor · c S`, S a draw over the whole step: the sum of the draws of its cells, each `cells^{-1/α}` of one, so
    /// that steps of any length on one grid see one Lévy path. Of `copies` independent draws it is the `copy`-th.
    pub fn add<T: Real>(
        &self,
        step: &Step<'_, T>,
        factor: f64,
        (copy, copies): (u64, u64),
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let (at, width) = (step.at.stream(Tag::JUMP), step.span.width);
        let of_cell = if step.at.cells == 1 { factor } else { factor * self.spread(1.0 / step.at.cells as f64) };
        for cell in step.at.cell..step.at.cell + step.at.cells {
            self.draw(at, cell * copies + copy, scratch, width);
            for ((out, s), c) in out.chunks_exact_mut(width).zip(scratch.chunks_exact(width)).zip(&self.scale) {
                add_scaled(out, s, of_cell * c);
            }
        }
    }

    /// Writes draw `number` of the stream, of scale 1, into the first `d` rows.
    fn draw<T: Real>(&self, at: Address, number: u64, out: &mut [T], width: usize) {
        let d = self.scale.len();
        if !self.isotropic {
            let blocks = number * d as u64..(number + 1) * d as u64;
            fill_heavy_tails(HeavyTails::Stable(self.alpha), at, blocks, width, out);
            return;
        }
        let per_block = normals_per_block::<T>();
        let of_normals = (d as u64).div_ceil(per_block);
        let first = number * (1 + of_normals);
        let (normals, radius) = out.split_at_mut((of_normals * per_block) as usize * width);
        let radius = &mut radius[..width];
        fill_heavy_tails(HeavyTails::StableRadius(self.alpha), at, first..first + 1, width, radius);
        fill_normals(at, first + 1..first + 1 + of_normals, 1.0, width, normals);
        for row in normals.chunks_exact_mut(width).take(d) {
            multiply(row, radius);
        }
    }
}

impl<T: Real> Noise<T> for Stable {
    fn dim(&self) -> usize {
        self.scale.len()
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Levy
    }
    fn stable(&self) -> Option<&Stable> {
        Some(self)
    }
    fn has_jacobian(&self) -> bool {
        false
    }
}
