"""Stationary autocovariance over time and paths, and the integrated autocorrelation time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, frozen, integer, nonnegative_number, real_array
from optsde._grid import TimeGrid, first_step
from optsde._lags import AutocovarianceResult, lag_plan, lag_result
from optsde.observers._base import IntArray, Observer, checked_name

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Autocovariance(Observer):
    """Stationary autocovariance of each parameter, averaged over time and paths.

    ``Cov(x(t), x(t + lag))`` over all t from ``average_from`` to the end less the lag and over all paths, about the
    means over time and paths, so that it has no bias from a mean of each path. Standard errors come from the paths (or
    antithetic pairs) as the independent units: take tens of paths at least. Memory does not grow with the number of
    steps; a worker holds the last ``max(lags)`` steps of a block of paths.

    Parameters
    ----------
    lags : int or (L,) array_like
        K: lags of 0 to K steps of dt. An array of int: ascending numbers of steps. An array of float: ascending times,
        moved to the nearest step.
    average_from : float, optional
        The time from which on samples count, t0 by default.
    name : str, optional

    Raises
    ------
    ValueError
        For lags that do not ascend or are negative; at the start of a run, where one is longer than what is averaged.

    Examples
    --------
    >>> import optsde
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    >>> observer = optsde.Autocovariance(80, average_from=10.0)
    >>> result = optsde.simulate(ou, 0.0, n_paths=64, t1=100.0, dt=0.1, observe=observer, rng=7)["autocovariance"]
    >>> result.autocovariance.shape, bool(abs(result.autocovariance[0, 0] - 0.5) < 0.1)
    ((81, 1), True)

    Notes
    -----
    With paths p, lag l, N samples and the means h of the first and g of the last N - l samples of each path, it is
    ``mean_p[(1/(N-l)) Σ_t (x_t - h_p)(x_{t+l} - g_p)] + Cov_p(h, g)``, the covariance over paths with n - 1.
    """

    lags: int | IntArray | FloatArray
    average_from: float | None
    name: str
    _default_name: ClassVar[str] = "autocovariance"

    def __init__(self, lags: int | ArrayLike, average_from: float | None = None, *, name: str | None = None) -> None:
        start = None if average_from is None else nonnegative_number("average_from", average_from)
        self._set(lags=_checked_lags(lags), average_from=start, name=checked_name(name, self._default_name))

    def _lag_steps(self, grid: TimeGrid) -> IntArray:
        if isinstance(self.lags, int):
            return np.arange(self.lags + 1, dtype=np.int64)
        if self.lags.dtype.kind == "i":
            return self.lags.astype(np.int64)
        lengths = self.lags / (grid.t1 - grid.t0) * grid.n_steps
        if lengths[-1] > grid.n_steps + 0.5:
            raise ValueError(f"lags: expected at most t1 - t0 = {grid.t1 - grid.t0:.12g}, got {self.lags[-1]:.12g}")
        steps = np.rint(lengths).astype(np.int64)
        if (np.diff(steps) == 0).any():
            raise ValueError(f"lags: two of the times fall on the same number of steps of dt = {grid.dt:g}")
        return steps

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        # Of a number the lags are not listed yet: the list may be what cannot be had.
        if isinstance(self.lags, int):
            last, count = self.lags, self.lags + 1
        else:
            last, count = int(self._lag_steps(recipe.grid)[-1]), len(self.lags)
        with_zero = count + 1
        ring = (last + 1 + 6 * with_zero) * 64 * recipe.groups_in_hand
        return 8 * recipe.dim * (ring + copies * 20 * with_zero)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        grid, fine = recipe.grid, recipe._cells_per_plan_step
        grid.need_equal_steps("Autocovariance")
        first, lags = first_step("average_from", self.average_from, grid), self._lag_steps(grid)
        if lags[-1] > grid.n_steps - first:
            raise ValueError(
                f"lags: expected at most {grid.n_steps - first} steps, all there are from average_from on, "
                f"got {lags[-1]}"
            )
        return {
            "kind": "autocovariance",
            "first": first * fine,
            "stride": fine,
            **lag_plan(lags, recipe.centre[: recipe.dim], recipe.antithetic),
        }

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> AutocovarianceResult:
        grid: TimeGrid = raw["grid"]
        return lag_result(t, step, raw["stats"], self._lag_steps(grid), (grid.t1 - grid.t0) / grid.n_steps)


def _checked_lags(lags: Any) -> int | IntArray | FloatArray:
    if isinstance(lags, (int, np.integer, bool)):
        return integer("lags", lags, 0, 1 << 31)
    given = np.asarray(lags)
    whole = given.dtype.kind in "iu"
    times = real_array("lags", lags)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"lags: expected an integer or a 1-D array of steps or times, got shape {times.shape}")
    if times[0] < 0.0 or (np.diff(times) <= 0.0).any():
        raise ValueError("lags: expected ascending lags of at least 0")
    return frozen(given.astype(np.int64)) if whole else times
