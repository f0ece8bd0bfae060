"""Relaxation times and integrated autocorrelation times of linear dynamics."""

from __future__ import annotations

import numpy as np

from optsde._arrays import FloatArray, integer, positive_number
from optsde.dynamics import Dynamics
from optsde.theory._affine import Affine, affine_of
from optsde.theory._lyapunov import lyapunov, stationary_covariance
from optsde.theory._results import Blocks
from optsde.theory._scipy import scipy_module


def relaxation_times(dynamics: Dynamics) -> FloatArray:
    """The times in which deviations of the mean fall by a factor e, one for each mode, the slowest first.

    Parameters
    ----------
    dynamics : Dynamics
        Linear, as for :func:`stationary_cov`.

    Returns
    -------
    ndarray, shape (D,)
        In units of time; of algorithms, divide by ``time_per_step`` for steps. Oscillating modes have the time of
        their envelope.

    Raises
    ------
    ValueError
        Where the dynamics is not linear or not stable.

    Examples
    --------
    >>> import optsde
    >>> optsde.theory.relaxation_times(optsde.OrnsteinUhlenbeck([2.0, 0.5], mean=0.0, cov=1.0)).tolist()
    [2.0, 0.5]
    """
    affine = affine_of(dynamics, "relaxation_times")
    affine.check_stable("relaxation_times")
    values = affine.eigenvalues()
    if affine.step is None:
        rates = -values.real
    else:
        with np.errstate(divide="ignore"):
            rates = -np.log(np.abs(values)) / affine.step
    rates = np.concatenate([rates, *(rate for _, rate in affine.settled.values())])
    return np.asarray(np.sort(1.0 / rates)[::-1])


def iact(dynamics: Dynamics, *, every: float | None = None, power: int = 1) -> Blocks:
    """The integrated autocorrelation time of each coordinate in the stationary law: n samples are worth n/iact.

    Parameters
    ----------
    dynamics : Dynamics
        Linear, as for :func:`stationary_cov`, with a stationary covariance.
    every : float, optional
        Time between samples; the result then counts samples. Without it an algorithm is sampled in each step, and
        of an equation the whole path is averaged: its result is the time ``∫ρ(s) ds`` over all s, both signs.
    power : {1, 2}
        2: of the squared deviation from the mean, of Gaussian laws.

    Returns
    -------
    Blocks
        ``["theta"]`` (d,), and so for further variables.

    Raises
    ------
    ValueError
        Where the dynamics is not linear or not stable, ``every`` is no whole number of steps, or power is 2 and the
        noise depends on the state. NaN for a coordinate that does not fluctuate.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0))
    >>> round(float(optsde.theory.iact(optsde.SGD(0.1).discrete(problem))), 9)
    19.0
    >>> round(float(optsde.theory.iact(optsde.Langevin(problem.loss, 1.0), every=0.1)), 9)
    20.01666389

    Source: Sokal: Monte Carlo methods in statistical mechanics (1997).
    """
    affine = affine_of(dynamics, "iact")
    affine.check_stable("iact")
    if integer("power", power, 1, 2) == 2 and not affine.noise.constant:
        raise ValueError("power: of noise that depends on the state the law is not Gaussian, and 2 is not known")
    cov = stationary_covariance(affine, "iact")
    matrix = _sampled(affine, None if every is None else positive_number("every", every))
    function = _linear_times if power == 1 else _square_times
    with np.errstate(divide="ignore", invalid="ignore"):
        times = function(affine.matrix if matrix is None else matrix, cov, matrix is not None)
    d, whole = affine.dim, np.full(affine.dim * len(affine.names), np.nan)
    for k, name in enumerate(affine.moving):
        at = affine.names.index(name) * d
        whole[at : at + d] = times[k * d : (k + 1) * d]
    return Blocks(whole, affine.names, pairs=False)


def _sampled(affine: Affine, every: float | None) -> FloatArray | None:
    """What multiplies deviations from one sample to the next; None for a path in continuous time."""
    if affine.step is None:
        return None if every is None else np.asarray(scipy_module("linalg").expm(affine.matrix * every))
    if every is None:
        return affine.matrix
    steps = round(every / affine.step)
    if steps < 1 or abs(steps * affine.step - every) > 1e-9 * every:
        raise ValueError(f"every: expected a whole number of steps of {affine.step:.12g}, got {every:.12g}")
    return np.asarray(np.linalg.matrix_power(affine.matrix, steps))


def _linear_times(matrix: FloatArray, cov: FloatArray, discrete: bool) -> FloatArray:
    """From the autocovariance ``Mʳ V``, or ``exp(M r) V``, summed over all r."""
    eye = np.eye(len(cov))
    total: FloatArray
    if discrete:
        total = 2.0 * np.linalg.solve(eye - matrix, cov) - cov
    else:
        total = np.asarray(-2.0 * np.linalg.solve(matrix, cov))
    return np.asarray(np.diag(total) / np.diag(cov))


def _square_times(matrix: FloatArray, cov: FloatArray, discrete: bool) -> FloatArray:
    """The same of the squared autocovariance: of Gaussian laws, that of squares has twice its square."""
    times: FloatArray = np.empty(len(cov), dtype=np.float64)
    for i, column in enumerate(cov.T):
        total = float(lyapunov(matrix, np.outer(column, column), discrete=discrete)[i, i])
        times[i] = 2.0 * total / cov[i, i] ** 2 - float(discrete)
    return times
