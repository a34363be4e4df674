"""Certificates: what is published can be checked by anyone, and not be changed unnoticed."""

import ast
import json
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import oracles
import pytest

from pipeline.core.bitset import from_points
from pipeline.errors import VerificationError
from pipeline.plugins import load_problem, problem_names
from pipeline.publish import certificates
from pipeline.storage.construction_files import as_json
from pipeline.words import WordProblem

PLUGIN = Path(__file__).parent / "plugins" / "four_cycle_free.py"
GRAPHS = f"{PLUGIN}:FourCycleFree"
FLAT = [(0, 0), (0, 1), (0, 2)]  # a midpoint: an isosceles triple under one convention alone


def program(spec: str) -> ModuleType:
    """Return the verifier of a problem as a module."""
    made = ModuleType("verify")
    exec(certificates.verifier(load_problem(spec)), made.__dict__)
    return made


def certified(spec: str, n: int, points: list[tuple[int, ...]], convention: str | None = None):
    """Return the certificate of a set, whether or not it is valid."""
    problem = load_problem(spec, convention)
    coords = [tuple(row) for row in problem.ground(n).coords.tolist()]
    cells = from_points([np.array(sorted(map(coords.index, points)))], len(coords))
    found = as_json(problem, spec, n, cells[0])
    return certificates.certificate(problem, found, {"seed": 0})


@pytest.fixture
def cert(played, cli) -> Path:
    """The folder of a certificate of the tiny run."""
    folder = played.parent.parent / "cert"
    assert cli("certificate", played, "-o", folder).code == 0
    return folder


def the_file(folder: Path) -> Path:
    (found,) = folder.glob("*.json")
    return found


