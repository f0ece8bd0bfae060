"""The search: segments of doubling length until the law stands still and is known well enough, or the reason why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optsde import diagnostics
from optsde._arrays import FloatArray
from optsde.dynamics import Dynamics
from optsde.stationary import _evidence as evidence
from optsde.stationary._blocks import Blocks
from optsde.stationary._chains import Chains
from optsde.stationary._estimates import WIDTH, Estimate, estimates
from optsde.stationary._store import Store

# Draws of a block in the first segment.
_FIRST_DRAWS = 32
# Draws in the shortest autocorrelation time.
_DRAWS_PER_TIME = 4.0
_RHAT = 1.01
# Autocorrelation times that a run must last; five relaxation times of burn-in are half as many of these (spec 07.7).
_LONG = 20.0
_BURN_IN = 2.5
# Autocorrelation times within a well after which wells that do not mix may be called so.
_LONG_IN_A_WELL = 64.0
# What is left to the step's error of the tolerance, before the step is halved.
_SHARE = 0.5
_MOST_HALVINGS = 6
# A step that was given leaves nothing to noise where its error is this part of the tolerance.
_HOPELESS = 0.95
_CHUNK_BYTES = 16 << 20
# Of the latest draws so many, of all paths, show the autocorrelation.
_RECENT = 1 << 19
_RECENT_BYTES = 64 << 20
_RANKED = 1 << 18
_FEW_PATHS = 128
# Variances below this part of the largest, or of the squared mean, are rounding.
_VARIES = 1e-24
_LONG_SERIES = 256
_RESOLVING_DRAWS = 512
# A variance that grows so much from the first to the last third of so many segments on end, up to this part of the
# steps, is not going to stand still.
_GROWTH, _GROWING, _PART = 1.4, 4, 0.125
_ENOUGH_FOR_TAILS = 2000


@dataclass(frozen=True)
class Verdict:
    """How a search ended."""

    status: str
    reason: str


class Search:
    """All that is known so far: the chains, the part of the run that is kept, and what speaks against it."""

    def __init__(
        self, chains: Chains, dynamics: Dynamics, rtol: float, max_steps: int, dispersed: bool, extrapolate: bool
    ) -> None:
        self.chains, self.dynamics = chains, dynamics
        self.rtol, self.max_steps, self.dispersed, self.extrapolate = rtol, max_steps, dispersed, extrapolate
        self.names = list(dynamics.state)
        theta = chains.rows["theta"]
        self.size = dynamics.dim * len(self.names)
        self.shift = np.zeros(self.size)
        self.shift[: dynamics.dim] = theta.mean(axis=0)
        self.spent = 0
        self.block_steps, self.stride = _FIRST_DRAWS, 1
        self.kept: Blocks | None = None
        self.kept_fine: Blocks | None = None
        # The latest data, whether they are kept or not, and since when.
        self.seen: Blocks | None = None
        self.seen_fine: Blocks | None = None
        self.store = Store(chains.n_paths, self.size)
        self.recent: list[FloatArray] = []
        self.begin = 0.0
        self.passed = self.long = False
        self.trouble = ""
        # The longest autocorrelation time, in steps, and that of what is slowest to be known.
        self.memory = 1.0, 1.0
        self.halvings = self.growing = 0

    # --- running --------------------------------------------------------------------------------------------------

    def restart(self, chains: Chains) -> None:
        """Other chains from the beginning, at the same cost as before."""
        self.chains = chains
        self._discard()
        self.begin = 0.0
        self.block_steps, self.stride = _FIRST_DRAWS, 1

    def _discard(self) -> None:
        """Takes all up to now for burn-in."""
        if self.seen is not None:
            self.shift = self.seen.mean
        self.kept = self.kept_fine = None
        self.begin = self.chains.time
        self.store = Store(self.chains.n_paths, self.size)

    def _segment(self) -> tuple[Blocks, Blocks | None]:
        chains, n, dim = self.chains, self.chains.n_paths, self.dynamics.dim
        coarse = Blocks(self.shift, dim, n, self.block_steps)
        fine = None if chains.fine is None else Blocks(self.shift, dim, n, self.block_steps)
        draws = self.block_steps // self.stride
        most = 1 << max(3, int(math.log2(_CHUNK_BYTES / (8 * n * self.size))))
        chunk = min(draws, most)
        recent = max(chunk, min(_RECENT_BYTES // (8 * self.size), _RECENT) // n)
        latest: list[FloatArray] = []
        for block in range(coarse.n_blocks):
            for _ in range(draws // chunk):
                x, y = chains.run(chunk, self.stride)
                coarse.add(block, x, chunk / draws)
                if fine is not None and y is not None:
                    fine.add(block, y, chunk / draws)
                self.store.add(x, self.stride)
                latest.append(x)
                while sum(map(len, latest[1:])) >= recent:
                    latest.pop(0)
        self.recent = latest
        self.spent += coarse.total
        return coarse, fine

    # --- what is known --------------------------------------------------------------------------------------------

    def times(self, paths: int | None = _FEW_PATHS) -> tuple[FloatArray, FloatArray]:
        """Integrated autocorrelation times (D,), in steps, of coordinates and squares: of draws of the whole run where
        those are dense enough, else of the latest; infinite where neither last long enough.
        """
        latest = np.concatenate(self.recent)[:, :paths]
        short = evidence.autocorrelation_times(latest, self.stride)
        spaced = self.store.draws[:, :paths]
        if len(spaced) < 8:
            return short
        long = evidence.autocorrelation_times(spaced, self.store.spacing)
        resolved = _DRAWS_PER_TIME * self.store.spacing
        x, square = (
            np.where(np.isinf(s) | ((t >= resolved) & (t < np.inf)), t, s) for s, t in zip(short, long, strict=True)
        )
        return x, square

    def rhat(self) -> FloatArray:
        """Split R-hat (D,) of the halves, each taken as one chain in the order of time; 1 for what is constant."""
        draws = self.store.draws
        most = int(np.clip(_RANKED // self.size, 1 << 12, 1 << 15))
        draws = draws[:: max(1, math.ceil(draws[..., 0].size / most))]
        n = self.chains.n_paths // 2
        chains = np.stack([draws[:, k : 2 * n : 2].reshape(-1, self.size) for k in (0, 1)])
        if chains.shape[1] < 4:
            return np.full(self.size, np.nan)
        found: FloatArray = np.asarray(diagnostics.rhat(chains))
        return np.nan_to_num(found, nan=1.0, posinf=np.inf)

    def estimates(self) -> tuple[Estimate, Estimate]:
        """Of mean and covariances."""
        assert self.seen is not None
        return estimates(self.seen, self.seen_fine, self.chains.scheme.gain, self.extrapolate)

    def worst(self) -> tuple[float, float, float]:
        """Relative to the tolerance, of all parameters that vary: the error; the step's part of it, and that less three
        standard errors.
        """
        mean, cov = self.estimates()
        dim = self.dynamics.dim
        var = np.maximum(np.diagonal(cov.value[0]), 0.0)
        varies = var > _VARIES * max(float(var.max()), float(np.square(mean.value[:dim]).max()))

        def largest(of_mean: FloatArray, of_cov: FloatArray) -> float:
            ratios = of_mean[:dim] / np.sqrt(var), np.diagonal(of_cov[0]) / var
            return float(max(part[varies].max(initial=0.0) for part in ratios)) / self.rtol

        return (
            largest(mean.error, cov.error),
            largest(mean.counted, cov.counted),
            largest(mean.counted - 3.0 * mean.counted_stderr, cov.counted - 3.0 * cov.counted_stderr),
        )

    def samples(self, time: float) -> FloatArray:
        """Draws (k, n, D) at least so many steps apart, the last of them the latest."""
        apart = max(1, math.ceil(time / self.store.spacing))
        return self.store.draws[::-1][::apart][::-1]

    # --- judging --------------------------------------------------------------------------------------------------

    def _named(self, observable: int) -> str:
        """An observable in words."""
        kind, row = divmod(observable, self.size)
        variable, i = divmod(row, self.dynamics.dim)
        return f"the {'variance' if kind else 'mean'} of {self.names[variable]}[{i}]"

    def _level(self, values: FloatArray, observable: int) -> FloatArray:
        """What (blocks, groups) an observable is, from its deviations."""
        here = values[..., observable]
        assert self.seen is not None
        return here + (self.seen.mean[observable] if observable < self.size else 0.0)

    def _apart(self, values: FloatArray, difference: evidence.Difference) -> str:
        level = self._level(values, difference.worst)
        one, other = level[:, ::2].mean(), level[:, 1::2].mean()
        name = self._named(difference.worst)
        return f"{name} is {one:.4g} where paths started as asked and {other:.4g} where they started dispersed"

    def step(self) -> Verdict | None:
        """One more segment, and what follows; None where it goes on."""
        segment, fine = self._segment()
        joined = self.kept is not None and self.kept.steps == segment.steps
        self.seen = self.kept.joined(segment) if joined and self.kept is not None else segment
        self.seen_fine = fine
        if joined and self.kept_fine is not None and fine is not None:
            self.seen_fine = self.kept_fine.joined(fine)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            outcome = self._judge(segment)
        if isinstance(outcome, Verdict):
            return outcome
        if self.spent + self.seen.n_blocks * self._next_steps(outcome) > self.max_steps:
            return self._out_of_steps()
        self._go_on(outcome)
        return None

    def _next_steps(self, plan: str) -> int:
        """Steps of the blocks of the next segment: what is kept doubles, what follows burn-in is longer than it."""
        assert self.seen is not None
        return self.seen.steps if plan == "keep" else 2 * self.seen.steps

    def _go_on(self, plan: str) -> None:
        """Keeps what was seen; or takes it for burn-in ("drop"), with a smaller step from now on ("refine")."""
        assert self.seen is not None
        self.block_steps = self._next_steps(plan)
        longest, slowest = self.memory
        if plan == "keep":
            self.kept, self.kept_fine = self.seen, self.seen_fine
        else:
            if plan == "refine":
                self.chains.refine(self.halvings)
                steps = 2.0 ** math.ceil(math.log2(max(_FIRST_DRAWS, _BURN_IN * longest)))
                self.block_steps = int(steps) << self.halvings
                slowest *= 2.0**self.halvings
            self._discard()
        wanted = max(1, int(slowest / _DRAWS_PER_TIME))
        self.stride = min(1 << (wanted.bit_length() - 1), self.block_steps)

    def _judge(self, segment: Blocks) -> Verdict | str:
        """The end, or what to do with what was seen: "keep", "drop" or "refine" the step."""
        assert self.seen is not None
        values = evidence.observables(self.seen)
        if not np.isfinite(values).all():
            return Verdict("not_stationary", f"paths grow without bound: squares overflow after {self.spent:,} steps")
        x, square = self.times()
        longest = float(max(x.max(), square.max()))
        # Draws need no more than to follow what is slowest to be known: a variance has twice the error of a mean.
        dim = self.dynamics.dim
        slowest = float(max(x[:dim].max(), 2.0 * square[:dim].max()))
        if math.isinf(longest):
            longest = float(self.seen.total)
        if math.isinf(slowest):
            # What a long series of draws does not show, a sparser one may.
            sparser = 2 if sum(map(len, self.recent)) >= _LONG_SERIES else 1
            slowest = _DRAWS_PER_TIME * self.stride * sparser
        self.memory = longest, slowest
        differ, moves = evidence.halves(values), evidence.drift(values)
        # Ranks are dear, and needless where the run moves.
        still = not differ.significant and not moves.significant
        rhat = self.rhat() if still else np.full(self.size, np.nan)
        self.passed = still and bool(rhat.max() <= _RHAT)
        self.long = self.seen.total >= _LONG * longest
        if not self.passed:
            self.trouble = self._what_is_wrong(values, differ, moves, rhat)
            return (
                self._never_mixes(segment, values, differ)
                or self._grows(values, moves)
                or (self._more() if still else "drop")
            )
        self.growing = 0
        if not self.long:
            return self._more()
        if self.begin < _BURN_IN * longest * self.chains.scheme.dt:
            return "drop"
        return self._accurate(values, longest)

    def _more(self) -> str:
        """What to do with a run that may be stationary but is too short to tell: its burn-in is to be no small part of
        it, since five relaxation times may be no more than an eighth of what is long.
        """
        return "keep" if 4.0 * self.begin / self.chains.scheme.dt >= self.seen_steps else "drop"

    def _accurate(self, values: FloatArray, longest: float) -> Verdict | str:
        """What a stationary run is good for: the end, a smaller step, or more of it."""
        heavy = self._tails(longest)
        if heavy is not None:
            return heavy
        scheme = self.chains.scheme
        error, _, sure = self.worst()
        if sure > _SHARE and scheme.free:
            self.halvings = int(np.clip(math.ceil(math.log2(sure / _SHARE) / scheme.order), 1, _MOST_HALVINGS))
            return "refine"
        if error <= 1.0 and evidence.dominated(values).max() <= evidence.DOMINANT:
            return Verdict("converged", "the error is within the tolerance, halves and thirds of the run agree")
        if sure > _HOPELESS:
            cure = "a smaller dt or extrapolate=True" if not self.extrapolate else "a smaller dt"
            return Verdict(
                "budget",
                f"the error of the step dt = {scheme.dt:g}, which was given, is {sure:.3g} times the tolerance "
                f"or more; {cure} would do",
            )
        return "keep"

    def _what_is_wrong(
        self, values: FloatArray, differ: evidence.Difference, moves: evidence.Difference, rhat: FloatArray
    ) -> str:
        parts = []
        if differ.significant:
            word = self._apart(values, differ) if self.dispersed else f"paths differ in {self._named(differ.worst)}"
            parts.append(word)
        if moves.significant:
            level = self._level(values, moves.worst).mean(axis=1)
            third = len(level) // 3
            early, late = level[:third].mean(), level[-third:].mean()
            parts.append(f"{self._named(moves.worst)} still moves, from {early:.4g} to {late:.4g}")
        if not parts:
            parts.append(f"R-hat is {rhat.max():.4g}, above {_RHAT:g}")
        return "; ".join(parts)

    def _never_mixes(self, segment: Blocks, values: FloatArray, differ: evidence.Difference) -> Verdict | None:
        """Whether halves stay apart for longer than there are steps, though every path has long settled."""
        if not self.dispersed or not differ.significant:
            return None
        latest = np.concatenate(self.recent)
        within = evidence.local_time(latest[:, :_FEW_PATHS], self.stride)
        # From now on draws follow what happens within a well.
        self.memory = self.memory[0], min(self.memory[1], within)
        if len(latest) * self.stride < _LONG * within or segment.total < _LONG_IN_A_WELL * within:
            return None
        cov = self.estimates()[1].value
        var = np.maximum(np.einsum("vii->vi", cov).ravel(), 1e-300)
        goal = self.rtol * np.concatenate([np.sqrt(var), var])
        needed = evidence.steps_to_mix(evidence.observables(segment), segment.total, goal)
        left = self.max_steps - self.spent
        if needed <= left:
            return None
        number = "no end" if math.isinf(needed) else f"about {needed:.2g} steps or more"
        return Verdict(
            "not_stationary",
            f"{self._apart(values, differ)}; paths settle in about {within:.3g} steps, but at this pace the halves "
            f"would need {number} to meet, and {left:,} are left: there are wells that do not mix",
        )

    def _grows(self, values: FloatArray, moves: evidence.Difference) -> Verdict | None:
        """Whether a variance has grown for so long that it will not stop within the steps."""
        third = len(values) // 3
        early, late = (part[..., self.size :].mean(axis=(0, 1)) for part in (values[:third], values[-third:]))
        z = moves.z[self.size :]
        grows = np.flatnonzero((late > _GROWTH * early) & (z > 5.0))
        self.growing = self.growing + 1 if len(grows) else 0
        if self.growing < _GROWING or self.spent < _PART * self.max_steps:
            return None
        i = int(grows[z[grows].argmax()])
        return Verdict(
            "not_stationary",
            f"{self._named(self.size + i)} has grown all along, in the last {self.seen_steps:,} of {self.spent:,} "
            f"steps from {early[i]:.4g} to {late[i]:.4g}: nothing holds the paths",
        )

    @property
    def seen_steps(self) -> int:
        """Steps of the latest data."""
        assert self.seen is not None
        return self.seen.total

    def _tails(self, longest: float) -> Verdict | None:
        dim = self.dynamics.dim
        draws = self.samples(longest)[..., :dim].reshape(-1, dim)
        if len(draws) < _ENOUGH_FOR_TAILS:
            return None
        index, count = evidence.tail_index(draws)
        i = int(index.argmin())
        if index[i] * (1.0 + WIDTH / math.sqrt(count)) >= evidence.HEAVY:
            return None
        return Verdict(
            "not_stationary",
            f"tails of theta[{i}] fall with power {index[i]:.2g} (from the {count} most extreme of {len(draws):,} "
            "draws): there may be a law, but its variance does not exist or cannot be known with an error",
        )

    def _out_of_steps(self) -> Verdict:
        longest, _ = self.memory
        heavy = self._tails(longest)
        if heavy is not None:
            return heavy
        if not self.passed:
            return Verdict("not_stationary", f"after {self.spent:,} steps {self.trouble}")
        assert self.seen is not None
        if not self.long:
            kept = self.seen.total
            memory = f"paths remember about {longest:.3g} steps" if longest < kept else "paths remember for too long"
            return Verdict(
                "budget",
                f"after {self.spent:,} steps: {memory}, and {kept:,} after the burn-in are too few to call a law "
                f"stationary; {_LONG:g} times as many as they remember would do",
            )
        error, counted, _ = self.worst()
        text = f"after {self.spent:,} steps the error is {error:.3g} times the tolerance"
        if counted > 0.5 * error:
            text += f", most of it that of the step dt = {self.chains.scheme.dt:g}"
        elif error > 1.0:
            text += f"; it would take about {self.spent * error**2:.2g} steps"
        else:
            text += ", but the burn-in or the tails of the run are not good enough to trust it"
        return Verdict("budget", text)

    def resolved_times(self) -> tuple[FloatArray, FloatArray]:
        """Autocorrelation times (D,), in steps, of all paths; what moves faster than draws were made is drawn again."""
        known = np.stack(self.times(paths=None))
        stride = self.stride
        while stride > 1 and (known < 2.0 * stride).any():
            stride = max(1, stride // 16)
            x, _ = self.chains.run(_RESOLVING_DRAWS, stride)
            again = np.stack(evidence.autocorrelation_times(x, stride))
            known = np.where((known < 32.0 * stride) & np.isfinite(again), again, known)
        return known[0], known[1]
