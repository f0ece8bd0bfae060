"""Stationary orders of every method on every problem with a known law that it takes, from the table of methods.

Differences between a step and half of it on one Wiener path: what they have in common cancels, and the slope of their
means is the order. Where noise depends on the state, the exact laws of test_one_step_laws.py do the same without paths.
"""

import itertools

import numpy as np
import optsde
import pytest
from method_problems import stationary_problems, takes
from step_laws import EQUATIONS, takes_three_points

GROUPS = 20
# Of the first order the leading error is seen later.
STEPS = {1: 2.0 ** -np.arange(3, 7), 2: 2.0 ** -np.arange(2, 6)}
T1 = 6.0
PROBLEMS = stationary_problems()
PAIRS = [
    (name, kind, index)
    for name, method in optsde.methods().items()
    if method.stationary is not None and np.isfinite(method.stationary)
    if not method.needs  # Langevin's own schemes: test_langevin.py
    for kind in method.noise_kinds
    for index, problem in enumerate(PROBLEMS.get(kind, []))
    if takes(name, problem.dynamics) and not (kind in EQUATIONS and takes_three_points(name, kind))
]


def expected_order(method, kind):
    """The declared order; Heun's scheme in Stratonovich's calculus is Heun's where nothing calls for a calculus."""
    if method == "stratonovich_heun" and kind.startswith("additive"):
        return 2.0
    return optsde.methods()[method].stationary


def fitted(groups):
    """Slope of the differences and its standard error by jackknife over the groups."""
    x = -np.log(2.0) * np.arange(len(groups))
    x = x - x.mean()

    def slope(differences):
        return x @ np.log(np.abs(differences)) / (x @ x)

    left_out = [slope(np.delete(groups, k, axis=1).mean(axis=1)) for k in range(GROUPS)]
    return slope(groups.mean(axis=1)), np.sqrt((GROUPS - 1) * np.var(left_out))


def squares(problem, method, dt, cell, paths):
    final = optsde.simulate(
        problem.dynamics,
        problem.start,
        t1=T1,
        dt=dt,
        wiener_dt=cell,
        method=method,
        n_paths=paths,
        rng=61,
        observe=optsde.Final(),
    ).final
    return final[:, -1] ** 2


@pytest.mark.parametrize(("method", "kind", "index"), PAIRS)
def test_stationary_order(method, kind, index):
    order, problem = expected_order(method, kind), PROBLEMS[kind][index]
    steps = STEPS[1 if order < 2 else 2]
    for paths in (20_000, 250_000):
        found = [squares(problem, method, dt, steps[-1], paths) for dt in steps]
        groups = np.array([(a - b).reshape(GROUPS, -1).mean(axis=1) for a, b in itertools.pairwise(found)])
        slope, stderr = fitted(groups)
        if 5 * stderr < 0.6:
            break
    assert 5 * stderr < 0.6, f"slope {slope:.3f} ± {stderr:.3f}: the noise hides the bias"
    assert order - 0.3 < slope < order + 0.4, f"slope {slope:.3f} ± {stderr:.3f}"
    # And the limit is the exact value: what is left of the error is a part of the last difference.
    rest = 2.0 / (2.0**order - 1.0) * np.abs(groups[-1].mean())
    error = found[-1].std() / np.sqrt(paths)
    assert np.abs(found[-1].mean() - problem.exact) < rest + 5 * error
