"""Every kind of pointer is understood, kept alive and, where it can be, pickled."""

import copy
import ctypes
import pickle

import numpy as np
import optsde
import pytest
from optsde._compiled import CompiledFunction

SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.POINTER(ctypes.c_double),
    ctypes.POINTER(ctypes.c_double),
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
)


def double(x, out, n, dim, stride, user_data):
    for i in range(dim):
        for p in range(n):
            out[i * stride + p] = 2.0 * x[i * stride + p]
    return 0


def gradient(x, g):
    for i in range(len(x)):
        g[i] = 2.0 * x[i]


def value(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i] ** 2
    return total


def deviation(x, s):
    s[0] = 1.0 + x[0] ** 2
    s[1] = 1.0 + x[1] ** 2


def refuses(x, g):
    if x[0] > 0.0:
        raise ValueError("refused")
    g[0] = 0.0


def call(function, x, rows):
    """Calls a block function as the native module does, with a stride larger than n."""
    n, dim = x.shape
    stride = n + 3
    given, out = np.full((dim, stride), np.nan), np.full((rows, stride), np.nan)
    given[:, :n] = x.T
    pointer = ctypes.POINTER(ctypes.c_double)
    native = SIGNATURE(function["address"])
    code = native(given.ctypes.data_as(pointer), out.ctypes.data_as(pointer), n, dim, stride, None)
    assert np.isnan(out[:, n:]).all()
    return code, out[:, :n].T


def test_ctypes_pointers():
    function = SIGNATURE(double)
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert CompiledFunction("f", function).address == address
    assert CompiledFunction("f", ctypes.c_void_p(address)).address == address
    assert CompiledFunction("f", address) == CompiledFunction("f", function)


def test_null_pointers():
    for null in (0, ctypes.c_void_p(0), SIGNATURE()):
        with pytest.raises(ValueError, match=r"f: .* null pointer"):
            CompiledFunction("f", null)


def test_cffi_pointer():
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    assert CompiledFunction("f", ffi.cast("void *", 4096)).address == 4096
    assert CompiledFunction("f", 4096, ffi.cast("void *", 64)).user_data == 64


def test_numba_and_scipy():
    numba = pytest.importorskip("numba")
    scipy = pytest.importorskip("scipy")
    pointer = numba.types.CPointer(numba.types.float64)
    whole = numba.types.int64
    signature = numba.types.int32(pointer, pointer, whole, whole, whole, numba.types.voidptr)
    function = numba.cfunc(signature)(double)
    assert CompiledFunction("f", function).address == function.address
    low = scipy.LowLevelCallable(function.ctypes, ctypes.c_void_p(64))
    assert CompiledFunction("f", low).address == function.address
    assert CompiledFunction("f", low).user_data == 64


def test_keeps_alive_and_copies():
    kept = object()
    function = optsde.compiled(4096, 64, kept)
    assert kept in function.keep_alive
    assert copy.deepcopy(function) is function
    assert function == optsde.compiled(4096, 64)
    assert function != optsde.compiled(4096, 65)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(function)


def test_from_numba_blocks():
    pytest.importorskip("numba")
    x = np.random.default_rng(1).normal(size=(37, 5))
    loss = optsde.losses.from_numba(gradient, dim=5, value=value)
    spec = loss._spec()
    code, out = call(spec["grad"], x, 5)
    assert code == 0
    assert (out == 2.0 * x).all()
    code, out = call(spec["value"], x, 1)
    assert code == 0
    np.testing.assert_allclose(out[:, 0], (x**2).sum(axis=1), rtol=1e-14)


def test_from_numba_pickles():
    pytest.importorskip("numba")
    loss = optsde.losses.from_numba(gradient, dim=2, value=value)
    assert pickle.loads(pickle.dumps(loss)) == loss == optsde.losses.from_numba(gradient, dim=2, value=value)
    noise = optsde.noise.from_numba(deviation, dim=2, kind="diagonal")
    assert pickle.loads(pickle.dumps(noise)) == noise


def test_from_numba_exception_is_a_code():
    pytest.importorskip("numba")
    loss = optsde.losses.from_numba(refuses, dim=1)
    assert call(loss._spec()["grad"], np.array([[-1.0]]), 1)[0] == 0
    assert call(loss._spec()["grad"], np.array([[1.0]]), 1)[0] != 0


def test_without_numba(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install optsde\[numba\]"):
        optsde.losses.from_numba(gradient, dim=1)
