//! Descriptions from Python become objects of the core: one `match` for losses, one for noise, one for dynamics.

use crate::callback::{PythonFunction, Shared};
use crate::errors::to_python;
use crate::{heavy_tails, minibatch};
use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use optsde_core::dynamics::{FunctionNoise, FunctionSde, GradientSde, Linear, LinearSde, Sde, UnderdampedLangevin};
use optsde_core::error::Error;
use optsde_core::function::{BlockFunction, Compiled};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{
    Activation, Builtin, Criterion, DataLoss, DoubleWell, FunctionData, FunctionLoss, Loss, MatrixFactorization,
    MuellerBrown, Network, Quadratic, Quartic, Rastrigin, Ridge, Rosenbrock, ScalarFactorization, StyblinskiTang,
};
use optsde_core::noise::{AffineDiagonal, Factor, Gaussian, LossScaled, Noise, NoiseKind, Zero};
use optsde_core::wiener::Element;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// Element types of a run.
pub trait RunElement: Element + Shared {
    /// A compiled function, which is of doubles always.
    fn compiled(function: Compiled) -> PyResult<Arc<dyn BlockFunction<Self>>>;
}

impl RunElement for f64 {
    fn compiled(function: Compiled) -> PyResult<Arc<dyn BlockFunction<Self>>> {
        Ok(Arc::new(function))
    }
}

impl RunElement for f32 {
    fn compiled(_function: Compiled) -> PyResult<Arc<dyn BlockFunction<Self>>> {
        Err(PyValueError::new_err("dtype: compiled functions are of doubles; got \"float32\", expected \"float64\""))
    }
}

/// An entry of a description.
pub fn entry<'py, V>(dict: &Bound<'py, PyDict>, key: &str) -> PyResult<V>
where
    V: for<'a> FromPyObject<'a, 'py>,
    for<'a> <V as FromPyObject<'a, 'py>>::Error: Into<PyErr>,
{
    let value = dict.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key.to_owned()))?;
    value.extract::<V>().map_err(Into::into)
}

/// An array of a description: its shape and its elements, row after row.
fn array(dict: &Bound<'_, PyDict>, key: &str) -> PyResult<(Vec<usize>, Vec<f64>)> {
    let array: PyReadonlyArrayDyn<'_, f64> = entry(dict, key)?;
    let view = array.as_array();
    Ok((view.shape().to_vec(), view.iter().copied().collect()))
}

pub fn vector(dict: &Bound<'_, PyDict>, key: &str) -> PyResult<Vec<f64>> {
    array(dict, key).map(|(_, data)| data)
}

fn matrix(shape: &[usize], data: Vec<f64>) -> PyResult<Matrix<f64>> {
    match shape {
        [rows, cols] => Matrix::new(*rows, *cols, data).map_err(to_python),
        _ => Ok(Matrix::of_diagonal(&data)),
    }
}

/// A matrix of a description, given as such or by its diagonal.
pub fn as_matrix(dict: &Bound<'_, PyDict>, key: &str) -> PyResult<Matrix<f64>> {
    let (shape, data) = array(dict, key)?;
    matrix(&shape, data)
}

/// The factor of a covariance given as variances or as a matrix.
pub fn factor(dict: &Bound<'_, PyDict>, key: &str) -> PyResult<Factor> {
    let (shape, data) = array(dict, key)?;
    if shape.len() == 1 {
        Ok(Factor::of_variances(&data))
    } else {
        Factor::of_covariance(&matrix(&shape, data)?).map_err(to_python)
    }
}

/// The names under which the functions of a description appear in errors.
#[derive(Clone, Copy)]
enum Takes {
    State,
    TimeAndState,
}

/// A function of a description: a Python callable, or a dict of an address and user data. None where absent.
fn function<T: RunElement>(
    dict: &Bound<'_, PyDict>,
    key: &'static str,
    takes: Takes,
) -> PyResult<Option<Arc<dyn BlockFunction<T>>>> {
    let Some(value) = dict.get_item(key)?.filter(|value| !value.is_none()) else { return Ok(None) };
    let (address, user_data) = if let Ok(compiled) = value.cast::<PyDict>() {
        (entry::<usize>(compiled, "address")?, entry::<usize>(compiled, "user_data")?)
    } else {
        let function = value.unbind();
        return Ok(Some(match takes {
            Takes::State => Arc::new(PythonFunction::of_state(function, key)),
            Takes::TimeAndState => Arc::new(PythonFunction::of_time_and_state(function, key)),
        }));
    };
    // SAFETY: the user vouches for what is at the address by giving it, as the documentation of `Compiled` says.
    let compiled = unsafe {
        match takes {
            Takes::State => Compiled::of_state(address, user_data),
            Takes::TimeAndState => Compiled::of_time_and_state(address, user_data),
        }
    };
    let compiled = compiled.ok_or_else(|| PyValueError::new_err(format!("{key}: a null address")))?;
    T::compiled(compiled).map(Some)
}

