"""Stable and Student-t noise: laws of one step, stationary scales of algorithm and equation, isotropy, coupling.

Of stable laws only bounded functions and moments below α/2 are averaged: nothing else has a standard error.
"""

import numpy as np
import optsde
import pytest
from problems import assert_agrees, mean_and_error, z_limit
from scipy import stats
from scipy.special import gamma

N = 400_000
# α: E|S|^0.5, published.
ROOT_MOMENT = {2.0: 0.9777410674, 1.8: 1.0086900528, 1.5: 1.0804297974, 1.2: 1.2197334663}
ALPHA, SCALE, RATE = 1.5, 0.5, 1.0
# Of dX = -X dt + 0.5 dL, α = 1.5: stationary; at t = 0.7 from 0; stationary of Euler chains by h.
OU_STATIONARY, OU_AT = 0.3815714142, 0.2863380940
EULER = {0.1: 0.3881814102, 0.05: 0.3848122531, 0.025: 0.3831763798}
# SGD with η = 0.1 on h = 1, c = 0.5, α = 1.5: the algorithm and its equation.
SGD_SCALE, SDE_SCALE = 0.1801778499, 0.1771097615


def problem(noise, dim=1, curvature=0.0):
    return optsde.Problem(optsde.losses.Quadratic(curvature, dim=dim), noise)


def draws(noise, dim=1, n_paths=N, rng=1, **options):
    """The noise of a step itself: one step of lr = 1 without a gradient."""
    dynamics = optsde.SGD(1.0).discrete(problem(noise, dim))
    return -optsde.simulate(dynamics, np.zeros(dim), steps=1, n_paths=n_paths, rng=rng, **options).final


def assert_stable(samples, alpha, scale, wrong=()):
    """E cos(kX) = exp(-|scale k|^α) at four k about 1/scale; wrong are pairs (alpha, scale)."""
    k = np.array([0.3, 0.7, 1.2, 2.0]) / scale
    estimate, stderr = mean_and_error(np.cos(samples[:, None] * k))

    def exact(a, c):
        return np.exp(-((c * k) ** a))

    assert_agrees(estimate, stderr, exact(alpha, scale), wrong=[exact(*pair) for pair in wrong])


def chain_scale(q, noise, alpha, steps):
    """Scale of x' = (1 - q) x + noise S after so many steps from 0."""
    r = abs(1.0 - q) ** alpha
    return noise * ((1.0 - r**steps) / (1.0 - r)) ** (1.0 / alpha)


def test_closed_forms_have_the_published_answers():
    lr = 0.1
    stationary = (ALPHA * RATE) ** (-1 / ALPHA)
    assert SCALE * stationary == pytest.approx(OU_STATIONARY, abs=1e-9)
    at = ((1 - np.exp(-ALPHA * RATE * 0.7)) / (ALPHA * RATE)) ** (1 / ALPHA)
    assert SCALE * at == pytest.approx(OU_AT, abs=1e-9)
    for h, scale in EULER.items():
        assert chain_scale(RATE * h, SCALE * h ** (1 / ALPHA), ALPHA, 10**6) == pytest.approx(scale, abs=1e-9)
    assert chain_scale(lr, lr * SCALE, ALPHA, 10**6) == pytest.approx(SGD_SCALE, abs=1e-9)
    equation = lr ** ((ALPHA - 1) / ALPHA) * SCALE * (1 / ALPHA) ** (1 / ALPHA)
    assert equation == pytest.approx(SDE_SCALE, abs=1e-9)
    for alpha, moment in ROOT_MOMENT.items():
        p = 0.5
        assert gamma(1 - p / alpha) / (gamma(1 - p) * np.cos(np.pi * p / 2)) == pytest.approx(moment, abs=1e-9)


# --- one draw ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.4, 0.9, 1.0, 1.1, 1.2, 1.5, 1.8, 1.95, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_characteristic_function(alpha, dtype):
    noise = optsde.noise.AlphaStable(alpha, 1.0)
    s = draws(noise, n_paths=1_000_000, dtype=dtype, on_divergence="raise")[:, 0].astype(float)
    neighbours = [(a, 1.0) for a in (alpha * 1.1, alpha / 1.1) if a <= 2.0]
    assert_stable(s, alpha, 1.0, wrong=[*neighbours, (alpha, 1.1), (alpha, 1 / 1.1), (alpha, 2.0)])
    # symmetric, and the sign is fair
    assert_agrees(*mean_and_error(np.sin(s)), 0.0)
    assert_agrees(*mean_and_error(np.sign(s)), 0.0)


