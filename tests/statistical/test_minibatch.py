"""Minibatches and label noise: covariances by enumeration, second moments by exact recursions, epochs by answers."""

import itertools

import numpy as np
import optsde
import pytest
from optsde import losses, noise
from problems import assert_agrees, mean_and_error
from scipy.linalg import solve

# Gradients of five examples: of f_i = ½|x|² + g_i·x, the gradients at 0 and, but for a shift, everywhere.
GRADS = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0], [3.0, -1.0], [0.0, 0.5]])
SIGMA_1 = [[1.84, -1.1], [-1.1, 1.0]]
WITH, WITHOUT = [[0.92, -0.55], [-0.55, 0.5]], [[0.69, -0.4125], [-0.4125, 0.375]]
# Stationary variance of f_i = ½ (x - a_i)² at the ends of epochs, and of independent draws: by lr.
A = np.array([-1.0, -0.2, 0.4, 0.8])
EPOCHS = {
    0.1: (0.0004400319, 0.0242105263),
    0.05: (0.0000515015, 0.0117948718),
    0.025: (0.0000062142, 0.0058227848),
}
ROOTS = losses.LinearRegression(np.ones((4, 1)), A)

# A regression of three parameters on five examples.
_RNG = np.random.default_rng(11)
X = _RNG.normal(size=(5, 3))
Y = X @ np.array([0.5, -0.3, 0.2]) + 0.4 * _RNG.normal(size=5)
REGRESSION = losses.LinearRegression(X, Y)
START = np.array([0.4, -0.2, 0.3])


def shifted(grads):
    d = grads.shape[1]
    return losses.Function(
        lambda x: x + grads.mean(axis=0),
        dim=d,
        hessian=lambda x: np.broadcast_to(np.eye(d), (len(x), d, d)),
        example_grads=lambda x: x[:, None, :] + grads,
        n_examples=len(grads),
    )


GIVEN = shifted(GRADS)


def batches(n, batch, replace):
    """All batches with their probabilities."""
    if replace:
        return [(indices, n**-batch) for indices in itertools.product(range(n), repeat=batch)]
    sets = list(itertools.combinations(range(n), batch))
    return [(indices, 1.0 / len(sets)) for indices in sets]


def products(x):
    """The distinct entries of x xᵀ."""
    i, j = np.triu_indices(x.shape[1])
    return x[:, i] * x[:, j]


@pytest.mark.parametrize(("replace", "batch", "exact"), [(True, 1, SIGMA_1), (True, 2, WITH), (False, 2, WITHOUT)])
def test_covariance_of_given_gradients(replace, batch, exact):
    problem = optsde.Problem(GIVEN, noise.Minibatch(replace), batch)
    sgd = optsde.SGD(1.0)
    factor = sgd.sde(problem).diffusion_at([0.3, -0.1])
    np.testing.assert_allclose(factor @ factor.T, exact, atol=1e-14)
    ens = optsde.simulate(
        sgd.discrete(problem), [0.0, 0.0], steps=1, n_paths=200_000, rng=1, observe=optsde.Moments(cov=True)
    )
    others = [np.array(cov) for cov in (SIGMA_1, WITH, WITHOUT) if cov is not exact]
    assert_agrees(ens.mean[0], ens.mean_stderr[0], -GRADS.mean(axis=0), wrong=[np.zeros(2)])
    assert_agrees(ens.cov[0], ens.cov_stderr[0], np.array(exact), wrong=others)


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("name", ["logistic", "softmax", "mlp", "diagonal"])
def test_moments_of_a_step_by_enumeration(name, replace):
    classes = np.array([0, 1, 2, 1, 0])
    loss = {
        "logistic": losses.LogisticRegression(X, Y > 0, l2=0.3),
        "softmax": losses.SoftmaxRegression(X, classes, l2=0.3),
        "mlp": losses.MLP(X, Y, (2,)),
        "diagonal": losses.DiagonalLinearNetwork(X, Y),
    }[name]
    theta, lr, batch = np.sin(1.0 + np.arange(loss.dim)), 0.5, 3
    grads = loss.example_grads(theta)
    weighted = [(theta - lr * grads[list(b)].mean(axis=0), p) for b, p in batches(5, batch, replace)]
    mean = sum(p * x for x, p in weighted)
    second, third = (sum(p * (x - mean) ** k for x, p in weighted) for k in (2, 3))
    ends = optsde.simulate(
        optsde.SGD(lr).discrete(optsde.Problem(loss, noise.Minibatch(replace), batch)),
        theta,
        steps=1,
        n_paths=200_000,
        rng=2,
    ).final
    other = sum(p * (theta - lr * grads[list(b)].mean(axis=0) - mean) ** 2 for b, p in batches(5, batch, not replace))
    assert_agrees(*mean_and_error(ends), mean, wrong=[theta])
    assert_agrees(*mean_and_error((ends - mean) ** 2), second, wrong=[other])
    assert_agrees(*mean_and_error((ends - mean) ** 3), third, wrong=[2 * third])


