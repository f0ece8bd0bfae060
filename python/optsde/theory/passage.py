"""Exact mean first-passage times in one dimension."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from optsde._arrays import FloatArray, positive_number, real_number
from optsde.losses import Loss
from optsde.theory._line import CUMULATIVE, NODES, RELEVANT, WEIGHTS, Line, NoDensity

_WHAT = "mean_first_passage_time"


def mean_first_passage_time(
    loss: Loss, temperature: float | Callable[[FloatArray], ArrayLike], start: float, target: float
) -> float:
    """The exact mean time after which ``dX = -f'(X) dt + sqrt(2T) dW`` first reaches a target, in one dimension.

    ``∫ dy exp(f(y)/T) ∫ dz exp(-f(z)/T)/T``, y from start to target and z from the far side of the start to y.

    Parameters
    ----------
    loss : losses.Loss
        f, of one parameter.
    temperature : float or callable
        T > 0; that of SGD is ``η s²/2``. A function T(x), (n,) to (n,), is noise that depends on the state (Itô).
    start, target : float

    Returns
    -------
    float
        In units of time; infinite where it overflows.

    Raises
    ------
    ValueError
        Where the loss has more than one parameter, or paths can escape on the other side, so that the mean is infinite.

    Examples
    --------
    >>> import optsde
    >>> loss = optsde.losses.Quartic(1.0, -1.0)
    >>> time = optsde.theory.mean_first_passage_time(loss, 0.1, start=-1.0, target=0.0)
    >>> round(time, 6)
    30.821302

    Source: Pontryagin, Andronov, Vitt (1933); Gardiner: Stochastic Methods (2009), section 5.5.
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss: expected a loss from optsde.losses, got {type(loss).__name__}")
    if loss.dim != 1:
        raise ValueError(
            f"loss: expected one parameter, got {loss.dim}; in more dimensions theory.kramers_time is asymptotic"
        )
    first, last = real_number("start", start), real_number("target", target)
    if first == last:
        return 0.0
    sign = 1.0 if last > first else -1.0

    low, high = sign * first, sign * last
    local = temperature if callable(temperature) else _constant(positive_number("temperature", temperature))

    # Upwards: of a target below, all is mirrored. What lies beyond the target does not matter; there a parabola stands
    # in, so that there is a weight whatever the loss does.
    def diffusion(x: FloatArray) -> FloatArray:
        within = np.minimum(x, high)
        return np.broadcast_to(np.asarray(local(sign * within), dtype=np.float64), x.shape)

    def drift(x: FloatArray) -> FloatArray:
        slope = sign * loss.grad((sign * np.minimum(x, high))[:, None])[:, 0]
        return np.where(x <= high, -slope, diffusion(x) * (high - x) / (high - low) ** 2)

    try:
        line = Line(drift, diffusion, _WHAT, cover=(low, high), steep=True)
    except NoDensity as error:
        raise ValueError(f"{error}: paths escape on the other side, and the mean is infinite") from None
    return _time(line, low, high)


def _constant(temperature: float) -> Callable[[FloatArray], ArrayLike]:
    return lambda x: np.full(x.shape, temperature)


def _time(line: Line, first: float, last: float) -> float:
    """``∫ J dy`` with ``J = exp(ψ(y)) ∫ exp(-ψ(z))/D dz`` up to y, from panel to panel: no factor is ever large."""
    begin, end = (int(np.argmin(np.abs(line.edges - u))) for u in line.chart.inverse(np.array([first, last])))
    half, psi, edge = line.half[:end], line.potential[:end], line.edge_potential
    with np.errstate(over="ignore", invalid="ignore"):
        weight = np.exp(line.log_weight[:end] + edge[:end, None]) * half
        inner = weight @ CUMULATIVE.T
        rise = np.exp(psi - edge[:end, None])
        growth, share = np.exp(edge[1 : end + 1] - edge[:end]), weight @ WEIGHTS
        stretch = np.exp(line.chart.stretch(line.edges[:end, None] + half * (1.0 + NODES))) * half
        # Below, there is no weight.
        peaks = line.log_weight[:end].max(axis=1)
        total, j = 0.0, 0.0
        for k in range(int(np.argmax(peaks > peaks.max() - RELEVANT)), end):
            if k >= begin:
                total += float((stretch[k] * rise[k] * (j + inner[k])) @ WEIGHTS)
            j = float(growth[k] * (j + share[k]))
    return total
