"""Every algorithm against its NumPy transcription, step by step on the same noise: parameters and state variables."""

from types import SimpleNamespace

import numpy as np
import optsde
import pytest
import reference_optimizers as reference
from optimizer_tools import schedule, trajectories

STEPS = 60
PATHS = 11
H = np.array([[2.0, 0.5], [0.5, 1.0]])
COV = np.array([[1.0, 0.3], [0.3, 0.5]])
DEVIATIONS = np.array([0.7, 0.2])


def affine(theta):
    return np.sqrt(0.25 + 0.8 * (theta - 0.3) ** 2)


# Noise: the library's, the factor of one example's gradient.
NOISES = {
    "none": (lambda: optsde.noise.Zero(), None),
    "isotropic": (lambda: optsde.noise.Gaussian(0.25), 0.5 * np.eye(2)),
    "diagonal": (lambda: optsde.noise.Gaussian(DEVIATIONS**2), np.diag(DEVIATIONS)),
    "full": (lambda: optsde.noise.Gaussian(COV), np.linalg.cholesky(COV)),
    "affine": (lambda: optsde.noise.AffineDiagonal(0.25, 0.8, 0.3), affine),
    "callback": (lambda: optsde.noise.Function(affine, kind="diagonal"), affine),
}
LOSSES = {
    "quadratic": lambda: optsde.losses.Quadratic(H, [0.2, -0.1]),
    "quartic": lambda: optsde.losses.Quartic(0.7, 1.3, dim=2),
    "rosenbrock": lambda: optsde.losses.Rosenbrock(2),
}
START = {"theta": np.array([0.8, -0.6]), "m": np.array([0.3, -0.2]), "v": np.array([0.5, 0.9])}


def cosine(k, peak=0.03, end=0.004, total=40):
    return end if k >= total else end + 0.5 * (peak - end) * (1.0 + np.cos(np.pi * k / total))


