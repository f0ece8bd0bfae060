"""Quantiles over paths, from counts in buckets of floating-point bits, with a stated error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, real_array, real_number
from optsde.observers._base import IntArray, Timed, checked_name, checked_times, pair_factor
from optsde.results import Result

if TYPE_CHECKING:
    from optsde._recipe import Recipe

# The powers of two that most laws have their values within: for the bytes that their buckets take.
_USUAL_BINADES = 32
_MOST_BITS = 16
# Paths of the largest block, which Python is called with.
_MOST_IN_BLOCK = 255 * 64
_NOT_A_NUMBER = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class QuantilesResult(Result):
    """Quantiles of each coordinate over the surviving paths.

    Attributes
    ----------
    q : ndarray, shape (Q,)
    values : ndarray, shape (T, Q, d)
        Between neighbouring paths as NumPy's default (``method="linear"``).
    stderr : ndarray, shape (T, Q, d)
        Half the distance of the quantiles that are a binomial standard deviation of ranks away on either side; NaN
        where there are none, as at q = 0 and 1.
    n : ndarray of int, shape (T,)
        Paths counted.
    error : float
        Each path's value is known to this relative error: a bound on that of ``values`` beside the sample's own
        quantiles (relative to the larger of the two neighbours, where these have different signs).
    """

    q: FloatArray
    values: FloatArray
    stderr: FloatArray
    n: IntArray
    error: float


def _edges(buckets: IntArray, bits: int) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest value of buckets; 0 is that of zero, those of infinities and of NaN have equal ends."""
    size = np.abs(buckets)
    most = np.int64(0x7FF << bits)
    leading = np.minimum(size + (1 << bits) - 1, most)
    near = (leading << (52 - bits)).view(np.float64)
    far = (np.minimum(leading + 1, most) << (52 - bits)).view(np.float64)
    # The end of the last finite bucket is the largest number.
    far = np.where(leading < most, np.minimum(far, np.finfo(np.float64).max), far)
    near, far = (np.where(size == 0, 0.0, end) for end in (near, far))
    near, far = (np.where(buckets == _NOT_A_NUMBER, np.nan, end) for end in (near, far))
    return np.where(buckets < 0, -far, near), np.where(buckets < 0, -near, far)


