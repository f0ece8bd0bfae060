"""Breaks one term of one equation at a time and runs the tests that must notice; the record is beside, in TOML.

``make mutants`` runs all of them, ``make mutants MUTANTS="momentum sra1"`` those with a word in name or file.
The working tree is copied to target/mutants, changed and built there, so that builds are incremental from one to the
next. The exit code is 1 where a mutant survives, does not build, or names a test that fails without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
# Unoptimised kernels are too slow for statistical tests, optimised ones too slow to build.
PROFILE = ("opt-level=1", "debug=0", "overflow-checks=false", "debug-assertions=false")
LONGEST = 900.0


@dataclass(frozen=True)
class Mutant:
    """A wrong term.

    Attributes
    ----------
    name : str
        Unique.
    equation, source : str
        What is broken, and where the right one is published.
    file, original, mutated : str
        The file, a text that occurs in it once, and what replaces it.
    tests : list of str
        pytest's names of tests, each of which must fail.
    """

    name: str
    equation: str
    source: str
    file: str
    original: str
    mutated: str
    tests: list[str]


def entries(kind: str) -> list[dict[str, Any]]:
    """All ``[[kind]]`` of the record."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return [entry for file in files for entry in tomllib.loads(file.read_text(encoding="utf-8")).get(kind, [])]


def mutants() -> list[Mutant]:
    """The record."""
    return [Mutant(**entry) for entry in entries("mutant")]


def copy_tree() -> None:
    """Makes the copy equal to the working tree; files that have not changed keep their times, which cargo goes by."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        there = TREE / name
        if not there.is_file() or there.read_bytes() != (ROOT / name).read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, there)
    for path in TREE.rglob("*"):
        if path.is_file() and str(path.relative_to(TREE)) not in names and path.suffix != ".so":
            path.unlink()


def build() -> str | None:
    """Builds the native module into the copy; what went wrong, or None."""
    options = [part for option in PROFILE for part in ("--config", f"profile.dev.{option}")]
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(WORK / "build"),
        "CARGO_INCREMENTAL": "1",
        "PYO3_PYTHON": sys.executable,
    }
    done = subprocess.run(
        ["cargo", "build", "--quiet", *options, "-p", "optsde-python"],
        cwd=TREE,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return done.stderr
    (library,) = (path for path in (WORK / "build" / "debug").glob("lib_core.*") if path.suffix in (".so", ".dylib"))
    shutil.copyfile(library, TREE / "python" / "optsde" / "_core.abi3.so")
    return None


def run(tests: list[str]) -> int | None:
    """Runs tests in the copy up to the first failure: pytest's exit code, 1 where one failed; None where it hangs."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(TREE / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode > 1:
        print(done.stdout[-2000:], done.stderr[-2000:])
    return done.returncode


def judge(mutant: Mutant) -> str:
    """Applies a mutant, tries it, and takes it back: ``caught``, or what happened instead."""
    path = TREE / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.original) != 1:
        return "IS NOT ONE PLACE"
    native = path.suffix == ".rs"
    path.write_text(text.replace(mutant.original, mutant.mutated), encoding="utf-8")
    try:
        problem = build() if native else None
        if problem is not None:
            print(problem)
            return "DOES NOT BUILD"
        for test in mutant.tests:
            code = run([test])
            if code != 1:
                return {0: f"SURVIVED {test}", None: f"HANGS {test}"}.get(code, f"DOES NOT RUN {test}")
        return "caught"
    finally:
        path.write_text(text, encoding="utf-8")


def main(words: list[str]) -> int:
    """Tries the mutants that are asked for; the exit code."""
    chosen = [m for m in mutants() if not words or any(word in f"{m.name} {m.file}" for word in words)]
    if not chosen:
        print(f"no mutant has a name or file with {' or '.join(words)}")
        return 1
    # Those in Python first: the module is that of the last mutant in Rust until the next is built.
    chosen.sort(key=lambda mutant: mutant.file.endswith(".rs"))
    copy_tree()
    problem = build()
    if problem is not None:
        print(problem)
        return 1
    if run(sorted({test for mutant in chosen for test in mutant.tests})) != 0:
        print("the tests that the mutants name fail without a mutant")
        return 1
    wrong = []
    for mutant in chosen:
        start = time.monotonic()
        verdict = judge(mutant)
        print(f"{verdict:10}{time.monotonic() - start:7.1f} s  {mutant.name}: {mutant.equation}", flush=True)
        if verdict != "caught":
            wrong.append(mutant.name)
    print(
        f"{len(chosen) - len(wrong)} of {len(chosen)} mutants caught" + (f"; not {', '.join(wrong)}" if wrong else "")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
