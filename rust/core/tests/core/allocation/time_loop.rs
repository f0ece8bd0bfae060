//! The time loop allocates nothing: a run of many steps makes as many allocations as a run of few.

use optsde_core::dynamics::{
    Adaptive, AdaptiveModel, Friction, GradientSde, ModifiedSgd, MomentumSde, Order, Regime, Rule, Sde,
};
use optsde_core::ensemble::{Control, Initial, Plan, Start, run};
use optsde_core::error::{Error, Result};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{
    DataLoss, DoubleWell, LinearRegression, LogisticRegression, Loss, Network, Quadratic, Rastrigin, Rosenbrock,
    SoftmaxRegression,
};
use optsde_core::noise::{
    AffineDiagonal, Factor, Gaussian, GaussianInputs, GradientNoise, LabelNoise, LossScaled, Minibatch, Noise, Stable,
    Zero,
};
use optsde_core::observe::{Moments, Observer, Snapshots};
use optsde_core::optimizer::{
    Clock, GaussianInputsGradient, Labels, MinibatchGradient, Sampling, Sgd, StableGradient, StochasticGradient,
    StudentGradient,
};
use optsde_core::rates::{Rates, Schedule};
use optsde_core::scheme::{METHODS, Needs, Stepper, stepper};
use optsde_core::wiener::{Element, Grid, Increments};
use std::sync::Arc;

const H: f64 = 1e-4;

/// Methods that need derivatives of the noise, a linear part of the drift, or one group of Wiener processes.
const ASKS_FOR_MORE: [&str; 6] = ["milstein", "stratonovich_heun", "exponential_splitting", "sra1", "sra3", "sriw1"];

fn allocations<T: Element>(
    stepper: &Arc<dyn Stepper<T>>,
    cells: u64,
    increments: Increments,
    n_steps: u64,
) -> Result<u64> {
    let (n_paths, dim) = (200, stepper.dim());
    let observers: Vec<Arc<dyn Observer<T>>> = vec![
        Arc::new(Moments::new(vec![0, n_steps], n_paths, dim, true)),
        Arc::new(Snapshots::<T>::new(vec![n_steps], 0, n_paths, dim).ok_or(Error::missing("memory"))?),
    ];
    let plan = Plan {
        stepper: stepper.clone(),
        initial: Start::of(dim, Initial::Point(vec![T::from_f64(0.3); dim])),
        floor: None,
        key: 7,
        grid: Grid { h: H, cells, increments, antithetic: false },
        mesh: Vec::new(),
        t0: 0.0,
        first_cell: 0,
        n_steps,
        n_paths,
        range: (0, n_paths),
        observers,
        keep_diverged: false,
    };
    let before = super::made();
    let outcome = run(&plan, 1, &Control::default(), &mut || ());
    let made = super::made() - before;
    assert!(outcome.complete && outcome.error.is_none() && outcome.diverged.is_empty());
    Ok(made)
}

