"""weak_order: slopes of models whose order is known, and a plain no where the noise hides it."""

import importlib

import numpy as np
import optsde
import pytest
from optsde._slope import fitted_slope
from problems import MULTIPLICATIVE, assert_agrees, assert_rejected, ou_moments, sgd_moments

# The function hides its module's name.
module = importlib.import_module("optsde.weak_order")
AFFINE = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
LINEAR = optsde.Problem(optsde.losses.Quadratic(2.0, dim=1), optsde.noise.Gaussian(2.25))
WELL = optsde.Problem(optsde.losses.DoubleWell(height=0.25, dim=2), optsde.noise.Gaussian([[1.0, 0.3], [0.3, 0.5]]))
ETAS = [0.1, 0.05, 0.025, 0.0125]


def first_order(problem):
    return lambda eta: (optsde.SGD(eta).discrete(problem), optsde.SGD(eta).sde(problem))


def second_order(eta):
    """SME2 of the affine problem, by callbacks."""
    equation = optsde.SDE(
        lambda t, x: -(1.0 + eta / 2.0) * x,
        lambda t, x: -np.sqrt(eta * (0.25 + x * x)),
        dim=1,
        noise="diagonal",
    )
    return optsde.SGD(eta).discrete(AFFINE), equation


def exact_slope(errors):
    return np.polyfit(np.log(ETAS[: len(errors)]), np.log(errors), 1)[0]


def test_first_order_on_oracle_c():
    wo = optsde.weak_order(first_order(AFFINE), 1.0, ETAS, t1=1.0, test_functions="theta2", rng=1)
    exact = np.array([row[2] - row[1] for row in MULTIPLICATIVE])
    assert_agrees(wo.differences[:, 0], wo.stderr[:, 0], exact)
    assert_rejected(wo.differences[:, 0], wo.stderr[:, 0], -exact)
    assert wo.errors.shape == (4, 1)
    assert wo.resolved
    assert isinstance(wo.slope, float)
    assert abs(wo.slope - exact_slope(exact)) < 0.03
    assert wo.interval[0] < 1.0 < wo.interval[1]
    assert wo.interval[1] < 1.5
    assert "slope" in repr(wo)


def test_second_order_on_oracle_c():
    wo = optsde.weak_order(second_order, 1.0, ETAS[:3], t1=1.0, test_functions="theta2", rng=2)
    exact = np.array([row[3] - row[1] for row in MULTIPLICATIVE[:3]])
    assert_agrees(wo.differences[:, 0], wo.stderr[:, 0], exact)
    assert wo.resolved
    assert wo.interval[0] < 2.0 < wo.interval[1]
    assert wo.interval[0] > 1.5


def test_linear_problem():
    """The mean is of order 1; the second moment's error is about to change its sign, and that is said (oracle A)."""
    wo = optsde.weak_order(first_order(LINEAR), 1.0, ETAS, t1=1.0, test_functions=("theta", "theta2"), rng=3)
    for k, eta in enumerate(ETAS):
        m, v = (float(a.squeeze()) for a in sgd_moments(2.0, 2.25, eta, 1.0, round(1.0 / eta)))
        mean, var = (float(a.squeeze()) for a in ou_moments(2.0, eta * 2.25, 1.0, 1.0))
        assert_agrees(wo.differences[k], wo.stderr[k], [mean - m, mean**2 + var - m**2 - v])
    assert wo.fits["theta"].resolved
    assert wo.fits["theta"].slope == pytest.approx(1.0, abs=0.05)
    assert not wo.fits["theta2"].resolved
    assert not wo.resolved
    assert "grows" in wo.reason
    assert wo.slope.shape == (2,)
    assert np.isnan(wo.slope[1])
    assert wo.interval.shape == (2, 2)


def test_second_order_of_the_optimizer_on_a_double_well():
    opt = optsde.SGD(0.1)
    one = optsde.weak_order(opt.family(WELL, order=1), [0.5, -0.7], ETAS[:3], t1=1.0, test_functions="theta2", rng=4)
    two = optsde.weak_order(opt.family(WELL, order=2), [0.5, -0.7], ETAS[:3], t1=1.0, test_functions="theta2", rng=4)
    assert one.resolved
    assert two.resolved
    assert one.slope == pytest.approx(1.0, abs=0.1)
    assert two.slope == pytest.approx(2.0, abs=0.25)
    assert (two.errors < one.errors).all()


