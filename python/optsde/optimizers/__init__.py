"""Optimizers: each one object for the algorithm, its equations, its flow and its SVAG."""

from optsde.optimizers._base import Optimizer
from optsde.optimizers.adam import Adam, AdamW
from optsde.optimizers.rmsprop import RMSprop
from optsde.optimizers.sam import SAM
from optsde.optimizers.sgd import SGD
from optsde.optimizers.signsgd import SignSGD

__all__ = ["SAM", "SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "SignSGD"]
