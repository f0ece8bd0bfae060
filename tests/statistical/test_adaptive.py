"""RMSprop, Adam and AdamW: algorithms and equations of order 1 against published numbers and exact recursions.

In the batch-equivalent regime an equation depends on lr only through the offsets of the bias corrections, so with a
tiny lr it is the limit that the published numbers are of; its noise, eps and second moment are then large numbers.
"""

import numpy as np
import optsde
import pytest
from optimizer_numbers import (
    ADAM_CORRECTION,
    ADAM_DISCRETE,
    ADAM_LIMIT,
    ADAMW_STATIONARY,
    RMSPROP_DISCRETE,
    RMSPROP_LIMIT,
)
from optimizer_tools import (
    algorithm,
    coefficients,
    euler,
    linear_moments,
    linear_steps,
    noise_covariance,
    sample_moments,
    schedule,
)
from problems import assert_agrees, mean_and_error
from scipy.linalg import solve_continuous_lyapunov

N = 400_000
S2, EPS0 = 0.64, 0.1  # the published problem: theta²/2, s = .8, sigma0 = 1, eps0 = .1


def batch_equivalent(tau):
    """Problem, lr, eps and what v_lib is of u, at this time of a step."""
    lr = np.sqrt(tau)
    loss = optsde.losses.Quadratic(1.0, dim=1)
    return optsde.Problem(loss, optsde.noise.Gaussian(S2 / tau)), lr, EPS0 / lr, 1 / tau


def rmsprop_recursion(dt, u=0.3, c=1.0, variance=S2, noise=1.0, eps=EPS0):
    """Mean and variance of theta, and u, after Euler-Maruyama's steps to T = 1; u has no noise."""
    mean, var = 1.0, 0.0
    for _ in range(round(1 / dt)):
        p = np.sqrt(u) + eps
        mean, var = mean * (1 - dt / p), var * (1 - dt / p) ** 2 + dt * noise * variance / p**2
        u = u + dt * c * (variance - u)
    return mean, var, u


@pytest.mark.parametrize("ordering", ["fresh", "lagged"])
def test_rmsprop_equation(ordering):
    tau, dt = 1e-6, 1 / 256
    prob, lr, eps, unit = batch_equivalent(tau)
    dynamics = optsde.RMSprop(lr, alpha=1 - tau, eps=eps, ordering=ordering).sde(prob, regime="batch_equivalent")
    assert dynamics.time_per_step == pytest.approx(tau, rel=1e-12)
    x = euler(dynamics, {"theta": 1.0, "v": 0.3 * unit}, t1=1.0, dt=dt, n_paths=N, rng=61)
    mean, var, u = rmsprop_recursion(dt)
    # The recursion is the published limit up to its own step.
    assert mean == pytest.approx(RMSPROP_LIMIT["theta"], abs=2e-3)
    assert var + mean**2 == pytest.approx(RMSPROP_LIMIT["theta2"], abs=3e-3)
    assert u == pytest.approx(RMSPROP_LIMIT["u"], abs=1e-3)
    errors = [
        abs(rmsprop_recursion(1 / n)[1] + rmsprop_recursion(1 / n)[0] ** 2 - RMSPROP_LIMIT["theta2"])
        for n in (2048, 4096)
    ]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.05)
    np.testing.assert_allclose(x[:, 1] / unit, u, rtol=1e-7)
    found, error, cov, cov_error = sample_moments(x[:, :1])
    others = [
        rmsprop_recursion(dt, c=0.0),  # v that does not move
        rmsprop_recursion(dt, noise=0.5),
        rmsprop_recursion(dt, noise=2.0),
        rmsprop_recursion(dt, eps=0.0),
        rmsprop_recursion(dt, variance=S2 * 1.1),
    ]
    assert_agrees(found, error, mean, wrong=[others[0][0], others[3][0]])
    assert_agrees(cov, cov_error, var, wrong=[v for _, v, _ in others])


@pytest.mark.parametrize("tau", [0.1, 0.025])
def test_rmsprop_itself(tau):
    # The difference to the limit, known to 1.6e-4 (one standard error).
    published = next(row[1:] for row in RMSPROP_DISCRETE if row[0] == tau)
    prob, lr, eps, unit = batch_equivalent(tau)
    dynamics = optsde.RMSprop(lr, alpha=1 - tau, eps=eps, ordering="lagged").discrete(prob, regime="batch_equivalent")
    x = algorithm(dynamics, {"theta": 1.0, "v": 0.3 * unit}, steps=round(1 / tau), n_paths=1_000_000, rng=62)
    samples = np.stack([x[:, 0], x[:, 0] ** 2, x[:, 1] / unit], axis=1)
    limit = np.array([RMSPROP_LIMIT[key] for key in ("theta", "theta2", "u")])
    right = limit + published
    assert_agrees(*mean_and_error(samples), right, bias=6e-4, wrong=[limit, limit - published])