# Optimizer, regime, time of a step, update.
CASES = {
    "sgd": (lambda: optsde.SGD(0.01), None, 0.01, lambda: reference.sgd(0.01)),
    "sgd decay": (
        lambda: optsde.SGD(0.01, weight_decay=0.7),
        None,
        0.01,
        lambda: reference.sgd(0.01, weight_decay=0.7),
    ),
    "sgd decoupled": (
        lambda: optsde.SGD(0.01, weight_decay=0.7, decoupled=True),
        None,
        0.01,
        lambda: reference.sgd(0.01, weight_decay=0.7, decoupled=True),
    ),
    "sgd rates": (
        lambda: optsde.SGD([0.01, 0.004], weight_decay=0.7),
        None,
        0.01,
        lambda: reference.sgd(np.array([0.01, 0.004]), weight_decay=0.7),
    ),
    "sgd schedule": (
        lambda: optsde.SGD(schedule("Cosine", 0.03, 40, 0.004), weight_decay=0.7, decoupled=True),
        None,
        0.03,
        lambda: reference.sgd(cosine, weight_decay=0.7, decoupled=True),
    ),
    "rmsprop": (lambda: optsde.RMSprop(0.01), None, 0.01, lambda: reference.rmsprop(0.01)),
    "rmsprop options": (
        lambda: optsde.RMSprop(0.02, alpha=0.9, eps=0.1, weight_decay=0.4),
        "ballistic",
        0.02,
        lambda: reference.rmsprop(0.02, 0.9, 0.1, 0.4),
    ),
    "rmsprop lagged": (
        lambda: optsde.RMSprop(0.02, alpha=0.9, eps=0.1, ordering="lagged"),
        "batch_equivalent",
        0.0004,
        lambda: reference.rmsprop(0.02, 0.9, 0.1, ordering="lagged"),
    ),
    "rmsprop schedule": (
        lambda: optsde.RMSprop(schedule("Cosine", 0.03, 40, 0.004), alpha=0.9, eps=0.1),
        "batch_equivalent",
        0.0009,
        lambda: reference.rmsprop(cosine, 0.9, 0.1),
    ),
    "adam": (lambda: optsde.Adam(0.01), None, 0.01, lambda: reference.adam(0.01)),
    "adam options": (
        lambda: optsde.Adam(0.02, betas=(0.8, 0.95), eps=0.1, weight_decay=0.4),
        "batch_equivalent",
        0.0004,
        lambda: reference.adam(0.02, (0.8, 0.95), 0.1, 0.4),
    ),
    "adam uncorrected": (
        lambda: optsde.Adam(0.02, betas=(0.8, 0.95), eps=0.1, bias_correction=False),
        None,
        0.02,
        lambda: reference.adam(0.02, (0.8, 0.95), 0.1, bias_correction=False),
    ),
    "adam lagged": (
        lambda: optsde.Adam(0.02, betas=(0.8, 0.95), eps=0.1, ordering="lagged"),
        None,
        0.02,
        lambda: reference.adam(0.02, (0.8, 0.95), 0.1, ordering="lagged"),
    ),
    "adam lagged uncorrected": (
        lambda: optsde.Adam(0.02, betas=(0.8, 0.95), eps=0.1, bias_correction=False, ordering="lagged"),
        None,
        0.02,
        lambda: reference.adam(0.02, (0.8, 0.95), 0.1, bias_correction=False, ordering="lagged"),
    ),
    "adam rates": (
        lambda: optsde.Adam([0.02, 0.005], betas=(0.8, 0.95), eps=0.1),
        None,
        0.02,
        lambda: reference.adam(np.array([0.02, 0.005]), (0.8, 0.95), 0.1),
    ),
    "adamw": (
        lambda: optsde.AdamW(0.02, betas=(0.8, 0.95), weight_decay=0.6),
        None,
        0.02,
        lambda: reference.adam(0.02, (0.8, 0.95), weight_decay=0.6, decoupled=True),
    ),
    "adamw schedule": (
        lambda: optsde.AdamW(schedule("Cosine", 0.03, 40, 0.004), eps=0.1, weight_decay=0.6),
        None,
        0.03,
        lambda: reference.adam(cosine, eps=0.1, weight_decay=0.6, decoupled=True),
    ),
    "signsgd": (lambda: optsde.SignSGD(0.01), None, 0.01, lambda: reference.sign_sgd(0.01)),
    "signsgd rates": (
        lambda: optsde.SignSGD([0.01, 0.003]),
        "batch_equivalent",
        0.0001,
        lambda: reference.sign_sgd(np.array([0.01, 0.003])),
    ),
}
STATES = {"sgd": ("theta",), "rmsprop": ("theta", "v"), "adam": ("theta", "m", "v"), "signsgd": ("theta",)}


def names_of(case):
    return next(names for family, names in STATES.items() if case.startswith(family))


def compare(found, exact):
    assert set(found) == set(exact)
    for name, value in exact.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-10 * np.abs(value).max(), err_msg=name)


def run_both(dynamics, update, names, noise, *, batch_size=1, start=START, steps=STEPS, first=0, gradients=1.0):
    """States of the library (T, n, d) and of the transcription; ``gradients`` multiplies the noise's covariance."""
    factor = NOISES[noise][1]
    step = dynamics.time_per_step
    times = step * np.arange(first, first + steps + 1)
    ens = optsde.simulate(
        dynamics,
        {name: start[name] for name in names} if len(names) > 1 else start["theta"],
        steps=steps,
        t0=times[0],
        n_paths=PATHS,
        rng=31,
        observe=optsde.Paths(at=times),
    )
    increments = None
    if factor is not None:
        increments = reference.wiener_increments(2, step, steps, n_paths=PATHS, rng=31, first=first)
    gradient = reference.noisy(
        dynamics.problem.loss.grad, factor, increments, step, batch_size / gradients, first=first
    )
    state = {name: np.tile(start[name], (PATHS, 1)) for name in names}
    return trajectories(ens, names), reference.run(update, state, gradient, steps, first)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("case", CASES)
