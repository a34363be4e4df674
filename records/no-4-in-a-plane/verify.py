#!/usr/bin/env python3
"""Check certificates by the definition alone:  python verify.py [FILE ...]

Without files, all certificates beside this program are checked. What is claimed of each:
no four points of the n x n x n cube lie in a plane.
Nothing but Python's standard library is used. The exit code is 0 if every claim holds, else 1.
"""

import hashlib
import itertools
import json
import os
import re
import sys

PROBLEM = "no-4-in-a-plane"
CONVENTIONS = ["standard"]  # what may be read into the definition; the first is the default
SIZE = 4  # how many points at most are looked at together


def inside(point, n):
    """Tell whether a point is a cell of the n x n x n cube, counted from 0."""
    return len(point) == 3 and all(0 <= x < n for x in point)


def rule(points, convention):
    """Tell whether four points are in a plane: their tetrahedron has no volume."""
    p = points[0]
    a, b, c = ([q[i] - p[i] for i in range(3)] for q in points[1:])
    cross = [b[i - 2] * c[i - 1] - b[i - 1] * c[i - 2] for i in range(3)]
    return sum(a[i] * cross[i] for i in range(3)) == 0


def forbidden(points, convention, n):
    return len(points) == SIZE and rule(points, convention)


def once(pairs):
    """Make an object of JSON, no key twice."""
    keys = [key for key, _ in pairs]
    require(len(set(keys)) == len(keys), "a key is given twice")
    return dict(pairs)


def require(condition, complaint):
    if not condition:
        raise ValueError(complaint)


def whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def check(path):
    """Return (n, points, convention) of a certificate that holds.

    Raises:
        ValueError: it does not; says why.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        claim = json.loads(data.decode("ascii"), object_pairs_hook=once)
    except RecursionError:
        raise ValueError("its lists are nested too deeply")
    require(isinstance(claim, dict), "is no object")
    require(claim.get("certificate") == 1, "is no certificate of a format known here")
    require(claim.get("problem") == PROBLEM, "is of another problem than " + PROBLEM)
    n, points, convention = claim.get("n"), claim.get("points"), claim.get("convention")
    require(convention in CONVENTIONS, "its convention is unknown: %r" % (convention,))
    require(whole(n) and n >= 1, "n must be a whole number from 1, not %r" % (n,))
    require(isinstance(points, list), "points must be a list")
    for point in points:
        good = isinstance(point, list) and all(whole(x) for x in point)
        require(good and inside(tuple(point), n), "%r is no point of size n=%d" % (point, n))
    points = [tuple(point) for point in points]
    for point in points:
        require(points.count(point) == 1, "the point %r is given twice" % (list(point),))
    require(claim.get("score") == len(points), "claims %r, has %d points"
            % (claim.get("score"), len(points)))
    for some in itertools.combinations(points, min(SIZE, len(points))):
        require(not forbidden(some, convention, n), "these break the rule: %s"
                % (", ".join(map(str, some)),))
    digest = claim.get("sha256")
    require(isinstance(digest, str) and re.match("^[0-9a-f]{64}$", digest), "has no SHA-256")
    blank = data.replace(b'"sha256": "' + digest.encode() + b'"', b'"sha256": "' + b"0" * 64 + b'"')
    require(hashlib.sha256(blank).hexdigest() == digest,
            "its SHA-256 does not fit: the file was changed")
    return n, points, convention


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    paths = sys.argv[1:] or sorted(
        os.path.join(here, name) for name in os.listdir(here)
        if name.endswith(".json") and not name.startswith("."))
    if not paths:
        print("no certificates beside this program; name files")
        return 1
    print("%s (%s)" % (PROBLEM, "no four points of the n x n x n cube lie in a plane"))
    print("%6s %7s  %-16s %s" % ("n", "points", "convention", "file"))
    wrong = 0
    for path in paths:
        try:
            n, points, convention = check(path)
        except (ValueError, OSError) as error:
            wrong += 1
            print("WRONG  %s: %s" % (os.path.basename(path), error))
            continue
        print("%6d %7d  %-16s %s" % (n, len(points), convention or "-", os.path.basename(path)))
    print("%d of %d hold" % (len(paths) - wrong, len(paths)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
