"""Memory, progress, method table, command line and the semidefinite Cholesky factor."""

import subprocess
import sys

import numpy as np
import optsde
import pytest
from optsde import _memory, cli
from optsde._arrays import semidefinite_cholesky
from optsde._progress import Progress


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_cholesky_of_singular_matrices(rank):
    half = np.random.default_rng(rank).normal(size=(6, rank))
    matrix = half @ half.T
    factor = semidefinite_cholesky(matrix)
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-12)
    assert (np.triu(factor, 1) == 0.0).all()


def test_memory(monkeypatch):
    assert _memory.available_memory() > 0
    monkeypatch.setattr(_memory, "available_memory", lambda: 1000)
    _memory.check_memory({"final": 400, "paths": 600})
    with pytest.raises(MemoryError, match=r"need 1001 bytes \(final 401 B, paths 600 B\), 1000 B can be had"):
        _memory.check_memory({"final": 401, "paths": 600})


def test_progress_function():
    seen = []
    progress = Progress(lambda done, total: seen.append((done, total)), 10)
    progress.poll(4)
    progress.close(True)
    assert seen == [(4, 10), (10, 10)]


def test_no_progress_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert Progress(None, 10).poll is None
    assert Progress(False, 10).poll is None


def test_plain_progress_without_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    progress = Progress(True, 10)
    progress.poll(4)
    progress.close(True)
    assert "done, 10 path-steps" in capsys.readouterr().err


def test_methods_table():
    table = optsde.methods()
    assert "euler_maruyama" in table
    assert table["euler_maruyama"].weak == 1.0
    assert "euler_maruyama" in repr(table)
    assert set(table.accepting("none")) >= {"rk4"}
    with pytest.raises(AttributeError):
        table["rk4"].weak = 3.0


def test_info(capsys):
    assert cli.main(["info"]) == 0
    assert optsde.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["odd"],
        ["demo", "--odd"],
        ["demo", "--paths", "0"],
        ["demo", "--paths", "x"],
        ["demo", "--seed", "-1"],
        ["demo", "--threads", "5000"],
    ],
)
def test_wrong_options_end_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_demo_into_a_missing_folder(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path / "missing" / "x.png")]) == 2
    assert "--out" in capsys.readouterr().err


def test_demo_into_a_file_of_another_kind(tmp_path, capsys):
    for name in ("picture", "picture.foo"):
        assert cli.main(["demo", "--out", str(tmp_path / name)]) == 2
        assert "--out: expected a name that ends in .png" in capsys.readouterr().err


def test_bad_settings_are_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv("OPTSDE_NUM_THREADS", "many")
    assert cli.main(["info"]) == 2
    assert "optsde info: error: OPTSDE_NUM_THREADS" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["demo"], ["info"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: optsde" in capsys.readouterr().out


def test_demo_without_its_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.delitem(sys.modules, "optsde.demo", raising=False)
    assert cli.main(["demo"]) == 1
    assert "pip install optsde[demo]" in capsys.readouterr().err


def test_only_numpy_is_imported():
    extras = "{'scipy', 'matplotlib', 'numba', 'tqdm', 'sklearn', 'cffi'}"
    code = f"import sys, optsde; assert not {extras} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