fn required<T: RunElement>(
    dict: &Bound<'_, PyDict>,
    key: &'static str,
    takes: Takes,
) -> PyResult<Arc<dyn BlockFunction<T>>> {
    function(dict, key, takes)?.ok_or_else(|| PyKeyError::new_err(key))
}

fn noise_kind(dict: &Bound<'_, PyDict>) -> PyResult<NoiseKind> {
    let name: String = entry(dict, "noise_kind")?;
    match NoiseKind::from_name(&name) {
        // One Wiener process commutes with itself, whatever its column.
        Some(NoiseKind::Commutative | NoiseKind::Full) if entry::<usize>(dict, "n_wiener")? == 1 => {
            Ok(NoiseKind::Scalar)
        }
        Some(kind) => Ok(kind),
        None => Err(PyValueError::new_err(format!("noise: unknown kind {name:?}"))),
    }
}

/// A built-in loss; None where the description is of the user's functions.
pub fn builtin(dict: &Bound<'_, PyDict>) -> PyResult<Option<Builtin>> {
    let kind: String = entry(dict, "kind")?;
    let dim = || entry::<usize>(dict, "dim");
    let loss = match kind.as_str() {
        "quadratic" => {
            let (shape, h) = array(dict, "h")?;
            let center = Some(vector(dict, "center")?);
            if shape.len() == 1 {
                Quadratic::diagonal(h, center).map(Builtin::Quadratic)
            } else {
                Quadratic::full(&matrix(&shape, h)?, center).map(Builtin::Quadratic)
            }
        }
        "double_well" => DoubleWell::new(entry(dict, "height")?, dim()?).map(Builtin::DoubleWell),
        "quartic" => Quartic::new(entry(dict, "a")?, entry(dict, "b")?, dim()?).map(Builtin::Quartic),
        "rosenbrock" => Rosenbrock::new(dim()?).map(Builtin::Rosenbrock),
        "rastrigin" => Rastrigin::new(dim()?).map(Builtin::Rastrigin),
        "styblinski_tang" => StyblinskiTang::new(dim()?).map(Builtin::StyblinskiTang),
        "mueller_brown" => Ok(Builtin::MuellerBrown(MuellerBrown)),
        "scalar_factorization" => Ok(Builtin::ScalarFactorization(ScalarFactorization)),
        "matrix_factorization" => {
            let (shape, target) = array(dict, "target")?;
            MatrixFactorization::new(&matrix(&shape, target)?, entry(dict, "rank")?).map(Builtin::MatrixFactorization)
        }
        "diagonal_linear_network" => {
            let (shape, inputs) = array(dict, "x")?;
            Network::diagonal_linear(&matrix(&shape, inputs)?, vector(dict, "y")?).map(Builtin::Network)
        }
        "mlp" => mlp(dict)?.map(Builtin::Network),
        other => match crate::minibatch::linear_model(dict, other)? {
            Some(loss) => loss,
            None => return Ok(None),
        },
    };
    loss.map(Some).map_err(to_python)
}

fn mlp(dict: &Bound<'_, PyDict>) -> PyResult<optsde_core::error::Result<Network<f64>>> {
    let ((shape, inputs), (of_targets, targets)) = (array(dict, "x")?, array(dict, "y")?);
    let (inputs, targets) = (matrix(&shape, inputs)?, matrix(&of_targets, targets)?);
    let name: String = entry(dict, "activation")?;
    let activation = Activation::from_name(&name)
        .ok_or_else(|| PyValueError::new_err(format!("activation: unknown name {name:?}")))?;
    let criterion = match entry::<String>(dict, "loss")?.as_str() {
        "mse" => Criterion::SquaredError,
        "cross_entropy" => Criterion::CrossEntropy,
        other => return Err(PyValueError::new_err(format!("loss: unknown name {other:?}"))),
    };
    let hidden: Vec<usize> = entry(dict, "hidden")?;
    Ok(Network::mlp(&inputs, &targets, &hidden, activation, criterion))
}

/// The loss of a description.
pub fn loss<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Arc<dyn Loss<T>>> {
    if let Some(loss) = builtin(dict)? {
        return Ok(loss.block());
    }
    Ok(Arc::new(function_loss(dict)?))
}

