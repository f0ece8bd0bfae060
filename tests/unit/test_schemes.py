"""What the schemes ask for, what they refuse and how they say it; and why a method was chosen."""

import numpy as np
import optsde
import pytest
from problems import assert_agrees

TIME = {"t1": 0.5, "dt": 0.25, "rng": 1}


def sde(kind, jacobian=None):
    shapes = {"diagonal": np.ones, "diagonal_coupled": np.ones}

    def diffusion(t, x):
        return shapes[kind](x.shape) if kind in shapes else np.ones((*x.shape, 2))

    return optsde.SDE(lambda t, x: -x, diffusion, dim=2, noise=kind, diffusion_jacobian=jacobian)


@pytest.mark.parametrize("kind", ["diagonal", "diagonal_coupled", "full"])
def test_stratonovich_heun_needs_the_derivatives_of_the_noise(kind):
    with pytest.raises(ValueError, match=r"^method: .*diffusion_jacobian"):
        optsde.simulate(sde(kind), [0.5, 0.5], method="stratonovich_heun", **TIME)
    shape = (2,) if kind.startswith("diagonal") else (2, 2, 2)
    known = sde(kind, lambda t, x: np.zeros((len(x), *shape)))
    assert np.isfinite(optsde.simulate(known, [0.5, 0.5], method="stratonovich_heun", **TIME).final).all()


def test_exponential_splitting_needs_a_linear_part():
    for loss in (optsde.losses.StyblinskiTang(2), optsde.losses.Rosenbrock(2)):
        with pytest.raises(ValueError, match=r"^method: exponential_splitting .*none"):
            optsde.simulate(optsde.Langevin(loss, 0.1), [0.5, 0.5], method="exponential_splitting", **TIME)
    with pytest.raises(ValueError, match=r"^method: exponential_splitting does not take noise of kind 'diagonal'"):
        optsde.simulate(sde("diagonal"), [0.5, 0.5], method="exponential_splitting", **TIME)


def test_exponential_splitting_is_exact_where_the_drift_is_linear():
    rates, cov = np.array([[2.0, 0.5], [0.5, 1.0]]), 0.1 * np.array([[1.0, 0.3], [0.3, 0.5]])
    linear = optsde.OrnsteinUhlenbeck(rates, [1.0, -1.0], cov)
    options = {"n_paths": 200_000, "t1": 0.3, "dt": 0.3, "rng": 4, "observe": optsde.Moments(cov=True)}
    ens = optsde.simulate(linear, [2.0, 0.5], method="exponential_splitting", **options)
    phi = np.array([[0.5556655, -0.09636317], [-0.09636317, 0.74839184]])
    exact = np.array([[0.01693242, 0.00414237], [0.00414237, 0.01062579]])
    assert (np.abs(ens.mean[0] - [1.0, -1.0] - phi @ [1.0, 1.5]) < 6 * ens.mean_stderr[0] + 1e-7).all()
    assert (np.abs(ens.cov[0] - exact) < 6 * ens.cov_stderr[0]).all()


@pytest.mark.parametrize("method", ["sra1", "sriw1"])
def test_integrals_over_time_of_two_groups_are_refused(method):
    kinds = optsde.methods()[method].noise_kinds
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0))
    adam = optsde.Adam(lr=0.01).sde(problem, order=2)
    assert adam.noise_kind not in kinds
    with pytest.raises(ValueError, match=r"^method: "):
        optsde.simulate(adam, 0.5, method=method, steps=2, rng=1)


@pytest.mark.parametrize(
    ("law", "method", "fits"),
    [
        ("two_point", "tamed_euler", True),
        ("two_point", "dri1", False),
        ("three_point", "dri1", True),
        ("three_point", "sra1", True),
        ("three_point", "exponential_splitting", False),
    ],
)
def test_discrete_increments(law, method, fits):
    langevin = optsde.Langevin(optsde.losses.Quartic(dim=1), 0.5)
    if fits:
        optsde.simulate(langevin, 0.5, method=method, increments=law, **TIME)
    else:
        with pytest.raises(ValueError, match=f"^increments: '{law}' goes with"):
            optsde.simulate(langevin, 0.5, method=method, increments=law, **TIME)


def test_three_points_with_integrals_over_time_keep_weak_order_two():
    # Moments to the fifth are those of normals: means of squares agree, at 200,000 paths, with those of Gaussian runs.
    langevin = optsde.Langevin(optsde.losses.Quartic(dim=1), 0.5)
    for method in ("sra1", "sra3"):
        runs = [
            optsde.simulate(langevin, 1.0, t1=1.0, dt=0.125, method=method, increments=law, n_paths=200_000, rng=5)
            for law in ("gaussian", "three_point")
        ]
        gap = runs[0].var[0] - runs[1].var[0]
        assert (np.abs(gap) < 6 * np.hypot(runs[0].var_stderr[0], runs[1].var_stderr[0])).all()


