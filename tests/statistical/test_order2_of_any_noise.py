"""Order 2 of RMSprop and Adam where noise is not Gaussian: third and fourth moments of one step, by all outcomes.

The one-step criterion of ``one_step``, with the outcomes of a step enumerated (batches, signs) or by quadrature (normal
labels and inputs, Student's law). Nothing is random.
"""

import itertools

import numpy as np
import optsde
import pytest
import reference_optimizers as reference
from adaptive_problem import C1, C2, EPS, NAMES, ORDERINGS, C, corrected, leading, optimizer, small
from one_step import assert_bounded, chain_moments, defects, normal_nodes
from optimizer_tools import coefficients, noise_covariance

THETA, M, V = np.array([0.6, -0.3]), np.array([0.3, 0.6]), np.array([0.5, 0.35])
X = np.array([[1.0, 0.3], [-0.6, 1.2], [0.2, -0.9], [1.4, 0.5]])
Y = np.array([0.8, -0.2, 0.5, 2.0])
COV = np.array([[0.5, 0.2], [0.2, 0.3]])
CENTER = np.array([-0.2, 0.1])
LABEL_STD = 0.6
HAND = optsde.losses.LinearRegression(X, Y)


def batches(batch, replace):
    """Index tuples (n, B) and weights: all batches."""
    tuples = itertools.product(range(4), repeat=batch) if replace else itertools.combinations(range(4), batch)
    indices = np.array(list(tuples))
    return indices, np.full(len(indices), 1 / len(indices))


def of_examples(theta, indices, shifts=0.0):
    """Mean gradients of batches of the regression, (n, d); ``shifts`` (n, B) are added to the targets."""
    residuals = np.einsum("nba,na->nb", X[indices], theta) - Y[indices] - shifts
    return np.einsum("nb,nba->na", residuals, X[indices]) / indices.shape[1]


def minibatch(batch, replace):
    indices, weights = batches(batch, replace)
    law = optsde.noise.Minibatch(replace=replace)
    return optsde.Problem(HAND, law, batch_size=batch), lambda theta, scale: of_examples(theta, indices), weights


def labels(batch, signs):
    points, weights = (np.array([[-1.0], [1.0]]), np.full(2, 0.5)) if signs else normal_nodes(1, order=8)
    indices, chances = batches(batch, True)
    shifts = np.array([np.concatenate(p) for p in itertools.product(points, repeat=batch)])
    shares = np.array([np.prod(w) for w in itertools.product(weights, repeat=batch)])
    rows, columns = np.divmod(np.arange(len(indices) * len(shifts)), len(shifts))

    def gradient(theta, scale):
        return of_examples(theta, indices[rows], LABEL_STD * shifts[columns])

    problem = optsde.Problem(HAND, optsde.noise.LabelNoise(LABEL_STD, signs=signs), batch_size=batch)
    return problem, gradient, chances[rows] * shares[columns]


def gaussian_inputs(batch):
    # For one example 12 nodes a variable: fresh v is no polynomial.
    points, weights = normal_nodes(3, order=12 if batch == 1 else 5)
    points[:, :2] = points[:, :2] @ np.linalg.cholesky(COV).T

    def one(theta, points):
        residual = np.einsum("na,na->n", points[:, :2], theta - CENTER) - LABEL_STD * points[:, 2]
        return residual[:, None] * points[:, :2]

    picks = np.array(list(itertools.product(range(len(points)), repeat=batch)))
    problem = optsde.Problem(
        optsde.losses.Quadratic(COV, center=CENTER), optsde.noise.GaussianInputs(COV, LABEL_STD), batch_size=batch
    )
    return (
        problem,
        lambda theta, scale: sum(one(theta, points[pick]) for pick in picks.T) / batch,
        weights[picks].prod(axis=1),
    )


STUDENT = np.array([[0.30, 0.08], [0.08, 0.20]])


