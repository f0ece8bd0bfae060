"""Regressions, minibatches, label noise: values and derivatives against NumPy, what they print, refuse and need."""

import copy
import pickle
import warnings

import numpy as np
import optsde
import pytest
from optsde import losses, noise

RNG = np.random.default_rng(5)
X = RNG.normal(size=(7, 3))
Y = RNG.normal(size=7)
CLASSES = np.array([0, 1, 2, 0, 1, 2, 1])
SGD = optsde.SGD(0.1)


def least_squares(x):
    return (x @ X.T - Y) @ X / len(X)


def least_squares_examples(x):
    return (x @ X.T - Y)[:, :, None] * X


OWN = losses.Function(least_squares, dim=3, example_grads=least_squares_examples, n_examples=7)
LINEAR = losses.LinearRegression(X, Y)
DATA = {
    "linear": LINEAR,
    "logistic": losses.LogisticRegression(X, Y > 0, l2=0.3),
    "softmax": losses.SoftmaxRegression(X, CLASSES, l2=0.2),
    "mlp": losses.MLP(X, Y, (3,)),
    "mlp of two outputs": losses.MLP(X, np.stack([Y, Y**2], axis=1), (2,), "sigmoid"),
    "cross-entropy": losses.MLP(X, CLASSES, (), loss="cross_entropy"),
    "diagonal": losses.DiagonalLinearNetwork(X, Y),
    "factors": losses.MatrixFactorization(Y[:, None], 2),
    "function": OWN,
}
LOG_LIKELIHOODS = {
    "linear": lambda theta: 0.5 * (X @ theta - Y) ** 2,
    "logistic": lambda theta: np.logaddexp(0.0, X @ theta) - (Y > 0) * (X @ theta) + 0.15 * theta @ theta,
    "softmax": lambda theta: (
        np.log(np.exp(X @ theta.reshape(3, 3)).sum(axis=1))
        - (X @ theta.reshape(3, 3))[np.arange(7), CLASSES]
        + 0.1 * theta @ theta
    ),
}
MAKERS = [
    lambda: losses.LinearRegression(X, Y),
    lambda: losses.LogisticRegression(X, Y > 0),
    lambda: losses.LogisticRegression(X, Y > 0, l2=0.1),
    lambda: losses.SoftmaxRegression(X, CLASSES),
    lambda: losses.SoftmaxRegression(X, CLASSES, l2=0.1),
    lambda: noise.Minibatch(),
    lambda: noise.Minibatch(replace=False),
    lambda: noise.Minibatch(reshuffle=True),
    lambda: noise.LabelNoise(0.5),
    lambda: noise.LabelNoise(0.5, signs=True),
    lambda: losses.Function(least_squares, dim=3, example_grads=least_squares_examples, n_examples=7),
    lambda: SGD.discrete(optsde.Problem(LINEAR, noise.Minibatch(), 2)),
    lambda: SGD.sde(optsde.Problem(LINEAR, noise.LabelNoise(0.1), 2)),
]


def minibatch(loss=LINEAR, batch_size=2, **options):
    return optsde.Problem(loss, noise.Minibatch(**options), batch_size)


