"""Every formula of the theory against simulations, and wrong formulas rejected by them."""

import numpy as np
import optsde
import pytest
from optsde import theory
from problems import TWO_DIM_COV, TWO_DIM_H, assert_agrees, assert_rejected, mean_and_error

Quadratic, Gaussian, Problem = optsde.losses.Quadratic, optsde.noise.Gaussian, optsde.Problem
COV = [optsde.Moments(cov=True)]


def data_problem(batch_size=2):
    rng = np.random.default_rng(8)
    X = rng.standard_normal((12, 2)) @ [[1.0, 0.3], [0.0, 0.7]]
    loss = optsde.losses.LinearRegression(X, X @ [0.5, -1.0] + 0.5 * rng.standard_normal(12))
    return Problem(loss, optsde.noise.Minibatch(), batch_size=batch_size)


NOISY = Problem(Quadratic(TWO_DIM_H), Gaussian(TWO_DIM_COV))
GROWING = Problem(Quadratic([1.0, 2.0], [0.5, 0.0]), optsde.noise.AffineDiagonal([0.5, 0.25], [1.0, 2.0], [0.0, 0.2]))
CASES = {
    "additive": (optsde.SGD(0.2).discrete(NOISY), optsde.SGD(0.2).sde(NOISY), 80),
    "growing noise": (optsde.SGD(0.2).discrete(GROWING), optsde.SGD(0.2).sde(GROWING), 80),
    "minibatches": (optsde.SGD(0.2).discrete(data_problem()), optsde.SGD(0.2).discrete(data_problem(3)), 250),
    "momentum": (optsde.SGD(0.05, 0.7).discrete(NOISY), optsde.SGD(0.05, 0.7, nesterov=True).discrete(NOISY), 250),
}


@pytest.mark.parametrize("name", CASES)
def test_stationary_covariances(name):
    model, other, steps = CASES[name]
    start = np.asarray(theory.stationary_mean(model)["theta"])
    ens = optsde.simulate(model, start, steps=steps, n_paths=200_000, rng=1, observe=COV)
    exact = theory.stationary_cov(model)["theta", "theta"]
    np.testing.assert_allclose(
        theory.transient_moments(model, start, steps * model.time_per_step).cov["theta", "theta"], exact, rtol=1e-4
    )
    assert_agrees(
        ens.cov[-1], ens.cov_stderr[-1], exact, bias=1e-4 * np.abs(exact),
        wrong=[theory.stationary_cov(other)["theta", "theta"]],
    )  # fmt: skip
    assert_agrees(ens.mean[-1], ens.mean_stderr[-1], start)


def test_transient_moments_of_an_equation():
    model = optsde.SGD(0.05, 0.7).sde(NOISY)
    t1 = 8 * model.time_per_step
    mean, cov = theory.transient_moments(model, {"theta": [1.0, -1.0], "v": [0.0, 0.5]}, t1)
    start = {"theta": [1.0, -1.0], "v": [0.0, 0.5]}
    ens = optsde.simulate(model, start, t1=t1, dt=t1, method="ornstein_uhlenbeck", n_paths=100_000, rng=2, observe=COV)
    still = theory.transient_moments(model, {"theta": [1.0, -1.0]}, t1)
    assert_agrees(ens.mean[-1], ens.mean_stderr[-1], mean["theta"], wrong=[still.mean["theta"]])
    early = theory.transient_moments(model, start, 0.8 * t1).cov["theta", "theta"]
    assert_agrees(ens.cov[-1], ens.cov_stderr[-1], cov["theta", "theta"], wrong=[early])


def test_adam_batch_equivalent():
    problem = Problem(Quadratic([1.0, 3.0]), Gaussian([4.0, 0.25]))
    model = optsde.Adam(0.1, (0.6, 0.9)).sde(problem, regime="batch_equivalent")
    exact = np.diag(theory.stationary_cov(model)["theta", "theta"])
    start = {"theta": [0.0, 0.0], "m": [0.0, 0.0], "v": [4.0, 0.25]}
    ens = optsde.simulate(model, start, steps=150, substeps=16, n_paths=40_000, rng=3)
    # Euler-Maruyama's own error is of the order of dt times the fastest rate.
    assert_agrees(ens.var[-1], ens.var_stderr[-1], exact, bias=0.05 * exact, wrong=[2 * exact, exact / 2])