def student(cov, df=10.0):
    """Student's law: t = sqrt(df) tan φ, where φ has the density cos^(df - 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(100)
    angles = 0.5 * np.pi * nodes
    weights = weights * np.cos(angles) ** (df - 1)
    weights = weights / weights.sum()
    units = np.sqrt(df - 2) * np.tan(angles)
    points = np.array(list(itertools.product(units, repeat=2)))
    root = np.linalg.cholesky(np.diag(cov) if np.ndim(cov) == 1 else cov)

    def gradient(theta, scale):
        return (theta - CENTER) @ COV + scale * points @ root.T

    def problem(variance):
        loss = optsde.losses.Quadratic(COV, center=CENTER)
        return optsde.Problem(loss, optsde.noise.StudentT(df, variance * np.asarray(cov)))

    return problem, gradient, np.outer(weights, weights).ravel()


def regression(loss, gradient):
    """A regression with noise that its data do not make."""
    points, weights = normal_nodes(2)
    root = np.linalg.cholesky(STUDENT)

    def problem(variance):
        return optsde.Problem(loss, optsde.noise.Gaussian(variance * STUDENT))

    return problem, lambda theta, scale: gradient(theta) + scale * points @ root.T, weights


def logistic():
    labels = np.array([0, 1, 1, 0])
    loss = optsde.losses.LogisticRegression(2 * X, labels, l2=0.1)
    return regression(loss, lambda theta: (1 / (1 + np.exp(-2 * theta @ X.T)) - labels) @ X / 2 + 0.1 * theta)


def softmax():
    inputs, labels = 3 * X[:, 0], np.array([0, 1, 1, 0])

    def gradient(theta):
        powers = np.exp(theta[:, None, :] * inputs[:, None])
        return np.einsum("nik,i->nk", powers / powers.sum(axis=2, keepdims=True) - np.eye(2)[labels], inputs) / 4

    return regression(optsde.losses.SoftmaxRegression(inputs[:, None], labels), gradient)


# Problems (or functions of the noise's variance in the library's units), outcomes (theta, scale) -> (n, d), weights.
LAWS = {
    "batches of one": lambda: minibatch(1, True),
    "batches of two": lambda: minibatch(2, True),
    "two without replacement": lambda: minibatch(2, False),
    "three without replacement": lambda: minibatch(3, False),
    "normal labels": lambda: labels(1, False),
    "signs": lambda: labels(1, True),
    "two signs": lambda: labels(2, True),
    "gaussian inputs": lambda: gaussian_inputs(1),
    "two gaussian inputs": lambda: gaussian_inputs(2),
    "student": lambda: student(STUDENT),
    "student, diagonal": lambda: student([0.3, 0.2]),
}

REGRESSIONS = {
    "linear": lambda: regression(HAND, lambda theta: (theta @ X.T - Y) @ X / 4),
    "logistic": logistic,
    "softmax": softmax,
}


def moments(gradient, weights, theta):
    g = gradient(np.broadcast_to(theta, (len(weights), 2)))
    mean = weights @ g
    z = g - mean
    return mean, np.einsum("n,ni,nj->ij", weights, z, z)


def step(name, regime, ordering, tau, law):
    """Defects by tau³, with the equation's covariance and with that of Gaussian noise."""
    x = np.concatenate([{"theta": THETA, "m": M, "v": V}[key] for key in NAMES[name]])
    t, (lr, unit) = 1.0, small(regime, tau)
    problem, outcomes, weights = (LAWS | REGRESSIONS)[law]()
    if callable(problem):
        problem = problem(1 / unit**2)
    state = dict(zip(NAMES[name], x.reshape(-1, 2), strict=True))
    state["v"] = state["v"] / unit**2
    drift, factor = coefficients(corrected(optimizer(name, regime, ordering, tau), problem, regime), state, t)
    scale = np.ones(len(x))
    scale[-2:] = unit**2
    drift, a = drift * scale, noise_covariance(factor) * np.outer(scale, scale)
    if name == "RMSprop":
        update = reference.rmsprop(lr, 1 - C * tau, EPS / unit, ordering=ordering)
    else:
        update = reference.adam(lr, (1 - C1 * tau, 1 - C2 * tau), EPS / unit, ordering=ordering)

    def gradient(theta, points):
        # the noise of the library's gradient is 1/unit times that of the formulas'
        return outcomes(theta, 1 / unit)

    mean, moment = chain_moments(
        update, NAMES[name], x / scale, round(t / tau), gradient, np.zeros((len(weights), 0)), weights
    )
    b0, a0 = leading(name, regime, ordering, tau, lambda theta: moments(lambda x: outcomes(x, 1.0), weights, theta))
    chain = mean * scale, moment * np.outer(scale, scale)
    g, cov = moments(lambda theta: outcomes(theta, 1.0), weights, x[:2])
    normal = a.copy()
    c2 = C if name == "RMSprop" else C2
    normal[-2:, -2:] = tau * c2**2 * 2 * cov**2
    if regime == "ballistic":
        normal[-2:, -2:] += tau * c2**2 * 4 * np.outer(g, g) * cov
    return (
        defects(chain, drift, a, b0, a0, x, t, tau),
        defects(chain, drift, normal, b0, a0, x, t, tau),
    )


