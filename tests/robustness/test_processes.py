"""Threads end with the call, forks and pools of processes work, memory stays flat."""

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import optsde
import pytest
from programs import PEAK

OU = optsde.OrnsteinUhlenbeck([1.0, 2.0], 0.0, 1.0)
RUN = {"n_paths": 5000, "t1": 1.0, "dt": 0.1, "rng": 7, "threads": 2}


def simulate(**options):
    return optsde.simulate(OU, [0.0, 1.0], **RUN | options)


def shard(pair):
    """What a worker process does: one range of the ensemble."""
    return simulate(path_range=pair)


def tasks():
    return len(list(Path("/proc/self/task").iterdir()))


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")


@needs_proc
@pytest.mark.parametrize("threads", [1, 2, 8, 64])
def test_no_thread_outlives_a_call(threads):
    before, python = tasks(), threading.active_count()
    simulate(threads=threads, n_paths=20_000)
    assert (tasks(), threading.active_count()) == (before, python)


@needs_proc
def test_no_thread_outlives_a_failed_call():
    before = tasks()

    def fail(done, total):
        raise KeyError("stop")

    for _ in range(3):
        with pytest.raises(KeyError, match="stop"):
            simulate(n_paths=3_000_000, t1=100.0, threads=8, progress=fail)
        assert tasks() == before


@needs_proc
def test_nothing_is_left_open():
    simulate()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        simulate()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_after_use():
    expected = simulate(threads=4).final.tobytes()
    pid = os.fork()
    if pid == 0:
        # No assertion may leave the child: it would run the rest of the tests.
        code = 1
        try:
            child = [simulate(threads=threads).final.tobytes() == expected for threads in (1, 2, 4)]
            callback = optsde.Langevin(optsde.losses.Function(lambda x: x, dim=2), 0.1)
            optsde.simulate(callback, [0.0, 0.0], n_paths=5000, t1=0.3, dt=0.1, threads=4)
            code = 0 if all(child) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert simulate(threads=4).final.tobytes() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_during_a_run():
    """A child forked in a callback of a run simulates on its own."""
    codes = []

    def grad(x):
        if not codes:
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    simulate(threads=3)
                    code = 0
                finally:
                    os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return x

    ensemble = optsde.simulate(optsde.Langevin(optsde.losses.Function(grad, dim=2), 0.1), [0.0, 0.0], **RUN)
    assert ensemble.complete
    assert codes == [0]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    whole = simulate()
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = pool.map(shard, [(0, 100), (100, 1777), (1777, 5000)])
    merged = optsde.merge(parts)
    assert merged.final.tobytes() == whole.final.tobytes()
    assert merged.mean.tobytes() == whole.mean.tobytes()
    assert merged.var_stderr.tobytes() == whole.var_stderr.tobytes()


GROWTH = f"""{PEAK}
import sys
import numpy as np, optsde
dim, times = int(sys.argv[2]), int(sys.argv[3])
ou = optsde.OrnsteinUhlenbeck(np.linspace(1, 2, dim), 0.0, 1.0)
observe = [optsde.Moments(at=times) if times > 1 else optsde.Moments()]
start = peak()
optsde.simulate(ou, np.zeros(dim), n_paths=int(sys.argv[1]), t1=10.0, dt=0.1, rng=1, observe=observe, threads=2)
print(peak() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize(("dim", "times"), [(1, 1), (10, 1), (1, 101), (10, 101)])
def test_memory_of_moments_is_flat(dim, times):
    """Under 64 MiB above import from 10^4 to 10^6 paths (10^5 for the largest case, which takes longest)."""
    growth = {}
    for n_paths in (10**4, 10**5, 10**6):
        if n_paths * dim * times > 10**8:
            continue
        done = subprocess.run(
            [sys.executable, "-c", GROWTH, *map(str, (n_paths, dim, times))], capture_output=True, text=True, check=True
        )
        growth[n_paths] = int(done.stdout) / 1024
    assert max(growth.values()) < 64, growth
    assert growth[max(growth)] - growth[10**4] < 16, growth


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@needs_proc
def test_repeated_runs_do_not_leak():
    observe = [
        optsde.Moments(at=5, cov=True),
        optsde.Final(),
        optsde.Paths(at=3),
        optsde.Histogram(50, (-3, 3)),
        optsde.Expectation(lambda x: x[:, 0], "first"),
    ]
    callback = optsde.Langevin(optsde.losses.Function(lambda x: x * x * x, dim=2), 0.1)

    def once():
        optsde.simulate(OU, [0.0, 1.0], **RUN | {"observe": observe})
        parts = [optsde.simulate(callback, [0.0, 0.0], **RUN | {"path_range": p}) for p in ((0, 777), (777, 5000))]
        optsde.merge(parts)
        parts[0].replay(5)

    for _ in range(10):
        once()
    gc.collect()
    before = resident()
    for _ in range(60):
        once()
    gc.collect()
    assert resident() - before < 8


def test_results_own_their_memory():
    ensemble = simulate(observe=[optsde.Final(), optsde.Moments()])
    final, mean = ensemble.final, ensemble.mean
    copies = final.copy(), mean.copy()
    del ensemble
    gc.collect()
    junk = [simulate() for _ in range(5)]
    assert (final == copies[0]).all()
    assert (mean == copies[1]).all()
    assert final.flags.c_contiguous
    assert len(junk) == 5


def test_results_are_contiguous_doubles():
    ensemble = simulate(
        observe=[optsde.Final(), optsde.Paths(at=3, keep=7), optsde.Moments(at=3, cov=True)], dtype="float32"
    )
    for array, shape in ((ensemble.final, (5000, 2)), (ensemble.paths, (3, 7, 2))):
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, np.float32, True)
    for array, shape in (
        (ensemble.mean, (3, 2)),
        (ensemble.var_stderr, (3, 2)),
        (ensemble.cov, (3, 2, 2)),
        (ensemble.cov_stderr, (3, 2, 2)),
        (ensemble.t, (3,)),
    ):
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, np.float64, True)