@pytest.mark.parametrize(("dtype", "bias"), [("float64", 0.0), ("float32", 1e-6)])
@pytest.mark.parametrize("signs", [False, True])
def test_label_noise(signs, dtype, bias):
    """Σ₁ = mean of (r_i² + δ²) x_i x_iᵀ - ∇f ∇fᵀ, and the fourth moment, in which normal labels and signs differ."""
    delta, lr, batch = 0.7, 1.0, 2
    problem = optsde.Problem(REGRESSION, noise.LabelNoise(delta, signs), batch)
    r, slope = X @ START - Y, REGRESSION.grad(START)
    one = (X.T * (r**2 + delta**2)) @ X / 5 - np.outer(slope, slope)
    factor = optsde.SGD(lr).sde(problem).diffusion_at(START)
    np.testing.assert_allclose(factor @ factor.T, one / batch, atol=1e-14)
    ens = optsde.simulate(
        optsde.SGD(lr).discrete(problem),
        START,
        steps=1,
        n_paths=400_000,
        rng=3,
        observe=[optsde.Moments(cov=True), optsde.Final()],
        dtype=dtype,
    )
    plain = one - delta**2 * X.T @ X / 5
    assert_agrees(ens.mean[0], ens.mean_stderr[0], START - lr * slope, wrong=[START], bias=bias)
    assert_agrees(ens.cov[0], ens.cov_stderr[0], one / batch, wrong=[plain / batch, one], bias=bias)
    single = optsde.Problem(REGRESSION, noise.LabelNoise(delta, signs), 1)
    ends = optsde.simulate(optsde.SGD(lr).discrete(single), START, steps=1, n_paths=400_000, rng=4, dtype=dtype).final

    def fourth(kurtosis):
        mixed = r[:, None] ** 4 + 6 * r[:, None] ** 2 * delta**2 + kurtosis * delta**4
        return (mixed * X**4).mean(axis=0)

    exact, other = (fourth(1.0), fourth(3.0)) if signs else (fourth(3.0), fourth(1.0))
    steps = (START - ends.astype(float)) / lr
    assert_agrees(*mean_and_error(steps**4), exact, wrong=[other], bias=bias * 100)


def test_label_noise_at_zero_loss_is_the_hessian():
    targets = X[:2] @ np.array([0.5, -0.3, 0.2])
    loss = losses.LinearRegression(X[:2], targets)
    minimum = loss.minima[0]
    factor = optsde.SGD(1.0).sde(optsde.Problem(loss, noise.LabelNoise(0.3), 1)).diffusion_at(minimum)
    np.testing.assert_allclose(factor @ factor.T, 0.09 * loss.hessian(minimum), atol=1e-14)


# --- linear regression: moments of all orders up to the second close -----------------------------------------------


def affine_moments(lr, batch, replace, steps, discrete, substeps=1):
    """Mean and second moment of θ after steps, exactly: Σ(θ) is quadratic in θ. Euler-Maruyama for the equation."""
    n = len(X)
    share = (1.0 if replace else (n - batch) / (n - 1)) / batch
    h = lr / substeps
    # homogeneous coordinates u = (θ, 1): g_i = G_i u
    g = [np.outer(x, np.append(x, -y)) for x, y in zip(X, Y, strict=True)]
    mean = sum(g) / n
    shift = np.eye(3, 4)
    second, first = np.outer(np.append(START, 1), np.append(START, 1)), np.append(START, 1)
    for _ in range(steps * substeps):
        move = shift - (lr if discrete else h) * mean
        spread = sum((gi - mean) @ second @ (gi - mean).T for gi in g) / n * share
        inner = move @ second @ move.T + (lr**2 if discrete else lr * h) * spread
        first = np.append(move @ first, 1)
        second = np.block([[inner, first[:3, None]], [first[None, :3], 1.0]])
    return first[:3], second[:3, :3]


