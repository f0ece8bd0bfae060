"""RMSprop and Adam with a constant preconditioner: closed moments of the algorithms and of their equations.

Euler-Maruyama's own moments are known exactly, so the equations' coefficients are tested without error of integration.
"""

import closed_moments as closed
import numpy as np
import optsde
import pytest
import reference_optimizers as reference
from adaptive_problem import C1, C2, NAMES, ORDERINGS, REGIMES, TAU, C, adam_gain, corrected, optimizer, small
from optimizer_numbers import ADAM_POWERS, CLOSED_ADAM, CLOSED_RMSPROP, RMSPROP_POWERS
from optimizer_tools import algorithm, euler, finals
from problems import assert_agrees, mean_and_error

# The noise of v is large beside its mean here, and eps so large that v hardly matters.
pytestmark = pytest.mark.filterwarnings("ignore:a second moment was below its floor:UserWarning")

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


def assert_close(found, exact):
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("regime", REGIMES)
def test_closed_moments_reproduce_the_published_numbers(regime):
    batch = regime == "batch_equivalent"
    model, table = closed.RMSprop(H, S, 10 / 9, C, TAU, regime), CLOSED_RMSPROP[regime]
    start = (1.0, 0.0, 0.2)
    assert_close(closed.pick(closed.chain(model.step, start, 16), RMSPROP_POWERS), table["chain"])
    first = closed.equation(lambda t: model.parts(1, second_noise=not batch), start, 0.0, 2.0)
    assert_close(closed.pick(first, RMSPROP_POWERS), table["order 0" if batch else "order 0, noise"])
    truncated = (lambda t: model.truncated()) if batch else None
    second = closed.equation(lambda t: model.parts(2), start, 0.0, 2.0, truncated=truncated)
    assert_close(closed.pick(second, RMSPROP_POWERS), table["corrected"])
    model, table, start = table_parts(regime), CLOSED_ADAM[regime], (1.0, 0.3, 0.2)
    assert_close(closed.pick(closed.chain(model.step, start, 16, 8), ADAM_POWERS), table["chain"])
    second = closed.equation(lambda t: model.parts(2, t), start, 1.0, 3.0, truncated=model.truncated if batch else None)
    assert_close(closed.pick(second, ADAM_POWERS), table["corrected"])


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
    options = {"steps": 16, "substeps": 16, "n_paths": N // 8}
    ens = optsde.simulate(dynamics, start, t0=t0, **options, rng=52, observe=optsde.Final())
    x = finals(ens, NAMES[name])
    mean, error = mean_and_error(powers(x, NAMES[name], regime))
    assert_agrees(mean, error, right[0], bias=2e-3 * np.abs(right[0]), wrong=[right[1]])
