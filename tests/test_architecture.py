"""The house: imports run one way, what is heavy comes late, and nothing is pickled."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core import jit

ROOT = Path(__file__).parent.parent
FILES = sorted(p for part in ("pipeline", "problems") for p in (ROOT / part).rglob("*.py"))
NAMES = [str(p.relative_to(ROOT)) for p in FILES]


def imports(name: str) -> set[str]:
    """Return the full names of all modules a file imports, late imports too; not those of types."""
    found: set[str] = set()
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def uses(name: str, module: str) -> bool:
    return any(found == module or found.startswith(f"{module}.") for found in imports(name))


def inside(name: str, *folders: str) -> bool:
    return name.startswith(folders)


@pytest.mark.parametrize(
    ("module", "homes"),
    [
        ("torch", ("pipeline/model/", "pipeline/lab/", "pipeline/report/tensorboard.py")),
        ("safetensors", ("pipeline/model/", "pipeline/lab/")),
        ("click", ("pipeline/cli/",)),
        ("rich", ("pipeline/cli/", "pipeline/report/")),
        ("ray", ("pipeline/executors/ray.py",)),
        ("submitit", ("pipeline/jobs/slurm.py",)),
        ("pipeline.cli", ("pipeline/cli/", "pipeline/__main__.py")),
        ("filelock", ("pipeline/storage/lock.py",)),
        ("platformdirs", ("pipeline/core/jit.py",)),
    ],
)
def test_a_library_is_used_in_its_own_room_alone(module, homes):
    assert [name for name in NAMES if uses(name, module) and not inside(name, *homes)] == []


def test_every_file_with_compiled_code_names_the_compile_cache():
    kept = {str(p.relative_to(ROOT)) for p in jit.kernel_files()}
    marks = re.compile(r"^@(\w+\.)?(njit|kernel|inlined|compiled|helper|\w+_hook|checker)\b", re.M)
    compiled = {name for name in NAMES if marks.search(text(name))}
    assert compiled <= kept


def test_compiled_code_takes_no_constant_from_a_file_that_the_cache_does_not_know():
    kept = {str(p.relative_to(ROOT)) for p in jit.kernel_files()}
    found = []
    for name in sorted(kept):
        tree = ast.parse(text(name))
        functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.decorator_list]
        used = {n.id for f in functions for n in ast.walk(f) if isinstance(n, ast.Name)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            source = node.module.replace(".", "/") + ".py"
            if node.module.startswith(("pipeline", "problems")) and source not in kept:
                found += [
                    f"{name}: {a.name}" for a in node.names if a.name.isupper() & (a.name in used)
                ]
    assert found == []


@pytest.mark.parametrize("module", ["pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"])
def test_nothing_is_pickled(module):
    assert [name for name in NAMES if uses(name, module)] == []
    assert [n for n in NAMES if "torch.load(" in (ROOT / n).read_text(encoding="utf-8")] == []


#: For each file or folder, what it must not import.
LOWER = {
    "pipeline/core/": [
        *("problem", "engine", "model", "generators", "loop", "storage", "config"),
        *("executors", "publish", "benchmarking", "report", "cli", "lab"),
    ],
    "pipeline/problem.py": ["plugins", "engine", "model", "loop", "storage", "config"],
    "pipeline/plugins.py": ["engine", "model", "loop", "config"],
    "pipeline/config/": ["problem", "engine", "model", "loop", "storage"],
    "pipeline/engine/": [
        *("model", "generators", "loop", "storage", "publish", "benchmarking", "report", "cli"),
    ],
    "pipeline/generators/": ["loop", "storage", "publish", "benchmarking", "report", "cli", "lab"],
    "pipeline/model/": ["engine", "loop", "storage", "cli", "problem"],
    "pipeline/loop.py": ["storage", "cli", "report"],
    "pipeline/state.py": ["model", "generators", "loop", "storage", "cli", "report"],
    "pipeline/selection.py": ["model", "generators", "loop", "storage", "cli", "report"],
    "pipeline/storage/": [
        "generators",
        "loop",
        "model",
        "publish",
        "benchmarking",
        "report",
        "cli",
    ],
    "pipeline/jobs/": ["engine", "model", "loop", "publish", "benchmarking", "report", "cli"],
    "pipeline/report/": ["loop", "model", "cli"],
    "pipeline/publish/": ["loop", "model", "cli"],
    "pipeline/lab/": ["cli"],
}


@pytest.mark.parametrize("place", LOWER)
def test_imports_run_one_way(place):
    names = [name for name in NAMES if inside(name, place)]
    assert names
    for name in names:
        for above in LOWER[place]:
            assert not uses(name, f"pipeline.{above}"), f"{name} imports pipeline.{above}"


def test_the_framework_knows_no_problem():
    assert [name for name in NAMES if inside(name, "pipeline/") and uses(name, "problems")] == []


def test_problems_know_the_plugin_interface_alone():
    allowed = (
        "pipeline.problem",
        "pipeline.words",
        "pipeline.core.ground_set",
        "pipeline.core.population",
        "problems",
    )
    for name in NAMES:
        if inside(name, "problems/"):
            for found in imports(name):
                top = found.split(".")[0]
                ours = top in ("pipeline", "problems")
                fine = any(found == a or found.startswith(f"{a}.") for a in allowed)
                outside = top in ("numpy", "numba") or top in sys.stdlib_module_names
                assert fine if ours else outside, f"{name} imports {found}"


@pytest.mark.parametrize(
    "name",
    [
        *("loop.py", "state.py", "selection.py"),
        *("engine/engine.py", "engine/explore.py", "engine/runner.py", "engine/weights.py"),
    ],
)
def test_the_rounds_have_no_file_system(name):
    for module in ("os", "pathlib", "shutil", "tempfile", "io", "json", "pyarrow"):
        assert not uses(f"pipeline/{name}", module)
    tree = ast.parse((ROOT / "pipeline" / name).read_text(encoding="utf-8"))
    assert "open" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_the_loop_fits_a_screen():
    tree = ast.parse(text("pipeline/loop.py"))
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    assert {"run", "seed", "step"} <= lengths.keys()
    assert sum(lengths[name] for name in ("run", "seed", "step")) < 70


@pytest.mark.parametrize("name", NAMES)
def test_no_error_is_caught_without_a_name(name):
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}, line {node.lineno}: bare except"


_LATE = """
import sys
from pipeline.cli import main
try:
    main(sys.argv[2:])
