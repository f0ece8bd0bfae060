//! The generator against its known answers, against slow scalar code, and between instruction sets.

use optsde_core::lanes::{Real, available, with_isa};
use optsde_core::rng::{
    Address, SIGN_ROWS, SignRows, Tag, fill_normals, fill_normals_f32, fill_sign_words, fill_three_point,
    fill_uniforms, normal_at, normal_f32_at, normals_per_block, philox4x32_10, sign_at, three_point_at,
};
use std::ops::Range;

/// Rows `rows` of the signs of `blocks`, times `scale`.
fn fill_signs<T: Real>(
    address: Address,
    blocks: Range<u64>,
    rows: Range<usize>,
    scale: f64,
    width: usize,
    out: &mut [T],
) {
    let mut words = vec![T::default(); (blocks.end - blocks.start) as usize * SIGN_ROWS * width];
    fill_sign_words(address, blocks, width, &mut words);
    SignRows { words: &words, first: rows.start, scale, width }.unpack(&mut out[..rows.len() * width]);
}

/// First paths, block numbers: plain, unaligned, across 2^32, far up.
const PLACES: [(u64, u64); 6] = [
    (0, 0),
    (12_345, 7),
    ((1 << 32) - 24, 3),
    ((1 << 32) - 5, (1 << 32) - 2),
    ((7 << 32) - 37, (5 << 32) - 1),
    (u64::MAX - 9, 1 << 40),
];
const WIDTH: usize = 64;

fn address(first_path: u64) -> Address {
    Address { key: 0xdead_beef_0bad_cafe, tag: Tag::WIENER_B, first_path }
}

