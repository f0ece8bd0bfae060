"""Experiments from a file: errors with their lines, every task, sweeps, tables, and the command."""

import csv
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import optsde
import pytest
from optsde import bench, cli
from optsde.experiment import ExperimentError, run_experiment
from optsde.experiment._lines import Lines, name

ROOT = Path(__file__).resolve().parents[2]

SIMULATE = """\
title = "two wells"
task = "simulate"

[loss]
kind = "DoubleWell"

[dynamics]
kind = "Langevin"
temperature = 0.5

[run]
theta0 = 1.0
n_paths = 64
t1 = 1.0
dt = 0.1
rng = 7
"""
SGD = """\
task = "stationary"
[loss]
kind = "LinearRegression"
data = { kind = "sparse_regression", n = 50, dim = 2, nonzero = 1, noise = 0.5 }
[noise]
kind = "Minibatch"
[problem]
batch_size = 5
[optimizer]
kind = "SGD"
lr = 0.1
[run]
rtol = 0.2
max_steps = 4000
rng = 1
"""
ESCAPE = """\
task = "escape"
[loss]
kind = "DoubleWell"
[dynamics]
kind = "Langevin"
temperature = 0.5
[escape]
region = { kind = "Above", level = 1.0 }
[run]
n_paths = 200
t1 = 20.0
dt = 0.02
rng = 3
"""
COMPARE = """\
task = "compare"
[loss]
kind = "Quadratic"
H = [1.0, 2.0]
[noise]
kind = "Gaussian"
cov = 1.0
[optimizer]
kind = "SGD"
lr = 0.1
[[model]]
name = "SGD"
[[model]]
name = "SDE"
kind = "sde"
[run]
theta0 = [1.0, 1.0]
steps = 10
n_paths = 256
rng = 1
"""
EXPECT = """\
task = "expect"
[dynamics]
kind = "OrnsteinUhlenbeck"
A = 1.0
mean = 0.0
cov = 1.0
dim = 1
[run]
theta0 = 1.0
function = "theta2"
t1 = 1.0
atol = 0.05
rng = 1
"""
WEAK_ORDER = """\
task = "weak_order"
[loss]
kind = "Quadratic"
H = 1.0
dim = 1
[noise]
kind = "AffineDiagonal"
base = 0.25
slope = 1.0
[optimizer]
kind = "SGD"
lr = 0.1
[run]
theta0 = 1.0
etas = [0.1, 0.05]
t1 = 1.0
test_functions = "theta2"
max_paths = 20000
rng = 7
"""


def silent(text):
    del text


def perform(text, folder, say=silent):
    file = folder / "experiment.toml"
    file.write_text(text, encoding="utf-8")
    return run_experiment(file, folder / "out", say)


