"""The bits of a run do not depend on threads, nor on the instruction set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optsde
import pytest
from catalog import CASES, FEW, assert_same_bits, observers, passages
from optsde import _core

HERE = Path(__file__).parent
NORMALS = [f"normals {key} {single}" for key in (1, 2**63 + 12345) for single in (False, True)]
PASSAGES = [f"{name}, passages" for name in FEW]


@pytest.mark.parametrize("name", CASES)
def test_threads(name):
    case = CASES[name]
    one = case.run(observe=observers(case), n_paths=1100, threads=1, on_divergence="keep")
    for threads in (2, 3, 8):
        many = case.run(observe=observers(case), n_paths=1100, threads=threads, on_divergence="keep")
        assert_same_bits(one, many, f"{threads} threads, ")


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("n_paths", [1, 15, 64, 65, 4999])
def test_threads_with_odd_numbers_of_paths(name, n_paths):
    case = CASES[name]
    one = case.run(observe=observers(case), n_paths=n_paths, threads=1)
    for threads in (2, 7):
        assert_same_bits(
            one, case.run(observe=observers(case), n_paths=n_paths, threads=threads), f"{threads} threads, "
        )


@pytest.mark.parametrize("name", FEW)
def test_threads_of_first_passages(name):
    """Alone, when blocks end early, and beside an observer that has them run to the end."""
    case = CASES[name]
    one = case.run(observe=passages(), n_paths=700, threads=1, on_divergence="keep")
    for others in ([], [optsde.Final()]):
        many = case.run(observe=[*others, *passages()], n_paths=700, threads=3, on_divergence="keep")
        for passage in passages():
            assert_same_bits(vars(one[passage.name]), vars(many[passage.name]), f"{passage.name}, ")


def test_threads_by_environment(monkeypatch):
    case = CASES["euler affine"]
    runs = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OPTSDE_NUM_THREADS", threads)
        runs.append(case.run(observe=observers(case), n_paths=3000))
        assert runs[-1].threads == int(threads)
    assert_same_bits(*runs)


def test_repeated_run():
    case = CASES["milstein sde full"]
    assert_same_bits(*(case.run(observe=observers(case, calls_python=True)) for _ in range(2)))


def test_observers_do_not_disturb_each_other():
    """An Expectation changes where and in what blocks the paths run, but nothing that others see."""
    for name in FEW:
        case = CASES[name]
        together = case.run(observe=observers(case, calls_python=True), n_paths=3000, threads=2)
        for observer in observers(case):
            alone = case.run(observe=observer, n_paths=3000, threads=2)
            for field, value in vars(alone[observer.name]).items():
                if value is not None:
                    assert_same_bits({field: value}, {field: getattr(together[observer.name], field)}, f"{name}, ")


@pytest.fixture(scope="module")
def by_instruction_set():
    """The hashes of all cases from a process for each instruction set that this machine has."""
    processes = {}
    for simd in _core.info()["simd_available"]:
        environment = {**os.environ, "OPTSDE_SIMD": simd, "OPTSDE_NUM_THREADS": "1"}
        processes[simd] = subprocess.Popen(
            [sys.executable, str(HERE / "digest.py")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    answers = {}
    for simd, process in processes.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        answer = json.loads(out)
        assert answer["simd"] == simd
        answers[simd] = answer["digests"]
    return answers


def test_every_instruction_set_was_run(by_instruction_set):
    assert "portable" in by_instruction_set
    assert len(by_instruction_set["portable"]) >= len(CASES)


@pytest.mark.parametrize("name", [*CASES, *PASSAGES, *NORMALS])
def test_instruction_sets(by_instruction_set, name):
    sets = list(by_instruction_set)
    for simd in sets[1:]:
        one, other = by_instruction_set[sets[0]][name], by_instruction_set[simd][name]
        assert {field for field in one if one[field] != other[field]} == set(), (sets[0], simd)


def test_unavailable_or_unknown_instruction_set():
    known = set(_core.info()["simd_available"])
    for simd in {"avx512", "avx2", "portable", "sse9"} - known:
        done = subprocess.run(
            [sys.executable, "-c", "import optsde"],
            env={**os.environ, "OPTSDE_SIMD": simd},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "ImportError: OPTSDE_SIMD=" in done.stderr


def test_threads_field_is_what_ran():
    case = CASES["euler affine"]
    assert case.run(n_paths=10_000, threads=3).threads == 3
    assert isinstance(case.run(n_paths=1, threads=1), optsde.Ensemble)
