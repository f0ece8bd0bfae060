"""Times `optsde.expect` against plain Euler–Maruyama at equal error: `python benches/expect.py --help`.

The task: E[X²] at t = 1 of geometric Brownian motion dX = 0.05 X dt + 0.2 X dW from X = 1 (exactly exp(0.14)), to a
relative error of 1e-3 in 95 % of runs. Plain Euler–Maruyama gets the number of steps and of paths that are best for
that, from its exact bias and variance, which nobody would know; `expect` finds its own. Both call the same equation, of
Python functions in one table and of compiled ones in the other, on the same threads, in turn, round by round.
"""

import argparse
import ctypes
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optsde
from optsde import expect
from run import machine, print_table, verdict

DRIFT, NOISE, EXACT = 0.05, 0.2, math.exp(0.14)
TOLERANCE = 1e-3
GOAL = 10.0
QUANTILE = 1.959963984540054


def python_equation() -> optsde.SDE:
    return optsde.SDE(lambda t, x: DRIFT * x, lambda t, x: NOISE * x, dim=1, noise="diagonal")


def compiled_equation() -> optsde.SDE | None:
    """The same from C functions, which numba compiles; None where it is not installed."""
    try:
        from numba import cfunc, types
    except ImportError:
        return None
    doubles = types.CPointer(types.float64)
    signature = types.int32(types.float64, doubles, doubles, types.int64, types.int64, types.int64, types.voidptr)

    def times(factor: float) -> Any:
        @cfunc(signature, error_model="numpy")
        def f(t: Any, x: Any, out: Any, n: Any, dim: Any, stride: Any, user_data: Any) -> Any:
            for p in range(n):
                out[p] = factor * x[p]
            return 0

        return optsde.compiled(ctypes.cast(f.address, ctypes.c_void_p), keep_alive=f)

    return optsde.SDE(times(DRIFT), times(NOISE), dim=1, noise="diagonal")


def best_euler() -> tuple[int, int]:
    """Steps and paths of Euler–Maruyama for which |bias| + 1.96 standard errors is the tolerance at the least cost."""

    def paths(steps: int) -> float:
        h = 1.0 / steps
        growth = 1.0 + DRIFT * h
        second = (growth**2 + NOISE**2 * h) ** steps
        fourth = (growth**4 + 6.0 * growth**2 * NOISE**2 * h + 3.0 * NOISE**4 * h * h) ** steps
        left = TOLERANCE * EXACT - abs(second - EXACT)
        return math.inf if left <= 0.0 else (QUANTILE / left) ** 2 * (fourth - second**2)

    steps = min(range(1, 200), key=lambda n: n * paths(n))
    return steps, math.ceil(paths(steps))


@dataclass
class Way:
    """One way to the number: `call(seed)` returns it with the path-steps that it took."""

    name: str
    call: Callable[[int], tuple[float, int]]
    goal: float | None = None
    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    path_steps: list[int] = field(default_factory=list)

    def run(self, seed: int) -> None:
        start = time.perf_counter()
        value, path_steps = self.call(seed)
        self.seconds.append(time.perf_counter() - start)
        self.errors.append(value / EXACT - 1.0)
        self.path_steps.append(path_steps)

    def row(self, plain: "Way") -> list[str]:
        errors = np.array(self.errors)
        faster = statistics.median(a / b for a, b in zip(plain.seconds, self.seconds, strict=True))
        fewer = statistics.median(plain.path_steps) / statistics.median(self.path_steps)
        return [
            self.name,
            f"{statistics.median(self.path_steps):.3g}",
            f"{fewer:.3g}",
            f"{1e3 * statistics.median(self.seconds):.3g}",
            f"{faster:.3g}",
            verdict(min(faster, fewer), self.goal),
            f"{np.sqrt(np.mean(errors**2)):.2g}",
            f"{np.mean(np.abs(errors) <= TOLERANCE):.0%}",
        ]


def euler(equation: optsde.SDE, threads: int) -> Way:
    steps, paths = best_euler()

    def call(seed: int) -> tuple[float, int]:
        moments = optsde.Moments()
        ens = optsde.simulate(
            equation,
            1.0,
            n_paths=paths,
            t1=1.0,
            dt=1.0 / steps,
            method="euler_maruyama",
            observe=moments,
            rng=seed,
            threads=threads,
            progress=False,
        )
        return float(ens.mean[0, 0] ** 2 + ens.var[0, 0] * (1.0 - 1.0 / paths)), steps * paths

    return Way(f"Euler–Maruyama, {steps} steps of {paths:,} paths", call)


def multilevel(name: str, equation: optsde.SDE, threads: int, goal: float | None = None, **options: Any) -> Way:
    def call(seed: int) -> tuple[float, int]:
        ex = expect(
            equation,
            1.0,
            lambda x: np.square(x[:, 0]),
            t1=1.0,
            rtol=TOLERANCE,
            rng=seed,
            threads=threads,
            progress=False,
            **options,
        )
        return ex.value, ex.path_steps

    return Way(name, call, goal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0] + ".")
    parser.add_argument("--rounds", type=int, default=21, help="runs of each way, with different seeds")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(machine())
    print(f"E[X²] of geometric Brownian motion to {TOLERANCE:g} of itself in 95 % of runs; {options.rounds} rounds\n")
    for title, equation in (("Python functions", python_equation()), ("compiled functions", compiled_equation())):
        if equation is None:
            print(f"{title}: left out, numba is not installed")
            continue
        print(f"{title}, {options.threads} thread(s)")
        ways = [
            euler(equation, options.threads),
            multilevel("expect, as it is", equation, options.threads, goal=GOAL),
            multilevel("expect, no control variate", equation, options.threads, control_variate=None),
            multilevel("expect, pairs alone", equation, options.threads, control_variate=None, antithetic=True),
            multilevel(
                "expect, Euler–Maruyama, no control variate",
                equation,
                options.threads,
                control_variate=None,
                method="euler_maruyama",
            ),
        ]
        for way in ways:
            way.call(0)
        for k in range(options.rounds):
            for way in ways if k % 2 == 0 else reversed(ways):
                way.run(100 + k)
        head = ["", "path-steps", "fewer", "ms", "faster", "both", "rms error", "within"]
        print_table(head, [way.row(ways[0]) for way in ways])


if __name__ == "__main__":
    main()
