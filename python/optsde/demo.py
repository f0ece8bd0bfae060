"""The demonstration: three stationary distributions against theory, as a table and a picture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import integrate, linalg, stats
from sklearn.datasets import load_diabetes

from optsde._arrays import FloatArray
from optsde.ensemble import Ensemble
from optsde.langevin import Langevin
from optsde.losses import DoubleWell, Quadratic
from optsde.noise import AffineDiagonal, Gaussian
from optsde.observers import Expectation, Histogram, Moments
from optsde.optimizers import SGD
from optsde.ornstein_uhlenbeck import OrnsteinUhlenbeck
from optsde.problem import Problem
from optsde.simulate import simulate

_BINS = 120


@dataclass(frozen=True)
class Row:
    """One measured number against its theory."""

    experiment: str
    quantity: str
    measured: float
    stderr: float
    theory: float
    rate: float

    @property
    def z(self) -> float:
        """Distance from theory in standard errors."""
        return (self.measured - self.theory) / self.stderr


@dataclass(frozen=True)
class Panel:
    """One density over its theory."""

    title: str
    label: str
    densities: list[tuple[str, FloatArray, FloatArray]]  # name, bin centres, density
    theories: list[tuple[str, FloatArray, FloatArray]]
    logarithmic: bool


def _rate(ens: Ensemble) -> float:
    return float(ens._raw["path_steps"]) / max(ens.wall_time, 1e-9)


def _density(ens: Ensemble) -> tuple[FloatArray, FloatArray]:
    edges = np.asarray(ens.histogram.edges)
    return (edges[1:] + edges[:-1]) / 2.0, ens.histogram.density[0]


@dataclass(frozen=True)
class Regression:
    """Least squares on the diabetes data: curvature, and covariance of one example's gradient at the optimum."""

    hessian: FloatArray
    sigma: FloatArray
    names: list[str]

    @classmethod
    def load(cls) -> Regression:
        """The data, with features and target standardised."""
        data: Any = load_diabetes()
        x, y = stats.zscore(data.data, axis=0), stats.zscore(data.target)
        hessian = x.T @ x / len(x)
        residuals = x @ np.linalg.solve(hessian, x.T @ y / len(x)) - y
        gradients = x * residuals[:, None]
        # The mean gradient vanishes at the optimum, so there is none to subtract.
        return cls(hessian, gradients.T @ gradients / len(x), list(data.feature_names))

    def rows(self, name: str, ens: Ensemble, theory: FloatArray) -> list[Row]:
        """The largest and the smallest variance, and the largest covariance, against theory."""
        diagonal = np.diag(theory)
        places = [(int(k), int(k)) for k in (diagonal.argmax(), diagonal.argmin())]
        places.append(divmod(int(np.triu(np.abs(theory), 1).argmax()), len(theory)))
        return [
            Row(
                name,
                f"var {self.names[i]}" if i == j else f"cov {self.names[i]}, {self.names[j]}",
                float(ens.cov[0, i, j]),
                float(ens.cov_stderr[0, i, j]),
                float(theory[i, j]),
                _rate(ens),
            )
            for i, j in places
        ]


