"""The normals of the workload from optsde's own generator, and nothing else: the floor of its own runs."""

import numpy as np
import optsde
from optsde import _core
from workloads import Workload

from . import Runner, Sums


def version() -> str:
    return optsde.__version__


def build(w: Workload, threads: int) -> Runner | None:
    if w.name != "ou":
        return None

    def run(n_paths: int, seed: int) -> Sums:
        _core.time_normals(n_paths * w.n_steps * w.dim)
        return n_paths, np.zeros(1), np.zeros(1)

    return Runner(run, granule=1024, same_law=False, note="normals only")
