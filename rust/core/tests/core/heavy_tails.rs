//! Draws of heavy tails against scalar code with the standard library's functions, and between instruction sets.

use optsde_core::block::Span;
use optsde_core::error::Result;
use optsde_core::lanes::{available, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::Quadratic;
use optsde_core::noise::{Factor, Stable};
use optsde_core::optimizer::{
    GaussianInputsGradient, StableGradient, StochasticGradient, StudentGradient, svag_weights,
};
use optsde_core::rng::{Address, HeavyTails, Tag, fill_heavy_tails, heavy_tails_at};

use optsde_core::scheme::{Beside, Step, StepAddress};
use std::sync::Arc;

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

/// The first component of many gradients of `½ |x|²` at (1, 0).
fn samples(gradient: &dyn StochasticGradient<f64>) -> Result<Vec<f64>> {
    let span = Span { n: 512, width: 512 };
    let x = [vec![1.0; 512], vec![0.0; 512]].concat();
    let (mut out, mut scratch) = (vec![0.0; 1024], vec![0.0; gradient.scratch_rows() * 512]);
    let mut list = Vec::new();
    for cell in 0..500 {
        let at = StepAddress { key: 5, first_path: 0, cell, cells: 1, antithetic: false };
        let step = Step { t: 0.0, h: 0.1, dw: &[], beside: Beside::default(), at, span };
        gradient.sample(&step, &x, &mut out, &mut scratch)?;
        list.extend_from_slice(&out[..512]);
    }
    Ok(list)
}

/// The mean of `values`, in standard errors from `exact`.
fn z(values: impl Iterator<Item = f64>, exact: f64) -> f64 {
    let (mut n, mut sum, mut square) = (0.0, 0.0, 0.0);
    for v in values {
        (n, sum, square) = (n + 1.0, sum + v, square + v * v);
    }
    let mean = sum / n;
    (mean - exact) / ((square / n - mean * mean) / n).sqrt()
}

/// SVAG combines two independent draws: the mean stays, the variance is `l` times as large.
#[test]
fn amplified_gradients() -> Result<()> {
    let loss = Arc::new(Quadratic::diagonal(vec![1.0; 2], None)?);
    let svag = 3.0;
    let student = StudentGradient::new(loss.clone(), 20.0, Factor::of_variances(&[2.0, 1.0]), 4.0, svag);
    let inputs = GaussianInputsGradient::new(&Matrix::identity(2), &[0.0, 0.0], 0.5, 4, svag)?;
    // Of one example the variance of the first component is w1² + |w|² + δ².
    let cases: [(&dyn StochasticGradient<f64>, f64); 2] = [(&student, 2.0 / 4.0), (&inputs, 2.25 / 4.0)];
    for (gradient, variance) in cases {
        let g = samples(gradient)?;
        let mean = z(g.iter().copied(), 1.0);
        let spread = |exact: f64| z(g.iter().map(|g| (g - 1.0).powi(2)), exact);
        assert!(mean.abs() < 5.0 && spread(svag * variance).abs() < 5.0, "{mean} {}", spread(svag * variance));
        assert!(spread(variance).abs() > 12.0 && spread(svag * svag * variance).abs() > 12.0);
    }
    let stable = StableGradient::new(loss, Stable::new(1.5, vec![0.5; 2], false), svag);
    let g = samples(&stable)?;
    let scale = 0.5 * svag_weights(svag).iter().map(|w| w.abs().powf(1.5)).sum::<f64>().powf(1.0 / 1.5);
    let at = |scale: f64| z(g.iter().map(|g| (g - 1.0).cos()), (-scale.powf(1.5)).exp());
    assert!(at(scale).abs() < 5.0 && at(0.5).abs() > 12.0 && at(0.95 * scale).abs() > 12.0, "{}", at(scale));
    Ok(())
}
