"""The weak order of a model: how fast expectations under model and algorithm meet as the learning rate falls."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag, integer, nonnegative_number, positive_number, real_array
from optsde._clock import Clock, Schedule, check_begun
from optsde._coupled import Runner, Start, derived
from optsde._estimate import Estimate, estimate, warn_of_left_out
from optsde._grid import whole
from optsde._keys import Key, key_from
from optsde._reports import Table, aligned, axes, checked_count, with_error
from optsde._slope import fitted_slope
from optsde._test_functions import TestFunctions
from optsde.dynamics import Dynamics
from optsde.initial import Initial
from optsde.results import IntArray

if TYPE_CHECKING:
    import matplotlib.axes

_NAMES = ("algorithm", "model")
# An error is seen where it is so many standard errors; the integrator's own may be this part of it.
_SEEN = 3.0
_INTEGRATOR = 0.2
# Where noise hides some errors, so many others still make a slope.
_FEWEST = 3
# An error that grows by more than this as the step falls is on its way through zero.
_GROWTH = 1.5
# What is aimed at: errors of so many standard errors, from so many paths on.
_RESOLUTION = 20.0
_FIRST_PATHS = 1 << 14


@dataclass(frozen=True)
class Fit:
    """What one test function says.

    Attributes
    ----------
    slope : float
        NaN where there is none. Where noise hides the error at some rates, the slope over the others if these are three
        or more; it is not ``resolved`` then.
    interval : (float, float)
        95 %.
    resolved : bool
        Whether there is a slope over all rates.
    reason : str
        Why not, or on what the slope rests.
    left_out : tuple of float
        Rates that the slope is without, because noise hides their errors.
    """

    slope: float
    interval: tuple[float, float]
    resolved: bool
    reason: str
    left_out: tuple[float, ...] = ()

    def __repr__(self) -> str:
        slope = f"slope {self.slope:.3f}, 95 % interval {self.interval[0]:.3f} to {self.interval[1]:.3f}"
        if self.resolved:
            return slope
        return f"not resolved: {self.reason}" + (f": {slope}" if self.left_out else "")


@dataclass(frozen=True, eq=False, repr=False)
class WeakOrder:
    """Errors of a model at several learning rates, and their slope. Made by :func:`weak_order`.

    Attributes
    ----------
    etas : ndarray, shape (E,)
        As given.
    time_per_step : ndarray, shape (E,)
        s, the algorithm's time of one step: what the slope is over, as in the definition ``error ≤ C s^p``.
    functions : tuple of str
    errors, stderr : ndarray, shape (E, F)
        ``|E φ(model) - E φ(algorithm)|`` at t1, and its standard error.
    differences : ndarray, shape (E, F)
        The same with its sign.
    integrator_error, integrator_error_stderr : ndarray, shape (E, F)
        What the model's time step adds to it, estimated by a pilot with half the step.
    fits : dict of Fit
        By test function.
    schemes : tuple of str
        How the model was integrated at each rate.
    n_paths, n_left_out : ndarray of int, shape (E,)
        Paths at each rate, and those that diverged and are left out.
    notes : tuple of str
        What else to know.
    t0, t1 : float
    key : Key
    """

    etas: FloatArray
    time_per_step: FloatArray
    functions: tuple[str, ...]
    errors: FloatArray
    stderr: FloatArray
    differences: FloatArray
    integrator_error: FloatArray
    integrator_error_stderr: FloatArray
    fits: dict[str, Fit]
    schemes: tuple[str, ...]
    n_paths: IntArray
    n_left_out: IntArray
    notes: tuple[str, ...]
    t0: float
    t1: float
    key: Key

    @property
    def slope(self) -> Any:
        """Slope, a float; with several test functions an array (F,). NaN where there is none: see :class:`Fit`."""
        slopes = np.array([fit.slope for fit in self.fits.values()])
        return float(slopes[0]) if len(slopes) == 1 else slopes

    @property
    def interval(self) -> Any:
        """95 % interval of the slope, (low, high); with several test functions an array (F, 2)."""
        ends = [fit.interval for fit in self.fits.values()]
        return ends[0] if len(ends) == 1 else np.array(ends)

    @property
    def resolved(self) -> bool:
        """Whether every test function's slope can be told from noise."""
        return all(fit.resolved for fit in self.fits.values())

    @property
    def reason(self) -> str:
        """A sentence: why not, or on what it rests."""
        reasons = {fit.reason: None for fit in self.fits.values() if fit.resolved == self.resolved}
        return "; ".join(reasons)

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [("eta", "time per step", *(f"error of {name}" for name in self.functions), "paths", "model")]
        for k, eta in enumerate(self.etas):
            cells = []
            for f, name in enumerate(self.functions):
                without = " (left out)" if eta in self.fits[name].left_out else ""
                cells.append(with_error(self.differences[k, f], self.stderr[k, f]) + without)
            rows.append((f"{eta:.6g}", f"{self.time_per_step[k]:.6g}", *cells, f"{self.n_paths[k]:,}", self.schemes[k]))
        return rows

    def table(self) -> Table:
        """Errors, with their sign, at each rate as text; "left out" are those that a slope is without."""
        return Table(aligned(self._rows()))

    @property
    def _title(self) -> str:
        span = f"t = {self.t1:.6g}" if self.t0 == 0.0 else f"t = {self.t1:.6g}, from {self.t0:.6g} on"
        return f"Weak error of the model at {span}"

    def __repr__(self) -> str:
        lines = [self._title, str(self.table()), *(f"  {name}: {fit!r}" for name, fit in self.fits.items())]
        left_out = int(self.n_left_out.sum())
        if left_out:
            lines.append(f"  {left_out:,} paths diverged and are left out: conditional on survival")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes), f"  key {self.key!r}"])

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body)
        fits = "".join(
            f"<tr><th>{html.escape(name)}</th><td colspan='{len(head) - 1}'>{html.escape(repr(fit))}</td></tr>"
            for name, fit in self.fits.items()
        )
        return f"<table><caption>{html.escape(self._title)}</caption><tr>{top}</tr>{lines}{fits}</table>"

    def plot(self, ax: matplotlib.axes.Axes | None = None) -> matplotlib.axes.Axes:
        """Errors over the time per step, doubly logarithmic, with lines of slope 1 and 2.

        Points that do not stand out of their noise are hollow; bars are two standard errors.

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
        ax.set_xscale("log")
        ax.set_yscale("log")
        s = self.time_per_step
        for f, (name, fit) in enumerate(self.fits.items()):
            error, spread = self.errors[:, f], 2.0 * self.stderr[:, f]
            seen = error > _SEEN * self.stderr[:, f]
            text = f"{name}: not resolved" if math.isnan(fit.slope) else f"{name}: slope {fit.slope:.2f}"
            if fit.left_out:
                text += " of the full points, not resolved"
            # A bar that reaches 0 has no end in a logarithmic plot.
            bars = np.stack([np.minimum(spread, 0.999 * error), spread])
            drawn = ax.errorbar(s, error, yerr=bars, fmt="none", label=text)
            color = drawn.lines[2][0].get_color()
            ax.plot(s[seen], error[seen], "o", color=color)
            ax.plot(s[~seen], error[~seen], "o", color=color, markerfacecolor="none")
        top = float(np.nanmax(self.errors)) if (self.errors > 0.0).any() else 1.0
        for order in (1, 2):
            ax.plot(s, top * (s / s.max()) ** order, "--", color="0.6", linewidth=0.8, zorder=0)
            ax.annotate(f"slope {order}", (s.min(), top * (s.min() / s.max()) ** order), color="0.4", fontsize=8)
        ax.set_xlabel("time per step")
        ax.set_ylabel("weak error")
        ax.legend()
        return ax


def _pair(family: Callable[[float], Any], eta: float) -> dict[str, Dynamics]:
    """Algorithm and model at a learning rate."""
    pair = family(eta)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(d, Dynamics) for d in pair):
        raise TypeError(f"family: expected a pair (algorithm, model) of dynamics for eta = {eta:g}, got {pair!r}")
    algorithm, model = pair
    if algorithm.time_per_step is None:
        raise ValueError(f"family: the algorithm for eta = {eta:g} has no optimizer step")
    if algorithm.dim != model.dim:
        raise ValueError(
            f"family: for eta = {eta:g} the algorithm has {algorithm.dim} parameters, the model {model.dim}"
        )
    return dict(zip(_NAMES, pair, strict=True))


def _steps(name: str, time: float, models: dict[str, Dynamics], eta: float) -> int:
    """How many steps of the algorithm a time is; the model's clock must agree."""
    step = models["algorithm"].time_per_step
    assert step is not None
    count = 0 if time == 0.0 else whole(time / step)
    if count is None:
        raise ValueError(
            f"etas: {name} = {time:.12g} is {time / step:.6g} steps of {step:.12g} for eta = {eta:g}, expected a whole "
            f"number"
        )
    return count


