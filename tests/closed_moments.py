"""Exact moments of RMSprop and Adam, one parameter, quadratic loss, Gaussian noise and a constant preconditioner.

Moments of theta^i m^j v^l with i + j + 2l at most 4 are then closed: for the algorithm, for its equations, and for
Euler-Maruyama's steps of them. Polynomials in (theta, m, v, xi, zeta) are dicts of exponents to coefficients; xi and
zeta are independent standard normals. The library has this case in the limit of small theta, m and noise beside eps:
:data:`SMALL` scales them, and the second moment by its square.
"""

from math import sqrt

import numpy as np
from scipy.integrate import solve_ivp

SMALL = 1e-3
POWERS = [(i, j, l) for l in range(3) for j in range(5) for i in range(5) if i + j + 2 * l <= 4]
INDEX = {power: n for n, power in enumerate(POWERS)}
NORMAL_MOMENTS = (1.0, 0.0, 1.0, 0.0, 3.0, 0.0, 15.0, 0.0, 105.0)


def term(coefficient, theta=0, m=0, v=0, xi=0, zeta=0):
    return {(theta, m, v, xi, zeta): float(coefficient)}


def plus(*parts):
    total = {}
    for part in parts:
        for power, c in part.items():
            total[power] = total.get(power, 0.0) + c
    return {power: c for power, c in total.items() if c}


def times(a, b):
    out = {}
    for p, c in a.items():
        for q, e in b.items():
            power = tuple(x + y for x, y in zip(p, q, strict=True))
            out[power] = out.get(power, 0.0) + c * e
    return out


def scaled(a, factor):
    return {power: c * factor for power, c in a.items()}


def expectation_row(polynomial):
    """Its expectation over xi and zeta as a row over the moments."""
    row = np.zeros(len(POWERS))
    for power, c in polynomial.items():
        mean = NORMAL_MOMENTS[power[3]] * NORMAL_MOMENTS[power[4]]
        if c and mean:
            row[INDEX[power[:3]]] += c * mean
    return row


def transition(step):
    """The matrix of the moments' step; ``step``: the new theta, m, v as polynomials."""
    rows = np.empty((len(POWERS), len(POWERS)))
    for n, power in enumerate(POWERS):
        product = term(1.0)
        for variable, exponent in zip(step, power, strict=True):
            for _ in range(exponent):
                product = times(product, variable)
        rows[n] = expectation_row(product)
    return rows


def derivative(polynomial, variable):
    out = {}
    for power, c in polynomial.items():
        if power[variable]:
            lower = list(power)
            lower[variable] -= 1
            out[tuple(lower)] = out.get(tuple(lower), 0.0) + c * power[variable]
    return out


def covariance(noise):
    """Covariance per time; ``noise``: for each variable its coefficients of dW and dB."""
    return [[plus(*(times(x, y) for x, y in zip(row, other, strict=True))) for other in noise] for row in noise]


def generator(drift, cov):
    """The matrix of the moments' derivative."""
    rows = np.empty((len(POWERS), len(POWERS)))
    for n, power in enumerate(POWERS):
        phi = {(*power, 0, 0): 1.0}
        total = {}
        for i in range(3):
            first = derivative(phi, i)
            total = plus(total, times(drift[i], first))
            for j in range(3):
                total = plus(total, scaled(times(cov[i][j], derivative(first, j)), 0.5))
        rows[n] = expectation_row(total)
    return rows


def start_moments(theta, m, v):
    return np.array([theta**i * m**j * v**l for i, j, l in POWERS])


def pick(moments, powers):
    return np.array([moments[INDEX[power]] for power in powers])


def chain(step, start, steps, first=0):
    """Moments after the steps; ``step(k)``: polynomials."""
    moments = start_moments(*start)
    for k in range(first, first + steps):
        moments = transition(step(k)) @ moments
    return moments


