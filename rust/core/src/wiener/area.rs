//! Lévy areas and iterated integrals of one cell: truncated Fourier series with the tail of Mrongowius & Rößler (2022).

use crate::elementwise::{add_product, add_scaled, scale};
use crate::lanes::Real;
use crate::rng::{Address, fill_normals, normals_per_block};

/// Fourier terms for strong order 1 at cell length `h`: the mean-square error is then at most `h^{3/2}`
/// (Kastner & Rößler 2023: `sqrt(m/12)/π · h/ε` terms).
pub fn terms(m: usize, h: f64) -> usize {
    (((m as f64 / 12.0).sqrt() / (std::f64::consts::PI * h.sqrt())).ceil() as usize).max(1)
}

/// Draws the areas of `m` Wiener processes in blocks of `width` lanes.
pub struct LevyArea<T> {
    m: usize,
    terms: usize,
    /// Generator blocks of a Fourier term, of the tail, and of a whole cell.
    term_blocks: u64,
    tail_blocks: u64,
    normals: Vec<T>,
    shifted: Vec<T>,
}

impl<T: Real> LevyArea<T> {
    /// Areas of cells of length `h`: their number of terms depends on `m` and `h` alone.
    pub fn new(m: usize, h: f64, width: usize) -> Self {
        let per_block = normals_per_block::<T>();
        let term_blocks = (2 * m as u64).div_ceil(per_block);
        let tail_blocks = ((m + m * (m - 1) / 2) as u64).div_ceil(per_block);
        let rows = (term_blocks.max(tail_blocks) * per_block) as usize;
        Self {
            m,
            terms: terms(m, h),
            term_blocks,
            tail_blocks,
            normals: vec![T::default(); rows * width],
            shifted: vec![T::default(); m * width],
        }
    }

    /// Writes `I_(i,j)` of the cell, row `i·m + j`, given its increments.
    pub fn iterated(&mut self, at: Address, cell: u64, h: f64, dw: &[T], out: &mut [T]) {
        let m = self.m;
        let width = dw.len() / m;
        let row = |r: usize| r * width..(r + 1) * width;
        let per_block = normals_per_block::<T>();
        let mut block = cell * (self.terms as u64 * self.term_blocks + self.tail_blocks);
        out.fill(T::default());
        // The lower triangle of 2π A; with w = ΔW / sqrt(h).
        let root = h.sqrt();
        let mut tail = std::f64::consts::PI.powi(2) / 6.0;
        for k in 1..=self.terms {
            tail -= 1.0 / (k * k) as f64;
            let normals = &mut self.normals[..(self.term_blocks * per_block) as usize * width];
            fill_normals(at, block..block + self.term_blocks, 1.0, width, normals);
            block += self.term_blocks;
            let (x, y) = normals.split_at_mut(m * width);
            // (Y - sqrt(2) w) / k
            let y = &mut y[..m * width];
            add_scaled(y, dw, -std::f64::consts::SQRT_2 / root);
            scale(y, 1.0 / k as f64);
            assign_negative(&mut self.shifted[..m * width], x);
            for i in 1..m {
                for j in 0..i {
                    let a = &mut out[row(i * m + j)];
                    add_product(a, &y[row(i)], &x[row(j)]);
                    add_product(a, &self.shifted[row(i)], &y[row(j)]);
                }
            }
        }
        let alpha = (2.0 * tail).sqrt();
        let normals = &mut self.normals[..(self.tail_blocks * per_block) as usize * width];
        fill_normals(at, block..block + self.tail_blocks, alpha * alpha, width, normals);
        let (shared, single) = normals.split_at_mut(m * width);
        scale(shared, 1.0 / root);
        assign_negative(&mut self.shifted[..m * width], shared);
        for (pair, (i, j)) in (1..m).flat_map(|i| (0..i).map(move |j| (i, j))).enumerate() {
            let a = &mut out[row(i * m + j)];
            add_product(a, &dw[row(i)], &shared[row(j)]);
            add_product(a, &self.shifted[row(i)], &dw[row(j)]);
            add_scaled(a, &single[row(pair)], 1.0);
        }
        // I_(i,j) = ΔW_i ΔW_j / 2 - h δ_ij / 2 + h A_ij
        let unit = h / (2.0 * std::f64::consts::PI);
        for i in 0..m {
            for j in 0..i {
                let (upper, lower) = out.split_at_mut((i * m + j) * width);
                let lower = &mut lower[..width];
                let upper = &mut upper[row(j * m + i)];
                scale(lower, unit);
                assign_negative(upper, lower);
                product_half(lower, &dw[row(i)], &dw[row(j)], &mut self.shifted[..width]);
                add_scaled(upper, &self.shifted[..width], 1.0);
            }
            let diagonal = &mut out[row(i * m + i)];
            diagonal.fill(T::from_f64(-h));
            add_product(diagonal, &dw[row(i)], &dw[row(i)]);
            scale(diagonal, 0.5);
        }
    }
}

/// `out = -x`.
fn assign_negative<T: Real>(out: &mut [T], x: &[T]) {
    out.copy_from_slice(&x[..out.len()]);
    scale(out, -1.0);
}

/// `half = x y / 2` and `out += half`.
fn product_half<T: Real>(out: &mut [T], x: &[T], y: &[T], half: &mut [T]) {
    half.fill(T::default());
    add_product(half, x, y);
    scale(half, 0.5);
    add_scaled(out, half, 1.0);
}
