"""Ensembles in files: results, and the recipe that made them, so that they can be replayed and merged."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from optsde._archive import Packer, Unstorable, read_archive, unpack, write_archive
from optsde._recipe import Recipe
from optsde._stored import LostDynamics, from_fields, to_fields, to_fields_or_lost
from optsde.dynamics import Dynamics
from optsde.ensemble import Ensemble
from optsde.stationary.result import StationaryEnsemble

# A stationary law's file is that of its ensemble, with the law beside.
_FORMATS = {"optsde ensemble": Ensemble, "optsde stationary law": StationaryEnsemble}
_VERSION = 1
_EXPECTED = f"a file of {' or '.join(map(repr, _FORMATS))}, format version {_VERSION}"


def _checked_path(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a str or a path, got {type(path).__name__}")
    return Path(os.fsdecode(path))


def _storable(dynamics: Dynamics) -> Dynamics:
    """The dynamics, where its constructors give it again from what a file can hold; else what stands for it."""
    packer = Packer(to_fields)
    try:
        document = packer.pack(dynamics)
        if unpack(document, packer.arrays.__getitem__, from_fields) == dynamics:
            return dynamics
        why = "its parts do not give it again"
    except Unstorable as error:
        why = f"it holds {error}"
    title, names = repr(dynamics)[1:-1], tuple(dynamics.state)
    reason = f"the dynamics is not in the file that this ensemble was loaded from: {why}, which no file can hold"
    return LostDynamics(title, dynamics.dim, names, dynamics.time_per_step, reason)


def save(result: Ensemble | StationaryEnsemble, path: str | os.PathLike[str]) -> None:
    """Writes an ensemble or a stationary law into one file; see :meth:`optsde.Ensemble.save`."""
    place = _checked_path(path)
    ensemble = result.ensemble if isinstance(result, StationaryEnsemble) else result
    recipe = ensemble._need_recipe("save", anything=True)
    kept = replace(recipe, dynamics=_storable(recipe.dynamics))
    packer = Packer(to_fields_or_lost)
    lost = kept.dynamics.reason if isinstance(kept.dynamics, LostDynamics) else None
    try:
        content = {"recipe": packer.pack(kept), "raw": packer.pack(ensemble._raw)}
        if isinstance(result, StationaryEnsemble):
            content["law"] = packer.pack(result._content())
    except Unstorable as error:
        raise ValueError(f"save: the ensemble holds {error}, which no file can hold") from None
    head = {
        "format": next(name for name, kind in _FORMATS.items() if isinstance(result, kind)),
        "format_version": _VERSION,
        "optsde": ensemble.version,
        "about": repr(result).splitlines(),
        "not_stored": lost,
        "n_arrays": len(packer.arrays),
    }
    write_archive(place, head | content, packer.arrays)


def load(path: str | os.PathLike[str]) -> Ensemble | StationaryEnsemble:
    """Reads what :meth:`optsde.Ensemble.save` or :meth:`optsde.StationaryEnsemble.save` wrote.

    Nothing in the file is executed: descriptions are made by the constructors of this package, which check them.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Ensemble or StationaryEnsemble
        What was saved, with all that it had, ``replay`` and :func:`optsde.merge` among it, to the bit. Where the
        dynamics calls the user's own functions, which no file can hold, results are all there, and ``replay`` says why
        it is not.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file is of another kind or format version, or damaged, naming the path.

    Examples
    --------
    >>> import optsde, os, tempfile
    >>> ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    >>> ens = optsde.simulate(ou, 0.0, n_paths=100, t1=1.0, dt=0.1, rng=7)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ens.save(os.path.join(folder, "ou.optsde"))
    ...     again = optsde.load(os.path.join(folder, "ou.optsde"))
    >>> bool((again.replay(3).final == ens.final[3]).all())
    True
    """
    place = _checked_path(path)
    document, arrays = read_archive(place, _EXPECTED)
    found = document.get("format"), document.get("format_version")
    if found not in [(name, _VERSION) for name in _FORMATS]:
        writer = f", written by optsde {document['optsde']}" if "optsde" in document else ""
        raise ValueError(f"{place}: expected {_EXPECTED}, found {found[0]!r}, version {found[1]!r}{writer}")
    try:
        if document["n_arrays"] != len(arrays):
            raise ValueError(f"{len(arrays)} arrays of {document['n_arrays']}")
        recipe, raw = (unpack(document[part], arrays.__getitem__, from_fields) for part in ("recipe", "raw"))
        if not isinstance(recipe, Recipe):
            raise ValueError(f"a recipe that is a {type(recipe).__name__}")
        ensemble = Ensemble(recipe, raw)
        if found[0] == "optsde ensemble":
            return ensemble
        return StationaryEnsemble._from_content(unpack(document["law"], arrays.__getitem__, from_fields), ensemble)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"{place}: expected {_EXPECTED}, found one whose content is damaged: {error}") from error
