"""Descriptions of networks and matrix factorisations: what they are, and what they refuse."""

import pickle

import numpy as np
import optsde
import pytest
from optsde.losses import MLP, DiagonalLinearNetwork, MatrixFactorization

X = [[0.0, 1.0], [1.0, 1.0], [2.0, -1.0]]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: MLP([1.0, 2.0], [1.0, 2.0], (2,)), ValueError, r"X: expected a matrix of shape \(N, p\)"),
        (lambda: MLP(np.empty((0, 2)), [], (2,)), ValueError, "X: "),
        (lambda: MLP(np.empty((2, 0)), [1.0, 2.0], (2,)), ValueError, "X: "),
        (lambda: MLP([[np.nan]], [1.0], (2,)), ValueError, r"X: expected finite numbers, got nan at index \(0, 0\)"),
        (lambda: MLP([["a"]], [1.0], (2,)), TypeError, "X: "),
        (lambda: MLP(X, [1.0, 2.0], (2,)), ValueError, r"y: expected shape \(3,\) or \(3, k\).*got \(2,\)"),
        (lambda: MLP(X, np.zeros((3, 0)), (2,)), ValueError, "y: "),
        (lambda: MLP(X, np.zeros((3, 1, 1)), (2,)), ValueError, "y: "),
        (lambda: MLP(X, [0, 1, 1], (2, 0)), ValueError, r"hidden\[1\]: expected an integer of at least 1, got 0"),
        (lambda: MLP(X, [0, 1, 1], (2.0,)), TypeError, r"hidden\[0\]"),
        (lambda: MLP(X, [0, 1, 1], 4), TypeError, "hidden: expected a sequence of widths"),
        (lambda: MLP(X, [0, 1, 1], "ab"), TypeError, "hidden: expected a sequence of widths"),
        (lambda: MLP(X, [0, 1, 1], (2,), "relu"), ValueError, "activation: expected one of 'tanh'"),
        (lambda: MLP(X, [0, 1, 1], (2,), np.tanh), TypeError, "activation: "),
        (lambda: MLP(X, [0, 1, 1], (2,), loss="hinge"), ValueError, "loss: expected one of 'mse'"),
        (lambda: MLP(X, [0, 1.5, 1], (), loss="cross_entropy"), ValueError, "y: expected classes.*1.5 at index 1"),
        (lambda: MLP(X, [0, 1, -1], (), loss="cross_entropy"), ValueError, "y: expected classes.*-1.0 at index 2"),
        (lambda: MLP(X, [0, 0, 0], (), loss="cross_entropy"), ValueError, "y: expected at least two classes"),
        (lambda: MLP(X, [[0], [1], [1]], (), loss="cross_entropy"), ValueError, r"y: expected shape \(3,\),"),
        (lambda: DiagonalLinearNetwork(X, [[1.0], [2.0], [3.0]]), ValueError, r"y: expected shape \(3,\)"),
        (lambda: DiagonalLinearNetwork(X, [1.0, 2.0]), ValueError, "y: "),
        (lambda: DiagonalLinearNetwork(3.0, [1.0]), ValueError, "X: "),
        (lambda: MatrixFactorization([1.0, 2.0], 1), ValueError, "target: expected a matrix"),
        (lambda: MatrixFactorization(np.eye(2), 0), ValueError, "rank: "),
        (lambda: MatrixFactorization(np.eye(2), 1.0), TypeError, "rank: "),
    ],
)
def test_bad_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_blocks_and_their_order():
    mlp = MLP(X, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (4, 3))
    assert mlp.blocks == {"W1": (4, 2), "b1": (4,), "W2": (3, 4), "b2": (3,), "W3": (2, 3), "b3": (2,)}
    assert mlp.dim == 12 + 15 + 8
    theta = np.arange(float(mlp.dim))
    parts = mlp.split(theta)
    assert parts["W1"][1, 0] == 2.0  # row after row, as torch.nn.Linear keeps its weights
    assert parts["b1"][0] == 8.0
    assert parts["W2"][0, 0] == 12.0
    np.testing.assert_array_equal(mlp.join(parts), theta)
    many = mlp.split(np.zeros((5, 2, mlp.dim)))
    assert many["W3"].shape == (5, 2, 2, 3)
    # One block for all, others for each.
    assert mlp.join({**many, "b1": np.ones(4)}).shape == (5, 2, mlp.dim)
    assert MLP(X, [0, 2, 1], (), loss="cross_entropy").blocks == {"W1": (3, 2), "b1": (3,)}
    with pytest.raises(ValueError, match="parts: expected the names U, V"):
        MatrixFactorization(np.eye(2), 1).join({"U": [[1.0], [2.0]]})
    with pytest.raises(ValueError, match=r"v: expected shape \(..., 2\), got \(3,\)"):
        DiagonalLinearNetwork(X, [1, 2, 3]).join({"u": [1.0, 2.0], "v": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="do not fit"):
        DiagonalLinearNetwork(X, [1, 2, 3]).join({"u": np.ones((2, 2)), "v": np.ones((3, 2))})


def test_values():
    loss = DiagonalLinearNetwork(X, [1, 2, 3])
    assert loss == DiagonalLinearNetwork(np.array(X), np.array([1.0, 2.0, 3.0]))
    assert hash(loss) == hash(pickle.loads(pickle.dumps(loss)))
    assert loss != DiagonalLinearNetwork(X, [1, 2, 4])
    assert repr(MatrixFactorization(np.eye(2), 1)) == "MatrixFactorization(target=[[1.0, 0.0], [0.0, 1.0]], rank=1)"
    mlp = MLP(np.zeros((30, 2)), np.zeros(30), [3])
    assert mlp == pickle.loads(pickle.dumps(mlp))
    assert repr(mlp) == (
        "MLP(X=<array of shape (30, 2)>, y=<array of shape (30,)>, hidden=(3,), activation='tanh', loss='mse')"
    )
    with pytest.raises(AttributeError):
        mlp.hidden = (4,)
    with pytest.raises(ValueError, match="read-only"):
        mlp.X[0, 0] = 1.0


def test_classes_may_be_any_numbers_that_are_whole():
    one = MLP(X, [0, 1, 2], (2,), loss="cross_entropy")
    assert one == MLP(X, np.array([0, 1, 2], dtype=np.uint8), (2,), loss="cross_entropy")
    assert one == MLP(X, [0.0, 1.0, 2.0], (2,), loss="cross_entropy")
    assert one.y.dtype == np.int64
    assert one.n_outputs == 3


def test_init_and_predict():
    mlp = MLP(X, [0.0, 1.0, 2.0], (400, 300))
    theta = mlp.init(rng=3)
    np.testing.assert_array_equal(theta, mlp.init(rng=3))
    assert (theta != mlp.init(rng=4)).any()
    parts = mlp.split(theta)
    assert (parts["b1"] == 0).all()
    # 5 standard errors of the variance of 120000 normals
    assert abs(400 * parts["W2"].var() - 1) < 5 * np.sqrt(2 / 120_000)
    assert mlp.init(7, rng=3).shape == (7, mlp.dim)
    assert mlp.predict(theta).shape == (3, 1)
    assert mlp.predict(mlp.init(2, rng=1), np.zeros((5, 2))).shape == (2, 5, 1)
    with pytest.raises(ValueError, match="X: expected 2 columns, got 3"):
        mlp.predict(theta, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="n: "):
        mlp.init(0)
    with pytest.raises(TypeError, match="rng: "):
        mlp.init(rng="seed")


def test_a_network_learns_what_its_teacher_knows():
    data = optsde.datasets.teacher_student(200, 2, noise=0.0, rng=1, hidden=2)
    mlp = MLP(data.X, data.y, (8,))
    flow = optsde.SGD(0.5).flow(optsde.Problem(mlp, optsde.noise.Zero()))
    ens = optsde.simulate(flow, mlp.init(4, rng=2), steps=2000, substeps=2)
    assert (mlp.value(ens.final) < 0.01 * np.square(data.y).mean() / 2).all()