@pytest.mark.parametrize("alpha", ROOT_MOMENT)
def test_moment_of_order_one_half(alpha):
    s = draws(optsde.noise.AlphaStable(alpha, 1.0), rng=2)[:, 0]
    others = [moment for other, moment in ROOT_MOMENT.items() if other != alpha]
    assert_agrees(*mean_and_error(np.sqrt(np.abs(s))), ROOT_MOMENT[alpha], wrong=others)


def test_mean_of_absolute_normals():
    # Of α = 2 alone E|S| has a finite variance; its law is N(0, 2).
    s = draws(optsde.noise.AlphaStable(2.0, 1.0), rng=3)[:, 0]
    assert_agrees(*mean_and_error(np.abs(s)), 1.1283791671, wrong=[np.sqrt(2 / np.pi)])


@pytest.mark.parametrize(
    ("noise", "law"),
    [
        (optsde.noise.AlphaStable(1.0, 2.0), stats.cauchy(scale=2.0)),
        (optsde.noise.AlphaStable(2.0, 3.0), stats.norm(scale=3.0 * np.sqrt(2.0))),
        (optsde.noise.AlphaStable(0.5, 1.0), None),
        (optsde.noise.StudentT(2.01, 1.0), stats.t(2.01, scale=np.sqrt(0.01 / 2.01))),
        (optsde.noise.StudentT(3.0, 4.0), stats.t(3.0, scale=2.0 / np.sqrt(3.0))),
        (optsde.noise.StudentT(7.5, 1.0), stats.t(7.5, scale=np.sqrt(5.5 / 7.5))),
        (optsde.noise.StudentT(1e7, 1.0), stats.norm()),
    ],
    ids=lambda value: str(value) if isinstance(value, optsde.noise.StudentT | optsde.noise.AlphaStable) else "",
)
def test_distribution_function(noise, law):
    s = draws(noise, rng=4)[:, 0]
    if law is None:
        # α = 1/2: |S| by the difference of two Lévy variables, of which scipy has the law.
        pair = stats.levy(scale=0.25).rvs((2, N), random_state=np.random.default_rng(5))
        assert stats.ks_2samp(s, pair[0] - pair[1]).pvalue > 1e-6
        return
    assert stats.kstest(s, law.cdf).pvalue > 1e-6
    # The tails, which the test of Kolmogorov and Smirnov hardly sees.
    for level in (1e-2, 1e-3, 1e-4):
        beyond = np.count_nonzero(np.abs(s) > law.isf(level / 2))
        assert stats.binomtest(beyond, N, level).pvalue > 1e-6


def test_half_stable_is_a_difference_of_levy_variables():
    # E e^{ikY} = e^{-|ck|^½ (1 - i sign k)}: the difference of two has the exponent -2 |ck|^½.
    k, c = np.array([0.5, 1.0, 3.0]), 0.25
    assert np.allclose(2 * np.sqrt(c * k), np.sqrt(k))


@pytest.mark.parametrize("df", [4.5, 9.0, 30.0])
def test_student_variance_and_kurtosis(df):
    n = 2_000_000
    z = draws(optsde.noise.StudentT(df, 2.0), n_paths=n, rng=6)[:, 0]
    if df > 8:
        assert_agrees(*mean_and_error(z**2), 2.0, wrong=[2.0 * df / (df - 2.0), 2.0 * (df - 2.0) / df])
        # E z⁴ has a finite variance for df > 8, but its estimate is nearly normal only well above.
    if df > 20:
        assert_agrees(*mean_and_error(z**4 / 4.0), 3.0 + 6.0 / (df - 4.0), wrong=[3.0])
    # Bounded statistics know the law for every df.
    inner = stats.t(df).cdf(1.0 / np.sqrt((df - 2.0) / df)) * 2.0 - 1.0
    wrong = [2.0 * stats.t(df).cdf(1.0) - 1.0, 2.0 * stats.norm.cdf(1.0) - 1.0][: 2 if df < 10 else 1]
    assert_agrees(*mean_and_error(np.abs(z) < np.sqrt(2.0)), inner, wrong=wrong)


