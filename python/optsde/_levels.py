"""The levels of a multilevel estimate: one function of the final state, on a step and on its double, on one path."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde import _core
from optsde._arrays import FloatArray
from optsde._clock import Clock, Schedule
from optsde._coupled import Meter, derived, noiseless
from optsde._grid import TimeGrid
from optsde._keys import Key
from optsde._recipe import Recipe
from optsde._test_functions import TestFunctions
from optsde._twin import Twin, linear_twins, linearised
from optsde.dynamics import Dynamics
from optsde.ensemble import Ensemble
from optsde.errors import DivergenceWarning
from optsde.initial import Points
from optsde.methods import methods
from optsde.observers import Final
from optsde.results import rows_of
from optsde.simulate import simulate

# Bytes of states that a piece may take, and its most paths.
_PIECE_BYTES = 32 << 20
_LARGEST_PIECE = 1 << 16
# A few paths with short steps, to see where paths go, whether the arguments fit, and whether any is left.
PROBE_PATHS = 64
_PROBE_STEPS = 16
# Platen's scheme evaluates the noise at two points for each Wiener process: beyond so many others are cheaper.
_MOST_FOR_PLATEN = 32
# Samples that a level begins with, for its variance.
_PILOT = 1024
_LARGEST_COVARIANCE = 1e100

Mask = NDArray[np.bool_]


def default_method(dynamics: Dynamics) -> str | None:
    """What ``method=None`` means here: exact steps where there are such, else weak order 2, else what is cheap.

    Weak order 2 makes for few levels; and where the noise commutes the methods that have it are of strong order 1,
    which makes for few samples on them.
    """
    if dynamics._discrete:
        return None
    kind = dynamics.noise_kind
    fixed = {"none": "rk4", "levy": "levy_euler"}
    if kind in fixed:
        return fixed[kind]
    if kind.startswith("additive"):
        exact = dynamics._linear and kind in methods()["ornstein_uhlenbeck"].noise_kinds
        return "ornstein_uhlenbeck" if exact else "heun"
    if kind == "diagonal" or _core.dynamics_n_wiener(dynamics._spec()) <= _MOST_FOR_PLATEN:
        return "platen"
    return "milstein" if kind == "commutative" else "euler_maruyama"


class Interruption(KeyboardInterrupt):
    """Ctrl-C ended a piece, which is dropped."""


@dataclass(frozen=True)
class Question:
    """What is asked: an expectation at t1, checked.

    Attributes
    ----------
    dt : float or None
        The longest step; None: the whole span.
    control_variate : {"auto", "gaussian_twin", None}
    """

    dynamics: Dynamics
    theta0: Any
    functions: TestFunctions
    t0: float
    t1: float
    dt: float | None
    method: str | None
    control_variate: str | None
    antithetic: bool
    threads: int | None


def _recipe_of(ensemble: Ensemble) -> Recipe:
    return ensemble._need_recipe("expect")


class Sampler:
    """Values of the function on paths by their index, on any grid, each with the noise that its key and index give."""

    def __init__(self, question: Question, key: Key, meter: Meter) -> None:
        self.question, self.key, self.meter = question, key, meter
        dynamics, span = question.dynamics, question.t1 - question.t0
        # Paths to a sample.
        self.unit = 2 if question.antithetic else 1
        self._probe(span)
        table = methods()
        self.method = self._recipe.method
        row = None if dynamics._discrete else table[self.method]
        self.exact = row is None or row.weak == np.inf
        # A method without an order here is Euler's for jumps.
        self.weak = float(1.0 if row is None or row.weak is None else row.weak)
        self.strong = float(0.5 if row is None or row.strong is None else row.strong)
        # Every path is the same.
        self.fixed = noiseless(dynamics) and isinstance(self._recipe.theta0, Points)
        self.path_steps = 0
        rows = self._recipe.rows * self._recipe.itemsize
        # A whole number of pairs; each piece has a key and indices of its own.
        self.piece = int(np.clip(_PIECE_BYTES // (4 * rows), 2, _LARGEST_PIECE)) // 2 * 2
        self._find_twin(span)

    def _simulated(self, dynamics: Dynamics, n_paths: int, options: dict[str, Any]) -> Ensemble:
        """A few paths with noise of their own, and the recipe of more."""
        question = self.question
        if question.antithetic:
            options = options | {"antithetic": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            warnings.filterwarnings("ignore", "a second moment was below its floor", UserWarning)
            # The step is refined here, whatever the method's order.
            warnings.filterwarnings("ignore", "method .* is of weak order", UserWarning)
            return simulate(
                dynamics,
                question.theta0,
                t0=question.t0,
                n_paths=n_paths,
                rng=derived(self.key, 1),
                threads=question.threads,
                observe=Final(),
                progress=False,
                **options,
            )

    def _probe(self, span: float) -> None:
        """A few paths to the end: what does not fit shows before the work, and where the paths go."""
        question, dynamics = self.question, self.question.dynamics
        if dynamics._discrete:
            assert dynamics.time_per_step is not None
            options: dict[str, Any] = {"steps": round(span / dynamics.time_per_step)}
        else:
            self.coarsest = 1 if question.dt is None else round(span / question.dt)
            exact = question.method == "ornstein_uhlenbeck"
            steps = self.coarsest if exact else max(_PROBE_STEPS, self.coarsest)
            options = {"t1": question.t1, "dt": span / steps, "method": question.method}
        ensemble = self._simulated(dynamics, PROBE_PATHS, options)
        self._recipe = _recipe_of(ensemble)
        if dynamics._discrete:
            self.coarsest = self._recipe.grid.n_steps
        final = np.asarray(ensemble.final)
        alive = final[np.isfinite(final).all(axis=1)]
        self._where = alive.mean(axis=0) if len(alive) else self._recipe.theta0._centre(dynamics.dim)
        state = {name: np.asarray(ensemble.state[name].final) for name in list(dynamics.state)[1:]}
        question.functions.values({"theta": final} | state)

    def _find_twin(self, span: float) -> None:
        """The equation of the control variates; ValueError with the reason where it was asked for and there is none."""
        self._twin: Callable[[int], Twin] | None = None
        self.twin_name = ""
        question, dynamics = self.question, self.question.dynamics
        if question.control_variate is None:
            return
        reason = "this algorithm is not plain SGD with a known linearisation"
        if not isinstance(self._recipe.theta0, Points):
            reason = "paths start at random, and it needs one point"
        elif self.fixed:
            reason = "there is no noise"
        elif dynamics._discrete:
            name = "the algorithm"
            steps = self.coarsest // dynamics._inner_steps
            schedule = Schedule.of(Clock.of({name: dynamics}), name, True, steps, None, None, 0)
            found = linear_twins({name: dynamics}, self._where[None], schedule)
            if found:
                self._twin, self.twin_name = (lambda _: found[0]), f"gaussian twin about {found[0].about}"
                self._twin_recipe = _recipe_of(self._simulated(found[0].dynamics, 2, {"steps": steps}))
                return
        elif self.exact:
            reason = "steps are exact already"
        else:
            linear = linearised(dynamics, self._where, (question.t0 + question.t1) / 2.0)
            if linear is not None:
                self._twin, self.twin_name = cache(lambda steps: linear.over(span, steps)), "gaussian twin"
                options = {"t1": question.t1, "dt": span, "method": "euler_maruyama"}
                self._twin_recipe = _recipe_of(self._simulated(linear.dynamics, 2, options))
                return
            reason = "it needs as many Wiener processes as parameters, no other variables, and finite coefficients"
        if question.control_variate == "gaussian_twin":
            raise ValueError(f"control_variate: no 'gaussian_twin' here, because {reason}; expected 'auto' or None")

    def has_twin(self, steps: int) -> bool:
        """Whether there are control variates for so many steps, of which coarse ones may overflow."""
        return self._twin is not None and bool(np.abs(self._twin(steps).cov).max() < _LARGEST_COVARIANCE)

    @property
    def pilot(self) -> int:
        """Samples that a level begins with."""
        return 2 if self.fixed else _PILOT

    def dt(self, steps: int) -> float:
        """The step."""
        return (self.question.t1 - self.question.t0) / steps

    def _run(self, recipe: Recipe, key: Key, steps: int, cells: int, first: int, last: int) -> dict[str, Any]:
        """Raw results of paths first to last, of one piece, in so many steps of so many cells of the Wiener path."""
        question = self.question
        grid = recipe.grid
        if not question.dynamics._discrete:
            grid = TimeGrid(question.t0, question.t1, self.dt(steps), steps, cells)
        piece, start = divmod(first, self.piece)
        run = replace(
            recipe,
            grid=grid,
            key=key if piece == 0 else derived(key, piece),
            n_paths=start + last - first,
            path_range=(start, start + last - first),
        )
        raw = run.run((lambda done: self.meter.report(done, 0)) if self.meter.active else None)
        if raw["interrupted"]:
            raise Interruption
        done = int(raw["path_steps"])
        self.path_steps += done
        self.meter.advance(done)
        raw["bad_paths"] = raw["bad_paths"] - start
        return raw

    def values(self, key: Key, steps: int, cells: int, first: int, last: int) -> tuple[FloatArray, Mask, Mask]:
        """Values (n,) of paths first to last, which paths became non-finite, and which values of finite ones are."""
        raw = self._run(self._recipe, key, steps, cells, first, last)
        final = raw["observers"][0]["values"]
        state = {name: rows_of(final, rows) for name, rows in self._recipe.variables.items()}
        values = self.question.functions.values(state)[0]
        diverged = np.zeros(len(values), dtype=bool)
        diverged[raw["bad_paths"]] = True
        return values, diverged, ~np.isfinite(values) & ~diverged

    def controls(self, key: Key, steps: int, first: int, last: int) -> FloatArray:
        """Control variates (c, n) of the same paths."""
        assert self._twin is not None
        raw = self._run(self._twin_recipe, key, steps, 1, first, last)
        twin = self._twin(steps)
        start = self._twin_recipe.theta0._centre(self.question.dynamics.dim)
        return twin.controls(start[None], raw["observers"][0]["values"][None])[:, 0]
