"""The native module: descriptions come in as plain dicts, results go out as dicts of NumPy arrays."""

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

__version__: str

# --- descriptions -----------------------------------------------------------------------------------------------------
# Every description is a dict with a "kind". Arrays are float64, C-contiguous, already validated by the Python side.
#
# loss:  {"kind": "quadratic", "h": (d,) or (d, d), "center": (d,)}
#        {"kind": "double_well", "height": float, "dim": int}
#        {"kind": "quartic", "a": float, "b": float, "dim": int}
#        {"kind": "rosenbrock" | "rastrigin" | "styblinski_tang", "dim": int}
#        {"kind": "mueller_brown"}   {"kind": "scalar_factorization"}
#        {"kind": "matrix_factorization", "target": (p, q), "rank": int}
#        {"kind": "diagonal_linear_network", "x": (N, p), "y": (N,)}
#        {"kind": "mlp", "x": (N, p), "y": (N, k), of classes one-hot, "hidden": [int, ...],
#         "activation": "tanh" | "sigmoid" | "identity", "loss": "mse" | "cross_entropy"}
#        {"kind": "linear_regression", "x": (N, p), "y": (N,)}
#        {"kind": "logistic_regression", "x": (N, p), "y": (N,) of 0 and 1, "l2": float}
#        {"kind": "softmax_regression", "x": (N, p), "y": (N,) of classes, "classes": int, "l2": float}
#        {"kind": "function", "dim": int, "grad": f, "value": f | None, "hessian": f | None, "third": f | None,
#         "example_grads": f | None, "n_examples": int | None},
#         where third takes a point and a direction after it, (n, 2 d)
#        {"kind": "compiled", "dim": int, "grad": c, "value": c | None}, where c = {"address": int, "user_data": int}
# noise: {"kind": "zero", "dim": int}
#        {"kind": "gaussian_diagonal", "cov": (d,)}     {"kind": "gaussian_full", "cov": (d, d)}
#        {"kind": "affine_diagonal", "base": (d,), "slope": (d,), "center": (d,)}
#        {"kind": "loss_scaled", "cov": (d,) or (d, d), "floor": float}
#        {"kind": "student_t", "df": float, "cov": (d,) or (d, d)}
#        {"kind": "alpha_stable", "alpha": float, "scale": (d,), "isotropic": bool}
#        {"kind": "gaussian_inputs", "cov": (d,) or (d, d), "label_std": float}   (the loss is the quadratic of cov)
#        {"kind": "minibatch", "sampling": "replacement" | "without_replacement" | "reshuffled"}   (of a loss over data)
#        {"kind": "label_noise", "std": float, "signs": bool}   (of a loss of squared errors)
#        {"kind": "function", "dim": int, "noise_kind": str, "n_wiener": int, "factor": f, "jacobian": f | None}
#        {"kind": "compiled", "dim": int, "noise_kind": str, "n_wiener": int, "factor": c, "jacobian": c | None}
# dynamics:
#        {"kind": "sgd_sde", "loss": loss, "noise": noise, "batch_size": int, "lr": float}
#        {"kind": "sgd_discrete", "loss": ..., "noise": ..., "batch_size": int, "lr": float}
# optimizers: all have "lr" (the peak), "relative": (d,) | None, "schedule": schedule | None (relative to the peak),
#   "time_per_step", "inner" (steps of the algorithm in one of the optimizer's: SVAG), "l2", and the problem;
#   algorithms have "variance" (SVAG's factor of the covariance), equations "order".
#        {"kind": "sgd_algorithm", "decay": float}
#        {"kind": "momentum_algorithm", "momentum": {"beta": float} | {"r": float}, "nesterov": bool, "decay": float}
#        {"kind": "adaptive_algorithm", "betas": [float] | [float, float], "offsets": (p1, p2) | None, "eps": float,
#         "fresh": bool, "decay": float, "step_scale": float, "square": float}
#        {"kind": "sign_algorithm"}   {"kind": "sam_algorithm", "rho": float, "ascent": "sam" | "usam" | "dnsam"}
#        {"kind": "modified_sgd_sde", "decay": float}   {"kind": "usam_sde", "rho": float, "cov": (d, d) | None}
#        {"kind": "momentum_sde", "momentum": ..., "nesterov": bool, "decay": float}
#        {"kind": "rmsprop_sde" | "adam_sde", "regime": str, "tau": float, "rates": [c] | [c1, c2], "offsets": ...,
#         "eps": float, "decay": float, "ordering": str, "order": 1 | 2 | "corrected", "lookahead": bool, "floor": (d,)}
#        {"kind": "sign_sde", "regime": str}
# schedule: {"kind": "step", "start", "every", "factor"}   {"kind": "cosine" | "linear", "start", "end", "total"}
#        {"kind": "inverse_time", "start", "rate"}   {"kind": "piecewise", "boundaries": (n,), "values": (n + 1,)}
#        {"kind": "warmup", "steps", "of": schedule}
#        {"kind": "langevin", "loss": loss, "temperature": float, "mobility": (d,)}
#        {"kind": "ornstein_uhlenbeck", "a": (d, d) or (d,), "mean": (d,), "cov": (d, d) or (d,)}
#        {"kind": "sde", "dim": int, "noise_kind": str, "n_wiener": int,
#         "drift": f | c, "diffusion": the same, "diffusion_jacobian": the same or None}
# Python callbacks take a read-only (n, d) array (for "sde": t first) and return what api.md says; the native side checks
# shape and dtype of every return and raises ValueError/TypeError naming the callback.