#[test]
fn known_answers() {
    assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    assert_eq!(philox4x32_10([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    assert_eq!(philox4x32_10(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}

/// The words of a block as the lanes see them, read back from 128 signs.
#[test]
fn lanes_have_the_words_of_the_scalar_generator() {
    for isa in available() {
        for (first_path, q) in PLACES {
            let mut out = vec![0.0_f64; 256 * WIDTH];
            with_isa(isa, || fill_signs(address(first_path), q..q + 2, 0..256, 1.0, WIDTH, &mut out));
            for lane in 0..WIDTH {
                for block in 0..2 {
                    let path = first_path.wrapping_add(lane as u64);
                    let q = q + block as u64;
                    let c1 = (q >> 32) as u32 & 0xff_ffff | 6 << 24;
                    let counter = [q as u32, c1, path as u32, (path >> 32) as u32];
                    let words = philox4x32_10(counter, [0x0bad_cafe, 0xdead_beef]);
                    for i in 0..128 {
                        let bit = words[i / 32] >> (i % 32) & 1;
                        let expected = 1.0 - 2.0 * f64::from(bit);
                        assert_eq!(out[(128 * block + i) * WIDTH + lane], expected, "{isa:?} {path} {q} {i}");
                    }
                }
            }
        }
    }
}

#[test]
fn normals_agree_with_slow_code() {
    for (first_path, q) in PLACES {
        for variance in [1.0, 0.037, 1e-30, 1e25] {
            let scale = f64::sqrt(variance);
            let mut wide = vec![0.0_f64; 12 * WIDTH];
            let mut narrow = vec![0.0_f32; 12 * WIDTH];
            let mut mixed = vec![0.0_f64; 12 * WIDTH];
            fill_normals(address(first_path), q..q + 6, variance, WIDTH, &mut wide);
            fill_normals(address(first_path), q..q + 3, variance, WIDTH, &mut narrow);
            fill_normals_f32(address(first_path), q..q + 3, variance, WIDTH, &mut mixed);
            for row in 0..12 {
                for lane in 0..WIDTH {
                    let at = address(first_path.wrapping_add(lane as u64));
                    let i = row * WIDTH + lane;
                    let exact = scale * normal_at(at, 2 * q + row as u64);
                    assert!((wide[i] - exact).abs() <= 3e-15 * scale, "{} {exact}", wide[i]);
                    let exact = scale * normal_f32_at(at, 4 * q + row as u64);
                    assert!((f64::from(narrow[i]) - exact).abs() <= 1e-6 * scale, "{} {exact}", narrow[i]);
                    assert!((mixed[i] - exact).abs() <= 1e-6 * scale, "{} {exact}", mixed[i]);
                }
            }
        }
    }
}

#[test]
fn instruction_sets_agree_to_the_bit() {
    let run = |isa| {
        with_isa(isa, || {
            let mut bits: Vec<u64> = Vec::new();
            for (first_path, q) in PLACES {
                for variance in [1.0, 0.3, 1e-35, 0.0] {
                    let mut wide = vec![0.0_f64; 200 * WIDTH];
                    let mut narrow = vec![0.0_f32; 200 * WIDTH];
                    fill_normals(address(first_path), q..q + 100, variance, WIDTH, &mut wide);
                    bits.extend(wide.iter().map(|x| x.to_bits()));
                    fill_normals_f32(address(first_path), q..q + 50, variance, WIDTH, &mut wide);
                    bits.extend(wide.iter().map(|x| x.to_bits()));
                    fill_normals(address(first_path), q..q + 50, variance, WIDTH, &mut narrow);
                    bits.extend(narrow.iter().map(|x| u64::from(x.to_bits())));
                    fill_uniforms(address(first_path), q..q + 20, WIDTH, &mut wide);
                    bits.extend(wide.iter().map(|x| x.to_bits()));
                    fill_three_point(address(first_path), q..q + 20, variance, WIDTH, &mut wide);
                    bits.extend(wide.iter().map(|x| x.to_bits()));
                    fill_three_point(address(first_path), q..q + 20, variance, WIDTH, &mut narrow);
                    bits.extend(narrow.iter().map(|x| u64::from(x.to_bits())));
                    fill_signs(address(first_path), q..q + 3, 50..350, variance, 16, &mut narrow);
                    bits.extend(narrow.iter().map(|x| u64::from(x.to_bits())));
                    fill_signs(address(first_path), q..q + 3, 130..140, variance, WIDTH, &mut wide);
                    bits.extend(wide.iter().map(|x| x.to_bits()));
                }
            }
            bits
        })
    };
    let all: Vec<_> = available().into_iter().map(run).collect();
    assert!(all.iter().all(|bits| *bits == all[0]));
}

/// A number depends on its address only, not on how the fills are cut.
#[test]
fn cuts_do_not_matter() {
    let (blocks, width) = (70..210, 96);
    let mut whole = vec![0.0_f64; 280 * width];
    fill_normals(address(1000), blocks, 0.5, width, &mut whole);
    for (q, lane) in [(70, 0), (99, 16), (150, 80), (209, 48)] {
        let mut part = vec![0.0_f64; 32];
        fill_normals(address(1000 + lane as u64), q..q + 1, 0.5, 16, &mut part);
        let row = 2 * (q - 70) as usize;
        assert_eq!(part[..16], whole[row * width + lane..][..16]);
        assert_eq!(part[16..], whole[(row + 1) * width + lane..][..16]);
    }
    let mut signs = vec![0.0_f32; 40 * 32];
    fill_signs(address(3), 5..8, 100..140, 2.0, 32, &mut signs);
    for row in 0..40 {
        for lane in 0..32 {
            let expected = 2.0 * sign_at(address(3 + lane as u64), 5 * 128 + 100 + row as u64);
            assert_eq!(f64::from(signs[row * 32 + lane]), expected);
        }
    }
    let (mut wide, mut narrow) = (vec![0.0_f64; 12 * 32], vec![0.0_f32; 12 * 32]);
    fill_three_point(address(3), 5..8, 3.0, 32, &mut wide);
    fill_three_point(address(3), 5..8, 3.0, 32, &mut narrow);
    for row in 0..12 {
        for lane in 0..32 {
            let expected = 3.0 * three_point_at(address(3 + lane as u64), 5 * 4 + row as u64);
            assert_eq!(wide[row * 32 + lane], expected);
            assert_eq!(f64::from(narrow[row * 32 + lane]), expected);
        }
    }
}

#[test]
fn three_points_have_their_probabilities() {
    let (rows, width) = (512, 2048);
    let mut x = vec![0.0_f64; rows * width];
    fill_three_point(address(0), 0..rows as u64 / 4, 1.0, width, &mut x);
    let n = x.len() as f64;
    let root = 3.0_f64.sqrt();
    for (value, p) in [(-root, 1.0 / 6.0), (0.0, 2.0 / 3.0), (root, 1.0 / 6.0)] {
        let count = x.iter().filter(|x| **x == value).count() as f64;
        let z = (count - n * p) / (n * p * (1.0 - p)).sqrt();
        assert!(z.abs() < 4.5, "{value}: {count} of {n}, z = {z}");
    }
    assert!(x.iter().all(|x| x.abs() == root || x.to_bits() == 0));
    for shift in [1, width, 2 * width, 4 * width, 4 * width + 1] {
        let n = (x.len() - shift) as f64;
        for power in [1, 2] {
            // Of variance 1; the square has mean 1 and variance 2.
            let f = |x: f64| if power == 1 { x } else { (x * x - 1.0) / 2.0_f64.sqrt() };
            let z = x.iter().zip(&x[shift..]).map(|(a, b)| f(*a) * f(*b)).sum::<f64>() / n.sqrt();
            assert!(z.abs() < 4.5, "shift {shift}, power {power}: z = {z}");
        }
    }
}

#[test]
fn moments_and_tails() {
    let (rows, width) = (512, 2048);
    let mut wide = vec![0.0_f64; rows * width];
    let mut narrow = vec![0.0_f32; rows * width];
    fill_normals(address(0), 0..rows as u64 / 2, 1.0, width, &mut wide);
    fill_normals(address(0), 0..rows as u64 / 4, 1.0, width, &mut narrow);
    let narrow: Vec<f64> = narrow.iter().map(|&x| x.into()).collect();
    for x in [&wide, &narrow] {
        let n = x.len() as f64;
        let moment = |p| x.iter().map(|v| v.powi(p)).sum::<f64>() / n;
        // moments of the normal and the variances of their estimates
        for (p, mean, variance) in
            [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0), (6, 15.0, 10_170.0), (8, 105.0, 2_016_000.0)]
        {
            let z = (moment(p) - mean) / f64::sqrt(variance / n);
            assert!(z.abs() < 4.5, "moment {p}: z = {z}");
        }
        for (level, tail) in [(1.0, 0.317_310_5), (2.0, 0.045_500_26), (3.0, 0.002_699_796), (4.0, 6.334_248e-5)] {
            let count = x.iter().filter(|v| v.abs() > level).count() as f64;
            let z = (count - n * tail) / f64::sqrt(n * tail);
            assert!(z.abs() < 4.5, "tail {level}: z = {z}");
        }
        // neighbours in path, in draw, and of squares: the statistic that catches too few rounds
        for shift in [1, 2, 3, width, 2 * width, width + 1] {
            let n = (x.len() - shift) as f64;
            let product = |f: fn(f64) -> f64| x.iter().zip(&x[shift..]).map(|(a, b)| f(*a) * f(*b)).sum::<f64>();
            let z = product(|v| v) / n.sqrt();
            assert!(z.abs() < 4.5, "shift {shift}: z = {z}");
            let z = product(|v| v * v - 1.0) / (2.0 * n.sqrt());
            assert!(z.abs() < 4.5, "squares, shift {shift}: z = {z}");
        }
    }
    let mut signs = vec![0.0_f64; rows * width];
    fill_signs(address(0), 0..4, 0..rows, 1.0, width, &mut signs);
    for shift in [1, 2, width, 2 * width, 32 * width, 128 * width] {
        let n = (signs.len() - shift) as f64;
        let z = signs.iter().zip(&signs[shift..]).map(|(a, b)| a * b).sum::<f64>() / n.sqrt();
        assert!(z.abs() < 4.5, "signs, shift {shift}: z = {z}");
    }
    let mut uniforms = vec![0.0_f64; rows * width];
    fill_uniforms(address(0), 0..rows as u64 / 2, width, &mut uniforms);
    assert!(uniforms.iter().all(|u| 0.0 < *u && *u < 1.0));
    let z = (uniforms.iter().sum::<f64>() / uniforms.len() as f64 - 0.5) * f64::sqrt(12.0 * uniforms.len() as f64);
    assert!(z.abs() < 4.5, "uniforms: z = {z}");
    assert_eq!((normals_per_block::<f64>(), normals_per_block::<f32>()), (2, 4));
}
