"""Linear equations: exact Ornstein-Uhlenbeck steps, and second moments of a non-commuting system by every scheme."""

import numpy as np
import optsde
import pytest
from problems import (
    LINEAR_A,
    LINEAR_B,
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
    ou_moments,
)

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


def run(equation, n, method, *, paths=400_000, wiener_dt=None, rng=54):
    return optsde.simulate(
        equation,
        LINEAR_START,
        t1=1.0,
        dt=1.0 / n,
        wiener_dt=wiener_dt,
        method=method,
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