def adam_parts(tau, c1=2.0, c2=1.0, *, correction=True, offset=1.0, gradient_noise=1.0):
    """A(t), Q(t) of (theta, m) given the deterministic u, as functions of u and t."""

    def drift(t, u):
        g1, g2 = 1 - np.exp(-c1 * (t + offset * tau)), 1 - np.exp(-c2 * (t + offset * tau))
        if not correction:
            g1 = g2 = 1.0
        kappa = np.sqrt(g2) / g1 / (np.sqrt(u) + EPS0 * np.sqrt(g2))
        return np.array([[0.0, -kappa], [c1, -c1]])

    return drift, np.diag([0.0, gradient_noise * c1**2 * S2])


def adam_recursion(dt, **changes):
    """Mean and covariance of (theta, m) after Euler-Maruyama's steps from t = .5 to 1.5."""
    drift, noise = adam_parts(1e-6, **changes)
    us, c2 = [0.5], changes.get("c2", 1.0)
    for _ in range(round(1 / dt)):
        us.append(us[-1] + dt * c2 * (S2 - us[-1]))
    return linear_steps(
        lambda k: np.eye(2) + dt * drift(0.5 + k * dt, us[k]),
        lambda k: dt * noise,
        [1.0, 0.2],
        np.zeros((2, 2)),
        round(1 / dt),
    )


def test_adam_equation():
    tau, dt = 1e-6, 1 / 128
    drift, noise = adam_parts(0.0)
    limit = linear_moments(
        lambda t: drift(t, S2 + (0.5 - S2) * np.exp(-(t - 0.5))),
        lambda t: noise,
        [1.0, 0.2],
        np.zeros((2, 2)),
        0.5,
        1.5,
    )
    np.testing.assert_allclose(limit[0], ADAM_LIMIT["mean"], atol=1e-7)
    np.testing.assert_allclose(limit[1][np.triu_indices(2)], ADAM_LIMIT["cov"], atol=1e-7)
    assert limit[1][0, 0] + limit[0][0] ** 2 == pytest.approx(ADAM_LIMIT["theta2"], abs=1e-8)
    prob, lr, eps, unit = batch_equivalent(tau)
    dynamics = optsde.Adam(lr, betas=(1 - 2 * tau, 1 - tau), eps=eps).sde(prob, regime="batch_equivalent")
    start = {"theta": 1.0, "m": 0.2, "v": 0.5 * unit}
    x = euler(dynamics, start, t0=0.5, t1=1.5, dt=dt, n_paths=N, rng=63)
    mean, error, cov, cov_error = sample_moments(x[:, :2])
    right = adam_recursion(dt)
    np.testing.assert_allclose(right[1], limit[1], atol=2e-2)
    wrong = [
        adam_recursion(dt, correction=False),
        adam_recursion(dt, c1=1.0, c2=2.0),
        adam_recursion(dt, gradient_noise=1.1),
    ]
    assert_agrees(mean, error, right[0], wrong=[wrong[0][0], wrong[1][0]])
    assert_agrees(cov, cov_error, right[1], wrong=[w[1] for w in wrong])
    np.testing.assert_allclose(x[:, 2] / unit, S2 + (0.5 - S2) * (1 - dt) ** 128, rtol=1e-7)


@pytest.mark.parametrize("tau", [0.05, 0.0125])
def test_adam_itself(tau):
    published = next(row[1:] for row in ADAM_DISCRETE if row[0] == tau)
    prob, lr, eps, unit = batch_equivalent(tau)
    opt = optsde.Adam(lr, betas=(1 - 2 * tau, 1 - tau), eps=eps)
    dynamics = opt.discrete(prob, regime="batch_equivalent")
    start = {"theta": 1.0, "m": 0.2, "v": 0.5 * unit}
    x = algorithm(dynamics, start, t0=0.5, steps=round(1 / tau), n_paths=1_000_000, rng=64)
    samples = np.stack([x[:, 0], x[:, 0] ** 2, x[:, 1] ** 2], axis=1)
    square = ADAM_LIMIT["cov"][2] + ADAM_LIMIT["mean"][1] ** 2
    limit = np.array([ADAM_LIMIT["mean"][0], ADAM_LIMIT["theta2"], square])
    # The published differences have standard errors of up to 1.6e-4.
    assert_agrees(*mean_and_error(samples), limit + published, bias=6e-4, wrong=[limit, limit - published])


