"""Linear forms of equations against the drift that they have at points: exact steps, and the limit at t = 0."""

import numpy as np
import optsde
import pytest
from optsde import SGD, Problem
from optsde.losses import Quadratic
from optsde.noise import Gaussian
from scipy.linalg import expm

# Noise that no digit looked at can see.
PROBLEM = Problem(Quadratic([[2.0, 0.5], [0.5, 1.0]]), Gaussian(1e-24))
EQUATIONS = {
    "sgd": SGD(0.3).sde(PROBLEM),
    "sgd of order 2": SGD(0.3).sde(PROBLEM, order=2),
    "momentum": SGD(0.3, momentum=0.8).sde(PROBLEM),
    "momentum of order 2": SGD(0.3, momentum=0.8).sde(PROBLEM, order=2),
}


@pytest.mark.parametrize("equation", EQUATIONS.values(), ids=EQUATIONS)
def test_exact_steps_follow_the_drift(equation):
    start, t = np.array([1.0, -0.5]), 1.2
    ens = optsde.simulate(equation, start, t1=t, dt=t, method="ornstein_uhlenbeck", n_paths=2, rng=1, progress=False)
    size = 2 * len(equation.state)
    rate = equation.drift_at(np.eye(size)).T - equation.drift_at(np.zeros((1, size))).T
    exact = expm(rate * t) @ np.concatenate([start, np.zeros(size - 2)])
    assert ens.final[0, :2] == pytest.approx(exact[:2], abs=1e-9)


def test_growing_momentum_begins_with_its_limit():
    # V ~ -t ∇f/(r + 1) near 0, where the friction r/t has no value.
    equation = SGD(0.1, momentum=optsde.schedules.Nesterov(3.0), nesterov=True).sde(PROBLEM)
    drift = equation.drift_at(np.array([[1.0, 0.0, 0.0, 0.0]]), 0.0)
    assert drift[0] == pytest.approx([0.0, 0.0, -2.0 / 4.0, -0.5 / 4.0], rel=1e-12)
