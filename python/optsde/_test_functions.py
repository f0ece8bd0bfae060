"""Test functions of a comparison: names, callables of the state, or a dict of both, made into values per path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from optsde._arrays import FloatArray, frozen
from optsde.dynamics import Dynamics
from optsde.losses import Loss

State = Mapping[str, FloatArray]
Function = Callable[[State], Any]

_EXPECTED = "'theta', 'v', 'm', 'theta2', 'norm', 'loss' or a function of the state"
# Mean over coordinates of the variable of that name.
_VARIABLES = ("theta", "v", "m")


def _coordinate_mean(variable: str) -> Function:
    return lambda state: np.asarray(state[variable].mean(axis=1))


def _mean_square(state: State) -> FloatArray:
    return np.asarray(np.square(state["theta"]).mean(axis=1))


def _norm(state: State) -> FloatArray:
    return np.asarray(np.sqrt(np.square(state["theta"]).sum(axis=1)))


def _loss_of(argument: str, models: Mapping[str, Dynamics], reference: str) -> Loss:
    """One loss for all: the reference's, else that of the first model that has one."""
    for name in (reference, *models):
        loss = models[name]._loss
        if loss is not None:
            loss._require("value", "the test function 'loss'")
            return loss
    raise ValueError(f"{argument}: 'loss' needs a model with a loss, and none of these has one")


def _named(argument: str, name: str, models: Mapping[str, Dynamics], reference: str) -> Function:
    if name in _VARIABLES:
        for model, dynamics in models.items():
            if name not in dynamics.state:
                known = ", ".join(map(repr, dynamics.state))
                raise ValueError(f"{argument}: {name!r} is not a variable of {model!r}, whose state is {known}")
        return _coordinate_mean(name)
    if name == "theta2":
        return _mean_square
    if name == "norm":
        return _norm
    if name == "loss":
        value = _loss_of(argument, models, reference).value
        return lambda state: value(state["theta"])
    raise ValueError(f"{argument}: expected {_EXPECTED}, got {name!r}")


def label(function: Any) -> str:
    """What a test function is called."""
    if isinstance(function, str):
        return function
    name = getattr(function, "__name__", type(function).__name__)
    return "function" if name == "<lambda>" else str(name)


class TestFunctions:
    """Named functions of the state; ``values`` has one row a function and one number a path.

    ``argument`` is what errors call them.
    """

    __test__ = False  # no class of tests

    def __init__(
        self, given: Any, models: Mapping[str, Dynamics], reference: str, argument: str = "test_functions"
    ) -> None:
        self._argument = argument
        if isinstance(given, str) or callable(given):
            given = (given,)
        if isinstance(given, Mapping):
            pairs = list(given.items())
        elif isinstance(given, (tuple, list)):
            pairs = [(item if isinstance(item, str) else label(item) if callable(item) else "", item) for item in given]
        else:
            raise TypeError(f"{argument}: expected {_EXPECTED}, several or a dict, got {type(given).__name__}")
        if not pairs:
            raise ValueError(f"{argument}: expected {_EXPECTED}, got none")
        self._functions: dict[str, Function] = {}
        for name, item in pairs:
            if not isinstance(name, str):
                raise TypeError(f"{argument}: expected names as keys, got {name!r}")
            if not isinstance(item, str) and not callable(item):
                raise TypeError(f"{argument}: expected {_EXPECTED}, got {item!r}")
            if name in self._functions:
                raise ValueError(f"{argument}: two are called {name!r}; a dict gives them names")
            self._functions[name] = _named(argument, item, models, reference) if isinstance(item, str) else item

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(self._functions)

    def __len__(self) -> int:
        return len(self._functions)

    def values(self, state: dict[str, FloatArray]) -> FloatArray:
        """Values (F, n) of states (n, d)."""
        n = len(state["theta"])
        closed = {name: frozen(array.view()) for name, array in state.items()}
        out = np.empty((len(self), n))
        # What a function makes of a diverged path is not looked at.
        with np.errstate(all="ignore"):
            for row, (name, function) in zip(out, self._functions.items(), strict=True):
                answer = np.asarray(function(closed))
                if answer.shape != (n,):
                    raise ValueError(
                        f"{self._argument}: {name!r} returned shape {answer.shape} for {n} states, expected ({n},)"
                    )
                if answer.dtype.kind not in "biuf":
                    raise TypeError(f"{self._argument}: {name!r} returned {answer.dtype}, expected real numbers")
                row[:] = answer
        return out
