"""C functions by address: every pointer that scientific Python knows, and the objects that keep them alive."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from optsde._description import Description

# ctypes has no public name for the base of its function pointers.
_FUNCTION_POINTER: Any = type(ctypes.pythonapi.Py_IncRef).__mro__[1]


def _capsule_address(capsule: object) -> int:
    """The pointer in a PyCapsule, whatever its name."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)) or 0)


def _address_or_none(pointer: Any) -> int | None:
    """The address that a pointer-like object holds; None where it is not a pointer."""
    if isinstance(pointer, bool):
        return None
    if isinstance(pointer, (int, np.integer)):
        return int(pointer)
    if isinstance(pointer, ctypes.c_void_p):
        return pointer.value or 0
    if isinstance(pointer, (_FUNCTION_POINTER, ctypes._Pointer)):
        return ctypes.cast(pointer, ctypes.c_void_p).value or 0
    # cffi is not imported for the question: an object of its type cannot exist before it is.
    backend = sys.modules.get("_cffi_backend")
    if backend is not None and isinstance(pointer, backend.FFI.CData):
        return int(backend.FFI().cast("uintptr_t", pointer))
    if type(pointer).__name__ == "PyCapsule":
        return _capsule_address(pointer)
    address = getattr(pointer, "address", None)  # numba's CFunc
    return address if isinstance(address, int) and not isinstance(address, bool) else None


def address_of(name: str, pointer: Any) -> int:
    """A non-null address, or an error that names the argument."""
    address = _address_or_none(pointer)
    if address is None:
        raise TypeError(
            f"{name}: expected the address of a C function (int, ctypes or cffi pointer, numba CFunc, "
            f"scipy.LowLevelCallable), got {type(pointer).__name__}"
        )
    if address <= 0:
        got = "a null pointer" if address == 0 else f"{address}"
        raise ValueError(f"{name}: expected the address of a C function, got {got}")
    return address


def is_c_function(function: Any) -> bool:
    """Whether a callable is a C function of ctypes, cffi or numba's cfunc, which cannot take NumPy arrays."""
    if isinstance(function, CompiledFunction) or not callable(function):
        return False
    return type(function).__name__ in ("CFunc", "_CDataBase") or isinstance(function, _FUNCTION_POINTER)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class CompiledFunction(Description):
    """A C function by address; made by :func:`compiled`. Equal where address and user data are.

    It does not pickle: an address means something in its own process only. Functions from ``from_numba`` do pickle.
    """

    address: int
    user_data: int
    keep_alive: Any

    def __init__(self, name: str, pointer: Any, user_data: Any = None, keep_alive: Any = None) -> None:
        function, data = pointer, user_data
        if type(pointer).__name__ == "LowLevelCallable" and isinstance(pointer, tuple):
            function = pointer.function  # type: ignore[attr-defined]
            data = pointer.user_data if user_data is None else user_data  # type: ignore[attr-defined]
        data_address = 0 if data is None else _address_or_none(data)
        if data_address is None or data_address < 0:
            raise TypeError(
                f"user_data: expected an address (int, ctypes or cffi pointer) or None, got {type(data).__name__}"
            )
        self._set(address=address_of(name, function), user_data=data_address, keep_alive=(pointer, data, keep_alive))

    def native(self) -> dict[str, int]:
        """What the native module needs to call it."""
        return {"address": self.address, "user_data": self.user_data}

    def _value(self) -> tuple[Any, ...]:
        return type(self), self.address, self.user_data

    def __repr__(self) -> str:
        return f"compiled(0x{self.address:x})"

    def __reduce__(self) -> Any:
        raise TypeError("a compiled function given by address cannot be pickled; one made by from_numba can")

    def __copy__(self) -> CompiledFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledFunction:
        return self


def as_compiled(name: str, pointer: Any, user_data: Any = None, keep_alive: Any = None) -> CompiledFunction:
    """The compiled function itself, or one made from an address."""
    if isinstance(pointer, CompiledFunction):
        if user_data is not None:
            raise ValueError(f"user_data: {name} is {pointer!r}, which has its own; give it there")
        return pointer
    return CompiledFunction(name, pointer, user_data, keep_alive)


def compiled(address: Any, user_data: Any = None, keep_alive: Any = None) -> CompiledFunction:
    """A C function for :class:`optsde.SDE`, by its address.

    It must have the signature ``int32_t g(double t, const double *x, double *out, int64_t n, int64_t dim,
    int64_t stride, void *user_data)``: component i of point p is ``x[i*stride + p]``, outputs likewise; it returns 0,
    or a code that stops the run with ``CallbackError(code)``. It is called from several threads at once, without the
    interpreter.

    Parameters
    ----------
    address : int, ctypes or cffi pointer, numba CFunc or scipy.LowLevelCallable
    user_data : int, ctypes or cffi pointer, optional
        Handed to every call.
    keep_alive : object, optional
        Held as long as the description lives.

    Raises
    ------
    TypeError
        Where the address is of no such type (None among them).
    ValueError
        Where it is null.

    Examples
    --------
    >>> import ctypes, optsde
    >>> optsde.compiled(ctypes.c_void_p(4096))
    compiled(0x1000)
    """
    return as_compiled("address", address, user_data, keep_alive)
