"""First passages against the paths themselves, and in every part of a run that they have to get through."""

import pickle
from itertools import pairwise

import numpy as np
import optsde
import pytest
from optsde import regions
from optsde.losses import DoubleWell, Quadratic
from optsde.noise import Gaussian, Minibatch, Zero

OU = optsde.OrnsteinUhlenbeck([[1.0, 0.4], [0.0, 2.0]], 0.0, 1.0)
RUN = {"n_paths": 300, "t1": 2.0, "dt": 0.05, "rng": 3}
START = [0.3, -0.2]


def run(*observers, dynamics=OU, start=START, **options):
    return optsde.simulate(dynamics, start, **RUN | {"observe": list(observers)} | options)


def from_paths(region, t, paths):
    """Times and places of the first passages of paths (T, n, d), by looking at all of them."""
    inside = np.stack([region(x) for x in paths.astype(float)])
    arrived, first = inside.any(axis=0), inside.argmax(axis=0)
    times = np.where(arrived, t[first], np.inf)
    places = np.where(arrived[:, None], paths[first, np.arange(len(first))], np.nan)
    return times, places


REGIONS = [
    regions.Above(0.6),
    regions.Above(0.1, coord=1),
    regions.Below(-0.4, coord=1),
    regions.Inside([0.5, 0.5], 0.3),
    regions.Inside(0.0, 0.2),
    regions.Outside([0.2, 0.0], 0.9),
    regions.Outside(0.0, 0.1),
]


@pytest.mark.parametrize("region", REGIONS, ids=repr)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_step(region, dtype):
    watch = [
        optsde.FirstPassage(region, bridge=False),
        optsde.FirstPassage(lambda x: region(x), name="callable"),
        optsde.Paths(at=41),
    ]
    ens = run(*watch, dtype=dtype)
    times, places = from_paths(region, ens["paths"].t, ens.paths)
    for name in ("first_passage", "callable"):
        found = ens[name]
        assert found.times.tolist() == times.tolist()
        np.testing.assert_array_equal(found.places, places)
        assert found.places.dtype == ens.paths.dtype
        assert found.n_censored == np.isinf(times).sum()
        arrived = times[np.isfinite(times)]
        assert found.mean == pytest.approx(arrived.mean())
        if len(np.unique(arrived)) > 1:
            assert found.stderr == pytest.approx(arrived.std(ddof=1) / np.sqrt(len(arrived)))
        if np.minimum(times, 2.0).sum() > 0.0:
            assert found.rate == pytest.approx(len(arrived) / np.minimum(times, 2.0).sum())
            assert found.rate_stderr == pytest.approx(found.rate / np.sqrt(len(arrived)))
        assert (found.t.tolist(), found.step.tolist()) == ([0.0, 2.0], [0, 40])


def test_start_in_the_region_and_t0():
    found = run(optsde.FirstPassage(regions.Above(0.3)), t0=1.0)["first_passage"]
    assert (found.times == 1.0).all()
    assert (found.places == START).all()
    assert np.isnan(found.rate)


def test_algorithm_arrives_at_a_step():
    problem = optsde.Problem(Quadratic([1.0]), Zero())
    # 0.9^k <= 0.5 from k = 7 on.
    ens = optsde.simulate(
        optsde.SGD(0.1).discrete(problem), 1.0, steps=20, n_paths=3, observe=optsde.FirstPassage(regions.Below(0.5))
    )
    found = ens["first_passage"]
    assert found.times.tolist() == pytest.approx([0.7] * 3)
    np.testing.assert_allclose(found.places, 0.9**7)
    assert found.n_censored == 0


def test_between_steps_the_place_is_on_the_level():
    region = regions.Above(0.6)
    ens = run(optsde.FirstPassage(region), optsde.FirstPassage(region, bridge=False, name="steps"), optsde.Paths(at=41))
    found, late = ens["first_passage"], ens["steps"]
    assert (found.times <= late.times).all()
    assert found.n_censored <= late.n_censored
    arrived = np.isfinite(found.times)
    assert 30 < arrived.sum() < 300
    assert (found.places[arrived, 0] == 0.6).all()
    assert np.isnan(found.places[~arrived]).all()
    # The other coordinate lies between those of the two steps.
    step = np.floor(found.times[arrived] / 0.05).astype(int)
    ends = np.stack([ens.paths[step + k, arrived, 1] for k in (0, 1)])
    other = found.places[arrived, 1]
    assert ((ends.min(axis=0) - 1e-9 <= other) & (other <= ends.max(axis=0) + 1e-9)).all()
    assert len(np.unique(found.times[arrived] % 0.05)) > 0.9 * arrived.sum()


