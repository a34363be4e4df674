"""Run the attacks, and print for each how many cases were tried, how many survived, in what time.

python tests/attacks/run.py [--long] [what pytest takes, as -k kills]

A test says how many cases it tries with pytest's ``record_property("tried", n)``; one otherwise.
What else it records, such as the seed that repeats it, comes below the table.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent


def main(words: list[str]) -> int:
    """Run pytest over this folder, print the table, and return its exit code."""
    long = "--long" in words
    words = [word for word in words if word != "--long"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        marks = ["-m", "not gpu" if long else "not slow and not gpu"]
        command = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1", str(HERE)]
        done = subprocess.run(
            [*command, *marks, f"--junitxml={report}", *words], cwd=HERE.parents[1]
        )
        if report.exists():
            print(table(report.read_text(encoding="utf-8")))
    return done.returncode


def table(xml: str) -> str:
    """Return a line for each test of a JUnit report, its parameters taken together."""
    rows: dict[str, list[float]] = {}
    for name, tried, survived, seconds in _cases(xml):
        row = rows.setdefault(name, [0, 0, 0.0])
        for i, value in enumerate((tried, survived, seconds)):
            row[i] += value
    totals = [sum(row[i] for row in rows.values()) for i in range(3)]
    width = max(map(len, [*rows, "attack"]))
    lines = [f"{'attack':<{width}}  {'tried':>9}  {'survived':>9}  {'seconds':>8}"]
    for name, (tried, survived, seconds) in [*rows.items(), ("all", totals)]:
        lines.append(f"{name:<{width}}  {tried:>9,.0f}  {survived:>9,.0f}  {seconds:>8.1f}")
    for name, told in _told(xml):
        lines.append(f"{name}: {', '.join(f'{key} {value}' for key, value in told.items())}")
    return "\n".join(lines)


def _cases(xml: str) -> Iterator[tuple[str, int, int, float]]:
    """Yield (test, tried, survived, seconds) of what was not skipped."""
    for case in ElementTree.fromstring(xml).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        tried = int(_properties(case).get("tried") or 1)
        lost = case.find("failure") is not None or case.find("error") is not None
        yield (
            _name(case).partition("[")[0],
            tried,
            0 if lost else tried,
            float(case.get("time") or 0),
        )


def _told(xml: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (test with its parameters, what it records), where that is more than a number."""
    for case in ElementTree.fromstring(xml).iter("testcase"):
        told = {key: value for key, value in _properties(case).items() if key != "tried"}
        if told:
            yield _name(case), told


def _properties(case: ElementTree.Element) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in case.iter("property")}


def _name(case: ElementTree.Element) -> str:
    where = (case.get("classname") or "").rpartition(".")[2].removeprefix("test_")
    return f"{where}: {(case.get('name') or '').removeprefix('test_')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
