"""Noise that grows with the distance from the minimum gives SGD a stationary law with power-law tails.

The first-order equation of SGD with variance ``s0² + s1² x²`` has a Student-t law; the tails of a Gaussian of the same
variance are far too thin. Run it with ``python examples/noise_induced_tails.py``; it takes a few seconds.
"""

import math

import numpy as np
import optsde

LR, CURVATURE, BASE, SLOPE = 0.5, 1.0, 0.25, 1.0


def main() -> None:
    problem = optsde.Problem(optsde.losses.Quadratic(CURVATURE, dim=1), optsde.noise.AffineDiagonal(BASE, SLOPE))
    df = 1 + 2 * CURVATURE / (LR * SLOPE)
    variance = LR * BASE / (2 * CURVATURE - LR * SLOPE)
    at = [1.0, 2.0, 3.0, 4.0]

    def beyond(k: float) -> optsde.Expectation:
        limit = k * math.sqrt(variance)
        return optsde.Expectation(lambda x: (np.abs(x[:, 0]) > limit).astype(float), f"beyond {k}")

    ensemble = optsde.simulate(
        optsde.SGD(LR).sde(problem),
        0.0,
        n_paths=100_000,
        t1=12.0,
        dt=0.02,
        method="milstein",
        observe=[optsde.Moments(), *map(beyond, at)],
        rng=1,
    )
    print(
        f"Student t with {df:g} degrees of freedom; variance {variance:.5f}, measured "
        f"{ensemble.var[-1, 0]:.5f} ± {ensemble.var_stderr[-1, 0]:.5f}"
    )
    print("  |x| > k σ      measured ± stderr       Gaussian")
    for k in at:
        tail = ensemble.expectations[f"beyond {k}"]
        print(f"     k = {k:g}   {tail.mean[-1]:.6f} ± {tail.stderr[-1]:.6f}   {math.erfc(k / math.sqrt(2)):.6f}")


if __name__ == "__main__":
    main()
