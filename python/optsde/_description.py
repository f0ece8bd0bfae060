"""The base of every description: frozen, compared and hashed by value, pickled, printed."""

from dataclasses import fields
from typing import Any

import numpy as np

from optsde._arrays import frozen


def _identity(value: Any) -> Any:
    """A hashable stand-in for one field."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, (tuple, list)):
        return tuple(_identity(item) for item in value)
    return value


def show(value: Any) -> str:
    """A field as text: small arrays with their numbers, large ones by shape."""
    if isinstance(value, np.ndarray):
        if value.size > 16:
            return f"<array of shape {value.shape}>"
        return repr(value.tolist())
    if callable(value) and hasattr(value, "__qualname__"):
        return f"<{value.__qualname__}>"
    return repr(value)


class Description:
    """Base of descriptions.

    Subclasses are dataclasses with ``frozen=True, init=False, eq=False, repr=False`` and an ``__init__`` that
    checks.
    """

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def _with(self, **changes: Any) -> Any:
        """The same description with some fields changed."""
        return type(self)(**(self._fields() | changes))

    def _value(self) -> tuple[Any, ...]:
        return type(self), *(_identity(value) for value in self._fields().values())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{name.lstrip('_').removesuffix('_function')}={show(value)}"
            for name, value in self._fields().items()
            if value is not None
        )
        return f"{type(self).__name__}({parts})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy does not pickle the read-only flag.
        self._set(**{name: frozen(v) if isinstance(v, np.ndarray) else v for name, v in state.items()})
