"""Normalised densities on the line, and products of them along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, frozen, integer, real_numbers
from optsde.theory._along import NormalDrift
from optsde.theory._line import Line


class Density:
    """A normalised density of one variable; call it for its values.

    Attributes
    ----------
    support : (float, float)
        Where it is positive.
    log_normalizer : float
        ``log Z``: of ``exp(-f/T)`` for a Gibbs density, else of ``(1/D) exp(∫ a/D)`` with the integral from the
        stable point of rest next to 0.
    mean, var : float
        Infinite or NaN where the tails are too heavy.
    """

    def __init__(self, line: Line, title: str, offset: float = 0.0) -> None:
        self._line, self._title = line, title
        self.log_normalizer = line.log_total - offset
        self.support = (line.chart.low, line.chart.high)
        self.mean = self.moment(1)
        spread = self.expect(lambda x: np.square(x - self.mean)) if np.isfinite(self.mean) else np.nan
        self.var = spread if np.isfinite(self.mean) else self.moment(2)

    @property
    def normalizer(self) -> float:
        """Z; see :attr:`log_normalizer`."""
        return float(np.exp(self.log_normalizer))

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Logarithm of the density at points of any shape; -inf outside the support."""
        points = real_numbers("x", x).astype(np.float64)
        return self._line.log_density(points.ravel()).reshape(points.shape)

    def pdf(self, x: ArrayLike) -> FloatArray:
        """The density at points of any shape."""
        return np.asarray(np.exp(self.logpdf(x)))

    def __call__(self, x: ArrayLike) -> FloatArray:
        """The density at points of any shape."""
        return self.pdf(x)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """The probability below points of any shape."""
        points = real_numbers("x", x).astype(np.float64)
        return self._line.probability_below(points.ravel()).reshape(points.shape)

    def expect(self, function: Callable[[FloatArray], Any]) -> float:
        """Expectation of a smooth function of x, which takes and returns arrays (n,)."""
        nodes = self._line.nodes
        with np.errstate(all="ignore"):
            values = np.broadcast_to(np.asarray(function(nodes.ravel()), dtype=np.float64), (nodes.size,))
        return self._line.expect(values.reshape(nodes.shape))

    def moment(self, order: int) -> float:
        """``E x^order``; infinite, or NaN for odd orders, where the tails are too heavy."""
        power = integer("order", order, 0)
        return self.expect(lambda x: x**power)

    def __repr__(self) -> str:
        low, high = self.support
        return (
            f"<density of {self._title} on ({low:g}, {high:g}): mean {self.mean:.6g}, var {self.var:.6g}, "
            f"log Z {self.log_normalizer:.6g}>"
        )


class ProductDensity:
    """A normalised density of d variables that is a product along axes; call it for its values.

    Attributes
    ----------
    marginals : tuple of Density
        One an axis, each of the coordinate ``axes[k] · x``.
    axes : ndarray, shape (d, d)
        Unit vectors as rows; the coordinates' own where the density is separable in them.
    log_normalizer : float
        Sum of those of the marginals.
    mean : ndarray, shape (d,)
    cov : ndarray, shape (d, d)
    var : ndarray, shape (d,)
    """

    def __init__(self, marginals: list[Density], axes: FloatArray, title: str) -> None:
        self.marginals, self.axes, self._title = tuple(marginals), frozen(np.array(axes)), title
        self.log_normalizer = float(sum(part.log_normalizer for part in marginals))
        self.mean = frozen(self.axes.T @ np.array([part.mean for part in marginals]))
        self.cov = frozen((self.axes.T * np.array([part.var for part in marginals])) @ self.axes)
        self.var = frozen(np.diag(self.cov).copy())

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        """Of each marginal."""
        return tuple(part.support for part in self.marginals)

    @property
    def normalizer(self) -> float:
        """Z, the product of those of the marginals."""
        return float(np.exp(self.log_normalizer))

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Logarithm of the density at points (..., d), to (...)."""
        points = real_numbers("x", x).astype(np.float64)
        d = len(self.marginals)
        if points.ndim == 0 or points.shape[-1] != d:
            raise ValueError(f"x: expected shape (..., {d}), got {points.shape}")
        along = points @ self.axes.T
        return np.asarray(sum(part.logpdf(along[..., k]) for k, part in enumerate(self.marginals)))

    def pdf(self, x: ArrayLike) -> FloatArray:
        """The density at points (..., d), to (...)."""
        return np.asarray(np.exp(self.logpdf(x)))

    def marginal(self, coord: int) -> Density:
        """The density of one coordinate."""
        place = integer("coord", coord, 0, len(self.marginals) - 1)
        for part, axis in zip(self.marginals, self.axes, strict=True):
            if axis[place] == 1.0:
                return part
        # Axes are turned for normal laws alone.
        mean, variance = self.mean[place], self.var[place]
        return Density(Line(NormalDrift(float(mean), float(variance)), np.ones_like, "marginal"), self._title)

    def __call__(self, x: ArrayLike) -> FloatArray:
        """The density at points (..., d), to (...)."""
        return self.pdf(x)

    def __repr__(self) -> str:
        return (
            f"<density of {self._title}, a product of {len(self.marginals)}: mean {self.mean.tolist()}, "
            f"var {self.var.tolist()}, log Z {self.log_normalizer:.6g}>"
        )
