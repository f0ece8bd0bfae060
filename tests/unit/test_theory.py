"""The theory's known answers, to their digits, and what it refuses."""

import pickle
import subprocess
import sys

import numpy as np
import optsde
import pytest
from optsde import theory
from problems import TWO_DIM_COV, TWO_DIM_H, TWO_DIM_MEAN, TWO_DIM_START, TWO_DIM_STATIONARY, full, sgd_moments
from scipy.integrate import quad, solve_ivp
from scipy.stats import beta, t

Quadratic, Gaussian, Problem = optsde.losses.Quadratic, optsde.noise.Gaussian, optsde.Problem
DOUBLE_WELL = optsde.losses.Quartic(1.0, -1.0)


def models(problem, lr, **kwargs):
    sgd = optsde.SGD(lr, **kwargs)
    return sgd.discrete(problem), sgd.sde(problem), sgd.sde(problem, order=2)


# --- linear dynamics --------------------------------------------------------------------------------------------------


def test_sgd_with_constant_noise():
    problem = Problem(Quadratic(TWO_DIM_H), Gaussian(TWO_DIM_COV))
    for model, cov, mean in zip(models(problem, 0.1), TWO_DIM_STATIONARY, TWO_DIM_MEAN, strict=True):
        np.testing.assert_allclose(theory.stationary_cov(model), full(cov), atol=6e-11)
        np.testing.assert_array_equal(theory.stationary_mean(model), [0.0, 0.0])
        np.testing.assert_allclose(theory.transient_moments(model, TWO_DIM_START, 1.0).mean, mean, atol=6e-11)


MOMENTUM = [
    # order, nesterov, stationary (xx, xV, VV), mean and covariance at T = 2
    (0, False, (0.0334654337, 0.0026420079, 0.0528401585), (-0.1247395803, -0.3655528072),
     (0.0305473309, 0.0050648743, 0.0419068834)),
    (2, False, (0.0273842711, 0.0021619161, 0.0477897252), (-0.1209973157, -0.3693383409),
     (0.0247281530, 0.0045642714, 0.0382548571)),
    (0, True, (0.0294857998, 0.0023444845, 0.0468896897), (-0.0682443715, -0.3436718201),
     (0.0274790974, 0.0045688065, 0.0388826542)),
    (2, True, (0.0237906946, 0.0018782127, 0.0418149466), (-0.0646931486, -0.3446960998),
     (0.0219341012, 0.0040067644, 0.0349805439)),
    (1, False, (0.0333333333, 0.0, 0.05), (-0.0976454928, -0.3883095243), (0.0296647500, 0.0033507619, 0.0386185848)),
    (1, True, (0.0333333333, 0.0, 0.05), (-0.0976454928, -0.3883095243), (0.0296647500, 0.0033507619, 0.0386185848)),
]  # fmt: skip


@pytest.mark.parametrize(("order", "nesterov", "stationary", "mean", "cov"), MOMENTUM)
def test_momentum(order, nesterov, stationary, mean, cov):
    problem = Problem(Quadratic(1.5, dim=1), Gaussian(1.0))
    sgd = optsde.SGD(0.01, momentum=0.9, nesterov=nesterov)
    model = sgd.sde(problem, order=order) if order else sgd.discrete(problem)
    found = theory.stationary_cov(model)
    np.testing.assert_allclose(found, full(stationary), atol=6e-11)
    assert found["theta", "v"].item() == found.array[0, 1]
    moments = theory.transient_moments(model, {"theta": 1.0}, 2.0)
    np.testing.assert_allclose(moments.mean, mean, atol=6e-11)
    np.testing.assert_allclose(moments.cov, full(cov), atol=6e-11)


def test_momentum_at_a_large_rate():
    problem = Problem(Quadratic(1.5, dim=1), Gaussian(1.0))
    # v of the library is v/√η of these numbers.
    heavy = np.asarray(theory.stationary_cov(optsde.SGD(0.1, 0.9).discrete(problem)))
    np.testing.assert_allclose(heavy[0, 0], 0.3470319635, atol=6e-11)
    np.testing.assert_allclose(heavy[1, 1] * 0.1, 0.0547945205, atol=6e-11)
    np.testing.assert_allclose(heavy[0, 1] * np.sqrt(0.1), 0.0273972603, atol=6e-11)
    ahead = np.asarray(theory.stationary_cov(optsde.SGD(0.1, 0.9, nesterov=True).discrete(problem)))
    np.testing.assert_allclose([ahead[0, 0], ahead[1, 1] * 0.1], [0.1481388224, 0.0251794032], atol=6e-11)


