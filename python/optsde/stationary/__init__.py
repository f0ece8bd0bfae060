"""Stationary laws, with evidence that they are stationary and errors that cover noise and step."""

from optsde.stationary.driver import stationary
from optsde.stationary.result import StationaryEnsemble, StationaryVariable

__all__ = ["StationaryEnsemble", "StationaryVariable", "stationary"]
