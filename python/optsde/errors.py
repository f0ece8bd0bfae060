"""The exceptions and warnings of the package that are not Python's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optsde._core import CallbackError

if TYPE_CHECKING:
    from optsde.ensemble import Ensemble

__all__ = ["CallbackError", "DivergenceError", "DivergenceWarning", "Interrupted"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run.

    Attributes
    ----------
    partial : Ensemble
        The paths that were finished (``path_index`` says which; ``complete`` where all were); of
        :func:`optsde.expect` and :func:`optsde.stationary` their result as far as it was known. None where no path was
        begun: in the pilot of :class:`optsde.Adaptive`.
    """

    def __init__(self, message: str = "", partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial


class DivergenceWarning(RuntimeWarning):
    """Some paths became non-finite; statistics are conditional on survival."""


class DivergenceError(RuntimeError):
    """Some paths became non-finite in a run with ``on_divergence="raise"``.

    Attributes
    ----------
    partial : Ensemble
        The ensemble, with its statistics over the surviving paths.
    """

    def __init__(self, message: str = "", partial: Ensemble | None = None) -> None:
        super().__init__(message)
        self.partial = partial
