"""Paths that go to disk: the bits of those in memory, flat memory, and what errors and interruptions leave."""

import dataclasses
import subprocess
import sys

import numpy as np
import optsde
import pytest
import xarray
import zarr
from optsde import _zarr
from optsde._recipe import Recipe
from programs import PEAK

HEAVY = optsde.SGD(0.1, momentum=0.5).sde(
    optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.AffineDiagonal(0.3, 0.5))
)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Some tens of paths at a time."""
    monkeypatch.setattr(_zarr, "SHARD_BYTES", 20_000)
    monkeypatch.setattr(_zarr, "_CHUNK_BYTES", 1_500)


def run(paths, **options):
    watch = [optsde.Moments(at=3, cov=True), optsde.Final(), paths, optsde.Histogram(5, (-1, 1)), optsde.Loss()]
    return optsde.simulate(HEAVY, [1.0, 1.0], **{"n_paths": 500, "steps": 10, "rng": 7, "observe": watch} | options)


def assert_same(stored, whole):
    assert np.asarray(stored.paths[:]).tobytes() == whole.paths.tobytes()
    assert np.asarray(stored.state["v"].paths[:]).tobytes() == whole.state["v"].paths.tobytes()
    for field in ("mean", "var_stderr", "cov", "final", "loss_mean"):
        assert getattr(stored, field).tobytes() == getattr(whole, field).tobytes(), field
    assert (stored.histogram.counts == whole.histogram.counts).all()


@pytest.mark.parametrize("keep", [None, 1, 77, 256])
@pytest.mark.parametrize("path_range", [None, (60, 250), (300, 301)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bits_of_those_in_memory(tmp_path, keep, path_range, dtype):
    options = {"path_range": path_range, "dtype": dtype}
    stored = run(optsde.Paths(at=9, keep=keep, store=tmp_path / "p.zarr"), **options)
    whole = run(optsde.Paths(at=9, keep=keep), **options)
    assert stored.paths.dtype == whole.paths.dtype
    assert_same(stored, whole)
    assert stored.n_paths == whole.n_paths
    assert stored.replay(270).final.tobytes() == whole.replay(270).final.tobytes()


def test_the_store_is_chunked_by_paths_and_opens_anywhere(tmp_path):
    ens = run(optsde.Paths(at=9, store=str(tmp_path / "p.zarr")))
    assert isinstance(ens.paths, zarr.Array)
    times, paths, dim = ens.paths.chunks
    assert (times, dim) == (9, 2)
    assert 1 < paths < 500
    data = xarray.open_zarr(tmp_path / "p.zarr", consolidated=False, chunks=None)
    assert data["theta"].dims == ("t", "kept_path", "parameter")
    assert (data["t"].values == ens["paths"].t).all()
    assert data.attrs["complete"] is True
    assert data.attrs["finished_paths"] == 500
    assert optsde.Key(int(data.attrs["key"], 16)) == ens.key
    exported = ens.to_xarray()
    assert exported["paths"].dims == ("t_paths", "kept_path", "parameter")
    assert (exported["v_paths"].values == ens.state["v"].paths[:]).all()
    assert ens.to_arviz().posterior["theta"].shape == (500, 9, 2)


def test_long_paths_are_cut_along_time(tmp_path, monkeypatch):
    monkeypatch.setattr(_zarr, "_LONG_BYTES", 320)
    ens = run(optsde.Paths(at=81, keep=3, store=tmp_path / "p.zarr"))
    assert ens.paths.chunks == (20, 3, 2) or ens.paths.chunks[0] == 20
    assert ens.paths[:].tobytes() == run(optsde.Paths(at=81, keep=3)).paths.tobytes()


def test_two_stores_and_memory_together(tmp_path):
    watch = [
        optsde.Paths(at=3, store=tmp_path / "a", name="a"),
        optsde.Paths(at=5, keep=40, store=tmp_path / "b", name="b"),
        optsde.Paths(at=5, keep=2, name="c"),
    ]
    ens = optsde.simulate(HEAVY, [1.0, 1.0], n_paths=200, steps=4, rng=7, observe=watch)
    assert (ens["b"].values[:, :2] == ens["c"].values).all()
    assert (ens["a"].values[1, :40] == ens["b"].values[2]).all()


def test_an_existing_folder_is_refused_before_the_run(tmp_path):
    (tmp_path / "p.zarr").mkdir()
    with pytest.raises(ValueError, match=r"store: expected a new folder, got .*p\.zarr, which exists"):
        run(optsde.Paths(store=tmp_path / "p.zarr"))
    with pytest.raises(ValueError, match="store: 'a' and 'b' have the same"):
        optsde.simulate(
            HEAVY,
            [1.0, 1.0],
            steps=1,
            observe=[optsde.Paths(store=tmp_path / "q", name=name) for name in "ab"],
        )
    with pytest.raises(TypeError, match="store: expected the path of a folder, got int"):
        optsde.Paths(store=3)


def test_without_zarr(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install optsde\[zarr\]"):
        run(optsde.Paths(store=tmp_path / "p.zarr"))
    assert not (tmp_path / "p.zarr").exists()


@pytest.mark.parametrize("how", ["within a range", "between ranges"])
def test_an_interrupted_run_keeps_what_was_finished(tmp_path, monkeypatch, how):
    whole, original, calls = run(optsde.Paths(at=9)), Recipe.run, []

    def interrupted(recipe, poll):
        calls.append(recipe.path_range)
        if len(calls) < 3:
            return original(recipe, poll)
        if how == "between ranges":
            raise KeyboardInterrupt
        # What the native run gives back on Ctrl-C: here the second and the third path of the range.
        first = recipe.path_range[0]
        raw = original(dataclasses.replace(recipe, path_range=(first + 1, first + 3)), poll)
        return raw | {"complete": False, "interrupted": True, "path_index": np.array([first + 1, first + 2])}

    monkeypatch.setattr(Recipe, "run", interrupted)
    with pytest.raises(optsde.Interrupted, match="paths were finished") as caught:
        run(optsde.Paths(at=9, store=tmp_path / "p.zarr"))
    partial, group = caught.value.partial, zarr.open_group(tmp_path / "p.zarr", mode="r")
    done = calls[1][1] + (2 if how == "within a range" else 0)
    assert group.attrs["complete"] is False
    assert group.attrs["finished_paths"] == done == partial.n_finished == len(partial.path_index) < 500
    assert not partial.complete
    index = partial.path_index
    assert group["theta"][:][:, index].tobytes() == whole.paths[:, index].tobytes()
    assert np.isfinite(group["theta"][:]).all(axis=(0, 2)).sum() == done
    assert (partial.final == whole.final[index]).all()
    np.testing.assert_allclose(partial.mean[-1], partial.final.mean(axis=0), rtol=1e-12)
    data = partial.to_xarray()
    assert data["path"].values.tolist() == index.tolist()
    assert data["kept_path"].values.tolist() == list(range(500))


def test_an_interruption_before_anything_is_finished(tmp_path, monkeypatch):
    def at_once(recipe, poll):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recipe, "run", at_once)
    with pytest.raises(KeyboardInterrupt):
        run(optsde.Paths(store=tmp_path / "p.zarr"))
    assert not (tmp_path / "p.zarr").exists()


def test_a_callback_that_fails_at_once_leaves_no_store(tmp_path):
    def broken(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(
            optsde.Paths(store=tmp_path / "p.zarr"),
            observe=[optsde.Paths(store=tmp_path / "p.zarr"), optsde.Expectation(broken, "broken")],
        )
    assert not (tmp_path / "p.zarr").exists()


def test_diverged_paths_are_nan(tmp_path):
    quartic = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
    options = {"n_paths": 300, "t1": 3.0, "dt": 0.15, "rng": 3}
    with pytest.warns(optsde.DivergenceWarning):
        stored = optsde.simulate(quartic, [0, 0.1], observe=optsde.Paths(at=21, store=tmp_path / "p"), **options)
    with pytest.warns(optsde.DivergenceWarning):
        whole = optsde.simulate(quartic, [0, 0.1], observe=optsde.Paths(at=21), **options)
    assert stored.paths[:].tobytes() == whole.paths.tobytes()
    assert stored.n_diverged == whole.n_diverged > 0
    assert stored.first_divergence == whole.first_divergence


def test_progress_counts_the_whole_run(tmp_path):
    calls = []
    ens = run(optsde.Paths(at=9, store=tmp_path / "p"), progress=lambda *pair: calls.append(pair))
    assert calls[-1] == (500 * ens.n_steps,) * 2
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_saved_results_find_their_store(tmp_path):
    ens = run(optsde.Paths(at=9, store=tmp_path / "p.zarr"))
    ens.save(tmp_path / "run.optsde")
    again = optsde.load(tmp_path / "run.optsde")
    assert_same(again, run(optsde.Paths(at=9)))
    (tmp_path / "p.zarr").rename(tmp_path / "moved")
    assert again.mean.tobytes() == ens.mean.tobytes()
    with pytest.raises(ValueError, match=r"the store .*p\.zarr that holds them is not there any more"):
        _ = again.paths


def test_memory_that_is_asked_for_is_that_of_a_shard():
    paths = optsde.Paths(at=41, store="p.zarr")
    in_memory = optsde.simulate(HEAVY, [1.0, 1.0], n_paths=10, steps=5, rng=1)._recipe
    many = dataclasses.replace(in_memory, n_paths=10**12, path_range=(0, 10**12))
    assert paths._bytes(many, 1) <= 20_000
    assert optsde.Paths(at=41)._bytes(many, 1) > 10**15


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_memory_does_not_grow_with_the_paths(tmp_path):
    """128 MB of paths go to disk by ranges of 4 MB; a process that held them would need all of it."""
    program = f"""{PEAK}
import sys, optsde
from optsde import _zarr
_zarr.SHARD_BYTES = 1 << 22
ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=2)
def run(n, name):
    paths = optsde.Paths(at=1001, store=sys.argv[1] + name)
    optsde.simulate(ou, [0.0, 0.0], n_paths=n, t1=1.0, dt=0.001, rng=1, observe=paths, threads=2)
    return 1024 * peak()
before = run(500, "/small")
print(run(8000, "/large") - before)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 32_000_000


@pytest.mark.parametrize("names", [("same", "same"), ("one", "other")])
def test_stores_of_shards_are_not_put_together(names, tmp_path, monkeypatch):
    shards = []
    for name, cut in zip(names, [(0, 200), (200, 500)], strict=True):
        (tmp_path / str(cut[0])).mkdir()
        monkeypatch.chdir(tmp_path / str(cut[0]))
        shards.append(run(optsde.Paths(at=3, store=name), path_range=cut))
    with pytest.raises(ValueError, match="ensembles: the paths 'paths' of each shard are in a folder of its own"):
        optsde.merge(shards)
    assert np.asarray(optsde.merge(shards[1:]).paths).shape[1] == 300
