"""Every argument of simulate tried wrong: the error names it, before any work starts."""

import time

import numpy as np
import optsde
import pytest

LOSS = optsde.losses.Quadratic([1.0, 2.0])
SGD = optsde.SGD(0.1)
PROBLEM = optsde.Problem(LOSS, optsde.noise.Gaussian(1.0))
SDE = SGD.sde(PROBLEM)
CHAIN = SGD.discrete(PROBLEM)
FLOW = SGD.flow(PROBLEM)
OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, [1.0, 1.0])
WELL = optsde.Langevin(optsde.losses.DoubleWell(dim=2), 0.5)
X = [1.0, 1.0]
COUPLED = optsde.SDE(lambda t, x: -x, lambda t, x: 1.0 + x[:, ::-1] ** 2, dim=2, noise="diagonal")


def crossed(t, x):
    factor = np.zeros((len(x), 2, 2))
    factor[:, 0, 0] = 1.0
    factor[:, 1, 1] = x[:, 0]
    return factor


FALSE = optsde.SDE(lambda t, x: -x, crossed, dim=2, noise="commutative")
SINGLE = {"dtype": "float32", "steps": 1}

BAD = [
    ((PROBLEM, X), {"steps": 1}, TypeError, "dynamics: expected a dynamics, got Problem"),
    ((SGD, X), {"steps": 1}, TypeError, r"dynamics: .*\.sde\(problem\)"),
    ((SDE, [1.0, np.nan]), {"steps": 1}, ValueError, "theta0: expected finite numbers, got nan at index 1"),
    ((SDE, [1.0]), {"steps": 1}, ValueError, r"theta0: expected .* got shape \(1,\)"),
    ((SDE, 1.0), {"steps": 1}, ValueError, r"theta0: expected .* got shape \(\)"),
    ((SDE, np.zeros((0, 2))), {"steps": 1}, ValueError, "theta0: .* no path at all"),
    ((SDE, np.zeros((1, 3, 2))), {"steps": 1}, ValueError, "theta0: expected"),
    ((SDE, ["a", "b"]), {"steps": 1}, TypeError, "theta0: expected real numbers"),
    ((SDE, None), {"steps": 1}, TypeError, "theta0: expected real numbers"),
    ((SDE, {"theta": X, "v": X}), {"steps": 1}, ValueError, "theta0: expected a dict with theta alone, got"),
    ((SDE, [1e300, 0.0]), SINGLE, ValueError, "theta0: .* too large for dtype float32"),
    ((SDE, optsde.initial.Gaussian([0.0], 1.0)), {"steps": 1}, ValueError, "theta0: dimensions do not agree"),
    ((SDE, np.zeros((3, 2))), {"steps": 1, "n_paths": 4}, ValueError, "n_paths: theta0 has 3 rows"),
    ((SDE, X), {"steps": 1, "n_paths": 0}, ValueError, "n_paths: expected an integer of at least 1, got 0"),
    ((SDE, X), {"steps": 1, "n_paths": 2.0}, TypeError, "n_paths: expected an integer"),
    ((SDE, X), {"steps": 1, "n_paths": 1 << 63}, ValueError, "n_paths: "),
    ((SDE, X), {}, ValueError, "steps, t1: expected exactly one .* got neither"),
    ((SDE, X), {"steps": 1, "t1": 1.0}, ValueError, "steps, t1: expected exactly one .* got both"),
    ((SDE, X), {"steps": 0}, ValueError, "steps: expected an integer of at least 1"),
    ((SDE, X), {"steps": 1.0}, TypeError, "steps: expected an integer"),
    ((SDE, X), {"t1": -1.0}, ValueError, "t1: expected a positive number"),
    ((SDE, X), {"t1": 1.0, "t0": 2.0}, ValueError, "t1: expected a time after t0 = 2, got 1"),
    ((SDE, X), {"t1": np.inf}, ValueError, "t1: expected finite"),
    ((SDE, X), {"steps": 1, "t0": -1.0}, ValueError, "t0: expected a number of at least 0"),
    ((SDE, X), {"steps": 1, "dt": -0.1}, ValueError, "dt: expected a positive number, got -0.1"),
    ((SDE, X), {"steps": 1, "dt": 0.0}, ValueError, "dt: expected a positive number"),
    ((SDE, X), {"steps": 1, "dt": "0.1"}, TypeError, "dt: expected real numbers"),
    ((SDE, X), {"t1": 0.1, "dt": 0.2}, ValueError, "dt: .* which is longer"),
    ((SDE, X), {"t1": 1.0, "dt": 0.3}, ValueError, "dt: .* nearest that do are 0.25 and 0.333333333333"),
    ((SDE, X), {"t1": 1.0, "dt": 1e-300}, ValueError, "dt: "),
    ((SDE, X), {"steps": 1, "dt": 0.1, "substeps": 1}, ValueError, "dt, substeps: "),
    ((SDE, X), {"steps": 1, "substeps": 0}, ValueError, "substeps: "),
    ((SDE, X), {"steps": 1, "wiener_dt": 0.2}, ValueError, "wiener_dt: "),
    ((SDE, X), {"steps": 1, "dt": 0.1, "wiener_dt": 0.03}, ValueError, "wiener_dt: expected dt = 0.1 or"),
    ((OU, X), {"steps": 1, "dt": 0.1}, ValueError, "steps: this dynamics has no optimizer step"),
    ((OU, X), {"t1": 1.0}, ValueError, "dt: this dynamics has no optimizer step"),
    ((OU, X), {"t1": 1.0, "substeps": 3}, ValueError, "substeps: this dynamics has no optimizer step"),
    ((CHAIN, X), {"t1": 1.0}, ValueError, "t1: a discrete optimizer takes steps"),
    ((CHAIN, X), {"steps": 1, "dt": 0.1}, ValueError, "dt: a discrete optimizer"),
    ((CHAIN, X), {"steps": 1, "substeps": 1}, ValueError, "substeps: a discrete optimizer"),
    ((CHAIN, X), {"steps": 1, "method": "euler_maruyama"}, ValueError, "method: a discrete optimizer"),
    ((SDE, X), {"steps": 1, "method": "magic"}, ValueError, "method: expected one of 'rk4'"),
    ((SDE, X), {"steps": 1, "method": 3}, TypeError, "method: expected one of"),
    ((SDE, X), {"steps": 1, "method": "rk4"}, ValueError, "method: rk4 .*'additive_diagonal'; these do: euler_mar"),
    ((FLOW, X), {"steps": 1, "method": "milstein"}, ValueError, "method: milstein .*'none'; these do: rk4"),
    ((WELL, X), {"t1": 1.0, "dt": 0.5, "method": "ornstein_uhlenbeck"}, ValueError, "method: .* linear drift"),
    ((SDE, X), {"steps": 1, "increments": "odd"}, ValueError, "increments: expected one of"),
    ((SDE, X), {"steps": 1, "increments": "two_point", "method": "milstein"}, ValueError, "increments: 'two_point'"),
    ((CHAIN, X), {"steps": 1, "increments": "two_point"}, ValueError, "increments: 'two_point'"),
    (
        (SDE, X),
        {"steps": 1, "dt": 0.1, "increments": "two_point", "wiener_dt": 0.05},
        ValueError,
        "increments: .* leave wiener_dt out",
    ),
    ((SDE, X), {"steps": 1, "rng": -1}, ValueError, "rng: expected a seed"),
    ((SDE, X), {"steps": 1, "rng": 1.5}, TypeError, "rng: expected an int"),
    ((SDE, X), {"steps": 1, "rng": True}, TypeError, "rng: expected an int"),
    ((SDE, X), {"steps": 1, "rng": np.random.RandomState(1)}, TypeError, "rng: expected an int"),
    ((SDE, X), {"steps": 1, "dtype": "int32"}, ValueError, "dtype: "),
    ((SDE, X), {"steps": 1, "dtype": "odd"}, TypeError, "dtype: "),
    ((SDE, X), {"steps": 1, "threads": 0}, ValueError, "threads: "),
    ((SDE, X), {"steps": 1, "path_range": (0, 2)}, ValueError, "path_range: "),
    ((SDE, X), {"steps": 1, "n_paths": 4, "path_range": (2, 2)}, ValueError, r"path_range: expected \(a, b\)"),
    ((SDE, X), {"steps": 1, "path_range": 3}, TypeError, "path_range: expected a pair"),
    ((SDE, X), {"steps": 1, "n_paths": 9, "path_range": range(2, 4)}, TypeError, "path_range: expected a pair .*range"),
    ((SDE, X), {"steps": 1, "dtype": None}, TypeError, "dtype: expected 'float64' or 'float32', got None"),
    ((SDE, X), {"steps": 10**30}, ValueError, r"steps: 8e\+30 steps"),
    ((SDE, X), {"steps": 1, "t0": 1e18}, ValueError, "t0: .* exceed the 2\\^56 noise addresses"),
    ((SDE, X), {"t1": 1e300, "dt": 0.1}, ValueError, r"dt: 1e\+301 steps"),
    ((SDE, X), {"steps": 1, "progress": 3}, TypeError, "progress: "),
    ((SDE, X), {"steps": 1, "on_divergence": "stop"}, ValueError, "on_divergence: "),
    ((SDE, X), {"steps": 1, "observe": 3}, TypeError, "observe: expected a list"),
    ((SDE, X), {"steps": 1, "observe": [optsde.Moments]}, TypeError, "observe: .*call it"),
    ((SDE, X), {"steps": 1, "observe": [optsde.Final(), optsde.Final()]}, ValueError, "observe: two .*'final'"),
    ((SDE, X), {"steps": 1, "observe": optsde.Paths(at=100)}, ValueError, "at: the run has 9 times"),
    ((SDE, X), {"steps": 1, "observe": optsde.Paths(at=[0.0, 5.0])}, ValueError, r"at: expected times in \[0, 0.1\]"),
    ((SDE, X), {"steps": 1, "observe": optsde.Paths(at=[0.0, 1e-6])}, ValueError, "at: two of the times"),
    ((SDE, X), {"steps": 1, "observe": optsde.Histogram(4, (0, 1), 2)}, ValueError, "coords: .* below 2, got 2"),
    ((OU, X), {"t1": 1.0, "dt": 0.1, "observe": optsde.Loss()}, ValueError, "observe: the Loss observer needs a loss"),
    (
        (optsde.Langevin(optsde.losses.Function(np.negative, dim=2), 1.0), X),
        {"t1": 1.0, "dt": 0.1, "observe": optsde.Loss()},
        ValueError,
        "^value: the Loss observer needs it",
    ),
    ((COUPLED, X), {"t1": 1.0, "dt": 0.1}, ValueError, "noise: declared 'diagonal', but entry 1 .* coordinate 0"),
    ((FALSE, X), {"t1": 1.0, "dt": 0.1}, ValueError, "noise: declared 'commutative', but Wiener processes 0 and 1"),
    (
        (optsde.Langevin(optsde.losses.Compiled(4096, dim=2), 1.0), X),
        {"t1": 1.0, "dt": 0.1, "dtype": "float32"},
        ValueError,
        "dtype: compiled functions compute in double",
    ),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BAD, ids=[row[3] for row in BAD])
