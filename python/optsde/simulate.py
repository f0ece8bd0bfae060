"""Simulation of an ensemble: every argument is checked here, before any work starts."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde import _core
from optsde._arrays import integer
from optsde._grid import TimeGrid, time_grid
from optsde._keys import Key, key_from
from optsde._progress import Progress
from optsde._recipe import Recipe
from optsde._stream import run
from optsde._wiener import check_declared_kind
from optsde.adaptive import Adaptive
from optsde.dynamics import Dynamics
from optsde.ensemble import Ensemble
from optsde.errors import DivergenceError, DivergenceWarning, Interrupted
from optsde.initial import Initial, Points, initial_state
from optsde.methods import methods
from optsde.observers import Observer
from optsde.observers._list import observer_list
from optsde.underdamped_langevin import UnderdampedLangevin

_INCREMENTS = ("gaussian", "gaussian_f32", "two_point", "three_point")
# Laws for expectations only, and the methods whose weak order they keep.
_DISCRETE = {
    "two_point": ("euler_maruyama", "tamed_euler", "stratonovich_heun"),
    "three_point": ("euler_maruyama", "tamed_euler", "stratonovich_heun", "heun", "platen", "dri1", "sra1", "sra3"),
}
_ON_DIVERGENCE = ("warn", "raise", "keep")
_MOST_PATHS = (1 << 63) - 1
MOST_THREADS = 1024
# Platen's scheme evaluates the noise at two points for each Wiener process: beyond so many it is no default.
_MOST_FOR_PLATEN = 32
# How warnings begin that a comparison keeps to itself.
MANY_WIENER = "default method euler_maruyama"
LAGGED = "ordering 'lagged'"
# A floor touched more often than this is no longer an exception.
_RARE_TOUCHES = 1e-3
# Splittings that kick apart from the friction, and the factor on the speed of relaxation that is worth a word.
_KICKING, _MUCH_TOO_FAST = ("baoab", "obabo"), 2.0


def _one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        if dtype is None:  # which NumPy reads as float64
            raise TypeError
        given: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype: expected 'float64' or 'float32', got {dtype!r}") from None
    if given not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ValueError(f"dtype: expected 'float64' or 'float32', got {dtype!r}")
    return given


def _default_method(dynamics: Dynamics, kind: str) -> tuple[str, str]:
    """Of weak order 2 for a model of order 2, else Euler-Maruyama; and why."""
    if kind == "none":
        return "rk4", "default: no noise"
    if kind == "levy":
        return "levy_euler", "default: noise of a Lévy process"
    if dynamics._weak_order < 2:
        return "euler_maruyama", "default: the model's weak order is 1"
    if dynamics._splits:
        return "baoab", "default: underdamped Langevin dynamics"
    if kind.startswith("additive"):
        return "heun", "default: the model's weak order is 2, its noise does not depend on the state"
    count = 0 if kind.startswith("diagonal") else _core.dynamics_n_wiener(dynamics._spec())
    if count <= _MOST_FOR_PLATEN:
        return "platen", f"default: the model's weak order is 2, its noise is {kind}"
    text = (
        f"{MANY_WIENER} is of weak order 1, its model of order 2: platen, of order 2, takes of the order of m² numbers "
        f"a step for m Wiener processes, and here m = {count:,}. Take a small dt (compare extrapolates by itself), or "
        "name a method"
    )
    warnings.warn(text, UserWarning, stacklevel=4)
    return "euler_maruyama", f"default: {count:,} Wiener processes are too many for platen"


def _chosen_method(dynamics: Dynamics, method: Any) -> tuple[str, str]:
    """The method asked for, or the default one, where it fits the dynamics; and why."""
    if dynamics._discrete:
        if method is not None:
            raise ValueError(f"method: a discrete optimizer is its own method; expected None, got {method!r}")
        return "algorithm", "a discrete optimizer is its own method"
    kind = dynamics.noise_kind
    table = methods()
    if method is None:
        return _default_method(dynamics, kind)
    name = _one_of("method", method, list(table))
    _core.check_method(name, dynamics._spec())
    weak = table[name].weak
    if weak is not None and weak < dynamics._weak_order:
        model = f"its model of order {dynamics._weak_order}"
        text = f"method {name} is of weak order {weak:g}, {model}: the method's error leads"
        warnings.warn(text, UserWarning, stacklevel=3)
    return name, "asked for"


def _checked_increments(increments: Any, dynamics: Dynamics, method: str, grid: TimeGrid) -> str:
    name = _one_of("increments", increments, _INCREMENTS)
    if name != "gaussian" and not dynamics._reads_wiener:
        raise ValueError(f"increments: {name!r} is a law of Wiener increments, and this noise is not made of them")
    able = _DISCRETE.get(name)
    if able is not None:
        if method not in able:
            one_of = f"method {', '.join(map(repr, able))} only"
            raise ValueError(f"increments: {name!r} goes with {one_of}, got method {method!r}")
        if grid.cells > 1:
            raise ValueError(f"increments: {name!r} has no finer Wiener path; leave wiener_dt out")
    return name


def _checked_pairs(antithetic: Any, dynamics: Dynamics, n_paths: int) -> bool:
    if not isinstance(antithetic, (bool, np.bool_)):
        raise TypeError(f"antithetic: expected True or False, got {antithetic!r}")
    if not antithetic:
        return False
    if not dynamics._reads_wiener or dynamics.noise_kind in ("none", "levy"):
        raise ValueError("antithetic: pairs see a Wiener path and its negative, and this noise is not made of one")
    if n_paths % 2:
        raise ValueError(f"n_paths: antithetic paths come in pairs; expected an even number, got {n_paths}")
    return True


def _checked_range(path_range: Any, n_paths: int) -> tuple[int, int]:
    if path_range is None:
        return 0, n_paths
    # range(2, 4) and {2, 4} unpack to two numbers as well, and mean something else.
    if not isinstance(path_range, (tuple, list, np.ndarray)) or np.shape(path_range) != (2,):
        raise TypeError(f"path_range: expected a pair (a, b) of path indices, got {path_range!r}")
    first, last = path_range
    pair = integer("path_range", first, 0, n_paths - 1), integer("path_range", last, 1, n_paths)
    if pair[0] >= pair[1]:
        raise ValueError(f"path_range: expected (a, b) with a < b, got {pair}")
    return pair


def _checked_threads(threads: Any) -> int:
    if threads is None:
        default = _core.default_threads()
        asked = "OPTSDE_NUM_THREADS" in os.environ
        return integer("OPTSDE_NUM_THREADS", default, 1, MOST_THREADS) if asked else min(default, MOST_THREADS)
    return integer("threads", threads, 1, MOST_THREADS)


def _check_declaration(dynamics: Dynamics, theta0: Initial, t0: float) -> None:
    declared = dynamics._declared_kind
    if declared is not None:
        name, kind, spec = declared
        check_declared_kind(name, kind, spec, theta0._centre(dynamics.dim), t0)


def _check_friction(dynamics: Dynamics, method: str, dt: float) -> None:
    """Warns where kicks outrun the friction: under a constant force f both splittings drift at z coth z times f/γ."""
    if method not in _KICKING or not isinstance(dynamics, UnderdampedLangevin):
        return
    strength = float(np.max(dynamics.friction / dynamics.mass)) * dt
    z = strength / 2.0
    factor = z / math.tanh(z) if z > 0.0 else 1.0
    if factor > _MUCH_TOO_FAST:
        text = (
            f"method {method}: friction dt/mass = {strength:.3g} is not small, and transients of positions are "
            f"{factor:.3g} times too fast, while the stationary law holds; take dt below {dt / strength:.3g}, or "
            "method 'ubu', which has no such error, or Langevin, the limit of large friction"
        )
        warnings.warn(text, UserWarning, stacklevel=3)


def lagged_note(dynamics: Dynamics) -> str | None:
    """What a user must know of an algorithm that divides by the old second moment, where that starts at 0."""
    largest = dynamics._largest_first_step
    if largest <= 1.0:
        return None
    return (
        f"{LAGGED}: where v starts at 0 nothing but eps divides the first gradient, and the step is up to "
        f"{largest:.3g} times it; start v above 0, theta0={{'theta': ..., 'v': ...}}"
    )


def _check_second_moment(dynamics: Dynamics, given: Mapping[str, Points]) -> None:
    note = lagged_note(dynamics)
    if note is not None and ("v" not in given or given["v"].points.min() == 0.0):
        warnings.warn(note, UserWarning, stacklevel=3)


def simulate(
    dynamics: Dynamics,
    theta0: ArrayLike | Initial | Mapping[str, ArrayLike | Initial],
    *,
    n_paths: int | None = None,
    steps: int | None = None,
    t1: float | None = None,
    t0: float = 0.0,
    dt: float | Adaptive | None = None,
    substeps: int | None = None,
    method: str | None = None,
    wiener_dt: float | None = None,
    observe: Sequence[Observer] | Observer | None = None,
    increments: str = "gaussian",
    antithetic: bool = False,
    rng: int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | Key | None = None,
    dtype: Any = "float64",
    threads: int | None = None,
    path_range: tuple[int, int] | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
    on_divergence: str = "warn",
) -> Ensemble:
    """Simulates an ensemble of paths.

    Parameters
    ----------
    dynamics : Dynamics
        What ``SGD(...).sde(problem)``, ``OrnsteinUhlenbeck(...)`` and the like return.
    theta0 : float (d = 1), (d,), (n, d) array_like or a law from ``optsde.initial``
        Initial state at t0; row i of (n, d) starts path i. Where there are further variables, a dict of them by
        the names of ``dynamics.state``; those left out start at 0 (second moments that must be positive: at
        ``grad² + diag Σ/B``).
    n_paths : int, optional
        n where theta0 is (n, d), else 1 by default.
    steps, t1 : int, float
        Exactly one of them: optimizer steps, or the time of the end.
    t0 : float
        Time of the start, >= 0. Noise is addressed by absolute step, so a run that is split at a step goes on bit
        for bit.
    dt, substeps : float or Adaptive, int
        At most one of them: the time step, which must divide t1 - t0, or the rule that chooses steps of different
        length (:class:`optsde.Adaptive`), or steps per optimizer step; 8 substeps by default.
    method : str, optional
        See :func:`optsde.methods`; by default ``rk4`` without noise, ``levy_euler`` for stable noise, ``baoab`` for
        ``UnderdampedLangevin``, ``heun`` or ``platen`` for models of order 2 (with a warning not for more than 32
        Wiener processes, as of minibatches), else ``euler_maruyama``.
    wiener_dt : float, optional
        The grid on which the Wiener path is drawn: dt or an integer fraction of it. Runs with one wiener_dt and
        different dt
        see the same path.
    observe : list of observers, optional
        ``[Moments(), Final()]`` by default.
    increments : {"gaussian", "gaussian_f32", "two_point", "three_point"}
        ``"gaussian_f32"``: normals of single precision, tails to 6.66 sigma; ``"two_point"`` (weak order 1) and
        ``"three_point"`` (weak order 2): for expectations only.
    antithetic : bool
        Whether paths 2i and 2i + 1 see one Wiener path and its negative (that of path i of a run without pairs) from
        one random start; n_paths must be even. Standard errors are those of pairs; where one path of a pair has
        diverged, moments and means leave the pair out.
    rng : int, SeedSequence, BitGenerator, Generator or the key of another run, optional
        An int is a seed.
    dtype : {"float64", "float32"}
        Of the states; statistics are float64 always.
    threads : int, optional
        By default ``OPTSDE_NUM_THREADS``, else what CPU affinity and quota allow. It does not change the bits.
    path_range : (int, int), optional
        Only these of the n_paths; :func:`optsde.merge` puts shards together.
    progress : bool or callable, optional
        None: a bar on a terminal or in a notebook for long work; or ``f(done, total)``, in path-steps.
    on_divergence : {"warn", "raise", "keep"}
        Non-finite paths are left out of all statistics, with a warning or an error after the run; ``"keep"`` leaves
        them in.

    Returns
    -------
    Ensemble

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type, shape or value, naming it, before any work starts.
    MemoryError
        Where the results cannot be had, with the bytes they need, before any work starts.
    DivergenceError
        With ``on_divergence="raise"``, after the run; ``.partial`` has the ensemble.
    Interrupted
        On Ctrl-C, a KeyboardInterrupt; ``.partial`` has the finished paths (None in the pilot of ``Adaptive``).

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    >>> ens = optsde.simulate(optsde.SGD(lr=0.1).sde(problem), [1.0, 1.0], n_paths=1000, steps=50, rng=7)
    >>> ens.mean.shape, ens.final.shape
    ((1, 2), (1000, 2))
    """
    if not isinstance(dynamics, Dynamics):
        hint = "; an optimizer gives one by .sde(problem), .discrete(problem) or .flow(problem)"
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}{hint}")
    number = _checked_dtype(dtype)
    if number == np.float32 and dynamics._uses_compiled:
        raise ValueError("dtype: compiled functions compute in double, so 'float32' does not go with them")
    paths = None if n_paths is None else integer("n_paths", n_paths, 1, _MOST_PATHS)
    start, given, count = initial_state(theta0, dynamics, paths, number)
    rule = dt if isinstance(dt, Adaptive) and not dynamics._discrete else None
    if rule is None:
        grid = time_grid(dynamics, steps, t1, t0, dt, substeps, wiener_dt)
    else:
        grid = rule._base(dynamics, steps, t1, t0, substeps)
    name, reason = _chosen_method(dynamics, method)
    # A bad progress argument must show before the run.
    span = _checked_range(path_range, count)
    bar = Progress(progress, (span[1] - span[0]) * grid.n_steps)
    recipe = Recipe(
        dynamics=dynamics,
        theta0=start,
        given=given,
        n_paths=count,
        path_range=span,
        grid=grid,
        method=name,
        increments=_checked_increments(increments, dynamics, name, grid),
        antithetic=_checked_pairs(antithetic, dynamics, count),
        dtype=number.name,
        keep_diverged=_one_of("on_divergence", on_divergence, _ON_DIVERGENCE) == "keep",
        observers=observer_list(observe),
        threads=_checked_threads(threads),
        version=_core.__version__,
        method_reason=reason,
        key=key_from(rng),
    )
    _check_declaration(dynamics, start, grid.t0)
    if rule is not None:
        recipe = replace(recipe, grid=rule._grid(recipe, wiener_dt, progress))
        bar = Progress(progress, (span[1] - span[0]) * recipe.grid.n_steps)
    recipe.check()
    _check_friction(dynamics, name, recipe.grid.dt)
    _check_second_moment(dynamics, dict(given))
    return _run(recipe, bar, on_divergence)


def floor_note(touches: int, path_steps: int) -> str | None:
    """What a user must know where second moments were often below their floor."""
    share = touches / max(path_steps, 1)
    if share <= _RARE_TOUCHES:
        return None
    return (
        f"a second moment was below its floor after {share:.2g} of all path-steps: its noise is too large beside "
        "its mean for an expansion of order 2 to hold; smaller (1 - beta), or order 1"
    )


def _run(recipe: Recipe, bar: Progress, on_divergence: str) -> Ensemble:
    """Runs a checked recipe and says what went wrong on the way."""
    finished = False
    try:
        ensemble = Ensemble(recipe, run(recipe, bar.poll))
        finished = not ensemble._interrupted
    finally:
        bar.close(finished)
    if ensemble._interrupted:
        done = f"{ensemble.n_finished:,} of {recipe.paths_run:,} paths were finished"
        raise Interrupted(f"interrupted; {done}: see .partial", ensemble)
    note = floor_note(ensemble.floor_touches, int(ensemble._raw["path_steps"]))
    if note is not None:
        warnings.warn(note, UserWarning, stacklevel=3)
    if ensemble.n_diverged and on_divergence != "keep":
        path, step = ensemble.first_divergence or (0, 0)
        text = (
            f"{ensemble.n_diverged:,} of {recipe.paths_run:,} paths became non-finite "
            f"(first: path {path} at step {step}); statistics are over the others, conditional on survival"
        )
        if on_divergence == "raise":
            raise DivergenceError(text, ensemble)
        warnings.warn(text, DivergenceWarning, stacklevel=3)
    return ensemble
