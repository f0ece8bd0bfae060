//! Random numbers with an address: what a path reads at a step depends on the key, the purpose, the path's number and
//! the step alone, not on threads, block sizes or the instruction set.
//!
//! The generator is Philox4x32-10. Its counter is (q low, q high 24 bits and tag, path low, path high), its key the low
//! and the high word of the 64-bit key; q is the number of the block within the path.

mod heavy_tails;
mod indices;
mod normal;
mod philox;
mod signs;
mod three_point;

pub(crate) use heavy_tails::power;
pub use heavy_tails::{HeavyTails, fill_heavy_tails, heavy_tails_at};
pub use indices::{fill_indices, indices_per_block};
pub use philox::philox4x32_10;
pub(crate) use signs::signed;
pub use signs::{SIGN_ROWS, SignRows, fill_sign_words};
pub use three_point::{THREE_POINT_ROWS, fill_three_point, three_point_at};

use crate::lanes::{Bits, Bits64, Kernel, Real, Simd, Vector, dispatch};
use philox::{BlockPart, Keys, PathPart};
use std::any::TypeId;
use std::ops::Range;

/// The purpose of a stream: the top byte of the counter's second word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub u8);

impl Tag {
    /// Increments of the first Wiener group, the gradient noise.
    pub const WIENER: Tag = Tag(0);
    /// Lévy areas and bridges.
    pub const AREA: Tag = Tag(1);
    /// Jumps.
    pub const JUMP: Tag = Tag(2);
    /// Random initial states.
    pub const INITIAL: Tag = Tag(3);
    /// Indices of minibatches.
    pub const MINIBATCH: Tag = Tag(4);
    /// What is left of the stochastic integrals of exact Ornstein–Uhlenbeck steps once the increment is known.
    pub const RESIDUAL: Tag = Tag(5);
    /// Increments of the second Wiener group, the noise of second moments.
    pub const WIENER_B: Tag = Tag(6);
    /// The extra normal of the iterated integral I_(1,0).
    pub const I10: Tag = Tag(7);
    /// Random signs of weak schemes.
    pub const SIGNS: Tag = Tag(8);
    /// Label noise.
    pub const LABEL: Tag = Tag(9);
    /// Pilot runs.
    pub const PILOT: Tag = Tag(10);
    /// Whether a path touched a level between two steps.
    pub const PASSAGE: Tag = Tag(11);
    /// When it did.
    pub const PASSAGE_TIME: Tag = Tag(12);
}

/// Where a block of paths reads its noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The key of the whole run.
    pub key: u64,
    /// The purpose.
    pub tag: Tag,
    /// The number of the path in lane 0; lane p is path `first_path + p`.
    pub first_path: u64,
}

impl Address {
    /// The words of block `q` of path `first_path + lane`, by the scalar generator.
    fn words(&self, q: u64, lane: u64) -> [u32; 4] {
        let path = self.first_path.wrapping_add(lane);
        philox4x32_10(
            [q as u32, self.second_word(q), path as u32, (path >> 32) as u32],
            [self.key as u32, (self.key >> 32) as u32],
        )
    }

    fn second_word(&self, q: u64) -> u32 {
        (q >> 32) as u32 & 0x00ff_ffff | u32::from(self.tag.0) << 24
    }
}

/// Rows of random numbers, ready or still packed.
#[derive(Clone, Copy, Debug)]
pub enum Drawn<'a, T> {
    /// The numbers.
    Rows(&'a [T]),
    /// Signs times a constant.
    Signs(SignRows<'a, T>),
}

/// How many normals one block holds: 2 for `f64`, 4 for `f32`.
pub fn normals_per_block<T: Real>() -> u64 {
    if T::BYTES == 8 { 2 } else { 4 }
}

/// Blocks whose common part is worked out in one go.
const CHUNK: usize = 64;

/// What becomes of the words of a block.
trait Emit {
    /// Whether the two vectors hold the even and the odd paths, instead of the first and the second half of them.
    const EVEN_ODD: bool;
    /// Takes the words of block `block` (counted from the first) for the paths from `lane` on.
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]);
}

