"""RMSprop and Adam, orders 1 and 2: coefficients at a point, one-step moments, equations without noise, closed moments.

The problem of the pointwise numbers: f = theta' A theta / 2 + q/4 (theta1⁴ + theta2⁴) + p theta1² theta2 with noise
Sigma = S0 + 0.1 theta theta'. In the batch-equivalent regime v of the formulas is lr² times the library's.
"""

import closed_moments as closed
import numpy as np
import optsde
import pytest
import reference_optimizers as reference
from one_step import assert_bounded, chain_moments, defects, normal_nodes
from optimizer_numbers import (
    ADAM_BALLISTIC,
    ADAM_BATCH,
    ADAM_POWERS,
    CLOSED_ADAM,
    CLOSED_RMSPROP,
    FACTOR_DEFECT,
    POINT,
    QUIET_ADAM,
    QUIET_ORDER_2,
    QUIET_RMSPROP,
    RMSPROP_BALLISTIC,
    RMSPROP_BATCH,
    RMSPROP_BATCH_CONSTANT,
    RMSPROP_POWERS,
)
from optimizer_tools import algorithm, coefficients, euler, noise_covariance
from problems import assert_agrees, mean_and_error

TAU, C, C1, C2, EPS, T = 0.125, 0.8, 1.5, 0.8, 0.05, 1.0
A = np.array([[1.2, 0.4], [0.4, 0.8]])
Q, P = 0.1, 0.15
S0 = np.array([[0.30, 0.08], [0.08, 0.20]])
NAMES = {"RMSprop": ("theta", "v"), "Adam": ("theta", "m", "v")}
REGIMES = ("ballistic", "batch_equivalent")
ORDERINGS = ("lagged", "fresh")


def grad(x):
    linear = np.einsum("ij,...j->...i", A, x)
    mixed = np.stack([2 * P * x[..., 0] * x[..., 1], P * x[..., 0] ** 2], axis=-1)
    return linear + Q * x**3 + mixed


def hessian(x):
    h = np.empty((*x.shape, 2))
    h[..., 0, 0] = A[0, 0] + 3 * Q * x[..., 0] ** 2 + 2 * P * x[..., 1]
    h[..., 1, 1] = A[1, 1] + 3 * Q * x[..., 1] ** 2
    h[..., 0, 1] = h[..., 1, 0] = A[0, 1] + 2 * P * x[..., 0]
    return h


def third(x, s):
    s = np.broadcast_to(s, (*x.shape, 2))
    out = 6 * Q * x * np.einsum("...ii->...i", s)
    out[..., 0] += 2 * P * (s[..., 0, 1] + s[..., 1, 0])
    out[..., 1] += 2 * P * s[..., 0, 0]
    return out


def value(x):
    quadratic = 0.5 * np.einsum("...i,ij,...j->...", x, A, x)
    return quadratic + Q / 4 * (x**4).sum(axis=-1) + P * x[..., 0] ** 2 * x[..., 1]


def sigma(x, constant=False):
    return S0 if constant else S0 + 0.1 * np.einsum("...i,...j->...ij", x, x)


def problem(variance, noise):
    """``noise``: "theta" (depends on it), "constant", "none"; multiplied by ``variance``."""
    loss = optsde.losses.Function(grad, dim=2, value=value, hessian=hessian, third=third)
    if noise == "none":
        return optsde.Problem(loss, optsde.noise.Zero())
    if noise == "constant":
        return optsde.Problem(loss, optsde.noise.Gaussian(variance * S0))
    root = np.linalg.cholesky(S0)

    def factor(x):
        # Σ = R Rᵀ + 0.1 θ θᵀ: the columns of R and sqrt(0.1) θ.
        own = np.broadcast_to(root, (len(x), 2, 2))
        return np.sqrt(variance) * np.concatenate([own, np.sqrt(0.1) * np.asarray(x)[:, :, None]], axis=2)

    def jacobian(x):
        out = np.zeros((len(x), 2, 3, 2))
        out[:, 0, 2, 0] = out[:, 1, 2, 1] = np.sqrt(0.1 * variance)
        return out

    return optsde.Problem(loss, optsde.noise.Function(factor, kind="full", n_wiener=3, jacobian=jacobian))


def small(regime, tau):
    """The rate of a clock, and what divides the formulas' eps (its square: noise variance and v) into the library's."""
    if regime == "ballistic":
        return tau, 1.0
    return np.sqrt(tau), np.sqrt(tau)


