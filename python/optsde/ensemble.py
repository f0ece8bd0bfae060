"""The result of a simulation."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optsde import observers as observing
from optsde._arrays import FloatArray, integer
from optsde._html import html_table
from optsde._keys import Key
from optsde._recipe import Recipe
from optsde._stored import LostDynamics
from optsde.errors import Interrupted
from optsde.results import (
    FinalResult,
    HistogramResult,
    IntArray,
    MeanResult,
    MomentsResult,
    PathsResult,
    Result,
)

if TYPE_CHECKING:
    import matplotlib.axes
    import xarray

R = TypeVar("R", bound=Result)


class _Fields:
    """The fields that every variable of the state has, from the results of observers."""

    _observers: tuple[observing.Observer, ...]
    _results: dict[str, Result]

    def _of(self, kind: type[observing.Observer]) -> list[observing.Observer]:
        return [observer for observer in self._observers if isinstance(observer, kind)]

    def _first(self, kind: type[observing.Observer], result: type[R], field: str) -> R:
        asked = self._of(kind)
        if not asked:
            raise AttributeError(f"{field}: not observed; ask for it with observe=[optsde.{kind.__name__}(...)]")
        return cast(R, self._results[asked[0].name])

    @property
    def mean(self) -> FloatArray:
        """Mean, (T, d)."""
        return self._first(observing.Moments, MomentsResult, "mean").mean

    @property
    def mean_stderr(self) -> FloatArray:
        """Standard error of the mean, ``sqrt(var/n)``, (T, d)."""
        return self._first(observing.Moments, MomentsResult, "mean_stderr").mean_stderr

    @property
    def var(self) -> FloatArray:
        """Unbiased variance, (T, d)."""
        return self._first(observing.Moments, MomentsResult, "var").var

    @property
    def var_stderr(self) -> FloatArray:
        """Standard error of the variance, from the measured fourth moment, (T, d)."""
        return self._first(observing.Moments, MomentsResult, "var_stderr").var_stderr

    def _covariance(self, field: str) -> FloatArray:
        for observer in self._of(observing.Moments):
            value = getattr(self._results[observer.name], field)
            if value is not None:
                return cast(FloatArray, value)
        raise AttributeError(f"{field}: not observed; ask for it with observe=[optsde.Moments(cov=True)]")

    @property
    def cov(self) -> FloatArray:
        """Unbiased covariance, (T, d, d)."""
        return self._covariance("cov")

    @property
    def cov_stderr(self) -> FloatArray:
        """Standard error of the covariance, from measured fourth moments, (T, d, d)."""
        return self._covariance("cov_stderr")

    @property
    def final(self) -> NDArray[Any]:
        """States at the end, (n, d)."""
        return self._first(observing.Final, FinalResult, "final").values

    @property
    def paths(self) -> NDArray[Any]:
        """States of the first k paths, (T, k, d)."""
        return self._first(observing.Paths, PathsResult, "paths").values


class Variable(_Fields):
    """A further variable of the state, such as Adam's ``v``: what the observers saw of it.

    Its fields are those of :class:`Ensemble`: ``mean``, ``var``, ``cov`` with standard errors, ``final``, ``paths``.
    """

    def __init__(self, name: str, observers: tuple[observing.Observer, ...], results: dict[str, Result]) -> None:
        self.name, self._observers, self._results = name, observers, results

    def __getitem__(self, name: str) -> Result:
        """The result of the observer of that name."""
        if name not in self._results:
            known = ", ".join(map(repr, self._results)) or "none"
            raise KeyError(f"no observer called {name!r} saw {self.name}; there are {known}")
        return self._results[name]

    def __repr__(self) -> str:
        return f"<variable {self.name} of the state, seen by {', '.join(self._results) or 'no observer'}>"


class Ensemble(_Fields):
    """An ensemble of paths, as its observers saw it. Made by :func:`optsde.simulate`.

    ``ens[name]`` is each observer's own result, with its own ``.t``. ``t`` and ``step`` are those of the first
    ``Moments``
    observer, else of the first observer that has times, else the end.
    """

    def __init__(self, recipe: Recipe, raw: dict[str, Any]) -> None:
        self._recipe: Recipe | None = recipe
        self._raw = raw
        self._build(recipe)

    def _build(self, recipe: Recipe) -> None:
        grid = recipe.grid
        self._observers = recipe.observers
        self._results: dict[str, Result] = {}
        further = {name: rows for name, rows in recipe.variables.items() if name != "theta"}
        self._further: dict[str, dict[str, Result]] = {name: {} for name in further}
        for observer, result in zip(recipe.observers, self._raw["observers"], strict=True):
            result = result | {"antithetic": recipe.antithetic, "grid": grid}
            steps = observer._steps(grid)
            times = grid.times(steps)
            self._results[observer.name] = observer._result(result, times, steps, recipe.variables["theta"])
            if observer._sees_state:
                for name, rows in further.items():
                    self._further[name][observer.name] = observer._result(result, times, steps, rows)
        timed = self._of(observing.Moments) or [o for o in recipe.observers if not isinstance(o, observing.Final)]
        if timed:
            first = self._results[timed[0].name]
            self.t, self.step = first.t, first.step
        else:
            self.step = np.array([grid.n_steps], dtype=np.int64)
            self.t = grid.times(self.step)
        self.n_paths = recipe.n_paths
        self.path_range = recipe.path_range
        self.key: Key = recipe.key
        self.method = recipe.method
        self.method_reason = recipe.method_reason
        self.dt = grid.dt
        self.n_steps = grid.n_steps
        self._grid = grid
        self.antithetic = recipe.antithetic
        self.dtype = recipe.dtype
        self.version = recipe.version
        self._title = repr(recipe.dynamics)

    @property
    def grid(self) -> FloatArray:
        """The times of all steps, (n_steps + 1,); ``dt`` is the shortest step between them."""
        return self._grid.times(np.arange(self.n_steps + 1))

    def __getitem__(self, name: str) -> Result:
        """The result of the observer of that name."""
        if name not in self._results:
            raise KeyError(f"no observer is called {name!r}; there are {', '.join(map(repr, self._results)) or 'none'}")
        return self._results[name]

    @property
    def state(self) -> dict[str, Variable]:
        """The further variables of the state by name, each with ``mean``, ``var``, ``final``, … of its own."""
        return {name: Variable(name, self._observers, results) for name, results in self._further.items()}

    @property
    def loss_mean(self) -> FloatArray:
        """Mean loss, (T,)."""
        return self._first(observing.Loss, MeanResult, "loss_mean").mean

    @property
    def loss_stderr(self) -> FloatArray:
        """Standard error of the mean loss, (T,)."""
        return self._first(observing.Loss, MeanResult, "loss_stderr").stderr

    @property
    def histogram(self) -> HistogramResult:
        """The (first) histogram."""
        return self._first(observing.Histogram, HistogramResult, "histogram")

    @property
    def expectations(self) -> dict[str, MeanResult]:
        """All expectations by name."""
        self._first(observing.Expectation, MeanResult, "expectations")
        return {o.name: cast(MeanResult, self._results[o.name]) for o in self._of(observing.Expectation)}

    @property
    def n_diverged(self) -> int:
        """Number of paths that became non-finite."""
        return len(self._raw["bad_steps"])

    @property
    def n_diverged_at(self) -> IntArray:
        """How many of them had become so by each of the times, (T,)."""
        return np.searchsorted(np.sort(self._raw["bad_steps"]), self.step, side="right").astype(np.int64)

    @property
    def first_divergence(self) -> tuple[int, int] | None:
        """Path and step of the earliest divergence, None where there was none."""
        if self.n_diverged == 0:
            return None
        first = np.lexsort((self._raw["bad_paths"], self._raw["bad_steps"]))[0]
        return int(self._raw["bad_paths"][first]), int(self._raw["bad_steps"][first])

    @property
    def floor_touches(self) -> int:
        """Path-steps after which a second moment was below the floor that its equation reads it by."""
        return int(self._raw["floor_touches"])

    @property
    def complete(self) -> bool:
        """False where the run was interrupted."""
        return bool(self._raw["complete"])

    @property
    def _interrupted(self) -> bool:
        """Whether Ctrl-C was heard, be it with the last paths."""
        return bool(self._raw["interrupted"])

    @property
    def path_index(self) -> IntArray:
        """Which paths are in: the finished ones."""
        index = self._raw["path_index"]
        return np.arange(*self.path_range, dtype=np.int64) if index is None else cast(IntArray, index)

    @property
    def n_finished(self) -> int:
        """How many paths are in."""
        index = self._raw["path_index"]
        return self.path_range[1] - self.path_range[0] if index is None else len(index)

    @property
    def wall_time(self) -> float:
        """Seconds that the run took."""
        return float(self._raw["wall_time"])

    @property
    def threads(self) -> int:
        """Threads that it used."""
        return int(self._raw["threads"])

    def _need_recipe(self, what: str, *, anything: bool = False) -> Recipe:
        """The recipe, where it can be run again; with ``anything`` one with lost parts will do."""
        if self._recipe is None:
            raise ValueError(f"{what}: this ensemble was unpickled without its description, which could not be pickled")
        if isinstance(self._recipe.dynamics, LostDynamics) and not anything:
            raise ValueError(f"{what}: {self._recipe.dynamics.reason}")
        return self._recipe

    def replay(self, path: int, at: int | ArrayLike | None = None) -> Ensemble:
        """One path again, bit for bit.

        Parameters
        ----------
        path : int
            Its index in the whole ensemble of ``n_paths``.
        at : int or (T,) array_like, optional
            Times to keep, as in :class:`optsde.Paths`; all steps by default.

        Returns
        -------
        Ensemble
            With ``final (1, d)`` and ``paths (n_steps + 1, 1, d)`` (or at ``at``).

        Raises
        ------
        ValueError
            Where there is no such path.
        Interrupted
            On Ctrl-C.
        """
        recipe = self._need_recipe("replay")
        index = integer("path", path, 0, recipe.n_paths - 1)
        times = observing.Paths(at=recipe.grid.n_steps + 1 if at is None else at)
        alone = replace(recipe, path_range=(index, index + 1), observers=(observing.Final(), times), threads=1)
        alone.check()
        again = Ensemble(alone, alone.run(None))
        if again._interrupted:
            raise Interrupted(f"interrupted in the replay of path {index}", again)
        return again

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything into one file, which :func:`optsde.load` reads: results and the recipe that made them.

        The file is a zip archive of ``description.json``, which people can read, and of ``.npy`` arrays. It appears
        under its name when it is whole, in place of one that was there.

        Parameters
        ----------
        path : str or path
            Any name; nothing is appended to it.

        Raises
        ------
        ValueError
            For an ensemble that was unpickled without its description.

        Notes
        -----
        The user's own Python and C functions cannot be stored: the file then says so, results are all there, and
        ``replay`` of the loaded ensemble is an error with the reason.
        """
        from optsde.saving import save

        save(self, path)

    def to_xarray(self) -> xarray.Dataset:
        """All results as an ``xarray.Dataset`` with named dimensions.

        Dimensions are ``t``, ``parameter``, ``parameter_`` (columns of covariances), ``path`` and ``kept_path`` (of
        the ``Paths`` observer). An observer with times of its own has the dimension ``t_<name>``. Variables have the
        names of this class's fields; those of a further variable of the state begin with its name, as ``v_mean``,
        those of a second observer of one kind with the observer's. Attributes hold key, method, dt, version, equation
        and counts.

        Raises
        ------
        ImportError
            Where xarray is not installed: ``pip install optsde[xarray]``.
        """
        from optsde._export import to_xarray

        return to_xarray(self)

    def to_arviz(self) -> Any:
        """The kept paths for ArviZ: chains are paths, draws the times of the ``Paths`` observer.

        Paths that diverged are left out.

        Returns
        -------
        arviz.InferenceData, or xarray.DataTree with ArviZ 1 and later
            With a group ``posterior`` of ``theta (chain, draw, d)`` and the further variables of the state.

        Raises
        ------
        AttributeError
            Where no ``Paths`` observer was asked for.
        ImportError
            Where ArviZ is not installed: ``pip install optsde[arviz]``.
        """
        from optsde._export import to_arviz

        return to_arviz(self)

    def plot(self, ax: matplotlib.axes.Axes | None = None, *, coord: int = 0) -> matplotlib.axes.Axes:
        """One coordinate as far as it was observed: paths with quantiles, else moments over time, else the density.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.
        coord : int
            Which coordinate.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Where matplotlib is not installed: ``pip install optsde[plot]``.
        """
        from optsde.plot import ensemble

        return ensemble(self, ax, coord=coord)

    def __getstate__(self) -> dict[str, Any]:
        """The results always pickle; the description, which replay and merge need, where the user's functions do."""
        try:
            recipe = pickle.dumps(self._recipe)
        except Exception:  # whatever a user's object raises
            recipe = None
        hidden = {"_recipe", "_observers"}
        state = {name: value for name, value in self.__dict__.items() if name not in hidden}
        kinds = [(type(observer), observer.name) for observer in self._observers]
        return state | {"_pickled_recipe": recipe, "_kinds": kinds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        recipe, kinds = state.pop("_pickled_recipe"), state.pop("_kinds")
        self.__dict__.update(state)
        self._recipe = None if recipe is None else pickle.loads(recipe)
        if self._recipe is not None:
            self._observers = self._recipe.observers
        else:
            stand_ins = []
            for kind, name in kinds:
                stand_in = object.__new__(kind)
                stand_in._set(name=name)
                stand_ins.append(stand_in)
            self._observers = tuple(stand_ins)

    def _ledger(self) -> list[tuple[str, str]]:
        finished, asked = self.n_finished, self.path_range[1] - self.path_range[0]
        paths = f"{finished:,} finished" if finished == asked else f"{finished:,} of {asked:,} finished (interrupted)"
        if asked != self.n_paths:
            paths += f", {self.path_range[0]:,} to {self.path_range[1] - 1:,} of {self.n_paths:,}"
        if self.antithetic:
            paths += ", in antithetic pairs"
        diverged = f"{self.n_diverged:,}"
        if self.n_diverged:
            path, step = cast(tuple[int, int], self.first_divergence)
            diverged += f" (first: path {path} at step {step}); statistics are conditional on survival"
        seconds = max(self.wall_time, 1e-9)
        rate = f"{self._raw['path_steps'] / seconds:.3g} path-steps/s"
        machine = f"{self.threads} thread{'' if self.threads == 1 else 's'}, {self._raw['simd']}, {self.dtype}"
        return [
            ("paths", paths),
            ("diverged", diverged),
            ("steps", f"{self.n_steps:,} of dt = {self._lengths()} by {self._method_text()}"),
            *([("floor", self._floor_text())] if self.floor_touches else []),
            ("observed", ", ".join(observer.name for observer in self._observers) or "nothing"),
            ("time", f"{self.wall_time:.3g} s, {rate}, {machine}"),
            ("key", f"{self.key!r}, optsde {self.version}"),
        ]

    def _method_text(self) -> str:
        return f"{self.method} ({self.method_reason})" if self.method_reason.startswith("default") else self.method

    def _lengths(self) -> str:
        mesh = self._grid.mesh
        longest = max(cells for _, _, cells in mesh) / self._grid.cells if mesh else 1
        return f"{self.dt:.6g}" if longest == 1 else f"{self.dt:.6g} to {self.dt * longest:.6g}"

    def _floor_text(self) -> str:
        share = self.floor_touches / max(int(self._raw["path_steps"]), 1)
        return f"{self.floor_touches:,} path-steps ({share:.2g}) had a second moment below the floor"

    def __repr__(self) -> str:
        return "\n".join([f"Ensemble of {self._title}", *(f"  {name:<9}{text}" for name, text in self._ledger())])

    def _repr_html_(self) -> str:
        return html_table(f"Ensemble of {self._title}", self._ledger())
