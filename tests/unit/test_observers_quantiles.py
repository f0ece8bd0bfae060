"""Quantiles against NumPy's on the same states, in every part of a run that they have to get through."""

import pickle

import numpy as np
import optsde
import pytest

OU = optsde.OrnsteinUhlenbeck([[1.0, 0.4], [0.0, 2.0]], 0.0, 0.5)
RUN = {"n_paths": 700, "t1": 1.0, "dt": 0.1, "rng": 3}
Q = [0.0, 0.001, 0.1, 0.5, 0.77, 1.0]


def of_values(x, q=Q, **options):
    """The quantiles of given values (n,), by way of a run's start."""
    x = np.asarray(x, dtype=float)[:, None]
    observer = optsde.Quantiles(q, at=[0.0], **options)
    flow = optsde.OrnsteinUhlenbeck(1.0, 0.0, 0.0, dim=1)
    return optsde.simulate(flow, x, t1=1.0, dt=1.0, rng=1, observe=observer, on_divergence="keep")["quantiles"]


def near(found, x, q=Q):
    """Within the stated error of NumPy's quantiles, relative to the larger neighbour."""
    exact = np.quantile(x, q)
    low, high = np.quantile(x, q, method="lower"), np.quantile(x, q, method="higher")
    scale = np.maximum(np.abs(low), np.abs(high))
    return np.abs(found.values[0, :, 0] - exact) <= found.error * scale * (1 + 1e-12) + np.finfo(float).tiny


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_run(dtype):
    watch = [optsde.Quantiles(Q, at=3), optsde.Paths(at=3)]
    ens = optsde.simulate(OU, [0.5, -0.2], **RUN, observe=watch, dtype=dtype)
    found = ens["quantiles"]
    assert found.values.shape == found.stderr.shape == (3, len(Q), 2)
    assert found.q.tolist() == Q
    assert (found.n == 700).all()
    assert found.error == 2.0**-11
    exact = np.quantile(ens.paths.astype(float), Q, axis=1).swapaxes(0, 1)
    np.testing.assert_allclose(found.values, exact, rtol=found.error, atol=found.error * 0.01)
    assert np.isnan(found.stderr[:, [0, -1]]).all()
    assert (found.stderr[1:, 1:-1] > 0.0).all()


def test_one_number_is_one_quantile():
    assert of_values([3.0, 1.0, 2.0], 0.5).values.shape == (1, 1, 1)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_few_values(n):
    x = np.random.default_rng(n).normal(size=n)
    assert near(of_values(x), x).all()


def test_equal_values_and_zero():
    assert np.abs(of_values(np.full(10, 3.0)).values / 3.0 - 1.0).max() <= 2.0**-11
    zero = of_values(np.zeros(10))
    assert (zero.values == 0.0).all()
    assert (zero.stderr[0, 1:-1] == 0.0).all()
    tiny = of_values([-5e-324, 0.0, 5e-324])
    assert (tiny.values == 0.0).all()


def test_extreme_values():
    x = np.array([-1.7e308, -1e-300, 0.0, 2.3e-308, 1e-5, 1e300])
    assert near(of_values(x), x).all()


def test_smaller_error():
    x = np.random.default_rng(3).normal(size=1000)
    for rtol, error in ((0.5, 0.5), (0.01, 2.0**-7), (2.0**-16, 2.0**-16)):
        found = of_values(x, rtol=rtol)
        assert found.error == error
        assert near(found, x).all()


def test_standard_error_is_half_the_distance_of_the_ranks_beside():
    x = np.arange(1, 10_001, dtype=float)
    found = of_values(x, [0.2, 0.5], rtol=2.0**-16)
    np.testing.assert_allclose(found.stderr[0, :, 0], np.sqrt(10_000 * np.array([0.16, 0.25])), rtol=1e-3)


def test_further_variables():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian(1.0))
    dynamics = optsde.SGD(0.1, momentum=0.9).sde(problem)
    ens = optsde.simulate(dynamics, [0.5, -0.2], **RUN, observe=[optsde.Quantiles([0.3, 0.9]), optsde.Final()])
    for found, final in ((ens["quantiles"], ens.final), (ens.state["v"]["quantiles"], ens.state["v"].final)):
        np.testing.assert_allclose(found.values[0], np.quantile(final, [0.3, 0.9], axis=0), rtol=2.0**-11)


def test_diverged_paths_are_left_out():
    quartic = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
    run = {"n_paths": 500, "t1": 3.0, "dt": 0.15, "rng": 3, "observe": [optsde.Quantiles([0.5], at=3), optsde.Final()]}
    with pytest.warns(optsde.DivergenceWarning):
        ens = optsde.simulate(quartic, [0.0, 0.1], **run)
    assert (ens["quantiles"].n == 500 - ens.n_diverged).all()
    np.testing.assert_allclose(ens["quantiles"].values[-1, 0], np.nanmedian(ens.final, axis=0), rtol=2.0**-10)
    kept = optsde.simulate(quartic, [0.0, 0.1], **run, on_divergence="keep")
    assert np.isnan(kept["quantiles"].values[-1]).all()
    with pytest.warns(optsde.DivergenceWarning):
        none = optsde.simulate(quartic, [1e6, 1e6], **run)
    assert np.isnan(none["quantiles"].values).all()


def test_same_bits_however_cut():
    watch = optsde.Quantiles(Q, at=3)
    whole = optsde.simulate(OU, [0.5, -0.2], **RUN, observe=watch)
    for threads in (2, 5):
        other = optsde.simulate(OU, [0.5, -0.2], **RUN, observe=watch, threads=threads)
        assert other["quantiles"].values.tobytes() == whole["quantiles"].values.tobytes()
    parts = [
        pickle.loads(pickle.dumps(optsde.simulate(OU, [0.5, -0.2], **RUN, observe=watch, path_range=ends)))
        for ends in ((300, 700), (0, 13), (13, 300))
    ]
    merged = optsde.merge(parts)["quantiles"]
    for field in ("values", "stderr", "n"):
        assert getattr(merged, field).tobytes() == getattr(whole["quantiles"], field).tobytes()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"q": 1.5}, ValueError, "q: expected numbers between 0 and 1"),
        ({"q": [-0.1, 0.5]}, ValueError, "q: expected numbers between 0 and 1, got -0.1 to 0.5"),
        ({"q": []}, ValueError, "q: expected a number or a 1-D array"),
        ({"q": [[0.5]]}, ValueError, "q: expected a number or a 1-D array"),
        ({"q": [np.nan]}, ValueError, "q: expected finite"),
        ({"q": "median"}, TypeError, "q: expected real numbers"),
        ({"q": 0.5, "rtol": 0.0}, ValueError, "rtol: expected a number between"),
        ({"q": 0.5, "rtol": 1e-9}, ValueError, "rtol: expected a number between"),
        ({"q": 0.5, "at": 1}, ValueError, "at: "),
        ({"q": 0.5, "name": 3}, TypeError, "name: "),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        optsde.Quantiles(**arguments)


def test_memory_is_asked_for_first():
    with pytest.raises(MemoryError, match=r"observe: the results need .*quantiles"):
        optsde.simulate(OU, [0.0, 0.0], **RUN | {"n_paths": 10**9, "dt": 1e-6}, observe=optsde.Quantiles(0.5, at=10**6))
