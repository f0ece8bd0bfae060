"""Where each key of a TOML file stands, so that an error can name its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
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


class Lines:
    """The line, from 1, of every key of a file that parses; found when first asked for, since only errors ask.

    The file is read line by line: what is new when one more line makes it parse stands in the lines since it last did.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _found(self) -> dict[Place, int]:
        rows = self._text.split("\n")
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

    def __contains__(self, place: Place) -> bool:
        return place in self._found

    def __getitem__(self, place: Place) -> int:
        return self._found[place]


def name(place: Place) -> str:
    """A place as a reader would write it: ``observe[0].bins``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
