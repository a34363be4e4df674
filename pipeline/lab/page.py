"""A lab run on one HTML page that needs nothing else: curves, samples, errors, pictures."""

import base64
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from pipeline.lab.folder import LabRun
from pipeline.lab.task import Budget
from pipeline.lab.work import percent, rows_of
from pipeline.report.curves import Chart, Line, curves_svg, plain

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --page: #fff; --soft: #6b6b6b; --edge: #d9d9d9;
  --good: #00734f; --bad: #b34700 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --page: #161616; --soft: #9a9a9a;
  --edge: #3a3a3a; --good: #3fc79a; --bad: #f08a4b } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin-top: 2rem }
p.soft, td.soft, figcaption { color: var(--soft) }
table { border-collapse: collapse } td, th { padding: .2rem .9rem .2rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid var(--edge) } td.n { text-align: right }
pre { overflow-x: auto; line-height: 1.35; white-space: pre-wrap; overflow-wrap: anywhere }
.ok { color: var(--good) } .no { color: var(--bad) }
.charts { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 1rem 0 } svg { max-width: 100%; height: auto }
img { max-width: 100%; background: #fff; border-radius: 4px }
"""


def page(run: LabRun) -> str:
    """Return a finished run's page, with the pictures that its folder holds."""
    found, what = run.found or {}, run.info["asked"]
    rows = rows_of(run)
    parts = [f"<h1>{escape(rows[0]['name'] if 'rows' not in found else what['name'])}</h1>"]
    if "rows" not in found:
        parts.append(f"<p>{escape(found['title'])}</p>")
    parts.append(
        f'<p class="soft">{escape(run.path.name)}, scale {what["scale"]}, rng seed '
        f"{what['seed']}, pipeline {run.info['pipeline']}, {escape(run.info['machine'])}, "
        f"{found['cpu_seconds']:.0f} CPU seconds<br><code>pipeline "
        f"{escape(' '.join(run.info['command']))}</code></p>"
    )
    parts += [_row(row, several="rows" in found) for row in rows]
    if "curve" in found:
        parts.append(_curves(found["curve"], Budget(**what["budget"])))
        parts.append(_table("Where the rule decides", found["forced"]))
        parts.append(_table("What was written, told apart", found["errors"]))
        parts.append(_samples(found["samples"], bool(what["budget"]["samples"])))
    parts += [_picture(file) for file in sorted((run.path / "attention").glob("*.png"))]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run.path.name)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _row(row: dict[str, Any], several: bool) -> str:
    chance = "-" if row["chance"] is None else percent(row["chance"])
    facts = {
        "measured": row["measured"],
        "the lecture": row["lecture"],
        "chance": chance,
        "budget": row["budget"],
    }
    lines = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    head = f"<h2>{escape(row['name'])}</h2>" if several else ""
    written = row.get("samples", []) if several else []
    shown = "".join(f"<pre>{escape(text)}</pre>" for text in written)
    return f"{head}<table>{lines}</table>{shown}"


def _curves(curve: list[dict[str, Any]], budget: Budget) -> str:
    """Draw success and accuracy, and the loss, over the steps."""

    def line(name: str, values: Sequence[float]) -> Line:
        return plain(name, [(e["step"], value) for e, value in zip(curve, values, strict=True)])

    shares = []
    if budget.samples:
        success = [100 * e["success"] for e in curve]
        shares.append(line("samples that obey the rule", success))
    for part in ("train", "test"):
        for kind in curve[0].get(part, {}):
            if not kind.startswith("term ") or part == "test":
                values = [100 * e[part].get(kind, 0.0) for e in curve]
                shares.append(line(f"{part}: {kind}", values))
    loss = [line("training loss", [e["loss"] for e in curve])]
    joined = Chart("", [], across="step", logarithmic=False, whole=False, steps=False)
    charts = [
        joined._replace(title="Success", lines=shares, up="percent", limits=(0, 100)),
        joined._replace(title="Loss", lines=loss, up="nats a symbol"),
    ]
    drawn = curves_svg(charts, "success and loss over the steps of training")
    return f'<h2>Over the training</h2><div class="charts">{drawn}</div>'


def _table(title: str, values: dict[str, float]) -> str:
    if not values:
        return ""
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{_number(name, value)}</td></tr>'
        for name, value in values.items()
    )
    return f"<h2>{title}</h2><table>{lines}</table>"


def _number(name: str, value: float) -> str:
    return f"{value:.2f}" if "in each" in name else percent(value)


def _samples(samples: Sequence[tuple[str, bool]], free: bool) -> str:
    lines = "\n".join(
        f'<span class="{"ok" if good else "no"}">{"✓" if good else "✗"}</span> {escape(text)}'
        for text, good in samples
    )
    title = "Written freely" if free else "Answers to test questions"
    return f"<h2>{title}</h2><pre>{lines}</pre>"


def _picture(file: Any) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    name = re.sub(r"step 0+", "step ", file.stem.replace("-", " "))
    return (
        f'<figure><h2>Attention: {escape(name)}</h2><img alt="attention map, {escape(name)}" '
        f'src="data:image/png;base64,{data}"></figure>'
    )
