"""Stationary scales of linear dynamics under α-stable noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from optsde._arrays import FloatArray, as_vector
from optsde.dynamics import Dynamics
from optsde.noise import AlphaStable
from optsde.optimizers._base import Model
from optsde.theory._affine import check_constant, fit_affine, not_linear, origin_of, step_map
from optsde.theory._scipy import scipy_module

_WHAT = "stable_scale"
_MOST_STEPS = 20_000_000


def stable_scale(dynamics: Dynamics) -> FloatArray:
    """Scale of each parameter in the stationary law of a linear dynamics driven by α-stable noise.

    The law of coordinate i about the minimum is ``scale_i S``, with ``E exp(ikS) = exp(-|k|^α)``. In one dimension
    with curvature h, noise of scale c and q = ηh it is ``η c/(1 - |1 - q|^α)^(1/α)`` for the algorithm and
    ``η^((α-1)/α) c/(α h)^(1/α)`` for the equation.

    Parameters
    ----------
    dynamics : Dynamics
        SGD's algorithm, also with momentum and decay, or its Lévy-driven equation, on a quadratic loss with
        ``noise.AlphaStable``.

    Returns
    -------
    ndarray, shape (d,)

    Raises
    ------
    ValueError
        Where the dynamics is not linear or not stable, or its noise is another.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AlphaStable(1.5, 0.5))
    >>> sgd = optsde.SGD(0.1)
    >>> optsde.theory.stable_scale(sgd.discrete(problem)).round(10).tolist()
    [0.1801778499]
    >>> optsde.theory.stable_scale(sgd.sde(problem)).round(10).tolist()
    [0.1771097615]

    Source: Samorodnitsky, Taqqu: Stable Non-Gaussian Random Processes (1994), section 3.6; Simsekli, Sagun,
    Gurbuzbalaban (ICML 2019).
    """
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}")
    if not isinstance(dynamics, Model) or not isinstance(dynamics.problem.noise, AlphaStable):
        raise ValueError(f"{_WHAT}: expected a model of SGD with noise.AlphaStable, got {dynamics!r}")
    check_constant(dynamics, _WHAT)
    noise = dynamics.problem.noise
    scale = as_vector(noise.scale, dynamics.dim)
    if dynamics._discrete:
        step = step_map(dynamics, _WHAT)
        matrix, gain = step.matrix, step.gain * scale
        largest = float(np.abs(np.linalg.eigvals(matrix)).max())
        if largest >= 1.0:
            raise ValueError(
                f"{_WHAT}: no stationary law: along one direction a step multiplies by {largest:.6g} (expected less "
                "than 1)"
            )
        total = _diagonal_sum if _is_diagonal(matrix, gain) else _sum
        return np.asarray(total(matrix, gain, noise)[: dynamics.dim] ** (1.0 / noise.alpha))
    _, matrix, fits = fit_affine(dynamics.drift_at, origin_of(dynamics))
    if not fits:
        raise not_linear(dynamics, _WHAT)
    slowest = float(np.linalg.eigvals(matrix).real.max())
    if slowest >= 0.0:
        raise ValueError(f"{_WHAT}: no stationary law: along one direction the rate is {-slowest:.6g} (expected > 0)")
    # A jump of scale c η^((α-1)/α) per time^(1/α).
    gain = np.diag(scale * dynamics.time_per_step ** ((noise.alpha - 1.0) / noise.alpha))
    if _is_diagonal(matrix, gain):
        power = np.diag(gain) ** noise.alpha / (-noise.alpha * np.diag(matrix))
    else:
        power = _integral(matrix, gain, noise)
    return np.asarray(power ** (1.0 / noise.alpha))


def _is_diagonal(matrix: FloatArray, gain: FloatArray) -> bool:
    return matrix.shape == gain.shape and not (matrix != np.diag(np.diag(matrix))).any()


def _powers(kernel: FloatArray, noise: Any) -> FloatArray:
    """Scale^α of each row of kernel S: components add as powers α, or together where the law is isotropic."""
    if noise.isotropic:
        return np.asarray(np.linalg.norm(kernel, axis=-1) ** noise.alpha)
    return np.asarray((np.abs(kernel) ** noise.alpha).sum(axis=-1))


def _diagonal_sum(matrix: FloatArray, gain: FloatArray, noise: Any) -> FloatArray:
    return np.asarray(_powers(gain, noise) / (1.0 - np.abs(np.diag(matrix)) ** noise.alpha))


def _sum(matrix: FloatArray, gain: FloatArray, noise: Any) -> FloatArray:
    """Over all steps back, by blocks of steps, until nothing is added."""
    kernels, power = gain[None], matrix
    while len(kernels) < 1024 and len(kernels) * kernels[0].size < 1_000_000:
        kernels = np.concatenate([kernels, power @ kernels])
        power = power @ power
    total: FloatArray = np.zeros(len(matrix))
    steps = 0
    while True:
        part = _powers(kernels, noise).sum(axis=0)
        total, steps = total + part, steps + len(kernels)
        if (part <= 1e-16 * total).all():
            return np.asarray(total)
        if steps > _MOST_STEPS:
            raise ValueError(f"{_WHAT}: the slowest direction has not relaxed within {_MOST_STEPS} steps")
        kernels = power @ kernels


def _integral(matrix: FloatArray, gain: FloatArray, noise: Any) -> FloatArray:
    """Over all time back."""
    expm = scipy_module("linalg").expm
    result, error = scipy_module("integrate").quad_vec(
        lambda t: _powers(expm(matrix * t) @ gain, noise), 0.0, np.inf, epsrel=1e-11, epsabs=0.0, limit=2000
    )
    del error
    return np.asarray(result)
