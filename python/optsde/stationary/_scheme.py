"""How a dynamics is integrated while its stationary law is measured: method, step, and order of the error left."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optsde import _core
from optsde._arrays import FloatArray, positive_number
from optsde.dynamics import Dynamics
from optsde.methods import methods
from optsde.simulate import MANY_WIENER, simulate

_SUBSTEPS = 8
# Steps within the shortest time of the drift's linear part, where there is no optimizer step.
_STEPS_PER_TIME = 8
# Beyond so many variables the largest rate is found by power iteration.
_FULL_JACOBIAN = 64
_ITERATIONS = 30


@dataclass(frozen=True)
class Scheme:
    """Method and step.

    Attributes
    ----------
    dynamics : Dynamics
    method : str or None
        What ``simulate`` gets.
    name : str
        What it is called there.
    order : float
        Of the error of stationary expectations; infinite where there is none: algorithms and exact steps.
    dt : float
        Time of a step; of an algorithm that of an optimizer step.
    free : bool
        Whether the step may be chosen: the user did not give it.
    """

    dynamics: Dynamics
    method: str | None
    name: str
    order: float
    dt: float
    free: bool

    @property
    def exact(self) -> bool:
        """Whether no error of the step is left."""
        return math.isinf(self.order)

    @property
    def gain(self) -> float:
        """The error of dt as a multiple of the difference between dt and dt/2."""
        return 0.0 if self.exact else 2.0**self.order / (2.0**self.order - 1.0)

    def finer(self, halvings: int) -> Scheme:
        """The same with a smaller step."""
        return replace(self, dt=self.dt / 2.0**halvings)

    def span(self, first: int, steps: int) -> dict[str, Any]:
        """Arguments of ``simulate`` for so many steps after the first ones."""
        if self.dynamics._discrete:
            return {"t0": first * self.dt, "steps": steps}
        t0 = first * self.dt
        return {"t0": t0, "t1": (first + steps) * self.dt, "dt": self.dt, "method": self.method}


def _rate(dynamics: Dynamics, points: FloatArray) -> float:
    """The largest rate of the drift's linear part at points (k, D), by central differences."""
    largest = 0.0
    for point in points:
        size = len(point)
        step = 1e-5 * (1.0 + np.abs(point).max())

        def along(directions: FloatArray, point: FloatArray = point, step: float = step) -> FloatArray:
            above, below = (dynamics.drift_at(point + sign * step * directions) for sign in (1.0, -1.0))
            return np.asarray((above - below) / (2.0 * step))

        if size <= _FULL_JACOBIAN:
            jacobian = along(np.eye(size))
            if np.isfinite(jacobian).all():
                largest = max(largest, float(np.abs(np.linalg.eigvals(jacobian)).max()))
            continue
        vector = np.cos(1.0 + np.arange(size))
        length = 0.0
        for _ in range(_ITERATIONS):
            vector = along((vector / np.linalg.norm(vector))[None])[0]
            length = float(np.linalg.norm(vector))
            if not math.isfinite(length) or length == 0.0:
                break
        largest = max(largest, length if math.isfinite(length) else 0.0)
    return largest


def _default_step(dynamics: Dynamics, points: FloatArray) -> float:
    """A power of two below an eighth of the shortest time of the drift's linear part."""
    rate = _rate(dynamics, points)
    if rate <= 0.0:
        raise ValueError("dt: the drift has no rate at the start from which a step could be chosen; give dt")
    return float(2.0 ** math.floor(math.log2(1.0 / (_STEPS_PER_TIME * rate))))


def _chosen(dynamics: Dynamics, start: Any, dt: float) -> str:
    """The method that ``simulate`` chooses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", f"^{MANY_WIENER}", UserWarning)
        return simulate(dynamics, start, t0=begin(dynamics, dt) * dt, dt=dt, t1=(begin(dynamics, dt) + 1) * dt).method


def _fits(method: str, dynamics: Dynamics) -> bool:
    """Whether a method takes such an equation."""
    try:
        _core.check_method(method, dynamics._spec())
    except ValueError:
        return False
    return True


def begin(dynamics: Dynamics, dt: float) -> int:
    """The first step at which the equation has a meaning."""
    return math.ceil(dynamics._earliest / dt * (1.0 - 1e-9))


def scheme(dynamics: Dynamics, start: Any, points: FloatArray, method: Any, dt: Any) -> Scheme:
    """The user's method and step, or the best there is: exact steps, else a method of order 2 for constant noise, else
    the one that ``simulate`` chooses.
    """
    if dynamics._discrete:
        for name, value in (("dt", dt), ("method", method)):
            if value is not None:
                raise ValueError(f"{name}: a discrete optimizer makes its own steps; expected None, got {value!r}")
        assert dynamics.time_per_step is not None
        return Scheme(dynamics, None, "algorithm", math.inf, dynamics.time_per_step, False)
    table, kind = methods(), dynamics.noise_kind
    exact = dynamics._linear and kind in table["ornstein_uhlenbeck"].noise_kinds
    if method is None and exact:
        method = "ornstein_uhlenbeck"
    if dt is not None:
        step = positive_number("dt", dt)
    elif dynamics.time_per_step is not None:
        step = dynamics.time_per_step / (1 if method == "ornstein_uhlenbeck" else _SUBSTEPS)
    else:
        step = _default_step(dynamics, points)
    if method is None:
        method = "leimkuhler_matthews" if _fits("leimkuhler_matthews", dynamics) else _chosen(dynamics, start, step)
        order = table[method].stationary
        if kind.startswith("additive") and (order is None or order < 2.0):
            method = "heun"
    else:
        with warnings.catch_warnings():
            # An unknown name, or one that does not fit, shows here; a lower order is measured and told as bias.
            warnings.simplefilter("ignore", UserWarning)
            first = begin(dynamics, step)
            simulate(dynamics, start, t0=first * step, t1=(first + 1) * step, dt=step, method=method)
    found = table[method]
    order = found.stationary if found.stationary is not None else found.weak
    return Scheme(dynamics, method, method, 1.0 if order is None else float(order), step, dt is None)
