"""Runs on networks have the same bits on every instruction set, with any number of threads."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import optsde
import pytest
from optsde import _core

PROGRAM = """
import json, sys
sys.path.insert(0, {here!r})
import test_network_bits
print(json.dumps(test_network_bits.digests(threads=1)))
"""

TWO = {"substeps": 2}


def runs():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((23, 3))
    classes = np.arange(23) % 3
    losses = {
        "tanh": optsde.losses.MLP(X, X[:, 0] ** 2, (5, 3)),
        "sigmoid": optsde.losses.MLP(X, X[:, :2], (4,), "sigmoid"),
        "classes": optsde.losses.MLP(X, classes, (6,), loss="cross_entropy"),
        "diagonal": optsde.losses.DiagonalLinearNetwork(X, X[:, 1]),
        "factors": optsde.losses.MatrixFactorization(X[:4], rank=2),
    }
    for name, loss in losses.items():
        problem = optsde.Problem(loss, optsde.noise.Gaussian(0.1, dim=loss.dim))
        theta0 = 0.5 * rng.standard_normal(loss.dim)
        # Of order two, with Hessian-vector products.
        yield name, optsde.SGD(0.05).sde(problem), theta0, TWO
        yield f"{name} float32", optsde.SGD(0.05).sde(problem), theta0, TWO | {"dtype": "float32"}
        yield f"{name} flow", optsde.SGD(0.05).flow(problem, order=2), theta0, TWO
    labels = optsde.Problem(losses["factors"], optsde.noise.LabelNoise(0.3), 3)
    sgd, theta0 = optsde.SGD(0.005), 0.5 * rng.standard_normal(losses["factors"].dim)
    yield "elements", sgd.discrete(labels), theta0, {}
    yield "elements float32", sgd.discrete(labels), theta0, {"dtype": "float32"}
    yield "equation of elements", sgd.sde(labels), theta0, TWO | {"method": "euler_maruyama"}


def digests(threads):
    found = {}
    for name, dynamics, theta0, options in runs():
        observe = [optsde.Final(), optsde.Loss(at=3)]
        ens = optsde.simulate(dynamics, theta0, n_paths=70, steps=3, rng=7, threads=threads, observe=observe, **options)
        assert np.isfinite(ens.final).all()
        bits = ens.final.tobytes() + ens.loss_mean.tobytes()
        found[name] = hashlib.sha256(bits).hexdigest()
    return found


@pytest.fixture(scope="module")
def here():
    return digests(threads=1)


@pytest.mark.parametrize("simd", _core.info()["simd_available"])
def test_instruction_sets(here, simd):
    program = PROGRAM.format(here=os.path.dirname(__file__))
    environment = {**os.environ, "OPTSDE_SIMD": simd}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == here


def test_threads(here):
    assert digests(threads=3) == here
