"""Means and differences of models to a known accuracy: substeps, control variates and number of paths from pilots."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray
from optsde._coupled import BLOCK, Entry, Runner, Scheme, derived, noiseless
from optsde._sums import Sums
from optsde._twin import Twin, linear_twins
from optsde.errors import DivergenceWarning
from optsde.methods import methods
from optsde.observers._functions import calls_python

# Substeps to begin with, those of simulate, more where there is no noise to be made; and the most.
_SUBSTEPS = 8
_SUBSTEPS_OF_FLOW = 32
_MOST_SUBSTEPS = 64
# The integrator's error may be this part of the standard error of a difference, or this of the largest difference.
_OF_STDERR = 0.2
SMALL = 0.005
# A difference is resolved where it is so many standard errors.
RESOLVED = 10.0
_PILOT_PATHS = 1 << 12
_PILOT_WORK = 2e8
_FIRST_PATHS = 1 << 12
_MOST_PATHS = 1 << 22
# Normal numbers, or so, that are spent where nobody says how many paths: some seconds; with Python's functions, fewer.
_WORK = 2e9
_WORK_IN_PYTHON = 2e8
# Control variates are used where they divide a variance by this at least.
_GAIN = 2.0
_PATHS_WORTH_CONTROLS = 2 * _PILOT_PATHS

Columns = Sequence[tuple[int, int | None]]


@dataclass(frozen=True)
class Estimate:
    """What was found: arrays (M, F, T) over models, test functions and times.

    ``difference`` is from the reference, whose own row is 0. ``bias`` estimates the integrator's error, with its own
    standard error. ``gain`` (F,) is the factor by which the control variates of ``twin`` divided a variance in the
    pilot, NaN where they were not used.
    """

    mean: FloatArray
    stderr: FloatArray
    difference: FloatArray
    difference_stderr: FloatArray
    bias: FloatArray
    bias_stderr: FloatArray
    schemes: dict[str, Scheme]
    twin: Twin | None
    gain: FloatArray
    n_paths: int
    n_left_out: int
    n_diverged: dict[str, int]


class _Tally:
    """Sums over paths from the first on, of columns that are entries or differences of two of them."""

    def __init__(self, runner: Runner, entries: Sequence[Entry], columns: Columns, twin: Twin | None = None) -> None:
        self._runner, self._entries, self._columns, self._twin = runner, entries, columns, twin
        self.n = self.left_out = 0
        self.diverged = dict.fromkeys(runner.models, 0)
        self.sums: Sums | None = None
        self._size = runner.piece_size(entries, len(columns))

    def extend(self, last: int) -> None:
        """Runs paths up to ``last``."""
        while self.n < last:
            stop = min(last, self.n + self._size, (self.n // BLOCK + 1) * BLOCK)
            piece = self._runner.piece(self._entries, self.n, stop, self._twin)
            with np.errstate(invalid="ignore", over="ignore"):
                values = piece.values
                y = np.stack([values[i] if j is None else values[i] - values[j] for i, j in self._columns])
            if self.sums is None:
                functions, times = y.shape[1:3]
                self.sums = Sums.empty(len(y), functions, times, len(piece.controls))
            self.sums.add(y, piece.controls, piece.keep)
            self.n = stop
            self.left_out += int(np.count_nonzero(~piece.keep))
            for name, bad in piece.diverged.items():
                self.diverged[name] += int(np.count_nonzero(bad))

    def estimates(self, regressed: bool) -> tuple[FloatArray, FloatArray]:
        """Means and standard errors (Q, F, T)."""
        assert self.sums is not None
        # Controls have expectation 0 over all paths, not over those that survive.
        return self.sums.regressed() if regressed and not self.left_out else self.sums.plain()


def _first_scheme(runner: Runner, name: str, extrapolate: bool | None) -> Scheme:
    """An equation's exact steps where there are such, else its default method; what does not fit shows here."""
    dynamics, table = runner.models[name], methods()
    if dynamics._discrete:
        return Scheme(None, runner.probe(name, None), math.inf, dynamics._inner_steps)
    exact = dynamics._linear and dynamics.noise_kind in table["ornstein_uhlenbeck"].noise_kinds
    method = "ornstein_uhlenbeck" if exact else None
    found = runner.probe(name, method)
    weak = table[found].weak
    if weak is not None and math.isinf(weak):
        return Scheme(method, found, math.inf)
    substeps = _SUBSTEPS_OF_FLOW if noiseless(dynamics) else _SUBSTEPS
    return Scheme(method, found, 1.0 if weak is None else float(weak), substeps, extrapolate is True)


def _finer(scheme: Scheme, extrapolate: bool | None) -> Scheme | None:
    """The next better one: the leading error extrapolated away where that is the cheapest, else half the step."""
    if extrapolate is None and not scheme.extrapolated and scheme.weak <= 1.0:
        return replace(scheme, extrapolated=True)
    return scheme.halved if scheme.substeps < _MOST_SUBSTEPS else None


