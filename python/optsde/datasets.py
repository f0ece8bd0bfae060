"""Small data sets for losses over examples: real ones that come with scikit-learn, and made ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray, frozen, integer, nonnegative_number, positive_number
from optsde._description import Description
from optsde._keys import key_from

__all__ = [
    "Dataset",
    "breast_cancer",
    "diabetes",
    "digits",
    "iris",
    "sparse_regression",
    "teacher_student",
    "two_gaussians",
    "wine",
]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Dataset(Description):
    """Examples with their targets.

    Attributes
    ----------
    name : str
    X : ndarray, shape (N, p)
        The examples, read-only; with an intercept its last column is 1.
    y : ndarray, shape (N,)
        Targets (float64), or classes 0, 1, … (int64).
    feature_names : tuple of str
        Of the columns of X.
    class_names : tuple of str
        Empty for regression.
    description : str
        What the numbers are.
    citation : str
        Where they come from.
    truth : ndarray or None
        The parameters by which a made data set was made.

    Examples
    --------
    >>> import optsde
    >>> data = optsde.datasets.two_gaussians(100, 2, rng=1)
    >>> mlp = optsde.losses.MLP(data.X, data.y, hidden=(8,), loss="cross_entropy")
    >>> mlp.n_examples, mlp.n_outputs
    (100, 2)
    """

    name: str
    X: FloatArray
    y: NDArray[Any]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    description: str
    citation: str
    truth: FloatArray | None

    def __init__(
        self,
        name: str,
        X: FloatArray,
        y: NDArray[Any],
        *,
        feature_names: Sequence[str],
        class_names: Sequence[str] = (),
        description: str,
        citation: str,
        truth: FloatArray | None = None,
    ) -> None:
        self._set(
            name=name,
            X=frozen(np.array(X, dtype=np.float64, order="C")),
            y=frozen(np.array(y, dtype=np.int64 if class_names else np.float64)),
            feature_names=tuple(feature_names),
            class_names=tuple(class_names),
            description=description,
            citation=citation,
            truth=None if truth is None else frozen(np.array(truth)),
        )

    def __repr__(self) -> str:
        n, p = self.X.shape
        if self.class_names:
            counts = np.bincount(self.y, minlength=len(self.class_names))
            shown = [f"{name} {count}" for name, count in zip(self.class_names, counts, strict=True)]
            target = f"classes: {', '.join(shown)}"
        else:
            target = f"targets: mean {self.y.mean():.4g}, standard deviation {self.y.std():.4g}"
        return f"Dataset({self.name!r}: {n} examples of {p} features; {target})\n{self.description}\n{self.citation}"


def _standardised(values: FloatArray) -> FloatArray:
    """Columns of mean 0 and variance 1 (by N); constant ones become 0."""
    centred = values - values.mean(axis=0)
    deviation = np.sqrt(np.square(centred).mean(axis=0))
    return np.asarray(centred / np.where(deviation > 0.0, deviation, 1.0))


def _bundled(
    name: str, *, standardize: bool, intercept: bool, description: str, citation: str, names: Sequence[str] = ()
) -> Dataset:
    """A data set of scikit-learn's."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(f'{name} comes with scikit-learn: pip install "optsde[datasets]"') from error
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(**options)
    X = np.asarray(bunch.data, dtype=np.float64)
    y: NDArray[Any]
    if name == "diabetes":
        y, classes = np.asarray(bunch.target, dtype=np.float64), []
        y = _standardised(y) if standardize else y
    else:
        y, classes = np.asarray(bunch.target, dtype=np.int64), [str(c) for c in bunch.target_names]
    return _made(
        name,
        _standardised(X) if standardize else X,
        y,
        intercept=intercept,
        feature_names=names or [str(feature) for feature in bunch.feature_names],
        class_names=classes,
        description=description,
        citation=citation,
    )


def _made(
    name: str, X: FloatArray, y: NDArray[Any], *, intercept: bool, feature_names: Sequence[str], **rest: Any
) -> Dataset:
    """The data set, with a column of ones where an intercept is wanted."""
    if intercept:
        X = np.column_stack([X, np.ones(len(X))])
        feature_names = [*feature_names, "intercept"]
    return Dataset(name, X, y, feature_names=feature_names, **rest)


