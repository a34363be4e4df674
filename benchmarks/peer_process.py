"""Drive a class of axplorer, in a process of its own and with a Python that has what it needs.

    python benchmarks/peer_process.py FOLDER MODULE CLASS N SECONDS    (peers.py runs this)

Nothing of the peer's is changed: its class makes an object greedily, and improves one by its
``local_search``, which takes violations out and fills up. In the peer's loop that is done to
samples of its model. Here it is done to the best object so far with 1 to 5 elements brought in at
random, over and over; what comes out is kept where it is no worse. One line of JSON tells of both,
each for so many CPU seconds; what numba compiles is left out.
"""

import json
import random
import sys
import time
from importlib import import_module
from pathlib import Path

_MOST = 5
#: Objects with violations that are told, so that others can mend the same ones.
_TOLD = 300


def elements(data):
    """Return the elements of an object: cells in order, or edges i < j as i + j (j - 1) / 2."""
    if data.ndim == 3:
        return [k for k, there in enumerate(data.flatten().tolist()) if there]
    return [i + j * (j - 1) // 2 for i, j in zip(*data.nonzero(), strict=True) if i < j]


def disturbed(kind, data):
    """Return a new object with a few elements more, whatever they violate."""
    thing = kind(N=len(data))
    thing.data = data.copy()
    for _ in range(random.randint(1, _MOST)):
        at = tuple(random.sample(range(thing.N), 2)) if data.ndim == 2 else ()
        at = at or tuple(random.randrange(thing.N) for _ in range(3))
        thing.data[at] = 1
        if data.ndim == 2:
            thing.data[at[::-1]] = 1
    return thing


def main():
    """Print what the class did."""
    folder, module, name, n, seconds = sys.argv[1:]
    sys.path.insert(0, str(Path(folder).resolve()))
    kind, n, seconds = getattr(import_module(module), name), int(n), float(seconds)
    first = kind(N=n, init=True)
    disturbed(kind, first.data).local_search(improve_with_local_search=True)  # all is compiled

    count, greedy, start = 0, first.score, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        greedy = max(greedy, kind(N=n, init=True).score)
        count += 1
    told = {"greedy": greedy, "greedy_rate": count / spent}

    count, mending, best, dirty, mended = 0, 0.0, first, [], []
    start = time.process_time()
    while time.process_time() - start < seconds:
        thing = disturbed(kind, best.data)
        if count < _TOLD:
            dirty.append([int(e) for e in elements(thing.data)])
        now = time.process_time()
        thing.local_search(improve_with_local_search=True)
        mending += time.process_time() - now
        if count < _TOLD:
            mended.append(thing.score)
        count += 1
        best = thing if thing.score >= best.score else best
    told |= {"local": best.score, "local_rate": count / mending, "dirty": dirty, "mended": mended}
    print(json.dumps(told | {"best": [int(e) for e in elements(best.data)]}))


if __name__ == "__main__":
    main()
