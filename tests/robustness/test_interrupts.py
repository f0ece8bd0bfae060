"""Ctrl-C, by a real signal to another process: Interrupted within a second, with the paths that were finished."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optsde
import pytest
from programs import PROGRAMS, START

HERE = Path(__file__).parent
# It takes a tenth of a second where a processor is free; the runs would take minutes. The rest is for a busy machine.
WITHIN = 10.0


def interrupted(name, folder, wait=0.6, signals=1):
    file = folder / "partial.npy"
    process = subprocess.Popen(
        [sys.executable, str(HERE / "programs.py"), name, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(wait)
        assert process.poll() is None, process.stderr.read()
        sent = time.monotonic()
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 0, err
    word, stopped = out.split()
    # One clock for all processes.
    seconds = float(stopped) - sent
    if word == "early" and wait < 0.1:
        return seconds, None
    assert word == "stopped"
    return seconds, np.load(file, allow_pickle=True).item()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
@pytest.mark.parametrize("name", PROGRAMS)
def test_interrupt(name, tmp_path):
    seconds, partial = interrupted(name, tmp_path)
    assert seconds < WITHIN
    dynamics, options = PROGRAMS[name]
    index, final = partial["index"], partial["final"]
    # The rows are the bits of the same paths in a full run: here some of them, as ranges of it.
    chosen = index[[0, len(index) // 2, -1]] if len(index) else []
    options = {**options, "observe": [optsde.Final()], "progress": None}
    for path in sorted(set(chosen)):
        alone = optsde.simulate(dynamics, START, rng=7, path_range=(int(path), int(path) + 1), **options)
        assert alone.final.tobytes() == final[np.searchsorted(index, path)][None].tobytes(), path
    if partial["mean"] is not None and len(index):
        np.testing.assert_allclose(partial["mean"][-1], final.mean(axis=0), rtol=1e-9, atol=1e-12)


def test_some_paths_are_finished(tmp_path):
    _, partial = interrupted("native", tmp_path, wait=1.0)
    assert len(partial["index"]) > 1000
    assert np.isfinite(partial["final"]).all()


def test_interrupt_at_once(tmp_path):
    seconds, _ = interrupted("native", tmp_path, wait=0.05)
    assert seconds < WITHIN


def test_interrupted_twice(tmp_path):
    """An impatient user."""
    seconds, _ = interrupted("native", tmp_path, signals=2)
    assert seconds < WITHIN


def test_interrupt_from_progress():
    """What a progress function raises stops the run, too."""

    def poll(done, total):
        raise KeyboardInterrupt

    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    begin = time.monotonic()
    with pytest.raises(optsde.Interrupted) as caught:
        optsde.simulate(ou, 0.0, n_paths=2_000_000, t1=1000.0, dt=0.05, rng=1, progress=poll)
    assert time.monotonic() - begin < WITHIN
    partial = caught.value.partial
    assert not partial.complete
    assert partial.n_finished == len(partial.path_index) < 2_000_000
    assert partial.replay(0, at=2).complete
    with pytest.raises(ValueError, match="incomplete"):
        optsde.merge([partial])


def stopping(call):
    """An equation whose drift is interrupted at one of its calls."""
    calls = iter(range(10**9))

    def drift(t, x):
        if next(calls) == call:
            raise KeyboardInterrupt
        return -x

    return optsde.SDE(drift, lambda t, x: np.ones(x.shape), dim=1, noise="diagonal")


@pytest.mark.parametrize("call", [4, 11, 12])
def test_interrupt_in_the_pilot_of_a_grid(call):
    with pytest.raises(optsde.Interrupted, match="in the pilot"):
        optsde.simulate(stopping(call), 1.0, t1=1.0, dt=optsde.Adaptive(0.01, 0.01), rng=1)


def test_interrupt_in_a_replay():
    ens = optsde.simulate(stopping(10**4), 1.0, t1=1000.0, dt=0.1, rng=1, path_range=(0, 1), n_paths=2)
    with pytest.raises(optsde.Interrupted, match="replay of path 1"):
        ens.replay(1)


def test_other_signals_are_handled_during_a_run():
    """A handler of the user's runs while the run goes on."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
        ensemble = optsde.simulate(ou, 0.0, n_paths=100_000, t1=200.0, dt=0.05, rng=1, threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert ensemble.complete
    assert len(seen) >= 2


def test_a_handler_that_raises_stops_the_run():
    class Alarm(Exception):
        pass

    def handler(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
        begin = time.monotonic()
        with pytest.raises(Alarm):
            optsde.simulate(ou, 0.0, n_paths=2_000_000, t1=1000.0, dt=0.05, rng=1)
        assert time.monotonic() - begin < WITHIN
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_uncaught_interrupt_ends_the_process():
    code = (
        "import signal, optsde\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start without it\n"
        "print('ready', flush=True)\n"
        "optsde.simulate(optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1), 0.0, n_paths=3000000, t1=1000.0, dt=0.05)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode in (1, -signal.SIGINT)
    assert "optsde.errors.Interrupted: interrupted; " in err
    assert "panicked" not in err


def test_an_interrupt_with_the_last_paths_is_heard(monkeypatch):
    """Ctrl-C in the last moment of a run that completes all the same: raised, and nothing is lost."""
    native = optsde._core.simulate
    monkeypatch.setattr(optsde._core, "simulate", lambda plan, poll: native(plan, poll) | {"interrupted": True})
    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    with pytest.raises(optsde.Interrupted, match="100 of 100 paths") as caught:
        optsde.simulate(ou, 0.0, n_paths=100, t1=1.0, dt=0.1, rng=1)
    assert caught.value.partial.complete
    assert caught.value.partial.final.shape == (100, 1)
