"""SignSGD."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import positive_number
from optsde.noise import AffineDiagonal, Gaussian, LossScaled, Zero
from optsde.optimizers._base import Model, Optimizer, Order
from optsde.optimizers._rates import LearningRate, learning_rate, peak, scaled
from optsde.optimizers._scaling import checked_rule, noise_times
from optsde.problem import Problem
from optsde.schedules import Schedule

_SOURCE = "Compagnoni, Liu, Islamov, Proske, Orvieto, Lucchi: Adaptive methods through the lens of SDEs (ICLR 2025)"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SignSGD(Optimizer):
    """SignSGD: every coordinate moves by the learning rate, against the sign of its gradient.

    Regimes: ``"ballistic"`` (default), t = k·lr; ``"batch_equivalent"``, t = k·lr², for signals that are small beside
    the noise. The equations are of Gaussian noise without correlations. With a constant lr the iterates live on the
    lattice θ₀ + lr·Z, the equations do not.

    Parameters
    ----------
    lr : float, (d,) array_like or Schedule
        Learning rate η, > 0.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(0.25))
    >>> optsde.SignSGD(lr=0.05).sde(problem).noise_kind
    'diagonal'

    Source: Bernstein et al. (ICML 2018); models of Compagnoni et al. (2025).
    """

    lr: LearningRate

    def __init__(self, lr: ArrayLike | Schedule = 1e-3) -> None:
        self._set(lr=learning_rate("lr", lr))

    def _regimes(self) -> tuple[str, ...]:
        return ("ballistic", "batch_equivalent")

    def _orders(self) -> tuple[Order, ...]:
        return (1,)

    def _clock(self, regime: str | None) -> float:
        top = peak(self.lr)
        return top * top if regime == "batch_equivalent" else top

    def _clock_text(self, regime: str | None) -> str:
        return "t = k η²" if regime == "batch_equivalent" else "t = k η"

    def _variables(self, form: str, regime: str | None) -> tuple[str, ...]:
        return ("theta",)

    def _check_order(self, problem: Problem, order: Order, regime: str | None) -> None:
        raise ValueError(f"order: SignSGD has equations of order 1 only, got {order!r}")

    def sde(self, problem: Problem, order: Order = 1, regime: str | None = None) -> Model:
        """The stochastic equation; see :meth:`Optimizer.sde`. ValueError where the noise is correlated."""
        self._check_problem(problem)
        noise = problem.noise
        plain = isinstance(noise, (AffineDiagonal, Gaussian, LossScaled, Zero))
        if not plain or getattr(noise, "cov", np.zeros(())).ndim == 2:
            raise ValueError(
                f"noise: SignSGD's equation is of Gaussian noise without correlations (a scalar or a vector as "
                f"covariance), got {noise!r}"
            )
        if isinstance(noise, Zero) and regime == "batch_equivalent":
            raise ValueError("regime: 'batch_equivalent' is of signals small beside the noise, and there is none")
        return super().sde(problem, order, regime)

    def _native(self, model: Model) -> dict[str, Any]:
        if model._discrete:
            return {"kind": "sign_algorithm", "l2": 0.0, "variance": 1.0}
        return {"kind": "sign_sde", "l2": 0.0, "regime": model.regime}

    def _formula(self, model: Model) -> str:
        if model._discrete:
            return "θ' = θ - η sign(g),  g = ∇f(θ) + z,  Cov z = Σ(θ)/B"
        if model.form == "flow":
            return "dX = -sign(∇f(X)) dt"
        if model.regime == "batch_equivalent":
            return "dX = -√(2/π) ∇f/(η s) dt - dW,  s² = diag Σ/B (Itô)"
        return "dX = -erf(∇f/(√2 s)) dt - √η √(1 - erf²) dW,  s² = diag Σ/B (Itô)"

    def _constants(self, model: Model) -> dict[str, float | str]:
        return {}

    def _valid(self, model: Model) -> str:
        if model._discrete:
            return "the algorithm itself"
        if model.regime == "batch_equivalent":
            return "weak order 1 in η² for signals ∇f of the order η s"
        return "weak order 1 in η"

    def _source(self, model: Model) -> str:
        if model._discrete:
            return "Bernstein, Wang, Azizzadenesheli, Anandkumar: signSGD (ICML 2018)"
        return _SOURCE

    def _check_svag(self) -> None:
        raise ValueError("svag: there is no SVAG of SignSGD: its step does not depend on the size of the noise")

    def rescaled(self, batch_factor: float, rule: str | None = None) -> SignSGD:
        """The rate for batches ``batch_factor`` times as large: lr → √κ lr, for signals small beside the noise.

        Parameters
        ----------
        batch_factor : float
            κ > 0. Take 1/κ as many steps.
        rule : {"square_root"}, optional

        Returns
        -------
        SignSGD
        """
        kappa = positive_number("batch_factor", batch_factor)
        checked_rule(rule, ("square_root",))
        return self._with(lr=scaled(self.lr, math.sqrt(kappa)))  # type: ignore[no-any-return]

    def _at(self, eta: float, problem: Problem, regime: str | None) -> tuple[SignSGD, Problem]:
        ratio = eta / peak(self.lr)
        moved = self._with(lr=scaled(self.lr, ratio))
        return moved, noise_times(problem, 1.0 / ratio**2) if regime == "batch_equivalent" else problem
