"""Files written whole or not at all: regular ones alone, and never through a link.

A name that is taken by a link, a folder, a pipe or a device is refused before anything is opened,
since opening some devices is enough to change them.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.untrusted import parse_json
from pipeline.errors import PipelineError

TEMPORARY = ".writing-"
# Of a pipe an open for writing would wait for a reader. Windows has neither flag.
_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def obstacle(path: Path) -> str:
    """Say what at a path is no regular file ("a folder", "a device"); "" for a file or nothing."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    for is_one, name in _KINDS:
        if is_one(mode):
            return name
    return "" if stat.S_ISREG(mode) else "no regular file"


# ------------------------------------------------------------------------------ writing


def write(path: Path, data: bytes) -> None:
    """Write a file at once: beside, to the disk, renamed into place.

    Raises:
        OSError: it cannot be written, or something else than a regular file is there.
    """
    with replacing(path) as beside:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFUL, 0o666)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write to; in the end what is there takes the file's place.

    Raises:
        OSError: it cannot be written, or something else than a regular file is there.
    """
    _refuse(path)
    beside = path.with_name(f"{TEMPORARY}{path.name}")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()  # the rest of an earlier try, or a link that would be followed
    try:
        yield beside
        _refuse(path)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write a file as ``write`` does, with an error of one line.

    Raises:
        PipelineError: it cannot be written.
    """
    with writing(path):
        write(path, data)


@contextlib.contextmanager
def writing(path: Path, fix: str = "") -> Iterator[None]:
    """Turn an error of the file system into one line, which ends in ``fix``."""
    try:
        yield
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror or error}{fix}") from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside to fill; in the end it is renamed to ``path``, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def slug(text: str) -> str:
    """Return a text as a part of a file's name: small letters, digits and ``-``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "problem"


def new_name(label: str) -> str:
    """Return a new name for a folder: what it is about, the day, and six random digits."""
    return f"{label}-{time.strftime('%Y%m%d')}-{secrets.token_hex(3)}"


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file, which is made if it is not there.

    Raises:
        OSError: it cannot be written, or something else than a regular file is there.
    """
    with open(_open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
        file.write(data)


def overwrite(path: Path, data: bytes) -> None:
    """Write a file in place: for short notes alone, which nobody misses when they are torn.

    Raises:
        OSError: it cannot be written, or something else than a regular file is there.
    """
    with open(_open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(data)


def sync(path: Path) -> None:
    """Have the system put a file, or the entries of a folder, on the disk."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ------------------------------------------------------------------------------ reading


def read(path: Path, start: int = 0, most: int = -1) -> bytes:
    """Return what a file holds from a place on; from the end where ``start`` is below 0.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open(_open(path, os.O_RDONLY), "rb") as file:
        if start < 0:
            start = max(os.fstat(file.fileno()).st_size + start, 0)
        file.seek(start)
        return file.read(most)


def digest(path: Path) -> str:
    """Return the SHA-256 of a regular file.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open(_open(path, os.O_RDONLY), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(path: Path) -> int:
    """Return the bytes that a file takes on the disk, or a folder with all that is in it.

    No link is followed; what cannot be looked at counts nothing.
    """
    total = 0
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        # Windows does not tell of blocks.
        total = 512 * getattr(status, "st_blocks", -(-status.st_size // 512))
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                total += sum(size(Path(entry.path)) for entry in entries)
    return total


# --------------------------------------------------------------------------------- JSON


def to_json(data: Any) -> bytes:
    """Return a value as the bytes of a JSON file."""
    return (json.dumps(data, indent=1) + "\n").encode()


def append_line(path: Path, data: Mapping[str, Any]) -> None:
    """Add a line to a file of JSON lines.

    Raises:
        OSError: it cannot be written, or something else than a regular file is there.
    """
    append(path, f"{json.dumps(data)}\n".encode())


def parse_lines(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects that JSON lines hold; a line that is damaged or torn is skipped."""
    for line in data.splitlines():
        try:
            found = parse_json(line, "the line")
        except PipelineError:
            continue
        if isinstance(found, dict):
            yield found


def _open(path: Path, flags: int) -> int:
    _refuse(path)
    handle = os.open(path, flags | _CAREFUL, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # changed since it was looked at
        os.close(handle)
        raise _not_regular(path, "no regular file")
    return handle


def _refuse(path: Path) -> None:
    found = obstacle(path)
    if found:
        raise _not_regular(path, found)


def _not_regular(path: Path, found: str) -> OSError:
    return OSError(errno.EINVAL, f"it is {found}, and only regular files are used", str(path))


_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
