//! When and where each path first enters a region.

use super::bridge::{Bridge, Level, REACH};
use super::{Block, Functional, Look, Observer, Recorder};
use crate::error::Result;
use crate::lanes::{Kernel, Real, Simd, dispatch};
use std::sync::{Mutex, PoisonError};

/// A set of states.
pub enum Region<T: Real> {
    /// A coordinate at or beyond a level: above it where `rising`, else below.
    Beyond {
        /// The coordinate.
        coord: usize,
        /// The level.
        level: f64,
        /// Whether the region is above it.
        rising: bool,
    },
    /// The parameters within a distance of a point, or, where `outside`, at or beyond it.
    Ball {
        /// The point, of the first rows of the state.
        center: Vec<f64>,
        /// The distance.
        radius: f64,
        /// Which side.
        outside: bool,
    },
    /// Where a function of the first rows of the state is not zero.
    Where(Box<dyn Functional<T>>, usize),
}

/// First passages of the paths of a range.
pub struct FirstPassage<T: Real> {
    region: Region<T>,
    bridge: Option<Bridge<T>>,
    begin: u64,
    dim: usize,
    found: Mutex<Found<T>>,
}

/// What was found, by path.
#[derive(Debug, Default)]
pub struct Found<T> {
    /// Steps from the start to the passage, with a part of a step where it was between two; infinite where a path did
    /// not arrive, NaN where it does not count.
    pub steps: Vec<f64>,
    /// States there, `(paths, dim)`; NaN where there is none.
    pub places: Vec<T>,
}

impl<T: Real> FirstPassage<T> {
    /// Of paths `begin..end` with `dim` variables; with a bridge, whose coordinate is the region's, passages between
    /// two steps are seen. None where the memory cannot be had.
    pub fn new(region: Region<T>, bridge: Option<Bridge<T>>, (begin, end): (u64, u64), dim: usize) -> Option<Self> {
        let paths = usize::try_from(end - begin).ok()?;
        let mut found = Found { steps: Vec::new(), places: Vec::new() };
        found.steps.try_reserve_exact(paths).ok()?;
        found.steps.resize(paths, f64::NAN);
        found.places.try_reserve_exact(paths.checked_mul(dim)?).ok()?;
        found.places.resize(paths * dim, T::from_f64(f64::NAN));
        Some(Self { region, bridge, begin, dim, found: Mutex::new(found) })
    }

    /// What was found.
    pub fn take(&self) -> Found<T> {
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Real> Observer<T> for FirstPassage<T> {
    fn at(&self) -> &[u64] {
        &[]
    }
    fn every_step(&self) -> bool {
        true
    }
    fn recorder(&self, width: usize) -> Box<dyn Recorder<T> + '_> {
        let rows = |wanted: bool, rows: usize| vec![T::default(); if wanted { rows * width } else { 0 }];
        let scratch = self.bridge.as_ref().map_or(0, Bridge::scratch_rows);
        Box::new(PassageRecorder {
            all: self,
            waiting: 0,
            steps: vec![0.0; width],
            places: vec![T::default(); self.dim * width],
            depth: vec![0.0; width],
            before: vec![0.0; width],
            near: vec![0.0; width],
            values: rows(matches!(self.region, Region::Where(..)), 1),
            last: rows(self.bridge.is_some(), self.dim),
            variances: vec![0.0; width],
            scratch: rows(scratch > 0, scratch),
        })
    }
    fn needs_calling_thread(&self) -> bool {
        matches!(&self.region, Region::Where(function, _) if function.needs_calling_thread())
    }
}

struct PassageRecorder<'a, T: Real> {
    all: &'a FirstPassage<T>,
    /// Paths of the block that have not arrived.
    waiting: usize,
    steps: Vec<f64>,
    /// `(dim, lanes)`.
    places: Vec<T>,
    /// How far within the region each lane is; negative outside.
    depth: Vec<f64>,
    /// The same one look earlier: negative for those that wait.
    before: Vec<f64>,
    /// Lanes are looked at more closely where `depth · before` is at most this: zero, or what a bridge reaches. NaN for
    /// those that have arrived.
    near: Vec<f64>,
    values: Vec<T>,
    /// The state one look earlier, and the variances of the step from there.
    last: Vec<T>,
    variances: Vec<f64>,
    scratch: Vec<T>,
}

