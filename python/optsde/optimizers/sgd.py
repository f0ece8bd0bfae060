"""Stochastic gradient descent: plain, with heavy-ball or Nesterov momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import flag, nonnegative_number, positive_number, real_number
from optsde.losses import Quadratic
from optsde.noise import Gaussian, StudentT, Zero
from optsde.optimizers._base import Model, Optimizer, Order
from optsde.optimizers._rates import LearningRate, is_smooth, learning_rate, peak, scaled
from optsde.optimizers._scaling import checked_rule, scaled_beta
from optsde.problem import Problem
from optsde.schedules import Nesterov, Schedule

_LI_TAI_E = (
    "Li, Tai, E: Stochastic modified equations and adaptive stochastic gradient algorithms (ICML 2017); "
    "Stochastic modified equations and dynamics of stochastic gradient algorithms I (JMLR 20, 2019)"
)
_LEVY = (
    "Simsekli, Sagun, Gurbuzbalaban: A tail-index analysis of stochastic gradient noise in deep neural networks "
    "(ICML 2019)"
)
_FLOW = "Barrett, Dherin: Implicit gradient regularization (ICLR 2021); Li, Tai, E (ICML 2017)"
_SU = "Su, Boyd, Candes: A differential equation for modeling Nesterov's accelerated gradient method (NeurIPS 2014)"
_WANG = (
    "Wang, Malladi, Wang, Lyu, Li: The marginal value of momentum for small learning rate SGD (ICLR 2024); "
    "Li, Tai, E (JMLR 20, 2019)"
)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: one object for the algorithm and its models.

    Without momentum the clock is t = k·lr. With momentum there are two regimes: ``"sme"`` (default), t = k·√lr, for
    1 - momentum of the order √lr, and ``"overdamped"``, t = k·lr/(1 - momentum), for a fixed momentum. With a vector
    lr or a schedule the clock uses the largest value.

    State ``v``, with momentum, is dθ/dt = -√lr · momentum_buffer, in the algorithm and its models. With
    ``nesterov=True`` theta is x_k of ``v' = βv - lr g(x + βv), x' = x + v'``; ``torch``'s parameter is the point ahead.

    Parameters
    ----------
    lr : float, (d,) array_like or Schedule
        Learning rate η, > 0.
    momentum : float in [0, 1) or schedules.Nesterov
        β.
    nesterov : bool
        Whether the gradient is taken ahead.
    weight_decay : float
        λ >= 0: an L2 penalty, added to the gradient; or, with ``decoupled``, ``θ ← (1 - lr λ) θ`` in each step.
    decoupled : bool

    Raises
    ------
    ValueError
        For hyperparameters outside their ranges, or ``nesterov`` without momentum.

    Examples
    --------
    >>> import optsde
    >>> opt = optsde.SGD(lr=0.01, momentum=0.9)
    >>> problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    >>> opt.sde(problem, order=2).time_per_step
    0.1

    Source: Robbins and Monro (1951); Polyak (1964); Nesterov (1983); models of Li, Tai and E (2017, 2019).
    """

    lr: LearningRate
    momentum: float | Nesterov
    nesterov: bool
    weight_decay: float
    decoupled: bool

    def __init__(
        self,
        lr: ArrayLike | Schedule,
        momentum: float | Nesterov = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        beta = momentum if isinstance(momentum, Nesterov) else real_number("momentum", momentum)
        if isinstance(beta, float) and not 0.0 <= beta < 1.0:
            raise ValueError(f"momentum: expected a number in [0, 1) or schedules.Nesterov, got {beta:g}")
        ahead = flag("nesterov", nesterov)
        if ahead and beta == 0.0:
            raise ValueError("nesterov: it looks ahead along the momentum, and momentum is 0")
        self._set(
            lr=learning_rate("lr", lr),
            momentum=beta,
            nesterov=ahead,
            weight_decay=nonnegative_number("weight_decay", weight_decay),
            decoupled=flag("decoupled", decoupled),
        )

    @property
    def _plain(self) -> bool:
        return self.momentum == 0.0

    def _regimes(self) -> tuple[str, ...]:
        if self._plain:
            return ()
        return ("sme",) if isinstance(self.momentum, Nesterov) else ("sme", "overdamped")

    def _clock(self, regime: str | None) -> float:
        top = peak(self.lr)
        if self._plain:
            return top
        if regime == "overdamped":
            assert isinstance(self.momentum, float)
            return top / (1.0 - self.momentum)
        return math.sqrt(top)

    def _clock_text(self, regime: str | None) -> str:
        if self._plain:
            return "t = k η"
        return "t = k η/(1 - β)" if regime == "overdamped" else "t = k √η"

    def _variables(self, form: str, regime: str | None) -> tuple[str, ...]:
        slow = regime == "overdamped" and form in ("sde", "flow")
        return ("theta",) if self._plain or slow else ("theta", "v")

    def _title(self) -> str:
        if self._plain:
            return "SGD"
        return "SGD with Nesterov momentum" if self.nesterov else "SGD with momentum"

    def _takes_jumps(self) -> bool:
        return self._plain and isinstance(self.lr, float) and self.weight_decay == 0.0

    def _check_order(self, problem: Problem, order: Order, regime: str | None) -> None:
        if not problem.noise._finite_variance:
            raise ValueError("order: the equation driven by α-stable noise is of order 1 only")
        if self.weight_decay > 0.0 and not self._plain:
            raise ValueError(
                "order: with momentum the equation of order 2 is derived without weight decay; put the penalty into "
                "the loss"
            )
        if not is_smooth(self.lr):
            raise ValueError("order: the equation of order 2 needs a schedule without jumps, and this one jumps")
        if regime == "overdamped":
            raise ValueError(
                "order: with momentum there is order 2 in the regime 'sme' only: 'overdamped' drops terms of order √lr"
            )

    def _earliest_time(self, model: Model) -> float:
        # The friction r/t of order 2 has terms 1/t².
        varying = isinstance(self.momentum, Nesterov) and model.order == 2
        return self._clock(model.regime) if varying else 0.0

    def _native(self, model: Model) -> dict[str, Any]:
        # A step without momentum is the same with either decay. The terms of order 2 need the penalty's Hessian too.
        decoupled = self.decoupled and model.order == 1
        l2, decay = (0.0, self.weight_decay) if decoupled else (self.weight_decay, 0.0)
        constant = not isinstance(self.lr, Schedule)
        exact = isinstance(model.problem.loss, Quadratic) and isinstance(
            model.problem.noise, (Gaussian, StudentT, Zero)
        )
        linear = exact and constant and self.weight_decay == 0.0 and not model._discrete
        shared: dict[str, Any] = {"l2": l2, "decay": decay, "order": model.order, "linear": linear}
        if self._plain:
            if model._discrete:
                simple = isinstance(self.lr, float) and self.weight_decay == 0.0 and model.form == "discrete"
                simple = simple and model._reads_wiener
                return shared | {"kind": "sgd_discrete" if simple else "sgd_algorithm", "variance": float(model.l)}
            simple = isinstance(self.lr, float) and self.weight_decay == 0.0 and model.order == 1
            return shared | {"kind": "sgd_sde" if simple else "modified_sgd_sde"}
        varying = isinstance(self.momentum, Nesterov)
        beta = {"r": self.momentum.r} if isinstance(self.momentum, Nesterov) else {"beta": self.momentum}
        shared = shared | {"momentum": beta, "nesterov": self.nesterov}
        if model._discrete:
            return shared | {"kind": "momentum_algorithm", "variance": 1.0}
        if model.regime == "overdamped":
            assert isinstance(self.momentum, float)
            loose = 1.0 - self.momentum
            # SGD of the effective rate, whose clock is that rate. A step decays by η λ, in the time η/(1 - β).
            return shared | {"kind": "modified_sgd_sde", "lr": peak(self.lr) / loose, "decay": decay * loose}
        return shared | {"kind": "momentum_sde", "linear": linear and not varying}

    def _formula(self, model: Model) -> str:
        two = model.order == 2
        decayed = self.weight_decay > 0.0
        decoupled = decayed and self.decoupled and not two
        slope = "∇f + λ θ" if decayed and not decoupled else "∇f"
        shrunk = " - η λ θ" if decoupled else ""
        if model._discrete:
            if self._plain:
                move = "(η/l) (r₁ g₁ + r₂ g₂)" if model.form == "svag" else "η g"
                law = "Cov z = Σ(θ)/B" if model.problem.noise._finite_variance else "z α-stable"
                return f"θ' = θ - {move}{shrunk},  g = {slope.replace('∇f', '∇f(θ)')} + z,  {law}"
            # η is the peak of the rates, of which step k takes u_k, and each parameter its share R.
            varying, r = isinstance(self.lr, Schedule), "R " if isinstance(self.lr, np.ndarray) else ""
            now, before = ("u_k ", "u_(k-1) ") if varying else ("", "")
            ahead = f"θ + √η {before}β v" if self.nesterov else "θ"
            at = f"∇f({ahead})" + (f" + λ ({ahead})" if "λ" in slope and self.nesterov else slope[2:])
            move = f"{ahead} - η {now}g" if varying and self.nesterov else f"θ + √η {now}v'"
            if decoupled:
                move += f" - η {now}{r}λ ({ahead})" if self.nesterov else f" - η {now}{r}λ θ"
            return f"v' = β v - √η {r}g,  θ' = {move},  g = {at} + z,  Cov z = Σ/B"
        # u(t) is what the schedule leaves of the peak, R what each parameter has of it.
        u = "u " if isinstance(self.lr, Schedule) else ""
        r = "R " if isinstance(self.lr, np.ndarray) else ""
        noisy = model.form == "sde"
        if not model.problem.noise._finite_variance:
            return f"dX = -∇f(X) dt - η^((α-1)/α) c dL,  L {model.problem.noise._law} Lévy process"
        if self._plain or model.regime == "overdamped":
            rate, root = ("η", "√η") if self._plain else ("η/(1-β)", "√(η/(1-β))")
            pull = "λ" if self._plain else "λ (1-β)"
            shrunk = f" - {pull} {u}{r}θ" if decoupled else ""
            slope = f"({slope})" if "+" in slope and (u or r or shrunk or two) else slope
            hessian = "(H + λ I)" if decayed else "H"
            curved = f"(u² {r}{hessian} {r}{slope} - u̇ {r}{slope})" if u else f"{r}{hessian} {r}{slope}"
            second = f" + ({rate}/2) {curved}" if two else ""
            kick = f" - {root} {u}{r}S(X) dW,  S Sᵀ = Σ/B (Itô)" if noisy else ""
            inside = f"{u}{r}{slope}{second}{shrunk.replace(' - ', ' + ')}".replace("∇f", "∇f(X)").replace("θ", "X")
            return f"dX = -{f'[{inside}]' if ' ' in inside else inside} dt{kick}"
        friction = "(r/t)" if isinstance(self.momentum, Nesterov) else "μ"
        slope = f"{r}(∇f(X) + λ X)" if "+" in slope else f"{r}∇f(X)"
        shrunk = f" - ε λ {u}{r}X" if decoupled else ""
        kick = f" - √ε {r}S(X) dW,  S Sᵀ = Σ/B (Itô)" if noisy else ""
        if not two:
            return f"dX = {f'({u}V{shrunk})' if shrunk else f'{u}V'} dt,  dV = -({friction} V + {slope}) dt{kick}"
        sign = "+" if self.nesterov else "-"
        second = "-r (r - 3)/t²" if isinstance(self.momentum, Nesterov) else "μ²"
        turn = f" - ε ({'3/2' if self.nesterov else '1/2'}) u̇ V" if u else ""
        return (
            f"dX = [{u}(1 - ε {friction}/2) V - (ε/2) {u}{slope}{turn}] dt,  "
            f"dV = -[({friction} + (ε/2) ({second} {sign} {u}{r}H)) V + (1 + ε {friction}/2) {slope}] dt{kick}"
        )

    def _constants(self, model: Model) -> dict[str, float | str]:
        numbers: dict[str, float | str] = {}
        if not self._plain:
            if isinstance(self.momentum, Nesterov):
                numbers["r"] = self.momentum.r
            else:
                numbers["β"] = self.momentum
                if model.regime == "sme":
                    numbers["μ"] = (1.0 - self.momentum) / math.sqrt(peak(self.lr))
            if model.regime == "sme":
                numbers["ε"] = math.sqrt(peak(self.lr))
        if self.weight_decay > 0.0:
            numbers["λ"] = self.weight_decay
        return numbers

    def _valid(self, model: Model) -> str:
        if model.form == "discrete":
            return "the algorithm itself"
        if model.form == "svag":
            return "a discrete algorithm within O(η/l) of SGD's SDE of order 1"
        if not model.problem.noise._finite_variance:
            return (
                "in law, as η goes to 0 on finite times; no variance below α = 2, so only bounded functions and "
                "moments of an order below α have expectations"
            )
        small = "η" if self._plain else ("√η" if model.regime == "sme" else "η/(1 - β)")
        text = f"weak order {model.order} in {small} on finite times"
        if self._plain:
            curvature = "(λ_max(H) + λ)" if self.weight_decay > 0.0 else "λ_max"
            return f"{text}; stable for every η, so useless beyond the edge of stability η {curvature} = 2"
        if model.regime == "sme":
            return f"{text}, for 1 - β of the order √η"
        return f"{text}, for β fixed as η falls"

    def _source(self, model: Model) -> str:
        if model.form == "discrete":
            if self._plain:
                return "Robbins, Monro: A stochastic approximation method (Annals of Mathematical Statistics 22, 1951)"
            return "Polyak (1964); Nesterov (1983); Sutskever et al. (ICML 2013)"
        if model.form == "svag":
            return "Li, Malladi, Arora: On the validity of modeling SGD with SDEs (NeurIPS 2021)"
        if not model.problem.noise._finite_variance:
            return _LEVY
        if self._plain:
            return _FLOW if model.form == "flow" else _LI_TAI_E
        if model.regime == "overdamped":
            return _WANG
        return f"{_LI_TAI_E}; {_SU}" if isinstance(self.momentum, Nesterov) else _LI_TAI_E

    def _check_svag(self) -> None:
        if not self._plain:
            raise ValueError("momentum: SVAG is known for plain SGD and for adaptive methods, not with momentum")
        if self.weight_decay > 0.0 and self.decoupled:
            raise ValueError("decoupled: SVAG of SGD is known without decoupled decay")

    def _svag_steps(self, l: int) -> int:
        return l

    def rescaled(self, batch_factor: float, rule: str | None = None) -> SGD:
        """Hyperparameters for batches ``batch_factor`` times as large, with the same SDE in the same time.

        Parameters
        ----------
        batch_factor : float
            κ > 0. Take 1/κ as many steps.
        rule : {"linear", "sme"}, optional
            ``"linear"``: lr → κ lr, momentum kept (default without momentum). ``"sme"`` (default with momentum):
            lr → κ² lr, 1 - momentum → κ (1 - momentum), which keeps ``(1 - β)/√lr`` and ``√lr/B``; decoupled weight
            decay → 1/κ of it. A schedule of momentum is kept: it counts steps. It has this rule only.

        Returns
        -------
        SGD

        Raises
        ------
        ValueError
            Where the rule does not fit, or κ (1 - momentum) reaches 1.

        Source: Goyal et al. (2017); Li, Malladi, Arora (2021); Li, Tai, E (2019).
        """
        kappa = positive_number("batch_factor", batch_factor)
        growing = isinstance(self.momentum, Nesterov)
        choices = ("linear",) if self._plain else ("sme",) if growing else ("sme", "linear")
        if checked_rule(rule, choices) == "linear":
            return self._with(lr=scaled(self.lr, kappa))  # type: ignore[no-any-return]
        momentum = self.momentum
        if isinstance(momentum, float):
            momentum = scaled_beta("momentum", momentum, kappa)
        # Decoupled decay is λ √lr in the time of the equation.
        decay = self.weight_decay / (kappa if self.decoupled else 1.0)
        return self._with(  # type: ignore[no-any-return]
            lr=scaled(self.lr, kappa * kappa), momentum=momentum, weight_decay=decay
        )

    def _at(self, eta: float, problem: Problem, regime: str | None) -> tuple[SGD, Problem]:
        ratio = eta / peak(self.lr)
        lr = scaled(self.lr, ratio)
        if self._plain or isinstance(self.momentum, Nesterov) or regime == "overdamped":
            return self._with(lr=lr), problem
        beta = 1.0 - (1.0 - self.momentum) * math.sqrt(ratio)
        if beta < 0.0:
            raise ValueError(f"eta: 1 - momentum grows as √eta and would pass 1, got eta = {eta:g}")
        return self._with(lr=lr, momentum=beta), problem
