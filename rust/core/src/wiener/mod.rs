//! The Wiener path of a block: increments on the grid of steps, composed of the cells of `wiener_dt`.
//!
//! Whatever scheme reads it, the path of a lane depends on the key, the path's index, `wiener_dt`, the number of
//! Wiener processes, the law of the increments and the element type alone.

mod area;
mod window;

pub use area::{LevyArea, terms};

use crate::buffer::Buffer;
use crate::elementwise::{add_product, add_scaled};
use crate::lanes::Real;
use crate::rng::{Address, Drawn, Tag, fill_normals, fill_normals_f32};
use crate::scheme::{Draws, StepAddress};
use window::Window;

/// The law of the increments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Increments {
    /// Normals of the element type's precision.
    Gaussian,
    /// Normals of single precision, whatever the element type: half the cost, tails end at 6.66 standard deviations.
    GaussianF32,
    /// `±sqrt(h)`: enough for expectations at weak order 1.
    TwoPoint,
    /// `±sqrt(3h)` with probability 1/6 each, else 0: enough for expectations at weak order 2.
    ThreePoint,
}

/// Element types differ in how they take normals of single precision.
pub trait Element: Real {
    /// Fills rows with normals of single precision; four a generator block.
    fn fill_single(at: Address, blocks: std::ops::Range<u64>, variance: f64, width: usize, out: &mut [Self]);
}

impl Element for f64 {
    fn fill_single(at: Address, blocks: std::ops::Range<u64>, variance: f64, width: usize, out: &mut [Self]) {
        fill_normals_f32(at, blocks, variance, width, out);
    }
}

impl Element for f32 {
    fn fill_single(at: Address, blocks: std::ops::Range<u64>, variance: f64, width: usize, out: &mut [Self]) {
        fill_normals(at, blocks, variance, width, out);
    }
}

/// The grid that noise is drawn on.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Length of a step.
    pub h: f64,
    /// Cells of the Wiener path in a step.
    pub cells: u64,
    /// The law of the increments.
    pub increments: Increments,
}

/// Makes the noise of one block, step by step. Allocates when made, never after.
pub struct WienerPath<T: Element> {
    key: u64,
    grid: Grid,
    /// Absolute cells of the run.
    first_cell: u64,
    last_cell: u64,
    draws: Draws,
    width: usize,
    first_path: u64,
    cells: Window<T>,
    cells_b: Window<T>,
    residuals: Window<T>,
    /// Increments of a step of more than one cell, or of two groups.
    sum: Buffer<T>,
    area: Option<LevyArea<T>>,
    iterated: Buffer<T>,
    cell_iterated: Buffer<T>,
}

impl<T: Element> WienerPath<T> {
    /// The noise that `draws` asks for in `n_steps` steps from an absolute cell on, for blocks of `width` lanes.
    pub fn new(key: u64, grid: Grid, first_cell: u64, n_steps: u64, draws: Draws, width: usize) -> Self {
        let m = draws.wiener;
        let squares = if draws.iterated { m * m * width } else { 0 };
        let composed = grid.cells > 1;
        let gathered = composed || draws.wiener_b > 0;
        let cell_h = grid.h / grid.cells as f64;
        Self {
            key,
            grid,
            first_cell,
            last_cell: first_cell + n_steps * grid.cells,
            draws,
            width,
            first_path: 0,
            cells: Window::new(m, width, grid.increments, cell_h),
            cells_b: Window::new(draws.wiener_b, width, grid.increments, cell_h),
            residuals: Window::new(draws.residuals, width, Increments::Gaussian, 1.0),
            sum: Buffer::new(if gathered { draws.increments() * width } else { 0 }),
            area: draws.iterated.then(|| LevyArea::new(m, cell_h, width)),
            iterated: Buffer::new(squares),
            cell_iterated: Buffer::new(if composed { squares } else { 0 }),
        }
    }

