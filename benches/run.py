"""Times optsde and its peers side by side in one process and prints a table: `python benches/run.py --help`."""

import argparse
import contextlib
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

ROWS = ["ou", "milstein", "double_well", "dense10", "dense64", "rosenbrock", "adam_sde", "adam", "minibatch_logistic"]
OWN_ROWS = ["precision", "threads", "numpy_callback", "memory", "growth"]
# name in the table -> module of benches/peers, options of its build
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "optsde": ("optsde_peer", {}),
    "numba": ("numba_peer", {}),
    "numpy": ("numpy_peer", {}),
    "numpy tuned": ("numpy_peer", {"style": "tuned"}),
    "jax": ("jax_peer", {}),
    "diffrax": ("diffrax_peer", {}),
    "torchsde": ("torchsde_peer", {}),
    "own generator": ("floor_peer", {}),
    "mkl icdf": ("mkl_peer", {"method": "icdf"}),
    "mkl boxmuller2": ("mkl_peer", {"method": "boxmuller2"}),
}
MIB = 2.0**20


@dataclass
class Settings:
    """What the command line asked for."""

    threads: int
    rounds: int
    seconds: float  # of one timed call
    quick: bool
    memory: bool
    clock: str  # "wall", or "cpu": processor time, for one thread on a machine that others use too
    records: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Competitor:
    """One way to do the work: `call(n)` does it for n paths; a path has `steps` steps."""

    name: str
    call: Callable[[int, int], Any]
    steps: int
    granule: int = 1
    n_paths: int = 0
    clock: str = "wall"
    times: list[float] = field(default_factory=list)  # seconds per path-step, one a round
    note: str = ""
    same_law: bool = True
    cpu: list[float] = field(default_factory=list)  # processor time over wall time
    results: list[Any] = field(default_factory=list)

    @property
    def ns(self) -> float:
        return 1e9 * statistics.median(self.times)

    def timed(self, seed: int) -> float:
        """Time one call and return its seconds."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = self.call(self.n_paths, seed)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.times.append((wall if self.clock == "wall" else cpu) / (self.n_paths * self.steps))
        self.cpu.append(cpu / wall)
        self.results.append(result)
        return wall

    def calibrate(self, seconds: float) -> None:
        """Compile and warm up, then choose the number of paths so that one call takes about `seconds`."""
        self.n_paths = self.granule
        self.timed(1)
        while (wall := self.timed(2)) < seconds / 2:
            grow = max(2, min(16, int(seconds / wall)))
            self.n_paths *= grow
        self.times, self.cpu, self.results = [], [], []


def race(competitors: list[Competitor], settings: Settings) -> None:
    """Calibrate all, then time them in alternation; the slow ones sit out the later rounds."""
    for c in competitors:
        c.clock = settings.clock
        c.calibrate(settings.seconds)
    slow: dict[str, float] = {}
    for k in range(settings.rounds):
        # the order is reversed every other round
        for c in competitors if k % 2 == 0 else reversed(competitors):
            if k < 3 or slow[c.name] < 4 * settings.seconds:
                slow[c.name] = c.timed(100 + k)


def ratio(slower: Competitor, faster: Competitor) -> float:
    """How many times as long the one takes as the other: the median over rounds that both ran."""
    return statistics.median(a / b for a, b in zip(slower.times, faster.times, strict=False))


def print_table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())
    print(flush=True)


def verdict(value: float, goal: float | None, at_most: bool = False) -> str:
    if goal is None:
        return ""
    ok = value <= goal if at_most else value >= goal
    return f"{'≤' if at_most else '≥'} {goal:.3g} {'met' if ok else 'MISSED'}"


# --- the peers ------------------------------------------------------------------------------------


@contextlib.contextmanager
def one_cpu(active: bool) -> Iterator[None]:
    """Keep threads that are started inside on one CPU: how JAX, which has no such setting, is held to one thread."""
    if not active or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def load_peers(names: list[str], settings: Settings) -> dict[str, Any]:
    """Import the peers that are installed; the others are named with the reason."""
    loaded = {}
    for name in names:
        module, _ = PEERS[name]
        try:
            loaded[name] = importlib.import_module(f"peers.{module}")
        except (ImportError, OSError, AttributeError) as error:
            print(f"  {name}: left out ({str(error).splitlines()[0]})")
    if "jax" in sys.modules:
        with one_cpu(settings.threads == 1):
            sys.modules["jax"].numpy.zeros(8).block_until_ready()
    return loaded


def competitor(name: str, module: Any, workload: Any, settings: Settings, **options: Any) -> Competitor | None:
    """Make a peer ready for a workload; a peer that knows no threads gets one share of the paths for each."""
    from peers import total

    runner = module.build(workload, settings.threads, **{**PEERS.get(name, ("", {}))[1], **options})
    if runner is None:
        return None
    threads = 1 if runner.threaded else settings.threads

    def call(n_paths: int, seed: int) -> Any:
        if threads == 1:
            return runner.run(n_paths, seed)
        with ThreadPoolExecutor(threads) as pool:
            return total(list(pool.map(lambda k: runner.run(n_paths // threads, seed * 1000 + k), range(threads))))

    return Competitor(
        name,
        call,
        runner.steps or workload.n_steps,
        runner.granule * threads,
        note=runner.note,
        same_law=runner.same_law,
    )


def disagreement(c: Competitor, reference: Competitor, kurtosis: float) -> float:
    """Largest z-score between two competitors' means and variances; the scheme is the same, so the laws are equal."""
    import numpy as np
    from peers import total

    (n, s, q), (m, u, v) = total(c.results), total(reference.results)
    means, variances = [s / n, u / m], [q / n - (s / n) ** 2, v / m - (u / m) ** 2]
    z_mean = np.abs(means[0] - means[1]) / np.sqrt(variances[0] / n + variances[1] / m)
    z_var = np.abs(variances[0] / variances[1] - 1) / np.sqrt((kurtosis - 1) * (1 / n + 1 / m))
    return float(max(z_mean.max(), z_var.max()))


