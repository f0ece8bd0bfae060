//! Random runs of the engine: threads, shards, instruction sets and splits in time leave the bits as they are.

use optsde_core::block::Span;
use optsde_core::dynamics::GradientSde;
use optsde_core::ensemble::{Control, Initial, Plan, Start, run};
use optsde_core::error::{Error, Result};
use optsde_core::lanes::{available, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{Loss, MuellerBrown, Quadratic, Rastrigin};
use optsde_core::noise::{AffineDiagonal, Factor, Gaussian, LossScaled, Noise};
use optsde_core::observe::{Forest, Moments, Observer, Snapshots, Stats};
use optsde_core::rng::Drawn;
use optsde_core::scheme::{Beside, Step, StepAddress, Steps, stepper};
use optsde_core::wiener::{Grid, Increments};
use proptest::prelude::*;
use std::sync::Arc;

/// A run: which equation and scheme, and how long.
#[derive(Clone, Copy, Debug)]
struct Case {
    loss: usize,
    noise: usize,
    method: &'static str,
    cells: u64,
    increments: Increments,
    n_paths: u64,
    n_steps: u64,
}

impl Case {
    /// Heun's scheme takes additive noise only; then the other of weak order 2 does.
    fn method(&self) -> &'static str {
        if self.method == "heun" && self.noise > 1 { "platen" } else { self.method }
    }
}

const H: f64 = 1e-3;

/// Final states `(paths, 2)` and moments of paths `range`, from `start` at the absolute step `first`.
fn simulate(
    case: Case,
    range: (u64, u64),
    threads: usize,
    first: u64,
    n_steps: u64,
    start: Initial<f64>,
) -> Result<(Vec<f64>, Forest<Stats>)> {
    let matrix = Matrix::new(2, 2, vec![2.0, 0.5, 0.5, 1.0])?;
    let loss: Arc<dyn Loss<f64>> = match case.loss {
        0 => Arc::new(Quadratic::diagonal(vec![1.0, 3.0], None)?),
        1 => Arc::new(Quadratic::full(&matrix, Some(vec![0.1, -0.2]))?),
        2 => Arc::new(Rastrigin::new(2)?),
        _ => Arc::new(MuellerBrown),
    };
    let noise: Arc<dyn Noise<f64>> = match case.noise {
        0 => Arc::new(Gaussian(Factor::of_variances(&[1.0, 0.0]))),
        1 => Arc::new(Gaussian(Factor::of_covariance(&matrix)?)),
        2 => Arc::new(AffineDiagonal::new(vec![0.5; 2], vec![1.0, 0.0], vec![0.0, 0.3])),
        3 => Arc::new(LossScaled::new(loss.clone(), Factor::of_variances(&[1.0, 0.5]), 400.0)),
        _ => Arc::new(LossScaled::new(loss.clone(), Factor::of_covariance(&matrix)?, 400.0)),
    };
    let sde = Arc::new(GradientSde::new(loss, noise, -0.05, None, None));
    let moments = Arc::new(Moments::new(vec![0, n_steps], case.n_paths, 2, true));
    let last = Snapshots::new(vec![n_steps], range.0, range.1, 2).ok_or(Error::missing("memory"))?;
    let last = Arc::new(last);
    let observers: Vec<Arc<dyn Observer<f64>>> = vec![moments.clone(), last.clone()];
    let plan = Plan {
        stepper: stepper(case.method(), sde, H)?,
        initial: Start::of(2, start),
        floor: None,
        key: 11,
        grid: Grid { h: H, cells: case.cells, increments: case.increments, antithetic: false },
        mesh: Vec::new(),
        t0: first as f64 * H,
        first_cell: first * case.cells,
        n_steps,
        n_paths: case.n_paths,
        range,
        observers,
        keep_diverged: false,
    };
    let outcome = run(&plan, threads, &Control::default(), &mut || ());
    assert!(outcome.complete && outcome.error.is_none());
    Ok((last.take(), moments.forest()))
}

fn whole(case: Case, threads: usize) -> Result<(Vec<f64>, Forest<Stats>)> {
    simulate(case, (0, case.n_paths), threads, 0, case.n_steps, start())
}

fn start() -> Initial<f64> {
    Initial::Point(vec![0.3, 0.4])
}

