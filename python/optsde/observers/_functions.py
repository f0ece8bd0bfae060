"""Functions of the state that observers call, as functions of all rows of the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OfState:
    """A function of a dict of variables, as a function of all rows of the state."""

    def __init__(self, function: Callable[..., Any], variables: dict[str, slice]) -> None:
        self.function, self.variables = function, variables

    def __call__(self, x: NDArray[Any]) -> Any:
        return self.function({name: x[:, rows] for name, rows in self.variables.items()})


class Truth:
    """A function that must answer with bools, so that a slip such as a distance is no region."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function, self.name = function, name

    def __call__(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        answer = np.asarray(self.function(x))
        if answer.dtype != np.bool_:
            raise TypeError(f"{self.name}: the callback returned dtype {answer.dtype}, expected bool")
        return answer


def checked_function(name: str, function: Any, takes: str = "θ (n, d)") -> Callable[..., Any]:
    """The argument, where it can be called."""
    if not callable(function):
        raise TypeError(f"{name}: expected a function of {takes}, got {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def calls_python(spec: object) -> bool:
    """Whether a native description holds a Python function."""
    return callable(spec) or (isinstance(spec, dict) and any(calls_python(part) for part in spec.values()))