@pytest.mark.parametrize(("batch", "replace"), [(1, True), (2, True), (2, False)])
def test_second_moments_of_regression(batch, replace):
    lr, steps, n = 0.2, 15, 200_000
    problem = optsde.Problem(REGRESSION, noise.Minibatch(replace), batch)
    first, second = affine_moments(lr, batch, replace, steps, True)
    chain = optsde.simulate(optsde.SGD(lr).discrete(problem), START, steps=steps, n_paths=n, rng=5).final
    no_noise = np.outer(first, first)
    upper = np.triu_indices(3)
    assert_agrees(*mean_and_error(chain), first, wrong=[START])
    assert_agrees(*mean_and_error(products(chain)), second[upper], wrong=[no_noise[upper]])
    first, second = affine_moments(lr, batch, replace, steps, False, 4)
    sde = optsde.SGD(lr).sde(problem)
    euler = optsde.simulate(sde, START, steps=steps, substeps=4, n_paths=n // 2, rng=6).final
    assert_agrees(*mean_and_error(euler), first, wrong=[START])
    assert_agrees(*mean_and_error(products(euler)), second[upper], wrong=[no_noise[upper]])


def test_svag_amplifies_the_covariance_and_keeps_the_mean():
    lr, l = 0.2, 4
    problem = optsde.Problem(GIVEN, noise.Minibatch(replace=False), 2)
    svag = optsde.SGD(lr).svag(problem, l=l)
    # linear drift, constant Σ: θ' = (1 - lr/l) θ - (lr/l) (ḡ + z), Cov z = l Σ, four times a step
    shrink = 1 - lr / l
    mean = -GRADS.mean(axis=0) * (1 - shrink**l)
    cov = (lr / l) ** 2 * l * np.array(WITHOUT) * sum(shrink ** (2 * k) for k in range(l))
    ens = optsde.simulate(svag, [0.0, 0.0], steps=1, n_paths=200_000, rng=7, observe=optsde.Moments(cov=True))
    assert_agrees(ens.mean[0], ens.mean_stderr[0], mean, wrong=[np.zeros(2)])
    assert_agrees(ens.cov[0], ens.cov_stderr[0], cov, wrong=[cov / l, cov * np.array(WITH) / np.array(WITHOUT)])


def test_batches_of_steps_are_independent():
    problem = optsde.Problem(ROOTS, noise.Minibatch(replace=False), 2)
    x = optsde.simulate(
        optsde.SGD(0.1).discrete(problem), 0.0, steps=2, n_paths=100_000, rng=8, observe=optsde.Paths(at=3)
    ).paths[:, :, 0]
    seen = x[:-1] - np.diff(x, axis=0) / -0.1 - A.mean()
    variance = np.square(A - A.mean()).mean() / 2 * (4 - 2) / 3
    assert_agrees(*mean_and_error((seen[0] * seen[1])[:, None]), 0.0, wrong=[-variance])
    assert_agrees(*mean_and_error((seen[0] ** 2)[:, None]), variance, wrong=[1.5 * variance])


# --- epochs ---------------------------------------------------------------------------------------------------------


def epoch_variance(lr):
    """Stationary variance at ends of epochs: x' = (1 - lr)^4 x + lr Σ_j (1 - lr)^(3 - j) a_π(j)."""
    weights = lr * (1 - lr) ** np.arange(3, -1, -1)
    shifts = np.array([weights @ A[list(order)] for order in itertools.permutations(range(4))])
    return shifts.var() / (1 - (1 - lr) ** 8)


@pytest.mark.parametrize("lr", EPOCHS)
def test_noise_cancels_within_epochs(lr):
    reshuffled, independent = EPOCHS[lr]
    np.testing.assert_allclose(epoch_variance(lr), reshuffled, atol=1e-10)
    np.testing.assert_allclose(np.square(A).mean() * lr / (2 - lr), independent, atol=1e-10)
    epochs = int(np.ceil(10 / (4 * lr)))
    for law, exact, wrong in (
        (noise.Minibatch(reshuffle=True), reshuffled, independent),
        (noise.Minibatch(), independent, reshuffled),
    ):
        ens = optsde.simulate(
            optsde.SGD(lr).discrete(optsde.Problem(ROOTS, law, 1)), 0.0, steps=4 * epochs, n_paths=100_000, rng=9
        )
        # from 0, which is the mean: the variance is 1 - (1 - lr)^(8 epochs), within 2e-9, of the stationary one
        assert_agrees(ens.var[0], ens.var_stderr[0], exact, wrong=[wrong, 1.05 * exact])


# --- other algorithms: a transcription in NumPy, given what was drawn -----------------------------------------------


def test_algorithms_see_the_gradient_of_their_examples():
    """Momentum, Adam and SignSGD on batches that plain SGD, on the same key, shows: N = 4 targets tell which."""
    steps, n, lr = 12, 50, 0.05
    problem = optsde.Problem(ROOTS, noise.Minibatch(), 1)
    options = {"steps": steps, "n_paths": n, "rng": 10}
    x = optsde.simulate(optsde.SGD(lr).discrete(problem), 0.3123, observe=optsde.Paths(at=steps + 1), **options).paths[
        :, :, 0
    ]
    drawn = x[:-1] - (x[:-1] - x[1:]) / lr
    assert np.abs(drawn[:, :, None] - A).min(axis=2).max() < 1e-12

    theta, buffer = np.full(n, 0.3123), np.zeros(n)
    for a in drawn:
        buffer = 0.9 * buffer + (theta - a)
        theta = theta - lr * buffer
    momentum = optsde.simulate(optsde.SGD(lr, momentum=0.9).discrete(problem), 0.3123, **options).final[:, 0]
    np.testing.assert_allclose(momentum, theta, rtol=1e-11)

    theta, m, v = np.full(n, 0.3123), np.zeros(n), np.zeros(n)
    for k, a in enumerate(drawn, start=1):
        g = theta - a
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        theta = theta - lr * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.99**k)) + 1e-8)
    adam = optsde.simulate(optsde.Adam(lr, betas=(0.9, 0.99)).discrete(problem), 0.3123, **options).final[:, 0]
    np.testing.assert_allclose(adam, theta, rtol=1e-10)

    theta = np.full(n, 0.3123)
    for a in drawn:
        theta = theta - lr * np.sign(theta - a)
    signs = optsde.simulate(optsde.SignSGD(lr).discrete(problem), 0.3123, **options).final[:, 0]
    np.testing.assert_allclose(signs, theta, rtol=1e-12)


