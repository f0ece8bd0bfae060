"""All that fixes the bits of a run, and the run itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optsde import _core
from optsde._arrays import FloatArray
from optsde._description import Description
from optsde._grid import TimeGrid
from optsde._keys import Key
from optsde._memory import check_memory
from optsde.dynamics import Dynamics
from optsde.initial import Initial, Points
from optsde.observers import Observer
from optsde.observers._functions import calls_python
from optsde.observers._list import partial_sums
from optsde.regions import Region

# Most groups of 64 paths in a block.
_GROUPS, _GROUPS_FOR_PYTHON = 9, 255


@dataclass(frozen=True, eq=False, repr=False)
class Recipe(Description):
    """A checked simulation; ``threads`` and ``method_reason`` do not enter the bits."""

    dynamics: Dynamics
    theta0: Initial
    given: tuple[tuple[str, Points], ...]
    n_paths: int
    path_range: tuple[int, int]
    grid: TimeGrid
    method: str
    increments: str
    antithetic: bool
    dtype: str
    key: Key
    keep_diverged: bool
    observers: tuple[Observer, ...]
    threads: int
    version: str
    method_reason: str

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.dynamics.dim

    @property
    def variables(self) -> dict[str, slice]:
        """Where each variable of the state is among its rows."""
        return {name: slice(k * self.dim, (k + 1) * self.dim) for k, name in enumerate(self.dynamics.state)}

    @property
    def rows(self) -> int:
        """Numbers of the state of one path."""
        return self.dim * len(self.dynamics.state)

    @property
    def centre(self) -> FloatArray:
        """A point near which paths start, of all variables: squares of states are summed about it."""
        centre = np.zeros(self.rows)
        centre[: self.dim] = self.theta0._centre(self.dim)
        for name, points in self.given:
            centre[self.variables[name]] = points._centre(self.dim)
        return centre

    @property
    def itemsize(self) -> int:
        """Bytes of one number of the state."""
        return np.dtype(self.dtype).itemsize

    @property
    def paths_run(self) -> int:
        """Number of paths in the range."""
        return self.path_range[1] - self.path_range[0]

    @property
    def _cells_per_plan_step(self) -> int:
        """Exact steps need no composing of cells: they are made on the Wiener grid itself."""
        return self.grid.cells if self.method == "ornstein_uhlenbeck" else 1

    @property
    def groups_in_hand(self) -> int:
        """Most groups of 64 paths in the blocks that workers have in hand; blocks for Python are long ones."""
        fields = (value for observer in self.observers for value in observer._fields().values())
        functions = any(calls_python(value) for value in fields if not isinstance(value, Region))
        python = functions or calls_python(self.dynamics._spec())
        # Of several workers all but one have full blocks.
        return min(self.threads * (_GROUPS_FOR_PYTHON if python else _GROUPS), 2 * math.ceil(self.paths_run / 64))

    def same_but_range(self, other: Recipe) -> bool:
        """Whether two runs are shards of one."""
        same: dict[str, Any] = {"path_range": (0, 1), "threads": 1, "method_reason": ""}
        return replace(self, **same) == replace(other, **same)

    def check(self) -> None:
        """Raises where an observer does not fit or the results do not fit into memory."""
        copies = partial_sums(self.paths_run, self.threads)
        check_memory({observer.name: observer._bytes(self, copies) for observer in self.observers})
        for observer in self.observers:
            observer._plan(self)
            observer._steps(self.grid)

    def plan(self) -> dict[str, Any]:
        """The native description of the run."""
        fine = self._cells_per_plan_step
        observers = []
        for observer in self.observers:
            plan = observer._plan(self)
            if plan["kind"] != "final":
                plan["at"] = observer._steps(self.grid) * fine
            observers.append(plan)
        return {
            "dynamics": self.dynamics._spec(),
            "method": self.method,
            "dim": self.dim,
            "theta0": self.theta0._spec(self.dim),
            "given": [(self.variables[name].start, points._spec(self.dim)) for name, points in self.given],
            "second_moment": self.dynamics._second_moment_start and "v" not in dict(self.given),
            "n_paths": self.n_paths,
            "path_range": self.path_range,
            "first_cell": self.grid.first_cell,
            "n_steps": self.grid.n_steps * fine,
            "t0": self.grid.t0,
            "dt": self.grid.dt / fine,
            "cells": self.grid.cells // fine,
            "increments": self.increments,
            "antithetic": self.antithetic,
            "mesh": list(self.grid.mesh),
            "dtype": self.dtype,
            "key": int(self.key),
            "threads": self.threads,
            "keep_diverged": self.keep_diverged,
            "observers": observers,
        }

    def run(self, poll: Callable[[int], None] | None) -> dict[str, Any]:
        """Runs the plan; the raw results count steps of the recipe's dt."""
        cells = self._cells_per_plan_step
        raw = _core.simulate(self.plan(), None if poll is None else lambda done: poll(done // cells))
        raw["bad_steps"] = -(-raw["bad_steps"] // cells)
        raw["path_steps"] = raw["path_steps"] // cells
        for observer, found in zip(self.observers, raw["observers"], strict=True):
            observer._settle(found, self)
        return raw
