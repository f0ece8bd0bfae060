"""C functions by address: from every kind of pointer, for every part, with user data, codes that stop, and numba."""

import ctypes
import gc
import pickle
import shutil
import subprocess
import sys
import threading
import weakref

import numpy as np
import optsde
import pytest
from optsde import losses, noise

SOURCE = r"""
#include <stdint.h>
#define ARGS const double *x, double *out, int64_t n, int64_t dim, int64_t stride, void *data
#define EACH for (int64_t p = 0; p < n; p++)
#define X(i) x[(i) * stride + p]
#define OUT(i) out[(i) * stride + p]

int32_t cube(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = X(i) * X(i) * X(i); return 0; }
int32_t value(ARGS) {
    EACH OUT(0) = 0.0;
    for (int64_t i = 0; i < dim; i++) EACH OUT(0) += 0.25 * X(i) * X(i) * X(i) * X(i);
    return 0;
}
int32_t scaled(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = *(double *)data * X(i); return 0; }
int32_t scaled_value(ARGS) { EACH OUT(0) = *(double *)data * X(0); return 0; }
int32_t has_no_data(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = X(i); return data ? 5 : 0; }
int32_t code(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = 0.0; return *(int32_t *)data; }
int32_t late(ARGS) {
    for (int64_t i = 0; i < dim; i++) EACH { OUT(i) = 0.0; if (X(i) > 2.0) return 42; }
    return 0;
}
int32_t not_a_number(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = X(i) > 0.5 ? 0.0 / 0.0 : X(i); return 0; }
int32_t own(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = 0.5 + 0.25 * X(i) * X(i); return 0; }
int32_t own_slope(ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = 0.5 * X(i); return 0; }
int32_t coupled(ARGS) { EACH { OUT(0) = 0.5 + 0.25 * X(1) * X(1); OUT(1) = 0.5 + 0.25 * X(0) * X(0); } return 0; }
int32_t crossed(ARGS) { /* m = 3 */
    EACH { OUT(0) = 0.5; OUT(1) = 0.25 * X(1); OUT(2) = 0.125; }
    EACH { OUT(3) = 0.25 * X(0); OUT(4) = 0.5; OUT(5) = X(0) * X(1); }
    return 0;
}
int32_t crossed_slope(ARGS) { /* row (i*3 + j)*2 + k */
    for (int64_t r = 0; r < 12; r++) EACH OUT(r) = 0.0;
    EACH { OUT(3) = 0.25; OUT(6) = 0.25; OUT(10) = X(1); OUT(11) = X(0); }
    return 0;
}
int32_t t_drift(double t, ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = t - X(i); return 0; }
int32_t t_own(double t, ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = 0.5 + t * X(i) * X(i); return 0; }
int32_t t_slope(double t, ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = 2.0 * t * X(i); return 0; }
int32_t t_code(double t, ARGS) { for (int64_t i = 0; i < dim; i++) EACH OUT(i) = 0.0; return t > 0.25 ? -7 : 0; }
int32_t t_crossed(double t, ARGS) { EACH OUT(0) = t; return crossed(x, out, n, dim, stride, data); }
"""
N = 3000
X = [0.5, -0.25]
RUN = {"n_paths": N, "t1": 0.5, "dt": 0.125, "rng": 3, "threads": 3}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "functions.c").write_text(SOURCE)
    # Contraction to fused operations is the compiler's own; NumPy has none.
    subprocess.run(
        [
            compiler,
            "-O2",
            "-ffp-contract=off",
            "-shared",
            "-fPIC",
            "-o",
            str(folder / "functions.so"),
            str(folder / "functions.c"),
        ],
        check=True,
    )
    return ctypes.CDLL(str(folder / "functions.so"))


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def cube(x):
    return x * x * x


def cube_value(x):
    return (0.25 * x * x * x * x).sum(axis=1)


def end(dynamics, **options):
    return optsde.simulate(dynamics, X, **RUN | options).final


