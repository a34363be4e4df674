"""The public functions of Python: what they return, what they refuse, and that import is light."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.errors import RunError, UsageError

#: A run that takes a fraction of a second.
SMALL = {
    "seeding": {"method": "greedy", "count": 40},
    "search": {"batches": 1, "tabu_steps": 500, "enumerate_nodes": 500, "cover_nodes": 5000},
    "select": {"keep": 30},
    "sample": {"count": 20},
    "compute": {"workers": 1, "threads": 1},
}


def small_run(**more):
    told = {"problem": "isosceles", "n": 6, "rounds": 1, "sizes": [6], "generator": "perturb"}
    return pipeline.run(**{**told, "config": SMALL, "progress": False, **more})


class Halves(pipeline.Generator):
    """Elites without half of their elements."""

    def ask(self, state):
        bits = state.pool.bits()
        return bits & (state.rng.random(bits.shape) < 0.5)


def test_importing_loads_nothing_heavy_and_changes_nothing():
    code = (
        "import os, sys; before = dict(os.environ); import pipeline; "
        "heavy = {'torch', 'numba', 'numpy', 'pyarrow', 'rich', 'click'} & set(sys.modules); "
        "assert not heavy, heavy; assert dict(os.environ) == before; "
        "assert set(pipeline.__all__) <= set(dir(pipeline))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", pipeline.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(pipeline, name)
    assert found.__doc__
    assert found.__module__.startswith("pipeline.")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing  # type: ignore[attr-defined]


def test_search_stays_a_function_once_the_engine_is_loaded():
    small_run()
    assert callable(pipeline.search)


def test_a_result_has_pools_a_best_construction_and_a_histogram():
    result = small_run()
    best, pool = result.best(), result.pool()
    assert result.score == best.score == int(pool.score.max()) == len(best.points)
    assert pipeline.verify("isosceles", best.points, 6) == (True, best.score, None)
    assert sum(result.histogram().counts.values()) == len(pool)
    assert str(best.score) in str(result.histogram())
    for drawn in (best, result.histogram(), result):
        assert drawn._repr_html_().startswith("<")
    table = pool.to_pandas()
    assert table["score"].tolist() == pool.score.tolist()
    assert [len(row) for row in table["elements"]] == pool.score.tolist()
    assert result.to_json()["points"] == [list(point) for point in best.points]


def test_a_size_that_the_run_has_not_is_refused():
    with pytest.raises(UsageError, match="has no constructions of size 7; it has 6"):
        small_run().best(7)


@pytest.mark.parametrize("generator", [Halves, Halves()])
def test_a_generator_of_ones_own_may_be_a_class_or_an_object(generator):
    result = small_run(generator=generator)
    assert result.state.candidates is not None
    assert result.config.generator == f"{Path(__file__).resolve()}:Halves"


def test_what_is_no_generator_is_refused():
    with pytest.raises(UsageError, match="generator must be a name"):
        small_run(generator=object())


def test_a_callback_is_told_of_every_round_and_a_rule_stops_the_run():
    class Rounds(pipeline.Callbacks):
        seen: list[int] = []  # noqa: RUF012

        def on_round(self, state, seconds, cpu):
            self.seen.append(state.round)

    result = small_run(rounds=50, callbacks=[Rounds()], stop=[lambda state: state.round >= 2])
    assert Rounds.seen == [0, 1, 2]
    assert result.state.round == 2


def test_a_stored_run_goes_on_to_the_same_pools_as_one_that_was_never_ended(tmp_path):
    first = small_run(store=tmp_path, generator=Halves)
    assert first.path is not None
    again = pipeline.run(
        store=pipeline.open_run(first.path), rounds=2, generator=Halves, progress=False
    )
    whole = small_run(rounds=2, generator=Halves)
    assert again.path == first.path
    assert np.array_equal(again.pool().cells, whole.pool().cells)
    assert np.array_equal(again.pool().origin, whole.pool().origin)


def test_a_run_whose_generator_is_a_file_is_gone_on_with_only_if_it_is_named(tmp_path):
    path = small_run(store=tmp_path, generator=Halves).path
    assert path is not None
    with pytest.raises(UsageError, match="data never loads code"):
        pipeline.run(store=pipeline.open_run(path), rounds=2, progress=False)


def test_another_configuration_is_refused_for_a_run_that_is_there(tmp_path):
    path = small_run(store=tmp_path).path
    assert path is not None
    with pytest.raises(UsageError, match=r"sample\.count"):
        pipeline.run(
            store=pipeline.open_run(path),
            config={**SMALL, "sample": {"count": 21}},
            n=6,
            sizes=[6],
            generator="perturb",
            progress=False,
        )


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RunError):
        pipeline.open_run("latest", tmp_path)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"n": None}, "name a size"),
        ({"problem": None}, "name a problem"),
        ({"problem": "isosceless"}, "did you mean 'isosceles'"),
        ({"config": {"trian": {}}}, "unknown key 'trian'"),
        ({"generator": "gptt"}, "did you mean 'gpt'"),
        ({"n": 0}, "at least 1"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_fix(told, message):
    with pytest.raises(UsageError, match=message) as refused:
        small_run(**told)
    assert len(str(refused.value).splitlines()) == 1


def test_search_alone_reaches_a_proved_value():
    found = pipeline.search("no-3-in-line", 6, time=20, workers=1, progress=False)
    assert found.score == 12
    assert found.config.generator == "none"


def test_solve_proves_the_maximum():
    proof = pipeline.solve("isosceles", 4, workers=1)
    assert (proof.lower, proof.upper, proof.proved) == (6, 6, True)
    assert pipeline.verify("isosceles", proof.best.points, 4).valid


def test_verify_shows_a_violation_and_refuses_what_is_no_element():
    verdict = pipeline.verify("isosceles", [(0, 0), (0, 1), (1, 0), (3, 3)], 4)
    assert not verdict.valid
    assert verdict.witness is not None
    assert set(verdict.witness) <= {(0, 0), (0, 1), (1, 0), (3, 3)}
    with pytest.raises(pipeline.PipelineError, match="not an element"):
        pipeline.verify("isosceles", [(4, 0)], 4)


@pytest.mark.end_to_end
def test_compare_runs_each_arm_with_each_seed(tmp_path):
    settings = {**SMALL, "seeding": {"batches": 1, "moves": 2000}, "compute": {"threads": 1}}
    arms = {"halves": Halves, "none": "none"}
    found = pipeline.compare(
        "isosceles", 6, arms, seeds=1, cpu_seconds=0.5, config=settings, runs=tmp_path
    )
    (size,) = found.sizes
    assert [arm.arm for arm in size.arms] == ["halves", "none"]
    assert not found.failures
    assert "sign test" in str(found)


@pytest.mark.end_to_end
def test_a_campaign_is_a_table_and_the_same_call_makes_no_run_again(tmp_path):
    settings = {**SMALL, "seeding": {"batches": 1, "moves": 2000}}
    given = {"seeds": 2, "time": 1.0, "config": settings, "runs": tmp_path}
    found = pipeline.campaign("isosceles", [3, 4], **given)
    assert [(row.n, row.arm, row.runs) for row in found.rows] == [(3, "none", 2), (4, "none", 2)]
    assert [row.best for row in found.rows] == [4, 6]
    assert (found.planned, found.failures) == (4, ())
    assert "best known" in str(found)
    assert "<td>4 (proved)</td>" in found._repr_html_()
    before = sorted(tmp_path.rglob("*"))
    again = pipeline.campaign("isosceles", [3, 4], **given)
    assert again.rows == found.rows
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(pipeline.PipelineError, match=r"unknown place 'slum'.*slurm"):
        pipeline.campaign("isosceles", 3, on="slum", runs=tmp_path)
    with pytest.raises(pipeline.PipelineError, match="--gpus 1 is for --on ray"):
        pipeline.campaign("isosceles", 3, gpus=1, runs=tmp_path)


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path):
    impossible = {"seeding": {"symmetry": ["quarter-turn"]}}
    with pytest.raises(pipeline.PipelineError, match="quarter-turn"):
        pipeline.run("isosceles", n=4, store=tmp_path, config=impossible)
    assert list(tmp_path.iterdir()) == []
