"""Sets of states that first passages are to, evaluated without calling Python."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optsde._arrays import FloatArray, frozen, integer, positive_number, real_array, real_number
from optsde._description import Description

__all__ = ["Above", "Below", "Inside", "Outside", "Region"]


class Region(Description):
    """The base of all regions. Called with states θ (n, d), a region tells which of them are in it, bool (n,)."""

    @abstractmethod
    def _depth(self, theta: FloatArray) -> FloatArray:
        """How far within the region each state is; negative outside."""

    @abstractmethod
    def _spec(self, dim: int) -> dict[str, Any]:
        """The native description, where it fits so many parameters."""

    def __call__(self, theta: ArrayLike) -> NDArray[np.bool_]:
        """Which of the states θ (n, d) are in the region, (n,)."""
        points = np.asarray(theta, dtype=np.float64)
        if points.ndim != 2:
            raise ValueError(f"theta: expected states (n, d), got shape {points.shape}")
        self._spec(points.shape[1])
        return np.asarray(self._depth(points) >= 0.0)


class _Level(Region):
    """One side of a level of a coordinate."""

    level: float
    coord: int
    _rising: bool

    def _depth(self, theta: FloatArray) -> FloatArray:
        distance = theta[:, self.coord] - self.level
        return distance if self._rising else -distance

    def _spec(self, dim: int) -> dict[str, Any]:
        if self.coord >= dim:
            raise ValueError(f"coord: expected a coordinate below {dim}, got {self.coord}")
        return {"region": "beyond", "coord": self.coord, "level": self.level, "rising": self._rising}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Above(_Level):
    """States with a coordinate at or above a level.

    Parameters
    ----------
    level : float
    coord : int

    Examples
    --------
    >>> import optsde
    >>> optsde.regions.Above(1.0)([[0.5], [1.0], [2.0]]).tolist()
    [False, True, True]
    """

    level: float
    coord: int
    _rising = True

    def __init__(self, level: float, coord: int = 0) -> None:
        self._set(level=real_number("level", level), coord=integer("coord", coord, 0))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Below(_Level):
    """States with a coordinate at or below a level.

    Parameters
    ----------
    level : float
    coord : int

    Examples
    --------
    >>> import optsde
    >>> optsde.regions.Below(1.0, coord=1)([[0.0, 0.5], [0.0, 2.0]]).tolist()
    [True, False]
    """

    level: float
    coord: int
    _rising = False

    def __init__(self, level: float, coord: int = 0) -> None:
        self._set(level=real_number("level", level), coord=integer("coord", coord, 0))


class _Ball(Region):
    """One side of a sphere."""

    center: FloatArray
    radius: float
    _outside: bool

    def _depth(self, theta: FloatArray) -> FloatArray:
        square = np.zeros(len(theta))
        # Coordinate by coordinate, as the native code adds.
        for x, center in zip(theta.T, self._spec(theta.shape[1])["center"], strict=True):
            square += (x - center) * (x - center)
        depth = square - self.radius * self.radius
        return depth if self._outside else -depth

    def _spec(self, dim: int) -> dict[str, Any]:
        if self.center.ndim == 1 and len(self.center) != dim:
            raise ValueError(f"center: expected {dim} coordinates, got {len(self.center)}")
        center = frozen(np.array(np.broadcast_to(self.center, dim)))
        return {"region": "ball", "center": center, "radius": self.radius, "outside": self._outside}


def _center(center: ArrayLike) -> FloatArray:
    array = real_array("center", center)
    if array.ndim > 1 or array.size == 0:
        raise ValueError(f"center: expected a number or a (d,) vector, got shape {array.shape}")
    return array


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Inside(_Ball):
    """States at most ``radius`` from a point.

    Parameters
    ----------
    center : float or (d,) array_like
        A number stands for the same in every coordinate.
    radius : float

    Examples
    --------
    >>> import optsde
    >>> optsde.regions.Inside([1.0, 0.0], 0.5)([[1.0, 0.3], [0.0, 0.0]]).tolist()
    [True, False]
    """

    center: FloatArray
    radius: float
    _outside = False

    def __init__(self, center: ArrayLike, radius: float) -> None:
        self._set(center=_center(center), radius=positive_number("radius", radius))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Outside(_Ball):
    """States at least ``radius`` from a point.

    Parameters
    ----------
    center : float or (d,) array_like
        A number stands for the same in every coordinate.
    radius : float

    Examples
    --------
    >>> import optsde
    >>> optsde.regions.Outside(0.0, 2.0)([[1.0, 0.3], [3.0, 0.0]]).tolist()
    [False, True]
    """

    center: FloatArray
    radius: float
    _outside = True

    def __init__(self, center: ArrayLike, radius: float) -> None:
        self._set(center=_center(center), radius=positive_number("radius", radius))