BAD = [
    (lambda: losses.LinearRegression([1.0, 2.0], [1.0, 2.0]), ValueError, r"^X: expected a matrix .* got shape \(2,\)"),
    (lambda: losses.LinearRegression(X, Y[:3]), ValueError, r"^y: expected shape \(7,\).* got \(3,\)"),
    (lambda: losses.LinearRegression(X, np.stack([Y, Y], axis=1)), ValueError, r"^y: expected shape \(7,\)"),
    (lambda: losses.LinearRegression(X * np.inf, Y), ValueError, "^X: expected finite"),
    (
        lambda: losses.LogisticRegression(X, Y),
        ValueError,
        "^y: expected classes 0 and 1, or -1 and 1, got .* at index 0",
    ),
    (
        lambda: losses.LogisticRegression(X, [0, 1, -1, 0, 1, 1, 0]),
        ValueError,
        "^y: expected classes .* got 0 at index 0",
    ),
    (lambda: losses.LogisticRegression(X, Y > 0, l2=-1.0), ValueError, "^l2: expected a number of at least 0"),
    (lambda: losses.SoftmaxRegression(X, Y), ValueError, "^y: expected classes, whole numbers"),
    (lambda: losses.SoftmaxRegression(X, np.zeros(7)), ValueError, "^y: expected at least two classes"),
    (lambda: losses.SoftmaxRegression(X, CLASSES, l2="0"), TypeError, "^l2: expected real numbers"),
    (
        lambda: losses.Function(least_squares, dim=3, n_examples=7),
        ValueError,
        "^example_grads: expected with n_examples",
    ),
    (
        lambda: losses.Function(least_squares, dim=3, example_grads=least_squares_examples),
        ValueError,
        "^n_examples: expected with example_grads",
    ),
    (
        lambda: losses.Function(least_squares, dim=3, example_grads=3.0, n_examples=7),
        TypeError,
        "^example_grads: expected a function, got float",
    ),
    (lambda: losses.Function(least_squares, dim=3).example_grads([0, 0, 0]), ValueError, "^example_grads: .* needs it"),
    (
        lambda: losses.DoubleWell().example_grads([0.0]),
        ValueError,
        r"^loss: example_grads\(x\) .* got losses.DoubleWell",
    ),
    (lambda: LINEAR.example_grads([0.0]), ValueError, r"^x: expected shape \(..., 3\), got \(1,\)"),
    (lambda: noise.Minibatch(replace=1), TypeError, "^replace: expected True or False, got 1"),
    (lambda: noise.Minibatch(reshuffle="yes"), TypeError, "^reshuffle: expected True or False, got 'yes'"),
    (lambda: noise.LabelNoise(-0.1), ValueError, "^std: expected a number of at least 0"),
    (lambda: noise.LabelNoise(0.1, signs=1), TypeError, "^signs: expected True or False, got 1"),
    (lambda: minibatch(losses.Quadratic(1.0, dim=2)), ValueError, "^loss: noise.Minibatch .* got losses.Quadratic"),
    (lambda: minibatch(losses.ScalarFactorization()), ValueError, "^loss: .* got losses.ScalarFactorization"),
    (lambda: minibatch(losses.Function(least_squares, dim=3)), ValueError, "^example_grads: noise.Minibatch needs it"),
    (lambda: minibatch(batch_size=8, replace=False), ValueError, "^batch_size: without .* at most the 7 .* got 8"),
    (lambda: minibatch(batch_size=2, reshuffle=True), ValueError, "^batch_size: .* divisor of the number 7 .* got 2"),
    (
        lambda: SGD.sde(minibatch(batch_size=1, reshuffle=True)),
        ValueError,
        "^noise: reshuffled epochs have no equation",
    ),
    (lambda: SGD.svag(minibatch(batch_size=1, reshuffle=True)), ValueError, "^noise: SVAG needs independent batches"),
    (lambda: SGD.family(minibatch(batch_size=1, reshuffle=True)), ValueError, "^noise: reshuffled epochs have no"),
    (
        lambda: optsde.Problem(DATA["logistic"], noise.LabelNoise(0.1)),
        ValueError,
        "^loss: noise.LabelNoise shifts the targets of squared errors .* got LogisticRegression",
    ),
    (lambda: optsde.Problem(DATA["cross-entropy"], noise.LabelNoise(0.1)), ValueError, "^loss: noise.LabelNoise"),
    (lambda: optsde.Problem(OWN, noise.LabelNoise(0.1)), ValueError, "^loss: noise.LabelNoise"),
    (lambda: optsde.Problem(losses.DoubleWell(), noise.LabelNoise(0.1)), ValueError, "^loss: noise.LabelNoise needs"),
    (lambda: optsde.SignSGD(0.1).sde(minibatch()), ValueError, "^noise: SignSGD's equation is of Gaussian noise"),
    (
        lambda: optsde.simulate(SGD.discrete(minibatch()), np.zeros(3), steps=1, wiener_dt=0.05),
        ValueError,
        "^wiener_dt: the noise of this algorithm is not made of a Wiener path",
    ),
    (
        lambda: optsde.simulate(SGD.discrete(minibatch()), np.zeros(3), steps=1, increments="gaussian_f32"),
        ValueError,
        "^increments: 'gaussian_f32' is a law of Wiener increments",
    ),
    (lambda: optsde.Adam(0.1).sde(minibatch(OWN), order=2), ValueError, "^order: .* derivatives of the examples'"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_value_semantics():
    made = [make() for make in MAKERS]
    assert len(set(made)) == len(made)
    for make, first in zip(MAKERS, made, strict=True):
        for again in (make(), pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
            assert again == first
            assert hash(again) == hash(first)
    assert noise.Minibatch(True, reshuffle=True) == noise.Minibatch(False, reshuffle=True)
    signs = np.where(Y > 0, 1, -1)
    assert losses.LogisticRegression(X, signs) == losses.LogisticRegression(X, Y > 0)


def slopes(function, theta, step=1e-6):
    """Central differences along each coordinate, last axis."""
    return np.stack([(function(theta + e) - function(theta - e)) / (2 * step) for e in step * np.eye(len(theta))], -1)


@pytest.mark.parametrize("name", LOG_LIKELIHOODS)
def test_derivatives_of_regressions(name):
    loss, examples = DATA[name], LOG_LIKELIHOODS[name]
    theta = 0.7 * np.cos(np.arange(loss.dim))
    np.testing.assert_allclose(loss.value(theta), examples(theta).mean(), rtol=1e-13)
    np.testing.assert_allclose(loss.example_grads(theta), slopes(examples, theta), atol=1e-8)
    np.testing.assert_allclose(loss.hessian(theta), slopes(loss.grad, theta), atol=1e-8)
    s = RNG.normal(size=(loss.dim, loss.dim))
    third = slopes(lambda x: ((s + s.T) / 2 * loss.hessian(x)).sum(), theta)
    np.testing.assert_allclose(loss.third(theta, s), third, atol=1e-8)
    # far out, where exponentials overflow, values stay finite
    assert np.isfinite(loss.value(1e3 * theta))
    assert np.isfinite(loss.grad(1e3 * theta)).all()


@pytest.mark.parametrize("name", DATA)
def test_gradients_of_examples_average_to_the_gradient(name):
    loss = DATA[name]
    x = np.cos(np.arange(2 * 3 * loss.dim)).reshape(2, 3, loss.dim)
    grads = loss.example_grads(x)
    assert grads.shape == (2, 3, 7, loss.dim)
    np.testing.assert_allclose(grads.mean(axis=2), loss.grad(x), atol=1e-14)
    np.testing.assert_array_equal(grads[1, 2], loss.example_grads(x[1, 2]))


def covariance(loss, theta):
    grads = loss.example_grads(theta)
    off = grads - grads.mean(axis=0)
    return off.T @ off / len(grads)


def sigma(problem, theta):
    """Σ of a step, from the factor of SGD's equation √η S."""
    factor = SGD.sde(problem).diffusion_at(theta)
    return factor @ factor.T / SGD.lr


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(("replace", "share"), [(True, 1.0), (False, (7 - 3) / (7 - 1))])
def test_factor_is_that_of_the_empirical_covariance(name, replace, share):
    loss = DATA[name]
    theta = np.sin(1.0 + np.arange(loss.dim))
    problem = minibatch(loss, 3, replace=replace)
    assert SGD.sde(problem).diffusion_at(theta).shape == (loss.dim, 7)
    np.testing.assert_allclose(sigma(problem, theta), share * covariance(loss, theta) / 3, atol=1e-13)


@pytest.mark.parametrize("name", ["linear", "mlp", "mlp of two outputs", "diagonal"])
def test_label_noise_adds_the_squares_of_the_jacobian(name):
    loss, std = DATA[name], 0.6
    theta = np.sin(1.0 + np.arange(loss.dim))
    targets = np.atleast_2d(loss.y.T).T
    jacobians = []
    for k in range(targets.shape[1]):
        moved = targets.copy()
        moved[:, k] += 1.0
        other = type(loss)(**(loss._fields() | {"y": moved if loss.y.ndim == 2 else moved[:, 0]}))
        jacobians.append(loss.example_grads(theta) - other.example_grads(theta))
    labels = sum(j.T @ j for j in jacobians) / 7
    expected = (covariance(loss, theta) + std**2 * labels) / 2
    problem = optsde.Problem(loss, noise.LabelNoise(std), 2)
    assert SGD.sde(problem).diffusion_at(theta).shape == (loss.dim, 7 * (1 + len(jacobians)))
    np.testing.assert_allclose(sigma(problem, theta), expected, atol=1e-13)


@pytest.mark.parametrize("law", [noise.Minibatch(), noise.Minibatch(replace=False), noise.LabelNoise(0.4)])
def test_noise_is_applied_as_its_factor_is(law):
    loss = DATA["mlp"]
    theta, lr = np.sin(1.0 + np.arange(loss.dim)), 0.1
    sde = SGD.sde(optsde.Problem(loss, law, 2))
    factor = sde.diffusion_at(theta)
    # one Euler-Maruyama step of every path, against the same increments through the factor
    n = 20
    ends = optsde.simulate(sde, theta, steps=1, substeps=1, n_paths=n, rng=1).final
    dw = unit_increments(factor.shape[1], n) * np.sqrt(lr)
    np.testing.assert_allclose(ends, theta - lr * loss.grad(theta) + dw @ factor.T, atol=1e-12)


def unit_increments(m, n):
    """The standard normals of one step of m Wiener processes, read off a run with identity diffusion."""
    walk = optsde.SDE(lambda t, x: 0.0 * x, lambda t, x: np.ones(x.shape), dim=m, noise="diagonal")
    return optsde.simulate(walk, np.zeros(m), t1=1.0, dt=1.0, n_paths=n, rng=1, method="euler_maruyama").final


@pytest.mark.parametrize("name", ["linear", "softmax", "mlp of two outputs", "diagonal", "function"])
def test_second_moments_start_at_the_variances(name):
    loss = DATA[name]
    theta = np.sin(1.0 + np.arange(loss.dim))
    laws = [(noise.Minibatch(), np.diag(covariance(loss, theta)))]
    if loss._squared_error:
        laws.append((noise.LabelNoise(0.4), np.diag(sigma(optsde.Problem(loss, noise.LabelNoise(0.4)), theta))))
    for law, variances in laws:
        adam = optsde.RMSprop(0.01).sde(optsde.Problem(loss, law, 3))
        start = optsde.simulate(adam, theta, steps=1, observe=optsde.Paths(at=2), rng=1).state["v"].paths[0, 0]
        np.testing.assert_allclose(start, loss.grad(theta) ** 2 + variances / 3, rtol=1e-12)


@pytest.mark.parametrize("name", ["linear", "logistic", "softmax", "mlp of two outputs", "diagonal"])
def test_slopes_of_the_variances(name):
    """The drift of Adam's second moment at order 2 has them; against differences of the variances."""
    loss = DATA[name]
    lr, theta = 0.01, np.sin(1.0 + np.arange(loss.dim))
    adam = optsde.Adam(lr, betas=(0.9, 0.99), bias_correction=False)
    laws = [noise.Minibatch(), *([noise.LabelNoise(0.4)] if loss._squared_error else [])]
    for law in laws:
        problem = optsde.Problem(loss, law, 3)
        v = 1.0 + np.cos(np.arange(loss.dim)) ** 2

        def drift(m, order, problem=problem, v=v):
            state = {"theta": theta, "m": m, "v": v}
            return adam.sde(problem, order=order).drift_at(state)[2 * loss.dim :]

        # odd in m: half a step along w = m/(√v + ε) of what v follows, (1 - β₂)/η (g² + s - v)
        m = np.cos(2.0 + np.arange(loss.dim))
        found = (drift(m, 2) - drift(-m, 2)) / 2

        def follows(x, problem=problem):
            return loss.grad(x) ** 2 + np.diag(sigma(problem, x))

        w = m / (np.sqrt(v) + adam.eps)
        along = (follows(theta + 1e-5 * w) - follows(theta - 1e-5 * w)) / 2e-5
        np.testing.assert_allclose(found, 0.5 * (1.0 - 0.99) * along, rtol=1e-6, atol=1e-9)
        # without the noise's part
        assert np.abs(found - 0.005 * slopes(lambda x: loss.grad(x) ** 2, theta) @ w).max() > 1e-5


def test_batches_of_all_examples_have_no_noise():
    problem = minibatch(batch_size=7, replace=False)
    assert SGD.sde(problem).noise_kind == SGD.discrete(problem).noise_kind == "none"
    ens = optsde.simulate(SGD.discrete(problem), np.ones(3), steps=5, n_paths=20, rng=1)
    theta = np.ones(3)
    for _ in range(5):
        theta = theta - 0.1 * LINEAR.grad(theta)
    np.testing.assert_allclose(ens.final, np.tile(theta, (20, 1)), rtol=1e-13)
    assert optsde.simulate(SGD.sde(problem), np.ones(3), steps=1).method == "rk4"


def test_steps_use_gradients_of_examples():
    """Every end of one step is the start less lr times the mean gradient of two examples, no others."""
    for loss in (LINEAR, DATA["softmax"], DATA["mlp"], OWN):
        theta = np.sin(1.0 + np.arange(loss.dim))
        grads = loss.example_grads(theta)
        for replace in (True, False):
            ends = optsde.simulate(SGD.discrete(minibatch(loss, replace=replace)), theta, steps=1, n_paths=200, rng=2)
            pairs = [(i, j) for i in range(7) for j in range(i, 7) if replace or i != j]
            possible = theta - 0.1 * np.array([(grads[i] + grads[j]) / 2 for i, j in pairs])
            distance = np.abs(ends.final[:, None] - possible[None]).max(axis=2)
            assert distance.min(axis=1).max() < 1e-12
            assert len(set(distance.argmin(axis=1))) > len(pairs) / 2


def test_a_users_function_sees_the_examples_of_the_built_in_loss():
    options = {"steps": 20, "n_paths": 100, "rng": 3}
    for opt in (SGD, optsde.SGD(0.05, momentum=0.9), optsde.Adam(0.01), optsde.SignSGD(0.01), optsde.SAM(0.05, 0.1)):
        for law, batch in ((noise.Minibatch(), 3), (noise.Minibatch(False), 3), (noise.Minibatch(reshuffle=True), 7)):
            ends = [
                optsde.simulate(opt.discrete(optsde.Problem(loss, law, batch)), np.zeros(3), **options).final
                for loss in (LINEAR, OWN)
            ]
            np.testing.assert_allclose(*ends, atol=1e-10)
    sde = [optsde.simulate(SGD.sde(minibatch(loss)), np.zeros(3), **options).final for loss in (LINEAR, OWN)]
    np.testing.assert_allclose(*sde, atol=1e-10)


def test_weight_decay_is_no_part_of_the_noise():
    decayed = optsde.SGD(0.1, weight_decay=0.5).discrete(minibatch(losses.LogisticRegression(X, Y > 0)))
    inside = SGD.discrete(minibatch(losses.LogisticRegression(X, Y > 0, l2=0.5)))
    ends = [optsde.simulate(d, np.ones(3), steps=5, n_paths=50, rng=1).final for d in (decayed, inside)]
    np.testing.assert_allclose(*ends, rtol=1e-12)


def test_epochs_see_each_example_once():
    # with lr = 1/N and f_i = ½ (x - a_i)², small steps: the sum over an epoch of what was seen is that of all
    a = np.array([-1.0, -0.2, 0.4, 0.8])
    loss = losses.LinearRegression(np.ones((4, 1)), a)
    problem = minibatch(loss, 1, reshuffle=True)
    ens = optsde.simulate(SGD.discrete(problem), 0.0, steps=8, n_paths=64, rng=4, observe=optsde.Paths(at=9))
    x = ens.paths[:, :, 0]
    seen = x[:-1] - np.diff(x, axis=0) / -0.1
    np.testing.assert_allclose(np.sort(seen[:4], axis=0), np.tile(a[:, None], 64), atol=1e-12)
    np.testing.assert_allclose(np.sort(seen[4:], axis=0), np.tile(a[:, None], 64), atol=1e-12)
    assert len({tuple(column) for column in seen[:4].T.round(6)}) > 10
    # an epoch that is entered in its middle goes on as it would have
    rest = optsde.simulate(SGD.discrete(problem), x[3][:, None], t0=3 * 0.1, steps=5, rng=4, observe=optsde.Paths(at=6))
    np.testing.assert_array_equal(rest.paths[:, :, 0], x[3:])


def test_bits_of_further_variables_and_inner_steps_do_not_depend_on_threads_or_shards():
    problem = minibatch(DATA["softmax"], 3, replace=False)
    adam = optsde.Adam(0.01, betas=(0.9, 0.99))
    for dynamics in (adam.discrete(problem), adam.sde(problem), SGD.svag(problem, l=3), adam.svag(problem, l=2)):
        options = {"steps": 4, "n_paths": 300, "rng": 6}
        whole = optsde.simulate(dynamics, np.zeros(9), threads=2, **options)
        for part in (slice(0, 300), slice(100, 107)):
            shard = optsde.simulate(dynamics, np.zeros(9), threads=1, path_range=(part.start, part.stop), **options)
            assert shard.final.tobytes() == whole.final[part].tobytes()


def test_many_wiener_processes_change_the_default_method():
    few, many = minibatch(), minibatch(losses.LinearRegression(np.ones((40, 1)), np.arange(40.0)), 4)
    assert optsde.simulate(SGD.sde(few, order=2), np.zeros(3), steps=1).method == "platen"
    sde = SGD.sde(many, order=2)
    with pytest.warns(UserWarning, match=r"^default method euler_maruyama .* m = 40\. Take a small dt"):
        assert optsde.simulate(sde, 0.0, steps=1).method == "euler_maruyama"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert optsde.simulate(sde, 0.0, steps=1, method="platen").method == "platen"
        assert optsde.simulate(SGD.sde(many), 0.0, steps=1).method == "euler_maruyama"
    with pytest.warns(UserWarning, match="^method euler_maruyama is of weak order 1"):
        optsde.simulate(sde, 0.0, steps=1, method="euler_maruyama")


def test_families_scale_the_noise_by_the_batch():
    loss = losses.LinearRegression(np.ones((40, 1)), np.arange(40.0))
    family = optsde.RMSprop(0.1, weight_decay=0.0).family(minibatch(loss, 16), regime="batch_equivalent")
    assert family(0.05)[0].problem.batch_size == 4
    with pytest.raises(ValueError, match=r"^eta: .* a batch size of 1\.44 is not a whole number"):
        family(0.03)
    without = optsde.RMSprop(0.1).family(minibatch(loss, 16, replace=False), regime="batch_equivalent")
    # (40 - B)/B = 4 (40 - 16)/16 at half the rate: B = 40/7
    with pytest.raises(ValueError, match=r"a batch size of 5\.714"):
        without(0.05)


def test_what_the_descriptions_say():
    for dynamics in (SGD.discrete(minibatch()), SGD.sde(minibatch()), optsde.Adam(0.01).sde(minibatch(), order=2)):
        assert "minibatch gradient noise" in dynamics.describe()
        assert "Minibatch" in repr(dynamics)
    second = optsde.Adam(0.01).sde(minibatch(), order=2).describe()
    assert "weak order 2 in η" in second
    assert "Gaussian noise" not in second
    assert "Gaussian noise of the covariance" in optsde.Adam(0.01).sde(minibatch()).describe()
    assert SGD.sde(minibatch()).noise_kind == SGD.discrete(minibatch()).noise_kind == "full"


def test_softmax_has_its_block():
    loss = DATA["softmax"]
    theta = np.arange(9.0)
    assert loss.split(theta)["W"].shape == (3, 3)
    np.testing.assert_array_equal(loss.join({"W": theta.reshape(3, 3)}), theta)
