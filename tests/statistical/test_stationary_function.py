"""``optsde.stationary`` against exact laws: errors that cover, the step's error, refusals, burn-in, autocorrelation."""

import numpy as np
import optsde
import pytest
from problems import (
    ONE_DIM_STATIONARY,
    TWO_DIM_COV,
    TWO_DIM_H,
    assert_agrees,
    chi_square_of,
    full,
    mean_and_error,
    sgd_stationary,
    simpson_expectation,
    z_limit,
)
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import binom

COVERAGE = 0.95


def quadratic(h, cov, **options):
    return optsde.Problem(optsde.losses.Quadratic(h, dim=1 if np.ndim(h) == 0 else None), optsde.noise.Gaussian(cov))


def assert_covered(hits):
    """Hits of intervals that are to hold with ``COVERAGE``: fewer by chance once in a million."""
    hits = np.ravel(hits)
    assert hits.sum() >= binom.ppf(1e-6, hits.size, COVERAGE), f"{hits.sum()} of {hits.size}"


def test_errors_of_an_algorithm_cover_and_are_no_larger_than_need_be():
    sgd = optsde.SGD(0.1).discrete(quadratic(2.0, 2.25))
    runs = [optsde.stationary(sgd, rtol=0.06, rng=seed) for seed in range(60)]
    assert {st.status for st in runs} == {"converged"}
    mean = np.array([st.mean[0] for st in runs])
    var = np.array([st.cov[0, 0] for st in runs])
    exact = ONE_DIM_STATIONARY[0]
    z = np.concatenate(
        [mean / [st.mean_stderr[0] for st in runs], (var - exact) / [st.cov_stderr[0, 0] for st in runs]]
    )
    assert_covered(np.abs(mean) <= [st.mean_error[0] for st in runs])
    assert_covered(np.abs(var - exact) <= [st.cov_error[0, 0] for st in runs])
    assert chi_square_of(z) > 1e-6
    # The wrong alpha of the Gibbs form, and the equation's own law, are out of reach together.
    assert_agrees(*mean_and_error(var), exact, wrong=[0.01125, ONE_DIM_STATIONARY[1]])
    for st in runs:
        assert (st.mean_bias == 0).all()
        assert (st.cov_bias == 0).all()
        assert st.mean_error[0] <= 0.06 * np.sqrt(st.var[0])
        assert st.var_error[0] <= 0.06 * st.var[0]
        assert st.ess[0] == pytest.approx(st.var[0] / st.mean_stderr[0] ** 2)


def test_covariances_of_an_algorithm_and_of_its_exact_equation():
    problem = quadratic(TWO_DIM_H, TWO_DIM_COV)
    for dynamics, exact in (
        (optsde.SGD(0.1).discrete(problem), sgd_stationary(TWO_DIM_H, TWO_DIM_COV, 0.1)),
        (optsde.SGD(0.1).sde(problem), full((0.0245238095, 0.0019047619, 0.0240476190))),
    ):
        st = optsde.stationary(dynamics, rtol=0.02, rng=3)
        assert st.status == "converged"
        assert_agrees(st.cov, st.cov_stderr, exact)
        assert_agrees(st.mean, st.mean_stderr, 0.0)
        np.testing.assert_array_equal(st.cov, st.cov.T)
    assert st.method == "ornstein_uhlenbeck"
    assert (st.cov_bias == 0).all()


OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1)


def euler_variance(dt):
    """Of Euler-Maruyama on dX = -X dt + √2 dW."""
    return 1.0 / (1.0 - dt / 2.0)