DIFFUSIONS = {
    "additive full": optsde.OrnsteinUhlenbeck(np.eye(2), 0.0, [[1.0, 0.3], [0.3, 0.5]]),
    "diagonal": optsde.SGD(0.3).sde(optsde.Problem(Quadratic(np.eye(2)), optsde.noise.AffineDiagonal(1.0, 0.5))),
    "scheduled": optsde.SGD(optsde.schedules.InverseTime(0.3, rate=0.1)).sde(
        optsde.Problem(Quadratic(np.eye(2)), Gaussian([[1.0, 0.3], [0.3, 0.5]]))
    ),
    "minibatch": optsde.SGD(0.3).sde(
        optsde.Problem(optsde.losses.LinearRegression(np.eye(4)[:, :2] + 0.3, [1.0, -1.0, 0.5, 0.2]), Minibatch())
    ),
    "momentum": optsde.SGD(0.3, momentum=0.5).sde(optsde.Problem(Quadratic(np.eye(2)), Gaussian(1.0))),
    "adam": optsde.Adam(0.1).sde(optsde.Problem(Quadratic(np.eye(2)), Gaussian(1.0))),
    "sign": optsde.SignSGD(0.1).sde(optsde.Problem(Quadratic(np.eye(2)), Gaussian(1.0))),
    "callback": optsde.SDE(lambda t, x: -x, lambda t, x: 1.0 + 0.0 * x, dim=2, noise="diagonal"),
}


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_every_kind_of_diffusion(name):
    region = regions.Above(0.4)
    dt = (DIFFUSIONS[name].time_per_step or 0.1) / 4
    watch = [optsde.FirstPassage(region), optsde.FirstPassage(region, bridge=False, name="steps")]
    ens = run(*watch, dynamics=DIFFUSIONS[name], t1=80 * dt, dt=dt)
    found, late = ens["first_passage"], ens["steps"]
    assert (found.times <= late.times).all()
    assert np.isfinite(found.times).any()
    if name not in ("momentum", "adam"):  # whose parameters have no noise of their own
        assert (found.times < late.times - 1.01 * dt).any()


def test_exact_steps_of_a_finer_wiener_path():
    region, options = regions.Above(0.6), {"method": "ornstein_uhlenbeck", "wiener_dt": 0.025}
    found = run(optsde.FirstPassage(region, bridge=False), **options)["first_passage"]
    fine = run(optsde.FirstPassage(region, bridge=False), optsde.Paths(at=81), **options | {"dt": 0.025})
    np.testing.assert_allclose(found.times, fine["first_passage"].times, rtol=1e-14)


def test_same_bits_however_cut_and_however_observed():
    watch = [optsde.FirstPassage(regions.Above(0.6)), optsde.FirstPassage(regions.Outside(0.0, 1.5), name="far")]
    whole = run(*watch, n_paths=900)
    others = [run(*watch, n_paths=900, threads=threads) for threads in (2, 5)]
    others.append(run(*watch, optsde.Moments(at=3), n_paths=900))
    others.append(run(*watch, optsde.Expectation(lambda x: x[:, 0], "x"), n_paths=900))
    cuts = ((300, 900), (0, 13), (13, 300))
    parts = [pickle.loads(pickle.dumps(run(*watch, n_paths=900, path_range=ends))) for ends in cuts]
    for other in (*others, optsde.merge(parts)):
        for name in ("first_passage", "far"):
            for field in ("times", "places", "mean", "stderr", "rate"):
                one, two = (np.asarray(getattr(ens[name], field)) for ens in (whole, other))
                assert one.tobytes() == two.tobytes(), (name, field)


def test_a_block_ends_with_its_last_arrival():
    done = []
    early = run(optsde.FirstPassage(regions.Above(0.25)), t1=200.0, threads=1, progress=lambda *n: done.append(n))
    assert early["first_passage"].n_censored == 0
    assert early._raw["path_steps"] < 0.5 * 300 * 4000
    assert done[-1] == (300 * 4000, 300 * 4000)
    assert early.n_steps == 4000
    assert run(optsde.FirstPassage(regions.Above(0.25)), optsde.Final())._raw["path_steps"] == 300 * 40
    assert run(observe=[])._raw["path_steps"] == 300 * 40


