"""Runs that between them use every method, noise kind, loss, law of increments and dtype, and the bits of a result."""

import dataclasses
import hashlib

import numpy as np
import optsde
from optsde import losses, noise

SGD = optsde.SGD(0.1)
H3 = [[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]]
S3 = [[1.0, 0.4, 0.0], [0.4, 0.8, -0.3], [0.0, -0.3, 0.5]]
X3 = np.random.default_rng(3).normal(size=(12, 3))
Y3 = np.random.default_rng(4).normal(size=12)
SINGULAR = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.5]]


# --- users' functions: polynomials only, so that NumPy rounds each row alike whatever their number -----------------


def linear_drift(t, x):
    return (0.5 * t - 1.0) * x


def tilted_drift(t, x):
    return -(x * x * x) + t


def own_diffusion(t, x):
    return 0.3 + 0.1 * t + 0.2 * x * x


def own_slope(t, x):
    return 0.4 * x


def coupled_diffusion(t, x):
    return 0.3 + 0.2 * x[:, ::-1] * x[:, ::-1] + 0.1 * t


def coupled_slope(t, x):
    return np.zeros(x.shape)


def commutative_factor(t, x):
    """One column an own coordinate: two Wiener processes that commute."""
    out = np.zeros((len(x), 3, 2))
    out[:, 0, 0] = 0.4 + 0.1 * x[:, 0]
    out[:, 1, 1] = 0.3 + 0.2 * x[:, 1]
    return out


