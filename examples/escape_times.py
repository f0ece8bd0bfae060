"""Escape times from a double well against Kramers' formula and the exact first-passage time, for several temperatures.

Run it with ``python examples/escape_times.py``; it takes about ten seconds, prints a table and writes escape_times.png:
the share of paths that have not arrived, an exponential law, and the mean over 1/T, a line after Arrhenius and Kramers.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import optsde
from optsde import theory

WELL = optsde.losses.DoubleWell(height=1.0)
TEMPERATURES = (0.5, 0.4, 0.3, 0.25, 0.2)
START, TARGET, SADDLE = -1.0, 1.0, 0.0


def escapes(temperature: float, n_paths: int, rng: int) -> optsde.observers.FirstPassageResult:
    """First passages from the bottom of one well to that of the other, until about every path has arrived."""
    langevin = optsde.Langevin(WELL, temperature)
    t1 = float(np.ceil(16 * theory.kramers_time(WELL, temperature, START, SADDLE)))
    watch = optsde.FirstPassage(optsde.regions.Above(TARGET))
    ens = optsde.simulate(
        langevin,
        START,
        n_paths=n_paths,
        t1=t1,
        dt=0.005,
        method="euler_maruyama",
        rng=rng,
        observe=watch,
        progress=False,
    )
    return ens["first_passage"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer paths")
    n_paths = 500 if parser.parse_args().quick else 4000

    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.4), layout="constrained")
    measured, errors = [], []
    print("    T  barrier/T  not arrived    mean time ± stderr       exact      z     Kramers  of exact")
    for rng, temperature in enumerate(TEMPERATURES):
        passage = escapes(temperature, n_paths, rng)
        # The maximum-likelihood mean of an exponential law, in which censored paths count with their time.
        mean, error = 1 / passage.rate, passage.rate_stderr / passage.rate**2
        exact = theory.mean_first_passage_time(WELL, temperature, START, TARGET)
        kramers = theory.kramers_time(WELL, temperature, START, SADDLE)
        counts = f"{temperature:5.2f}  {1 / temperature:9.2f}  {passage.n_censored:11d}"
        theories = f"{exact:10.4g}  {(mean - exact) / error:5.2f}  {kramers:10.4g}  {kramers / exact:8.3f}"
        print(f"{counts}  {mean:10.4g} ± {error:7.2g}  {theories}")
        measured.append(mean)
        errors.append(error)

        times = np.sort(passage.times[np.isfinite(passage.times)]) / exact
        left.step(times, 1 - np.arange(1, len(times) + 1) / n_paths, where="post", label=f"T = {temperature:g}")
    t = np.linspace(0, 7, 100)
    left.plot(t, np.exp(-t), "k--", label="exponential law")
    left.set(yscale="log", xlim=(0, 7), ylim=(1e-3, 1.2))
    left.set(xlabel="time / exact mean time", ylabel="share of paths that have not arrived")
    left.legend()

    inverse = 1 / np.array(TEMPERATURES)
    fine = np.linspace(inverse.min(), inverse.max(), 60)
    exact = [theory.mean_first_passage_time(WELL, 1 / b, START, TARGET) for b in fine]
    right.errorbar(inverse, measured, 2 * np.array(errors), fmt="o", capsize=3, label="measured, ± 2 standard errors")
    right.plot(fine, exact, "-", label="exact")
    right.plot(fine, [theory.kramers_time(WELL, 1 / b, START, SADDLE) for b in fine], "--", label="Kramers")
    right.set(yscale="log", xlabel="1 / temperature (barrier 1)", ylabel="mean first-passage time")
    right.legend()
    figure.savefig("escape_times.png", dpi=90)
    print("\nescape_times.png is written")


if __name__ == "__main__":
    main()
