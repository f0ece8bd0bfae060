"""The record of wrong terms fits the code: each text is in its file once, and the tests that must fail exist."""

import ast
from functools import cache
from pathlib import Path

import pytest
from mutants.run import ROOT, entries, mutants

MUTANTS = mutants()
TERMS = ROOT / "rust" / "core" / "src"


@cache
def functions(file):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def assert_exist(tests):
    assert tests
    for test in tests:
        file, name = test.split("::")
        assert name.split("[")[0] in functions(file), test


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutants_fit_the_code(mutant):
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.original) == 1
    assert mutant.mutated != mutant.original
    assert mutant.equation
    assert mutant.source
    assert_exist(mutant.tests)


def test_names_are_unique():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("entry", entries("stated"), ids=lambda entry: entry["equation"])
def test_stated_wrong_terms_exist(entry):
    assert set(entry) == {"equation", "source", "tests"}
    assert_exist(entry["tests"])


# Interfaces, dispatch and data without a term of an equation.
WITHOUT_TERMS = {"dynamics/mod.rs", "dynamics/function.rs", "scheme/mod.rs", "scheme/table.rs"}


def test_every_file_of_equations_has_a_mutant():
    files = {
        str(Path(path.relative_to(TERMS)).as_posix())
        for folder in ("dynamics", "optimizer", "scheme")
        for path in (TERMS / folder).rglob("*.rs")
    }
    covered = {mutant.file.removeprefix("rust/core/src/") for mutant in MUTANTS}
    assert files - covered == WITHOUT_TERMS
