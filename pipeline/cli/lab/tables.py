"""What came of lab runs, as text and tables."""

from collections.abc import Sequence
from typing import Any

from pipeline.cli.common import print_json


def finish(runs: Sequence[Any], as_json: bool) -> None:
    """Print what came of finished runs: a line each, kinds of errors, some of what was written."""
    from pipeline.lab.work import percent, rows_of

    done = [run for run in runs if run.found is not None]
    rows = [row for run in done for row in rows_of(run)]
    if as_json:
        print_json({"runs": [str(run.path) for run in runs], "rows": rows})
        return
    if not done:
        return
    from pipeline.report.terminal import console, table

    out = console()
    for run in done:
        for row in (run.found or {}).get("rows", []):
            out.print(f"{row['name']}: {row['measured']}", style="bold")
            for text in row.get("samples", [])[:2]:
                out.say(text)
        for text, good in (run.found or {}).get("samples", [])[: 10 if len(done) == 1 else 3]:
            out.say(f"{'ok' if good else 'no'}  {text}")
    made = table("task", "measured", "chance", "the lecture")
    for row in rows:
        chance = "-" if row["chance"] is None else percent(row["chance"])
        made.add_row(row["name"], row["measured"], chance, row["lecture"])
    out.print(made)
    for row in rows:
        for title in ("forced", "errors"):
            shares = [
                f"{k} {v:.2f}" if "in each" in k else f"{k} {percent(v)}"
                for k, v in row.get(title, {}).items()
            ]
            if shares:
                what = "where the rule decides" if title == "forced" else "of what was written"
                out.print(f"{row['name']}, {what}: {', '.join(shares)}")
    if rows[0]["scale"] == "small":
        out.print("scale small: shorter than the lecture's training; see --scale lecture")
    for run in done:
        out.say(str(run.path / "page.html"))


def swept(place: dict[str, Any], runs: Sequence[Any]) -> dict[str, Any]:
    """Return a row of the table of a sweep: what the rng seeds of one setting came to."""
    rates = [run.found["success"] for run in runs]
    decided = [run.found["forced"]["decided"] for run in runs if "decided" in run.found["forced"]]
    return {
        **place,
        "seeds": len(rates),
        "mean": sum(rates) / len(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "decided": sum(decided) / len(decided) if decided else None,
        "parameters": runs[0].found["parameters"],
        "runs": [run.path.name for run in runs],
    }


def print_sweep(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table of a sweep."""
    from pipeline.lab.work import percent
    from pipeline.report.terminal import console, table

    names = [name for name in rows[0] if name != "runs"]
    heads = [name.replace("_", " ") + (">" if name != "task" else "") for name in names]
    made = table(*heads)

    def cell(name: str, value: Any) -> str:
        if value is None:
            return "-"
        if name in ("mean", "lowest", "highest", "decided"):
            return percent(value)
        return f"{value:,}" if name == "parameters" else str(value)

    for row in rows:
        made.add_row(*(cell(name, row[name]) for name in names))
    console().print(made)
