"""pipeline merge: pools of several runs as the first round of a new one."""

import json
import shutil

import numpy as np
import pytest
from conftest import TINY

from pipeline.core.bitset import ids
from pipeline.core.symmetry import canonical
from pipeline.plugins import load_problem
from pipeline.storage.round_files import load_pool
from pipeline.storage.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def two(cli, tmp_path):
    """Return two finished runs of other rng seeds and sizes, and their folder."""
    root = tmp_path / "runs"
    for seed, sizes in ((1, "5,6"), (2, "4,6")):
        words = ["run", "isosceles", "--n", 6, *TINY, "--sizes", sizes, "--seed", seed]
        done = cli(*words, "--rounds", 1, "--runs", root, "--json")
        assert done.code == 0, done.err
    return sorted(root.iterdir()), root


def test_a_merge_holds_the_union_up_to_symmetry_and_goes_on(two, cli):
    paths, root = two
    problem, runs = load_problem("isosceles"), [Run(path) for path in paths]
    done = cli("merge", *paths, "--runs", root, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    made = Run(root / told["run"])
    assert made.config.sizes == (4, 5, 6)
    assert made.last_round() == 0
    assert not made.info["sessions"][-1]["reproducible"]
    assert all(run.name in made.info["sessions"][-1]["reason"] for run in runs)
    for row in told["sizes"]:
        n, ground = row["n"], problem.ground(row["n"])
        given = [
            load_pool(run, problem, run.last_round(), n) for run in runs if n in run.config.sizes
        ]
        pool = load_pool(made, problem, 0, n)
        union = np.unique(np.concatenate([ids(canonical(p.cells, ground)) for p in given]))
        assert row["given"] == sum(map(len, given))
        assert row["kept"] == len(pool) == min(len(union), made.config.quota(n))
        assert np.isin(ids(canonical(pool.cells, ground)), union).all()
        assert row["best"] == max(p.score.max() for p in given)
        origins = {
            bytes(c): o for p in reversed(given) for c, o in zip(p.cells, p.origin, strict=True)
        }
        assert all(origins[bytes(c)] == o for c, o in zip(pool.cells, pool.origin, strict=True))
    assert (made.path / "best" / "n6.json").is_file()
    assert cli("verify", made.path, "--all-rounds", "--runs", root).code == 0
    shown = cli("show", made.path, "--runs", root)
    assert "pools merged of" in shown.out

    done = cli("resume", made.path, "--rounds", 1, "--runs", root)
    assert done.code == 0, done.err
    assert Run(made.path).last_round() == 1
    assert load_pool(Run(made.path), problem, 1, 6).score.max() >= told["sizes"][-1]["best"]


def test_the_table_says_how_many_were_equal(two, cli):
    paths, root = two
    shutil.copytree(paths[0], root / "copy")
    done = cli("merge", paths[0], root / "copy", "--runs", root)
    assert done.code == 0, done.err
    assert "kept, no two equivalent" in done.out
    assert "go on with: pipeline resume" in done.out


def test_what_cannot_be_merged_is_one_line_and_makes_nothing(two, cli, tmp_path):
    paths, root = two
    other = tmp_path / "others"
    words = ["run", "no-3-in-line", "--n", 4, *TINY]
    words += ["--sizes", 4, "--rounds", 0]
    assert cli(*words, "--runs", other).code == 0
    (line,) = other.iterdir()
    before = sorted(root.iterdir())
    for given, said, code in (
        ([paths[0]], "name two runs or more", 2),
        ([paths[0], paths[0]], "is named twice", 2),
        ([paths[0], line], "merge runs of one problem and convention", 2),
        ([paths[0], root / "none"], "none", 4),
    ):
        done = cli("merge", *given, "--runs", root)
        assert done.code == code, done.err
        assert said in done.error
        assert len(done.err.strip().splitlines()) == 1
    (paths[1] / "rounds" / "0001" / "n6.parquet").write_bytes(b"x")
    done = cli("merge", *paths, "--runs", root)
    assert done.code == 4
    assert "n6.parquet" in done.error
    assert sorted(root.iterdir()) == before
