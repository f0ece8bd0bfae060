"""What a step of each method costs beside one of Euler-Maruyama: ``python benches/costs.py`` prints a table.

All methods for one equation are timed in one process, in turns, on one thread; the numbers are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import optsde

PATHS, STEPS = 8192, 400
# Evaluations of drift and noise in a step, for m Wiener processes: the arithmetic that its time is to be held against.
ARITHMETIC = {
    "euler_maruyama": ("1", "1"),
    "tamed_euler": ("1", "1"),
    "milstein": ("1", "1, and derivatives"),
    "heun": ("2", "1"),
    "stratonovich_heun": ("2", "2, and derivatives"),
    "platen": ("2", "3; 1 + 4m where full"),
    "dri1": ("3", "3; 1 + 4m where full"),
    "sra1": ("2", "1"),
    "sra3": ("3", "1"),
    "sriw1": ("2", "4"),
    "exponential_splitting": ("2", "1, and 4 products with matrices"),
    "ornstein_uhlenbeck": ("0", "2 products with matrices"),
    "leimkuhler_matthews": ("1", "1"),
    "baoab": ("1", "1"),
    "obabo": ("1", "2"),
    "ubu": ("1", "2"),
}


def equations() -> dict[str, tuple[optsde.dynamics.Dynamics, object]]:
    """One equation of each kind, all compiled."""
    quartic = optsde.losses.Quartic(a=0.5, b=1.0, dim=8)
    bowl = optsde.losses.Quadratic(np.diag([1.0, 2.0]) + 0.4 * (1 - np.eye(2)))
    cov = np.array([[1.0, 0.4], [0.4, 0.6]])
    affine = optsde.Problem(quartic, optsde.noise.AffineDiagonal(0.5, 0.5))
    scaled = optsde.Problem(bowl, optsde.noise.LossScaled(cov, floor=0.2))
    return {
        "additive, d = 8": (optsde.Langevin(quartic, 0.3), np.full(8, 0.5)),
        "underdamped, d = 8": (optsde.UnderdampedLangevin(quartic, 0.3, friction=2.0), np.full(8, 0.5)),
        "linear, d = 8": (optsde.OrnsteinUhlenbeck(np.linspace(1.0, 2.0, 8), np.zeros(8), 0.5), np.full(8, 0.5)),
        "diagonal, d = 8": (optsde.SGD(0.2).sde(affine), np.full(8, 0.5)),
        "full, d = m = 2": (optsde.SGD(0.2).sde(scaled), np.array([0.5, -0.5])),
    }


def seconds(dynamics: optsde.dynamics.Dynamics, start: object, method: str) -> float:
    """One run."""
    began = time.perf_counter()
    optsde.simulate(
        dynamics,
        start,
        t1=STEPS * 1e-3,
        dt=1e-3,
        method=method,
        n_paths=PATHS,
        rng=1,
        threads=1,
        observe=optsde.Moments(),
        progress=False,
    )
    return time.perf_counter() - began


def takes(method: str, dynamics: optsde.dynamics.Dynamics, start: object) -> bool:
    """Whether the method takes the equation."""
    try:
        optsde.simulate(dynamics, start, t1=1e-3, dt=1e-3, method=method, rng=1)
    except ValueError:
        return False
    return True


def main() -> None:
    """Time, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    columns: dict[str, dict[str, float]] = {}
    for noise, (dynamics, start) in equations().items():
        able = [name for name in optsde.methods().accepting(dynamics.noise_kind) if takes(name, dynamics, start)]
        times: dict[str, list[float]] = {name: [] for name in able}
        for _ in range(repeats):
            for name in able:
                times[name].append(seconds(dynamics, start, name))
        columns[noise] = {name: statistics.median(found) / (PATHS * STEPS) * 1e9 for name, found in times.items()}
    print(f"| method | evaluations of drift; of noise | {' | '.join(columns)} |")
    print("| --- " * (2 + len(columns)) + "|")
    for name in optsde.methods():
        cells = [
            f"{column[name] / column['euler_maruyama']:.2f} ({column[name]:.0f} ns)" if name in column else ""
            for column in columns.values()
        ]
        if any(cells):
            print(f"| `{name}` | {'; '.join(ARITHMETIC.get(name, ('-', '-')))} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
