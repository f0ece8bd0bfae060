//! Statistics on their way to Python, and shards put together.

use crate::describe::entry;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use optsde_core::observe::{Forest, Shape, Stats, Sums, UnitLayout, Units};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Statistics that Python can read.
pub trait Readable: Sums {
    /// All numbers by name, each with the times first.
    fn read<'py>(self, py: Python<'py>, layout: &Self::Layout) -> PyResult<Bound<'py, PyDict>>;
}

/// Puts the sums of a forest, and the forest itself, into an observer's result.
pub fn put<S: Readable>(item: &Bound<'_, PyDict>, forest: &Forest<S>) -> PyResult<()> {
    item.set_item("forest", PyBytes::new(item.py(), &forest.encode()))?;
    item.set_item("stats", forest.total().read(item.py(), forest.layout())?)
}

impl Readable for Stats {
    fn read<'py>(self, py: Python<'py>, layout: &Shape) -> PyResult<Bound<'py, PyDict>> {
        let Shape { times, components, .. } = *layout;
        let Stats { n, mean, m2, m3, m4, joint, .. } = self;
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
}

impl Readable for Units {
    fn read<'py>(self, py: Python<'py>, layout: &UnitLayout) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let times = layout.times;
        dict.set_item("units", PyArray1::from_vec(py, vec![self.n; times]))?;
        let paths = if layout.antithetic { 2.0 } else { 1.0 } * self.n;
        dict.set_item("n", PyArray1::from_vec(py, vec![paths; times]))?;
        dict.set_item("mean", PyArray1::from_vec(py, self.mean).reshape([times, layout.kept()])?)?;
        let products = PyArray1::from_vec(py, self.products).reshape([times, layout.products.len()])?;
        dict.set_item("products", products)?;
        dict.set_item("centre", PyArray1::from_slice(py, &layout.centre))?;
        Ok(dict)
    }
}

/// What an observer's description says of its units; None where it looks at independent paths one time each.
pub fn unit_layout(dict: &Bound<'_, PyDict>, times: usize) -> PyResult<Option<UnitLayout>> {
    let Some(units) = dict.get_item("units")?.filter(|units| !units.is_none()) else { return Ok(None) };
    let units = units.cast::<PyDict>()?;
    let centre: PyReadonlyArray1<'_, f64> = entry(units, "centre")?;
    let list = |name: &'static str| -> PyResult<Vec<(usize, usize)>> {
        let list: PyReadonlyArray2<'_, i64> = entry(units, name)?;
        Ok(list.as_array().outer_iter().map(|pair| (pair[0] as usize, pair[1] as usize)).collect())
    };
    let layout = UnitLayout {
        times,
        spreads: entry(units, "spreads")?,
        antithetic: entry(units, "antithetic")?,
        centre: centre.as_array().iter().copied().collect(),
        pairs: list("pairs")?.into(),
        products: list("products")?.into(),
    };
    let fits = |list: &[(usize, usize)], end: usize| list.iter().all(|(i, j)| *i < end && *j < end);
    if !fits(&layout.pairs, layout.centre.len()) || !fits(&layout.products, layout.kept()) {
        return Err(PyValueError::new_err("units: a column that does not exist"));
    }
    Ok(Some(layout))
}

type Merged<'py> = (Bound<'py, PyBytes>, Bound<'py, PyDict>);

fn merged<'py, S: Readable>(py: Python<'py>, forests: &[Bound<'py, PyBytes>]) -> PyResult<Option<Merged<'py>>> {
    let decoded: Option<Vec<Forest<S>>> = forests.iter().map(|bytes| Forest::decode(bytes.as_bytes())).collect();
    let Some(mut decoded) = decoded.map(Vec::into_iter) else { return Ok(None) };
    let Some(mut whole) = decoded.next() else { return Ok(None) };
    decoded.for_each(|forest| whole.absorb(forest));
    Ok(Some((PyBytes::new(py, &whole.encode()), whole.total().read(py, whole.layout())?)))
}

/// One forest of several shards of an ensemble.
#[pyfunction]
pub fn merge_forests<'py>(py: Python<'py>, forests: Vec<Bound<'py, PyBytes>>) -> PyResult<Merged<'py>> {
    if let Some(whole) = merged::<Stats>(py, &forests)? {
        return Ok(whole);
    }
    merged::<Units>(py, &forests)?.ok_or_else(|| PyValueError::new_err("forests: not partial sums of this version"))
}
