"""Measures the orders of all methods and writes them into ``docs/schemes.md``: ``make orders``.

Everything is measured on one Wiener path: strong orders against a fine run, weak and stationary ones by differences
between a step and half of it, whose mean is the change of the bias. Intervals (95 %) are by jackknife over groups of
paths. Of three functions, x, x² and exp(-x²), the one is shown whose order is known best.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optsde
from numpy.typing import NDArray

PAGE = Path(__file__).resolve().parent / "schemes.md"
BEGIN, END = "<!-- orders: written by docs/orders.py -->", "<!-- orders: end -->"
GROUPS = 20
FINE = 2.0**-10
# Half-widths of intervals that say something, and the paths that may be spent on them.
WANTED, USELESS = 0.1, 0.5
PATHS = (40_000, 320_000)
FUNCTIONS = {"x": np.positive, "x²": np.square, "exp(-x²)": lambda x: np.exp(-(x**2))}


@dataclass(frozen=True)
class Case:
    """An equation, where its paths start, and the method that is fine enough to be the truth on a path."""

    noise: str
    dynamics: optsde.dynamics.Dynamics
    start: Any
    spread: Any
    truth: str


def cases() -> list[Case]:
    """Nonlinear equations with noise of three kinds; of those of one kind a method gets the first that it takes."""
    quartic, temperature = optsde.losses.Quartic(a=0.5, b=1.0, dim=1), 0.5
    bowl, cov = optsde.losses.Quadratic([[1.0, 0.4], [0.4, 1.0]]), 2.0 * np.array([[1.0, 0.4], [0.4, 0.6]])
    langevin = optsde.Langevin(quartic, temperature)
    affine = optsde.SGD(0.5).sde(optsde.Problem(quartic, optsde.noise.AffineDiagonal(0.5, 0.5)))
    scaled = optsde.SGD(0.5).sde(optsde.Problem(bowl, optsde.noise.LossScaled(cov, floor=0.2)))
    wide, two = optsde.initial.Gaussian(0.0, 0.3), optsde.initial.Gaussian([0.0, 0.0], 0.1 * np.eye(2))
    underdamped = optsde.UnderdampedLangevin(quartic, temperature, 1.0)
    return [
        Case("additive", langevin, 0.9, wide, "sra1"),
        Case("diagonal", affine, 0.9, wide, "sriw1"),
        Case("full", scaled, [1.0, -0.5], two, "milstein"),
        Case("additive, underdamped", underdamped, 0.9, wide, "ubu"),
    ]


def takes(method: str, case: Case) -> bool:
    """Whether the method takes the equation."""
    try:
        optsde.simulate(case.dynamics, case.start, t1=FINE, dt=FINE, method=method, rng=1)
    except ValueError:
        return False
    return True


def final(case: Case, method: str, start: Any, t1: float, dt: float, cell: float, paths: int) -> NDArray[np.float64]:
    """The last parameter of each path at the end."""
    options: dict[str, Any] = {"wiener_dt": cell, "n_paths": paths, "rng": 11, "observe": optsde.Final()}
    return np.asarray(optsde.simulate(case.dynamics, start, t1=t1, dt=dt, method=method, **options).final[:, -1])


def fit(steps: NDArray[np.float64], groups: NDArray[np.float64], power: float = 1.0) -> tuple[float, float]:
    """Slope of log |mean|^power on log dt of values (steps, groups), and half of its 95 % interval."""
    x = np.log(steps) - np.log(steps).mean()

    def slope(values: NDArray[np.float64]) -> float:
        return float(x @ (power * np.log(np.abs(values))) / (x @ x))

    left_out = [slope(np.delete(groups, k, axis=1).mean(axis=1)) for k in range(GROUPS)]
    return slope(groups.mean(axis=1)), 1.96 * math.sqrt((GROUPS - 1) * float(np.var(left_out)))


def strong(case: Case, method: str) -> tuple[float, float]:
    """Order of the root mean square distance from the truth at time 1."""
    paths, steps = 10_000, 2.0 ** -np.arange(3, 7)
    truth = final(case, case.truth, case.start, 1.0, FINE, FINE, paths)
    errors = [(final(case, method, case.start, 1.0, dt, FINE, paths) - truth) ** 2 for dt in steps]
    return fit(steps, np.array([e.reshape(GROUPS, -1).mean(axis=1) for e in errors]), 0.5)


def bias(case: Case, method: str, start: Any, t1: float, finest: int) -> tuple[float, float, str]:
    """Order of expectations at time t1, and the function."""
    steps = 2.0 ** -np.arange(finest - 3, finest + 1)
    best = (math.nan, math.inf, "")
    for paths in PATHS:
        ends = [final(case, method, start, t1, dt, steps[-1], paths) for dt in steps]
        for name, function in FUNCTIONS.items():
            values = [function(end) for end in ends]
            groups = [(a - b).reshape(GROUPS, -1).mean(axis=1) for a, b in itertools.pairwise(values)]
            slope, half = fit(steps[:-1], np.array(groups))
            if half < best[1]:
                best = (slope, half, name)
        if best[1] < WANTED:
            break
    return best


def expectations(case: Case, method: str, start: Any, t1: float, declared: float | None) -> Any:
    """The order of expectations, where one is declared; the first order is seen at smaller steps."""
    if declared is None or math.isinf(declared):
        return None
    return bias(case, method, start, t1, 7 if declared < 2 else 5)


def cell(declared: float | None, measured: tuple[Any, ...] | None) -> str:
    """What is declared, and what was measured."""
    if declared is None:
        return "-"
    if math.isinf(declared):
        return "exact"
    if measured is None or measured[1] > USELESS:
        return f"{declared:g} (error too small)"
    function = f" {measured[2]}" if len(measured) > 2 else ""
    return f"{declared:g} ({measured[0]:.2f} ± {measured[1]:.2f}{function})"


def table() -> str:
    """The table of all methods that take noise."""
    lines = ["| method | noise | strong | weak | stationary |", "| --- | --- | --- | --- | --- |"]
    for name, method in optsde.methods().items():
        seen: set[str] = set()
        for case in cases():
            kind = case.noise.split(",")[0]
            if kind in seen or not takes(name, case):
                continue
            seen.add(kind)
            paths = strong(case, name) if method.strong is not None and math.isfinite(method.strong) else None
            weak = expectations(case, name, case.start, 1.0, method.weak)
            still = expectations(case, name, case.spread, 3.0, method.stationary)
            cells = (cell(method.strong, paths), cell(method.weak, weak), cell(method.stationary, still))
            lines.append(f"| `{name}` | {case.noise} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Measure, and replace what is between the marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
