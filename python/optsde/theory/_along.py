"""Drifts and noises along one axis, as functions of one variable that can be pickled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optsde._arrays import FloatArray
from optsde.dynamics import Dynamics
from optsde.losses import Loss


@dataclass(frozen=True)
class NormalDrift:
    """That of a normal law with unit diffusion."""

    mean: float
    variance: float

    def __call__(self, x: FloatArray) -> FloatArray:
        return (self.mean - x) / self.variance


@dataclass(frozen=True)
class _Axis:
    """Coordinate ``k``; all others rest at the origin."""

    origin: FloatArray
    k: int

    def points(self, x: FloatArray) -> FloatArray:
        points = np.tile(self.origin, (len(x), 1))
        points[:, self.k] = x
        return points


@dataclass(frozen=True)
class GibbsDrift(_Axis):
    """``-∂_k f / T`` along a row of ``axes``, on which the origin is given too."""

    loss: Loss
    axes: FloatArray
    temperature: float

    def __call__(self, x: FloatArray) -> FloatArray:
        slope = self.loss.grad(self.points(x) @ self.axes) @ self.axes[self.k]
        return np.asarray(-slope / self.temperature)

    def value(self, x: float) -> float:
        """The loss there."""
        return float(self.loss.value(self.points(np.array([x])) @ self.axes)[0])


@dataclass(frozen=True)
class DriftAlong(_Axis):
    """``a_k``."""

    dynamics: Dynamics

    def __call__(self, x: FloatArray) -> FloatArray:
        return self.dynamics.drift_at(self.points(x))[:, self.k]


@dataclass(frozen=True)
class NoiseAlong(_Axis):
    """``(b bᵀ)_kk / 2``."""

    dynamics: Dynamics

    def __call__(self, x: FloatArray) -> FloatArray:
        return half_squares(self.dynamics, self.points(x))[:, self.k]


def half_squares(dynamics: Dynamics, points: FloatArray) -> FloatArray:
    """The diagonal of ``b bᵀ / 2`` at points (n, d)."""
    with np.errstate(all="ignore"):
        return np.asarray(np.square(dynamics.diffusion_at(points)).sum(axis=2) / 2.0)
