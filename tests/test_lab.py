"""The lab: what a tiny model learns, what it looks at, and the commands around it."""

import importlib.util
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.callbacks import Callbacks
from pipeline.lab.attention import maps, sharpest, weights
from pipeline.lab.folder import LabRun, find_lab_run, finished, lab_runs
from pipeline.lab.learning import (
    forced,
    learn,
    parameters,
    predict,
    shape,
    strings_of,
    tokens_of,
    with_parameters,
    write,
)
from pipeline.lab.registry import entries, find
from pipeline.lab.sharpening import decides, sharpening
from pipeline.lab.task import END, Budget
from pipeline.lab.text import Averaging, Bigram, sonnets
from pipeline.lab.work import markdown, model_of, percent
from pipeline.model.gpt import GPT, GPTConfig

TINY = Budget(steps=600, width=16, heads=2, layers=1, batch=32, samples=200, looks=3)


pytestmark = pytest.mark.usefixtures("one_thread")


def task_of(spec, label="", **lengths):
    return (find(spec, **lengths).tasks or {})[label]


@pytest.mark.end_to_end
def test_a_tiny_model_learns_a_rule_it_is_never_told():
    seen = {}
    task = task_of("s[2]=s[5]", lengths=(6, 8))
    found = learn(task, TINY, seed=0, callbacks=Callbacks(), keep=[200], save=seen.setdefault)
    assert found["success"] >= 0.95
    assert found["forced"]["decided"] >= 0.98
    assert [entry["step"] for entry in found["curve"]] == [200, 400, 600]
    assert found["curve"][0]["success"] < found["success"]
    assert sorted(seen) == [200, 600]
    again = learn(task, TINY, seed=0, callbacks=Callbacks())
    clock = {"seconds", "cpu_seconds"}
    assert {k: v for k, v in again.items() if k not in clock} == {
        k: v for k, v in found.items() if k not in clock
    }
    (line,) = sharpest(maps(seen[600], task.generate(100, np.random.default_rng(9))), [5])
    assert line["looks at"] == 2
    assert line["weight"] > 0.3


@pytest.mark.end_to_end
def test_a_rule_seen_from_the_end_is_judged_by_where_ends_may_come():
    task = task_of("s[-1]=s[-2]", lengths=(4, 6))
    before = learn(task, replace(TINY, steps=1, looks=1), seed=0, callbacks=Callbacks())
    after = learn(task, TINY, seed=0, callbacks=Callbacks())
    assert before["forced"]["end allowed"] < 0.8
    assert after["forced"]["end allowed"] > 0.95
    assert after["success"] > 0.9


@pytest.mark.end_to_end
def test_given_questions_are_answered_and_not_learnt():
    task = task_of("modular-addition", "decay-1")
    budget = replace(task.budget, steps=400, looks=2)
    found = learn(task, budget, seed=0, callbacks=Callbacks())
    last = found["curve"][-1]
    assert last["train"]["decided"] > 0.9
    assert last["test"]["decided"] < last["train"]["decided"]
    assert found["success"] == found["forced"]["decided"]
    assert found["samples"][0][0].count(" ") == 2


def test_an_end_in_place_of_an_answer_is_a_wrong_answer(monkeypatch):
    from pipeline.lab import learning

    task = task_of("modular-addition", "decay-0")
    real = learning.predict

    def with_ends(model, strings):
        chances = real(model, strings)
        chances[::2, 2, -1] = 2.0
        return chances

    monkeypatch.setattr(learning, "predict", with_ends)
    found = learn(task, replace(task.budget, steps=1, looks=1), seed=0, callbacks=Callbacks())
    assert found["success"] < 0.6
    assert any(text.count(" ") == 1 for text, _ in found["samples"])  # two numbers, no answer
    assert 0 <= found["errors"]["wrong answers: one off (mod p)"] <= 1


@pytest.mark.parametrize("name", ["one-2", "fibonacci", "no-distance-4-5", "five-rules 5"])
def test_who_always_knows_the_next_symbol_is_right_wherever_the_rule_decides(name):
    task = task_of(*name.split())
    strings = task.generate(50, np.random.default_rng(0))
    symbols = len(task.alphabet)
    true = np.pad(strings, ((0, 0), (0, 1)), constant_values=END).astype(int)
    chances = np.eye(symbols + 1, dtype=np.float32)[np.where(true == END, symbols, true)]
    found = forced(task, strings, chances)
    assert found
    assert set(found.values()) == {1.0}
    blind = forced(task, strings, np.full_like(chances, 1 / (symbols + 1)))
    assert min(blind.values()) < 0.9