def test_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        optsde.simulate(*arguments, **options)


def test_memory_is_asked_for_before_the_start():
    observe = [optsde.Paths(at=10**6)]
    with pytest.raises(MemoryError, match="need 16000000000000000 bytes"):
        optsde.simulate(SDE, X, n_paths=10**9, t1=0.1 * 10**6, dt=0.1, observe=observe)


def test_threads_of_the_environment_are_bounded(monkeypatch):
    monkeypatch.setenv("OPTSDE_NUM_THREADS", "99999")
    with pytest.raises(ValueError, match="OPTSDE_NUM_THREADS: expected an integer of at most 1024, got 99999"):
        optsde.simulate(SDE, X, steps=1)


def test_a_refused_run_leaves_the_generator_alone():
    generator = np.random.default_rng(5)
    with pytest.raises(ValueError, match="steps"):
        optsde.simulate(SDE, X, rng=generator)
    assert generator.random() == np.random.default_rng(5).random()


def test_low_order_method_for_a_better_model_warns():
    flow = SGD.flow(PROBLEM, order=2)
    with pytest.warns(UserWarning, match="weak order 1, its model of order 2"):
        optsde.simulate(flow, X, steps=2, method="euler_maruyama")


def test_one_false_entry_among_many_is_found_at_once():
    def hidden(x):
        out = np.sqrt(1.0 + x**2)
        out[:, 1234] += 0.01 * np.sin(x[:, 777] - x[:, 778])
        return out

    many = optsde.losses.Quadratic(1.0, dim=2000)
    dynamics = SGD.sde(optsde.Problem(many, optsde.noise.Function(hidden, kind="diagonal")))
    start = np.linspace(-1.0, 1.0, 2000)
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=r"entry 1234 of the noise factor changes with coordinate 77[78];"):
        optsde.simulate(dynamics, start, steps=1)
    # One coordinate at a time through matrices took minutes.
    assert time.perf_counter() - begin < 5.0


