"""Known answers: closed forms, exact moment recursions, published numbers, and the rule by which estimates meet them.

A statistical test makes a false alarm with probability at most ``FALSE_ALARM``, whatever it compares: the bound on its
z-scores is Bonferroni's for the number of comparisons. Seeds are fixed, so a failure is never a matter of luck.
"""

import numpy as np
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov
from scipy.stats import chi2, norm

FALSE_ALARM = 1e-6
# A wrong formula must be rejected with at least this much to spare: then missing it is as unlikely as a false alarm.
POWER = 5.0

# Oracles A to E of SGD: (discrete, order 1, order 2).
ONE_DIM = {"h": 2.0, "s": 1.5, "x0": 1.0, "lr": 0.1, "steps": 10}
ONE_DIM_MEAN = (0.107374182400, 0.135335283237, 0.110803158362)
ONE_DIM_VAR = (0.061779424060, 0.055219745313, 0.050508545119)
ONE_DIM_STATIONARY = (0.0625, 0.05625, 0.051136363636)
ONE_DIM_ACF = (0.32768, 0.367879441, 0.332871084)

TWO_DIM_H = np.array([[2.0, 0.5], [0.5, 1.0]])
TWO_DIM_COV = np.array([[1.0, 0.3], [0.3, 0.5]])
TWO_DIM_START = np.array([1.0, -1.0])
TWO_DIM_MEAN = ((0.2601785304, -0.5113105581), (0.2812760584, -0.5234708256), (0.2623827417, -0.5114924921))
TWO_DIM_FINAL = (
    (0.0265393099, 0.0042600399, 0.0214310558),
    (0.0236158431, 0.0034015112, 0.0199801970),
    (0.0215424098, 0.0026343624, 0.0192116487),
)
TWO_DIM_STATIONARY = (
    (0.0273416092, 0.0027555796, 0.0253702729),
    (0.0245238095, 0.0019047619, 0.0240476190),
    (0.0222778664, 0.0012351663, 0.0228609688),
)

# E x(1)² of quadratic loss h = 1 with noise variance ¼ + x², from x = 1: lr, discrete, order 1, order 2.
MULTIPLICATIVE = (
    (0.1, 0.149427919790, 0.160758505812, 0.146143592196),
    (0.05, 0.141507836071, 0.147772314717, 0.140739437716),
    (0.025, 0.138223412853, 0.141486751128, 0.138037360476),
    (0.0125, 0.136732109988, 0.138394450671, 0.136686321857),
)

# Non-commuting linear equation dX = A X dt + B1 X dW1 + B2 X dW2, T = 1.
LINEAR_A = np.array([[-1.0, 0.3], [0.0, -0.5]])
LINEAR_B = np.array([[[0.0, 0.6], [0.2, 0.0]], [[0.5, 0.0], [0.0, -0.3]]])
LINEAR_START = np.array([1.0, 0.5])
LINEAR_SECOND_MOMENT = np.array([[0.26447750, 0.13247944], [0.13247944, 0.11370739]])
# Largest error of the second moment by Euler-Maruyama in 4, 8, 16, 32 steps.
LINEAR_EULER_ERROR = (0.01733499, 0.00831587, 0.00407811, 0.00201997)


def full(triangle):
    """The symmetric matrix of (11, 12, 22)."""
    a, b, c = triangle
    return np.array([[a, b], [b, c]])


def z_limit(comparisons, false_alarm=FALSE_ALARM):
    """Bound on the largest |z| of so many comparisons."""
    return norm.isf(false_alarm / (2.0 * comparisons))


def z_scores(estimate, stderr, exact):
    """Deviations in standard errors; rounding counts where there is no randomness."""
    estimate, stderr, exact = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (estimate, stderr, exact)))
    assert np.isfinite(estimate).all()
    assert np.isfinite(stderr).all()
    rounding = 1e-12 * np.abs(exact).max(initial=0.0) + 1e-300
    return (estimate - exact) / np.hypot(stderr, rounding)


