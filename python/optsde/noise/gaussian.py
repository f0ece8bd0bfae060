"""Noise that does not depend on the parameters: none, and Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, as_vector, common_dim, covariance, integer, size_of
from optsde.noise._base import Noise


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Zero(Noise):
    """No noise.

    Examples
    --------
    >>> import optsde
    >>> optsde.noise.Zero()
    Zero()
    """

    def __init__(self) -> None:
        pass

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        """None: that of the loss."""
        return None

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"kind": "zero", "dim": dim}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Gaussian(Noise):
    """Gaussian noise of constant covariance.

    Parameters
    ----------
    cov : float, (d,) or (d, d) array_like
        Covariance Σ of one example's gradient: isotropic, diagonal or full (symmetric; zero eigenvalues are allowed).
    dim : int, optional
        d, where cov is a scalar and the loss shall not decide.

    Raises
    ------
    ValueError
        Where cov is not square, not symmetric, or has a negative eigenvalue (it is printed).

    Examples
    --------
    >>> import optsde
    >>> optsde.noise.Gaussian([1.0, 0.25])
    Gaussian(cov=[1.0, 0.25], dim=2)
    """

    cov: FloatArray
    dim: int | None

    def __init__(self, cov: ArrayLike, *, dim: int | None = None) -> None:
        given = covariance("cov", cov)
        asked = None if dim is None else integer("dim", dim, 1)
        self._set(cov=given, dim=common_dim("Gaussian", {"cov": size_of(given), "dim": asked}))

    def _spec(self, dim: int) -> dict[str, Any]:
        if self.cov.ndim == 2:
            return {"kind": "gaussian_full", "cov": self.cov}
        return {"kind": "gaussian_diagonal", "cov": as_vector(self.cov, dim)}