def optimizer(name, regime, ordering, tau=TAU, eps=EPS, c=(C1, C2), bias_correction=True):
    lr, unit = small(regime, tau)
    if name == "RMSprop":
        return optsde.RMSprop(lr, alpha=1 - C * tau, eps=eps / unit, ordering=ordering)
    betas = tuple(1 - rate * tau for rate in c)
    return optsde.Adam(lr, betas=betas, eps=eps / unit, bias_correction=bias_correction, ordering=ordering)


def corrected(opt, prob, regime):
    """The model of order 2, or what there is of it in the batch-equivalent regime."""
    return opt.sde(prob, order=2 if regime == "ballistic" else "corrected", regime=regime)


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


def refused(*arguments):
    """Whether the library refuses a model for want of derivatives of a callback's noise, naming the noise."""
    try:
        at_point(*arguments)
    except ValueError as error:
        return "noise" in str(error)
    return False


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
    # RMSprop needs second derivatives of Σ, which a callback's jacobian does not give: then the library says so.
    if noise == "theta" and refused(name, "batch_equivalent", ordering, noise):
        return
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


def adam_gain(tau, offsets, c=(C1, C2)):
    """Gamma(t) and its derivative."""
    first, second = closed.corrections(c[0], tau, offsets[0]), closed.corrections(c[1], tau, offsets[1])

    def gain(t):
        (a, da), (b, db) = first(t), second(t)
        return np.sqrt(b) / a, db / (2 * np.sqrt(b) * a) - np.sqrt(b) * da / a**2

    return gain


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


def leading(name, regime, ordering, tau, constant):
    """b0 and a0 of the stacked state in the formulas' units."""
    gain = adam_gain(tau, reference.OFFSETS[ordering])
    second = closed.corrections(C2, tau, reference.OFFSETS[ordering][1])
    batch = regime == "batch_equivalent"

    def b0(x, t):
        theta, v = x[:2], x[-2:]
        g, s = grad(theta), np.diag(sigma(theta, constant))
        r = s - v + (0.0 if batch else g**2)
        if name == "RMSprop":
            return np.concatenate([-g / (np.sqrt(v) + EPS), C * r])
        d = 1 / (np.sqrt(v) + EPS * np.sqrt(second(t)[0]))
        return np.concatenate([-gain(t)[0] * d * x[2:4], C1 * (g - x[2:4]), C2 * r])

    def a0(x, t):
        out = np.zeros((len(x), len(x)))
        if batch and name == "RMSprop":
            d = 1 / (np.sqrt(x[-2:]) + EPS)
            out[:2, :2] = d[:, None] * sigma(x[:2], constant) * d
        elif batch:
            out[2:4, 2:4] = C1**2 * sigma(x[:2], constant)
        return out

    return b0, a0


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
    if not constant and regime == "batch_equivalent" and refused(name, regime, ordering, "theta"):
        return
    x = np.concatenate([POINT[key] for key in NAMES[name]])
    ratios = []
    for halving in range(3, 10):
        tau = 2.0**-halving
        drift, a = at_point(name, regime, ordering, "constant" if constant else "theta", tau)
        b0, a0 = leading(name, regime, ordering, tau, constant)
        ratios.append(defects(chain(name, regime, ordering, tau, x, T, constant), drift, a, b0, a0, x, T, tau))
    assert_bounded(ratios, BOUNDS[name, regime, ordering])


@pytest.mark.parametrize(("name", "regime", "ordering"), BOUNDS)
def test_one_step_moments_reject_wrong_terms(name, regime, ordering):
    # Mutants: every single coefficient of tau b1 and tau a1 that is not negligible, dropped; the other ordering.
    x = np.concatenate([POINT[key] for key in NAMES[name]])
    tau = 2.0**-9
    drift, a = at_point(name, regime, ordering, "constant", tau)
    b0, a0 = leading(name, regime, ordering, tau, True)
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
        found = np.concatenate([ens.final, *(ens.state[key].final for key in NAMES[name][1:])], axis=1)
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
            found = np.concatenate([ens.final, *(ens.state[key].final for key in NAMES[name][1:])], axis=1)
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
    found = np.concatenate([ens.final, *(ens.state[key].final for key in NAMES[name][1:])], axis=1)
    # Adam's number is for another form of the equation, equal to order 2 (its gammas have no offsets).
    np.testing.assert_allclose(found[0], equation, rtol=0, atol=1.1e-8 if name == "RMSprop" else 8e-6)


# Closed moments: h = 0.9, variance 0.5; D = 1/eps for small theta, m and noise, here 10/9.
H, S, SMALL = 0.9, 0.5, closed.SMALL
N = 400_000