def assert_agrees(estimate, stderr, exact, *, wrong=(), bias=0.0, false_alarm=FALSE_ALARM):
    """The estimate agrees with the exact value, and is precise enough to reject every wrong one.

    ``bias`` bounds the estimate's own systematic error, in its units.
    """
    z = z_scores(estimate, stderr, exact)
    allowed = z_limit(z.size, false_alarm) + np.abs(bias) / np.maximum(np.asarray(stderr, dtype=float), 1e-300)
    assert (np.abs(z) <= allowed).all(), (
        f"z = {np.array2string(z, precision=1)}: estimate {estimate}, exact {exact}, standard error {stderr}"
    )
    for value in wrong:
        assert_rejected(estimate, stderr, value, bias=bias, false_alarm=false_alarm)


def assert_rejected(estimate, stderr, wrong, *, bias=0.0, false_alarm=FALSE_ALARM):
    """At least one of the wrong values is out of reach."""
    z = z_scores(estimate, stderr, wrong)
    allowed = z_limit(z.size, false_alarm) + POWER
    allowed = allowed + np.abs(bias) / np.maximum(np.asarray(stderr, dtype=float), 1e-300)
    assert (np.abs(z) > allowed).any(), f"the wrong value {wrong} passes: estimate {estimate}, standard error {stderr}"


def apply(matrix, x):
    """A matrix on points (n, d). Not by BLAS, whose threads cost more than these small products gain."""
    return np.einsum("ij,nj->ni", matrix, x)


def mean_and_error(samples):
    """Mean over the first axis and its standard error."""
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


def chi_square_of(z):
    """Two-sided p-value of a sum of squared independent z-scores."""
    total = float(np.square(z).sum())
    return 2.0 * min(chi2.cdf(total, np.size(z)), chi2.sf(total, np.size(z)))


def chain_moments(step, noise, x0, steps):
    """Mean and covariance of x' = step x + n, Cov n = noise, after so many steps."""
    mean, cov = np.asarray(x0, dtype=float), np.zeros_like(noise, dtype=float)
    for _ in range(steps):
        mean, cov = step @ mean, step @ cov @ step.T + noise
    return mean, cov


def sgd_moments(h, cov, lr, x0, steps):
    """Mean and covariance of SGD about the optimum; cov is that of the gradient of one step, Σ/B."""
    h, cov = np.atleast_2d(h), np.atleast_2d(cov)
    return chain_moments(np.eye(len(h)) - lr * h, lr**2 * cov, np.atleast_1d(x0), steps)


def ou_moments(rate, diffusion, x0, t):
    """Mean and covariance of dX = -rate X dt + S dW, S Sᵀ = diffusion, by Van Loan's block exponential.

    Over a short time, which is then doubled: over a long one the block's growing part would swamp the rest.
    """
    rate, diffusion = np.atleast_2d(rate), np.atleast_2d(diffusion)
    d = len(rate)
    doublings = max(0, int(np.ceil(np.log2(np.abs(rate).sum() * t + 1e-300))))
    block = expm(t / 2**doublings * np.block([[rate, diffusion], [np.zeros((d, d)), -rate.T]]))
    phi = block[d:, d:].T
    cov = phi @ block[:d, d:]
    for _ in range(doublings):
        phi, cov = phi @ phi, cov + phi @ cov @ phi.T
    return phi @ np.atleast_1d(x0), (cov + cov.T) / 2


def ou_stationary(rate, diffusion):
    """V of rate V + V rateᵀ = diffusion."""
    return solve_continuous_lyapunov(np.atleast_2d(rate), np.atleast_2d(diffusion))


def sgd_stationary(h, cov, lr):
    """V of V = (I - lr h) V (I - lr h) + lr² cov."""
    h, cov = np.atleast_2d(h), np.atleast_2d(cov)
    return solve_discrete_lyapunov(np.eye(len(h)) - lr * h, lr**2 * cov)


