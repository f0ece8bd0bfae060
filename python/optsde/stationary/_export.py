"""Stationary laws as labelled data sets of xarray, and their draws as chains of ArviZ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optsde._export import arviz_chains, xarray_library

if TYPE_CHECKING:
    import xarray

    from optsde.stationary.result import StationaryEnsemble

_VECTORS = ("rhat", "ess", "iact", "iact_steps", "square_iact")
_ENDS = ("", "_stderr", "_bias", "_error")


def _facts(law: StationaryEnsemble) -> dict[str, Any]:
    """What was found and how, as attributes that every file format takes."""
    return {
        "equation": law.title.strip("<>"),
        "status": law.status,
        "reason": law.reason,
        "burn_in": law.burn_in,
        "burn_in_steps": law.burn_in_steps,
        "method": law.method,
        "dt": law.dt,
        "n_paths": law.n_paths,
        "n_steps": law.n_steps,
        "n_diverged": law.n_diverged,
        "rtol": law.rtol,
        "extrapolated": int(law.extrapolated),
        "starts": law.starts,
        "complete": int(law.complete),
        "key": f"0x{int(law.key):016x}",
        "optsde_version": law.ensemble.version,
    }


def to_xarray(law: StationaryEnsemble) -> xarray.Dataset:
    """See :meth:`optsde.StationaryEnsemble.to_xarray`."""
    library = xarray_library()
    data: dict[str, Any] = {}
    for variable in (law, *law.state.values()):
        first = "" if variable is law else f"{variable.name}_"
        for end in _ENDS:
            data[f"{first}mean{end}"] = ("parameter", getattr(variable, f"mean{end}"))
            data[f"{first}var{end}"] = ("parameter", getattr(variable, f"var{end}"))
            data[f"{first}cov{end}"] = (("parameter", "parameter_"), getattr(variable, f"cov{end}"))
        data |= {f"{first}{name}": ("parameter", getattr(variable, name)) for name in _VECTORS}
        data[f"{first}samples"] = (("sample", "parameter"), variable.samples)
        if len(variable.final):
            data[f"{first}final"] = (("path", "parameter"), variable.final)
    places = np.arange(len(law.mean))
    coords: dict[str, Any] = {"parameter": places, "parameter_": places}
    coords["sample_path"] = ("sample", np.arange(len(law.samples)) % law.n_paths)
    return library.Dataset(data, coords, _facts(law))


def to_arviz(law: StationaryEnsemble) -> Any:
    """See :meth:`optsde.StationaryEnsemble.to_arviz`."""
    if len(law.samples) == 0:
        raise ValueError(f"to_arviz: there are no draws; the search ended before: {law.reason}")
    values = {
        variable.name: np.moveaxis(variable.samples.reshape(-1, law.n_paths, variable.samples.shape[1]), 0, 1)
        for variable in (law, *law.state.values())
    }
    draws = np.arange(len(law.samples) // law.n_paths)
    return arviz_chains(values, {"chain": np.arange(law.n_paths), "draw": draws}, _facts(law))
