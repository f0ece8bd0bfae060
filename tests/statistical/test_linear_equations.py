"""Linear equations: exact Ornstein-Uhlenbeck steps, and second moments of a non-commuting system by every scheme."""

import numpy as np
import optsde
import pytest
from problems import (
    LINEAR_A,
    LINEAR_B,
    LINEAR_PLATEN_ERROR,
    LINEAR_SECOND_MOMENT,
    LINEAR_START,
    TWO_DIM_COV,
    TWO_DIM_H,
    apply,
    assert_agrees,
    assert_rejected,
    full,
    linear_recursion,
    mean_and_error,
    normal_law,
    ou_moments,
    platen_recursion,
    three_point_law,
)
from scipy.integrate import solve_ivp

PHI = full((0.5556655, -0.09636317, 0.74839184))
STEP_COV = full((0.01693242, 0.00414237, 0.01062579))


def test_exact_step_has_the_published_propagator_and_covariance():
    model = optsde.OrnsteinUhlenbeck(TWO_DIM_H, np.zeros(2), 0.1 * TWO_DIM_COV)
    for k in range(2):
        start = 0.1 * np.eye(2)[k]
        ens = optsde.simulate(
            model,
            start,
            t1=0.3,
            dt=0.3,
            method="ornstein_uhlenbeck",
            n_paths=4_000_000,
            rng=51,
            observe=optsde.Moments(cov=True),
        )
        column = 0.1 * PHI[:, k]
        euler = start - 0.3 * TWO_DIM_H @ start
        assert_agrees(ens.mean[0], ens.mean_stderr[0], column, bias=1e-9, wrong=[start, euler])
        # No exponential, noise of half the step, and a step whose residual is left out (2 % of the variance).
        mean_exponential = np.linalg.solve(TWO_DIM_H, np.eye(2) - PHI) / 0.3
        explained = 0.3 * mean_exponential @ (0.1 * TWO_DIM_COV) @ mean_exponential
        wrong = [0.03 * TWO_DIM_COV, STEP_COV / 2, STEP_COV * np.sqrt(2), explained]
        assert_agrees(ens.cov[0], ens.cov_stderr[0], STEP_COV, bias=1e-8, wrong=wrong)


@pytest.mark.parametrize("cells", [1, 4])
@pytest.mark.parametrize("dt", [0.05, 0.5, 5.0])
def test_exact_steps_of_a_rotating_system(dt, cells):
    # Not symmetric, complex eigenvalues, mean apart from 0; the law does not depend on the step.
    rate = np.array([[0.5, 2.0, 0.0], [-2.0, 0.8, 0.3], [0.1, 0.0, 1.5]])
    middle = np.array([1.0, -2.0, 0.5])
    noise = np.array([[1.0, 0.4, 0.0], [0.4, 0.8, -0.3], [0.0, -0.3, 0.6]])
    start = np.array([2.0, 0.0, -1.0])
    model = optsde.OrnsteinUhlenbeck(rate, middle, noise)
    ens = optsde.simulate(
        model,
        start,
        t1=5.0,
        dt=dt,
        wiener_dt=dt / cells,
        method="ornstein_uhlenbeck",
        n_paths=400_000,
        rng=52,
        observe=optsde.Moments(cov=True),
    )
    mean, cov = ou_moments(rate, noise, start - middle, 5.0)
    transposed, _ = ou_moments(rate.T, noise, start - middle, 5.0)
    assert_agrees(ens.mean[0], ens.mean_stderr[0], middle + mean, wrong=[middle + transposed, mean])
    wrong = [2 * cov, cov / 2, ou_moments(rate.T, noise, start, 5.0)[1]]
    assert_agrees(ens.cov[0], ens.cov_stderr[0], cov, wrong=wrong)


def test_exact_steps_of_an_unstable_system():
    rate, noise = np.array([[-0.5, 0.3], [0.0, 0.2]]), np.array([[0.5, 0.1], [0.1, 0.2]])
    ens = optsde.simulate(
        optsde.OrnsteinUhlenbeck(rate, 0.0, noise),
        [0.1, 0.2],
        t1=3.0,
        dt=1.5,
        method="ornstein_uhlenbeck",
        n_paths=400_000,
        rng=53,
        observe=optsde.Moments(cov=True),
    )
    mean, cov = ou_moments(rate, noise, [0.1, 0.2], 3.0)
    assert_agrees(ens.mean[0], ens.mean_stderr[0], mean)
    assert_agrees(ens.cov[0], ens.cov_stderr[0], cov, wrong=[1.05 * cov, 3.0 * noise])


