"""Heavy ball and Nesterov and their models: published numbers, moments by exact recursions, stationary laws, the ODE.

Equations are linear here, and Euler-Maruyama's own moments are known exactly: the coefficients are tested without any
error of integration. That these recursions tend to the published values is a test of its own.
"""

import numpy as np
import optsde
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_numbers import (
    GROWING_MOMENTUM,
    MOMENTUM,
    MOMENTUM_ERRORS,
    MOMENTUM_STATIONARY,
    NESTEROV_DISCRETE,
    NESTEROV_ODE,
    UNDERDAMPED_ACF,
)
from optimizer_tools import (
    algorithm,
    coefficients,
    euler,
    euler_steps,
    finals,
    linear_moments,
    linear_steps,
    momentum_drift,
    momentum_noise,
    momentum_rate,
    momentum_step,
    noise_covariance,
    problem,
    sample_moments,
)
from problems import (
    FALSE_ALARM,
    assert_agrees,
    assert_rejected,
    full,
    mean_and_error,
    ou_moments,
    ou_stationary,
    sgd_moments,
)
from scipy.linalg import solve_discrete_lyapunov

N = 400_000
LAM, MU, LR, BETA, STEPS, SUBSTEPS = 1.5, 1.0, 0.01, 0.9, 20, 8
START = {"theta": 1.0, "v": 0.0}
MODELS = {  # order (0: the algorithm), Nesterov
    "heavy ball": (0, False),
    "heavy ball, order 2": (2, False),
    "nesterov": (0, True),
    "nesterov, order 2": (2, True),
    "order 1": (1, False),
}


def optimizer(nesterov, lr=LR, beta=BETA):
    return optsde.SGD(lr, momentum=beta, nesterov=nesterov)


def model(opt, prob, order):
    return opt.discrete(prob) if order == 0 else opt.sde(prob, order=order)


def exact(name, *, dt=None, eps=0.1):
    """Mean and covariance at T = 2: of the algorithm, of an equation, or of Euler-Maruyama with step dt."""
    order, nesterov = MODELS[name]
    lr = eps**2
    if order == 0:
        step, noise = momentum_step(LAM, lr, 1 - MU * eps, nesterov), momentum_noise(1.0, lr)
        return linear_steps(lambda k: step, lambda k: noise, [1.0, 0.0], np.zeros((2, 2)), round(2 / eps))
    drift, rate = momentum_drift(LAM, lr, MU, order, nesterov), momentum_rate(1.0, lr)
    if dt is None:
        return ou_moments(-drift, rate, [1.0, 0.0], 2.0)
    return euler_steps(lambda t: drift, lambda t: rate, dt, [1.0, 0.0], 0.0, 2.0)


@pytest.mark.parametrize("name", MODELS)
def test_recursions_reproduce_the_published_numbers(name):
    mean, cov, stationary = MOMENTUM[name]
    found_mean, found_cov = exact(name)
    np.testing.assert_allclose(found_mean, mean, atol=1e-10)
    np.testing.assert_allclose(found_cov, full(cov), atol=1e-10)
    order, nesterov = MODELS[name]
    if order == 0:
        law = solve_discrete_lyapunov(momentum_step(LAM, LR, BETA, nesterov), momentum_noise(1.0, LR))
    else:
        law = ou_stationary(-momentum_drift(LAM, LR, MU, order, nesterov), momentum_rate(1.0, LR))
    np.testing.assert_allclose(law, full(stationary), atol=1e-10)
    if order:
        # Euler-Maruyama's error is of first order.
        errors = [np.abs(exact(name, dt=0.1 / n)[1] - found_cov).max() for n in (32, 64)]
        assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("which", "order"), MOMENTUM_ERRORS)
