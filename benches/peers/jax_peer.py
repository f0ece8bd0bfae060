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
    if w.name == "rosenbrock":

        def rosenbrock(x: Any, z: Any) -> Any:
            a, b = x
            r = b - a * a
            grad = jnp.stack([-2 * (1 - a) - 400 * a * r, 200 * r])
            return x - w.dt * grad + s * z

        return rosenbrock
    propagator = jnp.asarray(np.eye(w.dim) - w.dt * w.matrices["hessian"])
    factor = jnp.asarray(s * w.matrices["factor"])
    return lambda x, z: propagator @ x + factor @ z


def build(w: Workload, threads: int) -> Runner:
    step = step_of(w)
    chunk = max(512, 8192 // w.dim)

    @jax.jit
    def chunk_run(key: Any) -> Any:
        def body(k: Any, x: Any) -> Any:
            return step(x, jax.random.normal(jax.random.fold_in(key, k), x.shape))

        return jax.lax.fori_loop(0, w.n_steps, body, jnp.full((w.dim, chunk), w.start))

    def run(n_paths: int, seed: int) -> Sums:
        key = jax.random.key(seed)
        return total([sums(np.asarray(chunk_run(jax.random.fold_in(key, c))).T) for c in range(-(-n_paths // chunk))])

    return Runner(run, granule=chunk)
