"""``optsde.stationary``: what it refuses, the same bits for any threads, observers, progress, Ctrl-C, its report."""

import pickle
import signal
import sys

import numpy as np
import optsde
import pytest

OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=2)
WELL = optsde.Langevin(optsde.losses.DoubleWell(), 0.5)
PROBLEM = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian(1.0))
SGD = optsde.SGD(0.1).discrete(PROBLEM)
FIELDS = ("mean", "mean_stderr", "mean_bias", "mean_error", "cov", "cov_stderr", "cov_bias", "cov_error")


@pytest.mark.parametrize(
    ("dynamics", "options", "error", "match"),
    [
        ("SGD", {}, TypeError, "dynamics: expected a dynamics"),
        (optsde.SGD(0.1).flow(PROBLEM), {}, ValueError, "dynamics: it has no noise"),
        (optsde.Langevin(optsde.losses.DoubleWell(), 0.0), {}, ValueError, "dynamics: it has no noise"),
        (optsde.SGD(optsde.schedules.Cosine(0.1, 100)).sde(PROBLEM), {}, ValueError, "dynamics: its lr is a schedule"),
        (OU, {"rtol": 0.0}, ValueError, "rtol: expected a positive number"),
        (OU, {"n_paths": 3}, ValueError, "n_paths: expected an even number"),
        (OU, {"n_paths": 1}, ValueError, "n_paths: expected an integer of at least 2"),
        (OU, {"dt": -1.0}, ValueError, "dt: expected a positive number"),
        (OU, {"method": "nothing"}, ValueError, "method: expected one of"),
        (OU, {"max_steps": 0}, ValueError, "max_steps: expected an integer of at least 1"),
        (OU, {"dispersed": 1}, TypeError, "dispersed: expected True or False"),
        (OU, {"extrapolate": "yes"}, TypeError, "extrapolate: expected True or False"),
        (OU, {"threads": 0}, ValueError, "threads: expected an integer of at least 1"),
        (OU, {"rng": -1}, ValueError, "rng: expected a seed"),
        (OU, {"progress": 3}, TypeError, "progress: expected"),
        (OU, {"theta0": [1.0, 2.0, 3.0]}, ValueError, "theta0: expected"),
        (OU, {"observe": "moments"}, TypeError, "observe: expected a list"),
        (OU, {"observe": optsde.Histogram(4, (0, 1), coords=7)}, ValueError, "coords: expected a coordinate"),
        (SGD, {"dt": 0.1}, ValueError, "dt: a discrete optimizer makes its own steps"),
        (SGD, {"method": "heun"}, ValueError, "method: a discrete optimizer makes its own steps"),
        (optsde.SDE(lambda t, x: 0 * x, lambda t, x: 0 * x + 1, dim=1, noise="diagonal"), {}, ValueError, "dt: .*give"),
    ],
)
def test_bad_arguments(dynamics, options, error, match):
    with pytest.raises(error, match=match):
        optsde.stationary(dynamics, **options)


def test_covariances_that_can_not_be_had():
    loss = optsde.losses.Quadratic(1.0, dim=200_000)
    with pytest.raises(MemoryError, match="covariances"):
        optsde.stationary(optsde.SGD(0.1).discrete(optsde.Problem(loss, optsde.noise.Gaussian(1.0))))


def test_the_same_bits_for_any_threads_and_from_its_key():
    for dynamics in (WELL, SGD):
        one = optsde.stationary(dynamics, rtol=0.1, rng=7, threads=1)
        for other in (
            optsde.stationary(dynamics, rtol=0.1, rng=7, threads=3),
            optsde.stationary(dynamics, rtol=0.1, rng=one.key),
        ):
            for name in (*FIELDS, "rhat", "ess", "iact", "samples", "final"):
                assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
            assert (one.n_steps, one.burn_in, one.reason) == (other.n_steps, other.burn_in, other.reason)
        different = optsde.stationary(dynamics, rtol=0.1, rng=8)
        assert different.mean.tobytes() != one.mean.tobytes()


def test_shapes_and_report():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian(1.0))
    st = optsde.stationary(optsde.SGD(0.01, momentum=0.9).sde(problem), rtol=0.1, n_paths=128, rng=1)
    for variable in (st, st.state["v"]):
        assert variable.mean.shape == variable.mean_error.shape == variable.rhat.shape == variable.iact.shape == (2,)
        assert variable.cov.shape == variable.cov_stderr.shape == variable.cov_bias.shape == (2, 2)
        assert variable.samples.ndim == 2
        assert variable.final.shape == (128, 2)
        np.testing.assert_array_equal(variable.var, np.diag(variable.cov))
        np.testing.assert_array_equal(variable.var_error, np.diag(variable.cov_error))
    assert st.n_paths == 128
    text = repr(st)
    for word in ("converged", "burn-in", "R-hat", "ornstein_uhlenbeck", "Key(0x", st.reason):
        assert word in text
    assert "<table>" in st._repr_html_()
    assert st.dtype == "float64"
    with pytest.raises(AttributeError):
        _ = st.nothing_like_that
    again = pickle.loads(pickle.dumps(st))
    assert again.cov.tobytes() == st.cov.tobytes()
    assert repr(again) == text


