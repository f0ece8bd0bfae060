"""Results that are arrays and know what their entries are: means and covariances by variable, temperatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from optsde._arrays import FloatArray, frozen


class ReadOnly(NDArrayOperatorsMixin):
    """An array that cannot be written: NumPy functions and arithmetic take it, and give plain arrays.

    Attributes
    ----------
    array : ndarray
        All of it, read-only.
    """

    # A view made by np.asarray has no hash, as other arrays have none.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: FloatArray) -> None:
        self.array = frozen(np.array(array, dtype=np.float64, order="C") + 0.0)  # no -0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of :attr:`array`."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Of :attr:`array`."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """float64."""
        return self.array.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [x.array if isinstance(x, ReadOnly) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    def __float__(self) -> float:
        return float(self.array.item())

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]


class Blocks(ReadOnly, Mapping[Any, Any]):
    """A mean or covariance of all variables of a dynamics: an array, and a mapping from variables to its blocks.

    ``mean["v"]`` is (..., d), ``cov["theta", "v"]`` is (..., d, d) with entries ``Cov(theta_i, v_j)``;
    ``np.asarray(...)`` is all of it, (..., D) or (..., D, D) with the variables one after another. Any index that is
    no name is NumPy's. Leading axes are times.

    Attributes
    ----------
    names : tuple of str
        The variables, in order.
    array : ndarray, shape (..., D) or (..., D, D)
        All of it, read-only.
    """

    def __init__(self, array: FloatArray, names: tuple[str, ...], *, pairs: bool) -> None:
        super().__init__(array)
        self.names = names
        self._pairs = pairs
        self._size = self.array.shape[-1] // len(names)

    def _slice(self, name: Any) -> slice:
        if name not in self.names:
            raise KeyError(f"expected one of {list(self.names)}, got {name!r}")
        first = self.names.index(name) * self._size
        return slice(first, first + self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            if self._pairs:
                raise KeyError(f"a block of a covariance has two names, such as ({index!r}, {index!r})")
            return self.array[..., self._slice(index)]
        if self._pairs and isinstance(index, tuple) and len(index) == 2 and all(isinstance(i, str) for i in index):
            return self.array[..., self._slice(index[0]), self._slice(index[1])]
        return self.array[index]

    def __iter__(self) -> Iterator[Any]:
        return iter([(a, b) for a in self.names for b in self.names] if self._pairs else self.names)

    def __len__(self) -> int:
        return len(self.names) ** 2 if self._pairs else len(self.names)

    def __contains__(self, key: object) -> bool:
        return key in list(iter(self))

    def __repr__(self) -> str:
        what = "covariance" if self._pairs else "mean"
        return f"<{what} of {', '.join(self.names)}, shape {self.shape}>\n{self.array!r}"


class Directions(ReadOnly):
    """One number for each of d orthogonal directions: an array (d,).

    Attributes
    ----------
    array : ndarray, shape (d,)
    directions : ndarray, shape (d, d)
        Row k is the unit vector of number k.
    """

    def __init__(self, array: FloatArray, directions: FloatArray) -> None:
        super().__init__(array)
        self.directions = frozen(np.array(directions, dtype=np.float64))

    def __repr__(self) -> str:
        return f"<{self.array!r} along the rows of {self.directions.tolist()}>"
