"""run.json: what a run is, the configuration it was started with, and its sessions.

Runs of earlier formats are shown and verified, but only the release that made one resumes it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.config import Config, config_from, earlier, identity_of, read_toml, short
from pipeline.core.untrusted import read_json
from pipeline.errors import PipelineError, RunError, UsageError
from pipeline.storage.sessions import are_sessions

NAME = "run.json"
#: The format of a run's folder; 2 since what the next round needs is in state.json.
RUN_FORMAT = 2
#: Formats that are shown and not resumed.
EARLIER = (1,)
_KEYS = {"schema", "id", "problem", "n", "seed", "identity", "config", "sessions"}


def read_info(folder: Path) -> tuple[dict[str, Any], Config]:
    """Return what run.json holds, and the configuration that the run was started with.

    Raises:
        RunError: it is not a run, is damaged or was edited, or is of a later format.
    """
    path = folder / NAME
    if not path.is_file():
        raise RunError(f"{folder} is not a run: it has no {NAME}")
    try:
        info = read_json(path)
    except PipelineError as error:
        reason = str(error).removeprefix(f"{path}").lstrip(": ")
        raise RunError(
            f"{path} is damaged ({reason}); restore it from a copy of the run"
        ) from error
    if not isinstance(info, dict) or not info.keys() >= _KEYS:
        raise RunError(f"{path} is damaged; restore it from a copy of the run")
    if info["schema"] not in (RUN_FORMAT, *EARLIER):
        raise RunError(
            f"{folder} was written in run format {short(info['schema'])}; this is pipeline "
            f"{__version__}, which reads formats up to {RUN_FORMAT}: use a release that matches"
        )
    try:
        config = _config(info["config"], info, str(path), {})
    except UsageError as error:
        raise RunError(f"{error}; restore the file from a copy of the run") from error
    same = [config.problem, config.n, config.seed]
    fits = same == [info[key] for key in ("problem", "n", "seed")]
    identity = identity_of(config, info["config"])
    if not fits or (not is_earlier(info) and identity != info["identity"]):
        raise RunError(f"{path} was edited; restore it from a copy of the run")
    texts = isinstance(info["id"], str) and isinstance(info["identity"], str)
    if not texts or not are_sessions(info["sessions"]):
        raise RunError(
            f"{path} is damaged: its id or its sessions are not what pipeline writes; restore it "
            "from a copy of the run"
        )
    return info, config


def read_config(path: Path, info: Mapping[str, Any]) -> Config:
    """Return the configuration of config.toml.

    Args:
        info: what `read_info` returned. Keys that came after the run began have their defaults.

    Raises:
        UsageError: it cannot be read, or lacks a key that the run began with.
    """
    return _config(read_toml(path), info, str(path), info["config"])


def is_earlier(info: Mapping[str, Any]) -> bool:
    """Tell whether a run is of an earlier format."""
    return info["schema"] != RUN_FORMAT


def check_resumable(folder: Path, info: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of an earlier format.

    Raises:
        RunError: names the release that made it.
    """
    if not is_earlier(info):
        return
    last = info["sessions"][-1]
    revision = last.get("revision")
    release = f"pipeline {last.get('pipeline', 'of an earlier release')}"
    release += f" (revision {revision[:12]})" if revision else ""
    raise RunError(
        f"{folder} has run format {info['schema']}, which this release shows but does not resume: "
        f"resume it with {release}, or start a new run"
    )


def _config(data: Any, info: Mapping[str, Any], where: str, like: Mapping[str, Any]) -> Config:
    if is_earlier(info):
        return earlier(data, where)
    return config_from(data, where, like)
