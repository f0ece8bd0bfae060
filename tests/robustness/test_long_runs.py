"""Runs of 10^9 steps and more: times exact to rounding, noise that never repeats, memory that stays, Ctrl-C heard."""

import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import optsde
import pytest
from optsde._grid import observed_steps, time_grid
from programs import PEAK

TRILLION = 10**12
H = 1 / 16
OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1)


def exact_times(t0, t1, n_steps, steps):
    begin, end = Fraction(float(t0)), Fraction(float(t1))
    return [begin + int(k) * (end - begin) / n_steps for k in steps]


def assert_rounded(times, exact):
    """Two roundings of the distance from the start and one of the sum."""
    assert len(times) == len(exact)
    for got, wanted in zip(times, exact, strict=True):
        assert abs(Fraction(float(got)) - wanted) <= Fraction(2.0**-51) * abs(wanted), (got, float(wanted))


@pytest.mark.parametrize(("t0", "t1", "dt"), [(0.0, 1e11, 0.1), (0.0, 7e10, 0.07), (3e9, 1.03e11, 0.1)])
def test_times_of_steps(t0, t1, dt):
    grid = time_grid(OU, None, t1, t0, dt, None, None)
    assert grid.n_steps == TRILLION
    far = np.random.default_rng(1).integers(10**9, TRILLION, size=200)
    steps = np.sort(np.concatenate([far, [0, 1, 10**9 - 1, 10**9, 10**9 + 1, TRILLION - 1, TRILLION]]))
    times = grid.times(steps)
    assert_rounded(times, exact_times(t0, grid.t1, TRILLION, steps))
    assert (np.diff(times) > 0).all()
    # and back: the step that is nearest to a time
    np.testing.assert_array_equal(observed_steps(times, grid), steps)


@pytest.mark.parametrize(
    ("first", "dt"), [(10**9, 0.1), (10**9, 2.0**-6), (TRILLION, 2.0**-6), (2**40 + 3, 1.0)], ids=str
)
def test_times_that_a_drift_sees(first, dt):
    seen = []

    def drift(t, x):
        seen.append(t)
        return -x

    equation = optsde.SDE(drift, lambda t, x: np.ones_like(x), dim=1, noise="diagonal")
    t0, n_steps = first * dt, 10
    ens = optsde.simulate(
        equation, 0.5, t1=t0 + n_steps * dt, t0=t0, dt=dt, rng=1, observe=optsde.Paths(at=n_steps + 1)
    )
    exact = exact_times(t0, t0 + n_steps * dt, n_steps, range(n_steps + 1))
    assert_rounded(sorted(set(seen)), exact[:-1])
    assert_rounded(ens.t, exact)


def late_states(first, n_steps, start=0.5, dt=H):
    t0 = first * dt
    return optsde.simulate(
        OU, start, t0=t0, t1=t0 + n_steps * dt, dt=dt, n_paths=3, rng=1, observe=optsde.Final()
    ).final


def test_noise_of_late_steps_is_new():
    """No index wraps: neither at 32 bits nor anywhere else below 2^50."""
    firsts = [0, *(2**k for k in range(28, 51)), 10**9, TRILLION]
    states = np.array([late_states(first, 1)[:, 0] for first in firsts])
    assert len(np.unique(states)) == states.size


@pytest.mark.parametrize("first", [2**32 - 20, 10**9, TRILLION])
def test_late_runs_continue(first):
    whole = late_states(first, 40)
    halves = late_states(first + 20, 20, start=late_states(first, 20))
    assert whole.tobytes() == halves.tobytes()


@pytest.mark.parametrize("first", [10**9, TRILLION])
def test_late_runs_between_steps_continue(first):
    """A start in the middle of a step takes the same noise in one run and in two."""
    whole = late_states(first + 0.5, 2)
    halves = late_states(first + 1.5, 1, start=late_states(first + 0.5, 1))
    assert whole.tobytes() == halves.tobytes()


