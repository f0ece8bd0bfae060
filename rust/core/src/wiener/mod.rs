//! The Wiener path of a block: increments on the grid of steps, composed of the cells of `wiener_dt`.
//!
//! Whatever scheme reads it, the path of a lane depends on the key, the path's index, `wiener_dt`, the number of
//! Wiener processes, the law of the increments and the element type alone.

mod area;
mod mirror;
mod window;

pub use area::{LevyArea, terms};

use crate::buffer::Buffer;
use crate::elementwise::{add_product, add_scaled};
use crate::lanes::Real;
use crate::rng::{Address, Drawn, Tag, fill_normals, fill_normals_f32};
use crate::scheme::{Beside, Draws, StepAddress};
pub(crate) use mirror::{Half, Mirror, Second};
use std::ops::Range;
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
    /// Length of a step; of the shortest where they differ.
    pub h: f64,
    /// Cells of the Wiener path in that step.
    pub cells: u64,
    /// The law of the increments.
    pub increments: Increments,
    /// Whether paths 2i and 2i + 1 see one Wiener path, that of number i, and its negative.
    pub antithetic: bool,
}

/// Iterated integrals of cells. They are even in the Wiener path: the two paths of an antithetic pair see the same.
struct Areas<T> {
    area: LevyArea<T>,
    shared: Option<Mirror<T>>,
}

impl<T: Element> Areas<T> {
    fn new(m: usize, cell_h: f64, width: usize, antithetic: bool) -> Self {
        let lanes = if antithetic { Half::most(width) } else { width };
        let shared = antithetic.then(|| Mirror::new(m * m, width, Second::Same));
        Self { area: LevyArea::new(m, cell_h, lanes), shared }
    }

    /// Writes those of a cell, given the increments of its streams.
    fn cell(&mut self, at: Address, cell: u64, h: f64, dw: &[T], out: &mut [T]) {
        let Some(shared) = &mut self.shared else { return self.area.iterated(at, cell, h, dw, out) };
        let lanes = shared.half.width;
        let squares = (dw.len() / lanes).pow(2);
        self.area.iterated(shared.half.address(at), cell, h, dw, &mut shared.rows[..squares * lanes]);
        shared.expand(out.len() / squares, out);
    }
}

/// Makes the noise of one block, step by step. Allocates when made, never after.
pub struct WienerPath<T: Element> {
    key: u64,
    grid: Grid,
    /// Absolute cells of the run.
    first_cell: u64,
    last_cell: u64,
    composed: bool,
    draws: Draws,
    width: usize,
    first_path: u64,
    cells: Window<T>,
    cells_b: Window<T>,
    residuals: Window<T>,
    /// Standard normals that the integrals over time have beside the increments, one a cell and Wiener process.
    bridges: Window<T>,
    /// Increments of a step of more than one cell, or of two groups, or with those of the next step.
    sum: Buffer<T>,
    ahead: Buffer<T>,
    /// The first cell of the step whose increments `ahead` holds.
    ahead_of: Option<u64>,
    time_integrals: Buffer<T>,
    area: Option<Areas<T>>,
    iterated: Buffer<T>,
    cell_iterated: Buffer<T>,
}

impl<T: Element> WienerPath<T> {
    /// The noise that `draws` asks for in absolute cells, for blocks of `width` lanes; `composed` where a step may have
    /// more cells than one.
    pub fn new(key: u64, grid: Grid, run: Range<u64>, composed: bool, draws: Draws, width: usize) -> Self {
        let m = draws.wiener;
        let rows = |wanted: bool, rows: usize| Buffer::new(if wanted { rows * width } else { 0 });
        let gathered = composed || draws.wiener_b > 0 || draws.time_integrals || draws.ahead;
        let cell_h = grid.h / grid.cells as f64;
        let antithetic = grid.antithetic;
        let window = |per_step, law, variance| Window::new(per_step, width, law, variance, antithetic);
        Self {
            key,
            grid,
            first_cell: run.start,
            last_cell: run.end + if draws.ahead { grid.cells } else { 0 },
            composed,
            draws,
            width,
            first_path: 0,
            cells: window(m, grid.increments, cell_h),
            cells_b: window(draws.wiener_b, grid.increments, cell_h),
            residuals: window(draws.residuals, Increments::Gaussian, 1.0),
            bridges: window(if draws.time_integrals { m } else { 0 }, Increments::Gaussian, cell_h),
            sum: rows(gathered, draws.increments()),
            ahead: rows(draws.ahead, draws.increments()),
            ahead_of: None,
            time_integrals: rows(draws.time_integrals, m),
            area: draws.iterated.then(|| Areas::new(m, cell_h, width, antithetic)),
            iterated: rows(draws.iterated, m * m),
            cell_iterated: rows(draws.iterated && gathered, m * m),
        }
    }

    /// Moves to the block that begins with this path; its rows may be shorter than those allocated.
    pub fn start_block(&mut self, first_path: u64, width: usize) {
        self.first_path = first_path;
        self.width = width;
        for window in [&mut self.cells, &mut self.cells_b, &mut self.residuals, &mut self.bridges] {
            window.start_block(first_path, width);
        }
        if let Some(shared) = self.area.as_mut().and_then(|area| area.shared.as_mut()) {
            shared.start_block(first_path, width);
        }
        self.ahead_of = None;
    }

    /// Where a step draws what it makes itself; it begins so many cells after the run.
    pub fn at(&self, begin: u64, cells: u64) -> StepAddress {
        StepAddress {
            key: self.key,
            first_path: self.first_path,
            cell: self.first_cell + begin,
            cells,
            antithetic: self.grid.antithetic,
        }
    }

