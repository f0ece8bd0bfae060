//! Supporting points of the schemes of weak order 2: how they are made, and what the noise there adds to a step.
//!
//! A point belongs to one Wiener process `r`. Column `r` of the noise there counts with the weight
//! `linear ΔW_r ± over (ΔW_r² - h)`, every other column `j` with `linear ΔW_j ± over (ΔW_j ΔW_r + V_rj)`, where
//! `V_rj = -V_jr` is `±h` with probability 1/2.

use super::Step;
use crate::elementwise::{at, put};
use crate::lanes::{Kernel, Number, Real, Simd, Vector};
use crate::rng::{SIGN_ROWS, SignRows, signed};

/// Which random sign `V_rj` has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SignOf {
    /// One of its own for each pair.
    Pair,
    /// That of the smaller of the two indices.
    Smaller,
}

/// The random signs of a step.
pub(super) struct Signs {
    of: SignOf,
    count: usize,
}

impl Signs {
    /// Those of `m` Wiener processes.
    pub fn new(of: SignOf, m: usize) -> Self {
        let count = match of {
            SignOf::Pair => m * m.saturating_sub(1) / 2,
            SignOf::Smaller => m.saturating_sub(1),
        };
        Self { of, count }
    }
    fn blocks(&self) -> usize {
        self.count.div_ceil(32 * SIGN_ROWS)
    }
    /// Rows of words that they take.
    pub fn rows(&self) -> usize {
        SIGN_ROWS * self.blocks()
    }
    /// Draws the signs of the step into `words`; of pairs, number `j (j - 1)/2 + r` is that of `V_rj`, r < j.
    pub fn draw<'a, T: Real>(&self, step: &Step<'_, T>, words: &'a mut [T]) -> AreaSigns<'a, T> {
        let (blocks, width) = (self.blocks() as u64, step.span.width);
        if blocks > 0 {
            step.at.sign_words(blocks, width, words);
        }
        AreaSigns { of: self.of, rows: SignRows { words, first: 0, scale: 1.0, width } }
    }
}

/// The signs of a step, drawn.
#[derive(Clone, Copy)]
pub(super) struct AreaSigns<'a, T> {
    of: SignOf,
    rows: SignRows<'a, T>,
}

impl<T: Real> AreaSigns<'_, T> {
    /// Where the sign of `V_rj` is: words, the shift of its bit, and the magnitude with the sign of a bit that is not set.
    #[inline(always)]
    fn locate(&self, r: usize, j: usize, magnitude: f64) -> (*const T, u32, f64) {
        let (low, high) = (r.min(j), r.max(j));
        let number = match self.of {
            SignOf::Pair => high * (high - 1) / 2 + low,
            SignOf::Smaller => low,
        };
        let (words, shift) = self.rows.locate(number);
        (words, shift, if r < j { magnitude } else { -magnitude })
    }
}

/// The weights of a pair of points.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    pub linear: f64,
    pub over: f64,
    pub h: f64,
}

/// What the points of `r` add to their own row.
pub(super) struct CoupledOwn<'a, T> {
    pub w: &'a [T],
    pub up: &'a [T],
    pub down: &'a [T],
    pub sum: &'a mut [T],
    pub k: Weights,
}

impl<T: Real> Kernel for CoupledOwn<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { w, up, down, sum, k } = self;
        let (linear, over, h) = (<T::V<S>>::constant(k.linear), <T::V<S>>::constant(k.over), <T::V<S>>::constant(k.h));
        for p in (0..sum.len()).step_by(<T::V<S> as Vector>::LANES) {
            let (w, up, down) = (at::<T::V<S>>(w, p), at::<T::V<S>>(up, p), at::<T::V<S>>(down, p));
            let even = (linear * w).mul_add(up + down, at(sum, p));
            put(sum, p, (over * w.mul_add(w, -h)).mul_add(up - down, even));
        }
    }
}

/// What the points of `r` add to the other rows.
pub(super) struct CoupledCross<'a, T> {
    pub dw: &'a [T],
    pub up: &'a [T],
    pub down: &'a [T],
    pub sum: &'a mut [T],
    pub signs: AreaSigns<'a, T>,
    pub r: usize,
    pub width: usize,
    pub k: Weights,
}

