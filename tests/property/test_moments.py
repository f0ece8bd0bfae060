"""Means and covariances of random linear problems against closed forms; hypothesis draws the problems.

Every example makes a false alarm with probability below 1e-6 divided by the number of examples, and rejects noise that
is wrong by a factor 1.2 or more in covariance.
"""

import numpy as np
import optsde
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    FALSE_ALARM,
    assert_agrees,
    assert_rejected,
    chain_moments,
    ou_moments,
    ou_stationary,
    sgd_moments,
    sgd_stationary,
)

EXAMPLES = 40
N = 100_000
EACH = FALSE_ALARM / EXAMPLES

fixed = settings(derandomize=True, deadline=None, max_examples=EXAMPLES, database=None)

dims = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
rates = st.sampled_from([0.3, 0.1, 0.02, 0.003])
batches = st.sampled_from([1, 2, 7, 64])
shapes = st.sampled_from(["scalar", "diagonal", "full", "singular"])


def rotation(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def symmetric(values, basis):
    matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


def curvature(rng, d, shape):
    """Curvatures between 0.2 and 3: argument of the library, matrix."""
    values = np.exp(rng.uniform(np.log(0.2), np.log(3.0), d))
    if shape == "scalar":
        return values[0], values[0] * np.eye(d)
    if shape == "diagonal":
        return values, np.diag(values)
    matrix = symmetric(values, rotation(rng, d))
    return matrix, matrix


def covariance(rng, d, shape):
    """Covariances of condition up to 100, or of incomplete rank: argument of the library, matrix."""
    values = np.exp(rng.uniform(np.log(0.1), np.log(10.0), d)) * np.exp(rng.uniform(-3, 3))
    if shape == "scalar":
        return values[0], values[0] * np.eye(d)
    if shape == "diagonal":
        return values, np.diag(values)
    if shape == "singular":
        values[rng.integers(1, d + 1) :] = 0.0
    matrix = symmetric(values, rotation(rng, d))
    return matrix, matrix


def check(ens, exact, t=0):
    mean, cov = exact
    count = mean.size + cov.size
    share = EACH * mean.size / count
    assert_agrees(ens.mean[t], ens.mean_stderr[t], mean, false_alarm=share)
    wrong = [1.2 * cov, cov / 1.2, cov * np.sqrt(2), cov / 2]
    assert_agrees(ens.cov[t], ens.cov_stderr[t], cov, wrong=wrong, false_alarm=EACH - share)


@given(
    d=dims, seed=seeds, lr=rates, batch=batches, h_shape=shapes, s_shape=shapes, steps=st.sampled_from([1, 2, 17, 60])
)
@fixed
def test_sgd_transient(d, seed, lr, batch, h_shape, s_shape, steps):
    rng = np.random.default_rng(seed)
    (h, h_matrix), (s, s_matrix) = curvature(rng, d, h_shape), covariance(rng, d, s_shape)
    center, start = rng.standard_normal(d), rng.standard_normal(d)
    problem = optsde.Problem(optsde.losses.Quadratic(h, center), optsde.noise.Gaussian(s), batch_size=batch)
    observe = [optsde.Moments(cov=True)]
    opt = optsde.SGD(lr)
    kwargs = {"n_paths": N, "rng": seed, "observe": observe, "steps": steps}
    discrete = optsde.simulate(opt.discrete(problem), start, **kwargs)
    mean, cov = sgd_moments(h_matrix, s_matrix / batch, lr, start - center, steps)
    check(discrete, (center + mean, cov))
    # lr and batch size at each other's place, or batch size left out.
    if batch > 1:
        assert_rejected(discrete.cov[0], discrete.cov_stderr[0], cov * batch)
        assert_rejected(discrete.cov[0], discrete.cov_stderr[0], cov / lr)
    equation = optsde.simulate(opt.sde(problem), start, substeps=1, method="ornstein_uhlenbeck", **kwargs)
    mean, cov = ou_moments(h_matrix, lr * s_matrix / batch, start - center, lr * steps)
    check(equation, (center + mean, cov))


@given(d=dims, seed=seeds, lr=rates, batch=batches, shape=shapes)
@fixed
def test_sgd_stationary(d, seed, lr, batch, shape):
    rng = np.random.default_rng(seed)
    (h, h_matrix), (s, s_matrix) = curvature(rng, d, shape), covariance(rng, d, shape)
    problem = optsde.Problem(optsde.losses.Quadratic(h, dim=d), optsde.noise.Gaussian(s), batch_size=batch)
    opt = optsde.SGD(lr)
    observe = [optsde.Moments(cov=True)]
    stationary = sgd_stationary(h_matrix, s_matrix / batch, lr)
    start = optsde.initial.Gaussian(np.zeros(d), (stationary + stationary.T) / 2)
    ens = optsde.simulate(opt.discrete(problem), start, steps=20, n_paths=N, rng=seed, observe=observe)
    check(ens, (np.zeros(d), stationary))
    # One exact step over a time in which exp(-h t) is below 1e-8.
    ens = optsde.simulate(
        opt.sde(problem),
        np.zeros(d),
        t1=100.0,
        dt=100.0,
        method="ornstein_uhlenbeck",
        n_paths=N,
        rng=seed,
        observe=observe,
    )
    check(ens, (np.zeros(d), ou_stationary(h_matrix, lr * s_matrix / batch)))


@given(d=dims, seed=seeds, shape=shapes, t1=st.sampled_from([0.1, 1.0, 5.0]), n=st.sampled_from([1, 3]))
@fixed
def test_ornstein_uhlenbeck(d, seed, shape, t1, n):
    # Any real matrix: rotation, shear, growth.
    rng = np.random.default_rng(seed)
    rate = curvature(rng, d, "full")[1] + rng.standard_normal((d, d)) / np.sqrt(d)
    s, s_matrix = covariance(rng, d, shape)
    middle, start = rng.standard_normal(d), rng.standard_normal(d)
    ens = optsde.simulate(
        optsde.OrnsteinUhlenbeck(rate, middle, s),
        start,
        t1=t1,
        dt=t1 / n,
        method="ornstein_uhlenbeck",
        n_paths=N,
        rng=seed,
        observe=optsde.Moments(at=np.array([0.0, t1]), cov=True),
    )
    mean, cov = ou_moments(rate, s_matrix, start - middle, t1)
    check(ens, (middle + mean, cov), t=1)
    np.testing.assert_allclose(ens.mean[0], start)
    if d > 1:
        assert_rejected(ens.mean[1], ens.mean_stderr[1], middle + ou_moments(-rate, s_matrix, start - middle, t1)[0])


@given(d=dims, seed=seeds, shape=shapes, temperature=st.sampled_from([0.01, 0.3, 5.0]), dt=st.sampled_from([0.05, 0.5]))
@fixed
def test_langevin_with_mobility(d, seed, shape, temperature, dt):
    rng = np.random.default_rng(seed)
    h, h_matrix = curvature(rng, d, shape)
    mobility = np.exp(rng.uniform(-1, 1, d))
    start = rng.standard_normal(d)
    dynamics = optsde.Langevin(optsde.losses.Quadratic(h, dim=d), temperature, mobility)
    ens = optsde.simulate(
        dynamics,
        start,
        t1=1.0,
        dt=dt,
        method="ornstein_uhlenbeck",
        n_paths=N,
        rng=seed,
        observe=optsde.Moments(cov=True),
    )
    rate, noise = mobility[:, None] * h_matrix, np.diag(2 * temperature * mobility)
    check(ens, ou_moments(rate, noise, start, 1.0))
    # sqrt(T M) for sqrt(2 T M); mobility left out of the noise.
    assert_rejected(ens.cov[0], ens.cov_stderr[0], ou_moments(rate, noise / 2, start, 1.0)[1])
    late = optsde.simulate(
        dynamics,
        start,
        t1=200.0,
        dt=200.0,
        method="ornstein_uhlenbeck",
        n_paths=N,
        rng=seed + 1,
        observe=optsde.Moments(cov=True),
    )
    # Gibbs: temperature times the inverse curvature, whatever the mobility.
    check(late, (np.zeros(d), temperature * np.linalg.inv(h_matrix)))


@given(
    d=dims,
    seed=seeds,
    shape=shapes,
    method=st.sampled_from(["euler_maruyama", "milstein", "heun", "platen"]),
    increments=st.sampled_from(["gaussian", "gaussian_f32", "two_point", "three_point"]),
    cells=st.sampled_from([1, 3]),
    dtype=st.sampled_from(["float64", "float32"]),
)
@fixed
def test_schemes_for_linear_equations(d, seed, shape, method, increments, cells, dtype):
    if increments == "two_point":
        method = "euler_maruyama"
    if increments == "three_point" and method == "milstein":
        method = "heun"
    if increments.endswith("point"):
        cells = 1
    rng = np.random.default_rng(seed)
    rate = curvature(rng, d, "full")[1] + 0.3 * rng.standard_normal((d, d))
    s, s_matrix = covariance(rng, d, shape)
    start, dt, steps = rng.standard_normal(d), 0.125, 8
    ens = optsde.simulate(
        optsde.OrnsteinUhlenbeck(rate, 0.0, s),
        start,
        t1=dt * steps,
        dt=dt,
        wiener_dt=dt / cells,
        method=method,
        increments=increments,
        dtype=dtype,
        n_paths=N,
        rng=seed,
        observe=optsde.Moments(cov=True),
    )
    # The scheme's own moments. Heun's step, as Platen's here, is x' = (I - h A + h²A²/2) x + (I - h A/2) S ΔW.
    check_rounded = dtype == "float32"
    eye, second = np.eye(d), method in ("heun", "platen")
    damped = eye - second * dt / 2 * rate
    step = eye - dt * rate @ damped
    mean, cov = chain_moments(step, dt * damped @ s_matrix @ damped.T, start, steps)
    if check_rounded:
        scale = 1e-5 * (np.abs(mean).max() + np.sqrt(np.trace(cov)) + 1)
        assert_agrees(ens.mean[0], ens.mean_stderr[0], mean, bias=scale, false_alarm=EACH / 2)
        assert_agrees(
            ens.cov[0],
            ens.cov_stderr[0] + 1e-6 * np.trace(cov),
            cov,
            bias=scale**2,
            wrong=[1.2 * cov],
            false_alarm=EACH / 2,
        )
    else:
        check(ens, (mean, cov))


@given(seed=seeds, d=dims)
@settings(derandomize=True, deadline=None, max_examples=5, database=None)
def test_wrong_simulations_are_rejected(seed, d):
    # The checks themselves, on wrong arguments: lr and batch size interchanged, covariance for deviation.
    rng = np.random.default_rng(seed)
    h, h_matrix = curvature(rng, d, "full")
    s, s_matrix = covariance(rng, d, "full")
    start = rng.standard_normal(d)
    exact = sgd_moments(h_matrix, s_matrix / 4, 0.1, start, 10)

    def run(cov, batch):
        problem = optsde.Problem(optsde.losses.Quadratic(h), optsde.noise.Gaussian(cov), batch_size=batch)
        return optsde.simulate(
            optsde.SGD(0.1).discrete(problem), start, steps=10, n_paths=N, rng=seed, observe=optsde.Moments(cov=True)
        )

    check(run(s, 4), exact)
    for cov, batch in ((s, 1), (s, 2), (s, 16), (2 * s_matrix, 4), (1.21 * s_matrix, 4), (s_matrix / 4, 4)):
        with pytest.raises(AssertionError):
            check(run(cov, batch), exact)
