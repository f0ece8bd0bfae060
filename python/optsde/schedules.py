"""Learning-rate and momentum schedules: functions of the optimizer's step k = 0, 1, 2, …"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import (
    FloatArray,
    integer,
    nonnegative_number,
    positive_number,
    real_array,
    real_number,
    real_numbers,
)
from optsde._description import Description

__all__ = ["Constant", "Cosine", "InverseTime", "Linear", "Nesterov", "Piecewise", "Schedule", "Step", "Warmup"]


class Schedule(Description):
    """A learning rate as a function of the optimizer's step; ``schedule(k)`` takes numbers or arrays."""

    @abstractmethod
    def _values(self, k: FloatArray) -> FloatArray:
        """The rate at steps k >= 0."""

    @abstractmethod
    def _spec(self) -> dict[str, Any]:
        """The native description, in absolute rates."""

    @abstractmethod
    def _largest_from(self, k: int) -> float:
        """The largest rate of step k and all later ones."""

    @property
    def _smooth(self) -> bool:
        """Whether it is continuous with kinks at whole steps at most, as models of order 2 ask."""
        return True

    @property
    def peak(self) -> float:
        """The largest rate of all steps, which sets the clock of the models."""
        return self._largest_from(0)

    def __call__(self, k: ArrayLike) -> Any:
        """The learning rate of step k.

        Parameters
        ----------
        k : int or array_like of any shape
            Steps, >= 0.

        Returns
        -------
        float or ndarray, the shape of k

        Raises
        ------
        ValueError
            For a negative step.
        """
        steps = real_numbers("k", k).astype(np.float64)
        if steps.size and steps.min() < 0.0:
            raise ValueError(f"k: expected steps of at least 0, got {steps.min():g}")
        values = self._values(steps)
        return float(values) if np.ndim(values) == 0 else values


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Constant(Schedule):
    """The same rate at every step.

    Parameters
    ----------
    lr : float
        > 0.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Constant(0.1)(7)
    0.1
    """

    lr: float

    def __init__(self, lr: float) -> None:
        self._set(lr=positive_number("lr", lr))

    def _values(self, k: FloatArray) -> FloatArray:
        return np.full_like(k, self.lr)

    def _largest_from(self, k: int) -> float:
        return self.lr

    def _spec(self) -> dict[str, Any]:
        return {"kind": "linear", "start": self.lr, "end": self.lr, "total": 1.0}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Step(Schedule):
    """``lr · factor^⌊k / every⌋``.

    Parameters
    ----------
    lr : float
        Rate at step 0.
    every : int
        Steps between two drops.
    factor : float
        What a drop leaves, in (0, 1].

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Step(0.1, every=100, factor=0.5)([0, 99, 100]).tolist()
    [0.1, 0.1, 0.05]
    """

    lr: float
    every: int
    factor: float

    def __init__(self, lr: float, every: int, factor: float = 0.1) -> None:
        share = positive_number("factor", factor)
        if share > 1.0:
            raise ValueError(f"factor: expected a number in (0, 1], got {share:g}")
        self._set(lr=positive_number("lr", lr), every=integer("every", every, 1), factor=share)

    @property
    def _smooth(self) -> bool:
        return self.factor == 1.0

    def _values(self, k: FloatArray) -> FloatArray:
        return np.asarray(self.lr * self.factor ** np.floor(k / self.every))

    def _largest_from(self, k: int) -> float:
        return float(self._values(np.asarray(float(k))))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "step", "start": self.lr, "every": float(self.every), "factor": self.factor}


