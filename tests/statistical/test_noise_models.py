"""Covariance of one gradient step for every noise model; Gaussian linear regression; correlated signs."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees, assert_rejected, mean_and_error, z_limit, z_scores
from scipy.linalg import solve, sqrtm

N = 400_000
LR = 0.1
H = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 1.5]])
START = np.array([0.8, -0.5, 0.3])
FULL = np.array([[1.0, 0.3, -0.2], [0.3, 0.5, 0.1], [-0.2, 0.1, 0.4]])
DIRECTION = np.array([1.0, -2.0, 0.5])
LOSS = optsde.losses.Quadratic(H)
BASE, SLOPE, CENTER = np.array([0.5, 1.0, 0.2]), np.array([2.0, 0.0, 1.0]), np.array([0.1, 0.2, -0.3])
VALUE = 0.5 * START @ H @ START


def column_factor(x):
    """A factor of two Wiener processes that depends on the point."""
    return np.stack(
        [np.stack([x[:, 0], 1 + x[:, 1], x[:, 2] ** 2], 1), np.stack([x[:, 1], x[:, 0], 2 * x[:, 2]], 1)], 2
    )


COLUMNS = column_factor(START[None])[0]

MODELS = {
    "isotropic": (optsde.noise.Gaussian(0.7), 0.7 * np.eye(3)),
    "diagonal": (optsde.noise.Gaussian([0.7, 0.1, 2.0]), np.diag([0.7, 0.1, 2.0])),
    "full": (optsde.noise.Gaussian(FULL), FULL),
    "rank one": (optsde.noise.Gaussian(np.outer(DIRECTION, DIRECTION)), np.outer(DIRECTION, DIRECTION)),
    "one coordinate": (optsde.noise.Gaussian([0.0, 1.0, 0.0]), np.diag([0.0, 1.0, 0.0])),
    "affine": (
        optsde.noise.AffineDiagonal(BASE, SLOPE, CENTER),
        np.diag(BASE + SLOPE * (START - CENTER) ** 2),
    ),
    "scaled isotropic": (optsde.noise.LossScaled(0.3, floor=0.1), (VALUE + 0.1) * 0.3 * np.eye(3)),
    "scaled full": (optsde.noise.LossScaled(FULL, floor=0.1), (VALUE + 0.1) * FULL),
    "function, diagonal": (
        optsde.noise.Function(lambda x: 1 + x**2, kind="diagonal"),
        np.diag((1 + START**2) ** 2),
    ),
    "function, coupled": (
        optsde.noise.Function(lambda x: 1 + np.roll(x, 1, axis=1) ** 2, kind="diagonal_coupled"),
        np.diag((1 + np.roll(START, 1) ** 2) ** 2),
    ),
    "function, full": (optsde.noise.Function(column_factor, kind="full", n_wiener=2), COLUMNS @ COLUMNS.T),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("discrete", [True, False], ids=["algorithm", "equation"])
def test_covariance_of_one_step(name, discrete):
    noise, sigma = MODELS[name]
    batch = 3
    problem = optsde.Problem(LOSS, noise, batch_size=batch)
    opt = optsde.SGD(LR)
    kwargs = {"n_paths": N, "rng": 31, "observe": [optsde.Moments(cov=True)]}
    if discrete:
        ens = optsde.simulate(opt.discrete(problem), START, steps=1, **kwargs)
    else:
        ens = optsde.simulate(opt.sde(problem), START, t1=LR, dt=LR, method="euler_maruyama", **kwargs)
    assert_agrees(ens.mean[0], ens.mean_stderr[0], START - LR * H @ START, wrong=[START + LR * H @ START, START])
    exact = LR**2 * sigma / batch
    # lr for lr², no batch size, its square, a factor of 2.
    wrong = [exact / LR, exact * batch, exact / batch, 2 * exact, exact / 2]
    assert_agrees(ens.cov[0], ens.cov_stderr[0], exact, wrong=wrong)
    if name in ("full", "scaled full"):
        assert_rejected(ens.cov[0], ens.cov_stderr[0], np.diag(np.diag(exact)))


# Linear regression with Gaussian inputs of covariance C, label noise of deviation delta, w = x - x*.
C = np.array([[1.0, 0.4], [0.4, 0.5]])
DELTA = 0.3
W0 = np.array([0.7, -0.2])
ROOT = np.real(sqrtm(C))


def regression_factor(x):
    """S = [(wᵀ C w + δ²)^½ C^½, C w], three Wiener processes."""
    scale = np.sqrt(np.einsum("ni,ij,nj->n", x, C, x) + DELTA**2)
    return np.concatenate([scale[:, None, None] * ROOT, (x @ C)[:, :, None]], axis=2)


def regression_operator(lr, order):
    """The map M -> M' of one step, as a matrix and a constant: the algorithm's, or the equation's rate times lr."""
    basis = [np.array(b).reshape(2, 2) for b in np.eye(4)]

    def step(m, constant):
        squared = (2.0 if order == 0 else 1.0) * C @ m @ C + np.trace(C @ m) * C + constant * DELTA**2 * C
        return -lr * (C @ m + m @ C) + lr**2 * squared

    linear = np.array([step(b, 0.0).ravel() for b in basis]).T
    return linear, step(np.zeros((2, 2)), 1.0).ravel()


