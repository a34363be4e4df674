"""A run ends with the same bytes whatever surrounds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, contents, only_run

SURROUNDINGS = {
    "hash seed": {"PYTHONHASHSEED": "1"},
    "locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "time zone": {"TZ": "Asia/Kathmandu"},
    "threads": {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "2"},
    "all at once": {"PYTHONHASHSEED": "77", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "COLUMNS": "9"},
}
#: The quick part has all of it at once.
CASES = [
    name if name == "all at once" else pytest.param(name, marks=pytest.mark.slow)
    for name in SURROUNDINGS
]


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", CASES)
def test_another_environment_and_folder_give_the_same_bytes(played, tmp_path, name):
    there = tmp_path / "elsewhere"
    there.mkdir()
    words = [sys.executable, "-m", "pipeline", "run", "isosceles", "--n", "6", *TINY]
    path = os.pathsep.join(str(Path(p).absolute()) for p in sys.path if p)
    done = subprocess.run(
        [*words, "--runs", "runs"],
        cwd=there,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": path} | SURROUNDINGS[name],
    )
    assert done.returncode == 0, done.stderr
    assert contents(only_run(there / "runs")) == contents(played)
