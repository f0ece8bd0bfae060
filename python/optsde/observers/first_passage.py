"""When and where each path first enters a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, flag
from optsde._grid import TimeGrid
from optsde.observers._base import IntArray, Observer, checked_name, pair_factor
from optsde.observers._functions import OfState, Truth
from optsde.regions import Above, Below, Region
from optsde.results import Result, rows_of

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, eq=False)
class FirstPassageResult(Result):
    """First passages of the paths; ``t`` and ``step`` are those of the start and the end of the watch.

    Attributes
    ----------
    times : ndarray, shape (n,)
        Times of the passages; inf where a path did not arrive before the end, NaN where it diverged.
    places : ndarray, shape (n, d)
        States there; NaN where there is none.
    n_censored : int
        Paths that did not arrive before the end.
    mean, stderr : float
        Mean of the times of those that arrived, and its standard error: conditional on arrival, so too low where paths
        are censored.
    rate, rate_stderr : float
        Arrivals per time at risk, that is the times from the start to arrival or the end added up: the maximum-
        likelihood rate of a constant hazard, censored paths counted rightly, and its standard error ``rate /
        sqrt(arrivals)``.
    """

    times: FloatArray
    places: NDArray[Any]
    n_censored: int
    mean: float
    stderr: float
    rate: float
    rate_stderr: float


def _passage_result(t: FloatArray, step: IntArray, times: FloatArray, places: NDArray[Any]) -> FirstPassageResult:
    known = times[~np.isnan(times)]
    arrived = known[np.isfinite(known)]
    count, at_risk = len(arrived), float((np.minimum(known, t[1]) - t[0]).sum())
    rate = count / at_risk if at_risk > 0.0 else np.nan
    return FirstPassageResult(
        t=t,
        step=step,
        times=times,
        places=places,
        n_censored=len(known) - count,
        mean=float(arrived.mean()) if count else np.nan,
        stderr=float(arrived.std(ddof=1) / np.sqrt(count)) if count > 1 else np.nan,
        rate=rate,
        rate_stderr=rate / float(np.sqrt(count)) if count else np.nan,
    )


def _checked_region(region: Any) -> Region | Callable[..., Any]:
    if isinstance(region, type) or not callable(region):
        got = f"the class {region.__name__}" if isinstance(region, type) else type(region).__name__
        raise TypeError(f"region: expected a region from optsde.regions or a function of θ (n, d), got {got}")
    return region  # type: ignore[no-any-return]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class FirstPassage(Observer):
    """Times and places of each path's first entry into a region: ``ens[name]``.

    It looks at every step, the start among them: a path that starts in the region arrives at t0. Where a run has no
    other observers than first passages, a path is followed until it has arrived in all regions, and a block of paths
    ends with its last; what would become of them later is not seen, divergence included.

    Parameters
    ----------
    region : Region or callable
        A region from ``optsde.regions``, or a function of θ (n, d), read-only, that gives bool (n,). The function is
        called at every step, on the calling thread.
    bridge : bool, optional
        Whether passages between two steps are seen, of :class:`~optsde.regions.Above` and
        :class:`~optsde.regions.Below`; by default where the dynamics is a diffusion with Gaussian increments. Without
        it a path arrives at the first step that finds it in the region: late, by a time of the order of sqrt(dt).
    state : bool
        Whether the function takes a dict of all variables, each (n, d), instead of θ.
    name : str, optional

    Notes
    -----
    Between two steps at distances a and b on one side of the level, the path has touched it with probability
    ``exp(-2ab/(σ²h))``, σ² being the variance of the coordinate's noise at the start of the step: that of a Brownian
    bridge. The time of the touch is drawn from the bridge's law (an inverse Gaussian law of s/(1-s) for the part s of
    the step), for steps that end beyond the level too; the place has the level in its coordinate and lies on a straight
    line between the two steps in the others. Exact for Brownian motion with drift at any step (A. N. Borodin, P.
    Salminen, Handbook of Brownian Motion, 2002; E. Gobet, Stoch. Proc. Appl. 87, 167, 2000). Each observer draws from
    the bridge by itself: the times of two levels are right one by one, not together, so within a step a path may reach
    the farther level first.

    Examples
    --------
    >>> import optsde
    >>> langevin = optsde.Langevin(optsde.losses.DoubleWell(), 0.2)
    >>> escape = optsde.FirstPassage(optsde.regions.Above(0.0))
    >>> ens = optsde.simulate(langevin, -1.0, n_paths=256, t1=5.0, dt=0.05, rng=1, observe=escape)
    >>> ens["first_passage"].times.shape, ens["first_passage"].places.shape
    ((256,), (256, 1))
    """

    region: Region | Callable[..., Any]
    bridge: bool | None
    state: bool
    name: str
    _default_name: ClassVar[str] = "first_passage"
    _sees_state: ClassVar[bool] = True

    def __init__(
        self,
        region: Region | Callable[..., Any],
        *,
        bridge: bool | None = None,
        state: bool = False,
        name: str | None = None,
    ) -> None:
        wanted = None if bridge is None else flag("bridge", bridge)
        if wanted and not isinstance(region, (Above, Below)):
            raise ValueError("bridge: goes with the regions Above and Below; expected None or False")
        if flag("state", state) and isinstance(region, Region):
            raise ValueError("state: goes with a function; a region is one of θ")
        self._set(
            region=_checked_region(region),
            bridge=wanted,
            state=bool(state),
            name=checked_name(name, self._default_name),
        )

    def _steps(self, grid: TimeGrid) -> IntArray:
        return np.array([0, grid.n_steps], dtype=np.int64)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return recipe.paths_run * (8 + recipe.rows * recipe.itemsize)

    def _bridged(self, recipe: Recipe) -> bool:
        """Whether passages between steps are to be seen; ValueError where they cannot."""
        dynamics = recipe.dynamics
        if dynamics._discrete:
            reason = "an algorithm has nothing between its steps"
        elif dynamics.noise_kind in ("none", "levy"):
            reason = f"noise of kind {dynamics.noise_kind!r} makes no Brownian bridge"
        elif not recipe.increments.startswith("gaussian"):
            reason = f"increments {recipe.increments!r} make no Brownian bridge"
        else:
            return isinstance(self.region, (Above, Below)) and self.bridge is not False
        if self.bridge:
            raise ValueError(f"bridge: {reason}; expected None or False")
        return False

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        recipe.grid.need_equal_steps("FirstPassage")
        plan = {"kind": "first_passage", "bridge": self._bridged(recipe)}
        if isinstance(self.region, Region):
            return plan | self.region._spec(recipe.dim)
        function = OfState(self.region, recipe.variables) if self.state else self.region
        return plan | {"region": "where", "function": Truth(function, "region"), "state": self.state}

    def _settle(self, raw: dict[str, Any], recipe: Recipe) -> None:
        grid = recipe.grid
        raw["times"] = grid.times(raw.pop("passages") / recipe._cells_per_plan_step)

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> FirstPassageResult:
        result = _passage_result(t, step, raw["times"], rows_of(raw["places"], rows))
        factor = pair_factor(raw)
        return replace(result, stderr=factor * result.stderr, rate_stderr=factor * result.rate_stderr)