def _unseen(error: float, stderr: float) -> bool:
    return not error > _SEEN * stderr


def _fit(
    etas: FloatArray,
    s: FloatArray,
    difference: FloatArray,
    stderr: FloatArray,
    bias: FloatArray,
    bias_stderr: FloatArray,
) -> Fit:
    """Slope of one test function over the rates whose errors are seen, or why there is none."""
    error = np.abs(difference)

    def no(reason: str) -> Fit:
        return Fit(math.nan, (math.nan, math.nan), False, reason)

    if not np.isfinite(error).all():
        which = ", ".join(f"{eta:g}" for eta in etas[~np.isfinite(error)])
        return no(f"no path is left at eta = {which}: on all of them the state or the function became non-finite")
    seen = np.array([not _unseen(one, noise) for one, noise in zip(error, stderr, strict=True)])
    noisy = ""
    if not seen.all():
        k = int(np.argmin(seen))
        which = ", ".join(f"{eta:g}" for eta in etas[~seen])
        noisy = (
            f"the noise hides the error at eta = {which} "
            f"({error[k]:.2g} ± {stderr[k]:.2g}, less than {_SEEN:g} standard errors)"
        )
        if np.count_nonzero(seen) < _FEWEST:
            return no(noisy)
    by_rate = np.argsort(s)
    # What noise hides is at most so large, which may still be less than the error at a smaller rate.
    most, least = np.where(seen, error, error + _SEEN * stderr)[by_rate], (error - _SEEN * stderr)[by_rate]
    grows = np.flatnonzero(least[:-1] > _GROWTH * most[1:])
    order = by_rate[seen[by_rate]]
    flips = np.flatnonzero(np.diff(np.sign(difference[order])) != 0)
    if len(flips):
        low, high = etas[order][flips[0]], etas[order][flips[0] + 1]
        return no(f"the error passes through zero between eta = {low:g} and {high:g}: its sign changes")
    if len(grows):
        low, high = etas[by_rate][grows[-1]], etas[by_rate][grows[-1] + 1]
        return no(f"the error grows from eta = {high:g} to {low:g}: a sign change is near, or the rates are too large")
    coarse = np.flatnonzero(seen & (np.abs(bias) - 2.0 * bias_stderr > _INTEGRATOR * error))
    if len(coarse):
        k = int(coarse[0])
        return no(
            f"the integrator's error at eta = {etas[k]:g} ({abs(bias[k]):.2g}) is not small beside {error[k]:.2g}"
        )
    slope = fitted_slope(s[seen], error[seen], np.hypot(stderr, bias)[seen])
    if noisy:
        text = f"{noisy}; the slope is over the other {np.count_nonzero(seen)} rates"
        left_out = tuple(etas[~seen].tolist())
        return Fit(slope.value, (slope.low, slope.high), False, text, left_out)
    worst = float((stderr / error).max())
    text = f"every error is at least {1.0 / worst:.3g} standard errors" if worst > 0.0 else "no error has noise"
    return Fit(slope.value, (slope.low, slope.high), True, text)


