"""Loops nested as deep as the rules of a problem ask, as text: ``rule3`` takes three points.

``pipeline.core.jit`` keeps compiled code apart by this file too.
"""

from collections.abc import Sequence
from itertools import combinations


def _nested(depth: int, first: str, stop: str, indent: int) -> tuple[list[str], str]:
    """Return the lines of ``depth`` loops over ascending indices, and the indent inside."""
    lines, low = [], first
    for i in range(depth):
        lines.append(f"{' ' * indent}for i{i} in range({low}, {stop}):")
        indent, low = indent + 4, f"i{i} + 1"
    return lines, " " * indent


def find_text(k: int) -> str:
    """Return ``find``, which lists the sets with a given least element that a rule forbids."""
    loops, inside = _nested(k - 1, "first + 1", "m", 4)
    points = ", ".join(["coords[first]", *(f"coords[i{i}]" for i in range(k - 1))])
    row = ["first", *(f"i{i}" for i in range(k - 1))]
    return "\n".join(
        [
            "def find(first, coords, n, room):",
            "    m, count = len(coords), 0",
            *loops,
            f"{inside}if rule{k}({points}, n):",
            f"{inside}    if count < len(room):",
            *(f"{inside}        room[count, {j}] = {index}" for j, index in enumerate(row)),
            f"{inside}    count += 1",
            "    return count",
        ]
    )


def check_text(arities: Sequence[int]) -> str:
    """Return ``check``, which looks for a set that one of the rules forbids."""
    lines = ["def check(points, size, coords, n, witness):"]
    for k in arities:
        loops, inside = _nested(k, "0", "size", 4)
        points = ", ".join(f"coords[points[i{i}]]" for i in range(k))
        lines += [
            *loops,
            f"{inside}if rule{k}({points}, n):",
            *(f"{inside}    witness[{i}] = points[i{i}]" for i in range(k)),
            f"{inside}    return {k}",
        ]
    return "\n".join([*lines, "    return 0"])


#: ``check`` for each row of packed cells.
CHECK_MANY = """\
def check_many(cells, coords, n):
    ok = np.empty(len(cells), np.bool_)
    points = np.empty(len(coords), np.int32)
    witness = np.empty(16, np.int32)
    for i in range(len(cells)):
        size = row_points(cells[i], points)
        ok[i] = check(points, size, coords, n, witness) == 0
    return ok
"""


def hook_text(arities: Sequence[int], walks: bool) -> str:
    """Return the hook: look up what is listed, or try every set of v, members and one more."""
    lines = [
        "def block(v, members, size, inside, slot, counts, delta, coords, tables):",
        "    start, others, layout = tables[0], tables[1], tables[2]",
        "    for i in range(0, len(layout), 3):",
        "        given = (v, members, size, inside, slot, counts, delta)",
        "        block_listed(*given, start, others, layout[i + 1], layout[i])",
    ]
    if walks:
        lines += [
            "    if len(layout):",
            "        return",
            "    rows, n = coords.astype(np.int64), np.int64(tables[3][0])",
        ]
        for k in arities:
            lines += _walk_lines(k, [small for small in arities if small < k])
    return "\n".join(lines)


def _walk_lines(k: int, smaller: Sequence[int]) -> list[str]:
    """Return the lines that try one rule; sets that hold a smaller forbidden one do not count."""
    loops, inside = _nested(k - 2, "0", "size", 4)
    members = [f"members[i{i}]" for i in range(k - 2)]
    points = ["rows[v]", *(f"rows[{member}]" for member in members), "rows[u]"]
    rules = [f"rule{k}({', '.join(points)}, n)"]
    for j in smaller:
        rules += [f"not rule{j}({', '.join(part)}, n)" for part in combinations(points, j)]
    return [
        *loops,
        f"{inside}for u in range(len(rows)):",
        f"{inside}    if u == v{''.join(f' or u == {member}' for member in members)}:",
        f"{inside}        continue",
        f"{inside}    if {' and '.join(rules)}:",
        f"{inside}        counts[slot[u]] += delta",
    ]
