"""The default view of an ensemble, from what was observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optsde._arrays import integer
from optsde._reports import axes
from optsde.plot._sources import clock, result_of
from optsde.plot.densities import density, parameter
from optsde.plot.times import trajectories

if TYPE_CHECKING:
    import matplotlib.axes


def ensemble(
    ens: Any, ax: matplotlib.axes.Axes | None = None, *, coord: int = 0, unit: str = "time"
) -> matplotlib.axes.Axes:
    """One coordinate of an ensemble: paths with quantiles, else moments over time, else the density.

    Parameters
    ----------
    ens : Ensemble
    ax : matplotlib axes, optional
        New ones by default.
    coord : int
        Which coordinate.
    unit : {"time", "steps"}
        Of a horizontal axis that is time; steps are the optimizer's.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        Where matplotlib is not installed: ``pip install optsde[plot]``.
    ValueError
        Where nothing was observed that can be drawn.
    """
    for name in ("PathsResult", "StoredPathsResult", "QuantilesResult"):
        found = result_of(ens, name)
        if found is not None and len(found.t) > 1:
            return trajectories(ens, coord=coord, unit=unit, ax=ax)
    moments = result_of(ens, "MomentsResult")
    if moments is not None and len(moments.t) > 1:
        ax = axes(ax)
        _moments(ens, moments, coord, unit, ax)
        return ax
    return density(ens, coord=coord, ax=ax)


def _moments(ens: Any, moments: Any, coord: int, unit: str, ax: Any) -> None:
    place = integer("coord", coord, 0, moments.mean.shape[1] - 1)
    x, text = clock(ens, moments.t, unit)
    mean, width = moments.mean[:, place], moments.var[:, place] ** 0.5
    (line,) = ax.plot(x, mean, label="mean")
    ax.fill_between(x, mean - width, mean + width, color=line.get_color(), alpha=0.25, linewidth=0.0, label="± std")
    ax.set_xlabel(text)
    ax.set_ylabel(parameter(coord))
    ax.legend()
