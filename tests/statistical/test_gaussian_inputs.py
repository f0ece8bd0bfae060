"""Linear regression on Gaussian inputs: second moments of the algorithm and of its equation by exact recursions."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees, mean_and_error
from scipy.linalg import solve

C = np.array([[1.0, 0.4], [0.4, 0.5]])
DELTA, LR = 0.3, 0.1
CENTER = np.array([0.5, -2.0])
W0 = np.array([0.7, -0.2])
# From w = (0.7, -0.2) after 20 steps of 0.1 with B = 1, and stationary: the algorithm, its equation.
AFTER_20 = (0.0403710201, -0.0416480884, 0.0640212653)
MEAN_20 = (0.1750374038, -0.2373357575)
STATIONARY = (0.0054681504, 0.0002302379, 0.0051803530)
STATIONARY_SDE = (0.0051463257, 0.0001055657, 0.0050143687)
ONE_EXAMPLE = (0.8724, 0.3068, 0.2764)


def problem(batch_size=1, delta=DELTA):
    loss = optsde.losses.Quadratic(C, center=CENTER)
    return optsde.Problem(loss, optsde.noise.GaussianInputs(C, delta), batch_size)


def step(m, batch, constant=1.0, squared_mean=1.0):
    """M' of the algorithm's recursion; with squared_mean = 0 the equation's over a time of lr."""
    noise = C @ m @ C + np.trace(C @ m) * C + constant * DELTA**2 * C
    return m - LR * (C @ m + m @ C) + LR**2 * (squared_mean * C @ m @ C + noise / batch)


def stationary(batch, squared_mean):
    basis = np.eye(4).reshape(4, 2, 2)
    linear = np.array([(step(b, batch, 0.0, squared_mean) - b).ravel() for b in basis]).T
    constant = step(np.zeros((2, 2)), batch, 1.0, squared_mean).ravel()
    return solve(-linear, constant)[[0, 1, 3]]


def after(steps, batch):
    m = np.outer(W0, W0)
    for _ in range(steps):
        m = step(m, batch)
    return m.ravel()[[0, 1, 3]]


def products(x):
    w = x - CENTER
    return np.stack([w[:, 0] ** 2, w[:, 0] * w[:, 1], w[:, 1] ** 2], axis=1)


def test_recursions_have_the_published_answers():
    np.testing.assert_allclose(after(20, 1), AFTER_20, atol=1e-10)
    np.testing.assert_allclose(stationary(1, 1.0), STATIONARY, atol=1e-10)
    np.testing.assert_allclose(stationary(1, 0.0), STATIONARY_SDE, atol=1e-10)


@pytest.mark.parametrize("discrete", [True, False], ids=["algorithm", "equation"])
@pytest.mark.parametrize("batch", [1, 3])
def test_covariance_of_one_step(discrete, batch):
    sgd, n = optsde.SGD(LR), 400_000
    watch = [optsde.Moments(cov=True)]
    if discrete:
        ens = optsde.simulate(sgd.discrete(problem(batch)), CENTER + W0, steps=1, n_paths=n, rng=1, observe=watch)
    else:
        sde = sgd.sde(problem(batch))
        assert sde.noise_kind == "full"
        ens = optsde.simulate(sde, CENTER + W0, steps=1, substeps=1, n_paths=n, rng=1, observe=watch)
    assert_agrees(ens.mean[0], ens.mean_stderr[0], CENTER + W0 - LR * C @ W0, wrong=[CENTER + W0])
    a, b, c = (LR**2 * s / batch for s in ONE_EXAMPLE)
    exact = np.array([[a, b], [b, c]])
    without_labels = exact - LR**2 * DELTA**2 * C / batch
    without_mean = exact - LR**2 * C @ np.outer(W0, W0) @ C / batch
    wrong = [without_labels, without_mean, 2 * exact, batch * exact + (batch == 1)]
    assert_agrees(ens.cov[0], ens.cov_stderr[0], exact, wrong=wrong)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 4])