def test_recursions_have_the_published_errors(which, order):
    other = "order 1" if order == 1 else f"{which}, order 2"

    def square(moments):
        return moments[0][0] ** 2 + moments[1][0, 0]

    errors = [abs(square(exact(which, eps=e)) - square(exact(other, eps=e))) for e in (0.1, 0.05, 0.025, 0.0125)]
    np.testing.assert_allclose(errors, MOMENTUM_ERRORS[which, order], rtol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_moments_at_the_end(name):
    order, nesterov = MODELS[name]
    prob = problem(LAM, 1.0)
    dynamics = model(optimizer(nesterov), prob, order)
    assert dynamics.time_per_step == pytest.approx(0.1, rel=1e-14)
    if order == 0:
        x = algorithm(dynamics, START, steps=STEPS, n_paths=N, rng=41)
        dt = None
    else:
        x = euler(dynamics, START, steps=STEPS, substeps=SUBSTEPS, n_paths=N, rng=41)
        dt = 0.1 / SUBSTEPS
    mean, mean_error, cov, cov_error = sample_moments(x)
    exact_mean, exact_cov = exact(name, dt=dt)
    others = [exact(other, dt=None if MODELS[other][0] == 0 else 0.1 / SUBSTEPS) for other in MODELS if other != name]
    # The published values of the other models, with the error of Euler-Maruyama that this run has.
    assert_agrees(mean, mean_error, exact_mean, wrong=[m for m, _ in others])
    wrong = [c for _, c in others] + [2 * exact_cov, exact_cov / 2, 10 * exact_cov, exact_cov * [[1, -1], [-1, 1]]]
    assert_agrees(cov, cov_error, exact_cov, wrong=wrong)


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name][0] == 2])
def test_the_default_method_of_order_two(name):
    # A weak-second-order scheme: with 16 substeps its error is far below one standard error (Heun's is 2e-6).
    dynamics = optimizer(MODELS[name][1]).sde(problem(LAM, 1.0), order=2)
    ens = optsde.simulate(dynamics, START, steps=STEPS, substeps=16, n_paths=N, rng=42, observe=optsde.Final())
    mean, mean_error, cov, cov_error = sample_moments(finals(ens, dynamics.state))
    published_mean, published_cov = MOMENTUM[name][0], full(MOMENTUM[name][1])
    others = [other for other in MODELS if other != name]
    assert_agrees(mean, mean_error, published_mean, bias=1e-5, wrong=[MOMENTUM[other][0] for other in others])
    assert_agrees(cov, cov_error, published_cov, bias=1e-5, wrong=[full(MOMENTUM[other][1]) for other in others])
    if getattr(ens, "method", None):
        assert optsde.methods()[ens.method].weak >= 2


@pytest.mark.parametrize("which", MOMENTUM_STATIONARY)
def test_stationary_law_of_the_algorithm(which):
    lr, beta, h = 0.1, 0.9, 1.5
    nesterov = which == "nesterov"
    dynamics = optimizer(nesterov, lr, beta).discrete(problem(h, 1.0))
    # 500 steps leave e⁻²⁵ of the start.
    _, _, cov, cov_error = sample_moments(algorithm(dynamics, START, steps=500, n_paths=200_000, rng=43))
    var_x, var_v = MOMENTUM_STATIONARY[which]
    q = lr * h
    if nesterov:
        formula = lr * (1 + beta * (1 - q)) / (h * (1 - beta * (1 - q)) * (2 * (1 + beta) - q * (1 + 2 * beta)))
    else:
        formula = lr * (1 + beta) / (h * (1 - beta) * (2 * (1 + beta) - q))
        assert 2 * lr**2 / ((1 - beta) * (2 * (1 + beta) - q)) == pytest.approx(var_v, abs=1e-10)
    assert formula == pytest.approx(var_x, abs=1e-10)
    # V = v/sqrt(lr); Cov(x, v) = Var v / 2, which the equation of order 1 does not have.
    right = full((var_x, var_v / 2 / np.sqrt(lr), var_v / lr))
    other = MOMENTUM_STATIONARY["heavy ball" if nesterov else "nesterov"]
    wrong = [
        full((other[0], other[1] / 2 / np.sqrt(lr), other[1] / lr)),
        full((1 / 3, var_v / 2 / np.sqrt(lr), var_v / lr)) if nesterov else np.diag(np.diag(right)),  # SGD's; SME1's
        full((var_x, var_v / 2, var_v)),  # the unit of v
    ]
    assert_agrees(cov, cov_error, right, bias=1e-9, wrong=wrong)


def growing(eps, order, dt=None, r=3.0):
    """Mean and covariance at t = 3 from (1, 0) at t = 1 with momentum (k - 1)/(k + r - 1)."""
    lr, zero = eps**2, np.zeros((2, 2))
    if order == 0:
        first, n = round(1 / eps), round(2 / eps)
        return linear_steps(
            lambda k: momentum_step(LAM, lr, (k - 1) / (k + r - 1), True),
            lambda k: momentum_noise(1.0, lr),
            [1.0, 0.0],
            zero,
            n,
            first,
        )

    def drift(t):
        friction = r / t - eps * r * (r - 3) / (2 * t**2)
        return momentum_drift(LAM, lr, r / t, order, True, friction=friction)

    if dt is None:
        return linear_moments(drift, lambda t: momentum_rate(1.0, lr), [1.0, 0.0], zero, 1.0, 3.0)
    return euler_steps(drift, lambda t: momentum_rate(1.0, lr), dt, [1.0, 0.0], 1.0, 3.0)