def test_strings_become_tokens_and_come_back():
    task = task_of("one-2")
    strings = task.generate(50, np.random.default_rng(0))
    back, whole = strings_of(tokens_of(strings), task.longest)
    assert whole.all()
    assert (back == strings).all()
    # No end, padding in between, a beginning in between, nothing but an end.
    rows = np.array([[1, 3, 4, 3], [1, 3, 0, 2], [1, 1, 3, 2], [1, 2, 0, 0]])
    back, whole = strings_of(rows, 5)
    assert whole.tolist() == [False, False, False, True]
    assert (back == END).all()


def test_probabilities_are_those_of_the_model_and_sum_to_at_most_one():
    task = task_of("one-2")
    model = GPT(shape(task, TINY), seed=1)
    strings = task.generate(20, np.random.default_rng(0))
    chances = predict(model, strings)
    assert chances.shape == (20, 16, 4)
    assert (chances.sum(axis=2) <= 1.00001).all()
    row = torch.from_numpy(tokens_of(strings[:1])[:, :-1])
    expected = model(row).softmax(dim=2)[0, 3].detach().numpy()
    np.testing.assert_allclose(chances[0, 3], [*expected[3:6], expected[2]], rtol=1e-5)


def test_what_a_model_writes_depends_on_its_seed_alone():
    task = task_of("one-2")
    model = GPT(shape(task, TINY), seed=1)
    first, _ = write(task, model, 30, 5)
    assert (write(task, model, 30, 5)[0] == first).all()
    assert (write(task, model, 30, 6)[0] != first).any()