# Largest allowed defects by tau³ of mean and second moment.
BOUNDS = {
    ("RMSprop", "lagged"): (1e-5, 1e-5),
    ("RMSprop", "fresh"): (40.0, 40.0),
    ("Adam", "lagged"): (1e-5, 8.0),
    ("Adam", "fresh"): (8.0, 8.0),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("name", "ordering"), BOUNDS)
def test_one_step_of_the_ballistic_equation(name, ordering, law):
    found = [step(name, "ballistic", ordering, 2.0**-halving, law) for halving in range(6, 11)]
    assert_bounded([right for right, _ in found], BOUNDS[name, ordering])
    # The fourth cumulants matter: the covariances of Gaussian squares double the defect at each halving.
    wrong = [wrong[1] for _, wrong in found]
    assert wrong[-1] > 1.9 * wrong[-2] > 1.9 * 1.9 * wrong[-3]


@pytest.mark.parametrize("law", [law for law in LAWS if law.startswith("student")])
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_the_corrected_equation(name, ordering, law):
    found = [step(name, "batch_equivalent", ordering, 2.0**-halving, law) for halving in range(7, 12)]
    assert_bounded([right for right, _ in found], (1.0, 4.0))
    wrong = [wrong[1] for _, wrong in found]
    assert wrong[-1] > 1.9 * wrong[-2] > 1.9 * 1.9 * wrong[-3]


@pytest.mark.parametrize("loss", REGRESSIONS)
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_the_corrected_equation_of_regressions(name, ordering, loss):
    found = [step(name, "batch_equivalent", ordering, 2.0**-halving, loss)[0] for halving in range(7, 12)]
    assert_bounded(found, (2.0, 8.0))


def test_laws_without_fourth_moments_are_refused():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0]), optsde.noise.StudentT(4.0, [1.0]))
    for regime, order in (("ballistic", 2), ("batch_equivalent", "corrected")):
        with pytest.raises(ValueError, match=r"^order: .* more than 4 degrees of freedom .* got df=4"):
            optsde.Adam(0.01).sde(problem, order=order, regime=regime)
    assert optsde.Adam(0.01).sde(problem).order == 1


def data_problem(name):
    """A problem over data whose covariance has full rank."""
    if name == "network":
        inputs = np.linspace(-2.0, 2.5, 9)
        loss = optsde.losses.MLP(inputs[:, None], np.sin(3 * inputs), hidden=(1,))
    elif name == "labels":
        loss = HAND
    else:
        loss = optsde.losses.LogisticRegression(2 * X, [0, 1, 1, 0], l2=0.1)
    noise = optsde.noise.LabelNoise(LABEL_STD) if name == "labels" else optsde.noise.Minibatch()
    return optsde.Problem(loss, noise, batch_size=3)


