"""pipeline solve --all: every largest set there is, counted up to symmetry."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pipeline.cli.count import census_table
from pipeline.core.bitset import width
from pipeline.core.symmetry import stabiliser_orders
from pipeline.engine.equivalence_classes import equivalence_classes
from pipeline.errors import PipelineError
from pipeline.storage.construction_files import as_json

_LINE_EVERY = 10.0  # seconds between lines about how far it is


def every(
    plugin: Any, question: Any, seconds: float, prove: Callable[[float], Any], out: Any
) -> tuple[dict[str, Any], np.ndarray]:
    """Find all largest sets, and return what there is to say of them and their packed cells.

    Args:
        seconds: stop after so many.
        prove: finds the largest size in so many seconds, where no quotas tell it.
        out: the console for progress.

    Raises:
        PipelineError: the largest size was not found in time.
    """
    began, interrupted = time.monotonic(), False
    ground = plugin.ground(question.n)
    parts, nodes, complete = [np.zeros((0, width(ground.m)), np.uint8)], 0, False
    size, pieces, method = _pieces(plugin, question, lambda: prove(seconds))
    said = time.monotonic()
    try:
        for cells, nodes, complete in pieces:
            parts.append(cells)
            now = time.monotonic()
            if now - said > _LINE_EVERY and not complete:
                said = now
                out.print(f"{sum(map(len, parts)):,} sets so far, {nodes:,} nodes")
            if now - began > seconds:
                break
    except KeyboardInterrupt:
        interrupted = True
    cells = np.concatenate(parts)
    check_cells(plugin, cells, question.n, size)
    found = {
        "problem": question.problem,
        "convention": plugin.convention,
        "n": question.n,
        "symmetry": question.symmetry,
        "size": size,
        **equivalence_classes(cells, ground).as_json(),
        "complete": bool(complete),
        "method": method,
        "nodes": int(nodes),
        "seconds": round(time.monotonic() - began, 3),
        "interrupted": interrupted,
    }
    return found, cells


def _pieces(
    plugin: Any, question: Any, prove: Callable[[], Any]
) -> tuple[int, Iterator[tuple[np.ndarray, int, bool]], str]:
    """Return the largest size, the sets of that size piece by piece, and how they are found."""
    by_size = plugin.objective == "size" and plugin.arity <= 3
    quotas = plugin.degree_constraints(question.n) if by_size else None
    if quotas is not None:
        from pipeline.engine.exact_cover import sweep

        found = sweep(plugin, question.n, question.symmetry)
        pieces = ((piece.cells, piece.nodes, piece.complete) for piece in found)
        return quotas.size, pieces, "search by quotas"
    from pipeline.engine.exact import every

    answer = prove()
    if answer.interrupted:
        raise KeyboardInterrupt
    if not answer.proved:
        raise PipelineError(
            f"--all needs the largest size, which is between {answer.lower} and {answer.upper} "
            f"after {answer.seconds:.0f} s; give it more --time, or take a smaller n"
        )
    return answer.lower, every(question, answer.lower), "exhaustive search"


def check_cells(plugin: Any, cells: np.ndarray, n: int, size: int) -> None:
    """Check sets from their raw cells.

    Raises:
        PipelineError: one is not valid, or has another score.
    """
    if not (plugin.validate(cells, n).all() and (plugin.evaluate(cells, n) == size).all()):
        raise PipelineError(
            f"the hook and the checker of {plugin.name} contradict each other; run its "
            "ProblemContract"
        )


def rows_of(plugin: Any, spec: str, n: int, cells: np.ndarray) -> list[dict[str, Any]]:
    """Return sets as ``verify`` reads them, each with the order of its stabiliser."""
    orders = stabiliser_orders(cells, plugin.ground(n)).tolist()
    sets = (as_json(plugin, spec, n, row) for row in cells)
    return [one | {"stabiliser": order} for one, order in zip(sets, orders, strict=True)]


def print_every(plugin: Any, found: dict[str, Any], out: Any) -> None:
    """Print how many there are, up to symmetry too, and with which stabilisers."""
    among = "" if found["symmetry"] == "trivial" else f" with the symmetry {found['symmetry']}"
    convention = "" if len(plugin.conventions) == 1 else f" ({plugin.convention})"
    many = f"{found['constructions']:,} sets of {plugin.score_text(found['size'])}{among}"
    up_to = f"{found['inequivalent']:,} up to {plugin.ground(found['n']).up_to}"
    if not found["complete"]:
        how = "at Ctrl-C" if found["interrupted"] else "when the time was up"
        many, up_to = f"at least {many}", f"{up_to} so far; stopped {how}"
    out.say(f"{plugin.name}{convention}, n={found['n']}: {many}, {up_to}")
    if found["complete"]:
        cost = f"{found['nodes']:,} nodes, {found['seconds']:.1f} s"
        out.print(f"this is all of them, by {found['method']} ({cost}); each verified")
    if found["constructions"]:
        out.print()
        out.print(census_table(found))
