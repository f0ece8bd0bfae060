"""Exact mean and covariance of linear dynamics at any time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, real_array
from optsde.dynamics import Dynamics
from optsde.initial import Initial, Points, initial_state
from optsde.theory._affine import Affine, affine_of
from optsde.theory._results import Blocks
from optsde.theory._scipy import scipy_module

# With noise that depends on the state there is one matrix for all second moments, of about D² rows.
_LARGEST_STATE = 32


class TransientMoments(NamedTuple):
    """Mean and covariance of a dynamics at the asked times, each by variable.

    Attributes
    ----------
    mean : Blocks, shape (..., D)
    cov : Blocks, shape (..., D, D)
    """

    mean: Blocks
    cov: Blocks


def transient_moments(dynamics: Dynamics, theta0: Any, t: ArrayLike) -> TransientMoments:
    """The exact mean and covariance of a linear dynamics at times after its start.

    Parameters
    ----------
    dynamics : Dynamics
        As for :func:`stationary_cov`, without adaptive equations; it need not be stable.
    theta0 : float, (d,) array_like, dict or law of :mod:`optsde.initial`
        The start, as of :func:`optsde.simulate`; further variables that are not given start at 0.
    t : float or (T,) array_like
        Times since the start, >= 0. Of algorithms, whole numbers of ``time_per_step``.

    Returns
    -------
    TransientMoments
        ``mean`` and ``cov``, of shapes (D,) and (D, D), or (T, D) and (T, D, D); ``mean["theta"]`` and
        ``cov["theta", "theta"]`` are those of θ.

    Raises
    ------
    ValueError
        Where the dynamics is not linear, or a time is negative or no whole number of steps.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(2.0, dim=1), optsde.noise.Gaussian(2.25))
    >>> mean, cov = optsde.theory.transient_moments(optsde.SGD(0.1).discrete(problem), 1.0, 1.0)
    >>> round(float(mean), 12), round(float(cov), 12)
    (0.1073741824, 0.06177942406)

    Source: Van Loan: Computing integrals involving the matrix exponential (IEEE TAC 23, 1978).
    """
    affine = affine_of(dynamics, "transient_moments")
    if affine.settled:
        raise ValueError(
            f"transient_moments: before the second moment has settled the equation depends on time; got {dynamics!r}"
        )
    times = real_array("t", t)
    if times.ndim > 1 or times.size == 0 or (times < 0.0).any():
        raise ValueError(f"t: expected times of at least 0, a number or shape (T,), got {times.tolist()}")
    mean0, cov0 = _start(theta0, dynamics)
    advance = _Additive(affine) if affine.noise.constant else _Multiplicative(affine)
    pairs = [advance(mean0 - affine.origin, cov0, _duration(affine, float(x))) for x in np.atleast_1d(times)]
    mean = np.stack([m for m, _ in pairs]).reshape(*times.shape, -1) + affine.origin
    cov = np.stack([(c + c.T) / 2.0 for _, c in pairs]).reshape(*times.shape, *cov0.shape)
    return TransientMoments(Blocks(mean, affine.names, pairs=False), Blocks(cov, affine.names, pairs=True))


def _duration(affine: Affine, t: float) -> float:
    """The time of an equation, the number of steps of an algorithm."""
    if affine.step is None:
        return t
    steps = round(t / affine.step)
    if abs(steps * affine.step - t) > 1e-9 * max(t, affine.step):
        low = np.floor(t / affine.step) * affine.step
        raise ValueError(
            f"t: an algorithm has whole steps of {affine.step:.12g}; expected {low:.12g} or {low + affine.step:.12g}, "
            f"got {t:.12g}"
        )
    return float(steps)


def _law(start: Initial, dim: int) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of a law of one variable."""
    if isinstance(start, Points) and len(start.points) > 1:
        raise ValueError(
            f"theta0: expected one start or a law from optsde.initial, got {len(start.points)} rows; each row has its "
            "own moments"
        )
    spec = start._spec(dim)
    if "gaussian" in spec:
        mean, factor = spec["gaussian"]
        return mean, factor @ factor.T
    if "uniform" in spec:
        low, high = spec["uniform"]
        return (low + high) / 2.0, np.diag(np.square(high - low) / 12.0)
    return spec["points"][0], np.zeros((dim, dim))


def _start(theta0: Any, dynamics: Dynamics) -> tuple[FloatArray, FloatArray]:
    """Mean (D,) and covariance (D, D) of all variables at the start."""
    start, given, _ = initial_state(theta0, dynamics, None, np.dtype(np.float64))
    d, names = dynamics.dim, list(dynamics.state)
    mean, cov = np.zeros(d * len(names)), np.zeros((d * len(names),) * 2)
    for name, law in [("theta", start), *given]:
        rows = slice(names.index(name) * d, (names.index(name) + 1) * d)
        mean[rows], cov[rows, rows] = _law(law, d)
    return mean, cov


