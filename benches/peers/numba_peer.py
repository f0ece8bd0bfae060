"""numba: a compiled loop per problem, path by path with the state in registers, normals from a Generator passed in."""

import numba
import numpy as np
from numba import njit
from workloads import ADAM, ADAM_CURVATURES, BATCH, Workload

from . import Runner, Sums


def version() -> str:
    return numba.__version__


@njit(nogil=True)
def _ou(rng, n_paths, n_steps, start, dt, lr):
    s = np.sqrt(2 * dt)
    total, squares = np.zeros(1), np.zeros(1)
    for _ in range(n_paths):
        x = start
        for _ in range(n_steps):
            x += -x * dt + s * rng.standard_normal()
        total[0] += x
        squares[0] += x * x
    return total, squares


@njit(nogil=True)
def _milstein(rng, n_paths, n_steps, start, dt, lr):
    s = np.sqrt(lr * dt)
    half = 0.5 * lr * dt
    total, squares = np.zeros(1), np.zeros(1)
    for _ in range(n_paths):
        x = start
        for _ in range(n_steps):
            z = rng.standard_normal()
            x += -x * dt + s * np.sqrt(1.0 + x * x) * z + half * x * (z * z - 1.0)
        total[0] += x
        squares[0] += x * x
    return total, squares


@njit(nogil=True)
def _double_well(rng, n_paths, n_steps, start, dt, lr):
    s = np.sqrt(lr * dt)
    total, squares = np.zeros(1), np.zeros(1)
    for _ in range(n_paths):
        x = start
        for _ in range(n_steps):
            x += -4.0 * dt * x * (x * x - 1.0) + s * rng.standard_normal()
        total[0] += x
        squares[0] += x * x
    return total, squares


@njit(nogil=True)
def _rosenbrock(rng, n_paths, n_steps, start, dt, lr):
    s = np.sqrt(lr * dt)
    total, squares = np.zeros(2), np.zeros(2)
    for _ in range(n_paths):
        a = b = start
        for _ in range(n_steps):
            r = b - a * a
            grad_a = -2.0 * (1.0 - a) - 400.0 * a * r
            grad_b = 200.0 * r
            a += -dt * grad_a + s * rng.standard_normal()
            b += -dt * grad_b + s * rng.standard_normal()
        total[0] += a
        total[1] += b
        squares[0] += a * a
        squares[1] += b * b
    return total, squares


@njit(nogil=True)
def _dense(rng, n_paths, n_steps, start, propagator, factor):
    # x ← P x + L z with P = I - dt H symmetric and L lower triangular. Columns are added one by one: that order
    # vectorises without reassociating sums. `factor` is √(lr dt) Lᵀ, so that its rows are L's columns.
    d = len(propagator)
    total, squares = np.zeros(d), np.zeros(d)
    x, y = np.empty(d), np.empty(d)
    for _ in range(n_paths):
        x[:] = start
        for _ in range(n_steps):
            y[:] = 0.0
            for j in range(d):
                xj = x[j]
                for i in range(d):
                    y[i] += propagator[j, i] * xj
            for j in range(d):
                z = rng.standard_normal()
                for i in range(j, d):
                    y[i] += factor[j, i] * z
            x, y = y, x
        for i in range(d):
            total[i] += x[i]
            squares[i] += x[i] * x[i]
    return total, squares


@njit(nogil=True)
def _adam_sde(rng, n_paths, start, h, dt, gamma, eps, c1, c2, s):
    d = len(h)
    total, squares = np.zeros(d), np.zeros(d)
    x, m, v = np.empty(d), np.empty(d), np.empty(d)
    for _ in range(n_paths):
        x[:] = start
        m[:] = 0.0
        v[:] = 0.0
        for k in range(len(gamma)):
            for i in range(d):
                z = rng.standard_normal()
                g = h[i] * x[i]
                x[i] -= dt * gamma[k] * m[i] / (np.sqrt(v[i]) + eps[k])
                m[i] += dt * c1 * (g - m[i]) + s * z
                v[i] += dt * c2 * (g * g + 1.0 - v[i])
        for i in range(d):
            total[i] += x[i]
            squares[i] += x[i] * x[i]
    return total, squares


