"""Means over blocks of time and groups of paths: what is left of all draws, in a memory that does not grow."""

from __future__ import annotations

import math

import numpy as np

from optsde._arrays import FloatArray

# Blocks must come in thirds, for the test of drift; and so many values at least give a standard error.
_THIRDS = 3
ENOUGH = 64
_BYTES = 16 << 20


def block_count(n_paths: int) -> int:
    """Blocks of time, more where paths are few."""
    return _THIRDS * max(1, math.ceil(ENOUGH / (_THIRDS * n_paths)) if n_paths < ENOUGH else 1)


def group_count(n_paths: int, dim: int) -> int:
    """Groups of paths, all of one size and an even number of them: as many as memory is meant for."""
    most = max(ENOUGH, _BYTES // (8 * dim * dim * block_count(n_paths)))
    if n_paths <= most:
        return n_paths
    sizes = [g for g in range(ENOUGH // 2, most + 1, 2) if n_paths % g == 0]
    return sizes[-1] if sizes else n_paths


class Blocks:
    """Means (blocks, groups, D) of ``x - shift`` and of its products within each variable.

    Attributes
    ----------
    steps : int
        Integrator steps of a block.
    """

    def __init__(self, shift: FloatArray, dim: int, n_paths: int, steps: int) -> None:
        self.shift, self.dim, self.steps = shift, dim, steps
        self.n_blocks, self.groups = block_count(n_paths), group_count(n_paths, dim)
        size = len(shift)
        self.first = np.zeros((self.n_blocks, self.groups, size))
        self.second = np.zeros((self.n_blocks, self.groups, size // dim, dim, dim))

    def add(self, block: int, x: FloatArray, share: float) -> None:
        """Draws x (K, n, D) that are this share of those of a block."""
        y = (x - self.shift).reshape(len(x), -1, self.groups, x.shape[2])
        weight = share / (y.shape[0] * y.shape[1])
        self.first[block] += weight * y.sum(axis=(0, 1))
        for v in range(self.second.shape[2]):
            z = y[..., v * self.dim : (v + 1) * self.dim]
            self.second[block, :, v] += weight * np.einsum("kpgi,kpgj->gij", z, z)

    def joined(self, later: Blocks) -> Blocks:
        """Both, one after the other, in blocks of twice the length."""
        both = Blocks.__new__(Blocks)
        both.shift, both.dim, both.steps = self.shift, self.dim, 2 * self.steps
        both.n_blocks, both.groups = self.n_blocks, self.groups
        for name in ("first", "second"):
            all_blocks = np.concatenate([getattr(self, name), getattr(later, name)])
            setattr(both, name, (all_blocks[::2] + all_blocks[1::2]) / 2.0)
        return both

    @property
    def total(self) -> int:
        """Steps of all blocks."""
        return self.n_blocks * self.steps

    @property
    def mean(self) -> FloatArray:
        """(D,)."""
        return np.asarray(self.shift + self.first.mean(axis=(0, 1)))

    def deviations(self) -> tuple[FloatArray, FloatArray]:
        """Mean deviations (blocks, groups, D) from the overall mean, and mean products (blocks, groups, V, d, d)."""
        mean = self.first.mean(axis=(0, 1))
        shape = (self.second.shape[2], self.dim)
        d, m = self.first.reshape(*self.first.shape[:2], *shape), mean.reshape(shape)
        cross = np.einsum("bgvi,vj->bgvij", d, m)
        products = self.second - cross - np.swapaxes(cross, -1, -2) + np.einsum("vi,vj->vij", m, m)
        return self.first - mean, products


def independent(values: FloatArray) -> FloatArray:
    """Values (blocks, groups, ...) as independent ones (k, ...): of groups, if there are enough, else of each block."""
    if values.shape[1] >= ENOUGH // 2:
        return np.asarray(values.mean(axis=0))
    return values.reshape(-1, *values.shape[2:])


def stderr(values: FloatArray) -> FloatArray:
    """Standard error of the mean of independent values (k, ...)."""
    return np.asarray(values.std(axis=0, ddof=1) / math.sqrt(len(values)))
