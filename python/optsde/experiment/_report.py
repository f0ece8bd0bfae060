"""The table of an experiment: measured numbers beside what theory says of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from optsde._reports import aligned, with_error


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes
    ----------
    quantity : str
    value, error : float
        The number, and its error: value ± error holds the truth with 95 %.
    theory : dict
        Predictions by name.
    settings : dict
        What was swept, by key of the file.
    """

    quantity: str
    value: float
    error: float
    theory: dict[str, float] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All rows of an experiment.

    Attributes
    ----------
    rows : sequence of Row
    missed : sequence of str
        A sentence for each run that did not reach the accuracy asked for.
    """

    rows: Sequence[Row]
    missed: Sequence[str] = ()

    @property
    def _settings(self) -> list[str]:
        return list(dict.fromkeys(key for row in self.rows for key in row.settings))

    @property
    def theories(self) -> list[str]:
        """Names of all predictions."""
        return list(dict.fromkeys(name for row in self.rows for name in row.theory))

    def text(self) -> str:
        """Columns for people: numbers to the digits that mean something."""
        header = [*self._settings, "quantity", "measured (± 95 %)", *self.theories]
        cells = [header]
        for row in self.rows:
            settings = [str(row.settings.get(key, "")) for key in self._settings]
            theory = [f"{row.theory[name]:.6g}" if name in row.theory else "" for name in self.theories]
            cells.append([*settings, row.quantity, with_error(row.value, row.error), *theory])
        return aligned(cells)

    def csv(self) -> str:
        """Columns for programs: all digits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*self._settings, "quantity", "value", "error", *self.theories])
        for row in self.rows:
            settings = [row.settings.get(key, "") for key in self._settings]
            theory = [row.theory.get(name, math.nan) for name in self.theories]
            writer.writerow([*settings, row.quantity, *(repr(float(x)) for x in (row.value, row.error, *theory))])
        return out.getvalue()
