"""Files written whole or not at all: regular ones alone, and never through a link.

A name that is taken by a link, a folder, a pipe or a device is refused before anything is opened,
since opening some devices is enough to change them.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

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
