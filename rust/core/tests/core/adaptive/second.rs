//! Order 2: the reference against the figures of section 12.1, and blocks against the reference.

use super::problem::{Case, RMSPROP, adam, close, drift, euler, factor, product};
use super::reference::{Coefficients, coefficients};
use Ordering::{Fresh, Lagged};
use Regime::{Ballistic, BatchEquivalent};
use optsde_core::dynamics::{Order, Ordering, Regime, Sde};
use optsde_core::error::Result;
use optsde_core::noise::NoiseKind;
use std::sync::Arc;

fn at_the_point(case: &Case) -> Coefficients {
    coefficients(case, 1.0, &case.point())
}

/// The blocks `(i, j)` of a covariance, upper triangles where `i == j`.
fn block(a: &[Vec<f64>], i: usize, j: usize) -> Vec<f64> {
    let entry = |k: usize, l: usize| a[2 * i + k][2 * j + l];
    if i == j {
        vec![entry(0, 0), entry(0, 1), entry(1, 1)]
    } else {
        vec![entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)]
    }
}

#[test]
fn rmsprop_ballistic_has_the_figures_of_the_oracle() {
    let c = at_the_point(&Case::new(RMSPROP, Ballistic, Lagged));
    close(&c.b0, &[-0.7519414885, 0.0919564625, 0.138481992, -0.0972152], 1e-8);
    close(&c.b1, &[-0.6059989309, -0.3006335087, 0.481884008, -0.0530599189], 1e-8);
    close(&block(&c.a1, 0, 0), &[0.6088511839, 0.0926372431, 0.5465664965], 1e-8);
    close(&block(&c.a1, 0, 1), &[-0.4198841272, 0.0056108334, -0.0638857392, 0.0331043265], 1e-8);
    close(&block(&c.a1, 1, 1), &[0.4454714087, -0.0012774182, 0.066805056], 1e-8);
    let fresh = at_the_point(&Case::new(RMSPROP, Ballistic, Fresh));
    close(&fresh.b1, &[-0.1165908274, -0.3324643944, c.b1[2], c.b1[3]], 1e-8);
}

#[test]
fn rmsprop_batch_equivalent_has_the_figures_of_the_oracle() {
    let c = at_the_point(&Case::new(RMSPROP, BatchEquivalent, Lagged));
    close(&c.b0, &[-0.7519414885, 0.0919564625, -0.1208, -0.1], 1e-8);
    close(&c.b1, &[-0.4121617321, -0.2935214745, 0.228716668, -0.0553996014], 1e-8);
    close(&block(&c.a0, 0, 0), &[0.6088511839, 0.0926372431, 0.5465664965], 1e-8);
    close(&block(&c.a1, 0, 0), &[1.007268475, 0.5798239981, 0.7062469908], 1e-8);
    close(&block(&c.a1, 0, 1), &[-0.4539797935, 0.0093163231, -0.0690734249, 0.0549669864], 1e-8);
    close(&block(&c.a1, 1, 1), &[0.15590528, 0.002592, 0.0648], 1e-8);
    let fresh = at_the_point(&Case::new(RMSPROP, BatchEquivalent, Fresh));
    close(&fresh.b1, &[-0.1048428624, -0.32501504, c.b1[2], c.b1[3]], 1e-8);
    close(&block(&fresh.a1, 0, 0), &[0.5095928965, 0.5102363881, 0.3318670452], 1e-8);
    let constant = at_the_point(&Case::new(RMSPROP, BatchEquivalent, Lagged).constant());
    close(&constant.b1, &[-0.3959773595, -0.2976263307, 0.195281992, -0.0452152], 1e-8);
    close(&block(&constant.a1, 0, 0), &[0.8819348707, 0.6616759794, 0.7423448296], 1e-8);
    close(&block(&constant.a1, 0, 1), &[-0.3609319145, 0.0099748149, -0.1135746475, 0.029426068], 1e-8);
}

