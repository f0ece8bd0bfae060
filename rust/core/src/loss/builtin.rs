//! The built-in losses in one type, from which a caller gets both the block form and the point form.

use super::{
    DoubleWell, Loss, MuellerBrown, PointLoss, Quadratic, Quartic, Rastrigin, Rosenbrock, ScalarFactorization,
    StyblinskiTang,
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
}

/// Evaluates `$body` with `$loss` the concrete formula; quadratics are treated apart.
macro_rules! each {
    ($self:expr, $quadratic:pat => $first:expr, $loss:ident => $body:expr) => {
        match $self {
            Builtin::Quadratic($quadratic) => $first,
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
        each!(self, q => q.dim(), loss => PointLoss::dim(loss))
    }

    /// The loss on blocks of paths of element `T`.
    pub fn block<T: Real>(&self) -> Arc<dyn Loss<T>> {
        each!(self, q => Arc::new(q.cast::<T>()), loss => Arc::new(loss.clone()))
    }

    /// The loss at points.
    pub fn point(&self) -> Arc<dyn PointLoss> {
        each!(self, q => Arc::new(q.clone()), loss => Arc::new(loss.clone()))
    }
}