def checked(folder: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    """Run verify.py as a stranger would: no site packages, nothing of ours."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_certificate_of_a_run_is_checked_by_the_standard_library_alone(cert, played, cli):
    best = json.loads(cli("best", played, "--json").out)
    claim = json.loads(the_file(cert).read_bytes())
    assert claim["points"] == best["points"]
    assert claim["provenance"]["run"] == played.name
    assert str(played.parent) not in the_file(cert).read_text()
    done = checked(cert)
    assert done.returncode == 0, done.stderr
    assert f"{best['score']}  flat-forbidden" in done.stdout
    assert "1 of 1 hold" in done.stdout


def test_our_own_verify_reads_a_certificate(cert, cli):
    assert cli("verify", the_file(cert)).code == 0


def test_a_byte_that_is_changed_anywhere_fails(cert, tmp_path):
    check, data = program("isosceles").check, the_file(cert).read_bytes()
    check(the_file(cert))
    changed = tmp_path / "changed.json"
    for place in range(len(data)):
        changed.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"."):
            check(changed)
    for longer in (data + b"\n", b" " + data, data[:-1]):
        changed.write_bytes(longer)
        with pytest.raises(ValueError, match=r"."):
            check(changed)


@pytest.mark.parametrize(
    ("spec", "n", "forbidden"),
    [
        ("isosceles", 3, lambda three: oracles.isosceles(*three)),
        ("no-3-in-line", 4, lambda three: oracles.on_a_line(*three)),
        (GRAPHS, 5, lambda four: not oracles.no_four_cycle(four)),
    ],
)
def test_the_definition_is_the_oracles(spec, n, forbidden):
    problem, made = load_problem(spec), program(spec)
    points = [tuple(row) for row in problem.ground(n).coords.tolist()]
    assert all(made.inside(point, n) for point in points)
    assert not made.inside((n, 0), n)
    assert not made.inside((0, -1), n)
    some = list(combinations(points, problem.arity))
    told = [made.forbidden(few, problem.convention, n) for few in some]
    assert told == [forbidden(few) for few in some]
    assert any(told)
    assert not all(told)


def test_flat_triples_are_as_the_convention_says():
    forbidden = program("isosceles").forbidden
    assert forbidden(FLAT, "flat-forbidden", 3)
    assert not forbidden(FLAT, "flat-allowed", 3)
    assert forbidden([(0, 0), (1, 1), (0, 2)], "flat-allowed", 3)


@pytest.mark.parametrize(
    ("spec", "n", "points", "convention"),
    [
        ("isosceles", 3, FLAT, "flat-forbidden"),
        ("no-3-in-line", 3, [(0, 0), (1, 1), (2, 2)], None),
        (GRAPHS, 4, [(0, 1), (1, 2), (2, 3), (0, 3)], None),
    ],
)
def test_an_invalid_set_fails_though_its_hash_fits(tmp_path, spec, n, points, convention):
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(certified(spec, n, points, convention))
    with pytest.raises(ValueError, match="these break the rule"):
        program(spec).check(wrong)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("points", [[0, 0], [0, 0]], "given twice"),
        ("points", [[0, 3]], "no point of size"),
        ("points", [[0, True]], "no point of size"),
        ("points", "none", "must be a list"),
        ("n", 2, "no point of size"),
        ("n", 0, "whole number"),
        ("score", 7, "claims 7"),
        ("convention", "mine", "convention is unknown"),
        ("problem", "no-3-in-line", "another problem"),
        ("certificate", 9, "format"),
        ("sha256", "0", "no SHA-256"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_one_line(tmp_path, key, value, complaint):
    folder = tmp_path / "cert"
    data = json.loads(certified("isosceles", 3, [(0, 0), (0, 2)])) | {key: value}
    files = {"c.json": json.dumps(data).encode()}
    files["verify.py"] = certificates.verifier(load_problem("isosceles"))
    certificates.write(folder, files, force=False)
    done = checked(folder)
    assert done.returncode == 1
    assert not done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("WRONG"))
    assert complaint in line


def test_a_provenance_may_hold_hashes_of_other_files(tmp_path):
    problem = load_problem("isosceles")
    found = json.loads(certified("isosceles", 3, [(0, 0), (0, 1), (2, 0)]))
    told = {"from": {"sha256": "0" * 64}, "sha256": "1" * 64}
    made = certificates.certificate(problem, found, told)
    assert certificates.is_untouched(made)
    assert not certificates.is_untouched(made.replace(b"1" * 64, b"2" * 64))
    (tmp_path / "c.json").write_bytes(made)
    program("isosceles").check(tmp_path / "c.json")


def test_a_key_given_twice_fails(tmp_path):
    twice = certified("isosceles", 3, [(0, 0), (0, 2)]).replace(b'"n": 3', b'"n": 3, "n": 3')
    (tmp_path / "c.json").write_bytes(twice)
    with pytest.raises(ValueError, match="given twice"):
        program("isosceles").check(tmp_path / "c.json")


def by_size(name: str) -> bool:
    problem = load_problem(name)
    return problem.objective == "size" and not isinstance(problem, WordProblem)


@pytest.mark.parametrize("name", [*filter(by_size, problem_names())])
def test_the_verifier_of_a_shipped_problem_agrees_with_the_validator_on_tuples(name):
    problem, found = load_problem(name), program(name)
    n = next(n for n in range(problem.smallest, 99) if problem.ground_size(n) > 3 * problem.arity)
    points = [tuple(row) for row in problem.ground(n).coords.tolist()]
    rng, seen = np.random.default_rng(1), set()
    for _ in range(400):
        chosen = np.sort(rng.choice(len(points), problem.arity, replace=False))
        broken = problem.witness(chosen, n) is not None
        assert found.forbidden([points[v] for v in chosen], problem.convention, n) == broken
        seen.add(broken)
    assert seen == {False, True}
    assert all(found.inside(point, n) for point in points)


def test_a_definition_may_use_what_stands_in_its_file(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from pipeline.problem import Definition\n"
        "from problems.isosceles import Isosceles\n"
        "FEWEST = 0\n"
        "def squared(p, q):\n    return sum((a - b) ** 2 for a, b in zip(p, q))\n"
        "def inside(point, n):\n"
        "    return len(point) == 2 and all(FEWEST <= x < n for x in point)\n"
        "def legs(points, convention):\n"
        "    p, q, r = points\n"
        "    return len({squared(p, q), squared(q, r), squared(p, r)}) < 3\n"
        "class Mine(Isosceles):\n"
        "    definition = Definition(inside, legs)\n"
    )
    found = program(f"{mine}:Mine")
    assert found.forbidden([(0, 0), (0, 1), (1, 0)], "flat-forbidden", 3)
    assert not found.forbidden([(0, 0), (0, 1), (2, 0)], "flat-forbidden", 3)
    assert found.inside((2, 2), 3)
    mine.write_text(mine.read_text().replace("< 3\n", "< 2\n"))
    with pytest.raises(certificates.UsageError, match="says something else"):
        program(f"{mine}:Mine")


@pytest.mark.parametrize("spec", ["isosceles", "no-3-in-line", GRAPHS])
def test_the_verifier_is_python_3_8(spec):
    ast.parse(certificates.verifier(load_problem(spec)), feature_version=(3, 8))


def test_several_sizes_make_a_table(cert, played, cli):
    assert cli("certificate", played, "-o", cert, "--n", 5).code == 0
    done = checked(cert)
    assert [line.split()[0] for line in done.stdout.splitlines()[2:4]] == ["5", "6"]
    assert "2 of 2 hold" in done.stdout
    alone = checked(cert, cert / "isosceles-flat-forbidden-n005.json")
    assert "1 of 1 hold" in alone.stdout


def test_nothing_is_replaced_without_force(cert, played, cli):
    file = the_file(cert)
    assert cli("certificate", played, "-o", cert).code == 0  # the same bytes again
    file.write_bytes(b"mine")
    refused = cli("certificate", played, "-o", cert)
    assert refused.code == 2
    assert "--force" in refused.error
    assert file.read_bytes() == b"mine"
    assert cli("certificate", played, "-o", cert, "--force").code == 0
    assert checked(cert).returncode == 0


def test_a_folder_of_another_problem_is_refused(cert, played, cli):
    (cert / "verify.py").write_bytes(certificates.verifier(load_problem("no-3-in-line")))
    the_file(cert).unlink()
    refused = cli("certificate", played, "-o", cert)
    assert refused.code == 2
    assert "another problem" in refused.error
    assert not list(cert.glob("*.json"))


def test_where_it_cannot_be_written_is_one_line(played, cli, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        refused = cli("certificate", played, "-o", folder)
        assert refused.code in (2, 4)
        assert str(folder) in refused.error


def test_a_run_without_rounds_has_no_certificate(played, cli, tmp_path):
    shutil.rmtree(played / "rounds")
    (played / "rounds").mkdir()
    refused = cli("certificate", played, "-o", tmp_path / "cert")
    assert refused.code == 4
    assert not (tmp_path / "cert").exists()


def test_a_problem_without_a_definition_says_what_to_add():
    spec = PLUGIN.with_name("no_four_on_a_circle.py")
    problem = load_problem(f"{spec}:NoFourOnACircle")
    with pytest.raises(certificates.UsageError, match="definition = Definition"):
        certificates.verifier(problem)


def test_a_score_that_is_no_number_of_points_is_not_certified():
    problem = load_problem("isosceles")
    found = {"n": 3, "convention": "flat-forbidden", "score": 5, "points": [[0, 0]]}
    with pytest.raises(VerificationError, match="export"):
        certificates.certificate(problem, found, {})
