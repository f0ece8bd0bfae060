"""optsde, through its public interface alone."""

from typing import Any

import numpy as np
import optsde
from workloads import ADAM, ADAM_CURVATURES, BATCH, Workload

from . import Runner, Sums


def version() -> str:
    return optsde.__version__


def rosenbrock_point(x: Any, g: Any) -> None:
    """Gradient at one point, in the form that `losses.from_numba` takes."""
    r = x[1] - x[0] * x[0]
    g[0] = -2.0 * (1.0 - x[0]) - 400.0 * x[0] * r
    g[1] = 200.0 * r


def dynamics_of(w: Workload) -> tuple[Any, str]:
    """Equation and method of a workload."""
    sgd = optsde.SGD(lr=w.lr)
    method = "euler_maruyama"
    if w.name == "ou":
        return optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1), method
    if w.name == "milstein":
        noise = optsde.noise.AffineDiagonal(1.0, 1.0)
        return sgd.sde(optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), noise)), "milstein"
    if w.name == "double_well":
        return sgd.sde(optsde.Problem(optsde.losses.DoubleWell(), optsde.noise.Gaussian(1.0))), method
    if w.name == "rosenbrock":
        loss = optsde.losses.from_numba(rosenbrock_point, dim=2)
        return sgd.sde(optsde.Problem(loss, optsde.noise.Gaussian(1.0))), method
    if w.name.startswith("adam"):
        problem = optsde.Problem(optsde.losses.Quadratic(ADAM_CURVATURES), optsde.noise.Gaussian(1.0))
        adam = optsde.Adam(lr=w.lr, **ADAM)
        return (adam.sde(problem), method) if w.name == "adam_sde" else (adam.discrete(problem), "algorithm")
    if w.name == "minibatch_logistic":
        regression = optsde.losses.LogisticRegression(w.matrices["X"], w.matrices["y"])
        return sgd.discrete(optsde.Problem(regression, optsde.noise.Minibatch(), BATCH)), "algorithm"
    loss, noise = optsde.losses.Quadratic(w.matrices["hessian"]), optsde.noise.Gaussian(w.matrices["cov"])
    return sgd.sde(optsde.Problem(loss, noise)), method


def simulate(w: Workload, dynamics: Any, method: str, n_paths: int, seed: int, threads: int, **options: Any) -> Any:
    """Run a workload; `options` go to `optsde.simulate`, `n_steps` replaces the workload's."""
    n_steps = options.pop("n_steps", w.n_steps)
    algorithm = method == "algorithm"
    length = {"steps": n_steps} if algorithm else {"t1": n_steps * w.dt, "dt": w.dt, "method": method}
    return optsde.simulate(
        dynamics,
        np.full(w.dim, w.start),
        n_paths=n_paths,
        **length,
        observe=options.pop("observe", [optsde.Moments()]),
        rng=seed,
        threads=threads,
        progress=False,
        **options,
    )


def build(w: Workload, threads: int, **options: Any) -> Runner:
    dynamics, method = dynamics_of(w)

    def run(n_paths: int, seed: int) -> Sums:
        ens = simulate(w, dynamics, method, n_paths, seed, threads, **options)
        mean, var = ens.mean[-1], ens.var[-1]
        return n_paths, n_paths * mean, (n_paths - 1) * var + n_paths * mean**2

    return Runner(run, granule=1024, threaded=True)
