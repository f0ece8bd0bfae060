"""Progress: reports are in order and end at the total; what a progress function raises stops the run."""

import io
import sys
import time

import numpy as np
import optsde
import pytest
from optsde import losses

OU = optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1)
LONG = {"n_paths": 200_000, "t1": 200.0, "dt": 0.1, "rng": 1, "threads": 2}


def cube(x):
    return x * x * x


RUNS = {
    "native": (OU, LONG),
    "few paths": (OU, {**LONG, "n_paths": 5, "t1": 2e5}),
    "callback": (optsde.Langevin(losses.Function(cube, dim=1), 0.1), {**LONG, "n_paths": 50_000, "t1": 30.0}),
    "range": (OU, {**LONG, "n_paths": 10**6, "path_range": (500_000, 700_000)}),
    "exact, refined": (OU, {**LONG, "n_paths": 20_000, "method": "ornstein_uhlenbeck", "wiener_dt": 0.05}),
}


@pytest.mark.parametrize(("dynamics", "options"), RUNS.values(), ids=RUNS)
def test_reports(dynamics, options):
    reports = []
    ensemble = optsde.simulate(dynamics, 0.1, progress=lambda *report: reports.append(report), **options)
    done, total = np.array(reports).T
    paths = len(ensemble.path_index)
    assert set(total.tolist()) == {paths * ensemble.n_steps}
    assert (np.diff(done) >= 0).all()
    assert done[0] >= 0
    assert done.max() <= total[0]
    assert done[-1] == total[0]
    assert all(isinstance(x, int) for report in reports for x in report)


def test_reports_are_several_a_second():
    reports = []
    begin = time.monotonic()
    optsde.simulate(OU, 0.0, progress=lambda *report: reports.append(report), **LONG | {"n_paths": 500_000})
    assert len(reports) >= 3 * (time.monotonic() - begin)


@pytest.mark.filterwarnings("ignore::optsde.DivergenceWarning")
def test_reports_of_diverging_paths_do_not_pass_the_total():
    """A block with a lost path is run again."""
    reports = []
    wells = optsde.Langevin(losses.Quartic(4.0, 1.0, dim=2), 1.0)
    optsde.simulate(wells, [0.0, 0.0], n_paths=100_000, t1=150.0, dt=0.15, rng=1, progress=lambda *r: reports.append(r))
    done, total = np.array(reports).T
    assert (np.diff(done) >= 0).all()
    assert (done <= total).all()


class Mine(Exception):
    """The user's own."""


@pytest.mark.parametrize(("dynamics", "options"), RUNS.values(), ids=RUNS)
def test_exceptions(dynamics, options):
    error = Mine("stop")

    def report(done, total):
        raise error

    begin = time.monotonic()
    with pytest.raises(Mine) as caught:
        optsde.simulate(dynamics, 0.1, progress=report, **options)
    assert caught.value is error
    assert time.monotonic() - begin < 1.0


def test_exception_in_the_last_report():
    def report(done, total):
        if done == total:
            raise Mine

    with pytest.raises(Mine):
        optsde.simulate(OU, 0.0, n_paths=10, t1=1.0, dt=0.1, progress=report)


def test_bits_do_not_depend_on_progress(capsys):
    options = {"n_paths": 3000, "t1": 1.0, "dt": 0.1, "rng": 1}
    ends = [
        optsde.simulate(OU, 0.0, progress=p, **options).final.tobytes()
        for p in (None, True, False, lambda done, total: None)
    ]
    assert len(set(ends)) == 1
    capsys.readouterr()


def test_a_bar_when_asked_for(capsys):
    optsde.simulate(OU, 0.0, progress=True, **LONG)
    text = capsys.readouterr().err
    assert "optsde" in text
    assert "100%" in text or "done" in text


def test_a_plain_line_without_tqdm(capsys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    optsde.simulate(OU, 0.0, progress=True, **LONG)
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    assert text.startswith("optsde: done")


def test_silence_where_nobody_looks(capsys):
    optsde.simulate(OU, 0.0, **LONG)
    optsde.simulate(OU, 0.0, progress=False, **LONG)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_no_stderr_at_all(monkeypatch):
    """As under pythonw or some servers."""
    monkeypatch.setattr(sys, "stderr", None)
    assert optsde.simulate(OU, 0.0, n_paths=10, t1=1.0, dt=0.1).complete


def test_short_work_on_a_terminal_shows_nothing(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    optsde.simulate(OU, 0.0, n_paths=1000, t1=1.0, dt=0.1)
    assert terminal.getvalue() == ""
