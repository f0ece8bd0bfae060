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


def test_noise_of_adams_mean_turns_with_the_parameters():
    # Batches have no scale that falls with the rate: the factor itself, c1 ((1 + c1 tau/2) R + tau/2 dR) for m.
    lr, batch = 0.1, 3
    tau = lr**2
    loss = optsde.losses.LogisticRegression(2 * X, [0, 1, 1, 0], l2=0.1)
    problem = optsde.Problem(loss, optsde.noise.Minibatch(), batch_size=batch)
    betas = (1 - C1 * tau, 1 - C2 * tau)
    adam = optsde.Adam(lr, betas=betas, eps=EPS, bias_correction=False)
    state = {"theta": THETA, "m": M, "v": V}
    _, factor = coefficients(adam.sde(problem, order="corrected"), state, 1.0)

    def root(theta):
        grads = loss.example_grads(theta)
        return lr * (grads - grads.mean(axis=0)).T / np.sqrt(len(grads) * batch)

    w = M / (lr * (np.sqrt(V) + EPS))
    h = 1e-5
    turned = (root(THETA + h * w) - root(THETA - h * w)) / (2 * h)
    expected = C1 * ((1 + C1 * tau / 2) * root(THETA) + tau / 2 * turned)
    np.testing.assert_allclose(factor[2:4, :4], expected, rtol=1e-8)
    assert np.abs(tau / 2 * turned).max() > 1e-3 * np.abs(expected).max()
    assert not factor[2:4, 4:].any()
    # The noise of θ, and that of v but for what its squares have by themselves.
    np.testing.assert_allclose(
        factor[:2, :4], -0.5 * C1 * tau / (lr * (np.sqrt(V) + EPS))[:, None] * root(THETA), rtol=1e-8
    )


@pytest.mark.parametrize("data", ["Minibatch", "LabelNoise"])
def test_what_has_no_corrected_equation_says_why(data):
    noise = optsde.noise.Minibatch() if data == "Minibatch" else optsde.noise.LabelNoise(0.5)
    problem = optsde.Problem(HAND, noise, batch_size=2)
    with pytest.raises(
        ValueError, match=r'^order: "corrected" of RMSprop needs gradient noise of a constant covariance'
    ):
        optsde.RMSprop(0.01).sde(problem, order="corrected")
    assert "order corrected" in optsde.Adam(0.01).sde(problem, order="corrected").describe()
    network = optsde.Problem(optsde.losses.MLP(X, Y, (2,)), noise, batch_size=2)
    with pytest.raises(ValueError, match=r'^order: "corrected" of Adam needs the derivative of the noise'):
        optsde.Adam(0.01).sde(network, order="corrected")


def test_noise_that_vanishes_has_no_slope():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.LossScaled(0.5))
    adam = optsde.Adam(0.1, eps=0.1, bias_correction=False).sde(problem, order="corrected")
    state = {"theta": [0.0, 0.0], "m": [0.1, 0.1], "v": [0.1, 0.1]}
    assert not adam.diffusion_at(state, 1.0).any()
    assert optsde.simulate(adam, state, steps=20, n_paths=100, rng=1).n_diverged == 0


@pytest.mark.parametrize(("regime", "order"), [("ballistic", 2), ("batch_equivalent", "corrected")])
def test_a_function_without_jacobian_says_so(regime, order):
    loss = optsde.losses.Quadratic([1.0, 2.0])
    alone = optsde.noise.Function(lambda x: 1.0 + x**2, kind="diagonal")
    coupled = optsde.noise.Function(lambda x: 1.0 + x**2, kind="diagonal_coupled", jacobian=lambda x: 2.0 * x)
    with pytest.raises(ValueError, match=r"^order: .* a function has (it|them) with a jacobian"):
        optsde.Adam(0.01).sde(optsde.Problem(loss, alone), order=order, regime=regime)
    with pytest.raises(ValueError, match=r"^order: .* a jacobian, but not as kind 'diagonal_coupled'"):
        optsde.Adam(0.01).sde(optsde.Problem(loss, coupled), order=order, regime=regime)
