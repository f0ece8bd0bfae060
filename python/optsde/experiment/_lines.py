"""Where each key of a TOML file stands, so that an error can name its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

# A key by the names and indices that lead to it.
Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """All tables, keys and elements of arrays of tables."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from places(item, (*at, index))


def lines(text: str) -> dict[Place, int]:
    """The line, from 1, of every key of a file that parses.

    The file is read line by line: what is new when one more line makes it parse stands in the lines since it last did.
    """
    rows = text.splitlines()
    found: dict[Place, int] = {}
    begin = 0
    for end in range(1, len(rows) + 1):
        try:
            parsed = tomllib.loads("\n".join(rows[:end]))
        except tomllib.TOMLDecodeError:
            continue
        significant = (k for k in range(begin, end) if rows[k].strip() and not rows[k].lstrip().startswith("#"))
        first = next(significant, begin) + 1
        for place in places(parsed):
            found.setdefault(place, first)
        begin = end
    return found


def name(place: Place) -> str:
    """A place as a reader would write it: ``observe[0].bins``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
