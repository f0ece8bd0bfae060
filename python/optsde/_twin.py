"""Exact linear twins of SGD and of equations: chains on the same noise, moments known, for use as control variates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optsde import _core
from optsde._arrays import FloatArray
from optsde._clock import Schedule
from optsde.dynamics import Dynamics
from optsde.losses import Loss, Quadratic
from optsde.noise import Gaussian, Zero
from optsde.optimizers import SGD
from optsde.optimizers._base import Model
from optsde.ornstein_uhlenbeck import OrnsteinUhlenbeck
from optsde.problem import Problem

# In more dimensions the twin costs more than it saves.
_MOST_DIMENSIONS = 64
# Up to so many, every coordinate and every product of two is a control of its own.
_FEW_DIMENSIONS = 3
_WORST_CONDITION = 1e8


@dataclass(frozen=True)
class Twin:
    """SGD on a quadratic loss with constant Gaussian noise, the linearisation of a model about a point.

    Attributes
    ----------
    source : str
        The model it is the twin of: it sees that one's Wiener path.
    dynamics : Dynamics
    about : str
        What it is linearised about.
    decay : ndarray, shape (T, d, d)
        What is left of a deviation from ``center`` at each time.
    center : ndarray, shape (d,)
    cov : ndarray, shape (T, d, d)
        Covariance at each time, given the start.
    hessian : ndarray, shape (d, d)
    """

    source: str
    dynamics: Dynamics
    about: str
    decay: FloatArray
    center: FloatArray
    cov: FloatArray
    hessian: FloatArray

    def controls(self, start: FloatArray, states: FloatArray) -> FloatArray:
        """Control variates (c, T, n) of states (T, n, d) that began at start (n, d): each has expectation 0.

        Deviations from the mean that each path has given its start, and products of two less their covariance.
        """
        mean = self.center + np.einsum("tij,nj->tni", self.decay, start - self.center)
        off = states - mean
        d = off.shape[2]
        if d <= _FEW_DIMENSIONS:
            pairs = [(i, j) for i in range(d) for j in range(i, d)]
            rows = [off[..., i] for i in range(d)]
            rows += [off[..., i] * off[..., j] - self.cov[:, i, j, None] for i, j in pairs]
            return np.stack(rows)
        slope = np.einsum("ij,tnj->tni", self.hessian, off)
        trace = np.einsum("tii->t", self.cov)
        bowl = np.einsum("ij,tij->t", self.hessian, self.cov)
        rows = [
            off.sum(axis=2),
            (mean * off).sum(axis=2),
            ((mean - self.center) * slope).sum(axis=2),
            (off * off).sum(axis=2) - trace[:, None],
            (off * slope).sum(axis=2) - bowl[:, None],
        ]
        return np.stack(rows)


def _plain_sgd(dynamics: Dynamics) -> SGD | None:
    """The optimizer of plain SGD with a constant rate, where a dynamics is that algorithm or its equation."""
    if not isinstance(dynamics, Model) or dynamics.form not in ("discrete", "sde") or dynamics.dim > _MOST_DIMENSIONS:
        return None
    optimizer = dynamics.optimizer
    if not isinstance(optimizer, SGD) or not isinstance(optimizer.lr, float):
        return None
    return optimizer if optimizer.momentum == 0.0 and optimizer.weight_decay == 0.0 else None


def parabola(loss: Loss, point: FloatArray) -> Quadratic | None:
    """The loss's own parabola at a point; None where it has no centre or cannot be had."""
    if isinstance(loss, Quadratic):
        return loss
    try:
        slope, hessian = loss.grad(point), loss.hessian(point)
    except ValueError:  # the user's loss has no Hessian
        return None
    if not (np.isfinite(slope).all() and np.isfinite(hessian).all()) or np.linalg.cond(hessian) > _WORST_CONDITION:
        return None
    return Quadratic((hessian + hessian.T) / 2.0, point - np.linalg.solve(hessian, slope))


def _gaussian(sgd: SGD, problem: Problem, point: FloatArray) -> Gaussian | None:
    """Noise as it is at a point, by the same factor; None where that is not possible."""
    if isinstance(problem.noise, (Gaussian, Zero)):
        return problem.noise if isinstance(problem.noise, Gaussian) else None
    try:
        equation = sgd.sde(problem)
        # S √η/√B, up to a sign.
        factor = _core.noise_factor(equation._spec(), np.ascontiguousarray(point[None]), 0.0)[0]
    except ValueError:  # noise without an equation, or one driven by jumps
        return None
    if factor.shape[0] != factor.shape[1] or not np.isfinite(factor).all():
        return None
    cov = np.einsum("im,jm->ij", factor, factor) * (problem.batch_size / equation.time_per_step)
    return Gaussian(np.diag(cov).copy() if equation.noise_kind.startswith("diagonal") else (cov + cov.T) / 2.0)


def _powers(product: FloatArray, rest: FloatArray, k: int) -> FloatArray:
    """``(1 - p^k)/(1 - p)``, the sum of k powers of p, from p and rest = 1 - p."""
    near = product > 0.5
    safe = np.where(near & (rest != 0.0), rest, 0.25)
    close = np.where(rest == 0.0, float(k), -np.expm1(k * np.log1p(-safe)) / safe)
    return np.where(near, close, (1.0 - product**k) / np.where(near, 1.0, rest))


