"""The noise of linear regression on Gaussian inputs: closed form for the equation, true examples for the algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, as_vector_or_matrix, common_dim, covariance, integer, nonnegative_number, size_of
from optsde.losses import Loss, Quadratic
from optsde.noise._base import Noise


@dataclass(frozen=True, init=False, eq=False, repr=False)
class GaussianInputs(Noise):
    """Linear regression on examples ``a ~ N(0, C)``, ``y = aᵀx* + δξ``, each seen once; with w = x - x*:
    ``Σ = C w wᵀ C + (wᵀ C w + δ²) C``.

    For the loss ``Quadratic(H=C, center=x*)``, the mean of ``½ (aᵀx - y)²`` less its least value. The algorithm draws
    ``batch_size`` examples in each step and averages their gradients ``(aᵀw - δξ) a``; they are not normal. The
    equation has normal noise of the same covariance, of d + 1 Wiener processes; at order 2 of RMSprop and Adam it has
    the third and fourth moments too, with d more.

    Parameters
    ----------
    cov : float, (d,) or (d, d) array_like
        C, the covariance of the inputs: the H of the problem's loss.
    label_std : float
        δ, the standard deviation of the label noise.
    dim : int, optional
        d, where cov is a scalar and the loss shall not decide.

    Raises
    ------
    ValueError
        Where cov is no covariance or label_std is negative; by Problem where the loss is not Quadratic with H = cov.

    Examples
    --------
    >>> import optsde
    >>> C = [[1.0, 0.4], [0.4, 0.5]]
    >>> loss = optsde.losses.Quadratic(C, center=[1.0, -1.0])
    >>> problem = optsde.Problem(loss, optsde.noise.GaussianInputs(C, label_std=0.3))
    >>> optsde.SGD(lr=0.1).sde(problem).noise_kind
    'full'

    Source: fourth moments of the normal law (Isserlis' theorem); with second moments in closed form it is a standard
    test of models of SGD, as in Dieuleveut, Durmus, Bach (Annals of Statistics 48, 2020).
    """

    cov: FloatArray
    label_std: float
    dim: int | None

    def __init__(self, cov: ArrayLike, label_std: float = 0.0, *, dim: int | None = None) -> None:
        given, deviation = covariance("cov", cov), nonnegative_number("label_std", label_std)
        asked = None if dim is None else integer("dim", dim, 1)
        self._set(
            cov=given, label_std=deviation, dim=common_dim("GaussianInputs", {"cov": size_of(given), "dim": asked})
        )

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"kind": "gaussian_inputs", "cov": as_vector_or_matrix(self.cov, dim), "label_std": self.label_std}

    def _check(self, loss: Loss) -> None:
        if not isinstance(loss, Quadratic):
            raise ValueError(
                f"loss: noise.GaussianInputs belongs to losses.Quadratic with H = cov, got {type(loss).__name__}"
            )
        curvature, inputs = (self._matrix(a, loss.dim) for a in (loss.H, self.cov))
        if not np.allclose(curvature, inputs, rtol=1e-10, atol=1e-12 * float(np.abs(inputs).max(initial=0.0))):
            i, j = (int(k) for k in np.unravel_index(int(np.abs(curvature - inputs).argmax()), inputs.shape))
            raise ValueError(
                f"cov: noise.GaussianInputs expected the H of the loss, whose entry ({i}, {j}) is "
                f"{curvature[i, j]:.6g}, got {inputs[i, j]:.6g}"
            )

    @staticmethod
    def _matrix(array: FloatArray, dim: int) -> FloatArray:
        full = as_vector_or_matrix(array, dim)
        return full if full.ndim == 2 else np.diag(full)

    @property
    def _law(self) -> str:
        return "examples'"
