"""SGD and its models against closed forms: means, covariances, stationary laws, autocorrelation, schedules, flows."""

import numpy as np
import optsde
import pytest
from problems import (
    MULTIPLICATIVE,
    ONE_DIM,
    ONE_DIM_ACF,
    ONE_DIM_MEAN,
    ONE_DIM_STATIONARY,
    ONE_DIM_VAR,
    TWO_DIM_COV,
    TWO_DIM_FINAL,
    TWO_DIM_H,
    TWO_DIM_MEAN,
    TWO_DIM_START,
    TWO_DIM_STATIONARY,
    affine_recursion,
    apply,
    assert_agrees,
    assert_rejected,
    full,
    mean_and_error,
    sgd_moments,
)
from scipy.linalg import logm

N = 1_000_000
ORDERS = ("discrete", "order 1", "order 2")
OPT = optsde.SGD(0.1)


def one_dim_problem():
    return optsde.Problem(optsde.losses.Quadratic(ONE_DIM["h"], dim=1), optsde.noise.Gaussian(ONE_DIM["s"] ** 2))


def two_dim_problem(batch_size=1):
    return optsde.Problem(
        optsde.losses.Quadratic(TWO_DIM_H), optsde.noise.Gaussian(batch_size * TWO_DIM_COV), batch_size=batch_size
    )


def modified(h, cov, lr):
    """Order 2 of quadratic loss and constant noise, as the linear equation that it is."""
    h = np.atleast_2d(h)
    return optsde.OrnsteinUhlenbeck(h + lr / 2 * h @ h, np.zeros(len(h)), lr * np.atleast_2d(cov))


def exact_run(k, problem, h, cov, theta0, rng, steps=10):
    """An exact simulation of the algorithm (k = 0) or its model of order k."""
    kwargs = {"n_paths": N, "rng": rng, "observe": [optsde.Moments(cov=True)]}
    if k == 0:
        return optsde.simulate(OPT.discrete(problem), theta0, steps=steps, **kwargs)
    model = OPT.sde(problem) if k == 1 else modified(h, cov, 0.1)
    return optsde.simulate(model, theta0, t1=0.1 * steps, dt=0.1, method="ornstein_uhlenbeck", **kwargs)


@pytest.mark.parametrize("k", range(3), ids=ORDERS)
def test_one_dimensional_quadratic(k):
    ens = exact_run(k, one_dim_problem(), 2.0, 2.25, 1.0, 11)
    others = [j for j in range(3) if j != k]
    assert_agrees(ens.mean, ens.mean_stderr, ONE_DIM_MEAN[k], wrong=[ONE_DIM_MEAN[j] for j in others])
    var = ONE_DIM_VAR[k]
    # Noise with a factor sqrt(2), or a deviation taken for a variance.
    wrong = [2 * var, var / 2, var / 1.5, 1.5 * var, *(ONE_DIM_VAR[j] for j in others)]
    assert_agrees(ens.var, ens.var_stderr, var, wrong=wrong)


@pytest.mark.parametrize("k", range(3), ids=ORDERS)
def test_one_dimensional_stationary_variance_and_autocorrelation(k):
    start = optsde.initial.Gaussian(0.0, ONE_DIM_STATIONARY[k])
    problem = one_dim_problem()
    kwargs = {"n_paths": N, "rng": 12, "observe": [optsde.Moments(), optsde.Paths(at=2)]}
    if k == 0:
        ens = optsde.simulate(OPT.discrete(problem), start, steps=5, **kwargs)
    else:
        model = OPT.sde(problem) if k == 1 else modified(2.0, 2.25, 0.1)
        ens = optsde.simulate(model, start, t1=0.5, dt=0.1, method="ornstein_uhlenbeck", **kwargs)
    others = [j for j in range(3) if j != k]
    assert_agrees(ens.mean, ens.mean_stderr, 0.0)
    assert_agrees(
        ens.var, ens.var_stderr, ONE_DIM_STATIONARY[k], wrong=[ONE_DIM_STATIONARY[j] for j in others] + [0.05625 / 5]
    )
    first, last = ens.paths[:, :, 0]
    assert_agrees(
        *mean_and_error(first * last / ONE_DIM_STATIONARY[k]),
        ONE_DIM_ACF[k],
        wrong=[ONE_DIM_ACF[k] ** 2, ONE_DIM_ACF[k] ** 0.5],
    )


