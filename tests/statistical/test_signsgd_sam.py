"""SignSGD and the SAM family: published moments, coefficients in closed form, Student's noise, coupling."""

import numpy as np
import optsde
import pytest
from optimizer_numbers import ERF_AT_03, SIGN, SIGN_LATE, SIGN_ODE, STUDENT_5_AT_03, USAM
from optimizer_tools import algorithm, coefficients, euler, noise_covariance, problem, sample_moments
from problems import assert_agrees, mean_and_error
from scipy.special import erf
from scipy.stats import multivariate_normal, norm
from scipy.stats import t as student

S = 0.5


def sign_equation_square(lr, dt, scale=1.0, noise=1.0):
    """E x² at T = 1 of dX = -erf(scale X) dt + sqrt(lr noise (1 - erf²)) dW from x = .5, by Euler-Maruyama's law.

    The density on a grid, moved step by step; its error is far below the samples'.
    """
    x = np.linspace(-1.6, 1.6, 1601)
    width = x[1] - x[0]
    drift, rate = -erf(scale * x), lr * noise * (1 - erf(scale * x) ** 2)
    centre, deviation = x + dt * drift, np.sqrt(dt * rate + 1e-12)
    edges = np.append(x - width / 2, x[-1] + width / 2)
    kernel = np.diff(norm.cdf((edges[None, :] - centre[:, None]) / deviation[:, None]), axis=1)
    density = kernel[np.argmin(np.abs(x - 0.5))]
    for _ in range(round(1 / dt) - 1):
        density = density @ kernel
    return float(density @ x**2)


@pytest.mark.parametrize("row", SIGN[:2], ids=lambda row: f"lr={row[0]}")
def test_signsgd(row):
    lr, discrete, equation = row
    opt, prob = optsde.SignSGD(lr), problem(1.0, S**2)
    assert opt.discrete(prob).time_per_step == pytest.approx(lr, rel=1e-14)
    steps = round(1 / lr)
    x = algorithm(opt.discrete(prob), 0.5, steps=steps, n_paths=4_000_000, rng=71)
    # Iterates live on a lattice.
    np.testing.assert_allclose((x - 0.5) / lr, np.round((x - 0.5) / lr), atol=1e-9)
    assert_agrees(*mean_and_error(x[:, 0] ** 2), discrete, bias=1e-8, wrong=[equation, SIGN_ODE])


@pytest.mark.parametrize("row", SIGN[:2], ids=lambda row: f"lr={row[0]}")
def test_signsgds_equation(row):
    lr, _, equation = row
    dt = lr / 16
    x = euler(optsde.SignSGD(lr).sde(problem(1.0, S**2)), 0.5, t1=1.0, dt=dt, n_paths=1_000_000, rng=72)
    scale = 1 / (np.sqrt(2) * S)
    right = sign_equation_square(lr, dt, scale)
    # Euler-Maruyama's law, beside the published value of the equation.
    assert right == pytest.approx(equation, abs=5e-4)
    wrong = [
        SIGN_ODE,
        sign_equation_square(lr, dt, 1 / S),
        sign_equation_square(lr, dt, scale, noise=1.2),
        sign_equation_square(lr, dt, scale, noise=0.8),
    ]
    assert_agrees(*mean_and_error(x[:, 0] ** 2), right, bias=2e-6, wrong=wrong)


@pytest.mark.parametrize("row", SIGN_LATE[:2], ids=lambda row: f"lr={row[0]}")
def test_stationary_variance_of_signsgd(row):
    lr, square = row
    a = np.sqrt(2 / np.pi) / S
    x = algorithm(optsde.SignSGD(lr).discrete(problem(1.0, S**2)), 0.0, steps=round(8 / lr), n_paths=1_000_000, rng=73)
    wrong = [lr / (2 * a), lr / (2 * a + lr * a**2), lr / 2, lr**2]
    assert_agrees(*mean_and_error(x[:, 0] ** 2), square, bias=1e-8, wrong=wrong)


