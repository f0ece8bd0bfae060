"""What RMSprop, Adam and AdamW share: regimes, the constants of their equations, and the unit of the second moment."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from optsde._arrays import FloatArray, as_vector, frozen, positive_number, real_number
from optsde.losses import Function
from optsde.noise import AffineDiagonal, Gaussian, LossScaled, Minibatch, StudentT
from optsde.optimizers._base import Model, Optimizer, Order
from optsde.optimizers._rates import is_smooth, peak, scaled
from optsde.optimizers._scaling import checked_rule, noise_times, scaled_beta
from optsde.problem import Problem

ORDERINGS = ("fresh", "lagged")
# The floor of a second moment whose noise may carry it below zero: this share of the noise's least variance.
_FLOOR_SHARE = 1e-3
# The least root of a second moment as a share of eps: there it no longer matters beside eps.
_BESIDE_EPS = 1e-4

MALLADI = (
    "Malladi, Lyu, Panigrahi, Arora: On the SDEs and scaling rules for adaptive gradient algorithms (NeurIPS 2022)"
)
COMPAGNONI = "Compagnoni, Liu, Islamov, Proske, Orvieto, Lucchi: Adaptive methods through the lens of SDEs (ICLR 2025)"
CALLISTI = (
    "Callisti, Romito, Triggiano: Effective continuous equations for adaptive SGD: a stochastic analysis view "
    "(arXiv:2509.21614, 2025), with the one-step expansion done anew"
)


def decay_rate(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    beta = real_number(name, value)
    if not 0.0 <= beta < 1.0:
        raise ValueError(f"{name}: expected a number in [0, 1), got {beta:g}")
    return beta


def checked_ordering(value: Any) -> str:
    """Which second moment enters the update."""
    if value not in ORDERINGS:
        raise ValueError(f"ordering: expected 'fresh' or 'lagged', got {value!r}")
    return str(value)


class Adaptive(Optimizer):
    """An optimizer that divides by the root of a running mean of the squared gradient."""

    eps: float
    weight_decay: float
    ordering: str

    @abstractmethod
    def _betas(self) -> dict[str, float]:
        """The decay rates of the averages, by their names; the second moment's last."""

    @property
    @abstractmethod
    def _decoupled(self) -> bool:
        """Whether the decay is decoupled."""

    @property
    @abstractmethod
    def _corrected(self) -> bool:
        """Whether averages are corrected for starting at 0."""

    @abstractmethod
    def _with_betas(self, betas: dict[str, float], **changes: Any) -> Any:
        """The same optimizer with other decay rates."""

    def _has_second_moment(self) -> bool:
        return True

    def _largest_first_step(self) -> float:
        if self.ordering == "fresh":
            return 0.0
        return peak(self.lr) / self.eps if self.eps > 0.0 else math.inf

    def _regimes(self) -> tuple[str, ...]:
        return ("ballistic", "batch_equivalent")

    def _orders(self) -> tuple[Order, ...]:
        return (1, 2, "corrected")

    def _clock(self, regime: str | None) -> float:
        top = peak(self.lr)
        return top * top if regime == "batch_equivalent" else top

    def _clock_text(self, regime: str | None) -> str:
        return "t = k η²" if regime == "batch_equivalent" else "t = k η"

    def _svag_regime(self) -> str | None:
        return "batch_equivalent"

    def _svag_steps(self, l: int) -> int:
        return l * l

    def _check_svag(self) -> None:
        if self.weight_decay > 0.0 and not self._decoupled:
            raise ValueError("weight_decay: SVAG of adaptive methods is known with decoupled decay only")

    def _check_order(self, problem: Problem, order: Order, regime: str | None) -> None:
        if order == 2 and regime == "batch_equivalent":
            raise ValueError(
                "order: in the regime 'batch_equivalent' no diffusion has weak order 2: one step has a third cumulant "
                "of parameters and second moment, no diffusion has one. order='corrected' gives the equation that "
                "matches means and covariances; the regime 'ballistic' has order 2"
            )
        if order == "corrected" and regime == "ballistic":
            raise ValueError("order: 'corrected' is of the regime 'batch_equivalent'; in 'ballistic' take order=2")
        if isinstance(problem.noise, Minibatch) and isinstance(problem.loss, Function):
            raise ValueError(
                "order: equations beyond order 1 need derivatives of the examples' gradients, which losses.Function "
                "does not have; the built-in losses over data do"
            )
        if isinstance(problem.noise, StudentT) and problem.noise.df <= 4.0:
            raise ValueError(
                f"order: the equations beyond order 1 need the fourth moments of the noise, and Student's law has them "
                f"with more than 4 degrees of freedom only, got df={problem.noise.df:g}"
            )
        if self.weight_decay > 0.0:
            raise ValueError(
                "order: the equations beyond order 1 are derived without weight decay; put the penalty into the loss"
            )
        if not is_smooth(self.lr):
            raise ValueError("order: the equations beyond order 1 need a schedule without jumps, and this one jumps")

    def _starts_at_gradient(self, model: Model) -> bool:
        return not model._discrete and not self._corrected

    def _floor(self, model: Model) -> FloatArray:
        """Where the equations read a second moment that noise has carried below zero."""
        problem = model.problem
        noise, dim = problem.noise, problem.dim
        least = np.zeros(dim)
        if model.order == 1:
            return frozen(least)  # no noise drives it: it stays positive
        if isinstance(noise, (Gaussian, StudentT)):
            least = np.diag(noise.cov) if noise.cov.ndim == 2 else as_vector(noise.cov, dim)
        elif isinstance(noise, AffineDiagonal):
            least = as_vector(noise.base, dim)
        elif isinstance(noise, LossScaled):
            cov = np.diag(noise.cov) if noise.cov.ndim == 2 else as_vector(noise.cov, dim)
            least = max(noise.floor, 0.0) * cov
        return frozen(np.maximum(_FLOOR_SHARE * least / problem.batch_size, (_BESIDE_EPS * self.eps) ** 2 + 1e-300))

    def _rates_of_time(self, regime: str | None) -> dict[str, float]:
        """``c = (1 - β)/τ`` of each average, by the names of the betas."""
        tau = self._clock(regime)
        return {name: (1.0 - beta) / tau for name, beta in self._betas().items()}

    def _native(self, model: Model) -> dict[str, Any]:
        betas = self._betas()
        l2 = 0.0 if self._decoupled else self.weight_decay
        decay = self.weight_decay if self._decoupled else 0.0
        if model._discrete:
            l = float(model.l)
            shrunk = {name: 1.0 - (1.0 - beta) / l**2 for name, beta in betas.items()}
            return {
                "kind": "adaptive_algorithm",
                "l2": l2,
                "variance": l * l,
                # A step of lr/l over l (√v + ε): the second moment is kept in the original's unit, its l²-th part.
                "step_scale": 1.0 / l**2,
                "square": 1.0 / l**2,
                "decay": decay,
                "betas": list(shrunk.values()),
                "offsets": self._offsets(),
                "eps": self.eps,
                "fresh": self.ordering == "fresh",
            }
        tau = self._clock(model.regime)
        rates = self._rates_of_time(model.regime)
        return {
            "kind": "adam_sde" if len(betas) == 2 else "rmsprop_sde",
            "l2": l2,
            # Each step takes η λ of the parameters, and τ of time.
            "decay": decay * peak(self.lr) / tau,
            "tau": tau,
            "rates": list(rates.values()),
            "offsets": self._offsets(),
            "eps": self.eps,
            "ordering": self.ordering,
            "order": model.order,
            "regime": model.regime,
            "lookahead": self._lookahead(model),
            "floor": self._floor(model),
        }

    def _offsets(self) -> tuple[float, float] | None:
        """``p₁, p₂`` of the bias corrections ``1 - βᵢ^(k + pᵢ)`` in step k; None where there are none."""
        return None

    def _lookahead(self, model: Model) -> bool:
        return False

    def _constants(self, model: Model) -> dict[str, float | str]:
        numbers: dict[str, float | str] = {}
        if model._discrete:
            numbers |= {"β" if len(self._betas()) == 1 else name: beta for name, beta in self._betas().items()}
        else:
            numbers |= {
                name.replace("beta", "c").replace("alpha", "c"): c
                for name, c in self._rates_of_time(model.regime).items()
            }
        numbers["ε"] = self.eps
        if self.weight_decay > 0.0:
            numbers["λ"] = self.weight_decay
        if model.form != "discrete":
            numbers["τ"] = self._clock(model.regime)
        return numbers

    def _valid(self, model: Model) -> str:
        if model.form == "discrete":
            return "the algorithm itself"
        if model.form == "svag":
            return "a discrete algorithm within O(η²/l²) of the batch-equivalent SDE of order 1"
        late = "; from a fixed time t > 0 on, when the bias corrections have settled" if self._corrected else ""
        if model.regime == "ballistic":
            return f"weak order {model.order} in η, for noise and (1 - β)/η fixed as η falls{late}"
        base = "for η² Σ/B, η ε and (1 - β)/η² fixed as η falls, and noise without skewness"
        if model.order == "corrected":
            return (
                f"matches means and covariances of a step at order 2, {base}; weak order 1 in general: expectations "
                f"that mix parameters (or momentum) with the second moment, and all of θ where the preconditioner "
                f"varies, converge at order 1 in η²{late}"
            )
        return f"weak order 1 in η², {base}{late}"

    def _source(self, model: Model) -> str:
        if model.form == "svag" or (model.regime == "batch_equivalent" and model.order == 1 and not model._discrete):
            return MALLADI
        if model._discrete:
            return self._origin()
        return COMPAGNONI if model.order == 1 else CALLISTI

    @abstractmethod
    def _origin(self) -> str:
        """Where the algorithm comes from."""

    def rescaled(self, batch_factor: float, rule: str | None = None) -> Any:
        """Hyperparameters for batches ``batch_factor`` times as large, by the square-root rule.

        Parameters
        ----------
        batch_factor : float
            κ > 0. Take 1/κ as many steps.
        rule : {"square_root"}, optional
            lr → √κ lr, 1 - β → κ (1 - β), eps → eps/√κ, decoupled decay → √κ λ: this keeps ``lr/√B``, ``eps·lr``,
            ``(1 - β)/lr²`` and ``λ/lr``, hence the batch-equivalent SDE in the time k·lr².

        Returns
        -------
        Optimizer

        Raises
        ------
        ValueError
            Where κ (1 - β) reaches 1.

        Source: Malladi et al. (2022).
        """
        kappa = positive_number("batch_factor", batch_factor)
        checked_rule(rule, ("square_root",))
        root = math.sqrt(kappa)
        betas = {name: scaled_beta(name, beta, kappa) for name, beta in self._betas().items()}
        decay = self.weight_decay * (root if self._decoupled else 1.0)
        return self._with_betas(betas, lr=scaled(self.lr, root), eps=self.eps / root, weight_decay=decay)

    def _at(self, eta: float, problem: Problem, regime: str | None) -> tuple[Any, Problem]:
        ratio = eta / peak(self.lr)
        lr = scaled(self.lr, ratio)
        share = ratio * ratio if regime == "batch_equivalent" else ratio
        betas = {name: 1.0 - share * (1.0 - beta) for name, beta in self._betas().items()}
        if min(betas.values()) <= 0.0:
            raise ValueError(f"eta: 1 - beta grows with eta and would pass 1, got eta = {eta:g}")
        if regime != "batch_equivalent":
            return self._with_betas(betas, lr=lr), problem
        decay = self.weight_decay * (ratio if self._decoupled else 1.0)
        return (
            self._with_betas(betas, lr=lr, eps=self.eps / ratio, weight_decay=decay),
            noise_times(problem, 1.0 / ratio**2),
        )
