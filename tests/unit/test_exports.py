"""Ensembles as data sets of xarray and as chains of ArviZ, and what notebooks show."""

import dataclasses
import sys

import numpy as np
import optsde
import pytest
import xarray
from optsde.results import Result

PROBLEM = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
HEAVY = optsde.SGD(0.1, momentum=0.5).sde(PROBLEM)


def run(observe, **options):
    return optsde.simulate(HEAVY, [1.0, -1.0], **{"n_paths": 90, "steps": 4, "rng": 7, "observe": observe} | options)


def test_every_result_is_there_under_the_name_of_its_field():
    ens = run(
        [
            optsde.Moments(at=3, cov=True),
            optsde.Moments(name="late"),
            optsde.Final(),
            optsde.Paths(at=5, keep=4),
            optsde.Loss(at=3),
            optsde.Histogram(6, (-1.0, 1.0), at=2),
            optsde.Histogram(3, (-1.0, 1.0), coords=1, name="one"),
            optsde.Expectation(lambda x: x[:, 0], "first"),
        ]
    )
    data = ens.to_xarray()
    for field in ("mean", "mean_stderr", "var", "var_stderr", "cov", "cov_stderr"):
        assert data[field].values.tobytes() == getattr(ens, field).tobytes()
        assert data[f"v_{field}"].values.tobytes() == getattr(ens.state["v"], field).tobytes()
        assert data[f"v_{field}"].dims == data[field].dims
    assert data["cov"].dims == ("t", "parameter", "parameter_")
    assert (data["late_mean"].values == ens["late"].mean).all()
    assert data["late_mean"].dims == ("t_late", "parameter")
    assert data["final"].dims == ("path", "parameter")
    assert (data["final"].values == ens.final).all()
    assert (data["v_final"].values == ens.state["v"].final).all()
    assert data["paths"].dims == ("t_paths", "kept_path", "parameter")
    assert (data["paths"].values == ens.paths).all()
    assert (data["v_paths"].values == ens.state["v"].paths).all()
    assert (data["loss_mean"].values == ens.loss_mean).all()
    assert data["loss_mean"].dims == ("t",)  # the moments' times
    assert data["histogram_counts"].dims == ("t_histogram", "parameter", "histogram_bin")
    assert (data["histogram_density"].values == ens.histogram.density).all()
    assert (data["histogram_edge"].values == ens.histogram.edges).all()
    np.testing.assert_allclose(data["histogram_bin"].values, np.arange(-5, 6, 2) / 6, atol=1e-15)
    assert data["one_counts"].dims == ("t_one", "one_bin")
    assert data["one_underflow"].dims == ("t_one",)
    assert float(data["first_mean"].values[0]) == ens.expectations["first"].mean[0]
    assert (data["t"].values == ens.t).all()
    assert (data["step"].values == ens.step).all()
    assert data["kept_path"].values.tolist() == [0, 1, 2, 3]
    assert float(data["mean"].sel(parameter=1).isel(t=-1)) == ens.mean[-1, 1]


def test_attributes_are_the_recipe(tmp_path):
    ens = run(None, path_range=(10, 30))
    data = ens.to_xarray()
    assert data.attrs["method"] == "euler_maruyama"
    assert data.attrs["dt"] == ens.dt
    assert optsde.Key(int(data.attrs["key"], 16)) == ens.key
    assert data.attrs["optsde_version"] == optsde.__version__
    assert "momentum's SDE" in data.attrs["equation"]
    assert data.attrs["path_range"] == [10, 30]
    assert data["path"].values.tolist() == list(range(10, 30))
    assert data["t"].attrs["optimizer_step"] == HEAVY.time_per_step
    data.to_zarr(tmp_path / "data.zarr", consolidated=False)
    again = xarray.open_zarr(tmp_path / "data.zarr", consolidated=False, chunks=None)
    assert again.attrs == data.attrs
    assert (again["final"].values == ens.final).all()


def test_names_that_meet_are_told_apart():
    ens = run([optsde.Moments(), optsde.Expectation(lambda x: x[:, 0], "v")])
    data = ens.to_xarray()
    assert (data["v_mean"].values == ens.state["v"].mean).all()
    assert (data["v.theta.mean"].values == ens.expectations["v"].mean).all()


def test_results_of_kinds_to_come_are_labelled_by_their_shape():
    ens = run([optsde.Moments(), optsde.Final()])
    fields = {"t": ens.t, "step": ens.step, "q": np.array([0.1, 0.5, 0.9]), "values": np.zeros((1, 3, 2))}
    later = dataclasses.make_dataclass("QuantilesResult", ["q", "values"], bases=(Result,), frozen=True, eq=False)
    ens._results["moments"] = later(**fields)
    data = ens.to_xarray()
    assert data["moments_values"].dims == ("t", "moments_q", "parameter")
    assert data["moments_q"].values.tolist() == [0.1, 0.5, 0.9]


def test_chains_are_paths_and_draws_are_times():
    import arviz

    ens = run([optsde.Paths(at=33, keep=5)])
    data = ens.to_arviz()
    theta = data.posterior["theta"]
    assert theta.dims == ("chain", "draw", "parameter")
    assert (theta.values == np.moveaxis(ens.paths, 0, 1)).all()
    assert (data.posterior["v"].values == np.moveaxis(ens.state["v"].paths, 0, 1)).all()
    assert (data.posterior["t"].values == ens["paths"].t).all()
    assert np.isfinite(arviz.rhat(data)["theta"].values).all()


def test_chains_that_diverged_are_left_out():
    quartic = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
    with pytest.warns(optsde.DivergenceWarning):
        ens = optsde.simulate(quartic, [0.0, 0.1], n_paths=60, t1=3.0, dt=0.15, rng=3, observe=optsde.Paths(at=21))
    posterior = ens.to_arviz().posterior
    assert len(posterior["chain"]) == 60 - ens.n_diverged < 60
    assert np.isfinite(posterior["theta"].values).all()
    assert (posterior["theta"].values == np.moveaxis(ens.paths[:, posterior["chain"].values], 0, 1)).all()


def test_without_paths_there_are_no_chains():
    with pytest.raises(AttributeError, match=r"paths: not observed; .*optsde\.Paths"):
        run(None).to_arviz()


@pytest.mark.parametrize(
    ("method", "module"), [("to_xarray", "xarray"), ("to_arviz", "arviz"), ("plot", "matplotlib.pyplot")]
)
def test_missing_extras_are_named(method, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    ens = run([optsde.Paths(at=3)])
    with pytest.raises(ImportError, match=rf"pip install optsde\[{'plot' if method == 'plot' else module}\]"):
        getattr(ens, method)()


def test_tables_in_notebooks():
    ens = run([optsde.Moments(at=3)])
    for shown, words in (
        (ens, ("Ensemble of &lt;SGD", "euler_maruyama")),
        (ens["moments"], ("MomentsResult", "float64 (3, 2)")),
        (HEAVY, ("dX = V dt", "noise kind", "additive_full")),
        (optsde.methods(), ("euler_maruyama", "stationary")),
    ):
        text = shown._repr_html_()
        assert text.startswith("<table>")
        assert all(word in text for word in words), text
