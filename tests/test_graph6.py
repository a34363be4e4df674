"""Graphs in files and pictures: graph6 in and out, drawings, and what is refused."""

import json
from itertools import combinations
from xml.etree import ElementTree

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.ground_set import GroundSet
from pipeline.errors import PipelineError
from pipeline.plugins import load_problem
from pipeline.report.drawing import drawn_svg, drawn_text
from pipeline.report.exporting import to_tikz
from pipeline.report.graph_drawing import vertex_places
from pipeline.storage.construction_files import Named, read_constructions
from pipeline.storage.graph6 import from_graph6, looks_like_graph6, to_graph6
from problems.graph import complete_graph, edges, on_edges

#: The example of nauty's formats.txt: a path on five vertices.
PATH, LINE = [[0, 2], [1, 3], [0, 4], [3, 4]], "DQc"


def test_the_example_of_the_format():
    assert to_graph6(5, PATH) == LINE
    assert from_graph6(LINE, "") == (5, PATH)


@given(st.integers(0, 80), st.integers(0, 2**32), st.floats(0, 1))
def test_graph6_is_what_networkx_writes_and_reads(n, seed, share):
    graph = networkx.gnp_random_graph(n, share, seed=seed)
    line = networkx.to_graph6_bytes(graph, header=False).decode().strip()
    assert to_graph6(n, graph.edges()) == line
    assert looks_like_graph6([line])
    read, found = from_graph6(line, "")
    assert (read, {*map(tuple, found)}) == (n, {*graph.edges()})
    assert found == sorted(found, key=lambda edge: edge[::-1])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("DQ", "has 1 characters of edges, 5 vertices need 2"),
        ("DQcc", "has 3 characters of edges, 5 vertices need 2"),
        ("DQd", "has an edge beyond the last vertex"),
        ("DQ!", "holds other characters"),
        ("~?", "ends too soon"),
        ("~~?????", "has more than 262,143 vertices"),
        ("", "holds other characters"),
    ],
)
def test_a_line_that_is_no_graph6_is_refused(line, fault):
    assert not looks_like_graph6([LINE, line])
    with pytest.raises(PipelineError, match=f"^here: .*is no graph6: it .*{fault}"):
        from_graph6(line, "here")


def read(text, tmp_path, name="graphs.txt", problem="four-cycle-free"):
    file = tmp_path / name
    file.write_text(text)
    return list(read_constructions(file, Named(load_problem(problem), problem)))


@pytest.mark.parametrize("text", [f"{LINE}\n", f">>graph6<<{LINE}\n", f">>graph6<<\n{LINE}"])
@pytest.mark.parametrize("name", ["graphs.txt", "graphs.g6"])
def test_files_of_graph6_are_read(text, name, tmp_path):
    (found,) = read(text, tmp_path, name)
    assert found.n == 5
    coords = found.problem.ground(5).coords
    assert coords[found.points].tolist() == PATH
    assert found.witness() is None


def test_a_line_may_begin_like_json(tmp_path):
    """At 28 vertices the first character is a bracket, at 60 a brace."""
    for n in (28, 60):
        (found,) = read(to_graph6(n, [(0, n - 1)]), tmp_path)
        assert (found.n, found.score()) == (n, 1)


def test_a_board_is_still_a_board(tmp_path):
    (found,) = read("O_\n_O\n", tmp_path, problem="isosceles")
    assert found.points.tolist() == [0, 3]


def test_a_bad_line_of_several_is_named(tmp_path):
    with pytest.raises(PipelineError, match="graph 1: 'DQ' is no graph6"):
        read(f"{LINE}\nDQ\n", tmp_path, "graphs.g6")


def test_a_graph_is_no_set_of_cells(tmp_path):
    with pytest.raises(PipelineError, match="elements of isosceles are no edges"):
        read(LINE, tmp_path, problem="isosceles")