def test_student_covariance_and_batch():
    cov = np.array([[1.0, 0.3, -0.2], [0.3, 0.5, 0.1], [-0.2, 0.1, 0.4]])
    loss = optsde.losses.Quadratic(0.0, dim=3)
    for noise, sigma in (
        (optsde.noise.StudentT(20.0, cov), cov),
        (optsde.noise.StudentT(20.0, [1.0, 0.5, 0.0]), np.diag([1.0, 0.5, 0.0])),
        (optsde.noise.StudentT(20.0, 0.7), 0.7 * np.eye(3)),
    ):
        chain = optsde.SGD(0.1).discrete(optsde.Problem(loss, noise, batch_size=3))
        ens = optsde.simulate(chain, np.zeros(3), steps=1, n_paths=N, rng=7, observe=[optsde.Moments(cov=True)])
        exact = 0.01 * sigma / 3
        assert_agrees(ens.cov[0], ens.cov_stderr[0], exact, wrong=[3 * exact, exact / 3, 10 * exact, exact * 20 / 18])


def test_student_algorithm_and_its_equation_have_the_same_second_moments():
    noise = optsde.noise.StudentT(12.0, 2.25)
    sgd, steps = optsde.SGD(0.1), 40
    p = problem(noise, curvature=2.0)
    chain = optsde.simulate(sgd.discrete(p), 1.0, steps=steps, n_paths=N, rng=8)
    euler = optsde.simulate(sgd.sde(p), 1.0, steps=steps, substeps=1, n_paths=N, rng=8)
    r = 0.8
    variance = 0.01 * 2.25 * (1 - r ** (2 * steps)) / (1 - r**2)
    for ens in (chain, euler):
        assert_agrees(ens.mean[0], ens.mean_stderr[0], r**steps)
        assert_agrees(ens.var[0], ens.var_stderr[0], variance, wrong=[variance * 12 / 10, 2 * variance])
    assert sgd.sde(p).noise_kind == "additive_diagonal"
    assert "Gaussian noise of the covariance" in sgd.sde(p).describe()
    exact = optsde.simulate(sgd.sde(p), 1.0, steps=steps, n_paths=N, rng=8, method="ornstein_uhlenbeck")
    assert_agrees(exact.var[0], exact.var_stderr[0], 0.05625 * (1 - np.exp(-4 * 0.1 * steps)))


# --- several dimensions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 1.95, 2.0])
def test_isotropic_vectors(alpha):
    x = draws(optsde.noise.AlphaStable(alpha, 2.0, isotropic=True), dim=3, rng=9)
    for direction in ([1, 0, 0], [0, 0, 1], [1, 1, 0], [1, -1, 0], [1, 2, -3]):
        unit = np.array(direction) / np.linalg.norm(direction)
        # Of independent components the scale along (1, 1, 0)/√2 would be 2 · 2^{1/α - 1/2}.
        k = np.count_nonzero(direction)
        wrong = [(alpha, 2.0 * np.sum(np.abs(unit) ** alpha) ** (1 / alpha))] if k > 1 and alpha < 1.9 else []
        assert_stable(np.einsum("ni,i->n", x, unit), alpha, 2.0, wrong=[*wrong, (alpha, 2.1)])
    # The direction is uniform on the sphere: each of its coordinates is uniform in (-1, 1), by Archimedes.
    cosines = x / np.linalg.norm(x, axis=1, keepdims=True)
    for i in range(3):
        assert stats.kstest(cosines[:, i], stats.uniform(-1, 2).cdf).pvalue > 1e-6
    # and independent of the length: components are large together, not one by one.
    large = np.linalg.norm(x, axis=1) > 20.0 if alpha < 1.9 else np.linalg.norm(x, axis=1) > 6.0
    values = (cosines[:, 0] ** 4 - 0.2) * large
    one_large = 0.13 * large.mean()  # of independent components the largest has nearly all of the length
    assert_agrees(*mean_and_error(values), 0.0, wrong=[one_large] if alpha < 1.9 else [])


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 17])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_isotropic_in_any_dimension(dim, dtype):
    x = draws(optsde.noise.AlphaStable(1.3, 1.0, isotropic=True), dim=dim, n_paths=100_000, rng=10, dtype=dtype)
    direction = np.cos(1.0 + np.arange(dim))
    along = np.einsum("ni,i->n", x.astype(float), direction / np.linalg.norm(direction))
    assert_stable(along, 1.3, 1.0, wrong=[(1.3, 1.1)])


