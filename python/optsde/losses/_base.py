"""What every loss can be asked: value, gradient, Hessian and the contracted third derivative at points (..., d)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde import _core
from optsde._arrays import FloatArray, real_numbers
from optsde._description import Description


class Loss(Description):
    """A function to be minimised, with its derivatives.

    Attributes
    ----------
    dim : int
        Number d of parameters.
    """

    dim: int

    @abstractmethod
    def _spec(self) -> dict[str, Any]:
        """The description that the native module reads."""

    def _require(self, piece: str, reason: str) -> None:
        """Raises ValueError where the user's loss lacks a piece; the built-in losses have all of them."""

    @property
    def _example_count(self) -> int | None:
        """Number N of examples; None for losses that are no means over data."""
        return None

    @property
    def _squared_error(self) -> bool:
        """Whether every example's loss is half a squared distance of outputs and targets."""
        return False

    def _require_examples(self, reason: str) -> int:
        """N; raises ValueError where there are no examples."""
        count = self._example_count
        if count is None:
            raise ValueError(
                f"loss: {reason} needs a loss over examples, such as losses.LogisticRegression, "
                f"got losses.{type(self).__name__}"
            )
        return count

    def _points(self, x: ArrayLike) -> tuple[FloatArray, tuple[int, ...]]:
        """X as (n, d), and its leading shape."""
        points = real_numbers("x", x)
        if points.ndim == 0 or points.shape[-1] != self.dim:
            raise ValueError(f"x: expected shape (..., {self.dim}), got {points.shape}")
        flat = np.ascontiguousarray(points.reshape(-1, self.dim), dtype=np.float64)
        return flat, points.shape[:-1]

    def value(self, x: ArrayLike) -> FloatArray:
        """Loss at points x.

        Parameters
        ----------
        x : array_like, shape (..., d)

        Returns
        -------
        ndarray, shape (...)

        Raises
        ------
        ValueError
            Where x has another last dimension, or the user's loss has no ``value``.
        """
        self._require("value", "value(x)")
        flat, shape = self._points(x)
        return _core.loss_value(self._spec(), flat).reshape(shape)

    def grad(self, x: ArrayLike) -> FloatArray:
        """Gradient at points x, shape (..., d) to (..., d)."""
        flat, shape = self._points(x)
        return _core.loss_grad(self._spec(), flat).reshape(*shape, self.dim)

    def hessian(self, x: ArrayLike) -> FloatArray:
        """Hessian at points x, shape (..., d) to (..., d, d). ValueError where the user's loss has none."""
        self._require("hessian", "hessian(x)")
        flat, shape = self._points(x)
        return _core.loss_hessian(self._spec(), flat).reshape(*shape, self.dim, self.dim)

    def third(self, x: ArrayLike, S: ArrayLike) -> FloatArray:
        """Gradient of ``<S, hessian(x)>``: the third derivative contracted with a matrix.

        Parameters
        ----------
        x : array_like, shape (..., d)
        S : array_like, shape (d, d) or (..., d, d)
            Only its symmetric part matters.

        Returns
        -------
        ndarray, shape (..., d)
        """
        self._require("third", "third(x, S)")
        flat, weights, shape = self._contraction(x, S)
        return _core.loss_third(self._spec(), flat, weights).reshape(*shape, self.dim)

    def example_grads(self, x: ArrayLike) -> FloatArray:
        """Gradients of the loss of each example at points x, of losses over data. Their mean is :meth:`grad`.

        Parameters
        ----------
        x : array_like, shape (..., d)

        Returns
        -------
        ndarray, shape (..., N, d)
            A penalty, such as l2, is part of each.

        Raises
        ------
        ValueError
            Where the loss has no examples.
        """
        count = self._require_examples("example_grads(x)")
        flat, shape = self._points(x)
        return _core.loss_example_grads(self._spec(), flat).reshape(*shape, count, self.dim)

    def _contraction(self, x: ArrayLike, S: ArrayLike) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
        """X as (n, d), the symmetric part of S as (n, d, d), and the leading shape."""
        flat, shape = self._points(x)
        weights = real_numbers("S", S).astype(np.float64)
        square = (self.dim, self.dim)
        if weights.shape[-2:] != square:
            raise ValueError(f"S: expected shape {square} or (..., {self.dim}, {self.dim}), got {weights.shape}")
        try:
            weights = np.broadcast_to((weights + np.swapaxes(weights, -1, -2)) / 2.0, (*shape, *square))
        except ValueError:
            expected = f"{square} or {(*shape, *square)}" if shape else f"{square}"
            raise ValueError(f"S: expected shape {expected} for these points, got {weights.shape}") from None
        return flat, np.ascontiguousarray(weights.reshape(-1, *square)), shape
