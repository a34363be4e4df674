"""Damaged and hostile files for every reader: a PipelineError or a value, and nothing else.

Each reader gets bytes that it accepts, and changes of them. While it reads, no process is
started, no socket made, and no file outside its folder is written; it has some seconds and some
memory for each. ATTACK_EXAMPLES sets how many changes the long part tries for each reader (5000);
it takes others each time, and ATTACK_SEED repeats those of a run that failed.
"""

import contextlib
import faulthandler
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from pipeline.config import config_from, read_toml
from pipeline.core import jit
from pipeline.errors import PipelineError
from pipeline.hypergraph_file import parse
from pipeline.plugins import load_problem
from pipeline.publish.certificates import certificate, verifier
from pipeline.storage.construction_files import Named, read_constructions, read_population
from pipeline.storage.files import parse_lines
from pipeline.storage.inputs import arrays
from pipeline.storage.round_files import best_of
from pipeline.storage.run import Run

EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "5000"))
#: What reading one file may take: seconds of CPU time, bytes more than are resident, and bytes of
#: address space more than there are (more is refused, and libraries reserve a lot).
SECONDS, MEMORY, ADDRESSES = 5.0, 2**29, 2**33
HANG = 600  # seconds after which the interpreter is ended where it does not come back from C


class Reader(NamedTuple):
    """What reads a file of that name, and where a valid one lies in a played run."""

    file: str
    read: Callable[[Path], Any]
    seed: Callable[[Path], bytes]


def judged(path: Path, problem: str = "isosceles") -> None:
    """Read constructions, as `verify --problem PROBLEM --n 6` does."""
    for one in read_constructions(path, Named(load_problem(problem), problem), 6):
        one.witness()
        one.score()


def graphs(path: Path) -> None:
    judged(path, "girth-5")


def model(path: Path) -> None:
    from pipeline.model.checkpoint import load_model

    load_model(path)


def optimizer(path: Path) -> None:
    from pipeline.model.checkpoint import load_optimizer

    load_optimizer(path)


def state(path: Path) -> None:
    from pipeline.lab.state import load

    load(path, "asked")


def a_state(played: Path) -> bytes:
    from pipeline.lab.state import State, save
    from pipeline.model.checkpoint import load_optimizer

    stream = np.random.default_rng(0).bit_generator.state
    moments = load_optimizer(next((played / "rounds" / "0002").rglob("optimizer.safetensors")))
    path = played.parent / "state.safetensors"
    save(path, State(3, 9, stream, [{"step": 2}], 1.0, 1.0, [0.5], {}, moments), "asked")
    return path.read_bytes()


def opened(path: Path) -> None:
    run = Run(path.parent)
    for number in run.rounds():
        run.stats(number)


def written(text: str) -> Callable[[Path], bytes]:
    return lambda _: text.encode()


def last(name: str) -> Callable[[Path], bytes]:
    def read(run: Path) -> bytes:
        (path,) = (run / "rounds" / "0002").rglob(name)
        return path.read_bytes()

    return read


def array(_: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.eye(6))
    return file.getvalue()


def checked(path: Path) -> None:
    """Read as verify.py does, which knows nothing of this program."""
    names: dict[str, Any] = {"__name__": "verify"}
    exec(verifier(load_problem("isosceles")), names)
    try:
        names["check"](path)
    except ValueError as error:
        raise PipelineError(str(error)) from error


def a_certificate(played: Path) -> bytes:
    problem, run = load_problem("isosceles"), Run(played)
    return certificate(problem, best_of(run, problem), {})


POINTS = {"problem": "isosceles", "n": 5, "points": [[0, 0], [0, 1], [3, 2]]}
READERS = {
    "a construction": Reader("one.json", judged, written(json.dumps(POINTS))),
    "constructions": Reader("many.json", judged, written(json.dumps([POINTS] * 3))),
    "CSV": Reader("points.csv", judged, written("row,column\n0,0\n0,1\n3,2\n")),
    "graph6": Reader("graphs.g6", graphs, written("DQc\nA_\n")),
    "a board": Reader("board.txt", judged, written("O O . .\n. . . .\n. . O .\n. . . .\n")),
    "a best construction": Reader(
        "best.json", judged, lambda run: (run / "best" / "n6.json").read_bytes()
    ),
    "a certificate": Reader("n006.json", checked, a_certificate),
    "Parquet": Reader("pool.parquet", read_population, last("n6.parquet")),
    "Parquet, constructions": Reader("pool.parquet", judged, last("n6.parquet")),
    "a model": Reader("model.safetensors", model, last("model.safetensors")),
    "an optimiser": Reader("optimizer.safetensors", optimizer, last("optimizer.safetensors")),
    "where a training stands": Reader("state.safetensors", state, a_state),
    "forbidden sets": Reader(
        "edges.txt",
        lambda path: parse(path.read_bytes(), str(path)),
        written("# elements 9\n0 1 3\n2,4 8 # four\n5 6\n"),
    ),
    "an array": Reader("field.npy", lambda path: arrays({"it": path.read_bytes()}), array),
    "a configuration": Reader(
        "config.toml",
        lambda path: config_from(read_toml(path), str(path)),
        lambda run: (run / "config.toml").read_bytes(),
    ),
    "events": Reader(
        "events.jsonl",
        lambda path: list(parse_lines(path.read_bytes())),
        lambda run: (run / "events.jsonl").read_bytes(),
    ),
    "run.json": Reader("run.json", opened, lambda run: (run / "run.json").read_bytes()),
    "a run's configuration": Reader(
        "config.toml", opened, lambda run: (run / "config.toml").read_bytes()
    ),
}

