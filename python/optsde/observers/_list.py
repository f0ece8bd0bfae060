"""The argument ``observe`` of a run, and the memory that its partial sums take."""

from __future__ import annotations

import math
from typing import Any

from optsde.observers._base import Observer
from optsde.observers.moments import Moments
from optsde.observers.states import Final


def observer_list(observe: Any) -> tuple[Observer, ...]:
    """The argument ``observe``: a list of observers with different names; mean, variance and final states by
    default.
    """
    if observe is None:
        return Moments(), Final()
    if isinstance(observe, Observer):
        observe = [observe]
    if not isinstance(observe, (list, tuple)):
        raise TypeError(f"observe: expected a list of observers, got {type(observe).__name__}")
    for observer in observe:
        if not isinstance(observer, Observer):
            hint = "; call it to make one" if isinstance(observer, type) else ""
            raise TypeError(f"observe: expected observers from optsde.observers, got {observer!r}{hint}")
    names = [observer.name for observer in observe]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"observe: two observers are called {name!r}; give one of them another name=")
    return tuple(observe)


def partial_sums(n_paths: int, threads: int) -> int:
    """How many partial sums a run holds: one a thread, and a tree over groups of 64 paths."""
    return threads + 2 + math.ceil(math.log2(n_paths / 64 + 2))
