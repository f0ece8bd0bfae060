"""Chains that go on: paths run piece by piece, and beside them the same with half the step on the same Wiener path."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from optsde._arrays import FloatArray
from optsde._coupled import Meter, derived
from optsde._keys import Key
from optsde.ensemble import Ensemble
from optsde.errors import DivergenceWarning
from optsde.observers import Paths
from optsde.simulate import simulate
from optsde.stationary._scheme import Scheme, begin
from optsde.stationary._starts import Rows

_TINY = 1e-300


class Diverged(Exception):
    """Some paths became non-finite."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.ensemble = ensemble


class Chains:
    """The state of all paths at a step, with and (where the step has an error) beside it with half the step."""

    def __init__(self, scheme: Scheme, rows: Rows, key: Key, threads: int | None, meter: Meter) -> None:
        self.scheme, self.threads, self.meter = scheme, threads, meter
        self._key, self._level = key, 0
        self.step = begin(scheme.dynamics, scheme.dt)
        self.began = self.step * scheme.dt
        self.rows, self.fine = rows, None if scheme.exact else dict(rows)
        self.last: Ensemble | None = None
        self.work = 0

    @property
    def key(self) -> Key:
        """Of the noise; another one for each step size."""
        return self._key if self._level == 0 else derived(self._key, 1, self._level)

    @property
    def n_paths(self) -> int:
        """Number of paths."""
        return len(self.rows["theta"])

    @property
    def time(self) -> float:
        """Time since the beginning."""
        return self.step * self.scheme.dt - self.began

    @property
    def cost(self) -> int:
        """Path-steps of one step of all paths, those of half the step included."""
        return self.n_paths * (1 if self.fine is None else 3)

    def refine(self, halvings: int) -> None:
        """From now on with a smaller step, from where the finer paths are."""
        assert self.fine is not None
        self.scheme = self.scheme.finer(halvings)
        self.step <<= halvings
        self._level += halvings
        self.rows, self.fine = dict(self.fine), dict(self.fine)

    def run(self, count: int, stride: int) -> tuple[FloatArray, FloatArray | None]:
        """``count`` draws (count, n, D), one every ``stride`` steps, and those of half the step."""
        steps = count * stride
        coarse, self.rows = self._advance(self.scheme, self.rows, self.step, steps, count)
        fine = None
        if self.fine is not None:
            last = self.last
            fine, self.fine = self._advance(self.scheme.finer(1), self.fine, 2 * self.step, 2 * steps, count)
            self.last = last
        self.step += steps
        return coarse, fine

    def _advance(self, scheme: Scheme, rows: Rows, first: int, steps: int, count: int) -> tuple[FloatArray, Rows]:
        dynamics = scheme.dynamics
        start: Any = rows if len(rows) > 1 else rows["theta"]
        options: dict[str, Any] = scheme.span(first, steps)
        if self.fine is not None:
            options["wiener_dt"] = self.scheme.dt / 2.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            # The error of a method of low order is measured here.
            warnings.simplefilter("ignore", UserWarning)
            ensemble = simulate(
                dynamics,
                start,
                rng=self.key,
                threads=self.threads,
                observe=Paths(at=count + 1),
                progress=self.meter.report if self.meter.active else False,
                **options,
            )
        self.meter.advance(self.n_paths * steps)
        self.work += self.n_paths * steps
        self.last = ensemble
        if ensemble.n_diverged:
            raise Diverged(ensemble)
        parts = {
            name: np.asarray(ensemble.paths if name == "theta" else ensemble.state[name].paths)[1:]
            for name in dynamics.state
        }
        final = {name: np.array(values[-1]) for name, values in parts.items()}
        if dynamics._second_moment and "v" in final:
            # A scheme may leave a mean of squares below its floor, where no run can start.
            final["v"] = np.maximum(final["v"], _TINY)
        draws = parts["theta"] if len(parts) == 1 else np.concatenate(list(parts.values()), axis=2)
        return draws, final
