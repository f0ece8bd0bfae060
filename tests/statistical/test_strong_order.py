"""Strong orders of every method for every noise kind it takes, from the table of methods; broken schemes fail.

Errors of coarse steps against an exact solution or the same method at much finer steps, all on one Wiener path
(``wiener_dt``). The slope's standard error is that of a jackknife over groups of paths; the whole interval of ±5
standard errors must lie above the declared order less 0.1.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import optsde
import pytest
from method_problems import takes
from problems import apply, assert_agrees, assert_rejected, mean_and_error
from scipy.linalg import expm

N = 20_000
SEED = 81
LEVELS = (3, 4, 5, 6)
FINEST = 10
WIENER_DT = 2.0**-FINEST
ORDER_MARGIN = 0.1
GROUPS = 20


@dataclass(frozen=True)
class Case:
    """An equation of one noise kind on [0, 1], and its exact solution as a function of W(1) where there is one."""

    dynamics: optsde.Dynamics
    start: tuple
    exact: object = None
    n_wiener: int = 1
    # Its derivatives are not given: the same as another case for all methods but Milstein's.
    bare: bool = False


def sde(drift, diffusion, d, kind, n_wiener=None, jacobian=None):
    return optsde.SDE(
        lambda t, x: drift(x),
        lambda t, x: diffusion(x),
        dim=d,
        noise=kind,
        n_wiener=n_wiener,
        diffusion_jacobian=None if jacobian is None else lambda t, x: jacobian(x),
    )


# Diagonal: X = sinh(s W + asinh x0) solves dX = s² X/2 dt + s sqrt(1 + X²) dW.
SINH = 0.5


def diagonal(jacobian=1.0):
    return sde(
        lambda x: SINH**2 * x / 2,
        lambda x: SINH * np.sqrt(1 + x**2),
        2,
        "diagonal",
        jacobian=None if jacobian is None else lambda x: jacobian * SINH * x / np.sqrt(1 + x**2),
    )


def diagonal_exact(w):
    return np.sinh(SINH * w + np.arcsinh([0.5, -1.0]))


# Scalar: SGD with noise proportional to a quadratic loss; without a floor it is geometric Brownian motion, whose
# noise has SGD's sign: dX = -X dt - sqrt(lr c/2) X dW for X > 0.
SCALAR_LR, SCALAR_COV = 0.5, 1.5


def scalar_loss(floor):
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.LossScaled(SCALAR_COV, floor=floor))
    return optsde.SGD(SCALAR_LR).sde(problem)


def scalar_exact(w):
    rate = SCALAR_LR * SCALAR_COV / 2
    return 0.8 * np.exp(-1.0 - rate / 2 - np.sqrt(rate) * w)


# Commutative: dX = A X dt + Σ B_j X dW_j with A and all B commuting, one or two Wiener processes in two dimensions.
B_SCALAR = np.array([[0.5, 0.3], [-0.3, 0.5]])
A_SCALAR = np.array([[-0.3, 0.4], [-0.4, -0.3]])


def linear(a, bs, kind, jacobian=1.0):
    """The linear equation dX = A X dt + Σ B_j X dW_j."""
    bs = np.asarray(bs)
    derivative = np.moveaxis(bs, 0, 1)

    def slopes(x):
        return np.broadcast_to(jacobian * derivative, (len(x), *derivative.shape))

    return sde(
        lambda x: apply(a, x),
        lambda x: np.stack([apply(b, x) for b in bs], axis=2),
        len(a),
        kind,
        n_wiener=len(bs),
        jacobian=None if jacobian is None else slopes,
    )


def linear_exact(a, bs, start):
    bs = np.asarray(bs)
    drift = a - 0.5 * sum(b @ b for b in bs)

    def exact(w):
        return expm(drift + np.einsum("nj,jkl->nkl", w, bs)) @ np.array(start)

    return exact


BS_COMMUTATIVE = (B_SCALAR, np.array([[-0.3, 0.4], [-0.4, -0.3]]))
# Full: two that do not commute.
BS_FULL = (np.array([[0.0, 0.9], [0.3, 0.0]]), np.array([[0.8, 0.0], [0.0, -0.5]]))
A_FULL = np.array([[-1.0, 0.3], [0.0, -0.5]])


# Diagonal and coupled: entry i depends on another coordinate, so that Lévy areas matter.
def coupled(jacobian=1.0):
    return sde(
        lambda x: -x,
        lambda x: np.stack([np.sqrt(1 + x[:, 1] ** 2 / 2), 1 + np.sin(x[:, 0])], axis=1),
        2,
        "diagonal_coupled",
        jacobian=None if jacobian is None else lambda x: 0 * x,
    )


ADDITIVE = optsde.losses.Quartic(a=1.0, b=0.5, dim=2)
FULL_COV = np.array([[1.0, 0.4], [0.4, 0.6]])
RATE = np.array([[1.0, 0.8], [-0.5, 1.5]])

NOISELESS = optsde.Problem(optsde.losses.ScalarFactorization(), optsde.noise.Zero())
BOWL = optsde.losses.Quadratic([[1.0, 0.4], [0.4, 2.0]])

CASES = {
    "none": [Case(optsde.SGD(0.5).flow(NOISELESS), (2.0, 0.3))],
    "additive_diagonal": [
        Case(optsde.Langevin(ADDITIVE, 0.5, mobility=[1.0, 2.0]), (1.0, -0.5), n_wiener=2),
        Case(optsde.OrnsteinUhlenbeck([1.0, 2.0], [0.5, 0.0], [1.0, 0.5]), (1.0, -0.5), n_wiener=2),
    ],
    "additive_full": [
        Case(optsde.SGD(0.5).sde(optsde.Problem(ADDITIVE, optsde.noise.Gaussian(FULL_COV))), (1.0, -0.5), n_wiener=2),
        Case(optsde.OrnsteinUhlenbeck(RATE, [0.5, 0.0], FULL_COV), (1.0, -0.5), n_wiener=2),
    ],
    "diagonal": [
        Case(diagonal(), (0.5, -1.0), diagonal_exact, 2),
        Case(diagonal(None), (0.5, -1.0), diagonal_exact, 2, bare=True),
        Case(
            optsde.SGD(0.5).sde(
                optsde.Problem(optsde.losses.Quadratic([1.0, 2.0]), optsde.noise.AffineDiagonal(0.2, 1.0, [0.0, 1.0]))
            ),
            (1.0, -0.5),
        ),
    ],
    "diagonal_coupled": [
        Case(coupled(None), (0.3, -0.4)),
        Case(
            optsde.SGD(0.5).sde(optsde.Problem(BOWL, optsde.noise.LossScaled(2.0, floor=0.1))),
            (1.0, -0.5),
        ),
    ],
    "scalar": [
        Case(scalar_loss(0.0), (0.8,), scalar_exact, 1),
        Case(scalar_loss(0.2), (0.8,)),
        # One Wiener process is scalar noise, whatever the user calls it.
        *(
            Case(
                linear(A_SCALAR, BS_COMMUTATIVE[:1], kind, j),
                (1.0, 0.5),
                linear_exact(A_SCALAR, BS_COMMUTATIVE[:1], (1.0, 0.5)),
                1,
                bare=j is None,
            )
            for kind, j in (("commutative", 1.0), ("full", None))
        ),
    ],
    "commutative": [
        Case(
            linear(A_SCALAR, BS_COMMUTATIVE, "commutative", j),
            (1.0, 0.5),
            linear_exact(A_SCALAR, BS_COMMUTATIVE, (1.0, 0.5)),
            len(BS_COMMUTATIVE),
            bare=j is None,
        )
        for j in (1.0, None)
    ],
    "full": [Case(linear(A_FULL, BS_FULL, "full", j), (1.0, 0.5), n_wiener=2, bare=j is None) for j in (1.0, None)]
    + [
        Case(
            optsde.SGD(0.5).sde(optsde.Problem(BOWL, optsde.noise.LossScaled(2 * FULL_COV, floor=0.1))),
            (1.0, -0.5),
        )
    ],
}


@functools.cache
def final(dynamics, start, dt, method, *, paths=N, wiener_dt=WIENER_DT):
    noisy = dynamics.noise_kind != "none"
    return optsde.simulate(
        dynamics,
        np.array(start),
        t1=1.0,
        dt=dt,
        wiener_dt=wiener_dt if noisy else None,
        method=method,
        n_paths=paths,
        rng=SEED,
        observe=optsde.Final(),
    ).final


def brownian_end(m, paths=N):
    return final(optsde.OrnsteinUhlenbeck(0.0, np.zeros(m), 1.0), (0.0,) * m, WIENER_DT, "euler_maruyama", paths=paths)


@functools.cache
def exact_end(kind, index, paths):
    """The exact solution of a case, which all methods meet; exponentials of many matrices take their time."""
    case = CASES[kind][index]
    return case.exact(brownian_end(case.n_wiener, paths))


@functools.cache
def reference_end(kind, paths):
    """The end of a kind's first case: exact, or by Milstein's scheme at the finest steps."""
    case = CASES[kind][0]
    if case.exact is not None:
        return exact_end(kind, 0, paths)
    return final(case.dynamics, case.start, WIENER_DT, "milstein", paths=paths)


def fit(steps, squared_errors):
    """Slope of log rms error on log dt, its standard error by jackknife over groups of paths, and the rms errors."""
    x = np.log(steps) - np.log(steps).mean()

    def slope(mean_square):
        return x @ (0.5 * np.log(mean_square)) / (x @ x)

    whole = squared_errors.mean(axis=1)
    if squared_errors.shape[1] == 1:
        return slope(whole), 0.0, np.sqrt(whole)
    groups = np.array_split(np.arange(squared_errors.shape[1]), GROUPS)
    sums = np.array([squared_errors[:, g].sum(axis=1) for g in groups])
    counts = np.array([len(g) for g in groups])
    left_out = [slope((sums.sum(axis=0) - s) / (counts.sum() - c)) for s, c in zip(sums, counts, strict=True)]
    stderr = np.sqrt((GROUPS - 1) * np.var(left_out))
    return slope(whole), stderr, np.sqrt(whole)


def strong_slope(simulate, reference):
    """Fit of the errors of ``simulate(dt)`` at all levels."""
    steps = 2.0 ** -np.array(LEVELS)
    squared = np.array([((simulate(dt) - reference) ** 2).sum(axis=1) for dt in steps])
    return fit(steps, squared)


def has_order(slope, stderr, order):
    return slope - 5.0 * stderr >= order - ORDER_MARGIN


# Where a method is better than for the worst kind it takes: Platen's has all of Milstein's scheme but the Levy areas.
# So have all others of weak order 2, and Heun's in Stratonovich's calculus.
COMMUTING = itertools.product(("platen", "dri1", "stratonovich_heun"), ("diagonal", "scalar", "commutative"))
BETTER = {("heun", "none"): 2.0, **dict.fromkeys(COMMUTING, 1.0)}
# Of linear drifts these are of order 2, and the third derivatives that their leading error has are small elsewhere.
HIDDEN = {"sra1": 0.7, "sra3": 0.7}
# The orders below 3/2 are far apart: fewer paths will do.
FEWER = 6_000


def expected_order(method, kind):
    """The declared order, which is that of the worst kind; every method is better where noise is additive or none."""
    declared = optsde.methods()[method].strong
    least = 1.0 if kind.startswith("additive") or kind == "none" else 0.0
    return max(declared, least, BETTER.get((method, kind), 0.0))


# Methods that have an order of paths: that of Lévy-driven equations has none. Those for Langevin's equations alone are
# in test_langevin.py.
STRONG = {
    name: method
    for name, method in optsde.methods().items()
    if method.strong is not None and (not method.needs or np.isinf(method.strong))
}
PAIRS = [
    (name, kind, index)
    for name, method in STRONG.items()
    for kind in method.noise_kinds
    for index, case in enumerate(CASES[kind])
    if takes(name, case.dynamics) and (name == "milstein" or not case.bare)
]


def test_every_pair_of_the_table_is_covered():
    assert {(name, kind) for name, kind, _ in PAIRS} == {(n, kind) for n, m in STRONG.items() for kind in m.noise_kinds}
    for kind, cases in CASES.items():
        assert {case.dynamics.noise_kind for case in cases} == {kind}


@pytest.mark.parametrize(("method", "kind", "index"), PAIRS)
def test_strong_order(method, kind, index):
    case = CASES[kind][index]
    order = expected_order(method, kind)
    paths = N if order > 1 and case.exact is not None else FEWER

    def simulate(dt):
        return final(case.dynamics, case.start, dt, method, paths=paths)

    reference = simulate(WIENER_DT) if case.exact is None else exact_end(kind, index, paths)
    if np.isinf(order):
        # Exact on the path, whatever the step.
        np.testing.assert_allclose(simulate(2.0**-3), reference, atol=1e-11)
        np.testing.assert_allclose(simulate(1.0), reference, atol=1e-11)
        return
    slope, stderr, errors = strong_slope(simulate, reference)
    assert has_order(slope, stderr, order), f"slope {slope:.3f} ± {stderr:.3f}, declared {order}, errors {errors}"
    # The leading term is there, or the slope would prove nothing.
    assert slope < order + HIDDEN.get(method, 0.4), f"slope {slope:.3f}: the problem hides the leading error"
    assert errors[-1] > 1e-10


@pytest.mark.parametrize("kind", optsde.methods()["milstein"].noise_kinds)
def test_methods_converge_to_one_solution(kind):
    # Where no solution is known in closed form the slope is against the method itself; here against another method.
    for case in CASES[kind]:
        end = functools.partial(final, case.dynamics, case.start, paths=FEWER)
        euler, milstein = (end(WIENER_DT, method) for method in ("euler_maruyama", "milstein"))
        distance = np.sqrt(((euler - milstein) ** 2).sum(axis=1).mean())
        coarse = end(2.0**-4, "euler_maruyama")
        assert distance < 0.25 * np.sqrt(((coarse - milstein) ** 2).sum(axis=1).mean()) + 1e-12


def test_iterated_integrals_belong_to_the_path():
    # Y = ∫ X dW2 with X = W1: the left-point sum on the grid of the Wiener path misses Σ I_(1,2) of its cells,
    # whose mean square is exactly T wiener_dt/2.
    equation = sde(lambda x: 0 * x, lambda x: np.stack([np.ones(len(x)), x[:, 0]], axis=1), 2, "diagonal_coupled")
    cell = 2.0**-6
    n = 100_000
    kwargs = {"paths": n, "wiener_dt": cell}
    left = final(equation, (0.0, 0.0), cell, "euler_maruyama", **kwargs)[:, 1]
    for dt in (1.0, 0.25, cell):
        y = final(equation, (0.0, 0.0), dt, "milstein", **kwargs)[:, 1]
        assert_agrees(*mean_and_error(y - left), 0.0)
        assert_agrees(*mean_and_error((y - left) ** 2), cell / 2, wrong=[cell, cell / 4, 0.0])
        assert_agrees(*mean_and_error((y - left) * left), 0.0)


# Broken schemes, on the same increments, by own code or through false derivatives: each must fail the check above.


def increments(m, cells, paths=N):
    """ΔW of the common path in 2**cells steps, (steps, paths, m)."""
    w = optsde.simulate(
        optsde.OrnsteinUhlenbeck(0.0, np.zeros(m), 1.0),
        np.zeros(m),
        t1=1.0,
        dt=2.0**-cells,
        wiener_dt=WIENER_DT,
        method="euler_maruyama",
        n_paths=paths,
        rng=SEED,
        observe=optsde.Paths(at=2**cells + 1),
    ).paths
    return np.diff(w, axis=0)


def own_milstein(a, bs, start, dt, *, half=0.5, correction=1.0, noise=1.0, ito=1.0):
    """Commutative Milstein for the linear equation, with each of its parts open to be broken."""
    bs = np.asarray(bs)
    x = np.broadcast_to(np.array(start), (N, 2)).copy()
    for dw in increments(len(bs), round(-np.log2(dt))):
        dw = noise * dw
        step = x + dt * apply(a, x) + sum(dw[:, j, None] * apply(b, x) for j, b in enumerate(bs))
        for (i, bi), (j, bj) in itertools.product(enumerate(bs), enumerate(bs)):
            integral = half * (dw[:, i] * dw[:, j] - ito * dt * (i == j))
            step = step + correction * integral[:, None] * apply(bj @ bi, x)
        x = step
    return x


def test_own_milstein_has_its_order():
    start, reference = CASES["commutative"][0].start, reference_end("commutative", N)
    slope, stderr, _ = strong_slope(lambda dt: own_milstein(A_SCALAR, BS_COMMUTATIVE, start, dt), reference)
    assert has_order(slope, stderr, 1.0)


@pytest.mark.parametrize(
    "broken",
    [
        {"half": 1.0},
        {"correction": 0.0},
        {"correction": -1.0},
        {"noise": -1.0},
        {"noise": np.sqrt(2)},
        {"noise": np.sqrt(0.5)},
        {"ito": 0.0},
    ],
    ids=["no half", "no correction", "its sign", "sign of the noise", "sqrt(2)", "sqrt(1/2)", "Stratonovich"],
)
def test_broken_milstein_fails(broken):
    start, reference = CASES["commutative"][0].start, reference_end("commutative", N)
    slope, stderr, _ = strong_slope(lambda dt: own_milstein(A_SCALAR, BS_COMMUTATIVE, start, dt, **broken), reference)
    assert not has_order(slope, stderr, 1.0), f"slope {slope:.3f} ± {stderr:.3f}"
    if "noise" in broken:
        assert not has_order(slope, stderr, 0.5)


def test_milstein_without_levy_areas_fails():
    start, reference = CASES["full"][0].start, reference_end("full", N)
    slope, stderr, _ = strong_slope(lambda dt: own_milstein(A_FULL, BS_FULL, start, dt), reference)
    assert not has_order(slope, stderr, 1.0), f"slope {slope:.3f} ± {stderr:.3f}"
    assert has_order(slope, stderr, 0.5)


@pytest.mark.parametrize("factor", [0.0, 2.0, -1.0])
@pytest.mark.parametrize("kind", ["diagonal", "commutative", "full"])
def test_milstein_with_false_derivatives_fails(kind, factor):
    right = CASES[kind][0]
    broken = {
        "diagonal": lambda: diagonal(factor),
        "commutative": lambda: linear(A_SCALAR, BS_COMMUTATIVE, "commutative", factor),
        "full": lambda: linear(A_FULL, BS_FULL, "full", factor),
    }[kind]()
    reference = reference_end(kind, FEWER)
    slope, stderr, _ = strong_slope(lambda dt: final(broken, right.start, dt, "milstein", paths=FEWER), reference)
    assert not has_order(slope, stderr, 1.0), f"slope {slope:.3f} ± {stderr:.3f}"


def test_false_declaration_of_commutativity_is_refused():
    with pytest.raises(ValueError, match="do not commute"):
        final(linear(A_FULL, BS_FULL, "commutative"), (1.0, 0.5), 0.125, "milstein")
    false = optsde.SDE(lambda t, x: -x, coupled(None).diffusion, dim=2, noise="diagonal")
    with pytest.raises(ValueError, match="diagonal_coupled"):
        final(false, (0.3, -0.4), 0.125, "milstein")


def test_exact_solutions_reject_wrong_noise():
    # The law of the end point, apart from slopes: E X² of the sinh equation is (e^{2 s²} cosh(2 asinh x0) - 1)/2.
    exact = (np.exp(2 * SINH**2) * np.cosh(2 * np.arcsinh([0.5, -1.0])) - 1) / 2
    squares = diagonal_exact(brownian_end(2, paths=1_000_000)) ** 2
    assert_agrees(*mean_and_error(squares), exact)
    assert_rejected(*mean_and_error(squares), exact / 1.1)
