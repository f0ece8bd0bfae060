"""Sums over paths that do not depend on how the paths were cut into pieces, and the estimates made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optsde._arrays import FloatArray

# Paths are summed in groups of so many, and the groups in their order, whatever the pieces they came in.
GROUP = 512
# Residual sums of squares are differences of sums: below this part of the whole they are rounding.
_ROUNDING = 1e-13
# Controls that others explain to this part of their variance count as none.
_DEPENDENT = 1e-10


@dataclass
class Sums:
    """Count, mean and central sums of columns (Q, F, T) and of control variates (c, T), merged group after group.

    Control variates have expectation 0. ``yy (Q, F, T)``, ``yc (Q, F, c, T)``, ``cc (c, c, T)`` are sums of products
    of deviations from the means.
    """

    n: int
    y: FloatArray
    c: FloatArray
    yy: FloatArray
    yc: FloatArray
    cc: FloatArray

    @classmethod
    def empty(cls, columns: int, functions: int, times: int, controls: int) -> Sums:
        """Of no path yet."""
        shape = (columns, functions, times)
        return cls(
            n=0,
            y=np.zeros(shape),
            c=np.zeros((controls, times)),
            yy=np.zeros(shape),
            yc=np.zeros((columns, functions, controls, times)),
            cc=np.zeros((controls, controls, times)),
        )

    def add(self, y: FloatArray, c: FloatArray, keep: NDArray[np.bool_]) -> None:
        """Adds paths: y (Q, F, T, n), c (c, T, n), of which those with ``keep`` count.

        All pieces but the last have a whole number of groups.
        """
        for first in range(0, len(keep), GROUP):
            part = slice(first, first + GROUP)
            kept = np.flatnonzero(keep[part])
            if len(kept) == min(GROUP, len(keep) - first):
                self._add_group(y[..., part], c[..., part])
            elif len(kept):
                self._add_group(y[..., part][..., kept], c[..., part][..., kept])

    def _add_group(self, y: FloatArray, c: FloatArray) -> None:
        n = y.shape[-1]
        # Deviations from the first path: values that are all equal have variance 0, not rounding.
        origin = y[..., 0]
        y = y - origin[..., None]
        shift, mean_c = y.mean(axis=-1), c.mean(axis=-1)
        y -= shift[..., None]
        dy, dc = origin + shift - self.y, mean_c - self.c
        total = self.n + n
        weight, share = self.n * n / total, n / total
        self.yy += np.einsum("qftn,qftn->qft", y, y) + weight * dy * dy
        if len(c):
            c = c - mean_c[..., None]
            self.yc += np.einsum("qftn,ctn->qfct", y, c) + weight * dy[:, :, None] * dc
            self.cc += np.einsum("ctn,etn->cet", c, c) + weight * dc[:, None] * dc[None]
        self.y += share * dy
        self.c += share * dc
        self.n = total

    def plain(self) -> tuple[FloatArray, FloatArray]:
        """Means and their standard errors, (Q, F, T) each."""
        if self.n == 0:
            return np.full(self.y.shape, np.nan), np.full(self.y.shape, np.nan)
        if self.n == 1:
            return self.y.copy(), np.full(self.y.shape, np.nan)
        return self.y.copy(), np.sqrt(self.yy / (self.n - 1) / self.n)

    def regressed(self) -> tuple[FloatArray, FloatArray]:
        """The same with the part that the control variates explain taken out.

        The value of a least-squares fit at the controls' known expectation, and the standard error of that value.
        """
        mean, stderr = self.plain()
        controls = len(self.c)
        if controls == 0 or self.n <= 10 * controls:
            return mean, stderr
        for k in range(self.y.shape[-1]):
            inverse, rank = _inverse(self.cc[..., k])
            slopes = np.einsum("qfc,ce->qfe", self.yc[..., k], inverse)
            distance = float(np.einsum("c,ce,e->", self.c[:, k], inverse, self.c[:, k]))
            whole = self.yy[..., k]
            rest = np.maximum(whole - np.einsum("qfc,qfc->qf", slopes, self.yc[..., k]), _ROUNDING * whole)
            mean[..., k] -= np.einsum("qfc,c->qf", slopes, self.c[:, k])
            stderr[..., k] = np.sqrt(rest / (self.n - 1 - rank) * (1.0 / self.n + distance))
        return mean, stderr


def _inverse(cc: FloatArray) -> tuple[FloatArray, int]:
    """Pseudo-inverse of a matrix of sums of products, judged in units of each control's own size; and its rank."""
    size = np.sqrt(np.diag(cc))
    used = size > 0.0
    if not used.any():
        return np.zeros_like(cc), 0
    scale = np.where(used, 1.0 / np.where(used, size, 1.0), 0.0)
    eigenvalues, vectors = np.linalg.eigh(cc * scale[:, None] * scale)
    good = eigenvalues > _DEPENDENT * eigenvalues[-1]
    half = vectors[:, good] / np.sqrt(eigenvalues[good])
    return (half @ half.T) * scale[:, None] * scale, int(good.sum())
