"""What goes with a certificate when a construction is announced: a page, the points, two programs.

Nothing here says more than is known: the value on record is named with its source and date, and
that something was found says nothing of whether others had it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.problem import Problem
from pipeline.publish import certificates

_LICENSE = "CC-BY-4.0"


def announcement(
    problem: Problem,
    found: Mapping[str, Any],
    certificate: bytes,
    provenance: Mapping[str, Any],
    cpu: float | None,
    authors: Sequence[str] = (),
) -> dict[str, bytes]:
    """Return the files that announce a construction, by name.

    Args:
        found: a construction as ``constructions.as_json`` makes it, verified.
        certificate: its certificate.
        provenance: where it came from, as in the certificate.
        cpu: CPU seconds of its run until it was found; None where that is not known.
        authors: as "Family, Given".
    """
    name = certificates.file_name(found, problem.name)
    stem = name.removesuffix(".json")
    made = {
        f"{stem}.md": _page(problem, found, certificate, provenance, cpu, stem),
        f"{stem}.txt": "".join(" ".join(map(str, point)) + "\n" for point in found["points"]),
        "CITATION.cff": _citation(problem, found, authors),
        ".zenodo.json": _zenodo(problem, found, authors),
    }
    if has_second_program(problem):
        made[f"{stem}.c"] = _program(problem, found)
    return {path: text.encode() for path, text in made.items()}


def has_second_program(problem: Problem) -> bool:
    """Tell whether the problem is defined in C too."""
    return problem.definition is not None and bool(problem.definition.in_c)


def standing(found: Mapping[str, Any]) -> str:
    """Say in a sentence how a construction stands to the value on record."""
    known, score = found["best_known"], found["score"]
    if known is None:
        return "There is no value for this n among those that come with the program."
    words = [found["best_known_source"], found["best_known_date"]]
    source = f"{known} ({', '.join(word for word in words if word)})"
    if score > known:
        return f"This is above what we found on record: {source}."
    if score == known:
        proved = ", which is proved to be the maximum" if found["best_known_proved"] else ""
        return f"This equals the best value that we found on record, {source}{proved}."
    return f"This is below the best value that we found on record, {source}."


def _title(problem: Problem, found: Mapping[str, Any]) -> str:
    return f"{problem.score_text(found['score'])} for n = {found['n']}: {problem.title}"


def _page(
    problem: Problem,
    found: Mapping[str, Any],
    certificate: bytes,
    provenance: Mapping[str, Any],
    cpu: float | None,
    stem: str,
) -> str:
    digest = json.loads(certificate)["sha256"]
    known = found["best_known"]
    table = {
        "problem": f"{problem.name}: {problem.title}",
        "convention": found["convention"] if len(problem.conventions) > 1 else "",
        "n": found["n"],
        "size": problem.score_text(found["score"]),
        "best value on record": "none" if known is None else known,
        "source of that value": found["best_known_source"] or "",
        "date of that value": found["best_known_date"] or "",
        "found by": f"`{provenance['command']}`" if "command" in provenance else "",
        "CPU time until a set of this size was found": "" if cpu is None else f"{cpu:,.0f} s",
        "rng seed": provenance.get("seed", ""),
        "program": f"extremal-pipeline {provenance['pipeline']}",
        "revision": provenance.get("revision") or "",
        "date": provenance.get("started", "")[:10],
        "SHA-256 of the certificate": f"`{digest}`",
    }
    rows = [f"| {key} | {_cell(value)} |" for key, value in table.items() if value != ""]
    python = f"    python {certificates.VERIFIER} {stem}.json\n"
    c = f"    cc -O2 -o check {stem}.c && ./check {stem}.txt\n"
    two = has_second_program(problem)
    count = (
        "Two programs check it that share no line and no formula" if two else "A program checks it"
    )
    points = ", ".join("(" + ", ".join(map(str, point)) + ")" for point in found["points"])
    return (
        f"# {_title(problem, found)}\n\n"
        f"{standing(found)}\n\n"
        "| | |\n|---|---|\n" + "\n".join(rows) + "\n\n"
        "## Check it\n\n"
        f"{count}, by exact arithmetic on whole numbers:\n\n"
        f"{python}{c if two else ''}\n"
        "## Disclosure\n\n"
        f"{_disclosure(found)} What is on record elsewhere may have grown since the date above.\n\n"
        "## Points\n\n"
        f"Coordinates begin at {_first(problem, found)}; `{stem}.txt` has a point in each line.\n\n"
        f"{points}\n"
    )


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _first(problem: Problem, found: Mapping[str, Any]) -> int:
    return int(problem.ground(found["n"]).coords.min())


def _disclosure(found: Mapping[str, Any]) -> str:
    """Say what made the construction; no more than its run knows."""
    if found.get("imported") or found.get("origin") not in ("seed", "search", "generator"):
        return (
            "It was given to the program, or found from what was given: this page does not claim "
            "that the program found it."
        )
    if found["origin"] == "generator":
        return "It was found by a computer, by search from what the run's generator wrote."
    return "It was found by a computer search."


def _citation(problem: Problem, found: Mapping[str, Any], authors: Sequence[str]) -> str:
    people = [{"family": _parts(author)[0], "given": _parts(author)[1]} for author in authors]
    lines = [
        "cff-version: 1.2.0",
        "message: If you use this construction, please cite it as below.",
        "type: dataset",
        f"title: {json.dumps(_title(problem, found), ensure_ascii=False)}",
        "authors:",
    ]
    for person in people:
        lines.append(f"  - family-names: {json.dumps(person['family'], ensure_ascii=False)}")
        if person["given"]:
            lines.append(f"    given-names: {json.dumps(person['given'], ensure_ascii=False)}")
    if not people:
        lines.append("  - name: AUTHOR")
    return "\n".join([*lines, f"license: {_LICENSE}"]) + "\n"


def _parts(author: str) -> tuple[str, str]:
    family, _, given = author.partition(",")
    return family.strip(), given.strip()


def _zenodo(problem: Problem, found: Mapping[str, Any], authors: Sequence[str]) -> str:
    about = {
        "title": _title(problem, found),
        "upload_type": "dataset",
        "description": f"{standing(found)} The points, a certificate, and programs that check it.",
        "creators": [{"name": author} for author in authors or ["AUTHOR"]],
        "license": _LICENSE.lower(),
        "keywords": ["extremal combinatorics", problem.name],
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"


def _program(problem: Problem, found: Mapping[str, Any]) -> str:
    assert problem.definition is not None
    rules = problem.definition.in_c
    text = _PROGRAM
    for key, value in {
        "@TITLE@": problem.title.replace("*/", "* /"),
        "@DIMENSION@": str(problem.ground(found["n"]).coords.shape[1]),
        "@SIZE@": str(problem.arity),
        "@CONVENTION@": str(list(problem.conventions).index(found["convention"])),
        "@N@": str(found["n"]),
        "@DET4@": _DET4 if "det4" in rules else "",
        "@RULES@": rules.strip("\n"),
    }.items():
        text = text.replace(key, value)
    return text


_DET4 = """
/* The determinant of four rows, by the minors of the first two and the last two. */
static long long det4(long rows[4][4]) {
    static const int pairs[6][4] = {{0, 1, 2, 3}, {0, 2, 3, 1}, {0, 3, 1, 2},
                                    {2, 3, 0, 1}, {3, 1, 0, 2}, {1, 2, 0, 3}};
    long long sum = 0;
    for (int i = 0; i < 6; i++) {
        const int *c = pairs[i];
        long long up = (long long)rows[0][c[0]] * rows[1][c[1]]
            - (long long)rows[0][c[1]] * rows[1][c[0]];
        long long down = (long long)rows[2][c[2]] * rows[3][c[3]]
            - (long long)rows[2][c[3]] * rows[3][c[2]];
        sum += up * down;
    }
    return sum;
}
"""

_PROGRAM = """\
/* Checks a set of points by the definition alone:  cc -O2 -o check THIS.c && ./check POINTS.txt

   @TITLE@.
   A line of POINTS.txt is one point. C99, whole numbers only; coordinates below 1000 are safe.
   The exit code is 0 if no @SIZE@ points are forbidden, else 1. */

