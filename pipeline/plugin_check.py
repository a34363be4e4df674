"""A plugin held against itself, before it is believed: in seconds, without pytest or an oracle.

The contract of ``pipeline.testing`` is run with the plugin's own checker as the oracle; where there
is a definition in plain Python, the checker is held against that. So hook, checker, symmetries and
definition must all say the same. Compiled code that leaves its arrays ends the process or worse,
and so everything runs in a process of its own, hook and checker first as plain Python, where an
index out of bounds is an error with a line.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from math import comb
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from pipeline.core import bitset, jit
from pipeline.errors import PipelineError, UsageError, VerificationError
from pipeline.hypergraph_file import Hypergraph
from pipeline.plugin_files import place_in_plugin
from pipeline.plugin_notes import CERTIFICATE, notes
from pipeline.plugins import digest_of, is_hypergraph, load_problem, problem_spec
from pipeline.problem import Problem, check_size

#: Small sets that are looked at, at all sizes together.
_FULL, _QUICK = 60_000, 3_000
_SIZES = 3
_SETS = 30
#: Elements, and random sets of them, that a rule which never or always holds is tried on again.
_MANY, _RANDOM = 60, 3_000
_BOUNDS = "bounds of the arrays"
_RULE = "forbidden"
#: What the process of its own may end with, by the exit code.
_KINDS = {kind.exit_code: kind for kind in (PipelineError, UsageError, VerificationError)}


class Check(NamedTuple):
    """One thing that was checked: what, at which sizes, what is wrong, if anything.

    Or a note, with the numbers in it.
    """

    what: str
    sizes: tuple[int, ...]
    wrong: str = ""
    note: str = ""
    numbers: Mapping[str, float] = MappingProxyType({})


def check_plugin(
    spec: str, convention: str | None = None, n: int | None = None, quick: bool = False
) -> Iterator[Check]:
    """Check a plugin in a process of its own; yield each check as it is done.

    Args:
        spec: as ``load_problem`` takes it.
        n: the size to check at, and to say the cost of; where it has too many small sets, the
            checks are at smaller ones. None for some small ones.
        quick: only what a first use asks for.
    """
    words = [problem_spec(spec), convention or "", "" if n is None else str(n), "1" * quick]
    # -P: the working directory is not on the path; assertions must not be optimised away.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONOPTIMIZE"}
    here = str(Path(__file__).resolve().parent.parent)
    program = (
        f"import sys; sys.path.insert(0, {here!r}); "
        "from pipeline.plugin_check import answer; answer()"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    at, ended = "loading", False
    try:
        assert process.stdout is not None
        for line in process.stdout:
            told = _object(line)
            if "at" in told:
                at = told["at"]
            elif "done" in told:
                ended = True
            elif "error" in told:
                raise _KINDS.get(told["code"], PipelineError)(told["error"])
            elif "what" in told:
                told["sizes"] = tuple(told["sizes"])
                yield Check(**{key: told[key] for key in Check._fields})
        _, rest = process.communicate()
    finally:
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
    if not ended:
        yield Check(at, (), _ending(process.returncode, rest))


def check_first_use(problem: Problem) -> None:
    """Check a plugin for a moment, unless these very files passed before.

    Raises:
        VerificationError: with what is wrong.
    """
    if not problem.plugin or is_hypergraph(problem.plugin):  # which holds no code
        return
    name, class_name = digest_of(problem), problem.plugin.rpartition(":")[2]
    passed = jit.folder() / "plugins" / f"{name}-{class_name}-{problem.convention}"
    if passed.is_file():
        return
    for found in check_plugin(problem.plugin, problem.convention, quick=True):
        if found.wrong:
            raise VerificationError(
                f"{problem.plugin}: {found.what}: {found.wrong} (all checks: pipeline check "
                f"{problem.plugin})"
            )
    with contextlib.suppress(OSError):  # without a cache it is checked again
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()


def _object(line: str) -> dict[str, Any]:
    """Return a line of the child's; what the plugin itself prints is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("pipeline") == 1 else {}


def _ending(code: int, rest: str) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            return f"the process died of {name}: compiled code reads or writes outside its arrays"
    last = [line for line in rest.splitlines() if line.strip()][-1:] or [f"exit code {code}"]
    return f"the process ended early: {last[0].strip()}"


# ------------------------------------------------------------------ in the process of its own


def answer() -> None:
    """Check the plugin that the command line names, and print what is found, a line each."""
    spec, convention, n, quick = sys.argv[1:5]
    try:
        problem = load_problem(spec, convention or None)
        for found in _checks(problem, int(n) if n else None, bool(quick)):
            _say(**found._asdict() | {"numbers": dict(found.numbers)})
    except PipelineError as error:
        _say(error=str(error), code=error.exit_code)
        return
    _say(done=True)


