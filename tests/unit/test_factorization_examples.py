"""The elements of a factorised matrix as examples: gradients, sums and variances, batches and labels against NumPy."""

import numpy as np
import optsde
import pytest
from optsde import losses, noise

TARGET = np.random.default_rng(310).standard_normal((2, 3))
RANK, N, STD = 2, 6, 0.6
LOSS = losses.MatrixFactorization(TARGET, RANK)
THETA = np.random.default_rng(311).standard_normal(LOSS.dim)
SGD = optsde.SGD(0.1)


def example(theta, i, target=TARGET):
    """f_i = (N/2) r_i²."""
    parts = LOSS.split(theta)
    return N / 2 * ((parts["U"] @ parts["V"].T - target).flat[i]) ** 2


def slope(f, x):
    """The gradient of a polynomial of degree 4, by differences that are exact up to rounding."""
    h = 1e-3
    columns = []
    for axis in np.eye(len(x)) * h:
        near, far = f(x + axis) - f(x - axis), f(x + 2 * axis) - f(x - 2 * axis)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def jacobians():
    """N ∇φ_i, (N, d): what a shift of a target by 1 takes from its example's gradient."""
    rows = []
    for i in range(N):
        moved = TARGET.copy()
        moved.flat[i] += 1.0
        rows.append((LOSS.example_grads(THETA) - losses.MatrixFactorization(moved, RANK).example_grads(THETA))[i])
    return np.array(rows)


def covariance(std=0.0):
    grads, j = LOSS.example_grads(THETA), jacobians()
    off = grads - grads.mean(axis=0)
    return (off.T @ off + std**2 * j.T @ j) / N


def sigma(problem):
    factor = SGD.sde(problem).diffusion_at(THETA)
    return factor @ factor.T / SGD.lr


def test_gradients_of_examples():
    assert LOSS.n_examples == N
    grads = LOSS.example_grads(THETA)
    assert grads.shape == (N, LOSS.dim)
    np.testing.assert_allclose(grads, [slope(lambda x, i=i: example(x, i), THETA) for i in range(N)], atol=1e-9)
    np.testing.assert_allclose(LOSS.value(THETA), np.mean([example(THETA, i) for i in range(N)]), rtol=1e-13)
    points = np.random.default_rng(312).standard_normal((5, 3, LOSS.dim))
    many = LOSS.example_grads(points)
    np.testing.assert_allclose(many.mean(axis=2), LOSS.grad(points), atol=1e-12)
    np.testing.assert_array_equal(many[3, 1], LOSS.example_grads(points[3, 1]))


def test_equation_has_the_covariance_of_the_examples():
    for replace, share in ((True, 1.0), (False, (N - 4) / (N - 1))):
        problem = optsde.Problem(LOSS, noise.Minibatch(replace), 4)
        np.testing.assert_allclose(sigma(problem), share * covariance() / 4, atol=1e-12)
    problem = optsde.Problem(LOSS, noise.LabelNoise(STD), 2)
    assert SGD.sde(problem).diffusion_at(THETA).shape == (LOSS.dim, 2 * N)
    np.testing.assert_allclose(sigma(problem), covariance(STD) / 2, atol=1e-12)
    # The labels' part is far from that of outputs without the factor N.
    assert np.abs(covariance(STD) - covariance(STD / N)).max() > 1.0


@pytest.mark.parametrize("law", [noise.Minibatch(), noise.Minibatch(replace=False), noise.LabelNoise(0.4)])
def test_noise_is_applied_as_its_factor_is(law):
    sde, n = SGD.sde(optsde.Problem(LOSS, law, 2)), 20
    factor = sde.diffusion_at(THETA)
    run = {"n_paths": n, "rng": 1, "method": "euler_maruyama"}
    ends = optsde.simulate(sde, THETA, steps=1, substeps=1, **run).final
    m = factor.shape[1]
    walk = optsde.SDE(lambda t, x: 0.0 * x, lambda t, x: np.ones(x.shape), dim=m, noise="diagonal")
    dw = optsde.simulate(walk, np.zeros(m), t1=1.0, dt=1.0, **run).final * np.sqrt(SGD.lr)
    np.testing.assert_allclose(ends, THETA - SGD.lr * LOSS.grad(THETA) + dw @ factor.T, atol=1e-12)


