"""The bad input that users really give: each gets an error that names the argument, what came and what was expected,
before any work starts.
"""

import os

import numpy as np
import optsde
import pytest
from optsde import losses, noise

CALLS = []


def counted(x):
    CALLS.append(x.shape)
    return 2.0 * x


LOSS = losses.Function(counted, dim=2, value=lambda x: (x * x).sum(axis=1))
PROBLEM = optsde.Problem(LOSS, noise.Gaussian(1.0))
SDE = optsde.SGD(0.1).sde(PROBLEM)
CHAIN = optsde.SGD(0.1).discrete(PROBLEM)
X = [1.0, 1.0]


def run(theta0=X, dynamics=SDE, **options):
    return optsde.simulate(dynamics, theta0, **({"steps": 1} | options))


DESCRIPTIONS = [
    (lambda: losses.Quadratic(np.ones((2, 3))), ValueError, r"^H: .*square.*\(2, 3\)"),
    (lambda: losses.Quadratic(np.ones((2, 2, 2))), ValueError, r"^H: .*\(2, 2, 2\)"),
    (
        lambda: losses.Quadratic([[1.0, 2.0], [2.5, 1.0]]),
        ValueError,
        r"^H: .*symmetric.*\(0, 1\) = 2 .*\(1, 0\) = 2\.5",
    ),
    (lambda: losses.Quadratic([[1.0, np.nan], [np.nan, 1.0]]), ValueError, r"^H: .*finite.*nan at index \(0, 1\)"),
    (lambda: losses.Quadratic([1.0, -np.inf]), ValueError, "^H: .*finite.*-inf at index 1"),
    (lambda: losses.Quadratic([True, False]), TypeError, "^H: .*real numbers.*bool"),
    (lambda: losses.Quadratic([None, 1.0]), TypeError, "^H: .*real numbers.*object"),
    (lambda: losses.Quadratic({"a": 1}), TypeError, "^H: .*real numbers.*dict"),
    (lambda: noise.Gaussian(np.ones((3, 2))), ValueError, r"^cov: .*square.*\(3, 2\)"),
    (lambda: noise.Gaussian([[1.0, 0.5], [0.4, 1.0]]), ValueError, "^cov: .*symmetric.*0.5.*0.4"),
    (lambda: noise.Gaussian([[1.0, 3.0], [3.0, 1.0]]), ValueError, "^cov: .*negative eigenvalues.*-2"),
    (lambda: noise.Gaussian([1.0, -1e-30]), ValueError, "^cov: .*-1e-30"),
    (lambda: noise.Gaussian(np.diag([1.0, np.inf])), ValueError, "^cov: .*finite.*inf"),
    (lambda: noise.LossScaled([[1.0, 0.0], [0.0, -1.0]]), ValueError, "^cov: .*eigenvalue -1"),
    (lambda: optsde.OrnsteinUhlenbeck(np.eye(3), 0.0, np.eye(2)), ValueError, "A has 3, cov has 2"),
    (lambda: optsde.OrnsteinUhlenbeck(np.eye(2), [0.0, np.nan], 1.0), ValueError, "^mean: .*nan at index 1"),
    (lambda: optsde.initial.Gaussian(0.0, [[1.0, 2.0], [2.0, 1.0]]), ValueError, "^cov: .*eigenvalue -1"),
    (lambda: optsde.Problem(LOSS, noise.Gaussian(np.eye(3))), ValueError, "loss has 2, noise has 3"),
    (lambda: optsde.Problem(None, noise.Zero()), TypeError, "^loss: .*NoneType"),
    (lambda: optsde.SGD("fast"), TypeError, "^lr: .*real numbers.*str"),
    (lambda: optsde.SGD(-0.1), ValueError, "^lr: .*positive.*-0.1"),
]
RUNS = [
    (lambda: run([1.0, np.nan]), ValueError, "^theta0: .*finite.*nan at index 1"),
    (lambda: run([[0.0, 0.0], [np.inf, 0.0]]), ValueError, r"^theta0: .*finite.*inf at index \(1, 0\)"),
    (lambda: run([1.0, 2.0, 3.0]), ValueError, r"^theta0: expected .*\(2,\).* got shape \(3,\)"),
    (lambda: run(np.zeros((5, 3))), ValueError, r"^theta0: expected .* got shape \(5, 3\)"),
    (lambda: run([1.0 + 2j, 0.0]), TypeError, "^theta0: .*real numbers.*complex"),
    (lambda: run([[1.0, 2.0], [1.0]]), ValueError, "^theta0: .*unequal"),
    (lambda: run(optsde.initial.Uniform(0.0, [1.0] * 3)), ValueError, "^theta0: .*dynamics has 2, Uniform has 3"),
    (lambda: run(n_paths=0), ValueError, "^n_paths: .*at least 1, got 0"),
    (lambda: run(n_paths=-5), ValueError, "^n_paths: .*at least 1, got -5"),
    (lambda: run(n_paths=10.0), TypeError, "^n_paths: .*integer.*10.0"),
    (lambda: run(n_paths="10"), TypeError, "^n_paths: .*integer.*'10'"),
    (lambda: run(n_paths=10**30), ValueError, "^n_paths: .*at most"),
    (lambda: run(dt=-0.01), ValueError, "^dt: .*positive.*-0.01"),
    (lambda: run(dt=np.nan), ValueError, "^dt: .*finite.*nan"),
    (lambda: run(dt=0.2), ValueError, "^dt: .*0.1.*got 0.2.*longer"),
    (lambda: run(dt=0.03), ValueError, "^dt: .*0.1, got 0.03; the nearest that do are 0.025 and 0.0333"),
    (lambda: run(t1=1.0), ValueError, "^steps, t1: .*exactly one.*both"),
    (lambda: run(steps=None), ValueError, "^steps, t1: .*exactly one.*neither"),
    (lambda: run(steps=-1), ValueError, "^steps: .*at least 1, got -1"),
    (lambda: run(steps=2.5), TypeError, "^steps: .*integer.*2.5"),
    (lambda: run(steps=True), TypeError, "^steps: .*integer.*True"),
    (lambda: run(steps=10**18), ValueError, "^steps: .*2\\^56"),
    (lambda: run(steps=None, t1=np.nan), ValueError, "^t1: .*finite"),
    (lambda: run(t0=np.inf), ValueError, "^t0: .*finite"),
    (lambda: run(dynamics=CHAIN, t0=0.15), ValueError, "^t0: .*number of 0.1, got 0.15; the nearest are 0.1 and 0.2"),
    (lambda: optsde.SGD(0.1, 0.9, nesterov="false"), TypeError, "^nesterov: .*True or False.*'false'"),
    (lambda: optsde.SGD(0.1, decoupled=1), TypeError, "^decoupled: .*True or False, got 1"),
    (lambda: optsde.Adam(bias_correction="no"), TypeError, "^bias_correction: .*True or False.*'no'"),
    (
        lambda: optsde.weak_order(lambda eta: (CHAIN, CHAIN), np.zeros(CHAIN.dim), [0.1, 0.05], t1=1.0),
        ValueError,
        r"^family: .*depends on eta, got \[0.1, 0.1\] for etas",
    ),
    (lambda: run(substeps=0.5), TypeError, "^substeps: .*integer"),
    (lambda: run(wiener_dt=0.0), ValueError, "^wiener_dt: .*positive"),
    (lambda: run(wiener_dt=1e-30), ValueError, "^wiener_dt: .*2\\^56"),
    (lambda: run(method="huen"), ValueError, "^method: .*'euler_maruyama'.*got 'huen'"),
    (lambda: run(method="rk4"), ValueError, "^method: rk4 does not take .*'additive_diagonal'.*euler_maruyama"),
    (lambda: run(method="ornstein_uhlenbeck"), ValueError, "^method: .*linear drift"),
    (lambda: run(dynamics=CHAIN, method="euler_maruyama"), ValueError, "^method: .*discrete"),
    (lambda: run(dynamics=LOSS), TypeError, "^dynamics: .*got Function"),
    (lambda: run(dynamics=None), TypeError, "^dynamics: .*got NoneType"),
    (lambda: run(threads=0), ValueError, "^threads: .*at least 1, got 0"),
    (lambda: run(threads=-2), ValueError, "^threads: .*at least 1, got -2"),
    (lambda: run(threads=1.5), TypeError, "^threads: .*integer.*1.5"),
    (lambda: run(threads=10**9), ValueError, "^threads: .*at most"),
    (lambda: run(n_paths=5, path_range=(3, 3)), ValueError, r"^path_range: .*a < b.*\(3, 3\)"),
    (lambda: run(n_paths=5, path_range=(0, 6)), ValueError, "^path_range: .*at most 5, got 6"),
    (lambda: run(n_paths=5, path_range=(-1, 3)), ValueError, "^path_range: .*at least 0, got -1"),
    (lambda: run(n_paths=5, path_range=(0, 1, 2)), TypeError, r"^path_range: .*pair.*\(0, 1, 2\)"),
    (lambda: run(n_paths=5, path_range=(0.0, 2.0)), TypeError, "^path_range: .*integer"),
    (lambda: run(increments="four_point"), ValueError, "^increments: .*'four_point'"),
    (lambda: run(increments=None), TypeError, "^increments: "),
    (lambda: run(dtype="float16"), ValueError, "^dtype: .*'float32'.*'float16'"),
    (lambda: run(dtype=complex), ValueError, "^dtype: .*'float32'.*complex"),
    (lambda: run(on_divergence=None), TypeError, "^on_divergence: .*NoneType"),
    (lambda: run(progress="yes"), TypeError, "^progress: .*'yes'"),
    (lambda: run(observe="final"), TypeError, "^observe: .*str"),
    (lambda: run(observe=[optsde.Final(), "x"]), TypeError, "^observe: .*'x'"),
    (lambda: run(observe=[optsde.Histogram(3, (0, 1), coords=2)]), ValueError, "^coords: .*below 2, got 2"),
    (lambda: run(observe=[optsde.Moments(at=[5.0])]), ValueError, r"^at: .*\[0, 0.1\], got 5"),
    (lambda: run(observe=[optsde.Moments(at=[np.nan])]), ValueError, "^at: .*finite"),
    (lambda: run(rng="seed"), TypeError, "^rng: .*str"),
    (lambda: run(rng=-3), ValueError, "^rng: .*-3"),
]


