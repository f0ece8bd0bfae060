"""The problem and the hyperparameters of the published coefficients of RMSprop and Adam.

f = theta' A theta / 2 + q/4 (theta1⁴ + theta2⁴) + p theta1² theta2 with noise Sigma = S0 + 0.1 theta theta'. In the
batch-equivalent regime v of the formulas is lr² times the library's, and so is the noise's variance.
"""

import closed_moments as closed
import numpy as np
import optsde
import reference_optimizers as reference

TAU, C, C1, C2, EPS, T = 0.125, 0.8, 1.5, 0.8, 0.05, 1.0
A = np.array([[1.2, 0.4], [0.4, 0.8]])
Q, P = 0.1, 0.15
S0 = np.array([[0.30, 0.08], [0.08, 0.20]])
NAMES = {"RMSprop": ("theta", "v"), "Adam": ("theta", "m", "v")}
REGIMES = ("ballistic", "batch_equivalent")
ORDERINGS = ("lagged", "fresh")


def grad(x):
    linear = np.einsum("ij,...j->...i", A, x)
    mixed = np.stack([2 * P * x[..., 0] * x[..., 1], P * x[..., 0] ** 2], axis=-1)
    return linear + Q * x**3 + mixed


def hessian(x):
    h = np.empty((*x.shape, 2))
    h[..., 0, 0] = A[0, 0] + 3 * Q * x[..., 0] ** 2 + 2 * P * x[..., 1]
    h[..., 1, 1] = A[1, 1] + 3 * Q * x[..., 1] ** 2
    h[..., 0, 1] = h[..., 1, 0] = A[0, 1] + 2 * P * x[..., 0]
    return h


def third(x, s):
    s = np.broadcast_to(s, (*x.shape, 2))
    out = 6 * Q * x * np.einsum("...ii->...i", s)
    out[..., 0] += 2 * P * (s[..., 0, 1] + s[..., 1, 0])
    out[..., 1] += 2 * P * s[..., 0, 0]
    return out


def value(x):
    quadratic = 0.5 * np.einsum("...i,ij,...j->...", x, A, x)
    return quadratic + Q / 4 * (x**4).sum(axis=-1) + P * x[..., 0] ** 2 * x[..., 1]


def sigma(x, constant=False):
    return S0 if constant else S0 + 0.1 * np.einsum("...i,...j->...ij", x, x)


def problem(variance, noise):
    """``noise``: "theta" (depends on it), "constant", "none"; multiplied by ``variance``."""
    loss = optsde.losses.Function(grad, dim=2, value=value, hessian=hessian, third=third)
    if noise == "none":
        return optsde.Problem(loss, optsde.noise.Zero())
    if noise == "constant":
        return optsde.Problem(loss, optsde.noise.Gaussian(variance * S0))
    root = np.linalg.cholesky(S0)

    def factor(x):
        # Σ = R Rᵀ + 0.1 θ θᵀ: the columns of R and sqrt(0.1) θ.
        own = np.broadcast_to(root, (len(x), 2, 2))
        return np.sqrt(variance) * np.concatenate([own, np.sqrt(0.1) * np.asarray(x)[:, :, None]], axis=2)

    def jacobian(x):
        out = np.zeros((len(x), 2, 3, 2))
        out[:, 0, 2, 0] = out[:, 1, 2, 1] = np.sqrt(0.1 * variance)
        return out

    return optsde.Problem(loss, optsde.noise.Function(factor, kind="full", n_wiener=3, jacobian=jacobian))


def small(regime, tau):
    """The rate of a clock, and what divides the formulas' eps (its square: noise variance and v) into the library's."""
    if regime == "ballistic":
        return tau, 1.0
    return np.sqrt(tau), np.sqrt(tau)


def optimizer(name, regime, ordering, tau=TAU, eps=EPS, c=(C1, C2), bias_correction=True):
    lr, unit = small(regime, tau)
    if name == "RMSprop":
        return optsde.RMSprop(lr, alpha=1 - C * tau, eps=eps / unit, ordering=ordering)
    betas = tuple(1 - rate * tau for rate in c)
    return optsde.Adam(lr, betas=betas, eps=eps / unit, bias_correction=bias_correction, ordering=ordering)


def corrected(opt, prob, regime):
    """The model of order 2, or what there is of it in the batch-equivalent regime."""
    return opt.sde(prob, order=2 if regime == "ballistic" else "corrected", regime=regime)


def adam_gain(tau, offsets, c=(C1, C2)):
    """Gamma(t) and its derivative."""
    first, second = closed.corrections(c[0], tau, offsets[0]), closed.corrections(c[1], tau, offsets[1])

    def gain(t):
        (a, da), (b, db) = first(t), second(t)
        return np.sqrt(b) / a, db / (2 * np.sqrt(b) * a) - np.sqrt(b) * da / a**2

    return gain


def leading(name, regime, ordering, tau, moments):
    """b0 and a0 of the stacked state in the formulas' units; ``moments(theta)``: the gradient's mean and covariance."""
    gain = adam_gain(tau, reference.OFFSETS[ordering])
    second = closed.corrections(C2, tau, reference.OFFSETS[ordering][1])
    batch = regime == "batch_equivalent"

    def b0(x, t):
        (g, cov), v = moments(x[:2]), x[-2:]
        r = np.diag(cov) - v + (0.0 if batch else g**2)
        if name == "RMSprop":
            return np.concatenate([-g / (np.sqrt(v) + EPS), C * r])
        d = 1 / (np.sqrt(v) + EPS * np.sqrt(second(t)[0]))
        return np.concatenate([-gain(t)[0] * d * x[2:4], C1 * (g - x[2:4]), C2 * r])

    def a0(x, t):
        out = np.zeros((len(x), len(x)))
        if batch and name == "RMSprop":
            d = 1 / (np.sqrt(x[-2:]) + EPS)
            out[:2, :2] = d[:, None] * moments(x[:2])[1] * d
        elif batch:
            out[2:4, 2:4] = C1**2 * moments(x[:2])[1]
        return out

    return b0, a0
