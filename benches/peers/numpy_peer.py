"""NumPy with the SFC64 generator, vectorised over paths, in two styles.

"numpy" is the idiomatic one: one array holds the whole ensemble (a million paths at d = 1), and each step is written as
the formula is. "numpy tuned" works in place on chunks that stay in the second-level cache.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from workloads import BATCH, Workload

from . import Runner, Sums, sums, total

Array = NDArray[np.float64]


def version() -> str:
    return np.__version__


def _ou(w: Workload) -> Callable[[Array, Array, Array], None]:
    s = np.sqrt(2 * w.dt)

    def step(x: Array, z: Array, t: Array) -> None:
        np.multiply(x, 1 - w.dt, out=x)
        np.multiply(z, s, out=z)
        np.add(x, z, out=x)

    return step


def _milstein(w: Workload) -> Callable[[Array, Array, Array], None]:
    s = np.sqrt(w.lr * w.dt)

    def step(x: Array, z: Array, t: Array) -> None:
        # x += -x dt + s √(1 + x²) z + ½ s² x (z² - 1), with s² = lr dt
        np.multiply(x, x, out=t)
        np.add(t, 1.0, out=t)
        np.sqrt(t, out=t)
        np.multiply(t, z, out=t)
        np.multiply(t, s, out=t)
        np.multiply(z, z, out=z)
        np.multiply(z, s * s / 2, out=z)
        np.add(z, 1 - w.dt - s * s / 2, out=z)
        np.multiply(x, z, out=x)
        np.add(x, t, out=x)

    return step


def _double_well(w: Workload) -> Callable[[Array, Array, Array], None]:
    s = np.sqrt(w.lr * w.dt)

    def step(x: Array, z: Array, t: Array) -> None:
        # x ← x (1 + 4 dt - 4 dt x²) + s z
        np.multiply(x, x, out=t)
        np.multiply(t, -4 * w.dt, out=t)
        np.add(t, 1 + 4 * w.dt, out=t)
        np.multiply(x, t, out=x)
        np.multiply(z, s, out=z)
        np.add(x, z, out=x)

    return step


def _dense(w: Workload) -> Callable[[Array, Array, Array], None]:
    propagator = np.eye(w.dim) - w.dt * w.matrices["hessian"]
    factor = np.ascontiguousarray(np.sqrt(w.lr * w.dt) * w.matrices["factor"].T)

    def step(x: Array, z: Array, t: Array) -> None:
        np.matmul(x, propagator, out=t)
        np.matmul(z, factor, out=x)
        np.add(x, t, out=x)

    return step


def _rosenbrock(w: Workload) -> Callable[[Array, Array, Array], None]:
    s = np.sqrt(w.lr * w.dt)

    def step(x: Array, z: Array, t: Array) -> None:
        # coordinates are rows here: x (2, n)
        a, b = x
        np.multiply(a, a, out=t[0])
        np.subtract(b, t[0], out=t[0])  # b - a²
        np.multiply(a, t[0], out=t[1])
        t[1] *= 400 * w.dt
        t[0] *= 200 * w.dt
        z *= s
        b -= t[0]
        a *= 1 - 2 * w.dt
        a += t[1]
        a += 2 * w.dt
        x += z

    return step


def _formula(w: Workload) -> Callable[[Array, Array], Array]:
    """One step as one would write it: x (n, d), standard normals z (n, d)."""
    dt, s = w.dt, np.sqrt(w.lr * w.dt)
    if w.name == "ou":
        s2 = np.sqrt(2 * dt)
        return lambda x, z: x - x * dt + s2 * z
    if w.name == "milstein":
        return lambda x, z: x - x * dt + s * np.sqrt(1 + x * x) * z + s * s / 2 * x * (z * z - 1)
    if w.name == "double_well":
        return lambda x, z: x - 4 * dt * x * (x * x - 1) + s * z
    if w.name == "rosenbrock":

        def rosenbrock(x: Array, z: Array) -> Array:
            a, b = x[:, 0], x[:, 1]
            r = b - a * a
            grad = np.stack([-2 * (1 - a) - 400 * a * r, 200 * r], axis=1)
            return x - dt * grad + s * z

        return rosenbrock
    hessian, factor = w.matrices["hessian"], s * w.matrices["factor"]
    return lambda x, z: x - dt * (x @ hessian) + z @ factor.T


STEPS = {
    "ou": _ou,
    "milstein": _milstein,
    "double_well": _double_well,
    "dense10": _dense,
    "dense64": _dense,
    "rosenbrock": _rosenbrock,
}


def build(w: Workload, threads: int, style: str = "idiomatic") -> Runner | None:
    if w.name.startswith("adam"):
        return None
    if w.name == "minibatch_logistic":
        return _minibatches(w, style)
    return _idiomatic(w) if style == "idiomatic" else _tuned(w)


def _idiomatic(w: Workload) -> Runner:
    step = _formula(w)
    n_steps = max(8, w.n_steps // 16)  # a step costs the same at any time, and a million paths are slow

    def run(n_paths: int, seed: int) -> Sums:
        rng = np.random.Generator(np.random.SFC64(seed))
        x = np.full((n_paths, w.dim), w.start)
        for _ in range(n_steps):
            x = step(x, rng.standard_normal(x.shape))
        return sums(x)

    return Runner(run, granule=1_000_000 // w.dim, steps=n_steps, same_law=False, note="idiomatic")


def _tuned(w: Workload) -> Runner:
    step = STEPS[w.name](w)
    chunk = max(512, 8192 // w.dim)
    by_rows = w.name == "rosenbrock"

    def run(n_paths: int, seed: int) -> Sums:
        rng = np.random.Generator(np.random.SFC64(seed))
        parts = []
        for first in range(0, n_paths, chunk):
            n = min(chunk, n_paths - first)
            shape = (w.dim, n) if by_rows else (n, w.dim)
            x, z, t = np.full(shape, w.start), np.empty(shape), np.empty(shape)
            for _ in range(w.n_steps):
                rng.standard_normal(out=z)
                step(x, z, t)
            parts.append(sums(x.T if by_rows else x))
        return total(parts)

    return Runner(run, granule=chunk)


def _minibatches(w: Workload, style: str) -> Runner:
    """SGD on the workload's examples: rows are looked up, and multiplied as small matrices."""
    inputs, targets = w.matrices["X"], w.matrices["y"]
    # the tuned chunk's examples fit into the second-level cache
    chunk, n_steps = (50_000, max(4, w.n_steps // 16)) if style == "idiomatic" else (512, w.n_steps)

    def run(n_paths: int, seed: int) -> Sums:
        rng = np.random.Generator(np.random.SFC64(seed))
        parts = []
        for first in range(0, n_paths, chunk):
            theta = np.full((min(chunk, n_paths - first), w.dim), w.start)
            for _ in range(n_steps):
                drawn = rng.integers(len(inputs), size=(len(theta), BATCH))
                x = inputs[drawn]
                residual = 1.0 / (1.0 + np.exp(-(x @ theta[:, :, None])[:, :, 0])) - targets[drawn]
                theta -= (w.lr / BATCH) * (residual[:, None, :] @ x)[:, 0, :]
            parts.append(sums(theta))
        return total(parts)

    if style == "idiomatic":
        return Runner(run, granule=chunk, steps=n_steps, same_law=False, note="idiomatic")
    return Runner(run, granule=chunk)
