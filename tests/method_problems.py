"""Problems for the convergence tests, by kind of noise: a method is tested on every one that it takes."""

import functools
from dataclasses import dataclass

import numpy as np
import optsde
from problems import simpson_expectation

TEMPERATURE = 0.5


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


def stationary_problems():
    """Equations with a known stationary mean square, by kind of noise."""
    quartic, square = optsde.losses.Quartic(a=0.5, b=1.0, dim=1), gibbs_square(0.5, 1.0, TEMPERATURE)
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

    # p ~ b⁻² exp(2 ∫ a/b²) of dX = -(X³/2 + X) dt + sqrt(lr (1 + X²)/2) dW.
    affine = simpson_expectation(np.square, lambda x: (1 + x**2) ** -3.0 * np.exp(-2.0 * x**2), -8.0, 8.0)
    affine_sde = sgd(optsde.losses.Quartic(a=0.5, b=1.0, dim=1), optsde.noise.AffineDiagonal(0.5, 0.5))
    # Isotropic noise as a full matrix: SGD's temperature is lr c/2.
    full = sgd(optsde.losses.Quartic(a=0.5, b=1.0, dim=2), optsde.noise.Gaussian(2 * TEMPERATURE / lr * np.eye(2)))
    wide = optsde.initial.Gaussian([0.0, 0.0], square * np.eye(2))
    problems = {
        "additive_diagonal": [StationaryProblem(optsde.Langevin(quartic, TEMPERATURE), spread, square)],
        "additive_full": [StationaryProblem(full, wide, square)],
        "diagonal": [StationaryProblem(affine_sde, optsde.initial.Gaussian(0.0, affine), affine)],
        "diagonal_coupled": [scaled(np.array([1.0, 0.6]))],
        "scalar": [scaled(np.array([1.0]))],
        "full": [scaled(cov)],
    }
    return problems
