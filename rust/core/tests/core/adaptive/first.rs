//! Order 1: coefficients by hand, and the step of Euler–Maruyama in one pass.

use super::problem::{Case, RMSPROP, adam, close, drift, euler, factor, product};
use Ordering::Lagged;
use Regime::{Ballistic, BatchEquivalent};
use optsde_core::dynamics::{Adaptive, Order, Ordering, Regime, Rule, Sde};
use optsde_core::error::Result;
use optsde_core::linalg::Matrix;
use optsde_core::loss::Loss;
use optsde_core::noise::{AffineDiagonal, Factor, Gaussian, LossScaled, Noise, NoiseKind};
use std::sync::Arc;

/// The figures of section 12.1.
#[test]
fn drift_and_noise_are_those_of_the_oracle() -> Result<()> {
    let offsets = adam([2.0, 1.0]);
    let cases = [
        (RMSPROP, Ballistic, vec![-0.7519414885, 0.0919564625, 0.138481992, -0.0972152]),
        (RMSPROP, BatchEquivalent, vec![-0.7519414885, 0.0919564625, -0.1208, -0.1]),
        (offsets, Ballistic, vec![-0.3597535109, -0.8512601604, 0.40395, -0.9885, 0.138481992, -0.0972152]),
        (offsets, BatchEquivalent, vec![-0.3597535109, -0.8512601604, 0.40395, -0.9885, -0.1208, -0.1]),
    ];
    for (rule, regime, b0) in cases {
        let case = Case::new(rule, regime, Lagged);
        let sde = case.sde(Order::One)?;
        close(&drift(&case, &*sde, 1.0, &case.point()), &b0, 1e-8);
        let a = product(&factor(&case, &*sde, 1.0, &case.point()));
        let (first, block) = if case.is_adam() {
            (2, [0.78525, 0.10125, 0.50625])
        } else {
            (0, [0.6088511839, 0.0926372431, 0.5465664965])
        };
        let scale = if case.is_ballistic() { case.tau } else { 1.0 };
        close(&[a[first][first], a[first][first + 1], a[first + 1][first + 1]], &block.map(|a| scale * a), 1e-8);
        let rest = a.iter().enumerate().flat_map(|(i, row)| row.iter().enumerate().map(move |(j, a)| (i, j, *a)));
        assert!(rest.filter(|(i, j, _)| i / 2 != first / 2 || j / 2 != first / 2).all(|(.., a)| a == 0.0));
    }
    Ok(())
}

/// `A = ½ Γ ...` by hand: decay, lookahead, rates of parameters and time, the floor, no bias correction.
#[test]
fn options_enter_where_they_should() -> Result<()> {
    let case = Case::new(Rule::Adam { c1: 1.5, c2: 0.8, correction: None }, Ballistic, Lagged).constant().scheduled();
    let (t, x) = (1.0, [0.7, -0.5, 0.3, 0.6, 0.5, 1e-4]);
    let mut model = case.model(Order::One);
    (model.decay, model.lookahead) = (0.3, true);
    let sde = Adaptive::new(model, case.loss(), case.noise())?;
    let (g, s, u) = ([0.5693, -0.059], [0.30, 0.20], 1.0 / (1.0 + 0.4));
    let mut expected = vec![];
    for i in 0..2 {
        let relative = [1.0, 0.6][i];
        let d = 1.0 / (f64::max(x[4 + i], 1e-3).sqrt() + 0.05);
        let ahead = x[2 + i] + 0.125 * 1.5 * (g[i] - x[2 + i]);
        expected.push(-u * relative * (d * ahead + 0.3 * x[i]));
    }
    expected.extend((0..2).map(|i| 1.5 * (g[i] - x[2 + i])));
    expected.extend((0..2).map(|i| 0.8 * (g[i] * g[i] + s[i] - x[4 + i])));
    close(&drift(&case, &sde, t, &x), &expected, 1e-13);

    // Batch-equivalent RMSprop in the unit of the algorithm: lr (1/lr²) = 1/lr of D g, and D S of noise.
    let case = Case::new(RMSPROP, BatchEquivalent, Lagged).constant().scheduled();
    let sde = case.sde(Order::One)?;
    let f = factor(&case, &*sde, t, &case.point());
    let d: Vec<f64> = [0.5_f64, 0.35].iter().map(|v| 1.0 / (v.sqrt() + 0.05)).collect();
    let root = super::problem::root(case.problem.s0);
    close(&f[0], &[-u * d[0] * root[0][0], 0.0], 1e-13);
    close(&f[1], &[-u * 0.6 * d[1] * root[1][0], -u * 0.6 * d[1] * root[1][1]], 1e-13);
    assert!(sde.floor().is_none(), "no noise drives the second moment");
    assert_eq!(case.sde(Order::Corrected)?.floor().unwrap().first_row, 2);
    Ok(())
}

