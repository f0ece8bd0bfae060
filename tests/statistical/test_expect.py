"""expect against exact answers: values, measured orders, and how often a run is within its tolerance."""

import math

import numpy as np
import optsde
import pytest
from optsde import losses, noise
from optsde._coupled import Meter
from optsde._keys import key_from
from optsde._levels import Question, Sampler
from optsde._test_functions import TestFunctions
from problems import (
    FALSE_ALARM,
    LINEAR_A,
    LINEAR_B,
    LINEAR_SECOND_MOMENT,
    LINEAR_START,
    ONE_DIM,
    POWER,
    apply,
    assert_agrees,
    ou_moments,
    sgd_moments,
    z_limit,
)
from scipy.stats import binom

# dX = a X dt + b X dW from 1: E X(1)² = exp(2a + b²).
A, B = 0.05, 0.2
GEOMETRIC = optsde.SDE(
    lambda t, x: A * x,
    lambda t, x: B * x,
    dim=1,
    noise="diagonal",
    diffusion_jacobian=lambda t, x: np.full_like(x, B),
)
SECOND = math.exp(2 * A + B * B)
LINEAR = optsde.SDE(
    lambda t, x: apply(LINEAR_A, x), lambda t, x: np.einsum("jik,nk->nij", LINEAR_B, x), dim=2, noise="full", n_wiener=2
)


def square(x):
    return np.square(x[:, 0])


def geometric(**options):
    return optsde.expect(GEOMETRIC, 1.0, square, **({"t1": 1.0, "rng": 1} | options))


def agrees(ex, exact, *, wrong=()):
    """The result is converged and right: its bias is at most what it says."""
    assert ex.status == "converged", ex.reason
    assert_agrees(ex.value, ex.stderr, exact, bias=ex.bias, wrong=wrong)


# Without the correction of levels, or of the bias, the value of the coarsest step or of Euler's would be found.
EULER = (1.0 + A) ** 2 + B * B


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"rtol": 2e-4}, [SECOND * (1.0 - 3e-3)]),
        ({"rtol": 1e-3, "control_variate": None}, [EULER]),
        ({"rtol": 1e-3, "method": "euler_maruyama"}, [EULER]),
        ({"rtol": 5e-4, "method": "euler_maruyama", "extrapolate": True}, [EULER]),
        ({"rtol": 5e-4, "method": "milstein"}, [EULER]),
    ],
    ids=str,
)
def test_geometric_brownian_motion(options, wrong):
    agrees(geometric(**options), SECOND, wrong=wrong)


def test_other_known_answers():
    rate, cov, start = np.array([[1.0, 0.4], [-0.4, 0.5]]), np.diag([0.3, 0.2]), np.array([1.0, -1.0])
    mean, spread = ou_moments(rate, cov, start, 1.0)
    exact = mean[0] ** 2 + spread[0, 0]
    process = optsde.OrnsteinUhlenbeck(rate, 0.0, cov)
    for method in (None, "heun"):
        ex = optsde.expect(process, start, square, t1=1.0, rtol=4e-3, rng=2, method=method)
        agrees(ex, exact, wrong=[1.03 * exact, 0.97 * exact])
    for method in ("platen", "euler_maruyama"):
        ex = optsde.expect(LINEAR, LINEAR_START, square, t1=1.0, rtol=0.01, rng=3, method=method)
        exact = LINEAR_SECOND_MOMENT[0, 0]
        agrees(ex, exact, wrong=[1.06 * exact, 0.94 * exact])


def test_algorithm_without_and_with_its_twin():
    h, s, lr = ONE_DIM["h"], ONE_DIM["s"], ONE_DIM["lr"]
    problem = optsde.Problem(losses.Quadratic(h, dim=1), noise.Gaussian(s * s))
    mean, cov = sgd_moments(h, s * s, lr, ONE_DIM["x0"], ONE_DIM["steps"])
    exact = mean[0] ** 2 + cov[0, 0]
    plain, twin = (
        optsde.expect(optsde.SGD(lr).discrete(problem), 1.0, square, t1=1.0, rtol=2e-3, rng=4, control_variate=control)
        for control in (None, "gaussian_twin")
    )
    assert plain.bias == twin.bias == 0.0
    agrees(plain, exact, wrong=[1.01 * exact])
    # The twin of a linear problem is the problem: nothing is left to chance.
    np.testing.assert_allclose(twin.value, exact, rtol=1e-9)


