"""What was made of a problem of one's own, in words: its symmetries, its forbidden sets."""

from collections.abc import Iterator

from pipeline.core.automorphisms import HOW_TO_FIND, can_find
from pipeline.core.symmetry import symmetry_classes
from pipeline.hypergraph_file import Hypergraph
from pipeline.problem import Problem


def notes(problem: Problem, n: int) -> Iterator[tuple[str, str]]:
    """Yield (what, note) at size n."""
    ground = problem.ground(n)
    names = ", ".join(cls.name for cls in symmetry_classes(ground)[1:])
    found = f"{len(ground.group)} found{f': {names}' * bool(names)}"
    if isinstance(problem, Hypergraph) and not can_find():
        found = HOW_TO_FIND
    yield "symmetries", found
    yield "forbidden", _forbidden(problem, n)


def _forbidden(problem: Problem, n: int) -> str:
    if isinstance(problem, Hypergraph):
        told = ", ".join(f"{len(p):,} of {p.shape[1]} elements" for p in problem.edges)
        return f"{told}, listed"
    derived = problem.derived
    assert derived is not None
    edges, why = derived.listed(problem, n), derived.why_plain
    compiled = f"plain Python, slow ({why})" if why else "compiled by numba"
    where = "tried one by one" if edges is None else f"{edges:,} forbidden sets, listed"
    return f"{compiled}; {where}"
