"""Standard errors say how far estimates are from the truth: z-scores over independent runs are standard normal.

The laws are not Gaussian (a product of independent factors), so that fourth moments matter; truth is exact.
"""

import numpy as np
import optsde
import pytest
from problems import apply, assert_agrees, assert_rejected, chi_square_of, z_limit
from scipy.stats import chi2, kstest, norm

RUNS, N = 400, 2000
# Two Euler-Maruyama steps of dX = B X dW with dependent columns: polynomials of Gaussians of degree 2.
SCALE = 0.4


def equation():
    mix = np.array([[[1.0, 0.0], [0.5, 0.0]], [[0.0, 0.3], [0.0, 1.0]]])  # j, i, k
    return optsde.SDE(
        lambda t, x: np.zeros_like(x),
        lambda t, x: SCALE * np.stack([apply(b, x) for b in mix], axis=2),
        dim=2,
        noise="full",
    ), SCALE * mix


def exact_covariance():
    _, mix = equation()
    m = np.ones((2, 2))
    for _ in range(2):
        m = m + sum(b @ m @ b.T for b in mix)
    return m - 1.0


@pytest.fixture(scope="module")
def runs():
    dynamics, _ = equation()
    kwargs = {"t1": 2.0, "dt": 1.0, "method": "euler_maruyama", "n_paths": N}
    observe = [
        optsde.Moments(cov=True),
        optsde.Expectation(lambda x: x[:, 0] * x[:, 1], "product"),
        optsde.Expectation(lambda x: (x[:, 0] > 0).astype(float), "positive"),
    ]
    return [optsde.simulate(dynamics, [1.0, 1.0], rng=1000 + k, observe=observe, **kwargs) for k in range(RUNS)]


def gather(runs, field):
    return np.array([getattr(ens, field)[0] for ens in runs])


def test_mean_error(runs):
    z = (gather(runs, "mean") - 1.0) / gather(runs, "mean_stderr")
    for i in range(2):
        assert chi_square_of(z[:, i]) > 1e-6
        # sqrt(var) for sqrt(var/n), or 1/(n-1) taken twice, would show; so would a factor sqrt(2).
        assert chi_square_of(z[:, i] * np.sqrt(2)) < 1e-9
        assert chi_square_of(z[:, i] / np.sqrt(2)) < 1e-9
        assert kstest(z[:, i], "norm").pvalue > 1e-6


def test_variance_error(runs):
    exact = np.diag(exact_covariance())
    var = gather(runs, "var")
    z = (var - exact) / gather(runs, "var_stderr")
    gaussian = (var - exact) / (np.sqrt(2 / (N - 1)) * var)
    for i in range(2):
        # The distribution of var_stderr itself widens that of z: 10 % at this N for these tails.
        assert 0.8 < z[:, i].std() < 1.3
        assert chi_square_of(gaussian[:, i]) < 1e-9
    assert_agrees(var.mean(axis=0), var.std(axis=0, ddof=1) / np.sqrt(RUNS), exact)
    compare_spread(var, gather(runs, "var_stderr"))


def compare_spread(estimates, stderr):
    """The mean of the squared standard errors is the variance over runs: the estimator is unbiased but for O(1/n)."""
    spread = (estimates - estimates.mean(axis=0)) ** 2 * RUNS / (RUNS - 1)
    difference = stderr**2 - spread
    mean, error = difference.mean(axis=0), difference.std(axis=0, ddof=1) / np.sqrt(RUNS)
    assert_agrees(mean, error, 0.0)
    # A factor of 2 in the variance would show.
    wrong = 2 * stderr**2 - spread
    assert_rejected(wrong.mean(axis=0), wrong.std(axis=0, ddof=1) / np.sqrt(RUNS), 0.0)