def test_measured_orders():
    """The exact corrections of Euler's steps give local orders within 0.1 of 1 on these steps, 0.9 on the first two."""
    euler = geometric(method="euler_maruyama", control_variate=None, rtol=1e-3)
    assert abs(euler.alpha - 1.0) < 0.3 and abs(euler.beta - 1.0) < 0.15
    assert euler.alpha_interval[0] < 1.1 and euler.alpha_interval[1] > 0.9
    milstein = geometric(method="milstein", rtol=5e-4)
    assert abs(milstein.alpha - 1.0) < 0.2 and abs(milstein.beta - 2.0) < 0.4
    # Of full noise Platen's scheme is of strong order 1/2.
    platen = optsde.expect(LINEAR, LINEAR_START, square, t1=1.0, rtol=0.01, rng=5, dt=0.25)
    assert abs(platen.beta - 1.0) < 0.5


def share_outside(runs, **options):
    results = [geometric(rng=100 + k, threads=1, **options) for k in range(runs)]
    assert all(ex.status == "converged" for ex in results)
    return sum(abs(ex.value - SECOND) > ex.tolerance for ex in results)


@pytest.mark.parametrize(
    "options",
    [
        {"rtol": 8e-3, "control_variate": None},
        {"rtol": 8e-3, "control_variate": None, "method": "euler_maruyama"},
        {"rtol": 8e-3, "control_variate": None, "method": "euler_maruyama", "extrapolate": True},
    ],
    ids=str,
)
def test_within_the_tolerance_in_19_of_20_runs(options):
    """With 5 % outside, more than the bound has probability at most 1e-6; with a quarter of the paths some 30 % are."""
    runs = 150
    assert share_outside(runs, **options) <= binom.isf(FALSE_ALARM, runs, 0.05)


def test_errors_are_not_larger_than_needed():
    """Standard errors are those of repeated runs: the spread of values over them is 1, to the chi-square's 1e-6."""
    runs = 150
    results = [geometric(rng=300 + k, threads=1, rtol=8e-3, control_variate=None) for k in range(runs)]
    z = np.array([(ex.value - SECOND) / ex.stderr for ex in results])
    spread = np.mean(z**2)
    limit = z_limit(1) * math.sqrt(2.0 / runs)
    assert 1.0 - limit < spread < 1.0 + limit + 0.1  # a bias of a third of the standard error, which it may have


def test_twin_has_the_moments_that_it_says():
    """On every grid the control variates have mean 0, which all answers with them rest on."""
    for dynamics, start, d in ((GEOMETRIC, 1.0, 1), (LINEAR, LINEAR_START, 2)):
        functions = TestFunctions({"f": lambda s: s["theta"][:, 0]}, {"x": dynamics}, "x")
        question = Question(dynamics, start, functions, 0.0, 1.0, None, "platen", "gaussian_twin", False, 1)
        sampler = Sampler(question, key_from(6), Meter(False))
        for steps in (1, 3, 8):
            c = sampler.controls(sampler.key, steps, 0, 40_000)
            assert len(c) == d + d * (d + 1) // 2
            error = c.std(axis=1) / 200.0
            assert_agrees(c.mean(axis=1), error, 0.0, wrong=[(z_limit(len(c)) + POWER + 6.0) * error])
            values, _, _ = sampler.values(sampler.key, steps, 1, 0, 40_000)
            assert np.corrcoef(values, c[0])[0, 1] > 0.3  # the same Wiener path


def test_twin_divides_the_variance():
    with_twin, without = geometric(rtol=1e-3), geometric(rtol=1e-3, control_variate=None)
    assert with_twin.levels[0].gain > 100.0
    assert without.levels[0].variance > 100.0 * with_twin.levels[0].variance
    assert without.path_steps > 10 * with_twin.path_steps


def test_random_starts():
    """E X(1)² of the geometric motion from a normal start is that from 1 times E X(0)²."""
    law = optsde.initial.Gaussian(1.0, 0.25)
    ex = optsde.expect(GEOMETRIC, law, square, t1=1.0, rtol=5e-3, rng=8)
    agrees(ex, 1.25 * SECOND, wrong=[SECOND])


def test_antithetic_pairs():
    pairs = geometric(rtol=1e-3, control_variate=None, antithetic=True)
    agrees(pairs, SECOND, wrong=[EULER])
    plain = geometric(rtol=1e-3, control_variate=None)
    # The mean of a pair has no odd part: 0.1735 to about 0.0135 of the mean's square.
    assert plain.levels[0].variance > 10.0 * pairs.levels[0].variance
    assert plain.path_steps > 4 * pairs.path_steps
    agrees(geometric(rtol=2e-4, antithetic=True), SECOND)