def test_regression_recursion_has_the_published_answers():
    linear, constant = regression_operator(0.1, 0)
    m = np.outer(W0, W0).ravel()
    for _ in range(20):
        m = m + linear @ m + constant
    np.testing.assert_allclose(m[[0, 1, 3]], (0.0403710201, -0.0416480884, 0.0640212653), atol=1e-10)
    for order, answer in (
        (0, (0.0054681504, 0.0002302379, 0.0051803530)),
        (1, (0.0051463257, 0.0001055657, 0.0050143687)),
    ):
        linear, constant = regression_operator(0.1, order)
        np.testing.assert_allclose(solve(-linear, constant)[[0, 1, 3]], answer, atol=1e-10)


def regression_problem(batch_size=1):
    return optsde.Problem(
        optsde.losses.Quadratic(C), optsde.noise.Function(regression_factor, kind="full", n_wiener=3), batch_size
    )


def products(x):
    return np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], axis=1)


def test_regression_second_moments():
    ens = optsde.simulate(optsde.SGD(0.1).discrete(regression_problem()), W0, steps=20, n_paths=400_000, rng=32)
    mean = (0.1750374038, -0.2373357575)
    assert_agrees(ens.mean[0], ens.mean_stderr[0], mean, wrong=[W0])
    estimate, stderr = mean_and_error(products(ens.final))
    answer = (0.0403710201, -0.0416480884, 0.0640212653)
    deterministic = products(np.array([mean]))[0]
    assert_agrees(estimate, stderr, answer, wrong=[deterministic, 2 * np.array(answer) - deterministic])


def test_regression_equation_follows_its_recursion_to_the_stationary_law():
    # Euler-Maruyama with dt = lr/2: M' = M + dt (drift of the equation) + dt² C M C, exactly.
    lr, dt, steps = 0.1, 0.05, 600
    linear, constant = regression_operator(lr, 1)
    basis = [np.array(b).reshape(2, 2) for b in np.eye(4)]
    scheme = linear * dt / lr + dt**2 * np.array([(C @ b @ C).ravel() for b in basis]).T
    m = np.zeros(4)
    for _ in range(steps):
        m = m + scheme @ m + constant * dt / lr
    ens = optsde.simulate(
        optsde.SGD(lr).sde(regression_problem()), np.zeros(2), t1=dt * steps, dt=dt, n_paths=20_000, rng=33
    )
    estimate, stderr = mean_and_error(products(ens.final))
    constant_noise = solve(-(-lr * (np.kron(C, np.eye(2)) + np.kron(np.eye(2), C))), constant)[[0, 1, 3]]
    assert_agrees(estimate, stderr, m[[0, 1, 3]], wrong=[constant_noise / 1.2, 2 * m[[0, 1, 3]], m[[0, 1, 3]] / 2])


@pytest.mark.parametrize("r", [-0.9, 0.3, 0.7])
def test_signs_of_correlated_noise(r):
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=2), optsde.noise.Gaussian([[4.0, 2 * r], [2 * r, 1.0]]))
    signs = optsde.Expectation(lambda x: np.sign(x[:, 0] * x[:, 1]), "signs")
    ens = optsde.simulate(optsde.SGD(LR).discrete(problem), np.zeros(2), steps=1, n_paths=N, rng=34, observe=signs)
    result = ens.expectations["signs"]
    assert_agrees(result.mean, result.stderr, 2 / np.pi * np.arcsin(r), wrong=[r, 0.0, -r])


def test_negative_loss_factor_is_divergence_and_the_rest_counts():
    # The loss is negative beyond |x| > sqrt(2): those starts diverge at once, the others are kept.
    loss = optsde.losses.Function(lambda x: -x, dim=1, value=lambda x: 1 - x[:, 0] ** 2 / 2)
    problem = optsde.Problem(loss, optsde.noise.LossScaled(1.0))
    starts = np.linspace(-2.0, 2.0, 2001)[:, None]
    ens = optsde.simulate(optsde.SGD(LR).discrete(problem), starts, steps=1, rng=35, on_divergence="keep")
    np.testing.assert_array_equal(np.isnan(ens.final[:, 0]), starts[:, 0] ** 2 > 2)
    good = ~np.isnan(ens.final[:, 0])
    z = z_scores(ens.final[good, 0], LR * np.sqrt(1 - starts[good, 0] ** 2 / 2) + 1e-12, (1 + LR) * starts[good, 0])
    assert np.abs(z).max() < z_limit(z.size)
    assert z.std() == pytest.approx(1.0, abs=0.12)
