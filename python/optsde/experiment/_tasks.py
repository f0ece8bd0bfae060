"""What an experiment can do: each task is prepared from the file, runs, and tells numbers, predictions and pictures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import optsde
from optsde._arrays import scalar_vector
from optsde.experiment._objects import Objects
from optsde.experiment._pictures import Picture, corner, curves, survival
from optsde.experiment._reader import Reader
from optsde.experiment._report import Row
from optsde.experiment._theory import Theory

# Rows are of the first so many coordinates, pictures of the first so many.
_ROWS = 12
_PICTURES = 3
# Standard errors that make an error, as in optsde.stationary.
_ERRORS = 2.0
# Arguments that a file does not give as keys of [run].
_HIDDEN = ("dynamics", "theta0", "observe", "progress", "models", "family")


@dataclass(frozen=True)
class Outcome:
    """What came out of one run.

    Attributes
    ----------
    result : object
        What the function returned.
    rows : list of Row
    pictures : dict
        By name.
    note : str
        A text for the terminal.
    remarks : sequence of str
        What is not there, and why.
    headline : str
        The quantity that is drawn against what is swept.
    missed : str
        Why the accuracy asked for was not reached; empty where it was, or none was asked.
    """

    result: Any
    rows: list[Row]
    pictures: dict[str, Picture] = field(default_factory=dict)
    note: str = ""
    remarks: Sequence[str] = ()
    headline: str = ""
    missed: str = ""


Run = Callable[[], Outcome]


def _call(objects: Objects, function: Callable[..., Any], **given: Any) -> Callable[[], Any]:
    """A call of a function with the keys of [run], checked as far as it can be before it is made."""
    reader = objects.reader
    parameters = inspect.signature(function).parameters
    start = reader.get("run", "theta0")
    if start is None and "theta0" not in given and parameters["theta0"].default is inspect.Parameter.empty:
        raise reader.error(("run",), "run.theta0: is missing")
    given = {"theta0": objects.start(("run", "theta0"))} | given
    hidden = {name: None for name in _HIDDEN if name in parameters} | given
    arguments = reader.arguments(("run",), function, hidden, ("theta0",))
    arguments = {key: value for key, value in arguments.items() if value is not None}
    return lambda: reader.apply(("run",), function, arguments)


def _missed(found: optsde.StationaryEnsemble | optsde.ExpectedValue) -> str:
    return "" if found.status == "converged" else f"{found.status}: {found.reason}"


def _rows(
    kind: str, values: Any, errors: Any, predictions: dict[str, Any] | None = None, factor: float = 1.0
) -> Iterator[Row]:
    for i in range(min(len(values), _ROWS)):
        said = {name: float(law[i]) for name, law in (predictions or {}).items()}
        yield Row(f"{kind} theta[{i}]", float(values[i]), factor * float(errors[i]), said)


def _stationary(objects: Objects) -> Run:
    dynamics, problem = objects.dynamics()
    optimizer = None if problem is None else objects.optimizer()
    call = _call(objects, optsde.stationary, dynamics=dynamics, observe=objects.observers() or None)

    def run() -> Outcome:
        found, theory = call(), Theory()
        laws = theory.laws(dynamics, problem, optimizer)
        rows = [
            *_rows("mean", found.mean, found.mean_error, {name: law.mean for name, law in laws.items()}),
            *_rows("var", found.var, found.var_error, {name: np.diag(law.cov) for name, law in laws.items()}),
        ]

        def density(coord: int) -> Picture:
            pdf = {name: law.pdf(coord) for name, law in laws.items()}
            return curves(lambda ax: optsde.plot.density(found.samples, pdf=pdf, ax=ax, coord=coord))

        pictures = {f"density_{coord}": density(coord) for coord in range(min(dynamics.dim, _PICTURES))}
        if dynamics.dim > 1:
            law = laws.get("exact", laws.get("Ornstein-Uhlenbeck"))
            pictures["corner"] = corner(found.samples, law)
        return Outcome(found, rows, pictures, repr(found), theory.notes, "var theta[0]", _missed(found))

    return run


def _of(observer: Any, what: str) -> str:
    """A quantity, with the observer's name where it has one of its own."""
    return what if observer.name == observer._default_name else f"{observer.name}: {what}"


