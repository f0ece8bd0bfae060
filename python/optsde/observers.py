"""Observers: what is remembered of the paths, while they run."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optsde._arrays import FloatArray, frozen, integer, real_array
from optsde._description import Description
from optsde._grid import TimeGrid, observed_count, observed_steps
from optsde.results import (
    FinalResult,
    HistogramResult,
    MeanResult,
    MomentsResult,
    PathsResult,
    Result,
    histogram_result,
    mean_result,
    moments_result,
    rows_of,
    stats_of,
)

if TYPE_CHECKING:
    from optsde._recipe import Recipe

__all__ = ["Expectation", "Final", "Histogram", "Loss", "Moments", "Observer", "Paths"]

IntArray = NDArray[np.int64]


def _times(at: Any) -> int | FloatArray | None:
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


def _name(name: Any, default: str) -> str:
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

    @abstractmethod
    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> Result:
        """The result that people read, of the variable that has these rows of the state."""

    #: Whether it sees all variables of the state, each with a result of its own; else the parameters only.
    _sees_state: ClassVar[bool] = False


class _Timed(Observer):
    """An observer with times of its own."""

    at: int | FloatArray | None

    def _steps(self, grid: TimeGrid) -> IntArray:
        steps = observed_steps(self.at, grid)
        if (np.diff(steps) == 0).any():
            raise ValueError(f"at: two of the times fall on the same step of dt = {grid.dt:g}")
        return steps

    def _count(self, grid: TimeGrid) -> int:
        return observed_count(self.at, grid)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Final(Observer):
    """States at the end: ``ens.final (n, d)``, NaN rows for diverged paths.

    Parameters
    ----------
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Final()
    Final(name='final')
    """

    name: str
    _default_name: ClassVar[str] = "final"
    _sees_state: ClassVar[bool] = True

    def __init__(self, *, name: str | None = None) -> None:
        self._set(name=_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return recipe.paths_run * recipe.rows * recipe.itemsize

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "final"}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> FinalResult:
        return FinalResult(t=t, step=step, values=rows_of(raw["values"], rows))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Paths(_Timed):
    """States of the first paths at chosen times: ``ens.paths (T, k, d)``.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        The end; that many evenly spaced times from t0 to t1; or ascending times, moved to the nearest step.
    keep : int, optional
        How many paths, the first k; all by default.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Paths(at=101, keep=5).keep
    5
    """

    at: int | FloatArray | None
    keep: int | None
    name: str
    _default_name: ClassVar[str] = "paths"
    _sees_state: ClassVar[bool] = True

    def __init__(self, at: int | ArrayLike | None = None, keep: int | None = None, *, name: str | None = None) -> None:
        self._set(at=_times(at), keep=None if keep is None else integer("keep", keep, 1))
        self._set(name=_name(name, self._default_name))

    def _keep(self, recipe: Recipe) -> int:
        return recipe.n_paths if self.keep is None else min(self.keep, recipe.n_paths)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        first, last = recipe.path_range
        rows = max(0, min(self._keep(recipe), last) - first)
        return self._count(recipe.grid) * rows * recipe.rows * recipe.itemsize

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "paths", "keep": self._keep(recipe)}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> PathsResult:
        return PathsResult(t=t, step=step, values=rows_of(raw["values"], rows))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Moments(_Timed):
    """Mean and variance, and covariance when asked, with standard errors from measured fourth moments.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    cov : bool
        Whether to gather the covariance matrix.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Moments(at=11, cov=True).cov
    True
    """

    at: int | FloatArray | None
    cov: bool
    name: str
    _default_name: ClassVar[str] = "moments"
    _sees_state: ClassVar[bool] = True

    def __init__(self, at: int | ArrayLike | None = None, cov: bool = False, *, name: str | None = None) -> None:
        if not isinstance(cov, (bool, np.bool_)):
            raise TypeError(f"cov: expected True or False, got {cov!r}")
        self._set(at=_times(at), cov=bool(cov), name=_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        numbers = 1 + 4 * recipe.rows + (3 * recipe.rows**2 if self.cov else 0)
        return 8 * self._count(recipe.grid) * numbers * copies

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "moments", "cov": self.cov}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MomentsResult:
        return moments_result(t, step, stats_of(raw["stats"], rows))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Loss(_Timed):
    """Mean loss: ``ens.loss_mean (T,)`` and ``ens.loss_stderr (T,)``.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    name : str, optional

    Raises
    ------
    ValueError
        At the start of a run, where the dynamics has no loss or the loss no value.

    Examples
    --------
    >>> import optsde
    >>> optsde.Loss(at=11).name
    'loss'
    """

    at: int | FloatArray | None
    name: str
    _default_name: ClassVar[str] = "loss"

    def __init__(self, at: int | ArrayLike | None = None, *, name: str | None = None) -> None:
        self._set(at=_times(at), name=_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return 8 * self._count(recipe.grid) * 5 * copies

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        loss = recipe.dynamics._loss
        if loss is None:
            raise ValueError("observe: the Loss observer needs a loss, and this dynamics has none")
        loss._require("value", "the Loss observer")
        return {"kind": "loss", "loss": loss._spec()}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MeanResult:
        return mean_result(t, step, raw["stats"])


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Expectation(_Timed):
    """Mean of a function of the parameters: ``ens.expectations[name]`` with ``.mean (T,)`` and ``.stderr (T,)``.

    Parameters
    ----------
    function : callable
        θ (n, d), read-only, to (n,).
    name : str
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    state : bool
        Whether the function takes a dict of all variables, each (n, d), instead of θ.

    Examples
    --------
    >>> import optsde
    >>> optsde.Expectation(lambda x: x[:, 0] ** 4, "fourth moment").name
    'fourth moment'
    """

    function: Callable[..., Any]
    name: str
    at: int | FloatArray | None
    state: bool
    _default_name: ClassVar[str] = "expectation"

    def __init__(
        self, function: Callable[..., Any], name: str, at: int | ArrayLike | None = None, *, state: bool = False
    ) -> None:
        if not callable(function):
            raise TypeError(f"function: expected a function of θ (n, d), got {type(function).__name__}")
        if not isinstance(name, str):
            raise TypeError(f"name: expected a str, got {type(name).__name__}")
        self._set(function=function, name=name, at=_times(at), state=bool(state))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return 8 * self._count(recipe.grid) * 5 * copies

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        function = _OfState(self.function, recipe.variables) if self.state else self.function
        return {"kind": "expectation", "function": function, "state": self.state}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MeanResult:
        return mean_result(t, step, raw["stats"])


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Histogram(_Timed):
    """Histogram of one coordinate, or one of each: ``ens.histogram``.

    Parameters
    ----------
    bins : int
        Equal bins.
    range : (float, float)
        Lowest and highest edge; what lies outside is counted as underflow and overflow.
    coords : int, optional
        The coordinate; all by default.
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Histogram(4, (-1.0, 1.0), coords=0).edges.tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """

    bins: int
    range: tuple[float, float]
    coords: int | None
    at: int | FloatArray | None
    name: str
    _default_name: ClassVar[str] = "histogram"

    def __init__(
        self,
        bins: int,
        range: tuple[float, float],
        coords: int | None = None,
        at: int | ArrayLike | None = None,
        *,
        name: str | None = None,
    ) -> None:
        ends = real_array("range", range)
        if ends.shape != (2,) or ends[0] >= ends[1]:
            raise ValueError(f"range: expected two numbers, the lower first, got {range!r}")
        count = integer("bins", bins, 1, 1 << 31)
        low, high = float(ends[0]), float(ends[1])
        width = (high - low) / count
        if not math.isfinite(width) or width < math.ulp(max(abs(low), abs(high))):
            raise ValueError(f"range: {range!r} cannot be divided into {count} bins in double precision")
        if isinstance(coords, (tuple, list)):
            raise ValueError(f"coords: expected None or one coordinate, got {coords!r}")
        self._set(
            bins=count,
            range=(low, high),
            coords=None if coords is None else integer("coords", coords, 0),
            at=_times(at),
            name=_name(name, self._default_name),
        )

    @property
    def edges(self) -> FloatArray:
        """The bins' edges, (bins + 1,)."""
        return np.linspace(*self.range, self.bins + 1)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        coordinates = recipe.dim if self.coords is None else 1
        return 8 * self._count(recipe.grid) * coordinates * (self.bins + 2) * (recipe.threads + 2)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        if self.coords is not None and self.coords >= recipe.dim:
            raise ValueError(f"coords: expected a coordinate below {recipe.dim}, got {self.coords}")
        coordinates = np.arange(recipe.dim) if self.coords is None else np.array([self.coords])
        return {
            "kind": "histogram",
            "bins": self.bins,
            "range": self.range,
            "coords": frozen(coordinates.astype(np.int64)),
        }

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> HistogramResult:
        return histogram_result(t, step, self.edges, raw, one=self.coords is not None)


