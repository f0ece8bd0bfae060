"""replay(i) is path i again, bit for bit."""

import pickle

import numpy as np
import optsde
import pytest
from catalog import CASES


def assert_replays(ensemble, paths, first=0):
    """The replayed paths are those of an ensemble with Final and all steps of Paths."""
    for path in paths:
        again = ensemble.replay(path)
        row = path - first
        assert again.final.shape == (1, ensemble.final.shape[1])
        assert again.paths.shape == (ensemble.n_steps + 1, 1, ensemble.final.shape[1])
        assert again.final.dtype == ensemble.final.dtype
        assert again.final.tobytes() == ensemble.final[row : row + 1].tobytes(), path
        assert again.paths.tobytes() == ensemble.paths[:, row : row + 1].tobytes(), path
        assert again.path_index.tolist() == [path]
        assert again.key == ensemble.key


@pytest.mark.parametrize("name", CASES)
def test_replay(name):
    ensemble = CASES[name].run(observe=[optsde.Final(), optsde.Paths(at=10)], n_paths=200, threads=2)
    assert_replays(ensemble, [0, 1, 63, 64, 131, 199])


def test_replay_of_given_points():
    case = CASES["euler function full"]
    points = np.random.default_rng(1).normal(size=(80, 3))
    watch = [optsde.Final(), optsde.Paths(at=10)]
    ensemble = optsde.simulate(case.dynamics, points, steps=3, substeps=3, rng=1, observe=watch)
    assert (ensemble.paths[0] == points).all()
    assert_replays(ensemble, [0, 1, 40, 79])


def test_replay_of_a_late_start():
    case = CASES["milstein sde full"]
    watch = [optsde.Final(), optsde.Paths(at=10)]
    ensemble = optsde.simulate(
        case.dynamics, case.theta0, n_paths=80, t0=1.1, t1=2.0, dt=0.1, method="milstein", rng=1, observe=watch
    )
    assert_replays(ensemble, [0, 7, 79])
    assert ensemble.replay(3).t[-1] == ensemble.t[-1]
    assert ensemble.replay(3, at=[1.5]).t.tolist() == pytest.approx([1.5])


def test_replay_of_a_range_and_of_a_merged_ensemble():
    case = CASES["milstein affine, refined"]
    watch = [optsde.Final(), optsde.Paths(at=10)]
    parts = [case.run(observe=watch, n_paths=100, path_range=p) for p in ((0, 33), (33, 100))]
    assert_replays(parts[1], [33, 99], first=33)
    merged = optsde.merge(parts)
    assert_replays(merged, [0, 32, 33, 99])
    outside = parts[1].replay(5)
    assert outside.final.tobytes() == merged.final[5:6].tobytes()


def test_replay_of_an_unpickled_ensemble():
    case = CASES["euler function"]
    ensemble = case.run(observe=[optsde.Final(), optsde.Paths(at=10)])
    assert_replays(pickle.loads(pickle.dumps(ensemble)), [0, 150])


def test_replay_at_chosen_times():
    ensemble = CASES["euler affine"].run(observe=[optsde.Final(), optsde.Paths(at=10)])
    again = ensemble.replay(20, at=4)
    assert again.paths.tobytes() == ensemble.paths[::3, 20:21].tobytes()
    assert again.t.tolist() == ensemble.t[::3].tolist()


@pytest.mark.filterwarnings("ignore::optsde.DivergenceWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_replay_of_a_diverged_path(dtype):
    dynamics = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
    watch = [optsde.Final(), optsde.Paths(at=21)]
    options = {"n_paths": 300, "t1": 3.0, "dt": 0.15, "rng": 3, "observe": watch, "dtype": dtype}
    ensemble = optsde.simulate(dynamics, [0.0, 0.1], **options)
    path, step = ensemble.first_divergence
    assert_replays(ensemble, [path, path + 1])
    again = ensemble.replay(path)
    assert again.n_diverged == 1
    assert again.first_divergence == (path, step)
    assert np.isfinite(again.paths[:step]).all()
    assert np.isnan(again.paths[step:]).all()


@pytest.mark.parametrize(("path", "error"), [(-1, ValueError), (200, ValueError), (1.0, TypeError), ("1", TypeError)])
def test_no_such_path(path, error):
    ensemble = CASES["euler affine"].run()
    with pytest.raises(error, match=r"^path: expected an integer"):
        ensemble.replay(path)
