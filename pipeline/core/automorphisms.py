"""The automorphisms of a hypergraph, by nauty (McKay and Piperno, 2014) where that is installed.

They are those of its incidence graph: a vertex for each element and for each edge of three or more
elements, joined where the edge holds the element; an edge of two elements joins these.
"""

import importlib.util
from collections.abc import Sequence

import numpy as np

from pipeline.core.ground_set import close_group, most_listed

#: The most vertices of an incidence graph, whose matrix nauty keeps: 50 MB.
MOST_VERTICES = 20_000
#: What is said where pynauty is not installed.
HOW_TO_FIND = "symmetries are not looked for; for that: pip install 'extremal-pipeline[nauty]'"


def can_find() -> bool:
    """Tell whether the package pynauty is installed."""
    return importlib.util.find_spec("pynauty") is not None


def listed_automorphisms(edges: Sequence[np.ndarray], m: int) -> np.ndarray:
    """Return a group of automorphisms, int32 ``(g, m)``, the identity first.

    It is the whole group if that has at most ``most_listed(m)`` elements. Otherwise it is what
    some of nauty's generators give: each in turn that leaves the group so small. Without pynauty,
    or where the hypergraph is too large for it, it is the identity.

    Args:
        edges: int32 ``(_, k)`` for each size k; a row is the elements of an edge, each 0..m-1.
    """
    identity = np.arange(m, dtype=np.int32)[None]
    vertices = m + sum(len(part) for part in edges if part.shape[1] > 2)
    if not can_find() or vertices > MOST_VERTICES:
        return identity
    kept, group = [identity[0]], identity
    for generator in _generators(edges, m, vertices):
        try:
            group = close_group(np.array([*kept, generator]), most_listed(m))
        except ValueError:
            continue
        kept.append(generator)
    return group


def _generators(edges: Sequence[np.ndarray], m: int, vertices: int) -> list[np.ndarray]:
    import pynauty  # pyright: ignore[reportMissingImports]

    joined: dict[int, list[int]] = {}
    vertex = m
    for part in edges:
        for row in part.tolist():
            if len(row) == 2:
                joined.setdefault(row[0], []).append(row[1])
            else:
                joined[vertex] = row
                vertex += 1
    parts = [set(range(m)), set(range(m, vertices))]
    graph = pynauty.Graph(
        vertices, adjacency_dict=joined, vertex_coloring=[part for part in parts if part]
    )
    return [np.array(row[:m], np.int32) for row in pynauty.autgrp(graph)[0]]
