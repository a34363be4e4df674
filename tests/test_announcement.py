"""Announcements: what they say is what is known, and the program in C judges as the definition."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.bitset import from_points
from pipeline.plugins import load_problem, problem_names
from pipeline.publish.announcement import announcement, has_second_program, standing
from pipeline.publish.certificates import certificate
from pipeline.storage.construction_files import as_json
from pipeline.storage.round_files import best_known

needs_a_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
IN_C = [name for name in problem_names() if has_second_program(load_problem(name))]
#: Sizes at which random tuples are often forbidden.
SIZES = {"cap-sets": 3, "no-5-on-a-sphere": 3, "no-4-in-a-plane": 3}


def files_of(spec: str, n: int, chosen: list[int], convention: str | None = None, **more):
    """Return the announcement of a set of elements, whether or not it is valid."""
    problem = load_problem(spec, convention)
    cells = from_points([np.array(sorted(chosen))], problem.ground(n).m)
    found = as_json(problem, spec, n, cells[0]) | best_known(problem, n)
    provenance = {"pipeline": "0.1.0", "seed": 3, "command": "pipeline search", "started": ""}
    return announcement(problem, found, certificate(problem, found, provenance), provenance, **more)


def compiled(folder: Path, files: dict[str, bytes]) -> Path:
    """Compile the program of an announcement, warnings being errors."""
    (source,) = [name for name in files if name.endswith(".c")]
    (folder / "check.c").write_bytes(files[source])
    command = ["cc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-o", folder / "check"]
    subprocess.run([*command, folder / "check.c"], check=True)
    return folder / "check"


def judged(program: Path, points: list[tuple[int, ...]]) -> tuple[int, str]:
    """Return the exit code and what the program says of points."""
    file = program.parent / "points.txt"
    file.write_text("".join(" ".join(map(str, point)) + "\n" for point in points))
    done = subprocess.run([program, file], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_the_problems_of_record_boards_are_defined_in_c():
    assert {"isosceles", "no-3-in-line", "no-5-on-a-sphere", "cap-sets"} <= set(IN_C)


@needs_a_compiler
@pytest.mark.parametrize(
    ("spec", "convention"),
    [(name, c) for name in IN_C for c in load_problem(name).conventions],
)
def test_the_program_in_c_judges_as_the_definition(spec, convention, tmp_path):
    problem = load_problem(spec, convention)
    n = SIZES.get(spec, 5)
    ground, rng = problem.ground(n), np.random.default_rng(0)
    program = compiled(tmp_path, files_of(spec, n, [0], convention, cpu=None))
    assert problem.definition is not None
    seen = set()
    for _ in range(150):
        some = ground.coords[rng.choice(ground.m, problem.arity, replace=False)].tolist()
        some = [tuple(point) for point in some]
        forbidden = bool(problem.definition.forbidden(some, convention))
        seen.add(forbidden)
        code, said = judged(program, some)
        assert (code == 1) == forbidden, (some, said)
        assert said.startswith(
            "WRONG: forbidden together: (" if forbidden else f"{len(some)} points"
        )
    assert seen == {False, True}


@needs_a_compiler
def test_a_larger_set_is_judged_whole(tmp_path):
    problem = load_problem("isosceles")
    program = compiled(tmp_path, files_of("isosceles", 6, [0], cpu=None))
    cells, rng = [tuple(p) for p in problem.ground(6).coords.tolist()], np.random.default_rng(1)
    codes = set()
    for _ in range(80):
        some = [cells[i] for i in rng.choice(36, 4, replace=False)]
        valid = not any(
            problem.definition.forbidden(three, "flat-forbidden")  # type: ignore[union-attr]
            for three in itertools.combinations(some, 3)
        )
        codes.add(judged(program, some)[0])
        assert (judged(program, some)[0] == 0) == valid
    assert codes == {0, 1}


@needs_a_compiler
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0\n0 9\n", "point 2 is none of size n = 6"),
        ("0 0\n-1 2\n", "point 2 is none"),
        ("0 0\n0 0\n", "points 1 and 2 are the same"),
        ("0 0\n1\n", "not a list of points of 2"),
        ("0 0\none 2\n", "not a list of points of 2"),
    ],
)
def test_the_program_in_c_refuses_what_is_no_set(text, message, tmp_path):
    program = compiled(tmp_path, files_of("isosceles", 6, [0], cpu=None))
    (tmp_path / "points.txt").write_text(text)
    done = subprocess.run([program, tmp_path / "points.txt"], capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stdout


@pytest.mark.parametrize(
    ("value", "proved", "said"),
    [
        (None, False, "no value for this n"),
        (5, False, "above what we found on record: 5 (a paper, 2025)."),
        (6, False, "equals the best value that we found on record, 6 (a paper, 2025)."),
        (6, True, "6 (a paper, 2025), which is proved to be the maximum."),
        (7, False, "below the best value that we found on record, 7 (a paper, 2025)."),
    ],
)
def test_a_page_says_how_a_set_stands_to_what_is_on_record(value, proved, said):
    known = {"best_known": value, "best_known_source": "a paper", "best_known_date": "2025"}
    sentence = standing({"score": 6, "best_known_proved": proved, **known})
    assert said in sentence
    assert "new" not in sentence


def test_an_announcement_of_a_run_is_whole(played, cli, tmp_path):
    out = tmp_path / "announced"
    found = cli("certificate", played, "-o", out, "--announce", "--author", "Noether, Emmy")
    assert found.code == 0
    best = json.loads(cli("best", played, "--json").out)
    stem = "isosceles-flat-forbidden-n006"
    page = (out / f"{stem}.md").read_text()
    assert f"| size | {best['score']} points |" in page
    assert f"| best value on record | {best['best_known']} |" in page
    assert "which is proved to be the maximum" in page
    assert re.search(r"\| CPU time until a set of this size was found \| \d+ s \|", page)
    assert "`pipeline run isosceles --n 6" in page
    assert str(tmp_path) not in page
    lines = (out / f"{stem}.txt").read_text().splitlines()
    assert [list(map(int, line.split())) for line in lines] == best["points"]
    digest = json.loads((out / f"{stem}.json").read_bytes())["sha256"]
    assert digest in page
    citation = (out / "CITATION.cff").read_text()
    assert """authors:\n  - family-names: "Noether"\n    given-names: "Emmy"\n""" in citation
    about = json.loads((out / ".zenodo.json").read_bytes())
    assert about["creators"] == [{"name": "Noether, Emmy"}]
    assert f'title: "{about["title"]}"\n' in citation
    # The program in Python passes over what is no certificate.
    done = subprocess.run(["python", out / "verify.py"], capture_output=True, text=True)
    assert "1 of 1 hold" in done.stdout


def test_what_was_given_is_not_claimed(cli, tmp_path):
    (tmp_path / "set.json").write_text('{"problem": "isosceles", "n": 4, "points": [[0,0],[0,1]]}')
    out = tmp_path / "announced"
    found = cli("certificate", tmp_path / "set.json", "-o", out, "--announce")
    assert found.code == 0
    assert "put the authors in place of AUTHOR" in found.out
    page = (out / "isosceles-flat-forbidden-n004.md").read_text()
    assert "does not claim that the program found it" in page
    assert "below the best value" in page
    again = cli("certificate", tmp_path / "set.json", "-o", out, "--announce", "--author", "A")
    assert again.code == 2
    assert "exists; add --force" in again.error
    assert cli("certificate", tmp_path / "set.json", "-o", out, "--author", "A").code == 2


def test_a_problem_without_c_has_one_program_and_says_so(cli, tmp_path):
    (tmp_path / "set.json").write_text('{"problem": "sidon", "n": 4, "points": [[1],[2],[4]]}')
    out = tmp_path / "announced"
    found = cli("certificate", tmp_path / "set.json", "-o", out, "--announce")
    assert found.code == 0
    assert "sidon is not defined in C" in found.out
    assert not list(out.glob("*.c"))
    (page,) = out.glob("*.md")
    assert "A program checks it" in page.read_text()