def test_covariance_error(runs):
    exact = exact_covariance()
    cov, stderr = gather(runs, "cov"), gather(runs, "cov_stderr")
    np.testing.assert_array_equal(cov, np.swapaxes(cov, 1, 2))
    np.testing.assert_allclose(np.einsum("rii->ri", cov), gather(runs, "var"), rtol=1e-12)
    np.testing.assert_allclose(np.einsum("rii->ri", stderr), gather(runs, "var_stderr"), rtol=1e-9)
    assert_agrees(cov.mean(axis=0), cov.std(axis=0, ddof=1) / np.sqrt(RUNS), exact, wrong=[exact * (N - 1) / N * 1.2])
    compare_spread(cov[:, 0, 1], stderr[:, 0, 1])
    gaussian = np.sqrt((cov[:, 0, 0] * cov[:, 1, 1] + cov[:, 0, 1] ** 2) / (N - 1))
    assert chi_square_of((cov[:, 0, 1] - exact[0, 1]) / gaussian) < 1e-6


def test_expectation_error(runs):
    exact = exact_covariance()[0, 1] + 1.0
    results = [ens.expectations["product"] for ens in runs]
    mean, stderr = np.array([r.mean[0] for r in results]), np.array([r.stderr[0] for r in results])
    compare_spread(mean, stderr)
    assert_agrees(mean.mean(), mean.std(ddof=1) / np.sqrt(RUNS), exact)
    for ens in runs[:20]:
        r = ens.expectations["positive"]
        share = r.mean[0]
        assert r.stderr[0] == pytest.approx(np.sqrt(share * (1 - share) / (N - 1)), rel=1e-9)


def test_gaussian_runs_have_exact_z_laws():
    # Gaussian final states: z of means and variances, at three times, against exact moments of the process.
    z_mean, z_var, z_loss = [], [], []
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 3.0]), optsde.noise.Gaussian([4.0, 0.25]))
    dynamics = optsde.SGD(0.1).sde(problem)
    start, h, s2 = np.array([1.0, -0.5]), np.array([1.0, 3.0]), np.array([4.0, 0.25])
    for k in range(RUNS):
        ens = optsde.simulate(
            dynamics,
            start,
            t1=1.0,
            dt=0.5,
            method="ornstein_uhlenbeck",
            n_paths=N,
            rng=3000 + k,
            observe=[optsde.Moments(at=3), optsde.Loss(at=3)],
        )
        t = ens.t[1:, None]
        mean, var = start * np.exp(-h * t), 0.1 * s2 * (1 - np.exp(-2 * h * t)) / (2 * h)
        z_mean.append((ens.mean[1:] - mean) / ens.mean_stderr[1:])
        z_var.append((ens.var[1:] - var) / ens.var_stderr[1:])
        z_loss.append((ens.loss_mean[1:] - (h * (var + mean**2)).sum(axis=1) / 2) / ens.loss_stderr[1:])
        np.testing.assert_array_equal(ens.mean[0], start)
        np.testing.assert_array_equal(ens.var_stderr[0], 0.0)
        assert ens.loss_mean[0] == pytest.approx((h * start**2).sum() / 2)
    for scores in (z_mean, z_var, z_loss):
        z = np.array(scores).reshape(RUNS, 2, -1)
        for i in range(z.shape[2]):
            for k in range(2):
                assert chi_square_of(z[:, k, i]) > 1e-6 / 10
                assert chi_square_of(z[:, k, i] * np.sqrt(2)) < 1e-9
                assert chi_square_of(z[:, k, i] / np.sqrt(2)) < 1e-9


