"""Losses of the user's own: NumPy functions of whole blocks, C functions by address, numba functions of one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, frozen, integer
from optsde._compiled import CompiledFunction, as_compiled, is_c_function
from optsde._numba import NumbaFunction
from optsde.losses._base import Loss

Callback = Callable[..., Any]


def check_callable(name: str, function: Any) -> None:
    """TypeError where a function was expected and something else came; C functions are callable too."""
    if not callable(function) or is_c_function(function):
        hint = "; a C function goes into Compiled" if callable(function) else ""
        raise TypeError(f"{name}: expected a function, got {type(function).__name__}{hint}")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Function(Loss):
    """A loss given by vectorised NumPy functions.

    Each function receives a read-only array (n, d), valid during the call only, and is called from the calling thread
    only.

    Parameters
    ----------
    grad : callable
        (n, d) to (n, d).
    dim : int
        d.
    value : callable, optional
        (n, d) to (n,); needed by the ``Loss`` observer and ``LossScaled`` noise.
    hessian : callable, optional
        (n, d) to (n, d, d); needed by flows of order 2.
    third : callable, optional
        ``third(x, S)``: (n, d) and (n, d, d) to (n, d), the gradient of ``<S, hessian(x)>``.
    example_grads : callable, optional
        (n, d) to (n, N, d), the gradients of the examples, whose mean must be ``grad``; needed by
        :class:`optsde.noise.Minibatch`, which asks for all of them in every step.
    n_examples : int, optional
        N; goes with ``example_grads``.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Function(lambda x: 2 * x, dim=1, value=lambda x: (x**2)[:, 0])
    >>> loss.grad([3.0]).tolist()
    [6.0]
    """

    _grad: Callback
    dim: int
    _value_function: Callback | None
    _hessian: Callback | None
    _third: Callback | None
    _example_grads: Callback | None
    n_examples: int | None

    def __init__(
        self,
        grad: Callback,
        *,
        dim: int,
        value: Callback | None = None,
        hessian: Callback | None = None,
        third: Callback | None = None,
        example_grads: Callback | None = None,
        n_examples: int | None = None,
    ) -> None:
        check_callable("grad", grad)
        optional = {"value": value, "hessian": hessian, "third": third, "example_grads": example_grads}
        for name, function in optional.items():
            if function is not None:
                check_callable(name, function)
        if (example_grads is None) != (n_examples is None):
            given, missing = (
                ("n_examples", "example_grads") if example_grads is None else ("example_grads", "n_examples")
            )
            raise ValueError(f"{missing}: expected with {given}, got None")
        self._set(
            _grad=grad,
            dim=integer("dim", dim, 1),
            _value_function=value,
            _hessian=hessian,
            _third=third,
            _example_grads=example_grads,
            n_examples=None if n_examples is None else integer("n_examples", n_examples, 1),
        )

    @property
    def _example_count(self) -> int | None:
        return self.n_examples

    def _require_examples(self, reason: str) -> int:
        if self.n_examples is None:
            raise ValueError(
                f"example_grads: {reason} needs it, and this losses.Function was made without: pass example_grads= "
                "and n_examples="
            )
        return self.n_examples

    def _spec(self) -> dict[str, Any]:
        return {
            "kind": "function",
            "dim": self.dim,
            "grad": self._grad,
            "value": self._value_function,
            "hessian": self._hessian,
            "third": None if self._third is None else partial(_third_along, self._third, self.dim),
            "example_grads": self._example_grads,
            "n_examples": self.n_examples,
        }

    def third(self, x: ArrayLike, S: ArrayLike) -> FloatArray:
        """Gradient of ``<S, hessian(x)>`` by the user's function; see :meth:`Loss.third`."""
        self._require("third", "third(x, S)")
        assert self._third is not None
        flat, weights, shape = self._contraction(x, S)
        answer = np.asarray(self._third(frozen(flat), frozen(weights)))
        if answer.dtype.kind not in "biuf":
            raise TypeError(f"third: the callback returned dtype {answer.dtype}, expected real numbers")
        if answer.shape != flat.shape:
            raise ValueError(f"third: the callback returned shape {answer.shape}, expected {flat.shape}")
        return answer.astype(np.float64).reshape(*shape, self.dim)

    def _require(self, piece: str, reason: str) -> None:
        present = {"value": self._value_function, "hessian": self._hessian, "third": self._third}
        if present[piece] is None:
            raise ValueError(f"{piece}: {reason} needs it, and this losses.Function was made without: pass {piece}=")


