"""What an experiment can do: each task runs its function, and tells numbers, predictions and pictures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import optsde
from optsde import theory
from optsde.experiment._objects import Objects
from optsde.experiment._reader import Reader
from optsde.experiment._report import Row

# Rows and pictures of a law are of the first so many coordinates.
_SHOWN = 12
_RUN = ("dynamics", "theta0", "observe", "progress", "models", "function")


@dataclass(frozen=True)
class Outcome:
    """What came out of one run.

    Attributes
    ----------
    result : object
        What the function returned; it has ``save``.
    rows : list of Row
    pictures : dict
        Functions that draw on axes, by name.
    note : str
        A text for the terminal.
    """

    result: Any
    rows: list[Row]
    pictures: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    note: str = ""


def _run(objects: Objects, function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Calls a function with the keys of [run]."""
    reader = objects.reader
    given = given | {
        name: None for name in inspect.signature(function).parameters if name in _RUN and name not in given
    }
    arguments = reader.arguments(("run",), function, given)
    return reader.apply(("run",), function, {key: value for key, value in arguments.items() if value is not None})


def _quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    """What theory says; None where it says nothing of such a dynamics."""
    try:
        return function(*arguments)
    except (ValueError, TypeError):
        return None


def _laws(objects: Objects, dynamics: optsde.Dynamics, problem: optsde.Problem | None) -> dict[str, tuple[Any, Any]]:
    """Predicted means and variances of the parameters, by name: exact ones, and those of the linearised problem."""
    laws = {}
    mean, cov = _quietly(theory.stationary_mean, dynamics), _quietly(theory.stationary_cov, dynamics)
    if mean is not None and cov is not None:
        laws["exact"] = (mean["theta"], np.diag(cov["theta", "theta"]))
    else:
        density = _quietly(theory.stationary_density, dynamics)
        if density is not None:
            laws["exact"] = (np.atleast_1d(density.mean), np.atleast_1d(density.var))
    near = None if problem is None else _quietly(theory.linearized, problem)
    if near is not None:
        equation = objects.optimizer().sde(near)
        mean, cov = _quietly(theory.stationary_mean, equation), _quietly(theory.stationary_cov, equation)
        if mean is not None and cov is not None:
            laws["Ornstein-Uhlenbeck"] = (mean["theta"], np.diag(cov["theta", "theta"]))
    return laws


def _rows(kind: str, values: Any, errors: Any, predictions: dict[str, Any]) -> Iterator[Row]:
    for i in range(min(len(values), _SHOWN)):
        said = {name: float(law[i]) for name, law in predictions.items()}
        yield Row(f"{kind} theta[{i}]", float(values[i]), float(errors[i]), said)


def _normal(mean: float, var: float) -> Callable[[Any], Any]:
    return lambda x: np.exp(-((x - mean) ** 2) / (2.0 * var)) / np.sqrt(2.0 * np.pi * var)


def _pdfs(dynamics: optsde.Dynamics, laws: dict[str, tuple[Any, Any]], coord: int) -> dict[str, Any]:
    """Densities to draw over a histogram of one coordinate."""
    said: dict[str, Any] = {}
    density = _quietly(theory.stationary_density, dynamics) if dynamics.dim == 1 else None
    for name, (mean, var) in laws.items():
        exact = name == "exact" and density is not None
        said[name] = density if exact else _normal(float(mean[coord]), float(var[coord]))
    return said


def _stationary(objects: Objects) -> Outcome:
    dynamics, problem = objects.dynamics()
    given = {"dynamics": dynamics, "theta0": objects.start(("run", "theta0")), "observe": objects.observers() or None}
    found = _run(objects, optsde.stationary, given)
    laws = _laws(objects, dynamics, problem)
    rows = [
        *_rows("mean", found.mean, found.mean_error, {name: law[0] for name, law in laws.items()}),
        *_rows("var", found.var, found.var_error, {name: law[1] for name, law in laws.items()}),
    ]

    def draw(coord: int) -> Callable[[Any], Any]:
        return lambda ax: optsde.plot.density(found.samples, pdf=_pdfs(dynamics, laws, coord), ax=ax, coord=coord)

    pictures = {f"density_{coord}": draw(coord) for coord in range(min(dynamics.dim, 3))}
    return Outcome(found, rows, pictures, repr(found))


