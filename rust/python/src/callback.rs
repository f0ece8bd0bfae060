//! The user's Python functions, called with whole blocks of paths as read-only arrays.

use crate::errors::{to_core, to_python};
use numpy::npyffi::{self, PY_ARRAY_API, npy_intp};
use numpy::{PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use optsde_core::block::Span;
use optsde_core::ensemble::on_calling_thread;
use optsde_core::error::{Error, Result};
use optsde_core::function::BlockFunction;
use optsde_core::lanes::Real;
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
            npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type),
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
pub struct PythonFunction {
    function: Py<PyAny>,
    name: &'static str,
    takes_time: bool,
}

impl PythonFunction {
    /// A function of the state.
    pub fn of_state(function: Py<PyAny>, name: &'static str) -> Self {
        Self { function, name, takes_time: false }
    }

    /// A function of time and state.
    pub fn of_time_and_state(function: Py<PyAny>, name: &'static str) -> Self {
        Self { function, name, takes_time: true }
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
        let array = numpy.call_method1("asarray", (answer,)).map_err(|error| {
            let message = format!("{}: the callback returned no array: {}", self.name, error.value(py));
            if error.is_instance_of::<PyTypeError>(py) {
                PyTypeError::new_err(message)
            } else {
                PyValueError::new_err(message)
            }
        })?;
        let dtype = array.getattr("dtype")?;
        let kind: String = dtype.getattr("kind")?.extract()?;
        if !matches!(kind.as_str(), "f" | "i" | "u" | "b") {
            let message = format!("{}: the callback returned dtype {dtype}, expected real numbers", self.name);
            return Err(PyTypeError::new_err(message));
        }
        Ok(array.call_method1("astype", (T::get_dtype(py),))?.cast_into::<PyArrayDyn<T>>()?)
    }
}

impl<T: Shared> BlockFunction<T> for PythonFunction {
    fn call(&self, t: f64, x: &[T], shape: &[usize], out: &mut [T], span: Span) -> Result<()> {
        let answered = on_calling_thread(|| {
            Python::attach(|py| {
                let points = view(py, x, span)?;
                let function = self.function.bind(py);
                let answer = if self.takes_time { function.call1((t, points))? } else { function.call1((points,))? };
                self.read(&answer, shape, out, span)
            })
        });
        answered.unwrap_or_else(|| Err(to_python(Error::Interrupted))).map_err(to_core)
    }
    fn needs_calling_thread(&self) -> bool {
        true
    }
}

impl<T: Shared> Functional<T> for PythonFunction {
    fn evaluate(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.call(0.0, x, &[], out, span)
    }
    fn needs_calling_thread(&self) -> bool {
        true
    }
}
