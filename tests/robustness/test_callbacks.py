"""Users' NumPy functions: what they receive, what they may return, and what becomes of what they must not."""

import threading
import traceback

import numpy as np
import optsde
import pytest
from optsde import losses, noise

N = 3000


def langevin(grad, *, dim=2, **options):
    return optsde.Langevin(losses.Function(grad, dim=dim, **options), 0.1)


def run(grad, *, theta0=(0.5, -0.3), **options):
    options = {"n_paths": N, "t1": 0.5, "dt": 0.1, "rng": 1, "threads": 3} | options
    return optsde.simulate(langevin(grad), theta0, **options)


def plain(x):
    return x * x * x


@pytest.fixture(scope="module")
def expected():
    return run(plain).final


# --- what may be returned -------------------------------------------------------------------------------------------


def padded(x):
    big = np.full((2 * len(x) + 1, 7), np.nan)
    big[1::2, 1:5:3] = plain(x)
    return big[1::2, 1:5:3]


def unaligned(x):
    raw = np.zeros(x.size * 8 + 1, dtype=np.uint8)
    out = raw[1:].view(np.float64).reshape(x.shape)
    out[...] = plain(x)
    return out


def backwards(x):
    return np.ascontiguousarray(plain(x)[::-1, ::-1])[::-1, ::-1]