def test_gradient_flow_passes_as_order_one_and_its_second_order_as_two():
    quartic = optsde.losses.Quartic(1.0, 0.0)
    quiet = optsde.Problem(quartic, optsde.noise.Zero())

    def family(order):
        return lambda eta: (optsde.SGD(eta).discrete(quiet), optsde.SGD(eta).flow(quiet, order=order))

    # Oracle E: gradient descent and flow of x⁴/4, from 1 to t = 1.
    one = optsde.weak_order(family(1), 1.0, ETAS, t1=1.0, rng=5)
    two = optsde.weak_order(family(2), 1.0, ETAS, t1=1.0, rng=5)
    np.testing.assert_allclose(one.differences[[0, 3], 0], [0.577350269190 - 0.560443663853,
                                                            0.577350269190 - 0.575353240468], rtol=1e-8)  # fmt: skip
    np.testing.assert_allclose(two.differences[[0, 3], 0], [0.562676585214 - 0.560443663853,
                                                            0.575388245382 - 0.575353240468], rtol=1e-6)  # fmt: skip
    np.testing.assert_array_equal(one.stderr, 0.0)
    assert one.slope == pytest.approx(1.0, abs=0.05)
    assert two.slope == pytest.approx(2.0, abs=0.05)
    # With noise too: order 1 does not show that the noise is right.
    noisy = optsde.weak_order(
        lambda eta: (optsde.SGD(eta).discrete(AFFINE), optsde.SGD(eta).flow(AFFINE)), 1.0, ETAS, t1=1.0, rng=5
    )
    assert noisy.interval[0] < 1.0 < noisy.interval[1]


def test_wrong_noise_has_no_order_where_noise_is_of_order_one():
    """Σ = Σ₀/η: the equation with half of the noise does not come nearer."""

    def family(share):
        def member(eta):
            problems = [
                optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(part / eta))
                for part in (1.0, share)
            ]
            return optsde.SGD(eta).discrete(problems[0]), optsde.SGD(eta).sde(problems[1])

        return member

    right = optsde.weak_order(family(1.0), 0.5, ETAS[:3], t1=1.0, test_functions="theta2", rng=6)
    wrong = optsde.weak_order(family(0.5), 0.5, ETAS[:3], t1=1.0, test_functions="theta2", rng=6)
    assert right.slope == pytest.approx(1.0, abs=0.2)
    assert not wrong.resolved or wrong.slope < 0.3


def test_momentum_is_of_order_one_in_the_square_root_of_the_rate():
    opt = optsde.SGD(0.04, momentum=0.6)
    wo = optsde.weak_order(
        opt.family(WELL), [0.5, -0.7], [0.04, 0.01, 0.0025], t1=1.0, test_functions=("theta", "v"), rng=7
    )
    np.testing.assert_allclose(wo.time_per_step, [0.2, 0.1, 0.05])
    assert wo.fits["theta"].slope == pytest.approx(1.0, abs=0.15)


def test_later_start():
    """From t0 on: E x² of the equation from that of the algorithm there."""
    wo = optsde.weak_order(first_order(AFFINE), 1.0, ETAS[:2], t0=0.5, t1=1.0, test_functions="theta2", rng=8)
    for k, eta in enumerate(ETAS[:2]):
        moments = [1.0]
        for _ in range(round(1.0 / eta)):
            moments.append(((1 - eta) ** 2 + eta**2) * moments[-1] + eta**2 * 0.25)
        middle, end = moments[round(0.5 / eta)], moments[-1]
        rate = 2.0 - eta
        model = middle * np.exp(-rate * 0.5) + eta * 0.25 * (1 - np.exp(-rate * 0.5)) / rate
        assert_agrees(wo.differences[k], wo.stderr[k], [model - end])
    assert wo.t0 == 0.5


def test_noise_that_hides_the_error_is_said():
    # By symmetry there is no error in the mean.
    wo = optsde.weak_order(first_order(WELL), [0.0, 0.0], ETAS[:3], t1=0.5, rng=9, max_paths=30_000)
    assert not wo.resolved
    assert "noise hides" in wo.reason
    assert np.isnan(wo.slope)
    assert np.isnan(wo.interval).all()
    assert "not resolved" in repr(wo)
    assert "slope" not in repr(wo)
    assert (wo.n_paths == 30_000).all()


def noisy_at(loud):
    """The linear problem's equation, with so much noise at some rates that the error of the mean is hidden."""

    def family(eta):
        sgd = optsde.SGD(eta)
        model = optsde.OrnsteinUhlenbeck(2.0, 0.0, 25.0, dim=1) if eta in loud else sgd.sde(LINEAR)
        return sgd.discrete(LINEAR), model

    return family