#[test]
fn adam_has_the_figures_of_the_oracle() {
    let c = at_the_point(&Case::new(adam([2.0, 1.0]), Ballistic, Lagged));
    let theta_m = [-0.3597535109, -0.8512601604, 0.40395, -0.9885];
    close(&c.b0, &[&theta_m[..], &[0.138481992, -0.0972152]].concat(), 1e-8);
    let expected = [-0.2632119313, 0.7617212862, 1.0153827378, -0.0181482885, 0.5081585575, -0.1184515541];
    close(&c.b1, &expected, 1e-8);
    close(&block(&c.a1, 1, 1), &[0.78525, 0.10125, 0.50625], 1e-8);
    let a_mv = [0.47684568, -0.006372, 0.0614844, -0.03186];
    close(&block(&c.a1, 1, 2), &a_mv, 1e-8);
    close(&block(&c.a1, 2, 2), &[0.4454714087, -0.0012774182, 0.066805056], 1e-8);
    let fresh = at_the_point(&Case::new(adam([1.0, 1.0]), Ballistic, Fresh));
    close(&fresh.b0[..2], &[-0.3720621039, -0.8803851433], 1e-8);
    close(&fresh.b1[..2], &[-0.2354839561, 0.6444978077], 1e-8);

    let c = at_the_point(&Case::new(adam([2.0, 1.0]), BatchEquivalent, Lagged));
    close(&c.b0, &[&theta_m[..], &[-0.1208, -0.1]].concat(), 1e-8);
    let expected = [-0.2190189215, 0.7633095066, 1.0153827378, -0.0181482885, 0.2311081886, -0.0712656064];
    close(&c.b1, &expected, 1e-8);
    close(&block(&c.a0, 1, 1), &[0.78525, 0.10125, 0.50625], 1e-8);
    close(&block(&c.a1, 0, 1), &[-0.4708274074, -0.060708405, -0.071825076, -0.3591253802], 1e-8);
    close(&block(&c.a1, 1, 1), &[1.234536178, 0.1986756026, 0.663608232], 1e-8);
    close(&block(&c.a1, 1, 2), &a_mv, 1e-8);
    close(&block(&c.a1, 2, 2), &[0.15590528, 0.002592, 0.0648], 1e-8);
    let fresh = at_the_point(&Case::new(adam([1.0, 1.0]), BatchEquivalent, Fresh));
    close(&fresh.b1[..2], &[-0.2811889838, 0.642855248], 1e-8);
}

/// Every equation of order 2 that there is.
fn cases() -> Vec<(Case, Order)> {
    let mut list = vec![];
    for rule in [RMSPROP, adam([1.0, 1.0]), adam([2.0, 1.0])] {
        for ordering in [Lagged, Fresh] {
            let ballistic = Case::new(rule, Ballistic, ordering);
            list.push((ballistic.clone(), Order::Two));
            list.push((ballistic.clone().constant(), Order::Two));
            list.push((ballistic.clone().scheduled(), Order::Two));
            list.push((ballistic.silent().scheduled(), Order::Two));
            let other = Case::new(rule, BatchEquivalent, ordering);
            list.push((other.clone(), Order::Corrected));
            list.push((other.clone().scheduled(), Order::Corrected));
            list.push((other.clone().constant(), Order::Corrected));
            list.push((other.clone().constant().scheduled(), Order::Corrected));
            list.push((other.silent().scheduled(), Order::Corrected));
        }
    }
    list
}

/// Points, among them some below the floor.
fn points(case: &Case) -> Vec<Vec<f64>> {
    let other = [-0.4, 0.9, 0.1, -0.3, 0.02, 1.3];
    let floored = [0.3, 0.2, 0.5, -0.1, -0.01, 0.7];
    let cut = |x: [f64; 6]| if case.is_adam() { x.to_vec() } else { [&x[..2], &x[4..]].concat() };
    vec![case.point(), cut(other), cut(floored)]
}

#[test]
fn drifts_are_those_of_the_reference() -> Result<()> {
    for (case, order) in cases() {
        let (one, two) = (case.sde(Order::One)?, case.sde(order)?);
        for (x, t) in points(&case).iter().zip([1.0, 0.25, 0.6]) {
            let c = coefficients(&case, t, x);
            close(&drift(&case, &*one, t, x), &c.b0, 1e-13 * (1.0 + largest(&c.b0)));
            let expected: Vec<f64> = c.b0.iter().zip(&c.b1).map(|(b0, b1)| b0 + case.tau * b1).collect();
            close(&drift(&case, &*two, t, x), &expected, 1e-13 * (1.0 + largest(&expected)));
        }
    }
    Ok(())
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most, x| x.abs().max(most))
}