def _simulate(objects: Objects) -> Outcome:
    dynamics, _ = objects.dynamics()
    given = {"dynamics": dynamics, "theta0": objects.start(("run", "theta0")), "observe": objects.observers() or None}
    ens = _run(objects, optsde.simulate, given)
    rows: list[Row] = []
    for observer in ens._observers:
        result = ens[observer.name]
        if isinstance(observer, optsde.Moments):
            rows += [*_rows("mean", result.mean[-1], result.mean_stderr[-1], {})]
            rows += [*_rows("var", result.var[-1], result.var_stderr[-1], {})]
        elif isinstance(observer, optsde.Loss):
            rows.append(Row(observer.name, float(result.mean[-1]), float(result.stderr[-1])))
        elif isinstance(observer, optsde.FirstPassage):
            rows.append(Row(f"rate of {observer.name}", result.rate, result.rate_stderr))
    return Outcome(ens, rows, {"ensemble": lambda ax: ens.plot(ax)}, repr(ens))


def _escape(objects: Objects) -> Outcome:
    reader = objects.reader
    reader.check_keys(("escape",), ("region", "minimum", "saddle"))
    dynamics, _ = objects.dynamics()
    if not isinstance(dynamics, optsde.Langevin):
        raise reader.error(("dynamics", "kind"), "the task escape takes Langevin dynamics")
    region = objects.region(("escape", "region"))
    loss = dynamics.loss
    minimum = reader.get("escape", "minimum")
    place = np.atleast_1d(np.asarray(loss.minima[0] if minimum is None else minimum, dtype=float))
    start = objects.start(("run", "theta0"))
    watch = optsde.FirstPassage(region)
    given = {"dynamics": dynamics, "theta0": place if start is None else start, "observe": watch}
    ens = _run(objects, optsde.simulate, given)
    passage = ens[watch.name]
    # The mean time where arrivals have a constant rate: censored paths count with the time that they were watched.
    mean, error = 1.0 / passage.rate, passage.rate_stderr / passage.rate**2
    if passage.n_censored == 0:
        mean, error = passage.mean, passage.stderr
    said: dict[str, float] = {}
    saddle = reader.get("escape", "saddle")
    if saddle is not None:
        said["Kramers"] = float(theory.kramers_time(loss, dynamics.temperature, place, saddle))
    if dynamics.dim == 1 and isinstance(region, (optsde.regions.Above, optsde.regions.Below)):
        scale = 1.0 / float(np.ravel(dynamics.mobility)[0])
        said["exact"] = scale * theory.mean_first_passage_time(
            loss, dynamics.temperature, float(place[0]), region.level
        )
    rows = [Row("mean first-passage time", float(mean), float(error), said)]

    def draw(ax: Any) -> Any:
        arrived = np.sort(passage.times[np.isfinite(passage.times)])
        left = 1.0 - np.arange(1, len(arrived) + 1) / (len(arrived) + passage.n_censored)
        ax.step(arrived, left, where="post", label="measured")
        ax.plot(arrived, np.exp(-arrived / mean), "--", label="exponential law of the same mean")
        ax.set(xlabel="time", ylabel="share of paths that have not escaped", yscale="log")
        ax.set_ylim(bottom=0.5 / max(len(arrived) + passage.n_censored, 1))
        ax.legend()
        return ax

    return Outcome(ens, rows, {"survival": draw}, repr(ens))


def _compare(objects: Objects) -> Outcome:
    reader = objects.reader
    problem = objects.problem(objects.loss())
    tables = reader.tables_of("model")
    if len(tables) < 2:
        raise reader.error(("model",), "the task compare needs two or more tables [[model]]")
    models = {}
    for index, table in enumerate(tables):
        model = objects.model(("model", index), problem, ("name",))
        models[str(table.get("name", table.get("kind", "discrete")))] = model
    if len(models) < len(tables):
        raise reader.error(("model",), "each [[model]] needs a name of its own")
    found = _run(objects, optsde.compare, {"models": models, "theta0": objects.start(("run", "theta0"))})
    rows = [
        Row(f"{name} - {found.reference}, {function}", float(values[-1]), float(errors[-1]))
        for name, by_function in found.difference.items()
        for function, values in by_function.items()
        for errors in [found.difference_stderr[name][function]]
    ]
    return Outcome(found, rows, {"differences": lambda ax: found.plot(ax)}, str(found.table()))


TASKS: dict[str, tuple[Callable[[Objects], Outcome], tuple[str, ...]]] = {
    "simulate": (_simulate, ("loss", "noise", "problem", "optimizer", "model", "dynamics", "observe", "run")),
    "stationary": (_stationary, ("loss", "noise", "problem", "optimizer", "model", "dynamics", "observe", "run")),
    "escape": (_escape, ("loss", "dynamics", "escape", "run")),
    "compare": (_compare, ("loss", "noise", "problem", "optimizer", "model", "run")),
}


def perform(reader: Reader) -> Outcome:
    """Runs the task of a file."""
    task = reader.choice(("task",), list(TASKS))
    run, tables = TASKS[task]
    reader.check_keys((), ("title", "task", "sweep", *tables))
    return run(Objects(reader))
