"""What Langevin dynamics and their schemes take, refuse, start from and cost."""

import warnings

import numpy as np
import optsde
import pytest
from optsde import losses, noise

BOWL = losses.Quadratic([[2.0, 0.5], [0.5, 1.0]])
WELL = losses.DoubleWell(dim=2)
SPLITTINGS = ("baoab", "obabo", "ubu")


def underdamped(loss=WELL, temperature=0.3, friction=1.0, mass=1.0):
    return optsde.UnderdampedLangevin(loss, temperature, friction, mass)


def problem(cov=0.5):
    return optsde.Problem(BOWL, noise.Gaussian(cov), batch_size=2)


def run(dynamics, method, **options):
    return optsde.simulate(dynamics, [0.5, -0.2], t1=0.5, dt=0.1, method=method, rng=3, **options)


def test_the_equation():
    equation = underdamped(BOWL, 0.3, [0.5, 2.0], [1.0, 4.0])
    x, v = np.array([0.3, -0.4]), np.array([0.2, 0.7])
    force = -(BOWL.grad(x) + np.array([0.5, 2.0]) * v) / np.array([1.0, 4.0])
    np.testing.assert_allclose(equation.drift_at({"theta": x, "v": v}), np.concatenate([v, force]), rtol=1e-14)
    factor = equation.diffusion_at({"theta": x, "v": v})
    deviations = np.sqrt(2 * 0.3 * np.array([0.5, 2.0])) / np.array([1.0, 4.0])
    np.testing.assert_allclose(factor, np.concatenate([np.zeros((2, 2)), np.diag(deviations)]), rtol=1e-14)
    assert equation.dim == 2
    assert equation.state == {"theta": (2,), "v": (2,)}
    assert equation.time_per_step is None
    assert equation.noise_kind == "additive_full"
    assert underdamped(temperature=0.0).noise_kind == "none"
    assert "m dV = -(∇f(X) + γ V) dt + √(2 γ T) dW" in repr(equation)
    assert "γ diagonal, m diagonal" in repr(equation)
    assert "exp(-(f(x) + m |v|²/2)/T)/Z" in equation.describe()
    assert "1908" in equation.citation()
    assert underdamped() == underdamped()
    assert underdamped() != underdamped(friction=2.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"temperature": -1.0}, ValueError, "temperature: expected a number of at least 0"),
        ({"friction": 0.0}, ValueError, "friction: expected positive numbers, got 0"),
        ({"friction": [1.0, -2.0]}, ValueError, "friction: expected positive numbers, got -2"),
        ({"mass": 0.0}, ValueError, "mass: expected positive numbers, got 0"),
        ({"mass": [1.0, 1.0, 1.0]}, ValueError, "dimensions do not agree: loss has 2, mass has 3"),
        ({"friction": [[1.0]]}, ValueError, r"friction: expected a number or a \(d,\) vector"),
        ({"loss": 3}, TypeError, "loss: expected a loss from optsde.losses, got int"),
    ],
)
def test_bad_descriptions(arguments, error, message):
    with pytest.raises(error, match=message):
        underdamped(**arguments)


def test_default_methods():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(underdamped(), None).method == "baoab"
        assert run(underdamped(temperature=0.0), None).method == "rk4"
        assert run(optsde.Langevin(WELL, 0.3), None).method == "euler_maruyama"
    with pytest.warns(UserWarning, match="euler_maruyama is of weak order 1"):
        run(underdamped(), "euler_maruyama")


MOMENTUM = optsde.SGD(0.09, momentum=0.7)
NEITHER = [
    optsde.Langevin(WELL, 0.3),
    MOMENTUM.sde(problem(), order=2),
    optsde.SGD(0.09, momentum=0.7, weight_decay=0.1, decoupled=True).sde(problem()),
    optsde.SGD(optsde.schedules.Cosine(0.09, 100), momentum=0.7).sde(problem()),
    optsde.SGD(0.09, momentum=optsde.schedules.Nesterov()).sde(problem()),
    optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 2.0]], 0.0, [[1.0, 0.2], [0.2, 1.0]]),
]


@pytest.mark.parametrize("method", SPLITTINGS)
@pytest.mark.parametrize("dynamics", NEITHER, ids=repr)
def test_splittings_refuse_by_name(method, dynamics):
    with pytest.raises(ValueError, match=f"^method: {method} (needs|does not take)") as caught:
        run(dynamics, method)
    assert not any(name in str(caught.value).split(";")[1] for name in SPLITTINGS)


REVERSIBLE = [
    optsde.Langevin(WELL, 0.3, [1.0, 2.0]),
    optsde.SGD(0.1).sde(problem()),
    optsde.SGD(0.1).sde(problem(np.eye(2))),
    optsde.SGD(0.1, weight_decay=0.1, decoupled=True).sde(problem()),
    optsde.SGD([0.1, 0.05]).sde(problem([1.0, 2.0])),
    MOMENTUM.sde(problem(), regime="overdamped"),
    optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 2.0]], 0.0, 0.5),
]
IRREVERSIBLE = [
    optsde.SGD(0.1).sde(problem([1.0, 2.0])),
    optsde.SGD(0.1).sde(problem([[1.0, 0.3], [0.3, 1.0]])),
    optsde.SGD([0.1, 0.05]).sde(problem()),
    optsde.SGD(optsde.schedules.Cosine(0.1, 100)).sde(problem()),
    optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.2, 2.0]], 0.0, 0.5),
    optsde.OrnsteinUhlenbeck([[1.0, 0.3], [0.3, 2.0]], 0.0, [0.5, 0.7]),
    MOMENTUM.sde(problem()),
    underdamped(),
]