class _Additive:
    """Constant noise: a matrix and a covariance for a short time, or one step, composed with themselves."""

    def __init__(self, affine: Affine) -> None:
        size = len(affine.matrix)
        self.discrete = affine.step is not None
        # With a coordinate that is always 1 the shift is part of the matrix.
        self.matrix = np.zeros((size + 1, size + 1))
        self.matrix[:size, :size], self.matrix[:size, size] = affine.matrix, affine.shift
        self.matrix[size, size] = float(self.discrete)
        self.source = np.zeros((size + 1, size + 1))
        self.source[:size, :size] = affine.noise.at(np.zeros(size))

    def _short(self, h: float) -> tuple[FloatArray, FloatArray]:
        """Van Loan's block exponential, for a time in which nothing grows much."""
        n = len(self.matrix)
        block = np.block([[-self.matrix, self.source], [np.zeros((n, n)), self.matrix.T]])
        whole = scipy_module("linalg").expm(block * h)
        step = whole[n:, n:].T
        return step, step @ whole[:n, n:]

    def __call__(self, deviation: FloatArray, cov: FloatArray, duration: float) -> tuple[FloatArray, FloatArray]:
        n = len(self.matrix)
        if self.discrete:
            power, base = int(duration), (self.matrix, self.source)
        else:
            halvings = max(0, int(np.ceil(np.log2(np.abs(self.matrix).sum(axis=1).max() * duration + 1e-300))))
            power, base = 2**halvings, self._short(duration / 2**halvings)
        step, noise = np.eye(n), np.zeros((n, n))
        while power:
            if power % 2:
                step, noise = base[0] @ step, base[0] @ noise @ base[0].T + base[1]
            base = base[0] @ base[0], base[0] @ base[1] @ base[0].T + base[1]
            power //= 2
        inner = step[:-1, :-1]
        return inner @ deviation + step[:-1, -1], inner @ cov @ inner.T + noise[:-1, :-1]


class _Multiplicative:
    """Noise quadratic in the state: one matrix for the covariance C and the square P of the mean (with a 1).

    ``dC = F C + C Fᵀ + N(C) + Σ(P)``, ``dP = F P + P Fᵀ``, and so for steps: nothing cancels where the mean is far.
    """

    def __init__(self, affine: Affine) -> None:
        size = len(affine.matrix)
        if size > _LARGEST_STATE:
            raise ValueError(
                f"transient_moments: with noise that depends on the state up to {_LARGEST_STATE} numbers of state are "
                f"done, got {size}"
            )
        self.affine, self.size = affine, size
        self.inner, self.outer = np.triu_indices(size), np.triu_indices(size + 1)
        self.count = len(self.inner[0])
        discrete = affine.step is not None
        whole = np.zeros((size + 1, size + 1))
        whole[:size, :size], whole[:size, size], whole[size, size] = affine.matrix, affine.shift, float(discrete)

        def moved(matrix: FloatArray, second: FloatArray) -> FloatArray:
            if discrete:
                return np.asarray(matrix @ second @ matrix.T)
            return np.asarray(matrix @ second + second @ matrix.T)

        total = self.count + len(self.outer[0])
        self.matrix = np.empty((total, total))
        for k in range(total):
            cov, square = self._unpack(np.eye(1, total, k)[0])
            noise = affine.noise.mean(square[:-1, -1], square[-1, -1], cov + square[:-1, :-1])
            self.matrix[:, k] = self._pack(moved(affine.matrix, cov) + noise, moved(whole, square))

    def _pack(self, cov: FloatArray, square: FloatArray) -> FloatArray:
        return np.concatenate([cov[self.inner], square[self.outer]])

    def _unpack(self, flat: FloatArray) -> tuple[FloatArray, FloatArray]:
        cov, square = np.zeros((self.size, self.size)), np.zeros((self.size + 1, self.size + 1))
        cov[self.inner], square[self.outer] = flat[: self.count], flat[self.count :]
        return cov + np.triu(cov, 1).T, square + np.triu(square, 1).T

    def __call__(self, deviation: FloatArray, cov: FloatArray, duration: float) -> tuple[FloatArray, FloatArray]:
        point = np.append(deviation, 1.0)
        start = self._pack(cov, np.outer(point, point))
        if self.affine.step is None:
            end = scipy_module("linalg").expm(self.matrix * duration) @ start
        else:
            end = np.linalg.matrix_power(self.matrix, int(duration)) @ start
        final, square = self._unpack(end)
        return square[:-1, -1], final
