"""Memory of 200,000 constructions at n = 64, in memory and while read from Parquet.

    python benchmarks/memory.py

What the process gains over an empty population of the same kind, from the system's own count of
its resident memory; the baseline is the same number of Python sets of points, from a sample.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeline.core.bitset import width
from pipeline.core.population import Population

COUNT, N = 200_000, 64


def resident() -> float:
    """Return this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Print the table."""
    m = N * N
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n64.parquet"
        Population.empty(N, m).write(path, {})
        Population.read(path)
        before = resident()
        # 100 points in each, as good constructions at this size have.
        cells = np.zeros((COUNT, width(m)), np.uint8)
        for start in range(0, COUNT, 10_000):
            points = rng.integers(m, size=(10_000, 100))
            rows = np.repeat(np.arange(start, start + 10_000), 100)
            np.bitwise_or.at(
                cells, (rows, points.ravel() >> 3), 1 << (points.ravel() & 7).astype(np.uint8)
            )
        made = Population.build(N, m, cells, 100)
        held = resident() - before
        made.write(path, {})
        size = path.stat().st_size / 1e6
        del made, cells
        before = resident()
        again, _ = Population.read(path)
        read = resident() - before
        assert len(again) == COUNT
    sample = [
        set(map(tuple, np.argwhere(rng.random((N, N)) < 100 / m).tolist())) for _ in range(2000)
    ]
    one = np.mean([sys.getsizeof(s) + sum(sys.getsizeof(p) for p in s) for s in sample])
    print("| what | MB |")
    print("|---|---|")
    print(f"| {COUNT:,} constructions at n = {N}, made | {held:.0f} |")
    print(f"| the same, read from Parquet (file: {size:.0f} MB) | {read:.0f} |")
    print(f"| as Python sets of tuples, from a sample | {one * COUNT / 1e6:.0f} |")


if __name__ == "__main__":
    main()