def run_workload(name: str, peers: dict[str, Any], settings: Settings) -> None:
    """Time one workload by all peers."""
    from workloads import WORKLOADS

    workload = WORKLOADS[name]
    print(f"{name} — {workload.title}")
    racing = [c for p, module in peers.items() if (c := competitor(p, module, workload, settings)) is not None]
    if not racing:
        print("  none of the peers takes it\n")
        return
    race(racing, settings)
    own = next((c for c in racing if c.name == "optsde"), None)
    base = own or racing[0]
    rows = []
    for c in racing:
        times = sorted(c.times)
        law = ""
        if c.same_law and c is not base:
            z = disagreement(c, base, workload.kurtosis)
            law = f"z {z:.1f}" if z < 6 else f"DIFFERS, z {z:.1f}"
        memory = peak_memory(name, c.name, 100_000 if workload.dim < 64 else 10_000) if settings.memory else None
        versus = ratio(c, base)
        goal = workload.goals.get(c.name) if own and settings.threads == 1 else None
        rows.append(
            [
                c.name + (f" ({c.note})" if c.note else ""),
                f"{c.ns:.2f}",
                f"{1e9 * times[0]:.2f}–{1e9 * times[-1]:.2f}",
                f"{versus:.2f}",
                verdict(versus, goal),
                f"{statistics.median(c.cpu):.2f}",
                f"{memory:.0f}" if memory is not None else "",
                f"{c.n_paths}",
                law,
            ]
        )
        settings.records.append(
            {
                "row": name,
                "peer": c.name,
                "ns": c.ns,
                "ratio": versus,
                "goal": goal,
                "peak_mib": memory,
                "paths": c.n_paths,
            }
        )
    busy = min(statistics.median(c.cpu) for c in racing)
    if settings.threads == 1 and settings.clock == "wall" and busy < 0.9:
        print(f"  (other processes were running: cpu/wall down to {busy:.2f}; `--clock cpu` leaves their time out)")
    print_table(
        ["", "ns/path-step", "range", f"× {base.name}", "goal", "cpu/wall", "peak MiB", "paths", "law"],
        rows,
    )


# --- memory, in processes of their own ------------------------------------------------------------


