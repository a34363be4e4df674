"""Configuration: defaults, every key there and back, and what is said of a wrong one."""

import subprocess
import sys
import tomllib
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.config import (
    GENERATORS,
    BudgetConfig,
    Config,
    SampleConfig,
    TrainConfig,
    as_dict,
    config_from,
    differences,
    earlier,
    identity_of,
    parse_toml,
    read_toml,
    resolved,
    to_toml,
    with_budget,
    with_setting,
)
from pipeline.config.describe import json_schema, keys
from pipeline.errors import UsageError

BASE = Config("isosceles", 6)

#: For each key another valid value than the default.
OTHER: dict[str, Any] = {
    "problem": "no-3-in-line",
    "n": 7,
    "convention": "flat-allowed",
    "sizes": (3, 6),
    "seed": 2**63 - 1,
    "budget.rounds": 0,
    "budget.time": 1.5,
    "budget.cpu": 2.5,
    "budget.target": 9,
    "seeding.method": "greedy",
    "seeding.batches": 3,
    "seeding.count": 7,
    "seeding.smaller": 1.0,
    "seeding.moves": 11,
    "seeding.symmetry": ("mirror", "half-turn"),
    "seeding.penalty": 0.25,
    "seeding.initial_temperature": 0.5,
    "seeding.final_temperature": 0.01,
    "generator": "vision",
    "symmetry": "mirror",
    "search.methods": ("tabu", "anneal"),
    "search.batches": 2,
    "search.weights": "border",
    "search.overlap": True,
    "search.mask": "mine.npy",
    "search.table_bytes": 1,
    "search.improve": "anneal",
    "search.improve_share": 0.5,
    "search.moves": 5,
    "search.penalty": 1.0,
    "search.initial_temperature": 0.3,
    "search.final_temperature": 0.09,
    "search.tabu_steps": 1,
    "search.enumerate_nodes": 2,
    "search.cover_nodes": 3,
    "search.score_moves": 7,
    "search.tasks_per_batch": 4,
    "search.first_look": 1,
    "search.few_orbits": 5,
    "perturb.least": 0.0,
    "perturb.most": 1.0,
    "select.keep": 1,
    "select.smaller": 0.0,
    "model.layers": 1,
    "model.heads": 2,
    "model.width": 32,
    "model.tokens": "dense",
    "model.order": "random",
    "train.steps": 1,
    "train.batch": 3,
    "train.learning_rate": 0.1,
    "train.warmup": 0,
    "train.weight_decay": 0.0,
    "train.holdout": 0.5,
    "train.evaluate_every": 5,
    "train.patience": 0,
    "train.clip": 0.0,
    "train.from_scratch": True,
    "sample.count": 1,
    "sample.batch": 2,
    "sample.temperature": 0.5,
    "sample.top_p": 0.5,
    "sample.masked": False,
    "sample.adapt_temperature": False,
    "model.attention_bias": "offset",
    "model.embedding": "free",
    "train.sizes": (5,),
    "sample.maximal": True,
    "feedback.kind": "prefer",
    "feedback.steps": 5,
    "feedback.batch": 6,
    "feedback.learning_rate": 0.01,
    "feedback.beta": 0.5,
    "feedback.fraction": 0.5,
    "compute.device": "cpu",
    "compute.workers": 3,
    "compute.executor": "ray",
    "compute.address": "auto",
    "compute.threads": 2,
    "compute.gpus": 2,
    "compute.precision": "fp32",
    "store.keep_models": "all",
}


