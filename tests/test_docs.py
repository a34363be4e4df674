"""The guide: its commands run, its files work, and what is made from the program is current."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from documented import ROOT, SMALL_RUN, blocks, commands, every_command, files, play

from pipeline.benchmarking.experiment import plan_from
from pipeline.cli.commands import cli as program
from pipeline.config.describe import keys
from pipeline.core.population import ORIGINS
from pipeline.engine.exact import Question, solve
from pipeline.executors import Serial
from pipeline.plugins import load_problem
from pipeline.publish.certificates import verifier

DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
GUIDE = ("first-run", "report", "own-problem", "generators", "python", "loop", "gpu-and-cluster")
#: Pages without a command to run, or whose commands a test of their own runs.
NO_COMMANDS = ("README", "architecture", "cli", "errors", "lab", "python", "scale", "tables")

_spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
assert _spec is not None
assert _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder to follow a page in, with little patience."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPELINE_RUNS", str(tmp_path / "runs"))
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    return tmp_path


# ----------------------------------------------------------------------------- what pages show


@pytest.mark.end_to_end
@pytest.mark.parametrize("page", [name for name in PAGES if name not in NO_COMMANDS])
def test_every_command_of_a_page_works(page, reader, played, cli):
    for name, text in files(PAGES[page]).items():
        (reader / name).write_text(text, encoding="utf-8")
    told = commands(PAGES[page])
    assert told
    play(cli, told)
    for line in re.findall(r"^    (python \S+/verify\.py)$", PAGES[page], re.MULTILINE):
        subprocess.run([sys.executable, line.split()[1]], check=True, capture_output=True)


@pytest.mark.end_to_end
def test_the_job_script_is_a_command_that_works(reader, cli):
    (line,) = re.findall(r"^exec (pipeline .*)$", PAGES["gpu-and-cluster"], re.MULTILINE)
    play(cli, [line.replace("$SLURM_ARRAY_TASK_ID", "3")])
    assert (reader / "results").is_dir()


def test_the_guide_has_its_pages_and_every_link_leads_somewhere():
    for name, page in PAGES.items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
            assert (DOCS / target).exists(), f"{name}.md links to {target}"
    listed = re.findall(r"\]\((\S+)\.md\)", PAGES["README"])
    assert listed[: len(GUIDE)] == list(GUIDE)
    assert set(listed) == set(PAGES) - {"README"}


# ---------------------------------------------------------------------------- pages in Python


@pytest.mark.end_to_end
@pytest.mark.parametrize("page", ["generators", "python"])
def test_the_python_of_a_page_runs_from_top_to_bottom(page, reader, monkeypatch):
    monkeypatch.syspath_prepend(str(reader))
    for name, text in files(PAGES[page]).items():
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
        (reader / name).write_text(text, encoding="utf-8")
    names = {}
    assert len(blocks(PAGES[page])) > 1
    try:
        for text in blocks(PAGES[page]):
            exec(compile(text, f"{page}.md", "exec"), names)
    finally:
        for name in files(PAGES[page]):
            sys.modules.pop(Path(name).stem, None)


def test_a_generator_is_fifteen_lines():
    lines = files(PAGES["generators"])["mine.py"].splitlines()
    assert len([line for line in lines if line.strip()]) <= 15


# --------------------------------------------------------------------------------- notebooks


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["a-first-hunt", "a-generator-of-your-own"])
def test_a_notebook_runs_from_top_to_bottom_and_holds_no_output(name, reader, monkeypatch, capsys):
    book = json.loads((DOCS / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "crossed", raising=False)
    names = {}
    try:
        for cell in book["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                assert (cell["outputs"], cell["execution_count"]) == ([], None)
                exec(compile(text, name, "exec"), names)
            for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
                assert (DOCS / "notebooks" / target).exists(), target
    finally:
        sys.modules.pop("crossed", None)
    assert "constructions kept" in capsys.readouterr().out


# ----------------------------------------------------------------------------- the architecture


def walks() -> list[list[tuple[str, str]]]:
    """Return the rows of the page's tables: files, and what happens there."""
    tables = PAGES["architecture"].split("| file | what happens there |")[1:]
    return [re.findall(r"^\| `(\S+\.py)` \| (.*) \|$", table, re.MULTILINE) for table in tables]