const CONSECUTIVE: [u64; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const EVEN: [u64; 8] = [0, 2, 4, 6, 8, 10, 12, 14];
const ODD: [u64; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// Runs the generator over blocks and paths, two vectors of paths at a time.
struct Generate<E> {
    address: Address,
    blocks: Range<u64>,
    width: usize,
    emit: E,
}

impl<E: Emit> Kernel for Generate<E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let lanes = S::U64::LANES;
        let offsets: [&[u64]; 2] =
            if E::EVEN_ODD { [&EVEN, &ODD] } else { [&CONSECUTIVE, &CONSECUTIVE[lanes.min(8)..]] };
        // SAFETY: each slice has at least eight elements, the most lanes there are.
        let offsets = unsafe { [S::U64::load(offsets[0].as_ptr()), S::U64::load(offsets[1].as_ptr())] };
        let keys = Keys::new(self.address.key);
        let mut common = [BlockPart::new(&keys, 0, 0); CHUNK];
        let mut q = self.blocks.start;
        while q < self.blocks.end {
            // a chunk ends where the high word of the block number changes
            let count = (self.blocks.end - q).min(CHUNK as u64).min((1 << 32) - (q & 0xffff_ffff)) as usize;
            let done = (q - self.blocks.start) as usize;
            let c1 = self.address.second_word(q);
            let mut common_for = None;
            for lane in (0..self.width).step_by(2 * lanes) {
                let first = self.address.first_path.wrapping_add(lane as u64);
                let high = (first >> 32) as u32;
                if high == (first.wrapping_add(2 * lanes as u64 - 1) >> 32) as u32 {
                    if common_for != Some(high) {
                        for (i, part) in common[..count].iter_mut().enumerate() {
                            *part = BlockPart::new(&keys, (q as u32).wrapping_add(i as u32), high);
                        }
                        common_for = Some(high);
                    }
                    let first = S::U64::splat(first);
                    let paths = [
                        PathPart::<S>::new(&keys, c1, first.add_wrap(offsets[0])),
                        PathPart::<S>::new(&keys, c1, first.add_wrap(offsets[1])),
                    ];
                    // the next block's words are made beside this one's numbers: two chains that can overlap
                    let mut words = philox::blocks::<S, 2>(&keys, &common[0], &paths);
                    for (i, part) in common[1..count].iter().enumerate() {
                        let next = philox::blocks::<S, 2>(&keys, part, &paths);
                        self.emit.emit::<S>(done + i, lane, words);
                        words = next;
                    }
                    self.emit.emit::<S>(done + count - 1, lane, words);
                } else {
                    // once in 2^32 paths the high word changes within the vectors
                    for i in 0..count {
                        let words = one_by_one::<S>(&self.address, q + i as u64, lane as u64, E::EVEN_ODD);
                        self.emit.emit::<S>(done + i, lane, words);
                    }
                }
            }
            q += count as u64;
        }
    }
}

/// The words of a block for two vectors of paths by the scalar generator.
#[inline(always)]
fn one_by_one<S: Simd>(address: &Address, q: u64, lane: u64, even_odd: bool) -> [[S::U64; 4]; 2] {
    let lanes = S::U64::LANES;
    let mut words = [[S::U64::splat(0); 4]; 2];
    for (half, words) in words.iter_mut().enumerate() {
        let mut columns = [[0; 8]; 4];
        for i in 0..lanes {
            let offset = if even_odd { 2 * i + half } else { half * lanes + i };
            for (column, word) in columns.iter_mut().zip(address.words(q, lane + offset as u64)) {
                column[i] = u64::from(word);
            }
        }
        for (word, column) in words.iter_mut().zip(&columns) {
            // SAFETY: a column has eight elements, the most lanes there are.
            *word = unsafe { S::U64::load(column.as_ptr()) };
        }
    }
    words
}

/// The rows that a fill writes; made by [`Rows::new`] only, so that there is room for all of them.
struct Rows<T> {
    out: *mut T,
    width: usize,
}

impl<T> Rows<T> {
    /// # Panics
    /// If `out` has no room for `rows` rows, or the width is no multiple of 16.
    fn new(out: &mut [T], rows: u64, width: usize) -> Self {
        assert!(width.is_multiple_of(crate::lanes::LANE_MULTIPLE), "the width must be a multiple of 16");
        let needed = rows.checked_mul(width as u64);
        assert!(needed.is_some_and(|n| n <= out.len() as u64), "no room for that many rows");
        Self { out: out.as_mut_ptr(), width }
    }

    #[inline(always)]
    fn at(&self, row: usize, lane: usize) -> *mut T {
        self.out.wrapping_add(row * self.width + lane)
    }
}

struct Normals64 {
    rows: Rows<f64>,
    variance: f64,
}

