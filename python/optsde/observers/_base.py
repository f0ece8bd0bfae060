"""The base of all observers: a name, the steps at which it looks, and what it asks of the engine."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, integer, real_array
from optsde._description import Description
from optsde._grid import TimeGrid, observed_count, observed_steps
from optsde.results import Result

if TYPE_CHECKING:
    from optsde._recipe import Recipe

IntArray = NDArray[np.int64]


def checked_times(at: Any) -> int | FloatArray | None:
    """The argument ``at``: None, a number of times, or ascending times."""
    if at is None:
        return None
    if isinstance(at, (int, np.integer, bool)) or (
        isinstance(at, np.ndarray) and at.ndim == 0 and at.dtype.kind in "iu"
    ):
        return integer("at", at, 2)
    times = real_array("at", at)
    if times.ndim != 1 or times.size == 0:
        got = f"the number {float(times):.12g}" if times.ndim == 0 else f"shape {times.shape}"
        raise ValueError(f"at: expected None, an integer of at least 2 or a 1-D array of times, got {got}")
    if (np.diff(times) <= 0.0).any():
        raise ValueError("at: expected ascending times")
    return times


def checked_name(name: Any, default: str) -> str:
    if name is None:
        return default
    if not isinstance(name, str):
        raise TypeError(f"name: expected a str, got {type(name).__name__}")
    return name


class Observer(Description):
    """The base of all observers; each has a ``name``, under which ``ens[name]`` finds its result."""

    name: str
    _default_name: ClassVar[str]

    def _steps(self, grid: TimeGrid) -> IntArray:
        """Steps since the start at which it looks."""
        return observed_steps(None, grid)

    def _count(self, grid: TimeGrid) -> int:
        """How many times it looks."""
        return 1

    @abstractmethod
    def _bytes(self, recipe: Recipe, copies: int) -> int:
        """Memory of its results; statistics are held in ``copies`` partial sums."""

    @abstractmethod
    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        """The native description, without its steps."""

    def _settle(self, raw: dict[str, Any], recipe: Recipe) -> None:
        """Completes what came from the native run by what the recipe knows."""

    @abstractmethod
    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> Result:
        """The result that people read, of the variable that has these rows of the state."""

    #: Whether it sees all variables of the state, each with a result of its own; else the parameters only.
    _sees_state: ClassVar[bool] = False


class Timed(Observer):
    """An observer with times of its own."""

    at: int | FloatArray | None

    def _steps(self, grid: TimeGrid) -> IntArray:
        steps = observed_steps(self.at, grid)
        if (np.diff(steps) == 0).any():
            raise ValueError(f"at: two of the times fall on the same step of dt = {grid.dt:g}")
        return steps

    def _count(self, grid: TimeGrid) -> int:
        return observed_count(self.at, grid)


def pair_factor(raw: dict[str, Any]) -> float:
    """What a standard error of independent paths is multiplied by, at most, where paths are antithetic pairs: the mean
    over a pair varies at most as much as one path.
    """
    return math.sqrt(2.0) if raw["antithetic"] else 1.0
