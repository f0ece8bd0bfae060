"""The result of a search for the stationary law: the numbers, their errors, and the evidence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, integer
from optsde._html import html_table
from optsde._keys import Key
from optsde._reports import with_error
from optsde._stored import LostDynamics
from optsde.ensemble import Ensemble
from optsde.results import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import xarray

    from optsde.plot._sources import Pdf


@dataclass(frozen=True, eq=False, repr=False)
class StationaryVariable:
    """What was found of one variable of the state.

    Attributes
    ----------
    name : str
    mean, mean_stderr, mean_bias, mean_error : ndarray, shape (d,)
        Stationary mean; its Monte Carlo standard error; the error of the step, value minus truth, 0 for algorithms and
        exact steps; and both, ``|bias| + 2 stderr of (mean - bias)``, which holds with at least 95 %.
    cov, cov_stderr, cov_bias, cov_error : ndarray, shape (d, d)
        The same of the covariance.
    rhat : ndarray, shape (d,)
        Split R-hat of ranks, over the halves of the paths and early and late.
    ess : ndarray, shape (d,)
        Effective sample size of the mean, ``var / mean_stderr²``.
    iact : ndarray, shape (d,)
        Integrated autocorrelation time, in time.
    iact_steps : ndarray, shape (d,)
        The same in optimizer steps, or in steps of dt where there is no optimizer.
    square_iact : ndarray, shape (d,)
        That of the squared deviation from the mean, in time.
    samples : ndarray, shape (n, d)
        Nearly independent draws, at least ``iact`` apart on each path.
    final : ndarray, shape (n_paths, d)
        Where the paths ended.
    """

    name: str
    mean: FloatArray
    mean_stderr: FloatArray
    mean_bias: FloatArray
    mean_error: FloatArray
    cov: FloatArray
    cov_stderr: FloatArray
    cov_bias: FloatArray
    cov_error: FloatArray
    rhat: FloatArray
    ess: FloatArray
    iact: FloatArray
    iact_steps: FloatArray
    square_iact: FloatArray
    samples: FloatArray
    final: NDArray[Any]

    @property
    def var(self) -> FloatArray:
        """Stationary variances, the diagonal of ``cov``, (d,)."""
        return np.diagonal(self.cov).copy()

    @property
    def var_stderr(self) -> FloatArray:
        """Their Monte Carlo standard error, (d,)."""
        return np.diagonal(self.cov_stderr).copy()

    @property
    def var_bias(self) -> FloatArray:
        """Their error of the step, (d,)."""
        return np.diagonal(self.cov_bias).copy()

    @property
    def var_error(self) -> FloatArray:
        """Both together, (d,)."""
        return np.diagonal(self.cov_error).copy()

    def __repr__(self) -> str:
        return f"<stationary law of {self.name}, {len(self.mean)} coordinates>"


@dataclass(frozen=True, eq=False, repr=False)
class StationaryEnsemble(StationaryVariable):
    """The stationary law that :func:`optsde.stationary` found, or why it found none.

    It has the fields of :class:`StationaryVariable` for the parameters; ``state[name]`` has them for further variables.
    ``save``, ``to_xarray``, ``to_arviz`` and ``plot`` are of the law; all else that an :class:`optsde.Ensemble` has
    (``t``, ``histogram``, ``expectations``, ``replay``, …) is that of ``ensemble``.

    Attributes
    ----------
    status : {"converged", "not_stationary", "budget"}
    reason : str
        A sentence.
    burn_in : float
        Time that was left out at the beginning.
    burn_in_steps : int
        The same in steps of dt.
    dt : float
        The step; that of the algorithm for algorithms.
    method : str
        Of integration.
    n_paths : int
        Paths that were run side by side.
    n_steps : int
        Steps of each, burn-in included, the runs with half the step not counted.
    n_diverged : int
        Paths that became non-finite at the end of the search.
    rtol : float
        The accuracy asked for.
    extrapolated : bool
        Whether the leading error of the step is taken out.
    starts : str
        How the paths started.
    complete : bool
        False where the search was interrupted.
    key : Key
    wall_time : float
        Seconds.
    path_steps : int
        Steps of all paths, those of half the step counted.
    ensemble : Ensemble
        The last run: with ``observe``, of the observers on ``samples``; else of the last part of the search.
    """

    status: str = field(kw_only=True)
    reason: str = field(kw_only=True)
    burn_in: float = field(kw_only=True)
    burn_in_steps: int = field(kw_only=True)
    dt: float = field(kw_only=True)
    method: str = field(kw_only=True)
    n_paths: int = field(kw_only=True)
    n_steps: int = field(kw_only=True)
    n_diverged: int = field(kw_only=True)
    rtol: float = field(kw_only=True)
    extrapolated: bool = field(kw_only=True)
    starts: str = field(kw_only=True)
    complete: bool = field(kw_only=True)
    key: Key = field(kw_only=True)
    wall_time: float = field(kw_only=True)
    path_steps: int = field(kw_only=True)
    ensemble: Ensemble = field(kw_only=True)
    title: str = field(kw_only=True)
    state: dict[str, StationaryVariable] = field(kw_only=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "ensemble":
            raise AttributeError(name)
        return getattr(self.ensemble, name)

    def __getitem__(self, name: str) -> Result:
        """The result of the observer of that name."""
        return self.ensemble[name]

    def _ledger(self) -> list[tuple[str, str]]:
        std = np.sqrt(np.maximum(self.var, 0.0))
        some = [f"{with_error(m, e)}" for m, e in zip(self.mean[:3], self.mean_error[:3], strict=True)]
        spread = [f"{with_error(v, e)}" for v, e in zip(self.var[:3], self.var_error[:3], strict=True)]
        more = ", …" if len(self.mean) > 3 else ""
        with np.errstate(divide="ignore", invalid="ignore"):
            # Of what does not vary there is nothing to ask.
            ratios = np.concatenate([self.mean_error / std, self.var_error / self.var])[np.tile(self.var > 0.0, 2)]
        reached = float(ratios.max(initial=0.0))
        fewest, longest = float(np.min(self.ess)), float(np.max(self.iact))
        steps = f"{self.n_steps:,} of dt = {self.dt:.6g} by {self.method}"
        paths = f"{self.n_paths:,}; {self.starts}"
        if self.n_diverged:
            paths += f"; {self.n_diverged:,} diverged"
        return [
            ("status", self.status if self.complete else f"{self.status} (interrupted)"),
            ("reason", self.reason),
            ("mean", f"{', '.join(some)}{more} (± error)"),
            ("variance", f"{', '.join(spread)}{more} (± error)"),
            ("accuracy", f"{reached:.2g} of a standard deviation or variance at worst; asked {self.rtol:g}"),
            ("evidence", f"R-hat {np.max(self.rhat):.4f}, ESS {fewest:,.0f}, IACT {longest:.4g} in time"),
            ("burn-in", f"{self.burn_in:.6g} in time, {self.burn_in_steps:,} steps"),
            ("paths", paths),
            ("steps", steps + (", extrapolated" if self.extrapolated else "")),
            ("time", f"{self.wall_time:.3g} s, {self.path_steps / max(self.wall_time, 1e-9):.3g} path-steps/s"),
            ("key", f"{self.key!r}, optsde {self.ensemble.version}"),
        ]

    def __repr__(self) -> str:
        lines = [f"  {name:<9} {text}" for name, text in self._ledger()]
        return "\n".join([f"StationaryEnsemble of {self.title}", *lines])

    def _repr_html_(self) -> str:
        return html_table(f"StationaryEnsemble of {self.title}", self._ledger())

    def _content(self) -> dict[str, Any]:
        """All fields but the ensemble, as plain values and arrays."""
        own = {name: getattr(self, name) for name in _FACTS}
        variables = [{name: getattr(v, name) for name in _NUMBERS} for v in (self, *self.state.values())]
        return {"facts": own, "variables": variables}

    @classmethod
    def _from_content(cls, content: dict[str, Any], ensemble: Ensemble) -> StationaryEnsemble:
        """The law again; ValueError, TypeError or KeyError where it is not whole."""
        theta, *further = (_checked(numbers) for numbers in content["variables"])
        facts = content["facts"]
        if list(facts) != list(_FACTS) or not isinstance(facts["key"], Key):
            raise ValueError(f"facts {list(facts)}")
        state = {numbers["name"]: StationaryVariable(**numbers) for numbers in further}
        return cls(**theta, **facts, ensemble=ensemble, state=state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything into one file, which :func:`optsde.load` reads: the law, ``ensemble`` and its recipe.

        Parameters
        ----------
        path : str or path
            As in :meth:`optsde.Ensemble.save`.

        Raises
        ------
        ValueError
            Where this was unpickled without the description of its dynamics.
        """
        from optsde.saving import save

        save(self, path)

    def to_xarray(self) -> xarray.Dataset:
        """The law as an ``xarray.Dataset``; what observers saw is in ``ensemble.to_xarray()``.

        Variables have the names of the fields: ``mean``, ``var`` and ``cov`` with ``_stderr``, ``_bias`` and
        ``_error``, ``rhat``, ``ess``, ``iact``, ``iact_steps``, ``square_iact``, ``samples (sample, parameter)`` and
        ``final (path, parameter)``; those of a further variable of the state begin with its name, as ``v_mean``. The
        coordinate ``sample_path`` says which path a draw is of. Attributes have status, reason, burn-in and the rest.

        Raises
        ------
        ImportError
            Where xarray is not installed: ``pip install optsde[xarray]``.
        """
        from optsde.stationary._export import to_xarray

        return to_xarray(self)

    def to_arviz(self) -> Any:
        """``samples`` as chains of ArviZ: a chain is a path, its draws are in the order of time.

        Draws are what ``samples`` keeps, at least ``iact`` apart: many short chains, of which ArviZ's own R-hat and ESS
        know less than :attr:`rhat` and :attr:`ess`, which come from the whole run. Chains of odd number started
        dispersed, where any did.

        Returns
        -------
        arviz.InferenceData, or xarray.DataTree with ArviZ 1 and later
            With the group ``posterior``.

        Raises
        ------
        ImportError
            Where ArviZ is not installed: ``pip install optsde[arviz]``.
        ValueError
            Where there are no draws.
        """
        from optsde.stationary._export import to_arviz

        return to_arviz(self)

    def _theory(self, coord: int) -> Pdf | None:
        """The known density of a coordinate, if there is one, and SciPy to work it out."""
        from optsde.theory import stationary_density
        from optsde.theory.density import ProductDensity

        recipe = self.ensemble._recipe
        if recipe is None or isinstance(recipe.dynamics, LostDynamics):
            return None
        try:
            law = stationary_density(recipe.dynamics)
            return law.marginal(coord) if isinstance(law, ProductDensity) else law
        except (ImportError, ValueError):
            return None

    def plot(
        self,
        ax: matplotlib.axes.Axes | None = None,
        *,
        coord: int = 0,
        bins: Any = None,
        pdf: Pdf | Mapping[str, Pdf] | None = None,
    ) -> matplotlib.axes.Axes:
        """The density of ``samples``, and theory over it; see :func:`optsde.plot.density`.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.
        coord : int
            Which coordinate.
        bins : int or sequence, optional
            As in ``numpy.histogram``; chosen from the data by default.
        pdf : callable or dict of callables, optional
            Densities of the coordinate, by name. By default that of :func:`optsde.theory.stationary_density`, where it
            knows one and SciPy is installed; ``{}`` for none.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Where matplotlib is not installed: ``pip install optsde[plot]``.
        ValueError
            Where there are no samples, or no such coordinate.
        """
        from optsde.plot import density

        place = integer("coord", coord, 0, len(self.mean) - 1)
        drawn = self._theory(place) if pdf is None else pdf
        return density(self.samples, drawn, coord=place, bins=bins, label=f"samples, {self.status}", ax=ax)


_NUMBERS = tuple(f.name for f in fields(StationaryVariable))
_FACTS = tuple(f.name for f in fields(StationaryEnsemble) if f.name not in (*_NUMBERS, "ensemble", "state"))


def _checked(numbers: dict[str, Any]) -> dict[str, Any]:
    """Fields of a variable from a file, with the shapes that they must have."""
    if list(numbers) != list(_NUMBERS):
        raise ValueError(f"a variable with fields {list(numbers)}")
    d = len(numbers["mean"])
    for name, value in numbers.items():
        if name == "name":
            continue
        shape = (d, d) if name.startswith("cov") else (d,)
        if name in ("samples", "final"):
            shape = (len(value), d)
        if value.shape != shape or value.dtype.kind != "f":
            raise ValueError(f"{name} of shape {value.shape} and dtype {value.dtype}, not {shape}")
    return numbers