class ArrayLike:
    """Something with __array__, as other libraries' tensors have."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


class Sub(np.ndarray):
    """A subclass of ndarray."""


def reused(buffer=np.empty((2, 20_000))):  # noqa: B008
    """One buffer for all calls, overwritten by the next."""

    def grad(x):
        out = buffer[:, : len(x)].T
        np.multiply(x * x, x, out=out)
        return out

    return grad


LAYOUTS = {
    "C": lambda x: np.ascontiguousarray(plain(x)),
    "Fortran": lambda x: np.asfortranarray(plain(x)),
    "not contiguous": padded,
    "unaligned": unaligned,
    "negative strides": backwards,
    "other byte order": lambda x: plain(x).astype(">f8"),
    "longdouble": lambda x: plain(x).astype(np.longdouble),
    "list": lambda x: plain(x).tolist(),
    "tuple of rows": lambda x: tuple(map(tuple, plain(x))),
    "array-like": lambda x: ArrayLike(plain(x)),
    "subclass": lambda x: plain(x).view(Sub),
    "read-only": lambda x: np.frombuffer(np.ascontiguousarray(plain(x)).tobytes()).reshape(x.shape),
    "reused": reused(),
    "matrix": lambda x: np.asarray(plain(x)).view(np.recarray).view(np.ndarray),
}


@pytest.mark.parametrize("grad", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(grad, expected):
    assert run(grad).final.tobytes() == expected.tobytes()


def test_the_argument_itself_may_be_returned():
    one, other = run(lambda x: x), run(lambda x: x.copy())
    assert one.final.tobytes() == other.final.tobytes()
    one, other = run(lambda x: x[:, ::-1]), run(lambda x: x[:, ::-1].copy())
    assert one.final.tobytes() == other.final.tobytes()


def test_broadcast_views():
    one = run(lambda x: np.broadcast_to(0.25, x.shape))
    other = run(lambda x: np.full(x.shape, 0.25))
    assert one.final.tobytes() == other.final.tobytes()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, np.uint64, np.float16, np.float32, bool])
def test_real_dtypes(dtype):
    one, other = run(lambda x: (x > 0).astype(dtype)), run(lambda x: (x > 0).astype(np.float64))
    assert one.final.tobytes() == other.final.tobytes()


def test_single_precision_run():
    seen = set()

    def grad(x):
        seen.add(x.dtype)
        return plain(x).astype(np.float64)

    ensemble = run(grad, dtype="float32")
    assert seen == {np.dtype(np.float32)}
    assert ensemble.final.dtype == np.float32
    assert ensemble.final.tobytes() == run(plain, dtype="float32").final.tobytes()


# --- what must not be returned --------------------------------------------------------------------------------------

WRONG = {
    "transposed": (lambda x: np.ascontiguousarray(x.T), ValueError, r"grad.*shape \(2, \d+\), expected \(\d+, 2\)"),
    "too few rows": (lambda x: x[1:], ValueError, r"grad.*shape \(\d+, 2\), expected \(\d+, 2\)"),
    "one column": (lambda x: x[:, :1], ValueError, r"grad.*shape \(\d+, 1\), expected \(\d+, 2\)"),
    "flat": (lambda x: x[:, 0], ValueError, r"grad.*shape \(\d+,\), expected \(\d+, 2\)"),
    "one axis more": (lambda x: x[..., None], ValueError, r"grad.*shape \(\d+, 2, 1\), expected"),
    "0-d": (lambda x: np.float64(1.0), ValueError, r"grad.*shape \(\), expected"),
    "number": (lambda x: 1.0, ValueError, r"grad.*shape \(\), expected"),
    "empty": (lambda x: [], ValueError, r"grad.*shape \(0,\), expected"),
    "ragged": (lambda x: [[1.0], [1.0, 2.0]], (ValueError, TypeError), "grad"),
    "None": (lambda x: None, TypeError, "grad.*object"),
    "complex": (lambda x: x + 0j, TypeError, "grad.*complex128, expected real numbers"),
    "object": (lambda x: x.astype(object), TypeError, "grad.*object, expected real numbers"),
    "str": (lambda x: x.astype(str), TypeError, "grad.*<U.*expected real numbers"),
    "bytes": (lambda x: x.astype("S"), TypeError, "grad.*S.*expected real numbers"),
    "dates": (lambda x: x.astype("M8[s]"), TypeError, "grad.*datetime64.*expected real numbers"),
    "record": (lambda x: np.zeros(x.shape, dtype=[("a", float)]), TypeError, "grad.*expected real numbers"),
    "text": (lambda x: "nothing", TypeError, "grad.*expected real numbers"),
    "dict": (lambda x: {}, TypeError, "grad.*object"),
}


@pytest.mark.parametrize(("grad", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_returns(grad, error, message):
    with pytest.raises(error, match=message):
        run(grad)


@pytest.mark.parametrize(("grad", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_returns_to_an_inquiry(grad, error, message):
    with pytest.raises(error, match=message):
        losses.Function(grad, dim=2).grad(np.ones((5, 2)))


def test_wrong_number_of_arguments():
    with pytest.raises(TypeError, match="positional argument"):
        run(lambda: 1.0)
    with pytest.raises(TypeError, match="positional argument"):
        run(lambda x, y: x)


def sde(drift=None, diffusion=None, kind="diagonal_coupled", jacobian=None, **options):
    return optsde.SDE(
        drift or (lambda t, x: -x),
        diffusion or (lambda t, x: 0.0 * x + 1.0),
        dim=2,
        noise=kind,
        diffusion_jacobian=jacobian,
        **options,
    )


PARTS = {
    "drift": (sde(drift=lambda t, x: x[:, :1]), {}, "drift"),
    "diffusion": (sde(diffusion=lambda t, x: x[:, :1]), {}, "diffusion"),
    "diffusion full": (sde(diffusion=lambda t, x: x, kind="full"), {}, "diffusion"),
    "diffusion full m": (sde(diffusion=lambda t, x: np.ones((len(x), 2, 2)), kind="full", n_wiener=3), {}, "diffusion"),
    "jacobian": (sde(kind="diagonal", jacobian=lambda t, x: x[:, :1]), {"method": "milstein"}, "jacobian"),
    "factor": (
        optsde.SGD(0.1).sde(optsde.Problem(losses.Quadratic(1.0, dim=2), noise.Function(lambda x: x, kind="full"))),
        {},
        "factor",
    ),
    "factor jacobian": (
        optsde.SGD(0.1).sde(
            optsde.Problem(
                losses.Quadratic(1.0, dim=2), noise.Function(lambda x: x, kind="diagonal", jacobian=lambda x: x[:, :1])
            )
        ),
        {"method": "milstein"},
        "jacobian",
    ),
    "value": (
        optsde.SGD(0.1).sde(optsde.Problem(losses.Function(plain, dim=2, value=plain), noise.LossScaled(1.0))),
        {},
        "value",
    ),
    "hessian": (
        optsde.SGD(0.1).flow(optsde.Problem(losses.Function(plain, dim=2, hessian=plain), noise.Zero()), order=2),
        {},
        "hessian",
    ),
    "expectation": (sde(), {"observe": [optsde.Expectation(plain, "third")]}, "function|third|expectation"),
    "loss observer": (langevin(plain, value=plain), {"observe": [optsde.Loss()]}, "value"),
}


@pytest.mark.parametrize(("dynamics", "options", "name"), PARTS.values(), ids=PARTS)
def test_wrong_shape_of_every_part(dynamics, options, name):
    with pytest.raises(ValueError, match=rf"({name}).*shape \(\d+, [0-9, ]*\), expected \(\d+,"):
        optsde.simulate(dynamics, [0.5, 0.3], n_paths=300, t1=0.5, dt=0.05, rng=1, **options)


# --- NaN ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_returns_are_divergence(value):
    def grad(x):
        out = plain(x)
        out[x[:, 0] > 0.8] = value
        return out

    with pytest.warns(optsde.DivergenceWarning, match="became non-finite"):
        ensemble = run(grad, observe=[optsde.Final(), optsde.Moments(), optsde.Paths(at=6)])
    assert 0 < ensemble.n_diverged < N
    lost = np.isnan(ensemble.final).any(axis=1)
    assert lost.sum() == ensemble.n_diverged
    assert np.isnan(ensemble.final[lost]).all()
    np.testing.assert_allclose(ensemble.mean[-1], ensemble.final[~lost].mean(axis=0), rtol=1e-12)


def test_non_finite_expectation_is_not_divergence():
    ensemble = run(plain, observe=[optsde.Expectation(lambda x: np.full(len(x), np.nan), "nan"), optsde.Moments()])
    assert ensemble.n_diverged == 0
    assert np.isnan(ensemble.expectations["nan"].mean).all()
    assert np.isfinite(ensemble.mean).all()


# --- exceptions -----------------------------------------------------------------------------------------------------


class MyError(Exception):
    """The user's own."""


