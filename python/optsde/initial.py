"""Random initial states, and the one native form of every kind of theta0."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import (
    FloatArray,
    as_vector,
    as_vector_or_matrix,
    common_dim,
    covariance,
    frozen,
    real_array,
    scalar_vector,
    semidefinite_cholesky,
    size_of,
)
from optsde._description import Description

if TYPE_CHECKING:
    from optsde.dynamics import Dynamics

__all__ = ["Gaussian", "Uniform"]


class Initial(Description):
    """A law of the initial state; path i draws its own from the run's key."""

    @property
    @abstractmethod
    def _dim(self) -> int | None: ...

    @abstractmethod
    def _spec(self, dim: int) -> dict[str, Any]: ...

    @abstractmethod
    def _centre(self, dim: int) -> FloatArray: ...


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Gaussian(Initial):
    """Gaussian initial states.

    Parameters
    ----------
    mean : float or (d,) array_like
    cov : float, (d,) or (d, d) array_like
        Isotropic, diagonal or full covariance; may be singular.

    Examples
    --------
    >>> import optsde
    >>> optsde.initial.Gaussian(0.0, [1.0, 4.0])
    Gaussian(mean=0.0, cov=[1.0, 4.0])
    """

    mean: FloatArray
    cov: FloatArray

    def __init__(self, mean: ArrayLike, cov: ArrayLike) -> None:
        self._set(mean=scalar_vector("mean", mean), cov=covariance("cov", cov))
        common_dim("initial.Gaussian", {"mean": size_of(self.mean), "cov": size_of(self.cov)})

    @property
    def _dim(self) -> int | None:
        return size_of(self.mean) or size_of(self.cov)

    def _spec(self, dim: int) -> dict[str, Any]:
        cov = as_vector_or_matrix(self.cov, dim)
        factor = np.diag(np.sqrt(cov)) if cov.ndim == 1 else semidefinite_cholesky(cov)
        return {"gaussian": (as_vector(self.mean, dim), np.ascontiguousarray(factor))}

    def _centre(self, dim: int) -> FloatArray:
        return as_vector(self.mean, dim)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Uniform(Initial):
    """Initial states uniform in a box.

    Parameters
    ----------
    low, high : float or (d,) array_like
        Its corners, low < high.

    Examples
    --------
    >>> import optsde
    >>> optsde.initial.Uniform(-1.0, [1.0, 2.0])
    Uniform(low=-1.0, high=[1.0, 2.0])
    """

    low: FloatArray
    high: FloatArray

    def __init__(self, low: ArrayLike, high: ArrayLike) -> None:
        self._set(low=scalar_vector("low", low), high=scalar_vector("high", high))
        common_dim("initial.Uniform", {"low": size_of(self.low), "high": size_of(self.high)})
        if not (self.low < self.high).all():
            raise ValueError(f"high: expected numbers above low = {self.low.tolist()}, got {self.high.tolist()}")

    @property
    def _dim(self) -> int | None:
        return size_of(self.low) or size_of(self.high)

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"uniform": (as_vector(self.low, dim), as_vector(self.high, dim))}

    def _centre(self, dim: int) -> FloatArray:
        return as_vector(frozen(np.asarray((self.low + self.high) / 2.0)), dim)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Points(Initial):
    """Given initial states: one for all paths, (1, d), or one a path, (n, d)."""

    points: FloatArray

    def __init__(self, points: FloatArray) -> None:
        self._set(points=points)

    @property
    def _dim(self) -> int | None:
        return int(self.points.shape[1])

    def _spec(self, dim: int) -> dict[str, Any]:
        return {"points": self.points}

    def _centre(self, dim: int) -> FloatArray:
        return np.asarray(self.points[0], dtype=np.float64)


def _parameters(theta0: Any, dim: int, n_paths: int | None, dtype: np.dtype[Any], name: str) -> tuple[Initial, int]:
    """The law or points of one variable and the number of paths, from all that a user may pass."""
    expected = f"{'a float, ' if dim == 1 else ''}shape ({dim},), shape (n_paths, {dim}) or a law from optsde.initial"
    if isinstance(theta0, Initial):
        common_dim(name, {"the dynamics": dim, type(theta0).__name__: theta0._dim})
        return theta0, 1 if n_paths is None else n_paths
    if isinstance(theta0, (dict, str)):
        raise TypeError(f"{name}: expected {expected}, got {type(theta0).__name__}")
    points = real_array(name, theta0)
    if (points.ndim == 0 and dim != 1) or points.ndim > 2 or (points.ndim > 0 and points.shape[-1] != dim):
        raise ValueError(f"{name}: expected {expected}, got shape {points.shape}")
    if points.ndim == 2 and len(points) == 0:
        raise ValueError(f"{name}: expected {expected}, got no path at all, shape {points.shape}")
    if points.ndim == 2 and n_paths is not None and n_paths != len(points):
        raise ValueError(f"n_paths: {name} has {len(points)} rows, one a path, got n_paths={n_paths}")
    rows = points.reshape(-1, dim)
    with np.errstate(over="ignore"):
        native = frozen(np.ascontiguousarray(rows.astype(dtype)))
    if not np.isfinite(native).all():
        raise ValueError(f"{name}: a number of it is too large for dtype {dtype.name}")
    return Points(native), len(rows) if points.ndim == 2 else (1 if n_paths is None else n_paths)


def initial_state(
    theta0: Any, dynamics: Dynamics, n_paths: int | None, dtype: np.dtype[Any]
) -> tuple[Initial, tuple[tuple[str, Points], ...], int]:
    """The start of the parameters, the further variables that are given, and the number of paths."""
    dim, names = dynamics.dim, list(dynamics.state)
    if not isinstance(theta0, Mapping):
        start, count = _parameters(theta0, dim, n_paths, dtype, "theta0")
        return start, (), count
    unknown = [name for name in theta0 if name not in names]
    if unknown or "theta" not in theta0:
        further = f" and any of {names[1:]}" if names[1:] else " alone"
        raise ValueError(f"theta0: expected a dict with theta{further}, got {list(theta0)}")
    # A variable with a row for each path fixes their number for all.
    counts = {len(value) for value in theta0.values() if np.ndim(value) == 2} - {n_paths}
    if n_paths is None and len(counts) == 1:
        n_paths = counts.pop()
    start, count = _parameters(theta0["theta"], dim, n_paths, dtype, "theta0['theta']")
    given = []
    for name in names[1:]:
        if name in theta0:
            points, _ = _parameters(theta0[name], dim, count, dtype, f"theta0[{name!r}]")
            if not isinstance(points, Points):
                raise TypeError(f"theta0[{name!r}]: expected numbers, got a law; laws are for theta")
            if name == "v" and dynamics._second_moment_start and points.points.min() <= 0.0:
                lowest = float(points.points.min())
                raise ValueError(f"theta0['v']: this equation divides by its root; expected v > 0, got {lowest:g}")
            if name == "v" and dynamics._second_moment and points.points.min() < 0.0:
                lowest = float(points.points.min())
                raise ValueError(f"theta0['v']: a mean of squares; expected v >= 0, got {lowest:g}")
            given.append((name, points))
    return start, tuple(given), count