impl<T: Real> Kernel for CoupledCross<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { dw, up, down, sum, signs, r, width, k } = self;
        let (linear, over) = (<T::V<S>>::constant(k.linear), <T::V<S>>::constant(k.over));
        for j in (0..dw.len() / width).filter(|j| *j != r) {
            let (words, shift, magnitude) = signs.locate(r, j, k.over * k.h);
            let magnitude = <T::V<S>>::constant(magnitude);
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let q = j * width + p;
                let (w, w_r) = (at::<T::V<S>>(dw, q), at::<T::V<S>>(dw, r * width + p));
                let (up, down) = (at::<T::V<S>>(up, q), at::<T::V<S>>(down, q));
                let even = (linear * w).mul_add(up + down, at(sum, q));
                // SAFETY: the words of a step hold all of its signs, in rows of `width` lanes.
                let area = unsafe { signed(words.add(p), shift, magnitude) };
                put(sum, q, (over * w).mul_add(w_r, area).mul_add(up - down, even));
            }
        }
    }
}

/// The point one deviation `root b^r` away.
pub(super) struct Shift<'a, T> {
    pub from: &'a [T],
    pub b: &'a [T],
    pub point: &'a mut [T],
    pub root: f64,
    pub r: usize,
    pub m: usize,
    pub width: usize,
}

impl<T: Real> Kernel for Shift<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { from, b, point, root, r, m, width } = self;
        let root = <T::V<S>>::constant(root);
        for i in 0..from.len() / width {
            let begin = i * width;
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                put(point, begin + p, root.mul_add(at(b, (i * m + r) * width + p), at(from, begin + p)));
            }
        }
    }
}

/// What the point of one side adds: column `r` of its factor.
pub(super) struct GeneralOwn<'a, T> {
    pub dw: &'a [T],
    pub f: &'a [T],
    pub sum: &'a mut [T],
    pub r: usize,
    pub m: usize,
    pub width: usize,
    pub side: f64,
    pub k: Weights,
}

impl<T: Real> Kernel for GeneralOwn<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { dw, f, sum, r, m, width, side, k } = self;
        let d = sum.len() / width;
        let (linear, over, h) =
            (<T::V<S>>::constant(k.linear), <T::V<S>>::constant(side * k.over), <T::V<S>>::constant(k.h));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let w = at::<T::V<S>>(dw, r * width + p);
            let weight = over.mul_add(w.mul_add(w, -h), linear * w);
            for i in 0..d {
                let begin = i * width;
                let column = at::<T::V<S>>(f, (i * m + r) * width + p);
                put(sum, begin + p, column.mul_add(weight, at(sum, begin + p)));
            }
        }
    }
}

/// What the point of one side adds: every column of its factor but `r`.
pub(super) struct GeneralCross<'a, T> {
    pub dw: &'a [T],
    pub f: &'a [T],
    pub sum: &'a mut [T],
    pub signs: AreaSigns<'a, T>,
    pub r: usize,
    pub m: usize,
    pub width: usize,
    pub side: f64,
    pub k: Weights,
}

impl<T: Real> GeneralCross<'_, T> {
    /// Adds `N` of the columns, the `first` and those after it in the list that leaves `r` out.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(&mut self, first: usize) {
        let Self { r, m, width, side, k, .. } = *self;
        let d = self.sum.len() / width;
        let (linear, over) = (<T::V<S>>::constant(k.linear), <T::V<S>>::constant(side * k.over));
        let columns: [usize; N] = std::array::from_fn(|i| first + i + usize::from(first + i >= r));
        let signs = columns.map(|j| self.signs.locate(r, j, side * k.over * k.h));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let w_r = at::<T::V<S>>(self.dw, r * width + p);
            let mut weights = [linear; N];
            for ((weight, j), (words, shift, magnitude)) in weights.iter_mut().zip(columns).zip(signs) {
                // SAFETY: the words of a step hold all of its signs, in rows of `width` lanes.
                let area = unsafe { signed(words.add(p), shift, <T::V<S>>::constant(magnitude)) };
                *weight = over.mul_add(w_r, linear).mul_add(at(self.dw, j * width + p), area);
            }
            for i in 0..d {
                let begin = i * width;
                let mut sum = at::<T::V<S>>(self.sum, begin + p);
                for (weight, j) in weights.into_iter().zip(columns) {
                    sum = at::<T::V<S>>(self.f, (i * m + j) * width + p).mul_add(weight, sum);
                }
                put(self.sum, begin + p, sum);
            }
        }
    }
}

impl<T: Real> Kernel for GeneralCross<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let columns = self.m - 1;
        for first in (0..columns).step_by(4) {
            match columns - first {
                1 => self.add::<S, 1>(first),
                2 => self.add::<S, 2>(first),
                3 => self.add::<S, 3>(first),
                _ => self.add::<S, 4>(first),
            }
        }
    }
}