def failing(after=0, error=MyError("mine", 17)):  # noqa: B008
    calls = []

    def inner_frame_of_the_user(x):
        calls.append(1)
        if len(calls) > after:
            raise error
        return plain(x)

    return inner_frame_of_the_user


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("threads", [1, 4])
def test_own_exceptions(after, threads):
    error = MyError("mine", 17)
    with pytest.raises(MyError) as caught:
        run(failing(after, error), threads=threads)
    assert caught.value is error
    assert caught.value.args == ("mine", 17)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "inner_frame_of_the_user"


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        TypeError,
        MemoryError,
        SystemExit,
        GeneratorExit,
        StopIteration,
        RuntimeError,
        ZeroDivisionError,
        RecursionError,
        OSError,
    ],
)
def test_any_exception_comes_through(error):
    with pytest.raises(error, match="mine"):
        run(failing(1, error("mine")))


def test_chained_exceptions():
    def grad(x):
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise MyError("outer") from inner

    with pytest.raises(MyError, match="outer") as caught:
        run(grad)
    assert isinstance(caught.value.__cause__, KeyError)


def test_keyboard_interrupt_in_a_callback():
    with pytest.raises(optsde.Interrupted) as caught:
        run(failing(2, KeyboardInterrupt()))
    assert caught.value.partial is not None
    assert not caught.value.partial.complete


@pytest.mark.parametrize("name", ["drift", "diffusion", "jacobian", "expectation"])
def test_exceptions_of_every_part(name):
    def bad(*arguments):
        raise MyError(name)

    dynamics = {
        "drift": sde(drift=bad),
        "diffusion": sde(diffusion=bad),
        "jacobian": sde(kind="diagonal", jacobian=bad),
        "expectation": sde(),
    }[name]
    watch = [optsde.Expectation(bad, "e")] if name == "expectation" else None
    with pytest.raises(MyError, match=name):
        optsde.simulate(
            dynamics, [0.5, 0.3], n_paths=N, t1=0.5, dt=0.05, rng=1, method="milstein", observe=watch, threads=4
        )


def test_a_failed_run_leaves_everything_usable(expected):
    for _ in range(20):
        with pytest.raises(MyError):
            run(failing(1))
    assert run(plain).final.tobytes() == expected.tobytes()