DATA = ("batches", "labels", "network")
RATE = 0.1


def at(key, size):
    """A variable of the point, of so many parameters."""
    return np.resize({"theta": THETA, "m": M, "v": V}[key], size)


def roots(problem):
    """The factor lr S / sqrt(B), the covariance, and derivatives of what depends on θ: along a vector, and twice."""
    sgd = optsde.SGD(lr=1.0).sde(problem)

    def root(theta):
        return -RATE * sgd.diffusion_at({"theta": theta})

    def covariance(theta):
        return root(theta) @ root(theta).T

    def along(of, theta, w, h=1e-5):
        return (of(theta + h * w) - of(theta - h * w)) / (2 * h)

    def twice(theta, w, h=1e-3):
        fine, coarse = (
            (covariance(theta + s * w) - 2 * covariance(theta) + covariance(theta - s * w)) / s**2 for s in (h, 2 * h)
        )
        return (4 * fine - coarse) / 3

    return root, covariance, along, twice


@pytest.mark.parametrize("data", DATA)
def test_noise_of_adams_mean_turns_with_the_parameters(data):
    # Batches have no scale that falls with the rate: the factor itself, c1 ((1 + c1 tau/2) R + tau/2 dR) for m.
    tau, problem = RATE**2, data_problem(data)
    d = problem.dim
    adam = optsde.Adam(RATE, betas=(1 - C1 * tau, 1 - C2 * tau), eps=EPS, bias_correction=False)
    state = {key: at(key, d) for key in NAMES["Adam"]}
    _, factor = coefficients(adam.sde(problem, order="corrected"), state, 1.0)
    root, _, along, _ = roots(problem)
    theta, precondition = state["theta"], 1 / (RATE * (np.sqrt(state["v"]) + EPS))
    n = factor.shape[1] - d
    turned = along(root, theta, precondition * state["m"])
    expected = C1 * ((1 + C1 * tau / 2) * root(theta) + tau / 2 * turned)
    # Where there are no derivatives of the factor, differences over a part of a step are off by a little.
    largest = np.abs(expected).max()
    near = 1e-6 if data == "network" else 1e-9
    np.testing.assert_allclose(factor[d : 2 * d, :n], expected, rtol=0, atol=near * largest)
    assert np.abs(tau / 2 * turned).max() > 1e-3 * largest
    assert not factor[d : 2 * d, n:].any()
    # The noise of θ, and that of v but for what its squares have by themselves.
    np.testing.assert_allclose(factor[:d, :n], -0.5 * C1 * tau * precondition[:, None] * root(theta), rtol=1e-8)


def majorant(bend, cov, tau):
    """A diagonal above P and -P, in units of the deviations."""
    sizes = np.sqrt(np.diag(cov) + tau * np.abs(np.diag(bend)))
    return np.diag(np.einsum("ij,i,j->i", np.abs(bend), sizes, 1 / sizes))