def test_noise_of_gaussian_inputs():
    C = [[1.0, 0.4], [0.4, 0.5]]
    problem = Problem(Quadratic(C), optsde.noise.GaussianInputs(C, 0.3))
    discrete, equation, _ = models(problem, 0.1)
    np.testing.assert_allclose(
        theory.stationary_cov(discrete), full((0.0054681504, 0.0002302379, 0.0051803530)), atol=6e-11
    )
    np.testing.assert_allclose(
        theory.stationary_cov(equation), full((0.0051463257, 0.0001055657, 0.0050143687)), atol=6e-11
    )
    mean, cov = theory.transient_moments(discrete, [0.7, -0.2], 2.0)
    np.testing.assert_allclose(mean, [0.1750374038, -0.2373357575], atol=6e-11)
    second = np.asarray(cov) + np.outer(mean, mean)
    np.testing.assert_allclose(second, full((0.0403710201, -0.0416480884, 0.0640212653)), atol=6e-11)


def test_noise_that_grows_with_the_parameters():
    problem = Problem(Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    for model, var, square in zip(
        models(problem, 0.1),
        (0.013888888889, 0.013157894737, 0.0125),
        (0.149427919790, 0.160758505812, 0.146143592196),
        strict=True,
    ):
        assert float(theory.stationary_cov(model)) == pytest.approx(var, abs=1e-12)
        mean, cov = theory.transient_moments(model, 1.0, 1.0)
        assert float(cov) + float(mean) ** 2 == pytest.approx(square, abs=1e-12)


HESSIANS = np.array([[[1, 0.2], [0.2, 0.5]], [[2, -0.3], [-0.3, 1]], [[0.6, 0.1], [0.1, 1.5]]])
GRADIENTS = np.array([[1, -0.5], [-0.3, 0.8], [-0.7, -0.3]])


def examples_problem():
    def grads(x):
        return GRADIENTS + np.einsum("kij,nj->nki", HESSIANS, x)

    loss = optsde.losses.Function(lambda x: grads(x).mean(axis=1), dim=2, example_grads=grads, n_examples=3)
    return Problem(loss, optsde.noise.Minibatch())


def test_converged_loss():
    problem, hessian = examples_problem(), HESSIANS.mean(axis=0)
    assert theory.converged_loss_slope(problem, [0.0, 0.0]) == pytest.approx(0.2133333333, abs=6e-11)
    exact = {0.1: 0.2301021067, 0.05: 0.2213971939, 0.025: 0.2172896811, 0.0125: 0.2152931427}
    for lr, ratio in exact.items():
        cov = np.asarray(theory.stationary_cov(optsde.SGD(lr).discrete(problem)))
        assert np.trace(hessian @ cov) / 2 / lr == pytest.approx(ratio, abs=6e-11)
        # The theorem's identity: the mean squared gradient in the stationary law.
        square = np.mean([g @ g + np.trace(h @ cov @ h) for g, h in zip(GRADIENTS, HESSIANS, strict=True)])
        assert square / 4 == pytest.approx(ratio, abs=6e-11)


def test_converged_loss_with_momentum_and_batches():
    problem = Problem(Quadratic([1.0, 3.0]), Gaussian([4.0, 0.25]), batch_size=2)
    slope = theory.converged_loss_slope(problem, [0.0, 0.0], momentum=0.5)
    for momentum, expected in ((0.0, slope / 2), (0.5, slope)):
        lr = 1e-5
        cov = theory.stationary_cov(optsde.SGD(lr, momentum).discrete(problem))["theta", "theta"]
        assert np.diag(cov) @ [1.0, 3.0] / 2 / lr == pytest.approx(expected, rel=1e-4)


def test_linear_regression_agrees_with_a_long_recursion():
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((7, 2)), rng.standard_normal(7)
    loss, lr = optsde.losses.LinearRegression(X, y), 0.1
    for replace, factor in ((True, 1 / 3), (False, (7 - 3) / (3 * 6))):
        problem = Problem(loss, optsde.noise.Minibatch(replace=replace), batch_size=3)
        H, theta = X.T @ X / 7, loss.minima[0]
        rest = y - X @ theta
        cov = np.zeros((2, 2))
        for _ in range(2000):
            # Examples' gradients about the minimum: x_i (x_iᵀ w - r_i), with E w = 0.
            grads = [
                np.outer(x, x) @ cov @ np.outer(x, x) + r**2 * np.outer(x, x) for x, r in zip(X, rest, strict=True)
            ]
            noise = np.mean(grads, axis=0) - H @ cov @ H
            step = np.eye(2) - lr * H
            cov = step @ cov @ step + lr**2 * factor * noise
        model = optsde.SGD(lr).discrete(problem)
        np.testing.assert_allclose(theory.stationary_cov(model), cov, rtol=1e-10)
        np.testing.assert_allclose(theory.stationary_mean(model), theta, rtol=1e-10)


DECAYS = [
    {}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True},
    {"weight_decay": 0.3}, {"weight_decay": 0.3, "decoupled": True},
    {"weight_decay": 0.3, "momentum": 0.8, "nesterov": True},
    {"weight_decay": 0.3, "momentum": 0.8, "decoupled": True},
]  # fmt: skip


