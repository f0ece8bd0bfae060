"""Weak order 1: biases against exact expectations, by exact recursions that simulations confirm, and by coupling."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees, assert_rejected, mean_and_error

# Geometric Brownian motion dX = a X dt + b X dW from 1: E X(1)^p = exp(p a + p (p - 1) b²/2).
A, B = -0.5, 0.6
N = 1_000_000


def geometric(b=B):
    return optsde.SDE(
        lambda t, x: A * x, lambda t, x: b * x, dim=1, noise="diagonal", diffusion_jacobian=lambda t, x: 0 * x + b
    )


def exact_power(p):
    return np.exp(p * A + p * (p - 1) * B**2 / 2)


def scheme_power(p, dt, scheme):
    """E x^p after n steps: the expectation of one step's factor to the power n."""
    root = np.sqrt(dt)
    if scheme == "two_point":
        dw, weights = root * np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    else:
        dw, weights = np.polynomial.hermite_e.hermegauss(20)
        dw, weights = root * dw, weights / weights.sum()
    factor = 1 + A * dt + B * dw
    if scheme == "milstein":
        factor = factor + B**2 / 2 * (dw**2 - dt)
    return float(weights @ factor**p) ** round(1 / dt)


SCHEMES = {
    "euler_maruyama": {"method": "euler_maruyama"},
    "two_point": {"method": "euler_maruyama", "increments": "two_point"},
    "milstein": {"method": "milstein"},
}


def powers(b, dt, scheme, n=N, rng=91, **more):
    ens = optsde.simulate(
        geometric(b), 1.0, t1=1.0, dt=dt, n_paths=n, rng=rng, observe=optsde.Final(), **SCHEMES[scheme], **more
    )
    return ens.final ** np.array([1, 2, 3, 4])


@pytest.mark.parametrize("dt", [0.5, 0.25, 0.125])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_simulated_powers_follow_the_recursion(scheme, dt):
    estimate, stderr = mean_and_error(powers(B, dt, scheme))
    exact = np.array([scheme_power(p, dt, scheme) for p in (1, 2, 3, 4)])
    others = [[scheme_power(p, dt, other) for p in (1, 2, 3, 4)] for other in SCHEMES if other != scheme]
    continuous = [exact_power(p) for p in (1, 2, 3, 4)]
    # Near the limit dt -> 0 the schemes differ less than this many paths resolve.
    assert_agrees(estimate, stderr, exact, wrong=[continuous, *(others if dt == 0.5 else [])])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_the_bias_is_of_order_one(scheme, p):
    steps = 2.0 ** -np.arange(5, 10)
    errors = np.abs([scheme_power(p, dt, scheme) - exact_power(p) for dt in steps])
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 0.9 < slope < 1.1


def test_broken_noise_does_not_follow_the_recursion():
    exact = np.array([scheme_power(p, 0.25, "euler_maruyama") for p in (1, 2, 3, 4)])
    for b in (B * np.sqrt(2), B / np.sqrt(2), 1.02 * B, B**2):
        assert_rejected(*mean_and_error(powers(b, 0.25, "euler_maruyama")), exact)


def functions(x):
    """Bounded test functions, (n, 3)."""
    return np.concatenate([np.cos(x), np.arctan(x) ** 2, np.exp(-(x**2))], axis=1)


def coupled_bias(dt, rng, scale=1.0, b=0.7, n=2_000_000):
    """E[f(x) - f(X)] and its standard error: x of Euler-Maruyama with noise ``scale``, X exact on the same path."""
    common = {"t1": 1.0, "dt": dt, "method": "euler_maruyama", "n_paths": n, "rng": rng, "observe": optsde.Final()}
    equation = optsde.SDE(
        lambda t, x: b**2 * x / 2, lambda t, x: scale * b * np.sqrt(1 + x**2), dim=1, noise="diagonal"
    )
    x = optsde.simulate(equation, 0.5, **common).final
    w = optsde.simulate(optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=1), 0.0, **common).final
    return mean_and_error(functions(x) - functions(np.sinh(b * w + np.arcsinh(0.5))))


def bias_slopes(scale=1.0):
    """Weighted least squares of log |bias| on log dt: slopes, standard errors, relative errors of the biases."""
    steps = 2.0 ** -np.arange(3, 7)
    # Seeds differ, so that the points are independent.
    bias, stderr = np.moveaxis([coupled_bias(dt, 93 + k, scale) for k, dt in enumerate(steps)], 1, 0)
    relative = stderr / np.abs(bias)
    weights = 1 / relative**2
    x = np.log(steps)[:, None] - (weights * np.log(steps)[:, None]).sum(axis=0) / weights.sum(axis=0)
    curvature = (weights * x**2).sum(axis=0)
    return (weights * x * np.log(np.abs(bias))).sum(axis=0) / curvature, 1 / np.sqrt(curvature), relative


def test_sampled_bias_is_of_order_one():
    slope, stderr, relative = bias_slopes()
    assert (relative < 0.05).all(), "the noise hides the bias"
    assert (slope - 5 * stderr > 1.0 - 0.15).all(), f"slope {slope} ± {stderr}"
    broken, error, _ = bias_slopes(scale=np.sqrt(2))
    assert (broken + 5 * error < 0.5).all(), f"slope {broken} ± {error} of noise with a factor sqrt(2)"
