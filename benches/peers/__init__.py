"""The competitors: one file each, with `version()` and `build(workload, threads)`.

`build` returns a `Runner`, or None where the peer does not take the workload. A runner is called with a number of paths
and a seed, simulates them in one thread, and returns the sum and the sum of squares of each coordinate at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sums = tuple[int, NDArray[np.float64], NDArray[np.float64]]  # paths, sum, sum of squares


@dataclass(frozen=True)
class Runner:
    """A peer made ready for one workload."""

    run: Callable[[int, int], Sums]
    granule: int = 1  # the number of paths that it works on at once
    threaded: bool = False  # True: uses the threads by itself; False: is called once per thread with its share
    steps: int | None = None  # if it takes fewer steps than the workload has
    same_law: bool = True  # False: its moments are not the workload's, and are not compared
    note: str = ""


def sums(x: NDArray[np.float64]) -> Sums:
    """Sum over paths (n, d)."""
    return len(x), x.sum(axis=0), np.einsum("ij,ij->j", x, x)


def total(parts: list[Sums]) -> Sums:
    """Add up what chunks or threads returned."""
    return sum(part[0] for part in parts), sum(part[1] for part in parts), sum(part[2] for part in parts)
