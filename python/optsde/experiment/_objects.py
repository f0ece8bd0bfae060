"""The objects that an experiment's tables describe: loss, noise, problem, optimizer, dynamics, observers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import optsde
from optsde.experiment._lines import Place
from optsde.experiment._reader import Reader

_DYNAMICS = ("Langevin", "UnderdampedLangevin", "OrnsteinUhlenbeck")
_OPTIMIZERS = ("SGD", "RMSprop", "Adam", "AdamW", "SignSGD", "SAM")
_MODELS = ("discrete", "sde", "flow", "svag")
# Tables that stand for an object inside of another one's table, by key.
_INNER: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "lr": (optsde.schedules, ()),
    "momentum": (optsde.schedules, ("Nesterov",)),
    "theta0": (optsde.initial, ("Gaussian", "Uniform")),
    "region": (optsde.regions, ("Above", "Below", "Inside", "Outside")),
}


def _classes(module: ModuleType, skip: tuple[str, ...] = ()) -> dict[str, type]:
    """The public classes of a module that a file may name."""
    public = {name: getattr(module, name) for name in module.__all__}
    return {name: value for name, value in public.items() if inspect.isclass(value) and name not in skip}


class Objects:
    """Makes the objects of one file."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def _named(self, place: Place, classes: Mapping[str, type], **given: Any) -> Any:
        """The object of a table with a ``kind``."""
        kind = self.reader.choice((*place, "kind"), list(classes))
        return self._made(place, classes[kind], given, ("kind",))

    def _made(self, place: Place, make: Callable[..., Any], given: Mapping[str, Any], skip: tuple[str, ...]) -> Any:
        arguments = self.reader.arguments(place, make, given, skip)
        for key, (module, names) in _INNER.items():
            value = arguments.get(key)
            if isinstance(value, dict) and "kind" in value:
                classes = _classes(module)
                chosen = {name: classes[name] for name in names or classes}
                arguments[key] = self._named((*place, key), chosen)
        return self.reader.apply(place, make, arguments)

    def _data(self, place: Place) -> dict[str, Any]:
        """X and y of a data set by name."""
        value = self.reader.get(*place)
        makers = {name: getattr(optsde.datasets, name) for name in optsde.datasets.__all__ if name != "Dataset"}
        if not isinstance(value, dict):
            return self._columns(self.reader.apply(place, makers[self.reader.choice(place, list(makers))], {}))
        make = makers[self.reader.choice((*place, "kind"), list(makers))]
        arguments = self.reader.arguments(place, make, {}, ("kind",))
        if "rng" in inspect.signature(make).parameters:
            # Made data are part of the problem: the same in every run of a file.
            arguments.setdefault("rng", 0)
        return self._columns(self.reader.apply(place, make, arguments))

    @staticmethod
    def _columns(data: optsde.datasets.Dataset) -> dict[str, Any]:
        return {"X": data.X, "y": data.y}

    def loss(self) -> optsde.losses.Loss:
        """[loss]: a loss of optsde.losses, over a data set by name where it is one over data."""
        classes = _classes(optsde.losses, ("Loss", "Function", "Compiled"))
        kind = self.reader.choice(("loss", "kind"), list(classes))
        given: dict[str, Any] = {}
        skip: tuple[str, ...] = ("kind",)
        if self.reader.get("loss", "data") is not None:
            if "X" not in inspect.signature(classes[kind]).parameters:
                raise self.reader.error(("loss", "data"), f"data: {kind} takes no data set")
            given, skip = self._data(("loss", "data")), ("kind", "data")
        elif "X" in inspect.signature(classes[kind]).parameters and self.reader.get("loss", "X") is None:
            raise self.reader.error(("loss",), f"loss.data: is missing; {kind} needs a data set, such as 'diabetes'")
        loss: optsde.losses.Loss = self._made(("loss",), classes[kind], given, skip)
        return loss

    def problem(self, loss: optsde.losses.Loss) -> optsde.Problem:
        """[noise] and [problem]."""
        classes = _classes(optsde.noise, ("Noise", "Function", "Compiled"))
        noise = self._named(("noise",), classes) if "noise" in self.reader.tables else optsde.noise.Zero()
        problem: optsde.Problem = self._made(("problem",), optsde.Problem, {"loss": loss, "noise": noise}, ())
        return problem

    def dynamics(self) -> tuple[optsde.Dynamics, optsde.Problem | None]:
        """[dynamics], or an [optimizer] and which [model] of it; with the problem where there is one."""
        tables = self.reader.tables
        if ("dynamics" in tables) == ("optimizer" in tables):
            both = "dynamics" in tables
            raise self.reader.error(
                ("dynamics",) if both else (),
                f"expected one of the tables [dynamics] and [optimizer], got {'both' if both else 'neither'}",
            )
        if "dynamics" in tables:
            kind = self.reader.choice(("dynamics", "kind"), _DYNAMICS)
            unused: tuple[str, ...] = ("noise", "problem", "model", *(("loss",) if kind == "OrnsteinUhlenbeck" else ()))
            for table in unused:
                if table in tables:
                    raise self.reader.error((table,), f"[{table}] has no meaning for [dynamics] of the kind {kind}")
            given = {} if kind == "OrnsteinUhlenbeck" else {"loss": self.loss()}
            dynamics: optsde.Dynamics = self._made(("dynamics",), getattr(optsde, kind), given, ("kind",))
            return dynamics, None
        problem = self.problem(self.loss())
        return self.model(("model",), problem), problem

    def optimizer(self) -> Any:
        """[optimizer]."""
        return self._named(("optimizer",), {name: getattr(optsde, name) for name in _OPTIMIZERS})

    def model(self, place: Place, problem: optsde.Problem, skip: tuple[str, ...] = ()) -> optsde.Dynamics:
        """One of the optimizer's models; its algorithm where the table does not say."""
        optimizer = self.optimizer()
        given = self.reader.get(*place, "kind")
        kind = "discrete" if given is None else self.reader.choice((*place, "kind"), _MODELS)
        model: optsde.Dynamics = self._made(place, getattr(optimizer, kind), {"problem": problem}, ("kind", *skip))
        return model

    def start(self, place: Place) -> Any:
        """theta0 of a table: numbers, a law, or a table of them by variable."""
        value = self.reader.get(*place)
        classes = _classes(optsde.initial)
        laws = {name: classes[name] for name in ("Gaussian", "Uniform")}
        if not isinstance(value, dict):
            return value
        if "kind" in value:
            return self._named(place, laws)
        return {key: self.start((*place, key)) for key in value}

    def region(self, place: Place) -> optsde.regions.Region:
        """A region of optsde.regions."""
        region: optsde.regions.Region = self._named(place, _classes(optsde.regions, ("Region",)))
        return region

    def observers(self) -> list[Any]:
        """[[observe]]: observers by kind."""
        classes = _classes(optsde.observers, ("Observer", "Expectation"))
        tables = self.reader.tables_of("observe")
        return [self._named(("observe", index), classes) for index in range(len(tables))]
