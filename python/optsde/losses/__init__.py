"""Losses: what is minimised, with value, gradient, Hessian and contracted third derivative."""

from optsde.losses._base import Loss
from optsde.losses.callbacks import Compiled, Function, from_numba
from optsde.losses.landscapes import MuellerBrown, Rastrigin, Rosenbrock, ScalarFactorization
from optsde.losses.linear_models import LinearRegression, LogisticRegression, SoftmaxRegression
from optsde.losses.networks import MLP, DiagonalLinearNetwork, MatrixFactorization
from optsde.losses.quadratic import Quadratic
from optsde.losses.wells import DoubleWell, Quartic, StyblinskiTang

__all__ = [
    "MLP",
    "Compiled",
    "DiagonalLinearNetwork",
    "DoubleWell",
    "Function",
    "LinearRegression",
    "LogisticRegression",
    "Loss",
    "MatrixFactorization",
    "MuellerBrown",
    "Quadratic",
    "Quartic",
    "Rastrigin",
    "Rosenbrock",
    "ScalarFactorization",
    "SoftmaxRegression",
    "StyblinskiTang",
    "from_numba",
]