def test_algorithm_after_twenty_steps(batch, dtype):
    ens = optsde.simulate(
        optsde.SGD(LR).discrete(problem(batch)), CENTER + W0, steps=20, n_paths=400_000, rng=2, dtype=dtype
    )
    bias = 1e-6 if dtype == "float32" else 0.0
    assert_agrees(ens.mean[0] - CENTER, ens.mean_stderr[0], MEAN_20, wrong=[W0], bias=bias)
    estimate, stderr = mean_and_error(products(ens.final.astype(float)))
    exact = after(20, batch)
    deterministic = products(CENTER + np.array([MEAN_20]))[0]
    one = np.array(AFTER_20)
    wrong = [deterministic, 2 * exact - deterministic, *([one] if batch > 1 else [])]
    assert_agrees(estimate, stderr, exact, wrong=wrong, bias=bias)


def test_stationary_second_moments_of_algorithm_and_equation():
    n, steps = 800_000, 250
    sgd, start = optsde.SGD(LR), optsde.initial.Gaussian(CENTER, 0.005 * np.eye(2))
    chain = optsde.simulate(sgd.discrete(problem()), start, steps=steps, n_paths=n, rng=3)
    assert_agrees(*mean_and_error(products(chain.final)), STATIONARY, wrong=[STATIONARY_SDE])
    # Euler-Maruyama in steps of lr/4 adds dt² C M C to each of the equation's steps: an exact recursion again.
    dt = LR / 4
    m = 0.005 * np.eye(2)
    for _ in range(4 * steps):
        m = m + (step(m, 1, 1.0, 0.0) - m) * dt / LR + dt**2 * C @ m @ C
    exact = m.ravel()[[0, 1, 3]]
    np.testing.assert_allclose(exact, STATIONARY_SDE, rtol=0.02, atol=3e-5)
    euler = optsde.simulate(sgd.sde(problem()), start, steps=steps, substeps=4, n_paths=n // 3, rng=4)
    assert_agrees(*mean_and_error(products(euler.final)), exact, wrong=[STATIONARY])


def test_milstein_takes_the_equation():
    sde = optsde.SGD(LR).sde(problem())
    options = {"steps": 10, "n_paths": 2000, "rng": 5, "wiener_dt": LR / 64}
    reference = optsde.simulate(sde, CENTER + W0, substeps=64, method="milstein", **options).final
    errors = {}
    for method in ("euler_maruyama", "milstein"):
        ends = [optsde.simulate(sde, CENTER + W0, substeps=s, method=method, **options).final for s in (1, 8)]
        errors[method] = [np.sqrt(np.square(end - reference).mean()) for end in ends]
    # Strong order 1 against 1/2: the analytic derivatives of the factor are right.
    assert errors["milstein"][1] < errors["milstein"][0] / 5
    assert errors["milstein"][1] < errors["euler_maruyama"][1] / 3


def test_without_label_noise_the_minimum_is_absorbing():
    p = problem(delta=0.0)
    for dynamics in (optsde.SGD(LR).discrete(p), optsde.SGD(LR).sde(p)):
        ens = optsde.simulate(dynamics, CENTER, steps=5, n_paths=50, rng=6)
        np.testing.assert_allclose(ens.final, np.tile(CENTER, (50, 1)), atol=1e-12)


def test_isotropic_inputs_in_many_dimensions():
    # E|w'|² = |w|² (1 - 2η + η²(1 + (d + 1)/B)) + η² δ² d / B for C = I.
    dim, batch, lr, delta = 7, 2, 0.05, 0.4
    p = optsde.Problem(optsde.losses.Quadratic(1.0, dim=dim), optsde.noise.GaussianInputs(1.0, delta), batch)
    w = np.cos(np.arange(dim))
    square = float(w @ w)
    ens = optsde.simulate(optsde.SGD(lr).discrete(p), w, steps=1, n_paths=200_000, rng=7)
    exact = square * (1 - 2 * lr + lr**2 * (1 + (dim + 1) / batch)) + lr**2 * delta**2 * dim / batch
    gaussian_only = square * (1 - 2 * lr + lr**2) + lr**2 * delta**2 * dim / batch
    assert_agrees(*mean_and_error((ens.final**2).sum(axis=1)), exact, wrong=[gaussian_only])
