"""Antithetic pairs bit for bit: path 2i is path i of a run without pairs, path 2i + 1 that of the equation -b dW."""

import numpy as np
import optsde
import pytest


def polynomial_drift(t, x):
    return 0.1 - x * x * x


def signed(sign):
    """Non-commuting equation in two dimensions whose factor has this sign."""

    def factor(t, x):
        out = np.empty((len(x), 2, 3))
        out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = 0.3, 0.2 * x[:, 1], 0.1
        out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = 0.1 * x[:, 0], 0.25, 0.2 * x[:, 0] * x[:, 1]
        return sign * out

    def jacobian(t, x):
        out = np.zeros((len(x), 2, 3, 2))
        out[:, 0, 1, 1] = 0.2
        out[:, 1, 0, 0] = 0.1
        out[:, 1, 2, 0], out[:, 1, 2, 1] = 0.2 * x[:, 1], 0.2 * x[:, 0]
        return sign * out

    return optsde.SDE(polynomial_drift, factor, dim=2, noise="full", n_wiener=3, diffusion_jacobian=jacobian)


def linear(sign):
    """Constant noise that one Wiener process each drives, with this sign."""
    return optsde.SDE(
        lambda t, x: 0.2 - 0.5 * x,
        lambda t, x: np.full(x.shape, 0.7 * sign),
        dim=2,
        noise="diagonal",
        diffusion_jacobian=lambda t, x: np.zeros(x.shape),
    )


START = [0.4, -0.3]
TIME = {"t1": 0.8, "dt": 0.1, "rng": 7, "observe": [optsde.Final()]}
WAYS = [
    (signed, {"method": "euler_maruyama"}),
    (signed, {"method": "milstein"}),
    (signed, {"method": "milstein", "wiener_dt": 0.05}),
    (signed, {"method": "platen"}),
    (signed, {"method": "euler_maruyama", "wiener_dt": 0.025}),
    (signed, {"method": "euler_maruyama", "dtype": "float32"}),
    (signed, {"method": "milstein", "dtype": "float32"}),
    (linear, {"method": "platen", "increments": "three_point"}),
    (linear, {"method": "euler_maruyama", "increments": "two_point"}),
    (linear, {"method": "euler_maruyama", "increments": "gaussian_f32"}),
]


@pytest.mark.parametrize(("equation", "way"), WAYS)
def test_the_second_path_sees_the_negative(equation, way):
    pairs = optsde.simulate(equation(1.0), START, n_paths=400, antithetic=True, **(TIME | way)).final
    plain = [optsde.simulate(equation(sign), START, n_paths=200, **(TIME | way)).final for sign in (1.0, -1.0)]
    assert np.array_equal(pairs[0::2], plain[0])
    if way["method"] == "platen" and equation is signed:
        # Its supporting points change places with the sign: the same up to the order of sums.
        assert np.abs(pairs[1::2] - plain[1]).max() < 1e-14
    else:
        assert np.array_equal(pairs[1::2], plain[1])
    assert not np.array_equal(plain[0], plain[1])


OU = optsde.OrnsteinUhlenbeck([[1.0, 0.2], [0.1, 2.0]], [3.0, 1.0], 1.0)
RUNS = [
    (OU, optsde.initial.Gaussian(0.0, [1.0, 2.0]), {"t1": 2.0, "dt": 0.1}),
    (OU, optsde.initial.Uniform(0.0, [1.0, 2.0]), {"t1": 2.0, "dt": 0.1, "method": "ornstein_uhlenbeck"}),
    (signed(1.0), START, {"t1": 0.8, "dt": 0.1, "wiener_dt": 0.05, "method": "milstein"}),
    (OU, START, {"t1": 2.0, "dt": 0.1, "dtype": "float32", "method": "euler_maruyama", "increments": "two_point"}),
]


def fields(ens):
    moments = ens["moments"]
    return [ens.final, moments.mean, moments.cov, moments.mean_stderr, moments.cov_stderr, ens["norm"].stderr]


@pytest.mark.parametrize(("dynamics", "start", "options"), RUNS)
def test_threads_shards_and_size_do_not_change_the_bits(dynamics, start, options):
    observe = [
        optsde.Moments(at=3, cov=True),
        optsde.Final(),
        optsde.Expectation(lambda x: (x * x).sum(axis=1), "norm"),
    ]
    options = {"rng": 7, "observe": observe, "antithetic": True, **options}
    whole = optsde.simulate(dynamics, start, n_paths=1000, **options)
    for threads in (1, 3):
        again = optsde.simulate(dynamics, start, n_paths=1000, threads=threads, **options)
        assert all(np.array_equal(a, b) for a, b in zip(fields(whole), fields(again), strict=True))
    # Shards that begin in the middle of a pair.
    ranges = [(0, 33), (33, 641), (641, 1000)]
    shards = [optsde.simulate(dynamics, start, n_paths=1000, path_range=r, **options) for r in ranges]
    merged = optsde.merge(shards[::-1])
    assert all(np.array_equal(a, b) for a, b in zip(fields(whole), fields(merged), strict=True))
    larger = optsde.simulate(dynamics, start, n_paths=1200, **options)
    assert np.array_equal(larger.final[:1000], whole.final)
    for path in (0, 1, 501):
        assert np.array_equal(whole.replay(path).final[0], whole.final[path])


def test_runs_split_at_a_step_go_on():
    options = {"antithetic": True, "rng": 7, "dt": 0.1, "n_paths": 100, "observe": [optsde.Final()]}
    whole = optsde.simulate(OU, START, t1=2.0, **options)
    half = optsde.simulate(OU, START, t1=1.0, **options)
    rest = optsde.simulate(OU, half.final, t0=1.0, t1=2.0, **(options | {"n_paths": None}))
    assert np.array_equal(whole.final, rest.final)


def test_a_pair_shares_its_start():
    start = optsde.initial.Gaussian(0.0, [1.0, 2.0])
    options = {"antithetic": True, "rng": 7, "dt": 0.1, "t1": 1.0, "n_paths": 100}
    first = optsde.simulate(OU, start, observe=optsde.Paths(at=11), **options).paths[0]
    assert np.array_equal(first[0::2], first[1::2])
    assert len(np.unique(first[:, 0])) == 50


def test_algorithms_pair_too():
    problem = optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Gaussian(1.0))
    ens = optsde.simulate(optsde.SGD(0.1).discrete(problem), [0.0, 0.0], n_paths=100, steps=5, antithetic=True, rng=7)
    assert np.array_equal(ens.final[0::2], -ens.final[1::2])
