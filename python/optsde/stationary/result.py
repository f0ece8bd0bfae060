"""The result of a search for the stationary law: the numbers, their errors, and the evidence."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray
from optsde._keys import Key
from optsde._reports import axes, with_error
from optsde.ensemble import Ensemble
from optsde.results import Result

if TYPE_CHECKING:
    import matplotlib.axes


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
    All else that an :class:`optsde.Ensemble` has (``t``, ``histogram``, ``expectations``, ``replay``, …) is that of
    ``ensemble``.

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
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._ledger()
        )
        return f"<table><caption>StationaryEnsemble of {html.escape(self.title)}</caption>{rows}</table>"

    def plot(self, ax: Any = None, *, coord: int = 0, bins: int = 60) -> matplotlib.axes.Axes:
        """A histogram of ``samples``, as a density.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        coord : int
            The coordinate.
        bins : int

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            Where matplotlib is missing.
        """
        place = axes(ax)
        place.hist(self.samples[:, coord], bins=bins, density=True, histtype="stepfilled", alpha=0.5, label=self.status)
        place.set_xlabel(f"theta[{coord}]")
        place.set_ylabel("density")
        place.legend()
        return place  # type: ignore[no-any-return]
