"""diffrax: a vmapped fixed-step solve with its unsafe Brownian path (no tree), nothing saved but the end."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from workloads import Workload

from . import Runner, Sums, sums, total

jax.config.update("jax_enable_x64", True)


def version() -> str:
    return diffrax.__version__


def terms_of(w: Workload) -> tuple[Any, Any]:
    """Drift and diffusion of one point x (d,)."""
    s = float(np.sqrt(w.lr))
    eye = jnp.eye(w.dim)
    if w.name == "ou":
        return lambda t, x, _: -x, lambda t, x, _: jnp.sqrt(2.0) * eye
    if w.name == "quartic":
        return lambda t, x, _: -x * (x * x + 1.0), lambda t, x, _: jnp.sqrt(2.0) * eye
    if w.name == "milstein":
        return lambda t, x, _: -x, lambda t, x, _: s * jnp.sqrt(1 + x * x)[:, None]
    if w.name == "double_well":
        return lambda t, x, _: -4 * x * (x * x - 1), lambda t, x, _: s * eye
    if w.name == "rosenbrock":

        def drift(t: Any, x: Any, _: Any) -> Any:
            r = x[1] - x[0] * x[0]
            return jnp.stack([2 * (1 - x[0]) + 400 * x[0] * r, -200 * r])

        return drift, lambda t, x, _: s * eye
    hessian, factor = jnp.asarray(w.matrices["hessian"]), s * jnp.asarray(w.matrices["factor"])
    return lambda t, x, _: -hessian @ x, lambda t, x, _: factor


def build(w: Workload, threads: int, solver: str | None = None) -> Runner | None:
    """`solver` is the name of one of diffrax's, by default that of the workload's scheme."""
    if w.name.startswith(("adam", "minibatch")):
        return None
    drift, diffusion = terms_of(w)
    method = getattr(diffrax, solver or ("ItoMilstein" if w.name == "milstein" else "Euler"))()
    area = diffrax.SpaceTimeLevyArea if solver == "SRA1" else diffrax.BrownianIncrement
    chunk = max(256, 4096 // w.dim)

    def solve(key: Any) -> Any:
        path = diffrax.UnsafeBrownianPath(shape=(w.dim,), key=key, levy_area=area)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(diffusion, path))
        solution = diffrax.diffeqsolve(
            terms,
            method,
            t0=0.0,
            t1=w.n_steps * w.dt,
            dt0=w.dt,
            y0=jnp.full(w.dim, w.start),
            saveat=diffrax.SaveAt(t1=True),
            adjoint=diffrax.DirectAdjoint(),
            max_steps=w.n_steps + 1,
        )
        return solution.ys[0]

    chunk_run = jax.jit(lambda key: jax.vmap(solve)(jax.random.split(key, chunk)))

    def run(n_paths: int, seed: int) -> Sums:
        key = jax.random.key(seed)
        return total([sums(np.asarray(chunk_run(jax.random.fold_in(key, c)))) for c in range(-(-n_paths // chunk))])

    return Runner(run, granule=chunk)
