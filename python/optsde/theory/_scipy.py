"""SciPy, which the theory needs and the package does not: imported at the first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def scipy_module(name: str) -> Any:
    """``scipy.<name>``; ImportError with the extra that has it where SciPy is missing."""
    try:
        return import_module(f"scipy.{name}")
    except ImportError:
        raise ImportError("optsde.theory needs SciPy: pip install optsde[theory]") from None
