"""How many levels, and how many samples on each: multilevel Monte Carlo to a tolerance (Giles 2008)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray
from optsde._coupled import derived
from optsde._levels import PROBE_PATHS, Sampler
from optsde._slope import Slope, fitted_slope
from optsde._tally import Tally

# Steps, sizes and their standard errors.
Points = tuple[FloatArray, FloatArray, FloatArray]
# 95 %, two-sided.
QUANTILE = 1.959963984540054
# Corrections above the first level: with fewer a chance zero of their means would pass for accuracy.
_CORRECTIONS = 2
# The bias may take this part of the tolerance; below, samples make up for it.
_BIAS_PART = 0.5
# A mean is used for the order where it is so many standard errors.
_SEEN = 3.0
# A twin is kept on a level where it makes it cheaper by this factor.
_GAIN = 1.25
_MARGIN = 1.01
# Orders of the bias are taken from the finest levels, whose logarithms lie on a line but for this, and not lower than.
_FINEST = 4
_BEND = 0.1
_LOWEST_ORDER = 0.5
_UNSEEN_ORDER = 1.0
_HIGHEST_ORDER = 16.0
# Means that cancel leave this part of the largest.
_ROUNDING = 4e-16
# Where all paths of a step are lost, a few of steps shorter by this power of 2 show whether any is left with those.
_PROBED = 4
# A value is told from zero where it is so many standard errors, which must be at most this part of the function's
# standard deviation before it is said that it cannot be: 90,000 samples, or more where rtol is smaller.
_NONZERO = 2.0
_FINE = 1.0 / 300.0
# That is aimed at, and half as much again is near enough: estimates of variances move.
_NEAR = 1.5
# As long as it is unclear, samples are for a standard error smaller by this factor, not for a tolerance made of noise.
_UNCLEAR = 5.0
_NEAR_ZERO = "the value cannot be told from zero, to which no error is relative: give atol"
_SMALLER = 4.0


class Level:
    """Samples of one step, or of the difference from the step twice as long on the same path.

    Whatever takes ``coupled`` is of the difference where that is true, else of the step alone.
    """

    def __init__(self, sampler: Sampler, index: int) -> None:
        self._sampler, self.index = sampler, index
        self.steps = sampler.coarsest << index
        self.dt = sampler.dt(self.steps)
        self._key = derived(sampler.key, 2, index)
        self._tallies = {False: Tally(), True: Tally()}
        self.twin = dict.fromkeys((False, True), sampler.has_twin(self.steps))
        self.gain = {False: 1.0, True: 1.0}
        self.n_diverged = self.n_undefined = 0
        self._at = 0

    def cost(self, coupled: bool) -> float:
        """Path-steps of a sample."""
        return self._sampler.unit * self.steps * (1.0 + 0.5 * coupled + self.twin[coupled])

    def open(self) -> None:
        """The pilot: of the step, and of the difference where there is a longer one."""
        wanted = (False, True) if self.index else (False,)
        self._extend(self._sampler.pilot, wanted)
        for coupled in wanted:
            if self.twin[coupled]:
                self._judge(coupled)

    def _judge(self, coupled: bool) -> None:
        """Keeps control variates where they pay."""
        tally = self._tallies[coupled]
        plain, less = tally.plain()[1], tally.regressed()[1]
        with_twin = self.cost(coupled)
        self.twin[coupled] = False
        if less > 0.0 and not self.n_lost and plain / less * self.cost(coupled) >= _GAIN * with_twin:
            self.twin[coupled], self.gain[coupled] = True, plain / less
        else:
            self._tallies[coupled] = tally.without_controls()

    def extend(self, samples: int, coupled: bool) -> None:
        """Up to so many samples."""
        self._extend(samples, (coupled,))

    def _extend(self, samples: int, wanted: tuple[bool, ...]) -> None:
        unit, sampler = self._sampler.unit, self._sampler
        while self._at < samples * unit:
            piece = self._at, min(samples * unit, (self._at // sampler.piece + 1) * sampler.piece)
            values, diverged, undefined = sampler.values(self._key, self.steps, 1, *piece)
            rows = {False: values}
            if True in wanted:
                longer, *also = sampler.values(self._key, self.steps // 2, 2, *piece)
                with np.errstate(invalid="ignore"):
                    rows[True] = values - longer
                diverged |= also[0]
                undefined |= also[1]
            controls = np.zeros((0, len(values)))
            if any(self.twin[coupled] for coupled in wanted):
                controls = sampler.controls(self._key, self.steps, *piece)
                diverged |= ~np.isfinite(controls).all(axis=0)
            self.n_diverged += int(np.count_nonzero(diverged))
            self.n_undefined += int(np.count_nonzero(undefined & ~diverged))
            bad = diverged | undefined
            # Of antithetic paths the mean of a pair is a sample, because they are not independent.
            keep: NDArray[np.bool_] = np.logical_not(bad.reshape(-1, unit).any(axis=1))
            controls = _samples(controls, unit, keep)
            for coupled in wanted:
                y = _samples(rows[coupled][None], unit, keep)[0]
                self._tallies[coupled].add(y, controls if self.twin[coupled] else controls[:0])
            self._at = piece[1]

    def estimate(self, coupled: bool) -> tuple[float, float, float]:
        """Mean, variance of a sample and variance of the mean."""
        tally = self._tallies[coupled]
        # Controls have expectation 0 over all paths, not over those that survive.
        return tally.regressed() if self.twin[coupled] and not self.n_lost else tally.plain()

    def samples(self, coupled: bool) -> int:
        """Samples that count."""
        return self._tallies[coupled].n

    def kurtosis(self, coupled: bool) -> float:
        """Of the samples."""
        return self._tallies[coupled].kurtosis

    @property
    def deviation(self) -> float:
        """Standard deviation of the step's own samples, without control variates."""
        return math.sqrt(self._tallies[False].plain()[1])

    @property
    def n_lost(self) -> int:
        """Paths that do not count: they became non-finite, or the function's value at their end is."""
        return self.n_diverged + self.n_undefined

    @property
    def drawn(self) -> int:
        """Samples drawn, those that do not count among them."""
        return self._at // self._sampler.unit