def weak_order(
    family: Callable[[float], Any],
    theta0: ArrayLike | Initial | dict[str, Any],
    etas: Sequence[float] | ArrayLike,
    *,
    t1: float,
    t0: float = 0.0,
    test_functions: Any = ("theta",),
    rng: int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | Key | None = None,
    n_paths: int | None = None,
    max_paths: int | None = None,
    extrapolate: bool | None = None,
    control_variates: bool = True,
    threads: int | None = None,
) -> WeakOrder:
    """Measures the weak order of a model: the slope of its error over the time of one step.

    At each learning rate, expectations at t1 under the algorithm and the model are compared path by path on the same
    noise, with so many paths that the error stands out, within a budget.

    Parameters
    ----------
    family : callable
        η to (algorithm, model): what ``opt.family(problem)`` returns, or any function.
    theta0 : as in :func:`optsde.compare`
    etas : (E,) array_like
        At least two different learning rates; t0 and t1 must be whole numbers of steps for each.
    t1 : float
        When expectations are compared. (The definition takes the maximum over all times up to T; one time shows the
        order just as well, and its sign.)
    t0 : float
        The algorithm runs alone up to here, and hands each path's state to the model.
    test_functions : as in :func:`optsde.compare`
    rng : int, SeedSequence, BitGenerator, Generator or the key of another run, optional
        Rates have independent noise.
    n_paths, max_paths : int, optional
        Paths at each rate, or the most of them; by default up to a budget.
    extrapolate, control_variates, threads
        As in :func:`optsde.compare`.

    Returns
    -------
    WeakOrder
        Not ``resolved``, with a sentence, where an error is less than three standard errors, where its sign changes, or
        where the integrator's error is not small beside it. There is no slope then, but in the first case where three
        errors or more are left: the slope over these, and which rates it is without.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected, before the work starts.

    Warns
    -----
    DivergenceWarning
        Where a path, or a test function of it, became non-finite: it is left out of all numbers.

    Notes
    -----
    The slope is that of weighted least squares in the logarithms. Its interval holds the standard errors of the points
    and their deviation from a line: the error of order 1 is ``c₁ s + c₂ s² + …``. A slope of 1 does not show that the
    noise of a model is right where the noise itself is of the order of the step: gradient flow has it as well.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    >>> def family(eta):
    ...     sgd = optsde.SGD(lr=eta)
    ...     return sgd.discrete(problem), sgd.sde(problem)
    >>> wo = optsde.weak_order(family, 1.0, [0.1, 0.05, 0.025], t1=1.0, rng=7)
    >>> wo.resolved, 0.8 < wo.slope < 1.2
    (True, True)

    Source: Kloeden and Platen (1992), section 9.7; Li, Tai, E (JMLR 20, 2019); Mandel and Paule (Analytical Chemistry
    54, 1982) for the weights.
    """
    if not callable(family):
        raise TypeError(f"family: expected a function of eta, got {type(family).__name__}")
    rates = real_array("etas", etas)
    if rates.ndim != 1 or len(rates) < 2:
        raise ValueError(f"etas: expected at least two numbers, got shape {rates.shape}")
    if rates.min() <= 0.0 or len(np.unique(rates)) < len(rates):
        raise ValueError(f"etas: expected different positive numbers, got {rates.tolist()}")
    begin, end = nonnegative_number("t0", t0), positive_number("t1", t1)
    if end <= begin:
        raise ValueError(f"t1: expected a time after t0 = {begin:g}, got {end:g}")
    key = key_from(rng)
    count, most = checked_count("n_paths", n_paths), checked_count("max_paths", max_paths)
    options: dict[str, Any] = {
        "extrapolate": None if extrapolate is None else flag("extrapolate", extrapolate),
        "control_variates": flag("control_variates", control_variates),
    }
    if threads is not None:
        integer("threads", threads, 1)
    # All rates are checked before the first one runs.
    runners = []
    for k, eta in enumerate(rates.tolist()):
        models = _pair(family, eta)
        first, last = _steps("t0", begin, models, eta), _steps("t1", end, models, eta)
        functions = TestFunctions(test_functions, models, "algorithm")
        schedule = Schedule.of(Clock.of(models), "algorithm", True, last - first, None, None, first)
        check_begun(models, "t0", schedule.t0)
        start = Start.of(theta0, models)
        if start.rows is not None and count not in (None, start.rows):
            raise ValueError(f"n_paths: theta0 has {start.rows} rows, one a path, got n_paths={n_paths}")
        count = start.rows if start.rows is not None else count
        own = key if k == 0 else derived(key, 4, k)
        runners.append(Runner(models, "algorithm", functions, schedule, start, own, threads=threads))
    lengths = [float(runner.models["algorithm"].time_per_step or 0.0) for runner in runners]
    if len(set(lengths)) < len(lengths):
        raise ValueError(f"family: expected a step that depends on eta, got {lengths} for etas = {rates.tolist()}")
    options |= {"n_paths": count, "max_paths": most, "resolution": _RESOLUTION, "first_paths": _FIRST_PATHS}
    found = [estimate(runner, **options) for runner in runners]
    warn_of_left_out(found)
    return _result(rates, runners, found, begin, end, key)


