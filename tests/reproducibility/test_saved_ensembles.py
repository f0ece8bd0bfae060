"""Ensembles that were saved and loaded: the same results, the same replay and the same merge, to the bit."""

import json
import pickle
import zipfile

import numpy as np
import optsde
import pytest
from catalog import CASES, arrays, assert_same_bits, observers, passages
from hypothesis import given
from hypothesis import strategies as st
from optsde._archive import Packer, unpack
from optsde._stored import _classes

FACTS = ("n_paths", "n_diverged", "complete", "key", "method", "dt", "n_steps", "wall_time", "path_range", "version")


def round_trip(ensemble, folder):
    ensemble.save(folder / "one.optsde")
    return optsde.load(folder / "one.optsde")


@pytest.mark.parametrize("name", CASES)
def test_every_dynamics(name, tmp_path):
    case = CASES[name]
    one = case.run(observe=observers(case))
    again = round_trip(one, tmp_path)
    assert arrays(again).keys() == arrays(one).keys()
    assert_same_bits(one, again)
    assert repr(again) == repr(one)
    assert all(getattr(again, fact) == getattr(one, fact) for fact in FACTS)
    if not isinstance(again._recipe.dynamics, type(one._recipe.dynamics)):
        assert "function" in name or " sde " in name
        with pytest.raises(ValueError, match=r"replay: the dynamics is not in the file .* it holds the function"):
            again.replay(3)
        with pytest.raises(ValueError, match="merge: the dynamics is not in the file"):
            optsde.merge([again])
        assert_same_bits(one, round_trip(again, tmp_path))
        return
    assert again._recipe == one._recipe
    assert again.replay(3).final.tobytes() == one.final[3:4].tobytes()
    assert_same_bits(one, optsde.merge([again]))


def test_shards_from_files_merge(tmp_path):
    case = CASES["milstein affine"]
    watch = observers(case)
    whole = case.run(observe=watch, n_paths=300)
    shards = []
    for k, pair in enumerate([(100, 300), (0, 63), (63, 100)]):
        case.run(observe=watch, n_paths=300, path_range=pair).save(tmp_path / f"{k}")
        shards.append(optsde.load(tmp_path / f"{k}"))
    merged = optsde.merge(shards)
    assert_same_bits(whole, merged)
    assert_same_bits(whole, round_trip(merged, tmp_path))


@given(
    observe=st.lists(
        st.one_of(
            st.builds(optsde.Moments, at=st.sampled_from([None, 2, 5, [0.1, 0.2]]), cov=st.booleans()),
            st.builds(optsde.Paths, at=st.sampled_from([None, 3]), keep=st.sampled_from([None, 1, 70])),
            st.builds(
                optsde.Histogram, bins=st.integers(1, 5), range=st.just((-1, 1)), coords=st.sampled_from([None, 1])
            ),
            st.builds(optsde.Histogram, bins=st.integers(1, 5), range=st.just((-1, 1)), coords=st.just((2, 0))),
            st.builds(optsde.Quantiles, q=st.sampled_from([0.5, [0.0, 0.9]]), at=st.sampled_from([None, 3])),
            st.builds(optsde.FirstPassage, st.sampled_from([optsde.regions.Above(0.1), optsde.regions.Outside(-1, 1)])),
            st.builds(optsde.Autocovariance, st.sampled_from([3, [1, 4], [0.1, 0.2]]), st.sampled_from([None, 0.1])),
            st.builds(optsde.Moments, average_from=st.sampled_from([0.0, 0.2]), cov=st.booleans()),
            st.builds(optsde.Loss, at=st.sampled_from([None, 4])),
            st.just(optsde.Final()),
        ),
        max_size=5,
        unique_by=lambda observer: observer.name,
    ),
    dtype=st.sampled_from(["float64", "float32"]),
    momentum=st.sampled_from([0.0, 0.5]),
    n_paths=st.integers(1, 65),
    antithetic=st.booleans(),
)
def test_every_observer(tmp_path_factory, observe, dtype, momentum, n_paths, antithetic):
    dynamics = optsde.SGD(0.1, momentum=momentum).sde(CASES["euler additive_full"].dynamics.problem)
    options = {"n_paths": 2 * n_paths, "steps": 3, "dtype": dtype, "antithetic": antithetic, "rng": 7}
    one = optsde.simulate(dynamics, np.zeros(3), observe=observe, **options)
    again = round_trip(one, tmp_path_factory.getbasetemp())
    assert again._recipe == one._recipe
    assert_same_bits(one, again)
    for name in one.state:
        for observer in observe:
            if observer._sees_state:
                left, right = one.state[name][observer.name], again.state[name][observer.name]
                assert all(
                    np.array_equal(v, getattr(right, k), equal_nan=True) for k, v in vars(left).items() if v is not None
                )