def test_recursions_reproduce_growing_momentum():
    for eps, *published in GROWING_MOMENTUM:
        for order, value in enumerate(published):
            mean, cov = growing(eps, order)
            assert mean[0] ** 2 + cov[0, 0] == pytest.approx(value, abs=1e-10)
    # Euler-Maruyama tends to that.
    errors = [np.abs(growing(0.1, 2, dt=0.1 / n)[1] - growing(0.1, 2)[1]).max() for n in (32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("r", [3.0, 5.0])
def test_growing_momentum(order, r):
    eps, dt = 0.1, 0.1 / SUBSTEPS
    opt = optsde.SGD(eps**2, momentum=optsde.schedules.Nesterov(r=r), nesterov=True)
    dynamics = model(opt, problem(LAM, 1.0), order)
    keywords = {"t0": 1.0, "steps": 20, "n_paths": N, "rng": 44}
    run = algorithm if order == 0 else euler
    x = run(dynamics, START, **keywords | ({} if order == 0 else {"substeps": SUBSTEPS}))
    mean, mean_error, cov, cov_error = sample_moments(x)
    right_mean, right_cov = growing(eps, order, dt, r)
    others = [growing(eps, o, dt, r) for o in range(3) if o != order] + [growing(eps, order, dt, 8.0 - r)]
    constant = momentum_step(LAM, eps**2, 0.9, True)
    others.append(
        linear_steps(lambda k: constant, lambda k: momentum_noise(1.0, eps**2), [1.0, 0.0], np.zeros((2, 2)), 20)
    )
    assert_agrees(mean, mean_error, right_mean, wrong=[m for m, _ in others])
    assert_agrees(cov, cov_error, right_cov, wrong=[c for _, c in others])


def test_nesterovs_ode():
    prob = optsde.Problem(optsde.losses.Quadratic(LAM, dim=1), optsde.noise.Zero())
    opt = optsde.SGD(1e-4, momentum=optsde.schedules.Nesterov(r=3), nesterov=True)
    discrete = optsde.simulate(opt.discrete(prob), START, steps=300, observe=optsde.Final()).final
    assert discrete[0, 0] == pytest.approx(NESTEROV_DISCRETE, abs=1e-11)
    # The equation is singular at 0: from its series at t = eps, whose next term is of order eps⁴.
    t0 = 0.01
    start = {"theta": 1 - t0**2 * LAM / 8, "v": -t0 * LAM / 4}
    final = optsde.simulate(opt.sde(prob), start, t0=t0, t1=3.0, dt=t0 / 4, method="rk4", observe=optsde.Final()).final
    assert final[0, 0] == pytest.approx(NESTEROV_ODE, abs=1e-7)


def test_nesterovs_equation_of_order_two_without_noise():
    # From the algorithm's own state at t = 1: order 2 leaves a small part of order 1's error.
    prob = optsde.Problem(optsde.losses.Quadratic(LAM, dim=1), optsde.noise.Zero())
    opt = optsde.SGD(1e-4, momentum=optsde.schedules.Nesterov(r=3), nesterov=True)
    ens = optsde.simulate(opt.discrete(prob), START, steps=300, observe=optsde.Paths(at=[1.0, 3.0]))
    start = {"theta": ens.paths[0, 0], "v": ens.state["v"].paths[0, 0]}
    errors = []
    for order in (1, 2):
        dynamics = opt.sde(prob, order=order)
        end = optsde.simulate(dynamics, start, t0=1.0, t1=3.0, dt=0.01, method="rk4", observe=optsde.Final())
        errors.append(abs(finals(end, ("theta", "v"))[0] - [ens.paths[1, 0, 0], ens.state["v"].paths[1, 0, 0]]))
    assert (errors[1] < 0.05 * errors[0]).all()


def test_position_autocorrelation_of_the_underdamped_equation():
    # From the stationary law, which is Gibbs' with temperature lr s²/(2 (1 - beta)): x and V independent.
    temperature = LR / (2 * (1 - BETA))
    assert temperature / LAM == pytest.approx(MOMENTUM["order 1"][2][0], abs=1e-9)
    generator = np.random.default_rng(45)
    start = {
        "theta": np.sqrt(temperature / LAM) * generator.standard_normal((N, 1)),
        "v": np.sqrt(temperature) * generator.standard_normal((N, 1)),
    }
    substeps = 64
    dynamics = optimizer(False).sde(problem(LAM, 1.0))
    x = euler(dynamics, start, steps=10, substeps=substeps, rng=46)
    product = x[:, 0] * start["theta"][:, 0] / (temperature / LAM)
    step = np.eye(2) + 0.1 / substeps * momentum_drift(LAM, LR, MU, 1)
    recursion = np.linalg.matrix_power(step, 10 * substeps)[0, 0]
    bias = abs(recursion - UNDERDAMPED_ACF)
    assert bias < 2e-3
    overdamped, w = np.exp(-LAM / MU), np.sqrt(LAM - MU**2 / 4)
    wrong = [overdamped, np.exp(-0.5) * np.cos(w), np.exp(-0.5) * (np.cos(w) - MU / (2 * w) * np.sin(w))]
    assert_agrees(*mean_and_error(product), UNDERDAMPED_ACF, bias=bias, wrong=wrong)
    _, _, cov, cov_error = sample_moments(x)
    assert_agrees(
        cov, cov_error, np.diag([temperature / LAM, temperature]), bias=2e-3 * temperature, wrong=[0.5 * cov, 1.5 * cov]
    )


def test_overdamped_regime_is_sgd_with_the_effective_rate():
    lr, beta, h, cov = 0.01, 0.8, np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.3], [0.3, 0.5]])
    opt, prob = optsde.SGD(lr, momentum=beta), problem(h, 4 * cov, batch_size=4)
    dynamics = opt.sde(prob, regime="overdamped")
    assert dynamics.time_per_step == pytest.approx(0.05, rel=1e-14)
    assert opt.discrete(prob, regime="overdamped").time_per_step == pytest.approx(0.05, rel=1e-14)
    assert list(dynamics.state) == ["theta"]
    x = euler(dynamics, np.array([1.0, -1.0]), steps=20, substeps=4, n_paths=N, rng=47)
    mean, mean_error, found, cov_error = sample_moments(x)

    def moments(effective):
        return sgd_moments(h, effective / 0.0125 * cov, 0.0125, np.array([1.0, -1.0]), 80)

    right_mean, right_cov = moments(0.05)
    assert_agrees(mean, mean_error, right_mean, wrong=[sgd_moments(h, cov, 0.0025, np.array([1.0, -1.0]), 80)[0]])
    assert_agrees(found, cov_error, right_cov, wrong=[moments(e)[1] for e in (0.01, 0.002, 0.25, 0.04, 0.06)])


