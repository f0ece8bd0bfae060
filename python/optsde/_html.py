"""Tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence

_CELL = "text-align:left"


def html_table(caption: str, rows: Sequence[Sequence[str]], *, header: bool = False) -> str:
    """Rows of texts as a table; the first row, or else the first cell of each, are headings."""
    lines = []
    for k, row in enumerate(rows):
        cells = [
            f"<{tag} style='{_CELL}'>{html.escape(text)}</{tag}>"
            for j, text in enumerate(row)
            for tag in ["th" if (k == 0 if header else j == 0) else "td"]
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><caption>{html.escape(caption)}</caption>{''.join(lines)}</table>"
