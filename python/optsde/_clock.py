"""The common time of dynamics that are compared: whole numbers of steps of each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from optsde._arrays import FloatArray, integer, positive_number
from optsde._grid import _WHOLE, TimeGrid, whole
from optsde.dynamics import Dynamics
from optsde.observers import Paths
from optsde.results import IntArray

# Steps of two dynamics share a clock where their ratio is that of whole numbers up to this.
_LARGEST_RATIO = 64


@dataclass(frozen=True)
class Clock:
    """Time in units that divide the step of every dynamics.

    Attributes
    ----------
    unit : float
    ratios : dict of int
        Units of one step of each dynamics; one without optimizer step takes the others' shortest.
    stride : int
        Units between times that are whole steps of all of them.
    """

    unit: float
    ratios: dict[str, int]
    stride: int

    @classmethod
    def of(cls, models: Mapping[str, Dynamics], dt: Any = None) -> Clock:
        """The coarsest that they have in common; ValueError naming those that have none."""
        regimes = {name: getattr(model, "regime", None) for name, model in models.items()}
        regimes = {name: regime for name, regime in regimes.items() if regime is not None}
        if len(set(regimes.values())) > 1:
            listing = ", ".join(f"{name!r} {regime!r}" for name, regime in regimes.items())
            raise ValueError(f"models: expected one regime, whose clock is that of all, got {listing}")
        steps = {name: model.time_per_step for name, model in models.items() if model.time_per_step is not None}
        if not steps:
            if dt is None:
                raise ValueError("dt: none of the models has an optimizer step; give the time step that they share")
            steps = {next(iter(models)): positive_number("dt", dt)}
        elif dt is not None:
            raise ValueError(f"dt: the optimizer step of {next(iter(steps))!r} is the common step; expected None")
        shortest = min(steps.values())
        shares = {name: Fraction(step / shortest).limit_denominator(_LARGEST_RATIO) for name, step in steps.items()}
        for name, share in shares.items():
            ratio = steps[name] / shortest
            if abs(ratio - share) > _WHOLE * ratio:
                other = min(steps, key=steps.__getitem__)
                raise ValueError(
                    f"models: {name!r} has time_per_step {steps[name]:.12g} and {other!r} {shortest:.12g}; "
                    f"their steps never fall together"
                )
        parts = math.lcm(*(share.denominator for share in shares.values()))
        ratios = {name: int(shares[name] * parts) if name in shares else parts for name in models}
        return cls(shortest / parts, ratios, math.lcm(*ratios.values()))


@dataclass(frozen=True)
class Schedule:
    """When a comparison starts, ends and looks.

    Attributes
    ----------
    start_steps : int
        Steps that the reference makes alone before.
    first, last : int
        Start and end, in units of the clock.
    step : ndarray of int, shape (T,)
        Steps of the reference since time 0.
    t : ndarray, shape (T,)
    """

    clock: Clock
    start_steps: int
    first: int
    last: int
    step: IntArray
    t: FloatArray

    @property
    def t0(self) -> float:
        """Time of the start."""
        return self.first * self.clock.unit

    @property
    def t1(self) -> float:
        """Time of the end."""
        return self.last * self.clock.unit

    @classmethod
    def of(cls, clock: Clock, reference: str, has_step: bool, steps: Any, t1: Any, at: Any, start: Any) -> Schedule:
        """From the arguments of ``compare``, or ValueError naming the one that does not fit."""
        ratio, stride = clock.ratios[reference], clock.stride
        if (steps is None) == (t1 is None):
            got = "neither" if steps is None else "both"
            raise ValueError(f"steps, t1: expected exactly one of steps (of the reference) and t1 (time), got {got}")
        begin = integer("start", start, 0)
        for name, given in (("steps", steps), ("start", begin or None)):
            if given is not None and not has_step:
                raise ValueError(f"{name}: the reference {reference!r} has no optimizer step to count")
        first = begin * ratio
        if first % stride:
            raise ValueError(f"start: expected a multiple of {stride // ratio}, whole steps of all models, got {begin}")
        if steps is not None:
            span = integer("steps", steps, 1) * ratio
            if span % stride:
                raise ValueError(
                    f"steps: expected a multiple of {stride // ratio}, whole steps of all models, got {steps}"
                )
        else:
            common = stride * clock.unit
            end = positive_number("t1", t1)
            before = first * clock.unit
            if end <= before:
                raise ValueError(f"t1: expected a time after the start, {before:.12g}, got {end:.12g}")
            count = whole((end - before) / common)
            if count is None:
                low = math.floor((end - before) / common)
                raise ValueError(
                    f"t1: expected whole steps of all models, {common:.12g} each, after {before:.12g}, got {end:.12g}; "
                    f"the nearest are {before + low * common:.12g} and {before + (low + 1) * common:.12g}"
                )
            span = count * stride
        last = first + span
        n = span // stride
        grid = TimeGrid(first * clock.unit, last * clock.unit, stride * clock.unit, n, 1)
        observer = Paths(at=at)
        observer._count(grid)
        units = first + observer._steps(grid) * stride
        return cls(
            clock,
            begin,
            first,
            last,
            np.asarray(units // ratio, dtype=np.int64),
            np.asarray(units * clock.unit, dtype=np.float64),
        )


def check_begun(models: Mapping[str, Dynamics], argument: str, t0: float) -> None:
    """ValueError where a model has no meaning yet at the start."""
    for name, model in models.items():
        if t0 < model._earliest * (1.0 - _WHOLE):
            raise ValueError(f"{argument}: {name!r} begins at t = {model._earliest:.12g}, got a start at t = {t0:.12g}")
