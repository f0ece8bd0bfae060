"""Derivatives of every built-in loss: exact, by nilpotent arithmetic on formulas written here; finite differences.

The formulas below are an independent reading of the definitions, evaluated with numbers a + b ε1 + c ε2 + … whose ε
square to zero: the coefficients of ε1, ε1 ε2 and ε1 ε2 ε3 are the first, second and third derivatives, to rounding.
"""

import functools
import itertools
import math

import numpy as np
import optsde
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

fixed = settings(derandomize=True, deadline=None, max_examples=30, database=None)


class Nilpotent:
    """A number with ε1, ε2, ε3, εi² = 0; coefficient k belongs to the product of the ε in the bits of k."""

    def __init__(self, coefficients):
        self.c = np.asarray(coefficients, dtype=float)

    @classmethod
    def of(cls, value):
        return value if isinstance(value, cls) else cls([value, 0, 0, 0, 0, 0, 0, 0])

    def __add__(self, other):
        return Nilpotent(self.c + Nilpotent.of(other).c)

    def __neg__(self):
        return Nilpotent(-self.c)

    def __sub__(self, other):
        return self + -Nilpotent.of(other)

    def __rsub__(self, other):
        return Nilpotent.of(other) + -self

    def __mul__(self, other):
        other = Nilpotent.of(other)
        out = np.zeros(8)
        for i, j in itertools.product(range(8), range(8)):
            if i & j == 0:
                out[i | j] += self.c[i] * other.c[j]
        return Nilpotent(out)

    __radd__ = __add__
    __rmul__ = __mul__

    def __pow__(self, n):
        return functools.reduce(lambda a, b: a * b, [self] * n)

    def through(self, derivatives):
        """A function of it, from value and three derivatives at its real part."""
        n = Nilpotent([0, *self.c[1:]])
        f, f1, f2, f3 = derivatives
        return f + f1 * n + f2 / 2 * n * n + f3 / 6 * n * n * n


def exp(x):
    return x.through([math.exp(x.c[0])] * 4)


def cos(x):
    a = x.c[0]
    return x.through([math.cos(a), -math.sin(a), -math.cos(a), math.sin(a)])


H = np.array([[2.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, -0.4]])
CENTER = np.array([0.3, -0.7, 1.1])


def quadratic(h, center):
    def value(x):
        y = [a - c for a, c in zip(x, center, strict=True)]
        return 0.5 * sum(h[i][j] * y[i] * y[j] for i in range(len(y)) for j in range(len(y)))

    return value