def diabetes(*, standardize: bool = True, intercept: bool = True) -> Dataset:
    """Progression of diabetes in 442 patients, by age, sex, body mass index, blood pressure and six blood values.

    Parameters
    ----------
    standardize : bool
        Columns of X, and y, of mean 0 and variance 1.
    intercept : bool
        A last column of ones, since linear models here have no intercept of their own.

    Returns
    -------
    Dataset
        X (442, 11), or (442, 10) without an intercept; y (442,).

    Raises
    ------
    ImportError
        Where scikit-learn is not installed.

    Examples
    --------
    >>> import optsde
    >>> data = optsde.datasets.diabetes(intercept=False)
    >>> data.X.shape, data.feature_names[:3]
    ((442, 10), ('age', 'sex', 'bmi'))

    Source: Efron, Hastie, Johnstone and Tibshirani, Annals of Statistics 32 (2004) 407.
    """
    return _bundled(
        "diabetes",
        standardize=standardize,
        intercept=intercept,
        description="Progression of diabetes a year on, by ten measurements of a patient.",
        citation="Efron, Hastie, Johnstone and Tibshirani, Annals of Statistics 32 (2004) 407",
    )


def breast_cancer(*, standardize: bool = True, intercept: bool = True) -> Dataset:
    """Malignant (0) or benign (1) tumours, by 30 measurements of cell nuclei in 569 images.

    Parameters
    ----------
    standardize : bool
        Columns of X of mean 0 and variance 1.
    intercept : bool
        A last column of ones.

    Returns
    -------
    Dataset
        X (569, 31), or (569, 30) without an intercept; y (569,).

    Examples
    --------
    >>> import optsde
    >>> optsde.datasets.breast_cancer()
    Dataset('breast_cancer': 569 examples of 31 features; classes: malignant 212, benign 357)
    Malignant or benign tumours, by 30 measurements of cell nuclei.
    Street, Wolberg and Mangasarian, SPIE 1905 (1993) 861

    Source: Street, Wolberg and Mangasarian, SPIE 1905 (1993) 861.
    """
    return _bundled(
        "breast_cancer",
        standardize=standardize,
        intercept=intercept,
        description="Malignant or benign tumours, by 30 measurements of cell nuclei.",
        citation="Street, Wolberg and Mangasarian, SPIE 1905 (1993) 861",
    )


def wine(*, standardize: bool = True, intercept: bool = True) -> Dataset:
    """Three cultivars of wine, by 13 chemical measurements of 178 samples.

    Parameters
    ----------
    standardize : bool
        Columns of X of mean 0 and variance 1.
    intercept : bool
        A last column of ones.

    Returns
    -------
    Dataset
        X (178, 14), or (178, 13) without an intercept; y (178,).

    Examples
    --------
    >>> import optsde
    >>> optsde.datasets.wine().class_names
    ('class_0', 'class_1', 'class_2')

    Source: Aeberhard and Forina, UCI Machine Learning Repository (1992), doi:10.24432/C5PC7J.
    """
    return _bundled(
        "wine",
        standardize=standardize,
        intercept=intercept,
        description="Three cultivars of wine, by 13 chemical measurements.",
        citation="Aeberhard and Forina, UCI Machine Learning Repository (1992), doi:10.24432/C5PC7J",
    )


def iris(*, standardize: bool = True, intercept: bool = True) -> Dataset:
    """Three species of iris, by four measurements of 150 flowers.

    Parameters
    ----------
    standardize : bool
        Columns of X of mean 0 and variance 1.
    intercept : bool
        A last column of ones.

    Returns
    -------
    Dataset
        X (150, 5), or (150, 4) without an intercept; y (150,).

    Examples
    --------
    >>> import optsde
    >>> data = optsde.datasets.iris()
    >>> mlp = optsde.losses.MLP(data.X[:, :-1], data.y, hidden=(6,), loss="cross_entropy")
    >>> mlp.dim
    51

    Source: Fisher, Annals of Eugenics 7 (1936) 179.
    """
    return _bundled(
        "iris",
        standardize=standardize,
        intercept=intercept,
        description="Three species of iris, by four measurements of a flower in cm.",
        citation="Fisher, Annals of Eugenics 7 (1936) 179",
        names=("sepal length", "sepal width", "petal length", "petal width"),
    )