def test_the_error_of_a_given_step_is_found_told_and_taken_out():
    dt = 0.1
    runs = [optsde.stationary(OU, method="euler_maruyama", dt=dt, rng=seed) for seed in range(12)]
    for st in runs:
        assert st.status == "budget"
        assert "dt = 0.1" in st.reason
        assert st.dt == dt
        assert abs(st.var[0] - 1.0) <= st.var_error[0]
    found = np.array([[st.var_bias[0]] for st in runs])
    # From dt and dt/2 comes the leading term, 0.0540; the error itself is 0.0526.
    leading = 2.0 * (euler_variance(dt) - euler_variance(dt / 2.0))
    assert_agrees(*mean_and_error(found), leading, wrong=[-leading, leading / 2.0, 2.0 * leading])
    assert_agrees(*mean_and_error(np.array([[st.var[0]] for st in runs])), euler_variance(dt), wrong=[1.0])
    st = optsde.stationary(OU, method="euler_maruyama", dt=dt, extrapolate=True, rng=1)
    assert st.status == "converged"
    assert st.extrapolated
    assert (st.cov_bias == 0).all()
    assert abs(st.var[0] - 1.0) <= st.var_error[0] <= 0.01


def test_the_step_is_made_small_enough_where_it_is_free():
    runs = [optsde.stationary(OU, method="euler_maruyama", rtol=0.03, rng=seed) for seed in range(20)]
    for st in runs:
        assert st.status == "converged"
        assert abs(st.var_bias[0]) < 0.03
    assert max(st.dt for st in runs) < 0.05
    assert_covered([abs(st.var[0] - 1.0) <= st.var_error[0] for st in runs])
    assert_covered([abs(st.mean[0]) <= st.mean_error[0] for st in runs])


def gibbs(value, temperature, power):
    return simpson_expectation(lambda x: x**power, lambda x: np.exp(-value(x) / temperature), -5.0, 5.0)


def test_a_quartic_well():
    exact = gibbs(lambda x: x**4 / 4 + x**2 / 2, 1.0, 2)
    dynamics = optsde.Langevin(optsde.losses.Quartic(), 1.0)
    coarse = [optsde.stationary(dynamics, method="euler_maruyama", dt=0.1, rtol=0.02, rng=s) for s in range(6)]
    # Euler-Maruyama spreads too far; how far is known by quadrature.
    assert_agrees(*mean_and_error(np.array([[st.var[0]] for st in coarse])), quartic_euler(0.1), wrong=[exact])
    leading = 2.0 * (quartic_euler(0.1) - quartic_euler(0.05))
    assert_agrees(
        *mean_and_error(np.array([[st.var_bias[0]] for st in coarse])), leading, wrong=[-leading, leading / 2, 0.0]
    )
    st = optsde.stationary(dynamics, rng=4)
    assert st.status == "converged"
    assert st.method == "leimkuhler_matthews"
    assert "one well only" in st.reason
    assert abs(st.var[0] - exact) <= 1.5 * st.var_error[0]
    assert st.var_error[0] <= 0.01 * st.var[0]


def quartic_euler(dt):
    """E x² of Euler-Maruyama in the quartic well at T = 1, from the stationary vector of its kernel on a grid."""
    x = np.linspace(-5.0, 5.0, 801)
    kernel = np.exp(-((x[None] - (x - dt * (x**3 + x))[:, None]) ** 2) / (4.0 * dt))
    kernel /= kernel.sum(axis=1, keepdims=True)
    p = np.exp(-(x**4 / 4 + x**2 / 2))
    for _ in range(400):
        p = p @ kernel
    return float((p * x**2).sum() / p.sum())


def test_a_double_well_that_mixes():
    st = optsde.stationary(
        optsde.Langevin(optsde.losses.DoubleWell(), 0.5),
        rng=5,
        observe=[
            optsde.Expectation(lambda x: x[:, 0] ** 4, "x4"),
            optsde.Histogram(30, (-1.8, 1.8), coords=0),
        ],
    )
    assert st.status == "converged"
    assert "all known minima" in st.reason

    def value(x):
        return (x**2 - 1) ** 2

    exact = gibbs(value, 0.5, 2)
    second = st.var[0] + st.mean[0] ** 2
    assert abs(second - exact) <= 1.5 * st.var_error[0]
    assert abs(st.mean[0]) <= 1.5 * st.mean_error[0]
    assert st.rhat[0] < 1.01
    x4 = st.expectations["x4"]
    assert_agrees(x4.mean, x4.stderr, gibbs(value, 0.5, 4), bias=0.01, wrong=[2 * gibbs(value, 0.5, 4)])
    assert st.histogram.counts.sum() > 5000


