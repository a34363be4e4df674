"""The command certificate: what a run has found, to be checked by anyone."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import Target, echo, print_json, target_options


@click.command()
@click.option("-o", "folder", metavar="DIR", required=True, help="The directory to write to.")
@click.option("--force", is_flag=True, help="Replace the certificate of this size.")
@click.option(
    "--announce", is_flag=True, help="Also write a page, the points, a second program and metadata."
)
@click.option(
    "--author", "authors", multiple=True, metavar="NAME", help="As 'Family, Given', for --announce."
)
@target_options(n="The size.  [default: the one searched for]", pick=True)
def certificate(
    target: Target,
    folder: str,
    force: bool,
    announce: bool,
    authors: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a certificate, with a program that checks it.

    DIR gets a JSON file (points, claim, convention, provenance, SHA-256) and verify.py, which
    checks every tuple of points against the definition and needs only Python 3.8. RUN is a path, a
    unique prefix of its name, or latest; FILE is any file that `verify` reads.

    With --announce DIR gets what record boards and archives ask for: a page with the value on
    record and its source, the command and its CPU time, and the points; the points as text; a
    second program in C, written by another formula, where the problem has one; CITATION.cff and
    .zenodo.json, which are those of one announcement: take a folder for each.
    """
    from pipeline.errors import UsageError
    from pipeline.plugins import judge
    from pipeline.publish import certificates
    from pipeline.publish.announcement import announcement, has_second_program, standing

    if authors and not announce:
        raise UsageError("--author goes with --announce")
    held = target.collection()
    plugin, found = held.problem, held.described(target.pick(held))
    provenance = _of_file(held.file) if held.run is None else _of_run(held.run, found)
    name = certificates.file_name(found, plugin.name)
    files = {
        name: certificates.certificate(plugin, found, provenance),
        certificates.VERIFIER: certificates.verifier(plugin),
    }
    if announce:
        cpu = None if held.run is None else _cpu_until(held.run, found)
        files |= announcement(plugin, found, files[name], provenance, cpu, authors)
    there = Path(folder)
    certificates.write(there, files, force)
    checker = there / certificates.VERIFIER
    page = there / name.replace(".json", ".md") if announce else None
    if as_json:
        written = {"certificate": str(there / name), "verifier": str(checker)}
        print_json(written | {"announcement": page and str(page)} | found)
        return
    what = f"{plugin.name}, n={found['n']}, {plugin.score_text(found['score'])}"
    echo(f"{there / name}: {what}, verified{judge(plugin)}")
    if found.get("imported"):
        echo("imported: given with --start, or found from what was given; the certificate says so")
    echo(f"check it anywhere: python {checker}")
    if page is not None:
        echo(f"announcement: {page}; {standing(found)}")
        if not has_second_program(plugin):
            echo(f"{plugin.name} is not defined in C, so there is no second program")
        if not authors:
            echo(
                "put the authors in place of AUTHOR in CITATION.cff and .zenodo.json, or: --author"
            )


def _of_run(run: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Return where a run's construction comes from."""
    session = run.info["sessions"][0]
    return {
        "run": run.info["id"],
        "command": " ".join(["pipeline", *_without_folders(session["command"])]),
        "seed": run.info["seed"],
        "config": run.info["identity"],
        "started": session["started"],
        "pipeline": session["pipeline"],
        "revision": session["revision"],
        "round": found["round"],
        "origin": found["origin"],
        "imported": found["imported"],
    }


def _cpu_until(run: Any, found: dict[str, Any]) -> float | None:
    """Return the CPU seconds of a run until it had a score as good as this one."""
    from pipeline.storage.timeline import timeline

    if found["n"] != run.config.n:
        return None
    finds, _ = timeline(run)
    return next((find.at.cpu for find in finds if find.score >= found["score"]), None)


def _of_file(path: Path) -> dict[str, Any]:
    """Return where a file's construction comes from: nothing is known but the file."""
    from pipeline import __version__
    from pipeline.storage.files import digest

    facts = {"file": path.name, "file_sha256": digest(path), "pipeline": __version__}
    return facts | {"origin": "import", "imported": True}


def _without_folders(command: list[str]) -> list[str]:
    """Leave out of a command line where runs lie, which is nobody else's business."""
    kept = [word for word in command if not word.startswith("--runs=")]
    if "--runs" in kept:
        at = kept.index("--runs")
        del kept[at : at + 2]
    return kept
