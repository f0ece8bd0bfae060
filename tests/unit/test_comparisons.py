"""compare and weak_order: what they refuse, how they print, and that no cutting of the work changes a bit."""

import itertools
import pickle
import sys
from dataclasses import replace
from typing import ClassVar

import numpy as np
import optsde
import pytest
from optsde import _coupled, losses, noise
from optsde._slope import fitted_slope
from optsde._sums import GROUP, Sums

CALLS = []


def counted(x):
    CALLS.append(x.shape)
    return 2.0 * x


LOSS = losses.Function(counted, dim=2, value=lambda x: (x * x).sum(axis=1))
PROBLEM = optsde.Problem(LOSS, noise.Gaussian(1.0))
SGD = optsde.SGD(0.1)
MODELS = {"SGD": SGD.discrete(PROBLEM), "SDE": SGD.sde(PROBLEM)}
PLAIN = optsde.Problem(losses.DoubleWell(dim=2), noise.AffineDiagonal(0.2, 0.1))
BOTH = {"SGD": SGD.discrete(PLAIN), "SDE": SGD.sde(PLAIN)}
BARE = optsde.SDE(lambda t, x: -x, lambda t, x: np.ones_like(x), dim=2, noise="diagonal")
X = [1.0, 1.0]


def run(models=MODELS, theta0=X, **options):
    return optsde.compare(models, theta0, **({"steps": 2, "n_paths": 50} | options))


def order(family=lambda eta: (optsde.SGD(eta).discrete(PROBLEM), optsde.SGD(eta).sde(PROBLEM)), theta0=X, **options):
    etas = options.pop("etas", [0.1, 0.05])
    return optsde.weak_order(family, theta0, etas, **({"t1": 1.0, "n_paths": 50} | options))