fn equations<T: Element>() -> Result<Vec<Arc<dyn Sde<T>>>> {
    let matrix = Matrix::new(2, 2, vec![2.0, 0.5, 0.5, 1.0])?;
    let bowls = [Quadratic::full(&matrix, None)?, Quadratic::diagonal(vec![1.0, 3.0], None)?];
    let others: [Arc<dyn Loss<T>>; 3] =
        [Arc::new(DoubleWell::new(1.0, 2)?), Arc::new(Rosenbrock::new(2)?), Arc::new(Rastrigin::new(2)?)];
    let bowls = bowls.into_iter().map(|q| (Arc::new(q.cast::<T>()) as Arc<dyn Loss<T>>, Some(q)));
    let losses = bowls.chain(others.into_iter().map(|loss| (loss, None)));
    let mut list: Vec<Arc<dyn Sde<T>>> = Vec::new();
    for (loss, quadratic) in losses {
        let quiet = GradientNoise::new(Arc::new(Zero(2)), -0.1);
        let steady = Rates::new(None, Schedule::Constant, 0.1)?;
        list.push(Arc::new(ModifiedSgd::new(loss.clone(), quiet, steady, 0.0, Some(0.05), None)));
        let full = Factor::of_covariance(&matrix)?;
        let diagonal = Factor::of_variances(&[1.0, 2.0]);
        let mut noises: Vec<Arc<dyn Noise<T>>> = vec![
            Arc::new(Zero(2)),
            Arc::new(Gaussian(full.clone())),
            Arc::new(Gaussian(diagonal.clone())),
            Arc::new(AffineDiagonal::new(vec![1.0; 2], vec![0.5; 2], vec![0.0; 2])),
            Arc::new(LossScaled::new(loss.clone(), full, 1.0)),
            Arc::new(LossScaled::new(loss.clone(), diagonal, 1.0)),
            Arc::new(Stable::new(1.5, vec![1e-3; 2], false)),
            Arc::new(Stable::new(1.5, vec![1e-3; 2], true)),
        ];
        if quadratic.is_some() {
            noises.push(Arc::new(GaussianInputs::new(loss.clone(), matrix.clone(), vec![0.0; 2], 0.5)?));
        }
        for noise in noises {
            let jumps = noise.stable().is_some(); // of which only plain SGD has an equation
            for model in if jumps { vec![] } else { adaptive_models()? } {
                if let Ok(sde) = Adaptive::new(model, loss.clone(), noise.clone()) {
                    list.push(Arc::new(sde)); // what has no order 2 says so
                }
            }
            list.push(Arc::new(GradientSde::new(loss.clone(), noise, -0.1, None, quadratic.clone())));
        }
        let isotropic = Arc::new(Gaussian(Factor::of_variances(&[1.0; 2])));
        list.push(Arc::new(GradientSde::new(loss.clone(), isotropic, -0.1, None, None)));
        for factor in [Factor::of_covariance(&matrix)?, Factor::of_variances(&[1.0, 2.0])] {
            list.push(Arc::new(MomentumSde {
                loss: loss.clone(),
                noise: GradientNoise::new(Arc::new(Gaussian(factor)), -0.1),
                rates: Rates::new(None, Schedule::Constant, 0.1)?,
                eps: 0.1,
                friction: Friction::Constant(1.0),
                nesterov: false,
                decay: 0.0,
                second: false,
                quadratic: None,
            }));
        }
    }
    for data in data_losses::<T>()? {
        let loss = Arc::new(Quadratic::diagonal(vec![1.0, 3.0], None)?.cast::<T>());
        let mut noises: Vec<Arc<dyn Noise<T>>> =
            vec![Arc::new(Minibatch::new(data.clone())), Arc::new(Minibatch::without_replacement(data.clone(), 2)?)];
        if data.outputs().is_some() {
            let labels = Arc::new(LabelNoise::new(data, 0.3, -2.0)?);
            let order_two = adaptive_models()?.into_iter().find(|model| model.order == Order::Two);
            if let Some(model) = order_two {
                list.push(Arc::new(Adaptive::new(model, loss.clone(), labels.clone())?));
            }
            noises.push(labels);
        }
        for model in adaptive_models()?.into_iter().filter(|model| model.order == Order::Corrected) {
            list.push(Arc::new(Adaptive::new(model, loss.clone(), noises[0].clone())?));
        }
        for noise in noises {
            list.push(Arc::new(GradientSde::new(loss.clone(), noise, -0.1, None, None)));
        }
    }
    Ok(list)
}

/// Losses of two parameters over three examples.
fn data_losses<T: Element>() -> Result<Vec<Arc<dyn DataLoss<T>>>> {
    let x = Matrix::from_fn(3, 2, |i, a| (1.0 + i as f64 + 7.0 * a as f64).sin());
    let y: Vec<f64> = (0..3).map(|i| f64::from(i % 2)).collect();
    let one = Matrix::from_fn(3, 1, |i, _| x[(i, 0)]);
    Ok(vec![
        Arc::new(LinearRegression::new(x.clone(), y.clone())?.cast::<T>()),
        Arc::new(LogisticRegression::new(x, y.clone(), 0.1)?.cast::<T>()),
        Arc::new(SoftmaxRegression::new(one.clone(), y.clone(), 2, 0.1)?.cast::<T>()),
        Arc::new(Network::diagonal_linear(&one, y)?.cast::<T>()),
    ])
}

/// Equations of RMSprop and Adam, each of all orders.
fn adaptive_models() -> Result<Vec<AdaptiveModel>> {
    let adam = Rule::Adam { c1: 20.0, c2: 5.0, correction: Some([1.0, 1.0]) };
    let mut list = vec![];
    let corrected = [adam, Rule::RmsProp { c: 5.0 }].map(|rule| (rule, Order::Corrected));
    for (rule, order) in [(adam, Order::One), (adam, Order::Two)].into_iter().chain(corrected) {
        let regime = if order == Order::Corrected { Regime::BatchEquivalent } else { Regime::Ballistic };
        let (tau, lr) = (1e-4, 1.0);
        list.push(AdaptiveModel {
            regime,
            tau,
            lr,
            rates: Rates::new(Some(vec![1.0, 0.5]), Schedule::Constant, tau)?,
            rule,
            eps: 0.1,
            decay: 0.0,
            ordering: optsde_core::dynamics::Ordering::Fresh,
            order,
            lookahead: false,
            floor: vec![0.1; 2],
            batch_size: 1.0,
        });
    }
    Ok(list)
}