class _Sample:
    """The values of one variable at one time, as far as buckets know them."""

    def __init__(self, buckets: IntArray, counts: IntArray, bits: int) -> None:
        self.low, self.high = _edges(buckets, bits)
        self.counts = counts
        self.ends = np.cumsum(counts)
        self.n = int(self.ends[-1]) if len(counts) else 0

    def _of_rank(self, rank: FloatArray) -> FloatArray:
        """The values of whole ranks 0 to n - 1: those of a bucket lie evenly within it."""
        bucket = np.searchsorted(self.ends, rank, side="right")
        first = self.ends[bucket] - self.counts[bucket]
        share = (rank - first + 0.5) / self.counts[bucket]
        low, high = self.low[bucket], self.high[bucket]
        with np.errstate(invalid="ignore"):
            return np.where(low == high, low, low + share * (high - low))

    def at(self, position: FloatArray) -> FloatArray:
        """The values at positions between 0 and n - 1, linear between ranks."""
        below = np.floor(position)
        above = np.minimum(below + 1.0, self.n - 1.0)
        part = position - below
        one, other = self._of_rank(below), self._of_rank(above)
        with np.errstate(invalid="ignore"):
            return np.where(part == 0.0, one, (1.0 - part) * one + part * other)

    def quantiles(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Quantiles and their standard errors."""
        none = np.full(len(q), np.nan)
        # With a NaN among them, which sort last, no quantile is known.
        if self.n == 0 or np.isnan(self.low[-1]):
            return none, none
        last = self.n - 1.0
        position = q * last
        spread = np.sqrt(self.n * q * (1.0 - q))
        low, high = np.maximum(position - spread, 0.0), np.minimum(position + spread, last)
        values = self.at(position)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            # Where an end is cut off, the distance is that of fewer ranks.
            stderr = spread * (self.at(high) - self.at(low)) / (high - low)
        return values, stderr


def merged_buckets(raws: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several shards added up: whole numbers, the same in any order."""
    every = np.concatenate([raw["buckets"] for raw in raws])
    counts = np.concatenate([raw["bucket_counts"] for raw in raws])
    buckets, place = np.unique(every, return_inverse=True)
    total = np.zeros(len(buckets), dtype=np.int64)
    np.add.at(total, place.reshape(-1), counts)
    return {"buckets": buckets, "bucket_counts": total, "rows": raws[0]["rows"]}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Quantiles(Timed):
    """Quantiles of every variable: ``ens[name]`` with ``.q (Q,)``, ``.values (T, Q, d)`` and ``.stderr (T, Q, d)``.

    Values are counted in log-linear buckets, which their leading bits number: each value is known to a relative error
    of at most ``rtol``, however many paths there are, and shards add up to the bits of the whole.

    Parameters
    ----------
    q : float or (Q,) array_like
        Between 0 and 1.
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    rtol : float
        The largest relative error of a value, rounded down to a power of two between 2⁻¹⁶ and ½; memory and time grow
        as it falls.
    name : str, optional

    Notes
    -----
    The buckets are those of an HDR histogram (G. Tene, 2012). The standard errors are distribution-free (R. S.
    Woodruff, J. Am. Stat. Assoc. 47, 635, 1952): they need no density, and get poor where fewer than some ten paths lie
    beyond q.

    Examples
    --------
    >>> import optsde
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    >>> ens = optsde.simulate(ou, 0.0, n_paths=1000, t1=1.0, dt=0.1, rng=7, observe=optsde.Quantiles([0.05, 0.5, 0.95]))
    >>> ens["quantiles"].values.shape
    (1, 3, 1)
    """

    q: FloatArray
    at: int | FloatArray | None
    rtol: float
    name: str
    _default_name: ClassVar[str] = "quantiles"
    _sees_state: ClassVar[bool] = True

    def __init__(
        self, q: ArrayLike, at: int | ArrayLike | None = None, *, rtol: float = 2.0**-11, name: str | None = None
    ) -> None:
        wanted = real_array("q", q)
        if wanted.ndim > 1 or wanted.size == 0:
            raise ValueError(f"q: expected a number or a 1-D array of numbers, got shape {wanted.shape}")
        wanted = wanted.reshape(-1)
        if wanted.min() < 0.0 or wanted.max() > 1.0:
            raise ValueError(f"q: expected numbers between 0 and 1, got {wanted.min():g} to {wanted.max():g}")
        error = real_number("rtol", rtol)
        if not 2.0**-_MOST_BITS <= error <= 0.5:
            raise ValueError(f"rtol: expected a number between 2**-{_MOST_BITS} and 0.5, got {error:g}")
        self._set(q=wanted, at=checked_times(at), rtol=error, name=checked_name(name, self._default_name))

    @property
    def _bits(self) -> int:
        return math.ceil(-math.log2(self.rtol))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        cells = self._count(recipe.grid) * recipe.rows
        buckets = min(recipe.paths_run, _USUAL_BINADES << self._bits)
        # A sketch for each thread, of 16 bytes a bucket and 4 a value that waits to be counted, one for all, and one
        # that they are merged into; threads hold the buckets of a block of paths in hand as well.
        return cells * (
            recipe.threads * 4 * min(recipe.paths_run, _MOST_IN_BLOCK) + (recipe.threads + 2) * 20 * buckets
        )

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "quantiles", "bits": self._bits}

    def _settle(self, raw: dict[str, Any], recipe: Recipe) -> None:
        raw["rows"] = recipe.rows

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> QuantilesResult:
        buckets, counts, every = raw["buckets"], raw["bucket_counts"], raw["rows"]
        # Rounded, as buckets of negative numbers are negative.
        cells = (buckets + (1 << 31)) >> 32
        width = rows.stop - rows.start
        values = np.empty((len(t), len(self.q), width))
        stderr, n = np.empty_like(values), np.zeros(len(t), dtype=np.int64)
        for k in range(len(t)):
            for i in range(width):
                cell = k * every + rows.start + i
                part = slice(*np.searchsorted(cells, [cell, cell + 1]))
                sample = _Sample(buckets[part] - (cell << 32), counts[part], self._bits)
                values[k, :, i], stderr[k, :, i] = sample.quantiles(self.q)
                n[k] = sample.n
        stderr *= pair_factor(raw)
        return QuantilesResult(t=t, step=step, q=self.q, values=values, stderr=stderr, n=n, error=2.0**-self._bits)
