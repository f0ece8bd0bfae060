"""Sharpness-aware minimisation: SAM, USAM and DNSAM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import as_vector, covariance, frozen, nonnegative_number, positive_number
from optsde.losses import Quadratic
from optsde.noise import Gaussian, Zero
from optsde.optimizers._base import Model, Optimizer, Order
from optsde.optimizers._rates import LearningRate, learning_rate, peak, scaled
from optsde.optimizers._scaling import checked_rule
from optsde.problem import Problem
from optsde.schedules import Schedule

VARIANTS = ("sam", "usam", "dnsam")
_SOURCE = "Compagnoni, Biggio, Orvieto, Proske, Kersting, Lucchi: An SDE for modeling SAM (ICML 2023)"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SAM(Optimizer):
    """Sharpness-aware minimisation: the gradient is taken at ``θ + rho · g/n``, with the same sample as g.

    Parameters
    ----------
    lr : float, (d,) array_like or Schedule
        Learning rate η, > 0.
    rho : float
        Length of the step uphill, >= 0.
    variant : {"sam", "usam", "dnsam"}
        What divides it: the norm of the stochastic gradient; nothing; the norm of the full gradient.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0))
    >>> optsde.SAM(lr=0.1, rho=0.15, variant="usam").sde(problem).noise_kind
    'additive_full'

    Source: Foret et al. (ICLR 2021); models of Compagnoni et al. (2023).
    """

    lr: LearningRate
    rho: float
    variant: str

    def __init__(self, lr: ArrayLike | Schedule, rho: float, variant: str = "sam") -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {', '.join(map(repr, VARIANTS))}, got {variant!r}")
        self._set(lr=learning_rate("lr", lr), rho=nonnegative_number("rho", rho), variant=variant)

    def _title(self) -> str:
        return self.variant.upper()

    def _regimes(self) -> tuple[str, ...]:
        return ()

    def _orders(self) -> tuple[Order, ...]:
        return (1,)

    def _clock(self, regime: str | None) -> float:
        return peak(self.lr)

    def _clock_text(self, regime: str | None) -> str:
        return "t = k η"

    def _variables(self, form: str, regime: str | None) -> tuple[str, ...]:
        return ("theta",)

    def _check_order(self, problem: Problem, order: Order, regime: str | None) -> None:
        raise ValueError(f"order: {self._title()} has equations of order 1 only, got {order!r}")

    def sde(self, problem: Problem, order: Order = 1, regime: str | None = None) -> Model:
        """The stochastic equation of USAM on a quadratic loss with constant noise; see :meth:`Optimizer.sde`.

        Raises
        ------
        ValueError
            For SAM and DNSAM, whose published equations could not be checked; for other problems, whose noise term
            needs a matrix root at every point; and for a rho so large that the noise has a negative variance.
        """
        self._check_problem(problem)
        if self.variant != "usam":
            raise ValueError(
                f"variant: the equation of {self._title()} is published but not verified here; only that of 'usam' is"
            )
        if not isinstance(problem.loss, Quadratic) or not isinstance(problem.noise, (Gaussian, Zero)):
            raise ValueError("problem: USAM's equation is available for quadratic losses with constant Gaussian noise")
        if not isinstance(self.lr, float):
            raise ValueError("lr: USAM's equation is available for one constant learning rate")
        if isinstance(problem.noise, Gaussian):
            covariance("rho: the noise Σ + ρ (Σ H + H Σ) of USAM's equation", self._noise_cov(problem))
        return super().sde(problem, order, regime)

    def flow(self, problem: Problem, order: int = 1) -> Model:
        """The flow of USAM, ``-∇f - ρ H ∇f``; see :meth:`Optimizer.flow`."""
        if self.variant != "usam":
            raise ValueError(f"variant: only the flow of 'usam' is smooth, got {self.variant!r}")
        problem.loss._require("hessian", "the flow of USAM")
        return super().flow(problem, order)

    def _noise_cov(self, problem: Problem) -> Any:
        """``Σ + ρ (Σ H + H Σ)``."""
        loss, noise = problem.loss, problem.noise
        assert isinstance(loss, Quadratic)
        assert isinstance(noise, Gaussian)
        hessian = loss.H if loss.H.ndim == 2 else np.diag(as_vector(loss.H, loss.dim))
        cov = noise.cov if noise.cov.ndim == 2 else np.diag(as_vector(noise.cov, loss.dim))
        return frozen(np.ascontiguousarray(cov + self.rho * (cov @ hessian + hessian @ cov)))

    def _native(self, model: Model) -> dict[str, Any]:
        if model._discrete:
            return {"kind": "sam_algorithm", "l2": 0.0, "variance": 1.0, "rho": self.rho, "ascent": self.variant}
        noisy = model.form == "sde" and isinstance(model.problem.noise, Gaussian)
        cov = self._noise_cov(model.problem) if noisy else None
        return {"kind": "usam_sde", "l2": 0.0, "decay": 0.0, "rho": self.rho, "cov": cov}

    def _formula(self, model: Model) -> str:
        if model._discrete:
            norm = {"sam": "/|g(θ)|", "usam": "", "dnsam": "/|∇f(θ)|"}[self.variant]
            return f"θ' = θ - η g(θ + ρ g(θ){norm}),  g = ∇f + z,  Cov z = Σ/B"
        kick = " - √η (Σ + ρ (Σ H + H Σ))^½/√B dW (Itô)" if model.form == "sde" else ""
        return f"dX = -(∇f + ρ H ∇f)(X) dt{kick}"

    def _constants(self, model: Model) -> dict[str, float | str]:
        return {"ρ": self.rho}

    def _valid(self, model: Model) -> str:
        return "the algorithm itself" if model._discrete else "weak order 1 in η, for ρ of the order √η"

    def _source(self, model: Model) -> str:
        if model._discrete:
            return "Foret, Kleiner, Mobahi, Neyshabur: Sharpness-aware minimization (ICLR 2021)"
        return _SOURCE

    def _has_equations(self) -> bool:
        return self.variant == "usam"

    def _check_svag(self) -> None:
        raise ValueError("svag: no SVAG of SAM is known")

    def rescaled(self, batch_factor: float, rule: str | None = None) -> SAM:
        """The linear rule of SGD for rho of the order of lr; see :meth:`SGD.rescaled`. rho is kept."""
        kappa = positive_number("batch_factor", batch_factor)
        checked_rule(rule, ("linear",))
        return self._with(lr=scaled(self.lr, kappa))  # type: ignore[no-any-return]

    def _at(self, eta: float, problem: Problem, regime: str | None) -> tuple[SAM, Problem]:
        ratio = eta / peak(self.lr)
        moved = self._with(lr=scaled(self.lr, ratio), rho=self.rho * math.sqrt(ratio))
        return moved, problem
