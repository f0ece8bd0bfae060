"""Orders without noise: exact moments of the schemes by the laws of their steps, against those of the equations."""

import numpy as np
import optsde
import pytest
from problems import LINEAR_A, LINEAR_EULER_ERROR, LINEAR_PLATEN_ERROR, LINEAR_SECOND_MOMENT, LINEAR_START
from scipy.linalg import expm
from step_laws import EQUATIONS, START, generator, moment_error, second_moments, stationary_error, takes_three_points

STEPS = (4, 8, 16, 32)
FINE = (32, 64, 128)
# Largest error of the second moment of the "full" equation, spec 09.
PUBLISHED = {
    "euler_maruyama": LINEAR_EULER_ERROR,
    "platen": LINEAR_PLATEN_ERROR,
    "dri1": (0.00160935, 0.00039348, 0.00009686, 0.000024),
}
PAIRS = [
    (method, name)
    for name in EQUATIONS
    for method in optsde.methods()
    if takes_three_points(method, name.split(",")[0])
]


def test_the_exact_moment():
    moment = (expm(generator("full")) @ START).reshape(3, 3)[:2, :2]
    np.testing.assert_allclose(moment, LINEAR_SECOND_MOMENT, atol=1e-8)


@pytest.mark.parametrize("method", PUBLISHED)
def test_second_moments_have_the_published_errors(method):
    np.testing.assert_allclose([moment_error(method, "full", n) for n in STEPS], PUBLISHED[method], atol=1.1e-8)


@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_weak_order(method, name):
    errors = [moment_error(method, name, n) for n in FINE]
    order = np.log2(errors[-2] / errors[-1])
    assert abs(order - optsde.methods()[method].weak) < 0.1, errors


@pytest.mark.parametrize(("method", "name"), [pair for pair in PAIRS if pair[1] != "full"])
def test_stationary_order(method, name):
    errors = [stationary_error(method, name, n) for n in FINE]
    order = np.log2(errors[-2] / errors[-1])
    assert abs(order - optsde.methods()[method].stationary) < 0.2, errors


def test_means_of_dri1_are_of_order_three():
    exact = expm(LINEAR_A) @ LINEAR_START

    def error(n):
        moment = np.linalg.matrix_power(second_moments("dri1", "full", 1.0 / n), n) @ START
        return np.abs(moment.reshape(3, 3)[:2, 2] - exact).max()

    errors = np.array([error(n) for n in STEPS])
    np.testing.assert_allclose(errors[:-1] / errors[1:], (8.8, 8.4, 8.2), atol=0.1)
