//! Central moments in a fixed order: sums over 64 consecutive paths, merged by a fixed tree over group numbers.
//!
//! Neither block size nor threads nor shards enter, so the result has the same bits whatever they are.

use crate::lanes::{Kernel, Simd, dispatch};
use std::collections::BTreeMap;

/// Paths summed in path order before anything is merged.
pub const GROUP: u64 = 64;
const G: usize = GROUP as usize;
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
    /// The statistics of no path.
    pub fn empty(times: usize, components: usize, joint: bool) -> Self {
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

    /// The statistics of both sets together. Sums are moved to the common mean and added.
    pub fn merge(mut self, mut other: Self) -> Self {
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

    /// Sets time `t` from the values of one group, `values[i]` being component `i` by position in the group.
    pub fn set_group(&mut self, t: usize, values: &mut [[f64; G]], alive: u64) {
        let c = self.components;
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
}

/// Adds partial sums in a fixed tree.
#[inline(always)]
fn fold(s: [f64; STRIDE]) -> f64 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

#[inline(always)]
fn sum_of(f: impl Fn(usize) -> f64) -> f64 {
    let mut s = [0.0; STRIDE];
    for r in 0..G / STRIDE {
        for (p, s) in s.iter_mut().enumerate() {
            *s += f(r * STRIDE + p);
        }
    }
    fold(s)
}

/// Replaces a group's values by deviations from their mean (0 where masked); gives mean and central sums.
struct Center<'a> {
    column: &'a mut [f64; G],
    alive: u64,
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

/// The values of a group that a shard holds only in part.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// Positions simulated.
    pub present: u64,
    /// Positions that count.
    pub alive: u64,
    /// `(times, components, 64)`.
    pub values: Vec<f64>,
}

/// Statistics of sets of paths that are whole subtrees of the fixed tree over groups; the fewest such sets.
#[derive(Clone, Debug, Default)]
pub struct Forest {
    n_paths: u64,
    times: usize,
    components: usize,
    joint: bool,
    /// By first group, then level: the set of groups `index · 2^level ..`.
    nodes: BTreeMap<(u32, u64), Stats>,
    fragments: BTreeMap<u64, Fragment>,
}

impl Forest {
    /// Of an ensemble of `n_paths`, empty.
    pub fn new(n_paths: u64, times: usize, components: usize, joint: bool) -> Self {
        Self { n_paths, times, components, joint, nodes: BTreeMap::new(), fragments: BTreeMap::new() }
    }

    /// Positions of `group` that the ensemble has.
    pub fn expected(&self, group: u64) -> u64 {
        let left = self.n_paths - group * GROUP;
        if left >= GROUP { u64::MAX } else { (1 << left) - 1 }
    }

    /// Adds one whole group.
    pub fn insert(&mut self, group: u64, stats: Stats) {
        self.insert_node(0, group, stats);
    }

    fn insert_node(&mut self, mut level: u32, mut index: u64, mut stats: Stats) {
        let groups = self.n_paths.div_ceil(GROUP);
        while 1u64 << level < groups {
            let sibling = index ^ 1;
            if sibling << level >= groups {
                // Beyond the ensemble's end: the parent is this set alone.
            } else if let Some(other) = self.nodes.remove(&(level, sibling)) {
                stats = if index & 1 == 0 { stats.merge(other) } else { other.merge(stats) };
            } else {
                break;
            }
            level += 1;
            index >>= 1;
        }
        self.nodes.insert((level, index), stats);
    }

    /// Adds part of a group; the group counts once all its parts are there.
    pub fn insert_fragment(&mut self, group: u64, fragment: Fragment) {
        let whole = match self.fragments.remove(&group) {
            None => fragment,
            Some(mut part) => {
                for (row, from) in part.values.chunks_exact_mut(G).zip(fragment.values.chunks_exact(G)) {
                    for (p, (value, new)) in row.iter_mut().zip(from).enumerate() {
                        if fragment.present >> p & 1 == 1 {
                            *value = *new;
                        }
                    }
                }
                part.present |= fragment.present;
                part.alive |= fragment.alive;
                part
            }
        };
        if whole.present == self.expected(group) {
            let stats = self.of_fragment(&whole);
            self.insert(group, stats);
        } else {
            self.fragments.insert(group, whole);
        }
    }

    fn of_fragment(&self, fragment: &Fragment) -> Stats {
        let mut stats = Stats::empty(self.times, self.components, self.joint);
        let mut columns = vec![[0.0; G]; self.components];
        for (t, rows) in fragment.values.chunks_exact(G * self.components).enumerate() {
            for (column, row) in columns.iter_mut().zip(rows.chunks_exact(G)) {
                column.copy_from_slice(row);
            }
            stats.set_group(t, &mut columns, fragment.alive);
        }
        stats
    }

    /// Takes in all of another forest of the same ensemble.
    pub fn absorb(&mut self, other: Forest) {
        for ((level, index), stats) in other.nodes {
            self.insert_node(level, index, stats);
        }
        for (group, fragment) in other.fragments {
            self.insert_fragment(group, fragment);
        }
    }

    /// The statistics of every path there is, merged in path order.
    pub fn total(&self) -> Stats {
        let mut parts: Vec<(u64, Stats)> =
            self.nodes.iter().map(|((level, index), stats)| (index << level, stats.clone())).collect();
        parts.extend(self.fragments.iter().map(|(group, part)| (*group, self.of_fragment(part))));
        parts.sort_by_key(|(first, _)| *first);
        let empty = Stats::empty(self.times, self.components, self.joint);
        parts.into_iter().fold(empty, |sum, (_, stats)| sum.merge(stats))
    }

    /// Statistics of no path, of this forest's shape.
    pub fn empty_stats(&self) -> Stats {
        Stats::empty(self.times, self.components, self.joint)
    }

    /// Observation times and components.
    pub fn shape(&self) -> (usize, usize) {
        (self.times, self.components)
    }

    /// As numbers, to be kept and read by [`Forest::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |x: u64| out.extend_from_slice(&x.to_le_bytes());
        for x in [self.n_paths, self.times as u64, self.components as u64, u64::from(self.joint)] {
            put(x);
        }
        put(self.nodes.len() as u64);
        for ((level, index), stats) in &self.nodes {
            put(u64::from(*level));
            put(*index);
            put(stats.n.to_bits());
            let joint = stats.joint.iter().flat_map(|j| [&j.s11, &j.s21, &j.s22]);
            for list in [&stats.mean, &stats.m2, &stats.m3, &stats.m4].into_iter().chain(joint) {
                list.iter().for_each(|x| put(x.to_bits()));
            }
        }
        put(self.fragments.len() as u64);
        for (group, part) in &self.fragments {
            put(*group);
            put(part.present);
            put(part.alive);
            part.values.iter().for_each(|x| put(x.to_bits()));
        }
        out
    }

    /// The forest of [`Forest::encode`]; None where the bytes are none of its.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let mut forest = Forest::new(words.next()?, words.next()? as usize, words.next()? as usize, words.next()? == 1);
        let size = forest.times.checked_mul(forest.components)?;
        let list = |words: &mut dyn Iterator<Item = u64>, len: usize| -> Option<Vec<f64>> {
            let list: Vec<f64> = words.take(len).map(f64::from_bits).collect();
            (list.len() == len).then_some(list)
        };
        for _ in 0..words.next()? {
            let key = (u32::try_from(words.next()?).ok()?, words.next()?);
            let mut stats =
                Stats { n: f64::from_bits(words.next()?), components: forest.components, ..Stats::default() };
            stats.mean = list(&mut words, size)?;
            stats.m2 = list(&mut words, size)?;
            stats.m3 = list(&mut words, size)?;
            stats.m4 = list(&mut words, size)?;
            if forest.joint {
                let size = size.checked_mul(forest.components)?;
                let (s11, s21) = (list(&mut words, size)?, list(&mut words, size)?);
                stats.joint = Some(Joint { s11, s21, s22: list(&mut words, size)? });
            }
            forest.nodes.insert(key, stats);
        }
        for _ in 0..words.next()? {
            let (group, present, alive) = (words.next()?, words.next()?, words.next()?);
            let values = list(&mut words, size.checked_mul(G)?)?;
            forest.fragments.insert(group, Fragment { present, alive, values });
        }
        words.next().is_none().then_some(forest)
    }
}
