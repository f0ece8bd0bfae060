"""Evidence for and against stationarity: halves that agree, no drift, finite moments, and how long mixing would take.

Tests are of means and variances of all variables, over independent groups of paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from optsde._arrays import FloatArray
from optsde.stationary._blocks import ENOUGH, Blocks

# Of one look at a stationary run, over all variables, means and variances.
FALSE_ALARM = 1e-4
# A tail index below this leaves no room for a variance with an error; so many extremes are looked at.
HEAVY = 3.0
_EXTREMES = 0.005
# One group with more than this share of the scatter of a variance carries it alone.
DOMINANT = 0.25
# Lags that are summed, in integrated autocorrelation times.
_WINDOW = 8.0
# What both tests hold: differences are sought that are so many standard errors even at best.
_SURE = 3.0


def quantile(dof: int, comparisons: int) -> float:
    """Two-sided bound of Student's t at the false alarm, Bonferroni's for the comparisons (Cornish and Fisher)."""
    z = NormalDist().inv_cdf(1.0 - FALSE_ALARM / (2.0 * comparisons))
    return z + (z**3 + z) / (4.0 * dof) + (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * dof**2)


def observables(blocks: Blocks) -> FloatArray:
    """Means and squared deviations of all variables, (blocks, groups, 2 D)."""
    first, products = blocks.deviations()
    squares = np.einsum("bgvii->bgvi", products).reshape(first.shape)
    return np.concatenate([first, squares], axis=2)


def _mean_and_variance(values: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Of the mean of block values (b, g, ...): groups as one value each, if they are many, else every block."""
    flat = values.mean(axis=0) if values.shape[1] >= ENOUGH // 4 else values.reshape(-1, *values.shape[2:])
    return flat.mean(axis=0), flat.var(axis=0, ddof=1) / len(flat), len(flat) - 1


@dataclass(frozen=True)
class Difference:
    """Of two parts of a run: in means and variances (2 D,), with its standard error."""

    value: FloatArray
    error: FloatArray
    dof: int

    @property
    def worst(self) -> int:
        """Index of the observable that differs most."""
        return int(np.abs(self.z).argmax())

    @property
    def z(self) -> FloatArray:
        """In standard errors; what does not move at all does not differ."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(self.value / self.error, nan=0.0, posinf=1e30, neginf=-1e30)

    @property
    def significant(self) -> bool:
        """Whether chance would not do it."""
        return bool(np.abs(self.z).max() > quantile(self.dof, self.value.size))


def halves(values: FloatArray) -> Difference:
    """Paths from the start (even groups) against those that started dispersed (odd groups)."""
    cold, cold_var, dof = _mean_and_variance(values[:, ::2])
    hot, hot_var, _ = _mean_and_variance(values[:, 1::2])
    return Difference(cold - hot, np.sqrt(cold_var + hot_var), dof)


def drift(values: FloatArray) -> Difference:
    """The last third against the first, path by path where paths are many."""
    third = len(values) // 3
    early, late = values[:third], values[-third:]
    if values.shape[1] >= ENOUGH // 4:
        paired = late.mean(axis=0) - early.mean(axis=0)
        return Difference(paired.mean(axis=0), paired.std(axis=0, ddof=1) / math.sqrt(len(paired)), len(paired) - 1)
    (a, va, dof), (b, vb, _) = _mean_and_variance(early), _mean_and_variance(late)
    return Difference(b - a, np.sqrt(va + vb), dof)


def steps_to_mix(values: FloatArray, steps: int, goal: FloatArray) -> float:
    """Steps until the halves' difference would fall to the goal (2 D,), at the fastest rate that the run allows.

    From the differences in the first and the last third of a segment of so many steps: exponential decay, with
    three standard errors in favour of mixing, path by path, since what stands still has the same noise in both. 0 where
    nothing stands out.
    """
    third = len(values) // 3
    early, late = values[:third], values[-third:]
    now, change = halves(late), halves(late - early)
    size = np.abs(now.value)
    sure = size > np.maximum(2.0 * _SURE * now.error, goal)
    if not sure.any():
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        shrunk = (_SURE * change.error - change.value * np.sign(now.value)) / size
        decay = np.log1p(np.maximum(shrunk, 0.0)) / (2.0 / 3.0 * steps)
        needed = np.log(size / goal) / decay
    return float(needed[sure].max())


def _integrated(x: FloatArray) -> float:
    """``1 + 2 Σ ρ`` of deviations (n, K) of many chains, over lags up to eight times the sum (Sokal's window).

    The mean is known from all chains, so that correlations are unbiased and noise does not add up as it does in sums
    up to the first negative term. Infinite where the chains are too short to show it.
    """
    n = x.shape[1]
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(x, n=size, axis=1)
    power = np.square(spectrum.real).mean(axis=0) + np.square(spectrum.imag).mean(axis=0)
    half = max(n // 2, 1)
    covariance = np.fft.irfft(power, n=size)[:half] / (n - np.arange(half))
    correlation = covariance / covariance[0]
    sums = -1.0 + 2.0 * np.cumsum(correlation)
    # What alternates ends when its size does.
    enough = np.arange(half) >= _WINDOW * (-1.0 + 2.0 * np.cumsum(np.abs(correlation)))
    if not enough.any():
        return math.inf
    return float(max(sums[enough.argmax()], 1.0 / n))


def autocorrelation_times(draws: FloatArray, stride: int) -> tuple[FloatArray, FloatArray]:
    """Integrated times (D,), in steps, of coordinates and of their squared deviations, from draws (K, n, D); infinite
    where they are too long to be seen.
    """
    times = np.ones((2, draws.shape[2]))
    for i in range(draws.shape[2]):
        x = draws[..., i].T
        deviation = x - x.mean()
        squares = deviation**2
        for row, y in enumerate((deviation, squares - squares.mean())):
            largest = np.abs(y).max()
            # Constants have no time.
            if largest > 0.0 and np.isfinite(largest):
                times[row, i] = stride * _integrated(y / largest)
    return times[0], times[1]


def local_time(draws: FloatArray, stride: int) -> float:
    """The longest integrated time, in steps, within paths: each about its own mean, so that wells do not count; no
    less than the draws can show.
    """
    return max(float(autocorrelation_times(draws - draws.mean(axis=0), stride)[0].max()), float(stride))


def tail_index(draws: FloatArray) -> tuple[FloatArray, int]:
    """Hill's estimate (D,) of the power with which tails fall, from nearly independent draws (N, D)."""
    distance = np.sort(np.abs(draws - np.median(draws, axis=0)), axis=0)[::-1]
    count = max(int(_EXTREMES * len(distance)), 20)
    if len(distance) < 4 * count:
        return np.full(draws.shape[1], np.inf), count
    with np.errstate(divide="ignore", invalid="ignore"):
        index = 1.0 / np.log(distance[:count] / distance[count]).mean(axis=0)
    return np.nan_to_num(index, nan=np.inf), count


def dominated(values: FloatArray) -> FloatArray:
    """The largest share (2 D,) that one group has in the scatter of all."""
    flat = values.mean(axis=0) if values.shape[1] >= ENOUGH // 4 else values.reshape(-1, values.shape[2])
    squares = (flat - flat.mean(axis=0)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(squares.max(axis=0) / squares.sum(axis=0)))
