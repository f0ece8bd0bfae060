"""Noise models: the covariance of one example's gradient, and its factor."""

from optsde.noise._base import Noise
from optsde.noise.callbacks import Compiled, Function, from_numba
from optsde.noise.gaussian import Gaussian, Zero
from optsde.noise.state_dependent import AffineDiagonal, LossScaled

__all__ = ["AffineDiagonal", "Compiled", "Function", "Gaussian", "LossScaled", "Noise", "Zero", "from_numba"]
