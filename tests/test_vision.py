"""The vision transformer: boards against brute force, what is told, what is learnt, whole runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, contents, only_run
from loops import Loop, configured
from msgspec import structs

from pipeline.config import TrainConfig
from pipeline.core.bitset import from_points, unpack
from pipeline.core.symmetry import apply, canonical, find_class, normaliser
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.model.attention_bias import among
from pipeline.model.checkpoint import load_model, load_vision, save_model
from pipeline.model.gpt import GPT, GPTConfig
from pipeline.model.masked_decoding import Shown, alike, arrange, example, fill, next_loss, train
from pipeline.model.vision import IN, STOP, UNKNOWN, Vision, VisionConfig, view
from pipeline.plugins import load_problem

FP32, BF16 = torch.float32, torch.bfloat16
PROBLEM = load_problem("isosceles")
PLUGINS = Path(__file__).parent / "plugins"
SPHERE = f"{PLUGINS / 'no_five_on_a_sphere.py'}:NoFiveOnASphere"
CIRCLE = f"{PLUGINS / 'no_four_on_a_circle.py'}:NoFourOnACircle"
QUICK = TrainConfig(steps=60, batch=16, learning_rate=3e-3, warmup=5, patience=0, holdout=0.0)


pytestmark = pytest.mark.usefixtures("one_thread")


def boards_of(sizes: tuple[int, ...], symmetry: str = "trivial") -> dict[int, OrbitGrid]:
    return {n: OrbitGrid(PROBLEM, n, symmetry) for n in sizes}


def seen_of(boards: dict[int, OrbitGrid], bias: str = "off"):
    places = [board.places for board in boards.values()]
    pairs = [(board.fractions, board.places) for board in boards.values()]
    return view(pairs, among(places, bias))


def net(bias: str = "off", width: int = 32, seed: int = 0, d: int = 2) -> Vision:
    return Vision(VisionConfig(d, 2, 2, width, bias), seed=seed)


def greedy(board: OrbitGrid, count: int, seed: int = 0) -> np.ndarray:
    """Return maximal sets, packed, made by a model that finds all choices alike."""
    model = net()
    with torch.no_grad():
        model.head.weight.zero_()
    seen = view([(board.fractions, board.places)])
    return board.cells(fill(model, board, seen, 0, count, counts=True, seed=seed))


def bits_of(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: weight.numpy().tobytes() for name, weight in model.state_dict().items()}


# ---------------------------------------------------------------------------------- boards


@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        ("isosceles", 5, "trivial"),
        ("isosceles", 6, "both-mirrors"),
        ("no-3-in-line", 5, "half-turn"),
        (CIRCLE, 4, "order-2-1"),
        (CIRCLE, 4, "trivial"),
    ],
)
def test_what_is_free_is_what_the_validator_lets_pass(spec, n, symmetry):
    problem = load_problem(spec)
    board, rng = OrbitGrid(problem, n, symmetry), np.random.default_rng(0)
    members = np.zeros((12, len(board)), np.bool_)
    for row in range(len(members)):  # grown at random, by the validator alone
        for choice in rng.permutation(len(board))[: 2 * row]:
            members[row, choice] = True
            members[row, choice] = problem.validate(board.cells(members[row : row + 1]), n)[0]
    free = board.free(members)
    for row in range(len(members)):
        for choice in range(len(board)):
            more = members[row : row + 1].copy()
            more[0, choice] = True
            valid = problem.validate(board.cells(more), n)[0] and not members[row, choice]
            assert free[row, choice] == valid


def test_nothing_outside_a_mask_is_free():
    mask = np.zeros(36, np.bool_)
    mask[[1, 4, 31, 34, 0, 8]] = True
    board = OrbitGrid(PROBLEM, 6, "both-mirrors", mask)
    free = board.cells(board.free(np.zeros((1, len(board)), np.bool_)))
    assert unpack(free, 36).nonzero()[1].tolist() == [1, 4, 31, 34]


def test_cells_are_read_and_written_and_others_refused():
    board = OrbitGrid(PROBLEM, 6, "both-mirrors")
    members = np.random.default_rng(0).random((20, len(board))) < 0.3
    cells = board.cells(members)
    assert board.readable(cells).all()
    assert (board.members(cells) == members).all()
    lone = from_points([np.array([0]), np.array([0, 5, 30])], 36)
    assert not board.readable(lone).any()


def test_a_moved_construction_is_an_image_under_the_normaliser():
    ground = PROBLEM.ground(6)
    board, rng = OrbitGrid(PROBLEM, 6, "mirror"), np.random.default_rng(0)
    one = board.cells(rng.random((1, len(board))) < 0.3)
    moved = board.cells(board.members(np.repeat(one, 60, axis=0), rng))
    group = normaliser(ground, find_class(ground, "mirror"))
    images = {apply(one, ground, index).tobytes() for index in group}
    assert {row.tobytes() for row in moved} == images
    assert len(images) > 1


# -------------------------------------------------------------------- what a model is shown


def test_a_board_is_written_with_the_stop_first_and_without_what_is_ruled_out():
    members = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], np.bool_)
    open_ = np.array([[0, 0, 1, 0], [1, 1, 0, 1]], np.bool_)
    shown = arrange(3, members, open_, open_)
    assert shown.sizes.tolist() == [3, 3]
    assert shown.choices.tolist() == [[4, 0, 2, -1], [4, 0, 1, 3]]
    assert shown.states[0, :3].tolist() == [STOP, IN, UNKNOWN]
    assert shown.open.tolist() == [[False, False, True, False], [False, True, True, True]]


@pytest.mark.parametrize("counts", [True, False])
def test_what_is_told_and_what_is_due_make_up_the_construction(counts):
    board, rng = OrbitGrid(PROBLEM, 6), np.random.default_rng(1)
    cells = greedy(board, 50)
    shown = example(0, board, cells, counts, rng)
    ends = 0
    for row in range(len(cells)):
        chosen, states, open_, due = (part[row] for part in shown[1:])
        told = chosen[(states == IN) & (chosen >= 0)]
        rest = chosen[due & (chosen < len(board))]
        whole = np.zeros((1, len(board)), np.bool_)
        whole[0, [*told, *rest]] = True
        assert len(told) + len(rest) == whole.sum()
        found, image = board.cells(whole), cells[row : row + 1]
        assert (canonical(found, PROBLEM.ground(6)) == canonical(image, PROBLEM.ground(6))).all()
        ends += not len(rest)
        assert due[0] == (not len(rest))
        whole[0, rest] = False
        free = board.free(whole)[0] if counts else ~whole[0]
        assert sorted(chosen[open_ & (chosen < len(board))]) == free.nonzero()[0].tolist()
        assert open_[0] == (not counts)
    assert (ends > 0) == (not counts)


def test_boards_of_like_length_go_together():
    lengths = np.random.default_rng(0).integers(1, 3000, size=200)
    parts = alike(lengths, 8192)
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    for part in parts:
        assert 2 * lengths[part].min() >= lengths[part].max()
        assert len(part) == 1 or len(part) * lengths[part].max() <= 8192


# --------------------------------------------------------------------------------- the model


def some(boards: dict[int, OrbitGrid], counts: bool = True) -> Shown:
    board = list(boards.values())[-1]
    return example(len(boards) - 1, board, greedy(board, 12), counts, np.random.default_rng(0))


def test_the_loss_of_an_undecided_model_is_the_logarithm_of_what_is_open():
    boards = boards_of((5, 6))
    shown, model = some(boards), net()
    with torch.no_grad():
        model.head.weight.zero_()
    found = next_loss(model, seen_of(boards), shown, FP32)
    assert np.allclose(found.detach(), np.log(shown.open.sum(axis=1)), atol=1e-5)


@pytest.mark.parametrize("bias", ["off", "distance", "offset"])
def test_order_and_padding_do_not_matter(bias):
    boards = boards_of((4, 6))
    seen, model, shown = seen_of(boards, bias), net(bias), some(boards)
    if bias != "off":
        biases = (weight for name, weight in model.named_parameters() if name.endswith(".bias"))
        for bias in biases:
            torch.nn.init.normal_(bias, generator=torch.Generator().manual_seed(0))
    given = [torch.from_numpy(part) for part in shown[:3]]
    before = model(seen, *given)
    there = given[1] >= 0
    order = torch.randperm(before.shape[1], generator=torch.Generator().manual_seed(1))
    again = model(seen, given[0], given[1][:, order], given[2][:, order])
    assert torch.allclose(before[:, order][there[:, order]], again[there[:, order]], atol=1e-5)
    row = int(there.sum(dim=1).argmin())
    alone = shown.take(np.array([row]))
    assert alone.choices.shape[1] < shown.choices.shape[1]
    short = model(seen, *(torch.from_numpy(part) for part in alone[:3]))
    assert torch.allclose(short[0], before[row, : short.shape[1]], atol=1e-5)


@pytest.mark.parametrize("bias", ["distance", "offset"])
def test_relations_are_the_same_at_every_size(bias):
    boards = boards_of((4, 6))
    small, large = among([board.places for board in boards.values()], bias) or []
    place = {tuple(p): i for i, p in enumerate(boards[6].places.tolist())}
    index = [place[tuple(p)] for p in boards[4].places.tolist()]
    assert (large[np.ix_(index, index)] == small).all()
    assert small.max() < 64
    assert (np.diag(large) == large[0, 0]).all()


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("bias", ["off", "distance"])
def test_gradients_reach_every_weight_and_are_finite(dtype, bias):
    boards = boards_of((5, 6))
    model = net(bias)
    next_loss(model, seen_of(boards, bias), some(boards, False), dtype).mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().sum() > 0, name


# -------------------------------------------------------------------------------- training


def lessons(**changes: Any):
    """Return what `train` takes: a few constructions of each size, ten times each."""
    boards = boards_of((5, 6), "mirror")
    data = {n: np.repeat(greedy(board, 3), 10, axis=0) for n, board in boards.items()}
    config = structs.replace(QUICK, **changes)
    return boards, seen_of(boards, "offset"), data, config


@pytest.mark.parametrize("counts", [True, False])
def test_the_loss_falls_also_on_what_is_held_out(counts):
    boards, seen, data, config = lessons(holdout=0.25, evaluate_every=10)
    result = train(net("offset"), boards, seen, data, config, counts=counts, seed=0)
    assert result.curve[-1][1] < result.curve[0][1] - 0.1
    held = [entry[2] for entry in result.curve if entry[2] is not None]
    assert result.holdout_loss == min(held) < held[0]


def test_training_goes_on_from_its_moments_and_repeats_itself():
    boards, seen, data, config = lessons(steps=4)
    found = []
    for _ in range(2):
        model = net("offset")
        first = train(model, boards, seen, data, config, counts=True, seed=0)
        second = train(
            model,
            boards,
            seen,
            data,
            config,
            counts=True,
            seed=1,
            optimizer_state=first.optimizer_state,
        )
        assert second.optimizer_state["head.weight.step"].item() == 8
        found.append((bits_of(model), second.curve))
    assert found[0] == found[1]


def test_a_loss_that_is_not_finite_stops_with_one_line():
    boards, seen, data, config = lessons()
    model = net("offset")
    with torch.no_grad():
        model.head.weight[0, 0] = torch.inf
    with pytest.raises(PipelineError, match="training diverged at step 1"):
        train(model, boards, seen, data, config, counts=True, seed=0)
    with pytest.raises(PipelineError, match="logits are not finite"):
        fill(model, boards[5], seen, 0, 3, counts=True, seed=0)


@pytest.mark.end_to_end
@pytest.mark.parametrize("counts", [True, False])
def test_trained_on_one_construction_it_writes_that_one(counts):
    board = OrbitGrid(PROBLEM, 5)
    seen = seen_of({5: board}, "offset")
    made = greedy(board, 200)
    one = made[PROBLEM.score(made, 5).argmax()][None]
    model = net("offset", width=48)
    train(
        model,
        {5: board},
        seen,
        {5: one},
        structs.replace(QUICK, steps=200, batch=32),
        counts=counts,
        seed=0,
        precision="fp32",
    )
    made = fill(model, board, seen, 0, 40, counts=counts, temperature=0.5, seed=0)
    same = canonical(board.cells(made), PROBLEM.ground(5)) == canonical(one, PROBLEM.ground(5))
    assert same.all(axis=1).mean() > 0.8


def test_what_is_learnt_at_some_sizes_can_be_asked_at_another():
    _, _, data, config = lessons(steps=10)
    wider = boards_of((5, 6, 8), "mirror")
    seen, model = seen_of(wider), net()
    train(model, wider, seen, data, config, counts=True, seed=0)
    made = fill(model, wider[8], seen, 2, 20, counts=True, seed=0)
    assert PROBLEM.validate(wider[8].cells(made), 8).all()
    assert made.any(axis=1).all()


# -------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize(
    ("spec", "n", "symmetry"),
    [
        ("isosceles", 8, "trivial"),
        ("isosceles", 8, "both-mirrors"),
        (CIRCLE, 4, "order-2-1"),
        (SPHERE, 3, "trivial"),
    ],
)
def test_boards_filled_by_the_counts_are_valid_and_maximal(spec, n, symmetry):
    problem = load_problem(spec)
    board = OrbitGrid(problem, n, symmetry)
    seen = view([(board.fractions, board.places)])
    model = net(d=board.places.shape[1])
    made = fill(model, board, seen, 0, 30, counts=True, batch=7, seed=0)
    assert problem.validate(board.cells(made), n).all()
    assert not board.free(made).any()
    assert board.readable(board.cells(made)).all()
    assert len(np.unique(made, axis=0)) > 1


def test_without_the_counts_a_model_stops_by_itself_and_errs():
    board = OrbitGrid(PROBLEM, 6)
    seen = seen_of({6: board})
    model = net()
    with torch.no_grad():
        model.head.weight.zero_()  # every choice and the stop alike
    made = fill(model, board, seen, 0, 200, counts=False, seed=0)
    sizes = made.sum(axis=1)
    # The stop is one of 37, then of 36, and so on: all numbers from 0 to 36 are equally likely.
    assert abs(sizes.mean() - 18) < 3
    assert not PROBLEM.validate(board.cells(made), 6).all()


def test_the_same_seed_gives_the_same_boards():
    board = OrbitGrid(PROBLEM, 6)
    seen, model = seen_of({6: board}), net()
    told: list[tuple[int, int]] = []

    def made(seed: int) -> np.ndarray:
        told.clear()
        how: dict[str, Any] = {"batch": 10, "progress": lambda *ended: told.append(ended)}
        return fill(model, board, seen, 0, 25, counts=True, seed=seed, **how)

    first = made(0)
    assert (made(0) == first).all()
    assert (made(1) != first).any()
    assert told == sorted(told)
    assert told[-1] == (25, 25)
    assert fill(model, board, seen, 0, 0, counts=True, seed=0).shape == (0, 36)


def test_a_low_temperature_and_a_small_top_p_take_the_likeliest():
    board = OrbitGrid(PROBLEM, 6)
    seen, model = seen_of({6: board}), net()
    cold = fill(model, board, seen, 0, 5, counts=True, temperature=0, seed=0)
    narrow = fill(model, board, seen, 0, 5, counts=True, top_p=1e-6, seed=1)
    assert (cold == cold[0]).all()
    assert (narrow == cold).all()


# ------------------------------------------------------------------------------ checkpoints


def test_a_model_comes_back_from_its_file_bit_by_bit(tmp_path):
    path = tmp_path / "model.safetensors"
    model = net("offset", seed=3)
    save_model(path, model)
    again = load_vision(path, model.config)
    assert again.config == model.config
    assert bits_of(again) == bits_of(model)
    written = path.read_bytes()
    save_model(path, again)
    assert path.read_bytes() == written


def test_a_model_of_another_shape_or_kind_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, net())
    with pytest.raises(RunError, match="another shape: dimensions = 2, expected 3"):
        load_vision(path, replace(net().config, dimensions=3))
    with pytest.raises(RunError, match="holds 'vision' in format 1, expected 'model'"):
        load_model(path)
    save_model(path, GPT(GPTConfig(5, 6)))
    with pytest.raises(RunError, match="holds 'model' in format 1, expected 'vision'"):
        load_vision(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": 0}, "dimensions = 0: give a whole number from 1 to 64"),
        ({"dimensions": 65}, "dimensions = 65"),
        ({"width": 33}, "width = 33 is no multiple of heads = 2; use width = 32"),
        ({"layers": 0}, "layers = 0"),
        ({"attention_bias": "ofset"}, "did you mean 'offset'"),
    ],
)
def test_an_impossible_shape_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(net().config, **change)


# --------------------------------------------------------------------------------- whole runs

BASE: dict[str, Any] = {
    "problem": "isosceles",
    "n": 6,
    "sizes": [5, 6],
    "seeding": {"method": "anneal", "count": 40, "moves": 3000},
    "search": {"moves": 2000, "batches": 0},
    "generator": "vision",
    "model": {"width": 16, "heads": 2, "layers": 1},
    "train": {"steps": 6, "evaluate_every": 3},
    "sample": {"count": 20},
    "compute": {"device": "cpu", "threads": 1, "workers": 1},
}


def loop_of(**changes: Any) -> Loop:
    return Loop(configured(BASE, **changes))


@pytest.mark.parametrize("bias", ["off", "distance"])
def test_its_samples_are_those_of_a_symmetry_and_all_valid(bias):
    classes = {"symmetry": "both-mirrors", "seeding": {"symmetry": ["both-mirrors"]}}
    loop = loop_of(**classes, model={"attention_bias": bias}, sample={"count": 9})
    state = loop.next(loop.seed())
    assert state.stats["validity"] == 1
    assert state.stats["sampled"]["count"] == 9
    assert state.candidates is not None
    assert loop.generator.readable(state.candidates.cells, 6).all()


def test_left_free_its_invalid_samples_are_counted():
    state = loop_of(sample={"masked": False, "count": 40}).rounds(1)[-1]
    assert state.stats["sampled"]["invalid"] > 0
    assert state.stats["sampled"]["wrong_format"] == 0
    assert state.stats["validity"] < 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_smallest_grids_go_through_the_whole_loop(n):
    loop = loop_of(n=n, sizes=[n])
    assert loop.rounds(2)[-1].best(n) == (1, 2, 4)[n - 1]


def test_pools_that_it_cannot_read_say_what_to_do():
    loop = loop_of(symmetry="both-mirrors")
    state = loop.seed()
    lone = state.pools[6].take(np.zeros(0, int))
    with pytest.raises(PipelineError, match=r"as orbits .*'both-mirrors'; seed with it"):
        loop.next(replace(state, pools={6: lone}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "visoin"}, "generator: unknown 'visoin'; did you mean 'vision'"),
        ({"feedback": {"kind": "prefer"}}, "feedback.kind 'prefer' needs generator 'gpt'"),
        (
            {"symmetry": "quarter-turn"},
            "no construction with the symmetry 'quarter-turn'",
        ),
        ({"symmetry": "mirorr"}, "did you mean 'mirror'"),
    ],
)
def test_what_cannot_be_had_is_refused_before_any_work(changes, message):
    with pytest.raises(UsageError, match=message) as caught:
        loop_of(**changes)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_resumed_ends_with_the_same_bytes_as_one_that_was_not(tmp_path, cli):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    kind = ("--set", "generator=vision")
    assert cli("run", "isosceles", "--n", 6, *TINY, *kind, "--runs", whole).code == 0
    found = cli("run", "isosceles", "--n", 6, *TINY, *kind, "--rounds", 1, "--runs", halves)
    assert found.code == 0
    assert cli("resume", only_run(halves), "--rounds", "+1").code == 0
    assert contents(only_run(halves)) == contents(only_run(whole))
