"""What every noise model tells the rest: its dimension, its native description, and what it needs of the loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from optsde._description import Description
from optsde.losses import Loss


class Noise(Description):
    """The noise of one example's gradient; a step of batch size B has its covariance divided by B.

    Attributes
    ----------
    dim : int or None
        Number d of parameters; None where a scalar leaves it to the loss.
    """

    dim: int | None

    @abstractmethod
    def _spec(self, dim: int) -> dict[str, Any]:
        """The description that the native module reads, for a loss of dim parameters."""

    def _check(self, loss: Loss) -> None:
        """Raises ValueError where the loss lacks a piece that the noise needs."""

    def _check_equation(self) -> None:
        """Raises ValueError, with the reason, where the noise has no diffusion that describes it."""

    def _check_batch(self, batch_size: int, loss: Loss) -> None:
        """Raises ValueError where the noise does not go with batches of this size."""

    def _check_svag(self) -> None:
        """Raises ValueError, with the reason, where steps cannot have several independent gradients."""

    def _batch_of_noise(self, batch_size: int, factor: float, loss: Loss) -> float:
        """The batch size, perhaps not whole, with ``factor`` times the covariance of a step."""
        return batch_size / factor

    @property
    def _law(self) -> str:
        """The law of an algorithm's gradient noise, in words. Only Gaussian noise is made of the Wiener path."""
        return "Gaussian"

    @property
    def _finite_variance(self) -> bool:
        """Whether there is a covariance, which most models of optimizers need."""
        return True

    @property
    def _declared_kind(self) -> str | None:
        """The noise kind that the user vouches for; None where the model knows its own."""
        return None

    @property
    def _compiled(self) -> bool:
        """Whether C functions compute it (always in double)."""
        return False
