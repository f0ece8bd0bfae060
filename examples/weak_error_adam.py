"""The weak error of Adam's and RMSprop's equations of first and second order against the learning rate.

Algorithm and equation run on one Wiener path (ballistic regime, two coupled parameters). Run it with
``python examples/weak_error_adam.py``: two minutes on two cores for a table and weak_error_adam.png; a few seconds
with ``--quick``, whose few paths leave small errors unresolved. Needs matplotlib (``pip install optsde[plot]``).
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import optsde

LOSS = optsde.losses.Quadratic([[1.0, 0.4], [0.4, 0.8]])
PROBLEM = optsde.Problem(LOSS, optsde.noise.Gaussian(0.1))
THETA = [1.5, 1.0]
# Each optimizer at one rate; `family` keeps (1 - beta)/lr when the rate falls. Adam's equations begin at t = 1, from
# the state of each path of the algorithm, when the bias corrections have settled.
CASES = {
    "Adam": (optsde.Adam(lr=0.1, betas=(0.8, 0.95), eps=0.1), THETA, {"t0": 1.0, "t1": 2.0}),
    "RMSprop": (optsde.RMSprop(lr=0.1, alpha=0.95, eps=0.1), {"theta": THETA, "v": [1.0, 1.0]}, {"t1": 1.0}),
}


def seen(result: optsde.WeakOrder) -> np.ndarray:
    """Which errors stand out of their noise."""
    return result.errors[:, 0] > 3 * result.stderr[:, 0]


def label(order: int, result: optsde.WeakOrder) -> str:
    """The measured slope with its interval, or why there is none."""
    if not result.resolved:
        return f"order {order}: not resolved"
    low, high = result.interval
    return f"order {order}: slope {result.slope:.2f} ({low:.2f} to {high:.2f})"


def draw(ax: plt.Axes, results: dict[int, optsde.WeakOrder]) -> None:
    """Errors with bars of two standard errors; what does not stand out of its noise is hollow."""
    for order, marker, color, style in [(1, "o", "C0", "--"), (2, "s", "C1", ":")]:
        result = results[order]
        s, error, width = result.time_per_step, result.errors[:, 0], 2 * result.stderr[:, 0]
        clear = seen(result)
        lower = np.minimum(width, 0.9 * error)  # a bar to zero has no end on a logarithmic axis
        ax.errorbar(s, error, yerr=[lower, width], fmt="none", ecolor=color, capsize=3)
        ax.plot(s[clear], error[clear], marker, color=color, label=label(order, result))
        ax.plot(s[~clear], error[~clear], marker, color=color, markerfacecolor="white")
        through = np.exp(np.mean(np.log(error[clear] / s[clear] ** order)))
        ax.plot(s, through * s**order, style, color="0.5", zorder=0, label=f"reference: slope {order}")
    ax.set(xscale="log", yscale="log", xlabel="learning rate η")
    ax.set_xticks(s, [f"{rate:g}" for rate in s])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize="small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer paths and rates")
    quick = parser.parse_args().quick
    etas = [0.2, 0.1, 0.05] if quick else [0.2, 0.1, 0.05, 0.025]
    most = 1_000 if quick else 50_000

    fig, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
    for ax, (name, (optimizer, start, times)) in zip(axes, CASES.items(), strict=True):
        results = {}
        for order in (1, 2):
            family = optimizer.family(PROBLEM, order=order)
            results[order] = optsde.weak_order(family, start, etas, **times, max_paths=most, rng=1)
            print(f"{name}, equation of order {order}\n{results[order]}\n", flush=True)
        draw(ax, results)
        ax.set_title(f"{name}: error of its equations at t = {times['t1']:g}")
    axes[0].set_ylim(bottom=axes[0].get_ylim()[0] / 8)  # room for the legends
    axes[0].set_ylabel("weak error of the mean of θ")
    fig.savefig("weak_error_adam.png", dpi=100)
    print("picture in weak_error_adam.png; hollow points do not stand out of their noise by three standard errors")


if __name__ == "__main__":
    main()
