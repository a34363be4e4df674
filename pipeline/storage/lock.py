"""The one lock: a folder is held for writing by one process, which says who it is.

lock       locked while the folder is held; the system lets go of it when the process dies
lock.pid   who holds it, touched now and then as a sign of life
"""

import contextlib
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RunError
from pipeline.storage import files

#: A holder on another machine counts as gone when it has shown no sign of life for so many seconds.
_SILENCE = 60.0
_SIGN_EVERY = 10.0  # seconds between two signs
_HOLDER = "lock.pid"


@contextlib.contextmanager
def holding_run(path: Path) -> Iterator[None]:
    """Hold the folder of a run to change what is in it, whatever state it is in.

    Raises:
        RunError: another live process holds it, or something in it leads out of it.
    """
    for name in ("events.jsonl", "run.json", "config.toml"):
        refuse(path / name, files.obstacle(path / name))
    folders = [path / name for name in ("rounds", "best", "tensorboard")]
    with contextlib.suppress(OSError):
        rounds = list((path / "rounds").iterdir())
        folders += rounds + [number / "generator" for number in rounds]
    for folder in folders:
        refuse(folder, files.obstacle(folder).removeprefix("a folder"))
    with holding(path):
        yield


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder, whatever state it is in.

    Raises:
        RunError: another live process holds it, or something that is no file stands in the way.
    """
    from filelock import FileLock, Timeout

    holder = folder / _HOLDER
    for path in (folder / "lock", holder):
        refuse(path, files.obstacle(path))
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = "another process"
        with contextlib.suppress(OSError, UnicodeDecodeError, IndexError):
            who = files.read(holder, most=1000).decode().splitlines()[0]
        raise RunError(f"{folder} is in use by {who}; wait for it, or stop it first") from None
    except OSError as error:
        raise RunError(f"cannot lock {folder}: {error.strerror or error}") from error
    ended = threading.Event()
    try:
        with files.writing(folder):
            number = os.getpid()
            text = f"process {number} on {platform.node()}\nstarted {_began(number)}\n"
            files.overwrite(holder, text.encode())
        threading.Thread(target=_give_signs, args=(holder, ended), daemon=True).start()
        yield
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def why_free(folder: Path) -> str:
    """Say why no live process holds a folder; "" where one does.

    The lock itself is not tried, since whoever wants it would find it taken meanwhile. What
    lock.pid says is held against the processes of this machine: the number, and when that process
    began, since numbers are used again. Of another machine nothing is known but the signs that a
    holder gives: the times of lock.pid and of the log.
    """
    try:
        words = files.read(folder / _HOLDER, most=1000).decode().split()
        number, node = int(words[1]), words[3]
    except (OSError, ValueError, IndexError):
        return "not running"
    if node == platform.node() and os.name == "posix":
        try:
            os.kill(number, 0)  # which sends nothing
        except (ProcessLookupError, OverflowError):
            return f"not running: process {number} has ended without a word"
        except PermissionError:
            pass
        began, now = words[5:6], _began(number)
        if began and now:
            same = began == [now]
            return "" if same else f"not running: process {number} is another one by now"
    signs = [0.0]
    for name in (_HOLDER, "events.jsonl"):
        with contextlib.suppress(OSError):
            signs.append(os.lstat(folder / name).st_mtime)
    silent = time.time() - max(signs)
    if silent < _SILENCE:
        return ""
    return f"not running: process {number} on {node} has given no sign for {silent:.0f} s"


def refuse(path: Path, found: str) -> None:
    """Refuse what stands where something is to be written, if it is anything; see ``obstacle``.

    Raises:
        RunError: names it.
    """
    if found:
        raise RunError(
            f"{path} is {found}; a run writes in its own folder alone: put a copy of what belongs "
            "there in its place, or delete it"
        )


def _give_signs(holder: Path, ended: threading.Event) -> None:
    """Touch lock.pid now and then, for those who look from another machine."""
    while not ended.wait(_SIGN_EVERY):
        with contextlib.suppress(OSError):
            os.utime(holder, follow_symlinks=False)


def _began(number: int) -> str:
    """Return when a process of this machine began, in the system's own measure; "" if unknown."""
    try:
        # The name of the program stands in brackets and may hold anything.
        fields = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[19].decode()
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