@pytest.mark.parametrize("kwargs", DECAYS)
@pytest.mark.parametrize("lr", [0.1, [0.1, 0.05]])
def test_steps_are_those_of_the_algorithm(kwargs, lr):
    loss = Quadratic(TWO_DIM_H, center=[1.0, -2.0])
    model = optsde.SGD(lr, **kwargs).discrete(Problem(loss, optsde.noise.Zero()))
    start = {"theta": [0.3, 0.7]} | ({"v": [0.2, -0.4]} if "v" in model.state else {})
    ens = optsde.simulate(model, start, steps=3, rng=0)
    last = [ens.final, *([ens.state["v"].final] if "v" in model.state else [])]
    moments = theory.transient_moments(model, start, 3 * model.time_per_step)
    np.testing.assert_allclose(moments.mean, np.concatenate(last, axis=1)[0], rtol=1e-12)
    np.testing.assert_array_equal(moments.cov, np.zeros(moments.cov.shape))


def test_svag_tends_to_the_equation():
    problem = Problem(Quadratic(TWO_DIM_H), Gaussian(TWO_DIM_COV))
    sgd = optsde.SGD(0.1)
    exact = np.asarray(theory.stationary_cov(sgd.sde(problem)))
    errors = [np.abs(np.asarray(theory.stationary_cov(sgd.svag(problem, l))) - exact).max() for l in (1, 10, 100)]
    np.testing.assert_allclose(errors[1:] / errors[0], [0.1, 0.01], rtol=0.2)


def test_adam_in_the_batch_equivalent_regime():
    problem = Problem(Quadratic([1.0, 3.0], center=[2.0, -1.0]), Gaussian([4.0, 0.25]))
    model = optsde.Adam(0.01, (0.9, 0.99)).sde(problem, regime="batch_equivalent")
    cov, mean = theory.stationary_cov(model), theory.stationary_mean(model)
    # θ' = -κ m, m' = c (h θ - m) + c s τ^½ ẇ: Var θ = κ c σ²/(2 h c), κ = 1/(η s).
    tau, s, h = model.time_per_step, np.array([2.0, 0.5]), np.array([1.0, 3.0])
    np.testing.assert_allclose(np.diag(cov["theta", "theta"]), s * tau / (2.0 * h * 0.01), rtol=1e-6)
    np.testing.assert_allclose(mean["v"], [4.0, 0.25])
    np.testing.assert_array_equal(cov["v", "v"], np.zeros((2, 2)))
    assert len(theory.relaxation_times(model)) == 6


def test_transient_moments_of_a_linear_sde():
    geometric = optsde.SDE(lambda t, x: 0.05 * x, lambda t, x: 0.2 * x, dim=1, noise="diagonal")
    mean, cov = theory.transient_moments(geometric, 1.0, [0.0, 1.0])
    np.testing.assert_allclose(np.asarray(mean)[:, 0], [1.0, np.exp(0.05)], rtol=1e-12)
    np.testing.assert_allclose(np.asarray(cov)[:, 0, 0], [0.0, np.exp(0.1) * (np.exp(0.04) - 1)], rtol=1e-10)


def test_random_starts():
    problem = Problem(Quadratic([2.0, 1.0]), Gaussian(1.0))
    model = optsde.SGD(0.1).discrete(problem)
    mean, cov = theory.transient_moments(model, optsde.initial.Uniform(0.0, [1.0, 2.0]), 0.5)
    still, extra = sgd_moments(np.diag([2.0, 1.0]), np.eye(2), 0.1, [0.5, 1.0], 5)
    decay = np.diag([0.8**10, 0.9**10])
    np.testing.assert_allclose(mean, still)
    np.testing.assert_allclose(cov, extra + decay @ np.diag([1.0, 4.0]) / 12)
    mean, cov = theory.transient_moments(model, optsde.initial.Gaussian([0.5, 1.0], [0.1, 0.2]), 0.5)
    np.testing.assert_allclose(cov, extra + decay @ np.diag([0.1, 0.2]))


# --- temperatures and times -------------------------------------------------------------------------------------------


def test_the_constant_alpha():
    problem = Problem(Quadratic(2.0, dim=1), Gaussian(2.25))
    assert theory.gibbs_density(problem.loss, 0.1 * 2.25 / 2).var == pytest.approx(0.05625, rel=1e-12)
    assert float(theory.stationary_cov(optsde.SGD(0.1).discrete(problem))) == pytest.approx(0.0625, rel=1e-12)
    for lr, alpha in {0.2: 0.625, 0.1: 0.5555556, 0.05: 0.5263158, 0.01: 0.5050505}.items():
        found = theory.effective_temperature(optsde.SGD(lr).discrete(problem))
        assert float(found) / (lr * 2.25) == pytest.approx(alpha, abs=6e-8)


