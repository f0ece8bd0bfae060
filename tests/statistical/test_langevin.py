"""Langevin dynamics: stationary laws of schemes and of the equation, and the orders of both paths and laws."""

import itertools

import numpy as np
import optsde
import pytest
from optsde import losses, noise
from problems import assert_agrees, mean_and_error, ou_moments, simpson_expectation
from scipy.interpolate import CubicSpline

SPLITTINGS = ("baoab", "obabo", "ubu")
UNIT = optsde.UnderdampedLangevin(losses.Quadratic(1.0, dim=1), temperature=1.0, friction=1.0)
# Var x, Var v of the harmonic well with l = g = T = 1 at h = 0.4; the equation has 1, 1. To more digits in the core's
# tests, from the matrix of one step.
HARMONIC = {"baoab": (1.0, 0.96), "obabo": (1.0416666667, 1.0), "ubu": (0.9734361437, 1.0134820146)}
N = 1_000_000


@pytest.mark.parametrize("method", SPLITTINGS)
def test_stationary_law_of_the_harmonic_well(method):
    ens = optsde.simulate(UNIT, 0.0, t1=16.0, dt=0.4, method=method, n_paths=N, rng=61)
    found = np.array([ens.var[-1, 0], ens.state["v"].var[-1, 0]])
    stderr = np.array([ens.var_stderr[-1, 0], ens.state["v"].var_stderr[-1, 0]])
    others = [law for name, law in HARMONIC.items() if name != method]
    # What is left of the start: e^{-16}.
    assert_agrees(found, stderr, HARMONIC[method], bias=1e-6, wrong=[(1.0, 1.0), *others])


# The quartic well x⁴/4 + x²/2 at T = 1: E x² of Gibbs's law, and of the stationary laws of two schemes.
QUARTIC = losses.Quartic(1.0, 1.0)
GIBBS = 0.4679199170
AVERAGED = {0.05: 0.46778216, 0.025: 0.46788734}
EULER = {0.05: 0.48211873, 0.025: 0.47476587}


def second_moment(h, t, averaged):
    """E x² from y = 0 after time t of y' = y - h U'(x) + sqrt(2 h) R: x = y, or y + sqrt(h/2) R.

    The second is the scheme of averaged increments in its other form; expectations are iterated backwards.
    """
    y = np.linspace(-4.5, 4.5, 901)
    r, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    x = y[:, None] + (np.sqrt(h / 2) * r if averaged else 0.0 * r)
    # Where the grid ends no path goes.
    later = np.clip(y[:, None] - h * (x**3 + x) + np.sqrt(2 * h) * r, -4.5, 4.5)
    value = (x**2) @ weights
    for _ in range(round(t / h)):
        value = CubicSpline(y, value)(later) @ weights
    return value[450]


@pytest.mark.parametrize(("averaged", "known"), [(True, AVERAGED), (False, EULER)], ids=["averaged", "euler"])
def test_recursion_of_the_quartic_well(averaged, known):
    found = [second_moment(h, 4.0, averaged) for h in known]
    np.testing.assert_allclose(found, list(known.values()), atol=2e-8)
    errors = np.abs(np.array(found) - GIBBS)
    np.testing.assert_allclose(errors[0] / errors[1], 4.23 if averaged else 2.07, atol=0.01)
    exact = simpson_expectation(np.square, lambda x: np.exp(-(x**4) / 4 - x**2 / 2), -6, 6)
    np.testing.assert_allclose(exact, GIBBS, atol=1e-10)


@pytest.mark.parametrize("h", AVERAGED)
def test_stationary_law_of_averaged_increments(h):
    dynamics = optsde.Langevin(QUARTIC, 1.0)
    ens = optsde.simulate(dynamics, 0.0, t1=4.0, dt=h, method="leimkuhler_matthews", n_paths=400_000, rng=62)
    assert_agrees(*mean_and_error(ens.final[:, 0] ** 2), AVERAGED[h], bias=1e-6, wrong=[EULER[h]] if h > 0.03 else [])


