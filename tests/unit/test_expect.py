"""expect: what it refuses, how it prints, when it stops, and that neither threads nor pieces change what it finds."""

import pickle

import numpy as np
import optsde
import pytest
from optsde import _levels, losses, noise
from optsde._tally import Tally

GEOMETRIC = optsde.SDE(lambda t, x: 0.05 * x, lambda t, x: 0.2 * x, dim=1, noise="diagonal")
PROBLEM = optsde.Problem(losses.DoubleWell(dim=2), noise.AffineDiagonal(0.2, 0.1))
SGD = optsde.SGD(0.1)
EQUATION, ALGORITHM = SGD.sde(PROBLEM), SGD.discrete(PROBLEM)
OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=2)
X = [1.0, 0.5]


def square(x):
    return np.square(x[:, 0])


def run(dynamics=GEOMETRIC, theta0=1.0, function=square, **options):
    return optsde.expect(dynamics, theta0, function, **({"t1": 1.0, "rtol": 0.02, "rng": 7} | options))


REFUSED = [
    (lambda: run(SGD), TypeError, "^dynamics: .*SGD.*sde"),
    (lambda: run(function=3), TypeError, "^function: .*'theta'.*int"),
    (lambda: run(function="cost"), ValueError, "^function: .*'theta'.*'cost'"),
    (lambda: run(function="loss"), ValueError, "^function: 'loss' needs a model with a loss"),
    (lambda: run(function="v"), ValueError, "^function: 'v' is not a variable"),
    (lambda: run(function=lambda x: x), ValueError, r"^function: .*shape \(64, 1\) for 64 states, expected \(64,\)"),
    (lambda: run(function=lambda x: 1j * x[:, 0]), TypeError, "^function: .*complex"),
    (lambda: run(theta0=np.ones((5, 1))), ValueError, "^theta0: .*one point.*5 rows"),
    (lambda: run(theta0=[1.0, 2.0]), ValueError, "^theta0"),
    (lambda: run(t1=0.0), ValueError, "^t1: .*positive"),
    (lambda: run(t0=1.0), ValueError, "^t1: .*after t0 = 1, got 1"),
    (lambda: run(dt=0.3), ValueError, "^dt: .*divides.*0.3"),
    (lambda: run(ALGORITHM, X, t1=0.25), ValueError, "^t1: .*whole number.*0.1.*0.2 and 0.3"),
    (lambda: run(ALGORITHM, X, dt=0.1), ValueError, "^dt: .*discrete"),
    (lambda: run(ALGORITHM, X, method="heun"), ValueError, "^method: .*discrete"),
    (lambda: run(method="heun"), ValueError, "^method: heun"),
    (lambda: run(method=3), TypeError, "^method: .*int"),
    (lambda: run(rtol=0.0), ValueError, "^rtol: .*positive atol"),
    (lambda: run(rtol=0.0, atol=0.0), ValueError, "^rtol: .*positive atol"),
    (lambda: run(rtol=None, atol=0.0), ValueError, "^atol: .*positive rtol"),
    (lambda: run(rtol=-0.1, atol=1.0), ValueError, "^rtol"),
    (lambda: run(atol=-1.0), ValueError, "^atol"),
    (lambda: run(max_level=1), ValueError, "^max_level: .*at least 2"),
    (lambda: run(max_cost=0), ValueError, "^max_cost"),
    (lambda: run(control_variate="twin"), ValueError, "^control_variate: .*'gaussian_twin'.*'twin'"),
    (lambda: run(OU, X, control_variate="gaussian_twin"), ValueError, "^control_variate: .*exact"),
    (
        lambda: run(theta0=optsde.initial.Gaussian(1.0, 0.1), control_variate="gaussian_twin"),
        ValueError,
        "^control_variate: .*at random",
    ),
    (
        lambda: run(optsde.Adam(0.1).sde(PROBLEM), X, control_variate="gaussian_twin"),
        ValueError,
        "^control_variate: .*no other variables",
    ),
    (
        lambda: run(optsde.Adam(0.1).discrete(PROBLEM), X, control_variate="gaussian_twin"),
        ValueError,
        "^control_variate: .*plain SGD",
    ),
    (lambda: run(extrapolate=1), TypeError, "^extrapolate"),
    (lambda: run(antithetic=None), TypeError, "^antithetic"),
    (lambda: run(state="yes"), TypeError, "^state"),
    (lambda: run(rng="seed"), TypeError, "^rng"),
    (lambda: run(threads=0), ValueError, "^threads"),
    (lambda: run(progress="bar"), TypeError, "^progress"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_refused(case):
    call, kind, text = REFUSED[case]
    with pytest.raises(kind, match=text):
        call()


def test_tally_merges_moments_and_regresses():
    rng = np.random.default_rng(1)
    c = rng.standard_normal((2, 3001))
    y = 1e6 + 2.0 * c[0] - c[1] + 0.1 * rng.standard_exponential(3001)
    tally = Tally()
    for part in np.split(np.arange(3001), [0, 5, 1000, 1001]):
        tally.add(y[part], c[:, part])
    off = y - y.mean()
    mean, variance, of_mean = tally.plain()
    np.testing.assert_allclose([mean, variance, of_mean], [y.mean(), y.var(ddof=1), y.var(ddof=1) / 3001], rtol=1e-12)
    np.testing.assert_allclose(tally.kurtosis, np.mean(off**4) / np.mean(off**2) ** 2, rtol=1e-9)
    np.testing.assert_allclose(tally.third, np.sum(off**3), rtol=1e-6)
    design = np.column_stack([np.ones(3001), c.T])
    found, (rest,), _, _ = np.linalg.lstsq(design, y, rcond=None)
    mean, variance, of_mean = tally.regressed()
    inverse = np.linalg.inv(design.T @ design)
    np.testing.assert_allclose([mean, variance], [found[0], rest / 2998], rtol=1e-8)
    np.testing.assert_allclose(of_mean, variance * inverse[0, 0], rtol=1e-8)
    alone = tally.without_controls()
    assert alone.plain() == tally.plain()
    assert alone.regressed() == tally.plain()
    same = Tally()
    same.add(np.full(7, 0.1), np.zeros((0, 7)))
    assert same.plain() == (0.1, 0.0, 0.0)
    assert np.isnan(same.kurtosis)


def test_same_bits_for_any_threads_and_by_key():
    compiled = optsde.Langevin(losses.Quartic(dim=2), 0.5)
    for dynamics, theta0 in ((compiled, X), (GEOMETRIC, 1.0), (ALGORITHM, X)):
        first = run(dynamics, theta0, threads=1)
        for again in (run(dynamics, theta0, threads=2), run(dynamics, theta0, rng=first.key)):
            assert again.value == first.value
            assert again.levels == first.levels
        assert run(dynamics, theta0, rng=8).value != first.value


def test_pieces_do_not_change_the_law_or_repeat_paths(monkeypatch):
    """A level of many pieces: every path has its own noise."""
    monkeypatch.setattr(_levels, "_LARGEST_PIECE", 256)
    seen = []

    def function(x):
        seen.append(x[:, 0].copy())
        return x[:, 0]

    ex = run(OU, X, function, rtol=None, atol=0.02)
    values = np.concatenate(seen[1:])  # after the probe
    assert ex.levels[0].samples == len(values) == len(np.unique(values)) > 1000
    np.testing.assert_allclose(ex.value, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(ex.stderr, values.std(ddof=1) / np.sqrt(len(values)), rtol=1e-9)


def test_result_and_prints(monkeypatch):
    ex = run(rtol=5e-3)
    assert ex.status == "converged" and ex.converged
    assert ex.method == "platen"
    assert ex.tolerance == 5e-3 * abs(ex.value)
    assert ex.error == ex.bias + 1.959963984540054 * ex.stderr <= ex.tolerance
    assert [level.n_steps for level in ex.levels] == [1, 2, 4]
    assert [level.dt for level in ex.levels] == [1.0, 0.5, 0.25]
    np.testing.assert_allclose(ex.value, sum(level.mean for level in ex.levels))
    assert (ex.known_alpha, ex.known_beta) == (2.0, 1.0)
    assert ex.path_steps >= sum(level.samples * level.n_steps for level in ex.levels)
    text = repr(ex)
    for part in ("E[square] at t = 1", "status", "converged", "platen", "gaussian twin", "rates", "path-steps", "Key("):
        assert part in text, part
    page = ex._repr_html_()
    assert page.startswith("<table>") and page.count("<tr>") > 8
    again = pickle.loads(pickle.dumps(ex))
    assert (again.value, again.levels, repr(again)) == (ex.value, ex.levels, text)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    ax = plt.subplots()[1]
    assert ex.plot(ax) is ax
    assert ax.get_xlabel() == "dt"
    assert run(OU, X).plot().get_xlabel() == "dt"
    plt.close("all")


def test_default_methods():
    coupled = optsde.SDE(lambda t, x: -x, lambda t, x: x[:, ::-1], dim=2, noise="diagonal_coupled")
    wide = optsde.SDE(lambda t, x: -x, lambda t, x: np.roll(x, 1, axis=1), dim=40, noise="diagonal_coupled")
    found = {
        "ornstein_uhlenbeck": OU,
        "heun": optsde.Langevin(losses.DoubleWell(dim=2), 1.0),
        "platen": coupled,
        "euler_maruyama": wide,
        "rk4": SGD.flow(PROBLEM),
        "levy_euler": SGD.sde(optsde.Problem(losses.Quartic(dim=2), noise.AlphaStable(1.5, 1.0))),
        None: ALGORITHM,
    }
    for method, dynamics in found.items():
        assert _levels.default_method(dynamics) == method
    assert _levels.default_method(EQUATION) == "platen"


def test_functions_names_and_states():
    assert run(EQUATION, X, "loss").value == run(EQUATION, X, lambda x: PROBLEM.loss.value(x)).value
    heavy = optsde.SGD(0.01, momentum=0.9).sde(PROBLEM)
    kinetic = run(heavy, {"theta": X, "v": [0.1, 0.2]}, lambda s: np.square(s["v"]).sum(axis=1), state=True, rtol=0.05)
    assert kinetic.converged
    speed = run(heavy, {"theta": X, "v": [0.1, 0.2]}, "v", rtol=None, atol=0.05)
    assert speed.converged and "E[v]" in repr(speed)
    with pytest.raises(ValueError, match="read-only"):
        run(function=lambda x: np.multiply(x, 2.0, out=x)[:, 0])


def test_plain_monte_carlo_where_there_is_no_step():
    ex = run(ALGORITHM, X, "loss", rtol=0.05)
    assert ex.method == "algorithm"
    assert len(ex.levels) == 1 and ex.bias == 0.0
    assert ex.levels[0].cost == 10.0 or ex.levels[0].cost == 20.0  # with its twin
    exact = run(OU, X, rtol=0.05)
    assert len(exact.levels) == 1 and exact.levels[0].n_steps == 1 and exact.bias == 0.0
    assert np.isnan(exact.alpha) and np.isnan(exact.beta)


def test_no_noise():
    ex = run(SGD.flow(optsde.Problem(losses.Quadratic(1.0, dim=2), noise.Zero())), X, rtol=1e-9)
    assert ex.converged and ex.stderr == 0.0
    assert abs(ex.value - np.exp(-2.0)) <= ex.error
    assert all(level.samples == 2 for level in ex.levels)
    stiff = run(SGD.flow(PROBLEM), [2.0, 2.0], "loss", rtol=1e-6)  # coarse steps overflow
    assert stiff.converged and stiff.levels[0].n_steps > 1
    fine = optsde.simulate(SGD.flow(PROBLEM), [2.0, 2.0], t1=1.0, dt=1e-4).final
    np.testing.assert_allclose(stiff.value, PROBLEM.loss.value(fine)[0], rtol=2e-6)


def test_stiff_equations_begin_at_a_shorter_step():
    ex = run(optsde.Langevin(losses.DoubleWell(height=5.0), 0.2), 1.0, "loss", control_variate=None)
    assert ex.converged
    assert ex.levels[0].n_steps >= 8
    assert ex.levels[0].variance > 2.0 * ex.levels[-1].variance


def test_stops_and_says_why():
    short = run(rtol=1e-5, max_cost=1e5)
    assert short.status == "max_cost" and not short.converged
    assert "above the tolerance" in short.reason and "max_cost" in short.reason
    assert short.path_steps <= 1.01e5
    assert short.error > short.tolerance
    coarse = run(rtol=1e-3, method="euler_maruyama", max_level=2)
    assert coarse.status == "max_level" and "max_level = 2" in coarse.reason
    assert len(coarse.levels) == 3 and coarse.bias > 0.5 * coarse.tolerance
    nothing = run(max_cost=10)
    assert nothing.status == "max_cost" and np.isnan(nothing.value) and nothing.levels == ()
    repr(nothing)


QUARTIC = optsde.Langevin(losses.Quartic(dim=1), 1.0)
AT_ZERO = {
    "equation": (QUARTIC, 0.0, "theta", {}),
    "coarse rtol": (QUARTIC, 0.0, "theta", {"rtol": 0.5}),
    "fine rtol": (QUARTIC, 0.0, "theta", {"rtol": 2e-3}),
    "exact steps": (OU, [0.0, 0.0], "theta", {}),
    "algorithm": (ALGORITHM, [0.0, 0.0], "theta", {}),
    "control variates": (GEOMETRIC, 1.0, lambda x: x[:, 0] - np.exp(0.05), {}),
    "extrapolated": (QUARTIC, 0.0, "theta", {"extrapolate": True, "method": "euler_maruyama"}),
}


@pytest.mark.parametrize("name", AT_ZERO)
def test_a_value_of_zero_ends_the_run(name):
    """By symmetry, or by its exact answer, the value is 0; the cost stays far below the budget of 4e9 path-steps."""
    dynamics, theta0, function, options = AT_ZERO[name]
    for seed in range(4):
        ex = run(dynamics, theta0, function, rng=seed, **options)
        deviation = np.sqrt(ex.levels[0].variance * ex.levels[0].gain)
        # Where rtol is coarse, chance lets the error be within it.
        assert ex.status == "near_zero" or (ex.converged and name == "coarse rtol")
        assert abs(ex.value) <= 4.9 * ex.stderr + ex.bias
        assert ex.stderr <= 1.5 / 300 * deviation * 1.01
        assert ex.path_steps < 4e8
    assert ex.converged or ("told from zero" in ex.reason and "give atol" in ex.reason and "near_zero" in repr(ex))
    assert run(dynamics, theta0, function, **(options | {"atol": 0.05})).converged


def test_small_values_are_found_all_the_same():
    """A value of 0.03 standard deviations is seen, and its relative error met."""
    ex = run(
        function=lambda x: x[:, 0] - np.exp(0.05) + 0.03 * 0.212, rtol=0.1, control_variate=None, method="milstein"
    )
    assert ex.converged
    assert abs(ex.value - 0.03 * 0.212) < 0.1 * 0.03 * 0.212


def test_one_of_the_tolerances_may_be_zero():
    ex = run(rtol=0.0, atol=1e-3)
    assert ex.converged and ex.tolerance == 1e-3
    assert ex.levels == run(rtol=None, atol=1e-3).levels
    assert run(rtol=0.02, atol=0.0).levels == run(rtol=0.02).levels


def test_diverging_paths_are_reported():
    cubic = optsde.SDE(lambda t, x: x * x * x, lambda t, x: np.ones_like(x), dim=1, noise="diagonal")
    with np.errstate(all="ignore"), pytest.warns(optsde.DivergenceWarning, match="became non-finite"):
        ex = run(cubic, 0.5, max_level=6, max_cost=1e7)
    assert ex.status == "diverged" and ex.n_diverged > 0 and "diverged" in repr(ex)


@pytest.mark.parametrize("options", [{}, {"max_level": 10}, {"antithetic": True}, {"dt": 0.25}])
def test_where_all_paths_diverge_the_run_ends_at_once(options):
    """An equation that explodes: a few paths of shorter steps, not a pilot on every level."""
    unstable = optsde.SGD(0.1).sde(optsde.Problem(losses.Quadratic(-2000.0, dim=1), noise.Gaussian(1.0)))
    with pytest.warns(optsde.DivergenceWarning, match="paths became non-finite: none is left, down to a step of"):
        ex = run(unstable, 5.0, "theta", method="heun", **options)
    assert ex.status == "diverged" and np.isnan(ex.value)
    assert ex.path_steps < 1e8


def test_stiff_equations_whose_long_steps_all_diverge_are_not_refused():
    stiff = optsde.Langevin(losses.Quartic(dim=1, a=200.0), 1.0)
    ex = run(stiff, 3.0, "theta2", rtol=0.05)
    assert ex.converged and ex.levels[0].n_steps > 100


def test_values_that_are_not_finite_at_finite_states_are_no_diverged_paths():
    with pytest.warns(RuntimeWarning, match="of the function were NaN or infinite at finite states: none is left"):
        gone = run(function=lambda x: np.full(len(x), np.nan))
    assert gone.status == "undefined" and np.isnan(gone.value) and gone.path_steps < 1e7
    with pytest.warns(RuntimeWarning, match="conditional on finite values") as caught:
        ex = run(function=lambda x: np.where(x[:, 0] > 1.2, np.inf, x[:, 0]), max_level=3, rtol=0.02)
    assert not any(issubclass(warning.category, optsde.DivergenceWarning) for warning in caught)
    assert ex.status == "undefined" and ex.n_diverged == 0
    assert ex.n_undefined == sum(level.n_undefined for level in ex.levels) > 100
    assert "undefined" in repr(ex) and "non-finite" not in ex.reason


def test_interrupted_keeps_what_was_done():
    calls = []

    def function(x):
        calls.append(len(x))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return square(x)

    with pytest.raises(optsde.Interrupted, match="path-steps") as stop:
        run(function=function, rtol=1e-3, control_variate=None)
    partial = stop.value.partial
    assert partial.status == "interrupted"
    assert len(partial.levels) == 3 and abs(partial.value - 1.15) < 0.1
    calls[:] = [0] * 6

    with pytest.raises(optsde.Interrupted) as stop:  # in the first pilot
        run(function=function, rtol=1e-3, control_variate=None)
    assert stop.value.partial.status == "interrupted"
    repr(stop.value.partial)


def test_errors_of_functions_come_through():
    def function(x):
        if len(x) != 64:
            raise ZeroDivisionError("mine")
        return square(x)

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(function=function)


def test_progress():
    seen = []
    run(rtol=2e-3, control_variate=None, progress=lambda done, total: seen.append((done, total)))
    assert seen and all(0 <= done <= total for done, total in seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_variance_of_zero_by_luck_is_not_believed():
    """An event of probability about 1e-3: no path of the third pilot may show it, and its variance counts as not 0."""
    ex = run(function=lambda x: (x[:, 0] > 1.9).astype(float), rtol=None, atol=2e-3, method="euler_maruyama")
    assert all(level.variance > 0.0 for level in ex.levels[2:] if ex.levels[1].variance > 0.0)


def test_longest_step_is_as_asked():
    ex = run(dt=0.25, control_variate=None)
    assert ex.levels[0].dt == 0.25
    later = run(t0=0.5, t1=2.0)
    assert (later.t0, later.t1, later.levels[0].dt) == (0.5, 2.0, 1.5)