def flat(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in as_dict(config).items():
        inner = value if isinstance(value, dict) else None
        found |= {key: value} if inner is None else {f"{key}.{k}": v for k, v in inner.items()}
    return found


def nested(key: str, value: Any) -> dict[str, Any]:
    section, dot, name = key.partition(".")
    return {section: {name: value}} if dot else {section: value}


def test_an_empty_file_with_a_problem_and_a_size_gives_the_defaults():
    assert config_from(parse_toml('problem = "isosceles"\nn = 6', "x"), "x") == BASE
    assert BASE.sizes == (2, 3, 4, 5, 6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_default_sizes_begin_at_one(n):
    assert Config("isosceles", n).sizes == tuple(range(1, n + 1))


def test_every_key_is_tried_below():
    known = flat(BASE)
    assert set(OTHER) == set(known)
    assert not [key for key, value in OTHER.items() if value == known[key]]


@pytest.mark.parametrize("key", OTHER)
def test_every_key_goes_to_toml_and_back(key):
    data = {"problem": "isosceles", "n": 6} | nested(key, OTHER[key])
    config = config_from(data, "x")
    assert flat(config)[key] == OTHER[key]
    back = config_from(parse_toml(to_toml(config), "x"), "x", as_dict(config))
    assert back == config
    assert back.identity == config.identity


@pytest.mark.parametrize("key", OTHER)
def test_every_key_but_budget_workers_and_store_is_part_of_the_identity(key):
    changed = config_from({"problem": "isosceles", "n": 6} | nested(key, OTHER[key]), "x")
    where = ("compute.workers", "compute.executor", "compute.address")
    free = key.startswith(("budget.", "store.")) or key in where
    assert (changed.identity == BASE.identity) == free
    assert any(line.split()[0] == key for line in differences(BASE, changed)) != free


@pytest.mark.parametrize("key", OTHER)
def test_the_file_of_a_run_may_lack_no_key_that_it_began_with(key):
    data = {k: dict(v) if isinstance(v, dict) else v for k, v in as_dict(BASE).items()}
    section, dot, name = key.partition(".")
    del (data[section] if dot else data)[name if dot else section]
    with pytest.raises(UsageError, match=f"^x: the key '{key}' is missing$"):
        config_from(data, "x", as_dict(BASE))


@pytest.mark.parametrize("key", [key for key in OTHER if key not in ("problem", "n")])
def test_the_identity_of_a_run_stays_what_it_was_where_a_key_came_later(key):
    began = as_dict(BASE)
    section, dot, name = key.partition(".")
    if dot:
        began[section] = {k: v for k, v in began[section].items() if k != name}
    else:
        del began[key]
    now = config_from(began, "x", began)
    assert now == BASE
    of_then = identity_of(now, began)
    changed = config_from({"problem": "isosceles", "n": 6} | nested(key, OTHER[key]), "x")
    same = {k: v for k, v in flat(changed).items() if k != key} == {
        k: v for k, v in flat(BASE).items() if k != key
    }
    assert (identity_of(changed, began) == of_then) == same
    other = config_from({"problem": "isosceles", "n": 6, "seed": 3}, "x")
    assert key == "seed" or identity_of(other, began) != of_then


@pytest.mark.parametrize("key", ["problem", "n"])
def test_only_the_problem_and_the_size_are_required(key):
    data = {"problem": "isosceles", "n": 6}
    del data[key]
    with pytest.raises(UsageError, match=f"'{key}' is missing"):
        config_from(data, "x")


#: Settings of a model, which nothing reads without one.
OF_A_MODEL = [
    key
    for key in OTHER
    if key.startswith(("model.", "train.", "sample.", "feedback.")) and key != "sample.count"
]


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("key", OF_A_MODEL)
def test_settings_of_a_model_decide_nothing_without_one(key, generator):
    if generator in ("vision", "policy") and key == "feedback.kind":
        return  # which is refused
    base = replace(BASE, generator=generator)
    data = {"problem": "isosceles", "n": 6, "generator": generator} | nested(key, OTHER[key])
    changed = config_from(data, "x")
    has_model = generator in ("gpt", "vision", "policy")
    assert base.has_model == has_model
    assert (changed.identity != base.identity) == has_model
    assert bool(differences(base, changed)) == has_model


@pytest.mark.parametrize("key", OF_A_MODEL)
def test_a_generator_of_ones_own_may_read_any_setting(key):
    base = replace(BASE, generator="./mine.py:Mine")
    data = {"problem": "isosceles", "n": 6, "generator": "./mine.py:Mine"} | nested(key, OTHER[key])
    assert config_from(data, "x").identity != base.identity


@pytest.mark.parametrize("key", OTHER)
def test_a_wrong_type_names_the_key_and_what_it_must_be(key):
    wrong: Any = {"a": 1}
    with pytest.raises(UsageError, match=f"^x: {key} must be (a|true|a list)") as caught:
        config_from({"problem": "isosceles", "n": 6} | nested(key, wrong), "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", True),
        ("n", 6.0),
        ("train.steps", "8"),
        ("sizes", [5, "6"]),
        ("sizes", 5),
        ("seeding.symmetry", "mirror"),
        ("sample.adapt_temperature", 1),
        ("sample.top_p", True),
    ],
)
def test_types_are_not_stretched(key, value):
    with pytest.raises(UsageError, match=f"^x: {key} must be "):
        config_from({"problem": "isosceles", "n": 6} | nested(key, value), "x")