def table_parts(regime):
    """The published set-up of Adam's closed moments, D = 1/(0.8 + 0.1 sqrt(gamma2)), offsets (2, 1)."""
    second = closed.corrections(C2, TAU, 1)

    def precondition(t):
        b, db = second(t)
        d = 1 / (0.8 + 0.1 * np.sqrt(b))
        return d, -0.1 * db / (2 * np.sqrt(b)) * d**2

    return closed.Adam(H, S, C1, C2, TAU, regime, precondition, adam_gain(TAU, (2, 1)))


@pytest.mark.parametrize("regime", REGIMES)
def test_closed_moments_reproduce_the_published_numbers(regime):
    batch = regime == "batch_equivalent"
    model, table = closed.RMSprop(H, S, 10 / 9, C, TAU, regime), CLOSED_RMSPROP[regime]
    start = (1.0, 0.0, 0.2)
    close(closed.pick(closed.chain(model.step, start, 16), RMSPROP_POWERS), table["chain"])
    first = closed.equation(lambda t: model.parts(1, second_noise=not batch), start, 0.0, 2.0)
    close(closed.pick(first, RMSPROP_POWERS), table["order 0" if batch else "order 0, noise"])
    truncated = (lambda t: model.truncated()) if batch else None
    second = closed.equation(lambda t: model.parts(2), start, 0.0, 2.0, truncated=truncated)
    close(closed.pick(second, RMSPROP_POWERS), table["corrected"])
    model, table, start = table_parts(regime), CLOSED_ADAM[regime], (1.0, 0.3, 0.2)
    close(closed.pick(closed.chain(model.step, start, 16, 8), ADAM_POWERS), table["chain"])
    second = closed.equation(lambda t: model.parts(2, t), start, 1.0, 3.0, truncated=model.truncated if batch else None)
    close(closed.pick(second, ADAM_POWERS), table["corrected"])


def powers(x, names, regime):
    """Samples of the moments' monomials: theta and m in units of SMALL, v of its square."""
    columns = {name: x[:, i] / SMALL for i, name in enumerate(names)}
    columns["v"] = columns["v"] / SMALL * (TAU if regime == "batch_equivalent" else 1.0)
    m = columns.get("m", np.zeros(len(x)))
    wanted = RMSPROP_POWERS if "m" not in columns else ADAM_POWERS
    return np.stack([columns["theta"] ** i * m**j * columns["v"] ** l for i, j, l in wanted], axis=1)


def small_run(name, regime, ordering, which):
    """The library's run, at a scale at which sqrt(v) is nothing beside eps; eps makes up for its mean."""
    unit = small(regime, TAU)[1]
    loss = optsde.losses.Quadratic(H, dim=1)
    prob = optsde.Problem(loss, optsde.noise.Gaussian(S * SMALL**2 / unit**2))
    opt = optimizer(name, regime, ordering, eps=0.9 - 0.6 * SMALL)
    start = {"theta": SMALL, "m": 0.3 * SMALL, "v": 0.2 * SMALL**2 / unit**2}
    start = {key: start[key] for key in NAMES[name]}
    t0 = 0.0 if name == "RMSprop" else 1.0
    keywords = {"t0": t0, "steps": 16, "n_paths": N, "rng": 51}
    if which == "chain":
        x = algorithm(opt.discrete(prob, regime=regime), start, **keywords)
    else:
        dynamics = opt.sde(prob, regime=regime) if which == 1 else corrected(opt, prob, regime)
        x = euler(dynamics, start, substeps=8, **keywords)
    return mean_and_error(powers(x, NAMES[name], regime))


@pytest.mark.parametrize("which", ["chain", 1, 2])
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("regime", REGIMES)
def test_closed_moments_of_rmsprop(regime, ordering, which):
    model, start = closed.RMSprop(H, S, 10 / 9, C, TAU, regime), (1.0, 0.0, 0.2)

    def moments(order, **changes):
        if order == "chain":
            return closed.pick(closed.chain(model.step, start, 16), RMSPROP_POWERS)
        parts = model.parts(order, **changes)
        return closed.pick(closed.euler(lambda t: parts, start, 0.0, 2.0, TAU / 8, constant=True), RMSPROP_POWERS)

    mean, error = small_run("RMSprop", regime, ordering, which)
    wrong = [moments(other) for other in ("chain", 1, 2) if other != which]
    right = moments(which)
    if which == 1 and regime == "ballistic":
        # The noise of v belongs to order 2; an equation of order 1 may have it.
        with_noise = moments(1, second_noise=True)
        if np.abs(mean - with_noise)[4] < np.abs(mean - right)[4]:
            right = with_noise
    if which == 2:
        wrong += [moments(2, flip=-1.0), moments(2, keep=0.0), moments(2, scale=0.0), moments(2, scale=-1.0)]
    assert_agrees(mean, error, right, bias=2e-3 * np.abs(right), wrong=wrong)