def test_what_is_exported_is_read_by_verify_count_and_best(cli, tmp_path):
    file, out = tmp_path / "in.g6", tmp_path / "out.g6"
    triangles = [to_graph6(5, list(combinations(abc, 2))) for abc in ((0, 1, 2), (2, 3, 4))]
    file.write_text("".join(f"{line}\n" for line in triangles))
    named = ("--problem", "four-cycle-free")
    assert cli("export", file, *named, "--format", "graph6", "-o", out).code == 0
    assert sorted(out.read_text().split()) == sorted(triangles)
    assert cli("verify", out, *named).code == 0
    assert cli("verify", out, "--problem", "girth-5").code == 3
    (size,) = json.loads(cli("count", out, *named, "--json").out)["sizes"]
    (row,) = size["scores"]
    assert (row["constructions"], row["inequivalent"]) == (2, 1)
    assert row["stabilisers"][0]["order"] == 12
    assert json.loads(cli("best", out, *named, "--json").out)["score"] == 3
    one = cli("export", out, *named, "--inequivalent", "--format", "graph6").out
    assert one in (f"{line}\n" for line in triangles)


def test_a_board_is_not_written_as_graph6(played, cli):
    refused = cli("export", played, "--format", "graph6")
    assert refused.code == 2
    assert "no edges" in refused.error


# --------------------------------------------------------------------------------- drawings


def elements(ground, edge_list):
    index = {tuple(edge): v for v, edge in enumerate(ground.coords.tolist())}
    return np.array(sorted(index[min(e), max(e)] for e in edge_list), np.int32)


def shapes(drawn):
    """Return what an SVG draws, by class: subpaths of paths, parts of groups."""
    found = {}
    for element in ElementTree.fromstring(drawn).iter():
        if element.get("class"):
            found[element.get("class")] = len(element) or (element.get("d") or "").count("M")
    return found


def test_a_graph_is_drawn_with_a_line_for_each_edge():
    ground = complete_graph(5)
    points = elements(ground, PATH)
    found = shapes(drawn_svg(ground, points))
    assert (found["points"], found["names"], found["edges"]) == (5, 5, 4)
    other = elements(ground, [(0, 1)]).tolist()
    found = shapes(drawn_svg(ground, points, added=points[:1].tolist(), removed=other))
    assert (found["edges"], found["added"], found["removed"]) == (3, 1, 1)
    row = {"points": PATH}
    assert to_tikz(row, ground).count("\\draw") == 4
    assert drawn_text(ground, points) == ("· · ● · ●\n· · · ● ·\n● · · · ·\n· ● · · ●\n● · · ● ·")


@given(st.integers(2, 20), st.integers(0, 2**32))
def test_vertices_change_places_to_shorten_the_edges(n, seed):
    rng = np.random.default_rng(seed)
    ground = complete_graph(n)
    points = np.flatnonzero(rng.random(ground.m) < 0.2)
    places = vertex_places(ground, points)
    assert sorted(places.tolist()) == list(range(n))

    def length(places):
        a, b = places[ground.coords[points].T]
        return np.minimum(abs(a - b), n - abs(a - b)).sum()

    assert length(places) <= length(np.arange(n))


def test_a_cycle_in_disorder_is_drawn_round_and_a_rotation_is_left_alone():
    ground = complete_graph(9)
    cycle = elements(ground, [(i, (i + 2) % 9) for i in range(9)])
    assert vertex_places(ground, cycle).tolist() == list(range(9))
    moved = np.arange(9)
    moved[[3, 6]] = 6, 3
    round_ = elements(ground, [(i, (i + 1) % 9) for i in range(9)])
    swapped = np.sort(on_edges(moved[None])[0][round_])
    assert vertex_places(ground, swapped)[moved].tolist() == list(range(9))


def test_many_vertices_go_without_numbers():
    ground = GroundSet(70, edges(70), np.arange(70 * 69 // 2)[None], graph=True)
    assert "names" not in shapes(drawn_svg(ground, np.array([5])))
