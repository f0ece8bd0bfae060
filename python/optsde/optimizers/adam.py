"""Adam, and AdamW with its decoupled weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import flag, nonnegative_number
from optsde.optimizers._adaptive import Adaptive, checked_ordering, decay_rate
from optsde.optimizers._base import Model
from optsde.optimizers._rates import LearningRate, learning_rate
from optsde.schedules import Schedule


def _pair(betas: Any) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas: expected a pair (beta1, beta2), got {betas!r}")
    return decay_rate("betas[0]", betas[0]), decay_rate("betas[1]", betas[1])


class _AdamLike(Adaptive):
    """What Adam and AdamW share."""

    betas: tuple[float, float]
    bias_correction: bool

    def _describe_self(
        self,
        lr: ArrayLike | Schedule,
        betas: Sequence[float],
        eps: float,
        weight_decay: float,
        bias_correction: bool,
        ordering: str,
    ) -> None:
        self._set(
            lr=learning_rate("lr", lr),
            betas=_pair(betas),
            eps=nonnegative_number("eps", eps),
            weight_decay=nonnegative_number("weight_decay", weight_decay),
            bias_correction=flag("bias_correction", bias_correction),
            ordering=checked_ordering(ordering),
        )

    def _betas(self) -> dict[str, float]:
        return {"beta1": self.betas[0], "beta2": self.betas[1]}

    def _with_betas(self, betas: dict[str, float], **changes: Any) -> Any:
        return self._with(betas=(betas["beta1"], betas["beta2"]), **changes)

    @property
    def _corrected(self) -> bool:
        return self.bias_correction

    def _offsets(self) -> tuple[float, float] | None:
        if not self.bias_correction:
            return None
        return (1.0, 1.0) if self.ordering == "fresh" else (2.0, 1.0)

    def _variables(self, form: str, regime: str | None) -> tuple[str, ...]:
        return ("theta", "m", "v")

    def _formula(self, model: Model) -> str:
        decayed = self.weight_decay > 0.0
        slope = "∇f + λ θ" if decayed and not self._decoupled else "∇f"
        if model._discrete:
            g = "r₁ g₁ + r₂ g₂" if model.form == "svag" else f"{slope.replace('∇f', '∇f(θ)')} + z"
            shrunk = "(1 - η λ) θ" if decayed and self._decoupled else "θ"
            new = "v'" if self.ordering == "fresh" else "v"
            power = "¹" if self.ordering == "fresh" else "²"
            hats = (f"m'/(1 - β₁ᵏ⁺{power})", f"{new}/(1 - β₂ᵏ⁺¹)") if self.bias_correction else ("m'", new)
            return (
                f"m' = β₁ m + (1 - β₁) g,  v' = β₂ v + (1 - β₂) g²,  θ' = {shrunk} - η m̂/(√v̂ + ε),  "
                f"m̂ = {hats[0]},  v̂ = {hats[1]},  g = {g},  Cov z = Σ(θ)/B"
            )
        noisy = model.form == "sde"
        ballistic = model.regime == "ballistic"
        target = "(∇f)² + diag Σ/B" if ballistic else "diag Σ/B"
        gamma = "Γ " if self.bias_correction else ""
        eps = "ε √γ₂" if self.bias_correction else "ε"
        unit = f"D = 1/(√v + {eps})" if ballistic else f"D = 1/(η (√v + {eps})), S in units of 1/η"
        p1 = "1" if self.ordering == "fresh" else "2"
        exact = f",  Γ = √γ₂/γ₁,  γ₁ = 1 - β₁^(t/τ + {p1}),  γ₂ = 1 - β₂^(t/τ + 1)"
        times = exact if self.bias_correction else ""
        pull = "λ" if ballistic else "(λ/η)"
        shrunk = f" - {pull} X dt" if decayed and self._decoupled else ""
        slope = slope.replace("∇f", "∇f(X)").replace("θ", "X")
        if model.order == 1:
            m = "(m + τ c₁ (∇f - m))" if self._lookahead(model) else "m"
            kick = f" + {'√τ ' if ballistic else ''}c₁ S(X) dW" if noisy else ""
            return (
                f"dX = -{gamma}D {m} dt{shrunk},  dm = c₁ ({slope} - m) dt{kick},  "
                f"dv = c₂ ({target} - v) dt,  {unit}{times},  S Sᵀ = Σ/B (Itô)"
            )
        kick = " + M(X, m, v) d(W, B)" if noisy else ""
        return (
            f"dX = [-{gamma}D m + τ b₁] dt,  dm = [c₁ (∇f - m) + τ b₁] dt,  "
            f"dv = [c₂ ({target} - v) + τ b₁] dt{kick},  {unit}{times} (Itô)"
        )


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Adam(_AdamLike):
    """Adam: running means of the gradient and of its square, one divided by the root of the other.

    Regimes: ``"ballistic"`` (default), t = k·lr, noise and (1 - beta)/lr fixed as lr falls; ``"batch_equivalent"``,
    t = k·lr², with lr²·Σ/B, lr·eps and (1 - beta)/lr² fixed.

    State ``m`` and ``v`` are ``torch``'s ``exp_avg`` and ``exp_avg_sq``, in the algorithm and its models. They start
    at 0; but for equations without bias correction ``v`` starts at ``grad² + diag Σ/B``. With bias correction compare
    from a fixed time > 0 on (``compare(start=k)``): near 0 no deterministic equation of v can be right. Equations of
    order 2 read v not below a floor (a thousandth of the noise's least variance, at least 1e-8 eps²);
    ``Ensemble.floor_touches`` counts the visits.

    Parameters
    ----------
    lr : float, (d,) array_like or Schedule
        Learning rate η, > 0.
    betas : (float, float)
        Decay of the running means, in [0, 1).
    eps : float
        Added to the root, >= 0.
    weight_decay : float
        An L2 penalty, added to the gradient.
    bias_correction : bool
        Whether the means are corrected for starting at 0.
    ordering : {"fresh", "lagged"}
        Whether the update divides by the new second moment, as ``torch`` does, or by the old one; then the first
        moment is corrected by ``1 - beta1^(k+2)`` in step k, as in the code of Callisti et al.

    Raises
    ------
    ValueError
        For hyperparameters outside their ranges.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    >>> optsde.Adam(lr=0.01, betas=(0.98, 0.99)).sde(problem, order=2).noise_kind
    'full'

    Source: Kingma and Ba (ICLR 2015); models of Malladi et al. (2022), Compagnoni et al. (2025) and Callisti, Romito
    and Triggiano (2025).
    """

    lr: LearningRate
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    bias_correction: bool
    ordering: str

    def __init__(
        self,
        lr: ArrayLike | Schedule = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        bias_correction: bool = True,
        ordering: str = "fresh",
    ) -> None:
        self._describe_self(lr, betas, eps, weight_decay, bias_correction, ordering)

    @property
    def _decoupled(self) -> bool:
        return False

    def _origin(self) -> str:
        return "Kingma, Ba: Adam: a method for stochastic optimization (ICLR 2015)"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class AdamW(_AdamLike):
    """Adam with decoupled weight decay: each step also takes ``lr · weight_decay`` of the parameters.

    Its ballistic equation of order 1 has the term ``lr c₁ (∇f - m)`` of Compagnoni et al. (2025), which accounts for
    the update taking the new first moment. All else is as in :class:`Adam`.

    Parameters
    ----------
    lr : float, (d,) array_like or Schedule
        Learning rate η, > 0.
    betas : (float, float)
        Decay of the running means, in [0, 1).
    eps : float
        Added to the root, >= 0.
    weight_decay : float
        λ >= 0.
    bias_correction : bool
        Whether the means are corrected for starting at 0.
    ordering : {"fresh", "lagged"}
        Whether the update divides by the new second moment, as ``torch`` does, or by the old one; then the first
        moment is corrected by ``1 - beta1^(k+2)`` in step k, as in the code of Callisti et al.

    Raises
    ------
    ValueError
        For hyperparameters outside their ranges.

    Examples
    --------
    >>> import optsde
    >>> optsde.AdamW(lr=0.01, weight_decay=0.1).rescaled(4).weight_decay
    0.2

    Source: Loshchilov and Hutter (ICLR 2019); models of Malladi et al. (2022) and Compagnoni et al. (2025).
    """

    lr: LearningRate
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    bias_correction: bool
    ordering: str

    def __init__(
        self,
        lr: ArrayLike | Schedule = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        bias_correction: bool = True,
        ordering: str = "fresh",
    ) -> None:
        self._describe_self(lr, betas, eps, weight_decay, bias_correction, ordering)

    @property
    def _decoupled(self) -> bool:
        return True

    def _lookahead(self, model: Model) -> bool:
        # Without noise the second moment starts at 0, which the term would divide by.
        return model.form == "sde" and model.order == 1 and model.regime == "ballistic"

    def _origin(self) -> str:
        return "Loshchilov, Hutter: Decoupled weight decay regularization (ICLR 2019)"
