"""The problems that are timed: their numbers, and the ratios that optsde means to reach."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Workload:
    """One equation, integrated by `n_steps` steps of `dt` from `start`; only the moments at the end are asked."""

    name: str
    title: str
    dim: int
    n_steps: int
    dt: float
    start: float
    lr: float = 1.0
    kurtosis: float = 4.0  # about that of the law at the end, or more: for the error of a variance
    matrices: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    # peer -> optsde must be at least so many times as fast
    goals: dict[str, float] = field(default_factory=dict)


def _dense(dim: int) -> dict[str, NDArray[np.float64]]:
    """A Hessian with eigenvalues from 0.1 to 1, and a covariance with its lower Cholesky factor."""
    rng = np.random.default_rng(dim)
    q, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    hessian = (q * np.linspace(0.1, 1.0, dim)) @ q.T
    p, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    cov = (p * np.linspace(0.5, 2.0, dim)) @ p.T
    hessian, cov = (hessian + hessian.T) / 2, (cov + cov.T) / 2
    return {"hessian": hessian, "cov": cov, "factor": np.linalg.cholesky(cov)}


def _examples(n: int, dim: int) -> dict[str, NDArray[np.float64]]:
    """Normal inputs, and classes drawn from a logistic model of them."""
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, dim))
    odds = x @ np.linspace(-1.0, 1.0, dim)
    return {"X": x, "y": (rng.random(n) < 1.0 / (1.0 + np.exp(-odds))).astype(float)}


_SLOW = {"torchsde": 25.0, "diffrax": 25.0}

WORKLOADS = {
    workload.name: workload
    for workload in [
        Workload(
            "ou",
            "Ornstein–Uhlenbeck, d = 1: dX = -X dt + √2 dW, Euler–Maruyama",
            dim=1,
            n_steps=256,
            dt=0.01,
            start=0.5,
            goals={"numba": 3.5, "numpy": 11.0, "mkl icdf": 1 / 1.15, **_SLOW},
        ),
        Workload(
            "milstein",
            "multiplicative noise, d = 1: dX = -X dt + √(lr (1 + X²)) dW, Milstein",
            dim=1,
            n_steps=256,
            dt=0.01,
            start=0.5,
            lr=0.1,
            goals={"numba": 5.0, **_SLOW},
        ),
        Workload(
            "double_well",
            "double well, d = 1: dX = -4 X (X² - 1) dt + √lr dW, Euler–Maruyama",
            dim=1,
            n_steps=256,
            dt=0.005,
            start=1.0,
            lr=0.5,
            kurtosis=18.0,
            goals={"numba": 4.0, **_SLOW},
        ),
        Workload(
            "dense10",
            "dense H and Σ, d = 10: dX = -H X dt + √lr L dW, Euler–Maruyama",
            dim=10,
            n_steps=128,
            dt=0.05,
            start=0.5,
            lr=0.1,
            matrices=_dense(10),
            goals={"numba": 4.5, "numpy": 8.0, **_SLOW},
        ),
        Workload(
            "dense64",
            "dense H and Σ, d = 64: dX = -H X dt + √lr L dW, Euler–Maruyama",
            dim=64,
            n_steps=64,
            dt=0.05,
            start=0.5,
            lr=0.1,
            matrices=_dense(64),
            goals={"numba": 4.0, "numpy": 5.0, "torchsde": 6.0, "diffrax": 6.0},
        ),
        Workload(
            "rosenbrock",
            "2-d Rosenbrock, gradient from the user (optsde: compiled callback; numba: inline): dX = -∇f dt + √lr dW",
            dim=2,
            n_steps=256,
            dt=2e-4,
            start=1.0,
            lr=2e-4,
            goals={"numba": 2.5},
        ),
        Workload(
            "adam_sde",
            "Adam's SDE of order 1 on a diagonal quadratic, d = 10 (θ, m, v), noise variance 1, Euler–Maruyama",
            dim=10,
            n_steps=128,
            dt=0.0025,
            start=0.5,
            lr=0.01,
            kurtosis=6.0,
            goals={"numba": 2.5},
        ),
        Workload(
            "adam",
            "Adam itself on a diagonal quadratic, d = 10 (θ, m, v), noise variance 1",
            dim=10,
            n_steps=128,
            dt=0.01,
            start=0.5,
            lr=0.01,
            kurtosis=6.0,
            goals={"numba": 2.5},
        ),
        Workload(
            "minibatch_logistic",
            "SGD itself on logistic regression, d = 20, of 1000 examples, 10 drawn with replacement in each step",
            dim=20,
            n_steps=64,
            dt=0.1,
            start=0.5,
            lr=0.1,
            matrices=_examples(1000, 20),
            # of the floor, optsde may take at most twice as long
            goals={"numpy": 20.0, "own generator": 0.5},
        ),
    ]
}

# Examples that a step draws in the minibatch row.
BATCH = 10

# Hyperparameters of the Adam rows, and the curvatures of their loss.
ADAM = {"betas": (0.9, 0.99), "eps": 1e-8}
ADAM_CURVATURES = np.linspace(0.1, 1.0, 10)