def equation(parts, start, t0, t1, *, truncated=None):
    """Moments of an equation at t1; ``parts(t)``: drift and noise; ``truncated(t)``: another covariance."""

    def slope(t, y):
        drift, noise = parts(t)
        return generator(drift, covariance(noise) if truncated is None else truncated(t)) @ y

    return solve_ivp(slope, (t0, t1), start_moments(*start), method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]


def euler(parts, start, t0, t1, dt, constant=False):
    """Moments of its Euler-Maruyama steps."""
    moments, n = start_moments(*start), round((t1 - t0) / dt)
    variables = [term(1.0, theta=1), term(1.0, m=1), term(1.0, v=1)]
    normals = [term(1.0, xi=1), term(1.0, zeta=1)]
    matrix = None
    for k in range(n):
        if matrix is None or not constant:
            drift, noise = parts(t0 + k * dt)
            step = [
                plus(x, scaled(b, dt), *(scaled(times(c, w), sqrt(dt)) for c, w in zip(row, normals, strict=True)))
                for x, b, row in zip(variables, drift, noise, strict=True)
            ]
            matrix = transition(step)
        moments = matrix @ moments
    return moments


class RMSprop:
    """d = 1, f = h theta²/2, noise s, preconditioner D; tau the step, c the rate of v, decay an L2 term's."""

    def __init__(self, h, variance, precondition, c, tau, regime):
        self.h, self.s, self.d, self.c, self.tau = h, variance, precondition, c, tau
        self.batch = regime == "batch_equivalent"

    def step(self, k):
        """The algorithm's step."""
        del k
        tau, amplitude = self.tau, sqrt(self.s) / (sqrt(self.tau) if self.batch else 1.0)
        g = plus(term(self.h, theta=1), term(amplitude, xi=1))
        kappa = tau**2 if self.batch else tau
        return [
            plus(term(1.0, theta=1), scaled(g, -tau * self.d)),
            term(1.0, m=1),
            plus(term(1.0 - self.c * tau, v=1), scaled(times(g, g), self.c * kappa)),
        ]

    def parts(self, order, *, second_noise=False, flip=1.0, keep=1.0, scale=1.0):
        """Drift and noise of the equations.

        ``second_noise``: order 1 with the noise of v. Mutants: ``flip`` multiplies the noise that theta and v share,
        ``keep`` that of v alone, ``scale`` the correction of the drift.
        """
        h, s, d, c, tau = self.h, self.s, self.d, self.c, self.tau
        g, v, zero = term(h, theta=1), term(1.0, v=1), {}
        root = 1.0 if self.batch else sqrt(tau)
        remainder = plus(term(s), scaled(v, -1.0), {} if self.batch else times(g, g))
        drift = [scaled(g, -d), zero, scaled(remainder, c)]
        noise = [[term(-root * d * sqrt(s)), zero], [zero, zero], [zero, zero]]
        shared = 2.0 * c * sqrt(s) * (tau if self.batch else sqrt(tau)) * flip
        alone = c * sqrt(tau) * sqrt(2.0) * s * keep
        if order == 1:
            if second_noise:
                noise[2] = [scaled(g, shared), term(alone)]
            return drift, noise
        b1 = [scaled(g, -0.5 * d * h * d), zero, scaled(remainder, 0.5 * c**2)]
        gg = times(g, g)
        b1[2] = plus(b1[2], scaled(gg, c) if self.batch else scaled(gg, c * h * d))
        drift = [plus(b, scaled(e, tau * scale)) for b, e in zip(drift, b1, strict=True)]
        if self.batch:
            noise[0][0] = term(-d * sqrt(s) - tau * 0.5 * d * h * d * sqrt(s) * scale)
        noise[2] = [scaled(g, shared), term(alone)]
        return drift, noise

    def truncated(self):
        """Covariance a0 + tau a1 of the corrected batch-equivalent equation, which its factor has up to tau²."""
        h, s, d, c, tau = self.h, self.s, self.d, self.c, self.tau
        tv = term(-2.0 * c * tau * s * d * h, theta=1)
        return [[term(s * d**2 * (1.0 + tau * h * d)), {}, tv], [{}, {}, {}], [tv, {}, term(2.0 * c**2 * tau * s**2)]]


