"""The commands encode and decode: a problem as a file for another solver, and its answer."""

import json
from pathlib import Path
from typing import Any

import click

from pipeline.cli.common import (
    echo,
    json_option,
    print_json,
    problem_argument,
    progress_console,
    quiet_option,
    size_of,
    writable,
)
from pipeline.cli.help import CLASSES, Words
from pipeline.errors import PipelineError


@click.command()
@problem_argument
@click.option("--n", type=int, help="The size, such as the side of the grid.")
@click.option(
    "-o", "--output", metavar="FILE", required=True, help="FILE.opb, FILE.wcnf or FILE.cnf."
)
@click.option(
    "--symmetry", type=Words(CLASSES), default="trivial", help="Only sets with this symmetry."
)
@click.option("--size", type=int, help="Ask for a set of this score, not for the largest.")
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@quiet_option
@json_option
def encode(
    problem: str,
    n: int | None,
    output: str,
    symmetry: str,
    size: int | None,
    convention: str | None,
    as_json: bool,
) -> None:
    """Write a problem for a SAT, MaxSAT or pseudo-Boolean solver.

    A variable stands for an element, or for an orbit of the symmetry class, and a constraint for
    each smallest forbidden set. FILE.opb asks for the largest set or, with --size, for one of that
    score; FILE.wcnf asks for the largest; FILE.cnf, plain SAT, needs --size. `pipeline decode`
    reads the solver's answer. With the class of a box the elements outside are left out.
    """
    from pipeline.publish.solver_files import format_of

    if n is None:
        n = size_of(problem, "encode", 8)
    path = Path(output)
    kind = format_of(path, size)
    writable("-o", path)
    plugin, spec = _loaded(problem, convention, n)
    from pipeline.engine.forbidden_sets import forbidden_sets
    from pipeline.publish.solver_files import encoded
    from pipeline.report.bar import Bar
    from pipeline.storage.files import write_file

    progress = progress_console()
    progress.print("loading (the first time also compiling, about ten seconds)")
    with Bar(progress) as bar:

        def told(done: float) -> None:
            if not bar.title:  # what was before is compiling
                bar.begin("listing what is forbidden")
            bar.show(done, f"n={n}")

        space, forbidden = forbidden_sets(plugin, n, symmetry, told)
    lines, variables, constraints = encoded(plugin, n, symmetry, space, forbidden, kind, size)
    write_file(path, ("\n".join(lines) + "\n").encode())
    about = {"problem": spec, "convention": plugin.convention, "n": n, "symmetry": symmetry}
    about |= {"file": str(path), "variables": variables, "constraints": constraints}
    if as_json:
        print_json(about)
        return
    echo(f"{path}: {variables:,} variables, {constraints:,} constraints")
    more = "" if symmetry == "trivial" else f" --symmetry {symmetry}"
    more += f" --convention {plugin.convention}" if convention else ""
    echo(f"read the answer with: pipeline decode {problem} ANSWER --n {n}{more}")


@click.command()
@problem_argument
@click.argument("answer", metavar="ANSWER")
@click.option("--n", type=int, required=True, help="The size that was encoded.")
@click.option(
    "--symmetry", type=Words(CLASSES), default="trivial", help="The symmetry that was encoded."
)
@click.option("--convention", help="A convention of the problem; see `pipeline problems`.")
@click.option("-o", "--output", metavar="FILE", help="Write the set as JSON, for `verify`.")
@json_option
def decode(
    problem: str,
    answer: str,
    n: int,
    symmetry: str,
    convention: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Read a solver's answer, and verify the set that it means.

    ANSWER is a file of the solver's output: its lines that begin with v, or lines of a name and a
    value, as in x1 1. The set is checked from its points; what the solver claims beside it is not.
    """
    path = writable("-o", Path(output)) if output else None
    plugin, spec = _loaded(problem, convention, n)
    from pipeline.core.bitset import pack, points
    from pipeline.core.symmetry import find_class
    from pipeline.core.untrusted import read_bytes
    from pipeline.engine.space import make_space
    from pipeline.plugins import judge
    from pipeline.publish.solver_files import decoded
    from pipeline.storage.construction_files import Construction
    from pipeline.storage.construction_files import as_json as construction
    from pipeline.storage.files import write_file
    from pipeline.storage.round_files import best_known

    ground = plugin.ground(n)
    space = make_space(plugin, n, find_class(ground, symmetry))
    try:
        chosen = decoded(read_bytes(Path(answer)).decode(errors="replace"), space, ground.m)
    except PipelineError as error:
        raise type(error)(f"{answer}: {error}") from error
    cells = pack(chosen[None])
    Construction(plugin, n, points(cells[0], ground.m), answer).check()
    found = construction(plugin, spec, n, cells[0])
    if path:
        write_file(path, (json.dumps(found) + "\n").encode())
    if as_json:
        print_json(found | best_known(plugin, n) | {"symmetry": symmetry})
        return
    echo(f"{plugin.name}, n={n}: {plugin.score_text(found['score'])}, verified{judge(plugin)}")
    known = plugin.known(n)
    if known is not None:
        echo(f"best known: {known}")


def _loaded(problem: str, convention: str | None, n: int) -> tuple[Any, str]:
    """Return a problem whose score is a sum, and what names it.

    Raises:
        UsageError: no such problem, or it has another score.
    """
    from pipeline.objective import check_bounded
    from pipeline.plugin_check import check_first_use
    from pipeline.plugins import load_problem, problem_spec

    spec = problem_spec(problem)
    plugin = load_problem(spec, convention)
    check_bounded(plugin, spec, n)
    plugin.ground(n)
    check_first_use(plugin)
    return plugin, spec
