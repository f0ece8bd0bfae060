"""Descriptions in files: each by its class and its constructor's arguments; and what stands for lost functions."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, is_dataclass
from typing import Any, NoReturn

import numpy as np

from optsde._archive import Tagged, Unstorable
from optsde._arrays import frozen
from optsde._compiled import CompiledFunction
from optsde._description import Description, _identity
from optsde._keys import Key
from optsde.dynamics import Dynamics
from optsde.losses import Compiled as CompiledLoss
from optsde.noise import Compiled as CompiledNoise

# An address means something in its own process only; one from a file would be called blindly.
_ADDRESSES = (CompiledFunction, CompiledLoss, CompiledNoise)


def _public_name(cls: type[Description]) -> str:
    """A class's name in files: with the first part of its module, whatever file of it the class lives in."""
    return f"{cls.__module__.split('.')[1]}.{cls.__qualname__}"


def _classes() -> dict[str, type[Description]]:
    """All classes of descriptions of this package by their names in files; no other class is ever made from a file."""
    found: dict[str, type[Description]] = {}
    waiting: list[type[Description]] = [Description]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.startswith("optsde.") and is_dataclass(cls) and not issubclass(cls, _ADDRESSES):
                found[_public_name(cls)] = cls
    return found


def _called(value: Any) -> str:
    if isinstance(value, CompiledFunction):
        return "a C function by its address"
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return f"the function {name}" if callable(value) else f"a {name}"


def _is_function(value: Any) -> bool:
    return isinstance(value, CompiledFunction) or (callable(value) and not isinstance(value, Description))


def to_fields(value: Any) -> Tagged:
    """A description or key as plain fields; raises Unstorable for everything else."""
    if isinstance(value, Key):
        return Tagged("key", f"0x{int(value):016x}", {})
    if isinstance(value, Description) and type(value).__module__.startswith("optsde."):
        fields = value._fields()
        for name, field in fields.items():
            if _is_function(field):
                raise Unstorable(f"{_called(field)} in {type(value).__name__} ({name.lstrip('_')})")
        if not isinstance(value, _ADDRESSES):
            return Tagged("object", _public_name(type(value)), fields)
    raise Unstorable(_called(value))


def to_fields_or_lost(value: Any) -> Tagged:
    """The same, with a stand-in for each function."""
    if isinstance(value, Description):
        fields = value._fields()
        lost = {name: LostFunction(_called(field)) for name, field in fields.items() if _is_function(field)}
        if lost and type(value).__module__.startswith("optsde."):
            return Tagged("object", _public_name(type(value)), fields | lost)
    return to_fields(value)


def from_fields(stored: Tagged) -> Any:
    """What the fields describe, made and checked by the constructor of its class."""
    if stored.tag == "key":
        return Key(int(stored.name, 16))
    cls = _classes().get(stored.name) if stored.tag == "object" else None
    if cls is None:
        raise ValueError(f"this version of optsde knows nothing called {stored.name!r}")
    known = inspect.signature(cls).parameters
    fields = {name: frozen(v) if isinstance(v, np.ndarray) else v for name, v in stored.fields.items()}
    made = cls(**{name: value for name, value in fields.items() if name in known})
    for name, value in fields.items():
        # Fields that the constructor works out, such as a dimension, must come out as they were.
        if _identity(getattr(made, name)) != _identity(value):
            raise ValueError(f"{name} of {stored.name} does not agree with its other parts")
    return made


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LostFunction(Description):
    """Stands for an observer's function, which no file can hold."""

    text: str

    def __init__(self, text: str) -> None:
        self._set(text=str(text))

    def __call__(self, *args: Any) -> NoReturn:
        raise ValueError(f"{self.text} is not in the file that this was loaded from")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LostDynamics(Dynamics):
    """Stands for a dynamics that calls the user's own functions, which no file can hold."""

    title: str
    dim: int
    variables: tuple[str, ...]
    step_time: float | None
    reason: str

    def __init__(self, title: str, dim: int, variables: tuple[str, ...], step_time: float | None, reason: str) -> None:
        self._set(title=title, dim=dim, variables=variables, step_time=step_time, reason=reason)

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the variables of one path."""
        return dict.fromkeys(self.variables, (self.dim,))

    @property
    def time_per_step(self) -> float | None:
        """Time of one optimizer step; None where there is no optimizer step."""
        return self.step_time

    def _spec(self) -> NoReturn:
        raise ValueError(self.reason)

    @property
    def noise_kind(self) -> str:
        """Not known any more."""
        return "unknown"

    def _equation(self) -> str:
        return self.title

    def _validity(self) -> str:
        return self.reason

    def citation(self) -> str:
        """Where the equation comes from: not known any more."""
        return "not in the file"
