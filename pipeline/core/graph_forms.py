"""Canonical forms of graphs: equal for isomorphic graphs and for no others.

The method is that of McKay, Practical graph isomorphism, Congressus Numerantium 30 (1981): colour
refinement, a vertex singled out where colours do not tell them apart, and automorphisms that are
met on the way cut off what can bring nothing new. Vertices with the same neighbours, isolated ones
say, are told apart in one step. It is exact. The whole symmetric group need not be listed, which
nobody could.
"""

import numpy as np

from pipeline.core import bitset
from pipeline.core.bitset import row_points
from pipeline.core.jit import kernel, njit, suited

#: Orders of groups are given up to here.
MOST = 2**62
_PRIME = 2**31 - 1


def graph_forms(cells: np.ndarray, edges: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return canonical forms of graphs, and how many automorphisms they have.

    Args:
        cells: packed uint8 ``(B, bytes)``, sets of edges; so are the forms.
        edges: int ``(m, 2)``, the vertices of every pair of different ones, in any order.
        n: the number of vertices.

    Returns:
        (the forms, the orders of the automorphism groups, int64 ``(B,)``, at most ``MOST``).

    Raises:
        ValueError: ``cells`` does not fit the edges.
    """
    cells = bitset.checked(cells, len(edges))
    at = np.zeros((n, n), np.int64)
    at[edges[:, 0], edges[:, 1]] = at[edges[:, 1], edges[:, 0]] = np.arange(len(edges))
    forms, orders = np.zeros_like(cells), np.ones(len(cells), np.int64)
    ends = np.ascontiguousarray(edges, np.int64)
    suited(_all_forms, 2000 * cells.size)(cells, ends, at, _colour_codes(n), forms, orders)
    return forms, orders


def _colour_codes(n: int) -> np.ndarray:
    """Return a number below 2**31 for each colour, whose sums tell multisets of colours apart."""
    codes = np.arange(1, n + 2, dtype=np.int64)
    for factor in (48271, 69621, 39373):
        codes = (codes * factor) % _PRIME
        codes ^= codes >> 13
    return codes


@njit
def _all_forms(cells, ends, at, codes, forms, orders):
    """Write the form of each graph; for graphs without much symmetry O(n**2) each."""
    n = len(at)
    points = np.empty(len(ends), np.int64)
    begin, beside = np.zeros(n + 2, np.int64), np.empty(2 * len(ends), np.int64)
    for row in range(len(cells)):
        many = row_points(cells[row], points)
        begin[:] = 0
        for i in range(many):
            begin[ends[points[i], 0] + 2] += 1
            begin[ends[points[i], 1] + 2] += 1
        for v in range(n):
            begin[v + 2] += begin[v + 1]
        for i in range(many):
            a, b = ends[points[i], 0], ends[points[i], 1]
            beside[begin[a + 1]] = b
            beside[begin[b + 1]] = a
            begin[a + 1] += 1
            begin[b + 1] += 1
        for v in range(n):
            for i in range(begin[v] + 1, begin[v + 1]):
                w, j = beside[i], i
                while j > begin[v] and beside[j - 1] > w:
                    beside[j] = beside[j - 1]
                    j -= 1
                beside[j] = w
        orders[row] = _form(begin, beside, points[:many], ends, at, codes, forms[row])


@njit
def _form(begin, beside, points, ends, at, codes, form):
    """Write the least image of a graph among the leaves of its search tree.

    A node of the tree is a colouring; its children single out one vertex each of its first cell
    of several. A leaf gives every vertex a colour of its own, its new name. Leaves are compared by
    the traces of the nodes on their way, then by their image.

    Returns:
        The number of automorphisms.
    """
    n = len(at)
    # Of the node at each level: its vertices by cells, their colours (where the cell begins), the
    # cell that is split, how much of it is done, how many twins it holds if nothing else, the
    # vertex singled out, the trace.
    order, colour = np.empty((n + 1, n), np.int64), np.zeros((n + 1, n), np.int64)
    cell, size = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    done, twins = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    path, trace = np.full(n + 1, -1), np.zeros(n + 1, np.int64)
    better = np.zeros(n + 1, np.bool_)  # than the best leaf, by its trace
    code = np.zeros(n, np.int64)
    image = np.zeros(len(form), np.uint8)
    # Of the best leaf.
    depth = -1
    best_path, best_trace = np.full(n + 1, -1), np.zeros(n + 1, np.int64)
    best_twins, named = np.zeros(n + 1, np.int64), np.empty(n, np.int64)
    # Automorphisms that were met.
    known, met = np.empty((4, n), np.int64), 0
    parent = np.empty(n, np.int64)

    order[0] = np.arange(n)
    trace[0] = _refine(begin, beside, codes, order[0], colour[0], code)
    better[0] = True
    level = _enter(begin, beside, order[0], colour[0], cell, size, done, twins, 0)
    while level >= 0:
        if size[level] == 0:  # a leaf
            image[:] = 0
            for p in points:
                v = at[colour[level, ends[p, 0]], colour[level, ends[p, 1]]]
                image[v >> 3] |= np.uint8(1 << (v & 7))
            against = -1 if better[level] or level < depth else _compare(image, form)
            if against < 0:
                depth, form[:], named[:] = level, image, order[level]
                for i in range(level + 1):
                    best_path[i], best_trace[i], better[i] = path[i], trace[i], False
                    best_twins[i] = twins[i]
            elif against == 0:
                if met == len(known):
                    known = np.concatenate((known, np.empty_like(known)))
                for i in range(n):
                    known[met, named[i]] = order[level, i]
                met += 1
                # The branch in which this leaf lies is an image of the branch of the best one.
                level = 0
                while path[level] == best_path[level]:
                    level += 1
                continue
            level -= 1
            continue
        if done[level] == size[level]:
            level -= 1
            continue
        v = order[level, cell[level] + done[level]]
        done[level] += 1
        if twins[level] > 0:
            done[level] = size[level]
        elif met > 0 and done[level] > 1:
            _join_orbits(known[:met], path, level, parent)
            seen = False
            for i in range(done[level] - 1):
                seen |= _root(parent, order[level, cell[level] + i]) == _root(parent, v)
            if seen:
                continue
        path[level] = v
        below = level + 1
        here = order[level], colour[level], cell[level], size[level], v, twins[level]
        _single_out(*here, order[below], colour[below])
        trace[below] = _refine(begin, beside, codes, order[below], colour[below], code)
        better[below] = better[level]
        if not better[level]:
            if below > depth or trace[below] > best_trace[below]:
                continue
            better[below] = trace[below] < best_trace[below]
        level = _enter(begin, beside, order[below], colour[below], cell, size, done, twins, below)
    automorphisms = 1
    for i in range(depth):
        for k in range(2, best_twins[i] + 1):
            automorphisms = automorphisms * k if automorphisms <= MOST // k else MOST
        if best_twins[i] > 0:
            continue
        _join_orbits(known[:met], best_path, i, parent)
        orbit = 0
        for v in range(n):
            orbit += _root(parent, v) == _root(parent, best_path[i])
        automorphisms = automorphisms * orbit if automorphisms <= MOST // orbit else MOST
    return automorphisms


@kernel
def _refine(begin, beside, codes, order, colour, code):
    """Split cells by the colours of the neighbours until nothing changes; return a trace.

    What differs in the traces of two nodes is no isomorphism's doing.
    """
    n = len(order)
    trace = 0
    changed = True
    while changed:
        changed = False
        for v in range(n):
            total = 0
            for i in range(begin[v], begin[v + 1]):
                total += codes[colour[beside[i]]]
            code[v] = total
        start = 0
        while start < n:
            stop = start + 1
            while stop < n and colour[order[stop]] == start:
                stop += 1
            for i in range(start + 1, stop):
                v, j = order[i], i
                while j > start and code[order[j - 1]] > code[v]:
                    order[j] = order[j - 1]
                    j -= 1
                order[j] = v
            fresh = start
            for i in range(start, stop):
                if i > start and code[order[i]] != code[order[i - 1]]:
                    fresh = i
                    changed = True
                if i == fresh:
                    trace = (trace * 31 + code[order[i]] + i) % 2147483647
                if fresh > start:
                    colour[order[i]] = fresh + n  # until every cell is split
            start = stop
        if changed:
            for v in range(n):
                colour[v] -= n * (colour[v] >= n)
    return trace


@kernel
def _single_out(order, colour, cell, size, v, twins, new_order, new_colour):
    """Give vertex v of a cell the cell's colour, the rest of it the next; twins one each."""
    for u in range(len(order)):
        new_order[u], new_colour[u] = order[u], colour[u]
    k = cell + 1
    for i in range(cell, cell + size):
        if twins > 0:
            new_colour[order[i]] = i
        elif order[i] != v:
            new_order[k] = order[i]
            new_colour[order[i]] = cell + 1
            k += 1
    if twins == 0:
        new_order[cell] = v


@kernel
def _enter(begin, beside, order, colour, cell, size, done, twins, level):
    """Choose the first cell of several vertices, if there is one; return the level."""
    n = len(order)
    size[level], done[level], twins[level] = 0, 0, 0
    for i in range(1, n):
        if colour[order[i]] == colour[order[i - 1]]:
            cell[level], stop = i - 1, i
            while stop < n and colour[order[stop]] == i - 1:
                stop += 1
            size[level] = stop - i + 1
            twins[level] = size[level]
            for j in range(i, stop):
                if not _same_neighbours(begin, beside, order[i - 1], order[j]):
                    twins[level] = 0
                    break
            break
    return level


@kernel
def _same_neighbours(begin, beside, v, w):
    """Tell whether two vertices have the same neighbours, which are listed in rising order."""
    if begin[v + 1] - begin[v] != begin[w + 1] - begin[w]:
        return False
    same = True
    for i in range(begin[v + 1] - begin[v]):
        same &= beside[begin[v] + i] == beside[begin[w] + i]
    return same


@kernel
def _compare(a, b):
    """Compare two rows of bytes: below 0 where the first is less."""
    for i in range(len(a)):
        if a[i] != b[i]:
            return -1 if a[i] < b[i] else 1
    return 0


@kernel
def _join_orbits(known, path, level, parent):
    """Find the orbits of those automorphisms that leave the first vertices of a path alone."""
    for v in range(len(parent)):
        parent[v] = v
    for g in range(len(known)):
        fixing = True
        for i in range(level):
            fixing &= known[g, path[i]] == path[i]
        if fixing:
            for v in range(len(parent)):
                a, b = _root(parent, v), _root(parent, known[g, v])
                if a != b:
                    parent[max(a, b)] = min(a, b)


@kernel
def _root(parent, v):
    """Return what stands for the orbit of a vertex."""
    while parent[v] != v:
        v = parent[v]
    return v