def test_standard_errors_are_those_of_the_sample():
    dynamics, _ = equation()
    ens = optsde.simulate(
        dynamics,
        [1.0, 1.0],
        t1=2.0,
        dt=1.0,
        method="euler_maruyama",
        n_paths=1777,
        rng=5,
        observe=[optsde.Moments(cov=True), optsde.Final()],
    )
    x, n = ens.final, 1777
    u = x - x.mean(axis=0)
    np.testing.assert_allclose(ens.mean[0], x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(ens.var[0], x.var(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(ens.cov[0], np.cov(x.T), rtol=1e-12)
    np.testing.assert_allclose(ens.mean_stderr[0], x.std(axis=0, ddof=1) / np.sqrt(n), rtol=1e-12)
    # To leading order in n: Var s² = (μ4 - σ⁴)/n, Var s_12 = (μ22 - σ12²)/n.
    np.testing.assert_allclose(ens.var_stderr[0], np.sqrt((u**4).mean(0) - x.var(0) ** 2) / np.sqrt(n), rtol=3 / n)
    products = u[:, 0] * u[:, 1]
    assert ens.cov_stderr[0, 0, 1] == pytest.approx(products.std() / np.sqrt(n), rel=3 / n)


BINS, RANGE = 30, (-1.2, 1.5)


def test_histogram_against_the_exact_gaussian():
    n = 1_000_000
    problem = optsde.Problem(optsde.losses.Quadratic(2.0, dim=1), optsde.noise.Gaussian(2.25))
    ens = optsde.simulate(
        optsde.SGD(0.2).sde(problem),
        1.0,
        t1=1.0,
        dt=0.5,
        method="ornstein_uhlenbeck",
        n_paths=n,
        rng=6,
        observe=[optsde.Histogram(BINS, RANGE, coords=0), optsde.Moments()],
    )
    result = ens.histogram
    mean, deviation = np.exp(-2.0), np.sqrt(0.2 * 2.25 * (1 - np.exp(-4.0)) / 4)
    edges = np.concatenate([[-np.inf], result.edges, [np.inf]])
    counts = np.concatenate([result.underflow[:, None], result.counts, result.overflow[:, None]], axis=1)[0]
    assert counts.sum() == n
    width = result.edges[1] - result.edges[0]
    np.testing.assert_allclose(result.density, result.counts / (n * width), rtol=1e-12)

    def distance(m, s):
        expected = n * np.diff(norm(m, s).cdf(edges))
        return ((counts - expected) ** 2 / expected).sum()

    assert chi2.sf(distance(mean, deviation), BINS + 1) > 1e-6
    for wrong in (
        (mean + 0.01, deviation),
        (mean, deviation * 1.01),
        (mean, deviation * np.sqrt(2)),
        (-mean, deviation),
    ):
        assert chi2.sf(distance(*wrong), BINS + 1) < 1e-12
    # Bins moved by one would show too, and the two ends are not confused.
    p = np.diff(norm(mean, deviation).cdf(result.edges))
    assert_rejected(result.counts[0, 1:] / n, np.sqrt(result.counts[0, 1:]) / n, p[:-1])
    assert_agrees(result.density[0], np.sqrt(p * (1 - p) / n) / width, p / width)
    np.testing.assert_allclose(result.stderr[0], np.sqrt(p * (1 - p) / n) / width, rtol=0.2)
    assert np.abs((result.underflow[0] - n * norm.cdf(RANGE[0], mean, deviation)) / np.sqrt(n)) < z_limit(1)


def test_histogram_coverage_over_runs():
    z = []
    dynamics = optsde.OrnsteinUhlenbeck([1.0, 2.0], 0.0, [2.0, 1.0])
    for k in range(100):
        result = optsde.simulate(
            dynamics,
            [0.0, 0.0],
            t1=20.0,
            dt=20.0,
            method="ornstein_uhlenbeck",
            n_paths=20_000,
            rng=7000 + k,
            observe=optsde.Histogram(4, (-1.0, 1.0)),
        ).histogram
        assert result.counts.shape == (1, 2, 4)
        for i, deviation in enumerate((1.0, 0.5)):
            exact = np.diff(norm(0, deviation).cdf(result.edges)) / 0.5
            z.append((result.density[0, i] - exact) / result.stderr[0, i])
    for bin_z in np.array(z).reshape(100, 2, 4).transpose(1, 2, 0).reshape(8, 100):
        assert chi_square_of(bin_z) > 1e-7
        assert chi_square_of(bin_z * 2) < 1e-9


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_path_counts_once_whatever_the_threads(threads):
    # Many short runs: a thread that starts late must not count what others have finished.
    dynamics = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    n = 300_007
    for rng in range(10):
        ens = optsde.simulate(
            dynamics,
            0.0,
            t1=1.0,
            dt=0.25,
            n_paths=n,
            rng=rng,
            threads=threads,
            observe=[optsde.Moments(), optsde.Final(), optsde.Histogram(3, (-0.5, 0.5), coords=0)],
        )
        assert ens["moments"].n.tolist() == [n]
        assert ens.mean[0, 0] == pytest.approx(ens.final.mean(), abs=1e-13)
        assert ens.var[0, 0] == pytest.approx(ens.final.var(ddof=1), rel=1e-12)
        assert ens.histogram.counts.sum() + ens.histogram.underflow[0] + ens.histogram.overflow[0] == n
