//! Statistics on their way to Python, and shards put together.

use numpy::{PyArray1, PyArrayMethods};
use optsde_core::observe::{Forest, Stats};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Puts the sums of a forest, and the forest itself, into an observer's result.
pub fn put(item: &Bound<'_, PyDict>, forest: &Forest) -> PyResult<()> {
    item.set_item("forest", PyBytes::new(item.py(), &forest.encode()))?;
    item.set_item("stats", of(item.py(), forest)?)
}

fn of<'py>(py: Python<'py>, forest: &Forest) -> PyResult<Bound<'py, PyDict>> {
    let (times, components) = forest.shape();
    let Stats { n, mean, m2, m3, m4, joint, .. } = forest.total();
    let dict = PyDict::new(py);
    dict.set_item("n", PyArray1::from_vec(py, vec![n; times]))?;
    let flat = |list: Vec<f64>| PyArray1::from_vec(py, list).reshape([times, components]);
    dict.set_item("mean", flat(mean)?)?;
    dict.set_item("m2", flat(m2)?)?;
    dict.set_item("m3", flat(m3)?)?;
    dict.set_item("m4", flat(m4)?)?;
    let square = |list: Vec<f64>| PyArray1::from_vec(py, list).reshape([times, components, components]);
    let (c11, c22) = match joint {
        Some(joint) => (Some(square(joint.s11)?), Some(square(joint.s22)?)),
        None => (None, None),
    };
    dict.set_item("c11", c11)?;
    dict.set_item("c22", c22)?;
    Ok(dict)
}

/// One forest of several shards of an ensemble.
#[pyfunction]
pub fn merge_forests<'py>(
    py: Python<'py>,
    forests: Vec<Bound<'py, PyBytes>>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyDict>)> {
    let decoded: Option<Vec<Forest>> = forests.iter().map(|bytes| Forest::decode(bytes.as_bytes())).collect();
    let mut decoded =
        decoded.ok_or_else(|| PyValueError::new_err("forests: not partial sums of this version"))?.into_iter();
    let mut whole = decoded.next().ok_or_else(|| PyValueError::new_err("forests: none given"))?;
    decoded.for_each(|forest| whole.absorb(forest));
    Ok((PyBytes::new(py, &whole.encode()), of(py, &whole)?))
}