@pytest.mark.parametrize(("make", "error", "message"), DESCRIPTIONS, ids=[row[2] for row in DESCRIPTIONS])
def test_bad_descriptions(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert type(caught.value) is error


@pytest.mark.parametrize(("make", "error", "message"), RUNS, ids=[row[2] for row in RUNS])
def test_bad_runs(make, error, message):
    CALLS.clear()
    with pytest.raises(error, match=message) as caught:
        make()
    assert type(caught.value) is error
    assert CALLS == []


def test_unexpected_keyword():
    with pytest.raises(TypeError, match="n_path"):
        run(n_path=3)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "9" * 30])
def test_bad_number_of_threads_in_the_environment(monkeypatch, text):
    CALLS.clear()
    monkeypatch.setenv("OPTSDE_NUM_THREADS", text)
    with pytest.raises(ValueError, match=r"OPTSDE_NUM_THREADS: got .*, expected a positive whole number"):
        run()
    assert CALLS == []
    assert run(threads=1).threads == 1


def test_number_of_threads_in_the_environment(monkeypatch):
    monkeypatch.setenv("OPTSDE_NUM_THREADS", " 3 ")
    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
    assert optsde.simulate(ou, 0.0, n_paths=10_000, t1=1.0, dt=0.1).threads == 3


