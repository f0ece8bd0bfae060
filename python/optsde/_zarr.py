"""Paths in a Zarr store: how it is laid out, made and read."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray
from optsde.results import IntArray, Result

if TYPE_CHECKING:
    from optsde._recipe import Recipe
    from optsde.observers import Paths

# Paths that are held in memory at a time, and that one file of the store holds.
SHARD_BYTES = 1 << 27
_CHUNK_BYTES = 1 << 22
# Above this a single path is cut along its times.
_LONG_BYTES = 1 << 26


def _zarr() -> ModuleType:
    try:
        import zarr
    except ImportError:
        raise ImportError("Paths(store=...): zarr is not installed; pip install optsde[zarr]") from None
    library: ModuleType = zarr
    return library


def _power_of_two(number: int) -> int:
    """The largest one that is not above the number, which is at least 1."""
    return 1 << (max(number, 1).bit_length() - 1)


def shard_paths(bytes_per_path: int) -> int:
    """How many paths are run at a time."""
    return _power_of_two(SHARD_BYTES // max(bytes_per_path, 1))


@dataclass(frozen=True, eq=False, repr=False)
class StoredPathsResult(Result):
    """States of the first k paths, which lie on disk.

    Attributes
    ----------
    folder : str
        The Zarr group.
    variable : str
        Its array of this variable.
    """

    folder: str
    variable: str

    def check(self) -> None:
        """Raises ValueError where the store is gone."""
        if not Path(self.folder).is_dir():
            raise ValueError(f"paths: the store {self.folder} that holds them is not there any more")

    @property
    def values(self) -> Any:
        """``(T, k, d)`` as a ``zarr.Array``: a slice of it is a NumPy array, read from disk."""
        self.check()
        return _zarr().open_group(self.folder, mode="r")[self.variable]

    def __repr__(self) -> str:
        return f"StoredPathsResult({self.variable} in {self.folder})"


class Store:
    """A Zarr group under construction, an array ``(T, k, d)`` for each variable of the state."""

    def __init__(self, recipe: Recipe, observer: Paths) -> None:
        assert observer.store is not None
        self.folder = os.path.abspath(observer.store)
        self._variables = recipe.variables
        self._finished = 0
        first, last = recipe.path_range
        kept = max(0, min(observer._keep(recipe), last) - first)
        steps = observer._steps(recipe.grid)
        bytes_per_time = recipe.dim * recipe.itemsize
        length = len(steps)
        if bytes_per_time * length > _LONG_BYTES:
            length = max(1, _LONG_BYTES // bytes_per_time)
        wide = _power_of_two(_CHUNK_BYTES // max(bytes_per_time * length, 1))
        shard = shard_paths(observer._bytes_per_path(recipe))
        self._group = _zarr().open_group(self.folder, mode="w-", attributes=_facts(recipe))
        for name in self._variables:
            self._group.create_array(
                name,
                shape=(len(steps), kept, recipe.dim),
                chunks=(length, max(1, min(wide, shard, kept)), recipe.dim),
                dtype=recipe.dtype,
                fill_value=float("nan"),
                compressors=None,  # the last bits of simulated numbers do not compress
                dimension_names=("t", "kept_path", "parameter"),
            )
        self._coordinate("t", recipe.grid.times(steps), "t")
        self._coordinate("step", steps, "t")
        self._coordinate("kept_path", np.arange(first, first + kept, dtype=np.int64), "kept_path")

    def _coordinate(self, name: str, values: FloatArray | IntArray, dimension: str) -> None:
        if len(values):
            array = self._group.create_array(
                name, shape=values.shape, dtype=values.dtype, chunks=values.shape, dimension_names=(dimension,)
            )
            array[...] = values

    def write(self, values: NDArray[Any], rows: IntArray) -> None:
        """Writes paths, values (T, k', D), at these places of the store."""
        together = len(rows) > 0 and int(rows[-1]) - int(rows[0]) == len(rows) - 1
        for name, columns in self._variables.items():
            if together:
                self._group[name][:, int(rows[0]) : int(rows[-1]) + 1] = values[..., columns]
            elif len(rows):
                self._group[name].oindex[:, rows] = values[..., columns]
        self._finished += len(rows)

    def close(self, complete: bool) -> dict[str, Any]:
        """Says in the store what is in it; the raw result, which the observer reads."""
        self._group.attrs.update({"complete": complete, "finished_paths": self._finished})
        return {"folder": self.folder, "variables": list(self._variables)}

    def abandon(self) -> None:
        """Takes the store away again, where nothing is in it."""
        if self._finished == 0:
            shutil.rmtree(self.folder, ignore_errors=True)


def _facts(recipe: Recipe) -> dict[str, Any]:
    return {
        "equation": repr(recipe.dynamics).strip("<>"),
        "method": recipe.method,
        "dt": recipe.grid.dt,
        "n_paths": recipe.n_paths,
        "path_range": list(recipe.path_range),
        "key": f"0x{int(recipe.key):016x}",
        "optsde_version": recipe.version,
        "complete": False,
    }


def check_stores(observers: list[Paths]) -> None:
    """ImportError or ValueError, before any work, where the stores cannot be made."""
    if observers:
        _zarr()
    seen: dict[str, str] = {}
    for observer in observers:
        assert observer.store is not None
        folder = os.path.abspath(observer.store)
        if folder in seen:
            raise ValueError(f"store: {seen[folder]!r} and {observer.name!r} have the same, {observer.store}")
        if os.path.lexists(folder):
            raise ValueError(f"store: expected a new folder, got {observer.store}, which exists")
        seen[folder] = observer.name
