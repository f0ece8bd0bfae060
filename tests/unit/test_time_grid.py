"""The arithmetic of steps, dt, substeps and wiener_dt."""

import numpy as np
import optsde
import pytest
from optsde._grid import observed_steps, time_grid

PROBLEM = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0))
SDE = optsde.SGD(0.1).sde(PROBLEM)
CHAIN = optsde.SGD(0.1).discrete(PROBLEM)


def grid(dynamics=SDE, *, steps=None, t1=None, t0=0.0, dt=None, substeps=None, wiener_dt=None):
    return time_grid(dynamics, steps, t1, t0, dt, substeps, wiener_dt)


def test_default_is_eight_substeps():
    made = grid(steps=10)
    assert (made.n_steps, made.dt, made.first_cell, made.cells) == (80, 0.1 / 8, 0, 1)
    assert made.t1 == pytest.approx(1.0)


def test_discrete_steps_are_its_own():
    made = grid(CHAIN, steps=10)
    assert (made.n_steps, made.dt) == (10, 0.1)
    assert grid(CHAIN, steps=10, wiener_dt=0.0125).cells == 8


def test_first_cell_is_absolute():
    made = grid(t0=0.3, t1=1.0, dt=0.1)
    assert (made.first_cell, made.n_steps, made.dt) == (3, 7, 0.1)


@pytest.mark.parametrize("dt", [0.1, 0.3, 1e-3])
@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 0.75])
def test_a_start_between_steps_counts_them_without_gaps(dt, part):
    # Rounding halves to even would give steps 0, 2, 2, 4 to times 0.5, 1.5, 2.5, 3.5 and repeat noise in a split run.
    first = [grid(t0=(k + part) * dt, t1=(k + part + 1.0) * dt, dt=dt).first_cell for k in range(200)]
    assert first == list(range(200))


def test_the_wiener_grid_counts_whole_cells():
    assert grid(t0=0.2, t1=0.6, dt=0.2, wiener_dt=0.05).first_cell == 4
    assert grid(t0=0.1, t1=0.5, dt=0.2, wiener_dt=0.05).first_cell == 2
    with pytest.raises(ValueError, match=r"t0: .* wiener_dt = 0.1, got 0.05; the nearest are 0 and 0.1"):
        grid(t0=0.05, t1=0.45, dt=0.2, wiener_dt=0.1)


@pytest.mark.parametrize("method", ["euler_maruyama", "milstein", "ornstein_uhlenbeck"])
def test_a_start_between_steps_sees_the_same_wiener_path(method):
    walk = optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=1)
    ends = [
        optsde.simulate(walk, 0.0, t0=0.1, t1=0.5, dt=dt, wiener_dt=0.05, n_paths=40, method=method, rng=1).final
        for dt in (0.05, 0.1, 0.2)
    ]
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-14)
    np.testing.assert_allclose(ends[2], ends[0], atol=1e-14)


def test_a_late_start_keeps_whole_steps():
    made = grid(t0=1e8 * 0.1, steps=3)
    assert (made.first_cell, made.n_steps) == (8 * 10**8, 24)


def test_times_are_not_accumulated():
    made = grid(t0=0.0, t1=0.7, dt=0.1)
    assert made.times(np.array([0, 7])).tolist() == [0.0, 0.7]


def test_observed_times():
    made = grid(t1=1.0, dt=0.1)
    assert observed_steps(None, made).tolist() == [10]
    assert observed_steps(3, made).tolist() == [0, 5, 10]
    assert observed_steps(np.array([0.0, 0.24, 1.0]), made).tolist() == [0, 2, 10]


@pytest.mark.parametrize("span", [1.0, 3.0, 0.7, 12.34])
@pytest.mark.parametrize("count", [1, 3, 10, 1000, 10**7])
def test_whole_numbers_survive_rounding(span, count):
    assert grid(t1=span, dt=span / count).n_steps == count
