"""What the tests of optimizers and their models share: runs, coefficients, moments of samples and of linear schemes.

Where a test needs more of the library than the contract says, the one place to adapt is here: :func:`coefficients` (the
drift and the factor of the noise at a point) and :func:`schedule`.
"""

import contextlib
import warnings

import numpy as np
import optsde
from scipy.integrate import solve_ivp


def problem(h, cov, batch_size=1, center=None):
    """Quadratic loss and constant noise; cov is that of one example's gradient."""
    h = np.asarray(h, dtype=float)
    dim = None if h.ndim else 1
    loss = optsde.losses.Quadratic(h, center) if h.ndim or center is not None else optsde.losses.Quadratic(h, dim=dim)
    return optsde.Problem(loss, optsde.noise.Gaussian(cov), batch_size=batch_size)


def schedule(name, peak, end, total):
    """A schedule from ``peak`` to ``end`` within ``total`` optimizer steps, ``end`` from then on."""
    return getattr(optsde.schedules, name)(peak, end, total)


def coefficients(dynamics, x, t=0.0):
    """The drift (..., D) and the factor of the noise (..., D, m), the variables of the state one below the other.

    ``x``: dict of arrays (d,) or (n, d).
    """
    return dynamics.drift_at(x, t), dynamics.diffusion_at(x, t)


def noise_covariance(factor):
    """Factor (..., D, m) times its transpose."""
    return np.einsum("...im,...jm->...ij", factor, factor)


def trajectories(ens, names):
    """Paths of all variables, each (T, n, d)."""
    return {name: ens.paths if name == "theta" else ens.state[name].paths for name in names}


def finals(ens, names):
    """Final values of all variables side by side, (n, D)."""
    return np.concatenate([ens.final if name == "theta" else ens.state[name].final for name in names], axis=1)


@contextlib.contextmanager
def low_order_method():
    """Euler-Maruyama on an equation of order 2 warns; here its own moments are known exactly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*weak order", category=UserWarning)
        yield


def euler(dynamics, start, **kwargs):
    """Final values (n, D) of Euler-Maruyama; keywords of ``simulate``."""
    with low_order_method():
        ens = optsde.simulate(dynamics, start, method="euler_maruyama", observe=optsde.Final(), **kwargs)
    return finals(ens, dynamics.state)


def algorithm(dynamics, start, **kwargs):
    """Final values (n, D) of an algorithm."""
    return finals(optsde.simulate(dynamics, start, observe=optsde.Final(), **kwargs), dynamics.state)


def sample_moments(x):
    """Mean, its standard error, covariance and its standard error of samples (n, D)."""
    n = len(x)
    mean = x.mean(axis=0)
    y = x - mean
    products = y[:, :, None] * y[:, None, :]
    cov = products.sum(axis=0) / (n - 1)
    return mean, np.sqrt(np.diag(cov) / n), cov, products.std(axis=0) / np.sqrt(n)


def linear_steps(step, noise, mean, cov, steps, first=0):
    """Mean and covariance after y' = A_k y + n_k; ``step(k)`` and ``noise(k)`` give A_k and Cov n_k."""
    mean, cov = np.array(mean, dtype=float), np.array(cov, dtype=float)
    for k in range(first, first + steps):
        a = step(k)
        mean, cov = a @ mean, a @ cov @ a.T + noise(k)
    return mean, cov


def euler_steps(drift, noise, dt, mean, t0, t1, cov=None):
    """Mean and covariance of dY = A(t) Y dt + ..., covariance rate Q(t), stepped by Euler-Maruyama; exact."""
    size, n = len(np.atleast_1d(mean)), round((t1 - t0) / dt)
    cov = np.zeros((size, size)) if cov is None else cov
    return linear_steps(
        lambda k: np.eye(size) + dt * drift(t0 + k * dt), lambda k: dt * noise(t0 + k * dt), np.atleast_1d(mean), cov, n
    )


def linear_moments(drift, noise, mean, cov, t0, t1):
    """Mean and covariance of dY = A(t) Y dt + ..., covariance rate Q(t), by their differential equations."""
    size = len(mean)

    def slope(t, y):
        a, c = drift(t), y[size:].reshape(size, size)
        return np.concatenate([a @ y[:size], (a @ c + c @ a.T + noise(t)).ravel()])

    start = np.concatenate([np.asarray(mean, dtype=float), np.asarray(cov, dtype=float).ravel()])
    end = solve_ivp(slope, (t0, t1), start, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    return end[:size], end[size:].reshape(size, size)


# Momentum, linear: state (x, V) of curvature H and gradient noise Σ, x about the minimum.


def momentum_step(h, lr, beta, nesterov):
    """The step of (x, V) of heavy ball or Nesterov, V = (change of x)/sqrt(lr)."""
    h = np.atleast_2d(h)
    eye, eps = np.eye(len(h)), np.sqrt(lr)
    look = eye - lr * h if nesterov else eye
    v = np.hstack([-eps * h, beta * look])
    x = np.hstack([eye, 0 * eye])
    return np.vstack([x + eps * v, v])


def momentum_noise(cov, lr):
    """Covariance of the noise of that step: in V sqrt(lr) z, in x sqrt(lr) times that."""
    cov, eps = np.atleast_2d(cov), np.sqrt(lr)
    return lr * np.block([[eps**2 * cov, eps * cov], [eps * cov, cov]])


def momentum_drift(h, lr, mu, order, nesterov=False, *, friction=None):
    """A of the stochastic modified equation dY = A Y dt + ..., spec of Li, Tai, E (2019).

    ``friction``: replaces mu + (eps/2) mu² where mu depends on time.
    """
    h = np.atleast_2d(h)
    eye, eps = np.eye(len(h)), np.sqrt(lr)
    if order == 1:
        return np.block([[0 * eye, eye], [-h, -mu * eye]])
    sign = 1.0 if nesterov else -1.0
    resist = (mu + eps / 2 * mu**2 if friction is None else friction) * eye + sign * eps / 2 * h
    return np.block([[-eps / 2 * h, (1 - eps * mu / 2) * eye], [-(1 + eps * mu / 2) * h, -resist]])


def momentum_rate(cov, lr):
    """Covariance per time of the equations' noise, in V alone."""
    cov = np.atleast_2d(cov)
    return np.sqrt(lr) * np.block([[0 * cov, 0 * cov], [0 * cov, cov]])
