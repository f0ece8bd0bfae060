//! Central moments of a group of paths, up to the fourth, and of groups together.

use super::forest::{Columns, G, Layout, Sums, Words};
use crate::lanes::{Kernel, Simd, dispatch};

/// Partial sums within a group: paths `p`, `p + 8`, … together, on every instruction set.
const STRIDE: usize = 8;

/// Counts, means and central sums of `times × components` quantities over a set of paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Paths.
    pub n: f64,
    /// Components of each time.
    pub components: usize,
    /// Means, time-major.
    pub mean: Vec<f64>,
    /// `Σ (x - mean)²`.
    pub m2: Vec<f64>,
    /// `Σ (x - mean)³`.
    pub m3: Vec<f64>,
    /// `Σ (x - mean)⁴`.
    pub m4: Vec<f64>,
    /// Where covariances are asked for.
    pub joint: Option<Joint>,
}

/// Central sums of pairs, `(times, c, c)`; the diagonals repeat `m2`, `m3`, `m4`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joint {
    /// `Σ u_i u_j`.
    pub s11: Vec<f64>,
    /// `Σ u_i² u_j`.
    pub s21: Vec<f64>,
    /// `Σ u_i² u_j²`.
    pub s22: Vec<f64>,
}

impl Stats {
    /// Sums about `mean` instead of the own mean.
    fn move_to(&mut self, mean: &[f64]) {
        let (n, c) = (self.n, self.components);
        if let Some(joint) = &mut self.joint {
            for t in 0..mean.len() / c {
                let shift = |i: usize| self.mean[t * c + i] - mean[t * c + i];
                let base = t * c * c;
                for i in 0..c {
                    for j in 0..=i {
                        let (ij, ji) = (base + i * c + j, base + j * c + i);
                        let (a, b) = (shift(i), shift(j));
                        let (s20, s02) = (self.m2[t * c + i], self.m2[t * c + j]);
                        let (s11, s21, s12, s22) = (joint.s11[ij], joint.s21[ij], joint.s21[ji], joint.s22[ij]);
                        let c22 = s22
                            + 2.0 * (a * s12 + b * s21)
                            + a * a * s02
                            + b * b * s20
                            + 4.0 * a * b * s11
                            + n * (a * a * b * b);
                        joint.s22[ij] = c22;
                        joint.s22[ji] = c22;
                        joint.s21[ij] = s21 + 2.0 * a * s11 + b * s20 + n * (a * a * b);
                        joint.s21[ji] = s12 + 2.0 * b * s11 + a * s02 + n * (a * b * b);
                        let c11 = s11 + n * (a * b);
                        joint.s11[ij] = c11;
                        joint.s11[ji] = c11;
                    }
                }
            }
        }
        for (k, mean) in mean.iter().enumerate() {
            let a = self.mean[k] - mean;
            let (m2, m3, m4) = (self.m2[k], self.m3[k], self.m4[k]);
            self.m4[k] = m4 + 4.0 * a * m3 + 6.0 * a * a * m2 + n * (a * a * a * a);
            self.m3[k] = m3 + 3.0 * a * m2 + n * (a * a * a);
            self.m2[k] = m2 + n * (a * a);
            self.mean[k] = *mean;
        }
    }
}

/// What [`Stats`] are of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// Observation times.
    pub times: usize,
    /// Quantities at each.
    pub components: usize,
    /// Whether covariances are gathered.
    pub joint: bool,
}

impl Layout for Shape {
    fn times(&self) -> usize {
        self.times
    }
    fn columns(&self) -> usize {
        self.components
    }
    fn put(&self, put: &mut dyn FnMut(u64)) {
        for x in [self.times as u64, self.components as u64, u64::from(self.joint)] {
            put(x);
        }
    }
    fn take(words: &mut Words<'_>) -> Option<Self> {
        let (times, components) = (words.size()?, words.size()?);
        Some(Self { times, components, joint: words.next()? == 1 })
    }
}

impl Sums for Stats {
    type Layout = Shape;
    const KIND: u64 = 0;

    fn empty(shape: &Shape) -> Self {
        let Shape { times, components, joint } = *shape;
        let zeros = vec![0.0; times * components];
        let squares = vec![0.0; if joint { times * components * components } else { 0 }];
        Self {
            n: 0.0,
            components,
            mean: zeros.clone(),
            m2: zeros.clone(),
            m3: zeros.clone(),
            m4: zeros,
            joint: joint.then(|| Joint { s11: squares.clone(), s21: squares.clone(), s22: squares }),
        }
    }

