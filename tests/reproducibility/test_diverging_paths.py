"""A path that runs away leaves the bits of all others as they are."""

import numpy as np
import optsde
import pytest
from catalog import CASES

pytestmark = [
    pytest.mark.filterwarnings("ignore::optsde.DivergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*(overflow|invalid value|divide by zero).*:RuntimeWarning"),
]
N = 80
LOST = 2


def point(start):
    """The coordinates that a case starts at, and what makes a start of coordinates; None of a law."""
    if isinstance(start, dict):
        return start["theta"], lambda theta: {**start, "theta": theta}
    return (None if isinstance(start, optsde.initial.Initial) else start), lambda theta: theta


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.options.get("antithetic")])
def test_a_path_far_off_takes_no_other_with_it(name):
    case = CASES[name]
    theta, start = point(case.theta0)
    if theta is None:
        pytest.skip("it starts from a law")
    everywhere = np.tile(np.atleast_1d(np.asarray(theta, float)), (N, 1))
    far = everywhere.copy()
    far[LOST] = np.finfo(case.options.get("dtype", "float64")).max
    runs = [
        optsde.simulate(
            case.dynamics,
            start(theta),
            n_paths=N,
            rng=7,
            observe=[optsde.Final(), optsde.Paths(at=4)],
            on_divergence="keep",
            **case.options,
        )
        for theta in (everywhere, far)
    ]
    others = np.arange(N) != LOST
    assert not np.array_equal(runs[0].final[LOST], runs[1].final[LOST])
    assert runs[0].final[others].tobytes() == runs[1].final[others].tobytes()
    assert runs[0].paths[:, others].tobytes() == runs[1].paths[:, others].tobytes()
