//! Statistics of units: samples of one path at many times, or of a pair of paths, which are correlated among themselves.
//!
//! A unit hands in the mean of each quantity over its samples and, for chosen pairs (i, j) of quantities, its spread
//! `s_ij`, the mean product of deviations from these means. Over all samples the covariance is then
//! `E s_ij + Cov(m_i, m_j)`, with an error that comes from independent units only: the variance of
//! `s_ij + (m_i - μ_i)(m_j - μ_j)`, which follows from that of the same about a centre common to all units.

use super::forest::{Columns, G, Layout, Sums, Words};
use super::sums::{Center, sum_of};
use crate::lanes::{Kernel, Simd, dispatch};
use std::sync::Arc;

/// What the statistics of units are of.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitLayout {
    /// Observation times.
    pub times: usize,
    /// Whether paths hand in spreads after their means; else they have one sample each.
    pub spreads: bool,
    /// Whether a unit is the pair of paths 2i and 2i + 1; else it is a path.
    pub antithetic: bool,
    /// A centre for each quantity, about which squares and products are taken.
    pub centre: Arc<[f64]>,
    /// Pairs of quantities whose spread is known.
    pub pairs: Arc<[(usize, usize)]>,
    /// Pairs of columns whose products are summed. Columns are means, spreads, and `s_ij + (m_i - c_i)(m_j - c_j)`.
    pub products: Arc<[(usize, usize)]>,
}

impl UnitLayout {
    /// Columns that are kept.
    pub fn kept(&self) -> usize {
        self.centre.len() + 2 * self.pairs.len()
    }
}

impl Layout for UnitLayout {
    fn times(&self) -> usize {
        self.times
    }
    fn columns(&self) -> usize {
        self.centre.len() + if self.spreads { self.pairs.len() } else { 0 }
    }
    fn workspace(&self) -> usize {
        self.kept()
    }
    fn put(&self, put: &mut dyn FnMut(u64)) {
        for x in [self.times as u64, u64::from(self.spreads), u64::from(self.antithetic), self.centre.len() as u64] {
            put(x);
        }
        self.centre.iter().for_each(|x| put(x.to_bits()));
        for list in [&self.pairs, &self.products] {
            put(list.len() as u64);
            list.iter().for_each(|(i, j)| [*i, *j].into_iter().for_each(|k| put(k as u64)));
        }
    }
    fn take(words: &mut Words<'_>) -> Option<Self> {
        let (times, spreads, antithetic) = (words.size()?, words.next()? == 1, words.next()? == 1);
        let values = words.size()?;
        let centre = words.numbers(values)?.into();
        let list = |words: &mut Words<'_>| -> Option<Arc<[(usize, usize)]>> {
            (0..words.next()?).map(|_| Some((words.size()?, words.size()?))).collect()
        };
        let layout = Self { times, spreads, antithetic, centre, pairs: list(words)?, products: list(words)? };
        let within = |list: &[(usize, usize)], end: usize| list.iter().all(|(i, j)| *i < end && *j < end);
        (within(&layout.pairs, values) && within(&layout.products, layout.kept())).then_some(layout)
    }
}

/// Count, means of columns, and central sums of chosen products of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Units {
    /// Units.
    pub n: f64,
    /// Means `(times, columns)`.
    pub mean: Vec<f64>,
    /// `Σ (x_i - mean_i)(x_j - mean_j)`, `(times, products)`.
    pub products: Vec<f64>,
    /// The columns of a product.
    of: Arc<[(usize, usize)]>,
}

impl Units {
    /// Sums about `mean` instead of the own mean.
    fn move_to(&mut self, mean: &[f64]) {
        let columns = self.mean.len() / (self.products.len() / self.of.len().max(1)).max(1);
        let shift: Vec<f64> = self.mean.iter().zip(mean).map(|(old, new)| old - new).collect();
        for (sums, shift) in self.products.chunks_exact_mut(self.of.len().max(1)).zip(shift.chunks_exact(columns)) {
            for (sum, (i, j)) in sums.iter_mut().zip(self.of.iter()) {
                *sum += self.n * (shift[*i] * shift[*j]);
            }
        }
        self.mean.copy_from_slice(mean);
    }
}

impl Sums for Units {
    type Layout = UnitLayout;
    const KIND: u64 = 1;

    fn empty(layout: &UnitLayout) -> Self {
        let zeros = |columns: usize| vec![0.0; layout.times * columns];
        let (mean, products) = (zeros(layout.kept()), zeros(layout.products.len()));
        Self { n: 0.0, mean, products, of: layout.products.clone() }
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
        self.products.iter_mut().zip(&other.products).for_each(|(a, b)| *a += b);
        self.n = n;
        self
    }

    fn set_group(&mut self, layout: &UnitLayout, t: usize, values: &mut Columns, mut alive: u64) {
        let (c, pairs) = (layout.centre.len(), layout.pairs.as_ref());
        let (means, rest) = values.split_at_mut(c);
        let (spreads, squares) = rest.split_at_mut(pairs.len());
        if !layout.spreads {
            spreads.fill([0.0; G]);
        }
        if layout.antithetic {
            // The pair stands at its first position, and counts where both of its paths do.
            alive &= alive >> 1 & 0x5555_5555_5555_5555;
            for (s, (i, j)) in spreads.iter_mut().zip(pairs) {
                for p in (0..G).step_by(2) {
                    let half = |x: &[f64; G]| 0.5 * (x[p] - x[p + 1]);
                    s[p] = 0.5 * (s[p] + s[p + 1]) + half(&means[*i]) * half(&means[*j]);
                }
            }
            for x in means.iter_mut() {
                for p in (0..G).step_by(2) {
                    x[p] = 0.5 * (x[p] + x[p + 1]);
                }
            }
        }
        for ((z, s), (i, j)) in squares.iter_mut().zip(spreads.iter()).zip(pairs) {
            for (p, (z, s)) in z.iter_mut().zip(s).enumerate() {
                *z = s + (means[*i][p] - layout.centre[*i]) * (means[*j][p] - layout.centre[*j]);
            }
        }
        self.n = f64::from(alive.count_ones());
        let kept = layout.kept();
        for (mean, column) in self.mean[t * kept..].iter_mut().zip(values[..kept].iter_mut()) {
            [*mean, ..] = dispatch(Center { column, alive });
        }
        let products = &mut self.products[t * layout.products.len()..];
        for (sum, (i, j)) in products.iter_mut().zip(layout.products.iter()) {
            *sum = dispatch(Product { u: &values[*i], v: &values[*j] });
        }
    }

    fn put(&self, put: &mut dyn FnMut(u64)) {
        put(self.n.to_bits());
        self.mean.iter().chain(&self.products).for_each(|x| put(x.to_bits()));
    }

    fn take(layout: &UnitLayout, words: &mut Words<'_>) -> Option<Self> {
        let n = f64::from_bits(words.next()?);
        let mean = words.numbers(layout.times.checked_mul(layout.kept())?)?;
        let products = words.numbers(layout.times.checked_mul(layout.products.len())?)?;
        Some(Self { n, mean, products, of: layout.products.clone() })
    }
}

/// The sum of products of two centred columns.
struct Product<'a> {
    u: &'a [f64; G],
    v: &'a [f64; G],
}

impl Kernel for Product<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self) -> f64 {
        sum_of(|p| self.u[p] * self.v[p])
    }
}