def test_one_level_is_reached_before_a_farther_one():
    levels = [0.4, 0.5, 0.6, 0.8]
    ens = run(*(optsde.FirstPassage(regions.Above(level), name=str(level)) for level in levels), n_paths=2000)
    for near, far in pairwise(levels):
        assert ens[str(near)].n_censored < ens[str(far)].n_censored
        # Within one step the times are drawn apart.
        assert (ens[str(near)].times <= ens[str(far)].times + 0.05).all()


QUARTIC = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
UNSTABLE = {"dynamics": QUARTIC, "start": [0.0, 0.1], "t1": 3.0, "dt": 0.15, "n_paths": 500}


def test_diverged_paths_are_left_out():
    watch = optsde.FirstPassage(regions.Above(0.5)), optsde.Final()
    with pytest.warns(optsde.DivergenceWarning):
        ens = run(*watch, **UNSTABLE)
    found, lost = ens["first_passage"], np.isnan(ens.final[:, 0])
    assert 0 < lost.sum() < 500
    assert (np.isnan(found.times) == lost).all()
    assert np.isnan(found.places[lost]).all()
    assert found.n_censored == np.isinf(found.times).sum()


def test_what_comes_after_arrival_does_not_count():
    with pytest.warns(optsde.DivergenceWarning):
        ens = run(optsde.FirstPassage(regions.Above(0.5)), **UNSTABLE)
    with pytest.warns(optsde.DivergenceWarning):
        whole = run(optsde.FirstPassage(regions.Above(0.5)), optsde.Final(), **UNSTABLE)
    assert 0 < ens.n_diverged < whole.n_diverged
    both = ~np.isnan(whole["first_passage"].times)
    assert (ens["first_passage"].times[both] == whole["first_passage"].times[both]).all()
    for threads in (1, 3):
        with pytest.warns(optsde.DivergenceWarning):
            again = run(optsde.FirstPassage(regions.Above(0.5)), **UNSTABLE, threads=threads)
        assert again.n_diverged == ens.n_diverged
        assert again["first_passage"].times.tobytes() == ens["first_passage"].times.tobytes()


def test_infinity_is_no_place():
    observers = optsde.FirstPassage(regions.Above(1e6)), optsde.FirstPassage(regions.Outside(0.0, 1e6), name="far")
    with pytest.warns(optsde.DivergenceWarning):
        ens = run(*observers, **UNSTABLE)
    for name in ("first_passage", "far"):
        arrived = np.isfinite(ens[name].times)
        assert np.isfinite(ens[name].places[arrived]).all()


def test_places_of_further_variables_and_functions_of_them():
    dynamics = DIFFUSIONS["momentum"]
    watch = [
        optsde.FirstPassage(lambda s: s["v"][:, 0] > 0.1, state=True),
        optsde.Paths(at=41),
    ]
    ens = run(*watch, dynamics=dynamics)
    velocities = ens.state["v"].paths
    times, places = from_paths(lambda v: v[:, 0] > 0.1, ens["paths"].t, velocities)
    found = ens.state["v"]["first_passage"]
    assert found.times.tolist() == times.tolist() == ens["first_passage"].times.tolist()
    np.testing.assert_array_equal(found.places, places)
    assert np.isfinite(times).any()


def test_interrupted_run_keeps_what_was_finished():
    looks = []

    def region(x):
        looks.append(len(x))
        if len(looks) > 50:
            raise KeyboardInterrupt
        return x[:, 0] > 0.6

    with pytest.raises(optsde.Interrupted) as caught:
        run(optsde.FirstPassage(region), n_paths=30_000, threads=1)
    partial = caught.value.partial
    found = partial["first_passage"]
    assert 0 < partial.n_finished < 30_000
    assert found.times.shape == (partial.n_finished,)
    assert found.places.shape == (partial.n_finished, 2)
    whole = run(optsde.FirstPassage(regions.Above(np.nextafter(0.6, 1)), bridge=False), n_paths=30_000)["first_passage"]
    assert (found.times == whole.times[partial.path_index]).all()


