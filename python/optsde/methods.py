"""The methods of integration and what each can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from optsde import _core
from optsde._html import html_table


@dataclass(frozen=True)
class Method:
    """A method of integration.

    Attributes
    ----------
    name : str
    strong, weak, stationary : float or None
        Orders in dt: of paths, of expectations at a fixed time, of stationary expectations. None where there is none.
    calculus : str
        ``"ito"``, ``"stratonovich"``, or ``"none"`` for methods without noise.
    noise_kinds : tuple of str
        Those it accepts.
    needs : str
        What else it needs of an equation; empty where it is nothing.
    normals_per_step : str
        How many normal numbers a step takes, in terms of the number m of Wiener processes.
    source : str
        Where it comes from.
    """

    name: str
    strong: float | None
    weak: float | None
    stationary: float | None
    calculus: str
    noise_kinds: tuple[str, ...]
    needs: str
    normals_per_step: str
    source: str


class MethodTable(Mapping[str, Method]):
    """A mapping of names to methods that prints as a table."""

    def __init__(self, methods: list[Method]) -> None:
        self._methods = {method.name: method for method in methods}

    def __getitem__(self, name: str) -> Method:
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    def _rows(self) -> list[tuple[str, ...]]:
        header = ("method", "strong", "weak", "stationary", "calculus", "normals", "noise kinds", "needs", "source")
        rows: list[tuple[str, ...]] = [header]
        for m in self._methods.values():
            orders = ("-" if order is None else f"{order:g}" for order in (m.strong, m.weak, m.stationary))
            rows.append((m.name, *orders, m.calculus, m.normals_per_step, ", ".join(m.noise_kinds), m.needs, m.source))
        return rows

    def _repr_html_(self) -> str:
        return html_table("Methods", self._rows(), header=True)

    def __repr__(self) -> str:
        rows = self._rows()
        header = rows[0]
        widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])

    def accepting(self, noise_kind: str) -> list[str]:
        """Names of the methods that take a kind of noise, what else they need aside."""
        return [name for name, method in self._methods.items() if noise_kind in method.noise_kinds]


def methods() -> MethodTable:
    """All methods: a mapping from name to :class:`Method` whose repr is a table.

    Examples
    --------
    >>> import optsde
    >>> optsde.methods()["euler_maruyama"].weak
    1.0
    """
    return MethodTable([Method(**row) for row in _core.methods()])
