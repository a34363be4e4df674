"""JSON from files that anyone may have written: bounded, and every fault one line."""

import json
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

#: More than any file of ours that is read whole, and less than hurts.
MOST_BYTES = 256_000_000


def parse_json(data: bytes | str, where: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        PipelineError: it is not JSON, nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(data if isinstance(data, str) else data.decode("utf-8"))
    except RecursionError:
        raise PipelineError(f"{where}: its lists are nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(f"{where} is not JSON: {error}") from error
    except ValueError:
        raise PipelineError(f"{where}: it has a number of thousands of digits") from None


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        PipelineError: it cannot be read, is too large, or as for ``parse_json``.
    """
    return parse_json(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        PipelineError: it cannot be read, is no regular file, or is too large.
    """
    if path.exists() and not path.is_file():
        raise PipelineError(f"{path} is no regular file")
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise PipelineError(f"{path} is larger than {MOST_BYTES:,} bytes; name a smaller file")
    return data