class MethodRow(TypedDict):
    name: str
    strong: float | None
    weak: float | None
    stationary: float | None
    calculus: str
    noise_kinds: tuple[str, ...]
    needs: str
    normals_per_step: str
    source: str

def methods() -> list[MethodRow]: ...
def info() -> dict[str, Any]:
    """version, simd (in use), simd_available, cpu_features, threads (default)."""

def default_threads() -> int:
    """Threads by OPTSDE_NUM_THREADS, else by the process's CPU affinity and quota."""

def check_method(name: str, dynamics: dict[str, Any]) -> None: ...
def dynamics_n_wiener(dynamics: dict[str, Any]) -> int: ...
def dynamics_noise_kind(dynamics: dict[str, Any]) -> str: ...
def loss_value(loss: dict[str, Any], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (n, d) -> (n,)."""

def loss_grad(loss: dict[str, Any], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (n, d) -> (n, d)."""

def loss_hessian(loss: dict[str, Any], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (n, d) -> (n, d, d)."""

def loss_third(loss: dict[str, Any], x: NDArray[np.float64], s: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (n, d), s (n, d, d) symmetric -> (n, d)."""

def loss_example_grads(loss: dict[str, Any], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x (n, d) -> (n, N, d), for losses over data."""

def noise_factor(dynamics: dict[str, Any], x: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    """The diffusion factor of an SDE at points x (n, d) -> (n, d, m), with its sign."""

def drift(dynamics: dict[str, Any], x: NDArray[np.float64], t: float) -> NDArray[np.float64]:
    """The drift of an SDE at points x (n, d) -> (n, d)."""

def simulate(plan: dict[str, Any], poll: Callable[[int], None] | None) -> dict[str, Any]:
    """Runs a plan. poll(done_path_steps) is called from the calling thread about ten times a second; what it raises
    stops the run and is re-raised, save that KeyboardInterrupt (from it, from a signal or from a callback) returns what
    was done with complete=False.

    plan:
      dynamics: dict; method: str (a row of methods(), "algorithm" for discrete dynamics)
      dim: int (parameters); theta0: {"points": (1, d) or (n_paths, d) array of the run's dtype (full n_paths rows, also with path_range)}
              | {"gaussian": (mean (d,), factor (d, d))} | {"uniform": (low (d,), high (d,))}
      given: list of (first row, the same) for further variables; second_moment: bool (the last one starts at
              grad² + diag Σ/B where it is not given; else 0)
      n_paths: int; path_range: (a, b)
      first_cell: int   absolute index of the first cell on the wiener_dt grid
      n_steps: int; t0: float; dt: float; cells: int (dt / wiener_dt, >= 1)
      increments: "gaussian" | "gaussian_f32" | "two_point" | "three_point"; antithetic: bool (paths 2i, 2i + 1 see one Wiener path, of
              number i, and its negative); dtype: "float64" | "float32"
      key: int (0 <= key < 2**64); threads: int; keep_diverged: bool
      observers: list of
         {"kind": "final"}
         {"kind": "paths", "at": int64 array of steps since the start (0..n_steps), "keep": int (first k of the n_paths)}
         {"kind": "moments", "at": ..., "cov": bool}
         {"kind": "loss", "at": ..., "loss": loss dict}
         {"kind": "expectation", "at": ..., "function": f, "state": bool (of all variables, or the parameters)}
         {"kind": "histogram", "at": ..., "axes": [(bins, lo, hi)], "coords": [int]}  (one 1-D histogram a coordinate; of
            two axes, the joint one of two coordinates; without coordinates, of "function", "state" as above)
         {"kind": "quantiles", "at": ..., "bits": int (mantissa bits of a bucket, 1 to 16)}
         {"kind": "first_passage", "bridge": bool, and one of
            "region": "beyond", "coord": int, "level": float, "rising": bool
            "region": "ball", "center": (d,), "radius": float, "outside": bool
            "region": "where", "function": f, "state": bool}

         {"kind": "averages", "first": int (step), "stride": int, "units": dict}   (over these steps and paths)
         {"kind": "autocovariance", "first": ..., "stride": ..., "lags": list of int (in strides, ascending), "units": dict}
      moments, loss, expectation with "units": of antithetic pairs.
      units: {"centre": (c,) float64 of quantities, "pairs": (P, 2) int64 of quantities, "products": (Q, 2) int64 of the
              c + 2 P columns (means, spreads, products about the centre), "spreads": bool, "antithetic": bool}

    result:
      complete: bool; n_diverged: int; first_divergence: (path, step) | None; bad_steps: int64 array (one for each diverged
      path: its first bad step) and bad_paths: int64 array; path_index: int64 array of finished paths, None when complete;
      floor_touches: int; wall_time: float; threads: int; simd: str; path_steps: int
      observers: list, one dict for each observer asked:
         final:       {"values": (b - a, d)} (only the finished paths' rows, in path order)
         paths:       {"values": (T, k, d)}
         moments:     {"forest": Forest, "stats": Stats}     loss, expectation: the same with one component
         histogram:   {"cells": (T, C, bins + 2) or (T, 1, bins_i + 2, bins_j + 2) int64}, what is below the range first
         quantiles:   {"buckets": int64, "bucket_counts": int64} of those that are not empty, cell * 2**32 + bucket with
                      cells numbered (T, rows); the buckets are those of observers/quantiles.py
         first_passage: {"passages": (n,) float64 steps to the passage (inf: none; NaN: diverged), "places": (n, rows)}
    """

class Stats(TypedDict):
    """Count, mean and central sums over paths: n (T,), mean (T, c), m2, m3, m4 (T, c); with cov: c11 (T, c, c) =
    sum (xi - mi)(xj - mj), c22 (T, c, c) = sum (xi - mi)^2 (xj - mj)^2."""

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    m3: NDArray[np.float64]
    m4: NDArray[np.float64]
    c11: NDArray[np.float64] | None
    c22: NDArray[np.float64] | None

# The partial sums that merge() needs: picklable bytes.
Forest = bytes

def merge_forests(forests: list[Forest]) -> tuple[Forest, Stats]: ...
def normals(key: int, tag: int, first_path: int, paths: int, numbers: int, single: bool) -> NDArray[np.float64]:
    """Normals at their addresses, (numbers, paths) from the first number on: for tests of the generator."""

def time_normals(count: int) -> tuple[float, int]:
    """Seconds for at least that many normals on this thread, and how many they were: the floor of a run."""

def time_minibatches(x: NDArray[np.float64], batch: int, count: int) -> tuple[float, int]:
    """Seconds for drawing batches of rows of x (N, p) and multiplying each with a path's parameters, for at least count
    steps of paths, on this thread, and how many they were: the floor of a run.
    """

class CallbackError(RuntimeError): ...
