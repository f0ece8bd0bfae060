"""Dynamics on one Wiener path: values of test functions path by path, for pieces of an ensemble."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde import _core
from optsde._arrays import FloatArray
from optsde._clock import Schedule
from optsde._keys import Key, key_from
from optsde._progress import Progress
from optsde._sums import GROUP
from optsde._test_functions import TestFunctions
from optsde._twin import Twin
from optsde.dynamics import Dynamics
from optsde.ensemble import Ensemble
from optsde.errors import DivergenceWarning
from optsde.initial import Initial, initial_state
from optsde.noise import Zero
from optsde.observers import Final, Moments, Paths
from optsde.optimizers._base import Model
from optsde.simulate import LAGGED, MANY_WIENER, floor_note, lagged_note, simulate

# Paths of one key; the next block has another one, so that starts given path by path need no more memory than this.
BLOCK = 1 << 16
# Bytes of states and values that a piece may take.
_PIECE_BYTES = 64 << 20
_LARGEST_PIECE = 1 << 14

Mask = NDArray[np.bool_]


def derived(key: Key, *tags: int) -> Key:
    """Another key, independent of the first and of those with other tags."""
    return key_from(np.random.SeedSequence(int(key), spawn_key=tags))


def noiseless(dynamics: Dynamics) -> bool:
    """Whether a path is fixed by its start."""
    if isinstance(dynamics, Model):
        return isinstance(dynamics.problem.noise, Zero)
    return dynamics.noise_kind == "none"


@dataclass(frozen=True)
class Scheme:
    """How an equation is integrated.

    Attributes
    ----------
    method : str or None
        What ``simulate`` gets.
    name : str
        What it is called there.
    weak : float
        Order of its error in expectations; infinite where there is none: exact steps, and algorithms.
    substeps : int
        Steps to an optimizer step.
    extrapolated : bool
        Whether the error's leading term is taken out with a second run of half the step (Talay, Tubaro 1990).
    """

    method: str | None
    name: str
    weak: float
    substeps: int = 1
    extrapolated: bool = False

    @property
    def exact(self) -> bool:
        """Whether there is nothing to refine."""
        return math.isinf(self.weak)

    @property
    def order(self) -> float:
        """Order of the error that is left."""
        return self.weak + 1.0 if self.extrapolated else self.weak

    @property
    def levels(self) -> dict[int, float]:
        """Weights of the runs by their substeps."""
        if not self.extrapolated:
            return {self.substeps: 1.0}
        gain = 2.0**self.weak
        return {self.substeps: -1.0 / (gain - 1.0), 2 * self.substeps: gain / (gain - 1.0)}

    @property
    def halved(self) -> Scheme:
        """The same with half the step."""
        return replace(self, substeps=2 * self.substeps)

    def __str__(self) -> str:
        if self.name == "algorithm":
            return "algorithm"
        if self.exact:
            return f"{self.name}, exact"
        steps = f"{self.substeps} and {2 * self.substeps} substeps, extrapolated" if self.extrapolated else None
        return f"{self.name}, {steps or f'{self.substeps} substeps'}"


def _argument(parts: Mapping[str, Any], dynamics: Dynamics) -> Any:
    """What ``simulate`` takes of the starts of variables: those that a dynamics has."""
    own = {name: value for name, value in parts.items() if name in dynamics.state}
    return own["theta"] if len(own) == 1 else own


@dataclass(frozen=True)
class Start:
    """Where paths start: one point or law for each variable, or rows, one a path."""

    parts: dict[str, Any]
    rows: int | None

    @classmethod
    def of(cls, theta0: Any, models: Mapping[str, Dynamics]) -> Start:
        """From the argument ``theta0``, checked against the variables of all models."""
        parts = dict(theta0) if isinstance(theta0, Mapping) else {"theta": theta0}
        if "theta" not in parts:
            raise ValueError(f"theta0: expected an entry 'theta', got {', '.join(map(repr, parts)) or 'none'}")
        known = {name: None for model in models.values() for name in model.state}
        unknown = [name for name in parts if name not in known]
        if unknown:
            listing = ", ".join(map(repr, known))
            raise ValueError(f"theta0: {unknown[0]!r} is not a variable of any model; these are {listing}")
        rows = None
        by_path = any(not isinstance(value, Initial) and np.ndim(value) == 2 for value in parts.values())
        for model in models.values():
            _, _, count = initial_state(_argument(parts, model), model, None, np.dtype(np.float64))
            rows = max(rows or 1, count) if by_path else None
        return cls(parts, rows)

    def unlike(self, models: Mapping[str, Dynamics]) -> str | None:
        """A sentence where models start from different second moments, because none was given."""
        if "v" in self.parts:
            return None
        at_gradient = [name for name, model in models.items() if model._second_moment_start]
        at_zero = [name for name, model in models.items() if "v" in model.state and name not in at_gradient]
        if not at_gradient or not at_zero:
            return None
        return (
            f"v starts at grad² + diag Σ/B in {', '.join(at_gradient)} and at 0 in {', '.join(at_zero)}: "
            f"give theta0 an entry 'v', or let the reference run first"
        )

    @property
    def fixed(self) -> bool:
        """Whether all paths start at one point."""
        return self.rows is None and not any(isinstance(value, Initial) for value in self.parts.values())

    def of_block(self, first: int, last: int) -> dict[str, Any]:
        """The starts of a block of paths."""
        if self.rows is None:
            return self.parts
        return {
            name: value if isinstance(value, Initial) or np.ndim(value) < 2 else np.asarray(value)[first:last]
            for name, value in self.parts.items()
        }


@dataclass(frozen=True)
class Entry:
    """A model and how it is integrated."""

    name: str
    scheme: Scheme


@dataclass(frozen=True)
class Leg:
    """Part of a run: where it starts, its paths ``inside`` of the ``paths`` of a block, and its time."""

    parts: Mapping[str, Any]
    paths: int
    inside: tuple[int, int]
    block: int
    t0: float
    t1: float


@dataclass(frozen=True)
class Piece:
    """Values (E, F, T, n) of some paths, which of them count, which diverged in each model, and control variates."""

    values: FloatArray
    keep: Mask
    diverged: dict[str, Mask]
    controls: FloatArray


class Meter:
    """Adds up the progress of many runs, in path-steps."""

    def __init__(self, progress: Any) -> None:
        # A bad argument shows before the runs.
        self._progress, self._bar = progress, Progress(progress, 1)
        self._done = self._total = 0

    def plan(self, total: int) -> None:
        """From now on, up to so many."""
        self._bar, self._total = Progress(self._progress, total), total

    @property
    def active(self) -> bool:
        """Whether someone looks."""
        return self._total > 0 and self._bar.poll is not None

    def report(self, done: int, total: int) -> None:
        """What a run reports of itself."""
        if self._bar.poll is not None:
            self._bar.poll(min(self._done + done, self._total))

    def advance(self, steps: int) -> None:
        """A run is done."""
        self._done += steps

    def close(self, finished: bool) -> None:
        """The last report."""
        self._bar.close(finished)


class Runner:
    """Runs models on one Wiener path, piece by piece."""

    def __init__(
        self,
        models: Mapping[str, Dynamics],
        reference: str,
        functions: TestFunctions,
        schedule: Schedule,
        start: Start,
        key: Key,
        *,
        couple: bool = True,
        threads: int | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.models, self.reference, self.functions, self.schedule = models, reference, functions, schedule
        self.start, self.key, self.couple, self.threads, self.meter = start, key, couple, threads, meter
        # The equations' Wiener processes: of data, one for each example.
        self._n_wiener = {
            name: 0 if model._discrete else _core.dynamics_n_wiener(model._spec()) for name, model in models.items()
        }
        # Runs that are the same for all paths, and which algorithms take a finer Wiener path.
        self._once: dict[tuple[str, int], tuple[dict[str, FloatArray], Mask]] = {}
        self._takes_cells: dict[tuple[str, int], bool] = {}
        # Visits below the floor of second moments and path-steps, by model.
        self._touches: dict[str, tuple[int, int]] = {}

    def with_key(self, key: Key, meter: Meter | None = None) -> Runner:
        """The same with other noise."""
        return Runner(
            self.models,
            self.reference,
            self.functions,
            self.schedule,
            self.start,
            key,
            couple=self.couple,
            threads=self.threads,
            meter=meter,
        )

    @property
    def _size(self) -> int:
        """Numbers in the largest state."""
        return max(sum(math.prod(shape) for shape in model.state.values()) for model in self.models.values())

    def _leg(self, first: int, last: int, t0: float, t1: float) -> Leg:
        """Paths first to last, all of one block, from theta0."""
        block = first // BLOCK
        base = block * BLOCK
        stop = base + BLOCK if self.start.rows is None else min(base + BLOCK, self.start.rows)
        return Leg(self.start.of_block(base, stop), stop - base, (first - base, last - base), block, t0, t1)

    def probe(self, name: str, method: str | None) -> str:
        """Runs a few paths to the first common time: what does not fit shows before the work; returns the method."""
        dynamics, clock, t0 = self.models[name], self.schedule.clock, self.schedule.t0
        leg = self._leg(0, min(3, self.start.rows or 3), t0, t0 + clock.stride * clock.unit)
        ensemble = self.with_key(self.key)._simulate(name, dynamics, leg, 1, method, 1, [Paths()])
        states, _ = _states(ensemble, dynamics)
        self.functions.values({variable: array[0] for variable, array in states.items()})
        return ensemble.method

    def mean_path(self, scheme: Scheme, paths: int) -> FloatArray:
        """Mean parameters (T, d) of the reference over so many paths, NaN where all diverge."""
        leg = self._leg(0, min(paths, self.start.rows or paths), 0.0, self.schedule.t1)
        name = self.reference
        cells = self.cells([Entry(name, replace(scheme, extrapolated=False))])
        observe = [Moments(at=self.schedule.t)]
        return self._simulate(name, self.models[name], leg, scheme.substeps, scheme.method, cells, observe).mean

    def _simulate(
        self, name: str, dynamics: Dynamics, leg: Leg, substeps: int, method: str | None, cells: int, observe: list[Any]
    ) -> Ensemble:
        """One run of a leg, on a Wiener path of so many cells to a unit of time."""
        clock = self.schedule.clock
        step = clock.ratios[name] * clock.unit
        theta0 = _argument(leg.parts, dynamics)
        options: dict[str, Any] = {
            "n_paths": leg.paths,
            "path_range": leg.inside,
            "t0": leg.t0,
            "rng": self._key(name, leg.block),
            "threads": self.threads,
            "observe": observe,
            "progress": self.meter.report if self.meter is not None and self.meter.active else False,
        }
        if dynamics._discrete:
            options["steps"] = round((leg.t1 - leg.t0) / step)
        else:
            options |= {"t1": leg.t1, "dt": step / substeps, "method": method}
        with warnings.catch_warnings():
            # Divergence is counted, and told once.
            warnings.simplefilter("ignore", DivergenceWarning)
            warnings.filterwarnings("ignore", "a second moment was below its floor", UserWarning)
            warnings.filterwarnings("ignore", f"^{LAGGED}", UserWarning)
            # The step is refined here, whatever the method's order.
            warnings.filterwarnings("ignore", f"^{MANY_WIENER}", UserWarning)
            if not noiseless(dynamics) and self._shares(name, dynamics, cells, theta0, options):
                options["wiener_dt"] = clock.unit / cells
            ensemble = simulate(dynamics, theta0, **options)
        if self.meter is not None:
            self.meter.advance(ensemble.n_steps * (leg.inside[1] - leg.inside[0]))
        touches, path_steps = self._touches.get(name, (0, 0))
        self._touches[name] = touches + ensemble.floor_touches, path_steps + int(ensemble._raw["path_steps"])
        return ensemble

    def second_moment_notes(self) -> list[str]:
        """What there is to say of second moments that start at 0 or were below their floors, model by model."""
        notes = [(name, floor_note(*counts)) for name, counts in self._touches.items()]
        if "v" not in self.start.parts:
            starting = [self.reference] if self.schedule.start_steps else self.models
            notes += [(name, lagged_note(self.models[name])) for name in starting]
        return [f"{name}: {note}" for name, note in notes if note is not None]

    def _shares(self, name: str, dynamics: Dynamics, cells: int, theta0: Any, options: dict[str, Any]) -> bool:
        """Whether a dynamics takes wiener_dt: an algorithm whose noise is no Wiener path does not."""
        if not dynamics._discrete:
            return True
        known = self._takes_cells.get((name, cells))
        if known is None:
            first = options["path_range"][0]
            alone = options | {"steps": 1, "path_range": (first, first + 1), "observe": Final(), "progress": False}
            known = True
            try:
                simulate(dynamics, theta0, wiener_dt=self.schedule.clock.unit / cells, **alone)
            except ValueError as error:
                if not str(error).startswith("wiener_dt"):
                    raise
                known = False
            self._takes_cells[name, cells] = known
        return known

    def cells(self, entries: Sequence[Entry]) -> int:
        """Cells of the Wiener path in a unit of time: every step of every run is a whole number of them."""
        ratios = self.schedule.clock.ratios
        noisy = [run for run in _runs(entries) if not noiseless(self.models[run[0]])]
        return math.lcm(*(n // math.gcd(n, ratios[name]) for name, n in noisy))

    def work(self, entries: Sequence[Entry]) -> int:
        """Normal numbers, or so, that a path takes."""
        numbers = sum(max(self._size, self._n_wiener[name]) for name, _ in _runs(entries))
        return self.schedule.last * self.cells(entries) * numbers

    def path_steps(self, entries: Sequence[Entry]) -> int:
        """Integrator steps that a path takes: the unit of progress."""
        span = self.schedule.last - self.schedule.first
        return sum(span // self.schedule.clock.ratios[name] * n for name, n in _runs(entries))

    def piece_size(self, entries: Sequence[Entry], columns: int) -> int:
        """Paths of a piece: whole groups within the memory meant for it."""
        numbers = len(self.schedule.t) * (2 * self._size + len(self.functions) * (len(entries) + 2 * columns))
        return int(np.clip(_PIECE_BYTES // (8 * numbers) // GROUP, 1, _LARGEST_PIECE // GROUP)) * GROUP

    def piece(self, entries: Sequence[Entry], first: int, last: int, twin: Twin | None = None) -> Piece:
        """Values of paths first to last, all of one block."""
        schedule, n = self.schedule, last - first
        cells = self.cells(entries)
        bad: dict[str, Mask] = {name: np.zeros(n, dtype=bool) for name in self.models}
        leg = self._leg(first, last, schedule.t0, schedule.t1)
        if schedule.start_steps:
            leg, bad[self.reference] = self._handed_over(entries, cells, leg)
        known: dict[tuple[str, int], FloatArray] = {}
        shape = (len(self.functions), len(schedule.t), n)
        values = np.zeros((len(entries), *shape))
        for out, entry in zip(values, entries, strict=True):
            for substeps, weight in entry.scheme.levels.items():
                run = entry.name, substeps
                if run not in known:
                    states, diverged = self._run(entry, substeps, cells, leg)
                    bad[entry.name] = bad[entry.name] | diverged
                    known[run] = self._values(states, shape)
                with np.errstate(invalid="ignore", over="ignore"):
                    out += weight * known[run]
            # A test function may overflow before the state does.
            bad[entry.name] = bad[entry.name] | ~np.isfinite(out).all(axis=(0, 1))
        keep = ~np.any(list(bad.values()), axis=0)
        controls = np.zeros((0, shape[1], n))
        if twin is not None:
            controls = self._controls(twin, cells, leg)
            keep &= np.isfinite(controls).all(axis=(0, 1))
        return Piece(values, keep, bad, controls)

    def _key(self, name: str, block: int) -> Key:
        key = self.key if self.couple else derived(self.key, 2, list(self.models).index(name))
        return key if block == 0 else derived(key, 1, block)

    def _run(self, entry: Entry, substeps: int, cells: int, leg: Leg) -> tuple[dict[str, FloatArray], Mask]:
        """States (T, n, d) of one run and its diverged paths; one path where all are the same."""
        dynamics = self.models[entry.name]
        same = self.start.fixed and not self.schedule.start_steps and noiseless(dynamics)
        run = entry.name, substeps
        if same and run in self._once:
            return self._once[run]
        leg = replace(leg, inside=(0, 1), block=0) if same else leg
        observe = [Paths(at=self.schedule.t)]
        answer = _states(
            self._simulate(entry.name, dynamics, leg, substeps, entry.scheme.method, cells, observe), dynamics
        )
        if same:
            self._once[run] = answer
        return answer

    def _values(self, states: dict[str, FloatArray], shape: tuple[int, int, int]) -> FloatArray:
        """Test functions (F, T, n) of states (T, n, d)."""
        flat = {name: array.reshape(-1, array.shape[-1]) for name, array in states.items()}
        return np.broadcast_to(self.functions.values(flat).reshape(*shape[:2], -1), shape)

    def _controls(self, twin: Twin, cells: int, leg: Leg) -> FloatArray:
        """Control variates (c, T, n) of the twin, from where the paths start."""
        t = self.schedule.t
        times = t if t[0] <= self.schedule.t0 else np.concatenate([[self.schedule.t0], t])
        ensemble = self._simulate(twin.source, twin.dynamics, leg, 1, None, cells, [Paths(at=times)])
        states = np.asarray(ensemble.paths)
        return twin.controls(states[0], states[-len(t) :])

    def _handed_over(self, entries: Sequence[Entry], cells: int, leg: Leg) -> tuple[Leg, Mask]:
        """The leg that goes on from the reference's states at the start, and the paths that diverged before."""
        entry = next(entry for entry in entries if entry.name == self.reference)
        dynamics = self.models[entry.name]
        before = replace(leg, t0=0.0, t1=leg.t0)
        substeps = max(entry.scheme.levels)
        ensemble = self._simulate(entry.name, dynamics, before, substeps, entry.scheme.method, cells, [Final()])
        gone = _diverged(ensemble)
        rows: dict[str, Any] = {}
        for name in dynamics.state:
            final = np.asarray(ensemble.final if name == "theta" else ensemble.state[name].final)
            # Rows of paths that are not run, or no more, are filled with one that is: every row must be a state.
            alive = final[~gone]
            rows[name] = np.empty((leg.inside[1], final.shape[1]))
            rows[name][:] = alive[0] if len(alive) else 1.0
            rows[name][leg.inside[0] :][~gone] = alive
        return replace(leg, parts=rows, paths=leg.inside[1]), gone


def _runs(entries: Sequence[Entry]) -> set[tuple[str, int]]:
    """All runs that entries are made of, by model and substeps."""
    return {(entry.name, n) for entry in entries for n in entry.scheme.levels}


def _diverged(ensemble: Ensemble) -> Mask:
    """Which of its paths became non-finite in any variable."""
    mask = np.zeros(ensemble.path_range[1] - ensemble.path_range[0], dtype=bool)
    mask[ensemble._raw["bad_paths"] - ensemble.path_range[0]] = True
    return mask


def _states(ensemble: Ensemble, dynamics: Dynamics) -> tuple[dict[str, FloatArray], Mask]:
    """All variables at the observed times, (T, n, d) each, and the diverged paths."""
    states = {
        name: np.asarray(ensemble.paths if name == "theta" else ensemble.state[name].paths) for name in dynamics.state
    }
    return states, _diverged(ensemble)
