"""Observers: what is remembered of the paths, while they run."""

from optsde.observers._base import Observer
from optsde.observers.autocovariance import Autocovariance
from optsde.observers.first_passage import FirstPassage
from optsde.observers.histogram import Histogram
from optsde.observers.means import Expectation, Loss
from optsde.observers.moments import Moments
from optsde.observers.quantiles import Quantiles
from optsde.observers.states import Final, Paths

__all__ = [
    "Autocovariance",
    "Expectation",
    "Final",
    "FirstPassage",
    "Histogram",
    "Loss",
    "Moments",
    "Observer",
    "Paths",
    "Quantiles",
]
