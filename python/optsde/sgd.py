"""Stochastic gradient descent and its continuous-time models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from optsde._arrays import integer, positive_number
from optsde._description import Description
from optsde.dynamics import Dynamics, problem_uses_compiled
from optsde.losses import Loss, Quadratic
from optsde.noise import Gaussian, Zero
from optsde.problem import Problem

_SOURCE = (
    "Li, Tai, E: Stochastic modified equations and adaptive stochastic gradient algorithms (ICML 2017); "
    "Stochastic modified equations and dynamics of stochastic gradient algorithms I (JMLR 20, 2019)"
)
_FLOW_SOURCE = "Barrett, Dherin: Implicit gradient regularization (ICLR 2021); Li, Tai, E (ICML 2017)"


class _OfProblem(Dynamics):
    """What the algorithm and its equation share: a problem, a learning rate and the clock t = k·lr."""

    problem: Problem
    lr: float

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of parameters."""
        return self.problem.dim

    @property
    def time_per_step(self) -> float:
        """Time of one optimizer step: lr."""
        return self.lr

    @property
    def _loss(self) -> Loss:
        return self.problem.loss

    @property
    def _uses_compiled(self) -> bool:
        return problem_uses_compiled(self.problem)

    @property
    def _declared_kind(self) -> tuple[str, str, dict[str, Any]] | None:
        kind = self.problem.noise._declared_kind
        return None if kind is None else ("noise", kind, self._named("sgd_sde"))

    def _named(self, kind: str) -> dict[str, Any]:
        return {"kind": kind, "lr": self.lr} | self.problem._spec()

    def _numbers(self) -> str:
        parts = f"f: {type(self.problem.loss).__name__}, Σ: {type(self.problem.noise).__name__}"
        return f"{parts}, η = {self.lr:g}, B = {self.problem.batch_size}, d = {self.dim}"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SGDAlgorithm(_OfProblem):
    """SGD itself, with Gaussian gradient noise: ``θ ← θ - η (∇f(θ) + z)``, ``Cov z = Σ(θ)/B``.

    Made by ``SGD.discrete``.
    """

    problem: Problem
    lr: float
    _discrete: ClassVar[bool] = True

    def __init__(self, problem: Problem, lr: float) -> None:
        self._set(problem=problem, lr=lr)

    def _spec(self) -> dict[str, Any]:
        return self._named("sgd_discrete")

    def _equation(self) -> str:
        return f"SGD: θ' = θ - η (∇f(θ) + z),  Cov z = Σ(θ)/B;  {self._numbers()}, t = k η"

    def _validity(self) -> str:
        return "the algorithm itself, with Gaussian gradient noise"

    def citation(self) -> str:
        """Where the algorithm comes from."""
        return "Robbins, Monro: A stochastic approximation method (Annals of Mathematical Statistics 22, 1951)"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SGDEquation(_OfProblem):
    """SGD's stochastic modified equation of order 1: ``dX = -∇f dt - √η S dW``, ``S Sᵀ = Σ/B``. Made by ``SGD.sde``."""

    problem: Problem
    lr: float

    def __init__(self, problem: Problem, lr: float) -> None:
        self._set(problem=problem, lr=lr)

    def _spec(self) -> dict[str, Any]:
        return self._named("sgd_sde")

    def _equation(self) -> str:
        return f"SGD's SDE, order 1: dX = -∇f(X) dt - √η S(X) dW,  S Sᵀ = Σ/B (Itô);  {self._numbers()}, t = k η"

    def _validity(self) -> str:
        return (
            "weak order 1 in η on finite times; stable for every η, so useless beyond the edge of stability η λ_max = 2"
        )

    def citation(self) -> str:
        """Where the equation comes from."""
        return _SOURCE

    @property
    def _linear(self) -> bool:
        return isinstance(self.problem.loss, Quadratic) and isinstance(self.problem.noise, (Gaussian, Zero))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class GradientFlow(Dynamics):
    """Gradient flow, plain (order 1) or with the backward-error term (order 2). Made by ``SGD.flow``."""

    loss: Loss
    lr: float
    order: int

    def __init__(self, loss: Loss, lr: float, order: int) -> None:
        self._set(loss=loss, lr=lr, order=order)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of parameters."""
        return self.loss.dim

    @property
    def time_per_step(self) -> float:
        """Time of one optimizer step: lr."""
        return self.lr

    def _spec(self) -> dict[str, Any]:
        return {"kind": "gradient_flow", "loss": self.loss._spec(), "lr": self.lr, "order": self.order}

    def _equation(self) -> str:
        right = "-∇f(X)" if self.order == 1 else "-(∇f + (η/2) H ∇f)(X)"
        numbers = f"f: {type(self.loss).__name__}, η = {self.lr:g}, d = {self.dim}, t = k η"
        return f"gradient flow, order {self.order}: dX/dt = {right};  {numbers}"

    def _validity(self) -> str:
        return f"error O(η^{self.order}) on finite times against gradient descent" if self.order > 1 else "error O(η)"

    def citation(self) -> str:
        """Where the equation comes from."""
        return _FLOW_SOURCE

    @property
    def _loss(self) -> Loss:
        return self.loss

    @property
    def _weak_order(self) -> int:
        return self.order

    @property
    def _uses_compiled(self) -> bool:
        return problem_uses_compiled(Problem(self.loss, Zero()))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SGD(Description):
    """Stochastic gradient descent: one object for the algorithm and its models.

    Parameters
    ----------
    lr : float
        Learning rate η, > 0, constant.

    Examples
    --------
    >>> import optsde
    >>> opt = optsde.SGD(lr=0.1)
    >>> problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    >>> opt.sde(problem).time_per_step
    0.1

    Source: Robbins and Monro (1951); models of Li, Tai and E (2017, 2019).
    """

    lr: float

    def __init__(self, lr: ArrayLike) -> None:
        self._set(lr=positive_number("lr", lr))

    def discrete(self, problem: Problem, regime: str | None = None) -> SGDAlgorithm:
        """The algorithm itself.

        Parameters
        ----------
        problem : Problem
        regime : None
            SGD has one clock, t = k·lr.
        """
        _check(problem, regime)
        return SGDAlgorithm(problem, self.lr)

    def sde(self, problem: Problem, order: int = 1, regime: str | None = None) -> SGDEquation:
        """The stochastic modified equation.

        Parameters
        ----------
        problem : Problem
        order : int
            Weak order; 1.
        regime : None
            SGD has one clock, t = k·lr.

        Raises
        ------
        ValueError
            For another order.
        """
        _check(problem, regime)
        if order not in (1,) or isinstance(order, bool):
            raise ValueError(f"order: SGD's SDE is available in order 1 only, got {order!r}")
        return SGDEquation(problem, self.lr)

    def flow(self, problem: Problem, order: int = 1) -> GradientFlow:
        """The gradient flow, noise off.

        Parameters
        ----------
        problem : Problem
        order : {1, 2}
            2 adds the backward-error term ``-(η/2) H ∇f``.

        Raises
        ------
        ValueError
            For another order, or order 2 of a loss without Hessian.
        """
        _check(problem, None)
        if integer("order", order, 1, 2) == 2:
            problem.loss._require("hessian", "flow(order=2)")
        return GradientFlow(problem.loss, self.lr, order)


def _check(problem: Any, regime: Any) -> None:
    if not isinstance(problem, Problem):
        raise TypeError(f"problem: expected an optsde.Problem, got {type(problem).__name__}")
    if regime is not None:
        raise ValueError(f"regime: SGD has one clock, t = k·lr; expected None, got {regime!r}")
