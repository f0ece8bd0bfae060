//! The built-in losses in one type, from which a caller gets both the block form and the point form.

use super::{
    DataLoss, DoubleWell, LinearRegression, LogisticRegression, Loss, MatrixFactorization, MuellerBrown, Network,
    PointLoss, Quadratic, Quartic, Rastrigin, Rosenbrock, ScalarFactorization, SoftmaxRegression, StyblinskiTang,
};
use crate::lanes::Real;
use std::sync::Arc;

/// A built-in loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Builtin {
    /// The quadratic bowl.
    Quadratic(Quadratic<f64>),
    /// The double well.
    DoubleWell(DoubleWell),
    /// The quartic oscillator.
    Quartic(Quartic),
    /// Rosenbrock's valley.
    Rosenbrock(Rosenbrock),
    /// Rastrigin's lattice.
    Rastrigin(Rastrigin),
    /// Two wells of different depth.
    StyblinskiTang(StyblinskiTang),
    /// The potential of Müller and Brown.
    MuellerBrown(MuellerBrown),
    /// The factorisation of one.
    ScalarFactorization(ScalarFactorization),
    /// The factorisation of a matrix.
    MatrixFactorization(MatrixFactorization<f64>),
    /// A network over examples.
    Network(Network<f64>),
    /// Linear regression on examples.
    LinearRegression(LinearRegression),
    /// Logistic regression on examples.
    LogisticRegression(LogisticRegression),
    /// Softmax regression on examples.
    SoftmaxRegression(SoftmaxRegression),
}

/// Evaluates `$body` with `$loss` the concrete formula, or `$first` with `$stored` a loss that holds its numbers in one
/// precision.
macro_rules! each {
    ($self:expr, $stored:ident => $first:expr, $loss:ident => $body:expr) => {
        match $self {
            Builtin::Quadratic($stored) => $first,
            Builtin::MatrixFactorization($stored) => $first,
            Builtin::Network($stored) => $first,
            Builtin::LinearRegression($stored) => $first,
            Builtin::LogisticRegression($stored) => $first,
            Builtin::SoftmaxRegression($stored) => $first,
            Builtin::DoubleWell($loss) => $body,
            Builtin::Quartic($loss) => $body,
            Builtin::Rosenbrock($loss) => $body,
            Builtin::Rastrigin($loss) => $body,
            Builtin::StyblinskiTang($loss) => $body,
            Builtin::MuellerBrown($loss) => $body,
            Builtin::ScalarFactorization($loss) => $body,
        }
    };
}

impl Builtin {
    /// How many parameters.
    pub fn dim(&self) -> usize {
        each!(self, stored => PointLoss::dim(stored), loss => PointLoss::dim(loss))
    }

    /// The loss on blocks of paths of element `T`.
    pub fn block<T: Real>(&self) -> Arc<dyn Loss<T>> {
        each!(self, stored => Arc::new(stored.cast::<T>()), loss => Arc::new(loss.clone()))
    }

    /// The loss at points.
    pub fn point(&self) -> Arc<dyn PointLoss> {
        each!(self, stored => Arc::new(stored.clone()), loss => Arc::new(loss.clone()))
    }

    /// The loss over its examples, if it is one over data.
    pub fn data<T: Real>(&self) -> Option<Arc<dyn DataLoss<T>>> {
        match self {
            Builtin::MatrixFactorization(factors) => Some(Arc::new(factors.cast::<T>())),
            Builtin::Network(network) => Some(Arc::new(network.cast::<T>())),
            Builtin::LinearRegression(model) => Some(Arc::new(model.cast::<T>())),
            Builtin::LogisticRegression(model) => Some(Arc::new(model.cast::<T>())),
            Builtin::SoftmaxRegression(model) => Some(Arc::new(model.cast::<T>())),
            _ => None,
        }
    }
}
