"""Toy losses know their critical points; users' losses answer for points of any leading shape."""

import numpy as np
import optsde
import pytest

TOYS = [
    optsde.losses.Quadratic([[2.0, 0.5], [0.5, 1.0]], center=[1.0, -1.0]),
    optsde.losses.DoubleWell(2.0, dim=3),
    optsde.losses.Quartic(2.0, -1.0, dim=2),
    optsde.losses.Quartic(1.0, 1.0),
    optsde.losses.Rosenbrock(4),
    optsde.losses.Rastrigin(3),
    optsde.losses.StyblinskiTang(2),
    optsde.losses.MuellerBrown(),
    optsde.losses.ScalarFactorization(),
]


@pytest.mark.parametrize("loss", TOYS, ids=lambda loss: type(loss).__name__)
def test_gradient_vanishes_at_critical_points(loss):
    points = np.concatenate([loss.minima, getattr(loss, "saddles", np.empty((0, loss.dim)))])
    scale = np.abs(loss.hessian(points)).max()
    assert np.abs(loss.grad(points)).max() < 1e-12 * scale


@pytest.mark.parametrize("loss", TOYS, ids=lambda loss: type(loss).__name__)
def test_minima_and_saddles_are_what_they_say(loss):
    lowest = np.linalg.eigvalsh(loss.hessian(loss.minima))[:, 0]
    assert (lowest > -1e-9).all()
    if len(saddles := getattr(loss, "saddles", ())):
        eigenvalues = np.linalg.eigvalsh(loss.hessian(saddles))
        assert ((eigenvalues < 0.0).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    "loss", [optsde.losses.DoubleWell(3.0, 2), optsde.losses.Quartic(2.0, -1.0), optsde.losses.ScalarFactorization()]
)
def test_barrier(loss):
    assert loss.barrier == pytest.approx(loss.value(loss.saddles[0]) - loss.value(loss.minima[0]))


def test_indefinite_quadratic_has_a_saddle_and_no_minimum():
    loss = optsde.losses.Quadratic([1.0, -1.0])
    assert loss.minima.shape == (0, 2)
    assert loss.saddles.shape == (1, 2)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_leading_shapes(shape):
    loss = TOYS[0]
    x = np.random.default_rng(1).normal(size=(*shape, 2))
    assert loss.value(x).shape == shape
    assert loss.grad(x).shape == (*shape, 2)
    assert loss.hessian(x).shape == (*shape, 2, 2)
    assert loss.third(x, np.eye(2)).shape == (*shape, 2)


def test_function():
    loss = optsde.losses.Function(
        lambda x: 2.0 * x, dim=2, value=lambda x: (x**2).sum(axis=1), third=lambda x, s: x * s[:, 0, 1, None]
    )
    x = np.random.default_rng(1).normal(size=(2, 5, 2))
    np.testing.assert_array_equal(loss.grad(x), 2.0 * x)
    np.testing.assert_allclose(loss.value(x), (x**2).sum(axis=-1))
    np.testing.assert_allclose(loss.third(x, [[0.0, 1.0], [3.0, 0.0]]), 2.0 * x)
    with pytest.raises(ValueError, match=r"third: the callback returned shape \(1,\), expected \(3, 2\)"):
        optsde.losses.Function(lambda x: x, dim=2, third=lambda x, s: [1.0]).third(np.ones((3, 2)), np.eye(2))