def high_water() -> float:
    """Peak resident memory of this process so far, in bytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * float(line.split()[1])
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def measure_memory(workload_name: str, peer: str, n_paths: int, settings: Settings) -> None:
    """Print by how many MiB a run raises peak memory above import; "name:k" is optsde with moments at k times."""
    from workloads import WORKLOADS

    workload_name, _, observations = workload_name.partition(":")
    workload = WORKLOADS[workload_name]
    module = load_peers([peer], settings)[peer]
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from what is resident now
    before = high_water()
    if observations:
        import optsde

        dynamics, method = module.dynamics_of(workload)
        observe = [optsde.Moments(at=int(observations) if int(observations) > 1 else None)]
        n_steps = max(16, int(observations) - 1)
        module.simulate(workload, dynamics, method, n_paths, 1, settings.threads, observe=observe, n_steps=n_steps)
    else:
        made = competitor(peer, module, workload, settings)
        assert made is not None
        made.call(n_paths, 1)
    print((high_water() - before) / MIB)


def peak_memory(workload: str, peer: str, n_paths: int, threads: int = 1) -> float | None:
    """Run `measure_memory` in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", workload, peer, str(n_paths), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"  memory of {peer}: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return float(done.stdout.split()[-1])


# --- rows about optsde alone ----------------------------------------------------------------------


def run_precision(module: Any, settings: Settings) -> None:
    """Single precision, single-precision normals and two-point increments against double precision."""
    from workloads import WORKLOADS

    print("precision — the Ornstein–Uhlenbeck run again, with cheaper numbers (times as fast as double precision)")
    variants = [
        ("float64, gaussian", {}, None),
        ("float32", {"dtype": "float32"}, 1.8),
        ("gaussian_f32", {"increments": "gaussian_f32"}, 1.6),
        ("two_point", {"increments": "two_point"}, 6.0),
    ]
    racing = [competitor(name, module, WORKLOADS["ou"], settings, **options) for name, options, _ in variants]
    runners = [c for c in racing if c is not None]
    race(runners, settings)
    rows = []
    for c, (_, _, goal) in zip(runners, variants, strict=True):
        speedup = ratio(runners[0], c)
        rows.append([c.name, f"{c.ns:.3f}", f"{speedup:.2f}", verdict(speedup, goal)])
        settings.records.append({"row": "precision", "peer": c.name, "ns": c.ns, "ratio": speedup, "goal": goal})
    print_table(["", "ns/path-step", "speedup", "goal"], rows)