def rosenbrock(x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def rastrigin(x):
    return 10 * len(x) + sum(a * a - 10 * cos(2 * math.pi * a) for a in x)


def mueller_brown(x):
    terms = zip(
        (-200, -100, -170, 15), (-1, -1, -6.5, 0.7), (0, 0, 11, 0.6), (-10, -10, -6.5, 0.7),
        (1, 0, -0.5, -1), (0, 0.5, 1.5, 1), strict=True,
    )  # fmt: skip
    return sum(
        k * exp(a * (x[0] - u) ** 2 + b * (x[0] - u) * (x[1] - v) + c * (x[1] - v) ** 2) for k, a, b, c, u, v in terms
    )


def styblinski_tang(x):
    return 0.5 * sum(a**4 - 16 * a**2 + 5 * a for a in x)


CASES = {
    "quadratic, scalar": (optsde.losses.Quadratic(1.7, dim=2), quadratic(1.7 * np.eye(2), [0, 0])),
    "quadratic, diagonal": (
        optsde.losses.Quadratic([1.7, -0.4], [0.2, 0.1]),
        quadratic(np.diag([1.7, -0.4]), [0.2, 0.1]),
    ),
    "quadratic, full": (optsde.losses.Quadratic(H, CENTER), quadratic(H, CENTER)),
    "double well": (optsde.losses.DoubleWell(1.3, dim=2), lambda x: 1.3 * sum((a * a - 1) ** 2 for a in x)),
    "quartic": (optsde.losses.Quartic(0.7, -1.2, dim=3), lambda x: sum(0.7 / 4 * a**4 - 0.6 * a**2 for a in x)),
    "rosenbrock 2": (optsde.losses.Rosenbrock(), rosenbrock),
    "rosenbrock 4": (optsde.losses.Rosenbrock(4), rosenbrock),
    "rastrigin": (optsde.losses.Rastrigin(2), rastrigin),
    "styblinski tang": (optsde.losses.StyblinskiTang(3), styblinski_tang),
    "mueller brown": (optsde.losses.MuellerBrown(), mueller_brown),
    "scalar factorization": (optsde.losses.ScalarFactorization(), lambda x: 0.5 * (1 - x[0] * x[1]) ** 2),
}


def tensors(formula, x):
    """Value, gradient, Hessian and third derivatives of a formula at a point."""
    d = len(x)
    value, grad = None, np.zeros(d)
    hessian, third = np.zeros((d, d)), np.zeros((d, d, d))
    for i, j, k in itertools.product(range(d), repeat=3):
        point = [Nilpotent([a, i == p, j == p, 0, k == p, 0, 0, 0]) for p, a in enumerate(x)]
        c = Nilpotent.of(formula(point)).c
        value, grad[i], hessian[i, j], third[i, j, k] = c[0], c[1], c[3], c[7]
    return value, grad, hessian, third


def points(d, low=-1.5, high=1.5):
    return st.lists(st.floats(low, high, width=32), min_size=d, max_size=d).map(np.array)


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@fixed
def test_derivatives_are_exact(name, data):
    loss, formula = CASES[name]
    x = data.draw(points(loss.dim))
    s = np.array(data.draw(st.lists(points(loss.dim), min_size=loss.dim, max_size=loss.dim)))
    value, grad, hessian, third = tensors(formula, x)
    # Terms of both signs cancel: rounding is relative to the largest of them, bounded on the box by these scales.
    scale = 1e-13 * (
        1 + np.abs(hessian).max() + np.abs(third).max() + {"rosenbrock": 1e4, "mueller": 1e5}.get(name.split()[0], 100)
    )
    assert loss.value(x) == pytest.approx(value, rel=1e-12, abs=scale)
    np.testing.assert_allclose(loss.grad(x), grad, rtol=1e-12, atol=scale)
    np.testing.assert_allclose(loss.hessian(x), hessian, rtol=1e-12, atol=scale)
    contracted = np.einsum("ij,ijk->k", s, third)
    np.testing.assert_allclose(loss.third(x, s), contracted, rtol=1e-12, atol=10 * scale)
    np.testing.assert_allclose(loss.third(x, (s + s.T) / 2), contracted, rtol=1e-12, atol=10 * scale)


@pytest.mark.parametrize("name", CASES)
def test_wrong_derivatives_would_show(name):
    # The comparison distinguishes the formula from its neighbours: one coefficient off by 1e-9.
    loss, formula = CASES[name]
    x = np.linspace(0.31, 0.93, loss.dim)
    _, grad, hessian, _ = tensors(lambda y: (1 + 1e-9) * formula(y), x)
    assert not np.allclose(loss.grad(x), grad, rtol=1e-12, atol=0.0)
    assert not np.allclose(loss.hessian(x), hessian, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(fixed, max_examples=10)
def test_finite_differences(name, data):
    loss = CASES[name][0]
    d = loss.dim
    x = data.draw(points(d))
    s = np.array(data.draw(st.lists(points(d), min_size=d, max_size=d)))
    h = 1e-5
    steps = h * np.eye(d)

    def difference(f):
        return np.stack([(f(x + e) - f(x - e)) / (2 * h) for e in steps], axis=-1)

    def close(analytic, numeric, size):
        # Truncation h²/6 of derivatives up to 1e7 (Müller-Brown, Rosenbrock), rounding eps |f|/h.
        np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-5 * (1 + np.abs(size).max()))

    close(loss.grad(x), difference(loss.value), loss.hessian(x))
    close(loss.hessian(x), difference(loss.grad), loss.hessian(x))
    close(
        loss.third(x, s),
        difference(lambda y: (s * loss.hessian(y)).sum()),
        np.concatenate([loss.hessian(x).ravel(), loss.third(x, s), loss.third(x, np.eye(d))]),
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,), (17, 1, 2)])
def test_shapes(name, shape):
    loss = CASES[name][0]
    d = loss.dim
    x = np.random.default_rng(3).uniform(-1, 1, (*shape, d))
    s = np.random.default_rng(4).uniform(-1, 1, (*shape, d, d))
    assert loss.value(x).shape == shape
    assert loss.grad(x).shape == (*shape, d)
    assert loss.hessian(x).shape == (*shape, d, d)
    assert loss.third(x, s).shape == loss.third(x, s[..., :, :]).shape == (*shape, d)
    for index in np.ndindex(shape):
        # Batches are computed in vector lanes, single points too: the same bits.
        np.testing.assert_array_equal(loss.value(x)[index], loss.value(x[index]))
        np.testing.assert_array_equal(loss.grad(x)[index], loss.grad(x[index]))
        np.testing.assert_array_equal(loss.hessian(x)[index], loss.hessian(x[index]))
        np.testing.assert_array_equal(loss.third(x, s)[index], loss.third(x[index], s[index]))
        np.testing.assert_array_equal(loss.third(x, np.eye(d))[index], loss.third(x[index], np.eye(d)))
    hessian = loss.hessian(x)
    np.testing.assert_array_equal(hessian, np.swapaxes(hessian, -1, -2))
    # Any layout and dtype of real numbers.
    np.testing.assert_array_equal(loss.grad(np.asfortranarray(x)), loss.grad(x))
    rounded = x.astype(np.float32)
    np.testing.assert_array_equal(loss.grad(rounded), loss.grad(rounded.astype(float)))
    np.testing.assert_array_equal(loss.grad(np.zeros(d, dtype=int)), loss.grad(np.zeros(d)))


