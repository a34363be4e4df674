"""Conditions: what a sequence says of its construction is true, read back, and asked for."""

from dataclasses import replace
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_loop import loop_of, tiny

from pipeline.config import Config
from pipeline.core.bitset import pack, unpack
from pipeline.core.symmetry import classes_of, find_class, orbits, symmetry_classes
from pipeline.errors import UsageError
from pipeline.model.conditions import ABOVE, BEST, LEVELS, ConditionedEncoder
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.tokens import EOS, PAD, Encoder, make_encoder
from pipeline.plugins import load_problem
from pipeline.generators.token_mask import TokenMask
from pipeline.writers import TokenWriter

PROBLEM = load_problem("isosceles")
BOTH = ("score", "symmetry")
KINDS = [("points", None), ("dense", None), ("orbits", "both-mirrors")]


def conditioned(kind="points", symmetry=None, conditions=BOTH, sizes=(4, 5)):
    inner = make_encoder(kind, {n: PROBLEM.ground(n) for n in sizes}, symmetry)
    return ConditionedEncoder(inner, conditions, PROBLEM.score)


def drawn(n, count, seed, symmetry=None):
    """Return packed random sets, in the orbits of a class."""
    ground = PROBLEM.ground(n)
    of = orbits(ground, find_class(ground, symmetry or "trivial")).of
    rng = np.random.default_rng(seed)
    return pack((rng.random((count, of.max() + 1)) < rng.random((count, 1)))[:, of])


def ladder(*scores):
    return {n: np.array(scores) for n in (4, 5)}


# ------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize("conditions", [("score",), ("symmetry",), BOTH, BOTH[::-1]])
@pytest.mark.parametrize(("kind", "symmetry"), KINDS)
@given(seed=st.integers(0, 2**32), moved=st.booleans())
def test_what_is_said_is_read_back_and_true(kind, symmetry, conditions, seed, moved):
    encoder = conditioned(kind, symmetry, conditions)
    encoder.show(ladder(3, 5, 5, 9))
    for n in encoder.sizes:
        cells = drawn(n, 12, seed, symmetry)
        tokens = encoder.encode(cells, n, np.random.default_rng(seed) if moved else None)
        assert tokens.max() < encoder.vocab_size
        assert tokens.shape[1] <= encoder.max_length
        back, ok = encoder.decode(tokens, n)
        assert ok.all()
        assert moved or np.array_equal(back, cells)
        said = encoder.read(tokens)
        assert tuple(said) == conditions
        for row, levels, names in zip(
            back, *(said.get(name, np.full(12, -1)) for name in BOTH), strict=True
        ):
            score = int(unpack(row[None], n * n).sum())
            steps = [score > 9, score == 9, 5 <= score < 9, 3 <= score < 5, score < 3]
            assert levels in (-1, steps.index(True))
            if names >= 0:
                assert encoder.classes[names] == stabiliser_class(row, n)


def stabiliser_class(row, n):
    """Return the class of a set's symmetries, by trying them on the board."""
    board = unpack(row[None], n * n).reshape(n, n)
    images = {
        "mirror": [board[::-1], board[:, ::-1]],
        "diagonal": [board.T, board[::-1, ::-1].T],
        "half-turn": [board[::-1, ::-1]],
        "quarter-turn": [np.rot90(board)],
    }
    has = {k: sum(np.array_equal(board, i) for i in v) for k, v in images.items()}
    if has["quarter-turn"]:
        return "all" if has["mirror"] else "quarter-turn"
    for one, two in (("mirror", "both-mirrors"), ("diagonal", "both-diagonals")):
        if has[one]:
            return two if has[one] == 2 else one
    return "half-turn" if has["half-turn"] else "trivial"


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_class_is_that_of_the_stabiliser(seed, n):
    ground = PROBLEM.ground(n)
    listed = symmetry_classes(ground)
    rng = np.random.default_rng(seed)
    for cls in listed:
        of = orbits(ground, cls).of
        cells = pack((rng.random((5, of.max() + 1)) < 0.4)[:, of])
        for row, found in zip(cells, classes_of(cells, ground), strict=True):
            held = [g for g in ground.group if oracle_fixes(row, g, ground.m)]
            assert listed[found].order == len(held)
            if n > 2:
                assert listed[found].name == stabiliser_class(row, n)


def oracle_fixes(row, permutation, m):
    points = set(np.flatnonzero(unpack(row[None], m)[0]).tolist())
    return {int(permutation[p]) for p in points} == points


def test_levels_count_the_different_scores_and_end_somewhere():
    encoder = conditioned(conditions=("score",))
    encoder.show({5: np.array([20, 20, 18, 15, 14, 13, 12, 11, 10]), 4: np.array([1])})
    cells = pack(np.arange(25) < np.array([[25], [20], [18], [16], [15], [14], [11], [2], [0]]))
    assert encoder.told(cells, 5)["score"].tolist() == [ABOVE, BEST, 2, 3, 3, 4, 7, 7, 7]
    assert encoder.steps(5) == 8
    assert encoder.steps(4) == 1
    assert conditioned().told(cells, 5)["score"].tolist() == [BEST] * 9  # before any was shown