def test_default_threads_respect_affinity(monkeypatch):
    monkeypatch.delenv("OPTSDE_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert optsde._core.default_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_memory_that_cannot_be_had():
    """The bytes are named before the start."""
    steps, paths = 10**6, 10**9
    with pytest.raises(MemoryError, match=str(steps * paths * 2 * 8)) as caught:
        run(n_paths=paths, steps=10**5, dt=0.01, observe=[optsde.Paths(at=steps)])
    assert "paths" in str(caught.value)
    with pytest.raises(MemoryError, match=str(2 * 8 * 10**15)):
        run(n_paths=10**15, observe=[optsde.Final()])
    with pytest.raises(MemoryError, match="histogram"):
        run(steps=10**5, dt=0.01, observe=[optsde.Histogram(2**31, (0, 1), at=10**6)])


def test_every_inquiry_of_a_loss_checks_its_points():
    for ask in (LOSS.grad, LOSS.value):
        with pytest.raises(ValueError, match=r"^x: expected shape \(\.\.\., 2\), got \(3,\)"):
            ask([1.0, 2.0, 3.0])
        with pytest.raises(ValueError, match=r"^x: "):
            ask(1.0)
        with pytest.raises(TypeError, match=r"^x: expected real numbers"):
            ask([1j, 2.0])
    assert LOSS.value(np.zeros((0, 2))).shape == (0,)
    assert LOSS.grad(np.zeros((3, 0, 2))).shape == (3, 0, 2)
    assert losses.Rosenbrock(2).hessian(np.zeros((0, 2))).shape == (0, 2, 2)


def test_empty_settings_are_as_good_as_none(monkeypatch):
    for name in ("OPTSDE_NUM_THREADS", "OPTSDE_SIMD"):
        monkeypatch.setenv(name, "")
    assert run(steps=1).threads >= 1
