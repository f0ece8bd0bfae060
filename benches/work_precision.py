"""What an error of 1e-3 in a stationary E[X²] costs by each scheme: `python benches/work_precision.py --help`.

The task: U = x⁴/4 + x²/2 at T = 1, whose E[X²] is 0.4679199170, with half of the error for the steps' bias and half for
chance. How much time of paths chance asks for is the same for all schemes, so what counts is the price of a unit of
time: steps in it times the time of a step. Biases are from quadrature (stationary_bias.py), times are measured, and
each scheme is then run, with as many paths as make half of the error by chance.
"""

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import optsde
from run import Competitor, Settings, load_peers, machine, print_table, race, verdict
from stationary_bias import EXACT, bias
from workloads import Workload

TARGET = 1e-3
GOAL = 10.0
STEPS = [0.1 / 2**k for k in range(7)]
# A path from START is stationary, in x², after TIME, to better than 1e-5.
START, TIME = 0.7, 5.0
PATHS = math.ceil((1.0 - EXACT - EXACT**2) / (0.5 * TARGET) ** 2)  # E x⁴ = T - E x²
TIMED = Workload("quartic", "dX = -(X³ + X) dt + √2 dW", dim=1, n_steps=256, dt=0.02, start=START)

# the methods of optsde; and those that peers have too, with their names for them
OWN = [
    "euler_maruyama",
    "leimkuhler_matthews",
    "heun",
    "heun_three_point",
    "sra1",
    "sra3",
    "exponential_splitting",
    "talay_tubaro",
]
PEERS = {
    "diffrax": {"euler_maruyama": "Euler", "heun": "Heun", "sra1": "SRA1"},
    "torchsde": {"euler_maruyama": None},
}
LANGEVIN = optsde.Langevin(optsde.losses.Quartic(1.0, 1.0), 1.0)


def final(method: str, dt: float, n_steps: int, n_paths: int, seed: int, cells: int = 1) -> Any:
    """x² at the end of each path, (n,)."""
    ens = optsde.simulate(
        LANGEVIN,
        START,
        n_paths=n_paths,
        t1=n_steps * dt,
        dt=dt,
        wiener_dt=dt / cells,
        method=method.removesuffix("_three_point"),
        increments="three_point" if method.endswith("_three_point") else "gaussian",
        observe=optsde.Final(),
        rng=seed,
        threads=1,
        progress=False,
    )
    return ens.final[:, 0] ** 2


def squares(method: str, dt: float, n_steps: int, n_paths: int, seed: int) -> Any:
    """That, or what Talay and Tubaro make of it on the same Wiener paths."""
    if method != "talay_tubaro":
        return final(method, dt, n_steps, n_paths, seed)
    coarse = final("euler_maruyama", dt, n_steps, n_paths, seed, cells=2)
    return 2.0 * final("euler_maruyama", 0.5 * dt, 2 * n_steps, n_paths, seed) - coarse


def mean_and_error(values: Any) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def own_competitor(method: str) -> Competitor:
    def call(n_paths: int, seed: int) -> tuple[float, float]:
        return mean_and_error(squares(method, TIMED.dt, TIMED.n_steps, n_paths, seed))

    return Competitor(f"optsde {method}", call, TIMED.n_steps, granule=8192)


def peer_competitors(settings: Settings) -> dict[str, Competitor]:
    """Of those that are installed, by their names in the table."""
    found = {}
    for peer, module in load_peers(list(PEERS), settings).items():
        for method, solver in PEERS[peer].items():
            runner = module.build(TIMED, 1, **({} if solver is None else {"solver": solver}))

            def call(n_paths: int, seed: int, run: Any = runner.run) -> tuple[float, float]:
                n, _, second = run(n_paths, seed)
                return float(second[0] / n), math.sqrt((1.0 - EXACT - EXACT**2) / n)

            name = f"{peer} {method}"
            found[name] = Competitor(name, call, TIMED.n_steps, granule=runner.granule)
    return found