@pytest.mark.parametrize(("kind", "symmetry"), KINDS)
def test_element_tokens_are_those_without_conditions(kind, symmetry):
    encoder = conditioned(kind, symmetry)
    inner = make_encoder(kind, encoder.grounds, symmetry)
    cells = drawn(5, 9, 0, symmetry)
    tokens, plain = encoder.encode(cells, 5), inner.encode(cells, 5)
    assert np.array_equal(tokens[:, :2], plain[:, :2])
    assert np.array_equal(tokens[:, 4:], plain[:, 2:])
    assert encoder.vocab_size == inner.vocab_size + LEVELS + len(encoder.classes)
    assert encoder.max_length == inner.max_length + 2
    assert np.array_equal(encoder.element_tokens(5), inner.element_tokens(5))
    assert encoder.encodable(cells, 5).all()


def test_the_vocabulary_is_the_same_whatever_is_shown():
    before = conditioned()
    after = conditioned()
    after.show(ladder(*range(30)))
    assert before.vocab_size == after.vocab_size
    assert np.array_equal(before.prefix(5), after.prefix(5))


def test_a_wrong_condition_is_a_wrong_format():
    encoder = conditioned()
    good = encoder.encode(drawn(5, 1, 0), 5)
    score, cls = encoder.prefix(5)[2:]
    assert encoder.decode(good, 5)[1].all()
    for column, token in ((2, cls), (3, score), (2, PAD), (3, EOS), (2, 6), (3, -1)):
        bad = good.copy()
        bad[0, column] = token
        cells, ok = encoder.decode(bad, 5)
        assert not ok.any()
        assert not cells.any()
    inside = np.insert(good, 4, score, axis=1)
    for row in (inside, good[:, :3], good[:, :0], good[:, [0, 1, 3, 2, *range(4, good.shape[1])]]):
        assert not encoder.decode(row, 5)[1].any()


def test_what_is_asked_for_stands_first():
    encoder = conditioned()
    prefix = encoder.prefix(4, ABOVE, "half-turn")
    said = encoder.read(prefix[None])
    assert said["score"].tolist() == [ABOVE]
    assert encoder.classes[said["symmetry"][0]] == "half-turn"
    fixed = encoder.fixed(prefix)
    assert (fixed.encode(drawn(4, 5, 0), 4)[:, :4] == prefix).all()
    assert np.array_equal(fixed.prefix(4), prefix)
    assert not np.array_equal(encoder.prefix(4), prefix)
    with pytest.raises(UsageError, match="did you mean 'half-turn'"):
        encoder.prefix(4, BEST, "halfturn")


def test_an_answer_is_measured_by_what_was_asked():
    encoder = conditioned()
    encoder.show(ladder(3, 2))
    row = np.zeros((4, 5, 5), bool)
    row[0, 0, 0] = row[0, 0, 4] = row[0, 1, 2] = True  # three points, a mirror
    row[1, 0, 0] = row[1, 0, 4] = True  # two, a mirror
    row[2, 0, :4] = True  # four, none
    row[3, 0, 1] = True  # one, none
    cells = pack(row.reshape(4, 25))
    told = encoder.answered(encoder.prefix(5, BEST, "mirror")[None], cells, 5)
    assert told["asked"] == {"score": "best", "symmetry": "mirror"}
    assert told["answered"] == {"score": 0.5, "symmetry": 0.5}
    assert encoder.commonest(cells[:2], 5) == "mirror"
    assert encoder.commonest(cells, 5) == "trivial"
    assert encoder.commonest(cells[:0], 5) == "trivial"
    assert encoder.answered(encoder.prefix(5)[None], cells[:0], 5)["answered"]["score"] == 0


def test_wrong_conditions_name_what_there_is():
    with pytest.raises(UsageError, match="did you mean 'score'"):
        conditioned(conditions=("scor",))
    with pytest.raises(UsageError, match="name it once"):
        conditioned(conditions=("score", "score"))
    config = Config("isosceles", 6)
    with pytest.raises(UsageError, match=r"model\.condition: unknown 'sym'"):
        replace(config.model, condition=("sym",))
    with pytest.raises(UsageError, match="without repetition"):
        replace(config.model, condition=("score", "score"))
    for sample in ({"ask": "above"}, {"symmetry": "mirror"}):
        with pytest.raises(UsageError, match=r"told it: model\.condition"):
            loop_of(tiny(sample=sample))


# ------------------------------------------------------------------------------- the guide