def test_the_double_well_of_the_theory_pages():
    # Spec 07, D = 0.2: wells exchange paths within tens of time units.
    st = optsde.stationary(optsde.Langevin(optsde.losses.Quartic(1.0, -1.0), 0.2), rtol=0.03, rng=6)
    assert st.status == "converged"
    assert abs(st.var[0] + st.mean[0] ** 2 - 0.8308953527) <= 1.5 * st.var_error[0]
    assert st.iact[0] == pytest.approx(2.0 / 0.13477, rel=0.25)


COLD = {
    "Langevin": optsde.Langevin(optsde.losses.DoubleWell(), 0.02),
    "SGD": optsde.SGD(0.02).discrete(optsde.Problem(optsde.losses.DoubleWell(), optsde.noise.Gaussian(1.0, dim=1))),
    "SGD's SDE": optsde.SGD(0.02).sde(optsde.Problem(optsde.losses.DoubleWell(), optsde.noise.Gaussian(1.0, dim=1))),
    "unknown minima": optsde.Langevin(optsde.losses.Function(lambda x: 4 * x * (x**2 - 1), dim=1), 0.02),
    "many wells": optsde.Langevin(optsde.losses.DoubleWell(dim=6), 0.05),
}


@pytest.mark.parametrize("name", COLD)
def test_cold_wells_are_refused_at_once(name):
    for start in (0.9, -1.1):
        theta0 = np.full(COLD[name].dim, start)
        st = optsde.stationary(COLD[name], theta0, rng=7)
        assert st.status == "not_stationary"
        assert "wells that do not mix" in st.reason
        assert st.rhat.max() > 1.1
        assert st.n_steps < 100_000


def test_what_can_not_be_seen_is_said():
    cold = COLD["Langevin"]
    st = optsde.stationary(cold, 0.9, dispersed=False, rtol=0.1, rng=8)
    assert st.status == "converged"
    assert "other wells cannot be excluded" in st.reason
    st = optsde.stationary(optsde.Langevin(optsde.losses.Function(lambda x: x, dim=1), 1.0), rtol=0.1, rng=8)
    assert st.status == "converged"
    assert "other wells cannot be excluded" in st.reason


def test_burn_in_is_found_from_a_far_start():
    dynamics = optsde.SGD(0.1).discrete(quadratic(1.0, 1.0))
    for start in (1e3, 1e6):
        st = optsde.stationary(dynamics, start, rtol=0.05, rng=9)
        assert st.status == "converged"
        # The mean falls as 0.9^k; what is left of it is to be small beside the mean's error over the whole run.
        left = start * 0.9**st.burn_in_steps / (0.1 * (st.n_steps - st.burn_in_steps))
        assert left < st.mean_stderr[0]
        assert st.burn_in_steps < 10 * np.log(start / 0.23) / -np.log(0.9)
        assert st.burn_in == pytest.approx(0.1 * st.burn_in_steps)
        assert abs(st.var[0] - 0.1 / 1.9) <= 2 * st.var_error[0]
    near = optsde.stationary(dynamics, 0.0, rtol=0.05, rng=9)
    assert near.burn_in < st.burn_in


