//! Descriptions of histograms and first passages become observers of the core, and what they and quantiles saw arrays.

use crate::callback::PythonFunction;
use crate::describe::{RunElement, entry, vector};
use crate::simulate::{Sizes, keep_finished};
use numpy::{PyArray1, PyArrayMethods};
use optsde_core::dynamics::Sde;
use optsde_core::observe::{Axis, Bridge, Counted, FirstPassage, Histogram, Quantiles, Region};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

fn coordinate(coord: usize, sizes: &Sizes, name: &str) -> PyResult<usize> {
    if coord < sizes.parameters {
        Ok(coord)
    } else {
        Err(PyValueError::new_err(format!("{name}: not below the dimension {}", sizes.parameters)))
    }
}

/// A user's function of the parameters, or of all variables where the description says `state`; errors call it `name`.
fn function(dict: &Bound<'_, PyDict>, name: &'static str, sizes: &Sizes) -> PyResult<(Box<PythonFunction>, usize)> {
    let rows = if entry(dict, "state")? { sizes.dim } else { sizes.parameters };
    Ok((Box::new(PythonFunction::of_state(entry::<Py<PyAny>>(dict, "function")?, name)), rows))
}

/// A histogram at these steps, and the shape of its counts.
pub fn histogram<T: RunElement>(
    dict: &Bound<'_, PyDict>,
    at: Vec<u64>,
    sizes: &Sizes,
) -> PyResult<(Histogram<T>, Vec<usize>)> {
    let axes: Vec<(usize, f64, f64)> = entry(dict, "axes")?;
    let axes: Vec<Axis> = axes.into_iter().map(|(bins, low, high)| Axis { bins, low, high }).collect();
    let cells: Vec<usize> = axes.iter().map(Axis::cells).collect();
    let coords: Vec<usize> = entry(dict, "coords")?;
    for coord in &coords {
        coordinate(*coord, sizes, "coords")?;
    }
    let (counted, tables) = match (axes.as_slice(), coords.as_slice()) {
        ([axis], []) => {
            let (function, rows) = function(dict, "of", sizes)?;
            (Counted::Of(function, rows, *axis), 1)
        }
        ([axis], coords) => (Counted::Each(coords.to_vec(), *axis), coords.len()),
        ([a, b], [i, j]) => (Counted::Joint([*i, *j], [*a, *b]), 1),
        _ => return Err(PyValueError::new_err("axes: expected one, or two for two coordinates")),
    };
    let shape = [at.len(), tables].into_iter().chain(cells).collect();
    Ok((Histogram::new(at, counted), shape))
}

fn region<T: RunElement>(dict: &Bound<'_, PyDict>, sizes: &Sizes) -> PyResult<Region<T>> {
    let kind: String = entry(dict, "region")?;
    Ok(match kind.as_str() {
        "beyond" => Region::Beyond {
            coord: coordinate(entry(dict, "coord")?, sizes, "coord")?,
            level: entry(dict, "level")?,
            rising: entry(dict, "rising")?,
        },
        "ball" => Region::Ball {
            center: vector(dict, "center")?,
            radius: entry(dict, "radius")?,
            outside: entry(dict, "outside")?,
        },
        "where" => {
            let (function, rows) = function(dict, "region", sizes)?;
            Region::Where(function, rows)
        }
        _ => return Err(PyValueError::new_err(format!("region: unknown kind {kind:?}"))),
    })
}

/// First passages; with a bridge, between the steps of an equation.
pub fn first_passage<T: RunElement>(
    dict: &Bound<'_, PyDict>,
    sizes: &Sizes,
    sde: Option<&Arc<dyn Sde<T>>>,
) -> PyResult<FirstPassage<T>> {
    let region = region::<T>(dict, sizes)?;
    let bridge = match (&region, sde) {
        _ if !entry::<bool>(dict, "bridge")? => None,
        (Region::Beyond { coord, .. }, Some(sde)) => Some(Bridge::new(sde.clone(), *coord, sizes.h)),
        _ => return Err(PyValueError::new_err("bridge: goes with a level and an equation")),
    };
    let bytes = u128::from(sizes.range.1 - sizes.range.0) * (8 + sizes.dim * T::BYTES) as u128;
    FirstPassage::new(region, bridge, sizes.range, sizes.dim)
        .ok_or_else(|| PyMemoryError::new_err(format!("first_passage: needs {bytes} bytes, which cannot be had")))
}

/// Puts the buckets that are not empty into an observer's result.
pub fn put_quantiles(item: &Bound<'_, PyDict>, quantiles: &Quantiles) -> PyResult<()> {
    let (buckets, counts) = quantiles.counts();
    item.set_item("buckets", PyArray1::from_vec(item.py(), buckets))?;
    item.set_item("bucket_counts", PyArray1::from_vec(item.py(), counts))
}

/// Puts the passages of finished paths into an observer's result.
pub fn put_passages<T: RunElement>(
    item: &Bound<'_, PyDict>,
    passages: &FirstPassage<T>,
    sizes: &Sizes,
    finished: &[(u64, u64)],
) -> PyResult<()> {
    let found = passages.take();
    let (mut of_steps, mut of_places) = ([found.steps.len(), 1], [found.steps.len(), sizes.dim]);
    let steps = keep_finished(&found.steps, &mut of_steps, sizes.range.0, finished);
    let places = keep_finished(&found.places, &mut of_places, sizes.range.0, finished);
    item.set_item("passages", PyArray1::from_vec(item.py(), steps))?;
    item.set_item("places", PyArray1::from_vec(item.py(), places).reshape(of_places)?)
}
