//! Statistics in a fixed order: sums over 64 consecutive paths, merged by a fixed tree over group numbers.
//!
//! Neither block size nor threads nor shards enter, so the result has the same bits whatever they are.

use std::collections::BTreeMap;

/// Paths summed in path order before anything is merged.
pub const GROUP: u64 = 64;
pub(super) const G: usize = GROUP as usize;

/// Quantities of one group, each by position in the group.
pub type Columns = [[f64; G]];

/// What statistics are of: observation times, and the quantities that are handed in at each.
pub trait Layout: Clone + PartialEq + Send + Sync {
    /// Observation times.
    fn times(&self) -> usize;
    /// Quantities of a path at each time.
    fn columns(&self) -> usize;
    /// Columns of working memory, those quantities first.
    fn workspace(&self) -> usize {
        self.columns()
    }
    /// As numbers.
    fn put(&self, put: &mut dyn FnMut(u64));
    /// From these numbers.
    fn take(words: &mut Words<'_>) -> Option<Self>;
}

/// Statistics of a set of paths, made of groups and merged.
pub trait Sums: Clone + Send + Sync {
    /// What they are of.
    type Layout: Layout;
    /// Tells kinds of statistics apart where they are kept as numbers.
    const KIND: u64;
    /// The statistics of no path.
    fn empty(layout: &Self::Layout) -> Self;
    /// The statistics of both sets together.
    fn merge(self, other: Self) -> Self;
    /// Sets time `t` from one group; `values` is used up.
    fn set_group(&mut self, layout: &Self::Layout, t: usize, values: &mut Columns, alive: u64);
    /// As numbers.
    fn put(&self, put: &mut dyn FnMut(u64));
    /// From these numbers.
    fn take(layout: &Self::Layout, words: &mut Words<'_>) -> Option<Self>;
}

/// Numbers that were kept, to be read one after the other.
pub struct Words<'a>(&'a [[u8; 8]]);

impl Words<'_> {
    pub(super) fn next(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    pub(super) fn size(&mut self) -> Option<usize> {
        usize::try_from(self.next()?).ok()
    }

    pub(super) fn numbers(&mut self, len: usize) -> Option<Vec<f64>> {
        let (list, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(list.iter().map(|word| f64::from_bits(u64::from_le_bytes(*word))).collect())
    }
}

/// The values of a group that a shard holds only in part.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// Positions simulated.
    pub present: u64,
    /// Positions that count.
    pub alive: u64,
    /// `(times, columns, 64)`.
    pub values: Vec<f64>,
}

/// Statistics of sets of paths that are whole subtrees of the fixed tree over groups; the fewest such sets.
#[derive(Clone, Debug)]
pub struct Forest<S: Sums> {
    n_paths: u64,
    layout: S::Layout,
    /// By first group, then level: the set of groups `index · 2^level ..`.
    nodes: BTreeMap<(u32, u64), S>,
    fragments: BTreeMap<u64, Fragment>,
}

impl<S: Sums> Forest<S> {
    /// Of an ensemble of `n_paths`, empty.
    pub fn new(n_paths: u64, layout: S::Layout) -> Self {
        Self { n_paths, layout, nodes: BTreeMap::new(), fragments: BTreeMap::new() }
    }

    /// Positions of `group` that the ensemble has.
    pub fn expected(&self, group: u64) -> u64 {
        let left = self.n_paths - group * GROUP;
        if left >= GROUP { u64::MAX } else { (1 << left) - 1 }
    }

    /// Adds one whole group.
    pub fn insert(&mut self, group: u64, stats: S) {
        self.insert_node(0, group, stats);
    }

    fn insert_node(&mut self, mut level: u32, mut index: u64, mut stats: S) {
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

    fn of_fragment(&self, fragment: &Fragment) -> S {
        let (mut stats, columns) = (self.empty_stats(), self.layout.columns());
        let mut memory = vec![[0.0; G]; self.layout.workspace()];
        for (t, rows) in fragment.values.chunks_exact(G * columns).enumerate() {
            for (column, row) in memory.iter_mut().zip(rows.chunks_exact(G)) {
                column.copy_from_slice(row);
            }
            stats.set_group(&self.layout, t, &mut memory, fragment.alive);
        }
        stats
    }

    /// Takes in all of another forest of the same ensemble.
    pub fn absorb(&mut self, other: Self) {
        for ((level, index), stats) in other.nodes {
            self.insert_node(level, index, stats);
        }
        for (group, fragment) in other.fragments {
            self.insert_fragment(group, fragment);
        }
    }

    /// The statistics of every path there is, merged in path order.
    pub fn total(&self) -> S {
        let mut parts: Vec<(u64, S)> =
            self.nodes.iter().map(|((level, index), stats)| (index << level, stats.clone())).collect();
        parts.extend(self.fragments.iter().map(|(group, part)| (*group, self.of_fragment(part))));
        parts.sort_by_key(|(first, _)| *first);
        parts.into_iter().fold(self.empty_stats(), |sum, (_, stats)| sum.merge(stats))
    }

    /// Statistics of no path, of this forest's shape.
    pub fn empty_stats(&self) -> S {
        S::empty(&self.layout)
    }

    /// What its statistics are of.
    pub fn layout(&self) -> &S::Layout {
        &self.layout
    }

    /// As numbers, to be kept and read by [`Forest::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |x: u64| out.extend_from_slice(&x.to_le_bytes());
        put(S::KIND);
        put(self.n_paths);
        self.layout.put(&mut put);
        put(self.nodes.len() as u64);
        for ((level, index), stats) in &self.nodes {
            put(u64::from(*level));
            put(*index);
            stats.put(&mut put);
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

    /// The forest of [`Forest::encode`]; None where the bytes are none of its, or of another kind of statistics.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let mut words = Words(words);
        if words.next()? != S::KIND {
            return None;
        }
        let mut forest = Self::new(words.next()?, S::Layout::take(&mut words)?);
        for _ in 0..words.next()? {
            let key = (u32::try_from(words.next()?).ok()?, words.next()?);
            forest.nodes.insert(key, S::take(&forest.layout, &mut words)?);
        }
        let size = forest.layout.times().checked_mul(forest.layout.columns())?.checked_mul(G)?;
        for _ in 0..words.next()? {
            let (group, present, alive) = (words.next()?, words.next()?, words.next()?);
            forest.fragments.insert(group, Fragment { present, alive, values: words.numbers(size)? });
        }
        words.0.is_empty().then_some(forest)
    }
}