class _OfState:
    """A function of a dict of variables, as a function of all rows of the state."""

    def __init__(self, function: Callable[..., Any], variables: dict[str, slice]) -> None:
        self.function, self.variables = function, variables

    def __call__(self, x: NDArray[Any]) -> Any:
        return self.function({name: x[:, rows] for name, rows in self.variables.items()})


def observer_list(observe: Any) -> tuple[Observer, ...]:
    """The argument ``observe``: a list of observers with different names; mean, variance and final states by
    default.
    """
    if observe is None:
        return Moments(), Final()
    if isinstance(observe, Observer):
        observe = [observe]
    if not isinstance(observe, (list, tuple)):
        raise TypeError(f"observe: expected a list of observers, got {type(observe).__name__}")
    for observer in observe:
        if not isinstance(observer, Observer):
            hint = "; call it to make one" if isinstance(observer, type) else ""
            raise TypeError(f"observe: expected observers from optsde.observers, got {observer!r}{hint}")
    names = [observer.name for observer in observe]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"observe: two observers are called {name!r}; give one of them another name=")
    return tuple(observe)


def partial_sums(n_paths: int, threads: int) -> int:
    """How many partial sums a run holds: one a thread, and a tree over groups of 64 paths."""
    return threads + 2 + math.ceil(math.log2(n_paths / 64 + 2))
