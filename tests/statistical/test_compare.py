"""Comparisons of models against exact answers: means, differences, their standard errors, and what makes them small."""

import numpy as np
import optsde
import pytest
from problems import (
    MULTIPLICATIVE,
    TWO_DIM_COV,
    TWO_DIM_FINAL,
    TWO_DIM_H,
    TWO_DIM_MEAN,
    TWO_DIM_START,
    affine_recursion,
    assert_agrees,
    assert_rejected,
    full,
    ou_moments,
    sgd_moments,
)
from scipy.stats import chi2

SGD = optsde.SGD(0.1)
LINEAR = optsde.Problem(optsde.losses.Quadratic(2.0, dim=1), optsde.noise.Gaussian(2.25))
PLANE = optsde.Problem(optsde.losses.Quadratic(TWO_DIM_H), optsde.noise.Gaussian(TWO_DIM_COV))
AFFINE = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
WELL = optsde.Problem(optsde.losses.DoubleWell(), optsde.noise.Gaussian(1.0, dim=1))


def models(problem, opt=SGD, flow=False):
    found = {"SGD": opt.discrete(problem), "SDE": opt.sde(problem)}
    return found | ({"flow": opt.flow(problem)} if flow else {})


def pairs(cmp, function, place=-1):
    """(mean, stderr) of SGD and SDE, and the difference."""
    parts = [(cmp.mean[m][function][place], cmp.stderr[m][function][place]) for m in ("SGD", "SDE")]
    return [*parts, (cmp.difference["SDE"][function][place], cmp.difference_stderr["SDE"][function][place])]


@pytest.mark.parametrize("variates", [True, False])
def test_oracle_a(variates):
    times = np.array([0.2, 0.5, 1.0])
    cmp = optsde.compare(
        models(LINEAR), 1.0, steps=10, at=times, n_paths=100_000, rng=1,
        test_functions=("theta", "theta2"), control_variates=variates,
    )  # fmt: skip
    np.testing.assert_array_equal(cmp.step, [2, 5, 10])
    for place, t in enumerate(times):
        m, v = (float(a.squeeze()) for a in sgd_moments(2.0, 2.25, 0.1, 1.0, cmp.step[place]))
        mean, var = (float(a.squeeze()) for a in ou_moments(2.0, 0.225, 1.0, t))
        exact = {"theta": (m, mean), "theta2": (m**2 + v, mean**2 + var)}
        for function, (algorithm, model) in exact.items():
            for (estimate, stderr), known in zip(
                pairs(cmp, function, place), (algorithm, model, model - algorithm), strict=True
            ):
                assert_agrees(estimate, stderr, known)
            # Swapped answers do not pass.
            estimate, stderr = pairs(cmp, function, place)[2]
            if abs(model - algorithm) > 10 * stderr:
                assert_rejected(estimate, stderr, algorithm - model)
    assert bool(cmp.control_variates) == variates
    assert not np.any(cmp.integrator_error["SDE"]["theta"])


@pytest.mark.parametrize("variates", [True, False])
def test_oracle_b(variates):
    def product(state):
        return state["theta"][:, 0] * state["theta"][:, 1]

    functions = {"first": lambda state: state["theta"][:, 0], "product": product, "theta2": "theta2", "loss": "loss"}
    cmp = optsde.compare(
        models(PLANE), TWO_DIM_START, steps=10, n_paths=100_000, rng=2,
        test_functions=functions, control_variates=variates,
    )  # fmt: skip
    exact = []
    for k in (0, 1):
        mean = np.array(TWO_DIM_MEAN[k])
        second = full(TWO_DIM_FINAL[k]) + np.outer(mean, mean)
        exact.append((mean[0], second[0, 1], np.trace(second) / 2, np.sum(TWO_DIM_H * second) / 2))
    for function, algorithm, model in zip(functions, *exact, strict=True):
        for (estimate, stderr), known in zip(pairs(cmp, function), (algorithm, model, model - algorithm), strict=True):
            # The published digits end at 1e-10.
            assert_agrees(estimate, np.hypot(stderr, 1e-10), known)
        assert_rejected(*pairs(cmp, function)[2], 0.0)