fn algorithms<T: Element>() -> Result<Vec<Arc<dyn Stepper<T>>>> {
    let matrix = Matrix::new(2, 2, vec![2.0, 0.5, 0.5, 1.0])?;
    let loss: Arc<dyn Loss<T>> = Arc::new(Quadratic::full(&matrix, None)?.cast::<T>());
    let mut list: Vec<Arc<dyn Stepper<T>>> = Vec::new();
    for variance in [1.0, 4.0] {
        let (full, diagonal) = (Factor::of_covariance(&matrix)?, Factor::of_variances(&[1.0, 2.0]));
        let stable = |isotropic| Stable::new(1.5, vec![1e-3; 2], isotropic);
        let mut gradients: Vec<Arc<dyn StochasticGradient<T>>> = vec![
            Arc::new(StudentGradient::new(loss.clone(), 5.0, full, 2.0, variance)),
            Arc::new(StudentGradient::new(loss.clone(), 5.0, diagonal, 2.0, variance)),
            Arc::new(StableGradient::new(loss.clone(), stable(false), variance)),
            Arc::new(StableGradient::new(loss.clone(), stable(true), variance)),
            Arc::new(GaussianInputsGradient::new(&matrix, &[0.1, 0.2], 0.5, 3, variance)?),
        ];
        for data in data_losses::<T>()? {
            for sampling in [Sampling::Replacement, Sampling::WithoutReplacement, Sampling::Reshuffled] {
                for labels in [Labels::True, Labels::Normal(0.3), Labels::Signs(0.3)] {
                    if let Ok(made) = MinibatchGradient::new(data.clone(), 3, sampling, labels, variance) {
                        gradients.push(Arc::new(made)); // what cannot be says so
                    }
                }
            }
        }
        let rates = Rates::new(None, Schedule::Constant, H)?;
        list.extend(gradients.into_iter().map(|gradient| {
            let (rates, clock) = (rates.clone(), Clock { inner: 1.0 });
            Arc::new(Sgd { gradient, rates, clock, lr: H, decay: 0.0 }) as Arc<dyn Stepper<T>>
        }));
    }
    Ok(list)
}

/// As many allocations in a run of `3 few` steps as in one of `few`.
fn check<T: Element>(
    stepper: &Arc<dyn Stepper<T>>,
    few: u64,
    cells: u64,
    increments: Increments,
    name: &str,
) -> Result<()> {
    let count = |n| allocations(stepper, cells, increments, n);
    count(few)?; // what is done once in a process is done now
    // The thread that waits for the run makes one now and then, by chance: a step's would be there every time.
    let mut counts = (0, 1);
    for _ in 0..10 {
        counts = (count(few)?, count(3 * few)?);
        if counts.0 == counts.1 {
            break;
        }
    }
    assert_eq!(counts.0, counts.1, "{name}");
    Ok(())
}

fn no_allocation_per_step<T: Element>() -> Result<()> {
    for (k, algorithm) in algorithms::<T>()?.iter().enumerate() {
        for cells in [1, 3] {
            check(algorithm, 8, cells, Increments::Gaussian, &format!("algorithm {k}"))?;
        }
    }
    for sde in equations::<T>()? {
        for method in METHODS.iter().filter(|m| m.noise_kinds.contains(&sde.kind())) {
            if method.needs() != Needs::Nothing && method.check(sde.as_ref()).is_err() {
                continue; // it takes some drifts only
            }
            let Ok(stepper) = stepper(method.name, sde.clone(), H) else {
                assert!(ASKS_FOR_MORE.contains(&method.name), "{}", method.name);
                continue; // what it needs beside a kind is not there, and it says so
            };
            // Euler's steps can be many at a time, in memory that eight fill; the others are dear, one by one.
            let few = if method.name == "euler_maruyama" { 8 } else { 3 };
            for (cells, increments) in [
                (1, Increments::Gaussian),
                (3, Increments::Gaussian),
                (1, Increments::GaussianF32),
                (1, Increments::TwoPoint),
                (1, Increments::ThreePoint),
            ] {
                if method.name == "ornstein_uhlenbeck" && cells > 1 {
                    continue; // it steps on the cells themselves
                }
                let name = format!("{} on noise of kind {}", method.name, sde.kind().name());
                check(&stepper, few, cells, increments, &name)?;
            }
        }
    }
    Ok(())
}

pub fn allocates_nothing() -> Result<()> {
    no_allocation_per_step::<f64>()?;
    no_allocation_per_step::<f32>()
}