@pytest.mark.parametrize("key", ["n", "seed", "seeding.count", "sample.temperature"])
def test_a_number_no_machine_holds_is_refused_in_a_short_line(key):
    with pytest.raises(UsageError, match=f"^x: {key} must be at most .*, got 1000.{{,90}}$"):
        config_from({"problem": "isosceles", "n": 6} | nested(key, 10**400), "x")


def test_a_whole_number_passes_for_a_number():
    config = config_from({"problem": "isosceles", "n": 6, "sample": {"temperature": 2}}, "x")
    assert config.sample.temperature == 2.0
    assert isinstance(config.sample.temperature, float)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", 0),
        ("n", -3),
        ("seed", -1),
        ("sizes", [0, 6]),
        ("sizes", [6, 7]),
        ("budget.rounds", -1),
        ("budget.time", -1.0),
        ("budget.target", -(2**60)),
        ("seeding.count", -1),
        ("seeding.smaller", 1.5),
        ("seeding.initial_temperature", 0.01),
        ("seeding.penalty", 0.0),
        ("search.final_temperature", 0.0),
        ("perturb.least", 0.6),
        ("perturb.most", 1.1),
        ("search.first_look", 0),
        ("search.mask", "mine.txt"),
        ("search.table_bytes", 0),
        ("search.table_bytes", -1),
        ("select.keep", 0),
        ("model.layers", 0),
        ("model.width", 63),
        ("train.steps", 0),
        ("train.holdout", 0.6),
        ("train.learning_rate", 0.0),
        ("sample.count", 0),
        ("sample.temperature", -0.5),
        ("sample.top_p", 0.0),
        ("sample.top_p", 1.1),
        ("compute.workers", -1),
        ("sample.temperature", float("nan")),
        ("train.clip", -1.0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(key, value):
    with pytest.raises(UsageError, match=f"{key} must be .*, got "):
        config_from({"problem": "isosceles", "n": 6} | nested(key, value), "x")


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("key", [k for k, v in OTHER.items() if isinstance(v, float)])
def test_no_number_may_be_infinite_or_none_at_all(key, value):
    with pytest.raises(UsageError, match=f"{key} must be "):
        config_from({"problem": "isosceles", "n": 6} | nested(key, value), "x")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("seedz", "seed"),
        ("trian", "train"),
        ("train.stepz", "train.steps"),
        ("sample.temprature", "sample.temperature"),
        ("compute.worker", "compute.workers"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(key, nearest):
    with pytest.raises(UsageError, match=f"unknown key '{key}'; did you mean '{nearest}'"):
        config_from({"problem": "isosceles", "n": 6} | nested(key, 1), "x")


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("seeding.method", "aneal", "anneal"),
        ("seeding.method", "portfolo", "portfolio"),
        ("search.improve", "tabuu", "tabu"),
        ("model.attention_bias", "ofset", "offset"),
        ("generator", "pertub", "perturb"),
        ("compute.device", "gpu", "cpu"),
    ],
)
def test_an_unknown_word_suggests_the_nearest(key, value, nearest):
    with pytest.raises(UsageError, match=f"did you mean '{nearest}'"):
        config_from({"problem": "isosceles", "n": 6} | nested(key, value), "x")