@pytest.mark.parametrize("variates", [True, False])
def test_oracle_c(variates):
    for lr, algorithm, model, _ in MULTIPLICATIVE[:2]:
        cmp = optsde.compare(
            models(AFFINE, optsde.SGD(lr)), 1.0, t1=1.0, n_paths=200_000, rng=3,
            test_functions="theta2", control_variates=variates,
        )  # fmt: skip
        for (estimate, stderr), known in zip(pairs(cmp, "theta2"), (algorithm, model, model - algorithm), strict=True):
            # The integrator is extrapolated: what it leaves is far below these errors.
            assert_agrees(estimate, stderr, known)
        assert_rejected(*pairs(cmp, "theta2")[2], 0.0)
        assert "extrapolated" in cmp.schemes["SDE"]


@pytest.mark.parametrize(("runs", "paths", "variates"), [(120, 600, False), (60, 8192, True)])
def test_standard_errors_are_honest(runs, paths, variates):
    exact = np.array([MULTIPLICATIVE[0][1], MULTIPLICATIVE[0][2], MULTIPLICATIVE[0][2] - MULTIPLICATIVE[0][1]])
    z = []
    for k in range(runs):
        cmp = optsde.compare(models(AFFINE), 1.0, steps=10, n_paths=paths, rng=100 + k, test_functions="theta2")
        assert bool(cmp.control_variates) == variates
        z.append([(e - known) / s for (e, s), known in zip(pairs(cmp, "theta2"), exact, strict=True)])
    z = np.array(z)
    low, high = chi2.ppf([1e-7, 1 - 1e-7], runs) / runs
    spread = np.square(z).mean(axis=0)
    # The tails of the values widen z a little.
    assert (spread > 0.95 * low).all() and (spread < 1.1 * high).all(), spread
    assert (np.abs(z.mean(axis=0)) < 5.4 / np.sqrt(runs)).all()


def test_integrator_error_is_what_it_says():
    """Euler-Maruyama's expectation in 64 substeps is known exactly, and so is its error."""
    exact = MULTIPLICATIVE[0][2]
    cmp = optsde.compare(
        models(AFFINE), 1.0, steps=10, n_paths=400_000, rng=4, test_functions="theta2", extrapolate=False
    )
    substeps = int(cmp.schemes["SDE"].split()[1])
    scheme = affine_recursion(1.0, 0.1 * 0.25, 0.1, 0.1 / substeps, 10 * substeps, 1.0)[0]
    assert_agrees(cmp.mean["SDE"]["theta2"][0], cmp.stderr["SDE"]["theta2"][0], scheme, wrong=[exact + 1e-3])
    error, doubt = (part["SDE"]["theta2"][0] for part in (cmp.integrator_error, cmp.integrator_error_stderr))
    assert abs(error - (scheme - exact)) < 5.5 * doubt + 0.1 * abs(scheme - exact)
    # What is left is above the standard error, and the comparison says so.
    assert any("integrator" in note for note in cmp.notes)
    better = optsde.compare(
        models(AFFINE), 1.0, steps=10, n_paths=400_000, rng=4, test_functions="theta2", extrapolate=True
    )
    assert_agrees(better.mean["SDE"]["theta2"][0], better.stderr["SDE"]["theta2"][0], exact)
    assert not better.notes


def test_coupling_pays():
    kwargs = {"steps": 10, "n_paths": 20_000, "rng": 5, "test_functions": "theta2", "control_variates": False}
    together = optsde.compare(models(AFFINE), 1.0, **kwargs)
    apart = optsde.compare(models(AFFINE), 1.0, couple=False, **kwargs)
    exact = MULTIPLICATIVE[0][2] - MULTIPLICATIVE[0][1]
    assert_agrees(*pairs(together, "theta2")[2], exact)
    assert_agrees(*pairs(apart, "theta2")[2], exact)
    assert pairs(apart, "theta2")[2][1] > 4 * pairs(together, "theta2")[2][1]
    # Independent means: their variances add up.
    first, second, difference = pairs(apart, "theta2")
    assert difference[1] == pytest.approx(np.hypot(first[1], second[1]), rel=0.03)


def test_control_variates_pay_where_the_loss_is_no_parabola():
    kwargs = {"steps": 20, "n_paths": 40_000, "rng": 6, "at": 5}
    opt = optsde.SGD(0.05)
    with_twin = optsde.compare(models(WELL, opt), 1.2, **kwargs)
    plain = optsde.compare(models(WELL, opt), 1.2, control_variates=False, **kwargs)
    assert set(with_twin.control_variates) == {"theta", "loss"}
    assert plain.control_variates == {}
    for function in ("theta", "loss"):
        for (a, s), (b, r) in zip(pairs(with_twin, function), pairs(plain, function), strict=True):
            # One noise in both: they differ by less than the larger error.
            assert abs(a - b) < 5.5 * r
            assert s < r
        assert pairs(with_twin, function)[0][1] < pairs(plain, function)[0][1] / 4


