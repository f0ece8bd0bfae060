"""The stationary law of minibatch SGD for a regression on real data, against two predictions.

Run it with ``python examples/stationary_regression.py``; it takes about ten seconds, prints a table and writes
stationary_regression.png. The Ornstein-Uhlenbeck prediction takes the noise as it is at the minimum, and is too narrow:
minibatch noise grows with the distance, which the exact law of the algorithm knows.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import optsde
from optsde import theory

LR, BATCH = 0.1, 10
SHOWN = ("bmi", "s1", "s2", "s5")


def normal(mean: float, var: float):
    return lambda x: np.exp(-((x - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a coarser answer in two seconds")
    rtol = 0.2 if parser.parse_args().quick else 0.05

    data = optsde.datasets.diabetes()
    problem = optsde.Problem(optsde.losses.LinearRegression(data.X, data.y), optsde.noise.Minibatch(), batch_size=BATCH)
    sgd = optsde.SGD(LR)
    found = optsde.stationary(sgd.discrete(problem), rtol=rtol, rng=7, progress=False)
    print(found, "\n")

    mean = np.asarray(theory.stationary_mean(sgd.discrete(problem)))
    exact = np.asarray(theory.stationary_cov(sgd.discrete(problem)))
    ou = np.asarray(theory.stationary_cov(sgd.sde(theory.linearized(problem))))
    print("variance    measured ± 95 %         exact law  of it   Ornstein-Uhlenbeck  of it")
    for i, name in enumerate(data.feature_names):
        var, error = found.var[i], found.var_error[i]
        exact_said = f"{exact[i, i]:.6f}  {exact[i, i] / var:5.3f}"
        print(f"{name:<10}  {var:.6f} ± {error:.6f}  {exact_said}   {ou[i, i]:.6f}            {ou[i, i] / var:5.3f}")

    coords = [data.feature_names.index(name) for name in SHOWN]
    figure = plt.figure(figsize=(12.0, 7.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.9))
    for ax, coord, name in zip(left.subplots(len(SHOWN), 1), coords, SHOWN, strict=True):
        laws = {
            "exact law's mean, variance": normal(mean[coord], exact[coord, coord]),
            "Ornstein-Uhlenbeck": normal(mean[coord], ou[coord, coord]),
        }
        optsde.plot.density(found.samples, laws, coord=coord, bins=40, label="minibatch SGD", ax=ax)
        ax.set_xlabel(f"weight of {name}")
        if ax is not left.axes[0]:
            ax.get_legend().remove()
    left.axes[0].legend(fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0))
    optsde.plot.corner(found.samples, coords=coords, mean=mean, cov=exact, labels=SHOWN, bins=30, fig=right)
    right.suptitle(f"SGD on the diabetes data, η = {LR}, B = {BATCH}; ellipses: the exact covariance")
    figure.savefig("stationary_regression.png", dpi=90)
    print("\nstationary_regression.png is written")


if __name__ == "__main__":
    main()
