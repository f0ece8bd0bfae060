"""Pictures: on the axes that are passed, with labels, of the numbers that they say."""

import dataclasses
import sys

import matplotlib as mpl
import numpy as np
import optsde
import pytest
from optsde import plot

mpl.use("Agg")
import matplotlib.pyplot as plt

OU = optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 2.0]], 0.0, 2.0)
SGD = optsde.SGD(0.1).sde(optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0)))
ENS = optsde.simulate(
    OU, [0.0, 0.0], n_paths=400, t1=2.0, dt=0.1, rng=1,
    observe=[optsde.Moments(at=5), optsde.Final(), optsde.Paths(at=21), optsde.Histogram(20, (-3, 3), at=2)],
)  # fmt: skip


def normal(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


SEEN = optsde.simulate(
    OU, [0.0, 0.0], n_paths=400, t1=2.0, dt=0.1, rng=1,
    observe=[optsde.Quantiles([0.1, 0.5, 0.9], at=5), optsde.Autocovariance(8, average_from=0.5)],
)  # fmt: skip
PAIR = dataclasses.replace(
    ENS.histogram,
    edges=(np.linspace(0, 1, 5), np.linspace(0, 2, 5)),
    counts=np.ones((2, 4, 4)),
    density=np.full((2, 4, 4), 0.5),
)
CURVES = {"a": ([1, 10, 100], [0.1, 0.01, 0.001]), "b": ([1, 10, 100], [0.2, 0.02, 1e-5], [1e-3, 1e-3, 1e-3])}

DRAWN = {
    "density of an ensemble": lambda ax: plot.density(ENS, normal, ax=ax),
    "density of a histogram": lambda ax: plot.density(ENS.histogram, {"a": normal, "b": normal}, coord=1, ax=ax),
    "density of samples": lambda ax: plot.density(ENS.final[:, 0], log=True, ax=ax),
    "density of a pdf of rows": lambda ax: plot.density(ENS.final, lambda x: normal(x[..., 0]), ax=ax),
    "density of paths": lambda ax: plot.density(ENS.paths, at=3, bins=11, ax=ax),
    "two coordinates": lambda ax: plot.density2d(ENS, lambda x: normal(x[:, 0]) * normal(x[:, 1]), ax=ax),
    "a histogram of pairs": lambda ax: plot.density2d(PAIR, ax=ax),
    "trajectories": lambda ax: plot.trajectories(ENS, ax=ax),
    "trajectories of arrays": lambda ax: plot.trajectories((ENS["paths"].t, ENS.paths[:, :, 1]), lines=0, ax=ax),
    "quantiles": lambda ax: plot.trajectories(SEEN, coord=1, ax=ax),
    "autocorrelation of paths": lambda ax: plot.autocorrelation(ENS, lambda t: np.exp(-t), ax=ax),
    "autocorrelation of an array": lambda ax: plot.autocorrelation(ENS.paths[:, :, 0], max_lag=3, ax=ax),
    "autocorrelation observed": lambda ax: plot.autocorrelation(SEEN, ax=ax),
    "order": lambda ax: plot.order([0.1, 0.2], {"a": [0.1, 0.2]}, {"a": [0.01, 0.1]}, ax=ax),
    "work": lambda ax: plot.work_precision(CURVES, ax=ax),
    "the default view": lambda ax: ENS.plot(ax, coord=1),
}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("ax", [3, np.empty(2, dtype=object)], ids=["a number", "several"])
def test_what_are_no_axes_is_refused(draw, ax):
    with pytest.raises(TypeError, match=f"ax: expected matplotlib axes or None, got {type(ax).__name__}"):
        draw(ax)
    assert not plt.get_fignums()


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_on_the_axes_that_are_passed(draw):
    figure, (other, ax) = plt.subplots(1, 2)
    assert draw(ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert not other.has_data()
    assert ax.has_data()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    figure.canvas.draw()


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_on_new_axes(draw):
    assert draw(None).figure.number in plt.get_fignums()


def test_the_density_is_that_of_the_histogram():
    ax = plot.density(ENS, coord=1)
    _, steps = ax.patches
    assert (steps.get_data().values == ENS.histogram.density[-1, 1]).all()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("θ₁", "density")
    assert plot.density(np.arange(30.0).reshape(2, 15), coord=12, ax=plt.figure().gca()).get_xlabel() == "θ₁₂"


def test_theory_is_evaluated_on_the_axis():
    ax = plot.density(ENS, normal)
    line = ax.lines[-1]
    np.testing.assert_allclose(line.get_ydata(), normal(line.get_xdata()))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["simulation", "theory"]


def test_a_fan_holds_its_share_of_the_paths():
    ax = plot.trajectories(ENS, quantiles=(0.05, 0.5, 0.95), lines=3)
    assert len(ax.lines) == 4
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), np.median(ENS.paths[:, :, 0], axis=1))
    top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(np.quantile(ENS.paths[:, :, 0], 0.95, axis=1).max())


