"""The quadratic loss: with constant noise, the Ornstein-Uhlenbeck case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import (
    FloatArray,
    as_vector,
    as_vector_or_matrix,
    common_dim,
    integer,
    real_array,
    scalar_vector,
    scalar_vector_matrix,
    size_of,
    symmetric,
)
from optsde.losses._base import Loss


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Quadratic(Loss):
    """``½ (θ - c)ᵀ H (θ - c)``.

    Parameters
    ----------
    H : float, (d,) or (d, d) array_like
        Curvature: isotropic, diagonal or full (symmetric; negative eigenvalues are allowed and mean instability).
    center : float or (d,) array_like, optional
        The stationary point c; 0 by default.
    dim : int, optional
        d, where neither H nor center is an array.

    Raises
    ------
    ValueError
        Where H is not square or not symmetric, or the dimension is not fixed by any argument, or they disagree.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Quadratic([[2.0, 0.5], [0.5, 1.0]])
    >>> float(loss.value([1.0, 0.0]))
    1.0

    Source: any text; with Gaussian noise Uhlenbeck and Ornstein (1930).
    """

    H: FloatArray
    center: FloatArray
    dim: int

    def __init__(self, H: ArrayLike, center: ArrayLike | None = None, *, dim: int | None = None) -> None:
        curvature = symmetric("H", scalar_vector_matrix("H", H))
        middle = real_array("center", 0.0) if center is None else scalar_vector("center", center)
        asked = None if dim is None else integer("dim", dim, 1)
        found = common_dim("Quadratic", {"H": size_of(curvature), "center": size_of(middle), "dim": asked})
        if found is None:
            raise ValueError("dim: a scalar H needs a dimension: pass dim=, or center as a vector")
        self._set(H=curvature, center=as_vector(middle, found), dim=found)

    def _spec(self) -> dict[str, Any]:
        return {"kind": "quadratic", "h": as_vector_or_matrix(self.H, self.dim), "center": self.center}

    def _eigenvalues(self) -> FloatArray:
        matrix = self.H if self.H.ndim == 2 else np.diag(np.atleast_1d(self.H))
        return np.asarray(np.linalg.eigvalsh(matrix))

    @property
    def minima(self) -> FloatArray:
        """The minimum, (1, d); none, (0, d), where H has a negative eigenvalue."""
        return self.center[None, :].copy() if self._eigenvalues()[0] >= 0.0 else np.empty((0, self.dim))

    @property
    def saddles(self) -> FloatArray:
        """The center where H has eigenvalues of both signs, (1, d), else none."""
        lowest, highest = self._eigenvalues()[[0, -1]]
        return self.center[None, :].copy() if lowest < 0.0 < highest else np.empty((0, self.dim))