COMPARISONS = [
    (lambda: run(list(MODELS.values())), TypeError, "^models: .*dict.*list"),
    (lambda: run({1: SGD.sde(PROBLEM)}), TypeError, "^models: .*names.*1"),
    (lambda: run({"a": SGD, "b": SGD}), TypeError, "^models: .*'a'.*SGD.*discrete"),
    (lambda: run({"a": SGD.sde(PROBLEM)}), ValueError, "^models: .*two, got 1"),
    (
        lambda: run(MODELS | {"other": optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=3)}),
        ValueError,
        "^models: .*'SGD' has 2, .*'other' has 3",
    ),
    (
        lambda: run(MODELS | {"other": optsde.SGD(0.1 * np.sqrt(2)).sde(PROBLEM)}),
        ValueError,
        "^models: 'other' has time_per_step 0.1414.*'SGD' 0.1",
    ),
    (lambda: run(reference="sgd"), ValueError, "^reference: .*'SGD', 'SDE', got 'sgd'"),
    (lambda: run(steps=None), ValueError, "^steps, t1: .*neither"),
    (lambda: run(t1=1.0), ValueError, "^steps, t1: .*both"),
    (lambda: run(steps=0), ValueError, "^steps: .*at least 1, got 0"),
    (lambda: run(steps=1.5), TypeError, "^steps: .*integer.*1.5"),
    (lambda: run(steps=None, t1=0.25), ValueError, "^t1: .*0.1 each.*0.25; the nearest are 0.2 and 0.3"),
    (lambda: run(steps=None, t1=0.2, start=2), ValueError, "^t1: .*after the start, 0.2, got 0.2"),
    (lambda: run(steps=None, t1=np.nan), ValueError, "^t1: .*finite"),
    (lambda: run(start=-1), ValueError, "^start: .*at least 0, got -1"),
    (lambda: run(start=1.0), TypeError, "^start: .*integer.*1.0"),
    (
        lambda: run(MODELS | {"fast": optsde.SGD(0.2).sde(PROBLEM)}, steps=3),
        ValueError,
        "^steps: .*multiple of 2.*got 3",
    ),
    (
        lambda: run(MODELS | {"fast": optsde.SGD(0.2).sde(PROBLEM)}, start=1),
        ValueError,
        "^start: .*multiple of 2.*got 1",
    ),
    (lambda: run(at=[0.1, 5.0]), ValueError, r"^at: .*\[0, 0.2\]"),
    (lambda: run(at=[0.1, 0.11]), ValueError, "^at: two of the times"),
    (lambda: run(at=9), ValueError, "^at: .*3 times.*got 9"),
    (lambda: run(n_paths=1), ValueError, "^n_paths: .*at least 2, got 1"),
    (lambda: run(n_paths=1e3), TypeError, "^n_paths: .*integer"),
    (lambda: run(theta0=np.zeros((5, 2))), ValueError, "^n_paths: .*5 rows.*n_paths=50"),
    (lambda: run(max_paths=0), ValueError, "^max_paths: .*at least 2, got 0"),
    (lambda: run(theta0=[1.0, 2.0, 3.0]), ValueError, r"^theta0: expected .*got shape \(3,\)"),
    (lambda: run(theta0=[1.0, np.inf]), ValueError, "^theta0: .*finite.*inf"),
    (lambda: run(theta0={"theta": X, "q": X}), ValueError, "^theta0: 'q' is not a variable.*'theta'"),
    (lambda: run(theta0={"v": X}), ValueError, "^theta0: .*'theta'.*'v'"),
    (lambda: run(test_functions="speed"), ValueError, "^test_functions: .*'theta2'.*got 'speed'"),
    (lambda: run(test_functions="v"), ValueError, "^test_functions: 'v' is not a variable of 'SGD'.*'theta'"),
    (lambda: run(test_functions=()), ValueError, "^test_functions: .*none"),
    (lambda: run(test_functions=3), TypeError, "^test_functions: .*int"),
    (lambda: run(test_functions=["theta", 3]), TypeError, "^test_functions: .*got 3"),
    (lambda: run(test_functions=["theta", "theta"]), ValueError, "^test_functions: two are called 'theta'"),
    (lambda: run(test_functions={1: "theta"}), TypeError, "^test_functions: .*keys.*1"),
    (lambda: run({"a": BARE, "b": BARE}, dt=0.1), ValueError, "^steps: the reference 'a' has no optimizer step"),
    (lambda: run({"a": BARE, "b": BARE}, steps=None, t1=1.0), ValueError, "^dt: none of the models"),
    (
        lambda: run({"a": BARE, "b": BARE}, steps=None, t1=1.0, dt=0.1, test_functions="loss"),
        ValueError,
        "^test_functions: 'loss' needs a model with a loss",
    ),
    (lambda: run(dt=0.1), ValueError, "^dt: .*'SGD'.*expected None"),
    (lambda: run(couple=1), TypeError, "^couple: .*True or False, got 1"),
    (lambda: run(extrapolate="yes"), TypeError, "^extrapolate: .*'yes'"),
    (lambda: run(control_variates=None), TypeError, "^control_variates: .*None"),
    (lambda: run(rng="seed"), TypeError, "^rng: .*str"),
    (lambda: run(progress="yes"), TypeError, "^progress: .*'yes'"),
    (lambda: run(threads=0), ValueError, "^threads: .*at least 1, got 0"),
    (lambda: order(family=3), TypeError, "^family: .*int"),
    (lambda: order(family=lambda eta: MODELS["SGD"]), TypeError, "^family: .*pair.*eta = 0.1"),
    (lambda: order(family=lambda eta: (BARE, BARE)), ValueError, "^family: .*eta = 0.1 has no optimizer step"),
    (
        lambda: order(family=lambda eta: (MODELS["SGD"], optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=3))),
        ValueError,
        "^family: .*2 parameters, the model 3",
    ),
    (lambda: order(etas=[0.1]), ValueError, r"^etas: .*two.*\(1,\)"),
    (lambda: order(etas=[0.1, 0.1]), ValueError, "^etas: .*different positive"),
    (lambda: order(etas=[0.1, -0.1]), ValueError, "^etas: .*positive"),
    (lambda: order(etas=["a", "b"]), TypeError, "^etas: "),
    (lambda: order(etas=[0.1, 0.07]), ValueError, "^etas: t1 = 1 is 14.2857 steps of 0.07 for eta = 0.07"),
    (lambda: order(t0=0.25), ValueError, "^etas: t0 = 0.25 is 2.5 steps of 0.1 for eta = 0.1"),
    (lambda: order(t0=1.0), ValueError, "^t1: .*after t0 = 1, got 1"),
    (lambda: order(t0=-1.0), ValueError, "^t0: .*at least 0"),
    (lambda: order(t1=np.inf), ValueError, "^t1: .*finite"),
    (lambda: order(threads=0), ValueError, "^threads: .*at least 1, got 0"),
    (lambda: order(test_functions="v"), ValueError, "^test_functions: 'v'"),
    (lambda: order(theta0=[1.0]), ValueError, "^theta0: "),
    (lambda: order(max_paths=1), ValueError, "^max_paths: "),
]


