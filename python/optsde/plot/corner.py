"""The corner plot: densities of all coordinates on the diagonal, of all pairs below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import as_vector_or_matrix, covariance, integer, real_array, scalar_vector
from optsde.plot._sources import Pdf, samples
from optsde.plot.densities import contours, density, density2d, parameter

if TYPE_CHECKING:
    import matplotlib.figure

_MOST = 12
_GRID = 120


def _figure(fig: Any, count: int) -> Any:
    if fig is not None:
        return fig
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("plot: matplotlib is not installed; pip install optsde[plot]") from None
    side = 1.0 + 1.7 * count
    return plt.figure(figsize=(side, side), layout="constrained")


def _normal(mean: Any, cov: Any) -> Pdf:
    """The normal density of points (m, k)."""
    inverse = np.linalg.inv(cov)
    peak = 1.0 / np.sqrt(np.linalg.det(2.0 * np.pi * cov))
    return lambda x: peak * np.exp(-0.5 * np.einsum("ni,ij,nj->n", x - mean, inverse, x - mean))


def corner(
    source: Any,
    *,
    coords: Sequence[int] | None = None,
    at: int = -1,
    bins: int = 40,
    mean: ArrayLike | None = None,
    cov: ArrayLike | None = None,
    pdf: Sequence[Pdf] | None = None,
    labels: Sequence[str] | None = None,
    fig: matplotlib.figure.Figure | None = None,
) -> Any:
    """Densities of coordinates and of their pairs, with a Gaussian theory or marginal densities over them.

    Parameters
    ----------
    source : Ensemble or array_like of shape (n, d) or (T, n, d)
        Of an ensemble its final states, else its paths.
    coords : sequence of int, optional
        Which coordinates; all by default.
    at : int
        Index of the time, the last by default.
    bins : int
        On each axis.
    mean, cov : float, (d,) array_like; float, (d,) or (d, d) array_like, optional
        Of a Gaussian theory, as ``optsde.theory.stationary_mean`` and ``stationary_cov`` return; mean is 0 by default.
    pdf : sequence of callables, optional
        Marginal densities, one for each of ``coords``, instead of the Gaussian's.
    labels : sequence of str, optional
        Names of the coordinates.
    fig : matplotlib figure or subfigure, optional
        A new one by default.

    Returns
    -------
    ndarray of matplotlib axes, shape (k, k)
        None above the diagonal.

    Raises
    ------
    ImportError
        Where matplotlib is not installed: ``pip install optsde[plot]``.
    ValueError
        Where there are more than 12 coordinates, or the number of labels, densities or of a theory's dimension is not
        theirs.
    """
    points = samples(source, at)
    dim = points.shape[1]
    chosen = list(range(dim)) if coords is None else [integer("coords", c, 0, dim - 1) for c in coords]
    if not 1 <= len(chosen) <= _MOST:
        raise ValueError(f"coords: expected 1 to {_MOST} coordinates, got {len(chosen)}")
    for name, values in (("pdf", pdf), ("labels", labels)):
        if values is not None and len(values) != len(chosen):
            raise ValueError(f"{name}: expected {len(chosen)}, one a coordinate, got {len(values)}")
    matrix = None if cov is None else _matrix(covariance("cov", cov), dim)
    center = np.broadcast_to(real_array("mean", 0.0) if mean is None else scalar_vector("mean", mean), (dim,))
    names = [parameter(c) for c in chosen] if labels is None else list(labels)
    fig = _figure(fig, len(chosen))
    grid = np.full((len(chosen), len(chosen)), None, dtype=object)
    for i, row in enumerate(chosen):
        for j, column in enumerate(chosen[: i + 1]):
            ax: Any = fig.add_subplot(len(chosen), len(chosen), i * len(chosen) + j + 1)
            grid[i, j] = ax
            if i == j:
                marginal = None if pdf is None else pdf[i]
                if marginal is None and matrix is not None:
                    marginal = _normal(center[[row]], matrix[[[row]], [row]])
                density(points, marginal, coord=row, bins=bins, ax=ax)
                ax.get_legend().remove()
                ax.set(ylabel="", yticks=[])
            else:
                density2d(points, coords=(column, row), bins=bins, ax=ax)
                if matrix is not None:
                    pair = [column, row]
                    _ellipses(ax, center[pair], matrix[np.ix_(pair, pair)])
            ax.set_xlabel(names[j] if i == len(chosen) - 1 else "")
            if i != j:
                ax.set_ylabel(names[i] if j == 0 else "")
            ax.tick_params(labelbottom=i == len(chosen) - 1, labelleft=j == 0 and i > 0, labelsize="small")
    return grid


def _matrix(cov: Any, dim: int) -> Any:
    full = as_vector_or_matrix(cov, dim)
    if len(full) != dim:
        raise ValueError(f"cov: expected a covariance of {dim} coordinates, got shape {full.shape}")
    return full if full.ndim == 2 else np.diag(full)


def _ellipses(ax: Any, mean: Any, cov: Any) -> None:
    """Contours of a normal density within the limits of the axes."""
    x, y = (np.linspace(limits[0], limits[1], _GRID) for limits in (ax.get_xlim(), ax.get_ylim()))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    contours(ax, x, y, _normal(mean, cov)(points).reshape(_GRID, _GRID))