def affine_recursion(h, base, slope, dt, steps, x0, *, milstein=False):
    """E x² and E x⁴ of dX = -h X dt + sqrt(base + slope X²) dW, stepped by Euler-Maruyama or Milstein; exact.

    Only even powers of the deviation survive the expectation, and its square is affine in x²: the recursion closes.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    dw = np.sqrt(dt) * nodes
    p = 1.0 - h * dt + (0.5 * slope * (dw**2 - dt) if milstein else 0.0 * dw)  # x' = p x + sqrt(base + slope x²) dw

    def expect(values):
        return float(weights @ values)

    m2, m4 = float(x0) ** 2, float(x0) ** 4
    for _ in range(steps):
        m4 = (
            expect(p**4) * m4
            + 6.0 * expect(p**2 * dw**2) * (base * m2 + slope * m4)
            + expect(dw**4) * (base**2 + 2.0 * base * slope * m2 + slope**2 * m4)
        )
        m2 = expect(p**2) * m2 + expect(dw**2) * (base + slope * m2)
    return m2, m4


def linear_recursion(n, scheme, t=1.0):
    """E X Xᵀ of the non-commuting linear equation after n steps; scheme "euler", "milstein" or "no_areas".

    Iterated integrals have mean 0 and variance h²/2 and are uncorrelated with each other and the increments. Without
    areas, I_(i,j) = ΔW_i ΔW_j / 2 off the diagonal.
    """
    h = t / n
    eye = np.eye(2)
    products = np.array([[LINEAR_B[j] @ LINEAR_B[i] for j in range(2)] for i in range(2)])  # L^i b^j = B_j B_i x
    moment = np.outer(LINEAR_START, LINEAR_START)
    for _ in range(n):
        new = (eye + h * LINEAR_A) @ moment @ (eye + h * LINEAR_A).T
        new = new + h * sum(b @ moment @ b.T for b in LINEAR_B)
        if scheme == "milstein":
            new = new + h**2 / 2.0 * sum(p @ moment @ p.T for row in products for p in row)
        elif scheme == "no_areas":
            new = new + h**2 / 2.0 * sum(products[i, i] @ moment @ products[i, i].T for i in range(2))
            mixed = products[0, 1] + products[1, 0]
            new = new + h**2 / 4.0 * mixed @ moment @ mixed.T
        moment = new
    return moment


# Largest error of the second moment by Platen's scheme with three-point increments in 4, 8, 16, 32 steps.
LINEAR_PLATEN_ERROR = (0.00146069, 0.00033131, 0.00007899, 0.00001929)


def normal_law(variance):
    """Nodes and weights with the first nine moments of a normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    return np.sqrt(variance) * nodes, weights / weights.sum()


def three_point_law(variance):
    """The values of three-point increments and their probabilities."""
    return np.sqrt(3.0 * variance) * np.array([-1.0, 0.0, 1.0]), np.array([1.0, 4.0, 1.0]) / 6.0


def platen_matrix(a, b, t, h, dw, v, *, times=(1.0, 0.0), quarter=0.25, turn=-1.0):
    """The matrix of a step of Platen's scheme for dX = a(t) X dt + Σ b_j(t) X dW_j, as in spec: V_rj = v for r < j.

    ``times`` are those of the points R and U within the step, ``turn`` is V_jr / V_rj: open to be broken.
    """
    eye, root = np.eye(len(a(t))), np.sqrt(h)
    now, at_r, at_u = b(t), b(t + times[0] * h), b(t + times[1] * h)
    m = len(now)
    later = a(t + h) @ (eye + h * a(t) + np.tensordot(dw, now, 1))
    step = eye + h / 2 * (a(t) + later)
    for j in range(m):
        up, down = (at_r[j] @ (eye + h * a(t) + c * now[j]) for c in (root, -root))
        mean, slope = up + down + 2 * now[j], (up - down) * (dw[j] ** 2 - h)
        for r in range(m):
            if r != j:
                up, down = (at_u[j] @ (eye + c * now[r]) for c in (root, -root))
                mean = mean + up + down - 2 * now[j]
                slope = slope + (up - down) * (dw[j] * dw[r] + (v if r < j else turn * v))
        step = step + quarter * mean * dw[j] + slope / (4 * root)
    return step


def platen_recursion(a, b, start, n, law=normal_law, t=1.0, **broken):
    """E X Xᵀ of a linear equation with one or two Wiener processes after n steps of Platen's scheme; exact."""
    h, m = t / n, len(b(0.0))
    nodes, weights = law(h)
    moment = np.outer(start, start)
    for k in range(n):
        new = np.zeros_like(moment)
        for index in np.ndindex((len(nodes),) * m):
            for v in (h, -h):
                step = platen_matrix(a, b, k * h, h, nodes[list(index)], v, **broken)
                new = new + 0.5 * weights[list(index)].prod() * step @ moment @ step.T
        moment = new
    return moment


def simpson_expectation(function, density, low, high, n=20001):
    """Expectation under an unnormalised 1-D density that is negligible outside [low, high]."""
    x = np.linspace(low, high, n)
    weight = density(x)
    return float((function(x) * weight).sum() / weight.sum())
