"""Kramers' asymptotic time of escape over a barrier."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, positive_number, real_array
from optsde.losses import Loss

# A point of rest: the gradient moves it by less than this share of the width of the law about it.
_AT_REST = 1e-3


def kramers_time(
    loss: Loss,
    temperature: float,
    minimum: ArrayLike,
    saddle: ArrayLike,
    *,
    friction: float | None = None,
    mass: float = 1.0,
) -> float:
    """The mean time of escape from a minimum over a saddle, asymptotic for barriers of many temperatures.

    ``1/k`` with ``k = (λ/2π) sqrt(det H(a)/|det H(b)|) exp(-Δ/T)``, where λ is the rate of growth at the saddle:
    that of its one negative curvature for ``dX = -∇f dt + sqrt(2T) dW``; with friction γ the positive root of
    ``m λ² + γ λ = |l_-|`` (moderate and high friction). It counts escapes in one direction: from the bottom of one
    well to that of a symmetric other, it is the mean first-passage time.

    Parameters
    ----------
    loss : losses.Loss
    temperature : float
        T > 0; that of SGD is ``η s²/2``.
    minimum, saddle : float or (d,) array_like
        a and b, the points themselves.
    friction : float, optional
        γ, for ``UnderdampedLangevin(loss, temperature, friction, mass)``; without it ``Langevin(loss, temperature)``.
    mass : float
        m, used with friction.

    Returns
    -------
    float
        Infinite where it overflows.

    Raises
    ------
    ValueError
        Where one of the points is not at rest, ``minimum`` is no minimum, ``saddle`` has not just one negative
        curvature, or lies lower.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Quartic(1.0, -1.0)
    >>> round(optsde.theory.kramers_time(loss, 0.1, minimum=-1.0, saddle=0.0), 6)
    54.125395

    Source: Kramers (Physica 7, 1940); Langer (Annals of Physics 54, 1969); Hänggi, Talkner, Borkovec (Reviews of Modern
    Physics 62, 1990), sections IV and V.
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss: expected a loss from optsde.losses, got {type(loss).__name__}")
    t = positive_number("temperature", temperature)
    low, high = (_point(name, x, loss) for name, x in (("minimum", minimum), ("saddle", saddle)))
    well, pass_ = (_curvatures(name, x, loss, t) for name, x in (("minimum", low), ("saddle", high)))
    if well[0] <= 0.0:
        raise ValueError(f"minimum: expected positive curvatures, got {float(well[0]):.6g}; it is no minimum")
    if not (pass_[0] < 0.0 and (pass_[1:] > 0.0).all()):
        raise ValueError(
            f"saddle: expected one negative curvature and positive others, got {pass_.round(6).tolist()[:6]}"
        )
    barrier = float(loss.value(high) - loss.value(low))
    if barrier <= 0.0:
        raise ValueError(f"saddle: expected a loss above the minimum's, got {barrier:.6g} more")
    steep = abs(float(pass_[0]))
    if friction is None:
        growth = steep
    else:
        gamma, m = positive_number("friction", friction), positive_number("mass", mass)
        # The root without cancellation at high friction.
        growth = 2.0 * steep / (gamma + math.sqrt(gamma * gamma + 4.0 * m * steep))
    log_ratio = float(np.log(well).sum() - np.log(np.abs(pass_)).sum())
    exponent = math.log(2.0 * math.pi / growth) - log_ratio / 2.0 + barrier / t
    return math.exp(exponent) if exponent < 709.0 else math.inf


def _point(name: str, x: ArrayLike, loss: Loss) -> FloatArray:
    point = np.atleast_1d(real_array(name, x))
    if point.shape != (loss.dim,):
        raise ValueError(f"{name}: expected shape ({loss.dim},), got {point.shape}")
    return point


def _curvatures(name: str, x: FloatArray, loss: Loss, temperature: float) -> FloatArray:
    """Eigenvalues of the Hessian at a point of rest, ascending."""
    values = np.asarray(np.linalg.eigvalsh(loss.hessian(x)))
    slope = float(np.linalg.norm(loss.grad(x)))
    if slope > _AT_REST * math.sqrt(float(np.abs(values).max()) * temperature):
        raise ValueError(f"{name}: expected a point where the gradient is 0, got one of norm {slope:.3g}")
    return values