class _Pilot:
    """Decides on schemes and control variates from runs with noise of their own."""

    def __init__(self, runner: Runner, n_paths: int | None, most: int, extrapolate: bool | None) -> None:
        self.runner = runner.with_key(derived(runner.key, 3))
        self.names = list(runner.models)
        self.others = [k for k, name in enumerate(self.names) if name != runner.reference]
        self.n_paths, self.most, self.extrapolate = n_paths, most, extrapolate
        self.schemes = {name: _first_scheme(runner, name, extrapolate) for name in self.names}
        shape = (len(self.names), len(runner.functions), len(runner.schedule.t))
        self.bias, self.bias_stderr = np.zeros(shape), np.zeros(shape)

    @property
    def entries(self) -> list[Entry]:
        """All models as they are integrated."""
        return [Entry(name, self.schemes[name]) for name in self.names]

    @property
    def columns(self) -> list[tuple[int, int | None]]:
        """All models, then the differences of the others from the reference."""
        reference = self.names.index(self.runner.reference)
        return [*((k, None) for k in range(len(self.names))), *((k, reference) for k in self.others)]

    def _paths(self, entries: Sequence[Entry], want: int) -> int:
        asked = want if self.n_paths is None else min(want, max(self.n_paths, 256))
        affordable = max(int(_PILOT_WORK / self.runner.work(entries)), 64)
        return min(asked, affordable, self.runner.start.rows or asked)

    def refine(self) -> None:
        """Finer schemes until no integrator's error stands out, with half the step on the same path to show it."""
        want = _PILOT_PATHS
        while any(not scheme.exact for scheme in self.schemes.values()):
            inexact = [k for k, name in enumerate(self.names) if not self.schemes[name].exact]
            halves = [Entry(self.names[k], self.schemes[self.names[k]].halved) for k in inexact]
            entries = [*self.entries, *halves]
            columns = [*self.columns, *((k, len(self.names) + i) for i, k in enumerate(inexact))]
            tally = _Tally(self.runner, entries, columns)
            paths = self._paths(entries, want)
            tally.extend(paths)
            mean, stderr = tally.estimates(regressed=False)
            count = len(self.names)
            tolerance = self._tolerance(
                mean[count : count + len(self.others)], stderr[count:][: len(self.others)], paths
            )
            again = unclear = False
            for row, k in enumerate(inexact, start=count + len(self.others)):
                scheme = self.schemes[self.names[k]]
                gain = 2.0**scheme.order
                self.bias[k] = mean[row] * gain / (gain - 1.0)
                self.bias_stderr[k] = stderr[row] * gain / (gain - 1.0)
                allowed = tolerance.min(axis=0) if k not in self.others else tolerance[self.others.index(k)]
                size, doubt = np.abs(self.bias[k]), 2.0 * self.bias_stderr[k]
                better = _finer(scheme, self.extrapolate)
                if (size - doubt > allowed).any() and better is not None:
                    self.schemes[self.names[k]] = better
                    again = True
                unclear |= bool((size + doubt > allowed).any())
            if not again:
                larger = self._paths(entries, 4 * want)
                if not unclear or larger <= paths or want > 2 * _PILOT_PATHS:
                    return
                want *= 4

    def _tolerance(self, difference: FloatArray, stderr: FloatArray, paths: int) -> FloatArray:
        """What the integrator's error may be, (M - 1, F, T): small beside the standard error that the run will have."""
        difference = np.abs(difference)
        deviation = stderr * math.sqrt(paths)
        largest = difference.max(axis=2, keepdims=True)
        if self.n_paths is None:
            at = difference.argmax(axis=2)[..., None]
            there = np.take_along_axis(deviation, at, axis=2)
            with np.errstate(divide="ignore", invalid="ignore"):
                needed = np.nan_to_num((RESOLVED * there / largest) ** 2, nan=0.0, posinf=self.most)
            n = float(np.clip(needed.max(), _FIRST_PATHS, self.most))
        else:
            n = float(self.n_paths)
        return np.asarray(np.maximum(_OF_STDERR * deviation / math.sqrt(n), SMALL * largest))

    def controls(self) -> tuple[Twin | None, FloatArray]:
        """The twin whose control variates pay, and the factor (F,) by which they divide a variance."""
        none = np.full(len(self.runner.functions), np.nan)
        expected = self.most if self.n_paths is None else self.n_paths
        if not self.runner.couple or expected < _PATHS_WORTH_CONTROLS:
            return None, none
        paths = self._paths(self.entries, _PILOT_PATHS)
        path = self.runner.mean_path(self.schemes[self.runner.reference], paths)
        best: tuple[Twin | None, FloatArray] = None, none
        for twin in linear_twins(self.runner.models, path, self.runner.schedule):
            tally = _Tally(self.runner, self.entries, self.columns, twin)
            tally.extend(paths)
            if tally.left_out:
                continue
            _, plain = tally.estimates(regressed=False)
            _, less = tally.estimates(regressed=True)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(plain > 0.0, (plain / less) ** 2, 1.0)
            gain = np.median(ratio, axis=2).max(axis=0)
            if gain.max() >= _GAIN and (best[0] is None or gain.max() > np.nanmax(best[1])):
                best = twin, np.where(gain >= _GAIN, gain, np.nan)
        return best


