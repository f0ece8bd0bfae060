//! `simulate`: a plan from Python becomes a run of the core, and its observers become arrays.

use crate::callback::PythonFunction;
use crate::describe::{RunElement, entry, initial, loss, sde};
use crate::errors::to_python;
use crate::observers;
use crate::optimizers::{algorithm, complete};
use crate::stats;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use optsde_core::dynamics::{Floor, Sde};
use optsde_core::ensemble::{Control, Outcome, Plan, Run, Start, run};
use optsde_core::lanes::isa;
use optsde_core::observe::{
    Autocovariance, FirstPassage, Functional, FunctionalMoments, Histogram, LossValue, Moments, Observer, Quantiles,
    Shape, Snapshots, Stats, TimeAverages, UnitLayout, Units,
};
use optsde_core::scheme::{EulerMaruyama, Stepper, stepper};
use optsde_core::wiener::{Grid, Increments};
use pyo3::exceptions::{PyKeyError, PyKeyboardInterrupt, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::Arc;
use std::time::Instant;

/// Runs a plan; see the stub for its entries.
#[pyfunction]
pub fn simulate<'py>(plan: &Bound<'py, PyDict>, poll: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyDict>> {
    let dtype: String = entry(plan, "dtype")?;
    match dtype.as_str() {
        "float32" => typed::<f32>(plan, poll),
        "float64" => typed::<f64>(plan, poll),
        _ => Err(PyValueError::new_err(format!("dtype: got {dtype:?}, expected \"float64\" or \"float32\""))),
    }
}

/// Puts what an observer has into its result.
type Read = Box<dyn Fn(&Bound<'_, PyDict>) -> PyResult<()>>;

/// An observer, kept in its own type to be read after the run.
enum Watch<T: RunElement> {
    Snapshots(Arc<Snapshots<T>>, Vec<usize>),
    /// What is read into the result, of any statistics over paths.
    Statistics(Arc<dyn Observer<T>>, Read),
    Histogram(Arc<Histogram<T>>, Vec<usize>),
    Quantiles(Arc<Quantiles>),
    FirstPassage(Arc<FirstPassage<T>>),
}

impl<T: RunElement> Watch<T> {
    fn moments<S: stats::Readable + 'static>(moments: Moments<S>) -> Self {
        let moments = Arc::new(moments);
        Watch::Statistics(moments.clone(), Box::new(move |item| stats::put(item, &moments.forest())))
    }

    fn functional<S: stats::Readable + 'static>(moments: FunctionalMoments<T, S>) -> Self {
        let moments = Arc::new(moments);
        Watch::Statistics(moments.clone(), Box::new(move |item| stats::put(item, &moments.forest())))
    }

    fn observer(&self) -> Arc<dyn Observer<T>> {
        match self {
            Watch::Snapshots(o, _) => o.clone(),
            Watch::Statistics(o, _) => o.clone(),
            Watch::Histogram(o, _) => o.clone(),
            Watch::Quantiles(o) => o.clone(),
            Watch::FirstPassage(o) => o.clone(),
        }
    }
}

/// The sizes of a run, for its observers.
pub struct Sizes {
    pub n_paths: u64,
    pub range: (u64, u64),
    pub n_steps: u64,
    /// The length of a step.
    pub h: f64,
    /// Parameters, and all variables of the state.
    pub parameters: usize,
    pub dim: usize,
}