fn function_loss<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<FunctionLoss<T>> {
    Ok(FunctionLoss {
        dim: entry(dict, "dim")?,
        grad: required::<T>(dict, "grad", Takes::State)?,
        value: function(dict, "value", Takes::State)?,
        hessian: function(dict, "hessian", Takes::State)?,
        third: function(dict, "third", Takes::State)?,
    })
}

/// The user's functions as a loss over examples; None where there are none.
pub fn function_data<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Option<Arc<dyn DataLoss<T>>>> {
    let Some(example_grads) = function(dict, "example_grads", Takes::State)? else { return Ok(None) };
    let (loss, n_examples) = (function_loss(dict)?, entry(dict, "n_examples")?);
    Ok(Some(Arc::new(FunctionData { loss, n_examples, example_grads })))
}

/// The user's function for the Hessian of a loss; None where there is none.
pub fn hessian(dict: &Bound<'_, PyDict>) -> PyResult<Option<Arc<dyn BlockFunction<f64>>>> {
    function(dict, "hessian", Takes::State)
}

/// The noise of a problem with this loss.
fn noise<T: RunElement>(problem: &Bound<'_, PyDict>, of: &Arc<dyn Loss<T>>) -> PyResult<Arc<dyn Noise<T>>> {
    let dict: &Bound<'_, PyDict> = &entry(problem, "noise")?;
    let kind: String = entry(dict, "kind")?;
    Ok(match kind.as_str() {
        "zero" => Arc::new(Zero(entry(dict, "dim")?)),
        "gaussian_diagonal" | "gaussian_full" => Arc::new(Gaussian(factor(dict, "cov")?)),
        "affine_diagonal" => {
            Arc::new(AffineDiagonal::new(vector(dict, "base")?, vector(dict, "slope")?, vector(dict, "center")?))
        }
        "loss_scaled" => Arc::new(LossScaled::new(of.clone(), factor(dict, "cov")?, entry(dict, "floor")?)),
        "function" | "compiled" => Arc::new(FunctionNoise {
            dim: entry(dict, "dim")?,
            n_wiener: entry(dict, "n_wiener")?,
            kind: noise_kind(dict)?,
            factor: required::<T>(dict, "factor", Takes::State)?,
            jacobian: function(dict, "jacobian", Takes::State)?,
        }),
        _ => {
            let unknown = || PyValueError::new_err(format!("noise: unknown kind {kind:?}"));
            let other = heavy_tails::noise(problem, of)?;
            if let Some(noise) = other { noise } else { minibatch::noise(problem)?.ok_or_else(unknown)? }
        }
    })
}

/// The loss once more where it is quadratic, for the exact steps of its equation.
pub fn quadratic(loss: Option<Builtin>) -> Option<Quadratic<f64>> {
    match loss {
        Some(Builtin::Quadratic(quadratic)) => Some(quadratic),
        _ => None,
    }
}

/// A loss with the noise of its gradient, and an L2 penalty where the description has one.
pub struct Problem<T: RunElement> {
    /// The loss.
    pub loss: Arc<dyn Loss<T>>,
    /// The noise of one example's gradient.
    pub noise: Arc<dyn Noise<T>>,
    /// Examples of a step.
    pub batch_size: f64,
}

