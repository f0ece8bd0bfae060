"""Descriptions of heavy tails and of Gaussian inputs: what they print, refuse and need."""

import copy
import pickle

import numpy as np
import optsde
import pytest
from optsde import losses, noise

LOSS = losses.Quadratic([1.0, 2.0])
C = [[1.0, 0.4], [0.4, 0.5]]
SGD = optsde.SGD(0.1)
STABLE = optsde.Problem(LOSS, noise.AlphaStable(1.5, 0.1))
STUDENT = optsde.Problem(LOSS, noise.StudentT(5.0, 1.0), 4)
INPUTS = optsde.Problem(losses.Quadratic(C), noise.GaussianInputs(C, 0.3), 2)
MAKERS = [
    lambda: noise.StudentT(5, [1.0, 0.25]),
    lambda: noise.StudentT(2.5, C),
    lambda: noise.AlphaStable(1.5, [0.5, 0.1]),
    lambda: noise.AlphaStable(1.5, 0.5, isotropic=True, dim=3),
    lambda: noise.GaussianInputs(C, 0.3),
    lambda: SGD.discrete(STUDENT),
    lambda: SGD.sde(STABLE),
    lambda: SGD.discrete(STABLE),
    lambda: SGD.sde(INPUTS),
]
BAD = [
    (lambda: noise.StudentT(2.0, 1.0), ValueError, "^df: expected more than 2 .* got 2;"),
    (lambda: noise.StudentT(np.inf, 1.0), ValueError, "^df: expected finite"),
    (lambda: noise.StudentT("5", 1.0), TypeError, "^df: expected real numbers"),
    (lambda: noise.StudentT([5.0, 6.0], 1.0), ValueError, "^df: expected a number, got an array"),
    (lambda: noise.StudentT(5.0, [1.0, -1.0]), ValueError, "^cov: .*eigenvalue -1"),
    (lambda: noise.StudentT(5.0, [1.0, 1.0], dim=3), ValueError, "cov has 2, dim has 3"),
    (lambda: noise.AlphaStable(0.0, 1.0), ValueError, r"^alpha: expected a number in \(0, 2\], got 0"),
    (lambda: noise.AlphaStable(2.1, 1.0), ValueError, r"^alpha: expected a number in \(0, 2\], got 2.1"),
    (lambda: noise.AlphaStable(1.5, -1.0), ValueError, "^scale: expected numbers of at least 0, got -1"),
    (lambda: noise.AlphaStable(1.5, np.eye(2)), ValueError, "^scale: expected a number or a"),
    (lambda: noise.AlphaStable(1.5, [1.0, 2.0], isotropic=True), ValueError, r"^scale: an isotropic .* shape \(2,\)"),
    (lambda: noise.AlphaStable(1.5, 1.0, isotropic=1), TypeError, "^isotropic: expected True or False, got 1"),
    (lambda: noise.AlphaStable(1.5, [1.0, 1.0], dim=3), ValueError, "scale has 2, dim has 3"),
    (lambda: optsde.Problem(LOSS, noise.AlphaStable(1.5, 1.0), 2), ValueError, "^batch_size: .*expected 1, got 2"),
    (lambda: optsde.Problem(LOSS, noise.AlphaStable(1.5, [1.0])), ValueError, "loss has 2, noise has 1"),
    (lambda: noise.GaussianInputs(C, -0.1), ValueError, "^label_std: expected a number of at least 0"),
    (lambda: noise.GaussianInputs(-1.0), ValueError, "^cov: .*eigenvalue -1"),
    (lambda: optsde.Problem(losses.DoubleWell(), noise.GaussianInputs(1.0)), ValueError, "^loss: .* got DoubleWell"),
    (
        lambda: optsde.Problem(LOSS, noise.GaussianInputs(1.0)),
        ValueError,
        r"^cov: .*H of the loss, whose entry \(1, 1\) is 2, got 1",
    ),
    (
        lambda: optsde.simulate(SGD.sde(STABLE), [0.0, 0.0], steps=1, method="euler_maruyama"),
        ValueError,
        "^method: euler_maruyama does not take noise of kind 'levy'; these do: levy_euler",
    ),
    (
        lambda: optsde.simulate(SGD.sde(STUDENT), [0.0, 0.0], steps=1, method="levy_euler"),
        ValueError,
        "^method: levy_euler does not take noise of kind 'additive_diagonal'",
    ),
    (
        lambda: optsde.simulate(SGD.sde(STABLE), [0.0, 0.0], steps=1, increments="gaussian_f32"),
        ValueError,
        "^increments: 'gaussian_f32' is a law of Wiener increments",
    ),
    (
        lambda: optsde.simulate(SGD.discrete(STUDENT), [0.0, 0.0], steps=1, increments="gaussian_f32"),
        ValueError,
        "^increments: 'gaussian_f32' is a law of Wiener increments",
    ),
    (
        lambda: optsde.simulate(SGD.discrete(STUDENT), [0.0, 0.0], steps=1, wiener_dt=0.05),
        ValueError,
        "^wiener_dt: the noise of this algorithm is not made of a Wiener path; expected 0.1 or None, got 0.05",
    ),
    (
        lambda: optsde.simulate(SGD.discrete(INPUTS), [0.0, 0.0], steps=1, wiener_dt=0.05),
        ValueError,
        "^wiener_dt: the noise",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_value_semantics():
    made = [make() for make in MAKERS]
    assert len(set(made)) == len(made)
    for make, first in zip(MAKERS, made, strict=True):
        for again in (make(), pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
            assert again == first
            assert hash(again) == hash(first)


def test_kinds_and_methods():
    assert SGD.sde(STABLE).noise_kind == SGD.discrete(STABLE).noise_kind == "levy"
    assert SGD.sde(STUDENT).noise_kind == "additive_diagonal"
    assert SGD.sde(INPUTS).noise_kind == "full"
    table = optsde.methods()
    assert table.accepting("levy") == ["levy_euler"]
    assert (table["levy_euler"].strong, table["levy_euler"].weak) == (None, None)
    assert optsde.simulate(SGD.sde(STABLE), [0.0, 0.0], steps=1).method == "levy_euler"
    assert optsde.simulate(SGD.sde(STUDENT), [0.0, 0.0], steps=1).method == "euler_maruyama"


def test_what_the_descriptions_say():
    for dynamics in (*(make() for make in MAKERS[5:]),):
        assert "source" in dynamics.describe()
        assert "\n" not in repr(dynamics)
    assert "dL" in repr(SGD.sde(STABLE))
    assert "Simsekli" in SGD.sde(STABLE).citation()
    assert "Cov z" not in repr(SGD.discrete(STABLE))
    assert "Student-t(5) gradient noise" in SGD.discrete(STUDENT).describe()
    assert "Gaussian noise of the covariance of the Student-t(5) gradient noise" in SGD.sde(STUDENT).describe()
    assert "examples' gradient noise" in SGD.discrete(INPUTS).describe()


def test_student_equation_takes_exact_steps():
    ens = optsde.simulate(SGD.sde(STUDENT), [1.0, 1.0], steps=1, method="ornstein_uhlenbeck", rng=1)
    gaussian = SGD.sde(optsde.Problem(LOSS, noise.Gaussian(1.0), 4))
    same = optsde.simulate(gaussian, [1.0, 1.0], steps=1, method="ornstein_uhlenbeck", rng=1)
    assert ens.final.tobytes() == same.final.tobytes()


def test_matrix_and_diagonal_say_the_same():
    for a, b in (
        (noise.GaussianInputs([1.0, 2.0], 0.1), noise.GaussianInputs(np.diag([1.0, 2.0]), 0.1)),
        (noise.StudentT(5.0, [1.0, 2.0]), noise.StudentT(5.0, np.diag([1.0, 2.0]))),
    ):
        ends = [
            optsde.simulate(SGD.discrete(optsde.Problem(LOSS, law)), [1.0, 1.0], steps=3, n_paths=10, rng=1).final
            for law in (a, b)
        ]
        np.testing.assert_allclose(*ends, rtol=1e-13)


def test_overflow_of_very_small_indices_is_divergence():
    p = optsde.Problem(losses.Quadratic(1.0, dim=1), noise.AlphaStable(0.01, 1.0))
    with pytest.warns(optsde.errors.DivergenceWarning):
        ens = optsde.simulate(SGD.discrete(p), 0.0, steps=5, n_paths=1000, rng=1)
    assert 0 < ens.n_diverged < 1000