def test_components_are_independent_and_have_their_scales():
    scales = np.array([0.5, 2.0, 0.0])
    x = draws(optsde.noise.AlphaStable(1.2, scales), dim=3, rng=11)
    assert (x[:, 2] == 0.0).all()
    for i in (0, 1):
        assert_stable(x[:, i], 1.2, scales[i], wrong=[(1.2, 2 * scales[i])])
    joint = np.exp(-((0.5 * 1.0) ** 1.2) - (2.0 * 0.3) ** 1.2)
    isotropic_like = np.exp(-(np.hypot(0.5, 0.6) ** 1.2))
    assert_agrees(*mean_and_error(np.cos(x[:, 0] + 0.3 * x[:, 1])), joint, wrong=[isotropic_like])


def test_steps_and_paths_are_independent():
    p = problem(optsde.noise.AlphaStable(1.5, 1.0), dim=2)
    watch = optsde.Paths(at=4)
    x = optsde.simulate(
        optsde.SGD(1.0).discrete(p), np.zeros(2), steps=3, n_paths=200_000, rng=12, observe=[watch]
    ).paths
    s = np.sign(np.diff(x, axis=0)) * np.minimum(np.abs(np.diff(x, axis=0)), 1.0)  # bounded, odd
    big = np.abs(np.diff(x, axis=0)) > 2.0  # large together?
    for values in (s, big - big.mean()):
        pairs = [
            values[0] * values[1],
            values[1] * values[2],
            values[0] * values[2],
            values[:, :, 0] * values[:, :, 1],
            values[:, 1:] * values[:, :-1],
            values[:, 1:, 0] * values[:, :-1, 1],
        ]
        for product in pairs:
            assert_agrees(*mean_and_error(product.ravel()), 0.0, wrong=[0.1 * np.square(values).mean()])


# --- algorithm and equation -------------------------------------------------------------------------------------------


def levy_ou():
    """Give dX = -X dt + 0.5 dL: the equation of SGD with lr = 1, whose noise is multiplied by 1."""
    return optsde.SGD(1.0).sde(problem(optsde.noise.AlphaStable(ALPHA, SCALE), curvature=RATE))


@pytest.mark.parametrize("h", [0.1, 0.05])
def test_euler_chain_has_its_stationary_scale(h):
    # 15 relaxation times: scale^α is short of its limit by e^{-22}.
    ens = optsde.simulate(levy_ou(), 0.0, t1=15.0, dt=h, n_paths=2_000_000, rng=13, observe=[optsde.Final()])
    assert ens.method == "levy_euler"
    wrong = {0.1: EULER[0.05], 0.05: EULER[0.1]}[h]
    assert_stable(ens.final[:, 0], ALPHA, EULER[h], wrong=[(ALPHA, wrong), (ALPHA, OU_STATIONARY)])


def test_equation_at_a_finite_time():
    # Steps of 0.7/64: the chain's scale is 0.2 % from the equation's, and both are within reach of the other's errors.
    h = 0.7 / 64
    ens = optsde.simulate(levy_ou(), 0.0, t1=0.7, dt=h, n_paths=N, rng=14, observe=[optsde.Final()])
    chain = chain_scale(h, SCALE * h ** (1 / ALPHA), ALPHA, 64)
    assert chain == pytest.approx(OU_AT, rel=0.004)
    assert_stable(ens.final[:, 0], ALPHA, chain, wrong=[(ALPHA, OU_STATIONARY), (ALPHA, SCALE * 0.7 ** (1 / ALPHA))])
    # of an initial value only the mean moves
    ens = optsde.simulate(levy_ou(), 3.0, t1=0.7, dt=h, n_paths=N, rng=15, observe=[optsde.Final()])
    assert_stable(ens.final[:, 0] - 3.0 * (1 - h) ** 64, ALPHA, chain, wrong=[(ALPHA, OU_STATIONARY)])