def run_threads(module: Any, settings: Settings) -> None:
    """Two threads against one."""
    from workloads import WORKLOADS

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if available < 2:
        print("threads — left out: there is one processor\n")
        return
    print("threads — two threads against one")
    rows = []
    for name in ROWS:
        workload = WORKLOADS[name]
        runners = [
            Competitor(f"{k}", module.build(workload, k).run, workload.n_steps, 65536 // workload.dim) for k in (1, 2)
        ]
        race(runners, replace(settings, clock="wall"))
        speedup = ratio(runners[0], runners[1])
        cpu = statistics.median(runners[1].cpu)
        rows.append(
            [
                name,
                f"{runners[0].ns:.2f}",
                f"{runners[1].ns:.2f}",
                f"{speedup:.2f}",
                verdict(speedup, 1.9),
                f"{cpu:.2f}" + (" (no second processor was free)" if cpu < 1.8 else ""),
            ]
        )
        settings.records.append({"row": "threads", "peer": name, "ns": runners[1].ns, "ratio": speedup, "goal": 1.9})
    print_table(["", "one", "two", "speedup", "goal", "cpu/wall of two"], rows)


def run_numpy_callback(module: Any, settings: Settings) -> None:
    """A NumPy gradient: the whole run against the gradient's own time on the same blocks plus the built-in run."""
    import numpy as np
    import optsde
    from workloads import WORKLOADS

    n_paths, workload = 10_000, WORKLOADS["rosenbrock"]
    print(f"numpy_callback — 2-d Rosenbrock gradient in NumPy, {n_paths} paths, {workload.n_steps} steps, one thread")

    def grad(x: Any) -> Any:
        a, b = x[:, 0], x[:, 1]
        out = np.empty((2, len(x))).T
        r = b - a * a
        np.multiply(a * r, -400.0, out=out[:, 0])
        out[:, 0] -= 2.0 * (1.0 - a)
        np.multiply(r, 200.0, out=out[:, 1])
        return out

    blocks: list[Any] = []

    def recording(x: Any) -> Any:
        blocks.append(x.copy(order="K"))
        return grad(x)

    def dynamics(loss: Any) -> Any:
        return optsde.SGD(lr=workload.lr).sde(optsde.Problem(loss, optsde.noise.Gaussian(1.0)))

    def run(loss: Any) -> Callable[[int, int], Any]:
        equation = dynamics(loss)
        return lambda n, seed: module.simulate(workload, equation, "euler_maruyama", n, seed, 1)

    def callback_alone(n: int, seed: int) -> None:
        for block in blocks:
            grad(block)

    run(optsde.losses.Function(recording, dim=2))(n_paths, 1)
    runners = [
        Competitor("whole run", run(optsde.losses.Function(grad, dim=2)), workload.n_steps, n_paths, n_paths),
        Competitor("gradient alone, on the same blocks", callback_alone, workload.n_steps, n_paths, n_paths),
        Competitor("run with the built-in loss", run(optsde.losses.Rosenbrock(2)), workload.n_steps, n_paths, n_paths),
    ]
    for k in range(-1, 3 * settings.rounds):  # short runs, so more of them; the first is a warm-up
        for c in runners:
            c.timed(100 + k)
            if k < 0:
                c.times.clear()
    total = [b + c for b, c in zip(runners[1].times, runners[2].times, strict=True)]
    overhead = statistics.median(a / t for a, t in zip(runners[0].times, total, strict=True))
    rows = [[c.name, f"{c.ns:.2f}", ""] for c in runners]
    rows.append(["whole run / sum of the two", f"{overhead:.3f}", verdict(overhead, 1.15, at_most=True)])
    print_table([f"{len(blocks)} calls, blocks of {len(blocks[0])}", "ns/path-step", "goal"], rows)
    settings.records.append(
        {"row": "numpy_callback", "peer": "optsde", "ns": runners[0].ns, "ratio": overhead, "goal": 1.15}
    )


def run_memory(settings: Settings) -> None:
    """Peak memory above import over the number of paths, each in a process of its own."""
    print("memory — optsde's peak above import, observe=[Moments()], MiB (each a process of its own, all threads)")
    counts = [10**k for k in range(4, 7 if settings.quick else 8)]
    threads = os.cpu_count() or 1
    rows = []
    for label, row in [("d = 1, the end", "ou:1"), ("d = 10, 101 times", "dense10:101")]:
        peaks = [peak_memory(row, "optsde", n, threads) for n in counts]
        known = [p for p in peaks if p is not None]
        rows.append(
            [
                label,
                *(f"{p:.1f}" if p is not None else "failed" for p in peaks),
                verdict(max(known), 64, at_most=True) if known else "",
            ]
        )
        settings.records.append({"row": "memory", "peer": label, "paths": counts, "peak_mib": peaks, "goal": 64})
    print_table(["paths", *(f"{n:.0e}" for n in counts), "goal"], rows)


def run_growth(module: Any, settings: Settings) -> None:
    """How the cost of one path-step depends on the number of paths, of steps and of dimensions."""
    import numpy as np
    import optsde
    from workloads import WORKLOADS, Workload

    def cost(workload: Workload, dynamics: Any, n_paths: int, n_steps: int) -> str:
        c = Competitor(
            "",
            lambda n, seed: module.simulate(
                workload, dynamics, "euler_maruyama", n, seed, settings.threads, n_steps=n_steps
            ),
            n_steps,
            n_paths,
            n_paths,
        )
        c.timed(0)
        start = time.perf_counter()
        c.times.clear()
        while len(c.times) < 3 or (time.perf_counter() - start < settings.seconds and len(c.times) < 50):
            c.timed(len(c.times))
        return f"{c.ns:.2f}"

    ou = WORKLOADS["ou"]
    equation, _ = module.dynamics_of(ou)
    print(f"growth — ns per path-step of optsde, {settings.threads} thread(s)")
    paths = [1, 64, 1000, 10_000, 100_000, 1_000_000]
    print_table(["paths (d = 1, 256 steps)", *map(str, paths)], [["", *(cost(ou, equation, n, 256) for n in paths)]])
    steps = [1, 16, 256, 4096]
    print_table(
        ["steps (d = 1, 16384 paths)", *map(str, steps)], [["", *(cost(ou, equation, 16384, k) for k in steps)]]
    )
    dims = [1, 2, 4, 8, 16, 32, 64, 100]
    rows = []
    for label, matrix in [("diagonal H and Σ", False), ("dense H and Σ", True)]:
        costs = []
        for d in dims:
            rng = np.random.default_rng(d)
            a = rng.standard_normal((d, d))
            full = np.eye(d) + 0.1 * (a @ a.T) / d
            h = full if matrix else np.linspace(0.5, 1.0, d)
            loss, noise = optsde.losses.Quadratic(h), optsde.noise.Gaussian(h)
            workload = Workload("growth", "", dim=d, n_steps=64, dt=0.05, start=0.5, lr=0.1)
            dynamics = optsde.SGD(lr=0.1).sde(optsde.Problem(loss, noise))
            costs.append(cost(workload, dynamics, max(2048, 65536 // d), 64))
        rows.append([label, *costs])
    print_table(["d (64 steps)", *map(str, dims)], rows)


# --- the command ----------------------------------------------------------------------------------


def machine() -> str:
    """Name the processor, its number and its vector instructions."""
    model, flags = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), model)
        family = [
            line.split(":")[1].strip()
            for key in ("cpu family", "model\t")
            for line in text.splitlines()
            if line.startswith(key)
        ]
        flags = ", AVX-512" if "avx512f" in text else ", AVX2" if "avx2" in text else ""
        model += f" (family {family[0]}, model {family[-1]})" if family else ""
    return f"{model}{flags}, {os.cpu_count()} processors, {platform.system()}, Python {platform.python_version()}"


def hold_threads(threads: int) -> None:
    """Set, before any library is imported, how many threads each may use, and let NumPy choose its own kernels."""
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(variable, None)
    for variable in ("OMP", "OPENBLAS", "MKL", "NUMBA", "OPTSDE"):
        os.environ[f"{variable}_NUM_THREADS"] = str(threads)
    # peers that know no threads are called once for each, so BLAS and MKL stay on one
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    os.environ["MKL_THREADING_LAYER"] = "SEQUENTIAL"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"


def blas_kernel() -> str:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    return ", ".join(
        f"{i['internal_api']} {i.get('architecture', '')}" for i in threadpool_info() if i["user_api"] == "blas"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/run.py", description=__doc__)
    everything = ROWS + OWN_ROWS
    parser.add_argument(
        "--rows", nargs="+", choices=everything, default=everything, metavar="ROW", help=", ".join(everything)
    )
    parser.add_argument(
        "--peers", nargs="+", choices=list(PEERS), default=list(PEERS), metavar="PEER", help=", ".join(PEERS)
    )
    parser.add_argument("--threads", default="1", help="1 (default), a number, or all")
    parser.add_argument(
        "--quick", action="store_true", help="three short rounds and no memory of peers: under three minutes"
    )
    parser.add_argument("--rounds", type=int, help="timed rounds (7; quick: 3)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="wall (default) or processor time")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument(
        "--memory-of", nargs=3, help=argparse.SUPPRESS
    )  # workload, peer, paths: the subprocess of a memory row
    options = parser.parse_args()
    options.threads = (os.cpu_count() or 1) if options.threads == "all" else int(options.threads)
    return options


def main() -> None:
    options = arguments()
    hold_threads(options.threads)
    settings = Settings(
        threads=options.threads,
        rounds=options.rounds or (3 if options.quick else 7),
        seconds=0.1 if options.quick else 0.3,
        quick=options.quick,
        memory=not options.quick,
        clock=options.clock,
    )
    if options.memory_of:
        workload, peer, n_paths = options.memory_of
        measure_memory(workload, peer, int(n_paths), settings)
        return

    print(machine())
    start = time.perf_counter()
    peers = load_peers(options.peers, settings)
    print(
        f"BLAS of NumPy: {blas_kernel()}; {settings.threads} thread(s), median of {settings.rounds} alternating rounds"
    )
    print("; ".join(f"{name} {module.version()}" for name, module in peers.items()) + "\n")
    failed = []

    def attempt(name: str, action: Callable[[], None]) -> None:
        """Run one row; a row that fails does not take the others with it."""
        try:
            action()
        except Exception:
            traceback.print_exc()
            failed.append(name)

    for name in ROWS:
        if name in options.rows:
            attempt(name, partial(run_workload, name, peers, settings))
    own = peers.get("optsde")
    actions: dict[str, Callable[[], None]] = {
        "precision": lambda: run_precision(own, settings),
        "threads": lambda: run_threads(own, settings),
        "numpy_callback": lambda: run_numpy_callback(own, settings),
        "memory": lambda: run_memory(settings),
        "growth": lambda: run_growth(own, settings),
    }
    for name in OWN_ROWS:
        if name in options.rows:
            if own is None:
                print(f"{name} — left out: optsde is not installed\n")
            else:
                attempt(name, actions[name])
    print(f"{time.perf_counter() - start:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "figures": settings.records}, indent=1) + "\n")
    if failed:
        sys.exit(f"rows that failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