def refused(text, folder):
    """The error of a file: its line, and what it says."""
    with pytest.raises(ExperimentError) as caught:
        perform(text, folder)
    assert not list(folder.glob("out/*")), "nothing is written of what is refused"
    found = re.fullmatch(r".*experiment\.toml(?:, line (\d+))?: (.*)", str(caught.value), re.DOTALL)
    return (int(found[1]) if found[1] else None), found[2]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("temperature", "temprature", 9, "'temprature' is no key of [dynamics]; did you mean 'temperature'?"),
        ("[loss]", "[lose]", 4, "did you mean 'loss'?"),
        ("temperature = 0.5", "temperature = -0.5", 9, "-0.5"),
        ("temperature = 0.5", "temperature = 'hot'", 9, "temperature"),
        ("temperature = 0.5\n", "", 7, "dynamics.temperature: is missing"),
        ('"Langevin"', '"Langevine"', 8, "did you mean 'Langevin'?"),
        ('"Langevin"', "3", 8, "got 3"),
        ('[loss]\nkind = "DoubleWell"\n', "", None, "the table [loss] is missing"),
        ('[loss]\nkind = "DoubleWell"\n', "", None, "loss.kind"),
        ('"simulate"', '"stimulate"', 2, "did you mean 'simulate'?"),
        ('task = "simulate"\n', "", None, "task: is missing"),
        ('"two wells"', "3", 1, "title: expected a text"),
        ("theta0 = 1.0\n", "", 11, "run.theta0: is missing"),
        ("theta0 = 1.0", "theta0 = [1.0, 2.0]", 12, "theta0"),
        ("n_paths = 64", "n_paths = 0", 13, "n_paths"),
        ("n_paths = 64", "n_paths = 'many'", 13, "n_paths"),
        ("dt = 0.1", "dt = 0.3", 15, "dt"),
        ("dt = 0.1", "observe = 1", 15, "'observe' is no key of [run]"),
        ("[run]", "[optimizer]\nkind = 'SGD'\nlr = 0.1\n[run]", 7, "got both"),
        ("[run]", "[noise]\nkind = 'Zero'\n[run]", 11, "[noise] has no meaning"),
        ("[run]", "[observe]\nkind = 'Moments'\n[run]", 11, "expected tables [[observe]]"),
        ("[run]", "[[observe]]\nkind = 'Moments'\n[[observe]]\nkind = 'Histogram'\nbins = 3\n[run]", 13, "range"),
        ("[run]", "[[observe]]\nkind = 'Moments'\n[[observe]]\nkind = 'Paths'\nkeep = -1\n[run]", 15, "keep"),
        ('kind = "DoubleWell"', 'kind = "DoubleWell"\ndata = "diabetes"', 6, "takes no data set"),
        ('kind = "DoubleWell"', 'kind = "LinearRegression"', 4, "loss.data: is missing"),
        ('kind = "DoubleWell"', 'kind = "LinearRegression"\ndata = "diabetis"', 6, "did you mean 'diabetes'?"),
        ("dt = 0.1", "dt = ", 15, "not TOML"),
        ("dt = 0.1", "dt = 0.1\ndt = 0.1", 16, "not TOML"),
    ],
)
def test_errors_name_their_line(old, new, line, says, tmp_path):
    assert old in SIMULATE
    assert_refused(SIMULATE.replace(old, new), line, says, tmp_path)


def assert_refused(text, line, says, folder):
    found, message = refused(text, folder)
    assert says in message
    assert found == line, message


@pytest.mark.parametrize(
    ("sweep", "line", "says"),
    [
        ("dynamics.temprature = [1.0]", 18, "did you mean 'temperature'?"),
        ('"run.dtt" = [1.0]', 18, "'dtt' is no key of [run]"),
        ("dynamics.temperature = [1.0,\n  -1.0]", 18, "-1"),
        ("dynamics.temperature = 1.0", 18, "expected a list"),
        ("dynamics.temperature = []", 18, "expected a list"),
        ("langevin.temperature = [1.0]", 18, "no key of a table"),
        ("task = ['simulate']", 18, "no key of a table"),
        ("run.rng = [1, 2]\nrun.n_paths = [1, 0]", 19, "n_paths"),
        ("run.rng = [" + "1, " * 1001 + "]", 17, "1001 runs are more than 1000"),
    ],
)
def test_errors_in_sweeps_name_the_sweeps_line(sweep, line, says, tmp_path):
    text = SIMULATE + "[sweep]\n" + sweep + "\n"
    if "n_paths" in sweep:
        # A value that only the run itself refuses: what was done before is kept.
        with pytest.raises(ExperimentError, match=rf"line {line}: .*{says}"):
            perform(text, tmp_path)
        assert len(rows(tmp_path / "out")) > 0
    else:
        assert_refused(text, line, says, tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (
            ESCAPE.replace('[escape]\nregion = { kind = "Above", level = 1.0 }\n', ""),
            None,
            "[escape.region] is missing",
        ),
        (ESCAPE.replace('"Above"', '"Over"'), 8, "expected one of Above"),
        (ESCAPE.replace("level = 1.0", "levle = 1.0"), 8, "did you mean 'level'?"),
        (ESCAPE.replace("[escape]", "[escape]\nminimum = 'left'"), 8, "minimum"),
        (COMPARE.replace('[[model]]\nname = "SGD"\n', ""), 11, "two or more"),
        (COMPARE.replace('"SDE"', '"SGD"'), 13, "another one is called 'SGD'"),
        (COMPARE.replace('kind = "sde"', 'kind = "pde"'), 15, "sde"),
        (EXPECT.replace("theta2", "theta3"), 10, "theta3"),
        (WEAK_ORDER.replace("etas = [0.1, 0.05]", "etas = [0.1]"), 15, "etas"),
    ],
)
def test_errors_of_tasks(text, line, says, tmp_path):
    assert_refused(text, line, says, tmp_path)


