"""The states themselves: at the end, and of the first paths at chosen times."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, integer
from optsde._zarr import StoredPathsResult, shard_paths
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
    store : str or path, optional
        A folder that is made for them, a Zarr store: ``ens.paths`` is then the array on disk, and memory does not grow
        with their number. An interrupted run leaves there what it had finished, and NaN elsewhere.
    name : str, optional

    Raises
    ------
    ValueError
        At the start of a run, where the folder of ``store`` exists.
    ImportError
        At the start of a run, where zarr is not installed: ``pip install optsde[zarr]``.

    Examples
    --------
    >>> import optsde
    >>> optsde.Paths(at=101, keep=5).keep
    5
    """

    at: int | FloatArray | None
    keep: int | None
    store: str | None
    name: str
    _default_name: ClassVar[str] = "paths"
    _sees_state: ClassVar[bool] = True

    def __init__(
        self,
        at: int | ArrayLike | None = None,
        keep: int | None = None,
        store: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        if store is not None and not isinstance(store, (str, os.PathLike)):
            raise TypeError(f"store: expected the path of a folder, got {type(store).__name__}")
        self._set(at=checked_times(at), keep=None if keep is None else integer("keep", keep, 1))
        self._set(store=None if store is None else os.fsdecode(store), name=checked_name(name, self._default_name))

    def _keep(self, recipe: Recipe) -> int:
        return recipe.n_paths if self.keep is None else min(self.keep, recipe.n_paths)

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        first, last = recipe.path_range
        paths = max(0, min(self._keep(recipe), last) - first)
        each = self._bytes_per_path(recipe)
        return each * (paths if self.store is None else min(paths, shard_paths(each)))

    def _bytes_per_path(self, recipe: Recipe) -> int:
        return self._count(recipe.grid) * recipe.rows * recipe.itemsize

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        return {"kind": "paths", "keep": self._keep(recipe)}

    def _result(
        self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice
    ) -> PathsResult | StoredPathsResult:
        if "folder" in raw:
            variable = raw["variables"][rows.start // (rows.stop - rows.start)]
            return StoredPathsResult(t=t, step=step, folder=raw["folder"], variable=variable)
        return PathsResult(t=t, step=step, values=rows_of(raw["values"], rows))
