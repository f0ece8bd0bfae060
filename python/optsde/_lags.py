"""What the autocovariance of units is made of, and the autocorrelation time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde._arrays import FloatArray
from optsde._units import UnitSums, standard_error, unit_plan
from optsde.results import IntArray, Result

# Sokal's window: the sum ends at the first lag of at least so many autocorrelation times.
_WINDOW = 5.0


@dataclass(frozen=True, eq=False)
class AutocovarianceResult(Result):
    """Autocovariance of each parameter, with ``t`` and ``step`` of the end of the run.

    Attributes
    ----------
    n : float
        Paths counted.
    lags : ndarray, shape (L,)
        In time.
    lag_steps : ndarray of int, shape (L,)
        In steps of dt.
    autocovariance, autocovariance_stderr : ndarray, shape (L, d)
    autocorrelation, autocorrelation_stderr : ndarray, shape (L, d)
        The autocovariance over that of lag 0.
    iact : ndarray, shape (d,)
        Integrated autocorrelation time in steps of dt, ``1 + 2 Σ ρ`` up to the first lag M with M >= 5 τ(M) (Sokal
        1997); NaN where the lags are not all from 0 on, or end before that: ask for more of them.
    """

    n: float
    lags: FloatArray
    lag_steps: IntArray
    autocovariance: FloatArray
    autocovariance_stderr: FloatArray
    autocorrelation: FloatArray
    autocorrelation_stderr: FloatArray
    iact: FloatArray


def _with_zero(lags: IntArray) -> IntArray:
    """Lag 0 is always there: correlations are relative to it."""
    return lags if lags[0] == 0 else np.concatenate([[0], lags]).astype(np.int64)


def _pairs(lags: int, dim: int) -> IntArray:
    """The quantities of lag l and coordinate i: number l·d + i the leading mean, and after all of these the lagged."""
    leading = np.arange(lags * dim)
    return np.stack([leading, leading + lags * dim], axis=-1).astype(np.int64)


def lag_plan(lags: IntArray, centre: FloatArray, antithetic: bool) -> dict[str, Any]:
    """Lags and units of the native description."""
    lags = _with_zero(lags)
    dim, pairs = len(centre), _pairs(len(lags), len(centre))
    squares = 3 * len(pairs) + np.arange(len(pairs))
    # What a ratio to lag 0 needs: products with the square and the mean of lag 0 of the same coordinate.
    square, mean = (np.tile(np.arange(dim) + first, len(lags)) for first in (3 * len(pairs), 0))
    columns = (squares, pairs[:, 0], pairs[:, 1])
    extra = np.concatenate([np.stack([column, zero], axis=-1) for zero in (square, mean) for column in columns])
    units = unit_plan(pairs, np.tile(centre, 2 * len(lags)), extra, spreads=True, antithetic=antithetic)
    return {"lags": [int(lag) for lag in lags], "units": units}


def _correlation_squares(
    stats: dict[str, Any], sums: UnitSums, pairs: IntArray, correlation: FloatArray, dim: int
) -> FloatArray:
    """Sums of squares of v_l - ρ_l v_0 over units, v_l being what the autocovariance of lag l is the mean of."""
    count = len(pairs)
    parts = [stats["products"][:, (6 + k) * count : (7 + k) * count] for k in range(6)]
    square_square, leading_square, lagged_square, square_mean, leading_mean, lagged_mean = parts
    shift = sums.mean - stats["centre"]
    a, b = shift[:, pairs[:, 0]], shift[:, pairs[:, 1]]
    shift_0 = np.tile(shift[:, :dim], count // dim)
    with_square = square_square - b * leading_square - a * lagged_square
    with_mean = square_mean - b * leading_mean - a * lagged_mean
    product = with_square - 2.0 * shift_0 * with_mean
    own = np.tile(sums.squares[:, :dim], count // dim)
    squares = sums.squares - 2.0 * correlation * product + correlation**2 * own
    return np.asarray(np.maximum(squares, 0.0), dtype=np.float64)


def integrated_time(correlation: FloatArray) -> float:
    """``1 + 2 Σ ρ`` of ρ at lags 0, 1, …, by Sokal's window; NaN where it does not close."""
    times = 2.0 * np.cumsum(correlation) - 1.0
    closed = np.arange(len(times)) >= _WINDOW * times
    return float(times[np.argmax(closed)]) if closed.any() else float("nan")


def lag_result(t: FloatArray, step: IntArray, stats: dict[str, Any], lags: IntArray, dt: float) -> AutocovarianceResult:
    """Autocovariance, correlation and its time from the sums."""
    all_lags = _with_zero(lags)
    dim = len(stats["centre"]) // (2 * len(all_lags))
    pairs = _pairs(len(all_lags), dim)
    shape, asked = (len(all_lags), dim), slice(len(all_lags) - len(lags), None)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sums = UnitSums.of(stats, pairs)
        at_zero = np.tile(sums.value[:, :dim], len(all_lags))
        correlation = sums.value / at_zero
        squares = _correlation_squares(stats, sums, pairs, correlation, dim)
        correlation_stderr = standard_error(squares, sums.n) / at_zero
        covariance_stderr = standard_error(sums.squares, sums.n)
    rows = [x.reshape(shape)[asked] for x in (sums.value, covariance_stderr, correlation, correlation_stderr)]
    consecutive = np.array_equal(all_lags, np.arange(len(all_lags)))
    time = [integrated_time(rho) if consecutive else np.nan for rho in correlation.reshape(shape).T]
    return AutocovarianceResult(
        t=t,
        step=step,
        n=float(stats["n"][0]),
        lags=np.asarray(lags * dt, dtype=np.float64),
        lag_steps=lags,
        autocovariance=rows[0],
        autocovariance_stderr=rows[1],
        autocorrelation=rows[2],
        autocorrelation_stderr=rows[3],
        iact=np.array(time),
    )
