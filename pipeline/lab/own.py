"""A rule of the user's own: a Python file with a generator and a check.

    lengths = 20, 30

    def generate(rng):          # a numpy Generator; one string that obeys the rule
        n = rng.integers(20, 31)
        half = "".join(rng.choice(["0", "1"], size=n // 2))
        return half + half[::-1]

    def check(s):               # whether a string obeys the rule
        return s == s[::-1]

``alphabet`` ("01" by default) names the characters; ``title`` says what the rule is.
"""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import PipelineError, UsageError
from pipeline.lab.task import END, Budget, Rng, Task, lengths

_TRIED = 1000  # strings drawn to see whether the file holds what it says
_POOL = 20_000  # strings that fresh ones are drawn from: a Python function is slow


@dataclass
class Own(Task):
    """Strings that a user's functions make and check."""

    path: str = ""
    shortest: int = 0
    make: Callable[[Rng], str] = str
    obeys: Callable[[str], bool] = bool

    def generate(self, count: int, rng: Rng) -> np.ndarray:
        texts = []
        for _ in range(count):
            text = self._call("generate", self.make, rng)
            if not isinstance(text, str):
                raise UsageError(f"{self.path}: generate returned {text!r}; return a string")
            if not self.shortest <= len(text) <= self.longest:
                raise UsageError(
                    f"{self.path}: generate returned {text!r} of length {len(text)}, outside "
                    f"lengths = {self.shortest}, {self.longest}"
                )
            unknown = set(text) - set(self.alphabet)
            if unknown:
                raise UsageError(
                    f"{self.path}: generate returned {text!r}, whose {min(unknown)!r} is not in "
                    f"alphabet = {''.join(self.alphabet)!r}"
                )
            texts.append(text)
        return self.read(texts)

    def split(self, count: int, rng: Rng) -> tuple[np.ndarray | None, np.ndarray]:
        return self.generate(count or _POOL, rng), self.generate(_TRIED, rng)

    def check(self, strings: np.ndarray) -> np.ndarray:
        return np.array([bool(self._call("check", self.obeys, t)) for t in self.write(strings)])

    def fitting(self, strings: np.ndarray) -> np.ndarray:
        long = lengths(strings)
        return (long >= self.shortest) & (long <= self.longest)

    def _call(self, name: str, function: Callable[[Any], Any], value: Any) -> Any:
        try:
            return function(value)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            shown = f"({value!r})" if isinstance(value, str) else ""
            raise PipelineError(f"{self.path}: {name}{shown} failed, {reason}") from error


def load(path: Path) -> Own:
    """Read a user's file as a task, and try it.

    Raises:
        UsageError: no such file, or it lacks something, or its strings are not what it says.
        PipelineError: it cannot be run, or one of its functions fails.
    """
    module = _run(path)
    for name in ("generate", "check"):
        if not callable(getattr(module, name, None)):
            raise UsageError(f"{path}: define {name}{'(rng)' if name == 'generate' else '(s)'}")
    alphabet = getattr(module, "alphabet", "01")
    if not isinstance(alphabet, str) or not 1 <= len(set(alphabet)) == len(alphabet) <= 200:
        raise UsageError(f"{path}: alphabet = {alphabet!r}; write the characters once, as '01'")
    bounds = getattr(module, "lengths", None)
    try:
        low, high = map(int, bounds)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        low, high = 0, -1
    if not 1 <= low <= high <= 4096:
        raise UsageError(f"{path}: say lengths = shortest, longest, as in lengths = 20, 30")
    task = Own(
        re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "rule",
        str(getattr(module, "title", f"the rule of {path.name}")),
        "-",
        (*alphabet,),
        high,
        budget=Budget(steps=1200),
        path=str(path),
        shortest=low,
        make=module.generate,
        obeys=module.check,
    )
    rng = np.random.default_rng(0)
    tried = task.generate(_TRIED, rng)
    wrong = ~task.check(tried)
    if wrong.any():
        text = task.write(tried[wrong][:1])[0]
        raise UsageError(f"{path}: generate returned {text!r}, which check refuses")
    # Chance: random characters on the same lengths.
    noise = rng.integers(len(alphabet), size=tried.shape).astype(np.uint8)
    noise[tried == END] = END
    task.chance = float(task.check(noise).mean())
    return task


def _run(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(f"pipeline_lab_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise PipelineError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PipelineError(f"{path} cannot be run: {reason}") from error
    return module