@pytest.mark.parametrize("bias", ["off", "distance"])
def test_the_maps_are_the_models_own_attention(bias):
    config = GPTConfig(9, 12, layers=3, heads=2, width=16, attention_bias=bias)
    rng = np.random.default_rng(0)
    relation = rng.integers(60, size=(9, 9)).astype(np.uint8) if bias != "off" else None
    model = GPT(config, relation, seed=3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(".bias"):
                weight.normal_(generator=torch.Generator().manual_seed(0))
    seen = []
    blocks: Any = model.blocks
    for block in blocks:
        block.register_forward_hook(lambda _, given, out: seen.append((given, out)))
    tokens = torch.from_numpy(rng.integers(9, size=(4, 10)))
    found = weights(model, tokens)
    assert len(found) == len(seen) == 3
    for block, mine, ((x, *_), out) in zip(blocks, found, seen, strict=True):
        assert mine.shape == (4, 2, 10, 10)
        torch.testing.assert_close(mine.sum(dim=3), torch.ones(4, 2, 10))
        assert not mine.triu(1).any()
        v = block.project(x)[2]
        torch.testing.assert_close(block.close(x, mine @ v), out)


def test_mean_maps_leave_out_what_lies_behind_an_end():
    task = task_of("one-2")
    model = GPT(shape(task, TINY), seed=1)
    strings = task.generate(60, np.random.default_rng(0))
    found = maps(model, strings)
    np.testing.assert_allclose(found.sum(axis=3), 1, rtol=1e-5)
    long = strings[(strings != END).all(axis=1)]
    np.testing.assert_allclose(found[:, :, 15], maps(model, long)[:, :, 15], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wanted", [3000, 27_000, 400_000, 2_000_000])
def test_a_model_of_about_so_many_parameters_is_found(wanted):
    task = task_of("fibonacci")
    budget = with_parameters(task, task.budget, wanted)
    assert parameters(shape(task, budget)) == pytest.approx(wanted, rel=0.2)


def test_bigram_and_averaging_see_what_they_should():
    config = GPTConfig(8, 12, layers=1, heads=1, width=8)
    tokens = torch.tensor([[1, 4, 5, 6, 7], [1, 5, 4, 6, 7], [1, 3, 3, 6, 7]])
    bigram = Bigram(config, seed=0)(tokens)
    torch.testing.assert_close(bigram[0, 3:], bigram[2, 3:])
    averaging = Averaging(config, seed=0)(tokens)
    torch.testing.assert_close(averaging[0, 3:], averaging[1, 3:])  # the same past, rearranged
    assert (averaging[0, 3] - averaging[2, 3]).abs().max() > 1e-3


def test_the_text_has_all_sonnets():
    text = sonnets()
    assert text.startswith("I\n\nFrom fairest creatures we desire increase,")
    assert "\nCLIV\n" in text
    assert text.isascii()


def test_entries_have_names_of_their_own_and_know_the_lecture():
    found = entries()
    assert len({entry.name for entry in found}) == len(found)
    assert all(entry.title and entry.lecture for entry in found)
    assert all(bool(entry.tasks) != bool(entry.run) for entry in found)
    assert all(callable(entry.experiment()) for entry in found if entry.run)


def test_shares_are_never_rounded_up_to_all():
    assert [percent(x) for x in (0, 0.125, 0.9994, 0.9999, 1)] == [
        *("0.0 %", "12.5 %", "99.9 %", "99.9 %", "100 %")
    ]


# ---------------------------------------------------------------------------- the commands

FEW = ["--steps", "12", "--samples", "20", "--parameters", "1k"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path))
    return tmp_path


@pytest.mark.end_to_end
def test_a_run_leaves_its_folder_and_one_page(cli, root):
    done = cli("lab", "run", "one-2", *FEW, "--checkpoints", "6,9")
    assert done.code == 0, done.err
    assert "% of 20 samples" in done.out
    assert "scale small" in done.out
    (path,) = lab_runs(root)
    run = LabRun(path)
    assert run.found is not None
    assert run.steps() == [6, 9, 12]
    assert (path / "curve.csv").read_text().startswith("step,loss,test 2 allowed,")
    assert len((path / "samples.txt").read_text().splitlines()) == 20
    page = (path / "page.html").read_text()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("data:image/png") == 4  # three steps and the change over them
    assert model_of(run, 9).config.block_size == 17
    shown = json.loads(cli("lab", "run", "one-2", *FEW, "--json").out)
    assert shown["rows"][0]["success"] == run.found["success"]


@pytest.mark.end_to_end
def test_attention_is_drawn_for_a_string_and_on_the_board(cli, root):
    assert cli("lab", "run", "no-distance-4-5", *FEW).code == 0
    string = "0111100001111000111000000100100000000000000000000000000100010010"
    done = cli("lab", "attention", "latest", "--string", string, "--cell", "5,4", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    (path,) = lab_runs(root)
    assert any("cell-5-4" in name for name in told["files"])
    for name in told["files"]:
        assert (path / name).stat().st_size > 0
    for wrong, said in (
        (("--steps", "7"), "kept no model of step 7"),
        (("--string", "01x"), "'x' is not of no-distance-4-5's alphabet 01"),
        (("--string", "0" * 65), "at most 64"),
        (("--string", ""), "at least one symbol"),
        (("--cell", "9,1"), "rows and columns of 1 to 8"),
        (("--cell", "9"), "write row and column"),
        (("--position", "80"), "choose 1 to 65"),
    ):
        done = cli("lab", "attention", "latest", *wrong)
        assert done.code in (2, 4)
        assert said in done.error, wrong
        assert len(done.err.strip().splitlines()) == 1


def test_pictures_without_matplotlib_name_the_package(cli, root, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = cli("lab", "run", "one-2", *FEW)
    assert done.code == 0
    assert "matplotlib" in done.err
    done = cli("lab", "attention", "latest")
    assert done.code == 1
    assert "pip install 'extremal-pipeline[plot]'" in done.error


@pytest.mark.end_to_end
def test_a_sweep_is_a_table_and_is_not_done_twice(cli, root):
    words = ["lab", "sweep", "s[1]=s[3]", "--lengths", "4:5", "--weight-decay", "0,0.1"]
    words += ["--seeds", "2", "--steps", "4", "--parameters", "1k"]
    done = cli(*words, "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)["rows"]
    assert [row["weight_decay"] for row in rows] == [0, 0.1]
    assert [row["seeds"] for row in rows] == [2, 2]
    assert all(row["lowest"] <= row["mean"] <= row["highest"] for row in rows)
    made = lab_runs(root)
    assert len(made) == 4
    done = cli(*words)
    assert "weight decay" in done.out
    assert lab_runs(root) == made


def test_a_table_of_all_goes_on_where_it_was_stopped(cli, root, monkeypatch):
    from pipeline.lab import registry

    real = registry.entries

    def small(scale="small"):
        found = []
        for entry in real(scale):
            tasks = {
                label: replace(
                    task, budget=replace(TINY, steps=3, samples=min(20, task.budget.samples))
                )
                for label, task in (entry.tasks or {}).items()
            }
            found.append(replace(entry, tasks=tasks or None))
        return found

    monkeypatch.setattr(registry, "entries", small)
    words = ["lab", "all", "--only", "one-2,modular-addition", "--jobs", "1", "--seeds", "2"]
    done = cli(*words, "-o", root / "table.md")
    assert done.code == 0, done.err
    made = lab_runs(root)
    assert len(made) == 6
    table = (root / "table.md").read_text()
    assert table.endswith(done.out)
    assert done.out.count("\n") == 5
    assert f"`pipeline {' '.join(words)}` made this table" in table
    assert "an attention map" in table
    assert json.loads(cli(*words, "--json").out)["rows"][0]["name"] == "one-2"
    assert lab_runs(root) == made
    again = finished(root, LabRun(made[0]).info["asked"])
    assert again is not None
    assert again.path == made[0]


@pytest.mark.parametrize(
    ("spec", "string", "wanted"),
    [
        ("s[2]=s[4]", "01011", {(3, 2)}),  # writing position 4 looks at position 2
        ("zero-or-two-2s", "02102", {(t, 2) for t in (2, 3, 4, 5)} | {(5, 5)}),
        ("one-2", "0120", {(3, 3), (4, 3)}),
    ],
)
def test_what_decides_is_where_the_rule_looks(spec, string, wanted):
    task = task_of(spec, lengths=(4, 6))
    found = decides(task, task.read([string])[0])
    assert {(int(t), int(c)) for t, c in np.argwhere(found)} == wanted


def test_on_a_board_what_decides_are_the_ones_that_block():
    task: Any = task_of("no-distance-4-5")
    string = task.generate(1, np.random.default_rng(0))[0]
    found = decides(task, string)
    for cell in range(64):
        for other in range(64):
            (r, c), (i, j) = divmod(cell, 8), divmod(other, 8)
            near = (r - i) ** 2 + (c - j) ** 2 in (16, 25)
            assert found[cell, other + 1] == (other < cell and near and string[other] == 1)
    assert not found[64].any()
    assert not found[:, 0].any()


def test_a_table_of_all_has_a_figure_of_attention_early_and_late(cli, root, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[test]'")
    from pipeline.lab import registry

    real, few = registry.entries, replace(TINY, steps=20, samples=5)

    def small(scale="small"):
        found = real(scale)
        return [
            replace(e, tasks={k: replace(t, budget=few) for k, t in (e.tasks or {}).items()})
            for e in found
        ]

    monkeypatch.setattr(registry, "entries", small)
    words = ["--only", "equal-13-22,no-distance-4-5", "--jobs", "1", "--seeds", "1"]
    assert cli("lab", "all", *words, "-o", root / "t.md").code == 0
    table = (root / "t.md").read_text()
    assert "(t-attention.png)" in table
    assert "equal-13-22: 0." in table
    assert "after 2 steps" in table
    assert (root / "t-attention.png").read_bytes().startswith(b"\x89PNG")
    shown = sharpening(LabRun(lab_runs(root)[0]))
    assert (shown.early.step, shown.late.step) == (2, 20)
    assert 0 < shown.late.weight <= 1
    assert shown.late.map[21].sum() == pytest.approx(1)


@pytest.mark.end_to_end
def test_several_trainings_at_once_give_what_one_after_the_other_gives(cli, root, tmp_path):
    words = ["lab", "sweep", "s[1]=s[3]", "--lengths", "4:5", "--seeds", "2", "--steps", "4"]
    rates = []
    for jobs, folder in (("1", tmp_path / "one"), ("2", tmp_path / "two")):
        done = cli(*words, "--jobs", jobs, "--runs", folder, "--json")
        assert done.code == 0, done.err
        (row,) = json.loads(done.out)["rows"]
        assert row["seeds"] == 2
        found = [LabRun(path).found or {} for path in lab_runs(folder)]
        rates.append(sorted((one["success"], one["curve"][-1]["loss"]) for one in found))
    assert rates[0] == rates[1]


def test_rng_seeds_of_one_task_are_one_line_with_their_spread():
    base = {"name": "a", "chance": 0.5, "lecture": "", "budget": "", "forced": {"decided": 1.0}}
    rows = [
        {**base, "seed": k, "success": s, "measured": f"{percent(s)} of 9", "cpu_seconds": 2.0 + k}
        for k, s in enumerate([0.25, 0.5, 0.125])
    ]
    (line,) = markdown(rows).splitlines()[2:]
    assert "| 25.0 % (12.5 % - 50.0 %) of 9 |" in line
    assert line.endswith("| 0 - 2 | 3 |")


def test_an_experiment_brings_its_own_rows(cli, root, monkeypatch):
    from pipeline.lab import registry

    def run(scale, seed, callbacks):
        callbacks.on_stage("train", 1)
        callbacks.on_progress(1, loss=0.5)
        row = {"name": "mine", "measured": f"{scale} {seed}", "lecture": "-", "budget": "none"}
        return [{**row, "values": {"x": 1.0}, "samples": ["abc"]}]

    monkeypatch.setattr("pipeline.lab.text.run", run)
    entry = registry.find("text")
    assert entry.experiment() is run
    done = cli("lab", "run", "text", "--seed", "3")
    assert done.code == 0, done.err
    assert "small 3" in done.out
    assert "abc" in done.out
    done = cli("lab", "all", "--only", "text", "--jobs", "1")
    assert "| **mine** | small 0 | - | - | - | none | 0 |" in done.out
    assert "has its own budget" in cli("lab", "run", "text", "--steps", "3").error
    assert "keeps no model" in cli("lab", "attention", "latest").error


def test_a_model_of_a_given_shape_is_as_large_as_told(cli, root):
    few = ["--steps", "1", "--samples", "1", "--parameters", "1x8"]
    done = cli("lab", "sweep", "one-2", "--seeds", "1", "--steps", "1", "--parameters", "1x8,2x4")
    assert done.code == 0, done.err
    assert cli("lab", "run", "one-2", *few, "--json").code == 0
    budgets = [LabRun(path).info["asked"]["budget"] for path in lab_runs(root)]
    shapes = sorted((budget["layers"], budget["width"]) for budget in budgets)
    assert shapes == [(1, 8), (1, 8), (2, 4)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "fibonaci"], "did you mean 'fibonacci'"),
        (["run", "five-rules", "--rule", "6"], "--rule 6"),
        (["run", "one-2", "--rule", "1"], "leave it out"),
        (["run", "one-2", "--scale", "smal"], "did you mean 'small'"),
        (["run", "one-2", "--steps", "0"], "--steps 0: too small"),
        (["run", "one-2", "--parameters", "many"], "as 27k or 1.5M"),
        (["run", "one-2", "--parameters", "2x63"], "use width = 64"),
        (["run", "one-2", "--parameters", "2x"], "as 2x64"),
        (["run", "one-2", "--checkpoints", "a"], "write steps as 1000,15000"),
        (["run", "one-2", "--device", "cpuu"], "did you mean 'cpu'"),
        (["run", "s[1]=s[99]"], "position 99 lies outside"),
        (["run", "s[1]=s[9]", "--lengths", "x"], "write them as 30:40"),
        (["run", "modular-addition", "--samples", "9"], "answers given questions"),
        (["sweep", "text", "--weight-decay", "0"], "sweep over a task"),
        (["sweep", "one-2", "--weight-decay", "a"], "write numbers as"),
        (["all", "--only", "one-3"], "did you mean 'one-2'"),
        (["all", "--seeds", "0"], "--seeds 0: give at least 1"),
        (["all", "--only", "one-2", "--jobs", "0"], "--jobs 0: name a number from 1"),
    ],
)
def test_a_wrong_word_is_one_line_and_leaves_nothing(cli, root, words, said):
    done = cli("lab", *words)
    assert done.code == 2
    assert said in done.error
    assert len(done.err.strip().splitlines()) == 1
    assert lab_runs(root) == []


def test_a_run_is_found_by_a_unique_prefix_or_refused(cli, root):
    assert "there is no lab run" in cli("lab", "attention", "latest").error
    for seed in (0, 1):
        LabRun.create(root, {"name": "one-2", "seed": seed}, [])
    assert "fits 2 lab runs" in cli("lab", "attention", "one").error
    assert cli("lab", "attention", "two").code == 4
    path = lab_runs(root)[0]
    assert find_lab_run(path.name, root).path == path
    (path / "lab.json").write_text("{")
    assert "is damaged" in cli("lab", "attention", path).error


def test_the_latest_is_the_last_that_keeps_a_model(root):
    made = [LabRun.create(root, {"name": name}, []) for name in ("one-2", "gcd", "text")]
    assert find_lab_run("latest", root).path == lab_runs(root)[-1]
    model = made[1].model(3)
    model.parent.mkdir()
    model.touch()
    assert find_lab_run("latest", root).path == made[1].path
    assert find_lab_run("text", root).path == made[2].path


def test_a_table_escapes_its_own_bars():
    row = {"name": "a|b", "measured": "1", "chance": None, "lecture": "", "budget": "", "seed": 0}
    assert markdown([row]).splitlines()[2].count("|") == 9


@pytest.mark.slow
def test_equal_13_22_reaches_the_lectures_rate_on_fresh_strings():
    task = task_of("equal-13-22")
    budget = replace(task.budget, strings=0, steps=2000)
    assert learn(task, budget, seed=0, callbacks=Callbacks())["success"] > 0.98


@pytest.mark.gpu
def test_the_first_task_at_the_lectures_scale():
    task = task_of("equal-13-22", scale="lecture")
    found = learn(task, task.budget, seed=0, callbacks=Callbacks(), device="cuda")
    assert found["success"] > 0.98