WITH_POINTS = [
    optsde.losses.Quadratic([1.0, 2.0], [0.5, 0.1]),
    optsde.losses.Quadratic([[1.0, 0.3], [0.3, 0.5]]),
    optsde.losses.Quadratic([1.0, -2.0]),
    *(optsde.losses.DoubleWell(0.7, dim=d) for d in (1, 2, 4)),
    *(optsde.losses.Quartic(a, b, dim=d) for a, b in ((1.0, 1.0), (2.0, -0.5), (1.0, 0.0)) for d in (1, 3)),
    *(optsde.losses.Rosenbrock(d) for d in (2, 3, 5)),
    *(optsde.losses.Rastrigin(d) for d in (1, 3)),
    *(optsde.losses.StyblinskiTang(d) for d in (1, 2, 4)),
    optsde.losses.MuellerBrown(),
    optsde.losses.ScalarFactorization(),
]


def gradient_scale(loss, x):
    """Size of the terms that cancel in the gradient."""
    return 1e-13 * (1 + np.abs(loss.hessian(x)).max() * (1 + np.abs(x).max()))


@pytest.mark.parametrize("loss", WITH_POINTS, ids=repr)
def test_minima_and_saddles(loss):
    minima = loss.minima
    assert minima.shape[1:] == (loss.dim,)
    assert len(np.unique(minima, axis=0)) == len(minima)
    for x in minima:
        assert np.abs(loss.grad(x)).max() <= gradient_scale(loss, x)
        assert np.linalg.eigvalsh(loss.hessian(x)).min() >= -1e-12 * np.abs(loss.hessian(x)).max()
        # A minimum, not only a stationary point.
        around = x + 1e-2 * np.random.default_rng(5).standard_normal((200, loss.dim))
        assert (loss.value(around) >= loss.value(x) - 1e-12 * (1 + abs(loss.value(x)))).all()
    for x in getattr(loss, "saddles", np.empty((0, loss.dim))):
        assert np.abs(loss.grad(x)).max() <= gradient_scale(loss, x)
        values = np.linalg.eigvalsh(loss.hessian(x))
        assert (values < 0).sum() == 1
        assert (values != 0).all()


