"""Runs whose paths go to disk: one range of paths after the other, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from optsde._recipe import Recipe
from optsde._zarr import Store, check_stores, shard_paths
from optsde.merge import merged_raws
from optsde.observers import Paths

Poll = Callable[[int], None]


def run(recipe: Recipe, poll: Poll | None) -> dict[str, Any]:
    """The raw results of a recipe: at once, or by ranges of paths where some of them are to be stored."""
    stored = [o for o in recipe.observers if isinstance(o, Paths) and o.store is not None]
    if not stored:
        return recipe.run(poll)
    check_stores(stored)
    stores: dict[str, Store] = {}
    raws: list[dict[str, Any]] = []
    try:
        for observer in stored:
            stores[observer.name] = Store(recipe, observer)
        spans = _spans(recipe, stored)
        complete = _run_spans(recipe, spans, stores, raws, poll)
    except BaseException:
        for store in stores.values():
            store.close(False)
            store.abandon()
        raise
    results = {name: store.close(complete) for name, store in stores.items()}
    merged = merged_raws(raws, spans[: len(raws)])
    for k, kept in enumerate(recipe.observers):
        if kept.name in results:
            merged["observers"][k] = results[kept.name]
    return merged | {"complete": complete, "interrupted": merged["interrupted"] or not complete}


def _spans(recipe: Recipe, stored: list[Paths]) -> list[tuple[int, int]]:
    """Ranges of paths of which each fits into memory; those of which none is kept are one range."""
    first, last = recipe.path_range
    wide = shard_paths(sum(observer._bytes_per_path(recipe) for observer in stored))
    kept = min(max(observer._keep(recipe) for observer in stored), last)
    ends = [*range(first, kept, wide), max(kept, first), last]
    return [(a, b) for a, b in pairwise(ends) if a < b]


def _shifted(poll: Poll, before: int, done: int) -> None:
    poll(before + done)


def _run_spans(
    recipe: Recipe,
    spans: list[tuple[int, int]],
    stores: dict[str, Store],
    raws: list[dict[str, Any]],
    poll: Poll | None,
) -> bool:
    """Runs them in their order, writes and forgets their paths; False where it was interrupted."""
    first = recipe.path_range[0]
    for span in spans:
        before = (span[0] - first) * recipe.grid.n_steps
        report = None if poll is None else partial(_shifted, poll, before)
        try:
            raw = replace(recipe, path_range=span).run(report)
            index = np.arange(*span, dtype=np.int64) if raw["path_index"] is None else raw["path_index"]
            for observer, result in zip(recipe.observers, raw["observers"], strict=True):
                if observer.name in stores:
                    values = result.pop("values")
                    stores[observer.name].write(values, index[: values.shape[1]] - first)
        except KeyboardInterrupt:
            # Between two runs, or while writing: this range does not count.
            if not raws:
                raise
            raws[-1]["complete"] = False
            return False
        raws.append(raw)
        if raw["interrupted"]:
            # Its own paths may all be done; those of the ranges after it are not.
            raw["complete"] = raw["complete"] and span == spans[-1]
            return bool(raw["complete"])
    return True
