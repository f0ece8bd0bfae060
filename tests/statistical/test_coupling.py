"""One Wiener path for an algorithm and its equation, for every method and every step that shares wiener_dt."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees, mean_and_error
from scipy.linalg import expm

N = 1000


def final(dynamics, theta0, **kwargs):
    kwargs = {"n_paths": N, "rng": 71} | kwargs
    return optsde.simulate(dynamics, theta0, observe=optsde.Final(), **kwargs).final


LOSSES = {
    "quadratic": optsde.losses.Quadratic([[2.0, 0.5], [0.5, 1.0]], center=[0.3, -0.2]),
    "diagonal quadratic": optsde.losses.Quadratic([2.0, 0.7]),
    "scalar factorization": optsde.losses.ScalarFactorization(),
    "double well": optsde.losses.DoubleWell(height=0.5, dim=2),
    "rosenbrock": optsde.losses.Rosenbrock(),
    "function": optsde.losses.Function(lambda x: np.sin(x), dim=2, value=lambda x: 2 - np.cos(x).sum(axis=1)),
}
NOISES = {
    "isotropic": optsde.noise.Gaussian(0.3),
    "diagonal": optsde.noise.Gaussian([0.3, 0.1]),
    "full": optsde.noise.Gaussian([[0.3, 0.1], [0.1, 0.2]]),
    "singular": optsde.noise.Gaussian([[1.0, -1.0], [-1.0, 1.0]]),
    "affine": optsde.noise.AffineDiagonal([0.3, 0.1], 0.5, [0.1, 0.0]),
    "scaled": optsde.noise.LossScaled(0.3, floor=0.1),
    "scaled full": optsde.noise.LossScaled([[0.3, 0.1], [0.1, 0.2]]),
    "function": optsde.noise.Function(lambda x: np.sqrt(1 + x**2), kind="diagonal"),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("loss", LOSSES)
def test_algorithm_is_euler_maruyama_with_one_step_a_step(loss, noise, dtype):
    # lr is a power of two: its products with increments are exact, so the two agree bit by bit.
    problem = optsde.Problem(LOSSES[loss], NOISES[noise], batch_size=4)
    opt = optsde.SGD(2.0**-9 if loss == "rosenbrock" else 2.0**-4)
    algorithm = final(opt.discrete(problem), [0.4, 0.2], steps=20, dtype=dtype)
    equation = final(opt.sde(problem), [0.4, 0.2], steps=20, substeps=1, method="euler_maruyama", dtype=dtype)
    assert np.isfinite(algorithm).all()
    assert algorithm.std(axis=0).min() > 0
    np.testing.assert_array_equal(algorithm, equation)


@pytest.mark.parametrize("noise", NOISES)
def test_algorithm_is_euler_maruyama_whatever_the_rate(noise):
    problem = optsde.Problem(LOSSES["quadratic"], NOISES[noise], batch_size=3)
    opt = optsde.SGD(0.1)
    algorithm = final(opt.discrete(problem), [0.4, 0.2], steps=20)
    equation = final(opt.sde(problem), [0.4, 0.2], steps=20, dt=0.1, method="euler_maruyama")
    np.testing.assert_allclose(algorithm, equation, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(algorithm, equation)


@pytest.mark.parametrize("noise", NOISES)
def test_algorithm_shares_a_finer_path_with_its_equation(noise):
    problem = optsde.Problem(LOSSES["quadratic"], NOISES[noise])
    opt = optsde.SGD(0.125)
    kwargs = {"steps": 16, "wiener_dt": 0.125 / 8}
    algorithm = final(opt.discrete(problem), [0.4, 0.2], **kwargs)
    same = final(opt.sde(problem), [0.4, 0.2], substeps=1, method="euler_maruyama", **kwargs)
    np.testing.assert_array_equal(algorithm, same)
    # The equation itself, finely stepped, stays near: all but the discretisation of the drift is common.
    near = final(opt.sde(problem), [0.4, 0.2], substeps=8, method="euler_maruyama", **kwargs)
    correlation = np.corrcoef(algorithm[:, 0], near[:, 0])[0, 1]
    assert correlation > 0.95
    other = final(opt.sde(problem), [0.4, 0.2], substeps=8, method="euler_maruyama", **(kwargs | {"rng": 72}))
    assert abs(np.corrcoef(algorithm[:, 0], other[:, 0])[0, 1]) < 0.2


def brownian(dim, how):
    """DX = S dW with S = diag(1, 2, …) or a full factor, as an Ornstein-Uhlenbeck process, SGD, or callbacks."""
    deviations = np.arange(1.0, dim + 1)
    if how == "ornstein uhlenbeck":
        return optsde.OrnsteinUhlenbeck(0.0, np.zeros(dim), deviations**2)
    if how == "sgd":
        problem = optsde.Problem(optsde.losses.Quadratic(np.zeros(dim)), optsde.noise.Gaussian(deviations**2))
        return optsde.SGD(0.1).sde(problem)
    if how == "full":
        return optsde.OrnsteinUhlenbeck(0.0, np.zeros(dim), np.diag(deviations**2) + 0.1)
    return optsde.SDE(
        lambda t, x: np.zeros_like(x), lambda t, x: np.broadcast_to(deviations, x.shape), dim=dim, noise="diagonal"
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("increments", ["gaussian", "gaussian_f32"])
@pytest.mark.parametrize("method", ["euler_maruyama", "milstein", "ornstein_uhlenbeck"])
@pytest.mark.parametrize("how", ["ornstein uhlenbeck", "full", "sgd", "callbacks"])
@pytest.mark.parametrize("dim", [1, 3])
def test_steps_see_the_same_path_without_drift(dim, how, method, increments, dtype):
    if how == "callbacks" and method == "ornstein_uhlenbeck":
        method = "euler_maruyama"
    ends = [
        final(
            brownian(dim, how),
            np.zeros(dim),
            t1=1.0,
            dt=dt,
            wiener_dt=0.025,
            method=method,
            increments=increments,
            dtype=dtype,
        )
        for dt in (0.1, 0.05, 0.025)
    ]
    atol = 1e-13 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(ends[0], ends[2], rtol=0, atol=atol)
    np.testing.assert_allclose(ends[1], ends[2], rtol=0, atol=atol)
    assert ends[0].std() > 0.2
    # Without the common grid the same seed gives other paths.
    apart = final(brownian(dim, how), np.zeros(dim), t1=1.0, dt=0.1, method=method, increments=increments, dtype=dtype)
    assert np.abs(apart - ends[0]).max() > 0.1


def test_sign_and_size_of_the_shared_noise():
    # z_k = S (W(t_{k+1}) - W(t_k))/sqrt(time per step): theta' = theta - lr (grad + z), and the SDE has -sqrt(lr) S dW.
    lr, dim = 0.0625, 2
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    w = final(optsde.OrnsteinUhlenbeck(0.0, np.zeros(dim), 1.0), np.zeros(dim), t1=lr, dt=lr)
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=dim), optsde.noise.Gaussian(cov), batch_size=2)
    factor = np.linalg.cholesky(cov / 2)
    for dynamics, kwargs in (
        (optsde.SGD(lr).discrete(problem), {"steps": 1}),
        (optsde.SGD(lr).sde(problem), {"steps": 1, "substeps": 1, "method": "milstein"}),
    ):
        x = final(dynamics, [1.0, 2.0], **kwargs)
        expected = (1 - lr) * np.array([1.0, 2.0]) - np.sqrt(lr) * w @ factor.T
        np.testing.assert_allclose(x, expected, atol=1e-14)


OU = optsde.OrnsteinUhlenbeck([[1.0, 0.8], [-0.5, 1.5]], [0.5, -1.0], [[1.0, 0.3], [0.3, 0.5]])


def test_exact_steps_see_the_same_path_whatever_the_step():
    ends = [
        final(OU, [1.0, 1.0], t1=2.0, dt=dt, wiener_dt=0.025, method="ornstein_uhlenbeck") for dt in (0.1, 0.05, 0.025)
    ]
    np.testing.assert_allclose(ends[0], ends[2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ends[1], ends[2], rtol=0, atol=1e-12)


def test_euler_maruyama_converges_to_the_exact_path_at_order_one():
    wiener_dt = 2.0**-9
    exact = final(OU, [1.0, 1.0], t1=1.0, dt=wiener_dt, method="ornstein_uhlenbeck")
    errors = []
    for k in (4, 5, 6, 7):
        x = final(OU, [1.0, 1.0], t1=1.0, dt=2.0**-k, wiener_dt=wiener_dt, method="euler_maruyama")
        errors.append(np.sqrt(np.mean((x - exact) ** 2)))
    slopes = -np.diff(np.log2(errors))
    np.testing.assert_allclose(slopes, 1.0, atol=0.1)
    # Independent noise does not converge.
    apart = final(OU, [1.0, 1.0], t1=1.0, dt=wiener_dt, method="euler_maruyama", rng=72)
    assert np.sqrt(np.mean((apart - exact) ** 2)) > 20 * errors[-1]


def test_exact_step_and_its_increment_have_their_joint_law():
    # Cov(I, ΔW) = ∫ e^{-A s} ds S over a step: Euler-Maruyama without drift gives ΔW of the same path.
    h, n = 0.5, 400_000
    kwargs = {"t1": h, "dt": h, "n_paths": n}
    rate = np.array([[1.0, 0.8], [-0.5, 1.5]])
    x = final(optsde.OrnsteinUhlenbeck(rate, np.zeros(2), 1.0), np.zeros(2), method="ornstein_uhlenbeck", **kwargs)
    w = final(optsde.OrnsteinUhlenbeck(0.0, np.zeros(2), 1.0), np.zeros(2), method="euler_maruyama", **kwargs)
    s = np.linspace(0, h, 2001)
    exact = np.trapezoid([expm(-rate * u) for u in s], s, axis=0)
    products = x[:, :, None] * w[:, None, :]
    assert_agrees(*mean_and_error(products), exact, bias=1e-6, wrong=[h * np.eye(2), expm(-rate * h) * h, 0 * exact])


def test_increments_of_every_law_have_the_same_variance():
    kwargs = {"t1": 1.0, "dt": 0.05, "n_paths": 200_000, "method": "euler_maruyama"}
    for increments in ("gaussian", "gaussian_f32", "two_point"):
        x = final(brownian(2, "sgd"), np.zeros(2), increments=increments, **kwargs)
        assert_agrees(*mean_and_error(x**2), 0.1 * np.array([1.0, 4.0]), wrong=[[0.2, 0.8], [1.0, 4.0], [0.01, 0.04]])
