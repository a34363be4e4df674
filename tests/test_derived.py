"""Problems given by elements and forbidden alone: what follows from them, by brute force."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline import derived
from pipeline.core import bitset, kept_arrays
from pipeline.core.hypergraph import block_listed, bytes_of_index, index_of, some_edges
from pipeline.core.symmetry import symmetry_classes
from pipeline.errors import PipelineError, UsageError, VerificationError
from pipeline.plugin_check import check_first_use
from pipeline.plugins import load_problem, problem_spec
from pipeline.publish import certificates
from pipeline.testing import ProblemContract
from problems.isosceles import Isosceles

EASY = Path(__file__).parent / "plugins" / "easy"


def easy(file: str, name: str) -> str:
    return f"{EASY / file}.py:{name}"


# ------------------------------------------------------------------------------- the contract


class TestProgressions(ProblemContract):
    problem = str(EASY / "progressions.py")
    sizes = (1, 2, 3, 7, 9)

    def is_valid(self, n, points):
        held = {k for (k,) in points}
        return not any(2 * b - a in held for a in held for b in held if a != b)


class TestIsosceles(ProblemContract):
    problem = easy("grids", "Isosceles")
    sizes = (1, 3)

    def is_valid(self, n, points):
        def distance(p, q):
            return sum((x - y) ** 2 for x, y in zip(p, q, strict=True))

        return not any(
            distance(a, b) == distance(a, c) for a, b, c in itertools.permutations(points, 3)
        )


class TestSteps(ProblemContract):
    problem = easy("grids", "Steps")
    sizes = (2, 4)

    def is_valid(self, n, points):
        return not any(
            sorted((abs(a - c), abs(b - d))) == [1, 2]
            for (a, b), (c, d) in itertools.combinations(points, 2)
        )


class TestCapSets(ProblemContract):
    problem = easy("others", "CapSets")
    sizes = (1, 2)

    def is_valid(self, n, points):
        return not any(
            all(sum(x) % 3 == 0 for x in zip(*three, strict=True))
            for three in itertools.combinations(points, 3)
        )


class TestSidon(ProblemContract):
    problem = easy("others", "Sidon")
    sizes = (4, 7, 11)

    def is_valid(self, n, points):
        numbers = [k for (k,) in points]
        differences = [(a - b) % n for a, b in itertools.permutations(numbers, 2)]
        return len(set(differences)) == len(differences)


class TestPlainPython(ProblemContract):
    problem = easy("others", "Plain")
    convention = "two"
    sizes = (3, 8)

    def is_valid(self, n, points):
        kinds = [frozenset(bin(k)[2:]) for (k,) in points]
        return len(set(kinds)) == len(kinds)


class TestCorners(ProblemContract):
    problem = easy("others", "Corners")
    sizes = (2, 3)

    def is_valid(self, n, points):
        held = set(points)
        return not any(
            (x + d, y) in held and (x, y + d) in held for x, y in held for d in range(1, n)
        )


# ------------------------------------------------------------------------------ the hypergraph


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_a_hook_that_looks_up_counts_what_every_edge_lacks(k):
    rng, m = np.random.default_rng(k), 9
    every = np.array(list(itertools.combinations(range(m), k)), np.int32)
    edges = every[rng.random(len(every)) < 0.3]
    start, others = index_of(edges, m)
    assert start.nbytes + others.nbytes == bytes_of_index(len(edges), k, m)
    for _ in range(60):
        order = rng.permutation(m).astype(np.int32)
        size, v = int(rng.integers(m)), int(order[-1])
        inside = np.zeros(m, np.uint8)
        inside[order[:size]] = 1
        counts, slot = np.zeros(m + 1, np.int32), np.arange(m + 1, dtype=np.int32)
        block_listed(v, order, size, inside, slot, counts, 1, start, others, 0, k)
        expected = np.zeros(m + 1, np.int32)
        held = set(order[:size].tolist())
        for edge in edges.tolist():
            for u in edge:
                if v in edge and u != v and set(edge) - {u, v} <= held:
                    expected[u] += 1
        assert counts.tolist() == expected.tolist()


@pytest.mark.parametrize("k", [2, 3, 4])
def test_edges_drawn_from_an_index_are_those_it_was_made_of(k):
    every = np.array(list(itertools.combinations(range(8), k)), np.int32)[::3]
    found = some_edges(*index_of(every, 8), k, 8, np.random.default_rng(0), 2_000)
    assert found.tolist() == every.tolist()
    assert len(some_edges(*index_of(every[:0], 8), k, 8, np.random.default_rng(0), 5)) == 0


@pytest.mark.parametrize(
    ("spec", "n"), [(easy("grids", "Lines"), 4), (easy("others", "Sidon"), 12)]
)
def test_a_hook_that_tries_the_rule_counts_as_one_that_looks_up(spec, n, monkeypatch):
    problem = load_problem(spec)
    m, coords, hook = problem.ground(n).m, problem.ground(n).coords, problem.hook
    listed = problem.hook_tables(n)
    monkeypatch.setattr(derived, "TRIES", 0)
    monkeypatch.setattr(derived.Derived, "key", lambda *_: "")
    walked = problem.hook_tables(n)
    assert len(listed[0])
    assert not len(walked[0])
    rng = np.random.default_rng(1)
    for _ in range(20):
        order = rng.permutation(m).astype(np.int32)
        size, inside = int(rng.integers(m // 2)), np.zeros(m, np.uint8)
        inside[order[:size]] = 1
        both = []
        for tables in (listed, walked):
            counts, slot = np.zeros(m + 1, np.int32), np.arange(m + 1, dtype=np.int32)
            hook.py_func(order[-1], order, size, inside, slot, counts, 1, coords, tables)
            both.append(counts.tolist())
        assert both[0] == both[1]


def test_what_takes_long_is_kept_and_made_again_where_it_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_arrays.jit, "folder", lambda: tmp_path)
    made = []

    def make():
        made.append(1)
        return np.arange(5, dtype=np.int32), np.zeros(1 << 17, np.int32)

    def again():
        monkeypatch.setattr(kept_arrays, "_held", {})
        return kept_arrays.kept("key", make)

    assert again()[0].tolist() == again()[0].tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 1
    (tmp_path / "arrays" / "key" / "1.npy").write_bytes(b"something else")
    assert len(again()[1]) == 1 << 17
    assert len(made) == 2
    kept_arrays.kept("", make)
    kept_arrays.kept("", make)
    assert len(made) == 4


# --------------------------------------------------------------------------------- the rule


def test_what_the_class_does_not_say_comes_from_its_name_docstring_and_rule():
    problem = load_problem(easy("others", "CapSets"))
    assert (problem.name, problem.arity) == ("cap-sets", 3)
    assert problem.title == "The most points of F_3^n with no three on a line"
    assert load_problem(easy("others", "Sidon")).name == "sidon-modulo"
    assert load_problem(easy("grids", "Lines")).name == "lines"


@pytest.mark.parametrize(
    ("file", "name", "is_compiled"),
    [
        ("grids", "Isosceles", True),  # unpacks its points, calls a function beside it
        ("others", "CapSets", True),  # whole rows
        ("others", "Sidon", True),  # n
        ("others", "Plain", False),  # self and sets of strings
    ],
)
def test_numba_compiles_the_rules_it_can(file, name, is_compiled):
    rule = load_problem(easy(file, name)).derived
    assert rule is not None
    assert (rule.why_plain == "") == is_compiled


def test_a_rule_in_plain_python_is_refused_where_its_sets_cannot_be_listed():
    with pytest.raises(UsageError, match="too many to list without compiled code"):
        load_problem(easy("others", "Plain")).ground(10_000)


@pytest.mark.parametrize(
    ("file", "name", "n", "order"),
    [
        ("grids", "Lines", 4, 8),
        ("others", "CapSets", 3, 1296),  # axes permuted, reflected and shifted
        ("others", "Sidon", 13, 156),  # x -> ux + v
        ("others", "Sidon", 41, 1640),
        ("progressions", "Progressions", 12, 2),
        ("others", "Corners", 4, 2),  # by hand
    ],
)
def test_symmetries_are_found_or_taken_as_they_are_given(file, name, n, order):
    problem = load_problem(easy(file, name))
    assert len(problem.ground(n).group) == order
    names = {cls.name for cls in symmetry_classes(problem.ground(n))}
    if name == "Lines":
        assert {"mirror", "diagonal", "half-turn", "both-mirrors", "quarter-turn"} <= names


class Steps(pipeline.Problem):
    def elements(self, n):
        return range(n)

    def forbidden(self, a, b, c):
        return a[0] + b[0] + c[0] == 3

    def forbidden_two(self, a, b):
        return abs(a[0] - b[0]) == 1


class LongSteps(Steps):
    def forbidden_two(self, a, b):
        return abs(a[0] - b[0]) == 2


def test_a_class_inherits_the_rules_that_it_does_not_replace():
    problem = LongSteps()
    assert problem.arity == 3
    sets = [np.array(s) for s in ([0, 1], [0, 2], [0, 1, 2], [1, 2, 5])]
    valid = problem.validate(bitset.from_points(sets, 6), 6)
    assert valid.tolist() == [True, False, False, True]


@pytest.mark.parametrize(("kind", "step"), [(Steps, 1), (LongSteps, 2)])
def test_a_rule_that_is_replaced_is_replaced_in_compiled_code_that_is_kept(kind, step):
    m = 14  # all sets of these are enough to be worth compiled code
    bits = (np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(np.bool_)
    allowed = ~(bits[:, :-step] & bits[:, step:]).any(axis=1) & ~bits[:, :3].all(axis=1)
    assert (kind().validate(bitset.pack(bits), m) == allowed).all()


def test_the_size_of_a_ground_set_may_be_left_to_the_ground_set():
    class Unsized(Isosceles):
        ground_size = pipeline.Problem.ground_size

    assert Unsized().ground_size(5) == Unsized().ground(5).m == 25


@pytest.mark.parametrize("step", [2, 3])
def test_what_is_kept_is_never_that_of_another_class_made_by_the_same_lines(step):
    class Apart(pipeline.Problem):
        def elements(self, n):
            return range(n)

        def forbidden(self, a, b):
            return abs(a[0] - b[0]) == step

    problem = Apart()
    assert problem.derived is not None
    expected = [[k, k + step] for k in range(12 - step)]
    edges = problem.derived.some_forbidden(problem, 12, 1_000)[0]
    assert edges.tolist() == expected
    assert problem.derived.forbidden_sets(problem, 12)[0].tolist() == expected


@pytest.mark.parametrize("base", [Steps, LongSteps])
def test_what_is_kept_is_never_that_of_another_class_made_with_the_same_name(base):
    own = {"elements": base.elements, "forbidden": base.forbidden_two}
    problem = type("Made", (pipeline.Problem,), own)()
    assert problem.derived is not None
    step = 1 if base is Steps else 2
    edges = problem.derived.some_forbidden(problem, 12, 1_000)[0]
    assert edges.tolist() == [[k, k + step] for k in range(12 - step)]


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Asymmetric", "must not depend on the order"),
        ("Raises", "raises IndexError"),
        ("Floats", "rows of as many whole numbers"),
        ("Ragged", "rows of as many whole numbers"),
        ("Many", "more than 1,000,000"),
        ("NoRows", "give the coordinates"),
        ("Empty", "gives none"),
        ("Twice", "distinct rows"),
        ("Leaves", "takes the element"),
        ("NoSymmetry", "to one that is allowed"),
        ("Folds", "takes two elements to one"),
        ("Nothing", "lacks forbidden and elements"),
    ],
)
def test_a_fault_is_told_in_one_line(name, told):
    with pytest.raises(PipelineError, match=told) as error:
        load_problem(easy("faults", name)).ground(12)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "told"), [("Never", "for none of"), ("Always", "for all of")])
def test_a_rule_that_never_or_always_holds_is_told_at_its_first_use(name, told):
    with pytest.raises(VerificationError, match=told):
        check_first_use(load_problem(easy("faults", name)))


def test_a_rule_of_one_point_or_of_a_starred_argument_is_refused(tmp_path):
    for i, words in enumerate(["a", "*points", ", ".join(f"p{k}" for k in range(9))]):
        path = tmp_path / f"rule{i}.py"
        path.write_text(
            "from pipeline import Problem\n\nclass Rule(Problem):\n"
            f"    def forbidden(self, {words}):\n        return True\n"
        )
        with pytest.raises(UsageError, match="forbidden takes"):
            load_problem(str(path))


def test_a_file_with_one_problem_needs_no_class(tmp_path):
    assert problem_spec(str(EASY / "progressions.py")) == easy("progressions", "Progressions")
    with pytest.raises(UsageError, match="it has CapSets, Sidon, Plain, Corners"):
        load_problem(str(EASY / "others.py"))


# ------------------------------------------------------------------------------- certificates


@pytest.mark.parametrize(
    ("spec", "n", "points"),
    [
        (easy("progressions", "Progressions"), 9, [[1], [2], [4], [8], [9]]),
        (easy("grids", "Isosceles"), 3, [[0, 0], [0, 1], [2, 0], [2, 1]]),  # with its helper
        (easy("others", "Sidon"), 13, [[0], [1], [3], [9]]),
    ],
)
def test_a_certificate_holds_the_rule_as_its_author_wrote_it(spec, n, points, tmp_path):
    problem = load_problem(spec)
    index = {tuple(row): v for v, row in enumerate(problem.ground(n).coords.tolist())}
    chosen = np.array([index[tuple(p)] for p in points])
    assert problem.witness(chosen, n) is None
    found = {"n": n, "points": points, "score": len(points), "convention": problem.convention}
    made = certificates.certificate(problem, found, {})
    (tmp_path / "good.json").write_bytes(made)
    (tmp_path / "verify.py").write_bytes(certificates.verifier(problem))
    command = [sys.executable, "-I", str(tmp_path / "verify.py")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    about = json.loads(made)
    bad = next(
        [*points, row]
        for row in problem.ground(n).coords.tolist()
        if row not in points
        and problem.witness(np.append(chosen, index[tuple(row)]), n) is not None
    )
    (tmp_path / "good.json").write_text(json.dumps({**about, "points": bad, "score": len(bad)}))
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 1
    assert "these break the rule" in told.stdout


@pytest.mark.parametrize(("name", "told"), [("CapSets", "fails with TypeError"), ("Plain", "self")])
def test_a_rule_that_needs_more_than_plain_python_gives_no_certificate(name, told):
    with pytest.raises(UsageError, match=told):
        certificates.verifier(load_problem(easy("others", name)))


def test_two_rules_of_one_size_are_refused():
    with pytest.raises(UsageError, match="forbidden_b both take 2 points, join them"):

        class Twice(pipeline.Problem):
            def forbidden_a(self, a, b):
                return False

            def forbidden_b(self, a, b):
                return True
