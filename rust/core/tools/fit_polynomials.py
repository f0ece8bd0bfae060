"""Fits the polynomials and tables of lanes/math.rs and rng/normal.rs, and prints them as Rust arrays.

Remez exchange in 60 digits: min over p of max |w(x) (f(x) - p(x))|. The coefficients are then rounded to f64 or f32;
the error printed is that of the rounded ones, without the rounding of the evaluation.
"""

import struct

import mpmath as mp

mp.mp.dps = 60
POINTS = 800


def alternation(err, most):
    """Where the largest of each run of errors of one sign are, the `most` largest neighbours of them."""
    peaks = [0]
    for i in range(1, len(err)):
        if mp.sign(err[i]) != mp.sign(err[peaks[-1]]):
            peaks.append(i)
        elif abs(err[i]) > abs(err[peaks[-1]]):
            peaks[-1] = i
    while len(peaks) > most:
        peaks.pop(0 if abs(err[peaks[0]]) < abs(err[peaks[-1]]) else -1)
    return peaks


def remez(f, w, a, b, n):
    """Coefficients, lowest first, of the best polynomial of degree n on [a, b]."""
    grid = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * i / POINTS) for i in range(POINTS + 1)]
    fs, ws = [f(x) for x in grid], [w(x) for x in grid]
    at = [round(POINTS * i / (n + 1)) for i in range(n + 2)]
    for _ in range(40):
        m, y = mp.matrix(n + 2, n + 2), mp.matrix(n + 2, 1)
        for row, i in enumerate(at):
            for j in range(n + 1):
                m[row, j] = ws[i] * grid[i] ** j
            m[row, n + 1] = (-1) ** row
            y[row] = ws[i] * fs[i]
        c = list(mp.lu_solve(m, y))[: n + 1]
        err = [ws[i] * (fs[i] - mp.polyval(c[::-1], grid[i])) for i in range(POINTS + 1)]
        peaks = alternation(err, n + 2)
        if len(peaks) < n + 2 or peaks == at:
            break
        at = peaks
    return c


def round_to(x, single):
    return mp.mpf(struct.unpack("f", struct.pack("f", float(x)))[0]) if single else mp.mpf(float(x))


def literal(x, single):
    if not single:
        return repr(float(x))
    return next(s for s in (f"{float(x):.{d}g}" for d in range(1, 12)) if round_to(mp.mpf(s), True) == x)


def fit(name, f, w, a, b, n, single=False):
    a, b = mp.mpf(a), mp.mpf(b)
    c = [round_to(v, single) for v in remez(f, w, a, b, n)]
    xs = [a + (b - a) * (i + mp.mpf(1) / 3) / 3000 for i in range(3000)]
    err = max(abs(w(x) * (f(x) - mp.polyval(c[::-1], x))) for x in xs)
    print(f"// {name}: degree {n} on [{mp.nstr(a, 6)}, {mp.nstr(b, 6)}], max error {mp.nstr(err, 3)}")
    print("[" + ", ".join(literal(v, single) for v in c) + "]\n")


def fit_tanh(n, first, top, single):
    """tanh(r/2) = r odd(w)/even(w), w = r^2: degrees n; odd begins with first/2, even with first, and ends with w^n.

    The error printed is that of e^r = (1 + y)/(1 - y), y = tanh(r/2), at w = r^2 up to top.
    """
    size = 2 * n
    grid = [top * (1 - mp.cos(mp.pi * i / POINTS)) / 2 for i in range(1, POINTS + 1)]
    exact = [mp.tanh(mp.sqrt(w) / 2) / mp.sqrt(w) for w in grid]
    weights = [2 * mp.sqrt(w) / (1 - w * q * q) for w, q in zip(grid, exact, strict=True)]

    def even(c, w):
        return first + mp.polyval([1, *c[n : size - 1][::-1], 0], w)

    def errors(c):
        odds = [first / 2 + mp.polyval([*c[:n][::-1], 0], w) for w in grid]
        return [s * (odd / even(c, w) - q) for s, odd, w, q in zip(weights, odds, grid, exact, strict=True)]

    at, c = [round(POINTS * (i + 0.7) / size) for i in range(size)], [mp.mpf(0)] * size
    for _ in range(30):
        for _ in range(4):  # linear in the coefficients once even is known beside the error
            m, y = mp.matrix(size, size), mp.matrix(size, 1)
            for row, i in enumerate(at):
                w, q = grid[i], exact[i]
                for j in range(n):
                    m[row, j] = w ** (j + 1)
                for j in range(n - 1):
                    m[row, n + j] = -q * w ** (j + 1)
                m[row, size - 1] = (-1) ** row * even(c, w) / weights[i]
                y[row] = q * (w**n + first) - first / 2
            c = list(mp.lu_solve(m, y))
        at = alternation(errors(c), size)
    c = [round_to(v, single) for v in c[: size - 1]]
    print(f"// tanh(r/2): degrees {n} up to {mp.nstr(top, 6)}, max error {mp.nstr(max(map(abs, errors(c))), 3)}")
    print("odd [" + ", ".join(literal(v, single) for v in (first / 2, *c[:n])) + "]")
    print("even [" + ", ".join(literal(v, single) for v in (first, *c[n:], mp.mpf(1))) + "]\n")


