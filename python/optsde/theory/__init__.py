"""Closed forms: stationary laws, moments, temperatures, escape times. Needs SciPy, the extra ``theory``."""

from optsde.theory.loss_slope import converged_loss_slope
from optsde.theory.stable import stable_scale
from optsde.theory.stationary import stationary_cov, stationary_mean
from optsde.theory.temperature import effective_temperature, gibbs_restoring_lr
from optsde.theory.times import iact, relaxation_times
from optsde.theory.transient import transient_moments

__all__ = [
    "converged_loss_slope",
    "effective_temperature",
    "gibbs_restoring_lr",
    "iact",
    "relaxation_times",
    "stable_scale",
    "stationary_cov",
    "stationary_mean",
    "transient_moments",
]
