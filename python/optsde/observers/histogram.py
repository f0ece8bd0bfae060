"""Histograms of coordinates over paths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, frozen, integer, real_array
from optsde.observers._base import IntArray, Timed, checked_name, checked_times
from optsde.results import HistogramResult, histogram_result

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Histogram(Timed):
    """Histogram of one coordinate, or one of each: ``ens.histogram``.

    Parameters
    ----------
    bins : int
        Equal bins.
    range : (float, float)
        Lowest and highest edge; what lies outside is counted as underflow and overflow.
    coords : int, optional
        The coordinate; all by default.
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Histogram(4, (-1.0, 1.0), coords=0).edges.tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """

    bins: int
    range: tuple[float, float]
    coords: int | None
    at: int | FloatArray | None
    name: str
    _default_name: ClassVar[str] = "histogram"

    def __init__(
        self,
        bins: int,
        range: tuple[float, float],
        coords: int | None = None,
        at: int | ArrayLike | None = None,
        *,
        name: str | None = None,
    ) -> None:
        ends = real_array("range", range)
        if ends.shape != (2,) or ends[0] >= ends[1]:
            raise ValueError(f"range: expected two numbers, the lower first, got {range!r}")
        count = integer("bins", bins, 1, 1 << 31)
        low, high = float(ends[0]), float(ends[1])
        width = (high - low) / count
        if not math.isfinite(width) or width < math.ulp(max(abs(low), abs(high))):
            raise ValueError(f"range: {range!r} cannot be divided into {count} bins in double precision")
        if isinstance(coords, (tuple, list)):
            raise ValueError(f"coords: expected None or one coordinate, got {coords!r}")
        self._set(
            bins=count,
            range=(low, high),
            coords=None if coords is None else integer("coords", coords, 0),
            at=checked_times(at),
            name=checked_name(name, self._default_name),
        )

    @property
    def edges(self) -> FloatArray:
        """The bins' edges, (bins + 1,)."""
        return np.linspace(*self.range, self.bins + 1)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        coordinates = recipe.dim if self.coords is None else 1
        return 8 * self._count(recipe.grid) * coordinates * (self.bins + 2) * (recipe.threads + 2)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        if self.coords is not None and self.coords >= recipe.dim:
            raise ValueError(f"coords: expected a coordinate below {recipe.dim}, got {self.coords}")
        coordinates = np.arange(recipe.dim) if self.coords is None else np.array([self.coords])
        return {
            "kind": "histogram",
            "bins": self.bins,
            "range": self.range,
            "coords": frozen(coordinates.astype(np.int64)),
        }

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> HistogramResult:
        return histogram_result(t, step, self.edges, raw, one=self.coords is not None)