def test_algorithm_and_equation_have_their_own_scales():
    p = problem(optsde.noise.AlphaStable(ALPHA, SCALE), curvature=1.0)
    sgd, steps, n = optsde.SGD(0.1), 150, 1_000_000
    chain = optsde.simulate(sgd.discrete(p), 0.0, steps=steps, n_paths=n, rng=16, observe=[optsde.Final()])
    assert_stable(chain.final[:, 0], ALPHA, SGD_SCALE, wrong=[(ALPHA, SDE_SCALE)])
    h, steps = 0.1 / 8, 60
    equation = optsde.simulate(sgd.sde(p), 0.0, steps=steps, n_paths=n, rng=17, observe=[optsde.Final()])
    fine = chain_scale(h, 0.1 ** ((ALPHA - 1) / ALPHA) * SCALE * h ** (1 / ALPHA), ALPHA, steps * 8)
    assert fine == pytest.approx(SDE_SCALE, rel=2.5e-3)
    no_rate = SCALE * (1 / ALPHA) ** (1 / ALPHA)
    gaussian_rate = np.sqrt(0.1) * no_rate
    assert_stable(
        equation.final[:, 0], ALPHA, fine, wrong=[(ALPHA, SGD_SCALE), (ALPHA, no_rate), (ALPHA, gaussian_rate)]
    )


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.5, 2.0])
def test_algorithm_is_the_euler_scheme_path_by_path(alpha, isotropic):
    loss = optsde.losses.DoubleWell(0.1, dim=2)
    p = optsde.Problem(loss, optsde.noise.AlphaStable(alpha, 0.05, isotropic))
    sgd = optsde.SGD(0.2)
    for wiener_dt in (None, 0.05):
        options = {"steps": 7, "n_paths": 300, "rng": 18, "wiener_dt": wiener_dt, "on_divergence": "keep"}
        chain = optsde.simulate(sgd.discrete(p), [0.3, -0.2], **options).final
        euler = optsde.simulate(sgd.sde(p), [0.3, -0.2], substeps=1, **options).final
        same = np.isfinite(chain)
        assert same.mean() > 0.9
        np.testing.assert_allclose(euler[same], chain[same], rtol=1e-9, atol=1e-12)


def test_steps_of_any_length_see_one_levy_path():
    # Without a gradient the end is the Lévy process, whatever the steps that led there.
    for isotropic in (False, True):
        p = problem(optsde.noise.AlphaStable(1.4, 0.5, isotropic), dim=3)
        ends = [
            optsde.simulate(optsde.SGD(0.1).sde(p), np.zeros(3), t1=1.2, dt=dt, wiener_dt=0.025, n_paths=N, rng=19)
            for dt in (0.025, 0.1, 0.3, 1.2)
        ]
        for end in ends[1:]:
            np.testing.assert_allclose(end.final, ends[0].final, rtol=1e-9, atol=1e-11)
        exact = 0.1 ** (0.4 / 1.4) * 0.5 * 1.2 ** (1 / 1.4)
        assert_stable(ends[-1].final[:, 1], 1.4, exact, wrong=[(1.4, exact * 1.05)])


def test_refining_the_steps_converges_on_the_path():
    p = problem(optsde.noise.AlphaStable(1.7, 0.3), curvature=1.0)
    sde, options = optsde.SGD(0.5).sde(p), {"t1": 1.0, "wiener_dt": 1 / 256, "n_paths": 4000, "rng": 20}
    reference = optsde.simulate(sde, 1.0, dt=1 / 256, **options).final
    ends = [optsde.simulate(sde, 1.0, dt=dt, **options).final for dt in (1 / 8, 1 / 32)]
    errors = [np.median(np.abs(end - reference)) for end in ends]
    assert errors[1] < 0.4 * errors[0]


def test_other_streams_are_other_noise():
    p = problem(optsde.noise.AlphaStable(1.5, 1.0))
    a, b = (optsde.simulate(optsde.SGD(1.0).discrete(p), 0.0, steps=1, n_paths=N, rng=r).final for r in (1, 2))
    assert not (a == b).any()
    product = np.tanh(a[:, 0]) * np.tanh(b[:, 0])
    z, stderr = mean_and_error(product)
    assert abs(z / stderr) < z_limit(1)