def test_stationary_second_moment_of_regression():
    lr, batch = 0.3, 2
    n = len(X)

    def step(m, constant=1.0):
        mean = np.eye(3) - lr * X.T @ X / n
        r = X @ REGRESSION.minima[0] - Y
        out = mean @ m @ mean.T
        slopes = [np.outer(x, x) - X.T @ X / n for x in X]
        spread = sum(s @ m @ s.T for s in slopes) / n + constant * (X.T * r**2) @ X / n
        return out + lr**2 / batch * spread

    # third: means of θ - θ* vanish in the stationary law, and so do the mixed terms
    basis = np.eye(9).reshape(9, 3, 3)
    linear = np.array([(step(b, 0.0) - b).ravel() for b in basis]).T
    exact = solve(-linear, step(np.zeros((3, 3))).ravel()).reshape(3, 3)
    problem = optsde.Problem(REGRESSION, noise.Minibatch(), batch)
    slowest = np.linalg.eigvalsh(X.T @ X / n)[0]
    steps = int(16 / (lr * slowest))
    ens = optsde.simulate(optsde.SGD(lr).discrete(problem), REGRESSION.minima[0], steps=steps, n_paths=50_000, rng=11)
    small_rate = lr * np.square(X @ REGRESSION.minima[0] - Y).mean() / (2 * batch) * np.eye(3)
    upper = np.triu_indices(3)
    estimate = mean_and_error(products(ens.final - REGRESSION.minima[0]))
    assert_agrees(*estimate, exact[upper], wrong=[small_rate[upper]])
