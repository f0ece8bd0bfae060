//! Descriptions of noise that an algorithm draws itself: heavy tails, and regression on Gaussian inputs.

use crate::describe::{RunElement, as_matrix, builtin, entry, factor, loss, quadratic, vector};
use crate::errors::to_python;
use optsde_core::loss::Loss;
use optsde_core::noise::{GaussianInputs, Noise, Stable, StudentT};
use optsde_core::optimizer::{GaussianInputsGradient, StableGradient, StochasticGradient, StudentGradient};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

fn stable(dict: &Bound<'_, PyDict>) -> PyResult<Stable> {
    Ok(Stable::new(entry(dict, "alpha")?, vector(dict, "scale")?, entry(dict, "isotropic")?))
}

/// The center of a problem whose loss is quadratic.
fn center(problem: &Bound<'_, PyDict>, dim: usize) -> PyResult<Vec<f64>> {
    let bowl = quadratic(builtin(&entry(problem, "loss")?)?);
    let center = bowl.as_ref().and_then(|bowl| bowl.center());
    Ok(center.map_or_else(|| vec![0.0; dim], <[f64]>::to_vec))
}

/// The noise of a problem with the loss `of`. None for other kinds.
pub fn noise<T: RunElement>(problem: &Bound<'_, PyDict>, of: &Arc<dyn Loss<T>>) -> PyResult<Option<Arc<dyn Noise<T>>>> {
    let dict: &Bound<'_, PyDict> = &entry(problem, "noise")?;
    let kind: String = entry(dict, "kind")?;
    Ok(Some(match kind.as_str() {
        "student_t" => Arc::new(StudentT { factor: factor(dict, "cov")?, df: entry(dict, "df")? }),
        "alpha_stable" => Arc::new(stable(dict)?),
        "gaussian_inputs" => {
            let cov = as_matrix(dict, "cov")?;
            let center = center(problem, cov.rows())?;
            let noise = GaussianInputs::new(of.clone(), cov, center, entry(dict, "label_std")?);
            Arc::new(noise.map_err(to_python)?)
        }
        _ => return Ok(None),
    }))
}

/// The gradient of an algorithm on a problem with such noise; None for other kinds. `variance` is SVAG's.
pub fn gradient<T: RunElement>(
    problem: &Bound<'_, PyDict>,
    variance: f64,
) -> PyResult<Option<Arc<dyn StochasticGradient<T>>>> {
    let dict: Bound<'_, PyDict> = entry(problem, "noise")?;
    let of: Bound<'_, PyDict> = entry(problem, "loss")?;
    let kind: String = entry(&dict, "kind")?;
    Ok(Some(match kind.as_str() {
        "student_t" => {
            let (df, factor, batch) = (entry(&dict, "df")?, factor(&dict, "cov")?, entry(problem, "batch_size")?);
            Arc::new(StudentGradient::new(loss::<T>(&of)?, df, factor, batch, variance))
        }
        "alpha_stable" => Arc::new(StableGradient::new(loss::<T>(&of)?, stable(&dict)?, variance)),
        "gaussian_inputs" => {
            let cov = as_matrix(&dict, "cov")?;
            let center = center(problem, cov.rows())?;
            let (label_std, batch) = (entry(&dict, "label_std")?, entry(problem, "batch_size")?);
            Arc::new(GaussianInputsGradient::new(&cov, &center, label_std, batch, variance).map_err(to_python)?)
        }
        _ => return Ok(None),
    }))
}
