"""What an author of a rule is told: what numba compiles, what can be certified, what is missing."""

import pytest

from pipeline.errors import PipelineError, UsageError
from pipeline.plugins import load_problem
from pipeline.publish.certificates import verifier

HEAD = """from itertools import product
from pipeline import Problem


class Caps(Problem):
    \"\"\"The most points of F_3^n with no three on a line.\"\"\"

    def elements(self, n):
        return list(product(range(3), repeat=n))

"""


@pytest.fixture
def written(tmp_path):
    """Return a function that saves a problem, its rule given as lines, and returns the file."""

    def write(*lines: str, rule: str = "forbidden(self, a, b, c)") -> str:
        path = tmp_path / "caps.py"
        body = "".join(f"        {line}\n" for line in lines)
        path.write_text(f"{HEAD}    def {rule}:\n{body}")
        return str(path)

    return write


LOOP = ("for x, y, z in zip(a, b, c):", "    if (x + y + z) % 3 != 0:", "        return False")
LOOP += ("return True",)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "return all((x + y + z) % 3 == 0 for x, y, z in zip(a, b, c))",
            "numba cannot compile `all`: write a loop that returns False",
        ),
        (
            "return not any([(x + y + z) % 3 for x, y, z in zip(a, b, c)])",
            "numba cannot compile `any`: write a loop that returns True",
        ),
        (
            "return sum((x + y + z) % 3 for x, y, z in zip(a, b, c)) == 0",
            "numba cannot compile `sum`: give it a list in brackets",
        ),
        (
            "return tuple(a) != tuple(b) and ((a + b + c) % 3 == 0).all()",
            "numba cannot compile `tuple`: write (a[0], a[1])",
        ),
        ("import math; return math.gcd(int(a[0]), 3) == 3", "numba: Use of unsupported opcode"),
    ],
)
def test_a_rule_that_numba_does_not_compile_is_told_what_to_write(line, told, written):
    rule = load_problem(written(line)).derived
    assert rule is not None
    assert rule.why_plain.startswith(told)


def test_what_is_told_to_be_written_is_compiled_and_certified(written):
    problem = load_problem(written(*LOOP))
    assert problem.derived is not None
    assert problem.derived.why_plain == ""
    assert b"zip(a, b, c)" in verifier(problem)
    listed = load_problem(written("return sum([(x + y + z) % 3 for x, y, z in zip(a, b, c)]) == 0"))
    assert listed.derived is not None
    assert listed.derived.why_plain == ""


def test_rows_that_are_compared_as_wholes_are_told_of(written):
    problem = load_problem(written("p, q, r = sorted([a, b, c])", "return p[0] + q[0] == 2 * r[0]"))
    with pytest.raises(PipelineError, match=r"points are NumPy rows: compare numbers, as a\[0\]"):
        problem.ground(2)


@pytest.mark.parametrize(
    ("lines", "certificate", "listed"),
    [
        (LOOP, "ok, its program holds a copy of elements and forbidden", "compiled by numba"),
        (
            ["return ((a + b + c) % 3 == 0).all()"],
            "not yet: caps: a certificate needs plain Python",
            "compiled by numba",
        ),
        (
            ["return all((x + y + z) % 3 == 0 for x, y, z in zip(a, b, c))"],
            "ok, its program",
            "slow to list, search is not affected (numba cannot compile `all`",
        ),
    ],
)
def test_check_says_whether_a_certificate_can_be_made(lines, certificate, listed, written, cli):
    done = cli("check", written(*lines), "--n", 2)
    assert done.code == 0
    (told,) = (line for line in done.out.splitlines() if "certificate: " in line)
    assert told.strip().startswith(f"certificate: {certificate}")
    if "not yet" in certificate:
        for word in ("pipeline.problem import Definition", "inside(point, n)", "zip(a, b, c)"):
            assert word in told
    assert listed in next(line for line in done.out.splitlines() if " sets, listed" in line)


def test_what_check_asks_for_makes_a_certificate(written):
    path = written("return ((a + b + c) % 3 == 0).all()")
    with open(path, "a", encoding="utf-8") as file:
        file.write(
            "\n    from pipeline.problem import Definition\n"
            "    def inside(point, n):\n"
            "        return len(point) == n and set(point) <= {0, 1, 2}\n"
            "    def line(points, convention):\n"
            "        return all(sum(x) % 3 == 0 for x in zip(*points))\n"
            "    definition = Definition(inside, line)\n"
        )
    assert b"zip(*points)" in verifier(load_problem(path))


@pytest.mark.parametrize("named", ["", ":Caps"])
def test_a_misspelt_rule_is_named(named, written):
    path = written(*LOOP, rule="forbiden(self, a, b, c)") + named
    with pytest.raises(UsageError, match="Caps lacks forbidden; it has 'forbiden': did you mean"):
        load_problem(path)


@pytest.mark.parametrize("more", [[], ["--n", 2], ["--n", 3]])
def test_a_rule_that_depends_on_the_order_is_bad_whether_a_size_is_named_or_not(more, written, cli):
    done = cli("check", written("return a[0] < b[0]"), *more)
    assert done.code == 3
    assert "BAD  forbidden" in done.out
    assert "must not depend on the order" in done.out
    small = cli("check", written("return a[0] < b[0]"), "--n", 0)
    assert (small.code, "n must be at least 1" in small.error) == (2, True)
