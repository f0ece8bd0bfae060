"""Time grids that a pilot chooses: dyadic, the same for every run of a key, and with the noise of any other grid."""

import numpy as np
import optsde
import pytest

STEEP = optsde.Langevin(optsde.losses.Quartic(0.25, 0.0, dim=1), temperature=1.0)
RULE = optsde.Adaptive(rtol=0.01, atol=0.01)


def run(rule=RULE, **options):
    observe = [optsde.Moments(at=[0.5, 4.0]), optsde.Final()]
    return optsde.simulate(
        STEEP, 20.0, **({"n_paths": 640, "t1": 4.0, "dt": rule, "rng": 7, "observe": observe} | options)
    )


def test_steps_are_dyadic_and_aligned():
    ens = run()
    lengths = np.diff(ens.grid)
    assert ens.grid[0] == 0.0
    assert ens.grid[-1] == 4.0
    assert len(ens.grid) == ens.n_steps + 1
    assert ens.dt == lengths.min()
    levels = np.log2(4.0 / lengths)
    assert np.array_equal(levels, np.rint(levels))
    assert np.array_equal(ens.grid[:-1] % lengths, np.zeros(ens.n_steps))
    # Stiff at first, slow then.
    assert lengths[:4].max() < 1e-3 < 5e-3 < lengths[-100:].min()
    assert "to" in repr(ens)
    assert np.allclose(ens.t, [0.5, 4.0], atol=lengths.max())
    assert np.array_equal(ens.grid[ens.step], ens.t)


def test_threads_shards_and_replay_give_the_same_bits():
    whole = run()
    again = run(threads=1)
    merged = optsde.merge([run(path_range=r) for r in [(0, 100), (100, 640)]])
    for other in (again, merged):
        assert np.array_equal(whole.grid, other.grid)
        assert np.array_equal(whole.final, other.final)
        assert np.array_equal(whole.mean, other.mean)
    one = whole.replay(17)
    assert np.array_equal(one.final[0], whole.final[17])
    assert one.paths.shape == (whole.n_steps + 1, 1, 1)
    assert not np.array_equal(run(rng=8).final, whole.final)


@pytest.mark.parametrize("antithetic", [False, True])
def test_the_wiener_path_is_that_of_any_grid(antithetic):
    """With constant noise and no drift the end is that of the Wiener path: the sum of its cells in another order."""
    options = {"n_paths": 64, "t1": 1.0, "wiener_dt": 2.0**-10, "rng": 7, "observe": optsde.Final()}
    equation = optsde.SDE(
        lambda t, x: np.where(t < 0.25, -20.0, 0.0) * x * (x > 1e6),
        lambda t, x: np.ones(x.shape),
        dim=2,
        noise="diagonal",
    )
    fixed = optsde.simulate(equation, [0.0, 0.0], dt=0.25, antithetic=antithetic, **options)
    chosen = optsde.simulate(equation, [0.0, 0.0], dt=optsde.Adaptive(), antithetic=antithetic, **options)
    assert chosen.n_steps != fixed.n_steps
    assert np.abs(chosen.final - fixed.final).max() < 1e-13


def test_a_smaller_tolerance_takes_more_steps():
    assert run(optsde.Adaptive(rtol=1e-3, atol=1e-3)).n_steps > 2 * run().n_steps


def test_the_error_is_controlled():
    """Against the same Wiener path on a fine grid; 0.05 is three times what is measured."""
    options = {"wiener_dt": 2.0**-13, "observe": optsde.Paths(at=[0.5, 4.0])}
    chosen, fine = run(**options).paths, run(2.0**-13, **options).paths
    assert np.sqrt(np.mean((chosen - fine) ** 2)) < 0.05
    with pytest.warns(optsde.DivergenceWarning, match="640 of 640"):
        run(2.0**-4)


def test_further_variables_and_algorithms():
    problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    adam = optsde.Adam(0.01)
    ens = optsde.simulate(adam.sde(problem), [1.0, 1.0], n_paths=64, steps=20, dt=RULE, rng=7)
    assert ens.state["v"].final.shape == (64, 2)
    with pytest.raises(ValueError, match="dt: a discrete optimizer makes its own steps"):
        optsde.simulate(adam.discrete(problem), [1.0, 1.0], steps=20, dt=RULE)


