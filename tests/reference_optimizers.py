"""The optimizers in plain NumPy, transcribed from torch.optim and the papers: what the algorithms equal at each step.

Nothing here uses the library under test but :func:`wiener_increments`, which reads its Wiener path. An update is a
function ``update(state, k, gradient)``: the state is a dict of arrays (..., d), ``gradient(k, theta)`` is the
stochastic gradient of step k = 0, 1, ...; called twice with one k it sees the same sample. Rates and momenta may be
functions of k.
"""

import numpy as np
import optsde

# Exponents of the bias corrections, k + p: torch's, and those of the ordering whose theta uses the old second moment.
OFFSETS = {"fresh": (1, 1), "lagged": (2, 1)}


def at_step(value, k):
    """A hyperparameter at step k: a number, a vector, or a function of k."""
    return value(k) if callable(value) else value


def run(update, state, gradient, steps, first=0):
    """The states of steps first to first + steps: dict of arrays (steps + 1, ..., d)."""
    state = {name: np.array(value, dtype=float) for name, value in state.items()}
    rows = [state]
    for k in range(first, first + steps):
        state = update(state, k, gradient)
        rows.append(state)
    return {name: np.array([row[name] for row in rows]) for name in state}


def sgd(lr, momentum=0.0, nesterov=False, weight_decay=0.0, decoupled=False):
    """torch.optim.SGD, dampening 0: state theta (torch's parameter), b (momentum_buffer, 0 at the start;
    may be left out without momentum).

    ``decoupled``: the parameters shrink by 1 - lr·weight_decay before the update, as in torch.optim.AdamW.
    """

    def update(state, k, gradient):
        theta, rate, beta = state["theta"], at_step(lr, k), at_step(momentum, k)
        g = gradient(k, theta)
        if weight_decay and not decoupled:
            g = g + weight_decay * theta
        b = beta * state.get("b", 0.0) + g
        if weight_decay and decoupled:
            theta = theta * (1.0 - rate * weight_decay)
        new = {"theta": theta - rate * (g + beta * b if nesterov else b), "b": b}
        return {name: new[name] for name in state}

    return update


def heavy_ball_or_nesterov(lr, momentum, nesterov, weight_decay=0.0):
    """The canonical form: v' = beta v - lr g(x + beta v) (or g(x)), x' = x + v'; state theta = x and v."""

    def update(state, k, gradient):
        x, v, beta = state["theta"], state["v"], at_step(momentum, k)
        place = x + beta * v if nesterov else x
        v = beta * v - at_step(lr, k) * (gradient(k, place) + weight_decay * place)
        return {"theta": x + v, "v": v}

    return update


def nesterov_momentum(r=3.0):
    """beta_k = (k - 1)/(k + r - 1)."""
    return lambda k: (k - 1.0) / (k + r - 1.0)


def buffer_start(theta, velocity, lr, momentum=0.0, nesterov=False):
    """State of torch from x and dx/dt of the clock k·sqrt(lr)."""
    velocity = np.asarray(velocity, dtype=float)
    ahead = momentum * np.sqrt(lr) * velocity if nesterov else 0.0
    return {"theta": theta + ahead, "b": -velocity / np.sqrt(lr)}


def from_buffer(trajectory, lr, momentum=0.0, nesterov=False):
    """The library's theta and v of torch's parameter and buffer: x is behind the look-ahead point by beta steps."""
    theta, b = trajectory["theta"], trajectory["b"]
    ahead = -momentum * lr * b if nesterov else 0.0
    return {"theta": theta - ahead, "v": -np.sqrt(lr) * b}


def rmsprop(lr, alpha=0.99, eps=1e-8, weight_decay=0.0, ordering="fresh"):
    """torch.optim.RMSprop (``"fresh"``); ``"lagged"`` divides by the old second moment. State theta, v."""

    def update(state, k, gradient):
        theta = state["theta"]
        g = gradient(k, theta) + weight_decay * theta
        v = alpha * state["v"] + (1.0 - alpha) * g * g
        used = v if ordering == "fresh" else state["v"]
        return {"theta": theta - at_step(lr, k) * g / (np.sqrt(used) + eps), "v": v}

    return update


