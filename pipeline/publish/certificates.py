"""Certificates: one construction and what is claimed of it, to be checked without this program.

A certificate is a JSON file. Beside it lies ``verify.py``, which knows the problem's definition in
plain Python and needs the standard library alone. The hash is that of the file's own bytes with
the 64 digits of the hash written as zeros, so that no byte can change unnoticed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import RunError, UsageError, VerificationError
from pipeline.problem import Problem
from pipeline.publish.rules import rules_of, tuple_size
from pipeline.storage import files

FORMAT = 1
VERIFIER = "verify.py"
_BLANK = "0" * 64


def file_name(found: Mapping[str, Any], name: str) -> str:
    """Return what the file of a construction is called: problem, convention and size."""
    words = f"{name}-{found['convention']}" if found["convention"] else name
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") + f"-n{found['n']:03d}.json"


def certificate(problem: Problem, found: Mapping[str, Any], provenance: Mapping[str, Any]) -> bytes:
    """Return the bytes of a certificate.

    Args:
        found: a construction as ``constructions.as_json`` makes it, verified.
        provenance: where it came from; what JSON can hold.

    Raises:
        UsageError: the problem maximises something else than size.
        VerificationError: its score is not its number of points, which is what is claimed.
    """
    if problem.objective != "size":
        raise UsageError(
            f"{problem.name} has another score, and a certificate claims a number of points; "
            "use: pipeline export RUN --format json"
        )
    count = len(found["points"])
    if found["score"] != count:
        raise VerificationError(
            f"{problem.name}: a certificate claims a number of points, and here the score "
            f"{found['score']} is none of {count} points; use: pipeline export --format json"
        )
    about = {
        "certificate": FORMAT,
        "problem": problem.name,
        "convention": found["convention"],
        "n": found["n"],
        "claim": f"{count} points, n={found['n']}: {problem.title}",
        "score": count,
        "points": "POINTS",
        "provenance": dict(provenance),
        "sha256": _BLANK,
    }
    rows = ",\n  ".join(json.dumps(point) for point in found["points"])
    text = json.dumps(about, indent=1, ensure_ascii=True) + "\n"
    text = text.replace('"points": "POINTS"', f'"points": [\n  {rows}\n ]')
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(f'\n "sha256": "{_BLANK}"', f'\n "sha256": "{digest}"').encode()


def is_untouched(data: bytes) -> bool:
    """Tell whether the SHA-256 in a certificate is that of its bytes."""
    # Its own is the one at the margin: a provenance may name hashes of other files.
    found = re.search(rb'\n "sha256": "([0-9a-f]{64})"', data)
    if found is None:
        return False
    blank = data.replace(found[0], f'\n "sha256": "{_BLANK}"'.encode())
    return hashlib.sha256(blank).hexdigest() == found[1].decode()


def verifier(problem: Problem) -> bytes:
    """Return the program that checks certificates of a problem: one file, Python 3.8 or newer.

    Raises:
        UsageError: the problem has no definition that can be copied.
    """
    text = _VERIFIER
    for key, value in {
        "@PROBLEM@": json.dumps(problem.name),
        "@CONVENTIONS@": json.dumps(list(problem.conventions)),
        "@TITLE@": problem.title,
        "@SIZE@": str(tuple_size(problem)),
        "@FORMAT@": str(FORMAT),
        "@RULES@": rules_of(problem),
    }.items():
        text = text.replace(key, value)
    return text.encode()


def write(folder: Path, made: Mapping[str, bytes], force: bool) -> None:
    """Write a certificate and its verifier into a folder, which may hold those of other sizes.

    Raises:
        UsageError: the certificate is there already and ``force`` is not given, or the verifier
            there is another problem's, or the path is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: is a file; name a folder")
    for name, data in made.items():
        there = folder / name
        found = files.obstacle(there)
        if found:
            raise UsageError(
                f"{there} is {found}, and only a regular file is ever replaced; name another "
                "folder, or delete it first"
            )
        if not there.exists() or there.read_bytes() == data:
            continue
        if name == VERIFIER and not force:
            raise UsageError(
                f"-o {folder}: its {VERIFIER} is of another problem or version; name another "
                "folder, or add --force to replace it"
            )
        if not force:
            raise UsageError(f"{there} exists; add --force to replace it, or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in made.items():
            files.write(folder / name, data)
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written ({error.strerror}); name a folder of yours"
        ) from error


_VERIFIER = '''\
#!/usr/bin/env python3
"""Check certificates by the definition alone:  python verify.py [FILE ...]

Without files, all certificates beside this program are checked. What is claimed of each:
@TITLE@.
Nothing but Python's standard library is used. The exit code is 0 if every claim holds, else 1.
"""

import hashlib
import itertools
import json
import os
import re
import sys

PROBLEM = @PROBLEM@
CONVENTIONS = @CONVENTIONS@  # what may be read into the definition; the first is the default
SIZE = @SIZE@  # how many points at most are looked at together


@RULES@


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
    require(claim.get("certificate") == @FORMAT@, "is no certificate of a format known here")
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
    print("%s (%s)" % (PROBLEM, "@TITLE@"))
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
'''
