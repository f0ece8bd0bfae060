"""``optsde.stationary``: the stationary law of any dynamics, to an accuracy that is asked for."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag, integer, positive_number
from optsde._coupled import Meter, derived, noiseless
from optsde._keys import Key, key_from
from optsde._memory import check_memory
from optsde.dynamics import Dynamics
from optsde.ensemble import Ensemble
from optsde.errors import DivergenceWarning, Interrupted
from optsde.initial import Initial, initial_state
from optsde.noise import Minibatch, StudentT
from optsde.observers import Final, Observer
from optsde.observers._functions import calls_python
from optsde.observers._list import observer_list
from optsde.optimizers._base import Model
from optsde.schedules import Constant, Nesterov, Schedule
from optsde.simulate import MOST_THREADS, simulate
from optsde.stationary._blocks import block_count, group_count
from optsde.stationary._chains import Chains, Diverged
from optsde.stationary._scheme import Scheme, begin, scheme
from optsde.stationary._search import Search, Verdict
from optsde.stationary._starts import HEAT, Starts, asked, default_start, starts
from optsde.stationary.result import StationaryEnsemble, StationaryVariable

_PATHS = 512
_PATHS_OF_MANY_VARIABLES = 256
_MANY_VARIABLES = 4
# Numbers that are drawn or updated where nobody says how many steps: some seconds; with Python's functions, fewer.
_WORK = 4e9
_WORK_IN_PYTHON = 2e8
_FEWEST_STEPS = 1 << 12
_MOST_STEPS = 1 << 40
_RESTARTS = 4
_MOST_SAMPLES = 1 << 14
# Steps that the observers look at.
_OBSERVED = 128
# Student's law has moments below its degrees of freedom.
_DF_WITH_FOURTH_MOMENTS = 4.0
# What runs where no variance can exist, to have samples at all.
_STEPS_WITHOUT_VARIANCE = 4096


def stationary(
    dynamics: Dynamics,
    theta0: ArrayLike | Initial | Mapping[str, ArrayLike | Initial] | None = None,
    *,
    rtol: float = 0.01,
    n_paths: int | None = None,
    dt: float | None = None,
    method: str | None = None,
    max_steps: int | None = None,
    dispersed: bool = True,
    extrapolate: bool = False,
    observe: Sequence[Observer] | Observer | None = None,
    threads: int | None = None,
    rng: int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | Key | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
) -> StationaryEnsemble:
    """The stationary law: mean and covariance with errors that cover noise and step, and evidence that it is one.

    Paths run side by side in segments of doubling length. A segment in which the run still moves (last third against
    first, path by path) or in which the halves of the paths differ is burn-in, and so is all before it. Beside every
    path of an equation runs the same with half the step on the same Wiener path: the difference gives the step's error.

    Parameters
    ----------
    dynamics : Dynamics
        An equation with noise, or an algorithm.
    theta0 : as in :func:`optsde.simulate`, optional
        Where half of the paths start; rows of ``(n, d)`` are taken in turn. By default the loss's first known minimum,
        an Ornstein-Uhlenbeck process's mean, else the origin.
    rtol : float
        The accuracy: ``mean_error <= rtol · std`` and ``var_error <= rtol · var`` of each parameter.
    n_paths : int, optional
        Paths side by side, an even number; 512, or 256 for states of more than 4 numbers.
    dt : float, optional
        The step. By default ``time_per_step / 8`` (exact steps: ``time_per_step``), or, where there is no optimizer, an
        eighth of the shortest time of the drift's linear part at the start, and smaller where its error is more than
        half of the tolerance. A step that is given stays.
    method : str, optional
        By default exact steps for linear equations, ``leimkuhler_matthews`` where it fits (a gradient and noise in
        proportion to its mobility), for other constant noise another method of stationary order 2, else what
        :func:`optsde.simulate` chooses.
    max_steps : int, optional
        Most steps of a path (of dt; of an algorithm, optimizer steps), burn-in included. By default some seconds' work.
    dispersed : bool
        Whether half of the paths start elsewhere: at the loss's other known ``minima``; else from 4,096 steps with 16
        times the noise (temperature, ``cov`` or ``base``); where a noise cannot be heated, scattered with 4 times the
        standard deviation that a short run has.
    extrapolate : bool
        Whether the leading error of the step is taken out of ``mean`` and ``cov``, with the runs of half the step
        (Talay and Tubaro 1990). ``_bias`` is then 0 and ``_error`` counts a tenth of what was taken out.
    observe : list of observers, optional
        They see an ensemble of its own, 128 steps long, that starts from ``samples``; with ``leimkuhler_matthews``,
        from where these are after 128 steps more.
    threads : int, optional
        As in :func:`optsde.simulate`; it does not change the result.
    rng : int, SeedSequence, BitGenerator, Generator or the key of another run, optional
    progress : bool or callable, optional
        As in :func:`optsde.simulate`; the total is that of ``max_steps``.

    Returns
    -------
    StationaryEnsemble
        Its ``status`` is ``"converged"``, ``"not_stationary"`` or ``"budget"`` (of steps), its ``reason`` a sentence.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type, shape or value, before the work starts; for dynamics without noise, or with a
        schedule.
    MemoryError
        Where covariances are too large to be had.
    Interrupted
        On Ctrl-C; ``.partial`` has what was known.

    Notes
    -----
    ``mean_error = |mean_bias| + 2 · stderr of (mean - mean_bias)``, likewise ``cov_error``: each holds the truth with
    95 % at least. Standard errors come from the scatter of paths (of parts of paths, where they are few), so that they
    need no model of autocorrelation. Tests of halves and drift give a false alarm with 1e-4 a look, which costs time
    and not truth. No run can see wells that no path has visited.

    Examples
    --------
    >>> import optsde
    >>> st = optsde.stationary(optsde.Langevin(optsde.losses.Quadratic([1.0, 4.0]), 0.5), rtol=0.05, rng=1)
    >>> st.status, bool(abs(st.cov[1, 1] - 0.125) < 3 * st.cov_error[1, 1])
    ('converged', True)

    Source: Vehtari et al., Bayesian Analysis 16 (2021) 667 (R-hat); Margossian et al., arXiv:2110.13017 (many short
    chains); Talay and Tubaro, Stochastic Analysis and Applications 8 (1990) 483 (the step's error).
    """
    if not isinstance(dynamics, Dynamics):
        hint = "; an optimizer gives one by .sde(problem) or .discrete(problem)"
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}{hint}")
    if noiseless(dynamics):
        raise ValueError("dynamics: it has no noise, so its stationary laws are points; expected one with noise")
    _check_constant(dynamics)
    tolerance = positive_number("rtol", rtol)
    many = dynamics.dim * len(dynamics.state) > _MANY_VARIABLES
    count = (_PATHS_OF_MANY_VARIABLES if many else _PATHS) if n_paths is None else integer("n_paths", n_paths, 2)
    if count % 2:
        raise ValueError(f"n_paths: expected an even number, half of them to start dispersed, got {count}")
    spread, without_step = flag("dispersed", dispersed), flag("extrapolate", extrapolate)
    if threads is not None:
        integer("threads", threads, 1, MOST_THREADS)
    start: Any = default_start(dynamics) if theta0 is None else theta0
    initial, _, _ = initial_state(start, dynamics, None, np.dtype(np.float64))
    key, meter = key_from(rng), Meter(progress)
    rows = asked(dynamics, start, count, derived(key, 4))
    points = _points(dynamics, initial)
    first = _one_row(rows)
    plan = scheme(dynamics, first, points, method, dt)
    watch = () if observe is None else observer_list(observe)
    if watch:
        _observed(dynamics, plan, {name: value[:2] for name, value in rows.items()}, watch, key, 1, 0)
    steps = _budget(dynamics, plan, count) if max_steps is None else integer("max_steps", max_steps, 1)
    _check_memory(dynamics, plan, count)
    return _Driver(dynamics, rows, plan, tolerance, steps, spread, without_step, watch, threads, key, meter).run()


def _check_constant(dynamics: Dynamics) -> None:
    """ValueError where a hyperparameter changes with the step."""
    if not isinstance(dynamics, Model):
        return
    for name, value in dynamics.optimizer._fields().items():
        if isinstance(value, (Schedule, Nesterov)) and not isinstance(value, Constant):
            raise ValueError(f"dynamics: its {name} is a schedule, {value!r}, and what changes has no stationary law")


def _one_row(rows: dict[str, FloatArray]) -> Any:
    alone = {name: values[0] for name, values in rows.items()}
    return alone if len(alone) > 1 else alone["theta"]


def _points(dynamics: Dynamics, initial: Initial) -> FloatArray:
    """Where the drift is looked at for its rates: the start and the default start, at rest."""
    centre = np.stack([initial._centre(dynamics.dim), default_start(dynamics)])
    rest = np.zeros((2, dynamics.dim * (len(dynamics.state) - 1)))
    return np.concatenate([centre, rest], axis=1)


def _budget(dynamics: Dynamics, plan: Scheme, n_paths: int) -> int:
    """Steps that take some seconds."""
    size = dynamics.dim * len(dynamics.state)
    if isinstance(dynamics, Model) and dynamics.problem.loss._example_count is not None:
        examples = dynamics.problem.loss._example_count
        batch = isinstance(dynamics.problem.noise, Minibatch) and dynamics._discrete
        size *= dynamics.problem.batch_size if batch else examples
    work = _WORK_IN_PYTHON if calls_python(dynamics._spec()) else _WORK
    return int(np.clip(work / (size * n_paths * (1 if plan.exact else 3)), _FEWEST_STEPS, _MOST_STEPS))


def _check_memory(dynamics: Dynamics, plan: Scheme, n_paths: int) -> None:
    """MemoryError before the work where covariances by groups cannot be had."""
    dim, variables = dynamics.dim, len(dynamics.state)
    blocks = 8 * block_count(n_paths) * group_count(n_paths, dim) * variables * dim * dim
    check_memory({"covariances": blocks * (4 if plan.exact else 8), "draws": 16 * n_paths * dim * variables * 128})


def _observed(
    dynamics: Dynamics,
    plan: Scheme,
    rows: dict[str, FloatArray],
    observers: Sequence[Observer],
    key: Key,
    threads: int | None,
    first: int,
) -> Ensemble:
    """What the user's observers see of paths that start from rows."""
    start: Any = rows if len(rows) > 1 else rows["theta"]
    first = max(first, begin(dynamics, plan.dt))
    options: dict[str, Any] = {"rng": key, "threads": threads, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DivergenceWarning)
        if plan.name == "leimkuhler_matthews":
            # Its law is that of a state together with half of the next increment, which rows come without: to start
            # from them shifts variances by a part of order dt, which is gone when the observers begin.
            start = simulate(dynamics, start, observe=Final(), **options, **plan.span(first, _OBSERVED)).final
            first += _OBSERVED
        return simulate(dynamics, start, observe=list(observers), **options, **plan.span(first, _OBSERVED))


class _Driver:
    """One call."""

    def __init__(
        self,
        dynamics: Dynamics,
        rows: dict[str, FloatArray],
        plan: Scheme,
        rtol: float,
        max_steps: int,
        dispersed: bool,
        extrapolate: bool,
        observers: Sequence[Observer],
        threads: int | None,
        key: Key,
        meter: Meter,
    ) -> None:
        self.dynamics, self.rows, self.plan, self.rtol, self.max_steps = dynamics, rows, plan, rtol, max_steps
        self.dispersed, self.extrapolate, self.observers = dispersed, extrapolate, observers
        self.threads, self.key, self.meter = threads, key, meter
        self.began = time.perf_counter()
        self.heat = self.restarts = 0
        self.diverged: Ensemble | None = None
        self.search: Search | None = None
        self.starts: Starts | None = None

    def run(self) -> StationaryEnsemble:
        """The search, and its result."""
        without = self._without_variance()
        if without is not None:
            self.max_steps = min(self.max_steps, _STEPS_WITHOUT_VARIANCE)
        self.meter.plan(self.max_steps * len(self.rows["theta"]) * (1 if self.plan.exact else 3))
        finished = False
        try:
            verdict = self._run()
            finished = True
            return self._result(without or self._with_fourth_moments(verdict), complete=True)
        except KeyboardInterrupt as stop:
            partial: Any = getattr(stop, "partial", None)
            if self.search is not None and self.search.seen is not None:
                partial = self._result(Verdict("budget", "interrupted"), complete=False)
            raise Interrupted("interrupted: see .partial", partial) from None
        finally:
            self.meter.close(finished)

    def _without_variance(self) -> Verdict | None:
        dynamics = self.dynamics
        stable = isinstance(dynamics, Model) and not dynamics.problem.noise._finite_variance
        if not stable and dynamics.noise_kind != "levy":
            return None
        return Verdict(
            "not_stationary", "the noise has no variance, so the law has none: mean_error and cov_error mean nothing"
        )

    def _with_fourth_moments(self, verdict: Verdict) -> Verdict:
        """The verdict; of a law without fourth moments, whose variances scatter without a variance, none is sure."""
        dynamics = self.dynamics
        if verdict.status != "converged" or not isinstance(dynamics, Model) or not dynamics._discrete:
            return verdict
        noise = dynamics.problem.noise
        if not isinstance(noise, StudentT) or noise.df > _DF_WITH_FOURTH_MOMENTS:
            return verdict
        return Verdict(
            "budget",
            f"noise of {noise.df:g} degrees of freedom has no fourth moment, so cov_error is too small by a factor "
            f"that no run can tell; the mean and its error stand",
        )

    def _chains(self) -> Chains:
        self.starts = starts(
            self.dynamics, self.plan, self.rows, self.dispersed, self.heat, derived(self.key, 2), self.threads
        )
        return Chains(self.plan, self.starts.rows, derived(self.key, 3, self.restarts), self.threads, self.meter)

    def _run(self) -> Verdict:
        chains = self._chains()
        search = self.search = Search(
            chains, self.dynamics, self.rtol, self.max_steps, self.dispersed, self.extrapolate
        )
        while True:
            try:
                verdict = search.step()
            except Diverged as event:
                self.diverged = event.ensemble
                search.spent += event.ensemble.n_steps
                refused = self._after_divergence(event.ensemble)
                if refused is not None:
                    return refused
                search.restart(self._chains())
                continue
            self.diverged = None
            if verdict is not None:
                return self._completed(verdict)

    def _after_divergence(self, ensemble: Ensemble) -> Verdict | None:
        """Milder starts where only dispersed paths diverged at once, a smaller step where it may be chosen; else the
        end.
        """
        assert self.search is not None
        assert self.starts is not None
        only_dispersed = bool((ensemble._raw["bad_paths"] % 2 == 1).all())
        early = self.search.seen is None
        self.restarts += 1
        if self.starts.heated and only_dispersed and early and self.heat + 1 < len(HEAT):
            self.heat += 1
            return None
        if self.plan.free and self.restarts <= _RESTARTS:
            self.plan = self.search.chains.scheme.finer(2)
            return None
        count, n = ensemble.n_diverged, ensemble.n_paths
        share = f"{count:,} of {n:,} paths became non-finite after {self.search.spent:,} steps"
        given = "" if self.dynamics._discrete else f" with dt = {self.search.chains.scheme.dt:g}"
        return Verdict("not_stationary", f"{share}{given}: what is left is conditional on survival")

    def _completed(self, verdict: Verdict) -> Verdict:
        assert self.starts is not None
        if verdict.status != "converged":
            return verdict
        return Verdict(verdict.status, f"{verdict.reason}; {self.starts.how}: {self.starts.shows}")

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def _result(self, verdict: Verdict, complete: bool) -> StationaryEnsemble:
        search, starting = self.search, self.starts
        assert search is not None
        assert starting is not None
        chains, dynamics, dim = search.chains, self.dynamics, self.dynamics.dim
        if search.seen is None:
            return self._nothing(verdict, complete)
        mean, cov = search.estimates()
        draws = search.samples(max(search.memory[0], 1.0))
        most = max(1, _MOST_SAMPLES // chains.n_paths)
        samples = draws[-most:].reshape(-1, draws.shape[2])
        rhat = search.rhat()
        final = {name: chains.rows.get(name) for name in dynamics.state}
        tau, square = search.resolved_times() if complete and self.diverged is None else search.times()
        step, per_step = chains.scheme.dt, dynamics.time_per_step or chains.scheme.dt
        variables = []
        for v, name in enumerate(dynamics.state):
            part = slice(v * dim, (v + 1) * dim)
            hidden = np.zeros_like(mean.bias) if mean.removed else mean.bias
            hidden_cov = np.zeros_like(cov.bias) if cov.removed else cov.bias
            variance, noise = np.diagonal(cov.value[v]), mean.stderr[part]
            last = final[name]
            variables.append(
                StationaryVariable(
                    name=name,
                    mean=mean.value[part],
                    mean_stderr=noise,
                    mean_bias=hidden[part],
                    mean_error=mean.error[part],
                    cov=cov.value[v],
                    cov_stderr=cov.stderr[v],
                    cov_bias=hidden_cov[v],
                    cov_error=cov.error[v],
                    rhat=rhat[part],
                    ess=variance / noise**2,
                    iact=tau[part] * step,
                    iact_steps=tau[part] * step / per_step,
                    square_iact=square[part] * step,
                    samples=np.ascontiguousarray(samples[:, part]),
                    final=samples[-chains.n_paths :, part] if last is None else last,
                )
            )
        return self._ensemble(verdict, complete, variables, samples)

    def _ensemble(
        self, verdict: Verdict, complete: bool, variables: list[StationaryVariable], samples: FloatArray
    ) -> StationaryEnsemble:
        search, starting = self.search, self.starts
        assert search is not None
        assert starting is not None
        chains = search.chains
        ensemble = chains.last
        if self.observers and complete and len(samples):
            rows = {v.name: v.samples for v in variables}
            key = derived(self.key, 5)
            ensemble = _observed(self.dynamics, chains.scheme, rows, self.observers, key, self.threads, chains.step)
        assert ensemble is not None
        theta, *further = variables
        fields = {name: getattr(theta, name) for name in theta.__dataclass_fields__}
        return StationaryEnsemble(
            **fields,
            status=verdict.status,
            reason=verdict.reason,
            burn_in=search.begin,
            burn_in_steps=round(search.begin / chains.scheme.dt),
            dt=chains.scheme.dt,
            method=chains.scheme.name,
            n_paths=chains.n_paths,
            n_steps=search.spent,
            n_diverged=0 if self.diverged is None else self.diverged.n_diverged,
            rtol=self.rtol,
            extrapolated=self.extrapolate and not chains.scheme.exact,
            starts=starting.how,
            complete=complete,
            key=self.key,
            wall_time=time.perf_counter() - self.began,
            path_steps=chains.work,
            ensemble=ensemble,
            title=repr(self.dynamics),
            state={variable.name: variable for variable in further},
        )

    def _nothing(self, verdict: Verdict, complete: bool) -> StationaryEnsemble:
        """No segment was finished: there are no numbers."""
        search = self.search
        assert search is not None
        dim, variables = self.dynamics.dim, []
        none, square = np.full(dim, math.nan), np.full((dim, dim), math.nan)
        for name in self.dynamics.state:
            numbers = {f"mean{end}": none for end in ("", "_stderr", "_bias", "_error")}
            matrices = {f"cov{end}": square for end in ("", "_stderr", "_bias", "_error")}
            evidence = dict.fromkeys(("rhat", "ess", "iact", "iact_steps", "square_iact"), none)
            empty = np.empty((0, dim))
            variables.append(
                StationaryVariable(name=name, **numbers, **matrices, **evidence, samples=empty, final=empty)
            )
        if search.chains.last is None:
            search.chains.last = self.diverged
        return self._ensemble(verdict, complete, variables, np.empty((0, dim)))
