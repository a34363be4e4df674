"""records/: what this tool has found, each a certificate that anyone can check."""

import json
import subprocess
import sys
from math import comb
from pathlib import Path

import pytest

from pipeline.plugins import load_problem
from pipeline.publish import certificates
from pipeline.storage.construction_files import read_constructions

ROOT = Path(__file__).resolve().parent.parent / "records"
FOLDERS = sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir())
_TUPLES = 100_000  # so many tuples of points are checked in a moment
FILES = sorted(ROOT.glob("*/*.json"))


def test_the_sizes_that_were_promised_are_there():
    def sizes(name: str) -> set[int]:
        return {json.loads(f.read_text())["n"] for f in (ROOT / name).glob("*.json")}

    assert sizes("isosceles") >= set(range(2, 76))
    assert sizes("no-3-in-line") >= set(range(2, 31))
    assert sizes("four-cycle-free") >= set(range(2, 39))
    assert sizes("girth-5") >= set(range(2, 33))
    assert sizes("cap-sets") >= {1, 2, 3, 4, 5, 6, 8}
    assert sizes("corner-free") == set(range(1, 10))
    assert sizes("no-4-on-a-circle") == set(range(1, 9))
    assert sizes("no-4-in-a-plane") >= set(range(1, 10))
    assert sizes("no-5-on-a-sphere") >= {9, 10, 14, 16, 17, 18}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_program_beside_them_is_ours_and_finds_the_small_ones_right(folder):
    here, problem = ROOT / folder, load_problem(folder)
    assert (here / "verify.py").read_bytes() == certificates.verifier(problem)
    small = [
        str(file)
        for file in sorted(here.glob("*.json"))
        if comb(json.loads(file.read_text())["score"], problem.arity) < _TUPLES
    ]
    assert small
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(here / "verify.py"), *small],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(small)} of {len(small)} hold" in done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_record_is_valid_and_was_found_by_this_tool(file):
    (found,) = read_constructions(file)
    assert found.witness() is None
    about = json.loads(file.read_text())
    assert about["score"] == found.score() == len(about["points"])
    assert about["provenance"]["command"].startswith("pipeline ")
    assert about["provenance"]["origin"] != "import"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_no_value_on_record_lies_below_what_we_have_found(file):
    (found,) = read_constructions(file)
    known = found.problem.known(found.n)
    assert known is None or known.value >= found.score()


def test_no_value_on_record_lies_below_that_of_a_smaller_grid():
    for name in ("isosceles", "no-3-in-line"):
        known = [load_problem(name).known(n) for n in range(1, 101)]
        values = [k.value for k in known if k is not None]
        assert values == sorted(values)
        assert all(k.source for k in known if k is not None)
