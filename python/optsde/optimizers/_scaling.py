"""Scaling along the theory: rules for larger batches, and noise that grows as the learning rate falls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optsde.noise import AffineDiagonal, Gaussian, LossScaled, Noise, Zero
from optsde.problem import Problem


def checked_rule(rule: Any, choices: Sequence[str]) -> str:
    """The scaling rule, the first of the choices by default."""
    if rule is None:
        return choices[0]
    if rule not in choices:
        raise ValueError(f"rule: expected one of {', '.join(map(repr, choices))}, got {rule!r}")
    return str(rule)


def scaled_beta(name: str, beta: float, kappa: float) -> float:
    """``1 - κ (1 - β)``, which must stay positive, beyond what rounding makes of 0."""
    scaled = 1.0 - kappa * (1.0 - beta)
    if scaled <= 1e-12:
        raise ValueError(f"batch_factor: κ (1 - {name}) must stay below 1, got {kappa:g} · {1.0 - beta:g}")
    return scaled


def noise_times(problem: Problem, factor: float) -> Problem:
    """The problem with ``factor`` times the covariance of a step's gradient noise."""
    noise: Noise = problem.noise
    batch = noise._batch_of_noise(problem.batch_size, factor, problem.loss)
    if math.isclose(batch, round(batch), rel_tol=1e-12) and round(batch) >= 1:
        return Problem(problem.loss, noise, round(batch))
    if isinstance(noise, Zero):
        return problem
    if isinstance(noise, (Gaussian, LossScaled)):
        return Problem(problem.loss, noise._with(cov=noise.cov * factor), problem.batch_size)
    if isinstance(noise, AffineDiagonal):
        scaled = noise._with(base=noise.base * factor, slope=noise.slope * factor)
        return Problem(problem.loss, scaled, problem.batch_size)
    raise ValueError(
        f"eta: in this regime the noise of a step grows by {factor:g}; the covariance of noise.{type(noise).__name__} "
        f"cannot be multiplied, and a batch size of {batch:g} is not a whole number"
    )
