"""Speed on this machine: nanoseconds a path and step of typical work, on one thread and on all."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde import _core
from optsde._reports import aligned
from optsde.dynamics import Dynamics
from optsde.langevin import Langevin
from optsde.losses import DoubleWell, LogisticRegression, Quadratic
from optsde.noise import Gaussian, Minibatch
from optsde.observers import Moments
from optsde.optimizers import SGD, Adam
from optsde.problem import Problem
from optsde.simulate import simulate

_ROUNDS = 5
_SECONDS = 0.2


@dataclass(frozen=True)
class Work:
    """A simulation to time."""

    name: str
    dynamics: Dynamics
    theta0: Any
    grid: dict[str, Any]
    steps: int


def _works() -> list[Work]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1000, 20))
    data = LogisticRegression(x, (x[:, 0] + rng.standard_normal(1000) > 0).astype(float), l2=1e-3)
    bowl = Problem(Quadratic(1.0, dim=10), Gaussian(1.0))
    sgd = SGD(0.1)
    sde = {"steps": 100, "substeps": 1}
    return [
        Work("SGD's equation, d = 10", sgd.sde(bowl), np.zeros(10), sde, 100),
        Work("Adam's equation, d = 10", Adam(1e-2).sde(bowl), np.zeros(10), sde, 100),
        Work("Adam, d = 10", Adam(1e-2).discrete(bowl), np.zeros(10), {"steps": 100}, 100),
        Work("Langevin, double well", Langevin(DoubleWell(), 0.25), 1.0, {"t1": 1.0, "dt": 0.01}, 100),
        Work(
            "minibatch SGD, logistic, N = 1000, d = 20, B = 10",
            sgd.discrete(Problem(data, Minibatch(), batch_size=10)),
            np.zeros(20),
            {"steps": 100},
            100,
        ),
    ]


def _nanoseconds(work: Work, threads: int) -> float:
    """The median of several runs, each of about the same time."""

    def run(n_paths: int) -> float:
        ens = simulate(
            work.dynamics, work.theta0, n_paths=n_paths, rng=7, observe=Moments(), threads=threads, progress=False,
            on_divergence="keep", **work.grid,
        )  # fmt: skip
        return ens.wall_time / (n_paths * work.steps)

    n_paths = max(1024, round(_SECONDS / (run(4096) * work.steps)))
    return 1e9 * statistics.median(run(n_paths) for _ in range(_ROUNDS))


def bench(say: Callable[[str], None] = print) -> None:
    """Times some typical simulations and says how long a path and step takes."""
    info = _core.info()
    most = _core.default_threads()
    say(", ".join(f"{name}: {info[name]}" for name in ("version", "simd") if name in info))
    rows = [["work", "1 thread", *([f"{most} threads"] if most > 1 else [])]]
    for work in _works():
        times = [_nanoseconds(work, threads) for threads in dict.fromkeys((1, most))]
        rows.append([work.name, *(f"{time:.2f} ns" for time in times)])
    say(aligned(rows))
    say("Medians of processor-bound runs; the time of one step of one path.")