def warn_of_left_out(found: Sequence[Estimate]) -> None:
    """Warns, as from the caller's caller, where paths are left out."""
    left_out = sum(one.n_left_out for one in found)
    if not left_out:
        return
    counts = {name: sum(one.n_diverged[name] for one in found) for name in found[0].n_diverged}
    listing = ", ".join(f"{n:,} in {name!r}" for name, n in counts.items() if n)
    warnings.warn(
        f"{left_out:,} of {sum(one.n_paths for one in found):,} paths, or a test function of them, became non-finite "
        f"({listing}) and are left out of all models; what remains is conditional on survival",
        DivergenceWarning,
        stacklevel=3,
    )


def unresolved(difference: FloatArray, stderr: FloatArray, resolution: float = RESOLVED) -> NDArray[np.bool_]:
    """Where (M, F) the largest difference over the times is less than so many standard errors."""
    at = np.abs(difference).argmax(axis=2)[..., None]
    largest = np.abs(np.take_along_axis(difference, at, axis=2))[..., 0]
    error = np.take_along_axis(stderr, at, axis=2)[..., 0]
    return np.asarray(~(largest >= resolution * error))


def most_paths(runner: Runner, entries: Sequence[Entry], max_paths: int | None) -> int:
    """The most paths: as many as allowed, else as the budget has for."""
    if max_paths is not None:
        return max_paths
    python = any(calls_python(dynamics._spec()) for dynamics in runner.models.values())
    budget = _WORK_IN_PYTHON if python else _WORK
    return int(np.clip(budget / runner.work(entries), _FIRST_PATHS, _MOST_PATHS))


def estimate(
    runner: Runner,
    *,
    n_paths: int | None,
    max_paths: int | None = None,
    extrapolate: bool | None = None,
    control_variates: bool = True,
    resolution: float = RESOLVED,
    first_paths: int = _FIRST_PATHS,
) -> Estimate:
    """Means of all models and their differences from the reference.

    ``n_paths`` paths, or from ``first_paths`` on as many as make each difference ``resolution`` standard errors, within
    the budget.
    """
    unknown = _MOST_PATHS if max_paths is None else max_paths
    pilot = _Pilot(runner, n_paths, unknown, extrapolate)
    if max_paths is None:
        pilot.most = most_paths(runner, pilot.entries, None)
    pilot.refine()
    twin, gain = pilot.controls() if control_variates else (None, np.full(len(runner.functions), np.nan))
    most = n_paths if n_paths is not None else most_paths(runner, pilot.entries, max_paths)

    tally = _Tally(runner, pilot.entries, pilot.columns, twin)
    count = len(pilot.names)
    used = np.isfinite(gain)[:, None]

    def results() -> tuple[FloatArray, FloatArray]:
        plain, less = tally.estimates(False), tally.estimates(True)
        return np.where(used, less[0], plain[0]), np.where(used, less[1], plain[1])

    complete = False
    if runner.meter is not None:
        runner.meter.plan(most * runner.path_steps(pilot.entries))
    try:
        checkpoint = most if n_paths is not None else min(first_paths, most)
        while True:
            tally.extend(checkpoint)
            mean, stderr = results()
            if checkpoint >= most or not unresolved(mean[count:], stderr[count:], resolution).any():
                break
            checkpoint = min(2 * checkpoint, most)
        complete = True
    finally:
        if runner.meter is not None:
            runner.meter.close(complete)

    difference, difference_stderr = np.zeros_like(mean[:count]), np.zeros_like(mean[:count])
    difference[pilot.others], difference_stderr[pilot.others] = mean[count:], stderr[count:]
    if tally.left_out:
        twin, gain = None, np.full_like(gain, np.nan)
    return Estimate(
        mean=mean[:count],
        stderr=stderr[:count],
        difference=difference,
        difference_stderr=difference_stderr,
        bias=pilot.bias,
        bias_stderr=pilot.bias_stderr,
        schemes=pilot.schemes,
        twin=twin,
        gain=gain,
        n_paths=tally.n,
        n_left_out=tally.left_out,
        n_diverged=tally.diverged,
    )