_WORDS = [
    *(b"", b"\0", b"\xff\xfe", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""'),
    *(b"9" * 30, b"9" * 5000, b"[" * 5000, b'{"a":' * 5000, b"../../x", b"/dev/null", b"\x1b[2J"),
    *(b"evil.py:Evil", b"2147483648", b"18446744073709551616", b"1e22", b"\n", b"\xf0\x9f"),
]


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[float, int, bytes]]:
    """Return places (as parts of the whole), how many bytes go there, and what comes instead."""
    one = st.tuples(
        st.floats(0, 1), st.integers(0, 40), st.sampled_from(_WORDS) | st.binary(max_size=8)
    )
    return draw(st.lists(one, min_size=1, max_size=4))


def changed(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for part, gone, word in edits:
        at = int(part * len(data))
        data = data[:at] + word + data[at + gone :]
    return data


_watched: list[Path] = []
#: What the test itself writes, and where output goes.
_OURS = (os.devnull, "/proc/self/clear_refs")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"):
        raise AssertionError(f"a reader caused {event} {arguments}")
    if event == "open" and isinstance(arguments[0], str):
        path, _, flags = arguments
        homes = (_watched[0], jit.folder().resolve())  # what is compiled at last is kept
        outside = not any(Path(path).resolve().is_relative_to(home) for home in homes)
        if flags & (os.O_WRONLY | os.O_RDWR) and outside and path not in _OURS:
            raise AssertionError(f"a reader wrote {path}")


sys.addaudithook(_hook)


def peak(anew: bool = False) -> int:
    """Return the most bytes this process has held, on Linux since it was asked ``anew``."""
    import resource

    with contextlib.suppress(OSError):
        if anew:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Bound the time and memory of what is done in this context, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return

    def late(*_: Any) -> None:
        raise AssertionError(f"a reader takes more than {SECONDS:.0f} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESSES, before[1]))
    most = peak(anew=True)
    handler = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    faulthandler.dump_traceback_later(HANG, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
    grown = peak() - most
    assert grown < MEMORY, f"a reader takes {grown >> 20} MiB"


def attack(name: str, played: Path, folder: Path, examples: int, chosen: int | None = None) -> None:
    """Try changes of a file: the same ones each time, or those of a seed."""
    reader, path = READERS[name], folder / READERS[name].file
    shutil.copytree(played, folder, dirs_exist_ok=True)
    whole = reader.seed(played)

    def survives(data: bytes) -> None:
        path.write_bytes(data)
        _watched.append(folder.resolve())
        try:
            with contextlib.suppress(PipelineError), bounded():
                reader.read(path)
        finally:
            _watched.clear()

    path.write_bytes(whole)
    reader.read(path)  # which also loads what it needs, and that counts for no one

    @settings(
        max_examples=examples,
        database=None,
        derandomize=chosen is None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        deadline=None,
    )
    @given(changes())
    def fuzz(edits: list[tuple[float, int, bytes]]) -> None:
        survives(changed(whole, edits))

    fuzz() if chosen is None else seed(chosen)(fuzz)()


@pytest.mark.parametrize("name", READERS)
def test_some_changes_of_a_file_are_refused_in_one_line(name, played, tmp_path, record_property):
    record_property("tried", 25)
    attack(name, played, tmp_path / "it", 25)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_any_change_of_a_file_is_refused_in_one_line(
    name, played, tmp_path, fresh_seed, record_property
):
    record_property("tried", EXAMPLES)
    attack(name, played, tmp_path / "it", EXAMPLES, fresh_seed)


def forever() -> None:
    while True:
        pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs limits as POSIX has them")
def test_a_reader_that_takes_too_long_or_too_much_is_found(monkeypatch):
    monkeypatch.setitem(globals(), "SECONDS", 0.05)
    monkeypatch.setitem(globals(), "MEMORY", 2**26)
    with pytest.raises(AssertionError, match="more than 0 s"), bounded():
        forever()
    monkeypatch.setitem(globals(), "SECONDS", 60.0)
    with pytest.raises(AssertionError, match="MiB"), bounded():
        np.ones(2**28, np.uint8).sum()
    if sys.platform == "linux":
        with pytest.raises(MemoryError), bounded():
            np.empty(2 * ADDRESSES, np.uint8)
