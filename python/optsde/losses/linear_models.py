"""Regressions: linear, logistic and softmax, means over examples of a loss of linear predictors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optsde._arrays import FloatArray, frozen, nonnegative_number
from optsde.losses._examples import Blocks, OverExamples, classes, matrix, targets


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LinearRegression(OverExamples):
    """``(1/N) Σ_i ½ (x_iᵀθ - y_i)²``, without intercept: append a column of ones to X for one.

    Parameters
    ----------
    X : (N, d) array_like
        The examples x_i.
    y : (N,) array_like
        Their targets.

    Raises
    ------
    TypeError, ValueError
        Where shapes do not fit or numbers are not finite.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.LinearRegression([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [1.0, 2.0, 3.0])
    >>> loss.minima.round(12).tolist()
    [[1.0, 2.0]]
    >>> loss.example_grads([0.0, 0.0]).tolist()
    [[-1.0, 0.0], [0.0, -2.0], [-3.0, -3.0]]

    Source: Gauss, Theoria combinationis observationum (1823).
    """

    X: FloatArray
    y: FloatArray

    def __init__(self, X: ArrayLike, y: ArrayLike) -> None:
        examples = matrix("X", X, "(N, d)")
        self._set(X=examples, y=targets(y, len(examples), (1,)))

    @property
    def n_examples(self) -> int:
        """N."""
        return len(self.X)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of parameters."""
        return int(self.X.shape[1])

    @property
    def _squared_error(self) -> bool:
        return True

    def _spec(self) -> dict[str, Any]:
        return {"kind": "linear_regression", "x": self.X, "y": self.y}

    @property
    def minima(self) -> FloatArray:
        """The least-squares solution, (1, d); that of least norm where there are many."""
        return np.asarray(np.linalg.lstsq(self.X, self.y, rcond=None)[0])[None, :]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LogisticRegression(OverExamples):
    """``(1/N) Σ_i [log(1 + exp z_i) - y_i z_i] + (l2/2) |θ|²``, ``z_i = x_iᵀθ``, without intercept.

    Parameters
    ----------
    X : (N, d) array_like
        The examples x_i.
    y : (N,) array_like
        Their classes, 0 and 1, or -1 and 1.
    l2 : float
        Penalty, >= 0. It is no example's, and so no part of the noise.

    Raises
    ------
    TypeError, ValueError
        Where shapes do not fit, numbers are not finite, or y has other values.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.LogisticRegression([[1.0], [2.0], [-1.0]], [1, 1, 0], l2=0.1)
    >>> round(float(loss.value([0.0])), 6)
    0.693147
    >>> problem = optsde.Problem(loss, optsde.noise.Minibatch(), batch_size=2)
    >>> optsde.SGD(lr=0.1).discrete(problem).dim
    1

    Source: Cox, The regression analysis of binary sequences (Journal of the Royal Statistical Society B 20, 1958).
    """

    X: FloatArray
    y: FloatArray
    l2: float

    def __init__(self, X: ArrayLike, y: ArrayLike, l2: float = 0.0) -> None:
        examples = matrix("X", X, "(N, d)")
        self._set(X=examples, y=_binary(y, len(examples)), l2=nonnegative_number("l2", l2))

    @property
    def n_examples(self) -> int:
        """N."""
        return len(self.X)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of parameters."""
        return int(self.X.shape[1])

    def _spec(self) -> dict[str, Any]:
        return {"kind": "logistic_regression", "x": self.X, "y": self.y, "l2": self.l2}


def _binary(y: ArrayLike, n: int) -> FloatArray:
    """Classes 0 and 1 of n examples, from these or from -1 and 1."""
    given = np.asarray(y)
    array = targets(given.astype(np.float64) if given.dtype.kind == "b" else y, n, (1,))
    low = -1.0 if (array == -1.0).any() else 0.0
    wrong = (array != low) & (array != 1.0)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"y: expected classes 0 and 1, or -1 and 1, got {array[i]:g} at index {i}")
    return frozen(np.maximum(array, 0.0))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SoftmaxRegression(Blocks, OverExamples):
    """``(1/N) Σ_i [log Σ_k exp z_ik - z_{i, y_i}] + (l2/2) |W|²``, ``z_i = Wᵀ x_i``, θ = W ``(p, K)`` row after row.

    Parameters
    ----------
    X : (N, p) array_like
        The examples x_i.
    y : (N,) array_like
        Their classes 0, …, K-1; K is the largest plus one.
    l2 : float
        Penalty, >= 0. It is no example's, and so no part of the noise.

    Raises
    ------
    TypeError, ValueError
        Where shapes do not fit, numbers are not finite, or classes are not whole numbers.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.SoftmaxRegression([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [0, 1, 2], l2=0.1)
    >>> loss.dim, loss.blocks
    (6, {'W': (2, 3)})
    >>> round(float(loss.value([0.0] * 6)), 6)
    1.098612

    Source: McFadden, Conditional logit analysis of qualitative choice behavior (1974).
    """

    X: FloatArray
    y: NDArray[np.int64]
    l2: float

    def __init__(self, X: ArrayLike, y: ArrayLike, l2: float = 0.0) -> None:
        examples = matrix("X", X, "(N, p)")
        self._set(X=examples, y=classes(y, len(examples)), l2=nonnegative_number("l2", l2))

    @property
    def n_examples(self) -> int:
        """N."""
        return len(self.X)

    @property
    def n_classes(self) -> int:
        """K."""
        return int(self.y.max()) + 1

    @property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of the array in θ."""
        return {"W": (self.X.shape[1], self.n_classes)}

    @property
    def dim(self) -> int:  # type: ignore[override]
        """P K."""
        return int(self.X.shape[1]) * self.n_classes

    def _spec(self) -> dict[str, Any]:
        y = self.y.astype(np.float64)
        return {"kind": "softmax_regression", "x": self.X, "y": y, "classes": self.n_classes, "l2": self.l2}