def _say(**told: Any) -> None:
    print(json.dumps({"pipeline": 1, **told}), flush=True)


def _checks(problem: Problem, n: int | None, quick: bool) -> Iterator[Check]:
    if isinstance(problem, Hypergraph):  # which holds no code to be checked
        yield from _notes(problem, problem.smallest if n is None else n)
        return
    if n is not None:
        at = max(n, problem.smallest)
        wrong = _wrong(lambda: problem.ground_size(at))
        if not wrong:
            check_size(problem, n)  # which is the fault of who named it
            wrong = _wrong(lambda: problem.ground(at))
        if wrong:
            yield Check(_RULE if problem.is_derived else "ground set", (at,), wrong)
            return
    sizes = _sizes(problem, n, _QUICK if quick else _FULL)
    for what, check in _list(problem, sizes, quick):
        _say(at=what)
        found = Check(what, sizes, _wrong(check))
        yield found
        if found.wrong and what in (_RULE, _BOUNDS):
            return  # compiled, it would write anywhere, or all else is wrong too
    if not quick:
        _say(at="speed")
        yield from _notes(problem, sizes[-1] if n is None else n)


def _notes(problem: Problem, n: int) -> Iterator[Check]:
    for one in notes(problem, n):
        sizes = () if one.what == CERTIFICATE else (n,)
        yield Check(one.what, sizes, "", one.text, one.numbers)


def _wrong(check: Callable[[], object]) -> str:
    """Return what a check finds wrong; empty for nothing."""
    try:
        check()
    except AssertionError as error:
        return str(error)
    except PipelineError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = place_in_plugin("".join(traceback.format_exception(error)))
        where = place or f"{Path(last.filename).name}, line {last.lineno}"
        if isinstance(error, ValueError):
            return f"{error} ({place})" if place else str(error)
        return f"{type(error).__name__}: {error} ({where})"
    return ""


def _list(
    problem: Problem, sizes: tuple[int, ...], quick: bool
) -> Iterator[tuple[str, Callable[[], None]]]:
    from pipeline.testing import ProblemContract  # which compiles

    class Own(ProblemContract):
        def is_valid(self, n: int, points: list[tuple[int, ...]]) -> bool:
            return problem.witness(np.array([_index(problem, n)[p] for p in points]), n) is None

        def expected_score(self, n: int, points: list[tuple[int, ...]]) -> int:
            chosen = np.array([_index(problem, n)[p] for p in points], np.int64)
            return int(problem.evaluate(bitset.from_points([chosen], problem.ground_size(n)), n)[0])

    Own.problem, Own.sizes = lambda *_: problem, sizes  # type: ignore[assignment]
    own = Own()
    if problem.is_derived:
        yield _RULE, lambda: _rule(problem, sizes)
    yield "ground set", own.test_ground_set_is_sound
    yield "tables", lambda: _tables(problem, sizes)
    if not problem.is_derived:
        yield _BOUNDS, lambda: _bounds(problem, sizes)
    if problem.definition is not None:
        yield "checker against definition", lambda: _definition(problem, sizes)
    yield "hook against checker", own.test_hook_counts_match_the_oracle
    yield "arity", own.test_arity_is_the_size_of_the_largest_forbidden_configuration
    yield "symmetries", own.test_group_maps_forbidden_to_forbidden
    yield "witness", own.test_witness_shows_a_violation_inside_the_set
    yield "score", own.test_scores_are_those_of_the_points
    if quick:
        return
    yield "checker, many at once", own.test_validator_agrees_with_the_oracle
    yield "proved values", own.test_proved_values_are_not_exceeded
    yield "greedy sets", own.test_greedy_sets_are_valid_and_maximal
    yield "repair", own.test_repaired_sets_are_valid_subsets
    yield "tokens", own.test_encoders_read_back_what_they_wrote


def _index(problem: Problem, n: int) -> dict[tuple[int, ...], int]:
    coords = problem.ground(n).coords
    found = _indices.get((id(problem), n))
    if found is None:
        found = {tuple(row): v for v, row in enumerate(coords.tolist())}
        _indices[id(problem), n] = found
    return found


_indices: dict[tuple[int, int], dict[tuple[int, ...], int]] = {}


def _sizes(problem: Problem, n: int | None, most: int) -> tuple[int, ...]:
    """Return the largest few sizes whose small sets can all be looked at."""

    def small_sets(n: int) -> int:
        return sum(comb(problem.ground_size(n), k) for k in range(problem.arity + 1))

    if n is not None and small_sets(n) <= 200_000:
        return (n,)
    found = [problem.smallest]
    while small_sets(found[-1] + 1) <= most // _SIZES and len(found) < 40:
        found.append(found[-1] + 1)
    return tuple(dict.fromkeys([found[0], *found[-_SIZES + 1 :]]))