def _result(
    etas: FloatArray, runners: Sequence[Runner], found: Sequence[Estimate], t0: float, t1: float, key: Key
) -> WeakOrder:
    def column(name: str) -> FloatArray:
        return np.stack([getattr(one, name)[1, :, -1] for one in found])

    functions = runners[0].functions.names
    unlike = None if t0 > 0.0 else runners[0].start.unlike(runners[0].models)
    notes = [
        f"eta {eta:g}, {note}"
        for eta, runner in zip(etas, runners, strict=True)
        for note in runner.second_moment_notes()
    ]
    difference, stderr = column("difference"), column("difference_stderr")
    bias, doubt = column("bias"), column("bias_stderr")
    s = np.array([runner.models["algorithm"].time_per_step for runner in runners], dtype=np.float64)
    return WeakOrder(
        etas=etas,
        time_per_step=s,
        functions=functions,
        errors=np.abs(difference),
        stderr=stderr,
        differences=difference,
        integrator_error=bias,
        integrator_error_stderr=doubt,
        fits={
            name: _fit(etas, s, difference[:, f], stderr[:, f], bias[:, f], doubt[:, f])
            for f, name in enumerate(functions)
        },
        schemes=tuple(str(one.schemes["model"]) for one in found),
        n_paths=np.array([one.n_paths for one in found], dtype=np.int64),
        n_left_out=np.array([one.n_left_out for one in found], dtype=np.int64),
        notes=tuple(notes if unlike is None else [*notes, unlike]),
        t0=t0,
        t1=t1,
        key=key,
    )
