"""Descriptions compare, hash, pickle, copy and print; a pair of different ones does not."""

import copy
import pickle

import numpy as np
import optsde
import pytest


def gradient(x):
    return x


def deviation(x):
    return 1.0 + 0.0 * x


def drift(t, x):
    return -x


def diffusion(t, x):
    return 0.0 * x + 1.0


def problem(scale=1.0):
    return optsde.Problem(optsde.losses.Quadratic([2.0 * scale, 1.0]), optsde.noise.Gaussian([[1, 0.3], [0.3, 0.5]]), 2)


MAKERS = [
    lambda: optsde.losses.Quadratic([[2.0, 0.5], [0.5, 1.0]], center=[1.0, 2.0]),
    lambda: optsde.losses.DoubleWell(2.0, dim=3),
    lambda: optsde.losses.Quartic(1.0, -1.0),
    lambda: optsde.losses.Rosenbrock(3),
    lambda: optsde.losses.Rastrigin(2),
    lambda: optsde.losses.StyblinskiTang(2),
    lambda: optsde.losses.MuellerBrown(),
    lambda: optsde.losses.ScalarFactorization(),
    lambda: optsde.losses.Function(gradient, dim=2),
    lambda: optsde.noise.Zero(),
    lambda: optsde.noise.Gaussian(0.5),
    lambda: optsde.noise.Gaussian([[1.0, 0.3], [0.3, 0.5]]),
    lambda: optsde.noise.AffineDiagonal([1.0, 2.0], 0.5),
    lambda: optsde.noise.LossScaled([1.0, 2.0], floor=0.1),
    lambda: optsde.noise.Function(deviation, kind="diagonal"),
    problem,
    lambda: optsde.SGD(0.1),
    lambda: optsde.SGD(0.1).sde(problem()),
    lambda: optsde.SGD(0.1).discrete(problem()),
    lambda: optsde.SGD(0.1).flow(problem(), order=2),
    lambda: optsde.Langevin(optsde.losses.DoubleWell(dim=2), 0.3, [1.0, 2.0]),
    lambda: optsde.UnderdampedLangevin(optsde.losses.DoubleWell(dim=2), 0.3, [1.0, 2.0], 0.5),
    lambda: optsde.OrnsteinUhlenbeck([[1.0, 0.5], [0.0, 2.0]], 0.0, 0.1),
    lambda: optsde.SDE(drift, diffusion, dim=2, noise="diagonal"),
    lambda: optsde.initial.Gaussian([0.0, 1.0], 2.0),
    lambda: optsde.initial.Uniform(-1.0, [1.0, 2.0]),
    lambda: optsde.Moments(at=[0.0, 1.0], cov=True),
    lambda: optsde.Histogram(10, (-1, 1), coords=1, name="h"),
    lambda: optsde.Expectation(gradient, "x"),
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: type(make()).__name__)
def test_value_semantics(make):
    first, second = make(), make()
    assert first == second
    assert hash(first) == hash(second)
    for again in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first), copy.copy(first)):
        assert again == first
        assert hash(again) == hash(first)
    assert repr(first)
    assert first != object()


def test_all_differ():
    made = [make() for make in MAKERS]
    assert len(set(made)) == len(made)


def test_frozen():
    loss = optsde.losses.Quadratic([1.0, 2.0])
    with pytest.raises(AttributeError):
        loss.H = 3.0
    for again in (loss, pickle.loads(pickle.dumps(loss))):
        with pytest.raises(ValueError, match="read-only"):
            again.H[0] = 3.0


def test_arrays_are_copies():
    curvature = np.array([1.0, 2.0])
    loss = optsde.losses.Quadratic(curvature)
    curvature[0] = 5.0
    assert loss.H[0] == 1.0


def test_negative_zero_is_zero():
    first, second = optsde.noise.Gaussian([0.0, 1.0]), optsde.noise.Gaussian([-0.0, 1.0])
    assert first == second
    assert hash(first) == hash(second)


def test_dynamics_describe_themselves():
    for dynamics in (
        optsde.SGD(0.1).sde(problem()),
        optsde.SGD(0.1).discrete(problem()),
        optsde.SGD(0.1).flow(problem(), 2),
        optsde.Langevin(optsde.losses.DoubleWell(), 0.3),
        optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=2),
        optsde.SDE(drift, diffusion, dim=2, noise="full"),
    ):
        assert "source" in dynamics.describe()
        assert " at 0x" not in dynamics.describe()
        assert "array(" not in dynamics.describe()
        assert dynamics.citation()
        assert dynamics.state == {"theta": (dynamics.dim,)}
        assert "=" in repr(dynamics)


def test_prints_the_names_of_its_arguments():
    loss = optsde.losses.Function(gradient, dim=2, value=gradient)
    assert repr(loss) == "Function(grad=<gradient>, dim=2, value=<gradient>)"


def test_clock():
    assert optsde.SGD(0.1).sde(problem()).time_per_step == 0.1
    assert optsde.SGD(0.1).discrete(problem()).time_per_step == 0.1
    assert optsde.SGD(0.1).flow(problem()).time_per_step == 0.1
    assert optsde.Langevin(optsde.losses.DoubleWell(), 0.3).time_per_step is None


@pytest.mark.parametrize(
    ("dynamics", "kind"),
    [
        (optsde.SGD(0.1).sde(problem()), "additive_full"),
        (optsde.SGD(0.1).flow(problem()), "none"),
        (optsde.Langevin(optsde.losses.DoubleWell(), 0.3), "additive_diagonal"),
        (optsde.OrnsteinUhlenbeck(1.0, 0.0, [1.0, 2.0]), "additive_diagonal"),
        (optsde.SDE(drift, diffusion, dim=2, noise="diagonal_coupled"), "diagonal_coupled"),
    ],
)
def test_noise_kind(dynamics, kind):
    assert dynamics.noise_kind == kind