STEEP = optsde.Langevin(optsde.losses.Quartic(0.25, 0.5, dim=2), 0.5)
ADAPTIVE = {"dt": optsde.Adaptive(0.02, 0.02), "method": "euler_maruyama"}
LINEAR = optsde.OrnsteinUhlenbeck([[1.0, 0.2], [0.1, 2.0]], [0.3, 0.1], 1.0)
WAYS = {
    "plain": (STEEP, {"dt": 0.05}),
    "antithetic": (STEEP, {"dt": 0.05, "antithetic": True}),
    "antithetic, refined": (STEEP, {"dt": 0.05, "antithetic": True, "wiener_dt": 0.025}),
    "antithetic, f32": (STEEP, {"dt": 0.05, "antithetic": True, "dtype": "float32"}),
    "exact, antithetic": (LINEAR, {"dt": 0.1, "method": "ornstein_uhlenbeck", "antithetic": True}),
    "adaptive": (STEEP, ADAPTIVE),
    "adaptive, antithetic": (STEEP, ADAPTIVE | {"antithetic": True}),
    "adaptive, refined": (STEEP, {"dt": optsde.Adaptive(0.02, 0.02, min_dt=2.0**-9), "wiener_dt": 2.0**-10}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_observer_in_every_way(way, tmp_path):
    """Files, pickles, replayed paths, shards, data sets and tables of what looks at all steps, pairs, and meshes."""
    dynamics, options = WAYS[way]
    watch = [
        optsde.Final(),
        optsde.Paths(at=[0.0, 0.25, 1.0]),
        optsde.Quantiles([0.1, 0.5], at=3),
        optsde.Histogram(5, (-2.0, 2.0), coords=(1, 0)),
    ]
    if "adaptive" in way:
        watch.append(optsde.Moments(cov=True, at=3))
    else:
        watch += [optsde.Moments(cov=True, average_from=0.5), optsde.Autocovariance([0.1, 0.3], average_from=0.2)]
        watch += passages()

    def run(path_range=None):
        start = [3.0, 0.1]
        return optsde.simulate(
            dynamics, start, n_paths=200, t1=1.0, observe=watch, rng=7, path_range=path_range, **options
        )

    one = run()
    again = round_trip(one, tmp_path)
    assert again._recipe == one._recipe
    assert again.grid.tobytes() == one.grid.tobytes()
    assert ("adaptive" in way) == (np.ptp(np.diff(one.grid)) > 1e-9)
    for other in (again, pickle.loads(pickle.dumps(again)), optsde.merge([again])):
        assert_same_bits(one, other)
        assert repr(other) == repr(one)
        for path in (0, 1, 64, 199):
            alone = other.replay(path, at=[0.0, 0.25, 1.0])
            assert alone.final.tobytes() == one.final[path : path + 1].tobytes()
            assert alone.paths.tobytes() == one.paths[:, path : path + 1].tobytes()
    shards = []
    for k, pair in enumerate([(70, 200), (0, 1), (1, 70)]):  # one ends in the middle of a pair
        run(pair).save(tmp_path / f"{k}")
        shards.append(optsde.load(tmp_path / f"{k}"))
    assert_same_bits(one, optsde.merge(shards))
    data = again.to_xarray()
    for observer in watch:
        table = one[observer.name]._repr_html_()
        assert table.startswith("<table>")
        assert repr(one[observer.name])
    assert one._repr_html_().startswith("<table>")
    assert data["quantiles_values"].dims[1:] == ("quantiles_q", "parameter")
    assert data["histogram_counts"].dims[1:] == ("histogram_bin_0", "histogram_bin_1")
    if "adaptive" not in way:
        assert data["above_times"].dims == ("path",)
        assert (data["above_times"].values == one["above"].times).all()
        found = one["autocovariance"]
        assert data["autocovariance_autocovariance"].dims == ("autocovariance_lag", "parameter")
        for field in ("autocovariance_stderr", "autocorrelation", "autocorrelation_stderr"):
            assert data[f"autocovariance_{field}"].dims == ("autocovariance_lag", "parameter"), field
        assert data["autocovariance_iact"].dims == ("parameter",)
        assert data["autocovariance_lag"].values.tobytes() == found.lags.tobytes()


def test_a_diverged_ensemble(tmp_path):
    quartic = optsde.Problem(optsde.losses.Quartic(), optsde.noise.Gaussian(1.0, dim=1))
    with pytest.warns(optsde.DivergenceWarning):
        one = optsde.simulate(optsde.SGD(lr=0.5).discrete(quartic), 5.0, n_paths=100, steps=50, rng=1)
    again = round_trip(one, tmp_path)
    assert again.first_divergence == one.first_divergence
    assert repr(again) == repr(one)
    assert again.final.tobytes() == one.final.tobytes()


def test_a_function_of_an_observer_is_lost_and_nothing_else(tmp_path):
    case = CASES["euler affine"]
    one = case.run(observe=[optsde.Final(), optsde.Expectation(lambda x: x[:, 0], "first", at=3)])
    again = round_trip(one, tmp_path)
    assert again.expectations["first"].mean.tobytes() == one.expectations["first"].mean.tobytes()
    assert again.replay(2).final.tobytes() == one.final[2:3].tobytes()
    with pytest.raises(ValueError, match=r"merge: the function .*lambda.*, of the observer 'first', cannot be"):
        optsde.merge([again])
    with pytest.raises(ValueError, match=r"lambda.* is not in the file"):
        again._recipe.observers[1].function(np.zeros((1, 3)))


def test_the_file_says_what_it_is(tmp_path):
    loss = optsde.losses.Function(lambda x: x * x * x, dim=1)
    one = optsde.simulate(optsde.Langevin(loss, 0.1), 0.5, n_paths=20, t1=1.0, dt=0.1, rng=1)
    one.save(str(tmp_path / "named.anything"))
    with zipfile.ZipFile(tmp_path / "named.anything") as archive:
        document = json.loads(archive.read("description.json"))
    assert document["format"] == "optsde ensemble"
    assert document["format_version"] == 1
    assert document["about"] == repr(one).splitlines()
    assert "it holds the function" in document["not_stored"]
    again = optsde.load(tmp_path / "named.anything")
    dynamics = again._recipe.dynamics
    assert (dynamics.dim, list(dynamics.state), dynamics.noise_kind) == (1, ["theta"], "unknown")
    assert "not in the file" in dynamics.describe()


def test_names_in_files_are_different():
    names = list(_classes())
    assert len(set(names)) == len(names) > 40
    assert not [name for name in names if "ompiled" in name], "addresses of C functions never come from a file"


FINITE = st.floats(allow_nan=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text("abc"), inner),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_come_back(value):
    packer = Packer(None)
    text = json.dumps(packer.pack(value), allow_nan=False)
    assert unpack(json.loads(text), packer.arrays.__getitem__, None) == value
    assert repr(unpack(json.loads(text), packer.arrays.__getitem__, None)) == repr(value)
