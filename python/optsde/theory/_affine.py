"""A linear dynamics as matrices: its drift or step, and its noise as a quadratic function of the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from optsde import _core
from optsde._arrays import FloatArray
from optsde.dynamics import Dynamics
from optsde.losses import Loss
from optsde.noise import Minibatch
from optsde.optimizers import SGD
from optsde.optimizers._base import Model
from optsde.optimizers._rates import peak
from optsde.ornstein_uhlenbeck import OrnsteinUhlenbeck
from optsde.schedules import Constant, Nesterov, Schedule

# Noise that depends on the state has d⁴ coefficients.
_LARGEST_DIM = 64
# Points at a time, so that factors of many Wiener processes stay small.
_CHUNK_NUMBERS = 4_000_000
_TOLERANCE = 1e-8
# Far beyond any bias correction, in steps.
_LATE = 1e12

Points = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class NoiseForm:
    """The covariance of the noise (per time, or of a step), ``G Σ(z) Gᵀ`` at ``z = E (y - origin)``.

    ``Σ(z)_ab = q0_ab + q1_abi z_i + q2_abij z_i z_j``; q1 and q2 are None for constant noise.
    """

    gain: FloatArray
    argument: FloatArray
    q0: FloatArray
    q1: FloatArray | None = None
    q2: FloatArray | None = None

    @property
    def constant(self) -> bool:
        """Whether it does not depend on the state."""
        return self.q1 is None

    def mean(self, deviation: FloatArray, weight: float, second: FloatArray) -> FloatArray:
        """Its expectation (D, D) where E (y - origin) = deviation, E (y - origin)(y - origin)ᵀ = second, E 1 = weight:
        a linear function of the three.
        """
        total = self.q0 * weight
        if self.q1 is not None and self.q2 is not None:
            size = len(self.argument)
            moment = self.argument @ second @ self.argument.T
            total = total + self.q1 @ (self.argument @ deviation)
            total = total + (self.q2.reshape(-1, size * size) @ moment.ravel()).reshape(total.shape)
        return np.asarray(self.gain @ total @ self.gain.T)

    def spread(self, cov: FloatArray) -> FloatArray:
        """What a covariance of the state adds to the noise at its mean, (D, D)."""
        return self.mean(np.zeros(len(cov)), 0.0, cov)

    def at(self, deviation: FloatArray) -> FloatArray:
        """The covariance (D, D) at a point."""
        return self.mean(deviation, 1.0, np.outer(deviation, deviation))


@dataclass(frozen=True)
class Affine:
    """``dY = [shift + matrix (Y - origin)] dt + noise``, or ``Y' = origin + shift + matrix (Y - origin) + noise``.

    Attributes
    ----------
    names : tuple of str
        All variables, in order; those in ``settled`` are constants of the stationary law and not in the matrices.
    dim : int
        d, of each variable.
    step : float or None
        Time of a step of an algorithm; None for equations.
    settled : dict
        Variables that the stationary law holds fixed: value (d,) and rate (d,) of relaxation.
    """

    names: tuple[str, ...]
    dim: int
    step: float | None
    origin: FloatArray
    shift: FloatArray
    matrix: FloatArray
    noise: NoiseForm
    settled: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    @property
    def moving(self) -> tuple[str, ...]:
        """The variables of the matrices."""
        return tuple(name for name in self.names if name not in self.settled)

    def eigenvalues(self) -> FloatArray:
        """Of the matrix, complex."""
        return np.asarray(np.linalg.eigvals(self.matrix))

    def check_stable(self, what: str) -> None:
        """Raises ValueError where means do not settle."""
        values = self.eigenvalues()
        if self.step is None:
            slowest = float(values.real.max())
            if slowest >= -1e-14 * float(np.abs(values).max()):
                raise ValueError(
                    f"{what}: no stationary law: the drift must contract in every direction, and along one the rate "
                    f"is {-slowest:.6g} (expected more than 0)"
                )
        else:
            largest = float(np.abs(values).max())
            if largest >= 1.0 - 1e-14:
                raise ValueError(
                    f"{what}: no stationary law: a step must contract in every direction, and along one it multiplies "
                    f"by {largest:.6g} (expected less than 1); the learning rate is too large, or the loss is flat"
                )

    def rest(self) -> FloatArray:
        """The deviation from the origin at which the mean stays, (D,)."""
        if self.step is None:
            return np.asarray(np.linalg.solve(self.matrix, -self.shift))
        return np.asarray(np.linalg.solve(np.eye(len(self.matrix)) - self.matrix, self.shift))


def affine_of(dynamics: Any, what: str) -> Affine:
    """The matrices of a dynamics; ValueError with the reason where it is not linear."""
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}")
    if isinstance(dynamics, Model):
        check_constant(dynamics, what)
        if not dynamics.problem.noise._finite_variance:
            raise ValueError(f"{what}: α-stable noise has no covariance; theory.stable_scale gives the scale")
    if dynamics._discrete:
        return _algorithm(dynamics, what)
    if isinstance(dynamics, Model) and dynamics._second_moment:
        return _adaptive_equation(dynamics, what)
    return _equation(dynamics, what)


def check_constant(model: Model, what: str) -> None:
    """Raises ValueError where hyperparameters change in time."""
    lr, momentum = model.optimizer.lr, getattr(model.optimizer, "momentum", 0.0)
    if isinstance(lr, Schedule) and not isinstance(lr, Constant):
        raise ValueError(f"{what}: expected a constant learning rate, got the schedule {lr!r}")
    if isinstance(momentum, Nesterov):
        raise ValueError(
            f"{what}: Nesterov's growing momentum has no constant matrices: its friction r/t dies out, "
            "and with noise there is no stationary law"
        )


def origin_of(dynamics: Dynamics) -> FloatArray:
    """A natural middle for θ, (d,): the minimum where the loss knows one, so that differences do not cancel."""
    if isinstance(dynamics, OrnsteinUhlenbeck):
        return dynamics.mean
    loss = dynamics._loss or getattr(dynamics, "loss", None)
    try:
        minima: Any = getattr(loss, "minima", ())
    except ValueError:  # too many to list
        minima = ()
    return np.asarray(minima[0] if len(minima) > 0 else np.zeros(dynamics.dim), dtype=np.float64)


def _trial_points(origin: FloatArray) -> FloatArray:
    """Points (3, D) about the origin at which a form is checked."""
    return np.asarray(origin + 2.0 * np.random.default_rng(20260101).standard_normal((3, len(origin))))


def fit_affine(function: Points, origin: FloatArray) -> tuple[FloatArray, FloatArray, bool]:
    """Value and matrix of an affine function (n, D) -> (n, D'), and whether three further points agree with them."""
    values = function(np.vstack([origin, origin + np.eye(len(origin))]))
    shift, matrix = values[0], (values[1:] - values[0]).T
    trials = _trial_points(origin)
    size = np.abs(shift) + np.abs(trials - origin) @ np.abs(matrix).T
    error = np.abs(function(trials) - shift - (trials - origin) @ matrix.T)
    fits = np.isfinite(values).all() and (error <= _TOLERANCE * size.max(axis=1, keepdims=True)).all()
    return shift, matrix, bool(fits)


def _covariances(factor: Points, points: FloatArray) -> FloatArray:
    """``F Fᵀ`` at points, (n, R, R), of a factor (n, D) -> (n, R, m)."""
    first = factor(points[:1])
    rows = max(1, _CHUNK_NUMBERS // max(1, first[0].size))
    parts = [factor(points[i : i + rows]) for i in range(0, len(points), rows)]
    return np.concatenate([part @ np.swapaxes(part, 1, 2) for part in parts])


def fit_noise(factor: Points, origin: FloatArray, what: str, constant: bool) -> tuple[FloatArray, ...]:
    """Coefficients of ``F Fᵀ`` as a quadratic function about the origin: (q0,), or (q0, q1, q2)."""
    q0 = _covariances(factor, origin[None])[0]
    if constant:
        return (q0,)
    d = len(origin)
    if d > _LARGEST_DIM:
        raise ValueError(f"{what}: noise that depends on the state is done up to {_LARGEST_DIM} parameters, got {d}")
    eye = np.eye(d)
    up, down = (_covariances(factor, origin + sign * eye) for sign in (1.0, -1.0))
    q1, square = (up - down) / 2.0, (up + down) / 2.0 - q0
    q2 = np.zeros((d, d, *q0.shape))
    q2[np.arange(d), np.arange(d)] = square
    i, j = np.triu_indices(d, 1)
    if len(i):
        mixed = (_covariances(factor, origin + eye[i] + eye[j]) - q0 - q1[i] - q1[j] - square[i] - square[j]) / 2.0
        q2[i, j] = q2[j, i] = mixed
    trials = _trial_points(origin) - origin
    exact = _covariances(factor, origin + trials)
    fitted = q0 + np.einsum("ni,iab->nab", trials, q1) + np.einsum("ni,nj,ijab->nab", trials, trials, q2)
    if not np.isfinite(exact).all() or (np.abs(exact - fitted) > _TOLERANCE * np.abs(exact).max()).any():
        raise ValueError(
            f"{what}: the covariance of the noise is no quadratic function of the state (checked at three "
            "points), so second moments do not close"
        )
    if max(np.abs(q1).max(), np.abs(q2).max()) <= 1e-13 * np.abs(q0).max():
        return (q0,)
    return q0, np.moveaxis(q1, 0, -1), np.moveaxis(q2, (0, 1), (-2, -1))


def not_linear(dynamics: Dynamics, what: str) -> ValueError:
    """The error of a dynamics whose drift is not affine."""
    loss = dynamics._loss or getattr(dynamics, "loss", None)
    of = f" (loss {type(loss).__name__})" if loss is not None else ""
    return ValueError(
        f"{what}: the dynamics is not linear{of}: its drift is no affine function of the state, checked "
        f"at three points: {dynamics!r}"
    )


def _equation(dynamics: Dynamics, what: str) -> Affine:
    """Of an equation."""
    d, names = dynamics.dim, tuple(dynamics.state)
    size = d * len(names)
    origin = np.concatenate([origin_of(dynamics), np.zeros(size - d)])
    trials = _trial_points(origin)
    if not np.array_equal(dynamics.drift_at(trials, 0.25), dynamics.drift_at(trials, 3.75)):
        raise ValueError(f"{what}: the drift depends on time: {dynamics!r}")
    shift, matrix, fits = fit_affine(dynamics.drift_at, origin)
    if not fits:
        raise not_linear(dynamics, what)
    return Affine(names, d, None, origin, shift, matrix, _equation_noise(dynamics, origin, what))


def _equation_noise(dynamics: Dynamics, origin: FloatArray, what: str) -> NoiseForm:
    """The noise of an equation: it depends on θ alone."""
    d, size, kind = dynamics.dim, len(origin), dynamics.noise_kind
    if kind == "none":
        return NoiseForm(np.zeros((size, 1)), np.zeros((1, size)), np.zeros((1, 1)))
    trials = _trial_points(origin)
    if not np.array_equal(dynamics.diffusion_at(trials, 0.25), dynamics.diffusion_at(trials, 3.75)):
        raise ValueError(f"{what}: the noise depends on time: {dynamics!r}")
    rows = np.flatnonzero((dynamics.diffusion_at(np.vstack([origin, trials])) != 0.0).any(axis=(0, 2)))
    if len(rows) == 0:
        return NoiseForm(np.zeros((size, 1)), np.zeros((1, size)), np.zeros((1, 1)))

    def factor(points: FloatArray) -> FloatArray:
        whole = np.hstack([points, np.broadcast_to(origin[d:], (len(points), size - d))])
        return dynamics.diffusion_at(whole)[:, rows]

    form = fit_noise(factor, origin[:d], what, kind.startswith("additive"))
    return NoiseForm(np.eye(size)[:, rows], np.eye(d, size), *form)


def _adaptive_equation(model: Model, what: str) -> Affine:
    """Of RMSprop and Adam where the second moment settles: the equations of order 1, batch-equivalent, on noise that
    does not depend on θ. v tends to diag Σ/B, whatever θ does, and the rest is linear at that v.
    """
    if model.regime != "batch_equivalent" or model.order != 1 or model.form != "sde":
        raise ValueError(
            f"{what}: the dynamics is not linear: the second moment of the gradient depends on θ. It does not in the "
            f"equation of order 1 in the regime 'batch_equivalent', with constant noise; got {model!r}"
        )
    if _core.dynamics_noise_kind(model._plain()) not in ("additive_diagonal", "additive_full"):
        raise ValueError(f"{what}: the dynamics is not linear: the second moment depends on θ through the noise")
    d, names = model.dim, tuple(model.state)
    late = _LATE * model.time_per_step
    middle = np.concatenate([origin_of(model), np.zeros((len(names) - 1) * d)])
    at = names.index("v") * d
    # v' is affine in v, with its own rate.
    unit = model.drift_at(np.vstack([middle, middle + np.repeat(np.eye(len(names))[names.index("v")], d)]), late)
    rate = unit[0, at : at + d] - unit[1, at : at + d]
    settled = unit[0, at : at + d] / rate
    moving = np.delete(np.arange(len(middle)), np.arange(at, at + d))

    def whole(points: FloatArray) -> FloatArray:
        state = np.empty((len(points), len(middle)))
        state[:, moving] = points
        state[:, at : at + d] = settled
        return state

    origin = middle[moving]
    shift, matrix, fits = fit_affine(lambda y: model.drift_at(whole(y), late)[:, moving], origin)
    if not fits:
        raise not_linear(model, what)
    (cov,) = fit_noise(lambda y: model.diffusion_at(whole(y), late)[:, moving], origin, what, True)
    noise = NoiseForm(np.eye(len(moving)), np.zeros((1, len(moving))), cov)
    return Affine(names, d, None, origin, shift, matrix, noise, {"v": (settled, rate)})


@dataclass(frozen=True)
class StepMap:
    """A linear algorithm without its noise: ``Y' = origin + shift + matrix (Y - origin) + gain z``; ``z`` is the noise
    of the gradient at ``θ = argument Y``.
    """

    origin: FloatArray
    shift: FloatArray
    matrix: FloatArray
    gain: FloatArray
    argument: FloatArray


def step_map(model: Model, what: str) -> StepMap:
    """One step (of SVAG: one inner step) of SGD on a quadratic loss; ValueError where it is something else."""
    sgd, loss, d = model.optimizer, model.problem.loss, model.dim
    if not isinstance(sgd, SGD):
        raise ValueError(
            f"{what}: among the algorithms SGD alone is linear, with and without momentum; got {type(sgd).__name__}"
        )
    middle = origin_of(model)
    slope, hessian, fits = fit_affine(loss.grad, middle)
    if not fits:
        raise not_linear(model, what)
    top, eye = peak(sgd.lr) / model._inner_steps, np.eye(d)
    relative = np.asarray(sgd.lr) / peak(sgd.lr) if isinstance(sgd.lr, np.ndarray) else np.ones(d)
    rates = top * relative
    if sgd.decoupled:
        shrink = rates * sgd.weight_decay
    else:
        shrink = np.zeros(d)
        slope, hessian = slope + sgd.weight_decay * middle, hessian + sgd.weight_decay * eye
    pull = rates[:, None] * hessian
    if sgd._plain:
        return StepMap(middle, -rates * slope - shrink * middle, eye - pull - np.diag(shrink), -np.diag(rates), eye)
    beta, root = sgd.momentum, np.sqrt(top)
    assert isinstance(beta, float)
    ahead = root * beta if sgd.nesterov else 0.0
    # v' = β v - √η R g(θ + ahead v);  θ' = θ + √η v' - shrink θ
    velocity = np.hstack([-pull / root, beta * eye - ahead * pull / root])
    matrix = np.vstack([np.hstack([eye - np.diag(shrink), np.zeros((d, d))]) + root * velocity, velocity])
    kick = -rates * slope / root
    shift = np.concatenate([root * kick - shrink * middle, kick])
    gain = np.vstack([-np.diag(rates), -np.diag(rates / root)])
    return StepMap(np.concatenate([middle, np.zeros(d)]), shift, matrix, gain, np.hstack([eye, ahead * eye]))


def _algorithm(model: Dynamics, what: str) -> Affine:
    """Of an algorithm."""
    assert isinstance(model, Model)
    noise, d = model.problem.noise, model.dim
    if isinstance(noise, Minibatch) and noise.reshuffle:
        raise ValueError(
            f"{what}: batches of reshuffled epochs depend on each other; the theory needs independent steps"
        )
    step = step_map(model, what)
    spec, kind = model._plain(), model.noise_kind
    names, time = tuple(model.state), model.time_per_step / model._inner_steps
    if kind == "none":
        form: tuple[FloatArray, ...] = (np.zeros((d, d)),)
    else:
        # SVAG has l times the covariance.
        amplify = np.sqrt(model.l)

        def factor(points: FloatArray) -> FloatArray:
            return np.asarray(amplify * _core.noise_factor(spec, np.ascontiguousarray(points), 0.0))

        form = fit_noise(factor, step.origin[:d], what, kind.startswith("additive"))
    return Affine(names, d, time, step.origin, step.shift, step.matrix, NoiseForm(step.gain, step.argument, *form))


def quadratic_hessian(loss: Loss, point: FloatArray) -> FloatArray:
    """Matrix of the gradient of a loss that is known to be quadratic, symmetrised, (d, d)."""
    _, hessian, _ = fit_affine(loss.grad, point)
    return np.asarray((hessian + hessian.T) / 2.0)