def digits(classes: Sequence[int] | None = None, *, standardize: bool = True, intercept: bool = True) -> Dataset:
    """Handwritten digits, 1797 images of 8 × 8 grey values from 0 to 16.

    Parameters
    ----------
    classes : sequence of int, optional
        Only these digits, which become the classes 0, 1, … in this order; all ten by default.
    standardize : bool
        Columns of X of mean 0 and variance 1 over the images that are kept; pixels that never change become 0.
    intercept : bool
        A last column of ones.

    Returns
    -------
    Dataset
        X (N, 65), or (N, 64) without an intercept; y (N,).

    Raises
    ------
    ValueError
        Where a class is no digit, or comes twice.

    Examples
    --------
    >>> import optsde
    >>> optsde.datasets.digits((3, 8), intercept=False).X.shape
    (357, 64)

    Source: Alpaydin and Kaynak, UCI Machine Learning Repository (1998), doi:10.24432/C50P49.
    """
    chosen = range(10) if classes is None else [integer("classes", digit, 0, 9) for digit in classes]
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise ValueError(f"classes: expected at least two digits, each once, got {classes!r}")
    whole = _bundled("digits", standardize=False, intercept=False, description="", citation="")
    kept = np.isin(whole.y, chosen)
    X = whole.X[kept]
    place = np.zeros(10, dtype=np.int64)
    place[list(chosen)] = np.arange(len(chosen))
    return _made(
        "digits",
        _standardised(X) if standardize else X,
        place[whole.y[kept]],
        intercept=intercept,
        feature_names=whole.feature_names,
        class_names=[str(digit) for digit in chosen],
        description="Handwritten digits in 8 x 8 pixels.",
        citation="Alpaydin and Kaynak, UCI Machine Learning Repository (1998), doi:10.24432/C50P49",
    )


def _generator(rng: Any) -> np.random.Generator:
    """NumPy's generator seeded as a run is."""
    return np.random.Generator(np.random.PCG64(int(key_from(rng))))


def _labels(dim: int) -> list[str]:
    return [f"x{i}" for i in range(dim)]


def teacher_student(
    n: int, dim: int, noise: float = 0.1, rng: Any = None, *, hidden: int | None = None, intercept: bool = False
) -> Dataset:
    """Regression on the answers of a random teacher to Gaussian examples.

    ``y = <w, x> + noise · ξ`` with ``x ~ N(0, I)`` and a teacher ``w ~ N(0, I/dim)``; with ``hidden`` units it is
    ``y = <a, tanh(W x)> + noise · ξ`` with rows of ``W ~ N(0, I/dim)`` and ``a ~ N(0, I/hidden)``.

    Parameters
    ----------
    n, dim : int
        Examples and features.
    noise : float
        Standard deviation of what is added to the answers.
    rng : int, SeedSequence, BitGenerator, Generator or Key, optional
        As in :func:`optsde.simulate`: the same rng gives the same data.
    hidden : int, optional
        Units of a nonlinear teacher; a linear one by default.
    intercept : bool
        A last column of ones.

    Returns
    -------
    Dataset
        ``truth`` is w, (dim,), or the parameters (W row after row, then a).

    Examples
    --------
    >>> import numpy as np, optsde
    >>> data = optsde.datasets.teacher_student(200, 3, noise=0.0, rng=1)
    >>> bool(np.allclose(data.X @ data.truth, data.y))
    True

    Source: Gardner and Derrida, Journal of Physics A 22 (1989) 1983; Saad and Solla, PRL 74 (1995) 4337.
    """
    n, dim, scale = integer("n", n, 1), integer("dim", dim, 1), nonnegative_number("noise", noise)
    generator = _generator(rng)
    X = generator.standard_normal((n, dim))
    rows = 1 if hidden is None else integer("hidden", hidden, 1)
    W = generator.standard_normal((rows, dim)) / math.sqrt(dim)
    answers = (X[:, None, :] * W).sum(axis=2)  # not by BLAS, whose bits depend on the machine
    if hidden is None:
        y, truth = answers[:, 0], W[0]
    else:
        a = generator.standard_normal(rows) / math.sqrt(rows)
        y, truth = (a * np.tanh(answers)).sum(axis=1), np.concatenate([W.ravel(), a])
    teacher = "linear" if hidden is None else f"tanh network of {rows} hidden units"
    return _made(
        "teacher_student",
        X,
        y + scale * generator.standard_normal(n),
        intercept=intercept,
        feature_names=_labels(dim),
        description=f"Answers of a random teacher ({teacher}) with noise {scale:g}.",
        citation="Gardner and Derrida, Journal of Physics A 22 (1989) 1983",
        truth=truth,
    )