@pytest.mark.parametrize("method", ["sra1", "sra3"])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_sra_schemes_integrate_noise_that_changes_linearly(method, correlation):
    # Without slope SGD is √η ∫ (1 - t/T) S dW, of covariance η S Sᵀ T/3: exact in any number of steps.
    cov = np.array([[1.0, 2.0 * correlation], [2.0 * correlation, 4.0]])
    problem = optsde.Problem(
        optsde.losses.Quadratic([1e-9, 1e-9]), optsde.noise.Gaussian(cov if correlation else np.diag(cov))
    )
    sde = optsde.SGD(optsde.schedules.Linear(0.5, total=4)).sde(problem)
    options = {"t1": 2.0, "dt": 1.0, "n_paths": 20_000, "rng": 6, "observe": optsde.Moments(cov=True)}
    ens = optsde.simulate(sde, [0.0, 0.0], method=method, **options)
    # With the sign of b(t+h) I/h wrong the first step has 7/4 instead of 7/12, the second 1/12 as it should.
    right = 0.5 * 2.0 / 3.0
    assert_agrees(ens.cov[0], ens.cov_stderr[0], right * cov, wrong=[2.75 * right * cov])


def test_the_stratonovich_scheme_solves_the_ito_equation():
    # dX = -.5 X dt + .8 X dW: E X(1) is .606531 by Ito, .835270 by Stratonovich.
    equation = optsde.SDE(
        lambda t, x: -0.5 * x,
        lambda t, x: 0.8 * x,
        dim=1,
        noise="diagonal",
        diffusion_jacobian=lambda t, x: 0 * x + 0.8,
    )
    ens = optsde.simulate(equation, 1.0, t1=1.0, dt=1 / 32, method="stratonovich_heun", n_paths=100_000, rng=2)
    assert abs(ens.mean[0, 0] - 0.606531) < 6 * ens.mean_stderr[0, 0]
    assert abs(ens.mean[0, 0] - 0.835270) > 20 * ens.mean_stderr[0, 0]
    assert optsde.methods()["stratonovich_heun"].calculus == "stratonovich"


def test_tamed_euler_survives_where_euler_does_not():
    # dX = -X³ dt + dW from 20, h = .05: stationary E X² is .4779887975, of the tamed scheme about .51.
    langevin = optsde.Langevin(optsde.losses.Quartic(a=1.0, b=0.0, dim=1), 0.5)
    options = {"t1": 30.0, "dt": 0.05, "n_paths": 20_000, "rng": 3}
    with pytest.warns(optsde.errors.DivergenceWarning, match="20,000 of 20,000"):
        optsde.simulate(langevin, 20.0, method="euler_maruyama", **options)
    ens = optsde.simulate(langevin, 20.0, method="tamed_euler", **options)
    assert ens.n_diverged == 0
    assert abs(ens.var[0, 0] + ens.mean[0, 0] ** 2 - 0.51) < 0.02


def test_tamed_euler_divides_by_the_norm_of_the_whole_drift():
    x = np.array([[3.0, -1.0], [0.5, 2.0]])
    flow = optsde.SGD(0.5).flow(optsde.Problem(optsde.losses.Quadratic([2.0, 5.0]), optsde.noise.Zero()))
    final = optsde.simulate(flow, x, t1=0.25, dt=0.25, method="tamed_euler", rng=1).final
    drift = -x * [2.0, 5.0]
    norm = np.linalg.norm(drift, axis=1, keepdims=True)
    np.testing.assert_allclose(final, x + 0.25 * drift / (1 + 0.25 * norm), rtol=1e-14)


def test_ensembles_say_why_they_took_their_method():
    problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0))
    sgd = optsde.SGD(0.1)
    for dynamics, method, reason in (
        (sgd.sde(problem), "euler_maruyama", "weak order is 1"),
        (sgd.sde(problem, order=2), "heun", "weak order is 2"),
        (sgd.flow(problem), "rk4", "no noise"),
    ):
        ens = optsde.simulate(dynamics, 1.0, steps=2, rng=1)
        assert ens.method == method
        assert ens.method_reason.startswith("default: ")
        assert reason in ens.method_reason
        assert f"by {method} ({ens.method_reason})" in repr(ens)
    asked = optsde.simulate(sgd.sde(problem), 1.0, steps=2, rng=1, method="euler_maruyama")
    assert asked.method_reason == "asked for"
    assert "asked for" not in repr(asked)
    # Shards go together whoever chose the method.
    shards = [
        optsde.simulate(sgd.sde(problem), 1.0, n_paths=4, steps=2, rng=1, path_range=part, method=method)
        for part, method in (((0, 2), None), ((2, 4), "euler_maruyama"))
    ]
    assert optsde.merge(shards).n_paths == 4
