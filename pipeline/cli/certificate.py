"""The command certificate: what a run has found, to be checked by anyone."""

from pathlib import Path

import click

from pipeline.cli.common import json_option, open_run, print_json, problem_of, runs_option


@click.command()
@click.argument("run_", metavar="RUN")
@click.option("-o", "folder", metavar="FOLDER", required=True, help="Where to; may hold others.")
@click.option("--n", type=int, help="Which size.  [default: the one searched for]")
@click.option("--force", is_flag=True, help="Replace the certificate of this size.")
@runs_option
@json_option
def certificate(
    run_: str, folder: str, n: int | None, force: bool, runs: str | None, as_json: bool
) -> None:
    """Write a certificate, with a program that checks it.

    FOLDER gets a JSON file (points, claim, convention, where it came from, SHA-256) and verify.py,
    which goes through all triples by the definition and needs nothing but Python 3.8. RUN is a
    path, a unique prefix of its name, or latest.
    """
    from pipeline import certificates
    from pipeline.results import best_of

    opened = open_run(run_, runs)
    plugin = problem_of(opened)
    found = best_of(opened, plugin, n)
    session = opened.info["sessions"][0]
    provenance = {
        "run": opened.info["id"],
        "command": " ".join(["pipeline", *_without_folders(session["command"])]),
        "seed": opened.info["seed"],
        "config": opened.info["identity"],
        "started": session["started"],
        "pipeline": session["pipeline"],
        "revision": session["revision"],
        "round": found["round"],
        "origin": found["origin"],
    }
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
    click.echo(f"{there / name}: {plugin.name}, n={found['n']}, {found['score']} points, verified")
    click.echo(f"check it anywhere: python {checker}")


def _without_folders(command: list[str]) -> list[str]:
    """Leave out of a command line where runs lie, which is nobody else's business."""
    kept = [word for word in command if not word.startswith("--runs=")]
    if "--runs" in kept:
        at = kept.index("--runs")
        del kept[at : at + 2]
    return kept
