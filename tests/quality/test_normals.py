"""Quality of the normals: moments, tails, distribution, and correlations over paths, steps and slots.

Every test fails for a right generator with a probability below 1e-6 (``battery.FALSE_ALARM``). Here 10^7 draws of
either precision; ``pytest -m quality`` takes 10^8.
"""

import numpy as np
import optsde
import pytest
from battery import FALSE_ALARM, Battery
from optsde import _core
from reference import normals, normals_f32
from scipy.stats import binom, chi2, kstest, norm

NUMBERS, PATHS = 1000, 2500
LONG = pytest.mark.quality


def own(single, chunks):
    """Chunks of the library's normals: neighbouring paths, then some across and beyond path 2^32."""
    for k in range(chunks):
        first = k * PATHS if k % 2 == 0 else 2**32 - 1000 + k * PATHS
        yield _core.normals(0x9E3779B97F4A7C15, 0, first, PATHS, NUMBERS, single)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((False, 4), id="f64-1e7"),
        pytest.param((True, 4), id="f32-1e7"),
        pytest.param((False, 40), id="f64-1e8", marks=LONG),
        pytest.param((True, 40), id="f32-1e8", marks=LONG),
    ],
)
def battery(request):
    single, chunks = request.param
    result = Battery(4 if single else 2)
    for chunk in own(single, chunks):
        result.add(chunk)
    assert result.n == chunks * NUMBERS * PATHS
    return result


def test_moments(battery):
    assert battery.moments().min() > FALSE_ALARM, battery.moments()


def test_tails(battery):
    assert battery.tails().min() > FALSE_ALARM, (battery.above, battery.below)


def test_kolmogorov_smirnov(battery):
    assert battery.kolmogorov_smirnov() > FALSE_ALARM


def test_anderson_darling(battery):
    assert battery.anderson_darling() > FALSE_ALARM


def test_correlations_over_paths_steps_and_slots(battery):
    largest = battery.largest_correlation()
    assert largest[0] < battery.correlation_limit(), largest


def largest_cross_correlation(one, other):
    """Over all lags, of values and squares; and the limit."""
    largest = 0.0
    for a, b in ((one, other), (one**2 - 1.0, other**2 - 1.0)):
        scale = a.std() * b.std() * np.sqrt(a.size)
        products = np.fft.irfft2(np.fft.rfft2(a) * np.fft.rfft2(b).conj(), s=a.shape) / scale
        largest = max(largest, float(np.abs(products).max()))
    return largest, float(norm.isf(FALSE_ALARM / one.size / 4.0))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        {"key": 8},
        {"key": 7 ^ 1 << 63},
        {"key": 7 ^ 1 << 32},
        {"tag": 1},
        {"tag": 255},
        {"first": 2**32},
        {"first": 2**62},
        {"first": 512},
    ],
    ids=str,
)
def test_streams_are_independent(single, other):
    base = {"key": 7, "tag": 0, "first": 0}
    draw = lambda key, tag, first: _core.normals(key, tag, first, 512, 512, single)  # noqa: E731
    largest, limit = largest_cross_correlation(draw(**base), draw(**base | other))
    assert largest < limit


# --- the battery itself: what must fail does -------------------------------------------------------------------------


