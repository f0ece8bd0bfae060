"""Noise that depends on the parameters in closed form: affine in the square, and scaled by the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import (
    FloatArray,
    as_vector,
    as_vector_or_matrix,
    common_dim,
    covariance,
    real_number,
    scalar_vector,
    size_of,
)
from optsde.losses import Loss
from optsde.noise._base import Noise


def _variances(name: str, value: ArrayLike) -> FloatArray:
    array = scalar_vector(name, value)
    if array.min() < 0.0:
        raise ValueError(f"{name}: expected numbers of at least 0, got {float(array.min()):.6g}")
    return array


@dataclass(frozen=True, init=False, eq=False, repr=False)
class AffineDiagonal(Noise):
    """``Σ_ii = base_i + slope_i (θ_i - center_i)²``, no correlations.

    Parameters
    ----------
    base : float or (d,) array_like
        Variance at the center, >= 0.
    slope : float or (d,) array_like
        Its growth, >= 0.
    center : float or (d,) array_like
        Where the noise is least.

    Examples
    --------
    >>> import optsde
    >>> optsde.noise.AffineDiagonal(base=1.0, slope=0.5)
    AffineDiagonal(base=1.0, slope=0.5, center=0.0)

    Source: label and input noise of a linear model; with a quadratic loss its stationary law is Student's t.
    """

    base: FloatArray
    slope: FloatArray
    center: FloatArray

    def __init__(self, base: ArrayLike, slope: ArrayLike, center: ArrayLike = 0.0) -> None:
        self._set(
            base=_variances("base", base), slope=_variances("slope", slope), center=scalar_vector("center", center)
        )
        self._set(_dim=common_dim("AffineDiagonal", {name: size_of(a) for name, a in self._fields().items()}))

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        """Number of parameters; None where all arguments are scalars."""
        return self._dim  # type: ignore[attr-defined, no-any-return]

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"kind": "affine_diagonal"} | {name: as_vector(array, dim) for name, array in self._fields().items()}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LossScaled(Noise):
    """``Σ = (loss(θ) + floor) · cov``: noise that grows with the loss.

    A negative factor counts as divergence of that path.

    Parameters
    ----------
    cov : float, (d,) or (d, d) array_like
        Covariance per unit of loss.
    floor : float
        Added to the loss.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Quadratic(1.0, dim=1)
    >>> optsde.Problem(loss, optsde.noise.LossScaled(0.5)).dim
    1

    Source: Mori et al., arXiv:2105.09557, and label-noise-free regression in general.
    """

    cov: FloatArray
    floor: float

    def __init__(self, cov: ArrayLike, floor: float = 0.0) -> None:
        self._set(cov=covariance("cov", cov), floor=real_number("floor", floor))

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        """Number of parameters; None where cov is a scalar."""
        return size_of(self.cov)

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"kind": "loss_scaled", "cov": as_vector_or_matrix(self.cov, dim), "floor": self.floor}

    def _check(self, loss: Loss) -> None:
        loss._require("value", "noise.LossScaled")
