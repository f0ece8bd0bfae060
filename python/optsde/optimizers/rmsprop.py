"""RMSprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import nonnegative_number
from optsde.optimizers._adaptive import Adaptive, checked_ordering, decay_rate
from optsde.optimizers._base import Model, Order
from optsde.optimizers._rates import LearningRate, learning_rate
from optsde.problem import Problem
from optsde.schedules import Schedule


@dataclass(frozen=True, init=False, eq=False, repr=False)
class RMSprop(Adaptive):
    """RMSprop: the gradient divided by the root of a running mean of its square.

    Regimes: ``"ballistic"`` (default), t = k·lr, noise and (1 - alpha)/lr fixed as lr falls; ``"batch_equivalent"``,
    t = k·lr², with lr²·Σ/B, lr·eps and (1 - alpha)/lr² fixed.

    State ``v`` is ``torch``'s ``square_avg``, in the algorithm and its models; the algorithm starts it at 0, the
    equations, which need it positive, at ``grad² + diag Σ/B``. Equations of order 2 read it not below a floor (a
    thousandth of the noise's least variance, at least 1e-8 eps²); ``Ensemble.floor_touches`` counts the visits.

    Parameters
    ----------
    lr : float, (d,) array_like or Schedule
        Learning rate η, > 0.
    alpha : float in [0, 1)
        Decay of the running mean.
    eps : float
        Added to the root, >= 0.
    weight_decay : float
        An L2 penalty, added to the gradient.
    ordering : {"fresh", "lagged"}
        Whether the update divides by the new mean, as ``torch`` does, or by the old one, as most of the SDE
        literature.

    Raises
    ------
    ValueError
        For hyperparameters outside their ranges.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    >>> optsde.RMSprop(lr=0.01).sde(problem).state
    {'theta': (2,), 'v': (2,)}

    Source: Tieleman and Hinton, COURSERA lecture 6.5 (2012); models of Malladi et al. (2022), Compagnoni et al.
    (2025) and Callisti, Romito and Triggiano (2025).
    """

    lr: LearningRate
    alpha: float
    eps: float
    weight_decay: float
    ordering: str

    def __init__(
        self,
        lr: ArrayLike | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        ordering: str = "fresh",
    ) -> None:
        self._set(
            lr=learning_rate("lr", lr),
            alpha=decay_rate("alpha", alpha),
            eps=nonnegative_number("eps", eps),
            weight_decay=nonnegative_number("weight_decay", weight_decay),
            ordering=checked_ordering(ordering),
        )

    def _betas(self) -> dict[str, float]:
        return {"alpha": self.alpha}

    def _with_betas(self, betas: dict[str, float], **changes: Any) -> RMSprop:
        return self._with(alpha=betas["alpha"], **changes)  # type: ignore[no-any-return]

    @property
    def _decoupled(self) -> bool:
        return False

    @property
    def _corrected(self) -> bool:
        return False

    def _check_order(self, problem: Problem, order: Order, regime: str | None) -> None:
        super()._check_order(problem, order, regime)
        if order == "corrected":
            problem.loss._require("third", f"sde(order={order!r})")

    def _variables(self, form: str, regime: str | None) -> tuple[str, ...]:
        return ("theta", "v")

    def _origin(self) -> str:
        return "Tieleman, Hinton: Lecture 6.5 - RMSprop (COURSERA: Neural Networks for Machine Learning, 2012)"

    def _formula(self, model: Model) -> str:
        slope = "∇f + λ θ" if self.weight_decay > 0.0 else "∇f"
        if model._discrete:
            g = "r₁ g₁ + r₂ g₂" if model.form == "svag" else f"{slope.replace('∇f', '∇f(θ)')} + z"
            new = "v'" if self.ordering == "fresh" else "v"
            return f"v' = β v + (1 - β) g²,  θ' = θ - η g/(√{new} + ε),  g = {g},  Cov z = Σ(θ)/B"
        noisy = model.form == "sde"
        target = "(∇f)² + diag Σ/B" if model.regime == "ballistic" else "diag Σ/B"
        root = "√τ " if model.regime == "ballistic" else ""
        unit = "D = 1/(√v + ε)" if model.regime == "ballistic" else "D = 1/(η (√v + ε)), S in units of 1/η"
        if model.order == 1:
            kick = f" - {root}D S(X) dW" if noisy else ""
            pull = "(∇f(X) + λ X)" if self.weight_decay > 0.0 else "∇f(X)"
            return f"dX = -D {pull} dt{kick},  dv = c ({target} - v) dt,  {unit},  S Sᵀ = Σ/B (Itô)"
        kick = " + M(X, v) d(W, B)" if noisy else ""
        return f"dX = [-D ∇f + τ b₁] dt,  dv = [c ({target} - v) + τ b₁] dt{kick},  {unit} (Itô)"