def _simulate(objects: Objects) -> Run:
    dynamics, _ = objects.dynamics()
    call = _call(objects, optsde.simulate, dynamics=dynamics, observe=objects.observers() or None)

    def run() -> Outcome:
        ens = call()
        rows: list[Row] = []
        pictures = {"ensemble": curves(lambda ax: ens.plot(ax))}
        for observer in ens._observers:
            result = ens[observer.name]
            if isinstance(observer, optsde.Moments):
                rows += _rows(_of(observer, "mean"), result.mean[-1], result.mean_stderr[-1], factor=_ERRORS)
                rows += _rows(_of(observer, "var"), result.var[-1], result.var_stderr[-1], factor=_ERRORS)
            elif isinstance(observer, optsde.Loss):
                rows.append(Row(_of(observer, "loss"), float(result.mean[-1]), _ERRORS * float(result.stderr[-1])))
            elif isinstance(observer, optsde.FirstPassage):
                rows.append(Row(f"rate of {observer.name}", result.rate, _ERRORS * result.rate_stderr))
                if result.rate > 0.0:
                    mean = Row(observer.name, 1.0 / result.rate, 0.0)
                    pictures[f"survival_{observer.name}"] = survival(result, mean)
        remarks = [] if rows else ["no numbers for the table: observe Moments, Loss or FirstPassage"]
        return Outcome(ens, rows, pictures, repr(ens), remarks, rows[0].quantity if rows else "")

    return run


def _expect(objects: Objects) -> Run:
    dynamics, _ = objects.dynamics()
    call = _call(objects, optsde.expect, dynamics=dynamics)

    def run() -> Outcome:
        found = call()
        quantity = f"E {objects.reader.get('run', 'function')}"
        pictures = {"levels": curves(lambda ax: found.plot(ax))}
        row = Row(quantity, found.value, found.error)
        return Outcome(found, [row], pictures, repr(found), (), quantity, _missed(found))

    return run


def _place(objects: Objects, loss: Any, key: str, known: str) -> Any:
    """A point of [escape], by default the only or first one that the loss knows; None where it knows none."""
    given = objects.reader.get("escape", key)
    if given is not None:
        return objects.reader.apply(("escape", key), scalar_vector, {"name": key, "value": given}).reshape(-1)
    places: Any = getattr(loss, known, ())
    return places[0] if len(places) else None


def _escape(objects: Objects) -> Run:
    reader = objects.reader
    reader.check_keys(("escape",), ("region", "minimum", "saddle"))
    dynamics, _ = objects.dynamics()
    if not isinstance(dynamics, (optsde.Langevin, optsde.UnderdampedLangevin)):
        raise reader.error(("dynamics", "kind"), "dynamics.kind: the task escape takes Langevin, UnderdampedLangevin")
    region = objects.region(("escape", "region"))
    loss = dynamics.loss
    place = _place(objects, loss, "minimum", "minima")
    if place is None:
        raise reader.error(("escape",), f"escape.minimum: is missing; {type(loss).__name__} knows none")
    saddle = _place(objects, loss, "saddle", "saddles") if reader.get("escape", "saddle") or loss.dim == 1 else None
    given = objects.start(("run", "theta0"))
    start = place if given is None else given
    watch = optsde.FirstPassage(region)
    call = _call(objects, optsde.simulate, dynamics=dynamics, theta0=start, observe=watch)

    def run() -> Outcome:
        ens, theory = call(), Theory()
        passage = ens[watch.name]
        said = theory.escape(dynamics, region, place, start, saddle)
        remarks = list(theory.notes)
        if passage.n_censored == 0:
            mean, error = passage.mean, passage.stderr
        elif passage.rate > 0.0:
            # Where arrivals have a constant rate: censored paths count with the time that they were watched.
            mean, error = 1.0 / passage.rate, passage.rate_stderr / passage.rate**2
            text = f"{passage.n_censored:,} of {len(passage.times):,} paths had not arrived at t1"
            remarks.append(f"{text}; the mean is that of a constant rate of arrivals")
        else:
            mean, error = np.inf, np.nan
            remarks.append("no path arrived before t1: no mean and no picture; a longer t1 would tell")
        row = Row("mean first-passage time", float(mean), _ERRORS * float(error), said)
        pictures = {"survival": survival(passage, row)} if np.isfinite(mean) and mean > 0.0 else {}
        return Outcome(ens, [row], pictures, repr(ens), remarks, row.quantity)

    return run


