"""MKL's vector statistics by ctypes: the normals of the workload alone (Philox4x32-10), the floor of any simulation."""

import ctypes
import ctypes.util
import site
import sys
from pathlib import Path

import numpy as np
from workloads import Workload

from . import Runner, Sums

BRNG_PHILOX4X32X10 = 16 << 20
METHODS = {"icdf": 2, "boxmuller2": 1}
BLOCK = 4096  # normals a call, 32 KiB: the fastest size


def _load() -> ctypes.CDLL:
    roots = [
        Path(sys.prefix) / "lib",
        Path(sys.base_prefix) / "lib",
        *(Path(p).parents[1] for p in site.getsitepackages()),
    ]
    for root in roots:
        for path in sorted(root.glob("libmkl_rt.so*")):
            return ctypes.CDLL(str(path))
    found = ctypes.util.find_library("mkl_rt")
    if found is None:
        raise ImportError("libmkl_rt was not found")
    return ctypes.CDLL(found)


_mkl = _load()
_mkl.vslNewStream.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_uint]
_mkl.vslDeleteStream.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
_mkl.vdRngGaussian.argtypes = [
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_double,
    ctypes.c_double,
]


def version() -> str:
    text = ctypes.create_string_buffer(198)
    _mkl.mkl_get_version_string(text, 198)
    words = text.value.decode().split()
    return next((word for word in words if word[0].isdigit()), "?")


def build(w: Workload, threads: int, method: str = "icdf") -> Runner | None:
    if w.name != "ou":
        return None
    code = METHODS[method]

    def run(n_paths: int, seed: int) -> Sums:
        stream = ctypes.c_void_p()
        if _mkl.vslNewStream(ctypes.byref(stream), BRNG_PHILOX4X32X10, seed) != 0:
            raise RuntimeError("MKL made no stream")
        z = np.empty(BLOCK)
        address, left = z.ctypes.data, n_paths * w.n_steps * w.dim
        while left > 0:
            if _mkl.vdRngGaussian(code, stream, min(BLOCK, left), address, 0.0, 1.0) != 0:
                raise RuntimeError("MKL made no normals")
            left -= BLOCK
        _mkl.vslDeleteStream(ctypes.byref(stream))
        return len(z), np.array([z.sum()]), np.array([z @ z])

    return Runner(run, granule=BLOCK // w.n_steps, same_law=False, note="normals only")