class _Ramp(Schedule):
    """From one rate to another within some steps, constant from then on."""

    lr: float
    final: float
    total: int

    def _largest_from(self, k: int) -> float:
        return max(float(self._values(np.asarray(float(k)))), self.final)

    def _ramp(self, kind: str) -> dict[str, Any]:
        return {"kind": kind, "start": self.lr, "end": self.final, "total": float(self.total)}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Cosine(_Ramp):
    """Half a cosine from ``lr`` to ``final`` within ``total`` steps.

    Parameters
    ----------
    lr : float
        Rate at step 0.
    total : int
        Steps until ``final``.
    final : float
        Rate from then on, >= 0.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Cosine(0.1, total=100)(50)
    0.05

    Source: Loshchilov and Hutter, SGDR (ICLR 2017).
    """

    lr: float
    total: int
    final: float

    def __init__(self, lr: float, total: int, final: float = 0.0) -> None:
        self._set(
            lr=positive_number("lr", lr), total=integer("total", total, 1), final=nonnegative_number("final", final)
        )

    def _values(self, k: FloatArray) -> FloatArray:
        share = np.minimum(k / self.total, 1.0)
        return np.asarray(self.final + 0.5 * (self.lr - self.final) * (1.0 + np.cos(math.pi * share)))

    def _spec(self) -> dict[str, Any]:
        return self._ramp("cosine")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Linear(_Ramp):
    """A straight line from ``lr`` to ``final`` within ``total`` steps.

    Parameters
    ----------
    lr : float
        Rate at step 0.
    total : int
        Steps until ``final``.
    final : float
        Rate from then on, >= 0.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Linear(0.1, total=10, final=0.0)(5)
    0.05
    """

    lr: float
    total: int
    final: float

    def __init__(self, lr: float, total: int, final: float = 0.0) -> None:
        self._set(
            lr=positive_number("lr", lr), total=integer("total", total, 1), final=nonnegative_number("final", final)
        )

    def _values(self, k: FloatArray) -> FloatArray:
        return np.asarray(self.lr + (self.final - self.lr) * np.minimum(k / self.total, 1.0))

    def _spec(self) -> dict[str, Any]:
        return self._ramp("linear")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class InverseTime(Schedule):
    """``lr / (1 + rate · k)``.

    Parameters
    ----------
    lr : float
        Rate at step 0.
    rate : float
        How fast it falls, per step, >= 0.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.InverseTime(0.1, rate=0.1)(10)
    0.05

    Source: Robbins and Monro (1951).
    """

    lr: float
    rate: float

    def __init__(self, lr: float, rate: float) -> None:
        self._set(lr=positive_number("lr", lr), rate=nonnegative_number("rate", rate))

    def _values(self, k: FloatArray) -> FloatArray:
        return np.asarray(self.lr / (1.0 + self.rate * k))

    def _largest_from(self, k: int) -> float:
        return self.lr / (1.0 + self.rate * k)

    def _spec(self) -> dict[str, Any]:
        return {"kind": "inverse_time", "start": self.lr, "rate": self.rate}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Piecewise(Schedule):
    """``values[i]`` from step ``boundaries[i-1]`` on.

    Parameters
    ----------
    boundaries : (n - 1,) sequence of int
        Ascending steps, > 0.
    values : (n,) sequence of float
        Rates, > 0.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Piecewise([100, 200], [0.1, 0.05, 0.01])([0, 100, 200]).tolist()
    [0.1, 0.05, 0.01]
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        steps = tuple(integer("boundaries", k, 1) for k in boundaries)
        rates = real_array("values", values)
        if rates.ndim != 1 or len(rates) != len(steps) + 1:
            raise ValueError(f"values: expected {len(steps) + 1} rates, one more than boundaries, got {rates.shape}")
        if (np.diff(steps) <= 0).any():
            raise ValueError(f"boundaries: expected ascending steps, got {list(steps)}")
        if rates.min() <= 0.0:
            raise ValueError(f"values: expected positive rates, got {rates.min():g}")
        self._set(boundaries=steps, values=tuple(float(rate) for rate in rates))

    @property
    def _smooth(self) -> bool:
        return len(set(self.values)) == 1

    def _values(self, k: FloatArray) -> FloatArray:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, k, side="right")]

    def _largest_from(self, k: int) -> float:
        return max(self.values[int(np.searchsorted(self.boundaries, k, side="right")) :])

    def _spec(self) -> dict[str, Any]:
        return {
            "kind": "piecewise",
            "boundaries": np.asarray(self.boundaries, dtype=np.float64),
            "values": np.asarray(self.values, dtype=np.float64),
        }


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Warmup(Schedule):
    """Another schedule, or a rate, times ``min(1, (k + 1) / steps)``.

    Parameters
    ----------
    schedule : Schedule or float
    steps : int
        Steps until the whole rate.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Warmup(0.1, steps=4)([0, 1, 3, 9]).tolist()
    [0.025, 0.05, 0.1, 0.1]

    Source: Goyal et al., arXiv:1706.02677.
    """

    schedule: Schedule
    steps: int

    def __init__(self, schedule: Schedule | float, steps: int) -> None:
        inner = schedule if isinstance(schedule, Schedule) else Constant(real_number("schedule", schedule))
        self._set(schedule=inner, steps=integer("steps", steps, 1, 10_000_000))

    @property
    def _smooth(self) -> bool:
        return self.schedule._smooth

    def _values(self, k: FloatArray) -> FloatArray:
        return np.asarray(self.schedule._values(k) * np.minimum(1.0, (k + 1.0) / self.steps))

    def _largest_from(self, k: int) -> float:
        rising = self._values(np.arange(k, max(k, self.steps) + 1, dtype=np.float64))
        return max(float(rising.max()), self.schedule._largest_from(max(k, self.steps)))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "warmup", "steps": float(self.steps), "of": self.schedule._spec()}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Nesterov(Description):
    """The momentum ``β_k = (k - 1) / (k + r - 1)``, whose equation has the friction ``r / t``.

    Parameters
    ----------
    r : float
        >= 3 for the accelerated rate; > 1.

    Examples
    --------
    >>> import optsde
    >>> optsde.schedules.Nesterov(r=3)([1, 4]).tolist()
    [0.0, 0.5]

    Source: Su, Boyd, Candes (2014).
    """

    r: float

    def __init__(self, r: float = 3.0) -> None:
        number = positive_number("r", r)
        if number <= 1.0:
            raise ValueError(f"r: expected a number above 1, got {number:g}")
        self._set(r=number)

    def __call__(self, k: ArrayLike) -> Any:
        """The momentum of step k, numbers or arrays."""
        steps = real_numbers("k", k).astype(np.float64)
        values = (steps - 1.0) / (steps + self.r - 1.0)
        return float(values) if np.ndim(values) == 0 else values