def test_regions_are_functions():
    x = np.random.default_rng(1).normal(size=(50, 2))
    assert (regions.Above(0.2)(x) == (x[:, 0] >= 0.2)).all()
    assert (regions.Below(0.2, coord=1)(x) == (x[:, 1] <= 0.2)).all()
    assert (regions.Inside([0.1, 0.2], 1.0)(x) == (((x - [0.1, 0.2]) ** 2).sum(axis=1) <= 1.0)).all()
    assert (regions.Outside(0.0, 1.0)(x) == ((x**2).sum(axis=1) >= 1.0)).all()
    for region in REGIONS:
        assert pickle.loads(pickle.dumps(region)) == region
        assert pickle.loads(pickle.dumps(optsde.FirstPassage(region))) == optsde.FirstPassage(region)


ALGORITHM = optsde.SGD(0.1).discrete(optsde.Problem(DoubleWell(dim=2), Gaussian(1.0)))
FLOW = optsde.SGD(0.1).flow(optsde.Problem(DoubleWell(dim=2), Gaussian(1.0)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optsde.FirstPassage(3), TypeError, "region: expected a region .* got int"),
        (lambda: optsde.FirstPassage(regions.Above), TypeError, "region: .* got the class Above"),
        (lambda: optsde.FirstPassage(regions.Inside(0.0, 1.0), bridge=True), ValueError, "bridge: goes with"),
        (lambda: optsde.FirstPassage(len, bridge=True), ValueError, "bridge: goes with"),
        (lambda: optsde.FirstPassage(regions.Above(0), bridge=1), TypeError, "bridge: expected True or False"),
        (lambda: optsde.FirstPassage(regions.Above(0), state=True), ValueError, "state: goes with a function"),
        (lambda: regions.Above("a"), TypeError, "level: "),
        (lambda: regions.Above(np.inf), ValueError, "level: expected finite"),
        (lambda: regions.Above(0.0, coord=-1), ValueError, "coord: "),
        (lambda: regions.Inside(0.0, 0.0), ValueError, "radius: expected a positive"),
        (lambda: regions.Outside([[0.0]], 1.0), ValueError, "center: "),
        (lambda: regions.Above(0.0)([1.0]), ValueError, "theta: expected states"),
        (lambda: run(optsde.FirstPassage(regions.Above(0.0, coord=2))), ValueError, "coord: .* below 2, got 2"),
        (lambda: run(optsde.FirstPassage(regions.Inside([0.0] * 3, 1.0))), ValueError, "center: expected 2"),
        (
            lambda: optsde.simulate(
                ALGORITHM, START, steps=3, observe=optsde.FirstPassage(regions.Above(0.0), bridge=True)
            ),
            ValueError,
            "bridge: an algorithm",
        ),
        (
            lambda: optsde.simulate(FLOW, START, steps=3, observe=optsde.FirstPassage(regions.Above(0.0), bridge=True)),
            ValueError,
            "bridge: noise of kind 'none'",
        ),
        (
            lambda: run(optsde.FirstPassage(regions.Above(0.0), bridge=True), increments="two_point"),
            ValueError,
            "bridge: increments 'two_point'",
        ),
        (lambda: run(optsde.FirstPassage(lambda x: x[:, 0])), TypeError, "region: .*dtype float64, expected bool"),
        (lambda: run(optsde.FirstPassage(lambda x: x > 0)), ValueError, r"region: .*shape \(300, 2\), expected"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


def test_memory_is_asked_for_first():
    with pytest.raises(MemoryError, match=r"observe: the results need .*first_passage"):
        run(optsde.FirstPassage(regions.Above(0.0)), n_paths=10**12)


@pytest.mark.parametrize("noise", [lambda t, x: 0.5 * np.sqrt(1.0 + x**2), lambda t, x: np.sqrt(4.0 - x)])
def test_diverged_paths_are_no_arrivals_where_the_noise_varies(noise):
    """The variance at a state that is no number is none, which must not pass for the mark of an arrival."""
    equation = optsde.SDE(lambda t, x: np.abs(x) ** 3, noise, dim=1, noise="diagonal")
    options = {"start": [1.0], "on_divergence": "keep"}
    with np.errstate(all="ignore"):
        bridged, looked = (
            run(optsde.FirstPassage(regions.Below(-50.0), bridge=bridge), dynamics=equation, **options)
            for bridge in (True, False)
        )
    assert bridged.n_diverged == looked.n_diverged > 150
