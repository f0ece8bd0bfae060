"""Exact stationary mean and covariance of linear dynamics."""

from __future__ import annotations

import numpy as np

from optsde.dynamics import Dynamics
from optsde.theory._affine import affine_of
from optsde.theory._lyapunov import stationary_covariance
from optsde.theory._results import Blocks


def stationary_mean(dynamics: Dynamics) -> Blocks:
    """The exact mean of the stationary law of a linear dynamics.

    Parameters
    ----------
    dynamics : Dynamics
        As for :func:`stationary_cov`.

    Returns
    -------
    Blocks
        ``mean["theta"]``, ``mean["v"]``, … of shape (d,); as an array (D,), the variables one after another.

    Raises
    ------
    ValueError
        Where the dynamics is not linear or not stable, with the reason.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Quadratic([2.0, 1.0], center=[1.0, -1.0])
    >>> problem = optsde.Problem(loss, optsde.noise.Gaussian(1.0))
    >>> optsde.theory.stationary_mean(optsde.SGD(0.1, weight_decay=1.0).sde(problem))["theta"].round(6).tolist()
    [0.666667, -0.5]
    """
    affine = affine_of(dynamics, "stationary_mean")
    affine.check_stable("stationary_mean")
    parts = dict(zip(affine.moving, np.split(affine.origin + affine.rest(), len(affine.moving)), strict=True))
    parts |= {name: value for name, (value, _) in affine.settled.items()}
    return Blocks(np.concatenate([parts[name] for name in affine.names]), affine.names, pairs=False)


def stationary_cov(dynamics: Dynamics) -> Blocks:
    """The exact covariance of the stationary law of a linear dynamics, by Lyapunov's equation.

    Parameters
    ----------
    dynamics : Dynamics
        A dynamics with a drift (or step) that is affine in the state and noise whose covariance is at most quadratic
        in it; both are checked at three points. These are ``OrnsteinUhlenbeck``; ``Langevin`` and
        ``UnderdampedLangevin`` on quadratic losses; SGD with and without momentum and decay, its algorithm, SVAG and
        equations of order 1 and 2, on quadratic losses (``Quadratic``, ``LinearRegression``, or a user's) with noise
        that is constant, ``AffineDiagonal``, ``GaussianInputs``, or ``Minibatch`` or ``LabelNoise`` of them;
        RMSprop's and Adam's equations of order 1 in the regime ``"batch_equivalent"`` with constant noise; linear
        ``SDE``. Of the law of the noise the covariance alone matters.

    Returns
    -------
    Blocks
        ``cov["theta", "theta"]``, ``cov["theta", "v"]``, … of shape (d, d); as an array (D, D), the variables one
        after another, which for dynamics of θ alone is (d, d). A second moment ``v`` that settles has zeros.

    Raises
    ------
    ValueError
        Where the dynamics is not linear, its learning rate too large, or the noise leaves no second moment: with the
        reason.
    ImportError
        Without SciPy.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.5, dim=1), optsde.noise.Gaussian(1.0))
    >>> sgd = optsde.SGD(0.01, momentum=0.9)
    >>> cov = optsde.theory.stationary_cov(sgd.discrete(problem))
    >>> cov["theta", "theta"].round(10).item(), cov["theta", "v"].round(10).item()
    (0.0334654337, 0.0026420079)
    >>> (optsde.theory.stationary_cov(sgd.sde(problem)).array.round(6) + 0.0).tolist()
    [[0.033333, 0.0], [0.0, 0.05]]

    Source: Mandt, Hoffman, Blei: Stochastic gradient descent as approximate Bayesian inference (JMLR 18, 2017); with
    noise that depends on the state, Dieuleveut, Durmus, Bach (Annals of Statistics 48, 2020).
    """
    affine = affine_of(dynamics, "stationary_cov")
    affine.check_stable("stationary_cov")
    d, size = affine.dim, affine.dim * len(affine.names)
    moving = np.concatenate([np.arange(d) + d * affine.names.index(name) for name in affine.moving])
    cov = np.zeros((size, size))
    cov[np.ix_(moving, moving)] = stationary_covariance(affine, "stationary_cov")
    return Blocks(cov, affine.names, pairs=True)