impl Emit for Normals64 {
    const EVEN_ODD: bool = false;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let variance = S::F64::splat(self.variance);
        let [a, b] = normal::normals64::<S, 2>(words, variance);
        let at = self.rows.at(2 * block, lane);
        // SAFETY: rows 2 block and 2 block + 1 are there, and `lane` starts a whole group of lanes.
        unsafe {
            a[0].store(at);
            b[0].store(at.add(S::F64::LANES));
            a[1].store(at.add(self.rows.width));
            b[1].store(at.add(self.rows.width + S::F64::LANES));
        }
    }
}

struct Normals32 {
    rows: Rows<f32>,
    variance: f32,
}

impl Emit for Normals32 {
    const EVEN_ODD: bool = true;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let normals = normal::normals32::<S>(words[0], words[1], S::F32::splat(self.variance));
        let at = self.rows.at(4 * block, lane);
        // SAFETY: rows 4 block to 4 block + 3 are there, and `lane` starts a whole group of lanes.
        unsafe {
            normals[0].store(at);
            normals[1].store(at.add(self.rows.width));
            normals[2].store(at.add(2 * self.rows.width));
            normals[3].store(at.add(3 * self.rows.width));
        }
    }
}

struct Widened {
    rows: Rows<f64>,
    variance: f32,
}

impl Emit for Widened {
    const EVEN_ODD: bool = true;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let normals = normal::normals32::<S>(words[0], words[1], S::F32::splat(self.variance));
        let at = self.rows.at(4 * block, lane);
        for (i, normal) in normals.into_iter().enumerate() {
            let [low, high] = S::widen(normal);
            // SAFETY: rows 4 block to 4 block + 3 are there, and `lane` starts a whole group of lanes.
            unsafe {
                low.store(at.add(i * self.rows.width));
                high.store(at.add(i * self.rows.width + S::F64::LANES));
            }
        }
    }
}

struct Uniforms {
    rows: Rows<f64>,
}

impl Emit for Uniforms {
    const EVEN_ODD: bool = false;
    #[inline(always)]
    fn emit<S: Simd>(&mut self, block: usize, lane: usize, words: [[S::U64; 4]; 2]) {
        let (a, b) = (normal::uniforms::<S>(words[0]), normal::uniforms::<S>(words[1]));
        let at = self.rows.at(2 * block, lane);
        // SAFETY: as for the normals.
        unsafe {
            a[0].store(at);
            b[0].store(at.add(S::F64::LANES));
            a[1].store(at.add(self.rows.width));
            b[1].store(at.add(self.rows.width + S::F64::LANES));
        }
    }
}

/// The same slice under its own type, if `T` is `U`.
fn same<T: 'static, U: 'static>(out: &mut [T]) -> Option<&mut [U]> {
    // SAFETY: the two types are one.
    (TypeId::of::<T>() == TypeId::of::<U>()).then(|| unsafe { &mut *(out as *mut [T] as *mut [U]) })
}

/// The element whose bits are all set.
pub(crate) fn all_ones<T: Real>() -> T {
    let mut one = [T::default()];
    if let Some(one) = same::<T, f64>(&mut one) {
        one[0] = f64::from_bits(u64::MAX);
    } else if let Some(one) = same::<T, f32>(&mut one) {
        one[0] = f32::from_bits(u32::MAX);
    }
    one[0]
}

/// Writes normals of the given variance: those numbered 2q and 2q + 1 (`f64`) or 4q to 4q + 3 (`f32`), for q in
/// `blocks`, one row of `width` lanes for each; lane p belongs to path `first_path + p`.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_normals<T: Real>(address: Address, blocks: Range<u64>, variance: f64, width: usize, out: &mut [T]) {
    let count = blocks.end.saturating_sub(blocks.start);
    if let Some(out) = same::<T, f64>(out) {
        let rows = Rows::new(out, count.saturating_mul(2), width);
        dispatch(Generate { address, blocks, width, emit: Normals64 { rows, variance } });
    } else if let Some(out) = same::<T, f32>(out) {
        let (variance, scale) = f32_variance(variance);
        let rows = Rows::new(out, count.saturating_mul(4), width);
        dispatch(Generate { address, blocks, width, emit: Normals32 { rows, variance } });
        if scale != 1.0 {
            out[..4 * count as usize * width].iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
        }
    }
}