def test_on_the_same_noise(case, noise):
    make, regime, step, update = CASES[case]
    problem = optsde.Problem(LOSSES["quadratic"](), NOISES[noise][0](), batch_size=3)
    dynamics = make().discrete(problem, regime)
    assert dynamics.time_per_step == pytest.approx(step, rel=1e-14)
    names = names_of(case)
    assert dynamics.state == dict.fromkeys(names, (2,))
    compare(*run_both(dynamics, update(), names, noise, batch_size=3))


@pytest.mark.parametrize(
    ("case", "loss"),
    [(case, "quartic") for case in CASES]
    # Plain descent at these rates leaves Rosenbrock's valley; momentum's tests below have smaller ones.
    + [(case, "rosenbrock") for case in CASES if not case.startswith("sgd")],
)
def test_on_other_losses(case, loss):
    make, regime, _, update = CASES[case]
    problem = optsde.Problem(LOSSES[loss](), NOISES["full"][0]())
    compare(*run_both(make().discrete(problem, regime), update(), names_of(case), "full"))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(("rmsprop", "adam"))])
def test_a_later_start_counts_steps_from_zero(case):
    # Bias corrections and schedules know the absolute step.
    make, regime, _, update = CASES[case]
    problem = optsde.Problem(LOSSES["quadratic"](), NOISES["full"][0]())
    compare(*run_both(make().discrete(problem, regime), update(), names_of(case), "full", first=25, steps=30))


@pytest.mark.parametrize("case", ["rmsprop options", "adam options", "adamw"])
def test_missing_state_starts_at_zero(case):
    make, regime, _, update = CASES[case]
    dynamics = make().discrete(optsde.Problem(LOSSES["quadratic"](), optsde.noise.Zero()), regime)
    ens = optsde.simulate(dynamics, START["theta"], steps=5, observe=optsde.Paths(at=6))
    names = names_of(case)
    state = {name: np.zeros((1, 2)) for name in names} | {"theta": START["theta"][None]}
    exact = reference.run(update(), state, lambda k, x: dynamics.problem.loss.grad(x), 5)
    compare(trajectories(ens, names), exact)


MOMENTA = {
    "heavy ball": {"momentum": 0.9},
    "heavy ball, decay": {"momentum": 0.8, "weight_decay": 0.5},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "nesterov, decay": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.5},
    "heavy ball, decoupled": {"momentum": 0.8, "weight_decay": 0.5, "decoupled": True},
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("options", MOMENTA)
def test_momentum(options, noise, loss):
    keywords, lr = MOMENTA[options], 4e-4
    problem = optsde.Problem(LOSSES[loss](), NOISES[noise][0](), batch_size=3)
    dynamics = optsde.SGD(lr, **keywords).discrete(problem)
    assert dynamics.time_per_step == pytest.approx(0.02, rel=1e-14)
    assert dynamics.state == {"theta": (2,), "v": (2,)}
    beta, nesterov = keywords["momentum"], keywords.get("nesterov", False)
    start = {"theta": np.array([0.6, 0.4]), "v": np.array([-0.8, 0.5])}
    step = dynamics.time_per_step
    ens = optsde.simulate(
        dynamics, start, steps=STEPS, n_paths=PATHS, rng=31, observe=optsde.Paths(at=step * np.arange(STEPS + 1))
    )
    factor = NOISES[noise][1]
    increments = None
    if factor is not None:
        increments = reference.wiener_increments(2, step, STEPS, n_paths=PATHS, rng=31)
    # torch's form: its parameter is the look-ahead point, and noise that depends on the place is taken there.
    gradient = reference.noisy(problem.loss.grad, factor, increments, step, 3)
    state = reference.buffer_start(start["theta"], start["v"], lr, beta, nesterov)
    state = {name: np.tile(value, (PATHS, 1)) for name, value in state.items()}
    torch_form = reference.run(reference.sgd(lr, **keywords), state, gradient, STEPS)
    exact = reference.from_buffer(torch_form, lr, beta, nesterov)
    compare(trajectories(ens, ("theta", "v")), exact)
    if not keywords.get("decoupled"):
        # The canonical form: the same iterates.
        update = reference.heavy_ball_or_nesterov(lr, beta, nesterov, keywords.get("weight_decay", 0.0))
        state = {"theta": np.tile(start["theta"], (PATHS, 1)), "v": np.tile(np.sqrt(lr) * start["v"], (PATHS, 1))}
        canonical = reference.run(update, state, gradient, STEPS)
        compare({"theta": canonical["theta"], "v": canonical["v"] / np.sqrt(lr)}, exact)


