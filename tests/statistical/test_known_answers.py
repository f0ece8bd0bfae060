"""The shared closed forms and recursions reproduce the published numbers: no sampling here."""

import numpy as np
import problems
import pytest


def test_one_dimensional_quadratic():
    p = problems.ONE_DIM
    h, cov, lr = p["h"], p["s"] ** 2, p["lr"]
    second = h + lr * h**2 / 2
    answers = (
        problems.sgd_moments(h, cov, lr, p["x0"], p["steps"]),
        problems.ou_moments(h, lr * cov, p["x0"], 1.0),
        problems.ou_moments(second, lr * cov, p["x0"], 1.0),
    )
    for k, (mean, var) in enumerate(answers):
        assert mean[0] == pytest.approx(problems.ONE_DIM_MEAN[k], abs=1e-12)
        assert var[0, 0] == pytest.approx(problems.ONE_DIM_VAR[k], abs=1e-12)
    stationary = (
        problems.sgd_stationary(h, cov, lr),
        problems.ou_stationary(h, lr * cov),
        problems.ou_stationary(second, lr * cov),
    )
    np.testing.assert_allclose(np.ravel(stationary), problems.ONE_DIM_STATIONARY, atol=1e-12)


def test_two_dimensional_quadratic():
    h, cov, lr = problems.TWO_DIM_H, problems.TWO_DIM_COV, 0.1
    second = h + lr * h @ h / 2
    answers = (
        problems.sgd_moments(h, cov, lr, problems.TWO_DIM_START, 10),
        problems.ou_moments(h, lr * cov, problems.TWO_DIM_START, 1.0),
        problems.ou_moments(second, lr * cov, problems.TWO_DIM_START, 1.0),
    )
    stationary = (
        problems.sgd_stationary(h, cov, lr),
        problems.ou_stationary(h, lr * cov),
        problems.ou_stationary(second, lr * cov),
    )
    for k, (mean, final) in enumerate(answers):
        np.testing.assert_allclose(mean, problems.TWO_DIM_MEAN[k], atol=1e-10)
        np.testing.assert_allclose(final, problems.full(problems.TWO_DIM_FINAL[k]), atol=1e-10)
        np.testing.assert_allclose(stationary[k], problems.full(problems.TWO_DIM_STATIONARY[k]), atol=1e-10)


@pytest.mark.parametrize("row", problems.MULTIPLICATIVE)
def test_multiplicative_noise(row):
    lr, discrete, order_1, _ = row
    steps = round(1 / lr)
    assert problems.affine_recursion(1.0, lr * 0.25, lr, lr, steps, 1.0)[0] == pytest.approx(discrete, abs=1e-12)
    rate = 2.0 - lr
    limit = lr * 0.25 / rate
    assert limit + (1.0 - limit) * np.exp(-rate) == pytest.approx(order_1, abs=1e-12)
    # Both schemes' recursions tend to the equation's answer, at weak order 1.
    for milstein in (False, True):
        errors = [
            problems.affine_recursion(1.0, lr * 0.25, lr, lr / k, steps * k, 1.0, milstein=milstein)[0] - order_1
            for k in (16, 32)
        ]
        assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)


def test_noncommuting_linear_equation():
    exact = problems.LINEAR_SECOND_MOMENT
    errors = [np.abs(problems.linear_recursion(n, "euler") - exact).max() for n in (4, 8, 16, 32)]
    np.testing.assert_allclose(errors, problems.LINEAR_EULER_ERROR, atol=1e-8)
    errors = [np.abs(problems.linear_recursion(n, "milstein") - exact).max() for n in (64, 128, 256)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1.0, atol=0.1)


def test_state_dependent_noise_is_student_t():
    # h = 1, s0 = .5, s1 = 1, lr = .1: the stationary variance and fourth moment in the limit of small steps.
    def at(dt):
        return np.array(problems.affine_recursion(1.0, 0.025, 0.1, dt, round(12 / dt), 0.0))

    coarse, fine = at(0.004), at(0.002)
    np.testing.assert_allclose(2 * fine - coarse, (0.0131578947, 0.0005804954), rtol=1e-5)
    nu, scale = 21.0, 0.0119047619
    assert scale * nu / (nu - 2) == pytest.approx(0.0131578947, abs=1e-9)
    assert 3 * nu**2 * scale**2 / ((nu - 2) * (nu - 4)) == pytest.approx(0.0005804954, abs=1e-9)


def test_the_rule_rejects():
    rng = np.random.default_rng(1)
    estimate = rng.standard_normal(100)
    problems.assert_agrees(estimate, 1.0, 0.0)
    with pytest.raises(AssertionError):
        problems.assert_agrees(estimate + 10.0, 1.0, 0.0)
    with pytest.raises(AssertionError):
        problems.assert_rejected(estimate, 1.0, 0.0)
    with pytest.raises(AssertionError):
        problems.assert_agrees(np.nan, 1.0, 0.0)
    assert problems.chi_square_of(estimate) > 1e-6
    assert problems.chi_square_of(2 * estimate) < 1e-6
    assert problems.chi_square_of(estimate / 2) < 1e-6
