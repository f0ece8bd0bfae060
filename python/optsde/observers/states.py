"""The states themselves: at the end, and of the first paths at chosen times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, integer
from optsde.observers._base import IntArray, Observer, Timed, checked_name, checked_times
from optsde.results import FinalResult, PathsResult, rows_of

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Final(Observer):
    """States at the end: ``ens.final (n, d)``, NaN rows for diverged paths.

    Parameters
    ----------
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Final()
    Final(name='final')
    """

    name: str
    _default_name: ClassVar[str] = "final"
    _sees_state: ClassVar[bool] = True

    def __init__(self, *, name: str | None = None) -> None:
        self._set(name=checked_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return recipe.paths_run * recipe.rows * recipe.itemsize

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "final"}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> FinalResult:
        return FinalResult(t=t, step=step, values=rows_of(raw["values"], rows))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Paths(Timed):
    """States of the first paths at chosen times: ``ens.paths (T, k, d)``.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        The end; that many evenly spaced times from t0 to t1; or ascending times, moved to the nearest step.
    keep : int, optional
        How many paths, the first k; all by default.
    name : str, optional

    Examples
    --------
    >>> import optsde
    >>> optsde.Paths(at=101, keep=5).keep
    5
    """

    at: int | FloatArray | None
    keep: int | None
    name: str
    _default_name: ClassVar[str] = "paths"
    _sees_state: ClassVar[bool] = True

    def __init__(self, at: int | ArrayLike | None = None, keep: int | None = None, *, name: str | None = None) -> None:
        self._set(at=checked_times(at), keep=None if keep is None else integer("keep", keep, 1))
        self._set(name=checked_name(name, self._default_name))

    def _keep(self, recipe: Recipe) -> int:
        return recipe.n_paths if self.keep is None else min(self.keep, recipe.n_paths)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        first, last = recipe.path_range
        rows = max(0, min(self._keep(recipe), last) - first)
        return self._count(recipe.grid) * rows * recipe.rows * recipe.itemsize

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "paths", "keep": self._keep(recipe)}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> PathsResult:
        return PathsResult(t=t, step=step, values=rows_of(raw["values"], rows))