def sparse_regression(n: int, dim: int, nonzero: int, noise: float = 0.0, rng: Any = None) -> Dataset:
    """Gaussian examples whose targets depend on few of the features: what diagonal linear networks find.

    ``y = <w, x> + noise · ξ`` with ``x ~ N(0, I)`` and ``nonzero`` components of w equal to ±1, the others 0.

    Parameters
    ----------
    n, dim, nonzero : int
        Examples (usually fewer than features), features, and those that count.
    noise : float
        Standard deviation of what is added to the targets.
    rng : int, SeedSequence, BitGenerator, Generator or Key, optional
        As in :func:`optsde.simulate`.

    Returns
    -------
    Dataset
        ``truth`` is w, (dim,).

    Examples
    --------
    >>> import optsde
    >>> data = optsde.datasets.sparse_regression(40, 100, 5, rng=1)
    >>> loss = optsde.losses.DiagonalLinearNetwork(data.X, data.y)
    >>> loss.dim
    200

    Source: Woodworth et al., COLT 2020, arXiv:2002.09277.
    """
    n, dim = integer("n", n, 1), integer("dim", dim, 1)
    count, scale = integer("nonzero", nonzero, 0, dim), nonnegative_number("noise", noise)
    generator = _generator(rng)
    X = generator.standard_normal((n, dim))
    w = np.zeros(dim)
    w[generator.permutation(dim)[:count]] = generator.choice([-1.0, 1.0], size=count)
    return _made(
        "sparse_regression",
        X,
        (X * w).sum(axis=1) + scale * generator.standard_normal(n),
        intercept=False,
        feature_names=_labels(dim),
        description=f"Linear targets of {count} of {dim} features, with noise {scale:g}.",
        citation="Woodworth et al., COLT 2020, arXiv:2002.09277",
        truth=w,
    )


def two_gaussians(n: int, dim: int, separation: float = 2.0, rng: Any = None, *, intercept: bool = True) -> Dataset:
    """Two classes of equal size, ``N(±m, I)`` with means ``separation`` apart along the diagonal of the cube.

    Parameters
    ----------
    n, dim : int
        Examples and features.
    separation : float
        Distance of the two means, > 0; the best classifier errs with probability Φ(-separation/2).
    rng : int, SeedSequence, BitGenerator, Generator or Key, optional
        As in :func:`optsde.simulate`.
    intercept : bool
        A last column of ones.

    Returns
    -------
    Dataset
        ``truth`` is m, (dim,), the mean of class 1; that of class 0 is -m.

    Examples
    --------
    >>> import optsde
    >>> optsde.datasets.two_gaussians(100, 5, rng=1).X.shape
    (100, 6)

    Source: the setting of Fisher's linear discriminant, Annals of Eugenics 7 (1936) 179.
    """
    n, dim, distance = integer("n", n, 2), integer("dim", dim, 1), positive_number("separation", separation)
    generator = _generator(rng)
    y = np.arange(n) % 2
    mean = np.full(dim, distance / (2.0 * math.sqrt(dim)))
    return _made(
        "two_gaussians",
        generator.standard_normal((n, dim)) + np.where(y[:, None] == 1, mean, -mean),
        y,
        intercept=intercept,
        feature_names=_labels(dim),
        class_names=("0", "1"),
        description=f"Two classes, normal with means {distance:g} apart.",
        citation="Fisher, Annals of Eugenics 7 (1936) 179",
        truth=mean,
    )
