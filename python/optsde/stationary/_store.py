"""Draws of the whole run, evenly spaced in time, thinned by two whenever they become too many."""

from __future__ import annotations

import numpy as np

from optsde._arrays import FloatArray

_BYTES = 32 << 20
_MOST = 1024
_LEAST = 64


class Store:
    """At most so many draws (K, n, D); ``spacing`` steps lie between them."""

    def __init__(self, n_paths: int, size: int) -> None:
        self._most = int(np.clip(_BYTES // (8 * n_paths * size), _LEAST, _MOST))
        self._parts: list[FloatArray] = [np.empty((0, n_paths, size))]
        self._count = self._position = 0
        self.spacing = 1

    def add(self, x: FloatArray, stride: int) -> None:
        """Draws (k, n, D) that follow each other and the last ones by ``stride`` steps."""
        while self.spacing < stride or self._count + len(x) * stride // self.spacing > 2 * self._most:
            self._thin()
        at = self._position + stride * np.arange(1, len(x) + 1)
        part = x[at % self.spacing == 0]
        self._position += stride * len(x)
        self._parts.append(np.array(part))
        self._count += len(part)

    def _thin(self) -> None:
        """Every second one: those at multiples of twice the spacing."""
        self._parts = [self.draws[1::2].copy()]
        self._count = len(self._parts[0])
        self.spacing *= 2

    @property
    def draws(self) -> FloatArray:
        """All of them, (K, n, D)."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]