def test_bias_correction_of_adams_equation():
    tau = 1e-8
    prob, lr, eps, unit = batch_equivalent(tau)
    dynamics = optsde.Adam(lr, betas=(1 - 2 * tau, 1 - tau), eps=eps).sde(prob, regime="batch_equivalent")
    for t, factor in ADAM_CORRECTION:
        drift, _ = coefficients(dynamics, {"theta": np.ones(1), "m": np.full(1, 0.2), "v": np.full(1, 0.5 * unit)}, t)
        second = 1 - np.exp(-t)
        exact = -factor * 0.2 / (np.sqrt(0.5) + EPS0 * np.sqrt(second))
        assert drift[0] == pytest.approx(exact, rel=2e-6)


@pytest.mark.parametrize("which", ["algorithm", "equation"])
def test_stationary_variance_of_adamw(which):
    # eta = .05, h = s = 1, decay .2, rates 2 and .2, from t = 100, where the bias corrections are over.
    eta, decay = 0.05, 0.2
    prob = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0))
    opt = optsde.AdamW(eta, betas=(1 - 2 * eta, 1 - 0.2 * eta), eps=1e-8, weight_decay=decay)
    start = {"theta": 0.0, "m": 0.0, "v": 1.0}
    keywords = {"t0": 100.0, "steps": 400, "n_paths": 100_000, "rng": 65}
    if which == "algorithm":
        x = algorithm(opt.discrete(prob), start, **keywords)
    else:
        x = euler(opt.sde(prob), start, substeps=4, **keywords)
    _, _, cov, cov_error = sample_moments(x[:, :1])
    measured, formula, without_factor = ADAMW_STATIONARY
    right = measured if which == "algorithm" else formula
    # The formula takes v for Σ (it is 2 % more).
    bias = 1.5e-4 if which == "algorithm" else 5e-4
    if which == "equation":
        point = {"theta": np.ones(1), "m": np.zeros(1), "v": np.ones(1)}
        if coefficients(opt.sde(prob), point, 100.0)[0][0] < -1.05 * decay:
            # With lr c1 (grad f - m) in theta's drift, which is of order 1 too.
            p = np.sqrt(1 + right)
            ahead = 2 * eta / p
            a = np.array([[-ahead - decay, -(1 - 2 * eta) / p], [2.0, -2.0]])
            right = solve_continuous_lyapunov(a, -np.diag([0.0, 4 * eta]))[0, 0]
    no_decay = eta / 2
    assert_agrees(cov, cov_error, right, bias=bias, wrong=[without_factor, no_decay, 2 * right, right / 2])


# With a small theta and a large eps the preconditioner is constant and everything is linear.
SMALL = 1e-4
LOSS, DECAY = 1.7, 0.6


