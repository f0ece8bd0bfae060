"""Time averages and autocovariances against NumPy on the same paths; units are paths, or antithetic pairs."""

import numpy as np
import optsde
import pytest

OU = optsde.OrnsteinUhlenbeck([[1.0, 0.2], [0.1, 2.0]], [3.0, 1.0], 1.0)
START, LAGS, FROM = [1.0, 1.0], 12, 2.0
WAYS = [{}, {"method": "ornstein_uhlenbeck", "wiener_dt": 0.05}, {"dtype": "float32"}]


def run(way, antithetic, **more):
    """A run whose paths are kept, and the samples (T, n, 2) from ``FROM`` on."""
    observe = [
        optsde.Paths(at=101),
        optsde.Moments(cov=True, average_from=FROM),
        optsde.Autocovariance(LAGS, average_from=FROM),
    ]
    options = {"n_paths": 200, "t1": 10.0, "dt": 0.1, "rng": 7, "observe": observe, "antithetic": antithetic}
    ens = optsde.simulate(OU, START, **options, **way, **more)
    return ens, np.asarray(ens.paths[20:], dtype=float)


def paired(values):
    """Means over pairs of (n, ...)."""
    return values.reshape(-1, 2, *values.shape[1:]).mean(axis=1)


def of_units(h, g, s, antithetic):
    """Means h, g and spread s (n, 2, 2) of paths, or of pairs of them."""
    if not antithetic:
        return h, g, s
    dh, dg = (0.5 * (x[0::2] - x[1::2]) for x in (h, g))
    return paired(h), paired(g), paired(s) + dh[:, :, None] * dg[:, None, :]


def covariance(h, g, s):
    """The covariance, its standard error, and what it is the mean of."""
    n = len(h)
    u, v = h - h.mean(axis=0), g - g.mean(axis=0)
    products = u[:, :, None] * v[:, None, :]
    value = s + products
    return s.mean(axis=0) + products.sum(axis=0) / (n - 1), value.std(axis=0, ddof=1) / np.sqrt(n), value


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_moments_over_time_and_paths(way, antithetic):
    ens, x = run(way, antithetic)
    mean = x.mean(axis=0)
    deviation = x - mean
    spread = np.einsum("tni,tnj->nij", deviation, deviation) / len(x)
    m, _, s = of_units(mean, mean, spread, antithetic)
    cov, cov_stderr, _ = covariance(m, m, s)
    assert np.allclose(ens.mean[0], m.mean(axis=0), rtol=1e-12)
    assert np.allclose(ens.mean_stderr[0], m.std(axis=0, ddof=1) / np.sqrt(len(m)), rtol=1e-8)
    assert np.allclose(ens.cov[0], cov, rtol=1e-11, atol=1e-13)
    assert np.allclose(ens.cov_stderr[0], cov_stderr, rtol=1e-8)
    assert np.array_equal(ens.var[0], np.diag(ens.cov[0]))
    assert ens["moments"].n == 200
    assert ens.t.tolist() == [10.0]


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_autocovariance_over_time_and_paths(way, antithetic):
    ens, x = run(way, antithetic)
    result, values, covariances, errors = ens["autocovariance"], [], [], []
    for lag in range(LAGS + 1):
        first, last = x[: len(x) - lag], x[lag:]
        h, g = first.mean(axis=0), last.mean(axis=0)
        s = np.einsum("tni,tnj->nij", first - h, last - g) / len(first)
        cov, stderr, value = covariance(*of_units(h, g, s, antithetic))
        covariances.append(np.diag(cov))
        errors.append(np.diag(stderr))
        values.append(np.einsum("nii->ni", value))
    covariances, values = np.array(covariances), np.array(values)
    rho = covariances / covariances[0]
    ratio = (values - rho[:, None] * values[0]) / covariances[0]
    assert np.allclose(result.autocovariance, covariances, rtol=1e-10, atol=1e-13)
    assert np.allclose(result.autocovariance_stderr, errors, rtol=1e-8)
    assert np.allclose(result.autocorrelation, rho, rtol=1e-10)
    of_ratio = ratio.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    assert np.allclose(result.autocorrelation_stderr, of_ratio, rtol=1e-6, atol=1e-7)
    assert result.lag_steps.tolist() == list(range(LAGS + 1))
    assert np.allclose(result.lags, 0.1 * np.arange(LAGS + 1))


def test_shards_and_threads_give_the_same_bits():
    for antithetic in (False, True):
        whole, _ = run({}, antithetic, threads=1)
        again, _ = run({}, antithetic, threads=3)
        shards = [run({}, antithetic, path_range=r)[0] for r in [(0, 33), (33, 129), (129, 200)]]
        for other in (again, optsde.merge(shards)):
            assert np.array_equal(whole.cov, other.cov)
            assert np.array_equal(whole.cov_stderr, other.cov_stderr)
            a, b = whole["autocovariance"], other["autocovariance"]
            assert np.array_equal(a.autocovariance, b.autocovariance)
            assert np.array_equal(a.autocorrelation_stderr, b.autocorrelation_stderr)


