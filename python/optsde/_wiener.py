"""Noise kinds that a user may declare, how many Wiener processes they have, and whether the declaration is true."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde import _core
from optsde._arrays import FloatArray, frozen

DECLARABLE = ("diagonal", "diagonal_coupled", "commutative", "full")


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


def _deviations(spec: dict[str, Any], points: FloatArray, t: float) -> FloatArray:
    """The diagonal (n, d) of a diagonal factor, up to a constant.

    A Python function is asked for it as it is: the native module answers with matrices, d² numbers a point.
    """
    function = spec["diffusion"] if spec["kind"] == "sde" else spec["noise"]["factor"]
    if callable(function):
        x = frozen(np.array(points, order="F"))
        answer = np.asarray(function(t, x) if spec["kind"] == "sde" else function(x))
        # What does not fit is left to the native module, which says what is wrong.
        if answer.shape == points.shape and answer.dtype.kind in "biuf":
            return np.asarray(answer, dtype=np.float64)
    return np.asarray(np.einsum("pii->pi", _factors(spec, points, t)))


def _check_diagonal(name: str, spec: dict[str, Any], point: FloatArray, t: float) -> None:
    """Moves half of the coordinates at a time: the standard deviations of the others must stay.

    Any two coordinates differ in a bit of their indices, so the halves by each bit separate them all.
    """
    dim = len(point)
    index = np.arange(dim)
    # Uneven steps: functions of differences or ratios must show a change too.
    steps = 1e-3 * (1.0 + np.abs(point)) * (1.0 + 0.5 * np.cos(1.0 + index))
    own = _deviations(spec, point[None], t)[0]
    allowed = 1e-10 * (1e-300 + np.abs(own).max())

    def changed(moved: NDArray[np.bool_]) -> NDArray[np.intp]:
        there = _deviations(spec, np.where(moved, point + steps, point)[None], t)[0]
        return np.flatnonzero((np.abs(there - own) > allowed) & ~moved)

    for bit in range((dim - 1).bit_length()):
        for half in (0, 1):
            moved = (index >> bit) & 1 == half
            entries = changed(moved)
            if len(entries) == 0:
                continue
            # Halve the moved ones until one is left that changes the entry.
            while np.count_nonzero(moved) > 1:
                candidates = np.flatnonzero(moved)
                parts = np.array_split(candidates, 2)
                guilty = next((part for part in parts if entries[0] in changed(np.isin(index, part))), candidates[:1])
                moved = np.isin(index, guilty)
            raise ValueError(
                f"{name}: declared 'diagonal', but entry {int(entries[0])} of the noise factor changes with coordinate "
                f"{int(np.flatnonzero(moved)[0])}; 'diagonal_coupled' is the kind of such noise"
            )


def _check_commutative(name: str, spec: dict[str, Any], point: FloatArray, t: float) -> None:
    """Σ_k b_ki ∂_k b_lj, the derivative of column j along i, must be symmetric in (i, j); central differences."""
    factor = _factors(spec, point[None], t)[0]
    dim, count = factor.shape
    operator = np.zeros((dim, count, count))  # l, i, j
    for i, column in enumerate(factor.T):
        largest = (np.abs(column) / (1.0 + np.abs(point))).max()
        if count == 1 or largest == 0.0:
            continue
        step = 6e-6 / largest
        above, below = _factors(spec, np.stack([point + step * column, point - step * column]), t)
        operator[:, i, :] = (above - below) / (2.0 * step)
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
    factor = _deviations if kind == "diagonal" else _factors
    for point in _three_points(start):
        # Where the factor is not finite (outside its domain) there is nothing to compare.
        if np.isfinite(factor(spec, point[None], t)).all():
            check(name, spec, point, t)