def test_two_temperatures():
    h, s, lr = np.array([1.0, 3.0]), np.array([2.0, 0.5]), 0.02
    problem = Problem(Quadratic(h), Gaussian(s**2))
    restored = theory.gibbs_restoring_lr(problem, lr)
    np.testing.assert_allclose(restored, lr / s**2)
    rows = [
        (lr, (0.04, 0.0025), (0.04, 0.000833333), (0.0404040404, 0.0008591065)),
        (restored, (0.01, 0.01), (0.01, 0.0033333333), (0.0100250627, 0.0037878788)),
        (lr / s, (0.02, 0.005), (0.02, 0.005 / 3), None),
    ]
    for rate, temperature, equation, discrete in rows:
        sgd = optsde.SGD(rate)
        np.testing.assert_allclose(theory.effective_temperature(sgd.sde(problem)), temperature, rtol=1e-12)
        np.testing.assert_allclose(np.diag(theory.stationary_cov(sgd.sde(problem))), equation, atol=5e-10)
        if discrete is not None:
            np.testing.assert_allclose(np.diag(theory.stationary_cov(sgd.discrete(problem))), discrete, atol=6e-11)


def test_temperatures_of_other_dynamics():
    wells = optsde.losses.DoubleWell(dim=2)
    problem = Problem(wells, Gaussian([1.0, 4.0]), batch_size=2)
    np.testing.assert_allclose(theory.effective_temperature(optsde.SGD(0.1).sde(problem)), [0.025, 0.1])
    np.testing.assert_allclose(theory.effective_temperature(optsde.SGD(0.1, 0.9).sde(problem)), [0.25, 1.0])
    np.testing.assert_allclose(theory.effective_temperature(optsde.Langevin(optsde.losses.MuellerBrown(), 7.0)), 7.0)
    # A full Hessian that commutes with the noise: temperatures along its axes, by ascending curvature.
    c, s = np.cos(0.3), np.sin(0.3)
    axes = np.array([[c, s], [-s, c]])
    turned = Problem(Quadratic(axes.T @ np.diag([1.0, 3.0]) @ axes), Gaussian(axes.T @ np.diag([4.0, 0.25]) @ axes))
    found = theory.effective_temperature(optsde.SGD(0.02).sde(turned))
    np.testing.assert_allclose(found, [0.04, 0.0025], rtol=1e-10)
    np.testing.assert_allclose(np.abs(found.directions @ axes.T), np.eye(2), atol=1e-12)


def test_autocorrelation_times():
    problem = Problem(Quadratic(1.0, dim=1), Gaussian(1.0))
    sgd, langevin = optsde.SGD(0.1).discrete(problem), optsde.Langevin(problem.loss, 1.0)
    assert float(theory.iact(sgd)) == pytest.approx(19.0, rel=1e-12)
    assert float(theory.iact(sgd, power=2)) == pytest.approx(9.526315789, abs=6e-10)
    assert float(theory.iact(langevin, every=0.1)) == pytest.approx(20.016663890, abs=6e-9)
    assert float(theory.iact(langevin)) == pytest.approx(2.0, rel=1e-12)
    assert float(theory.iact(langevin, power=2)) == pytest.approx(1.0, rel=1e-12)
    # Of the position of momentum: twice ∫_0^∞ ρ = mu/lam.
    momentum = optsde.SGD(0.01, 0.9).sde(Problem(Quadratic(1.5, dim=1), Gaussian(1.0)))
    assert theory.iact(momentum)["theta"].item() == pytest.approx(2 * 0.6666666667, abs=1e-9)
    assert theory.relaxation_times(momentum).tolist() == pytest.approx([2.0, 2.0])
    np.testing.assert_allclose(theory.relaxation_times(sgd), -0.1 / np.log(0.9))


# --- densities --------------------------------------------------------------------------------------------------------

WELL = [
    # D, MFPT to the top and to the other well (found again by the quadrature below), Kramers, Gibbs E x², E x⁴
    (0.2, 7.934017, 19.093880, 15.507185, 0.8308953527, 1.0308953527),
    (0.1, 30.821302, 66.268614, 54.125395, 0.8713629080, 0.9713629080),
    (0.05, 361.903760, 729.670674, 659.382292, 0.9368339404, 0.9868339404),
    (0.025, 51050.7025, 102108.3654, 97861.0091, None, None),
]


def passage_by_quadrature(d, target):
    """The double integral by Gauss's rule, written anew."""
    nodes, weights = np.polynomial.legendre.leggauss(40)

    def rule(a, b, n):
        edges = np.linspace(a, b, n + 1)
        half = np.diff(edges)[:, None] / 2
        return (edges[:-1, None] + half * (nodes + 1)).ravel(), (half * weights).ravel()

    y, outer = rule(-1.0, target, 10)
    inner = []
    for point in y:
        z, w = rule(-4.0, point, 20)
        inner.append((np.exp((DOUBLE_WELL.value(point[None]) - DOUBLE_WELL.value(z[:, None])) / d) * w).sum())
    return outer @ np.array(inner) / d


