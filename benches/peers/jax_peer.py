"""JAX: the time loop is one compiled fori_loop over a chunk of paths, in double precision.

Points are columns, (d, n), and the generator is the default threefry: both were the faster choice on a CPU.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from workloads import Workload

from . import Runner, Sums, sums, total

jax.config.update("jax_enable_x64", True)


def version() -> str:
    return jax.__version__


def step_of(w: Workload) -> Callable[[Any, Any], Any]:
    """One step of points x (d, n) with standard normals z (d, n)."""
    s = float(np.sqrt(w.lr * w.dt))
    if w.name == "ou":
        s2 = float(np.sqrt(2 * w.dt))
        return lambda x, z: x * (1 - w.dt) + s2 * z
    if w.name == "milstein":
        return lambda x, z: x - x * w.dt + s * jnp.sqrt(1 + x * x) * z + s * s / 2 * x * (z * z - 1)
    if w.name == "double_well":
        return lambda x, z: x - 4 * w.dt * x * (x * x - 1) + s * z
    propagator = jnp.asarray(np.eye(w.dim) - w.dt * w.matrices["hessian"])
    factor = jnp.asarray(s * w.matrices["factor"])
    return lambda x, z: propagator @ x + factor @ z


def rosenbrock_run(w: Workload, chunk: int) -> Callable[[Any], Any]:
    """Rosenbrock with its coordinates in two arrays: stacking them at every step would keep XLA from fusing."""
    s = float(np.sqrt(w.lr * w.dt))

    def chunk_run(key: Any) -> Any:
        def body(k: Any, x: Any) -> Any:
            a, b = x
            keys = jax.random.split(jax.random.fold_in(key, k))
            r = b - a * a
            a_next = a + w.dt * (2 * (1 - a) + 400 * a * r) + s * jax.random.normal(keys[0], a.shape)
            b_next = b - w.dt * 200 * r + s * jax.random.normal(keys[1], b.shape)
            return a_next, b_next

        start = jnp.full(chunk, w.start)
        return jnp.stack(jax.lax.fori_loop(0, w.n_steps, body, (start, start)))

    return jax.jit(chunk_run)


def general_run(w: Workload, chunk: int) -> Callable[[Any], Any]:
    step = step_of(w)

    def chunk_run(key: Any) -> Any:
        def body(k: Any, x: Any) -> Any:
            return step(x, jax.random.normal(jax.random.fold_in(key, k), x.shape))

        return jax.lax.fori_loop(0, w.n_steps, body, jnp.full((w.dim, chunk), w.start))

    return jax.jit(chunk_run)


def build(w: Workload, threads: int) -> Runner | None:
    if w.name.startswith(("adam", "minibatch")):
        return None
    chunk = max(512, 8192 // w.dim)
    chunk_run = (rosenbrock_run if w.name == "rosenbrock" else general_run)(w, chunk)

    def run(n_paths: int, seed: int) -> Sums:
        key = jax.random.key(seed)
        return total([sums(np.asarray(chunk_run(jax.random.fold_in(key, c))).T) for c in range(-(-n_paths // chunk))])

    return Runner(run, granule=chunk)
