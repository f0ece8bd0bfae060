"""What each observer brings home: arrays over its own times, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray
from optsde._html import html_table

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Result:
    """The times of an observer.

    Attributes
    ----------
    t : ndarray, shape (T,)
        Times at which it looked.
    step : ndarray of int, shape (T,)
        Steps of dt since the start.
    """

    t: FloatArray
    step: IntArray

    def _repr_html_(self) -> str:
        rows = [(field.name, _summary(getattr(self, field.name))) for field in fields(self)]
        return html_table(type(self).__name__, rows)


def _summary(value: Any) -> str:
    """A field for a notebook: few numbers as they are, arrays by their shape."""
    if isinstance(value, np.ndarray):
        few = value.ndim <= 1 and value.size <= 8
        return np.array2string(value, precision=6) if few else f"{value.dtype} {value.shape}"
    return str(value)


@dataclass(frozen=True, eq=False)
class FinalResult(Result):
    """States at the end, ``values (n, d)``; NaN rows for diverged paths."""

    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class PathsResult(Result):
    """States of the first k paths, ``values (T, k, d)``; NaN from a path's first bad step on."""

    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class MomentsResult(Result):
    """Mean and unbiased (co)variance over the surviving paths, with standard errors.

    Attributes
    ----------
    n : ndarray, shape (T,)
        Paths counted.
    mean, mean_stderr, var, var_stderr : ndarray, shape (T, d)
    cov, cov_stderr : ndarray, shape (T, d, d), or None where not asked
    """

    n: FloatArray
    mean: FloatArray
    mean_stderr: FloatArray
    var: FloatArray
    var_stderr: FloatArray
    cov: FloatArray | None
    cov_stderr: FloatArray | None


@dataclass(frozen=True, eq=False)
class MeanResult(Result):
    """Mean of a scalar over the surviving paths, ``mean (T,)`` and ``stderr (T,)``."""

    mean: FloatArray
    stderr: FloatArray


@dataclass(frozen=True, eq=False)
class HistogramResult(Result):
    """Counts of the surviving paths in equal bins.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,), or two of them where two coordinates are counted together
    counts : ndarray of int
        (T, bins) for one coordinate or a function, (T, d, bins) for each, (T, bins_i, bins_j) for two together.
    density, stderr : ndarray, shape of counts
        ``counts / (n · width)``, or n times area, and its binomial standard error; of antithetic pairs, the largest
        that it can be.
    underflow, overflow : ndarray of int, shape of counts without the last axis
        Paths below and above the range; of two coordinates together (T, 2), for each of them.
    """

    edges: FloatArray | tuple[FloatArray, FloatArray]
    counts: IntArray
    density: FloatArray
    stderr: FloatArray
    underflow: IntArray
    overflow: IntArray


def rows_of(values: NDArray[Any], rows: slice) -> NDArray[Any]:
    """One variable of the state, values (..., D) to (..., d), contiguous."""
    return values if rows == slice(0, values.shape[-1]) else np.ascontiguousarray(values[..., rows])


def stats_of(stats: dict[str, Any], rows: slice) -> dict[str, Any]:
    """The central sums of one variable of the state."""
    if rows == slice(0, stats["mean"].shape[1]):
        return stats
    vectors = {name: stats[name][:, rows] for name in ("mean", "m2", "m3", "m4")}
    joint = {name: None if stats[name] is None else stats[name][:, rows, rows] for name in ("c11", "c22")}
    return {"n": stats["n"]} | vectors | joint


def moments_result(t: FloatArray, step: IntArray, stats: dict[str, Any]) -> MomentsResult:
    """Statistics from central sums.

    Var(s²) = (μ4 - σ⁴ (n-3)/(n-1))/n; likewise the variance of a sample covariance, from Σ (xi-mi)²(xj-mj)².
    """
    n = np.asarray(stats["n"], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # One path has no variance, and no path no mean: NaN, not 0 and not an error.
        some = np.where(n > 0.0, n, np.nan)[:, None]
        more = np.where(n > 1.0, n - 1.0, np.nan)[:, None]
        mean = np.where(np.isnan(some), np.nan, stats["mean"])
        var = stats["m2"] / more
        var_of_var = (stats["m4"] / some - var**2 * (some - 3.0) / more) / some
        cov = cov_stderr = None
        if stats["c11"] is not None:
            paths, fewer = some[:, :, None], more[:, :, None]
            cov = stats["c11"] / fewer
            diagonal = np.einsum("tii->ti", cov)
            products = diagonal[:, :, None] * diagonal[:, None, :]
            spread = stats["c22"] / paths - cov**2 * (paths - 2.0) / fewer + products / fewer
            cov_stderr = np.sqrt(np.maximum(spread / paths, 0.0))
        return MomentsResult(
            t=t,
            step=step,
            n=n,
            mean=mean,
            mean_stderr=np.sqrt(var / some),
            var=var,
            var_stderr=np.sqrt(np.maximum(var_of_var, 0.0)),
            cov=cov,
            cov_stderr=cov_stderr,
        )


def mean_result(t: FloatArray, step: IntArray, stats: dict[str, Any]) -> MeanResult:
    """The one component of a scalar's statistics."""
    moments = moments_result(t, step, stats)
    return MeanResult(t=t, step=step, mean=moments.mean[:, 0].copy(), stderr=moments.mean_stderr[:, 0].copy())


def histogram_result(
    t: FloatArray,
    step: IntArray,
    edges: FloatArray | tuple[FloatArray, FloatArray],
    cells: IntArray,
    one: bool,
    factor: float = 1.0,
) -> HistogramResult:
    """Densities from the counts of cells (T, tables, bins + 2), the first below the range and the last above it; of two
    coordinates together (T, 1, bins_i + 2, bins_j + 2). ``factor`` multiplies the standard errors of independent paths.
    """
    if one:
        cells = cells[:, 0]
    if isinstance(edges, tuple):
        axes: tuple[int, ...] = (-2, -1)
        counts = cells[:, 1:-1, 1:-1]
        width = np.diff(edges[0])[:, None] * np.diff(edges[1])
        ends = [np.stack([cells[:, end].sum(axis=-1), cells[..., end].sum(axis=-1)], axis=-1) for end in (0, -1)]
    else:
        counts, axes, width = cells[..., 1:-1], (-1,), np.diff(edges)
        ends = [cells[..., 0], cells[..., -1]]
    total = cells.sum(axis=axes, keepdims=True).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = counts / total
        return HistogramResult(
            t=t,
            step=step,
            edges=edges,
            counts=np.ascontiguousarray(counts),
            density=share / width,
            stderr=factor * np.sqrt(share * (1.0 - share) / total) / width,
            underflow=np.ascontiguousarray(ends[0]),
            overflow=np.ascontiguousarray(ends[1]),
        )
