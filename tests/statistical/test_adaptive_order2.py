"""RMSprop and Adam, orders 1 and 2: coefficients at a point, one-step moments, runs without noise.

The problem of the pointwise numbers is that of ``adaptive_problem``.
"""

import closed_moments as closed
import numpy as np
import optsde
import pytest
import reference_optimizers as reference
from adaptive_problem import (
    C1,
    C2,
    EPS,
    NAMES,
    ORDERINGS,
    REGIMES,
    S0,
    TAU,
    C,
    T,
    adam_gain,
    corrected,
    grad,
    leading,
    optimizer,
    problem,
    sigma,
    small,
)
from one_step import assert_bounded, chain_moments, defects, normal_nodes
from optimizer_numbers import (
    ADAM_BALLISTIC,
    ADAM_BATCH,
    FACTOR_DEFECT,
    POINT,
    QUIET_ADAM,
    QUIET_ORDER_2,
    QUIET_RMSPROP,
    RMSPROP_BALLISTIC,
    RMSPROP_BATCH,
    RMSPROP_BATCH_CONSTANT,
)
from optimizer_tools import algorithm, coefficients, finals, noise_covariance


def in_formula_units(drift, factor, names, regime, tau):
    """In the batch-equivalent regime v of the formulas is lr² times the library's."""
    scale = np.ones(2 * len(names))
    if regime == "batch_equivalent":
        scale[-2:] = tau
    return drift * scale, noise_covariance(factor) * np.outer(scale, scale)


def at_point(name, regime, ordering, noise, tau=TAU, order=2):
    """Drift and covariance at the point, in the formulas' units."""
    opt, prob = optimizer(name, regime, ordering, tau), problem(1 / small(regime, tau)[1] ** 2, noise)
    dynamics = opt.sde(prob, regime=regime) if order == 1 else corrected(opt, prob, regime)
    x = {key: POINT[key] for key in NAMES[name]}
    if regime == "batch_equivalent":
        x["v"] = x["v"] / tau
    return in_formula_units(*coefficients(dynamics, x, T), NAMES[name], regime, tau)


