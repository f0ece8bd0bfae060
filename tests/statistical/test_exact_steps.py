"""Exact steps where the linear equation has to be found first, or has rates of very different sizes."""

import numpy as np
import optsde
import pytest
from optsde import losses, noise
from problems import TWO_DIM_COV, TWO_DIM_H, assert_agrees
from scipy.linalg import expm, solve_continuous_lyapunov

CENTER = np.array([1.0, -2.0])
START = np.array([0.5, 1.5])
DECAY, TIME = 0.7, 1.0


def decayed(lr, center=None):
    loss = losses.Quadratic(TWO_DIM_H, center=center)
    optimizer = optsde.SGD(lr, weight_decay=DECAY, decoupled=True)
    return optimizer.sde(optsde.Problem(loss, noise.Gaussian(TWO_DIM_COV)))


def exact(equation, start, **options):
    return optsde.simulate(equation, start, t1=TIME, method="ornstein_uhlenbeck", rng=7, **options)


def drift_of(lr):
    """Rate matrix and fixed point, from the algorithm."""
    relative = np.atleast_1d(lr) / np.max(lr)
    rate = relative[:, None] * TWO_DIM_H if relative.size > 1 else TWO_DIM_H
    total = rate + DECAY * np.diag(np.broadcast_to(relative, 2))
    return total, np.linalg.solve(total, rate @ CENTER)


@pytest.mark.parametrize("lr", [0.2, [0.2, 0.05]])
def test_the_linear_form_of_a_decayed_equation_is_its_drift(lr):
    equation = decayed(lr, CENTER)
    rate, mean = drift_of(lr)
    np.testing.assert_allclose(equation.drift_at(START), -rate @ (START - mean), rtol=1e-13)
    # With the same noise, two starts differ by the propagator alone, and two centres by the fixed point alone.
    end = exact(equation, START, dt=0.25).mean[-1]
    other = exact(equation, mean, dt=0.25).mean[-1]
    np.testing.assert_allclose(end - other, expm(-rate * TIME) @ (START - mean), atol=1e-13)
    np.testing.assert_allclose(end - exact(decayed(lr), START - mean, dt=0.25).mean[-1], mean, atol=1e-13)


def test_moments_of_a_decayed_equation():
    lr = 0.2
    rate, mean = drift_of(lr)
    found = exact(decayed(lr, CENTER), START, dt=0.5, n_paths=200_000)
    phi = expm(-rate * TIME)
    still = solve_continuous_lyapunov(rate, lr * TWO_DIM_COV)
    undecayed = expm(-TWO_DIM_H * TIME)
    wrong_mean = CENTER + undecayed @ (START - CENTER)
    wrong_still = solve_continuous_lyapunov(TWO_DIM_H, lr * TWO_DIM_COV)
    wrong_var = np.diag(wrong_still - undecayed @ wrong_still @ undecayed.T)
    assert_agrees(found.mean[-1], found.mean_stderr[-1], mean + phi @ (START - mean), wrong=[wrong_mean])
    assert_agrees(found.var[-1], found.var_stderr[-1], np.diag(still - phi @ still @ phi.T), wrong=[wrong_var])


def test_decay_without_a_fixed_point_is_refused():
    def equation(curvature, center):
        loss = losses.Quadratic([curvature, 1.0], center=center)
        return optsde.SGD(0.2, weight_decay=0.5, decoupled=True).sde(optsde.Problem(loss, noise.Gaussian(1.0)))

    for curvature in (-0.5, -0.5 + 1e-9):
        with pytest.raises(ValueError, match="linear"):
            exact(equation(curvature, CENTER), START, dt=0.5)
    exact(equation(-0.5, None), START, dt=0.5)


@pytest.mark.parametrize("friction", [10.0, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("time", ["a tenth", "one", "friction"])
def test_underdamped_steps_whatever_the_friction(friction, time):
    """The law of the position from rest at 1, with h = 2, T = 1: overdamped where the friction is large."""
    h = 2.0
    t = {"a tenth": 0.1, "one": 1.0, "friction": friction}[time]
    equation = optsde.UnderdampedLangevin(losses.Quadratic(h, dim=1), 1.0, friction)
    found = optsde.simulate(equation, 1.0, t1=t, dt=t, method="ornstein_uhlenbeck", n_paths=100_000, rng=5)
    root = np.sqrt(friction**2 - 4 * h)
    fast, slow = (friction + root) / 2, 2 * h / (friction + root)
    mean = (fast * np.exp(-slow * t) - slow * np.exp(-fast * t)) / root
    forgotten = -np.expm1(-2 * slow * t) / h
    assert_agrees(found.mean[-1], found.mean_stderr[-1], mean, bias=1e-12)
    if fast * t > 1e3:  # then fast terms are gone, and 1/(fast t) of the variance is the velocity's
        assert_agrees(
            found.var[-1], found.var_stderr[-1], forgotten, bias=forgotten * 4 / (fast * t), wrong=[1.1 * forgotten]
        )
