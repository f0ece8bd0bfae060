"""Effective temperatures, and the learning rates that make them one."""

from __future__ import annotations

from typing import Any

import numpy as np

from optsde._arrays import FloatArray, as_vector_or_matrix, positive_number
from optsde.dynamics import Dynamics
from optsde.langevin import Langevin
from optsde.losses import DoubleWell, Loss, Quadratic, Quartic, Rastrigin, StyblinskiTang
from optsde.noise import Gaussian, StudentT, Zero
from optsde.optimizers import SGD
from optsde.optimizers._base import Model
from optsde.optimizers._rates import peak
from optsde.problem import Problem
from optsde.theory._affine import affine_of, check_constant, quadratic_hessian
from optsde.theory._lyapunov import stationary_covariance
from optsde.theory._results import Directions

_SEPARABLE = (DoubleWell, Quartic, StyblinskiTang, Rastrigin)
_COMMUTE = 1e-9
_WHAT = "effective_temperature"


def effective_temperature(dynamics: Dynamics) -> Directions:
    """The temperatures of the stationary law, one for each direction.

    Where loss and noise have the same principal directions, each direction has a temperature: the law along it is
    ``exp(-f/T)`` in the equations of order 1, and a quadratic direction carries the mean loss T/2 in any model.

    Parameters
    ----------
    dynamics : Dynamics
        ``Langevin``, ``UnderdampedLangevin`` and equations of SGD of order 1, with and without momentum, on any loss
        where the noise is isotropic, on losses that are sums over coordinates where it is diagonal; and every linear
        dynamics with a quadratic loss (see :func:`stationary_cov`): there ``T = h Var`` along each axis of the loss.

    Returns
    -------
    Directions
        An array (d,), with ``directions`` (d, d): the coordinates where those will do, in their order, else the axes
        of the loss by ascending curvature.

    Raises
    ------
    ValueError
        Where no such directions exist: the Hessian and the noise do not commute, and a current flows in the
        stationary state; or the model on this loss has no exact temperature.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([1.0, 3.0]), optsde.noise.Gaussian([4.0, 0.25]))
    >>> sgd = optsde.SGD(0.02)
    >>> optsde.theory.effective_temperature(sgd.sde(problem)).array.round(12).tolist()
    [0.04, 0.0025]
    >>> optsde.theory.effective_temperature(sgd.discrete(problem)).array.round(8).tolist()
    [0.04040404, 0.00257732]

    Source: Mandt, Hoffman, Blei (JMLR 18, 2017); Chaudhari, Soatto (ICLR 2018).
    """
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}")
    loss = dynamics._loss or getattr(dynamics, "loss", None)
    if loss is None:
        raise ValueError(f"{_WHAT}: the dynamics has no loss, to whose slope the noise could be compared: {dynamics!r}")
    direct = gibbs_temperatures(dynamics)
    if direct is not None and _splits(loss, direct):
        return Directions(direct, np.eye(len(direct)))
    return _of_linear(dynamics, loss)


def _splits(loss: Loss, temperatures: FloatArray) -> bool:
    """Whether the law ``exp(-f/T)`` can have these temperatures of the coordinates."""
    if np.ptp(temperatures) <= 1e-12 * temperatures.max():
        return True
    return isinstance(loss, _SEPARABLE) or (
        isinstance(loss, Quadratic) and not _tilted(as_vector_or_matrix(loss.H, loss.dim))
    )


def _tilted(matrix: FloatArray) -> bool:
    """Whether a vector or matrix has entries off its diagonal."""
    return matrix.ndim == 2 and bool((matrix != np.diag(np.diag(matrix))).any())


