//! Descriptions of losses over data, and of the noise of minibatches of their examples.

use crate::describe::{RunElement, as_matrix, builtin, entry, function_data, vector};
use crate::errors::to_python;
use optsde_core::error::Error;
use optsde_core::loss::{Builtin, DataLoss, LinearRegression, LogisticRegression, SoftmaxRegression};
use optsde_core::noise::{LabelNoise, Minibatch, Noise, Zero};
use optsde_core::optimizer::{Labels, MinibatchGradient, Sampling, StochasticGradient};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// A loss of linear predictors; None for other kinds.
pub fn linear_model(dict: &Bound<'_, PyDict>, kind: &str) -> PyResult<Option<optsde_core::error::Result<Builtin>>> {
    let l2 = || entry::<f64>(dict, "l2");
    Ok(Some(match kind {
        "linear_regression" => {
            LinearRegression::new(as_matrix(dict, "x")?, vector(dict, "y")?).map(Builtin::LinearRegression)
        }
        "logistic_regression" => {
            LogisticRegression::new(as_matrix(dict, "x")?, vector(dict, "y")?, l2()?).map(Builtin::LogisticRegression)
        }
        "softmax_regression" => {
            let (x, y, classes) = (as_matrix(dict, "x")?, vector(dict, "y")?, entry(dict, "classes")?);
            SoftmaxRegression::new(x, y, classes, l2()?).map(Builtin::SoftmaxRegression)
        }
        _ => return Ok(None),
    }))
}

/// The loss of a description over its examples.
pub fn data<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Arc<dyn DataLoss<T>>> {
    let data = match builtin(dict)? {
        Some(loss) => loss.data(),
        None => function_data(dict)?,
    };
    data.ok_or_else(|| to_python(Error::missing("examples of the loss")))
}

fn sampling(dict: &Bound<'_, PyDict>) -> PyResult<Sampling> {
    let name: String = entry(dict, "sampling")?;
    match name.as_str() {
        "replacement" => Ok(Sampling::Replacement),
        "without_replacement" => Ok(Sampling::WithoutReplacement),
        "reshuffled" => Ok(Sampling::Reshuffled),
        _ => Err(PyValueError::new_err(format!("noise: unknown sampling {name:?}"))),
    }
}

/// The noise of a problem's equation; None for other kinds. Of epochs, in which it is another in each step, this is that of
/// the first.
pub fn noise<T: RunElement>(problem: &Bound<'_, PyDict>) -> PyResult<Option<Arc<dyn Noise<T>>>> {
    let dict: Bound<'_, PyDict> = entry(problem, "noise")?;
    let of: Bound<'_, PyDict> = entry(problem, "loss")?;
    let kind: String = entry(&dict, "kind")?;
    Ok(Some(match kind.as_str() {
        "minibatch" => {
            let (data, batch) = (data::<T>(&of)?, entry::<usize>(problem, "batch_size")?);
            let all = sampling(&dict)? != Sampling::Replacement && batch == data.n_examples();
            if all || data.n_examples() == 1 {
                return Ok(Some(Arc::new(Zero(data.dim()))));
            }
            match sampling(&dict)? {
                Sampling::Replacement => Arc::new(Minibatch::new(data)),
                _ => Arc::new(Minibatch::without_replacement(data, batch).map_err(to_python)?),
            }
        }
        "label_noise" => {
            let excess = if entry::<bool>(&dict, "signs")? { -2.0 } else { 0.0 };
            Arc::new(LabelNoise::new(data::<T>(&of)?, entry(&dict, "std")?, excess).map_err(to_python)?)
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
    let (sampling, labels) = match kind.as_str() {
        "minibatch" => (sampling(&dict)?, Labels::True),
        "label_noise" => {
            let std: f64 = entry(&dict, "std")?;
            let labels = if entry::<bool>(&dict, "signs")? { Labels::Signs(std) } else { Labels::Normal(std) };
            (Sampling::Replacement, labels)
        }
        _ => return Ok(None),
    };
    let batch = entry(problem, "batch_size")?;
    let gradient = MinibatchGradient::new(data::<T>(&of)?, batch, sampling, labels, variance).map_err(to_python)?;
    Ok(Some(Arc::new(gradient)))
}
