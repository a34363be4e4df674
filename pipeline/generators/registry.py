"""Generators by name, and a user's own from a file that the user named."""

import inspect
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from pipeline.config import GENERATORS, Config
from pipeline.errors import PipelineError, UsageError, nearest
from pipeline.generators.base import Generator
from pipeline.generators.simple import Nothing, Perturb, Restart
from pipeline.plugin_files import run_file

_SIMPLE = {"perturb": Perturb, "restart": Restart, "none": Nothing}
#: In place of a file where the class has none, as in a notebook: only Python can go on with it.
NO_FILE = "python.py"


def make_generator(config: Config, mask: np.ndarray | None = None) -> Generator:
    """Return the generator that a configuration asks for; torch is loaded for a model alone.

    Args:
        mask: bool ``(m,)``, the elements that may be used at size n; None for all.

    Raises:
        UsageError: there is none of that name, or its file has no such class.
        PipelineError: its file cannot be imported.
    """
    name = config.generator
    if name in _SIMPLE:
        return _SIMPLE[name]()
    if name == "vision":
        from pipeline.generators.vision import VisionGenerator

        return VisionGenerator(mask)
    if name == "policy":
        from pipeline.generators.policy import PolicyGenerator

        return PolicyGenerator(mask)
    if name == "gpt":
        from pipeline.generators.gpt import GPTGenerator

        return GPTGenerator()
    return make_own(name)


def make_own(spec: str) -> Generator:
    """Return a generator of the class that a user named.

    Raises:
        UsageError: as ``load_generator``, or its ``__init__`` asks for arguments.
        PipelineError: the file cannot be imported.
    """
    return _made(load_generator(spec), spec)


def _made(kind: type[Generator], name: str) -> Generator:
    try:
        inspect.signature(kind).bind()
    except TypeError as error:
        raise UsageError(
            f"{name} is made without arguments, and its __init__ asks for some ({error}); give "
            "them defaults"
        ) from error
    return kind()


def is_own(name: str) -> bool:
    """Tell whether a generator is a user's own, from a file."""
    return name not in GENERATORS


def generator_spec(name: str) -> str:
    """Return what names a generator from any working directory (paths made absolute).

    A file that is typed without a class is loaded, to see which it has.
    """
    if name.endswith(".py"):
        return f"{Path(name).resolve()}:{load_generator(name).__name__}"
    if not is_own(name) or ":" not in name:
        return name
    path, _, attribute = name.rpartition(":")
    return f"{Path(path).resolve()}:{attribute}"


def generator_typed(name: str, given: Any, where: str) -> None:
    """See that a generator from a file was named by a person: data never loads code.

    Args:
        name: what the run's configuration calls it.
        given: what the person gave as the generator; None for nothing.
        where: the run, for an error.

    Raises:
        UsageError: the run's generator is a user's own, and none or another was named.
    """
    if given is None and is_own(name):
        raise UsageError(
            f"{where} was run with the generator {name}; data never loads code: if you trust "
            f"that file, add --generator {name} (in Python: generator=...)"
        )
    if (
        isinstance(given, str)
        and generator_spec(given).rpartition(":")[2] != (name.rpartition(":")[2])
    ):
        raise UsageError(f"{where} was run with the generator {name}, not with {given}")


def load_generator(spec: str) -> type[Generator]:
    """Return the class that ``path/to/file.py:CLASS`` names, or the one of a file. The file is run.

    Raises:
        UsageError: no such file or class, or a class that is no Generator or lacks ``ask``.
        PipelineError: the file cannot be imported.
    """
    path, _, attribute = (spec, "", "") if spec.endswith(".py") else spec.rpartition(":")
    if not path or not path.endswith(".py"):
        raise UsageError(
            f"unknown generator {spec!r}{nearest(spec, GENERATORS)}; one of your own is named "
            "FILE.py or FILE.py:CLASS"
        )
    if attribute and path == NO_FILE and not Path(path).is_file():
        raise UsageError(
            f"the generator {attribute} was defined in a session of Python; go on from there, with "
            f"pipeline.run(store=pipeline.open_run(...), generator={attribute})"
        )
    if not Path(path).is_file():
        raise UsageError(f"no such file: {path}")
    try:
        module = run_file(Path(path))
    except (Exception, SystemExit) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise PipelineError(
            f"{path} cannot be imported: {type(error).__name__}: {reason}"
        ) from error
    if not attribute:
        kinds = [kind for kind in vars(module).values() if _is_generator(kind)]
        here = [kind for kind in kinds if kind.__module__ == module.__name__]
        if len(here) != 1:
            names = ", ".join(kind.__name__ for kind in here) or "none"
            raise UsageError(
                f"{path} must have one class of a generator, or name it; it has {names}"
            )
        return here[0]
    found = getattr(module, attribute, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if _is_generator(value)]
        raise UsageError(f"{path} has no {attribute!r}{nearest(attribute, classes)}")
    if not _is_generator(found):
        raise UsageError(f"{spec} must be a subclass of pipeline.Generator that has ask")
    return found


def generator_of(given: Any) -> Generator | None:
    """Return the generator that a caller of Python gave; None for a name or nothing.

    Raises:
        UsageError: it is no Generator.
    """
    if given is None or isinstance(given, str):
        return None
    made = _made(given, given.__name__) if _is_generator(given) else given
    if not isinstance(made, Generator):
        raise UsageError(
            f"generator must be a name, FILE.py:CLASS or a pipeline.Generator, got {given!r}"
        )
    return made


def name_of(given: object) -> str:
    """Return what a run's configuration calls a generator, or its class, that Python code gave."""
    cls = given if isinstance(given, type) else type(given)
    try:
        file = inspect.getfile(cls)
    except (TypeError, OSError):
        file = NO_FILE
    path = Path(file)
    named = f"{path.resolve()}" if path.suffix == ".py" and path.is_file() else NO_FILE
    return f"{named}:{cls.__name__}"


def _is_generator(value: Any) -> TypeGuard[type[Generator]]:
    return inspect.isclass(value) and issubclass(value, Generator) and not inspect.isabstract(value)
