"""Scaling rules and SVAG: the invariants of every rule, published moments, two-sample tests against transcriptions."""

import numpy as np
import optsde
import pytest
import reference_optimizers as reference
from optimizer_numbers import (
    RMSPROP_LIMIT,
    SVAG_ADDITIVE,
    SVAG_ADDITIVE_LIMIT,
    SVAG_MULTIPLICATIVE,
    SVAG_MULTIPLICATIVE_LIMIT,
    SVAG_RMSPROP,
    SVAG_WEIGHTS,
)
from optimizer_tools import algorithm, coefficients, euler, noise_covariance, problem
from problems import assert_agrees, assert_rejected, mean_and_error

N = 1_000_000


@pytest.mark.parametrize("row", SVAG_WEIGHTS, ids=lambda row: f"l={row[0]}")
def test_weights_of_the_transcription(row):
    l, *weights = row
    for variance, exact in zip((l, l**2), weights, strict=True):
        found = reference.svag_weights(variance)
        np.testing.assert_allclose(found, exact, atol=1e-10)
        assert sum(found) == pytest.approx(1.0, abs=1e-12)
        assert np.square(found).sum() == pytest.approx(variance, rel=1e-12)


def svag_square(l, h, base, slope, eta=0.1, *, variance=None):
    """E x² at T = 1 from 1 of SVAG's l-th steps with gradient noise of ``variance`` (l) times base + slope x²."""
    step = eta / l
    square, variance = 1.0, l if variance is None else variance
    for _ in range(round(1 / step)):
        square = ((1 - step * h) ** 2 + step**2 * variance * slope) * square + step**2 * variance * base
    return square


@pytest.mark.parametrize("l", [1, 2, 4, 8])
@pytest.mark.parametrize("case", ["multiplicative", "additive"])
def test_svag_of_sgd(case, l):
    if case == "multiplicative":
        h, base, slope, table, limit = 1.0, 0.25, 1.0, SVAG_MULTIPLICATIVE, SVAG_MULTIPLICATIVE_LIMIT
    else:
        h, base, slope, table, limit = 2.0, 2.25, 0.0, SVAG_ADDITIVE, SVAG_ADDITIVE_LIMIT
    for known, value in table.items():
        assert svag_square(known, h, base, slope) == pytest.approx(value, abs=1e-11)
    noise = optsde.noise.AffineDiagonal(3 * base, 3 * slope) if slope else optsde.noise.Gaussian(3 * base)
    prob = optsde.Problem(optsde.losses.Quadratic(h, dim=1), noise, batch_size=3)
    dynamics = optsde.SGD(0.1).svag(prob, l=l)
    assert dynamics.time_per_step == pytest.approx(0.1, rel=1e-14)
    x = algorithm(dynamics, 1.0, steps=10, n_paths=N, rng=81)
    wrong = [svag_square(l, h, base, slope, variance=w * l) for w in (0.8, 1.2, 3.0)]
    if l > 1:
        wrong += [svag_square(l, h, base, slope, variance=v) for v in (1.0, l**2)]
    if case == "multiplicative" and l <= 2:
        wrong.append(limit)
    assert_agrees(*mean_and_error(x[:, 0] ** 2), svag_square(l, h, base, slope), wrong=wrong)


@pytest.mark.parametrize("noise", ["full", "affine"])
def test_svag_of_sgd_is_its_equations_euler_scheme(noise):
    # Two Gaussian gradients combined have the law of one of l times the covariance: path by path, on one Wiener path.
    law = optsde.noise.Gaussian([[1.0, 0.3], [0.3, 0.5]]) if noise == "full" else optsde.noise.AffineDiagonal(0.3, 0.5)
    prob = optsde.Problem(optsde.losses.Quartic(1.0, 1.0, dim=2), law, batch_size=2)
    opt, l = optsde.SGD(0.1), 4
    keywords = {"steps": 20, "n_paths": 50, "rng": 82}
    a = algorithm(opt.svag(prob, l=l), np.array([1.0, -0.5]), **keywords)
    b = euler(opt.sde(prob), np.array([1.0, -0.5]), substeps=l, **keywords)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


# RMSprop's published problem at tau = .1: theta²/2, variance .64, sigma0 = 1, eps0 = .1, c = 1.
TAU = 0.1
LR, EPS, UNIT = np.sqrt(TAU), 0.1 / np.sqrt(TAU), 1 / TAU


