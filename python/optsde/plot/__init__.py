"""Pictures of ensembles, comparisons and orders, each drawn on the axes that are passed (extra ``plot``).

matplotlib is imported when something is drawn. What is drawn may be an ensemble, the result of one of its observers,
or an array.
"""

from optsde.plot.corner import corner
from optsde.plot.densities import density, density2d
from optsde.plot.errors import order, weak_error, work_precision
from optsde.plot.overview import ensemble
from optsde.plot.times import autocorrelation, trajectories

__all__ = [
    "autocorrelation",
    "corner",
    "density",
    "density2d",
    "ensemble",
    "order",
    "trajectories",
    "weak_error",
    "work_precision",
]
