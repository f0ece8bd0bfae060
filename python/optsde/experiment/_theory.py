"""What theory says beside an experiment's numbers, and a sentence where it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import optsde
from optsde import theory
from optsde._arrays import FloatArray


@dataclass(frozen=True)
class Law:
    """A predicted law of the parameters: its mean (d,), its covariance (d, d), and its density if it is not normal."""

    mean: FloatArray
    cov: FloatArray
    density: Any = None

    def pdf(self, coord: int) -> Callable[[Any], Any]:
        """The density of one coordinate."""
        if self.density is not None and len(self.mean) == 1:
            return self.density  # type: ignore[no-any-return]
        mean, var = self.mean[coord], self.cov[coord, coord]

        def normal(x: FloatArray) -> FloatArray:
            # Of paths that grew without bound squares overflow, where the density is 0.
            with np.errstate(over="ignore"):
                return np.asarray(np.exp(-((x - mean) ** 2) / (2.0 * var)) / np.sqrt(2.0 * np.pi * var))

        return normal


class Theory:
    """Asks for predictions.

    Attributes
    ----------
    notes : list of str
        Why there are none.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def ask(self, what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What a function of the theory says; None where it says nothing, with a note."""
        try:
            return function(*arguments, **options)
        except ImportError as error:
            self._note(f"no theory: {error}")
        except (ValueError, TypeError, ArithmeticError) as error:
            self._note(f"no {what}: {str(error).splitlines()[0]}")
        return None

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _linear(self, what: str, dynamics: optsde.Dynamics) -> Law | None:
        def law() -> Law:
            mean, cov = theory.stationary_mean(dynamics), theory.stationary_cov(dynamics)
            return Law(np.asarray(mean["theta"]), np.asarray(cov["theta", "theta"]))

        found: Law | None = self.ask(what, law)
        return found

    def _density(self, dynamics: optsde.Dynamics) -> Law | None:
        def law() -> Law:
            density = theory.stationary_density(dynamics)
            return Law(np.atleast_1d(density.mean), np.diag(np.atleast_1d(density.var)), density)

        found: Law | None = self.ask("exact law", law)
        return found

    def laws(self, dynamics: optsde.Dynamics, problem: optsde.Problem | None, optimizer: Any = None) -> dict[str, Law]:
        """Stationary laws by name: the exact one, and that of the problem's parabola with constant noise."""
        found = {}
        # Of linear dynamics the moments are exact; of others a density may be known. Both may have a reason why not.
        attempt = Theory()
        exact = attempt._linear("exact law", dynamics) or self._density(dynamics)
        if exact is not None:
            found["exact"] = exact
        if problem is not None:
            name = "Ornstein-Uhlenbeck"
            near = self.ask(f"{name} prediction", theory.linearized, problem)
            law = None if near is None else self._linear(f"{name} prediction", optimizer.sde(near))
            if law is not None:
                found[name] = law
        return found

    def escape(self, dynamics: Any, region: Any, place: FloatArray, start: Any, saddle: Any) -> dict[str, float]:
        """Mean first-passage times of Langevin dynamics by name."""
        said: dict[str, float] = {}
        loss, temperature = dynamics.loss, dynamics.temperature
        underdamped = isinstance(dynamics, optsde.UnderdampedLangevin)
        mobility = np.unique(getattr(dynamics, "mobility", 1.0))
        if len(mobility) > 1:
            self._note("no theory: mobility differs between coordinates")
            return said
        if saddle is not None:
            options = {"friction": dynamics.friction, "mass": dynamics.mass} if underdamped else {}
            time = self.ask("Kramers time", theory.kramers_time, loss, temperature, place, saddle, **options)
            if time is not None:
                said["Kramers"] = float(time / mobility[0])
        level = getattr(region, "level", None)
        if underdamped or dynamics.dim != 1 or level is None or np.ndim(start) > 1 or np.size(start) != 1:
            self._note("no exact time: it is known in one dimension, without inertia, from a point to a level")
        else:
            first = float(np.ravel(start)[0])
            time = self.ask("exact time", theory.mean_first_passage_time, loss, temperature, first, level)
            if time is not None:
                said["exact"] = float(time / mobility[0])
        return said