def linear_equation(*, sign=1.0, scale=1.0, jacobian=None):
    """The non-commuting linear equation as callbacks; ``jacobian`` multiplies the derivatives."""
    derivative = np.moveaxis(scale * LINEAR_B, 0, 1)  # i, j, k: ∂b_ij/∂x_k
    return optsde.SDE(
        lambda t, x: apply(LINEAR_A, x),
        lambda t, x: sign * scale * np.stack([apply(b, x) for b in LINEAR_B], axis=2),
        dim=2,
        noise="full",
        diffusion_jacobian=None
        if jacobian is None
        else lambda t, x: np.broadcast_to(sign * jacobian * derivative, (len(x), 2, 2, 2)),
    )


def second_moments(x):
    return np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], axis=1)


def triangle(matrix):
    return np.asarray(matrix)[[0, 0, 1], [0, 1, 1]]


def run(equation, n, method, *, paths=400_000, wiener_dt=None, rng=54, start=LINEAR_START, increments="gaussian"):
    return optsde.simulate(
        equation,
        start,
        t1=1.0,
        dt=1.0 / n,
        wiener_dt=wiener_dt,
        method=method,
        increments=increments,
        n_paths=paths,
        rng=rng,
        observe=optsde.Final(),
    ).final


@pytest.mark.parametrize("n", [1, 2, 4])
def test_euler_second_moments(n):
    exact = triangle(linear_recursion(n, "euler"))
    wrong = [triangle(LINEAR_SECOND_MOMENT)] + ([triangle(linear_recursion(n, "milstein"))] if n < 4 else [])
    assert_agrees(*mean_and_error(second_moments(run(linear_equation(), n, "euler_maruyama"))), exact, wrong=wrong)


@pytest.mark.parametrize("cells", [1, 3])
@pytest.mark.parametrize("jacobian", [None, 1.0], ids=["derivative-free", "jacobian"])
@pytest.mark.parametrize("n", [1, 2])
def test_milstein_second_moments(n, jacobian, cells):
    final = run(linear_equation(jacobian=jacobian), n, "milstein", wiener_dt=1.0 / (n * cells), paths=1_000_000)
    exact = triangle(linear_recursion(n, "milstein"))
    # Derivative-free: b is linear, so its difference quotient is the derivative at x, plus that of the drift in
    # U = x + a h + b sqrt(h): the same L^i b^j and a term B_j A x sqrt(h) I_ij, of order h² in the second moment.
    if jacobian is None:
        exact = exact + derivative_free_excess(n)
    wrong = [triangle(linear_recursion(n, "euler")), triangle(linear_recursion(n, "no_areas"))]
    assert_agrees(*mean_and_error(second_moments(final)), exact, wrong=wrong)


def derivative_free_excess(n):
    """What the drift within the supporting points adds to Milstein's second moments; an exact recursion."""
    h = 1.0 / n
    eye = np.eye(2)
    with_drift, without = np.outer(LINEAR_START, LINEAR_START), np.outer(LINEAR_START, LINEAR_START)
    for _ in range(n):
        results = []
        for moment, extra in ((with_drift, np.sqrt(h)), (without, 0.0)):
            new = (eye + h * LINEAR_A) @ moment @ (eye + h * LINEAR_A).T
            new = new + h * sum(b @ moment @ b.T for b in LINEAR_B)
            # (b^j(U_i) - b^j(x))/sqrt(h) = B_j (A sqrt(h) + B_i) x.
            for bi in LINEAR_B:
                for bj in LINEAR_B:
                    p = bj @ (bi + extra * LINEAR_A)
                    new = new + h**2 / 2 * p @ moment @ p.T
            results.append(new)
        with_drift, without = results
    return triangle(with_drift - without)


