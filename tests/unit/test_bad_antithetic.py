"""What antithetic pairs refuse, by name, before any work."""

import numpy as np
import optsde
import pytest
from optsde import losses, noise

BOWL = losses.Quadratic([2.0, 1.0])
X = np.random.default_rng(3).normal(size=(12, 2))


@pytest.mark.parametrize(
    "dynamics",
    [
        optsde.SGD(0.1).discrete(optsde.Problem(losses.LinearRegression(X, X[:, 0]), noise.Minibatch(), batch_size=2)),
        optsde.SGD(0.1).discrete(optsde.Problem(BOWL, noise.AlphaStable(1.5, 0.1))),
        optsde.SGD(0.1).sde(optsde.Problem(BOWL, noise.AlphaStable(1.5, 0.1))),
        optsde.SGD(0.1).discrete(optsde.Problem(BOWL, noise.StudentT(3.0, 1.0))),
        optsde.SGD(0.1).flow(optsde.Problem(BOWL, noise.Gaussian(1.0))),
    ],
)
def test_noise_that_is_not_made_of_a_wiener_path(dynamics):
    with pytest.raises(ValueError, match="antithetic: pairs see a Wiener path"):
        optsde.simulate(dynamics, [0.0, 0.0], n_paths=10, steps=2, antithetic=True)


def test_an_odd_number_of_paths_and_no_bool():
    dynamics = optsde.SGD(0.1).sde(optsde.Problem(BOWL, noise.Gaussian(1.0)))
    with pytest.raises(ValueError, match="n_paths: antithetic paths come in pairs; expected an even number, got 11"):
        optsde.simulate(dynamics, [0.0, 0.0], n_paths=11, steps=2, antithetic=True)
    with pytest.raises(TypeError, match="antithetic: expected True or False, got 1"):
        optsde.simulate(dynamics, [0.0, 0.0], n_paths=10, steps=2, antithetic=1)
