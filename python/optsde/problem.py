"""A problem: a loss and the noise of its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optsde._arrays import common_dim, integer
from optsde._description import Description
from optsde.losses import Loss
from optsde.noise import Noise


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Problem(Description):
    """A loss and the noise of its gradient; the gradient noise of one step has covariance Σ(θ)/B.

    Parameters
    ----------
    loss : losses.Loss
    noise : noise.Noise
        Of one example's gradient. A scalar covariance takes the dimension of the loss.
    batch_size : int
        B, examples a step. Their covariance is that of draws with replacement, but for ``noise.Minibatch`` without.

    Raises
    ------
    TypeError
        Where loss or noise is of another type.
    ValueError
        Where their dimensions disagree, or the noise needs a piece that the loss does not have.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Quadratic([2.0, 1.0])
    >>> optsde.Problem(loss, optsde.noise.Gaussian(0.5), batch_size=4).dim
    2
    """

    loss: Loss
    noise: Noise
    batch_size: int

    def __init__(self, loss: Loss, noise: Noise, batch_size: int = 1) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"loss: expected a loss from optsde.losses, got {type(loss).__name__}")
        if not isinstance(noise, Noise):
            raise TypeError(f"noise: expected a noise model from optsde.noise, got {type(noise).__name__}")
        common_dim("Problem", {"loss": loss.dim, "noise": noise.dim})
        noise._check(loss)
        size = integer("batch_size", batch_size, 1)
        noise._check_batch(size, loss)
        self._set(loss=loss, noise=noise, batch_size=size)

    @property
    def dim(self) -> int:
        """Number d of parameters."""
        return self.loss.dim

    def _spec(self) -> dict[str, Any]:
        return {"loss": self.loss._spec(), "noise": self.noise._spec(self.dim), "batch_size": self.batch_size}
