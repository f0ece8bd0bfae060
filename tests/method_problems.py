"""Problems for the convergence tests, by kind of noise: a method is tested on every one that it takes."""

import functools
from dataclasses import dataclass

import numpy as np
import optsde
from problems import apply, simpson_expectation

TEMPERATURE = 1.0


@dataclass(frozen=True)
class StationaryProblem:
    """An equation, a start near its stationary law, and the exact stationary mean square of its last parameter."""

    dynamics: optsde.Dynamics
    start: object
    exact: float


@functools.cache
def takes(method, dynamics):
    """Whether a method takes the dynamics: tables say so by kind of noise, some methods ask for more than a kind."""
    try:
        optsde.simulate(dynamics, np.full(dynamics.dim, 0.5), t1=1e-3, dt=1e-3, method=method, rng=1)
    except ValueError as error:
        assert str(error).startswith("method"), error  # noqa: PT017
        return False
    return True


def gibbs_square(a, b, temperature):
    """E x² under exp(-(a x⁴/4 + b x²/2)/T)."""
    return simpson_expectation(np.square, lambda x: np.exp(-(a * x**4 / 4 + b * x**2 / 2) / temperature), -8.0, 8.0)


def scaled_square(lr, cov, floor):
    """Stationary E x xᵀ of dX = -X dt + sqrt(lr (|X|²/2 + floor)) C dW: its trace, then the matrix itself."""
    cov = np.atleast_2d(cov)
    trace = lr * floor * np.trace(cov) / (2 - lr * np.trace(cov) / 2)
    return lr * (trace / 2 + floor) * cov / 2


ROTATIONS = np.array([[[0.5, 0.3], [-0.3, 0.5]], [[-0.3, 0.4], [-0.4, -0.3]]])
SHIFT = np.array([1.0, 0.5])


def commutative():
    """dX = -X dt + Σ B_j (X + c) dW_j with commuting B_j."""
    return optsde.SDE(
        lambda t, x: -x,
        lambda t, x: np.stack([apply(b, x + SHIFT) for b in ROTATIONS], axis=2),
        dim=2,
        noise="commutative",
        n_wiener=2,
        diffusion_jacobian=lambda t, x: np.broadcast_to(np.moveaxis(ROTATIONS, 0, 1), (len(x), 2, 2, 2)),
    )


def commutative_square():
    """E x xᵀ = S with 2 S = Σ B_j (S + c cᵀ) B_jᵀ."""
    spread = sum(np.kron(b, b) for b in ROTATIONS)
    shift = np.outer(SHIFT, SHIFT).ravel()
    return np.linalg.solve(2 * np.eye(4) - spread, spread @ shift).reshape(2, 2)


def stationary_problems():
    """Equations with a known stationary mean square, by kind of noise."""
    quartic, square = optsde.losses.Quartic(a=1.0, b=1.0, dim=1), gibbs_square(1.0, 1.0, TEMPERATURE)
    spread = optsde.initial.Gaussian(0.0, square)
    lr, cov, floor = 0.5, np.array([[1.0, 0.4], [0.4, 0.6]]), 0.5

    def sgd(loss, noise):
        return optsde.SGD(lr).sde(optsde.Problem(loss, noise))

    bowl = optsde.losses.Quadratic(1.0, dim=2)

    def scaled(c):
        # Starts in equilibrium to second order: what is left relaxes fast.
        exact = scaled_square(lr, np.diag(c) if np.ndim(c) == 1 else c, floor)
        start = optsde.initial.Gaussian(np.zeros(len(exact)), exact)
        loss = bowl if len(exact) == 2 else optsde.losses.Quadratic(1.0, dim=1)
        return StationaryProblem(sgd(loss, optsde.noise.LossScaled(c, floor=floor)), start, exact[-1, -1])

    affine = optsde.noise.AffineDiagonal(1.0, 1.0)
    affine_square = lr / (2 - lr)
    # Momentum's equation is Langevin's underdamped one, of temperature lr s² / (2 (1 - beta)) on its own clock.
    momentum = optsde.SGD(0.25, momentum=0.5).sde(optsde.Problem(quartic, optsde.noise.Gaussian(4 * TEMPERATURE)))
    problems = {
        "additive_diagonal": [StationaryProblem(optsde.Langevin(quartic, TEMPERATURE), spread, square)],
        "additive_full": [StationaryProblem(momentum, spread, square)],
        "diagonal": [
            StationaryProblem(
                sgd(optsde.losses.Quadratic(1.0, dim=1), affine), optsde.initial.Gaussian(0.0, affine_square), affine_square
            )
        ],
        "diagonal_coupled": [scaled(np.array([1.0, 0.6]))],
        "scalar": [scaled(np.array([1.0]))],
        "commutative": [StationaryProblem(commutative(), optsde.initial.Gaussian([0.0, 0.0], commutative_square()), commutative_square()[1, 1])],
        "full": [scaled(cov)],
    }
    if hasattr(optsde, "UnderdampedLangevin"):
        problems["additive_diagonal"].append(
            StationaryProblem(optsde.UnderdampedLangevin(quartic, TEMPERATURE, 1.0), spread, square)
        )
    return problems