VARYING = optsde.schedules.Linear(0.03, 10, 0.01)


def rated(s):
    """The move of θ where ``v' = β v - √η R g``."""
    share = np.array([1.0, 0.5])
    return s.root * (s.new + s.root * (1.0 - share) * s.g) - 0.003 * share * s.theta


@pytest.mark.parametrize(
    ("formula", "keywords", "move"),
    [
        ("θ + √η v'", {}, lambda s: s.root * s.new),
        ("θ + √η v' - η λ θ", {"weight_decay": 0.1, "decoupled": True}, lambda s: s.root * s.new - 0.003 * s.theta),
        (
            "θ + √η v' - η λ (θ + √η β v)",
            {"nesterov": True, "weight_decay": 0.1, "decoupled": True},
            lambda s: s.root * s.new - 0.003 * s.ahead,
        ),
        ("θ + √η v' - η R λ θ", {"lr": [0.03, 0.015], "weight_decay": 0.1, "decoupled": True}, rated),
        ("θ + √η u_k v'", {"lr": VARYING}, lambda s: s.root * s.u(3) * s.new),
        (
            "θ + √η u_(k-1) β v - η u_k g",
            {"nesterov": True, "lr": VARYING},
            lambda s: s.ahead - s.theta - 0.03 * s.u(3) * s.g,
        ),
    ],
)
def test_the_formula_that_is_printed_is_the_step(formula, keywords, move):
    dynamics = optsde.SGD(**{"lr": 0.03, "momentum": 0.9} | keywords).discrete(
        optsde.Problem(optsde.losses.Quadratic([2.0, 1.0]), optsde.noise.Zero())
    )
    assert f"θ' = {formula}, " in repr(dynamics)
    theta, v, root = np.array([1.0, -0.4]), np.array([0.5, 0.2]), np.sqrt(0.03)
    varying = keywords.get("lr") is VARYING
    ahead = theta + root * 0.9 * v * (VARYING(2) / 0.03 if varying else 1.0) * bool(keywords.get("nesterov"))
    g = np.array([2.0, 1.0]) * ahead
    new = 0.9 * v - root * g
    step = SimpleNamespace(theta=theta, root=root, ahead=ahead, g=g, new=new, u=lambda k: VARYING(k) / 0.03)
    ens = optsde.simulate(
        dynamics, {"theta": theta, "v": v}, t0=3 * dynamics.time_per_step, steps=1, observe=optsde.Final()
    )
    np.testing.assert_allclose(ens.final[0], theta + move(step), rtol=1e-14)


@pytest.mark.parametrize("noise", ["none", "full"])
@pytest.mark.parametrize("r", [3.0, 5.0])
@pytest.mark.parametrize("first", [0, 12])
def test_nesterovs_growing_momentum(r, noise, first):
    lr = 4e-4
    problem = optsde.Problem(LOSSES["rosenbrock"](), NOISES[noise][0]())
    dynamics = optsde.SGD(lr, momentum=optsde.schedules.Nesterov(r=r), nesterov=True).discrete(problem)
    update = reference.heavy_ball_or_nesterov(lr, reference.nesterov_momentum(r), True)

    def in_units(state, k, gradient):
        new = update({"theta": state["theta"], "v": np.sqrt(lr) * state["v"]}, k, gradient)
        return {"theta": new["theta"], "v": new["v"] / np.sqrt(lr)}

    start = {"theta": np.array([0.6, 0.4]), "v": np.array([0.0, 0.0]) if first == 0 else np.array([0.4, -0.3])}
    compare(*run_both(dynamics, in_units, ("theta", "v"), noise, start=start, first=first))