@pytest.mark.parametrize(("make", "error", "message"), COMPARISONS, ids=[row[2] for row in COMPARISONS])
def test_bad_comparisons(make, error, message):
    CALLS.clear()
    with pytest.raises(error, match=message) as caught:
        make()
    assert type(caught.value) is error
    assert CALLS == []


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda state: state["theta"], ValueError, r"'f' returned shape \(\d, 2\) for \d states, expected"),
        (lambda state: np.array(["a"] * len(state["theta"])), TypeError, "'f' returned <U1, expected real numbers"),
        (lambda state: state["q"], KeyError, "q"),
    ],
)
def test_bad_test_functions_show_before_the_work(function, error, message):
    calls = []

    def spy(state):
        calls.append(len(state["theta"]))
        return function(state)

    with pytest.raises(error, match=message):
        run(test_functions={"f": spy}, n_paths=10_000)
    assert max(calls) <= 3


def numbers(cmp):
    parts = ("mean", "stderr", "difference", "difference_stderr", "integrator_error", "integrator_error_stderr")
    return np.concatenate([
        values for part in parts for by_function in getattr(cmp, part).values() for values in by_function.values()
    ])  # fmt: skip


@pytest.mark.parametrize("start", [0, 3])
def test_no_cutting_changes_a_bit(monkeypatch, start):
    kwargs = {"steps": 6, "n_paths": 9000, "rng": 7, "at": 3, "start": start}
    whole = optsde.compare(BOTH, X, threads=2, **kwargs)
    assert whole.control_variates
    np.testing.assert_array_equal(numbers(whole), numbers(optsde.compare(BOTH, X, threads=1, **kwargs)))
    monkeypatch.setattr(_coupled, "_LARGEST_PIECE", GROUP)
    np.testing.assert_array_equal(numbers(whole), numbers(optsde.compare(BOTH, X, **kwargs)))
    again = optsde.compare(BOTH, X, **(kwargs | {"rng": whole.key}))
    np.testing.assert_array_equal(numbers(whole), numbers(again))
    other = optsde.compare(BOTH, X, **(kwargs | {"rng": 8}))
    assert (numbers(whole) != numbers(other)).any()


def test_blocks_of_keys(monkeypatch):
    """Beyond a block the noise has another key: means go on to converge, and rows stay with their paths."""
    monkeypatch.setattr(_coupled, "BLOCK", 1024)
    monkeypatch.setattr("optsde._estimate.BLOCK", 1024)
    rows = np.linspace(-1.0, 1.0, 4000)[:, None] * np.ones(2)
    quiet = {name: getattr(SGD, name)(optsde.Problem(losses.Quadratic(1.0, dim=2), noise.Gaussian(1e-12)))
             for name in ("discrete", "sde")}  # fmt: skip
    for start in (0, 2):
        cmp = optsde.compare(quiet, rows, steps=4, start=start, rng=1, test_functions="theta2", control_variates=False)
        assert cmp.mean["discrete"]["theta2"][0] == pytest.approx(0.9 ** (2 * (4 + start)) * np.mean(rows**2), rel=1e-4)
    fresh = optsde.compare(BOTH, X, steps=3, n_paths=4000, rng=1, control_variates=False)
    alone = optsde.compare(BOTH, X, steps=3, n_paths=1000, rng=1, control_variates=False)
    assert 0.4 < fresh.stderr["SDE"]["theta"][0] / alone.stderr["SDE"]["theta"][0] < 0.6


def test_equal_to_simulate():
    """Algorithms alone see the noise that simulate draws."""
    fast = optsde.SGD(0.1).discrete(PLAIN)
    both = {"a": fast, "b": optsde.SGD(0.1).discrete(optsde.Problem(losses.DoubleWell(1.1, dim=2), PLAIN.noise))}
    cmp = optsde.compare(both, X, steps=5, n_paths=700, rng=3, test_functions=("theta", "loss"))
    ens = optsde.simulate(fast, X, steps=5, n_paths=700, rng=3, observe=[optsde.Moments(), optsde.Loss()])
    assert cmp.mean["a"]["theta"][0] == pytest.approx(ens.mean[0].mean(), rel=1e-12)
    assert cmp.mean["a"]["loss"][0] == pytest.approx(ens.loss_mean[0], rel=1e-12)
    assert cmp.stderr["a"]["loss"][0] == pytest.approx(ens.loss_stderr[0], rel=1e-12)