def _twin(name: str, sgd: SGD, problem: Problem, point: FloatArray, about: str, schedule: Schedule) -> Twin | None:
    loss, noise = parabola(problem.loss, point), _gaussian(sgd, problem, point)
    if loss is None or noise is None:
        return None
    d, batch = problem.dim, problem.batch_size
    lr = float(sgd.lr)  # type: ignore[arg-type]

    def full(array: FloatArray) -> FloatArray:
        return array if array.ndim == 2 else np.diag(np.broadcast_to(array, (d,)))

    rates, axes = np.linalg.eigh(full(loss.H))
    left = 1.0 - lr * rates
    product = left[:, None] * left
    rest = lr * (rates[:, None] + rates) - lr**2 * rates[:, None] * rates
    step_noise = axes.T @ (full(noise.cov) * (lr**2 / batch)) @ axes
    units = np.rint(schedule.t / schedule.clock.unit).astype(np.int64) - schedule.first
    counts = [int(k) // schedule.clock.ratios[name] for k in units]
    decay = np.stack([(axes * left**k) @ axes.T for k in counts])
    cov = np.stack([axes @ (step_noise * _powers(product, rest, k)) @ axes.T for k in counts])
    chain = SGD(lr).discrete(Problem(loss, noise, batch))
    return Twin(name, chain, about, decay, loss.center, cov, full(loss.H))


def linear_twins(models: Mapping[str, Dynamics], path: FloatArray, schedule: Schedule) -> list[Twin]:
    """Twins worth a trial: linearised about the mean of a path (T, d), and about the minimum next to its end.

    Those of the first model that has any; none where no model is plain SGD or its equation.
    """
    if not np.isfinite(path).all():
        return []
    points = {"the mean path": path.mean(axis=0)}
    for name, dynamics in models.items():
        sgd = _plain_sgd(dynamics)
        if sgd is None or not isinstance(dynamics, Model):
            continue
        minima = getattr(dynamics.problem.loss, "minima", ())
        if len(minima):
            near = np.asarray(minima)[np.square(np.asarray(minima) - path[-1]).sum(axis=1).argmin()]
            points["the minimum next to its end"] = near
        with np.errstate(all="ignore"):
            trials = [_twin(name, sgd, dynamics.problem, point, about, schedule) for about, point in points.items()]
        found = [twin for twin in trials if twin is not None and np.isfinite(twin.cov).all()]
        if found:
            # A linear problem has one twin, whatever it is linearised about.
            return list({twin.dynamics: twin for twin in reversed(found)}.values())
    return []


@dataclass(frozen=True)
class Linearised:
    """A linear equation with constant noise that is close to another one about a point; Euler's steps make it a chain.

    Attributes
    ----------
    dynamics : OrnsteinUhlenbeck
    rate, cov : ndarray, shape (d, d)
        Minus the slope of the drift, and the covariance of the noise per time.
    center : ndarray, shape (d,)
    """

    dynamics: OrnsteinUhlenbeck
    rate: FloatArray
    cov: FloatArray
    center: FloatArray

    def over(self, span: float, steps: int) -> Twin:
        """The twin after so many Euler steps."""
        h = span / steps
        # (decay, covariance) of n steps, by squaring; coarse steps of a stiff equation may overflow.
        decay, cov = np.eye(len(self.center)), np.zeros_like(self.cov)
        with np.errstate(over="ignore", invalid="ignore"):
            for bit in bin(steps)[2:]:
                decay, cov = decay @ decay, cov + decay @ cov @ decay.T
                if bit == "1":
                    one = np.eye(len(decay)) - h * self.rate
                    decay, cov = one @ decay, one @ cov @ one.T + h * self.cov
        return Twin("", self.dynamics, "", decay[None], self.center, cov[None], self.rate)


def linearised(dynamics: Dynamics, point: FloatArray, t: float) -> Linearised | None:
    """The linear equation on the same Wiener path about a point and a time; None where there is none.

    The slope of the drift is a difference quotient: how good it is decides how much the twin explains, and nothing
    else, because the moments are those of the twin as it is.
    """
    spec, d = dynamics._spec(), dynamics.dim
    if len(dynamics.state) > 1 or d > _MOST_DIMENSIONS or dynamics.noise_kind in ("none", "levy"):
        return None
    if _core.dynamics_n_wiener(spec) != d:
        return None
    step = 1e-5 * (1.0 + np.abs(point))
    points = np.concatenate([point + np.diag(step), point - np.diag(step)])
    drift = _core.drift(spec, np.ascontiguousarray(points), t)
    factor = _core.noise_factor(spec, np.ascontiguousarray(point[None]), t)[0]
    rate = -((drift[:d] - drift[d:]) / (2.0 * step[:, None])).T
    if not (np.isfinite(rate).all() and np.isfinite(factor).all() and factor.any()):
        return None
    cov = np.einsum("im,jm->ij", factor, factor)
    noise = dynamics.noise_kind
    diagonal = noise.startswith("diagonal") or noise == "additive_diagonal"
    given = np.diag(cov).copy() if diagonal else (cov + cov.T) / 2.0
    return Linearised(OrnsteinUhlenbeck(rate, point, given), rate, cov, point)
