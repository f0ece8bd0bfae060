"""Runs an experiment's file, perhaps for several values of some of its keys, and writes a folder of results."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from optsde.experiment._reader import Reader
from optsde.experiment._report import Report, Row
from optsde.experiment._tasks import Outcome, perform

_MOST_RUNS = 1000


def _settings(reader: Reader) -> Iterator[dict[str, Any]]:
    """All combinations of the values in [sweep]: keys such as "dynamics.temperature" with a list each."""
    swept = reader.table("sweep")
    for key, values in swept.items():
        if not isinstance(values, list) or not values:
            raise reader.error(("sweep", key), f"sweep: expected a list of values of {key!r}, got {values!r}")
        table: Any = reader.tables
        for part in key.split(".")[:-1]:
            table = table.get(part) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise reader.error(("sweep", key), f"sweep: {key!r} names no key of a table in this file")
    runs = list(itertools.product(*swept.values()))
    if len(runs) > _MOST_RUNS:
        raise reader.error(("sweep",), f"sweep: {len(runs)} runs are more than {_MOST_RUNS}")
    for values in runs:
        yield dict(zip(swept, values, strict=True))


def _with(reader: Reader, settings: dict[str, Any]) -> Reader:
    """The same file with some values changed."""
    changed = copy.copy(reader)
    changed.tables = copy.deepcopy(reader.tables)
    for key, value in settings.items():
        *tables, last = key.split(".")
        table = changed.tables
        for part in tables:
            table = table[part]
        table[last] = value
    return changed


def _picture(path: Path, draw: Callable[[Any], Any], title: str) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("run: matplotlib is not installed; pip install optsde[plot]") from None
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    if title:
        axes.set_title(title)
    figure.savefig(path, dpi=110)


def _sweep_picture(key: str, rows: list[Row]) -> Callable[[Any], Any]:
    """A measured number against what was swept, with its predictions."""

    def draw(ax: Any) -> Any:
        x = [float(row.settings[key]) for row in rows]  # type: ignore[arg-type]
        ax.errorbar(x, [r.value for r in rows], [2.0 * r.error for r in rows], fmt="o", label="measured, ± 2 errors")
        for name in Report(rows).theories:
            ax.plot(x, [row.theory.get(name, float("nan")) for row in rows], label=name)
        ax.set(xlabel=key, ylabel=rows[0].quantity)
        if min(row.value for row in rows) > 0.0:
            ax.set_yscale("log")
        ax.legend()
        return ax

    return draw


def _title(title: str, settings: dict[str, Any]) -> str:
    said = ", ".join(f"{key} = {value}" for key, value in settings.items())
    return f"{title}: {said}" if title and said else title or said


def run_experiment(path: Path, out: Path, say: Callable[[str], None] = print) -> Report:
    """Runs the experiment of a file and writes a folder.

    Parameters
    ----------
    path : Path
        The file, TOML: see docs/experiments.md.
    out : Path
        The folder; it must not exist, or be empty.
    say : callable
        Takes the lines that a terminal shows.

    Returns
    -------
    Report
        The table; the folder has it as ``table.txt`` and ``table.csv``, beside the results (``result.optsde``, to be read by
        :func:`optsde.load`), pictures, and the file itself.

    Raises
    ------
    ExperimentError
        Where a key or a value of the file is wrong, with its line.
    FileExistsError
        Where the folder holds something.
    """
    reader = Reader(path)
    title = reader.get("title") or ""
    if not isinstance(title, str):
        raise reader.error(("title",), f"title: expected a text, got {title!r}")
    runs = list(_settings(reader))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"out: {out} exists and is not an empty folder")
    rows: list[Row] = []
    for index, settings in enumerate(runs, start=1):
        outcome: Outcome = perform(_with(reader, settings))
        out.mkdir(parents=True, exist_ok=True)
        if index == 1:
            (out / path.name).write_text(reader.text, encoding="utf-8")
        suffix = f"_{index}" if len(runs) > 1 else ""
        if settings:
            say(f"== {_title('', settings)}")
        say(outcome.note)
        if hasattr(outcome.result, "save"):
            outcome.result.save(out / f"result{suffix}.optsde")
        rows += [replace(row, settings=settings) for row in outcome.rows]
        for name, draw in outcome.pictures.items():
            _picture(out / f"{name}{suffix}.png", draw, _title(title, settings))
        # After each run: what is done is kept, whatever becomes of the next.
        report = Report(rows)
        (out / "table.csv").write_text(report.csv(), encoding="utf-8")
        (out / "table.txt").write_text(report.text() + "\n", encoding="utf-8")
    swept = list(reader.table("sweep"))
    if len(swept) == 1 and len(runs) > 1:
        first = [row for row in rows if row.quantity == rows[0].quantity]
        _picture(out / "sweep.png", _sweep_picture(swept[0], first), title)
    say(report.text())
    return report
