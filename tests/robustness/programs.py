"""Long runs for subprocesses that are interrupted, and what they report; ``python programs.py NAME``."""

import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import optsde

OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=2)
START = np.array([0.5, -0.5])


def cube(x):
    return x * x * x


def slow_cube(x):
    time.sleep(0.002)
    return x * x * x


def point(x, g):
    for i in range(2):
        g[i] = x[i] * x[i] * x[i]


PROGRAMS = {
    # many short paths; few long ones; one
    "native": (OU, {"n_paths": 3_000_000, "t1": 100.0, "dt": 0.05, "threads": 2}),
    "native, one thread": (OU, {"n_paths": 3_000_000, "t1": 100.0, "dt": 0.05, "threads": 1}),
    "few long paths": (OU, {"n_paths": 3, "t1": 5e7, "dt": 0.05, "threads": 2}),
    "one long path": (OU, {"n_paths": 1, "t1": 5e7, "dt": 0.05, "threads": 1}),
    "many threads": (OU, {"n_paths": 1_000_000, "t1": 1000.0, "dt": 0.05, "threads": 16}),
    "callback": (
        optsde.Langevin(optsde.losses.Function(cube, dim=2), 0.1),
        {"n_paths": 1_000_000, "t1": 200.0, "dt": 0.05, "threads": 2},
    ),
    "slow callback": (
        optsde.Langevin(optsde.losses.Function(slow_cube, dim=2), 0.1),
        {"n_paths": 100_000, "t1": 200.0, "dt": 0.05, "threads": 2},
    ),
    "few long paths by callback": (
        optsde.Langevin(optsde.losses.Function(cube, dim=2), 0.1),
        {"n_paths": 3, "t1": 5e6, "dt": 0.05, "threads": 2},
    ),
    "expectation": (
        OU,
        {
            "n_paths": 3_000_000,
            "t1": 100.0,
            "dt": 0.05,
            "observe": [optsde.Final(), optsde.Expectation(lambda x: x[:, 0], "first", at=3)],
        },
    ),
    "levy areas": (
        optsde.SDE(
            lambda t, x: -x, lambda t, x: np.repeat(x[:, :, None], 3, axis=2) + 1.0, dim=2, noise="full", n_wiener=3
        ),
        {"n_paths": 1_000_000, "t1": 20.0, "dt": 0.05, "method": "milstein"},
    ),
    "exact": (OU, {"n_paths": 3_000_000, "t1": 100.0, "dt": 0.05, "method": "ornstein_uhlenbeck"}),
    "progress": (OU, {"n_paths": 3_000_000, "t1": 100.0, "dt": 0.05, "progress": lambda done, total: None}),
    "refined": (OU, {"n_paths": 100_000, "t1": 1000.0, "dt": 5.0, "wiener_dt": 0.0005}),
}


def watch():
    return [optsde.Final(), optsde.Moments(at=3, cov=True), optsde.Paths(keep=100)]


def main(name, threads_left):
    dynamics, options = PROGRAMS[name]
    # The parent's timer starts at this line.
    print("ready", flush=True)
    try:
        optsde.simulate(dynamics, START, rng=7, **{"observe": watch()} | options)
    except optsde.Interrupted as raised:
        stop, stopped = time.monotonic(), raised
    except KeyboardInterrupt:
        # Python was still preparing the run: there is nothing to keep.
        print(f"early {time.monotonic()}", flush=True)
        return
    else:
        raise AssertionError("the run was not interrupted")
    partial = stopped.partial
    assert isinstance(stopped, KeyboardInterrupt)
    assert partial.complete is False
    index = partial.path_index
    assert partial.n_finished == len(index) < partial.n_paths
    assert (np.diff(index) > 0).all()
    assert "interrupted" in repr(partial)
    assert f"{len(index):,} of" in str(stopped)
    assert threading.active_count() == 1
    time.sleep(0.05)
    assert len(list(Path("/proc/self/task").iterdir())) == threads_left
    assert partial.final.shape == (len(index), 2), (partial.final.shape, len(index))
    np.save(
        sys.argv[2],
        {
            "index": index,
            "final": partial.final,
            "mean": getattr(partial, "mean", None) if "observe" not in options else None,
        },
        allow_pickle=True,
    )
    # The session goes on as before.
    again = optsde.simulate(OU, START, n_paths=100, t1=1.0, dt=0.1)
    assert again.complete
    print(f"stopped {stop}", flush=True)


if __name__ == "__main__":
    # A background job of a shell starts with the signal ignored, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(sys.argv[1], len(list(Path("/proc/self/task").iterdir())))

# Peak memory of the program itself, in KiB. On Linux ru_maxrss begins with that of the process which started it.
PEAK = """
import os, resource, sys
def peak():
    if os.path.exists("/proc/self/status"):
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
"""