def _difference(found: optsde.Comparison, function: str) -> Picture:
    return curves(lambda ax: found.plot(ax, function=function))


def _compare(objects: Objects) -> Run:
    reader = objects.reader
    problem = objects.problem(objects.loss())
    tables = reader.tables_of("model")
    if len(tables) < 2:
        raise reader.error(("model",), "the task compare needs two or more tables [[model]]")
    models: dict[str, optsde.Dynamics] = {}
    for index, table in enumerate(tables):
        model = objects.model(("model", index), problem, ("name",))
        name = table.get("name", table.get("kind", "discrete"))
        if not isinstance(name, str):
            raise reader.error(("model", index, "name"), f"model[{index}].name: expected a text, got {name!r}")
        if name in models:
            raise reader.error(("model", index), f"model[{index}].name: another one is called {name!r}")
        models[name] = model
    call = _call(objects, optsde.compare, models=models)

    def run() -> Outcome:
        found = call()
        rows = [
            Row(f"{name} - {found.reference}, {function}", float(values[-1]), _ERRORS * float(errors[-1]))
            for name, by_function in found.difference.items()
            for function, values in by_function.items()
            for errors in [found.difference_stderr[name][function]]
        ]
        pictures = {f"difference_{function}": _difference(found, function) for function in found.functions}
        return Outcome(found, rows, pictures, str(found.table()), found.notes, rows[-1].quantity)

    return run


def _weak_order(objects: Objects) -> Run:
    problem = objects.problem(objects.loss())
    optimizer = objects.optimizer()
    family = objects.reader.call(("model",), optimizer.family, {"problem": problem})
    call = _call(objects, optsde.weak_order, family=family)

    def run() -> Outcome:
        found = call()
        rows = [
            Row(f"order, {name}", fit.slope, 0.5 * (fit.interval[1] - fit.interval[0]))
            for name, fit in found.fits.items()
        ]
        for j, name in enumerate(found.functions):
            for i, eta in enumerate(found.etas):
                rows.append(Row(f"error at lr {eta:g}, {name}", found.errors[i, j], _ERRORS * found.stderr[i, j]))
        pictures = {"order": curves(lambda ax: found.plot(ax))}
        unclear = [f"order, {name}: {fit!r}" for name, fit in found.fits.items() if not fit.resolved]
        return Outcome(found, rows, pictures, repr(found), [*found.notes, *unclear], rows[0].quantity)

    return run


_ONE_DYNAMICS = ("loss", "noise", "problem", "optimizer", "model", "dynamics", "run")
_TASKS: dict[str, tuple[Callable[[Objects], Run], tuple[str, ...]]] = {
    "simulate": (_simulate, (*_ONE_DYNAMICS, "observe")),
    "stationary": (_stationary, (*_ONE_DYNAMICS, "observe")),
    "expect": (_expect, _ONE_DYNAMICS),
    "escape": (_escape, ("loss", "dynamics", "escape", "run")),
    "compare": (_compare, ("loss", "noise", "problem", "optimizer", "model", "run")),
    "weak_order": (_weak_order, ("loss", "noise", "problem", "optimizer", "model", "run")),
}


def prepare(reader: Reader) -> Run:
    """Makes all that the task of a file needs, and refuses what it can before the work starts."""
    task = reader.choice(("task",), list(_TASKS))
    make, tables = _TASKS[task]
    reader.check_keys((), ("title", "task", "sweep", *tables))
    return make(Objects(reader))
