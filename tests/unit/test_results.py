"""Statistics and standard errors from central sums, against NumPy and against repeated sampling."""

import numpy as np
import pytest
from optsde.results import histogram_result, mean_result, moments_result

T, STEP = np.array([1.0]), np.array([10])


def sums(x):
    """Central sums of x (n, d), as the native module returns them."""
    centred = x - x.mean(axis=0)
    squares = centred**2
    return {
        "n": np.array([float(len(x))]),
        "mean": x.mean(axis=0)[None],
        "m2": squares.sum(axis=0)[None],
        "m3": (centred**3).sum(axis=0)[None],
        "m4": (squares**2).sum(axis=0)[None],
        "c11": (centred.T @ centred)[None],
        "c22": (squares.T @ squares)[None],
    }


def test_moments():
    x = np.random.default_rng(1).normal(size=(50, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]])
    result = moments_result(T, STEP, sums(x))
    np.testing.assert_allclose(result.mean[0], x.mean(axis=0))
    np.testing.assert_allclose(result.var[0], x.var(axis=0, ddof=1))
    np.testing.assert_allclose(result.cov[0], np.cov(x.T))
    np.testing.assert_allclose(result.mean_stderr[0], x.std(axis=0, ddof=1) / np.sqrt(50))
    np.testing.assert_allclose(np.diagonal(result.cov_stderr[0]), result.var_stderr[0])


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_standard_errors_are_the_spread_of_repeated_samples(law):
    # 4000 repetitions: the spread itself is known to 1.5 % or so, the mean stderr better; 6 % is four times that.
    generator = np.random.default_rng(2)
    variances, covariances, errors, cov_errors = [], [], [], []
    for _ in range(4000):
        x = getattr(generator, law)(size=(400, 2))
        x[:, 1] += x[:, 0]
        result = moments_result(T, STEP, sums(x))
        variances.append(result.var[0, 1])
        covariances.append(result.cov[0, 0, 1])
        errors.append(result.var_stderr[0, 1])
        cov_errors.append(result.cov_stderr[0, 0, 1])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(variances), rel=0.06)
    assert np.sqrt(np.mean(np.square(cov_errors))) == pytest.approx(np.std(covariances), rel=0.06)


def test_too_few_paths_are_nan():
    one = sums(np.array([[1.0, 2.0]]))
    result = moments_result(T, STEP, one)
    assert result.mean.tolist() == [[1.0, 2.0]]
    assert np.isnan(result.var).all()
    assert np.isnan(result.cov).all()
    none = {name: np.zeros_like(value) for name, value in one.items()}
    assert np.isnan(moments_result(T, STEP, none).mean).all()


def test_scalar():
    x = np.random.default_rng(3).normal(size=(20, 1))
    result = mean_result(T, STEP, sums(x))
    assert result.mean.shape == result.stderr.shape == (1,)
    assert result.mean[0] == pytest.approx(x.mean())


def test_histogram():
    edges = np.array([0.0, 0.5, 1.0])
    cells = np.array([[[1, 3, 5, 1]]])
    one = histogram_result(T, STEP, edges, cells, one=True)
    assert one.counts.shape == (1, 2)
    np.testing.assert_allclose(one.density, [[0.6, 1.0]])
    np.testing.assert_allclose(one.stderr[0, 0], np.sqrt(0.3 * 0.7 / 10) / 0.5)
    every = histogram_result(T, STEP, edges, cells, one=False)
    assert every.counts.shape == (1, 1, 2)
    assert every.underflow.shape == (1, 1)