@pytest.mark.parametrize("row", WELL)
def test_double_well(row):
    d, top, across, kramers, second, fourth = row
    times = [theory.mean_first_passage_time(DOUBLE_WELL, d, -1.0, x) for x in (0.0, 1.0)]
    # The table was made on a grid; it has six digits.
    np.testing.assert_allclose(times, [top, across], rtol=1e-6)
    np.testing.assert_allclose(times, [passage_by_quadrature(d, x) for x in (0.0, 1.0)], rtol=1e-11)
    assert theory.mean_first_passage_time(DOUBLE_WELL, d, 1.0, -1.0) == pytest.approx(times[1], rel=1e-12)
    assert theory.kramers_time(DOUBLE_WELL, d, -1.0, 0.0) == pytest.approx(kramers, rel=1e-7)
    if second is not None:
        law = theory.gibbs_density(DOUBLE_WELL, d)
        assert law.moment(2) == pytest.approx(second, abs=6e-11)
        assert law.moment(4) == pytest.approx(fourth, abs=6e-11)
        assert law.moment(4) == pytest.approx(law.moment(2) + d, abs=1e-12)


def test_kramers_with_friction_and_in_more_dimensions():
    for friction, prefactor in {0.5: 0.1757364345, 1.0: 0.1391065210, 2.0: 0.0932308071}.items():
        time = theory.kramers_time(DOUBLE_WELL, 0.1, -1.0, 0.0, friction=friction)
        assert np.exp(2.5) / time == pytest.approx(prefactor, abs=6e-11)
    slow = theory.kramers_time(DOUBLE_WELL, 0.1, -1.0, 0.0, friction=1e6, mass=2.0)
    assert slow / 1e6 == pytest.approx(theory.kramers_time(DOUBLE_WELL, 0.1, -1.0, 0.0), rel=1e-5)
    two = optsde.losses.Quartic(1.0, -1.0, dim=2)
    # The other coordinate's curvature is 2 at both points: it cancels.
    assert theory.kramers_time(two, 0.1, [-1.0, 1.0], [0.0, 1.0]) == pytest.approx(54.125395, rel=1e-7)


def test_passage_past_the_last_barrier():
    cubic = optsde.losses.Function(
        lambda x: x - x**2,
        dim=1,
        value=lambda x: (x**2 / 2 - x**3 / 3)[:, 0],
        hessian=lambda x: (1 - 2 * x)[:, :, None],
    )
    time = theory.mean_first_passage_time(cubic, 0.02, 0.0, 2.0)
    assert time == pytest.approx(theory.kramers_time(cubic, 0.02, 0.0, 1.0), rel=0.06)
    with pytest.raises(ValueError, match="escape on the other side"):
        theory.mean_first_passage_time(cubic, 0.02, 2.0, 1.0)


def test_passage_solves_its_equation_with_noise_that_depends_on_the_state():
    def noise(x):
        return 0.2 + 0.1 * x**2

    # D T'' - f' T' = -1, from far on the left where T' is about -1/f'... by the flux, which begins at 0.
    def slope(x, y):
        return [(DOUBLE_WELL.grad(np.array([x]))[0] * y[0] - 1.0) / noise(x), y[0]]

    near = solve_ivp(slope, (-3.0, -1.0), [1.0 / DOUBLE_WELL.grad(np.array([-3.0]))[0], 0.0], rtol=1e-11, atol=1e-13)
    path = solve_ivp(slope, (-1.0, 0.5), [near.y[0, -1], 0.0], rtol=1e-11, atol=1e-13)
    assert theory.mean_first_passage_time(DOUBLE_WELL, noise, -1.0, 0.5) == pytest.approx(-path.y[1, -1], rel=1e-6)


