"""The one-step criterion: an equation of order 2 has the first two moments of one step of its algorithm to tau³.

With the generator L0 + tau L1 of drift b0 + tau b1 and covariance a0 + tau a1, one step of the equation has mean
tau b + tau²/2 (d/dt + L0) b0 and second moment tau a + tau² (b0 b0ᵀ + (a0 grad b0 + its transpose)/2 +
(d/dt + L0) a0/2). The algorithm's are by Gauss-Hermite quadrature, derivatives by differences of fourth order.
"""

import itertools

import numpy as np

STEP = 2e-3
FIRST = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
SECOND = ((-2, -1 / 12), (-1, 4 / 3), (0, -5 / 2), (1, 4 / 3), (2, -1 / 12))


def normal_nodes(m, order=16):
    """Points (n, m) and weights (n,) that integrate polynomials under the standard normal law."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / weights.sum()
    points = np.array(list(itertools.product(nodes, repeat=m)))
    return points, np.array([np.prod(w) for w in itertools.product(weights, repeat=m)])


def slope(function, x, t, direction, time=False):
    """Directional derivative."""
    total = 0.0
    for k, c in FIRST:
        total = total + c * (function(x, t + k * STEP) if time else function(x + k * STEP * direction, t))
    return total / STEP


def second(function, x, t, i, j):
    """Second derivative in coordinates i and j."""
    eye = np.eye(len(x))
    if i == j:
        return sum(c * function(x + k * STEP * eye[i], t) for k, c in SECOND) / STEP**2
    return slope(lambda y, s: slope(function, y, s, eye[j]), x, t, eye[i])


def evolved(function, x, t, b0, a0):
    """(d/dt + L0) of a function of (x, t)."""
    out = slope(function, x, t, None, time=True) + slope(function, x, t, b0(x, t))
    a = a0(x, t)
    for i in range(len(x)):
        for j in range(len(x)):
            if a[i, j]:
                out = out + 0.5 * a[i, j] * second(function, x, t, i, j)
    return out


def chain_moments(update, names, x, k, gradient, points, weights):
    """Mean and second moment of the change in one step of a transcription from the stacked state x.

    ``gradient(theta, xi)``: of parameters (n, d) and normals (n, m).
    """
    d = len(x) // len(names)
    state = {name: np.tile(x[i * d : (i + 1) * d], (len(points), 1)) for i, name in enumerate(names)}
    new = update(state, k, lambda k, theta: gradient(theta, points))
    change = np.concatenate([new[name] for name in names], axis=1) - x
    return weights @ change, np.einsum("n,ni,nj->ij", weights, change, change)


def defects(chain, drift, covariance, b0, a0, x, t, tau):
    """Largest defects of mean and second moment, by tau³; ``drift``, ``covariance``: the whole equation's at (x, t)."""
    eye = np.eye(len(x))
    lead, a = b0(x, t), a0(x, t)
    mean = tau * drift + tau**2 / 2 * evolved(b0, x, t, b0, a0)
    along = sum(np.outer(a[:, k], slope(b0, x, t, eye[k])) for k in range(len(x)))
    moment = tau * covariance + tau**2 * (np.outer(lead, lead) + (along + along.T) / 2 + evolved(a0, x, t, b0, a0) / 2)
    return np.abs(chain[0] - mean).max() / tau**3, np.abs(chain[1] - moment).max() / tau**3


def assert_bounded(ratios, most):
    """Defects by tau³ at halved taus: bounded, and not growing (a wrong term doubles them each time)."""
    ratios = np.array(ratios)
    assert (ratios <= most).all(), ratios
    assert (ratios[-1] <= 1.3 * ratios[-3] + 1e-2 * np.asarray(most) + 1e-6).all(), ratios
