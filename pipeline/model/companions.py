"""How the processes of a group find one another, and what becomes of them when one ends.

One leads: it searches, stores and speaks. The others, its companions, are started by torchrun or by
the one that leads, on its own machine. They wait for rounds, and end when the one that leads does.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from pipeline import ranks
from pipeline.core.untrusted import parse_json
from pipeline.errors import PipelineError, UsageError
from pipeline.model.parallel import Joined, Lost

_dist: Any = torch.distributed  # whose types do not tell of the stores
_HERE = "127.0.0.1"
_LOOK = 0.05  # seconds between two looks
_MEETING = 600.0  # seconds until all have loaded and are there
_WHY = 3.0  # seconds in which a process that ended may still say why
_STUCK = 20.0  # seconds that the work of a group with a dead process may take to fail by itself
_ENDING = 5.0  # seconds that a companion has to end
_GO, _TOLD, _FAILED = "go", "told", "failed"
_JOIN, _OVER = b"join", b"over"
#: How a companion is started: without the working directory on its path.
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from pipeline.following import main; main()"


class Companions:
    """The other processes, as the one that leads sees them. They load while it goes on.

    Args:
        size: of the group, this process among them.
        problem: what names the problem, and its convention.
        told: what they need to begin, ready for JSON.

    Raises:
        UsageError: this process was started as one of the others.
    """

    def __init__(self, size: int, problem: tuple[str, str], told: Mapping[str, Any]) -> None:
        self._size, self._group = size, None
        self._children: list[subprocess.Popen[bytes]] = []
        self._closed = threading.Event()
        place = ranks.place_among(size)
        if place is not None and place.rank:
            raise UsageError(
                "under torchrun only `pipeline run` and `pipeline resume` work together; elsewhere "
                "leave torchrun out: the other processes are started here"
            )
        if place is not None:
            self._store = meeting(place)
        else:
            listening = socket.create_server((_HERE, 0), backlog=max(64, size))
            port = listening.getsockname()[1]
            self._store = _dist.TCPStore(
                _HERE,
                port,
                is_master=True,
                wait_for_workers=False,
                master_listen_fd=listening.detach(),
            )
            _on_loopback(os.environ)
            for rank in range(1, size):
                self._children.append(_started(rank, size, port, problem))
        self._store.set(_TOLD, json.dumps(told))
        threading.Thread(target=self._watch, daemon=True).start()

    def joined(self, device: torch.device) -> Joined:
        """Return the group, once all are there.

        Args:
            device: of the model of this process.

        Raises:
            PipelineError: one of them has ended.
        """
        if self._group is None:
            here = [f"here/{rank}" for rank in range(1, self._size)]
            until = time.monotonic() + _MEETING
            while not self._store.check(here):
                if self._dead() or self._store.check([_FAILED]):
                    raise Lost(self._why())
                if time.monotonic() > until:
                    raise Lost(f"not all of the {self._size} processes came; see --gpus")
                time.sleep(_LOOK)
            self._store.set(_GO, _JOIN)
            self._group = Joined(0, self._size, device, self._store, self._why)
        return self._group

    def cpu(self) -> float:
        """Return the CPU seconds that they have used, as of the last stage that ended."""
        return 0.0 if self._group is None else self._group.cpu

    def close(self) -> None:
        """Let the others end: in good order, or at once where they are in the midst of work."""
        if self._closed.is_set():
            return
        self._closed.set()
        with contextlib.suppress(PipelineError, RuntimeError):
            if self._group is None:
                self._store.set(_GO, _OVER)
            else:
                self._group.release()
        for child in self._children:
            if self._group is None or self._group.busy:
                child.kill()
        if self._group is not None:
            # In a thread, since NCCL may wait for a process that is gone.
            leaving = threading.Thread(target=self._group.close, daemon=True)
            leaving.start()
            leaving.join(_ENDING)
        for child in self._children:
            assert child.stdin is not None
            with contextlib.suppress(OSError):
                child.stdin.close()
            try:
                child.wait(_ENDING)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _dead(self) -> list[int]:
        """Return which of the companions that were started here have ended, by rank."""
        return [rank for rank, c in enumerate(self._children, 1) if c.poll() is not None]

    def _why(self) -> str:
        """Say why a companion is gone, in one line."""
        until = time.monotonic() + _WHY
        while time.monotonic() < until:
            with contextlib.suppress(RuntimeError):
                if self._store.check([_FAILED]):
                    return self._store.get(_FAILED).decode(errors="replace")
            if any(self._children[rank - 1].returncode for rank in self._dead()):
                break
            time.sleep(_LOOK)
        how = "one has ended"
        for rank in self._dead():
            code = self._children[rank - 1].returncode
            if code < 0:
                how = f"number {rank} was killed ({signal.Signals(-code).name})"
            elif code:  # with 0 it has followed another
                how = f"number {rank} ended with code {code}"
        return (
            f"of the {self._size} processes that train and sample together {how}; finished rounds "
            "are kept: pipeline resume goes on"
        )

    def _watch(self) -> None:
        """End this process where it waits for a dead one for ever, as on a GPU it may."""
        while not self._closed.wait(1.0):
            if self._group is None or not self._group.busy or not self._dead():
                continue
            if not self._closed.wait(_STUCK):
                os.write(2, f"pipeline: {self._why()}\n".encode())
                os._exit(1)


def meeting(place: ranks.Place) -> Any:
    """Return where the processes of this place find one another.

    Raises:
        RuntimeError: the one that leads is not there.
    """
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = _dist.TCPStore(
        place.address,
        place.port,
        is_master=place.rank == 0 and not agent,
        wait_for_workers=False,
        timeout=timedelta(seconds=_MEETING),
    )
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return _dist.PrefixStore(f"pipeline/{again}", store) if agent else store


class Companion:
    """This process, one that does not lead.

    Args:
        place: which it is.

    Raises:
        RuntimeError: the one that leads is not there.
    """

    def __init__(self, place: ranks.Place) -> None:
        self._place, self._store = place, meeting(place)

    def told(self) -> dict[str, Any] | None:
        """Return what it needs to begin; None where there is nothing to do."""
        text = self._awaited(_TOLD)
        return None if text is None else parse_json(text, "what the first process says")

    def joined(self, device: torch.device) -> Joined | None:
        """Return the group, once all are there; None where there is nothing to do."""
        self._store.set(f"here/{self._place.rank}", b"")
        if self._awaited(_GO) != _JOIN:
            return None
        rank, size = self._place[:2]
        return Joined(rank, size, device, self._store, lambda: "the process that leads has ended")

    def failed(self, why: str) -> None:
        """Tell the one that leads why this process ends."""
        with contextlib.suppress(RuntimeError):
            self._store.set(_FAILED, why)

    def _awaited(self, key: str) -> bytes | None:
        """Return what the one that leads says; None where it ends without saying it."""
        with contextlib.suppress(RuntimeError):
            while not self._store.check([key]):
                if key != _GO and self._store.check([_GO]):
                    return None
                time.sleep(_LOOK)
            return self._store.get(key)
        return None


def _started(
    rank: int, size: int, port: int, problem: tuple[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a companion, in a session of its own, so that Ctrl-C reaches us alone.

    It is told the problem by a pipe, which no other user can write into, and ends when that closes.
    """
    environment = {**os.environ, **ranks.environment(rank, size, _HERE, port)}
    _on_loopback(environment)
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).resolve().parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("PIPELINE_DEBUG") else subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    assert child.stdin is not None
    with contextlib.suppress(OSError):  # it has ended already, which is seen later
        child.stdin.write(json.dumps(problem).encode() + b"\n")
        child.stdin.flush()
    return child


def _on_loopback(environment: Any) -> None:
    """Have gloo connect processes of this machine without the network."""
    environment.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
