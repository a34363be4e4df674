"""The policy on features: its counts against brute force, its loss, its samples, whole runs."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, contents, only_run
from loops import Loop, configured

from pipeline.config import TrainConfig, config_from
from pipeline.core.bitset import unpack
from pipeline.engine.orbit_grid import OrbitGrid
from pipeline.errors import RunError, UsageError
from pipeline.model.checkpoint import load_policy, load_vision, save_model
from pipeline.model.policy import (
    Example,
    Policy,
    PolicyConfig,
    example,
    fill,
    log_probabilities,
    next_loss,
    train,
)
from pipeline.plugins import load_problem

TABLES = 10**8
PLACES = {
    "isosceles": ("isosceles", 9, "both-mirrors"),
    "trivial": ("no-3-in-line", 4, "trivial"),
    "line": ("sidon", 9, "trivial"),
    "space": ("no-5-on-a-sphere", 3, "trivial"),
    "graph": ("four-cycle-free", 6, "trivial"),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def board_of(where: str, tables: int = TABLES) -> OrbitGrid:
    spec, n, symmetry = PLACES[where]
    return OrbitGrid(load_problem(spec), n, symmetry, table_bytes=tables)


def grown(board: OrbitGrid, rows: int, seed: int = 0) -> np.ndarray:
    """Return valid sets of choices bool ``(rows, M)`` of all sizes, grown at random."""
    rng = np.random.default_rng(seed)
    members = np.zeros((rows, len(board)), np.bool_)
    for row in range(rows):
        for _ in range(row):
            free = np.flatnonzero(board.free(members[row : row + 1])[0])
            if len(free):
                members[row, rng.choice(free)] = True
    return members


def counts_by_hand(where: str, board: OrbitGrid, members: np.ndarray) -> list[list[int]]:
    """Count, by the validator and the coordinates alone, what `describe` counts."""
    spec, n, _ = PLACES[where]
    problem = load_problem(spec)
    ground = problem.ground(n)

    def fits(row: np.ndarray, *choices: int) -> bool:
        more = row.copy()
        more[list(choices)] = True
        return bool(problem.validate(board.cells(more[None]), n)[0])

    found = []
    for row in members:
        free = [c for c in range(len(board)) if not row[c] and fits(row, c)]
        held = ground.coords[unpack(board.cells(row[None]), ground.m)[0]]
        for c in free:
            blocked = sum(not fits(row, c, other) for other in free if other != c)
            u = ground.coords[
                np.flatnonzero(
                    unpack(board.cells(np.eye(len(board), dtype=bool)[c : c + 1]), ground.m)[0]
                )[0]
            ]
            if ground.graph:
                degrees = sorted(int((held == end).sum()) for end in u)
                found.append([blocked, *degrees])
                continue
            same = [int((held[:, k] == u[k]).sum()) for k in range(len(u))]
            reach = {1: 8, 2: 3, 3: 1}[len(u)]
            steps = range(-reach, reach + 1)
            near = [
                int((held == u + offset).all(axis=1).sum())
                for offset in itertools.product(steps, repeat=len(u))
            ]
            found.append([blocked, *same, *near])
    return found


@pytest.mark.parametrize("tables", [0, TABLES])
@pytest.mark.parametrize("where", PLACES)
def test_what_is_counted_of_a_choice_is_what_the_validator_says(where, tables):
    board = board_of(where, tables)
    members = grown(board, 6)
    sets = board.holding(members)
    counts = sets.describe(sets.free(), board.geometry, True)
    by_hand = counts_by_hand(where, board, members)
    assert np.delete(counts, 1, axis=1).tolist() == by_hand
    assert len(by_hand) > 10
    again = sets.describe(sets.free(), board.geometry, True)
    assert (again == counts).all()  # the sets are as before


def test_what_a_choice_would_block_again_is_counted_apart():
    board = board_of("isosceles", 0)
    members = grown(board, 5)
    sets = board.holding(members)
    free = sets.free()
    counts = sets.describe(free, board.geometry, True)
    rows, choices = np.nonzero(free)
    for row, choice, again in zip(rows, choices, counts[:, 1], strict=True):
        alone = np.zeros((1, len(board)), np.bool_)
        alone[0, choice] = True
        # It blocks again at least what it blocks by itself and the set blocks too.
        both = ~board.free(alone)[0] & ~free[row] & ~members[row]
        both[choice] = False
        assert again >= both.sum()


@pytest.mark.parametrize("where", PLACES)
def test_features_are_finite_and_as_many_as_told(where):
    board = board_of(where)
    sets = board.holding(grown(board, 4))
    features = board.features(sets, sets.free())
    assert features.dtype == np.float32
    assert features.shape == (sets.free().sum(), board.feature_count)
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 50


def test_a_problem_whose_violations_are_dear_to_count_is_not_asked_what_a_choice_blocks():
    board = board_of("space")
    sets = board.begin(1)
    features = board.features(sets, sets.free())
    assert not features[:, :4].any()
    assert features[:, 4:].any()


def test_probabilities_are_those_of_a_softmax_in_each_set():
    rng = np.random.default_rng(0)
    sizes = [3, 1, 5]
    rows = torch.from_numpy(np.repeat(np.arange(3), sizes))
    logits = torch.from_numpy(50 * rng.standard_normal(9)).float()
    found = log_probabilities(logits, rows, 3)
    by_hand = torch.cat([part.log_softmax(0) for part in logits.split(sizes)])
    assert torch.allclose(found, by_hand, atol=1e-5)


def test_the_loss_is_the_mean_over_what_is_due():
    model = Policy(PolicyConfig(2, 1, 8))
    features = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    due = torch.tensor([True, False, True, False, True])
    shown = Example(features, torch.tensor([0, 0, 0, 1, 1]), due, 2)
    logs = log_probabilities(model(features), shown.rows, 2)
    wanted = torch.stack([-(logs[0] + logs[2]) / 2, -logs[4]])
    assert torch.allclose(next_loss(model, shown), wanted)
    next_loss(model, shown).mean().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(grads) == len([*model.parameters()])
    assert all(torch.isfinite(grad).all() and grad.any() for grad in grads)


def test_an_example_shows_a_part_and_asks_for_the_rest():
    board = board_of("isosceles")
    cells = board.cells(grown(board, 8)[4:])
    shown = example(board, cells, np.random.default_rng(0))
    whole = board.members(cells).sum(axis=1)
    due = np.bincount(shown.rows[shown.due].numpy(), minlength=len(cells))
    assert shown.sets == len(cells)
    assert (due >= 1).all()
    assert (due <= whole).all()


def test_samples_are_valid_maximal_and_the_same_for_the_same_seed():
    board, problem = board_of("isosceles"), load_problem("isosceles")
    model = Policy(PolicyConfig(board.feature_count, 2, 16), seed=3)
    members = fill(model, board, 40, seed=1, batch=16)
    assert problem.validate(board.cells(members), 9).all()
    assert not board.free(members).any()
    assert (members == fill(model, board, 40, seed=1, batch=16)).all()
    assert (members != fill(model, board, 40, seed=2, batch=16)).any()


def test_a_policy_learns_what_good_sets_have_in_common():
    """Sets that lie in the two outer columns: a policy that saw some writes such."""
    board = board_of("trivial")
    outer = np.isin(board.places[:, 1], (0, 3))
    shown = np.zeros((20, len(board)), np.bool_)
    rng = np.random.default_rng(0)
    for row in shown:
        for k in (0, 3):
            row[rng.permutation(np.flatnonzero(board.places[:, 1] == k))[:2]] = True
    assert load_problem("no-3-in-line").validate(board.cells(shown), 4).all()
    model = Policy(PolicyConfig(board.feature_count, 2, 16), seed=0)
    before = fill(model, board, 100, seed=0)[:, outer].sum()
    how = TrainConfig(steps=60, batch=16, learning_rate=1e-2, warmup=5, patience=0, holdout=0.0)
    result = train(model, {4: board}, {4: board.cells(shown)}, how, seed=0)
    after = fill(model, board, 100, seed=0)[:, outer].sum()
    assert result.curve[-1][1] < np.log(16)
    assert after > before


def test_a_policy_is_read_back_and_others_are_refused(tmp_path):
    model = Policy(PolicyConfig(5, 2, 8), seed=0)
    save_model(tmp_path / "policy.safetensors", model)
    read = load_policy(tmp_path / "policy.safetensors", PolicyConfig(5, 2, 8))
    assert all((a == b).all() for a, b in zip(model.parameters(), read.parameters(), strict=True))
    with pytest.raises(RunError, match="another shape: features = 5, expected 6"):
        load_policy(tmp_path / "policy.safetensors", PolicyConfig(6, 2, 8))
    with pytest.raises(RunError, match="'policy'"):
        load_vision(tmp_path / "policy.safetensors")


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 17, 1), (1, 1, 5000), (True, 1, 1)])
def test_a_shape_out_of_range_is_refused(shape):
    with pytest.raises(UsageError, match="a policy takes a whole number"):
        PolicyConfig(*shape)


def test_feedback_is_for_the_gpt_alone():
    data = {"problem": "isosceles", "n": 6, "generator": "policy", "feedback": {"kind": "policy"}}
    with pytest.raises(UsageError, match="needs generator 'gpt', got 'policy'"):
        config_from(data, "x")


# --------------------------------------------------------------------------------- whole runs

BASE: dict[str, Any] = {
    "problem": "isosceles",
    "n": 6,
    "sizes": [5, 6],
    "seeding": {"method": "anneal", "count": 40, "moves": 3000},
    "search": {"moves": 2000, "batches": 0},
    "generator": "policy",
    "model": {"width": 16, "layers": 1},
    "train": {"steps": 6, "evaluate_every": 3},
    "sample": {"count": 20},
    "compute": {"device": "cpu", "threads": 1, "workers": 1},
}


def loop_of(**changes: Any) -> Loop:
    return Loop(configured(BASE, **changes))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_smallest_grids_go_through_the_whole_loop(n):
    loop = loop_of(n=n, sizes=[n])
    assert loop.rounds(2)[-1].best(n) == (1, 2, 4)[n - 1]


def test_its_samples_are_valid_and_it_asks_for_a_temperature_of_its_own():
    loop = loop_of(symmetry="both-mirrors")
    state = loop.rounds(1)[-1]
    assert state.stats["validity"] == 1
    assert state.stats["temperature"] == 0.25
    assert loop_of(sample={"temperature": 0.7}).rounds(1)[-1].stats["temperature"] == 0.7


def test_samples_that_may_violate_something_are_refused():
    with pytest.raises(UsageError, match=r"leave sample\.masked at true"):
        loop_of(sample={"masked": False})


def test_it_learns_from_the_whole_orbits_of_sets_that_hold_more():
    loop = loop_of(symmetry="mirror", seeding={"symmetry": ["trivial"]})
    state = loop.seed()
    generator: Any = loop.generator
    read = generator.readable(state.pool.cells, 6)
    board = generator.boards[6]
    assert (read == board.cores(state.pool.cells).any(axis=1)).all()
    assert read.any()
    assert not board.readable(state.pool.cells[read]).all()


def test_a_run_that_is_resumed_ends_with_the_same_bytes_as_one_that_was_not(tmp_path, cli):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    kind = ("--set", "generator=policy")
    assert cli("run", "isosceles", "--n", 6, *TINY, *kind, "--runs", whole).code == 0
    found = cli("run", "isosceles", "--n", 6, *TINY, *kind, "--rounds", 1, "--runs", halves)
    assert found.code == 0
    assert cli("resume", only_run(halves), "--rounds", "+1").code == 0
    assert contents(only_run(halves)) == contents(only_run(whole))
