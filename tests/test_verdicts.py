"""What passed a check is not checked again, byte for byte; anything else is."""

import pytest

from pipeline.core import jit
from pipeline.plugins import load_problem
from pipeline.storage import verdicts


@pytest.fixture
def asked(monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "folder", lambda: tmp_path)
    return []


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "n6.parquet"
    path.write_bytes(b"some constructions")
    return path


def test_the_same_bytes_are_checked_once(asked, file):
    problem = load_problem("isosceles")

    def check():
        asked.append(1)

    for _ in range(3):
        verdicts.once(problem, [file], check)
    assert len(asked) == 1
    file.write_bytes(b"same constructions")
    verdicts.once(problem, [file], check)
    assert len(asked) == 2
    verdicts.once(load_problem("isosceles", "flat-allowed"), [file], check)
    assert len(asked) == 3


def test_what_failed_is_checked_again(asked, file):
    def check():
        asked.append(1)
        raise ValueError("not valid")

    for _ in range(2):
        with pytest.raises(ValueError, match="not valid"):
            verdicts.once(load_problem("isosceles"), [file], check)
    assert len(asked) == 2


def test_a_plugin_is_always_asked(asked, file, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from problems.isosceles import Isosceles as Shipped\nclass Isosceles(Shipped):\n    pass\n"
    )
    problem = load_problem(f"{mine}:Isosceles")
    for _ in range(2):
        verdicts.once(problem, [file], lambda: asked.append(1))
    assert len(asked) == 2


def test_a_list_that_cannot_be_kept_costs_time_alone(asked, file, monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "folder", lambda: tmp_path / "none")
    for _ in range(2):
        verdicts.once(load_problem("isosceles"), [file], lambda: asked.append(1))
    assert len(asked) == 2


def test_a_long_list_is_begun_anew(asked, file, tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "_MOST", 100)
    (tmp_path / "verified").write_bytes(b"0" * 101)
    verdicts.once(load_problem("isosceles"), [file], lambda: asked.append(1))
    assert (tmp_path / "verified").stat().st_size == 65