def test_lags_as_steps_and_as_times():
    def observed(lags):
        observe = optsde.Autocovariance(lags)
        return optsde.simulate(OU, START, n_paths=64, t1=10.0, dt=0.1, rng=7, observe=observe)["autocovariance"]

    every, steps, times = observed(10), observed([2, 5, 10]), observed([0.2, 0.49, 1.0])
    assert steps.lag_steps.tolist() == times.lag_steps.tolist() == [2, 5, 10]
    assert np.array_equal(steps.autocovariance, every.autocovariance[[2, 5, 10]])
    assert np.array_equal(steps.autocorrelation, times.autocorrelation)
    assert np.isnan(steps.iact).all()


def test_a_diverged_path_and_its_partner_are_left_out():
    """Beyond 1.5 there is no way back; the other paths are counted as if these were not there."""

    def drift(t, x):
        with np.errstate(over="ignore"):
            return np.where(x > 1.5, x**5, -x)

    equation = optsde.SDE(drift, lambda t, x: np.full(x.shape, 0.5), dim=1, noise="diagonal")
    options = {"n_paths": 400, "t1": 10.0, "dt": 0.1, "rng": 7}
    observe = [optsde.Moments(average_from=1.0), optsde.Paths(at=101)]
    with pytest.warns(optsde.DivergenceWarning):
        plain = optsde.simulate(equation, 0.0, observe=observe, **options)
    with pytest.warns(optsde.DivergenceWarning):
        pairs = optsde.simulate(equation, 0.0, observe=observe, antithetic=True, **options)
    fine = np.isfinite(plain.paths[-1, :, 0])
    assert 0 < plain.n_diverged < 200
    assert plain["moments"].n == fine.sum()
    assert np.allclose(plain.mean[0, 0], plain.paths[10:, fine, 0].mean())
    both = np.isfinite(pairs.paths[-1, :, 0]).reshape(-1, 2).all(axis=1)
    assert pairs["moments"].n == 2 * both.sum()
    assert np.allclose(pairs.mean[0, 0], pairs.paths[10:, np.repeat(both, 2), 0].mean())


def test_one_path_has_no_error():
    observe = [optsde.Moments(average_from=0.0), optsde.Autocovariance(3)]
    ens = optsde.simulate(OU, START, n_paths=1, t1=10.0, dt=0.1, rng=7, observe=observe)
    assert np.isfinite(ens.mean).all()
    assert np.isnan(ens.mean_stderr).all()
    assert np.isnan(ens.var).all()
    assert np.isnan(ens["autocovariance"].autocovariance).all()


@pytest.mark.parametrize(
    ("observer", "message"),
    [
        (lambda: optsde.Moments(at=3, average_from=1.0), "at, average_from: expected at most one"),
        (lambda: optsde.Moments(average_from=-1.0), "average_from"),
        (lambda: optsde.Moments(average_from=11.0), r"average_from: expected a time in \[0, 10\], got 11"),
        (lambda: optsde.Autocovariance(-1), "lags"),
        (lambda: optsde.Autocovariance([3, 2]), "lags: expected ascending lags"),
        (lambda: optsde.Autocovariance([[1]]), "lags: expected an integer or a 1-D array"),
        (lambda: optsde.Autocovariance(101), "lags: expected at most 100 steps"),
        (lambda: optsde.Autocovariance(60, average_from=5.0), "lags: expected at most 50 steps"),
        (lambda: optsde.Autocovariance([0.0, 1e300]), r"lags: expected at most t1 - t0 = 10, got 1e\+300"),
        (lambda: optsde.Autocovariance([0.2, 0.21]), "lags: two of the times"),
    ],
)
def test_bad_arguments(observer, message):
    with pytest.raises(ValueError, match=message):
        optsde.simulate(OU, START, n_paths=10, t1=10.0, dt=0.1, observe=observer())


def test_many_lags_are_asked_for_before_they_are_listed():
    with pytest.raises(MemoryError, match=r"the results need .* bytes \(autocovariance"):
        optsde.simulate(OU, START, t1=10.0, dt=0.1, observe=optsde.Autocovariance(1 << 31))


def test_memory_of_blocks_that_python_is_called_with():
    """Each path of a block keeps its last steps, and these blocks are long."""
    native = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    python = optsde.SDE(lambda t, x: -x, lambda t, x: np.ones(x.shape), dim=1, noise="diagonal")

    def needs(dynamics, *more):
        watch = [optsde.Autocovariance([0, 10**10]), *more]
        with pytest.raises(MemoryError, match="the results need") as caught:
            optsde.simulate(dynamics, 0.0, n_paths=16_000, t1=10.0**10, dt=1.0, observe=watch, threads=1)
        return int(str(caught.value).split("need ")[1].split()[0])

    assert needs(python) > 8 * 10**10 * 16_000
    assert needs(native, optsde.Expectation(lambda x: x[:, 0], "x")) > 8 * 10**10 * 16_000
    assert needs(native, optsde.FirstPassage(optsde.regions.Above(1.0))) < 8 * 10**10 * 600