def test_autocorrelation_times():
    # Spec 07.7: (2 - lr h)/(lr h) steps, its square's by r², and twice the relaxation time of the process.
    st = optsde.stationary(optsde.SGD(0.1).discrete(quadratic(1.0, 1.0)), rng=10)
    assert st.iact_steps[0] == pytest.approx(19.0, rel=0.1)
    assert st.iact[0] == pytest.approx(1.9, rel=0.1)
    assert st.square_iact[0] == pytest.approx(0.9526315789, rel=0.1)
    st = optsde.stationary(OU, rng=10, dt=0.1)
    assert st.iact[0] == pytest.approx(2.0016663890, rel=0.1)
    assert st.iact_steps[0] == pytest.approx(20.016663890, rel=0.1)
    # Two very different ones at once: draws that follow the slow one do not hide the fast one.
    st = optsde.stationary(optsde.Langevin(optsde.losses.Quadratic([1.0, 50.0]), 1.0), rtol=0.03, rng=11)
    np.testing.assert_allclose(st.iact, [2.0, 0.04], rtol=0.2)


def test_momentum_and_its_velocity():
    h, s2, lr, beta = 1.0, 1.0, 0.01, 0.9
    st = optsde.stationary(optsde.SGD(lr, momentum=beta).discrete(quadratic(h, s2)), rtol=0.03, rng=12)
    assert st.status == "converged"
    # v' = β v - √η g, θ' = θ + √η v'.
    root = np.sqrt(lr)
    step = np.array([[1.0 - lr * h, root * beta], [-root * h, beta]])
    noise = np.array([-lr, -root])
    exact = solve_discrete_lyapunov(step, s2 * np.outer(noise, noise))
    assert_agrees(st.var, st.var_stderr, exact[0, 0])
    v = st.state["v"]
    assert_agrees(v.var, v.var_stderr, exact[1, 1])
    assert_agrees(v.mean, v.mean_stderr, 0.0)
    assert v.samples.shape == st.samples.shape


def test_adam_and_its_second_moment():
    h = np.array([1.0, 2.0])
    for dynamics in (
        optsde.Adam(0.01, betas=(0.9, 0.99)).discrete(quadratic(h, 1.0)),
        optsde.RMSprop(0.01, alpha=0.95).discrete(quadratic(h, 1.0)),
    ):
        st = optsde.stationary(dynamics, rtol=0.03, rng=13)
        assert st.status == "converged"
        # In a stationary law E v = E g².
        v = st.state["v"]
        expected = h**2 * st.var + 1.0
        assert (np.abs(v.mean - expected) < 5 * np.hypot(v.mean_stderr, h**2 * st.var_stderr)).all()


def test_noise_that_depends_on_the_place():
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    st = optsde.stationary(optsde.SGD(0.1).sde(problem), rtol=0.03, rng=14)
    assert st.status == "converged"
    assert abs(st.var[0] - 0.0131578947) <= 1.5 * st.var_error[0]
    st = optsde.stationary(optsde.SGD(0.1).discrete(problem), rtol=0.03, rng=14)
    assert_agrees(st.var, st.var_stderr, 0.0138888889)


def test_minibatches():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2))
    y = x @ [1.0, -1.0] + rng.normal(size=60)
    loss = optsde.losses.LinearRegression(x, y)
    st = optsde.stationary(
        optsde.SGD(0.05).discrete(optsde.Problem(loss, optsde.noise.Minibatch(), batch_size=4)), rtol=0.04, rng=15
    )
    assert st.status == "converged"
    # x' = (I - lr H_B) x - lr g_B with batches drawn with replacement, where E x = 0 (spec 07.1): second moments close.
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    hess = np.einsum("ni,nj->nij", x, x)
    g = np.einsum("ni,n->ni", x, x @ best - y)
    lr, batch, eye = 0.05, 4, np.eye(2)
    mean_h = hess.mean(axis=0)
    operator = np.kron(eye - lr * mean_h, eye - lr * mean_h)
    operator = operator + lr**2 / batch * np.mean([np.kron(a - mean_h, a - mean_h) for a in hess], axis=0)
    noise = lr**2 / batch * np.einsum("ni,nj->ij", g, g) / len(g)
    exact = np.linalg.solve(np.eye(4) - operator, noise.ravel()).reshape(2, 2)
    assert_agrees(st.cov, st.cov_stderr, exact)
    assert_agrees(st.mean, st.mean_stderr, best)