def test_slope_over_the_rates_that_noise_leaves():
    options = {"t1": 0.5, "rng": 12, "n_paths": 4000, "control_variates": False}
    wo = optsde.weak_order(noisy_at([0.0125]), 1.0, ETAS, **options)
    assert not wo.resolved
    (fit,) = wo.fits.values()
    assert fit.left_out == (0.0125,)
    assert "noise hides the error at eta = 0.0125 " in wo.reason and "the other 3 rates" in wo.reason
    # (1 - 2 s)^(t/s) - exp(-2 t) over the three rates.
    exact = exact_slope([abs((1 - 2 * s) ** round(0.5 / s) - np.exp(-1.0)) for s in ETAS[:3]])
    assert wo.interval[0] < exact < wo.interval[1]
    assert wo.slope == pytest.approx(exact, abs=0.15)
    alone = fitted_slope(wo.time_per_step[:3], wo.errors[:3, 0], np.hypot(wo.stderr, wo.integrator_error)[:3, 0])
    assert (wo.slope, *wo.interval) == (alone.value, alone.low, alone.high)
    text = repr(wo)
    assert "not resolved: the noise hides" in text and f"slope {wo.slope:.3f}" in text
    assert [line.split()[0] for line in wo.table().splitlines() if "(left out)" in line] == ["0.0125"]
    assert "(left out)" in wo._repr_html_()


def test_two_rates_that_noise_leaves_make_no_slope():
    options = {"t1": 0.5, "rng": 13, "n_paths": 4000, "control_variates": False}
    wo = optsde.weak_order(noisy_at([0.0125, 0.025]), 1.0, ETAS, **options)
    assert not wo.resolved and "eta = 0.025, 0.0125 " in wo.reason
    assert np.isnan(wo.slope) and np.isnan(wo.interval).all()
    assert "slope" not in repr(wo) and "(left out)" not in repr(wo)
    assert wo.fits["theta"].left_out == ()


ZEROS = np.zeros(4)
LEFT = [
    # Differences and standard errors at rates that halve; what is left out, and what the sentence has.
    ([8.0, 4.0, 2.0, 0.1], [0.01, 0.01, 0.01, 0.1], (0.0125,), "the other 3 rates"),
    ([1.0, 4.0, 2.0, 1.0], [5.0, 0.01, 0.01, 0.01], (0.1,), "the other 3 rates"),
    ([8.0, -4.0, 2.0, 0.1], [0.01, 0.01, 0.01, 0.1], (), "sign changes"),
    # Hidden, and yet less than the error at half the rate.
    ([8.0, 0.1, 4.0, 2.0], [0.01, 0.1, 0.01, 0.01], (), "grows from eta = 0.05 to 0.025"),
    ([8.0, 4.0, 0.1, 0.1], [0.01, 0.01, 0.1, 0.1], (), "noise hides the error at eta = 0.025, 0.0125 "),
]


@pytest.mark.parametrize(("difference", "stderr", "left_out", "says"), LEFT)
def test_what_noise_leaves_must_be_in_order(difference, stderr, left_out, says):
    fit = module._fit(np.array(ETAS), np.array(ETAS), np.array(difference), np.array(stderr), ZEROS, ZEROS)
    assert not fit.resolved and fit.left_out == left_out and says in fit.reason
    assert np.isnan(fit.slope) == (not left_out)
    if left_out:
        assert fit.slope == pytest.approx(1.0, abs=0.01)
    # The integrator's error counts at the rates that are left, and not at those left out.
    rough = np.where(np.isin(ETAS, left_out or ETAS), 10.0, 0.0)
    with_bias = module._fit(np.array(ETAS), np.array(ETAS), np.array(difference), np.array(stderr), rough, ZEROS)
    assert with_bias.left_out == left_out


def test_a_model_that_is_the_algorithm_has_no_slope():
    wo = optsde.weak_order(
        lambda eta: (optsde.SGD(eta).discrete(AFFINE), optsde.SGD(eta).discrete(AFFINE)), 1.0, ETAS[:2], t1=0.5, rng=10
    )
    np.testing.assert_array_equal(wo.errors, 0.0)
    assert not wo.resolved


def test_sign_change_is_said():
    def family(eta):
        """A model whose mean is off by (η - 0.04) of its start."""
        sgd = optsde.SGD(eta).discrete(LINEAR)
        shift = optsde.OrnsteinUhlenbeck(2.0, (eta - 0.04), 1e-6, dim=1)
        return sgd, shift

    wo = optsde.weak_order(family, 0.0, ETAS[:3], t1=1.0, rng=11)
    assert not wo.resolved
    assert "sign" in wo.reason


def test_functions_without_a_value_are_said_to_have_none():
    def family(eta):
        return optsde.SGD(eta).discrete(AFFINE), optsde.SGD(eta).sde(AFFINE)

    nowhere = {"f": lambda state: np.full(len(state["theta"]), np.nan)}
    with pytest.warns(optsde.DivergenceWarning, match=r"^2,000 of 2,000 paths, or a test function of them, became"):
        wo = optsde.weak_order(family, 1.0, ETAS[:2], t1=0.5, n_paths=1000, rng=12, test_functions=nowhere)
    assert not wo.resolved
    assert wo.fits["f"].reason.startswith("no path is left at eta = 0.1, 0.05")
