"""Stationary laws: Student's t of state-dependent noise, Gibbs in the double well, two temperatures."""

import numpy as np
import optsde
import pytest
from problems import (
    affine_recursion,
    assert_agrees,
    assert_rejected,
    chi_square_of,
    mean_and_error,
    simpson_expectation,
)
from scipy.stats import norm
from scipy.stats import t as student


def powers(final):
    """Second and fourth powers of the first coordinate, (n, 2)."""
    x2 = final[:, 0] ** 2
    return np.stack([x2, x2**2], axis=1)


POWERS = [
    optsde.Expectation(lambda x: x[:, 0] ** 2, "x2"),
    optsde.Expectation(lambda x: x[:, 0] ** 4, "x4"),
]


def powers_of(ens):
    """Estimates of E x² and E x⁴ and their standard errors."""
    results = [ens.expectations[name] for name in ("x2", "x4")]
    return np.array([r.mean[0] for r in results]), np.array([r.stderr[0] for r in results])


STUDENT_MOMENTS = np.array([0.0131578947, 0.0005804954])


def student_problem():
    return optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))


@pytest.mark.parametrize("method", ["euler_maruyama", "milstein"])
def test_state_dependent_noise_follows_the_schemes_recursion(method):
    lr, dt, t1 = 0.1, 0.025, 6.0
    ens = optsde.simulate(
        optsde.SGD(lr).sde(student_problem()),
        0.0,
        t1=t1,
        dt=dt,
        method=method,
        n_paths=1_000_000,
        rng=41,
        observe=POWERS,
    )

    def recursion(base, slope):
        m = affine_recursion(1.0, base, slope, dt, round(t1 / dt), 0.0, milstein=method == "milstein")
        return np.array(m)

    exact = recursion(lr / 4, lr)
    np.testing.assert_allclose(exact, STUDENT_MOMENTS, rtol=0.05)
    wrong = [recursion(lr / 4, 0.0), recursion(lr / 2, 2 * lr), recursion(lr / 4, lr / 2), recursion(lr / 8, lr / 2)]
    assert_agrees(*powers_of(ens), exact, wrong=wrong)


def test_state_dependent_noise_algorithm():
    ens = optsde.simulate(
        optsde.SGD(0.1).discrete(student_problem()), 0.0, steps=150, n_paths=1_000_000, rng=42, observe=POWERS
    )
    exact = affine_recursion(1.0, 0.025, 0.1, 0.1, 150, 0.0)
    assert exact[0] == pytest.approx(0.0138888889, rel=1e-6)
    assert_agrees(*powers_of(ens), exact, wrong=[STUDENT_MOMENTS])


@pytest.mark.parametrize("method", ["euler_maruyama", "milstein"])
def test_student_moments_without_the_schemes_error(method):
    # Extrapolated on one Wiener path; the remainder is known from the recursions.
    lr, dt, t1 = 0.1, 0.05, 8.0
    samples, recursions = [], []
    for k in (1, 2):
        ens = optsde.simulate(
            optsde.SGD(lr).sde(student_problem()),
            0.0,
            t1=t1,
            dt=dt / k,
            wiener_dt=dt / 2,
            method=method,
            n_paths=1_000_000,
            rng=43,
            observe=optsde.Final(),
        )
        samples.append(powers(ens.final))
        m = affine_recursion(1.0, lr / 4, lr, dt / k, round(k * t1 / dt), 0.0, milstein=method == "milstein")
        recursions.append(np.array(m))
    estimate, stderr = mean_and_error(2 * samples[1] - samples[0])
    bias = np.abs(2 * recursions[1] - recursions[0] - STUDENT_MOMENTS)
    assert (bias < stderr).all()
    gaussian = np.array([0.0125, 3 * 0.0125**2])
    stratonovich = np.array([1.0, 3.0]) * STUDENT_MOMENTS * 0.9
    assert_agrees(estimate, stderr, STUDENT_MOMENTS, bias=bias, wrong=[gaussian, stratonovich])


def test_student_density():
    # Small steps, so that the scheme's error is below the counting error: relative error of the variance 6e-4.
    lr, dt, n = 0.1, 0.00125, 100_000
    ens = optsde.simulate(
        optsde.SGD(lr).sde(student_problem()),
        0.0,
        t1=5.0,
        dt=dt,
        method="milstein",
        n_paths=n,
        rng=44,
        observe=optsde.Histogram(24, (-0.48, 0.48), coords=0),
    )
    law = student(21.0, scale=np.sqrt(0.0119047619))

    def z(cdf):
        p = np.diff(cdf(ens.histogram.edges))
        return (ens.histogram.counts[0] - n * p) / np.sqrt(n * p * (1 - p))

    assert chi_square_of(z(law.cdf)) > 1e-6
    # The Gaussian of that variance, and the law that the Stratonovich reading would have.
    assert chi_square_of(z(norm(scale=law.std()).cdf)) < 1e-9
    assert chi_square_of(z(student(20.0, scale=np.sqrt(0.0125)).cdf)) < 1e-9


