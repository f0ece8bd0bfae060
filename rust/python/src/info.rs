//! What this build can do on this machine: instruction sets, threads, and the table of methods.

use optsde_core::lanes::{Isa, available, choose, isa};
use optsde_core::scheme::METHODS;
use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// An environment variable; an empty one is as good as none.
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What matters here of what the processor can do.
fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let found = [
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512dq", std::arch::is_x86_feature_detected!("avx512dq")),
            ("avx512vl", std::arch::is_x86_feature_detected!("avx512vl")),
            ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        ];
        found.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Vec::new()
    }
}

/// Reads `OPTSDE_SIMD`.
pub fn choose_instruction_set() -> PyResult<()> {
    let Some(name) = setting("OPTSDE_SIMD") else { return Ok(()) };
    let names = || available().iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
    match Isa::from_name(&name) {
        Some(wanted) if choose(wanted) => Ok(()),
        Some(_) => Err(PyImportError::new_err(format!("OPTSDE_SIMD={name}: this machine has {}", names()))),
        None => Err(PyImportError::new_err(format!("OPTSDE_SIMD={name}: expected one of avx512, avx2, portable"))),
    }
}

/// Threads by `OPTSDE_NUM_THREADS`, else by the process's CPU affinity and quota.
#[pyfunction]
pub fn default_threads() -> PyResult<usize> {
    match setting("OPTSDE_NUM_THREADS") {
        Some(text) => text.trim().parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            PyValueError::new_err(format!("OPTSDE_NUM_THREADS: got {text:?}, expected a positive whole number"))
        }),
        // The standard library asks the scheduler's mask and the control group's quota.
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Version, instruction sets and threads.
#[pyfunction]
pub fn info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("version", env!("CARGO_PKG_VERSION"))?;
    dict.set_item("simd", isa().name())?;
    dict.set_item("simd_available", available().iter().map(|isa| isa.name()).collect::<Vec<_>>())?;
    dict.set_item("cpu_features", cpu_features())?;
    dict.set_item("threads", default_threads()?)?;
    Ok(dict)
}

/// The table of methods.
#[pyfunction]
pub fn methods(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for method in METHODS {
        let row = PyDict::new(py);
        row.set_item("name", method.name)?;
        row.set_item("strong", method.strong)?;
        row.set_item("weak", method.weak)?;
        row.set_item("stationary", method.stationary)?;
        row.set_item("calculus", method.calculus)?;
        row.set_item("noise_kinds", PyTuple::new(py, method.noise_kinds.iter().map(|kind| kind.name()))?)?;
        row.set_item("needs", method.needs().words())?;
        row.set_item("normals_per_step", method.normals_per_step)?;
        row.set_item("source", method.source)?;
        list.append(row)?;
    }
    Ok(list)
}