def adam(
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    decoupled=False,
    bias_correction=True,
    ordering="fresh",
    offsets=None,
):
    """torch.optim.Adam, and AdamW with ``decoupled``. State theta, m (exp_avg), v (exp_avg_sq)."""
    beta1, beta2 = betas
    p1, p2 = OFFSETS[ordering] if offsets is None else offsets

    def update(state, k, gradient):
        theta, rate = state["theta"], at_step(lr, k)
        g = gradient(k, theta)
        if decoupled:
            theta = theta * (1.0 - rate * weight_decay)
        else:
            g = g + weight_decay * theta
        m = state["m"] + (1.0 - beta1) * (g - state["m"])
        v = beta2 * state["v"] + (1.0 - beta2) * g * g
        c1 = 1.0 - beta1 ** (k + p1) if bias_correction else 1.0
        c2 = 1.0 - beta2 ** (k + p2) if bias_correction else 1.0
        used = v if ordering == "fresh" else state["v"]
        return {"theta": theta - rate / c1 * m / (np.sqrt(used) / np.sqrt(c2) + eps), "m": m, "v": v}

    return update


def sign_sgd(lr):
    """Sign of the gradient: theta' = theta - lr sign(g)."""
    return lambda state, k, gradient: {"theta": state["theta"] - at_step(lr, k) * np.sign(gradient(k, state["theta"]))}


def sam(lr, rho, variant, clean=None):
    """Gradient at theta + rho g (usam), + rho g/|g| (sam), + rho g/|grad f| (dnsam; ``clean`` is the gradient of f)."""

    def update(state, k, gradient):
        theta = state["theta"]
        g = gradient(k, theta)
        if variant != "usam":
            measure = g if variant == "sam" else clean(theta)
            g = g / np.sqrt(np.square(measure).sum(axis=-1, keepdims=True))
        return {"theta": theta - at_step(lr, k) * gradient(k, theta + rho * g)}

    return update


def svag_weights(variance):
    """Weights of two independent gradients: sum 1, sum of squares ``variance`` (l for SGD, l² for adaptive methods)."""
    root = np.sqrt(2.0 * variance - 1.0)
    return (1.0 + root) / 2.0, (1.0 - root) / 2.0


def svag_gradient(gradient, variance):
    """The gradient of inner step k, from samples 2k and 2k + 1."""
    r1, r2 = svag_weights(variance)
    return lambda k, theta: r1 * gradient(2 * k, theta) + r2 * gradient(2 * k + 1, theta)


def svag_sgd(lr, l):
    """SVAG of SGD: an update of an l-th of a step, to be run with ``svag_gradient(gradient, l)``."""
    return sgd(lr / l)


def svag_rmsprop(lr, alpha, eps, l, ordering):
    """SVAG of RMSprop: an l²-th of a step, with ``svag_gradient(gradient, l²)``; its v is l² times the original's."""
    return rmsprop(lr / l, 1.0 - (1.0 - alpha) / l**2, l * eps, 0.0, ordering)


def svag_adam(lr, betas, eps, l, ordering, *, decay=0.0, bias_correction=True):
    """SVAG of Adam and, with ``decay``, AdamW: an l²-th of a step, with ``svag_gradient(gradient, l²)``; v as above."""
    inner = tuple(1.0 - (1.0 - beta) / l**2 for beta in betas)
    return adam(lr / l, inner, l * eps, decay / l, decay > 0, bias_correction, ordering)


def wiener_increments(n_wiener, dt, steps, *, n_paths, rng, first=0):
    """Increments (steps, n, m) of the Wiener path that all runs with this rng, grid and m see, from step ``first`` on.

    Read off dX = dW, stepped by Euler-Maruyama.
    """
    times = dt * np.arange(first, first + steps + 1)
    ens = optsde.simulate(
        optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=n_wiener),
        np.zeros(n_wiener),
        t0=times[0],
        t1=times[-1],
        dt=dt,
        method="euler_maruyama",
        n_paths=n_paths,
        rng=rng,
        observe=optsde.Paths(at=times),
    )
    return np.diff(ens.paths, axis=0)


def noisy(grad, factor=None, increments=None, time_per_step=1.0, batch_size=1, first=0):
    """gradient(k, theta) = grad(theta) + F(theta) dW_k / sqrt(time_per_step · batch_size).

    ``factor``: None, a matrix (d, m), or a function of theta (n, d) that returns (n, d) or (n, d, m).
    """

    def gradient(k, theta):
        g = grad(theta)
        if factor is None:
            return g
        xi = increments[k - first] / np.sqrt(time_per_step * batch_size)
        f = factor(theta) if callable(factor) else np.broadcast_to(factor, (*theta.shape, np.shape(factor)[-1]))
        return g + (f * xi if f.ndim == theta.ndim else np.einsum("...ij,...j->...i", f, xi))

    return gradient