def longest_step(method: str, target: float = TARGET) -> float:
    """The longest step, of three digits, whose bias is at most half of the error asked for."""
    h = STEPS[0]
    while abs(bias(method, h)) > 0.5 * target:
        h *= 0.5
    if h < STEPS[0]:
        order = math.log2(abs(bias(method, 2.0 * h) / bias(method, h)))
        h *= (0.5 * target / abs(bias(method, h))) ** (1.0 / order)
    unit = 10.0 ** (math.floor(math.log10(h)) - 2)
    digits = math.floor(h / unit)
    while abs(bias(method, digits * unit)) > 0.5 * target:
        digits -= 1
    return digits * unit


def draw(racing: list[Competitor], path: Path) -> None:
    from matplotlib.figure import Figure
    from optsde import plot

    figure = Figure(figsize=(7.5, 4.0), layout="constrained")
    curves = {}
    for c in racing:
        method = c.name.split()[1]
        curves[c.name] = ([c.ns / h for h in STEPS], [abs(bias(method, h)) for h in STEPS])
    ax = plot.work_precision(
        curves,
        xlabel="time per path and unit of time [ns]",
        ylabel="error of the stationary E x²",
        ax=figure.add_subplot(),
    )
    ax.axhline(0.5 * TARGET, color="0.6", linewidth=0.8, zorder=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    figure.savefig(path, dpi=75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0] + ".")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: processor time")
    parser.add_argument("--picture", type=Path, help="draw the diagram into this file; needs matplotlib")
    options = parser.parse_args()
    settings = Settings(1, options.rounds, 0.1, quick=False, memory=False, clock=options.clock)
    print(machine())
    print(f"stationary E[X²] of U = x⁴/4 + x²/2, T = 1, to {TARGET:g}: half of it bias, half chance; one thread\n")
    racing = {f"optsde {method}": own_competitor(method) for method in OWN} | peer_competitors(settings)
    race(list(racing.values()), settings)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    plain = racing["optsde euler_maruyama"]
    plain_step, plain_finer = (longest_step("euler_maruyama", target) for target in (TARGET, 0.1 * TARGET))
    rows, seconds_of_plain = [], 0.0
    for name, c in racing.items():
        library, method = name.split()
        values, errors = np.array(c.results).T
        z = float((values - EXACT - bias(method, TIMED.dt)).sum() / np.sqrt(np.sum(errors**2)))
        law = f"z {abs(z):.1f}" if abs(z) < 6 else f"DIFFERS, z {abs(z):.1f}"
        h = longest_step(method)
        slower = c.ns / plain.ns
        cheaper, finer = h / plain_step / slower, longest_step(method, 0.1 * TARGET) / plain_finer / slower
        row = [name, f"{h:.3g}", f"{1e3 * bias(method, h):.2f}", f"{c.ns:.2f}", f"{c.ns / h:.3g}"]
        row += [f"{cheaper:.3g}", f"{finer:.3g}"]
        if library == "optsde":
            goal = None if method == "euler_maruyama" else GOAL
            n_steps = math.ceil(TIME / h)
            began = clock()
            mean, stderr = mean_and_error(squares(method, TIME / n_steps, n_steps, PATHS, 1))
            seconds = clock() - began
            seconds_of_plain = seconds_of_plain or seconds
            faster = seconds_of_plain / seconds
            row += [f"{1e3 * (mean - EXACT):.2f} ± {1e3 * stderr:.2f}", f"{seconds:.3g}", f"{faster:.3g}"]
            row += [verdict(min(cheaper, faster), goal)]
        else:
            row += [""] * 4
        rows.append([*row, law])
    head = [
        "",
        "step",
        "bias/1e-3",
        "ns/step",
        "ns/time",
        "× cheaper",
        "at 1e-4",
        "a run's error/1e-3",
        "s",
        "× faster",
    ]
    head += ["goal", "law"]
    print_table(head, rows)
    busy = min(statistics.median(c.cpu) for c in racing.values())
    if options.clock == "wall" and busy < 0.9:
        print(f"(other processes were running: cpu/wall down to {busy:.2f}; `--clock cpu` leaves their time out)")
    if options.picture:
        draw(list(racing.values()), options.picture)


if __name__ == "__main__":
    main()