def _diabetes(paths: int, seed: int, threads: int | None) -> tuple[list[Row], Panel]:
    """SGD near the optimum of a regression: exact steps of its SDE, and the algorithm itself."""
    data = Regression.load()
    lr, batch = 0.25, 8
    rate = lr * data.sigma / batch
    # What is missing of the stationary covariance falls like exp(-2 λ t): this leaves 4e-11 of it.
    span = 12.0 / float(np.linalg.eigvalsh(data.hessian)[0])
    stationary = linalg.solve_continuous_lyapunov(data.hessian, rate)
    discrete = linalg.solve_discrete_lyapunov(np.eye(len(data.hessian)) - lr * data.hessian, lr * rate)
    # The direction in which the finite learning rate shows most.
    shown = int((np.diag(discrete) / np.diag(stationary)).argmax())
    width = 5.0 * float(np.sqrt(discrete[shown, shown]))
    observe = [Moments(cov=True), Histogram(_BINS, (-width, width), coords=shown)]
    common: dict[str, Any] = {"observe": observe, "rng": seed, "threads": threads}

    equation = OrnsteinUhlenbeck(data.hessian, 0.0, rate)
    start = np.zeros(equation.dim)
    exact = simulate(equation, start, n_paths=paths, t1=span, dt=span / 24, method="ornstein_uhlenbeck", **common)
    algorithm = SGD(lr).discrete(Problem(Quadratic(data.hessian), Gaussian(data.sigma), batch_size=batch))
    chain = simulate(algorithm, start, n_paths=max(paths // 50, 1), steps=int(np.ceil(span / lr)), **common)

    grid = np.linspace(-width, width, 400)
    laws = (("SDE, theory", stationary), ("SGD, theory", discrete))
    panel = Panel(
        f"SGD on the diabetes regression, η = {lr:g}, B = {batch}",
        f"coefficient of {data.names[shown]} - optimum",
        [("SDE", *_density(exact)), ("SGD", *_density(chain))],
        [(name, grid, stats.norm.pdf(grid, scale=np.sqrt(cov[shown, shown]))) for name, cov in laws],
        logarithmic=True,
    )
    return data.rows("regression, SDE", exact, stationary) + data.rows("regression, SGD", chain, discrete), panel


def _double_well(paths: int, seed: int, threads: int | None) -> tuple[list[Row], Panel]:
    """Overdamped motion in a double well against its Gibbs density."""
    temperature, edge = 0.4, 2.2
    ens = simulate(
        Langevin(DoubleWell(), temperature),
        np.linspace(-1.0, 1.0, paths)[:, None],  # symmetric, so that no barrier has to be crossed
        t1=4.0,
        dt=0.001,
        observe=[
            Histogram(_BINS, (-edge, edge), coords=0),
            Expectation(lambda x: x[:, 0] ** 2, "x²"),
            Expectation(lambda x: x[:, 0] ** 4, "x⁴"),
        ],
        rng=seed,
        threads=threads,
    )

    def weight(x: float, power: int = 0) -> float:
        return float(x**power * np.exp(-((x * x - 1.0) ** 2) / temperature))

    total = integrate.quad(weight, -4.0, 4.0, epsabs=1e-12)[0]
    rows = []
    for name, power in (("x²", 2), ("x⁴", 4)):
        theory = integrate.quad(weight, -4.0, 4.0, args=(power,), epsabs=1e-12)[0] / total
        found = ens.expectations[name]
        rows.append(Row("double well", f"E {name}", float(found.mean[0]), float(found.stderr[0]), theory, _rate(ens)))
    grid = np.linspace(-edge, edge, 400)
    gibbs = np.exp(-((grid**2 - 1.0) ** 2) / temperature) / total
    panel = Panel("double well", "x", [("simulation", *_density(ens))], [("Gibbs density", grid, gibbs)], False)
    return rows, panel


def _student(paths: int, seed: int, threads: int | None) -> tuple[list[Row], Panel]:
    """Noise that grows away from the minimum: power-law tails, Student's t."""
    curvature, lr, base, slope = 1.0, 0.1, 1.0, 4.0
    freedom = 1.0 + 2.0 * curvature / (lr * slope)
    scale = float(np.sqrt(base / (slope * freedom)))
    law = stats.t(freedom, scale=scale)
    tail, edge = 4.0 * scale, 8.0 * scale
    problem = Problem(Quadratic(curvature, dim=1), AffineDiagonal(base, slope))
    ens = simulate(
        SGD(lr).sde(problem),
        0.0,
        n_paths=paths,
        steps=120,
        substeps=64,
        method="milstein",
        observe=[
            Moments(),
            Histogram(_BINS, (-edge, edge), coords=0),
            Histogram(1, (-tail, tail), coords=0, name="tail"),
        ],
        rng=seed,
        threads=threads,
    )
    beyond: Any = ens["tail"]
    share = float(beyond.underflow[0] + beyond.overflow[0]) / paths
    theory = float(2.0 * law.sf(tail))
    rows = [
        Row(
            "Student tails", "variance", float(ens.var[0, 0]), float(ens.var_stderr[0, 0]), float(law.var()), _rate(ens)
        ),
        Row("Student tails", "P(|x| > 4 scales)", share, float(np.sqrt(theory / paths)), theory, _rate(ens)),
    ]
    grid = np.linspace(-edge, edge, 400)
    normal = stats.norm.pdf(grid, scale=law.std())
    panel = Panel(
        "state-dependent noise",
        "x",
        [("simulation", *_density(ens))],
        [(f"Student t, ν = {freedom:.3g}", grid, law.pdf(grid)), ("Gaussian of that variance", grid, normal)],
        logarithmic=True,
    )
    return rows, panel


def _draw(panels: list[Panel], out: Path) -> None:
    # A figure without pyplot: no display, no global state.
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(13.0, 4.0), layout="constrained")
        for k, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), k + 1)
            for c, (name, x, density) in enumerate(panel.densities):
                shown = np.where(density > 0.0, density, np.nan)
                axes.step(x, shown, where="mid", lw=2.5, alpha=0.4, color=f"C{c}", label=name)
            # A theory has the colour of its simulation.
            for c, (name, x, density) in enumerate(panel.theories):
                axes.plot(x, density, lw=1.2, ls="--", color=f"C{c}", label=name)
            if panel.logarithmic:
                axes.set_yscale("log")
                axes.set_ylim(bottom=0.1 * float(panel.theories[0][2].min()))
            axes.set_title(panel.title)
            axes.set_xlabel(panel.label)
            axes.set_ylabel("density")
            axes.legend(fontsize=7)
        figure.savefig(out, dpi=130)


def run(out: Path, paths: int, seed: int, threads: int | None) -> None:
    """Runs the three experiments, prints the table and writes the picture."""
    begin = time.perf_counter()
    print(f"{'experiment':<18}{'quantity':<20}{'measured':>12}{'stderr':>10}{'theory':>12}{'z':>7}{'path-steps/s':>14}")
    panels = []
    quarter = max(paths // 4, 1)
    for experiment, count in ((_diabetes, paths), (_double_well, quarter), (_student, quarter)):
        rows, panel = experiment(count, seed, threads)
        panels.append(panel)
        for row in rows:
            numbers = f"{row.measured:>12.6f}{row.stderr:>10.6f}{row.theory:>12.6f}{row.z:>7.2f}{row.rate:>14.3g}"
            print(f"{row.experiment:<18}{row.quantity:<20}{numbers}", flush=True)
    _draw(panels, out)
    print(f"{out} written; {time.perf_counter() - begin:.1f} s")