def loss_run(loss, **options):
    return end(optsde.Langevin(loss, 0.1), **options)


@pytest.fixture(scope="module")
def expected():
    return loss_run(losses.Function(cube, dim=2))


# --- every kind of pointer ------------------------------------------------------------------------------------------

PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
)


def low_level(function, data=None):
    from scipy import LowLevelCallable

    typed = PROTOTYPE(address(function))
    return LowLevelCallable(typed) if data is None else LowLevelCallable(typed, data)


def cffi_pointer(function):
    import cffi

    ffi = cffi.FFI()
    return ffi.cast("int32_t (*)(const double *, double *, int64_t, int64_t, int64_t, void *)", address(function))


def cffi_library(library, name):
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("int32_t cube(const double *, double *, int64_t, int64_t, int64_t, void *);")
    opened = ffi.dlopen(library._name)
    return ffi.addressof(opened, name)


POINTERS = {
    "int": lambda library: address(library.cube),
    "ctypes function of a library": lambda library: library.cube,
    "ctypes prototype": lambda library: PROTOTYPE(address(library.cube)),
    "ctypes void pointer": lambda library: ctypes.c_void_p(address(library.cube)),
    "cffi pointer": lambda library: cffi_pointer(library.cube),
    "cffi library": lambda library: cffi_library(library, "cube"),
    "scipy.LowLevelCallable": lambda library: low_level(library.cube),
}


@pytest.mark.parametrize("pointer", POINTERS.values(), ids=POINTERS)
def test_pointers(library, expected, pointer):
    loss = losses.Compiled(pointer(library), dim=2)
    assert loss_run(loss).tobytes() == expected.tobytes()
    assert loss.grad([[1.0, 2.0], [3.0, 4.0]]).tolist() == [[1.0, 8.0], [27.0, 64.0]]


def test_capsule(library, expected):
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    for name in (None, b"some name"):
        capsule = new(address(library.cube), name, None)
        assert loss_run(losses.Compiled(capsule, dim=2)).tobytes() == expected.tobytes()


def kind_of(value):
    """A name that is the same in every process, as an address is not."""
    return type(value).__name__


@pytest.mark.parametrize(
    "pointer", [None, "cube", 3.5, True, b"x", [1], object(), lambda x: x, np.sin, (1, 2)], ids=kind_of
)
def test_what_is_no_pointer(pointer):
    for make in (
        lambda: losses.Compiled(pointer, dim=2),
        lambda: noise.Compiled(pointer, dim=2, kind="diagonal"),
        lambda: optsde.compiled(pointer),
    ):
        with pytest.raises(
            TypeError, match=rf"^(grad|factor|address): expected the address.* got {type(pointer).__name__}"
        ):
            make()


def test_null_pointers(library):
    import cffi

    nulls = [0, ctypes.c_void_p(None), ctypes.c_void_p(0), PROTOTYPE(), cffi.FFI().NULL]
    for null in nulls:
        with pytest.raises(ValueError, match=r"^grad: .*null pointer"):
            losses.Compiled(null, dim=2)
        with pytest.raises(ValueError, match=r"^value: .*null pointer"):
            losses.Compiled(library.cube, dim=2, value=null)
        with pytest.raises(ValueError, match=r"^factor: .*null pointer"):
            noise.Compiled(null, dim=2, kind="full")
        with pytest.raises(ValueError, match=r"^jacobian: .*null pointer"):
            noise.Compiled(library.own, dim=2, kind="diagonal", jacobian=null)
        with pytest.raises(ValueError, match=r"^address: .*null pointer"):
            optsde.compiled(null)
    with pytest.raises(ValueError, match=r"null pointer|expected the address"):
        losses.Compiled(-5, dim=2)


# --- every part -----------------------------------------------------------------------------------------------------


def sgd(law, loss=None):
    return optsde.SGD(0.125).sde(optsde.Problem(loss or losses.Quadratic(1.0, dim=2), law))


