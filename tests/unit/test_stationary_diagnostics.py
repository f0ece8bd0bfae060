"""Diagnostics of chains: ArviZ's numbers on the same draws, known autocorrelation times, and what they refuse."""

import numpy as np
import optsde
import pytest
from optsde import diagnostics
from problems import z_limit


def chains(r, m, n, seed, jitter=0.0):
    """Stationary AR(1) chains (m, n) with correlation r, of means that differ by ``jitter``."""
    rng = np.random.default_rng(seed)
    x = np.empty((m, n))
    x[:, 0] = rng.normal(size=m)
    for k in range(1, n):
        x[:, k] = r * x[:, k - 1] + np.sqrt(1 - r * r) * rng.normal(size=m)
    return x + jitter * rng.normal(size=(m, 1))


CASES = {
    "white": chains(0.0, 4, 400, 1),
    "slow": chains(0.95, 4, 501, 2),
    "alternating": chains(-0.6, 3, 300, 3),
    "apart": chains(0.5, 5, 250, 4, jitter=1.0),
    "ties": np.round(chains(0.7, 4, 333, 5), 1),
    "heavy": np.sinh(3 * chains(0.8, 2, 600, 6)),
    "short": chains(0.9, 2, 8, 7),
    "many": chains(0.99, 64, 100, 8),
    "far from zero": 1e3 + chains(0.3, 4, 100, 9),
}


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_arviz_s(case):
    arviz = pytest.importorskip("arviz")
    if hasattr(arviz, "Numba"):  # before its version 1, where numba's mcse of the sd is not for NumPy 2
        arviz.Numba.disable_numba()
    x = CASES[case]
    pairs = [(diagnostics.rhat(x, method), arviz.rhat(x, method=method)) for method in ("rank", "split")] + [
        (diagnostics.ess(x, method), arviz.ess(x, method=method)) for method in ("bulk", "mean")
    ]
    pairs += [(diagnostics.mcse(x, method), arviz.mcse(x, method=method)) for method in ("mean", "sd")]
    for ours, theirs in pairs:
        assert ours == pytest.approx(float(theirs), rel=1e-8)


def test_coordinates_are_taken_one_by_one():
    draws = np.stack([CASES["white"], chains(0.9, 4, 400, 11)], axis=2)
    for function in (diagnostics.rhat, diagnostics.ess, diagnostics.iact, diagnostics.mcse):
        together = function(draws)
        assert together.shape == (2,)
        assert together.tolist() == [function(draws[..., 0]), function(draws[..., 1])]


def test_known_autocorrelation_times():
    # Spec 07.7: SGD with lr h = .1 is AR(1) with r = .9; its square has r²; Ornstein-Uhlenbeck is read every .1.
    sgd = optsde.SGD(0.1).discrete(optsde.Problem(optsde.losses.Quadratic(1.0, dim=1), optsde.noise.Gaussian(1.0)))
    run = {"n_paths": 256, "rng": 3, "observe": optsde.Paths(at=1001)}
    x = optsde.simulate(sgd, optsde.initial.Gaussian(0.0, 0.1 / 1.9), steps=1000, **run).paths[..., 0].T
    ou = optsde.OrnsteinUhlenbeck(1.0, 0.0, 2.0, dim=1)
    run |= {"dt": 0.1, "method": "ornstein_uhlenbeck"}
    y = optsde.simulate(ou, optsde.initial.Gaussian(0.0, 1.0), t1=100.0, **run).paths[..., 0].T
    for draws, exact in ((x, 19.0), (x**2, 9.526315789), (y, 20.016663890)):
        found = diagnostics.iact(draws)
        # The windowed sum's relative variance is about 2 (2 M + 1)/N for M lags (Madras and Sokal 1988).
        stderr = exact * np.sqrt(2 * (2 * 4 * exact + 1) / draws.size)
        assert abs(found - exact) < z_limit(3) * stderr + 0.05 * exact
        assert stderr < 0.05 * exact


def test_what_can_not_be_judged():
    assert np.isnan(diagnostics.rhat(np.ones((2, 10))))
    assert np.isnan(diagnostics.ess([[1.0, 2.0, np.nan, 3.0]]))
    assert diagnostics.ess(np.ones((2, 10)), "mean") == 20
    for bad in (np.zeros(10), np.zeros((2, 3)), np.zeros((1, 2, 3, 4))):
        with pytest.raises(ValueError, match="draws: expected shape"):
            diagnostics.ess(bad)
    for function in (diagnostics.rhat, diagnostics.ess, diagnostics.mcse):
        with pytest.raises(ValueError, match="method: expected one of"):
            function(CASES["white"], "median")