def test_a_declared_factor_of_the_wrong_shape_is_named():
    dynamics = SGD.sde(optsde.Problem(LOSS, optsde.noise.Function(lambda x: x[:, 0], kind="diagonal")))
    with pytest.raises(ValueError, match=r"factor: the callback returned shape \(1,\), expected \(1, 2\)"):
        optsde.simulate(dynamics, X, steps=1)


def test_commuting_columns_of_a_curved_field_pass():
    # Columns f(r²) x and g(r²) x: both along x, so they commute where f g' = g f'.
    def factor(t, x):
        square = (x**2).sum(axis=1, keepdims=True)
        return np.stack([np.exp(square) * x, 3.0 * np.exp(square) * x], axis=2)

    dynamics = optsde.SDE(lambda t, x: -x, factor, dim=2, noise="commutative")
    optsde.simulate(dynamics, [0.3, 0.1], t1=0.1, dt=0.05, rng=1)


def test_true_declarations_pass():
    def factor(t, x):
        out = np.zeros((len(x), 2, 2))
        out[:, 0, 0] = 1.0 + x[:, 0] ** 2
        out[:, 1, 1] = np.sqrt(1.0 + x[:, 1] ** 2)
        return out

    for diffusion, kind in ((lambda t, x: np.sqrt(1.0 + x**2), "diagonal"), (factor, "commutative")):
        dynamics = optsde.SDE(lambda t, x: -x, diffusion, dim=2, noise=kind)
        optsde.simulate(dynamics, X, t1=0.1, dt=0.05, rng=1)