@pytest.mark.parametrize("l", [1, 2, 3])
def test_svag_of_rmsprop(l):
    prob = problem(1.0, 0.64 / TAU)
    dynamics = optsde.RMSprop(LR, alpha=1 - TAU, eps=EPS, ordering="lagged").svag(prob, l=l)
    x = algorithm(dynamics, {"theta": 1.0, "v": 0.3 * UNIT}, steps=10, n_paths=N, rng=83)
    samples = np.stack([x[:, 0], x[:, 0] ** 2], axis=1)
    # The published values have standard errors of 6e-4.
    others = [SVAG_RMSPROP[other] for other in SVAG_RMSPROP if {l, other} != {2, 3} and other != l]
    limit = (RMSPROP_LIMIT["theta"], RMSPROP_LIMIT["theta2"])
    mean, error = mean_and_error(samples)
    assert_agrees(mean, error, SVAG_RMSPROP[l], bias=2.5e-3, wrong=others if l == 1 else [SVAG_RMSPROP[1]])
    if l == 1:
        assert_rejected(mean, error, limit, bias=2.5e-3)


def two_samples(found, expected, wrong=()):
    """Means of independent samples agree, and differ from those of the mutants."""
    mean, error = mean_and_error(found)
    other, other_error = mean_and_error(expected)
    mutants = [mean_and_error(samples)[0] for samples in wrong]
    assert_agrees(mean, np.hypot(error, other_error), other, wrong=mutants)


def transcribed(update, names, start, l, steps, n, *, variance=None, seed=84, unit=1.0):
    """Final states of SVAG's transcription with two independent samples a step, v in the original's unit."""
    generator = np.random.default_rng(seed)
    power = l**2 if variance is None else variance

    def gradient(k, theta):
        return theta + np.sqrt(0.64 / TAU) * generator.standard_normal(theta.shape)

    state = {name: np.full((n, 1), start[name] * (l**2 if name == "v" else 1.0)) for name in names}
    svag = reference.svag_gradient(gradient, power)
    for k in range(steps * l**2):
        state = update(state, k, svag)
    del unit
    return np.concatenate([state[name] / (l**2 if name == "v" else 1.0) for name in names], axis=1)


def features(x):
    """Parameters, squares, and every other variable in units of order 1."""
    columns = [x[:, 0], x[:, 0] ** 2]
    if x.shape[1] == 3:
        columns += [x[:, 1], x[:, 1] ** 2, x[:, 0] * x[:, 1]]
    v = x[:, -1] / UNIT
    return np.stack([*columns, v, v**2, x[:, 0] ** 2 * v], axis=1)


@pytest.mark.parametrize("l", [1, 3])
@pytest.mark.parametrize("case", ["RMSprop fresh", "RMSprop lagged", "Adam", "Adam uncorrected", "AdamW"])
def test_svag_of_adaptive_methods(case, l):
    n, steps, betas, decay = 200_000, 8, (1 - 2 * TAU, 1 - TAU), 0.7
    start = {"theta": 1.0, "m": 0.2, "v": 0.5 * UNIT}
    prob = problem(1.0, 0.64 / TAU)
    if case.startswith("RMSprop"):
        names, ordering = ("theta", "v"), case.split()[1]
        opt = optsde.RMSprop(LR, alpha=1 - TAU, eps=EPS, ordering=ordering)
        updates = [reference.svag_rmsprop(LR, 1 - TAU, e, l, ordering) for e in (EPS, EPS / l, 3 * EPS)]
    else:
        names, corrected = ("theta", "m", "v"), "uncorrected" not in case
        keywords = {"betas": betas, "eps": EPS, "bias_correction": corrected}
        decayed = {"decay": decay} if case == "AdamW" else {}
        opt = optsde.AdamW(LR, weight_decay=decay, **keywords) if decayed else optsde.Adam(LR, **keywords)
        updates = [
            reference.svag_adam(LR, betas, e, l, "fresh", bias_correction=corrected, **decayed)
            for e in (EPS, EPS / l, 3 * EPS)
        ]
    found = algorithm(opt.svag(prob, l=l), {name: start[name] for name in names}, steps=steps, n_paths=n, rng=85)
    right, *wrong = [features(transcribed(update, names, start, l, steps, n)) for update in updates]
    wrong = wrong[1:] if l == 1 else wrong
    if l > 1:
        # SGD's weights, sqrt(2 l - 1), for those of adaptive methods; the noise not amplified.
        wrong += [features(transcribed(updates[0], names, start, l, steps, n, variance=v)) for v in (l, 1.0)]
    two_samples(features(found), right, wrong)


