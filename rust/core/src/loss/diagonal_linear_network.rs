//! Diagonal linear networks: linear regression whose weights are differences of squares.

use super::network::{Activation, Criterion, Network, Parameters};
use crate::error::Result;
use crate::linalg::Matrix;

impl Network<f64> {
    /// `(1/2N) Σ_i |A (u² - v²) - y|_i²` for inputs `A` and targets `y` of one column; the parameters are `u`, then
    /// `v`. It is a network without hidden layers and biases, of which only the parameters are new.
    pub fn diagonal_linear(inputs: &Matrix<f64>, targets: Vec<f64>) -> Result<Self> {
        let targets = Matrix::new(targets.len(), 1, targets)?;
        Self::over(
            inputs,
            &targets,
            vec![inputs.cols(), 1],
            false,
            Activation::Identity,
            Criterion::SquaredError,
            Parameters::SquareDifferences,
        )
    }
}