@pytest.mark.parametrize("law", [noise.Minibatch(), noise.LabelNoise(0.4)])
def test_variances_and_their_slopes(law):
    problem = optsde.Problem(LOSS, law, 3)
    sde = optsde.RMSprop(0.01).sde(problem)
    start = optsde.simulate(sde, THETA, steps=1, observe=optsde.Paths(at=2), rng=1).state["v"].paths[0, 0]
    np.testing.assert_allclose(start, LOSS.grad(THETA) ** 2 + np.diag(sigma(problem)), rtol=1e-12)
    # Adam's second moment at order 2: half a step along w of what v follows, (1 - β₂)/η (g² + s - v).
    adam = optsde.Adam(0.01, betas=(0.9, 0.99), bias_correction=False)
    m, v = np.cos(2.0 + np.arange(LOSS.dim)), 1.0 + np.cos(np.arange(LOSS.dim)) ** 2
    drifts = [
        adam.sde(problem, order=2).drift_at({"theta": THETA, "m": sign * m, "v": v})[2 * LOSS.dim :] for sign in (1, -1)
    ]

    def follows(x):
        factor = SGD.sde(problem).diffusion_at(x)
        return LOSS.grad(x) ** 2 + np.einsum("im,im->i", factor, factor) / SGD.lr

    w = m / (np.sqrt(v) + adam.eps)
    along = slope(lambda h: follows(THETA + h[0] * w), np.zeros(1))[:, 0]
    np.testing.assert_allclose((drifts[0] - drifts[1]) / 2, 0.5 * (1 - 0.99) * along, rtol=1e-8, atol=1e-10)


def test_steps_use_gradients_of_examples():
    grads = LOSS.example_grads(THETA)
    for replace in (True, False):
        algorithm = SGD.discrete(optsde.Problem(LOSS, noise.Minibatch(replace), 2))
        ends = optsde.simulate(algorithm, THETA, steps=1, n_paths=200, rng=2).final
        pairs = [(i, j) for i in range(N) for j in range(i, N) if replace or i != j]
        possible = THETA - SGD.lr * np.array([(grads[i] + grads[j]) / 2 for i, j in pairs])
        distance = np.abs(ends[:, None] - possible).max(axis=2)
        assert distance.min(axis=1).max() < 1e-12
        assert len(set(distance.argmin(axis=1))) > len(pairs) / 2


def test_labels_shift_the_elements_of_the_target():
    problem = optsde.Problem(LOSS, noise.LabelNoise(STD, signs=True), 1)
    ends = optsde.simulate(SGD.discrete(problem), THETA, steps=1, n_paths=100, rng=3).final
    moves = [
        g - sign * STD * j for g, j in zip(LOSS.example_grads(THETA), jacobians(), strict=True) for sign in (1, -1)
    ]
    distance = np.abs(ends[:, None] - (THETA - SGD.lr * np.array(moves))).max(axis=2)
    assert distance.min(axis=1).max() < 1e-12
    assert len(set(distance.argmin(axis=1))) == 2 * N


def test_labels_at_the_minimum_follow_the_hessian():
    loss = losses.MatrixFactorization(TARGET, rank=2)
    minimum = loss.minima[0]
    factor = optsde.SGD(1.0).sde(optsde.Problem(loss, noise.LabelNoise(STD), 1)).diffusion_at(minimum)
    np.testing.assert_allclose(factor @ factor.T, N * STD**2 * loss.hessian(minimum), atol=1e-12)


def test_bits_do_not_depend_on_threads_or_width():
    problem = optsde.Problem(LOSS, noise.LabelNoise(STD), 3)
    whole = optsde.simulate(SGD.discrete(problem), THETA, steps=3, n_paths=301, rng=4, threads=1)
    parts = [
        optsde.simulate(SGD.discrete(problem), THETA, steps=3, n_paths=301, rng=4, threads=2, path_range=r)
        for r in ((0, 37), (37, 301))
    ]
    np.testing.assert_array_equal(whole.final, np.concatenate([part.final for part in parts]))
    single = optsde.simulate(SGD.discrete(problem), THETA, steps=3, n_paths=301, rng=4, dtype="float32")
    np.testing.assert_allclose(single.final.mean(axis=0), whole.final.mean(axis=0), atol=0.2)