def test_momentum_with_rates_and_schedules():
    # The unit of v is a convention here, so only the parameters are compared; the buffer starts empty.
    problem = optsde.Problem(LOSSES["quadratic"](), NOISES["full"][0]())
    for lr, in_numpy in (([0.01, 0.004], np.array([0.01, 0.004])), (schedule("Cosine", 0.03, 40, 0.004), cosine)):
        dynamics = optsde.SGD(lr, momentum=0.8).discrete(problem)
        step = dynamics.time_per_step
        assert step == pytest.approx(np.sqrt(0.01 if in_numpy is not cosine else 0.03), rel=1e-14)
        ens = optsde.simulate(
            dynamics, START["theta"], steps=STEPS, n_paths=PATHS, rng=31, observe=optsde.Paths(at=STEPS + 1)
        )
        increments = reference.wiener_increments(2, step, STEPS, n_paths=PATHS, rng=31)
        gradient = reference.noisy(problem.loss.grad, NOISES["full"][1], increments, step)
        state = {"theta": np.tile(START["theta"], (PATHS, 1)), "b": np.zeros((PATHS, 2))}
        exact = reference.run(reference.sgd(in_numpy, 0.8), state, gradient, STEPS)
        np.testing.assert_allclose(ens.paths, exact["theta"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("variant", ["sam", "usam", "dnsam"])
@pytest.mark.parametrize("noise", ["none", "isotropic", "diagonal", "full"])
@pytest.mark.parametrize("loss", ["quadratic", "quartic"])
def test_sharpness_aware(variant, noise, loss):
    problem = optsde.Problem(LOSSES[loss](), NOISES[noise][0](), batch_size=3)
    dynamics = optsde.SAM(0.01, 0.05, variant=variant).discrete(problem)
    update = reference.sam(0.01, 0.05, variant, problem.loss.grad)
    compare(*run_both(dynamics, update, ("theta",), noise, batch_size=3))


@pytest.mark.parametrize("wiener", ["step", "fine"])
def test_finer_wiener_grids_compose(wiener):
    # A step's noise is the sum of its cells' increments.
    problem = optsde.Problem(LOSSES["quadratic"](), NOISES["full"][0]())
    dynamics = optsde.Adam(0.02, eps=0.1).discrete(problem)
    cells = 1 if wiener == "step" else 4
    ens = optsde.simulate(
        dynamics, START, steps=20, n_paths=PATHS, rng=31, wiener_dt=0.02 / cells, observe=optsde.Paths(at=21)
    )
    fine = reference.wiener_increments(2, 0.02 / cells, 20 * cells, n_paths=PATHS, rng=31)
    increments = fine.reshape(20, cells, PATHS, 2).sum(axis=1)
    gradient = reference.noisy(problem.loss.grad, NOISES["full"][1], increments, 0.02)
    state = {name: np.tile(START[name], (PATHS, 1)) for name in ("theta", "m", "v")}
    exact = reference.run(reference.adam(0.02, eps=0.1), state, gradient, 20)
    compare(trajectories(ens, ("theta", "m", "v")), exact)


def test_the_comparison_sees_a_wrong_update():
    # Mutants: the other ordering, bias correction one step off, decay after the step, noise of the next step.
    problem = optsde.Problem(LOSSES["quadratic"](), NOISES["full"][0]())
    dynamics = optsde.Adam(0.02, betas=(0.8, 0.95), eps=0.1).discrete(problem)
    names = ("theta", "m", "v")
    for wrong in ({"ordering": "lagged"}, {"offsets": (2, 1)}, {"offsets": (0.5, 1)}, {"bias_correction": False}):
        with pytest.raises(AssertionError):
            compare(*run_both(dynamics, reference.adam(0.02, (0.8, 0.95), 0.1, **wrong), names, "full"))
    right = reference.adam(0.02, (0.8, 0.95), 0.1)
    with pytest.raises(AssertionError):
        compare(*run_both(dynamics, right, names, "full", gradients=1.0 + 1e-6))
