"""SGD's equation of order 2 with weight decay: L2 and decoupled are one map, and the penalty is in the Hessian too."""

import numpy as np
import optsde
import pytest
from optimizer_tools import coefficients, linear_moments, linear_steps, noise_covariance
from problems import assert_agrees

DECAY, PEAK, TIME, PER_STEP, BATCH = 0.7, 0.04, 0.3, 0.05, 3
COV = np.array([[1.0, 0.3], [0.3, 0.5]])
X = np.random.default_rng(300).standard_normal((9, 2))
PROBLEMS = {
    # Hessians that depend on the place and are not diagonal.
    "rosenbrock": optsde.Problem(optsde.losses.Rosenbrock(2), optsde.noise.Gaussian(COV), BATCH),
    "logistic": optsde.Problem(optsde.losses.LogisticRegression(X, X[:, 0] > 0.1), optsde.noise.Minibatch(), BATCH),
}
POINTS = np.random.default_rng(301).standard_normal((5, 2))
KINDS = pytest.mark.parametrize("decoupled", [False, True])
RATES = pytest.mark.parametrize("rates", ["one", "each", "schedule"])


def learning_rate(rates, peak):
    """The rate, what it leaves of the peak at TIME, the derivative of that by time, and what each parameter has."""
    u = 1 / (1 + PER_STEP * TIME / peak)
    return {
        "one": (peak, 1.0, 0.0, np.ones(2)),
        "each": (np.array([peak / 4, peak]), 1.0, 0.0, np.array([0.25, 1.0])),
        "schedule": (optsde.schedules.InverseTime(peak, PER_STEP), u, -PER_STEP / peak * u**2, np.ones(2)),
    }[rates]


@KINDS
@RATES
@pytest.mark.parametrize("name", PROBLEMS)
def test_coefficients(name, rates, decoupled):
    lr, u, slope, r = learning_rate(rates, PEAK)
    problem = PROBLEMS[name]
    sgd = optsde.SGD(lr, weight_decay=DECAY, decoupled=decoupled)
    drift, factor = coefficients(sgd.sde(problem, order=2), POINTS, TIME)
    g, hessian = problem.loss.grad(POINTS), problem.loss.hessian(POINTS)

    def equation(first=DECAY, inner=DECAY, curvature=DECAY, turn=DECAY):
        """With decays of their own in the gradient, in the product's gradient and Hessian, in the schedule's term."""
        pull = r * (g + inner * POINTS)
        curved = u**2 * r * (np.einsum("nij,nj->ni", hessian, pull) + curvature * pull)
        return -u * r * (g + first * POINTS) - PEAK / 2 * (curved - slope * r * (g + turn * POINTS))

    np.testing.assert_allclose(drift, equation(), rtol=1e-12, atol=1e-12)
    wrong = [{part: c * DECAY} for part in ("first", "inner", "curvature") for c in (0, 2)]
    wrong += [{"turn": c * DECAY} for c in (0, 2)] if rates == "schedule" else []
    for terms in wrong:
        assert np.abs(drift - equation(**terms)).max() > 1e-4, terms
    # The noise is that of the loss, which the penalty has none of.
    plain = coefficients(optsde.SGD(lr).sde(problem), POINTS, TIME)[1]
    np.testing.assert_allclose(noise_covariance(factor), noise_covariance(plain), rtol=1e-12)
    flow = sgd.flow(problem, order=2).drift_at(POINTS, TIME)
    np.testing.assert_allclose(flow, drift, rtol=1e-12, atol=1e-12)


@KINDS
@RATES
def test_errors_of_the_flow_have_their_orders(rates, decoupled):
    problem = optsde.Problem(optsde.losses.MatrixFactorization([[1.5]], rank=1), optsde.noise.Zero())
    errors = []
    for lr in (0.01, 0.005):
        rate = {"one": lr, "each": [lr / 4, lr], "schedule": optsde.schedules.InverseTime(lr, lr)}[rates]
        sgd = optsde.SGD(rate, weight_decay=DECAY, decoupled=decoupled)
        run = {"theta0": [0.4, -0.9], "steps": round(1 / lr)}
        exact = optsde.simulate(sgd.discrete(problem), **run).final
        flows = [sgd.flow(problem, order=order) for order in (1, 2)]
        errors.append([np.abs(optsde.simulate(f, method="rk4", **run).final - exact).max() for f in flows])
    np.testing.assert_allclose(np.log2(np.divide(*errors)), (1.0, 2.0), atol=0.15)


# A bowl about a point that the decay pulls away from, and constant noise: moments of the algorithm are a recursion.
H, CENTER, START = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.4, -0.6]), np.array([1.0, -1.0])
BOWL = optsde.Problem(optsde.losses.Quadratic(H, CENTER), optsde.noise.Gaussian(COV))
PENALISED = H + DECAY * np.eye(2)
REST = np.linalg.solve(PENALISED, H @ CENTER)


def algorithm_moments(lr):
    """Steps m' = (1 - η A) m, V' = (1 - η A) V (1 - η A) + η² Σ about the point of rest, to time 1; A = H + λ."""
    step = np.eye(2) - lr * PENALISED
    mean, cov = linear_steps(lambda k: step, lambda k: lr**2 * COV, START - REST, np.zeros((2, 2)), round(1 / lr))
    return REST + mean, cov


def equation_moments(matrix, shift, cov):
    """Of dX = (shift - matrix X) dt + noise of that covariance, at time 1."""
    rest = np.linalg.solve(matrix, shift)
    mean, cov = linear_moments(lambda t: -matrix, lambda t: cov, START - rest, np.zeros((2, 2)), 0.0, 1.0)
    return rest + mean, cov