HEAVY = {
    "no variance by a little": (0.1, optsde.noise.AffineDiagonal(0.25, 20.5)),
    "no variance at all": (0.1, optsde.noise.AffineDiagonal(0.25, 60.0)),
    "stable": (0.1, optsde.noise.AlphaStable(1.6, 1.0)),
}


@pytest.mark.parametrize("name", HEAVY)
@pytest.mark.parametrize("form", ["sde", "discrete"])
def test_variances_that_do_not_exist_are_not_reported_as_found(name, form):
    lr, noise = HEAVY[name]
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), noise)
    for seed in range(3):
        st = optsde.stationary(getattr(optsde.SGD(lr), form)(problem), rtol=0.1, rng=seed)
        assert st.status == "not_stationary"
        assert "variance" in st.reason


def test_what_is_not_held_or_flies_off():
    loss = optsde.losses.Quadratic([1.0, 0.0])
    flat = optsde.SGD(0.1).discrete(optsde.Problem(loss, optsde.noise.Gaussian(1.0)))
    st = optsde.stationary(flat, max_steps=50_000, rng=1)
    assert st.status == "not_stationary"
    assert "theta[1]" in st.reason
    st = optsde.stationary(optsde.SGD(2.5).discrete(quadratic(1.0, 1.0)), rng=1)
    assert st.status == "not_stationary"
    assert "without bound" in st.reason
    well = optsde.Problem(optsde.losses.DoubleWell(), optsde.noise.Gaussian(1.0, dim=1))
    st = optsde.stationary(optsde.SGD(0.3).discrete(well), rng=1)
    assert st.status == "not_stationary"
    assert "became non-finite" in st.reason
    assert st.n_diverged > 0
    assert np.isnan(st.mean).all()


def test_samples_have_the_law():
    st = optsde.stationary(OU, rng=16)
    x = st.samples[:, 0]
    assert len(x) > 4000
    # Nearly independent: the mean's error is that of independent draws, within a factor.
    assert abs(x.mean()) < z_limit(1) * 1.2 / np.sqrt(len(x))
    assert abs(x.var() - 1.0) < z_limit(1) * 1.2 * np.sqrt(2.0 / len(x))


# E x² of the quartic well x⁴/4 + x²/2 at T = 1, by quadrature (test_langevin.py), and of Heun's law at dt = 0.1.
QUARTIC = optsde.Langevin(optsde.losses.Quartic(1.0, 1.0), 1.0)
GIBBS, HEUN = 0.4679199170, 0.4513


def test_the_method_for_gibbs_laws_leaves_the_smaller_error():
    options = {"rtol": 0.02, "dt": 0.1, "n_paths": 4096, "rng": 31}
    st = optsde.stationary(QUARTIC, **options)
    assert st.method == "leimkuhler_matthews"
    assert st.status == "converged"
    assert_agrees(st.var, st.var_stderr, GIBBS, bias=1e-3, wrong=[HEUN])
    other = optsde.stationary(QUARTIC, method="heun", **options)
    assert_agrees(other.var - other.var_bias, other.var_stderr, GIBBS, bias=3e-3)
    assert abs(st.var_bias[0]) < 0.2 * abs(other.var_bias[0])


def test_what_observers_see_is_stationary_from_their_start_on():
    st = optsde.stationary(QUARTIC, rtol=0.05, dt=0.1, rng=32, observe=optsde.Moments(at=129))
    assert st.method == "leimkuhler_matthews"
    seen = st["moments"]
    assert_agrees(seen.var[:8, 0], seen.var_stderr[:8, 0], GIBBS, bias=1e-3)