@pytest.mark.parametrize("dim", [2, 5])
def test_controls_have_expectation_zero(dim):
    """Through the regression: means of a linear problem are exact to rounding, in few and in many dimensions."""
    h, cov = np.eye(dim) + 0.3, 0.2 * np.eye(dim) + 0.05
    problem = optsde.Problem(optsde.losses.Quadratic(h, center=0.5), optsde.noise.Gaussian(cov), batch_size=2)
    start = np.linspace(-1.0, 1.0, dim)
    cmp = optsde.compare(
        models(problem), start, steps=8, n_paths=10_000, rng=7, at=4, test_functions=("theta", "theta2", "loss")
    )
    for place, step in enumerate(cmp.step):
        off, var = sgd_moments(h, cov / 2, 0.1, start - 0.5, int(step))
        mean, second = off + 0.5, var + np.outer(off, off)
        exact = (mean.mean(), (np.trace(var) + mean @ mean) / dim, np.sum(h * second) / 2)
        for function, known in zip(cmp.functions, exact, strict=True):
            assert cmp.mean["SGD"][function][place] == pytest.approx(known, rel=1e-9)


def test_law_of_the_start():
    law = optsde.initial.Gaussian(1.0, 0.5)
    cmp = optsde.compare(models(LINEAR), law, steps=10, n_paths=50_000, rng=8, test_functions=("theta", "theta2"))
    m, v = (float(a.squeeze()) for a in sgd_moments(2.0, 2.25, 0.1, 1.0, 10))
    left = (1 - 0.2) ** 20 * 0.5
    assert_agrees(*pairs(cmp, "theta")[0], m)
    assert_agrees(*pairs(cmp, "theta2")[0], m**2 + v + left, wrong=[m**2 + v])


def test_start_hands_over_the_state_of_each_path():
    kwargs = {"n_paths": 3000, "rng": 9, "test_functions": ("theta", "theta2"), "control_variates": False}
    whole = optsde.compare(models(AFFINE), 1.0, steps=12, at=[1.2], **kwargs)
    later = optsde.compare(models(AFFINE), 1.0, steps=7, start=5, at=[0.5, 1.2], **kwargs)
    np.testing.assert_array_equal(later.step, [5, 12])
    np.testing.assert_allclose(later.t, [0.5, 1.2])
    for function in later.functions:
        # The reference goes on bit for bit; the models begin where it is.
        assert later.mean["SGD"][function][1] == whole.mean["SGD"][function][0]
        assert later.difference["SDE"][function][0] == 0.0
        assert abs(later.difference["SDE"][function][1]) < abs(whole.difference["SDE"][function][0])
    # E x² of the equation from E x² of the algorithm.
    middle = later.mean["SGD"]["theta2"][0]
    rate = 2 * 1.0 - 0.1
    exact = middle * np.exp(-rate * 0.7) + 0.1 * 0.25 * (1 - np.exp(-rate * 0.7)) / rate
    assert_agrees(later.mean["SDE"]["theta2"][1], later.stderr["SDE"]["theta2"][1], exact)


def test_start_hands_over_every_variable():
    """Momentum: an equation stepped like the algorithm goes on from position and velocity."""
    opt = optsde.SGD(0.04, momentum=0.6)
    both = {"algorithm": opt.discrete(AFFINE), "again": opt.discrete(AFFINE), "SDE": opt.sde(AFFINE)}
    cmp = optsde.compare(both, 1.0, steps=6, start=4, n_paths=2000, rng=10, test_functions=("theta", "v"), at=3)
    for function in ("theta", "v"):
        np.testing.assert_array_equal(cmp.difference["again"][function], 0.0)
        assert cmp.difference["SDE"][function][0] == 0.0
        assert cmp.difference["SDE"][function][2] != 0.0
    assert cmp.mean["algorithm"]["v"][0] != 0.0


