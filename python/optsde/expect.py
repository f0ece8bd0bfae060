"""Expectations to a tolerance by multilevel Monte Carlo."""

from __future__ import annotations

import html
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag, integer, nonnegative_number, positive_number
from optsde._coupled import Meter
from optsde._grid import whole
from optsde._keys import Key, key_from
from optsde._levels import Question, Sampler, default_method
from optsde._multilevel import Found, Multilevel, Points, mean_points, slope, variance_points
from optsde._reports import aligned, axes, with_error
from optsde._slope import Slope
from optsde._test_functions import TestFunctions, label
from optsde.dynamics import Dynamics
from optsde.errors import DivergenceWarning, Interrupted
from optsde.initial import Initial

if TYPE_CHECKING:
    import matplotlib.axes

__all__ = ["ExpectedValue", "LevelResult", "expect"]

_RTOL = 0.01
_MAX_COST = 4e9
_MAX_LEVEL = 16
_CONTROLS = ("auto", "gaussian_twin", None)


@dataclass(frozen=True)
class LevelResult:
    """What one level adds to the sum.

    Attributes
    ----------
    dt : float
        Its step.
    n_steps : int
    samples : int
        Samples that count: paths, or antithetic pairs of them.
    mean : float
        Of the function on the first level; above, of its difference from the step twice as long on the same path.
    variance : float
        Of a sample, what control variates explain taken out.
    cost : float
        Path-steps of a sample: fine and coarse path, and the control variates' where they are used.
    n_diverged : int
        Paths left out because they became non-finite.
    gain : float
        By what control variates divided the variance in the pilot; 1 where they are not used.
    n_undefined : int
        Paths left out because the function's value was NaN or infinite at their end, which was finite.
    """

    dt: float
    n_steps: int
    samples: int
    mean: float
    variance: float
    cost: float
    n_diverged: int
    gain: float
    n_undefined: int


