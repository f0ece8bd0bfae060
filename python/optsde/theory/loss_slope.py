"""How the loss at which SGD settles grows with the learning rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from optsde import _core
from optsde._arrays import real_array, real_number
from optsde.problem import Problem

# The gradient's square at a minimum as a share of the noise: what is left out of the slope is of this order.
_AT_MINIMUM = 1e-4


def converged_loss_slope(problem: Problem, theta_star: ArrayLike, *, momentum: float = 0.0) -> float:
    """``dL/dη`` at η = 0 of the mean loss of SGD's stationary law about a minimum: ``¼ tr Σ/B``.

    The mean loss is ``L(θ*) + slope · η`` for small η. On per-example losses that are quadratic it is exactly
    ``L(θ*) + (η/4) E|g|²``, with the squared gradient in the stationary law.

    Parameters
    ----------
    problem : Problem
    theta_star : float or (d,) array_like
        The minimum.
    momentum : float in [0, 1)
        Of the heavy ball, which multiplies the slope by ``1/(1 - momentum)``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Where the gradient at theta_star is not small beside its noise, or the noise has no covariance.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([1.0, 3.0]), optsde.noise.Gaussian([4.0, 0.25]), batch_size=2)
    >>> round(optsde.theory.converged_loss_slope(problem, [0.0, 0.0]), 12)
    0.53125

    Source: stationarity of E|θ - θ*|²; see Jastrzębski et al.: Three factors influencing minima in SGD (2017).
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"problem: expected an optsde.Problem, got {type(problem).__name__}")
    if not problem.noise._finite_variance:
        raise ValueError("problem: α-stable noise has no covariance, and the mean loss is infinite")
    problem.noise._check_equation()
    beta = real_number("momentum", momentum)
    if not 0.0 <= beta < 1.0:
        raise ValueError(f"momentum: expected a number in [0, 1), got {beta:g}")
    point = np.atleast_1d(real_array("theta_star", theta_star))
    if point.shape != (problem.dim,):
        raise ValueError(f"theta_star: expected shape ({problem.dim},), got {point.shape}")
    spec = {"kind": "sgd_sde", "lr": 1.0} | problem._spec()
    trace = float(np.square(_core.noise_factor(spec, np.ascontiguousarray(point[None]), 0.0)).sum())
    steepness = float(np.square(problem.loss.grad(point)).sum())
    if steepness > _AT_MINIMUM * trace + 1e-24:
        raise ValueError(
            f"theta_star: expected a minimum, got a gradient of norm {np.sqrt(steepness):.3g}, where that of the noise "
            f"is {np.sqrt(trace):.3g}"
        )
    return trace / (4.0 * (1.0 - beta))
