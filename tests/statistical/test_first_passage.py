"""First passage times of known laws: Brownian motion with drift at any step, and a double well's escape."""

import numpy as np
import optsde
import pytest
from optsde import regions
from problems import assert_agrees
from scipy.stats import invgauss, norm

LEVEL, DRIFT = 1.0, 0.5
END = 40.0


def brownian(sign, sigma=1.0):
    return optsde.SDE(
        lambda t, x: np.full_like(x, sign * DRIFT), lambda t, x: np.full_like(x, sigma), dim=1, noise="diagonal"
    )


def passage(sign, n, bridge=None, rng=5, dt=1.0):
    region = (regions.Above if sign > 0 else regions.Below)(sign * LEVEL)
    ens = optsde.simulate(
        brownian(sign), 0.0, n_paths=n, t1=END, dt=dt, rng=rng, observe=optsde.FirstPassage(region, bridge=bridge)
    )
    return ens["first_passage"]


def kolmogorov(times, cdf):
    """Kolmogorov's distance of times, of which those after the end are inf, from a law."""
    n = len(times)
    arrived = np.sort(times[np.isfinite(times)])
    exact, rank = cdf(arrived), np.arange(1, len(arrived) + 1)
    return max(np.abs(rank / n - exact).max(), np.abs((rank - 1) / n - exact).max())


def law(t):
    """Hitting time of a level by Brownian motion with drift: inverse Gaussian, mean 2, shape 1."""
    mean, shape = LEVEL / DRIFT, LEVEL**2
    return invgauss.cdf(t, mean / shape, scale=shape)


@pytest.mark.parametrize("sign", [1, -1])
def test_brownian_motion_with_drift_hits_a_level(sign):
    """Exact at a step half as long as the mean; false alarm 1e-6 by Massart's bound 2 exp(-2 n D²)."""
    n = 20_000
    bound = np.sqrt(np.log(2e6) / (2 * n))
    found = passage(sign, n)
    assert kolmogorov(found.times, law) < bound
    late = passage(sign, n, bridge=False)
    assert kolmogorov(late.times, law) > 5 * bound
    arrived = np.isfinite(found.times)
    assert (found.places[arrived, 0] == sign * LEVEL).all()
    # The mean of those that arrived by the end; nearly all did.
    grid = np.linspace(0.0, END, 400_001)[1:]
    exact = END - np.trapezoid(law(grid) / law(END), grid)
    assert_agrees(found.mean, found.stderr, exact, wrong=[exact + 0.5, 1.15 * exact])


def test_double_well_escape():
    """x⁴/4 - x²/2 at D = 0.2 from -1 to 0: 7.934017 (quadrature). The level is approached between steps."""
    langevin = optsde.Langevin(optsde.losses.DoubleWell(0.25), 0.2)
    watch = [
        optsde.FirstPassage(regions.Above(0.0)),
        optsde.FirstPassage(regions.Above(0.0), bridge=False, name="late"),
    ]
    ens = optsde.simulate(
        langevin, -1.0, n_paths=20_000, t1=160.0, dt=0.05, method="heun", rng=4, observe=watch, threads=2
    )
    found, late = ens["first_passage"], ens["late"]
    assert found.n_censored == 0
    # What is left is the scheme's own error.
    assert_agrees(found.mean, found.stderr, 7.934017, bias=0.05, wrong=[7.0, 8.9])
    # Without the bridge the level is as if 0.58 sigma sqrt(h) farther (S. Asmussen et al., 1995).
    assert late.mean - found.mean > 0.5


def test_rate_counts_censored_paths():
    """Exponential waiting: jumps over a level from a tight well are Poisson's; half of the paths are censored."""
    problem = optsde.Problem(optsde.losses.Quadratic([1.0]), optsde.noise.Gaussian(1.0))
    chain = optsde.SGD(1.0).discrete(problem)  # independent normals
    ens = optsde.simulate(chain, 0.0, n_paths=20_000, steps=100, rng=2, observe=optsde.FirstPassage(regions.Above(2.5)))
    found = ens["first_passage"]
    p = norm.sf(2.5)
    assert 0.3 < found.n_censored / 20_000 < 0.8
    assert_agrees(found.rate, found.rate_stderr, p, wrong=[1.0 / found.mean, 1.2 * p])
