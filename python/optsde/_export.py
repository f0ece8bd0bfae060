"""Ensembles as labelled data sets of xarray, and their paths as chains of ArviZ."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from optsde._zarr import StoredPathsResult
from optsde.observers import Moments, Observer, Paths
from optsde.results import IntArray

if TYPE_CHECKING:
    import xarray

    from optsde.ensemble import Ensemble
    from optsde.results import Result

_TIME = ("t", "step")
# The axes of fields whose meaning their shape does not tell; "time" is the observer's own, "bin" becomes its name's.
_AXES = {
    ("FinalResult", "values"): ("path", "parameter"),
    ("PathsResult", "values"): ("time", "kept", "parameter"),
    ("MomentsResult", "cov"): ("time", "parameter", "parameter_"),
    ("MomentsResult", "cov_stderr"): ("time", "parameter", "parameter_"),
    ("FirstPassageResult", "times"): ("path",),
    ("FirstPassageResult", "places"): ("path", "parameter"),
    ("QuantilesResult", "q"): ("q",),
    ("QuantilesResult", "values"): ("time", "q", "parameter"),
    ("QuantilesResult", "stderr"): ("time", "q", "parameter"),
    ("AutocovarianceResult", "lags"): ("lag",),
    ("AutocovarianceResult", "lag_steps"): ("lag",),
    ("AutocovarianceResult", "autocovariance"): ("lag", "parameter"),
    ("AutocovarianceResult", "autocovariance_stderr"): ("lag", "parameter"),
    ("AutocovarianceResult", "autocorrelation"): ("lag", "parameter"),
    ("AutocovarianceResult", "autocorrelation_stderr"): ("lag", "parameter"),
    ("AutocovarianceResult", "iact"): ("parameter",),
}
# Fields that have the name of the ensemble's own field, without the observer's before it.
_OWN = ("FinalResult", "PathsResult", "MomentsResult")


def xarray_library() -> Any:
    """xarray; ImportError with its extra where it is missing."""
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray: xarray is not installed; pip install optsde[xarray]") from None
    return xarray


def _kept_index(ensemble: Ensemble, result: Result, count: int) -> IntArray:
    """Which paths were kept: a store has a row for each, be it finished or not."""
    if isinstance(result, StoredPathsResult):
        return np.arange(ensemble.path_range[0], ensemble.path_range[0] + count, dtype=np.int64)
    return ensemble.path_index[:count]


class _Sheet:
    """What becomes the data set: variables with dimensions, coordinates, and names taken."""

    def __init__(self, ensemble: Ensemble, library: Any) -> None:
        self.ensemble, self.library = ensemble, library
        self.data: dict[str, Any] = {}
        self.coords: dict[str, Any] = {"t": ("t", ensemble.t), "step": ("t", ensemble.step)}
        self._firsts: dict[type[Observer], str] = {}

    def _time(self, name: str, result: Result) -> str:
        """The time dimension of an observer: the ensemble's where they are the same."""
        return "t" if np.array_equal(result.step, self.ensemble.step) else f"t_{name}"

    def _dims(self, name: str, result: Result, field: str, value: Any, time: str) -> tuple[str, ...]:
        kind = type(result).__name__.removeprefix("Stored")
        known = _AXES.get((kind, field))
        if known is None and kind == "HistogramResult":
            known = self._histogram_axes(field, value, result)
        if known is None:  # statistics: times first, then parameters
            known = ("time", "parameter")[: value.ndim] if value.shape[:1] == result.t.shape else ()
        if len(known) != value.ndim:
            return tuple(f"{name}_{field}_{k}" for k in range(value.ndim))
        first = self._firsts[self._kind(name)] == name
        own = {axis: axis for axis in ("path", "parameter", "parameter_")}
        own |= {"time": time, "kept": "kept_path" if first else f"kept_path_{name}"}
        return tuple(own.get(axis, f"{name}_{axis}") for axis in known)

    def _histogram_axes(self, field: str, value: Any, result: Any) -> tuple[str, ...]:
        if field == "edges":
            return ("edge",)
        pair = isinstance(result.edges, (tuple, list))
        if field in ("underflow", "overflow"):
            if pair:
                return ("time", "coordinate")
            return ("time", "parameter")[: value.ndim]
        bins = ("bin_0", "bin_1") if pair else ("bin",)
        return ("time", "parameter")[: value.ndim - len(bins)] + bins

    def _kind(self, name: str) -> type[Observer]:
        return next(type(observer) for observer in self.ensemble._observers if observer.name == name)

    def _label(self, observer: Observer, variable: str, field: str, kind: str) -> str:
        first = self._firsts[type(observer)] == observer.name
        parts = [] if first and kind in _OWN else [observer.name]
        parts += [] if variable == "theta" else [variable]
        if field == "values" and kind in ("FinalResult", "PathsResult"):
            parts += [kind.removesuffix("Result").lower()] if first else []
        else:
            parts.append(field)
        label = "_".join(parts)
        # Names of observers are free, so that two labels may meet; with dots they cannot.
        taken = label in self.data or label in self.coords
        return f"{observer.name}.{variable}.{field}" if taken else label

    def add(self, observer: Observer, variable: str, result: Result) -> None:
        """All fields of one observer's result of one variable."""
        self._firsts.setdefault(type(observer), observer.name)
        time, kind = self._time(observer.name, result), type(result).__name__.removeprefix("Stored")
        for field, value in self._values(result).items():
            if value is None:
                continue
            if field == "edges":
                self._bins(observer.name, value)
                continue
            array = value if hasattr(value, "ndim") else np.asarray(value)
            if array.dtype.kind not in "biuf":
                continue
            dims = self._dims(observer.name, result, field, array, time)
            label = self._label(observer, variable, field, kind)
            if len(dims) == 1 and dims[0] == f"{observer.name}_{field.removesuffix('s')}":
                self.coords[dims[0]] = (dims[0], array)
            else:
                self.data[label] = self._labelled(dims, array)
            if time in dims and time != "t":
                self.coords |= {time: (time, result.t), f"step_{observer.name}": (time, result.step)}
            for dim, size in zip(dims, array.shape, strict=True):
                if dim.startswith("kept_path"):
                    self.coords[dim] = (dim, _kept_index(self.ensemble, result, size))
                elif dim.startswith("parameter"):
                    self.coords[dim] = (dim, np.arange(size))

    def _values(self, result: Result) -> dict[str, Any]:
        """The fields of a result but its times; what lies on disk is not read."""
        if isinstance(result, StoredPathsResult):
            result.check()
            return {"values": self.library.open_zarr(result.folder, chunks=None, consolidated=False)[result.variable]}
        return {f.name: getattr(result, f.name) for f in dataclasses.fields(result) if f.name not in _TIME}

    def _labelled(self, dims: tuple[str, ...], array: Any) -> Any:
        if isinstance(array, self.library.DataArray):
            names = dict(zip(array.dims, dims, strict=True))
            return array.reset_coords(drop=True).drop_vars(list(array.coords)).rename(names).variable
        return self.library.Variable(dims, array)

    def _bins(self, name: str, edges: Any) -> None:
        pair = isinstance(edges, (tuple, list))
        for k, one in enumerate(edges if pair else [edges]):
            end = f"_{k}" if pair else ""
            self.coords[f"{name}_edge{end}"] = (f"{name}_edge{end}", np.asarray(one))
            self.coords[f"{name}_bin{end}"] = (f"{name}_bin{end}", (one[1:] + one[:-1]) / 2.0)