def test_every_file_and_room_of_the_architecture_page_exists():
    page = PAGES["architecture"]
    files_ = set(re.findall(r"[`*]([\w/]+\.py)[`*]", page))
    rooms = set(re.findall(r"\*\*(\w+/)\*\*", page))
    assert len(files_) > 30
    places = [ROOT, ROOT / "pipeline"]
    missing = [name for name in files_ | rooms if not any((p / name).exists() for p in places)]
    assert missing == []
    there = {path.parent.name + "/" for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert there | {"problems/"} == rooms


def test_each_walk_meets_each_file_once_and_names_what_is_there():
    assert [len(walk) > 5 for walk in walks()] == [True, True]
    for walk in walks():
        names = [name for name, _ in walk]
        assert len(set(names)) == len(names)
        for name, what in walk:
            text = (ROOT / name).read_text(encoding="utf-8")
            for said in re.findall(r"`([A-Za-z_.]+)`", what):
                for part in said.split("."):
                    assert part in text, f"{name}: {said}"


# ------------------------------------------------------------------------ a problem of one's own


@pytest.fixture
def saved(reader):
    for name, text in files(PAGES["own-problem"]).items():
        (reader / name).write_text(text, encoding="utf-8")
    return reader


@pytest.mark.parametrize(("name", "most"), [("progressions", 10), ("fast_progressions", 65)])
def test_the_problems_of_the_page_are_as_short_as_it_says(saved, name, most):
    text = (saved / f"{name}.py").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= most


@pytest.mark.parametrize(
    ("name", "n", "size"), [("progressions", 14, 8), ("sidon", 13, 4), ("cap_sets", 3, 9)]
)
def test_the_short_problems_of_the_page_have_the_values_that_are_known(saved, name, n, size):
    problem = load_problem(str(saved / f"{name}.py"))
    answer = solve(Question(problem.plugin, "", n), Serial())
    assert (answer.lower, answer.proved) == (size, True)
    assert verifier(problem)  # what the page writes can be certified


def test_the_problem_of_the_page_passes_the_contract(saved):
    assert "    pytest test_progressions.py\n" in PAGES["own-problem"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_progressions.py"],
        capture_output=True,
        text=True,
        cwd=saved,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d{2} passed", done.stdout)


def test_the_values_it_calls_proved_are_proved_again(saved):
    spec = f"{saved / 'fast_progressions.py'}:FastProgressions"
    problem = load_problem(spec)
    for n in (1, 2, 5, 9, 14, 20):
        known = problem.known(n)
        assert known is not None
        answer = solve(Question(spec, "", n), Serial())
        assert (answer.lower, answer.proved) == (known.value, True)


# -------------------------------------------------------------------------- made from the program


@pytest.mark.parametrize("name", ["model-isosceles", "model-no-3-in-line", "model-permanents"])
def test_every_arm_of_a_comparison_that_a_page_names_has_a_configuration(name):
    assert f"benchmarks/{name}.toml" in PAGES["comparison"]
    data = tomllib.loads((ROOT / "benchmarks" / f"{name}.toml").read_text(encoding="utf-8"))
    plan = plan_from(data, name)
    trials = plan.trials(load_problem(plan.problem))
    assert len(trials) == plan.seeds * len(plan.sizes) * len(plan.arms)


def test_the_reference_of_the_command_line_is_current():
    assert PAGES["cli"] == reference.reference(), "run: python docs/reference.py"


def test_every_command_and_every_option_has_help():
    for name, command in every_command(program).items():
        assert command.help, name
        assert f"\n## {name}\n" in PAGES["cli"]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"
                assert f"`{parameter.opts[0]}" in PAGES["cli"]


KEYS = {key.name: key for key in keys()}


def test_every_key_of_a_configuration_is_in_one_of_the_two_tables_with_its_meaning():
    usual, experts = PAGES["loop"].split("### Keys for experts")
    for page, expert in ((usual, False), (experts, True)):
        told = re.findall(r"^\| `([a-z_.]+)` \| (.+?) \| (.*) \| (.*) \|$", page, re.MULTILINE)
        assert [key for key, *_ in told] == [k.name for k in KEYS.values() if k.expert == expert]
        for key, _, value, meaning in told:
            assert (meaning, value.split(" (")[0]) == (KEYS[key].meaning, KEYS[key].rule)


def test_the_schemas_are_those_that_the_program_itself_checks_by():
    kept = {p.name: p.read_text(encoding="utf-8") for p in (DOCS / "schemas").iterdir()}
    assert kept == reference.schemas(), "run: python docs/reference.py"


@pytest.mark.parametrize("path", sorted((DOCS / "schemas").glob("*.json")), ids=lambda p: p.stem)
def test_the_origins_of_a_schema_are_those_of_a_population(path):
    def enums(part):
        if isinstance(part, dict):
            yield part.get("enum", [])
            part = list(part.values())
        for inner in part if isinstance(part, list) else []:
            yield from enums(inner)

    for values in enums(json.loads(path.read_text(encoding="utf-8"))):
        if "seed" in values:
            assert set(values) == set(ORIGINS)


def test_the_table_of_keys_is_current():
    assert PAGES["loop"] == reference.with_keys(PAGES["loop"]), "run: python docs/reference.py"


def test_keys_that_pages_name_exist():
    for name, page in PAGES.items():
        if name == "errors":  # it shows a wrong one
            continue
        for key in re.findall(r"--set ([a-z_.]+)=", page):
            assert key in KEYS, f"{name}.md: --set {key}"
        sections = {key.split(".")[0] for key in KEYS if "." in key}
        for key in re.findall(r"`((?:" + "|".join(sections) + r")\.[a-z_]+)`", page):
            assert key in KEYS or key.endswith((".json", ".toml")), f"{name}.md: {key}"


# --------------------------------------------------------------------------- DuckDB and pandas


@pytest.fixture
def sixteen(reader, cli):
    """The path of a run at n = 16, small."""
    assert cli("run", "isosceles", "--n", 16, *SMALL_RUN).code == 0
    (run,) = (path.parent for path in (reader / "runs").glob("*/run.json"))
    return run


def queries(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGES["tables"], re.DOTALL)


@pytest.mark.end_to_end
def test_the_queries_of_the_page_answer_what_it_says(sixteen, cli):
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb: pip install -e '.[test]'")
    pytest.importorskip("pandas", reason="needs pandas: pip install -e '.[test]'")
    from pipeline.core.population import Population

    pools = [Population.read(sixteen / "rounds" / f"000{k}" / "n16.parquet")[0] for k in (0, 1)]
    spread, origins = (duckdb.sql(q.replace("RUN", str(sixteen))) for q in queries("sql"))
    counted = {(k, score): sets for k, score, sets in spread.fetchall()}
    for number, pool in enumerate(pools):
        sizes = {score: 0 for score in pool.score.tolist()}
        for score in pool.score.tolist():
            sizes[score] += 1
        # Other sizes lie beside; theirs are counted too.
        assert all(counted[number, score] >= many for score, many in sizes.items())
    assert sum(sets for _, sets, _, _ in origins.fetchall()) == len(pools[1])
    (script,) = queries("python")
    names = {}
    exec(script.replace("RUN", str(sixteen)), names)
    best = pools[1].score == pools[1].score.max()
    assert names["usage"].shape == (16, 16)
    assert names["usage"].sum() == pytest.approx(pools[1].score[best].mean())


@pytest.mark.end_to_end
def test_the_columns_of_the_page_are_those_of_the_files(sixteen):
    from pyarrow import parquet

    schema = parquet.read_schema(sixteen / "rounds" / "0001" / "n16.parquet")
    table = re.findall(r"^\| (\w+) \| ([^|]+) \|", PAGES["tables"], re.MULTILINE)[1:]
    assert [name for name, _ in table] == schema.names
    assert "extremal-pipeline.population" in PAGES["tables"]
    assert b"extremal-pipeline.population" in schema.metadata


@pytest.mark.end_to_end
def test_the_commands_of_the_tables_page_work(sixteen, cli):
    play(cli, commands(PAGES["tables"]))
    assert shlex.split(commands(PAGES["tables"])[0])[-1] == "pool.parquet"
