"""Stationary laws in files, as data sets and chains, in pictures and notebooks: of the law, not of its last run."""

import json
import pickle
import sys
import zipfile
from dataclasses import replace

import arviz
import matplotlib as mpl
import numpy as np
import optsde
import pytest

mpl.use("Agg")

PROBLEM = optsde.Problem(optsde.losses.Quadratic([[2.0, 0.5], [0.5, 1.0]]), optsde.noise.Gaussian([1.0, 0.25]))
VECTORS = ("mean", "mean_stderr", "mean_bias", "mean_error", "rhat", "ess", "iact", "iact_steps", "square_iact")
MATRICES = ("cov", "cov_stderr", "cov_bias", "cov_error")
FACTS = ("status", "reason", "burn_in", "burn_in_steps", "dt", "method", "n_paths", "n_steps", "n_diverged", "rtol")
FACTS += ("extrapolated", "starts", "complete", "key", "wall_time", "path_steps", "title")


@pytest.fixture(scope="module")
def law():
    dynamics = optsde.SGD(0.01, momentum=0.9).sde(PROBLEM)
    watch = [optsde.Moments(), optsde.Final(), optsde.Quantiles([0.1, 0.5], at=3)]
    return optsde.stationary(dynamics, rtol=0.1, n_paths=64, rng=1, observe=watch)


@pytest.fixture(scope="module")
def well():
    return optsde.stationary(optsde.Langevin(optsde.losses.DoubleWell(), 0.5), rtol=0.1, rng=2)


def assert_same_law(one, other):
    assert type(other) is optsde.StationaryEnsemble
    assert all(getattr(one, name) == getattr(other, name) for name in FACTS)
    assert list(one.state) == list(other.state)
    for left, right in zip([one, *one.state.values()], [other, *other.state.values()], strict=True):
        for name in (*VECTORS, *MATRICES, "samples", "final"):
            a, b = getattr(left, name), getattr(right, name)
            assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()), name
    assert repr(other) == repr(one)


def test_files_hold_the_law_and_the_run_that_observers_saw(law, tmp_path):
    law.save(tmp_path / "law.optsde")
    again = optsde.load(tmp_path / "law.optsde")
    assert_same_law(law, again)
    assert again["quantiles"].values.tobytes() == law["quantiles"].values.tobytes()
    assert again.replay(5).final.tobytes() == law.ensemble.final[5:6].tobytes()
    again.save(tmp_path / "again.optsde")
    assert_same_law(law, optsde.load(tmp_path / "again.optsde"))
    assert_same_law(law, pickle.loads(pickle.dumps(again)))
    law.ensemble.save(tmp_path / "run.optsde")
    assert type(optsde.load(tmp_path / "run.optsde")) is optsde.Ensemble


def test_laws_of_lost_functions_and_without_numbers(tmp_path):
    own = optsde.SDE(lambda t, x: -x, lambda t, x: 0 * x + 1, dim=1, noise="diagonal")
    one = optsde.stationary(own, [0.0], rtol=0.5, n_paths=16, dt=0.25, method="platen", rng=1)
    one.save(tmp_path / "own.optsde")
    again = optsde.load(tmp_path / "own.optsde")
    assert_same_law(one, again)
    assert again.plot().get_xlabel() == "θ₀"
    with pytest.raises(ValueError, match="replay: the dynamics is not in the file"):
        again.replay(0)
    empty = optsde.stationary(optsde.SGD(1e6).discrete(PROBLEM), [1.0, 1.0], rng=1)
    assert empty.status == "not_stationary"
    assert len(empty.samples) == 0
    empty.save(tmp_path / "empty.optsde")
    assert_same_law(empty, optsde.load(tmp_path / "empty.optsde"))
    assert np.isnan(empty.to_xarray()["mean"].values).all()
    with pytest.raises(ValueError, match="to_arviz: there are no draws"):
        empty.to_arviz()
    with pytest.raises(ValueError, match="expected samples"):
        empty.plot()


