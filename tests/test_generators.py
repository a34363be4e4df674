"""Generators: what ask may return, how samples are assessed, a user's own in a killed run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, contents, only_run
from hypothesis import given
from hypothesis import strategies as st
from loops import Loop, Told, configured

from pipeline.benchmarking.experiment import arms_from
from pipeline.core.bitset import pack, width
from pipeline.core.population import Population
from pipeline.errors import PipelineError, UsageError
from pipeline.generators.base import Generator
from pipeline.generators.registry import generator_spec, load_generator
from pipeline.generators.simple import Nothing
from pipeline.loop import Memory
from pipeline.plugins import load_problem
from pipeline.state import State, assess
from pipeline.storage.run import Run

DATA: dict[str, Any] = {
    "problem": "isosceles",
    "n": 4,
    "sizes": [4],
    "generator": "restart",
    "seeding": {"method": "greedy", "count": 20},
    "search": {"improve": "repair", "batches": 0},
    "select": {"keep": 10},
    "sample": {"count": 8},
    "budget": {"rounds": 2},
    "compute": {"workers": 1},
}


class Given(Generator):
    """Returns what it was given."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def ask(self, state: State) -> Any:
        return self.made


def asked(made: Any) -> State:
    loop = Loop(configured(DATA), generator=Given(made))
    return loop.next(loop.seed())


# ------------------------------------------------------------------------------ what ask returns


@pytest.mark.parametrize(
    "made",
    [
        np.ones((3, 16), np.bool_),
        np.ones((3, 16), np.int64),
        [[1] * 16, [0] * 16],
        np.zeros((0, 16), np.bool_),
        Population.build(4, 16, np.full((3, 2), 255, np.uint8), 0),
    ],
    ids=["bool", "integers", "lists", "none", "population"],
)
def test_candidates_may_be_bits_or_a_population(made):
    after = asked(made)
    assert (after.candidates is None) == (len(made) == 0)
    if after.candidates is not None:
        assert set(after.candidates.round.tolist()) == {1}
        assert after.candidates.came_from("generator").all()


@pytest.mark.parametrize(
    "made",
    [
        np.ones((3, 15), np.bool_),
        np.ones(16, np.bool_),
        np.ones((1, 4, 4), np.bool_),
        np.full((3, 16), 0.5),
        np.full((3, 16), np.nan),
        np.full((3, 16), 2),
        np.full((3, 16), "x"),
        [[1] * 16, [0] * 15],
        None,
        "points",
    ],
    ids=["narrow", "flat", "deep", "shares", "nan", "twos", "words", "ragged", "None", "text"],
)
def test_what_is_no_matrix_of_bits_is_refused_in_one_line(made):
    with pytest.raises(PipelineError, match=r"0s and 1s of shape \(B, 16\)") as caught:
        asked(made)
    assert "\n" not in str(caught.value)


def test_a_population_of_another_size_is_refused_in_one_line():
    with pytest.raises(PipelineError, match=r"size 5, the run searches for size 4") as caught:
        asked(Population.build(5, 25, np.zeros((1, 4), np.uint8), 0))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------- assess


def images(row: tuple[int, ...], n: int) -> frozenset[frozenset[tuple[int, int]]]:
    """Return the class of a set of cells: its images under the square's eight symmetries."""
    points = {divmod(i, n) for i, bit in enumerate(row) if bit}
    found = []
    for _ in range(4):
        points = {(c, n - 1 - r) for r, c in points}
        found += [frozenset(points), frozenset((c, r) for r, c in points)]
    return frozenset(found)


def free_of_isosceles(row: tuple[int, ...], n: int) -> bool:
    points = [divmod(i, n) for i, bit in enumerate(row) if bit]
    far = [[(a - c) ** 2 + (b - d) ** 2 for c, d in points] for a, b in points]
    return all(len({d for d in row if d}) == len(points) - 1 for row in far)


@st.composite
def boards(draw: st.DrawFn) -> tuple[int, list[tuple[int, ...]], list[tuple[int, ...]]]:
    """A side, sets of its cells that are made, and others that the pool has."""
    n = draw(st.integers(1, 3))
    row = st.tuples(*[st.integers(0, 1)] * (n * n))
    return n, draw(st.lists(row, max_size=12)), draw(st.lists(row, max_size=4))


