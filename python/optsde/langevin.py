"""Overdamped Langevin dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, as_vector, common_dim, nonnegative_number, scalar_vector, size_of
from optsde.dynamics import Dynamics
from optsde.losses import Compiled, Loss, Quadratic


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Langevin(Dynamics):
    """``dX = -M ∇f dt + sqrt(2 T M) dW``: stationary law ``exp(-f/T)``, whatever the mobility.

    Parameters
    ----------
    loss : losses.Loss
        f.
    temperature : float
        T, >= 0, in units of the loss.
    mobility : float or (d,) array_like
        M, > 0: isotropic or diagonal.

    Examples
    --------
    >>> import optsde
    >>> optsde.Langevin(optsde.losses.DoubleWell(), temperature=0.25).dim
    1

    Source: Langevin (1908); Smoluchowski (1916).
    """

    loss: Loss
    temperature: float
    mobility: FloatArray

    def __init__(self, loss: Loss, temperature: float, mobility: ArrayLike = 1.0) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"loss: expected a loss from optsde.losses, got {type(loss).__name__}")
        given = scalar_vector("mobility", mobility)
        if given.min() <= 0.0:
            raise ValueError(f"mobility: expected positive numbers, got {float(given.min()):.6g}")
        common_dim("Langevin", {"loss": loss.dim, "mobility": size_of(given)})
        self._set(loss=loss, temperature=nonnegative_number("temperature", temperature), mobility=given)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of coordinates."""
        return self.loss.dim

    def _spec(self) -> dict[str, Any]:
        mobility = as_vector(self.mobility, self.dim)
        return {"kind": "langevin", "loss": self.loss._spec(), "temperature": self.temperature, "mobility": mobility}

    def _equation(self) -> str:
        mobility = f"M = {float(self.mobility):g}" if self.mobility.ndim == 0 else "M diagonal"
        numbers = f"f: {type(self.loss).__name__}, T = {self.temperature:g}, {mobility}, d = {self.dim}"
        return f"Langevin: dX = -M ∇f(X) dt + √(2 T M) dW;  {numbers}"

    def _validity(self) -> str:
        return "exact; its stationary density is exp(-f/T)/Z where that is integrable"

    def citation(self) -> str:
        """Where the equation comes from."""
        return "Langevin: Sur la théorie du mouvement brownien (C. R. Acad. Sci. 146, 1908)"

    @property
    def _loss(self) -> Loss:
        return self.loss

    @property
    def _linear(self) -> bool:
        return isinstance(self.loss, Quadratic)

    @property
    def _uses_compiled(self) -> bool:
        return isinstance(self.loss, Compiled)
