"""How large a group of found symmetries pays: its classes, and what canonical forms cost.

python benchmarks/found_symmetries.py MOST PROBLEM N
"""

import sys
import time

import numpy as np

from pipeline import found_symmetries
from pipeline.core import kept_arrays
from pipeline.core.bitset import pack
from pipeline.core.ground_set import close_group
from pipeline.core.symmetry import canonical, symmetry_classes
from pipeline.engine.space import usable_classes
from pipeline.plugins import load_problem

_SETS = 2_000


def main(most: int, spec: str, n: int) -> None:
    """Print a row of the table, for groups of at most so many elements."""
    kept_arrays.kept = lambda _key, make: make()
    found_symmetries.most_listed = lambda _m: most
    found_symmetries.close_group = lambda rows, limit=most: close_group(rows, limit)
    began, problem = time.process_time(), load_problem(spec)
    ground = problem.ground(n)
    classes, usable = symmetry_classes(ground), usable_classes(problem, n)
    made = time.process_time() - began
    cells = pack(np.random.default_rng(0).random((_SETS, ground.m)) < 0.25)
    canonical(cells[:1], ground)  # which compiles
    began = time.process_time()
    canonical(cells, ground)
    forms = time.process_time() - began
    row = (problem.name, n, most, len(ground.group), len(classes), len(usable))
    print(*row, f"{made:.1f}", f"{forms:.2f}", sep=" | ")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