def test_units():
    ens = optsde.simulate(SGD, [1.0, 1.0], n_paths=20, steps=8, rng=1, observe=optsde.Paths(at=9))
    ax = plot.trajectories(ens, unit="steps")
    assert ax.get_xlabel() == "optimizer steps"
    np.testing.assert_allclose(ax.lines[-1].get_xdata(), np.arange(9))
    assert plot.trajectories(ens).get_xlabel() == "time t"
    with pytest.raises(ValueError, match="unit: 'steps' needs an ensemble of a dynamics that has an optimizer step"):
        plot.trajectories(ENS, unit="steps")
    with pytest.raises(ValueError, match="unit: expected 'time' or 'steps'"):
        plot.trajectories(ENS, unit="hours")


def test_autocorrelation_is_that_of_the_chains():
    """An autoregression of coefficient 0.6: standard error of a lag is below 0.005; false alarm of 6 of them < 1e-6."""
    noise = np.random.default_rng(1).normal(size=(1000, 100))
    chain = np.zeros_like(noise)
    for k in range(1, len(noise)):
        chain[k] = 0.6 * chain[k - 1] + noise[k]
    ax = plot.autocorrelation(chain[100:], lambda lag: 0.6**lag, max_lag=5)
    lags, values = ax.lines[0].get_data()
    assert lags.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(values, 0.6**lags, atol=0.03)
    direct = chain[100:] - chain[100:].mean()
    assert values[2] == pytest.approx((direct[2:] * direct[:-2]).mean() / (direct**2).mean(), rel=1e-10)


def test_observed_autocorrelations_and_fans_are_the_observers_own():
    found = SEEN["autocovariance"]
    ax = plot.autocorrelation(SEEN, coord=1)
    lags, values = ax.lines[0].get_data()
    assert lags.tolist() == found.lags.tolist()
    assert values.tolist() == found.autocorrelation[:, 1].tolist()
    top = found.autocorrelation[:, 1] + 2.0 * found.autocorrelation_stderr[:, 1]
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(top.max())
    assert ax.get_xlabel() == "lag, in time"
    assert plot.autocorrelation(found).get_xlabel() == "lag, in time"
    ax = plot.trajectories(SEEN)
    assert ax.lines[0].get_ydata().tolist() == SEEN["quantiles"].values[:, 1, 0].tolist()
    assert ax.lines[0].get_xdata().tolist() == SEEN["quantiles"].t.tolist()


def test_what_a_stationary_law_observed():
    law = optsde.stationary(OU, rtol=0.2, rng=1, observe=[optsde.Autocovariance(4), optsde.Quantiles([0.5], at=3)])
    seen = plot.autocorrelation(law).lines[0].get_ydata()
    assert seen.tolist() == law["autocovariance"].autocorrelation[:, 0].tolist()
    assert plot.trajectories(law).lines[0].get_xdata().tolist() == law["quantiles"].t.tolist()