def test_report():
    cmp = optsde.compare(BOTH, X, steps=6, n_paths=2000, rng=1, at=3)
    text = repr(cmp)
    for word in ("SGD", "SDE", "theta", "loss", "2,000", "one Wiener path", "euler_maruyama", "integrator", "step 6"):
        assert word in text
    assert "<table>" in cmp._repr_html_()
    assert str(cmp.table(0)) == repr(cmp.table(0))
    assert "t = 0, step 0" in cmp.table(0)
    with pytest.raises(ValueError, match=r"^at: "):
        cmp.table(3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cmp)).mean["SDE"]["loss"], cmp.mean["SDE"]["loss"])
    wo = optsde.weak_order(SGD.family(PLAIN), X, [0.1, 0.05], t1=0.2, rng=1, test_functions=("theta", "theta2"))
    assert "eta" in repr(wo)
    assert "<table>" in wo._repr_html_()
    assert "0.05" in wo.table()


def test_plots():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    many = optsde.compare(BOTH, X, steps=6, n_paths=500, rng=1, at=3)
    _figure, ax = plt.subplots()
    assert many.plot(ax=ax) is ax
    assert many.plot(function="loss").get_ylabel() == "loss: minus SGD"
    with pytest.raises(ValueError, match=r"^function: .*'theta', 'loss'"):
        many.plot(function="x")
    optsde.compare(BOTH, X, steps=6, n_paths=500, rng=1).plot()
    wo = optsde.weak_order(
        SGD.family(PLAIN), X, [0.1, 0.05], t1=0.2, rng=1, n_paths=500, test_functions=("theta", "theta2")
    )
    assert wo.plot().get_xscale() == "log"
    # Of a result whose smallest rate noise hides, the plot says on what its slope rests.
    fit = replace(wo.fits["theta"], slope=1.0, interval=(0.9, 1.1), resolved=False, left_out=(0.05,))
    texts = replace(wo, fits=wo.fits | {"theta": fit}).plot().get_legend().get_texts()
    assert "theta: slope 1.00 of the full points, not resolved" in [text.get_text() for text in texts]
    none = optsde.weak_order(lambda eta: 2 * SGD.family(PLAIN)(eta)[:1], X, [0.1, 0.05], t1=0.2, n_paths=10)
    none.plot()
    plt.close("all")


def test_xarray():
    cmp = optsde.compare(BOTH, X, steps=6, n_paths=500, rng=1, at=3)
    data = cmp.to_xarray()
    assert data["mean"].dims == ("model", "function", "t")
    assert float(data["difference"].sel(model="SDE", function="loss")[-1]) == cmp.difference["SDE"]["loss"][-1]
    assert np.isnan(data["difference"].sel(model="SGD")).all()
    assert data.attrs["reference"] == "SGD"


@pytest.mark.parametrize(("module", "use"), [("xarray", "to_xarray"), ("matplotlib.pyplot", "plot")])
def test_missing_extras_are_named(monkeypatch, module, use):
    cmp = optsde.compare(BOTH, X, steps=2, n_paths=50, rng=1)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install optsde\[{'plot' if use == 'plot' else 'xarray'}\]"):
        getattr(cmp, use)()


def test_progress_and_reference():
    seen = []
    cmp = optsde.compare(
        BOTH, X, steps=6, n_paths=5000, rng=1, reference="SDE", progress=lambda done, total: seen.append((done, total))
    )
    assert list(cmp.difference) == ["SGD"]
    assert seen[-1][0] == seen[-1][1]
    assert all(a <= b for (a, _), (b, _) in itertools.pairwise(seen))


def test_models_without_optimizer_steps():
    well = optsde.losses.DoubleWell(dim=2)
    cmp = optsde.compare(
        {"cold": optsde.Langevin(well, 0.1), "warm": optsde.Langevin(well, 0.2)}, X, t1=1.0, dt=0.1, n_paths=500, rng=1
    )
    assert cmp.step.tolist() == [-1]
    assert cmp.difference["warm"]["loss"][0] > 0


def test_deterministic_models_are_run_once():
    calls = []

    def slope(x):
        calls.append(len(x))
        return x

    quiet = optsde.Problem(losses.Function(slope, dim=1, value=lambda x: x[:, 0] ** 2), noise.Zero())
    cmp = optsde.compare({"GD": SGD.discrete(quiet), "flow": SGD.flow(quiet)}, 1.0, steps=3, n_paths=5000, rng=1)
    assert max(calls) < 300
    assert cmp.stderr["GD"]["theta"][0] == 0.0
    assert cmp.difference["flow"]["theta"][0] == pytest.approx(np.exp(-0.3) - 0.9**3, rel=1e-8)