def test_warnings_and_errstate_work_in_a_callback():
    with pytest.raises(RuntimeWarning):
        run(lambda x: np.log(-1.0 - x * x))
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        run(lambda x: np.log(-1.0 - x * x))
    with np.errstate(invalid="ignore"), pytest.warns(optsde.DivergenceWarning):
        assert run(lambda x: np.log(-1.0 - x * x)).n_diverged == N


# --- what is received -----------------------------------------------------------------------------------------------


def test_what_a_callback_receives():
    seen = []

    def grad(x):
        seen.append((type(x), x.ndim, x.shape[1], x.dtype, x.flags.writeable, x.flags.owndata, x.strides[0]))
        with pytest.raises(ValueError, match="read-only"):
            x[0, 0] = 1.0
        with pytest.raises(ValueError, match="read-only"):
            x += 1.0
        with pytest.raises(ValueError, match="writeable"):
            x.flags.writeable = True
        return plain(x)

    run(grad)
    assert set(seen) == {(np.ndarray, 2, 2, np.dtype(np.float64), False, False, 8)}


def test_columns_are_contiguous():
    columns = []
    run(lambda x: columns.append(all(x[:, k].flags.c_contiguous for k in range(2))) or plain(x))
    assert all(columns)


@pytest.mark.parametrize("n_paths", [1, 2, 63, 64, 1000, 20_000])
def test_every_path_is_in_one_block_of_every_step(n_paths):
    sizes = []
    run(lambda x: sizes.append(len(x)) or plain(x), n_paths=n_paths)
    assert sum(sizes) == 5 * n_paths
    assert len(sizes) <= 5 * max(1, n_paths // 1000)


def test_blocks_are_the_same_whatever_the_threads():
    def blocks(threads):
        sizes = []
        run(lambda x: sizes.append((len(x), x[0, 0])) or plain(x), n_paths=30_000, threads=threads)
        return sorted(sizes)

    assert blocks(1) == blocks(2) == blocks(8)


def test_the_calling_thread_calls_one_at_a_time():
    callers, inside, most = set(), [], []
    lock = threading.Lock()

    def guarded(f):
        def call(*arguments):
            callers.add(threading.get_ident())
            with lock:
                inside.append(1)
                most.append(len(inside))
            answer = f(*arguments)
            with lock:
                inside.pop()
            return answer

        return call

    dynamics = sde(
        guarded(lambda t, x: -x), guarded(lambda t, x: 0.0 * x + 1.0), jacobian=guarded(lambda t, x: 0.0 * x)
    )
    watch = [optsde.Expectation(guarded(lambda x: x[:, 0]), "e", at=3), optsde.Moments()]
    optsde.simulate(dynamics, [0.1, 0.2], n_paths=40_000, t1=0.5, dt=0.1, method="milstein", observe=watch, threads=8)
    assert callers == {threading.get_ident()}
    assert max(most) == 1


def test_calls_from_another_thread_stay_there():
    answers = {}

    def work():
        seen = set()
        answers["end"] = run(lambda x: seen.add(threading.get_ident()) or plain(x)).final
        answers["threads"] = seen == {threading.get_ident()}

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers["threads"]
    assert answers["end"].tobytes() == run(plain).final.tobytes()


def test_runs_side_by_side_in_threads(expected):
    ends = {}

    def work(k):
        ends[k] = run(plain).final

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(end.tobytes() == expected.tobytes() for end in ends.values())
    assert len(ends) == 6


def test_a_run_within_a_callback(expected):
    def grad(x):
        inner = optsde.simulate(optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1), 0.0, n_paths=200, t1=0.2, dt=0.1, rng=1)
        assert inner.complete
        return plain(x)

    assert run(grad).final.tobytes() == expected.tobytes()


def test_other_threads_go_on_during_a_native_run():
    """The interpreter is free while paths run."""
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.wait(0.005):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    optsde.simulate(
        optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1), 0.0, n_paths=50_000, t1=300.0, dt=0.1, rng=1, threads=1
    )
    stop.set()
    thread.join()
    assert len(ticks) > 3


def test_callbacks_are_let_go():
    import gc
    import weakref

    class Grad:
        def __call__(self, x):
            return plain(x)

    grad = Grad()
    held = weakref.ref(grad)
    ensemble = run(grad)
    del ensemble, grad
    gc.collect()
    assert held() is None