    fn merge(mut self, mut other: Self) -> Self {
        if other.n == 0.0 {
            return self;
        }
        if self.n == 0.0 {
            return other;
        }
        let n = self.n + other.n;
        let weight = other.n / n;
        let mean: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(a, b)| (b - a).mul_add(weight, *a)).collect();
        self.move_to(&mean);
        other.move_to(&mean);
        let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        add(&mut self.m2, &other.m2);
        add(&mut self.m3, &other.m3);
        add(&mut self.m4, &other.m4);
        if let (Some(a), Some(b)) = (&mut self.joint, &other.joint) {
            add(&mut a.s11, &b.s11);
            add(&mut a.s21, &b.s21);
            add(&mut a.s22, &b.s22);
        }
        self.n = n;
        self
    }

    fn set_group(&mut self, shape: &Shape, t: usize, values: &mut Columns, alive: u64) {
        let c = shape.components;
        self.n = f64::from(alive.count_ones());
        for (i, column) in values.iter_mut().enumerate() {
            let k = t * c + i;
            [self.mean[k], self.m2[k], self.m3[k], self.m4[k]] = dispatch(Center { column, alive });
        }
        if let Some(joint) = &mut self.joint {
            for i in 0..c {
                for j in 0..=i {
                    let [s11, s21, s12, s22] = dispatch(Pair { u: &values[i], v: &values[j] });
                    let (ij, ji) = (t * c * c + i * c + j, t * c * c + j * c + i);
                    joint.s11[ij] = s11;
                    joint.s11[ji] = s11;
                    joint.s21[ij] = s21;
                    joint.s21[ji] = s12;
                    joint.s22[ij] = s22;
                    joint.s22[ji] = s22;
                }
            }
        }
    }

    fn put(&self, put: &mut dyn FnMut(u64)) {
        put(self.n.to_bits());
        let joint = self.joint.iter().flat_map(|j| [&j.s11, &j.s21, &j.s22]);
        for list in [&self.mean, &self.m2, &self.m3, &self.m4].into_iter().chain(joint) {
            list.iter().for_each(|x| put(x.to_bits()));
        }
    }

    fn take(shape: &Shape, words: &mut Words<'_>) -> Option<Self> {
        let size = shape.times.checked_mul(shape.components)?;
        let n = f64::from_bits(words.next()?);
        let mut stats = Self { n, components: shape.components, ..Self::default() };
        for list in [&mut stats.mean, &mut stats.m2, &mut stats.m3, &mut stats.m4] {
            *list = words.numbers(size)?;
        }
        if shape.joint {
            let size = size.checked_mul(shape.components)?;
            let (s11, s21, s22) = (words.numbers(size)?, words.numbers(size)?, words.numbers(size)?);
            stats.joint = Some(Joint { s11, s21, s22 });
        }
        Some(stats)
    }
}

/// Adds partial sums in a fixed tree.
#[inline(always)]
fn fold(s: [f64; STRIDE]) -> f64 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

#[inline(always)]
pub(super) fn sum_of(f: impl Fn(usize) -> f64) -> f64 {
    let mut s = [0.0; STRIDE];
    for r in 0..G / STRIDE {
        for (p, s) in s.iter_mut().enumerate() {
            *s += f(r * STRIDE + p);
        }
    }
    fold(s)
}

/// Replaces a group's values by deviations from their mean (0 where masked); gives mean and central sums.
pub(super) struct Center<'a> {
    pub column: &'a mut [f64; G],
    pub alive: u64,
}

impl Kernel for Center<'_> {
    type Output = [f64; 4];
    #[inline(always)]
    fn run<S: Simd>(self) -> [f64; 4] {
        let Self { column: x, alive } = self;
        let n = f64::from(alive.count_ones());
        if alive != u64::MAX {
            for (p, x) in x.iter_mut().enumerate() {
                if alive >> p & 1 == 0 {
                    *x = 0.0;
                }
            }
        }
        let mean = if n > 0.0 { sum_of(|p| x[p]) / n } else { 0.0 };
        for x in x.iter_mut() {
            *x -= mean;
        }
        if alive != u64::MAX {
            for (p, x) in x.iter_mut().enumerate() {
                if alive >> p & 1 == 0 {
                    *x = 0.0;
                }
            }
        }
        let m2 = sum_of(|p| x[p] * x[p]);
        let m3 = sum_of(|p| x[p] * x[p] * x[p]);
        let m4 = sum_of(|p| (x[p] * x[p]) * (x[p] * x[p]));
        [mean, m2, m3, m4]
    }
}

/// Central sums of a pair of components.
struct Pair<'a> {
    u: &'a [f64; G],
    v: &'a [f64; G],
}

impl Kernel for Pair<'_> {
    type Output = [f64; 4];
    #[inline(always)]
    fn run<S: Simd>(self) -> [f64; 4] {
        let Self { u, v } = self;
        [
            sum_of(|p| u[p] * v[p]),
            sum_of(|p| u[p] * u[p] * v[p]),
            sum_of(|p| u[p] * v[p] * v[p]),
            sum_of(|p| (u[p] * v[p]) * (u[p] * v[p])),
        ]
    }
}