@pytest.mark.parametrize(("kind", "symmetry"), KINDS)
def test_the_guide_allows_the_same_elements_as_without_conditions(kind, symmetry):
    encoder = conditioned(kind, symmetry)
    inner = make_encoder(kind, encoder.grounds, symmetry)
    guides = [TokenMask(PROBLEM, one, 5, 8) for one in (encoder, inner)]
    rng = np.random.default_rng(0)
    for _ in range(6):
        legal, plain = (guide.legal() for guide in guides)
        assert np.array_equal(legal[:, : inner.vocab_size], plain)
        assert not legal[:, inner.vocab_size :].any()
        tokens = np.array([rng.choice(np.flatnonzero(row)[-4:]) for row in plain])
        for guide in guides:
            guide.advance(tokens)


# ------------------------------------------------------------------------------- the loop


def test_embeddings_of_levels_begin_on_a_line_and_go_on_beyond_it():
    model = GPT(GPTConfig(20, 6, 1, 2, 16))
    before = model.tokens.weight.detach().clone()
    model.line_up(np.arange(10, 18))
    weight = model.tokens.weight.detach().clone()
    assert torch.equal(weight[[10, 17]], before[[10, 17]])
    assert torch.equal(weight[:10], before[:10])
    steps = weight[11:18] - weight[10:17]
    assert torch.allclose(steps, steps[:1].expand(7, -1), atol=1e-6)
    model.extend(10, 12, 14)
    weight = model.tokens.weight.detach()
    assert torch.allclose(weight[10], 2 * weight[12] - weight[14])
    model.line_up(np.zeros(0, np.int64))


def conditioned_rounds(number=2, **changes: Any):
    model: dict[str, Any] = {"condition": list(BOTH), **changes.pop("model", {})}
    loop = loop_of(tiny(model=model, **changes))
    states = [loop.seed({})]
    for _ in range(number):
        states.append(loop.next(states[-1]))
    writer = loop.writer
    assert isinstance(writer, TokenWriter)
    assert isinstance(writer.encoder, ConditionedEncoder)
    return writer, writer.encoder, states


@pytest.mark.parametrize("kind", ["points", "dense"])
def test_a_round_asks_and_says_what_came_of_it(kind):
    _, encoder, states = conditioned_rounds(model={"tokens": kind})
    for state in states[1:]:
        asked, answered = state.stats["asked"], state.stats["answered"]
        assert asked["score"] == "best"
        assert asked["symmetry"] in encoder.classes
        assert all(0 <= share <= 1 for share in answered.values())
        assert state.stats["sampled"]["wrong_format"] < state.stats["sampled"]["count"]
        for i in range(len(state.pools[6])):
            points = PROBLEM.ground(6).coords[state.pools[6].points(i)].tolist()
            assert oracles.no_isosceles([tuple(p) for p in points])


def test_what_is_asked_may_be_chosen():
    sample = {"ask": "above", "symmetry": "both-mirrors"}
    _, encoder, states = conditioned_rounds(1, sample=sample)
    assert states[1].stats["asked"] == {"score": "above", "symmetry": "both-mirrors"}
    above, best, second = encoder.level_tokens()[:3].tolist()
    weight = states[1].model.tokens.weight
    assert torch.allclose(weight[above], 2 * weight[best] - weight[second])
    with pytest.raises(UsageError, match="did you mean 'mirror'"):
        loop_of(tiny(model={"condition": ["symmetry"]}, sample={"symmetry": "miror"}))


def test_a_size_kept_from_the_model_has_its_own_best():
    _, encoder, states = conditioned_rounds(1, train={"sizes": [5]}, sample={"ask": "above"})
    assert states[1].stats["asked"]["score"] == "above"
    best = states[0].pools[6].cells[:1]
    assert encoder.told(best, 6)["score"].tolist() == [BEST]
    assert states[1].stats["answered"]["score"] == 0


def test_nothing_lies_above_where_all_are_equal():
    _, _, states = conditioned_rounds(1, n=2, sizes=[2], sample={"ask": "above"})
    assert states[1].stats["asked"]["score"] == "best"


def test_the_model_shape_is_the_same_in_every_round():
    writer, encoder, states = conditioned_rounds(2)
    assert states[1].model.config == states[2].model.config == writer.shape()
    assert writer.shape().vocab_size == encoder.vocab_size


def test_feedback_is_told_what_had_been_asked(monkeypatch):
    seen: list[Encoder] = []

    def spy(model, encoder, n, cells, scores, config, **_):
        seen.append(encoder)
        tokens = encoder.encode(cells, n)
        assert (tokens[:, :4] == encoder.prefix(n)).all()
        from pipeline.model.feedback import FeedbackResult

        return FeedbackResult(False, 0, 0)

    monkeypatch.setattr("pipeline.writers.feedback", spy)
    conditioned_rounds(1, feedback={"kind": "prefer"}, sample={"symmetry": "mirror"})
    (encoder,) = seen
    assert isinstance(encoder, ConditionedEncoder)
    said = encoder.read(encoder.prefix(6)[None])
    assert encoder.classes[said["symmetry"][0]] == "mirror"