def test_models_that_start_from_different_second_moments_say_so():
    class Other:
        state: ClassVar = {"theta": (1,), "v": (1,)}
        _second_moment_start = True

    class Zero(Other):
        _second_moment_start = False

    start = _coupled.Start({"theta": 1.0}, None)
    assert "v starts at grad²" in start.unlike({"a": Zero(), "b": Other()})
    assert start.unlike({"a": Other(), "b": Other()}) is None
    assert _coupled.Start({"theta": 1.0, "v": 1.0}, None).unlike({"a": Zero(), "b": Other()}) is None


def test_sums_are_those_of_the_whole():
    generator = np.random.default_rng(1)
    n = 3 * GROUP + 100
    y = generator.normal(size=(2, 1, 3, n)) + 1e6
    c = generator.normal(size=(2, 3, n))
    y[1] += 3.0 * c[0] + 0.5 * c[1]
    keep = generator.random(n) < 0.9
    sums = Sums.empty(2, 1, 3, 2)
    sums.add(y[..., : 2 * GROUP], c[..., : 2 * GROUP], keep[: 2 * GROUP])
    sums.add(y[..., 2 * GROUP :], c[..., 2 * GROUP :], keep[2 * GROUP :])
    kept = y[..., keep]
    mean, stderr = sums.plain()
    np.testing.assert_allclose(mean, kept.mean(axis=-1), rtol=1e-14)
    np.testing.assert_allclose(stderr, kept.std(axis=-1, ddof=1) / np.sqrt(keep.sum()), rtol=1e-8)
    mean, stderr = sums.regressed()
    for k in range(3):
        design = np.column_stack([np.ones(keep.sum()), *c[:, k, keep]])
        for q in range(2):
            answer, rest, *_ = np.linalg.lstsq(design, kept[q, 0, k], rcond=None)
            assert mean[q, 0, k] == pytest.approx(answer[0], rel=1e-12)
            spread = np.linalg.inv(design.T @ design)[0, 0] * rest[0] / (keep.sum() - 3)
            assert stderr[q, 0, k] == pytest.approx(np.sqrt(spread), rel=1e-4)


def test_sums_of_controls_that_depend_on_each_other_or_do_not_vary():
    generator = np.random.default_rng(2)
    c = np.zeros((3, 1, 600))
    c[0] = generator.normal(size=600)
    c[1] = 2.0 * c[0]
    y = 1.0 + 3.0 * c[:1, None] + 0.1 * generator.normal(size=(1, 1, 1, 600))
    sums = Sums.empty(1, 1, 1, 3)
    sums.add(y, c, np.ones(600, dtype=bool))
    mean, stderr = sums.regressed()
    assert abs(mean.item() - 1.0) < 5 * stderr.item() < 0.05


def test_slope():
    s = np.array([0.1, 0.05, 0.025, 0.0125])
    exact = fitted_slope(s, 3.0 * s**2, np.zeros(4))
    assert exact.value == pytest.approx(2.0)
    assert exact.high - exact.low < 1e-6
    # A curve: the interval holds the slope in the limit, 1.
    bent = fitted_slope(s, s * (1.0 + 3.0 * s), 1e-4 * s)
    assert bent.value > 1.05
    assert bent.low < 1.0 < bent.high
    assert bent.high - bent.low < 0.8
    # Noise: as many intervals hold the truth as should, or more.
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        errors = s * (1.0 + 0.05 * generator.normal(size=4))
        fit = fitted_slope(s, errors, 0.05 * s)
        hits += fit.low < 1.0 < fit.high
    assert hits > 370
    two = fitted_slope(s[:2], s[:2], 0.01 * s[:2])
    assert two.value == pytest.approx(1.0)
    assert two.low < 1.0 < two.high


def test_the_budget_counts_the_wiener_processes_of_data(monkeypatch):
    runners = []

    def stop(runner, **_):
        runners.append(runner)
        raise StopIteration

    monkeypatch.setattr(sys.modules["optsde.compare"], "estimate", stop)
    loss = losses.LinearRegression(np.ones((300, 1)), np.arange(300.0))
    sgd, problem = optsde.SGD(0.1), optsde.Problem(loss, noise.Minibatch(), batch_size=5)
    with pytest.raises(StopIteration):
        optsde.compare({"SGD": sgd.discrete(problem), "SDE": sgd.sde(problem)}, 0.0, steps=7)
    (runner,) = runners
    scheme = _coupled.Scheme(None, "euler_maruyama", 1.0, 4)
    assert runner.work([_coupled.Entry("SDE", scheme)]) == 7 * 4 * 300
