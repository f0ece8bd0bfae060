//! Philox4x32-10, the counter-based generator of Salmon et al. (Random123, SC11): scalar, and with one path per lane.

use crate::lanes::{Bits, Bits64, Simd};

const M0: u32 = 0xd251_1f53;
const M1: u32 = 0xcd9e_8d57;
const W0: u32 = 0x9e37_79b9;
const W1: u32 = 0xbb67_ae85;

/// One block of four words.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (p0, p1) = (u64::from(M0) * u64::from(c0), u64::from(M1) * u64::from(c2));
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        (k0, k1) = (k0.wrapping_add(W0), k1.wrapping_add(W1));
    }
    [c0, c1, c2, c3]
}

/// The keys of the ten rounds.
#[derive(Clone, Copy, Debug)]
pub struct Keys([[u64; 2]; 10]);

impl Keys {
    /// The round keys of a 64-bit key: low word first.
    pub fn new(key: u64) -> Self {
        let mut rounds = [[0; 2]; 10];
        for (i, round) in (0_u32..).zip(&mut rounds) {
            let word = |k: u32, w: u32| u64::from(k.wrapping_add(w.wrapping_mul(i)));
            *round = [word(key as u32, W0), word((key >> 32) as u32, W1)];
        }
        Self(rounds)
    }
}

/// What block number and purpose contribute to the state after two rounds: the same for all paths whose numbers agree
/// in the high word.
///
/// The counter is (block low, block high and tag, path low, path high). In the first round the block meets one
/// multiplication and the path the other; in the second they change places, joined by exclusive or only. So two of the
/// ten rounds are done once per block and once per path instead of once per block and path.
#[derive(Clone, Copy, Debug)]
pub struct BlockPart([u64; 3]);

impl BlockPart {
    /// The part of block `c0`; `path_high` is the high word of the path number.
    #[inline(always)]
    pub fn new(keys: &Keys, c0: u32, path_high: u32) -> Self {
        let p0 = u64::from(M0) * u64::from(c0);
        let c2 = (p0 >> 32) ^ u64::from(path_high) ^ keys.0[0][1];
        let p1 = u64::from(M1) * c2;
        Self([(p1 >> 32) ^ keys.0[1][0], p1 & 0xffff_ffff, (p0 & 0xffff_ffff) ^ keys.0[1][1]])
    }
}

/// What the path number contributes to the state after two rounds, per lane.
#[derive(Clone, Copy, Debug)]
pub struct PathPart<S: Simd>([S::U64; 3]);

impl<S: Simd> PathPart<S> {
    /// The part of the paths `path` (their high words are ignored); `c1` is the counter's second word.
    #[inline(always)]
    pub fn new(keys: &Keys, c1: u32, path: S::U64) -> Self {
        let p1 = path.mul_low(S::U64::splat(M1.into()));
        let c0 = p1.shift_right(32).xor(S::U64::splat(u64::from(c1) ^ keys.0[0][0]));
        let p0 = c0.mul_low(S::U64::splat(M0.into()));
        Self([p1, p0.shift_right(32), p0])
    }
}

/// The round of number `$i` on `$n` states side by side, so that one's latency is hidden behind the others.
macro_rules! round {
    ($s:ident, $keys:ident, $n:ident, $i:literal) => {
        let (m0, m1) = (S::U64::splat(M0.into()), S::U64::splat(M1.into()));
        let (k0, k1) = (S::U64::splat($keys.0[$i][0]), S::U64::splat($keys.0[$i][1]));
        for j in 0..$n {
            let [c0, c1, c2, c3] = $s[j];
            let (p0, p1) = (c0.mul_low(m0), c2.mul_low(m1));
            $s[j] = [p1.shift_right(32).xor3(c1, k0), p1, p0.shift_right(32).xor3(c3, k1), p0];
        }
    };
}

/// The words of one block for `N` vectors of paths; each stands in the low half of its lane, the high halves hold rubbish.
#[inline(always)]
pub fn blocks<S: Simd, const N: usize>(keys: &Keys, block: &BlockPart, paths: &[PathPart<S>; N]) -> [[S::U64; 4]; N] {
    let [b0, b1, b2] = block.0;
    let (b0, b1, b2) = (S::U64::splat(b0), S::U64::splat(b1), S::U64::splat(b2));
    let mut s = [[b1; 4]; N];
    for j in 0..N {
        let [p0, p1, p2] = paths[j].0;
        s[j] = [b0.xor(p0), b1, b2.xor(p1), p2];
    }
    round!(s, keys, N, 2);
    round!(s, keys, N, 3);
    round!(s, keys, N, 4);
    round!(s, keys, N, 5);
    round!(s, keys, N, 6);
    round!(s, keys, N, 7);
    round!(s, keys, N, 8);
    round!(s, keys, N, 9);
    s
}
