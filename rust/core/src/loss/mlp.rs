//! Multilayer perceptrons: dense layers with biases.

use super::network::{Activation, Criterion, Network, Parameters};
use super::{all_finite, dimension};
use crate::error::{Error, Result};
use crate::linalg::Matrix;

impl Network<f64> {
    /// A multilayer perceptron. The parameters are those of the layers, from the input on: of each its weights, a row
    /// for each output, then its biases. `inputs` and `targets` have a row for each example.
    pub fn mlp(
        inputs: &Matrix<f64>,
        targets: &Matrix<f64>,
        hidden: &[usize],
        activation: Activation,
        criterion: Criterion,
    ) -> Result<Self> {
        let mut widths = vec![inputs.cols()];
        widths.extend_from_slice(hidden);
        widths.push(targets.cols());
        Self::over(inputs, targets, widths, true, activation, criterion, Parameters::Weights)
    }

    /// The network, if its data fit it.
    pub(super) fn over(
        inputs: &Matrix<f64>,
        targets: &Matrix<f64>,
        widths: Vec<usize>,
        bias: bool,
        activation: Activation,
        criterion: Criterion,
        parameters: Parameters,
    ) -> Result<Self> {
        if inputs.rows() != targets.rows() || inputs.rows() == 0 {
            let counts = format!("{} targets for {} examples", targets.rows(), inputs.rows());
            return Err(Error::invalid("y", counts));
        }
        for width in &widths {
            dimension(*width, 1)?;
        }
        all_finite("X", inputs.as_slice())?;
        all_finite("y", targets.as_slice())?;
        let (inputs, targets) = (inputs.clone(), targets.clone());
        Ok(Self { inputs, targets, widths, bias, activation, criterion, parameters })
    }
}
