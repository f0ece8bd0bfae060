//! Losses and equations at points, for users who look at them and for tests.

use crate::describe::{self, builtin, entry, sde};
use crate::errors::to_python;
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3};
use optsde_core::block::Span;
use optsde_core::error::Error;
use optsde_core::loss::PointLoss;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

type Answer<'py> = PyResult<Bound<'py, PyArrayDyn<f64>>>;

fn point_loss(dict: &Bound<'_, PyDict>, x: &PyReadonlyArray2<'_, f64>) -> PyResult<Arc<dyn PointLoss>> {
    let loss = builtin(dict)?.ok_or_else(|| PyValueError::new_err("loss: not a built-in one"))?.point();
    let d = x.as_array().ncols();
    if d != loss.dim() {
        return Err(PyValueError::new_err(format!("x: points of {d} parameters, expected {}", loss.dim())));
    }
    Ok(loss)
}

/// Evaluates `f` at each row of `x` into `rows` numbers a point.
fn each<'py>(
    py: Python<'py>,
    x: &PyReadonlyArray2<'py, f64>,
    shape: &[usize],
    mut f: impl FnMut(usize, &[f64], &mut [f64]) -> optsde_core::error::Result<()>,
) -> Answer<'py> {
    let x = x.as_array();
    let rows: usize = shape.iter().product();
    let mut out = vec![0.0; x.nrows() * rows];
    let mut point = vec![0.0; x.ncols()];
    for (k, row) in x.rows().into_iter().enumerate() {
        point.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
        f(k, &point, &mut out[k * rows..(k + 1) * rows]).map_err(to_python)?;
    }
    let shape: Vec<usize> = std::iter::once(x.nrows()).chain(shape.iter().copied()).collect();
    PyArray1::from_vec(py, out).reshape(shape)
}

/// `(n, d) -> (n,)`.
#[pyfunction]
pub fn loss_value<'py>(loss: &Bound<'py, PyDict>, x: PyReadonlyArray2<'py, f64>) -> Answer<'py> {
    if builtin(loss)?.is_none() {
        let f = describe::loss::<f64>(loss)?;
        check_dim(&x, f.dim())?;
        return on_block(loss.py(), &x, &[], |x, out, span| f.value(x, out, span));
    }
    let f = point_loss(loss, &x)?;
    each(loss.py(), &x, &[], |_, x, out| {
        out[0] = f.value(x)?;
        Ok(())
    })
}

/// `(n, d) -> (n, d)`.
#[pyfunction]
pub fn loss_grad<'py>(loss: &Bound<'py, PyDict>, x: PyReadonlyArray2<'py, f64>) -> Answer<'py> {
    if builtin(loss)?.is_none() {
        let f = describe::loss::<f64>(loss)?;
        check_dim(&x, f.dim())?;
        return on_block(loss.py(), &x, &[f.dim()], |x, out, span| f.grad(x, out, span));
    }
    let f = point_loss(loss, &x)?;
    each(loss.py(), &x, &[f.dim()], |_, x, out| f.grad(x, out))
}

/// `(n, d) -> (n, d, d)`.
#[pyfunction]
pub fn loss_hessian<'py>(loss: &Bound<'py, PyDict>, x: PyReadonlyArray2<'py, f64>) -> Answer<'py> {
    if builtin(loss)?.is_none() {
        let f = describe::hessian(loss)?.ok_or_else(|| to_python(Error::missing("hessian of the loss")))?;
        let d = entry(loss, "dim")?;
        check_dim(&x, d)?;
        return on_block(loss.py(), &x, &[d, d], |x, out, span| f.call(0.0, x, &[d, d], out, span));
    }
    let f = point_loss(loss, &x)?;
    each(loss.py(), &x, &[f.dim(), f.dim()], |_, x, out| f.hessian(x, out))
}

/// `(n, d), (n, d, d) -> (n, d)`.
#[pyfunction]
pub fn loss_third<'py>(
    loss: &Bound<'py, PyDict>,
    x: PyReadonlyArray2<'py, f64>,
    s: PyReadonlyArray3<'py, f64>,
) -> Answer<'py> {
    let f = point_loss(loss, &x)?;
    let s = s.as_array();
    if s.shape() != [x.as_array().nrows(), f.dim(), f.dim()] {
        return Err(PyValueError::new_err(format!("s: shape {:?} does not fit the points", s.shape())));
    }
    let mut matrix = vec![0.0; f.dim() * f.dim()];
    each(loss.py(), &x, &[f.dim()], |k, x, out| {
        matrix.iter_mut().zip(s.index_axis(numpy::ndarray::Axis(0), k)).for_each(|(to, from)| *to = *from);
        f.third(x, &matrix, out)
    })
}

