"""The base of every dynamics: what simulate, observers and people need to know of an equation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from optsde import _core
from optsde._description import Description, show
from optsde.losses import Compiled, Loss
from optsde.problem import Problem


class Dynamics(Description):
    """An equation of motion: a stochastic or ordinary differential equation, or an optimizer itself. Immutable.

    Attributes
    ----------
    dim : int
        Number d of parameters.
    """

    dim: int
    _discrete: ClassVar[bool] = False

    @abstractmethod
    def _spec(self) -> dict[str, Any]:
        """The description that the native module reads."""

    @abstractmethod
    def _equation(self) -> str:
        """One line: the equation with its numbers."""

    @abstractmethod
    def citation(self) -> str:
        """Where the equation comes from."""

    @abstractmethod
    def _validity(self) -> str:
        """One line: order and validity."""

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the variables of one path."""
        return {"theta": (self.dim,)}

    @property
    def time_per_step(self) -> float | None:
        """Time of one optimizer step; None where there is no optimizer step."""
        return None

    @property
    def noise_kind(self) -> str:
        """``"none"``, ``"additive_diagonal"``, ``"additive_full"``, ``"diagonal"`` (entry i depends on coordinate i
        alone),
        ``"diagonal_coupled"``, ``"scalar"``, ``"commutative"`` or ``"full"``.
        """
        return _core.dynamics_noise_kind(self._spec())

    def describe(self) -> str:
        """The equation with its numbers, parts, order, validity and source."""
        parts = [f"  {name}: {show(value)}" for name, value in self._fields().items()]
        step = "none" if self.time_per_step is None else f"{self.time_per_step:g}"
        lines = [self._equation(), *parts, f"  time per optimizer step: {step}", f"  noise kind: {self.noise_kind}"]
        return "\n".join([*lines, f"  validity: {self._validity()}", f"  source: {self.citation()}"])

    def __repr__(self) -> str:
        return f"<{self._equation()}>"

    @property
    def _loss(self) -> Loss | None:
        """The loss that the Loss observer reports."""
        return None

    @property
    def _weak_order(self) -> int:
        """Order of the model itself: a method below it spoils it."""
        return 1

    @property
    def _linear(self) -> bool:
        """Whether the drift is linear and the noise constant, so that exact steps exist."""
        return False

    @property
    def _uses_compiled(self) -> bool:
        """Whether C functions compute any part (always in double)."""
        return False

    @property
    def _declared_kind(self) -> tuple[str, str, dict[str, Any]] | None:
        """The noise kind that the user vouches for: the argument's name, the kind, and the equation whose factor
        shows it.
        """
        return None


def problem_uses_compiled(problem: Problem) -> bool:
    """Whether C functions compute any part of a problem."""
    return isinstance(problem.loss, Compiled) or problem.noise._compiled
