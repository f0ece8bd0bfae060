"""Time averages, autocovariances and antithetic pairs against exact laws, and their errors against repeated runs."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees
from scipy.stats import chi2

BOWL = optsde.Problem(optsde.losses.Quadratic([1.0]), optsde.noise.Gaussian(1.0))


def test_stationary_moments_of_sgd():
    """Var = lr² σ² / (1 - r²) with r = 1 - lr (spec 07); the equation's lr σ²/2 is another."""
    sgd = optsde.SGD(0.1).discrete(BOWL)
    observe = optsde.Moments(average_from=100.0 * sgd.time_per_step)
    ens = optsde.simulate(sgd, 0.0, n_paths=2000, steps=2100, rng=7, observe=observe)
    assert_agrees(ens.mean, ens.mean_stderr, 0.0)
    assert_agrees(ens.var, ens.var_stderr, 0.01 / (1.0 - 0.81), wrong=[0.05])


def test_autocorrelation_of_sgd():
    """r^k of a step, and (1 + r)/(1 - r) = 19 steps of autocorrelation time."""
    sgd = optsde.SGD(0.1).discrete(BOWL)
    observe = optsde.Autocovariance(150, average_from=100.0 * sgd.time_per_step)
    result = optsde.simulate(sgd, 0.0, n_paths=2000, steps=2100, rng=7, observe=observe)["autocovariance"]
    k = np.array([0, 1, 2, 5, 10, 20, 40])
    exact = 0.9**k
    variance = 0.01 / (1.0 - 0.81)
    assert_agrees(
        result.autocovariance[k, 0],
        result.autocovariance_stderr[k, 0],
        variance * exact,
        wrong=[0.05 * exact, variance * 0.9 * exact],
    )
    assert_agrees(result.autocorrelation[k[1:], 0], result.autocorrelation_stderr[k[1:], 0], exact[1:])
    assert result.autocorrelation[0] == 1.0
    # The window leaves out exp(-5) of the sum.
    assert result.iact[0] == pytest.approx(19.0, rel=0.02)


def test_short_paths_have_no_bias():
    """Over two relaxation times a mean of each path would lose half of the variance."""
    ou = optsde.OrnsteinUhlenbeck(1.0, 2.0, 2.0, dim=1)
    observe = [optsde.Moments(average_from=0.0), optsde.Autocovariance([0, 5, 10])]
    start = optsde.initial.Gaussian(2.0, 1.0)
    options = {"method": "ornstein_uhlenbeck", "t1": 2.0, "dt": 0.1, "rng": 7, "n_paths": 50_000, "observe": observe}
    ens = optsde.simulate(ou, start, **options)
    assert_agrees(ens.mean, ens.mean_stderr, 2.0)
    assert_agrees(ens.var, ens.var_stderr, 1.0, wrong=[0.95])
    result, exact = ens["autocovariance"], np.exp([0.0, -0.5, -1.0])
    assert_agrees(result.autocovariance[:, 0], result.autocovariance_stderr[:, 0], exact, wrong=[exact - 0.05])


def calibrated(estimates, stderrs, exact):
    """Whether z-scores of independent runs have variance 1: a chi-square test with false alarm 1e-6."""
    z = (np.array(estimates) - exact) / np.array(stderrs)
    low, high = chi2.ppf([5e-7, 1.0 - 5e-7], len(z))
    assert low < (z**2).sum() < high


@pytest.mark.parametrize("antithetic", [False, True])
def test_errors_are_those_of_repeated_runs(antithetic):
    """OU from its mean: the mean of a pair is exact, so what is tested are variances, whose pairs have one value."""
    ou = optsde.OrnsteinUhlenbeck(1.0, 2.0, 2.0, dim=1)
    start = optsde.initial.Gaussian(2.0, 1.0)
    options = {"method": "ornstein_uhlenbeck", "t1": 8.0, "dt": 0.2, "antithetic": antithetic, "n_paths": 400}
    observe = [
        optsde.Moments(average_from=2.0),
        optsde.Moments(name="end"),
        optsde.Autocovariance([0, 5], average_from=2.0),
        optsde.Expectation(lambda x: x[:, 0] ** 3, "cube"),
    ]
    runs = [optsde.simulate(ou, start, rng=seed, observe=observe, **options) for seed in range(200)]
    calibrated([r.mean[0, 0] for r in runs], [r.mean_stderr[0, 0] for r in runs], 2.0)
    calibrated([r.var[0, 0] for r in runs], [r.var_stderr[0, 0] for r in runs], 1.0)
    calibrated([r["end"].var[0, 0] for r in runs], [r["end"].var_stderr[0, 0] for r in runs], 1.0)
    lagged = [r["autocovariance"] for r in runs]
    calibrated([r.autocovariance[1, 0] for r in lagged], [r.autocovariance_stderr[1, 0] for r in lagged], np.exp(-1.0))
    calibrated(
        [r.autocorrelation[1, 0] for r in lagged], [r.autocorrelation_stderr[1, 0] for r in lagged], np.exp(-1.0)
    )
    cubes = [r.expectations["cube"] for r in runs]
    calibrated([c.mean[0] for c in cubes], [c.stderr[0] for c in cubes], 2.0**3 + 3.0 * 2.0)


def test_pairs_estimate_means_with_less_error():
    """Geometric Brownian motion: e^Z and e^-Z have correlation -exp(-s²), s² the variance of Z."""
    equation = optsde.SDE(lambda t, x: 0.05 * x, lambda t, x: 0.4 * x, dim=1, noise="diagonal")
    options = {"n_paths": 20_000, "t1": 1.0, "dt": 0.02, "rng": 7}
    plain, pairs = (optsde.simulate(equation, 1.0, antithetic=a, **options) for a in (False, True))
    exact = (1.0 + 0.05 * 0.02) ** 50
    assert_agrees(pairs.mean, pairs.mean_stderr, exact, wrong=[exact - 0.02])
    # The variance of a pair's mean over that of two paths is 1 + correlation.
    ratio = (pairs.mean_stderr / plain.mean_stderr) ** 2
    assert ratio[0, 0] == pytest.approx(1.0 - np.exp(-0.16), rel=0.15)