fn watch<T: RunElement>(dict: &Bound<'_, PyDict>, sizes: &Sizes, sde: Option<&Arc<dyn Sde<T>>>) -> PyResult<Watch<T>> {
    let kind: String = entry(dict, "kind")?;
    let at = || -> PyResult<Vec<u64>> {
        let at: PyReadonlyArray1<'_, i64> = entry(dict, "at")?;
        at.as_array()
            .iter()
            .map(|k| {
                let inside = u64::try_from(*k).ok().filter(|k| *k <= sizes.n_steps);
                inside
                    .ok_or_else(|| PyValueError::new_err(format!("at: step {k} is not within 0 and {}", sizes.n_steps)))
            })
            .collect()
    };
    let snapshots = |at: Vec<u64>, end: u64, squeeze: bool| -> PyResult<Watch<T>> {
        let (begin, end) = (sizes.range.0, end.clamp(sizes.range.0, sizes.range.1));
        let shape = [at.len(), (end - begin) as usize, sizes.dim];
        let bytes = shape.iter().map(|n| *n as u128).product::<u128>() * T::BYTES as u128;
        let snapshots = Snapshots::new(at, begin, end, sizes.dim);
        let message = || PyMemoryError::new_err(format!("{kind}: needs {bytes} bytes, which cannot be had"));
        Ok(Watch::Snapshots(Arc::new(snapshots.ok_or_else(message)?), shape[usize::from(squeeze)..].to_vec()))
    };
    Ok(match kind.as_str() {
        "final" => snapshots(vec![sizes.n_steps], sizes.range.1, true)?,
        "paths" => snapshots(at()?, entry(dict, "keep")?, false)?,
        "moments" => {
            let at = at()?;
            match stats::unit_layout(dict, at.len())? {
                Some(layout) => Watch::moments(Moments::<Units>::of(at, sizes.n_paths, layout)),
                None => Watch::moments(Moments::new(at, sizes.n_paths, sizes.dim, entry(dict, "cov")?)),
            }
        }
        "averages" => {
            let (first, stride) = (entry(dict, "first")?, entry(dict, "stride")?);
            let averages = Arc::new(TimeAverages::new(first, stride, sizes.n_paths, units(dict)?));
            Watch::Statistics(averages.clone(), Box::new(move |item| stats::put(item, &averages.forest())))
        }
        "autocovariance" => {
            let (first, stride, lags) = (entry(dict, "first")?, entry(dict, "stride")?, entry(dict, "lags")?);
            let lagged = Autocovariance::new(first, stride, lags, sizes.parameters, sizes.n_paths, units(dict)?);
            let lagged = Arc::new(lagged);
            Watch::Statistics(lagged.clone(), Box::new(move |item| stats::put(item, &lagged.forest())))
        }
        "loss" => {
            let value = LossValue(loss::<T>(&entry::<Bound<'_, PyDict>>(dict, "loss")?)?);
            functional(dict, at()?, sizes, sizes.parameters, Box::new(value))?
        }
        "expectation" => {
            let function = PythonFunction::of_state(entry::<Py<PyAny>>(dict, "function")?, "function");
            let rows = if entry(dict, "state")? { sizes.dim } else { sizes.parameters };
            functional(dict, at()?, sizes, rows, Box::new(function))?
        }
        "histogram" => {
            let (histogram, shape) = observers::histogram(dict, at()?, sizes)?;
            Watch::Histogram(Arc::new(histogram), shape)
        }
        "quantiles" => Watch::Quantiles(Arc::new(Quantiles::new(at()?, sizes.dim, entry(dict, "bits")?))),
        "first_passage" => Watch::FirstPassage(Arc::new(observers::first_passage(dict, sizes, sde)?)),
        _ => return Err(PyValueError::new_err(format!("observe: unknown kind {kind:?}"))),
    })
}

fn units(dict: &Bound<'_, PyDict>) -> PyResult<UnitLayout> {
    stats::unit_layout(dict, 1)?.ok_or_else(|| PyKeyError::new_err("units"))
}

/// Means of a function of the first rows of the state, over paths or over antithetic pairs.
fn functional<T: RunElement>(
    dict: &Bound<'_, PyDict>,
    at: Vec<u64>,
    sizes: &Sizes,
    rows: usize,
    function: Box<dyn Functional<T>>,
) -> PyResult<Watch<T>> {
    let plain = Shape { times: at.len(), components: 1, joint: false };
    Ok(match stats::unit_layout(dict, at.len())? {
        Some(layout) => {
            Watch::functional(FunctionalMoments::<T, Units>::new(at, sizes.n_paths, rows, function, layout))
        }
        None => Watch::functional(FunctionalMoments::<T, Stats>::new(at, sizes.n_paths, rows, function, plain)),
    })
}

/// What advances a run, and the equation that it is a method for.
type Steps<T> = (Arc<dyn Stepper<T>>, Option<Arc<dyn Sde<T>>>);

fn steps<T: RunElement>(plan: &Bound<'_, PyDict>, h: f64) -> PyResult<Steps<T>> {
    let method: String = entry(plan, "method")?;
    let dynamics: Bound<'_, PyDict> = entry(plan, "dynamics")?;
    if method == "algorithm" {
        return match algorithm::<T>(&dynamics)? {
            Some(stepper) => Ok((stepper, None)),
            // SGD with Gaussian noise is the Euler–Maruyama step of its equation.
            None => Ok((Arc::new(EulerMaruyama::new(sde::<T>(&dynamics)?)), None)),
        };
    }
    let sde = sde::<T>(&dynamics)?;
    Ok((stepper(&method, sde.clone(), h).map_err(to_python)?, Some(sde)))
}

/// Where the state starts: parameters, variables given, and whether the others are made from the parameters.
fn start<T: RunElement>(plan: &Bound<'_, PyDict>, sizes: &Sizes) -> PyResult<Start<T>> {
    let theta = initial::<T>(&entry::<Bound<'_, PyDict>>(plan, "theta0")?, sizes.n_paths)?;
    let mut given = Vec::new();
    for (row, law) in entry::<Vec<(usize, Bound<'_, PyDict>)>>(plan, "given")? {
        given.push((row, initial::<T>(&law, sizes.n_paths)?));
    }
    let second_moment: bool = entry(plan, "second_moment")?;
    let complete =
        if second_moment { Some(complete::<T>(&entry::<Bound<'_, PyDict>>(plan, "dynamics")?)?) } else { None };
    Ok(Start { dim: sizes.parameters, theta, complete, given })
}

fn typed<'py, T: RunElement>(dict: &Bound<'py, PyDict>, poll: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyDict>> {
    let py = dict.py();
    let h: f64 = entry(dict, "dt")?;
    let increments: String = entry(dict, "increments")?;
    let increments = match increments.as_str() {
        "gaussian" => Increments::Gaussian,
        "gaussian_f32" => Increments::GaussianF32,
        "two_point" => Increments::TwoPoint,
        "three_point" => Increments::ThreePoint,
        _ => return Err(PyValueError::new_err(format!("increments: unknown law {increments:?}"))),
    };
    let mesh: Vec<(u64, u64, u64)> = entry(dict, "mesh")?;
    let mesh = mesh.into_iter().map(|(step, cell, cells)| Run { step, cell, cells }).collect();
    let antithetic: bool = entry(dict, "antithetic")?;
    let (stepper, equation) = steps::<T>(dict, h)?;
    let floor: Option<Floor> = equation.as_ref().and_then(|sde| sde.floor());
    let sizes = Sizes {
        n_paths: entry(dict, "n_paths")?,
        range: entry(dict, "path_range")?,
        n_steps: entry(dict, "n_steps")?,
        h,
        parameters: entry(dict, "dim")?,
        dim: stepper.dim(),
    };
    let observers: Bound<'_, PyList> = entry(dict, "observers")?;
    let watches: Vec<Watch<T>> = observers
        .iter()
        .map(|item| watch::<T>(item.cast::<PyDict>()?, &sizes, equation.as_ref()))
        .collect::<PyResult<_>>()?;
    let plan = Plan {
        stepper,
        initial: start(dict, &sizes)?,
        floor,
        key: entry(dict, "key")?,
        grid: Grid { h, cells: entry(dict, "cells")?, increments, antithetic },
        mesh,
        t0: entry(dict, "t0")?,
        first_cell: entry(dict, "first_cell")?,
        n_steps: sizes.n_steps,
        n_paths: sizes.n_paths,
        range: sizes.range,
        observers: watches.iter().map(Watch::observer).collect(),
        keep_diverged: entry(dict, "keep_diverged")?,
    };
    let threads: usize = entry(dict, "threads")?;

    let start = Instant::now();
    let (outcome, raised) = py.detach(|| supervise(&plan, threads, poll));
    let wall_time = start.elapsed().as_secs_f64();
    drop(plan);

    let interrupted = |error: &PyErr| Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py));
    let failure = raised.or_else(|| outcome.error.map(to_python));
    let stopped = failure.as_ref().is_some_and(interrupted);
    if let Some(error) = failure.filter(|error| !interrupted(error)) {
        return Err(error);
    }

    let result = PyDict::new(py);
    // A run may be complete all the same, where Ctrl-C came with its last paths: the caller must hear of it.
    result.set_item("interrupted", stopped || !outcome.complete)?;
    result.set_item("complete", outcome.complete)?;
    result.set_item("n_diverged", outcome.diverged.len())?;
    let first = outcome.diverged.iter().min_by_key(|(path, step)| (*step, *path));
    result.set_item("first_divergence", first)?;
    let column = |f: fn(&(u64, u64)) -> u64| PyArray1::from_iter(py, outcome.diverged.iter().map(|d| f(d) as i64));
    result.set_item("bad_paths", column(|d| d.0))?;
    result.set_item("bad_steps", column(|d| d.1))?;
    let finished = || outcome.finished.iter().flat_map(|(a, b)| *a..*b);
    if outcome.complete {
        result.set_item("path_index", py.None())?;
    } else {
        result.set_item("path_index", PyArray1::from_iter(py, finished().map(|path| path as i64)))?;
    }
    result.set_item("floor_touches", outcome.floor_touches)?;
    result.set_item("wall_time", wall_time)?;
    result.set_item("threads", outcome.threads)?;
    result.set_item("simd", isa().name())?;
    result.set_item("path_steps", outcome.path_steps)?;
    let list = PyList::empty(py);
    for watch in watches {
        let item = PyDict::new(py);
        match watch {
            Watch::Snapshots(snapshots, mut shape) => {
                let mut values = snapshots.take();
                if !outcome.complete {
                    values = keep_finished(&values, &mut shape, sizes.range.0, &outcome.finished);
                }
                item.set_item("values", PyArray1::from_vec(py, values).reshape(shape)?)?;
            }
            Watch::Statistics(_, read) => read(&item)?,
            Watch::Histogram(histogram, shape) => {
                item.set_item("cells", PyArray1::from_vec(py, histogram.counts()).reshape(shape)?)?;
            }
            Watch::Quantiles(quantiles) => observers::put_quantiles(&item, &quantiles)?,
            Watch::FirstPassage(passage) => observers::put_passages(&item, &passage, &sizes, &outcome.finished)?,
        }
        list.append(item)?;
    }
    result.set_item("observers", list)?;
    Ok(result)
}

/// Of states `(…, paths, dim)` from path `begin` on, those of finished paths; `shape` follows.
pub fn keep_finished<T: Copy>(values: &[T], shape: &mut [usize], begin: u64, finished: &[(u64, u64)]) -> Vec<T> {
    let [.., paths, dim] = shape else { return Vec::new() };
    let stride = *paths * *dim;
    let last = *paths as u64;
    let rows = |(a, b): &(u64, u64)| (a - begin).min(last) as usize * *dim..(b - begin).min(last) as usize * *dim;
    let ranges: Vec<_> = finished.iter().map(rows).collect();
    *paths = ranges.iter().map(|range| range.len() / *dim).sum();
    values
        .chunks_exact(stride.max(1))
        .flat_map(|x| ranges.iter().flat_map(|range| &x[range.clone()]))
        .copied()
        .collect()
}

/// Runs while listening: to signals, and to what the caller's `poll` raises.
fn supervise<T: RunElement>(plan: &Plan<T>, threads: usize, poll: Option<Py<PyAny>>) -> (Outcome, Option<PyErr>) {
    let control = Control::default();
    let mut raised = None;
    let mut listen = || {
        let heard = Python::attach(|py| {
            py.check_signals()?;
            match &poll {
                Some(poll) => poll.call1(py, (control.done(),)).map(drop),
                None => Ok(()),
            }
        });
        if let Err(error) = heard {
            raised.get_or_insert(error);
            control.stop();
        }
    };
    let outcome = run(plan, threads, &control, &mut listen);
    (outcome, raised)
}
