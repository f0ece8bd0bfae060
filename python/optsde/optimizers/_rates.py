"""Learning rates as users give them: a number, one for each parameter, or a schedule."""

from __future__ import annotations

from typing import Any

import numpy as np

from optsde._arrays import FloatArray, scalar_vector
from optsde.schedules import Schedule

LearningRate = float | FloatArray | Schedule


def learning_rate(name: str, value: Any) -> LearningRate:
    """A positive float, a positive (d,) vector or a schedule."""
    if isinstance(value, Schedule):
        return value
    array = scalar_vector(name, value)
    if array.min() <= 0.0:
        what = "a positive number" if array.ndim == 0 else "positive numbers"
        raise ValueError(f"{name}: expected {what}, got {float(array.min()):.6g}")
    return float(array) if array.ndim == 0 else array


def peak(lr: LearningRate) -> float:
    """The largest rate of all parameters and steps, which sets the clock."""
    if isinstance(lr, Schedule):
        return lr.peak
    return float(np.max(lr))


def scaled(lr: LearningRate, by: float) -> LearningRate:
    """The rate times a constant."""
    if isinstance(lr, Schedule):
        raise ValueError("lr: a schedule counts in steps, which change their length; rescale its arguments yourself")
    return lr * by


def is_smooth(lr: LearningRate) -> bool:
    """Whether it changes without jumps, or not at all."""
    return not isinstance(lr, Schedule) or lr._smooth


def rates_spec(lr: LearningRate) -> dict[str, Any]:
    """The native description: the peak, what each parameter has of it, and the schedule relative to it."""
    top = peak(lr)
    relative = lr / top if isinstance(lr, np.ndarray) else None
    schedule = _relative(lr._spec(), top) if isinstance(lr, Schedule) else None
    return {"lr": top, "relative": relative, "schedule": schedule}


def _relative(spec: dict[str, Any], top: float) -> dict[str, Any]:
    inner = {"of": _relative(spec["of"], top)} if "of" in spec else {}
    return spec | {name: spec[name] / top for name in ("start", "end", "values") if name in spec} | inner


def show_rate(lr: LearningRate) -> str:
    """The rate in an equation's list of numbers."""
    if isinstance(lr, Schedule):
        return f"η(k) = {lr!r}, peak {lr.peak:g}"
    if isinstance(lr, np.ndarray):
        return f"η = {lr.tolist() if lr.size <= 4 else f'<{lr.size} rates>'}, largest {peak(lr):g}"
    return f"η = {lr:g}"
