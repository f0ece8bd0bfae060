"""Stochastic differential equations of optimizers, and the optimizers themselves, in large ensembles."""

from optsde import datasets, diagnostics, errors, initial, losses, noise, observers, plot, regions, schedules, theory
from optsde._compiled import compiled
from optsde._core import __version__
from optsde._keys import Key
from optsde.adaptive import Adaptive
from optsde.compare import Comparison, compare
from optsde.dynamics import Dynamics
from optsde.ensemble import Ensemble
from optsde.errors import CallbackError, DivergenceError, DivergenceWarning, Interrupted
from optsde.expect import ExpectedValue, LevelResult, expect
from optsde.langevin import Langevin
from optsde.merge import merge
from optsde.methods import Method, methods
from optsde.observers import (
    Autocovariance,
    Expectation,
    Final,
    FirstPassage,
    Histogram,
    Loss,
    Moments,
    Paths,
    Quantiles,
)
from optsde.optimizers import SAM, SGD, Adam, AdamW, RMSprop, SignSGD
from optsde.ornstein_uhlenbeck import OrnsteinUhlenbeck
from optsde.problem import Problem
from optsde.saving import load
from optsde.sde import SDE
from optsde.simulate import simulate
from optsde.stationary import StationaryEnsemble, stationary
from optsde.underdamped_langevin import UnderdampedLangevin
from optsde.weak_order import WeakOrder, weak_order

__all__ = [
    "SAM",
    "SDE",
    "SGD",
    "Adam",
    "AdamW",
    "Adaptive",
    "Autocovariance",
    "CallbackError",
    "Comparison",
    "DivergenceError",
    "DivergenceWarning",
    "Dynamics",
    "Ensemble",
    "Expectation",
    "ExpectedValue",
    "Final",
    "FirstPassage",
    "Histogram",
    "Interrupted",
    "Key",
    "Langevin",
    "LevelResult",
    "Loss",
    "Method",
    "Moments",
    "OrnsteinUhlenbeck",
    "Paths",
    "Problem",
    "Quantiles",
    "RMSprop",
    "SignSGD",
    "StationaryEnsemble",
    "UnderdampedLangevin",
    "WeakOrder",
    "__version__",
    "compare",
    "compiled",
    "datasets",
    "diagnostics",
    "errors",
    "expect",
    "initial",
    "load",
    "losses",
    "merge",
    "methods",
    "noise",
    "observers",
    "plot",
    "regions",
    "schedules",
    "simulate",
    "stationary",
    "theory",
    "weak_order",
]
