"""What all optimizers share: one description, from which come the algorithm, its equations, its flow and its SVAG."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde import _core
from optsde._arrays import integer, positive_number
from optsde._description import Description
from optsde.dynamics import Dynamics, problem_uses_compiled
from optsde.losses import Loss
from optsde.noise import Zero
from optsde.optimizers._rates import LearningRate, rates_spec, show_rate
from optsde.problem import Problem
from optsde.schedules import Schedule

Order = int | str
Family = Callable[[float], tuple[Dynamics, Dynamics]]


class Optimizer(Description):
    """The base of all optimizers. Hyperparameters have the names and meanings of ``torch.optim``."""

    lr: LearningRate

    # --- what each optimizer says of itself ---------------------------------------------------------------------------

    @abstractmethod
    def _regimes(self) -> tuple[str, ...]:
        """Names of its clocks, the default first; none where it has one only."""

    @abstractmethod
    def _clock(self, regime: str | None) -> float:
        """Time of one step."""

    @abstractmethod
    def _clock_text(self, regime: str | None) -> str:
        """The clock as a formula."""

    @abstractmethod
    def _variables(self, form: str, regime: str | None) -> tuple[str, ...]:
        """Names of the variables of a path, ``theta`` first."""

    @abstractmethod
    def _native(self, model: Model) -> dict[str, Any]:
        """The native description of one of its models, without problem and rates."""

    @abstractmethod
    def _formula(self, model: Model) -> str:
        """The model's equation or update, as one line of symbols."""

    @abstractmethod
    def _constants(self, model: Model) -> dict[str, float | str]:
        """The numbers in the formula, by their symbols."""

    @abstractmethod
    def _valid(self, model: Model) -> str:
        """Where the model holds."""

    @abstractmethod
    def _source(self, model: Model) -> str:
        """Where the model comes from."""

    @abstractmethod
    def _check_order(self, problem: Problem, order: Order, regime: str | None) -> None:
        """Raises ValueError with the reason where there is no equation of this order."""

    def _orders(self) -> tuple[Order, ...]:
        return (1, 2)

    def _takes_jumps(self) -> bool:
        """Whether it has an equation driven by stable noise."""
        return False

    def _starts_at_gradient(self, model: Model) -> bool:
        """Whether a second moment that is not given starts at ``grad² + diag Σ/B``, because it must be positive."""
        return False

    def _check_problem(self, problem: Problem) -> None:
        """Raises ValueError where the optimizer does not fit the problem."""
        if not isinstance(problem, Problem):
            raise TypeError(f"problem: expected an optsde.Problem, got {type(problem).__name__}")
        if isinstance(self.lr, np.ndarray) and len(self.lr) != problem.dim:
            raise ValueError(f"lr: expected {problem.dim} rates, one a parameter, got {len(self.lr)}")

    # --- the models ---------------------------------------------------------------------------------------------------

    def _regime(self, regime: Any) -> str | None:
        names = self._regimes()
        if regime is None:
            return names[0] if names else None
        if not names:
            raise ValueError(
                f"regime: {self._title()} has one clock, {self._clock_text(None)}; expected None, got {regime!r}"
            )
        if regime not in names:
            raise ValueError(f"regime: expected one of {', '.join(map(repr, names))}, got {regime!r}")
        return str(regime)

    def _title(self) -> str:
        return type(self).__name__

    def discrete(self, problem: Problem, regime: str | None = None) -> Model:
        """The algorithm itself.

        Parameters
        ----------
        problem : Problem
        regime : str, optional
            Sets the clock of the algorithm, and nothing else; see the class.

        Returns
        -------
        Dynamics
        """
        self._check_problem(problem)
        return Model(self, problem, "discrete", 1, self._regime(regime), 1)

    def sde(self, problem: Problem, order: Order = 1, regime: str | None = None) -> Model:
        """The stochastic modified equation.

        Parameters
        ----------
        problem : Problem
        order : {1, 2, "corrected"}
            Weak order in the time of a step. ``"corrected"``, of RMSprop and Adam in the batch-equivalent regime,
            matches the means and covariances of a step at order 2, but is of weak order 1 in general.
        regime : str, optional
            The scaling of hyperparameters in which the equation is meant; see the class.

        Returns
        -------
        Dynamics

        Raises
        ------
        ValueError
            Where there is no equation of this order, with the reason.
        """
        self._check_problem(problem)
        wanted = order if isinstance(order, str) else integer("order", order, 1)
        if wanted not in self._orders():
            choices = ", ".join(map(repr, self._orders()))
            raise ValueError(f"order: expected one of {choices} for {self._title()}, got {order!r}")
        if wanted == "corrected" and regime is None:
            regime = "batch_equivalent"
        name = self._regime(regime)
        problem.noise._check_equation()
        if not (problem.noise._finite_variance or self._takes_jumps()):
            noise = type(problem.noise).__name__
            raise ValueError(f"noise: {noise} has no covariance, and only plain SGD has an equation driven by jumps")
        if wanted != 1:
            self._check_order(problem, wanted, name)
            problem.loss._require("hessian", f"sde(order={wanted!r})")
        model = Model(self, problem, "sde", wanted, name, 1)
        if wanted != 1:
            # what only the native equation knows of its noise is refused here, and not by the first run
            _core.dynamics_n_wiener(model._spec())
        return model

    def flow(self, problem: Problem, order: int = 1) -> Model:
        """The equation with the noise off, in the default regime.

        Parameters
        ----------
        problem : Problem
        order : {1, 2}
            2 adds the terms of backward error analysis.

        Returns
        -------
        Dynamics

        Raises
        ------
        ValueError
            For another order, or order 2 of a loss without Hessian.
        """
        self._check_problem(problem)
        quiet = Problem(problem.loss, Zero(), problem.batch_size)
        name = self._regime(None)
        wanted = integer("order", order, 1, 2)
        if wanted == 2:
            self._check_order(quiet, 2, name)
            problem.loss._require("hessian", "flow(order=2)")
        return Model(self, quiet, "flow", wanted, name, 1)

    def svag(self, problem: Problem, l: int = 4) -> Model:
        """Stochastic variance amplified gradient: a discrete algorithm that tends to the SDE as l grows.

        Parameters
        ----------
        problem : Problem
        l : int
            Steps are shorter by ``l`` (SGD) or ``l²`` (adaptive methods). ``steps`` counts the original's steps,
            whose clock it keeps.

        Returns
        -------
        Dynamics

        Source: Li, Malladi, Arora (2021) for SGD; Malladi et al. (2022) for RMSprop and Adam.
        """
        self._check_problem(problem)
        if not problem.noise._finite_variance:
            raise ValueError("noise: SVAG amplifies a variance, and α-stable noise has none")
        problem.noise._check_svag()
        self._check_svag()
        return Model(self, problem, "svag", 1, self._svag_regime(), integer("l", l, 1))

    def _earliest_time(self, model: Model) -> float:
        """The time before which the model has no meaning."""
        return 0.0

    def _check_svag(self) -> None:
        """Raises ValueError where there is no SVAG."""

    def _has_second_moment(self) -> bool:
        """Whether its variable ``v`` is a mean of squares."""
        return False

    def _largest_first_step(self) -> float:
        """What a step multiplies the gradient by where a second moment of 0 is all that divides it."""
        return 0.0

    def _has_svag(self) -> bool:
        try:
            self._check_svag()
        except ValueError:
            return False
        return True

    def _has_equations(self) -> bool:
        """Whether it has an SDE and a flow on some problem."""
        return True

    def _svag_regime(self) -> str | None:
        return self._regime(None)

    def _svag_steps(self, l: int) -> int:
        """Inner steps in one of the original."""
        raise NotImplementedError

    @abstractmethod
    def rescaled(self, batch_factor: float, rule: str | None = None) -> Optimizer:
        """Hyperparameters that keep the SDE as the batch grows."""

    @abstractmethod
    def _at(self, eta: float, problem: Problem, regime: str | None) -> tuple[Optimizer, Problem]:
        """The optimizer with learning rate eta and the problem that goes with it, on the path of the theory."""

    def family(self, problem: Problem, order: Order = 1, regime: str | None = None) -> Family:
        """The optimizer at other learning rates, holding fixed what the theory holds fixed.

        Parameters
        ----------
        problem : Problem
        order, regime
            As in :meth:`sde`.

        Returns
        -------
        callable
            ``eta -> (algorithm, model)`` with learning rate eta; for :func:`optsde.weak_order`.

        Raises
        ------
        ValueError
            As :meth:`sde`; or for a schedule, whose steps would change their length.
        """
        if isinstance(self.lr, Schedule):
            raise ValueError("lr: family needs a constant learning rate, and this is a schedule")
        name = self.sde(problem, order, regime)._regime_name

        def member(eta: float) -> tuple[Dynamics, Dynamics]:
            optimizer, scaled = self._at(positive_number("eta", eta), problem, name)
            return optimizer.discrete(scaled, name), optimizer.sde(scaled, order, name)

        return member

    def describe(self) -> str:
        """Hyperparameters, clocks and what models there are."""
        regimes = self._regimes() or (None,)
        lines = [repr(self)]
        for regime in regimes:
            name = "" if regime is None else f"regime {regime!r}: "
            lines.append(f"  {name}{self._clock_text(regime)}, time of a step {self._clock(regime):.6g}")
        equations = [f"sde of order {', '.join(map(repr, self._orders()))}", "flow"] if self._has_equations() else []
        lines.append(f"  models: {', '.join(['discrete', *equations, *(['svag'] if self._has_svag() else [])])}")
        return "\n".join(lines)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Model(Dynamics):
    """One of an optimizer's models of itself on a problem; made by the optimizer's methods.

    Attributes
    ----------
    optimizer : Optimizer
    problem : Problem
    form : {"discrete", "sde", "flow", "svag"}
    order : 1, 2 or "corrected"
    regime : str or None
    l : int
        Of SVAG, else 1.
    """

    optimizer: Optimizer
    problem: Problem
    form: str
    order: Order
    regime: str | None
    l: int

    def __init__(
        self, optimizer: Optimizer, problem: Problem, form: str, order: Order, regime: str | None, l: int
    ) -> None:
        self._set(optimizer=optimizer, problem=problem, form=form, order=order, regime=regime, l=l)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of parameters."""
        return self.problem.dim

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the variables of one path."""
        return dict.fromkeys(self.optimizer._variables(self.form, self.regime), (self.dim,))

    @property
    def time_per_step(self) -> float:
        """Time of one optimizer step."""
        return self.optimizer._clock(self.regime)

    @property
    def _regime_name(self) -> str | None:
        return self.regime

    @property
    def _discrete(self) -> bool:
        return self.form in ("discrete", "svag")

    @property
    def _inner_steps(self) -> int:
        return self.optimizer._svag_steps(self.l) if self.form == "svag" else 1

    @property
    def _loss(self) -> Loss:
        return self.problem.loss

    @property
    def _weak_order(self) -> int:
        return 1 if self.order == 1 else 2

    @property
    def _linear(self) -> bool:
        return bool(self._spec().get("linear", False))

    @property
    def _second_moment(self) -> bool:
        return self.optimizer._has_second_moment()

    @property
    def _second_moment_start(self) -> bool:
        return "v" in self.state and self.optimizer._starts_at_gradient(self)

    @property
    def _largest_first_step(self) -> float:
        return self.optimizer._largest_first_step() if self._discrete else 0.0

    @property
    def _earliest(self) -> float:
        return self.optimizer._earliest_time(self)

    @property
    def _reads_wiener(self) -> bool:
        noise = self.problem.noise
        return noise._law == "Gaussian" if self._discrete else noise._finite_variance

    @property
    def _uses_compiled(self) -> bool:
        return problem_uses_compiled(self.problem)

    @property
    def noise_kind(self) -> str:
        """As of every dynamics; of an algorithm, that of its gradient's noise."""
        return _core.dynamics_noise_kind(self._plain() if self._discrete else self._spec())

    def _plain(self) -> dict[str, Any]:
        """The equation of plain SGD, whose noise is the gradient's."""
        return {"kind": "sgd_sde", "lr": 1.0} | self.problem._spec()

    @property
    def _declared_kind(self) -> tuple[str, str, dict[str, Any]] | None:
        kind = self.problem.noise._declared_kind
        return None if kind is None else ("noise", kind, self._plain())

    def _spec(self) -> dict[str, Any]:
        native = self.optimizer._native(self)
        common = {"time_per_step": self.time_per_step, "inner": float(self._inner_steps)}
        return rates_spec(self.optimizer.lr) | common | native | self.problem._spec()

    def _equation(self) -> str:
        constants = {name: f"{x:.6g}" if isinstance(x, float) else x for name, x in self._numbers().items()}
        numbers = ", ".join(f"{name} = {text}" for name, text in constants.items())
        title = self.optimizer._title()
        form = {
            "discrete": title,
            "svag": f"SVAG of {title}, l = {self.l}",
            "sde": f"{title}'s SDE, order {self.order}",
            "flow": f"{title}'s flow, order {self.order}",
        }[self.form]
        what = "Σ" if self.problem.noise._finite_variance else "z"
        problem = f"f: {type(self.problem.loss).__name__}, {what}: {type(self.problem.noise).__name__}"
        tail = f"{show_rate(self.optimizer.lr)}, B = {self.problem.batch_size}, d = {self.dim}"
        clock = self.optimizer._clock_text(self.regime)
        note = self._caveat()
        listed = ", ".join(filter(None, [problem, tail, numbers, clock]))
        return f"{form}: {self.optimizer._formula(self)};  {listed}{note}"

    def _numbers(self) -> dict[str, float | str]:
        return self.optimizer._constants(self)

    def _caveat(self) -> str:
        """What a reader of the repr must know."""
        parts = []
        if self.order == "corrected":
            parts.append("weak order 1 in general: no diffusion is of order 2 here")
        return f"  [{'; '.join(parts)}]" if parts else ""

    def _validity(self) -> str:
        law = self.problem.noise._law
        text = self.optimizer._valid(self)
        if law == "Gaussian" or not self.problem.noise._finite_variance:
            return text
        if self._discrete:
            return f"{text}, with {law} gradient noise"
        if self.order != 1 and "v" in self.state:
            return f"{text}; noise of the moments of the {law} gradient noise, up to the fourth"
        return f"{text}; Gaussian noise of the covariance of the {law} gradient noise"

    def citation(self) -> str:
        """Where the model comes from."""
        return self.optimizer._source(self)
