"""Noise of the user's own: NumPy functions of whole blocks, C functions by address, numba functions of one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optsde._arrays import integer
from optsde._compiled import CompiledFunction, as_compiled
from optsde._numba import NumbaFunction
from optsde._wiener import declared_kind, wiener_count
from optsde.losses import Loss
from optsde.losses.callbacks import check_callable
from optsde.noise._base import Noise

Callback = Callable[..., Any]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Function(Noise):
    """Noise given by a vectorised NumPy function of the points, its factor F with ``Σ = F Fᵀ``.

    Parameters
    ----------
    factor : callable
        (n, d) to (n, d), standard deviations, for the diagonal kinds; to (n, d, m) for the others.
    kind : {"diagonal", "diagonal_coupled", "commutative", "full"}
        ``"diagonal"`` says that standard deviation i depends on coordinate i alone. It is checked at the start of a
        run.
    n_wiener : int, optional
        m; d by default, and always d for the diagonal kinds.
    jacobian : callable, optional
        Derivatives for Milstein: (n, d) to (n, d), ``∂F_i/∂θ_i``, for the diagonal kinds; to (n, d, m, d) for the
        others.

    Raises
    ------
    ValueError
        For an unknown kind.

    Examples
    --------
    >>> import optsde
    >>> import numpy as np
    >>> optsde.noise.Function(lambda x: np.sqrt(1 + x**2), kind="diagonal").dim is None
    True
    """

    factor: Callback
    kind: str
    n_wiener: int | None
    jacobian: Callback | None

    def __init__(
        self, factor: Callback, *, kind: str, n_wiener: int | None = None, jacobian: Callback | None = None
    ) -> None:
        check_callable("factor", factor)
        if jacobian is not None:
            check_callable("jacobian", jacobian)
        count = None if n_wiener is None else integer("n_wiener", n_wiener, 1)
        self._set(factor=factor, kind=declared_kind("kind", kind), n_wiener=count, jacobian=jacobian)

    @property
    def dim(self) -> int | None:  # type: ignore[override]
        """None: that of the loss."""
        return None

    def _spec(self, dim: int) -> dict[str, Any]:
        return {
            "kind": "function",
            "dim": dim,
            "noise_kind": self.kind,
            "n_wiener": wiener_count(self.kind, dim, self.n_wiener),
            "factor": self.factor,
            "jacobian": self.jacobian,
        }

    def _check(self, loss: Loss) -> None:
        wiener_count(self.kind, loss.dim, self.n_wiener)

    @property
    def _declared_kind(self) -> str | None:
        return self.kind


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Compiled(Noise):
    """Noise given by a C function, called from all threads without the interpreter; signature as in
    ``losses.Compiled``.

    Parameters
    ----------
    factor : int, ctypes or cffi pointer, numba CFunc or scipy.LowLevelCallable
        Writes row i (standard deviation i) for the diagonal kinds, row ``i*m + j`` (factor entry i, j) for the others.
    dim : int
        d.
    kind : {"diagonal", "diagonal_coupled", "commutative", "full"}
        As in ``noise.Function``.
    n_wiener : int, optional
        m; d by default.
    jacobian : the same as factor, optional
        Writes row i for the diagonal kinds, row ``(i*m + j)*d + k`` (derivative by coordinate k) for the others.
    user_data, keep_alive
        As in ``losses.Compiled``.

    Examples
    --------
    >>> import optsde
    >>> optsde.noise.Compiled(4096, dim=2, kind="diagonal").dim
    2
    """

    factor: CompiledFunction
    dim: int
    kind: str
    n_wiener: int
    jacobian: CompiledFunction | None

    def __init__(
        self,
        factor: Any,
        *,
        dim: int,
        kind: str,
        n_wiener: int | None = None,
        jacobian: Any = None,
        user_data: Any = None,
        keep_alive: Any = None,
    ) -> None:
        size, sort = integer("dim", dim, 1), declared_kind("kind", kind)
        count = None if n_wiener is None else integer("n_wiener", n_wiener, 1)
        self._set(
            factor=as_compiled("factor", factor, user_data, keep_alive),
            dim=size,
            kind=sort,
            n_wiener=wiener_count(sort, size, count),
            jacobian=None if jacobian is None else as_compiled("jacobian", jacobian, user_data, keep_alive),
        )

    def _spec(self, dim: int) -> dict[str, Any]:
        return {
            "kind": "compiled",
            "dim": dim,
            "noise_kind": self.kind,
            "n_wiener": self.n_wiener,
            "factor": self.factor.native(),
            "jacobian": None if self.jacobian is None else self.jacobian.native(),
        }

    @property
    def _declared_kind(self) -> str | None:
        return self.kind

    @property
    def _compiled(self) -> bool:
        return True


def from_numba(
    factor: Callback, *, dim: int, kind: str, n_wiener: int | None = None, jacobian: Callback | None = None
) -> Compiled:
    """Compiled noise from a plain function of one point.

    Parameters
    ----------
    factor : callable
        ``factor(x, s)`` reads ``x[i]`` and writes ``s[i]`` (diagonal kinds) or ``s[i*m + j]`` (the others).
    dim : int
        d.
    kind : {"diagonal", "diagonal_coupled", "commutative", "full"}
        As in ``noise.Function``.
    n_wiener : int, optional
        m; d by default.
    jacobian : callable, optional
        ``jacobian(x, j)`` writes ``j[i]`` or ``j[(i*m + j)*d + k]``.

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
    >>> def factor(x, s):
    ...     s[0] = 1.0 + x[0] ** 2
    >>> noise = optsde.noise.from_numba(factor, dim=1, kind="diagonal")  # doctest: +SKIP
    """
    size, sort = integer("dim", dim, 1), declared_kind("kind", kind)
    count = wiener_count(sort, size, None if n_wiener is None else integer("n_wiener", n_wiener, 1))
    rows = size if sort.startswith("diagonal") else size * count
    slopes = size if sort.startswith("diagonal") else rows * size
    return Compiled(
        NumbaFunction("factor", factor, size, rows),
        dim=size,
        kind=sort,
        n_wiener=count,
        jacobian=None if jacobian is None else NumbaFunction("jacobian", jacobian, size, slopes),
    )