def test_noise_dominated_order_two_has_the_right_variance():
    # SME2N, a linear equation here: 0.061875 at lr = .1, within lr² of the algorithm.
    model = optsde.OrnsteinUhlenbeck(2.2, 0.0, 0.1 * 2.25 * 1.1**2, dim=1)
    ens = optsde.simulate(model, 0.0, t1=20.0, dt=10.0, method="ornstein_uhlenbeck", n_paths=N, rng=13)
    assert_agrees(ens.var, ens.var_stderr, 0.061875, wrong=ONE_DIM_STATIONARY[1:])


@pytest.mark.parametrize("k", range(3), ids=ORDERS)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_two_dimensional_quadratic(k, batch_size):
    ens = exact_run(k, two_dim_problem(batch_size), TWO_DIM_H, TWO_DIM_COV, TWO_DIM_START, 14)
    others = [j for j in range(3) if j != k]
    assert_agrees(ens.mean[0], ens.mean_stderr[0], TWO_DIM_MEAN[k], wrong=[TWO_DIM_MEAN[j] for j in others])
    cov = full(TWO_DIM_FINAL[k])
    wrong = [full(TWO_DIM_FINAL[j]) for j in others] + [2 * cov, cov / 2, 4 * cov, cov / 4, np.diag(np.diag(cov))]
    assert_agrees(ens.cov[0], ens.cov_stderr[0], cov, wrong=wrong)
    np.testing.assert_allclose(np.diag(ens.cov[0]), ens.var[0], rtol=1e-12)


@pytest.mark.parametrize("k", range(3), ids=ORDERS)
def test_two_dimensional_stationary_covariance(k):
    # From the optimum for 20 units of time: what is left of the start is below 1e-9.
    ens = exact_run(k, two_dim_problem(), TWO_DIM_H, TWO_DIM_COV, np.zeros(2), 15, steps=200)
    wrong = [full(TWO_DIM_STATIONARY[j]) for j in range(3) if j != k]
    assert_agrees(ens.cov[0], ens.cov_stderr[0], full(TWO_DIM_STATIONARY[k]), wrong=wrong)


def test_matched_linear_equation_has_the_algorithms_moments_at_every_step():
    h, cov, lr = TWO_DIM_H, TWO_DIM_COV, 0.1
    rate = -np.real(logm(np.eye(2) - lr * h)) / lr
    stationary = full(TWO_DIM_STATIONARY[0])
    model = optsde.OrnsteinUhlenbeck(rate, np.zeros(2), rate @ stationary + stationary @ rate.T)
    ens = optsde.simulate(
        model,
        TWO_DIM_START,
        t1=1.0,
        dt=0.1,
        method="ornstein_uhlenbeck",
        n_paths=N,
        rng=16,
        observe=[optsde.Moments(at=11, cov=True)],
    )
    exact = [sgd_moments(h, cov, lr, TWO_DIM_START, k) for k in range(11)]
    # The published stationary covariance has ten digits.
    assert_agrees(ens.mean, ens.mean_stderr, [mean for mean, _ in exact])
    assert_agrees(ens.cov[1:], ens.cov_stderr[1:], [c for _, c in exact[1:]], bias=1e-9)


def multiplicative_problem():
    return optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))


def second_moment(ens):
    """E x² and its standard error."""
    result = ens.expectations["x2"]
    return result.mean[0], result.stderr[0]


SQUARE = optsde.Expectation(lambda x: x[:, 0] ** 2, "x2")


