"""Pictures of errors: of models over time, over the step with its order, and over the work that they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, real_numbers
from optsde._reports import axes
from optsde.compare import Comparison
from optsde.weak_order import WeakOrder

if TYPE_CHECKING:
    import matplotlib.axes

# An error is seen where it is so many standard errors.
_SEEN = 3.0


def weak_error(
    comparison: Comparison, *, function: str | None = None, ax: matplotlib.axes.Axes | None = None
) -> matplotlib.axes.Axes:
    """Differences of models from their reference over time, with bands of two standard errors.

    Parameters
    ----------
    comparison : Comparison
        Of :func:`optsde.compare`.
    function : str, optional
        Which test function; the first by default.
    ax : matplotlib axes, optional
        New ones by default.

    Returns
    -------
    matplotlib axes
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(
            f"comparison: expected a Comparison, which optsde.compare makes, got {type(comparison).__name__}"
        )
    return comparison.plot(ax, function=function)


def _positive(name: str, values: ArrayLike, count: int | None = None) -> FloatArray:
    array = real_numbers(name, values).astype(np.float64)
    if array.ndim != 1 or array.size == 0 or (count is not None and len(array) != count):
        expected = "a 1-D array" if count is None else f"shape ({count},)"
        raise ValueError(f"{name}: expected {expected}, got shape {array.shape}")
    return array


def _curve(ax: Any, x: FloatArray, errors: FloatArray, stderr: FloatArray | None, label: str | None) -> None:
    """Points with bars of two standard errors, hollow where they do not stand out of their noise."""
    size = np.abs(errors)
    drawn = ax.plot(x, size, "-", linewidth=1.0, label=label)[0]
    spread = np.zeros_like(size) if stderr is None else stderr
    seen = size >= _SEEN * spread
    ax.plot(x[seen], size[seen], "o", color=drawn.get_color())
    ax.plot(x[~seen], size[~seen], "o", color=drawn.get_color(), markerfacecolor="none")
    if stderr is not None:
        # A bar that reaches 0 has no end in a logarithmic plot.
        bars = np.stack([np.minimum(2.0 * spread, 0.999 * size), 2.0 * spread])
        ax.errorbar(x, size, yerr=bars, fmt="none", color=drawn.get_color())


def _logarithmic(ax: Any, x: FloatArray, sizes: FloatArray) -> None:
    """Axes around the points: bars may reach far below them."""
    from matplotlib.ticker import NullFormatter

    ax.set_xscale("log")
    ax.set_yscale("log")
    if x.max() >= 10.0 * x.min():
        ax.xaxis.set_minor_formatter(NullFormatter())
    some = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    if some.size:
        ax.set_ylim(some.min() / 3.0, some.max() * 3.0)


def order(
    source: WeakOrder | ArrayLike,
    errors: ArrayLike | Mapping[str, ArrayLike] | None = None,
    stderr: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    slopes: Sequence[float] = (1.0, 2.0),
    xlabel: str = "step dt",
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """Errors over the step, doubly logarithmic, with lines of whole orders.

    Parameters
    ----------
    source : WeakOrder or (E,) array_like
        What :func:`optsde.weak_order` returns, which has all the rest; or steps.
    errors, stderr : (E,) array_like or dict of them, optional
        Errors at these steps and their standard errors; a dict names several. Points of less than three standard
        errors are hollow, bars are two.
    slopes : sequence of float
        Orders of the lines, for comparison.
    xlabel : str
        What the steps are.
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
        Where shapes do not agree.
    """
    if isinstance(source, WeakOrder):
        return source.plot(ax)
    if errors is None:
        raise ValueError("errors: expected those at the steps, got None")
    steps = _positive("source", source)
    named = dict(errors) if isinstance(errors, Mapping) else {"error": errors}
    spreads = dict(stderr) if isinstance(stderr, Mapping) else {name: stderr for name in named if stderr is not None}
    curves = {name: _positive("errors", values, len(steps)) for name, values in named.items()}
    bars = {name: _positive("stderr", values, len(steps)) for name, values in spreads.items()}
    ax = axes(ax)
    for name, values in curves.items():
        _curve(ax, steps, values, bars.get(name), name)
    largest = max(float(np.abs(values[np.argmax(steps)])) for values in curves.values())
    ends = np.array([steps.min(), steps.max()])
    for slope, style in zip(slopes, (":", "--", "-.", "-") * len(slopes), strict=False):
        ax.plot(ends, largest * (ends / ends[1]) ** slope, style, color="0.6", label=f"order {slope:g}", zorder=0)
    _logarithmic(ax, steps, np.abs(np.concatenate(list(curves.values()))))
    ax.set_xlabel(xlabel)
    ax.set_ylabel("error")
    ax.legend()
    return ax


def work_precision(
    curves: Mapping[str, Sequence[ArrayLike]],
    *,
    xlabel: str = "path-steps",
    ylabel: str = "error",
    ax: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """Errors over the work that they cost, doubly logarithmic: the lower left is better.

    Parameters
    ----------
    curves : dict of (work, errors) or (work, errors, stderr), each (E,) array_like
        By name of the method. Points of less than three standard errors are hollow, bars are two.
    xlabel, ylabel : str
        What the work is (path-steps, seconds) and what the error is of.
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
        Where shapes do not agree.
    """
    if not isinstance(curves, Mapping):
        raise TypeError(f"curves: expected a dict of (work, errors) by name, got {type(curves).__name__}")
    checked = {}
    for name, parts in curves.items():
        if len(parts) not in (2, 3):
            raise ValueError(
                f"curves: expected (work, errors) or (work, errors, stderr) as {name!r}, got {len(parts)} parts"
            )
        work = _positive("work", parts[0])
        checked[name] = (
            work,
            *(_positive(n, p, len(work)) for n, p in zip(("errors", "stderr"), parts[1:], strict=False)),
        )
    ax = axes(ax)
    for name, (work, errors, *spread) in checked.items():
        _curve(ax, work, errors, spread[0] if spread else None, name)
    works, sizes = (np.concatenate([parts[k] for parts in checked.values()]) for k in (0, 1))
    _logarithmic(ax, works, np.abs(sizes))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.legend()
    return ax
