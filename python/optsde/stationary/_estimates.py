"""From blocks to numbers: mean and covariance with Monte Carlo error, the step's own error, and both together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optsde._arrays import FloatArray
from optsde.stationary._blocks import Blocks, independent, stderr

# An error bar: this many standard errors, beside the step's error.
WIDTH = 2.0
# What is left of the step's error after its leading term was taken out may be this part of it.
LEFT = 0.1


@dataclass(frozen=True)
class Estimate:
    """Of one observable, with arrays of one shape.

    Attributes
    ----------
    value, stderr : ndarray
    bias, bias_stderr : ndarray
        Value minus that of vanishing step; what extrapolation removed, where it did.
    error : ndarray
        ``|bias| + 2 · stderr of (value - bias)``; extrapolated: ``|removed|/10 + 2 stderr``.
    removed : bool
        Whether ``value`` has the bias taken out already.
    """

    value: FloatArray
    stderr: FloatArray
    bias: FloatArray
    bias_stderr: FloatArray
    error: FloatArray
    removed: bool

    @property
    def counted(self) -> FloatArray:
        """What of the step's error is in ``error``."""
        return np.asarray(np.abs(self.bias) * (LEFT if self.removed else 1.0))

    @property
    def counted_stderr(self) -> FloatArray:
        """Its standard error."""
        return self.bias_stderr * (LEFT if self.removed else 1.0)


def _estimate(coarse: FloatArray, fine: FloatArray | None, gain: float, extrapolate: bool) -> Estimate:
    """From independent values (k, ...) with the step and with half of it."""
    value, error = coarse.mean(axis=0), stderr(coarse)
    zero = np.zeros_like(value)
    if fine is None:
        return Estimate(value, error, zero, zero, WIDTH * error, False)
    shift = gain * (coarse - fine)
    bias, better = shift.mean(axis=0), stderr(coarse - shift)
    if extrapolate:
        total = LEFT * np.abs(bias) + WIDTH * better
        return Estimate(value - bias, better, bias, stderr(shift), total, True)
    # Value minus truth is the bias found plus the noise of what is left, whichever way those two lie together.
    return Estimate(value, error, bias, stderr(shift), np.abs(bias) + WIDTH * better, False)


def estimates(coarse: Blocks, fine: Blocks | None, gain: float, extrapolate: bool) -> tuple[Estimate, Estimate]:
    """Of the mean (D,) and of the covariances (V, d, d) of the variables."""
    mean, cov = _values(coarse)
    fine_mean, fine_cov = (None, None) if fine is None else _values(fine)
    return _estimate(mean, fine_mean, gain, extrapolate), _estimate(cov, fine_cov, gain, extrapolate)


def _values(blocks: Blocks) -> tuple[FloatArray, FloatArray]:
    """Independent values of the mean (k, D) and of the covariances (k, V, d, d)."""
    deviation, products = blocks.deviations()
    return independent(deviation) + blocks.mean, independent(products)