def test_averages_of_a_long_run():
    """Against the exact law of the chain, x' = (1 - h) x + √(2h) z; false alarm 1e-8 in all."""
    n_paths, n_steps, lags = 16, 1_000_000, 4
    ens = optsde.simulate(
        OU,
        0.0,
        n_paths=n_paths,
        t1=n_steps * H,
        dt=H,
        rng=11,
        observe=[optsde.Moments(average_from=10.0), optsde.Autocovariance(lags, average_from=10.0)],
    )
    total = n_paths * n_steps
    lag = np.arange(-2000, 2001)
    gamma = (1 - H) ** np.abs(lag) / (1 - H / 2)
    assert abs(ens.mean[0, 0]) < 6 * np.sqrt(gamma.sum() / total)
    found = ens["autocovariance"].autocovariance[:, 0]
    for k in range(lags + 1):
        # Bartlett's formula
        error = np.sqrt(np.sum(gamma**2 + np.roll(gamma, k) * np.roll(gamma, -k)) / total)
        assert abs(found[k] - gamma[2000 + k]) < 6 * error, k
        assert abs(found[k] - gamma[2000 + k] * (1 - H / 2)) > 12 * error, k
    np.testing.assert_allclose(ens.var[0, 0], found[0], rtol=1e-5)


def test_first_passage_of_a_long_run():
    """Its time is that of a step, and its place the state that a run to that time ends with."""
    region = optsde.regions.Above(5.2)
    options = {"dt": H, "rng": 1, "n_paths": 1}
    watch = optsde.FirstPassage(region, bridge=False)
    passage = optsde.simulate(OU, 0.0, t1=10**9 * H, observe=watch, **options)["first_passage"]
    (passed,) = passage.times
    step = passed / H
    assert step == round(step) > 100_000
    ens = optsde.simulate(OU, 0.0, t1=passed, observe=[optsde.Final(), optsde.Paths(at=[passed - H])], **options)
    assert ens.final[0, 0] == passage.places[0, 0] > 5.2
    assert ens.paths[0, 0, 0] <= 5.2


MEMORY = """
import optsde
ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1)
def run(n_steps, *observe):
    optsde.simulate(ou, 0.0, n_paths=1, t1=n_steps / 16, dt=1 / 16, rng=1, observe=list(observe), progress=False)
def watch():
    return [
        optsde.Moments(average_from=10.0),
        optsde.FirstPassage(optsde.regions.Above(60.0)),
        optsde.Autocovariance(2, average_from=10.0),
    ]
run(2_000_000)
run(100_000, *watch())
short = peak()
run(20_000_000)
run(1_000_000, *watch())
long = peak()
run(1_000_000, optsde.Paths(at=1_000_001))
print(long - short, peak() - long)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_memory_does_not_grow_with_steps():
    done = subprocess.run([sys.executable, "-c", PEAK + MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, stored = map(int, done.stdout.split())
    assert grown < 1024  # KiB, for ten times as many steps
    assert stored > 7 * 1024  # the states of a million steps are seen


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to itself")
def test_interrupt_of_a_trillion_steps():
    """What was done is kept: the blocks whose paths have all arrived, while one path goes on, never to arrive."""
    n_paths = 20_000
    start = np.full((n_paths, 1), 2.0)
    start[-1] = 0.0
    quiet = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1e-6, dim=1)
    watch = optsde.FirstPassage(optsde.regions.Above(1.0), bridge=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    try:
        with pytest.raises(optsde.Interrupted) as caught:
            optsde.simulate(
                quiet, start, n_paths=n_paths, t1=TRILLION * H, dt=H, rng=1, threads=2, observe=watch, progress=False
            )
        stopped = time.monotonic()
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    # A tenth of a second where a processor is free; the rest is for a busy machine.
    assert stopped - sent[0] < 10.0
    partial = caught.value.partial
    assert not partial.complete
    assert n_paths // 2 < partial.n_finished < n_paths
    assert n_paths - 1 not in partial.path_index
    times = partial["first_passage"].times
    assert times.shape == (partial.n_finished,) and (times == 0.0).all()