@pytest.mark.parametrize("case", ["RMSprop", "Adam", "AdamW", "SGD"])
def test_one_inner_step_is_the_algorithm(case):
    prob = optsde.Problem(optsde.losses.Quartic(1.0, 1.0, dim=2), optsde.noise.Gaussian([[1.0, 0.3], [0.3, 0.5]]))
    opt = getattr(optsde, case)(0.05)
    keywords = {"steps": 15, "n_paths": 20, "rng": 86}
    regime = None if case == "SGD" else "batch_equivalent"
    a = algorithm(opt.svag(prob, l=1), np.array([1.0, -0.5]), **keywords)
    b = algorithm(opt.discrete(prob, regime=regime), np.array([1.0, -0.5]), **keywords)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


# Scaling rules: what the SDE has is kept, at the same time.


def same_equation(opt, regime, rule, kappa=4, *, v_scale=1.0, t=0.7, batch=2, order=1):
    """Drift and covariance of the rescaled optimizer on larger batches are those of the original.

    ``v_scale``: what the second moment of the larger batch is of the smaller's.
    """
    cov = np.array([[1.0, 0.0], [0.0, 0.5]])
    loss = optsde.losses.Quadratic([[2.0, 0.5], [0.5, 1.0]])
    few, many = (optsde.Problem(loss, optsde.noise.Gaussian(np.diag(cov)), b) for b in (batch, kappa * batch))
    models = (
        opt.sde(few, order=order, regime=regime),
        opt.rescaled(kappa, rule=rule).sde(many, order=order, regime=regime),
    )
    generator = np.random.default_rng(87)
    x = {name: generator.uniform(0.2, 1.0, (5, 2)) for name in models[0].state}
    y = dict(x)
    if "v" in x and len(x) > 1 and v_scale != 1.0:
        y["v"] = v_scale * x["v"]
    scale = np.ones(2 * len(x))
    if v_scale != 1.0:
        scale[-2:] = 1 / v_scale
    (drift, factor), (other, other_factor) = coefficients(models[0], x, t), coefficients(models[1], y, t)
    np.testing.assert_allclose(other * scale, drift, rtol=1e-10, atol=1e-12)
    a, b = noise_covariance(factor), noise_covariance(other_factor) * np.outer(scale, scale)
    np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-14)
    # κ times the batch: 1/κ of the steps in the same time.
    assert models[1].time_per_step == pytest.approx(kappa * models[0].time_per_step, rel=1e-12)


def test_linear_rule():
    opt = optsde.SGD(0.02, weight_decay=0.3, decoupled=True)
    new = opt.rescaled(4)
    assert new.lr == pytest.approx(0.08, rel=1e-14)
    assert (new.weight_decay, new.decoupled) == (0.3, True)  # decoupled decay is per time
    same_equation(opt, None, None)
    same_equation(optsde.SGD(0.02, weight_decay=0.3), None, "linear")
    same_equation(optsde.SGD([0.02, 0.005]), None, None)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_rules(nesterov):
    opt = optsde.SGD(0.0025, momentum=0.9, nesterov=nesterov)
    new = opt.rescaled(4)
    assert new.lr == pytest.approx(16 * 0.0025, rel=1e-12)
    assert new.momentum == pytest.approx(0.6, rel=1e-12)
    assert new.nesterov is nesterov
    same_equation(opt, "sme", None)
    same_equation(opt, "sme", "sme")
    new = opt.rescaled(4, rule="linear")
    assert new.lr == pytest.approx(0.01, rel=1e-12)
    assert new.momentum == 0.9
    same_equation(opt, "overdamped", "linear")


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_momentum_rules_with_decay(nesterov, decoupled):
    decay = {"nesterov": nesterov, "weight_decay": 0.3, "decoupled": decoupled}
    opt = optsde.SGD(0.0025, momentum=0.9, **decay)
    # Decoupled decay is λ √lr in the time of the equation.
    assert opt.rescaled(4).weight_decay == pytest.approx(0.3 / 4 if decoupled else 0.3, rel=1e-12)
    same_equation(opt, "sme", None)
    same_equation(opt, "overdamped", "linear")
    growing = optsde.SGD(0.0025, momentum=optsde.schedules.Nesterov(4.0), **decay)
    assert growing.rescaled(4).lr == pytest.approx(0.04, rel=1e-12)
    assert growing.rescaled(4).momentum == growing.momentum
    same_equation(growing, "sme", None)
    with pytest.raises(ValueError, match=r"^rule: expected one of 'sme', got 'linear'"):
        growing.rescaled(4, rule="linear")


def test_rates_of_averages_that_would_reach_one():
    for opt in (optsde.SGD(0.1, momentum=0.9), optsde.Adam(0.1), optsde.RMSprop(0.1, alpha=0.9)):
        with pytest.raises(ValueError, match=r"^batch_factor: κ \(1 - .*\) must stay below 1"):
            opt.rescaled(10)


