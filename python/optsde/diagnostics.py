"""Diagnostics of simulated chains: split R-hat, effective sample size, integrated autocorrelation, Monte Carlo error.

The formulas are those of ArviZ, number by number: chains split in half, ranks normalised where asked, and
autocorrelations summed by Geyer's initial monotone sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, frozen, real_numbers

__all__ = ["ess", "iact", "mcse", "rhat"]

# ArviZ calls draws that differ by less than this constant.
_CONSTANT = 1e-15


def _draws(draws: ArrayLike) -> FloatArray:
    """Draws as (chain, draw, d), with at least 4 draws a chain."""
    array = np.asarray(real_numbers("draws", draws), dtype=np.float64)
    if array.ndim not in (2, 3) or array.shape[0] < 1 or array.shape[1] < 4:
        raise ValueError(
            f"draws: expected shape (chain, draw) or (chain, draw, d) with at least 4 draws, got {array.shape}"
        )
    return array[..., None] if array.ndim == 2 else array


def _each(draws: ArrayLike, function: Callable[[FloatArray], float]) -> FloatArray | float:
    """A function of (chain, draw) for each coordinate; NaN where draws are not finite."""
    array = _draws(draws)
    values = [
        function(np.ascontiguousarray(array[..., i])) if np.isfinite(array[..., i]).all() else math.nan
        for i in range(array.shape[2])
    ]
    return values[0] if np.ndim(draws) == 2 else np.array(values)


def _choice(method: str, choices: tuple[str, ...]) -> str:
    if method not in choices:
        raise ValueError(f"method: expected one of {', '.join(map(repr, choices))}, got {method!r}")
    return method


def _halves(x: FloatArray) -> FloatArray:
    """Each chain as two: (2 chain, draw / 2)."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_scores(x: FloatArray) -> FloatArray:
    """Normal quantiles of the ranks, ties sharing the mean of theirs (Blom's 3/8)."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank = last - (counts - 1) / 2.0
    scores = _untied_scores(x.size) if len(rank) == x.size else _quantiles(rank, x.size)
    return scores[inverse].reshape(x.shape)


def _quantiles(rank: FloatArray, n: int) -> FloatArray:
    quantile = NormalDist().inv_cdf
    return np.array([quantile(p) for p in ((rank - 0.375) / (n + 0.25)).tolist()])


@lru_cache(maxsize=4)
def _untied_scores(n: int) -> FloatArray:
    """Those of the ranks 1 to n, the same for all draws without ties."""
    return frozen(_quantiles(np.arange(1.0, n + 1.0), n))


def _rhat(x: FloatArray) -> float:
    """The potential scale reduction of chains (m, n)."""
    n = x.shape[1]
    between = n * np.var(x.mean(axis=1), ddof=1)
    within = np.var(x, axis=1, ddof=1).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt((between / within + n - 1) / n))


def _rank_rhat(x: FloatArray) -> float:
    split = _halves(x)
    folded = np.abs(split - np.median(split))
    return max(_rhat(_normal_scores(split)), _rhat(_normal_scores(folded)))


def autocovariances(x: FloatArray) -> FloatArray:
    """Autocovariances (m, n) of chains (m, n) at all lags, each about its own mean, divided by n."""
    n = x.shape[1]
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(x - x.mean(axis=1, keepdims=True), n=size, axis=1)
    return np.asarray(np.fft.irfft(spectrum * np.conjugate(spectrum), n=size, axis=1)[:, :n] / n)


def _ess(x: FloatArray) -> float:
    """Effective sample size of chains (m, n), as Stan and ArviZ have it."""
    m, n = x.shape
    if np.ptp(x) < _CONSTANT:
        return float(x.size)
    covariance = autocovariances(x).mean(axis=0)
    within = covariance[0] * n / (n - 1.0)
    total = covariance[0] + (np.var(x.mean(axis=1), ddof=1) if m > 1 else 0.0)
    correlation = 1.0 - (within - covariance) / total
    rho = np.zeros(n)
    rho[0], rho[1] = 1.0, correlation[1]
    even, odd, t = 1.0, correlation[1], 1
    # Geyer's initial positive sequence: pairs of neighbours, up to the first with a sum that is not positive.
    while t < n - 3 and even + odd > 0.0:
        even, odd = correlation[t + 1], correlation[t + 2]
        if even + odd >= 0.0:
            rho[t + 1], rho[t + 2] = even, odd
        t += 2
    last = t - 2
    if even > 0.0:
        rho[last + 1] = even
    # And his initial monotone one: a pair is no larger than the pair before.
    for k in range(1, last - 1, 2):
        if rho[k + 1] + rho[k + 2] > rho[k - 1] + rho[k]:
            rho[k + 1] = rho[k + 2] = (rho[k - 1] + rho[k]) / 2.0
    tau = -1.0 + 2.0 * rho[: last + 1].sum() + rho[last + 1 : last + 2].sum()
    return float(m * n / max(tau, 1.0 / math.log10(m * n)))


def _mcse_mean(x: FloatArray) -> float:
    return float(np.std(x, ddof=1)) / math.sqrt(_ess(_halves(x)))


def _mcse_sd(x: FloatArray) -> float:
    squares = (x - x.mean()) ** 2
    variance = squares.mean()
    of_variance = ((squares**2).mean() - variance**2) / _ess(_halves(squares))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(of_variance / variance / 4.0))


def rhat(draws: ArrayLike, method: str = "rank") -> FloatArray | float:
    """Split R-hat: how much wider all chains together are than each half of a chain; 1 where they agree.

    Parameters
    ----------
    draws : array_like, shape (chain, draw) or (chain, draw, d)
    method : {"rank", "split"}
        ``"rank"``: the larger of two, of ranks normalised and of ranks of the distance from the median, which sees
        differences of scale and needs no moments. ``"split"``: the classical one, of the draws themselves.

    Returns
    -------
    float, or ndarray of shape (d,)
        NaN where a draw is not finite, or none differs.

    Raises
    ------
    ValueError
        For another shape, fewer than 4 draws, or another method.

    Examples
    --------
    >>> import numpy as np, optsde
    >>> draws = np.random.default_rng(1).normal(size=(4, 1000))
    >>> round(optsde.diagnostics.rhat(draws), 2), round(optsde.diagnostics.rhat(draws + [[0], [0], [0], [2]]), 1)
    (1.0, 1.3)

    Source: Vehtari, Gelman, Simpson, Carpenter and Bürkner, Bayesian Analysis 16 (2021) 667, equations 4 and 13-15.
    """
    rank = _choice(method, ("rank", "split")) == "rank"
    return _each(draws, _rank_rhat if rank else lambda x: _rhat(_halves(x)))


def ess(draws: ArrayLike, method: str = "bulk") -> FloatArray | float:
    """Effective sample size: how many independent draws would know the mean as well.

    Parameters
    ----------
    draws : array_like, shape (chain, draw) or (chain, draw, d)
    method : {"bulk", "mean"}
        Of normal scores of ranks, or of the draws themselves.

    Returns
    -------
    float, or ndarray of shape (d,)

    Raises
    ------
    ValueError
        As :func:`rhat`.

    Examples
    --------
    >>> import numpy as np, optsde
    >>> draws = np.random.default_rng(1).normal(size=(4, 1000))
    >>> 3500 < optsde.diagnostics.ess(draws, "mean") < 4500
    True

    Source: Vehtari et al. (2021), equations 10-12; Geyer, Statistical Science 7 (1992) 473.
    """
    bulk = _choice(method, ("bulk", "mean")) == "bulk"
    return _each(draws, lambda x: _ess(_normal_scores(_halves(x)) if bulk else _halves(x)))


def iact(draws: ArrayLike) -> FloatArray | float:
    """Integrated autocorrelation time ``1 + 2 Σ_k ρ_k`` in draws: how many of them are worth one independent draw.

    Parameters
    ----------
    draws : array_like, shape (chain, draw) or (chain, draw, d)

    Returns
    -------
    float, or ndarray of shape (d,)
        Draws divided by their effective sample size for the mean; below 1 where neighbours are anticorrelated.

    Examples
    --------
    >>> import numpy as np, optsde
    >>> draws = np.random.default_rng(1).normal(size=(4, 1000))
    >>> round(optsde.diagnostics.iact(draws))
    1

    Source: Geyer, Statistical Science 7 (1992) 473; as :func:`ess`.
    """
    return _each(draws, lambda x: x.size / _ess(_halves(x)))


def mcse(draws: ArrayLike, method: str = "mean") -> FloatArray | float:
    """Monte Carlo standard error of the mean, or of the standard deviation.

    Parameters
    ----------
    draws : array_like, shape (chain, draw) or (chain, draw, d)
    method : {"mean", "sd"}

    Returns
    -------
    float, or ndarray of shape (d,)

    Examples
    --------
    >>> import numpy as np, optsde
    >>> draws = np.random.default_rng(1).normal(size=(4, 2500))
    >>> round(optsde.diagnostics.mcse(draws), 2)
    0.01

    Source: Vehtari et al. (2021), section 4; ArviZ's ``mcse``.
    """
    return _each(draws, _mcse_mean if _choice(method, ("mean", "sd")) == "mean" else _mcse_sd)