def test_noise_that_grows_has_students_law():
    problem = Problem(Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    law = theory.stationary_density(optsde.SGD(0.1).sde(problem))
    student = t(21, scale=np.sqrt(0.0119047619047619))
    x = np.linspace(-1.0, 1.0, 41)
    np.testing.assert_allclose(law(x), student.pdf(x), rtol=1e-11)
    np.testing.assert_allclose(law.cdf(x), student.cdf(x), atol=1e-13)
    assert law.var == pytest.approx(0.0131578947, abs=6e-11)
    assert law.moment(4) == pytest.approx(0.0005804954, abs=6e-11)
    assert law.moment(20) < np.inf == law.moment(22)
    heavy = theory.stationary_density(optsde.SGD(1.9).sde(problem))
    assert heavy.var == pytest.approx(1.9 * 0.25 / (2.0 - 1.9), rel=1e-10)
    assert theory.stationary_density(optsde.SGD(2.5).sde(problem)).var == np.inf


def test_densities_on_part_of_the_line():
    root = optsde.SDE(
        lambda t, x: 2.0 * (1.5 - x), lambda t, x: 0.8 * np.sqrt(np.maximum(x, 0.0)), dim=1, noise="diagonal"
    )
    law = theory.stationary_density(root)
    assert law.support == (0.0, np.inf)
    np.testing.assert_allclose([law.mean, law.var], [1.5, 0.24], rtol=1e-10)
    allele = optsde.SDE(
        lambda t, x: 0.4 - x, lambda t, x: 0.8 * np.sqrt(np.maximum(x * (1 - x), 0.0)), dim=1, noise="diagonal"
    )
    law, exact = theory.stationary_density(allele), beta(0.8 / 0.64, 1.2 / 0.64)
    x = np.array([-0.1, 1e-4, 0.3, 0.999, 1.2])
    np.testing.assert_allclose(law.pdf(x), exact.pdf(x), rtol=1e-8)
    np.testing.assert_allclose(law.cdf(x), exact.cdf(x), atol=1e-9)


def test_gibbs_densities_in_more_dimensions():
    H, centre = np.array(TWO_DIM_H), np.array([3.0, -1.0])
    law = theory.gibbs_density(Quadratic(H, centre), 0.5)
    np.testing.assert_allclose(law.cov, 0.5 * np.linalg.inv(H), rtol=1e-12)
    np.testing.assert_allclose(law.mean, centre, rtol=1e-12)
    assert law.normalizer == pytest.approx(np.pi / np.sqrt(np.linalg.det(H)), rel=1e-12)
    assert float(law([0.0, 0.0])) == pytest.approx(
        float(np.exp(-Quadratic(H, centre).value([0.0, 0.0]) / 0.5)) / law.normalizer, rel=1e-11
    )
    loss = optsde.losses.StyblinskiTang(2)
    law = theory.gibbs_density(loss, 20.0)
    one = optsde.losses.StyblinskiTang(1)
    z = quad(lambda x: float(np.exp(-one.value([x]) / 20.0)), -10, 10, epsabs=0, epsrel=1e-12, limit=200)[0]
    assert law.normalizer == pytest.approx(z**2, rel=1e-10)
    normal = theory.stationary_density(optsde.SGD(0.1).discrete(Problem(Quadratic(TWO_DIM_H), Gaussian(TWO_DIM_COV))))
    np.testing.assert_allclose(normal.cov, full(TWO_DIM_STATIONARY[0]), atol=6e-11)
    problem = Problem(optsde.losses.DoubleWell(dim=2), Gaussian([1.0, 4.0]))
    product = theory.stationary_density(optsde.SGD(0.4).sde(problem))
    single = [theory.gibbs_density(optsde.losses.DoubleWell(), x).var for x in (0.2, 0.8)]
    np.testing.assert_allclose(product.var, single, rtol=1e-10)
    moved = theory.stationary_density(optsde.SGD(0.4, 0.5).sde(Problem(optsde.losses.DoubleWell(), Gaussian(1.0))))
    assert moved.var == pytest.approx(theory.gibbs_density(optsde.losses.DoubleWell(), 0.4).var, rel=1e-12)


# --- stable laws ------------------------------------------------------------------------------------------------------


def test_stable_scales():
    problem = Problem(Quadratic(1.0, dim=1), optsde.noise.AlphaStable(1.5, 0.5))
    sgd = optsde.SGD(0.1)
    assert theory.stable_scale(sgd.discrete(problem)).item() == pytest.approx(0.1801778499, abs=6e-11)
    assert theory.stable_scale(sgd.sde(problem)).item() == pytest.approx(0.1771097615, abs=6e-11)


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("kwargs", [{}, {"momentum": 0.8}])
def test_stable_scales_at_two_are_gaussian(isotropic, kwargs):
    lr = 0.1
    stable = Problem(Quadratic(TWO_DIM_H), optsde.noise.AlphaStable(2.0, 0.5, isotropic=isotropic))
    normal = Problem(Quadratic(TWO_DIM_H), Gaussian(0.5))
    sgd = optsde.SGD(lr, **kwargs)
    pairs = [(sgd.discrete(stable), sgd.discrete(normal))]
    if not kwargs:
        pairs.append((sgd.sde(stable), sgd.sde(normal)))
    for model, twin in pairs:
        variances = np.diag(theory.stationary_cov(twin)["theta", "theta"])
        np.testing.assert_allclose(2 * theory.stable_scale(model) ** 2, variances, rtol=1e-9)


@pytest.mark.skipif(not hasattr(optsde, "UnderdampedLangevin"), reason="not there yet")
def test_underdamped_langevin():
    loss, temperature, friction, mass = Quadratic(1.5, [2.0]), 0.3, 0.8, 2.0
    model = optsde.UnderdampedLangevin(loss, temperature, friction, mass)
    cov = np.asarray(theory.stationary_cov(model))
    np.testing.assert_allclose(cov, np.diag([temperature / 1.5, temperature / mass]), atol=1e-12)
    np.testing.assert_allclose(theory.stationary_mean(model)["theta"], [2.0])
    assert theory.iact(model)["theta"].item() == pytest.approx(2 * friction / 1.5, rel=1e-10)
    assert float(theory.effective_temperature(model)) == pytest.approx(temperature)
    wells = optsde.UnderdampedLangevin(optsde.losses.DoubleWell(), temperature, friction)
    assert theory.stationary_density(wells).var == theory.gibbs_density(wells.loss, temperature).var


# --- results and refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: theory.gibbs_density(DOUBLE_WELL, 0.1),
    lambda: theory.gibbs_density(Quadratic(TWO_DIM_H, [1.0, -1.0]), 0.5),
    lambda: theory.stationary_density(optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.1, 2.0]], [0.5, -1.0], 1.0)),
    lambda: theory.stationary_density(optsde.SGD(0.1).sde(Problem(DOUBLE_WELL, optsde.noise.AffineDiagonal(1.0, 0.5)))),
    lambda: theory.stationary_density(optsde.Langevin(optsde.losses.DoubleWell(dim=2), 0.4)),
])  # fmt: skip
def test_densities_can_be_pickled(make):
    law = make()
    copy = pickle.loads(pickle.dumps(law))
    points = np.linspace(-1.0, 1.0, 6).reshape((6,) if np.ndim(law.var) == 0 else (3, 2))
    assert np.array_equal(copy(points), law(points))
    assert repr(copy) == repr(law)