def _facts(ensemble: Ensemble) -> dict[str, Any]:
    """What made the data, as attributes that every file format takes."""
    facts = {
        "equation": ensemble._title.strip("<>"),
        "method": ensemble.method,
        "dt": ensemble.dt,
        "n_steps": ensemble.n_steps,
        "n_paths": ensemble.n_paths,
        "path_range": list(ensemble.path_range),
        "n_diverged": ensemble.n_diverged,
        "complete": int(ensemble.complete),
        "dtype": ensemble.dtype,
        "key": f"0x{int(ensemble.key):016x}",
        "optsde_version": ensemble.version,
    }
    recipe = ensemble._recipe
    step = None if recipe is None else recipe.dynamics.time_per_step
    return facts | ({} if step is None else {"time_per_step": step})


def to_xarray(ensemble: Ensemble) -> xarray.Dataset:
    """See :meth:`optsde.Ensemble.to_xarray`."""
    library = xarray_library()
    sheet = _Sheet(ensemble, library)
    # The moments' names are the plainest and the ones that people look for.
    for observer in sorted(ensemble._observers, key=lambda o: not isinstance(o, Moments)):
        sheet.add(observer, "theta", ensemble[observer.name])
        for variable, results in ensemble._further.items():
            if observer.name in results:
                sheet.add(observer, variable, results[observer.name])
    if any("path" in value.dims for value in sheet.data.values()):
        sheet.coords["path"] = ("path", ensemble.path_index)
    data = library.Dataset(sheet.data, sheet.coords, _facts(ensemble))
    step = data.attrs.get("time_per_step")
    note = {"long_name": "time"} | ({} if step is None else {"optimizer_step": step})
    for name in (name for name in data.coords if name == "t" or str(name).startswith("t_")):
        data[name].attrs.update(note)
    return data


def to_arviz(ensemble: Ensemble) -> Any:
    """See :meth:`optsde.Ensemble.to_arviz`."""
    paths = {"theta": ensemble.paths} | {name: variable.paths for name, variable in ensemble.state.items()}
    observer = next(o for o in ensemble._observers if isinstance(o, Paths))
    times = ensemble[observer.name].t
    values = {name: np.moveaxis(np.asarray(value), 0, 1) for name, value in paths.items()}
    whole = np.all([np.isfinite(value).all(axis=(1, 2)) for value in values.values()], axis=0)
    chain = _kept_index(ensemble, ensemble[observer.name], len(whole))[whole]
    coords = {"chain": chain, "draw": np.arange(len(times)), "t": ("draw", times)}
    return arviz_chains({name: value[whole] for name, value in values.items()}, coords, _facts(ensemble))


def arviz_chains(values: dict[str, Any], coords: dict[str, Any], facts: dict[str, Any]) -> Any:
    """What this release of ArviZ takes for chains: arrays (chain, draw, parameter) by the names of variables."""
    try:
        with warnings.catch_warnings():
            # Of releases to come, said at the import of every release before 1.
            warnings.simplefilter("ignore", FutureWarning)
            import arviz
        xarray = xarray_library()
    except ImportError:
        raise ImportError("to_arviz: arviz is not installed; pip install optsde[arviz]") from None
    posterior = {name: (("chain", "draw", "parameter"), value) for name, value in values.items()}
    data = xarray.Dataset(posterior, coords, facts)
    if int(arviz.__version__.split(".")[0]) < 1:
        return arviz.InferenceData(posterior=data)
    return xarray.DataTree.from_dict({"posterior": data})