fn cases() -> impl Strategy<Value = Case> {
    let laws = prop_oneof![
        Just(Increments::Gaussian),
        Just(Increments::GaussianF32),
        Just(Increments::TwoPoint),
        Just(Increments::ThreePoint)
    ];
    let methods = prop_oneof![Just("euler_maruyama"), Just("milstein"), Just("heun"), Just("platen")];
    (0..4usize, 0..5usize, methods, 1..4u64, laws, 1..700u64, 1..12u64).prop_map(
        |(loss, noise, method, cells, increments, n_paths, n_steps)| Case {
            loss,
            noise,
            method,
            cells,
            increments,
            n_paths,
            n_steps,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn threads_do_not_matter(case in cases(), threads in 2..5usize) {
        let (one, many) = (whole(case, 1)?, whole(case, threads)?);
        prop_assert_eq!(one.0, many.0);
        prop_assert_eq!(one.1.encode(), many.1.encode());
    }

    #[test]
    fn shards_give_the_whole(case in cases(), cut in 0.0..1.0f64) {
        let all = whole(case, 1)?;
        let cut = (cut * case.n_paths as f64) as u64;
        prop_assume!(cut > 0);
        let shard = |range| simulate(case, range, 1, 0, case.n_steps, start());
        let (left, right) = (shard((0, cut))?, shard((cut, case.n_paths))?);
        prop_assert_eq!([left.0, right.0].concat(), all.0);
        // In the wrong order, and by way of bytes.
        let mut merged = Forest::<Stats>::decode(&right.1.encode()).ok_or(Error::missing("a forest"))?;
        merged.absorb(left.1);
        prop_assert_eq!(merged.encode(), all.1.encode());
    }

    #[test]
    fn instruction_sets_do_not_matter(case in cases()) {
        let all = whole(case, 1)?;
        for isa in available() {
            let other = with_isa(isa, || whole(case, 1))?;
            prop_assert_eq!(&all.0, &other.0);
            prop_assert_eq!(all.1.encode(), other.1.encode());
        }
    }

    #[test]
    fn a_split_in_time_does_not_matter(case in cases(), part in 0.0..1.0f64) {
        let at = (part * case.n_steps as f64) as u64;
        prop_assume!(at > 0);
        let range = (0, case.n_paths);
        let middle = simulate(case, range, 1, 0, at, start())?.0;
        let end = simulate(case, range, 1, at, case.n_steps - at, Initial::Points(middle))?.0;
        prop_assert_eq!(end, whole(case, 1)?.0);
    }

    #[test]
    fn many_steps_at_once_are_steps_one_by_one(
        bowl in any::<bool>(),
        method in prop::sample::select(vec!["euler_maruyama", "heun", "leimkuhler_matthews", "milstein"]),
        start in -1.0..1.0f64,
        dw in prop::collection::vec(-0.1..0.1f64, 6 * 2 * 48),
    ) {
        let affine = method == "milstein";
        let (span, d) = (Span { n: 48, width: 48 }, if bowl { 2 } else { 1 });
        let loss: Arc<dyn Loss<f64>> =
            if bowl { Arc::new(Quadratic::diagonal(vec![1.0, 3.0], Some(vec![0.1, 0.0]))?) } else { Arc::new(Rastrigin::new(1)?) };
        let noise: Arc<dyn Noise<f64>> = if affine {
            Arc::new(AffineDiagonal::new(vec![0.5; d], vec![0.7; d], vec![0.2; d]))
        } else {
            Arc::new(Gaussian(Factor::of_variances(&vec![0.3; d])))
        };
        let sde = Arc::new(GradientSde::new(loss, noise, -0.5, None, None));
        let scheme = stepper(method, sde, H)?;
        prop_assert!(scheme.leaps() > 1);
        let (mut at_once, mut one_by_one) = (vec![start; d * 48], vec![start; d * 48]);
        let at = StepAddress { key: 0, first_path: 0, cell: 0, cells: 1, antithetic: false };
        let steps = Steps { t: 0.0, h: H, count: 5, dw: Drawn::Rows(&dw[..6 * d * 48]), at, span };
        scheme.leap(&steps, &mut at_once)?;
        let mut scratch = vec![0.0; scheme.scratch_rows() * 48];
        for (dw, ahead) in dw.chunks_exact(d * 48).zip(dw.chunks_exact(d * 48).skip(1)).take(5) {
            let step = Step { t: 0.0, h: H, dw, beside: Beside { ahead, ..Beside::default() }, at, span };
            scheme.step(&step, &mut one_by_one, &mut scratch)?;
        }
        prop_assert_eq!(at_once, one_by_one);
    }

    #[test]
    fn broken_bytes_are_no_forest(case in cases(), at in 0.0..1.0f64) {
        let bytes = whole(case, 1)?.1.encode();
        let cut = (at * bytes.len() as f64) as usize;
        prop_assert!(Forest::<Stats>::decode(&bytes[..cut]).is_none());
    }
}