@dataclass(frozen=True, eq=False, repr=False)
class ExpectedValue:
    """An expectation and how far it can be trusted. Made by :func:`expect`.

    Attributes
    ----------
    value : float
    stderr : float
        Standard error of the sampling.
    bias : float
        What the finest step may leave, from the last corrections; 0 where steps are exact, and for algorithms.
    error : float
        ``bias + 1.96 stderr``: the true value is within ``value ± error`` in at least 95 % of repeated runs.
    tolerance : float
        ``max(atol, rtol |value|)``, what was asked.
    status : {"converged", "near_zero", "max_cost", "max_level", "diverged", "undefined", "interrupted"}
        Converged: error ≤ tolerance. Else what stood in the way. Near zero: without ``atol`` the value cannot be told
        from zero, to which no error is relative. Diverged: paths became non-finite. Undefined: the function was NaN or
        infinite at finite states.
    reason : str
        A sentence.
    levels : tuple of LevelResult
        From the longest step to the shortest.
    method : str
    control_variate : str
        Which, where a level uses one.
    extrapolated : bool
    antithetic : bool
    known_alpha, known_beta : float
        What theory says of :attr:`alpha` and :attr:`beta`: the method's weak order, and twice its strong order; of
        some noise kinds a method is better than of all that it takes.
    path_steps : int
        All steps of all paths, pilots among them.
    wall_time : float
        Seconds.
    t0, t1 : float
    key : Key
    """

    value: float
    stderr: float
    bias: float
    error: float
    tolerance: float
    status: str
    reason: str
    levels: tuple[LevelResult, ...]
    method: str
    control_variate: str
    extrapolated: bool
    antithetic: bool
    known_alpha: float
    known_beta: float
    path_steps: int
    wall_time: float
    t0: float
    t1: float
    key: Key
    _title: str
    _means: Points
    _variances: Points

    @property
    def converged(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.status == "converged"

    @property
    def n_diverged(self) -> int:
        """Paths that became non-finite on the levels used."""
        return sum(level.n_diverged for level in self.levels)

    @property
    def n_undefined(self) -> int:
        """Finite paths on the levels used at whose end the function was NaN or infinite."""
        return sum(level.n_undefined for level in self.levels)

    @cached_property
    def _alpha(self) -> Slope:
        return slope(self._means)

    @cached_property
    def _beta(self) -> Slope:
        return slope(self._variances)

    @property
    def alpha(self) -> float:
        """Measured weak order: mean corrections fall as dt^alpha. NaN where fewer than two stand out of their noise."""
        return self._alpha.value

    @property
    def alpha_interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`alpha`."""
        return self._alpha.low, self._alpha.high

    @property
    def beta(self) -> float:
        """Measured order of the corrections' variances, dt^beta: twice the strong order. NaN for fewer than two."""
        return self._beta.value

    @property
    def beta_interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`beta`."""
        return self._beta.low, self._beta.high

    def _rows(self) -> list[tuple[str, ...]]:
        what = "pairs" if self.antithetic else "paths"
        rows: list[tuple[str, ...]] = [("level", "dt", what, "mean", "variance", "cost", "notes")]
        for k, level in enumerate(self.levels):
            notes = [] if level.gain == 1.0 else [f"variance divided by {level.gain:.3g}"]
            if level.n_diverged:
                notes.append(f"{level.n_diverged:,} diverged")
            if level.n_undefined:
                notes.append(f"{level.n_undefined:,} undefined")
            mean = with_error(level.mean, math.sqrt(level.variance / level.samples))
            spread, cost = f"{level.variance:.3g}", f"{level.cost:.6g}"
            rows.append((str(k), f"{level.dt:.6g}", f"{level.samples:,}", mean, spread, cost, ", ".join(notes)))
        return rows

    def _rates(self) -> str:
        parts = []
        for name, rate, known in (("alpha", self._alpha, self.known_alpha), ("beta", self._beta, self.known_beta)):
            interval = f"{rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f})"
            seen = "not measured" if math.isnan(rate.value) else interval
            parts.append(f"{name} {seen}, in theory at least {known:g}")
        return "; ".join(parts)

    def _ledger(self) -> list[tuple[str, str]]:
        spread = " (standard error)" if self.stderr > 0.0 else ", no noise"
        bias = f"≤ {self.bias:.2g}" if self.bias > 0.0 else f"{self.bias:g}"
        extras = [self.method]
        if self.extrapolated:
            extras.append("extrapolated")
        if self.antithetic:
            extras.append("antithetic pairs")
        if self.control_variate:
            extras.append(f"control variates: {self.control_variate}")
        return [
            ("value", f"{with_error(self.value, self.stderr)}{spread}, bias {bias}"),
            ("error", f"{self.error:.3g} at 95 %; tolerance {self.tolerance:.3g}"),
            ("status", f"{self.status}: {self.reason}"),
            ("method", ", ".join(extras)),
            *([("rates", self._rates())] if len(self.levels) > 1 else []),
            ("cost", f"{self.path_steps:,} path-steps, {self.wall_time:.3g} s"),
            ("key", repr(self.key)),
        ]

    def __repr__(self) -> str:
        lines = [self._title, *(f"  {name:<8}{text}" for name, text in self._ledger())]
        return "\n".join([*lines, *(f"  {line}" for line in aligned(self._rows()).splitlines())])

    def _repr_html_(self) -> str:
        left = " style='text-align:left'"
        ledger = "".join(
            f"<tr><th{left}>{name}</th><td{left} colspan='6'>{html.escape(text)}</td></tr>"
            for name, text in self._ledger()
        )
        head, *body = self._rows()
        top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body)
        return f"<table><caption>{html.escape(self._title)}</caption>{ledger}<tr>{top}</tr>{rows}</table>"

    def plot(self, ax: matplotlib.axes.Axes | None = None) -> matplotlib.axes.Axes:
        """Sizes of the corrections' means and variances over the step, doubly logarithmic, with the known orders.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Where matplotlib is not installed.
        """
        ax = axes(ax)
        upper = self.levels[1:]
        dt = np.array([level.dt for level in upper])
        ax.set_xscale("log")
        ax.set_yscale("log")
        mean = np.array([abs(level.mean) for level in upper])
        variance = np.array([level.variance for level in upper])
        spread = 2.0 * np.sqrt(variance / np.array([level.samples for level in upper]))
        series = ((mean, self.alpha, self.known_alpha, "|mean|"), (variance, self.beta, self.known_beta, "variance"))
        for size, measured, known, name in series:
            text = name if math.isnan(measured) else f"{name}: order {measured:.2f}"
            line: FloatArray = size[:1] * (dt / dt[:1]) ** known if len(dt) else size
            color = ax.plot(dt, size, "o", label=text)[0].get_color()
            ax.plot(dt, line, "--", color=color, linewidth=0.8, label=f"order {known:g}")
            if name == "|mean|":
                bars = np.stack([np.minimum(spread, 0.999 * size), spread])
                ax.errorbar(dt, size, yerr=bars, fmt="none", ecolor=color)
        ax.set_xlabel("dt")
        ax.set_ylabel("of the correction")
        ax.legend()
        return ax


def _checked_function(function: Any, dynamics: Dynamics, state: bool) -> tuple[TestFunctions, str]:
    """The function of the state, and what it is called."""
    if not isinstance(function, str) and not callable(function):
        raise TypeError(
            f"function: expected a function of theta (n, d), or 'theta', 'v', 'm', 'theta2', 'norm' or 'loss', "
            f"got {type(function).__name__}"
        )
    name = label(function)
    given = function
    if not isinstance(function, str) and not state:

        def given(variables: Mapping[str, FloatArray]) -> Any:
            return function(variables["theta"])

    models = {"the dynamics": dynamics}
    if isinstance(function, str):
        return TestFunctions(function, models, "the dynamics", "function"), name
    return TestFunctions({name: given}, models, "the dynamics", "function"), name


def _checked_times(dynamics: Dynamics, t0: Any, t1: Any, dt: Any) -> tuple[float, float, float | None]:
    begin, end = nonnegative_number("t0", t0), positive_number("t1", t1)
    if end <= begin:
        raise ValueError(f"t1: expected a time after t0 = {begin:g}, got {end:g}")
    span, step = end - begin, None
    if dynamics._discrete:
        unit = dynamics.time_per_step
        assert unit is not None
        if dt is not None:
            raise ValueError(f"dt: a discrete optimizer makes its own steps; expected None, got {dt!r}")
        if whole(span / unit) is None:
            low = math.floor(span / unit)
            raise ValueError(
                f"t1: expected a whole number of optimizer steps of {unit:.12g} after t0 = {begin:g}, got {end:.12g}; "
                f"the nearest are {begin + low * unit:.12g} and {begin + (low + 1) * unit:.12g}"
            )
    elif dt is not None:
        step = positive_number("dt", dt)
        if whole(span / step) is None:
            raise ValueError(f"dt: expected a step that divides t1 - t0 = {span:.12g}, got {step:.12g}")
    return begin, end, step


def _checked_tolerances(rtol: Any, atol: Any) -> tuple[float, float]:
    """What is relative and what is absolute of the tolerance; one of them is not 0."""
    if rtol is None and atol is None:
        return _RTOL, 0.0
    relative = 0.0 if rtol is None else nonnegative_number("rtol", rtol)
    absolute = 0.0 if atol is None else nonnegative_number("atol", atol)
    if relative == absolute == 0.0:
        name, other = ("atol", "rtol") if rtol is None else ("rtol", "atol")
        raise ValueError(f"{name}: expected a positive number, or 0 with a positive {other}, got 0")
    return relative, absolute


def _check_start(theta0: Any) -> None:
    parts = theta0.values() if isinstance(theta0, Mapping) else (theta0,)
    for part in parts:
        if not isinstance(part, Initial) and np.ndim(part) == 2:
            raise ValueError(
                f"theta0: expected one point or a law from optsde.initial, because the number of paths is chosen here; "
                f"got {len(part)} rows, one a path"
            )


def expect(
    dynamics: Dynamics,
    theta0: ArrayLike | Initial | Mapping[str, Any],
    function: str | Callable[[Any], Any],
    *,
    t1: float,
    rtol: float | None = None,
    atol: float | None = None,
    rng: int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | Key | None = None,
    t0: float = 0.0,
    dt: float | None = None,
    method: str | None = None,
    state: bool = False,
    extrapolate: bool = False,
    antithetic: bool = False,
    control_variate: str | None = "auto",
    max_cost: float = _MAX_COST,
    max_level: int = _MAX_LEVEL,
    threads: int | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
) -> ExpectedValue:
    """The expectation of a function of the state at t1, to a tolerance, by multilevel Monte Carlo.

    Many paths of one long step, fewer of the difference that half the step makes on the same Wiener path, and so on: as
    many levels as the step's bias asks for, and on each as many samples as make the sum cheapest. Memory does not grow
    with their number.

    Parameters
    ----------
    dynamics : Dynamics
        An equation, or an algorithm, which has no step to refine: then this is plain Monte Carlo.
    theta0 : float (d = 1), (d,) array_like, a law from ``optsde.initial``, or a dict of them by variable
        The state at t0.
    function : callable or str
        Takes theta (n, d) and returns (n,); or ``"theta"``, ``"v"``, ``"m"`` (mean over coordinates), ``"theta2"``
        (|θ|²/d), ``"norm"``, ``"loss"``.
    t1 : float
        Time of the end.
    rtol, atol : float, optional
        The error may be ``max(atol, rtol |value|)``: at least 95 % of repeated runs are within. ``rtol=0.01`` where
        neither is given. One of the two may be 0. Without ``atol`` a value of 0 has no tolerance: see Notes.
    rng : int, SeedSequence, BitGenerator, Generator or the key of another run, optional
        The same rng gives the same bits, whatever the threads.
    t0 : float
        Time of the start.
    dt : float, optional
        The longest step, which must divide t1 - t0; by default all of it. Coefficients that depend on time need one
        that sees their changes: forcing of period t1 - t0 or a small part of it is invisible to the first steps.
    method : str, optional
        See :func:`optsde.methods`. By default exact steps where there are such, ``rk4`` without noise, ``heun`` for
        additive noise, ``platen`` for other noise (of up to 32 Wiener processes where it is not diagonal; else
        ``milstein`` where it commutes, or ``euler_maruyama``); the result says which.
    state : bool
        The function takes a dict of all variables, (n, d) each.
    extrapolate : bool
        Talay and Tubaro's extrapolation from the last level, which takes the leading term out of the bias.
    antithetic : bool
        Paths in pairs, of which one has the negated Wiener path of the other; a sample is the mean of a pair.
    control_variate : {"auto", "gaussian_twin", None}
        The equation linearised, with constant noise, on the same Wiener path: its moments are exact, and it takes out
        of the variance what it explains. ``"auto"``: where there is one, and on levels where a pilot shows that it
        pays; ``"gaussian_twin"``: the same, and an error where there is none.
    max_cost : float
        Most path-steps in all; the result says where they were not enough.
    max_level : int
        Most halvings of the longest step, at least 2.
    threads, progress
        As in :func:`optsde.simulate`.

    Returns
    -------
    ExpectedValue
        Look at its ``status``: where it is not ``"converged"``, ``reason`` says why the error is above the tolerance.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected, before the work starts.
    Interrupted
        On Ctrl-C, a KeyboardInterrupt; ``.partial`` has the result so far.

    Warns
    -----
    DivergenceWarning
        Where a path became non-finite on a level that is used. Coarse levels with such paths are left out while finer
        ones are to be had. Where all paths of the longest step do, and a few of all shorter ones, that ends the run.
    RuntimeWarning
        Where the function was NaN or infinite at finite states, which is treated like divergence.

    Notes
    -----
    A pilot of 1,024 samples on each level gives variances, and the samples are allotted by Giles's rule, with each
    variance taken two standard errors (by the measured fourth moment) above its estimate; one that is far smaller than
    the level before and the known order let expect is not believed. The bias is taken from the last three corrections,
    each with a standard error added, by the known weak order or the measured one, whichever is lower. (Of functions
    with a jump the bias has no regular expansion, and this estimate is rough: ask for half the error.) Costs are
    counted in steps, not seconds, so that a result does not depend on the machine. Level 0 is the cheapest one that the
    variances allow, not always the longest step.

    Without ``atol`` the run ends as ``"near_zero"`` where the value is within two standard errors of 0 and these are at
    most ``min(rtol, 1/300)`` of the function's standard deviation, or half as much again: errors relative to 0 cannot
    be met.

    Examples
    --------
    >>> import optsde
    >>> geometric = optsde.SDE(lambda t, x: 0.05 * x, lambda t, x: 0.2 * x, dim=1, noise="diagonal")
    >>> ex = optsde.expect(geometric, 1.0, "theta2", t1=1.0, rtol=1e-3, rng=7)
    >>> ex.status, ex.method, round(ex.value, 2)  # exp(0.14) = 1.1503
    ('converged', 'platen', 1.15)

    Source: Giles (Operations Research 56, 2008; Acta Numerica 24, 2015); Talay, Tubaro (Stochastic Analysis and
    Applications 8, 1990).
    """
    began = time.perf_counter()
    if not isinstance(dynamics, Dynamics):
        hint = "; an optimizer gives one by .sde(problem), .discrete(problem) or .flow(problem)"
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}{hint}")
    begin, end, step = _checked_times(dynamics, t0, t1, dt)
    _check_start(theta0)
    functions, name = _checked_function(function, dynamics, flag("state", state))
    relative, absolute = _checked_tolerances(rtol, atol)
    if control_variate not in _CONTROLS:
        raise ValueError(f"control_variate: expected one of {', '.join(map(repr, _CONTROLS))}, got {control_variate!r}")
    if method is not None and not isinstance(method, str):
        raise TypeError(f"method: expected a name of optsde.methods() or None, got {type(method).__name__}")
    if method is not None and dynamics._discrete:
        raise ValueError(f"method: a discrete optimizer is its own method; expected None, got {method!r}")
    question = Question(
        dynamics=dynamics,
        theta0=theta0,
        functions=functions,
        t0=begin,
        t1=end,
        dt=step,
        method=default_method(dynamics) if method is None else method,
        control_variate=control_variate,
        antithetic=flag("antithetic", antithetic),
        threads=threads,
    )
    extrapolated = flag("extrapolate", extrapolate)
    most, budget = integer("max_level", max_level, 2, 50), positive_number("max_cost", max_cost)
    key, meter = key_from(rng), Meter(progress)
    sampler = Sampler(question, key, meter)
    run = Multilevel(
        sampler,
        rtol=relative,
        atol=absolute,
        extrapolate=extrapolated,
        max_level=most,
        max_cost=budget,
    )
    title = f"E[{name}] at t = {end:.6g} of {dynamics!r}"
    finished = False
    try:
        found = run.run()
        finished = True
    except KeyboardInterrupt as stop:
        found = run.found()
        result = _result(found, run, question, key, title, began)
        raise Interrupted(f"interrupted after {sampler.path_steps:,} path-steps: see .partial", result) from stop
    finally:
        meter.close(finished)
    result = _result(found, run, question, key, title, began)
    if result.n_diverged or result.status == "diverged":
        warnings.warn(result.reason, DivergenceWarning, stacklevel=2)
    elif result.status == "undefined":
        warnings.warn(result.reason, RuntimeWarning, stacklevel=2)
    return result


def _result(found: Found, run: Multilevel, question: Question, key: Key, title: str, began: float) -> ExpectedValue:
    sampler = run.sampler
    levels = tuple(
        LevelResult(
            dt=row.level.dt,
            n_steps=row.level.steps,
            samples=row.level.samples(row.coupled),
            mean=row.mean,
            variance=row.variance,
            cost=row.level.cost(row.coupled),
            n_diverged=row.level.n_diverged,
            gain=row.level.gain[row.coupled],
            n_undefined=row.level.n_undefined,
        )
        for row in found.rows
    )
    used = any(level.gain != 1.0 for level in levels)
    return ExpectedValue(
        value=found.value,
        stderr=found.stderr,
        bias=found.bias,
        error=found.error,
        tolerance=run.tolerance(found.value),
        status=run.status,
        reason=run.reason,
        levels=levels,
        method=sampler.method,
        control_variate=sampler.twin_name if used else "",
        extrapolated=run.extrapolate,
        antithetic=question.antithetic,
        known_alpha=sampler.weak,
        known_beta=2.0 * sampler.strong,
        path_steps=sampler.path_steps,
        wall_time=time.perf_counter() - began,
        t0=question.t0,
        t1=question.t1,
        key=key,
        _title=title,
        _means=mean_points(found.rows),
        _variances=variance_points(found.rows),
    )
