"""Equations whose rates change in time or differ between parameters: coefficients at points, errors without noise."""

import numpy as np
import optsde
import pytest
from optimizer_tools import coefficients, finals, noise_covariance

COV, BATCH, PEAK = np.array([[1.0, 0.3], [0.3, 0.5]]), 3, 0.04
# Rosenbrock's Hessian depends on the place and is not diagonal.
LOSS = optsde.losses.Rosenbrock(2)
PROBLEM = optsde.Problem(LOSS, optsde.noise.Gaussian(COV), BATCH)
POINTS, VELOCITIES = np.random.default_rng(90).standard_normal((2, 5, 2))
TIME = 0.3


def learning_rate(rates, tau):
    """The rate, what it leaves of the peak at TIME, the derivative of that by time, and what each parameter has."""
    if rates == "each":
        return np.array([PEAK / 4, PEAK]), 1.0, 0.0, np.array([0.25, 1.0])
    per_step = 0.05
    u = 1 / (1 + per_step * TIME / tau)
    return optsde.schedules.InverseTime(PEAK, per_step), u, -per_step / tau * u**2, np.ones(2)


def gradient_and_hessian():
    return LOSS.grad(POINTS), LOSS.hessian(POINTS)


@pytest.mark.parametrize("rates", ["each", "schedule"])
@pytest.mark.parametrize("order", [1, 2])
def test_sgd(rates, order):
    lr, u, slope, r = learning_rate(rates, PEAK)
    drift, factor = coefficients(optsde.SGD(lr).sde(PROBLEM, order=order), POINTS, TIME)
    g, hessian = gradient_and_hessian()
    expected = -u * r * g
    if order == 2:
        curved = u**2 * r * np.einsum("nij,nj->ni", hessian, r * g)
        expected = expected - PEAK / 2 * (curved - slope * r * g)
    np.testing.assert_allclose(drift, expected, rtol=1e-12, atol=1e-12)
    sigma = PEAK * u**2 * np.outer(r, r) * COV / BATCH
    np.testing.assert_allclose(noise_covariance(factor), np.broadcast_to(sigma, (5, 2, 2)), rtol=1e-12)


@pytest.mark.parametrize("rates", ["each", "schedule"])
def test_sgd_decay(rates):
    lr, u, _, r = learning_rate(rates, PEAK)
    sgd = optsde.SGD(lr, weight_decay=0.7, decoupled=True)
    drift, _ = coefficients(sgd.sde(PROBLEM), POINTS, TIME)
    np.testing.assert_allclose(drift, -u * r * (LOSS.grad(POINTS) + 0.7 * POINTS), rtol=1e-12, atol=1e-12)


def test_milstein_of_rates():
    # One step of Euler-Maruyama tells the increments, and Milstein's adds (1/2) b b' (ΔW² - h) for them.
    base, slope, center, h = 0.25, 0.8, 0.3, 0.02
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=2), optsde.noise.AffineDiagonal(base, slope, center))
    r = np.array([0.25, 1.0])
    dynamics = optsde.SGD(PEAK * r).sde(problem)
    euler, milstein = (
        optsde.simulate(dynamics, POINTS, t1=h, dt=h, rng=91, method=method).final
        for method in ("euler_maruyama", "milstein")
    )
    away = POINTS - center
    b = -np.sqrt(PEAK) * r * np.sqrt(base + slope * away**2)
    increments = (euler - POINTS + h * r * POINTS) / b
    exact = euler + PEAK * r**2 * slope * away * (increments**2 - h) / 2
    np.testing.assert_allclose(milstein, exact, rtol=0, atol=1e-14)
    assert np.abs(milstein - euler).max() > 1e-4