@given(boards(), st.integers(0, 3))
def test_samples_are_assessed_as_by_sets_in_python(drawn, malformed):
    n, made, known = drawn
    problem, m = load_problem("isosceles"), n * n
    valid_known = [row for row in known if free_of_isosceles(row, n) and any(row)]
    cells = pack(np.array(valid_known, np.bool_)) if valid_known else np.zeros((0, width(m)))
    pool = Population.build(n, m, cells.astype(np.uint8), 0)
    state = State(problem, n, 0, 0, {n: pool})
    bits = np.array(made, np.bool_).reshape(len(made), m)
    candidates, sampling = assess(bits, state, malformed)

    seen, classes = {images(row, n) for row in valid_known}, [images(row, n) for row in made]
    kept = [i for i, c in enumerate(classes) if c not in classes[:i] or not any(made[i])]
    if not any(map(any, made)) and not malformed:
        kept = list(range(len(made)))
        assert sampling is None
    assert candidates.bits().tolist() == bits[kept].tolist()
    assert candidates.score.tolist() == [sum(made[i]) for i in kept]
    if sampling is None:
        return
    valid = [row for row in made if free_of_isosceles(row, n)]
    of_valid = {images(row, n) for row in valid}
    assert sampling.scores["wrong_format"] == malformed
    assert sampling.scores["valid"] == len(valid)
    assert sampling.scores["count"] == len(made) + malformed
    assert sampling.validity == pytest.approx(len(valid) / (len(made) + malformed))
    assert sampling.novelty == pytest.approx(len(of_valid - seen) / max(len(of_valid), 1))
    encoded = max(len(made), 1)
    assert sampling.duplicates == pytest.approx(1 - len(set(classes)) / encoded)
    assert sampling.repeats == pytest.approx(1 - len(set(classes) - seen) / encoded)


# ------------------------------------------------------------------------------- a user's own

PLAIN = '''
from pipeline.generators.base import Generator


class Plain(Generator):
    """Elites, each with one element of the board turned over."""

    def ask(self, state):
        bits = state.pool.bits()[:10].copy()
        bits[range(len(bits)), state.rng.integers(bits.shape[1], size=len(bits))] ^= True
        return bits
'''
LEARNING = '''
import json
from pipeline.generators.base import Generator


class Learning(Generator):
    """Turns over as many elements as its last candidates, and what came of them, call for."""

    share = 0.5

    def ask(self, state):
        bits = state.pool.bits()[:10]
        return bits ^ (state.rng.random(bits.shape) < self.share)

    def tell(self, candidates, improved):
        self.share = 0.9 * self.share + 0.01 * float(improved.score.mean()) / len(candidates)

    def save(self, folder):
        (folder / "share.json").write_text(json.dumps(self.share))

    def load(self, folder):
        self.share = json.loads((folder / "share.json").read_text())
'''


@pytest.mark.parametrize(("name", "text"), [("Plain", PLAIN), ("Learning", LEARNING)])
def test_a_users_own_ends_with_the_same_bytes_after_a_kill(tmp_path: Path, cli, name, text):
    file = tmp_path / "mine.py"
    file.write_text(text)
    own = ["--generator", f"{file}:{name}"]
    options = ["run", "isosceles", "--n", 6, *TINY, *own, "--rounds", 3, "--runs"]
    assert cli(*options, tmp_path / "whole").code == 0
    assert cli(*options, tmp_path / "parts", "--rounds", 1).code == 0
    whole, parts = only_run(tmp_path / "whole"), only_run(tmp_path / "parts")
    # What a kill in the midst of round 2 leaves behind was never committed.
    half = parts / "rounds" / ".0002.tmp"
    half.mkdir()
    (half / "n6.parquet").write_text("half")
    refused = cli("resume", parts, "--rounds", 3)
    assert refused.code == 2
    assert f"data never loads code: if you trust that file, add --generator {file}" in refused.error
    found = cli("resume", parts, "--rounds", 3, "--workers", 2, *own)
    assert found.code == 0, found.err
    left = {name for name in contents(parts) if ".tmp" not in name}
    assert {k: v for k, v in contents(parts).items() if k in left} == contents(whole)
    kept = sorted(p.name for p in whole.glob("rounds/*/generator/*"))
    assert set(kept) == ({"share.json"} if name == "Learning" else set())
    made, _ = Population.read(whole / "rounds" / "0003" / "samples.parquet")
    assert made.came_from("generator").all()


