"""Quantiles of known laws, and their standard errors against the asymptotic ones."""

import numpy as np
import optsde
from problems import assert_agrees
from scipy.stats import norm

Q = np.array([0.01, 0.1, 0.5, 0.8, 0.99])
N, D = 40_000, 20
# X(1) of dX = -X dt + sqrt(2) dW from 0, exactly.
SD = np.sqrt(1.0 - np.exp(-2.0))


def test_normal_quantiles_and_their_errors():
    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=D)
    ens = optsde.simulate(
        ou,
        np.zeros(D),
        n_paths=N,
        t1=1.0,
        dt=1.0,
        method="ornstein_uhlenbeck",
        rng=11,
        observe=optsde.Quantiles(Q, rtol=2.0**-14),
    )
    found = ens["quantiles"]
    exact = SD * norm.ppf(Q)[:, None] + np.zeros(D)
    wrong = [1.1 * exact, exact + 0.08]
    assert_agrees(found.values[0], found.stderr[0], exact, wrong=wrong)
    asymptotic = SD * np.sqrt(Q * (1.0 - Q) / N) / norm.pdf(norm.ppf(Q))
    # Each rests on some 2 sqrt(N q (1 - q)) spacings, 40 at least: it scatters by 0.16, their mean over D by 0.04.
    np.testing.assert_allclose(found.stderr[0].mean(axis=1), asymptotic, rtol=0.2)
    z = (found.values[0] - exact) / asymptotic[:, None]
    assert 0.5 < np.square(z).mean() < 1.6
