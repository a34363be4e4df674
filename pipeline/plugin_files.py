"""Running a plugin's file: its neighbours can be imported, and nothing of ours is shadowed."""

import contextlib
import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from pipeline.errors import PipelineError

_PREFIX = "pipeline_plugin_"
#: The files that each plugin's file imported from its folder, by the path of the plugin's.
_neighbours: dict[Path, dict[str, Path]] = {}
#: The file that is being run, if any, and the modules that were there before.
_loading: list[tuple[Path, set[str]]] = []
_OURS = ("pipeline", "problems")


def run_file(file: Path) -> ModuleType:
    """Run a plugin's file, once in a process, and return its module.

    Its folder is on the path meanwhile, at the end: what is installed goes before a neighbour.

    Raises:
        ImportError: the file is no Python file.
        Exception: whatever the file raises.
    """
    file = file.resolve()
    name = f"{_PREFIX}{file.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _with_neighbours(file):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def sources(file: Path) -> dict[str, bytes]:
    """Return a plugin's file, and what it imported of its folder, by paths from that folder.

    Raises:
        OSError: one cannot be read.
    """
    file = file.resolve()
    files = {file.name: file, **_neighbours.get(file, {})}
    return {name: path.read_bytes() for name, path in sorted(files.items())}


def digest(files: dict[str, bytes]) -> str:
    """Return the SHA-256 of a plugin's files, wherever they lie."""
    found = hashlib.sha256()
    for name, data in sorted(files.items()):
        found.update(f"{name}\0{len(data)}\0".encode())
        found.update(data)
    return found.hexdigest()


def has_neighbours() -> bool:
    """Tell whether the file that is being run has imported another of its folder.

    Compiled code is stamped by one file, and would not notice a change of the other.
    """
    return bool(_loading) and bool(_imported(*_loading[-1]))


def place_in_plugin(trace: str) -> str:
    """Return the file, line and function of a plugin that an error came out of, "" if none did.

    Args:
        trace: the traceback as text, since an error of a worker process has no frames here.
    """
    modules = list(sys.modules.items())
    plugins = {getattr(m, "__file__", None) for name, m in modules if name.startswith(_PREFIX)}
    frames = re.findall(r'^ *File "(.+)", line (\d+), in (\S+)', trace, re.MULTILINE)
    for file, line, function in reversed(frames):
        if file in plugins:
            return f"{file}, line {line}, in {function}"
    return ""


@contextlib.contextmanager
def _with_neighbours(file: Path) -> Iterator[None]:
    folder = file.parent
    for name, path in [item for found in _neighbours.values() for item in found.items()]:
        module = _module_name(name)
        top = module.partition(".")[0]
        here = (folder / f"{top}.py").is_file() or (folder / top).is_dir()
        if here and getattr(sys.modules.get(module), "__file__", None) == str(path):
            del sys.modules[module]  # an earlier plugin's; this one has its own
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    _loading.append((file, set(sys.modules)))
    try:
        yield
        _neighbours[file] = _imported(*_loading[-1])
    finally:
        _loading.pop()
        with contextlib.suppress(ValueError):
            sys.path.reverse()
            sys.path.remove(str(folder))  # the last one, which is ours
        sys.path.reverse()


def _imported(plugin: Path, before: set[str]) -> dict[str, Path]:
    """Return the files of a plugin's folder that new modules were made of, by their paths there."""
    found, folder = {}, plugin.parent
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        ours = name in before or name.partition(".")[0] in _OURS or name.startswith(_PREFIX)
        if ours or not isinstance(file, str):
            continue
        path = folder.joinpath(*name.split("."))
        if Path(file) in (path.with_suffix(".py"), path / "__init__.py"):
            found[Path(file).relative_to(folder).as_posix()] = Path(file)
    return found


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def one_line(error: BaseException) -> str:
    """Return what a plugin's error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if type(error).__module__.startswith("numba.") and len(lines) > 1:
        # The first line only says that numba gave up: what it met, and where, come later.
        where = [line.rstrip(":") for line in lines if line.startswith('File "')]
        what = lines[1:3] if lines[1].endswith(":") else lines[1:2]
        lines = [" ".join(what + [f"({place})" for place in where[-1:]])]
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


@contextlib.contextmanager
def plugin_errors(what: str) -> Iterator[None]:
    """Make one line of what a plugin's own Python raises."""
    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except Exception as error:
        told = str(error) if isinstance(error, ValueError) else one_line(error)
        place = place_in_plugin("".join(traceback.format_exception(error)))
        at = f" ({place})" if place else ""
        raise PipelineError(f"{what}: {told}{at}") from error