@pytest.mark.parametrize("damage", ["fields", "facts", "shape", "none"])
def test_damaged_laws_are_refused(law, tmp_path, damage):
    law.save(tmp_path / "law.optsde")
    broken = tmp_path / "broken.optsde"
    with zipfile.ZipFile(tmp_path / "law.optsde") as archive, zipfile.ZipFile(broken, "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "description.json":
                document = json.loads(content)
                inner = document["law"]
                if damage == "fields":
                    del inner["variables"][0]["rhat"]
                elif damage == "facts":
                    inner["facts"]["key"] = "7"
                elif damage == "shape":
                    inner["variables"][1]["cov"] = inner["variables"][0]["mean"]
                else:
                    del document["law"]
                content = json.dumps(document)
            out.writestr(name, content)
    with pytest.raises(ValueError, match=r"broken\.optsde: expected .*, found one whose content is damaged"):
        optsde.load(broken)


def test_data_sets_are_of_the_law(law, tmp_path):
    data = law.to_xarray()
    for name in (*VECTORS, "var", "var_error"):
        assert data[name].dims == ("parameter",)
        assert data[name].values.tobytes() == getattr(law, name).tobytes()
        assert data[f"v_{name}"].values.tobytes() == getattr(law.state["v"], name).tobytes()
    for name in MATRICES:
        assert data[name].dims == ("parameter", "parameter_")
        assert data[name].values.tobytes() == getattr(law, name).tobytes()
    assert data["samples"].dims == ("sample", "parameter")
    assert (data["v_samples"].values == law.state["v"].samples).all()
    assert data["final"].dims == ("path", "parameter")
    assert (data["samples"].isel(sample=data["sample_path"] == 3).values == law.samples[3 :: law.n_paths]).all()
    for name in ("status", "reason", "burn_in", "method", "dt", "n_steps", "rtol", "starts"):
        assert data.attrs[name] == getattr(law, name)
    assert optsde.Key(int(data.attrs["key"], 16)) == law.key
    data.to_zarr(tmp_path / "law.zarr", consolidated=False)


def test_chains_are_paths_with_their_draws_in_order(law):
    data = law.to_arviz()
    theta = data.posterior["theta"]
    assert theta.dims == ("chain", "draw", "parameter")
    assert theta.shape == (law.n_paths, len(law.samples) // law.n_paths, 2)
    assert (theta.values[7] == law.samples[7 :: law.n_paths]).all()
    assert (data.posterior["v"].values[7, -1] == law.state["v"].samples[7 - law.n_paths]).all()
    assert (theta.values[:, -1] == law.samples[-law.n_paths :]).all()
    if theta.shape[1] >= 4:
        assert np.isfinite(arviz.rhat(data)["theta"].values).all()


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_pictures_have_the_density_that_theory_knows(well, law, monkeypatch):
    line = lines(well.plot())["theory"]
    exact = optsde.theory.gibbs_density(optsde.losses.DoubleWell(), 0.5)
    np.testing.assert_allclose(line.get_ydata(), exact(line.get_xdata()), rtol=1e-10)
    cov = optsde.theory.stationary_cov(optsde.SGD(0.01, momentum=0.9).sde(PROBLEM))
    for coord in range(2):
        line = lines(law.plot(coord=coord, bins=20))["theory"]
        x, var = line.get_xdata(), cov["theta"][coord, coord] if isinstance(cov, dict) else cov[coord, coord]
        np.testing.assert_allclose(line.get_ydata(), np.exp(-x * x / (2 * var)) / np.sqrt(2 * np.pi * var), rtol=1e-9)
    assert "theory" not in lines(well.plot(pdf={}))
    assert "mine" in lines(well.plot(pdf={"mine": exact}))
    none = optsde.stationary(optsde.Adam(0.1).discrete(PROBLEM), rtol=0.3, max_steps=5000, rng=1)
    assert "theory" not in lines(none.plot())
    with pytest.raises(ValueError, match="coord"):
        well.plot(coord=1)
    monkeypatch.setattr("optsde.theory._scipy.import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    assert well.plot().get_ylabel() == "density"


@pytest.mark.parametrize(("method", "module"), [("to_xarray", "xarray"), ("to_arviz", "arviz")])
def test_missing_extras_are_named(well, method, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install optsde\[{module}\]"):
        getattr(well, method)()


def test_tables_in_notebooks(well):
    text = replace(well, reason="a < b")._repr_html_()
    assert text.startswith("<table><caption>StationaryEnsemble of &lt;")
    assert "a &lt; b" in text
