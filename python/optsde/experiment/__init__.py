"""Experiments from a file: ``optsde run experiment.toml``."""

from optsde.experiment._reader import ExperimentError
from optsde.experiment.run import run_experiment

__all__ = ["ExperimentError", "run_experiment"]
