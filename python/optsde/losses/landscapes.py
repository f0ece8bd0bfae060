"""Test functions whose coordinates interact, and Rastrigin's: Rosenbrock, Rastrigin, Müller-Brown, scalar
factorization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde._arrays import FloatArray, integer
from optsde.losses._base import Loss


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Rosenbrock(Loss):
    """``Σ_{i<d} [100 (x_{i+1} - x_i²)² + (1 - x_i)²]``: a curved valley; in d = 2 without a saddle.

    Parameters
    ----------
    dim : int
        Number d of coordinates, >= 2.

    Examples
    --------
    >>> import optsde
    >>> optsde.losses.Rosenbrock().grad([1.0, 1.0]).tolist()
    [0.0, 0.0]

    Source: Rosenbrock, Computer Journal 3 (1960) 175.
    """

    dim: int

    def __init__(self, dim: int = 2) -> None:
        self._set(dim=integer("dim", dim, 2))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "rosenbrock", "dim": self.dim}

    @property
    def minima(self) -> FloatArray:
        """The global minimum (1, ..., 1), (1, d). From d = 4 on there is a local one near (-1, 1, ..., 1) too."""
        return np.ones((1, self.dim))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Rastrigin(Loss):
    """``10 d + Σ_i [x_i² - 10 cos(2π x_i)]``: a lattice of local minima.

    Parameters
    ----------
    dim : int
        Number d of coordinates.

    Examples
    --------
    >>> import optsde
    >>> float(optsde.losses.Rastrigin(3).value([0.0, 0.0, 0.0]))
    0.0

    Source: Rastrigin, Systems of Extremal Control (1974).
    """

    dim: int

    def __init__(self, dim: int) -> None:
        self._set(dim=integer("dim", dim, 1))

    def _spec(self) -> dict[str, Any]:
        return {"kind": "rastrigin", "dim": self.dim}

    @property
    def minima(self) -> FloatArray:
        """The global minimum, the origin, (1, d); the local ones, near the integers, have no closed form."""
        return np.zeros((1, self.dim))


# Newton's method in float64 from the published three-digit values, until it stood still.
_MUELLER_BROWN_MINIMA = (
    (-0.5582236346330243, 1.4417258418046686),
    (0.6234994049308765, 0.028037758528685664),
    (-0.0500108229982061, 0.4666941048719721),
)
_MUELLER_BROWN_SADDLES = (
    (-0.8220015587327322, 0.6243128028148713),
    (0.2124865820006619, 0.29298832510736783),
)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class MuellerBrown(Loss):
    """The Müller-Brown surface: three minima in two dimensions, joined by two saddles.

    ``Σ_k A_k exp(a_k (x - x_k)² + b_k (x - x_k)(y - y_k) + c_k (y - y_k)²)`` with ``A = (-200, -100, -170, 15)``,
    ``a = (-1, -1, -6.5, 0.7)``, ``b = (0, 0, 11, 0.6)``, ``c = (-10, -10, -6.5, 0.7)``, ``x_k = (1, 0, -0.5, -1)``,
    ``y_k = (0, 0.5, 1.5, 1)``.

    Minima: -146.6995172 at (-0.558224, 1.441726), -108.1667241 at (0.623499, 0.028038), -80.7678181 at (-0.050011,
    0.466694).
    Saddles: -40.6648435 at (-0.822002, 0.624313), -72.2489401 at (0.212487, 0.292988).

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.MuellerBrown()
    >>> loss.value(loss.minima).round(3).tolist()
    [-146.7, -108.167, -80.768]

    Source: Müller and Brown, Theoretica Chimica Acta 53 (1979) 75.
    """

    def __init__(self) -> None:
        pass

    @property
    def dim(self) -> int:  # type: ignore[override]
        """2."""
        return 2

    def _spec(self) -> dict[str, Any]:
        return {"kind": "mueller_brown"}

    @property
    def minima(self) -> FloatArray:
        """The three minima, deepest first, (3, 2)."""
        return np.array(_MUELLER_BROWN_MINIMA)

    @property
    def saddles(self) -> FloatArray:
        """The two saddles, (2, 2): between the first and third minimum, between the third and second."""
        return np.array(_MUELLER_BROWN_SADDLES)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class ScalarFactorization(Loss):
    """``½ (1 - x y)²`` with θ = (x, y): the smallest loss with a manifold of minima, x y = 1.

    Examples
    --------
    >>> import optsde
    >>> float(optsde.losses.ScalarFactorization().value([2.0, 1.0]))
    0.5

    Source: the two-layer linear network of width one; see e.g. Lewkowycz et al., arXiv:2003.02218.
    """

    def __init__(self) -> None:
        pass

    @property
    def dim(self) -> int:  # type: ignore[override]
        """2."""
        return 2

    def _spec(self) -> dict[str, Any]:
        return {"kind": "scalar_factorization"}

    @property
    def minima(self) -> FloatArray:
        """The flattest point of each branch of the manifold, (2, 2)."""
        return np.array([[1.0, 1.0], [-1.0, -1.0]])

    @property
    def saddles(self) -> FloatArray:
        """The origin, (1, 2)."""
        return np.zeros((1, 2))

    @property
    def barrier(self) -> float:
        """½: the loss at the origin, between the two branches."""
        return 0.5
