"""Histograms of two coordinates and of functions against NumPy's on the same states."""

import numpy as np
import optsde
import pytest

OU = optsde.OrnsteinUhlenbeck([[1.0, 0.4], [0.0, 2.0]], 0.0, 0.5)
RUN = {"n_paths": 700, "t1": 1.0, "dt": 0.1, "rng": 3}


def run(observer, dynamics=OU, **options):
    paths = optsde.Paths(at=observer.at)
    ens = optsde.simulate(dynamics, [0.5, -0.2], **RUN | {"observe": [observer, paths]} | options)
    return ens.histogram, ens.paths


@pytest.mark.parametrize("coords", [(0, 1), (1, 0)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_two_coordinates(coords, dtype):
    observer = optsde.Histogram((5, 7), [(-0.6, 0.9), (-0.5, 0.5)], coords=coords, at=3)
    found, paths = run(observer, dtype=dtype)
    assert found.counts.shape == (3, 5, 7)
    area = np.diff(found.edges[0])[:, None] * np.diff(found.edges[1])
    for k, x in enumerate(paths.astype(float)):
        pair = x[:, coords]
        counts, *edges = np.histogram2d(*pair.T, bins=(5, 7), range=observer.range)
        assert (found.counts[k] == counts).all()
        for mine, theirs in zip(found.edges, edges, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-15)
        assert found.underflow[k].tolist() == [(pair[:, 0] < -0.6).sum(), (pair[:, 1] < -0.5).sum()]
        assert found.overflow[k].tolist() == [(pair[:, 0] > 0.9).sum(), (pair[:, 1] > 0.5).sum()]
        share = counts / 700
        np.testing.assert_allclose(found.density[k], share / area)
        np.testing.assert_allclose(found.stderr[k], np.sqrt(share * (1 - share) / 700) / area)


def test_one_number_of_bins_and_one_range_stand_for_both():
    alike = optsde.Histogram(6, (-1.0, 1.0), coords=(0, 1))
    assert alike == optsde.Histogram((6, 6), ((-1.0, 1.0), (-1.0, 1.0)), coords=[0, 1])
    found, _ = run(alike)
    assert [edges.tolist() for edges in found.edges] == [np.linspace(-1.0, 1.0, 7).tolist()] * 2


def test_function():
    found, paths = run(optsde.Histogram(8, (0.0, 1.0), of=lambda x: (x * x).sum(axis=1), at=3))
    assert found.counts.shape == (3, 8)
    for k, x in enumerate(paths):
        squares = (x * x).sum(axis=1)
        assert (found.counts[k] == np.histogram(squares, bins=8, range=(0.0, 1.0))[0]).all()
        assert found.overflow[k] == (squares > 1.0).sum()


def test_function_of_all_variables():
    problem = optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.Gaussian(1.0))
    dynamics = optsde.SGD(0.1, momentum=0.9).sde(problem)
    found, _ = run(
        optsde.Histogram(8, (-3.0, 3.0), of=lambda s: s["theta"][:, 0] + s["v"][:, 1], state=True), dynamics=dynamics
    )
    ens = optsde.simulate(dynamics, [0.5, -0.2], **RUN | {"observe": optsde.Final()})
    values = ens.final[:, 0] + ens.state["v"].final[:, 1]
    assert (found.counts[0] == np.histogram(values, bins=8, range=(-3.0, 3.0))[0]).all()


def test_diverged_paths_are_left_out():
    quartic = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
    observers = [
        optsde.Histogram(3, (-1.0, 1.0), coords=(0, 1), at=3),
        optsde.Histogram(3, (-1.0, 1.0), of=lambda x: x[:, 0], at=3, name="of"),
    ]
    with pytest.warns(optsde.DivergenceWarning):
        ens = optsde.simulate(quartic, [0.0, 0.1], n_paths=500, t1=3.0, dt=0.15, rng=3, observe=observers)
    joint, of = ens["histogram"], ens["of"]
    survivors = 500 - ens.n_diverged
    assert 0 < survivors < 500
    assert (of.counts.sum(axis=1) + of.underflow + of.overflow == survivors).all()
    inside = joint.counts.sum(axis=(1, 2))
    assert (inside <= survivors).all()
    outside = joint.underflow.sum(axis=1) + joint.overflow.sum(axis=1)
    assert (inside + outside >= survivors).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((4, (0, 1), (0, 1, 2)), ValueError, "coords: expected None, a coordinate or two"),
        ((4, (0, 1), (1, 1)), ValueError, "coords: expected two different"),
        ((4, (0, 1), (0, 0.5)), TypeError, "coords: expected an integer"),
        (((4, 4, 4), (0, 1), (0, 1)), ValueError, "bins: .*two of them"),
        (((4, 4), (0, 1)), TypeError, "bins: expected an integer"),
        ((4, ((0, 1), (0, 1))), ValueError, "range: expected two numbers"),
        ((4, ((0, 1), (1, 0)), (0, 1)), ValueError, "range: expected two numbers, the lower first"),
        ((4, (0, 1, 2), (0, 1)), ValueError, "range: .*or two such pairs"),
        ((4, (0, 1), 0, len), ValueError, "of: expected coords or a function, got both"),
        ((4, (0, 1), None, 3), TypeError, "of: expected a function of"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        optsde.Histogram(*arguments)


def test_bad_uses():
    with pytest.raises(ValueError, match=r"^state: goes with a function"):
        optsde.Histogram(4, (0, 1), state=True)
    with pytest.raises(ValueError, match=r"^coords: expected a coordinate below 2, got 2"):
        run(optsde.Histogram(4, (0, 1), coords=(0, 2)))
    with pytest.raises(ValueError, match=r"^of: the callback returned shape \(700, 2\), expected \(700,\)"):
        run(optsde.Histogram(4, (0, 1), of=lambda x: x))