def _samples(rows: FloatArray, unit: int, keep: NDArray[np.bool_]) -> FloatArray:
    """Rows (k, n) of paths to rows of samples, the mean of ``unit`` paths each, without those that do not count."""
    if unit > 1:
        rows = rows.reshape(len(rows), rows.shape[1] // unit, unit).mean(axis=2)
    return rows if keep.all() else rows[:, keep]


@dataclass(frozen=True)
class Row:
    """A level as it is in the sum."""

    level: Level
    coupled: bool
    mean: float
    variance: float
    mean_variance: float


def mean_points(rows: list[Row]) -> Points:
    """Steps, sizes of mean corrections and their standard errors, where they can be told from noise."""
    seen = [r for r in rows[1:] if abs(r.mean) > _SEEN * math.sqrt(r.mean_variance)]
    return (
        np.array([r.level.dt for r in seen]),
        np.array([abs(r.mean) for r in seen]),
        np.array([math.sqrt(r.mean_variance) for r in seen]),
    )


def variance_points(rows: list[Row]) -> Points:
    """Steps, variances of corrections and their standard errors."""
    # Levels whose powers overflow mean nothing.
    seen = [r for r in rows[1:] if r.variance > 0.0 and r.level.kurtosis(r.coupled) < math.inf]
    spread = [(max(r.level.kurtosis(r.coupled), 2.0) - 1.0) / max(r.level.samples(r.coupled), 1) for r in seen]
    variance = np.array([r.variance for r in seen])
    return np.array([r.level.dt for r in seen]), variance, variance * np.sqrt(spread)


def slope(points: Points) -> Slope:
    """Slope of sizes over steps with its 95 % interval; NaN for fewer than two."""
    return fitted_slope(*points) if len(points[0]) > 1 else Slope(math.nan, math.nan, math.nan)


def _quick_slope(points: Points) -> float:
    """Slope through the finest levels; NaN where there are fewer than two."""
    dt, size, stderr = (a[-_FINEST:] for a in points)
    if len(dt) < 2:
        return math.nan
    weight = 1.0 / (np.square(stderr / size) + _BEND * _BEND)
    x, y = np.log(dt), np.log(size)
    x -= (weight @ x) / weight.sum()
    return float((weight * x) @ y / ((weight * x) @ x))


@dataclass(frozen=True)
class Found:
    """The state of the estimate."""

    rows: list[Row]
    value: float
    stderr: float
    bias: float

    @property
    def error(self) -> float:
        """Half the width of the 95 % interval."""
        return self.bias + QUANTILE * self.stderr


class Multilevel:
    """Runs levels until the error is within the tolerance, or says why it cannot be."""

    def __init__(
        self, sampler: Sampler, *, rtol: float, atol: float, extrapolate: bool, max_level: int, max_cost: float
    ) -> None:
        self.sampler = sampler
        self.rtol, self.atol, self.extrapolate = rtol, atol, extrapolate and not sampler.exact
        self.max_level, self.max_cost = 0 if sampler.exact else max_level, max_cost
        self.levels: list[Level] = []
        self.first = 0
        self._shortest = math.nan
        self.status, self.reason = "interrupted", "Ctrl-C before the tolerance was met"

    # --- what is known ------------------------------------------------------------------------------------------------

    def tolerance(self, value: float) -> float:
        """What the error may be."""
        return max(self.atol, self.rtol * abs(value))

    def _fine(self, found: Found) -> float:
        """The standard error at which a value of two of them counts as zero; 0 where the tolerance needs no value."""
        if self.atol > 0.0 or not found.stderr > 0.0:
            return 0.0
        return min(self.rtol, _FINE) * found.rows[0].level.deviation

    def _aim(self, found: Found) -> float:
        """The tolerance that the next samples are for."""
        tolerance, fine = self.tolerance(found.value), self._fine(found)
        if fine == 0.0 or abs(found.value) > _UNCLEAR * found.stderr:
            return tolerance
        # Not for what hardly differs, which might need no samples.
        return max(tolerance, QUANTILE * (fine if found.stderr > _NEAR * fine else found.stderr / _SMALLER))

    def _hidden_by_zero(self, found: Found) -> bool:
        """Whether the value cannot be told from zero, for which there is no relative error."""
        fine = self._fine(found)
        small = found.stderr <= _NEAR * fine and found.bias <= QUANTILE * _NEAR * fine
        return small and abs(found.value) <= _NONZERO * found.stderr

    def _weight(self, last: bool) -> float:
        """Of a level's mean in the value: 1, more for the last one where it is extrapolated from."""
        return 1.0 + 1.0 / (2.0**self.sampler.weak - 1.0) if last and self.extrapolate else 1.0

    def _guarded(self, rows: list[Row]) -> list[Row]:
        """No variance far below what the level before and the known order let expect: few samples may all agree."""
        beta = _quick_slope(variance_points(rows))
        order = max(2.0 * self.sampler.strong, min(beta, _HIGHEST_ORDER) if math.isfinite(beta) else 0.0)
        out = rows[:2]
        for row in rows[2:]:
            least = 0.5 * out[-1].variance / 2.0**order
            if row.variance < least:
                n = row.level.samples(row.coupled)
                row = Row(row.level, row.coupled, row.mean, least, max(row.mean_variance, least / n))
            out.append(row)
        return out

    def _rows(self, first: int) -> list[Row]:
        chosen = [(level, level.index > first) for level in self.levels[first:]]
        if any(level.samples(coupled) < 2 for level, coupled in chosen):
            return []
        return self._guarded([Row(level, coupled, *level.estimate(coupled)) for level, coupled in chosen])

    def _bias(self, rows: list[Row], noise: bool = False) -> float:
        """What the finest step leaves, from the last corrections by the order known or measured, the lower of the two.

        A correction counts with a standard error added, lest it be small by chance; with ``noise`` that part alone. An
        order that noise hides counts as 1 at most: high ones are those of smooth functions.
        """
        if self.sampler.exact:
            return 0.0
        means, errors = [r.mean for r in rows[1:]], [math.sqrt(r.mean_variance) for r in rows[1:]]
        order = self.sampler.weak
        gain = 2.0**order
        measured = _quick_slope(mean_points(rows))
        order = min(order, _UNSEEN_ORDER if math.isnan(measured) else max(measured, _LOWEST_ORDER))
        if self.extrapolate:
            # Differences of extrapolated values; their own order is one more than the method's.
            errors = [math.hypot(gain * b, a) / (gain - 1.0) for a, b in pairwise(errors)]
            means = [(gain * b - a) / (gain - 1.0) for a, b in pairwise(means)]
            order += 1.0
        if not means:
            return math.nan
        parts = errors if noise else [abs(mean) + error for mean, error in zip(means, errors, strict=True)]
        last = [part * 2.0 ** (-order * k) for k, part in enumerate(reversed(parts[-3:]))]
        rounding = _ROUNDING * max(abs(row.mean) for row in rows)
        return float(max(last) / (2.0**order - 1.0)) + rounding

    def found(self) -> Found:
        """The estimate as it is."""
        rows = self._rows(self.first)
        if not rows:
            return Found(rows, math.nan, math.nan, math.nan)
        weights = [self._weight(k == len(rows) - 1 and k > 0) for k in range(len(rows))]
        value = sum(w * r.mean for w, r in zip(weights, rows, strict=True))
        variance = sum(w * w * r.mean_variance for w, r in zip(weights, rows, strict=True))
        return Found(rows, value, math.sqrt(variance), self._bias(rows))

    # --- what to do ---------------------------------------------------------------------------------------------------

    def _needed(self, rows: list[Row], half_width: float) -> list[int]:
        """Samples of each level for a standard error of half_width / 1.96 at the least cost.

        Variances are taken two standard errors of theirs larger than measured.
        """
        spreads, costs = [], []
        for k, r in enumerate(rows):
            n = r.level.samples(r.coupled)
            kurtosis = r.level.kurtosis(r.coupled)
            doubt = 0.0 if math.isnan(kurtosis) else 2.0 * math.sqrt(max(kurtosis - 1.0, 0.0) / n)
            weight = self._weight(k == len(rows) - 1 and k > 0)
            spreads.append(weight * weight * r.variance * (1.0 + doubt) * _MARGIN)
            costs.append(r.level.cost(r.coupled))
        total = sum(math.sqrt(v * c) for v, c in zip(spreads, costs, strict=True))
        # Of levels that mean nothing numbers may be beyond floats, whose products are inf and whose powers are errors.
        ratio = QUANTILE / half_width if half_width > 0.0 else math.inf
        factor = ratio * ratio * total
        out = []
        for r, v, c in zip(rows, spreads, costs, strict=True):
            want = factor * math.sqrt(v / c) if v > 0.0 else 0.0
            # Diverged paths are drawn, and do not count.
            want *= r.level.drawn / max(r.level.samples(r.coupled), 1)
            out.append(max(r.level.drawn, math.ceil(min(want, 2.0**60))))
        return out

    def _work(self, first: int) -> float:
        """Cost of a sum that begins at a level, but for a factor; infinite where a path of it diverged.

        Corrections count by their mean squares, so that large ones that would cancel are kept out even without noise.
        """
        total = 0.0
        for level in self.levels[first:]:
            coupled = level.index > first
            mean, variance, _ = level.estimate(coupled)
            square = variance + mean * mean if coupled else variance
            if level.n_lost or not math.isfinite(square):
                return math.inf
            total += math.sqrt(square * level.cost(coupled))
        return total

    def _choose_first(self) -> bool:
        """Chooses the cheapest first level that leaves enough corrections above it; False where a further one pays.

        Coarse steps of a stiff equation say nothing of it: their variances and those of their corrections are large.
        """
        if self.sampler.exact:
            return True
        last = len(self.levels) - 1
        works = [self._work(first) for first in range(len(self.levels))]
        best = min(range(len(works)), key=works.__getitem__) if math.isfinite(min(works)) else last
        self.first = min(best, max(last - _CORRECTIONS, 0))
        if best == self.first or not math.isfinite(works[self.first]):
            return math.isfinite(works[self.first])
        half_width = (1.0 - _BIAS_PART) * self._aim(self.found())
        root = QUANTILE / half_width * works[self.first] if half_width > 0.0 else math.inf
        return self.sampler.fixed or root * root <= self._pilot_cost(last + 1)

    def _pilot_cost(self, index: int) -> float:
        """Path-steps of opening a level, at most."""
        steps = self.sampler.coarsest << index
        return self.sampler.pilot * self.sampler.unit * steps * (1.0 + 0.5 * (index > 0) + self.sampler.has_twin(steps))

    def _open(self) -> None:
        """A level more."""
        level = Level(self.sampler, len(self.levels))
        level.open()
        self.levels.append(level)
        self._shortest = level.dt

    def _can_open(self) -> str | None:
        """Why there is no further level."""
        if len(self.levels) > self.max_level:
            return f"max_level = {self.max_level}"
        if self.sampler.path_steps + self._pilot_cost(len(self.levels)) > self.max_cost:
            return f"max_cost = {self.max_cost:.3g} path-steps"
        return None

    def _hopeless(self) -> bool:
        """Whether all of a few paths of steps that are ever shorter are lost, down to the shortest there may be."""
        sampler, last = self.sampler, self.levels[-1].index
        paths = min(PROBE_PATHS, sampler.pilot * sampler.unit)
        for index in (*range(last + _PROBED, self.max_level, _PROBED), self.max_level):
            steps = sampler.coarsest << index
            if sampler.path_steps + paths * steps > self.max_cost:
                break
            self._shortest = sampler.dt(steps)
            _, diverged, undefined = sampler.values(derived(sampler.key, 3, index), steps, 1, 0, paths)
            if not (diverged | undefined).all():
                return False
        return True

    def _stop(self, status: str, reason: str) -> None:
        self.status, self.reason = status, reason

    def run(self) -> Found:
        """The whole; raises Interruption with the state kept."""
        settled = probed = False
        while True:
            enough = 1 if self.sampler.exact else 1 + _CORRECTIONS
            obstacle = None
            while len(self.levels) < enough and obstacle is None:
                obstacle = self._can_open()
                if obstacle is None:
                    self._open()
            if self.levels and self.levels[-1].samples(False) == 0 and not probed:
                probed = True
                if self._hopeless():
                    return self._end_without(self.found(), None)
            if not settled and self.levels:
                settled = self._choose_first()
                if not settled and obstacle is None:
                    obstacle = self._can_open()
                    if obstacle is None:
                        self._open()
                        continue
            found = self.found()
            if not (found.rows and math.isfinite(found.value) and math.isfinite(found.stderr)):
                return self._end_without(found, obstacle)
            tolerance = self._aim(found)
            doubt = self._bias(found.rows, noise=True)
            # What is bias beyond doubt is refined away before samples are spent.
            if found.bias - _SEEN * doubt > _BIAS_PART * tolerance and obstacle is None:
                obstacle = self._can_open()
                if obstacle is None:
                    self._open()
                    continue
            if self._hidden_by_zero(found):
                return self._end(found, "near_zero", _NEAR_ZERO)
            if self._sample(found, tolerance):
                found = self.found()
                return self._end(found, "max_cost", f"max_cost = {self.max_cost:.3g} path-steps is spent")
            # Without noise there are no samples that would be lost with another first level.
            settled = not self.sampler.fixed
            found = self.found()
            tolerance = self.tolerance(found.value)
            if found.error <= tolerance:
                return self._end(found, "converged", "")
            if self._wants_more(found, tolerance):
                continue
            obstacle = self._can_open()
            if obstacle is not None:
                status = obstacle.partition(" ")[0]
                return self._end(found, status, f"the step needs to be finer than {obstacle} allows")
            self._open()

    def _half_width(self, found: Found, tolerance: float) -> float:
        """What is left of the tolerance for the standard error."""
        bias = found.bias if math.isfinite(found.bias) else 0.0
        return tolerance - min(bias, _BIAS_PART * tolerance)

    def _wants_more(self, found: Found, tolerance: float) -> bool:
        """Whether more samples on these levels are in order."""
        needed = self._needed(found.rows, self._half_width(found, tolerance))
        return any(n > r.level.drawn for n, r in zip(needed, found.rows, strict=True))

    def _sample(self, found: Found, tolerance: float) -> bool:
        """Samples as many as needed; True where the budget is less, which is then spent."""
        needed = self._needed(found.rows, self._half_width(found, tolerance))
        more = [n - r.level.drawn for n, r in zip(needed, found.rows, strict=True)]
        costs = [r.level.cost(r.coupled) for r in found.rows]
        left = self.max_cost - self.sampler.path_steps
        work = sum(n * c for n, c in zip(more, costs, strict=True))
        short = work > left
        if short:
            share = max(left, 0.0) / work
            more = [int(n * share) for n in more]
            work = left
        self.sampler.meter.plan(self.sampler.path_steps + max(int(work), 1))
        for n, r in zip(more, found.rows, strict=True):
            if n > 0:
                r.level.extend(r.level.drawn + n, r.coupled)
        return short

    def _end(self, found: Found, status: str, reason: str) -> Found:
        tolerance = self.tolerance(found.value)
        if found.error <= tolerance:
            status = "converged"
            reason = f"the 95 % error {found.error:.2g} is within the tolerance {tolerance:.2g}"
        else:
            bias, spread = found.bias, QUANTILE * found.stderr
            reason = (
                f"the 95 % error {found.error:.2g} (bias {bias:.2g}, sampling {spread:.2g}) is above the "
                f"tolerance {tolerance:.2g}: {reason}"
            )
        lost, kind = self._lost([r.level for r in found.rows])
        if lost:
            condition = "survival" if kind == "diverged" else "finite values"
            status, reason = kind, f"{lost} and are left out: conditional on {condition}; {reason}"
        self._stop(status, reason)
        return found

    @staticmethod
    def _lost(levels: list[Level]) -> tuple[str, str]:
        """What was lost on levels, a text, and the status that this makes."""
        diverged, undefined = sum(level.n_diverged for level in levels), sum(level.n_undefined for level in levels)
        parts = []
        if diverged:
            parts.append(f"{diverged:,} paths became non-finite")
        if undefined:
            parts.append(f"{undefined:,} values of the function were NaN or infinite at finite states")
        return " and ".join(parts), "diverged" if diverged else "undefined"

    def _end_without(self, found: Found, obstacle: str | None) -> Found:
        lost, status = self._lost(self.levels)
        if lost:
            left = "what is left has no mean or no variance"
            if self.levels[-1].samples(False) == 0:
                left = "none is left" if self.sampler.exact else f"none is left, down to a step of {self._shortest:.3g}"
            self._stop(status, f"{lost}: {left}")
        elif self.levels:
            self._stop("diverged", "values are so large that their mean or variance overflows")
        else:
            self._stop("max_cost", f"{obstacle or 'the budget'} leaves no level")
        return found
