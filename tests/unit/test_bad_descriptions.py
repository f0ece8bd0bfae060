"""Every argument of a description tried wrong: the error names it and says what came."""

import ctypes

import numpy as np
import optsde
import pytest

Q = optsde.losses.Quadratic([1.0, 2.0])
G = optsde.noise.Gaussian(1.0)
P = optsde.Problem(Q, G)
# Σ H + H Σ has a negative eigenvalue: noise along (1, 1), curvature along one axis.
TILTED = optsde.Problem(optsde.losses.Quadratic([0.0, 4.0]), optsde.noise.Gaussian([[1.0, 1.0], [1.0, 1.0]]))


FLOW = optsde.SGD(0.1).flow(optsde.Problem(optsde.losses.DoubleWell(), G))
C = optsde.compiled(4096)
POINTER = ctypes.CFUNCTYPE(ctypes.c_int)(4096)
BENT = optsde.losses.Function(np.negative, dim=1, third=lambda x, s: 1j * x)


def f(*arguments):
    return arguments[-1]


BAD = [
    (lambda: optsde.losses.Quadratic([[1.0, 2.0]]), ValueError, r"H: expected a square matrix, got shape \(1, 2\)"),
    (lambda: optsde.losses.Quadratic([[1.0, 2.0], [0.0, 1.0]]), ValueError, "H: expected a symmetric matrix"),
    (lambda: optsde.losses.Quadratic(np.nan, dim=1), ValueError, "H: expected finite numbers, got nan"),
    (lambda: optsde.losses.Quadratic(1.0), ValueError, "dim: a scalar H needs a dimension"),
    (lambda: optsde.losses.Quadratic([1.0, 2.0], center=[0.0]), ValueError, "H has 2, center has 1"),
    (lambda: optsde.losses.Quadratic("1"), TypeError, "H: expected real numbers, got str"),
    (lambda: optsde.losses.Quadratic(1j, dim=1), TypeError, "H: expected real numbers"),
    (lambda: optsde.losses.Quadratic(None, dim=1), TypeError, "H: expected real numbers"),
    (lambda: optsde.losses.Quadratic([[1.0], [1.0, 2.0]]), ValueError, "H: expected numbers in a regular array"),
    (lambda: optsde.losses.Quadratic([]), ValueError, "H: expected"),
    (lambda: optsde.losses.Quadratic(1.0, dim=0), ValueError, "dim: expected an integer of at least 1, got 0"),
    (lambda: optsde.losses.Quadratic(1.0, dim=1.5), TypeError, "dim: expected an integer"),
    (lambda: optsde.losses.Quadratic(1.0, dim=True), TypeError, "dim: expected an integer"),
    (lambda: optsde.losses.DoubleWell(-1.0), ValueError, "height: expected a positive number, got -1"),
    (lambda: optsde.losses.DoubleWell([1.0, 2.0]), ValueError, "height: expected a number, got an array"),
    (lambda: optsde.losses.Quartic(-1.0), ValueError, "a: expected a number of at least 0"),
    (lambda: optsde.losses.Quartic(0.0, -1.0), ValueError, "b: expected a positive number"),
    (lambda: optsde.losses.Rosenbrock(1), ValueError, "dim: expected an integer of at least 2"),
    (lambda: optsde.losses.Function(3, dim=1), TypeError, "grad: expected a function, got int"),
    (lambda: optsde.losses.Function(f, dim=1, value=3), TypeError, "value: expected a function, got int"),
    (lambda: optsde.losses.Compiled(None, dim=1), TypeError, "grad: expected the address of a C function"),
    (lambda: optsde.losses.Compiled(0, dim=1), ValueError, "grad: .* null pointer"),
    (lambda: optsde.losses.Compiled(4096, dim=1, value=0), ValueError, "value: .* null pointer"),
    (lambda: optsde.losses.Compiled(4096, dim=1, user_data="x"), TypeError, "user_data: expected an address"),
    (lambda: optsde.losses.from_numba(3, dim=1), TypeError, "grad: expected a function of one point"),
    (lambda: optsde.losses.DoubleWell(dim=40).minima, ValueError, "dim <= 16"),
    (lambda: Q.value([1.0]), ValueError, r"x: expected shape \(..., 2\), got \(1,\)"),
    (lambda: Q.value(["a", "b"]), TypeError, "x: expected real numbers"),
    (lambda: Q.third([1.0, 2.0], np.eye(3)), ValueError, r"S: expected shape \(2, 2\)"),
    (lambda: optsde.losses.Function(f, dim=1).value([1.0]), ValueError, "^value: "),
    (lambda: optsde.losses.Function(f, dim=1).hessian([1.0]), ValueError, "^hessian: "),
    (lambda: optsde.losses.Function(f, dim=1).third([1.0], [[1.0]]), ValueError, "^third: "),
    (lambda: optsde.losses.Compiled(4096, dim=1).value([1.0]), ValueError, "^value: "),
    (lambda: optsde.losses.Compiled(4096, dim=1).hessian([1.0]), ValueError, "^hessian: "),
    (lambda: optsde.noise.Gaussian([[1.0, 2.0], [2.0, 1.0]]), ValueError, "cov: .*eigenvalue -1"),
    (lambda: optsde.noise.Gaussian([[1.0, 0.1], [0.2, 1.0]]), ValueError, "cov: expected a symmetric matrix"),
    (lambda: optsde.noise.Gaussian(-2.0), ValueError, "cov: .*eigenvalue -2"),
    (lambda: optsde.noise.Gaussian([1.0, -3.0]), ValueError, "cov: .*eigenvalue -3"),
    (lambda: optsde.noise.Gaussian([1.0, 2.0], dim=3), ValueError, "cov has 2, dim has 3"),
    (lambda: optsde.noise.AffineDiagonal(-1.0, 1.0), ValueError, "base: expected numbers of at least 0"),
    (lambda: optsde.noise.AffineDiagonal([1.0, 2.0], [1.0]), ValueError, "base has 2, slope has 1"),
    (lambda: optsde.noise.LossScaled(1.0, floor=np.inf), ValueError, "floor: expected finite numbers"),
    (lambda: optsde.noise.Function(f, kind="odd"), ValueError, "kind: expected one of 'diagonal'"),
    (lambda: optsde.noise.Function(f, kind=1), TypeError, "kind: expected one of"),
    (lambda: optsde.noise.Function(None, kind="full"), TypeError, "factor: expected a function"),
    (lambda: optsde.noise.Compiled(None, dim=1, kind="diagonal"), TypeError, "factor: expected the address"),
    (lambda: optsde.noise.Compiled(4096, dim=2, kind="diagonal", n_wiener=3), ValueError, "n_wiener: diagonal noise"),
    (lambda: optsde.Problem(3, G), TypeError, "loss: expected a loss"),
    (lambda: optsde.Problem(Q, Q), TypeError, "noise: expected a noise model"),
    (lambda: optsde.Problem(Q, optsde.noise.Gaussian([1.0])), ValueError, "loss has 2, noise has 1"),
    (lambda: optsde.Problem(Q, G, 0), ValueError, "batch_size: expected an integer of at least 1"),
    (lambda: optsde.Problem(Q, G, 1.0), TypeError, "batch_size: expected an integer"),
    (
        lambda: optsde.Problem(optsde.losses.Function(f, dim=1), optsde.noise.LossScaled(1.0)),
        ValueError,
        "^value: noise.LossScaled needs it",
    ),
    (lambda: optsde.SGD(0.0), ValueError, "lr: expected a positive number"),
    (lambda: optsde.SGD(np.nan), ValueError, "lr: expected finite"),
    (lambda: optsde.SGD([0.1, -0.2]), ValueError, "lr: expected positive numbers, got -0.2"),
    (lambda: optsde.SGD([0.1] * 7).sde(P), ValueError, "lr: expected .* rates, one a parameter, got 7"),
    (lambda: optsde.SGD(0.1).sde(Q), TypeError, "problem: expected an optsde.Problem"),
    (lambda: optsde.SGD(0.1).sde(P, order=3), ValueError, "order: expected one of 1, 2 .* got 3"),
    (lambda: optsde.SGD(0.1).sde(P, regime="ballistic"), ValueError, "regime: "),
    (lambda: optsde.SGD(0.1).flow(P, order=3), ValueError, "order: "),
    (
        lambda: optsde.SGD(0.1).flow(optsde.Problem(optsde.losses.Function(f, dim=1), G), order=2),
        ValueError,
        "^hessian: ",
    ),
    (lambda: optsde.Langevin(P, 1.0), TypeError, "loss: expected a loss"),
    (lambda: optsde.Langevin(Q, -1.0), ValueError, "temperature: "),
    (lambda: optsde.Langevin(Q, 1.0, 0.0), ValueError, "mobility: expected positive numbers"),
    (lambda: optsde.Langevin(Q, 1.0, np.eye(2)), ValueError, "mobility: expected a number or a"),
    (lambda: optsde.Langevin(Q, 1.0, [1.0]), ValueError, "loss has 2, mobility has 1"),
    (lambda: optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0), ValueError, "dim: scalar A, mean and cov"),
    (lambda: optsde.OrnsteinUhlenbeck(np.eye(2), 0.0, -np.eye(2)), ValueError, "cov: .*eigenvalue -1"),
    (lambda: optsde.SDE(None, f, dim=1, noise="full"), TypeError, "drift: expected a function"),
    (lambda: optsde.SDE(f, 4096, dim=1, noise="full"), TypeError, "diffusion: expected a function"),
    (lambda: optsde.SDE(f, f, dim=1, noise="none"), ValueError, "noise: expected one of"),
    (lambda: optsde.SDE(f, f, dim=2, noise="diagonal", n_wiener=1), ValueError, "n_wiener: "),
    (lambda: optsde.compiled(None), TypeError, "address: expected the address"),
    (lambda: optsde.compiled(0), ValueError, "address: .* null pointer"),
    (lambda: optsde.compiled(f), TypeError, "address: expected the address"),
    (lambda: optsde.initial.Gaussian([0.0, 1.0], [1.0]), ValueError, "mean has 2, cov has 1"),
    (lambda: optsde.initial.Uniform(1.0, 1.0), ValueError, "high: expected numbers above low"),
    (lambda: optsde.Moments(at=1), ValueError, "at: expected an integer of at least 2, got 1"),
    (lambda: optsde.Moments(at=True), TypeError, "at: expected an integer"),
    (lambda: optsde.Moments(at=[1.0, 0.5]), ValueError, "at: expected ascending times"),
    (lambda: optsde.Moments(at=0.5), ValueError, "at: expected None, an integer"),
    (lambda: optsde.Moments(cov=1), TypeError, "cov: expected True or False"),
    (lambda: optsde.Moments(name=3), TypeError, "name: expected a str"),
    (lambda: optsde.Paths(keep=0), ValueError, "keep: "),
    (lambda: optsde.Histogram(0, (0, 1)), ValueError, "bins: "),
    (lambda: optsde.Histogram(10, (1, 0)), ValueError, "range: expected two numbers, the lower first"),
    (lambda: optsde.Histogram(10, (0, 1), coords=-1), ValueError, "coords: "),
    (lambda: optsde.Moments(at=np.array(1)), ValueError, "at: expected an integer of at least 2, got 1"),
    (lambda: optsde.Histogram(10, (-1e308, 1e308)), ValueError, "range: .* cannot be divided into 10 bins"),
    (lambda: optsde.Histogram(3, (1.0, 1.0 + 4e-16)), ValueError, "range: .* cannot be divided into 3 bins"),
    (lambda: optsde.Key("a"), TypeError, "Key: expected an integer"),
    (lambda: optsde.Key(1.5), TypeError, "Key: expected an integer"),
    (lambda: optsde.SGD(0.1).sde(P, order=True), TypeError, "order: "),
    (lambda: optsde.compiled(-5), ValueError, "address: .* got -5"),
    (lambda: optsde.losses.Compiled(C, dim=1, user_data=1), ValueError, "user_data: grad is compiled.* has its own"),
    (lambda: optsde.losses.Function(POINTER, dim=1), TypeError, "grad: .*a C function goes into Compiled"),
    (lambda: optsde.noise.Function(POINTER, kind="diagonal"), TypeError, "factor: .*a C function goes into Compiled"),
    (lambda: optsde.SDE(POINTER, f, dim=1, noise="full"), TypeError, r"drift: .*optsde\.compiled\(address\)"),
    (
        lambda: optsde.Problem(Q, optsde.noise.Function(f, kind="diagonal", n_wiener=3)),
        ValueError,
        "n_wiener: diagonal noise has one Wiener process a coordinate, 2, got 3",
    ),
    (lambda: Q.value([[1.0, 2.0], [3.0]]), ValueError, "x: expected numbers in a regular array"),
    (lambda: Q.third([1.0, 2.0], "a"), TypeError, "S: expected real numbers"),
    (lambda: Q.third([1.0, 2.0], 1j * np.eye(2)), TypeError, "S: expected real numbers"),
    (lambda: Q.third(np.ones((3, 2)), np.ones((4, 2, 2))), ValueError, r"S: expected shape .*\(3, 2, 2\)"),
    (lambda: BENT.third([1.0], [[1.0]]), TypeError, "third: the callback returned dtype complex128"),
    (lambda: optsde.merge(None), TypeError, "ensembles: expected a list of ensembles, got NoneType"),
    (lambda: optsde.merge(optsde.simulate(FLOW, 0.0, steps=1)), TypeError, "ensembles: expected a list .* Ensemble"),
    (lambda: optsde.Expectation(3, "x"), TypeError, "function: expected a function"),
    (lambda: optsde.Expectation(f, 3), TypeError, "name: expected a str"),
    (lambda: optsde.SAM(0.1, 0.5, variant="usam").sde(TILTED), ValueError, "rho: the noise .* got eigenvalue -"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_singular_covariance_is_allowed():
    assert optsde.noise.Gaussian([[1.0, 1.0], [1.0, 1.0]]).dim == 2
    random = np.random.default_rng(1).normal(size=(20, 3))
    assert optsde.noise.Gaussian(random @ random.T).dim == 20


def test_rounding_asymmetry_is_forgiven():
    random = np.random.default_rng(1).normal(size=(20, 20))
    matrix = random @ random.T
    matrix[0, 1] *= 1.0 + 1e-15
    cov = optsde.noise.Gaussian(matrix).cov
    assert (cov == cov.T).all()