@pytest.mark.parametrize("row", MULTIPLICATIVE, ids=lambda row: f"lr={row[0]}")
def test_multiplicative_noise_discrete(row):
    lr, discrete, *models = row
    ens = optsde.simulate(
        optsde.SGD(lr).discrete(multiplicative_problem()), 1.0, steps=round(1 / lr), n_paths=N, rng=17, observe=SQUARE
    )
    estimate, stderr = second_moment(ens)
    # At small lr the models come too close for this many paths; with constant or no noise the answer is far.
    wrong = {0.1: models, 0.05: models[:1]}.get(lr, [])
    constant = affine_recursion(1.0, lr * 0.25, 0.0, lr, round(1 / lr), 1.0)[0]
    assert_agrees(estimate, stderr, discrete, wrong=[*wrong, constant, (1 - lr) ** (2 / lr)])


@pytest.mark.parametrize(
    ("method", "increments"),
    [
        ("euler_maruyama", "gaussian"),
        ("euler_maruyama", "gaussian_f32"),
        ("euler_maruyama", "two_point"),
        ("milstein", "gaussian"),
        ("milstein", "gaussian_f32"),
    ],
)
def test_multiplicative_noise_equation_follows_the_schemes_recursion(method, increments):
    lr, substeps = 0.1, 4
    ens = optsde.simulate(
        optsde.SGD(lr).sde(multiplicative_problem()),
        1.0,
        steps=10,
        substeps=substeps,
        method=method,
        increments=increments,
        n_paths=N,
        rng=18,
        observe=SQUARE,
    )

    def recursion(base, slope):
        return affine_recursion(1.0, base, slope, lr / substeps, 10 * substeps, 1.0, milstein=method == "milstein")[0]

    wrong = [recursion(2 * lr / 4, 2 * lr), recursion(lr / 8, lr / 2), recursion(0.25, 1.0), MULTIPLICATIVE[0][1]]
    assert_agrees(*second_moment(ens), recursion(lr / 4, lr), wrong=wrong)


def test_multiplicative_noise_equation_without_the_schemes_error():
    # Talay and Tubaro's extrapolation on one Wiener path; its remainder is known from the recursions.
    lr, dt, n = 0.1, 0.0125, 1_000_000
    squares, recursions = [], []
    for k in (1, 2):
        ens = optsde.simulate(
            optsde.SGD(lr).sde(multiplicative_problem()),
            1.0,
            t1=1.0,
            dt=dt / k,
            wiener_dt=dt / 2,
            n_paths=n,
            rng=19,
            observe=optsde.Final(),
        )
        squares.append(ens.final[:, 0] ** 2)
        recursions.append(affine_recursion(1.0, lr / 4, lr, dt / k, round(k / dt), 1.0)[0])
    exact = MULTIPLICATIVE[0][2]
    estimate, stderr = mean_and_error(2 * squares[1] - squares[0])
    bias = abs(2 * recursions[1] - recursions[0] - exact)
    assert bias < stderr / 2
    assert_agrees(estimate, stderr, exact, bias=bias, wrong=[MULTIPLICATIVE[0][1], MULTIPLICATIVE[0][3]])


def schedule_equation(lr, order):
    """SGD with rate lr/(1 + t) on x²/2 with unit noise, written as callbacks."""

    def drift(t, x):
        u, slope = 1 / (1 + t), -1 / (1 + t) ** 2
        return -u * x if order == 1 else -(u + lr / 2 * u**2 - lr / 2 * slope) * x

    return optsde.SDE(drift, lambda t, x: np.full_like(x, np.sqrt(lr) / (1 + t)), dim=1, noise="diagonal")


@pytest.mark.parametrize(("order", "mean", "square"), [(1, 0.5, 0.275), (2, 0.4756147123, 0.2502713955)])
def test_schedule_through_time_dependent_coefficients(order, mean, square):
    final = []
    for k in (1, 2):
        ens = optsde.simulate(
            schedule_equation(0.1, order),
            1.0,
            t1=1.0,
            dt=0.025 / k,
            wiener_dt=0.0125,
            method="euler_maruyama",
            n_paths=200_000,
            rng=20,
            observe=optsde.Final(),
        )
        final.append(ens.final)
    # The extrapolation's remainder is of order dt² (6e-4): measured at 4e-5.
    x, stderr = mean_and_error(2 * final[1] - final[0])
    assert_agrees(x, stderr, mean, bias=1e-4, wrong=[np.exp(-1)])
    x2, stderr = mean_and_error(2 * final[1] ** 2 - final[0] ** 2)
    late = mean**2 + 0.1 * (np.log(2) if order == 1 else 0.0)
    assert_agrees(x2, stderr, square, bias=1e-4, wrong=[mean**2, late])


