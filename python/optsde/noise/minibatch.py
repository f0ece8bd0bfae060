"""The noise of minibatches of the loss's examples, and of fresh noise on their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optsde._arrays import flag, nonnegative_number
from optsde.losses import Loss
from optsde.noise._base import Noise


class _OfExamples(Noise):
    """Noise that comes from the examples of the loss."""

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        """None: the loss decides."""
        return None

    def _check(self, loss: Loss) -> None:
        loss._require_examples(f"noise.{type(self).__name__}")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Minibatch(_OfExamples):
    """Each step's gradient is the mean over ``batch_size`` examples, drawn from the loss's data.

    With ``g_i`` the gradients of the N examples and ``ḡ`` their mean, ``Σ₁ = (1/N) Σ_i (g_i - ḡ)(g_i - ḡ)ᵀ``; a step
    of B examples has the covariance ``Σ₁/B`` with replacement and ``(Σ₁/B) (N - B)/(N - 1)`` without, which is 0 for
    B = N. The equation has N Wiener processes, one an example, and the factor ``[g_1 - ḡ, …, g_N - ḡ] √(c/N)``; it is
    never formed where a step can do without. At order 2 of RMSprop and Adam it has the third and fourth moments of a
    batch too, with d Wiener processes more.

    Parameters
    ----------
    replace : bool
        Whether a batch may hold an example twice. Batches of different steps are independent in both cases.
    reshuffle : bool
        Every example once in an epoch of N/B steps, in an order drawn anew for each epoch; replace is then False.
        Batches of an epoch depend on each other, so that noise cancels within it: there is no equation, and no SVAG.

    Raises
    ------
    ValueError
        By Problem, where the loss has no examples, B > N without replacement, or B does not divide N for epochs.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.LinearRegression([[1.0], [1.0], [1.0], [1.0]], [-1.0, -0.2, 0.4, 0.8])
    >>> problem = optsde.Problem(loss, optsde.noise.Minibatch(replace=False), batch_size=2)
    >>> equation = optsde.SGD(lr=0.1).sde(problem)
    >>> equation.noise_kind, equation.diffusion_at([0.0]).shape
    ('full', (1, 4))
    >>> ens = optsde.simulate(optsde.SGD(lr=0.1).discrete(problem), [1.0], n_paths=100, steps=50, rng=1)
    >>> bool(abs(ens.mean[0, 0]) < 0.1)
    True

    Source: Li, Tai, E (ICML 2017); without replacement, Cochran: Sampling Techniques (1977), theorem 2.2.
    """

    replace: bool
    reshuffle: bool

    def __init__(self, replace: bool = True, reshuffle: bool = False) -> None:
        epochs = flag("reshuffle", reshuffle)
        self._set(replace=flag("replace", replace) and not epochs, reshuffle=epochs)

    def _spec(self, dim: int) -> dict[str, Any]:
        sampling = "reshuffled" if self.reshuffle else "replacement" if self.replace else "without_replacement"
        return {"kind": "minibatch", "sampling": sampling}

    def _check_batch(self, batch_size: int, loss: Loss) -> None:
        count = loss._require_examples("noise.Minibatch")
        if not self.replace and batch_size > count:
            raise ValueError(
                f"batch_size: without replacement expected at most the {count} examples of the loss, got {batch_size}"
            )
        if self.reshuffle and count % batch_size:
            raise ValueError(
                f"batch_size: reshuffled epochs need a divisor of the number {count} of examples, got {batch_size}"
            )

    def _check_equation(self) -> None:
        if self.reshuffle:
            raise ValueError(
                "noise: reshuffled epochs have no equation: their batches depend on each other, noise cancels within "
                "an epoch, and the stationary variance is smaller by a factor of the order lr²; "
                "noise.Minibatch(replace=False) has independent batches"
            )

    def _check_svag(self) -> None:
        if self.reshuffle:
            raise ValueError("noise: SVAG needs independent batches, and those of reshuffled epochs are not")

    def _batch_of_noise(self, batch_size: int, factor: float, loss: Loss) -> float:
        if self.replace:
            return batch_size / factor
        # (N - B')/B' = factor (N - B)/B
        count = loss._require_examples("noise.Minibatch")
        return count * batch_size / (batch_size + factor * (count - batch_size))

    @property
    def _law(self) -> str:
        return "minibatch"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LabelNoise(_OfExamples):
    """Minibatches with replacement whose targets are shifted by fresh noise ``std ξ`` in every draw.

    Of losses of squared errors, ``f_i = ½ |φ_i(θ) - y_i|²``: ``LinearRegression``, ``DiagonalLinearNetwork``, ``MLP``
    with ``loss="mse"``. With ``r_i = φ_i - y_i``, one output: ``Σ₁ = (1/N) Σ_i (r_i² + std²) ∇φ_i ∇φ_iᵀ - ∇f ∇fᵀ``,
    which is ``std²`` times the Hessian where the training loss is 0. ``MatrixFactorization`` has
    ``f_i = (N/2) (φ_i - y_i)²``, and so N² before ``r_i² + std²`` and N before the Hessian, ``y_i`` being the elements
    of its target. The equation has N Wiener processes for the
    examples, as :class:`Minibatch` has, and one more for each output of each example.

    Parameters
    ----------
    std : float
        Standard deviation of what is added to a target, >= 0.
    signs : bool
        ξ is ±1 with equal probabilities in the algorithm; else normal. Equations are the same but for those of order 2
        of RMSprop and Adam, which have its fourth moment.

    Raises
    ------
    ValueError
        Where std is negative; by Problem where the loss is no squared error over examples.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.DiagonalLinearNetwork([[1.0, 2.0], [0.5, -1.0]], [3.0, 0.5])
    >>> problem = optsde.Problem(loss, optsde.noise.LabelNoise(0.5), batch_size=1)
    >>> optsde.SGD(lr=0.01).sde(problem).diffusion_at([1.0, 1.0, 0.0, 0.0]).shape
    (4, 4)

    Source: Blanc, Gupta, Valiant, Valiant: Implicit regularization for deep neural networks driven by an
    Ornstein-Uhlenbeck like process (COLT 2020); Damian, Ma, Lee (NeurIPS 2021).
    """

    std: float
    signs: bool

    def __init__(self, std: float, signs: bool = False) -> None:
        self._set(std=nonnegative_number("std", std), signs=flag("signs", signs))

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"kind": "label_noise", "std": self.std, "signs": self.signs}

    def _check(self, loss: Loss) -> None:
        super()._check(loss)
        if not loss._squared_error:
            raise ValueError(
                "loss: noise.LabelNoise shifts the targets of squared errors (LinearRegression, DiagonalLinearNetwork, "
                f'MatrixFactorization, MLP with loss="mse"), got {loss!r}'
            )

    @property
    def _law(self) -> str:
        return "minibatch"
