"""What `--json` prints, as types: whatever is printed is held against its type first.

docs/schemas is made from these types, so a schema says what the program itself has checked. A key
that is not always there is UNSET; one that may be empty is null.
"""

from typing import Any

import msgspec

from pipeline.cli.printed import constructions, lab, others, runs
from pipeline.errors import PipelineError

#: Version of what ``--json`` prints, in its key "schema".
JSON_SCHEMA = 1

#: What each command prints: one of these.
PRINTED: dict[str, tuple[Any, ...]] = {
    "best": (constructions.BestOfRun, constructions.BestOfFile, constructions.BestOfProblem),
    "campaign": (runs.Campaign,),
    "certificate": (constructions.Certificate, constructions.CertificateOfFile),
    "check": (others.CheckPlugin,),
    "compare": (runs.Compare,),
    "count": (constructions.CountUp,),
    "decode": (constructions.Decode,),
    "doctor": (others.Doctor,),
    "encode": (constructions.Encode,),
    "exchange": (constructions.Exchange,),
    "export": (list[constructions.Exported],),
    "hist": (runs.Hist,),
    "lab all": (lab.LabAll,),
    "lab attention": (lab.LabAttention,),
    "lab list": (lab.LabList,),
    "lab resume": (lab.LabRun,),
    "lab run": (lab.LabRun,),
    "lab sweep": (lab.LabSweep,),
    "ls": (runs.Ls,),
    "merge": (runs.Merge,),
    "plot": (others.Plot, others.PlotOfFile),
    "problems": (others.Problems,),
    "prune": (runs.Prune,),
    "records": (others.Records,),
    "report": (others.Report, others.ReportOfFile),
    "resume": (runs.Run,),
    "rm": (runs.Rm,),
    "run": (runs.Run,),
    "search": (runs.Run, runs.Search),
    "show": (runs.Show,),
    "solve": (constructions.Solve, constructions.SolveAll),
    "verify": (constructions.Verify, constructions.Refused),
    "watch": (runs.Watch,),
}


def checked(command: str, data: Any) -> Any:
    """Return what a command is about to print, once it is as the schema says.

    Raises:
        PipelineError: it is not.
    """
    wrong = ""
    for kind in PRINTED[command]:
        try:
            msgspec.convert(data, kind)
            return data
        except msgspec.ValidationError as error:
            wrong = wrong or str(error)
    raise PipelineError(f"what {command} has found is not as its schema says: {wrong}")


def json_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command prints."""
    wholes: list[dict[str, Any]] = []
    parts: dict[str, Any] = {}
    for kind in PRINTED[command]:
        (top,), inner = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
        if "$ref" in top:
            top = inner.pop(kind.__name__)
            top["properties"] = {"schema": {"const": JSON_SCHEMA}, **top["properties"]}
            top["required"].insert(0, "schema")
        wholes.append(top)
        parts |= inner
    one = wholes[0] if len(wholes) == 1 else {"oneOf": wholes}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"pipeline {command} --json",
    }
    return {**head, **one, **head, "$defs": parts}