def gibbs_temperatures(dynamics: Any) -> FloatArray | None:
    """T_i (d,) of an equation of order 1 whose noise is constant and diagonal beside its mobility: the stationary law
    is ``exp(-Σ f_i/T_i)`` where the loss is such a sum. None for other dynamics.
    """
    import optsde

    d = int(getattr(dynamics, "dim", 0))
    underdamped = getattr(optsde, "UnderdampedLangevin", ())
    if isinstance(dynamics, Langevin) or (underdamped and isinstance(dynamics, underdamped)):
        return np.full(d, dynamics.temperature)
    if not isinstance(dynamics, Model) or not isinstance(dynamics.optimizer, SGD):
        return None
    sgd, problem = dynamics.optimizer, dynamics.problem
    noise = problem.noise
    if dynamics.form != "sde" or dynamics.order != 1 or sgd.weight_decay > 0.0:
        return None
    if not isinstance(noise, (Gaussian, StudentT, Zero)):
        return None
    check_constant(dynamics, _WHAT)
    assert isinstance(sgd.momentum, float)
    variances = np.zeros(d) if isinstance(noise, Zero) else as_vector_or_matrix(noise.cov, d)
    if _tilted(variances):
        return None
    variances = (np.diag(variances) if variances.ndim == 2 else variances) / problem.batch_size
    rates = np.broadcast_to(sgd.lr if isinstance(sgd.lr, np.ndarray) else peak(sgd.lr), (d,))
    return np.asarray(rates * variances / (2.0 * (1.0 - sgd.momentum)))


def _of_linear(dynamics: Dynamics, loss: Loss) -> Directions:
    """``h Var`` along the axes of a quadratic loss."""
    try:
        affine = affine_of(dynamics, _WHAT)
    except ValueError as error:
        raise ValueError(
            f"{error}; a temperature is exact for linear dynamics, and for equations of order 1 without decay, whose "
            "noise is constant and isotropic, or diagonal on a sum over coordinates"
        ) from None
    affine.check_stable(_WHAT)
    d = affine.dim
    hessian = quadratic_hessian(loss, affine.origin[:d])
    cov = stationary_covariance(affine, _WHAT)[:d, :d]
    product = hessian @ cov
    if np.abs(product - product.T).max() > _COMMUTE * np.abs(product).max():
        raise ValueError(
            f"{_WHAT}: the Hessian of the loss and the stationary covariance do not commute (noise and loss have "
            "different principal directions): no direction has a temperature, and a current flows in the stationary "
            "state; theory.stationary_cov is the law"
        )
    if not _tilted(hessian):
        return Directions(np.diag(product).copy(), np.eye(d))
    _, axes = np.linalg.eigh(hessian)
    return Directions(np.einsum("ik,ij,jk->k", axes, product, axes), axes.T)


def gibbs_restoring_lr(problem: Problem, lr: float) -> FloatArray:
    """Learning rates of the parameters with which SGD has one temperature: ``lr/s_i²``, which makes it ``lr/2``.

    Parameters
    ----------
    problem : Problem
        With constant noise of independent components: ``s_i² = Σ_ii/B``, the variance of a step's gradient.
    lr : float
        Twice the temperature.

    Returns
    -------
    ndarray, shape (d,)
        For ``SGD(lr=...)``, whose equation of order 1 then has the law ``exp(-2 f/lr)``, for any loss.

    Raises
    ------
    ValueError
        Where the noise depends on the state, has correlations, or a variance is 0.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic([1.0, 3.0]), optsde.noise.Gaussian([4.0, 0.25]))
    >>> rates = optsde.theory.gibbs_restoring_lr(problem, 0.02)
    >>> rates.tolist()
    [0.005, 0.08]
    >>> optsde.theory.effective_temperature(optsde.SGD(rates).sde(problem)).array.tolist()
    [0.01, 0.01]
    """
    if not isinstance(problem, Problem):
        raise TypeError(f"problem: expected an optsde.Problem, got {type(problem).__name__}")
    twice, noise = positive_number("lr", lr), problem.noise
    if not isinstance(noise, (Gaussian, StudentT)):
        raise ValueError(
            f"problem: expected constant noise (noise.Gaussian, noise.StudentT), got noise.{type(noise).__name__}"
        )
    variances = as_vector_or_matrix(noise.cov, problem.dim)
    if _tilted(variances):
        raise ValueError(
            "problem: expected noise with independent components: no rates of single parameters make a Gibbs law where "
            "they are correlated"
        )
    variances = (np.diag(variances) if variances.ndim == 2 else variances) / problem.batch_size
    if variances.min() <= 0.0:
        raise ValueError(f"problem: expected positive variances, got {float(variances.min()):g}")
    return np.asarray(twice / variances)