GIBBS = {0.2: (0.8308953527, 1.0308953527), 0.1: (0.8713629080, 0.9713629080), 0.05: (0.9368339404, 0.9868339404)}


@pytest.mark.parametrize("temperature", GIBBS)
def test_double_well_gibbs_moments(temperature):
    exact = np.array(GIBBS[temperature])
    loss = optsde.losses.Quartic(a=1.0, b=-1.0)

    def gibbs(t):
        def density(x):
            return np.exp(-(x**4 / 4 - x**2 / 2 + 0.25) / t)

        return np.array([simpson_expectation(lambda x, k=k: x**k, density, -4.0, 4.0) for k in (2, 4)])

    np.testing.assert_allclose(gibbs(temperature), exact, atol=1e-9)
    # Extrapolated on one Wiener path from dt = .02 and .01; even moments relax with a rate above 1. The remainder,
    # of order dt², is below 1.5e-4: halving dt on 4 million coupled paths moved the result by (-6 ± 4)e-5 at most.
    samples = []
    for dt in (0.02, 0.01):
        ens = optsde.simulate(
            optsde.Langevin(loss, temperature),
            optsde.initial.Uniform(-1.5, 1.5),
            t1=12.0,
            dt=dt,
            wiener_dt=0.01,
            n_paths=300_000,
            rng=45,
            observe=optsde.Final(),
        )
        samples.append(powers(ens.final))
    estimate, stderr = mean_and_error(2 * samples[1] - samples[0])
    # Noise with a factor sqrt(2) is another temperature; so is one without the 2 of sqrt(2 T).
    wrong = [gibbs(2 * temperature), gibbs(temperature / 2), gibbs(0.75 * temperature)]
    assert_agrees(estimate, stderr, exact, bias=2e-4, wrong=wrong)
    # The identity E x⁴ = E x² + T, and symmetry.
    difference, error = mean_and_error(np.diff(2 * samples[1] - samples[0], axis=1))
    assert_agrees(difference, error, temperature, bias=2e-4, wrong=[2 * temperature])
    assert_agrees(*mean_and_error(ens.final), 0.0)


H, S, LR = np.array([1.0, 3.0]), np.array([2.0, 0.5]), 0.02


def two_temperatures():
    return optsde.Problem(optsde.losses.Quadratic(H), optsde.noise.Gaussian(S**2))


SDE_VAR, DISCRETE_VAR = np.array([0.04, 0.000833333333]), np.array([0.0404040404, 0.0008591065])


def test_two_temperatures_of_the_equation():
    # One exact step over 40 relaxation times.
    ens = optsde.simulate(
        optsde.SGD(LR).sde(two_temperatures()),
        [3.0, -1.0],
        t1=40.0,
        dt=40.0,
        method="ornstein_uhlenbeck",
        n_paths=4_000_000,
        rng=46,
        observe=[optsde.Moments(), optsde.Loss()],
    )
    one_temperature = LR * np.mean(S**2) / 2 / H
    assert_agrees(ens.mean[0], ens.mean_stderr[0], 0.0)
    assert_agrees(ens.var[0], ens.var_stderr[0], SDE_VAR, wrong=[one_temperature, SDE_VAR[::-1], 2 * SDE_VAR])
    assert_rejected(ens.var[0], ens.var_stderr[0], DISCRETE_VAR)
    # Equipartition by direction: E L = (T_x + T_y)/2.
    assert_agrees(ens.loss_mean, ens.loss_stderr, (0.04 + 0.0025) / 2, wrong=[0.04, 0.0425, 0.0025])


def test_two_temperatures_of_the_algorithm():
    start = optsde.initial.Gaussian(0.0, DISCRETE_VAR)
    ens = optsde.simulate(optsde.SGD(LR).discrete(two_temperatures()), start, steps=300, n_paths=1_000_000, rng=47)
    assert_agrees(ens.var[0], ens.var_stderr[0], DISCRETE_VAR, bias=1e-9, wrong=[SDE_VAR])
    from_optimum = optsde.simulate(
        optsde.SGD(LR).discrete(two_temperatures()), [0.0, 0.0], steps=600, n_paths=500_000, rng=48
    )
    assert_agrees(from_optimum.var[0], from_optimum.var_stderr[0], DISCRETE_VAR, bias=1e-9)


def test_constant_alpha_of_the_gibbs_form_is_one_half():
    # Var = alpha lr s²/h on a quadratic loss, with alpha = 1/(2 - lr h): never the 1/10 of some lecture slides.
    for lr, alpha in ((0.2, 0.625), (0.1, 0.5555556), (0.05, 0.5263158)):
        problem = optsde.Problem(optsde.losses.Quadratic(2.0, dim=1), optsde.noise.Gaussian(2.25))
        ens = optsde.simulate(optsde.SGD(lr).discrete(problem), 0.0, steps=round(12 / lr), n_paths=1_000_000, rng=49)
        scale = lr * 2.25 / 2.0
        assert_agrees(ens.var / scale, ens.var_stderr / scale, alpha, bias=1e-7, wrong=[0.5, 0.1, 1.0])
