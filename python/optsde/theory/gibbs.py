"""Stationary densities: Gibbs's, and those of noise that depends on the state."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, as_vector, as_vector_or_matrix, scalar_vector
from optsde.dynamics import Dynamics
from optsde.losses import Loss, Quadratic
from optsde.optimizers._base import Model
from optsde.theory._affine import affine_of, check_constant
from optsde.theory._along import DriftAlong, GibbsDrift, NoiseAlong, NormalDrift, half_squares
from optsde.theory._line import Line
from optsde.theory._lyapunov import stationary_covariance
from optsde.theory.density import Density, ProductDensity
from optsde.theory.temperature import gibbs_temperatures

_WHAT = "stationary_density"
_SAME = 1e-9


def gibbs_density(loss: Loss, temperature: ArrayLike) -> Density | ProductDensity:
    """The density ``exp(-f/T)/Z``, normalised, of a loss of one parameter or one that is a sum over coordinates.

    Parameters
    ----------
    loss : losses.Loss
        f, of one parameter, or a sum of functions of one coordinate (checked at three points), or ``Quadratic``.
    temperature : float or (d,) array_like
        T > 0; one for each coordinate gives ``exp(-Σ f_i/T_i)/Z``.

    Returns
    -------
    Density or ProductDensity
        Callable: with ``pdf``, ``logpdf``, ``mean``, ``var``, ``normalizer`` and, of one variable, ``cdf``,
        ``moment`` and ``expect``.

    Raises
    ------
    ValueError
        Where the loss is neither, or ``exp(-f/T)`` cannot be normalised.

    Examples
    --------
    >>> import optsde
    >>> law = optsde.theory.gibbs_density(optsde.losses.Quartic(1.0, -1.0), 0.1)
    >>> round(law.moment(2), 10), round(law.moment(4), 10)
    (0.871362908, 0.971362908)

    Source: Gibbs: Elementary Principles in Statistical Mechanics (1902).
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss: expected a loss from optsde.losses, got {type(loss).__name__}")
    given = scalar_vector("temperature", temperature)
    if given.min() <= 0.0:
        raise ValueError(f"temperature: expected positive numbers, got {float(given.min()):g}")
    if given.ndim and given.shape != (loss.dim,):
        raise ValueError(f"temperature: expected a number or shape ({loss.dim},), got {given.shape}")
    return _gibbs(loss, as_vector(given, loss.dim), "gibbs_density")


def _gibbs(loss: Loss, temperatures: FloatArray, what: str) -> Density | ProductDensity:
    d = loss.dim
    axes = np.eye(d)
    title = f"exp(-f/T), f: {type(loss).__name__}, T = {_shown(temperatures)}"
    if isinstance(loss, Quadratic) and d > 1:
        hessian = as_vector_or_matrix(loss.H, d)
        if hessian.ndim == 2 and np.ptp(temperatures) == 0.0:
            axes = np.linalg.eigh(hessian)[1].T
    origin = _somewhere(loss)

    def slope(points: FloatArray) -> FloatArray:
        return loss.grad(points @ axes) @ axes.T

    if d > 1:
        _check_product(slope, axes @ origin, what, f"the loss {type(loss).__name__}")
    parts, known = [], _has_value(loss)
    for k in range(d):
        drift = GibbsDrift(axes @ origin, k, loss, axes, float(temperatures[k]))
        line = Line(drift, np.ones_like, what)
        offset = 0.0
        if known:
            # Z is of exp(-f/T) with the loss's own zero; the share of the origin is counted once.
            base = float(loss.value(origin)) * (1.0 - 1.0 / d)
            offset = (drift.value(line.chart.middle) - base) / float(temperatures[k])
        parts.append(Density(line, title, offset))
    return parts[0] if d == 1 else ProductDensity(parts, axes, title)


def _shown(numbers: FloatArray) -> str:
    return f"{float(numbers[0]):g}" if np.ptp(numbers) == 0.0 else str(numbers.tolist())


def _has_value(loss: Loss) -> bool:
    try:
        loss._require("value", "the normaliser")
    except ValueError:
        return False
    return True


def _somewhere(loss: Loss | None, d: int = 0) -> FloatArray:
    """A point at which to hold the other coordinates."""
    try:
        minima: Any = getattr(loss, "minima", ())
    except ValueError:  # too many to list
        minima = ()
    if len(minima) > 0:
        return np.array(minima[0], dtype=np.float64)
    return np.zeros(d if loss is None else loss.dim)


def _check_product(function: Any, origin: FloatArray, what: str, of: str) -> None:
    """Raises ValueError where entry i of a function (n, d) -> (n, d) depends on coordinates other than i."""
    d = len(origin)
    trials = origin + np.random.default_rng(20260102).standard_normal((3, d))
    whole = function(trials)
    for k in range(d):
        alone = np.tile(origin, (3, 1))
        alone[:, k] = trials[:, k]
        if (np.abs(function(alone)[:, k] - whole[:, k]) > _SAME * np.abs(whole).max()).any():
            raise ValueError(
                f"{what}: densities are known of one parameter, and of sums over coordinates; {of} is no such sum: "
                f"entry {k} depends on other coordinates"
            )


