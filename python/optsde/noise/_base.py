"""What every noise model tells the rest: its dimension, its native description, and what it needs of the loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

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

    #: Whether covariances exist: only then do optimizers have diffusions as their limits.
    _finite_variance: ClassVar[bool] = True
    #: Whether the algorithm's noise has the fourth moments of a Gaussian, which models of order 2 take it to have.
    _gaussian_fourth: ClassVar[bool] = True

    @abstractmethod
    def _spec(self, dim: int) -> dict[str, Any]:
        """The description that the native module reads, for a loss of dim parameters."""

    def _check(self, loss: Loss) -> None:
        """Raises ValueError where the loss lacks a piece that the noise needs."""

    def _check_equation(self) -> None:
        """Raises ValueError, with the reason, where the noise has no diffusion that describes it."""

    @property
    def _declared_kind(self) -> str | None:
        """The noise kind that the user vouches for; None where the model knows its own."""
        return None

    @property
    def _compiled(self) -> bool:
        """Whether C functions compute it (always in double)."""
        return False