FLOWS = ((0.1, 0.560443663853, 0.562676585214), (0.0125, 0.575353240468, 0.575388245382))


@pytest.mark.parametrize(("lr", "descent", "modified_flow"), FLOWS)
def test_flows_of_the_quartic(lr, descent, modified_flow):
    problem = optsde.Problem(optsde.losses.Quartic(a=1.0, b=0.0), optsde.noise.Zero())
    opt = optsde.SGD(lr)
    steps = round(1 / lr)
    for method in (None, "rk4"):
        first = optsde.simulate(opt.flow(problem), 1.0, steps=steps, method=method).final[0, 0]
        assert first == pytest.approx(1 / np.sqrt(3), abs=1e-9)
        second = optsde.simulate(opt.flow(problem, order=2), 1.0, steps=steps, method=method).final[0, 0]
        assert second == pytest.approx(modified_flow, abs=1e-9)
    assert optsde.simulate(opt.discrete(problem), 1.0, steps=steps).final[0, 0] == pytest.approx(descent, abs=1e-12)
    assert optsde.simulate(opt.sde(problem), 1.0, steps=steps, method="rk4").final[0, 0] == pytest.approx(first)


def test_flows_of_a_quadratic():
    h, lr, x0 = TWO_DIM_H, 0.1, TWO_DIM_START
    problem = optsde.Problem(optsde.losses.Quadratic(h), optsde.noise.Zero())
    for order, rate in ((1, h), (2, h + lr / 2 * h @ h)):
        values, vectors = np.linalg.eigh(rate)
        exact = vectors @ (np.exp(-values) * (vectors.T @ x0))
        final = optsde.simulate(OPT.flow(problem, order=order), x0, steps=10).final[0]
        np.testing.assert_allclose(final, exact, atol=1e-9)


def test_flow_errors_have_their_orders():
    errors = []
    for lr, descent, _ in FLOWS:
        problem = optsde.Problem(optsde.losses.Quartic(a=1.0, b=0.0), optsde.noise.Zero())
        flows = [optsde.SGD(lr).flow(problem, order=order) for order in (1, 2)]
        errors.append([abs(optsde.simulate(f, 1.0, steps=round(1 / lr)).final[0, 0] - descent) for f in flows])
    slopes = np.log(np.divide(*errors)) / np.log(FLOWS[0][0] / FLOWS[1][0])
    np.testing.assert_allclose(slopes, (1.0, 2.0), atol=0.1)


def test_wrong_equations_are_rejected():
    # The checks above, on a user's wrong equations: sign of the drift's coupling, noise without lr, sqrt(2).
    h, lr, n = TWO_DIM_H, 0.1, 100_000
    factor = np.linalg.cholesky(TWO_DIM_COV)

    def moments(rate, scale):
        model = optsde.SDE(
            lambda t, x: -apply(rate, x),
            lambda t, x: np.broadcast_to(scale * factor, (len(x), 2, 2)),
            dim=2,
            noise="commutative",
        )
        return optsde.simulate(model, TWO_DIM_START, t1=1.0, dt=lr, n_paths=n, rng=21, observe=optsde.Moments(cov=True))

    mean, cov = sgd_moments(h, TWO_DIM_COV, lr, TWO_DIM_START, 10)
    right = moments(h, -np.sqrt(lr))
    assert_agrees(right.mean[0], right.mean_stderr[0], mean)
    assert_agrees(right.cov[0], right.cov_stderr[0], cov)
    for scale in (np.sqrt(2 * lr), np.sqrt(lr / 2), lr, 1.0):
        wrong = moments(h, scale)
        assert_rejected(wrong.cov[0], wrong.cov_stderr[0], cov)
    wrong = moments(h * [[1, -1], [-1, 1]], np.sqrt(lr))
    assert_rejected(wrong.mean[0], wrong.mean_stderr[0], mean)
