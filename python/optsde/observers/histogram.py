"""Histograms over paths: of coordinates, of two of them together, or of a function of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag, integer, real_array
from optsde.observers._base import IntArray, Timed, checked_name, checked_times, pair_factor
from optsde.observers._functions import OfState, checked_function
from optsde.results import HistogramResult, histogram_result

if TYPE_CHECKING:
    from optsde._recipe import Recipe

_Range = tuple[float, float]


def _axis(bins: Any, ends: FloatArray, given: Any) -> tuple[int, _Range]:
    """Bins and range of one axis."""
    if ends.shape != (2,) or ends[0] >= ends[1]:
        raise ValueError(f"range: expected two numbers, the lower first, got {given!r}")
    count = integer("bins", bins, 1, 1 << 31)
    low, high = float(ends[0]), float(ends[1])
    width = (high - low) / count
    if not math.isfinite(width) or width < math.ulp(max(abs(low), abs(high))):
        raise ValueError(f"range: {given!r} cannot be divided into {count} bins in double precision")
    return count, (low, high)


def _two_axes(bins: Any, ends: FloatArray, given: Any) -> tuple[tuple[int, int], tuple[_Range, _Range]]:
    """Bins and ranges of two axes, given one by one or alike."""
    if isinstance(bins, (tuple, list)):
        if len(bins) != 2:
            raise ValueError(f"bins: expected an integer or two of them for two coordinates, got {bins!r}")
    else:
        bins = bins, bins
    if ends.shape not in ((2,), (2, 2)):
        raise ValueError(f"range: expected two numbers, the lower first, or two such pairs, got {given!r}")
    pairs = np.broadcast_to(ends, (2, 2))
    (one, of_one), (two, of_two) = (_axis(count, pair, given) for count, pair in zip(bins, pairs, strict=True))
    return (one, two), (of_one, of_two)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Histogram(Timed):
    """Histogram of one coordinate, of each, of two together, or of a function of θ: ``ens.histogram``.

    Parameters
    ----------
    bins : int or (int, int)
        Equal bins; of two coordinates together, for each of them.
    range : (float, float) or two such pairs
        Lowest and highest edge; what lies outside is counted as underflow and overflow. Of two coordinates together,
        for both or each of them.
    coords : int or (int, int), optional
        The coordinate, or two whose joint histogram is wanted; by default each has a histogram of its own.
    of : callable, optional
        A function of θ (n, d), read-only, that gives (n,), whose values are counted instead of coordinates.
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    state : bool
        Whether ``of`` takes a dict of all variables, each (n, d), instead of θ.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Histogram(4, (-1.0, 1.0), coords=0).edges.tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=2)
    >>> joint = optsde.Histogram((4, 6), (-2.0, 2.0), coords=(0, 1))
    >>> optsde.simulate(ou, [0.0, 0.0], n_paths=100, t1=1.0, dt=0.1, rng=1, observe=joint).histogram.counts.shape
    (1, 4, 6)
    """

    bins: int | tuple[int, int]
    range: _Range | tuple[_Range, _Range]
    coords: int | tuple[int, int] | None
    of: Callable[..., Any] | None
    at: int | FloatArray | None
    state: bool
    name: str
    _default_name: ClassVar[str] = "histogram"

    def __init__(
        self,
        bins: int | tuple[int, int],
        range: _Range | tuple[_Range, _Range],
        coords: int | tuple[int, int] | None = None,
        of: Callable[..., Any] | None = None,
        at: int | ArrayLike | None = None,
        *,
        state: bool = False,
        name: str | None = None,
    ) -> None:
        ends = real_array("range", range)
        if isinstance(coords, (tuple, list)):
            if len(coords) != 2:
                raise ValueError(f"coords: expected None, a coordinate or two of them, got {coords!r}")
            first, second = (integer("coords", coord, 0) for coord in coords)
            if first == second:
                raise ValueError(f"coords: expected two different coordinates, got {coords!r}")
            counts, ranges = _two_axes(bins, ends, range)
            self._set(bins=counts, range=ranges, coords=(first, second))
        else:
            count, pair = _axis(bins, ends, range)
            self._set(bins=count, range=pair, coords=None if coords is None else integer("coords", coords, 0))
        if of is not None and coords is not None:
            raise ValueError("of: expected coords or a function, got both")
        if of is None and state:
            raise ValueError("state: goes with a function of all variables, and there is none")
        self._set(
            of=None if of is None else checked_function("of", of),
            at=checked_times(at),
            state=flag("state", state),
            name=checked_name(name, self._default_name),
        )

    @property
    def _axes(self) -> list[tuple[int, float, float]]:
        if isinstance(self.bins, int):
            return [(self.bins, *self.range)]
        return [(bins, *ends) for bins, ends in zip(self.bins, self.range, strict=True)]  # type: ignore[misc]

    @property
    def edges(self) -> FloatArray | tuple[FloatArray, FloatArray]:
        """The bins' edges, (bins + 1,); of two coordinates together, two of them."""
        edges = [np.linspace(low, high, bins + 1) for bins, low, high in self._axes]
        return edges[0] if len(edges) == 1 else (edges[0], edges[1])

    def _coordinates(self, dim: int) -> list[int]:
        if self.of is not None:
            return []
        if self.coords is None:
            return list(range(dim))
        return [self.coords] if isinstance(self.coords, int) else list(self.coords)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        tables = recipe.dim if self.coords is None and self.of is None else 1
        cells = math.prod(bins + 2 for bins, _, _ in self._axes)
        return 8 * self._count(recipe.grid) * tables * cells * (recipe.threads + 2)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        coordinates = self._coordinates(recipe.dim)
        for coord in coordinates:
            if coord >= recipe.dim:
                raise ValueError(f"coords: expected a coordinate below {recipe.dim}, got {coord}")
        plan: dict[str, Any] = {"kind": "histogram", "axes": self._axes, "coords": coordinates}
        if self.of is not None:
            function = OfState(self.of, recipe.variables) if self.state else self.of
            plan |= {"function": function, "state": self.state}
        return plan

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> HistogramResult:
        one = self.coords is not None or self.of is not None
        return histogram_result(t, step, self.edges, raw["cells"], one=one, factor=pair_factor(raw))