@pytest.mark.parametrize("data", DATA)
def test_noise_of_rmsprop_bends_with_the_parameters(data):
    # With w = D ∇f, P = Σ_jk S_jk ∂_jk Σ, S = D Σ D, and N the covariance Σ made larger, the noise of θ is
    # -D (R + tau/2 (H D R + ∂_w R - P N⁻¹ R/4)) + tau κ D' R; v has tau/2 c J D R in its noise and
    # tau/2 c (J w - P_ii/2) in its drift.
    tau, problem = RATE**2, data_problem(data)
    d = problem.dim
    rmsprop = optsde.RMSprop(RATE, alpha=1 - C * tau, eps=EPS, ordering="lagged")
    state = {key: at(key, d) for key in NAMES["RMSprop"]}
    drift, factor = coefficients(rmsprop.sde(problem, order="corrected"), state, 1.0)
    root, covariance, along, twice = roots(problem)
    theta, v = state["theta"], RATE**2 * state["v"]
    eps = RATE * EPS
    precondition = 1 / (np.sqrt(v) + eps)
    slope = -(precondition**2) / (2 * np.sqrt(v))
    g, hessian, own, cov = problem.loss.grad(theta), problem.loss.hessian(theta), root(theta), covariance(theta)
    kick = precondition[:, None] * own
    bend = sum(twice(theta, column) for column in (precondition[:, None] * np.linalg.cholesky(cov)).T)
    bent = 0.25 * bend @ np.linalg.solve(cov + tau / 4 * majorant(bend, cov, tau), own)
    inner = hessian @ kick + along(root, theta, precondition * g) - bent
    coupling = 0.5 * C * (np.diag(cov) - v) * slope
    expected = -precondition[:, None] * (own + tau / 2 * inner) + tau * coupling[:, None] * own
    n = own.shape[1]
    np.testing.assert_allclose(factor[:d, :n], expected, rtol=0, atol=3e-5 * np.abs(expected).max())
    assert not factor[:d, n:].any()
    # Beside it the noise of v is as Adam's.
    adam = optsde.Adam(RATE, betas=(0.0, 1 - C * tau), eps=EPS, bias_correction=False, ordering="lagged")
    _, other = coefficients(adam.sde(problem, order="corrected"), {**state, "m": g}, 1.0)
    turned = RATE**2 * (factor[d:, :n] - other[2 * d :, :n])
    variances = np.array([along(covariance, theta, column).diagonal() for column in kick.T]).T
    np.testing.assert_allclose(turned, tau / 2 * C * variances, rtol=0, atol=3e-5 * tau * np.abs(variances).max())
    along_w = along(covariance, theta, precondition * g).diagonal()
    second = g**2 + 0.5 * C * (np.diag(cov) - v) + 0.5 * along_w - 0.25 * bend.diagonal()
    mean = C * (np.diag(cov) - v) + tau * C * second
    np.testing.assert_allclose(RATE**2 * drift[d:], mean, rtol=0, atol=3e-5 * np.abs(mean).max())
    # What is tested is not small.
    for part in (along(root, theta, precondition * g), bent):
        assert tau * np.abs(part).max() > 1e-3 * np.abs(own).max()
    assert tau * np.abs(bend.diagonal()).max() > 1e-3 * np.abs(mean).max()


@pytest.mark.parametrize("name", NAMES)
def test_noise_that_reaches_not_all_parameters_has_a_corrected_equation(name):
    # Two examples, three parameters: a covariance of rank one.
    loss = optsde.losses.LinearRegression([[1.0, 0.5, 0.2], [0.3, -1.0, 0.4]], [1.0, -0.5])
    problem = optsde.Problem(loss, optsde.noise.Minibatch())
    dynamics = {"RMSprop": optsde.RMSprop, "Adam": optsde.Adam}[name](0.05, eps=0.1).sde(problem, order="corrected")
    state = {key: [0.3, 0.2, -0.1] if key == "theta" else np.full(3, 0.5) for key in NAMES[name]}
    assert np.linalg.matrix_rank(noise_covariance(dynamics.diffusion_at(state, 1.0))[:3, :3]) == 1
    assert optsde.simulate(dynamics, state, steps=20, n_paths=256, rng=1).n_diverged == 0


def noise_of_parameters(problem, points, lr, **keywords):
    """Variances of the noise of θ at some points (n, d), corrected and of order 1."""
    rmsprop = optsde.RMSprop(lr, ordering="lagged", **keywords)
    state = {"theta": points, "v": np.ones_like(points)}
    factors = [
        rmsprop.sde(problem, order=order, regime="batch_equivalent").diffusion_at(state, 1.0)
        for order in ("corrected", 1)
    ]
    return [np.square(factor[:, :2]).sum(axis=2) for factor in factors]


