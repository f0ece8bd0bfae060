"""Losses of overparametrised models: multilayer perceptrons, diagonal linear networks, matrix factorisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optsde._arrays import FloatArray, integer
from optsde._keys import key_from
from optsde.losses._examples import Blocks, OverExamples, classes, matrix, targets

_ACTIVATIONS = ("tanh", "sigmoid", "identity")
_CRITERIA = ("mse", "cross_entropy")


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the allowed names."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


@dataclass(frozen=True, init=False, eq=False, repr=False)
class MLP(Blocks, OverExamples):
    """A multilayer perceptron over examples: ``h_l = act(W_l h_{l-1} + b_l)``, the last layer without activation.

    Mean over the examples of ``½ |output - y|²`` (``loss="mse"``) or of the cross-entropy of the outputs' softmax with
    the class (``loss="cross_entropy"``). θ is W1, b1, W2, b2, …, each row after row; ``W_l`` has the shape (outputs,
    inputs) of the layer, as ``torch.nn.Linear`` keeps it.

    Parameters
    ----------
    X : (N, p) array_like
        The examples.
    y : (N,) or (N, k) array_like
        Their targets; for ``"cross_entropy"`` their classes 0, …, K-1, (N,), of which K is the largest plus one.
    hidden : sequence of int
        Widths of the hidden layers, the first one first; empty for none.
    activation : {"tanh", "sigmoid", "identity"}
        Of the hidden layers; the identity makes a deep linear network.
    loss : {"mse", "cross_entropy"}
        See above.

    Raises
    ------
    TypeError, ValueError
        Where shapes do not fit, numbers are not finite, classes are not whole numbers, or a name is unknown.

    Examples
    --------
    >>> import optsde
    >>> mlp = optsde.losses.MLP([[0.0], [1.0], [2.0]], [0.0, 1.0, 0.0], hidden=(4,))
    >>> mlp.dim, mlp.blocks
    (13, {'W1': (4, 1), 'b1': (4,), 'W2': (1, 4), 'b2': (1,)})
    >>> theta0 = mlp.init(rng=1)
    >>> flow = optsde.SGD(0.1).flow(optsde.Problem(mlp, optsde.noise.Zero()))
    >>> end = optsde.simulate(flow, theta0, steps=2000).final[0]
    >>> bool(mlp.value(end) < 0.1 * mlp.value(theta0))
    True

    Source: Rumelhart, Hinton and Williams, Nature 323 (1986) 533.
    """

    X: FloatArray
    y: NDArray[Any]
    hidden: tuple[int, ...]
    activation: str
    loss: str

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        hidden: Sequence[int],
        activation: str = "tanh",
        loss: str = "mse",
    ) -> None:
        examples = matrix("X", X, "(N, p)")
        criterion = _choice("loss", loss, _CRITERIA)
        if isinstance(hidden, (str, bytes)) or not isinstance(hidden, (Sequence, np.ndarray)):
            raise TypeError(f"hidden: expected a sequence of widths such as (16, 16), got {hidden!r}")
        wanted = classes(y, len(examples)) if criterion == "cross_entropy" else targets(y, len(examples), (1, 2))
        self._set(
            X=examples,
            y=wanted,
            hidden=tuple(integer(f"hidden[{l}]", width, 1) for l, width in enumerate(hidden)),
            activation=_choice("activation", activation, _ACTIVATIONS),
            loss=criterion,
        )

    @property
    def n_examples(self) -> int:
        """N."""
        return len(self.X)

    @property
    def n_outputs(self) -> int:
        """Outputs for one example: k, or the number K of classes."""
        if self.loss == "cross_entropy":
            return int(self.y.max()) + 1
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])

    @property
    def _squared_error(self) -> bool:
        return self.loss == "mse"

    @property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the arrays in θ, in their order; each is laid out row after row."""
        widths = (self.X.shape[1], *self.hidden, self.n_outputs)
        shapes: dict[str, tuple[int, ...]] = {}
        for l in range(1, len(widths)):
            shapes[f"W{l}"] = (widths[l], widths[l - 1])
            shapes[f"b{l}"] = (widths[l],)
        return shapes

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Number d of parameters."""
        return sum(math.prod(shape) for shape in self.blocks.values())

    def _spec(self) -> dict[str, Any]:
        if self.loss == "cross_entropy":
            y = (self.y[:, None] == np.arange(self.n_outputs)).astype(np.float64)
        else:
            y = self.y.reshape(self.n_examples, -1)
        return {
            "kind": "mlp",
            "x": self.X,
            "y": y,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "loss": self.loss,
        }

    def predict(self, theta: ArrayLike, X: ArrayLike | None = None) -> FloatArray:
        """Outputs of the network, before any softmax, in NumPy.

        Parameters
        ----------
        theta : array_like, shape (..., d)
        X : (n, p) array_like, optional
            Examples; those of the loss by default.

        Returns
        -------
        ndarray, shape (..., n, k)
        """
        units = self.X if X is None else matrix("X", X, "(n, p)")
        if units.shape[1] != self.X.shape[1]:
            raise ValueError(f"X: expected {self.X.shape[1]} columns, got {units.shape[1]}")
        parts = self.split(theta)
        for l in range(1, len(self.hidden) + 2):
            units = units @ np.swapaxes(parts[f"W{l}"], -1, -2) + parts[f"b{l}"][..., None, :]
            if l <= len(self.hidden) and self.activation != "identity":
                units = np.tanh(units) if self.activation == "tanh" else 0.5 + 0.5 * np.tanh(0.5 * units)
        return units

    def init(self, n: int | None = None, *, rng: Any = None) -> FloatArray:
        """Random parameters to start from: weights of variance 1/inputs of their layer, biases 0.

        Parameters
        ----------
        n : int, optional
            How many; one by default.
        rng : int, SeedSequence, BitGenerator, Generator or Key, optional
            As in :func:`optsde.simulate`.

        Returns
        -------
        ndarray, shape (d,), or (n, d)

        Notes
        -----
        At θ = 0 nothing tells the hidden units apart, and gradients vanish or stay equal: start elsewhere.
        """
        generator = np.random.Generator(np.random.PCG64(int(key_from(rng))))
        leading = () if n is None else (integer("n", n, 1),)
        parts = {}
        for name, shape in self.blocks.items():
            scale = 1.0 / math.sqrt(shape[1]) if len(shape) == 2 else 0.0
            parts[name] = scale * generator.standard_normal((*leading, *shape))
        return self.join(parts)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class DiagonalLinearNetwork(Blocks, OverExamples):
    """``(1/2N) Σ_i (<a_i, u² - v²> - y_i)²`` with θ = (u, v), the smallest network with an implicit bias.

    On the set of zero loss the trace of the Hessian is ``(4/N) Σ_j |A_j|² (u_j² + v_j²)``, A_j the columns of X: at its
    minimum a weighted l1 norm of the predictor u² - v², to which label noise drives it.

    Parameters
    ----------
    X : (N, p) array_like
        The examples a_i.
    y : (N,) array_like
        Their targets.

    Raises
    ------
    TypeError, ValueError
        Where shapes do not fit or numbers are not finite.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.DiagonalLinearNetwork([[1.0, 2.0]], [3.0])
    >>> loss.dim, loss.blocks
    (4, {'u': (2,), 'v': (2,)})
    >>> float(loss.value([1.0, 1.0, 0.0, 0.0]))
    0.0

    Source: Woodworth et al., COLT 2020, arXiv:2002.09277; with label noise Li, Wang and Arora, arXiv:2110.06914.
    """

    X: FloatArray
    y: FloatArray

    def __init__(self, X: ArrayLike, y: ArrayLike) -> None:
        examples = matrix("X", X, "(N, p)")
        self._set(X=examples, y=targets(y, len(examples), (1,)))

    @property
    def n_examples(self) -> int:
        """N."""
        return len(self.X)

    @property
    def _squared_error(self) -> bool:
        return True

    @property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the arrays in θ, in their order."""
        return {"u": (self.X.shape[1],), "v": (self.X.shape[1],)}

    @property
    def dim(self) -> int:  # type: ignore[override]
        """2 p."""
        return 2 * int(self.X.shape[1])

    def _spec(self) -> dict[str, Any]:
        return {"kind": "diagonal_linear_network", "x": self.X, "y": self.y}

    def predictor(self, theta: ArrayLike) -> FloatArray:
        """The weights u² - v² of the linear function: shape (..., 2 p) to (..., p)."""
        parts = self.split(theta)
        return np.asarray(np.square(parts["u"]) - np.square(parts["v"]))

    @property
    def minima(self) -> FloatArray:
        """One of the global minima, (1, d): the least-squares weights of least norm, with u_j = 0 or v_j = 0."""
        weights = np.linalg.lstsq(self.X, self.y, rcond=None)[0]
        return np.concatenate([np.sqrt(np.maximum(weights, 0.0)), np.sqrt(np.maximum(-weights, 0.0))])[None, :]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class MatrixFactorization(Blocks, OverExamples):
    """``½ |U Vᵀ - target|²`` in the Frobenius norm, with θ = (U row-major, V row-major).

    Each of the N = p q elements of the target, row after row, is an example: ``f_i = (N/2) ((U Vᵀ)_i - target_i)²``,
    whose mean is the loss. ``noise.LabelNoise`` shifts elements of the target.

    The two-layer linear network on whitened inputs. Gradient flow keeps ``UᵀU - VᵀV``; the minima form manifolds, since
    ``(U G, V G⁻ᵀ)`` has the same product for every invertible G.

    Parameters
    ----------
    target : (p, q) array_like
        What the product should be.
    rank : int
        Columns r of U, (p, r), and of V, (q, r).

    Raises
    ------
    TypeError, ValueError
        Where the target is no matrix of finite numbers, or the rank no integer >= 1.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.MatrixFactorization([[1.0, 0.0], [0.0, 2.0]], rank=1)
    >>> loss.dim, loss.blocks
    (4, {'U': (2, 1), 'V': (2, 1)})
    >>> round(float(loss.value(loss.minima[0])), 12)
    0.5

    Source: Baldi and Hornik, Neural Networks 2 (1989) 53; Arora et al., arXiv:1905.13655.
    """

    target: FloatArray
    rank: int

    def __init__(self, target: ArrayLike, rank: int) -> None:
        self._set(target=matrix("target", target, "(p, q)"), rank=integer("rank", rank, 1))

    @property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the arrays in θ, in their order; each is laid out row after row."""
        p, q = self.target.shape
        return {"U": (p, self.rank), "V": (q, self.rank)}

    @property
    def dim(self) -> int:  # type: ignore[override]
        """(p + q) r."""
        return sum(self.target.shape) * self.rank

    @property
    def n_examples(self) -> int:
        """N = p q."""
        return self.target.size

    @property
    def _squared_error(self) -> bool:
        return True

    def _spec(self) -> dict[str, Any]:
        return {"kind": "matrix_factorization", "target": self.target, "rank": self.rank}

    def product(self, theta: ArrayLike) -> FloatArray:
        """``U Vᵀ``: shape (..., d) to (..., p, q)."""
        parts = self.split(theta)
        return np.asarray(parts["U"] @ np.swapaxes(parts["V"], -1, -2))

    @property
    def minima(self) -> FloatArray:
        """One of the global minima, (1, d): the balanced one, ``UᵀU = VᵀV``, by singular values."""
        left, values, right = np.linalg.svd(self.target, full_matrices=False)
        r = min(self.rank, len(values))
        parts = {name: np.zeros(shape) for name, shape in self.blocks.items()}
        parts["U"][:, :r] = left[:, :r] * np.sqrt(values[:r])
        parts["V"][:, :r] = right[:r].T * np.sqrt(values[:r])
        return self.join(parts)[None, :]