fn noises(loss: &Arc<dyn Loss<f64>>) -> Vec<Arc<dyn Noise<f64>>> {
    let matrix = Matrix::new(2, 2, vec![0.30, 0.08, 0.08, 0.20]).unwrap();
    vec![
        Arc::new(Gaussian(Factor::of_variances(&[0.3, 0.2]))),
        Arc::new(Gaussian(Factor::of_covariance(&matrix).unwrap())),
        Arc::new(AffineDiagonal::new(vec![0.3, 0.2], vec![0.1, 0.4], vec![0.0, 0.1])),
        Arc::new(LossScaled::new(loss.clone(), Factor::of_variances(&[0.3, 0.2]), 1.0)),
        Arc::new(LossScaled::new(loss.clone(), Factor::of_covariance(&matrix).unwrap(), 1.0)),
    ]
}

/// `x + h a + b dw` of the parts.
#[test]
fn a_whole_step_is_its_parts() -> Result<()> {
    let adam = adam([1.0, 1.0]);
    for (rule, regime) in [RMSPROP, adam].into_iter().flat_map(|rule| [(rule, Ballistic), (rule, BatchEquivalent)]) {
        let case = Case::new(rule, regime, Lagged).scheduled();
        for noise in noises(&case.loss()).into_iter().chain([case.noise(), case.clone().silent().noise()]) {
            let mut model = case.model(Order::One);
            (model.decay, model.lookahead) = (0.3, case.is_adam());
            let sde: Arc<dyn Sde<f64>> = Arc::new(Adaptive::new(model, case.loss(), noise)?);
            let (t, h, x) = (0.4, 0.05, case.point());
            let dw = &[0.2, -0.3][..sde.n_wiener()];
            let (a, b) = (drift(&case, &*sde, t, &x), factor(&case, &*sde, t, &x));
            let kick = |i: usize| b[i].iter().zip(dw).map(|(b, w)| b * w).sum::<f64>();
            let expected: Vec<f64> = (0..x.len()).map(|i| x[i] + h * a[i] + kick(i)).collect();
            close(&euler(&case, sde, t, h, &x, dw), &expected, 1e-14);
        }
    }
    Ok(())
}

#[test]
fn kinds_of_noise_are_true() -> Result<()> {
    use NoiseKind::{AdditiveFull, Commutative, Full};
    for (rule, kinds) in [
        (RMSPROP, [Commutative, Commutative, Commutative, Full, Full]),
        (adam([1.0, 1.0]), [AdditiveFull, AdditiveFull, Commutative, Commutative, Commutative]),
    ] {
        let case = Case::new(rule, Ballistic, Lagged);
        for (noise, kind) in noises(&case.loss()).into_iter().zip(kinds) {
            let sde = Adaptive::new(case.model(Order::One), case.loss(), noise)?;
            assert_eq!(sde.kind(), kind);
            let f = factor(&case, &sde, 1.0, &case.point());
            if let Some(constant) = sde.constant() {
                for (i, row) in f.iter().enumerate() {
                    close(row, &[constant.entry(i, 0), constant.entry(i, 1)], 1e-15);
                }
            } else {
                assert_ne!(kind, AdditiveFull);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_named() {
    let case = Case::new(RMSPROP, Ballistic, Lagged);
    let named = |change: fn(&mut optsde_core::dynamics::AdaptiveModel)| {
        let mut model = case.model(Order::One);
        change(&mut model);
        Adaptive::new(model, case.loss(), case.noise()).err().unwrap().to_string()
    };
    assert!(named(|model| model.floor = vec![1.0]).starts_with("floor: 1 parameters"));
    assert!(named(|model| model.floor = vec![-1.0, 0.0]).starts_with("floor"));
    assert!(named(|model| model.batch_size = 0.0).starts_with("batch_size"));
    assert!(named(|model| model.eps = f64::NAN).starts_with("eps"));
    assert!(named(|model| model.rule = Rule::RmsProp { c: 9.0 }).starts_with("c: c tau"));
}