@pytest.mark.parametrize(("reference", "slots"), [(normals, 2), (normals_f32, 4)], ids=["f64", "f32"])
def test_four_rounds_are_caught_by_correlations_alone(reference, slots):
    """Philox with too few rounds passes all that looks at draws one by one."""
    numbers, paths = 1000, 1024
    weak = Battery(slots).add(reference(7, 0, np.arange(numbers // slots), np.arange(paths), rounds=4))
    assert weak.moments().min() > FALSE_ALARM
    assert weak.kolmogorov_smirnov() > FALSE_ALARM
    assert weak.anderson_darling() > FALSE_ALARM
    assert weak.largest_correlation()[0] > 3.0 * weak.correlation_limit()
    full = Battery(slots).add(reference(7, 0, np.arange(numbers // slots), np.arange(paths), rounds=10))
    assert full.largest_correlation()[0] < full.correlation_limit()


def good(seed=3):
    return np.random.default_rng(seed).normal(size=(1000, 1000))


def test_battery_passes_a_good_generator():
    battery = Battery(2).add(good())
    assert battery.moments().min() > FALSE_ALARM
    assert battery.tails().min() > FALSE_ALARM
    assert battery.kolmogorov_smirnov() > FALSE_ALARM
    assert battery.anderson_darling() > FALSE_ALARM
    assert battery.largest_correlation()[0] < battery.correlation_limit()


def test_battery_catches_a_shift_and_a_wrong_scale():
    assert Battery(2).add(good() + 0.01).kolmogorov_smirnov() < FALSE_ALARM
    assert Battery(2).add(good() + 0.01).moments().min() < FALSE_ALARM
    assert Battery(2).add(good() * 1.01).anderson_darling() < FALSE_ALARM


def test_battery_catches_cut_and_heavy_tails():
    assert Battery(2).add(np.clip(good(), -4.0, 4.0)).tails().min() < FALSE_ALARM
    assert Battery(2).add(np.random.default_rng(1).standard_t(30, size=(1000, 1000))).tails().min() < FALSE_ALARM


def test_battery_catches_repeated_paths_and_steps():
    x = good()
    for repeated in (
        np.where(np.arange(1000)[None] % 20 == 0, np.roll(x, 3, axis=1), x),
        np.where(np.arange(1000)[:, None] % 50 == 0, np.roll(x, 10, axis=0), x),
    ):
        battery = Battery(2).add(repeated)
        assert battery.kolmogorov_smirnov() > FALSE_ALARM
        assert battery.largest_correlation()[0] > battery.correlation_limit()


def test_battery_catches_slots_of_one_radius():
    """A cosine and a sine that share too much: uncorrelated, but their squares are not independent."""
    random = np.random.default_rng(2)
    angle = random.uniform(0, 2 * np.pi, size=(500, 1000))
    x = np.sqrt(2.0) * np.stack([np.cos(angle), np.sin(angle)], axis=1).reshape(1000, 1000)
    what, key, lag = Battery(2).add(x).largest_correlation()
    assert what > 20.0
    assert key == ("squares", 0, 1)
    assert lag == (0, 0)


def test_anderson_darling_law():
    """Its tail formula is that of the published quantiles (Lewis 1961: 3.857 at 1 %; Marsaglia 2004: 8.0 at 1.1e-4)."""
    for statistic, share in ((3.857, 0.01), (8.0, 1.1e-4)):
        assert np.sqrt(3.0) * chi2.sf(2.0 * statistic, 1) == pytest.approx(share, rel=0.1)


# --- through simulate -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float32"},
        {"increments": "gaussian_f32"},
        {"method": "ornstein_uhlenbeck"},
        {"method": "ornstein_uhlenbeck", "dtype": "float32"},
        {"wiener_dt": 1 / 3},
    ],
    ids=str,
)
def test_simulated_wiener_steps(options):
    """A million steps of pure noise in two dimensions, the second at a late time."""
    flat = optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=2)
    ends = [
        optsde.simulate(flat, [0.0, 0.0], n_paths=500_000, t0=t0, t1=t0 + 1.0, dt=1.0, rng=5, **options).final
        for t0 in (0.0, 1000.0)
    ]
    x = np.concatenate(ends, axis=1).T.astype(np.float64)
    order = np.arange(1, 9)
    exact = np.array([0, 1, 0, 3, 0, 15, 0, 105])
    second = np.array([1, 3, 15, 105, 945, 10395, 135135, 2027025])
    z = (np.mean(x[..., None] ** order, axis=(0, 1)) - exact) / np.sqrt((second - exact**2) / x.size)
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / 2), z
    assert kstest(x.ravel(), "norm").pvalue > FALSE_ALARM
    r = np.corrcoef(x)[np.triu_indices(4, 1)] * np.sqrt(x.shape[1])
    r2 = np.corrcoef(x**2)[np.triu_indices(4, 1)] * np.sqrt(x.shape[1])
    assert max(np.abs(r).max(), np.abs(r2).max()) < norm.isf(FALSE_ALARM / 2)


def test_two_point_signs_are_fair_and_independent():
    flat = optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=64)
    options = {"n_paths": 50_000, "rng": 5, "increments": "two_point", "dt": 1.0}
    x = np.concatenate(
        [optsde.simulate(flat, np.zeros(64), t0=float(k), t1=k + 1.0, **options).final for k in range(3)], axis=1
    )
    assert set(np.unique(x)) == {-1.0, 1.0}
    ups = (x > 0).sum(axis=0)
    p = 2.0 * np.minimum(binom.cdf(ups, len(x), 0.5), binom.sf(ups - 1, len(x), 0.5))
    assert p.min() > FALSE_ALARM / p.size
    r = np.corrcoef(x.T)[np.triu_indices(x.shape[1], 1)] * np.sqrt(len(x))
    assert np.abs(r).max() < norm.isf(FALSE_ALARM / r.size / 2)
    spectrum = np.abs(np.fft.ifft(np.abs(np.fft.fft(x[:, 0])) ** 2)[1:]) / np.sqrt(len(x))
    assert spectrum.max() < norm.isf(FALSE_ALARM / spectrum.size / 2)


def test_random_initial_states():
    flat = optsde.OrnsteinUhlenbeck(0.0, 0.0, 0.0, dim=3)
    options = {"n_paths": 300_000, "t1": 1.0, "dt": 1.0, "rng": 5}
    box = optsde.simulate(flat, optsde.initial.Uniform([0.0, -2.0, 5.0], [1.0, 2.0, 6.0]), **options).final
    for column, low, width in zip(box.T, (0.0, -2.0, 5.0), (1.0, 4.0, 1.0), strict=True):
        assert kstest((column - low) / width, "uniform").pvalue > FALSE_ALARM
        assert low <= column.min()
        assert column.max() <= low + width
    cov = np.array([[1.0, 0.5, 0.2], [0.5, 2.0, -0.3], [0.2, -0.3, 0.5]])
    cloud = optsde.simulate(flat, optsde.initial.Gaussian([1.0, 2.0, 3.0], cov), **options).final
    white = np.linalg.solve(np.linalg.cholesky(cov), (cloud - [1.0, 2.0, 3.0]).T)
    for row in white:
        assert kstest(row, "norm").pvalue > FALSE_ALARM
    r = np.concatenate([np.corrcoef(white)[np.triu_indices(3, 1)], np.corrcoef(box.T)[np.triu_indices(3, 1)]])
    assert np.abs(r * np.sqrt(len(cloud))).max() < norm.isf(FALSE_ALARM / 2)
    noise = optsde.simulate(optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=3), [0.0] * 3, **options).final
    r = np.corrcoef(noise.T, white)[:3, 3:] * np.sqrt(len(cloud))
    assert np.abs(r).max() < norm.isf(FALSE_ALARM / 2), "initial states and noise must not share normals"