def blocks(a, names):
    letters = [name[0] for name in names]
    return {
        p + q: a[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i, p in enumerate(letters) for j, q in enumerate(letters)
    }


def drift_numbers(name, regime, ordering):
    """b0 and b1 at the point."""
    table = {
        ("RMSprop", "ballistic"): RMSPROP_BALLISTIC,
        ("RMSprop", "batch_equivalent"): RMSPROP_BATCH,
        ("Adam", "ballistic"): ADAM_BALLISTIC,
        ("Adam", "batch_equivalent"): ADAM_BATCH,
    }[name, regime]
    b0, b1 = np.array(table["b0"]), np.array(table["b1"])
    if ordering == "fresh":
        b0[:2], b1[:2] = table.get("b0 fresh", b0[:2]), table["b1 fresh"]
    if ordering == "fresh" and name == "Adam":
        # The table is for (2, 1); the other offsets change Gamma, which the drifts of m and v have a part with.
        b0[:2] = ADAM_BALLISTIC["b0 fresh"]
        g, s, batch = grad(POINT["theta"]), np.diag(sigma(POINT["theta"])), regime == "batch_equivalent"
        r = s - POINT["v"] + (0.0 if batch else g**2)
        rest = np.concatenate([0.5 * C1**2 * (g - POINT["m"]), 0.5 * C2**2 * r + (C2 * g**2 if batch else 0.0)])
        gains = [adam_gain(TAU, offsets)(T)[0] for offsets in ((1, 1), (2, 1))]
        b1[2:] = rest + gains[0] / gains[1] * (b1[2:] - rest)
    return b0, b1


def close(found, exact):
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("name", NAMES)
def test_ballistic_coefficients(name, ordering):
    drift, a = at_point(name, "ballistic", ordering, "theta")
    b0, b1 = drift_numbers(name, "ballistic", ordering)
    close(drift, b0 + TAU * b1)
    found, table = blocks(a, NAMES[name]), RMSPROP_BALLISTIC if name == "RMSprop" else ADAM_BALLISTIC
    expected = {key: np.zeros((2, 2)) for key in found} | {
        key: TAU * np.asarray(table[key]) for key in ("tt", "tv", "mm", "mv", "vv") if key in table
    }
    for key in ("tv", "mv"):
        if key in table:
            expected[key[::-1]] = expected[key].T
    for key, block in expected.items():
        np.testing.assert_allclose(found[key], block, rtol=0, atol=1e-8, err_msg=key)


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("noise", ["constant", "theta"])
@pytest.mark.parametrize("name", NAMES)
def test_batch_equivalent_coefficients(name, noise, ordering):
    # The factor gives a0 + tau a1 up to tau²: a0 from order 1, a1 as the limit of differences.
    drift, _ = at_point(name, "batch_equivalent", ordering, noise)
    b0, b1 = drift_numbers(name, "batch_equivalent", ordering)
    if noise == "constant" and name == "RMSprop":
        if ordering == "lagged":
            constant = np.array(RMSPROP_BATCH_CONSTANT["b1"])
            close(drift[:2], b0[:2] + TAU * constant[:2])
            close(drift[2:], C * (np.diag(S0) - POINT["v"]) + TAU * constant[2:])
    elif noise == "theta":
        close(drift, b0 + TAU * b1)
    if noise == "constant":
        table = RMSPROP_BATCH_CONSTANT if name == "RMSprop" else None
    else:
        table = RMSPROP_BATCH if name == "RMSprop" else ADAM_BATCH
    if table is None:
        return
    tau = 2.0**-10
    slopes = []
    for step in (tau, tau / 2):
        _, a = at_point(name, "batch_equivalent", ordering, noise, step)
        _, lead = at_point(name, "batch_equivalent", ordering, noise, step, order=1)
        slopes.append((a - lead) / step)
    if name == "Adam":
        return  # a0's own Gamma depends on tau by the offsets: the one-step test has it
    found = blocks(2 * slopes[1] - slopes[0], NAMES[name])
    expected = {"tt": table["tt"], "tv": table["tv"]} | ({"vv": table["vv"]} if "vv" in table else {})
    if ordering == "fresh":
        expected["tt"] = table.get("tt fresh")
    for key, block in expected.items():
        if block is not None:
            np.testing.assert_allclose(found[key], block, rtol=0, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_orders_one_are_the_leading_terms(name):
    for regime in REGIMES:
        for ordering in ORDERINGS:
            drift, a = at_point(name, regime, ordering, "theta", order=1)
            b0, _ = drift_numbers(name, regime, ordering)
            if name == "Adam" and regime == "ballistic":
                # With or without lr c1 (grad f - m), which stands for the new first moment: both are of order 1.
                extra = np.array(b0)
                extra[:2] *= 1 + TAU * C1 * (grad(POINT["theta"]) - POINT["m"]) / POINT["m"]
                assert min(np.abs(drift - b0).max(), np.abs(drift - extra).max()) < 1e-8
            else:
                close(drift, b0)
            found = blocks(a, NAMES[name])
            scale = TAU if regime == "ballistic" else 1.0
            block, table = ("tt", RMSPROP_BALLISTIC) if name == "RMSprop" else ("mm", ADAM_BALLISTIC)
            close(found[block], scale * table[block])
            # The noise of v: none, or in the ballistic regime all of it.
            if np.abs(found["vv"]).max() > 0:
                assert regime == "ballistic"
                close(found["vv"], TAU * table["vv"])


@pytest.mark.parametrize("name", NAMES)
def test_factor_of_the_corrected_equation(name):
    # The published defect of M Mᵀ against a0 + tau a1 at tau = 1/64, here against the limit of the slopes.
    table = {
        "RMSprop": (RMSPROP_BATCH_CONSTANT["tt"], RMSPROP_BATCH_CONSTANT["tv"]),
        "Adam": None,
    }[name]
    tau = 2.0**-6
    _, a = at_point(name, "batch_equivalent", "lagged", "constant", tau)
    _, lead = at_point(name, "batch_equivalent", "lagged", "constant", tau, order=1)
    if name == "RMSprop":
        a1 = np.zeros((4, 4))
        a1[:2, :2], a1[:2, 2:], a1[2:, :2] = table[0], table[1], table[1].T
        a1[2:, 2:] = C**2 * 2 * S0**2
    else:
        a1 = np.zeros((6, 6))
        gain = adam_gain(tau, (2, 1))(T)[0]
        e = EPS * np.sqrt(closed.corrections(C2, tau, 1)(T)[0])
        d = 1 / (np.sqrt(POINT["v"]) + e)
        a1[:2, 2:4] = -0.5 * C1**2 * gain * d[:, None] * S0
        a1[2:4, :2] = a1[:2, 2:4].T
        a1[2:4, 2:4] = C1**3 * S0
        a1[2:4, 4:] = 2 * C1 * C2 * S0 * grad(POINT["theta"])
        a1[4:, 2:4] = a1[2:4, 4:].T
        a1[4:, 4:] = C2**2 * 2 * S0**2
    defect = np.abs(a - lead - tau * a1).max()
    assert defect == pytest.approx(FACTOR_DEFECT[name], rel=0.02)


# Largest allowed defects by tau³ of mean and second moment (for a factor M, whose M Mᵀ has a term of tau²: 0.5 more).
BOUNDS = {
    ("RMSprop", "ballistic", "lagged"): (1e-5, 1e-5),
    ("RMSprop", "batch_equivalent", "lagged"): (1e-5, 0.75),
    ("RMSprop", "ballistic", "fresh"): (2.2, 2.2),
    ("RMSprop", "batch_equivalent", "fresh"): (2.2, 2.7),
    ("Adam", "ballistic", "lagged"): (0.6, 2.8),
    ("Adam", "batch_equivalent", "lagged"): (0.6, 3.3),
    ("Adam", "ballistic", "fresh"): (0.6, 2.8),
    ("Adam", "batch_equivalent", "fresh"): (0.6, 3.3),
}


def gradient_moments(constant):
    """Mean and covariance of the stochastic gradient, as functions of θ."""
    return lambda theta: (grad(theta), sigma(theta, constant))


def chain(name, regime, ordering, tau, x, t, constant):
    """One step's moments of the transcription, in the formulas' units."""
    amplitude = 1.0 if regime == "ballistic" else 1 / np.sqrt(tau)
    points, weights = normal_nodes(2)

    def gradient(theta, xi):
        roots = np.linalg.cholesky(np.broadcast_to(sigma(theta, constant), (len(theta), 2, 2)))
        return grad(theta) + amplitude * np.einsum("nij,nj->ni", roots, xi)

    # The library's hyperparameters, and its v.
    lr, unit = small(regime, tau)
    if name == "RMSprop":
        update = reference.rmsprop(lr, 1 - C * tau, EPS / unit, ordering=ordering)
    else:
        update = reference.adam(lr, (1 - C1 * tau, 1 - C2 * tau), EPS / unit, ordering=ordering)
    y = x.copy()
    y[-2:] /= unit**2
    mean, moment = chain_moments(update, NAMES[name], y, round(t / tau), gradient, points, weights)
    scale = np.ones(len(x))
    scale[-2:] = unit**2
    return mean * scale, moment * np.outer(scale, scale)


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "theta"])
@pytest.mark.parametrize(("name", "regime", "ordering"), BOUNDS)
def test_one_step_moments(name, regime, ordering, constant):
    x = np.concatenate([POINT[key] for key in NAMES[name]])
    ratios = []
    for halving in range(3, 10):
        tau = 2.0**-halving
        drift, a = at_point(name, regime, ordering, "constant" if constant else "theta", tau)
        b0, a0 = leading(name, regime, ordering, tau, gradient_moments(constant))
        ratios.append(defects(chain(name, regime, ordering, tau, x, T, constant), drift, a, b0, a0, x, T, tau))
    assert_bounded(ratios, BOUNDS[name, regime, ordering])