def test_observers_see_an_ensemble_of_samples():
    st = optsde.stationary(
        WELL,
        rtol=0.1,
        rng=2,
        method="heun",
        observe=[optsde.Histogram(8, (-2, 2), coords=0), optsde.Paths(at=3, name="p"), optsde.Loss()],
    )
    assert st.histogram.counts.shape == (1, 8)
    assert st["p"].values.shape == (3, len(st.samples), 1)
    np.testing.assert_array_equal(st["p"].values[0], st.samples)
    assert 0.0 < st.loss_mean[0] < 1.0
    with pytest.raises(KeyError, match="no observer"):
        st["q"]
    with pytest.raises(AttributeError, match="not observed"):
        _ = st.expectations


def test_the_method_without_one():
    def sgd(cov, loss=None):
        return optsde.SGD(0.1).sde(optsde.Problem(loss or optsde.losses.Quartic(dim=2), optsde.noise.Gaussian(cov)))

    affine = optsde.noise.AffineDiagonal(1.0, 1.0)
    for dynamics, method in (
        (WELL, "leimkuhler_matthews"),
        (optsde.Langevin(optsde.losses.Quartic(dim=2), 0.5, [1.0, 2.0]), "leimkuhler_matthews"),
        (sgd(1.0), "leimkuhler_matthews"),
        (sgd([1.0, 2.0]), "heun"),
        (sgd([[1.0, 0.5], [0.5, 1.0]]), "heun"),
        (sgd(1.0, optsde.losses.Quadratic([1.0, 2.0])), "ornstein_uhlenbeck"),
        (optsde.UnderdampedLangevin(optsde.losses.Quartic(), 0.5, 1.0), "baoab"),
        (optsde.SGD(0.1).sde(optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), affine)), "euler_maruyama"),
    ):
        st = optsde.stationary(dynamics, rtol=0.5, n_paths=64, max_steps=2000, rng=1)
        assert st.method == method, dynamics


def test_starts_of_every_kind():
    for start in (0.5, [0.5], [[0.5], [-0.5], [2.0]], optsde.initial.Gaussian(0.0, 1.0), {"theta": 0.5}):
        assert optsde.stationary(WELL, start, rtol=0.2, rng=3).status == "converged"
    adam = optsde.Adam(0.01, betas=(0.9, 0.95), bias_correction=False).sde(PROBLEM)
    st = optsde.stationary(adam, {"theta": [0.1, 0.1], "v": [0.5, 2.0]}, rtol=0.2, rng=3)
    assert st.status == "converged"


def test_few_paths():
    st = optsde.stationary(OU, n_paths=2, rtol=0.1, rng=4)
    assert st.status == "converged"
    assert (np.abs(np.diag(st.cov) - 1.0) < 2 * np.diag(st.cov_error)).all()


def test_a_budget_that_is_too_small():
    st = optsde.stationary(OU, rtol=0.001, max_steps=5000, rng=5)
    assert st.status == "budget"
    assert st.n_steps <= 5000
    assert "it would take about" in st.reason
    assert st.mean_error.max() > 0.001
    short = optsde.stationary(SGD, [1e6, 0.0], max_steps=100, rng=5)
    assert short.status in {"budget", "not_stationary"}


def test_progress():
    calls = []
    optsde.stationary(OU, rtol=0.1, rng=6, progress=lambda done, total: calls.append((done, total)))
    done, total = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1] == total[0]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to itself")
def test_interruption_leaves_what_was_known():
    def stop(done, total):
        if done > 30_000_000:
            signal.raise_signal(signal.SIGINT)

    # A process that was started in the background ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(optsde.Interrupted) as caught:
            optsde.stationary(WELL, n_paths=1 << 16, rtol=1e-4, rng=7, threads=1, progress=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    partial = caught.value.partial
    assert not partial.complete
    assert partial.status == "budget"
    assert "interrupted" in repr(partial)
    assert np.isfinite(partial.mean).all()


def test_plot():
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, ax = plt.subplots()
    st = optsde.stationary(WELL, rtol=0.2, rng=8)
    assert st.plot(ax) is ax
    assert ax.get_xlabel() == "θ₀"
    plt.close(figure)


def test_a_law_without_fourth_moments_is_not_called_known():
    noise = optsde.noise.StudentT(3.0, 1.0)
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), noise)
    found = optsde.stationary(optsde.SGD(0.1).discrete(problem), rtol=0.05, rng=1)
    assert found.status != "converged"
    assert "fourth moment" in found.reason or "tail" in found.reason