    /// Moves to the block that begins with this path; its rows may be shorter than those allocated.
    pub fn start_block(&mut self, first_path: u64, width: usize) {
        self.first_path = first_path;
        self.width = width;
        self.cells.forget();
        self.cells_b.forget();
        self.residuals.forget();
    }

    /// Where the `k`-th step draws what it makes itself.
    pub fn at(&self, k: u64) -> StepAddress {
        let cells = self.grid.cells;
        StepAddress { key: self.key, first_path: self.first_path, cell: self.first_cell + k * cells, cells }
    }

    fn address(&self, tag: Tag) -> Address {
        Address { key: self.key, tag, first_path: self.first_path }
    }

    /// Increments of as many steps from the `k`-th on as are at hand, at most `most`, `m` rows a step, and their number;
    /// for steps of one cell that need nothing else.
    pub fn run(&mut self, k: u64, most: u64) -> (Drawn<'_, T>, usize) {
        let at = self.address(Tag::WIENER);
        self.cells.steps(at, self.first_cell + k, most, self.last_cell, self.width)
    }

    /// Whether steps are of one cell and need increments alone.
    pub fn is_plain(&self) -> bool {
        let Draws { wiener, wiener_b, iterated, residuals } = self.draws;
        self.grid.cells == 1 && wiener > 0 && wiener_b == 0 && !iterated && residuals == 0
    }

    /// Increments, iterated integrals and residuals of the `k`-th step.
    pub fn step(&mut self, k: u64) -> (&[T], &[T], &[T]) {
        let (width, cells, last) = (self.width, self.grid.cells, self.last_cell);
        let first = self.first_cell + k * cells;
        let wiener = self.address(Tag::WIENER);
        let wiener_b = self.address(Tag::WIENER_B);
        let area_address = self.address(Tag::AREA);
        let residual = self.address(Tag::RESIDUAL);
        let cell_h = self.grid.h / cells as f64;
        let m = self.draws.wiener;
        let squares = if self.draws.iterated { m * m * width } else { 0 };
        let residuals = self.residuals.step(residual, first, last, width);
        let both = self.draws.increments();
        if both > m {
            let (sum, sum_b) = self.sum[..both * width].split_at_mut(m * width);
            sum.fill(T::default());
            sum_b.fill(T::default());
            for cell in first..first + cells {
                add_scaled(sum, self.cells.step(wiener, cell, last, width), 1.0);
                add_scaled(sum_b, self.cells_b.step(wiener_b, cell, last, width), 1.0);
            }
            // Lévy areas are of one group: no scheme that reads them takes equations of two.
            return (&self.sum[..both * width], &[], residuals);
        }
        if cells == 1 {
            let dw = self.cells.step(wiener, first, last, width);
            if let Some(area) = &mut self.area {
                area.iterated(area_address, first, cell_h, dw, &mut self.iterated[..squares]);
            }
            return (dw, &self.iterated[..squares], residuals);
        }
        let sum = &mut self.sum[..m * width];
        let iterated = &mut self.iterated[..squares];
        sum.fill(T::default());
        iterated.fill(T::default());
        for cell in first..first + cells {
            let dw = self.cells.step(wiener, cell, last, width);
            if let Some(area) = &mut self.area {
                let of_cell = &mut self.cell_iterated[..squares];
                area.iterated(area_address, cell, cell_h, dw, of_cell);
                compose(iterated, of_cell, sum, dw, width);
            }
            add_scaled(sum, dw, 1.0);
        }
        (sum, iterated, residuals)
    }
}

/// `I_(i,j) += I_(i,j),cell + (W_i(cell) - W_i(step)) ΔW_j,cell`.
fn compose<T: Real>(iterated: &mut [T], cell: &[T], so_far: &[T], dw: &[T], width: usize) {
    let m = dw.len() / width;
    add_scaled(iterated, cell, 1.0);
    for i in 0..m {
        for j in 0..m {
            let out = &mut iterated[(i * m + j) * width..(i * m + j + 1) * width];
            add_product(out, &so_far[i * width..], &dw[j * width..]);
        }
    }
}
