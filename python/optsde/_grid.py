"""The time grid of a run: from steps, t1, dt, substeps and wiener_dt to whole numbers of steps and cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, integer, nonnegative_number, positive_number
from optsde._description import Description
from optsde.dynamics import Dynamics

_DEFAULT_SUBSTEPS = 8
# A ratio of times counts as whole within this relative distance.
_WHOLE = 1e-9
# The noise of a path has 2^56 addresses.
_LARGEST_INDEX = 1 << 56


@dataclass(frozen=True, init=False, eq=False, repr=False)
class TimeGrid(Description):
    """n_steps steps of dt from t0 to t1, each of ``cells`` cells of the Wiener grid, the first at an absolute cell.

    Where steps differ, ``mesh`` has runs of equal ones: (first step, its cell since the start, cells of each); dt and
    cells are then those of the shortest.
    """

    t0: float
    t1: float
    dt: float
    n_steps: int
    first_cell: int
    cells: int
    mesh: tuple[tuple[int, int, int], ...]

    def __init__(
        self, t0: float, t1: float, dt: float, n_steps: int, cells: int, mesh: tuple[tuple[int, int, int], ...] = ()
    ) -> None:
        self._set(t0=t0, t1=t1, dt=dt, n_steps=n_steps, first_cell=_absolute_step(t0, dt / cells), cells=cells)
        self._set(mesh=mesh)

    def times(self, at: NDArray[np.int64]) -> FloatArray:
        """Times of steps since the start."""
        if self.mesh:
            step, cell, cells = np.array(self.mesh).T
            run = np.searchsorted(step, at, side="right") - 1
            at, total = cell[run] + (at - step[run]) * cells[run], self._total_cells
        else:
            total = self.n_steps
        return np.asarray(self.t0 + at * (self.t1 - self.t0) / total, dtype=np.float64)

    def nearest(self, share: FloatArray) -> NDArray[np.int64]:
        """The steps nearest to these shares of the run, 0 the start and 1 the end."""
        if not self.mesh:
            return np.asarray(np.clip(np.rint(share * self.n_steps), 0, self.n_steps), dtype=np.int64)
        step, cell, cells = np.array(self.mesh).T
        place = np.clip(share, 0.0, 1.0) * self._total_cells
        run = np.searchsorted(cell, place, side="right") - 1
        return np.asarray(step[run] + np.rint((place - cell[run]) / cells[run]), dtype=np.int64)

    @property
    def _total_cells(self) -> int:
        """Cells of a run of unequal steps."""
        step, cell, cells = self.mesh[-1]
        return cell + (self.n_steps - step) * cells

    def need_equal_steps(self, who: str) -> None:
        """ValueError where steps differ in length."""
        if self.mesh:
            raise ValueError(f"observe: {who} needs steps of equal length; give dt as a number, not Adaptive")


def _on_grid(time: float, dt: float) -> bool:
    """Whether a time is a whole number of steps, 0 among them."""
    ratio = time / dt
    # Late steps would all count as whole without the bound, and halves be rounded to even ones.
    return abs(ratio - round(ratio)) <= min(_WHOLE * max(ratio, 1.0), 0.25)


def _absolute_step(time: float, dt: float) -> int:
    """The step that begins at a time; between two, the last one before it, so that the next step has the next index."""
    return round(time / dt) if _on_grid(time, dt) else math.floor(time / dt)


def whole(ratio: float) -> int | None:
    """The whole number that a ratio is, to 1e-9 relative; None where it is none of at least 1."""
    if not math.isfinite(ratio):
        return None
    nearest = round(ratio)
    return nearest if nearest >= 1 and abs(ratio - nearest) <= _WHOLE * nearest else None


def run_span(dynamics: Dynamics, steps: Any, t1: Any, t0: float) -> float:
    """The length of the run in time, from exactly one of steps and t1."""
    per_step = dynamics.time_per_step
    if (steps is None) == (t1 is None):
        got = "neither" if steps is None else "both"
        raise ValueError(f"steps, t1: expected exactly one of steps (optimizer steps) and t1 (time), got {got}")
    if steps is not None:
        if per_step is None:
            raise ValueError("steps: this dynamics has no optimizer step; give t1 and dt instead")
        return integer("steps", steps, 1) * per_step
    if dynamics._discrete:
        raise ValueError("t1: a discrete optimizer takes steps (optimizer steps) instead")
    end = positive_number("t1", t1)
    if end <= t0:
        raise ValueError(f"t1: expected a time after t0 = {t0:g}, got {end:g}")
    return end - t0


def _step(dynamics: Dynamics, dt: Any, substeps: Any) -> float:
    """The time step, from at most one of dt and substeps."""
    per_step = dynamics.time_per_step
    if dynamics._discrete:
        for name, value in (("dt", dt), ("substeps", substeps)):
            if value is not None:
                raise ValueError(f"{name}: a discrete optimizer makes its own steps; expected None, got {value!r}")
        assert per_step is not None
        return per_step / dynamics._inner_steps
    if dt is not None and substeps is not None:
        raise ValueError("dt, substeps: expected at most one of them, got both")
    if dt is not None:
        return positive_number("dt", dt)
    if per_step is None:
        name = "dt" if substeps is None else "substeps"
        raise ValueError(f"{name}: this dynamics has no optimizer step to divide; give dt")
    return per_step / (_DEFAULT_SUBSTEPS if substeps is None else integer("substeps", substeps, 1))


def time_grid(dynamics: Dynamics, steps: Any, t1: Any, t0: Any, dt: Any, substeps: Any, wiener_dt: Any) -> TimeGrid:
    """The grid of a run, or ValueError naming the argument that does not fit."""
    start = nonnegative_number("t0", t0)
    span = run_span(dynamics, steps, t1, start)
    step = _step(dynamics, dt, substeps)
    ratio = span / step
    count = whole(ratio)
    if count is None:
        if ratio < 1.0:
            raise ValueError(
                f"dt: expected a step that divides t1 - t0 = {span:.12g}, got {step:.12g}, which is longer"
            )
        if not math.isfinite(ratio) or ratio >= _LARGEST_INDEX:
            raise ValueError(f"dt: {step:.12g} makes more than 2^56 steps of t1 - t0 = {span:.12g}")
        fewer, more = span / math.floor(ratio), span / math.ceil(ratio)
        raise ValueError(
            f"dt: expected a step that divides t1 - t0 = {span:.12g}, got {step:.12g}; the nearest that do are "
            f"{more:.12g} and {fewer:.12g}"
        )
    if dynamics._discrete and not _on_grid(start, step):
        before = math.floor(start / step)
        raise ValueError(
            f"t0: an algorithm starts at one of its steps, a whole number of {step:.12g}, got {start:.12g}; "
            f"the nearest are {before * step:.12g} and {(before + 1) * step:.12g}"
        )
    cells: int | None = 1
    if wiener_dt is not None:
        fine = positive_number("wiener_dt", wiener_dt)
        cells = whole(step / fine)
        if cells is None:
            raise ValueError(f"wiener_dt: expected dt = {step:.12g} or an integer fraction of it, got {fine:.12g}")
        if cells > 1 and dynamics._discrete and not dynamics._reads_wiener and dynamics.noise_kind != "levy":
            raise ValueError(
                f"wiener_dt: the noise of this algorithm is not made of a Wiener path; expected {step:.12g} or None, "
                f"got {fine:.12g}"
            )
        if not _on_grid(start, fine):
            before = math.floor(start / fine)
            raise ValueError(
                f"t0: expected a whole number of wiener_dt = {fine:.12g}, got {start:.12g}; "
                f"the nearest are {before * fine:.12g} and {(before + 1) * fine:.12g}"
            )
    assert cells is not None
    if start < dynamics._earliest * (1.0 - _WHOLE):
        raise ValueError(f"t0: this equation begins at t = {dynamics._earliest:.12g}, got {start:.12g}")
    grid = TimeGrid(start, start + span, step, count, cells)
    if (grid.first_cell + count * cells) * dynamics.dim >= _LARGEST_INDEX:
        total = grid.first_cell // cells + count
        # The argument to blame: without it the addresses would do.
        if total * dynamics.dim < _LARGEST_INDEX:
            name = "wiener_dt"
        elif grid.first_cell // cells * dynamics.dim >= _LARGEST_INDEX:
            name = "t0"
        else:
            name = "dt" if steps is None else "steps"
        raise ValueError(f"{name}: {total:.4g} steps of {cells:.4g} cells exceed the 2^56 noise addresses of a path")
    return grid


def observed_steps(at: Any, grid: TimeGrid) -> NDArray[np.int64]:
    """Steps since the start at which an observer looks: the end, k evenly spaced times, or given times."""
    if at is None:
        return np.array([grid.n_steps], dtype=np.int64)
    if isinstance(at, int):
        if at == grid.n_steps + 1:
            return np.arange(at, dtype=np.int64)
        return grid.nearest(np.linspace(0.0, 1.0, at))
    span = grid.t1 - grid.t0
    slack = 1e-9 * max(span, grid.t1)
    if at[0] < grid.t0 - slack or at[-1] > grid.t1 + slack:
        raise ValueError(f"at: expected times in [{grid.t0:.12g}, {grid.t1:.12g}], got {at[0]:.12g} to {at[-1]:.12g}")
    return grid.nearest((at - grid.t0) / span)


def first_step(name: str, time: float | None, grid: TimeGrid) -> int:
    """The step since the start that a time is moved to; the start by default."""
    if time is None:
        return 0
    span = grid.t1 - grid.t0
    slack = _WHOLE * max(span, grid.t1)
    if not grid.t0 - slack <= time <= grid.t1 + slack:
        raise ValueError(f"{name}: expected a time in [{grid.t0:.12g}, {grid.t1:.12g}], got {time:.12g}")
    return min(max(round((time - grid.t0) / span * grid.n_steps), 0), grid.n_steps)


def observed_count(at: Any, grid: TimeGrid) -> int:
    """How many times an observer looks; known without making the list."""
    if at is None:
        return 1
    if isinstance(at, int):
        if at > grid.n_steps + 1:
            raise ValueError(f"at: the run has {grid.n_steps + 1} times to look at, start included; got {at}")
        return at
    return len(at)
