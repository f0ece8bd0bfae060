//! The user's Python functions as losses, noise models, equations and functionals: called with whole blocks.

use crate::errors::to_core;
use numpy::npyffi::{self, NPY_TYPES, PY_ARRAY_API, npy_intp};
use numpy::{PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use optsde_core::block::Span;
use optsde_core::dynamics::Sde;
use optsde_core::elementwise;
use optsde_core::error::{Error, Result};
use optsde_core::lanes::Real;
use optsde_core::loss::Loss;
use optsde_core::noise::{Noise, NoiseKind, spread_diagonal};
use optsde_core::observe::Functional;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Element types that NumPy shares.
pub trait Shared: Real + numpy::Element {}
impl Shared for f64 {}
impl Shared for f32 {}

/// A read-only `(n, d)` view of a block, without a copy: columns are contiguous. Valid while the block is.
fn view<'py, T: Shared>(py: Python<'py>, x: &[T], span: Span) -> PyResult<Bound<'py, PyAny>> {
    let item = size_of::<T>();
    let mut dims = [span.n as npy_intp, (x.len() / span.width) as npy_intp];
    let mut strides = [item as npy_intp, (span.width * item) as npy_intp];
    // SAFETY: the memory outlives the call that the view is made for, and the view is not writeable. The descriptor's
    // reference is stolen by the constructor.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            PY_ARRAY_API.get_type_object(py, npyffi::NpyTypes::PyArray_Type),
            T::get_dtype(py).into_dtype_ptr(),
            2,
            dims.as_mut_ptr(),
            strides.as_mut_ptr(),
            x.as_ptr() as *mut _,
            0,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, array)
    }
}

/// A Python function and the name that errors give it.
pub struct Callback {
    function: Py<PyAny>,
    name: &'static str,
}

impl Callback {
    pub fn new(function: Py<PyAny>, name: &'static str) -> Self {
        Self { function, name }
    }

    /// Calls the function on a block (after `t`, where there is one); its answer, of shape `(n, *trailing)`, becomes
    /// rows of `out`.
    fn call<T: Shared>(&self, t: Option<f64>, x: &[T], trailing: &[usize], out: &mut [T], span: Span) -> Result<()> {
        Python::attach(|py| {
            let points = view(py, x, span)?;
            let answer = match t {
                Some(t) => self.function.bind(py).call1((t, points))?,
                None => self.function.bind(py).call1((points,))?,
            };
            self.read(&answer, trailing, out, span)
        })
        .map_err(to_core)
    }

    fn read<T: Shared>(
        &self,
        answer: &Bound<'_, PyAny>,
        trailing: &[usize],
        out: &mut [T],
        span: Span,
    ) -> PyResult<()> {
        let py = answer.py();
        let array = match answer.cast::<PyArrayDyn<T>>() {
            Ok(array) => array.clone(),
            Err(_) => self.convert::<T>(answer)?,
        };
        let expected: Vec<usize> = std::iter::once(span.n).chain(trailing.iter().copied()).collect();
        if array.shape() != expected {
            let message = format!(
                "{}: the callback returned shape {}, expected {}",
                self.name,
                PyTuple::new(py, array.shape())?.repr()?,
                PyTuple::new(py, &expected)?.repr()?
            );
            return Err(PyValueError::new_err(message));
        }
        let rows: usize = trailing.iter().product();
        let strides = array.strides();
        for r in 0..rows {
            // Byte offset of row r: its index in each trailing axis, last fastest.
            let (mut left, mut offset) = (r, 0);
            for (axis, len) in trailing.iter().enumerate().rev() {
                offset += (left % len) as isize * strides[axis + 1];
                left /= len;
            }
            let row = &mut out[r * span.width..][..span.n];
            // SAFETY: NumPy vouches for shape and strides; offsets stay within them. Elements may be unaligned.
            unsafe {
                let first = array.data().cast::<u8>().offset(offset);
                if strides[0] == size_of::<T>() as isize {
                    std::ptr::copy_nonoverlapping(first, row.as_mut_ptr().cast::<u8>(), size_of_val(row));
                } else {
                    for (p, value) in row.iter_mut().enumerate() {
                        *value = first.offset(p as isize * strides[0]).cast::<T>().read_unaligned();
                    }
                }
            }
            // Padding lanes: finite, or slow and noisy arithmetic would follow.
            let last = row.last().copied().unwrap_or_default();
            out[r * span.width + span.n..(r + 1) * span.width].fill(last);
        }
        Ok(())
    }