@pytest.mark.parametrize("regime", ["ballistic", "batch_equivalent"])
def test_coefficients_of_signsgd(regime):
    lr, batch = 0.1, 4
    variances = np.array([0.25, 4.0])
    prob = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian(variances), batch_size=batch)
    dynamics = optsde.SignSGD(lr).sde(prob, regime=regime)
    tau = lr if regime == "ballistic" else lr**2
    assert dynamics.time_per_step == pytest.approx(tau, rel=1e-14)
    theta = np.random.default_rng(74).standard_normal((7, 2)) * [0.2, 1.0]
    drift, factor = coefficients(dynamics, {"theta": theta})
    p = erf(prob.loss.grad(theta) / np.sqrt(2 * variances / batch))
    a = noise_covariance(factor)
    if regime == "ballistic":
        exact = lr * (1 - p**2)
    else:
        # Signals small beside the noise: the erf is its slope at 0, and signs have variance 1.
        p, exact = np.sqrt(2 / np.pi) * prob.loss.grad(theta) / np.sqrt(variances / batch), np.ones_like(p)
    np.testing.assert_allclose(drift, -lr / tau * p, rtol=1e-12)
    np.testing.assert_allclose(np.einsum("nii->ni", a), exact, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(a[:, 0, 1], 0.0, atol=1e-15)
    assert (np.einsum("nii->ni", factor[:, :, :2]) <= 0).all()  # the sign of the gradient noise that both share


def test_signal_of_point_three():
    # erf(.3/sqrt 2), the drift's value at signal .3 and scale 1.
    drift, factor = coefficients(optsde.SignSGD(0.1).sde(problem(1.0, 1.0)), {"theta": np.array([0.3])})
    assert drift[0] == pytest.approx(-ERF_AT_03, abs=1e-9)
    assert factor[0, 0] ** 2 == pytest.approx(0.1 * (1 - ERF_AT_03**2), abs=1e-10)


def equation(opt, prob, *words):
    """The equation, or None where the library refuses it for a reason that names the argument."""
    try:
        return opt.sde(prob)
    except ValueError as error:
        if not any(word in str(error) for word in words):
            raise
        return None


def test_correlated_signs():
    cov = np.array([[1.0, 0.9], [0.9, 1.5]])
    r, lr = 0.9 / np.sqrt(1.5), 0.1
    prob = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian(cov))
    dynamics = equation(optsde.SignSGD(lr), prob, "noise")
    if dynamics is None:
        return
    _, factor = coefficients(dynamics, {"theta": np.zeros(2)})
    exact = lr * np.array([[1.0, 2 / np.pi * np.arcsin(r)], [2 / np.pi * np.arcsin(r), 1.0]])
    np.testing.assert_allclose(noise_covariance(factor), exact, atol=1e-12)
    # Away from the minimum: by the bivariate normal distribution, as the algorithm has it.
    theta = np.array([0.4, -0.3])
    drift, factor = coefficients(dynamics, {"theta": theta})
    signal = theta * [1.0, 2.0] / np.sqrt(np.diag(cov))
    p = erf(signal / np.sqrt(2))
    both = multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf(signal)
    c = 4 * both - 2 * norm.cdf(signal).sum() + 1 - p[0] * p[1]
    np.testing.assert_allclose(drift, -p, rtol=1e-12)
    np.testing.assert_allclose(
        noise_covariance(factor), lr * np.array([[1 - p[0] ** 2, c], [c, 1 - p[1] ** 2]]), atol=1e-6
    )


def test_students_noise_under_the_sign():
    # cov is the covariance: scale 1 with 5 degrees of freedom has 5/3.
    prob = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.StudentT(5, 5 / 3))
    assert 2 * student.cdf(0.3, 5) - 1 == pytest.approx(STUDENT_5_AT_03, abs=1e-9)
    dynamics = equation(optsde.SignSGD(0.1), prob, "noise")
    if dynamics is not None:
        drift, _ = coefficients(dynamics, {"theta": np.array([0.3])})
        assert drift[0] == pytest.approx(-STUDENT_5_AT_03, abs=1e-8)


def test_the_algorithm_and_its_equation_share_their_noise():
    # Paths of the two stay together; the sign of the equation's noise the other way round, they would part.
    lr, steps, n = 0.02, 50, 20_000
    opt, prob = optsde.SignSGD(lr), problem(1.0, S**2)
    a = algorithm(opt.discrete(prob), 0.0, steps=steps, n_paths=n, rng=75)[:, 0]
    b = euler(opt.sde(prob), 0.0, steps=steps, substeps=1, n_paths=n, rng=75)[:, 0]
    # The correlation of a normal number and its sign is sqrt(2/pi) = 0.798.
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(np.sqrt(2 / np.pi), abs=0.03)


# USAM on a quadratic is linear: x' = x - eta (h + rho h²) x - eta (1 + rho h) z.


def usam_square(eta, rho, h=1.0, s=1.0, x0=1.0, dt=None, *, noise=True):
    """E x² at T = 1 of the algorithm, or of Euler-Maruyama's steps of the equation."""
    pull = h + rho * h**2
    if dt is None:
        factor, kick, n = 1 - eta * pull, (eta * (1 + rho * h) * s) ** 2, round(1 / eta)
    else:
        rate = s**2 * (1 + 2 * rho * h) if noise else s**2
        factor, kick, n = 1 - dt * pull, dt * eta * rate, round(1 / dt)
    square = x0**2
    for _ in range(n):
        square = factor**2 * square + kick
    return square


