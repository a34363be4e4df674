"""Files of numbers that a configuration names: weights, a mask. A run keeps them by content.

In a run's folder such a file is called by a hash of its bytes, and so is the key that names it. The
hash is thereby part of the run's identity, and another file never takes the place of the first.
"""

import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from msgspec.structs import replace

from pipeline.config import Config
from pipeline.core.untrusted import read_bytes
from pipeline.errors import PipelineError, RunError, UsageError

#: What numpy raises at a header that nobody wrote: it is read as Python.
_NO_ARRAY = (
    *(ValueError, TypeError, SyntaxError, TokenError, EOFError, OverflowError, RecursionError),
)
#: Keys of the section "search" that may name a file.
_KEYS = ("weights", "mask")


def absolute(data: Mapping[str, Any], base: Path) -> None:
    """Make the files that nested keys name absolute, in place; ``base`` is what they go by."""
    search = data.get("search")
    if isinstance(search, dict):
        for key in _KEYS:
            if str(search.get(key, "")).endswith(".npy"):
                search[key] = str((base / search[key]).resolve())


def read_files(config: Config) -> dict[str, bytes]:
    """Return the files that a configuration names, by the names it gives them.

    Raises:
        UsageError: one cannot be read.
    """
    files = {}
    for key, path in _named(config).items():
        try:
            files[path] = read_bytes(Path(path))
        except PipelineError as error:
            reason = str(error).removeprefix(f"cannot read {path}: ")
            raise UsageError(f"cannot read the {key} {path}: {reason}; give a .npy file") from error
    return files


def bound(config: Config, files: Mapping[str, bytes]) -> tuple[Config, dict[str, bytes]]:
    """Return the configuration and its files with the files called by their content."""
    names = {key: _name(key, files[path]) for key, path in _named(config).items()}
    kept = {name: files[_named(config)[key]] for key, name in names.items()}
    return replace(config, search=replace(config.search, **names)), kept


def stored_files(config: Config, folder: Path) -> dict[str, bytes]:
    """Return the files that a run of this configuration keeps in its folder, by name.

    Raises:
        RunError: one is missing, or is not what the run began with.
    """
    files = {}
    for key, name in _named(config).items():
        path = folder / name
        try:
            files[name] = read_bytes(path)
        except PipelineError:
            files[name] = b""
        if name != _name(key, files[name]):
            raise RunError(
                f"{path} is damaged or missing; put back the {key} that the run began with"
            )
    return files


def arrays(files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """Return what .npy files hold.

    Raises:
        UsageError: a file holds no array of numbers.
    """
    found = {}
    for name, data in files.items():
        try:
            _check_header(data)
            found[name] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        except _NO_ARRAY as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"{name} is no .npy file of numbers: {reason}") from error
    return found


def _check_header(data: bytes) -> None:
    """Compare the shape that a header claims with the bytes there are, before any is made room for.

    Raises:
        ValueError: they differ, or there is no header that can be read.
    """
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:  # others than 2.0 are for arrays that are no numbers
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        return  # which the reader refuses
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if min(shape, default=1) < 0 or needed != there:
        raise ValueError(f"its header claims the shape {shape}, the data are {there:,} bytes")


def _named(config: Config) -> dict[str, str]:
    """Return the files that a configuration names, by key."""
    values = {key: getattr(config.search, key) for key in _KEYS}
    return {key: value for key, value in values.items() if value.endswith(".npy")}


def _name(key: str, data: bytes) -> str:
    return f"{key}-{hashlib.sha256(data).hexdigest()[:16]}.npy"
