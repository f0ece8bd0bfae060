"""Estimates from units: samples of a path at many times, or antithetic pairs of paths, correlated among themselves.

A unit's mean of quantity i is m_i and s_ij its mean product of deviations from m_i and m_j. Over all samples the
covariance is E s_ij + Cov(m_i, m_j); its error is that of the mean of s_ij + (m_i - μ_i)(m_j - μ_j) over units. The
engine sums these about a centre c that all units share, and here they are moved from c to the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, frozen
from optsde.results import MeanResult, MomentsResult

IntArray = NDArray[np.int64]
# No pairs at all.
NONE: IntArray = np.empty((0, 2), dtype=np.int64)


def pairs_of(quantities: int, cov: bool) -> IntArray:
    """The pairs (i, j), i <= j, whose covariance is wanted, (P, 2)."""
    numbers = np.arange(quantities)
    i, j = np.triu_indices(quantities) if cov else (numbers, numbers)
    return np.stack([i, j], axis=-1).astype(np.int64)


def unit_plan(
    pairs: IntArray, centre: FloatArray, extra: IntArray, *, spreads: bool, antithetic: bool
) -> dict[str, Any]:
    """The native description of units, with the products that :class:`UnitSums` reads and some ``extra`` ones."""
    squares = len(centre) + len(pairs) + np.arange(len(pairs))
    of_pairs = [
        pairs,
        np.stack([squares, squares], axis=-1),
        np.stack([squares, pairs[:, 0]], axis=-1),
        np.stack([squares, pairs[:, 1]], axis=-1),
        np.stack([pairs[:, 0], pairs[:, 0]], axis=-1),
        np.stack([pairs[:, 1], pairs[:, 1]], axis=-1),
    ]
    products = np.concatenate([*of_pairs, extra]).astype(np.int64)
    return {
        "centre": frozen(np.ascontiguousarray(centre, dtype=np.float64)),
        "pairs": frozen(pairs),
        "products": frozen(np.ascontiguousarray(products)),
        "spreads": spreads,
        "antithetic": antithetic,
    }


def plan_numbers(quantities: int, pairs: int) -> int:
    """How many numbers the sums of such units are at one time."""
    return 1 + quantities + 8 * pairs


def mean_plan() -> dict[str, Any]:
    """The description of antithetic pairs of one quantity of which the mean alone is wanted."""
    return unit_plan(NONE, np.zeros(1), np.zeros((1, 2), dtype=np.int64), spreads=False, antithetic=True)


@dataclass(frozen=True)
class UnitSums:
    """The sums of units at T times: of c quantities and of P pairs (i, j) of them.

    ``between`` is Σ (m_i - mean_i)(m_j - mean_j), ``value`` the covariance and ``squares`` the sum of squared
    deviations of what it is the mean of, each (T, P).
    """

    n: FloatArray
    mean: FloatArray
    between: FloatArray
    value: FloatArray
    squares: FloatArray

    @classmethod
    def of(cls, stats: dict[str, Any], pairs: IntArray) -> UnitSums:
        """From what the engine summed."""
        count, centre = len(pairs), stats["centre"]
        n = np.asarray(stats["units"])[:, None]
        means = np.where(n > 0.0, stats["mean"], np.nan)
        mean, spread = means[:, : len(centre)], means[:, len(centre) : len(centre) + count]
        parts = [stats["products"][:, k * count : (k + 1) * count] for k in range(6)]
        between, squares, with_i, with_j, own_i, own_j = parts
        shift = mean - centre
        a, b = shift[:, pairs[:, 0]], shift[:, pairs[:, 1]]
        moved = squares - 2.0 * (b * with_i + a * with_j) + b * b * own_i + a * a * own_j + 2.0 * a * b * between
        value = spread + between / fewer(n)
        return cls(n=n, mean=mean, between=between, value=value, squares=np.maximum(moved, 0.0))


def fewer(n: FloatArray) -> FloatArray:
    """N - 1, NaN where there is no variance."""
    return np.where(n > 1.0, n - 1.0, np.nan)


def standard_error(squares: FloatArray, n: FloatArray) -> FloatArray:
    """Of a mean of n values with this sum of squared deviations."""
    return np.asarray(np.sqrt(squares / fewer(n) / n))


def unit_moments(t: FloatArray, step: IntArray, stats: dict[str, Any], rows: slice, cov: bool) -> MomentsResult:
    """Mean and (co)variance of the variable with these rows of the state."""
    pairs = pairs_of(len(stats["centre"]), cov)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sums = UnitSums.of(stats, pairs)
        stderr = standard_error(sums.squares, sums.n)
        own = np.flatnonzero(pairs[:, 0] == pairs[:, 1])[rows]
        of_cov = of_stderr = None
        if cov:
            i, j = pairs.T
            shape = (len(t), len(stats["centre"]), len(stats["centre"]))
            of_cov, of_stderr = np.empty(shape), np.empty(shape)
            of_cov[:, i, j] = of_cov[:, j, i] = sums.value
            of_stderr[:, i, j] = of_stderr[:, j, i] = stderr
            of_cov, of_stderr = (np.ascontiguousarray(x[:, rows, rows]) for x in (of_cov, of_stderr))
        return MomentsResult(
            t=t,
            step=step,
            n=np.asarray(stats["n"]),
            mean=np.ascontiguousarray(sums.mean[:, rows]),
            mean_stderr=standard_error(sums.between[:, own], sums.n),
            var=np.ascontiguousarray(sums.value[:, own]),
            var_stderr=np.ascontiguousarray(stderr[:, own]),
            cov=of_cov,
            cov_stderr=of_stderr,
        )


def unit_mean(t: FloatArray, step: IntArray, stats: dict[str, Any]) -> MeanResult:
    """The mean of one quantity of :func:`mean_plan`."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        n = np.asarray(stats["units"])
        mean = np.where(n > 0.0, stats["mean"][:, 0], np.nan)
        return MeanResult(t=t, step=step, mean=mean, stderr=standard_error(stats["products"][:, -1], n))
