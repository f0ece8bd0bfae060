"""What losses over data share: examples and targets as they are checked, and parameters that are arrays with names."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optsde._arrays import FloatArray, frozen, real_array, real_numbers
from optsde.losses._base import Loss


def matrix(name: str, value: ArrayLike, shape: str) -> FloatArray:
    """A matrix with at least one row and one column."""
    array = real_array(name, value)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a matrix of shape {shape}, neither side 0, got shape {array.shape}")
    return array


def targets(y: ArrayLike, n: int, dims: tuple[int, ...]) -> FloatArray:
    """Targets of n examples: of shape (n,), or (n, k) where two dimensions are allowed."""
    array = real_array("y", y)
    if array.ndim not in dims or array.shape[0] != n or array.size == 0:
        expected = " or ".join(f"({n},)" if dim == 1 else f"({n}, k)" for dim in dims)
        raise ValueError(f"y: expected shape {expected}, one target for each row of X, got {array.shape}")
    return array


def classes(y: ArrayLike, n: int) -> NDArray[np.int64]:
    """Classes 0, 1, ... of n examples."""
    array = targets(y, n, (1,))
    whole = array.astype(np.int64)
    wrong = (whole != array) | (whole < 0)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"y: expected classes, whole numbers from 0 on, got {array[i]} at index {i}")
    if whole.max() == 0:
        raise ValueError("y: expected at least two classes, got class 0 only")
    return frozen(whole)


class Blocks(Loss):
    """A loss whose parameters are arrays with names, one after the other in θ."""

    @property
    @abstractmethod
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the arrays in θ, in their order; each is laid out row after row."""

    def split(self, theta: ArrayLike) -> dict[str, FloatArray]:
        """The arrays in θ by name: θ of shape (..., d) gives each with the same leading shape and its own after it."""
        flat, leading = self._points(theta)
        parts, at = {}, 0
        for name, shape in self.blocks.items():
            size = math.prod(shape)
            parts[name] = flat[:, at : at + size].reshape(*leading, *shape)
            at += size
        return parts

    def join(self, parts: Mapping[str, ArrayLike]) -> FloatArray:
        """The inverse of :meth:`split`: θ of shape (..., d) from the arrays by name, leading shapes broadcast."""
        blocks = self.blocks
        if set(parts) != set(blocks):
            raise ValueError(f"parts: expected the names {', '.join(blocks)}, got {', '.join(map(str, parts))}")
        rows = []
        for name, shape in blocks.items():
            array = real_numbers(name, parts[name])
            if array.shape[array.ndim - len(shape) :] != shape or array.ndim < len(shape):
                raise ValueError(f"{name}: expected shape (..., {', '.join(map(str, shape))}), got {array.shape}")
            rows.append(array.reshape(*array.shape[: array.ndim - len(shape)], math.prod(shape)))
        try:
            leading = np.broadcast_shapes(*(row.shape[:-1] for row in rows))
        except ValueError as error:
            raise ValueError(f"parts: the leading shapes {[row.shape[:-1] for row in rows]} do not fit") from error
        return np.concatenate([np.broadcast_to(row, (*leading, row.shape[-1])) for row in rows], axis=-1, dtype=float)


class OverExamples(Loss):
    """A built-in loss that is a mean over examples."""

    @property
    @abstractmethod
    def n_examples(self) -> int:
        """N."""

    @property
    def _example_count(self) -> int | None:
        return self.n_examples
