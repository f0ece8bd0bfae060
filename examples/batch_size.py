"""How batch size and learning rate set the width of an SGD run's stationary distribution, against theory.

Run it with ``python examples/batch_size.py``; it takes about a second and prints a table.
"""

import numpy as np
import optsde

HESSIAN = np.array([[2.0, 0.5], [0.5, 1.0]])
COV = np.array([[1.0, 0.3], [0.3, 0.5]])  # of one example's gradient


def stationary_variances(lr: float, batch_size: int) -> tuple[optsde.Ensemble, np.ndarray]:
    """The algorithm's ensemble after twelve relaxation times, and the solution of its discrete Lyapunov equation."""
    problem = optsde.Problem(optsde.losses.Quadratic(HESSIAN), optsde.noise.Gaussian(COV), batch_size=batch_size)
    slowest = np.linalg.eigvalsh(HESSIAN).min()
    steps = int(np.ceil(12 / (lr * slowest)))
    algorithm = optsde.SGD(lr).discrete(problem)
    ensemble = optsde.simulate(algorithm, np.zeros(2), n_paths=50_000, steps=steps, rng=1)
    step = np.eye(2) - lr * HESSIAN
    lyapunov = np.eye(4) - np.kron(step, step)
    theory = np.linalg.solve(lyapunov, (lr**2 / batch_size * COV).ravel()).reshape(2, 2)
    return ensemble, np.diag(theory)


def main() -> None:
    print("    lr  batch     var θ₁ ± stderr      theory      z     var θ₂ ± stderr      theory      z")
    for lr, batch_size in [(0.05, 1), (0.1, 1), (0.1, 2), (0.2, 4), (0.4, 8)]:
        ensemble, theory = stationary_variances(lr, batch_size)
        var, stderr = ensemble.var[-1], ensemble.var_stderr[-1]
        z = (var - theory) / stderr
        cells = [f"{v:9.6f} ± {e:.6f}  {t:9.6f}  {s:5.2f}" for v, e, t, s in zip(var, stderr, theory, z, strict=True)]
        print(f"{lr:6.2f}  {batch_size:5d}  " + "  ".join(cells))
    print("\nlr / batch is the temperature: doubling both keeps the law while lr times the curvature stays small.")


if __name__ == "__main__":
    main()