@pytest.mark.parametrize(
    ("equation", "method"),
    [
        (linear_equation(jacobian=2.0), "milstein"),  # the ½ of ½ b b' left out
        (linear_equation(jacobian=0.0), "milstein"),  # Euler-Maruyama under another name
        (linear_equation(jacobian=-1.0, scale=1.1), "milstein"),
        (linear_equation(scale=np.sqrt(2), jacobian=1.0), "milstein"),
        (linear_equation(scale=np.sqrt(0.5)), "euler_maruyama"),
    ],
    ids=["no half", "no correction", "wrong scale", "sqrt(2)", "sqrt(1/2)"],
)
def test_broken_schemes_are_rejected(equation, method):
    name = "milstein" if method == "milstein" else "euler"
    assert_rejected(*mean_and_error(second_moments(run(equation, 1, method))), triangle(linear_recursion(1, name)))


@pytest.mark.parametrize("method", ["euler_maruyama", "milstein"])
def test_second_moments_without_the_schemes_error(method):
    # Extrapolated from 16 and 32 steps on one Wiener path; the remainder is known from the recursions.
    scheme = "milstein" if method == "milstein" else "euler"
    equation = linear_equation(jacobian=1.0)
    coarse, fine = (second_moments(run(equation, n, method, wiener_dt=1 / 32, rng=55)) for n in (16, 32))
    bias = np.abs(2 * linear_recursion(32, scheme) - linear_recursion(16, scheme) - LINEAR_SECOND_MOMENT)
    estimate, stderr = mean_and_error(2 * fine - coarse)
    assert (triangle(bias) < stderr).all()
    wrong = [triangle(linear_recursion(8, scheme)), np.outer(LINEAR_START, LINEAR_START)[[0, 0, 1], [0, 1, 1]]]
    assert_agrees(estimate, stderr, triangle(LINEAR_SECOND_MOMENT), bias=triangle(bias), wrong=wrong)


def test_two_point_increments_have_the_same_second_moments():
    ens = optsde.simulate(
        linear_equation(),
        LINEAR_START,
        t1=1.0,
        dt=0.25,
        method="euler_maruyama",
        increments="two_point",
        n_paths=400_000,
        rng=56,
        observe=optsde.Final(),
    )
    exact = triangle(linear_recursion(4, "euler"))
    assert_agrees(*mean_and_error(second_moments(ens.final)), exact, wrong=[triangle(LINEAR_SECOND_MOMENT)])


# Platen's scheme: linear equations whose coefficients change with time, of every kind of noise. Each gives a(t), the
# b_j(t) and the kind.


def constant_noise():
    return (lambda t: LINEAR_A), (lambda t: LINEAR_B), "full"


def changing_noise():
    return (lambda t: (1 + t) * LINEAR_A), (lambda t: np.array([1 + t, 1.5 - t])[:, None, None] * LINEAR_B), "full"


def own_noise():
    b = np.array([[[0.7, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, -0.5]]])
    return (lambda t: (1 + t) * LINEAR_A), (lambda t: np.array([0.5 + t, 1.5 - t])[:, None, None] * b), "diagonal"


def crossed_noise():
    b = np.array([[[0.0, 0.9], [0.0, 0.0]], [[0.0, 0.0], [0.6, 0.0]]])
    return (lambda t: LINEAR_A), (lambda t: np.array([0.5 + t, 1.5 - t])[:, None, None] * b), "diagonal_coupled"


def one_noise():
    return (lambda t: LINEAR_A), (lambda t: (0.3 + t) * LINEAR_B[:1]), "full"


PLATEN = {f.__name__: f for f in (constant_noise, changing_noise, own_noise, crossed_noise, one_noise)}


def equation_of(a, b, kind):
    def diffusion(t, x):
        columns = np.stack([apply(bj, x) for bj in b(t)], axis=2)
        return columns[:, [0, 1], [0, 1]] if kind.startswith("diagonal") else columns

    return optsde.SDE(lambda t, x: apply(a(t), x), diffusion, dim=2, noise=kind, n_wiener=len(b(0.0)))


def exact_moment(a, b):
    """E X Xᵀ at 1, by its differential equation."""

    def rate(t, y):
        m = y.reshape(2, 2)
        return (a(t) @ m + m @ a(t).T + sum(bj @ m @ bj.T for bj in b(t))).ravel()

    start = np.outer(LINEAR_START, LINEAR_START).ravel()
    return solve_ivp(rate, (0.0, 1.0), start, rtol=1e-12, atol=1e-14).y[:, -1].reshape(2, 2)