def wrong_equations(lr):
    """With the decay left out of the Hessian of the second term, out of its gradient, and doubled in the Hessian."""
    pull = H @ CENTER
    parts = ((H, PENALISED), (PENALISED, H), (PENALISED + DECAY * np.eye(2), PENALISED))
    for hessian, slope in parts:
        yield PENALISED + lr / 2 * hessian @ slope, pull + lr / 2 * hessian @ pull, lr * COV


@KINDS
def test_errors_of_moments_fall_as_the_square(decoupled):
    errors, wrong = [], []
    for lr in (0.05, 0.025, 0.0125):
        exact = algorithm_moments(lr)

        def error(*equation, exact=exact):
            return [np.abs(a - b).max() for a, b in zip(equation_moments(*equation), exact, strict=True)]

        model = optsde.SGD(lr, weight_decay=DECAY, decoupled=decoupled).sde(BOWL, order=2)
        drift, factor = coefficients(model, np.vstack([np.zeros(2), np.eye(2)]))
        errors.append(error((drift[0] - drift[1:]).T, drift[0], noise_covariance(factor)[0]))
        wrong.append([error(*equation)[0] for equation in wrong_equations(lr)])
    errors, wrong = np.array(errors), np.array(wrong)
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 2.0, atol=0.1)
    # Without a term the mean is of order 1, and far off.
    assert (np.log2(wrong[:-1] / wrong[1:]) < 1.5).all()
    assert (wrong > 3 * errors[:, :1]).all()


@KINDS
def test_simulated_mean_and_covariance(decoupled):
    lr = 0.1
    model = optsde.SGD(lr, weight_decay=DECAY, decoupled=decoupled).sde(BOWL, order=2)
    run = {"n_paths": 200_000, "rng": 302, "observe": optsde.Moments(cov=True)}
    ens = optsde.simulate(model, START, steps=10, substeps=8, **run)
    second = PENALISED @ PENALISED
    mean, cov = equation_moments(PENALISED + lr / 2 * second, (np.eye(2) + lr / 2 * PENALISED) @ H @ CENTER, lr * COV)
    # The scheme's error, of weak order 2, is that of exp(-B dt) by its series to the square.
    wrong = [equation_moments(*equation)[0] for equation in wrong_equations(lr)]
    assert_agrees(ens.mean[0], ens.mean_stderr[0], mean, wrong=wrong, bias=3e-5)
    assert_agrees(ens.cov[0], ens.cov_stderr[0], cov, wrong=[2 * cov, cov / 2], bias=3e-5)
    stationary = optsde.theory.stationary_mean(model)["theta"]
    np.testing.assert_allclose(stationary, REST, rtol=1e-10)


def test_the_equation_is_written_with_its_decay():
    problem = PROBLEMS["rosenbrock"]
    text = "-[(∇f(X) + λ X) + (η/2) (H + λ I) (∇f(X) + λ X)] dt"
    for decoupled in (False, True):
        sgd = optsde.SGD(PEAK, weight_decay=DECAY, decoupled=decoupled)
        for model in (sgd.sde(problem, order=2), sgd.flow(problem, order=2)):
            assert text in model.describe()
            assert "λ = 0.7" in model.describe()
    falling = optsde.SGD(optsde.schedules.InverseTime(PEAK, PER_STEP), weight_decay=DECAY).sde(problem, order=2)
    assert "u (∇f(X) + λ X) + (η/2) (u² (H + λ I) (∇f(X) + λ X) - u̇ (∇f(X) + λ X))" in falling.describe()


def hessianless(x):
    return 4 * x**3


G = optsde.noise.Gaussian(1.0)
REFUSED = {
    "momentum": (lambda **k: optsde.SGD(0.1, momentum=0.5, **k), "order: with momentum .* without weight decay"),
    "growing": (
        lambda **k: optsde.SGD(0.1, momentum=optsde.schedules.Nesterov(), nesterov=True, **k),
        "order: with momentum .* without weight decay",
    ),
    "jumps": (lambda **k: optsde.SGD(optsde.schedules.Step(0.1, 10, 0.5), **k), "order: .* without jumps"),
}


@KINDS
@pytest.mark.parametrize("name", REFUSED)
def test_what_stays_refused(name, decoupled):
    make, message = REFUSED[name]
    sgd = make(weight_decay=DECAY, decoupled=decoupled)
    for model in (sgd.sde, sgd.flow):
        with pytest.raises(ValueError, match=message):
            model(BOWL, order=2)


@KINDS
def test_bad_problems_and_orders(decoupled):
    sgd = optsde.SGD(0.1, weight_decay=DECAY, decoupled=decoupled)
    with pytest.raises(ValueError, match="hessian"):
        sgd.sde(optsde.Problem(optsde.losses.Function(hessianless, dim=1), G), order=2)
    with pytest.raises(ValueError, match=r"α-stable|jumps"):
        sgd.sde(optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AlphaStable(1.5, 1.0)), order=2)
    with pytest.raises(ValueError, match="order: expected one of 1, 2"):
        sgd.sde(BOWL, order="corrected")


def test_adaptive_methods_with_decay_stay_refused():
    for adaptive in (optsde.AdamW(0.01, weight_decay=DECAY), optsde.Adam(0.01, weight_decay=DECAY)):
        for order in (2, "corrected"):
            with pytest.raises(ValueError, match=r"order: .* without weight decay"):
                adaptive.sde(BOWL, order=order)
