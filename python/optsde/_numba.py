"""Functions of one point, compiled by numba into functions of a block of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optsde._compiled import CompiledFunction

_BAD_RETURN = 1


def _numba() -> Any:
    try:
        import numba
    except ImportError as error:
        raise ImportError("from_numba needs numba: pip install optsde[numba]") from error
    return numba


def _declare_distinct(kernel: Any) -> None:
    """Tells LLVM that the kernel's input and output do not overlap.

    Without it LLVM stops vectorising at about five parameters (ten times slower at ten). numba has the flag, but no
    option for it on CPUs; a numba that moves it is only slower.
    """

    def customize(flags: Any) -> Any:
        flags.noalias = True
        return flags

    if hasattr(getattr(kernel, "_compiler", None), "_customize_flags"):
        kernel._compiler._customize_flags = customize


def _compile(function: Callable[..., Any], dim: int, rows: int, scalar: bool) -> Any:
    """A numba CFunc of the native block signature, from ``function(x, out)`` or, where scalar, ``value = function(x)``.

    Points lie along the last axis, so the loop over them reads and writes consecutive numbers; the shapes are
    compile-time
    constants, input and output are declared distinct and arithmetic follows NumPy (no exceptions), so that LLVM
    unrolls
    the loops over components and vectorises the one over points.
    """
    numba = _numba()
    types = numba.types
    point = numba.njit(error_model="numpy", forceinline=True)(getattr(function, "py_func", function))

    if scalar:

        @numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
        def block(x: Any, out: Any, n: int, stride: int) -> None:
            points = numba.carray(x, (dim, stride))
            values = numba.carray(out, (rows, stride))
            for p in range(n):
                values[0, p] = point(points[:, p])

    else:

        @numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
        def block(x: Any, out: Any, n: int, stride: int) -> None:
            points = numba.carray(x, (dim, stride))
            values = numba.carray(out, (rows, stride))
            for p in range(n):
                point(points[:, p], values[:, p])

    _declare_distinct(block)
    pointer = types.CPointer(types.float64)
    signature = types.int32(pointer, pointer, types.int64, types.int64, types.int64, types.voidptr)

    @numba.cfunc(signature, error_model="numpy")  # type: ignore[untyped-decorator]
    def call(x: Any, out: Any, n: int, dim_: int, stride: int, user_data: Any) -> int:
        # A C function cannot raise: numba would print the exception and go on.
        try:
            block(x, out, n, stride)
        except Exception:
            return _BAD_RETURN
        return 0

    return call


@dataclass(frozen=True, init=False, eq=False, repr=False)
class NumbaFunction(CompiledFunction):
    """A block function made from a Python function of one point; compared and pickled by that function."""

    function: Callable[..., Any]
    dim: int
    rows: int
    scalar: bool

    def __init__(self, name: str, function: Callable[..., Any], dim: int, rows: int, scalar: bool = False) -> None:
        if not callable(function):
            raise TypeError(f"{name}: expected a function of one point, got {type(function).__name__}")
        code = _compile(function, dim, rows, scalar)
        self._set(address=code.address, user_data=0, keep_alive=code)
        self._set(function=function, dim=dim, rows=rows, scalar=scalar)

    def _value(self) -> tuple[Any, ...]:
        return type(self), self.function, self.dim, self.rows, self.scalar

    def __repr__(self) -> str:
        return f"from_numba(<{getattr(self.function, '__qualname__', self.function)}>)"

    def __reduce__(self) -> Any:
        return NumbaFunction, ("function", self.function, self.dim, self.rows, self.scalar)