    fn cell_h(&self) -> f64 {
        self.grid.h / self.grid.cells as f64
    }

    fn address(&self, tag: Tag) -> Address {
        Address { key: self.key, tag, first_path: self.first_path }
    }

    /// Increments of as many steps from the `k`-th on as are at hand, at most `most`, `m` rows a step, and their number;
    /// for steps of one cell each that need nothing else. Where steps look ahead, those of the step after are there too.
    pub fn run(&mut self, k: u64, most: u64) -> (Drawn<'_, T>, usize) {
        let (at, ahead) = (self.address(Tag::WIENER), u64::from(self.draws.ahead));
        self.cells.steps(at, self.first_cell + k, (most, ahead), self.last_cell, self.width)
    }

    /// Whether [`WienerPath::run`] is to be used: steps are of one cell and need nothing but increments, their own or the
    /// next step's as well.
    pub fn is_plain(&self) -> bool {
        let Draws { wiener: _, wiener_b, iterated, time_integrals, ahead: _, residuals } = self.draws;
        !self.composed && wiener_b == 0 && !iterated && !time_integrals && residuals == 0
    }

    /// Increments of a step that begins so many cells after the run, and what else of it was asked for.
    pub fn step(&mut self, begin: u64, cells: u64) -> (&[T], Beside<'_, T>) {
        let Draws { wiener: m, wiener_b, iterated, time_integrals, ahead, residuals: _ } = self.draws;
        let (width, both) = (self.width, m + wiener_b);
        let (first, last) = (self.first_cell + begin, self.last_cell);
        let (wiener, area_at, residual) =
            (self.address(Tag::WIENER), self.address(Tag::AREA), self.address(Tag::RESIDUAL));
        let dw = if cells == 1 && wiener_b == 0 && !time_integrals && !ahead {
            self.cells.step(wiener, first, last, width);
            let cell_h = self.cell_h();
            if let Some(area) = &mut self.area {
                let out = &mut self.iterated[..m * m * width];
                area.cell(area_at, first, cell_h, self.cells.streams(first, width), out);
            }
            self.cells.step(wiener, first, last, width)
        } else {
            if self.ahead_of == Some(first) {
                std::mem::swap(&mut self.sum, &mut self.ahead);
            } else {
                self.compose(first, cells);
            }
            if ahead {
                std::mem::swap(&mut self.sum, &mut self.ahead);
                self.compose(first + cells, cells);
                std::mem::swap(&mut self.sum, &mut self.ahead);
                self.ahead_of = Some(first + cells);
            }
            &self.sum[..both * width]
        };
        let rows = |wanted: bool, rows: usize| if wanted { rows * width } else { 0 };
        let beside = Beside {
            iterated: &self.iterated[..rows(iterated, m * m)],
            time_integrals: &self.time_integrals[..rows(time_integrals, m)],
            ahead: &self.ahead[..rows(ahead, both)],
            residuals: self.residuals.step(residual, first, last, width),
        };
        (dw, beside)
    }

    /// Composes increments and integrals of the step that begins at a cell, from those of its cells.
    fn compose(&mut self, first: u64, cells: u64) {
        let Draws { wiener: m, wiener_b, .. } = self.draws;
        let (width, last, cell_h) = (self.width, self.last_cell, self.cell_h());
        let (wiener, wiener_b_at) = (self.address(Tag::WIENER), self.address(Tag::WIENER_B));
        let (area_at, bridge_at) = (self.address(Tag::AREA), self.address(Tag::I10));
        let squares = if self.draws.iterated { m * m * width } else { 0 };
        let (sum, sum_b) = self.sum[..(m + wiener_b) * width].split_at_mut(m * width);
        let iterated = &mut self.iterated[..squares];
        let integrals = &mut self.time_integrals[..if self.draws.time_integrals { m * width } else { 0 }];
        sum.fill(T::default());
        sum_b.fill(T::default());
        iterated.fill(T::default());
        integrals.fill(T::default());
        for cell in first..first + cells {
            self.cells.step(wiener, cell, last, width);
            if let Some(area) = &mut self.area {
                area.cell(area_at, cell, cell_h, self.cells.streams(cell, width), &mut self.cell_iterated[..squares]);
            }
            let dw = self.cells.step(wiener, cell, last, width);
            if squares > 0 {
                let of_cell = &self.cell_iterated[..squares];
                compose_iterated(iterated, of_cell, sum, dw, width);
            }
            if !integrals.is_empty() {
                // ∫ (W(s) - W(cell)) ds = (h/2)(ΔW + Z/√3) with Z ~ N(0, h), and the path so far for the cell's time.
                add_scaled(integrals, sum, cell_h);
                add_scaled(integrals, dw, 0.5 * cell_h);
                add_scaled(integrals, self.bridges.step(bridge_at, cell, last, width), 0.5 * cell_h / 3.0_f64.sqrt());
            }
            add_scaled(sum, dw, 1.0);
            if !sum_b.is_empty() {
                add_scaled(sum_b, self.cells_b.step(wiener_b_at, cell, last, width), 1.0);
            }
        }
    }
}

/// `I_(i,j) += I_(i,j),cell + (W_i(cell) - W_i(step)) ΔW_j,cell`.
fn compose_iterated<T: Real>(iterated: &mut [T], cell: &[T], so_far: &[T], dw: &[T], width: usize) {
    let m = dw.len() / width;
    add_scaled(iterated, cell, 1.0);
    for i in 0..m {
        for j in 0..m {
            let out = &mut iterated[(i * m + j) * width..(i * m + j + 1) * width];
            add_product(out, &so_far[i * width..], &dw[j * width..]);
        }
    }
}