@pytest.mark.parametrize("optimizer", [optsde.RMSprop, optsde.Adam])
def test_the_old_second_moment_must_not_be_none(optimizer):
    problem = optsde.Problem(optsde.losses.Quadratic([1.0]), optsde.noise.Gaussian(1.0))
    lagged = optimizer(0.01, ordering="lagged").discrete(problem)
    start = {"theta": [1.0], "v": [0.5]}
    for theta0 in ([1.0], start | {"v": [0.0]}):
        with pytest.warns(UserWarning, match=r"^ordering 'lagged': .* up to 1e\+06 times it; start v above 0"):
            optsde.simulate(lagged, theta0, steps=2, n_paths=16, rng=1)
    models = {"a": lagged, "b": optimizer(0.01, ordering="lagged").sde(problem)}
    notes = optsde.compare(models, [1.0], start=2, steps=2, n_paths=16, rng=1).notes
    assert sum(note.startswith("a: ordering 'lagged'") for note in notes) == 1
    # The models after a reference start from its v.
    models = {"first": optimizer(0.01).discrete(problem), "a": lagged}
    assert "lagged" not in "".join(optsde.compare(models, [1.0], start=2, steps=2, n_paths=16, rng=1).notes)
    # Nothing is said where v is given, where eps is large, and where the new second moment divides.
    optsde.simulate(lagged, start, steps=2, n_paths=16, rng=1)
    optsde.simulate(optimizer(0.01, eps=0.1, ordering="lagged").discrete(problem), [1.0], steps=2, n_paths=16, rng=1)
    optsde.simulate(optimizer(0.01).discrete(problem), [1.0], steps=2, n_paths=16, rng=1)