/// The problem of an optimizer's description.
pub fn problem<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Problem<T>> {
    let loss = loss::<T>(&entry::<Bound<'_, PyDict>>(dict, "loss")?)?;
    let noise = noise(dict, &loss)?;
    Ok(Problem { loss: Ridge::over(loss, entry(dict, "l2")?), noise, batch_size: entry(dict, "batch_size")? })
}

/// The equation of a description; of a discrete optimizer, the equation whose Euler–Maruyama step it is.
pub fn sde<T: RunElement>(dict: &Bound<'_, PyDict>) -> PyResult<Arc<dyn Sde<T>>> {
    let kind: String = entry(dict, "kind")?;
    if let Some(equation) = crate::optimizers::equation(dict)? {
        return Ok(equation);
    }
    Ok(match kind.as_str() {
        "sgd_sde" | "sgd_discrete" => {
            let of: Bound<'_, PyDict> = entry(dict, "loss")?;
            let loss = loss::<T>(&of)?;
            let noise = noise(dict, &loss)?;
            let (lr, batch): (f64, f64) = (entry(dict, "lr")?, entry(dict, "batch_size")?);
            // The gradient noise of a step is z = S ΔW / sqrt(lr), and the step subtracts lr z; of stable noise
            // z = ΔL / lr^(1/α).
            let rate = noise.stable().map_or_else(|| (lr / batch).sqrt(), |stable| stable.rate(lr));
            Arc::new(GradientSde::new(loss, noise, -rate, None, quadratic(builtin(&of)?)))
        }
        "langevin" => {
            let of: Bound<'_, PyDict> = entry(dict, "loss")?;
            let loss = loss::<T>(&of)?;
            let mobility = vector(dict, "mobility")?;
            let temperature: f64 = entry(dict, "temperature")?;
            let variances: Vec<f64> = mobility.iter().map(|m| 2.0 * temperature * m).collect();
            let noise: Arc<dyn Noise<T>> = if temperature == 0.0 {
                Arc::new(Zero(variances.len()))
            } else {
                Arc::new(Gaussian(Factor::of_variances(&variances)))
            };
            let mobility = mobility.iter().any(|m| *m != 1.0).then_some(mobility);
            Arc::new(GradientSde::new(loss, noise, 1.0, mobility, quadratic(builtin(&of)?)))
        }
        "underdamped_langevin" => {
            let of: Bound<'_, PyDict> = entry(dict, "loss")?;
            let (mass, friction) = (vector(dict, "mass")?, vector(dict, "friction")?);
            let temperature: f64 = entry(dict, "temperature")?;
            let pairs = || friction.iter().zip(&mass);
            let deviations = pairs().map(|(g, m)| (2.0 * g * temperature).sqrt() / m);
            Arc::new(UnderdampedLangevin {
                loss: loss::<T>(&of)?,
                inverse_mass: mass.iter().map(|m| 1.0 / m).collect(),
                friction: pairs().map(|(g, m)| g / m).collect(),
                deviations: if temperature == 0.0 { Vec::new() } else { deviations.collect() },
                quadratic: quadratic(builtin(&of)?),
            })
        }
        "ornstein_uhlenbeck" => {
            let (shape, a) = array(dict, "a")?;
            let (mean, factor) = (vector(dict, "mean")?, factor(dict, "cov")?);
            if shape.len() == 1 {
                // The gradient of a quadratic by coordinate, which has a kernel of its own.
                let bowl = Quadratic::diagonal(a, Some(mean)).map_err(to_python)?;
                let (loss, noise) = (Arc::new(bowl.cast::<T>()), Arc::new(Gaussian(factor)));
                return Ok(Arc::new(GradientSde::new(loss, noise, 1.0, None, Some(bowl))));
            }
            Arc::new(LinearSde::new(Linear { rate: matrix(&shape, a)?, mean, factor }))
        }
        "sde" => {
            let (dim, noise_kind) = (entry(dict, "dim")?, noise_kind(dict)?);
            let noise = match function::<T>(dict, "diffusion", Takes::TimeAndState)? {
                None => None,
                Some(factor) => Some(FunctionNoise {
                    dim,
                    n_wiener: entry(dict, "n_wiener")?,
                    kind: noise_kind,
                    factor,
                    jacobian: function(dict, "diffusion_jacobian", Takes::TimeAndState)?,
                }),
            };
            Arc::new(FunctionSde { dim, drift: required::<T>(dict, "drift", Takes::TimeAndState)?, noise })
        }
        _ => return Err(PyValueError::new_err(format!("dynamics: unknown kind {kind:?}"))),
    })
}

/// Where paths start.
pub fn initial<T: RunElement>(dict: &Bound<'_, PyDict>, n_paths: u64) -> PyResult<optsde_core::ensemble::Initial<T>> {
    use optsde_core::ensemble::Initial;
    if let Some(points) = dict.get_item("points")? {
        let array = points.cast::<PyArrayDyn<T>>().map_err(PyErr::from)?.readonly();
        let view = array.as_array();
        let data: Vec<T> = view.iter().copied().collect();
        let one = view.shape().first() == Some(&1);
        return Ok(if one && n_paths != 1 { Initial::Point(data) } else { Initial::Points(data) });
    }
    if let Some(parts) = dict.get_item("gaussian")? {
        let (mean, factor): (PyReadonlyArrayDyn<'_, f64>, PyReadonlyArrayDyn<'_, f64>) = parts.extract()?;
        let (mean, factor) = (mean.as_array(), factor.as_array());
        let lower = matrix(factor.shape(), factor.iter().copied().collect())?;
        return Ok(Initial::Gaussian { mean: mean.iter().copied().collect(), factor: Factor::Lower(lower) });
    }
    if let Some(parts) = dict.get_item("uniform")? {
        let (low, high): (PyReadonlyArrayDyn<'_, f64>, PyReadonlyArrayDyn<'_, f64>) = parts.extract()?;
        let list = |x: PyReadonlyArrayDyn<'_, f64>| x.as_array().iter().copied().collect();
        return Ok(Initial::Uniform { low: list(low), high: list(high) });
    }
    Err(to_python(Error::invalid("theta0", "not a description of initial states")))
}