def full_factor(t, x):
    """Three Wiener processes in two dimensions that do not commute."""
    out = np.empty((len(x), 2, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = 0.3, 0.2 * x[:, 1], 0.1 * t
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = 0.1 * x[:, 0], 0.25, 0.2 * x[:, 0] * x[:, 1]
    return out


def full_slope(t, x):
    out = np.zeros((len(x), 2, 3, 2))
    out[:, 0, 1, 1] = 0.2
    out[:, 1, 0, 0] = 0.1
    out[:, 1, 2, 0], out[:, 1, 2, 1] = 0.2 * x[:, 1], 0.2 * x[:, 0]
    return out


def quartic_grad(x):
    return x * x * x + 0.5 * x


def quartic_value(x):
    return (0.25 * x * x * x * x + 0.25 * x * x).sum(axis=1)


def root_scale(x):
    return 0.5 + 0.1 * x * x


def skewed_factor(x):
    out = np.empty((len(x), 3, 3))
    out[:] = 0.1
    out[:, 0, 1] = 0.2 * x[:, 2]
    out[:, 1, 0] = 0.3 * x[:, 0] * x[:, 1]
    out[:, 2, 2] = 0.5
    return out


def square(x):
    return x[:, 0] * x[:, 0]


@dataclasses.dataclass(frozen=True)
class Case:
    """Arguments of one run: the dynamics, the start, and the options that fix its steps."""

    dynamics: optsde.Dynamics
    theta0: object
    options: dict

    def sizes(self, *counts):
        """Numbers of paths, even where paths are pairs."""
        return [n + n % 2 for n in counts] if self.options.get("antithetic") else counts

    def run(self, **options):
        options = {"n_paths": 200, "rng": 7, **self.options, **options}
        return optsde.simulate(self.dynamics, self.theta0, **options)


def problem(loss, law, batch_size=1):
    return optsde.Problem(loss, law, batch_size=batch_size)


def sde(drift, diffusion, dim, kind, jacobian=None, **options):
    return optsde.SDE(drift, diffusion, dim=dim, noise=kind, diffusion_jacobian=jacobian, **options)


def _cases():
    steps = {"steps": 3, "substeps": 3}
    time = {"t1": 0.9, "dt": 0.1}
    x1, x2, x3 = 0.7, [0.4, -0.3], [0.5, -0.4, 0.2]
    diagonal = problem(losses.Quadratic([2.0, 1.0, 0.5], center=[0.1, 0.0, -0.2]), noise.Gaussian([1.0, 0.5, 0.0]), 2)
    full = problem(losses.Quadratic(H3), noise.Gaussian(S3), 4)
    singular = problem(losses.Quadratic(H3), noise.Gaussian(SINGULAR))
    affine = problem(losses.Quadratic(H3), noise.AffineDiagonal([1.0, 0.5, 0.1], 0.3, [0.0, 0.1, 0.2]))
    scaled = problem(losses.Quadratic(H3), noise.LossScaled(S3, floor=0.1))
    scaled_one = problem(losses.DoubleWell(dim=1), noise.LossScaled(0.5, floor=0.2))
    own = problem(
        losses.Function(quartic_grad, dim=3, value=quartic_value), noise.Function(root_scale, kind="diagonal")
    )
    skewed = problem(
        losses.Function(quartic_grad, dim=3, value=quartic_value), noise.Function(skewed_factor, kind="full")
    )
    stable = problem(losses.Quadratic(H3), noise.AlphaStable(1.6, [0.1, 0.2, 0.0]))
    isotropic = problem(losses.Quadratic(H3), noise.AlphaStable(1.4, 0.1, isotropic=True))
    student = problem(losses.Quadratic(H3), noise.StudentT(3.5, S3), 2)
    inputs = problem(losses.Quadratic(H3, center=x3[::-1]), noise.GaussianInputs(H3, 0.3), 2)
    regression, logistic = losses.LinearRegression(X3, Y3), losses.LogisticRegression(X3, Y3 > 0, l2=0.1)
    softmax, network = losses.SoftmaxRegression(X3[:, :1], np.arange(12) % 3, l2=0.1), losses.MLP(X3[:, :1], Y3, (1,))
    diagonal_network = losses.DiagonalLinearNetwork(X3, Y3)
    x4, x6 = [0.3, -0.2, 0.5, 0.1], [0.5, 0.4, 0.3, 0.1, -0.2, 0.3]
    rates = np.array(H3) + np.array([[0.0, 0.5, 0.0], [-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    ou = optsde.OrnsteinUhlenbeck(rates, [0.1, 0.2, 0.3], S3)
    dense = np.random.default_rng(1).normal(size=(17, 17)) / 8
    big = problem(losses.Quadratic(dense @ dense.T + np.eye(17)), noise.Gaussian(dense @ dense.T + 0.1 * np.eye(17)))
    langevin = {
        name: optsde.Langevin(loss, 0.3)
        for name, loss in {
            "double_well": losses.DoubleWell(1.5, dim=2),
            "quartic": losses.Quartic(1.0, 0.5, dim=2),
            "rosenbrock": losses.Rosenbrock(2),
            "rastrigin": losses.Rastrigin(2),
            "styblinski_tang": losses.StyblinskiTang(2),
            "mueller_brown": losses.MuellerBrown(),
            "scalar_factorization": losses.ScalarFactorization(),
        }.items()
    }
    fine = {"rosenbrock": 0.001, "mueller_brown": 0.0001}
    cases = {
        "euler additive_diagonal": Case(SGD.sde(diagonal), x3, steps),
        "euler additive_full": Case(SGD.sde(full), x3, steps),
        "euler singular": Case(SGD.sde(singular), x3, steps),
        "euler 17 dense": Case(SGD.sde(big), np.linspace(-1, 1, 17), steps),
        "euler affine": Case(SGD.sde(affine), x3, steps),
        "euler loss_scaled": Case(SGD.sde(scaled), x3, steps),
        "euler loss_scaled 1": Case(SGD.sde(scaled_one), x1, steps),
        "euler function": Case(SGD.sde(own), x3, steps),
        "euler function full": Case(SGD.sde(skewed), x3, steps),
        "euler zero": Case(
            SGD.sde(problem(losses.Quadratic(H3), noise.Zero())), x3, {**steps, "method": "euler_maruyama"}
        ),
        "euler sde diagonal": Case(sde(tilted_drift, own_diffusion, 1, "diagonal"), x1, time),
        "euler sde coupled": Case(sde(linear_drift, coupled_diffusion, 3, "diagonal_coupled"), x3, time),
        "euler sde commutative": Case(sde(tilted_drift, commutative_factor, 3, "commutative", n_wiener=2), x3, time),
        "euler sde full": Case(sde(linear_drift, full_factor, 2, "full", n_wiener=3), x2, time),
        "rk4 flow": Case(SGD.flow(full), x3, steps),
        "rk4 flow order 2": Case(SGD.flow(problem(losses.Rastrigin(3), noise.Zero()), order=2), x3, steps),
        "exact ou": Case(ou, x3, {**time, "method": "ornstein_uhlenbeck"}),
        "exact ou of sgd": Case(SGD.sde(diagonal), x3, {**steps, "method": "ornstein_uhlenbeck"}),
        "exact ou of singular": Case(SGD.sde(singular), x3, {**steps, "method": "ornstein_uhlenbeck"}),
        "discrete": Case(SGD.discrete(full), x3, {"steps": 9}),
        "discrete loss_scaled": Case(SGD.discrete(scaled), x3, {"steps": 9}),
        "discrete function": Case(SGD.discrete(skewed), x3, {"steps": 9}),
        "levy_euler": Case(SGD.sde(stable), x3, steps),
        "levy_euler isotropic": Case(SGD.sde(isotropic), x3, steps),
        "discrete stable": Case(SGD.discrete(stable), x3, {"steps": 9}),
        "discrete isotropic": Case(SGD.discrete(isotropic), x3, {"steps": 9}),
        "discrete cauchy": Case(
            SGD.discrete(problem(losses.Quadratic(H3), noise.AlphaStable(1.0, 0.1))), x3, {"steps": 9}
        ),
        "discrete student": Case(SGD.discrete(student), x3, {"steps": 9}),
        "discrete gaussian_inputs": Case(SGD.discrete(inputs), x3, {"steps": 9}),
        "euler gaussian_inputs": Case(SGD.sde(inputs), x3, steps),
        "discrete minibatch": Case(SGD.discrete(problem(logistic, noise.Minibatch(), 5)), x3, {"steps": 9}),
        "discrete minibatch of linear": Case(SGD.discrete(problem(regression, noise.Minibatch(), 1)), x3, {"steps": 9}),
        "discrete minibatch of softmax": Case(
            SGD.discrete(problem(softmax, noise.Minibatch(replace=False), 4)), x3, {"steps": 9}
        ),
        "discrete minibatch of network": Case(
            SGD.discrete(problem(network, noise.Minibatch(replace=False), 3)), x4, {"steps": 9}
        ),
        "discrete reshuffled": Case(
            SGD.discrete(problem(logistic, noise.Minibatch(reshuffle=True), 3)), x3, {"steps": 9}
        ),
        "discrete label noise": Case(SGD.discrete(problem(regression, noise.LabelNoise(0.3), 3)), x3, {"steps": 9}),
        "discrete label noise of signs": Case(
            SGD.discrete(problem(diagonal_network, noise.LabelNoise(0.3, signs=True), 3)), x6, {"steps": 9}
        ),
        "euler minibatch": Case(SGD.sde(problem(logistic, noise.Minibatch(replace=False), 3)), x3, steps),
        "euler minibatch of softmax": Case(SGD.sde(problem(softmax, noise.Minibatch(), 3)), x3, steps),
        "euler minibatch of network": Case(SGD.sde(problem(network, noise.Minibatch(), 3)), x4, steps),
        "euler label noise": Case(SGD.sde(problem(diagonal_network, noise.LabelNoise(0.3), 3)), x6, steps),
        "platen label noise": Case(
            SGD.sde(problem(regression, noise.LabelNoise(0.3), 3), order=2), x3, {**steps, "method": "platen"}
        ),
        "langevin mobility": Case(optsde.Langevin(losses.Quadratic(H3), 0.5, [1.0, 2.0, 0.5]), x3, time),
        "initial gaussian": Case(SGD.sde(full), optsde.initial.Gaussian(x3, S3), steps),
        "initial uniform": Case(SGD.sde(full), optsde.initial.Uniform(-1.0, [1.0, 2.0, 3.0]), steps),
    }
    for name, dynamics in langevin.items():
        dt = fine.get(name, 0.01)
        cases[f"langevin {name}"] = Case(dynamics, x2, {"t1": 9 * dt, "dt": dt})
    milstein = {
        "additive_diagonal": Case(SGD.sde(diagonal), x3, steps),
        "additive_full": Case(SGD.sde(full), x3, steps),
        "affine": Case(SGD.sde(affine), x3, steps),
        "loss_scaled": Case(SGD.sde(scaled), x3, steps),
        "loss_scaled 1": Case(SGD.sde(scaled_one), x1, steps),
        "function": Case(SGD.sde(own), x3, steps),
        "function full": Case(SGD.sde(skewed), x3, steps),
        "gaussian_inputs": Case(SGD.sde(inputs), x3, steps),
        "sde diagonal": Case(sde(tilted_drift, own_diffusion, 1, "diagonal", own_slope), x1, time),
        "sde diagonal free": Case(sde(tilted_drift, own_diffusion, 1, "diagonal"), x1, time),
        "sde coupled": Case(sde(linear_drift, coupled_diffusion, 3, "diagonal_coupled"), x3, time),
        "sde commutative": Case(sde(tilted_drift, commutative_factor, 3, "commutative", n_wiener=2), x3, time),
        "sde full": Case(sde(linear_drift, full_factor, 2, "full", full_slope, n_wiener=3), x2, time),
        "sde full free": Case(sde(linear_drift, full_factor, 2, "full", n_wiener=3), x2, time),
    }
    for name, case in milstein.items():
        cases[f"milstein {name}"] = dataclasses.replace(case, options={**case.options, "method": "milstein"})
    cases |= _langevin_cases()
    quartic = optsde.Langevin(losses.Quartic(1.0, 0.5, dim=2), 0.3)
    decayed = optsde.SGD(optsde.schedules.Cosine(0.1, 100)).sde(diagonal)
    for name, dynamics, start, options in (
        ("additive_diagonal", quartic, x2, time),
        ("additive_full", SGD.sde(full), x3, steps),
        ("scheduled", decayed, x3, steps),
    ):
        for method in ("sra1", "sra3", "dri1", "tamed_euler", "exponential_splitting"):
            if (name, method) != ("scheduled", "exponential_splitting"):  # which is for constant noise
                cases[f"{method} {name}"] = Case(dynamics, start, {**options, "method": method})
    for name in ("affine", "loss_scaled", "loss_scaled 1", "sde diagonal", "sde full"):
        case = milstein[name]
        for method in ("dri1", "stratonovich_heun", "tamed_euler"):
            cases[f"{method} {name}"] = dataclasses.replace(case, options={**case.options, "method": method})
    for name in ("affine", "loss_scaled 1", "sde diagonal"):
        case = milstein[name]
        cases[f"sriw1 {name}"] = dataclasses.replace(case, options={**case.options, "method": "sriw1"})
    for name in (
        "euler additive_full",
        "milstein affine",
        "milstein sde full",
        "exact ou",
        "euler affine",
        "leimkuhler_matthews",
        "obabo",
        "ubu of momentum",
        "sra1 additive_full",
        "sriw1 affine",
        "exponential_splitting additive_diagonal",
    ):
        case = cases[name]
        wiener_dt = 0.1 / 9 if "steps" in case.options else 0.1 / 3
        cases[f"{name}, refined"] = dataclasses.replace(case, options={**case.options, "wiener_dt": wiener_dt})
    cases["levy_euler, refined"] = dataclasses.replace(cases["levy_euler"], options={**steps, "wiener_dt": 0.1 / 9})
    for name in ("discrete", "discrete isotropic"):
        case = cases[name]
        cases[f"{name}, refined"] = dataclasses.replace(case, options={**case.options, "wiener_dt": 0.1 / 3})
    singles = [name for name in cases if not name.startswith("initial")]
    for name in singles:
        case = cases[name]
        cases[f"{name}, f32"] = dataclasses.replace(case, options={**case.options, "dtype": "float32"})
    for name in (
        "euler additive_diagonal",
        "euler additive_full",
        "milstein affine",
        "exact ou",
        "discrete",
        "milstein sde full",
        "euler additive_full, refined",
        "leimkuhler_matthews, refined",
        "ubu",
    ):
        case = cases[name]
        cases[f"{name}, gaussian_f32"] = dataclasses.replace(
            case, options={**case.options, "increments": "gaussian_f32"}
        )
    for name in (
        "euler additive_diagonal",
        "euler additive_full",
        "euler affine",
        "langevin double_well",
        "euler additive_full, f32",
    ):
        case = cases[name]
        options = {**case.options, "increments": "two_point", "method": "euler_maruyama"}
        cases[f"{name}, two_point"] = dataclasses.replace(case, options=options)
    for name in (
        "euler additive_full",
        "euler additive_full, f32",
        "euler affine, two_point",
        "milstein sde full, refined",
        "milstein affine, gaussian_f32",
        "platen label noise",
        "exact ou",
        "discrete",
        "initial gaussian",
    ):
        case = cases[name]
        cases[f"{name}, antithetic"] = dataclasses.replace(case, options={**case.options, "antithetic": True})
    return cases


def _langevin_cases():
    """The schemes for Langevin dynamics: noise by coordinate and full, built-in losses and a callback."""
    time, x2, x3 = {"t1": 0.9, "dt": 0.1}, [0.4, -0.3], [0.5, -0.4, 0.2]
    well = optsde.UnderdampedLangevin(losses.DoubleWell(1.5, dim=2), 0.3, [0.5, 2.0], [1.0, 0.7])
    own = optsde.UnderdampedLangevin(losses.Function(quartic_grad, dim=2, value=quartic_value), 0.3, 1.0)
    bowl = problem(losses.Quadratic(H3), noise.Gaussian(S3), 4)
    momentum = optsde.SGD(0.09, momentum=0.7).sde(bowl)
    state = {"theta": x2, "v": [0.2, 0.1]}
    cases = {"leimkuhler_matthews": Case(optsde.Langevin(losses.Rastrigin(3), 0.5, [1.0, 2.0, 0.5]), x3, time)}
    for name in ("baoab", "obabo", "ubu"):
        cases[name] = Case(well, state, time)
        cases[f"{name} of a function"] = Case(own, x2, time)
        cases[f"{name} of momentum"] = Case(momentum, x3, {"t1": 0.9, "dt": 0.1})
    cases = {
        name: dataclasses.replace(case, options={**case.options, "method": name.split()[0]})
        for name, case in cases.items()
    }
    cases["heun underdamped"] = Case(well, state, {**time, "method": "heun"})
    return cases


CASES = _cases()
# A case for each way through the engine, where all of them would take too long.
FEW = [
    "euler additive_full",
    "euler affine",
    "euler function full",
    "milstein loss_scaled",
    "milstein sde full",
    "exact ou",
    "discrete",
    "rk4 flow",
    "langevin rastrigin",
    "euler additive_full, f32",
    "milstein affine, gaussian_f32",
    "euler affine, two_point",
    "milstein sde full, refined",
    "initial gaussian",
    "levy_euler, refined",
    "discrete isotropic",
    "discrete student",
    "discrete gaussian_inputs",
    "discrete minibatch",
    "discrete reshuffled",
    "discrete label noise",
    "euler minibatch",
    "euler label noise",
    "leimkuhler_matthews, refined",
    "baoab of a function",
    "ubu of momentum, refined",
    "dri1 sde full",
    "sra3 scheduled",
    "sriw1 affine, refined",
    "stratonovich_heun loss_scaled",
    "exponential_splitting additive_full",
    "tamed_euler loss_scaled, f32",
]


def observers(case, *, calls_python=False, at=4):
    """Every observer that the case can have; an Expectation binds the run to the calling thread."""
    seen = [
        optsde.Moments(at=at, cov=True),
        optsde.Final(),
        optsde.Paths(at=at),
        optsde.Paths(at=2, keep=70, name="few"),
        optsde.Histogram(20, (-1.0, 1.0), at=at),
        optsde.Histogram(7, (-0.5, 2.0), coords=0, name="one"),
        optsde.Quantiles([0.1, 0.5], at=at),
    ]
    if case.dynamics.dim > 1:
        seen.append(optsde.Histogram(5, (-1.0, 1.0), coords=(0, 1), name="joint"))
    if case.dynamics._loss is not None:
        seen.append(optsde.Loss(at=at))
    if calls_python:
        seen.append(optsde.Expectation(square, "square", at=at))
        seen.append(optsde.Histogram(6, (0.0, 1.0), of=square, name="of"))
    return seen


def passages():
    """Observers of every step, which keep steps from being taken many at once."""
    return [
        optsde.FirstPassage(optsde.regions.Above(0.6), name="above"),
        optsde.FirstPassage(optsde.regions.Below(0.1), name="below"),
        optsde.FirstPassage(optsde.regions.Outside(0.0, 1.0), name="outside"),
    ]


def canonical(array):
    """The array with one bit pattern for all NaN."""
    array = np.array(array)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array


def arrays(ensemble):
    """All arrays of an ensemble by name."""
    found = {
        "t": ensemble.t,
        "step": ensemble.step,
        "n_diverged_at": ensemble.n_diverged_at,
        "path_index": ensemble.path_index,
    }
    for observer in ensemble._observers:
        result = ensemble[observer.name]
        for field in dataclasses.fields(result):
            value = getattr(result, field.name)
            if value is not None:
                found[f"{observer.name}.{field.name}"] = np.asarray(value)
    return found


def assert_same_bits(one, other, where=""):
    """Every array of two ensembles is equal in shape, dtype and every bit."""
    one, other = (x if isinstance(x, dict) else arrays(x) for x in (one, other))
    assert one.keys() == other.keys()
    for name in one:
        a, b = canonical(one[name]), canonical(other[name])
        assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{where}{name}"
        if a.tobytes() != b.tobytes():
            bad = np.argwhere((a != b) & ~(np.isnan(a) & np.isnan(b)))
            raise AssertionError(
                f"{where}{name}: {len(bad)} of {a.size} differ, first at {bad[:1].tolist()}: "
                f"{a[tuple(bad[0])]!r} and {b[tuple(bad[0])]!r}"
                if len(bad)
                else f"{where}{name}: signs"
            )


def digests(ensemble):
    """A hash of each array."""
    return {
        name: f"{a.dtype} {a.shape} " + hashlib.sha256(canonical(a).tobytes()).hexdigest()[:20]
        for name, a in arrays(ensemble).items()
    }