/// [`fill_normals`] with normals of `f32` precision, four per block and about half the cost, as `f64`.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_normals_f32(address: Address, blocks: Range<u64>, variance: f64, width: usize, out: &mut [f64]) {
    let count = blocks.end.saturating_sub(blocks.start);
    let (variance, scale) = f32_variance(variance);
    let rows = Rows::new(out, count.saturating_mul(4), width);
    dispatch(Generate { address, blocks, width, emit: Widened { rows, variance } });
    if scale != 1.0 {
        out[..4 * count as usize * width].iter_mut().for_each(|x| *x *= scale);
    }
}

/// A variance that `f32` arithmetic can take under the root, and the power of two still to be multiplied by: 1 unless
/// the variance is far from 1.
fn f32_variance(variance: f64) -> (f32, f64) {
    let usual = 2.0_f64.powi(-40)..=2.0_f64.powi(40);
    if usual.contains(&variance) || variance.is_subnormal() || variance == 0.0 || !variance.is_finite() {
        return (variance as f32, 1.0);
    }
    // 4^-e brings the variance into [1, 4)
    let e = ((variance.to_bits() >> 52 & 0x7ff) as i32 - 1023).div_euclid(2);
    let root = f64::from_bits(((1023 + e) as u64) << 52);
    ((variance / root / root) as f32, root)
}

/// Writes uniforms in (0, 1), those numbered 2q and 2q + 1 for q in `blocks`, one row of `width` lanes for each.
///
/// # Panics
/// If `out` is too small or the width no multiple of 16.
pub fn fill_uniforms(address: Address, blocks: Range<u64>, width: usize, out: &mut [f64]) {
    let rows = Rows::new(out, blocks.end.saturating_sub(blocks.start).saturating_mul(2), width);
    dispatch(Generate { address, blocks, width, emit: Uniforms { rows } });
}

/// The two uniforms of block `q` of path `first_path + lane`, the bits of [`fill_uniforms`], where few lanes need any.
pub fn uniforms_at(address: Address, q: u64, lane: u64) -> [f64; 2] {
    let [w0, w1, w2, w3] = address.words(q, lane).map(u64::from);
    let uniform = |bits: u64| (bits >> 12) as f64 * f64::EPSILON + f64::EPSILON / 2.0;
    [uniform(w0 << 32 | w1), uniform(w2 << 32 | w3)]
}

/// Normal number `index` of path `first_path`, by other means than [`fill_normals`]: the scalar generator and the
/// standard library's functions. For tests; equal up to rounding.
pub fn normal_at(address: Address, index: u64) -> f64 {
    let [w0, w1, w2, w3] = address.words(index / 2, 0).map(u64::from);
    let (a, b) = (w0 << 32 | w1, w2 << 32 | w3);
    let unit = f64::EPSILON; // 2^-52
    let u = 1.0 - (a >> 12) as f64 * unit;
    let angle = std::f64::consts::PI * (((b & ((1 << 52) - 1)) as f64 + 0.5) * unit - 0.5);
    let radius = (-2.0 * u.ln()).sqrt();
    match (index % 2, b >> 63) {
        (0, 0) => radius * angle.cos(),
        (0, _) => -radius * angle.cos(),
        _ => radius * angle.sin(),
    }
}

/// Normal number `index` of path `first_path` in `f32` precision, by other means than [`fill_normals`]; for tests.
pub fn normal_f32_at(address: Address, index: u64) -> f64 {
    let words = address.words(index / 4, 0);
    let pair = (index % 4 / 2 * 2) as usize;
    let (a, b) = (words[pair], words[pair + 1]);
    let unit = 1.0 / 4_294_967_296.0;
    // what the lanes see of the words after rounding to f32
    let u = (f64::from(a as f32) * unit + unit) as f32;
    let x = (f64::from((b << 1) as i32 as f32) * unit + 0.5 * unit) as f32;
    let angle = std::f64::consts::PI * f64::from(x);
    let radius = (-2.0 * f64::from(u).ln()).sqrt();
    match (index % 2, b >> 31) {
        (0, 0) => radius * angle.cos(),
        (0, _) => -radius * angle.cos(),
        _ => radius * angle.sin(),
    }
}

/// Sign number `index` of path `first_path`, by other means than [`fill_sign_words`]; for tests.
pub fn sign_at(address: Address, index: u64) -> f64 {
    let word = address.words(index / 128, 0)[(index % 128 / 32) as usize];
    if word >> (index % 32) & 1 == 1 { -1.0 } else { 1.0 }
}
