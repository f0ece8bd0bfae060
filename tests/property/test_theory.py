"""The theory on random problems, which hypothesis draws: residuals, long recursions, normalisation. No sampling."""

import numpy as np
import optsde
from hypothesis import given, settings
from hypothesis import strategies as st
from optsde import theory
from scipy.integrate import quad

fixed = settings(derandomize=True, deadline=None, max_examples=25, database=None)
seeds = st.integers(0, 2**32 - 1)


def positive(rng, d, low, high):
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    matrix = (basis * rng.uniform(low, high, d)) @ basis.T
    return (matrix + matrix.T) / 2


@fixed
@given(d=st.integers(1, 12), seed=seeds)
def test_lyapunov_residuals_of_general_drift(d, seed):
    rng = np.random.default_rng(seed)
    rate = positive(rng, d, 0.2, 2.0) + np.triu(rng.standard_normal((d, d)), 1)
    rate += (0.1 - min(0.0, np.linalg.eigvals(rate).real.min())) * np.eye(d)
    mean, noise = rng.standard_normal(d), positive(rng, d, 0.1, 1.0)
    process = optsde.OrnsteinUhlenbeck(rate, mean, noise)
    cov = np.asarray(theory.stationary_cov(process))
    np.testing.assert_allclose(rate @ cov + cov @ rate.T, noise, atol=1e-9 * np.abs(rate).max() * np.abs(cov).max())
    np.testing.assert_allclose(theory.stationary_mean(process), mean, atol=1e-12)
    # The law that is left after a long time.
    later = theory.transient_moments(process, np.zeros(d), 40.0 * theory.relaxation_times(process)[0])
    np.testing.assert_allclose(later.cov, cov, rtol=1e-7, atol=1e-9 * np.abs(cov).max())


@fixed
@given(
    d=st.integers(1, 5),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    growing=st.booleans(),
    decay=st.sampled_from([0.0, 0.5]),
    seed=seeds,
)
def test_algorithms_agree_with_a_recursion(d, momentum, nesterov, growing, decay, seed):
    rng = np.random.default_rng(seed)
    h, base, slope = rng.uniform(0.3, 2.0, d), rng.uniform(0.1, 1.0, d), rng.uniform(0.1, 0.5, d) * growing
    centre, middle, lr, batch = rng.standard_normal(d), rng.standard_normal(d), 0.1, 2
    noise = optsde.noise.AffineDiagonal(base, slope, middle)
    problem = optsde.Problem(optsde.losses.Quadratic(h, centre), noise, batch_size=batch)
    ahead = bool(nesterov and momentum)
    sgd = optsde.SGD(lr, momentum, nesterov=ahead, weight_decay=decay)
    # By coordinate: E of (x, v, x², xv, v²) in units v' = βv - lr g, x' = x + v'.
    x = v = xx = xv = vv = np.zeros(d)
    look = momentum if ahead else 0.0
    for _ in range(3000):
        at, square = x + look * v, xx + 2 * look * xv + look**2 * vv
        kick = lr**2 * (base + slope * (square - 2 * middle * at + middle**2)) / batch
        pull = lr * (h + decay)
        a, b, c = 1 - pull, momentum - pull * look, lr * h * centre
        # v' = e x + b v + c
        e = -pull
        v2 = e * x + b * v + c
        vv2 = e**2 * xx + b**2 * vv + c**2 + 2 * (e * b * xv + e * c * x + b * c * v) + kick
        xv2 = e * xx + b * xv + c * x + vv2
        xx = xx + 2 * (e * xx + b * xv + c * x) + vv2
        x, v, xv, vv = a * x + b * v + c, v2, xv2, vv2
    model = sgd.discrete(problem)
    np.testing.assert_allclose(theory.stationary_mean(model)["theta"], x, rtol=1e-9, atol=1e-12)
    found = np.diag(theory.stationary_cov(model)["theta", "theta"])
    np.testing.assert_allclose(found, xx - x**2, rtol=1e-8)
    if growing:
        # A formula without the growth of the noise is far off.
        still = optsde.Problem(problem.loss, optsde.noise.Gaussian(base), batch_size=batch)
        assert (np.abs(np.diag(theory.stationary_cov(sgd.discrete(still))["theta", "theta"]) / found - 1) > 1e-4).all()


@fixed
@given(d=st.integers(1, 4), steps=st.integers(0, 30), seed=seeds)
def test_transients_are_the_steps_of_the_moments(d, steps, seed):
    rng = np.random.default_rng(seed)
    C = positive(rng, d, 0.2, 1.0)
    problem = optsde.Problem(optsde.losses.Quadratic(C), optsde.noise.GaussianInputs(C, 0.3), batch_size=2)
    lr, w = 0.1, rng.standard_normal(d)
    second, mean = np.outer(w, w), w
    for _ in range(steps):
        bracket = C @ second @ C + np.trace(C @ second) * C + 0.09 * C
        second = second - lr * (C @ second + second @ C) + lr**2 * (C @ second @ C + bracket / 2)
        mean = mean - lr * C @ mean
    found = theory.transient_moments(optsde.SGD(lr).discrete(problem), w, steps * lr)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found.cov, second - np.outer(mean, mean), rtol=1e-8, atol=1e-12)


@fixed
@given(a=st.floats(0.1, 4.0), b=st.floats(-3.0, 3.0), tilt=st.floats(-0.5, 0.5), temperature=st.floats(0.05, 5.0))
def test_densities_integrate_to_one(a, b, tilt, temperature):
    def value(x):
        return a * x**4 / 4 + b * x**2 / 2 + tilt * x

    loss = optsde.losses.Function(lambda x: a * x**3 + b * x + tilt, dim=1, value=lambda x: value(x)[:, 0])
    law = theory.gibbs_density(loss, temperature)
    grid = np.linspace(-12.0, 12.0, 20001)
    weight = np.exp(-value(grid) / temperature)
    total = weight.sum() * (grid[1] - grid[0])
    assert abs(law.normalizer / total - 1) < 1e-9
    np.testing.assert_allclose(law(grid).sum() * (grid[1] - grid[0]), 1.0, rtol=1e-9)
    scale = np.sqrt(law.var)
    assert abs(law.mean - (grid * weight).sum() / weight.sum()) < 1e-9 * scale
    assert abs(law.moment(2) / ((grid**2 * weight).sum() / weight.sum()) - 1) < 1e-9
    assert abs(float(law.cdf(0.3)) - quad(law, -12.0, 0.3, epsabs=1e-11, limit=500)[0]) < 1e-8


@fixed
@given(b=st.floats(-2.0, 2.0), slope=st.floats(0.0, 2.0), start=st.floats(-2.0, 0.5))
def test_first_passage_times_solve_their_equation(b, slope, start):
    loss = optsde.losses.Quartic(1.0, b)

    def noise(x):
        return 0.3 + slope * x**2

    def time(x):
        return theory.mean_first_passage_time(loss, noise, x, 1.0)

    h = 1e-3
    at = [time(start + k * h) for k in (-2, -1, 0, 1, 2)]
    first = (at[0] - 8 * at[1] + 8 * at[3] - at[4]) / (12 * h)
    second = (-at[0] + 16 * at[1] - 30 * at[2] + 16 * at[3] - at[4]) / (12 * h**2)
    drift = -float(loss.grad([start])[0])
    # D T'' + a T' = -1, up to the rounding of differences.
    assert abs(noise(start) * second + drift * first + 1) < 1e-4 * (1 + abs(at[2]))