def _rule(problem: Problem, sizes: tuple[int, ...]) -> None:
    """Try the author's ``forbidden`` on all small sets: it must tell some from others."""
    derived = problem.derived
    assert derived is not None
    tried = held = 0
    for n in sizes:
        derived.try_some(problem, n)
        edges = derived.forbidden_sets(problem, n)
        derived.try_edges(problem, n, edges)
        tried += sum(comb(problem.ground_size(n), rule.arity) for rule in derived.rules)
        held += sum(map(len, edges))
    if tried > 1 and held in (0, tried):  # so it may be where n is tiny
        n = sizes[-1]
        while problem.ground_size(n) < _MANY and n < sizes[-1] + _MANY:
            n += 1
        m, rng = problem.ground_size(n), np.random.default_rng(0)
        for rule in derived.rules:
            random = [rng.choice(m, rule.arity, replace=False) for _ in range(_RANDOM)]
            tried += _RANDOM
            held += int(derived.holds(problem, rule, np.sort(random), n).sum())
        assert 0 < held < tried, (
            f"it holds for {'all' if held else 'none'} of {tried:,} sets of {problem.arity} "
            f"elements at n = {', '.join(map(str, [*sizes, n]))}"
        )


def _tables(problem: Problem, sizes: tuple[int, ...]) -> None:
    for n in sizes:
        one, two = problem.hook_tables(n), problem.hook_tables(n)
        same = all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        assert same, f"n={n}: tables() gives other numbers the second time"


def _definition(problem: Problem, sizes: tuple[int, ...]) -> None:
    """Hold the checker against the definition, on sets of ``arity`` elements and larger ones."""
    definition = problem.definition
    assert definition is not None
    for n in sizes:
        points = [tuple(row) for row in problem.ground(n).coords.tolist()]
        outside = next((p for p in points if not definition.inside(p, n)), None)
        assert outside is None, f"n={n}: the definition leaves out the element {outside}"
        chosen = list(combinations(range(len(points)), problem.arity))
        if not chosen:
            continue
        cells = bitset.from_points([np.array(c) for c in chosen], len(points))
        valid = problem.is_allowed(cells, n)
        for several, said in zip(chosen, valid, strict=True):
            named = [points[v] for v in several]
            bad = bool(definition.forbidden(named, problem.convention))
            # Fewer of them may be forbidden already, which a definition need not tell.
            assert bad != said or not (bad or _least(problem, n, several)), (
                f"n={n}: the definition says {named} may {'not ' * bad}be together, the checker "
                f"that they may{' not' * (not said)}"
            )


def _least(problem: Problem, n: int, several: tuple[int, ...]) -> bool:
    """Tell whether a set is forbidden and no smaller one in it is."""
    parts = (several[:i] + several[i + 1 :] for i in range(len(several)))
    return all(problem.witness(np.array(part), n) is None for part in parts)


class _Watched(np.ndarray):
    """An array whose numbers are Python's, as wide as compiled code's are, and never wrap."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return found if isinstance(found, np.ndarray) else found.item()


def _bounds(problem: Problem, sizes: tuple[int, ...]) -> None:
    """Run hook and checker as plain Python on random sets: arrays are guarded there."""
    hook = jit.plain(problem.hook.py_func)
    check = jit.plain(problem.checker.py_func)
    rng = np.random.default_rng(1)
    for n in sizes:
        coords = _watched(problem.ground(n).coords)
        m = len(coords)
        tables = tuple(_watched(t) for t in problem.hook_tables(n))
        for _ in range(_SETS):
            order = rng.permutation(m).astype(np.int32)
            size = int(rng.integers(min(m, 12)))
            inside = np.zeros(m, np.uint8)
            inside[order[:size]] = 1
            slot = np.arange(m + 1, dtype=np.int32)
            counts = np.zeros(m + 1, np.int32)
            given = [_watched(a) for a in (order, inside, slot, counts)]
            v, delta = int(order[size]), 1
            _guarded("hook", hook, v, given[0], size, *given[1:], delta, coords, tables)
            points = _watched(np.concatenate([np.sort(order[:size]), order[size:]]))
            witness = _watched(np.zeros(16, np.int32))
            _guarded("checker", check, points, size, coords, witness)


def _watched(array: np.ndarray) -> np.ndarray:
    return array.copy().view(_Watched)


def _guarded(what: str, function: Callable[..., Any], *given: Any) -> None:
    try:
        function(*given)
    except IndexError as error:
        frames = traceback.extract_tb(error.__traceback__)
        at = [frame for frame in frames if frame.filename != __file__][-1]
        raise AssertionError(
            f"{Path(at.filename).name}, line {at.lineno}: the {what} leaves an array: {error}"
        ) from error
    except Exception:  # noqa: BLE001 - what numba knows and Python does not is none of our business
        return
