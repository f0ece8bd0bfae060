"""A run that is split in two goes on bit for bit: noise and time are addressed by absolute step."""

import dataclasses

import optsde
import pytest
from catalog import CASES, full_factor

SPLITTABLE = [name for name in CASES if not name.startswith("initial")]


def run(case, **options):
    bare = dataclasses.replace(case, options={})
    return bare.run(observe=[optsde.Final()], on_divergence="keep", **options)


@pytest.mark.parametrize("name", SPLITTABLE)
def test_split(name):
    """Nine steps, split after any number of them, odd ones too."""
    case = CASES[name]
    options = {k: v for k, v in case.options.items() if k not in ("steps", "t1", "substeps")}
    per_step = case.dynamics.time_per_step
    if "dt" in options or case.dynamics._discrete:
        dt = options.get("dt", per_step)
    else:
        dt = options["dt"] = per_step / 3

    def length(count, start):
        return {"steps": count} if case.dynamics._discrete else {"t1": (start + count) * dt}

    whole = run(case, **options, **length(9, 0))
    assert whole.n_steps == 9
    for cut in (1, 3, 4, 8):
        first = run(case, **options, **length(cut, 0))
        state = {"theta": first.final, **{name: part.final for name, part in first.state.items()}}
        rest = dataclasses.replace(case, theta0=state)
        second = run(rest, **options, **length(9 - cut, cut), t0=first.t[-1], n_paths=None)
        assert (first.n_steps, second.n_steps) == (cut, 9 - cut)
        assert second.final.tobytes() == whole.final.tobytes(), cut
        assert all(part.final.tobytes() == whole.state[name].final.tobytes() for name, part in second.state.items())
        assert second.t[-1] == pytest.approx(whole.t[-1], rel=1e-14)


@pytest.mark.parametrize("dt", [0.1, 0.003, 1 / 3, 1e-5])
@pytest.mark.parametrize("offset", [0, 7, 12_345])
def test_split_in_many_parts_away_from_zero(dt, offset):
    """Times that are no dyadic numbers, an odd number of Wiener processes, a start that is not zero."""

    def factor(t, x):
        out = full_factor(0.0, x)
        out[:, 0, 2] = 0.001 * t
        return out

    dynamics = optsde.SDE(lambda t, x: 0.001 * t - x, factor, dim=2, noise="full", n_wiener=3)
    options = {"dt": dt, "rng": 5, "observe": [optsde.Final()], "method": "milstein"}
    whole = optsde.simulate(dynamics, [0.4, -0.3], n_paths=9, t0=offset * dt, t1=(offset + 11) * dt, **options)
    state, time, done = [[0.4, -0.3]] * 9, offset * dt, offset
    for count in (1, 3, 2, 5):
        part = optsde.simulate(dynamics, state, t0=time, t1=(done + count) * dt, **options)
        state, time, done = part.final, part.t[-1], done + count
    assert state.tobytes() == whole.final.tobytes()


def test_the_second_part_has_other_noise_than_the_first():
    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    first = optsde.simulate(ou, 0.0, n_paths=100, t1=0.5, dt=0.1, rng=1)
    second = optsde.simulate(ou, 0.0, n_paths=100, t0=0.5, t1=1.0, dt=0.1, rng=1)
    assert not (first.final == second.final).any()


def test_observations_of_the_parts_are_those_of_the_whole():
    case = CASES["euler additive_full"]
    watch = [optsde.Paths(at=10), optsde.Moments(at=10, cov=True)]
    dt = 0.1 / 3
    whole = optsde.simulate(case.dynamics, case.theta0, n_paths=100, t1=9 * dt, dt=dt, rng=7, observe=watch)
    watch = [optsde.Paths(at=6), optsde.Moments(at=6, cov=True)]
    second = optsde.simulate(case.dynamics, whole.paths[4], t0=whole.t[4], t1=9 * dt, dt=dt, rng=7, observe=watch)
    assert second.paths.tobytes() == whole.paths[4:].tobytes()
    assert second.cov.tobytes() == whole.cov[4:].tobytes()
    assert second.step.tolist() == [0, 1, 2, 3, 4, 5]


def test_times_that_a_callback_sees():
    seen = []

    def drift(t, x):
        seen.append(t)
        return -x

    dynamics = optsde.SDE(drift, lambda t, x: 0.0 * x + 1.0, dim=1, noise="diagonal_coupled")
    optsde.simulate(dynamics, 0.0, t1=0.7, dt=0.1, rng=1, observe=[])
    whole, seen = list(seen), []
    optsde.simulate(dynamics, 0.0, t1=0.3, dt=0.1, rng=1, observe=[])
    first, seen = list(seen), []
    optsde.simulate(dynamics, 0.0, t0=0.1 + 0.1 + 0.1, t1=0.7, dt=0.1, rng=1, observe=[])
    assert first + seen == whole
    assert len(whole) == 7


def test_coupling_by_wiener_dt():
    """Runs with one wiener_dt and different dt see one Wiener path: without drift they end at the same place."""
    flat = optsde.SDE(lambda t, x: 0.0 * x, lambda t, x: 0.0 * x + 1.0, dim=3, noise="diagonal_coupled")
    ends = [
        optsde.simulate(flat, [0.0] * 3, n_paths=50, t1=1.2, dt=dt, wiener_dt=0.025, rng=3).final
        for dt in (0.025, 0.05, 0.1, 0.3)
    ]
    for end in ends[1:]:
        assert abs(end - ends[0]).max() < 1e-13


def test_algorithm_and_equation_share_the_path():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian([1.0, 0.5]))
    sgd = optsde.SGD(0.1)
    chain = optsde.simulate(sgd.discrete(problem), [1.0, 1.0], n_paths=70, steps=9, rng=3)
    euler = optsde.simulate(sgd.sde(problem), [1.0, 1.0], n_paths=70, steps=9, substeps=1, rng=3)
    assert abs(chain.final - euler.final).max() < 1e-14