def _third_along(third: Callback, dim: int, both: FloatArray) -> Any:
    """The third derivative at the points in the first half of the columns, along the directions in the second."""
    x, v = both[:, :dim], both[:, dim:]
    return third(x, v[:, :, None] * v[:, None, :])


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Compiled(Loss):
    """A loss given by C functions, called from all threads without the interpreter.

    The signature is ``int32_t f(const double *x, double *out, int64_t n, int64_t dim, int64_t stride, void
    *user_data)``:
    component i of point p is ``x[i*stride + p]``, outputs likewise; it returns 0, or a code that stops the run with
    ``CallbackError(code)``. It always computes in double, so ``dtype="float32"`` is refused.

    Parameters
    ----------
    grad : int, ctypes or cffi pointer, numba CFunc or scipy.LowLevelCallable
        Writes d rows.
    dim : int
        d.
    value : the same, optional
        Writes one row.
    user_data : int, ctypes or cffi pointer, optional
        Handed to every call.
    keep_alive : object, optional
        Held as long as the loss lives.

    Raises
    ------
    TypeError, ValueError
        Where an address is of no such type, or null.

    Examples
    --------
    >>> import optsde
    >>> optsde.losses.Compiled(4096, dim=2)
    Compiled(grad=compiled(0x1000), dim=2)
    """

    _grad: CompiledFunction
    dim: int
    _value_function: CompiledFunction | None

    def __init__(
        self, grad: Any, *, dim: int, value: Any = None, user_data: Any = None, keep_alive: Any = None
    ) -> None:
        self._set(
            _grad=as_compiled("grad", grad, user_data, keep_alive),
            dim=integer("dim", dim, 1),
            _value_function=None if value is None else as_compiled("value", value, user_data, keep_alive),
        )

    def _spec(self) -> dict[str, Any]:
        return {
            "kind": "compiled",
            "dim": self.dim,
            "grad": self._grad.native(),
            "value": None if self._value_function is None else self._value_function.native(),
        }

    def _require(self, piece: str, reason: str) -> None:
        if piece == "value" and self._value_function is not None:
            return
        remedy = "pass value=" if piece == "value" else "compiled losses cannot have it; use losses.Function"
        raise ValueError(f"{piece}: {reason} needs it, and this losses.Compiled has none: {remedy}")


def from_numba(grad: Callback, *, dim: int, value: Callback | None = None) -> Compiled:
    """A compiled loss from plain functions of one point.

    Parameters
    ----------
    grad : callable
        ``grad(x, g)`` reads ``x[i]`` and writes ``g[i]``, in code that numba can compile. It is compiled for a block
        of points
        and vectorised over them.
    dim : int
        d.
    value : callable, optional
        ``value(x)`` returns the loss at one point.

    Returns
    -------
    Compiled
        It pickles through the functions.

    Raises
    ------
    ImportError
        Where numba is not installed.

    Examples
    --------
    >>> import optsde
    >>> def grad(x, g):
    ...     g[0] = x[0] ** 3
    >>> loss = optsde.losses.from_numba(grad, dim=1)  # doctest: +SKIP
    """
    size = integer("dim", dim, 1)
    return Compiled(
        NumbaFunction("grad", grad, size, size),
        dim=size,
        value=None if value is None else NumbaFunction("value", value, size, 1, scalar=True),
    )
