//! Without noise: solutions computed apart from this code, and orders of convergence to the algorithm.

use super::one_step::algorithm;
use super::problem::{Case, RMSPROP, Well, adam, block, close};
use Ordering::{Fresh, Lagged};
use Regime::{Ballistic, BatchEquivalent};
use optsde_core::block::Span;
use optsde_core::dynamics::{Order, Ordering, Regime, Rule, Sde};
use optsde_core::error::Result;
use optsde_core::scheme::{Beside, Step, StepAddress, stepper};
use std::sync::Arc;

/// The solution at `t1`, in the regime's unit.
fn solve(case: &Case, order: Order, [t0, t1]: [f64; 2], x: &[f64]) -> Result<Vec<f64>> {
    let (n, units, span) = (4000, case.units(), Span { n: 1, width: 16 });
    let sde: Arc<dyn Sde<f64>> = case.sde(order)?;
    let h = (t1 - t0) / f64::from(n);
    let scheme = stepper("rk4", sde, h)?;
    let mut x = block(&x.iter().zip(&units).map(|(x, u)| x * u).collect::<Vec<f64>>());
    let mut scratch = vec![0.0; scheme.scratch_rows() * span.width];
    for k in 0..n {
        let at = StepAddress { key: 0, first_path: 0, cell: 0, cells: 1, antithetic: false };
        let step = Step { t: t0 + f64::from(k) * h, h, dw: &[], beside: Beside::default(), at, span };
        scheme.step(&step, &mut x, &mut scratch)?;
    }
    Ok(x.iter().step_by(span.width).zip(&units).map(|(x, u)| x / u).collect())
}

/// Where the algorithm is at `t1`.
fn iterate(case: &Case, [t0, t1]: [f64; 2], x: &[f64]) -> Vec<f64> {
    let (first, last) = ((t0 / case.tau).round() as u32, (t1 / case.tau).round() as u32);
    (first..last).fold(x.to_vec(), |x, k| algorithm(case, f64::from(k) * case.tau, &x, [0.0; 2]))
}

fn times(case: &Case) -> [f64; 2] {
    if case.is_adam() { [1.0, 3.0] } else { [0.0, 2.0] }
}

fn silent(rule: Rule, regime: Regime, ordering: Ordering, tau: f64) -> Case {
    let mut case = Case::new(rule, regime, ordering).silent();
    (case.tau, case.floor) = (tau, 1e-9);
    case
}

/// Section 12.5.
#[test]
fn solutions_of_order_two_have_the_figures_of_the_oracle() -> Result<()> {
    let list: [(Case, &[f64], &[f64]); 4] = [
        (
            silent(RMSPROP, Ballistic, Lagged, 0.0625),
            &[0.05772514, -0.07670053, 0.12600742, 0.07495060],
            &[0.05784104, -0.07681138, 0.12599440, 0.07502311],
        ),
        (
            silent(RMSPROP, Ballistic, Fresh, 0.0625),
            &[0.05474972, -0.07299919, 0.12548101, 0.07477973],
            &[0.05509173, -0.07338156, 0.12547026, 0.07485194],
        ),
        (
            silent(adam([2.0, 1.0]), Ballistic, Lagged, 0.0625),
            &[0.10207859, -0.17623132, 0.05291485, -0.24256963, 0.11293694, 0.15654573],
            &[0.10228167, -0.17907511, 0.05262711, -0.24364080, 0.11304179, 0.15697917],
        ),
        (
            silent(adam([1.0, 1.0]), Ballistic, Fresh, 0.0625),
            &[0.10152096, -0.16767148, 0.05019335, -0.24233850, 0.11235725, 0.15829591],
            &[0.10174770, -0.17035665, 0.04995653, -0.24316771, 0.11242037, 0.15865445],
        ),
    ];
    for (case, chain, solution) in list {
        close(&iterate(&case, times(&case), &case.point()), chain, 1e-8);
        close(&solve(&case, Order::Two, times(&case), &case.point())?, solution, 1e-7);
    }
    Ok(())
}

/// Adam and RMSprop at order 2 on a quartic: figures of an independent solver.
#[test]
fn another_problem_has_its_figures() -> Result<()> {
    let loss = Well { a: [[1.0, 0.5], [0.5, 1.0]], q: 0.0, p: 0.0, r: 1.0, first: 1.0 };
    let case = |rule, ordering| {
        let mut case = silent(rule, Ballistic, ordering, 0.01);
        (case.problem.loss, case.eps) = (loss, 0.1);
        case
    };
    let adam = case(Rule::Adam { c1: 2.0, c2: 1.0, correction: Some([1.0, 1.0]) }, Fresh);
    let x = [1.0, -0.6, 0.3, 0.2, 0.5, 0.8];
    let chain = [0.30268684, -0.35764780, 0.62263693, -0.30515032, 0.78912276, 0.41889239];
    close(&iterate(&adam, [0.5, 1.5], &x), &chain, 1e-8);
    let solution = [0.30275346, -0.35771825, 0.62264314, -0.30515429, 0.78906045, 0.41890611];
    // Those figures have the bias corrections of the step before, and the other sign of their slope.
    close(&solve(&adam, Order::Two, [0.5, 1.5], &x)?, &solution, 6e-6);
    let rmsprop = case(Rule::RmsProp { c: 1.5 }, Lagged);
    let x = [1.0, -0.6, 0.5, 0.8];
    close(&iterate(&rmsprop, [0.0, 1.5], &x), &[0.17904052, -0.15830033, 0.20531597, 0.11215843], 1e-8);
    close(&solve(&rmsprop, Order::Two, [0.0, 1.5], &x)?, &[0.17905211, -0.15830936, 0.20527622, 0.11216065], 1e-8);
    Ok(())
}

/// The largest error at the end, and its slope at the next halving.
fn slope(case: &Case, order: Order, tau: f64, schedule: bool) -> Result<f64> {
    let error = |tau: f64| -> Result<f64> {
        let mut case = Case { tau, ..case.clone() };
        if schedule {
            case = case.scheduled();
        }
        let (x, times) = (case.point(), times(&case));
        let (chain, solution) = (iterate(&case, times, &x), solve(&case, order, times, &x)?);
        Ok(chain.iter().zip(solution).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
    };
    Ok((error(tau)? / error(0.5 * tau)?).log2())
}

#[test]
fn errors_fall_with_the_order() -> Result<()> {
    for rule in [RMSPROP, adam([1.0, 1.0]), adam([2.0, 1.0])] {
        for ordering in [Lagged, Fresh] {
            for schedule in [false, true] {
                let case = silent(rule, Ballistic, ordering, 0.125);
                let one = slope(&case, Order::One, 0.5_f64.powi(8), schedule)?;
                let two = slope(&case, Order::Two, 0.5_f64.powi(7), schedule)?;
                assert!((0.9..1.1).contains(&one) && (1.9..2.1).contains(&two), "{one} {two}");
            }
        }
    }
    // Without noise the corrected equation is of order 2 in the batch-equivalent regime too.
    for rule in [RMSPROP, adam([1.0, 1.0])] {
        for schedule in [false, true] {
            let case = silent(rule, BatchEquivalent, Fresh, 0.125);
            let two = slope(&case, Order::Corrected, 0.5_f64.powi(7), schedule)?;
            assert!((1.9..2.1).contains(&two), "{two}");
        }
    }
    Ok(())
}