/// The gradients of all examples, `(n, d) -> (n, N, d)`.
#[pyfunction]
pub fn loss_example_grads<'py>(loss: &Bound<'py, PyDict>, x: PyReadonlyArray2<'py, f64>) -> Answer<'py> {
    let data = crate::minibatch::data::<f64>(loss)?;
    check_dim(&x, data.dim())?;
    let shape = [data.n_examples(), data.dim()];
    on_block(loss.py(), &x, &shape, |x, out, span| data.example_grads(x, out, span))
}

/// The noise kind of an equation.
#[pyfunction]
pub fn dynamics_noise_kind(dynamics: &Bound<'_, PyDict>) -> PyResult<&'static str> {
    Ok(sde::<f64>(dynamics)?.kind().name())
}

/// Refuses a method that does not take an equation.
#[pyfunction]
pub fn check_method(name: &str, dynamics: &Bound<'_, PyDict>) -> PyResult<()> {
    let sde = sde::<f64>(dynamics)?;
    optsde_core::scheme::find(name).and_then(|method| method.check(sde.as_ref())).map_err(to_python)
}

/// Wiener processes of an equation.
#[pyfunction]
pub fn dynamics_n_wiener(dynamics: &Bound<'_, PyDict>) -> PyResult<usize> {
    Ok(sde::<f64>(dynamics)?.n_wiener())
}

/// Rows of a block with one path a point, and back.
fn on_block<'py>(
    py: Python<'py>,
    x: &PyReadonlyArray2<'py, f64>,
    shape: &[usize],
    f: impl FnOnce(&[f64], &mut [f64], Span) -> optsde_core::error::Result<()>,
) -> Answer<'py> {
    let x = x.as_array();
    let rows: usize = shape.iter().product();
    let shape: Vec<usize> = std::iter::once(x.nrows()).chain(shape.iter().copied()).collect();
    if x.nrows() == 0 {
        return PyArray1::from_vec(py, Vec::new()).reshape(shape);
    }
    let span = Span::of(x.nrows());
    let mut block = vec![0.0; x.ncols() * span.width];
    for (i, column) in x.columns().into_iter().enumerate() {
        block[i * span.width..].iter_mut().zip(column).for_each(|(to, from)| *to = *from);
    }
    let mut out = vec![0.0; rows * span.width];
    f(&block, &mut out, span).map_err(to_python)?;
    let points = (0..span.n).flat_map(|p| (0..rows).map(move |r| r * span.width + p)).map(|k| out[k]).collect();
    PyArray1::from_vec(py, points).reshape(shape)
}

/// The drift of an equation, `(n, d) -> (n, d)`.
#[pyfunction]
pub fn drift<'py>(dynamics: &Bound<'py, PyDict>, x: PyReadonlyArray2<'py, f64>, t: f64) -> Answer<'py> {
    let sde = sde::<f64>(dynamics)?;
    let d = sde.dim();
    check_dim(&x, d)?;
    on_block(dynamics.py(), &x, &[d], |x, out, span| {
        let mut scratch = vec![0.0; d * span.width];
        sde.drift(t, x, out, &mut scratch, span)?;
        out.iter_mut().for_each(|a| *a *= sde.drift_scale());
        Ok(())
    })
}

/// The diffusion factor of an equation with its sign, `(n, d) -> (n, d, m)`.
#[pyfunction]
pub fn noise_factor<'py>(dynamics: &Bound<'py, PyDict>, x: PyReadonlyArray2<'py, f64>, t: f64) -> Answer<'py> {
    let sde = sde::<f64>(dynamics)?;
    let (d, m) = (sde.dim(), sde.n_wiener());
    check_dim(&x, d)?;
    on_block(dynamics.py(), &x, &[d, m], |x, out, span| match sde.constant() {
        Some(constant) => {
            let dense = constant.dense();
            for (row, value) in out.chunks_exact_mut(span.width).zip(dense.as_slice()) {
                row.fill(*value);
            }
            Ok(())
        }
        None if sde.kind() == optsde_core::noise::NoiseKind::Diagonal => {
            sde.diagonal(t, x, &mut out[..d * span.width], span)?;
            optsde_core::noise::spread_diagonal(out, d, span.width);
            Ok(())
        }
        None if m > 0 => sde.factor(t, x, out, span),
        None => Ok(()),
    })
}

fn check_dim(x: &PyReadonlyArray2<'_, f64>, d: usize) -> PyResult<()> {
    let got = x.as_array().ncols();
    if got == d { Ok(()) } else { Err(PyValueError::new_err(format!("x: points of {got} variables, expected {d}"))) }
}
