"""Every example runs from the command line, as its first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

# Examples with an option that makes them take seconds.
QUICK = ("escape_times", "logistic_regression", "stationary_regression", "weak_error_adam")
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *(["--quick"] if path.stem in QUICK else [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
