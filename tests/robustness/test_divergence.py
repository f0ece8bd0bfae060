"""Paths that become non-finite: who they are, when, and that the statistics are those of the survivors."""

import warnings

import numpy as np
import optsde
import pytest
from optsde import losses, noise

N, STEPS = 700, 20
DT = 0.15
QUARTIC = optsde.Langevin(losses.Quartic(4.0, 1.0, dim=2), 1.0)
CUBIC = optsde.SDE(lambda t, x: -x * x * x, lambda t, x: 0.0 * x + 3.0, dim=2, noise="diagonal_coupled")
CHAIN = optsde.SGD(DT).discrete(optsde.Problem(losses.Quartic(4.0, 1.0, dim=2), noise.Gaussian(16.0)))
SCALED = optsde.SGD(0.02).sde(optsde.Problem(losses.StyblinskiTang(2), noise.LossScaled(1.0, floor=70.0)))
DYNAMICS = {"native": QUARTIC, "callback": CUBIC, "discrete": CHAIN, "negative factor": SCALED}


def observers():
    return [
        optsde.Final(),
        optsde.Paths(at=STEPS + 1),
        optsde.Moments(at=STEPS + 1, cov=True),
        optsde.Histogram(16, (-2.0, 2.0), at=STEPS + 1),
        optsde.Paths(at=4, keep=50, name="few"),
    ]


def run(name, theta0=(0.3, -0.2), **options):
    dynamics = DYNAMICS[name] if isinstance(name, str) else name
    if dynamics._discrete:
        length = {"steps": STEPS}
    else:
        dt = dynamics.time_per_step or DT
        length = {"t1": STEPS * dt, "dt": dt}
    options = {"n_paths": N, "rng": 3, "observe": observers(), "threads": 2} | length | options
    with warnings.catch_warnings():
        # A NumPy callback sees its own overflow.
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="(overflow|invalid)")
        return optsde.simulate(dynamics, theta0, **options)


