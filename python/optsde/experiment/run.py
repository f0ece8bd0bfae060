"""Runs an experiment's file, perhaps for several values of some of its keys, and writes a folder of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optsde.errors import Interrupted
from optsde.experiment import _pictures
from optsde.experiment._reader import Reader
from optsde.experiment._report import Report, Row
from optsde.experiment._sweep import of_run, settings
from optsde.experiment._tasks import Outcome, prepare


def _arrays(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The numbers and texts of a result, by name."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _arrays(item, f"{name}/{key}")
    elif isinstance(value, (np.ndarray, bool, int, float, str)) or (
        isinstance(value, tuple) and value and all(isinstance(item, str) for item in value)
    ):
        yield name, np.asarray(value)


def _title(title: str, values: Mapping[str, Any]) -> str:
    said = ", ".join(f"{key} = {value}" for key, value in values.items())
    return f"{title}: {said}" if title and said else title or said


class _Folder:
    """Writes what there is, and says once what could not be written."""

    def __init__(self, out: Path, say: Callable[[str], None]) -> None:
        self.out, self._say, self._said = out, say, set[str]()

    def remark(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def picture(self, path: Path, picture: _pictures.Picture, title: str) -> None:
        try:
            picture.save(path, title)
        except ImportError as error:
            self.remark(f"no pictures: {error}")
        except ValueError as error:
            self.remark(f"no picture {path.name}: {error}")

    def result(self, folder: Path, result: Any) -> None:
        """One file: an ensemble's own, which optsde.load reads; of other results the arrays, which NumPy reads."""
        try:
            # Not by hasattr of the object: a stationary law passes on what its last ensemble has.
            if hasattr(type(result), "save"):
                result.save(folder / "result.optsde")
            elif is_dataclass(result):
                named = (pair for f in fields(result) for pair in _arrays(getattr(result, f.name), f.name))
                np.savez_compressed(folder / "result.npz", allow_pickle=False, **dict(named))
            else:
                self.remark(f"no result file: a {type(result).__name__} cannot be saved")
        except ValueError as error:
            self.remark(f"no result file: {error}")

    def table(self, report: Report) -> None:
        (self.out / "table.csv").write_text(report.csv(), encoding="utf-8")
        (self.out / "table.txt").write_text(report.text() + "\n", encoding="utf-8")


def _check_out(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"out: {out} exists and is not an empty folder")


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
        The table, and in ``missed`` which runs did not reach the accuracy asked for. The folder has the table as
        ``table.txt`` and ``table.csv``, with the file itself (``experiment.toml``), the result (``result.optsde`` of
        ensembles, for :func:`optsde.load`; ``result.npz`` of others, for ``numpy.load``) and pictures; of several runs
        the last two in folders ``run_1``, ``run_2``, …

    Raises
    ------
    ExperimentError
        Where a key or a value of the file is wrong, with its line. Keys of all runs are checked before the first.
    FileExistsError
        Where the folder holds something.
    Interrupted
        On Ctrl-C. What was finished is in the folder.
    """
    reader = Reader(path)
    title = reader.get("title") or ""
    if not isinstance(title, str):
        raise reader.error(("title",), f"title: expected a text, got {title!r}")
    runs = settings(reader)
    for values in runs:
        prepare(of_run(reader, values))
    _check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    folder = _Folder(out, say)
    rows: list[Row] = []
    heads: list[Row] = []
    missed: list[str] = []
    for index, values in enumerate(runs, start=1):
        place = out / f"run_{index:0{len(str(len(runs)))}d}" if len(runs) > 1 else out
        if values:
            say(f"== {_title('', values)}")
        try:
            outcome: Outcome = prepare(of_run(reader, values))()
        except Interrupted as stopped:
            _keep_partial(folder, place, stopped)
            say(f"interrupted in run {index} of {len(runs)}; what was finished is in {out}")
            raise
        place.mkdir(exist_ok=True)
        say(outcome.note)
        for remark in outcome.remarks:
            folder.remark(remark)
        folder.result(place, outcome.result)
        made = [replace(row, settings=values) for row in outcome.rows]
        rows += made
        heads += [row for row in made if row.quantity == outcome.headline]
        if outcome.missed:
            missed.append(f"{_title('', values)}: {outcome.missed}" if values else outcome.missed)
        # After each run: what is done is kept, whatever becomes of the next. After a first that failed the folder is
        # empty, and can be used again.
        (out / "experiment.toml").write_text(reader.text, encoding="utf-8")
        folder.table(Report(rows))
        for name, picture in outcome.pictures.items():
            folder.picture(place / f"{name}.png", picture, _title(title, values))
        swept = list(values)
        if len(swept) == 1 and len(heads) > 1:
            folder.picture(out / "sweep.png", _pictures.sweep(swept[0], heads), title)
    report = Report(rows, missed)
    say(report.text())
    return report


def _keep_partial(folder: _Folder, place: Path, stopped: Interrupted) -> None:
    """What an interrupted run had."""
    if stopped.partial is not None:
        place.mkdir(exist_ok=True)
        folder.result(place, stopped.partial)