def test_results_are_arrays_and_mappings():
    problem = Problem(Quadratic(1.5, dim=2), Gaussian(1.0))
    cov = theory.stationary_cov(optsde.SGD(0.01, 0.9).sde(problem))
    assert cov.shape == (4, 4) and len(cov) == 4 and ("theta", "v") in cov
    assert dict(cov)["v", "v"].shape == (2, 2)
    assert isinstance(cov + 1.0, np.ndarray) and isinstance(np.linalg.inv(cov), np.ndarray)
    np.testing.assert_array_equal(cov[:2, :2], cov["theta", "theta"])
    with pytest.raises(KeyError, match="two names"):
        cov["theta"]
    with pytest.raises(KeyError, match="expected one of"):
        cov["theta", "m"]
    with pytest.raises(ValueError, match="read-only"):
        cov.array[0, 0] = 1.0
    assert "covariance of theta, v" in repr(cov)
    mean = theory.stationary_mean(optsde.SGD(0.01, 0.9).sde(problem))
    assert list(mean) == ["theta", "v"] and mean["v"].shape == (2,)
    assert "mean" in repr(theory.gibbs_density(DOUBLE_WELL, 0.1))


P1 = Problem(Quadratic(1.0, dim=1), Gaussian(1.0))
GROWING = Problem(Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
STABLE = Problem(Quadratic(1.0, dim=1), optsde.noise.AlphaStable(1.5, 1.0))
EPOCHS = Problem(optsde.losses.LinearRegression([[1.0], [1.0]], [0.0, 1.0]), optsde.noise.Minibatch(reshuffle=True))
REFUSED = [
    (lambda: theory.stationary_cov(optsde.Langevin(DOUBLE_WELL, 1.0)), "not linear"),
    (lambda: theory.stationary_cov(optsde.SGD(2.1).discrete(P1)), "multiplies by 1.1"),
    (lambda: theory.stationary_cov(optsde.SGD(0.1).sde(Problem(Quadratic(-1.0, dim=1), Gaussian(1.0)))), "rate is -1"),
    (lambda: theory.stationary_cov(optsde.SGD(1.0).discrete(GROWING)), "no stationary covariance"),
    (lambda: theory.stationary_cov(optsde.SGD(2.5).sde(GROWING)), "no stationary covariance"),
    (lambda: theory.stationary_cov(optsde.SGD(0.1).sde(STABLE)), "stable_scale"),
    (lambda: theory.stationary_cov(optsde.SGD(0.1).discrete(EPOCHS)), "reshuffled"),
    (lambda: theory.stationary_cov(optsde.Adam(0.1).discrete(P1)), "SGD alone"),
    (lambda: theory.stationary_cov(optsde.Adam(0.1).sde(P1)), "second moment"),
    (lambda: theory.stationary_cov(optsde.SGD(optsde.schedules.Cosine(0.1, 100)).sde(P1)), "constant learning rate"),
    (lambda: theory.stationary_cov(optsde.SGD(0.1, optsde.schedules.Nesterov()).sde(P1)), "dies out"),
    (lambda: theory.transient_moments(optsde.SGD(0.1).discrete(P1), 1.0, 0.25), "expected 0.2 or 0.3"),
    (lambda: theory.transient_moments(optsde.SGD(0.1).discrete(P1), 1.0, []), r"t: expected times .* got \[\]"),
    (lambda: theory.transient_moments(optsde.SGD(0.1).discrete(P1), 1.0, -0.1), "at least 0"),
    (lambda: theory.transient_moments(optsde.SGD(0.1).discrete(P1), [[1.0], [2.0]], 0.1), "2 rows"),
    (lambda: theory.iact(optsde.SGD(0.1).discrete(GROWING), power=2), "not Gaussian"),
    (lambda: theory.iact(optsde.SGD(0.1).discrete(P1), every=0.25), "whole number"),
    (lambda: theory.effective_temperature(
        optsde.SGD(0.1).sde(Problem(Quadratic(TWO_DIM_H), Gaussian([1.0, 2.0])))), "do not commute"),
    (lambda: theory.effective_temperature(optsde.OrnsteinUhlenbeck(1.0, [0.0], 1.0)), "no loss"),
    (lambda: theory.effective_temperature(optsde.SGD(0.1).discrete(Problem(DOUBLE_WELL, Gaussian(1.0)))), "not linear"),
    (lambda: theory.gibbs_restoring_lr(Problem(Quadratic(TWO_DIM_H), Gaussian(TWO_DIM_COV)), 0.1), "independent"),
    (lambda: theory.gibbs_restoring_lr(GROWING, 0.1), "constant noise"),
    (lambda: theory.gibbs_restoring_lr(Problem(Quadratic(1.0, dim=2), Gaussian([1, 0])), 0.1), "positive variances"),
    (lambda: theory.converged_loss_slope(P1, 0.5), "gradient of norm 0.5"),
    (lambda: theory.converged_loss_slope(STABLE, 0.0), "no covariance"),
    (lambda: theory.gibbs_density(Quadratic(-1.0, dim=1), 1.0), "no normalisable density"),
    (lambda: theory.gibbs_density(optsde.losses.MuellerBrown(), 1.0), "no such sum"),
    (lambda: theory.gibbs_density(DOUBLE_WELL, 0.0), "positive"),
    (lambda: theory.stationary_density(optsde.SGD(0.1).flow(P1)), "without noise"),
    (lambda: theory.stationary_density(optsde.Langevin(DOUBLE_WELL, 0.0)), "without noise"),
    (lambda: theory.stationary_density(optsde.SGD(0.1).discrete(GROWING)), "of an algorithm"),
    (lambda: theory.stationary_density(
        optsde.SDE(lambda t, x: 0.1 * x, lambda t, x: 0.5 * x, dim=1, noise="diagonal")), "no normalisable density"),
    (lambda: theory.kramers_time(DOUBLE_WELL, 0.1, -0.9, 0.0), "minimum: expected a point"),
    (lambda: theory.kramers_time(DOUBLE_WELL, 0.1, 0.0, -1.0), "no minimum"),
    (lambda: theory.kramers_time(DOUBLE_WELL, 0.1, -1.0, 1.0), "one negative curvature"),
    (lambda: theory.mean_first_passage_time(Quadratic([1.0, 1.0]), 0.1, 0.0, 1.0), "one parameter"),
    (lambda: theory.stable_scale(optsde.SGD(0.1).sde(P1)), "AlphaStable"),
    (lambda: theory.stable_scale(optsde.SGD(2.5).discrete(STABLE)), "multiplies by 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "reason"), REFUSED)
def test_refusals_name_the_reason(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()


def test_scipy_is_imported_late_and_its_absence_is_explained():
    program = (
        "import sys, optsde\n"
        "assert not any(name.split('.')[0] == 'scipy' for name in sys.modules), 'scipy'\n"
        "sys.modules['scipy'] = None\n"
        "try:\n"
        "    optsde.theory.stationary_cov(optsde.OrnsteinUhlenbeck(1.0, [0.0], 1.0))\n"
        "except ImportError as error:\n"
        "    assert 'pip install optsde[theory]' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_marginals_of_products():
    turned = optsde.theory.stationary_density(optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.1, 2.0]], [0.5, -1.0], 1.0))
    wells = optsde.theory.gibbs_density(optsde.losses.DoubleWell(dim=2), [0.2, 0.5])
    x = np.linspace(-6.0, 6.0, 401)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
    for law in (turned, wells):
        joint = law(grid)
        for coord in range(2):
            alone = law.marginal(coord)
            np.testing.assert_allclose([alone.mean, alone.var], [law.mean[coord], law.var[coord]], atol=1e-9)
            np.testing.assert_allclose(alone(x), np.trapezoid(joint, x, axis=1 - coord), atol=1e-5)
    with pytest.raises(ValueError, match="coord"):
        turned.marginal(2)
