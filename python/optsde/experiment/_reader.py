"""An experiment's file as tables that are read with care: a wrong key or value is named with its line."""

from __future__ import annotations

import copy
import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optsde.experiment._lines import Lines, Place, name


class ExperimentError(ValueError):
    """What is wrong in an experiment's file, and on which line."""


class Reader:
    """The tables of one file, and the errors that name their lines.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = self._read()
        try:
            self.tables: dict[str, Any] = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
            what = re.sub(r" \(at .*\)$", "", str(error))
            line = f"line {place[1]}" if place else "the end"
            raise ExperimentError(f"{path}, {line}: {what[:1].lower()}{what[1:]}: not TOML") from None
        self._lines = Lines(self.text)
        # Keys whose values a sweep gives, and where it gives them.
        self._swept: dict[Place, Place] = {}

    def _read(self) -> str:
        # Some editors begin a file with a byte-order mark.
        data = self.path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        try:
            return data.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ExperimentError(f"{self.path}, line {line}: expected a text in UTF-8") from None

    def with_values(self, values: Mapping[Place, Any], origins: Mapping[Place, Place]) -> Reader:
        """The same file with other values at some places; errors in them are on the lines of their origins."""
        changed = copy.copy(self)
        changed.tables = copy.deepcopy(self.tables)
        changed._swept = dict(origins)
        for place, value in values.items():
            table: Any = changed.tables
            for part in place[:-1]:
                table = table[part]
            table[place[-1]] = value
        return changed

    def error(self, place: Place, text: str) -> ExperimentError:
        """An error at a key, or at the nearest table around it."""
        while place and place not in self._swept and place not in self._lines:
            place = place[:-1]
        place = self._swept.get(place, place)
        where = f", line {self._lines[place]}" if place else ""
        return ExperimentError(f"{self.path}{where}: {text}")

    def get(self, *place: str | int) -> Any:
        """What stands at a place; None where nothing does."""
        value: Any = self.tables
        for part in place:
            if isinstance(part, int):
                value = value[part]
            elif isinstance(value, dict):
                value = value.get(part)
            else:
                return None
        return value

    def table(self, *place: str | int) -> dict[str, Any]:
        """The table at a place; empty where there is none."""
        value = self.get(*place)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(place, f"{name(place)}: expected a table [{name(place)}], got {value!r}")
        return value

    def tables_of(self, *place: str | int) -> list[dict[str, Any]]:
        """The array of tables at a place; empty where there is none."""
        value = self.get(*place)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(place, f"{name(place)}: expected tables [[{name(place)}]], got {value!r}")
        return value

    def check_keys(self, place: Place, known: Sequence[str]) -> None:
        """Refuses a key that the table at a place does not have."""
        table = self.tables if not place else self.table(*place)
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                listing = ", ".join(known) or "none"
                where = f" of [{name(place)}]" if place else ""
                raise self.error((*place, key), f"{key!r} is no key{where}{hint} (keys: {listing})")

    def choice(self, place: Place, choices: Sequence[str]) -> str:
        """A name out of several."""
        if len(place) > 1:
            self.table(*place[:-1])
        value = self.get(*place)
        if value is None:
            table = place[:-1]
            what = f"the table [{name(table)}]" if table and self.get(*table) is None else f"{name(place)}:"
            raise self.error(place, f"{what} is missing; expected {name(place)} to be one of {', '.join(choices)}")
        if not isinstance(value, str) or value not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise self.error(place, f"{name(place)}: expected one of {', '.join(choices)}, got {value!r}{hint}")
        return value

    def call(
        self, place: Place, function: Callable[..., Any], given: Mapping[str, Any], skip: Sequence[str] = ()
    ) -> Any:
        """Calls a function with the keys of a table as arguments, beside those given; complaints get their lines."""
        return self.apply(place, function, self.arguments(place, function, given, skip))

    def arguments(
        self, place: Place, function: Callable[..., Any], given: Mapping[str, Any], skip: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The arguments of such a call, checked for unknown and missing keys; keys to skip are no arguments."""
        parameters = inspect.signature(function).parameters
        names = [
            key for key in parameters if key not in given and parameters[key].kind is not inspect.Parameter.VAR_KEYWORD
        ]
        self.check_keys(place, [*skip, *names])
        table = {key: value for key, value in self.table(*place).items() if key not in skip}
        arguments = {key: value for key, value in given.items() if key in parameters} | table
        missing = [
            key
            for key, parameter in parameters.items()
            if parameter.default is inspect.Parameter.empty and key not in arguments and key in names
        ]
        if missing:
            what = f"the table [{name(place)}]" if self.get(*place) is None else f"{name((*place, missing[0]))}:"
            raise self.error(place, f"{what} is missing; it needs {', '.join(missing)}")
        return arguments

    def apply(self, place: Place, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Calls a function; what it refuses is reported on the line of the argument that it names."""
        try:
            return function(**arguments)
        except (TypeError, ValueError) as error:
            named = re.match(r"(\w+)", str(error))
            key = named[1] if named else ""
            raise self.error((*place, key), f"[{name(place)}] {error}") from error
