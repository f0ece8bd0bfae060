"""The law of one step of a scheme, found from the scheme itself, and its exact recursion.

With three-point increments and random signs a step of the affine equation dX = A X dt + Σ (B_j X + c_j) dW_j is
X' = M X + v with finitely many (M, v). A few thousand paths show them all; the increments of each path are those of W
itself, and where increments leave several maps, signs made them, each as likely as another. Second moments are then
exact, after any number of steps and in the limit of many. This is for every method of the table that takes such
increments.
"""

import functools
import itertools

import numpy as np
import optsde
from problems import (
    LINEAR_A,
    LINEAR_B,
    LINEAR_START,
    apply,
)
from scipy.linalg import expm

ROTATIONS = np.array([[[0.5, 0.3], [-0.3, 0.5]], [[-0.3, 0.4], [-0.4, -0.3]]])
# By kind of noise: A, all B_j and all c_j. The commuting B_j have c_j = B_j c, which commute as well.
EQUATIONS = {
    "diagonal": (LINEAR_A, np.array([np.diag([0.6, 0.0]), np.diag([0.0, 0.5])]), np.diag([0.4, 0.3])),
    "diagonal_coupled": (LINEAR_A, np.array([[[0.0, 0.6], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.2]]]), np.diag([0.4, 0.3])),
    "scalar": (LINEAR_A, ROTATIONS[:1], np.array([[0.4, 0.3]])),
    "commutative": (LINEAR_A, ROTATIONS, ROTATIONS @ [1.0, 0.5]),
    "full": (LINEAR_A, LINEAR_B, np.zeros((2, 2))),
    "full, shifted": (LINEAR_A, LINEAR_B, np.array([[0.4, 0.1], [-0.2, 0.3]])),
}
PATHS = 4000


def equation(name):
    a, bs, cs = EQUATIONS[name]
    kind = name.split(",")[0]

    def factor(t, x):
        return np.stack([apply(b, x) + c for b, c in zip(bs, cs, strict=True)], axis=2)

    def diagonal(t, x):
        return np.einsum("nii->ni", factor(t, x))

    own = np.array([bs[i][i, i] for i in range(len(bs))])
    is_diagonal = kind.startswith("diagonal")
    return optsde.SDE(
        lambda t, x: apply(a, x),
        diagonal if is_diagonal else factor,
        dim=2,
        noise="full" if kind == "scalar" else kind,
        n_wiener=len(bs),
        diffusion_jacobian=(lambda t, x: np.broadcast_to(own, x.shape))
        if is_diagonal
        else (lambda t, x: np.broadcast_to(np.moveaxis(bs, 0, 1), (len(x), *np.moveaxis(bs, 0, 1).shape))),
    )


def one_step(dynamics, start, h, method, paths=PATHS):
    return optsde.simulate(
        dynamics,
        start,
        t1=h,
        dt=h,
        method=method,
        increments="three_point",
        n_paths=paths,
        rng=7,
        observe=optsde.Final(),
    ).final


def brownian(m):
    return optsde.OrnsteinUhlenbeck(0.0, np.zeros(m), 1.0)


@functools.cache
def takes_three_points(method, kind):
    """The method's step of an affine equation has finitely many outcomes; that of a tamed drift is not affine."""
    if kind not in optsde.methods()[method].noise_kinds or method == "tamed_euler":
        return False
    try:
        one_step(equation(kind), np.zeros(2), 0.1, method, 1)
    except ValueError as error:
        assert "increments" in str(error)  # noqa: PT017
        return False
    return True


@functools.cache
def second_moments(method, name, h):
    """The matrix that takes E Y ⊗ Y over a step, Y = (X, 1)."""
    dynamics = equation(name)
    m = len(EQUATIONS[name][1])
    at_zero = one_step(dynamics, np.zeros(2), h, method)
    columns = [one_step(dynamics, unit, h, method) - at_zero for unit in np.eye(2)]
    maps = np.zeros((PATHS, 3, 3))
    maps[:, :2], maps[:, 2, 2] = np.round(np.stack([*columns, at_zero], axis=2), 13), 1.0
    increments = np.rint(one_step(brownian(m), np.zeros(m), h, "euler_maruyama") / np.sqrt(3 * h)).astype(int)
    total = np.zeros((9, 9))
    for point in itertools.product((-1, 0, 1), repeat=m):
        here = np.unique(maps[(increments == point).all(axis=1)], axis=0)
        assert len(here) in (1, 2), "more outcomes than signs can make"
        probability = np.prod([2 / 3 if w == 0 else 1 / 6 for w in point]) / len(here)
        total += probability * sum(np.kron(one, one) for one in here)
    return total


def generator(name):
    """d/dt E Y ⊗ Y of the equation itself."""
    a, bs, cs = EQUATIONS[name]

    def augmented(matrix, shift):
        out = np.zeros((3, 3))
        out[:2, :2], out[:2, 2] = matrix, shift
        return out

    drift, eye = augmented(a, 0.0), np.eye(3)
    noise = [augmented(b, c) for b, c in zip(bs, cs, strict=True)]
    return np.kron(drift, eye) + np.kron(eye, drift) + sum(np.kron(b, b) for b in noise)


START = np.kron([*LINEAR_START, 1.0], [*LINEAR_START, 1.0])


def moment_error(method, name, n):
    """Largest error of E X Xᵀ at time 1 after n steps."""
    moment = np.linalg.matrix_power(second_moments(method, name, 1.0 / n), n) @ START
    return np.abs((moment - expm(generator(name)) @ START).reshape(3, 3)[:2, :2]).max()


def stationary_error(method, name, n):
    """Largest error of the stationary E X Xᵀ with step 1/n."""

    def fixed(matrix):
        # The last entry of Y ⊗ Y is 1.
        return np.linalg.solve(matrix[:-1, :-1], -matrix[:-1, -1])

    error = fixed(second_moments(method, name, 1.0 / n) - np.eye(9)) - fixed(generator(name))
    return np.abs(np.append(error, 0.0).reshape(3, 3)[:2, :2]).max()
