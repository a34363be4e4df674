"""What every test shares: hypothesis without deadlines, a tiny run, the command line, seeds."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

settings.register_profile("pipeline", deadline=None)
settings.load_profile("pipeline")

#: Options of a run that takes a fraction of a second a round; the same bytes everywhere.
TINY = [
    *("--sizes", "5:6", "--rounds", "2", "--workers", "1"),
    *("--seeding", "anneal", "--set", "seeding.count=40", "--set", "seeding.moves=3000"),
    *("--set", "train.steps=8", "--set", "train.evaluate_every=4", "--set", "sample.count=20"),
    *("--set", "search.moves=2000", "--set", "search.batches=0", "--set", "select.keep=50"),
    *("--set", "model.width=16", "--set", "model.heads=2", "--set", "model.layers=1"),
    *("--set", "compute.threads=1", "--set", "compute.device=cpu"),
]


#: Files whose tests take longest, the longest first. The second needs little compiled code, so that
#: two processes do not compile the same at the start.
LONG = (
    *("docs", "lab", "readme", "twins", "cli", "ray", "campaign", "own_rules", "exact"),
    *("objectives", "architecture", "rounds", "tabu", "contract", "portfolio", "fields"),
    *("plugins", "boxes"),
)


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The last line of stderr."""
        return (self.err.strip().splitlines() or [""])[-1]


def contents(run: Path) -> dict[str, str]:
    """Return a digest of every file whose bytes a run promises."""
    files = [p for part in ("rounds", "best") for p in (run / part).rglob("*") if p.is_file()]
    assert files
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def redo_manifest(run: Path, number: int) -> None:
    """Make a round's manifest fit its files, as an attacker or a tool might."""
    folder = run / "rounds" / f"{number:04d}"
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "manifest.json"]
    sums = {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }
    (folder / "manifest.json").write_text(json.dumps(sums))


def python_of(compiled: Any) -> Any:
    """Return the Python function that was compiled."""
    return compiled.py_func


def only_run(root: Path) -> Path:
    """Return the one run in a folder of runs."""
    (run,) = (p.parent for p in root.glob("*/run.json"))
    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the files that take longest begin first."""
    places = {f"test_{name}": i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call the command line in this process: ``cli("hist", run)``."""
    from pipeline.cli import main

    def call(*arguments: Any) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = stopped.value.code
        assert isinstance(code, int)
        return Outcome(code, out, err)

    return call


@pytest.fixture(scope="session")
def _played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline.cli import main

    root = tmp_path_factory.mktemp("played")
    with pytest.raises(SystemExit) as stopped:
        main(["run", "isosceles", "--n", "6", *TINY, "--runs", str(root)])
    assert stopped.value.code == 0
    return only_run(root)


@pytest.fixture
def played(_played: Path, tmp_path: Path) -> Path:
    """A copy of a run of isosceles at n=6 (and 5) with rounds 0, 1 and 2, in ``tmp_path/runs``."""
    return Path(shutil.copytree(_played, tmp_path / "runs" / _played.name))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Keep small nets on one thread: more only wait for each other on a busy machine.

    A module asks for it with ``pytestmark = pytest.mark.usefixtures("one_thread")``.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fresh_seed(record_property: Callable[[str, object], None]) -> int:
    """A new seed each time, shown with a failure; ATTACK_SEED in the environment repeats it."""
    seed = int(os.environ.get("ATTACK_SEED") or secrets.randbits(32))
    record_property("seed", seed)
    print(f"repeat with ATTACK_SEED={seed}")
    return seed