@pytest.mark.parametrize("swap", [False, True])
def test_noise_bends_by_a_half_at_most(swap):
    # Along a line on which the noise vanishes in a direction that turns: of one column, (θ2, 1), and of two examples.
    order = [1, 0] if swap else [0, 1]

    def column(x):
        return np.stack([x[:, order[1]], np.ones(len(x))], axis=1)[:, order, None]

    def jacobian(x):
        out = np.zeros((len(x), 2, 1, 2))
        out[:, order[0], 0, order[1]] = 1.0
        return out

    noise = optsde.noise.Function(column, kind="full", n_wiener=1, jacobian=jacobian)
    bowl = optsde.Problem(optsde.losses.Quadratic([1.0, 1.0]), noise)
    examples = optsde.losses.LinearRegression(np.array([[1.0, 0.5], [0.3, -1.0]])[:, order], [1.0, -0.5])
    two = optsde.Problem(examples, optsde.noise.Minibatch())
    line = np.linspace(-1.5, 1.5, 301)[:, None]
    bowl_line, two_line = np.hstack([0 * line + 0.3, line])[:, order], np.hstack([line, 0 * line + 0.3])[:, order]
    for problem, points in ((bowl, bowl_line), (two, two_line)):
        corrected, first = noise_of_parameters(problem, points, 0.05, alpha=0.95, eps=0.1)
        assert (np.abs(np.sqrt(corrected) - np.sqrt(first)) < 0.6 * np.sqrt(first.max())).all()
    # Where the second parameter alone has noise, it keeps it.
    corrected, first = noise_of_parameters(bowl, bowl_line, 0.05, alpha=0.95, eps=0.1)
    np.testing.assert_allclose(np.sqrt(corrected[:, order[1]]), np.sqrt(first[:, order[1]]), rtol=0.05)


def test_noise_that_vanishes_has_no_slope():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.LossScaled(0.5))
    adam = optsde.Adam(0.1, eps=0.1, bias_correction=False).sde(problem, order="corrected")
    state = {"theta": [0.0, 0.0], "m": [0.1, 0.1], "v": [0.1, 0.1]}
    assert not adam.diffusion_at(state, 1.0).any()
    assert optsde.simulate(adam, state, steps=20, n_paths=100, rng=1).n_diverged == 0


@pytest.mark.parametrize(("regime", "order"), [("ballistic", 2), ("batch_equivalent", "corrected")])
@pytest.mark.parametrize("optimizer", [optsde.RMSprop, optsde.Adam])
def test_examples_of_a_function_say_so(optimizer, regime, order):
    pieces = {"hessian": lambda x: x, "third": lambda x, s: x, "example_grads": lambda x, i: x, "n_examples": 2}
    loss = optsde.losses.Function(lambda x: x, dim=2, **pieces)
    with pytest.raises(ValueError, match=r"^order: .* derivatives of the examples' gradients, which losses.Function"):
        optimizer(0.01).sde(optsde.Problem(loss, optsde.noise.Minibatch()), order=order, regime=regime)


@pytest.mark.parametrize(("regime", "order"), [("ballistic", 2), ("batch_equivalent", "corrected")])
def test_a_function_without_jacobian_says_so(regime, order):
    loss = optsde.losses.Quadratic([1.0, 2.0])
    alone = optsde.noise.Function(lambda x: 1.0 + x**2, kind="diagonal")
    coupled = optsde.noise.Function(lambda x: 1.0 + x**2, kind="diagonal_coupled", jacobian=lambda x: 2.0 * x)
    with pytest.raises(ValueError, match=r"^order: .* a function has (it|them) with a jacobian"):
        optsde.Adam(0.01).sde(optsde.Problem(loss, alone), order=order, regime=regime)
    with pytest.raises(ValueError, match=r"^order: .* a jacobian, but not as kind 'diagonal_coupled'"):
        optsde.Adam(0.01).sde(optsde.Problem(loss, coupled), order=order, regime=regime)