def np_crossed(x, out=None):
    out = np.zeros((len(x), 2, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = 0.5, 0.25 * x[:, 1], 0.125
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = 0.25 * x[:, 0], 0.5, x[:, 0] * x[:, 1]
    return out


def np_crossed_slope(x):
    out = np.zeros((len(x), 2, 3, 2))
    out[:, 0, 1, 1], out[:, 1, 0, 0], out[:, 1, 2, 0], out[:, 1, 2, 1] = 0.25, 0.25, x[:, 1], x[:, 0]
    return out


NOISES = {
    "diagonal": ("own", None, lambda x: 0.5 + 0.25 * x * x, None, {"kind": "diagonal"}),
    "diagonal with slope": ("own", "own_slope", lambda x: 0.5 + 0.25 * x * x, lambda x: 0.5 * x, {"kind": "diagonal"}),
    "coupled": ("coupled", None, lambda x: 0.5 + 0.25 * x[:, ::-1] * x[:, ::-1], None, {"kind": "diagonal_coupled"}),
    "full": ("crossed", None, np_crossed, None, {"kind": "full", "n_wiener": 3}),
    "full with slope": ("crossed", "crossed_slope", np_crossed, np_crossed_slope, {"kind": "full", "n_wiener": 3}),
}


@pytest.mark.parametrize("method", ["euler_maruyama", "milstein"])
@pytest.mark.parametrize("name", NOISES)
def test_noise(library, name, method):
    factor, slope, np_factor, np_slope, options = NOISES[name]
    slope = None if slope is None else getattr(library, slope)
    compiled = noise.Compiled(getattr(library, factor), dim=2, jacobian=slope, **options)
    function = noise.Function(np_factor, jacobian=np_slope, **options)
    assert end(sgd(compiled), method=method).tobytes() == end(sgd(function), method=method).tobytes()


def commuting(x):
    out = np.zeros((len(x), 2, 2))
    out[:, 0, 0], out[:, 1, 1] = 0.5 + 0.25 * x[:, 0] * x[:, 0], 0.5 + 0.25 * x[:, 1] * x[:, 1]
    return out


def test_declared_kind_of_compiled_noise_is_checked(library):
    with pytest.raises(ValueError, match=r"noise: declared 'diagonal', but entry . .* changes with coordinate ."):
        end(sgd(noise.Compiled(library.coupled, dim=2, kind="diagonal")))
    with pytest.raises(ValueError, match="noise: declared 'commutative', but Wiener processes"):
        end(sgd(noise.Compiled(library.crossed, dim=2, kind="commutative", n_wiener=3)))


@pytest.mark.parametrize("method", ["euler_maruyama", "milstein"])
@pytest.mark.parametrize("slope", [False, True])
def test_equation_with_time(library, method, slope):
    jacobian = optsde.compiled(library.t_slope) if slope else None
    compiled = optsde.SDE(
        optsde.compiled(library.t_drift),
        optsde.compiled(library.t_own),
        dim=2,
        noise="diagonal",
        diffusion_jacobian=jacobian,
    )
    function = optsde.SDE(
        lambda t, x: t - x,
        lambda t, x: 0.5 + t * x * x,
        dim=2,
        noise="diagonal",
        diffusion_jacobian=(lambda t, x: 2.0 * t * x) if slope else None,
    )
    mixed = optsde.SDE(
        lambda t, x: t - x, optsde.compiled(library.t_own), dim=2, noise="diagonal", diffusion_jacobian=jacobian
    )
    options = {"method": method, "t0": 0.5, "t1": 1.0}
    whole = end(function, **options)
    assert end(compiled, **options).tobytes() == whole.tobytes()
    assert end(mixed, **options).tobytes() == whole.tobytes()


def test_full_equation_with_time(library):
    compiled = optsde.SDE(
        optsde.compiled(library.t_drift), optsde.compiled(library.t_crossed), dim=2, noise="full", n_wiener=3
    )
    function = optsde.SDE(lambda t, x: t - x, lambda t, x: np_crossed(x), dim=2, noise="full", n_wiener=3)
    for method in ("euler_maruyama", "milstein"):
        assert end(compiled, method=method).tobytes() == end(function, method=method).tobytes()


def test_value(library):
    loss = losses.Compiled(library.cube, dim=2, value=library.value)
    own = losses.Function(cube, dim=2, value=cube_value)
    points = np.random.default_rng(1).normal(size=(3, 5, 2))
    assert loss.value(points).tobytes() == own.value(points).tobytes()
    runs = [optsde.simulate(optsde.Langevin(x, 0.1), X, observe=[optsde.Loss(at=3)], **RUN) for x in (loss, own)]
    assert runs[0].loss_mean.tobytes() == runs[1].loss_mean.tobytes()
    assert runs[0].loss_stderr.tobytes() == runs[1].loss_stderr.tobytes()
    scaled = [end(sgd(noise.LossScaled(0.5, floor=0.25), x)) for x in (loss, own)]
    assert scaled[0].tobytes() == scaled[1].tobytes()


def test_missing_pieces(library):
    loss = losses.Compiled(library.cube, dim=2)
    for ask, piece in ((loss.value, "value"), (loss.hessian, "hessian")):
        with pytest.raises(ValueError, match=f"^{piece}: "):
            ask([0.0, 0.0])
    with pytest.raises(ValueError, match=r"^value: "):
        loss_run(loss, observe=[optsde.Loss()])


def test_discrete_optimizer(library):
    pairs = [
        optsde.SGD(0.1).discrete(optsde.Problem(loss, law))
        for loss, law in (
            (losses.Compiled(library.cube, dim=2), noise.Compiled(library.own, dim=2, kind="diagonal")),
            (losses.Function(cube, dim=2), noise.Function(lambda x: 0.5 + 0.25 * x * x, kind="diagonal")),
        )
    ]
    ends = [optsde.simulate(pair, X, n_paths=N, steps=7, rng=3).final for pair in pairs]
    assert ends[0].tobytes() == ends[1].tobytes()


@pytest.mark.parametrize("n_paths", [1, 15, 16, 17, 63, 64, 65, 1000, 5000])
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_any_number_of_paths_and_threads(library, n_paths, threads):
    options = {"n_paths": n_paths, "threads": threads}
    compiled = loss_run(losses.Compiled(library.cube, dim=2), **options)
    assert compiled.tobytes() == loss_run(losses.Function(cube, dim=2), **options).tobytes()


# --- user data ------------------------------------------------------------------------------------------------------


def test_user_data(library):
    scale = ctypes.c_double(0.75)
    expected = loss_run(losses.Function(lambda x: 0.75 * x, dim=2))
    import cffi

    ffi = cffi.FFI()
    held = ffi.new("double *", 0.75)
    for data in (
        ctypes.addressof(scale),
        ctypes.pointer(scale),
        ctypes.cast(ctypes.pointer(scale), ctypes.c_void_p),
        held,
        ffi.cast("void *", held),
    ):
        loss = losses.Compiled(library.scaled, dim=2, user_data=data, keep_alive=scale)
        assert loss_run(loss).tobytes() == expected.tobytes()
    void = ctypes.cast(ctypes.pointer(scale), ctypes.c_void_p)
    assert loss_run(losses.Compiled(low_level(library.scaled, void), dim=2)).tobytes() == expected.tobytes()
    assert (
        loss_run(losses.Compiled(library.has_no_data, dim=2)).tobytes()
        == loss_run(losses.Function(lambda x: x, dim=2)).tobytes()
    )


@pytest.mark.parametrize("data", ["text", 1.5, object(), [1]], ids=kind_of)
def test_bad_user_data(library, data):
    with pytest.raises(TypeError, match=f"^user_data: expected an address .*got {type(data).__name__}"):
        losses.Compiled(library.scaled, dim=2, user_data=data)


def test_each_function_has_its_own_user_data(library):
    """Gradient and value, factor and jacobian may come as LowLevelCallables with data of their own."""
    one, two = ctypes.c_double(2.0), ctypes.c_double(3.0)
    data = [ctypes.cast(ctypes.pointer(x), ctypes.c_void_p) for x in (one, two)]
    loss = losses.Compiled(low_level(library.scaled, data[0]), dim=1, value=low_level(library.scaled_value, data[1]))
    assert loss.grad([1.0]).tolist() == [2.0]
    assert loss.value([1.0]) == 3.0


def test_user_data_and_function_are_kept_alive(library):
    class Holder:
        pass

    holder = Holder()
    held = weakref.ref(holder)
    dynamics = optsde.Langevin(losses.Compiled(address(library.cube), dim=2, keep_alive=holder), 0.1)
    del holder
    gc.collect()
    assert held() is not None
    ensemble = optsde.simulate(dynamics, X, **RUN)
    del dynamics
    gc.collect()
    assert held() is not None, "replay needs it still"
    ensemble.replay(0)
    del ensemble
    gc.collect()
    assert held() is None


def test_a_prototype_made_on_the_spot_is_kept_alive():
    def block(x, out, n, dim, stride, data):
        values = np.ctypeslib.as_array(ctypes.cast(x, ctypes.POINTER(ctypes.c_double)), (dim, stride))
        answers = np.ctypeslib.as_array(ctypes.cast(out, ctypes.POINTER(ctypes.c_double)), (dim, stride))
        answers[:, :n] = values[:, :n] ** 3
        return 0

    dynamics = optsde.Langevin(losses.Compiled(PROTOTYPE(block), dim=2), 0.1)
    gc.collect()
    ends = [end(dynamics, n_paths=300, threads=threads) for threads in (1, 4)]
    assert ends[0].tobytes() == ends[1].tobytes()
    np.testing.assert_allclose(ends[0], loss_run(losses.Function(cube, dim=2), n_paths=300), rtol=1e-13)


# --- codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 42, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("threads", [1, 4])
def test_codes(library, number, threads):
    data = ctypes.c_int32(number)
    loss = losses.Compiled(library.code, dim=2, user_data=ctypes.addressof(data), keep_alive=data)
    with pytest.raises(optsde.CallbackError) as caught:
        loss_run(loss, threads=threads)
    assert caught.value.args == (number,)
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(optsde.CallbackError):
        loss.grad([0.0, 0.0])
    data.value = 0
    assert loss_run(loss, threads=threads).shape == (N, 2)


def test_code_in_the_middle_of_a_run(library):
    with pytest.raises(optsde.CallbackError) as caught:
        optsde.simulate(
            optsde.Langevin(losses.Compiled(library.late, dim=1), 1.0),
            0.0,
            n_paths=20_000,
            t1=5.0,
            dt=0.1,
            rng=1,
            threads=4,
        )
    assert caught.value.args == (42,)


@pytest.mark.parametrize("part", ["drift", "diffusion"])
def test_code_of_an_equation(library, part):
    parts = {"drift": optsde.compiled(library.t_drift), "diffusion": optsde.compiled(library.t_own)}
    parts[part] = optsde.compiled(library.t_code)
    with pytest.raises(optsde.CallbackError) as caught:
        end(optsde.SDE(parts["drift"], parts["diffusion"], dim=2, noise="diagonal_coupled"))
    assert caught.value.args == (-7,)


def test_not_a_number_is_divergence(library):
    with pytest.warns(optsde.DivergenceWarning):
        ensemble = optsde.simulate(optsde.Langevin(losses.Compiled(library.not_a_number, dim=1), 0.1), 0.0, **RUN)
    assert 0 < ensemble.n_diverged < N


# --- what does not go with them -------------------------------------------------------------------------------------


def test_single_precision_is_refused(library):
    dynamics = [
        optsde.Langevin(losses.Compiled(library.cube, dim=2), 0.1),
        sgd(noise.Compiled(library.own, dim=2, kind="diagonal")),
        optsde.SDE(optsde.compiled(library.t_drift), lambda t, x: x, dim=2, noise="diagonal"),
        optsde.SGD(0.125).flow(optsde.Problem(losses.Compiled(library.cube, dim=2), noise.Zero())),
        optsde.SGD(0.125).discrete(optsde.Problem(losses.Compiled(library.cube, dim=2), noise.Gaussian(1.0))),
    ]
    for each in dynamics:
        with pytest.raises(ValueError, match=r"^dtype: compiled functions compute in double, .*'float32'"):
            optsde.simulate(each, X, **({"steps": 1} if each.time_per_step else RUN), dtype="float32")


def test_addresses_do_not_pickle(library):
    loss = losses.Compiled(library.cube, dim=2)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(loss)
    ensemble = optsde.simulate(optsde.Langevin(loss, 0.1), X, **RUN)
    again = pickle.loads(pickle.dumps(ensemble))
    assert again.final.tobytes() == ensemble.final.tobytes()
    assert loss == losses.Compiled(library.cube, dim=2)
    assert hash(loss) == hash(losses.Compiled(library.cube, dim=2))
    assert loss != losses.Compiled(library.scaled, dim=2)


# --- numba ----------------------------------------------------------------------------------------------------------


def point_cube(x, g):
    for i in range(2):
        g[i] = x[i] * x[i] * x[i]


def point_value(x):
    total = 0.0
    for i in range(2):
        total += 0.25 * x[i] * x[i] * x[i] * x[i]
    return total


def point_own(x, s):
    for i in range(2):
        s[i] = 0.5 + 0.25 * x[i] * x[i]


def point_own_slope(x, s):
    for i in range(2):
        s[i] = 0.5 * x[i]


def point_coupled(x, s):
    s[0] = 0.5 + 0.25 * x[1] * x[1]
    s[1] = 0.5 + 0.25 * x[0] * x[0]


def point_crossed(x, s):
    s[0], s[1], s[2] = 0.5, 0.25 * x[1], 0.125
    s[3], s[4], s[5] = 0.25 * x[0], 0.5, x[0] * x[1]


def point_crossed_slope(x, j):
    for r in range(12):
        j[r] = 0.0
    j[3], j[6], j[10], j[11] = 0.25, 0.25, x[1], x[0]


def point_commuting(x, s):
    s[0], s[1], s[2], s[3] = 0.5 + 0.25 * x[0] * x[0], 0.0, 0.0, 0.5 + 0.25 * x[1] * x[1]


POINT_NOISES = {
    "diagonal": (point_own, point_own_slope, lambda x: 0.5 + 0.25 * x * x, lambda x: 0.5 * x, {"kind": "diagonal"}),
    "coupled": (point_coupled, None, NOISES["coupled"][2], None, {"kind": "diagonal_coupled"}),
    "commutative": (point_commuting, None, commuting, None, {"kind": "commutative", "n_wiener": 2}),
    "full": (point_crossed, point_crossed_slope, np_crossed, np_crossed_slope, {"kind": "full", "n_wiener": 3}),
}


@pytest.fixture(scope="module")
def numba_loss():
    pytest.importorskip("numba")
    return losses.from_numba(point_cube, dim=2, value=point_value)


def test_loss_from_numba(numba_loss, expected):
    assert loss_run(numba_loss).tobytes() == expected.tobytes()
    points = np.random.default_rng(1).normal(size=(70, 2))
    np.testing.assert_allclose(numba_loss.value(points), cube_value(points), rtol=1e-15)
    one, other = (
        optsde.simulate(optsde.Langevin(loss, 0.1), X, observe=[optsde.Loss(at=3)], **RUN).loss_mean
        for loss in (numba_loss, losses.Function(cube, dim=2, value=cube_value))
    )
    np.testing.assert_allclose(one, other, rtol=1e-14)


@pytest.mark.parametrize("name", POINT_NOISES)
def test_noise_from_numba(name):
    pytest.importorskip("numba")
    factor, slope, np_factor, np_slope, options = POINT_NOISES[name]
    compiled = noise.from_numba(factor, dim=2, jacobian=slope, **options)
    function = noise.Function(np_factor, jacobian=np_slope, **options)
    for method in ("euler_maruyama", "milstein"):
        np.testing.assert_allclose(end(sgd(compiled), method=method), end(sgd(function), method=method), rtol=1e-13)


def test_cfunc(expected):
    numba = pytest.importorskip("numba")
    types = numba.types
    pointer = types.CPointer(types.double)

    @numba.cfunc(types.int32(pointer, pointer, types.int64, types.int64, types.int64, types.voidptr))
    def block(x, out, n, dim, stride, data):
        for i in range(dim):
            for p in range(n):
                v = x[i * stride + p]
                out[i * stride + p] = v * v * v
        return 0

    assert loss_run(losses.Compiled(block, dim=2)).tobytes() == expected.tobytes()
    assert loss_run(losses.Compiled(block.address, dim=2, keep_alive=block)).tobytes() == expected.tobytes()
    assert loss_run(losses.Compiled(block.ctypes, dim=2)).tobytes() == expected.tobytes()


def test_numba_functions_pickle(numba_loss):
    again = pickle.loads(pickle.dumps(numba_loss))
    assert again == numba_loss
    assert hash(again) == hash(numba_loss)
    assert loss_run(again, n_paths=50).tobytes() == loss_run(numba_loss, n_paths=50).tobytes()
    ensemble = optsde.simulate(optsde.Langevin(numba_loss, 0.1), X, **RUN)
    assert pickle.loads(pickle.dumps(ensemble)).replay(5).final.tobytes() == ensemble.final[5:6].tobytes()


def test_jitted_functions_are_taken(expected):
    numba = pytest.importorskip("numba")
    assert loss_run(losses.from_numba(numba.njit(point_cube), dim=2)).tobytes() == expected.tobytes()


def raising(x, g):
    g[0] = x[0]
    if x[0] > 1.0:
        raise ValueError("numba cannot say this across C")


def test_exception_in_a_numba_function_is_a_code():
    pytest.importorskip("numba")
    with pytest.raises(optsde.CallbackError):
        optsde.simulate(
            optsde.Langevin(losses.from_numba(raising, dim=1), 1.0), 0.0, n_paths=2000, t1=3.0, dt=0.1, rng=1
        )


def test_what_numba_cannot_compile():
    numba = pytest.importorskip("numba")

    def bad(x, g):
        g[0] = x.no_such_thing

    with pytest.raises(numba.errors.NumbaError):
        losses.from_numba(bad, dim=1)
    for wrong in (3, None, "f"):
        with pytest.raises(TypeError, match=r"^grad: expected a function of one point"):
            losses.from_numba(wrong, dim=1)


def test_without_numba(monkeypatch):
    for name in [name for name in sys.modules if name == "numba" or name.startswith("numba.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install optsde\[numba\]"):
        losses.from_numba(point_cube, dim=2)
    with pytest.raises(ImportError, match=r"pip install optsde\[numba\]"):
        noise.from_numba(point_own, dim=2, kind="diagonal")


# --- threads --------------------------------------------------------------------------------------------------------


def test_called_without_the_interpreter(library):
    """A thread that holds the interpreter does not stop a run of compiled functions."""
    loss = losses.Compiled(library.cube, dim=2)
    done = threading.Event()

    def work():
        loss_run(loss, n_paths=20_000, threads=2)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert done.is_set()


def test_compiled_runs_use_several_threads(library):
    ensemble = optsde.simulate(
        optsde.Langevin(losses.Compiled(library.cube, dim=2), 0.1), X, **RUN | {"n_paths": 20_000}
    )
    assert ensemble.threads == 3
