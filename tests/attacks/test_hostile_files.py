"""Files of constructions made to harm: each ends in one line, soon, and in little memory."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.bitset import from_points
from pipeline.core.population import Population
from pipeline.errors import PipelineError
from pipeline.plugins import load_problem
from pipeline.storage.construction_files import Named, read_constructions

SMALL = {"problem": "isosceles", "n": 8}
HOSTILE = {
    "nothing": b"",
    "spaces": b" \n\n ",
    "binary": bytes(range(256)) * 40,
    "zeros": b"\0" * 4096,
    "half of UTF-16": "\ufeff[[0, 1]]".encode("utf-16"),
    "no Parquet": b"PAR1" + b"\xff" * 200,
    "deep JSON": b"[" * 200_000,
    "deep JSON, closed": b"[" * 50_000 + b"]" * 50_000,
    "deep tuples": b"(" * 50_000 + b")" * 50_000,
    "deep points": json.dumps(SMALL).encode()[:-1]
    + b', "points": '
    + b"[" * 900
    + b"]" * 900
    + b"}",
    "a number of 5,000 digits": b"[[0, " + b"9" * 5000 + b"]]",
    "a size of 5,000 digits": b'{"problem": "isosceles", "points": [], "n": ' + b"9" * 5000 + b"}",
    "digits in CSV": b"row,column\n0," + b"9" * 5000,
    "NaN": b"[[0, NaN], [1, 2]]",
    "infinity": b'{"problem": "isosceles", "n": 1e999, "points": []}',
    "truth for a number": json.dumps({**SMALL, "points": [[True, False]]}).encode(),
    "truth for a size": b'{"problem": "isosceles", "n": true, "points": []}',
    "fractions": b"[[0.5, 1], [2, 3]]",
    "words": b"to be or not to be\n",
    "code": b"[__import__('os').system('touch ran')]",
    "more code": b"(lambda: open('ran', 'w'))()",
    "mixed": b'[[0, 1], {"n": 3}, "x", null]',
    "ragged board": b"..O\n....\nO..\n",
    "huge RLE": b"x = 999999999, y = 999999999\n999999999o!",
    "endless run": b"x = 7, y = 7\n999999999o!",
    "RLE of another kind": b"x = 7, y = 7\n3b2o?!",
    "rows below its header": b"x = 7, y = 7\n999999999$o!",
    "unclosed quotes": b'problem,n,points\n"isosceles,8,0 0;1 1\n',
    "no points in CSV": b"problem,n,points\nisosceles,8\n",
    "a plugin": b'{"problem": "evil.py:Evil", "n": 4, "points": [[0, 0]]}',
    "a problem that is a list": b'{"problem": ["isosceles"], "n": 4, "points": [[0, 0]]}',
    "points in an object": b'{"problem": "isosceles", "n": 4, "points": {"0": [0, 0]}}',
    "a large size": b'{"problem": "isosceles", "n": 3000, "points": []}',
    "the largest size": b'{"problem": "isosceles", "n": 2147483647, "points": [[0, 0]]}',
    "one point again and again": json.dumps(
        {**SMALL, "n": 3000, "points": [[0, 0]] * 20_000}
    ).encode(),
    "many sizes": json.dumps(
        [{"problem": "isosceles", "n": n, "points": []} for n in range(400, 500)]
    ).encode(),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", ["verify", "count", "best", "export"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(tmp_path, cli, command, name):
    path = tmp_path / "given.txt"
    path.write_bytes(HOSTILE[name])
    for words in ((), ("--problem", "isosceles", "--n", 7)):
        found = cli(command, path, *words)
        assert found.code in (1, 2), found
        assert "Traceback" not in found.err
        assert len(found.err.strip().splitlines()) == 1
        assert len(found.error) < 500
    assert not (tmp_path / "ran").exists()


def test_a_size_is_refused_before_its_ground_set_is_made(tmp_path, cli, monkeypatch):
    problem = type(load_problem("isosceles"))
    made = []
    monkeypatch.setattr(problem, "ground_set", lambda self, n: made.append(n))
    path = tmp_path / "large.json"
    path.write_text('{"problem": "isosceles", "n": 3000, "points": [[0, 0]]}')
    found = cli("verify", path)
    assert found.code == 1
    assert "n=3000 has 9,000,000 elements, far more than 1 points need" in found.error
    assert made == []


def test_a_parquet_file_of_a_size_that_its_points_do_not_need_is_refused(tmp_path, cli):
    m = 3000 * 3000
    cells = from_points([np.array([5])], m)
    Population.build(3000, m, cells, 1).write(tmp_path / "x.parquet", {"problem": "isosceles"})
    found = cli("verify", tmp_path / "x.parquet")
    assert found.code == 1
    assert "far more than 1 points need" in found.error


@pytest.mark.parametrize("n", [100, 200, 500])
def test_a_few_points_on_a_large_board_are_no_attack(tmp_path, cli, n):
    path = tmp_path / "sparse.json"
    path.write_text(json.dumps({"problem": "isosceles", "n": n, "points": [[0, 0], [3, n - 1]]}))
    assert cli("verify", path).code == 0


def test_a_file_too_large_to_be_a_text_is_not_read(tmp_path, cli):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(100_000_000_000)  # which takes no room on the disk
    found = cli("verify", path)
    assert found.code == 1
    assert "bytes, a text may have" in found.error


def test_start_is_judged_by_the_problem_of_the_run(tmp_path, cli):
    """A file may name a plugin of the run's class name that calls anything valid."""
    (tmp_path / "evil.py").write_text("open('ran', 'w')\n")
    path = tmp_path / "start.json"
    bad = [[0, 0], [0, 1], [0, 2]]
    words = ("run", "isosceles", "--n", 5, "--start", path, "--runs", tmp_path / "runs")
    for spec, message in (
        ("evil.py:Isosceles", "of 'evil.py:Isosceles', not of isosceles"),
        ("no-3-in-line", "of 'no-3-in-line', not of isosceles"),
        ("isosceles", "not valid"),
    ):
        path.write_text(json.dumps({"problem": spec, "n": 5, "points": bad}))
        found = cli(*words)
        assert found.code in (1, 3)
        assert message in found.error
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "runs").exists()


#: What the formats are made of, so that many a text is nearly one of them.
PIECES = st.sampled_from(
    [
        *".Oo#●01789,;()[]{}-$b!\t\n ",
        *("x = 3, y = 3\n", "row,column\n", "n,points\n", "3,0 1;1 2\n", '{"points": ', '"n": '),
        *("[[0, 1], [1, 2]]", "(0, 1)", "true", "null", "1e9", '"', "NaN"),
    ]
)
PROBLEM = Named(load_problem("isosceles"), "isosceles")


@settings(max_examples=400)
@given(st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=25).map("".join)))
def test_whatever_is_read_holds_elements_or_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    for n in (None, 7):
        try:
            found = list(read_constructions(path, PROBLEM, n))
        except PipelineError:
            continue
        for one in found:
            assert one.problem is PROBLEM.problem
            assert len(set(one.points.tolist())) == len(one.points) == one.score()
            assert one.points.size == 0 or 0 <= one.points.min() <= one.points.max() < one.n**2
