//! Draws of heavy tails against scalar code with the standard library's functions, and between instruction sets.

use optsde_core::lanes::{available, with_isa};
use optsde_core::rng::{Address, HeavyTails, Tag, fill_heavy_tails, heavy_tails_at};

/// First paths, block numbers: plain, across 2^32, far up.
const PLACES: [(u64, u64); 4] = [(0, 0), (12_345, 7), ((1 << 32) - 5, (1 << 32) - 2), (u64::MAX - 9, 1 << 40)];
const WIDTH: usize = 64;
const BLOCKS: u64 = 40;

fn laws() -> Vec<HeavyTails> {
    let indices = [0.3, 0.7, 0.99, 1.0, 1.01, 1.5, 1.8, 1.999, 2.0];
    let freedom = [0.2, 1.0, 2.5, 4.0, 30.0, 1e6, 1e12];
    let stable = indices.into_iter().flat_map(|a| [HeavyTails::Stable(a), HeavyTails::StableRadius(a)]);
    stable.chain(freedom.map(HeavyTails::Student)).collect()
}

fn address(first_path: u64) -> Address {
    Address { key: 0xdead_beef_0bad_cafe, tag: Tag::JUMP, first_path }
}

#[test]
fn lanes_agree_with_scalar_code() {
    for isa in available() {
        for law in laws() {
            for (first_path, q) in PLACES {
                let mut out = vec![0.0_f64; BLOCKS as usize * WIDTH];
                with_isa(isa, || fill_heavy_tails(law, address(first_path), q..q + BLOCKS, WIDTH, &mut out));
                for (k, x) in out.iter().enumerate() {
                    let (block, lane) = (q + (k / WIDTH) as u64, (k % WIDTH) as u64);
                    let exact = heavy_tails_at(law, address(first_path.wrapping_add(lane)), block);
                    assert!((x - exact).abs() <= 2e-12 * exact.abs(), "{isa:?} {law:?}: {x} {exact}");
                }
            }
        }
    }
}

#[test]
fn instruction_sets_give_the_same_bits_and_singles_are_rounded_doubles() {
    for law in laws() {
        let mut first = None;
        for isa in available() {
            let mut wide = vec![0.0_f64; BLOCKS as usize * WIDTH];
            let mut single = vec![0.0_f32; BLOCKS as usize * WIDTH];
            with_isa(isa, || {
                fill_heavy_tails(law, address(3), 5..5 + BLOCKS, WIDTH, &mut wide);
                fill_heavy_tails(law, address(3), 5..5 + BLOCKS, WIDTH, &mut single);
            });
            assert!(wide.iter().zip(&single).all(|(w, s)| (*w as f32).to_bits() == s.to_bits()), "{isa:?} {law:?}");
            let bits: Vec<u64> = wide.iter().map(|x| x.to_bits()).collect();
            assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{isa:?} {law:?}");
        }
    }
}
