"""The stationary E[X²] of schemes for dX = -U'(X) dt + √(2T) dW, U = x⁴/4 + x²/2, T = 1, by quadrature: no noise.

A scheme maps x and normal numbers to the next x, so its transition operator takes a function f to the mean of f over
those numbers: Gauss-Hermite quadrature, with f between the points of a grid by polynomials of degree 5. Applied often
enough to what is observed it gives the mean of that under the scheme's stationary law, the same from every start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT = 0.4679199170
# exp(-U) is below 1e-35 at the ends. A chain that leaves starts again at 0: what a scheme does there, where long steps
# diverge, is not in its law.
END = 4.2
_POINTS = 561
_TIME = 40.0  # the operator's second eigenvalue is about exp(-1.8 t)
_DEGREE = 5


def force(x: Array) -> Array:
    return -x * (x * x + 1.0)


def _heun(x: Array, h: float, z: Array, _: Array) -> Array:
    y = x + h * force(x) + math.sqrt(2.0 * h) * z
    return y + 0.5 * h * (force(y) - force(x))


def _sra1(x: Array, h: float, z: Array, other: Array) -> Array:
    dw = math.sqrt(2.0 * h) * z
    area = 0.5 * (dw + math.sqrt(2.0 * h / 3.0) * other)  # I_10 / h
    return x + h * (force(x) + 2.0 * force(x + 0.75 * h * force(x) + 1.5 * area)) / 3.0 + dw


def _sra3(x: Array, h: float, z: Array, other: Array) -> Array:
    dw = math.sqrt(2.0 * h) * z
    area = 0.5 * (dw + math.sqrt(2.0 * h / 3.0) * other)  # I_10 / h
    begin, end = force(x), force(x + h * force(x))
    return x + h * (begin + end + 4.0 * force(x + 0.25 * h * (begin + end) + 1.5 * area)) / 6.0 + dw


def _splitting(x: Array, h: float, z: Array, other: Array) -> Array:
    """The linear part and the noise exactly, in two halves around a midpoint step of -x³."""
    keep = math.exp(-0.5 * h)
    spread = math.sqrt(1.0 - keep**2)
    y = keep * x + spread * z
    return keep * (y - h * (y - 0.5 * h * y**3) ** 3) + spread * other


# name -> the step, how many random numbers it takes, and the points of their quadrature. The additive noise makes
# Platen's scheme Heun's. Quadrature with three points is the law of three-point increments itself.
SCHEMES: dict[str, tuple[Callable[[Array, float, Array, Array], Array], int, int]] = {
    "euler_maruyama": (lambda x, h, z, _: x + h * force(x) + math.sqrt(2.0 * h) * z, 1, 48),
    # the Markov chain behind it, y, whose next x is y + √(h/2) z with the same z
    "leimkuhler_matthews": (
        lambda y, h, z, _: y + h * force(y + math.sqrt(0.5 * h) * z) + math.sqrt(2.0 * h) * z,
        1,
        48,
    ),
    "heun": (_heun, 1, 48),
    "heun_three_point": (_heun, 1, 3),
    "sra1": (_sra1, 2, 24),
    "sra3": (_sra3, 2, 24),
    "exponential_splitting": (_splitting, 2, 24),
}


def _operator(name: str, h: float) -> tuple[Array, Array]:
    """The transition matrix on the grid (n, n), and the grid."""
    step, normals, points = SCHEMES[name]
    z, weight = np.polynomial.hermite_e.hermegauss(points)
    weight = weight / weight.sum()
    grid, width = np.linspace(-END, END, _POINTS, retstep=True)
    matrix = np.zeros((_POINTS, _POINTS))
    rows = np.arange(_POINTS)
    nodes = np.arange(_DEGREE + 1.0)
    for second, its_weight in zip(z, weight, strict=True) if normals == 2 else [(0.0, 1.0)]:
        to = step(grid[:, None], h, z[None, :], np.full((1, 1), second))
        to = np.where(np.abs(to) <= END, to, 0.0)
        left = np.clip(np.floor((to + END) / width).astype(int) - _DEGREE // 2, 0, _POINTS - _DEGREE - 1)
        place = (to - grid[left]) / width
        for k in range(_DEGREE + 1):
            basis = np.prod([(place - m) / (k - m) for m in nodes if m != k], axis=0)
            flat = (rows[:, None] * _POINTS + left + k).ravel()
            share = (its_weight * weight * basis).ravel()
            matrix += np.bincount(flat, share, minlength=_POINTS**2).reshape(matrix.shape)
    return matrix, grid


@cache
def second_moment(name: str, h: float) -> float:
    """E[X²] under the stationary law of a scheme with steps of h."""
    matrix, grid = _operator(name, h)
    seen = grid**2
    squarings = math.ceil(math.log2(_TIME / h))
    # the last few steps, of which there are 2^6 at a time, one by one: they need no squaring
    for _ in range(max(squarings - 6, 0)):
        matrix = matrix @ matrix
    for _ in range(2**6):
        seen = matrix @ seen
    moment = float(seen[_POINTS // 2])
    return moment + 0.5 * h if name == "leimkuhler_matthews" else moment


def bias(name: str, h: float) -> float:
    """The error of that; of "talay_tubaro", two runs of Euler-Maruyama with steps of h and h/2, extrapolated."""
    if name == "talay_tubaro":
        return 2.0 * bias("euler_maruyama", 0.5 * h) - bias("euler_maruyama", h)
    return second_moment(name, h) - EXACT
