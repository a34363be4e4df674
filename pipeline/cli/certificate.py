"""The command certificate: what a run has found, to be checked by anyone."""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import Target, echo, print_json, target_options


@click.command()
@click.option("-o", "folder", metavar="DIR", required=True, help="The directory to write to.")
@click.option("--force", is_flag=True, help="Replace the certificate of this size.")
@target_options(n="The size.  [default: the one searched for]", pick=True)
def certificate(target: Target, folder: str, force: bool, as_json: bool) -> None:
    """Write a certificate, with a program that checks it.

    DIR gets a JSON file (points, claim, convention, provenance, SHA-256) and verify.py, which
    checks every tuple of points against the definition and needs only Python 3.8. RUN is a path, a
    unique prefix of its name, or latest; FILE is any file that `verify` reads.
    """
    from pipeline.plugins import judge
    from pipeline.publish import certificates

    held = target.collection()
    plugin, found = held.problem, held.described(target.pick(held))
    provenance = _of_file(held.file) if held.run is None else _of_run(held.run, found)
    name = certificates.file_name(found, plugin.name)
    files = {
        name: certificates.certificate(plugin, found, provenance),
        certificates.VERIFIER: certificates.verifier(plugin),
    }
    there = Path(folder)
    certificates.write(there, files, force)
    checker = there / certificates.VERIFIER
    if as_json:
        print_json({"certificate": str(there / name), "verifier": str(checker), **found})
        return
    what = f"{plugin.name}, n={found['n']}, {plugin.score_text(found['score'])}"
    echo(f"{there / name}: {what}, verified{judge(plugin)}")
    if found.get("imported"):
        echo("imported: given with --start, or found from what was given; the certificate says so")
    echo(f"check it anywhere: python {checker}")


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