@pytest.mark.parametrize("dynamics", REVERSIBLE, ids=repr)
def test_averaged_increments_take_proportional_noise(dynamics):
    assert run(dynamics, "leimkuhler_matthews").method == "leimkuhler_matthews"


@pytest.mark.parametrize("dynamics", IRREVERSIBLE, ids=repr)
def test_averaged_increments_refuse_other_noise(dynamics):
    message = "^method: leimkuhler_matthews (needs a drift -M grad f|does not take noise of kind)"
    with pytest.raises(ValueError, match=message) as caught:
        run(dynamics, "leimkuhler_matthews")
    assert "leimkuhler_matthews" not in str(caught.value).split(";")[1]


def test_needs_are_in_the_table():
    table = optsde.methods()
    assert "underdamped" in table["ubu"].needs
    assert table["heun"].needs == ""
    assert "velocity" in repr(table)


def test_laws_of_increments():
    assert run(underdamped(), "ubu", increments="gaussian_f32").complete
    with pytest.raises(ValueError, match="increments: 'three_point' goes with"):
        run(underdamped(), "baoab", increments="three_point")


@pytest.mark.parametrize(("method", "gradients"), [("baoab", 6), ("obabo", 6), ("ubu", 5), ("leimkuhler_matthews", 5)])
def test_one_gradient_a_step(method, gradients):
    calls = []

    def gradient(x):
        calls.append(len(x))
        return 1.0 * x

    loss = losses.Function(gradient, dim=2)
    dynamics = optsde.Langevin(loss, 0.3) if method == "leimkuhler_matthews" else underdamped(loss)
    run(dynamics, method)
    assert len(calls) == gradients


@pytest.mark.parametrize("method", [*SPLITTINGS, "heun"])
def test_momentum_of_order_one_is_underdamped(method):
    # eps s² = 2 mu T; the noise of SGD has the other sign, so on a symmetric loss its path from -x0 is mirrored.
    eps, mu, variance = 0.3, 1.0, 0.5 / 2
    mirrored = underdamped(BOWL, eps * variance / (2 * mu), mu)
    sgd = MOMENTUM.sde(problem(0.5))
    options = {"t1": 0.5, "dt": 0.1, "method": method, "rng": 3, "n_paths": 5, "observe": [optsde.Final()]}
    one = optsde.simulate(sgd, [0.5, -0.2], **options)
    other = optsde.simulate(mirrored, [-0.5, 0.2], **options)
    np.testing.assert_allclose(one.final, -other.final, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(one.state["v"].final, -other.state["v"].final, rtol=1e-12, atol=1e-14)


def test_friction_beyond_all_numbers_is_refused_by_ubu():
    stiff = optsde.UnderdampedLangevin(losses.Quadratic(1.0, dim=1), temperature=1.0, friction=1e308)
    with pytest.raises(ValueError, match="dt: friction/mass times dt is above 1e100"):
        optsde.simulate(stiff, 0.5, t1=100.0, dt=50.0, method="ubu")


# A wide well pulls with a force of nearly 1: all but without noise positions drift at z coth z / friction.
_SLOPE = optsde.losses.Quadratic(1e-9, center=[1e9])


@pytest.mark.parametrize("method", ["baoab", "obabo"])
def test_large_friction_is_told_with_its_factor(method):
    dynamics = optsde.UnderdampedLangevin(_SLOPE, temperature=1e-20, friction=100.0)
    with pytest.warns(UserWarning, match=rf"{method}: friction dt/mass = 10 is not small.* 5 times too fast"):
        ens = optsde.simulate(dynamics, 0.0, t1=20.0, dt=0.1, method=method, observe=optsde.Paths(at=[10.0, 20.0]))
    speed = float(ens.paths[1].ravel()[0] - ens.paths[0].ravel()[0]) / 10.0
    assert speed == pytest.approx(5.0 / np.tanh(5.0) / 100.0, rel=1e-6)


def test_friction_that_is_resolved_and_ubu_are_silent():
    dynamics = optsde.UnderdampedLangevin(_SLOPE, temperature=1e-20, friction=100.0)
    options = {"t1": 20.0, "observe": optsde.Paths(at=[10.0, 20.0])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optsde.simulate(dynamics, 0.0, dt=0.01, method="baoab", **options)
        ens = optsde.simulate(dynamics, 0.0, dt=0.1, method="ubu", **options)
    assert float(ens.paths[1].ravel()[0] - ens.paths[0].ravel()[0]) / 10.0 == pytest.approx(0.01, rel=1e-6)
