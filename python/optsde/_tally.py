"""Means of samples, with their central moments and their regression on control variates, merged piece by piece."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from optsde._arrays import FloatArray
from optsde._sums import _ROUNDING, _inverse

# So many samples for each control variate, or the regression is not worth its own noise.
_SAMPLES_PER_CONTROL = 10


@dataclass
class Tally:
    """Central sums of samples y (n,) and of their control variates c (k, n), which have expectation 0.

    Pieces are merged by the formulas of Pébay (Sandia report SAND2008-6212): sums of powers are never differences of
    large numbers.
    """

    n: int = 0
    mean: FloatArray = field(default_factory=lambda: np.zeros(1))  # of y, then of the controls
    products: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))
    third: float = 0.0
    fourth: float = 0.0

    def add(self, y: FloatArray, c: FloatArray) -> None:
        """Adds a piece."""
        if len(y):
            # Powers of large numbers may overflow; then the variance says so.
            with np.errstate(over="ignore", invalid="ignore"):
                self._merge(y, c)

    def _merge(self, y: FloatArray, c: FloatArray) -> None:
        n = len(y)
        rows = np.concatenate([y[None], c])
        # Deviations from the first sample: values that are all equal have variance 0, not rounding.
        origin = rows[:, 0].copy()
        rows -= origin[:, None]
        shift = rows.mean(axis=1)
        rows -= shift[:, None]
        products = np.einsum("in,jn->ij", rows, rows)
        square = rows[0] * rows[0]
        third, fourth = float(np.einsum("n,n->", square, rows[0])), float(np.einsum("n,n->", square, square))
        if self.n == 0:
            self.n, self.mean, self.products, self.third, self.fourth = n, origin + shift, products, third, fourth
            return
        m, total = self.n, self.n + n
        off = origin + shift - self.mean
        d, second, other = float(off[0]), float(self.products[0, 0]), float(products[0, 0])
        self.fourth += (
            fourth
            + d * d * d * d * m * n * (m * m - m * n + n * n) / total**3
            + 6.0 * d * d * (m * m * other + n * n * second) / total**2
            + 4.0 * d * (m * third - n * self.third) / total
        )
        self.third += third + d * d * d * m * n * (m - n) / total**2 + 3.0 * d * (m * other - n * second) / total
        self.products = self.products + products + (m * n / total) * off[:, None] * off
        self.mean = self.mean + (n / total) * off
        self.n = total

    def without_controls(self) -> Tally:
        """The same of y alone."""
        return Tally(self.n, self.mean[:1].copy(), self.products[:1, :1].copy(), self.third, self.fourth)

    @property
    def kurtosis(self) -> float:
        """Fourth central moment over the squared variance, of y; 3 for a normal law, NaN without spread."""
        second = float(self.products[0, 0])
        return self.n * (self.fourth / second / second) if second > 0.0 else math.nan

    def plain(self) -> tuple[float, float, float]:
        """Mean, variance of a sample and variance of the mean, without the controls; NaN for too few samples."""
        if self.n < 2:
            return float(self.mean[0]) if self.n else math.nan, math.nan, math.nan
        variance = float(self.products[0, 0]) / (self.n - 1)
        return float(self.mean[0]), variance, variance / self.n

    def regressed(self) -> tuple[float, float, float]:
        """The same of what the controls do not explain: the least-squares fit at their known expectation."""
        controls = len(self.mean) - 1
        if controls == 0 or self.n <= _SAMPLES_PER_CONTROL * controls or not np.isfinite(self.products).all():
            return self.plain()
        inverse, rank = _inverse(self.products[1:, 1:])
        slopes = np.einsum("c,ce->e", self.products[0, 1:], inverse)
        distance = float(np.einsum("c,ce,e->", self.mean[1:], inverse, self.mean[1:]))
        whole = float(self.products[0, 0])
        rest = max(whole - float(slopes @ self.products[0, 1:]), _ROUNDING * whole)
        variance = rest / (self.n - 1 - rank)
        return float(self.mean[0] - slopes @ self.mean[1:]), variance, variance * (1.0 / self.n + distance)