def stationary_density(dynamics: Dynamics) -> Density | ProductDensity:
    """The normalised stationary density of θ.

    Parameters
    ----------
    dynamics : Dynamics
        One of:

        - an equation of one variable, whatever its drift and noise (Itô):
          ``p ∝ (1/D) exp(∫ a/D)`` for ``dX = a dt + sqrt(2 D) dW``, on the interval where D is positive;
        - an equation whose coordinates do not act on each other: the product;
        - ``Langevin``, ``UnderdampedLangevin`` and equations of SGD of order 1, also with momentum, with a Gibbs law
          on a loss of one parameter or a sum over coordinates;
        - a linear dynamics with constant noise, of which the noise is Gaussian: its normal law.

    Returns
    -------
    Density or ProductDensity
        As of :func:`gibbs_density`.

    Raises
    ------
    ValueError
        For other dynamics, and where there is no normalisable density.

    Examples
    --------
    >>> import optsde
    >>> problem = optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.AffineDiagonal(0.25, 1.0))
    >>> law = optsde.theory.stationary_density(optsde.SGD(0.1).sde(problem))
    >>> round(law.var, 10), round(law.moment(4), 10), law.moment(22)
    (0.0131578947, 0.0005804954, inf)

    Source: Risken: The Fokker-Planck Equation (1989), section 5.2; Student's t of SGD: Meng et al. (2020).
    """
    if not isinstance(dynamics, Dynamics):
        raise TypeError(f"dynamics: expected a dynamics, got {type(dynamics).__name__}")
    if isinstance(dynamics, Model):
        check_constant(dynamics, _WHAT)
    if dynamics.noise_kind == "levy":
        raise ValueError(f"{_WHAT}: of α-stable noise the density is not known; theory.stable_scale has the scale")
    if dynamics.noise_kind == "none":
        raise ValueError(f"{_WHAT}: without noise there is no density")
    normal = _normal(dynamics)
    if normal is not None:
        return normal
    if dynamics._discrete:
        raise ValueError(
            f"{_WHAT}: of an algorithm the density is known where it is linear with constant Gaussian noise; the "
            f"equation's may be: SGD.sde(problem); got {dynamics!r}"
        )
    temperatures = gibbs_temperatures(dynamics)
    if temperatures is not None and temperatures.min() <= 0.0:
        raise ValueError(f"{_WHAT}: without noise in every direction there is no density")
    loss = dynamics._loss or getattr(dynamics, "loss", None)
    if loss is not None and temperatures is not None and ("v" in dynamics.state or np.ptp(temperatures) == 0.0):
        if "v" in dynamics.state and np.ptp(temperatures) > 1e-12 * temperatures.max():
            _check_product(loss.grad, _somewhere(loss), _WHAT, f"the loss {type(loss).__name__}")
        return _gibbs(loss, temperatures, _WHAT)
    if len(dynamics.state) > 1:
        raise ValueError(
            f"{_WHAT}: with further variables ({', '.join(list(dynamics.state)[1:])}) the density is known for "
            f"equations of order 1 with constant independent noise; got {dynamics!r}"
        )
    return _by_coordinates(dynamics, loss)


def _normal(dynamics: Dynamics) -> Density | ProductDensity | None:
    """The normal law of a linear dynamics with Gaussian constant noise; None for others."""
    if isinstance(dynamics, Model) and dynamics._discrete and dynamics.problem.noise._law != "Gaussian":
        return None
    if not dynamics.noise_kind.startswith("additive"):
        return None
    try:
        affine = affine_of(dynamics, _WHAT)
    except ValueError:
        return None
    affine.check_stable(_WHAT)
    d = affine.dim
    mean, cov = (affine.origin + affine.rest())[:d], stationary_covariance(affine, _WHAT)[:d, :d]
    diagonal = not (np.abs(cov - np.diag(np.diag(cov))) > 1e-14 * np.abs(cov).max()).any()
    variances, axes = (np.diag(cov), np.eye(d)) if diagonal else np.linalg.eigh(cov)
    if variances.min() <= 1e-14 * variances.max():
        raise ValueError(f"{_WHAT}: the stationary covariance is singular: there is no density")
    title = f"a normal law, of {type(dynamics).__name__ if not isinstance(dynamics, Model) else 'SGD'}"
    middle = axes.T @ mean
    laws = [NormalDrift(float(m), float(variance)) for m, variance in zip(middle, variances, strict=True)]
    parts = [Density(Line(law, np.ones_like, _WHAT), title) for law in laws]
    return parts[0] if d == 1 else ProductDensity(parts, axes.T, title)


def _by_coordinates(dynamics: Dynamics, loss: Loss | None) -> Density | ProductDensity:
    """From drift and noise of each coordinate."""
    d, origin = dynamics.dim, _somewhere(loss, dynamics.dim)
    trials = origin + np.random.default_rng(20260103).standard_normal((3, d))
    for part in (dynamics.drift_at, dynamics.diffusion_at):
        if not np.array_equal(part(trials, 0.25), part(trials, 3.75), equal_nan=True):
            raise ValueError(f"{_WHAT}: the equation depends on time, and has no stationary density: {dynamics!r}")

    title = repr(dynamics).strip("<>").split(";")[0]
    if d > 1:
        factor = dynamics.diffusion_at(trials)
        mixed = factor @ np.swapaxes(factor, 1, 2)
        if (np.abs(mixed - np.einsum("nii,ij->nij", mixed, np.eye(d))) > 0.0).any():
            raise ValueError(
                f"{_WHAT}: densities are known of one parameter, and where coordinates do not act on each other; the "
                "noise of these is correlated"
            )
        _check_product(dynamics.drift_at, origin, _WHAT, "the drift")
        _check_product(partial(half_squares, dynamics), origin, _WHAT, "the noise")
    lines = [Line(DriftAlong(origin, k, dynamics), NoiseAlong(origin, k, dynamics), _WHAT) for k in range(d)]
    parts = [Density(line, title) for line in lines]
    return parts[0] if d == 1 else ProductDensity(parts, np.eye(d), title)
