"""Iterated integrals and Lévy areas, through one general Milstein step of dX = dW, dY_ij = X_i dW_j."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees, assert_rejected, mean_and_error

N = 1_000_000


def iterated_integrals(m, cells, *, n=N, rng=61, jacobian=True):
    """Increments (n, m), and I_(i,j) (n, m, m) for i != j, over a unit of time in one step."""
    pairs = [(i, j) for i in range(m) for j in range(m) if i != j]
    d = m + len(pairs)
    derivative = np.zeros((d, m, d))
    for k, (i, j) in enumerate(pairs):
        derivative[m + k, j, i] = 1.0

    def diffusion(t, x):
        b = np.zeros((len(x), d, m))
        b[:, :m] = np.eye(m)
        for k, (i, j) in enumerate(pairs):
            b[:, m + k, j] = x[:, i]
        return b

    equation = optsde.SDE(
        lambda t, x: np.zeros_like(x),
        diffusion,
        dim=d,
        noise="full",
        n_wiener=m,
        diffusion_jacobian=(lambda t, x: np.broadcast_to(derivative, (len(x), d, m, d))) if jacobian else None,
    )
    final = optsde.simulate(
        equation,
        np.zeros(d),
        t1=1.0,
        dt=1.0,
        wiener_dt=1.0 / cells,
        method="milstein",
        n_paths=n,
        rng=rng,
        observe=optsde.Final(),
    ).final
    integrals = np.full((n, m, m), np.nan)
    for k, (i, j) in enumerate(pairs):
        integrals[:, i, j] = final[:, m + k]
    return final[:, :m], integrals


def check_area(w, a, *, law):
    """Raises where the area of two processes has not the right moments; ``law``: all identities, not variances only."""
    squared = (w**2).sum(axis=1)
    # E[A² | w] = (1 + |w|²)/12: the variance, and its products with functions of w.
    statistics = [a, a**2, a**2 * squared, a * w[:, 0], a * w[:, 1], a * w[:, 0] * w[:, 1], a**2 * w[:, 0] * w[:, 1]]
    exact = [0.0, 1 / 4, 10 / 12, 0.0, 0.0, 0.0, 0.0]
    if law:
        statistics += [a**4, np.cos(a), np.cos(2 * a), np.cos(4 * a)]
        exact += [5 / 16, 0.8868188840, 1 / np.cosh(1.0), 1 / np.cosh(2.0)]
    assert_agrees(*mean_and_error(np.stack(statistics, axis=1)), exact)


@pytest.mark.parametrize("jacobian", [True, False], ids=["jacobian", "derivative-free"])
@pytest.mark.parametrize("cells", [1, 4, 64])
def test_area_of_two_processes(cells, jacobian):
    w, integrals = iterated_integrals(2, cells, n=N // 4 if cells == 64 else N, jacobian=jacobian)
    assert_agrees(*mean_and_error(np.concatenate([w, w**2, w[:, :1] * w[:, 1:]], axis=1)), [0, 0, 1, 1, 0])
    # Integration by parts holds path by path.
    np.testing.assert_allclose(integrals[:, 0, 1] + integrals[:, 1, 0], w[:, 0] * w[:, 1], atol=1e-12)
    a = integrals[:, 0, 1] - w[:, 0] * w[:, 1] / 2
    # One cell has one Fourier term and a Gaussian tail: the right variance given w, not the right fourth moment.
    check_area(w, a, law=cells == 64)
    if cells == 64:
        assert_agrees(*mean_and_error(a**4), 5 / 16, wrong=[3 / 16])
    else:
        # Composed of increments alone, without the cells' own areas.
        assert_rejected(*mean_and_error(a**2), 0.25 * (1 - 1 / cells))


@pytest.mark.parametrize("cells", [1, 16])
def test_areas_of_three_processes(cells):
    w, integrals = iterated_integrals(3, cells, n=400_000)
    a = (integrals - np.swapaxes(integrals, 1, 2)) / 2
    pairs = [(0, 1), (0, 2), (1, 2)]
    for i, j in pairs:
        check_area(w[:, [i, j]], a[:, i, j], law=False)
    # Given w, E[A_ij A_ik] = w_j w_k/12: each pair of areas shares one process.
    products, exact, wrong = [], [], []
    for i, j, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        product = a[:, i, j] * a[:, i, k]
        products += [product, product * w[:, j] * w[:, k]]
        exact += [0.0, 1 / 12]
        wrong += [0.0, 0.0]
    assert_agrees(*mean_and_error(np.stack(products, axis=1)), exact, wrong=[wrong, np.negative(exact)])


def test_areas_are_drawn_afresh_in_every_cell_and_path():
    w, integrals = iterated_integrals(2, 8, n=200_000)
    a = integrals[:, 0, 1] - w[:, 0] * w[:, 1] / 2
    assert_agrees(*mean_and_error(a[1:] * a[:-1]), 0.0)
    assert len(np.unique(a)) == len(a)


def fourier_area(w, terms, rng):
    """A truncated Fourier series without its tail."""
    a = np.zeros(len(w))
    for k in range(1, terms + 1):
        x, y = rng.standard_normal((2, len(w), 2))
        y = y - np.sqrt(2) * w
        a += (y[:, 0] * x[:, 1] - x[:, 0] * y[:, 1]) / (2 * np.pi * k)
    return a


def test_wrong_areas_are_rejected():
    rng = np.random.default_rng(62)
    w, integrals = iterated_integrals(2, 64, n=N // 2)
    a = integrals[:, 0, 1] - w[:, 0] * w[:, 1] / 2
    independent = np.sqrt(3) * fourier_area(0 * w, 20, rng)
    gaussian = np.sqrt((1 + (w**2).sum(axis=1)) / 12) * rng.standard_normal(len(w))
    mutants = {
        "no tail": fourier_area(w, 5, rng),
        "independent of the increments": independent,
        "zero": 0 * a,
        "sqrt(2)": np.sqrt(2) * a,
        "of h/2": a / 2,
        "cells without areas": np.sqrt(15 / 16) * a,
        "shuffled": rng.permutation(a),
        "not centred: the increments' product counted twice": a + w[:, 0] * w[:, 1] / 2,
    }
    for mutant in mutants.values():
        with pytest.raises(AssertionError):
            check_area(w, mutant, law=True)
    # Gaussian given w has the conditional variance, but not the fourth moment.
    check_area(w, gaussian, law=False)
    assert_rejected(*mean_and_error(gaussian**4), 5 / 16)