@pytest.mark.parametrize(("name", "regime", "ordering"), BOUNDS)
def test_one_step_moments_reject_wrong_terms(name, regime, ordering):
    # Mutants: every single coefficient of tau b1 and tau a1 that is not negligible, dropped; the other ordering.
    x = np.concatenate([POINT[key] for key in NAMES[name]])
    tau = 2.0**-9
    drift, a = at_point(name, regime, ordering, "constant", tau)
    b0, a0 = leading(name, regime, ordering, tau, gradient_moments(True))
    lead = b0(x, T)
    moments = chain(name, regime, ordering, tau, x, T, True)
    most = BOUNDS[name, regime, ordering]
    for i in range(len(x)):
        mutant = drift.copy()
        mutant[i] = lead[i]
        if abs(drift[i] - lead[i]) > 1e-3 * tau:
            assert defects(moments, mutant, a, b0, a0, x, T, tau)[0] > 10 * most[0]
    first = a0(x, T)
    for i in range(len(x)):
        for j in range(len(x)):
            if abs(a[i, j] - first[i, j]) > 0.05 * tau:
                mutant = a.copy()
                mutant[i, j] = first[i, j]
                assert defects(moments, drift, mutant, b0, a0, x, T, tau)[1] > 2 * most[1]
    other, _ = at_point(name, regime, ORDERINGS[ordering == "lagged"], "constant", tau)
    assert defects(moments, other, a, b0, a0, x, T, tau)[0] > 10 * most[0]


