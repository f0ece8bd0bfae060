"""Progress of a run: tqdm's bar, plain lines where tqdm is missing, or the user's own function."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

# Work shorter than this gets no bar unless one is asked for.
_LONG = 2.0
_PLAIN_INTERVAL = 10.0

Poll = Callable[[int], None]


def _watched() -> bool:
    """Whether someone looks: a terminal or a notebook."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class _Bar:
    """Appears after a delay; tqdm where installed."""

    def __init__(self, total: int, delay: float, name: str, unit: str) -> None:
        self._total, self._delay = total, delay
        self._name, self._unit = name, unit
        self._start = self._last = time.monotonic()
        self._shown = False
        self._bar: Any = None

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if not self._shown:
            if now - self._start < self._delay:
                return
            self._show()
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif now - self._last >= _PLAIN_INTERVAL:
            self._last = now
            share = 100 * done // self._total
            print(f"{self._name}: {share} % of {self._total:.3g} {self._unit}s", file=sys.stderr, flush=True)

    def _show(self) -> None:
        self._shown = True
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=self._total, unit=self._unit, unit_scale=True, desc=self._name, file=sys.stderr)

    def close(self, finished: bool) -> None:
        """Fills and closes the bar, or writes the one plain line."""
        if self._bar is not None:
            if finished:
                self._bar.update(self._total - self._bar.n)
            self._bar.close()
        elif self._shown or self._delay == 0.0:
            seconds = time.monotonic() - self._start
            word = "done" if finished else "stopped"
            text = f"{self._name}: {word}, {self._total:.3g} {self._unit}s in {seconds:.1f} s"
            print(text, file=sys.stderr, flush=True)


class Progress:
    """``poll`` is what the native module calls during a run, None where nobody looks; ``close`` ends it."""

    def __init__(self, progress: Any, total: int, name: str = "optsde", unit: str = "path-step") -> None:
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise TypeError(f"progress: expected None, True, False or a function f(done, total), got {progress!r}")
        self._total = total
        self._function: Callable[[int, int], Any] | None = None
        self._bar: _Bar | None = None
        self.poll: Poll | None = None
        if progress is True or (progress is None and _watched()):
            self._bar = self.poll = _Bar(total, 0.0 if progress else _LONG, name, unit)
        elif callable(progress):
            self._function = progress
            self.poll = self._report

    def _report(self, done: int) -> None:
        assert self._function is not None
        self._function(done, self._total)

    def close(self, finished: bool) -> None:
        """The last report: full where the run finished."""
        if self._bar is not None:
            self._bar.close(finished)
        elif self._function is not None and finished:
            self._function(self._total, self._total)