    /// Anything array-like of a real dtype, as an array of `T`.
    fn convert<'py, T: Shared>(&self, answer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let py = answer.py();
        let numpy = py.import("numpy")?;
        let array = numpy.call_method1("asarray", (answer,))?;
        let dtype = array.getattr("dtype")?;
        let kind: String = dtype.getattr("kind")?.extract()?;
        if !matches!(kind.as_str(), "f" | "i" | "u" | "b") {
            let message = format!("{}: the callback returned dtype {dtype}, expected real numbers", self.name);
            return Err(PyTypeError::new_err(message));
        }
        Ok(array.call_method1("astype", (T::get_dtype(py),))?.cast_into::<PyArrayDyn<T>>()?)
    }
}

/// A loss of Python functions.
pub struct PyLoss {
    pub dim: usize,
    pub grad: Callback,
    pub value: Option<Callback>,
    pub hessian: Option<Callback>,
}

impl<T: Shared> Loss<T> for PyLoss {
    fn dim(&self) -> usize {
        self.dim
    }
    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        let value = self.value.as_ref().ok_or_else(|| Error::missing("value of the loss"))?;
        value.call(None, x, &[], out, span)
    }
    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.grad.call(None, x, &[self.dim], out, span)
    }
    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        let hessian = self.hessian.as_ref().ok_or_else(|| Error::missing("hessian of the loss"))?;
        let d = self.dim;
        // The one place beside NumPy itself that allocates in a step, next to a Python call that costs far more.
        let mut rows = vec![T::default(); d * d * span.width];
        hessian.call(None, x, &[d, d], &mut rows, span)?;
        for (i, out) in out.chunks_exact_mut(span.width).enumerate().take(d) {
            out.fill(T::default());
            for j in 0..d {
                elementwise::add_product(out, &rows[(i * d + j) * span.width..], &v[j * span.width..]);
            }
        }
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        true
    }
}

/// What a diffusion callback of some kind returns for a path.
pub fn factor_shape(kind: NoiseKind, dim: usize, n_wiener: usize) -> Vec<usize> {
    if kind.is_diagonal() { vec![dim] } else { vec![dim, n_wiener] }
}

/// A noise model of Python functions.
pub struct PyNoise {
    pub dim: usize,
    pub n_wiener: usize,
    pub kind: NoiseKind,
    pub factor: Callback,
    pub jacobian: Option<Callback>,
}

impl PyNoise {
    fn at<T: Shared>(&self, t: Option<f64>, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
        let shape = factor_shape(self.kind, self.dim, self.n_wiener);
        let rows = shape.iter().product::<usize>() * span.width;
        self.factor.call(t, x, &shape, out, span)?;
        scale_by(&mut out[..rows], scale);
        Ok(())
    }

    fn full_at<T: Shared>(&self, t: Option<f64>, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
        self.at(t, x, scale, out, span)?;
        if self.kind.is_diagonal() {
            spread_diagonal(&mut out[..self.dim * self.dim * span.width], self.dim, span.width);
        }
        Ok(())
    }

    fn milstein_at<T: Shared>(
        &self,
        t: Option<f64>,
        x: &[T],
        scale: T,
        b: &mut [T],
        bdb: &mut [T],
        span: Span,
    ) -> Result<()> {
        let jacobian = self.jacobian.as_ref().ok_or_else(|| Error::missing("jacobian of the noise"))?;
        self.at(t, x, scale, b, span)?;
        jacobian.call(t, x, &[self.dim], bdb, span)?;
        scale_by(bdb, scale);
        elementwise::multiply(bdb, b);
        Ok(())
    }

