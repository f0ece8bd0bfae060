"""Closed forms: stationary laws, moments, temperatures, escape times. Needs SciPy, the extra ``theory``."""

from optsde.theory.density import Density, ProductDensity
from optsde.theory.escape import kramers_time
from optsde.theory.gibbs import gibbs_density, stationary_density
from optsde.theory.linearized import linearized
from optsde.theory.loss_slope import converged_loss_slope
from optsde.theory.passage import mean_first_passage_time
from optsde.theory.stable import stable_scale
from optsde.theory.stationary import stationary_cov, stationary_mean
from optsde.theory.temperature import effective_temperature, gibbs_restoring_lr
from optsde.theory.times import iact, relaxation_times
from optsde.theory.transient import transient_moments

__all__ = [
    "Density",
    "ProductDensity",
    "converged_loss_slope",
    "effective_temperature",
    "gibbs_density",
    "gibbs_restoring_lr",
    "iact",
    "kramers_time",
    "linearized",
    "mean_first_passage_time",
    "relaxation_times",
    "stable_scale",
    "stationary_cov",
    "stationary_density",
    "stationary_mean",
    "transient_moments",
]
