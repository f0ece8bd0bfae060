"""Pictures over time: trajectories with fans of quantiles, and autocorrelations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, integer, real_array, real_numbers
from optsde._reports import axes
from optsde.plot._sources import clock, is_ensemble, observed, result_of
from optsde.plot.densities import next_color, parameter

if TYPE_CHECKING:
    import matplotlib.axes

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Up to so many points are worth their dots.
_FEW = 60


def _paths_of(source: Any) -> tuple[FloatArray, Any] | None:
    """Times and paths (T, k, d), unread where they lie on disk."""
    found = result_of(source, "PathsResult") or result_of(source, "StoredPathsResult")
    if found is not None:
        return found.t, found.values
    if isinstance(source, tuple) and len(source) == 2:
        t, values = np.asarray(source[0], dtype=np.float64), np.asarray(source[1])
        values = values[..., None] if values.ndim == 2 else values
        if t.ndim != 1 or values.ndim != 3 or len(t) != len(values):
            raise ValueError(
                f"source: expected (t, paths) of shapes (T,) and (T, k) or (T, k, d), got {t.shape} and {values.shape}"
            )
        return t, values
    return None


def _column(values: Any, coord: int) -> FloatArray:
    """Paths (T, k) of one coordinate, without those that diverged."""
    one = np.asarray(values[:, :, integer("coord", coord, 0, values.shape[2] - 1)], dtype=np.float64)
    return one[:, np.isfinite(one).all(axis=0)]


def trajectories(
    source: Any,
    *,
    coord: int = 0,
    lines: int = 6,
    quantiles: Sequence[float] = _QUANTILES,
    unit: str = "time",
    label: str | None = None,
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """A fan of quantiles over time, and some of the paths.

    Parameters
    ----------
    source : Ensemble, PathsResult, QuantilesResult, or a pair (t, paths) of shapes (T,) and (T, k) or (T, k, d)
        An ensemble has been observed with ``Paths`` or ``Quantiles``; the fan is the latter's where it is there.
    coord : int
        Which coordinate.
    lines : int
        How many paths are drawn.
    quantiles : sequence of float
        In (0, 1): the fan's edges from outside to inside, by pairs, and the median as a line. Those of a
        ``Quantiles`` observer are its own.
    unit : {"time", "steps"}
        Of the horizontal axis; steps are the optimizer's, of ensembles.
    label : str, optional
        Of the median, for a legend.
    ax : matplotlib axes, optional
        New ones by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed: ``pip install optsde[plot]``.
    ValueError
        Where neither paths nor quantiles were observed, or an argument is out of range.

    Examples
    --------
    >>> import matplotlib; matplotlib.use("Agg")
    >>> import optsde
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1)
    >>> ens = optsde.simulate(ou, 3.0, n_paths=200, t1=4.0, dt=0.1, observe=optsde.Paths(at=41), rng=1)
    >>> optsde.plot.trajectories(ens).get_xlabel()
    'time t'
    """
    count, source = integer("lines", lines, 0), observed(source)
    paths, sketch = _paths_of(source), result_of(source, "QuantilesResult")
    if paths is None and sketch is None:
        raise ValueError("source: no paths and no quantiles; observe optsde.Paths(at=...) or optsde.Quantiles(...)")
    if sketch is not None:
        levels, t = np.asarray(sketch.q, dtype=np.float64), sketch.t
        edges = sketch.values[:, :, integer("coord", coord, 0, sketch.values.shape[2] - 1)].T
    else:
        assert paths is not None
        levels = np.sort(real_array("quantiles", quantiles).ravel())
        if levels.size == 0 or levels[0] <= 0.0 or levels[-1] >= 1.0:
            raise ValueError(f"quantiles: expected numbers between 0 and 1, got {list(quantiles)}")
        t, edges = paths[0], np.quantile(_column(paths[1], coord), levels, axis=1)
    ax = axes(ax)
    color = next_color(ax)
    if paths is not None and count:
        moments, shown = clock(source, paths[0], unit)[0], _column(paths[1][:, :count], coord)
        ax.plot(moments, shown, color="0.35", linewidth=0.5)
    x, text = clock(source, t, unit)
    for k in range(len(levels) // 2):
        name = f"{levels[k]:.4g} to {levels[-1 - k]:.4g}"
        ax.fill_between(
            x, edges[k], edges[-1 - k], color=color, alpha=min(0.15 + 0.15 * k, 0.6), linewidth=0.0, label=name
        )
    if len(levels) % 2:
        middle = levels[len(levels) // 2]
        named = label or ("median" if middle == 0.5 else f"quantile {middle:.4g}")
        ax.plot(x, edges[len(levels) // 2], color=color, label=named)
    ax.set_xlabel(text)
    ax.set_ylabel(parameter(coord))
    ax.legend(fontsize="small")
    return ax


def _measured(values: FloatArray, most: int) -> FloatArray:
    """Autocorrelations (L,) of chains (T, k) about their common mean, by the fast Fourier transform."""
    centred = values - values.mean()
    length = len(values)
    size = 1 << (2 * length - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred, size, axis=0)) ** 2
    sums = np.fft.irfft(spectrum.sum(axis=1), size)[: most + 1]
    covariances = sums / (np.arange(length, length - most - 1, -1) * values.shape[1])
    return np.asarray(covariances / covariances[0])


def autocorrelation(
    source: Any,
    theory: Callable[[FloatArray], ArrayLike] | None = None,
    *,
    coord: int = 0,
    max_lag: int | None = None,
    label: str = "simulation",
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """The autocorrelation of one coordinate over the lag; where it was observed, with a band of two standard errors.

    Parameters
    ----------
    source : Ensemble, AutocovarianceResult, PathsResult, or array_like of shape (T,), (T, k) or (T, k, d)
        Of an ensemble or a stationary law, its ``Autocovariance``, else its ``Paths``, which must be at evenly spaced
        times: of all paths, about their common mean. Lags of an array are in its rows.
    theory : callable, optional
        The autocorrelation at lags (m,), in the unit of the axis.
    coord : int
        Which coordinate.
    max_lag : int, optional
        The largest lag in rows, for paths and arrays; a third of their length by default.
    label : str
        For the legend.
    ax : matplotlib axes, optional
        New ones by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed: ``pip install optsde[plot]``.
    ValueError
        Where nothing of the kind was observed, or times are not evenly spaced.
    """
    source = observed(source)
    found = result_of(source, "AutocovarianceResult")
    if found is not None:
        column = integer("coord", coord, 0, found.autocorrelation.shape[1] - 1)
        lags, text = np.asarray(found.lags, dtype=np.float64), "lag, in time"
        values, spread = found.autocorrelation[:, column], 2.0 * found.autocorrelation_stderr[:, column]
    else:
        t, paths, text = _evenly_spaced(source)
        one = _column(paths, coord)
        if one.shape[1] == 0 or len(one) < 2:
            raise ValueError(f"source: expected at least two times and one finite path, got shape {one.shape}")
        most = max(1, len(one) // 3) if max_lag is None else integer("max_lag", max_lag, 1, len(one) - 1)
        lags, values = (t - t[0])[: most + 1], _measured(one, most)
        spread = None
    ax = axes(ax)
    (line,) = ax.plot(lags, values, ".-" if len(lags) <= _FEW else "-", label=label)
    if spread is not None:
        ax.fill_between(lags, values - spread, values + spread, color=line.get_color(), alpha=0.3, linewidth=0.0)
    if theory is not None:
        grid = np.linspace(lags[0], lags[-1], 400)
        ax.plot(grid, np.asarray(theory(grid)), "k--", label="theory")
    ax.axhline(0.0, color="0.5", linewidth=0.8)
    ax.set_xlabel(text)
    ax.set_ylabel(f"autocorrelation of {parameter(coord)}")
    ax.legend()
    return ax


def _evenly_spaced(source: Any) -> tuple[FloatArray, Any, str]:
    paths = _paths_of(source)
    if paths is not None:
        steps = np.diff(paths[0])
        if len(steps) and not np.allclose(steps, steps[0], rtol=1e-6):
            raise ValueError("source: an autocorrelation needs evenly spaced times; take Paths(at=n_steps + 1)")
        return *paths, "lag, in time"
    if is_ensemble(source):
        raise ValueError("source: neither paths nor autocovariances; observe optsde.Paths(at=...)")
    array = np.asarray(real_numbers("source", source), dtype=np.float64)
    if not 1 <= array.ndim <= 3:
        raise ValueError(f"source: expected chains (T,), (T, k) or (T, k, d), got shape {array.shape}")
    while array.ndim < 3:
        array = array[..., None]
    return np.arange(len(array), dtype=np.float64), array, "lag, in rows"
