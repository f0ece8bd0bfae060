"""What pictures are made of: samples, densities and clocks, from ensembles, results of observers, or arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optsde._arrays import FloatArray, integer, real_numbers
from optsde.observers import Final, Histogram, Observer, Paths

Pdf = Callable[[Any], Any]
_MOST_BINS = 200


def is_ensemble(source: Any) -> bool:
    """Whether it has observers that can be asked."""
    return hasattr(source, "_observers") and hasattr(source, "_results")


def observed(source: Any) -> Any:
    """The ensemble behind a stationary law, which has what was observed; of anything else, itself."""
    return getattr(source, "ensemble", source)


def result_of(source: Any, name: str) -> Any:
    """The first result of an ensemble whose class has this name, or the source itself where it is one; else None."""
    if type(source).__name__ == name:
        return source
    if is_ensemble(source):
        return next((r for r in source._results.values() if type(r).__name__ == name), None)
    return None


def _observers(source: Any, kind: type[Observer]) -> list[Any]:
    return [observer for observer in source._observers if isinstance(observer, kind)]


def samples(source: Any, at: int) -> FloatArray:
    """Points (n, d) of an ensemble or array; at index ``at`` where there are several times. Diverged ones left out."""
    values = getattr(source, "samples", None)
    if values is None and is_ensemble(source):
        kept, final = _observers(source, Paths), _observers(source, Final)
        if final and at == -1:
            values = source.final
        elif kept:
            values = source.paths
        elif final:
            values = source.final
        else:
            raise ValueError(
                "source: this ensemble has neither final states nor paths; observe optsde.Final(), optsde.Paths(...) "
                "or optsde.Histogram(...)"
            )
    if values is None:
        values = getattr(source, "values", source)
    if getattr(values, "ndim", 0) == 3:
        values = values[_place(at, values.shape[0])]
    array = np.asarray(real_numbers("source", values), dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or len(array) == 0:
        raise ValueError(f"source: expected samples (n,), (n, d) or (T, n, d), got shape {array.shape}")
    return array[np.isfinite(array).all(axis=1)]


def _place(at: int, count: int) -> int:
    place = integer("at", at, -count, count - 1)
    return place + count if place < 0 else place


def coordinate(points: FloatArray, coord: int) -> FloatArray:
    """One column."""
    return points[:, integer("coord", coord, 0, points.shape[1] - 1)]


def _histogram_of(source: Any, coords: Any) -> Any:
    """A histogram of these coordinates: of one, or a pair; and which of its rows. None where there is none."""
    if type(source).__name__ == "HistogramResult":
        return source
    if not is_ensemble(source):
        return None
    for observer in _observers(source, Histogram):
        if getattr(observer, "of", None) is not None:
            continue
        have = observer.coords if not isinstance(observer.coords, list) else tuple(observer.coords)
        if have == coords or (have is None and not isinstance(coords, tuple)):
            return source[observer.name]
    return None


def _bin_edges(x: FloatArray, bins: Any) -> FloatArray:
    if bins is not None:
        return np.asarray(np.histogram_bin_edges(x, bins), dtype=np.float64)
    edges = np.histogram_bin_edges(x, "auto")
    return edges if len(edges) <= _MOST_BINS + 1 else np.histogram_bin_edges(x, _MOST_BINS)


def density_1d(source: Any, coord: int, at: int, bins: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Edges, density and its standard error."""
    found = _histogram_of(source, coord)
    if found is not None and not isinstance(found.edges, (tuple, list)):
        place = _place(at, len(found.density))
        height, stderr = found.density[place], found.stderr[place]
        if height.ndim == 2:  # one row a coordinate
            row = integer("coord", coord, 0, len(height) - 1)
            height, stderr = height[row], stderr[row]
        return found.edges, height, stderr
    x = coordinate(samples(source, at), coord)
    edges = _bin_edges(x, bins)
    counts = np.histogram(x, edges)[0]
    share, width = counts / len(x), np.diff(edges)
    return edges, share / width, np.sqrt(share * (1.0 - share) / len(x)) / width


def density_2d(source: Any, coords: tuple[int, int], at: int, bins: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Edges of both coordinates, and the density (bins, bins), the first coordinate first."""
    found = _histogram_of(source, coords)
    if found is not None and isinstance(found.edges, (tuple, list)):
        first, second = (np.asarray(edge) for edge in found.edges)
        counts = found.counts[_place(at, len(found.counts))]
        density = getattr(found, "density", None)
        if density is not None:
            return first, second, density[_place(at, len(density))]
        return first, second, counts / counts.sum() / np.outer(np.diff(first), np.diff(second))
    points = samples(source, at)
    x, y = (coordinate(points, c) for c in coords)
    number = 60 if bins is None else bins
    density, first, second = np.histogram2d(x, y, bins=number, density=True)
    return first, second, density


def pdfs(pdf: Any, default: str = "theory") -> dict[str, Pdf]:
    """One density or several, by their labels."""
    if pdf is None:
        return {}
    named = dict(pdf) if isinstance(pdf, Mapping) else {default: pdf}
    for name, function in named.items():
        if not callable(function):
            raise TypeError(f"pdf: expected a function of points, got {type(function).__name__} as {name!r}")
    return named


def evaluated(pdf: Pdf, points: FloatArray) -> FloatArray:
    """A density at points (m,) or (m, d): it may take numbers or rows, and return any shape of m numbers."""
    tries = [points] if points.ndim == 2 else [points, points[:, None]]
    problem: Exception | None = None
    for given in tries:
        try:
            values = np.asarray(pdf(given), dtype=np.float64)
        except (ValueError, TypeError, IndexError) as error:
            problem = error
            continue
        if values.size == len(points):
            return values.reshape(len(points))
    raise ValueError(
        f"pdf: expected a function of points {points.shape} that returns {len(points)} numbers"
    ) from problem


def clock(source: Any, t: FloatArray, unit: str) -> tuple[FloatArray, str]:
    """Times in the asked unit, and the axis's label."""
    if unit == "time":
        return t, "time t"
    if unit != "steps":
        raise ValueError(f"unit: expected 'time' or 'steps' (of the optimizer), got {unit!r}")
    recipe = getattr(source, "_recipe", None)
    per_step = None if recipe is None else recipe.dynamics.time_per_step
    if per_step is None:
        raise ValueError("unit: 'steps' needs an ensemble of a dynamics that has an optimizer step")
    return t / per_step, "optimizer steps"
