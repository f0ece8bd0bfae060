"""The pictures of an experiment, drawn on figures that no window shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import optsde
from optsde.experiment._report import Row
from optsde.experiment._theory import Law

_DPI = 110
_CORNER = 5
# A survival curve needs no more points than these.
_POINTS = 1000
# Values over a wider range than this are drawn on a logarithmic axis.
_WIDE = 5.0


@dataclass(frozen=True)
class Picture:
    """Something that draws on a figure of a size in inches."""

    draw: Callable[[Any, str], Any]
    size: tuple[float, float] = (6.4, 4.2)

    def save(self, path: Path, title: str) -> None:
        """Writes the picture; ImportError where matplotlib is missing."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("matplotlib is not installed; pip install optsde[plot]") from None
        figure = Figure(figsize=self.size, layout="constrained")
        FigureCanvasAgg(figure)
        self.draw(figure, title)
        figure.savefig(path, dpi=_DPI)


def curves(draw: Callable[[Any], Any]) -> Picture:
    """A picture of one pair of axes."""

    def on(figure: Any, title: str) -> None:
        ax = figure.add_subplot()
        draw(ax)
        ax.set_title(title)

    return Picture(on)


def corner(samples: Any, law: Law | None) -> Picture:
    """All pairs of the first coordinates, with a normal law's ellipses where one is predicted."""
    coords = range(min(samples.shape[1], _CORNER))

    def on(figure: Any, title: str) -> None:
        mean, cov = (None, None) if law is None else (law.mean, law.cov)
        optsde.plot.corner(samples, coords=coords, fig=figure, mean=mean, cov=cov)
        figure.suptitle(title)

    side = 1.0 + 1.7 * len(coords)
    return Picture(on, (side, side))


def survival(passage: Any, row: Row) -> Picture:
    """The share of paths that are still on their way, against exponential laws of the measured and predicted means."""

    def draw(ax: Any) -> None:
        arrived = np.sort(passage.times[np.isfinite(passage.times)])
        count = len(arrived) + passage.n_censored
        shown = np.unique(np.linspace(0, len(arrived) - 1, _POINTS).astype(int))
        start = float(passage.t[0])
        ax.step(arrived[shown] - start, 1.0 - (shown + 1.0) / count, where="post", label="measured")
        t = np.linspace(0.0, float(arrived[-1]) - start, 200)
        for name, mean in {"exponential law of the measured mean": row.value, **row.theory}.items():
            ax.plot(t, np.exp(-t / mean), "--", label=f"{name}: {mean:.4g}")
        ax.set(xlabel="time", ylabel="share of paths that have not arrived", yscale="log")
        ax.set_ylim(0.5 * max(passage.n_censored, 1) / count, 1.5)
        ax.legend()

    return curves(draw)


def sweep(key: str, rows: Sequence[Row]) -> Picture:
    """A measured number against what is swept, with its predictions."""

    def draw(ax: Any) -> None:
        values = [row.settings[key] for row in rows]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        x = np.array(values, dtype=float) if numbers else np.arange(len(values), dtype=float)
        measured = np.array([row.value for row in rows])
        errors = np.nan_to_num([row.error for row in rows], posinf=0.0)
        ax.errorbar(x, measured, errors, fmt="o", capsize=3, label="measured, 95 %")
        for name in dict.fromkeys(name for row in rows for name in row.theory):
            ax.plot(x, [row.theory.get(name, np.nan) for row in rows], "-" if numbers else "_", label=name)
        ax.set(xlabel=key, ylabel=rows[0].quantity)
        if numbers and x.min() > 0.0 and x.max() > _WIDE * x.min():
            ax.set_xscale("log")
        if not numbers:
            ax.set_xticks(x, [str(value) for value in values])
        finite = measured[np.isfinite(measured)]
        if finite.size and finite.min() > 0.0 and finite.max() > _WIDE * finite.min():
            ax.set_yscale("log")
        ax.legend()

    return curves(draw)