@pytest.mark.parametrize(("name", "ordering"), QUIET_ORDER_2)
def test_without_noise(name, ordering):
    tau = 1 / 16
    prob = problem(1.0, "none")
    opt = optimizer(name, "ballistic", ordering, tau)
    start = {key: POINT[key] for key in NAMES[name]}
    t0 = 0.0 if name == "RMSprop" else 1.0
    discrete, equation = QUIET_ORDER_2[name, ordering]
    found = algorithm(opt.discrete(prob), start, t0=t0, steps=32)
    np.testing.assert_allclose(found[0], discrete, rtol=0, atol=1.1e-8)
    for dynamics in (opt.sde(prob, order=2), opt.flow(prob, order=2)):
        ens = optsde.simulate(dynamics, start, t0=t0, steps=32, substeps=16, method="rk4", observe=optsde.Final())
        found = finals(ens, NAMES[name])
        np.testing.assert_allclose(found[0], equation, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("name", "ordering"), QUIET_ORDER_2)
def test_errors_without_noise_have_their_orders(name, ordering):
    prob = problem(1.0, "none")
    t0 = 0.0 if name == "RMSprop" else 1.0
    errors = []
    for tau in (2.0**-6, 2.0**-7):
        opt = optimizer(name, "ballistic", ordering, tau)
        start = {key: POINT[key] for key in NAMES[name]}
        steps = round(2 / tau)
        exact = algorithm(opt.discrete(prob), start, t0=t0, steps=steps)[0]
        row = []
        for order in (1, 2):
            dynamics = opt.flow(prob, order=order)
            ens = optsde.simulate(dynamics, start, t0=t0, steps=steps, substeps=2, method="rk4", observe=optsde.Final())
            found = finals(ens, NAMES[name])
            row.append(np.abs(found[0] - exact).max())
        errors.append(row)
    slopes = np.log2(np.divide(*errors))
    np.testing.assert_allclose(slopes, (1.0, 2.0), atol=0.15)


def other_loss():
    """The loss a⁴/4 + a²b²/2 + a²/2 + b²/2 + ab/2."""

    def gradient(x):
        a, b = x[..., 0], x[..., 1]
        return np.stack([a**3 + a * b**2 + a + b / 2, a**2 * b + b + a / 2], axis=-1)

    def curvature(x):
        a, b = x[..., 0], x[..., 1]
        h = np.empty((*x.shape, 2))
        h[..., 0, 0], h[..., 1, 1] = 3 * a**2 + b**2 + 1, a**2 + 1
        h[..., 0, 1] = h[..., 1, 0] = 2 * a * b + 0.5
        return h

    return optsde.losses.Function(gradient, dim=2, hessian=curvature)


@pytest.mark.parametrize("name", NAMES)
def test_another_loss_without_noise(name):
    prob = optsde.Problem(other_loss(), optsde.noise.Zero())
    start = {"theta": np.array([1.0, -0.6]), "v": np.array([0.5, 0.8])}
    if name == "RMSprop":
        opt, t0, steps = optsde.RMSprop(0.01, alpha=0.985, eps=0.1, ordering="lagged"), 0.0, 150
    else:
        opt, t0, steps = optsde.Adam(0.01, betas=(0.98, 0.99), eps=0.1), 0.5, 100
        start["m"] = np.array([0.3, 0.2])
    discrete, equation = QUIET_ADAM if name == "Adam" else QUIET_RMSPROP
    np.testing.assert_allclose(algorithm(opt.discrete(prob), start, t0=t0, steps=steps)[0], discrete, atol=1.1e-8)
    ens = optsde.simulate(opt.sde(prob, order=2), start, t0=t0, steps=steps, method="rk4", observe=optsde.Final())
    found = finals(ens, NAMES[name])
    # Adam's number is for another form of the equation, equal to order 2 (its gammas have no offsets).
    np.testing.assert_allclose(found[0], equation, rtol=0, atol=1.1e-8 if name == "RMSprop" else 8e-6)