def affine(theta):
    return np.sqrt(0.25 + 0.8 * (theta - 0.3) ** 2)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("noise", ["full", "affine"])
def test_coefficients_off_the_quadratic(nesterov, order, noise):
    # Rosenbrock: the Hessian depends on the place and is not diagonal.
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    model_of_noise = optsde.noise.Gaussian(cov) if noise == "full" else optsde.noise.AffineDiagonal(0.25, 0.8, 0.3)
    prob = optsde.Problem(optsde.losses.Rosenbrock(2), model_of_noise, batch_size=3)
    lr, beta = 0.04, 0.7
    dynamics = optimizer(nesterov, lr, beta).sde(prob, order=order)
    generator = np.random.default_rng(48)
    theta, v = generator.standard_normal((2, 5, 2))
    drift, factor = coefficients(dynamics, {"theta": theta, "v": v})
    eps, mu = np.sqrt(lr), (1 - beta) / np.sqrt(lr)
    g, hessian = prob.loss.grad(theta), prob.loss.hessian(theta)
    if order == 1:
        expected = [v, -mu * v - g]
    else:
        turned = (1 if nesterov else -1) * eps / 2 * np.einsum("nij,nj->ni", hessian, v)
        resist = (mu + eps / 2 * mu**2) * v + turned
        expected = [(1 - eps * mu / 2) * v - eps / 2 * g, -resist - (1 + eps * mu / 2) * g]
    np.testing.assert_allclose(drift, np.concatenate(expected, axis=1), rtol=1e-12, atol=1e-12)
    sigma = cov / 3 if noise == "full" else np.einsum("ni,ij->nij", affine(theta) ** 2 / 3, np.eye(2))
    a = noise_covariance(factor)
    np.testing.assert_allclose(a[:, 2:, 2:], np.broadcast_to(eps * sigma, (5, 2, 2)), rtol=1e-12)
    np.testing.assert_array_equal(a[:, :2], 0.0)
    np.testing.assert_array_equal(a[:, 2:, :2], 0.0)
    # The sign that the algorithm's noise has: a positive gradient noise lowers the velocity.
    assert (np.einsum("nii->ni", factor[:, 2:, :2]) < 0).all()