@pytest.mark.parametrize("rates", ["each", "schedule"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_momentum(rates, nesterov, order):
    # b₁ = c - (1/2) (∇b₀ b₀ + ∂_t b₀), as the equation's derivation has it.
    beta, eps = 0.7, np.sqrt(PEAK)
    mu = (1 - beta) / eps
    lr, u, slope, r = learning_rate(rates, eps)
    dynamics = optsde.SGD(lr, momentum=beta, nesterov=nesterov).sde(PROBLEM, order=order)
    drift, factor = coefficients(dynamics, {"theta": POINTS, "v": VELOCITIES}, TIME)
    g, hessian = gradient_and_hessian()
    v, pull = VELOCITIES, r * g
    first = [u * v, -mu * v - pull]
    if order == 2:
        curved = u * r * np.einsum("nij,nj->ni", hessian, v) / 2
        turn = (1.5 if nesterov else 0.5) * slope * v
        first[0] = first[0] - eps * (u * (mu * v + pull) / 2 + turn)
        first[1] = first[1] + eps * (-(mu**2) / 2 * v - mu / 2 * pull + (-curved if nesterov else curved))
    np.testing.assert_allclose(drift, np.concatenate(first, axis=1), rtol=1e-12, atol=1e-12)
    sigma = eps * np.outer(r, r) * COV / BATCH
    a = noise_covariance(factor)
    np.testing.assert_allclose(a[:, 2:, 2:], np.broadcast_to(sigma, (5, 2, 2)), rtol=1e-12)
    np.testing.assert_array_equal(a[:, :2], 0.0)


@pytest.mark.parametrize("rates", ["each", "schedule"])
def test_momentum_decay(rates):
    beta, eps, decay = 0.7, np.sqrt(PEAK), 0.7
    lr, u, _, r = learning_rate(rates, eps)
    plain, decayed = (
        coefficients(sgd.sde(PROBLEM), {"theta": POINTS, "v": VELOCITIES}, TIME)[0]
        for sgd in (
            optsde.SGD(lr, momentum=beta),
            optsde.SGD(lr, momentum=beta, weight_decay=decay, decoupled=True),
        )
    )
    # A step takes η λ of the position, in the time ε.
    expected = np.concatenate([-eps * decay * u * r * POINTS, np.zeros((5, 2))], axis=1)
    np.testing.assert_allclose(decayed - plain, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("ordering", ["fresh", "lagged"])
@pytest.mark.parametrize("name", ["RMSprop", "Adam"])
def test_adaptive_without_noise(name, ordering, corrected):
    # The rate falls as 1/(1 + t): errors of order 1 halve with η, those of order 2 are divided by 4.
    if name == "RMSprop" and corrected:
        pytest.skip("RMSprop has no bias correction")
    loss = optsde.losses.Quadratic([1.2, 0.8])
    problem = optsde.Problem(loss, optsde.noise.Zero())
    start = {"theta": [0.7, -0.5], "m": [0.3, 0.6], "v": [0.5, 0.35]}
    errors = []
    for lr in (0.02, 0.01):
        rate = optsde.schedules.InverseTime(lr, lr)
        keywords = {"eps": 0.1, "ordering": ordering}
        if name == "RMSprop":
            optimizer = optsde.RMSprop(rate, alpha=1 - 0.8 * lr, **keywords)
        else:
            betas = (1 - 1.5 * lr, 1 - 0.8 * lr)
            optimizer = optsde.Adam(rate, betas=betas, bias_correction=corrected, **keywords)
        algorithm = optimizer.discrete(problem)
        at = {key: start[key] for key in algorithm.state}
        run = {"t0": 1.0, "steps": round(1 / lr), "rng": 92, "observe": optsde.Final()}
        exact = finals(optsde.simulate(algorithm, at, **run), algorithm.state)
        equations = [optimizer.sde(problem, order=order) for order in (1, 2)]
        found = [finals(optsde.simulate(eq, at, method="rk4", **run), eq.state) for eq in equations]
        errors.append([np.abs(x - exact).max() for x in found])
    slopes = np.log2(np.divide(*errors))
    np.testing.assert_allclose(slopes, (1.0, 2.0), atol=0.15)