def test_averaged_increments_are_exact_on_quadratics():
    bowl, cov = np.array([[2.0, 0.5], [0.5, 1.0]]), 0.3
    sgd = optsde.SGD(0.4).sde(optsde.Problem(losses.Quadratic(bowl), noise.Gaussian(cov)))
    observe = optsde.Moments(cov=True)
    ens = optsde.simulate(
        sgd, [0.0, 0.0], t1=16.0, dt=0.4, method="leimkuhler_matthews", n_paths=N, rng=63, observe=observe
    )
    exact = 0.4 * cov / 2 * np.linalg.inv(bowl)
    # Of Euler-Maruyama: (2 H - dt H²)^-1 in place of (2 H)^-1.
    euler = 0.4 * cov * np.linalg.inv(2 * bowl - 0.4 * bowl @ bowl)
    assert_agrees(ens.cov[0], ens.cov_stderr[0], exact, bias=1e-6, wrong=[euler, 2 * exact])


def test_gibbs_law_with_masses_and_frictions():
    # Positions have Gibbs's law whatever mass and friction, velocities the variance T/mass.
    mass, friction, t = np.array([0.5, 2.0]), np.array([0.5, 2.0]), 0.6
    dynamics = optsde.UnderdampedLangevin(losses.Quartic(1.0, 0.5, dim=2), t, friction, mass)
    ens = optsde.simulate(dynamics, [0.0, 0.0], t1=24.0, dt=0.1, n_paths=200_000, rng=64)
    exact = simpson_expectation(np.square, lambda x: np.exp(-(x**4 / 4 + x**2 / 4) / t), -6, 6)
    # BAOAB's bias, measured on finer steps: below 1e-3 of positions; of velocities h² U''/(4 mass) T/mass.
    assert_agrees(*mean_and_error(ens.final**2), exact, bias=1.5e-3, wrong=[exact * 1.1, exact / 1.1])
    assert_agrees(*mean_and_error(ens.state["v"].final ** 2), t / mass, bias=0.02, wrong=[t, t / mass**2])


def test_exact_steps_on_quadratics():
    bowl, friction, mass, t = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.5, 2.0]), np.array([1.0, 3.0]), 0.4
    dynamics = optsde.UnderdampedLangevin(losses.Quadratic(bowl), t, friction, mass)
    start = {"theta": [1.0, -1.0], "v": [0.5, 0.0]}
    ens = optsde.simulate(dynamics, start, t1=1.5, dt=1.5, method="ornstein_uhlenbeck", n_paths=400_000, rng=65)
    zero = np.zeros((2, 2))
    rate = np.block([[zero, -np.eye(2)], [bowl / mass[:, None], np.diag(friction / mass)]])
    force = np.block([[zero, zero], [zero, np.diag(2 * friction * t / mass**2)]])
    mean, cov = ou_moments(rate, force, np.concatenate([start["theta"], start["v"]]), 1.5)
    state = np.hstack([ens.final, ens.state["v"].final])
    assert_agrees(*mean_and_error(state), mean, wrong=[0 * mean])
    products = (state - mean)[:, :, None] * (state - mean)[:, None, :]
    assert_agrees(*mean_and_error(products.reshape(len(state), 16)), cov.ravel(), wrong=[2 * cov.ravel()])


# Orders. Noise by coordinate and full, on one Wiener path.

COARSE, FINEST = 2, 6
ANHARMONIC = losses.Quartic(1.0, 0.5, dim=2)
EQUATIONS = {
    "langevin": optsde.UnderdampedLangevin(ANHARMONIC, 0.7, [0.5, 2.0], [1.0, 0.5]),
    "momentum": optsde.SGD(0.5, momentum=0.3).sde(optsde.Problem(ANHARMONIC, noise.Gaussian([[1.5, 0.6], [0.6, 0.8]]))),
}


