"""Steps per second of the two search kernels, against rough C++ programs where they are at hand.

    python benchmarks/py [--against FOLDER]

One core. "tabu" is the fixed-size tabu of isosceles on the pair tables of both mirrors, without a
field, begun a little below the best size; "cover" the search by quotas of no-3-in-line on quarter
turns (odd n: but half turns on the diagonals). FOLDER holds tabu_isosceles.cpp and
dfs_no_3_in_line.cpp, which g++ -O3 -march=native compiles; each figure is the median of rounds in
which ours and theirs take turns.
"""

import argparse
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from pipeline.core.symmetry import find_class
from pipeline.engine.exact_cover import cover
from pipeline.engine.pair_tables import with_tables
from pipeline.engine.space import make_space
from pipeline.engine.state import new_state
from pipeline.engine.tabu import Tabu, tabu
from pipeline.plugins import load_problem

ROUNDS, SECONDS = 5, 2
#: Isosceles: n and the size a tabu search begins at.
SIZES = {27: 40, 32: 48, 48: 72, 64: 92}
#: No-3-in-line: n and the symmetry.
QUOTAS = {36: "quarter-turn", 42: "quarter-turn", 41: "quarter-turn/both-diagonals"}
_NO_TARGET = 2**62


def tabu_rate(n: int, goal: int) -> Callable[[int], float]:
    """Return what measures tabu steps per second, given an rng seed."""
    problem = load_problem("isosceles")
    cls = find_class(problem.ground(n), "both-mirrors")
    space = make_space(problem, n, cls, traps=False)
    sizes = np.diff(space.start).astype(np.int32)
    tables = with_tables(space, problem.arity, 1 << 30)
    assert tables is not None
    field = np.zeros(len(sizes), np.int32)
    found = np.zeros((64, (len(sizes) + 7) // 8), np.uint8)

    def once(seed: int, steps: int = 200_000) -> float:
        rng, made, began = np.array([seed], np.uint64), 0, time.process_time()
        while time.process_time() - began < SECONDS:
            how = Tabu(goal=goal, stop=_NO_TARGET, steps=steps)
            made += tabu(tables, new_state(tables), rng, sizes, field, how, found)[2]
        return made / (time.process_time() - began)

    once(0, 1)
    return once


def cover_rate(n: int, symmetry: str) -> Callable[[int], float]:
    """Return what measures nodes per second of the search by quotas, given an rng seed."""
    problem = load_problem("no-3-in-line")

    def once(seed: int, nodes: int = 2_000_000) -> float:
        rng, made, began = np.array([seed], np.uint64), 0, time.process_time()
        while time.process_time() - began < SECONDS:
            how = {"nodes": nodes, "cap": 100_000, "rng": rng}
            made += cover(problem, n, symmetry, **how, most=1000).nodes
        return made / (time.process_time() - began)

    once(0, 1000)
    return once


def compiled(source: Path, folder: str) -> str:
    """Compile a C++ program and return its path."""
    program = str(Path(folder) / source.stem)
    subprocess.run(["g++", "-O3", "-march=native", "-o", program, str(source)], check=True)
    return program


def theirs(program: str, *arguments: object) -> float:
    """Return the steps per second that a program prints, as 612k/s or 1.25M/s."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "out").mkdir()  # where they leave what they find
        words = [program, *map(str, arguments)]
        said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=folder).stdout
    rate, unit = re.findall(r"([\d.]+)([kM])/s", said)[-1]
    return float(rate) * {"k": 1e3, "M": 1e6}[unit]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path, help="the folder of the C++ programs")
    against = parser.parse_args().against
    print("| kernel | n | ours, million/s | C++, million/s | C++ / ours |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        if against:
            for name in ("tabu_isosceles", "dfs_no_3_in_line"):
                programs[name] = compiled(against / f"{name}.cpp", folder)
        rows: list[tuple[str, int, Callable[[int], float], tuple[str, tuple[object, ...]]]] = []
        for n, goal in SIZES.items():
            more = (n, "mirrors2", SECONDS)
            rows.append(("tabu", n, tabu_rate(n, goal), ("tabu_isosceles", (*more, goal, 9999))))
        for n, symmetry in QUOTAS.items():
            more = (n, SECONDS, 100_000)
            rows.append(("cover", n, cover_rate(n, symmetry), ("dfs_no_3_in_line", more)))
        for kernel, n, ours, (name, words) in rows:
            pairs = []
            for seed in range(1, ROUNDS + 1):
                mine, cpp = ours(seed), float("nan")
                if programs and kernel == "tabu":
                    size, cls, seconds, *rest = words
                    cpp = theirs(
                        programs[name],
                        size,
                        cls,
                        seconds,
                        seed,
                        *rest,
                    )
                elif programs:
                    size, seconds, cap = words
                    cpp = theirs(programs[name], size, seed, seconds, cap, 5)
                pairs.append((mine, cpp))
            mine, cpp = (median(part) for part in zip(*pairs, strict=True))
            ratio = median(b / a for a, b in pairs)
            print(
                f"| {kernel} | {n} | {mine / 1e6:.2f} | {cpp / 1e6:.2f} | {ratio:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
