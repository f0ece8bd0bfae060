"""Noise kinds that a user may declare, how many Wiener processes they have, and whether the declaration is true."""

from __future__ import annotations

from typing import Any

import numpy as np

from optsde import _core
from optsde._arrays import FloatArray, frozen

DECLARABLE = ("diagonal", "diagonal_coupled", "commutative", "full")

# Points of one native call: bounds the memory of a check in many dimensions.
_LARGEST_FACTOR = 1 << 22


def declared_kind(name: str, kind: Any) -> str:
    """One of the kinds that a user may declare."""
    if not isinstance(kind, str):
        raise TypeError(f"{name}: expected one of {', '.join(map(repr, DECLARABLE))}, got {type(kind).__name__}")
    if kind not in DECLARABLE:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, DECLARABLE))}, got {kind!r}")
    return kind


def wiener_count(kind: str, dim: int, n_wiener: int | None) -> int:
    """Number of Wiener processes: d for the diagonal kinds, else as given, or d."""
    if n_wiener is None:
        return dim
    if kind.startswith("diagonal") and n_wiener != dim:
        raise ValueError(f"n_wiener: {kind} noise has one Wiener process a coordinate, {dim}, got {n_wiener}")
    return n_wiener


def _three_points(start: FloatArray) -> FloatArray:
    """The start and two irregular neighbours, (3, d)."""
    index = np.arange(len(start))
    scale = 0.1 * (1.0 + np.abs(start))
    return np.stack([start, start + scale * np.cos(1.0 + index), start - scale * np.cos(2.0 + 3.0 * index)])


def _factors(spec: dict[str, Any], points: FloatArray, t: float) -> FloatArray:
    return _core.noise_factor(spec, frozen(np.ascontiguousarray(points)), t)


def _check_diagonal(name: str, spec: dict[str, Any], point: FloatArray, t: float) -> None:
    """Moves one coordinate at a time: the other coordinates' standard deviations must stay."""
    dim = len(point)
    own = np.einsum("ii->i", _factors(spec, point[None], t)[0]).copy()
    chunk = max(1, _LARGEST_FACTOR // (dim * dim))
    for first in range(0, dim, chunk):
        moved = np.arange(first, min(first + chunk, dim))
        points = np.repeat(point[None], len(moved), axis=0)
        points[np.arange(len(moved)), moved] += 1e-3 * (1.0 + np.abs(point[moved]))
        changes = np.abs(np.einsum("pii->pi", _factors(spec, points, t)) - own)
        changes[np.arange(len(moved)), moved] = 0.0
        false = np.argwhere(changes > 1e-10 * (1e-300 + np.abs(own).max()))
        if len(false):
            p, i = (int(k) for k in false[0])
            raise ValueError(
                f"{name}: declared 'diagonal', but entry {i} of the noise factor changes with coordinate "
                f"{int(moved[p])}; 'diagonal_coupled' is the kind of such noise"
            )


def _check_commutative(name: str, spec: dict[str, Any], point: FloatArray, t: float) -> None:
    """Σ_k b_ki ∂_k b_lj must be symmetric in (i, j); central differences."""
    dim = len(point)
    factor = _factors(spec, point[None], t)[0]
    count = factor.shape[1]
    operator = np.zeros((dim, count, count))  # l, i, j
    for k in range(dim):
        step = 6e-6 * (1.0 + abs(point[k]))
        points = np.repeat(point[None], 2, axis=0)
        points[0, k] += step
        points[1, k] -= step
        above, below = _factors(spec, points, t)
        operator += ((above - below) / (points[0, k] - points[1, k]))[:, None, :] * factor[k][None, :, None]
    difference = np.abs(operator - np.swapaxes(operator, 1, 2))
    allowed = 1e-5 * np.abs(operator).max() + 1e-8 * np.abs(factor).max() ** 2
    if difference.max(initial=0.0) > allowed:
        _, i, j = (int(k) for k in np.unravel_index(int(difference.argmax()), difference.shape))
        raise ValueError(
            f"{name}: declared 'commutative', but Wiener processes {i} and {j} do not commute "
            f"(Σ_k b_ki ∂_k b_lj is not symmetric in them); 'full' is the kind of such noise"
        )


def check_declared_kind(name: str, kind: str, spec: dict[str, Any], start: FloatArray, t: float) -> None:
    """Checks a declaration at three points near the start; ValueError naming the indices where it is false."""
    check = {"diagonal": _check_diagonal, "commutative": _check_commutative}.get(kind)
    if check is None:
        return
    for point in _three_points(start):
        # Where the factor is not finite (outside its domain) there is nothing to compare.
        if np.isfinite(_factors(spec, point[None], t)).all():
            check(name, spec, point, t)
