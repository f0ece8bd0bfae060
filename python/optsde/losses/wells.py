"""Losses with one or two wells a coordinate: double well, quartic, Styblinski-Tang."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde._arrays import FloatArray, integer, nonnegative_number, positive_number, real_number
from optsde.losses._base import Loss
from optsde.losses._critical import separable_minima, separable_saddles


@dataclass(frozen=True, init=False, eq=False, repr=False)
class DoubleWell(Loss):
    """``height · Σ_i (x_i² - 1)²``: minima at ±1, a barrier of ``height`` between neighbours.

    Parameters
    ----------
    height : float
        Barrier height, > 0.
    dim : int
        Number d of coordinates.

    Examples
    --------
    >>> import optsde
    >>> float(optsde.losses.DoubleWell(height=2.0).value([0.0]))
    2.0

    Source: Kramers (1940) and every text on escape since.
    """

    height: float
    dim: int

    def __init__(self, height: float = 1.0, dim: int = 1) -> None:
        self._set(height=positive_number("height", height), dim=integer("dim", dim, 1))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "double_well", "height": self.height, "dim": self.dim}

    @property
    def minima(self) -> FloatArray:
        """All sign patterns, (2^d, d), for d <= 16."""
        return separable_minima([-1.0, 1.0], self.dim)

    @property
    def saddles(self) -> FloatArray:
        """One coordinate 0, the others ±1: (d 2^(d-1), d), for d <= 16."""
        return separable_saddles([-1.0, 1.0], 0.0, self.dim)

    @property
    def barrier(self) -> float:
        """Loss at a saddle minus loss at a minimum."""
        return self.height


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Quartic(Loss):
    """``Σ_i (a x_i⁴/4 + b x_i²/2)``: one well for b >= 0, two for b < 0.

    Parameters
    ----------
    a : float
        Fourth-order coefficient, >= 0.
    b : float
        Second-order coefficient; must be > 0 where a = 0.
    dim : int
        Number d of coordinates.

    Examples
    --------
    >>> import optsde
    >>> optsde.losses.Quartic(a=1.0, b=-1.0).minima.ravel().tolist()
    [-1.0, 1.0]

    Source: the pure quartic a=1, b=0 is the usual example of a superlinear drift.
    """

    a: float
    b: float
    dim: int

    def __init__(self, a: float = 1.0, b: float = 1.0, dim: int = 1) -> None:
        fourth, second = nonnegative_number("a", a), real_number("b", b)
        if fourth == 0.0 and second <= 0.0:
            raise ValueError(
                f"b: expected a positive number where a is 0 (the loss has no minimum otherwise), got {second}"
            )
        self._set(a=fourth, b=second, dim=integer("dim", dim, 1))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "quartic", "a": self.a, "b": self.b, "dim": self.dim}

    @property
    def minima(self) -> FloatArray:
        """The origin, (1, d), for b >= 0; all sign patterns of ``sqrt(-b/a)``, (2^d, d), for b < 0 and d <= 16."""
        if self.b >= 0.0:
            return np.zeros((1, self.dim))
        place = math.sqrt(-self.b / self.a)
        return separable_minima([-place, place], self.dim)

    @property
    def saddles(self) -> FloatArray:
        """For b < 0 one coordinate 0 and the others at minima; else none, (0, d)."""
        if self.b >= 0.0:
            return np.empty((0, self.dim))
        place = math.sqrt(-self.b / self.a)
        return separable_saddles([-place, place], 0.0, self.dim)

    @property
    def barrier(self) -> float:
        """``b²/(4a)`` for b < 0; 0 where there is one well only."""
        return self.b * self.b / (4.0 * self.a) if self.b < 0.0 else 0.0


def _cubic_roots() -> tuple[float, float, float]:
    """Roots of the Styblinski-Tang derivative x³ - 8x + 5/4, ascending, by Viète's cosines."""
    p, q = -8.0, 1.25
    angle = math.acos(1.5 * q / p * math.sqrt(-3.0 / p)) / 3.0
    roots = sorted(2.0 * math.sqrt(-p / 3.0) * math.cos(angle - 2.0 * math.pi * k / 3.0) for k in range(3))
    return roots[0], roots[1], roots[2]


_GLOBAL, _TOP, _LOCAL = _cubic_roots()


@dataclass(frozen=True, init=False, eq=False, repr=False)
class StyblinskiTang(Loss):
    """``½ Σ_i (x_i⁴ - 16 x_i² + 5 x_i)``.

    Per coordinate: global minimum at -2.903534 (loss -39.166166), local minimum at 2.746803 (-25.029445),
    maximum at 0.156731 (0.195614), the roots of x³ - 8x + 5/4.

    Parameters
    ----------
    dim : int
        Number d of coordinates.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.StyblinskiTang(1)
    >>> round(float(loss.value(loss.minima[0])), 6)
    -39.166166

    Source: Styblinski and Tang, Neural Networks 3 (1990) 467.
    """

    dim: int

    def __init__(self, dim: int) -> None:
        self._set(dim=integer("dim", dim, 1))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "styblinski_tang", "dim": self.dim}

    @property
    def minima(self) -> FloatArray:
        """All 2^d minima, the global one first, (2^d, d), for d <= 16."""
        return separable_minima([_GLOBAL, _LOCAL], self.dim)

    @property
    def saddles(self) -> FloatArray:
        """One coordinate at the maximum, the others at minima, (d 2^(d-1), d), for d <= 16."""
        return separable_saddles([_GLOBAL, _LOCAL], _TOP, self.dim)
