"""The slope of errors in a doubly logarithmic plot, with an interval that knows their standard errors and the bends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optsde._arrays import FloatArray

_NORMAL_975 = 1.959963984540054
# Student's t, 97.5 %, for 1, 2, … degrees of freedom; beyond, Cornish and Fisher's expansion is as good.
_STUDENT_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


@dataclass(frozen=True)
class Slope:
    """A slope and its 95 % interval."""

    value: float
    low: float
    high: float


def _student(freedom: int) -> float:
    if freedom <= len(_STUDENT_975):
        return _STUDENT_975[freedom - 1]
    z = _NORMAL_975
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _regression(design: FloatArray, y: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Coefficients, their standard errors and the weighted sum of squared residuals."""
    weight = 1.0 / np.sqrt(variance)
    orthogonal, triangle = np.linalg.qr(design * weight[:, None])
    inverse = np.linalg.inv(triangle)
    coefficients = inverse @ (orthogonal.T @ (weight * y))
    rest = weight * (y - design @ coefficients)
    return coefficients, np.sqrt(np.square(inverse).sum(axis=1)), float(rest @ rest)


def fitted_slope(steps: FloatArray, errors: FloatArray, stderr: FloatArray) -> Slope:
    """Slope of log errors over log steps.

    Each point has the variance of its standard error and one more, the same for all, which is as large as the residuals
    need (Mandel and Paule 1982): a curve that is no line widens the interval, and does not leave the fit to the most
    exact points alone. The interval also holds, in quadrature, how far the slope moves where the next term of the
    error, ``C s^p (1 + c s)``, is fitted too, and how well that is known: the order is the slope in the limit, and
    steps are finite.
    """
    x, y = np.log(steps), np.log(errors)
    line = np.stack([np.ones_like(x), x], axis=1)
    # Where points are exact, rounding is what they have.
    own = np.maximum((stderr / errors) ** 2, 1e-20)
    freedom = len(x) - 2
    found, width, rest = _regression(line, y, own)
    quantile, extra = _NORMAL_975, 0.0
    if freedom > 0 and rest > freedom:
        low, high = 0.0, float(np.ptp(y) ** 2 + 1.0)
        for _ in range(200):
            extra = (low + high) / 2.0
            found, width, rest = _regression(line, y, own + extra)
            low, high = (extra, high) if rest > freedom else (low, extra)
        quantile = _student(freedom)
    half = quantile * float(width[1])
    if freedom > 0:
        bent, doubt, _ = _regression(np.column_stack([line, steps / steps.max()]), y, own + extra)
        half = math.hypot(half, float(bent[1] - found[1]), float(doubt[1]))
    return Slope(float(found[1]), float(found[1]) - half, float(found[1]) + half)