def test_files_that_are_no_text(tmp_path):
    file = tmp_path / "experiment.toml"
    file.write_bytes(b"title = 'x'\n# \xff\n")
    with pytest.raises(ExperimentError, match="line 2: expected a text in UTF-8"):
        run_experiment(file, tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        run_experiment(tmp_path / "none.toml", tmp_path / "out")
    file.write_bytes(b"\xef\xbb\xbf" + SIMULATE.replace("\n", "\r\n").encode())
    assert run_experiment(file, tmp_path / "out", silent).rows


def test_lines_of_long_values():
    text = "# x\n\na = [\n  1,\n  2,\n]\nb.c = '''\nd = 1\n'''\n[[e]]\nf = 1\n[[e]]\nf = { g = 2 }\n"
    found = Lines(text)
    where = {name(place): found[place] for place in found._found}
    assert where == {
        "a": 3,
        "b": 7,
        "b.c": 7,
        "e": 10,
        "e[0]": 10,
        "e[0].f": 11,
        "e[1]": 12,
        "e[1].f": 13,
        "e[1].f.g": 13,
    }


def rows(folder):
    """The table as a program reads it."""
    return list(csv.DictReader(io.StringIO((folder / "table.csv").read_text(encoding="utf-8"))))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


ALWAYS = ["experiment.toml", "table.csv", "table.txt"]


@pytest.mark.parametrize(
    ("text", "made", "quantities", "theories"),
    [
        (SIMULATE, ["ensemble.png", "result.optsde"], ["mean theta[0]", "var theta[0]"], []),
        (
            SGD,
            ["corner.png", "density_0.png", "density_1.png", "result.npz"],
            ["mean theta[0]", "mean theta[1]", "var theta[0]", "var theta[1]"],
            ["exact", "Ornstein-Uhlenbeck"],
        ),
        (ESCAPE, ["result.optsde", "survival.png"], ["mean first-passage time"], ["Kramers", "exact"]),
        (
            COMPARE,
            ["difference_loss.png", "difference_theta.png", "result.npz"],
            ["SDE - SGD, theta", "SDE - SGD, loss"],
            [],
        ),
        (EXPECT, ["levels.png", "result.npz"], ["E theta2"], []),
        (
            WEAK_ORDER,
            ["order.png", "result.npz"],
            ["order, theta2", "error at lr 0.1, theta2", "error at lr 0.05, theta2"],
            [],
        ),
    ],
    ids=["simulate", "stationary", "escape", "compare", "expect", "weak_order"],
)
def test_tasks(text, made, quantities, theories, tmp_path):
    report = perform(text, tmp_path)
    out = tmp_path / "out"
    # Where a result has a file of its own it is that, else arrays.
    assert [f.replace("optsde", "npz") for f in files(out)] == sorted(
        [f.replace("optsde", "npz") for f in ALWAYS + made]
    )
    assert [row.quantity for row in report.rows] == quantities
    assert report.theories == theories
    assert (out / "experiment.toml").read_text(encoding="utf-8") == text
    for row, read in zip(report.rows, rows(out), strict=True):
        assert read["quantity"] == row.quantity
        assert (float(read["value"]), float(read["error"])) == (row.value, row.error)
        assert {key: float(read[key]) for key in theories} == row.theory
    assert report.text() + "\n" == (out / "table.txt").read_text(encoding="utf-8")


def test_numbers_are_those_of_the_functions(tmp_path):
    report = perform(SIMULATE, tmp_path)
    langevin = optsde.Langevin(optsde.losses.DoubleWell(), 0.5)
    ens = optsde.simulate(langevin, 1.0, n_paths=64, t1=1.0, dt=0.1, rng=7)
    assert [row.value for row in report.rows] == [ens.mean[-1, 0], ens.var[-1, 0]]
    assert [row.error for row in report.rows] == [2 * ens.mean_stderr[-1, 0], 2 * ens.var_stderr[-1, 0]]
    assert (optsde.load(tmp_path / "out" / "result.optsde").final == ens.final).all()


def test_theory_beside_the_numbers(tmp_path):
    (row,) = perform(ESCAPE.replace("temperature = 0.5", "temperature = 0.5\nmobility = 2.0"), tmp_path).rows
    well = optsde.losses.DoubleWell()
    assert row.theory["exact"] == optsde.theory.mean_first_passage_time(well, 0.5, -1.0, 1.0) / 2
    assert row.theory["Kramers"] == optsde.theory.kramers_time(well, 0.5, -1.0, 0.0) / 2
    # Six standard errors, each a fourteenth of the mean (200 paths): a false alarm in 1e-8.
    assert abs(row.value - row.theory["exact"]) < 3 * row.error


def test_sweep(tmp_path):
    said = []
    text = ESCAPE + "[sweep]\ndynamics.temperature = [0.5, 0.8]\nrun.rng = [1]\n"
    report = perform(text, tmp_path, said.append)
    out = tmp_path / "out"
    made = [f"run_{i}/{name}" for i in (1, 2) for name in ("result.optsde", "survival.png")]
    assert files(out) == sorted(ALWAYS + made)
    assert [row.settings for row in report.rows] == [{"dynamics.temperature": t, "run.rng": 1} for t in (0.5, 0.8)]
    assert [row["dynamics.temperature"] for row in rows(out)] == ["0.5", "0.8"]
    assert said[0] == "== dynamics.temperature = 0.5, run.rng = 1"


@pytest.mark.parametrize(
    "values",
    [
        "escape.region = [{ kind = 'Above', level = 0.5 }, { kind = 'Outside', center = -1.0, radius = 1.0 }]",
        "dynamics.temperature = [0.5, 0.8]",
    ],
)
def test_picture_of_a_sweep(values, tmp_path):
    perform(ESCAPE + f"[sweep]\n{values}\n", tmp_path)
    assert (tmp_path / "out" / "sweep.png").stat().st_size > 1000


def test_same_seed_same_table(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    tables = []
    for folder in (first, second):
        folder.mkdir()
        perform(SGD, folder)
        tables.append((folder / "out" / "table.csv").read_bytes())
    assert tables[0] == tables[1]


def test_nobody_arrives(tmp_path):
    said = []
    (row,) = perform(ESCAPE.replace("t1 = 20.0", "t1 = 0.02"), tmp_path, said.append).rows
    assert np.isinf(row.value) and np.isnan(row.error)
    assert any("no path arrived" in text for text in said)


def test_folder_must_be_empty(tmp_path):
    perform(SIMULATE, tmp_path)
    with pytest.raises(FileExistsError, match="not an empty folder"):
        perform(SIMULATE, tmp_path)


@pytest.mark.parametrize(
    ("module", "says"), [("scipy", "optsde.theory needs SciPy"), ("matplotlib", "no pictures: matplotlib")]
)
def test_without_extras(module, says, tmp_path, monkeypatch):
    for loaded in [key for key in sys.modules if key.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    said = []
    report = perform(ESCAPE, tmp_path, said.append)
    assert sum(says in text for text in said) == 1
    assert report.rows[0].value > 0
    out = files(tmp_path / "out")
    assert "table.csv" in out and "result.optsde" in out
    assert ("survival.png" in out) == (module == "scipy")
    assert ("exact" in report.theories) == (module == "matplotlib")


def test_interrupted_sweep_keeps_what_is_done(tmp_path, monkeypatch):
    real, calls = optsde.simulate, []

    def simulate(*arguments, **options):
        calls.append(1)
        ens = real(*arguments, **options)
        if len(calls) == 2:
            raise optsde.Interrupted("stopped", partial=ens)
        return ens

    simulate.__signature__ = inspect.signature(real)
    monkeypatch.setattr(optsde, "simulate", simulate)
    said = []
    with pytest.raises(optsde.Interrupted):
        perform(SIMULATE + "[sweep]\nrun.rng = [1, 2, 3]\n", tmp_path, said.append)
    out = tmp_path / "out"
    assert {row["run.rng"] for row in rows(out)} == {"1"}
    assert "run_1/ensemble.png" in files(out)
    assert "run_2/result.optsde" in files(out), "the paths that were finished"
    assert said[-1].startswith("interrupted in run 2 of 3")


def test_command(tmp_path):
    (tmp_path / "wells.toml").write_text(SIMULATE, encoding="utf-8")
    command = [sys.executable, "-m", "optsde", "run", str(tmp_path / "wells.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"results are in {tmp_path / 'wells'}\n")
    assert (tmp_path / "wells" / "table.csv").exists()


UNBOUNDED = """\
task = "stationary"
[loss]
kind = "Quadratic"
H = 1.0
dim = 1
[noise]
kind = "Gaussian"
cov = 1.0
[optimizer]
kind = "SGD"
lr = 2.5
[run]
rng = 1
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (EXPECT, []),
        (EXPECT.replace("atol = 0.05", "atol = 1e-4\nmax_cost = 5000"), ["max_cost: the 95 % error"]),
        (SGD.replace("rtol = 0.2\nmax_steps = 4000", "rtol = 1e-3\nmax_steps = 600\nn_paths = 16"), ["budget: "]),
        (UNBOUNDED, ["not_stationary: paths grow without bound"]),
        (
            EXPECT + "max_cost = 5000\n[sweep]\nrun.atol = [0.05, 1e-4, 2e-4]\n",
            ["run.atol = 0.0001: max_cost: ", "run.atol = 0.0002: max_cost: "],
        ),
    ],
    ids=["reached", "budget of expect", "budget of stationary", "not stationary", "sweep"],
)
def test_exit_code_says_whether_the_accuracy_was_reached(text, says, tmp_path, capsys):
    (tmp_path / "some.toml").write_text(text, encoding="utf-8")
    assert cli.main(["run", str(tmp_path / "some.toml")]) == (3 if says else 0)
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("optsde run: accuracy not reached: ")]
    assert len(lines) == len(says)
    assert all(f"not reached: {part}" in line for part, line in zip(says, lines, strict=True))
    assert f"results are in {tmp_path / 'some'}" in told.out
    assert set(ALWAYS) <= set(files(tmp_path / "some"))


@pytest.mark.parametrize(
    ("file", "options", "says"),
    [
        ("none.toml", [], "none.toml: No such file"),
        (".", ["--out", "x"], "Is a directory"),
        ("bad.toml", [], "bad.toml, line 2: expected a text in UTF-8"),
        ("bad", [], "--out: give a folder"),
    ],
)
def test_command_refuses(file, options, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"\n\xff\n")
    (tmp_path / "bad").write_text("", encoding="utf-8")
    assert cli.main(["run", file, *options]) == 2
    assert says in capsys.readouterr().err


def test_bench(monkeypatch, capsys):
    monkeypatch.setattr(bench, "_SECONDS", 1e-4)
    monkeypatch.setattr(bench, "_ROUNDS", 1)
    assert cli.main(["bench"]) == 0
    out = capsys.readouterr().out
    assert "SGD's equation, d = 10" in out and " ns" in out


def test_examples_are_good_files(tmp_path):
    """The files of examples/, with less to do."""
    escape = (ROOT / "examples" / "escape_times.toml").read_text(encoding="utf-8")
    report = perform(escape.replace("n_paths = 4000", "n_paths = 50").replace("t1 = 2000.0", "t1 = 50.0"), tmp_path)
    assert report.theories == ["Kramers", "exact"]
    regression = (ROOT / "examples" / "stationary_regression.toml").read_text(encoding="utf-8")
    other = tmp_path / "regression"
    other.mkdir()
    report = perform(regression.replace("rtol = 0.05", "rtol = 0.5\nmax_steps = 500\nn_paths = 16"), other)
    assert report.theories == ["exact", "Ornstein-Uhlenbeck"]


def test_the_page(tmp_path):
    """Every TOML block of docs/experiments.md that has a task is a good file."""
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    blocks = [
        block for block in re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "task =" in block
    ]
    assert blocks
    for index, block in enumerate(blocks):
        folder = tmp_path / str(index)
        folder.mkdir()
        assert perform(block, folder).rows
