"""A crossbar as a list of elements between named nodes, and Kirchhoff's current law for it, dense, in plain NumPy."""

import numpy as np


def elements(n_rows, n_cols, wires):
    """Wires as (node, node, ohm) and cells as {(i, j): (node, node)}, read off the drawing in docs/wires.md.

    Terminals: ("drive", i) at the voltage of row i, ("sense", j) at 0 V. Nodes: ("row", i, j), ("column", i, j).
    """
    pieces = []
    for i in range(n_rows):
        pieces.append((("drive", i), ("row", i, 0), wires.source))
        if wires.driven == "both":
            pieces.append((("drive", i), ("row", i, n_cols - 1), wires.source))
        for j in range(n_cols - 1):
            pieces.append((("row", i, j), ("row", i, j + 1), wires.row))
    for j in range(n_cols):
        pieces.append((("column", n_rows - 1, j), ("sense", j), wires.sense))
        if wires.sensed == "both":
            pieces.append((("column", 0, j), ("sense", j), wires.sense))
        for i in range(n_rows - 1):
            pieces.append((("column", i, j), ("column", i + 1, j), wires.column))
    cells = {(i, j): (("row", i, j), ("column", i, j)) for i in range(n_rows) for j in range(n_cols)}
    return merged(pieces, cells)


def merged(pieces, cells):
    """The same with nodes joined by 0 ohm made one; a terminal gives its name to what it is joined with."""
    same = {}

    def name(node):
        while node in same:
            node = same[node]
        return node

    for a, b, ohm in pieces:
        a, b = name(a), name(b)
        if ohm == 0 and a != b:
            if b[0] in ("drive", "sense"):
                a, b = b, a
            same[b] = a
    wires = [(name(a), name(b), ohm) for a, b, ohm in pieces if ohm > 0 and name(a) != name(b)]
    return wires, {cell: (name(a), name(b)) for cell, (a, b) in cells.items()}


def solve(G, v, wires, sources=None):
    """Device voltages [n_rows, n_cols] and column currents [n_cols], from one dense matrix over all free nodes.

    sources[i, j]: a current that flows through cell (i, j) besides G[i, j] times its voltage, from row to column.
    """
    n_rows, n_cols = G.shape
    sources = np.zeros(G.shape) if sources is None else sources
    pieces, cells = elements(n_rows, n_cols, wires)
    fixed = {("drive", i): float(v[i]) for i in range(n_rows)} | {("sense", j): 0.0 for j in range(n_cols)}
    branches = [(a, b, 1 / ohm, 0.0) for a, b, ohm in pieces]
    branches += [(a, b, G[cell], sources[cell]) for cell, (a, b) in cells.items()]
    free = {}
    for a, b, *_ in branches:
        for node in (a, b):
            if node not in fixed:
                free.setdefault(node, len(free))
    A, rhs = np.zeros((len(free), len(free))), np.zeros(len(free))
    for a, b, g, extra in branches:  # the current g (v_a - v_b) + extra leaves a and enters b
        for node, other, sign in ((a, b, 1), (b, a, -1)):
            if node in free:
                A[free[node], free[node]] += g
                rhs[free[node]] -= sign * extra
                if other in free:
                    A[free[node], free[other]] -= g
                else:
                    rhs[free[node]] += g * fixed[other]
    x = np.linalg.solve(A, rhs) if free else rhs
    voltage = fixed | {node: x[k] for node, k in free.items()}
    out = np.zeros(n_cols)
    for a, b, g, extra in branches:
        for node, sign in ((a, -1), (b, 1)):
            if node[0] == "sense":
                out[node[1]] += sign * (g * (voltage[a] - voltage[b]) + extra)
    V = np.array([[voltage[a] - voltage[b] for a, b in (cells[i, j] for j in range(n_cols))] for i in range(n_rows)])
    return V, out


def matrix(G, wires):
    """Column currents per volt on each row in turn, [n_cols, n_rows]."""
    return np.stack([solve(G, one, wires)[1] for one in np.eye(len(G))], axis=1)


def nonlinear(G, v, wires, current, slope, iterations=30):
    """Column currents of devices with I = current(G, V): plain Newton, each step a network of slopes and sources."""
    V, out = solve(G, v, wires)
    for _ in range(iterations):
        g = slope(G, V)
        V, out = solve(g, v, wires, current(G, V) - g * V)
    return out