def test_rows_of_starts_stand_for_the_ensemble():
    starts = np.linspace(-20.0, 20.0, 3000)[:, None]
    ens = optsde.simulate(STEEP, starts, t1=1.0, dt=RULE, rng=7)
    assert ens.n_diverged == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observe": optsde.Moments(average_from=1.0)}, "observe: an average over time needs steps of equal length"),
        ({"observe": optsde.Autocovariance(3)}, "observe: Autocovariance needs steps of equal length"),
        ({"increments": "two_point"}, "increments: 'two_point' has no finer Wiener path"),
        ({"substeps": 2}, "dt, substeps"),
        ({"wiener_dt": 0.3}, "wiener_dt: with Adaptive expected"),
        ({"dt": optsde.Adaptive(min_dt=0.25, max_dt=0.5)}, "dt: paths of the pilot become non-finite"),
    ],
)
def test_what_does_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        run(**change)


def test_observers_that_do_not_fit_are_refused_before_the_pilot():
    def drift(t, x):
        raise AssertionError("it was called")

    equation = optsde.SDE(drift, lambda t, x: np.ones(x.shape), dim=1, noise="diagonal")
    bad = {
        "steps of equal length": optsde.FirstPassage(optsde.regions.Above(2.0)),
        "coords": optsde.Histogram(4, (0.0, 1.0), coords=3),
        r"at: expected times in \[0, 1\]": optsde.Moments(at=[0.5, 7.0]),
        "at: the run has": optsde.Moments(at=200_000),
    }
    for message, observer in bad.items():
        with pytest.raises(ValueError, match=message):
            optsde.simulate(equation, 1.0, t1=1.0, dt=RULE, observe=observer)
    with pytest.raises(MemoryError):
        optsde.simulate(equation, 1.0, n_paths=10**15, t1=1.0, dt=RULE, observe=optsde.Final())


def test_the_pilot_is_bounded():
    with pytest.raises(ValueError, match=r"dt: the pilot needs more than max_steps = 50 steps: it is at t = "):
        run(optsde.Adaptive(rtol=0.01, atol=0.01, max_steps=50))
    with pytest.raises(ValueError, match=r"max_steps: the longest steps are 8 already, got 4"):
        run(optsde.Adaptive(max_steps=4))
    steps = run().n_steps
    assert run(optsde.Adaptive(rtol=0.01, atol=0.01, max_steps=steps)).n_steps == steps


def test_the_pilot_shows_its_progress(capfd):
    run(progress=True)
    assert "optsde pilot" in capfd.readouterr().err


def test_an_interrupted_pilot_says_that_no_path_was_begun():
    def drift(t, x):
        raise KeyboardInterrupt

    equation = optsde.SDE(drift, lambda t, x: np.ones(x.shape), dim=1, noise="diagonal")
    with pytest.raises(optsde.Interrupted, match="in the pilot that chooses the steps: no path was begun") as caught:
        optsde.simulate(equation, 1.0, t1=1.0, dt=RULE)
    assert caught.value.partial is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rtol": -1.0}, "rtol"),
        ({"rtol": 0.0, "atol": 0.0}, "rtol, atol: expected at least one"),
        ({"quantile": 0.0}, "quantile"),
        ({"max_steps": 1}, "max_steps"),
        ({"max_dt": 0.1, "min_dt": 0.2}, "min_dt: expected at most max_dt"),
    ],
)
def test_bad_rules(arguments, message):
    with pytest.raises(ValueError, match=message):
        optsde.Adaptive(**arguments)


def test_exact_steps_are_not_chosen():
    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    with pytest.raises(ValueError, match="dt: the steps of ornstein_uhlenbeck are exact"):
        optsde.simulate(ou, 0.0, t1=1.0, dt=RULE, method="ornstein_uhlenbeck")
    stable = optsde.SGD(0.1).sde(optsde.Problem(optsde.losses.Quadratic([1.0]), optsde.noise.AlphaStable(1.5, 0.1)))
    with pytest.raises(ValueError, match=r"dt: Adaptive goes with method 'euler_maruyama'.*got method 'levy_euler'"):
        optsde.simulate(stable, 0.0, steps=2, dt=RULE)
