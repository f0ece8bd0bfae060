"""What the reports of compare and weak_order share: text tables, numbers with errors, axes, checked arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optsde._arrays import integer


class Table(str):
    """Text that prints as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def with_error(value: float, error: float) -> str:
    """A number and its standard error, to the digits that mean something."""
    if not np.isfinite(value) or not np.isfinite(error) or error <= 1e-12 * abs(value):
        return f"{value:.6g}"
    digits = int(np.clip(np.floor(np.log10(max(abs(value), error))) - np.floor(np.log10(error)) + 2, 2, 15))
    return f"{value:.{digits}g} ± {error:.2g}"


def axes(ax: Any) -> Any:
    """The axes given, or new ones."""
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise TypeError(f"ax: expected matplotlib axes or None, got {type(ax).__name__}")
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("plot: matplotlib is not installed; pip install optsde[plot]") from None
    return plt.subplots()[1]


def checked_count(name: str, value: Any) -> int | None:
    """A number of paths that has a standard error."""
    return None if value is None else integer(name, value, 2, (1 << 63) - 1)
