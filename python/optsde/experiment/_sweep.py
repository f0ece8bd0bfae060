"""What is swept: the runs that the table [sweep] of a file asks for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from optsde.experiment._lines import Place
from optsde.experiment._reader import Reader

_MOST_RUNS = 1000


def _lists(table: dict[str, Any], at: Place = ("sweep",)) -> Iterator[tuple[str, Place, Any]]:
    """Keys such as "dynamics.temperature", written with quotation marks or without, their places and values."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lists(value, (*at, key))
        else:
            yield ".".join(map(str, (*at[1:], key))), (*at, key), value


def settings(reader: Reader) -> list[dict[str, Any]]:
    """All combinations of the values in [sweep], by key; one without any where nothing is swept."""
    swept = {}
    for key, place, values in _lists(reader.table("sweep")):
        if not isinstance(values, list) or not values:
            raise reader.error(place, f"sweep: expected a list of values of {key!r}, got {values!r}")
        parts = key.split(".")
        if len(parts) < 2 or not isinstance(reader.get(*parts[:-1]), dict) or parts[0] == "sweep":
            raise reader.error(place, f"sweep: {key!r} is no key of a table of this file, such as 'run.dt'")
        swept[key] = values
    runs = 1
    for values in swept.values():
        runs *= len(values)
    if runs > _MOST_RUNS:
        raise reader.error(("sweep",), f"sweep: {runs} runs are more than {_MOST_RUNS}")
    return [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]


def of_run(reader: Reader, values: dict[str, Any]) -> Reader:
    """The file as one run sees it."""
    origins = {key: place for key, place, _ in _lists(reader.table("sweep"))}
    places = {key: tuple(key.split(".")) for key in values}
    return reader.with_values(
        {places[key]: value for key, value in values.items()}, {places[key]: origins[key] for key in values}
    )