@pytest.mark.parametrize(
    ("loss", "barrier"),
    [
        (optsde.losses.DoubleWell(0.7), 0.7),
        (optsde.losses.DoubleWell(2.0, dim=3), 2.0),
        (optsde.losses.Quartic(1.0, -1.0), 0.25),
        (optsde.losses.Quartic(2.0, -0.5, dim=2), 0.25 / 8),
        (optsde.losses.ScalarFactorization(), 0.5),
    ],
    ids=repr,
)
def test_barriers(loss, barrier):
    assert loss.barrier == pytest.approx(barrier, rel=1e-14)
    heights = loss.value(loss.saddles)[:, None] - loss.value(loss.minima)[None, :]
    np.testing.assert_allclose(heights, barrier, rtol=1e-13)


def test_counts_of_critical_points():
    for d in (1, 2, 3):
        assert optsde.losses.DoubleWell(dim=d).minima.shape == (2**d, d)
        assert optsde.losses.DoubleWell(dim=d).saddles.shape == (d * 2 ** (d - 1), d)
        assert optsde.losses.StyblinskiTang(d).minima.shape == (2**d, d)
    assert len(optsde.losses.Quartic(1.0, 1.0).saddles) == 0
    assert len(optsde.losses.Quadratic([1.0, -2.0]).minima) == 0
    assert len(optsde.losses.Quadratic([1.0, -2.0]).saddles) == 1


def test_published_values():
    loss = optsde.losses.MuellerBrown()
    np.testing.assert_allclose(loss.value(loss.minima), (-146.6995172, -108.1667241, -80.7678181), atol=5e-8)
    np.testing.assert_allclose(loss.value(loss.saddles), (-40.6648435, -72.2489401), atol=5e-8)
    loss = optsde.losses.StyblinskiTang(1)
    np.testing.assert_allclose(loss.minima[:, 0], (-2.903534, 2.746803), atol=5e-7)
    np.testing.assert_allclose(loss.value(loss.minima), (-39.166166, -25.029445), atol=6e-7)
    assert optsde.losses.Rosenbrock(3).value([0.0, 0.0, 0.0]) == 2.0
    assert optsde.losses.Rastrigin(2).value([0.5, 0.0]) == pytest.approx(20.25)


@given(data=st.data(), name=st.sampled_from(sorted(CASES)))
@settings(fixed, max_examples=50)
def test_a_step_of_the_algorithm_uses_this_gradient(data, name):
    # What the simulation steps with is what the loss reports, to rounding of the step.
    loss = CASES[name][0]
    x = data.draw(points(loss.dim))
    lr = 1e-3
    problem = optsde.Problem(loss, optsde.noise.Zero())
    one = optsde.simulate(optsde.SGD(lr).discrete(problem), x, steps=1).final[0]
    np.testing.assert_allclose(
        one, x - lr * loss.grad(x), rtol=1e-14, atol=1e-14 * (1 + lr * np.abs(loss.grad(x)).max())
    )
    ens = optsde.simulate(optsde.SGD(lr).discrete(problem), x, steps=1, observe=optsde.Loss(at=2), n_paths=3)
    np.testing.assert_allclose(ens.loss_mean, loss.value(np.stack([x, one])), rtol=1e-12, atol=1e-9)


def test_user_functions_answer_as_given():
    loss = optsde.losses.Function(
        lambda x: x**3,
        dim=2,
        value=lambda x: (x**4).sum(axis=1) / 4,
        hessian=lambda x: 3 * x[:, :, None] ** 2 * np.eye(2),
        third=lambda x, s: 6 * x * np.einsum("nii->ni", s),
    )
    same = optsde.losses.Quartic(1.0, 0.0, dim=2)
    x = np.random.default_rng(6).standard_normal((4, 3, 2))
    s = np.random.default_rng(7).standard_normal((2, 2))
    for name in ("value", "grad", "hessian"):
        np.testing.assert_allclose(getattr(loss, name)(x), getattr(same, name)(x), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(loss.third(x, s), same.third(x, s), rtol=1e-13, atol=1e-15)
    for piece in ("value", "hessian"):
        with pytest.raises(ValueError, match=piece):
            getattr(optsde.losses.Function(lambda x: x, dim=2), piece)(x)
