//! Observers of every step allocate nothing at a step.

use optsde_core::dynamics::{GradientSde, Sde};
use optsde_core::ensemble::{Control, Initial, Plan, Start, run};
use optsde_core::error::{Error, Result};
use optsde_core::loss::Quadratic;
use optsde_core::noise::{AffineDiagonal, Factor, Gaussian, LossScaled, Noise};
use optsde_core::observe::{Bridge, FirstPassage, Observer, Region};
use optsde_core::scheme::EulerMaruyama;
use optsde_core::wiener::{Grid, Increments};
use std::sync::Arc;

const H: f64 = 1e-4;

fn allocations(sde: &Arc<dyn Sde<f64>>, n_steps: u64) -> Result<u64> {
    let n_paths = 200;
    let passage = |region, bridge| {
        let passage = FirstPassage::new(region, bridge, (0, n_paths), 2).ok_or(Error::missing("memory"))?;
        Ok::<_, Error>(Arc::new(passage) as Arc<dyn Observer<f64>>)
    };
    let level = |level| Region::Beyond { coord: 0, level, rising: true };
    let observers = vec![
        // Some paths arrive at the first, none at the others.
        passage(level(0.301), Some(Bridge::new(sde.clone(), 0, H)))?,
        passage(level(50.0), None)?,
        passage(Region::Ball { center: vec![0.0; 2], radius: 50.0, outside: true }, None)?,
    ];
    let plan = Plan {
        stepper: Arc::new(EulerMaruyama::new(sde.clone())),
        initial: Start::of(2, Initial::Point(vec![0.3; 2])),
        floor: None,
        key: 7,
        grid: Grid { h: H, cells: 1, increments: Increments::Gaussian, antithetic: false },
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
    assert!(outcome.complete && outcome.error.is_none());
    Ok(made)
}

pub fn allocate_nothing() -> Result<()> {
    let loss = Arc::new(Quadratic::diagonal(vec![1.0, 3.0], None)?);
    let full = Factor::of_covariance(&Factor::of_variances(&[1.0, 2.0]).dense())?;
    let noises: [Arc<dyn Noise<f64>>; 3] = [
        Arc::new(Gaussian(full.clone())),
        Arc::new(AffineDiagonal::new(vec![1.0; 2], vec![0.5; 2], vec![0.0; 2])),
        Arc::new(LossScaled::new(loss.clone(), full, 1.0)),
    ];
    for noise in noises {
        let sde: Arc<dyn Sde<f64>> = Arc::new(GradientSde::new(loss.clone(), noise, -0.1, None, None));
        allocations(&sde, 20)?; // what is done once in a process is done now
        // The thread that waits for the run makes one now and then, by chance: a step's would be there every time.
        let mut counts = (0, 1);
        for _ in 0..10 {
            counts = (allocations(&sde, 20)?, allocations(&sde, 200)?);
            if counts.0 == counts.1 {
                break;
            }
        }
        assert_eq!(counts.0, counts.1, "noise of kind {}", sde.kind().name());
    }
    Ok(())
}
