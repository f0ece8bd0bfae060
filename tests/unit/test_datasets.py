"""Data sets: shapes, standardisation, where they come from, and that made ones are made as they say."""

import pickle
import sys

import numpy as np
import pytest
from optsde import datasets

REAL = {
    "diabetes": (442, 10, 0),
    "breast_cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "iris": (150, 4, 3),
    "digits": (1797, 64, 10),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data(name):
    n, p, classes = REAL[name]
    data = getattr(datasets, name)()
    assert data.X.shape == (n, p + 1)
    assert data.X.dtype == np.float64
    assert (data.X[:, -1] == 1).all()
    assert data.feature_names[-1] == "intercept"
    assert len(data.feature_names) == p + 1
    X = data.X[:, :-1]
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-13)
    varies = X.std(axis=0) > 0
    assert varies.all() == (name != "digits")
    np.testing.assert_allclose(X.std(axis=0)[varies], 1, rtol=1e-12)
    assert data.y.shape == (n,)
    assert len(data.class_names) == classes
    if classes:
        assert data.y.dtype == np.int64
        np.testing.assert_array_equal(np.unique(data.y), np.arange(classes))
    else:
        assert data.y.dtype == np.float64
        np.testing.assert_allclose([data.y.mean(), data.y.std()], [0, 1], atol=1e-13)
    assert data.citation in repr(data)
    assert f"{n} examples" in repr(data)
    raw = getattr(datasets, name)(standardize=False, intercept=False)
    assert raw.X.shape == (n, p)
    moments = raw.X.mean(axis=0), np.where(raw.X.std(axis=0) > 0, raw.X.std(axis=0), 1)
    np.testing.assert_allclose((raw.X - moments[0]) / moments[1], X, atol=1e-10)
    assert data == pickle.loads(pickle.dumps(data))
    assert data != raw
    for array in (data.X, data.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_some_digits():
    all_of_them = datasets.digits(standardize=False, intercept=False)
    some = datasets.digits((8, 3), standardize=False, intercept=False)
    assert some.class_names == ("8", "3")
    for label, digit in enumerate((8, 3)):
        np.testing.assert_array_equal(some.X[some.y == label], all_of_them.X[all_of_them.y == digit])
    for wrong in ((3, 3), (1,), (1, 10)):
        with pytest.raises(ValueError, match="classes"):
            datasets.digits(wrong)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'wine comes with scikit-learn: pip install "optsde\[datasets\]"'):
        datasets.wine()
    datasets.two_gaussians(4, 2, rng=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: datasets.teacher_student(50, 3, rng=rng),
        lambda rng: datasets.teacher_student(50, 3, 0.3, rng, hidden=4),
        lambda rng: datasets.sparse_regression(20, 30, 4, rng=rng),
        lambda rng: datasets.two_gaussians(50, 3, rng=rng),
    ],
)
def test_made_data_are_made_again(make):
    one = make(5)
    assert one == make(5)
    assert one == make(np.random.SeedSequence(5))
    assert one != make(6)
    assert (make(None).X != make(None).X).any()
    assert str(len(one.y)) in repr(one)


def test_teachers():
    data = datasets.teacher_student(4000, 5, noise=0.5, rng=1, intercept=True)
    assert data.X.shape == (4000, 6)
    residual = data.y - data.X[:, :-1] @ data.truth
    assert abs(residual.std() / 0.5 - 1) < 5 / np.sqrt(2 * 4000)
    exact = datasets.teacher_student(20, 5, noise=0.0, rng=1, hidden=3)
    W, a = exact.truth[:15].reshape(3, 5), exact.truth[15:]
    np.testing.assert_allclose(exact.y, np.tanh(exact.X @ W.T) @ a, rtol=1e-12)
    sparse = datasets.sparse_regression(20, 30, 4, rng=2)
    assert sorted(np.abs(sparse.truth)) == [0.0] * 26 + [1.0] * 4
    np.testing.assert_allclose(sparse.y, sparse.X @ sparse.truth, rtol=1e-12, atol=1e-13)


def test_gaussian_classes():
    data = datasets.two_gaussians(20_000, 4, separation=3.0, rng=1, intercept=False)
    assert np.bincount(data.y).tolist() == [10_000, 10_000]
    assert np.linalg.norm(2 * data.truth) == pytest.approx(3.0)
    signs = 2 * data.y - 1
    # 5 standard errors of a mean of 20000 normals
    assert np.abs((signs[:, None] * data.X).mean(axis=0) - data.truth).max() < 5 / np.sqrt(20_000)
    wrong = (signs * (data.X @ data.truth) < 0).mean()
    assert abs(wrong - 0.0668) < 5 * np.sqrt(0.0668 / 20_000)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: datasets.teacher_student(0, 3), "n: "),
        (lambda: datasets.teacher_student(3, 0), "dim: "),
        (lambda: datasets.teacher_student(3, 3, -1.0), "noise: "),
        (lambda: datasets.teacher_student(3, 3, hidden=0), "hidden: "),
        (lambda: datasets.sparse_regression(3, 3, 4), "nonzero: "),
        (lambda: datasets.two_gaussians(1, 3), "n: "),
        (lambda: datasets.two_gaussians(3, 3, 0.0), "separation: "),
    ],
)
def test_bad_arguments(make, text):
    with pytest.raises(ValueError, match=text):
        make()