def test_a_file_with_one_generator_needs_no_class(tmp_path, cli):
    file = tmp_path / "mine.py"
    file.write_text(LEARNING)
    runs = ["--runs", tmp_path / "runs"]
    found = cli("run", "isosceles", "--n", 6, *TINY, "--rounds", 0, "--generator", file, *runs)
    assert found.code == 0, found.err
    run = only_run(tmp_path / "runs")
    assert Run(run).config.generator == f"{file}:Learning"
    assert cli("resume", run, "--rounds", 1, "--generator", file).code == 0
    assert [arm.name for arm in arms_from([str(file), "none"])] == ["Learning", "none"]


def test_a_file_with_no_generator_or_several_says_which_it_has(tmp_path):
    file = tmp_path / "both.py"
    file.write_text(LEARNING + PLAIN)
    with pytest.raises(UsageError, match="one class of a generator, or name it; it has Learning, "):
        load_generator(str(file))
    (tmp_path / "no.py").write_text("from pipeline import Generator\n")
    with pytest.raises(UsageError, match="it has none"):
        generator_spec(str(tmp_path / "no.py"))


def test_a_generator_whose_init_asks_for_an_argument_is_one_line(tmp_path, cli):
    file = tmp_path / "asks.py"
    file.write_text(LEARNING.replace("share = 0.5", "def __init__(self, share): ..."))
    runs = ["--runs", tmp_path / "runs"]
    found = cli("run", "isosceles", "--n", 6, *TINY, "--rounds", 0, "--generator", file, *runs)
    assert found.code == 2
    assert "its __init__ asks for some (missing a required argument: 'share')" in found.error


def test_a_resume_loads_the_file_that_is_named_and_not_the_one_that_the_run_names(tmp_path, cli):
    for folder in ("theirs", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "made.py").write_text(PLAIN)
    theirs, mine = (tmp_path / folder / "made.py" for folder in ("theirs", "mine"))
    options = ["--generator", f"{theirs}:Plain", "--rounds", 1, "--runs", tmp_path / "runs"]
    assert cli("run", "isosceles", "--n", 6, *TINY, *options).code == 0
    theirs.write_text("raise SystemExit('their file was run')")
    run = only_run(tmp_path / "runs")
    found = cli("resume", run, "--rounds", 2, "--generator", f"{mine}:Plain")
    assert found.code == 0, found.err
    wrong = cli("resume", run, "--rounds", 3, "--generator", f"{mine}:Other")
    assert wrong.code == 2
    assert "was run with the generator" in wrong.error


class Fails(Nothing):
    """Has nothing to give, and fails in its second round."""

    def ask(self, state: State) -> np.ndarray:
        if state.round:
            raise RuntimeError("no more")
        return super().ask(state)


def test_an_ask_that_raises_leaves_the_rounds_before_it():
    told, committed = Told(), []

    class Kept(Memory):
        def commit(self, state: State, generator: Generator) -> None:
            committed.append(state.round)

    loop = Loop(configured(DATA, budget={"rounds": 5}), told=told, generator=Fails())
    with pytest.raises(RuntimeError, match="no more"):
        loop.parts.run(Kept())
    assert committed == [0, 1]
    assert [row["state"].round for row in told.named("round")] == [0, 1]
    assert not told.named("end")


FAILING = """
import numpy as np
from pipeline.generators.base import Generator


class Failing(Generator):
    def ask(self, state):
        if state.round:
            raise RuntimeError("no more")
        return np.zeros((2, state.pool.m), bool)
"""


def test_a_run_whose_generator_fails_keeps_its_rounds(tmp_path, cli):
    file = tmp_path / "mine.py"
    file.write_text(FAILING)
    options = ["--generator", f"{file}:Failing", "--rounds", 3, "--runs", tmp_path / "runs"]
    found = cli("run", "isosceles", "--n", 6, *TINY, *options)
    assert found.code == 1
    assert "no more" in found.error
    run = only_run(tmp_path / "runs")
    assert sorted(p.name for p in (run / "rounds").iterdir()) == ["0000", "0001"]
    assert cli("verify", run).code == 0
