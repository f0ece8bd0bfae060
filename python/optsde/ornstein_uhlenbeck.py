"""The Ornstein-Uhlenbeck process in its general form."""

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
    integer,
    scalar_vector,
    scalar_vector_matrix,
    size_of,
)
from optsde.dynamics import Dynamics


@dataclass(frozen=True, init=False, eq=False, repr=False)
class OrnsteinUhlenbeck(Dynamics):
    """``dX = -A (X - mean) dt + S dW`` with ``S Sᵀ = cov``.

    Parameters
    ----------
    A : float, (d,) or (d, d) array_like
        Relaxation rates, per time; a matrix need not be symmetric.
    mean : float or (d,) array_like
        Where the drift vanishes.
    cov : float, (d,) or (d, d) array_like
        Covariance of the noise per time (the rate, not the stationary covariance).
    dim : int, optional
        d, where all others are scalars.

    Raises
    ------
    ValueError
        Where shapes disagree, cov is no covariance, or the dimension is not fixed.

    Examples
    --------
    >>> import optsde
    >>> optsde.OrnsteinUhlenbeck(A=[[1.0, 0.5], [0.0, 2.0]], mean=0.0, cov=0.1).dim
    2

    Source: Uhlenbeck and Ornstein, Physical Review 36 (1930) 823.
    """

    A: FloatArray
    mean: FloatArray
    cov: FloatArray
    dim: int

    def __init__(self, A: ArrayLike, mean: ArrayLike, cov: ArrayLike, *, dim: int | None = None) -> None:
        rate, middle = scalar_vector_matrix("A", A), scalar_vector("mean", mean)
        noise = covariance("cov", cov)
        asked = None if dim is None else integer("dim", dim, 1)
        sizes = {"A": size_of(rate), "mean": size_of(middle), "cov": size_of(noise), "dim": asked}
        found = common_dim("OrnsteinUhlenbeck", sizes)
        if found is None:
            raise ValueError("dim: scalar A, mean and cov need a dimension: pass dim=, or one of them as an array")
        self._set(A=rate, mean=as_vector(middle, found), cov=noise, dim=found)

    def _spec(self) -> dict[str, Any]:
        return {
            "kind": "ornstein_uhlenbeck",
            "a": as_vector_or_matrix(self.A, self.dim),
            "mean": self.mean,
            "cov": as_vector_or_matrix(self.cov, self.dim),
        }

    def _equation(self) -> str:
        numbers = [f"{name} = {float(a):g}" for name, a in (("A", self.A), ("cov", self.cov)) if a.ndim == 0]
        equation = "Ornstein-Uhlenbeck: dX = -A (X - mean) dt + S dW,  S Sᵀ = cov;"
        return f"{equation}  {', '.join([*numbers, f'd = {self.dim}'])}"

    def _validity(self) -> str:
        return "exact; it has a stationary law where all eigenvalues of A have positive real parts"

    def citation(self) -> str:
        """Where the equation comes from."""
        return "Uhlenbeck, Ornstein: On the theory of the Brownian motion (Physical Review 36, 1930)"

    @property
    def _linear(self) -> bool:
        return True