def test_rates_whose_steps_fall_together():
    slow = optsde.SGD(0.05)
    both = {"fast": SGD.discrete(LINEAR), "slow": slow.discrete(LINEAR), "SDE": SGD.sde(LINEAR)}
    cmp = optsde.compare(both, 1.0, steps=10, n_paths=50_000, rng=11, test_functions="theta", at=3)
    np.testing.assert_array_equal(cmp.step, [0, 5, 10])
    for name, lr in (("fast", 0.1), ("slow", 0.05)):
        exact = [(1 - 2 * lr) ** round(t / lr) for t in cmp.t]
        assert_agrees(cmp.mean[name]["theta"], cmp.stderr[name]["theta"], exact)
    # One Wiener path: half the step is nearer to the equation, path by path.
    plain = optsde.compare(
        both, 1.0, steps=10, n_paths=5000, rng=11, test_functions="theta", reference="SDE", control_variates=False
    )
    assert plain.difference_stderr["slow"]["theta"][0] < plain.stderr["slow"]["theta"][0] / 2


def test_number_of_paths_is_chosen_to_resolve_the_difference():
    cmp = optsde.compare(models(LINEAR, flow=True), 1.0, steps=10, rng=12, test_functions=("theta", "theta2"))
    for model in ("SDE", "flow"):
        for function in cmp.functions:
            size = np.abs(cmp.difference[model][function][0])
            assert cmp.difference_stderr[model][function][0] <= size / 10
    assert "tenth" in cmp.notes[0]
    assert cmp.n_paths >= 4096
    few = optsde.compare(models(LINEAR), 1.0, steps=10, rng=12, test_functions="theta2", max_paths=5000)
    assert few.n_paths == 5000
    assert "budget" in few.notes[0]
    # Symmetric: there is no difference, and no number of paths resolves it.
    none = optsde.compare(models(WELL), 0.0, steps=4, rng=12, test_functions="theta", max_paths=20_000)
    assert none.n_paths == 20_000
    assert "not resolved" in none.notes[0]


def test_flow_has_no_noise():
    cmp = optsde.compare(models(LINEAR, flow=True), 1.0, steps=10, n_paths=5000, rng=13, at=3)
    np.testing.assert_array_equal(cmp.stderr["flow"]["theta"], 0.0)
    np.testing.assert_allclose(cmp.mean["flow"]["theta"], np.exp(-2 * cmp.t), rtol=1e-9)


def test_paths_that_diverge_in_one_model_are_left_out_of_all():
    quartic = optsde.Problem(optsde.losses.Quartic(), optsde.noise.Gaussian(1.0, dim=1))
    both = models(quartic, optsde.SGD(0.5))
    rows = np.linspace(-2.4, 2.4, 2000)[:, None]
    with pytest.warns(optsde.DivergenceWarning, match="left out of all models"):
        cmp = optsde.compare(both, rows, steps=30, rng=14, test_functions=("theta2", "loss"), at=4)
    assert 0 < cmp.n_left_out < 2000
    # Coarse steps of the equation may lose a path or two as well.
    assert cmp.n_diverged["SDE"] < 5 < cmp.n_diverged["SGD"]
    assert cmp.n_diverged["SGD"] <= cmp.n_left_out <= cmp.n_diverged["SGD"] + cmp.n_diverged["SDE"]
    assert cmp.n_paths == 2000
    assert "conditional on survival" in repr(cmp)
    for function in cmp.functions:
        assert np.isfinite(cmp.mean["SGD"][function]).all()
        gap = cmp.mean["SDE"][function] - cmp.mean["SGD"][function]
        np.testing.assert_allclose(cmp.difference["SDE"][function], gap, rtol=1e-10, atol=1e-13)
    # The start of the survivors alone, in both models.
    assert cmp.mean["SGD"]["theta2"][0] == cmp.mean["SDE"]["theta2"][0] < np.mean(rows**2)


def test_all_diverge():
    quartic = optsde.Problem(optsde.losses.Quartic(), optsde.noise.Gaussian(1.0, dim=1))
    with pytest.warns(optsde.DivergenceWarning, match="600 of 600"):
        cmp = optsde.compare(models(quartic, optsde.SGD(0.5)), 9.0, steps=30, n_paths=600, rng=15)
    assert np.isnan(cmp.mean["SDE"]["theta"]).all()
    assert np.isnan(cmp.difference["SDE"]["loss"]).all()
    assert "nan" in repr(cmp)