def test_corner():
    figure = plt.figure()
    grid = plot.corner(ENS, cov=np.eye(2), labels=["a", "b"], fig=figure)
    assert grid.shape == (2, 2)
    assert grid[0, 1] is None
    assert grid[1, 0].figure is figure
    assert plt.get_fignums() == [figure.number]
    assert (grid[1, 0].get_xlabel(), grid[1, 0].get_ylabel(), grid[1, 1].get_xlabel()) == ("a", "b", "b")
    marginal = grid[1, 1].lines[-1]
    np.testing.assert_allclose(marginal.get_ydata(), normal(marginal.get_xdata()))
    figure.canvas.draw()
    assert plot.corner(ENS.final, coords=[1], pdf=[normal]).shape == (1, 1)
    with pytest.raises(ValueError, match="labels: expected 2, one a coordinate, got 1"):
        plot.corner(ENS, labels=["a"])
    with pytest.raises(ValueError, match="coords: expected 1 to 12"):
        plot.corner(np.zeros((5, 13)))


def test_comparisons_and_orders_draw_as_they_do_themselves():
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    sgd = optsde.SGD(0.1)
    models = {"SGD": sgd.discrete(problem), "SDE": sgd.sde(problem)}
    cmp = optsde.compare(models, 1.0, steps=4, at=3, n_paths=200, rng=1)
    ax = plt.subplots()[1]
    assert plot.weak_error(cmp, function="loss", ax=ax) is ax
    assert ax.get_ylabel() == "loss: minus SGD"
    wo = optsde.weak_order(sgd.family(problem), 1.0, [0.1, 0.05], t1=0.2, rng=1, max_paths=2000)
    ax = plt.subplots()[1]
    assert plot.order(wo, ax=ax) is ax
    with pytest.raises(TypeError, match="comparison: expected a Comparison"):
        plot.weak_error(3)


def test_points_lost_in_noise_are_hollow():
    ax = plot.work_precision({"one": ([1, 10], [0.1, 0.01], [1e-3, 0.1])})
    filled, hollow = (line for line in ax.lines if line.get_marker() == "o")
    assert (filled.get_xdata().tolist(), hollow.get_xdata().tolist()) == ([1], [10])
    assert hollow.get_markerfacecolor() == "none"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_default_views():
    def view(observe):
        return optsde.simulate(OU, [0, 0], n_paths=50, t1=1.0, dt=0.1, rng=1, observe=observe).plot()

    assert view(optsde.Paths(at=5)).get_xlabel() == "time t"
    assert view(optsde.Moments(at=5)).get_xlabel() == "time t"
    assert view(optsde.Histogram(9, (-1, 1))).get_ylabel() == "density"
    assert view(None).get_ylabel() == "density"
    with pytest.raises(ValueError, match="neither final states nor paths"):
        view(optsde.Moments())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.density(ENS, coord=2), "coord: expected an integer of at most 1, got 2"),
        (lambda: plot.density(ENS, at=7), "at: expected an integer of at most 1, got 7"),
        (lambda: plot.density(ENS, lambda x: x[:3]), "pdf: expected a function of points"),
        (lambda: plot.density(np.zeros((2, 2, 2, 2))), "source: expected samples"),
        (lambda: plot.trajectories(OU), "source: no paths and no quantiles"),
        (lambda: plot.trajectories(ENS, quantiles=[0.0, 1.0]), "quantiles: expected numbers between 0 and 1"),
        (lambda: plot.trajectories(([0, 1], np.zeros((3, 2)))), "source: expected"),
        (lambda: plot.autocorrelation(([0, 1, 3], np.ones((3, 2)))), "evenly spaced"),
        (lambda: plot.order([0.1, 0.2]), "errors: expected"),
        (lambda: plot.order([0.1, 0.2], [1.0]), r"errors: expected shape \(2,\)"),
        (lambda: plot.work_precision({"a": ([1], [1], [1], [1])}), "curves: expected"),
    ],
)
def test_bad_arguments_make_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == [] or "pdf" in message


@pytest.mark.parametrize("draw", [plot.density, plot.autocorrelation])
def test_a_source_that_is_no_numbers(draw):
    with pytest.raises(TypeError, match="source: expected real numbers, got str"):
        draw("theta")


def test_nothing_is_imported_before_it_is_drawn():
    import subprocess

    code = "import optsde.plot, sys; sys.exit(any(m in sys.modules for m in ('matplotlib', 'xarray', 'zarr', 'arviz')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