impl<T: Real> PassageRecorder<'_, T> {
    fn measure(&mut self, x: &[T], block: &Block<'_>) -> Result<()> {
        let width = block.span.width;
        if let Region::Where(function, rows) = &self.all.region {
            let values = &mut self.values[..width];
            function.evaluate(&x[..rows * width], values, block.span)?;
            for (depth, value) in self.depth.iter_mut().zip(values) {
                *depth = if value.to_f64() == 0.0 { -1.0 } else { 1.0 };
            }
        } else {
            dispatch(Measure { region: &self.all.region, x, depth: &mut self.depth[..width] });
        }
        Ok(())
    }

    /// Looks at one lane near the region, or in it.
    fn examine(&mut self, p: usize, look: &Look, x: &[T], width: usize) {
        let dim = self.all.dim;
        let (depth, before) = (self.depth[p], self.before[p]);
        let part = match (&self.all.bridge, &self.all.region, &look.last) {
            (Some(_), Region::Beyond { coord, rising, .. }, Some(step)) => {
                let level = Level { coord: *coord, rising: *rising };
                level.touch(step, dim, p, [-before, depth], self.variances[p])
            }
            _ => (depth >= 0.0).then_some(1.0),
        };
        let Some(part) = part else { return };
        if !(0..dim).all(|i| x[i * width + p].is_finite()) {
            return;
        }
        let bridged = look.last.is_some() && self.all.bridge.is_some();
        self.steps[p] = if bridged { (look.k - 1) as f64 + part } else { look.k as f64 };
        for i in 0..dim {
            let (at, here) = (i * width + p, x[i * width + p]);
            self.places[at] = match &self.all.region {
                Region::Beyond { coord, level, .. } if bridged && *coord == i => T::from_f64(*level),
                _ if bridged => {
                    let from = self.last[at].to_f64();
                    T::from_f64((here.to_f64() - from).mul_add(part, from))
                }
                _ => here,
            };
        }
        self.near[p] = f64::NAN;
        self.waiting -= 1;
    }
}

impl<T: Real> Recorder<T> for PassageRecorder<'_, T> {
    fn begin(&mut self, block: &Block<'_>) {
        self.waiting = block.span.n;
        self.steps.fill(f64::INFINITY);
        self.places.fill(T::from_f64(f64::NAN));
        self.before.fill(-1.0);
        self.near.fill(0.0);
        self.near[block.span.n..].fill(f64::NAN);
    }

    fn record(&mut self, _k: usize, _x: &[T], _block: &Block<'_>) -> Result<()> {
        Ok(())
    }

    fn look(&mut self, look: &Look, x: &[T], block: &Block<'_>) -> Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        let (n, width) = (block.span.n, block.span.width);
        self.measure(x, block)?;
        for first in (0..n).step_by(64) {
            let lanes = first..(first + 64).min(n);
            let near = Near { depth: &self.depth, before: &self.before, near: &self.near, lanes: lanes.clone() };
            if dispatch(near) {
                for p in lanes {
                    if self.depth[p] * self.before[p] <= self.near[p] {
                        self.examine(p, look, x, width);
                    }
                }
            }
        }
        std::mem::swap(&mut self.depth, &mut self.before);
        let Some(bridge) = &self.all.bridge else { return Ok(()) };
        self.last[..x.len()].copy_from_slice(x);
        let variances = &mut self.variances[..width];
        match bridge.constant() {
            Some(_) if look.last.is_some() => return Ok(()),
            Some(variance) => variances.fill(variance),
            None => bridge.variances(look.t, x, &mut self.scratch, variances, block.span)?,
        }
        for (near, variance) in self.near[..n].iter_mut().zip(variances) {
            if !near.is_nan() {
                // No number at a state that is none: that path has not arrived.
                *near = (REACH * *variance).max(0.0);
            }
        }
        Ok(())
    }

    fn finished(&self) -> bool {
        self.waiting == 0
    }

    fn has_finished(&self, p: usize) -> bool {
        self.near[p].is_nan()
    }

    fn commit(&mut self, block: &Block<'_>) {
        let (dim, width) = (self.all.dim, block.span.width);
        let first = (block.first_path - self.all.begin) as usize;
        let mut found = self.all.found.lock().unwrap_or_else(PoisonError::into_inner);
        for p in (0..block.span.n).filter(|p| block.is_alive(*p)) {
            found.steps[first + p] = self.steps[p];
            for i in 0..dim {
                found.places[(first + p) * dim + i] = self.places[i * width + p];
            }
        }
    }
}

/// How far within a level or a ball the lanes are. Written in loops that the compiler turns into vectors: single
/// operations, each rounded once, on any of them.
struct Measure<'a, T: Real> {
    region: &'a Region<T>,
    x: &'a [T],
    depth: &'a mut [f64],
}

impl<T: Real> Kernel for Measure<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { region, x, depth } = self;
        let width = depth.len();
        match region {
            Region::Beyond { coord, level, rising } => {
                let sign = if *rising { 1.0 } else { -1.0 };
                for (depth, x) in depth.iter_mut().zip(&x[coord * width..][..width]) {
                    *depth = sign * (x.to_f64() - level);
                }
            }
            Region::Ball { center, radius, outside } => {
                depth.fill(0.0);
                for (row, center) in x.chunks_exact(width).zip(center) {
                    for (depth, x) in depth.iter_mut().zip(row) {
                        *depth += (x.to_f64() - center) * (x.to_f64() - center);
                    }
                }
                let (sign, square) = (if *outside { 1.0 } else { -1.0 }, radius * radius);
                depth.iter_mut().for_each(|depth| *depth = sign * (*depth - square));
            }
            Region::Where(..) => {}
        }
    }
}

/// Whether any of these lanes is to be looked at more closely.
struct Near<'a> {
    depth: &'a [f64],
    before: &'a [f64],
    near: &'a [f64],
    lanes: std::ops::Range<usize>,
}

impl Kernel for Near<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd>(self) -> bool {
        let Self { depth, before, near, lanes } = self;
        let pairs = depth[lanes.clone()].iter().zip(&before[lanes.clone()]).zip(&near[lanes]);
        pairs.fold(false, |any, ((depth, before), near)| any | (depth * before <= *near))
    }
}