except SystemExit as stopped:
    assert stopped.code == 0, stopped.code
found = [m for m in sys.argv[1].split(",") if m in sys.modules]
assert not found, found
"""


def late(heavy: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LATE, heavy, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("group", [(), ("lab",), ("lab", "run")])
def test_help_loads_nothing_heavy(group):
    late("torch,numba,numpy,pyarrow,rich.progress", *group, "--help")


def test_the_lab_lists_its_tasks_without_torch():
    late("torch,numba,matplotlib", "lab", "list")


@pytest.mark.parametrize(("n", "loads"), [(4, False), (9, True)])
def test_a_few_tuples_are_checked_without_numba_and_many_with_it(n, loads):
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from pipeline.plugins import load_problem\n"
        "problem, n = load_problem('no-5-on-a-sphere'), int(sys.argv[1])\n"
        "row = np.zeros((1, -(-(n ** 3) // 8)), np.uint8)\n"
        "row[0, :n] = 7\n"
        "problem.validate(row, n)\n"
        "print('numba' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(n)], capture_output=True, text=True)
    assert done.stdout == f"{loads}\n", done.stderr


_READING = {
    "ls": ["--runs", ".."],
    "show": ["."],
    "hist": ["."],
    "best": ["."],
    "count": ["."],
    "verify": ["."],
    "export": [".", "-o", "made.csv", "--format", "csv"],
    "plot": [".", "--what", "board", "-o", "made.svg"],
    "report": ["."],
    "certificate": [".", "-o", "made"],
    "records": ["--runs", ".."],
    "problems": [],
}


@pytest.mark.parametrize("command", _READING)
def test_what_only_reads_loads_neither_torch_nor_numba(command, played, monkeypatch):
    monkeypatch.chdir(played)
    if command == "records":  # certificates that nobody has checked on this machine are, once
        late("torch", command, *_READING[command])
    late("torch,numba", command, *_READING[command])
