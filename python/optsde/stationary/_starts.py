"""Where paths start: half of them as asked, half elsewhere, so that what they forget can be seen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde import losses, noise
from optsde._arrays import FloatArray
from optsde._coupled import derived
from optsde._keys import Key
from optsde.dynamics import Dynamics
from optsde.errors import DivergenceWarning
from optsde.initial import Initial, initial_state
from optsde.observers import Final, Paths
from optsde.optimizers._base import Model
from optsde.problem import Problem
from optsde.simulate import simulate
from optsde.stationary._scheme import Scheme, begin

Rows = dict[str, FloatArray]

# How many times as large the noise's variance is in a heated run; the next where the one before is too wild.
HEAT = (16.0, 4.0, 1.5)
_HEATED_STEPS = 4096
# Scattered starts, where a dynamics cannot be heated: the pilot's standard deviations times the root of the heat.
_PILOT_STEPS = 1024
# Losses that are convex, or whose list of minima is complete.
_LISTED = (
    losses.Quadratic,
    losses.LinearRegression,
    losses.LogisticRegression,
    losses.SoftmaxRegression,
    losses.DoubleWell,
    losses.Quartic,
    losses.StyblinskiTang,
    losses.MuellerBrown,
)


@dataclass(frozen=True)
class Starts:
    """Rows (n, d) by variable, even paths as asked, odd ones dispersed; a sentence each on how, and on what it shows.

    ``heated`` says whether a milder dispersal could be tried.
    """

    rows: Rows
    how: str
    shows: str
    heated: bool


def known_minima(loss: losses.Loss | None) -> FloatArray | None:
    """The minima that a loss knows, (k, d)."""
    try:
        found = getattr(loss, "minima", None)
    except ValueError:  # too many to list
        return None
    return None if found is None else np.asarray(found, dtype=np.float64)


def default_start(dynamics: Dynamics) -> FloatArray:
    """The first known minimum, the mean of an Ornstein-Uhlenbeck process, else the origin."""
    minima = known_minima(dynamics._loss)
    if minima is not None:
        return np.array(minima[0])
    mean = getattr(dynamics, "mean", None)
    return np.array(mean) if isinstance(mean, np.ndarray) else np.zeros(dynamics.dim)


def asked(dynamics: Dynamics, theta0: Any, n_paths: int, key: Key) -> Rows:
    """The rows (n, d) of the variables that the user gives, drawn where a law is given."""
    parts = dict(theta0) if isinstance(theta0, Mapping) else {"theta": theta0}
    start, given, _ = initial_state(theta0, dynamics, None, np.dtype(np.float64))
    rows = {}
    if isinstance(parts["theta"], Initial):
        # The one step that is made for the sake of the draw is not looked at.
        free = {name: value for name, value in parts.items() if np.ndim(value) < 2}
        rows["theta"] = _law(dynamics, free if len(free) > 1 else free["theta"], n_paths, key)
    else:
        rows["theta"] = np.resize(start._spec(dynamics.dim)["points"], (n_paths, dynamics.dim))
    for name, points in given:
        rows[name] = np.resize(points.points, (n_paths, dynamics.dim))
    return rows


def _law(dynamics: Dynamics, theta0: Any, n_paths: int, key: Key) -> FloatArray:
    span: dict[str, Any] = {"steps": 1}
    if not dynamics._discrete:
        dt = dynamics.time_per_step or 1e-6
        first = begin(dynamics, dt)
        span = {"t0": first * dt, "t1": (first + 1) * dt, "dt": dt}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = simulate(dynamics, theta0, n_paths=n_paths, rng=key, observe=Paths(at=2), progress=False, **span)
    return np.asarray(run.paths[0])


def _heated(dynamics: Dynamics, factor: float) -> Dynamics | None:
    """The same dynamics with noise of ``factor`` times the variance; None where that has no plain meaning."""
    if not isinstance(dynamics, Model):
        if "temperature" in getattr(dynamics, "__dataclass_fields__", {}):
            return dynamics._with(temperature=factor * dynamics.temperature)  # type: ignore[attr-defined, no-any-return]
        return None
    problem = dynamics.problem
    change = {
        noise.Gaussian: lambda old: {"cov": factor * old.cov},
        noise.StudentT: lambda old: {"cov": factor * old.cov},
        noise.AffineDiagonal: lambda old: {"base": factor * old.base},
    }.get(type(problem.noise))
    if change is None:
        return None
    hot = Problem(problem.loss, problem.noise._with(**change(problem.noise)), problem.batch_size)
    return dynamics._with(problem=hot)  # type: ignore[no-any-return]


def _run(dynamics: Dynamics, scheme: Scheme, rows: Rows, steps: int, key: Key, threads: int | None) -> Rows:
    """All variables after so many steps; NaN where a path diverged."""
    start: Any = rows if len(rows) > 1 else rows["theta"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        span = scheme.span(begin(dynamics, scheme.dt), steps)
        run = simulate(dynamics, start, rng=key, threads=threads, observe=Final(), progress=False, **span)
    return {
        name: np.array(run.final if name == "theta" else run.state[name].final, dtype=np.float64)
        for name in dynamics.state
    }


def _finite(rows: Rows) -> Rows | None:
    """The same with diverged paths replaced by those that did not, in turn; None where most did."""
    good = np.all([np.isfinite(values).all(axis=1) for values in rows.values()], axis=0)
    if 2 * np.count_nonzero(good) <= len(good):
        return None
    index = np.where(good, np.arange(len(good)), np.resize(np.flatnonzero(good), len(good)))
    return {name: values[index] for name, values in rows.items()}


def _elsewhere(minima: FloatArray | None, rows: Rows) -> FloatArray | None:
    """Known minima other than the one nearest to the start, (k, d); None where no other is known."""
    if minima is None or len(minima) < 2:
        return None
    nearest = ((minima - rows["theta"].mean(axis=0)) ** 2).sum(axis=1).argmin()
    return np.delete(minima, nearest, axis=0)


def _scattered(dynamics: Dynamics, scheme: Scheme, rows: Rows, factor: float, key: Key, threads: int | None) -> Rows:
    """States of a short run, their parameters scattered about it by so many of its variances."""
    after = _finite(_run(dynamics, scheme, rows, _PILOT_STEPS, key, threads)) or dict(rows)
    theta = after["theta"]
    normals = np.random.Generator(np.random.Philox(int(derived(key, 1)))).standard_normal(theta.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        scattered = theta + math.sqrt(factor) * theta.std(axis=0) * normals
    # Where a run flies off, its own paths are dispersed enough.
    return after | {"theta": scattered if np.isfinite(scattered).all() else theta}


def starts(
    dynamics: Dynamics, scheme: Scheme, rows: Rows, dispersed: bool, heat: int, key: Key, threads: int | None
) -> Starts:
    """Rows of all paths: the even ones as asked; the odd ones at other minima, or heated by ``HEAT[heat]``."""
    loss = dynamics._loss
    minima = known_minima(loss)
    listed = isinstance(loss, _LISTED) or (loss is None and dynamics._linear)
    one_well = listed and (minima is None or len(minima) == 1)
    unknown = "other wells cannot be excluded"
    if not dispersed:
        shows = "there is one well only" if one_well else f"no path started elsewhere: {unknown}"
        return Starts(rows, "all paths started alike", shows, False)
    odd = {name: values[1::2] for name, values in rows.items()}
    other = _elsewhere(minima, rows)
    if other is not None:
        count = len(odd["theta"])
        # Spread over the list, where it is longer than there are paths.
        index = np.arange(count) % len(other) if len(other) <= count else np.arange(count) * len(other) // count
        new: Rows = odd | {"theta": other[index]}
        how = f"half of the paths started at the loss's other known minima ({min(len(other), count):,})"
        shows = f"all known minima lead to one law{'' if listed else f', and {unknown}'}"
        return Starts(_interleaved(rows, new), how, shows, False)
    factor = HEAT[heat]
    hot = _heated(dynamics, factor)
    start = None if hot is None else _finite(_run(hot, scheme, odd, _HEATED_STEPS, key, threads))
    if start is not None:
        how = f"half of the paths started from a run with {factor:g} times the noise"
        shows = f"{unknown} that it did not find"
    else:
        start = _scattered(dynamics, scheme, odd, factor, key, threads)
        how = f"half of the paths started scattered, {math.sqrt(factor):g} times as wide as a short run"
        shows = f"{unknown} beyond their starts"
    if one_well:
        shows = "there is one well only"
    # Where a variable was left to its own start, so are those of the dispersed paths.
    start = start if set(start) == set(rows) else odd | {"theta": start["theta"]}
    return Starts(_interleaved(rows, start), how, shows, True)


def _interleaved(even: Rows, odd: Rows) -> Rows:
    out = {}
    for name, values in even.items():
        both = np.array(values)
        both[1::2] = odd[name]
        out[name] = both
    return out
