"""Densities of an ensemble against theory, of one coordinate and of two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optsde._reports import axes
from optsde.plot._sources import Pdf, density_1d, density_2d, evaluated, pdfs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import matplotlib.axes

_FINE = 400
_GRID = 200


def density(
    source: Any,
    pdf: Pdf | Mapping[str, Pdf] | None = None,
    *,
    coord: int = 0,
    at: int = -1,
    bins: Any = None,
    label: str = "simulation",
    log: bool = False,
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """The density of one coordinate with a band of two standard errors, and theory over it.

    Parameters
    ----------
    source : Ensemble, HistogramResult, or array_like of shape (n,), (n, d) or (T, n, d)
        Of an ensemble, its histogram of that coordinate, else its final states or paths.
    pdf : callable or dict of callables, optional
        Densities, of points (m,) or (m, 1), such as ``optsde.theory.gibbs_density`` returns; a dict names them.
    coord : int
        Which coordinate.
    at : int
        Index of the time, the last by default.
    bins : int or sequence, optional
        For samples, as in ``numpy.histogram``; chosen from the data by default.
    label : str
        For the legend.
    log : bool
        Whether the density's axis is logarithmic, to see tails.
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
        Where there is nothing to draw, or an index is out of range.

    Examples
    --------
    >>> import matplotlib; matplotlib.use("Agg")
    >>> import numpy as np, optsde
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1)
    >>> ens = optsde.simulate(ou, 0.0, n_paths=2000, t1=8.0, dt=0.5, method="ornstein_uhlenbeck", rng=1)
    >>> ax = optsde.plot.density(ens, lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('θ₀', 'density')
    """
    named = pdfs(pdf)
    edges, height, stderr = density_1d(source, coord, at, bins)
    ax = axes(ax)
    color = next_color(ax)
    low = np.maximum(height - 2.0 * stderr, 0.0)
    ax.stairs(height + 2.0 * stderr, edges, baseline=low, fill=True, color=color, alpha=0.3)
    ax.stairs(height, edges, color=color, label=label, baseline=None)
    grid = np.linspace(edges[0], edges[-1], _FINE)
    curves = [ax.plot(grid, evaluated(function, grid), "--", label=name)[0] for name, function in named.items()]
    if len(curves) == 1:
        curves[0].set_color("k")
    if log:
        ax.set_yscale("log")
        seen = height[height > 0.0]
        if seen.size:
            ax.set_ylim(seen.min() / 3.0, height.max() * 3.0)
    else:
        ax.set_ylim(bottom=0.0)
    ax.set_xlabel(parameter(coord))
    ax.set_ylabel("density")
    ax.legend()
    return ax


def density2d(
    source: Any,
    pdf: Pdf | None = None,
    *,
    coords: tuple[int, int] = (0, 1),
    at: int = -1,
    bins: Any = None,
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """The joint density of two coordinates in colour, and theory as contours of half its peak, a tenth and a hundredth.

    Parameters
    ----------
    source : Ensemble, HistogramResult of a pair, or array_like of shape (n, d) or (T, n, d)
        Of an ensemble, its histogram of that pair, else its final states or paths.
    pdf : callable, optional
        Density of points (m, 2), in the order of ``coords``.
    coords : (int, int)
        Which coordinates: of the horizontal and the vertical axis.
    at, bins, ax
        As in :func:`density`.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed: ``pip install optsde[plot]``.
    ValueError
        Where there is nothing to draw, or an index is out of range.
    """
    first, second, height = density_2d(source, coords, at, bins)
    ax = axes(ax)
    shown = np.ma.masked_where(height <= 0.0, height)
    ax.pcolormesh(first, second, shown.T, cmap="Blues", vmin=0.0, rasterized=True)
    for function in pdfs(pdf).values():
        x, y = (np.linspace(edges[0], edges[-1], _GRID) for edges in (first, second))
        points = np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1).reshape(-1, 2)
        contours(ax, x, y, evaluated(function, points).reshape(_GRID, _GRID))
    ax.set_xlabel(parameter(coords[0]))
    ax.set_ylabel(parameter(coords[1]))
    return ax


def contours(ax: Any, x: Any, y: Any, values: Any) -> None:
    """Lines of half the peak, a tenth and a hundredth."""
    peak = float(np.nanmax(values))
    ax.contour(x, y, values, levels=[0.01 * peak, 0.1 * peak, 0.5 * peak], colors="k", linewidths=0.8)


def next_color(ax: Any) -> Any:
    """The next colour of the axes' cycle, which is taken."""
    (line,) = ax.plot([], [])
    line.remove()
    return line.get_color()


def parameter(coord: int) -> str:
    """The name of a coordinate."""
    return "θ" + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(coord))