@pytest.mark.parametrize("case", ["RMSprop", "Adam", "AdamW"])
def test_square_root_rule(case):
    # kappa = 4: lr doubles, 1 - beta is four times as much, eps halves, decoupled decay doubles.
    decay = {"weight_decay": 0.3} if case == "AdamW" else {}
    if case == "RMSprop":
        opt = optsde.RMSprop(0.01, alpha=0.9, eps=0.02)
        assert opt.rescaled(4).alpha == pytest.approx(0.6, rel=1e-12)
    else:
        opt = getattr(optsde, case)(0.01, betas=(0.9, 0.99), eps=0.02, bias_correction=False, **decay)
        assert opt.rescaled(4).betas == pytest.approx((0.6, 0.96), rel=1e-12)
    new = opt.rescaled(4, rule="square_root")
    assert new.lr == pytest.approx(0.02, rel=1e-12)
    assert new.eps == pytest.approx(0.01, rel=1e-12)
    assert new.weight_decay == pytest.approx(0.6 if case == "AdamW" else 0.0, rel=1e-12)
    assert new.ordering == opt.ordering
    # The second moment of a batch four times as large is a fourth.
    same_equation(opt, "batch_equivalent", None, v_scale=0.25)


def test_an_l2_penalty_is_a_part_of_the_loss():
    assert optsde.Adam(0.01, weight_decay=0.3).rescaled(4).weight_decay == 0.3
    assert optsde.RMSprop(0.01, weight_decay=0.3).rescaled(4).weight_decay == 0.3
    assert optsde.SGD(0.01, weight_decay=0.3).rescaled(4).weight_decay == 0.3


def test_signsgds_rule():
    opt = optsde.SignSGD(0.01)
    assert opt.rescaled(4).lr == pytest.approx(0.02, rel=1e-12)
    # In the limit of small signals: lr² a step, drift lr sqrt(B).
    same_equation_of_small_signals(opt)


def same_equation_of_small_signals(opt):
    few, many = (
        optsde.Problem(optsde.losses.Quadratic([1e-6, 2e-6]), optsde.noise.Gaussian(1.0), batch_size=b) for b in (2, 8)
    )
    x = {"theta": np.array([[0.3, -0.2], [1.0, 0.5]])}
    first = coefficients(opt.sde(few, regime="batch_equivalent"), x)
    second = coefficients(opt.rescaled(4).sde(many, regime="batch_equivalent"), x)
    np.testing.assert_allclose(second[0], first[0], rtol=1e-6)
    np.testing.assert_allclose(noise_covariance(second[1]), noise_covariance(first[1]), rtol=1e-6, atol=1e-14)


def test_rules_end_where_averages_would():
    for opt in (optsde.SGD(0.01, momentum=0.8), optsde.RMSprop(0.01, alpha=0.8), optsde.Adam(0.01, betas=(0.8, 0.99))):
        opt.rescaled(4)
        with pytest.raises(ValueError, match="batch_factor"):
            opt.rescaled(6)
    for opt in (optsde.SGD(0.01), optsde.SGD(0.01, momentum=0.8), optsde.Adam(0.01), optsde.SignSGD(0.01)):
        with pytest.raises(ValueError, match="rule"):
            opt.rescaled(2, rule="cubic")
        for factor in (0.0, -1.0, np.nan):
            with pytest.raises(ValueError, match="batch_factor"):
                opt.rescaled(factor)


def test_rescaled_algorithms_have_the_same_moments_up_to_their_step():
    # The rule at work: Adam on four times the batch, a fourth of the steps; wrong rules are farther away.
    tau = 0.0025
    lr, unit = np.sqrt(tau), 1 / tau
    opt = optsde.Adam(lr, betas=(1 - 2 * tau, 1 - tau), eps=0.1 / lr)
    cov = 0.64 * unit
    few, many = (
        optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(4 * cov), b) for b in (4, 16)
    )

    def square(algorithm_of, batch, v, steps):
        start = {"theta": 1.0, "m": 0.2, "v": v}
        x = algorithm(algorithm_of.discrete(batch, regime="batch_equivalent"), start, steps=steps, n_paths=N, rng=88)
        return mean_and_error(x[:, :1] ** 2)

    first, error = square(opt, few, 0.5 * unit, 400)
    second, other = square(opt.rescaled(4), many, 0.5 * unit / 4, 100)
    assert_agrees(second, np.hypot(error, other), first, bias=0.01)  # four times the step, an error of order tau
    wrong, _ = square(optsde.Adam(4 * lr, betas=opt.betas, eps=opt.eps), many, 0.5 * unit / 4, 100)
    assert abs(wrong - first) > 0.03
