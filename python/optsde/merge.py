"""Shards of one ensemble, put together to the bits of the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from optsde import _core
from optsde._stored import LostFunction
from optsde.ensemble import Ensemble
from optsde.observers import Paths
from optsde.observers.quantiles import merged_buckets

# What a user calls the parts of a recipe.
_ARGUMENTS = {"grid": "times and steps", "key": "rng", "observers": "observe", "keep_diverged": "on_divergence"}


def _merged_observer(raws: list[dict[str, Any]]) -> dict[str, Any]:
    """The raw results of one observer over all shards, by what they hold."""
    if "forest" in raws[0]:
        forest, stats = _core.merge_forests([raw["forest"] for raw in raws])
        return {"forest": forest, "stats": stats}
    if "cells" in raws[0]:
        return {"cells": np.sum([raw["cells"] for raw in raws], axis=0)}
    if "buckets" in raws[0]:
        return merged_buckets(raws)
    if "times" in raws[0]:
        return {name: np.concatenate([raw[name] for raw in raws]) for name in ("times", "places")}
    if not raws[0] or "folder" in raws[0]:  # its paths were written to disk
        return raws[0]
    # Paths are the last axis but one, in final (n, d) and in paths (T, k, d).
    return {"values": np.concatenate([raw["values"] for raw in raws], axis=-2)}


def merge(ensembles: Iterable[Ensemble]) -> Ensemble:
    """Puts shards of one ensemble together; the whole has the bits of one run.

    Parameters
    ----------
    ensembles : iterable of Ensemble
        Runs with the same arguments and rng but for ``path_range``, ``threads`` and ``progress``, in any order, whose
        ranges
        follow each other without gap or overlap.

    Returns
    -------
    Ensemble
        Over all their paths; ``wall_time`` is the sum.

    Raises
    ------
    ValueError
        Where the runs differ otherwise, a range is missing or double, or a run is incomplete.

    Examples
    --------
    >>> import optsde
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    >>> run = dict(n_paths=1000, t1=1.0, dt=0.1, rng=7)
    >>> shards = [optsde.simulate(ou, 0.0, path_range=r, **run) for r in [(0, 640), (640, 1000)]]
    >>> whole = optsde.simulate(ou, 0.0, **run)
    >>> bool((optsde.merge(shards).mean == whole.mean).all())
    True
    """
    if isinstance(ensembles, Ensemble) or not isinstance(ensembles, Iterable):
        raise TypeError(f"ensembles: expected a list of ensembles, got {type(ensembles).__name__}")
    shards = list(ensembles)
    for shard in shards:
        if not isinstance(shard, Ensemble):
            raise TypeError(f"ensembles: expected ensembles, got {type(shard).__name__}")
    if not shards:
        raise ValueError("ensembles: expected at least one ensemble, got none")
    shards.sort(key=lambda shard: shard.path_range)
    recipes = [shard._need_recipe("merge") for shard in shards]
    for observer in (observer for recipe in recipes for observer in recipe.observers):
        for value in observer._fields().values():
            if isinstance(value, LostFunction):
                raise ValueError(
                    f"merge: {value.text}, of the observer {observer.name!r}, cannot be compared, because it is not in "
                    "the file that this ensemble was loaded from"
                )
    stored = [observer.name for observer in recipes[0].observers if isinstance(observer, Paths) and observer.store]
    if stored and len(shards) > 1:
        raise ValueError(
            f"ensembles: the paths {stored[0]!r} of each shard are in a folder of its own, and are not put together; "
            "read them there, and merge runs without store="
        )
    for shard, recipe in zip(shards, recipes, strict=True):
        if not shard.complete:
            raise ValueError(f"ensembles: the shard of paths {shard.path_range} was interrupted and is incomplete")
        if not recipe.same_but_range(recipes[0]):
            different = [name for name, value in recipe._fields().items() if value != getattr(recipes[0], name)]
            different = [_ARGUMENTS.get(name, name) for name in different if name not in ("path_range", "threads")]
            raise ValueError(f"ensembles: the shards are not of one run; they differ in {', '.join(different)}")
    for before, after in pairwise(shards):
        if before.path_range[1] != after.path_range[0]:
            word = "overlap" if before.path_range[1] > after.path_range[0] else "leave a gap"
            raise ValueError(f"ensembles: the path ranges {before.path_range} and {after.path_range} {word}")
    whole = replace(recipes[0], path_range=(shards[0].path_range[0], shards[-1].path_range[1]))
    spans = [shard.path_range for shard in shards]
    return Ensemble(whole, merged_raws([shard._raw for shard in shards], spans))


def merged_raws(raws: list[dict[str, Any]], spans: list[tuple[int, int]]) -> dict[str, Any]:
    """The raw results of ranges of paths, in their order, as those of one run."""
    indices = [np.arange(*s) if r["path_index"] is None else r["path_index"] for r, s in zip(raws, spans, strict=True)]
    complete = all(raw["complete"] for raw in raws)
    return {
        "complete": complete,
        "interrupted": any(raw["interrupted"] for raw in raws),
        "path_index": None if complete else np.concatenate(indices).astype(np.int64),
        "bad_steps": np.concatenate([raw["bad_steps"] for raw in raws]),
        "bad_paths": np.concatenate([raw["bad_paths"] for raw in raws]),
        "floor_touches": sum(raw["floor_touches"] for raw in raws),
        "wall_time": sum(raw["wall_time"] for raw in raws),
        "threads": max(raw["threads"] for raw in raws),
        "path_steps": sum(raw["path_steps"] for raw in raws),
        "simd": ", ".join(dict.fromkeys(raw["simd"] for raw in raws)),
        "observers": [
            _merged_observer([raw["observers"][k] for raw in raws]) for k in range(len(raws[0]["observers"]))
        ],
    }
