"""Minibatch SGD of a logistic regression on real data beside its equations of order 1 and 2 and its SVAG.

Tumours, malignant or benign, by four measurements of cell nuclei (scikit-learn's breast cancer data). Run it with
``python examples/logistic_regression.py``: a minute on two cores for two tables, what they say, and
logistic_regression.png; a few seconds with ``--quick``, whose few paths leave small errors unresolved. Needs
scikit-learn and matplotlib (``pip install optsde[datasets,plot]``).
"""

import argparse
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import optsde

FEATURES = ["mean radius", "mean texture", "mean smoothness", "mean concavity"]
LR, BATCH_SIZE = 0.75, 16
SVAG = {l: f"SVAG, l = {l}" for l in (2, 8)}
FUNCTIONS = {"loss": "loss", "|θ|²": lambda state: np.square(state["theta"]).sum(axis=1)}
RESOLVED = 3.0  # standard errors


def compared(steps: int, n_paths: int) -> optsde.Comparison:
    """SGD from θ = 0, where both classes are equally likely, and its models, at every step."""
    data = optsde.datasets.breast_cancer()  # columns of mean 0 and variance 1, and a last one of ones
    columns = [data.feature_names.index(name) for name in FEATURES]
    X = np.column_stack([data.X[:, columns], np.ones(len(data.y))])
    loss = optsde.losses.LogisticRegression(X, data.y, l2=0.01)
    problem = optsde.Problem(loss, optsde.noise.Minibatch(), batch_size=BATCH_SIZE)
    sgd = optsde.SGD(LR)
    start = np.zeros(loss.dim)
    curvature = np.linalg.eigvalsh(loss.hessian(start))[-1]
    print(f"{data.name}: {loss.n_examples} examples, {loss.dim} parameters")
    print(f"η = {LR:g}, batches of {BATCH_SIZE}; η times the largest curvature: {LR * curvature:.2f}\n", flush=True)
    models = {
        "SGD": sgd.discrete(problem),
        "order 1": sgd.sde(problem),
        "order 2": sgd.sde(problem, order=2),
        **{name: sgd.svag(problem, l=l) for l, name in SVAG.items()},
    }
    # Equations have a Wiener process for each example. Steps are dear, and so is a pilot that finds out that it must
    # extrapolate: it is told.
    return optsde.compare(
        models,
        start,
        steps=steps,
        at=steps + 1,
        test_functions=FUNCTIONS,
        n_paths=n_paths,
        extrapolate=True,
        rng=1,
    )


def with_error(value: float, error: float, sign: str = "") -> str:
    """To two digits of the standard error."""
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:{sign}.{digits}f} ± {error:.{digits}f}"


def show(cmp: optsde.Comparison, at: list[int]) -> None:
    """Differences from SGD with their standard errors, and whether the integrator's own error matters."""
    others = cmp.models[1:]
    for function in cmp.functions:
        print(f"{function}: mean of SGD, and model minus SGD ± standard error")
        print("step       SGD" + "".join(f"{model:>22}" for model in others))
        for k in at:
            pairs = [(cmp.difference[m][function][k], cmp.difference_stderr[m][function][k]) for m in others]
            cells = "".join(f"{with_error(*pair, sign='+'):>22}" for pair in pairs)
            print(f"{cmp.step[k]:4d}  {cmp.mean['SGD'][function][k]:8.5f}{cells}")
        print()
    share = max(
        np.max(np.abs(cmp.integrator_error[m][f][1:]) / cmp.difference_stderr[m][f][1:])
        for m in others
        for f in cmp.functions
    )
    print(f"{cmp.n_paths} paths; the integrator's error is at most {share:.2f} standard errors of a difference\n")


def orders(cmp: optsde.Comparison, function: str, k: int) -> str:
    """How the equations of both orders do at one time."""
    (first, e1), (second, e2) = (
        (abs(cmp.difference[m][function][k]), cmp.difference_stderr[m][function][k]) for m in ("order 1", "order 2")
    )
    text = f"order 1 is off by {with_error(first, e1)}, order 2 by {with_error(second, e2)}"
    if first < RESOLVED * e1:
        return f"{text}: too few paths to tell which is better."
    if second < RESOLVED * e2:
        return f"{text}: not resolved, at least {first / (second + 2 * e2):.1f} times less."
    factor = first / second
    return f"{text}: {factor:.1f} times less." if factor > 1 else f"{text}: {1 / factor:.1f} times more."


def svag(cmp: optsde.Comparison, function: str, k: int) -> str:
    """Whether SVAG tends to the equation of order 1. Minibatches and Wiener paths are independent: variances add."""
    means = {l: (cmp.mean[m][function][k], cmp.stderr[m][function][k]) for l, m in ({1: "SGD"} | SVAG).items()}
    limit, doubt = cmp.mean["order 1"][function][k], cmp.stderr["order 1"][function][k]
    gaps = {l: (abs(mean - limit), math.hypot(error, doubt)) for l, (mean, error) in means.items()}
    listing = ", ".join(f"{with_error(*gap)} (l = {l})" for l, gap in gaps.items())
    falls = [a[0] - b[0] > RESOLVED * math.hypot(a[1], b[1]) for a, b in itertools.pairwise(gaps.values())]
    says = "it falls with every l" if all(falls) else "that it falls with every l is not resolved"
    return f"SVAG's distance from the equation of order 1 is {listing}: {says}."


def draw(cmp: optsde.Comparison) -> None:
    """The loss, and what the models are off in loss and in |θ|², with bands of two standard errors."""
    styles = dict(zip(cmp.models, ["k.", "C0-", "C1-", "C2--", "C3--"], strict=True))
    fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    for name in ("order 1", "order 2", "SGD"):
        axes[0].plot(cmp.step, cmp.mean[name]["loss"], styles[name], label=name)
    axes[0].set_title(f"SGD (η = {LR:g}, B = {BATCH_SIZE}) and its equations", fontsize="medium")
    axes[0].set_ylabel("mean loss")
    for ax, function in zip(axes[1:], cmp.functions, strict=True):
        for name in cmp.models[1:]:
            middle, width = cmp.difference[name][function], 2 * cmp.difference_stderr[name][function]
            (line,) = ax.plot(cmp.step, middle, styles[name], label=name)
            ax.fill_between(cmp.step, middle - width, middle + width, color=line.get_color(), alpha=0.25, linewidth=0)
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set_title(f"error in {function}, ± 2 standard errors", fontsize="medium")
        ax.set_ylabel(f"mean {function}: model minus SGD")
    for ax in axes:
        ax.set(xlabel="step k of SGD (time t = k η)", xlim=(0, cmp.step[-1]), xticks=np.linspace(0, cmp.step[-1], 5))
    axes[0].legend()
    axes[1].legend()
    fig.savefig("logistic_regression.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    cmp = compared(steps=8, n_paths=400) if quick else compared(steps=16, n_paths=4_000)
    show(cmp, [1, 2, 4, 8] if quick else [1, 2, 4, 8, 12, 16])
    for function in cmp.functions:
        k = int(np.argmax(np.abs(cmp.difference["order 1"][function])))  # where order 1 is worst
        print(f"{function} at step {cmp.step[k]}: {orders(cmp, function, k)}\n  {svag(cmp, function, k)}")
    draw(cmp)
    print("picture in logistic_regression.png")


if __name__ == "__main__":
    main()