def test_densities_by_their_histograms():
    growing = Problem(Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    wells = optsde.Langevin(optsde.losses.Quartic(1.0, -1.0), 0.5)
    for model, scale, t1, dt in ((optsde.SGD(0.5).sde(growing), 0.4, 6.0, 0.01), (wells, 1.5, 8.0, 0.01)):
        law = theory.stationary_density(model)
        method = "euler_maruyama"
        observe = [optsde.Histogram(bins=12, range=(-2 * scale, 2 * scale))]
        ens = optsde.simulate(model, 0.0, t1=t1, dt=dt, method=method, n_paths=40_000, rng=4, observe=observe)
        counts, edges = ens.histogram.counts.reshape(-1), np.asarray(ens.histogram.edges).reshape(-1)
        share = counts / 40_000
        expected = np.diff(law.cdf(edges))
        stderr = np.sqrt(expected * (1 - expected) / 40_000)
        normal = theory.gibbs_density(Quadratic(1.0, dim=1), law.var)
        # Half a percent for the scheme's own error.
        assert_agrees(share, stderr, expected, bias=0.005 * expected + 5e-4, wrong=[np.diff(normal.cdf(edges))])


def test_temperatures_carry_half_of_themselves_as_loss():
    problem = Problem(Quadratic([1.0, 3.0]), Gaussian([4.0, 0.25]))
    lr = theory.gibbs_restoring_lr(problem, 0.4)
    model = optsde.SGD(lr).sde(problem)
    ens = optsde.simulate(model, [0.0, 0.0], t1=100.0, dt=100.0, method="ornstein_uhlenbeck", n_paths=50_000, rng=5)
    loss = np.array([1.0, 3.0]) * ens.var[-1] / 2
    stderr = np.array([1.0, 3.0]) * ens.var_stderr[-1] / 2
    assert_agrees(loss, stderr, theory.effective_temperature(model) / 2, wrong=[[0.1, 0.2], [0.2, 0.2]])


def test_converged_loss():
    problem = data_problem(1)
    best = problem.loss.minima[0]
    slope, lr = theory.converged_loss_slope(problem, best), 0.02
    ens = optsde.simulate(
        optsde.SGD(lr).discrete(problem), best, steps=600, n_paths=60_000, rng=6, observe=[optsde.Loss()]
    )
    above = (ens.loss_mean[-1] - float(problem.loss.value(best))) / lr
    # The slope is that at 0: the rest is of the order lr.
    assert_agrees(above, ens.loss_stderr[-1] / lr, slope, bias=0.06 * slope, wrong=[slope / 2.5, 2 * slope])


def test_autocorrelation_time_is_the_variance_of_a_time_average():
    problem = Problem(Quadratic(1.0, dim=1), Gaussian(1.0))
    model = optsde.SGD(0.2).discrete(problem)
    var, times = float(theory.stationary_cov(model)), [float(theory.iact(model, power=k)) for k in (1, 2)]
    assert times == pytest.approx([9.0, (1 + 0.64) / (1 - 0.64)])
    steps, n = 1000, 2000
    ens = optsde.simulate(
        model, optsde.initial.Gaussian(0.0, var), steps=steps, n_paths=n, rng=7, observe=[optsde.Paths(at=steps + 1)]
    )
    x = np.asarray(ens.paths)[:, :, 0]
    for values, spread, time in ((x, var, times[0]), (x**2, 2 * var**2, times[1])):
        averages = values.mean(axis=0)
        estimate, stderr = mean_and_error((averages - averages.mean()) ** 2 * n / (n - 1) * len(x) / spread)
        assert_agrees(estimate, stderr, time, bias=0.02 * time, wrong=[time / 2, 2 * time])


def test_escape_times():
    loss, temperature, dt, n = optsde.losses.Quartic(1.0, -1.0), 0.2, 0.005, 4000
    exact = theory.mean_first_passage_time(loss, temperature, -1.0, 0.0)
    ens = optsde.simulate(
        optsde.Langevin(loss, temperature), -1.0, t1=60.0, dt=dt, method="euler_maruyama", n_paths=n, rng=8,
        observe=[optsde.Paths(at=6001)],
    )  # fmt: skip
    over = np.asarray(ens.paths)[:, :, 0] >= 0.0
    times = np.where(over.any(axis=0), over.argmax(axis=0) * 0.01, 60.0)
    # Seen at steps of 0.01 only, the target is further by 0.5826 of a step's spread (Siegmund); censored times count as
    # 60 and lack what comes after: exponential of rate 1/exact.
    lateness = theory.mean_first_passage_time(loss, temperature, -1.0, 0.5826 * np.sqrt(2 * temperature * 0.01))
    estimate, stderr = mean_and_error(times)
    assert_agrees(
        estimate, stderr, lateness * (1 - np.exp(-60 / exact)), bias=0.03 * exact, wrong=[1.5 * exact, exact / 1.5]
    )
    assert_rejected(estimate, stderr, theory.kramers_time(loss, temperature, -1.0, 0.0), bias=0.03 * exact)


@pytest.mark.parametrize("kind", ["discrete", "sde"])
@pytest.mark.parametrize("isotropic", [False, True])
def test_stable_scales(kind, isotropic):
    alpha = 1.5
    problem = Problem(Quadratic(TWO_DIM_H), optsde.noise.AlphaStable(alpha, 0.5, isotropic=isotropic))
    model = getattr(optsde.SGD(0.3), kind)(problem)
    scale = theory.stable_scale(model)
    run = {"steps": 40} if kind == "discrete" else {"t1": 12.0, "dt": 0.02}
    final = optsde.simulate(model, [0.0, 0.0], n_paths=50_000, rng=9, **run).final
    estimate, stderr = mean_and_error(np.cos(final / scale))
    # Euler's steps make the scale larger by half of α h λ.
    bias = 0.0 if kind == "discrete" else 0.01
    wrong = [np.exp(-(1.15**alpha)), np.exp(-(0.85**alpha))]
    assert_agrees(estimate, stderr, np.exp(-1.0), bias=bias, wrong=wrong)
