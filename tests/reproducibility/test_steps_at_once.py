"""Steps of SGD on minibatches that a kernel takes many at once have the bits of steps taken one by one."""

from typing import Any

import numpy as np
import optsde
import pytest

# More than are taken at once with five draws a step or more.
STEPS = 50
# More paths than a block has, and a group that is not full.
PATHS = 77


def regression(kind: str, inputs: int, examples: int) -> tuple[Any, int]:
    """A loss over random data, and its dimension."""
    rng = np.random.default_rng(inputs)
    x = rng.standard_normal((examples, inputs))
    if kind == "linear":
        return optsde.losses.LinearRegression(x, rng.standard_normal(examples)), inputs
    if kind == "logistic":
        return optsde.losses.LogisticRegression(x, np.arange(examples) % 2, l2=0.01), inputs
    return optsde.losses.SoftmaxRegression(x, np.arange(examples) % 3), 3 * inputs


# Inputs, draws and examples: rows of one to four lines and of more, of whole vectors and not; whole lots of draws and
# what is left of them.
SHAPES = [(3, 1, 7), (8, 8, 50), (20, 10, 100), (24, 5, 30), (31, 15, 64), (32, 3, 64), (70, 9, 40)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("inputs", "batch", "examples"), SHAPES)
@pytest.mark.parametrize("kind", ["linear", "logistic", "softmax"])
def test_bits_do_not_depend_on_when_paths_are_looked_at(
    kind: str, inputs: int, batch: int, examples: int, dtype: str
) -> None:
    loss, dim = regression(kind, inputs, examples)
    noises = [optsde.noise.Minibatch(), optsde.noise.Minibatch(replace=False)]
    if examples % batch == 0:
        noises.append(optsde.noise.Minibatch(reshuffle=True))
    rates = [0.02, np.linspace(0.01, 0.03, dim), optsde.schedules.Cosine(0.03, 12)]
    for noise in noises:
        problem = optsde.Problem(loss, noise, batch)
        for lr, decay in [*((lr, 0.0) for lr in rates), (rates[1], 0.3)]:
            model = optsde.SGD(lr=lr, weight_decay=decay, decoupled=decay > 0).discrete(problem)

            def run(observe: list[Any], model: Any = model) -> Any:
                start = np.full(dim, 0.3)
                return optsde.simulate(model, start, steps=STEPS, n_paths=PATHS, observe=observe, rng=3, dtype=dtype)

            once = run([optsde.Final()])
            often = run([optsde.Paths(at=np.arange(STEPS + 1) * model.time_per_step), optsde.Final()])
            np.testing.assert_array_equal(once.final, often.final)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("inputs", "batch", "examples"), SHAPES)
@pytest.mark.parametrize("kind", ["linear", "logistic", "softmax"])
def test_a_path_that_diverges_takes_no_other_with_it(
    kind: str, inputs: int, batch: int, examples: int, dtype: str
) -> None:
    loss, dim = regression(kind, inputs, examples)
    model = optsde.SGD(lr=0.02).discrete(optsde.Problem(loss, optsde.noise.Minibatch(), batch))
    start = np.full((PATHS, dim), 0.3, dtype)
    run = {"steps": STEPS, "n_paths": PATHS, "observe": [optsde.Final()], "rng": 3, "dtype": dtype}
    well = optsde.simulate(model, start, **run)
    start[2] = np.finfo(dtype).max  # its predictors overflow
    with pytest.warns(optsde.DivergenceWarning):
        ill = optsde.simulate(model, start, **run)
    assert (well.n_diverged, ill.n_diverged) == (0, 1)
    others = np.arange(PATHS) != 2
    np.testing.assert_array_equal(well.final[others], ill.final[others])