@pytest.mark.parametrize("row", USAM, ids=lambda row: f"eta={row[0]}")
def test_usam(row):
    eta, discrete, equation = row
    rho = 0.5 * np.sqrt(eta)
    assert usam_square(eta, rho) == pytest.approx(discrete, abs=1e-9)
    assert usam_square(eta, rho, dt=1e-5) == pytest.approx(equation, abs=1e-5)
    opt, prob = optsde.SAM(eta, rho, variant="usam"), problem(1.0, 1.0)
    x = algorithm(opt.discrete(prob), 1.0, steps=round(1 / eta), n_paths=1_000_000, rng=76)
    sgd = usam_square(eta, 0.0)
    assert_agrees(*mean_and_error(x[:, 0] ** 2), discrete, bias=1e-9, wrong=[sgd] if eta > 0.05 else [0.1173])
    dt = eta / 4
    x = euler(opt.sde(prob), 1.0, t1=1.0, dt=dt, n_paths=1_000_000, rng=77)
    wrong = [usam_square(eta, 0.0, dt=dt), usam_square(eta, rho, dt=dt, noise=False)]
    if eta < 0.05:
        wrong = wrong[1:]  # at this eta the first is 1e-4 away by accident, mean against noise
    right = usam_square(eta, rho, dt=dt)
    if eta > 0.05:
        assert_agrees(*mean_and_error(x[:, 0] ** 2), right, wrong=wrong)
    else:
        mean, error, cov, cov_error = sample_moments(x)
        pull = 1 + rho
        exact_mean = (1 - dt * pull) ** round(1 / dt)
        assert_agrees(mean, error, exact_mean, wrong=[(1 - dt) ** round(1 / dt)])
        var = usam_square(eta, rho, dt=dt) - exact_mean**2
        assert_agrees(cov, cov_error, var, wrong=[var / (1 + 2 * rho), var * (1 + rho) ** 2 / (1 + 2 * rho) * 1.03])


@pytest.mark.parametrize("loss", ["quadratic", "rosenbrock"])
@pytest.mark.parametrize("variant", ["usam", "dnsam"])
def test_coefficients_of_sam_with_a_linear_perturbation(variant, loss):
    # Additive noise: E[H_g grad f_g] = H grad f, St = Σ H. What is not available is refused by name.
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    function = optsde.losses.Quadratic([[2.0, 0.7], [0.7, 0.8]]) if loss == "quadratic" else optsde.losses.Rosenbrock(2)
    prob = optsde.Problem(function, optsde.noise.Gaussian(4 * cov), batch_size=4)
    theta = np.random.default_rng(78).standard_normal((4, 2)) * 0.5
    g, h = prob.loss.grad(theta), prob.loss.hessian(theta)
    size = np.sqrt((g**2).sum(axis=1)) if variant == "dnsam" else np.ones(len(theta))
    for lr, rho in ((0.01, 0.002), (0.1, 0.15), (0.01, 1e-9)):
        dynamics = equation(optsde.SAM(lr, rho, variant=variant), prob, "variant", "problem")
        if dynamics is None:
            assert (variant, loss) != ("usam", "quadratic")
            return
        drift, factor = coefficients(dynamics, {"theta": theta})
        np.testing.assert_allclose(drift, -g - rho / size[:, None] * np.einsum("nij,nj->ni", h, g), rtol=1e-10)
        # A matrix with a negative eigenvalue has no root: only points where there is one are compared.
        a = lr * (cov + rho / size[:, None, None] * (cov @ h + h @ cov))
        good = np.linalg.eigvalsh(a).min(axis=1) > 0
        assert good.any()
        np.testing.assert_allclose(noise_covariance(factor)[good], a[good], rtol=1e-9, atol=1e-14)


def test_coefficients_of_sam_in_one_dimension():
    # grad f_g/|grad f_g| is a sign: its mean is erf, its covariance with the noise 2 s times the normal density.
    lr, rho, h, s = 0.01, 0.05, 1.7, 0.8
    dynamics = equation(optsde.SAM(lr, rho, variant="sam"), problem(h, s**2), "variant", "problem")
    if dynamics is None:
        return
    x = np.array([[0.3], [-0.1], [1.2]])
    drift, factor = coefficients(dynamics, {"theta": x})
    g = h * x
    np.testing.assert_allclose(drift, -g - rho * h * erf(g / (np.sqrt(2) * s)), rtol=1e-8)
    a = lr * (s**2 + 2 * rho * h * 2 * s * norm.pdf(g / s))
    np.testing.assert_allclose(noise_covariance(factor)[:, 0, 0], a[:, 0], rtol=1e-8)