    fn jacobian_at<T: Shared>(&self, t: Option<f64>, x: &[T], scale: T, j: &mut [T], span: Span) -> Result<()> {
        let jacobian = self.jacobian.as_ref().ok_or_else(|| Error::missing("jacobian of the noise"))?;
        jacobian.call(t, x, &[self.dim, self.n_wiener, self.dim], j, span)?;
        scale_by(&mut j[..self.dim * self.n_wiener * self.dim * span.width], scale);
        Ok(())
    }

    /// A coupled diagonal has `∂b_i/∂x_i` from the user, and Milstein needs `∂b_i/∂x_k`: it does without.
    fn knows_derivatives(&self) -> bool {
        self.jacobian.is_some() && self.kind != NoiseKind::DiagonalCoupled
    }
}

fn scale_by<T: Real>(rows: &mut [T], scale: T) {
    if scale.to_f64() != 1.0 {
        elementwise::scale(rows, scale.to_f64());
    }
}

impl<T: Shared> Noise<T> for PyNoise {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_wiener(&self) -> usize {
        self.n_wiener
    }
    fn kind(&self) -> NoiseKind {
        self.kind
    }
    fn diagonal(&self, x: &[T], scale: T, b: &mut [T], span: Span) -> Result<()> {
        self.at(None, x, scale, b, span)
    }
    fn has_jacobian(&self) -> bool {
        self.knows_derivatives()
    }
    fn diagonal_milstein(&self, x: &[T], scale: T, b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        self.milstein_at(None, x, scale, b, bdb, span)
    }
    fn factor(&self, x: &[T], scale: T, f: &mut [T], span: Span) -> Result<()> {
        self.full_at(None, x, scale, f, span)
    }
    fn jacobian(&self, x: &[T], scale: T, j: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.jacobian_at(None, x, scale, j, span)
    }
    fn needs_calling_thread(&self) -> bool {
        true
    }
}

/// A whole equation of Python functions of time and state.
pub struct PySde {
    pub drift: Callback,
    /// None where there is no noise.
    pub noise: Option<PyNoise>,
    pub dim: usize,
}

impl PySde {
    fn noise(&self) -> Result<&PyNoise> {
        self.noise.as_ref().ok_or_else(|| Error::missing("diffusion"))
    }
}

impl<T: Shared> Sde<T> for PySde {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_wiener(&self) -> usize {
        self.noise.as_ref().map_or(0, |noise| noise.n_wiener)
    }
    fn kind(&self) -> NoiseKind {
        self.noise.as_ref().map_or(NoiseKind::None, |noise| noise.kind)
    }
    fn drift(&self, t: f64, x: &[T], out: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.drift.call(Some(t), x, &[self.dim], out, span)
    }
    fn diagonal(&self, t: f64, x: &[T], b: &mut [T], span: Span) -> Result<()> {
        self.noise()?.at(Some(t), x, T::from_f64(1.0), b, span)
    }
    fn has_jacobian(&self) -> bool {
        self.noise.as_ref().is_some_and(PyNoise::knows_derivatives)
    }
    fn diagonal_milstein(&self, t: f64, x: &[T], b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        self.noise()?.milstein_at(Some(t), x, T::from_f64(1.0), b, bdb, span)
    }
    fn factor(&self, t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        self.noise()?.full_at(Some(t), x, T::from_f64(1.0), f, span)
    }
    fn jacobian(&self, t: f64, x: &[T], j: &mut [T], _scratch: &mut [T], span: Span) -> Result<()> {
        self.noise()?.jacobian_at(Some(t), x, T::from_f64(1.0), j, span)
    }
    fn needs_calling_thread(&self) -> bool {
        true
    }
}

/// A Python function of the state, for expectations.
pub struct PyFunctional(pub Callback);

impl<T: Shared> Functional<T> for PyFunctional {
    fn evaluate(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.0.call(None, x, &[], out, span)
    }
    fn needs_calling_thread(&self) -> bool {
        true
    }
}
