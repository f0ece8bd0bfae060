"""Time grids chosen by the error of a pilot run: short steps where paths are stiff, long ones where they are not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, frozen, integer, nonnegative_number, positive_number, real_number
from optsde._description import Description
from optsde._grid import TimeGrid, run_span, time_grid, whole
from optsde._keys import Key
from optsde._progress import Poll, Progress
from optsde.dynamics import Dynamics
from optsde.errors import Interrupted
from optsde.initial import Points
from optsde.methods import methods
from optsde.observers import Final, Paths

if TYPE_CHECKING:
    from optsde._recipe import Recipe

# The pilot's paths, and the tag that keeps their noise apart from that of the ensemble.
_PATHS = 1024
_TAG = 10
# By default steps are at most 1/8 of the run and at least 2^-20 of that.
_LONGEST, _RANGE = 3, 20
_LEVELS = 50
_MOST_STEPS = 100_000
# Methods that read the length of each step anew, and nothing beyond its end.
_METHODS = ("euler_maruyama", "milstein", "heun", "platen", "rk4")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Adaptive(Description):
    """Steps of different length, common to all paths, as ``dt`` of :func:`optsde.simulate`.

    A pilot of 1,024 paths, with noise of its own, goes through the run. Each time it takes one step of 2h and two of h
    on the same Wiener path; the error of a path is the root mean square over coordinates of ``(difference) / (atol +
    rtol |X|)``, and h is halved until the given quantile of the errors over paths is at most 1. The ensemble then runs
    on that grid. Its law is not biased by the choice, as its noise is independent of the pilot's.

    Parameters
    ----------
    rtol, atol : float
        Tolerated error of a step, relative to the state and absolute.
    quantile : float
        Of the error over the pilot's paths, in (0, 1].
    max_dt, min_dt : float, optional
        The longest step (an eighth of the run by default) and the shortest one (2^-20 of the longest).
    max_steps : int
        Most steps of the grid: a pilot that needs more ends with a ValueError. It bounds the pilot's cost, as steps are
        halved about as often as they are doubled: one step rejected, on average, for each one taken at most.

    Notes
    -----
    Steps are ``(t1 - t0) / 2^k``, each at a multiple of its length, so noise keeps its address on the grid of the
    shortest step, or of ``wiener_dt``: runs with that ``wiener_dt`` see the same Wiener path. The controller is that of
    step doubling (Hairer, Nørsett & Wanner 1993, section II.4; for equations with noise Gaines & Lyons 1997), with
    exponent 1/(q + 1/2) for strong order q.

    Examples
    --------
    >>> import optsde
    >>> steep = optsde.Langevin(optsde.losses.Quartic(0.25, 0.0, dim=1), temperature=1.0)
    >>> ens = optsde.simulate(steep, 20.0, n_paths=100, t1=4.0, dt=optsde.Adaptive(rtol=0.01, atol=0.01), rng=7)
    >>> ens.n_diverged, len(ens.grid) == ens.n_steps + 1, bool(ens.dt < 0.01 < max(ens.grid[1:] - ens.grid[:-1]))
    (0, True, True)
    """

    rtol: float
    atol: float
    quantile: float
    max_dt: float | None
    min_dt: float | None
    max_steps: int

    def __init__(
        self,
        rtol: float = 1e-3,
        atol: float = 1e-6,
        quantile: float = 0.99,
        max_dt: float | None = None,
        min_dt: float | None = None,
        max_steps: int = _MOST_STEPS,
    ) -> None:
        longest = None if max_dt is None else positive_number("max_dt", max_dt)
        shortest = None if min_dt is None else positive_number("min_dt", min_dt)
        if longest is not None and shortest is not None and shortest > longest:
            raise ValueError(f"min_dt: expected at most max_dt = {longest:g}, got {shortest:g}")
        share = real_number("quantile", quantile)
        if not 0.0 < share <= 1.0:
            raise ValueError(f"quantile: expected a number in (0, 1], got {share:g}")
        relative, absolute = nonnegative_number("rtol", rtol), nonnegative_number("atol", atol)
        if relative + absolute == 0.0:
            raise ValueError("rtol, atol: expected at least one of them above 0")
        most = integer("max_steps", max_steps, 2, 1 << _LEVELS)
        self._set(rtol=relative, atol=absolute, quantile=share, max_dt=longest, min_dt=shortest, max_steps=most)

    def _base(self, dynamics: Dynamics, steps: Any, t1: Any, t0: Any, substeps: Any) -> TimeGrid:
        """The grid of the longest steps."""
        if substeps is not None:
            raise ValueError("dt, substeps: expected at most one of them, got both")
        span = run_span(dynamics, steps, t1, nonnegative_number("t0", t0))
        level = _LONGEST if self.max_dt is None else max(math.ceil(math.log2(span / self.max_dt) - 1e-9), 1)
        if level > _LEVELS:
            raise ValueError(f"max_dt: {self.max_dt:g} makes more than 2^{_LEVELS} steps of t1 - t0 = {span:g}")
        return time_grid(dynamics, steps, t1, t0, math.ldexp(span, -level), None, None)

    def _check(self, recipe: Recipe) -> None:
        """ValueError where the steps of the method cannot differ, or the law of its noise has no finer path."""
        if recipe.method == "ornstein_uhlenbeck":
            raise ValueError("dt: the steps of ornstein_uhlenbeck are exact, whatever their length; give a number")
        if recipe.method not in _METHODS:
            able = ", ".join(map(repr, _METHODS))
            raise ValueError(f"dt: Adaptive goes with method {able} only, got method {recipe.method!r}")
        if recipe.increments in ("two_point", "three_point"):
            raise ValueError(f"increments: {recipe.increments!r} has no finer Wiener path, which Adaptive needs")

    def _check_observers(self, recipe: Recipe, last: int) -> None:
        """What observers and the memory refuse on the grid of most steps, and so on all."""
        base, most = recipe.grid, min(self.max_steps, 1 << last)
        uneven = TimeGrid(base.t0, base.t1, (base.t1 - base.t0) / most, most, 1, ((0, 0, 1),))
        replace(recipe, grid=uneven).check()

    def _grid(self, recipe: Recipe, wiener_dt: Any, progress: Any) -> TimeGrid:
        """The grid that the pilot of this run chooses; all that can be known to be wrong is so before it."""
        self._check(recipe)
        base = recipe.grid
        span, first = base.t1 - base.t0, round(math.log2(base.n_steps))
        if wiener_dt is not None:
            fine = positive_number("wiener_dt", wiener_dt)
            count = whole(span / fine)
            if count is None or count & (count - 1) or count < base.n_steps:
                raise ValueError(
                    f"wiener_dt: with Adaptive expected (t1 - t0)/2^k = {span:.12g}/2^k, at most the longest step, "
                    f"got {fine:.12g}"
                )
            last = count.bit_length() - 1
        elif self.min_dt is not None:
            last = max(math.floor(math.log2(span / self.min_dt) + 1e-9), first)
        else:
            last = first + _RANGE
        if last > _LEVELS:
            raise ValueError(f"min_dt: more than 2^{_LEVELS} steps of t1 - t0 = {span:g}")
        if base.n_steps > self.max_steps:
            raise ValueError(
                f"max_steps: the longest steps are {base.n_steps:,} already, got {self.max_steps:,}; "
                "raise max_steps or max_dt"
            )
        self._check_observers(recipe, last)
        # A function is told of path-steps of the ensemble, whose total the pilot has yet to find.
        shown = progress if progress is None or isinstance(progress, bool) else False
        bar = Progress(shown, 1 << last, "optsde pilot", "shortest step")
        finished = False
        try:
            levels = _Pilot(self, recipe, first, last).levels(bar.poll)
            finished = True
        except KeyboardInterrupt:
            text = "interrupted in the pilot that chooses the steps: no path was begun, so .partial is None"
            raise Interrupted(text) from None
        finally:
            bar.close(finished)
        cell_level = last if wiener_dt is not None else max(levels)
        mesh: list[tuple[int, int, int]] = []
        step = cell = 0
        for level in levels:
            cells = 1 << (cell_level - level)
            if not mesh or mesh[-1][2] != cells:
                mesh.append((step, cell, cells))
            step, cell = step + 2, cell + 2 * cells
        shortest = min(cells for _, _, cells in mesh)
        return TimeGrid(base.t0, base.t1, math.ldexp(span, -max(levels)), step, shortest, tuple(mesh))


class _Pilot:
    """The run that chooses steps: 2^-level of the whole, from ``first`` to at most ``last``."""

    def __init__(self, rule: Adaptive, recipe: Recipe, first: int, last: int) -> None:
        self.rule, self.first, self.last = rule, first, last
        self.t0, self.span = recipe.grid.t0, recipe.grid.t1 - recipe.grid.t0
        strong = methods()[recipe.method].strong
        self.exponent = 1.0 / ((0.5 if strong is None else strong) + 0.5)
        self.key, self.trials = int(recipe.key), 0
        given = tuple((name, _rows(points)) for name, points in recipe.given)
        start = _rows(recipe.theta0) if isinstance(recipe.theta0, Points) else recipe.theta0
        self.recipe = replace(
            recipe,
            theta0=start,
            given=given,
            n_paths=_PATHS,
            path_range=(0, _PATHS),
            antithetic=False,
            keep_diverged=True,
            observers=(Final(),),
            threads=1,
        )

    def levels(self, poll: Poll | None) -> list[int]:
        """The levels of the steps chosen, one for each two steps."""
        chosen: list[int] = []
        state, place, level, whole_run = self._start(), 0, self.first, 1 << self.last
        while place < whole_run:
            # Two steps begin at a multiple of their sum.
            while place % self._units(level):
                level += 1
            error, after = self._error(state, place, level)
            if error > 1.0 and level < self.last:
                level = min(level + max(math.ceil(-math.log2(self._factor(error))), 1), self.last)
                continue
            if not math.isfinite(error):
                time = self.t0 + self.span * place / whole_run
                raise ValueError(
                    f"dt: paths of the pilot become non-finite at t = {time:.6g} even with steps of "
                    f"{math.ldexp(self.span, -level):.3g}, the shortest allowed"
                )
            if 2 * len(chosen) + 2 > self.rule.max_steps:
                raise ValueError(
                    f"dt: the pilot needs more than max_steps = {self.rule.max_steps:,} steps: it is at t = "
                    f"{self.t0 + self.span * place / whole_run:.6g} of {self.t0 + self.span:.6g}, with steps of "
                    f"{math.ldexp(self.span, -level):.3g}; raise rtol, atol, min_dt or max_steps"
                )
            chosen.append(level)
            state, place = after, place + self._units(level)
            if poll is not None:
                poll(place)
            if self._factor(error) >= 2.0:
                level = max(level - 1, self.first)
        return chosen

    def _units(self, level: int) -> int:
        """The length of two steps, in the shortest ones allowed."""
        return 1 << (self.last - level + 1)

    def _factor(self, error: float) -> float:
        if error <= 0.0:
            return 5.0
        return min(max(0.9 * error**-self.exponent, 0.2), 5.0) if math.isfinite(error) else 0.2

    def _start(self) -> NDArray[Any]:
        h = math.ldexp(self.span, -self.last)
        recipe = replace(self.recipe, grid=TimeGrid(self.t0, self.t0 + h, h, 1, 1), observers=(Paths(at=2),))
        start: NDArray[Any] = _values(recipe)[0]
        return start

    def _error(self, state: NDArray[Any], place: int, level: int) -> tuple[float, NDArray[Any]]:
        """The quantile of the errors of two steps, and the states after them; inf where a path is not finite."""
        self.trials += 1
        h = math.ldexp(self.span, -level)
        t = self.t0 + self.span * (place / (1 << self.last))
        key = Key(int(np.random.SeedSequence([self.key, _TAG, self.trials]).generate_state(1, np.uint64)[0]))
        variables = self.recipe.variables
        parts = {name: frozen(np.ascontiguousarray(state[:, rows])) for name, rows in variables.items()}
        at = replace(
            self.recipe,
            key=key,
            theta0=Points(parts["theta"]),
            given=tuple((name, Points(part)) for name, part in parts.items() if name != "theta"),
        )
        once, twice = (
            _values(replace(at, grid=grid))
            for grid in (TimeGrid(t, t + 2.0 * h, 2.0 * h, 1, 2), TimeGrid(t, t + 2.0 * h, h, 2, 1))
        )
        with np.errstate(all="ignore"):
            scaled = (once - twice) / (self.rule.atol + self.rule.rtol * np.abs(twice))
            errors: FloatArray = np.sqrt(np.mean(np.square(scaled, dtype=np.float64), axis=1))
        errors = np.where(np.isfinite(errors), errors, np.inf)
        return float(np.quantile(errors, self.rule.quantile, method="higher")), twice


def _values(recipe: Recipe) -> NDArray[Any]:
    """What the one observer of a run has seen."""
    raw = recipe.run(None)
    if raw["interrupted"]:
        raise KeyboardInterrupt
    values: NDArray[Any] = raw["observers"][0]["values"]
    return values


def _rows(points: Points) -> Points:
    """Starts of the pilot's paths: rows in equal distances where each path has its own."""
    rows = points.points
    if len(rows) == 1:
        return points
    return Points(frozen(np.ascontiguousarray(rows[np.linspace(0, len(rows) - 1, _PATHS).round().astype(np.int64)])))