def test_a_section_must_be_one():
    with pytest.raises(UsageError, match=r"^x: train must be a section, got 3$"):
        config_from({"problem": "isosceles", "n": 6, "train": 3}, "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"n = [", "is not TOML"), (b"n = 1\nn = 2", "is not TOML"), (b"\xff\xfe", "cannot read")],
)
def test_a_file_that_is_not_toml_is_named(tmp_path, data, message):
    file = tmp_path / "c.toml"
    file.write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        read_toml(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nope\.toml"):
        read_toml(tmp_path / "nope.toml")


def test_settings_are_toml_values_or_bare_words():
    data: dict[str, Any] = {}
    for setting in ("train.steps=8", "model.tokens=dense", "sizes=[5, 6]", "sample.masked=false"):
        with_setting(data, setting)
    with_setting(data, 'seeding.symmetry=["mirror"]')
    assert data == {
        "train": {"steps": 8},
        "model": {"tokens": "dense"},
        "sizes": [5, 6],
        "sample": {"masked": False},
        "seeding": {"symmetry": ["mirror"]},
    }


@pytest.mark.parametrize("setting", ["train.steps", "n.x=3"])
def test_a_setting_of_another_form_is_refused(setting):
    with pytest.raises(UsageError, match="--set"):
        with_setting({"n": 3}, setting)


def test_the_size_searched_for_is_always_among_the_sizes():
    assert Config("isosceles", 6, sizes=(3, 4)).sizes == (3, 4, 6)


def test_threads_are_written_out_once_and_kept():
    config = resolved(BASE)
    assert 1 <= config.compute.threads <= 4
    assert resolved(config) is config


def test_a_new_budget_changes_nothing_else():
    config = with_budget(BASE, rounds=9, time=None, target=5)
    assert config == replace(BASE, budget=BudgetConfig(rounds=9, target=5))
    assert not differences(BASE, config)


def test_quotas_of_smaller_sizes_are_a_share():
    config = config_from(
        {"problem": "isosceles", "n": 6, "select": {"keep": 10, "smaller": 0.25}}, "x"
    )
    assert (config.quota(6), config.quota(5)) == (10, 2)


def test_values_are_checked_however_they_are_made():
    with pytest.raises(UsageError, match=r"^train\.steps must be at least 1, got 0$"):
        TrainConfig(steps=0)
    with pytest.raises(UsageError, match=r"^sample\.temperature must be at least 0, got -1\.0$"):
        replace(SampleConfig(), temperature=-1.0)
    with pytest.raises(UsageError, match=r"^n must be a whole number, got '6'$"):
        Config("isosceles", "6")  # type: ignore[arg-type]
    listed: Any = [5]
    assert Config("isosceles", 6, sizes=listed).sizes == (5, 6)
    assert isinstance(SampleConfig(temperature=2).temperature, float)


def test_feedback_needs_the_gpt():
    data = {"problem": "isosceles", "n": 6, "feedback": {"kind": "prefer"}}
    with pytest.raises(UsageError, match=r"feedback\.kind 'prefer' needs generator 'gpt'"):
        config_from({**data, "generator": "vision"}, "x")
    assert config_from({**data, "generator": "perturb"}, "x").generator == "perturb"


def test_learned_weights_learn_from_far_smaller_sizes():
    data = {"problem": "isosceles", "n": 100, "search": {"weights": "learned"}}
    assert config_from(data, "x").sizes == (40, 50, 60, 100)


# ------------------------------------------------------------------------------- the keys


def test_every_key_is_described_by_full_sentences_and_every_number_has_a_unit():
    described = {key.name: key for key in keys()}
    assert list(described) == list(flat(BASE))
    for name, key in described.items():
        assert key.meaning[0].isupper(), name
        assert key.meaning.endswith("."), name
        number = type(key.default) in (int, float) or name == "n"
        assert bool(key.unit) == (number or "whole numbers" in key.rule), name
        assert not number or key.rule.startswith(("between", "above")), name
        assert name in ("problem", "n") or key.default is not None, name


def test_a_user_meets_fewer_than_45_keys():
    assert sum(not key.expert for key in keys()) < 45


def test_the_schema_takes_what_the_configuration_takes():
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    check = jsonschema.Draft202012Validator(json_schema())
    assert check.is_valid(tomllib.loads(to_toml(BASE)))
    assert check.is_valid({})  # the command line gives the problem and n
    for key, value in OTHER.items():
        assert check.is_valid(nested(key, list(value) if type(value) is tuple else value)), key
        assert not check.is_valid(nested(key, {"a": 1})), key
    assert not check.is_valid({"train": {"stepz": 3}})
    assert not check.is_valid({"train": {"steps": 0}})


def test_loading_it_loads_nothing_heavy():
    heavy = "numpy,numba,torch,dataclasses,click"
    script = "import sys, pipeline.config; print(set(sys.argv[1].split(',')) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script, heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


# ------------------------------------------------------------------------- runs of format 1

OLD: dict[str, Any] = {
    "problem": "isosceles",
    "n": 6,
    "convention": "",
    "sizes": [5, 6],
    "seed": 3,
    "proposer": "model",
    "budget": {"rounds": 2, "time": 0.0, "cpu": 0.0, "target": 0},
    "seeding": {"method": "anneal", "proposals": 7, "hot": 0.3, "cold": 0.2, "penalty": 0.5},
    "search": {
        "field": "learnt",
        "improve": "climb",
        "proposals": 9,
        "hot": 0.5,
        "cold": 0.4,
        "table_bytes": 8,
    },
    "model": {
        "kind": "vision",
        "symmetry": "mirror",
        "geometry": "offset",
        "condition": ["score"],
        "layers": 3,
    },
    "sample": {"constrained": False, "adapt": False, "ask": "best", "symmetry": "", "count": 8},
    "feedback": {"share": 0.5, "steps": 6},
}


def test_a_configuration_of_a_run_of_format_1_is_read_under_the_new_names():
    config = earlier(OLD, "x")
    expected = flat(Config("isosceles", 6)) | {
        "sizes": (5, 6),
        "seed": 3,
        "generator": "vision",
        "symmetry": "mirror",
        "budget.rounds": 2,
        "seeding.method": "anneal",
        "seeding.moves": 7,
        "seeding.initial_temperature": 0.3,
        "seeding.final_temperature": 0.2,
        "search.weights": "learned",
        "search.improve": "tabu",
        "search.moves": 9,
        "search.initial_temperature": 0.5,
        "search.final_temperature": 0.4,
        "search.table_bytes": 8,
        "model.attention_bias": "offset",
        "model.layers": 3,
        "sample.masked": False,
        "sample.adapt_temperature": False,
        "sample.count": 8,
        "feedback.fraction": 0.5,
        "feedback.steps": 6,
        "store.keep_models": "all",  # as those runs did before models were pruned
    }
    assert flat(config) == expected


@pytest.mark.parametrize("generator", ["perturb", "restart", "none"])
def test_a_run_of_format_1_without_a_model_keeps_its_generator(generator):
    config = earlier({**OLD, "proposer": generator, "search": {"improve": "complete"}}, "x")
    assert (config.generator, config.search.improve) == (generator, "repair")
    assert earlier({**OLD, "store": {"keep_models": "last"}}, "x").store.keep_models == "last"


@pytest.mark.parametrize(
    "data", [3, {"problem": "isosceles"}, {**OLD, "model": 3}, {**OLD, "x": 1}]
)
def test_a_damaged_configuration_of_format_1_is_one_line(data):
    with pytest.raises(UsageError, match=r"^x: ") as caught:
        earlier(data, "x")
    assert "\n" not in str(caught.value)
