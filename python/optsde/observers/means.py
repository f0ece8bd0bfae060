"""Means of a function of the state: the loss, or a function of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, flag
from optsde._units import mean_plan, unit_mean
from optsde.observers._base import IntArray, Timed, checked_name, checked_times
from optsde.observers._functions import OfState, checked_function
from optsde.results import MeanResult, mean_result

if TYPE_CHECKING:
    from optsde._recipe import Recipe


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Loss(Timed):
    """Mean loss: ``ens.loss_mean (T,)`` and ``ens.loss_stderr (T,)``.

    Parameters
    ----------
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    name : str, optional

    Raises
    ------
    ValueError
        At the start of a run, where the dynamics has no loss or the loss no value.

    Examples
    --------
    >>> import optsde
    >>> optsde.Loss(at=11).name
    'loss'
    """

    at: int | FloatArray | None
    name: str
    _default_name: ClassVar[str] = "loss"

    def __init__(self, at: int | ArrayLike | None = None, *, name: str | None = None) -> None:
        self._set(at=checked_times(at), name=checked_name(name, self._default_name))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return 8 * self._count(recipe.grid) * 5 * (copies + recipe.groups_in_hand)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        loss = recipe.dynamics._loss
        if loss is None:
            raise ValueError("observe: the Loss observer needs a loss, and this dynamics has none")
        loss._require("value", "the Loss observer")
        return {"kind": "loss", "loss": loss._spec(), "units": _units(recipe)}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MeanResult:
        return _result(t, step, raw["stats"])


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Expectation(Timed):
    """Mean of a function of the parameters: ``ens.expectations[name]`` with ``.mean (T,)`` and ``.stderr (T,)``.

    Parameters
    ----------
    function : callable
        θ (n, d), read-only, to (n,).
    name : str
    at : None, int or (T,) array_like, optional
        As in :class:`Paths`.
    state : bool
        Whether the function takes a dict of all variables, each (n, d), instead of θ.

    Examples
    --------
    >>> import optsde
    >>> optsde.Expectation(lambda x: x[:, 0] ** 4, "fourth moment").name
    'fourth moment'
    """

    function: Callable[..., Any]
    name: str
    at: int | FloatArray | None
    state: bool
    _default_name: ClassVar[str] = "expectation"

    def __init__(
        self, function: Callable[..., Any], name: str, at: int | ArrayLike | None = None, *, state: bool = False
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name: expected a str, got {type(name).__name__}")
        self._set(function=checked_function("function", function), name=name)
        self._set(at=checked_times(at), state=flag("state", state))

    def _bytes(self, recipe: Recipe, copies: int) -> int:
        return 8 * self._count(recipe.grid) * 5 * (copies + recipe.groups_in_hand)

    def _plan(self, recipe: Recipe) -> dict[str, Any]:
        function = OfState(self.function, recipe.variables) if self.state else self.function
        return {"kind": "expectation", "function": function, "state": self.state, "units": _units(recipe)}

    def _result(self, raw: dict[str, Any], t: FloatArray, step: IntArray, rows: slice) -> MeanResult:
        return _result(t, step, raw["stats"])


def _units(recipe: Recipe) -> dict[str, Any] | None:
    return mean_plan() if recipe.antithetic else None


def _result(t: FloatArray, step: IntArray, stats: dict[str, Any]) -> MeanResult:
    return unit_mean(t, step, stats) if "units" in stats else mean_result(t, step, stats)