/// `max |M Mᵀ - (a0 + τ a1)|`.
fn defect(case: &Case, order: Order, t: f64, x: &[f64]) -> Result<f64> {
    let c = coefficients(case, t, x);
    let a = product(&factor(case, &*case.sde(order)?, t, x));
    let parts = c.a0.concat().into_iter().zip(c.a1.concat()).zip(a.concat());
    Ok(largest(&parts.map(|((a0, a1), a)| a - (a0 + case.tau * a1)).collect::<Vec<f64>>()))
}

#[test]
fn factors_have_the_covariances_of_the_reference() -> Result<()> {
    for (case, order) in cases().into_iter().filter(|(case, _)| case.noise) {
        for (x, t) in points(&case).iter().zip([1.0, 0.25, 0.6]) {
            if order == Order::Two {
                assert!(defect(&case, order, t, x)? < 1e-13, "{case:?}");
                continue;
            }
            let at = |halvings: i32| {
                let mut case = case.clone();
                case.tau = 0.5_f64.powi(halvings);
                if case.relative[1] != 1.0 {
                    case = case.scheduled();
                }
                defect(&case, order, t, x)
            };
            let ratio = at(9)? / at(10)?;
            assert!((ratio - 4.0).abs() < 0.1, "{ratio} {case:?}");
        }
    }
    for (rule, exact) in [(RMSPROP, 1.08e-4), (adam([2.0, 1.0]), 9.27e-5)] {
        let mut case = Case::new(rule, BatchEquivalent, Lagged).constant();
        case.tau = 0.5_f64.powi(6);
        let found = defect(&case, Order::Corrected, 1.0, &case.point())?;
        assert!((found / exact - 1.0).abs() < 0.006, "{found}");
    }
    Ok(())
}

#[test]
fn a_whole_step_is_its_parts() -> Result<()> {
    for (case, order) in cases() {
        let sde: Arc<dyn Sde<f64>> = case.sde(order)?;
        let (t, h, x) = (0.4, 0.05, case.point());
        let dw = &[0.2, -0.3, 0.1, 0.25][..sde.n_wiener()];
        let a = drift(&case, &*sde, t, &x);
        let b = if case.noise { factor(&case, &*sde, t, &x) } else { vec![vec![]; x.len()] };
        let kick = |i: usize| b[i].iter().zip(dw).map(|(b, w)| b * w).sum::<f64>();
        let expected: Vec<f64> = (0..x.len()).map(|i| x[i] + h * a[i] + kick(i)).collect();
        close(&euler(&case, sde, t, h, &x, dw), &expected, 1e-14);
    }
    Ok(())
}

#[test]
fn noise_comes_in_two_groups() -> Result<()> {
    for (case, order) in cases() {
        let sde = case.sde(order)?;
        let kind = match (case.noise, order, case.is_adam()) {
            (false, ..) => NoiseKind::None,
            (_, Order::Two, true) => NoiseKind::Commutative,
            _ => NoiseKind::Full,
        };
        assert_eq!(
            (sde.kind(), sde.n_wiener(), sde.n_wiener_b()),
            if case.noise { (kind, 4, 2) } else { (kind, 0, 0) }
        );
    }
    Ok(())
}

#[test]
fn what_has_no_order_two_says_why() {
    let refused = |case: &Case, order: Order| case.sde(order).err().unwrap().to_string();
    let (ballistic, other) = (Case::new(RMSPROP, Ballistic, Lagged), Case::new(RMSPROP, BatchEquivalent, Lagged));
    assert!(refused(&other, Order::Two).starts_with("order: 2 exists in the ballistic regime alone"));
    assert!(refused(&ballistic, Order::Corrected).contains("batch-equivalent regime"));
    let mut model = ballistic.model(Order::Two);
    model.decay = 0.1;
    let error = optsde_core::dynamics::Adaptive::new(model, ballistic.loss(), ballistic.noise()).err().unwrap();
    assert!(error.to_string().contains("decay"));
    let sde: Arc<dyn Sde<f64>> = ballistic.sde(Order::Two).unwrap();
    let error = optsde_core::scheme::stepper("milstein", sde, 0.1).err().unwrap().to_string();
    assert!(error.starts_with("method: milstein"), "{error}");
}