@njit(nogil=True)
def _adam(rng, n_paths, start, h, rate, eps, beta1, beta2):
    d = len(h)
    total, squares = np.zeros(d), np.zeros(d)
    x, m, v = np.empty(d), np.empty(d), np.empty(d)
    for _ in range(n_paths):
        x[:] = start
        m[:] = 0.0
        v[:] = 0.0
        for k in range(len(rate)):
            for i in range(d):
                g = h[i] * x[i] + rng.standard_normal()
                m[i] += (1.0 - beta1) * (g - m[i])
                v[i] += (1.0 - beta2) * (g * g - v[i])
                x[i] -= rate[k] * m[i] / (np.sqrt(v[i]) + eps[k])
        for i in range(d):
            total[i] += x[i]
            squares[i] += x[i] * x[i]
    return total, squares


def _adam_run(w: Workload, rng, n_paths):
    """Bias corrections are made once a step, for all paths."""
    beta1, beta2 = ADAM["betas"]
    k = np.arange(w.n_steps) + 1.0
    if w.name == "adam":
        root = np.sqrt(1.0 - beta2**k)
        rate = w.lr * root / (1.0 - beta1**k)
        return _adam(rng, n_paths, w.start, ADAM_CURVATURES, rate, ADAM["eps"] * root, beta1, beta2)
    k = np.arange(w.n_steps) * w.dt / w.lr + 1.0
    root = np.sqrt(1.0 - beta2**k)
    gamma, c1, c2 = root / (1.0 - beta1**k), (1.0 - beta1) / w.lr, (1.0 - beta2) / w.lr
    s = np.sqrt(w.lr * w.dt) * c1
    return _adam_sde(rng, n_paths, w.start, ADAM_CURVATURES, w.dt, gamma, ADAM["eps"] * root, c1, c2, s)


@njit(nogil=True)
def _minibatches(rng, n_paths, n_steps, start, lr, x, y, batch):
    d = x.shape[1]
    total, squares = np.zeros(d), np.zeros(d)
    theta, g = np.empty(d), np.empty(d)
    for _ in range(n_paths):
        theta[:] = start
        for _ in range(n_steps):
            g[:] = 0.0
            for _ in range(batch):
                i = rng.integers(0, len(x))
                z = 0.0
                for a in range(d):
                    z += x[i, a] * theta[a]
                r = 1.0 / (1.0 + np.exp(-z)) - y[i]
                for a in range(d):
                    g[a] += r * x[i, a]
            for a in range(d):
                theta[a] -= lr / batch * g[a]
        for a in range(d):
            total[a] += theta[a]
            squares[a] += theta[a] * theta[a]
    return total, squares


LOOPS = {"ou": _ou, "milstein": _milstein, "double_well": _double_well, "rosenbrock": _rosenbrock}


def build(w: Workload, threads: int) -> Runner:
    if "hessian" in w.matrices:
        propagator = np.eye(w.dim) - w.dt * w.matrices["hessian"]
        factor = np.ascontiguousarray(np.sqrt(w.lr * w.dt) * w.matrices["factor"].T)

    def run(n_paths: int, seed: int) -> Sums:
        rng = np.random.default_rng(seed)  # PCG64 was faster in numba than SFC64
        if w.name.startswith("adam"):
            result = _adam_run(w, rng, n_paths)
        elif w.name == "minibatch_logistic":
            examples = w.matrices["X"], w.matrices["y"]
            result = _minibatches(rng, n_paths, w.n_steps, w.start, w.lr, *examples, BATCH)
        elif w.matrices:
            result = _dense(rng, n_paths, w.n_steps, w.start, propagator, factor)
        else:
            result = LOOPS[w.name](rng, n_paths, w.n_steps, w.start, w.dt, w.lr)
        return n_paths, *result

    return Runner(run, granule=64)
