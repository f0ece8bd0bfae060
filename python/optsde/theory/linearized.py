"""A problem as it looks from a minimum: its parabola there, and its noise as it is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from optsde import _core
from optsde._arrays import real_array
from optsde._twin import parabola
from optsde.noise import Gaussian, Zero
from optsde.optimizers import SGD
from optsde.problem import Problem


def linearized(problem: Problem, theta_star: ArrayLike | None = None) -> Problem:
    """The quadratic loss and the constant Gaussian noise that a problem has next to a minimum.

    An optimizer's equation of it is linear: the Ornstein-Uhlenbeck prediction that is usually made of the law near a
    minimum, whose covariance is ``stationary_cov(optimizer.sde(linearized(problem)))``.

    Parameters
    ----------
    problem : Problem
    theta_star : (d,) array_like, optional
        The minimum; by default the first of the loss's ``minima``.

    Returns
    -------
    Problem
        With ``losses.Quadratic`` (the Hessian at the point; its centre where the parabola has its minimum) and
        ``noise.Gaussian`` (Σ at the point), and the batch size of the problem.

    Raises
    ------
    ValueError
        Where no minimum is known and none is given, or Hessian or covariance cannot be had.

    Examples
    --------
    >>> import numpy as np, optsde
    >>> data = optsde.datasets.sparse_regression(200, 3, 1, noise=0.5, rng=1)
    >>> loss = optsde.losses.LinearRegression(data.X, data.y)
    >>> problem = optsde.Problem(loss, optsde.noise.Minibatch(), batch_size=10)
    >>> prediction = optsde.theory.stationary_cov(optsde.SGD(0.05).sde(optsde.theory.linearized(problem)))
    >>> np.asarray(prediction).shape
    (3, 3)

    Source: Mandt, Hoffman, Blei: Stochastic gradient descent as approximate Bayesian inference (JMLR 18, 2017),
    section 3.
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"problem: expected a Problem, got {type(problem).__name__}")
    if theta_star is None:
        minima = getattr(problem.loss, "minima", ())
        known = np.asarray(minima, dtype=np.float64)
        if not known.size:
            raise ValueError(f"theta_star: {type(problem.loss).__name__} knows no minimum; give one")
        point = known[0]
    else:
        point = real_array("theta_star", theta_star)
        if point.shape != (problem.dim,):
            raise ValueError(f"theta_star: expected shape ({problem.dim},), got {point.shape}")
    loss = parabola(problem.loss, point)
    if loss is None:
        raise ValueError("theta_star: the loss has no Hessian there, or one that is singular")
    if isinstance(problem.noise, Zero):
        return Problem(loss, problem.noise, problem.batch_size)
    # Of plain SGD with rate 1: S/√B up to a sign, whatever the number of its columns.
    factor = _core.noise_factor(SGD(1.0).sde(problem)._spec(), np.ascontiguousarray(point[None]), 0.0)[0]
    cov = np.einsum("im,jm->ij", factor, factor) * problem.batch_size
    if not np.isfinite(cov).all():
        raise ValueError("problem: its noise has no finite covariance there")
    return Problem(loss, Gaussian((cov + cov.T) / 2.0), problem.batch_size)
