"""Stationary covariances: Lyapunov's equations, with noise that may grow with the state."""

from __future__ import annotations

import numpy as np

from optsde._arrays import FloatArray
from optsde.theory._affine import Affine
from optsde.theory._scipy import scipy_module

_RESTARTS = 60


def lyapunov(matrix: FloatArray, source: FloatArray, *, discrete: bool) -> FloatArray:
    """V of ``M V + V Mᵀ + source = 0``, or of ``V = M V Mᵀ + source``."""
    linalg = scipy_module("linalg")
    if discrete:
        return np.asarray(linalg.solve_discrete_lyapunov(matrix, source))
    return np.asarray(linalg.solve_continuous_lyapunov(matrix, -source))


def stationary_covariance(affine: Affine, what: str) -> FloatArray:
    """Covariance (D, D) of the moving variables of a stable system; ValueError where there is none.

    With noise ``Σ(mean) + N(V)``: V solves Lyapunov's equation with the source ``Σ(mean) + N(V)``. N is a positive
    operator, so there is a stationary covariance just where the equation with the source ``1 + N(X)`` has a positive
    definite solution X (Damm: Rational Matrix Equations in Stochastic Control, 2004, theorem 3.6.1).
    """
    discrete = affine.step is not None
    noise = affine.noise
    source = noise.at(affine.rest())
    if noise.constant:
        return _symmetric(lyapunov(affine.matrix, source, discrete=discrete))
    trial = _fixed_point(affine, np.eye(len(source)), discrete)
    if trial is None or np.linalg.eigvalsh(trial)[0] <= 0.0:
        raise ValueError(
            f"{what}: no stationary covariance: the noise grows with the distance from the minimum faster than the "
            "drift contracts; the law, if there is one, has tails without a second moment. A smaller learning rate or "
            "a larger batch has one"
        )
    cov = _fixed_point(affine, source, discrete)
    assert cov is not None
    return _symmetric(cov)


def _symmetric(matrix: FloatArray) -> FloatArray:
    return np.asarray((matrix + matrix.T) / 2.0)


def _fixed_point(affine: Affine, source: FloatArray, discrete: bool) -> FloatArray | None:
    """V of Lyapunov's equation with the source ``source + N(V)``, by GMRES on its own residual until it stays; None
    where that fails.
    """
    linalg = scipy_module("sparse.linalg")
    shape = source.shape

    def solve(right: FloatArray) -> FloatArray:
        return lyapunov(affine.matrix, _symmetric(right), discrete=discrete)

    def apply(flat: FloatArray) -> FloatArray:
        # The identity on antisymmetric parts, so that the operator has no null space for rounding to wander into.
        return np.asarray(flat - solve(affine.noise.spread(_symmetric(flat.reshape(shape)))).ravel())

    operator = linalg.LinearOperator((source.size, source.size), matvec=apply, dtype=np.float64)
    target = solve(source)
    if not np.isfinite(target).all():
        return None
    cov, goal = np.zeros(source.size), 1e-14 * float(np.linalg.norm(target))
    for _ in range(4):
        rest = target.ravel() - apply(cov)
        if np.linalg.norm(rest) <= goal:
            break
        change, _ = linalg.gmres(operator, rest, rtol=1e-12, atol=0.0, restart=min(source.size, 200), maxiter=_RESTARTS)
        cov = cov + change
    good = np.linalg.norm(target.ravel() - apply(cov)) <= 1e-9 * max(np.linalg.norm(cov), np.linalg.norm(target))
    return _symmetric(cov.reshape(shape)) if good else None