def largest_errors(a, b, steps, **options):
    exact = exact_moment(a, b)
    return np.array([np.abs(platen_recursion(a, b, LINEAR_START, n, **options) - exact).max() for n in steps])


@pytest.mark.parametrize("law", [normal_law, three_point_law])
def test_the_recursion_has_the_published_errors(law):
    a, b, _ = constant_noise()
    errors = largest_errors(a, b, (4, 8, 16, 32), law=law)
    np.testing.assert_allclose(errors, LINEAR_PLATEN_ERROR, atol=6e-9)


@pytest.mark.parametrize("name", PLATEN)
def test_second_moments_are_of_order_two(name):
    a, b, _ = PLATEN[name]()
    orders = np.log2(largest_errors(a, b, (16, 32)) / largest_errors(a, b, (32, 64)))
    assert (np.abs(orders - 2.0) < 0.15).all(), orders


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("changing_noise", {"times": (0.0, 0.0)}),
        ("changing_noise", {"times": (1.0, 1.0)}),
        ("changing_noise", {"times": (0.5, 0.0)}),
        ("own_noise", {"times": (0.0, 0.0)}),
        ("constant_noise", {"turn": 1.0}),
        ("constant_noise", {"quarter": 0.2}),
    ],
)
def test_broken_recursions_are_not(name, broken):
    # Deviations in R at the start of the step or its middle, in U at its end; V_jr = V_rj; another weight.
    a, b, _ = PLATEN[name]()
    errors = largest_errors(a, b, (64, 128), **broken)
    assert np.log2(errors[0] / errors[1]) < 1.5


@pytest.mark.parametrize(
    ("n", "increments", "cells"), [(1, "gaussian", 1), (1, "three_point", 1), (2, "gaussian", 3), (2, "three_point", 1)]
)
@pytest.mark.parametrize("name", PLATEN)
def test_platen_second_moments(name, n, increments, cells):
    a, b, kind = PLATEN[name]()
    law = three_point_law if increments == "three_point" else normal_law
    final = run(
        equation_of(a, b, kind),
        n,
        "platen",
        increments=increments,
        wiener_dt=1.0 / (n * cells),
        paths=1_000_000,
    )
    recursion = {"law": law, "n": n}
    exact = triangle(platen_recursion(a, b, LINEAR_START, **recursion))
    wrong = [{"quarter": 0.2}]
    if n == 1:
        # The signs and the times matter at this step, where the equation feels them; more finely they are not resolved.
        wrong += [{"turn": 1.0}] if kind == "full" and len(b(0.0)) > 1 else []
        wrong += [{"times": (0.0, 0.0)}] if name != "constant_noise" else []
        wrong += [{"times": (1.0, 1.0)}] if name in ("changing_noise", "crossed_noise") else []
    wrong = [triangle(platen_recursion(a, b, LINEAR_START, **recursion, **broken)) for broken in wrong]
    assert_agrees(*mean_and_error(second_moments(final)), exact, wrong=wrong)


def test_platen_with_noise_that_changes_with_time_alone():
    # dX = -X dt + (0.5 + t) dW: a step multiplies by 1 - h + h²/2 and adds the mean deviation less its decay.
    n, h = 2, 0.5
    var = 0.0
    for k in range(n):
        now, later = 0.5 + k * h, 0.5 + (k + 1) * h
        var = (1 - h + h**2 / 2) ** 2 * var + h * ((now + later) / 2 - h * now / 2) ** 2
    equation = optsde.SDE(lambda t, x: -x, lambda t, x: 0 * x + 0.5 + t, dim=1, noise="diagonal")
    final = run(equation, n, "platen", start=[0.0], paths=1_000_000)
    wrong = [1.02 * var, quad_variance()]
    assert_agrees(*mean_and_error(final[:, 0] ** 2), var, wrong=wrong)


def quad_variance():
    """The exact variance of that equation at 1: ∫ e^{-2(1-t)} (0.5 + t)² dt."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    t = (nodes + 1) / 2
    return float(weights / 2 @ (np.exp(-2 * (1 - t)) * (0.5 + t) ** 2))