@pytest.mark.parametrize("which", ["chain", 1, 2])
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("regime", REGIMES)
def test_closed_moments_of_adam(regime, ordering, which):
    offsets = reference.OFFSETS[ordering]
    second = closed.corrections(C2, TAU, offsets[1])

    def precondition(t):
        b, db = second(t)
        return 1 / (0.9 * np.sqrt(b)), -db / (2 * 0.9 * b**1.5)

    model = closed.Adam(H, S, C1, C2, TAU, regime, precondition, adam_gain(TAU, offsets))
    start = (1.0, 0.3, 0.2)

    def moments(order, **changes):
        if order == "chain":
            return closed.pick(closed.chain(model.step, start, 16, 8), ADAM_POWERS)
        return closed.pick(
            closed.euler(lambda t: model.parts(order, t, **changes), start, 1.0, 3.0, TAU / 8), ADAM_POWERS
        )

    mean, error = small_run("Adam", regime, ordering, which)
    right = moments(which)
    wrong = [moments(other) for other in ("chain", 1, 2) if other != which]
    if which == 1 and regime == "ballistic":
        # With lr c1 (grad f - m) in theta's drift or without: both are of order 1.
        def variant(t):
            drift, noise = model.parts(1, t)
            away = closed.plus(closed.term(H, theta=1), closed.term(-1.0, m=1))
            rate = model.gain(t)[0] * model.precondition(t)[0]
            return [closed.plus(drift[0], closed.scaled(away, -rate * TAU * C1)), *drift[1:]], noise

        other = closed.pick(closed.euler(variant, start, 1.0, 3.0, TAU / 8), ADAM_POWERS)
        if np.abs(mean - other)[0] < np.abs(mean - right)[0]:
            right = other
    if which == 2:
        # Wrong time terms are too small for these samples; the one-step moments and the noise-free runs see them.
        mutant = {"mean_noise": 0.0} if regime == "batch_equivalent" else {"shift": 1.0}
        wrong += [moments(2, flip=-1.0), moments(2, **mutant)]
    assert_agrees(mean, error, right, bias=2e-3 * np.abs(right), wrong=wrong)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_method_of_order_two(name):
    # Without Euler-Maruyama's error: against the equation itself.
    regime, ordering = "ballistic", "fresh"
    offsets = reference.OFFSETS[ordering]
    if name == "RMSprop":
        model = closed.RMSprop(H, S, 10 / 9, C, TAU, regime)
        right = [
            closed.pick(closed.equation(lambda t, o=o: model.parts(o), (1.0, 0.0, 0.2), 0.0, 2.0), RMSPROP_POWERS)
            for o in (2, 1)
        ]
    else:
        second = closed.corrections(C2, TAU, offsets[1])

        def precondition(t):
            b, db = second(t)
            return 1 / (0.9 * np.sqrt(b)), -db / (2 * 0.9 * b**1.5)

        model = closed.Adam(H, S, C1, C2, TAU, regime, precondition, adam_gain(TAU, offsets))
        right = [
            closed.pick(closed.equation(lambda t, o=o: model.parts(o, t), (1.0, 0.3, 0.2), 1.0, 3.0), ADAM_POWERS)
            for o in (2, 1)
        ]
    prob = optsde.Problem(optsde.losses.Quadratic(H, dim=1), optsde.noise.Gaussian(S * SMALL**2))
    dynamics = optimizer(name, regime, ordering, eps=0.9 - 0.6 * SMALL).sde(prob, order=2)
    start = {"theta": SMALL, "m": 0.3 * SMALL, "v": 0.2 * SMALL**2}
    start = {key: start[key] for key in NAMES[name]}
    t0 = 0.0 if name == "RMSprop" else 1.0
    ens = optsde.simulate(dynamics, start, t0=t0, steps=16, substeps=16, n_paths=N, rng=52, observe=optsde.Final())
    x = np.concatenate([ens.final, *(ens.state[key].final for key in NAMES[name][1:])], axis=1)
    mean, error = mean_and_error(powers(x, NAMES[name], regime))
    assert_agrees(mean, error, right[0], bias=2e-3 * np.abs(right[0]), wrong=[right[1]])
