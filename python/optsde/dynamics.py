"""The base of every dynamics: what simulate, observers and people need to know of an equation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde import _core
from optsde._arrays import FloatArray, real_numbers
from optsde._description import Description, show
from optsde._html import html_table
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
    def _discrete(self) -> bool:
        """Whether it is an algorithm, which makes its own steps."""
        return False

    @property
    def _inner_steps(self) -> int:
        """Steps of the algorithm in one optimizer step: more than one for SVAG."""
        return 1

    @property
    def _second_moment(self) -> bool:
        """Whether it has a variable ``v`` that is a mean of squares."""
        return False

    @property
    def _second_moment_start(self) -> bool:
        """Whether a second moment that is not given starts at ``grad² + diag Σ/B``, and must be positive."""
        return False

    @property
    def _largest_first_step(self) -> float:
        """What a step multiplies the gradient by where a second moment of 0 is all that divides it."""
        return 0.0

    @property
    def _earliest(self) -> float:
        """The time before which the equation has no meaning."""
        return 0.0

    @property
    def noise_kind(self) -> str:
        """``"none"``, ``"additive_diagonal"``, ``"additive_full"``, ``"diagonal"`` (entry i depends on coordinate i
        alone),
        ``"diagonal_coupled"``, ``"scalar"``, ``"commutative"``, ``"full"``, or ``"levy"`` (driven by a Lévy process).
        """
        return _core.dynamics_noise_kind(self._spec())

    def drift_at(self, state: ArrayLike | Mapping[str, ArrayLike], t: float = 0.0) -> FloatArray:
        """The drift of the equation at a state.

        Parameters
        ----------
        state : array_like, shape (..., D), or dict of (..., d) arrays by the names of :attr:`state`
            D = d times the number of variables, in the order of :attr:`state`.
        t : float
            Time.

        Returns
        -------
        ndarray, shape (..., D)

        Raises
        ------
        ValueError
            For a discrete optimizer, which has no drift, or another shape.
        """
        points, shape = self._stacked(state)
        return _core.drift(self._spec(), points, t).reshape(*shape, points.shape[1])

    def diffusion_at(self, state: ArrayLike | Mapping[str, ArrayLike], t: float = 0.0) -> FloatArray:
        """The factor b of the noise ``b dW`` at a state, with its sign.

        Parameters
        ----------
        state, t
            As in :meth:`drift_at`.

        Returns
        -------
        ndarray, shape (..., D, m)
            One column a Wiener process.
        """
        points, shape = self._stacked(state)
        factor = _core.noise_factor(self._spec(), points, t)
        return factor.reshape(*shape, *factor.shape[1:])

    def _stacked(self, state: ArrayLike | Mapping[str, ArrayLike]) -> tuple[FloatArray, tuple[int, ...]]:
        """The state as (n, D), and its leading shape."""
        if self._discrete:
            raise ValueError("dynamics: a discrete optimizer has no drift and no diffusion; its sde has")
        if isinstance(state, Mapping):
            if set(state) != set(self.state):
                raise ValueError(f"state: expected the variables {list(self.state)}, got {list(state)}")
            state = np.concatenate([real_numbers(name, state[name]) for name in self.state], axis=-1)
        points = real_numbers("state", state)
        rows = self.dim * len(self.state)
        if points.ndim == 0 or points.shape[-1] != rows:
            raise ValueError(f"state: expected shape (..., {rows}), got {points.shape}")
        return np.ascontiguousarray(points.reshape(-1, rows), dtype=np.float64), points.shape[:-1]

    def describe(self) -> str:
        """The equation with its numbers, parts, order, validity and source."""
        parts = [f"  {name}: {show(value)}" for name, value in self._fields().items()]
        step = "none" if self.time_per_step is None else f"{self.time_per_step:g}"
        lines = [self._equation(), *parts, f"  time per optimizer step: {step}", f"  noise kind: {self.noise_kind}"]
        return "\n".join([*lines, f"  validity: {self._validity()}", f"  source: {self.citation()}"])

    def __repr__(self) -> str:
        return f"<{self._equation()}>"

    def _repr_html_(self) -> str:
        parts = [(name, show(value)) for name, value in self._fields().items()]
        facts = [("noise kind", self.noise_kind), ("validity", self._validity()), ("source", self.citation())]
        return html_table(self._equation(), [*parts, *facts])

    @property
    def _loss(self) -> Loss | None:
        """The loss that the Loss observer reports."""
        return None

    @property
    def _weak_order(self) -> int:
        """Order of the model itself: a method below it spoils it."""
        return 1

    @property
    def _splits(self) -> bool:
        """Whether splittings of underdamped Langevin dynamics are the natural methods of weak order 2."""
        return False

    @property
    def _linear(self) -> bool:
        """Whether the drift is linear and the noise constant, so that exact steps exist."""
        return False

    @property
    def _reads_wiener(self) -> bool:
        """Whether its noise is made of the Wiener path, so that the law of the increments matters."""
        return True

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