@pytest.mark.parametrize("regime", ["ballistic", "batch_equivalent"])
@pytest.mark.parametrize("case", ["RMSprop", "Adam", "AdamW"])
@pytest.mark.parametrize("which", ["algorithm", "equation"])
def test_weight_decay(case, regime, which):
    # L2 decay is a part of the gradient, and passes through the preconditioner; decoupled decay does not.
    tau, c1, eps, substeps = 0.05, 3.0, 0.8, 4
    steps = 10 if case == "RMSprop" else 30
    lr = tau if regime == "ballistic" else np.sqrt(tau)
    unit = 1.0 if regime == "ballistic" else lr
    variance = 0.5 if regime == "ballistic" else 0.5 / tau
    prob = optsde.Problem(optsde.losses.Quadratic(LOSS, dim=1), optsde.noise.Gaussian(variance * SMALL**2))
    decay = DECAY * unit if case == "AdamW" else DECAY  # lr·decay a step is then tau·DECAY
    keywords = {"eps": eps / unit, "weight_decay": decay}
    if case == "RMSprop":
        opt = optsde.RMSprop(lr, alpha=1 - tau, **keywords)
    else:
        opt = getattr(optsde, case)(lr, betas=(1 - c1 * tau, 1 - tau), bias_correction=False, **keywords)
    start = {"theta": SMALL, "m": 0.4 * SMALL, "v": variance * SMALL**2}
    start = {name: start[name] for name in opt.discrete(prob, regime=regime).state}
    pull = LOSS if case == "AdamW" else LOSS + DECAY
    shrink = DECAY if case == "AdamW" else 0.0
    d = 1 / eps
    amplitude = tau * variance if regime == "ballistic" else 0.5
    if case == "RMSprop":
        step, noise = np.eye(1) * (1 - tau * d * pull), np.eye(1) * tau**2 * d**2 * variance
        drift, rate, mean = np.eye(1) * (-d * pull), np.eye(1) * d**2 * amplitude, [1.0]
        if regime == "batch_equivalent":
            noise = np.eye(1) * tau * d**2 * 0.5
    else:
        # m' = m + c1 tau (pull theta + z - m), theta' = (1 - tau shrink) theta - tau d m'.
        m_row = np.array([c1 * tau * pull, 1 - c1 * tau])
        step = np.array([np.array([1 - tau * shrink, 0.0]) - tau * d * m_row, m_row])
        z = c1 * tau * np.sqrt(variance if regime == "ballistic" else 0.5 / tau)
        kick = np.array([-tau * d * z, z])
        noise = np.outer(kick, kick)
        drift = np.array([[-shrink, -d], [c1 * pull, -c1]])
        rate, mean = np.diag([0.0, c1**2 * amplitude]), [1.0, 0.4]
    zero = np.zeros_like(noise)
    run = {"steps": steps, "n_paths": N // 2, "rng": 66}
    if which == "algorithm":
        x = algorithm(opt.discrete(prob, regime=regime), start, **run)
        right = [linear_steps(lambda k: step, lambda k: noise, mean, zero, steps)]
        undecayed = step.copy()
        undecayed[0, 0] += 0.3 * tau * DECAY
        wrong = linear_steps(lambda k: undecayed, lambda k: noise, mean, zero, steps)
    else:
        x = euler(opt.sde(prob, regime=regime), start, substeps=substeps, **run)
        dt = tau / substeps

        def moments(a):
            return linear_steps(lambda k: np.eye(len(a)) + dt * a, lambda k: dt * rate, mean, zero, steps * substeps)

        right = [moments(drift)]
        if case != "RMSprop" and regime == "ballistic":
            # With or without lr c1 (grad f - m) in theta's drift: both are of order 1.
            extra = drift.copy()
            extra[0] -= tau * d * c1 * np.array([pull, -1.0])
            right.append(moments(extra))
        wrong = drift.copy()
        wrong[0, 0] += 0.3 * DECAY
        wrong = moments(wrong)
    found, error, cov, cov_error = sample_moments(x[:, : len(mean)] / SMALL)
    right = min(right, key=lambda moments: np.abs(moments[0] - found).sum())
    slack = 4 * SMALL / eps  # sqrt(v) beside eps
    assert_agrees(found, error, right[0], bias=slack * np.abs(right[0]), wrong=[wrong[0]])
    assert_agrees(cov, cov_error, right[1], bias=slack * np.abs(right[1]), wrong=[1.1 * right[1], right[1] / 1.1])


def gradient_at(prob, theta, decay=0.0):
    return prob.loss.grad(theta) + decay * theta


@pytest.mark.parametrize("regime", ["ballistic", "batch_equivalent"])
@pytest.mark.parametrize("rates", ["one", "each", "schedule"])
@pytest.mark.parametrize("case", ["RMSprop", "Adam", "AdamW"])
def test_coefficients_of_order_one(case, rates, regime):
    # Rates of each parameter and schedules multiply the update, relative to the largest rate, which the clock has.
    cov, batch = np.array([[1.0, 0.3], [0.3, 0.5]]), 3
    prob = optsde.Problem(optsde.losses.Rosenbrock(2), optsde.noise.Gaussian(cov), batch_size=batch)
    peak, decay, eps = 0.2, 0.3, 0.05
    lr = {"one": peak, "each": np.array([0.05, peak]), "schedule": None}[rates]
    t = 1.0
    tau = peak if regime == "ballistic" else peak**2
    relative = np.ones(2) if rates == "one" else np.array([0.25, 1.0])
    if rates == "schedule":
        lr = schedule("Linear", peak, 50, 0.1 * peak)
        relative = np.full(2, 1 - 0.9 * t / tau / 50)
    keywords = {"eps": eps, "weight_decay": decay}
    if case == "RMSprop":
        opt = optsde.RMSprop(lr, alpha=0.9, **keywords)
    else:
        opt = getattr(optsde, case)(lr, betas=(0.8, 0.95), **keywords)
    dynamics = opt.sde(prob, regime=regime)
    generator = np.random.default_rng(67)
    theta, m = generator.standard_normal((2, 4, 2))
    v = generator.uniform(0.2, 2.0, (4, 2))
    x = {"theta": theta, "m": m, "v": v}
    drift, factor = coefficients(dynamics, {name: x[name] for name in dynamics.state}, t)
    a = noise_covariance(factor)
    scale = peak / tau  # update lr·(...) a step of tau
    g = gradient_at(prob, theta, 0.0 if case == "AdamW" else decay)
    s = np.diag(cov) / batch
    target = s + (g**2 if regime == "ballistic" else 0.0)
    if case == "RMSprop":
        d = 1 / (np.sqrt(v) + eps)
        expected = np.concatenate([-scale * relative * d * g, 0.1 / tau * (target - v)], axis=1)
        lead = peak**2 / tau * (relative * d)[:, :, None] * cov / batch * (relative * d)[:, None, :]
        np.testing.assert_allclose(a[:, :2, :2], lead, rtol=1e-10)
    else:
        k = t / tau + 1
        g1, g2 = 1 - 0.8**k, 1 - 0.95**k
        gain = np.sqrt(g2) / g1 / (np.sqrt(v) + eps * np.sqrt(g2))
        first = -scale * relative * gain * m
        if case == "AdamW":
            first = first - scale * relative * decay * theta
        expected = np.concatenate([first, 0.2 / tau * (g - m), 0.05 / tau * (target - v)], axis=1)
        lead = np.broadcast_to(0.2**2 / tau * cov / batch, (4, 2, 2))
        np.testing.assert_allclose(a[:, 2:4, 2:4], lead, rtol=1e-10)
        np.testing.assert_array_equal(a[:, :2], 0.0)
        if regime == "ballistic" and np.abs(drift - expected)[:, :2].max() > 1e-8:
            # lr c1 (grad f - m), for the new first moment: as good an equation of order 1.
            expected[:, :2] -= scale * relative * gain * 0.2 * (g - m)
    np.testing.assert_allclose(drift, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("regime", ["ballistic", "batch_equivalent"])
def test_missing_second_moments_of_equations(regime):
    # grad² + diag Σ/B of theta0 where the preconditioner needs v > 0; 0 for Adam with bias correction.
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    prob = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(cov), batch_size=4)
    theta = np.array([[1.0, -1.0], [0.5, 2.0]])
    right = prob.loss.grad(theta) ** 2 + np.diag(cov) / 4
    keywords = {"steps": 3, "rng": 68, "observe": optsde.Paths(at=2)}
    for opt in (
        optsde.RMSprop(0.01),
        optsde.Adam(0.01, bias_correction=False),
        optsde.AdamW(0.01, bias_correction=False),
    ):
        ens = optsde.simulate(opt.sde(prob, regime=regime), theta, **keywords)
        np.testing.assert_allclose(ens.state["v"].paths[0], right, rtol=1e-13)
        if "m" in ens.state:
            np.testing.assert_array_equal(ens.state["m"].paths[0], 0.0)


@pytest.mark.parametrize("regime", ["ballistic", "batch_equivalent"])
def test_equations_of_order_one_start_from_zero_without_a_floor(regime):
    # Adam corrects the bias of v = 0 and m = 0; v has no noise at order 1, so no floor can be below it.
    prob = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(0.25))
    ens = optsde.simulate(
        optsde.Adam(0.01).sde(prob, regime=regime), [1.0, -1.0], steps=3, n_paths=5, rng=68, observe=optsde.Paths(at=2)
    )
    np.testing.assert_array_equal(ens.state["v"].paths[0], 0.0)
    assert np.isfinite(ens.paths).all()
    # Far below eps a second moment adds nothing to it: D is 1/(sqrt(v) + eps), not half of that.
    for opt in (optsde.RMSprop(0.01, eps=0.5), optsde.Adam(0.01, eps=0.5, bias_correction=False)):
        dynamics = opt.sde(prob, regime=regime)
        x = {name: np.full(2, 1e-6) for name in dynamics.state}
        drift, _ = coefficients(dynamics, x)
        scale = 1.0 if regime == "ballistic" else 100.0
        force = prob.loss.grad(x["theta"]) if "m" not in x else x["m"]
        np.testing.assert_allclose(drift[:2], -scale * force / (1e-3 + 0.5), rtol=1e-12)
