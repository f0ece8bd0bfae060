"""Models of an optimizer side by side with the algorithm, path by path on the same noise."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag, integer
from optsde._clock import Clock, Schedule, check_begun
from optsde._coupled import Meter, Runner, Start
from optsde._estimate import SMALL, Estimate, estimate, unresolved, warn_of_left_out
from optsde._keys import Key, key_from
from optsde._reports import Table, aligned, axes, checked_count, with_error
from optsde._test_functions import TestFunctions
from optsde.dynamics import Dynamics
from optsde.initial import Initial
from optsde.results import IntArray

if TYPE_CHECKING:
    import matplotlib.axes
    import xarray

ByModel = dict[str, dict[str, FloatArray]]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Test functions of several models at common times. Made by :func:`compare`.

    Attributes
    ----------
    models : tuple of str
        Names of the models; ``reference`` is the one that the others are compared with.
    functions : tuple of str
        Names of the test functions.
    step : ndarray of int, shape (T,)
        Steps of the reference since time 0 (those before ``start`` counted); -1 where it has no optimizer step.
    t : ndarray, shape (T,)
        Times.
    mean, stderr : dict of dict of ndarray, shape (T,)
        ``mean[model][function]`` and its standard error.
    difference, difference_stderr : dict of dict of ndarray, shape (T,)
        Model minus reference, for all models but the reference, path by path on the same noise where coupled.
    integrator_error, integrator_error_stderr : dict of dict of ndarray, shape (T,)
        Estimate of what the time step adds to ``mean``, from a pilot with half the step on the same path; 0 for
        algorithms and exact steps. It is not part of the standard errors.
    schemes : dict of str
        How each model was integrated.
    n_paths, n_left_out : int
        Paths run, and those of them that became non-finite in any model and are left out of all numbers.
    n_diverged : dict of int
        How many diverged in each model.
    control_variates : dict of str
        By test function, what was used to take variance out; empty where nothing was.
    notes : tuple of str
        What to know of the accuracy: why so many paths, what is not resolved.
    coupled : bool
    key : Key
        ``rng=key`` gives the same numbers again.
    """

    models: tuple[str, ...]
    reference: str
    functions: tuple[str, ...]
    step: IntArray
    t: FloatArray
    mean: ByModel
    stderr: ByModel
    difference: ByModel
    difference_stderr: ByModel
    integrator_error: ByModel
    integrator_error_stderr: ByModel
    schemes: dict[str, str]
    n_paths: int
    n_left_out: int
    n_diverged: dict[str, int]
    control_variates: dict[str, str]
    notes: tuple[str, ...]
    coupled: bool
    key: Key

    def _place(self, at: int) -> int:
        return int(np.arange(len(self.t))[integer("at", at, -len(self.t), len(self.t) - 1)])

    def _rows(self, at: int) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("function", "model", "mean", f"minus {self.reference}", "integrator error")]
        for function in self.functions:
            for model in self.models:
                mean = with_error(self.mean[model][function][at], self.stderr[model][function][at])
                difference = ""
                if model != self.reference:
                    spread = self.difference_stderr[model][function][at]
                    difference = with_error(self.difference[model][function][at], spread)
                error, doubt = (e[model][function][at] for e in (self.integrator_error, self.integrator_error_stderr))
                text = "none" if error == doubt == 0.0 else f"{error:.1g} ± {doubt:.1g}"
                rows.append((function, model, mean, difference, text))
        return rows

    def table(self, at: int = -1) -> Table:
        """Means and differences at one time as text.

        Parameters
        ----------
        at : int
            Index of the time; the last by default.

        Returns
        -------
        Table
            A str that prints as it is.
        """
        place = self._place(at)
        return Table(f"t = {self.t[place]:.6g}{self._step_text(place)}\n{aligned(self._rows(place))}")

    def _step_text(self, place: int) -> str:
        return "" if self.step[place] < 0 else f", step {self.step[place]:,}"

    def _ledger(self) -> list[tuple[str, str]]:
        pairing = "on one Wiener path" if self.coupled else "with independent noise"
        paths = f"{self.n_paths:,}, {pairing}"
        rows = [("paths", paths)]
        if self.n_left_out:
            listing = ", ".join(f"{n:,} in {name}" for name, n in self.n_diverged.items() if n)
            rows.append(("diverged", f"{listing}; {self.n_left_out:,} left out: conditional on survival"))
        rows += [("steps", "; ".join(f"{name}: {scheme}" for name, scheme in self.schemes.items()))]
        rows += [("variates", f"{name}: {text}") for name, text in self.control_variates.items()]
        rows += [("note", note) for note in self.notes]
        return [*rows, ("key", repr(self.key))]

    def __repr__(self) -> str:
        lines = [f"Comparison of {len(self.models)} models with {self.reference!r}", str(self.table())]
        return "\n".join([*lines, *(f"  {name:<9}{text}" for name, text in self._ledger())])

    def _repr_html_(self) -> str:
        place = self._place(-1)
        head, *body = self._rows(place)
        cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in body)
        ledger = "".join(
            f"<tr><th>{name}</th><td colspan='{len(head) - 1}' style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._ledger()
        )
        title = f"Comparison of {len(self.models)} models with {self.reference!r}, t = {self.t[place]:.6g}"
        return (
            f"<table><caption>{html.escape(title + self._step_text(place))}</caption>"
            f"<tr>{cells}</tr>{lines}{ledger}</table>"
        )

    def plot(self, ax: matplotlib.axes.Axes | None = None, *, function: str | None = None) -> matplotlib.axes.Axes:
        """Differences from the reference over time, with bands of two standard errors.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.
        function : str, optional
            Which test function; the first by default.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Where matplotlib is not installed.
        """
        name = self.functions[0] if function is None else function
        if name not in self.functions:
            raise ValueError(f"function: expected one of {', '.join(map(repr, self.functions))}, got {function!r}")
        ax = axes(ax)
        for model, differences in self.difference.items():
            middle, width = differences[name], 2.0 * self.difference_stderr[model][name]
            if len(self.t) == 1:
                ax.errorbar(self.t, middle, yerr=width, fmt="o", label=model)
            else:
                (line,) = ax.plot(self.t, middle, label=model)
                ax.fill_between(self.t, middle - width, middle + width, color=line.get_color(), alpha=0.3)
        ax.axhline(0.0, color="0.5", linewidth=0.8)
        ax.set_xlabel("t")
        ax.set_ylabel(f"{name}: minus {self.reference}")
        ax.legend()
        return ax

    def to_xarray(self) -> xarray.Dataset:
        """All numbers as an ``xarray.Dataset`` over ``model``, ``function`` and ``t``.

        Raises
        ------
        ImportError
            Where xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray: xarray is not installed; pip install optsde[xarray]") from None
        missing = np.full(len(self.t), np.nan)
        parts = ("mean", "stderr", "difference", "difference_stderr", "integrator_error", "integrator_error_stderr")
        data = {}
        for part in parts:
            field: ByModel = getattr(self, part)
            rows = [[field[m][f] if m in field else missing for f in self.functions] for m in self.models]
            data[part] = (("model", "function", "t"), np.array(rows))
        coords = {"model": list(self.models), "function": list(self.functions), "t": self.t, "step": ("t", self.step)}
        return xarray.Dataset(data, coords, {"reference": self.reference, "n_paths": self.n_paths})


def _checked_models(models: Any, reference: Any) -> tuple[dict[str, Dynamics], str]:
    if not isinstance(models, Mapping):
        raise TypeError(f"models: expected a dict of names and dynamics, got {type(models).__name__}")
    for name, dynamics in models.items():
        if not isinstance(name, str):
            raise TypeError(f"models: expected names as keys, got {name!r}")
        if not isinstance(dynamics, Dynamics):
            hint = "; an optimizer gives one by .sde(problem), .discrete(problem) or .flow(problem)"
            raise TypeError(f"models: expected a dynamics as {name!r}, got {type(dynamics).__name__}{hint}")
    if len(models) < 2:
        raise ValueError(f"models: expected at least two, got {len(models)}")
    dims = {name: dynamics.dim for name, dynamics in models.items()}
    if len(set(dims.values())) > 1:
        listing = ", ".join(f"{name!r} has {dim}" for name, dim in dims.items())
        raise ValueError(f"models: expected one number of parameters, got {listing}")
    first = next(iter(models)) if reference is None else reference
    if first not in models:
        raise ValueError(f"reference: expected one of {', '.join(map(repr, models))}, got {reference!r}")
    return dict(models), first


def compare(
    models: Mapping[str, Dynamics],
    theta0: ArrayLike | Initial | Mapping[str, Any],
    *,
    reference: str | None = None,
    test_functions: Any = ("theta", "loss"),
    steps: int | None = None,
    t1: float | None = None,
    at: int | ArrayLike | None = None,
    n_paths: int | None = None,
    start: int = 0,
    couple: bool = True,
    rng: int | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | Key | None = None,
    dt: float | None = None,
    extrapolate: bool | None = None,
    control_variates: bool = True,
    max_paths: int | None = None,
    threads: int | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
) -> Comparison:
    """Runs models of an optimizer and the algorithm side by side, path by path on the same noise.

    Differences are taken on each path, so that what the noise does to both cancels, and averaged. Memory does not grow
    with the number of paths.

    Parameters
    ----------
    models : dict of str and Dynamics
        At least two, with one number of parameters, on one clock. Rates may differ where steps fall together.
    theta0 : float (d = 1), (d,), (n, d) array_like, a law from ``optsde.initial``, or a dict of them by variable
        Initial state; a model gets the variables that it has.
    reference : str, optional
        What the others are compared with; the first by default.
    test_functions : str, callable, sequence or dict of them
        ``"theta"``, ``"v"``, ``"m"`` (mean over coordinates), ``"theta2"`` (|θ|²/d), ``"norm"``, ``"loss"`` (the
        reference's, for all models), or functions of the state, a dict of arrays (n, d), that return (n,) and
        treat each row alike.
    steps, t1 : int, float
        Exactly one of them: steps of the reference after the start, or the time of the end.
    at : int or (T,) array_like, optional
        The end by default; an integer k ≥ 2 is that many evenly spaced times from the start to the end; or ascending
        times. They are moved to the nearest time that is a whole step of all models.
    n_paths : int, optional
        By default so many that each difference is ten standard errors, within a budget; ``notes`` says what came of it.
    start : int
        The reference makes so many steps alone; then all models go on from the state of each of its paths.
    couple : bool
        False: independent noise for each model.
    rng : int, SeedSequence, BitGenerator, Generator or the key of another run, optional
    dt : float, optional
        The common step where none of the models has an optimizer step.
    extrapolate : bool, optional
        Talay and Tubaro's extrapolation of the integrator's error, ``2·E[h/2] - E[h]`` for order 1, on each path. By
        default for methods of weak order 1 whose error shows.
    control_variates : bool
        Whether to use the exact linear twin of SGD where a pilot shows that it at least halves a variance.
    max_paths : int, optional
        The most that are taken where n_paths is None.
    threads, progress
        As in :func:`optsde.simulate`.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected, before the work starts.

    Warns
    -----
    DivergenceWarning
        Where a path, or a test function of it, became non-finite in any model: it is left out of all numbers.

    Notes
    -----
    Substeps are chosen by a pilot that halves the step on the same path, until the integrator's error is small beside
    the standard error that the run will have, or beside the difference.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    >>> sgd = optsde.SGD(lr=0.1)
    >>> models = {"SGD": sgd.discrete(problem), "SDE": sgd.sde(problem)}
    >>> cmp = optsde.compare(models, [1.0, -1.0], steps=10, n_paths=1000, rng=7)
    >>> cmp.difference["SDE"]["loss"].shape
    (1,)

    Source: coupling as in Li, Tai, E (JMLR 20, 2019), section 5; Talay, Tubaro (Stochastic Analysis and Applications
    8, 1990).
    """
    chosen, first = _checked_models(models, reference)
    clock = Clock.of(chosen, dt)
    has_step = chosen[first].time_per_step is not None
    schedule = Schedule.of(clock, first, has_step, steps, t1, at, start)
    functions = TestFunctions(test_functions, chosen, first)
    check_begun(chosen, "start", schedule.t0)
    begin = Start.of(theta0, chosen)
    count = checked_count("n_paths", n_paths)
    if begin.rows is not None:
        if count not in (None, begin.rows):
            raise ValueError(f"n_paths: theta0 has {begin.rows} rows, one a path, got n_paths={n_paths}")
        count = checked_count("theta0", begin.rows)
    coupled = flag("couple", couple)
    key = key_from(rng)
    runner = Runner(
        chosen, first, functions, schedule, begin, key, couple=coupled, threads=threads, meter=Meter(progress)
    )
    found = estimate(
        runner,
        n_paths=count,
        max_paths=checked_count("max_paths", max_paths),
        extrapolate=None if extrapolate is None else flag("extrapolate", extrapolate),
        control_variates=flag("control_variates", control_variates),
    )
    warn_of_left_out([found])
    return _comparison(runner, found, chosen_paths=count is None)


def _comparison(runner: Runner, found: Estimate, chosen_paths: bool) -> Comparison:
    names, functions = tuple(runner.models), runner.functions.names

    def by_name(array: FloatArray, only: Sequence[str] = names) -> ByModel:
        return {m: dict(zip(functions, array[names.index(m)], strict=True)) for m in only}

    others = [name for name in names if name != runner.reference]
    variates = {}
    if found.twin is not None:
        about = f"linear twin of {found.twin.source} about {found.twin.about}, variance divided by "
        variates = {f: about + f"{g:.3g}" for f, g in zip(functions, found.gain, strict=True) if np.isfinite(g)}
    has_step = runner.models[runner.reference].time_per_step is not None
    schedule = runner.schedule
    return Comparison(
        models=names,
        reference=runner.reference,
        functions=functions,
        step=schedule.step if has_step else np.full_like(schedule.step, -1),
        t=schedule.t,
        mean=by_name(found.mean),
        stderr=by_name(found.stderr),
        difference=by_name(found.difference, others),
        difference_stderr=by_name(found.difference_stderr, others),
        integrator_error=by_name(found.bias),
        integrator_error_stderr=by_name(found.bias_stderr),
        schemes={name: str(scheme) for name, scheme in found.schemes.items()},
        n_paths=found.n_paths,
        n_left_out=found.n_left_out,
        n_diverged=found.n_diverged,
        control_variates=variates,
        notes=tuple(_notes(runner, found, others, chosen_paths)),
        coupled=runner.couple,
        key=runner.key,
    )


def _notes(runner: Runner, found: Estimate, others: Sequence[str], chosen_paths: bool) -> list[str]:
    """What a reader should know of the accuracy."""
    names, functions, notes = list(runner.models), runner.functions.names, []
    rows = [names.index(name) for name in others]
    difference, stderr = found.difference[rows], found.difference_stderr[rows]
    blurred = [f"{functions[f]} of {others[m]}" for m, f in np.argwhere(unresolved(difference, stderr))]
    if chosen_paths and not blurred:
        notes.append("so many paths resolve each difference (at its largest) to a tenth of itself")
    elif chosen_paths:
        notes.append(f"so many paths are the budget; not resolved to a tenth: {', '.join(blurred)}")
    elif blurred:
        notes.append(f"differences not resolved to a tenth of themselves: {', '.join(blurred)}")
    size = np.abs(found.bias) - 2.0 * found.bias_stderr
    scale = np.maximum(stderr.max(axis=2), SMALL * np.abs(difference).max(axis=2))
    for k, name in enumerate(names):
        allowed = scale[others.index(name)] if name in others else scale.min(axis=0)
        large = [functions[f] for f in np.flatnonzero((size[k] > allowed[:, None]).any(axis=1))]
        if large:
            notes.append(f"the integrator's error of {name} is above the standard error in {', '.join(large)}")
    unlike = None if runner.schedule.start_steps else runner.start.unlike(runner.models)
    return [*notes, *runner.second_moment_notes(), *([unlike] if unlike else [])]
