"""Many small searches in one process: memory, handles and threads stay as they were.

ATTACK_MINUTES sets for how long (60).
"""

import gc
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

MINUTES = float(os.environ.get("ATTACK_MINUTES", "60"))
_WARM = 5  # searches before the first measurement
_SEARCH = [
    *("search", "isosceles", "--rounds", 1, "--workers", 1, "--set", "seeding.batches=1"),
    *("--set", "search.batches=1", "--method", "anneal,greedy"),
]


def held() -> dict[str, int]:
    """Return what this process holds: KiB of memory, open files, threads."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") // 1024
    return {
        "memory": memory,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_searches_one_after_the_other_hold_no_more_than_the_first(cli, tmp_path, record_property):
    ends, count, seconds, first = time.monotonic() + 60 * MINUTES, 0, [], {}
    while time.monotonic() < ends or count < _WARM + 5:
        began = time.process_time()
        found = cli(*_SEARCH, "--n", 4 + count % 3, "--seed", count, "--runs", tmp_path / "runs")
        assert found.code == 0, found.err
        seconds.append(time.process_time() - began)
        shutil.rmtree(tmp_path / "runs")
        count += 1
        if count == _WARM:
            first = held()
    last = held()
    record_property("tried", count)
    assert last["files"] <= first["files"] + 2
    assert last["threads"] <= first["threads"]
    assert last["memory"] <= 1.1 * first["memory"] + 20_000
    early, late = seconds[_WARM : _WARM + 20], seconds[-20:]
    assert sorted(late)[len(late) // 2] <= 2 * sorted(early)[len(early) // 2]
