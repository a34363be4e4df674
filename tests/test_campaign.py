"""Campaigns: many independent runs here, on SLURM or on Ray, and where further runs go."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm_stand_in

from pipeline.benchmarking.campaign import Campaign
from pipeline.benchmarking.experiment import arms_from
from pipeline.benchmarking.results import Result
from pipeline.benchmarking.runner import carry_out
from pipeline.errors import PipelineError, UsageError
from pipeline.jobs import make_place
from pipeline.jobs.job import Job
from pipeline.plugins import load_problem
from pipeline.storage import lock
from pipeline.storage.run import Run

SMALL = [
    "--set",
    "search.tabu_steps=2000",
    "--set",
    "seeding.batches=1",
    "--set",
    "seeding.moves=2000",
]


def campaign(sizes=(6, 7), arms="none", **changes):
    return Campaign("isosceles", tuple(sizes), arms_from([arms]), **changes)


def result(n, score, seed=0, arm="none"):
    return Result(arm, n, seed, score, 3600.0, (), f"runs/{arm}-n{n}-{seed}")


def best_known(problem, n):
    known = problem.known(n)
    assert known is not None
    return known.value


def runs_of(root):
    return {path.parent.parent.name: Run(path.parent) for path in root.glob("*/runs/*/*/run.json")}


def started(words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | more,
    )


# ---------------------------------------------------------------------------- what is run


def test_every_size_and_arm_is_run_with_every_rng_seed():
    plan = Campaign("isosceles", (6, 7), arms_from(["none", "perturb"]), seeds=2, seconds=30)
    trials = plan.trials(load_problem("isosceles"))
    assert [(t.seed, t.n, t.arm) for t in trials] == [
        (seed, n, arm) for seed in (0, 1) for n in (6, 7) for arm in ("none", "perturb")
    ]
    assert len({trial.name for trial in trials}) == 8
    words = trials[0].job(Path("/r")).begin
    assert "budget.time=30.0" in words
    assert "budget.target=9" in words  # proved


def test_further_runs_go_where_the_best_known_value_is_beaten_and_not_where_the_mean_is_high():
    plan = Campaign("isosceles", (40, 41, 44), arms_from(["none"]), seeds=4, more=8)
    isosceles = load_problem("isosceles")
    known = {n: best_known(isosceles, n) for n in plan.sizes}
    found = [result(40, known[40], seed) for seed in range(4)]  # all reach it, none beats it
    found += [result(41, known[41] - 9, seed) for seed in range(3)] + [result(41, known[41] + 1, 3)]
    found += [result(44, known[44] - 1, seed) for seed in range(4)]
    chosen = plan.next_trial(isosceles, found, [])
    assert chosen is not None
    assert (chosen.n, chosen.seed) == (41, 4)
    under_way = []
    for _ in range(8):
        trial = plan.next_trial(isosceles, found, under_way)
        assert trial is not None
        under_way.append(trial)
    assert plan.next_trial(isosceles, found, under_way) is None
    assert len({trial.name for trial in under_way}) == 8
    counts = {n: [t.n for t in under_way].count(n) for n in plan.sizes}
    assert counts[41] > 0
    assert counts[40] > 0
    assert counts[44] == 0
    lines = load_problem("no-3-in-line")
    proved = Campaign("no-3-in-line", (10,), arms_from(["none"]), seeds=1, more=3)
    assert proved.next_trial(lines, [result(10, 20)], []) is None  # there is no more


def test_a_row_tells_how_many_reached_and_beat_the_best_known():
    problem = load_problem("isosceles")
    known = best_known(problem, 40)
    scores = [known - 2, known, known + 1, known]
    (row,) = campaign([40]).rows(problem, [result(40, s, k) for k, s in enumerate(scores)])
    assert (row.best, row.median, row.runs) == (known + 1, known, 4)
    assert (row.reached, row.beaten) == (3, 1)
    assert row.cpu == 4 * 3600
    assert row.run.endswith("n40-2")
    (none,) = campaign([40]).rows(problem, [])
    assert (none.best, none.median, none.runs, none.run) == (None, None, 0, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "--seeds 0: name a number from 1 to 100,000"),
        ({"more": -1}, "--more -1: name a number from 0"),
        ({"cores": 0}, "--cores 0: name a number from 1"),
        ({"sizes": ()}, "name an arm and a size"),
        ({"settings": {"budget": {"time": 3}}}, "--set budget: it belongs to the campaign"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        campaign(**changes)


class Roomy:
    """A place that never runs out of room, whose jobs fail at once."""

    room = 1000

    def __init__(self):
        self.batches = []

    def submit(self, jobs):
        self.batches.append(list(jobs))

    def resumed(self, jobs):
        return []

    def ended(self):
        return self.batches[-1]

    def running(self):
        return []

    def leave(self):
        return ""


def test_further_runs_wait_for_what_all_others_find(tmp_path):
    plan, problem, place = campaign(seeds=2, more=3), load_problem("isosceles"), Roomy()

    def following(results, there):
        return plan.next_trial(problem, results, there)

    _, failures = carry_out(plan.trials(problem), tmp_path, problem, place, next_=following)
    assert [len(batch) for batch in place.batches] == [4, 3]
    # What failed is not tried again by the same command.
    assert len({failure.trial.name for failure in failures}) == 4 + 3


def test_a_file_of_forbidden_sets_that_changes_is_another_campaign(tmp_path):
    path = tmp_path / "lines.txt"
    names = []
    for text in ("0 1 2\n", "0 1 3\n"):
        path.write_text(text)
        spec = f"{path}:hypergraph"
        names.append(Campaign(spec, (4,), arms_from(["none"])).folder("lines"))
    assert names[0] != names[1]


# ------------------------------------------------------------------------- on this machine


@pytest.mark.end_to_end
def test_a_campaign_is_a_table_that_more_runs_are_added_to(cli, tmp_path):
    words = ["campaign", "isosceles", "--n", "5,6", "--time", 20, "--runs", tmp_path, *SMALL]
    done = cli(*words, "--seeds", 1, "-o", tmp_path / "table.md")
    assert done.code == 0, done.err
    assert "9 (proved)" in done.out
    (tmp_path / "table.md").read_text().index("| 6 | none | 9 (proved) | 9 | 9 | 1 | 1 | 0 |")
    more = cli(*words, "--seeds", 2, "--json")
    assert more.code == 0, more.err
    told = json.loads(more.out)
    assert [(row["n"], row["best"], row["runs"]) for row in told["rows"]] == [(5, 7, 2), (6, 9, 2)]
    assert (told["planned"], told["failed"], told["interrupted"]) == (4, [], False)
    assert "2 of 4 runs are there already" in more.err
    assert all(row["run"] for row in told["rows"])
    assert len(runs_of(tmp_path)) == 4


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_run_that_is_cut_short_is_gone_on_with(cli, tmp_path):
    words = ["campaign", "isosceles", "--n", 27, "--seeds", 1, "--time", 12, "--runs", tmp_path]
    words += ["--set", "search.tabu_steps=2000", "--set", "seeding.batches=1"]
    process = started(words)
    while not list(tmp_path.glob("*/runs/*/*/rounds/0000")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Go on with the same command" in err
    assert "Traceback" not in err
    (run,) = runs_of(tmp_path).values()
    assert run.info["sessions"][-1]["ended"] == "stopped"
    done = cli(*words)
    assert done.code == 0, done.err
    (result_file,) = tmp_path.glob("*/results/*.json")
    result_file.unlink()
    assert cli(*words).code == 0  # it had ended; nothing is run again
    assert result_file.exists()
    (run,) = runs_of(tmp_path).values()
    assert [session["ended"] for session in run.info["sessions"]] == ["stopped", "done"]
    seconds = sum(session["seconds"] for session in run.info["sessions"])
    assert seconds < 12 + 6


def test_a_run_that_fails_says_why_and_the_others_go_on(cli, tmp_path):
    words = ["campaign", "isosceles", "--n", 6, "--seeds", 2, "--time", 20, "--runs", tmp_path]
    (folder,) = [tmp_path / campaign([6], seconds=20).folder("isosceles")]
    first = campaign([6], seconds=20).trials(load_problem("isosceles"))[0]
    damaged = folder / "runs" / first.name / "isosceles-n6"
    damaged.mkdir(parents=True)
    (damaged / "run.json").write_text("[")
    done = cli(*words)
    assert done.code == 1
    assert "rng seed 0 failed: " in done.err
    assert "run.json" in done.err
    assert "rng seed 1: best 9" in done.err
    assert "1 of 2 runs failed; the same command goes on with them" in done.err
    assert "Traceback" not in done.err


def test_two_campaigns_do_not_use_one_folder(cli, tmp_path):
    folder = tmp_path / campaign([6], seconds=20).folder("isosceles")
    folder.mkdir()
    with lock.holding(folder):
        words = ["campaign", "isosceles", "--n", 6, "--seeds", 1, "--time", 20]
        done = cli(*words, "--runs", tmp_path)
    assert done.code != 0
    assert "in use by process" in done.error


def test_what_is_left_of_a_job_is_asked_of_its_run(tmp_path, played):
    again = ("--problem", "x.py:X")
    job = Job("a", tmp_path / "a", ("run", "isosceles"), again, seconds=100.0)
    assert job.words() == ("run", "isosceles", "--runs", str(tmp_path / "a"), "--json")
    assert job.error().startswith("no log")
    (tmp_path / "a").mkdir()
    os.rename(played, tmp_path / "a" / "run")
    assert job.is_done()
    assert job.words() == ()
    run = Run(tmp_path / "a" / "run")
    run.end_session("stopped", 60.0)
    spent = sum(run.seconds(number) for number in range(len(run.info["sessions"])))
    assert job.words()[:4] == ("resume", str(run.path), "--time", f"{100 - spent:.1f}")
    assert job.words()[4:] == (*again, "--json")
    run.end_session("stopped", 99.5)
    assert job.words() == ()


# ------------------------------------------------------------------------------- on SLURM


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="needs submitit: pip install -e '.[test]'")
    slurm_stand_in.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{tmp_path / 'slurm'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return tmp_path / "slurm"


@pytest.mark.end_to_end
@pytest.mark.skipif(os.name != "posix", reason="SLURM runs on Unix")
def test_a_preempted_job_is_queued_again_and_goes_on(slurm, tmp_path):
    words = ["campaign", "isosceles", "--n", 27, "--seeds", 2, "--time", 14]
    words += ["--runs", tmp_path, "--on", "slurm", "--slurm", "partition=short"]
    words += ["--set", "search.tabu_steps=2000", "--set", "seeding.batches=1"]
    process = started(words)
    while len(list(tmp_path.glob("*/runs/*/*/rounds/0000"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # the jobs go on without us
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "2 jobs go on in SLURM; the same command looks after them again" in err
    os.killpg(int((slurm / "100_0.pid").read_text()), signal.SIGUSR2)
    again = started(words)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert "2/2" in err
    text = (slurm / "100.sbatch").read_text()
    for line in ("--array=0-1%2", "--cpus-per-task=1", "--partition=short", "--signal=USR2@90"):
        assert f"#SBATCH {line}" in text
    assert not (slurm / "101.sbatch").exists()  # nothing was submitted twice
    ends = sorted(
        [session["ended"] for session in run.info["sessions"]] for run in runs_of(tmp_path).values()
    )
    assert ends[0] == ["done"]
    assert len(ends[1]) == 2
    assert ends[1][1] == "done"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("partition", "--slurm partition: write KEY=VALUE"),
        ("partitoin=short", "--slurm partitoin=short: not among the parameters: .*partition"),
        ("time=60", "--slurm time=60: time follows from --time, --cores and --jobs"),
    ],
)
def test_a_parameter_that_sbatch_has_not_is_refused(given, message, slurm):
    with pytest.raises(UsageError, match=message):
        make_place("slurm", 0, slurm=(given,))


def test_jobs_that_slurm_does_not_take_are_one_line(slurm, cli, tmp_path):
    (slurm / "sbatch").write_text("#!/bin/sh\necho 'invalid partition specified' >&2\nexit 1\n")
    words = ["campaign", "isosceles", "--n", 6, "--seeds", 1, "--time", 20, "--on", "slurm"]
    done = cli(*words, "--runs", tmp_path)
    assert done.code == 1
    assert "SLURM did not take the jobs" in done.error
    assert "invalid partition specified" in done.error


def test_without_slurm_it_says_where_to_go(monkeypatch, tmp_path):
    pytest.importorskip("submitit", reason="needs submitit: pip install -e '.[test]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="no SLURM here: sbatch is not on the PATH"):
        make_place("slurm", 0)


def test_a_place_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for place, package in (("slurm", "submitit"), ("ray", "ray")):
        with pytest.raises(PipelineError, match=f"package {package}; install it with"):
            make_place(place, 0)


def test_options_of_another_place_are_refused():
    with pytest.raises(UsageError, match="add --on ray"):
        make_place("processes", 0, address="auto")
    with pytest.raises(UsageError, match="add --on slurm"):
        make_place("ray", 0, slurm=("partition=short",))
    with pytest.raises(UsageError, match="on SLURM say --slurm gpus_per_node=2"):
        make_place("slurm", 0, gpus=2)
    with pytest.raises(UsageError, match="unknown place 'slrum'; did you mean 'slurm'"):
        make_place("slrum", 0)


# --------------------------------------------------------------------------------- on Ray


@pytest.mark.end_to_end
def test_a_campaign_on_ray_finds_the_same(cli, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray: pip install -e '.[test]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    words = ["campaign", "isosceles", "--n", "6", "--time", 20, "--seeds", 2, *SMALL, "--json"]
    done = cli(*words, "--on", "ray", "--jobs", 2, "--runs", tmp_path / "ray")
    assert done.code == 0, done.err
    here = cli(*words, "--runs", tmp_path / "here")
    tables = [json.loads(one.out)["rows"] for one in (done, here)]
    for (row,) in tables:
        row["cpu"] = row["run"] = None
    assert tables[0] == tables[1]
