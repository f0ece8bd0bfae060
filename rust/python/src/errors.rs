//! The one place where failures of the core become Python exceptions.

use optsde_core::error::Error;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::{PyErr, create_exception};

create_exception!(
    optsde,
    CallbackError,
    PyRuntimeError,
    "A compiled callback returned a code other than 0, which stops the run; `args[0]` is the code."
);

/// The exception for a failure.
pub fn to_python(error: Error) -> PyErr {
    match error {
        Error::Foreign(inner) => match inner.downcast::<PyErr>() {
            Ok(raised) => *raised,
            Err(other) => PyRuntimeError::new_err(other.to_string()),
        },
        Error::Callback { code } => CallbackError::new_err(code),
        Error::Defect { .. } => PyRuntimeError::new_err(error.to_string()),
        Error::Interrupted => PyRuntimeError::new_err("the run was interrupted"),
        Error::Invalid { .. } | Error::Missing { .. } => PyValueError::new_err(error.to_string()),
    }
}

/// An exception on its way through the core.
pub fn to_core(error: PyErr) -> Error {
    Error::Foreign(Box::new(error))
}
