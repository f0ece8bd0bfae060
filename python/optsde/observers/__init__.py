"""Observers: what is remembered of the paths, while they run."""

from optsde.observers._base import Observer
from optsde.observers.histogram import Histogram
from optsde.observers.means import Expectation, Loss
from optsde.observers.moments import Moments
from optsde.observers.states import Final, Paths

__all__ = ["Expectation", "Final", "Histogram", "Loss", "Moments", "Observer", "Paths"]