EXAMPLES = 12
EACH = FALSE_ALARM / EXAMPLES
M = 100_000


@given(
    d=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    lr=st.sampled_from([0.04, 0.01, 0.0025]),
    beta=st.sampled_from([0.0, 0.5, 0.8, 0.95]),
    nesterov=st.booleans(),
    batch=st.sampled_from([1, 3]),
)
@settings(max_examples=EXAMPLES)
def test_any_linear_problem(d, seed, lr, beta, nesterov, batch):
    beta = max(beta, 1e-3)
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.standard_normal((d, d)))[0]
    h = (basis * generator.uniform(0.3, 3.0, d)) @ basis.T
    root = generator.standard_normal((d, d))
    cov = root @ root.T
    h, cov = (h + h.T) / 2, (cov + cov.T) / 2
    center, x0, v0 = generator.standard_normal((3, d))
    prob = problem(h, cov, batch, center)
    opt, steps, eps, mu = optimizer(nesterov, lr, beta), 25, np.sqrt(lr), (1 - beta) / np.sqrt(lr)
    start, y0 = {"theta": x0, "v": v0}, np.concatenate([x0 - center, v0])
    zero = np.zeros((2 * d, 2 * d))
    noise, rate = momentum_noise(cov / batch, lr), momentum_rate(cov / batch, lr)
    for order in (0, 1, 2):
        if order == 0:
            x = algorithm(opt.discrete(prob), start, steps=steps, n_paths=M, rng=seed)
            step = momentum_step(h, lr, beta, nesterov)
            other = momentum_step(h, lr, beta, not nesterov)
            exact_moments, *wrong = [
                linear_steps(lambda k, s=s: s, lambda k, q=q: q, y0, zero, steps)
                for s, q in ((step, noise), (step, 1.3 * noise), (step, noise / 1.3), (other, noise))
            ]
            if beta < 0.5:
                wrong.pop()  # without momentum the two are one
        else:
            x = euler(opt.sde(prob, order=order), start, steps=steps, substeps=2, n_paths=M, rng=seed)
            drift = momentum_drift(h, lr, mu, order, nesterov)
            exact_moments, *wrong = [
                euler_steps(lambda t: drift, lambda t, q=q: q, eps / 2, y0, 0.0, steps * eps)  # noqa: B023
                for q in (rate, 1.3 * rate, rate / 1.3, rate * np.sqrt(lr))
            ]
        mean, mean_error, found, cov_error = sample_moments(x)
        mean[:d] -= center
        assert_agrees(mean, mean_error, exact_moments[0], false_alarm=EACH / 6)
        assert_agrees(found, cov_error, exact_moments[1], false_alarm=EACH / 6)
        for m, c in wrong:
            both = np.concatenate([mean, found.ravel()]), np.concatenate([mean_error, cov_error.ravel()])
            assert_rejected(*both, np.concatenate([m, c.ravel()]), false_alarm=EACH)


def test_the_overdamped_equation_decays_as_the_algorithm_does():
    # A step takes η λ of θ in the time η/(1 - β); on a flat loss nothing else moves it.
    flat = optsde.Problem(optsde.losses.Quadratic(1e-12, dim=1), optsde.noise.Zero())
    sgd = optsde.SGD(0.01, momentum=0.9, weight_decay=0.5, decoupled=True)
    run = {"theta0": 1.0, "steps": 100}
    assert optsde.simulate(sgd.discrete(flat), **run).mean == pytest.approx((1 - 0.005) ** 100, rel=1e-6)
    equation = optsde.simulate(sgd.sde(flat, regime="overdamped"), substeps=50, **run).mean
    assert equation == pytest.approx(np.exp(-0.5), rel=1e-3)
