"""The command ``optsde``: demo, run, info and bench."""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optsde import _core
from optsde._arrays import integer
from optsde.errors import DivergenceError
from optsde.simulate import MOST_THREADS

# The exit code of an experiment that ran to its end without the accuracy that was asked for.
_MISSED = 3


def _count(text: str) -> int:
    """An integer of at least 1, underscores and exponents such as 1e6 allowed."""
    try:
        number = float(text.replace("_", ""))
        if number != int(number):
            raise ValueError
        return integer("number", int(number), 1)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}") from None


def _threads(text: str) -> int:
    number = _count(text)
    if number > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"expected an integer of at most {MOST_THREADS}, got {text!r}")
    return number


def _seed(text: str) -> int:
    try:
        return integer("seed", int(text), 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="optsde", description="Optimizer SDEs in large ensembles.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"optsde {_core.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="stationary distributions against theory: a table and a picture, in under a minute",
        description="Simulates three stationary distributions, compares them with theory and draws them.",
        allow_abbrev=False,
    )
    demo.add_argument("--out", type=Path, default=Path("optsde-demo.png"), help="the picture (default: %(default)s)")
    demo.add_argument("--paths", type=_count, default=1_000_000, help="paths of the largest run (default: %(default)s)")
    demo.add_argument("--seed", type=_seed, default=7, help="seed of the random numbers (default: %(default)s)")
    demo.add_argument("--threads", type=_threads, default=None, help="threads (default: all that the process may use)")
    commands.add_parser(
        "info", help="version, CPU features, threads", description="Prints version, CPU features and threads."
    )
    run = commands.add_parser(
        "run",
        help="an experiment from a file: results, a table and pictures in a folder",
        description="Runs the experiment that a TOML file describes (docs/experiments.md) and writes a folder. "
        "The exit code is 3 where an accuracy was asked for and not reached.",
        allow_abbrev=False,
    )
    run.add_argument("file", type=Path, help="the experiment, such as experiment.toml")
    run.add_argument("--out", type=Path, default=None, help="the folder (default: the file's name without .toml)")
    commands.add_parser(
        "bench", help="speed on this machine", description="Times some typical simulations, about half a minute."
    )
    return parser


def _info() -> int:
    for name, value in _core.info().items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        print(f"{name:<16}{text}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    if options.out.suffix.lower() != ".png":
        print(f"optsde demo: error: --out: expected a name that ends in .png, got {options.out}", file=sys.stderr)
        return 2
    if options.out.is_dir() or not options.out.resolve().parent.is_dir():
        print(f"optsde demo: error: --out: cannot write a picture to {options.out}", file=sys.stderr)
        return 2
    try:
        from optsde import demo
    except ImportError as error:
        print(f"optsde demo: {error.name} is missing; the demo needs: pip install optsde[demo]", file=sys.stderr)
        return 1
    demo.run(options.out, options.paths, options.seed, options.threads)
    return 0


def _run(options: argparse.Namespace) -> int:
    from optsde.experiment import run_experiment

    out = options.out if options.out is not None else options.file.with_suffix("")
    if out == options.file:
        print(f"optsde run: error: --out: give a folder; {out} is the file", file=sys.stderr)
        return 2
    with warnings.catch_warnings():
        # One line each; where in this package they arise means nothing to those who wrote the file.
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        report = run_experiment(options.file, out)
    print(f"results are in {out}")
    for reason in report.missed:
        print(f"optsde run: accuracy not reached: {reason}", file=sys.stderr)
    return _MISSED if report.missed else 0


def _bench() -> int:
    from optsde.bench import bench

    bench()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (argparse ends with 2 on a wrong option)."""
    # The tables have letters that an old terminal's encoding may not have.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options: Any = _parser().parse_args(arguments)
    commands = {"demo": lambda: _demo(options), "run": lambda: _run(options), "info": _info, "bench": _bench}
    try:
        return commands[options.command]()
    except OSError as error:
        # A file that cannot be read, a picture that cannot be written.
        text = str(error) if error.filename is None else f"{error.filename}: {error.strerror}"
    except (ValueError, TypeError, MemoryError, ImportError, DivergenceError) as error:
        # Bad settings, too many paths: the message says which.
        text = str(error)
    except KeyboardInterrupt:
        print("optsde: interrupted", file=sys.stderr)
        return 130
    print(f"optsde {options.command}: error: {text}", file=sys.stderr)
    return 2