class Adam:
    """The same with a first moment; ``precondition(t)`` is D, ``gain(t)`` Gamma, each with its derivative."""

    def __init__(self, h, variance, c1, c2, tau, regime, precondition, gain):
        self.h, self.s, self.c1, self.c2, self.tau = h, variance, c1, c2, tau
        self.batch = regime == "batch_equivalent"
        self.precondition, self.gain = precondition, gain

    def step(self, k):
        tau, t = self.tau, k * self.tau
        g = plus(term(self.h, theta=1), term(sqrt(self.s) / (sqrt(tau) if self.batch else 1.0), xi=1))
        m = plus(term(1.0 - self.c1 * tau, m=1), scaled(g, self.c1 * tau))
        v = plus(term(1.0 - self.c2 * tau, v=1), scaled(times(g, g), self.c2 * (tau**2 if self.batch else tau)))
        rate = tau * self.gain(t)[0] * self.precondition(t)[0]
        return [plus(term(1.0, theta=1), scaled(m, -rate)), m, v]

    def parts(self, order, t, *, flip=1.0, time_term=1.0, mean_noise=1.0, shift=0.0):
        """Drift and noise. Mutants: sign of the noise that m and v share, the term of dGamma/dt, noise of m, clock."""
        h, s, c1, c2, tau = self.h, self.s, self.c1, self.c2, self.tau
        (gain, gain_slope), (d, d_slope) = self.gain(t - shift * tau), self.precondition(t - shift * tau)
        g, m, v, zero = term(h, theta=1), term(1.0, m=1), term(1.0, v=1), {}
        root = 1.0 if self.batch else sqrt(tau)
        gg = times(g, g)
        remainder = plus(term(s), scaled(v, -1.0), {} if self.batch else gg)
        away = plus(g, scaled(m, -1.0))
        drift = [scaled(m, -gain * d), scaled(away, c1), scaled(remainder, c2)]
        noise = [[zero, zero], [term(root * c1 * sqrt(s)), zero], [zero, zero]]
        if order == 1:
            return drift, noise
        b1 = [
            plus(
                scaled(away, -0.5 * c1 * gain * d),
                scaled(m, 0.5 * time_term * (gain_slope * d + gain * d_slope)),
            ),
            plus(scaled(m, 0.5 * c1 * gain * h * d), scaled(away, 0.5 * c1**2)),
            scaled(remainder, 0.5 * c2**2),
        ]
        gm = times(g, m)
        b1[2] = plus(b1[2], scaled(gg, c2) if self.batch else scaled(gm, c2 * gain * h * d))
        drift = [plus(b, scaled(e, tau)) for b, e in zip(drift, b1, strict=True)]
        if self.batch:
            noise[0][0] = term(-0.5 * tau * c1 * gain * d * sqrt(s))
            noise[1][0] = term(c1 * (1.0 + 0.5 * c1 * tau * mean_noise) * sqrt(s))
        noise[2] = [
            scaled(g, 2.0 * c2 * sqrt(s) * (tau if self.batch else sqrt(tau)) * flip),
            term(c2 * sqrt(tau) * sqrt(2.0) * s),
        ]
        return drift, noise

    def truncated(self, t):
        """The same of Adam's."""
        h, s, c1, c2, tau = self.h, self.s, self.c1, self.c2, self.tau
        tm = term(-0.5 * tau * c1**2 * self.gain(t)[0] * self.precondition(t)[0] * s)
        mv, vv = term(2.0 * tau * c1 * c2 * s * h, theta=1), term(2.0 * tau * c2**2 * s**2)
        return [[{}, tm, {}], [tm, term(c1**2 * s * (1.0 + c1 * tau)), mv], [{}, mv, vv]]


def corrections(c, tau, offset):
    """gamma(t) = 1 - (1 - c tau)^(t/tau + offset) and its derivative."""
    rate = -np.log1p(-c * tau) / tau

    def gamma(t):
        left = np.exp(-rate * (t + offset * tau))
        return 1.0 - left, rate * left

    return gamma
