"""Numbers as descriptions store them: read-only float64 arrays, checked once, with errors that name the argument."""

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, closed for writing."""
    array.flags.writeable = False
    return array


def real_numbers(name: str, value: ArrayLike) -> NDArray[Any]:
    """An array of real numbers as they came, NaN and infinity among them."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name}: expected numbers in a regular array, got nested sequences of unequal length"
        ) from error
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected real numbers, got {type(value).__name__} of dtype {given.dtype}")
    return given


def real_array(name: str, value: ArrayLike) -> FloatArray:
    """A read-only C-contiguous float64 copy of finite real numbers."""
    given = real_numbers(name, value)
    # Adding zero turns -0.0 into 0.0, so that equal descriptions have equal bytes and equal hashes.
    array = np.array(given, dtype=np.float64, order="C", copy=True) + 0.0
    array = np.asarray(array)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        place = f" at index {where if len(where) != 1 else where[0]}" if where else ""
        raise ValueError(f"{name}: expected finite numbers, got {array[where]}{place}")
    return frozen(array)


def real_number(name: str, value: ArrayLike) -> float:
    """A finite float."""
    array = real_array(name, value)
    if array.ndim != 0:
        raise ValueError(f"{name}: expected a number, got an array of shape {array.shape}")
    return float(array)


def positive_number(name: str, value: ArrayLike) -> float:
    """A finite float above zero."""
    number = real_number(name, value)
    if number <= 0.0:
        raise ValueError(f"{name}: expected a positive number, got {number}")
    return number


def nonnegative_number(name: str, value: ArrayLike) -> float:
    """A finite float of at least zero."""
    number = real_number(name, value)
    if number < 0.0:
        raise ValueError(f"{name}: expected a number of at least 0, got {number}")
    return number


def flag(name: str, value: Any) -> bool:
    """True or False; other values that count as one of them are nearly always slips."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An int in [low, high]; floats and booleans are refused, because they are nearly always slips."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r} of type {type(value).__name__}") from None
    if number < low:
        raise ValueError(f"{name}: expected an integer of at least {low}, got {number}")
    if high is not None and number > high:
        raise ValueError(f"{name}: expected an integer of at most {high}, got {number}")
    return number


def scalar_vector_matrix(name: str, value: ArrayLike) -> FloatArray:
    """A scalar (isotropic), a vector (diagonal) or a square matrix (full)."""
    array = real_array(name, value)
    if array.ndim > 2 or array.size == 0:
        raise ValueError(f"{name}: expected a number, a (d,) vector or a (d, d) matrix, got shape {array.shape}")
    if array.ndim == 2 and array.shape[0] != array.shape[1]:
        raise ValueError(f"{name}: expected a square matrix, got shape {array.shape}")
    return array


def scalar_vector(name: str, value: ArrayLike) -> FloatArray:
    """A scalar or a vector."""
    array = real_array(name, value)
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"{name}: expected a number or a (d,) vector, got shape {array.shape}")
    return array


def symmetric(name: str, array: FloatArray) -> FloatArray:
    """The array with a matrix's rounding asymmetry removed; a really asymmetric matrix is refused."""
    if array.ndim < 2:
        return array
    difference = np.abs(array - array.T)
    if difference.max() > 1e-10 * np.abs(array).max():
        i, j = (int(k) for k in np.unravel_index(int(difference.argmax()), difference.shape))
        raise ValueError(
            f"{name}: expected a symmetric matrix, got entry ({i}, {j}) = {array[i, j]:.6g} "
            f"and entry ({j}, {i}) = {array[j, i]:.6g}"
        )
    return frozen((array + array.T) / 2.0)


def covariance(name: str, value: ArrayLike) -> FloatArray:
    """A scalar, vector or symmetric matrix without negative eigenvalues (zero is allowed)."""
    array = symmetric(name, scalar_vector_matrix(name, value))
    if array.ndim == 2:
        eigenvalues = np.linalg.eigvalsh(array)
        lowest = float(eigenvalues[0])
        # Rounding leaves eigenvalues of a singular covariance this far below zero, not further.
        if lowest < -1e-12 * len(eigenvalues) * float(np.abs(eigenvalues).max()):
            raise ValueError(f"{name}: expected a covariance without negative eigenvalues, got eigenvalue {lowest:.6g}")
    elif array.min() < 0.0:
        raise ValueError(f"{name}: expected variances of at least 0, got eigenvalue {float(array.min()):.6g}")
    return array


def common_dim(owner: str, sizes: dict[str, int | None]) -> int | None:
    """The one dimension that all named parts agree on; None where none of them fixes it."""
    known = {name: size for name, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        listing = ", ".join(f"{name} has {size}" for name, size in known.items())
        raise ValueError(f"{owner}: dimensions do not agree: {listing}")
    return next(iter(known.values()), None)


def size_of(array: FloatArray | None) -> int | None:
    """The dimension that a scalar, vector or matrix fixes; None for a scalar."""
    return None if array is None or array.ndim == 0 else array.shape[0]


def as_vector(array: FloatArray, dim: int) -> FloatArray:
    """A scalar repeated, or the vector itself."""
    return frozen(np.full(dim, float(array))) if array.ndim == 0 else array


def as_vector_or_matrix(array: FloatArray, dim: int) -> FloatArray:
    """A scalar repeated along the diagonal; vector and matrix as they are."""
    return array if array.ndim == 2 else as_vector(array, dim)


def semidefinite_cholesky(matrix: FloatArray) -> FloatArray:
    """Lower factor L of a covariance, L Lᵀ = matrix, with zero columns where it is singular.

    Element-wise operations only: LAPACK's bits depend on the machine, and path i has to be the same everywhere.
    """
    rest = np.array(matrix)
    dim = len(rest)
    factor = np.zeros_like(rest)
    threshold = dim * np.finfo(np.float64).eps * max(float(np.diag(rest).max()), 0.0)
    for k in range(dim):
        pivot = rest[k, k]
        if pivot > threshold:
            factor[k:, k] = rest[k:, k] / np.sqrt(pivot)
            rest[k:, k:] -= factor[k:, k, None] * factor[None, k:, k]
    return factor
