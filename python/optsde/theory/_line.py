"""A diffusion on a line, resolved by panels: its potential, its stationary weight, and their integrals.

For ``dX = a(X) dt + sqrt(2 D(X)) dW`` (Itô) the potential is ``ψ(x) = -∫ a/D`` and the stationary density is
proportional to ``exp(-ψ)/D``. The line is mapped to u, where tails are exponential, and cut into panels over which ψ
changes little; in each, functions are Legendre series through Gauss's nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from optsde._arrays import FloatArray
from optsde.theory._scipy import scipy_module

Function = Callable[[FloatArray], FloatArray]

_ORDER = 16
NODES, WEIGHTS = legendre.leggauss(_ORDER)
_VALUES = legendre.legvander(NODES, _ORDER)
# Legendre coefficients of a function from its values at the nodes, and those of its integral from -1.
_SERIES = (np.arange(_ORDER) + 0.5)[:, None] * _VALUES[:, :_ORDER].T * WEIGHTS
_INTEGRAL = np.stack([np.pad(c, (0, _ORDER + 1 - len(c))) for c in (legendre.legint(s, lbnd=-1) for s in _SERIES.T)], 1)
CUMULATIVE = _VALUES @ _INTEGRAL

# Weights fall by this much, as an exponent, before the line is cut; tails beyond are extrapolated.
_CUT = 120.0
# Panels where the weight is below this share of its peak, as an exponent, need no resolution.
RELEVANT = 80.0
# Nearer to a border other than 0 than this share of it, the distance to it rounds; weights are extrapolated.
_BORDER = 1e-6
_STEEP = 3.0
_PRECISION = 1e-13
_FIRST_WIDTH = 0.5
_FURTHEST = 650.0
_MOST_PANELS = 200_000
_ROUNDS = 60
_SCAN = np.concatenate([-np.geomspace(1e12, 1e-9, 2001), [0.0], np.geomspace(1e-9, 1e12, 2001)])


@dataclass(frozen=True)
class Chart:
    """A map u -> x of the real line onto the interval (low, high) about a middle: near it dx/du is the scale."""

    low: float
    high: float
    middle: float
    scale: float

    def place(self, u: FloatArray) -> FloatArray:
        """X at u."""
        if np.isinf(self.low) and np.isinf(self.high):
            return np.asarray(self.middle + self.scale * np.sinh(u))
        if np.isinf(self.high):
            return np.asarray(self.low + (self.middle - self.low) * np.exp(u))
        if np.isinf(self.low):
            return np.asarray(self.high - (self.high - self.middle) * np.exp(-u))
        left, right = self.middle - self.low, self.high - self.middle
        return np.asarray(
            np.where(
                u < 0.0,
                self.low + (self.high - self.low) * left / (left + right * np.exp(np.minimum(-u, 700.0))),
                self.high - (self.high - self.low) * right / (right + left * np.exp(np.minimum(u, 700.0))),
            )
        )

    def stretch(self, u: FloatArray) -> FloatArray:
        """Logarithm of dx/du."""
        if np.isinf(self.low) and np.isinf(self.high):
            return np.asarray(np.log(self.scale) + np.logaddexp(u, -u) - np.log(2.0))
        if np.isinf(self.high):
            return np.asarray(np.log(self.middle - self.low) + u)
        if np.isinf(self.low):
            return np.asarray(np.log(self.high - self.middle) - u)
        left, right = np.log(self.middle - self.low), np.log(self.high - self.middle)
        return np.asarray(left + right + u + np.log(self.high - self.low) - 2.0 * np.logaddexp(left + u, right))

    def inverse(self, x: FloatArray) -> FloatArray:
        """U at x, for x within (low, high)."""
        if np.isinf(self.low) and np.isinf(self.high):
            return np.asarray(np.arcsinh((x - self.middle) / self.scale))
        with np.errstate(divide="ignore"):
            if np.isinf(self.high):
                return np.asarray(np.log((x - self.low) / (self.middle - self.low)))
            if np.isinf(self.low):
                return np.asarray(-np.log((self.high - x) / (self.high - self.middle)))
            odds = (x - self.low) / (self.high - x)
            return np.asarray(np.log(odds * (self.high - self.middle) / (self.middle - self.low)))


class NoDensity(ValueError):
    """The weight cannot be normalised."""


class Line:
    """The potential and weight of a diffusion on an interval.

    Parameters
    ----------
    drift, diffusion : callable
        a and D at points (n,), to (n,).
    what : str
        Names the call in errors.
    cover : sequence of float
        Points that become edges of panels.
    steep : bool
        Whether to resolve the potential everywhere between the covered points, not only where there is weight.

    Attributes
    ----------
    chart : Chart
    edges : ndarray, shape (P + 1,)
        Of the panels, in u.
    nodes : ndarray, shape (P, 16)
        In x.
    potential : ndarray, shape (P, 16)
        ψ at the nodes, 0 at ``chart.middle``.
    edge_potential : ndarray, shape (P + 1,)
    log_weight : ndarray, shape (P, 16)
        Of ``exp(-ψ)/D dx/du``.
    log_total : float
        Logarithm of ``∫ exp(-ψ)/D dx``.
    """

    def __init__(
        self, drift: Function, diffusion: Function, what: str, cover: Sequence[float] = (), steep: bool = False
    ) -> None:
        self._drift, self._diffusion, self._what = drift, diffusion, what
        low, high, rests = self._domain()
        for x in cover:
            if not low < x < high:
                raise ValueError(f"{what}: {x:g} is not within ({low:g}, {high:g}), where the diffusion is positive")
        middle = rests[0]
        self.chart = Chart(low, high, middle, self._scale(middle, low, high))
        fixed = np.unique(np.append(self.chart.inverse(np.array([*rests, *cover])), 0.0))
        self._between = (float(fixed[0]), float(fixed[-1])) if steep else None
        self._evaluate(self._refined(self._first_edges(fixed)))

    # --- where the weight is ------------------------------------------------------------------------------------------

    def _ratio(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """-a/D and log D at points of any shape; NaN where D is not positive."""
        flat = np.ravel(x)
        with np.errstate(all="ignore"):
            d, a = self._diffusion(flat), self._drift(flat)
            log_d = np.log(np.where(d > 0.0, d, np.nan))
            ratio = np.where(d > 0.0, -a / d, np.nan)
        return ratio.reshape(x.shape), log_d.reshape(x.shape)

    def _domain(self) -> tuple[float, float, list[float]]:
        """The ends of the interval, and the points of rest in it, a stable one first."""
        optimize = scipy_module("optimize")
        with np.errstate(all="ignore"):
            a, d = self._drift(_SCAN), self._diffusion(_SCAN)
        good = np.isfinite(d) & (d > 0.0) & np.isfinite(a)
        if (d == 0.0).all():
            raise ValueError(f"{self._what}: without noise there is no density")
        falls = np.flatnonzero(good[:-1] & good[1:] & (a[:-1] >= 0.0) & (a[1:] <= 0.0) & (a[:-1] > a[1:]))
        if len(falls) == 0:
            raise NoDensity(f"{self._what}: no normalisable density: nowhere does the drift turn back to a point")
        middle = falls[np.argmin(np.abs(_SCAN[falls]))]
        first, last = middle, middle
        while first > 0 and good[first - 1]:
            first -= 1
        while last < len(_SCAN) - 1 and good[last + 1]:
            last += 1
        low = -np.inf if first == 0 else self._border(_SCAN[first - 1], _SCAN[first])
        high = np.inf if last == len(_SCAN) - 1 else self._border(_SCAN[last + 1], _SCAN[last])
        turns = first + np.flatnonzero(np.sign(a[first:last]) * np.sign(a[first + 1 : last + 1]) <= 0.0)

        def slope(x: float) -> float:
            return float(self._drift(np.array([x]))[0])

        def root(i: int) -> float:
            left, right = float(_SCAN[i]), float(_SCAN[i + 1])
            if a[i] == 0.0 or a[i + 1] == 0.0:
                return left if a[i] == 0.0 else right
            return float(optimize.brentq(slope, left, right, xtol=1e-14 * (right - left), rtol=1e-14))

        # Where the drift has rounded to 0 far out there are no points of rest.
        flat = (a[:-1] == 0.0) & (a[1:] == 0.0)
        rests = [root(int(i)) for i in turns if not flat[i]]
        return low, high, [root(int(middle)), *rests]

    def _border(self, bad: float, good: float) -> float:
        """Between a point without and one with noise, where it begins."""
        for _ in range(200):
            half = (bad + good) / 2.0
            if half in (bad, good):
                break
            with np.errstate(all="ignore"):
                d = float(self._diffusion(np.array([half]))[0])
            if np.isfinite(d) and d > 0.0:
                good = half
            else:
                bad = half
        return bad

    def _scale(self, middle: float, low: float, high: float) -> float:
        """The distance over which the potential changes by about 1."""
        sizes = np.geomspace(1e-12, 1e12, 481)
        change = np.zeros(len(sizes))
        for sign in (-1.0, 1.0):
            x = middle + sign * sizes
            ratio, _ = self._ratio(x)
            inside = (x > low) & (x < high)
            change = np.fmax(change, np.where(inside, np.abs(ratio) * sizes, 0.0))
        far = np.flatnonzero(change >= 1.0)
        return float(sizes[far[0]]) if len(far) else 1.0

    def _first_edges(self, fixed: FloatArray) -> FloatArray:
        """Panels from where the weight begins to where it ends, and through all fixed points."""
        parts = [fixed]
        for sign, end in ((1.0, fixed[-1]), (-1.0, fixed[0])):
            u, psi, top, last = float(end), 0.0, -np.inf, -np.inf
            while True:
                if abs(u) > _FURTHEST:
                    raise NoDensity(
                        f"{self._what}: no normalisable density: its weight does not fall off towards "
                        f"{self.chart.place(np.array([u]))[0]:.3g}"
                    )
                grid = u + sign * _FIRST_WIDTH * (NODES + 1.0) / 2.0
                ratio, log_d = self._ratio(self.chart.place(grid))
                stretch = self.chart.stretch(grid)
                with np.errstate(over="ignore"):
                    slope = ratio * np.exp(stretch) * sign * _FIRST_WIDTH / 2.0
                weight = -(psi + CUMULATIVE @ slope) - log_d + stretch
                parts.append(np.array([u + sign * _FIRST_WIDTH]))
                u, psi = u + sign * _FIRST_WIDTH, psi + float(WEIGHTS @ slope)
                if not np.isfinite(weight).all():
                    # The drift has overflowed, or the border is nearer than rounding.
                    if np.isposinf(slope).any() or top - last > 30.0:
                        parts.pop()
                        break
                    raise ValueError(
                        f"{self._what}: drift or diffusion is not finite near {self.chart.place(grid)[0]:.3g}"
                    )
                top, last = max(top, float(weight.max())), float(weight[-1])
                if last < top - _CUT:
                    break
                x = float(self.chart.place(np.array([u]))[0])
                if min(x - self.chart.low, self.chart.high - x) < _BORDER * abs(x):
                    break
        edges = np.unique(np.concatenate(parts))
        return self._filled(edges)

    @staticmethod
    def _filled(edges: FloatArray) -> FloatArray:
        """The same edges and more, none further apart than the first width."""
        counts = np.maximum(1, np.ceil(np.diff(edges) / _FIRST_WIDTH - 1e-9)).astype(int)
        inner = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(edges, edges[1:], counts, strict=False)]
        return np.append(np.concatenate(inner), edges[-1])

    # --- panels -------------------------------------------------------------------------------------------------------

    def _slopes(self, left: FloatArray, right: FloatArray) -> tuple[FloatArray, ...]:
        """Nodes in x, dψ by half a panel, log D and log dx/du at the nodes of panels in u, each (P, 16)."""
        half = (right - left)[:, None] / 2.0
        u = left[:, None] + half * (NODES + 1.0)
        x, stretch = self.chart.place(u), self.chart.stretch(u)
        ratio, log_d = self._ratio(x)
        return x, ratio * np.exp(stretch) * half, log_d, stretch

    def _refined(self, edges: FloatArray) -> FloatArray:
        """Halves panels until ψ is resolved in all, and changes little in each that matters."""
        for _ in range(_ROUNDS):
            left, right = edges[:-1], edges[1:]
            middle = (left + right) / 2.0
            _, slope, log_d, stretch = self._slopes(left, right)
            _, one, _, _ = self._slopes(left, middle)
            _, two, _, _ = self._slopes(middle, right)
            whole = slope @ WEIGHTS
            error = np.abs(whole - (one + two) @ WEIGHTS)
            size = np.abs(slope) @ WEIGHTS
            start = np.concatenate([[0.0], np.cumsum(whole)[:-1]])
            psi = start[:, None] + slope @ CUMULATIVE.T
            weight = (-psi - log_d + stretch).max(axis=1)
            spread = np.ptp(np.hstack([psi, start[:, None], (start + whole)[:, None]]), axis=1)
            relevant = weight > np.nanmax(weight) - RELEVANT
            if self._between is not None:
                # From the first weight below the last covered point on, without gaps.
                below = left < self._between[1]
                first = np.argmax(below & (weight > np.nanmax(weight[below]) - RELEVANT))
                relevant |= below & ((np.arange(len(left)) >= first) | (right > self._between[0]))
            # Elsewhere ψ counts too: it says how deep the wells are beside each other.
            unsure = _PRECISION * np.maximum(size, 1.0) * np.where(relevant, 1.0, 10.0)
            split = (error > unsure + self._rounding(left, right) * size) | ((spread > _STEEP) & relevant)
            split &= right - left > 1e-13 * np.maximum(1.0, np.abs(left))
            if not split.any():
                return edges
            edges = np.sort(np.concatenate([edges, middle[split]]))
            if len(edges) > _MOST_PANELS:
                break
        raise ValueError(
            f"{self._what}: the potential is too steep to resolve: it changes by {np.abs(whole).sum():.3g} noise units"
        )

    def _rounding(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Relative error of the distance to a border, which drift and diffusion take from x."""
        x = self.chart.place(np.stack([left, right]))
        near = np.minimum(x - self.chart.low, self.chart.high - x).min(axis=0)
        return np.asarray(np.where(np.isinf(near), 0.0, 1e-15 * np.abs(x).max(axis=0) / near))

    def _evaluate(self, edges: FloatArray) -> None:
        self.edges = edges
        self.nodes, slope, self.log_diffusion, stretch = self._slopes(edges[:-1], edges[1:])
        self._series = slope @ _INTEGRAL.T
        steps = slope @ WEIGHTS
        start = np.concatenate([[0.0], np.cumsum(steps)])
        start -= start[np.searchsorted(edges, 0.0)]
        self.edge_potential = start
        self.potential = start[:-1, None] + slope @ CUMULATIVE.T
        self.log_weight = -self.potential - self.log_diffusion + stretch
        self.half = (edges[1:] - edges[:-1])[:, None] / 2.0
        self._ends = (float(slope[0, 0] / self.half[0, 0]), float(slope[-1, -1] / self.half[-1, 0]))
        self.log_total, self._shares, self._rates = self._totals()

    # --- integrals ----------------------------------------------------------------------------------------------------

    def _totals(self) -> tuple[float, tuple[float, float], tuple[float, float]]:
        """Logarithm of ``∫ exp(-ψ)/D dx``, the shares of it beyond both ends, and the rates in u at which they fall."""
        top = float(self.log_weight.max())
        inside = float((np.exp(self.log_weight - top) * self.half @ WEIGHTS).sum())
        ends = [self._beyond(self.log_weight[side] - top, side) for side in (0, -1)]
        if min(rate for _, rate in ends) <= 0.0:
            raise NoDensity(f"{self._what}: no normalisable density: its weight does not fall off at an end")
        total = inside + sum(tail for tail, _ in ends)
        (left, down), (right, up) = ends
        return top + float(np.log(total)), (left / total, right / total), (down, up)

    def _beyond(self, size: FloatArray, side: int) -> tuple[float, float]:
        """The integral beyond an end of a function that is exponential there, and its rate, from its logarithm at the
        nodes (16,) of the last panel.
        """
        outer, inner = (0, 1) if side == 0 else (-1, -2)
        if not np.isfinite(size[[outer, inner]]).all():
            return 0.0, np.inf
        u = self.edges[:-1, None][side] + self.half[side] * (NODES + 1.0)
        rate = float((size[inner] - size[outer]) / abs(u[inner] - u[outer]))
        edge = size[outer] - rate * abs((self.edges[0] if side == 0 else self.edges[-1]) - u[outer])
        # A weight that has fallen by exp(-120) and still does not fall: there is no integral.
        return (float(np.exp(edge) / rate), rate) if rate > 1e-6 else (np.inf, min(rate, 0.0))

    def expect(self, values: FloatArray) -> float:
        """Expectation of a function from its values at the nodes; infinite or NaN where its tail does not converge."""
        with np.errstate(all="ignore"):
            share = np.exp(self.log_weight - self.log_total)
            total = float((np.where(share > 0.0, values * share, 0.0) * self.half @ WEIGHTS).sum())
            for side, outer in ((0, 0), (-1, -1)):
                size = np.log(np.abs(values[side])) + self.log_weight[side] - self.log_total
                total += float(np.sign(values[side][outer])) * self._beyond(size, side)[0]
        return total

    # --- at any point -------------------------------------------------------------------------------------------------

    def _locate(self, x: FloatArray) -> tuple[FloatArray, Any, FloatArray]:
        """U, panel, and the place in it from -1 to 1, of points (n,) within the interval."""
        u = self.chart.inverse(x)
        inside = np.clip(u, self.edges[0], self.edges[-1])
        panel = np.clip(np.searchsorted(self.edges, inside, side="right") - 1, 0, len(self.half) - 1)
        return u, panel, (inside - self.edges[panel]) / self.half[panel, 0] - 1.0

    def potential_at(self, x: FloatArray) -> FloatArray:
        """ψ at points (n,) within the interval; linear in u beyond the panels."""
        u, panel, place = self._locate(x)
        psi = self.edge_potential[panel] + legendre.legval(place, self._series[panel].T, tensor=False)
        low, high = np.minimum(u - self.edges[0], 0.0), np.maximum(u - self.edges[-1], 0.0)
        return np.asarray(psi + low * self._ends[0] + high * self._ends[1])

    def log_density(self, x: FloatArray) -> FloatArray:
        """Logarithm of the normalised density at points (n,); -inf outside the interval."""
        inside = (x > self.chart.low) & (x < self.chart.high)
        out = np.full(x.shape, -np.inf)
        at = x[inside]
        _, log_d = self._ratio(at)
        out[inside] = -self.potential_at(at) - log_d - self.log_total
        return np.where(np.isnan(x), np.nan, out)

    def probability_below(self, x: FloatArray) -> FloatArray:
        """The distribution function at points (n,)."""
        share = np.exp(self.log_weight - self.log_total) * self.half
        (left, right), (down, up) = self._shares, self._rates
        before = left + np.concatenate([[0.0], np.cumsum(share @ WEIGHTS)])
        out = np.where(x >= self.chart.high, 1.0, 0.0)
        inside = (x > self.chart.low) & (x < self.chart.high)
        u, panel, place = self._locate(x[inside])
        middle = before[panel] + legendre.legval(place, (share @ _INTEGRAL.T)[panel].T, tensor=False)
        with np.errstate(over="ignore", invalid="ignore"):
            below = left * np.exp(down * np.minimum(u - self.edges[0], 0.0))
            above = 1.0 - right * np.exp(-up * np.maximum(u - self.edges[-1], 0.0))
        out[inside] = np.where(u < self.edges[0], below, np.where(u > self.edges[-1], above, middle))
        return np.where(np.isnan(x), np.nan, np.clip(out, 0.0, 1.0))