#include <stdio.h>
#include <stdlib.h>

enum { DIMENSION = @DIMENSION@, SIZE = @SIZE@, CONVENTION = @CONVENTION@, MOST = 1000000 };
static const long N = @N@;
@DET4@
@RULES@

static long points[MOST][DIMENSION];
static const long *some[SIZE];

/* Whether points `from` and later complete `held` chosen ones to something forbidden. */
static int found_forbidden(int held, long from, long count) {
    if (held == SIZE) return forbidden(some, CONVENTION);
    for (long i = from; i < count; i++) {
        some[held] = points[i];
        if (found_forbidden(held + 1, i + 1, count)) return 1;
    }
    return 0;
}

static int same(const long *p, const long *q) {
    for (int k = 0; k < DIMENSION; k++)
        if (p[k] != q[k]) return 0;
    return 1;
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    long numbers = 0, x;
    int read;
    if (!file) {
        fprintf(stderr, "name the file of the points\\n");
        return 1;
    }
    while ((read = fscanf(file, "%ld", &x)) == 1) {
        if (numbers == (long)MOST * DIMENSION) break;
        points[numbers / DIMENSION][numbers % DIMENSION] = x;
        numbers++;
    }
    fclose(file);
    if (read != EOF || numbers % DIMENSION) {
        printf("WRONG: not a list of points of %d whole numbers\\n", DIMENSION);
        return 1;
    }
    long count = numbers / DIMENSION;
    for (long i = 0; i < count; i++) {
        if (!inside(points[i], N)) {
            printf("WRONG: point %ld is none of size n = %ld\\n", i + 1, N);
            return 1;
        }
        for (long j = 0; j < i; j++)
            if (same(points[i], points[j])) {
                printf("WRONG: points %ld and %ld are the same\\n", j + 1, i + 1);
                return 1;
            }
    }
    if (found_forbidden(0, 0, count)) {
        printf("WRONG: forbidden together:");
        for (int i = 0; i < SIZE; i++) {
            printf(i ? ", (" : " (");
            for (int k = 0; k < DIMENSION; k++) printf(k ? ", %ld" : "%ld", some[i][k]);
            printf(")");
        }
        printf("\\n");
        return 1;
    }
    printf("%ld points for n = %ld hold\\n", count, N);
    return 0;
}
"""
