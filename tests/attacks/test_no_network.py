"""A run, a search and a report work where no socket to a network can be made."""

import os
import subprocess
import sys

import pytest
from conftest import TINY

REFUSE = """
import socket
class Refusing(socket.socket):
    def __init__(self, family=socket.AF_INET, *rest, **others):
        if family not in (-1, socket.AF_UNIX):
            raise RuntimeError("a socket to the network was asked for")
        super().__init__(family, *rest, **others)
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            raise RuntimeError("a connection was asked for")
        return super().connect(address)
def refuse(*_, **__):
    raise RuntimeError("a name was looked up")
socket.socket = Refusing
socket.getaddrinfo = socket.create_connection = socket.gethostbyname = refuse
"""


@pytest.mark.end_to_end
def test_run_search_and_report_need_no_network(tmp_path, record_property):
    record_property("tried", 3)
    (tmp_path / "sitecustomize.py").write_text(REFUSE)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    search = (
        "--rounds",
        "0",
        "--workers",
        "2",
        "--set",
        "seeding.batches=1",
        "--set",
        "seeding.moves=2000",
    )
    for words in (
        ("run", "isosceles", "--n", "6", *TINY, "--rounds", "1", "--workers", "2"),
        ("search", "isosceles", "--n", "5", *search),
        ("report", "isosceles-n6"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *words, "--runs", str(tmp_path / "runs")],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert done.returncode == 0, done.stderr
