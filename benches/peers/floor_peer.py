"""The floor of optsde's own runs, by itself: the normals of a workload, or draws of examples with their products."""

import numpy as np
import optsde
from optsde import _core
from workloads import BATCH, Workload

from . import Runner, Sums


def version() -> str:
    return optsde.__version__


def build(w: Workload, threads: int) -> Runner | None:
    if w.name not in ("ou", "minibatch_logistic"):
        return None

    def run(n_paths: int, seed: int) -> Sums:
        if w.name == "ou":
            _core.time_normals(n_paths * w.n_steps * w.dim)
        else:
            _core.time_minibatches(w.matrices["X"], BATCH, n_paths * w.n_steps)
        return n_paths, np.zeros(1), np.zeros(1)

    note = "normals only" if w.name == "ou" else "draws and dot products only"
    return Runner(run, granule=1024, same_law=False, note=note)