def series(coefficient, terms=45):
    """The sum of coefficient(i) x^i: safe at x = 0."""
    c = [coefficient(mp.mpf(i)) for i in range(terms)]
    return lambda x: mp.polyval(c[::-1], x)


def one(x):
    return mp.mpf(1)


half_ln2 = mp.log(2) / 2 * (1 + mp.mpf(2) ** -20)
quarter = (mp.pi / 4 * (1 + mp.mpf(2) ** -12)) ** 2

# exp(r) = 1 + r + r^2 q(r)
q = series(lambda i: 1 / mp.factorial(i + 2))
for n, single in ((9, False), (4, True)):
    fit("exp", q, lambda x: x * x / mp.exp(x), -half_ln2, half_ln2, n, single)

# for the logistic function
for n, first, single in ((2, 1008.25, False), (1, 10.00146484375, True)):
    fit_tanh(n, mp.mpf(first), half_ln2**2, single)

# sin(r) = r + r v s(v), cos(r) = 1 + v (-1/2 + v c(v)), v = r^2
s = series(lambda i: (-1) ** (int(i) + 1) / mp.factorial(2 * i + 3))
c = series(lambda i: (-1) ** int(i) / mp.factorial(2 * i + 4))
for n, single in ((5, False), (2, True)):
    fit("sin", s, lambda v: v, 0, quarter, n, single)
    fit("cos", c, lambda v: v * v, 0, quarter, n, single)

# sin(pi x) = x s(v), cos(pi x) = (1/4 - v) c(v), v = x^2, |x| <= 1/2
s = series(lambda i: (-1) ** int(i) * mp.pi ** (2 * i + 1) / mp.factorial(2 * i + 1))


def c(v):
    w = mp.mpf(1) / 4 - v
    # cos(pi x) / (1/4 - x^2) has the limit pi at x = 1/2
    return mp.cos(mp.pi * mp.sqrt(v)) / w if abs(w) > mp.mpf(10) ** -30 else mp.pi


for n, single in ((7, False), (8, False), (3, True), (4, True)):
    fit("sin_pi", s, lambda v: 1 / s(v), 0, 0.25, n, single)
    fit("cos_pi", c, lambda v: 1 / c(v), 0, 0.25, n, single)

# -2 log(1 + r) = r p(r)
p = series(lambda i: 2 * (-1) ** (int(i) + 1) / (i + 1), 80)
for n, a, single in ((8, 0.03847, False), (4, 0.07143, True), (3, 0.07143, True)):
    fit("-2 log1p", p, lambda r: 1 / p(r), -a, a, n, single)

# log z = s (2 + w q(w)), s = (z - 1)/(z + 1), w = s^2, z in [0.75, 1.5)
q = series(lambda i: 2 / (2 * i + 3), 80)
for n, single in ((6, False), (2, True)):
    fit("log", q, lambda w: w / (2 + w * q(w)), 0, 0.04, n, single)


def table(lo, hi, steps, size, single):
    """1/c and 2 log(1/c) by round(z * steps) mod size, z in [0.75, 1.5)."""
    inverse, log = [mp.mpf(1)] * size, [mp.mpf(0)] * size
    for j in range(lo, hi + 1):
        quarter = mp.mpf(1) / (4 * steps)
        centre = mp.mpf(j) / steps + (quarter if j == lo else -quarter if j == hi else 0)
        inverse[j % size] = round_to(1 / centre, single)
        log[j % size] = round_to(2 * mp.log(inverse[j % size]), single)
    print(f"// table of {size}: round({steps} z) mod {size}")
    print("[" + ", ".join(literal(v, single) for v in inverse) + "]")
    print("[" + ", ".join(literal(v, single) for v in log) + "]\n")


table(12, 24, 16, 16, False)
table(6, 12, 8, 8, True)
