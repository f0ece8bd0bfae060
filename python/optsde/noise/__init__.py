"""Noise models: the covariance of one example's gradient, and its factor."""

from optsde.noise._base import Noise
from optsde.noise.callbacks import Compiled, Function, from_numba
from optsde.noise.gaussian import Gaussian, Zero
from optsde.noise.gaussian_inputs import GaussianInputs
from optsde.noise.heavy_tails import AlphaStable, StudentT
from optsde.noise.minibatch import LabelNoise, Minibatch
from optsde.noise.state_dependent import AffineDiagonal, LossScaled

__all__ = [
    "AffineDiagonal",
    "AlphaStable",
    "Compiled",
    "Function",
    "Gaussian",
    "GaussianInputs",
    "LabelNoise",
    "LossScaled",
    "Minibatch",
    "Noise",
    "StudentT",
    "Zero",
    "from_numba",
]