def states(dynamics, method, level, paths, rng, t1=1.0, cell=FINEST + 2):
    ens = optsde.simulate(
        dynamics,
        [1.2, -0.7],
        t1=t1,
        dt=2.0**-level,
        wiener_dt=2.0**-cell,
        method=method,
        n_paths=paths,
        rng=rng,
        observe=optsde.Final(),
    )
    return np.hstack([ens.final, *(part.final for part in ens.state.values())])


def slope(levels, errors):
    return -np.polyfit(levels, np.log2(errors), 1)[0]


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("method", SPLITTINGS)
def test_strong_order_of_splittings(method, equation):
    # Against UBU on a fine grid, whose residual normals are its own.
    dynamics = EQUATIONS[equation]
    reference = states(dynamics, "ubu", FINEST + 2, 2000, 66)
    levels = np.arange(COARSE, FINEST)
    errors = [np.sqrt(((states(dynamics, method, k, 2000, 66) - reference) ** 2).sum(axis=1).mean()) for k in levels]
    order = optsde.methods()[method].strong
    assert abs(slope(levels, errors) - order) < 0.15, f"{slope(levels, errors)}, errors {errors}"


def test_strong_order_of_averaged_increments():
    # Half of the last increment is of the future: an error of the root of the step that no later step sees.
    dynamics = optsde.Langevin(ANHARMONIC, 0.7)
    reference = states(dynamics, "heun", FINEST + 2, 2000, 67)
    levels = np.arange(COARSE, FINEST)
    errors = [
        np.sqrt(((states(dynamics, "leimkuhler_matthews", k, 2000, 67) - reference) ** 2).sum(axis=1).mean())
        for k in levels
    ]
    order = optsde.methods()["leimkuhler_matthews"].strong
    assert abs(slope(levels, errors) - order) < 0.1, f"{slope(levels, errors)}, errors {errors}"


GROUPS = 20


def law_slope(dynamics, method, t1, levels, paths, function):
    """Slope of E[f(x_h) - f(x_{h/2})] on one Wiener path, and its standard error by leaving out groups of paths."""
    found = [function(states(dynamics, method, k, paths, 68, t1, levels[-1])) for k in levels]
    groups = np.array([(a - b).reshape(GROUPS, -1).mean(axis=1) for a, b in itertools.pairwise(found)])
    fits = [slope(levels[:-1], np.abs(np.delete(groups, k, axis=1).mean(axis=1))) for k in range(GROUPS)]
    return slope(levels[:-1], np.abs(groups.mean(axis=1))), np.sqrt((GROUPS - 1) * np.var(fits))


def energy(x):
    """A function whose leading error is seen: of the first position and its velocity."""
    return x[:, 0] ** 2 + 0.5 * x[:, 2] ** 2


LAWS = [(method, kind, t1) for method in SPLITTINGS for kind, t1 in (("weak", 1.0), ("stationary", 8.0))]


@pytest.mark.parametrize(("method", "kind", "t1"), LAWS)
def test_weak_and_stationary_orders_of_splittings(method, kind, t1):
    order = getattr(optsde.methods()[method], kind)
    found, stderr = law_slope(EQUATIONS["langevin"], method, t1, range(2, 6), 400_000, energy)
    assert 5 * stderr < 0.5, f"slope {found:.3f} ± {stderr:.3f}: the noise hides the bias"
    assert abs(found - order) < 0.25 + 5 * stderr, f"slope {found:.3f} ± {stderr:.3f}"


def test_weak_order_of_averaged_increments():
    dynamics = optsde.Langevin(ANHARMONIC, 0.7)
    found, stderr = law_slope(
        dynamics, "leimkuhler_matthews", 0.5, range(3, 7), 400_000, lambda x: x[:, 0] ** 2 + x[:, 1]
    )
    assert 5 * stderr < 0.5, f"slope {found:.3f} ± {stderr:.3f}: the noise hides the bias"
    assert abs(found - optsde.methods()["leimkuhler_matthews"].weak) < 0.25 + 5 * stderr, f"{found:.3f} ± {stderr:.3f}"