@pytest.fixture(scope="module", params=DYNAMICS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def ensemble(name):
    with pytest.warns(optsde.DivergenceWarning) as caught:
        result = run(name)
    assert 10 < result.n_diverged < N - 100
    texts = [str(w.message) for w in caught if w.category is optsde.DivergenceWarning]
    assert len(texts) == 1
    path, step = result.first_divergence
    assert texts[0].startswith(
        f"{result.n_diverged:,} of {N:,} paths became non-finite (first: path {path} at step {step})"
    )
    assert "conditional on survival" in texts[0]
    return result


def first_bad(ensemble):
    """The first step at which each path is NaN; STEPS + 1 where it is finite."""
    bad = np.isnan(ensemble.paths).any(axis=2)
    return np.where(bad.any(axis=0), bad.argmax(axis=0), STEPS + 1)


def test_rows_are_nan_from_the_first_bad_step_on(ensemble):
    first = first_bad(ensemble)
    for path, step in enumerate(first):
        assert np.isfinite(ensemble.paths[:step, path]).all()
        assert np.isnan(ensemble.paths[step:, path]).all()
    lost = first <= STEPS
    assert np.isnan(ensemble.final[lost]).all()
    assert np.isfinite(ensemble.final[~lost]).all()
    assert (ensemble.final[~lost] == ensemble.paths[-1, ~lost]).all()
    few = ensemble["few"].values
    rows = ensemble["few"].step
    assert few.tobytes() == ensemble.paths[rows, :50].tobytes()


def test_counts(ensemble):
    first = first_bad(ensemble)
    assert ensemble.n_diverged == (first <= STEPS).sum()
    assert ensemble.n_diverged_at.tolist() == [(first <= step).sum() for step in range(STEPS + 1)]
    earliest = first.min()
    assert ensemble.first_divergence == (int(np.flatnonzero(first == earliest)[0]), earliest)
    assert ensemble.n_paths == N
    assert ensemble.n_finished == N
    assert ensemble.complete
    assert "conditional on survival" in repr(ensemble)
    assert f"{ensemble.n_diverged} (first: path {ensemble.first_divergence[0]}" in repr(ensemble)


def test_statistics_are_those_of_the_survivors(ensemble):
    """At every time, also before they were lost."""
    alive = first_bad(ensemble) > STEPS
    x = ensemble.paths[:, alive]
    n = alive.sum()
    assert (ensemble["moments"].n == n).all()
    # A survivor may be on its way out: where one is huge, powers of it tell nothing.
    times = np.flatnonzero(np.abs(x).max(axis=(1, 2)) < 1e3)
    assert len(times) > STEPS // 2
    assert (np.isnan(ensemble.paths[times]).any(axis=2).sum(axis=1) > 0).any()
    x = x[times]
    var, centred = x.var(axis=1, ddof=1), x - x.mean(axis=1, keepdims=True)
    scale = {"atol": 1e-13 * np.abs(x).max()}
    np.testing.assert_allclose(ensemble.mean[times], x.mean(axis=1), rtol=1e-12, **scale)
    np.testing.assert_allclose(ensemble.var[times], var, rtol=1e-10, **scale)
    np.testing.assert_allclose(ensemble.mean_stderr[times], np.sqrt(var / n), rtol=1e-10, **scale)
    cov = np.einsum("tpi,tpj->tij", centred, centred) / (n - 1)
    np.testing.assert_allclose(ensemble.cov[times], cov, rtol=1e-10, **scale)
    spread = ((centred**4).mean(axis=1) - var**2 * (n - 3) / (n - 1)) / n
    np.testing.assert_allclose(ensemble.var_stderr[times], np.sqrt(np.maximum(spread, 0.0)), rtol=1e-9, **scale)
    for t, at in enumerate(times):
        for i in range(2):
            counts = np.histogram(x[t, :, i], bins=ensemble.histogram.edges)[0]
            got = ensemble.histogram.counts[at, i]
            # A number on an edge may round to either side.
            assert np.abs(got - counts).sum() <= 2
            assert got.sum() + ensemble.histogram.underflow[at, i] + ensemble.histogram.overflow[at, i] == n


def test_survivors_are_not_disturbed(name, ensemble):
    """A path has its bits whether or not others of its block are lost."""
    alive = np.flatnonzero(first_bad(ensemble) > STEPS)
    for path in alive[[0, 17, -1]]:
        alone = run(name, path_range=(int(path), int(path) + 1))
        assert alone.n_diverged == 0
        assert alone.final[0].tobytes() == ensemble.final[path].tobytes()


def test_raise(name, ensemble):
    with pytest.raises(optsde.DivergenceError, match="became non-finite") as caught:
        run(name, on_divergence="raise")
    assert isinstance(caught.value, RuntimeError)
    partial = caught.value.partial
    assert partial.n_diverged == ensemble.n_diverged
    assert partial.cov.tobytes() == ensemble.cov.tobytes()
    assert partial.final.tobytes() == ensemble.final.tobytes()
    assert partial.complete


def test_warning_can_be_an_error(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", optsde.DivergenceWarning)
        with pytest.raises(optsde.DivergenceWarning):
            run(name)
    assert issubclass(optsde.DivergenceWarning, RuntimeWarning)


def test_keep(name, ensemble):
    """As it is: no warning, NaN in the statistics once a path is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", optsde.DivergenceWarning)
        kept = run(name, on_divergence="keep")
    assert kept.n_diverged == ensemble.n_diverged
    first = first_bad(ensemble)
    assert np.isnan(kept.mean[first.min() :]).any(axis=1).all()
    assert np.isfinite(kept.mean[: first.min()]).all()
    alive = first > STEPS
    assert kept.final[alive].tobytes() == ensemble.final[alive].tobytes()
    assert not np.isfinite(kept.final[~alive]).all(axis=1).any()


def test_threads_do_not_matter(name, ensemble):
    for threads in (1, 3, 8):
        with pytest.warns(optsde.DivergenceWarning):
            again = run(name, threads=threads)
        assert again.cov.tobytes() == ensemble.cov.tobytes()
        assert again.final.tobytes() == ensemble.final.tobytes()
        assert again.first_divergence == ensemble.first_divergence
        assert again.n_diverged_at.tolist() == ensemble.n_diverged_at.tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "dynamics",
    [
        optsde.Langevin(losses.Quartic(4.0, 1.0, dim=1), 1.0),
        optsde.SDE(lambda t, x: np.full_like(x, np.nan), lambda t, x: 1.0 + 0.0 * x, dim=1, noise="diagonal_coupled"),
    ],
    ids=["native", "callback"],
)
def test_all_diverge(dynamics, dtype):
    watch = [
        optsde.Moments(at=3, cov=True),
        optsde.Final(),
        optsde.Histogram(4, (-1, 1)),
        optsde.Expectation(lambda x: x[:, 0], "first"),
        optsde.Paths(at=STEPS + 1),
    ]
    with pytest.warns(optsde.DivergenceWarning, match="200 of 200"):
        lost = run(dynamics, 1e6, n_paths=200, observe=watch, dtype=dtype)
    assert lost.n_diverged == 200
    for statistic in (
        lost.mean,
        lost.var,
        lost.mean_stderr,
        lost.var_stderr,
        lost.cov,
        lost.cov_stderr,
        lost.expectations["first"].mean,
        lost.expectations["first"].stderr,
        lost.histogram.density,
    ):
        assert np.isnan(statistic).all()
    assert np.isnan(lost.final).all()
    assert lost.histogram.counts.sum() == 0
    assert np.isfinite(lost.paths[0]).all()
    assert repr(lost)


def test_one_survivor_has_a_mean_and_no_variance():
    theta0 = np.full((5, 1), 1e6)
    theta0[3] = 0.0
    with pytest.warns(optsde.DivergenceWarning, match="4 of 5"):
        lost = run(
            optsde.Langevin(losses.Quartic(4.0, 1.0, dim=1), 1e-3),
            theta0,
            n_paths=None,
            observe=[optsde.Moments(), optsde.Final()],
        )
    assert lost.mean[0] == lost.final[3]
    assert np.isnan(lost.var).all()
    assert np.isnan(lost.mean_stderr).all()


def test_large_but_finite_paths_are_kept_without_noise_from_numpy():
    """A path may be huge and yet finite: its statistics overflow to inf or NaN, and nothing is raised or warned."""
    grow = optsde.OrnsteinUhlenbeck(-10.0, 0.0, 1.0, dim=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ensemble = optsde.simulate(
            grow,
            [1.0, 1.0],
            n_paths=100,
            t1=60.0,
            dt=0.1,
            rng=1,
            observe=[optsde.Moments(cov=True, at=7), optsde.Final()],
        )
    assert ensemble.n_diverged == 0
    assert np.isfinite(ensemble.final).all()
    assert np.isfinite(ensemble.mean).all()


def test_flow_that_diverges():
    flow = optsde.SGD(0.15).flow(optsde.Problem(losses.Quartic(4.0, 1.0, dim=1), noise.Zero()))
    theta0 = np.array([[0.1], [1e3], [-0.2]])
    with pytest.warns(optsde.DivergenceWarning, match=r"1 of 3 .*\(first: path 1 at step"):
        ensemble = optsde.simulate(flow, theta0, steps=50, substeps=1)
    assert np.isnan(ensemble.final[1]).all()
    assert np.isfinite(ensemble.final[[0, 2]]).all()


def test_divergence_of_float32():
    """A number too large for the dtype is not finite."""
    grow = optsde.OrnsteinUhlenbeck(-10.0, 0.0, 1.0, dim=1)
    options = {"n_paths": 100, "t1": 12.0, "dt": 0.1, "rng": 1}
    assert optsde.simulate(grow, 1.0, **options | {"t1": 14.0}).n_diverged == 0
    with pytest.warns(optsde.DivergenceWarning):
        assert optsde.simulate(grow, 1.0, dtype="float32", **options | {"t1": 14.0}).n_diverged == 100
